/* Skipping a test with its reason, which the summary of all tests shows. After <cmocka.h>. */
#pragma once

#define SKIP(reason)                            \
    do {                                        \
        print_message("skipped: " reason "\n"); \
        skip();                                 \
    } while (0)

/*
 * The test device, /dev/cerebro-test: a ring buffer that shows what kernel-served devices can do.
 * Its commands, for guests and tests.
 */
#pragma once

#include <stdint.h>
#include <sys/ioctl.h>

#define DEV_TEST_SIZE 4096 /* bytes in the ring, and in the mapping */

/* In and out: the device adds the numbers and turns the text to upper case. */
struct dev_test_sum {
    uint32_t a, b;
    uint64_t sum;
    char text[16];
};

#define DEV_TEST_USED  _IOR('C', 0xe0, uint32_t) /* how many bytes wait to be read */
#define DEV_TEST_RESET _IO('C', 0xe1)            /* forgets them */
#define DEV_TEST_SUM   _IOWR('C', 0xe2, struct dev_test_sum)

/* Between the runner of the checks (main.c), what they use (frame.c) and the helpers. */
#pragma once

#include <stdbool.h>

enum verdict_state { VERDICT_NONE, VERDICT_FAIL, VERDICT_SKIP };

/* In memory that the runner shares with a check and all of its children. */
struct verdict {
    int state; /* enum verdict_state */
    char text[252];
};

/* Of the check that this process is part of. */
extern struct verdict *verdict_here;

/* The program was started by a check to be another program: `argv[1]` is "--helper". Returns its
 * exit status. */
int helper_main(int argc, char **argv);

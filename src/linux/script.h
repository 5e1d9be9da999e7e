/*
 * The first line of a `#!` script, as binfmt_script reads it. Pure: no state, any thread.
 */
#pragma once

#include <stddef.h>

/* How much of a file the kernel looks at to find its format (BINPRM_BUF_SIZE). */
#define SCRIPT_BUFFER_SIZE 256

struct script_line {
    char interpreter[SCRIPT_BUFFER_SIZE];
    char argument[SCRIPT_BUFFER_SIZE]; /* the one optional argument, with inner blanks */
    int has_argument;
};

/*
 * Parses the start of a file. `buffer` holds its first bytes, followed by zeroes when the file is
 * shorter. Returns 0, or -ENOEXEC when it is no script, names no interpreter, or names one that may
 * have been cut off at the end of the buffer.
 */
int script_parse(const char buffer[SCRIPT_BUFFER_SIZE], struct script_line *ret_line);

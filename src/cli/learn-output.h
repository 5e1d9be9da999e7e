/*
 * Where `cerebro learn` writes to. Nothing of the user's changes before the whole profile is there,
 * and what was made for it goes away when there is none.
 */
#pragma once

#include <stddef.h>

enum learn_output_kind {
    LEARN_STREAM,   /* standard output, a pipe, a device: written behind what is there */
    LEARN_CREATED,  /* a file that was not there before */
    LEARN_REPLACED, /* a file of the user's */
};

struct learn_output {
    enum learn_output_kind kind;
    char path[4096]; /* as it was named; "" for standard output */
    int fd;          /* owned by it; -1: not open */
};

/*
 * Finds out whether the profile can be written, and makes the file if there is none. `name` is what
 * --output names; NULL: "PROGRAM.yaml" in the current directory, which must not exist. Returns 0 or
 * a negative errno; `ret_output` has the path in any case and is good for learn_output_discard().
 */
int learn_output_open(const char *name, const char *program, struct learn_output *ret_output);

/*
 * Writes the profile. An existing file is replaced as a whole or, after an error, not at all; only
 * where its directory cannot be written is it overwritten in place. Returns 0 or a negative errno.
 */
int learn_output_write(struct learn_output *output, const char *text, size_t length);

/* Closes it, and removes the file that was made for nothing. */
void learn_output_discard(struct learn_output *output);

/* Closes it. */
void learn_output_close(struct learn_output *output);

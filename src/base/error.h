/*
 * What a user is told when something fails: a code, a sentence, and what to do about it.
 * Library code fills one of these in and returns a negative errno; only the CLI prints it.
 */
#pragma once

struct base_error {
    int code;           /* positive errno, 0 while nothing failed */
    char sentence[320]; /* what failed, without a final full stop or newline */
    char hint[320];     /* what to do next; may be empty */
};

/*
 * Fills in an error (unless `error` is NULL or already filled: the first cause is kept) and
 * returns the negative errno, so that a caller writes `return base_fail(error, -r, ...)`.
 * `code` is a positive or a negative errno. `hint` may be NULL.
 */
int base_fail(struct base_error *error, int code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

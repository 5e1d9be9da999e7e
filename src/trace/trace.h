/*
 * The trace: what guests ask for and what they get, one line a served call, in the form of
 * strace(1); or one JSON object a line.
 *
 *   [4711] openat(AT_FDCWD, "/etc/hostname", O_RDONLY|O_CLOEXEC) = 3 <descriptor 8.1 us>
 *
 * What stands before the angle bracket is what strace 6.1 prints, with one blank before the equals
 * sign. In the bracket are the decision and the time from the call's arrival to its answer; behind
 * it, a remark of who answered. How an argument is shown comes from its kind in
 * src/abi/syscalls.tbl. What goes into a call is read before it is served, and what comes out when
 * it has been, while the guest still waits: another thread can change either, and then the trace
 * shows something else than was served. It is for people, nothing is decided by it.
 *
 * Threads: the kernel thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "abi/call_set.h"
#include "core/kernel.h"

/* How a call ended, as strace's -e status= names it. */
enum trace_status {
    TRACE_SUCCESSFUL = 1 << 0,
    TRACE_FAILED = 1 << 1,
    TRACE_UNAVAILABLE = 1 << 2, /* the host ran it, and nobody here knows */
};

#define TRACE_PATHS_MAX 64

struct trace_options {
    bool some_calls; /* only `calls`; else all, unknown numbers too */
    struct abi_call_set calls;
    unsigned statuses; /* enum trace_status; 0: all */
    /* Canonical absolute guest paths: only calls that name one, or a descriptor of it. */
    const char *paths[TRACE_PATHS_MAX]; /* borrowed */
    unsigned path_count;
    bool json;
    /* Gets each line, without its newline. */
    void (*line)(void *user, const char *line);
    void *user;
};

/*
 * Reads the value of --trace-status: successful, failed, unavailable or all with commas, "!" in
 * front for all others. Returns 0, or -EINVAL with `error` filled in.
 */
int trace_parse_status(const char *text, unsigned *ret_statuses, struct base_error *error);

/*
 * Adds a path, which must be absolute; made canonical by its text alone, and owned by the caller of
 * trace_options_free(). Returns 0, -EINVAL, -E2BIG or -ENOMEM.
 */
int trace_add_path(struct trace_options *options, const char *path, struct base_error *error);

/* Frees the paths. */
void trace_options_free(struct trace_options *options);

/* Fills in a tracer for these options, which must outlive it. */
void trace_tracer(const struct trace_options *options, struct pk_tracer *ret_tracer);

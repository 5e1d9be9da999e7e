/*
 * Attaching a process kernel to a process that already runs: a seccomp filter with a listener is
 * injected into all its threads (ptrace, for some milliseconds), and a keeper, a process of its
 * own, answers what the filter sends. The target keeps its own view of names: only the numbers in
 * the rules are seen at all.
 *
 * A filter cannot be taken off again. After detaching, the keeper answers "continue" for the
 * numbers in it until the last process that carries it has ended; all other numbers are as native
 * as before. A later attachment finds that keeper, needs no ptrace, and can use the numbers that
 * the filter has.
 *
 * Threads: any. The tracing is done by a thread of its own, which ends before attach_process()
 * returns; meanwhile another thread that waits for "any child" may be told of stops of the target.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "control/channel.h"

struct attach_options {
    const char *program; /* path of `cerebro`, which the keeper runs */
    int audit;           /* where the keeper writes its records; borrowed; -1: nowhere */
};

struct attachment {
    pid_t target;
    pid_t keeper;
    int channel;      /* to the keeper: rules hold while it is open, unless they stay */
    int listener;     /* to answer passed calls with; never to receive */
    bool again;       /* the filter and its keeper were there already */
    uint64_t took_ns; /* all of it */
    uint64_t held_ns; /* how long the target stood still; 0 when it was not stopped */
};

/*
 * Puts the rules in place for all threads of `target` and for all it starts from now on.
 * rules->version, target and filtered are filled in here: a number is filtered when it is passed or
 * denied, or could change a limit.
 *
 * Returns 0 with descriptors that the caller owns, or a negative errno with `error` filled in:
 * -ESRCH (no such process), -EINVAL (not one that can be attached to), -EPERM (may not be traced),
 * -EBUSY (attached already, traced, or served by a process kernel), -EACCES (a filter of its own),
 * -ENOEXEC (32-bit), -ENOTSUP (its filter has not the numbers), or what else the host says.
 */
int attach_process(pid_t target, struct channel_rules *rules, const struct attach_options *options,
                   struct attachment *ret_attachment, struct base_error *error);

/*
 * Finds the keeper of a target. Returns 0, or with `error` filled in -ESRCH when it has none,
 * -EPERM when it belongs to another user.
 */
int attach_find(pid_t target, pid_t *ret_keeper, struct base_error *error);

/*
 * Takes a limit, or several with commas, into the rules: memory=SIZE, files=N, cpu=SECONDS,
 * fsize=SIZE. Returns 0 or -EINVAL with `error` filled in.
 */
int attach_parse_limits(const char *text, struct channel_rules *rules, struct base_error *error);

/* Sets and asks bits of a set of system call numbers. */
static inline void attach_add(uint64_t set[CHANNEL_NUMBERS / 64], int nr)
{
    set[nr / 64] |= 1ULL << nr % 64;
}

static inline bool attach_has(const uint64_t set[CHANNEL_NUMBERS / 64], int nr)
{
    return nr >= 0 && nr < CHANNEL_NUMBERS && (set[nr / 64] >> nr % 64 & 1);
}

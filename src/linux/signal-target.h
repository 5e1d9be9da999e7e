/*
 * Whom kill(2) means. Pure: numbers only.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum signal_scope {
    SIGNAL_SELF,    /* the caller's own process */
    SIGNAL_PROCESS, /* one process, `id` */
    SIGNAL_GROUP,   /* a process group, `id` */
    SIGNAL_ALL,     /* every process but the caller's */
};

struct signal_target {
    enum signal_scope scope;
    pid_t id;
};

/*
 * Reads the pid argument of kill(2) of a caller with this process and process group number.
 * Returns 0, or -ESRCH for a number that can be nobody's (INT_MIN).
 */
int signal_target(pid_t argument, pid_t caller, pid_t caller_group, struct signal_target *ret);

/* Does the target include this process of this group? */
bool signal_target_includes(const struct signal_target *target, pid_t caller, pid_t pid,
                            pid_t group);

/* Shared by the files about processes and signals. */
#pragma once

#include "linux/linux-internal.h"

#define PROCESS_INIT 1 /* there natively, whatever the tree has (process.c) */

/*
 * True when a process group was made by a member of the tree that still lives, so that no stranger
 * is in it (short of a process of the same session joining on purpose).
 */
bool process_group_is_ours(struct pk_kernel *kernel, pid_t group);

/* The process (or thread) number behind a pidfd of ours; -ESRCH when it ended, -EBADF when it is
 * no pidfd. */
int process_of_pidfd(int pidfd);

/*
 * May the caller signal this member of the tree (signal.c)? Virtual ids are not the host's to
 * compare, so the rule of kill(2) is applied; with the host's own ids the answer is yes, and the
 * host applies it.
 */
bool process_may_signal(struct pk_request *request, pid_t pid);

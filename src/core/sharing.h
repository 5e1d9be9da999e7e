/*
 * Processes that share working directory, root and umask: clone(CLONE_FS) without CLONE_THREAD.
 *
 * A context stays immutable and a process' own. Who changes one of the three in a group makes a new
 * context for itself, and one for each other member, which is that member's own but for the three.
 * So what a member forks has a copy of its own as ever, although nobody tells of forks: it carries
 * the context of that moment and is no member.
 *
 * Only the kernel thread touches groups.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct pk_context;
struct pk_kernel;

/*
 * `child`, which `pid` has just made, joins its group. Returns 0, -ESRCH when one of them has
 * ended, or -ENOMEM.
 */
int pk_fs_share(struct pk_kernel *kernel, pid_t pid, pid_t child);

/* True when the two processes are in one group. */
bool pk_fs_is_shared(struct pk_kernel *kernel, pid_t a, pid_t b);

/* A process leaves its group, as unshare(CLONE_FS) wants it. */
void pk_fs_unshare(struct pk_kernel *kernel, pid_t pid);

/* Gives the three of this context, which `pid` carries now, to the other members of its group. */
void pk_fs_spread(struct pk_kernel *kernel, pid_t pid, const struct pk_context *context);

void pk_fs_groups_free(struct pk_kernel *kernel);

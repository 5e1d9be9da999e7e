/*
 * The Linux personality: handlers for the system calls of an unmodified x86-64 Linux program, the
 * ELF loader's planning half, identity, and what exec changes. This header is the door; everything
 * else of the room is in linux-internal.h.
 *
 * Threads: kernel thread only.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "core/context.h"
#include "core/exec.h"
#include "core/kernel.h"
#include "vfs/vfs.h"

/*
 * Makes the personality's state, sets all handlers and kernel->personality. The VFS must be
 * attached already. Returns 0 or -ENOMEM. linux_unregister() undoes it.
 */
int linux_register(struct pk_kernel *kernel);

/*
 * Frees the personality's state. To be called when the guest is gone, before pk_kernel_free() and
 * vfs_free(). Harmless when linux_register() was not called or failed.
 */
void linux_unregister(struct pk_kernel *kernel);

/*
 * A board in shared memory with what a guest without an IPC namespace has on the host and the host
 * would keep (semaphores, message queues). Made before the processes that shall be able to sweep;
 * NULL when memory is short: then what is left after a SIGKILL stays.
 */
struct linux_ipc_board;
struct linux_ipc_board *linux_ipc_board_new(void);

/* Gives the board to a kernel that linux_register() was called for; it stays the caller's. */
void linux_ipc_set_board(struct pk_kernel *kernel, struct linux_ipc_board *board);

/* Removes from the host what is on the board. In any process; async-signal-safe. NULL is fine. */
void linux_ipc_board_sweep(struct linux_ipc_board *board);

/* Sweeps it and unmaps it. NULL is fine. */
void linux_ipc_board_free(struct linux_ipc_board *board);

/*
 * Adds /dev/kernel_api_exporter (include/cerebro/kapi.h) to a dev file system: it answers about the
 * guest. To be called before the guest starts. Returns 0, -EEXIST or -ENOMEM.
 */
int linux_kapi_add(struct vfs_fs *dev);

/*
 * Plans the exec of the first program: resolves `path` (a guest path, relative to `cwd`; no search
 * along PATH) with the permissions of `actor`, follows `#!`, parses ELF. Returns 0 with a plan that
 * the caller owns, or a negative errno as execve(2) gives it, with `error` filled in.
 */
int linux_make_exec_plan(struct pk_kernel *kernel, const struct vfs_actor *actor,
                         struct vfs_place *root, struct vfs_place *cwd, const char *path,
                         struct pk_exec_plan **ret_plan, struct base_error *error);

/*
 * Makes the context of the first process (identity from kernel->config, program from `plan`) and
 * registers it; the kernel owns it. `root` and `cwd` stay the caller's: the context takes
 * references of its own. Returns 0 or -ENOMEM.
 */
int linux_first_context(struct pk_kernel *kernel, struct vfs_place *root, struct vfs_place *cwd,
                        mode_t mask, const struct pk_exec_plan *plan,
                        const struct pk_context **ret_context);

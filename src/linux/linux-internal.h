/*
 * What the families of the Linux personality share. Handlers live in one file per family and are
 * registered by one linux_register_<family>() each.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/syscalls.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "core/kernel.h"
#include "core/request.h"
#include "vfs/vfs.h"

/* ---- common.c: arguments ---- */

/* Who makes a request, for the VFS. Valid as long as the request's context. */
void linux_actor(struct pk_request *request, struct vfs_actor *ret_actor);

/*
 * A path argument on its way to the VFS: the walk together with what it refers to. To be declared
 * with cleanup_walk, so that the base is dropped:
 *
 *     cleanup_walk struct linux_walk at = {0};
 *     r = linux_walk_at(request, AT_FDCWD, request->args[0], VFS_NOFOLLOW, &at);
 *     r = r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, &place);
 */
struct linux_walk {
    struct vfs_walk walk; /* ready for vfs_resolve(), vfs_resolve_parent() and vfs_open() */
    struct vfs_actor actor;
    struct vfs_place *base; /* reference held; NULL when the walk starts at the cwd or the root */
    char path[PATH_MAX];
};

void linux_walk_release(struct linux_walk *walk);
#define cleanup_walk __attribute__((cleanup(linux_walk_release)))

/*
 * Copies the path at a guest address once and makes a walk from a dirfd argument (AT_FDCWD: the
 * working directory). `flags` are enum vfs_walk_flags. An absolute path leaves dirfd unchecked, as
 * the kernel does, unless VFS_BENEATH or VFS_IN_ROOT make the base matter. An empty path is -ENOENT
 * without VFS_EMPTY_PATH; with it the base is the object behind the descriptor, of any type.
 * Returns 0, -EFAULT, -ENAMETOOLONG, -ENOENT, -EBADF, -ENOTDIR or -ENOMEM.
 */
int linux_walk_at(struct pk_request *request, int dirfd, uint64_t path_address, unsigned flags,
                  struct linux_walk *ret_walk);

/* The same for a path that is ours already (shorter than PATH_MAX; copied). */
int linux_walk_text(struct pk_request *request, int dirfd, const char *path, unsigned flags,
                    struct linux_walk *ret_walk);

/* The place behind a guest's descriptor, of any type. Returns 0 or a negative errno. */
int linux_place_of_fd(struct pk_request *request, int fd, struct vfs_place **ret_place);

/* pk_personality.describe_fd. */
ssize_t linux_describe_fd(struct pk_request *request, int fd, char *path, size_t size);

/* linux_walk_at() and vfs_resolve() in one. */
int linux_resolve_at(struct pk_request *request, int dirfd, uint64_t path_address, unsigned flags,
                     struct vfs_place **ret_place);

/*
 * Answers with a descriptor (consumed in every case) in the window of kernel-served descriptors:
 * at its lowest free number in the calling process, -EMFILE when the window is full.
 */
struct pk_answer linux_window_descriptor(struct pk_request *request, int fd, unsigned fd_flags);

/* True when the caller's virtual identity has this capability (CAP_*) in its effective set. */
bool linux_capable(const struct pk_request *request, int capability);

/*
 * A modifiable copy of the caller's context; NULL when memory is short. To be ended with
 * linux_adopt(), which answers 0 or the error.
 */
struct pk_context *linux_copy_context(struct pk_request *request);
struct pk_answer linux_adopt(struct pk_request *request, struct pk_context *context);

/*
 * The context that another process (or thread, host number) of the tree carries; NULL when the
 * number is not one of the tree. Valid until the kernel thread takes the next request.
 */
const struct pk_context *linux_context_of(struct pk_kernel *kernel, pid_t pid);

/*
 * pk_denied() for what programs merely probe: recorded in audit, statistics and trace, but no line
 * for the user.
 */
struct pk_answer linux_denied_quietly(struct pk_request *request, int negative_errno,
                                      const char *rule, const char *what_format, ...)
    __attribute__((format(printf, 4, 5)));

/* A handler and its number, for tables. */
struct linux_handler {
    int nr;
    pk_handler handler;
};
void linux_set_handlers(struct pk_kernel *kernel, const struct linux_handler *handlers,
                        size_t count);

/* ---- the state of the personality ---- */

#define LINUX_PERSONALITY_QUERY 0xffffffffU /* personality(2): ask only */
#define LINUX_NAME_MAX          64          /* __NEW_UTS_LEN */

/* pk_context.nofile_soft and nofile_hard: the guest has not set it, the host's value is shown. */
#define LINUX_LIMIT_UNSET UINT64_MAX

struct ipc_mqueues;
struct ipc_objects;
struct keys;
struct linux_elf_cache;
struct linux_unix;
struct net_connections;
struct net_loopback;
struct unix_twins;

struct linux_state {
    struct pk_personality personality; /* what kernel->personality points to */
    char hostname[LINUX_NAME_MAX + 1];
    char domainname[LINUX_NAME_MAX + 1];
    char token[17];        /* random hexadecimal, in host-wide names that must not collide */
    bool personality_used; /* some process may have switched address randomisation off */
    struct linux_elf_cache *elf_cache;
    struct linux_unix *names;            /* of AF_UNIX sockets */
    struct unix_twins *twins;            /* of datagram sockets */
    struct net_connections *connections; /* who made them */
    struct net_loopback *loopback;       /* without a network; NULL until it is used */
    struct ipc_objects *ipc;             /* without a namespace of its own */
    struct ipc_mqueues *mqueues;
    struct keys *keys;        /* keys.h */
    struct file_locks *locks; /* flock(2) on directories that are merged or in memory */
    unsigned network_told;    /* bit per kind of use that the user has been told of */
};

/* The state of a kernel that linux_register() was called for. */
struct linux_state *linux_state(struct pk_kernel *kernel);

/* The locks of directories that are merged or in memory (file-lock.c); NULL: no memory. */
struct file_locks *file_locks_new(void);
void file_locks_free(struct file_locks *locks); /* NULL is fine */

/* ---- registration, one per family ---- */

int linux_register_files(struct pk_kernel *kernel);    /* file-*.c; with ioctl, fcntl, window */
int linux_register_exec(struct pk_kernel *kernel);     /* exec.c */
int linux_register_identity(struct pk_kernel *kernel); /* identity-calls.c, prctl.c */
int linux_register_process(struct pk_kernel *kernel);  /* process.c */
int linux_register_signal(struct pk_kernel *kernel);   /* signal.c */
int linux_register_system(struct pk_kernel *kernel);   /* system.c, limits.c */
int linux_register_ipc(struct pk_kernel *kernel);      /* ipc*.c */
int linux_register_keys(struct pk_kernel *kernel);     /* keys*.c */
int linux_register_network(struct pk_kernel *kernel);  /* net*.c, unix.c */

/* pk_personality.proc_text, and its parts (proc-text.c, keys.c, ipc-proc.c). */
int linux_proc_text(struct pk_request *request, const char *path, struct strbuf *ret_text);
int linux_proc_ipc(struct pk_request *request, const char *path, struct strbuf *ret_text);
int linux_proc_keys(struct pk_request *request, bool users, struct strbuf *ret_text);

void linux_register_lsm(struct pk_kernel *kernel);    /* lsm.c; part of the system family */
void linux_register_limits(struct pk_kernel *kernel); /* limits.c; part of the system family */

/*
 * True when a descriptor is an AF_UNIX datagram socket, which has to stay in the window; write and
 * writev on one of them, of which `fd` is a duplicate (unix-datagram.c, unix-send.c).
 */
bool unix_is_datagram(int fd);
struct pk_answer unix_send(struct pk_request *request, int fd);

/* prctl(2), part of the identity family (prctl.c). */
struct pk_answer linux_prctl(struct pk_request *request);

/*
 * fcntl(2) with F_SETOWN, F_SETOWN_EX or F_SETSIG, ioctl(2) with FIOSETOWN or SIOCSPGRP: whoever
 * gets SIGIO must belong to the tree. Called by the handlers of fcntl and ioctl for descriptors
 * outside the window; -EINVAL for other commands (owner.c).
 */
struct pk_answer linux_set_owner(struct pk_request *request);

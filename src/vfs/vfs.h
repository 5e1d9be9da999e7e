/*
 * The names of a guest: a mount table, a path walk and file system types behind one interface
 * (vfs/fs.h). This header is what personalities, the launcher and the CLI use.
 *
 * Threads: kernel thread only, except where a function says otherwise. No function blocks for
 * longer than the host's own file system does; opening a FIFO, which can block for ever, is handed
 * back to the caller (struct vfs_opened).
 *
 * Paths inside are bytes, at most PATH_MAX with the terminator; a component at most NAME_MAX.
 * All functions return 0 or a value >= 0 on success and a negative errno on failure.
 */
#pragma once

#include <linux/stat.h> /* struct statx as the kernel's uapi has it */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "core/answer.h"
#include "core/context.h"

struct pk_kernel;
struct pk_request;
struct strbuf;
struct vfs;
struct vfs_fs;
struct vfs_handle;
struct vfs_node;

/* The text of the guest's /proc/filesystems, which sysfs(2) reads, too. */
#define VFS_FILESYSTEMS                                                          \
    "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\n" \
    "nodev\tdevpts\nnodev\toverlay\n"

/*
 * A place in the guest's tree: an object together with the way to it. Counted references. Its path
 * follows renames made through this VFS.
 */
struct vfs_place;

struct vfs_place *vfs_place_ref(struct vfs_place *place);
void vfs_place_unref(struct vfs_place *place); /* NULL is allowed */
/* For __attribute__((cleanup)). */
void vfs_place_unrefp(struct vfs_place **place);
#define cleanup_place __attribute__((cleanup(vfs_place_unrefp)))

/* Canonical absolute guest path, without symbolic links; valid while the reference is held. */
const char *vfs_place_path(const struct vfs_place *place);

/* True when the directory (or file) has been removed since. */
bool vfs_place_is_deleted(const struct vfs_place *place);

/* S_IFMT bits of the object. */
mode_t vfs_place_type(const struct vfs_place *place);

/* On whose behalf a walk happens: permissions, ownership of new files, /proc/self. */
struct vfs_actor {
    pid_t pid; /* host numbers of the calling process and thread; */
    pid_t tid; /* 0 for the kernel itself */
    const struct pk_identity *identity;
    mode_t mask;                /* umask */
    struct pk_request *request; /* NULL when there is none */
};

enum vfs_walk_flags {
    VFS_NOFOLLOW = 1 << 0,      /* a symbolic link as last component is the object itself */
    VFS_EMPTY_PATH = 1 << 1,    /* "" means the base itself */
    VFS_NO_SYMLINKS = 1 << 2,   /* RESOLVE_NO_SYMLINKS: -ELOOP at any symbolic link */
    VFS_NO_MAGICLINKS = 1 << 3, /* RESOLVE_NO_MAGICLINKS: -ELOOP at /proc/PID/exe and its kind */
    VFS_BENEATH = 1 << 4,       /* RESOLVE_BENEATH: -EXDEV when the walk leaves the base */
    VFS_IN_ROOT = 1 << 5,       /* RESOLVE_IN_ROOT: the base is "/" for this walk */
    VFS_NO_XDEV = 1 << 6,       /* RESOLVE_NO_XDEV: -EXDEV at a mount point */
    VFS_ONLY_LOOK = 1 << 7,     /* the place is asked for attributes at once, and not kept */
};

struct vfs_walk {
    const struct vfs_actor *actor;
    struct vfs_place *root; /* of the process */
    struct vfs_place *base; /* where a relative path starts */
    const char *path;
    unsigned flags;
};

/* Finds an existing object. The walk is that of path_resolution(7), symbolic links at most 40. */
int vfs_resolve(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_place);

/*
 * As vfs_resolve(), and opens a regular file for reading on the way where that costs nothing more;
 * else `*ret_fd` is -1. The descriptor is the caller's; it says nothing about permissions.
 */
int vfs_resolve_opened(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_place,
                       int *ret_fd);

/*
 * Finds the directory in which the last component of the path lies or would lie, and that
 * component's name. -EEXIST-like cases: for "/", "." and ".." as last component the name is "/",
 * "." or ".." and the parent is the directory so named; callers answer EEXIST, EBUSY, EINVAL or
 * ENOTEMPTY as the call demands. `ret_slash` is true when the path ended in a slash.
 */
int vfs_resolve_parent(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_parent,
                       char ret_name[256], bool *ret_slash);

/* What vfs_open() hands out. */
struct vfs_opened {
    int fd;      /* ours; goes to the guest with pk_descriptor() */
    bool window; /* must be installed in the window of kernel-served descriptors */
    bool blocks; /* a FIFO, or a file with a lease on it: `fd` is an O_PATH descriptor, to be
                    reopened by a worker through /proc/self/fd with `block_flags`, since that may
                    wait for a peer */
    int block_flags;
    bool is_fifo;
};

/*
 * May a lease be had on the file behind a descriptor of the guest, of which `fd` is a duplicate?
 * 0 on a file of the host in a mount that may be written to; -EAGAIN on one that the process kernel
 * has open, too (in memory, or in a layer); -EACCES on what the guest may only read, where a lease
 * would hold up the host's programs; -EINVAL on anything else.
 */
int vfs_may_lease(struct vfs *vfs, int fd);

/*
 * True when a guest's descriptor is an O_PATH one, of which `fd` is a duplicate: a real one, or
 * what vfs_open() made to stand for one.
 */
bool vfs_is_path_only(struct vfs *vfs, int fd);

/* The flags that F_GETFL shows of such a descriptor, O_PATH among them; 0: it is none. */
int vfs_path_only_flags(struct vfs *vfs, int fd);

/*
 * An O_PATH descriptor of the object for our own use. Returns it, or -EOPNOTSUPP when the object
 * has none.
 */
int vfs_open_own_path(struct vfs_place *place, const struct vfs_actor *actor);

/*
 * Opens or creates as openat2(2) does: O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH,
 * O_TMPFILE and the status flags. With O_PATH a kernel-served descriptor is made, because the host
 * installs no O_PATH descriptor in another process. `mode` comes without the umask applied; the
 * actor's mask is. Unknown flags must have been rejected or dropped by the caller.
 */
int vfs_open(struct vfs *vfs, const struct vfs_walk *walk, int flags, mode_t mode,
             struct vfs_opened *ret_opened);

/* Creation in a directory; `name` is a plain component (not ".", ".." or with a slash). */
int vfs_mkdir(struct vfs_place *parent, const char *name, mode_t mode,
              const struct vfs_actor *actor);
int vfs_mknod(struct vfs_place *parent, const char *name, mode_t mode, dev_t device,
              const struct vfs_actor *actor);
int vfs_symlink(struct vfs_place *parent, const char *name, const char *target,
                const struct vfs_actor *actor);
int vfs_link(struct vfs_place *object, struct vfs_place *parent, const char *name,
             const struct vfs_actor *actor);

/* unlink(2), or rmdir(2) with `directory`. Sticky directories and mount points are respected. */
int vfs_unlink(struct vfs_place *parent, const char *name, bool directory,
               const struct vfs_actor *actor);

/* renameat2(2) with RENAME_NOREPLACE, RENAME_EXCHANGE or 0. */
int vfs_rename(struct vfs_place *old_parent, const char *old_name, struct vfs_place *new_parent,
               const char *new_name, unsigned flags, const struct vfs_actor *actor);

/* Attributes of an object, as the guest is to see them (identity mapped). */
int vfs_stat(struct vfs_place *place, struct statx *ret_stat);
int vfs_access(struct vfs_place *place, int mode, const struct vfs_actor *actor, bool effective);
int vfs_statfs(struct vfs_place *place, struct statfs *ret_statfs);
/* Returns the length; not terminated. Magic links give the text that readlink(2) shows. */
ssize_t vfs_readlink(struct vfs_place *place, char *text, size_t size,
                     const struct vfs_actor *actor);
int vfs_chmod(struct vfs_place *place, mode_t mode, const struct vfs_actor *actor);
/* -1 leaves an id as it is. */
int vfs_chown(struct vfs_place *place, uid_t uid, gid_t gid, const struct vfs_actor *actor);
/* times[0] access, times[1] modification; UTIME_NOW and UTIME_OMIT as in utimensat(2). */
int vfs_utimens(struct vfs_place *place, const struct timespec times[2],
                const struct vfs_actor *actor, bool times_given);
int vfs_truncate(struct vfs_place *place, off_t length, const struct vfs_actor *actor);
ssize_t vfs_getxattr(struct vfs_place *place, const char *name, void *value, size_t size,
                     const struct vfs_actor *actor);
int vfs_setxattr(struct vfs_place *place, const char *name, const void *value, size_t size,
                 int flags, const struct vfs_actor *actor);
ssize_t vfs_listxattr(struct vfs_place *place, char *names, size_t size,
                      const struct vfs_actor *actor);
int vfs_removexattr(struct vfs_place *place, const char *name, const struct vfs_actor *actor);

/*
 * Adds a watch on the object to an inotify instance that is not one of vfs/watch.h; returns the
 * watch number. -ENOSPC where no object of the host is behind it: programs fall back to polling.
 */
int vfs_inotify_add(struct vfs_place *place, int inotify_fd, uint32_t mask);

/*
 * AF_UNIX names. `socket_fd` is a duplicate of the guest's socket. Binding gives -EADDRINUSE when
 * the name exists. Connecting through a read-only mount gives -EXDEV: a socket of the host is a
 * way out that only a writable mount (--bind) opens; it may wait for room in the listener's queue
 * unless the socket is non-blocking. The host's getsockname() tells a /proc/self/fd name of ours.
 */
int vfs_bind_socket(struct vfs_place *parent, const char *name, mode_t mode, int socket_fd,
                    const struct vfs_actor *actor);
int vfs_connect_socket(struct vfs_place *place, int socket_fd, const struct vfs_actor *actor);

/*
 * The place behind a descriptor (ours, usually a duplicate of a guest's). Works for every
 * descriptor: pipes, sockets and files from outside give a place whose operations act on the
 * descriptor itself. The place keeps what it needs; `fd` stays the caller's.
 */
int vfs_place_of_fd(struct vfs *vfs, int fd, struct vfs_place **ret_place);

/* The id of the mount that covers a guest path, as mountinfo shows it; -1: none. */
int vfs_mount_id(struct vfs *vfs, const char *path);

/* The process whose own directory in proc this is; 0 when it is none. */
pid_t vfs_process_of_place(const struct vfs_place *place);

/*
 * Attributes of the object behind a descriptor: what vfs_place_of_fd() and vfs_stat() give, but
 * without looking for the name where the descriptor itself tells all.
 */
int vfs_stat_fd(struct vfs *vfs, int fd, struct statx *ret_stat);

/* As vfs_place_of_fd(), only when it is a directory, else -ENOTDIR. For dirfd arguments and
 * fchdir(2). */
int vfs_directory_of_fd(struct vfs *vfs, int fd, struct vfs_place **ret_place);

/*
 * Appends the content of a file of proc or sys as the actor of the walk would read it now, without
 * a descriptor. Returns 0, what the walk or the permission check gives, -EOPNOTSUPP when the object
 * is no regular file of proc, sys or dev.
 */
int vfs_read_generated(struct vfs *vfs, const struct vfs_walk *walk, struct strbuf *ret_text);

/*
 * The text that readlink("/proc/PID/fd/N") shows the guest for this descriptor of ours: a guest
 * path, "pipe:[N]", "socket:[N]", "/memfd:x (deleted)". Appends nothing of the host that the guest
 * could not see: a file outside of every mount is "/(outside)". Returns the length.
 */
ssize_t vfs_describe_fd(struct vfs *vfs, int fd, char *text, size_t size);

/* Guest path for a host path as /proc/PID/maps shows it; false when no mount covers it. */
bool vfs_guest_path(struct vfs *vfs, const char *host_path, char *ret_path, size_t size);

/*
 * An open object whose calls the process kernel serves: merged directories, generated files,
 * devices. Found by the identity (device and inode number) of the descriptor that the guest holds,
 * so that dup, fork and SCM_RIGHTS need no bookkeeping.
 */
struct vfs_handle *vfs_handle_of_fd(struct vfs *vfs, int fd);

/*
 * Serves read, write, pread64, pwrite64, readv, writev, preadv*, pwritev*, lseek, ioctl, mmap,
 * ftruncate, fsync, getdents and getdents64 on a handle. `fd` is a duplicate of the guest's
 * descriptor (it carries the file position of directories and files). Answers native when the
 * call needs no service.
 */
struct pk_answer vfs_handle_call(struct vfs_handle *handle, struct pk_request *request, int fd);

/*
 * What can take the place of a kernel-served descriptor `fd` outside of the window, where writes
 * are native: returns a descriptor (the caller's) for one that is only written to, such as that of
 * a shell's redirection into a file of /proc; else -EOPNOTSUPP or another negative errno. What is
 * written to it reaches the file before the guest's next served call.
 */
int vfs_handle_redirect(struct vfs_handle *handle, struct pk_request *request, int fd);

/*
 * Fills `buffer` with struct linux_dirent64 records of the directory behind `fd` from its current
 * position and advances it. Works for handles and plain host directories. Returns bytes, 0 at end.
 */
ssize_t vfs_getdents(struct vfs *vfs, int fd, void *buffer, size_t size,
                     const struct vfs_actor *actor);

/* ---- making the tree ---- */

enum vfs_mount_flags {
    VFS_MOUNT_READ_ONLY = 1 << 0,
    VFS_MOUNT_NODEV = 1 << 1,
    VFS_MOUNT_NOEXEC = 1 << 2,
    VFS_MOUNT_NOSUID = 1 << 3,
};

/* Makes an empty VFS for a kernel and sets kernel->vfs and kernel->places. */
int vfs_new(struct pk_kernel *kernel, struct vfs **ret_vfs);
/* Places still held (by contexts) stay valid and free the rest when the last of them goes. */
void vfs_free(struct vfs *vfs);

/*
 * Mounts a file system (consumed in every case) at an absolute guest path. The first mount must be
 * "/"; later mount points must exist as a directory (or as a file, for a file mount) in what is
 * mounted so far, else -ENOENT. `source` and `type` are what /proc/mounts shows.
 */
int vfs_mount(struct vfs *vfs, const char *path, struct vfs_fs *fs, unsigned flags,
              const char *source, const char *type);

/*
 * Adds flags to what is mounted at a canonical guest path. Returns 0, or -EINVAL where nothing is.
 */
int vfs_mount_restrict(struct vfs *vfs, const char *path, unsigned flags);

/* The root directory of the tree, a new reference. NULL before the first mount. */
struct vfs_place *vfs_root(struct vfs *vfs);

/* Calls `visit` for each mount in the order made; for /proc/mounts and `--diff`. */
struct vfs_mount_info {
    int id, parent_id;
    const char *path, *source, *type;
    unsigned flags;
    dev_t device;
};
int vfs_for_each_mount(struct vfs *vfs, int (*visit)(const struct vfs_mount_info *, void *),
                       void *user);

/*
 * A host directory or file. `host_path` is opened now and never looked up again; the object it
 * names is the root, nothing above it can be reached. The host's /proc, /sys, /dev and their kind
 * are refused with -EPERM; where they lie below the root they appear as empty directories.
 */
int vfs_host_new(struct vfs *vfs, const char *host_path, struct vfs_fs **ret_fs);

/*
 * The attributes that the root of vfs_host_new() would have: those of a host path, with owners as
 * the guest sees them. Returns 0, or what vfs_host_new() says.
 */
int vfs_host_stat(struct vfs *vfs, const char *host_path, struct statx *ret_stat);

/*
 * Protects the host file behind `fd` (any descriptor of it, O_PATH too; it stays the caller's) from
 * all guests, however writable the mount is that shows it: it cannot be opened for writing,
 * truncated, linked, renamed, removed or given other attributes through any of its names (-EPERM),
 * and neither its name nor that of a directory on its host path, as they are now, can be renamed,
 * removed or taken by something else (-EBUSY). For the programs that the host executes. Returns 0,
 * -ESTALE when the file has no name (any more), or another negative errno; then it may be protected
 * in part.
 */
int vfs_protect(struct vfs *vfs, int fd);

/*
 * Protects in the same way the files NAME and NAME.anything of the host directory behind
 * `directory` (any descriptor of it, borrowed), as they are at the time of each look: a log that
 * others rotate while guests run. The directory cannot be renamed or removed either. Once for each
 * `vfs`; -EBUSY the second time. Returns 0 or a negative errno.
 */
int vfs_protect_log(struct vfs *vfs, int directory, const char *name);

/* Gives up a file system that was not mounted after all. NULL is allowed. */
void vfs_fs_unref(struct vfs_fs *fs);

/* An empty memory file system (memfds); limits in bytes and inodes, 0: none. */
int vfs_memory_new(struct vfs *vfs, uint64_t max_bytes, uint64_t max_inodes, mode_t root_mode,
                   struct vfs_fs **ret_fs);

/*
 * A directory or file (S_IFDIR or S_IFREG in `type`) that can be seen and not be entered, opened or
 * changed (EACCES), whoever the guest is: its capabilities count for nothing here.
 */
int vfs_hidden_new(struct vfs *vfs, mode_t type, struct vfs_fs **ret_fs);

/*
 * `upper` (memory, or a host directory) over `lower` (read only); both are consumed on success.
 * Whiteouts and opaque directories of a host upper are in the kernel overlayfs' own format, with
 * trusted.overlay.* as root and user.overlay.* otherwise; ownership and device nodes that the user
 * could not set are recorded in user.cerebro.* attributes.
 */
int vfs_overlay_new(struct vfs *vfs, struct vfs_fs *lower, struct vfs_fs *upper,
                    struct vfs_fs **ret_fs);

/*
 * An archive (archive/archive.h, consumed on success) as a tree of files that cannot be changed. As
 * if the guest's user had unpacked it: root sees the owners that it names, others own everything.
 */
struct archive;
int vfs_archive_new(struct vfs *vfs, struct archive *archive, struct vfs_fs **ret_fs);

/* /proc of this kernel's own tasks, and /dev with null zero full random urandom tty ptmx pts shm.
 */
int vfs_proc_new(struct vfs *vfs, struct vfs_fs **ret_fs);
int vfs_dev_new(struct vfs *vfs, struct vfs_fs **ret_fs);
/* A small read-only /sys: what common programs read. */
int vfs_sys_new(struct vfs *vfs, struct vfs_fs **ret_fs);
/* /sys/kernel/debug: what vfs/inspect.h tells of the kernel, for every guest process to read. */
int vfs_debug_new(struct vfs *vfs, struct vfs_fs **ret_fs);

/* What changed in an overlay: one call a path, in lexical order. For `--diff`. */
enum vfs_change { VFS_ADDED = 'A', VFS_MODIFIED = 'M', VFS_DELETED = 'D' };
int vfs_overlay_changes(struct vfs_fs *overlay,
                        int (*visit)(enum vfs_change change, const char *path,
                                     const struct statx *stat, void *user),
                        void *user);

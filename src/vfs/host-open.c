#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfs/host-internal.h"

/* The status flags that F_SETFL sets; it has to be given all of them. */
#define SETTABLE (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

/* Opened non-blocking in case it were something else than a file; the guest did not ask for that.
 */
static int restore_blocking(int fd, int flags)
{
    if (flags & O_NONBLOCK)
        return 0;
    return fcntl(fd, F_SETFL, flags & SETTABLE) < 0 ? -errno : 0;
}

static bool is_written(int flags)
{
    return !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC));
}

static bool is_plain(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode);
}

/*
 * The node of an object just opened: directories serve as base of later walks, files seldom need a
 * descriptor of their own; then a duplicate does as well as an O_PATH one.
 */
static int node_of_opened(struct host_node *base, const char *rel, int fd, const struct statx *stat,
                          bool keeps, struct vfs_node **ret_node)
{
    struct host_fs *fs = host_fs_of(&base->node);
    int path_fd = -1;

    if (S_ISDIR(stat->stx_mode))
        path_fd = openat(fd, ".", O_PATH | O_CLOEXEC);
    else if (keeps)
        path_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (path_fd >= 0)
        return host_node_new(fs, path_fd, stat, ret_node);
    return host_node_new_lazy(fs, base, rel, stat, ret_node);
}

int host_open_direct(struct host_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);
    int flags = lookup->open_flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL);
    cleanup_close int fd = -1;
    struct statx stat;
    int r;

    if (flags & (O_PATH | (O_TMPFILE & ~O_DIRECTORY)))
        return HOST_NOT_TAKEN;
    if ((flags & O_TRUNC) && fs->fs.vfs->protected_count)
        return HOST_NOT_TAKEN; /* it would have happened before we see to what */
    flags |= lookup->follow_last ? 0 : O_NOFOLLOW;
    /* Not into other mounts: opening a device there would already be an act. */
    fd = host_open_beneath(host_fd(base), rel, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           RESOLVE_NO_XDEV);
    if (fd == -ELOOP || fd == -EXDEV || fd == -ENXIO || fd == -EAGAIN || fd == -ENOSYS ||
        fd == -EPERM || fd == -ENODEV || fd == -ENOTDIR)
        return HOST_NOT_TAKEN;
    if (fd < 0)
        return fd;
    r = host_statx(fd, &stat);
    if (r < 0)
        return r;
    if (S_ISFIFO(stat.stx_mode))
        fs->careful = true; /* opening a FIFO is seen by its other end: from now on look first */
    if (!is_plain(stat.stx_mode))
        return HOST_NOT_TAKEN;
    r = restore_blocking(fd, flags);
    if (r == 0)
        r = node_of_opened(base, rel, fd, &stat, lookup->keeps, &lookup->node);
    if (r == 0 && is_written(flags)) {
        r = host_may_change(host_node_of(lookup->node));
        if (r < 0)
            vfs_node_unref(take_ptr(lookup->node));
    }
    if (r < 0)
        return r;
    lookup->opened_fd = take_fd(&fd);
    return VFS_LOOKUP_NODE;
}

/* Opens the object behind an O_PATH descriptor anew. */
static int reopen(int path_fd, int flags)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_close int fd = -1;
    int r;

    flags &= ~O_NOFOLLOW;
    fd = open(io_fd_path(path_fd, path), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = restore_blocking(fd, flags);
    return r < 0 ? r : take_fd(&fd);
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    return copy < 0 ? -errno : copy;
}

/*
 * O_RDONLY and O_WRONLY wait for the other end; that is for a worker to do. It has our rights, so
 * the task's are looked at here.
 */
static int open_fifo(struct vfs_node *node, int path_fd, const struct vfs_open_request *request,
                     struct vfs_opened *ret_opened)
{
    int flags = request->flags;
    bool waits = !(flags & O_NONBLOCK) && (flags & O_ACCMODE) != O_RDWR;
    int r = waits ? host_access(node, (flags & O_ACCMODE) == O_RDONLY ? R_OK : W_OK, request->actor)
                  : 0;
    int fd = r < 0 ? r : waits ? duplicate(path_fd) : reopen(path_fd, flags);

    host_fs_of(node)->careful = true;
    if (fd < 0)
        return fd;
    *ret_opened =
        (struct vfs_opened){.fd = fd, .blocks = waits, .block_flags = flags, .is_fifo = true};
    return 0;
}

/*
 * Somebody has a lease on the file, and has just been told to give it back: a native open waits for
 * that, for as long as fs.lease-break-time. The host has judged the rights already.
 */
static int wait_for_lease(int path_fd, int flags, struct vfs_opened *ret_opened)
{
    int fd = duplicate(path_fd);

    if (fd < 0)
        return fd;
    *ret_opened = (struct vfs_opened){.fd = fd, .blocks = true, .block_flags = flags};
    return 0;
}

int host_open(struct vfs_node *node, const struct vfs_open_request *request,
              struct vfs_opened *ret_opened)
{
    struct host_node *host = host_node_of(node);
    int path_fd;
    int fd;

    if (host->sealed)
        return -EOPNOTSUPP;
    path_fd = host_fd(host);
    if (path_fd < 0)
        return path_fd;
    if (is_written(request->flags) && host_may_change(host) < 0)
        return -EPERM;

    cleanup_acting struct host_acting acting =
        host_act(node->fs->vfs, request->flags & O_PATH ? NULL : request->actor);

    if (request->flags & O_PATH)
        fd = duplicate(path_fd);
    else if (is_plain(node->type))
        fd = reopen(path_fd, request->flags);
    else if (S_ISFIFO(node->type))
        return open_fifo(node, path_fd, request, ret_opened);
    else if (S_ISSOCK(node->type))
        return -ENXIO;
    else
        return S_ISLNK(node->type) ? -ELOOP : -EACCES; /* devices of the host: never */
    if (fd == -EAGAIN && !(request->flags & O_NONBLOCK))
        return wait_for_lease(path_fd, request->flags & ~O_NOFOLLOW, ret_opened);
    if (fd < 0)
        return fd;
    host_changed(host); /* O_TRUNC, access time */
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

int host_create(struct vfs_node *parent, const char *name, const struct vfs_open_request *request,
                struct vfs_node **ret_node, struct vfs_opened *ret_opened)
{
    struct host_node *directory = host_node_of(parent);
    int flags = request->flags | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC; /* never follows */
    cleanup_close int fd = -1;
    int parent_fd = host_fd(directory);
    struct statx stat;
    int r;

    if (directory->sealed)
        return -EACCES;
    if (parent_fd < 0)
        return parent_fd;
    r = host_may_make_name(directory, name);
    if (r < 0)
        return r;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, request->actor);

    fd = openat(parent_fd, name, flags & ~(O_PATH | O_TRUNC), request->mode & 07777);
    if (fd < 0)
        return -errno;
    host_changed(directory);
    host_record_owner(host_fs_of(parent), fd, request->actor);
    r = host_statx(fd, &stat);
    if (r == 0 && ret_node)
        r = host_node_new_lazy(host_fs_of(parent), directory, name, &stat, ret_node);
    if (r < 0)
        return r;
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd)};
    return 0;
}

int host_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened)
{
    struct host_node *directory = host_node_of(parent);
    int parent_fd = host_fd(directory);
    int fd;

    if (directory->sealed)
        return -EACCES;
    if (parent_fd < 0)
        return parent_fd;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, request->actor);

    fd = openat(parent_fd, ".", request->flags | O_TMPFILE | O_CLOEXEC, request->mode & 07777);
    if (fd < 0)
        return -errno;
    host_record_owner(host_fs_of(parent), fd, request->actor);
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

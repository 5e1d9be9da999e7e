#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vfs/host-internal.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

/*
 * Many calls refuse O_PATH descriptors but take their name in /proc, which leads to exactly that
 * object, symbolic links included. Returns `path` or NULL with *ret_error set.
 */
static char *proc_path(struct vfs_node *node, char path[IO_FD_PATH_SIZE], int *ret_error)
{
    int fd = host_fd(host_node_of(node));

    if (fd < 0 || host_node_of(node)->sealed) {
        *ret_error = fd < 0 ? fd : -EACCES;
        return NULL;
    }
    return io_fd_path(fd, path);
}

/* The attributes read by the lookup serve the first stat of the same operation. */
int host_stat(struct vfs_node *node, struct statx *ret_stat)
{
    struct host_node *host = host_node_of(node);
    int fd;
    int r;

    if (host->epoch != 0 && host->epoch == node->fs->vfs->epoch) {
        host->epoch = 0;
        *ret_stat = host->stat;
    } else {
        fd = host_fd(host);
        if (fd < 0)
            return fd;
        r = host_statx(fd, ret_stat);
        if (r < 0)
            return r;
    }
    if (host->sealed)
        ret_stat->stx_mode = S_IFDIR | 0555;
    host_owner_map(host, ret_stat);
    return 0;
}

/* The host decides, with the rights of the user who runs us, or of the task where it has fewer. */
int host_access(struct vfs_node *node, int mode, const struct vfs_actor *actor)
{
    int fd = host_fd(host_node_of(node));
    char path[IO_FD_PATH_SIZE];

    if (fd < 0)
        return fd;
    if (host_node_of(node)->sealed)
        return mode & W_OK ? -EACCES : 0;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    if (syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH | AT_EACCESS) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
    return faccessat(AT_FDCWD, io_fd_path(fd, path), mode, AT_EACCESS) < 0 ? -errno : 0;
}

int host_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    int fd = host_fd(host_node_of(node));

    if (fd < 0)
        return fd;
    return fstatfs(fd, ret_statfs) < 0 ? -errno : 0;
}

ssize_t host_readlink(struct vfs_node *node, char *text, size_t size, const struct vfs_actor *actor)
{
    int fd = host_fd(host_node_of(node));
    ssize_t length;

    (void)actor;
    if (fd < 0)
        return fd;
    if (!S_ISLNK(node->type))
        return -EINVAL;
    length = readlinkat(fd, "", text, size);
    return length < 0 ? -errno : length;
}

int host_chmod(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    host_changed(host_node_of(node));
    if (S_ISLNK(node->type))
        return -EOPNOTSUPP;
    r = host_may_chmod(host_node_of(node), mode);
    if (r < 0 || !proc_path(node, path, &r))
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

int host_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    int fd = host_fd(host_node_of(node));

    if (fd < 0)
        return fd;
    if (host_node_of(node)->sealed || host_may_change(host_node_of(node)) < 0)
        return -EPERM;
    host_changed(host_node_of(node));
    if (vfs_kernel(node->fs->vfs)->config.virtual_identity)
        return host_owner_change(host_node_of(node), uid, gid, actor);
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int host_utimens(struct vfs_node *node, const struct timespec times[2],
                 const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    host_changed(host_node_of(node));
    r = host_may_change(host_node_of(node));
    if (r < 0 || !proc_path(node, path, &r))
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}

/* By a descriptor: truncate() would wait for whoever has a lease on the file. */
static int truncate_without_waiting(const char *path, off_t length)
{
    cleanup_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return ftruncate(fd, length) < 0 ? -errno : 0;
}

int host_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    host_changed(host_node_of(node));
    if (!S_ISREG(node->type))
        return S_ISDIR(node->type) ? -EISDIR : -EINVAL;
    r = host_may_change(host_node_of(node));
    if (r < 0 || !proc_path(node, path, &r))
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return truncate_without_waiting(path, length);
}

ssize_t host_getxattr(struct vfs_node *node, const char *name, void *value, size_t size)
{
    char path[IO_FD_PATH_SIZE];
    ssize_t length;
    int r = 0;

    if (!proc_path(node, path, &r))
        return r;
    length = getxattr(path, name, value, size);
    return length < 0 ? -errno : length;
}

int host_setxattr(struct vfs_node *node, const char *name, const void *value, size_t size,
                  int flags, const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    host_changed(host_node_of(node));
    /* An access control list is a mode, too. */
    r = strncmp(name, "system.", 7) == 0 ? host_may_chmod(host_node_of(node), 0)
                                         : host_may_change(host_node_of(node));
    if (r < 0 || !proc_path(node, path, &r))
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
}

ssize_t host_listxattr(struct vfs_node *node, char *names, size_t size)
{
    char path[IO_FD_PATH_SIZE];
    ssize_t length;
    int r = 0;

    if (!proc_path(node, path, &r))
        return r;
    length = listxattr(path, names, size);
    return length < 0 ? -errno : length;
}

int host_removexattr(struct vfs_node *node, const char *name, const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    host_changed(host_node_of(node));
    r = host_may_change(host_node_of(node));
    if (r < 0 || !proc_path(node, path, &r))
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return removexattr(path, name) < 0 ? -errno : 0;
}

int host_backing(struct vfs_node *node)
{
    char path[IO_FD_PATH_SIZE];
    int fd;
    int r = 0;

    if (!proc_path(node, path, &r))
        return r;
    fd = fcntl(host_fd(host_node_of(node)), F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

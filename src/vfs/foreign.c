/*
 * Objects that are no part of the guest's tree: pipes, sockets, the user's terminal, files that
 * were handed in. Every operation acts on the descriptor itself; there is nothing to look up.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/vfs-internal.h"

/* Unix98 terminals; Documentation/admin-guide/devices.txt */
#define PTY_MAJOR  136
#define PTY_MAJORS 8

struct foreign {
    struct vfs_node node;
    int fd; /* a duplicate of ours */
};

static struct foreign *foreign_of(const struct vfs_node *node)
{
    return container_of(node, struct foreign, node);
}

static void release(struct vfs_node *node)
{
    base_close(foreign_of(node)->fd);
    free(foreign_of(node));
}

static void destroy(struct vfs_fs *fs)
{
    free(fs);
}

static int foreign_stat(struct vfs_node *node, struct statx *ret_stat)
{
    if (statx(foreign_of(node)->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, ret_stat) <
        0)
        return -errno;
    ret_stat->stx_uid = vfs_uid_to_guest(node->fs->vfs, ret_stat->stx_uid);
    ret_stat->stx_gid = vfs_gid_to_guest(node->fs->vfs, ret_stat->stx_gid);
    return 0;
}

static int foreign_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    return fstatfs(foreign_of(node)->fd, ret_statfs) < 0 ? -errno : 0;
}

/*
 * Reopening by way of /proc/self/fd or /dev/stdin must not give more than was handed in: a file
 * that the user opened for reading stays unwritable. Memfds are the guest's own.
 */
static int check_access_mode(int fd, int flags)
{
    char link[IO_FD_PATH_SIZE];
    char text[16] = "";
    int had = fcntl(fd, F_GETFL);
    int want = flags & O_ACCMODE;

    if (had < 0)
        return -errno;
    if (had & O_PATH)
        return flags & O_PATH ? 0 : -EACCES;
    if ((flags & O_TRUNC) && want == O_RDONLY)
        want = O_RDWR;
    if ((flags & O_PATH) || (had & O_ACCMODE) == O_RDWR || (had & O_ACCMODE) == want)
        return 0;
    if (readlink(io_fd_path(fd, link), text, sizeof(text) - 1) < 0)
        return -errno;
    return strncmp(text, "/memfd:", 7) == 0 || strncmp(text, "pipe:", 5) == 0 ? 0 : -EACCES;
}

/* Whoever opens a file of the host's proc decides what it shows, and we may see more. */
static int reopen(int original, int flags)
{
    char path[IO_FD_PATH_SIZE];
    struct statfs fs;
    int fd;

    io_fd_path(original, path);
    if (fstatfs(original, &fs) < 0)
        return -errno;
    if (fs.f_type == PROC_SUPER_MAGIC && !(flags & O_PATH))
        return vfs_open_without_rights(AT_FDCWD, path, flags);
    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int foreign_open(struct vfs_node *node, const struct vfs_open_request *request,
                        struct vfs_opened *ret_opened)
{
    int original = foreign_of(node)->fd;
    cleanup_close int fd = -1;
    int flags = request->flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL);
    int r = check_access_mode(original, flags);

    if (r < 0)
        return r;
    /* Neither a terminal nor a FIFO of the host may hold us up. */
    fd = reopen(original, flags | O_NOCTTY | (flags & O_PATH ? 0 : O_NONBLOCK));
    if (fd < 0)
        return take_fd(&fd);
    if (!(flags & (O_PATH | O_NONBLOCK)) && fcntl(fd, F_SETFL, flags & (O_APPEND | O_DIRECT)) < 0)
        return -errno;
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd)};
    return 0;
}

/*
 * A descriptor opened for reading is no right to change the object: it may be a file of a read-only
 * mount, or of an overlay's lower whose name the guest has removed since. Devices are shared with
 * the whole host; terminals of the user are changed by many programs, and are the user's.
 */
static int may_change(const struct vfs_node *node)
{
    int fd = foreign_of(node)->fd;
    int flags = fcntl(fd, F_GETFL);
    struct stat stat;

    if (flags < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (S_ISCHR(stat.st_mode))
        return major(stat.st_rdev) >= PTY_MAJOR && major(stat.st_rdev) < PTY_MAJOR + PTY_MAJORS
                   ? 0
                   : -EPERM;
    if (S_ISBLK(stat.st_mode))
        return -EPERM;
    if (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode))
        return stat.st_nlink == 0 || (flags & O_ACCMODE) != O_RDONLY ? 0 : -EPERM;
    return 0;
}

static int foreign_chmod(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor)
{
    int r = may_change(node);

    (void)actor;
    if (r < 0)
        return r;
    return fchmod(foreign_of(node)->fd, mode) < 0 ? -errno : 0;
}

/* With virtual ids the host's owner cannot be made what the guest asks for; nothing is recorded. */
static int foreign_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    int r = may_change(node);

    (void)actor;
    if (r < 0 || vfs_kernel(node->fs->vfs)->config.virtual_identity)
        return r;
    return fchown(foreign_of(node)->fd, uid, gid) < 0 ? -errno : 0;
}

static int foreign_utimens(struct vfs_node *node, const struct timespec times[2],
                           const struct vfs_actor *actor)
{
    int r = may_change(node);

    (void)actor;
    if (r < 0)
        return r;
    return futimens(foreign_of(node)->fd, times) < 0 ? -errno : 0;
}

static int foreign_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor)
{
    (void)actor;
    return ftruncate(foreign_of(node)->fd, length) < 0 ? -errno : 0;
}

static ssize_t foreign_getxattr(struct vfs_node *node, const char *name, void *value, size_t size)
{
    ssize_t length = fgetxattr(foreign_of(node)->fd, name, value, size);

    return length < 0 ? -errno : length;
}

static int foreign_setxattr(struct vfs_node *node, const char *name, const void *value, size_t size,
                            int flags, const struct vfs_actor *actor)
{
    int r = may_change(node);

    (void)actor;
    if (r < 0)
        return r;
    return fsetxattr(foreign_of(node)->fd, name, value, size, flags) < 0 ? -errno : 0;
}

static ssize_t foreign_listxattr(struct vfs_node *node, char *names, size_t size)
{
    ssize_t length = flistxattr(foreign_of(node)->fd, names, size);

    return length < 0 ? -errno : length;
}

static int foreign_removexattr(struct vfs_node *node, const char *name,
                               const struct vfs_actor *actor)
{
    int r = may_change(node);

    (void)actor;
    if (r < 0)
        return r;
    return fremovexattr(foreign_of(node)->fd, name) < 0 ? -errno : 0;
}

static const struct vfs_fs_ops foreign_ops = {
    .name = "foreign",
    .release = release,
    .destroy = destroy,
    .stat = foreign_stat,
    .statfs = foreign_statfs,
    .open = foreign_open,
    .chmod = foreign_chmod,
    .chown = foreign_chown,
    .utimens = foreign_utimens,
    .truncate = foreign_truncate,
    .getxattr = foreign_getxattr,
    .setxattr = foreign_setxattr,
    .listxattr = foreign_listxattr,
    .removexattr = foreign_removexattr,
};

int foreign_new(struct vfs *vfs, struct vfs_fs **ret_fs)
{
    struct vfs_fs *fs = calloc(1, sizeof(*fs));

    if (fs == NULL)
        return -ENOMEM;
    *fs = (struct vfs_fs){.ops = &foreign_ops, .vfs = vfs, .refs = 1};
    *ret_fs = fs;
    return 0;
}

int foreign_node(struct vfs *vfs, int fd, struct vfs_node **ret_node)
{
    struct foreign *foreign;
    struct stat stat;
    int copy;

    if (fstat(fd, &stat) < 0)
        return -errno;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    foreign = calloc(1, sizeof(*foreign));
    if (foreign == NULL) {
        base_close(copy);
        return -ENOMEM;
    }
    foreign->node = (struct vfs_node){.fs = vfs->foreign, .refs = 1, .type = stat.st_mode & S_IFMT};
    foreign->fd = copy;
    *ret_node = &foreign->node;
    return 0;
}

bool foreign_is(const struct vfs_node *node)
{
    return node->fs->ops == &foreign_ops;
}

int foreign_fd(const struct vfs_node *node)
{
    return foreign_is(node) ? foreign_of(node)->fd : -EINVAL;
}

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

static bool is_virtual(const struct vfs_fs *fs)
{
    return vfs_kernel(fs->vfs)->config.virtual_identity;
}

static bool read_owner(const char *path, uid_t *ret_uid, gid_t *ret_gid)
{
    char text[32];
    unsigned uid, gid;
    ssize_t length = getxattr(path, HOST_OWNER_ATTRIBUTE, text, sizeof(text) - 1);

    if (length <= 0)
        return false;
    text[length] = '\0';
    if (sscanf(text, "%u:%u", &uid, &gid) != 2)
        return false;
    *ret_uid = uid;
    *ret_gid = gid;
    return true;
}

static int write_owner(const char *path, uid_t uid, gid_t gid)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "%u:%u", uid, gid);

    return setxattr(path, HOST_OWNER_ATTRIBUTE, text, (size_t)length, 0) < 0 ? -errno : 0;
}

/*
 * Ids as the guest sees them: recorded ones first, which only our own files can have. Root can set
 * every owner, so nothing is ever recorded for it.
 */
static void map_owner(struct host_node *node, struct statx *stat)
{
    struct vfs *vfs = node->node.fs->vfs;
    uid_t runner = vfs_kernel(vfs)->host_identity.uid;
    bool ours = runner != 0 && stat->stx_uid == runner;
    char path[IO_FD_PATH_SIZE];
    uid_t uid;
    gid_t gid;

    stat->stx_uid = vfs_uid_to_guest(vfs, stat->stx_uid);
    stat->stx_gid = vfs_gid_to_guest(vfs, stat->stx_gid);
    if (!ours || !(S_ISREG(stat->stx_mode) || S_ISDIR(stat->stx_mode)) || host_fd(node) < 0)
        return;
    if (read_owner(io_fd_path(host_fd(node), path), &uid, &gid)) {
        stat->stx_uid = uid;
        stat->stx_gid = gid;
    }
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
    if (is_virtual(node->fs))
        map_owner(host, ret_stat);
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

static uid_t uid_to_host(const struct vfs *vfs, uid_t uid)
{
    const struct pk_kernel *kernel = vfs_kernel(vfs);

    return uid == kernel->config.identity.uid ? kernel->host_identity.uid : uid;
}

static gid_t gid_to_host(const struct vfs *vfs, gid_t gid)
{
    const struct pk_kernel *kernel = vfs_kernel(vfs);

    return gid == kernel->config.identity.gid ? kernel->host_identity.gid : gid;
}

/* chown(2) of the kernel, decided on the guest's own identity. */
static int may_chown(const struct statx *stat, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    const struct pk_identity *identity = actor->identity;

    if (identity->effective & 1) /* CAP_CHOWN is bit 0 */
        return 0;
    if (identity->fsuid != stat->stx_uid || (uid != (uid_t)-1 && uid != stat->stx_uid))
        return -EPERM;
    if (gid == (gid_t)-1 || gid == stat->stx_gid || gid == identity->fsgid)
        return 0;
    for (unsigned i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == gid)
            return 0;
    return -EPERM;
}

static int record_chown(struct vfs_node *node, const struct statx *stat, uid_t uid, gid_t gid)
{
    char path[IO_FD_PATH_SIZE];
    int r = 0;

    if (!(S_ISREG(node->type) || S_ISDIR(node->type)))
        return 0; /* no place for a record; as fake root pretends, it worked */
    if (!proc_path(node, path, &r))
        return r;
    return write_owner(path, uid == (uid_t)-1 ? stat->stx_uid : uid,
                       gid == (gid_t)-1 ? stat->stx_gid : gid);
}

static int chown_virtual(struct vfs_node *node, int fd, uid_t uid, gid_t gid,
                         const struct vfs_actor *actor)
{
    struct vfs *vfs = node->fs->vfs;
    char path[IO_FD_PATH_SIZE];
    struct statx stat;
    uid_t host_uid = uid == (uid_t)-1 ? uid : uid_to_host(vfs, uid);
    gid_t host_gid = gid == (gid_t)-1 ? gid : gid_to_host(vfs, gid);
    uid_t recorded_uid;
    gid_t recorded_gid;
    bool recorded;
    int r = host_stat(node, &stat);

    if (r == 0)
        r = may_chown(&stat, uid, gid, actor);
    if (r < 0)
        return r;
    recorded = read_owner(io_fd_path(fd, path), &recorded_uid, &recorded_gid);
    /* A record that stays behind would hide half of what the host is told now. */
    if (!recorded && fchownat(fd, "", host_uid, host_gid, AT_EMPTY_PATH) == 0)
        return 0;
    if (!recorded && errno != EPERM)
        return -errno;
    return record_chown(node, &stat, uid, gid);
}

int host_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    int fd = host_fd(host_node_of(node));

    if (fd < 0)
        return fd;
    if (host_node_of(node)->sealed || host_may_change(host_node_of(node)) < 0)
        return -EPERM;
    host_changed(host_node_of(node));
    if (is_virtual(node->fs))
        return chown_virtual(node, fd, uid, gid, actor);
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

void host_record_owner(struct host_fs *fs, int fd, const struct vfs_actor *actor)
{
    const struct pk_identity *first = &vfs_kernel(fs->fs.vfs)->config.identity;
    char path[IO_FD_PATH_SIZE];

    /* Where we can act as the task, the host knows already. */
    if (!is_virtual(&fs->fs) || fs->fs.vfs->self.can_act ||
        (actor->identity->fsuid == first->uid && actor->identity->fsgid == first->gid))
        return;
    /* Where attributes are not supported the owner is the user: nothing better can be done. */
    (void)write_owner(io_fd_path(fd, path), actor->identity->fsuid, actor->identity->fsgid);
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

    return truncate(path, length) < 0 ? -errno : 0;
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
    r = host_may_change(host_node_of(node));
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

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfs/host-internal.h"

int host_statx(int fd, struct statx *ret_stat)
{
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, ret_stat) < 0)
        return -errno;
    return 0;
}

static struct host_node *node_allocate(struct host_fs *fs, const struct statx *stat)
{
    struct host_node *node = malloc(sizeof(*node));

    if (node == NULL)
        return NULL;
    node->node = (struct vfs_node){.fs = &fs->fs, .refs = 1, .type = stat->stx_mode & S_IFMT};
    node->fd = -1;
    node->sealed = false;
    node->epoch = fs->fs.vfs->epoch;
    node->device = host_stat_device(stat);
    node->inode = stat->stx_ino;
    node->base = NULL;
    node->rel = NULL;
    node->stat = *stat;
    return node;
}

int host_node_new(struct host_fs *fs, int fd, const struct statx *stat, struct vfs_node **ret_node)
{
    struct host_node *node = node_allocate(fs, stat);

    if (node == NULL) {
        base_close(fd);
        return -ENOMEM;
    }
    node->fd = fd;
    *ret_node = &node->node;
    return 0;
}

int host_node_new_lazy(struct host_fs *fs, struct host_node *base, const char *rel,
                       const struct statx *stat, struct vfs_node **ret_node)
{
    struct host_node *node = node_allocate(fs, stat);
    char *copy = strdup(rel);

    if (node == NULL || copy == NULL) {
        free(node);
        free(copy);
        return -ENOMEM;
    }
    node->rel = copy;
    node->base = base;
    vfs_node_ref(&base->node);
    *ret_node = &node->node;
    return 0;
}

static void drop_base(struct host_node *node)
{
    if (node->base)
        vfs_node_unref(&node->base->node);
    free(node->rel);
    node->base = NULL;
    node->rel = NULL;
}

int host_fd(struct host_node *node)
{
    struct statx stat;
    int base_fd;
    int fd;
    int r;

    if (node->fd >= 0)
        return node->fd;
    if (node->base == NULL)
        return -EBADF;
    base_fd = host_fd(node->base);
    if (base_fd < 0)
        return base_fd;
    fd = host_open_beneath(base_fd, node->rel, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = host_statx(fd, &stat);
    if (r == 0 && (stat.stx_ino != node->inode || host_stat_device(&stat) != node->device))
        r = -ESTALE;
    if (r < 0) {
        base_close(fd);
        return r;
    }
    node->fd = fd;
    drop_base(node);
    return fd;
}

bool vfs_is_host_node(const struct vfs_node *node)
{
    return fs_is_host(node->fs);
}

int vfs_host_node_fd(struct vfs_node *node)
{
    return vfs_is_host_node(node) ? host_fd(host_node_of(node)) : -EINVAL;
}

int vfs_host_node_of_fd(struct vfs_fs *fs, int fd, struct vfs_node **ret_node)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_close int own = open(io_fd_path(fd, path), O_PATH | O_CLOEXEC);
    struct statx stat;
    int r;

    if (own < 0)
        return -errno;
    r = host_statx(own, &stat);
    if (r < 0)
        return r;
    return host_node_new(container_of(fs, struct host_fs, fs), take_fd(&own), &stat, ret_node);
}

const char *host_fs_path(const struct vfs_fs *fs)
{
    return container_of(fs, struct host_fs, fs)->path;
}

/* Where the object is gone already, whoever uses the node is told so. */
static void hold(struct vfs_node *node)
{
    (void)host_fd(host_node_of(node));
}

static void release(struct vfs_node *node)
{
    struct host_node *host = host_node_of(node);

    base_close(host->fd);
    drop_base(host);
    free(host);
}

static void destroy(struct vfs_fs *fs)
{
    struct host_fs *host = container_of(fs, struct host_fs, fs);

    for (size_t i = 0; i < HOST_LINKS; i++) {
        free(host->links[i].prefix);
        free(host->links[i].target);
    }
    host_cache_free(host);
    map_free(&host->verdicts);
    free(host->path);
    free(host);
}

const struct vfs_fs_ops vfs_host_ops = {
    .name = "host",
    .lookup = host_lookup,
    .hold = hold,
    .release = release,
    .destroy = destroy,
    .stat = host_stat,
    .access = host_access,
    .statfs = host_statfs,
    .open = host_open,
    .create = host_create,
    .tmpfile = host_tmpfile,
    .mkdir = host_mkdir,
    .mknod = host_mknod,
    .symlink = host_symlink,
    .link = host_link,
    .unlink = host_unlink,
    .rename = host_rename,
    .readlink = host_readlink,
    .chmod = host_chmod,
    .chown = host_chown,
    .utimens = host_utimens,
    .truncate = host_truncate,
    .getxattr = host_getxattr,
    .setxattr = host_setxattr,
    .listxattr = host_listxattr,
    .removexattr = host_removexattr,
    .backing = host_backing,
    .bind_socket = host_bind_socket,
    .connect_socket = host_connect_socket,
    .readdir = host_readdir,
};

static char *path_of_fd(int fd)
{
    char link[IO_FD_PATH_SIZE];
    char text[VFS_PATH_MAX];
    ssize_t length = readlink(io_fd_path(fd, link), text, sizeof(text) - 1);

    if (length < 0)
        return NULL;
    text[length] = '\0';
    return strdup(text);
}

int vfs_host_new(struct vfs *vfs, const char *host_path, struct vfs_fs **ret_fs)
{
    cleanup_close int fd = open(host_path, O_PATH | O_CLOEXEC);
    struct host_fs *fs;
    struct statx stat;
    int r;

    if (fd < 0)
        return -errno;
    r = host_statx(fd, &stat);
    if (r < 0)
        return r;
    if (host_is_forbidden(fd, host_stat_device(&stat)))
        return -EPERM;
    fs = calloc(1, sizeof(*fs));
    if (fs == NULL)
        return -ENOMEM;
    fs->fs = (struct vfs_fs){.ops = &vfs_host_ops, .vfs = vfs, .refs = 1};
    fs->device = fs->fs.device = host_stat_device(&stat);
    fs->path = path_of_fd(fd);
    r = fs->path ? host_node_new(fs, take_fd(&fd), &stat, &fs->fs.root) : -ENOMEM;
    if (r < 0) {
        destroy(&fs->fs);
        return r;
    }
    host_changed(host_node_of(fs->fs.root));
    *ret_fs = &fs->fs;
    return 0;
}

int vfs_host_stat(struct vfs *vfs, const char *host_path, struct statx *ret_stat)
{
    struct vfs_fs *fs;
    int r = vfs_host_new(vfs, host_path, &fs);

    if (r < 0)
        return r;
    r = node_stat(fs->root, ret_stat);
    vfs_fs_unref(fs);
    return r;
}

/*
 * What covers a path that the user has hidden: one object without content and without any right.
 * Not a memory file system with mode 000, because that would open for a guest that believes to be
 * root.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "vfs/fs.h"

#define TMPFS_MAGIC 0x01021994

struct hidden_fs {
    struct vfs_fs base;
    struct vfs_node node;
};

static int hidden_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup)
{
    (void)base;
    (void)rel;
    (void)lookup;
    return -EACCES;
}

static void hidden_release(struct vfs_node *node)
{
    (void)node; /* part of the file system */
}

static void hidden_destroy(struct vfs_fs *fs)
{
    free(container_of(fs, struct hidden_fs, base));
}

static int hidden_stat(struct vfs_node *node, struct statx *ret_stat)
{
    *ret_stat = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = 4096,
        .stx_nlink = S_ISDIR(node->type) ? 2 : 1,
        .stx_mode = (uint16_t)node->type,
        .stx_ino = 1,
        .stx_dev_major = major(node->fs->device),
        .stx_dev_minor = minor(node->fs->device),
    };
    return 0;
}

static int hidden_access(struct vfs_node *node, int mode, const struct vfs_actor *actor)
{
    (void)node;
    (void)actor;
    return mode == 0 ? 0 : -EACCES;
}

static int hidden_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    (void)node;
    *ret_statfs = (struct statfs){.f_type = TMPFS_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static int hidden_open(struct vfs_node *node, const struct vfs_open_request *request,
                       struct vfs_opened *ret_opened)
{
    (void)node;
    (void)request;
    (void)ret_opened;
    return -EACCES;
}

static int hidden_connect(struct vfs_node *node, int socket_fd, const struct vfs_actor *actor)
{
    (void)node;
    (void)socket_fd;
    (void)actor;
    return -EACCES;
}

static int hidden_readdir(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor,
                          vfs_emit emit, void *user)
{
    (void)node;
    (void)from;
    (void)actor;
    (void)emit;
    (void)user;
    return -EACCES;
}

static int hidden_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor)
{
    (void)node;
    (void)length;
    (void)actor;
    return -EACCES;
}

/* Operations that are left out answer EPERM; names cannot be made in what cannot be searched. */
static const struct vfs_fs_ops hidden_ops = {
    .name = "hidden",
    .magic = TMPFS_MAGIC,
    .lookup = hidden_lookup,
    .release = hidden_release,
    .destroy = hidden_destroy,
    .stat = hidden_stat,
    .access = hidden_access,
    .statfs = hidden_statfs,
    .open = hidden_open,
    .truncate = hidden_truncate,
    .readdir = hidden_readdir,
    .connect_socket = hidden_connect,
};

int vfs_hidden_new(struct vfs *vfs, mode_t type, struct vfs_fs **ret_fs)
{
    struct hidden_fs *fs = calloc(1, sizeof(*fs));

    if (fs == NULL)
        return -ENOMEM;
    fs->base =
        (struct vfs_fs){.ops = &hidden_ops, .vfs = vfs, .refs = 1, .device = vfs_new_device(vfs)};
    fs->node = (struct vfs_node){.fs = &fs->base, .refs = 1, .type = type & S_IFMT};
    fs->base.root = &fs->node;
    *ret_fs = &fs->base;
    return 0;
}

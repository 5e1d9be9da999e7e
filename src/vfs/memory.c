#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/io.h"

struct timespec memory_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now;
}

void memory_touch(struct memory_node *node, bool content)
{
    node->ctime = memory_now();
    if (content)
        node->mtime = node->ctime;
}

/* The part of stat that permissions depend on. */
static struct statx memory_owner_stat(const struct memory_node *node)
{
    return (struct statx){.stx_mode = (uint16_t)(node->base.type | node->mode),
                          .stx_uid = node->uid,
                          .stx_gid = node->gid,
                          .stx_ino = node->inode};
}

int memory_may(const struct memory_node *node, const struct vfs_actor *actor, int may)
{
    struct statx stat = memory_owner_stat(node);

    return vfs_permission(actor, &stat, may);
}

bool memory_owned_by(const struct memory_node *node, const struct vfs_actor *actor)
{
    struct statx stat = memory_owner_stat(node);

    return vfs_is_owner(actor, &stat);
}

/* Owner, group and mode of a new object, as the kernel's inode_init_owner() has it. */
static void init_owner(struct memory_node *node, const struct memory_node *parent,
                       const struct vfs_actor *actor)
{
    const struct pk_identity *identity = actor->identity;

    node->uid = identity->fsuid;
    node->gid = identity->fsgid;
    if (!parent || !(parent->mode & S_ISGID))
        return;
    node->gid = parent->gid;
    if (node->base.type == S_IFDIR)
        node->mode |= S_ISGID;
    else if ((node->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
             !memory_is_member(actor, node->gid) && !memory_can(actor, CAP_FSETID))
        node->mode &= ~(mode_t)S_ISGID;
}

/* Allocates what the type of a node needs beside the node itself. */
static int init_type(struct memory_node *node)
{
    if (node->base.type == S_IFDIR) {
        node->directory = calloc(1, sizeof(*node->directory));
        return node->directory ? 0 : -ENOMEM;
    }
    if (node->base.type == S_IFREG) {
        node->content = calloc(1, sizeof(*node->content));
        if (!node->content)
            return -ENOMEM;
        node->content->fd = -1;
        node->content->node = node;
        list_init(&node->content->link);
        return 0;
    }
    if (node->base.type == S_IFIFO || node->base.type == S_IFSOCK)
        node->special_fd = -1;
    return 0;
}

int memory_node_new(struct memory_fs *fs, const struct memory_node *parent, mode_t mode,
                    const struct vfs_actor *actor, struct memory_node **ret_node)
{
    struct memory_node *node;

    if (fs->max_inodes && fs->inode_count >= fs->max_inodes)
        return -ENOSPC;
    node = calloc(1, sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->base = (struct vfs_node){.fs = &fs->base, .refs = 1, .type = mode & S_IFMT};
    node->mode = mode & 07777;
    if (init_type(node) < 0) {
        free(node);
        return -ENOMEM;
    }
    init_owner(node, parent, actor);
    node->inode = ++fs->next_inode;
    node->nlink = node->base.type == S_IFDIR ? 2 : 1;
    node->btime = memory_now();
    node->atime = node->mtime = node->ctime = node->btime;
    fs->inode_count++;
    *ret_node = node;
    return 0;
}

/* The last entry of a directory that is being torn down, NULL when it is empty. */
static struct name_entry *last_entry(struct memory_node *node)
{
    struct name_table *names = &node->directory->names;

    while (names->used && !name_table_at(names, names->used - 1))
        names->used--;
    return names->used ? name_table_at(names, names->used - 1) : NULL;
}

/* Empties a tree. Walks up by the parents: a guest may have nested deeper than our stack. */
static void free_names(struct memory_node *root)
{
    struct memory_node *at = root;

    while (at) {
        struct name_entry *entry = last_entry(at);
        struct memory_node *child;

        if (!entry) {
            at = at == root ? NULL : at->directory->parent;
            continue;
        }
        child = entry->value;
        if (child->base.type == S_IFDIR && child->directory->names.count) {
            at = child;
            continue;
        }
        name_table_remove(&at->directory->names, entry);
        if (child->base.type == S_IFDIR)
            child->directory->parent = NULL;
        vfs_node_unref(&child->base);
    }
}

static void memory_release(struct vfs_node *base)
{
    struct memory_node *node = memory_of(base);

    if (base == base->fs->root) { /* the file system goes: everything below goes first */
        memory_orphan_free(memory_fs_of(node));
        free_names(node);
    }

    memory_fs_of(node)->inode_count--;
    memory_xattr_free(node);
    switch (node->base.type) {
    case S_IFDIR:
        name_table_free(&node->directory->names);
        free(node->directory);
        break;
    case S_IFREG:
        memory_content_free(node);
        memory_park_free(node);
        free(node->content);
        break;
    case S_IFLNK:
        free(node->target);
        break;
    case S_IFIFO:
    case S_IFSOCK:
        memory_special_free(node);
        break;
    default:
        break;
    }
    free(node);
}

static void memory_destroy(struct vfs_fs *base)
{
    struct memory_fs *fs = container_of(base, struct memory_fs, base);

    free(fs);
}

/* A link as component: its text goes to the core, which substitutes it. */
static int lookup_link(const struct memory_node *link, size_t consumed, struct vfs_lookup *lookup)
{
    lookup->target = strdup(link->target);
    if (!lookup->target)
        return -ENOMEM;
    lookup->consumed = consumed;
    return VFS_LOOKUP_LINK;
}

static int lookup_step(const struct memory_node *at, const char *name, size_t length,
                       const struct vfs_actor *actor, struct memory_node **ret_node)
{
    const struct name_entry *entry;
    int r;

    if (at->base.type != S_IFDIR)
        return -ENOTDIR;
    r = memory_may(at, actor, VFS_MAY_EXEC);
    if (r < 0)
        return r;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    entry = name_table_find(&at->directory->names, name, length);
    if (!entry)
        return -ENOENT;
    *ret_node = entry->value;
    return 0;
}

static int memory_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct memory_node *at = memory_of(base);
    size_t offset = 0;

    for (;;) {
        size_t length = strcspn(rel + offset, "/");
        bool last = rel[offset + length] == '\0';
        int r = lookup_step(at, rel + offset, length, lookup->actor, &at);

        if (r < 0)
            return r;
        if (at->base.type == S_IFLNK && (!last || lookup->follow_last))
            return lookup_link(at, offset + length, lookup);
        if (last)
            break;
        offset += length + 1;
    }
    lookup->node = vfs_node_ref(&at->base);
    return VFS_LOOKUP_NODE;
}

static int memory_readdir(struct vfs_node *base, uint64_t from, const struct vfs_actor *actor,
                          vfs_emit emit, void *user)
{
    struct memory_node *node = memory_of(base);
    const struct name_table *names = &node->directory->names;

    (void)actor; /* listing was permitted when the directory was opened */
    if (from == 0)
        node->atime = memory_now();
    for (uint64_t i = from; i < names->used; i++) {
        const struct name_entry *entry = name_table_at(names, i);
        const struct memory_node *child = entry ? entry->value : NULL;

        if (!emit(user, entry ? entry->name : NULL, child ? child->inode : 0,
                  child ? child->base.type : 0))
            break;
    }
    return 0;
}

static ssize_t memory_readlink(struct vfs_node *base, char *text, size_t size,
                               const struct vfs_actor *actor)
{
    const struct memory_node *node = memory_of(base);
    size_t length;

    (void)actor;
    if (node->base.type != S_IFLNK)
        return -EINVAL;
    length = strlen(node->target);
    if (length > size)
        length = size;
    memcpy(text, node->target, length);
    return (ssize_t)length;
}

/* Without a limit of its own the host's memory is the limit, as `df` should show. */
static int memory_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    struct memory_fs *fs = memory_fs_of(memory_of(node));
    uint64_t used = memory_count_bytes(fs) / MEMORY_BLOCK;
    uint64_t blocks = fs->max_bytes / MEMORY_BLOCK;
    struct sysinfo info;

    memset(ret_statfs, 0, sizeof(*ret_statfs));
    if (!blocks && sysinfo(&info) == 0)
        blocks = (uint64_t)info.totalram * info.mem_unit / 2 / MEMORY_BLOCK;
    ret_statfs->f_type = TMPFS_MAGIC;
    ret_statfs->f_bsize = ret_statfs->f_frsize = MEMORY_BLOCK;
    ret_statfs->f_namelen = NAME_MAX;
    ret_statfs->f_blocks = blocks;
    ret_statfs->f_bfree = ret_statfs->f_bavail = used < blocks ? blocks - used : 0;
    ret_statfs->f_files = fs->max_inodes ? fs->max_inodes : blocks;
    ret_statfs->f_ffree =
        fs->inode_count < ret_statfs->f_files ? ret_statfs->f_files - fs->inode_count : 0;
    memcpy(&ret_statfs->f_fsid, &fs->base.device,
           sizeof(ret_statfs->f_fsid) < sizeof(fs->base.device) ? sizeof(ret_statfs->f_fsid)
                                                                : sizeof(fs->base.device));
    return 0;
}

/* A file that was never opened has none, and needs none before it is. */
static int memory_backing(struct vfs_node *base)
{
    struct memory_node *node = memory_of(base);
    int fd;

    if (base->type != S_IFREG || node->content->fd < 0)
        return -EOPNOTSUPP;
    fd = fcntl(node->content->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static bool memory_is_open(struct vfs_node *base)
{
    struct memory_node *node = memory_of(base);

    return base->type == S_IFREG && node->content->fd >= 0 &&
           memory_is_open_elsewhere(node->content->fd);
}

static const struct vfs_fs_ops memory_ops = {
    .name = "memory",
    .magic = TMPFS_MAGIC,
    .lookup = memory_lookup,
    .release = memory_release,
    .destroy = memory_destroy,
    .stat = memory_stat,
    .statfs = memory_statfs,
    .open = memory_open,
    .create = memory_create,
    .tmpfile = memory_tmpfile,
    .mkdir = memory_mkdir,
    .mknod = memory_mknod,
    .symlink = memory_symlink,
    .link = memory_link,
    .unlink = memory_unlink,
    .rename = memory_rename,
    .readlink = memory_readlink,
    .chmod = memory_chmod,
    .chown = memory_chown,
    .utimens = memory_utimens,
    .truncate = memory_truncate,
    .getxattr = memory_getxattr,
    .setxattr = memory_setxattr,
    .listxattr = memory_listxattr,
    .removexattr = memory_removexattr,
    .backing = memory_backing,
    .is_open = memory_is_open,
    .bind_socket = memory_bind_socket,
    .connect_socket = memory_connect_socket,
    .readdir = memory_readdir,
};

int vfs_memory_new(struct vfs *vfs, uint64_t max_bytes, uint64_t max_inodes, mode_t root_mode,
                   struct vfs_fs **ret_fs)
{
    struct vfs_actor maker = {.identity = &vfs_kernel(vfs)->config.identity};
    struct memory_fs *fs = calloc(1, sizeof(*fs));
    struct memory_node *root;

    if (!fs)
        return -ENOMEM;
    fs->base = (struct vfs_fs){.ops = &memory_ops, .vfs = vfs, .refs = 1};
    fs->base.device = vfs_new_device(vfs);
    fs->max_bytes = max_bytes;
    fs->max_inodes = max_inodes;
    fs->can_chown = geteuid() == 0;
    list_init(&fs->files);
    if (memory_node_new(fs, NULL, S_IFDIR | (root_mode & 07777), &maker, &root) < 0) {
        free(fs);
        return -ENOMEM;
    }
    fs->base.root = &root->base;
    *ret_fs = &fs->base;
    return 0;
}

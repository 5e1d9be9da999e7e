/*
 * An archive as a file system that nothing can be changed in. What is in the index is known, and a
 * file's content comes when it is opened: a file of its own without a name, found by its identity
 * as those of memory file systems are. The contents opened last are kept.
 *
 * It is as if the guest's user had unpacked the archive: root gets the owners that it names,
 * anybody else owns everything. Modes are the archive's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/memory-internal.h"

#define ARCHIVE_MAGIC 0x61726368 /* "arch" */
#define CONTENTS_MAX  128
#define CONTENT_MAX   (256ULL << 20) /* bytes of all that nobody has open */

struct archive_node {
    struct vfs_node node; /* first; never freed before the file system */
    const struct archive_object *object;
};

/* An unpacked file. */
struct content {
    struct archive_node *node; /* NULL: free */
    int fd;
    dev_t device; /* identity of the descriptor */
    ino_t inode;
    uint64_t used; /* when, as a count */
};

struct archive_fs {
    struct vfs_fs fs;
    struct archive *archive;
    struct archive_tree *tree;
    struct archive_node *nodes; /* by number less one */
    struct content contents[CONTENTS_MAX];
    uint64_t content_bytes, uses;
};

static struct archive_fs *archive_fs_of(struct vfs_fs *fs)
{
    return container_of(fs, struct archive_fs, fs);
}

static struct archive_node *archive_node_of(struct vfs_node *node)
{
    return container_of(node, struct archive_node, node);
}

/* ---- names and attributes ---- */

static int archive_stat(struct vfs_node *base, struct statx *ret_stat)
{
    const struct archive_object *object = archive_node_of(base)->object;
    const struct pk_identity *identity = &vfs_kernel(base->fs->vfs)->config.identity;
    bool is_root = identity->uid == 0;

    *ret_stat = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = 4096,
        .stx_nlink = object->link_count,
        .stx_mode = (uint16_t)object->mode,
        .stx_uid = is_root ? object->uid : identity->uid,
        .stx_gid = is_root ? object->gid : identity->gid,
        .stx_ino = object->number,
        .stx_size = object->size,
        .stx_blocks = (object->size + 511) / 512,
        .stx_mtime = {.tv_sec = object->mtime.tv_sec, .tv_nsec = (uint32_t)object->mtime.tv_nsec},
        .stx_dev_major = major(base->fs->device),
        .stx_dev_minor = minor(base->fs->device),
    };
    ret_stat->stx_atime = ret_stat->stx_ctime = ret_stat->stx_mtime;
    return 0;
}

static int may(struct archive_node *node, const struct vfs_actor *actor, int what)
{
    struct statx stat;

    archive_stat(&node->node, &stat);
    return vfs_permission(actor, &stat, what);
}

static int step(struct archive_node **at, const char *name, size_t length,
                const struct vfs_actor *actor)
{
    struct archive_fs *fs = archive_fs_of((*at)->node.fs);
    const struct archive_name *found;
    int r;

    if (!S_ISDIR((*at)->object->mode))
        return -ENOTDIR;
    r = may(*at, actor, VFS_MAY_EXEC);
    if (r < 0)
        return r;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    found = archive_tree_find(fs->tree, (*at)->object, name, length);
    if (found == NULL)
        return -ENOENT;
    *at = &fs->nodes[found->object->number - 1];
    return 0;
}

static int archive_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct archive_node *at = archive_node_of(base);

    for (size_t offset = 0;;) {
        size_t length = strcspn(rel + offset, "/");
        bool last = rel[offset + length] == '\0';
        int r = step(&at, rel + offset, length, lookup->actor);

        if (r < 0)
            return r;
        if (S_ISLNK(at->object->mode) && (!last || lookup->follow_last)) {
            lookup->consumed = offset + length;
            lookup->target = strdup(at->object->target);
            return lookup->target ? VFS_LOOKUP_LINK : -ENOMEM;
        }
        if (last)
            break;
        offset += length + 1;
    }
    lookup->node = vfs_node_ref(&at->node);
    return VFS_LOOKUP_NODE;
}

static int archive_readdir(struct vfs_node *base, uint64_t from, const struct vfs_actor *actor,
                           vfs_emit emit, void *user)
{
    const struct archive_object *object = archive_node_of(base)->object;

    (void)actor; /* listing was permitted when the directory was opened */
    for (uint64_t i = from; i < object->name_count; i++) {
        const struct archive_name *name = object->names[i];

        if (!emit(user, name->text, name->object->number, name->object->mode & S_IFMT))
            break;
    }
    return 0;
}

static ssize_t archive_readlink(struct vfs_node *base, char *text, size_t size,
                                const struct vfs_actor *actor)
{
    const struct archive_object *object = archive_node_of(base)->object;
    size_t length;

    (void)actor;
    if (!S_ISLNK(object->mode))
        return -EINVAL;
    length = strlen(object->target);
    length = length < size ? length : size;
    memcpy(text, object->target, length);
    return (ssize_t)length;
}

static int archive_statfs(struct vfs_node *node, struct statfs *ret_statfs)
{
    const struct archive_tree *tree = archive_fs_of(node->fs)->tree;

    *ret_statfs = (struct statfs){.f_type = ARCHIVE_MAGIC,
                                  .f_bsize = 4096,
                                  .f_frsize = 4096,
                                  .f_blocks = (tree->file_bytes + 4095) / 4096,
                                  .f_files = tree->object_count,
                                  .f_namelen = NAME_MAX};
    return 0;
}

/* ---- contents ---- */

static void drop_content(struct archive_fs *fs, struct content *content)
{
    vfs_forget_identity(fs->fs.vfs, content->device, content->inode);
    fs->content_bytes -= content->node->object->size;
    close(content->fd);
    *content = (struct content){.fd = -1};
}

/* The content used longest ago that no guest has open, NULL: none. */
static struct content *find_oldest(struct archive_fs *fs)
{
    struct content *oldest = NULL;

    for (size_t i = 0; i < CONTENTS_MAX; i++) {
        struct content *content = &fs->contents[i];

        if (content->node && (oldest == NULL || content->used < oldest->used) &&
            !memory_is_open_elsewhere(content->fd))
            oldest = content;
    }
    return oldest;
}

/* A free slot, with room for so many bytes as far as that can be had. */
static struct content *make_room(struct archive_fs *fs, uint64_t size)
{
    struct content *oldest;

    while (fs->content_bytes + size > CONTENT_MAX && (oldest = find_oldest(fs)))
        drop_content(fs, oldest);
    for (size_t i = 0; i < CONTENTS_MAX; i++)
        if (fs->contents[i].node == NULL)
            return &fs->contents[i];
    oldest = find_oldest(fs);
    if (oldest)
        drop_content(fs, oldest);
    return oldest;
}

static struct content *find_content(struct archive_fs *fs, const struct archive_node *node)
{
    for (size_t i = 0; i < CONTENTS_MAX; i++)
        if (fs->contents[i].node == node)
            return &fs->contents[i];
    return NULL;
}

static int need_content(struct archive_node *node, struct content **ret_content)
{
    struct archive_fs *fs = archive_fs_of(node->node.fs);
    struct content *content = find_content(fs, node);
    cleanup_close int fd = -1;
    struct stat stat;
    int r;

    if (content == NULL) {
        content = make_room(fs, node->object->size);
        if (content == NULL)
            return -ENFILE;
        fd = archive_content(fs->archive, node->object);
        if (fd < 0 || fstat(fd, &stat) < 0)
            return fd < 0 ? fd : -errno;
        r = vfs_register_identity(fs->fs.vfs, stat.st_dev, stat.st_ino, &node->node);
        if (r < 0)
            return r;
        *content = (struct content){node, take_fd(&fd), stat.st_dev, stat.st_ino, 0};
        fs->content_bytes += node->object->size;
    }
    content->used = ++fs->uses;
    *ret_content = content;
    return 0;
}

static int archive_open_node(struct vfs_node *base, const struct vfs_open_request *request,
                             struct vfs_opened *ret_opened)
{
    struct archive_node *node = archive_node_of(base);
    struct content *content = NULL;
    char path[IO_FD_PATH_SIZE];
    int r, fd;

    if (request->flags & O_PATH)
        return -EOPNOTSUPP;
    if ((request->flags & O_ACCMODE) != O_RDONLY || (request->flags & O_TRUNC))
        return -EROFS;
    r = may(node, request->actor, VFS_MAY_READ);
    if (r < 0)
        return r;
    if (!S_ISREG(base->type))
        return S_ISLNK(base->type) ? -ELOOP : -EOPNOTSUPP;
    r = need_content(node, &content);
    if (r < 0)
        return r;
    fd = open(io_fd_path(content->fd, path), O_RDONLY | O_CLOEXEC | (request->flags & O_NONBLOCK));
    if (fd < 0)
        return -errno;
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

/* ---- the file system ---- */

static void archive_release(struct vfs_node *node)
{
    (void)node; /* part of the file system */
}

static void archive_destroy(struct vfs_fs *base)
{
    struct archive_fs *fs = archive_fs_of(base);

    for (size_t i = 0; i < CONTENTS_MAX; i++)
        if (fs->contents[i].node)
            drop_content(fs, &fs->contents[i]);
    archive_free(fs->archive);
    free(fs->nodes);
    free(fs);
}

/* Nothing can be changed: operations that are left out answer EPERM, and the mount is read-only. */
static const struct vfs_fs_ops archive_ops = {
    .name = "archive",
    .magic = ARCHIVE_MAGIC,
    .lookup = archive_lookup,
    .release = archive_release,
    .destroy = archive_destroy,
    .stat = archive_stat,
    .statfs = archive_statfs,
    .open = archive_open_node,
    .readlink = archive_readlink,
    .readdir = archive_readdir,
};

int vfs_archive_new(struct vfs *vfs, struct archive *archive, struct vfs_fs **ret_fs)
{
    struct archive_tree *tree = archive_tree_of(archive);
    struct archive_fs *fs = calloc(1, sizeof(*fs));

    if (fs)
        fs->nodes = calloc(tree->object_count, sizeof(*fs->nodes));
    if (fs == NULL || fs->nodes == NULL) {
        free(fs);
        return -ENOMEM;
    }
    fs->fs =
        (struct vfs_fs){.ops = &archive_ops, .vfs = vfs, .refs = 1, .device = vfs_new_device(vfs)};
    fs->archive = archive;
    fs->tree = tree;
    for (size_t i = 0; i < tree->object_count; i++) {
        struct archive_node *node = &fs->nodes[i];

        node->object = tree->objects[i];
        node->node = (struct vfs_node){.fs = &fs->fs, .type = node->object->mode & S_IFMT};
    }
    fs->fs.root = vfs_node_ref(&fs->nodes[0].node);
    *ret_fs = &fs->fs;
    return 0;
}

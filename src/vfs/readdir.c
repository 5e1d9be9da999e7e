/*
 * Listing directories. Directories of the host are listed by the host, which also keeps the
 * position. Of all others the position is the file offset of the memfd behind the descriptor:
 * 0 is ".", 1 is "..", n + 2 is entry n of the file system.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs/descriptor-internal.h"

/* struct linux_dirent64 of include/linux/dirent.h */
struct record {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct listing {
    unsigned char *buffer;
    size_t size;
    size_t used;
    uint64_t position; /* of the next entry */
    bool full;
};

static bool add_record(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct listing *listing = user;
    size_t name_length = name ? strlen(name) : 0;
    size_t length = (offsetof(struct record, name) + name_length + 1 + 7) & ~(size_t)7;
    struct record record = {.inode = inode ? inode : 1,
                            .next = (int64_t)listing->position + 1,
                            .length = (uint16_t)length,
                            .type = (uint8_t)IFTODT(type)};
    unsigned char *at = listing->buffer + listing->used;

    if (name == NULL) { /* the number of a removed entry: counts, shows nothing */
        listing->position++;
        return true;
    }
    if (listing->size - listing->used < length) {
        listing->full = true;
        return false;
    }
    memset(at + length - 8, 0, 8);
    memcpy(at, &record, offsetof(struct record, name));
    memcpy(at + offsetof(struct record, name), name, name_length + 1);
    listing->used += length;
    listing->position++;
    return true;
}

/* Inode of the directory above, for ".."; tools compare it at the root only. */
static uint64_t parent_inode(const struct vfs_handle *handle, uint64_t own)
{
    struct vfs_place *root cleanup_place = NULL;
    struct vfs_place *parent cleanup_place = NULL;
    struct vfs_walk walk = {.path = "..", .base = handle->place};
    struct statx stat;

    if (handle->place == NULL || handle->place->deleted || handle->place->mount == NULL)
        return own;
    root = vfs_root(handle->place->vfs);
    walk.root = root;
    walk.actor = &handle->place->vfs->kernel_actor;
    if (root == NULL || vfs_resolve(handle->place->vfs, &walk, &parent) < 0 ||
        vfs_stat(parent, &stat) < 0)
        return own;
    return stat.stx_ino;
}

static int list_dots(const struct vfs_handle *handle, struct listing *listing)
{
    struct statx stat;
    int r;

    if (listing->position >= 2)
        return 0;
    r = node_stat(handle->node, &stat);
    if (r < 0)
        return r;
    if (listing->position == 0 && !add_record(listing, ".", stat.stx_ino, S_IFDIR))
        return 0;
    add_record(listing, "..", parent_inode(handle, stat.stx_ino), S_IFDIR);
    return 0;
}

static ssize_t list_served(const struct vfs_handle *handle, int fd, struct listing *listing,
                           const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = handle->node->fs->ops;
    off_t position = lseek(fd, 0, SEEK_CUR);
    int r;

    if (position < 0)
        return -errno;
    if (handle->place && handle->place->deleted)
        return -ENOENT;
    listing->position = (uint64_t)position;
    r = list_dots(handle, listing);
    if (r == 0 && !listing->full && ops->readdir)
        r = ops->readdir(handle->node, listing->position - 2, actor, add_record, listing);
    if (r < 0 && listing->used == 0)
        return r;
    if (listing->full && listing->used == 0)
        return -EINVAL;
    if (lseek(fd, (off_t)listing->position, SEEK_SET) < 0)
        return -errno;
    return (ssize_t)listing->used;
}

ssize_t vfs_getdents(struct vfs *vfs, int fd, void *buffer, size_t size,
                     const struct vfs_actor *actor)
{
    struct listing listing = {.buffer = buffer, .size = size > INT_MAX ? INT_MAX : size};
    struct vfs_handle *handle = vfs_handle_of_fd(vfs, fd);
    long length;

    if (handle) {
        if (handle->path_only)
            return -EBADF;
        if (!S_ISDIR(handle->node->type))
            return -ENOTDIR;
        return list_served(handle, fd, &listing, actor);
    }
    length = syscall(SYS_getdents64, fd, buffer, listing.size);
    return length < 0 ? -errno : length;
}

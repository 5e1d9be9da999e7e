/*
 * Listing directories. Directories of a host mount are listed by the host, which also keeps the
 * position. Of all others the position is the file offset of the guest's descriptor: 0 is ".", 1 is
 * "..", n + 2 is entry n of the file system.
 *
 * A directory that is an overlay's lower alone has a real descriptor, and the host lists it, but
 * with our positions: a name can be made or removed in it at any moment, and from then on the
 * merged directory is listed. Which position of the host belongs to which of ours is kept for those
 * who read on, and counted anew for others.
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
static uint64_t parent_inode(struct vfs_place *place, uint64_t own)
{
    struct vfs_place *root cleanup_place = NULL;
    struct vfs_place *parent cleanup_place = NULL;
    struct vfs_walk walk = {.path = "..", .base = place};
    struct statx stat;

    if (place == NULL || place->deleted || place->mount == NULL)
        return own;
    root = vfs_root(place->vfs);
    walk.root = root;
    walk.actor = &place->vfs->kernel_actor;
    if (root == NULL || vfs_resolve(place->vfs, &walk, &parent) < 0 || vfs_stat(parent, &stat) < 0)
        return own;
    return stat.stx_ino;
}

static int list_dots(struct vfs_node *node, struct vfs_place *place, struct listing *listing)
{
    struct statx stat;
    int r;

    if (listing->position >= 2)
        return 0;
    r = node_stat(node, &stat);
    if (r < 0)
        return r;
    if (listing->position == 0 && !add_record(listing, ".", stat.stx_ino, S_IFDIR))
        return 0;
    add_record(listing, "..", parent_inode(place, stat.stx_ino), S_IFDIR);
    return 0;
}

/* `place` may be NULL: there is no name to go up by. */
static ssize_t list_served(struct vfs_node *node, struct vfs_place *place, int fd,
                           struct listing *listing, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = node->fs->ops;
    off_t position = lseek(fd, 0, SEEK_CUR);
    int r;

    if (position < 0)
        return -errno;
    if (place && place->deleted)
        return -ENOENT;
    listing->position = (uint64_t)position;
    r = list_dots(node, place, listing);
    if (r == 0 && !listing->full && ops->readdir)
        r = ops->readdir(node, listing->position - 2, actor, add_record, listing);
    if (r < 0 && listing->used == 0)
        return r;
    if (listing->full && listing->used == 0)
        return -EINVAL;
    if (lseek(fd, (off_t)listing->position, SEEK_SET) < 0)
        return -errno;
    return (ssize_t)listing->used;
}

/* ---- directories of the host with our positions ---- */

static long host_records(int fd, void *buffer, size_t size)
{
    long length = syscall(SYS_getdents64, fd, buffer, size);

    return length < 0 ? -errno : length;
}

static const struct record *record_at(const unsigned char *buffer, long at)
{
    return (const struct record *)(buffer + at);
}

/* Our position behind a record, when it is `position` before it. */
static uint64_t position_after(uint64_t position, const struct record *record)
{
    if (strcmp(record->name, ".") == 0)
        return position > 1 ? position : 1;
    if (strcmp(record->name, "..") == 0)
        return position > 2 ? position : 2;
    return position < 2 ? 3 : position + 1;
}

/* Reads on from the beginning until as many names as `position` says have gone by. */
static int count_to(int fd, uint64_t position)
{
    unsigned char buffer[16384] __attribute__((aligned(8)));
    uint64_t at = 0;
    long length = 1;

    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    while (at < position && (length = host_records(fd, buffer, sizeof(buffer))) > 0)
        for (long offset = 0; offset < length; offset += record_at(buffer, offset)->length) {
            at = position_after(at, record_at(buffer, offset));
            if (at == position)
                return lseek(fd, record_at(buffer, offset)->next, SEEK_SET) < 0 ? -errno : 0;
        }
    return length < 0 ? (int)length : 0;
}

static struct vfs_reading *find_reading(struct vfs *vfs, const struct stat *stat, uint64_t position)
{
    for (size_t i = 0; i < VFS_READINGS; i++) {
        struct vfs_reading *reading = &vfs->readings[i];

        if (reading->position == position && reading->inode == stat->st_ino &&
            reading->device == stat->st_dev)
            return reading;
    }
    return NULL;
}

/* Brings the descriptor from our position to the host's. */
static int to_host_position(struct vfs *vfs, int fd, const struct stat *stat, uint64_t position)
{
    const struct vfs_reading *reading;

    if (position == 0)
        return 0;
    reading = find_reading(vfs, stat, position);
    if (reading == NULL)
        return count_to(fd, position);
    return lseek(fd, reading->host_position, SEEK_SET) < 0 ? -errno : 0;
}

static void note_reading(struct vfs *vfs, const struct stat *stat, uint64_t before,
                         const struct vfs_reading *reading)
{
    struct vfs_reading *slot = before ? find_reading(vfs, stat, before) : NULL;

    if (slot == NULL)
        slot = &vfs->readings[vfs->next_reading++ % VFS_READINGS];
    *slot = *reading;
}

static ssize_t list_lower(struct vfs *vfs, int fd, const struct stat *stat, struct listing *listing)
{
    off_t before = lseek(fd, 0, SEEK_CUR);
    struct vfs_reading reading = {.device = stat->st_dev, .inode = stat->st_ino};
    long length;

    if (before < 0)
        return -errno;
    length = to_host_position(vfs, fd, stat, (uint64_t)before);
    if (length == 0)
        length = host_records(fd, listing->buffer, listing->size);
    reading.position = (uint64_t)before;
    for (long at = 0; at < length;) {
        struct record *record = (struct record *)(listing->buffer + at);

        reading.position = position_after(reading.position, record);
        reading.host_position = record->next;
        record->next = (int64_t)reading.position;
        at += record->length;
    }
    if (length > 0)
        note_reading(vfs, stat, (uint64_t)before, &reading);
    if (lseek(fd, (off_t)reading.position, SEEK_SET) < 0)
        return -errno;
    return length;
}

/* What a real descriptor of a directory shows by now. */
static ssize_t list_real(struct vfs *vfs, int fd, struct listing *listing,
                         const struct vfs_actor *actor)
{
    struct vfs_place *place cleanup_place = NULL;
    const struct vfs_fs_ops *ops;
    struct stat stat;
    int r;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        return -ENOTDIR;
    r = vfs_place_of_fd(vfs, fd, &place);
    if (r < 0)
        return r;
    ops = place->node->fs->ops;
    if (ops->is_untouched == NULL)
        return host_records(fd, listing->buffer, listing->size);
    if (place->deleted)
        return -ENOENT;
    if (ops->is_untouched(place->node))
        return list_lower(vfs, fd, &stat, listing);
    return list_served(place->node, place, fd, listing, actor);
}

ssize_t vfs_getdents(struct vfs *vfs, int fd, void *buffer, size_t size,
                     const struct vfs_actor *actor)
{
    struct listing listing = {.buffer = buffer, .size = size > INT_MAX ? INT_MAX : size};
    struct vfs_handle *handle = vfs_handle_of_fd(vfs, fd);

    if (handle == NULL)
        return list_real(vfs, fd, &listing, actor);
    if (handle->path_only)
        return -EBADF;
    if (!S_ISDIR(handle->node->type))
        return -ENOTDIR;
    return list_served(handle->node, handle->place, fd, &listing, actor);
}

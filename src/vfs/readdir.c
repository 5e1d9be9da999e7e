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
#include "vfs/watch-internal.h"

#define FIRST_NAME 2 /* position behind the dots */

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

    if (listing->position >= FIRST_NAME)
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
static int list_served(struct vfs_node *node, struct vfs_place *place, struct listing *listing,
                       const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = node->fs->ops;
    int r = list_dots(node, place, listing);

    if (r == 0 && !listing->full && ops->readdir)
        r = ops->readdir(node, listing->position - FIRST_NAME, actor, add_record, listing);
    return r;
}

/* ---- directories of the host with our positions ---- */

static long host_records(int fd, void *buffer, size_t size)
{
    long length = syscall(SYS_getdents64, fd, buffer, size);

    return length < 0 ? -errno : length;
}

static struct record *record_at(unsigned char *buffer, long at)
{
    return (struct record *)(buffer + at);
}

/* The host has them anywhere in its order; here they come first. */
static bool is_dots(const struct record *record)
{
    return strcmp(record->name, ".") == 0 || strcmp(record->name, "..") == 0;
}

/* Reads on from the beginning until as many names as `position` says have gone by. */
static int count_to(int fd, uint64_t position)
{
    unsigned char buffer[16384] __attribute__((aligned(8)));
    uint64_t at = FIRST_NAME;
    long length = 1;

    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    while (at < position && (length = host_records(fd, buffer, sizeof(buffer))) > 0)
        for (long offset = 0; offset < length; offset += record_at(buffer, offset)->length) {
            if (is_dots(record_at(buffer, offset)) || ++at < position)
                continue;
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
    const struct vfs_reading *reading = find_reading(vfs, stat, position);

    if (reading == NULL)
        return count_to(fd, position);
    return lseek(fd, reading->host_position, SEEK_SET) < 0 ? -errno : 0;
}

static void note_reading(struct vfs *vfs, const struct stat *stat, uint64_t before,
                         uint64_t position, int64_t host_position)
{
    struct vfs_reading *slot = find_reading(vfs, stat, before);

    if (slot == NULL)
        slot = &vfs->readings[vfs->next_reading++ % VFS_READINGS];
    *slot = (struct vfs_reading){.device = stat->st_dev,
                                 .inode = stat->st_ino,
                                 .position = position,
                                 .host_position = host_position};
}

/* Gives the host's records our positions and leaves out its dots. Returns the host's position. */
static int64_t take_records(struct listing *listing, long length)
{
    unsigned char *from = listing->buffer + listing->used;
    int64_t host_position = 0;
    uint16_t size;

    for (long at = 0; at < length; at += size) {
        struct record *record = record_at(from, at);

        size = record->length;
        host_position = record->next;
        if (is_dots(record))
            continue;
        record->next = (int64_t)++listing->position;
        memmove(listing->buffer + listing->used, record, size);
        listing->used += size;
    }
    return host_position;
}

/* "." and ".." of a directory of the lower, whose parent is one of the lower as well. */
static void add_host_dots(int fd, const struct stat *stat, struct listing *listing)
{
    struct stat above;

    if (fstatat(fd, "..", &above, 0) < 0)
        above = *stat;
    if (listing->position == 0)
        add_record(listing, ".", stat->st_ino, S_IFDIR);
    if (listing->position == 1)
        add_record(listing, "..", above.st_ino, S_IFDIR);
}

/* Lists from `listing->position` on. The descriptor is left at some position of the host's. */
static int list_lower(struct vfs *vfs, int fd, const struct stat *stat, struct listing *listing)
{
    uint64_t before;
    size_t used;
    long length;

    if (listing->position < FIRST_NAME)
        add_host_dots(fd, stat, listing);
    if (listing->full)
        return 0;
    before = listing->position;
    used = listing->used;
    length = to_host_position(vfs, fd, stat, before);
    if (length < 0)
        return (int)length;
    do {
        int64_t host_position;

        length = host_records(fd, listing->buffer + used, listing->size - used);
        if (length <= 0)
            break;
        host_position = take_records(listing, length);
        note_reading(vfs, stat, before, listing->position, host_position);
    } while (listing->used == used); /* nothing but dots */
    listing->full = length == -EINVAL;
    return length == -EINVAL ? 0 : (int)(length < 0 ? length : 0);
}

/* ---- */

/* Lists a directory with positions of ours. `stat` not NULL: it has a real descriptor. */
static ssize_t list_ours(struct vfs_node *node, struct vfs_place *place, int fd,
                         const struct stat *stat, struct listing *listing,
                         const struct vfs_actor *actor)
{
    off_t position = lseek(fd, 0, SEEK_CUR);
    int r;

    if (position < 0)
        return -errno;
    if (place && place->deleted)
        return -ENOENT;
    listing->position = (uint64_t)position;
    if (stat && node->fs->ops->is_untouched(node))
        r = list_lower(node->fs->vfs, fd, stat, listing);
    else
        r = list_served(node, place, listing, actor);
    if (place && r == 0 && !stat && watch_is_active(place->vfs))
        watch_happened(place, IN_ACCESS);
    if (lseek(fd, (off_t)listing->position, SEEK_SET) < 0 && r == 0)
        r = -errno;
    if (r < 0 && listing->used == 0)
        return r;
    return listing->full && listing->used == 0 ? -EINVAL : (ssize_t)listing->used;
}

static ssize_t list_real(struct vfs *vfs, int fd, struct listing *listing,
                         const struct vfs_actor *actor)
{
    struct vfs_place *place cleanup_place = NULL;
    struct stat stat;
    int r;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        return -ENOTDIR;
    r = vfs_place_of_fd(vfs, fd, &place);
    if (r < 0)
        return r;
    if (place->node->fs->ops->is_untouched == NULL)
        return host_records(fd, listing->buffer, listing->size);
    return list_ours(place->node, place, fd, &stat, listing, actor);
}

ssize_t vfs_getdents(struct vfs *vfs, int fd, void *buffer, size_t size,
                     const struct vfs_actor *actor)
{
    struct listing listing = {.buffer = buffer, .size = size > INT_MAX ? INT_MAX : size};
    struct vfs_handle *handle = vfs_handle_of_fd(vfs, fd);

    if (handle == NULL)
        return list_real(vfs, fd, &listing, actor);
    if (handle->path_flags)
        return -EBADF;
    if (!S_ISDIR(handle->node->type))
        return -ENOTDIR;
    return list_ours(handle->node, handle->place, fd, NULL, &listing, actor);
}

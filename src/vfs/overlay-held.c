/*
 * Files of the upper that the guest may have open: their nodes stay, so that what a descriptor of
 * theirs is asked for leads to them. Closing is never seen; who has a nameless file open is found
 * out by looking at a few with every change of names, and every open.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/overlay-internal.h"

#define SWEEP_STEPS 4 /* looked at each time */

static uint64_t upper_key(const struct vfs_node *upper)
{
    return (uint64_t)(uintptr_t)upper;
}

static void drop_held(struct overlay_fs *fs, struct overlay_held *slot)
{
    if (!slot->node)
        return;
    vfs_forget_identity(fs->base.vfs, slot->device, slot->inode);
    fs->orphan_count -= slot->orphan;
    vfs_node_unref(&slot->node->base);
    *slot = (struct overlay_held){0};
}

void overlay_let_go(struct overlay_fs *fs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&fs->kept, &cursor)))
        vfs_node_unref(slot->value);
    map_free(&fs->kept);
    for (size_t i = 0; i < OVERLAY_HELD; i++)
        drop_held(fs, &fs->held[i]);
}

/*
 * The VFS finds the node of an open memory file by the identity of its memfd, without holding it.
 * So it has to live as long as the file of the upper does.
 */
void overlay_keep(struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(node);

    if (node->kept || !node->upper || !fs->memory)
        return;
    if (map_set(&fs->kept, upper_key(node->upper), node) < 0)
        return;
    node->kept = true;
    vfs_node_ref(&node->base);
}

/*
 * The node's O_PATH descriptor keeps the inode number from being used again meanwhile. A file that
 * falls out of the list is found by its host path, as long as it shows its own inode number.
 */
int overlay_hold(struct overlay_node *node, const struct stat *stat)
{
    bool is_origin = stat->st_ino == node->shown.inode && stat->st_dev == node->shown.device;
    struct overlay_fs *fs = overlay_fs_of(node);
    struct overlay_held *slot;
    int r;

    overlay_sweep(fs);
    for (size_t i = 0; i < OVERLAY_HELD && !is_origin; i++) {
        slot = &fs->held[i];
        if (slot->node && slot->inode == stat->st_ino && slot->device == stat->st_dev)
            return vfs_register_identity(fs->base.vfs, stat->st_dev, stat->st_ino,
                                         &slot->node->base);
    }
    r = (is_origin ? vfs_register_origin : vfs_register_identity)(fs->base.vfs, stat->st_dev,
                                                                  stat->st_ino, &node->base);
    if (r < 0)
        return r;
    slot = &fs->held[fs->held_next++ % OVERLAY_HELD];
    drop_held(fs, slot);
    *slot = (struct overlay_held){.node = node, .device = stat->st_dev, .inode = stat->st_ino};
    vfs_node_ref(&node->base);
    return 0;
}

/*
 * The memory file system itself finds out who has a nameless file open, and lets go of it. A
 * reference count of one says that only we are left.
 */
static bool is_done(struct overlay_fs *fs, const struct overlay_node *node)
{
    struct statx stat;

    return node->base.refs == 1 && node->upper->refs == 1 &&
           fs->upper->ops->stat(node->upper, &stat) == 0 && stat.stx_nlink == 0;
}

static void sweep_kept(struct overlay_fs *fs)
{
    for (int step = 0; step < SWEEP_STEPS && fs->kept.count; step++) {
        struct map_slot *slot = map_next(&fs->kept, &fs->kept_cursor);
        struct overlay_node *node = slot ? slot->value : NULL;

        if (!slot) {
            fs->kept_cursor = 0;
            return;
        }
        if (!is_done(fs, node))
            continue;
        map_remove(&fs->kept, upper_key(node->upper));
        vfs_node_unref(&node->base);
    }
}

/*
 * Nobody else has a file open when the host grants a lease for writing on it. Our O_PATH
 * descriptors do not count (since 5.3). Where there are no leases it is taken to be open.
 */
static bool is_open_elsewhere(struct vfs_node *upper)
{
    char path[IO_FD_PATH_SIZE];
    int path_fd = vfs_host_node_fd(upper);
    cleanup_close int fd =
        path_fd < 0 ? -1 : open(io_fd_path(path_fd, path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        return true;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

/* What we hold of a nameless file holds its space on the disk, too. */
static void sweep_orphans(struct overlay_fs *fs)
{
    int looked_at = 0;

    for (size_t i = 0; i < OVERLAY_HELD && fs->orphan_count && looked_at < SWEEP_STEPS; i++) {
        struct overlay_held *slot = &fs->held[fs->orphan_cursor++ % OVERLAY_HELD];

        if (!slot->orphan)
            continue;
        looked_at++;
        if (!is_open_elsewhere(slot->node->upper))
            drop_held(fs, slot);
    }
}

void overlay_sweep(struct overlay_fs *fs)
{
    if (fs->memory)
        sweep_kept(fs);
    else
        sweep_orphans(fs);
}

void overlay_lose_name(struct overlay_node *node)
{
    if (!overlay_fs_of(node)->memory && node->upper && node->base.type == S_IFREG)
        (void)vfs_host_node_fd(node->upper);
}

void overlay_orphaned(struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct stat stat;
    int fd;

    if (fs->memory || !node->upper || node->base.type != S_IFREG)
        return;
    fd = vfs_host_node_fd(node->upper);
    if (fd < 0 || fstat(fd, &stat) < 0 || stat.st_nlink > 0)
        return;
    for (size_t i = 0; i < OVERLAY_HELD; i++) {
        struct overlay_held *slot = &fs->held[i];

        if (!slot->node || slot->orphan ||
            (slot->node != node && (slot->inode != stat.st_ino || slot->device != stat.st_dev)))
            continue;
        slot->orphan = true;
        fs->orphan_count++;
    }
}

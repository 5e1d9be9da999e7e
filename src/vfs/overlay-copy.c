/*
 * Copy-up. A file is made complete under a hidden name in the root of the upper and then renamed to
 * its place, so that nobody ever sees half of it, not even after a crash. The data of a file is
 * copied at once and in full, on the calling thread; holes stay holes. A descriptor that was opened
 * for reading before keeps showing the lower file, as with the kernel's overlayfs.
 */
#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define COPY_STEP (1U << 20)

void overlay_temporary_name(struct overlay_fs *fs, char name[64])
{
    snprintf(name, 64, OVERLAY_TEMPORARY "%d-%llu", (int)getpid(),
             (unsigned long long)++fs->temporaries);
}

/* ---- data ---- */

/* For file systems that copy nothing by themselves. Returns bytes, 0 at the end. */
static ssize_t copy_by_hand(int in, int out, off_t *offset, size_t length)
{
    char buffer[65536];
    ssize_t got = pread(in, buffer, length < sizeof(buffer) ? length : sizeof(buffer), *offset);
    int r;

    if (got <= 0)
        return got < 0 ? -errno : 0;
    if (lseek(out, *offset, SEEK_SET) < 0)
        return -errno;
    r = io_write_all(out, buffer, (size_t)got);
    if (r < 0)
        return r;
    *offset += got;
    return got;
}

static ssize_t copy_some(int in, int out, off_t *offset, size_t length)
{
    off_t to = *offset;
    ssize_t got = copy_file_range(in, offset, out, &to, length, 0);

    if (got >= 0)
        return got;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    if (lseek(out, *offset, SEEK_SET) < 0)
        return -errno;
    got = sendfile(out, in, offset, length);
    if (got >= 0 || (errno != EINVAL && errno != ENOSYS))
        return got < 0 ? -errno : got;
    return copy_by_hand(in, out, offset, length);
}

static int copy_range(int in, int out, off_t from, off_t to)
{
    while (from < to) {
        off_t left = to - from;
        ssize_t got = copy_some(in, out, &from, left < COPY_STEP ? (size_t)left : COPY_STEP);

        if (got < 0)
            return (int)got;
        if (got == 0)
            return 0; /* the file has become shorter */
    }
    return 0;
}

static int copy_data(int in, int out)
{
    struct stat stat;
    off_t at = 0;

    if (fstat(in, &stat) < 0)
        return -errno;
    if (ioctl(out, FICLONE, in) == 0)
        return 0;
    while (at < stat.st_size) {
        off_t data = lseek(in, at, SEEK_DATA);
        off_t hole;
        int r;

        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        if (data < 0)
            data = at;
        hole = lseek(in, data, SEEK_HOLE);
        if (hole < 0)
            hole = stat.st_size;
        r = copy_range(in, out, data, hole);
        if (r < 0)
            return r;
        at = hole;
    }
    return ftruncate(out, stat.st_size) < 0 ? -errno : 0;
}

/* ---- attributes ---- */

static bool is_overlays_own(const char *name)
{
    return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0 ||
           strncmp(name, "user.cerebro.", 13) == 0;
}

/* What may not be set (labels, capabilities without privilege) is left out, as cp -p does. */
static int copy_xattr(struct overlay_fs *fs, struct vfs_node *from, struct vfs_node *to,
                      const char *name)
{
    ssize_t size = fs->lower->ops->getxattr(from, name, NULL, 0);
    cleanup_free char *value = NULL;
    int r;

    if (size < 0)
        return 0;
    value = malloc((size_t)size + 1);
    if (!value)
        return -ENOMEM;
    size = fs->lower->ops->getxattr(from, name, value, (size_t)size);
    if (size < 0)
        return 0;
    r = fs->upper->ops->setxattr(to, name, value, (size_t)size, 0, &fs->kernel);
    return r == -ENOSPC || r == -ENOMEM || r == -EIO ? r : 0;
}

static int copy_xattrs(struct overlay_fs *fs, struct vfs_node *from, struct vfs_node *to)
{
    cleanup_free char *names = NULL;
    ssize_t size;
    int r = 0;

    if (!fs->lower->ops->listxattr || !fs->upper->ops->setxattr)
        return 0;
    size = fs->lower->ops->listxattr(from, NULL, 0);
    if (size <= 0)
        return 0;
    names = malloc((size_t)size + 1);
    if (!names)
        return -ENOMEM;
    size = fs->lower->ops->listxattr(from, names, (size_t)size);
    for (ssize_t at = 0; at < size && r == 0; at += (ssize_t)strlen(names + at) + 1) {
        if (!is_overlays_own(names + at))
            r = copy_xattr(fs, from, to, names + at);
    }
    return r;
}

static void stat_times(const struct statx *stat, struct timespec times[2])
{
    times[0].tv_sec = stat->stx_atime.tv_sec;
    times[0].tv_nsec = stat->stx_atime.tv_nsec;
    times[1].tv_sec = stat->stx_mtime.tv_sec;
    times[1].tv_nsec = stat->stx_mtime.tv_nsec;
}

static int set_times(struct overlay_fs *fs, struct vfs_node *upper, const struct statx *stat)
{
    struct timespec times[2];

    stat_times(stat, times);
    return fs->upper->ops->utimens(upper, times, &fs->kernel);
}

static int copy_attributes(struct overlay_fs *fs, struct vfs_node *from, struct vfs_node *to,
                           const struct statx *stat)
{
    int r = overlay_upper_own(fs, to, stat->stx_uid, stat->stx_gid, stat->stx_mode);

    if (r == 0)
        r = copy_xattrs(fs, from, to);
    if (r == 0)
        r = set_times(fs, to, stat);
    return r;
}

/* ---- directories ---- */

static int lower_at(struct overlay_fs *fs, const char *path, struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = fs->lower->ops->lookup(fs->lower->root, path, &lookup);

    if (r != VFS_LOOKUP_NODE) {
        free(r == VFS_LOOKUP_LINK ? lookup.target : NULL);
        vfs_place_unref(r == VFS_LOOKUP_MAGIC ? lookup.place : NULL);
        return r < 0 ? r : -ESTALE;
    }
    *ret_node = lookup.node;
    return 0;
}

/* The node that has shown the lower directory until now shows the merged one. */
static void attach(struct overlay_fs *fs, const char *path, struct overlay_dir *dir,
                   struct vfs_node *upper, const struct statx *stat)
{
    struct overlay_node *node = overlay_by_path(fs, path);

    dir->device = makedev(stat->stx_dev_major, stat->stx_dev_minor);
    if (!node)
        return;
    overlay_unhash(fs, node);
    node->upper = vfs_node_ref(upper);
    node->dir = dir;
    node->shown = (struct overlay_origin){.device = dir->device, .inode = stat->stx_ino};
    dir->node = node;
    if (dir->opaque) {
        vfs_node_unref(node->lower);
        node->lower = NULL;
    }
}

/* True when the host does not let us look into the lower directory, whoever the guest thinks it is.
 */
static bool is_closed(struct overlay_fs *fs, struct vfs_node *lower)
{
    struct vfs_lookup probe = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = fs->lower->ops->lookup(lower, OVERLAY_TEMPORARY, &probe);

    vfs_node_unref(r == VFS_LOOKUP_NODE ? probe.node : NULL);
    free(r == VFS_LOOKUP_LINK ? probe.target : NULL);
    vfs_place_unref(r == VFS_LOOKUP_MAGIC ? probe.place : NULL);
    return r == -EACCES;
}

/* A copy-up does not change the directory as the guest sees it, so its times stay. */
static int restore_times(struct overlay_fs *fs, struct vfs_node *parent, const struct statx *before)
{
    return set_times(fs, parent, before);
}

static int make_upper_dir(struct overlay_fs *fs, struct vfs_node *parent, struct overlay_dir *dir,
                          const char *path, struct vfs_node *lower)
{
    struct statx stat, before;
    struct vfs_node *upper = NULL;
    int r = fs->lower->ops->stat(lower, &stat);

    if (r == 0)
        r = fs->upper->ops->stat(parent, &before);
    if (r == 0)
        r = fs->upper->ops->mkdir(parent, dir->name,
                                  overlay_upper_mode(fs, S_IFDIR | stat.stx_mode), &fs->kernel);
    if (r < 0)
        return r;
    r = overlay_upper_child(fs, dir->parent, dir->name, &upper);
    if (r == 0)
        r = copy_attributes(fs, lower, upper, &stat);
    /* What a fake root cannot see of it must not stand in the way of what it makes there. */
    if (r == 0 && is_closed(fs, lower))
        r = overlay_make_opaque(fs, dir);
    if (r == 0)
        r = overlay_set_dir(dir->parent, dir->name, dir);
    if (r < 0) {
        fs->upper->ops->unlink(parent, dir->name, true, &fs->kernel);
    } else {
        dir->loaded = true;
        attach(fs, path, dir, upper, &stat);
        (void)restore_times(fs, parent, &before);
    }
    vfs_node_unref(upper);
    return r;
}

static int copy_up_dir(struct overlay_fs *fs, struct overlay_dir *parent, const char *path,
                       const char *name, struct overlay_dir **ret_dir)
{
    struct overlay_dir *dir = overlay_dir_new(parent, name);
    struct vfs_node *upper = NULL;
    struct vfs_node *lower = NULL;
    int r = dir ? lower_at(fs, path + 1, &lower) : -ENOMEM;

    if (r == 0 && lower->type != S_IFDIR)
        r = -ENOTDIR;
    if (r == 0)
        r = overlay_dir_upper(fs, parent, &upper);
    if (r == 0)
        r = make_upper_dir(fs, upper, dir, path, lower);
    vfs_node_unref(upper);
    vfs_node_unref(lower);
    if (r < 0 && dir)
        overlay_dir_free(dir);
    if (r == 0)
        *ret_dir = dir;
    return r;
}

/* The upper part of the directory with this path, made with all directories above it if need be. */
static int need_dir(struct overlay_fs *fs, const char *path, struct overlay_dir **ret_dir)
{
    struct overlay_dir *at = fs->root;
    size_t end = 0;

    while (path[end]) {
        size_t length = strcspn(path + end + 1, "/");
        char name[NAME_MAX + 1], prefix[PATH_MAX];
        struct overlay_item *item;
        int r = overlay_dir_load(fs, at);

        if (r < 0)
            return r;
        if (length > NAME_MAX || end + length + 2 > sizeof(prefix))
            return -ENAMETOOLONG;
        memcpy(name, path + end + 1, length);
        name[length] = '\0';
        end += length + 1;
        memcpy(prefix, path, end);
        prefix[end] = '\0';
        item = overlay_find(at, name);
        if (item && (item->kind != OVERLAY_DIRECTORY ||
                     container_of(item, struct overlay_dir, item)->opaque))
            return -ENOENT; /* what the lower has at this path is no longer seen */
        if (item)
            at = container_of(item, struct overlay_dir, item);
        else
            r = copy_up_dir(fs, at, prefix, name, &at);
        if (r < 0)
            return r;
    }
    *ret_dir = at;
    return overlay_dir_load(fs, at);
}

/* ---- files ---- */

/* An empty file needs no right to read it: the locks of package managers are such files. */
static int copy_file(struct overlay_fs *fs, struct overlay_node *node, const char *temporary,
                     const struct statx *stat, bool data)
{
    struct vfs_open_request make = {.actor = &fs->kernel,
                                    .flags = O_WRONLY,
                                    .mode = overlay_upper_mode(fs, stat->stx_mode) & 07777};
    struct vfs_open_request read = {.actor = &fs->kernel, .flags = O_RDONLY};
    struct vfs_opened in, out;
    struct vfs_node *upper;
    int r = 0;

    if (data)
        r = fs->lower->ops->open(node->lower, &read, &in);
    if (r == -EACCES && stat->stx_size == 0)
        data = false;
    else if (r < 0)
        return r;
    r = fs->upper->ops->create(fs->upper->root, temporary, &make, &upper, &out);
    if (r == 0) {
        if (data)
            r = copy_data(in.fd, out.fd);
        if (r < 0)
            fs->upper->ops->unlink(fs->upper->root, temporary, false, &fs->kernel);
        close(out.fd);
        vfs_node_unref(upper);
    }
    if (data)
        close(in.fd);
    return r;
}

static int copy_link(struct overlay_fs *fs, struct overlay_node *node, const char *temporary)
{
    char target[PATH_MAX];
    ssize_t length = fs->lower->ops->readlink(node->lower, target, sizeof(target) - 1, &fs->kernel);

    if (length < 0)
        return (int)length;
    target[length] = '\0';
    return fs->upper->ops->symlink(fs->upper->root, temporary, target, &fs->kernel);
}

/* Makes a complete copy under a temporary name. */
static int make_copy(struct overlay_fs *fs, struct overlay_node *node, const char *temporary,
                     const struct statx *stat, bool data)
{
    mode_t mode = overlay_upper_mode(fs, stat->stx_mode);
    struct vfs_node *upper;
    int r;

    if (node->base.type == S_IFREG)
        r = copy_file(fs, node, temporary, stat, data);
    else if (node->base.type == S_IFLNK)
        r = copy_link(fs, node, temporary);
    else if (node->base.type == S_IFCHR || node->base.type == S_IFBLK)
        r = overlay_upper_device(fs, fs->upper->root, temporary, stat->stx_mode,
                                 makedev(stat->stx_rdev_major, stat->stx_rdev_minor));
    else
        r = fs->upper->ops->mknod(fs->upper->root, temporary, mode, 0, &fs->kernel);
    if (r < 0)
        return r;
    r = overlay_upper_child(fs, fs->root, temporary, &upper);
    if (r == 0) {
        r = copy_attributes(fs, node->lower, upper, stat);
        vfs_node_unref(upper);
    }
    if (r < 0)
        fs->upper->ops->unlink(fs->upper->root, temporary, false, &fs->kernel);
    return r;
}

static int remember_origin(struct overlay_fs *fs, const struct statx *upper,
                           const struct statx *lower)
{
    struct overlay_origin *origin = malloc(sizeof(*origin));

    if (!origin)
        return -ENOMEM;
    origin->device = makedev(lower->stx_dev_major, lower->stx_dev_minor);
    origin->inode = lower->stx_ino;
    free(map_remove(&fs->origins, upper->stx_ino));
    if (map_set(&fs->origins, upper->stx_ino, origin) < 0) {
        free(origin);
        return -ENOMEM;
    }
    vfs_note_altered(fs->base.vfs, origin->device, origin->inode);
    return 0;
}

/* The node has shown the lower's object until now; from here on it is the upper's. */
static int switch_over(struct overlay_fs *fs, struct overlay_node *node, struct overlay_dir *dir,
                       const char *name, const struct statx *lower)
{
    struct vfs_node *upper;
    struct statx stat;
    int r = overlay_upper_child(fs, dir, name, &upper);

    if (r < 0)
        return r;
    r = fs->upper->ops->stat(upper, &stat);
    if (r == 0)
        r = remember_origin(fs, &stat, lower);
    if (r == 0)
        r = overlay_set(dir, name, OVERLAY_OBJECT, node->base.type, stat.stx_ino);
    if (r == 0 && fs->memory)
        r = map_set(&fs->by_upper, (uint64_t)(uintptr_t)upper, node);
    if (r < 0) {
        vfs_node_unref(upper);
        return r;
    }
    overlay_unhash(fs, node);
    node->upper = upper;
    node->shown = (struct overlay_origin){
        .device = makedev(lower->stx_dev_major, lower->stx_dev_minor), .inode = lower->stx_ino};
    vfs_node_unref(node->lower);
    node->lower = NULL;
    if (node->base.type == S_IFREG)
        overlay_announce_origin(node);
    return 0;
}

static int move_into_place(struct overlay_fs *fs, const char *temporary, struct overlay_dir *dir,
                           const char *name)
{
    struct statx before;
    struct vfs_node *parent;
    int r = overlay_dir_upper(fs, dir, &parent);

    if (r < 0)
        return r;
    r = fs->upper->ops->stat(parent, &before);
    if (r == 0)
        r = fs->upper->ops->rename(fs->upper->root, temporary, parent, name, 0, &fs->kernel);
    if (r == 0)
        (void)restore_times(fs, parent, &before);
    vfs_node_unref(parent);
    return r;
}

static int copy_up_object(struct overlay_fs *fs, struct overlay_node *node, struct overlay_dir *dir,
                          const char *name, bool data)
{
    struct statx stat, root;
    char temporary[64];
    int r;

    if (overlay_find(dir, name))
        return -ENOENT; /* removed or replaced since the node was found */
    r = fs->lower->ops->stat(node->lower, &stat);
    if (r == 0)
        r = fs->upper->ops->stat(fs->upper->root, &root);
    if (r < 0)
        return r;
    overlay_temporary_name(fs, temporary);
    r = make_copy(fs, node, temporary, &stat, data);
    if (r < 0)
        return r;
    r = move_into_place(fs, temporary, dir, name);
    if (r == 0)
        r = switch_over(fs, node, dir, name, &stat);
    else
        fs->upper->ops->unlink(fs->upper->root, temporary, false, &fs->kernel);
    (void)restore_times(fs, fs->upper->root, &root);
    return r;
}

int overlay_copy_up(struct overlay_node *node, bool data)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct overlay_dir *dir;
    char *parent;
    char *slash;
    int r;

    if (node->upper)
        return 0;
    if (node->removed)
        return -ENOENT;
    if (node->base.type == S_IFDIR)
        return need_dir(fs, node->path, &dir);
    parent = strdup(node->path);
    if (!parent)
        return -ENOMEM;
    slash = strrchr(parent, '/');
    *slash = '\0';
    r = need_dir(fs, parent, &dir);
    if (r == 0)
        r = copy_up_object(fs, node, dir, slash + 1, data);
    free(parent);
    return r;
}

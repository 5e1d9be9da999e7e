/*
 * Between host paths and guest paths: what a descriptor is called, and where a file of the host is
 * in the guest's tree. Host paths come from the kernel (/proc/self/fd), so they are always those of
 * this moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/descriptor-internal.h"

#define DELETED " (deleted)"

/* What follows the root of a host directory in `host_path` ("" or "/..."); NULL: not below it. */
static const char *below(const char *root, const char *host_path)
{
    size_t length = strlen(root);

    if (length == 1)
        return host_path[1] ? host_path : "";
    if (strncmp(host_path, root, length) != 0)
        return NULL;
    return host_path[length] == '\0' || host_path[length] == '/' ? host_path + length : NULL;
}

struct match {
    const struct vfs_mount *mount;
    const char *rest;
    size_t root_length;
};

static bool is_shown(struct vfs *vfs, const struct vfs_mount *mount, const char *rest)
{
    char path[VFS_PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s", mount->path, rest);

    return length < (int)sizeof(path) && mount_of_path(vfs, path, (size_t)length) == mount;
}

/* Looks for the longest root of a host directory, in a file system or the layers it is made of. */
static void match_fs(struct vfs *vfs, const struct vfs_mount *mount, struct vfs_fs *fs,
                     const char *host_path, struct match *best)
{
    if (fs_is_host(fs)) {
        const char *rest = below(host_fs_path(fs), host_path);
        size_t length = strlen(host_fs_path(fs));

        if (rest && length >= best->root_length && is_shown(vfs, mount, rest))
            *best = (struct match){mount, rest, length};
        return;
    }
    for (unsigned i = 0; fs->ops->layer; i++) {
        struct vfs_fs *layer = fs->ops->layer(fs, i);

        if (layer == NULL)
            break;
        match_fs(vfs, mount, layer, host_path, best);
    }
}

bool vfs_guest_path(struct vfs *vfs, const char *host_path, char *ret_path, size_t size)
{
    struct match best = {0};
    struct vfs_mount *mount;
    int length;

    if (host_path[0] != '/')
        return false;
    list_for_each(mount, &vfs->mounts, link) match_fs(vfs, mount, mount->fs, host_path, &best);
    if (best.mount == NULL)
        return false;
    length = snprintf(ret_path, size, "%s%s", best.mount->path, best.rest);
    if (length == 0)
        length = snprintf(ret_path, size, "/");
    return (size_t)length < size;
}

/* Cuts the kernel's mark off a path. True when it was there. */
static bool cut_deleted(char *path)
{
    size_t length = strlen(path);
    size_t mark = strlen(DELETED);

    if (length <= mark || strcmp(path + length - mark, DELETED) != 0)
        return false;
    path[length - mark] = '\0';
    return true;
}

/*
 * The text for a descriptor that no table knows. `path` holds what the host says. Pipes, sockets
 * and memfds have no path and are told as they are; so are device nodes (the user's terminal),
 * whose names tell nothing that the guest does not know.
 */
static void guest_text(struct vfs *vfs, const struct stat *stat, char path[VFS_PATH_MAX],
                       char *text, size_t size)
{
    bool deleted;

    if (path[0] != '/' || strncmp(path, "/memfd:", 7) == 0 ||
        (S_ISCHR(stat->st_mode) && strncmp(path, "/dev/", 5) == 0)) {
        snprintf(text, size, "%s", path);
        return;
    }
    deleted = stat->st_nlink == 0 && cut_deleted(path);
    if (!vfs_guest_path(vfs, path, text, size))
        snprintf(text, size, "/(outside)");
    else if (deleted && strlen(text) + strlen(DELETED) < size)
        memcpy(text + strlen(text), DELETED, strlen(DELETED) + 1);
}

static int host_text(int fd, char path[VFS_PATH_MAX])
{
    char link[IO_FD_PATH_SIZE];
    ssize_t length = readlink(io_fd_path(fd, link), path, VFS_PATH_MAX - 1);

    if (length < 0)
        return -errno;
    path[length] = '\0';
    return 0;
}

static ssize_t place_text(const struct vfs_place *place, char *text, size_t size)
{
    int length = snprintf(text, size, "%s%s", place->path, place->deleted ? DELETED : "");

    return length < (int)size ? length : -ENAMETOOLONG;
}

ssize_t vfs_describe_fd(struct vfs *vfs, int fd, char *text, size_t size)
{
    struct vfs_place *place cleanup_place = NULL;
    int r = vfs_place_of_fd(vfs, fd, &place);

    return r < 0 ? r : place_text(place, text, size);
}

static bool is_device(mode_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

/*
 * An overlay has a device number of its own; it keeps the inode numbers of its layers. The guest's
 * /dev numbers its nodes itself: a device is known by its number.
 */
static bool is_same(const struct statx *found, const struct stat *stat)
{
    if ((found->stx_mode & S_IFMT) != (stat->st_mode & S_IFMT))
        return false;
    if (is_device(stat->st_mode))
        return makedev(found->stx_rdev_major, found->stx_rdev_minor) == stat->st_rdev;
    return found->stx_ino == stat->st_ino;
}

/* The object that a guest path names now, if it is the one of the descriptor. */
static int resolve_same(struct vfs *vfs, const char *path, const struct stat *stat,
                        struct vfs_place **ret_place)
{
    struct vfs_place *root cleanup_place = vfs_root(vfs);
    struct vfs_walk walk = {.actor = &vfs->kernel_actor,
                            .root = root,
                            .base = root,
                            .path = path,
                            .flags = VFS_NOFOLLOW};
    struct vfs_place *place;
    struct statx found;
    int r;

    if (root == NULL)
        return -ENOENT;
    r = vfs_resolve(vfs, &walk, &place);
    if (r < 0)
        return r;
    r = vfs_stat(place, &found);
    if (r == 0 && !is_same(&found, stat))
        r = -ESTALE;
    if (r < 0) {
        vfs_place_unref(place);
        return r;
    }
    *ret_place = place;
    return 0;
}

static int foreign_place(struct vfs *vfs, int fd, const char *text, struct vfs_place **ret_place)
{
    struct vfs_node *node;
    struct vfs_place *place;
    int r = foreign_node(vfs, fd, &node);

    if (r < 0)
        return r;
    place = place_new(vfs, NULL, node, text, strlen(text));
    if (place == NULL)
        return -ENOMEM;
    *ret_place = place;
    return 0;
}

static void remember_directory(struct vfs *vfs, int fd, struct vfs_place *place)
{
    struct statx stat;

    if (S_ISDIR(place->node->type) && statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) == 0)
        vfs_remember_place(vfs, &stat, place);
}

/* The devices of the guest's /dev are the host's, and have the host's names. */
static bool name_in_guest(struct vfs *vfs, const struct stat *stat, const char *host_path,
                          char guest[VFS_PATH_MAX])
{
    if (!is_device(stat->st_mode))
        return vfs_guest_path(vfs, host_path, guest, VFS_PATH_MAX);
    if (!S_ISCHR(stat->st_mode) || strncmp(host_path, "/dev/", 5) != 0)
        return false;
    snprintf(guest, VFS_PATH_MAX, "%s", host_path);
    return true;
}

int describe_place(struct vfs *vfs, int fd, const struct stat *stat, struct vfs_place **ret_place)
{
    char path[VFS_PATH_MAX];
    char guest[VFS_PATH_MAX];
    int r = host_text(fd, path);

    if (r < 0)
        return r;
    if (stat->st_nlink > 0 && name_in_guest(vfs, stat, path, guest) &&
        resolve_same(vfs, guest, stat, ret_place) == 0) {
        remember_directory(vfs, fd, *ret_place);
        return 0;
    }
    guest_text(vfs, stat, path, guest, sizeof(guest));
    return foreign_place(vfs, fd, guest, ret_place);
}

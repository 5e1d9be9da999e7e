/*
 * Operations on places: what the kernel checks above a file system (read-only mounts, mount points,
 * sticky directories), then the file system's own operation. The order of the checks is that of
 * Linux' fs/namei.c, since programs tell the errors apart: making a name that exists fails with
 * EEXIST on a read-only mount too, removing one that does not with EROFS.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/ops-internal.h"
#include "vfs/watch-internal.h"

int place_writable(const struct vfs_place *place)
{
    if (place->mount && !place->deleted)
        pk_saw(place->vfs->kernel, place->path, PK_SEEN_WRITE);
    return place->mount && (place->mount->flags & VFS_MOUNT_READ_ONLY) ? -EROFS : 0;
}

void place_changed(const struct vfs_place *place)
{
    atomic_fetch_add_explicit(&place->vfs->kernel->generation, 1, memory_order_relaxed);
}

int place_look_up(struct vfs_place *parent, const char *name, const struct vfs_actor *actor,
                  struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {.actor = actor, .open_flags = -1, .opened_fd = -1};
    struct vfs_node *directory = parent->node;
    int r;

    if (directory->fs->ops->lookup == NULL)
        return -ENOENT;
    r = directory->fs->ops->lookup(directory, name, &lookup);
    if (r == VFS_LOOKUP_NODE) {
        *ret_node = lookup.node;
        return 0;
    }
    free(lookup.target);
    vfs_place_unref(lookup.place);
    return r < 0 ? r : -ENOENT;
}

static bool child_exists(struct vfs_place *parent, const char *name, const struct vfs_actor *actor)
{
    struct vfs_node *node = NULL;
    int r = place_look_up(parent, name, actor, &node);

    vfs_node_unref(node);
    return r == 0;
}

int place_can_create(struct vfs_place *parent, const char *name, const struct vfs_actor *actor)
{
    if (!S_ISDIR(parent->node->type))
        return -ENOTDIR;
    if (parent->deleted)
        return -ENOENT;
    if (parent->mount == NULL)
        return -EACCES;
    if (mount_covers(parent, name))
        return -EEXIST;
    if (parent->node->fs->ops->fixed_names)
        return child_exists(parent, name, actor) ? -EEXIST : -ENOENT;
    if (place_writable(parent) < 0)
        return child_exists(parent, name, actor) ? -EEXIST : -EROFS;
    return 0;
}

/* Ends an operation that makes a name. */
static int made(struct vfs_place *parent, const char *name, bool is_directory, int r)
{
    if (r == 0 && watch_is_active(parent->vfs))
        watch_made(parent, name, is_directory);
    return r;
}

int vfs_mkdir(struct vfs_place *parent, const char *name, mode_t mode,
              const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    int r = place_can_create(parent, name, actor);

    if (r < 0)
        return r;
    if (ops->mkdir == NULL)
        return child_exists(parent, name, actor) ? -EEXIST : -EPERM;
    place_changed(parent);
    return made(parent, name, true,
                ops->mkdir(parent->node, name, mode & 01777 & ~actor->mask, actor));
}

int vfs_mknod(struct vfs_place *parent, const char *name, mode_t mode, dev_t device,
              const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    int r = place_can_create(parent, name, actor);

    if (r < 0)
        return r;
    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG;
    if (S_ISDIR(mode))
        return -EPERM;
    if (S_ISLNK(mode))
        return -EINVAL;
    if (ops->mknod == NULL)
        return child_exists(parent, name, actor) ? -EEXIST : -EPERM;
    place_changed(parent);
    mode &= S_IFMT | (07777 & ~actor->mask);
    return made(parent, name, false, ops->mknod(parent->node, name, mode, device, actor));
}

int vfs_symlink(struct vfs_place *parent, const char *name, const char *target,
                const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    int r;

    if (target[0] == '\0')
        return -ENOENT;
    r = place_can_create(parent, name, actor);
    if (r < 0)
        return r;
    if (ops->symlink == NULL)
        return child_exists(parent, name, actor) ? -EEXIST : -EPERM;
    place_changed(parent);
    return made(parent, name, false, ops->symlink(parent->node, name, target, actor));
}

/* New files of this file system are files of the host. */
static bool makes_host_files(const struct vfs_fs *fs)
{
    const struct vfs_fs *upper = fs->ops->layer ? fs->ops->layer((struct vfs_fs *)fs, 0) : fs;

    return fs_is_host(upper);
}

/*
 * A file made with O_TMPFILE, which has no place in any mount, may get a name: in its own file
 * system, or on the host where it is known by its descriptor only.
 */
static bool is_nameless_file(struct vfs_place *object, const struct vfs_place *parent)
{
    struct statx stat;

    if (object->mount || !S_ISREG(object->node->type))
        return false;
    if (object->node->fs == parent->node->fs)
        return true;
    return foreign_is(object->node) && makes_host_files(parent->node->fs) &&
           node_stat(object->node, &stat) == 0 && stat.stx_nlink == 0;
}

static bool host_protects_links(void)
{
    cleanup_strbuf struct strbuf text = {0};

    return io_read_file(AT_FDCWD, "/proc/sys/fs/protected_hardlinks", 16, &text) < 0 ||
           strbuf_text(&text)[0] != '0';
}

/*
 * may_linkat() of the kernel: a link keeps a file alive, so of others' files only those may get one
 * that could be written to anyway, and no programs with privileges.
 */
static int may_link(struct vfs_node *node, const struct vfs_actor *actor)
{
    struct statx stat;
    int r = node_stat(node, &stat);

    if (r < 0 || vfs_is_owner(actor, &stat))
        return r;
    if (S_ISREG(stat.stx_mode) && !(stat.stx_mode & S_ISUID) &&
        (stat.stx_mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) &&
        node_access(node, R_OK | W_OK, actor, true) == 0)
        return 0;
    return host_protects_links() ? -EPERM : 0;
}

int vfs_link(struct vfs_place *object, struct vfs_place *parent, const char *name,
             const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    int r = place_can_create(parent, name, actor);

    if (r < 0)
        return r;
    if (child_exists(parent, name, actor))
        return -EEXIST;
    if (!is_nameless_file(object, parent) &&
        (object->mount != parent->mount || object->node->fs != parent->node->fs))
        return -EXDEV;
    if (S_ISDIR(object->node->type) || ops->link == NULL)
        return -EPERM;
    r = may_link(object->node, actor);
    if (r < 0)
        return r;
    place_changed(parent);
    r = ops->link(object->node, parent->node, name, actor);
    if (r == 0 && watch_is_active(parent->vfs))
        watch_linked(object);
    return made(parent, name, false, r);
}

/*
 * In a sticky directory only the owners of the directory and of the object may remove it. The host
 * checks that for its own directories.
 */
static int check_sticky(struct vfs_place *parent, const char *name, const struct vfs_actor *actor)
{
    const struct pk_identity *identity = actor->identity;
    struct vfs_node *child = NULL;
    struct statx stat;
    int r;

    if (fs_is_host(parent->node->fs))
        return 0;
    r = node_stat(parent->node, &stat);
    if (r < 0)
        return r;
    if (!(stat.stx_mode & S_ISVTX) || identity->fsuid == stat.stx_uid ||
        (identity->effective & (1ULL << CAP_FOWNER)))
        return 0;
    if (place_look_up(parent, name, actor, &child) < 0)
        return 0; /* the file system will say why */
    r = node_stat(child, &stat);
    vfs_node_unref(child);
    if (r < 0 || identity->fsuid == stat.stx_uid)
        return r;
    r = node_access(parent->node, W_OK | X_OK, actor, true);
    return r < 0 ? r : -EPERM;
}

/* Full path of a name in a directory, malloc'ed. */
static char *child_path(const struct vfs_place *parent, const char *name)
{
    size_t stem = place_stem(parent);
    size_t length = strlen(name);
    char *path = malloc(stem + length + 2);

    if (path == NULL)
        return NULL;
    memcpy(path, parent->path, stem);
    path[stem] = '/';
    memcpy(path + stem + 1, name, length + 1);
    return path;
}

/* What has to hold before a name may be taken away. */
static int can_remove(struct vfs_place *parent, const char *name, const struct vfs_actor *actor)
{
    int r;

    if (!S_ISDIR(parent->node->type))
        return -ENOTDIR;
    if (parent->mount == NULL)
        return -EACCES;
    r = place_writable(parent);
    if (r < 0)
        return r;
    if (parent->deleted)
        return -ENOENT;
    if (mount_covers(parent, name))
        return -EBUSY;
    return check_sticky(parent, name, actor);
}

int vfs_unlink(struct vfs_place *parent, const char *name, bool directory,
               const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    cleanup_free char *path = child_path(parent, name);
    struct watch_name watched;
    int r = can_remove(parent, name, actor);

    if (path == NULL)
        return -ENOMEM;
    if (r < 0)
        return r;
    if (ops->unlink == NULL)
        return child_exists(parent, name, actor) ? -EPERM : -ENOENT;
    if (watch_is_active(parent->vfs))
        watch_name_find(parent, name, path, &watched);
    r = ops->unlink(parent->node, name, directory, actor);
    if (r == 0) {
        place_changed(parent);
        places_removed(parent->vfs, parent->mount, path);
    }
    if (watch_is_active(parent->vfs))
        watch_removed(&watched, directory, r == 0);
    return r;
}

/* True when `path` is `prefix` or lies below it. */
static bool lies_in(const char *path, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static int can_rename(struct vfs_place *old_parent, const char *old_name,
                      struct vfs_place *new_parent, const char *new_name, unsigned flags,
                      const struct vfs_actor *actor)
{
    int r;

    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    if ((flags & RENAME_NOREPLACE) && (flags & RENAME_EXCHANGE))
        return -EINVAL;
    if (old_parent->mount != new_parent->mount || old_parent->node->fs != new_parent->node->fs)
        return -EXDEV;
    r = can_remove(old_parent, old_name, actor);
    if (r < 0)
        return r;
    if (new_parent->deleted)
        return -ENOENT;
    /* A mount stays where it was made: what lies above it does not move either. */
    if (mount_lies_in(old_parent, old_name) || mount_lies_in(new_parent, new_name))
        return -EBUSY;
    return check_sticky(new_parent, new_name, actor);
}

int vfs_rename(struct vfs_place *old_parent, const char *old_name, struct vfs_place *new_parent,
               const char *new_name, unsigned flags, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = old_parent->node->fs->ops;
    cleanup_free char *old_path = child_path(old_parent, old_name);
    cleanup_free char *new_path = child_path(new_parent, new_name);
    bool exchange = flags & RENAME_EXCHANGE;
    struct watch_name from, to;
    bool done;
    int r = can_rename(old_parent, old_name, new_parent, new_name, flags, actor);

    if (old_path == NULL || new_path == NULL)
        return -ENOMEM;
    if (r < 0)
        return r;
    if (lies_in(new_parent->path, old_path) || (exchange && lies_in(old_parent->path, new_path)))
        return -EINVAL; /* a directory into itself */
    if (ops->fixed_names &&
        (!child_exists(old_parent, old_name, actor) || !child_exists(new_parent, new_name, actor)))
        return -ENOENT;
    if (ops->rename == NULL)
        return -EPERM;
    if (watch_is_active(old_parent->vfs)) {
        watch_name_find(old_parent, old_name, old_path, &from);
        watch_name_find(new_parent, new_name, new_path, &to);
    }
    r = ops->rename(old_parent->node, old_name, new_parent->node, new_name, flags, actor);
    done = r == 0 && strcmp(old_path, new_path) != 0;
    if (done) {
        place_changed(old_parent);
        if (!exchange)
            places_removed(old_parent->vfs, old_parent->mount, new_path);
        /* The rename is done; a path that could not be followed for want of memory is marked. */
        (void)places_renamed(old_parent->vfs, old_parent->mount, old_path, new_path, exchange);
    }
    if (watch_is_active(old_parent->vfs))
        watch_renamed(&from, &to, exchange, done);
    return r;
}

int vfs_inotify_add(struct vfs_place *place, int inotify_fd, uint32_t mask)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    char path[IO_FD_PATH_SIZE];
    cleanup_close int fd = -1;
    int number;

    if ((mask & IN_ONLYDIR) && !S_ISDIR(place->node->type))
        return -ENOTDIR;
    /*
     * ENOSPC ("too many watches") is the one error after which tail, file managers and build tools
     * fall back to polling.
     */
    if (ops->backing == NULL || (S_ISDIR(place->node->type) && !fs_is_host(place->node->fs)))
        return -ENOSPC;
    fd = ops->backing(place->node);
    if (fd < 0)
        return fd == -EOPNOTSUPP ? -ENOSPC : take_fd(&fd);
    /* IN_DONT_FOLLOW was the walk's business; here it would stop at the /proc link itself. */
    number = inotify_add_watch(inotify_fd, io_fd_path(fd, path), mask & ~(uint32_t)IN_DONT_FOLLOW);
    return number < 0 ? -errno : number;
}

int vfs_bind_socket(struct vfs_place *parent, const char *name, mode_t mode, int socket_fd,
                    const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = parent->node->fs->ops;
    int r = place_can_create(parent, name, actor);

    if (r == 0 && ops->bind_socket == NULL)
        r = child_exists(parent, name, actor) ? -EEXIST : -EPERM;
    if (r == 0) {
        place_changed(parent);
        r = ops->bind_socket(parent->node, name, mode & 07777 & ~actor->mask, socket_fd, actor);
        r = made(parent, name, false, r);
    }
    return r == -EEXIST ? -EADDRINUSE : r;
}

/*
 * A socket of the host that a read-only mount shows is a way out of the box: only a mount that the
 * user made writable gives access.
 */
int vfs_connect_socket(struct vfs_place *place, int socket_fd, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = node_access(place->node, W_OK, actor, true);

    if (r < 0)
        return r;
    if (!S_ISSOCK(place->node->type) || ops->connect_socket == NULL)
        return -ECONNREFUSED;
    if (place_writable(place) < 0)
        return -EXDEV;
    return ops->connect_socket(place->node, socket_fd, actor);
}

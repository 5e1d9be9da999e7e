/*
 * openat2(2): what it does besides the walk. A file of a host mount is opened by the walk itself
 * (the hint of struct vfs_lookup), so that an open costs one call of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/ops-internal.h"
#include "vfs/watch-internal.h"

/* Between the look and the making of a file somebody else may make it; then look again. */
#define CREATE_TRIES 8

#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define PATH_FLAGS  (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define DEALT_WITH  (O_CREAT | O_EXCL | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC | TMPFILE_BIT)

struct opening {
    struct vfs *vfs;
    const struct vfs_actor *actor;
    int flags;
    mode_t mode;
};

static bool wants_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static struct vfs_open_request request_of(const struct opening *opening)
{
    return (struct vfs_open_request){
        .actor = opening->actor,
        .flags = opening->flags & ~DEALT_WITH,
        .mode = opening->mode & 07777 & ~opening->actor->mask,
    };
}

/* What the type of an existing object forbids. */
static int check_type(const struct walker *walker, int flags)
{
    mode_t type = walker->node->type;

    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if ((flags & O_CREAT) && S_ISDIR(type))
        return -EISDIR;
    if ((flags & O_DIRECTORY) && !S_ISDIR(type))
        return -ENOTDIR;
    if (flags & O_PATH)
        return 0;
    if (S_ISLNK(type))
        return -ELOOP;
    if (S_ISDIR(type) && wants_write(flags))
        return -EISDIR;
    return 0;
}

/* What the flags of the mount forbid; permissions come first, as in may_open(). */
static int check_mount(const struct walker *walker, const struct opening *opening)
{
    const struct vfs_mount *mount = walker->mount;
    mode_t type = walker->node->type;
    int r;

    if (mount == NULL || (opening->flags & O_PATH))
        return 0;
    if ((S_ISCHR(type) || S_ISBLK(type)) && (mount->flags & VFS_MOUNT_NODEV))
        return -EACCES;
    if (!wants_write(opening->flags) || !(mount->flags & VFS_MOUNT_READ_ONLY) || !S_ISREG(type))
        return 0;
    r = node_access(walker->node, W_OK, opening->actor, true);
    return r < 0 ? r : -EROFS;
}

static int open_place(struct vfs_place *place, const struct opening *opening,
                      struct vfs_opened *ret_opened)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    struct vfs_open_request request = request_of(opening);
    int r;

    if (opening->flags & O_PATH)
        return handle_open_place(place, opening->flags, ret_opened);
    r = ops->open ? ops->open(place->node, &request, ret_opened) : -EOPNOTSUPP;
    if (r != -EOPNOTSUPP)
        return r;
    if (!S_ISDIR(place->node->type))
        return -ENXIO;
    r = node_access(place->node, R_OK, opening->actor, true);
    return r < 0 ? r : handle_open_place(place, opening->flags, ret_opened);
}

int vfs_open_own_path(struct vfs_place *place, const struct vfs_actor *actor)
{
    struct vfs_open_request request = {.actor = actor, .flags = O_PATH};
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    struct vfs_opened opened = {.fd = -1};
    int r = ops->open ? ops->open(place->node, &request, &opened) : -EOPNOTSUPP;

    return r < 0 ? r : opened.fd;
}

static void discard_opened(struct vfs_opened *opened)
{
    base_close(take_fd(&opened->fd));
}

/* Tells the observer what is about to be opened. */
static void saw_opening(const struct walker *walker, int flags)
{
    bool path_only = flags & O_PATH;

    if (walker->vfs->kernel->observer == NULL)
        return;
    if (path_only || (flags & O_ACCMODE) != O_WRONLY)
        walker_saw(walker, path_only ? PK_SEEN_LOOK : PK_SEEN_READ);
    if (!path_only && wants_write(flags))
        walker_saw(walker, PK_SEEN_WRITE);
}

static int open_found(struct walker *walker, const struct opening *opening,
                      struct vfs_opened *ret_opened)
{
    struct vfs_place *place cleanup_place = NULL;
    struct vfs_opened opened = {.fd = -1};
    int r = check_type(walker, opening->flags);

    if (r == 0)
        r = check_mount(walker, opening);
    if (r < 0)
        return r;
    saw_opening(walker, opening->flags);
    if (walker->opened_fd >= 0) {
        opened.fd = take_fd(&walker->opened_fd);
        /* The walk opens files of the host only. They need no record: the host knows the name. */
        if (!S_ISDIR(walker->node->type)) {
            *ret_opened = opened;
            return 0;
        }
    }
    r = walker_place(walker, &place);
    if (r == 0 && opening->flags & O_TRUNC && watch_is_active(place->vfs))
        watch_opening(place);
    if (r == 0 && opened.fd < 0)
        r = open_place(place, opening, &opened);
    if (r < 0) {
        discard_opened(&opened);
        return r;
    }
    if (opening->flags & O_TRUNC)
        place_changed(place);
    if (!opened.blocks)
        handle_attach_place(place, &opened);
    if (watch_is_active(place->vfs))
        watch_opened(place, opened.fd, opening->flags);
    *ret_opened = opened;
    return 0;
}

/* The path of a new file, to remember it by. Failing to make it costs the path only. */
static void attach_created(struct vfs_place *parent, const char *name, struct vfs_node *node,
                           int flags, const struct vfs_opened *opened)
{
    struct vfs_place *place cleanup_place = NULL;
    size_t stem = place_stem(parent);
    size_t length = strlen(name);
    char *path;

    if (fs_is_host(node->fs) || !(path = malloc(stem + length + 2)))
        return;
    memcpy(path, parent->path, stem);
    path[stem] = '/';
    memcpy(path + stem + 1, name, length + 1);
    place = place_new(parent->vfs, parent->mount, vfs_node_ref(node), path, stem + 1 + length);
    free(path);
    if (place)
        handle_attach_place(place, opened);
    if (place && watch_is_active(place->vfs))
        watch_opened(place, opened->fd, flags & ~O_TRUNC);
}

static int create_missing(struct walker *walker, const struct opening *opening,
                          struct vfs_opened *ret_opened)
{
    struct vfs_open_request request = request_of(opening);
    struct vfs_place *parent cleanup_place = NULL;
    const struct vfs_fs_ops *ops;
    struct vfs_node *node = NULL;
    int r;

    r = walker_materialise(walker);
    if (r == 0)
        r = walker_place(walker, &parent);
    if (r < 0)
        return r;
    if (parent->deleted)
        return -ENOENT;
    if (parent->mount == NULL)
        return -EACCES;
    ops = parent->node->fs->ops;
    if (ops->fixed_names)
        return -ENOENT;
    r = place_writable(parent);
    if (r < 0)
        return r;
    if (ops->create == NULL)
        return -EACCES;
    r = ops->create(parent->node, walker->name, &request, &node, ret_opened);
    if (r < 0)
        return r;
    place_changed(parent);
    if (watch_is_active(parent->vfs))
        watch_made(parent, walker->name, false);
    if (node)
        attach_created(parent, walker->name, node, request.flags, ret_opened);
    vfs_node_unref(node);
    return 0;
}

static int open_once(const struct opening *opening, const struct vfs_walk *walk,
                     struct vfs_opened *ret_opened)
{
    struct walker walker;
    int r = walker_init(&walker, opening->vfs, walk);
    bool exclusive = (opening->flags & O_CREAT) && (opening->flags & O_EXCL);

    walker.create = opening->flags & O_CREAT;
    if (!exclusive && !(opening->flags & O_PATH))
        walker.open_flags = opening->flags & ~(O_CREAT | O_EXCL | O_CLOEXEC);
    if (r == 0)
        r = walker_run(&walker);
    if (r == WALK_MISSING)
        r = create_missing(&walker, opening, ret_opened);
    else if (r == 0)
        r = open_found(&walker, opening, ret_opened);
    walker_free(&walker);
    return r;
}

static int open_temporary(const struct opening *opening, const struct vfs_walk *walk,
                          struct vfs_opened *ret_opened)
{
    struct vfs_open_request request = request_of(opening);
    struct vfs_place *directory cleanup_place = NULL;
    const struct vfs_fs_ops *ops;
    int r;

    if ((opening->flags & O_TMPFILE) != O_TMPFILE || (opening->flags & O_CREAT) ||
        (opening->flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    r = vfs_resolve(opening->vfs, walk, &directory);
    if (r < 0)
        return r;
    if (!S_ISDIR(directory->node->type))
        return -ENOTDIR;
    r = place_writable(directory);
    if (r < 0)
        return r;
    ops = directory->node->fs->ops;
    if (ops->tmpfile == NULL)
        return -EOPNOTSUPP;
    if (directory->deleted)
        return -ENOENT;
    request.flags |= opening->flags & O_EXCL; /* here it forbids to give the file a name */
    return ops->tmpfile(directory->node, &request, ret_opened);
}

int vfs_open(struct vfs *vfs, const struct vfs_walk *walk, int flags, mode_t mode,
             struct vfs_opened *ret_opened)
{
    struct opening opening = {.vfs = vfs, .actor = walk->actor, .flags = flags, .mode = mode};
    struct vfs_walk adjusted = *walk;
    struct vfs_opened opened = {.fd = -1};
    int r = -EEXIST;

    if (flags & O_PATH)
        opening.flags &= PATH_FLAGS;
    if ((opening.flags & O_NOFOLLOW) || ((opening.flags & O_CREAT) && (opening.flags & O_EXCL)))
        adjusted.flags |= VFS_NOFOLLOW;
    if (opening.flags & TMPFILE_BIT)
        r = open_temporary(&opening, &adjusted, &opened);
    else if ((opening.flags & O_CREAT) && (opening.flags & O_DIRECTORY))
        r = -EINVAL;
    else
        for (int i = 0; r == -EEXIST && i < CREATE_TRIES; i++) {
            r = open_once(&opening, &adjusted, &opened);
            if (opening.flags & O_EXCL)
                break;
        }
    if (r == 0)
        *ret_opened = opened;
    return r;
}

int vfs_may_lease(struct vfs *vfs, int fd)
{
    struct vfs_place *place cleanup_place = NULL;
    int r = vfs_place_of_fd(vfs, fd, &place);

    if (r < 0)
        return r;
    if (!S_ISREG(place->node->type) || place->mount == NULL)
        return -EINVAL;
    if (!fs_is_host(place->node->fs))
        return -EAGAIN;
    return place->mount->flags & VFS_MOUNT_READ_ONLY ? -EACCES : 0;
}

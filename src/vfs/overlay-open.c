#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

static int overlay_open_lower(struct overlay_node *node, const struct vfs_open_request *request,
                              struct vfs_opened *ret_opened)
{
    const struct vfs_fs_ops *ops = overlay_fs_of(node)->lower->ops;

    return ops->open ? ops->open(node->lower, request, ret_opened) : -ENOTSUP;
}

/* An open file is found by its identity; that has to lead here and not to the upper's node. */
int overlay_announce(struct overlay_node *node, int fd)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!fs->memory)
        return overlay_hold(node, &stat);
    overlay_keep(node);
    if (!node->kept)
        return -ENOMEM;
    return vfs_register_identity(fs->base.vfs, stat.st_dev, stat.st_ino, &node->base);
}

void overlay_announce_origin(struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct stat stat = {.st_dev = node->shown.device, .st_ino = node->shown.inode};

    if (!fs->memory) {
        (void)overlay_hold(node, &stat);
        return;
    }
    overlay_keep(node);
    if (node->kept)
        (void)vfs_register_origin(fs->base.vfs, stat.st_dev, stat.st_ino, &node->base);
}

static bool wants_write(int flags)
{
    return !(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC));
}

/*
 * Writing takes the set-id bits away. The guest writes natively and the host does it then, except
 * where these bits are only a record: there it is done now.
 */
static int drop_recorded_set_id(struct overlay_node *node, const struct vfs_open_request *request)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct statx stat;
    int r;

    if (fs->memory || fs->privileged || node->base.type != S_IFREG ||
        !wants_write(request->flags) || overlay_can(request->actor, CAP_FSETID))
        return 0;
    r = overlay_stat(&node->base, &stat);
    if (r < 0 || overlay_without_set_id(&stat) == (stat.stx_mode & 07777))
        return r;
    return overlay_upper_chmod(fs, node->upper, overlay_without_set_id(&stat));
}

static int overlay_open_upper(struct overlay_node *node, const struct vfs_open_request *request,
                              struct vfs_opened *ret_opened)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    struct vfs_open_request ours = {
        .actor = &fs->kernel, .flags = request->flags, .mode = request->mode};
    struct vfs_opened opened;
    int r;

    if (node->base.type == S_IFCHR || node->base.type == S_IFBLK)
        return request->flags & O_PATH ? -ENOTSUP : -EACCES;
    if (node->dir)
        return -ENOTSUP; /* merged: no directory of the host shows what is in it */
    if (!fs->upper->ops->open)
        return -ENOTSUP;
    r = drop_recorded_set_id(node, request);
    if (r < 0)
        return r;
    r = fs->upper->ops->open(node->upper, &ours, &opened);
    if (r < 0)
        return r;
    r = overlay_announce(node, opened.fd);
    if (r < 0) {
        base_close(opened.fd);
        return r;
    }
    *ret_opened = opened;
    return 0;
}

static int open_permission(struct overlay_node *node, const struct vfs_open_request *request)
{
    static const int may_of[4] = {VFS_MAY_READ, VFS_MAY_WRITE, VFS_MAY_READ | VFS_MAY_WRITE,
                                  VFS_MAY_READ | VFS_MAY_WRITE};
    int may = may_of[request->flags & O_ACCMODE];
    int r;

    if (request->flags & O_PATH)
        return 0;
    if (request->flags & O_TRUNC)
        may |= VFS_MAY_WRITE;
    r = overlay_may(node, request->actor, may);
    if (r == 0 && (request->flags & O_NOATIME)) {
        r = overlay_owned_by(node, request->actor);
        r = r > 0 ? 0 : r < 0 ? r : -EPERM;
    }
    return r;
}

int overlay_open(struct vfs_node *base, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened)
{
    struct overlay_node *node = overlay_of(base);
    int r = open_permission(node, request);

    if (r < 0)
        return r;
    /* A FIFO of the lower leads to processes outside: the guest gets one of its own. */
    if (!node->upper && ((base->type == S_IFREG && wants_write(request->flags)) ||
                         (base->type == S_IFIFO && !(request->flags & O_PATH)))) {
        r = overlay_copy_up(node, !(request->flags & O_TRUNC));
        if (r < 0)
            return r;
    }
    return node->upper ? overlay_open_upper(node, request, ret_opened)
                       : overlay_open_lower(node, request, ret_opened);
}

/* ---- for inotify ---- */

/* A directory changes in the upper by us only; what its lower part does is the host's doing. */
int overlay_backing(struct vfs_node *base)
{
    struct overlay_node *node = overlay_of(base);
    struct vfs_node *real = node->upper && base->type != S_IFDIR ? node->upper : node->lower;

    if (!real || !real->fs->ops->backing || (node->dir && node->dir->opaque))
        return -EOPNOTSUPP;
    return real->fs->ops->backing(real);
}

bool overlay_hides_lower(struct vfs_node *base, const char *name)
{
    struct overlay_node *node = overlay_of(base);

    if (!node->dir)
        return false;
    return node->dir->opaque || overlay_dir_load(overlay_fs_of(node), node->dir) < 0 ||
           overlay_find(node->dir, name);
}

bool overlay_is_open(struct vfs_node *base)
{
    const struct vfs_node *upper = overlay_of(base)->upper;

    return upper && upper->fs->ops->is_open && upper->fs->ops->is_open(overlay_of(base)->upper);
}

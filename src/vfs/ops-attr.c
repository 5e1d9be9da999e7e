/* Attributes of places: stat, access, owners, times, extended attributes. */
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vfs/ops-internal.h"
#include "vfs/watch-internal.h"

/* Records of ours on the host's files; the guest never sees or sets them. */
#define OWN_ATTRIBUTES "user.cerebro."

/* f_flags is valid; include/linux/statfs.h */
#define STATFS_VALID 0x20

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000
#endif

/* The guest's mount, as in its mountinfo, never the host's. */
static void tell_mount(const struct vfs_place *place, struct statx *stat)
{
    stat->stx_mask &= ~(STATX_MNT_ID | STATX_MNT_ID_UNIQUE);
    stat->stx_attributes &= ~(uint64_t)STATX_ATTR_MOUNT_ROOT;
    stat->stx_mnt_id = 0;
    if (place->mount == NULL)
        return;
    stat->stx_mask |= STATX_MNT_ID;
    stat->stx_mnt_id = (uint64_t)place->mount->id;
    stat->stx_attributes_mask |= STATX_ATTR_MOUNT_ROOT;
    if (place->node == place->mount->root)
        stat->stx_attributes |= STATX_ATTR_MOUNT_ROOT;
}

int vfs_stat(struct vfs_place *place, struct statx *ret_stat)
{
    int r = node_stat(place->node, ret_stat);

    if (r == 0)
        tell_mount(place, ret_stat);
    return r;
}

static bool is_file_directory_or_link(mode_t type)
{
    return S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type);
}

int vfs_access(struct vfs_place *place, int mode, const struct vfs_actor *actor, bool effective)
{
    mode_t type = place->node->type;
    int r;

    if (mode & ~(R_OK | W_OK | X_OK))
        return -EINVAL;
    if ((mode & X_OK) && S_ISREG(type) && place->mount && (place->mount->flags & VFS_MOUNT_NOEXEC))
        return -EACCES;
    r = node_access(place->node, mode, actor, effective);
    if (r == 0 && (mode & W_OK) && is_file_directory_or_link(type))
        r = place_writable(place);
    return r;
}

int vfs_statfs(struct vfs_place *place, struct statfs *ret_statfs)
{
    const struct vfs_fs *fs = place->node->fs;
    struct statfs info = {.f_type = (long)fs->ops->magic,
                          .f_bsize = 4096,
                          .f_frsize = 4096,
                          .f_namelen = VFS_NAME_MAX};
    unsigned flags = place->mount ? place->mount->flags : 0;
    int r = fs->ops->statfs ? fs->ops->statfs(place->node, &info) : 0;

    if (r < 0)
        return r;
    info.f_flags |= STATFS_VALID;
    info.f_flags |= flags & VFS_MOUNT_READ_ONLY ? ST_RDONLY : 0;
    info.f_flags |= flags & VFS_MOUNT_NODEV ? ST_NODEV : 0;
    info.f_flags |= flags & VFS_MOUNT_NOEXEC ? ST_NOEXEC : 0;
    info.f_flags |= flags & VFS_MOUNT_NOSUID ? ST_NOSUID : 0;
    *ret_statfs = info;
    return 0;
}

ssize_t vfs_readlink(struct vfs_place *place, char *text, size_t size,
                     const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;

    if (!S_ISLNK(place->node->type) || ops->readlink == NULL)
        return -EINVAL;
    return ops->readlink(place->node, text, size, actor);
}

/* Ends an operation on an object: IN_ATTRIB, IN_MODIFY or IN_ACCESS have happened to it. */
static int changed(struct vfs_place *place, uint32_t mask, int r)
{
    if (r == 0 && watch_is_active(place->vfs))
        watch_happened(place, mask);
    return r;
}

int vfs_chmod(struct vfs_place *place, mode_t mode, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = place_writable(place);

    if (r < 0)
        return r;
    if (ops->chmod == NULL)
        return -EPERM;
    place_changed(place);
    return changed(place, IN_ATTRIB, ops->chmod(place->node, mode & 07777, actor));
}

int vfs_chown(struct vfs_place *place, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = place_writable(place);

    if (r < 0)
        return r;
    if (ops->chown == NULL)
        return -EPERM;
    place_changed(place);
    return changed(place, IN_ATTRIB, ops->chown(place->node, uid, gid, actor));
}

/* As fsnotify_change() in include/linux/fsnotify.h has it. */
static uint32_t event_of_times(const struct timespec times[2])
{
    if (times[0].tv_nsec != UTIME_OMIT && times[1].tv_nsec != UTIME_OMIT)
        return IN_ATTRIB;
    return times[0].tv_nsec != UTIME_OMIT ? IN_ACCESS : IN_MODIFY;
}

int vfs_utimens(struct vfs_place *place, const struct timespec times[2],
                const struct vfs_actor *actor, bool times_given)
{
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r;

    if (!times_given)
        times = now;
    for (int i = 0; i < 2; i++)
        if (times[i].tv_nsec != UTIME_NOW && times[i].tv_nsec != UTIME_OMIT &&
            (times[i].tv_nsec < 0 || times[i].tv_nsec > 999999999))
            return -EINVAL;
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
        return 0;
    r = place_writable(place);
    if (r < 0)
        return r;
    if (ops->utimens == NULL)
        return -EPERM;
    place_changed(place);
    return changed(place, event_of_times(times), ops->utimens(place->node, times, actor));
}

int vfs_truncate(struct vfs_place *place, off_t length, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r;

    if (length < 0)
        return -EINVAL;
    if (S_ISDIR(place->node->type))
        return -EISDIR;
    if (!S_ISREG(place->node->type))
        return -EINVAL;
    r = place_writable(place);
    if (r < 0)
        return r;
    if (ops->truncate == NULL)
        return -EPERM;
    place_changed(place);
    return changed(place, IN_MODIFY, ops->truncate(place->node, length, actor));
}

static bool is_own_attribute(const char *name)
{
    return strncmp(name, OWN_ATTRIBUTES, strlen(OWN_ATTRIBUTES)) == 0;
}

ssize_t vfs_getxattr(struct vfs_place *place, const char *name, void *value, size_t size,
                     const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = 0;

    if (is_own_attribute(name))
        return -ENODATA;
    if (ops->getxattr == NULL)
        return -EOPNOTSUPP;
    /* Reading a user attribute is reading the file; the host checks that by itself, for ourselves.
     */
    if (strncmp(name, "user.", 5) == 0 &&
        (!fs_is_host(place->node->fs) || place->vfs->self.can_act))
        r = node_access(place->node, R_OK, actor, true);
    return r < 0 ? r : ops->getxattr(place->node, name, value, size);
}

int vfs_setxattr(struct vfs_place *place, const char *name, const void *value, size_t size,
                 int flags, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = place_writable(place);

    if (r < 0)
        return r;
    if (is_own_attribute(name))
        return -EPERM;
    if (ops->setxattr == NULL)
        return -EOPNOTSUPP;
    place_changed(place);
    return changed(place, IN_ATTRIB, ops->setxattr(place->node, name, value, size, flags, actor));
}

/* Copies the names that the guest may see; returns their length. */
static size_t visible_names(const char *names, size_t length, char *ret_names)
{
    size_t kept = 0;

    for (size_t i = 0, size; i < length; i += size) {
        size = strnlen(names + i, length - i - 1) + 1;
        if (is_own_attribute(names + i))
            continue;
        memcpy(ret_names + kept, names + i, size);
        kept += size;
    }
    return kept;
}

ssize_t vfs_listxattr(struct vfs_place *place, char *names, size_t size,
                      const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    cleanup_free char *all = NULL;
    cleanup_free char *kept = NULL;
    ssize_t length;

    (void)actor;
    if (ops->listxattr == NULL)
        return 0;
    all = malloc(XATTR_LIST_MAX);
    kept = malloc(XATTR_LIST_MAX);
    if (all == NULL || kept == NULL)
        return -ENOMEM;
    length = ops->listxattr(place->node, all, XATTR_LIST_MAX);
    if (length <= 0)
        return length;
    length = (ssize_t)visible_names(all, (size_t)length, kept);
    if (size == 0)
        return length;
    if ((size_t)length > size)
        return -ERANGE;
    memcpy(names, kept, (size_t)length);
    return length;
}

int vfs_removexattr(struct vfs_place *place, const char *name, const struct vfs_actor *actor)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    int r = place_writable(place);

    if (r < 0)
        return r;
    if (is_own_attribute(name))
        return -ENODATA;
    if (ops->removexattr == NULL)
        return -EOPNOTSUPP;
    place_changed(place);
    return changed(place, IN_ATTRIB, ops->removexattr(place->node, name, actor));
}

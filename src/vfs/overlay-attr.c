#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static bool is_member(const struct vfs_actor *actor, gid_t gid)
{
    const struct pk_identity *identity = actor->identity;

    for (unsigned i = 0; i < identity->group_count; i++) {
        if (identity->groups[i] == gid)
            return true;
    }
    return identity->fsgid == gid;
}

/* What searching in the directory depends on has to be read again. */
static void attributes_changed(struct overlay_node *node)
{
    if (node->dir)
        node->dir->attributes = false;
}

int overlay_chmod(struct vfs_node *base, mode_t mode, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct statx stat;
    int r;

    if (base->type == S_IFLNK)
        return -EOPNOTSUPP;
    r = overlay_stat(base, &stat);
    if (r < 0)
        return r;
    if (!vfs_is_owner(actor, &stat))
        return -EPERM;
    if (!is_member(actor, stat.stx_gid) && !overlay_can(actor, CAP_FSETID))
        mode &= ~(mode_t)S_ISGID;
    r = overlay_copy_up(node, true);
    if (r == 0)
        r = overlay_upper_chmod(overlay_fs_of(node), node->upper, mode & 07777);
    attributes_changed(node);
    return r;
}

static bool may_chown(const struct statx *stat, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    bool owner = actor->identity->fsuid == stat->stx_uid;

    if (overlay_can(actor, CAP_CHOWN))
        return true;
    if (uid != (uid_t)-1 && !(owner && uid == stat->stx_uid))
        return false;
    return gid == (gid_t)-1 || (owner && (gid == stat->stx_gid || is_member(actor, gid)));
}

mode_t overlay_without_set_id(const struct statx *stat)
{
    mode_t mode = stat->stx_mode & 07777;

    if (S_ISDIR(stat->stx_mode))
        return mode;
    mode &= ~(mode_t)S_ISUID;
    return mode & S_IXGRP ? mode & ~(mode_t)S_ISGID : mode;
}

int overlay_chown(struct vfs_node *base, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    struct statx stat;
    int r = overlay_stat(base, &stat);

    if (r < 0)
        return r;
    if (!may_chown(&stat, uid, gid, actor))
        return -EPERM;
    r = overlay_copy_up(node, true);
    if (r == 0)
        r = overlay_upper_own(fs, node->upper, uid, gid, overlay_without_set_id(&stat));
    if (r == 0 && base->type == S_IFREG)
        (void)fs->upper->ops->removexattr(node->upper, "security.capability", &fs->kernel);
    attributes_changed(node);
    return r;
}

int overlay_utimens(struct vfs_node *base, const struct timespec times[2],
                    const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    bool now = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
    int r = overlay_owned_by(node, actor);

    if (r < 0)
        return r;
    if (r == 0 && !now)
        return -EPERM;
    if (r == 0 && overlay_may(node, actor, VFS_MAY_WRITE) < 0)
        return -EACCES;
    r = overlay_copy_up(node, true);
    return r < 0 ? r : fs->upper->ops->utimens(node->upper, times, &fs->kernel);
}

int overlay_truncate(struct vfs_node *base, off_t length, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    struct statx stat;
    int r;

    if (base->type != S_IFREG || length < 0)
        return base->type == S_IFDIR ? -EISDIR : -EINVAL;
    r = overlay_may(node, actor, VFS_MAY_WRITE);
    if (r == 0)
        r = overlay_copy_up(node, length > 0);
    if (r == 0)
        r = fs->upper->ops->truncate(node->upper, length, &fs->kernel);
    if (r < 0 || overlay_can(actor, CAP_FSETID))
        return r;
    r = overlay_stat(base, &stat);
    if (r == 0 && overlay_without_set_id(&stat) != (stat.stx_mode & 07777))
        r = overlay_upper_chmod(fs, node->upper, overlay_without_set_id(&stat));
    return r;
}

/* ---- extended attributes ---- */

/*
 * The guest's attributes that begin like the overlay's own are stored with an inserted "overlay.",
 * as the kernel's overlayfs does since 6.7, so that overlays can be nested. Both prefixes, since an
 * upper may be used with and without privileges.
 */
static const char *const own_prefixes[] = {"trusted.overlay.", "user.overlay."};

/* The prefix that a name begins with; NULL: neither. */
static const char *own_prefix(const char *name)
{
    for (size_t i = 0; i < array_length(own_prefixes); i++) {
        if (strncmp(name, own_prefixes[i], strlen(own_prefixes[i])) == 0)
            return own_prefixes[i];
    }
    return NULL;
}

static bool escape_name(const char *name, char stored[])
{
    const char *prefix = own_prefix(name);
    int length;

    if (!prefix)
        length = snprintf(stored, XATTR_NAME_MAX + 1, "%s", name);
    else
        length =
            snprintf(stored, XATTR_NAME_MAX + 1, "%soverlay.%s", prefix, name + strlen(prefix));
    return length <= XATTR_NAME_MAX;
}

static struct vfs_node *real_node(const struct overlay_node *node)
{
    return node->upper ? node->upper : node->lower;
}

ssize_t overlay_getxattr(struct vfs_node *base, const char *name, void *value, size_t size)
{
    struct overlay_node *node = overlay_of(base);
    const struct overlay_fs *fs = overlay_fs_of(node);
    struct vfs_node *real = real_node(node);
    char stored[XATTR_NAME_MAX + 1];

    if (!real->fs->ops->getxattr)
        return -EOPNOTSUPP;
    if (!escape_name(name, stored))
        return -ERANGE;
    if (node->upper && overlay_xattr_is_private(fs, name))
        return -ENODATA;
    return real->fs->ops->getxattr(real, stored, value, size);
}

/* The kernel's rules of who may set what, on the presented attributes (fs/xattr.c). */
static int may_set_xattr(struct overlay_node *node, const char *name, const struct vfs_actor *actor)
{
    struct statx stat;
    int r = overlay_stat(&node->base, &stat);

    if (r < 0)
        return r;
    if (strncmp(name, "trusted.", 8) == 0)
        return overlay_can(actor, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (strcmp(name, "security.capability") == 0)
        return overlay_can(actor, CAP_SETFCAP) ? 0 : -EPERM;
    if (strncmp(name, "security.", 9) == 0)
        return overlay_can(actor, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (strncmp(name, "system.", 7) == 0)
        return vfs_is_owner(actor, &stat) ? 0 : -EPERM;
    if (node->base.type != S_IFREG && node->base.type != S_IFDIR)
        return -EPERM;
    if (node->base.type == S_IFDIR && (stat.stx_mode & S_ISVTX) && !vfs_is_owner(actor, &stat))
        return -EPERM;
    return vfs_permission(actor, &stat, VFS_MAY_WRITE);
}

/* Whether the attribute may be set or removed, and the name it is stored under. */
static int check_xattr(struct overlay_node *node, const char *name, const struct vfs_actor *actor,
                       char stored[])
{
    const struct overlay_fs *fs = overlay_fs_of(node);

    if (!fs->upper->ops->setxattr)
        return -EOPNOTSUPP;
    if (!escape_name(name, stored))
        return -ERANGE;
    if (overlay_xattr_is_private(fs, name))
        return -EPERM;
    return may_set_xattr(node, name, actor);
}

int overlay_setxattr(struct vfs_node *base, const char *name, const void *value, size_t size,
                     int flags, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    char stored[XATTR_NAME_MAX + 1];
    int r = check_xattr(node, name, actor, stored);

    if (r == 0)
        r = overlay_copy_up(node, true);
    return r < 0 ? r
                 : fs->upper->ops->setxattr(node->upper, stored, value, size, flags, &fs->kernel);
}

int overlay_removexattr(struct vfs_node *base, const char *name, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    char stored[XATTR_NAME_MAX + 1];
    int r = check_xattr(node, name, actor, stored);
    ssize_t size;

    if (r < 0)
        return r;
    size = overlay_getxattr(base, name, NULL, 0);
    if (size < 0 && size != -EOPNOTSUPP)
        return (int)size; /* nothing to copy up for */
    r = overlay_copy_up(node, true);
    return r < 0 ? r : fs->upper->ops->removexattr(node->upper, stored, &fs->kernel);
}

/* The name as the guest is to see it; NULL: not at all. */
static const char *shown_name(const struct overlay_fs *fs, const char *name, char shown[])
{
    const char *prefix = own_prefix(name);
    size_t length = prefix ? strlen(prefix) : 0;

    if (overlay_xattr_is_private(fs, name))
        return NULL;
    if (!prefix)
        return name;
    if (strncmp(name + length, "overlay.", 8) != 0)
        return NULL;
    snprintf(shown, XATTR_NAME_MAX + 1, "%s%s", prefix, name + length + 8);
    return shown;
}

/* Rewrites the list in place: a shown name is never longer than the stored one. */
static size_t filter_names(const struct overlay_fs *fs, char *names, size_t size)
{
    char shown[XATTR_NAME_MAX + 1];
    size_t kept = 0;

    for (size_t at = 0; at < size;) {
        size_t step = strlen(names + at) + 1;
        const char *name = shown_name(fs, names + at, shown);

        if (name) {
            size_t length = strlen(name) + 1;

            memmove(names + kept, name, length);
            kept += length;
        }
        at += step;
    }
    return kept;
}

ssize_t overlay_listxattr(struct vfs_node *base, char *names, size_t size)
{
    struct overlay_node *node = overlay_of(base);
    struct vfs_node *real = real_node(node);
    char *all;
    ssize_t length;

    if (!real->fs->ops->listxattr)
        return -EOPNOTSUPP;
    all = malloc(XATTR_LIST_MAX);
    if (!all)
        return -ENOMEM;
    length = real->fs->ops->listxattr(real, all, XATTR_LIST_MAX);
    if (length >= 0)
        length = (ssize_t)filter_names(overlay_fs_of(node), all, (size_t)length);
    if (length > 0 && size && (size_t)length > size)
        length = -ERANGE;
    if (length > 0 && size)
        memcpy(names, all, (size_t)length);
    free(all);
    return length;
}

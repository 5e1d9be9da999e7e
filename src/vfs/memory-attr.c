#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DIRECTORY_ENTRY_SIZE                                             \
    20 /* what tmpfs counts for one name, BOGO_DIRENT_SIZE in mm/shmem.c \
        */

bool memory_is_member(const struct vfs_actor *actor, gid_t gid)
{
    const struct pk_identity *identity = actor->identity;

    if (identity->fsgid == gid)
        return true;
    for (unsigned i = 0; i < identity->group_count; i++) {
        if (identity->groups[i] == gid)
            return true;
    }
    return false;
}

static struct statx_timestamp to_statx(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

/* Takes over what the guest changed natively: size, times, and set-id bits lost by writing. */
static void refresh_content(struct memory_node *node, struct statx *stat)
{
    struct stat native;

    if (node->content->parked) {
        stat->stx_size = node->content->size;
        stat->stx_blocks =
            (node->content->size + MEMORY_BLOCK - 1) / MEMORY_BLOCK * (MEMORY_BLOCK / 512);
    }
    if (node->content->fd < 0 || fstat(node->content->fd, &native) < 0)
        return;
    stat->stx_size = (uint64_t)native.st_size;
    stat->stx_blocks = (uint64_t)native.st_blocks;
    node->mode &= ~(mode_t)(S_ISUID | S_ISGID) | native.st_mode;
    node->atime = native.st_atim;
    node->mtime = native.st_mtim;
    if (is_later(native.st_ctim, node->content->made) && is_later(native.st_ctim, node->ctime))
        node->ctime = native.st_ctim;
}

int memory_stat(struct vfs_node *base, struct statx *ret_stat)
{
    struct memory_node *node = memory_of(base);
    struct statx stat = {.stx_mask = STATX_BASIC_STATS | STATX_BTIME, .stx_blksize = MEMORY_BLOCK};

    if (base->type == S_IFREG)
        refresh_content(node, &stat);
    else if (base->type == S_IFDIR)
        stat.stx_size = DIRECTORY_ENTRY_SIZE * (2 + (uint64_t)node->directory->names.count);
    else if (base->type == S_IFLNK)
        stat.stx_size = strlen(node->target);
    else if (base->type == S_IFCHR || base->type == S_IFBLK) {
        stat.stx_rdev_major = major(node->device);
        stat.stx_rdev_minor = minor(node->device);
    }
    stat.stx_dev_major = major(base->fs->device);
    stat.stx_dev_minor = minor(base->fs->device);
    stat.stx_ino = node->inode;
    stat.stx_nlink = node->nlink;
    stat.stx_mode = (uint16_t)(base->type | node->mode);
    stat.stx_uid = node->uid;
    stat.stx_gid = node->gid;
    stat.stx_atime = to_statx(node->atime);
    stat.stx_mtime = to_statx(node->mtime);
    stat.stx_ctime = to_statx(node->ctime);
    stat.stx_btime = to_statx(node->btime);
    *ret_stat = stat;
    return 0;
}

static void set_mode(struct memory_node *node, mode_t mode)
{
    node->mode = mode;
    if (node->base.type == S_IFREG)
        memory_content_attributes(node, false);
    memory_touch(node, false);
}

void memory_drop_set_id(struct memory_node *node, const struct vfs_actor *actor)
{
    mode_t mode = node->mode & ~(mode_t)S_ISUID;

    if (memory_can(actor, CAP_FSETID))
        return;
    if (mode & S_IXGRP)
        mode &= ~(mode_t)S_ISGID;
    if (mode != node->mode)
        set_mode(node, mode);
}

int memory_chmod(struct vfs_node *base, mode_t mode, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);

    if (base->type == S_IFLNK)
        return -EOPNOTSUPP;
    if (!memory_owned_by(node, actor))
        return -EPERM;
    mode &= 07777;
    if (!memory_is_member(actor, node->gid) && !memory_can(actor, CAP_FSETID))
        mode &= ~(mode_t)S_ISGID;
    set_mode(node, mode);
    return 0;
}

/* The kernel's rule: a user may give a file of his own to a group of his own, nothing else. */
static bool may_chown(const struct memory_node *node, uid_t uid, gid_t gid,
                      const struct vfs_actor *actor)
{
    bool owner = actor->identity->fsuid == node->uid;

    if (memory_can(actor, CAP_CHOWN))
        return true;
    if (uid != (uid_t)-1 && !(owner && uid == node->uid))
        return false;
    if (gid != (gid_t)-1 && !(owner && (gid == node->gid || memory_is_member(actor, gid))))
        return false;
    return true;
}

int memory_chown(struct vfs_node *base, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    mode_t mode = node->mode;

    if (!may_chown(node, uid, gid, actor))
        return -EPERM;
    if (base->type != S_IFDIR) {
        mode &= ~(mode_t)S_ISUID;
        if (mode & S_IXGRP)
            mode &= ~(mode_t)S_ISGID;
        memory_xattr_drop(node, "security.capability");
    }
    if (uid != (uid_t)-1)
        node->uid = uid;
    if (gid != (gid_t)-1)
        node->gid = gid;
    set_mode(node, mode);
    return 0;
}

static void set_time(struct timespec *time, struct timespec wanted, struct timespec now)
{
    if (wanted.tv_nsec == UTIME_OMIT)
        return;
    *time = wanted.tv_nsec == UTIME_NOW ? now : wanted;
}

int memory_utimens(struct vfs_node *base, const struct timespec times[2],
                   const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    bool now = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;

    if (!memory_owned_by(node, actor)) {
        if (!now)
            return -EPERM;
        if (memory_may(node, actor, VFS_MAY_WRITE) < 0)
            return -EACCES;
    }
    if (base->type == S_IFREG && node->content->fd >= 0 && futimens(node->content->fd, times) < 0)
        return -errno;
    memory_touch(node, false);
    set_time(&node->atime, times[0], node->ctime);
    set_time(&node->mtime, times[1], node->ctime);
    return 0;
}

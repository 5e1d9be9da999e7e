/*
 * Acting on the upper. A memory upper takes everything as it is. A host directory takes what the
 * user who runs us may do; the rest is recorded beside the file and read back:
 *
 *   user.cerebro.owner  "UID:GID"
 *   user.cerebro.mode   octal mode; with type bits on a file that stands for a device node;
 * followed by " empty" when its set-id bits count only until something is written user.cerebro.rdev
 * "MAJOR:MINOR" of such a device node
 *
 * Symbolic links, FIFOs and sockets cannot carry user.* attributes: the directory keeps their
 * owners (host-owner.c).
 */
#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define OWNER_RECORD   "user.cerebro.owner"
#define MODE_RECORD    "user.cerebro.mode"
#define DEVICE_RECORD  "user.cerebro.rdev"
#define PRIVATE_PREFIX "user.cerebro."
#define EMPTY_MARK     " empty"

static bool can_carry(const struct vfs_node *upper)
{
    return upper->type == S_IFREG || upper->type == S_IFDIR;
}

static int set_record(struct overlay_fs *fs, struct vfs_node *upper, const char *name,
                      const char *text)
{
    return fs->upper->ops->setxattr(upper, name, text, strlen(text), 0, &fs->kernel);
}

static bool get_record(struct overlay_fs *fs, struct vfs_node *upper, const char *name,
                       char text[32])
{
    ssize_t length = fs->upper->ops->getxattr(upper, name, text, 31);

    if (length <= 0)
        return false;
    text[length] = '\0';
    return true;
}

/* One call tells for nearly all files that nothing is recorded. */
static bool has_records(struct overlay_fs *fs, struct vfs_node *upper)
{
    char names[512];
    ssize_t length = fs->upper->ops->listxattr(upper, names, sizeof(names));

    if (length == -ERANGE)
        return true;
    return length > 0 && memmem(names, (size_t)length, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX));
}

/*
 * The host takes set-id bits away when a file is written, which the guest does natively; a record
 * stays. So the bits of a new file are recorded for as long as it is empty.
 */
static unsigned mode_left(const char *text, unsigned mode, const struct statx *stat)
{
    if (!strstr(text, EMPTY_MARK) || stat->stx_size == 0)
        return mode;
    mode &= ~(unsigned)S_ISUID;
    return mode & S_IXGRP ? mode & ~(unsigned)S_ISGID : mode;
}

static void apply_records(struct overlay_fs *fs, struct vfs_node *upper, struct statx *stat)
{
    unsigned first, second;
    char text[32];

    if (get_record(fs, upper, OWNER_RECORD, text) && sscanf(text, "%u:%u", &first, &second) == 2) {
        stat->stx_uid = first;
        stat->stx_gid = second;
    }
    if (!get_record(fs, upper, MODE_RECORD, text) || sscanf(text, "%o", &first) != 1)
        return;
    first = mode_left(text, first, stat);
    stat->stx_mode =
        (uint16_t)((first & S_IFMT ? first & S_IFMT : stat->stx_mode & S_IFMT) | (first & 07777));
    if (!(first & S_IFMT) || !get_record(fs, upper, DEVICE_RECORD, text) ||
        sscanf(text, "%u:%u", &first, &second) != 2)
        return;
    stat->stx_rdev_major = first;
    stat->stx_rdev_minor = second;
    stat->stx_size = stat->stx_blocks = 0;
}

int overlay_upper_stat(struct overlay_fs *fs, struct vfs_node *upper, struct statx *ret_stat)
{
    int r = fs->upper->ops->stat(upper, ret_stat);

    if (r == 0 && !fs->memory && can_carry(upper) && has_records(fs, upper))
        apply_records(fs, upper, ret_stat);
    return r;
}

static int record_owner(struct overlay_fs *fs, struct vfs_node *upper, uid_t uid, gid_t gid)
{
    char text[32];

    if (!can_carry(upper))
        return 0;
    snprintf(text, sizeof(text), "%u:%u", uid, gid);
    return set_record(fs, upper, OWNER_RECORD, text);
}

int overlay_upper_chown(struct overlay_fs *fs, struct vfs_node *upper, uid_t uid, gid_t gid)
{
    struct statx stat;
    char text[32];
    int r = overlay_upper_stat(fs, upper, &stat);

    if (r < 0)
        return r;
    uid = uid == (uid_t)-1 ? stat.stx_uid : uid;
    gid = gid == (gid_t)-1 ? stat.stx_gid : gid;
    if (uid == stat.stx_uid && gid == stat.stx_gid)
        return 0;
    /* A record that exists hides what the host says, so it has to be the one that changes. */
    if (!fs->memory && can_carry(upper) && get_record(fs, upper, OWNER_RECORD, text))
        return record_owner(fs, upper, uid, gid);
    r = fs->upper->ops->chown(upper, uid, gid, &fs->kernel);
    if (r == -EPERM && !fs->memory)
        r = record_owner(fs, upper, uid, gid);
    return r;
}

mode_t overlay_upper_mode(const struct overlay_fs *fs, mode_t mode)
{
    if (fs->memory || fs->privileged || !(S_ISREG(mode) || S_ISDIR(mode)))
        return mode & (S_IFMT | 07777); /* the others cannot carry a record */
    /* We must be able to use it whatever mode it shows, and set-id bits are only for show. */
    return (mode & (S_IFMT | 0777)) | (S_ISDIR(mode) ? 0700 : 0600);
}

static int record_mode(struct overlay_fs *fs, struct vfs_node *upper, mode_t mode)
{
    char text[32];

    snprintf(text, sizeof(text), "%o", mode);
    return set_record(fs, upper, MODE_RECORD, text);
}

int overlay_upper_limit_set_id(struct overlay_fs *fs, struct vfs_node *upper, mode_t mode)
{
    char text[32];

    snprintf(text, sizeof(text), "%o" EMPTY_MARK, mode);
    return set_record(fs, upper, MODE_RECORD, text);
}

int overlay_upper_chmod(struct overlay_fs *fs, struct vfs_node *upper, mode_t mode)
{
    mode_t native = overlay_upper_mode(fs, upper->type | (mode & 07777)) & 07777;
    unsigned recorded;
    bool is_recorded;
    char text[32];
    int r;

    mode &= 07777;
    if (upper->type == S_IFLNK)
        return 0;
    is_recorded = !fs->memory && can_carry(upper) && get_record(fs, upper, MODE_RECORD, text) &&
                  sscanf(text, "%o", &recorded) == 1;
    if (is_recorded && (recorded & S_IFMT))
        return record_mode(fs, upper, (recorded & S_IFMT) | mode); /* stands for a device */
    r = fs->upper->ops->chmod(upper, native, &fs->kernel);
    if (r < 0 || fs->memory || !can_carry(upper))
        return r;
    if (native != mode)
        return record_mode(fs, upper, mode);
    if (is_recorded)
        r = fs->upper->ops->removexattr(upper, MODE_RECORD, &fs->kernel);
    return r;
}

int overlay_upper_own(struct overlay_fs *fs, struct vfs_node *upper, uid_t uid, gid_t gid,
                      mode_t mode)
{
    struct statx stat;
    int r = overlay_upper_stat(fs, upper, &stat);

    if (r < 0)
        return r;
    if ((uid != (uid_t)-1 && uid != stat.stx_uid) || (gid != (gid_t)-1 && gid != stat.stx_gid)) {
        r = overlay_upper_chown(fs, upper, uid, gid);
        if (r == 0)
            r = overlay_upper_stat(fs, upper, &stat); /* may have lost its set-id bits */
    }
    if (r == 0 && (stat.stx_mode & 07777) != (mode & 07777))
        r = overlay_upper_chmod(fs, upper, mode);
    return r;
}

static int upper_child(struct overlay_fs *fs, struct vfs_node *parent, const char *name,
                       struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = fs->upper->ops->lookup(parent, name, &lookup);

    if (r != VFS_LOOKUP_NODE)
        return r < 0 ? r : -ESTALE;
    *ret_node = lookup.node;
    return 0;
}

/* A regular file that is shown as a device node. */
static int record_device(struct overlay_fs *fs, struct vfs_node *parent, const char *name,
                         mode_t mode, dev_t device)
{
    struct vfs_node *node = NULL;
    char text[32];
    int r = fs->upper->ops->mknod(parent, name, S_IFREG | 0600, 0, &fs->kernel);

    if (r == 0)
        r = upper_child(fs, parent, name, &node);
    if (r < 0)
        return r;
    snprintf(text, sizeof(text), "%u:%u", major(device), minor(device));
    r = set_record(fs, node, DEVICE_RECORD, text);
    if (r == 0)
        r = record_mode(fs, node, mode);
    vfs_node_unref(node);
    if (r < 0)
        fs->upper->ops->unlink(parent, name, false, &fs->kernel);
    return r;
}

int overlay_upper_device(struct overlay_fs *fs, struct vfs_node *parent, const char *name,
                         mode_t mode, dev_t device)
{
    if (fs->memory)
        return fs->upper->ops->mknod(parent, name, mode, device, &fs->kernel);
    if (fs->native_devices && mknodat(vfs_host_node_fd(parent), name, mode, device) == 0)
        return 0;
    return record_device(fs, parent, name, mode, device);
}

/* ---- whiteouts and opaque directories ---- */

bool overlay_is_whiteout(const struct statx *stat)
{
    return S_ISCHR(stat->stx_mode) && stat->stx_rdev_major == 0 && stat->stx_rdev_minor == 0;
}

int overlay_whiteout(struct overlay_fs *fs, struct overlay_dir *dir, const char *name)
{
    struct vfs_node *upper;
    int r;

    if (!fs->memory) {
        r = overlay_dir_upper(fs, dir, &upper);
        if (r < 0)
            return r;
        r = fs->upper->ops->mknod(upper, name, S_IFCHR, makedev(0, 0), &fs->kernel);
        vfs_node_unref(upper);
        if (r < 0)
            return r;
    }
    return overlay_set(dir, name, OVERLAY_WHITEOUT, S_IFCHR, 0);
}

int overlay_uncover(struct overlay_fs *fs, struct overlay_dir *dir, const char *name)
{
    struct overlay_item *item = overlay_find(dir, name);
    struct vfs_node *upper;
    int r;

    if (fs->memory || !item || item->kind != OVERLAY_WHITEOUT)
        return 0;
    r = overlay_dir_upper(fs, dir, &upper);
    if (r < 0)
        return r;
    r = fs->upper->ops->unlink(upper, name, false, &fs->kernel);
    vfs_node_unref(upper);
    return r;
}

static void opaque_name(const char *prefix, char name[32])
{
    snprintf(name, 32, "%sopaque", prefix);
}

int overlay_make_opaque(struct overlay_fs *fs, struct overlay_dir *dir)
{
    struct vfs_node *upper;
    char name[32];
    int r = 0;

    if (!fs->memory) {
        r = overlay_dir_upper(fs, dir, &upper);
        if (r < 0)
            return r;
        opaque_name(fs->xattr_prefix, name);
        r = fs->upper->ops->setxattr(upper, name, "y", 1, 0, &fs->kernel);
        vfs_node_unref(upper);
    }
    if (r == 0)
        dir->opaque = true;
    return r;
}

/* Either name counts: the upper may have been made by somebody with other privileges. */
int overlay_is_marked_opaque(struct overlay_fs *fs, struct vfs_node *upper)
{
    const char *prefixes[] = {"trusted.overlay.", "user.overlay."};
    char name[32], value;

    if (fs->memory)
        return 0;
    for (size_t i = 0; i < array_length(prefixes); i++) {
        opaque_name(prefixes[i], name);
        if (fs->upper->ops->getxattr(upper, name, &value, 1) == 1 && value == 'y')
            return 1;
    }
    return 0;
}

bool overlay_xattr_is_private(const struct overlay_fs *fs, const char *name)
{
    return !fs->memory && strncmp(name, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) == 0;
}

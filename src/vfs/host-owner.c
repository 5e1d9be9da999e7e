/*
 * Owners that the host did not set, because the user who runs us may not: they are recorded, and
 * shown to a guest with virtual ids.
 *
 *   regular files, directories   attribute user.cerebro.owner: "UID:GID"
 *   all else                     in the directory, for each name: attribute user.cerebro.owners,
 *                                "UID:GID NAME" and NUL one after the other
 *
 * The host lets nobody set user.* attributes on a symbolic link, FIFO or socket, so the directory
 * has to keep their owners. The record belongs to a name: this file's functions take it along when
 * the name is changed through us. A tree that is copied with its attributes keeps it, as it keeps
 * the others. What does not fit (a directory of ext4 holds some 4000 bytes) is shown as the user's
 * own, as by fakeroot(1) without a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vfs/host-internal.h"

#define OWNER_ATTRIBUTE       "user.cerebro.owner"
#define NAME_OWNERS_ATTRIBUTE "user.cerebro.owners"
#define OWNER_TEXT_SIZE       32 /* two numbers of 32 bits and a colon */

struct owner {
    uid_t uid;
    gid_t gid;
};

static bool is_virtual(const struct vfs *vfs)
{
    return vfs_kernel(vfs)->config.virtual_identity;
}

/* Root can set every owner, so nothing is ever recorded for it. */
static bool records_owners(const struct vfs *vfs)
{
    return vfs_kernel(vfs)->host_identity.uid != 0;
}

static bool can_carry(mode_t type)
{
    return S_ISREG(type) || S_ISDIR(type);
}

/* `value` NULL: removes it. */
static int change_attribute(const char *path, const char *name, const void *value, size_t size)
{
    int r = value ? setxattr(path, name, value, size, 0) : removexattr(path, name);

    return r < 0 ? -errno : 0;
}

/* Root may do that to what is not writable; its user has to make it writable for the moment. */
static int set_attribute(int fd, const char *name, const void *value, size_t size)
{
    char path[IO_FD_PATH_SIZE];
    int r = change_attribute(io_fd_path(fd, path), name, value, size);
    struct stat stat;

    if (r != -EACCES || fstat(fd, &stat) < 0 || (stat.st_mode & S_IWUSR) ||
        chmod(path, (stat.st_mode & 07777) | S_IWUSR) < 0)
        return r;
    r = change_attribute(path, name, value, size);
    (void)chmod(path, stat.st_mode & 07777);
    return r;
}

/* ---- files and directories ---- */

static bool read_owner(int fd, struct owner *ret_owner)
{
    char path[IO_FD_PATH_SIZE], text[OWNER_TEXT_SIZE];
    unsigned uid, gid;
    ssize_t length = getxattr(io_fd_path(fd, path), OWNER_ATTRIBUTE, text, sizeof(text) - 1);

    if (length <= 0)
        return false;
    text[length] = '\0';
    if (sscanf(text, "%u:%u", &uid, &gid) != 2)
        return false;
    *ret_owner = (struct owner){uid, gid};
    return true;
}

static int write_owner(int fd, struct owner owner)
{
    char text[OWNER_TEXT_SIZE];
    int length = snprintf(text, sizeof(text), "%u:%u", owner.uid, owner.gid);

    return set_attribute(fd, OWNER_ATTRIBUTE, text, (size_t)length);
}

/* ---- names in a directory ---- */

/* Reads the records of a directory; an empty list when there are none. Returns 0 or -ENOMEM. */
static int read_names(int dir_fd, struct strbuf *ret_list)
{
    char path[IO_FD_PATH_SIZE], small[1024];
    char *bytes = small;
    ssize_t size = getxattr(io_fd_path(dir_fd, path), NAME_OWNERS_ATTRIBUTE, small, sizeof(small));

    if (size < 0 && errno == ERANGE) {
        bytes = malloc(XATTR_SIZE_MAX);
        if (bytes == NULL)
            return -ENOMEM;
        size = getxattr(path, NAME_OWNERS_ATTRIBUTE, bytes, XATTR_SIZE_MAX);
    }
    if (size > 0)
        strbuf_add(ret_list, bytes, (size_t)size);
    if (bytes != small)
        free(bytes);
    return strbuf_status(ret_list);
}

static void write_names(int dir_fd, const struct strbuf *list)
{
    (void)set_attribute(dir_fd, NAME_OWNERS_ATTRIBUTE, list->length ? list->data : NULL,
                        list->length);
}

/* Where the record of a name begins in the list, and its length with the NUL; -1: there is none. */
static ssize_t find_name(const struct strbuf *list, const char *name, size_t *ret_length,
                         struct owner *ret_owner)
{
    for (size_t at = 0; at < list->length;) {
        const char *record = list->data + at;
        size_t length = strlen(record) + 1; /* a strbuf is terminated, whatever the host had */
        const char *space = strchr(record, ' ');
        unsigned uid, gid;

        if (space && strcmp(space + 1, name) == 0 && sscanf(record, "%u:%u ", &uid, &gid) == 2) {
            *ret_length = length;
            *ret_owner = (struct owner){uid, gid};
            return (ssize_t)at;
        }
        at += length;
    }
    return -1;
}

/* Takes the record of a name out of the list; false when there is none. */
static bool cut_name(struct strbuf *list, const char *name, struct owner *ret_owner)
{
    size_t length, rest;
    ssize_t at = find_name(list, name, &length, ret_owner);

    if (at < 0)
        return false;
    rest = (size_t)at + length < list->length ? list->length - (size_t)at - length : 0;
    memmove(list->data + at, list->data + at + length, rest);
    strbuf_truncate(list, (size_t)at + rest);
    return true;
}

static bool take_name(int dir_fd, const char *name, struct owner *ret_owner)
{
    cleanup_strbuf struct strbuf list = {0};

    if (read_names(dir_fd, &list) < 0 || !cut_name(&list, name, ret_owner))
        return false;
    write_names(dir_fd, &list);
    return true;
}

static void put_name(int dir_fd, const char *name, struct owner owner)
{
    cleanup_strbuf struct strbuf list = {0};
    struct owner old;

    if (read_names(dir_fd, &list) < 0)
        return;
    cut_name(&list, name, &old);
    strbuf_addf(&list, "%u:%u %s", owner.uid, owner.gid, name);
    strbuf_add(&list, "", 1);
    if (strbuf_status(&list) == 0)
        write_names(dir_fd, &list);
}

/*
 * The directory that an object lies in, and its name there, by what the host calls it. The name may
 * be another's by now, so what is found under it has to be this very object. Returns an O_PATH
 * descriptor or a negative errno.
 */
static int open_directory_of(int fd, char name[NAME_MAX + 1])
{
    char link[IO_FD_PATH_SIZE], path[PATH_MAX];
    ssize_t length = readlink(io_fd_path(fd, link), path, sizeof(path) - 1);
    cleanup_close int dir_fd = -1;
    struct stat here, there;
    char *slash;

    if (length <= 0 || path[0] != '/')
        return -ENOENT;
    path[length] = '\0';
    slash = strrchr(path, '/');
    if (strlen(slash + 1) > NAME_MAX)
        return -ENOENT;
    memcpy(name, slash + 1, strlen(slash + 1) + 1);
    slash[slash == path] = '\0';
    dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    if (fstat(fd, &here) < 0 || fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        here.st_dev != there.st_dev || here.st_ino != there.st_ino)
        return -ENOENT;
    return take_fd(&dir_fd);
}

static bool read_owner_of_name(int fd, struct owner *ret_owner)
{
    char name[NAME_MAX + 1];
    cleanup_close int dir_fd = open_directory_of(fd, name);
    cleanup_strbuf struct strbuf list = {0};
    size_t length;

    return dir_fd >= 0 && read_names(dir_fd, &list) == 0 &&
           find_name(&list, name, &length, ret_owner) >= 0;
}

static void write_owner_of_name(int fd, struct owner owner)
{
    char name[NAME_MAX + 1];
    cleanup_close int dir_fd = open_directory_of(fd, name);

    if (dir_fd >= 0)
        put_name(dir_fd, name, owner);
}

void host_owner_name_gone(struct host_fs *fs, int dir_fd, const char *name)
{
    struct owner owner;

    if (records_owners(fs->fs.vfs))
        take_name(dir_fd, name, &owner);
}

void host_owner_name_moved(struct host_fs *fs, int old_fd, const char *old_name, int new_fd,
                           const char *new_name, unsigned flags)
{
    struct owner moved, replaced;
    bool has_moved, has_replaced;

    if (!records_owners(fs->fs.vfs))
        return;
    has_moved = take_name(old_fd, old_name, &moved);
    has_replaced = take_name(new_fd, new_name, &replaced);
    if (has_moved)
        put_name(new_fd, new_name, moved);
    if (has_replaced && (flags & RENAME_EXCHANGE))
        put_name(old_fd, old_name, replaced);
}

void host_owner_name_added(struct host_fs *fs, int fd, int dir_fd, const char *name)
{
    struct owner owner;
    struct stat stat;

    if (!records_owners(fs->fs.vfs) || fstat(fd, &stat) < 0 || can_carry(stat.st_mode))
        return;
    if (read_owner_of_name(fd, &owner))
        put_name(dir_fd, name, owner);
    else
        take_name(dir_fd, name, &owner);
}

/* ---- showing and changing ---- */

static bool find_record(int fd, mode_t type, struct owner *ret_owner)
{
    return can_carry(type) ? read_owner(fd, ret_owner) : read_owner_of_name(fd, ret_owner);
}

void host_owner_map(struct host_node *node, struct statx *stat)
{
    struct vfs *vfs = node->node.fs->vfs;
    bool ours = stat->stx_uid == vfs_kernel(vfs)->host_identity.uid;
    struct owner owner;

    if (!is_virtual(vfs))
        return;
    stat->stx_uid = vfs_uid_to_guest(vfs, stat->stx_uid);
    stat->stx_gid = vfs_gid_to_guest(vfs, stat->stx_gid);
    /* Only files of our own can have a record. */
    if (!ours || !records_owners(vfs) || host_fd(node) < 0)
        return;
    if (find_record(host_fd(node), stat->stx_mode & S_IFMT, &owner)) {
        stat->stx_uid = owner.uid;
        stat->stx_gid = owner.gid;
    }
}

static uid_t uid_to_host(const struct vfs *vfs, uid_t uid)
{
    const struct pk_kernel *kernel = vfs_kernel(vfs);

    return uid == kernel->config.identity.uid ? kernel->host_identity.uid : uid;
}

static gid_t gid_to_host(const struct vfs *vfs, gid_t gid)
{
    const struct pk_kernel *kernel = vfs_kernel(vfs);

    return gid == kernel->config.identity.gid ? kernel->host_identity.gid : gid;
}

/* chown(2) of the kernel, decided on the guest's own identity. */
static int may_chown(const struct statx *stat, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    const struct pk_identity *identity = actor->identity;

    if (identity->effective & 1) /* CAP_CHOWN is bit 0 */
        return 0;
    if (identity->fsuid != stat->stx_uid || (uid != (uid_t)-1 && uid != stat->stx_uid))
        return -EPERM;
    if (gid == (gid_t)-1 || gid == stat->stx_gid || gid == identity->fsgid)
        return 0;
    for (unsigned i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == gid)
            return 0;
    return -EPERM;
}

static int record(int fd, mode_t type, struct owner owner)
{
    if (can_carry(type))
        return write_owner(fd, owner);
    write_owner_of_name(fd, owner); /* where it cannot, it worked, as fake root pretends */
    return 0;
}

int host_owner_change(struct host_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    struct vfs *vfs = node->node.fs->vfs;
    uid_t host_uid = uid == (uid_t)-1 ? uid : uid_to_host(vfs, uid);
    gid_t host_gid = gid == (gid_t)-1 ? gid : gid_to_host(vfs, gid);
    int fd = host_fd(node);
    struct owner owner;
    struct statx stat;
    bool recorded;
    int r = host_stat(&node->node, &stat);

    if (r == 0)
        r = may_chown(&stat, uid, gid, actor);
    if (r < 0)
        return r;
    recorded = records_owners(vfs) && find_record(fd, node->node.type, &owner);
    /* A record that stays behind would hide half of what the host is told now. */
    if (!recorded && fchownat(fd, "", host_uid, host_gid, AT_EMPTY_PATH) == 0)
        return 0;
    if (!recorded && errno != EPERM)
        return -errno;
    owner.uid = uid == (uid_t)-1 ? stat.stx_uid : uid;
    owner.gid = gid == (gid_t)-1 ? stat.stx_gid : gid;
    return record(fd, node->node.type, owner);
}

void host_record_owner(struct host_fs *fs, int fd, const struct vfs_actor *actor)
{
    const struct pk_identity *first = &vfs_kernel(fs->fs.vfs)->config.identity;
    struct owner owner = {actor->identity->fsuid, actor->identity->fsgid};
    struct stat stat;

    /* Where we can act as the task, the host knows already. */
    if (!is_virtual(fs->fs.vfs) || fs->fs.vfs->self.can_act ||
        (owner.uid == first->uid && owner.gid == first->gid))
        return;
    /* Where attributes are not supported the owner is the user: nothing better can be done. */
    if (!records_owners(fs->fs.vfs))
        (void)!fchownat(fd, "", owner.uid, owner.gid, AT_EMPTY_PATH);
    else if (fstat(fd, &stat) == 0)
        (void)record(fd, stat.st_mode & S_IFMT, owner);
}

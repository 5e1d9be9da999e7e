/*
 * Making objects on the host: each under a name that nobody has, complete with its attributes, and
 * then renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

#include "layer/layer-internal.h"

void make_temporary_name(char name[LAYER_TEMPORARY_SIZE])
{
    uint64_t number = 0;

    while (getrandom(&number, sizeof(number), 0) < 0 && errno == EINTR)
        continue;
    snprintf(name, LAYER_TEMPORARY_SIZE, LAYER_TEMPORARY "%016" PRIx64, number);
}

/* ---- attributes ---- */

static void add_lost(struct strbuf *lost, const char *what)
{
    strbuf_add_string(lost, lost->length ? ", " : "");
    strbuf_add_string(lost, what);
}

/* The owner as the host is to have it: that of before, where the guest changed nothing. */
static void wanted_owner(const struct layer_origin *origin, const struct look *now,
                         const struct look *before, uid_t *ret_uid, gid_t *ret_gid)
{
    const struct layer_attributes *shown = &now->shown;
    bool old = before->fd >= 0;

    *ret_uid = old && before->shown.uid == shown->uid ? before->stat.st_uid
               : shown->uid == origin->guest_uid      ? origin->host_uid
                                                      : shown->uid;
    *ret_gid = old && before->shown.gid == shown->gid ? before->stat.st_gid
               : shown->gid == origin->guest_gid      ? origin->host_gid
                                                      : shown->gid;
}

/* 1: set, 0: the user may not, and that is noted, or a negative errno. */
static int set_owner(int fd, uid_t uid, gid_t gid, struct strbuf *lost)
{
    struct stat stat;
    char text[48];

    if (fstat(fd, &stat) < 0)
        return -errno;
    if ((stat.st_uid == uid && stat.st_gid == gid) ||
        fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0)
        return 1;
    if (errno != EPERM && errno != EINVAL)
        return -errno;
    snprintf(text, sizeof(text), "owner %u:%u", uid, gid);
    add_lost(lost, text);
    return 0;
}

/* Removes the host's attributes that the list does not have. */
static int remove_xattrs(const char *path, const struct strbuf *old, const struct strbuf *list)
{
    uint32_t size;

    for (size_t at = 0; at < old->length; at += strlen(old->data + at) + 1 + sizeof(size) + size) {
        const char *name = old->data + at;
        bool kept = false;
        uint32_t other;

        memcpy(&size, name + strlen(name) + 1, sizeof(size));
        for (size_t to = 0; to < list->length && !kept;
             to += strlen(list->data + to) + 1 + sizeof(other) + other) {
            kept = strcmp(list->data + to, name) == 0;
            memcpy(&other, list->data + to + strlen(list->data + to) + 1, sizeof(other));
        }
        if (!kept && removexattr(path, name) < 0 && errno != ENODATA && errno != EPERM)
            return -errno;
    }
    return 0;
}

static int add_xattrs(const char *path, const struct strbuf *list, struct strbuf *lost)
{
    uint32_t size;

    for (size_t at = 0; at < list->length;) {
        const char *name = list->data + at;
        const char *value = name + strlen(name) + 1 + sizeof(size);

        memcpy(&size, value - sizeof(size), sizeof(size));
        if (setxattr(path, name, value, size, 0) < 0) {
            if (errno != EPERM && errno != EOPNOTSUPP)
                return -errno;
            add_lost(lost, name);
        }
        at = (size_t)(value - list->data) + size;
    }
    return 0;
}

static int set_xattrs(int fd, const struct look *now, struct strbuf *lost)
{
    cleanup_strbuf struct strbuf list = {0};
    cleanup_strbuf struct strbuf old = {0};
    struct look host = {.fd = fd};
    char path[IO_FD_PATH_SIZE];
    int r = fstat(fd, &host.stat) < 0 ? -errno : look_xattrs(now, true, &list);

    if (r >= 0)
        r = look_xattrs(&host, false, &old);
    if (r < 0)
        return r;
    if (old.length == list.length && (!old.length || !memcmp(old.data, list.data, old.length)))
        return 0;
    io_fd_path(fd, path);
    /* Its owner has to be able to write to it for that. */
    if (!(host.stat.st_mode & S_IWUSR) && chmod(path, (host.stat.st_mode & 07777) | S_IWUSR) < 0)
        return -errno;
    r = remove_xattrs(path, &old, &list);
    return r < 0 ? r : add_xattrs(path, &list, lost);
}

static int set_mode(int fd, const struct layer_attributes *shown, bool owned)
{
    mode_t mode = shown->mode & 07777;
    char path[IO_FD_PATH_SIZE];

    if (S_ISLNK(shown->mode))
        return 0;
    /* Programs that are to run as their owner must not run as somebody else. */
    if (!owned && !S_ISDIR(shown->mode))
        mode &= ~(mode_t)(S_ISUID | S_ISGID);
    return chmod(io_fd_path(fd, path), mode) < 0 ? -errno : 0;
}

int make_attributes(const struct layer *layer, int fd, const struct look *now,
                    const struct look *before, bool made, struct strbuf *lost)
{
    const struct timespec times[2] = {now->stat.st_atim, now->stat.st_mtim};
    char path[IO_FD_PATH_SIZE];
    uid_t uid;
    gid_t gid;
    int owned, r;

    wanted_owner(&layer->origin, now, before, &uid, &gid);
    owned = set_owner(fd, uid, gid, lost);
    r = owned < 0 ? owned : set_xattrs(fd, now, lost);
    if (r == 0)
        r = set_mode(fd, &now->shown, owned);
    if (r == 0 && made && utimensat(AT_FDCWD, io_fd_path(fd, path), times, 0) < 0)
        r = -errno;
    return r;
}

/* ---- content ---- */

/* One piece of data without holes. */
static int copy_data(int from, int to, off_t at, off_t end)
{
    if (lseek(to, at, SEEK_SET) < 0)
        return -errno;
    while (at < end) {
        ssize_t done = sendfile(to, from, &at, (size_t)(end - at));

        if (done < 0 && errno != EINTR)
            return -errno;
        if (done == 0)
            return -EIO; /* it has become shorter: somebody writes to the layer */
    }
    return 0;
}

static int copy_content(int from, int to, off_t size)
{
    off_t at = 0;
    int r = 0;

    while (r == 0 && at < size) {
        off_t data = lseek(from, at, SEEK_DATA);
        off_t hole;

        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        if (data < 0)
            return -errno;
        hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        r = copy_data(from, to, data, hole < size ? hole : size);
        at = hole;
    }
    if (r == 0 && ftruncate(to, size) < 0)
        r = -errno;
    return r;
}

static int make_file(int dir_fd, const char *name, const struct look *now)
{
    cleanup_close int from = look_open(now);
    cleanup_close int to = -1;

    if (from < 0)
        return from;
    to = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    return copy_content(from, to, now->stat.st_size);
}

static int make_link(int dir_fd, const char *name, const struct look *now)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(now->fd, "", target, sizeof(target));

    if (length < 0 || length == sizeof(target))
        return length < 0 ? -errno : -ENAMETOOLONG;
    target[length] = '\0';
    return symlinkat(target, dir_fd, name) < 0 ? -errno : 0;
}

static int make_new(int dir_fd, const char *name, const struct look *now)
{
    mode_t type = now->shown.mode & S_IFMT;

    switch (type) {
    case S_IFREG:
        return make_file(dir_fd, name, now);
    case S_IFLNK:
        return make_link(dir_fd, name, now);
    case S_IFDIR:
        return mkdirat(dir_fd, name, 0700) < 0 ? -errno : 0;
    default:
        return mknodat(dir_fd, name, type | 0600, now->shown.device) < 0 ? -errno : 0;
    }
}

/* ---- names ---- */

static int swap(int dir_fd, const char *a, const char *b)
{
    return renameat2(dir_fd, a, dir_fd, b, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

/* Where directories are concerned a rename cannot replace: both change places. */
static int place_by_swap(const struct layer *layer, int dir_fd, const char *temporary,
                         const char *name)
{
    int r = swap(dir_fd, temporary, name);

    if (r == -EINVAL || r == -ENOSYS) { /* not every file system can do that */
        r = remove_tree(layer, dir_fd, name);
        return r < 0 || renameat(dir_fd, temporary, dir_fd, name) == 0 ? r : -errno;
    }
    if (r < 0)
        return r;
    r = remove_tree(layer, dir_fd, temporary);
    if (r < 0)
        (void)swap(dir_fd, temporary, name);
    return r;
}

static int place(const struct layer *layer, const struct item *item, const char *temporary)
{
    int dir_fd = item->level->host_fd;
    bool old_dir = look_is(&item->before, S_IFDIR), new_dir = look_is(&item->now, S_IFDIR);

    if (item->before.fd >= 0 && (old_dir || new_dir))
        return place_by_swap(layer, dir_fd, temporary, item->name);
    return renameat(dir_fd, temporary, dir_fd, item->name) < 0 ? -errno : 0;
}

/* ---- several names of a file ---- */

struct link {
    char *path;
    dev_t device; /* of the host's file */
    ino_t inode;
};

void links_free(struct links *links)
{
    size_t cursor = 0;
    struct map_slot *slot;

    while ((slot = map_next(&links->by_inode, &cursor))) {
        free(((struct link *)slot->value)->path);
        free(slot->value);
    }
    map_free(&links->by_inode);
}

static int remember(struct links *links, const struct item *item)
{
    struct link *link = calloc(1, sizeof(*link));
    struct stat stat;
    int r = link ? 0 : -ENOMEM;

    if (r == 0 && fstatat(item->level->host_fd, item->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r == 0) {
        *link = (struct link){strdup(item->path), stat.st_dev, stat.st_ino};
        r = link->path ? map_set(&links->by_inode, item->now.stat.st_ino, link) : -ENOMEM;
    }
    if (r < 0 && link) {
        free(link->path);
        free(link);
    }
    return r;
}

/* Makes a further name of what was made before. -ENOENT, -EXDEV: it has to be made once more. */
static int make_further_name(const struct layer *layer, const struct link *link, int dir_fd,
                             const char *temporary)
{
    const char *name;
    cleanup_close int parent = walk_to_parent(layer->root_fd, link->path, &name);
    struct stat stat;

    if (parent < 0)
        return parent;
    if (fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (stat.st_dev != link->device || stat.st_ino != link->inode)
        return -ENOENT;
    return linkat(parent, name, dir_fd, temporary, 0) < 0 ? -errno : 0;
}

static int make_temporary(const struct layer *layer, const struct item *item, const char *temporary,
                          struct strbuf *lost)
{
    int dir_fd = item->level->host_fd;
    cleanup_close int fd = -1;
    int r = make_new(dir_fd, temporary, &item->now);

    if (r < 0)
        return r;
    fd = openat(dir_fd, temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : make_attributes(layer, fd, &item->now, &item->before, true, lost);
}

int make_object(const struct layer *layer, struct links *links, const struct item *item,
                struct strbuf *lost)
{
    int dir_fd = item->level->host_fd;
    const struct link *link = map_get(&links->by_inode, item->now.stat.st_ino);
    char temporary[LAYER_TEMPORARY_SIZE];
    int r = -ENOENT;

    make_temporary_name(temporary);
    if (link)
        r = make_further_name(layer, link, dir_fd, temporary);
    if (r < 0)
        r = make_temporary(layer, item, temporary, lost);
    if (r == 0)
        r = place(layer, item, temporary);
    /* Also when two names of one file were to replace each other, which rename() leaves alone. */
    (void)unlinkat(dir_fd, temporary, 0);
    if (r == 0 && !link && item->now.stat.st_nlink > 1)
        r = remember(links, item);
    return r;
}

int make_directory(const struct layer *layer, const struct item *item)
{
    int dir_fd = item->level->host_fd;
    char temporary[LAYER_TEMPORARY_SIZE];
    int r;

    if (item->before.fd < 0)
        return mkdirat(dir_fd, item->name, 0700) < 0 ? -errno : 0;
    make_temporary_name(temporary);
    if (mkdirat(dir_fd, temporary, 0700) < 0)
        return -errno;
    r = place(layer, item, temporary);
    if (r < 0)
        (void)unlinkat(dir_fd, temporary, AT_REMOVEDIR);
    return r;
}

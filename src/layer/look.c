#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layer/layer-internal.h"

#define PRIVATE_PREFIX "user.cerebro."
#define OWNER_RECORD   "user.cerebro.owner"
#define OWNERS_RECORD  "user.cerebro.owners"
#define MODE_RECORD    "user.cerebro.mode"
#define DEVICE_RECORD  "user.cerebro.rdev"
#define EMPTY_MARK     " empty"

static int look_at(int dir_fd, const char *name, struct look *look)
{
    *look = LOOK_NONE;
    look->fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (look->fd < 0)
        return -errno;
    if (fstat(look->fd, &look->stat) == 0)
        return 0;
    look_close(look);
    return -errno;
}

/* The user who ran the guest appears as the guest's. */
static void show(const struct layer *layer, struct look *look)
{
    const struct layer_origin *origin = &layer->origin;
    const struct stat *stat = &look->stat;

    look->shown = (struct layer_attributes){
        .mode = stat->st_mode,
        .uid = stat->st_uid == origin->host_uid ? origin->guest_uid : stat->st_uid,
        .gid = stat->st_gid == origin->host_gid ? origin->guest_gid : stat->st_gid,
        .size = (uint64_t)stat->st_size,
        .device = stat->st_rdev};
}

int look_on_host(const struct layer *layer, int dir_fd, const char *name, struct look *ret_look)
{
    int r = look_at(dir_fd, name, ret_look);

    if (r == 0)
        show(layer, ret_look);
    return r;
}

/* ---- records ---- */

static bool get_record(const struct look *look, const char *name, char text[32])
{
    char path[IO_FD_PATH_SIZE];
    ssize_t length = getxattr(io_fd_path(look->fd, path), name, text, 31);

    if (length <= 0)
        return false;
    text[length] = '\0';
    return true;
}

static void apply_mode(struct look *look, const char *text)
{
    struct layer_attributes *shown = &look->shown;
    unsigned mode, first, second;
    char device[32];

    if (sscanf(text, "%o", &mode) != 1)
        return;
    /* Set-id bits of a new file last until something is written, see vfs/overlay-upper.c. */
    if (strstr(text, EMPTY_MARK) && shown->size) {
        mode &= ~(unsigned)S_ISUID;
        mode &= mode & S_IXGRP ? ~(unsigned)S_ISGID : ~0U;
    }
    if (!(mode & S_IFMT)) {
        shown->mode = (shown->mode & S_IFMT) | (mode & 07777);
    } else if (get_record(look, DEVICE_RECORD, device) &&
               sscanf(device, "%u:%u", &first, &second) == 2) {
        shown->mode = mode & (S_IFMT | 07777);
        shown->device = makedev(first, second);
        shown->size = 0;
    }
}

static int read_owners(int dir_fd, struct strbuf *list)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_free char *bytes = malloc(XATTR_SIZE_MAX);
    ssize_t size;

    if (bytes == NULL)
        return -ENOMEM;
    size = getxattr(io_fd_path(dir_fd, path), OWNERS_RECORD, bytes, XATTR_SIZE_MAX);
    if (size > 0)
        strbuf_add(list, bytes, (size_t)size);
    return strbuf_status(list);
}

/* Where the record of a name is in the list of its directory; NULL: nowhere. */
static char *find_owner(const struct strbuf *list, const char *name, unsigned *ret_uid,
                        unsigned *ret_gid)
{
    for (size_t at = 0; at < list->length; at += strlen(list->data + at) + 1) {
        const char *space = strchr(list->data + at, ' ');

        if (space && strcmp(space + 1, name) == 0 &&
            sscanf(list->data + at, "%u:%u ", ret_uid, ret_gid) == 2)
            return list->data + at;
    }
    return NULL;
}

static int apply_owner_of_name(struct look *look, int dir_fd, const char *name)
{
    cleanup_strbuf struct strbuf list = {0};
    unsigned uid, gid;
    int r = read_owners(dir_fd, &list);

    if (r == 0 && find_owner(&list, name, &uid, &gid)) {
        look->shown.uid = uid;
        look->shown.gid = gid;
    }
    return r;
}

void look_forget_owner(int dir_fd, const char *name)
{
    cleanup_strbuf struct strbuf list = {0};
    char path[IO_FD_PATH_SIZE];
    unsigned uid, gid;
    char *record = read_owners(dir_fd, &list) == 0 ? find_owner(&list, name, &uid, &gid) : NULL;
    size_t length;

    if (record == NULL)
        return;
    length = strlen(record) + 1;
    if ((size_t)(record - list.data) + length > list.length)
        length = list.length - (size_t)(record - list.data);
    memmove(record, record + length, list.length - (size_t)(record - list.data) - length);
    strbuf_truncate(&list, list.length - length);
    io_fd_path(dir_fd, path);
    if (list.length)
        (void)setxattr(path, OWNERS_RECORD, list.data, list.length, 0);
    else
        (void)removexattr(path, OWNERS_RECORD);
}

static int apply_records(struct look *look, int dir_fd, const char *name)
{
    unsigned uid, gid;
    char text[32];

    if (!S_ISREG(look->stat.st_mode) && !S_ISDIR(look->stat.st_mode))
        return apply_owner_of_name(look, dir_fd, name);
    if (get_record(look, OWNER_RECORD, text) && sscanf(text, "%u:%u", &uid, &gid) == 2) {
        look->shown.uid = uid;
        look->shown.gid = gid;
    }
    if (get_record(look, MODE_RECORD, text))
        apply_mode(look, text);
    return 0;
}

int look_in_layer(const struct layer *layer, int dir_fd, const char *name, struct look *ret_look)
{
    int r = look_at(dir_fd, name, ret_look);

    if (r < 0)
        return r;
    ret_look->whiteout = S_ISCHR(ret_look->stat.st_mode) && ret_look->stat.st_rdev == 0;
    if (ret_look->whiteout)
        return 0;
    show(layer, ret_look);
    r = apply_records(ret_look, dir_fd, name);
    if (r < 0)
        look_close(ret_look);
    return r;
}

bool look_is_opaque(const struct look *look)
{
    char text[32];

    return (get_record(look, "trusted.overlay.opaque", text) && strcmp(text, "y") == 0) ||
           (get_record(look, "user.overlay.opaque", text) && strcmp(text, "y") == 0);
}

int look_open(const struct look *look)
{
    char path[IO_FD_PATH_SIZE];
    int fd = open(io_fd_path(look->fd, path), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* ---- extended attributes ---- */

/* What overlayfs keeps under "trusted.overlay." and "user.overlay."; NULL: it is not of these. */
static const char *overlay_part(const char *name)
{
    if (strncmp(name, "trusted.overlay.", 16) == 0)
        return name + 16;
    return strncmp(name, "user.overlay.", 13) == 0 ? name + 13 : NULL;
}

/* Writes the name that the guest uses. 1: take it, 0: leave it out, or -EOPNOTSUPP. */
static int shown_name(const char *name, bool of_layer, char shown[XATTR_NAME_MAX + 1])
{
    const char *part = of_layer ? overlay_part(name) : NULL;

    if (strncmp(name, "security.", 9) == 0 && strcmp(name, "security.capability") != 0)
        return 0;
    if (of_layer && strncmp(name, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) == 0)
        return 0;
    if (part && (strcmp(part, "metacopy") == 0 || strcmp(part, "redirect") == 0))
        return -EOPNOTSUPP;
    if (part && strncmp(part, "overlay.", 8) != 0)
        return 0;
    /* The guest's own attribute of such a name has the word once more. */
    snprintf(shown, XATTR_NAME_MAX + 1, "%.*s%s", part ? (int)(part - name) : 0, name,
             part ? part + 8 : name);
    return 1;
}

static int add_value(const char *path, const char *name, const char *shown, struct strbuf *list)
{
    cleanup_free char *value = malloc(XATTR_SIZE_MAX);
    ssize_t size = value ? getxattr(path, name, value, XATTR_SIZE_MAX) : -1;
    uint32_t length;

    if (value == NULL)
        return -ENOMEM;
    if (size < 0)
        return errno == ENODATA || errno == EPERM || errno == EACCES ? 0 : -errno;
    length = (uint32_t)size;
    strbuf_add(list, shown, strlen(shown) + 1);
    strbuf_add(list, &length, sizeof(length));
    strbuf_add(list, value, (size_t)size);
    return strbuf_status(list);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_all(const char *path, char **names, size_t count, bool of_layer, struct strbuf *list)
{
    char shown[XATTR_NAME_MAX + 1];
    int r = 0;

    for (size_t i = 0; i < count && r >= 0; i++) {
        r = shown_name(names[i], of_layer, shown);
        if (r > 0)
            r = add_value(path, names[i], shown, list);
    }
    return r;
}

int look_xattrs(const struct look *look, bool of_layer, struct strbuf *ret_list)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_free char *text = NULL;
    cleanup_free char **names = NULL;
    size_t count = 0;
    ssize_t size;

    if (!S_ISREG(look->stat.st_mode) && !S_ISDIR(look->stat.st_mode))
        return 0;
    text = malloc(XATTR_LIST_MAX);
    names = calloc(XATTR_LIST_MAX / 2, sizeof(char *));
    if (text == NULL || names == NULL)
        return -ENOMEM;
    size = listxattr(io_fd_path(look->fd, path), text, XATTR_LIST_MAX);
    if (size < 0)
        return errno == EOPNOTSUPP || errno == EACCES ? 0 : -errno;
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(text + at) + 1)
        names[count++] = text + at;
    qsort(names, count, sizeof(*names), by_text);
    return add_all(path, names, count, of_layer, ret_list);
}

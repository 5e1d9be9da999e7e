#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "layer/layer-internal.h"

#define PIECE 65536

/* Reads until the buffer is full or the file ends. */
static ssize_t read_piece(int fd, char *piece)
{
    size_t done = 0;

    while (done < PIECE) {
        ssize_t got = read(fd, piece + done, PIECE - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int same_bytes(int a, int b)
{
    cleanup_free char *pieces = malloc(2 * PIECE);
    ssize_t x, y;

    if (pieces == NULL)
        return -ENOMEM;
    do {
        x = read_piece(a, pieces);
        y = read_piece(b, pieces + PIECE);
        if (x < 0 || y < 0)
            return (int)(x < 0 ? x : y);
        if (x != y || memcmp(pieces, pieces + PIECE, (size_t)x) != 0)
            return 0;
    } while (x == PIECE);
    return 1;
}

/* 1: the same, 0: not, or a negative errno. What the user cannot read counts as different. */
static int same_file(const struct look *now, const struct look *before)
{
    cleanup_close int a = -1;
    cleanup_close int b = -1;

    if (now->shown.size != before->shown.size)
        return 0;
    a = look_open(now);
    b = look_open(before);
    if (b == -EACCES)
        return 0;
    if (a < 0 || b < 0)
        return a < 0 ? a : b;
    return same_bytes(a, b);
}

static int same_target(const struct look *now, const struct look *before)
{
    char a[PATH_MAX], b[PATH_MAX];
    ssize_t x = readlinkat(now->fd, "", a, sizeof(a));
    ssize_t y = readlinkat(before->fd, "", b, sizeof(b));

    if (x < 0 || y < 0)
        return -errno;
    return x == y && memcmp(a, b, (size_t)x) == 0;
}

static int same_content(const struct look *now, const struct look *before)
{
    switch (now->shown.mode & S_IFMT) {
    case S_IFREG:
        return same_file(now, before);
    case S_IFLNK:
        return same_target(now, before);
    case S_IFCHR:
    case S_IFBLK:
        return now->shown.device == before->shown.device;
    default:
        return 1;
    }
}

static int same_xattrs(const struct look *now, const struct look *before)
{
    cleanup_strbuf struct strbuf a = {0};
    cleanup_strbuf struct strbuf b = {0};
    int r = look_xattrs(now, true, &a);

    if (r >= 0)
        r = look_xattrs(before, false, &b);
    if (r < 0)
        return r;
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

int compare_looks(const struct look *now, const struct look *before)
{
    const struct layer_attributes *a = &now->shown, *b = &before->shown;
    unsigned what = 0;
    int r;

    if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
        what |= LAYER_TYPE;
    if (!S_ISLNK(a->mode) && (a->mode & 07777) != (b->mode & 07777) && !what)
        what |= LAYER_MODE;
    if (a->uid != b->uid || a->gid != b->gid)
        what |= LAYER_OWNER;
    if (what & LAYER_TYPE)
        return (int)what;
    r = same_content(now, before);
    if (r < 0)
        return r;
    what |= r ? 0 : LAYER_CONTENT;
    r = same_xattrs(now, before);
    return r < 0 ? r : (int)(what | (r ? 0 : LAYER_XATTRS));
}

#include "audit/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/rotation.h"
#include "base/cleanup.h"

#define CHUNK          65536
#define LINE_MAX_BYTES (1 << 20)

struct audit_reader {
    char *path; /* NULL: a descriptor alone */
    int *files; /* still to be read, in order; the first one is being read */
    unsigned count;
    struct strbuf text; /* read and not handed out, from `used` on */
    size_t used;
};

static bool is_same(int a, int b)
{
    struct stat one, other;

    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

static int open_file(const char *path, unsigned index)
{
    cleanup_strbuf struct strbuf name = {0};
    int fd;

    strbuf_add_string(&name, path);
    if (index)
        strbuf_addf(&name, ".%u", index);
    if (strbuf_status(&name) < 0)
        return -ENOMEM;
    fd = open(strbuf_text(&name), O_RDONLY | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int append(struct audit_reader *reader, int fd)
{
    int *more = reallocarray(reader->files, reader->count + 1, sizeof(int));

    if (more == NULL) {
        close(fd);
        return -ENOMEM;
    }
    reader->files = more;
    more[reader->count++] = fd;
    return 0;
}

static void close_all(int *files, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        base_close(files[i]);
}

static bool is_among(int fd, const int *files, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_same(fd, files[i]))
            return true;
    return false;
}

/*
 * Appends the files that are newer than the one in hand (all of them while there is none), oldest
 * first. They are opened newest first: rotations in between show files a second time under later
 * names, which are passed over, while in the other order one would be missed.
 */
static int find_newer(struct audit_reader *reader)
{
    int found[ROTATION_FILES_MAX];
    unsigned count = 0;
    int newest = -ENOENT;
    int r = 0;

    for (unsigned i = 0; i < ROTATION_FILES_MAX; i++) {
        int fd = open_file(reader->path, i);

        if (i == 0)
            newest = fd;
        if (fd < 0)
            continue; /* there may be a gap in the numbers */
        if (reader->count && is_same(fd, reader->files[reader->count - 1])) {
            close(fd);
            break;
        }
        if (is_among(fd, found, count))
            close(fd);
        else
            found[count++] = fd;
    }
    while (count > 0 && r == 0)
        r = append(reader, found[--count]);
    close_all(found, count);
    return r == 0 && reader->count == 0 ? newest : r < 0 ? r : 0;
}

/* Only of a regular file can one say that it rotates; opened again, a FIFO would be waited for. */
static bool rotates(const struct audit_reader *reader)
{
    struct stat stat;

    return fstat(reader->files[reader->count - 1], &stat) == 0 && S_ISREG(stat.st_mode);
}

int audit_reader_open(const char *path, struct audit_reader **ret_reader)
{
    struct audit_reader *reader = calloc(1, sizeof(*reader));
    int r;

    if (reader == NULL)
        return -ENOMEM;
    reader->path = strdup(path);
    r = reader->path ? find_newer(reader) : -ENOMEM;
    if (r < 0) {
        audit_reader_free(reader);
        return r;
    }
    if (!rotates(reader)) {
        free(reader->path);
        reader->path = NULL;
    }
    *ret_reader = reader;
    return 0;
}

int audit_reader_from(int fd, struct audit_reader **ret_reader)
{
    struct audit_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL || append(reader, fd) < 0) {
        free(reader);
        return -ENOMEM;
    }
    *ret_reader = reader;
    return 0;
}

/* Hands out text of `length` bytes, and passes over `skip` more. */
static int hand_out(struct audit_reader *reader, size_t length, size_t skip, struct strbuf *line)
{
    strbuf_add(line, reader->text.data + reader->used, length);
    reader->used += length + skip;
    if (reader->used == reader->text.length) {
        strbuf_truncate(&reader->text, 0);
        reader->used = 0;
    }
    return strbuf_status(line) < 0 ? -ENOMEM : 1;
}

static bool take_line(struct audit_reader *reader, struct strbuf *line, int *ret_result)
{
    size_t length = reader->text.length - reader->used;
    const char *begin = length ? reader->text.data + reader->used : NULL;
    const char *end = begin ? memchr(begin, '\n', length) : NULL;

    if (end)
        *ret_result = hand_out(reader, (size_t)(end - begin), 1, line);
    else if (length >= LINE_MAX_BYTES)
        *ret_result = hand_out(reader, length, 0, line);
    else
        return false;
    return true;
}

/* Returns how much came, 0 at the end of the file in hand. */
static ssize_t read_more(struct audit_reader *reader)
{
    char chunk[CHUNK];
    size_t rest = reader->text.length - reader->used;
    ssize_t n;

    do
        n = read(reader->files[0], chunk, sizeof(chunk));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n > 0 && reader->used) {
        memmove(reader->text.data, reader->text.data + reader->used, rest);
        strbuf_truncate(&reader->text, rest);
        reader->used = 0;
    }
    strbuf_add(&reader->text, chunk, (size_t)n);
    return strbuf_status(&reader->text) < 0 ? -ENOMEM : n;
}

static void drop_first(struct audit_reader *reader)
{
    close(reader->files[0]);
    reader->count--;
    memmove(reader->files, reader->files + 1, reader->count * sizeof(int));
}

/* Goes back to the beginning of a file that is shorter by now than what was read of it. */
static bool was_cut(struct audit_reader *reader)
{
    int fd = reader->files[0];
    struct stat stat;

    if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_size >= lseek(fd, 0, SEEK_CUR))
        return false;
    strbuf_truncate(&reader->text, 0);
    reader->used = 0;
    return lseek(fd, 0, SEEK_SET) == 0;
}

/*
 * At the end of a file. Returns 1 when there is more to read. A writer may have looked just before
 * the file in hand got its new name, and write just after it: so a newer file is only noticed now,
 * and gone on to the next time.
 */
static int go_on(struct audit_reader *reader)
{
    int r = 0;

    if (reader->count == 1 && reader->path) {
        if (was_cut(reader))
            return 1;
        r = find_newer(reader);
        return r < 0 ? r : 0;
    }
    if (reader->count == 1)
        return 0;
    drop_first(reader);
    return 1;
}

/* A file that ends within a line was cut by a full disk: what is there of it is a line. */
static bool take_rest(struct audit_reader *reader, struct strbuf *line, int *ret_result)
{
    size_t rest = reader->text.length - reader->used;

    if (reader->count < 2 || rest == 0)
        return false;
    *ret_result = hand_out(reader, rest, 0, line);
    return true;
}

int audit_reader_next(struct audit_reader *reader, struct strbuf *ret_line)
{
    int r;

    strbuf_truncate(ret_line, 0);
    for (;;) {
        ssize_t n;

        if (take_line(reader, ret_line, &r))
            return r;
        n = read_more(reader);
        if (n < 0)
            return (int)n;
        if (n > 0)
            continue;
        if (take_rest(reader, ret_line, &r))
            return r;
        r = go_on(reader);
        if (r <= 0)
            return r;
    }
}

void audit_reader_free(struct audit_reader *reader)
{
    if (reader == NULL)
        return;
    close_all(reader->files, reader->count);
    free(reader->files);
    free(reader->path);
    strbuf_free(&reader->text);
    free(reader);
}

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

int io_read_file(int dirfd, const char *path, size_t limit, struct strbuf *ret_text)
{
    cleanup_close int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char chunk[4096];
    size_t total = 0;

    if (fd < 0)
        return -errno;
    while (total < limit) {
        size_t want = limit - total < sizeof(chunk) ? limit - total : sizeof(chunk);
        ssize_t n = read(fd, chunk, want);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        strbuf_add(ret_text, chunk, (size_t)n);
        total += (size_t)n;
    }
    return strbuf_status(ret_text);
}

int io_write_all(int fd, const void *bytes, size_t length)
{
    const char *p = bytes;

    while (length > 0) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

int io_read_all(int fd, void *bytes, size_t length)
{
    char *p = bytes;

    while (length > 0) {
        ssize_t n = read(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EPIPE;
        p += n;
        length -= (size_t)n;
    }
    return 0;
}

int io_memfd(const char *name, const void *bytes, size_t length)
{
    cleanup_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r;

    if (fd < 0)
        return -errno;
    r = io_write_all(fd, bytes, length);
    if (r < 0)
        return r;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return take_fd(&fd);
}

int io_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    unsigned long long value;
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end != '\0')
        return -EINVAL;
    if (errno == ERANGE || value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static int suffix_shift(const char *suffix)
{
    static const struct {
        char letter;
        int shift;
    } known[] = {{'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}};

    if (suffix[0] == '\0')
        return 0;
    for (size_t i = 0; i < array_length(known); i++)
        if ((suffix[0] & ~0x20) == known[i].letter && suffix[1] == '\0')
            return known[i].shift;
    return -EINVAL;
}

int io_parse_size(const char *text, uint64_t *ret_bytes)
{
    unsigned long long value;
    char *end;
    int shift;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    value = strtoull(text, &end, 10);
    shift = suffix_shift(end);
    if (shift < 0)
        return shift;
    if (errno == ERANGE || value > UINT64_MAX >> shift)
        return -ERANGE;
    *ret_bytes = value << shift;
    return 0;
}

uint64_t io_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

char *io_fd_path(int fd, char path[IO_FD_PATH_SIZE])
{
    snprintf(path, IO_FD_PATH_SIZE, "/proc/self/fd/%d", fd);
    return path;
}

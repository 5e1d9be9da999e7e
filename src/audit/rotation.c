#include "audit/rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"

/* A line meets a removed file when all others rotate `files` times during one write. */
#define ATTEMPTS 8

char *rotation_name(const char *name, unsigned index, char text[NAME_MAX + 16])
{
    if (index)
        snprintf(text, NAME_MAX + 16, "%s.%u", name, index);
    else
        snprintf(text, NAME_MAX + 16, "%s", name);
    return text;
}

bool rotation_accepts(const struct stat *stat)
{
    return S_ISREG(stat->st_mode) && stat->st_nlink <= 1 && stat->st_uid == geteuid();
}

/* Non-blocking, so that a FIFO in its place is an error and no wait. */
static int open_file(struct rotation *rotation)
{
    cleanup_close int fd = openat(
        rotation->directory, rotation->name,
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) < 0)
        return -errno;
    if (!rotation_accepts(&stat))
        return -EPERM;
    base_close(rotation->fd);
    rotation->fd = take_fd(&fd);
    rotation->device = stat.st_dev;
    rotation->inode = stat.st_ino;
    return 0;
}

static bool is_current(const struct rotation *rotation)
{
    struct stat stat;

    return rotation->fd >= 0 &&
           fstatat(rotation->directory, rotation->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
           stat.st_ino == rotation->inode && stat.st_dev == rotation->device;
}

/* What has the number already was put there by another one meanwhile; only the oldest goes. */
static void shift_file(const struct rotation *rotation, unsigned to_index)
{
    char from[NAME_MAX + 16];
    char to[NAME_MAX + 16];
    int fd = rotation->directory;

    rotation_name(rotation->name, to_index - 1, from);
    rotation_name(rotation->name, to_index, to);
    if (renameat2(fd, from, fd, to, RENAME_NOREPLACE) == 0)
        return;
    /* EINVAL: a file system that cannot (NFS). */
    if (errno == EINVAL || (errno == EEXIST && to_index == rotation->files - 1))
        renameat(fd, from, fd, to);
}

/* From the oldest on: interrupted at any point, it leaves a gap in the numbers and no less. */
static void shift(const struct rotation *rotation)
{
    if (rotation->files == 1)
        unlinkat(rotation->directory, rotation->name, 0);
    for (unsigned i = rotation->files - 1; i > 0; i--)
        shift_file(rotation, i);
}

/*
 * Who can read the directory can hold the lock for ever: a guest, say. At twice the size two
 * writers may rotate in the same moment, which costs the oldest file at most.
 */
static void rotate(const struct rotation *rotation, uint64_t size)
{
    cleanup_close int lock = openat(rotation->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool has_lock = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0;

    if (!has_lock && size / 2 < rotation->size_max)
        return;
    if (is_current(rotation))
        shift(rotation);
}

ssize_t rotation_write(struct rotation *rotation, const void *lines, size_t length)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        int r = is_current(rotation) ? 0 : open_file(rotation);
        struct stat stat;
        ssize_t n;

        if (r < 0)
            return r;
        n = write(rotation->fd, lines, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (fstat(rotation->fd, &stat) < 0)
            return n;
        if (stat.st_nlink == 0)
            continue;
        if ((uint64_t)stat.st_size >= rotation->size_max)
            rotate(rotation, (uint64_t)stat.st_size);
        return n;
    }
    return -EAGAIN;
}

int rotation_open(struct rotation *rotation, int directory, const char *name, uint64_t size_max,
                  unsigned files)
{
    int r;

    *rotation =
        (struct rotation){.directory = directory, .fd = -1, .size_max = size_max, .files = files};
    snprintf(rotation->name, sizeof(rotation->name), "%s", name);
    r = faccessat(directory, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : open_file(rotation);
    if (r < 0)
        rotation_close(rotation);
    return r;
}

void rotation_close(struct rotation *rotation)
{
    base_close(take_fd(&rotation->fd));
    base_close(take_fd(&rotation->directory));
}

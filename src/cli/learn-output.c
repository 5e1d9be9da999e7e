#include "cli/learn-output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define TEMPORARY_SUFFIX ".XXXXXX" /* mkostemp(3) fills it in */

static int open_standard_output(struct learn_output *output)
{
    output->path[0] = '\0';
    output->kind = LEARN_STREAM;
    output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return output->fd < 0 ? -errno : 0;
}

/* Also by another name, such as /dev/stdout: its content is the program's output. */
static bool is_standard_output(const struct stat *file)
{
    struct stat standard;

    return fstat(STDOUT_FILENO, &standard) == 0 && standard.st_dev == file->st_dev &&
           standard.st_ino == file->st_ino;
}

static int open_existing(struct learn_output *output)
{
    struct stat file;

    output->fd = open(output->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (output->fd < 0 || fstat(output->fd, &file) < 0)
        return -errno;
    if (is_standard_output(&file)) {
        base_close(take_fd(&output->fd));
        return open_standard_output(output);
    }
    output->kind = S_ISREG(file.st_mode) ? LEARN_REPLACED : LEARN_STREAM;
    return 0;
}

int learn_output_open(const char *name, const char *program, struct learn_output *ret_output)
{
    struct learn_output *output = ret_output;
    const char *slash = strrchr(program, '/');
    int length;

    *output = (struct learn_output){.fd = -1};
    if (name && strcmp(name, "-") == 0)
        return open_standard_output(output);
    length = snprintf(output->path, sizeof(output->path), "%s%s",
                      name    ? name
                      : slash ? slash + 1
                              : program,
                      name ? "" : ".yaml");
    if (length < 0 || (size_t)length >= sizeof(output->path))
        return -ENAMETOOLONG;
    output->kind = LEARN_CREATED;
    output->fd = open(output->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (output->fd < 0 && errno == EEXIST && name)
        return open_existing(output);
    return output->fd < 0 ? -errno : 0;
}

/* The new file has the rights of the old one. Its owner as well, where we may give files away. */
static int take_rights(int fd, int old_fd)
{
    struct stat old, new;

    if (fstat(old_fd, &old) < 0 || fstat(fd, &new) < 0)
        return -errno;
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
        fchown(fd, old.st_uid, old.st_gid) < 0)
        return -errno;
    return fchmod(fd, old.st_mode & 07777) < 0 ? -errno : 0;
}

static int replace(const struct learn_output *output, const char *text, size_t length)
{
    cleanup_free char *target = realpath(output->path, NULL); /* not the link to it */
    char temporary[PATH_MAX + sizeof(TEMPORARY_SUFFIX)];
    cleanup_close int fd = -1;
    int r;

    if (target == NULL)
        return -errno;
    snprintf(temporary, sizeof(temporary), "%s" TEMPORARY_SUFFIX, target);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = take_rights(fd, output->fd);
    if (r == 0)
        r = io_write_all(fd, text, length);
    if (r == 0 && rename(temporary, target) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}

/* The file itself may be written, but none beside it may take its place. */
static bool is_bound_to_its_place(int error)
{
    return error == -EACCES || error == -EPERM || error == -EROFS || error == -EBUSY ||
           error == -ENAMETOOLONG;
}

int learn_output_write(struct learn_output *output, const char *text, size_t length)
{
    if (output->kind == LEARN_REPLACED) {
        int r = replace(output, text, length);

        if (!is_bound_to_its_place(r))
            return r;
        if (ftruncate(output->fd, 0) < 0)
            return -errno;
    }
    return io_write_all(output->fd, text, length);
}

void learn_output_discard(struct learn_output *output)
{
    if (output->kind == LEARN_CREATED && output->fd >= 0)
        unlink(output->path);
    learn_output_close(output);
}

void learn_output_close(struct learn_output *output)
{
    if (output->fd >= 0)
        base_close(take_fd(&output->fd));
}

/* Where the log goes: opening it, and what of it to protect. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit-internal.h"
#include "audit/journal.h"
#include "audit/place.h"
#include "base/cleanup.h"
#include "base/io.h"

/* Non-blocking, so that a FIFO nobody reads is an error now and a full one later. */
static int open_stream(struct audit *audit, const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

    audit->kind = AUDIT_STREAM;
    audit->fd = fd;
    return fd < 0 ? -errno : 0;
}

/*
 * A second open of the same file has a mode of its own: O_NONBLOCK on the given one would change it
 * for everybody who shares it. Sockets cannot be opened again, nor files that belong to others.
 */
static int open_inherited(struct audit *audit, const char *text)
{
    char path[IO_FD_PATH_SIZE];
    struct stat stat;
    uint64_t number;
    int given;
    int mode;

    if (io_parse_u64(text, INT_MAX, &number) < 0)
        return -EINVAL;
    given = (int)number;
    mode = fcntl(given, F_GETFL);
    if (mode < 0 || fstat(given, &stat) < 0)
        return -errno;
    if ((mode & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (given > STDERR_FILENO)
        fcntl(given, F_SETFD, FD_CLOEXEC);
    audit->kind = AUDIT_STREAM;
    audit->is_socket = S_ISSOCK(stat.st_mode);
    if (!audit->is_socket)
        audit->fd =
            open(io_fd_path(given, path), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (audit->fd >= 0)
        return 0;
    audit->may_block = !audit->is_socket;
    audit->fd = fcntl(given, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return audit->fd < 0 ? -errno : 0;
}

/* A file that is to rotate is known by its directory. */
static int open_rotated(struct audit *audit, const struct audit_options *options, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char directory[PATH_MAX];
    int fd;

    if (slash == path || slash == NULL)
        snprintf(directory, sizeof(directory), "%s", slash ? "/" : ".");
    else
        snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
    if (name[0] == '\0' || strlen(name) > NAME_MAX - 3)
        return name[0] ? -ENAMETOOLONG : -EISDIR;
    fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    audit->kind = AUDIT_ROTATED;
    return rotation_open(&audit->rotation, fd, name, options->size_max, options->files);
}

static int open_own(struct audit *audit, const struct audit_options *options)
{
    uint64_t size = options->size_max ? options->size_max : AUDIT_SIZE_DEFAULT;
    unsigned files = options->size_max ? options->files : AUDIT_FILES_DEFAULT;
    int directory = take_fd(&audit->rotation.directory);

    if (directory < 0)
        directory = audit_place_open(true);
    audit->kind = AUDIT_ROTATED;
    return directory < 0 ? directory
                         : rotation_open(&audit->rotation, directory, AUDIT_FILE_NAME, size, files);
}

static int open_journal(struct audit *audit)
{
    audit->kind = AUDIT_JOURNAL;
    audit->fd = journal_open(JOURNAL_SOCKET);
    return audit->fd < 0 ? audit->fd : 0;
}

void target_open_standing(struct audit *audit)
{
    struct audit_options options = {0};

    if (journal_is_there(JOURNAL_SOCKET) && open_journal(audit) == 0)
        return;
    if (open_own(audit, &options) < 0)
        audit->kind = AUDIT_OFF;
}

static int open_target(struct audit *audit, const struct audit_options *options, const char *target)
{
    struct stat stat;

    if (strcmp(target, "none") == 0)
        return 0;
    if (strcmp(target, "journal") == 0)
        return open_journal(audit);
    if (strcmp(target, "file") == 0)
        return open_own(audit, options);
    if (strncmp(target, "fd:", 3) == 0)
        return open_inherited(audit, target + 3);
    if (options->size_max && (lstat(target, &stat) < 0 || S_ISREG(stat.st_mode)))
        return open_rotated(audit, options, target);
    if (options->size_max)
        return -ESPIPE;
    return open_stream(audit, target);
}

static const char *hint_for(const char *target, bool rotates, int failure)
{
    if (strncmp(target, "fd:", 3) == 0)
        return "name a descriptor that is open for writing: fd:N";
    if (strcmp(target, "journal") == 0)
        return "there is no systemd journal here: use --audit file, or --audit FILE";
    if (failure == -ENXIO)
        return "start its reader first";
    if (failure == -ESPIPE)
        return "only a regular file can rotate: leave out --audit-rotate";
    if (rotates)
        return "name a file that you may write, in a directory where you may rename it";
    return "name a file that you may write";
}

int audit_open(struct audit *audit, const struct audit_options *options, struct base_error *error)
{
    const char *target = options->target;
    int r;

    *audit = (struct audit){.fd = -1,
                            .rotation = {.fd = -1, .directory = -1},
                            .actions_only = target == NULL,
                            .filled_ns = io_now_ns(),
                            .tokens = AUDIT_BURST + AUDIT_RESERVE};
    if (target == NULL)
        target = getenv("CEREBRO_AUDIT");
    if (target == NULL || target[0] == '\0') {
        audit->kind = AUDIT_STANDING;
        audit->unasked = true;
        audit->tokens = AUDIT_BURST_UNASKED + AUDIT_RESERVE;
        return 0;
    }
    r = open_target(audit, options, target);
    if (r == 0)
        return 0;
    audit->kind = AUDIT_OFF;
    return base_fail(error, r, hint_for(target, options->size_max > 0, r),
                     "cannot open the audit log %s: %s", target, strerror(-r));
}

void audit_protect(struct audit *audit, bool host_is_writable,
                   struct audit_protected *ret_protected)
{
    struct audit_protected found = {.fd = -1, .directory = -1};
    struct stat stat;

    if (audit->kind == AUDIT_STANDING && host_is_writable && !journal_is_there(JOURNAL_SOCKET))
        audit->rotation.directory = audit_place_open(true);
    if (audit->rotation.directory >= 0) {
        found.directory = audit->rotation.directory;
        found.name = audit->kind == AUDIT_STANDING ? AUDIT_FILE_NAME : audit->rotation.name;
    }
    if (audit->kind == AUDIT_STREAM && fstat(audit->fd, &stat) == 0 && S_ISREG(stat.st_mode))
        found.fd = audit->fd;
    *ret_protected = found;
}

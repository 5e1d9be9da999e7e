/*
 * Host files that no guest may change, whatever is mounted writable: the loader, which is the only
 * program that the host executes for guests, and the process kernel's own program.
 *
 * Two things are remembered. The object, so that it cannot be changed through any of its names; and
 * each name on its host path together with the directory that holds it, so that nothing else can be
 * put in its place. A directory is recognised by its identity: by which mount a guest reached it
 * makes no difference.
 *
 * And a log that is written while guests run: its files come and go by other hands, so they are
 * known by their directory and their names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/host-internal.h"

struct vfs_protected {
    dev_t device; /* of the object, or of the directory that holds the name */
    ino_t inode;
    char *name;   /* NULL: the object itself */
    bool is_base; /* "NAME.anything", too: the files of a log */
};

/* The files of a log: what they are at the moment. */
#define FILES_MAX 64

struct vfs_protected_log {
    int directory;
    dev_t device;
    char *name;
    struct timespec changed; /* the directory's time of change when the files were listed */
    ino_t files[FILES_MAX];
    unsigned count;
};

static int add(struct vfs *vfs, int fd, const char *name, size_t length)
{
    struct vfs_protected *more;
    struct stat stat;
    char *copy = NULL;

    if (fstat(fd, &stat) < 0)
        return -errno;
    more = reallocarray(vfs->protected, vfs->protected_count + 1, sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    vfs->protected = more;
    if (name) {
        copy = strndup(name, length);
        if (copy == NULL)
            return -ENOMEM;
    }
    more[vfs->protected_count++] =
        (struct vfs_protected){.device = stat.st_dev, .inode = stat.st_ino, .name = copy};
    return 0;
}

static bool is_file_of(const char *base, const char *name)
{
    size_t length = strlen(base);

    return strncmp(base, name, length) == 0 && (name[length] == '\0' || name[length] == '.');
}

static bool is_name(const struct vfs_protected *entry, const char *name)
{
    return entry->is_base ? is_file_of(entry->name, name) : strcmp(entry->name, name) == 0;
}

/* Every name of an absolute path without links, with the directory in which it lies. */
static int add_names(struct vfs *vfs, char *path)
{
    cleanup_close int directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *rest = path + 1;
    int r = directory < 0 ? -errno : 0;

    while (r == 0) {
        char *slash = strchrnul(rest, '/');
        bool last = *slash == '\0';
        int next;

        r = add(vfs, directory, rest, (size_t)(slash - rest));
        if (r < 0 || last)
            break;
        *slash = '\0';
        next = openat(directory, rest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        base_close(directory);
        directory = next;
        rest = slash + 1;
    }
    return r;
}

int vfs_protect(struct vfs *vfs, int fd)
{
    char link[IO_FD_PATH_SIZE];
    char path[VFS_PATH_MAX];
    ssize_t length = readlink(io_fd_path(fd, link), path, sizeof(path) - 1);
    struct stat found, own;
    int r;

    if (length < 0)
        return -errno;
    path[length] = '\0';
    /* A file without a name, or one that is no longer where the host says. */
    if (path[0] != '/' || fstat(fd, &own) < 0 || lstat(path, &found) < 0 ||
        found.st_dev != own.st_dev || found.st_ino != own.st_ino)
        return -ESTALE;
    r = add(vfs, fd, NULL, 0);
    return r < 0 ? r : add_names(vfs, path);
}

int vfs_protect_log(struct vfs *vfs, int directory, const char *name)
{
    char link[IO_FD_PATH_SIZE];
    char path[VFS_PATH_MAX];
    ssize_t length = readlink(io_fd_path(directory, link), path, sizeof(path) - 1);
    struct vfs_protected_log *log;
    struct stat stat;
    int r = length < 0 || fstat(directory, &stat) < 0 ? -errno : 0;

    if (r < 0 || vfs->protected_log)
        return r < 0 ? r : -EBUSY;
    path[length] = '\0';
    log = calloc(1, sizeof(*log));
    if (log == NULL)
        return -ENOMEM;
    *log = (struct vfs_protected_log){.device = stat.st_dev, .name = strdup(name)};
    log->directory = openat(directory, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    vfs->protected_log = log;
    r = log->directory < 0 ? -errno : log->name ? 0 : -ENOMEM;
    if (r == 0)
        r = add(vfs, directory, name, strlen(name));
    if (r < 0)
        return r;
    vfs->protected[vfs->protected_count - 1].is_base = true;
    return path[0] == '/' && path[1] ? add_names(vfs, path) : 0;
}

static void list_files(struct vfs_protected_log *log)
{
    int fd = openat(log->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat stat;

    log->count = 0;
    while (directory && (entry = readdir(directory)))
        if (log->count < FILES_MAX && is_file_of(log->name, entry->d_name) &&
            fstatat(log->directory, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
            log->files[log->count++] = stat.st_ino;
}

/* Times of files are as coarse as the host's clock tick: what is new is looked at again. */
#define SETTLED_S 2

static bool is_log(struct vfs_protected_log *log, const struct host_node *node)
{
    struct timespec now;
    struct stat stat;

    if (log == NULL || log->device != node->device || fstat(log->directory, &stat) < 0)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat.st_ctim.tv_sec != log->changed.tv_sec || stat.st_ctim.tv_nsec != log->changed.tv_nsec)
        list_files(log);
    log->changed =
        now.tv_sec - stat.st_ctim.tv_sec > SETTLED_S ? stat.st_ctim : (struct timespec){0};
    for (unsigned i = 0; i < log->count; i++)
        if (log->files[i] == node->inode)
            return true;
    return false;
}

void protected_free(struct vfs *vfs)
{
    struct vfs_protected_log *log = vfs->protected_log;

    for (size_t i = 0; i < vfs->protected_count; i++)
        free(vfs->protected[i].name);
    free(vfs->protected);
    if (log) {
        base_close(log->directory);
        free(log->name);
    }
    free(log);
}

int host_may_change(const struct host_node *node)
{
    const struct vfs *vfs = node->node.fs->vfs;

    if (is_log(vfs->protected_log, node))
        return -EPERM;

    for (size_t i = 0; i < vfs->protected_count; i++) {
        const struct vfs_protected *entry = &vfs->protected[i];

        if (entry->name == NULL && entry->inode == node->inode && entry->device == node->device)
            return -EPERM;
    }
    return 0;
}

int host_may_take_name(const struct host_node *parent, const char *name)
{
    const struct vfs *vfs = parent->node.fs->vfs;

    for (size_t i = 0; i < vfs->protected_count; i++) {
        const struct vfs_protected *entry = &vfs->protected[i];

        if (entry->name && entry->inode == parent->inode && entry->device == parent->device &&
            is_name(entry, name))
            return -EBUSY;
    }
    return 0;
}

int host_may_make_name(struct host_node *parent, const char *name)
{
    int r = host_may_take_name(parent, name);

    if (r == 0)
        return 0;
    /* Gone for a moment, as while the user builds anew: that is no chance for a guest. */
    return faccessat(host_fd(parent), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : r;
}

/* That of a log must stay one in which its owner can make and rename files, and nobody new. */
static bool suits_log(const struct vfs_protected_log *log, mode_t mode)
{
    struct stat stat;

    return (mode & S_IRWXU) == S_IRWXU && fstat(log->directory, &stat) == 0 &&
           !(mode & ~stat.st_mode & (S_IWGRP | S_IWOTH));
}

/* A directory on the way must stay one that its owner, as whom programs start, may search. */
int host_may_chmod(const struct host_node *node, mode_t mode)
{
    const struct vfs *vfs = node->node.fs->vfs;

    for (size_t i = 0; i < vfs->protected_count; i++) {
        const struct vfs_protected *entry = &vfs->protected[i];

        if (entry->name == NULL || entry->inode != node->inode || entry->device != node->device)
            continue;
        if (!(mode & S_IXUSR) || (entry->is_base && !suits_log(vfs->protected_log, mode)))
            return -EPERM;
    }
    return host_may_change(node);
}

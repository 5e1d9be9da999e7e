/*
 * Host files that no guest may change, whatever is mounted writable: the loader, which is the only
 * program that the host executes for guests, and the process kernel's own program.
 *
 * Two things are remembered. The object, so that it cannot be changed through any of its names; and
 * each name on its host path together with the directory that holds it, so that nothing else can be
 * put in its place. A directory is recognised by its identity: by which mount a guest reached it
 * makes no difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/host-internal.h"

struct vfs_protected {
    dev_t device; /* of the object, or of the directory that holds the name */
    ino_t inode;
    char *name; /* NULL: the object itself */
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

void protected_free(struct vfs *vfs)
{
    for (size_t i = 0; i < vfs->protected_count; i++)
        free(vfs->protected[i].name);
    free(vfs->protected);
}

int host_may_change(const struct host_node *node)
{
    const struct vfs *vfs = node->node.fs->vfs;

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
            strcmp(entry->name, name) == 0)
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

/* A directory on the way must stay one that its owner, as whom programs start, may search. */
int host_may_chmod(const struct host_node *node, mode_t mode)
{
    const struct vfs *vfs = node->node.fs->vfs;

    for (size_t i = 0; i < vfs->protected_count && !(mode & S_IXUSR); i++) {
        const struct vfs_protected *entry = &vfs->protected[i];

        if (entry->name && entry->inode == node->inode && entry->device == node->device)
            return -EPERM;
    }
    return host_may_change(node);
}

/*
 * Removing trees. Twice through: nothing is removed where something in it must not be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>

#include "layer/layer-internal.h"

/* A directory on the way down. */
struct depth {
    struct depth *above;
    DIR *dir;
    char name[NAME_MAX + 1]; /* in the one above */
};

struct removing {
    const struct layer *layer; /* NULL: it is of the layer */
    int dir_fd;                /* where the tree hangs */
    struct depth *depth;
    bool only_check;
};

static int fd_of(const struct removing *removing, const struct depth *depth)
{
    return depth ? dirfd(depth->dir) : removing->dir_fd;
}

/* A mount or the layer itself would go with the tree. */
static int check_directory(const struct removing *removing, int fd)
{
    const unsigned mask = STATX_INO | STATX_MNT_ID;
    struct statx here, above;
    struct stat stat;

    if (removing->layer == NULL)
        return 0;
    if (fstat(fd, &stat) < 0 || statx(fd, "", AT_EMPTY_PATH, mask, &here) < 0 ||
        statx(removing->dir_fd, "", AT_EMPTY_PATH, mask, &above) < 0)
        return -errno;
    if (stat.st_dev == removing->layer->device && stat.st_ino == removing->layer->inode)
        return -EBUSY;
    if (here.stx_dev_major != above.stx_dev_major || here.stx_dev_minor != above.stx_dev_minor)
        return -EBUSY;
    return (here.stx_mask & above.stx_mask & STATX_MNT_ID) && here.stx_mnt_id != above.stx_mnt_id
               ? -EBUSY
               : 0;
}

static int enter(struct removing *removing, const char *name)
{
    int parent = fd_of(removing, removing->depth);
    cleanup_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct depth *depth;
    int r;

    if (fd < 0)
        return -errno;
    r = check_directory(removing, fd);
    if (r < 0)
        return r;
    depth = calloc(1, sizeof(*depth));
    if (depth == NULL)
        return -ENOMEM;
    depth->dir = fdopendir(fd);
    if (depth->dir == NULL) {
        free(depth);
        return -errno;
    }
    (void)take_fd(&fd);
    snprintf(depth->name, sizeof(depth->name), "%s", name);
    depth->above = removing->depth;
    removing->depth = depth;
    return 0;
}

static int leave(struct removing *removing)
{
    struct depth *depth = removing->depth;
    int r = 0;

    removing->depth = depth->above;
    closedir(depth->dir);
    if (!removing->only_check &&
        unlinkat(fd_of(removing, depth->above), depth->name, AT_REMOVEDIR) < 0)
        r = -errno;
    free(depth);
    return r;
}

static int take(struct removing *removing, const char *name)
{
    int fd = fd_of(removing, removing->depth);
    struct stat stat;

    if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(stat.st_mode))
        return enter(removing, name);
    return removing->only_check || unlinkat(fd, name, 0) == 0 ? 0 : -errno;
}

static int pass(struct removing *removing, const char *name)
{
    int r = take(removing, name);

    while (r == 0 && removing->depth) {
        struct dirent *entry = (errno = 0, readdir(removing->depth->dir));

        if (entry == NULL)
            r = errno ? -errno : leave(removing);
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = take(removing, entry->d_name);
    }
    removing->only_check = true; /* what is left goes on standing */
    while (removing->depth)
        (void)leave(removing);
    return r;
}

int remove_tree(const struct layer *layer, int dir_fd, const char *name)
{
    struct removing removing = {.layer = layer, .dir_fd = dir_fd, .only_check = true};
    int r = pass(&removing, name);

    removing.only_check = false;
    return r < 0 ? r : pass(&removing, name);
}

/* The two questions that are asked with a path: what is there, and where does its name lie. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/vfs-internal.h"

int vfs_resolve(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_place)
{
    struct walker walker;
    int r = walker_init(&walker, vfs, walk);

    if (r == 0)
        r = walker_run(&walker);
    if (r == 0)
        r = walker_place(&walker, ret_place);
    if (r == 0)
        walker_saw(&walker, PK_SEEN_LOOK);
    walker_free(&walker);
    return r;
}

int vfs_resolve_opened(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_place,
                       int *ret_fd)
{
    struct walker walker;
    int r = walker_init(&walker, vfs, walk);

    walker.open_flags = O_RDONLY;
    walker.keeps = true;
    if (r == 0)
        r = walker_run(&walker);
    if (r == 0)
        r = walker_place(&walker, ret_place);
    if (r == 0)
        walker_saw(&walker, PK_SEEN_LOOK);
    if (r == 0)
        *ret_fd = S_ISREG(walker.node->type) ? take_fd(&walker.opened_fd) : -1;
    walker_free(&walker);
    /* May not be read, perhaps: that says nothing about what else it may be. */
    if (r != -EACCES && r != -EPERM)
        return r;
    r = vfs_resolve(vfs, walk, ret_place);
    if (r == 0)
        *ret_fd = -1;
    return r;
}

/* Splits "a/b/c//" into "a/b/" and "c". Returns the length of the first part. */
static size_t split_last(const char *path, const char **ret_name, size_t *ret_length,
                         bool *ret_slash)
{
    size_t end = strlen(path);
    size_t start;

    *ret_slash = end > 0 && path[end - 1] == '/';
    while (end > 0 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *ret_name = path + start;
    *ret_length = end - start;
    return start;
}

static int walk_to_parent(struct vfs *vfs, const struct vfs_walk *walk,
                          struct vfs_place **ret_parent)
{
    struct walker walker;
    int r = walker_init(&walker, vfs, walk);

    if (r == 0)
        r = walker_run(&walker);
    if (r == 0)
        r = walker_enter(&walker);
    if (r == 0)
        r = walker_place(&walker, ret_parent);
    if (r == 0)
        walker_saw(&walker, PK_SEEN_LOOK);
    walker_free(&walker);
    return r;
}

int vfs_resolve_parent(struct vfs *vfs, const struct vfs_walk *walk, struct vfs_place **ret_parent,
                       char ret_name[256], bool *ret_slash)
{
    struct vfs_place *parent = NULL;
    struct vfs_walk directory = *walk;
    char head[VFS_PATH_MAX];
    const char *name;
    size_t length;
    size_t split;
    bool slash;
    int r;

    if (strnlen(walk->path, VFS_PATH_MAX) == VFS_PATH_MAX)
        return -ENAMETOOLONG;
    if (walk->path[0] == '\0')
        return -ENOENT;
    split = split_last(walk->path, &name, &length, &slash);
    if (length == 0 || (length <= 2 && strncmp(name, "..", length) == 0))
        split = strlen(walk->path);
    memcpy(head, walk->path, split);
    head[split] = '\0';
    directory.path = head;
    directory.flags &= ~(unsigned)VFS_NOFOLLOW;
    directory.flags |= VFS_EMPTY_PATH;
    r = walk_to_parent(vfs, &directory, &parent);
    if (r < 0)
        return r;
    if (length > VFS_NAME_MAX) {
        vfs_place_unref(parent);
        return -ENAMETOOLONG;
    }
    snprintf(ret_name, 256, "%.*s", length ? (int)length : 1, length ? name : "/");
    *ret_parent = parent;
    *ret_slash = slash;
    return 0;
}

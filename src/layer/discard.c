#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "layer/layer-internal.h"

/* Removes a directory that says nothing any more, and those above it. `path` is shortened. */
static void prune(const struct layer *layer, char *path)
{
    for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
        cleanup_look struct look now = LOOK_NONE;
        cleanup_look struct look before = LOOK_NONE;
        const char *name, *host_name;

        *slash = '\0';
        cleanup_close int parent = walk_to_parent(layer->fd, path, &name);
        cleanup_close int host = walk_to_parent(layer->root_fd, path, &host_name);

        if (parent < 0 || host < 0 || look_in_layer(layer, parent, name, &now) < 0 ||
            look_on_host(layer, host, host_name, &before) < 0 || look_is_opaque(&now) ||
            compare_looks(&now, &before) != 0 || unlinkat(parent, name, AT_REMOVEDIR) < 0)
            return;
    }
}

static int discard_name(const struct layer *layer, int dir_fd, const char *name)
{
    int r = remove_tree(NULL, dir_fd, name);

    if (r == 0)
        look_forget_owner(dir_fd, name);
    return r;
}

static int discard_path(const struct layer *layer, const char *path)
{
    cleanup_free char *copy = strdup(path);
    const char *name;
    cleanup_close int parent = walk_to_parent(layer->fd, path, &name);
    int r = parent;

    if (copy == NULL)
        return -ENOMEM;
    if (r >= 0)
        r = discard_name(layer, parent, name);
    if (r < 0)
        return r == -ENOENT ? 0 : r; /* it went with another path */
    prune(layer, copy);
    return 0;
}

static int discard_all(const struct layer *layer)
{
    int fd = openat(layer->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL) {
        r = -errno;
        base_close(fd);
        return r;
    }
    while (r == 0 && (errno = 0, entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = discard_name(layer, layer->fd, entry->d_name);
    return r < 0 ? r : -errno;
}

/* What only a directory that was made anew hides has no name in the layer to drop. */
static int check_path(const struct layer *layer, const char *path, struct base_error *error)
{
    const char *name;
    cleanup_close int parent = walk_to_parent(layer->fd, path, &name);
    struct stat stat;

    if (parent >= 0 && fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return base_fail(error, ENOENT, "discard that directory",
                     "%s is removed together with its directory", path);
}

static int discard(const struct layer *layer, const struct layer_task *task,
                   struct base_error *error)
{
    bool all = task->path_count == 0;
    int r = 0;

    for (unsigned i = 0; i < task->path_count; i++)
        all |= strcmp(task->paths[i], "/") == 0;
    for (unsigned i = 0; i < task->path_count && r == 0 && !all; i++)
        r = check_path(layer, task->paths[i], error);
    if (r < 0)
        return r;
    if (all)
        return discard_all(layer);
    for (unsigned i = 0; i < task->path_count && r == 0; i++)
        r = discard_path(layer, task->paths[i]);
    return r;
}

int layer_discard(struct layer *layer, const struct layer_task *task,
                  struct layer_counts *ret_counts, struct base_error *error)
{
    /* Tells what is going to be dropped, and that there is something at each path. */
    int r = layer_diff(layer, task, ret_counts, error);

    if (r < 0)
        return r;
    r = discard(layer, task, error);
    if (r < 0)
        return base_fail(error, r, NULL, "cannot discard all of the layer %s: %s", layer->directory,
                         strerror(-r));
    return 0;
}

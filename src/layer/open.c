#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>

#include "layer/layer-internal.h"

#define MARK "user.cerebro.layer"

static int lock(int fd, int how, const char *directory, const char *hint, struct base_error *error)
{
    int r = flock(fd, how | LOCK_NB) < 0 ? -errno : 0;

    if (r == -EWOULDBLOCK)
        return base_fail(error, EBUSY, hint, "the layer %s is in use", directory);
    return r;
}

int layer_use(const char *directory, const struct layer_origin *origin, int *ret_fd,
              struct base_error *error)
{
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char mark[PATH_MAX + 64];
    int length, r;

    if (fd < 0)
        return base_fail(error, errno, "make the directory first, and be able to write to it",
                         "cannot use %s as the overlay: %s", directory, strerror(errno));
    r = lock(fd, LOCK_SH, directory, "wait for cerebro commit or discard to end", error);
    if (r == -EBUSY)
        return r; /* a file system without locks works as before */
    length = snprintf(mark, sizeof(mark), "%u:%u %u:%u %s", origin->guest_uid, origin->guest_gid,
                      origin->host_uid, origin->host_gid, origin->root);
    if (length < (int)sizeof(mark))
        (void)fsetxattr(fd, MARK, mark, (size_t)length, 0);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* The ids are the host's and the root is "/" unless the mark says something else. */
static int read_mark(struct layer *layer)
{
    struct layer_origin *origin = &layer->origin;
    char mark[PATH_MAX + 64];
    ssize_t length = fgetxattr(layer->fd, MARK, mark, sizeof(mark) - 1);
    int at = 0;

    if (length <= 0)
        return 0;
    mark[length] = '\0';
    if (sscanf(mark, "%u:%u %u:%u %n", &origin->guest_uid, &origin->guest_gid, &origin->host_uid,
               &origin->host_gid, &at) != 4 ||
        at == 0 || mark[at] != '/')
        return -EINVAL;
    layer->root = strdup(mark + at);
    return layer->root ? 0 : -ENOMEM;
}

static int find_root(struct layer *layer, const char *root, struct base_error *error)
{
    int r = read_mark(layer);

    if (r == 0 && (root || !layer->root)) {
        free(layer->root);
        layer->root = strdup(root ? root : "/");
        r = layer->root ? 0 : -ENOMEM;
    }
    if (r < 0)
        return base_fail(error, r, "name the directory beneath it with --root",
                         "cannot tell what is beneath the layer %s: %s", layer->directory,
                         strerror(-r));
    layer->origin.root = layer->root;
    layer->root_fd = open(layer->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (layer->root_fd < 0)
        return base_fail(error, errno, "name the directory beneath it with --root",
                         "cannot open %s, which is beneath the layer %s: %s", layer->root,
                         layer->directory, strerror(errno));
    return 0;
}

/* What one user kept says what root is to make: setuid programs of root's, for example. */
static int check_owner(const struct layer *layer, const struct stat *stat, struct base_error *error)
{
    if (stat->st_uid == geteuid())
        return 0;
    return base_fail(error, EPERM, "do it as that user",
                     "the layer %s belongs to another user (uid %u)", layer->directory,
                     stat->st_uid);
}

static int open_directory(struct layer *layer, enum layer_access access, struct base_error *error)
{
    struct stat stat;
    int r;

    layer->fd = open(layer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layer->fd < 0 || fstat(layer->fd, &stat) < 0)
        return base_fail(error, errno, "name the directory that --overlay was given",
                         "cannot open the layer %s: %s", layer->directory, strerror(errno));
    layer->device = stat.st_dev;
    layer->inode = stat.st_ino;
    if (access == LAYER_LOOK)
        return 0;
    r = check_owner(layer, &stat, error);
    if (r == 0)
        r = lock(layer->fd, LOCK_EX, layer->directory, "end what runs on it, see cerebro ps",
                 error);
    if (r < 0)
        return base_fail(error, r, NULL, "cannot lock the layer %s: %s", layer->directory,
                         strerror(-r));
    return 0;
}

int layer_open(const char *directory, const char *root, enum layer_access access,
               struct layer **ret_layer, struct base_error *error)
{
    struct layer *layer = calloc(1, sizeof(*layer));
    int r;

    if (layer == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for a layer");
    layer->fd = layer->root_fd = -1;
    layer->directory = strdup(directory);
    r = layer->directory ? open_directory(layer, access, error) : -ENOMEM;
    if (r == 0)
        r = find_root(layer, root, error);
    if (r < 0) {
        layer_free(layer);
        return base_fail(error, r, NULL, "cannot open the layer %s", directory);
    }
    *ret_layer = layer;
    return 0;
}

void layer_free(struct layer *layer)
{
    if (layer == NULL)
        return;
    base_close(layer->fd);
    base_close(layer->root_fd);
    free(layer->directory);
    free(layer->root);
    free(layer);
}

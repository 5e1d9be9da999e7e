#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "layer/layer-internal.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct level *level, const char *name)
{
    char **grown;

    if ((level->count & (level->count + 1)) == 0) { /* one less than a power of two: full */
        grown = reallocarray(level->names, 2 * (level->count + 1), sizeof(char *));
        if (grown == NULL)
            return -ENOMEM;
        level->names = grown;
    }
    level->names[level->count] = strdup(name);
    return level->names[level->count] ? (int)(level->count++, 0) : -ENOMEM;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_temporary(const struct level *level, const char *name)
{
    return level->above == NULL && strncmp(name, LAYER_TEMPORARY, strlen(LAYER_TEMPORARY)) == 0;
}

/* `known`: how many of the names, sorted, are not to come twice. */
static int read_names(struct level *level, int fd, size_t known)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = own < 0 ? NULL : fdopendir(own);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL) {
        r = -errno;
        base_close(own);
        return r;
    }
    while (r == 0 && (errno = 0, entry = readdir(dir))) {
        const char *name = entry->d_name;

        if (is_dots(name) || (known == 0 && is_temporary(level, name)) ||
            (known && bsearch(&name, level->names, known, sizeof(char *), by_name)))
            continue;
        r = add_name(level, name);
    }
    return r < 0 ? r : -errno;
}

/* The layer's, and the host's that are hidden all together. */
static int gather_names(struct level *level)
{
    size_t own;
    int r = read_names(level, level->layer_fd, 0);

    if (r < 0)
        return r;
    own = level->count;
    if (own)
        qsort(level->names, own, sizeof(char *), by_name);
    if (!level->hidden || level->host_fd < 0)
        return 0;
    /* Names that are new do not disturb the search: they are behind the sorted ones. */
    r = read_names(level, level->host_fd, own);
    if (level->count)
        qsort(level->names, level->count, sizeof(char *), by_name);
    return r;
}

static void pop(struct walk *walk)
{
    struct level *level = walk->level;

    walk->level = level->above;
    base_close(level->layer_fd);
    base_close(level->host_fd);
    for (size_t i = 0; i < level->count; i++)
        free(level->names[i]);
    free(level->names);
    free(level);
}

/* `above` NULL: the root of the layer. */
static int open_level(struct walk *walk, struct level *level, const char *name)
{
    int layer_dir = level->above ? level->above->layer_fd : walk->layer->fd;
    int host_dir = level->above ? level->above->host_fd : walk->layer->root_fd;
    struct look look = LOOK_NONE;
    int r = look_in_layer(walk->layer, layer_dir, name, &look);

    if (r < 0)
        return r;
    level->opaque = look_is_opaque(&look);
    level->hidden = level->opaque || (level->above && level->above->hidden);
    look_close(&look);
    level->layer_fd = openat(layer_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (level->layer_fd < 0)
        return -errno;
    if (host_dir < 0)
        return 0;
    level->host_fd = openat(host_dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return level->host_fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0
                                                                                        : -errno;
}

static int push(struct walk *walk, const char *name)
{
    struct level *level = calloc(1, sizeof(*level));
    int r;

    if (level == NULL)
        return -ENOMEM;
    level->above = walk->level;
    level->layer_fd = level->host_fd = -1;
    level->path_length = walk->path.length;
    walk->level = level;
    r = open_level(walk, level, name);
    return r < 0 ? r : gather_names(level);
}

/* ---- comparing ---- */

static int classify(struct item *item)
{
    struct layer_change *change = &item->change;
    bool gone = item->now.fd < 0 || item->now.whiteout;
    bool old = item->before.fd >= 0;
    int r;

    change->path = item->path;
    change->now = item->now.shown;
    change->before = item->before.shown;
    change->kind = gone ? LAYER_DELETED : old ? LAYER_MODIFIED : LAYER_ADDED;
    item->different = !gone || old;
    if (gone || !old)
        return 0;
    r = compare_looks(&item->now, &item->before);
    if (r < 0)
        return r;
    change->what = (unsigned)r;
    item->different = r > 0;
    return 0;
}

int walk_compare(struct layer *layer, struct level *level, const char *path, const char *name,
                 struct item *item)
{
    int r = look_in_layer(layer, level->layer_fd, name, &item->now);

    item->level = level;
    item->name = name;
    item->path = path;
    if (r < 0 && r != -ENOENT)
        return r;
    r = level->host_fd < 0 ? -ENOENT : look_on_host(layer, level->host_fd, name, &item->before);
    return r < 0 && r != -ENOENT ? r : classify(item);
}

static int visit_name(struct walk *walk, const char *name)
{
    struct item item = {.now = LOOK_NONE, .before = LOOK_NONE};
    int r;

    strbuf_truncate(&walk->path, walk->level->path_length);
    strbuf_add(&walk->path, "/", 1);
    strbuf_add_string(&walk->path, name);
    r = strbuf_status(&walk->path);
    if (r == 0)
        r = walk_compare(walk->layer, walk->level, strbuf_text(&walk->path), name, &item);
    if (r == 0)
        r = walk->visit(walk, &item);
    look_close(&item.now);
    look_close(&item.before);
    return r == WALK_INTO ? push(walk, name) : r;
}

static int leave(struct walk *walk)
{
    int r = 0;

    strbuf_truncate(&walk->path, walk->level->path_length);
    if (walk->left)
        r = walk->left(walk, walk->level);
    pop(walk);
    return r;
}

int walk_layer(struct walk *walk)
{
    int r = push(walk, ".");

    while (r >= 0 && walk->level) {
        struct level *level = walk->level;

        r = level->next == level->count ? leave(walk)
                                        : visit_name(walk, level->names[level->next++]);
    }
    walk->ended = r < 0;
    /* Who walks gets back what it has put into the levels, whatever happened. */
    while (walk->level)
        (void)leave(walk);
    strbuf_free(&walk->path);
    return r < 0 ? r : 0;
}

int walk_to_parent(int root_fd, const char *path, const char **ret_name)
{
    cleanup_close int fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char name[NAME_MAX + 1];

    for (;;) {
        const char *slash;
        int next;

        path += strspn(path, "/");
        slash = strchr(path, '/');
        if (fd < 0 || slash == NULL)
            break;
        if (slash - path > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, (size_t)(slash - path));
        name[slash - path] = '\0';
        next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        close(fd);
        fd = next;
        path = slash;
    }
    if (fd < 0)
        return -errno;
    *ret_name = path;
    return take_fd(&fd);
}

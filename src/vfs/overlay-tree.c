#include "vfs/overlay-internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

struct overlay_dir *overlay_dir_new(struct overlay_dir *parent, const char *name)
{
    struct overlay_dir *dir = calloc(1, sizeof(*dir));

    if (!dir)
        return NULL;
    dir->item = (struct overlay_item){.kind = OVERLAY_DIRECTORY, .type = S_IFDIR};
    dir->parent = parent;
    if (name) {
        dir->name = strdup(name);
        if (!dir->name) {
            free(dir);
            return NULL;
        }
    }
    return dir;
}

static struct overlay_dir *dir_of(struct overlay_item *item)
{
    return container_of(item, struct overlay_dir, item);
}

/* The last directory among the names; other items are freed on the way. NULL: none is left. */
static struct overlay_dir *shed_items(struct overlay_dir *dir)
{
    struct name_table *names = &dir->names;

    for (; names->used; names->used--) {
        struct name_entry *entry = name_table_at(names, names->used - 1);
        struct overlay_item *item = entry ? entry->value : NULL;

        if (item && item->kind == OVERLAY_DIRECTORY) {
            free(entry);
            names->used--;
            return dir_of(item);
        }
        free(item);
        free(entry);
    }
    return NULL;
}

/* By the parents and not by recursion: a guest may have nested deeper than our stack. */
void overlay_dir_free(struct overlay_dir *dir)
{
    struct overlay_dir *at = dir;

    while (at) {
        struct overlay_dir *below = shed_items(at);
        struct overlay_dir *up = at == dir ? NULL : at->parent;

        if (below) {
            below->parent = at;
            at = below;
            continue;
        }
        if (at->node)
            at->node->dir = NULL;
        name_table_free(&at->names);
        free(at->name);
        free(at);
        at = up;
    }
}

struct overlay_item *overlay_find(const struct overlay_dir *dir, const char *name)
{
    struct name_entry *entry = name_table_find(&dir->names, name, strlen(name));

    return entry ? entry->value : NULL;
}

static int set_item(struct overlay_dir *dir, const char *name, struct overlay_item *item)
{
    struct name_entry *entry = name_table_find(&dir->names, name, strlen(name));
    struct overlay_item *old;

    if (!entry)
        return name_table_add(&dir->names, name, strlen(name), item) ? 0 : -ENOMEM;
    old = entry->value;
    entry->value = item;
    if (old->kind == OVERLAY_DIRECTORY)
        overlay_dir_free(dir_of(old));
    else
        free(old);
    return 0;
}

int overlay_set(struct overlay_dir *dir, const char *name, enum overlay_kind kind, mode_t type,
                ino_t inode)
{
    struct overlay_item *item = malloc(sizeof(*item));
    int r;

    if (!item)
        return -ENOMEM;
    *item = (struct overlay_item){.kind = kind, .type = type & S_IFMT, .inode = inode};
    r = set_item(dir, name, item);
    if (r < 0)
        free(item);
    return r;
}

int overlay_put(struct overlay_dir *parent, const char *name, struct overlay_item *item)
{
    char *copy = strdup(name);
    int r = copy ? set_item(parent, name, item) : -ENOMEM;

    if (r < 0 || item->kind != OVERLAY_DIRECTORY) {
        free(copy);
        return r;
    }
    free(dir_of(item)->name);
    dir_of(item)->name = copy;
    dir_of(item)->parent = parent;
    return 0;
}

int overlay_set_dir(struct overlay_dir *parent, const char *name, struct overlay_dir *dir)
{
    return overlay_put(parent, name, &dir->item);
}

void overlay_unset(struct overlay_dir *dir, const char *name)
{
    struct name_entry *entry = name_table_find(&dir->names, name, strlen(name));
    struct overlay_item *item = entry ? entry->value : NULL;

    if (!entry)
        return;
    name_table_remove(&dir->names, entry);
    if (item->kind == OVERLAY_DIRECTORY)
        overlay_dir_free(dir_of(item));
    else
        free(item);
}

struct overlay_item *overlay_take(struct overlay_dir *dir, const char *name)
{
    struct name_entry *entry = name_table_find(&dir->names, name, strlen(name));
    struct overlay_item *item = entry ? entry->value : NULL;

    if (entry)
        name_table_remove(&dir->names, entry);
    return item;
}

bool overlay_dir_is_bare(const struct overlay_dir *dir)
{
    for (uint32_t i = 0; i < dir->names.used; i++) {
        const struct name_entry *entry = name_table_at(&dir->names, i);
        const struct overlay_item *item = entry ? entry->value : NULL;

        if (item && item->kind != OVERLAY_WHITEOUT)
            return false;
    }
    return true;
}

/* ---- the upper objects behind it ---- */

static int upper_lookup(struct overlay_fs *fs, struct vfs_node *base, const char *rel,
                        struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = fs->upper->ops->lookup(base, rel, &lookup);

    if (r < 0)
        return r;
    if (r != VFS_LOOKUP_NODE) { /* a link where the tree has a directory: changed from outside */
        free(lookup.target);
        vfs_place_unref(lookup.place);
        return -ESTALE;
    }
    *ret_node = lookup.node;
    return 0;
}

/* The directory's own node in the upper where it is known, else that of the root. NULL: neither. */
static struct vfs_node *known_upper(struct overlay_fs *fs, const struct overlay_dir *dir)
{
    if (dir->node && dir->node->upper)
        return dir->node->upper;
    return dir->parent ? NULL : fs->upper->root;
}

/* Path of a directory from the nearest one above it that is known; may be longer than PATH_MAX. */
static char *path_from_known(struct overlay_fs *fs, const struct overlay_dir *dir,
                             struct vfs_node **ret_known)
{
    const struct overlay_dir *at = dir;
    size_t length = 0;
    char *path;

    for (; !known_upper(fs, at); at = at->parent)
        length += strlen(at->name) + 1;
    path = malloc(length + 1);
    if (path == NULL)
        return NULL;
    path[length] = '\0';
    *ret_known = known_upper(fs, at);
    for (at = dir; !known_upper(fs, at); at = at->parent) {
        size_t part = strlen(at->name);

        path[--length] = '/';
        length -= part;
        memcpy(path + length, at->name, part);
    }
    return path;
}

/* Cuts off as much of a path as one look-up may be given, whole names only. Returns the rest. */
static char *cut_path(char *path)
{
    size_t length = strlen(path);

    if (length >= PATH_MAX)
        for (length = PATH_MAX - 1; path[length] != '/'; length--)
            ;
    else
        length--; /* the slash at the end */
    path[length] = '\0';
    return path + length + 1;
}

int overlay_dir_upper(struct overlay_fs *fs, const struct overlay_dir *dir,
                      struct vfs_node **ret_node)
{
    struct vfs_node *known = NULL;
    cleanup_free char *path = path_from_known(fs, dir, &known);
    struct vfs_node *node;
    char *rest;

    if (path == NULL)
        return -ENOMEM;
    node = vfs_node_ref(known);
    for (char *at = path; *at; at = rest) {
        struct vfs_node *next;
        int r;

        rest = cut_path(at);
        r = upper_lookup(fs, node, at, &next);
        vfs_node_unref(node);
        if (r < 0)
            return r;
        node = next;
    }
    *ret_node = node;
    return 0;
}

int overlay_upper_child(struct overlay_fs *fs, const struct overlay_dir *dir, const char *name,
                        struct vfs_node **ret_node)
{
    struct vfs_node *parent;
    int r = overlay_dir_upper(fs, dir, &parent);

    if (r < 0)
        return r;
    r = upper_lookup(fs, parent, name, ret_node);
    vfs_node_unref(parent);
    return r;
}

/* ---- loading ---- */

struct loading {
    struct overlay_fs *fs;
    struct overlay_dir *dir;
    struct vfs_node *upper;
    int error;
};

static int load_device(struct loading *loading, const char *name, ino_t inode)
{
    struct vfs_node *node;
    struct statx stat;
    int r = upper_lookup(loading->fs, loading->upper, name, &node);

    if (r < 0)
        return r;
    r = loading->fs->upper->ops->stat(node, &stat);
    vfs_node_unref(node);
    if (r < 0)
        return r;
    return overlay_set(loading->dir, name,
                       overlay_is_whiteout(&stat) ? OVERLAY_WHITEOUT : OVERLAY_OBJECT, S_IFCHR,
                       inode);
}

static int load_directory(struct loading *loading, const char *name, ino_t inode)
{
    struct overlay_dir *dir = overlay_dir_new(loading->dir, name);
    struct vfs_node *node = NULL;
    int r;

    if (!dir)
        return -ENOMEM;
    dir->item.inode = inode;
    r = upper_lookup(loading->fs, loading->upper, name, &node);
    if (r == 0)
        r = overlay_is_marked_opaque(loading->fs, node);
    vfs_node_unref(node);
    if (r >= 0) {
        dir->opaque = r || loading->dir->opaque;
        r = overlay_set_dir(loading->dir, name, dir);
    }
    if (r < 0)
        overlay_dir_free(dir);
    return r;
}

/* Left behind by a process kernel that was killed while it copied. */
static bool is_leftover(const struct overlay_dir *dir, const char *name)
{
    return !dir->parent && strncmp(name, OVERLAY_TEMPORARY, strlen(OVERLAY_TEMPORARY)) == 0;
}

static bool load_entry(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct loading *loading = user;
    int r;

    if (!name)
        return true;
    if (is_leftover(loading->dir, name)) {
        loading->fs->upper->ops->unlink(loading->upper, name, false, &loading->fs->kernel);
        return true;
    }
    if (type == S_IFCHR)
        r = load_device(loading, name, inode);
    else if (type == S_IFDIR)
        r = load_directory(loading, name, inode);
    else
        r = overlay_set(loading->dir, name, OVERLAY_OBJECT, type, inode);
    loading->error = r;
    return r == 0;
}

int overlay_dir_load(struct overlay_fs *fs, struct overlay_dir *dir)
{
    struct loading loading = {.fs = fs, .dir = dir};
    int r;

    if (dir->loaded)
        return 0;
    r = overlay_dir_upper(fs, dir, &loading.upper);
    if (r < 0)
        return r;
    r = fs->upper->ops->readdir(loading.upper, 0, &fs->kernel, load_entry, &loading);
    if (r == 0)
        r = loading.error;
    vfs_node_unref(loading.upper);
    dir->loaded = r == 0;
    return r;
}

int overlay_dir_attributes(struct overlay_fs *fs, struct overlay_dir *dir)
{
    struct vfs_node *upper;
    struct statx stat;
    int r;

    if (dir->attributes)
        return 0;
    r = overlay_dir_upper(fs, dir, &upper);
    if (r < 0)
        return r;
    r = overlay_upper_stat(fs, upper, &stat);
    vfs_node_unref(upper);
    if (r < 0)
        return r;
    dir->mode = stat.stx_mode;
    dir->uid = stat.stx_uid;
    dir->gid = stat.stx_gid;
    if (!dir->device)
        dir->device = dir->parent && dir->parent->device
                          ? dir->parent->device
                          : makedev(stat.stx_dev_major, stat.stx_dev_minor);
    dir->attributes = true;
    return 0;
}

/*
 * Places: objects with the way to them. They hang in buckets by path, so that an unlink finds the
 * ones of its name at once; renaming a directory, which is rare, looks at all of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vfs/vfs-internal.h"

static struct list *bucket(struct vfs *vfs, const char *path, size_t length)
{
    uint64_t hash = length;

    for (; length >= 8; path += 8, length -= 8) {
        uint64_t word;

        memcpy(&word, path, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    for (; length > 0; path++, length--)
        hash = (hash ^ (unsigned char)*path) * 0x9e3779b97f4a7c15ULL;
    return &vfs->places[(hash ^ (hash >> 32)) % VFS_PLACE_BUCKETS];
}

static void index_place(struct vfs_place *place)
{
    list_append(bucket(place->vfs, place->path, place->length), &place->link);
}

static struct vfs_place *place_allocate(struct vfs *vfs, const char *path, size_t length)
{
    size_t room = (length ? length : 1) + 1;
    struct vfs_place *place = malloc(sizeof(*place) + room);

    if (place == NULL)
        return NULL;
    *place = (struct vfs_place){.vfs = vfs, .refs = 1, .path = place->own_path};
    memcpy(place->own_path, length ? path : "/", room - 1);
    place->own_path[room - 1] = '\0';
    place->length = room - 1;
    index_place(place);
    return place;
}

struct vfs_place *place_new(struct vfs *vfs, struct vfs_mount *mount, struct vfs_node *node,
                            const char *path, size_t length)
{
    struct vfs_place *place = place_allocate(vfs, path, length);

    if (place == NULL) {
        vfs_node_unref(node);
        return NULL;
    }
    place->mount = mount;
    place->node = node;
    vfs->refs++;
    return place;
}

/* It does not keep the VFS either, which frees it together with its file system. */
struct vfs_place *place_new_weak(struct vfs_place *from)
{
    struct vfs_place *place = place_allocate(from->vfs, from->path, place_stem(from));

    if (place == NULL)
        return NULL;
    place->mount = from->mount;
    place->node = from->node;
    place->deleted = from->deleted;
    place->weak = true;
    return place;
}

struct vfs_place *place_find_watched(struct vfs *vfs, const struct vfs_mount *mount,
                                     const char *path, size_t length)
{
    struct list *chain = bucket(vfs, path, length);
    struct vfs_place *place;

    list_for_each(place, chain, link)
    {
        if (place->watched && !place->deleted && place->mount == mount && place->length == length &&
            memcmp(place->path, path, length) == 0)
            return place;
    }
    return NULL;
}

struct vfs_place *vfs_place_ref(struct vfs_place *place)
{
    if (place == NULL)
        return NULL;
    place->refs++;
    place->vfs->epoch++; /* it is to be kept: attributes read by the walk grow old */
    if (place->node->fs->ops->hold)
        place->node->fs->ops->hold(place->node);
    return place;
}

void vfs_place_unref(struct vfs_place *place)
{
    struct vfs *vfs;
    bool weak;

    if (place == NULL || --place->refs > 0)
        return;
    vfs = place->vfs;
    weak = place->weak;
    list_remove(&place->link);
    if (!weak)
        vfs_node_unref(place->node);
    if (place->path != place->own_path)
        free(place->path);
    free(place);
    if (!weak)
        vfs_release(vfs);
}

void vfs_place_unrefp(struct vfs_place **place)
{
    vfs_place_unref(*place);
}

const char *vfs_place_path(const struct vfs_place *place)
{
    return place->path;
}

bool vfs_place_is_deleted(const struct vfs_place *place)
{
    return place->deleted;
}

mode_t vfs_place_type(const struct vfs_place *place)
{
    return place->node->type;
}

void places_removed(struct vfs *vfs, struct vfs_mount *mount, const char *path)
{
    struct list *chain = bucket(vfs, path, strlen(path));
    struct vfs_place *place;

    list_for_each(place, chain, link) if (place->mount == mount && strcmp(place->path, path) == 0)
        place->deleted = true;
}

static bool is_at_or_below(const char *path, const char *prefix, size_t length)
{
    return strncmp(path, prefix, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Replaces the first `old_length` bytes; returns a malloc'ed text. */
static char *replace_prefix(const char *path, size_t old_length, const char *with)
{
    size_t head = strlen(with);
    size_t tail = strlen(path + old_length);
    char *text = malloc(head + tail + 1);

    if (text == NULL)
        return NULL;
    memcpy(text, with, head);
    memcpy(text + head, path + old_length, tail + 1);
    return text;
}

static int rename_place(struct vfs_place *place, const char *from, const char *to)
{
    char *path = replace_prefix(place->path, strlen(from), to);

    if (path == NULL)
        return -ENOMEM;
    if (place->path != place->own_path)
        free(place->path);
    place->path = path;
    place->length = strlen(path);
    return 0;
}

/* Which of two names a path lies beneath; `ret_other` is what replaces it. */
static const char *matching(const char *path, const char *from, const char *to, bool exchange,
                            const char **ret_other)
{
    if (is_at_or_below(path, from, strlen(from))) {
        *ret_other = to;
        return from;
    }
    if (exchange && is_at_or_below(path, to, strlen(to))) {
        *ret_other = from;
        return to;
    }
    return NULL;
}

/*
 * A place that cannot be rewritten for want of memory is marked deleted: a missing path is better
 * than a wrong one.
 */
int places_renamed(struct vfs *vfs, struct vfs_mount *mount, const char *from, const char *to,
                   bool exchange)
{
    struct list moved;
    struct vfs_place *place;
    struct vfs_place *next;
    const char *old;
    const char *new;
    int result = 0;

    list_init(&moved);
    for (size_t i = 0; i < VFS_PLACE_BUCKETS; i++)
        list_for_each_safe(place, next, &vfs->places[i], link)
        {
            if (place->deleted || place->mount != mount)
                continue;
            old = matching(place->path, from, to, exchange, &new);
            if (old == NULL)
                continue;
            if (rename_place(place, old, new) < 0) {
                place->deleted = true;
                result = -ENOMEM;
                continue;
            }
            list_remove(&place->link);
            list_append(&moved, &place->link);
        }
    while (!list_is_empty(&moved)) {
        place = list_entry(moved.next, struct vfs_place, link);
        list_remove(&place->link);
        index_place(place);
    }
    return result;
}

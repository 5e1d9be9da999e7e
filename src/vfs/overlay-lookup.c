#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A walk in progress. */
struct finding {
    struct overlay_fs *fs;
    struct overlay_node *base;
    const char *rel;
    struct vfs_lookup *lookup;
    struct overlay_dir *at; /* the upper directory reached */
    size_t offset;          /* of the component looked at */
    size_t length;
    bool merged; /* the lower still shows through */
};

static int may_search(struct finding *f)
{
    struct statx stat = {0};
    int r = overlay_dir_attributes(f->fs, f->at);

    if (r < 0)
        return r;
    stat.stx_mode = (uint16_t)f->at->mode;
    stat.stx_uid = f->at->uid;
    stat.stx_gid = f->at->gid;
    return vfs_permission(f->lookup->actor, &stat, VFS_MAY_EXEC);
}

static bool writes(int flags)
{
    return flags >= 0 &&
           ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))));
}

/* What the lower opened at once must be permitted by the guest's own identity as well. */
static int check_opened(struct overlay_node *node, struct vfs_lookup *sub,
                        const struct vfs_actor *actor)
{
    int r;

    if (sub->opened_fd < 0 || (sub->open_flags & O_PATH))
        return 0;
    r = overlay_may(node, actor, VFS_MAY_READ);
    if (node->upper && r == 0) { /* a node that has been copied up meanwhile: not that file */
        base_close(sub->opened_fd);
        sub->opened_fd = -1;
    }
    return r;
}

static int lower_result(struct finding *f, int r, struct vfs_lookup *sub)
{
    struct vfs_node *node;

    if (r != VFS_LOOKUP_NODE) {
        f->lookup->consumed = sub->consumed;
        f->lookup->target = sub->target;
        f->lookup->place = sub->place;
        return r;
    }
    r = overlay_node_lower(f->fs, overlay_join(f->base->path, f->rel), sub->node, &node);
    if (r == 0)
        r = check_opened(overlay_of(node), sub, f->lookup->actor);
    if (r < 0) {
        base_close(sub->opened_fd);
        return r;
    }
    f->lookup->node = node;
    f->lookup->opened_fd = sub->opened_fd;
    return VFS_LOOKUP_NODE;
}

/*
 * Where an upper directory has covered up something else than a directory, the lower's answer about
 * what is below is wrong: there is nothing.
 */
static bool is_covered(struct finding *f, int r, const struct vfs_lookup *sub)
{
    struct vfs_lookup above = {
        .actor = f->lookup->actor, .follow_last = false, .open_flags = -1, .opened_fd = -1};
    bool directory;
    char *path;

    if (f->offset == 0)
        return false;
    if (r == VFS_LOOKUP_LINK || r == VFS_LOOKUP_MAGIC)
        return sub->consumed < f->offset;
    if (r != -ENOTDIR)
        return false;
    path = strndup(f->rel, f->offset - 1);
    if (!path)
        return false;
    r = f->fs->lower->ops->lookup(f->base->lower, path, &above);
    free(path);
    free(above.target);
    vfs_place_unref(above.place);
    directory = r == VFS_LOOKUP_NODE && above.node->type == S_IFDIR;
    vfs_node_unref(r == VFS_LOOKUP_NODE ? above.node : NULL);
    return !directory;
}

/*
 * The host did not let the task search a directory that it may search here: its mode or owner was
 * changed in the upper. What is in it is found with our rights, what is further below with the
 * task's.
 */
static int look_past_merged(struct finding *f, struct vfs_lookup *sub)
{
    size_t length = f->offset + f->length;
    bool last = f->rel[length] == '\0';
    struct vfs_lookup child = {.actor = &f->fs->kernel,
                               .follow_last = !last || sub->follow_last,
                               .open_flags = -1,
                               .opened_fd = -1};
    char *path = strndup(f->rel, length);
    int r;

    if (!path)
        return -ENOMEM;
    r = f->fs->lower->ops->lookup(f->base->lower, path, &child);
    free(path);
    if (last || r != VFS_LOOKUP_NODE) {
        sub->node = child.node;
        sub->place = child.place;
        sub->target = child.target;
        sub->consumed = child.consumed;
        return r;
    }
    r = child.node->type == S_IFDIR
            ? f->fs->lower->ops->lookup(child.node, f->rel + length + 1, sub)
            : -ENOTDIR;
    sub->consumed += length + 1;
    vfs_node_unref(child.node);
    return r;
}

/* The path leaves the upper: all of it is the lower's, in one call. */
static int look_below(struct finding *f)
{
    struct vfs_lookup sub = {.actor = f->lookup->actor,
                             .follow_last = f->lookup->follow_last,
                             .only_look = f->lookup->only_look,
                             .keeps = f->lookup->keeps,
                             .open_flags =
                                 writes(f->lookup->open_flags) ? -1 : f->lookup->open_flags,
                             .opened_fd = -1};
    int r;

    if (!f->merged || !f->base->lower || f->base->removed)
        return -ENOENT;
    r = f->fs->lower->ops->lookup(f->base->lower, f->rel, &sub);
    if (r == -EACCES && f->at)
        r = look_past_merged(f, &sub);
    if (is_covered(f, r, &sub)) {
        free(sub.target);
        vfs_place_unref(sub.place);
        return -ENOENT;
    }
    return r < 0 ? r : lower_result(f, r, &sub);
}

static int upper_link(struct finding *f, struct vfs_node *link)
{
    char text[PATH_MAX];
    ssize_t length = f->fs->upper->ops->readlink(link, text, sizeof(text) - 1, &f->fs->kernel);

    vfs_node_unref(link);
    if (length < 0)
        return (int)length;
    text[length] = '\0';
    f->lookup->target = strdup(text);
    if (!f->lookup->target)
        return -ENOMEM;
    f->lookup->consumed = f->offset + f->length;
    return VFS_LOOKUP_LINK;
}

static int upper_object(struct finding *f, const char *name, bool last)
{
    struct vfs_node *upper;
    int r = overlay_upper_child(f->fs, f->at, name, &upper);

    if (r < 0)
        return r;
    if (upper->type == S_IFLNK && (!last || f->lookup->follow_last))
        return upper_link(f, upper);
    if (!last) {
        vfs_node_unref(upper);
        return -ENOTDIR;
    }
    r = overlay_node_upper(f->fs, f->at, upper, &f->lookup->node);
    return r < 0 ? r : VFS_LOOKUP_NODE;
}

/* The lower directory that shows through an upper one; NULL: none. */
static int lower_directory(struct overlay_fs *fs, struct overlay_node *base, const char *rel,
                           struct vfs_node **ret_node)
{
    struct vfs_lookup sub = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = fs->lower->ops->lookup(base->lower, rel, &sub);

    *ret_node = NULL;
    if (r == VFS_LOOKUP_NODE && sub.node->type == S_IFDIR) {
        *ret_node = sub.node;
        return 0;
    }
    if (r == VFS_LOOKUP_NODE)
        vfs_node_unref(sub.node);
    free(r == VFS_LOOKUP_LINK ? sub.target : NULL);
    vfs_place_unref(r == VFS_LOOKUP_MAGIC ? sub.place : NULL);
    return r == -ENOENT || r == -ENOTDIR || r >= 0 ? 0 : r;
}

static int upper_directory(struct finding *f)
{
    struct vfs_node *lower = NULL;
    char *path = NULL;
    int r = 0;

    if (!f->at->node && f->merged && f->base->lower) {
        r = lower_directory(f->fs, f->base, f->rel, &lower);
        if (r == 0 && lower) {
            path = overlay_join(f->base->path, f->rel);
            r = path ? 0 : -ENOMEM;
        }
        if (r < 0) {
            vfs_node_unref(lower);
            return r;
        }
    }
    r = overlay_node_dir(f->fs, f->at, lower, path, &f->lookup->node);
    return r < 0 ? r : VFS_LOOKUP_NODE;
}

#define GO_ON 1000 /* no enum vfs_lookup_kind */

/* One component. Returns GO_ON with the next directory in f->at, or the result of the lookup. */
static int step(struct finding *f)
{
    bool last = f->rel[f->offset + f->length] == '\0';
    struct overlay_item *item;
    char name[NAME_MAX + 1];
    int r = may_search(f);

    if (r == 0)
        r = f->length > NAME_MAX ? -ENAMETOOLONG : overlay_dir_load(f->fs, f->at);
    if (r < 0)
        return r;
    memcpy(name, f->rel + f->offset, f->length);
    name[f->length] = '\0';
    item = overlay_find(f->at, name);
    if (!item)
        return look_below(f);
    if (item->kind == OVERLAY_WHITEOUT)
        return -ENOENT;
    if (item->kind == OVERLAY_OBJECT)
        return upper_object(f, name, last);
    f->at = container_of(item, struct overlay_dir, item);
    f->merged = f->merged && !f->at->opaque;
    return last ? upper_directory(f) : GO_ON;
}

int overlay_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct overlay_node *node = overlay_of(base);
    struct finding f = {.fs = overlay_fs_of(node),
                        .base = node,
                        .rel = rel,
                        .lookup = lookup,
                        .at = node->dir,
                        .merged = true};
    int r;

    if (base->type != S_IFDIR)
        return -ENOTDIR;
    if (!f.at)
        return look_below(&f);
    for (;;) {
        f.length = strcspn(rel + f.offset, "/");
        r = step(&f);
        if (r != GO_ON)
            return r;
        f.offset += f.length + 1;
    }
}

int overlay_child(struct overlay_node *parent, const char *name, struct overlay_node **ret_node)
{
    struct overlay_fs *fs = overlay_fs_of(parent);
    struct vfs_lookup lookup = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r = overlay_lookup(&parent->base, name, &lookup);

    if (r != VFS_LOOKUP_NODE) {
        if (r >= 0) { /* a magic link of the lower: not for changing */
            free(r == VFS_LOOKUP_LINK ? lookup.target : NULL);
            vfs_place_unref(r == VFS_LOOKUP_MAGIC ? lookup.place : NULL);
            r = -EPERM;
        }
        return r;
    }
    *ret_node = overlay_of(lookup.node);
    return 0;
}

int overlay_lower_child(struct overlay_node *parent, const char *name, struct vfs_node **ret_node)
{
    struct overlay_fs *fs = overlay_fs_of(parent);
    struct vfs_lookup sub = {.actor = &fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r;

    if (!parent->lower || parent->removed)
        return 0;
    r = fs->lower->ops->lookup(parent->lower, name, &sub);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (r == VFS_LOOKUP_MAGIC) {
        vfs_place_unref(sub.place);
        return -EPERM;
    }
    if (ret_node)
        *ret_node = sub.node;
    else
        vfs_node_unref(sub.node);
    return 1;
}

int overlay_exists(struct overlay_node *parent, const char *name)
{
    struct overlay_item *item;
    int r;

    if (parent->dir) {
        r = overlay_dir_load(overlay_fs_of(parent), parent->dir);
        if (r < 0)
            return r;
        item = overlay_find(parent->dir, name);
        if (item)
            return item->kind != OVERLAY_WHITEOUT;
    }
    return overlay_lower_child(parent, name, NULL);
}

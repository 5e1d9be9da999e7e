#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* RENAME_* */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct side {
    struct overlay_node *parent;
    const char *name;
    struct overlay_node *node; /* reference; NULL: no such name */
    int below;                 /* the lower has something under this name */
};

static int find_side(struct side *side, const struct vfs_actor *actor)
{
    int r;

    if (side->parent->base.type != S_IFDIR)
        return -ENOTDIR;
    r = overlay_may(side->parent, actor, VFS_MAY_EXEC);
    if (r < 0)
        return r;
    if (strlen(side->name) > NAME_MAX)
        return -ENAMETOOLONG;
    r = overlay_child(side->parent, side->name, &side->node);
    return r == -ENOENT ? 0 : r;
}

static bool is_directory(const struct overlay_node *node)
{
    return node && node->base.type == S_IFDIR;
}

/* True when the directory is `under` or lies above it. */
static bool is_above(const struct overlay_node *node, const struct overlay_node *under)
{
    size_t length;

    if (node->dir && under->dir) {
        for (const struct overlay_dir *dir = under->dir; dir; dir = dir->parent) {
            if (dir == node->dir)
                return true;
        }
        return false;
    }
    if (!node->path || !under->path)
        return false;
    length = strlen(node->path);
    return strncmp(node->path, under->path, length) == 0 &&
           (under->path[length] == '/' || under->path[length] == '\0');
}

static bool is_same(const struct overlay_node *a, const struct overlay_node *b)
{
    struct statx first, second;
    struct vfs_node *one, *two;

    if (a == b)
        return true;
    if (is_directory(a) || is_directory(b) || !a->upper != !b->upper)
        return false;
    one = a->upper ? a->upper : a->lower;
    two = b->upper ? b->upper : b->lower;
    return one->fs->ops->stat(one, &first) == 0 && two->fs->ops->stat(two, &second) == 0 &&
           first.stx_ino == second.stx_ino && first.stx_dev_major == second.stx_dev_major &&
           first.stx_dev_minor == second.stx_dev_minor;
}

static int check_shape(const struct side *old, const struct side *new, unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE;

    if (!old->node)
        return -ENOENT;
    if (new->node && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!new->node && exchange)
        return -ENOENT;
    if (is_directory(old->node) && is_above(old->node, new->parent))
        return -EINVAL;
    if (is_directory(new->node) && is_above(new->node, old->parent))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

/* A directory that moves gets another "..", which is a change of the directory itself. */
static int may_move(struct overlay_node *node, const struct side *from, const struct side *to,
                    const struct vfs_actor *actor)
{
    if (!is_directory(node) || from->parent == to->parent)
        return 0;
    return overlay_may(node, actor, VFS_MAY_WRITE);
}

static int check_types(const struct side *old, const struct side *new)
{
    if (!new->node || is_directory(old->node) == is_directory(new->node))
        return 0;
    return is_directory(old->node) ? -ENOTDIR : -EISDIR;
}

/* What has a lower part cannot move: the lower's names below it would stay behind. */
static bool is_bound(const struct overlay_node *node)
{
    return is_directory(node) && node->lower;
}

static int check_change(const struct side *old, const struct side *new, unsigned flags,
                        const struct vfs_actor *actor)
{
    bool exchange = flags & RENAME_EXCHANGE;
    int r = overlay_may_change(old->parent, actor);

    if (r == 0)
        r = overlay_may_change(new->parent, actor);
    if (r == 0 && !exchange)
        r = check_types(old, new);
    if (r == 0)
        r = may_move(old->node, old, new, actor);
    if (r == 0 && exchange)
        r = may_move(new->node, new, old, actor);
    if (r == 0 && (is_bound(old->node) || (exchange && is_bound(new->node))))
        r = -EXDEV;
    if (r == 0 && !exchange && is_directory(new->node))
        r = overlay_is_empty(new->node);
    return r;
}

/* Brings a side up, and finds out what the lower has under its name. */
static int raise_side(struct side *side, bool object)
{
    int r = overlay_copy_up(side->parent, true);

    if (r == 0)
        r = overlay_dir_load(overlay_fs_of(side->parent), side->parent->dir);
    if (r == 0 && object)
        r = overlay_copy_up(side->node, true);
    if (r < 0)
        return r;
    side->below = overlay_lower_child(side->parent, side->name, NULL);
    return side->below < 0 ? side->below : 0;
}

/* What arrives where the lower has a name must hide all of it. */
static int settle(struct overlay_fs *fs, const struct side *at, struct overlay_item *item)
{
    if (item->kind != OVERLAY_DIRECTORY || !at->below)
        return 0;
    return overlay_make_opaque(fs, container_of(item, struct overlay_dir, item));
}

static int exchange_items(struct overlay_fs *fs, struct side *old, struct side *new)
{
    struct overlay_item *first = overlay_take(old->parent->dir, old->name);
    struct overlay_item *second = overlay_take(new->parent->dir, new->name);
    int r = overlay_put(new->parent->dir, new->name, first);

    if (r == 0)
        r = overlay_put(old->parent->dir, old->name, second);
    if (r == 0)
        r = settle(fs, new, first);
    return r < 0 ? r : settle(fs, old, second);
}

static int move_item(struct overlay_fs *fs, struct side *old, struct side *new)
{
    struct overlay_item *item = overlay_take(old->parent->dir, old->name);
    int r;

    overlay_unset(new->parent->dir, new->name);
    r = overlay_put(new->parent->dir, new->name, item);
    if (r == 0)
        r = settle(fs, new, item);
    if (r == 0 && old->below)
        r = overlay_whiteout(fs, old->parent->dir, old->name);
    return r;
}

/* Makes room in the upper where a rename there would not overwrite what it finds. */
static int clear_target(struct overlay_fs *fs, struct side *new, bool directory)
{
    int r = 0;

    if (directory && new->node)
        r = overlay_remove_upper(new->parent, new->name, new->node);
    else if (directory)
        r = overlay_uncover(fs, new->parent->dir, new->name);
    return r;
}

static int move_upper(struct overlay_fs *fs, struct side *old, struct side *new, unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE;
    int r = exchange ? 0 : clear_target(fs, new, is_directory(old->node));

    if (new->node)
        overlay_lose_name(new->node);
    if (r == 0)
        r = fs->upper->ops->rename(old->parent->upper, old->name, new->parent->upper, new->name,
                                   flags & RENAME_EXCHANGE, &fs->kernel);
    if (r < 0)
        return r;
    r = exchange ? exchange_items(fs, old, new) : move_item(fs, old, new);
    if (new->node && !exchange)
        overlay_forget(new->node);
    return r;
}

static int change(struct side *old, struct side *new, unsigned flags)
{
    struct overlay_fs *fs = overlay_fs_of(old->parent);
    int r = raise_side(old, true);

    if (r == 0)
        r = raise_side(new, flags & RENAME_EXCHANGE);
    return r < 0 ? r : move_upper(fs, old, new, flags);
}

int overlay_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                   const char *new_name, unsigned flags, const struct vfs_actor *actor)
{
    struct side old = {.parent = overlay_of(old_parent), .name = old_name};
    struct side new = {.parent = overlay_of(new_parent), .name = new_name};
    int r;

    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    r = find_side(&old, actor);
    if (r == 0)
        r = find_side(&new, actor);
    if (r == 0)
        r = check_shape(&old, &new, flags);
    if (r == 0 && !(new.node &&is_same(old.node, new.node))) {
        r = check_change(&old, &new, flags, actor);
        if (r == 0)
            r = change(&old, &new, flags);
    }
    vfs_node_unref(old.node ? &old.node->base : NULL);
    vfs_node_unref(new.node ? &new.node->base : NULL);
    overlay_sweep(overlay_fs_of(old.parent));
    return r;
}

/* ---- link ---- */

static int link_upper(struct overlay_node *parent, const char *name, struct vfs_node *upper,
                      mode_t type)
{
    struct overlay_fs *fs = overlay_fs_of(parent);
    struct vfs_node *linked;
    struct statx stat;
    int r = overlay_uncover(fs, parent->dir, name);

    if (r == 0)
        r = fs->upper->ops->link(upper, parent->upper, name, &fs->kernel);
    if (r == 0)
        r = overlay_upper_child(fs, parent->dir, name, &linked);
    if (r < 0) {
        struct overlay_item *item = overlay_find(parent->dir, name);

        if (item && item->kind == OVERLAY_WHITEOUT)
            (void)overlay_whiteout(fs, parent->dir, name);
        return r;
    }
    r = fs->upper->ops->stat(linked, &stat);
    vfs_node_unref(linked);
    if (r == 0)
        r = overlay_set(parent->dir, name, OVERLAY_OBJECT, type, stat.stx_ino);
    return r;
}

/*
 * A file that a host upper made for O_TMPFILE is known by its descriptor only: it comes as a node
 * that is not of this file system and goes to the upper as it is.
 */
int overlay_link(struct vfs_node *base, struct vfs_node *parent_base, const char *name,
                 const struct vfs_actor *actor)
{
    struct overlay_node *parent = overlay_of(parent_base);
    struct overlay_node *node = base->fs == parent_base->fs ? overlay_of(base) : NULL;
    int r = overlay_may_add(parent, name, actor);

    if (r < 0)
        return r;
    if (base->type == S_IFDIR)
        return -EPERM;
    if (!node)
        return overlay_fs_of(parent)->memory ? -EXDEV : link_upper(parent, name, base, base->type);
    r = overlay_copy_up(node, true);
    return r < 0 ? r : link_upper(parent, name, node->upper, base->type);
}

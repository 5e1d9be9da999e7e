#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h> /* RENAME_* */
#include <string.h>

struct rename_side {
    struct memory_node *parent;
    const char *name;
    size_t length;
    struct name_entry *entry; /* NULL: no such name */
    struct memory_node *node;
};

static int find_side(struct rename_side *side, const struct vfs_actor *actor)
{
    int r = memory_may(side->parent, actor, VFS_MAY_EXEC);

    if (r < 0)
        return r;
    side->length = strlen(side->name);
    if (side->length > NAME_MAX)
        return -ENAMETOOLONG;
    side->entry = name_table_find(&side->parent->directory->names, side->name, side->length);
    side->node = side->entry ? side->entry->value : NULL;
    return 0;
}

/* True when `node` is `under` or one of the directories above it. */
static bool is_above(const struct memory_node *node, const struct memory_node *under)
{
    for (; under; under = under->directory->parent) {
        if (under == node)
            return true;
    }
    return false;
}

static bool is_directory(const struct memory_node *node)
{
    return node && node->base.type == S_IFDIR;
}

/* What does not depend on permissions, in the order of the kernel's do_renameat2(). */
static int check_shape(const struct rename_side *old, const struct rename_side *new, unsigned flags)
{
    bool exchange = flags & RENAME_EXCHANGE;

    if (!old->entry)
        return -ENOENT;
    if (new->entry && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!new->entry && exchange)
        return -ENOENT;
    if (is_directory(old->node) && is_above(old->node, new->parent))
        return -EINVAL;
    if (is_directory(new->node) && is_above(new->node, old->parent))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return 0;
}

/* A directory that moves gets another "..", which is a change of the directory itself. */
static int may_move(const struct memory_node *node, const struct rename_side *from,
                    const struct rename_side *to, const struct vfs_actor *actor)
{
    if (!is_directory(node) || from->parent == to->parent)
        return 0;
    return memory_may(node, actor, VFS_MAY_WRITE);
}

static int check_change(const struct rename_side *old, const struct rename_side *new,
                        unsigned flags, const struct vfs_actor *actor)
{
    bool exchange = flags & RENAME_EXCHANGE;
    int r = memory_may_change(old->parent, actor);

    if (r == 0)
        r = memory_may_change(new->parent, actor);
    if (r < 0)
        return r;
    if (new->entry && !exchange) {
        if (is_directory(old->node) && !is_directory(new->node))
            return -ENOTDIR;
        if (!is_directory(old->node) && is_directory(new->node))
            return -EISDIR;
    }
    r = may_move(old->node, old, new, actor);
    if (r == 0 && exchange)
        r = may_move(new->node, new, old, actor);
    if (r < 0)
        return r;
    if (!exchange && is_directory(new->node) && new->node->directory->names.count)
        return -ENOTEMPTY;
    return 0;
}

static void move_count(struct memory_node *node, struct memory_node *from, struct memory_node *to)
{
    if (!is_directory(node))
        return;
    from->nlink--;
    to->nlink++;
    node->directory->parent = to;
}

static void stamp(struct rename_side *old, struct rename_side *new)
{
    memory_touch(old->parent, true);
    memory_touch(new->parent, true);
    memory_touch(old->node, false);
}

static void exchange_names(struct rename_side *old, struct rename_side *new)
{
    old->entry->value = new->node;
    new->entry->value = old->node;
    move_count(old->node, old->parent, new->parent);
    move_count(new->node, new->parent, old->parent);
    stamp(old, new);
    memory_touch(new->node, false);
}

/* The old node takes over the entry of the one it replaces. */
static void replace_name(struct rename_side *old, struct rename_side *new)
{
    new->entry->value = old->node;
    name_table_remove(&old->parent->directory->names, old->entry);
    move_count(old->node, old->parent, new->parent);
    stamp(old, new);
    memory_drop_name(new->parent, new->node);
}

static int move_name(struct rename_side *old, struct rename_side *new)
{
    if (old->parent == new->parent) {
        int r =
            name_table_rename(&old->parent->directory->names, old->entry, new->name, new->length);

        if (r < 0)
            return r;
    } else {
        if (!name_table_add(&new->parent->directory->names, new->name, new->length, old->node))
            return -ENOMEM;
        name_table_remove(&old->parent->directory->names, old->entry);
        move_count(old->node, old->parent, new->parent);
    }
    stamp(old, new);
    return 0;
}

int memory_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                  const char *new_name, unsigned flags, const struct vfs_actor *actor)
{
    struct rename_side old = {.parent = memory_of(old_parent), .name = old_name};
    struct rename_side new = {.parent = memory_of(new_parent), .name = new_name};
    int r;

    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    r = find_side(&old, actor);
    if (r == 0)
        r = find_side(&new, actor);
    if (r == 0)
        r = check_shape(&old, &new, flags);
    if (r < 0)
        return r;
    if (old.node == new.node)
        return 0; /* two names of one file: nothing happens, says POSIX */
    r = check_change(&old, &new, flags, actor);
    if (r < 0)
        return r;
    if (flags & RENAME_EXCHANGE)
        exchange_names(&old, &new);
    else if (new.entry)
        replace_name(&old, &new);
    else
        r = move_name(&old, &new);
    memory_orphan_sweep(memory_fs_of(old.parent));
    return r;
}

/*
 * Files without a name. While the guest has one open, its node stays, so that mode, owner and
 * attributes remain what they were, and one made with O_TMPFILE can get a name. That nobody has it
 * open any more is found out by looking at a few of them with every change of names.
 */
#include "vfs/memory-internal.h"

#include <stdlib.h>

#define ORPHANS_MAX 4096 /* beyond this the oldest is forgotten, open or not */
#define SWEEP_STEPS 2

static void orphan_drop(struct memory_fs *fs, size_t i)
{
    struct memory_node *node = fs->orphans[i];

    fs->orphans[i] = fs->orphans[--fs->orphan_count];
    vfs_node_unref(&node->base);
}

void memory_orphan_sweep(struct memory_fs *fs)
{
    for (int step = 0; step < SWEEP_STEPS && fs->orphan_count; step++) {
        size_t i = fs->orphan_cursor++ % fs->orphan_count;

        if (!memory_is_open_elsewhere(fs->orphans[i]->content->fd))
            orphan_drop(fs, i);
    }
}

void memory_orphan_add(struct memory_node *node)
{
    struct memory_fs *fs = memory_fs_of(node);

    if (node->base.type != S_IFREG || node->content->fd < 0 ||
        !memory_is_open_elsewhere(node->content->fd))
        return;
    if (fs->orphan_count >= ORPHANS_MAX)
        orphan_drop(fs, fs->orphan_cursor++ % fs->orphan_count);
    if (fs->orphan_count == fs->orphan_capacity) {
        size_t capacity = fs->orphan_capacity ? fs->orphan_capacity * 2 : 8;
        struct memory_node **orphans =
            reallocarray(fs->orphans, capacity, sizeof(struct memory_node *));

        if (!orphans)
            return; /* forgotten: only its attributes suffer */
        fs->orphans = orphans;
        fs->orphan_capacity = capacity;
    }
    fs->orphans[fs->orphan_count++] = node;
    vfs_node_ref(&node->base);
}

void memory_orphan_remove(struct memory_node *node)
{
    struct memory_fs *fs = memory_fs_of(node);

    for (size_t i = 0; i < fs->orphan_count; i++) {
        if (fs->orphans[i] == node) {
            orphan_drop(fs, i);
            return;
        }
    }
}

void memory_orphan_free(struct memory_fs *fs)
{
    while (fs->orphan_count)
        orphan_drop(fs, fs->orphan_count - 1);
    free(fs->orphans);
}

/*
 * Listing merged directories, and the list of all changes.
 *
 * Entry numbers: first the lower's entries in its order, then the slots of the upper's table. An
 * entry of the lower that is hidden keeps its number, and so does one that is copied up while the
 * guest reads: nothing is shown twice or missed.
 *
 * A directory that is the lower's alone is opened as a real descriptor and listed by the host, with
 * the same entry numbers, so that one who has begun to read goes on here after the first change.
 */
#include "vfs/overlay-internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the lower's part ---- */

static void names_free(struct name_table *names)
{
    for (uint32_t i = 0; i < names->used; i++)
        free(name_table_at(names, i)->value);
    name_table_free(names);
}

void overlay_listing_drop(struct overlay_fs *fs)
{
    names_free(&fs->listing.names);
    fs->listing.node = NULL;
}

struct collecting {
    struct name_table *names;
    int error;
};

static bool collect(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct collecting *collecting = user;
    struct overlay_item *item;

    if (!name || name_table_find(collecting->names, name, strlen(name)))
        return true;
    item = malloc(sizeof(*item));
    if (item)
        *item = (struct overlay_item){.kind = OVERLAY_OBJECT, .type = type, .inode = inode};
    if (!item || !name_table_add(collecting->names, name, strlen(name), item)) {
        free(item);
        collecting->error = -ENOMEM;
    }
    return collecting->error == 0;
}

/* All names that the lower has in a directory. */
static int read_lower(struct overlay_fs *fs, struct vfs_node *lower, struct name_table *names)
{
    struct collecting collecting = {.names = names};
    int r = fs->lower->ops->readdir(lower, 0, &fs->kernel, collect, &collecting);

    return r < 0 ? r : collecting.error;
}

/* The lower does not change, so what was read at position 0 serves the rest of the listing. */
static int need_listing(struct overlay_fs *fs, struct overlay_node *node, uint64_t from)
{
    int r;

    if (fs->listing.node == node && from != 0)
        return 0;
    overlay_listing_drop(fs);
    r = read_lower(fs, node->lower, &fs->listing.names);
    if (r < 0)
        overlay_listing_drop(fs);
    else
        fs->listing.node = node;
    return r;
}

/* ---- merging ---- */

static ino_t shown_inode(struct overlay_fs *fs, const struct overlay_dir *dir,
                         const struct overlay_item *item, const struct overlay_item *lower)
{
    const struct overlay_dir *below;

    if (item->kind != OVERLAY_DIRECTORY)
        return overlay_shown(fs, dir, item->inode).inode;
    below = container_of(item, struct overlay_dir, item);
    if (below->node)
        return below->node->shown.inode;
    if (lower && lower->type == S_IFDIR && !below->opaque)
        return lower->inode;
    return overlay_shown(fs, dir, item->inode).inode;
}

static bool emit_lower(struct overlay_fs *fs, const struct overlay_dir *dir, uint32_t slot,
                       vfs_emit emit, void *user)
{
    const struct name_entry *entry = name_table_at(&fs->listing.names, slot);
    const struct overlay_item *lower = entry->value;
    const struct overlay_item *item = overlay_find(dir, entry->name);

    if (!item)
        return emit(user, entry->name, lower->inode, lower->type);
    if (item->kind == OVERLAY_WHITEOUT)
        return emit(user, NULL, 0, 0);
    return emit(user, entry->name, shown_inode(fs, dir, item, lower), item->type);
}

static bool emit_upper(struct overlay_fs *fs, const struct overlay_dir *dir, bool merged,
                       uint64_t slot, vfs_emit emit, void *user)
{
    const struct name_entry *entry = name_table_at(&dir->names, slot);
    const struct overlay_item *item = entry ? entry->value : NULL;

    if (!item || item->kind == OVERLAY_WHITEOUT ||
        (merged && name_table_find(&fs->listing.names, entry->name, entry->length)))
        return emit(user, NULL, 0, 0);
    return emit(user, entry->name, shown_inode(fs, dir, item, NULL), item->type);
}

int overlay_readdir(struct vfs_node *base, uint64_t from, const struct vfs_actor *actor,
                    vfs_emit emit, void *user)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    bool merged = node->lower != NULL;
    uint64_t lowers = 0;
    int r = 0;

    if (node->removed)
        return 0;
    if (!node->dir)
        return fs->lower->ops->readdir(node->lower, from, actor, emit, user);
    r = overlay_dir_load(fs, node->dir);
    if (r == 0 && merged) {
        r = need_listing(fs, node, from);
        lowers = fs->listing.names.used;
    }
    if (r < 0)
        return r;
    for (; from < lowers; from++) {
        if (!emit_lower(fs, node->dir, (uint32_t)from, emit, user))
            return 0;
    }
    for (; from < lowers + node->dir->names.used; from++) {
        if (!emit_upper(fs, node->dir, merged, from - lowers, emit, user))
            return 0;
    }
    return 0;
}

bool overlay_is_untouched(struct vfs_node *base)
{
    return overlay_of(base)->dir == NULL;
}

/* ---- changes ---- */

/* A directory being compared. A stack of these and no recursion: guests nest as deep as they like.
 */
struct level {
    struct level *above;
    struct overlay_dir *dir;
    struct vfs_node *lower; /* reference; NULL: the lower has no such directory */
    char **names;           /* sorted; owned */
    size_t count, next;
    size_t path_length;
};

struct comparing {
    struct overlay_fs *fs;
    struct level *level;
    struct strbuf path;
    int (*visit)(enum vfs_change change, const char *path, const struct statx *stat, void *user);
    void *user;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct level *level, const char *name)
{
    level->names[level->count] = strdup(name);
    return level->names[level->count++] ? 0 : -ENOMEM;
}

/* Names of the upper, and of the lower where an opaque directory has hidden them all. */
static int gather_names(struct overlay_fs *fs, struct level *level)
{
    struct name_table lower = {0};
    const struct name_table *upper = &level->dir->names;
    int r = overlay_dir_load(fs, level->dir);

    if (r == 0 && level->lower && level->dir->opaque)
        r = read_lower(fs, level->lower, &lower);
    if (r == 0) {
        level->names = calloc(upper->count + lower.count + 1, sizeof(char *));
        r = level->names ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; i < upper->used && r == 0; i++) {
        if (name_table_at(upper, i))
            r = add_name(level, name_table_at(upper, i)->name);
    }
    for (uint32_t i = 0; i < lower.used && r == 0; i++) {
        if (!overlay_find(level->dir, name_table_at(&lower, i)->name))
            r = add_name(level, name_table_at(&lower, i)->name);
    }
    names_free(&lower);
    if (r == 0)
        qsort(level->names, level->count, sizeof(char *), by_name);
    return r;
}

static void pop_level(struct comparing *c)
{
    struct level *level = c->level;

    c->level = level->above;
    for (size_t i = 0; i < level->count; i++)
        free(level->names[i]);
    free(level->names);
    vfs_node_unref(level->lower);
    free(level);
}

/* `lower` is consumed in every case. */
static int push_level(struct comparing *c, struct overlay_dir *dir, struct vfs_node *lower)
{
    struct level *level = calloc(1, sizeof(*level));

    if (!level) {
        vfs_node_unref(lower);
        return -ENOMEM;
    }
    level->above = c->level;
    level->dir = dir;
    level->lower = lower;
    level->path_length = c->path.length;
    c->level = level;
    return gather_names(c->fs, level);
}

static int lower_child(struct comparing *c, const char *name, struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {.actor = &c->fs->kernel, .open_flags = -1, .opened_fd = -1};
    int r;

    *ret_node = NULL;
    if (!c->level->lower)
        return 0;
    r = c->fs->lower->ops->lookup(c->level->lower, name, &lookup);
    if (r == VFS_LOOKUP_NODE)
        *ret_node = lookup.node;
    if (r == VFS_LOOKUP_MAGIC)
        vfs_place_unref(lookup.place);
    return r == -ENOENT || r >= 0 ? 0 : r;
}

static int report(struct comparing *c, enum vfs_change change, const struct statx *stat)
{
    int r = strbuf_status(&c->path);

    return r < 0 ? r : c->visit(change, strbuf_text(&c->path), stat, c->user);
}

static int report_deleted(struct comparing *c, struct vfs_node *lower)
{
    struct statx stat;
    int r;

    if (!lower)
        return 0; /* a whiteout over nothing */
    r = c->fs->lower->ops->stat(lower, &stat);
    return r < 0 ? r : report(c, VFS_DELETED, &stat);
}

static bool attributes_differ(const struct statx *a, const struct statx *b)
{
    return a->stx_mode != b->stx_mode || a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid;
}

static int report_present(struct comparing *c, const char *name, const struct overlay_item *item,
                          struct vfs_node *lower)
{
    struct vfs_node *upper;
    struct statx stat, before;
    int r = overlay_upper_child(c->fs, c->level->dir, name, &upper);

    if (r < 0)
        return r;
    r = overlay_upper_stat(c->fs, upper, &stat);
    vfs_node_unref(upper);
    if (r < 0 || !lower)
        return r < 0 ? r : report(c, VFS_ADDED, &stat);
    r = c->fs->lower->ops->stat(lower, &before);
    if (r < 0)
        return r;
    if (item->kind == OVERLAY_DIRECTORY && lower->type == S_IFDIR &&
        !attributes_differ(&stat, &before))
        return 0;
    return report(c, VFS_MODIFIED, &stat);
}

static int compare_name(struct comparing *c, const char *name)
{
    struct overlay_item *item = overlay_find(c->level->dir, name);
    struct vfs_node *lower;
    int r = lower_child(c, name, &lower);

    if (r < 0)
        return r;
    if (!item || item->kind == OVERLAY_WHITEOUT)
        r = report_deleted(c, lower);
    else
        r = report_present(c, name, item, lower);
    if (r == 0 && item && item->kind == OVERLAY_DIRECTORY) {
        if (lower && lower->type != S_IFDIR) {
            vfs_node_unref(lower);
            lower = NULL;
        }
        return push_level(c, container_of(item, struct overlay_dir, item), lower);
    }
    vfs_node_unref(lower);
    return r;
}

static int compare_all(struct comparing *c)
{
    int r = push_level(c, c->fs->root, vfs_node_ref(c->fs->lower->root));

    while (r == 0 && c->level) {
        struct level *level = c->level;

        if (level->next == level->count) {
            pop_level(c);
            continue;
        }
        strbuf_truncate(&c->path, level->path_length);
        strbuf_add(&c->path, "/", 1);
        strbuf_add_string(&c->path, level->names[level->next]);
        r = compare_name(c, level->names[level->next++]);
    }
    return r;
}

int vfs_overlay_changes(struct vfs_fs *base,
                        int (*visit)(enum vfs_change change, const char *path,
                                     const struct statx *stat, void *user),
                        void *user)
{
    struct overlay_fs *fs = container_of(base, struct overlay_fs, base);
    struct comparing c = {.fs = fs, .visit = visit, .user = user};
    int r = compare_all(&c);

    while (c.level)
        pop_level(&c);
    strbuf_free(&c.path);
    return r;
}

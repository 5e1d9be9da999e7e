/*
 * The path walk. It is lexical: the position is a canonical path in a buffer, and the longest run
 * of plain components inside one mount is handed to the file system at once. Symbolic links come
 * back as text and are put in front of what is left.
 *
 * A position need not have been looked up: after ".." or a link it is enough to know that a lookup
 * from `anchor` has passed through it, which proves that it is a directory that may be searched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/vfs-internal.h"

/* A file system gets at most this many bytes at once, below its own PATH_MAX. */
#define RUN_MAX 3500

/* Directories may be nested deeper than PATH_MAX; somewhere there has to be an end. */
#define POSITION_MAX (1u << 20)

static int path_reserve(struct walk_path *path, size_t more)
{
    size_t want = path->length + more + 1;
    size_t capacity = path->capacity;
    char *text;

    if (want <= capacity)
        return 0;
    if (want > POSITION_MAX)
        return -ENAMETOOLONG;
    while (capacity < want)
        capacity *= 2;
    text = path->text == path->room ? malloc(capacity) : realloc(path->text, capacity);
    if (text == NULL)
        return -ENOMEM;
    if (path->text == path->room)
        memcpy(text, path->room, path->length + 1);
    path->text = text;
    path->capacity = capacity;
    return 0;
}

static int path_append(struct walk_path *path, const char *component, size_t length)
{
    int r = path_reserve(path, length + 1);

    if (r < 0)
        return r;
    path->text[path->length] = '/';
    memcpy(path->text + path->length + 1, component, length);
    path->length += length + 1;
    path->text[path->length] = '\0';
    return 0;
}

static void path_cut(struct walk_path *path, size_t length)
{
    path->length = length;
    path->text[length] = '\0';
}

static void set_node(struct walker *walker, struct vfs_node *node)
{
    vfs_node_unref(walker->node);
    walker->node = node;
}

static void set_anchor(struct walker *walker, struct vfs_node *node, size_t length)
{
    vfs_node_ref(node);
    vfs_node_unref(walker->anchor);
    walker->anchor = node;
    walker->anchor_length = length;
}

/* The position is no longer the place it started from. */
static void leave_place(struct walker *walker)
{
    vfs_place_unref(walker->place);
    walker->place = NULL;
}

static int set_position(struct walker *walker, struct vfs_place *place)
{
    size_t stem = place_stem(place);
    int r;

    path_cut(&walker->path, 0);
    r = path_reserve(&walker->path, stem);
    if (r < 0)
        return r;
    memcpy(walker->path.text, place->path, stem);
    path_cut(&walker->path, stem);
    walker->mount = place->mount;
    walker->deleted = place->deleted;
    set_node(walker, vfs_node_ref(place->node));
    set_anchor(walker, place->node, stem);
    vfs_place_ref(place);
    leave_place(walker);
    walker->place = place;
    return 0;
}

static bool at_root(const struct walker *walker)
{
    const struct vfs_place *root = walker->root;
    size_t stem = place_stem(root);

    return walker->mount == root->mount && walker->path.length == stem &&
           memcmp(walker->path.text, root->path, stem) == 0;
}

int walker_init(struct walker *walker, struct vfs *vfs, const struct vfs_walk *walk)
{
    bool absolute = walk->path[0] == '/';
    size_t length = strnlen(walk->path, VFS_PATH_MAX);

    /* Not the whole struct: the buffers are large and start empty. */
    memset(walker, 0, offsetof(struct walker, path));
    walker->path.text = walker->path.room;
    walker->path.length = 0;
    walker->path.capacity = sizeof(walker->path.room);
    walker->path.room[0] = '\0';
    walker->place = NULL;
    walker->links = 0;
    walker->deleted = false;
    walker->slash = false;
    walker->open_flags = -1;
    walker->keeps = false;
    walker->create = false;
    walker->opened_fd = -1;
    walker->vfs = vfs;
    walker->walk = walk;
    walker->root = walk->root;
    walker->rest = walk->path;
    vfs->epoch++;
    if (length == VFS_PATH_MAX)
        return -ENAMETOOLONG;
    if (length == 0 && !(walk->flags & VFS_EMPTY_PATH))
        return -ENOENT;
    if (walk->flags & (VFS_BENEATH | VFS_IN_ROOT))
        walker->root = walk->base;
    walker->from_root = absolute && place_stem(walker->root) == 0 && !walker->root->deleted;
    if (absolute && (walk->flags & VFS_BENEATH))
        return -EXDEV;
    return set_position(walker, absolute ? walker->root : walk->base);
}

void walker_free(struct walker *walker)
{
    leave_place(walker);
    vfs_node_unref(walker->node);
    vfs_node_unref(walker->anchor);
    free(walker->owned_rest);
    if (walker->path.text != walker->path.room)
        free(walker->path.text);
    base_close(take_fd(&walker->opened_fd));
}

/* What lies below the anchor as far as the position goes; `end` cuts it off. */
static int look_below_anchor(struct walker *walker, size_t end, struct vfs_node **ret_node)
{
    /*
     * Not as the actor: it has been here, or is in a directory below. That a directory further up
     * cannot be searched (any more) does not hold back a "..".
     */
    struct vfs_lookup lookup = {
        .actor = &walker->vfs->kernel_actor, .open_flags = -1, .opened_fd = -1};
    char behind = walker->path.text[end];
    int r;

    walker->path.text[end] = '\0';
    r = walker->anchor->fs->ops->lookup(walker->anchor,
                                        walker->path.text + walker->anchor_length + 1, &lookup);
    walker->path.text[end] = behind;
    if (r == VFS_LOOKUP_NODE) {
        *ret_node = lookup.node;
        return 0;
    }
    /* The directory was replaced by a link since we walked through it. */
    free(lookup.target);
    vfs_place_unref(lookup.place);
    return r < 0 ? r : -ENOENT;
}

int walker_materialise(struct walker *walker)
{
    struct vfs_node *node;
    int r;

    if (walker->node)
        return 0;
    while (walker->path.length - walker->anchor_length > RUN_MAX) {
        size_t end = walker->anchor_length + RUN_MAX;

        while (walker->path.text[end] != '/')
            end--;
        r = look_below_anchor(walker, end, &node);
        if (r < 0)
            return r;
        set_anchor(walker, node, end);
        vfs_node_unref(node);
    }
    if (walker->path.length == walker->anchor_length) {
        set_node(walker, vfs_node_ref(walker->anchor));
        return 0;
    }
    r = look_below_anchor(walker, walker->path.length, &node);
    if (r == 0)
        set_node(walker, node);
    return r;
}

int walker_enter(struct walker *walker)
{
    if (walker->node == NULL)
        return 0;
    if (!S_ISDIR(walker->node->type))
        return -ENOTDIR;
    return node_access(walker->node, X_OK, walker->walk->actor, true);
}

/* From the root of a mount to the directory it is mounted on, through stacked mounts. */
static int leave_mount(struct walker *walker)
{
    while (walker->path.length == walker->mount->length && walker->mount->parent) {
        if (walker->walk->flags & VFS_NO_XDEV)
            return -EXDEV;
        walker->mount = walker->mount->parent;
    }
    return 0;
}

static int step_up(struct walker *walker)
{
    size_t length = walker->path.length;
    int r = walker_enter(walker);

    if (r < 0)
        return r;
    if (at_root(walker))
        return walker->walk->flags & VFS_BENEATH ? -EXDEV : 0;
    if (walker->mount == NULL)
        return -EACCES; /* a directory handed in from outside: its parent is no part of the tree */
    if (length == 0)
        return 0;
    r = leave_mount(walker);
    if (r < 0)
        return r;
    leave_place(walker);
    while (walker->path.text[length - 1] != '/')
        length--;
    path_cut(&walker->path, length - 1);
    set_node(walker, NULL);
    if (!walker->deleted && walker->anchor->fs == walker->mount->fs &&
        walker->anchor_length <= walker->path.length &&
        walker->anchor_length >= walker->mount->length)
        return 0;
    walker->deleted = false;
    set_anchor(walker, walker->mount->root, walker->mount->length);
    return walker_materialise(walker);
}

static uint64_t context_of(const struct walker *walker)
{
    const struct pk_request *request = walker->walk->actor->request;

    return request ? request->context->id : 0;
}

/* True when this context walked to the mount point before and nothing has changed since. */
static bool was_reached(const struct walker *walker, const struct vfs_mount *child)
{
    return child->reached_context != 0 && walker->from_root &&
           !(walker->walk->flags & VFS_NO_XDEV) && child->reached_context == context_of(walker) &&
           child->reached_generation == walker->vfs->kernel->generation;
}

static void note_reached(const struct walker *walker, struct vfs_mount *child)
{
    if (!walker->from_root)
        return;
    child->reached_context = context_of(walker);
    child->reached_generation = walker->vfs->kernel->generation;
}

static void enter_mount(struct walker *walker, struct vfs_mount *mount)
{
    struct vfs_mount *over;

    while ((over = mount_child(mount, walker->path.text, walker->path.length)))
        mount = over;
    leave_place(walker);
    walker->mount = mount;
    set_node(walker, vfs_node_ref(mount->root));
    set_anchor(walker, mount->root, walker->path.length);
}

static size_t component_length(const char *text)
{
    const char *end = text;

    while (*end && *end != '/')
        end++;
    return (size_t)(end - text);
}

static bool is_dots(const char *text, size_t length)
{
    return text[0] == '.' && (length == 1 || (length == 2 && text[1] == '.'));
}

static const char *skip_slashes(const char *text)
{
    while (*text == '/')
        text++;
    return text;
}

/*
 * Appends plain components to the position while one lookup can take them. Returns 1 when there is
 * something to look up, 0 when the first component was a mount point and has been entered.
 */
static int gather_run(struct walker *walker)
{
    size_t start = walker->path.length;
    int r;

    for (;;) {
        size_t before = walker->path.length;
        size_t length = component_length(walker->rest);
        const char *next = skip_slashes(walker->rest + length);
        struct vfs_mount *child = NULL;

        if (length == 0 || is_dots(walker->rest, length))
            return 1;
        if (length > VFS_NAME_MAX || before - start + length > RUN_MAX ||
            (walker->create && *next == '\0')) {
            if (before > start)
                return 1;
            if (length > VFS_NAME_MAX) {
                r = walker_enter(walker);
                return r < 0 ? r : -ENAMETOOLONG;
            }
        }
        r = path_append(&walker->path, walker->rest, length);
        if (r < 0)
            return r;
        if (walker->mount && walker->mount->children && !walker->deleted)
            child = mount_child(walker->mount, walker->path.text, walker->path.length);
        if (child && was_reached(walker, child)) {
            walker->rest += length;
            enter_mount(walker, child);
            return 0;
        }
        if (child && before > start) {
            path_cut(&walker->path, before);
            return 1;
        }
        if (child) {
            r = walker_enter(walker);
            if (r == 0 && (walker->walk->flags & VFS_NO_XDEV))
                r = -EXDEV;
            if (r < 0)
                return r;
            note_reached(walker, child);
            walker->rest += length;
            enter_mount(walker, child);
            return 0;
        }
        walker->rest += length;
        if (*next == '\0')
            return 1;
        walker->rest = next;
    }
}

/* Puts the text of a link in front of what is left: `tail` of the run, then `rest`. */
static int substitute(struct walker *walker, const char *target, const char *tail)
{
    size_t head = strlen(target);
    size_t middle = strlen(tail);
    size_t end = strlen(walker->rest);
    char *text;

    if (head == 0)
        return -ENOENT;
    if (head >= VFS_PATH_MAX)
        return -ENAMETOOLONG;
    /* The run may have swallowed the slash between `tail` and `rest`. */
    text = malloc(head + middle + end + 2);
    if (text == NULL)
        return -ENOMEM;
    memcpy(text, target, head);
    memcpy(text + head, tail, middle);
    text[head + middle] = '/';
    memcpy(text + head + middle + (end ? 1 : 0), walker->rest, end);
    text[head + middle + (end ? 1 : 0) + end] = '\0';
    free(walker->owned_rest);
    walker->owned_rest = text;
    walker->rest = text;
    return 0;
}

static int count_link(struct walker *walker, unsigned forbidding)
{
    if ((walker->walk->flags & forbidding) || ++walker->links > VFS_LINKS_MAX)
        return -ELOOP;
    return 0;
}

/* `offset`: where in the position the looked-up text begins; `start`: position before the run. */
static int follow_link(struct walker *walker, size_t start, size_t offset,
                       const struct vfs_lookup *lookup)
{
    size_t end = offset + lookup->consumed;
    size_t parent = end;
    int r = count_link(walker, VFS_NO_SYMLINKS);

    if (r < 0)
        return r;
    while (parent > 0 && walker->path.text[parent - 1] != '/')
        parent--;
    parent--;
    walker_saw_link(walker, end);
    if (parent < start)
        return -ENOENT; /* a directory behind us has just become a link */
    r = substitute(walker, lookup->target, walker->path.text + end);
    if (r < 0)
        return r;
    if (lookup->target[0] == '/') {
        if (walker->walk->flags & VFS_BENEATH)
            return -EXDEV;
        if ((walker->walk->flags & VFS_NO_XDEV) && walker->mount != walker->root->mount)
            return -EXDEV;
        return set_position(walker, walker->root);
    }
    path_cut(&walker->path, parent);
    if (parent > start) {
        leave_place(walker);
        set_node(walker, NULL);
    }
    return 0;
}

static int follow_magic(struct walker *walker, size_t offset, const struct vfs_lookup *lookup)
{
    int r = count_link(walker, VFS_NO_SYMLINKS | VFS_NO_MAGICLINKS);

    if (r < 0)
        return r;
    if (walker->walk->flags & (VFS_BENEATH | VFS_IN_ROOT))
        return -EXDEV;
    if ((walker->walk->flags & VFS_NO_XDEV) && lookup->place->mount != walker->mount)
        return -EXDEV;
    r = substitute(walker, ".", walker->path.text + offset + lookup->consumed);
    if (r < 0)
        return r;
    /* "." stands for the object only as a head: a file at the end is no directory. */
    walker->rest++;
    walker->from_root = false;
    return set_position(walker, lookup->place);
}

static int run_found(struct walker *walker, struct vfs_lookup *lookup)
{
    leave_place(walker);
    set_node(walker, lookup->node);
    walker->opened_fd = lookup->opened_fd;
    return 0;
}

/* The directory was found, its last component was not. */
static int run_missing(struct walker *walker, size_t start)
{
    memcpy(walker->name, walker->path.text + start + 1, walker->path.length - start);
    path_cut(&walker->path, start);
    return WALK_MISSING;
}

/* The hint to open at once, unless the mount forbids what the open would do. */
static int open_hint(const struct walker *walker)
{
    int flags = walker->open_flags;

    if (flags >= 0 && walker->mount && (walker->mount->flags & VFS_MOUNT_READ_ONLY) &&
        ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
        return -1;
    return flags;
}

static int look_up_run(struct walker *walker, size_t start)
{
    struct vfs_node *base = walker->node ? walker->node : walker->anchor;
    size_t offset = (walker->node ? start : walker->anchor_length) + 1;
    bool last = *skip_slashes(walker->rest) == '\0';
    bool slash = walker->rest[0] == '/';
    struct vfs_lookup lookup = {
        .actor = walker->walk->actor,
        .follow_last = !last || slash || !(walker->walk->flags & VFS_NOFOLLOW),
        .only_look = last && (walker->walk->flags & VFS_ONLY_LOOK),
        .open_flags = last && !slash ? open_hint(walker) : -1,
        .keeps = walker->keeps,
        .opened_fd = -1,
    };
    int r;

    if (!S_ISDIR(base->type))
        return -ENOTDIR;
    if (base->fs->ops->lookup == NULL)
        return -EACCES;
    if (walker->create && last && slash) {
        /* open(2) with O_CREAT never looks whether "name/" is there. */
        r = walker_enter(walker);
        return r < 0 ? r : -EISDIR;
    }
    r = base->fs->ops->lookup(base, walker->path.text + offset, &lookup);
    if (r == VFS_LOOKUP_NODE)
        return run_found(walker, &lookup);
    if (r == -ENOENT && walker->create && last)
        return run_missing(walker, start);
    if (r == VFS_LOOKUP_LINK)
        r = follow_link(walker, start, offset, &lookup);
    else if (r == VFS_LOOKUP_MAGIC)
        r = follow_magic(walker, offset, &lookup);
    free(lookup.target);
    vfs_place_unref(lookup.place);
    return r;
}

static int step_down(struct walker *walker)
{
    size_t start = walker->path.length;
    int r = gather_run(walker);

    return r > 0 ? look_up_run(walker, start) : r;
}

static int finish(struct walker *walker, bool slash)
{
    int r;

    walker->slash = slash;
    r = walker_materialise(walker);
    if (r == 0 && slash && !S_ISDIR(walker->node->type))
        r = -ENOTDIR;
    return r;
}

int walker_run(struct walker *walker)
{
    bool slash = false;

    for (;;) {
        const char *next = skip_slashes(walker->rest);
        size_t length;
        int r;

        slash = slash || next != walker->rest;
        walker->rest = next;
        if (*next == '\0')
            return finish(walker, slash);
        length = component_length(next);
        if (is_dots(next, length)) {
            walker->rest += length;
            /* A "." in the middle changes nothing: what follows searches the directory anyhow. */
            r = length == 2                           ? step_up(walker)
                : *skip_slashes(walker->rest) == '\0' ? walker_enter(walker)
                                                      : 0;
            slash = true;
        } else {
            slash = false;
            r = step_down(walker);
        }
        if (r != 0)
            return r;
    }
}

int walker_place(struct walker *walker, struct vfs_place **ret_place)
{
    struct vfs_place *place = vfs_place_ref(walker->place);

    if (place == NULL) {
        place = place_new(walker->vfs, walker->mount, vfs_node_ref(walker->node), walker->path.text,
                          walker->path.length);
        if (place == NULL)
            return -ENOMEM;
        place->deleted = walker->deleted;
    }
    *ret_place = place;
    return 0;
}

/*
 * What happens in the tree, as the operations of this room tell it. Each function here is called
 * behind the operation (or around it) and only while something is watched. The order of the events
 * of one operation is that of Linux (fs/namei.c, include/linux/fsnotify.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "vfs/ops-internal.h"
#include "vfs/watch-internal.h"

/* Cookies of the host's own renames in the same instance come from below. */
#define COOKIES 0x80000000U

/* ---- finding ---- */

struct watched *watched_at(struct vfs *vfs, const struct vfs_mount *mount, const char *path,
                           size_t length)
{
    struct vfs_place *place = place_find_watched(vfs, mount, path, length);

    return place ? place->watched : NULL;
}

static struct watched *watched_directory(const struct vfs_place *place)
{
    if (place->deleted)
        return NULL;
    return watched_at(place->vfs, place->mount, place->path, place->length);
}

/* What is watched of the directory that an object is in; `ret_name` is its name there. */
static struct watched *watched_parent(const struct vfs_place *place, const char **ret_name)
{
    const char *slash = strrchr(place->path, '/');
    size_t length = (size_t)(slash - place->path);

    if (place->deleted || place->mount == NULL || slash[1] == '\0')
        return NULL;
    *ret_name = slash + 1;
    return length == 0 ? watched_at(place->vfs, place->mount, "/", 1)
                       : watched_at(place->vfs, place->mount, place->path, length);
}

struct watched *watched_of(struct vfs_place *place)
{
    struct watched *watched = watched_directory(place);
    struct statx stat;

    if (watched || S_ISDIR(place->node->type) || place->vfs->watched_files.count == 0 ||
        node_stat(place->node, &stat) < 0)
        return watched;
    return map_get2(&place->vfs->watched_files, makedev(stat.stx_dev_major, stat.stx_dev_minor),
                    stat.stx_ino);
}

/* ---- telling ---- */

static void drain_all(const struct watched *watched)
{
    struct watch *watch;

    if (watched)
        list_for_each(watch, &watched->watches, sibling) watch_drain(watch->watcher);
}

/* A drain takes the bell away; what is still in our queue has to be heard of. */
static void ring_all(const struct watched *watched)
{
    struct watch *watch;

    if (watched)
        list_for_each(watch, &watched->watches, sibling) watch_ring(watch->watcher);
}

/* Behind a drain. */
static void queue_all(const struct watched *watched, uint32_t mask, uint32_t cookie,
                      const char *name)
{
    struct watch *watch;

    if (watched == NULL)
        return;
    list_for_each(watch, &watched->watches, sibling)
    {
        watch_deliver(watch, mask, cookie, name);
        watch_ring(watch->watcher);
    }
}

static void tell(const struct watched *watched, uint32_t mask, uint32_t cookie, const char *name)
{
    drain_all(watched);
    queue_all(watched, mask, cookie, name);
}

/* The object is gone for good. */
static void tell_end(const struct watched *watched)
{
    struct watch *watch;

    tell(watched, IN_DELETE_SELF, 0, NULL);
    list_for_each(watch, &watched->watches, sibling) watch_end(watch);
    drain_all(watched); /* IN_IGNORED comes before what is told next */
}

static void finish(struct vfs *vfs)
{
    watch_settle(vfs);
    if (!vfs->watch_overdue)
        return;
    vfs->watch_overdue = false;
    watchers_sweep(vfs);
}

static uint32_t directory_bit(bool is_directory)
{
    return is_directory ? IN_ISDIR : 0;
}

void watch_made(struct vfs_place *parent, const char *name, bool is_directory)
{
    tell(watched_directory(parent), IN_CREATE | directory_bit(is_directory), 0, name);
    finish(parent->vfs);
}

/*
 * Tells a change of data that was made through the content's own inode: the host has told those
 * watches already that have a mark on it. `name` NULL: to watches on the file itself.
 */
static void tell_data(const struct watched *watched, uint32_t mask, const char *name,
                      const struct stat *content)
{
    struct watch *watch;

    if (watched == NULL)
        return;
    drain_all(watched);
    list_for_each(watch, &watched->watches, sibling)
    {
        const struct watch_mark *mark =
            map_get2(&watch->watcher->inodes, content->st_dev, content->st_ino);

        if (mark && mark->bits & mask && watch == (name ? mark->parent : mark->self))
            continue;
        watch_deliver(watch, mask, 0, name);
    }
    ring_all(watched);
}

static void happened(struct vfs_place *place, uint32_t mask)
{
    const struct vfs_fs_ops *ops = place->node->fs->ops;
    const char *name = NULL;
    const struct watched *parent = watched_parent(place, &name);
    const struct watched *self = watched_of(place);
    cleanup_close int content = -1;
    struct stat stat;

    if (mask & (IN_MODIFY | IN_ACCESS) && S_ISREG(place->node->type) && ops->backing)
        content = ops->backing(place->node);
    if (content >= 0 && fstat(content, &stat) == 0) {
        tell_data(parent, mask, name, &stat);
        tell_data(self, mask, NULL, &stat);
        return;
    }
    mask |= directory_bit(S_ISDIR(place->node->type));
    tell(parent, mask, 0, name);
    tell(self, mask, 0, NULL);
}

void watch_happened(struct vfs_place *place, uint32_t mask)
{
    happened(place, mask);
    finish(place->vfs);
}

void watch_linked(struct vfs_place *place)
{
    tell(watched_of(place), IN_ATTRIB, 0, NULL);
    finish(place->vfs);
}

/* ---- opening ---- */

/* What a file can do natively that was opened so. */
static uint32_t possible_data(int flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return IN_ACCESS | IN_CLOSE_NOWRITE;
    case O_WRONLY:
        return IN_MODIFY | IN_CLOSE_WRITE;
    default:
        return IN_ACCESS | IN_MODIFY | IN_CLOSE_WRITE;
    }
}

static void follow_data(const struct watched *watched, int fd, uint32_t bits, const char *name,
                        bool is_token)
{
    struct watch *watch;

    if (watched == NULL)
        return;
    drain_all(watched); /* under the name that the file had then */
    list_for_each(watch, &watched->watches, sibling) watch_data(watch, fd, bits, name, is_token);
    ring_all(watched);
}

/* The data of what was opened as `fd` goes to the watches on it and on its directory. */
static void follow_opened(struct vfs_place *place, int fd, int flags)
{
    uint32_t bits = possible_data(flags);
    const char *name = NULL;
    const struct watched *parent = watched_parent(place, &name);
    struct stat stat;
    bool is_token;

    if (fd < 0 || fstat(fd, &stat) < 0 || (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)))
        return;
    is_token = S_ISDIR(place->node->type) && S_ISREG(stat.st_mode);
    bits = is_token ? IN_CLOSE_NOWRITE : bits;
    follow_data(parent, fd, bits, name, is_token);
    if (!S_ISDIR(stat.st_mode)) /* a real directory has its mark */
        follow_data(watched_of(place), fd, bits, NULL, is_token);
}

/* What the host tells of the truncation comes behind IN_OPEN, but what it told before does not. */
void watch_opening(struct vfs_place *place)
{
    const char *name;
    const struct watched *parent = watched_parent(place, &name);
    const struct watched *self = watched_of(place);

    drain_all(parent);
    drain_all(self);
    ring_all(parent);
    ring_all(self);
}

void watch_opened(struct vfs_place *place, int fd, int flags)
{
    uint32_t mask = IN_OPEN | directory_bit(S_ISDIR(place->node->type));
    const char *name = NULL;
    const struct watched *parent = watched_parent(place, &name);
    const struct watched *self = watched_of(place);

    if ((parent == NULL && self == NULL) || flags & O_PATH)
        return;
    if (!(flags & O_TRUNC))
        watch_opening(place);
    queue_all(parent, mask, 0, name);
    queue_all(self, mask, 0, NULL);
    if (flags & O_TRUNC)
        happened(place, IN_MODIFY); /* before there is a mark that has told nothing yet */
    follow_opened(place, fd, flags);
    finish(place->vfs);
}

void watch_content_closed(struct vfs *vfs, int fd)
{
    struct vfs_watcher *watcher;
    struct stat stat;

    if (!watch_is_active(vfs) || fstat(fd, &stat) < 0)
        return;
    list_for_each(watcher, &vfs->watchers, link)
    {
        struct watch_mark *mark = map_get2(&watcher->inodes, stat.st_dev, stat.st_ino);

        if (mark == NULL || mark->own)
            continue;
        watch_mark_retire(watcher, mark);
    }
}

/* ---- names that go ---- */

static bool is_open(struct vfs_node *node)
{
    return node->fs->ops->is_open && node->fs->ops->is_open(node);
}

static void find_content(struct watch_name *name)
{
    const struct vfs_fs_ops *ops = name->node->fs->ops;
    cleanup_close int fd = -1;
    struct stat stat;

    if (!S_ISREG(name->node->type) || ops->backing == NULL)
        return;
    fd = ops->backing(name->node);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return;
    name->content_device = stat.st_dev;
    name->content_inode = stat.st_ino;
}

void watch_name_find(struct vfs_place *parent, const char *name, const char *path,
                     struct watch_name *ret_name)
{
    struct vfs *vfs = parent->vfs;
    struct statx stat;

    *ret_name = (struct watch_name){.parent = parent, .name = name};
    if (!watch_is_active(vfs) ||
        place_look_up(parent, name, &vfs->kernel_actor, &ret_name->node) < 0)
        return;
    find_content(ret_name);
    ret_name->watched = watched_at(vfs, parent->mount, path, strlen(path));
    if (node_stat(ret_name->node, &stat) < 0)
        return;
    ret_name->device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    ret_name->inode = stat.stx_ino;
    ret_name->last = S_ISDIR(ret_name->node->type) || stat.stx_nlink <= 1;
    if (ret_name->watched == NULL && !S_ISDIR(ret_name->node->type))
        ret_name->watched = map_get2(&vfs->watched_files, ret_name->device, ret_name->inode);
}

static void wait_for_close(struct watched *watched, struct vfs_node *node)
{
    cleanup_close int fd = node->fs->ops->backing(node);
    struct watch *watch;

    watched->dying = vfs_node_ref(node);
    node->fs->vfs->watch_dying_count++;
    if (fd < 0)
        return;
    list_for_each(watch, &watched->watches, sibling)
    {
        struct watch_mark *mark = watch_mark_hidden(watch->watcher, fd, IN_CLOSE);

        if (mark)
            mark->self = watch;
    }
}

/* The object has lost this name. One that is open lives on, and ends when its content does. */
static void end_object(const struct watch_name *name)
{
    if (!name->last)
        return;
    if (is_open(name->node))
        wait_for_close(name->watched, name->node);
    else
        tell_end(name->watched);
}

/* The mark by which an instance tells a directory's watch about the file. */
static struct watch_mark *child_mark(const struct vfs_watcher *watcher,
                                     const struct watch_name *name, const struct watched *directory)
{
    struct watch_mark *mark =
        name->content_inode == 0
            ? NULL
            : map_get2(&watcher->inodes, name->content_device, name->content_inode);

    return mark && mark->parent && mark->parent->watched == directory ? mark : NULL;
}

/* Watches with IN_EXCL_UNLINK want no more of it. */
static void exclude(const struct watch_name *name, const struct watched *directory)
{
    struct vfs_watcher *watcher;

    drain_all(directory);
    list_for_each(watcher, &name->parent->vfs->watchers, link)
    {
        struct watch_mark *mark = child_mark(watcher, name, directory);

        if (mark && mark->parent->flags & IN_EXCL_UNLINK)
            watch_mark_move(watcher, mark, NULL, NULL);
    }
}

void watch_removed(struct watch_name *name, bool is_directory, bool done)
{
    struct watched *parent = watched_directory(name->parent);

    if (done && name->watched) {
        if (!is_directory)
            tell(name->watched, IN_ATTRIB, 0, NULL);
        end_object(name);
    }
    if (done && parent)
        exclude(name, parent);
    vfs_node_unref(take_ptr(name->node));
    if (done)
        tell(parent, IN_DELETE | directory_bit(is_directory), 0, name->name);
    finish(name->parent->vfs);
}

/* ---- renaming ---- */

/* A file that is open moves into a directory that is watched: its data is told there from now on.
 */
static void follow_moved(const struct watched *to, struct vfs_node *node, const char *name)
{
    const struct vfs_fs_ops *ops = node->fs->ops;
    cleanup_close int fd = -1;

    if (to == NULL || !S_ISREG(node->type) || ops->backing == NULL || !is_open(node))
        return;
    fd = ops->backing(node);
    if (fd >= 0)
        follow_data(to, fd, WATCH_DATA, name, false);
}

/* The data of a file is told to the directory that it is in now. */
static void move_data(const struct watch_name *from, const struct watched *old_directory,
                      const struct watched *new_directory, const char *name)
{
    struct vfs_watcher *watcher;

    if (old_directory)
        list_for_each(watcher, &from->parent->vfs->watchers, link)
        {
            struct watch_mark *mark = child_mark(watcher, from, old_directory);

            if (mark)
                watch_mark_move(watcher, mark, new_directory, name);
        }
    follow_moved(new_directory, from->node, name);
}

static void tell_move(const struct watch_name *from, const struct watch_name *to)
{
    struct vfs *vfs = from->parent->vfs;
    uint32_t bit = directory_bit(S_ISDIR(from->node->type));
    uint32_t cookie = COOKIES | ++vfs->watch_cookie;

    tell(watched_directory(from->parent), IN_MOVED_FROM | bit, cookie, from->name);
    tell(watched_directory(to->parent), IN_MOVED_TO | bit, cookie, to->name);
}

static void tell_rename(struct watch_name *from, struct watch_name *to, bool exchange)
{
    struct watched *old_directory = watched_directory(from->parent);
    struct watched *new_directory = watched_directory(to->parent);

    drain_all(old_directory);
    drain_all(new_directory);
    move_data(from, old_directory, new_directory, to->name);
    tell_move(from, to);
    if (!exchange && to->watched)
        tell(to->watched, IN_ATTRIB | directory_bit(S_ISDIR(to->node->type)), 0, NULL);
    tell(from->watched, IN_MOVE_SELF, 0, NULL);
    if (exchange) {
        struct watch_name back = *to, forth = *from;

        move_data(to, new_directory, old_directory, from->name);
        tell_move(&back, &forth);
        tell(to->watched, IN_MOVE_SELF, 0, NULL);
    } else if (to->watched) {
        end_object(to);
    }
}

/* Two names of one file: the rename did nothing. */
static bool is_one_object(const struct watch_name *a, const struct watch_name *b)
{
    return a->node && b->node && a->inode == b->inode && a->device == b->device &&
           !S_ISDIR(a->node->type);
}

void watch_renamed(struct watch_name *from, struct watch_name *to, bool exchange, bool done)
{
    if (done && from->node && !is_one_object(from, to) && (!exchange || to->node))
        tell_rename(from, to, exchange);
    vfs_node_unref(take_ptr(from->node));
    vfs_node_unref(take_ptr(to->node));
    finish(from->parent->vfs);
}

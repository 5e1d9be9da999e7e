/* Watches: adding, changing and ending them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vfs/watch-internal.h"

/* ---- ending ---- */

/*
 * The host's IN_IGNORED has its place behind all events before it. Where other watches still need
 * the mark there is none, and it is added here.
 */
static void end_mark(struct vfs_watcher *watcher, struct watch_mark *mark)
{
    mark->own = NULL;
    if (mark->self || mark->lower || mark->parent) {
        watch_drain(watcher);
        watch_queue(watcher, mark->number, IN_IGNORED, 0, NULL);
        return;
    }
    mark->announced = true;
    watch_mark_release(watcher, mark);
}

void watch_end(struct watch *watch)
{
    struct vfs_watcher *watcher = watch->watcher;
    struct watch_mark *mark;

    if (watch->dead)
        return;
    watch->dead = true;
    watcher->vfs->watch_unsettled = true;
    watch_marks_forget(watch);
    mark = map_get(&watcher->marks, (uint64_t)watch->number);
    if (mark && mark->own == watch)
        end_mark(watcher, mark);
}

static void watched_release(struct vfs *vfs, struct watched *watched)
{
    if (watched == NULL || !list_is_empty(&watched->watches))
        return;
    if (watched->indexed &&
        map_get2(&vfs->watched_files, watched->device, watched->inode) == watched)
        map_remove2(&vfs->watched_files, watched->device, watched->inode);
    if (watched->dying) {
        vfs->watch_dying_count--;
        vfs_node_unref(watched->dying);
    }
    watched->place->watched = NULL;
    vfs_place_unref(watched->place);
    vfs->watched_count--;
    free(watched);
}

/*
 * That a file is closed shows in the host's queue (IN_CLOSE), which makes the instance readable; so
 * it is enough to look when it is read.
 */
void watch_end_closed(struct vfs_watcher *watcher)
{
    struct watch *watch;

    if (watcher->vfs->watch_dying_count == 0)
        return;
    list_for_each(watch, &watcher->watches, link)
    {
        const struct watched *watched = watch->watched;

        if (watch->dead || watched == NULL || watched->dying == NULL ||
            watched->dying->fs->ops->is_open(watched->dying))
            continue;
        watch_deliver(watch, IN_DELETE_SELF, 0, NULL);
        watch_end(watch);
    }
}

static void free_dead(struct vfs_watcher *watcher)
{
    struct watch *watch, *next;

    list_for_each_safe(watch, next, &watcher->watches, link)
    {
        struct watched *watched = watch->watched;

        if (!watch->dead)
            continue;
        list_remove(&watch->link);
        list_remove(&watch->sibling);
        free(watch);
        watched_release(watcher->vfs, watched);
    }
}

void watch_settle(struct vfs *vfs)
{
    struct vfs_watcher *watcher;

    while (vfs->watch_unsettled) {
        vfs->watch_unsettled = false;
        list_for_each(watcher, &vfs->watchers, link)
        {
            watch_drain(watcher);
            watch_end_closed(watcher);
            free_dead(watcher);
            watch_ring(watcher);
        }
    }
}

/* ---- adding ---- */

static struct watched *watched_new(struct vfs_place *place, const struct statx *stat)
{
    struct vfs *vfs = place->vfs;
    struct watched *watched = calloc(1, sizeof(*watched));

    if (watched)
        watched->place = place_new_weak(place);
    if (watched == NULL || watched->place == NULL) {
        free(watched);
        return NULL;
    }
    list_init(&watched->watches);
    watched->place->watched = watched;
    watched->device = makedev(stat->stx_dev_major, stat->stx_dev_minor);
    watched->inode = stat->stx_ino;
    /* Without the entry a file is not found by its other names. */
    watched->indexed = !S_ISDIR(place->node->type) &&
                       map_set2(&vfs->watched_files, watched->device, watched->inode, watched) == 0;
    vfs->watched_count++;
    return watched;
}

static struct watch *watch_of(const struct vfs_watcher *watcher, const struct watched *watched)
{
    struct watch *watch;

    if (watched == NULL)
        return NULL;
    list_for_each(watch, &watched->watches,
                  sibling) if (watch->watcher == watcher && !watch->dead) return watch;
    return NULL;
}

static struct watch *watch_new(struct vfs_watcher *watcher, struct watch_mark *mark)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    watch->watcher = watcher;
    watch->number = mark->number;
    list_init(&watch->sibling);
    list_append(&watcher->watches, &watch->link);
    mark->own = watch;
    return watch;
}

static void set_mask(struct watch *watch, uint32_t mask)
{
    uint32_t kept = mask & IN_MASK_ADD ? watch->mask : 0;

    watch->mask = (mask & IN_ALL_EVENTS) | kept;
    watch->flags = mask & (IN_ONESHOT | IN_EXCL_UNLINK);
}

/* ---- data ---- */

void watch_data(struct watch *watch, int fd, uint32_t bits, const char *name, bool is_token)
{
    struct watch_mark *mark;

    bits &= watch->mask;
    if (bits == 0 || watch->dead)
        return;
    mark = watch_mark_hidden(watch->watcher, fd, bits);
    if (mark == NULL)
        return; /* limits: names are told all the same */
    mark->is_token = is_token;
    if (name)
        watch_mark_child(mark, watch, name);
    else
        mark->self = watch;
}

static int backing_of(struct vfs_node *node)
{
    const struct vfs_fs_ops *ops = node->fs->ops;

    return ops->backing ? ops->backing(node) : -EOPNOTSUPP;
}

/* The name that a place has (or had) in a directory, NULL: it is not directly in there. */
static const char *name_in(const struct vfs_place *place, const struct vfs_place *directory)
{
    size_t stem = place_stem(directory);
    const char *name = place->path + stem + 1;

    if (place->mount != directory->mount || place->length <= stem + 1 ||
        memcmp(place->path, directory->path, stem) != 0 || place->path[stem] != '/')
        return NULL;
    return strchr(name, '/') ? NULL : name;
}

/* Files that were opened before the watch was made. */
static void watch_known_files(struct watch *watch, const struct vfs_place *directory)
{
    struct vfs *vfs = directory->vfs;
    struct map_slot *slot;
    size_t cursor = 0;

    if (!(watch->mask & WATCH_DATA))
        return;
    while ((slot = map_next(&vfs->identities, &cursor))) {
        const struct vfs_identity *identity = slot->value;
        const char *name = identity->place ? name_in(identity->place, directory) : NULL;
        cleanup_close int fd = -1;

        if (name == NULL || !S_ISREG(identity->node->type) ||
            (identity->place->deleted && watch->flags & IN_EXCL_UNLINK))
            continue;
        fd = backing_of(identity->node);
        if (fd >= 0)
            watch_data(watch, fd, WATCH_DATA, name, false);
    }
}

/* What the host can tell about an object already. */
static void watch_backing(struct watch *watch, struct vfs_place *place)
{
    cleanup_close int fd = backing_of(place->node);
    struct watch_mark *mark;
    uint32_t bits = watch->mask & WATCH_LOWER;

    if (fd >= 0 && !S_ISDIR(place->node->type))
        watch_data(watch, fd, WATCH_DATA, NULL, false);
    if (!S_ISDIR(place->node->type))
        return;
    mark = fd >= 0 && bits ? watch_mark_hidden(watch->watcher, fd, bits) : NULL;
    if (mark)
        mark->lower = watch;
    watch_known_files(watch, place);
}

/* ---- */

static int add_native(struct vfs_watcher *watcher, int fd, uint32_t mask)
{
    struct watch_mark *mark;
    int r = watch_mark_native(watcher, fd, mask, &mark);

    if (r < 0)
        return r;
    if (mark->own == NULL && watch_new(watcher, mark) == NULL) {
        watch_mark_release(watcher, mark);
        return -ENOMEM;
    }
    set_mask(mark->own, mask);
    return mark->number;
}

static int add_first(struct vfs_watcher *watcher, struct vfs_place *place, struct watched *watched,
                     uint32_t mask)
{
    struct watch_mark *mark;
    struct watch *watch;
    struct statx stat;
    int r = node_stat(place->node, &stat);

    if (r == 0)
        r = watch_mark_placeholder(watcher, &mark);
    if (r < 0)
        return r;
    if (watched == NULL)
        watched = watched_new(place, &stat);
    watch = watched ? watch_new(watcher, mark) : NULL;
    if (watch == NULL) {
        watch_mark_release(watcher, mark);
        watched_release(place->vfs, watched);
        return -ENOMEM;
    }
    watch->watched = watched;
    list_append(&watched->watches, &watch->sibling);
    set_mask(watch, mask);
    watch_backing(watch, place);
    return watch->number;
}

static int add_served(struct vfs_watcher *watcher, struct vfs_place *place, uint32_t mask)
{
    struct watched *watched = watched_of(place);
    struct watch *watch = watch_of(watcher, watched);

    if (watch == NULL)
        return add_first(watcher, place, watched, mask);
    if (mask & IN_MASK_CREATE)
        return -EEXIST;
    set_mask(watch, mask);
    watch_backing(watch, place);
    return watch->number;
}

/* A descriptor of the object itself where the host knows all about it; -EOPNOTSUPP. */
static int native_fd(struct vfs_place *place)
{
    struct vfs_node *node = place->node;

    if (foreign_is(node)) {
        int fd = fcntl(foreign_fd(node), F_DUPFD_CLOEXEC, 0);

        return fd < 0 ? -errno : fd;
    }
    return fs_is_host(node->fs) ? backing_of(node) : -EOPNOTSUPP;
}

int vfs_watch_add(struct vfs_watcher *watcher, struct vfs_place *place, uint32_t mask)
{
    cleanup_close int fd = -1;
    int r;

    if ((mask & IN_ONLYDIR) && !S_ISDIR(place->node->type))
        return -ENOTDIR;
    watch_drain(watcher); /* what was asked for until now decides about what has happened */
    fd = native_fd(place);
    if (fd >= 0)
        r = add_native(watcher, fd, mask);
    else
        r = fd == -EOPNOTSUPP ? add_served(watcher, place, mask) : fd;
    watch_settle(watcher->vfs);
    watch_ring(watcher);
    return r;
}

int vfs_watch_remove(struct vfs_watcher *watcher, int number)
{
    struct watch_mark *mark;

    watch_drain(watcher); /* it may have ended */
    mark = number < 0 ? NULL : map_get(&watcher->marks, (uint64_t)number);
    if (mark == NULL || mark->own == NULL) {
        watch_settle(watcher->vfs);
        watch_ring(watcher);
        return -EINVAL;
    }
    watch_end(mark->own);
    watch_settle(watcher->vfs);
    watch_ring(watcher);
    return 0;
}

/* The host's mark asks for more or less than the guest did. */
static void describe_native(const struct watch *watch, const char *host_line, struct strbuf *text)
{
    static const char head[] = " mask:";
    const char *mask = strstr(host_line, head);
    const char *rest = mask ? strchr(mask + strlen(head), ' ') : NULL;

    strbuf_addf(text, "%.*s%s%x%s\n", (int)(mask ? mask - host_line : 0), host_line, head,
                watch->mask | watch->flags, rest ? rest : "");
}

void vfs_watcher_describe(const struct vfs_watcher *watcher, const char *host_line,
                          struct strbuf *text)
{
    static const char head[] = "inotify wd:";
    const struct watch_mark *mark;
    const struct watched *watched;

    if (strncmp(host_line, head, strlen(head)) != 0) {
        strbuf_addf(text, "%s\n", host_line);
        return;
    }
    mark = map_get(&watcher->marks, strtoul(host_line + strlen(head), NULL, 16));
    if (mark == NULL || mark->own == NULL)
        return;
    watched = mark->own->watched;
    if (watched)
        strbuf_addf(text, "%s%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n", head,
                    (unsigned)mark->number, (unsigned long long)watched->inode,
                    (unsigned long long)major(watched->device) << 20 | minor(watched->device),
                    mark->own->mask | mark->own->flags);
    else
        describe_native(mark->own, host_line, text);
}

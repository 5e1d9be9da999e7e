/*
 * Events on their way from the host's queue to the guest: translated, put in order with those that
 * the process kernel adds, and handed out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/watch-internal.h"

#define BATCH       8192  /* bytes taken from the host at once; an event has at most 272 */
#define DEFAULT_MAX 16384 /* max_queued_events of the host's own default */

/* ---- our queue ---- */

static size_t queue_max(struct vfs *vfs)
{
    cleanup_strbuf struct strbuf text = {0};
    uint64_t value;

    if (vfs->watch_queue_max != 0)
        return vfs->watch_queue_max;
    vfs->watch_queue_max = DEFAULT_MAX;
    if (io_read_file(AT_FDCWD, "/proc/sys/fs/inotify/max_queued_events", 32, &text) >= 0) {
        text.data[strcspn(text.data, "\n")] = '\0';
        if (io_parse_u64(text.data, UINT32_MAX, &value) == 0 && value > 0)
            vfs->watch_queue_max = (size_t)value;
    }
    return vfs->watch_queue_max;
}

/* Linux' own rule (event_compare() in fs/notify/inotify): an event like the last one adds nothing.
 */
static bool is_like_last(const struct vfs_watcher *watcher, int number, uint32_t mask,
                         const char *name)
{
    const struct watch_event *last = watcher->last;

    if (last == NULL || last->event.wd != number || last->event.mask != mask || mask & IN_IGNORED)
        return false;
    return name ? last->event.len != 0 && strcmp(last->event.name, name) == 0
                : last->event.len == 0;
}

/* Names are padded with zeroes to a multiple of the head. */
static size_t padded(const char *name)
{
    size_t unit = sizeof(struct inotify_event);

    return name ? (strlen(name) + unit) / unit * unit : 0;
}

static void append(struct vfs_watcher *watcher, int number, uint32_t mask, uint32_t cookie,
                   const char *name)
{
    size_t length = padded(name);
    struct watch_event *event = calloc(1, sizeof(*event) + length);

    if (event == NULL)
        return; /* as Linux: lost for want of memory */
    event->event = (struct inotify_event){
        .wd = number, .mask = mask, .cookie = cookie, .len = (uint32_t)length};
    if (name)
        memcpy(event->event.name, name, strlen(name));
    if (watcher->last)
        watcher->last->next = event;
    else
        watcher->first = event;
    watcher->last = event;
    watcher->count++;
    watcher->bytes += sizeof(event->event) + length;
}

void watch_queue(struct vfs_watcher *watcher, int number, uint32_t mask, uint32_t cookie,
                 const char *name)
{
    size_t max = queue_max(watcher->vfs);

    if (name && name[0] == '\0')
        name = NULL;
    if (is_like_last(watcher, number, mask, name))
        return;
    if (watcher->count < max)
        append(watcher, number, mask, cookie, name);
    else if (watcher->count == max)
        append(watcher, -1, IN_Q_OVERFLOW, 0, NULL);
}

void watch_deliver(struct watch *watch, uint32_t mask, uint32_t cookie, const char *name)
{
    if (watch->dead || !((watch->mask | IN_UNMOUNT) & mask))
        return;
    watch_queue(watch->watcher, watch->number, mask, cookie, name);
    if (watch->flags & IN_ONESHOT)
        watch_end(watch);
}

static void drop_first(struct vfs_watcher *watcher)
{
    struct watch_event *event = watcher->first;

    watcher->first = event->next;
    if (watcher->first == NULL)
        watcher->last = NULL;
    watcher->count--;
    watcher->bytes -= sizeof(event->event) + event->event.len;
    free(event);
}

void watch_queue_free(struct vfs_watcher *watcher)
{
    while (watcher->first)
        drop_first(watcher);
}

/* ---- translation ---- */

/* What a host process did to this name of a lower directory is hidden by an upper one. */
static bool is_hidden(struct watch *watch, const char *name)
{
    const struct vfs_place *at = watch->watched->place;
    struct vfs *vfs = watch->watcher->vfs;
    struct vfs_place *root cleanup_place = vfs_root(vfs);
    struct vfs_place *place cleanup_place = NULL;
    struct vfs_walk walk = {
        .actor = &vfs->kernel_actor, .root = root, .base = root, .path = at->path};
    const struct vfs_fs_ops *ops;

    if (at->deleted || root == NULL || vfs_resolve(vfs, &walk, &place) < 0)
        return true;
    ops = place->node->fs->ops;
    return ops->hides_lower && ops->hides_lower(place->node, name);
}

static void translate_hidden(struct watch_mark *mark, uint32_t mask,
                             const struct inotify_event *event, const char *name)
{
    if (mark->is_token)
        mask |= IN_ISDIR;
    if (mark->parent && name == NULL)
        watch_deliver(mark->parent, mask, event->cookie, mark->name);
    if (mark->self && name == NULL)
        watch_deliver(mark->self, mask, event->cookie, NULL);
    else if (mark->lower && !mark->lower->dead && (name == NULL || !is_hidden(mark->lower, name)))
        watch_deliver(mark->lower, mask, event->cookie, name);
}

static void translate(struct vfs_watcher *watcher, const struct inotify_event *event)
{
    struct watch_mark *mark;
    const char *name = event->len != 0 ? event->name : NULL;

    if (event->wd < 0) {
        watch_queue(watcher, event->wd, event->mask, 0, NULL);
        return;
    }
    mark = map_get(&watcher->marks, (uint64_t)event->wd);
    if (mark == NULL)
        return; /* the bell */
    if (event->mask & IN_IGNORED) {
        watch_mark_gone(watcher, mark);
        return;
    }
    if (mark->parent || mark->self || mark->lower)
        translate_hidden(mark, event->mask, event, name);
    if (mark->own && mark->own->watched == NULL)
        watch_deliver(mark->own, event->mask, event->cookie, name);
}

/* Never more than FIONREAD tells, so that the read does not wait. */
static ssize_t take_batch(struct vfs_watcher *watcher, char bytes[BATCH])
{
    int there = 0;

    if (ioctl(watcher->fd, FIONREAD, &there) < 0 || there <= 0)
        return 0;
    return read(watcher->fd, bytes, BATCH);
}

void watch_drain(struct vfs_watcher *watcher)
{
    _Alignas(struct inotify_event) char bytes[BATCH];
    ssize_t length;

    while ((length = take_batch(watcher, bytes)) > 0) {
        for (ssize_t at = 0; at < length;) {
            const struct inotify_event *event = (const struct inotify_event *)(bytes + at);

            translate(watcher, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

/* ---- the bell ---- */

static bool have_bell(struct vfs_watcher *watcher)
{
    char path[IO_FD_PATH_SIZE];

    if (watcher->bell < 0)
        watcher->bell = memfd_create("cerebro", MFD_CLOEXEC);
    if (watcher->bell < 0)
        return false;
    if (watcher->bell_mark < 0)
        watcher->bell_mark =
            inotify_add_watch(watcher->fd, io_fd_path(watcher->bell, path), IN_ATTRIB);
    return watcher->bell_mark >= 0;
}

/* Where there is no bell (limits) the events come with the next one of the host. */
void watch_ring(struct vfs_watcher *watcher)
{
    if (watcher->first && have_bell(watcher))
        (void)fchmod(watcher->bell, 0600);
    if (watcher->count >= watcher->sweep_at) {
        watcher->sweep_at *= 4;
        watcher->vfs->watch_overdue = true;
    }
}

/* ---- reading ---- */

/* Everything that has happened is in our queue then. */
static void take_all(struct vfs_watcher *watcher)
{
    watch_drain(watcher);
    watch_end_closed(watcher);
    watch_settle(watcher->vfs);
}

ssize_t vfs_watcher_read(struct vfs_watcher *watcher, void *buffer, size_t size)
{
    size_t used = 0;
    bool too_small = false;

    if (watcher->vfs == NULL)
        return -EINVAL;
    take_all(watcher);
    while (watcher->first && !too_small) {
        const struct inotify_event *event = &watcher->first->event;
        size_t length = sizeof(*event) + event->len;

        too_small = size - used < length;
        if (too_small)
            break;
        memcpy((char *)buffer + used, event, length);
        used += length;
        drop_first(watcher);
    }
    watch_ring(watcher);
    if (used != 0)
        return (ssize_t)used;
    return too_small ? -EINVAL : -EAGAIN;
}

size_t vfs_watcher_pending(struct vfs_watcher *watcher)
{
    if (watcher->vfs)
        take_all(watcher);
    watch_ring(watcher);
    return watcher->bytes;
}

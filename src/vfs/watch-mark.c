/* Marks: what an instance watches on the host. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/watch-internal.h"

/* IN_UNMOUNT is told anyhow; here it stands for a mask without any event. */
#define NATIVE_BITS (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_MASK_ADD)

static int host_add(struct vfs_watcher *watcher, int fd, uint32_t mask)
{
    char path[IO_FD_PATH_SIZE];
    int number = inotify_add_watch(watcher->fd, io_fd_path(fd, path), mask);

    return number < 0 ? -errno : number;
}

static int mark_new(struct vfs_watcher *watcher, int number, struct watch_mark **ret_mark)
{
    struct watch_mark *mark = calloc(1, sizeof(*mark));

    if (mark == NULL || map_set(&watcher->marks, (uint64_t)number, mark) < 0) {
        free(mark);
        (void)inotify_rm_watch(watcher->fd, number);
        return -ENOMEM;
    }
    mark->number = number;
    *ret_mark = mark;
    return 0;
}

static void unindex(struct vfs_watcher *watcher, const struct watch_mark *mark)
{
    if (map_get2(&watcher->inodes, mark->device, mark->inode) == mark)
        map_remove2(&watcher->inodes, mark->device, mark->inode);
}

/*
 * The mark that the host has just answered for an object. One that we know under another number has
 * ended meanwhile; its IN_IGNORED is still to come.
 */
static int mark_of_object(struct vfs_watcher *watcher, int number, const struct stat *stat,
                          struct watch_mark **ret_mark)
{
    struct watch_mark *mark = map_get(&watcher->marks, (uint64_t)number);
    int r = 0;

    if (mark == NULL)
        r = mark_new(watcher, number, &mark);
    if (r < 0)
        return r;
    mark->device = stat->st_dev;
    mark->inode = stat->st_ino;
    r = map_set2(&watcher->inodes, stat->st_dev, stat->st_ino, mark);
    if (r == 0)
        *ret_mark = mark;
    return r;
}

struct watch_mark *watch_mark_hidden(struct vfs_watcher *watcher, int fd, uint32_t bits)
{
    struct watch_mark *mark;
    struct stat stat;
    int number;

    if (fstat(fd, &stat) < 0)
        return NULL;
    mark = map_get2(&watcher->inodes, stat.st_dev, stat.st_ino);
    if (mark && (mark->bits & bits) == bits)
        return mark;
    number = host_add(watcher, fd, bits | IN_MASK_ADD);
    if (number < 0 || mark_of_object(watcher, number, &stat, &mark) < 0)
        return NULL;
    mark->bits |= bits;
    return mark;
}

int watch_mark_native(struct vfs_watcher *watcher, int fd, uint32_t mask,
                      struct watch_mark **ret_mark)
{
    struct watch_mark *known;
    struct stat stat;
    int number;

    if (fstat(fd, &stat) < 0)
        return -errno;
    known = map_get2(&watcher->inodes, stat.st_dev, stat.st_ino);
    if (known && known->own && mask & IN_MASK_CREATE)
        return -EEXIST;
    number = host_add(watcher, fd, (mask & NATIVE_BITS) | IN_UNMOUNT);
    if (number < 0)
        return number;
    if (known && known->bits)
        (void)host_add(watcher, fd, known->bits | IN_MASK_ADD);
    return mark_of_object(watcher, number, &stat, ret_mark);
}

/* A pipe's inode has links, so that it outlives its descriptors: the mark alone keeps it. */
int watch_mark_placeholder(struct vfs_watcher *watcher, struct watch_mark **ret_mark)
{
    int number;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    number = host_add(watcher, ends[0], IN_UNMOUNT);
    base_close(ends[0]);
    base_close(ends[1]);
    return number < 0 ? number : mark_new(watcher, number, ret_mark);
}

void watch_mark_child(struct watch_mark *mark, struct watch *watch, const char *name)
{
    char *copy = strdup(name);

    if (copy == NULL)
        return;
    free(mark->name);
    mark->name = copy;
    mark->parent = watch;
}

void watch_mark_retire(struct vfs_watcher *watcher, struct watch_mark *mark)
{
    unindex(watcher, mark);
    (void)inotify_rm_watch(watcher->fd, mark->number);
    watcher->vfs->watch_unsettled = true; /* its IN_IGNORED is in the queue */
}

void watch_mark_release(struct vfs_watcher *watcher, struct watch_mark *mark)
{
    if (!mark->own && !mark->self && !mark->lower && !mark->parent)
        watch_mark_retire(watcher, mark);
}

static void mark_free(struct watch_mark *mark)
{
    free(mark->name);
    free(mark);
}

void watch_mark_gone(struct vfs_watcher *watcher, struct watch_mark *mark)
{
    struct watch *own = mark->own;

    unindex(watcher, mark);
    map_remove(&watcher->marks, (uint64_t)mark->number);
    if (own || mark->announced)
        watch_queue(watcher, mark->number, IN_IGNORED, 0, NULL);
    mark_free(mark);
    if (own) {
        own->dead = true;
        watcher->vfs->watch_unsettled = true;
        watch_marks_forget(own);
    }
}

static void forget_in(struct watch_mark *mark, const struct watch *watch)
{
    if (mark->self == watch)
        mark->self = NULL;
    if (mark->lower == watch)
        mark->lower = NULL;
    if (mark->parent == watch)
        mark->parent = NULL;
}

void watch_marks_forget(struct watch *watch)
{
    struct vfs_watcher *watcher = watch->watcher;
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&watcher->marks, &cursor))) {
        struct watch_mark *mark = slot->value;

        if (mark->self != watch && mark->lower != watch && mark->parent != watch)
            continue;
        forget_in(mark, watch);
        watch_mark_release(watcher, mark);
    }
}

/* ---- names ---- */

void watch_mark_move(struct vfs_watcher *watcher, struct watch_mark *mark, const struct watched *to,
                     const char *name)
{
    struct watch *watch;

    mark->parent = NULL;
    if (to)
        list_for_each(watch, &to->watches, sibling) if (watch->watcher == watcher && !watch->dead)
            watch_mark_child(mark, watch, name);
    watch_mark_release(watcher, mark);
}

void watch_marks_free(struct vfs_watcher *watcher)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&watcher->marks, &cursor)))
        mark_free(slot->value);
    map_free(&watcher->marks);
    map_free(&watcher->inodes);
}

/*
 * inotify(7) for all of the guest's tree. The guest holds a real inotify instance of the host, so
 * that poll, epoll, SIGIO, fork and the queue's limits are native; its number lies in the window,
 * so that read(2) and FIONREAD come here. What the host sees (directories of host mounts, data of
 * open files) is in the host's queue; what only the process kernel knows (names and attributes in
 * memory, overlays and generated file systems) is added when the queue is read. See
 * watch-internal.h.
 *
 * Kernel thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct strbuf;
struct vfs;
struct vfs_place;
struct vfs_watcher; /* one inotify instance of a guest; counted */

/*
 * Makes an instance. `nonblock` is IN_NONBLOCK. `ret_fd` is for the guest: the caller owns it and
 * installs it in the window. The instance is known until no guest holds it any more, which is
 * found out now and then. Returns 0, -EMFILE, -ENFILE or -ENOMEM.
 */
int vfs_watcher_new(struct vfs *vfs, bool nonblock, struct vfs_watcher **ret_watcher, int *ret_fd);

/* Forgets an instance that no guest has got. */
void vfs_watcher_discard(struct vfs_watcher *watcher);

/* The instance behind a descriptor of ours (a duplicate of a guest's), borrowed; NULL: none. */
struct vfs_watcher *vfs_watcher_of_fd(struct vfs *vfs, int fd);

struct vfs_watcher *vfs_watcher_ref(struct vfs_watcher *watcher);
void vfs_watcher_unref(struct vfs_watcher *watcher);

/* The host's instance, borrowed: readable when a read may give something. */
int vfs_watcher_fd(const struct vfs_watcher *watcher);

/*
 * inotify_add_watch(2) on an object that the caller may read. `mask` has been checked for bits that
 * do not exist. Returns the watch's number, -ENOTDIR, -EEXIST, -ENOSPC or -ENOMEM.
 */
int vfs_watch_add(struct vfs_watcher *watcher, struct vfs_place *place, uint32_t mask);

/* inotify_rm_watch(2). Returns 0 or -EINVAL. */
int vfs_watch_remove(struct vfs_watcher *watcher, int number);

/*
 * Takes whole events, as many as fit. Returns their bytes, -EAGAIN when there are none, -EINVAL
 * when the first does not fit.
 */
ssize_t vfs_watcher_read(struct vfs_watcher *watcher, void *buffer, size_t size);

/* FIONREAD: bytes that are there to be read. */
size_t vfs_watcher_pending(struct vfs_watcher *watcher);

/*
 * Appends a line of the host's fdinfo for an instance ("inotify wd:1 ...") as the guest is to see
 * it, or nothing.
 */
void vfs_watcher_describe(const struct vfs_watcher *watcher, const char *host_line,
                          struct strbuf *text);

/*
 * inotify instances: making them, finding the one behind a descriptor, and forgetting those that
 * nobody holds any more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/watch-internal.h"

#define SWEEP_INSTANCES 8    /* instances that may gather before dead ones are looked for */
#define SWEEP_EVENTS    1024 /* events that nobody reads, the same */

static const char inotify_link[] = "anon_inode:inotify";

/* ---- forgetting ---- */

struct vfs_watcher *vfs_watcher_ref(struct vfs_watcher *watcher)
{
    watcher->refs++;
    return watcher;
}

void vfs_watcher_unref(struct vfs_watcher *watcher)
{
    if (--watcher->refs > 0)
        return;
    watch_queue_free(watcher);
    base_close(watcher->fd);
    base_close(watcher->bell);
    free(watcher);
}

void vfs_watcher_discard(struct vfs_watcher *watcher)
{
    struct vfs *vfs = watcher->vfs;
    struct watch *watch;

    list_for_each(watch, &watcher->watches, link) watch_end(watch);
    watch_settle(vfs);
    watch_marks_free(watcher);
    list_remove(&watcher->link);
    vfs->watcher_count--;
    watcher->vfs = NULL;
    vfs_watcher_unref(watcher);
}

void watchers_free(struct vfs *vfs)
{
    while (!list_is_empty(&vfs->watchers))
        vfs_watcher_discard(list_entry(vfs->watchers.next, struct vfs_watcher, link));
    map_free(&vfs->watched_files);
}

/* ---- finding ---- */

#define SAME_MARK 63 /* one of the real-time signals; sent only with O_ASYNC, which is not set */

/* A signal number that nothing else sets: seen through both, they are one open file. */
static bool share_signal(int a, int b)
{
    int old = fcntl(a, F_GETSIG);
    bool same = old >= 0 && fcntl(b, F_GETSIG) == old && fcntl(a, F_SETSIG, SAME_MARK) == 0 &&
                fcntl(b, F_GETSIG) == SAME_MARK;

    if (old >= 0)
        fcntl(a, F_SETSIG, old);
    return same;
}

static bool is_same_file(int a, int b)
{
    pid_t self = getpid();
    long r = syscall(SYS_kcmp, self, self, KCMP_FILE, a, b);

    /* The profiles of container engines forbid it. */
    return r < 0 && (errno == EPERM || errno == ENOSYS) ? share_signal(a, b) : r == 0;
}

struct vfs_watcher *vfs_watcher_of_fd(struct vfs *vfs, int fd)
{
    struct vfs_watcher *watcher;
    struct stat stat, ours;
    bool known = false;

    if (list_is_empty(&vfs->watchers) || fstat(fd, &stat) < 0)
        return NULL;
    list_for_each(watcher, &vfs->watchers, link)
    {
        /* The inode that all of them share tells other descriptors apart for less. */
        if (!known && (fstat(watcher->fd, &ours) < 0 || ours.st_ino != stat.st_ino ||
                       ours.st_dev != stat.st_dev))
            return NULL;
        known = true;
        if (is_same_file(watcher->fd, fd))
            return watcher;
    }
    return NULL;
}

int vfs_watcher_fd(const struct vfs_watcher *watcher)
{
    return watcher->fd;
}

/* ---- the sweep ---- */

struct sweep {
    struct vfs *vfs;
    struct map live;
    bool failed;
};

static void note_descriptor(struct sweep *sweep, int pidfd, int number)
{
    cleanup_close int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    struct vfs_watcher *watcher = fd < 0 ? NULL : vfs_watcher_of_fd(sweep->vfs, fd);

    if (fd < 0 && errno != EBADF && errno != ESRCH)
        sweep->failed = true;
    if (watcher && map_set(&sweep->live, (uint64_t)(uintptr_t)watcher, watcher) < 0)
        sweep->failed = true;
}

static bool is_inotify(int directory, const char *name)
{
    char text[sizeof(inotify_link)];
    ssize_t length = readlinkat(directory, name, text, sizeof(text));

    return length == (ssize_t)strlen(inotify_link) &&
           memcmp(text, inotify_link, (size_t)length) == 0;
}

static int note_process(pid_t pid, void *user)
{
    struct sweep *sweep = user;
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    cleanup_dir DIR *directory = NULL;
    struct dirent *entry;
    uint64_t number;
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    directory = opendir(path);
    if (directory == NULL || pidfd < 0) {
        /* One that ended holds nothing; one that cannot be looked into may hold anything. */
        sweep->failed = sweep->failed || (errno != ENOENT && errno != ESRCH);
        return 0;
    }
    while ((entry = readdir(directory)))
        if (is_inotify(dirfd(directory), entry->d_name) &&
            io_parse_u64(entry->d_name, INT32_MAX, &number) == 0)
            note_descriptor(sweep, pidfd, (int)number);
    return 0;
}

/*
 * A descriptor may be in a socket (SCM_RIGHTS) or inherited while we look. So an instance goes when
 * it was missed twice, unless another is wanted at once.
 */
static void sweep(struct vfs *vfs, bool at_once)
{
    struct sweep sweep = {.vfs = vfs};
    struct vfs_watcher *watcher, *next;

    if (pk_for_each_process(vfs->kernel, note_process, &sweep) < 0)
        sweep.failed = true;
    list_for_each_safe(watcher, next, &vfs->watchers, link)
    {
        bool missed = !sweep.failed && !map_get(&sweep.live, (uint64_t)(uintptr_t)watcher);

        if (missed && (watcher->missed || at_once))
            vfs_watcher_discard(watcher);
        else
            watcher->missed = missed;
    }
    vfs->watcher_sweep_at = vfs->watcher_count;
    map_free(&sweep.live);
}

void watchers_sweep(struct vfs *vfs)
{
    sweep(vfs, false);
}

/* ---- making ---- */

/* The limits are the host's, and instances that we alone still hold count against them. */
static int new_instance(struct vfs *vfs, bool nonblock)
{
    int flags = IN_CLOEXEC | (nonblock ? IN_NONBLOCK : 0);
    int fd = inotify_init1(flags);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        sweep(vfs, true);
        fd = inotify_init1(flags);
    }
    return fd < 0 ? -errno : fd;
}

int vfs_watcher_new(struct vfs *vfs, bool nonblock, struct vfs_watcher **ret_watcher, int *ret_fd)
{
    struct vfs_watcher *watcher;
    cleanup_close int guest = -1;
    int fd;

    if (vfs->watcher_count >= vfs->watcher_sweep_at + SWEEP_INSTANCES)
        watchers_sweep(vfs);
    fd = new_instance(vfs, nonblock);
    if (fd < 0)
        return fd;
    guest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    watcher = guest < 0 ? NULL : calloc(1, sizeof(*watcher));
    if (watcher == NULL) {
        base_close(fd);
        return guest < 0 ? -EMFILE : -ENOMEM;
    }
    watcher->vfs = vfs;
    watcher->refs = 1;
    watcher->fd = fd;
    watcher->bell = watcher->bell_mark = -1;
    watcher->sweep_at = SWEEP_EVENTS;
    list_init(&watcher->watches);
    list_append(&vfs->watchers, &watcher->link);
    vfs->watcher_count++;
    *ret_watcher = watcher;
    *ret_fd = take_fd(&guest);
    return 0;
}

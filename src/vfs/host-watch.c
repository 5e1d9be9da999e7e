/*
 * Watching directories of the host, so that what was looked up once can be used again.
 *
 * The host queues an event within the rename(2), chmod(2), unlink(2) or mount(2) that causes it,
 * before that call returns. So whoever asks at the start of a walk whether anything has happened,
 * and hears no, may use what was true when the watch was set: a change that had been completed
 * before the walk began would be in the queue. The question is one epoll_wait() that finds nothing,
 * less than what a walk spends on two components.
 *
 * fanotify and not inotify: an inotify watch on a directory for IN_ATTRIB is told about all files
 * in it, and makes reading and writing each of them slower for everybody. Unprivileged since Linux
 * 5.13. What is told here is only that something has changed, never what: everything is forgotten
 * then, and the number of marks with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vfs/host-internal.h"

#ifndef FAN_REPORT_FID
#define FAN_REPORT_FID 0x00000200 /* include/uapi/linux/fanotify.h, 5.1 */
#endif

/* Renamed, removed, replaced, or other people may search it: of the object itself. */
#define CHANGES (FAN_MOVE_SELF | FAN_DELETE_SELF | FAN_ATTRIB)

#define MARKS_MAX      1024     /* each keeps an inode in the host's memory */
#define CLOSE_LATER_NS 50000000 /* long enough for the other holder to have closed first */

struct host_watch {
    int events; /* the fanotify group */
    int mounts; /* /proc/self/mountinfo: told of by POLLPRI */
    int both;   /* epoll */
    uint64_t generation;
    unsigned marks;
};

static int add_source(const struct host_watch *watch, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(watch->both, EPOLL_CTL_ADD, fd, &event);
}

static void watch_close(struct host_watch *watch)
{
    base_close(watch->both);
    base_close(watch->mounts);
    base_close(watch->events);
    free(watch);
}

/* NULL where the host has not what it takes. */
static struct host_watch *watch_open(void)
{
    struct host_watch *watch = malloc(sizeof(*watch));

    if (watch == NULL)
        return NULL;
    *watch = (struct host_watch){.generation = 1};
    watch->events =
        fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY);
    watch->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    watch->both = epoll_create1(EPOLL_CLOEXEC);
    if (watch->events >= 0 && watch->mounts >= 0 && watch->both >= 0 &&
        add_source(watch, watch->events, EPOLLIN) == 0 &&
        add_source(watch, watch->mounts, EPOLLPRI | EPOLLERR) == 0)
        return watch;
    watch_close(watch);
    return NULL;
}

static void forget(struct host_watch *watch)
{
    char events[4096];

    /* Marks first: afterwards nothing comes that has not been read. */
    fanotify_mark(watch->events, FAN_MARK_FLUSH, 0, AT_FDCWD, "/");
    while (read(watch->events, events, sizeof(events)) > 0)
        ;
    watch->generation++;
    watch->marks = 0;
}

uint64_t host_watch_generation(struct vfs *vfs)
{
    struct epoll_event event;

    if (vfs->watch == NULL) {
        if (vfs->watch_looks < HOST_LOOKS_BEFORE_WATCH) {
            vfs->watch_looks++;
            return 0;
        }
        if (vfs->watch_failed)
            return 0;
        vfs->watch = watch_open();
        vfs->watch_failed = vfs->watch == NULL;
        return vfs->watch ? vfs->watch->generation : 0;
    }
    if (epoll_wait(vfs->watch->both, &event, 1, 0) != 0)
        forget(vfs->watch);
    return vfs->watch->generation;
}

bool host_watch_add(struct vfs *vfs, int directory_fd, const char *name, bool directory)
{
    struct host_watch *watch = vfs->watch;
    unsigned flags = FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW | (directory ? FAN_MARK_ONLYDIR : 0);

    if (watch->marks >= MARKS_MAX)
        forget(watch);
    watch->marks++;
    return fanotify_mark(watch->events, flags, CHANGES | (directory ? FAN_ONDIR : 0), directory_fd,
                         name) == 0;
}

/* Holds nothing but `fd`, above all no end of a pipe that somebody reads from, for a moment. */
static _Noreturn void hold_for_a_moment(int fd)
{
    struct timespec moment = {.tv_nsec = CLOSE_LATER_NS};

    prctl(PR_SET_NAME, "cerebro-close");
    if (fd > 0)
        syscall(SYS_close_range, 0U, (unsigned)fd - 1, 0U);
    syscall(SYS_close_range, (unsigned)fd + 1, ~0U, 0U);
    nanosleep(&moment, NULL);
    _exit(0);
}

/*
 * Closing a group that has had marks waits for a grace period of the host, about 15 ms. A process
 * of its own is the last to close it and waits, so that the end of a program does not. Nobody has
 * to wait for that process: its parent is gone.
 */
static void close_elsewhere(int fd)
{
    pid_t child = fork();

    if (child == 0) {
        if (fork() == 0)
            hold_for_a_moment(fd);
        _exit(0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    close(fd);
}

void host_watch_free(struct vfs *vfs)
{
    if (vfs->watch == NULL)
        return;
    if (vfs->watch->marks || vfs->watch->generation > 1)
        close_elsewhere(take_fd(&vfs->watch->events));
    watch_close(vfs->watch);
    vfs->watch = NULL;
}

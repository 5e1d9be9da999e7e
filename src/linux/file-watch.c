/*
 * inotify(7): instances, watches, and reading events. Watching with fanotify(7) is refused by the
 * table.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "linux/file-internal.h"
#include "vfs/watch.h"

/* ALL_INOTIFY_BITS of include/linux/inotify.h */
#define WATCH_BITS                                                                           \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW | \
     IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT)

#define READ_MAX 65536 /* bytes of events that one read gives */

/* ---- instances ---- */

/*
 * In the window, so that its reads come here. Where that is full a plain instance has to do: it
 * watches what is the host's, and nothing else.
 */
static struct pk_answer make_instance(struct pk_request *request, int flags)
{
    struct vfs_watcher *watcher;
    struct pk_answer answer;
    int fd;
    int r;

    if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
        return pk_error(-EINVAL);
    r = vfs_watcher_new(request->kernel->vfs, flags & IN_NONBLOCK, &watcher, &fd);
    if (r < 0)
        return pk_error(r);
    answer = linux_window_descriptor(request, fd, flags & IN_CLOEXEC ? O_CLOEXEC : 0);
    if (answer.kind == PK_ANSWER_DESCRIPTOR)
        return answer;
    vfs_watcher_discard(watcher);
    return answer.value == -EMFILE ? pk_native() : answer;
}

static struct pk_answer serve_inotify_init(struct pk_request *request)
{
    return make_instance(request, 0);
}

static struct pk_answer serve_inotify_init1(struct pk_request *request)
{
    return make_instance(request, (int)request->args[0]);
}

/* ---- watches ---- */

static bool is_inotify(int fd)
{
    static const char expected[] = "anon_inode:inotify";
    char path[IO_FD_PATH_SIZE], text[64];
    ssize_t length = readlink(io_fd_path(fd, path), text, sizeof(text));

    return length == (ssize_t)strlen(expected) && memcmp(text, expected, (size_t)length) == 0;
}

static int find_watched(struct pk_request *request, uint32_t mask, struct vfs_place **ret_place)
{
    unsigned flags = mask & IN_DONT_FOLLOW ? VFS_NOFOLLOW : 0;
    cleanup_place struct vfs_place *place = NULL;
    FILE_WALK(at);
    int r = linux_walk_at(request, AT_FDCWD, request->args[1], flags, &at);

    if (r == 0)
        r = vfs_resolve(request->kernel->vfs, &at.walk, &place);
    if (r == 0 && mask & IN_ONLYDIR && !S_ISDIR(vfs_place_type(place)))
        r = -ENOTDIR;
    if (r == 0)
        r = vfs_access(place, R_OK, &at.actor, true);
    if (r == 0)
        *ret_place = take_ptr(place);
    return r;
}

static struct pk_answer serve_inotify_add_watch(struct pk_request *request)
{
    uint32_t mask = (uint32_t)request->args[2];
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_watcher *watcher = NULL;
    cleanup_close int fd = -1;
    int r = 0;

    if (mask & ~WATCH_BITS || !(mask & WATCH_BITS))
        return pk_error(-EINVAL);
    fd = file_get_open_fd(request, (int)request->args[0]);
    if (fd < 0)
        return pk_error(take_fd(&fd));
    if (mask & IN_MASK_ADD && mask & IN_MASK_CREATE)
        return pk_error(-EINVAL);
    watcher = vfs_watcher_of_fd(request->kernel->vfs, fd);
    if (watcher == NULL && !is_inotify(fd))
        r = -EINVAL;
    if (r == 0)
        r = find_watched(request, mask, &place);
    if (r == 0)
        r = watcher ? vfs_watch_add(watcher, place, mask) : vfs_inotify_add(place, fd, mask);
    return pk_value(r);
}

static struct pk_answer serve_inotify_rm_watch(struct pk_request *request)
{
    cleanup_close int fd = file_get_open_fd(request, (int)request->args[0]);
    struct vfs_watcher *watcher;

    if (fd < 0)
        return pk_error(take_fd(&fd));
    watcher = vfs_watcher_of_fd(request->kernel->vfs, fd);
    if (watcher == NULL)
        return pk_native();
    return pk_value(vfs_watch_remove(watcher, (int)request->args[1]));
}

/* ---- reading ---- */

/* Where the events go: a vector gets what fits into its first part, as any short read may do. */
static int find_buffer(struct pk_request *request, uint64_t *ret_address, size_t *ret_size)
{
    struct iovec iov[1024];
    ssize_t total;
    unsigned first = 0;

    *ret_address = request->args[1];
    *ret_size = (size_t)request->args[2];
    if (request->nr == ABI_NR_read)
        return 0;
    total = pk_read_iovec(request, request->args[1], request->args[2], iov);
    if (total <= 0)
        *ret_size = 0;
    if (total <= 0)
        return (int)total;
    while (iov[first].iov_len == 0)
        first++;
    *ret_address = (uint64_t)(uintptr_t)iov[first].iov_base;
    *ret_size = iov[first].iov_len;
    return 0;
}

static ssize_t try_read(struct pk_request *request, struct vfs_watcher *watcher)
{
    cleanup_free char *events = NULL;
    uint64_t address;
    ssize_t length;
    size_t size;
    int r = find_buffer(request, &address, &size);

    if (r < 0)
        return r;
    if (size > READ_MAX)
        size = READ_MAX;
    events = malloc(size ? size : 1);
    if (events == NULL)
        return -ENOMEM;
    length = vfs_watcher_read(watcher, events, size);
    if (length <= 0)
        return length;
    r = pk_write(request, address, events, (size_t)length);
    return r < 0 ? r : length;
}

/* Sleeps on a worker until the instance is readable, then tries again. */
struct wait_job {
    struct pk_job job;
    struct vfs_watcher *watcher; /* reference */
    int fd;                      /* the instance: the worker touches nothing else */
};

static int64_t wait_run(struct pk_job *job)
{
    struct pollfd pollfd = {.fd = ((struct wait_job *)job)->fd, .events = POLLIN};

    return poll(&pollfd, 1, -1) < 0 ? -errno : 0;
}

static void wait_release(struct pk_job *job)
{
    struct wait_job *wait = (struct wait_job *)job;

    base_close(wait->fd);
    vfs_watcher_unref(wait->watcher);
    free(wait);
}

static struct pk_answer read_events(struct pk_request *request, struct vfs_watcher *watcher,
                                    int fd);

/* Another reader may have been faster: then the caller goes to sleep once more. */
static struct pk_answer wait_finish(struct pk_job *job, struct pk_request *request, int64_t result)
{
    struct wait_job *wait = (struct wait_job *)job;

    if (result < 0)
        return pk_error((int)result);
    return read_events(request, wait->watcher, wait->fd);
}

static struct pk_answer wait_for_events(struct vfs_watcher *watcher, int fd)
{
    struct wait_job *wait = calloc(1, sizeof(*wait));
    int own = wait ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (own < 0) {
        free(wait);
        return pk_error(-ENOMEM);
    }
    wait->job = (struct pk_job){wait_run, wait_finish, wait_release};
    wait->watcher = vfs_watcher_ref(watcher);
    wait->fd = own;
    return pk_deferred(&wait->job);
}

static struct pk_answer read_events(struct pk_request *request, struct vfs_watcher *watcher, int fd)
{
    ssize_t length = try_read(request, watcher);

    if (length == -EAGAIN && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        return wait_for_events(watcher, fd);
    return pk_value(length);
}

struct pk_answer file_watch_call(struct pk_request *request, int fd)
{
    struct vfs_watcher *watcher = vfs_watcher_of_fd(request->kernel->vfs, fd);
    int pending;

    if (watcher == NULL)
        return pk_native();
    switch (request->nr) {
    case ABI_NR_preadv2:
        if (request->args[3] != (uint64_t)-1) /* -1: the current position, as readv */
            return pk_native();
        /* fall through */
    case ABI_NR_read:
    case ABI_NR_readv:
        return read_events(request, watcher, fd);
    case ABI_NR_ioctl:
        pending = (int)vfs_watcher_pending(watcher);
        return pk_value(pk_write(request, request->args[2], &pending, sizeof(pending)));
    default:
        return pk_native(); /* which fails */
    }
}

void file_set_watch_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_inotify_init, serve_inotify_init},
        {ABI_NR_inotify_init1, serve_inotify_init1},
        {ABI_NR_inotify_add_watch, serve_inotify_add_watch},
        {ABI_NR_inotify_rm_watch, serve_inotify_rm_watch},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

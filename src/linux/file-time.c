/*
 * Time stamps of files: utime(2), utimes(2), futimesat(2), utimensat(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

#include "linux/file-internal.h"

static bool nsec_is_valid(long nsec)
{
    return nsec == UTIME_NOW || nsec == UTIME_OMIT || (nsec >= 0 && nsec < 1000000000);
}

/* `times` NULL means now. */
static int set_times(struct pk_request *request, struct vfs_place *place,
                     const struct timespec *times)
{
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct vfs_actor actor;

    linux_actor(request, &actor);
    if (times && (!nsec_is_valid(times[0].tv_nsec) || !nsec_is_valid(times[1].tv_nsec)))
        return -EINVAL;
    /* Twice "now" is the same as NULL: a writer may do it, not only the owner. */
    if (times && times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW)
        times = NULL;
    return vfs_utimens(place, times ? times : now, &actor, times != NULL);
}

/* do_utimes() of the kernel: without a path it is the descriptor's file. */
static struct pk_answer do_utimes(struct pk_request *request, int dirfd, uint64_t path,
                                  const struct timespec *times, unsigned at_flags)
{
    cleanup_place struct vfs_place *place = NULL;
    int r;

    if (path == 0 && dirfd != AT_FDCWD)
        r = at_flags ? -EINVAL : file_place_of_open_fd(request, dirfd, &place);
    else if (at_flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        r = -EINVAL;
    else
        r = file_resolve(request, dirfd, path, at_flags, &place);
    if (r == 0)
        r = set_times(request, place, times);
    return file_changed(request, r);
}

static struct pk_answer serve_utimensat(struct pk_request *request)
{
    uint64_t address = request->args[2];
    struct timespec times[2];

    if (address) {
        if (pk_read(request, address, times, sizeof(times)) < 0)
            return pk_error(-EFAULT);
        /* Nothing is to be done, so nothing else is even looked at. */
        if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
            return pk_value(0);
    }
    return do_utimes(request, (int)request->args[0], request->args[1], address ? times : NULL,
                     (unsigned)request->args[3]);
}

static struct pk_answer utimes_at(struct pk_request *request, int dirfd, uint64_t path,
                                  uint64_t address)
{
    struct timeval given[2];
    struct timespec times[2];

    if (address == 0)
        return do_utimes(request, dirfd, path, NULL, 0);
    if (pk_read(request, address, given, sizeof(given)) < 0)
        return pk_error(-EFAULT);
    for (int i = 0; i < 2; i++) {
        if (given[i].tv_usec < 0 || given[i].tv_usec >= 1000000)
            return pk_error(-EINVAL);
        times[i] = (struct timespec){.tv_sec = given[i].tv_sec, .tv_nsec = given[i].tv_usec * 1000};
    }
    return do_utimes(request, dirfd, path, times, 0);
}

static struct pk_answer serve_utimes(struct pk_request *request)
{
    return utimes_at(request, AT_FDCWD, request->args[0], request->args[1]);
}

static struct pk_answer serve_futimesat(struct pk_request *request)
{
    return utimes_at(request, (int)request->args[0], request->args[1], request->args[2]);
}

static struct pk_answer serve_utime(struct pk_request *request)
{
    struct utimbuf given;
    struct timespec times[2] = {{0}};

    if (request->args[1] == 0)
        return do_utimes(request, AT_FDCWD, request->args[0], NULL, 0);
    if (pk_read(request, request->args[1], &given, sizeof(given)) < 0)
        return pk_error(-EFAULT);
    times[0].tv_sec = given.actime;
    times[1].tv_sec = given.modtime;
    return do_utimes(request, AT_FDCWD, request->args[0], times, 0);
}

void file_set_time_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_utime, serve_utime},
        {ABI_NR_utimes, serve_utimes},
        {ABI_NR_futimesat, serve_futimesat},
        {ABI_NR_utimensat, serve_utimensat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

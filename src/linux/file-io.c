/*
 * Calls on descriptors of the window: those that the process kernel serves go to their handle, and
 * everything else that happens to have such a number runs natively. A descriptor may become a
 * served one between the look at it and the native call; the call then meets the sealed memfd (or
 * the socket) that stands for it, which is harmless.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "linux/file-internal.h"
#include "vfs/watch.h"

/* Below this nothing may be mapped: the loader's page and its surroundings (abi/syscalls.h). */
#define R_LIMIT 0x180000

/*
 * The handle behind a guest descriptor and our duplicate of it (the caller closes it): 1 when there
 * is one, 0 when there is none, -EBADF.
 */
static int find_handle(struct pk_request *request, int fd, struct vfs_handle **ret_handle,
                       int *ret_fd)
{
    int ours = pk_get_fd(request, fd);

    if (ours < 0)
        return ours;
    *ret_fd = ours;
    *ret_handle = vfs_handle_of_fd(request->kernel->vfs, ours);
    return *ret_handle != NULL;
}

static struct pk_answer serve_on(struct pk_request *request, int fd)
{
    cleanup_close int ours = -1;
    struct vfs_handle *handle;
    int r = find_handle(request, fd, &handle, &ours);

    if (r <= 0)
        return r < 0 ? pk_error(r) : file_watch_call(request, ours);
    if (vfs_is_path_only(request->kernel->vfs, ours))
        return pk_error(-EBADF);
    return vfs_handle_call(handle, request, ours);
}

static struct pk_answer serve_window(struct pk_request *request)
{
    return serve_on(request, (int)request->args[0]);
}

/* Those that stand for a descriptor opened with O_PATH have none of this; all others are as they
 * are. */
static struct pk_answer serve_unless_path(struct pk_request *request)
{
    cleanup_close int ours = pk_get_fd(request, (int)request->args[0]);

    return ours >= 0 && vfs_is_path_only(request->kernel->vfs, ours) ? pk_error(-EBADF)
                                                                     : pk_native();
}

static struct pk_answer serve_write(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);

    if (fd >= 0 && unix_is_datagram(fd))
        return unix_send(request, fd);
    return serve_window(request);
}

/* The filter refuses the loader's page before it asks; this is the second lock. */
static struct pk_answer serve_mmap(struct pk_request *request)
{
    uint64_t flags = request->args[3];

    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && request->args[0] < R_LIMIT)
        return pk_error(-EPERM);
    return flags & MAP_ANONYMOUS ? pk_native() : serve_on(request, (int)request->args[4]);
}

/* Only numbers decide, and what they do to the memfd of a handle concerns nobody else. */
static struct pk_answer serve_natively(struct pk_request *request)
{
    (void)request;
    return pk_native();
}

/* What is on no file system cannot be allocated: as Linux answers for /proc and devices. */
static struct pk_answer serve_fallocate(struct pk_request *request)
{
    cleanup_close int ours = -1;
    struct vfs_handle *handle;
    int r = find_handle(request, (int)request->args[0], &handle, &ours);

    if (r <= 0)
        return r < 0 ? pk_error(r) : pk_native();
    if ((int64_t)request->args[2] < 0 || (int64_t)request->args[3] <= 0)
        return pk_error(-EINVAL);
    return pk_error((fcntl(ours, F_GETFL) & O_ACCMODE) == O_RDONLY ? -EBADF : -EOPNOTSUPP);
}

/* ---- two descriptors ---- */

static bool is_directory(struct pk_request *request, int fd)
{
    cleanup_place struct vfs_place *place = NULL;

    return vfs_directory_of_fd(request->kernel->vfs, fd, &place) == 0;
}

/*
 * The host would copy the memfd behind a served descriptor and not what the process kernel serves.
 * With these errors programs go on with read(2) and write(2), as they must for files of /proc.
 */
static struct pk_answer serve_copy(struct pk_request *request, int first, int second, int error)
{
    const int numbers[2] = {first, second};

    for (int i = 0; i < 2; i++) {
        cleanup_close int ours = -1;
        struct vfs_handle *handle;
        int r = pk_in_window(request->kernel, (uint64_t)(unsigned)numbers[i])
                    ? find_handle(request, numbers[i], &handle, &ours)
                    : 0;

        if (r > 0 && request->nr == ABI_NR_copy_file_range && is_directory(request, ours))
            error = -EISDIR;
        if (r != 0)
            return pk_error(r < 0 ? r : error);
    }
    return pk_native();
}

static struct pk_answer serve_sendfile(struct pk_request *request)
{
    return serve_copy(request, (int)request->args[0], (int)request->args[1], -EINVAL);
}

static struct pk_answer serve_splice(struct pk_request *request)
{
    return serve_copy(request, (int)request->args[0], (int)request->args[2], -EINVAL);
}

static struct pk_answer serve_copy_file_range(struct pk_request *request)
{
    return serve_copy(request, (int)request->args[0], (int)request->args[2], -EXDEV);
}

/* ---- dup ---- */

struct pk_answer file_duplicate(struct pk_request *request, int lowest, unsigned fd_flags)
{
    int base = request->kernel->window_base;
    cleanup_close int ours = -1;
    struct vfs_handle *handle;
    int r = find_handle(request, (int)request->args[0], &handle, &ours);

    if (r < 0)
        return pk_error(r);
    if (r == 0 && !unix_is_datagram(ours) && vfs_watcher_of_fd(request->kernel->vfs, ours) == NULL)
        return pk_native();
    for (int number = lowest > base ? lowest : base; number < base + PK_WINDOW_SIZE; number++) {
        cleanup_close int taken = pk_look_fd(request, number);

        if (taken == -EBADF)
            return pk_descriptor_at(take_fd(&ours), number, fd_flags);
        if (taken < 0)
            return pk_error(take_fd(&taken));
    }
    /* No room: outside of the window it still shows what the file was when it was opened. */
    return pk_native();
}

static struct pk_answer serve_dup(struct pk_request *request)
{
    return file_duplicate(request, 0, 0);
}

/*
 * dup2, dup3: both numbers are the caller's choice, so the host does just what it wants - but for a
 * file that is written to below the window: there it gets something that we hear of.
 */
static struct pk_answer serve_dup2(struct pk_request *request)
{
    unsigned flags = request->nr == ABI_NR_dup3 ? (unsigned)request->args[2] : 0;
    int number = (int)request->args[1];
    cleanup_close int ours = -1;
    struct vfs_handle *handle;
    int fd;

    if (number < 0 || (flags & ~(unsigned)O_CLOEXEC) ||
        pk_in_window(request->kernel, (unsigned)number) ||
        find_handle(request, (int)request->args[0], &handle, &ours) <= 0)
        return pk_native();
    fd = vfs_handle_redirect(handle, request, ours);
    return fd < 0 ? pk_native() : pk_descriptor_at(fd, number, flags & O_CLOEXEC);
}

void file_set_io_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_read, serve_window},
        {ABI_NR_readahead, serve_unless_path},
        {ABI_NR_write, serve_write},
        {ABI_NR_pread64, serve_window},
        {ABI_NR_pwrite64, serve_window},
        {ABI_NR_readv, serve_window},
        {ABI_NR_writev, serve_write},
        {ABI_NR_preadv, serve_window},
        {ABI_NR_pwritev, serve_window},
        {ABI_NR_preadv2, serve_window},
        {ABI_NR_pwritev2, serve_window},
        {ABI_NR_lseek, serve_window},
        {ABI_NR_ftruncate, serve_window},
        {ABI_NR_fsync, serve_window},
        {ABI_NR_fdatasync, serve_window},
        {ABI_NR_mmap, serve_mmap},
        {ABI_NR_fallocate, serve_fallocate},
        {ABI_NR_sync_file_range, serve_natively},
        {ABI_NR_vmsplice, serve_natively},
        {ABI_NR_sendfile, serve_sendfile},
        {ABI_NR_splice, serve_splice},
        {ABI_NR_tee, serve_natively}, /* pipes only, and a handle is none */
        {ABI_NR_copy_file_range, serve_copy_file_range},
        {ABI_NR_dup, serve_dup},
        {ABI_NR_dup2, serve_dup2},
        {ABI_NR_dup3, serve_dup2},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

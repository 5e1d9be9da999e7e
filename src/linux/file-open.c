/*
 * open(2) and its kin. The order of the checks is that of do_sys_openat2() in fs/open.c: flags,
 * then the path, then the walk.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/io.h"
#include "linux/file-internal.h"

#define O_TMPFILE_BIT   (O_TMPFILE & ~O_DIRECTORY) /* __O_TMPFILE of the kernel */
#define O_LARGEFILE_BIT 0100000                    /* the C library hides the x86-64 value */
#define OPEN_FLAGS                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |    \
     O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE_BIT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | \
     O_CLOEXEC | O_PATH | O_TMPFILE_BIT)
#define PATH_FLAGS (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)
#define RESOLVE_FLAGS                                                                  \
    (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | \
     RESOLVE_IN_ROOT | RESOLVE_CACHED)
#define MODE_BITS 07777
#define PAGE      4096

/* ---- a FIFO waits for the other side, a file with a lease for its holder ---- */

struct fifo_job {
    struct pk_job job;
    int path_fd; /* O_PATH */
    int flags;
    int opened;
};

static int64_t fifo_run(struct pk_job *job)
{
    struct fifo_job *fifo = container_of(job, struct fifo_job, job);
    char path[IO_FD_PATH_SIZE];

    fifo->opened = open(io_fd_path(fifo->path_fd, path), fifo->flags | O_CLOEXEC);
    return fifo->opened < 0 ? -errno : 0;
}

static struct pk_answer fifo_finish(struct pk_job *job, struct pk_request *request, int64_t result)
{
    struct fifo_job *fifo = container_of(job, struct fifo_job, job);

    (void)request;
    if (result < 0)
        return pk_value(result);
    return pk_descriptor_of_end(take_fd(&fifo->opened), fifo->flags & O_CLOEXEC);
}

static void fifo_release(struct pk_job *job)
{
    struct fifo_job *fifo = container_of(job, struct fifo_job, job);

    base_close(fifo->path_fd);
    base_close(fifo->opened);
    free(fifo);
}

/* `flags` are the ones to reopen with; `path_fd` is consumed. */
static struct pk_answer open_fifo(int path_fd, int flags)
{
    struct fifo_job *fifo = malloc(sizeof(*fifo));

    if (fifo == NULL) {
        base_close(path_fd);
        return pk_error(-ENOMEM);
    }
    *fifo = (struct fifo_job){
        .job = {.run = fifo_run, .finish = fifo_finish, .release = fifo_release},
        .path_fd = path_fd,
        .flags = flags,
        .opened = -1,
    };
    return pk_deferred(&fifo->job);
}

/* ---- all kinds of files ---- */

static bool will_create(uint64_t flags)
{
    return flags & (O_CREAT | O_TMPFILE_BIT);
}

/* build_open_flags() of the kernel, as far as it can fail. */
static int check_how(const struct open_how *how)
{
    uint64_t flags = how->flags;

    if (flags & ~(uint64_t)OPEN_FLAGS || how->resolve & ~(uint64_t)RESOLVE_FLAGS)
        return -EINVAL;
    if (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT)
        return -EINVAL;
    if (how->mode & ~(uint64_t)(will_create(flags) ? MODE_BITS : 0))
        return -EINVAL;
    if (flags & O_DIRECTORY && flags & O_CREAT)
        return -EINVAL;
    if (flags & O_TMPFILE_BIT && (!(flags & O_DIRECTORY) || (flags & O_ACCMODE) == O_RDONLY))
        return -EINVAL;
    if (flags & O_PATH && flags & ~(uint64_t)PATH_FLAGS)
        return -EINVAL;
    /* Whether a name is in a cache is not for the guest to know; it asks again without the flag. */
    return how->resolve & RESOLVE_CACHED ? -EAGAIN : 0;
}

static unsigned resolve_to_walk_flags(uint64_t resolve)
{
    unsigned flags = 0;

    if (resolve & RESOLVE_NO_XDEV)
        flags |= VFS_NO_XDEV;
    if (resolve & RESOLVE_NO_MAGICLINKS)
        flags |= VFS_NO_MAGICLINKS;
    if (resolve & RESOLVE_NO_SYMLINKS) /* implies the other, as in the kernel */
        flags |= VFS_NO_SYMLINKS | VFS_NO_MAGICLINKS;
    if (resolve & RESOLVE_BENEATH)
        flags |= VFS_BENEATH;
    if (resolve & RESOLVE_IN_ROOT)
        flags |= VFS_IN_ROOT;
    return flags;
}

static struct pk_answer hand_out(struct pk_request *request, const struct vfs_opened *opened,
                                 unsigned fd_flags)
{
    if (request->traced && (opened->blocks || opened->window))
        pk_note(request, opened->blocks ? "waits for its peer" : "served descriptor");
    if (opened->blocks)
        return open_fifo(opened->fd, (opened->block_flags & ~O_CLOEXEC) | (int)fd_flags);
    if (opened->window)
        return linux_window_descriptor(request, opened->fd, fd_flags);
    return opened->is_fifo ? pk_descriptor_of_end(opened->fd, fd_flags)
                           : pk_descriptor(opened->fd, fd_flags);
}

/*
 * A path with a trailing slash cannot be made a file: EISDIR whatever is there, once its directory
 * has been found. `error` is what the VFS made of it.
 */
static int why_not_created(struct pk_request *request, const struct linux_walk *at, int error)
{
    cleanup_place struct vfs_place *parent = NULL;
    char name[256];
    bool slash;
    int r = vfs_resolve_parent(request->kernel->vfs, &at->walk, &parent, name, &slash);

    return r == 0 && slash ? -EISDIR : error;
}

static struct pk_answer do_open(struct pk_request *request, int dirfd, uint64_t path,
                                const struct open_how *how)
{
    struct vfs_opened opened = {.fd = -1};
    int flags = (int)(how->flags & ~(uint64_t)O_LARGEFILE_BIT);
    int r = check_how(how);
    FILE_WALK(at);

    if (r == 0)
        r = linux_walk_at(request, dirfd, path, resolve_to_walk_flags(how->resolve), &at);
    if (r == 0)
        r = vfs_open(request->kernel->vfs, &at.walk, flags & ~O_CLOEXEC, (mode_t)how->mode,
                     &opened);
    if ((r == -ENOTDIR || r == -EEXIST) && flags & O_CREAT)
        r = why_not_created(request, &at, r);
    if (r < 0)
        return pk_error(r);
    if (flags & (O_CREAT | O_TRUNC | O_TMPFILE_BIT))
        file_changed(request, 0);
    return hand_out(request, &opened, (unsigned)flags & O_CLOEXEC);
}

/* open(2) and openat(2) drop what they do not know, openat2(2) refuses it: build_open_how(). */
static struct pk_answer open_with(struct pk_request *request, int dirfd, uint64_t path,
                                  uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags & OPEN_FLAGS};

    if (how.flags & O_PATH)
        how.flags &= PATH_FLAGS;
    if (will_create(how.flags))
        how.mode = mode & MODE_BITS;
    return do_open(request, dirfd, path, &how);
}

static struct pk_answer serve_open(struct pk_request *request)
{
    return open_with(request, AT_FDCWD, request->args[0], request->args[1], request->args[2]);
}

static struct pk_answer serve_openat(struct pk_request *request)
{
    return open_with(request, (int)request->args[0], request->args[1], request->args[2],
                     request->args[3]);
}

static struct pk_answer serve_creat(struct pk_request *request)
{
    return open_with(request, AT_FDCWD, request->args[0], O_CREAT | O_WRONLY | O_TRUNC,
                     request->args[1]);
}

static struct pk_answer serve_openat2(struct pk_request *request)
{
    uint64_t size = request->args[3];
    struct open_how how;
    int r;

    if (size < sizeof(how)) /* OPEN_HOW_SIZE_VER0, the only version so far */
        return pk_error(-EINVAL);
    if (size > PAGE)
        return pk_error(-E2BIG);
    r = file_read_struct(request, request->args[2], size, &how, sizeof(how));
    if (r < 0)
        return pk_error(r);
    return do_open(request, (int)request->args[0], request->args[1], &how);
}

void file_set_open_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_open, serve_open},
        {ABI_NR_openat, serve_openat},
        {ABI_NR_openat2, serve_openat2},
        {ABI_NR_creat, serve_creat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

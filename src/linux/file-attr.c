/*
 * Mode, owner and length of files, and the inode flags of file_getattr(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/file-internal.h"

#define CHANGE_AT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
#define PAGE            4096

/* ---- mode ---- */

static struct pk_answer change_mode(struct pk_request *request, int r, struct vfs_place *place,
                                    uint64_t mode)
{
    struct vfs_actor actor;

    linux_actor(request, &actor);
    if (r == 0)
        r = vfs_chmod(place, (mode_t)mode & 07777, &actor);
    return file_changed(request, r);
}

static struct pk_answer chmod_at(struct pk_request *request, int dirfd, uint64_t path,
                                 uint64_t mode, unsigned at_flags)
{
    cleanup_place struct vfs_place *place = NULL;
    int r;

    if (at_flags & ~(unsigned)CHANGE_AT_FLAGS)
        return pk_error(-EINVAL);
    r = file_resolve(request, dirfd, path, at_flags, &place);
    /* No file system of the VFS has modes on symbolic links, as none of Linux's has (6.6). */
    if (r == 0 && S_ISLNK(vfs_place_type(place)))
        r = -EOPNOTSUPP;
    return change_mode(request, r, place, mode);
}

static struct pk_answer serve_chmod(struct pk_request *request)
{
    return chmod_at(request, AT_FDCWD, request->args[0], request->args[1], 0);
}

static struct pk_answer serve_fchmodat(struct pk_request *request)
{
    return chmod_at(request, (int)request->args[0], request->args[1], request->args[2], 0);
}

static struct pk_answer serve_fchmodat2(struct pk_request *request)
{
    return chmod_at(request, (int)request->args[0], request->args[1], request->args[2],
                    (unsigned)request->args[3]);
}

static struct pk_answer serve_fchmod(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_place_of_open_fd(request, (int)request->args[0], &place);

    return change_mode(request, r, place, request->args[1]);
}

/* ---- owner ---- */

static struct pk_answer change_owner(struct pk_request *request, int r, struct vfs_place *place,
                                     uint64_t uid, uint64_t gid)
{
    struct vfs_actor actor;

    linux_actor(request, &actor);
    if (r == 0)
        r = vfs_chown(place, (uid_t)uid, (gid_t)gid, &actor);
    return file_changed(request, r);
}

static struct pk_answer chown_at(struct pk_request *request, int dirfd, const uint64_t args[3],
                                 unsigned at_flags)
{
    cleanup_place struct vfs_place *place = NULL;
    int r;

    if (at_flags & ~(unsigned)CHANGE_AT_FLAGS)
        return pk_error(-EINVAL);
    r = file_resolve(request, dirfd, args[0], at_flags, &place);
    return change_owner(request, r, place, args[1], args[2]);
}

static struct pk_answer serve_chown(struct pk_request *request)
{
    return chown_at(request, AT_FDCWD, request->args, 0);
}

static struct pk_answer serve_lchown(struct pk_request *request)
{
    return chown_at(request, AT_FDCWD, request->args, AT_SYMLINK_NOFOLLOW);
}

static struct pk_answer serve_fchownat(struct pk_request *request)
{
    return chown_at(request, (int)request->args[0], request->args + 1, (unsigned)request->args[4]);
}

static struct pk_answer serve_fchown(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_place_of_open_fd(request, (int)request->args[0], &place);

    return change_owner(request, r, place, request->args[1], request->args[2]);
}

/* ---- length ---- */

/* RLIMIT_FSIZE binds the caller, and the file is changed by another process: this one. */
static int check_file_size_limit(struct pk_request *request, int64_t length)
{
    struct rlimit limit;

    if (prlimit(request->task->tid, RLIMIT_FSIZE, NULL, &limit) < 0)
        return errno == ESRCH ? -ESRCH : 0;
    return limit.rlim_cur != RLIM_INFINITY && (uint64_t)length > limit.rlim_cur ? -EFBIG : 0;
}

/* With the signal that the guest's own call would have raised. */
static int too_large(struct pk_request *request)
{
    syscall(SYS_tgkill, request->task->process->pid, request->task->tid, SIGXFSZ);
    return -EFBIG;
}

static int check_truncate(struct pk_request *request, struct vfs_place *place, int64_t length,
                          const struct vfs_actor *actor)
{
    struct statx stat;
    int r;

    if (S_ISDIR(vfs_place_type(place)))
        return -EISDIR;
    if (!S_ISREG(vfs_place_type(place)))
        return -EINVAL;
    r = check_file_size_limit(request, length);
    if (r != -EFBIG)
        return r;
    /* Permission is asked for first, and a file that is that long already may be cut. */
    r = vfs_access(place, 2 /* W_OK */, actor, true);
    if (r == 0)
        r = vfs_stat(place, &stat);
    return r == 0 && (uint64_t)length > stat.stx_size ? too_large(request) : r;
}

/* A file with a lease waits for its holder, who has been told already. */
struct truncate_job {
    struct pk_job job;
    int path_fd; /* O_PATH */
    off_t length;
};

static int64_t truncate_run(struct pk_job *job)
{
    struct truncate_job *truncation = container_of(job, struct truncate_job, job);
    char path[IO_FD_PATH_SIZE];
    cleanup_close int fd = open(io_fd_path(truncation->path_fd, path), O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return ftruncate(fd, truncation->length) < 0 ? -errno : 0;
}

static struct pk_answer truncate_finish(struct pk_job *job, struct pk_request *request,
                                        int64_t result)
{
    (void)job;
    return file_changed(request, (int)result);
}

static void truncate_release(struct pk_job *job)
{
    struct truncate_job *truncation = container_of(job, struct truncate_job, job);

    base_close(truncation->path_fd);
    free(truncation);
}

static struct pk_answer truncate_later(struct vfs_place *place, const struct vfs_actor *actor,
                                       off_t length)
{
    struct truncate_job *truncation = malloc(sizeof(*truncation));
    int fd = truncation ? vfs_open_own_path(place, actor) : -ENOMEM;

    if (fd < 0) {
        free(truncation);
        return pk_error(fd == -EOPNOTSUPP ? -EAGAIN : fd);
    }
    *truncation = (struct truncate_job){
        .job = {.run = truncate_run, .finish = truncate_finish, .release = truncate_release},
        .path_fd = fd,
        .length = length,
    };
    return pk_deferred(&truncation->job);
}

static struct pk_answer serve_truncate(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int64_t length = (int64_t)request->args[1];
    struct vfs_actor actor;
    int r;

    if (length < 0)
        return pk_error(-EINVAL);
    r = file_resolve(request, AT_FDCWD, request->args[0], 0, &place);
    linux_actor(request, &actor);
    if (r == 0)
        r = check_truncate(request, place, length, &actor);
    if (r == 0)
        r = vfs_truncate(place, length, &actor);
    return r == -EAGAIN ? truncate_later(place, &actor, length) : file_changed(request, r);
}

/* ---- inode flags ---- */

/* include/uapi/linux/fs.h of Linux 6.17: FILE_ATTR_SIZE_VER0 bytes */
struct file_attributes {
    uint64_t xflags;
    uint32_t extent_size;
    uint32_t extents;
    uint32_t project;
    uint32_t cow_extent_size;
};
_Static_assert(sizeof(struct file_attributes) == 24, "not the kernel's struct file_attr");

#define XFLAGS_SETTABLE                                                                      \
    (FS_XFLAG_REALTIME | FS_XFLAG_PREALLOC | FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND |          \
     FS_XFLAG_SYNC | FS_XFLAG_NOATIME | FS_XFLAG_NODUMP | FS_XFLAG_RTINHERIT |               \
     FS_XFLAG_PROJINHERIT | FS_XFLAG_NOSYMLINKS | FS_XFLAG_EXTSIZE | FS_XFLAG_EXTSZINHERIT | \
     FS_XFLAG_NODEFRAG | FS_XFLAG_FILESTREAM | FS_XFLAG_DAX | FS_XFLAG_COWEXTSIZE |          \
     FS_XFLAG_HASATTR)

/* The flags that statx(2) tells too; -EOPNOTSUPP where the file system has none of them. */
static int attributes_of(struct vfs_place *place, struct file_attributes *ret_attributes)
{
    const uint64_t known = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
    struct statx stat;
    uint64_t xflags = 0;
    int r = vfs_stat(place, &stat);

    if (r < 0)
        return r;
    if (!(stat.stx_attributes_mask & known))
        return -EOPNOTSUPP;
    if (stat.stx_attributes & STATX_ATTR_IMMUTABLE)
        xflags |= FS_XFLAG_IMMUTABLE;
    if (stat.stx_attributes & STATX_ATTR_APPEND)
        xflags |= FS_XFLAG_APPEND;
    if (stat.stx_attributes & STATX_ATTR_NODUMP)
        xflags |= FS_XFLAG_NODUMP;
    if (stat.stx_attributes & STATX_ATTR_DAX)
        xflags |= FS_XFLAG_DAX;
    *ret_attributes = (struct file_attributes){.xflags = xflags};
    return 0;
}

static int check_attributes_call(uint64_t size, unsigned at_flags)
{
    if (at_flags & ~(unsigned)CHANGE_AT_FLAGS)
        return -EINVAL;
    if (size > PAGE)
        return -E2BIG;
    return size < sizeof(struct file_attributes) ? -EINVAL : 0;
}

static struct pk_answer serve_file_getattr(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    unsigned at_flags = (unsigned)request->args[4];
    uint64_t size = request->args[3];
    unsigned char bytes[PAGE];
    struct file_attributes attributes;
    int r = check_attributes_call(size, at_flags);

    if (r == 0)
        r = file_resolve_or_null(request, (int)request->args[0], request->args[1], at_flags,
                                 &place);
    if (r == 0)
        r = attributes_of(place, &attributes);
    if (r < 0)
        return pk_error(r);
    memset(bytes, 0, size); /* a larger structure is completed with zeroes */
    memcpy(bytes, &attributes, sizeof(attributes));
    return pk_value(pk_write(request, request->args[2], bytes, size));
}

/*
 * The VFS keeps no inode flags, and setting them on the host's inode would change a file that the
 * guest may only read. What changes nothing succeeds, so that tools which copy flags go on.
 */
static struct pk_answer serve_file_setattr(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    unsigned at_flags = (unsigned)request->args[4];
    struct file_attributes wanted, present;
    int r = check_attributes_call(request->args[3], at_flags);

    if (r == 0)
        r = file_read_struct(request, request->args[2], request->args[3], &wanted, sizeof(wanted));
    if (r == 0 && wanted.xflags & ~(uint64_t)XFLAGS_SETTABLE)
        r = -EINVAL;
    if (r == 0)
        r = file_resolve_or_null(request, (int)request->args[0], request->args[1], at_flags,
                                 &place);
    if (r == 0)
        r = attributes_of(place, &present);
    if (r < 0)
        return pk_error(r);
    return pk_value(memcmp(&wanted, &present, sizeof(wanted)) == 0 ? 0 : -EOPNOTSUPP);
}

void file_set_attr_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_chmod, serve_chmod},
        {ABI_NR_fchmod, serve_fchmod},
        {ABI_NR_fchmodat, serve_fchmodat},
        {ABI_NR_fchmodat2, serve_fchmodat2},
        {ABI_NR_chown, serve_chown},
        {ABI_NR_lchown, serve_lchown},
        {ABI_NR_fchown, serve_fchown},
        {ABI_NR_fchownat, serve_fchownat},
        {ABI_NR_truncate, serve_truncate},
        {ABI_NR_file_getattr, serve_file_getattr},
        {ABI_NR_file_setattr, serve_file_setattr},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

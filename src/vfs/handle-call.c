/* The calls on a kernel-served descriptor; directories and O_PATH objects are answered here. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "vfs/descriptor-internal.h"

/* More than any libc asks for at once. */
#define LISTING_MAX 131072

/*
 * getdents(2) wants the type behind the name instead of before it. Both records have the same
 * length: 18 bytes, name, NUL, type - against 19 bytes, name, NUL - rounded up to 8.
 */
static void to_old_records(unsigned char *buffer, size_t length)
{
    uint16_t size;

    for (size_t at = 0; at < length; at += size) {
        unsigned char *record = buffer + at;
        uint8_t type = record[18];

        memcpy(&size, record + 16, sizeof(size));
        memmove(record + 18, record + 19, size - 19u);
        record[size - 1] = type;
    }
}

static struct pk_answer serve_listing(struct vfs_handle *handle, struct pk_request *request, int fd)
{
    struct vfs_actor actor = actor_of_request(request);
    size_t size = (uint32_t)request->args[2];
    cleanup_free unsigned char *buffer = NULL;
    ssize_t length;
    int r;

    size = size > LISTING_MAX ? LISTING_MAX : size;
    buffer = malloc(size ? size : 1);
    if (buffer == NULL)
        return pk_error(-ENOMEM);
    length = vfs_getdents(handle->node->fs->vfs, fd, buffer, size, &actor);
    if (length <= 0)
        return pk_value(length);
    if (request->nr == SYS_getdents)
        to_old_records(buffer, (size_t)length);
    r = pk_write(request, request->args[1], buffer, (size_t)length);
    return pk_value(r < 0 ? r : length);
}

static struct pk_answer directory_call(struct vfs_handle *handle, struct pk_request *request,
                                       int fd)
{
    if (handle->path_flags)
        return pk_error(-EBADF);
    switch (request->nr) {
    case SYS_read:
    case SYS_pread64:
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
        return pk_error(-EISDIR);
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
        return pk_error(-EBADF);
    case SYS_getdents:
    case SYS_getdents64:
        return serve_listing(handle, request, fd);
    case SYS_ioctl:
        return pk_error(-ENOTTY);
    case SYS_mmap:
        return pk_error(-ENODEV);
    case SYS_ftruncate:
        return pk_error(-EINVAL);
    case SYS_fsync:
    case SYS_fdatasync:
        return pk_value(0);
    default:
        return pk_native(); /* lseek: the offset of the memfd is the position */
    }
}

struct pk_answer vfs_handle_call(struct vfs_handle *handle, struct pk_request *request, int fd)
{
    if (handle->ops->call)
        return handle->ops->call(handle, request, fd);
    return directory_call(handle, request, fd);
}

/*
 * inotify_add_watch(2); the other inotify calls take no names and are native. Watching with
 * fanotify(7) is refused by the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "linux/file-internal.h"

/* ALL_INOTIFY_BITS of include/linux/inotify.h */
#define WATCH_BITS                                                                           \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW | \
     IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ISDIR | IN_ONESHOT)

static bool is_inotify(int fd)
{
    static const char expected[] = "anon_inode:inotify";
    char path[IO_FD_PATH_SIZE], text[64];
    ssize_t length = readlink(io_fd_path(fd, path), text, sizeof(text));

    return length == (ssize_t)strlen(expected) && memcmp(text, expected, (size_t)length) == 0;
}

static int check_watch(int fd, uint32_t mask)
{
    if (fd < 0)
        return fd;
    if (mask & IN_MASK_ADD && mask & IN_MASK_CREATE)
        return -EINVAL;
    return is_inotify(fd) ? 0 : -EINVAL;
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
    cleanup_close int fd = -1;
    int r;

    if (mask & ~WATCH_BITS || !(mask & WATCH_BITS))
        return pk_error(-EINVAL);
    fd = file_get_open_fd(request, (int)request->args[0]);
    r = check_watch(fd, mask);
    if (r == 0)
        r = find_watched(request, mask, &place);
    return pk_value(r < 0 ? r : vfs_inotify_add(place, fd, mask));
}

void file_set_watch_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_inotify_add_watch, serve_inotify_add_watch},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

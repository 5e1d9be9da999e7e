/*
 * Content of regular files. Each open gets a descriptor of its own by reopening the memfd with just
 * the access asked for, so that a file opened for reading cannot be written natively.
 *
 * Space: the guest's writes are native and not seen here. What all memfds take is summed up when a
 * file is made and a limit is near, and for statfs(2); a limit therefore stops new files, while a
 * file that is already open can grow past it (memory as such is limited by the host's means).
 */
#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/watch-internal.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* include/uapi/linux/memfd.h, since 6.3 */
#endif

#define MEMFD_NAME_MAX 249 /* NAME_MAX less "memfd:", memfd_create(2) */

#define RECOUNT_INTERVAL 32 /* files made between two counts of the space */

/* Flags that make sense for opening /proc/self/fd/N. */
#define REOPEN_FLAGS                                                                        \
    (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_NOATIME | O_TRUNC | O_PATH | \
     O_LARGEFILE)

/*
 * A memfd as it comes from memfd_create(2) does not count as opened for writing, which would make
 * every write lease on it fail (see memory_is_open_elsewhere()). A reopened one does.
 */
static int new_memfd(const char *name)
{
    char path[IO_FD_PATH_SIZE], shown[MEMFD_NAME_MAX + 1];
    cleanup_close int fd = -1;
    int reopened;

    snprintf(shown, sizeof(shown), "%s", name);
    fd = memfd_create(shown, MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(shown, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    reopened = open(io_fd_path(fd, path), O_RDWR | O_CLOEXEC | O_LARGEFILE);
    return reopened < 0 ? -errno : reopened;
}

void memory_content_attributes(const struct memory_node *node, bool fresh)
{
    struct memory_fs *fs = memory_fs_of(node);
    int fd = node->content->fd;

    if (fd < 0)
        return;
    if (fs->can_chown && (node->uid || node->gid || !fresh) && fchown(fd, node->uid, node->gid) < 0)
        fs->can_chown = false;
    (void)fchmod(fd, node->mode); /* last: fchown clears set-id bits */
}

static bool is_now(struct timespec time)
{
    struct timespec now = memory_now();

    return time.tv_sec == now.tv_sec && time.tv_nsec == now.tv_nsec;
}

/*
 * True while somebody besides us has the file open or mapped: the host grants a write lease only on
 * a file that nobody else has open. When it grants none at all (a file system or kernel without
 * leases) the answer is "perhaps", which is true.
 */
bool memory_is_open_elsewhere(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        return true;
    (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    return false;
}

int memory_content_need(struct memory_node *node, const char *name)
{
    struct timespec times[2] = {node->atime, node->mtime};
    struct memory_fs *fs = memory_fs_of(node);
    cleanup_close int fd = -1;
    struct stat stat;
    int r;

    if (node->content->fd >= 0)
        return 0;
    memory_park_some(fs);
    fd = new_memfd(name);
    if (fd < 0)
        return fd;
    r = memory_unpark(node, fd);
    if (r == 0)
        r = memory_identity_add(node, fd);
    if (r < 0)
        return r;
    node->content->fd = take_fd(&fd);
    list_append(&fs->files, &node->content->link);
    fs->file_count++;
    memory_content_attributes(node, true);
    if (!is_now(node->mtime) || !is_now(node->atime))
        (void)futimens(node->content->fd, times);
    if (fstat(node->content->fd, &stat) == 0)
        node->content->made = stat.st_ctim;
    memory_park_free(node);
    return 0;
}

void memory_content_free(struct memory_node *node)
{
    if (node->content->fd < 0)
        return;
    list_remove(&node->content->link);
    memory_fs_of(node)->file_count--;
    memory_identity_remove(node, node->content->fd);
    watch_content_closed(node->base.fs->vfs, node->content->fd);
    close(node->content->fd);
    node->content->fd = -1;
}

uint64_t memory_count_bytes(struct memory_fs *fs)
{
    struct memory_content *content;
    uint64_t bytes = 0;

    list_for_each(content, &fs->files, link)
    {
        struct stat stat;

        if (fstat(content->fd, &stat) == 0)
            bytes += (uint64_t)stat.st_blocks * 512;
    }
    bytes += fs->parked_bytes;
    fs->used_bytes = bytes;
    fs->changes = 0;
    return bytes;
}

int memory_reserve(struct memory_fs *fs, uint64_t bytes)
{
    if (!fs->max_bytes)
        return 0;
    if (++fs->changes >= RECOUNT_INTERVAL || fs->used_bytes + bytes >= fs->max_bytes)
        memory_count_bytes(fs);
    return fs->used_bytes + bytes >= fs->max_bytes ? -ENOSPC : 0;
}

/*
 * Permission is ours to judge, on the virtual identity. The host's check of the memfd's mode can
 * only get in the way (a new file of mode 0444 opened for writing), so it is opened up for a
 * moment.
 */
static int reopen(const struct memory_node *node, int flags)
{
    char path[IO_FD_PATH_SIZE];
    int fd = node->content->fd;
    int opened;

    flags = (flags & REOPEN_FLAGS) | O_CLOEXEC;
    opened = open(io_fd_path(fd, path), flags);
    if (opened < 0 && errno == EACCES && fchmod(fd, 0600) == 0) {
        opened = open(path, flags);
        if (opened < 0)
            opened = -errno;
        (void)fchmod(fd, node->mode);
        return opened;
    }
    return opened < 0 ? -errno : opened;
}

int memory_content_open(struct memory_node *node, int flags, struct vfs_opened *ret_opened)
{
    int fd = memory_content_need(node, "file");

    if (fd < 0)
        return fd;
    fd = reopen(node, flags);
    if (fd < 0)
        return fd;
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

static int open_permission(const struct memory_node *node, int flags, const struct vfs_actor *actor)
{
    static const int may_of[4] = {VFS_MAY_READ, VFS_MAY_WRITE, VFS_MAY_READ | VFS_MAY_WRITE,
                                  VFS_MAY_READ | VFS_MAY_WRITE};
    int may = may_of[flags & O_ACCMODE];
    int r;

    if (flags & O_PATH)
        return 0;
    if (flags & O_TRUNC)
        may |= VFS_MAY_WRITE;
    r = memory_may(node, actor, may);
    if (r == 0 && (flags & O_NOATIME) && !memory_owned_by(node, actor))
        r = -EPERM;
    return r;
}

int memory_open(struct vfs_node *base, const struct vfs_open_request *request,
                struct vfs_opened *ret_opened)
{
    struct memory_node *node = memory_of(base);
    int r = open_permission(node, request->flags, request->actor);

    if (r < 0)
        return r;
    switch (base->type) {
    case S_IFREG:
        return memory_content_open(node, request->flags, ret_opened);
    case S_IFIFO:
    case S_IFSOCK:
        return memory_open_special(node, request->flags, ret_opened);
    case S_IFLNK:
        return request->flags & O_PATH ? -ENOTSUP : -ELOOP;
    case S_IFDIR:
        return -ENOTSUP;
    default: /* devices: as on a file system mounted nodev */
        return request->flags & O_PATH ? -ENOTSUP : -EACCES;
    }
}

int memory_truncate(struct vfs_node *base, off_t length, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    int r;

    if (base->type == S_IFDIR)
        return -EISDIR;
    if (base->type != S_IFREG || length < 0)
        return -EINVAL;
    r = memory_may(node, actor, VFS_MAY_WRITE);
    if (r == 0)
        r = memory_content_need(node, "file");
    if (r < 0)
        return r;
    if (ftruncate(node->content->fd, length) < 0)
        return -errno;
    memory_drop_set_id(node, actor); /* as the host does for the guest's own writes */
    return 0;
}

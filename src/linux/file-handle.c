/*
 * name_to_handle_at(2). A handle of the host's would name its inode past every mount and view. What
 * a guest gets names the object by what stat(2) shows it of it, so that equal handles are the same
 * object, which is what unprivileged programs ask for; only open_by_handle_at(2), which is refused,
 * could make more of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "linux/file-internal.h"

/* include/uapi/linux/fcntl.h of Linux 6.13 */
#define HANDLE_FID         0x200 /* AT_HANDLE_FID: only to be compared */
#define HANDLE_MOUNT_64    0x001 /* AT_HANDLE_MNT_ID_UNIQUE */
#define HANDLE_CONNECTABLE 0x002 /* AT_HANDLE_CONNECTABLE */
#define HANDLE_FLAGS \
    (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | HANDLE_FID | HANDLE_MOUNT_64 | HANDLE_CONNECTABLE)

#define HANDLE_MAX  128  /* MAX_HANDLE_SZ */
#define HANDLE_TYPE 0x63 /* none of the host's (include/linux/exportfs.h) */

struct handle {
    uint32_t size;
    int32_t type;
    uint64_t device, inode;
};
#define HANDLE_HEAD offsetof(struct handle, device)
#define HANDLE_SIZE (sizeof(struct handle) - HANDLE_HEAD)

/* Objects that are made up have no handle that could be opened, as natively. */
static int check_exported(struct vfs_place *place, unsigned flags)
{
    struct statfs fs;
    int r = vfs_statfs(place, &fs);

    if (r < 0 || flags & HANDLE_FID)
        return r;
    return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ? -EOPNOTSUPP : 0;
}

static int write_mount_id(struct pk_request *request, struct vfs_place *place, unsigned flags)
{
    uint64_t id = (uint64_t)vfs_mount_id(request->kernel->vfs, vfs_place_path(place));

    return pk_write(request, request->args[3], &id, flags & HANDLE_MOUNT_64 ? 8 : 4);
}

/* Its size comes out even where there is no room for it, and the mount in both cases. */
static int answer(struct pk_request *request, struct vfs_place *place, unsigned flags)
{
    struct handle handle = {0};
    struct statx stat;
    uint32_t room;
    int r = pk_read(request, request->args[2], &room, sizeof(room));

    if (r == 0 && room > HANDLE_MAX)
        r = -EINVAL;
    r = r < 0 ? r : vfs_stat(place, &stat);
    r = r < 0 ? r : write_mount_id(request, place, flags);
    if (r < 0)
        return r;
    handle.size = HANDLE_SIZE;
    handle.type = HANDLE_TYPE;
    handle.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    handle.inode = stat.stx_ino;
    r = pk_write(request, request->args[2], &handle, room < HANDLE_SIZE ? 4 : sizeof(handle));
    return r == 0 && room < HANDLE_SIZE ? -EOVERFLOW : r;
}

static struct pk_answer do_name_to_handle_at(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    unsigned flags = (unsigned)request->args[4];
    int r;

    if (flags & ~(unsigned)HANDLE_FLAGS || (flags & HANDLE_FID && flags & HANDLE_CONNECTABLE))
        return pk_error(-EINVAL);
    r = linux_resolve_at(request, (int)request->args[0], request->args[1],
                         (flags & AT_SYMLINK_FOLLOW ? 0 : VFS_NOFOLLOW) |
                             (flags & AT_EMPTY_PATH ? VFS_EMPTY_PATH : 0),
                         &place);
    r = r < 0 ? r : check_exported(place, flags);
    return pk_value(r < 0 ? r : answer(request, place, flags));
}

void file_set_handle_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_name_to_handle_at, do_name_to_handle_at},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

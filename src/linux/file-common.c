#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "linux/file-internal.h"

#define STRUCT_SIZE_MAX 4096

unsigned file_walk_flags(unsigned at_flags)
{
    unsigned flags = 0;

    if (at_flags & AT_SYMLINK_NOFOLLOW)
        flags |= VFS_NOFOLLOW;
    if (at_flags & AT_EMPTY_PATH)
        flags |= VFS_EMPTY_PATH;
    return flags;
}

int file_resolve(struct pk_request *request, int dirfd, uint64_t path, unsigned at_flags,
                 struct vfs_place **ret_place)
{
    FILE_WALK(at);
    int r = linux_walk_at(request, dirfd, path, file_walk_flags(at_flags), &at);

    return r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, ret_place);
}

int file_resolve_or_null(struct pk_request *request, int dirfd, uint64_t path, unsigned at_flags,
                         struct vfs_place **ret_place)
{
    FILE_WALK(at);
    int r;

    if (path != 0 || !(at_flags & AT_EMPTY_PATH))
        return file_resolve(request, dirfd, path, at_flags, ret_place);
    r = linux_walk_text(request, dirfd, "", file_walk_flags(at_flags), &at);
    return r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, ret_place);
}

int file_get_open_fd(struct pk_request *request, int fd)
{
    int ours = pk_get_fd(request, fd);

    if (ours < 0 || !vfs_is_path_only(request->kernel->vfs, ours))
        return ours;
    base_close(ours);
    return -EBADF;
}

int file_place_of_open_fd(struct pk_request *request, int fd, struct vfs_place **ret_place)
{
    cleanup_close int ours = file_get_open_fd(request, fd);

    if (ours < 0)
        return take_fd(&ours);
    return vfs_place_of_fd(request->kernel->vfs, ours, ret_place);
}

static bool is_zero(const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

int file_read_struct(struct pk_request *request, uint64_t address, size_t size, void *ret_bytes,
                     size_t known_size)
{
    unsigned char bytes[STRUCT_SIZE_MAX];

    if (size > sizeof(bytes))
        return -E2BIG;
    if (pk_read(request, address, bytes, size) < 0)
        return -EFAULT;
    if (size > known_size && !is_zero(bytes + known_size, size - known_size))
        return -E2BIG;
    memset(ret_bytes, 0, known_size);
    memcpy(ret_bytes, bytes, size < known_size ? size : known_size);
    return 0;
}

void file_entry_release(struct file_entry *entry)
{
    vfs_place_unref(entry->parent);
    linux_walk_release(&entry->at);
}

int file_find_entry(struct pk_request *request, int dirfd, uint64_t path, struct file_entry *entry)
{
    int r = linux_walk_at(request, dirfd, path, VFS_NOFOLLOW, &entry->at);

    if (r < 0)
        return r;
    return vfs_resolve_parent(request->kernel->vfs, &entry->at.walk, &entry->parent, entry->name,
                              &entry->slash);
}

bool file_entry_is_plain(const struct file_entry *entry)
{
    const char *name = entry->name;

    return strcmp(name, "/") != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int file_entry_object(struct pk_request *request, const struct file_entry *entry,
                      struct vfs_place **ret_place)
{
    struct vfs_walk walk = entry->at.walk;

    walk.base = entry->parent;
    walk.path = entry->name;
    walk.flags = VFS_NOFOLLOW;
    return vfs_resolve(request->kernel->vfs, &walk, ret_place);
}

int file_find_new_entry(struct pk_request *request, int dirfd, uint64_t path, bool directory,
                        struct file_entry *entry)
{
    cleanup_place struct vfs_place *taken = NULL;
    int r = file_find_entry(request, dirfd, path, entry);

    if (r < 0)
        return r;
    if (!file_entry_is_plain(entry))
        return -EEXIST;
    if (!entry->slash || directory)
        return 0;
    r = file_entry_object(request, entry, &taken);
    return r < 0 ? r : -EEXIST;
}

struct pk_answer file_changed(struct pk_request *request, int64_t result)
{
    if (result >= 0)
        atomic_fetch_add_explicit(&request->kernel->generation, 1, memory_order_release);
    return pk_value(result);
}

int linux_register_files(struct pk_kernel *kernel)
{
    file_set_open_handlers(kernel);
    file_set_stat_handlers(kernel);
    file_set_access_handlers(kernel);
    file_set_dir_handlers(kernel);
    file_set_link_handlers(kernel);
    file_set_attr_handlers(kernel);
    file_set_time_handlers(kernel);
    file_set_xattr_handlers(kernel);
    file_set_io_handlers(kernel);
    file_set_fcntl_handlers(kernel);
    file_set_lock_handlers(kernel);
    file_set_ioctl_handlers(kernel);
    file_set_watch_handlers(kernel);
    file_set_handle_handlers(kernel);
    return 0;
}

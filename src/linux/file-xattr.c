/*
 * Extended attributes, in the order of checks of fs/xattr.c: flags, name, value, path. All calls of
 * a kind (path, link, descriptor, "at") come down to one function.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "linux/file-internal.h"

#define NAME_SIZE   256   /* XATTR_NAME_MAX and the terminator */
#define VALUE_MAX   65536 /* XATTR_SIZE_MAX */
#define LIST_MAX    65536 /* XATTR_LIST_MAX */
#define PAGE        4096
#define XATTR_FLAGS (XATTR_CREATE | XATTR_REPLACE)

/* Whose attributes are meant. A descriptor has `path` 0 and AT_EMPTY_PATH. */
struct target {
    int dirfd;
    uint64_t path;
    unsigned at_flags;
};

/* struct xattr_args of include/uapi/linux/xattr.h (Linux 6.13) */
struct xattr_arguments {
    uint64_t value;
    uint32_t size;
    uint32_t flags;
};
_Static_assert(sizeof(struct xattr_arguments) == 16, "not the kernel's struct xattr_args");

static struct target by_path(struct pk_request *request)
{
    return (struct target){.dirfd = AT_FDCWD, .path = request->args[0]};
}

static struct target by_link(struct pk_request *request)
{
    return (struct target){
        .dirfd = AT_FDCWD, .path = request->args[0], .at_flags = AT_SYMLINK_NOFOLLOW};
}

static struct target by_fd(struct pk_request *request)
{
    return (struct target){.dirfd = (int)request->args[0], .at_flags = AT_EMPTY_PATH};
}

static struct target by_dirfd(struct pk_request *request)
{
    return (struct target){.dirfd = (int)request->args[0],
                           .path = request->args[1],
                           .at_flags = (unsigned)request->args[2]};
}

static int check_at_flags(const struct target *target)
{
    return target->at_flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) ? -EINVAL : 0;
}

/* Without a path it is the descriptor's file, and then the descriptor must not be an O_PATH one. */
static int find_target(struct pk_request *request, const struct target *target,
                       struct vfs_place **ret_place)
{
    unsigned flags = file_walk_flags(target->at_flags);
    FILE_WALK(at);
    int r;

    if (target->path == 0 && target->at_flags & AT_EMPTY_PATH) {
        if (target->dirfd >= 0)
            return file_place_of_open_fd(request, target->dirfd, ret_place);
        r = linux_walk_text(request, target->dirfd, "", flags, &at);
    } else {
        r = linux_walk_at(request, target->dirfd, target->path, flags, &at);
        if (r == 0 && at.path[0] == '\0' && target->dirfd >= 0)
            return file_place_of_open_fd(request, target->dirfd, ret_place);
    }
    return r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, ret_place);
}

/* import_xattr_name() */
static int read_name(struct pk_request *request, uint64_t address, char name[NAME_SIZE])
{
    ssize_t length = pk_read_string(request, address, name, NAME_SIZE);

    if (length == -ENAMETOOLONG || length == 0)
        return -ERANGE;
    return length < 0 ? (int)length : 0;
}

/* ---- set ---- */

/* Copies the value; `ret_value` is for free(), and NULL when there is none. */
static int read_value(struct pk_request *request, uint64_t address, size_t size, void **ret_value)
{
    cleanup_free void *value = NULL;

    if (size == 0)
        return 0;
    if (size > VALUE_MAX)
        return -E2BIG;
    value = malloc(size);
    if (value == NULL)
        return -ENOMEM;
    if (pk_read(request, address, value, size) < 0)
        return -EFAULT;
    *ret_value = take_ptr(value);
    return 0;
}

static struct pk_answer set_attribute(struct pk_request *request, struct target target,
                                      uint64_t name_address, uint64_t value_address, size_t size,
                                      int flags)
{
    cleanup_place struct vfs_place *place = NULL;
    cleanup_free void *value = NULL;
    char name[NAME_SIZE];
    struct vfs_actor actor;
    int r = check_at_flags(&target);

    if (r == 0 && flags & ~XATTR_FLAGS)
        r = -EINVAL;
    if (r == 0)
        r = read_name(request, name_address, name);
    if (r == 0)
        r = read_value(request, value_address, size, &value);
    if (r == 0)
        r = find_target(request, &target, &place);
    linux_actor(request, &actor);
    if (r == 0)
        r = vfs_setxattr(place, name, value ? value : "", size, flags, &actor);
    return file_changed(request, r);
}

static struct pk_answer set_of(struct pk_request *request, struct target target)
{
    return set_attribute(request, target, request->args[1], request->args[2], request->args[3],
                         (int)request->args[4]);
}

static struct pk_answer serve_setxattr(struct pk_request *request)
{
    return set_of(request, by_path(request));
}

static struct pk_answer serve_lsetxattr(struct pk_request *request)
{
    return set_of(request, by_link(request));
}

static struct pk_answer serve_fsetxattr(struct pk_request *request)
{
    return set_of(request, by_fd(request));
}

static int read_arguments(struct pk_request *request, struct xattr_arguments *ret_arguments)
{
    uint64_t size = request->args[5];

    if (size < sizeof(*ret_arguments))
        return -EINVAL;
    if (size > PAGE)
        return -E2BIG;
    return file_read_struct(request, request->args[4], size, ret_arguments, sizeof(*ret_arguments));
}

static struct pk_answer serve_setxattrat(struct pk_request *request)
{
    struct xattr_arguments arguments;
    int r = read_arguments(request, &arguments);

    if (r < 0)
        return pk_error(r);
    return set_attribute(request, by_dirfd(request), request->args[3], arguments.value,
                         arguments.size, (int)arguments.flags);
}

/* ---- get ---- */

static ssize_t get_value(struct pk_request *request, struct vfs_place *place, const char *name,
                         uint64_t address, size_t size)
{
    cleanup_free void *value = NULL;
    struct vfs_actor actor;
    ssize_t length;

    if (size > VALUE_MAX)
        size = VALUE_MAX;
    if (size > 0 && (value = malloc(size)) == NULL)
        return -ENOMEM;
    linux_actor(request, &actor);
    length = vfs_getxattr(place, name, value, size, &actor);
    if (length == -ERANGE && size == VALUE_MAX)
        return -E2BIG;
    if (length > 0 && size > 0 && pk_write(request, address, value, (size_t)length) < 0)
        return -EFAULT;
    return length;
}

static struct pk_answer get_attribute(struct pk_request *request, struct target target,
                                      uint64_t name_address, uint64_t address, size_t size)
{
    cleanup_place struct vfs_place *place = NULL;
    char name[NAME_SIZE];
    int r = check_at_flags(&target);

    if (r == 0)
        r = read_name(request, name_address, name);
    if (r == 0)
        r = find_target(request, &target, &place);
    return pk_value(r < 0 ? r : get_value(request, place, name, address, size));
}

static struct pk_answer get_of(struct pk_request *request, struct target target)
{
    return get_attribute(request, target, request->args[1], request->args[2], request->args[3]);
}

static struct pk_answer serve_getxattr(struct pk_request *request)
{
    return get_of(request, by_path(request));
}

static struct pk_answer serve_lgetxattr(struct pk_request *request)
{
    return get_of(request, by_link(request));
}

static struct pk_answer serve_fgetxattr(struct pk_request *request)
{
    return get_of(request, by_fd(request));
}

static struct pk_answer serve_getxattrat(struct pk_request *request)
{
    struct xattr_arguments arguments;
    int r = read_arguments(request, &arguments);

    if (r == 0 && arguments.flags != 0)
        r = -EINVAL;
    if (r < 0)
        return pk_error(r);
    return get_attribute(request, by_dirfd(request), request->args[3], arguments.value,
                         arguments.size);
}

/* ---- list ---- */

static ssize_t get_names(struct pk_request *request, struct vfs_place *place, uint64_t address,
                         size_t size)
{
    cleanup_free char *names = NULL;
    struct vfs_actor actor;
    ssize_t length;

    if (size > LIST_MAX)
        size = LIST_MAX;
    if (size > 0 && (names = malloc(size)) == NULL)
        return -ENOMEM;
    linux_actor(request, &actor);
    length = vfs_listxattr(place, names, size, &actor);
    if (length == -ERANGE && size == LIST_MAX)
        return -E2BIG;
    if (length > 0 && size > 0 && pk_write(request, address, names, (size_t)length) < 0)
        return -EFAULT;
    return length;
}

static struct pk_answer list_of(struct pk_request *request, struct target target, uint64_t address,
                                size_t size)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = check_at_flags(&target);

    if (r == 0)
        r = find_target(request, &target, &place);
    return pk_value(r < 0 ? r : get_names(request, place, address, size));
}

static struct pk_answer serve_listxattr(struct pk_request *request)
{
    return list_of(request, by_path(request), request->args[1], request->args[2]);
}

static struct pk_answer serve_llistxattr(struct pk_request *request)
{
    return list_of(request, by_link(request), request->args[1], request->args[2]);
}

static struct pk_answer serve_flistxattr(struct pk_request *request)
{
    return list_of(request, by_fd(request), request->args[1], request->args[2]);
}

static struct pk_answer serve_listxattrat(struct pk_request *request)
{
    return list_of(request, by_dirfd(request), request->args[3], request->args[4]);
}

/* ---- remove ---- */

static struct pk_answer remove_of(struct pk_request *request, struct target target,
                                  uint64_t name_address)
{
    cleanup_place struct vfs_place *place = NULL;
    char name[NAME_SIZE];
    struct vfs_actor actor;
    int r = check_at_flags(&target);

    if (r == 0)
        r = read_name(request, name_address, name);
    if (r == 0)
        r = find_target(request, &target, &place);
    linux_actor(request, &actor);
    if (r == 0)
        r = vfs_removexattr(place, name, &actor);
    return file_changed(request, r);
}

static struct pk_answer serve_removexattr(struct pk_request *request)
{
    return remove_of(request, by_path(request), request->args[1]);
}

static struct pk_answer serve_lremovexattr(struct pk_request *request)
{
    return remove_of(request, by_link(request), request->args[1]);
}

static struct pk_answer serve_fremovexattr(struct pk_request *request)
{
    return remove_of(request, by_fd(request), request->args[1]);
}

static struct pk_answer serve_removexattrat(struct pk_request *request)
{
    return remove_of(request, by_dirfd(request), request->args[3]);
}

void file_set_xattr_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_setxattr, serve_setxattr},         {ABI_NR_lsetxattr, serve_lsetxattr},
        {ABI_NR_fsetxattr, serve_fsetxattr},       {ABI_NR_setxattrat, serve_setxattrat},
        {ABI_NR_getxattr, serve_getxattr},         {ABI_NR_lgetxattr, serve_lgetxattr},
        {ABI_NR_fgetxattr, serve_fgetxattr},       {ABI_NR_getxattrat, serve_getxattrat},
        {ABI_NR_listxattr, serve_listxattr},       {ABI_NR_llistxattr, serve_llistxattr},
        {ABI_NR_flistxattr, serve_flistxattr},     {ABI_NR_listxattrat, serve_listxattrat},
        {ABI_NR_removexattr, serve_removexattr},   {ABI_NR_lremovexattr, serve_lremovexattr},
        {ABI_NR_fremovexattr, serve_fremovexattr}, {ABI_NR_removexattrat, serve_removexattrat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

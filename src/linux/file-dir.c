/*
 * Directories as such: listing them, the working directory, the root, and the umask.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/file-internal.h"

/* What the C library asks for at a time; a larger wish is answered in parts, which is allowed. */
#define LISTING_MAX 32768

/* ---- getdents ---- */

/* include/linux/dirent.h: what vfs_getdents() fills in. */
struct entry64 {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};
#define ENTRY64_NAME 19

/* fs/readdir.c: the type is the last byte of the record, behind the name. */
struct old_entry {
    uint64_t inode;
    uint64_t offset;
    uint16_t length;
    char name[];
};
#define OLD_ENTRY_NAME 18

_Static_assert(offsetof(struct entry64, name) == ENTRY64_NAME, "not the kernel's record");
_Static_assert(offsetof(struct old_entry, name) == OLD_ENTRY_NAME, "not the kernel's record");

/*
 * Both forms of a record have the same length: the old one has a byte less before the name and one
 * more behind it. So they are converted in place.
 */
static void to_old_entries(char *records, size_t length)
{
    for (size_t at = 0; at + ENTRY64_NAME < length;) {
        char *record = records + at;
        uint8_t type = (uint8_t)record[offsetof(struct entry64, type)];
        uint16_t size;

        memcpy(&size, record + offsetof(struct entry64, length), sizeof(size));
        if (size <= ENTRY64_NAME || at + size > length)
            return;
        memmove(record + OLD_ENTRY_NAME, record + ENTRY64_NAME, size - ENTRY64_NAME);
        record[size - 1] = (char)type;
        at += size;
    }
}

static struct pk_answer list_directory(struct pk_request *request, bool old)
{
    cleanup_close int fd = file_get_open_fd(request, (int)request->args[0]);
    size_t size = (unsigned)request->args[2];
    char records[LISTING_MAX] __attribute__((aligned(8)));
    struct vfs_actor actor;
    ssize_t length;
    off_t before;

    if (fd < 0)
        return pk_error(fd);
    before = lseek(fd, 0, SEEK_CUR);
    linux_actor(request, &actor);
    length = vfs_getdents(request->kernel->vfs, fd, records,
                          size < sizeof(records) ? size : sizeof(records), &actor);
    if (length <= 0)
        return pk_value(length);
    if (old)
        to_old_entries(records, (size_t)length);
    if (pk_write(request, request->args[1], records, (size_t)length) == 0)
        return pk_value(length);
    if (before >= 0) /* what the guest did not get must come again */
        lseek(fd, before, SEEK_SET);
    return pk_error(-EFAULT);
}

static struct pk_answer serve_getdents64(struct pk_request *request)
{
    return list_directory(request, false);
}

static struct pk_answer serve_getdents(struct pk_request *request)
{
    return list_directory(request, true);
}

/* ---- the working directory and the root ---- */

static int check_enter(struct pk_request *request, struct vfs_place *place)
{
    struct vfs_actor actor;

    if (!S_ISDIR(vfs_place_type(place)))
        return -ENOTDIR;
    linux_actor(request, &actor);
    return vfs_access(place, X_OK, &actor, true);
}

static struct pk_answer enter(struct pk_request *request, struct vfs_place *place)
{
    int r = check_enter(request, place);
    struct pk_context *context;

    if (r < 0)
        return pk_error(r);
    context = linux_copy_context(request);
    if (context == NULL)
        return pk_error(-ENOMEM);
    pk_context_set_cwd(request->kernel, context, place);
    return linux_adopt(request, context);
}

static struct pk_answer serve_chdir(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_resolve(request, AT_FDCWD, request->args[0], 0, &place);

    return r < 0 ? pk_error(r) : enter(request, place);
}

static struct pk_answer serve_fchdir(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = linux_place_of_fd(request, (int)request->args[0], &place);

    return r < 0 ? pk_error(r) : enter(request, place);
}

static struct pk_answer serve_chroot(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_resolve(request, AT_FDCWD, request->args[0], 0, &place);
    struct pk_context *context;

    if (r == 0)
        r = check_enter(request, place);
    if (r == 0 && !linux_capable(request, CAP_SYS_CHROOT))
        r = -EPERM;
    if (r < 0)
        return pk_error(r);
    context = linux_copy_context(request);
    if (context == NULL)
        return pk_error(-ENOMEM);
    pk_context_set_root(request->kernel, context, place);
    return linux_adopt(request, context);
}

/* How a directory looks from inside a root: "(unreachable)/x" when it lies outside. */
static int path_below_root(const char *root, const char *path, char ret_text[PATH_MAX])
{
    size_t skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *prefix = "";
    int length;

    if (strncmp(path, root, skip) != 0 || (skip > 0 && path[skip] != '/' && path[skip] != '\0')) {
        prefix = "(unreachable)";
        skip = 0;
    }
    path += skip;
    length = snprintf(ret_text, PATH_MAX, "%s%s", prefix, *path ? path : "/");
    return length < PATH_MAX ? length : -ENAMETOOLONG;
}

static struct pk_answer serve_getcwd(struct pk_request *request)
{
    const struct pk_context *context = request->context;
    char text[PATH_MAX];
    int length, r;

    if (vfs_place_is_deleted(context->cwd))
        return pk_error(-ENOENT);
    length = path_below_root(vfs_place_path(context->root), vfs_place_path(context->cwd), text);
    if (length < 0)
        return pk_error(length);
    if ((uint64_t)length + 1 > request->args[1])
        return pk_error(-ERANGE);
    r = pk_write(request, request->args[0], text, (size_t)length + 1);
    return pk_value(r < 0 ? r : length + 1);
}

static struct pk_answer serve_umask(struct pk_request *request)
{
    mode_t mask = request->args[0] & 0777;
    mode_t old = request->context->mask;
    struct pk_context *context;
    struct pk_answer answer;

    if (mask == old)
        return pk_value(old);
    context = linux_copy_context(request);
    if (context == NULL)
        return pk_error(-ENOMEM);
    context->mask = mask;
    answer = linux_adopt(request, context);
    return answer.value < 0 ? answer : pk_value(old);
}

void file_set_dir_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_getdents, serve_getdents}, {ABI_NR_getdents64, serve_getdents64},
        {ABI_NR_chdir, serve_chdir},       {ABI_NR_fchdir, serve_fchdir},
        {ABI_NR_chroot, serve_chroot},     {ABI_NR_getcwd, serve_getcwd},
        {ABI_NR_umask, serve_umask},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

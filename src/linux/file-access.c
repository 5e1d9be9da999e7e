/*
 * access(2) with real ids, faccessat2(2), readlink(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux/file-internal.h"

#define ACCESS_AT_FLAGS (AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)

/*
 * access(2) asks on behalf of the real user, for the walk as well: access_override_creds() of
 * fs/open.c. Returns false when that makes no difference.
 */
static bool real_identity(const struct pk_identity *identity, struct pk_identity *ret_real)
{
    uint64_t effective = identity->effective;

    if (!(identity->securebits & SECBIT_NO_SETUID_FIXUP))
        effective = identity->uid == 0 ? identity->permitted : 0;
    if (identity->fsuid == identity->uid && identity->fsgid == identity->gid &&
        effective == identity->effective)
        return false;
    *ret_real = *identity;
    ret_real->fsuid = identity->uid;
    ret_real->fsgid = identity->gid;
    ret_real->effective = effective;
    return true;
}

static struct pk_answer do_access(struct pk_request *request, int dirfd, uint64_t path, int mode,
                                  unsigned at_flags)
{
    bool effective = at_flags & AT_EACCESS;
    cleanup_place struct vfs_place *place = NULL;
    struct pk_identity real;
    FILE_WALK(at);
    int r;

    if (mode & ~(R_OK | W_OK | X_OK) || at_flags & ~(unsigned)ACCESS_AT_FLAGS)
        return pk_error(-EINVAL);
    r = linux_walk_at(request, dirfd, path, file_walk_flags(at_flags), &at);
    if (r < 0)
        return pk_error(r);
    if (!effective && real_identity(at.actor.identity, &real))
        at.actor.identity = &real;
    r = vfs_resolve(request->kernel->vfs, &at.walk, &place);
    if (r == 0 && mode != F_OK)
        r = vfs_access(place, mode, &at.actor, effective);
    return pk_value(r);
}

static struct pk_answer serve_access(struct pk_request *request)
{
    return do_access(request, AT_FDCWD, request->args[0], (int)request->args[1], 0);
}

static struct pk_answer serve_faccessat(struct pk_request *request)
{
    return do_access(request, (int)request->args[0], request->args[1], (int)request->args[2], 0);
}

static struct pk_answer serve_faccessat2(struct pk_request *request)
{
    return do_access(request, (int)request->args[0], request->args[1], (int)request->args[2],
                     (unsigned)request->args[3]);
}

/* readlinkat(2) takes an empty path without being asked: then dirfd is the link itself. */
static struct pk_answer do_readlink(struct pk_request *request, int dirfd, uint64_t path,
                                    uint64_t buffer, int size)
{
    cleanup_place struct vfs_place *place = NULL;
    char text[PATH_MAX];
    ssize_t length;
    FILE_WALK(at);
    int r;

    if (size <= 0)
        return pk_error(-EINVAL);
    r = linux_walk_at(request, dirfd, path, VFS_NOFOLLOW | VFS_EMPTY_PATH, &at);
    if (r == 0)
        r = vfs_resolve(request->kernel->vfs, &at.walk, &place);
    if (r < 0)
        return pk_error(r);
    if (!S_ISLNK(vfs_place_type(place)))
        return pk_error(at.path[0] == '\0' ? -ENOENT : -EINVAL);
    length = vfs_readlink(place, text, sizeof(text), &at.actor);
    if (length < 0)
        return pk_error((int)length);
    if (length > size)
        length = size;
    r = pk_write(request, buffer, text, (size_t)length);
    return pk_value(r < 0 ? r : length);
}

static struct pk_answer serve_readlink(struct pk_request *request)
{
    return do_readlink(request, AT_FDCWD, request->args[0], request->args[1],
                       (int)request->args[2]);
}

static struct pk_answer serve_readlinkat(struct pk_request *request)
{
    return do_readlink(request, (int)request->args[0], request->args[1], request->args[2],
                       (int)request->args[3]);
}

void file_set_access_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_access, serve_access},         {ABI_NR_faccessat, serve_faccessat},
        {ABI_NR_faccessat2, serve_faccessat2}, {ABI_NR_readlink, serve_readlink},
        {ABI_NR_readlinkat, serve_readlinkat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

/*
 * Names: made, removed and moved. The order of the checks is that of fs/namei.c; what concerns the
 * objects themselves (permissions, sticky bits, mount points) is the VFS's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "linux/file-internal.h"

/* ---- made ---- */

static struct pk_answer do_mkdir(struct pk_request *request, int dirfd, uint64_t path, mode_t mode)
{
    FILE_ENTRY(entry);
    int r = file_find_new_entry(request, dirfd, path, true, &entry);

    if (r == 0)
        r = vfs_mkdir(entry.parent, entry.name, mode & (0777 | S_ISVTX), &entry.at.actor);
    return file_changed(request, r);
}

static struct pk_answer serve_mkdir(struct pk_request *request)
{
    return do_mkdir(request, AT_FDCWD, request->args[0], (mode_t)request->args[1]);
}

static struct pk_answer serve_mkdirat(struct pk_request *request)
{
    return do_mkdir(request, (int)request->args[0], request->args[1], (mode_t)request->args[2]);
}

/* may_mknod() of the kernel */
static int check_node_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

static dev_t decode_device(uint32_t number)
{
    return makedev((number & 0xfff00) >> 8, (number & 0xff) | ((number >> 12) & 0xfff00));
}

static struct pk_answer do_mknod(struct pk_request *request, int dirfd, uint64_t path, mode_t mode,
                                 uint32_t number)
{
    dev_t device = S_ISCHR(mode) || S_ISBLK(mode) ? decode_device(number) : 0;
    FILE_ENTRY(entry);
    int r = check_node_type(mode);

    if (r == 0)
        r = file_find_new_entry(request, dirfd, path, false, &entry);
    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG;
    if (r == 0)
        r = vfs_mknod(entry.parent, entry.name, mode & (S_IFMT | 07777), device, &entry.at.actor);
    return file_changed(request, r);
}

static struct pk_answer serve_mknod(struct pk_request *request)
{
    return do_mknod(request, AT_FDCWD, request->args[0], (mode_t)request->args[1],
                    (uint32_t)request->args[2]);
}

static struct pk_answer serve_mknodat(struct pk_request *request)
{
    return do_mknod(request, (int)request->args[0], request->args[1], (mode_t)request->args[2],
                    (uint32_t)request->args[3]);
}

static struct pk_answer do_symlink(struct pk_request *request, uint64_t target, int dirfd,
                                   uint64_t path)
{
    char text[PATH_MAX];
    ssize_t length = pk_read_path(request, target, text);
    FILE_ENTRY(entry);
    int r;

    if (length <= 0)
        return pk_error(length < 0 ? (int)length : -ENOENT);
    r = file_find_new_entry(request, dirfd, path, false, &entry);
    if (r == 0)
        r = vfs_symlink(entry.parent, entry.name, text, &entry.at.actor);
    return file_changed(request, r);
}

static struct pk_answer serve_symlink(struct pk_request *request)
{
    return do_symlink(request, request->args[0], AT_FDCWD, request->args[1]);
}

static struct pk_answer serve_symlinkat(struct pk_request *request)
{
    return do_symlink(request, request->args[0], (int)request->args[1], request->args[2]);
}

/* That a directory cannot be linked comes after the right to make a name. */
static int why_not_linked(struct vfs_place *object, const struct file_entry *entry)
{
    int r = 0;

    if (S_ISDIR(vfs_place_type(object)))
        r = vfs_access(entry->parent, W_OK | X_OK, &entry->at.actor, true);
    return r < 0 ? r : -EPERM;
}

static struct pk_answer do_link(struct pk_request *request, int old_dirfd, uint64_t old_path,
                                int new_dirfd, uint64_t new_path, unsigned at_flags)
{
    unsigned follow = at_flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW;
    cleanup_place struct vfs_place *object = NULL;
    FILE_ENTRY(entry);
    int r;

    if (at_flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return pk_error(-EINVAL);
    r = file_resolve(request, old_dirfd, old_path, (at_flags & AT_EMPTY_PATH) | follow, &object);
    if (r == 0)
        r = file_find_new_entry(request, new_dirfd, new_path, false, &entry);
    if (r == 0)
        r = vfs_link(object, entry.parent, entry.name, &entry.at.actor);
    if (r == -EPERM)
        r = why_not_linked(object, &entry);
    return file_changed(request, r);
}

static struct pk_answer serve_link(struct pk_request *request)
{
    return do_link(request, AT_FDCWD, request->args[0], AT_FDCWD, request->args[1], 0);
}

static struct pk_answer serve_linkat(struct pk_request *request)
{
    return do_link(request, (int)request->args[0], request->args[1], (int)request->args[2],
                   request->args[3], (unsigned)request->args[4]);
}

/* ---- removed ---- */

static int check_rmdir_name(const char *name)
{
    if (strcmp(name, "..") == 0)
        return -ENOTEMPTY;
    if (strcmp(name, ".") == 0)
        return -EINVAL;
    return strcmp(name, "/") == 0 ? -EBUSY : 0;
}

static struct pk_answer do_rmdir(struct pk_request *request, int dirfd, uint64_t path)
{
    FILE_ENTRY(entry);
    int r = file_find_entry(request, dirfd, path, &entry);

    if (r == 0)
        r = check_rmdir_name(entry.name);
    if (r == 0)
        r = vfs_unlink(entry.parent, entry.name, true, &entry.at.actor);
    return file_changed(request, r);
}

/* With a trailing slash nothing is ever removed; the question is only why. */
static int why_not_with_slash(struct pk_request *request, const struct file_entry *entry)
{
    cleanup_place struct vfs_place *object = NULL;
    int r = file_entry_object(request, entry, &object);

    if (r < 0)
        return r;
    return S_ISDIR(vfs_place_type(object)) ? -EISDIR : -ENOTDIR;
}

static struct pk_answer do_unlink(struct pk_request *request, int dirfd, uint64_t path)
{
    FILE_ENTRY(entry);
    int r = file_find_entry(request, dirfd, path, &entry);

    if (r == 0 && !file_entry_is_plain(&entry))
        r = -EISDIR;
    if (r == 0 && entry.slash)
        r = why_not_with_slash(request, &entry);
    if (r == 0)
        r = vfs_unlink(entry.parent, entry.name, false, &entry.at.actor);
    return file_changed(request, r);
}

static struct pk_answer serve_rmdir(struct pk_request *request)
{
    return do_rmdir(request, AT_FDCWD, request->args[0]);
}

static struct pk_answer serve_unlink(struct pk_request *request)
{
    return do_unlink(request, AT_FDCWD, request->args[0]);
}

static struct pk_answer serve_unlinkat(struct pk_request *request)
{
    unsigned at_flags = (unsigned)request->args[2];

    if (at_flags & ~(unsigned)AT_REMOVEDIR)
        return pk_error(-EINVAL);
    if (at_flags & AT_REMOVEDIR)
        return do_rmdir(request, (int)request->args[0], request->args[1]);
    return do_unlink(request, (int)request->args[0], request->args[1]);
}

/* ---- moved ---- */

/*
 * Trailing slashes are for directories: checked only when there is one, since it costs two more
 * lookups.
 */
static int check_rename_slashes(struct pk_request *request, const struct file_entry *from,
                                const struct file_entry *to, unsigned flags)
{
    cleanup_place struct vfs_place *old = NULL;
    cleanup_place struct vfs_place *new = NULL;
    int r = file_entry_object(request, from, &old);

    if (r < 0)
        return r;
    r = file_entry_object(request, to, &new);
    if (r < 0 && (r != -ENOENT || flags & RENAME_EXCHANGE))
        return r;
    if (new != NULL && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (flags & RENAME_EXCHANGE && to->slash && !S_ISDIR(vfs_place_type(new)))
        return -ENOTDIR;
    if (S_ISDIR(vfs_place_type(old)))
        return 0;
    return from->slash || (to->slash && !(flags & RENAME_EXCHANGE)) ? -ENOTDIR : 0;
}

static int check_rename_names(const struct file_entry *from, const struct file_entry *to,
                              unsigned flags)
{
    if (!file_entry_is_plain(from))
        return -EBUSY;
    if (!file_entry_is_plain(to))
        return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    return 0;
}

/* That the new name is taken comes before its lying inside of what is to be moved. */
static int why_not_renamed(struct pk_request *request, const struct file_entry *to, unsigned flags)
{
    cleanup_place struct vfs_place *taken = NULL;

    if (!(flags & RENAME_NOREPLACE))
        return -EINVAL;
    return file_entry_object(request, to, &taken) == 0 ? -EEXIST : -EINVAL;
}

static struct pk_answer do_rename(struct pk_request *request, int old_dirfd, uint64_t old_path,
                                  int new_dirfd, uint64_t new_path, unsigned flags)
{
    FILE_ENTRY(from);
    FILE_ENTRY(to);
    int r;

    /* RENAME_WHITEOUT is for overlay file systems of the host; none offers it to a guest. */
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        (flags & RENAME_NOREPLACE && flags & RENAME_EXCHANGE))
        return pk_error(-EINVAL);
    r = file_find_entry(request, old_dirfd, old_path, &from);
    if (r == 0)
        r = file_find_entry(request, new_dirfd, new_path, &to);
    if (r == 0)
        r = check_rename_names(&from, &to, flags);
    if (r == 0 && (from.slash || to.slash))
        r = check_rename_slashes(request, &from, &to, flags);
    if (r == 0)
        r = vfs_rename(from.parent, from.name, to.parent, to.name, flags, &from.at.actor);
    if (r == -EINVAL)
        r = why_not_renamed(request, &to, flags);
    return file_changed(request, r);
}

static struct pk_answer serve_rename(struct pk_request *request)
{
    return do_rename(request, AT_FDCWD, request->args[0], AT_FDCWD, request->args[1], 0);
}

static struct pk_answer serve_renameat(struct pk_request *request)
{
    return do_rename(request, (int)request->args[0], request->args[1], (int)request->args[2],
                     request->args[3], 0);
}

static struct pk_answer serve_renameat2(struct pk_request *request)
{
    return do_rename(request, (int)request->args[0], request->args[1], (int)request->args[2],
                     request->args[3], (unsigned)request->args[4]);
}

void file_set_link_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_mkdir, serve_mkdir},       {ABI_NR_mkdirat, serve_mkdirat},
        {ABI_NR_mknod, serve_mknod},       {ABI_NR_mknodat, serve_mknodat},
        {ABI_NR_symlink, serve_symlink},   {ABI_NR_symlinkat, serve_symlinkat},
        {ABI_NR_link, serve_link},         {ABI_NR_linkat, serve_linkat},
        {ABI_NR_rmdir, serve_rmdir},       {ABI_NR_unlink, serve_unlink},
        {ABI_NR_unlinkat, serve_unlinkat}, {ABI_NR_rename, serve_rename},
        {ABI_NR_renameat, serve_renameat}, {ABI_NR_renameat2, serve_renameat2},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

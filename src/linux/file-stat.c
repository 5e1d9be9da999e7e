/*
 * Attributes of files: stat(2), statx(2), statfs(2) and their kin. The hottest calls of all: one
 * read of guest memory, one walk, one write.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "linux/file-internal.h"

#define STAT_AT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)

/* struct stat as x86-64 has it: the C library's is the kernel's, 144 bytes. */
_Static_assert(sizeof(struct stat) == 144, "struct stat is not the kernel's");
_Static_assert(sizeof(struct statfs) == 120, "struct statfs is not the kernel's");

static struct timespec to_timespec(const struct statx_timestamp *time)
{
    return (struct timespec){.tv_sec = time->tv_sec, .tv_nsec = time->tv_nsec};
}

static void to_stat(const struct statx *from, struct stat *ret_stat)
{
    *ret_stat = (struct stat){
        .st_dev = makedev(from->stx_dev_major, from->stx_dev_minor),
        .st_ino = from->stx_ino,
        .st_nlink = from->stx_nlink,
        .st_mode = from->stx_mode,
        .st_uid = from->stx_uid,
        .st_gid = from->stx_gid,
        .st_rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor),
        .st_size = (off_t)from->stx_size,
        .st_blksize = from->stx_blksize,
        .st_blocks = (blkcnt_t)from->stx_blocks,
        .st_atim = to_timespec(&from->stx_atime),
        .st_mtim = to_timespec(&from->stx_mtime),
        .st_ctim = to_timespec(&from->stx_ctime),
    };
}

static struct pk_answer answer_attributes(struct pk_request *request,
                                          const struct statx *attributes, uint64_t address)
{
    struct stat stat;

    to_stat(attributes, &stat);
    return pk_value(pk_write(request, address, &stat, sizeof(stat)));
}

static struct pk_answer answer_stat(struct pk_request *request, struct vfs_place *place,
                                    uint64_t address)
{
    struct statx attributes;
    int r = vfs_stat(place, &attributes);

    return r < 0 ? pk_error(r) : answer_attributes(request, &attributes, address);
}

static struct pk_answer stat_path(struct pk_request *request, unsigned at_flags)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_resolve(request, AT_FDCWD, request->args[0], at_flags, &place);

    return r < 0 ? pk_error(r) : answer_stat(request, place, request->args[1]);
}

static struct pk_answer serve_stat(struct pk_request *request)
{
    return stat_path(request, 0);
}

static struct pk_answer serve_lstat(struct pk_request *request)
{
    return stat_path(request, AT_SYMLINK_NOFOLLOW);
}

static int stat_descriptor(struct pk_request *request, int number, struct statx *ret_stat)
{
    cleanup_close int fd = pk_look_fd(request, number);

    return fd < 0 ? fd : vfs_stat_fd(request->kernel->vfs, fd, ret_stat);
}

static struct pk_answer serve_fstat(struct pk_request *request)
{
    struct statx attributes;
    int r = stat_descriptor(request, (int)request->args[0], &attributes);

    return r < 0 ? pk_error(r) : answer_attributes(request, &attributes, request->args[1]);
}

/* The way of the C library's fstat(3): a descriptor, an empty path, AT_EMPTY_PATH alone. */
static bool is_plain_fstat(struct pk_request *request, uint64_t at_flags)
{
    char first = '\1';

    if ((int)request->args[0] < 0 || at_flags != AT_EMPTY_PATH)
        return false;
    return request->args[1] == 0 ||
           (pk_read(request, request->args[1], &first, 1) == 0 && first == '\0');
}

/*
 * vfs_fstatat() and statx(2) refuse unknown flags before they look at a path that could not be
 * read; but with AT_EMPTY_PATH, an empty (or NULL) path and a descriptor they are an fstat(2),
 * which does not look at the flags at all.
 */
static int resolve_for_stat(struct pk_request *request, int dirfd, uint64_t path, unsigned at_flags,
                            struct vfs_place **ret_place)
{
    unsigned flags = file_walk_flags(at_flags) | VFS_ONLY_LOOK;
    bool is_empty = path == 0 && at_flags & AT_EMPTY_PATH;
    FILE_WALK(at);
    int r;

    if (is_empty)
        r = linux_walk_text(request, dirfd, "", flags, &at);
    else
        r = linux_walk_at(request, dirfd, path, flags, &at);
    if (r != -EFAULT && r != -ENAMETOOLONG && at.path[0] == '\0')
        is_empty = true;
    if (at_flags & ~(unsigned)STAT_AT_FLAGS &&
        !(is_empty && at_flags & AT_EMPTY_PATH && dirfd >= 0))
        return -EINVAL;
    return r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, ret_place);
}

static struct pk_answer serve_newfstatat(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r;

    if (is_plain_fstat(request, request->args[3])) {
        struct statx attributes;

        r = stat_descriptor(request, (int)request->args[0], &attributes);
        return r < 0 ? pk_error(r) : answer_attributes(request, &attributes, request->args[2]);
    }
    r = resolve_for_stat(request, (int)request->args[0], request->args[1],
                         (unsigned)request->args[3], &place);
    return r < 0 ? pk_error(r) : answer_stat(request, place, request->args[2]);
}

static struct pk_answer serve_statx(struct pk_request *request)
{
    unsigned at_flags = (unsigned)request->args[2];
    cleanup_place struct vfs_place *place = NULL;
    struct statx attributes;
    int r;

    if (request->args[3] & STATX__RESERVED || (at_flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return pk_error(-EINVAL);
    r = resolve_for_stat(request, (int)request->args[0], request->args[1], at_flags, &place);
    if (r == 0)
        r = vfs_stat(place, &attributes);
    if (r < 0)
        return pk_error(r);
    return pk_value(pk_write(request, request->args[4], &attributes, sizeof(attributes)));
}

/* ---- file systems ---- */

static struct pk_answer answer_statfs(struct pk_request *request, int r, struct vfs_place *place,
                                      uint64_t address)
{
    struct statfs facts;

    if (r == 0)
        r = vfs_statfs(place, &facts);
    return pk_value(r < 0 ? r : pk_write(request, address, &facts, sizeof(facts)));
}

static struct pk_answer serve_statfs(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = file_resolve(request, AT_FDCWD, request->args[0], 0, &place);

    return answer_statfs(request, r, place, request->args[1]);
}

static struct pk_answer serve_fstatfs(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int r = linux_place_of_fd(request, (int)request->args[0], &place);

    return answer_statfs(request, r, place, request->args[1]);
}

/* struct ustat of include/linux/types.h; the C library no longer has it. */
struct ustat_result {
    int32_t free_blocks;
    uint64_t free_inodes;
    char name[6];
    char pack[6];
};

struct mount_search {
    dev_t device;
    char path[PATH_MAX];
};

static int match_device(const struct vfs_mount_info *mount, void *user)
{
    struct mount_search *search = user;
    size_t length = strlen(mount->path);

    if (mount->device != search->device || length >= sizeof(search->path))
        return 0;
    memcpy(search->path, mount->path, length + 1);
    return 1;
}

static int statfs_of_device(struct pk_request *request, dev_t device, struct statfs *ret_facts)
{
    cleanup_place struct vfs_place *root = vfs_root(request->kernel->vfs);
    cleanup_place struct vfs_place *place = NULL;
    struct mount_search search = {.device = device};
    struct vfs_actor actor;
    int r = vfs_for_each_mount(request->kernel->vfs, match_device, &search);

    if (r <= 0)
        return r < 0 ? r : -EINVAL;
    linux_actor(request, &actor);
    r = vfs_resolve(
        request->kernel->vfs,
        &(struct vfs_walk){.actor = &actor, .root = root, .base = root, .path = search.path},
        &place);
    return r < 0 ? r : vfs_statfs(place, ret_facts);
}

static struct pk_answer serve_ustat(struct pk_request *request)
{
    uint32_t number = (uint32_t)request->args[0];
    struct ustat_result result;
    struct statfs facts;
    /* new_decode_dev() of the kernel */
    dev_t device = makedev((number & 0xfff00) >> 8, (number & 0xff) | ((number >> 12) & 0xfff00));
    int r = statfs_of_device(request, device, &facts);

    if (r < 0)
        return pk_error(r);
    memset(&result, 0, sizeof(result));
    result.free_blocks = (int32_t)facts.f_bfree;
    result.free_inodes = facts.f_ffree;
    return pk_value(pk_write(request, request->args[1], &result, sizeof(result)));
}

void file_set_stat_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_stat, serve_stat},       {ABI_NR_lstat, serve_lstat},
        {ABI_NR_fstat, serve_fstat},     {ABI_NR_newfstatat, serve_newfstatat},
        {ABI_NR_statx, serve_statx},     {ABI_NR_statfs, serve_statfs},
        {ABI_NR_fstatfs, serve_fstatfs}, {ABI_NR_ustat, serve_ustat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

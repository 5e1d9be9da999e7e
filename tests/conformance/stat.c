/* stat, lstat, fstat, statx, statfs, access. */
#define FAMILY "stat"
#include "conform.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

REFUSED(stat_missing, "stat(2) ENOENT", stat("no", &(struct stat){0}), ENOENT)
REFUSED(stat_empty, "stat(2) ENOENT", stat("", &(struct stat){0}), ENOENT)
REFUSED(stat_pointer, "stat(2) EFAULT", syscall(SYS_stat, ".", (void *)8), EFAULT)
REFUSED(stat_name_pointer, "stat(2) EFAULT", syscall(SYS_stat, (void *)8, &(struct stat){0}),
        EFAULT)
REFUSED(fstat_bad, "fstat(2) EBADF", fstat(-1, &(struct stat){0}), EBADF)
REFUSED(fstatat_flags, "fstatat(2) EINVAL",
        syscall(SYS_newfstatat, AT_FDCWD, ".", &(struct stat){0}, 1), EINVAL)
REFUSED(statx_flags, "statx(2) EINVAL", statx(AT_FDCWD, ".", 1, STATX_ALL, &(struct statx){0}),
        EINVAL)
REFUSED(statx_reserved, "statx(2) EINVAL",
        statx(AT_FDCWD, ".", 0, STATX__RESERVED, &(struct statx){0}), EINVAL)
REFUSED(statx_sync_both, "statx(2) EINVAL",
        statx(AT_FDCWD, ".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL,
              &(struct statx){0}),
        EINVAL)
REFUSED(statx_pointer, "statx(2) EFAULT",
        syscall(SYS_statx, AT_FDCWD, ".", 0, STATX_ALL, (void *)8), EFAULT)
REFUSED(statfs_missing, "statfs(2) ENOENT", statfs("no", &(struct statfs){0}), ENOENT)
REFUSED(statfs_pointer, "statfs(2) EFAULT", syscall(SYS_statfs, ".", (void *)8), EFAULT)
REFUSED(fstatfs_bad, "fstatfs(2) EBADF", fstatfs(-1, &(struct statfs){0}), EBADF)
REFUSED(access_missing, "access(2) ENOENT", access("no", F_OK), ENOENT)
REFUSED(access_mode, "access(2) EINVAL", access(".", 8), EINVAL)
REFUSED(faccessat2_flags, "faccessat2(2) EINVAL", syscall(SYS_faccessat2, AT_FDCWD, ".", F_OK, 1),
        EINVAL)

CHECK(fields, "stat(2): what a file is")
{
    struct stat status;

    file("f", "12345");
    ok(stat("f", &status));
    must(S_ISREG(status.st_mode));
    is(status.st_size, 5);
    is(status.st_nlink, 1);
    is(status.st_uid, geteuid());
    must(status.st_blksize > 0);
    must(status.st_ino != 0);
    must(status.st_blocks >= 0 && status.st_blocks <= 64);
}

CHECK(three_ways, "stat(2), fstat(2), statx(2) agree")
{
    struct stat one;
    struct stat two;
    struct statx three;
    int fd;

    file("f", "12345");
    ok(stat("f", &one));
    fd = (int)ok(open("f", O_RDONLY));
    ok(fstat(fd, &two));
    is(two.st_ino, (long long)one.st_ino);
    is(two.st_dev, (long long)one.st_dev);
    is(two.st_mode, one.st_mode);
    is(two.st_uid, one.st_uid);
    is(two.st_ctim.tv_nsec, one.st_ctim.tv_nsec);
    ok(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &three));
    is(three.stx_ino, (long long)one.st_ino);
    is(makedev(three.stx_dev_major, three.stx_dev_minor), (long long)one.st_dev);
    is(three.stx_mode, one.st_mode);
    is(three.stx_size, 5);
    is(three.stx_mtime.tv_nsec, one.st_mtim.tv_nsec);
}

CHECK(empty_path, "fstatat(2) AT_EMPTY_PATH")
{
    struct stat status;
    int fd;

    file("f", "12345");
    fd = (int)ok(open("f", O_RDONLY));
    ok(fstatat(fd, "", &status, AT_EMPTY_PATH));
    is(status.st_size, 5);
    fails(fstatat(fd, "", &status, 0), ENOENT);
    ok(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH));
    must(S_ISDIR(status.st_mode));
    fails(fstatat(fd, "x", &status, 0), ENOTDIR);
}

CHECK(empty_path_null, "statx(2): NULL with AT_EMPTY_PATH since Linux 6.11")
{
    struct statx status;
    int fd;

    file("f", "12345");
    fd = (int)ok(open("f", O_RDONLY));
    if (syscall(SYS_statx, fd, NULL, AT_EMPTY_PATH, STATX_SIZE, &status) < 0)
        skip("not known to this kernel");
    is(status.stx_size, 5);
}

CHECK(pipe_and_socket, "fstat(2) of pipes and sockets")
{
    struct stat status;
    int ends[2];

    ok(pipe(ends));
    ok(fstat(ends[0], &status));
    must(S_ISFIFO(status.st_mode));
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    ok(fstat(ends[0], &status));
    must(S_ISSOCK(status.st_mode));
    ok(fstatat(ends[0], "", &status, AT_EMPTY_PATH));
    must(S_ISSOCK(status.st_mode));
}

CHECK(device_number, "stat(2) st_rdev")
{
    struct stat status;

    ok(stat("/dev/null", &status));
    must(S_ISCHR(status.st_mode));
    is(status.st_rdev, (long long)makedev(1, 3));
}

CHECK(birth_time, "statx(2) STATX_BTIME")
{
    struct statx status;

    file("f", "");
    ok(statx(AT_FDCWD, "f", 0, STATX_BTIME, &status));
    if (!(status.stx_mask & STATX_BTIME))
        skip("no birth times here");
    must(status.stx_btime.tv_sec > time(NULL) - 100 && status.stx_btime.tv_sec <= time(NULL) + 1);
}

CHECK(mask_says_what_is_there, "statx(2) stx_mask")
{
    struct statx status;

    ok(statx(AT_FDCWD, ".", 0, STATX_BASIC_STATS, &status));
    is(status.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    must(status.stx_blksize > 0);
}

CHECK(mount_identity, "statx(2) STATX_MNT_ID")
{
    struct statx one;
    struct statx two;

    ok(mkdir("d", 0755));
    ok(statx(AT_FDCWD, ".", 0, STATX_MNT_ID, &one));
    ok(statx(AT_FDCWD, "d", 0, STATX_MNT_ID, &two));
    if (!(one.stx_mask & STATX_MNT_ID))
        skip("not known to this kernel");
    is(one.stx_mnt_id, (long long)two.stx_mnt_id);
    ok(statx(AT_FDCWD, "/proc", 0, STATX_MNT_ID, &two));
    must(one.stx_mnt_id != two.stx_mnt_id);
}

CHECK(mount_root, "statx(2) STATX_ATTR_MOUNT_ROOT")
{
    struct statx status;

    ok(mkdir("d", 0755));
    ok(statx(AT_FDCWD, "/proc", 0, 0, &status));
    must(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
    must(status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    ok(statx(AT_FDCWD, "d", 0, 0, &status));
    must(!(status.stx_attributes & STATX_ATTR_MOUNT_ROOT));
}

CHECK(inodes_differ, "stat(2): device and inode identify a file")
{
    struct stat one;
    struct stat two;

    file("a", "");
    file("b", "");
    ok(stat("a", &one));
    ok(stat("b", &two));
    must(one.st_ino != two.st_ino);
    is(one.st_dev, (long long)two.st_dev);
    ok(stat("/proc", &two));
    must(one.st_dev != two.st_dev);
}

CHECK(inode_stays, "stat(2): the inode survives writes and chmod")
{
    ino_t inode;

    file("f", "");
    inode = inode_of("f");
    file("f", "text");
    ok(chmod("f", 0600));
    ok(rename("f", "g"));
    is(inode_of("g"), (long long)inode);
}

CHECK(directory_links, "stat(2): links of a directory are those of its subdirectories, or 1")
{
    ok(mkdir("d", 0755));
    must(links_of("d") == 2 || links_of("d") == 1);
    ok(mkdir("d/e", 0755));
    must(links_of("d") == 3 || links_of("d") == 1);
}

CHECK(file_system, "statfs(2): by name and by descriptor")
{
    struct statfs one;
    struct statfs two;

    file("f", "");
    ok(statfs("f", &one));
    ok(fstatfs((int)ok(open("f", O_RDONLY)), &two));
    is(one.f_type, two.f_type);
    is(one.f_bsize, two.f_bsize);
    is(one.f_namelen, 255);
    must(one.f_blocks == 0 || one.f_bavail <= one.f_blocks);
}

CHECK(file_system_types, "statfs(2) f_type")
{
    struct statfs status;
    int ends[2];

    ok(statfs("/proc", &status));
    is(status.f_type, 0x9fa0);
    ok(pipe(ends));
    ok(fstatfs(ends[0], &status));
    is(status.f_type, 0x50495045);
}

CHECK(path_descriptor_statfs, "open(2) O_PATH: fstatfs(2) since Linux 3.12")
{
    struct statfs status;

    ok(fstatfs((int)ok(open(".", O_PATH)), &status));
}

CHECK(statvfs_agrees, "statvfs(3) f_flag")
{
    struct statvfs status;

    ok(statvfs(".", &status));
    is(status.f_flag & ST_RDONLY, 0);
    is(status.f_namemax, 255);
}

CHECK(access_kinds, "access(2) EACCES")
{
    as_user();
    file("f", "");
    ok(chmod("f", 0400));
    ok(access("f", R_OK));
    fails(access("f", W_OK), EACCES);
    fails(access("f", X_OK), EACCES);
    fails(access("f", R_OK | W_OK), EACCES);
    ok(chmod("f", 0300));
    fails(access("f", R_OK), EACCES);
    ok(access("f", W_OK));
}

CHECK(access_root, "access(2): X_OK for root needs one x bit")
{
    as_root();
    file("f", "");
    ok(chmod("f", 0));
    ok(access("f", R_OK | W_OK));
    fails(access("f", X_OK), EACCES);
    ok(chmod("f", 0001));
    ok(access("f", X_OK));
    ok(mkdir("d", 0));
    ok(access("d", X_OK));
}

CHECK(access_uses_real_ids, "access(2): real ids; faccessat(2) AT_EACCESS: effective")
{
    as_root();
    file("f", "");
    ok(chmod("f", 0600));
    ok(setresuid(NOBODY, 0, 0));
    fails(access("f", R_OK), EACCES);
    ok(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
}

CHECK(access_link, "faccessat(2) AT_SYMLINK_NOFOLLOW")
{
    ok(symlink("no", "l"));
    fails(access("l", F_OK), ENOENT);
    ok(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
}

CHECK(access_empty_path, "faccessat2(2) AT_EMPTY_PATH")
{
    int fd;

    as_user();
    file("f", "");
    ok(chmod("f", 0400));
    fd = (int)ok(open("f", O_RDONLY));
    ok(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
    fails(syscall(SYS_faccessat2, fd, "", W_OK, AT_EMPTY_PATH), EACCES);
    fails(syscall(SYS_faccessat2, fd, "", R_OK, 0), ENOENT);
}

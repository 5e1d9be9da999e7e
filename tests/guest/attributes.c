/* What is recorded about files: modes, times, owners, extended attributes, file systems. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static unsigned mode_of(const char *path)
{
    struct stat stat_buf;

    OK(lstat(path, &stat_buf));
    return stat_buf.st_mode & 07777;
}

static void changing_modes(void)
{
    int fd;

    guest_write("file", "x");
    OK(mkdir("dir", 0777));
    OK(symlink("file", "soft"));
    OK(chmod("file", 0640));
    CHECK_EQ(mode_of("file"), 0640);
    OK(chmod("soft", 0604));
    CHECK_EQ(mode_of("file"), 0604);
    fd = (int)OK(open("file", O_RDONLY));
    OK(fchmod(fd, 0400));
    CHECK_EQ(mode_of("file"), 0400);
    OK(fchmodat(AT_FDCWD, "file", 0777, 0));
    CHECK_EQ(mode_of("file"), 0777);
    OK(chmod("file", 04755));
    CHECK_EQ(mode_of("file"), 04755);
    OK(chmod("dir", 01777));
    CHECK_EQ(mode_of("dir"), 01777);
    FAILS(chmod("missing", 0), ENOENT);
    FAILS(fchmod(999, 0), EBADF);
    CHECK(fchmodat(AT_FDCWD, "soft", 0700, AT_SYMLINK_NOFOLLOW) == -1);
    CHECK_EQ(errno, EOPNOTSUPP);
}

static void masks(void)
{
    umask(077);
    OK(mkdir("dir", 0777));
    guest_write("file", "x");
    OK(mkfifo("fifo", 0666));
    CHECK_EQ(mode_of("dir"), 0700);
    CHECK_EQ(mode_of("file"), 0600);
    CHECK_EQ(mode_of("fifo"), 0600);
    CHECK_EQ(umask(0), 077);
    OK(mkdir("open", 01777));
    CHECK_EQ(mode_of("open"), 01777);
    OK(close((int)OK(open("special", O_CREAT | O_WRONLY, 06755))));
    CHECK_EQ(mode_of("special") & 0777, 0755);
}

static void set_group_directories(void)
{
    OK(mkdir("dir", 0777));
    OK(chmod("dir", 02777));
    OK(mkdir("dir/sub", 0755));
    CHECK_EQ(mode_of("dir/sub"), 02755);
    guest_write("dir/file", "x");
    CHECK_EQ(mode_of("dir/file") & 02000, 0);
}

static void times(void)
{
    struct timespec both[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    struct stat stat_buf;

    guest_write("file", "x");
    OK(utimensat(AT_FDCWD, "file", both, 0));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_atim.tv_sec, 1000000000);
    CHECK_EQ(stat_buf.st_atim.tv_nsec, 123456789);
    CHECK_EQ(stat_buf.st_mtim.tv_sec, 1100000000);
    CHECK_EQ(stat_buf.st_mtim.tv_nsec, 987654321);
    both[0].tv_nsec = UTIME_OMIT;
    both[1] = (struct timespec){5, 6};
    OK(futimens((int)OK(open("file", O_RDONLY)), both));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_atim.tv_sec, 1000000000);
    CHECK_EQ(stat_buf.st_mtim.tv_sec, 5);
    OK(utimensat(AT_FDCWD, "file", NULL, 0));
    OK(stat("file", &stat_buf));
    CHECK(labs(stat_buf.st_mtim.tv_sec - time(NULL)) < 100);
    both[0].tv_nsec = 1000000000;
    FAILS(utimensat(AT_FDCWD, "file", both, 0), EINVAL);
    FAILS(utimensat(AT_FDCWD, "missing", NULL, 0), ENOENT);
}

static void older_times(void)
{
    struct utimbuf old = {11, 22};
    struct timeval both[2] = {{33, 44}, {55, 66}};
    struct stat stat_buf;

    guest_write("file", "x");
    OK(symlink("file", "soft"));
    OK(utime("file", &old));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_atime * 1000 + stat_buf.st_mtime, 11022);
    OK(utimes("file", both));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_mtim.tv_nsec, 66000);
    OK(lutimes("soft", both));
    OK(lstat("soft", &stat_buf));
    CHECK_EQ(stat_buf.st_mtime, 55);
    OK(utime("file", NULL));
}

static void changes_move_times(void)
{
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct stat stat_buf;

    OK(mkdir("dir", 0777));
    guest_write("file", "x");
    OK(utimensat(AT_FDCWD, "dir", old, 0));
    OK(utimensat(AT_FDCWD, "file", old, 0));
    guest_write("dir/new", "x");
    OK(stat("dir", &stat_buf));
    CHECK(stat_buf.st_mtime > 1000);
    OK(truncate("file", 5));
    OK(stat("file", &stat_buf));
    CHECK(stat_buf.st_mtime > 1000);
    CHECK(stat_buf.st_ctime > 1000);
}

static void need_user_xattr(const char *path)
{
    if (setxattr(path, "user.test", "v", 1, 0) < 0 && errno == EOPNOTSUPP)
        guest_skip("the file system has no user attributes");
    OK(removexattr(path, "user.test"));
}

static void extended_attributes(void)
{
    char buffer[64];
    int fd;

    guest_write("file", "x");
    need_user_xattr("file");
    OK(setxattr("file", "user.one", "first", 5, 0));
    CHECK_EQ(getxattr("file", "user.one", buffer, sizeof(buffer)), 5);
    CHECK(memcmp(buffer, "first", 5) == 0);
    CHECK_EQ(getxattr("file", "user.one", NULL, 0), 5);
    FAILS(getxattr("file", "user.one", buffer, 2), ERANGE);
    FAILS(getxattr("file", "user.two", buffer, 2), ENODATA);
    FAILS(setxattr("file", "user.one", "x", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("file", "user.two", "x", 1, XATTR_REPLACE), ENODATA);
    OK(setxattr("file", "user.one", "", 0, XATTR_REPLACE));
    CHECK_EQ(getxattr("file", "user.one", buffer, sizeof(buffer)), 0);
    fd = (int)OK(open("file", O_RDWR));
    OK(fsetxattr(fd, "user.two", "second", 6, 0));
    CHECK_EQ(fgetxattr(fd, "user.two", buffer, sizeof(buffer)), 6);
    OK(fremovexattr(fd, "user.two"));
    FAILS(removexattr("file", "user.two"), ENODATA);
    FAILS(setxattr("file", "nonsense.x", "x", 1, 0), EOPNOTSUPP);
}

static bool listed(const char *path, const char *name)
{
    char list[512];
    ssize_t length = OK(listxattr(path, list, sizeof(list)));

    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(list + at) + 1)
        if (strcmp(list + at, name) == 0)
            return true;
    return false;
}

static void listing_extended_attributes(void)
{
    char list[512];

    guest_write("file", "x");
    OK(symlink("file", "soft"));
    need_user_xattr("file");
    OK(setxattr("file", "user.a", "1", 1, 0));
    OK(setxattr("soft", "user.b", "2", 1, 0));
    CHECK(listed("file", "user.a") && listed("file", "user.b") && !listed("file", "user.c"));
    CHECK(OK(listxattr("file", NULL, 0)) >= 14);
    FAILS(listxattr("file", list, 3), ERANGE);
    CHECK_EQ(llistxattr("soft", list, sizeof(list)) >= 0, 1);
    FAILS(lsetxattr("soft", "user.c", "x", 1, 0), EPERM);
    OK(mkdir("dir", 0777));
    OK(setxattr("dir", "user.d", "on a directory", 14, 0));
    CHECK(listed("dir", "user.d"));
    /* What a layer records about its files is its own business. */
    for (const char *name = list; name < list + OK(listxattr("dir", list, sizeof(list)));
         name += strlen(name) + 1)
        CHECK(strstr(name, "cerebro") == NULL && strstr(name, "overlay") == NULL);
}

static void file_systems(void)
{
    struct statfs here;
    struct statfs same;

    guest_write("file", "x");
    OK(statfs(".", &here));
    OK(fstatfs((int)OK(open("file", O_RDONLY)), &same));
    CHECK(here.f_bsize > 0 && here.f_type != 0);
    CHECK_EQ(here.f_namelen, 255);
    CHECK_EQ(here.f_type, same.f_type);
    OK(statfs("/proc", &same));
    CHECK_EQ(same.f_type, 0x9fa0);
    FAILS(statfs("missing", &here), ENOENT);
    FAILS(fstatfs(999, &here), EBADF);
}

static void extended_stat(void)
{
    struct statx wide;
    struct stat narrow;

    guest_write("file", "12345");
    OK(symlink("file", "soft"));
    OK(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &wide));
    OK(stat("file", &narrow));
    CHECK_EQ(wide.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK_EQ(wide.stx_size, 5);
    CHECK_EQ(wide.stx_ino, narrow.st_ino);
    CHECK_EQ(makedev(wide.stx_dev_major, wide.stx_dev_minor), narrow.st_dev);
    CHECK_EQ(wide.stx_mode, narrow.st_mode);
    CHECK_EQ(wide.stx_uid, geteuid());
    OK(statx(AT_FDCWD, "soft", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &wide));
    CHECK(S_ISLNK(wide.stx_mode));
    FAILS(statx(AT_FDCWD, "file", 0, 0x80000000, &wide), EINVAL);
    FAILS(statx(AT_FDCWD, "missing", 0, STATX_ALL, &wide), ENOENT);
    OK(statx((int)OK(open("file", O_RDONLY)), "", AT_EMPTY_PATH, STATX_SIZE, &wide));
    CHECK_EQ(wide.stx_size, 5);
}

static void inode_numbers(void)
{
    struct stat one;
    struct stat two;

    guest_write("one", "x");
    guest_write("two", "x");
    OK(stat("one", &one));
    OK(stat("two", &two));
    CHECK(one.st_ino != two.st_ino);
    CHECK_EQ(one.st_dev, two.st_dev);
    OK(rename("one", "renamed"));
    OK(chmod("renamed", 0600));
    OK(stat("renamed", &two));
    CHECK_EQ(one.st_ino, two.st_ino);
    OK(fstat((int)OK(open("renamed", O_RDONLY)), &two));
    CHECK_EQ(one.st_ino, two.st_ino);
    CHECK_EQ(one.st_dev, two.st_dev);
}

static void special_files(void)
{
    struct stat stat_buf;

    umask(0);
    OK(mknod("regular", S_IFREG | 0644, 0));
    OK(mknod("fifo", S_IFIFO | 0600, 0));
    OK(mknod("socket", S_IFSOCK | 0600, 0));
    OK(stat("regular", &stat_buf));
    CHECK_EQ(stat_buf.st_mode, S_IFREG | 0644);
    OK(stat("fifo", &stat_buf));
    CHECK(S_ISFIFO(stat_buf.st_mode));
    OK(stat("socket", &stat_buf));
    CHECK(S_ISSOCK(stat_buf.st_mode));
    FAILS(open("socket", O_RDONLY), ENXIO);
    FAILS(mknod("fifo", S_IFIFO, 0), EEXIST);
    FAILS(mknod("dir", S_IFDIR, 0), EPERM);
    if (geteuid() != 0)
        FAILS(mknod("device", S_IFCHR | 0666, makedev(1, 3)), EPERM);
}

static void owners(void)
{
    struct stat stat_buf;

    guest_write("file", "x");
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_uid, geteuid());
    CHECK_EQ(stat_buf.st_gid, getegid());
    OK(chown("file", (uid_t)-1, (gid_t)-1));
    OK(chown("file", geteuid(), getegid()));
    if (geteuid() != 0)
        FAILS(chown("file", 0, 0), EPERM);
    FAILS(chown("missing", 0, 0), ENOENT);
}

static const struct guest_case cases[] = {
    {"changing-modes", changing_modes},
    {"masks", masks},
    {"set-group-directories", set_group_directories},
    {"times", times},
    {"older-times", older_times},
    {"changes-move-times", changes_move_times},
    {"extended-attributes", extended_attributes},
    {"listing-extended-attributes", listing_extended_attributes},
    {"file-systems", file_systems},
    {"extended-stat", extended_stat},
    {"inode-numbers", inode_numbers},
    {"special-files", special_files},
    {"owners", owners},
};

GUEST_MAIN(cases)

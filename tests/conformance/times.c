/* utimensat and what changes time stamps. */
#define FAMILY "times"
#include "conform.h"

#include <utime.h>

static const struct timespec long_ago[2] = {{100, 1}, {200, 2}};

static struct stat aged(const char *path)
{
    struct stat status;

    ok(utimensat(AT_FDCWD, path, long_ago, 0));
    ok(stat(path, &status));
    return status;
}

static struct stat now_of(const char *path)
{
    struct stat status;

    ok(stat(path, &status));
    return status;
}

REFUSED(missing, "utimensat(2) ENOENT", utimensat(AT_FDCWD, "no", NULL, 0), ENOENT)
REFUSED(empty, "utimensat(2) ENOENT", utimensat(AT_FDCWD, "", NULL, 0), ENOENT)
REFUSED(bad_flags, "utimensat(2) EINVAL", utimensat(AT_FDCWD, ".", NULL, 1), EINVAL)
REFUSED(bad_descriptor, "futimens(3) EBADF", futimens(-1, NULL), EBADF)
REFUSED(bad_nanoseconds, "utimensat(2) EINVAL",
        utimensat(AT_FDCWD, ".", (struct timespec[2]){{0, 1000000000}, {0, 0}}, 0), EINVAL)
REFUSED(bad_pointer, "utimensat(2) EFAULT", syscall(SYS_utimensat, AT_FDCWD, ".", (void *)8, 0),
        EFAULT)
REFUSED(null_path_of_directory, "utimensat(2) EFAULT",
        syscall(SYS_utimensat, AT_FDCWD, NULL, long_ago, 0), EFAULT)
REFUSED(bad_microseconds, "utimes(2) EINVAL",
        utimes(".", (struct timeval[2]){{0, 1000000}, {0, 0}}), EINVAL)

CHECK(set_both, "utimensat(2): nanoseconds")
{
    struct stat status;

    file("f", "");
    status = aged("f");
    is(status.st_atim.tv_sec, 100);
    is(status.st_atim.tv_nsec, 1);
    is(status.st_mtim.tv_sec, 200);
    is(status.st_mtim.tv_nsec, 2);
}

CHECK(omit, "utimensat(2) UTIME_OMIT")
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {300, 3}};
    struct stat status;

    file("f", "");
    aged("f");
    ok(utimensat(AT_FDCWD, "f", times, 0));
    status = now_of("f");
    is(status.st_atim.tv_sec, 100);
    is(status.st_mtim.tv_sec, 300);
}

CHECK(omit_both, "utimensat(2): both omitted, nothing changes")
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct stat before;
    struct stat after;

    file("f", "");
    before = aged("f");
    nap(12);
    ok(utimensat(AT_FDCWD, "f", times, 0));
    after = now_of("f");
    is(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

CHECK(now, "utimensat(2) UTIME_NOW and NULL")
{
    struct timespec times[2] = {{0, UTIME_NOW}, {7, 7}};

    file("f", "");
    aged("f");
    ok(utimensat(AT_FDCWD, "f", times, 0));
    must(now_of("f").st_atim.tv_sec > 1000);
    is(now_of("f").st_mtim.tv_sec, 7);
    aged("f");
    ok(utimensat(AT_FDCWD, "f", NULL, 0));
    must(now_of("f").st_mtim.tv_sec > 1000);
}

CHECK(before_1970, "utimensat(2): negative seconds")
{
    struct timespec times[2] = {{-5, 0}, {-5, 0}};

    file("f", "");
    ok(utimensat(AT_FDCWD, "f", times, 0));
    is(now_of("f").st_mtim.tv_sec, -5);
}

CHECK(of_link, "utimensat(2) AT_SYMLINK_NOFOLLOW")
{
    struct stat status;

    file("f", "");
    ok(symlink("f", "l"));
    ok(utimensat(AT_FDCWD, "l", long_ago, AT_SYMLINK_NOFOLLOW));
    ok(lstat("l", &status));
    is(status.st_mtim.tv_sec, 200);
    must(now_of("f").st_mtim.tv_sec > 1000);
}

CHECK(of_descriptor, "futimens(3)")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_RDONLY));
    ok(futimens(fd, long_ago));
    is(now_of("f").st_mtim.tv_sec, 200);
    fails(futimens((int)ok(open("f", O_PATH)), long_ago), EBADF);
}

CHECK(empty_path, "utimensat(2) AT_EMPTY_PATH since Linux 5.8")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_PATH));
    ok(utimensat(fd, "", long_ago, AT_EMPTY_PATH));
    is(now_of("f").st_mtim.tv_sec, 200);
}

CHECK(older_calls, "utime(2), utimes(2), futimesat(2)")
{
    struct utimbuf old = {11, 12};
    struct timeval times[2] = {{21, 5}, {22, 6}};
    struct stat status;

    file("f", "");
    ok(utime("f", &old));
    is(now_of("f").st_mtim.tv_sec, 12);
    ok(utimes("f", times));
    status = now_of("f");
    is(status.st_atim.tv_sec, 21);
    is(status.st_mtim.tv_nsec, 6000);
    ok(utime("f", NULL));
    must(now_of("f").st_mtim.tv_sec > 1000);
    ok(lutimes("f", times));
    is(now_of("f").st_mtim.tv_sec, 22);
}

CHECK(not_owner, "utimensat(2) EPERM, and EACCES for now")
{
    as_root();
    file("f", "");
    file("w", "");
    ok(chmod("w", 0666));
    IN_CHILD
    {
        as_user();
        fails(utimensat(AT_FDCWD, "f", long_ago, 0), EPERM);
        fails(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
        fails(utimensat(AT_FDCWD, "w", long_ago, 0), EPERM);
        ok(utimensat(AT_FDCWD, "w", NULL, 0));
    }
}

CHECK(owner_of_read_only, "utimensat(2): the owner may, whatever the mode")
{
    as_user();
    file("f", "");
    ok(chmod("f", 0));
    ok(utimensat(AT_FDCWD, "f", long_ago, 0));
    ok(utimensat(AT_FDCWD, "f", NULL, 0));
}

CHECK(creating_changes_directory, "inode(7): mtime and ctime of the directory")
{
    ok(mkdir("d", 0755));
    aged("d");
    file("d/f", "");
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(unlink("d/f"));
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(symlink("x", "d/l"));
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(mkdir("d/e", 0755));
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(rmdir("d/e"));
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(mkfifo("d/p", 0644));
    must(now_of("d").st_mtim.tv_sec > 1000);
    aged("d");
    ok(link("d/p", "d/q"));
    must(now_of("d").st_mtim.tv_sec > 1000);
}

CHECK(writing_does_not_change_directory, "inode(7): a write is not the directory's")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    aged("d");
    file("d/f", "text");
    ok(chmod("d/f", 0600));
    is(now_of("d").st_mtim.tv_sec, 200);
}

CHECK(truncating_changes_times, "open(2), truncate(2): mtime and ctime")
{
    file("f", "text");
    aged("f");
    ok(open("f", O_WRONLY | O_TRUNC));
    must(now_of("f").st_mtim.tv_sec > 1000);
    aged("f");
    ok(truncate("f", 10));
    must(now_of("f").st_mtim.tv_sec > 1000);
}

CHECK(opening_changes_nothing, "open(2): without O_TRUNC, no time changes")
{
    file("f", "text");
    aged("f");
    ok(open("f", O_RDWR | O_CREAT, 0644));
    is(now_of("f").st_mtim.tv_sec, 200);
    is(now_of("f").st_atim.tv_sec, 100);
}

CHECK(linking_changes_ctime_only, "inode(7): link(2) changes ctime")
{
    file("f", "text");
    aged("f");
    ok(link("f", "g"));
    is(now_of("f").st_mtim.tv_sec, 200);
}

CHECK(failed_create_changes_nothing, "open(2): EEXIST leaves the directory's times")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    aged("d");
    fails(open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    fails(mkdir("d/f", 0755), EEXIST);
    is(now_of("d").st_mtim.tv_sec, 200);
}

CHECK(new_file_is_new, "inode(7): times of a new file are of its creation")
{
    time_t before = time(NULL);
    struct stat status;

    file("f", "");
    ok(stat("f", &status));
    must(status.st_mtim.tv_sec >= before - 1 && status.st_mtim.tv_sec <= time(NULL) + 1);
    must(status.st_atim.tv_sec >= before - 1);
    must(status.st_ctim.tv_sec >= before - 1);
}

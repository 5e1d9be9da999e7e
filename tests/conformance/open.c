/* open, openat, openat2, creat, close. */
#define FAMILY "open"
#include "conform.h"

#include <linux/openat2.h>

static long openat2_(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    long fd = -1;

    /* Below a fixed root the walk starts again when something was renamed meanwhile: EAGAIN. */
    for (int i = 0; i < 1000; i++) {
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

REFUSED(missing, "open(2) ENOENT", open("no", O_RDONLY), ENOENT)
REFUSED(empty_name, "open(2) ENOENT", open("", O_RDONLY | O_CREAT, 0644), ENOENT)
REFUSED(bad_pointer, "open(2) EFAULT", open((char *)8, O_RDONLY), EFAULT)
REFUSED(bad_pointer_with_bad_directory, "openat(2) EFAULT", openat(-7, (char *)8, O_RDONLY), EFAULT)
REFUSED(bad_directory, "openat(2) EBADF", openat(-7, "x", O_RDONLY), EBADF)
REFUSED(directory_for_writing, "open(2) EISDIR", open(".", O_WRONLY), EISDIR)
REFUSED(directory_for_both, "open(2) EISDIR", open(".", O_RDWR), EISDIR)
REFUSED(create_on_directory, "open(2) EISDIR", open(".", O_RDONLY | O_CREAT, 0644), EISDIR)
REFUSED(create_with_slash, "open(2) EISDIR", open("new/", O_WRONLY | O_CREAT, 0644), EISDIR)
REFUSED(exclusive_on_directory, "open(2) EEXIST", open(".", O_RDWR | O_CREAT | O_EXCL, 0644),
        EEXIST)
REFUSED(create_below_missing, "open(2) ENOENT", open("no/x", O_WRONLY | O_CREAT, 0644), ENOENT)
REFUSED(nameless_read_only, "open(2) EINVAL", open(".", O_TMPFILE | O_RDONLY, 0644), EINVAL)
REFUSED(nameless_in_missing, "open(2) ENOENT", open("no", O_TMPFILE | O_RDWR, 0644), ENOENT)
REFUSED(how_too_small, "openat2(2) EINVAL",
        syscall(SYS_openat2, AT_FDCWD, ".", &(struct open_how){0}, 8), EINVAL)
REFUSED(how_bad_flags, "openat2(2) EINVAL", openat2_(AT_FDCWD, ".", 1ull << 40, 0, 0), EINVAL)
REFUSED(how_bad_resolve, "openat2(2) EINVAL", openat2_(AT_FDCWD, ".", 0, 0, 1ull << 40), EINVAL)
REFUSED(how_mode_without_create, "openat2(2) EINVAL", openat2_(AT_FDCWD, ".", 0, 0644, 0), EINVAL)
REFUSED(how_bad_mode, "openat2(2) EINVAL", openat2_(AT_FDCWD, "x", O_CREAT | O_RDWR, 0100000, 0),
        EINVAL)
REFUSED(how_beneath_dotdot, "openat2(2) EXDEV", openat2_(AT_FDCWD, "..", 0, 0, RESOLVE_BENEATH),
        EXDEV)
REFUSED(how_beneath_absolute, "openat2(2) EXDEV", openat2_(AT_FDCWD, "/", 0, 0, RESOLVE_BENEATH),
        EXDEV)
REFUSED(how_beneath_and_root, "openat2(2) EINVAL",
        openat2_(AT_FDCWD, ".", 0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL)
REFUSED(how_no_magic_links, "openat2(2) ELOOP",
        openat2_(AT_FDCWD, "/proc/self/exe", 0, 0, RESOLVE_NO_MAGICLINKS), ELOOP)
REFUSED(close_bad, "close(2) EBADF", close(-1), EBADF)

CHECK(not_a_directory, "open(2) ENOTDIR")
{
    file("f", "");
    fails(open("f/x", O_RDONLY), ENOTDIR);
    fails(open("f/", O_RDONLY), ENOTDIR);
    fails(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    fails(openat((int)ok(open("f", O_RDONLY)), "x", O_RDONLY), ENOTDIR);
}

CHECK(absolute_ignores_directory, "openat(2): an absolute path ignores dirfd")
{
    ok(openat(-7, "/", O_RDONLY));
}

CHECK(exclusive, "open(2) EEXIST")
{
    file("f", "text");
    fails(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    content("f", "text");
}

CHECK(exclusive_dangling_link, "open(2): O_EXCL does not follow links")
{
    ok(symlink("target", "l"));
    fails(open("l", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    must(!exists("target"));
}

CHECK(create_through_dangling_link, "open(2): O_CREAT follows a dangling link")
{
    ok(symlink("target", "l"));
    ok(open("l", O_RDWR | O_CREAT, 0644));
    must(exists("target"));
}

CHECK(no_follow, "open(2) ELOOP with O_NOFOLLOW")
{
    file("f", "");
    ok(symlink("f", "l"));
    fails(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    fails(open("l", O_RDWR | O_CREAT | O_NOFOLLOW, 0644), ELOOP);
}

CHECK(no_follow_is_of_the_last, "open(2): links in the prefix are followed with O_NOFOLLOW")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(symlink("d", "l"));
    ok(open("l/f", O_RDONLY | O_NOFOLLOW));
}

CHECK(no_follow_directory, "open(2): O_NOFOLLOW|O_DIRECTORY on a link is ENOTDIR")
{
    ok(symlink(".", "l"));
    fails(open("l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
}

CHECK(mode_and_umask, "open(2): mode & ~umask")
{
    umask(027);
    ok(open("f", O_WRONLY | O_CREAT, 0777));
    is(mode_of("f"), 0750);
}

CHECK(mode_of_new_does_not_bind_the_opener, "open(2): the mode applies to future accesses only")
{
    int fd;

    as_user();
    fd = (int)ok(open("f", O_RDWR | O_CREAT, 0));
    is(write(fd, "x", 1), 1);
    fails(open("f", O_RDONLY), EACCES);
}

CHECK(sticky_bit_of_mode, "open(2): suid, sgid and sticky bits in mode")
{
    ok(open("f", O_WRONLY | O_CREAT, 07755));
    is(mode_of("f") & 01000, 01000);
    is(mode_of("f") & 04000, 04000);
}

CHECK(truncates, "open(2) O_TRUNC")
{
    file("f", "text");
    ok(open("f", O_WRONLY | O_TRUNC));
    is(size_of("f"), 0);
}

static void takes_lowest_number(const char *path)
{
    int first = (int)ok(open(path, O_RDONLY));
    int second = (int)ok(open(path, O_RDONLY));

    is(second, first + 1);
    ok(close(first));
    is(open("/dev/null", O_RDONLY), first);
}

CHECK(lowest_number, "open(2): the lowest-numbered descriptor")
{
    file("f", "");
    takes_lowest_number("f");
}

CHECK(lowest_number_for_directory, "open(2): the lowest-numbered descriptor")
{
    takes_lowest_number(".");
}

CHECK(append_and_truncate, "open(2) O_APPEND")
{
    int fd;

    file("f", "one");
    fd = (int)ok(open("f", O_RDWR | O_APPEND));
    is(lseek(fd, 0, SEEK_SET), 0);
    is(write(fd, "two", 3), 3);
    is(lseek(fd, 0, SEEK_CUR), 6);
    content("f", "onetwo");
}

CHECK(flags_are_told, "fcntl(2) F_GETFL")
{
    int fd = (int)ok(open("f", O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK, 0644));

    is(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT),
       O_RDWR | O_APPEND | O_NONBLOCK);
}

CHECK(close_on_exec, "open(2) O_CLOEXEC")
{
    is(fcntl((int)ok(open(".", O_RDONLY | O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
    is(fcntl((int)ok(open(".", O_RDONLY)), F_GETFD), 0);
}

CHECK(path_only, "open(2) O_PATH")
{
    int fd;
    char byte;

    file("f", "text");
    fd = (int)ok(open("f", O_PATH));
    fails(read(fd, &byte, 1), EBADF);
    fails(write(fd, "x", 1), EBADF);
    fails(fchmod(fd, 0600), EBADF);
    fails(fchown(fd, (uid_t)-1, (gid_t)-1), EBADF);
    fails(ftruncate(fd, 0), EBADF);
    fails(lseek(fd, 0, SEEK_SET), EBADF);
    is(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
}

CHECK(path_only_needs_no_permission, "open(2) O_PATH: no permission on the object itself")
{
    struct stat status;
    int fd;

    as_user();
    file("f", "text");
    ok(chmod("f", 0));
    fd = (int)ok(open("f", O_PATH));
    ok(fstat(fd, &status));
    is(status.st_size, 4);
}

CHECK(path_only_link, "open(2) O_PATH|O_NOFOLLOW is the link itself")
{
    struct stat status;
    char text[16];
    int fd;

    ok(symlink("where", "l"));
    fd = (int)ok(open("l", O_PATH | O_NOFOLLOW));
    ok(fstat(fd, &status));
    must(S_ISLNK(status.st_mode));
    is(readlinkat(fd, "", text, sizeof(text)), 5);
}

CHECK(path_only_directory_is_a_start, "open(2) O_PATH as a dirfd")
{
    int fd;

    ok(mkdir("d", 0755));
    file("d/f", "x");
    fd = (int)ok(open("d", O_PATH | O_DIRECTORY));
    ok(openat(fd, "f", O_RDONLY));
    ok(fchdir(fd));
    ok(access("f", F_OK));
}

CHECK(nameless, "open(2) O_TMPFILE")
{
    int fd = (int)ok(open(".", O_TMPFILE | O_RDWR, 0640));
    struct stat status;

    is(write(fd, "text", 4), 4);
    ok(fstat(fd, &status));
    is(status.st_nlink, 0);
    is(status.st_mode & 07777, 0640);
    is(count_names("."), 0);
}

CHECK(nameless_gets_a_name, "open(2) O_TMPFILE, linkat(2) with /proc/self/fd")
{
    int fd = (int)ok(open(".", O_TMPFILE | O_RDWR, 0640));
    char path[64];

    is(write(fd, "text", 4), 4);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ok(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
    content("f", "text");
    is(links_of("f"), 1);
}

CHECK(nameless_exclusive, "open(2) O_TMPFILE|O_EXCL cannot be linked")
{
    int fd = (int)ok(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    fails(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW), ENOENT);
}

CHECK(unlinked_stays_open, "unlink(2): the file lives until the last descriptor is closed")
{
    char text[8] = "";
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_RDWR));
    ok(unlink("f"));
    is(pread(fd, text, 4, 0), 4);
    same(text, "text");
    is(pwrite(fd, "more", 4, 4), 4);
    must(!exists("f"));
}

CHECK(reopen_through_proc, "proc(5): /proc/self/fd/N opens the file anew")
{
    char path[64];
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_RDONLY));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    is(write((int)ok(open(path, O_WRONLY)), "T", 1), 1);
    content("f", "Text");
}

CHECK(reopen_removed_through_proc, "proc(5): also a file that was removed")
{
    char path[64];
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_RDONLY));
    ok(unlink("f"));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    content(path, "text");
}

CHECK(no_symlinks, "openat2(2) RESOLVE_NO_SYMLINKS")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(symlink("d", "l"));
    ok(openat2_(AT_FDCWD, "d/f", 0, 0, RESOLVE_NO_SYMLINKS));
    fails(openat2_(AT_FDCWD, "l/f", 0, 0, RESOLVE_NO_SYMLINKS), ELOOP);
}

CHECK(in_root, "openat2(2) RESOLVE_IN_ROOT")
{
    int fd;

    ok(mkdir("d", 0755));
    file("d/f", "");
    ok(symlink("/f", "d/absolute"));
    ok(symlink("../../f", "d/up"));
    fd = (int)ok(open("d", O_PATH));
    ok(openat2_(fd, "/f", 0, 0, RESOLVE_IN_ROOT));
    ok(openat2_(fd, "absolute", 0, 0, RESOLVE_IN_ROOT));
    ok(openat2_(fd, "up", 0, 0, RESOLVE_IN_ROOT));
    ok(openat2_(fd, "../../f", 0, 0, RESOLVE_IN_ROOT));
}

CHECK(beneath_inside, "openat2(2) RESOLVE_BENEATH allows .. that stays inside")
{
    ok(mkdir("d", 0755));
    file("f", "");
    ok(openat2_(AT_FDCWD, "d/../f", 0, 0, RESOLVE_BENEATH));
    ok(symlink("../../etc", "d/out"));
    fails(openat2_(AT_FDCWD, "d/out", 0, 0, RESOLVE_BENEATH), EXDEV);
}

CHECK(how_larger, "openat2(2) E2BIG for bytes that are not zero")
{
    struct {
        struct open_how how;
        uint64_t more;
    } how = {{.flags = O_RDONLY}, 0};

    ok(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how)));
    how.more = 1;
    fails(syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how)), E2BIG);
}

CHECK(name_too_long, "open(2) ENAMETOOLONG")
{
    char name[300];

    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    fails(open(name, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
    name[255] = '\0';
    ok(open(name, O_RDWR | O_CREAT, 0644));
}

CHECK(device_null, "null(4)")
{
    char byte;
    int fd = (int)ok(open("/dev/null", O_RDWR));

    is(write(fd, "text", 4), 4);
    is(read(fd, &byte, 1), 0);
}

CHECK(device_full, "full(4) ENOSPC")
{
    char byte = 1;
    int fd = (int)ok(open("/dev/full", O_RDWR));

    fails(write(fd, "text", 4), ENOSPC);
    is(read(fd, &byte, 1), 1);
    is(byte, 0);
}
CHECK(socket_cannot_be_opened, "open(2) ENXIO for a socket")
{
    ok(mknod("s", S_IFSOCK | 0644, 0));
    fails(open("s", O_RDWR), ENXIO);
    ok(open("s", O_PATH));
}

/* Opening: O_NOFOLLOW, O_PATH, O_TMPFILE, O_CREAT, magic links, access. */
#include "guest.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *fd_path(int fd)
{
    return guest_format("/proc/self/fd/%d", fd);
}

static void nofollow(void)
{
    struct stat stat_buf;
    char buffer[64];
    int fd;

    OK(mkdir("dir", 0777));
    guest_write("dir/file", "x");
    OK(symlink("dir/file", "to-file"));
    OK(symlink("dir", "to-dir"));
    FAILS(open("to-file", O_RDONLY | O_NOFOLLOW), ELOOP);
    FAILS(open("to-dir", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    /* Only the last component counts. */
    OK(open("to-dir/file", O_RDONLY | O_NOFOLLOW));
    fd = (int)OK(open("to-file", O_PATH | O_NOFOLLOW));
    OK(fstat(fd, &stat_buf));
    CHECK(S_ISLNK(stat_buf.st_mode));
    CHECK_EQ(readlinkat(fd, "", buffer, sizeof(buffer)), 8);
    CHECK(memcmp(buffer, "dir/file", 8) == 0);
    FAILS(open("to-file", O_WRONLY | O_CREAT | O_NOFOLLOW, 0666), ELOOP);
    FAILS(open("to-file", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
}

static void path_descriptor(void)
{
    struct flock lock = {.l_type = F_RDLCK};
    struct stat stat_buf;
    char buffer[256];
    int fd;

    OK(mkdir("dir", 0777));
    guest_write("dir/file", "content");
    fd = (int)OK(open("dir/file", O_PATH));
    FAILS(read(fd, buffer, 1), EBADF);
    FAILS(write(fd, buffer, 1), EBADF);
    FAILS(lseek(fd, 0, SEEK_SET), EBADF);
    FAILS(ftruncate(fd, 0), EBADF);
    FAILS(fchmod(fd, 0600), EBADF);
    FAILS(ioctl(fd, FIONREAD, buffer), EBADF);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EBADF);
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_size, 7);
    CHECK_EQ(OK(fcntl(fd, F_GETFL)), O_PATH);
    FAILS(fcntl(fd, F_SETFL, O_NONBLOCK), EBADF);
    FAILS(fcntl(fd, F_GETLK, &lock), EBADF);
    FAILS(fcntl(fd, F_GETPIPE_SZ), EBADF);
    OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    snprintf(buffer, sizeof(buffer), "/proc/self/fdinfo/%d", fd);
    CHECK(strstr(guest_read(buffer), "flags:\t012000000\n") != NULL);
    OK(dup(fd));
    guest_content(fd_path(fd), "content");
    fd = (int)OK(open("dir", O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
    CHECK_EQ(OK(fcntl(fd, F_GETFL)), O_PATH | O_NOFOLLOW | O_DIRECTORY);
    FAILS(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)), EBADF);
    OK(close((int)OK(openat(fd, "file", O_RDONLY))));
    OK(fchdir(fd));
    guest_content("file", "content");
    OK(fstatat(fd, "", &stat_buf, AT_EMPTY_PATH));
    CHECK(S_ISDIR(stat_buf.st_mode));
}

static void path_descriptor_ignores_permissions(void)
{
    guest_write("secret", "x");
    OK(chmod("secret", 0));
    OK(close((int)OK(open("secret", O_PATH))));
    if (geteuid() != 0)
        FAILS(open("secret", O_RDONLY), EACCES);
}

static int open_tmpfile(int flags)
{
    int fd = open(".", O_TMPFILE | flags, 0640);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        guest_skip("the file system has no O_TMPFILE");
    return (int)OK(fd);
}

static void tmpfile_linked(void)
{
    struct stat stat_buf;
    DIR *dir = opendir(".");
    struct dirent *entry;
    int fd;

    umask(022);
    fd = open_tmpfile(O_RDWR);
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_nlink, 0);
    CHECK_EQ(stat_buf.st_mode, S_IFREG | 0640);
    CHECK_EQ(write(fd, "hidden", 6), 6);
    while ((entry = readdir(dir)))
        CHECK(entry->d_name[0] == '.');
    OK(linkat(AT_FDCWD, fd_path(fd), AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    guest_content("named", "hidden");
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_nlink, 1);
    FAILS(linkat(AT_FDCWD, fd_path(fd), AT_FDCWD, "named", AT_SYMLINK_FOLLOW), EEXIST);
    CHECK_EQ(pwrite(fd, "HID", 3, 0), 3);
    guest_content("named", "HIDden");
}

static void tmpfile_unlinked(void)
{
    int fd = open_tmpfile(O_RDWR | O_EXCL);

    CHECK_EQ(write(fd, "x", 1), 1);
    FAILS(linkat(AT_FDCWD, fd_path(fd), AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
    CHECK(strstr(guest_link(fd_path(fd)), "(deleted)") != NULL);
    FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    guest_write("file", "x");
    FAILS(open("file", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
    FAILS(open("missing", O_TMPFILE | O_RDWR, 0600), ENOENT);
}

static void creating(void)
{
    struct stat stat_buf;
    int fd;

    umask(027);
    fd = (int)OK(open("new", O_RDWR | O_CREAT | O_EXCL, 0666));
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_mode, S_IFREG | 0640);
    FAILS(open("new", O_RDWR | O_CREAT | O_EXCL, 0666), EEXIST);
    OK(close((int)OK(open("new", O_RDWR | O_CREAT, 0))));
    /* A mode without permissions does not hinder the one who creates. */
    fd = (int)OK(open("closed", O_RDWR | O_CREAT, 0));
    CHECK_EQ(write(fd, "12345", 5), 5);
    OK(stat("closed", &stat_buf));
    CHECK_EQ(stat_buf.st_size, 5);
    OK(close((int)OK(open("new", O_WRONLY | O_TRUNC))));
    guest_content("new", "");
    OK(mkdir("dir", 0777));
    FAILS(open("dir", O_RDONLY | O_CREAT, 0666), EISDIR);
    FAILS(open("dir", O_WRONLY), EISDIR);
    FAILS(open("new", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(creat("dir", 0666), EISDIR);
    OK(close((int)OK(creat("created", 0666))));
}

static void creating_through_links(void)
{
    OK(mkdir("dir", 0777));
    OK(symlink("dir/target", "dangling"));
    OK(symlink("missing/target", "hopeless"));
    OK(symlink("dangling", "twice"));
    FAILS(open("dangling", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST);
    FAILS(open("hopeless", O_WRONLY | O_CREAT, 0666), ENOENT);
    guest_write("twice", "through two links");
    guest_content("dir/target", "through two links");
    guest_content("dangling", "through two links");
}

static void magic_links(void)
{
    char *cwd = guest_cwd();
    struct stat stat_buf;
    struct stat other;
    int fd;

    guest_write("file", "content");
    fd = (int)OK(open("file", O_RDONLY));
    CHECK_TEXT(guest_link("/proc/self/cwd"), cwd);
    CHECK_TEXT(guest_link("/proc/self/root"), "/");
    CHECK_TEXT(guest_link(fd_path(fd)), guest_format("%s/file", cwd));
    OK(stat(fd_path(fd), &stat_buf));
    OK(stat("file", &other));
    CHECK_EQ(stat_buf.st_ino, other.st_ino);
    OK(lstat(fd_path(fd), &stat_buf));
    CHECK(S_ISLNK(stat_buf.st_mode));
    guest_content("/proc/self/cwd/file", "content");
    guest_content(guest_format("/proc/self/root%s/file", cwd), "content");
    guest_content(guest_format("/proc/%d/cwd/./file", getpid()), "content");
    guest_content("/proc/thread-self/cwd/file", "content");
    FAILS(open(fd_path(fd), O_RDONLY | O_NOFOLLOW), ELOOP);
    FAILS(open("/proc/self/fd/999", O_RDONLY), ENOENT);
    FAILS(open(guest_format("%s/x", fd_path(fd)), O_RDONLY), ENOTDIR);
    guest_content(guest_format("/dev/fd/%d", fd), "content");
}

static void magic_link_of_deleted_file(void)
{
    char *cwd = guest_cwd();
    int other;
    int fd;

    guest_write("file", "content");
    fd = (int)OK(open("file", O_RDWR));
    OK(unlink("file"));
    CHECK_TEXT(guest_link(fd_path(fd)), guest_format("%s/file (deleted)", cwd));
    other = (int)OK(open(fd_path(fd), O_RDWR));
    CHECK_EQ(write(other, "CON", 3), 3);
    OK(close(other));
    guest_content(fd_path(fd), "CONtent");
    FAILS(open("file", O_RDONLY), ENOENT);
}

static void magic_link_of_memory_and_pipe(void)
{
    int memory = memfd_create("thing", 0);
    char buffer[16];
    int ends[2];
    int fd;

    OK(memory);
    CHECK_EQ(write(memory, "in memory", 9), 9);
    CHECK_TEXT(guest_link(fd_path(memory)), "/memfd:thing (deleted)");
    guest_content(fd_path(memory), "in memory");
    OK(pipe(ends));
    CHECK(strncmp(guest_link(fd_path(ends[0])), "pipe:[", 6) == 0);
    fd = (int)OK(open(fd_path(ends[1]), O_WRONLY));
    CHECK_EQ(write(fd, "pipe", 4), 4);
    CHECK_EQ(read(ends[0], buffer, sizeof(buffer)), 4);
}

static void access_checks(void)
{
    bool root = geteuid() == 0;

    guest_write("plain", "x");
    OK(chmod("plain", 0644));
    OK(symlink("nowhere", "dangling"));
    OK(access("plain", F_OK | R_OK | W_OK));
    FAILS(access("plain", X_OK), EACCES);
    FAILS(access("missing", F_OK), ENOENT);
    FAILS(access("dangling", F_OK), ENOENT);
    OK(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
    OK(faccessat(AT_FDCWD, "plain", W_OK, AT_EACCESS));
    FAILS(syscall(SYS_access, "plain", 8), EINVAL);
    OK(chmod("plain", 0111));
    OK(access("plain", X_OK));
    OK(mkdir("dir", 0));
    if (root) {
        OK(access("plain", R_OK | W_OK));
        OK(access("dir", X_OK));
    } else {
        FAILS(access("plain", R_OK), EACCES);
        FAILS(access("dir", X_OK), EACCES);
    }
}

static void status_flags(void)
{
    char buffer[8];
    int fd;

    guest_write("file", "base");
    fd = (int)OK(open("file", O_WRONLY | O_APPEND));
    CHECK_EQ(OK(fcntl(fd, F_GETFL)) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    CHECK_EQ(pwrite(fd, "+1", 2, 0), 2);
    OK(fcntl(fd, F_SETFL, 0));
    CHECK_EQ(pwrite(fd, "B", 1, 0), 1);
    guest_content("file", "Base+1");
    FAILS(read(fd, buffer, 1), EBADF);
    fd = (int)OK(open("file", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    CHECK(OK(fcntl(fd, F_GETFL)) & O_NONBLOCK);
    FAILS(write(fd, "x", 1), EBADF);
    fd = (int)OK(open("file", O_RDONLY));
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), 0);
}

static void lowest_number(void)
{
    int first;
    int second;

    guest_write("file", "x");
    first = (int)OK(open("file", O_RDONLY));
    second = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
    CHECK(second > first);
    OK(close(first));
    CHECK_EQ(
        OK(open("/proc/self/status", O_RDONLY)) == first || OK(open("file", O_RDONLY)) == first, 1);
}

static void opening_devices(void)
{
    char buffer[8] = "1234567";
    int fd = (int)OK(open("/dev/zero", O_RDWR));

    CHECK_EQ(read(fd, buffer, sizeof(buffer)), sizeof(buffer));
    CHECK(buffer[0] == 0 && buffer[7] == 0);
    fd = (int)OK(open("/dev/full", O_WRONLY));
    FAILS(write(fd, "x", 1), ENOSPC);
    fd = (int)OK(open("/dev/null", O_RDWR | O_TRUNC | O_CREAT, 0666));
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(read(fd, buffer, 1), 0);
}

static const struct guest_case cases[] = {
    {"nofollow", nofollow},
    {"path-descriptor", path_descriptor},
    {"path-descriptor-ignores-permissions", path_descriptor_ignores_permissions},
    {"tmpfile-linked", tmpfile_linked},
    {"tmpfile-unlinked", tmpfile_unlinked},
    {"creating", creating},
    {"creating-through-links", creating_through_links},
    {"magic-links", magic_links},
    {"magic-link-of-deleted-file", magic_link_of_deleted_file},
    {"magic-link-of-memory-and-pipe", magic_link_of_memory_and_pipe},
    {"access-checks", access_checks},
    {"status-flags", status_flags},
    {"lowest-number", lowest_number},
    {"opening-devices", opening_devices},
};

GUEST_MAIN(cases)

/* Regular files: rename, link, content, mappings, locks. */
#include "guest.h"

#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void rename_files(void)
{
    struct stat stat_buf;

    guest_write("a", "a");
    guest_write("b", "b");
    OK(mkdir("dir", 0777));
    OK(mkdir("full", 0777));
    guest_write("full/x", "x");
    OK(rename("a", "b"));
    guest_content("b", "a");
    FAILS(stat("a", &stat_buf), ENOENT);
    FAILS(rename("a", "c"), ENOENT);
    FAILS(rename("b", "dir"), EISDIR);
    FAILS(rename("dir", "b"), ENOTDIR);
    FAILS(rename("dir", "full"), ENOTEMPTY);
    FAILS(rename("full", "full/x/y"), ENOTDIR);
    FAILS(rename("full", "full/inside"), EINVAL);
    FAILS(rename("full/x", "full"), ENOTEMPTY);
    OK(rename("full", "dir"));
    guest_content("dir/x", "x");
    OK(rename("b", "dir/moved"));
    guest_content("dir/moved", "a");
    OK(rename("dir/moved", "dir/moved"));
    FAILS(rename("dir/moved", "missing/x"), ENOENT);
}

static void rename_of_the_same_file(void)
{
    struct stat stat_buf;

    guest_write("a", "x");
    OK(link("a", "b"));
    /* Two names of one file: nothing happens, and both stay. */
    OK(rename("a", "b"));
    OK(stat("a", &stat_buf));
    CHECK_EQ(stat_buf.st_nlink, 2);
}

static long rename_with(const char *from, const char *to, unsigned flags)
{
    long r = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);

    return r;
}

static void rename_flags(void)
{
    struct stat stat_buf;

    guest_write("a", "a");
    guest_write("b", "b");
    OK(mkdir("dir", 0777));
    guest_write("dir/x", "x");
    FAILS(rename_with("a", "b", RENAME_NOREPLACE), EEXIST);
    guest_content("b", "b");
    OK(rename_with("a", "c", RENAME_NOREPLACE));
    guest_content("c", "a");
    OK(rename_with("b", "c", RENAME_EXCHANGE));
    guest_content("c", "b");
    guest_content("b", "a");
    OK(rename_with("c", "dir", RENAME_EXCHANGE));
    guest_content("dir", "b");
    guest_content("c/x", "x");
    OK(stat("c", &stat_buf));
    CHECK(S_ISDIR(stat_buf.st_mode));
    FAILS(rename_with("c", "missing", RENAME_EXCHANGE), ENOENT);
    FAILS(rename_with("b", "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    FAILS(rename_with("b", "d", 1 << 9), EINVAL);
}

static void rename_keeps_open_files(void)
{
    int fd;

    guest_write("a", "a");
    guest_write("b", "b");
    fd = (int)OK(open("b", O_RDWR));
    OK(rename("a", "b"));
    CHECK_EQ(pwrite(fd, "old", 3, 0), 3);
    guest_content("b", "a");
    guest_content(guest_format("/proc/self/fd/%d", fd), "old");
    fd = (int)OK(open("b", O_RDWR));
    OK(rename("b", "c"));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)), guest_format("%s/c", guest_cwd()));
    CHECK_EQ(write(fd, "A", 1), 1);
    guest_content("c", "A");
}

static void hard_links(void)
{
    struct stat first;
    struct stat second;

    guest_write("a", "shared");
    OK(mkdir("dir", 0777));
    OK(link("a", "dir/b"));
    OK(stat("a", &first));
    OK(stat("dir/b", &second));
    CHECK_EQ(first.st_ino, second.st_ino);
    CHECK_EQ(first.st_nlink, 2);
    guest_write("dir/b", "changed");
    guest_content("a", "changed");
    FAILS(link("a", "dir/b"), EEXIST);
    FAILS(link("dir", "other"), EPERM);
    FAILS(link("missing", "other"), ENOENT);
    FAILS(link("a", "missing/b"), ENOENT);
    OK(unlink("a"));
    guest_content("dir/b", "changed");
    OK(stat("dir/b", &second));
    CHECK_EQ(second.st_nlink, 1);
}

static void links_to_links(void)
{
    struct stat stat_buf;

    guest_write("file", "x");
    OK(symlink("file", "soft"));
    OK(link("soft", "copy"));
    OK(lstat("copy", &stat_buf));
    CHECK(S_ISLNK(stat_buf.st_mode));
    CHECK_EQ(stat_buf.st_nlink, 2);
    OK(linkat(AT_FDCWD, "soft", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW));
    OK(lstat("hard", &stat_buf));
    CHECK(S_ISREG(stat_buf.st_mode));
    FAILS(linkat(AT_FDCWD, "soft", AT_FDCWD, "other", 0x8000000), EINVAL);
}

static void symbolic_links(void)
{
    struct stat stat_buf;
    char buffer[16];

    OK(symlink("some/target", "soft"));
    OK(lstat("soft", &stat_buf));
    CHECK_EQ(stat_buf.st_size, 11);
    CHECK_EQ(stat_buf.st_mode, S_IFLNK | 0777);
    CHECK_EQ(readlink("soft", buffer, 4), 4);
    CHECK(memcmp(buffer, "some", 4) == 0);
    FAILS(readlink("soft", buffer, 0), EINVAL);
    FAILS(symlink("x", "soft"), EEXIST);
    guest_write("file", "x");
    FAILS(readlink("file", buffer, sizeof(buffer)), EINVAL);
    FAILS(readlink("missing", buffer, sizeof(buffer)), ENOENT);
    FAILS(symlink("x", "missing/soft"), ENOENT);
    OK(unlink("soft"));
    FAILS(lstat("soft", &stat_buf), ENOENT);
}

static void removed_but_open(void)
{
    struct stat stat_buf;
    int fd;

    guest_write("file", "alive");
    fd = (int)OK(open("file", O_RDWR));
    OK(unlink("file"));
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_nlink, 0);
    CHECK_EQ(stat_buf.st_size, 5);
    CHECK_EQ(write(fd, "ALIVE!", 6), 6);
    guest_write("file", "another");
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_size, 6);
    guest_content("file", "another");
}

static void truncating(void)
{
    struct stat stat_buf;
    char buffer[16];
    int fd;

    guest_write("file", "0123456789");
    OK(truncate("file", 4));
    guest_content("file", "0123");
    fd = (int)OK(open("file", O_RDWR));
    OK(ftruncate(fd, 8));
    CHECK_EQ(pread(fd, buffer, sizeof(buffer), 0), 8);
    CHECK(memcmp(buffer, "0123\0\0\0\0", 8) == 0);
    FAILS(truncate("file", -1), EINVAL);
    FAILS(truncate("missing", 0), ENOENT);
    FAILS(truncate(".", 0), EISDIR);
    fd = (int)OK(open("file", O_RDONLY));
    FAILS(ftruncate(fd, 0), EINVAL);
    OK(truncate("file", 1L << 32));
    OK(stat("file", &stat_buf));
    CHECK_EQ(stat_buf.st_size, 1L << 32);
    CHECK(stat_buf.st_blocks < 1000);
}

static void allocating(void)
{
    struct stat stat_buf;
    char buffer[4] = "";
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    if (fallocate(fd, 0, 0, 100000) < 0 && errno == EOPNOTSUPP)
        guest_skip("the file system has no fallocate");
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_size, 100000);
    OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 100000, 100000));
    OK(fstat(fd, &stat_buf));
    CHECK_EQ(stat_buf.st_size, 100000);
    CHECK_EQ(pwrite(fd, "abc", 3, 50000), 3);
    OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 49152, 8192));
    CHECK_EQ(pread(fd, buffer, 3, 50000), 3);
    CHECK(memcmp(buffer, "\0\0\0", 3) == 0);
    FAILS(fallocate(fd, 0, -1, 10), EINVAL);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(fallocate((int)OK(open("file", O_RDONLY)), 0, 0, 10), EBADF);
}

static void holes(void)
{
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    CHECK_EQ(pwrite(fd, "x", 1, 1 << 20), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), (1 << 20) + 1);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK(lseek(fd, 0, SEEK_DATA) <= 1 << 20);
    FAILS(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
}

static void copying(void)
{
    loff_t from = 2;
    loff_t to = 1;
    off_t offset = 0;
    int in;
    int out;

    guest_write("in", "0123456789");
    guest_write("out", "abcdefghij");
    in = (int)OK(open("in", O_RDONLY));
    out = (int)OK(open("out", O_RDWR));
    CHECK_EQ(OK(copy_file_range(in, &from, out, &to, 4, 0)), 4);
    CHECK_EQ(from, 6);
    guest_content("out", "a2345fghij");
    CHECK_EQ(OK(copy_file_range(in, NULL, out, NULL, 100, 0)), 10);
    guest_content("out", "0123456789");
    CHECK_EQ(OK(sendfile(out, in, &offset, 3)), 3);
    guest_content("out", "0123456789012");
    FAILS(copy_file_range(out, NULL, in, NULL, 1, 0), EBADF);
    FAILS(copy_file_range(in, NULL, out, NULL, 1, 77), EINVAL);
}

static void splicing(void)
{
    char buffer[16];
    loff_t offset = 3;
    int ends[2];
    int fd;

    guest_write("file", "0123456789");
    fd = (int)OK(open("file", O_RDWR));
    OK(pipe(ends));
    CHECK_EQ(OK(splice(fd, &offset, ends[1], NULL, 4, 0)), 4);
    CHECK_EQ(read(ends[0], buffer, sizeof(buffer)), 4);
    CHECK(memcmp(buffer, "3456", 4) == 0);
    CHECK_EQ(write(ends[1], "XY", 2), 2);
    offset = 0;
    CHECK_EQ(OK(splice(ends[0], NULL, fd, &offset, 2, 0)), 2);
    guest_content("file", "XY23456789");
}

static void mapping(void)
{
    char *shared;
    char *private_map;
    int fd;

    guest_write("file", "mapped content");
    fd = (int)OK(open("file", O_RDWR));
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private_map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(shared != MAP_FAILED && private_map != MAP_FAILED);
    memcpy(shared, "MAPPED", 6);
    OK(msync(shared, 4096, MS_SYNC));
    guest_content("file", "MAPPED content");
    private_map[0] = 'm';
    guest_content("file", "MAPPED content");
    CHECK_EQ(pwrite(fd, "C", 1, 7), 1);
    CHECK_EQ(shared[7], 'C');
    OK(unlink("file"));
    CHECK_EQ(shared[8], 'o');
}

static void mapping_is_shared_with_children(void)
{
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));
    volatile char *memory;
    pid_t pid;

    OK(ftruncate(fd, 4096));
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        memory[9] = 9;
        _exit(0);
    }
    guest_join(pid);
    CHECK_EQ(memory[9], 9);
}

static void lock_child(void *argument)
{
    int fd = (int)OK(open("file", O_RDWR));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)argument;
    FAILS(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    FAILS(fcntl(fd, F_SETLK, &whole), EAGAIN);
    OK(fcntl(fd, F_GETLK, &whole));
    CHECK_EQ(whole.l_pid, getppid());
}

static void locks(void)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    OK(flock(fd, LOCK_EX));
    OK(fcntl(fd, F_SETLK, &whole));
    guest_join(guest_fork(lock_child, NULL));
    OK(flock(fd, LOCK_UN));
    OK(flock((int)OK(open("file", O_RDONLY)), LOCK_EX | LOCK_NB));
}

static void on_alarm(int number)
{
    (void)number;
}

static void blocked_lock_child(void *argument)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = (int)OK(open("file", O_RDWR));

    (void)argument;
    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(fcntl(fd, F_SETLKW, &whole), EINTR);
}

static void blocked_lock_is_interrupted(void)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    OK(fcntl(fd, F_SETLK, &whole));
    guest_join(guest_fork(blocked_lock_child, NULL));
}

static void large_content(void)
{
    enum { SIZE = 8 << 20 };
    unsigned char *data = malloc(SIZE);
    unsigned char *back = malloc(SIZE);
    int fd = (int)OK(open("big", O_RDWR | O_CREAT, 0666));

    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 2654435761U >> 13);
    CHECK_EQ(write(fd, data, SIZE), SIZE);
    CHECK_EQ(pread(fd, back, SIZE, 0), SIZE);
    CHECK(memcmp(data, back, SIZE) == 0);
}

static void many_open(void)
{
    struct rlimit limit;
    int numbers[4096];
    int count = 0;
    char text[16];

    OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max < 1024 ? limit.rlim_max : 1024;
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    OK(mkdir("many", 0777));
    for (; count < 4096; count++) {
        int fd = open(guest_format("many/%d", count), O_RDWR | O_CREAT, 0666);

        if (fd < 0) {
            CHECK_EQ(errno, EMFILE);
            break;
        }
        numbers[count] = fd;
        snprintf(text, sizeof(text), "%d", count);
        CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    }
    CHECK(count > 900 && count < 1024);
    for (int i = 0; i < count; i++) {
        char found[16] = "";

        CHECK(pread(numbers[i], found, sizeof(found) - 1, 0) > 0);
        snprintf(text, sizeof(text), "%d", i);
        CHECK_TEXT(found, text);
    }
    for (int i = 0; i < count; i++)
        OK(close(numbers[i]));
    OK(close((int)OK(open("many/0", O_RDONLY))));
}

static const struct guest_case cases[] = {
    {"rename", rename_files},
    {"rename-of-the-same-file", rename_of_the_same_file},
    {"rename-flags", rename_flags},
    {"rename-keeps-open-files", rename_keeps_open_files},
    {"hard-links", hard_links},
    {"links-to-links", links_to_links},
    {"symbolic-links", symbolic_links},
    {"removed-but-open", removed_but_open},
    {"truncating", truncating},
    {"allocating", allocating},
    {"holes", holes},
    {"copying", copying},
    {"splicing", splicing},
    {"mapping", mapping},
    {"mapping-is-shared-with-children", mapping_is_shared_with_children},
    {"locks", locks},
    {"blocked-lock-is-interrupted", blocked_lock_is_interrupted},
    {"large-content", large_content},
    {"many-open", many_open},
};

GUEST_MAIN(cases)

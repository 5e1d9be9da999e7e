/* read, write, lseek, pread, pwrite, readv, writev, truncate. */
#define FAMILY "readwrite"
#include "conform.h"

#include <sys/resource.h>
#include <sys/uio.h>

static int with(const char *text)
{
    file("f", text);
    return (int)ok(open("f", O_RDWR));
}

REFUSED(read_bad, "read(2) EBADF", read(-1, (char[1]){0}, 1), EBADF)
REFUSED(write_bad, "write(2) EBADF", write(99, "x", 1), EBADF)
REFUSED(lseek_bad, "lseek(2) EBADF", lseek(-1, 0, SEEK_SET), EBADF)
REFUSED(truncate_missing, "truncate(2) ENOENT", truncate("no", 0), ENOENT)
REFUSED(truncate_directory, "truncate(2) EISDIR", truncate(".", 0), EISDIR)
REFUSED(truncate_pointer, "truncate(2) EFAULT", truncate((char *)8, 0), EFAULT)
REFUSED(truncate_negative, "truncate(2) EINVAL", truncate("x", -1), EINVAL)
REFUSED(ftruncate_bad, "ftruncate(2) EBADF", ftruncate(-1, 0), EBADF)
REFUSED(readv_count, "readv(2) EINVAL", readv(0, NULL, -1), EINVAL)

CHECK(read_only, "write(2) EBADF")
{
    file("f", "");
    fails(write((int)ok(open("f", O_RDONLY)), "x", 1), EBADF);
    fails(ftruncate((int)ok(open("f", O_RDONLY)), 0), EINVAL);
}

CHECK(write_only, "read(2) EBADF")
{
    char byte;

    file("f", "");
    fails(read((int)ok(open("f", O_WRONLY)), &byte, 1), EBADF);
}

CHECK(read_pointer, "read(2) EFAULT")
{
    fails(read(with("text"), (char *)8, 4), EFAULT);
}

CHECK(end_of_file, "read(2): 0 at the end")
{
    char text[8];
    int fd = with("text");

    is(read(fd, text, sizeof(text)), 4);
    is(read(fd, text, sizeof(text)), 0);
    is(lseek(fd, 100, SEEK_SET), 100);
    is(read(fd, text, sizeof(text)), 0);
}

CHECK(hole, "lseek(2): a hole reads as zeros")
{
    char text[8];
    int fd = with("a");

    is(lseek(fd, 6, SEEK_SET), 6);
    is(write(fd, "b", 1), 1);
    is(pread(fd, text, 8, 0), 7);
    is(memcmp(text, "a\0\0\0\0\0b", 7), 0);
}

CHECK(seek_errors, "lseek(2) EINVAL")
{
    int fd = with("text");

    fails(lseek(fd, -1, SEEK_SET), EINVAL);
    fails(lseek(fd, -5, SEEK_END), EINVAL);
    fails(lseek(fd, 0, 99), EINVAL);
    is(lseek(fd, -4, SEEK_END), 0);
}

CHECK(seek_pipe, "lseek(2) ESPIPE")
{
    int ends[2];
    char byte;

    ok(pipe(ends));
    fails(lseek(ends[0], 0, SEEK_CUR), ESPIPE);
    fails(pread(ends[0], &byte, 1, 0), ESPIPE);
    fails(pwrite(ends[1], "x", 1, 0), ESPIPE);
}

CHECK(seek_data_and_hole, "lseek(2) SEEK_DATA, SEEK_HOLE, ENXIO")
{
    int fd = with("text");

    is(lseek(fd, 0, SEEK_DATA), 0);
    is(lseek(fd, 0, SEEK_HOLE), 4);
    fails(lseek(fd, 4, SEEK_DATA), ENXIO);
    fails(lseek(fd, 4, SEEK_HOLE), ENXIO);
    ok(ftruncate(fd, 1 << 20));
    must(ok(lseek(fd, 0, SEEK_HOLE)) >= 4);
}

CHECK(pread_keeps_position, "pread(2): the offset is not changed")
{
    char text[4];
    int fd = with("text");

    is(pread(fd, text, 2, 2), 2);
    is(lseek(fd, 0, SEEK_CUR), 0);
    is(pwrite(fd, "X", 1, 3), 1);
    is(lseek(fd, 0, SEEK_CUR), 0);
    content("f", "texX");
    fails(pread(fd, text, 1, -1), EINVAL);
}

CHECK(pwrite_append, "pwrite(2) BUGS: O_APPEND appends whatever the offset")
{
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_WRONLY | O_APPEND));
    is(pwrite(fd, "X", 1, 0), 1);
    content("f", "textX");
}

CHECK(vectors, "readv(2), writev(2)")
{
    char a[3] = "";
    char b[8] = "";
    struct iovec out[] = {{"one", 3}, {"", 0}, {"two", 3}};
    struct iovec in[] = {{a, 2}, {b, 7}};
    int fd = with("");

    is(writev(fd, out, 3), 6);
    content("f", "onetwo");
    is(lseek(fd, 0, SEEK_SET), 0);
    is(readv(fd, in, 2), 6);
    same(a, "on");
    same(b, "etwo");
}

CHECK(vectors_too_many, "readv(2) EINVAL above IOV_MAX")
{
    static struct iovec many[IOV_MAX + 1];
    int fd = with("text");

    fails(readv(fd, many, IOV_MAX + 1), EINVAL);
    is(readv(fd, many, IOV_MAX), 0);
    many[0].iov_len = SIZE_MAX;
    fails(readv(fd, many, 2), EINVAL);
}

CHECK(preadv2_flags, "preadv2(2) EOPNOTSUPP, offset -1")
{
    char a[8] = "";
    struct iovec in = {a, 2};
    int fd = with("text");

    is(preadv2(fd, &in, 1, -1, 0), 2);
    is(lseek(fd, 0, SEEK_CUR), 2);
    fails(preadv2(fd, &in, 1, 0, 1 << 30), EOPNOTSUPP);
}

CHECK(append_flag_of_one_write, "pwritev2(2) RWF_APPEND")
{
    struct iovec out = {"X", 1};
    int fd = with("text");

    is(pwritev2(fd, &out, 1, 0, RWF_APPEND), 1);
    content("f", "textX");
}

CHECK(grow_and_shrink, "truncate(2): extended with zeros")
{
    char text[8];
    int fd = with("text");

    ok(truncate("f", 2));
    ok(truncate("f", 6));
    is(pread(fd, text, 8, 0), 6);
    is(memcmp(text, "te\0\0\0\0", 6), 0);
    ok(ftruncate(fd, 0));
    is(size_of("f"), 0);
}

CHECK(truncate_keeps_position, "truncate(2): the file offset is not changed")
{
    int fd = with("text");

    is(lseek(fd, 3, SEEK_SET), 3);
    ok(ftruncate(fd, 0));
    is(lseek(fd, 0, SEEK_CUR), 3);
}

CHECK(truncate_needs_write, "truncate(2) EACCES")
{
    as_user();
    file("f", "text");
    ok(chmod("f", 0444));
    fails(truncate("f", 0), EACCES);
    is(size_of("f"), 4);
}

CHECK(truncate_fifo, "truncate(2) EINVAL")
{
    ok(mkfifo("p", 0644));
    fails(truncate("p", 0), EINVAL);
}

CHECK(truncate_clears_set_id, "truncate(2): set-user-ID is cleared")
{
    as_user();
    file("f", "text");
    ok(chmod("f", 06755));
    ok(truncate("f", 1));
    is(mode_of("f"), 0755);
}

CHECK(write_clears_set_id, "inode(7): a write clears set-user-ID")
{
    int fd;

    as_user();
    fd = with("text");
    ok(chmod("f", 06755));
    is(write(fd, "T", 1), 1);
    is(mode_of("f"), 0755);
}

CHECK(write_changes_times, "inode(7): mtime and ctime")
{
    struct timespec times[2] = {{100, 0}, {100, 0}};
    struct stat status;
    int fd = with("text");

    ok(futimens(fd, times));
    is(write(fd, "T", 1), 1);
    ok(fstat(fd, &status));
    must(status.st_mtim.tv_sec > 1000);
    is(status.st_atim.tv_sec, 100);
}

CHECK(write_of_nothing, "write(2): count 0 changes nothing")
{
    struct timespec times[2] = {{100, 0}, {100, 0}};
    struct stat status;
    int fd = with("text");

    ok(futimens(fd, times));
    is(write(fd, "", 0), 0);
    ok(fstat(fd, &status));
    is(status.st_mtim.tv_sec, 100);
}

CHECK(two_descriptors, "read(2): what was written is read at once")
{
    char text[4] = "";
    int one = with("old");
    int two = (int)ok(open("f", O_RDONLY));

    is(write(one, "new", 3), 3);
    is(read(two, text, 3), 3);
    same(text, "new");
}

CHECK(offset_shared_by_fork, "fork(2): open file descriptions are shared")
{
    int fd = with("abcdef");
    char text[3] = "";

    IN_CHILD is(read(fd, text, 2), 2);
    is(read(fd, text, 2), 2);
    same(text, "cd");
}

CHECK(size_limit, "write(2) EFBIG and SIGXFSZ")
{
    struct rlimit limit = {10, 10};
    int fd = with("");

    handle(SIGXFSZ, count_signal, 0);
    ok(setrlimit(RLIMIT_FSIZE, &limit));
    is(write(fd, "0123456789abc", 13), 10);
    fails(write(fd, "x", 1), EFBIG);
    is(ticks, 1);
    fails(ftruncate(fd, 11), EFBIG);
    is(ticks, 2);
}

CHECK(size_limit_kills, "setrlimit(2) RLIMIT_FSIZE: SIGXFSZ ends a process")
{
    int fd = with("");
    pid_t pid = spawn();

    if (pid == 0) {
        struct rlimit limit = {0, 0};

        setrlimit(RLIMIT_CORE, &limit);
        setrlimit(RLIMIT_FSIZE, &limit);
        write(fd, "x", 1);
        _exit(0);
    }
    killed(pid, SIGXFSZ);
}

CHECK(size_limit_truncate, "truncate(2) EFBIG")
{
    struct rlimit limit = {10, 10};

    file("f", "text");
    handle(SIGXFSZ, count_signal, 0);
    ok(setrlimit(RLIMIT_FSIZE, &limit));
    fails(truncate("f", 11), EFBIG);
    is(ticks, 1);
    ok(truncate("f", 10));
}

CHECK(large_offsets, "lseek(2): above 4 GiB")
{
    char text[2] = "";
    int fd = with("");

    if (pwrite(fd, "x", 1, 5ll << 30) != 1)
        skip("no files of that size here");
    is(size_of("f"), (5ll << 30) + 1);
    is(pread(fd, text, 1, 5ll << 30), 1);
    same(text, "x");
}

CHECK(synchronisation, "fsync(2), fdatasync(2), sync_file_range(2)")
{
    int ends[2];
    int fd = with("text");

    ok(fsync(fd));
    ok(fdatasync(fd));
    ok(syncfs(fd));
    ok(pipe(ends));
    fails(fsync(ends[0]), EINVAL);
    fails(fsync(-1), EBADF);
}

CHECK(advice, "posix_fadvise(2): errors as values")
{
    int ends[2];
    int fd = with("text");

    is(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED), 0);
    is(posix_fadvise(fd, 0, 0, 99), EINVAL);
    ok(pipe(ends));
    is(posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
    is(posix_fadvise(-1, 0, 0, POSIX_FADV_NORMAL), EBADF);
}

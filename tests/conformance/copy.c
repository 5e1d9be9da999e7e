/* copy_file_range, sendfile, splice, tee, fallocate. */
#define FAMILY "copy"
#include "conform.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static int with(const char *path, const char *text)
{
    file(path, text);
    return (int)ok(open(path, O_RDWR));
}

REFUSED(range_bad, "copy_file_range(2) EBADF", copy_file_range(-1, NULL, 0, NULL, 1, 0), EBADF)
REFUSED(range_flags, "copy_file_range(2) EINVAL",
        copy_file_range(with("a", "x"), NULL, with("b", ""), NULL, 1, 1), EINVAL)
REFUSED(range_directory, "copy_file_range(2) EISDIR",
        copy_file_range((int)ok(open(".", O_RDONLY)), NULL, with("b", ""), NULL, 1, 0), EISDIR)
REFUSED(range_append, "copy_file_range(2) EBADF",
        copy_file_range(with("a", "x"), NULL,
                        (int)ok(open("b", O_WRONLY | O_CREAT | O_APPEND, 0644)), NULL, 1, 0),
        EBADF)
REFUSED(range_read_only, "copy_file_range(2) EBADF",
        copy_file_range(with("a", "x"), NULL, ({
                            file("b", "");
                            (int)ok(open("b", O_RDONLY));
                        }),
                        NULL, 1, 0),
        EBADF)
REFUSED(range_overlap, "copy_file_range(2) EINVAL", ({
            int f_ = with("a", "abcdef");
            off_t i_ = 0;
            off_t o_ = 2;
            copy_file_range(f_, &i_, f_, &o_, 4, 0);
        }),
        EINVAL)
REFUSED(sendfile_bad, "sendfile(2) EBADF", sendfile(1, -1, NULL, 1), EBADF)
REFUSED(sendfile_append, "sendfile(2) EINVAL",
        sendfile((int)ok(open("b", O_WRONLY | O_CREAT | O_APPEND, 0644)), with("a", "x"), NULL, 1),
        EINVAL)
REFUSED(splice_no_pipe, "splice(2) EINVAL", splice(with("a", "x"), NULL, with("b", ""), NULL, 1, 0),
        EINVAL)
REFUSED(splice_bad, "splice(2) EBADF", splice(-1, NULL, 1, NULL, 1, 0), EBADF)
REFUSED(splice_pipe_offset, "splice(2) ESPIPE", ({
            int e_[2];
            off_t o_ = 0;
            pipe(e_);
            splice(with("a", "x"), NULL, e_[1], &o_, 1, 0);
        }),
        ESPIPE)
REFUSED(tee_files, "tee(2) EINVAL", tee(with("a", "x"), with("b", ""), 1, 0), EINVAL)
REFUSED(fallocate_negative, "fallocate(2) EINVAL", fallocate(with("a", ""), 0, -1, 1), EINVAL)
REFUSED(fallocate_nothing, "fallocate(2) EINVAL", fallocate(with("a", ""), 0, 0, 0), EINVAL)
REFUSED(fallocate_mode, "fallocate(2) EOPNOTSUPP", fallocate(with("a", ""), 1 << 20, 0, 1),
        EOPNOTSUPP)
REFUSED(fallocate_punch_alone, "fallocate(2) EOPNOTSUPP", fallocate(with("a", ""), 2, 0, 1),
        EOPNOTSUPP)
REFUSED(fallocate_read_only, "fallocate(2) EBADF", ({
            file("a", "");
            fallocate((int)ok(open("a", O_RDONLY)), 0, 0, 1);
        }),
        EBADF)
REFUSED(fallocate_pipe, "fallocate(2) ESPIPE", ({
            int e_[2];
            pipe(e_);
            fallocate(e_[1], 0, 0, 1);
        }),
        ESPIPE)

CHECK(range, "copy_file_range(2): positions and offsets")
{
    int from = with("a", "abcdef");
    int to = with("b", "");
    off_t in = 2;
    off_t out = 1;

    is(copy_file_range(from, NULL, to, NULL, 3, 0), 3);
    content("b", "abc");
    is(lseek(from, 0, SEEK_CUR), 3);
    is(copy_file_range(from, &in, to, &out, 2, 0), 2);
    content("b", "acd");
    is(in, 4);
    is(out, 3);
    is(lseek(from, 0, SEEK_CUR), 3);
    is(copy_file_range(from, NULL, to, NULL, 100, 0), 3);
    is(copy_file_range(from, NULL, to, NULL, 100, 0), 0);
}

CHECK(send_to_file, "sendfile(2): to a file, with and without an offset")
{
    int from = with("a", "abcdef");
    int to = with("b", "");
    off_t offset = 4;

    is(sendfile(to, from, &offset, 10), 2);
    is(offset, 6);
    is(lseek(from, 0, SEEK_CUR), 0);
    is(sendfile(to, from, NULL, 3), 3);
    is(lseek(from, 0, SEEK_CUR), 3);
    content("b", "efabc");
}

CHECK(send_to_socket, "sendfile(2): to a socket and a pipe")
{
    int from = with("a", "abcdef");
    int ends[2];
    char text[8] = "";

    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    is(sendfile(ends[0], from, NULL, 6), 6);
    is(read(ends[1], text, 8), 6);
    same(text, "abcdef");
    ok(pipe(ends));
    is(sendfile(ends[1], from, &(off_t){0}, 3), 3);
    is(read(ends[0], text, 8), 3);
}

CHECK(splice_both_ways, "splice(2): file, pipe, file")
{
    int from = with("a", "abcdef");
    int to = with("b", "");
    int ends[2];
    off_t offset = 2;

    ok(pipe(ends));
    is(splice(from, &offset, ends[1], NULL, 3, 0), 3);
    is(offset, 5);
    is(splice(ends[0], NULL, to, NULL, 10, 0), 3);
    content("b", "cde");
}

CHECK(splice_empty, "splice(2) EAGAIN, 0 without writers")
{
    int to = with("b", "");
    int ends[2];

    ok(pipe(ends));
    fails(splice(ends[0], NULL, to, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    ok(close(ends[1]));
    is(splice(ends[0], NULL, to, NULL, 1, 0), 0);
}

CHECK(tee_duplicates, "tee(2): the data stays")
{
    int one[2];
    int two[2];
    char text[8] = "";

    ok(pipe(one));
    ok(pipe(two));
    ok(write(one[1], "abc", 3));
    is(tee(one[0], two[1], 10, 0), 3);
    is(read(one[0], text, 8), 3);
    is(read(two[0], text, 8), 3);
    same(text, "abc");
}

CHECK(memory_to_pipe, "vmsplice(2)")
{
    struct iovec data = {"abc", 3};
    int ends[2];
    char text[8] = "";

    ok(pipe(ends));
    is(vmsplice(ends[1], &data, 1, 0), 3);
    is(read(ends[0], text, 8), 3);
    same(text, "abc");
}

CHECK(allocate, "fallocate(2): grows, or keeps the size")
{
    int fd = with("a", "x");

    ok(fallocate(fd, 0, 0, 10000));
    is(size_of("a"), 10000);
    ok(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
    is(size_of("a"), 10000);
}

CHECK(punch, "fallocate(2) FALLOC_FL_PUNCH_HOLE")
{
    static char text[12289];
    char byte = 1;
    int fd;

    memset(text, 'x', 12288);
    fd = with("a", text);
    ok(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    is(pread(fd, &byte, 1, 5000), 1);
    is(byte, 0);
    is(pread(fd, &byte, 1, 9000), 1);
    is(byte, 'x');
    is(size_of("a"), 12288);
}

CHECK(allocate_clears_set_id, "fallocate(2): set-user-ID is cleared")
{
    int fd;

    as_user();
    fd = with("a", "x");
    ok(chmod("a", 04755));
    ok(fallocate(fd, 0, 0, 5000));
    is(mode_of("a"), 0755);
}

CHECK(posix_allocate, "posix_fallocate(3): errors as values")
{
    int fd = with("a", "");

    is(posix_fallocate(fd, 0, 500), 0);
    is(size_of("a"), 500);
    is(posix_fallocate(fd, 0, 0), EINVAL);
    is(posix_fallocate(-1, 0, 1), EBADF);
}

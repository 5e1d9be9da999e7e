/* dup, fcntl, close_range, ioctl on descriptors. */
#define FAMILY "descriptors"
#include "conform.h"

#include <sys/ioctl.h>
#include <sys/resource.h>

#define CLOSE_RANGE_CLOEXEC_ 4u

static int some(void)
{
    file("f", "abcdef");
    return (int)ok(open("f", O_RDWR));
}

REFUSED(dup_bad, "dup(2) EBADF", dup(-1), EBADF)
REFUSED(dup2_bad_old, "dup2(2) EBADF", dup2(77, 5), EBADF)
REFUSED(dup2_bad_new, "dup2(2) EBADF", dup2(0, -1), EBADF)
REFUSED(dup3_same, "dup3(2) EINVAL", dup3(0, 0, 0), EINVAL)
REFUSED(dup3_flags, "dup3(2) EINVAL", dup3(0, 5, O_APPEND), EINVAL)
REFUSED(fcntl_command, "fcntl(2) EINVAL", fcntl(0, 9999), EINVAL)
REFUSED(fcntl_bad, "fcntl(2) EBADF", fcntl(-1, F_GETFD), EBADF)
REFUSED(dupfd_negative, "fcntl(2) EINVAL", fcntl(0, F_DUPFD, -1), EINVAL)
REFUSED(close_range_flags, "close_range(2) EINVAL", close_range(3, 5, 1 << 20), EINVAL)
REFUSED(close_range_order, "close_range(2) EINVAL", close_range(5, 3, 0), EINVAL)
REFUSED(ioctl_bad, "ioctl(2) EBADF", ioctl(-1, FIONREAD, &(int){0}), EBADF)
REFUSED(pipe_flags, "pipe2(2) EINVAL", pipe2((int[2]){0}, O_TRUNC), EINVAL)
REFUSED(pipe_pointer, "pipe(2) EFAULT", syscall(SYS_pipe2, (int *)8, 0), EFAULT)

CHECK(dup2_closes_and_shares, "dup2(2)")
{
    int fd = some();
    int other = (int)ok(open("/dev/null", O_RDONLY));
    char text[3] = "";

    is(dup2(fd, other), other);
    is(read(fd, text, 2), 2);
    is(read(other, text, 2), 2);
    same(text, "cd");
    is(dup2(fd, fd), fd);
}

CHECK(dup_clears_close_on_exec, "dup(2): FD_CLOEXEC is not copied")
{
    int fd = some();

    ok(fcntl(fd, F_SETFD, FD_CLOEXEC));
    is(fcntl((int)ok(dup(fd)), F_GETFD), 0);
    is(fcntl((int)ok(dup3(fd, 50, O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
    is(fcntl((int)ok(fcntl(fd, F_DUPFD_CLOEXEC, 60)), F_GETFD), FD_CLOEXEC);
    is(fcntl(fd, F_DUPFD, 61), 61);
}

CHECK(dup_shares_flags, "dup(2): status flags are shared")
{
    int fd = some();
    int copy = (int)ok(dup(fd));

    ok(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    is(fcntl(copy, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
}

CHECK(access_mode_cannot_be_set, "fcntl(2) F_SETFL: access mode and creation flags are ignored")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_RDONLY));
    ok(fcntl(fd, F_SETFL, O_RDWR | O_TRUNC | O_CREAT));
    is(fcntl(fd, F_GETFL) & (O_ACCMODE | O_TRUNC | O_CREAT), O_RDONLY);
    fails(write(fd, "x", 1), EBADF);
}

CHECK(limit_of_descriptors, "getrlimit(2) RLIMIT_NOFILE: EMFILE")
{
    struct rlimit limit = {10, 10};

    ok(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < 7; i++)
        ok(dup(0));
    fails(dup(0), EMFILE);
    fails(open("/dev/null", O_RDONLY), EMFILE);
    fails(pipe((int[2]){0}), EMFILE);
    fails(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    fails(dup2(0, 10), EBADF);
    fails(fcntl(0, F_DUPFD, 10), EINVAL);
    ok(close(5));
    is(open("/dev/null", O_RDONLY), 5);
}

CHECK(failed_open_creates_nothing, "open(2) EMFILE: no file is created")
{
    struct rlimit limit = {3, 10};

    ok(setrlimit(RLIMIT_NOFILE, &limit));
    fails(open("new", O_RDWR | O_CREAT, 0644), EMFILE);
    must(!exists("new"));
}

CHECK(close_range_works, "close_range(2)")
{
    for (int fd = 10; fd < 20; fd++)
        ok(dup2(0, fd));
    ok(close_range(12, 15, 0));
    ok(fcntl(11, F_GETFD));
    fails(fcntl(12, F_GETFD), EBADF);
    fails(fcntl(15, F_GETFD), EBADF);
    ok(fcntl(16, F_GETFD));
    ok(close_range(16, ~0u, CLOSE_RANGE_CLOEXEC_));
    is(fcntl(18, F_GETFD), FD_CLOEXEC);
}

CHECK(close_range_of_directories, "close_range(2) closes what opendir opened")
{
    int fd = (int)ok(open(".", O_RDONLY));

    ok(close_range(3, ~0u, 0));
    fails(fcntl(fd, F_GETFD), EBADF);
}

CHECK(close_on_exec_of_ioctl, "ioctl(2) FIOCLEX, FIONCLEX")
{
    int fd = some();

    ok(ioctl(fd, FIOCLEX));
    is(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ok(ioctl(fd, FIONCLEX));
    is(fcntl(fd, F_GETFD), 0);
}

CHECK(bytes_to_read, "ioctl(2) FIONREAD")
{
    int ends[2];
    int count = -1;
    int fd = some();

    ok(ioctl(fd, FIONREAD, &count));
    is(count, 6);
    ok(pipe(ends));
    is(write(ends[1], "abc", 3), 3);
    ok(ioctl(ends[0], FIONREAD, &count));
    is(count, 3);
}

CHECK(not_a_terminal, "isatty(3) ENOTTY")
{
    int fd = some();

    is(isatty(fd), 0);
    is(errno, ENOTTY);
    fails(ioctl(fd, TIOCGWINSZ, (char[64]){0}), ENOTTY);
    fails(ioctl(fd, 0x5401, (char[64]){0}), ENOTTY);
}

CHECK(nonblocking_ioctl, "ioctl(2) FIONBIO")
{
    int on = 1;
    int ends[2];
    char byte;

    ok(pipe(ends));
    ok(ioctl(ends[0], FIONBIO, &on));
    fails(read(ends[0], &byte, 1), EAGAIN);
}

CHECK(duplicates_of_directories, "dup(2) of a directory is the directory")
{
    int fd;
    int copy;

    ok(mkdir("d", 0755));
    file("d/f", "");
    fd = (int)ok(open("d", O_RDONLY));
    copy = (int)ok(dup(fd));
    ok(close(fd));
    ok(faccessat(copy, "f", F_OK, 0));
    is(dup2(copy, 40), 40);
    ok(close(copy));
    ok(faccessat(40, "f", F_OK, 0));
    ok(fchdir(40));
    ok(access("f", F_OK));
}

CHECK(owner_of_signals, "fcntl(2) F_SETOWN, F_GETOWN")
{
    int ends[2];

    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    ok(fcntl(ends[0], F_SETOWN, getpid()));
    is(fcntl(ends[0], F_GETOWN), getpid());
    ok(fcntl(ends[0], F_SETOWN, -getpgrp()));
    is(fcntl(ends[0], F_GETOWN), -getpgrp());
    ok(fcntl(ends[0], F_SETSIG, SIGUSR1));
    is(fcntl(ends[0], F_GETSIG), SIGUSR1);
}

CHECK(signal_driven_io, "fcntl(2) O_ASYNC: SIGIO")
{
    int ends[2];

    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    handle(SIGIO, count_signal, 0);
    ok(fcntl(ends[0], F_SETOWN, getpid()));
    ok(fcntl(ends[0], F_SETFL, O_ASYNC));
    is(write(ends[1], "x", 1), 1);
    for (int i = 0; i < 100 && !ticks; i++)
        nap(1);
    is(ticks, 1);
}

CHECK(same_descriptor, "kcmp(2) KCMP_FILE")
{
    int fd = some();
    int copy = (int)ok(dup(fd));
    int other = (int)ok(open("f", O_RDWR));
    long result = syscall(SYS_kcmp, getpid(), getpid(), 0, fd, copy);

    if (result < 0)
        skip("kcmp is not allowed here");
    is(result, 0);
    must(syscall(SYS_kcmp, getpid(), getpid(), 0, fd, other) > 0);
}

CHECK(query_of_duplicates, "fcntl(2) F_DUPFD_QUERY since Linux 6.10")
{
    int fd = some();
    int copy = (int)ok(dup(fd));
    int result = fcntl(fd, 1024 + 3, copy);

    if (result < 0)
        skip("not known to this kernel");
    is(result, 1);
    is(fcntl(fd, 1024 + 3, (int)ok(open("f", O_RDWR))), 0);
}

CHECK(high_numbers, "dup2(2): any number below the limit")
{
    struct rlimit limit;
    int high;

    ok(getrlimit(RLIMIT_NOFILE, &limit));
    high = (int)limit.rlim_cur - 1;
    is(dup2(0, high), high);
    ok(fcntl(high, F_GETFD));
    fails(dup2(0, high + 1), EBADF);
    ok(close(high));
}

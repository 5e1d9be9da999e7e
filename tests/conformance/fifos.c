/* Pipes and FIFOs. */
#define FAMILY "fifos"
#include "conform.h"

#include <sys/ioctl.h>

static volatile pid_t writer_tid;

static void *opens_to_write(void *path)
{
    int fd;

    writer_tid = gettid();
    fd = (int)ok(open(path, O_WRONLY));
    ok(write(fd, "hello", 5));
    close(fd);
    return NULL;
}

REFUSED(make_exists, "mkfifo(3) EEXIST", mkfifo(".", 0644), EEXIST)
REFUSED(make_missing, "mkfifo(3) ENOENT", mkfifo("no/p", 0644), ENOENT)
REFUSED(write_without_reader, "fifo(7) ENXIO", ({
            mkfifo("p", 0644);
            open("p", O_WRONLY | O_NONBLOCK);
        }),
        ENXIO)
REFUSED(size_of_file, "fcntl(2) F_GETPIPE_SZ EBADF", fcntl(0, F_GETPIPE_SZ), EBADF)

CHECK(mode, "mkfifo(3): mode & ~umask")
{
    struct stat status;

    umask(027);
    ok(mkfifo("p", 0666));
    is(mode_of("p"), 0640);
    ok(stat("p", &status));
    must(S_ISFIFO(status.st_mode));
}

CHECK(meets, "fifo(7): open waits for the other end")
{
    char text[8] = "";
    pthread_t thread;
    int fd;

    ok(mkfifo("p", 0600));
    thread = start(opens_to_write, (void *)"p");
    fd = (int)ok(open("p", O_RDONLY));
    is(read(fd, text, 5), 5);
    same(text, "hello");
    end_of(thread);
    is(read(fd, text, 5), 0);
}

CHECK(meets_writer_first, "fifo(7): a waiting writer")
{
    char text[8] = "";
    pthread_t thread;
    int fd;

    ok(mkfifo("p", 0600));
    thread = start(opens_to_write, (void *)"p");
    nap(5);
    fd = (int)ok(open("p", O_RDONLY));
    is(read(fd, text, 5), 5);
    end_of(thread);
}

CHECK(meets_between_processes, "fifo(7): of different processes")
{
    char text[8] = "";
    int fd;
    pid_t pid;

    ok(mkfifo("p", 0600));
    pid = spawn();
    if (pid == 0) {
        opens_to_write((void *)"p");
        _exit(0);
    }
    fd = (int)ok(open("p", O_RDONLY));
    is(read(fd, text, 5), 5);
    joins(pid);
}

CHECK(meets_by_link, "fifo(7): one FIFO, two names")
{
    char text[8] = "";
    pthread_t thread;
    int fd;

    ok(mkfifo("p", 0600));
    ok(link("p", "q"));
    thread = start(opens_to_write, (void *)"p");
    fd = (int)ok(open("q", O_RDONLY));
    is(read(fd, text, 5), 5);
    end_of(thread);
}

CHECK(both_ways, "fifo(7): O_RDWR does not wait")
{
    char text[8] = "";
    int fd;

    ok(mkfifo("p", 0600));
    fd = (int)ok(open("p", O_RDWR));
    is(write(fd, "abc", 3), 3);
    is(read(fd, text, 8), 3);
}

CHECK(reader_does_not_wait, "fifo(7): O_NONBLOCK for reading")
{
    char byte;
    int fd;
    int writer;

    ok(mkfifo("p", 0600));
    fd = (int)ok(open("p", O_RDONLY | O_NONBLOCK));
    is(read(fd, &byte, 1), 0);
    writer = (int)ok(open("p", O_WRONLY | O_NONBLOCK));
    fails(read(fd, &byte, 1), EAGAIN);
    ok(close(writer));
    is(read(fd, &byte, 1), 0);
}

CHECK(renamed_while_waiting, "fifo(7): a FIFO is an inode, not a name")
{
    pthread_t thread;
    char text[8] = "";
    int fd;

    ok(mkfifo("p", 0600));
    thread = start(opens_to_write, (void *)"p");
    while (!writer_tid)
        nap(1);
    until_sleeping(writer_tid);
    ok(rename("p", "q"));
    fd = (int)ok(open("q", O_RDONLY));
    is(read(fd, text, 5), 5);
    end_of(thread);
}

CHECK(recreated, "fifo(7): a new FIFO of the same name is another")
{
    int fd;

    ok(mkfifo("p", 0600));
    fd = (int)ok(open("p", O_RDWR));
    ok(unlink("p"));
    ok(mkfifo("p", 0600));
    is(write(fd, "x", 1), 1);
    fails(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
}

CHECK(permission, "fifo(7) EACCES")
{
    as_user();
    ok(mkfifo("p", 0200));
    fails(open("p", O_RDONLY | O_NONBLOCK), EACCES);
    fails(open("p", O_RDWR), EACCES);
}

CHECK(capacity, "pipe(7): full, EAGAIN; F_SETPIPE_SZ")
{
    static char page[4096];
    int ends[2];
    int count = 0;

    ok(pipe2(ends, O_NONBLOCK));
    must(ok(fcntl(ends[1], F_SETPIPE_SZ, 4096)) >= 4096);
    while (write(ends[1], page, sizeof(page)) > 0)
        count++;
    is(errno, EAGAIN);
    is(count * 4096, fcntl(ends[1], F_GETPIPE_SZ));
}

CHECK(shrink_below_content, "fcntl(2) F_SETPIPE_SZ EBUSY")
{
    static char page[16384];
    int ends[2];

    ok(pipe2(ends, O_NONBLOCK));
    is(write(ends[1], page, sizeof(page)), (long)sizeof(page));
    fails(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
}

CHECK(atomic, "pipe(7): PIPE_BUF, all or nothing")
{
    static char page[PIPE_BUF];
    int ends[2];

    ok(pipe2(ends, O_NONBLOCK));
    ok(fcntl(ends[1], F_SETPIPE_SZ, 4096));
    is(write(ends[1], "x", 1), 1);
    fails(write(ends[1], page, PIPE_BUF), EAGAIN);
}

CHECK(packets, "pipe2(2) O_DIRECT: packets")
{
    char text[8];
    int ends[2];

    ok(pipe2(ends, O_DIRECT));
    is(write(ends[1], "ab", 2), 2);
    is(write(ends[1], "cd", 2), 2);
    is(read(ends[0], text, 8), 2);
    is(read(ends[0], text, 1), 1);
    fails(({
              fcntl(ends[0], F_SETFL, O_NONBLOCK);
              read(ends[0], text, 8);
          }),
          EAGAIN);
}

CHECK(reopened_through_proc, "proc(5): a pipe can be opened by /proc/self/fd")
{
    char path[64];
    char byte;
    int ends[2];
    int fd;

    ok(pipe(ends));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    fd = (int)ok(open(path, O_WRONLY));
    is(write(fd, "x", 1), 1);
    is(read(ends[0], &byte, 1), 1);
}

CHECK(link_text, "proc(5): pipe:[inode]")
{
    struct stat status;
    char path[64];
    char text[64] = "";
    char wanted[64];
    int ends[2];

    ok(pipe(ends));
    ok(fstat(ends[0], &status));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    snprintf(wanted, sizeof(wanted), "pipe:[%lu]", (unsigned long)status.st_ino);
    ok(readlink(path, text, sizeof(text) - 1));
    same(text, wanted);
}

CHECK(many_waiters, "fifo(7): many openers, all wake")
{
    pthread_t threads[8];
    char text[64];
    ssize_t total = 0;
    int fd;

    ok(mkfifo("p", 0600));
    for (int i = 0; i < 8; i++)
        threads[i] = start(opens_to_write, (void *)"p");
    nap(3);
    fd = (int)ok(open("p", O_RDONLY));
    while (total < 40) {
        ssize_t got = read(fd, text, sizeof(text));

        ok(got);
        total += got;
        if (got == 0)
            nap(1);
    }
    for (int i = 0; i < 8; i++)
        end_of(threads[i]);
    is(total, 40);
}

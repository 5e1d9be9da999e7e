/* Calls that block, and signals that come meanwhile: EINTR, SA_RESTART, stop, kill. */
#define FAMILY "interrupted"
#include "conform.h"

#include <sys/file.h>
#include <sys/select.h>
#include <sys/un.h>

CHECK(pause, "pause(2) EINTR")
{
    ticking(SA_RESTART);
    fails(pause(), EINTR);
}

CHECK(read, "signal(7): read of a pipe, EINTR")
{
    int ends[2];
    char byte;

    ok(pipe(ends));
    ticking(0);
    fails(read(ends[0], &byte, 1), EINTR);
}

static void write_on_third(int number)
{
    (void)number;
    if (++ticks == 3)
        write(50, "x", 1);
}

CHECK(read_is_restarted, "signal(7): read of a pipe, SA_RESTART")
{
    struct itimerval timer = {{0, 3000}, {0, 3000}};
    int ends[2];
    char byte;

    ok(pipe(ends));
    is(dup2(ends[1], 50), 50);
    handle(SIGALRM, write_on_third, SA_RESTART);
    ok(setitimer(ITIMER_REAL, &timer, NULL));
    is(read(ends[0], &byte, 1), 1);
    must(ticks >= 3);
}

CHECK(sleep, "nanosleep(2) EINTR: what remains, even with SA_RESTART")
{
    struct timespec rest = {0, 0};

    ticking(SA_RESTART);
    fails(nanosleep(&(struct timespec){5, 0}, &rest), EINTR);
    must(rest.tv_sec == 4 && rest.tv_nsec > 0);
}

CHECK(poll, "signal(7): poll, select, never restarted")
{
    struct pollfd none = {.fd = -1};
    fd_set empty;

    ticking(SA_RESTART);
    fails(poll(&none, 1, 5000), EINTR);
    FD_ZERO(&empty);
    fails(select(0, &empty, NULL, NULL, &(struct timeval){5, 0}), EINTR);
}

CHECK(fifo_open, "signal(7): open of a FIFO, EINTR")
{
    ok(mkfifo("p", 0600));
    ticking(0);
    fails(open("p", O_RDONLY), EINTR);
    fails(open("p", O_WRONLY), EINTR);
}

static void open_on_third(int number)
{
    (void)number;
    if (++ticks == 3 && fork() == 0) {
        open("p", O_WRONLY);
        _exit(0);
    }
}

CHECK(fifo_open_is_restarted, "signal(7): open of a FIFO, SA_RESTART")
{
    struct itimerval timer = {{0, 3000}, {0, 3000}};

    ok(mkfifo("p", 0600));
    handle(SIGALRM, open_on_third, SA_RESTART);
    ok(setitimer(ITIMER_REAL, &timer, NULL));
    ok(open("p", O_RDONLY));
    no_ticking();
    must(ticks >= 3);
}

CHECK(flock, "signal(7): flock, EINTR")
{
    int one = (int)ok(open("f", O_RDWR | O_CREAT, 0644));
    int two = (int)ok(open("f", O_RDWR));

    ok(flock(one, LOCK_EX));
    ticking(0);
    fails(flock(two, LOCK_EX), EINTR);
}

CHECK(lock, "signal(7): fcntl F_SETLKW, EINTR")
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));

    ok(fcntl(fd, F_SETLK, &lock));
    IN_CHILD
    {
        ticking(0);
        fails(fcntl(fd, F_SETLKW, &lock), EINTR);
    }
}

static const struct sockaddr_un address = {AF_UNIX, "s"};

static int full_listener(void)
{
    int fd = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0));

    ok(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    ok(listen(fd, 0));
    ok(connect((int)ok(socket(AF_UNIX, SOCK_STREAM, 0)), (const struct sockaddr *)&address,
               sizeof(address)));
    return fd;
}

CHECK(connect, "signal(7): connect to a full queue, EINTR")
{
    int fd;

    full_listener();
    fd = (int)ok(socket(AF_UNIX, SOCK_STREAM, 0));
    ticking(0);
    fails(connect(fd, (const struct sockaddr *)&address, sizeof(address)), EINTR);
}

CHECK(connect_would_block, "connect(2) EAGAIN: an AF_UNIX queue is full")
{
    full_listener();
    fails(connect((int)ok(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)),
                  (const struct sockaddr *)&address, sizeof(address)),
          EAGAIN);
}

CHECK(accept, "signal(7): accept, EINTR")
{
    int fd = full_listener();

    ok(accept(fd, NULL, NULL));
    ticking(0);
    fails(accept(fd, NULL, NULL), EINTR);
}

CHECK(killed_in_fifo_open, "signal(7): SIGTERM and SIGKILL end a blocked open")
{
    static const int numbers[] = {SIGTERM, SIGKILL};

    ok(mkfifo("p", 0600));
    for (int i = 0; i < 2; i++) {
        pid_t pid = spawn();

        if (pid == 0) {
            open("p", O_RDONLY);
            _exit(1);
        }
        nap(5);
        ok(kill(pid, numbers[i]));
        killed(pid, numbers[i]);
    }
}

CHECK(stopped_in_fifo_open, "signal(7): stop and continue do not end a blocked open")
{
    pid_t pid;
    int status;

    ok(mkfifo("p", 0600));
    pid = spawn();
    if (pid == 0) {
        open("p", O_RDONLY);
        _exit(4);
    }
    nap(5);
    ok(kill(pid, SIGSTOP));
    is(waitpid(pid, &status, WUNTRACED), pid);
    ok(kill(pid, SIGCONT));
    nap(3);
    is(waitpid(pid, &status, WNOHANG), 0);
    ok(open("p", O_WRONLY));
    exits(pid, 4);
}

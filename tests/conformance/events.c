/* epoll, poll, select, eventfd, signalfd, timerfd. */
#define FAMILY "events"
#include "conform.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static int epoll_with(int fd, uint32_t events)
{
    int set = (int)ok(epoll_create1(0));

    ok(epoll_ctl(set, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = events, .data.u32 = 7}));
    return set;
}

static int ready(int set)
{
    struct epoll_event event = {0};

    return epoll_wait(set, &event, 1, 0) == 1 ? (int)event.events : 0;
}

REFUSED(epoll_flags, "epoll_create1(2) EINVAL", epoll_create1(1), EINVAL)
REFUSED(epoll_size, "epoll_create(2) EINVAL", epoll_create(0), EINVAL)
REFUSED(epoll_not_one, "epoll_ctl(2) EINVAL",
        epoll_ctl(0, EPOLL_CTL_ADD, (int)ok(eventfd(0, 0)), &(struct epoll_event){0}), EINVAL)
REFUSED(epoll_wait_not_one, "epoll_wait(2) EINVAL", epoll_wait(0, &(struct epoll_event){0}, 1, 0),
        EINVAL)
REFUSED(eventfd_flags, "eventfd(2) EINVAL", eventfd(0, O_APPEND), EINVAL)
REFUSED(signalfd_flags, "signalfd(2) EINVAL", signalfd(-1, &(sigset_t){0}, O_APPEND), EINVAL)
REFUSED(signalfd_not_one, "signalfd(2) EINVAL", signalfd(0, &(sigset_t){0}, 0), EINVAL)
REFUSED(timerfd_clock, "timerfd_create(2) EINVAL", timerfd_create(99, 0), EINVAL)
REFUSED(timerfd_not_one, "timerfd_settime(2) EINVAL",
        timerfd_settime(0, 0, &(struct itimerspec){0}, NULL), EINVAL)
REFUSED(select_negative, "select(2) EINVAL", select(-1, NULL, NULL, NULL, NULL), EINVAL)
REFUSED(poll_too_many, "poll(2) EINVAL", poll(&(struct pollfd){0}, ~0u, 0), EINVAL)

CHECK(epoll_regular_file, "epoll_ctl(2) EPERM")
{
    int set = (int)ok(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};

    file("f", "");
    fails(epoll_ctl(set, EPOLL_CTL_ADD, (int)ok(open("f", O_RDONLY)), &event), EPERM);
    fails(epoll_ctl(set, EPOLL_CTL_ADD, (int)ok(open(".", O_RDONLY)), &event), EPERM);
}

CHECK(epoll_registration, "epoll_ctl(2) EEXIST, ENOENT, EBADF, ELOOP")
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = (int)ok(eventfd(0, 0));
    int set = epoll_with(fd, EPOLLIN);

    fails(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), EEXIST);
    ok(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL));
    fails(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), ENOENT);
    fails(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event), ENOENT);
    fails(epoll_ctl(set, EPOLL_CTL_ADD, 99, &event), EBADF);
    fails(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
}

CHECK(epoll_level, "epoll(7): level-triggered")
{
    int fd = (int)ok(eventfd(1, 0));
    int set = epoll_with(fd, EPOLLIN);

    is(ready(set), EPOLLIN);
    is(ready(set), EPOLLIN);
    ok(eventfd_read(fd, &(eventfd_t){0}));
    is(ready(set), 0);
}

CHECK(epoll_edge, "epoll(7): edge-triggered")
{
    int fd = (int)ok(eventfd(1, 0));
    int set = epoll_with(fd, EPOLLIN | EPOLLET);

    is(ready(set), EPOLLIN);
    is(ready(set), 0);
    ok(eventfd_write(fd, 1));
    is(ready(set), EPOLLIN);
}

CHECK(epoll_once, "epoll_ctl(2) EPOLLONESHOT")
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
    int fd = (int)ok(eventfd(1, 0));
    int set = epoll_with(fd, EPOLLIN | EPOLLONESHOT);

    is(ready(set), EPOLLIN);
    is(ready(set), 0);
    ok(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
    is(ready(set), EPOLLIN);
}

CHECK(epoll_hang_up, "epoll_ctl(2) EPOLLHUP, EPOLLRDHUP")
{
    int ends[2];
    int set;

    ok(pipe(ends));
    set = epoll_with(ends[0], EPOLLIN);
    ok(close(ends[1]));
    is(ready(set), EPOLLHUP);
    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    set = epoll_with(ends[0], EPOLLIN | EPOLLRDHUP);
    ok(shutdown(ends[1], SHUT_WR));
    is(ready(set), EPOLLIN | EPOLLRDHUP);
    ok(close(ends[1]));
    is(ready(set), EPOLLIN | EPOLLRDHUP | EPOLLHUP);
}

CHECK(epoll_closed, "epoll(7): a closed descriptor leaves the set, its duplicate keeps it")
{
    int fd = (int)ok(eventfd(1, 0));
    int set = epoll_with(fd, EPOLLIN);
    int copy = (int)ok(dup(fd));

    ok(close(fd));
    is(ready(set), EPOLLIN);
    ok(close(copy));
    is(ready(set), 0);
}

CHECK(epoll_nested, "epoll(7): a set in a set")
{
    int fd = (int)ok(eventfd(0, 0));
    int inner = epoll_with(fd, EPOLLIN);
    int outer = epoll_with(inner, EPOLLIN);

    is(ready(outer), 0);
    ok(eventfd_write(fd, 1));
    is(ready(outer), EPOLLIN);
}

CHECK(epoll_time, "epoll_wait(2): the timeout; epoll_pwait2(2)")
{
    int set = epoll_with((int)ok(eventfd(0, 0)), EPOLLIN);
    struct epoll_event event;
    uint64_t before = now_ns();

    is(epoll_wait(set, &event, 1, 5), 0);
    must(now_ns() - before >= 5000000);
    fails(epoll_wait(set, &event, 0, 0), EINVAL);
    must(syscall(SYS_epoll_pwait2, set, &event, 1, &(struct timespec){0, 1000000}, NULL, 8) == 0 ||
         errno == ENOSYS);
}

CHECK(epoll_mask, "epoll_pwait(2): the mask holds while waiting")
{
    int set = epoll_with((int)ok(eventfd(0, 0)), EPOLLIN);
    struct epoll_event event;
    sigset_t blocked;
    sigset_t none;

    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    handle(SIGUSR1, count_signal, 0);
    ok(sigprocmask(SIG_BLOCK, &blocked, NULL));
    raise(SIGUSR1);
    is(epoll_pwait(set, &event, 1, 0, NULL), 0);
    fails(epoll_pwait(set, &event, 1, 1000, &none), EINTR);
    is(ticks, 1);
}

CHECK(eventfd_counts, "eventfd(2): the counter")
{
    eventfd_t value;
    int fd = (int)ok(eventfd(3, EFD_NONBLOCK));

    ok(eventfd_write(fd, 4));
    ok(eventfd_read(fd, &value));
    is(value, 7);
    fails(eventfd_read(fd, &value), EAGAIN);
    ok(eventfd_write(fd, UINT64_MAX - 1));
    fails(eventfd_write(fd, 1), EAGAIN);
    fails(eventfd_write(fd, UINT64_MAX), EINVAL);
    fails(read(fd, &value, 4), EINVAL);
}

CHECK(eventfd_semaphore, "eventfd(2) EFD_SEMAPHORE")
{
    eventfd_t value;
    int fd = (int)ok(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));

    ok(eventfd_read(fd, &value));
    is(value, 1);
    ok(eventfd_read(fd, &value));
    fails(eventfd_read(fd, &value), EAGAIN);
}

CHECK(signals_are_read, "signalfd(2): signal, pid, value")
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    fd = (int)ok(signalfd(-1, &set, SFD_NONBLOCK));
    fails(read(fd, &info, sizeof(info)), EAGAIN);
    ok(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5}));
    is(read(fd, &info, sizeof(info)), (long)sizeof(info));
    is(info.ssi_signo, SIGUSR1);
    is(info.ssi_pid, getpid());
    is(info.ssi_int, 5);
    fails(read(fd, &info, 10), EINVAL);
}

CHECK(signals_of_kill_are_read, "signalfd(2): ssi_code of kill(2)")
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    fd = (int)ok(signalfd(-1, &set, 0));
    IN_CHILD ok(kill(getppid(), SIGUSR1));
    is(read(fd, &info, sizeof(info)), (long)sizeof(info));
    is(info.ssi_code, SI_USER);
    is(info.ssi_uid, getuid());
}

CHECK(timer_expires, "timerfd_create(2)")
{
    struct itimerspec setting = {.it_value = {0, 3000000}};
    uint64_t count = 0;
    int fd = (int)ok(timerfd_create(CLOCK_MONOTONIC, 0));

    ok(timerfd_settime(fd, 0, &setting, NULL));
    is(read(fd, &count, 8), 8);
    is(count, 1);
    ok(timerfd_gettime(fd, &setting));
    is(setting.it_value.tv_nsec, 0);
}

CHECK(timer_counts, "timerfd_create(2): expirations since the last read")
{
    struct itimerspec setting = {{0, 1000000}, {0, 1000000}};
    uint64_t count = 0;
    int fd = (int)ok(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));

    fails(read(fd, &count, 8), EAGAIN);
    ok(timerfd_settime(fd, 0, &setting, NULL));
    nap(6);
    is(read(fd, &count, 8), 8);
    must(count >= 5);
}

CHECK(timer_absolute, "timerfd_settime(2) TFD_TIMER_ABSTIME")
{
    struct itimerspec setting = {.it_value = {1, 0}};
    uint64_t count = 0;
    int fd = (int)ok(timerfd_create(CLOCK_REALTIME, 0));

    ok(timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL));
    is(read(fd, &count, 8), 8);
    setting.it_value.tv_nsec = 1000000000;
    fails(timerfd_settime(fd, 0, &setting, NULL), EINVAL);
}

CHECK(poll_results, "poll(2) POLLNVAL, POLLHUP, POLLIN, POLLOUT")
{
    struct pollfd fds[4];
    int ends[2];

    ok(pipe(ends));
    fds[0] = (struct pollfd){99, POLLIN, 0};
    fds[1] = (struct pollfd){ends[1], POLLOUT, 0};
    fds[2] = (struct pollfd){-1, POLLIN, 0};
    fds[3] = (struct pollfd){ends[0], POLLIN, 0};
    is(poll(fds, 4, 0), 2);
    is(fds[0].revents, POLLNVAL);
    is(fds[1].revents, POLLOUT);
    is(fds[2].revents, 0);
    is(fds[3].revents, 0);
    ok(close(ends[0]));
    is(poll(fds + 1, 1, 0), 1);
    is(fds[1].revents, POLLOUT | POLLERR);
}

CHECK(poll_of_files, "poll(2): regular files are always ready")
{
    struct pollfd fd = {0};

    file("f", "");
    fd = (struct pollfd){(int)ok(open("f", O_RDWR)), POLLIN | POLLOUT, 0};
    is(poll(&fd, 1, 0), 1);
    is(fd.revents, POLLIN | POLLOUT);
}

CHECK(select_results, "select(2): EBADF, the time that remains")
{
    struct timeval time = {0, 1000};
    fd_set set;

    ok(dup2(0, 98));
    FD_ZERO(&set);
    FD_SET(99, &set);
    fails(select(100, &set, NULL, NULL, &time), EBADF);
    FD_ZERO(&set);
    is(select(0, NULL, NULL, NULL, &time), 0);
    is(time.tv_usec, 0);
}
CHECK(poll_of_proc_file, "poll(2) of a file in /proc")
{
    struct pollfd fd = {(int)ok(open("/proc/self/status", O_RDONLY)), POLLIN, 0};

    is(poll(&fd, 1, 0), 1);
    must(fd.revents & POLLIN);
}

/* pidfd_open, pidfd_send_signal, waitid with P_PIDFD, CLONE_PIDFD. */
#define FAMILY "pidfd"
#include "conform.h"

#include <sched.h>
#include <sys/ioctl.h>

#define P_PIDFD_ 3

static int open_pidfd(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int send_signal(int fd, int number, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, number, info, flags);
}

static pid_t sleeper(void)
{
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

REFUSED(open_nobody, "pidfd_open(2) ESRCH", open_pidfd(999999999, 0), ESRCH)
REFUSED(open_flags, "pidfd_open(2) EINVAL", open_pidfd(getpid(), 1), EINVAL)
REFUSED(open_negative, "pidfd_open(2) EINVAL", open_pidfd(-1, 0), EINVAL)
REFUSED(send_bad, "pidfd_send_signal(2) EBADF", send_signal(99, 0, NULL, 0), EBADF)
REFUSED(send_not_one, "pidfd_send_signal(2) EBADF", send_signal(0, 0, NULL, 0), EBADF)
REFUSED(send_number, "pidfd_send_signal(2) EINVAL",
        send_signal(open_pidfd(getpid(), 0), 99, NULL, 0), EINVAL)
REFUSED(send_flags, "pidfd_send_signal(2) EINVAL",
        send_signal(open_pidfd(getpid(), 0), 0, NULL, 1u << 30), EINVAL)
REFUSED(wait_for_self, "waitid(2) ECHILD",
        waitid(P_PIDFD_, (id_t)open_pidfd(getpid(), 0), NULL, WEXITED), ECHILD)
REFUSED(wait_bad, "waitid(2) EBADF", waitid(P_PIDFD_, 99, NULL, WEXITED), EBADF)
REFUSED(read_one, "pidfd_open(2): read EINVAL", read(open_pidfd(getpid(), 0), (char[8]){0}, 8),
        EINVAL)

CHECK(close_on_exec, "pidfd_open(2): close-on-exec is set")
{
    is(fcntl(open_pidfd(getpid(), 0), F_GETFD), FD_CLOEXEC);
}

CHECK(ready_when_it_ends, "pidfd_open(2): readable at the end")
{
    pid_t pid = sleeper();
    struct pollfd fd = {(int)ok(open_pidfd(pid, 0)), POLLIN, 0};

    is(poll(&fd, 1, 0), 0);
    ok(send_signal(fd.fd, SIGKILL, NULL, 0));
    is(poll(&fd, 1, 2000), 1);
    must(fd.revents & POLLIN);
    killed(pid, SIGKILL);
    fails(send_signal(fd.fd, 0, NULL, 0), ESRCH);
}

CHECK(wait, "waitid(2) P_PIDFD")
{
    siginfo_t info;
    pid_t pid = spawn();
    int fd;

    if (pid == 0)
        _exit(6);
    fd = (int)ok(open_pidfd(pid, 0));
    ok(waitid(P_PIDFD_, (id_t)fd, &info, WEXITED));
    is(info.si_pid, pid);
    is(info.si_status, 6);
}

CHECK(wait_nonblocking, "pidfd_open(2) PIDFD_NONBLOCK: waitid EAGAIN")
{
    pid_t pid = sleeper();
    int fd = open_pidfd(pid, O_NONBLOCK);

    if (fd < 0)
        skip("not known to this kernel");
    fails(waitid(P_PIDFD_, (id_t)fd, NULL, WEXITED), EAGAIN);
    kill(pid, SIGKILL);
    killed(pid, SIGKILL);
}

CHECK(of_the_dead, "pidfd_open(2) ESRCH: after the wait")
{
    pid_t pid = spawn();

    if (pid == 0)
        _exit(0);
    ok(open_pidfd(pid, 0));
    joins(pid);
    fails(open_pidfd(pid, 0), ESRCH);
}

CHECK(handled, "pidfd_send_signal(2): delivered")
{
    handle(SIGUSR1, count_signal, 0);
    ok(send_signal((int)ok(open_pidfd(getpid(), 0)), SIGUSR1, NULL, 0));
    for (int i = 0; i < 200 && !ticks; i++)
        nap(1);
    is(ticks, 1);
}

CHECK(with_information, "pidfd_send_signal(2): siginfo of its own kind only")
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_value.sival_int = 9};
    siginfo_t got;
    sigset_t set;
    int fd = (int)ok(open_pidfd(getpid(), 0));

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    ok(send_signal(fd, SIGUSR1, &info, 0));
    is(sigwaitinfo(&set, &got), SIGUSR1);
    is(got.si_value.sival_int, 9);
    fails(send_signal(fd, SIGUSR2, &info, 0), EINVAL);
}

CHECK(of_clone, "clone(2) CLONE_PIDFD")
{
    int fd = -1;
    siginfo_t info;
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, 0);

    if (pid == 0)
        _exit(4);
    ok(pid);
    must(fd >= 0);
    ok(waitid(P_PIDFD_, (id_t)fd, &info, WEXITED));
    is(info.si_status, 4);
}

CHECK(information_file, "proc(5) fdinfo of a pidfd: Pid")
{
    char path[64];
    char line[32];
    char *text;
    pid_t pid = sleeper();

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", (int)ok(open_pidfd(pid, 0)));
    text = slurp(path);
    snprintf(line, sizeof(line), "\nPid:\t%d\n", pid);
    must(strstr(text, line));
    kill(pid, SIGKILL);
    killed(pid, SIGKILL);
}

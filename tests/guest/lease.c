/* Leases on files: their holder is asked before somebody else opens the file. */
#include "guest.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct timespec soon = {20, 0};

static int hold(int flags, int lease)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    guest_write("file", "content");
    fd = (int)OK(open("file", flags));
    OK(fcntl(fd, F_SETLEASE, lease));
    CHECK_EQ(fcntl(fd, F_GETLEASE), lease);
    return fd;
}

static void wait_for_signal(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    CHECK_EQ(sigtimedwait(&set, NULL, &soon), SIGIO);
}

static void write_to_it(void *unused)
{
    int fd = (int)OK(open("file", O_WRONLY | O_TRUNC));

    (void)unused;
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
    CHECK_EQ(write(fd, "new", 3), 3);
}

static void holder_is_asked(void)
{
    int fd = hold(O_RDONLY, F_RDLCK);
    pid_t pid = guest_fork(write_to_it, NULL);

    wait_for_signal();
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    guest_content("file", "content");
    OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    guest_join(pid);
    guest_content("file", "new");
}

static void cut_it(void *unused)
{
    (void)unused;
    OK(truncate("file", 3));
}

static void cutting_waits(void)
{
    int fd = hold(O_RDONLY, F_RDLCK);
    pid_t pid = guest_fork(cut_it, NULL);

    wait_for_signal();
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    guest_content("file", "content");
    OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    guest_join(pid);
    guest_content("file", "con");
}

static void signal_says_which(void)
{
    int wanted = SIGRTMIN + 3;
    siginfo_t info;
    sigset_t set;
    pid_t pid;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, wanted);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    guest_write("file", "content");
    fd = (int)OK(fcntl((int)OK(open("file", O_RDONLY)), F_DUPFD, 77));
    OK(fcntl(fd, F_SETSIG, wanted));
    OK(fcntl(fd, F_SETLEASE, F_RDLCK));
    pid = guest_fork(cut_it, NULL);
    CHECK_EQ(sigtimedwait(&set, &info, &soon), wanted);
    CHECK_EQ(info.si_fd, fd);
    OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    guest_join(pid);
}

static void opener_does_not_wait(void)
{
    int fd = hold(O_RDWR, F_WRLCK);

    FAILS(open("file", O_RDONLY | O_NONBLOCK), EAGAIN);
    wait_for_signal();
    OK(fcntl(fd, F_SETLEASE, F_UNLCK));
    OK(open("file", O_RDONLY | O_NONBLOCK));
}

static void what_cannot_be_had(void)
{
    int fd, pipes[2];

    guest_write("file", "content");
    fd = (int)OK(open("file", O_RDWR));
    FAILS(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN);
    OK(open("file", O_RDONLY));
    FAILS(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
    FAILS(fcntl(fd, F_SETLEASE, 99), EINVAL);
    OK(pipe(pipes));
    FAILS(fcntl(pipes[0], F_SETLEASE, F_RDLCK), EINVAL);
    FAILS(fcntl(999, F_SETLEASE, F_RDLCK), EBADF);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
}

static const struct guest_case cases[] = {
    {"holder-is-asked", holder_is_asked},       {"cutting-waits", cutting_waits},
    {"signal-says-which", signal_says_which},   {"opener-does-not-wait", opener_does_not_wait},
    {"what-cannot-be-had", what_cannot_be_had},
};

GUEST_MAIN(cases)

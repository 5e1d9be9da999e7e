/* Process groups, sessions, job control. */
#define FAMILY "sessions"
#include "conform.h"

#include <sys/ioctl.h>
#include <termios.h>

static pid_t sleeper(void)
{
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

REFUSED(leader_cannot, "setsid(2) EPERM", setsid(), EPERM)
REFUSED(group_of_leader, "setpgid(2) EPERM", setpgid(0, 0), EPERM)
REFUSED(group_negative, "setpgid(2) EINVAL", setpgid(0, -1), EINVAL)
REFUSED(group_of_nobody, "setpgid(2) ESRCH", setpgid(999999999, 0), ESRCH)
REFUSED(group_of_parent, "setpgid(2) ESRCH", setpgid(getppid(), 0), ESRCH)
REFUSED(getpgid_nobody, "getpgid(2) ESRCH", getpgid(999999999), ESRCH)
REFUSED(getsid_nobody, "getsid(2) ESRCH", getsid(999999999), ESRCH)
REFUSED(no_terminal, "tty(4) ENXIO", open("/dev/tty", O_RDWR), ENXIO)

CHECK(inherited, "credentials(7): fork inherits group and session")
{
    IN_CHILD
    {
        is(getpgrp(), getppid());
        is(getsid(0), getppid());
    }
}

CHECK(new_group, "setpgid(2)")
{
    IN_CHILD
    {
        ok(setpgid(0, 0));
        is(getpgrp(), getpid());
        is(getpgid(0), getpid());
        is(getsid(0), getppid());
        fails(setpgid(0, 999999999), EPERM);
        ok(setpgid(0, getppid()));
        is(getpgrp(), getppid());
    }
}

CHECK(new_session, "setsid(2)")
{
    IN_CHILD
    {
        is(setsid(), getpid());
        is(getsid(0), getpid());
        is(getpgrp(), getpid());
        fails(setsid(), EPERM);
    }
}

CHECK(group_of_child, "setpgid(2): the parent may, until the child executes")
{
    pid_t pid = sleeper();

    ok(setpgid(pid, 0));
    is(getpgid(pid), pid);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(group_after_exec, "setpgid(2) EACCES: the child has executed")
{
    int ends[2];
    pid_t pid;
    char byte;

    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        execl(self_path, "x", "--helper", "sleep", NULL);
        _exit(1);
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 0);
    fails(setpgid(pid, pid), EACCES);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(group_of_other_session, "setpgid(2) EPERM: another session")
{
    int ends[2];
    char byte;
    pid_t pid;

    ok(pipe(ends));
    pid = spawn();
    if (pid == 0) {
        setsid();
        write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    is(read(ends[0], &byte, 1), 1);
    must(setpgid(pid, pid) == -1 && errno == EPERM);
    is(getsid(pid), pid);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

static int terminal(int *ret_slave)
{
    int number;
    int off = 0;
    char path[64];
    int master = (int)ok(open("/dev/ptmx", O_RDWR | O_NOCTTY));

    ok(ioctl(master, TIOCSPTLCK, &off));
    ok(ioctl(master, TIOCGPTN, &number));
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    *ret_slave = (int)ok(open(path, O_RDWR | O_NOCTTY));
    return master;
}

CHECK(no_ctty, "open(2) O_NOCTTY")
{
    int slave;

    terminal(&slave);
    fails(open("/dev/tty", O_RDWR), ENXIO);
    fails(tcgetpgrp(slave), ENOTTY);
}

CHECK(becomes_controlling, "tty_ioctl(4) TIOCSCTTY, TIOCNOTTY")
{
    int slave;

    terminal(&slave);
    ok(ioctl(slave, TIOCSCTTY, 0));
    is(tcgetsid(slave), getsid(0));
    is(tcgetpgrp(slave), getpgrp());
    ok(close((int)ok(open("/dev/tty", O_RDWR))));
    handle(SIGHUP, SIG_IGN, 0);
    ok(ioctl(slave, TIOCNOTTY, 0));
    fails(open("/dev/tty", O_RDWR), ENXIO);
}

CHECK(opening_makes_controlling, "open(2): without O_NOCTTY a session leader gets it")
{
    int number;
    int off = 0;
    char path[64];
    int master = (int)ok(open("/dev/ptmx", O_RDWR | O_NOCTTY));

    ok(ioctl(master, TIOCSPTLCK, &off));
    ok(ioctl(master, TIOCGPTN, &number));
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    ok(open(path, O_RDWR));
    ok(open("/dev/tty", O_RDWR));
}

CHECK(not_a_leader, "tty_ioctl(4) TIOCSCTTY EPERM: no session leader")
{
    int slave;

    terminal(&slave);
    IN_CHILD fails(ioctl(slave, TIOCSCTTY, 0), EPERM);
}

CHECK(foreground, "tcsetpgrp(3)")
{
    int slave;
    pid_t pid;

    terminal(&slave);
    ok(ioctl(slave, TIOCSCTTY, 0));
    fails(tcsetpgrp(slave, 999999999), ESRCH);
    pid = sleeper();
    ok(setpgid(pid, pid));
    ok(tcsetpgrp(slave, pid));
    is(tcgetpgrp(slave), pid);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(background_read, "termios(3): SIGTTIN for a background read")
{
    int slave;
    int status;
    pid_t pid;

    terminal(&slave);
    ok(ioctl(slave, TIOCSCTTY, 0));
    pid = spawn();
    if (pid == 0) {
        char byte;

        setpgid(0, 0);
        read(slave, &byte, 1);
        _exit(1);
    }
    is(waitpid(pid, &status, WUNTRACED), pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(background_write, "termios(3): SIGTTOU with TOSTOP")
{
    struct termios settings;
    int slave;
    int status;
    pid_t pid;

    terminal(&slave);
    ok(ioctl(slave, TIOCSCTTY, 0));
    ok(tcgetattr(slave, &settings));
    settings.c_lflag |= TOSTOP;
    ok(tcsetattr(slave, TCSANOW, &settings));
    pid = spawn();
    if (pid == 0) {
        setpgid(0, 0);
        write(slave, "x", 1);
        _exit(1);
    }
    is(waitpid(pid, &status, WUNTRACED), pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(keyboard_interrupt, "termios(3): ^C is SIGINT for the foreground group")
{
    int slave;
    int master = terminal(&slave);

    handle(SIGINT, count_signal, SA_RESTART);
    ok(ioctl(slave, TIOCSCTTY, 0));
    ok(write(master, "\x03", 1));
    for (int i = 0; i < 500 && !ticks; i++)
        nap(1);
    is(ticks, 1);
}

CHECK(keyboard_stop, "termios(3): ^Z is SIGTSTP")
{
    int slave;
    int master = terminal(&slave);
    int ends[2];
    char byte;
    int status;
    pid_t pid;

    ok(pipe(ends));
    ok(ioctl(slave, TIOCSCTTY, 0));
    handle(SIGTTOU, SIG_IGN, 0);
    pid = spawn();
    if (pid == 0) {
        setpgid(0, 0);
        tcsetpgrp(slave, getpid());
        write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    is(read(ends[0], &byte, 1), 1);
    ok(write(master, "\x1a", 1));
    is(waitpid(pid, &status, WUNTRACED), pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(leader_ends, "setsid(2): SIGHUP for the foreground when the leader ends")
{
    int ends[2];
    char byte = 0;

    ok(pipe(ends));
    IN_CHILD
    {
        int slave;

        setsid();
        terminal(&slave);
        ok(ioctl(slave, TIOCSCTTY, 0));
        if (fork() == 0) {
            sigset_t set;
            int number = 0;

            sigemptyset(&set);
            sigaddset(&set, SIGHUP);
            sigprocmask(SIG_BLOCK, &set, NULL);
            write(ends[1], "r", 1);
            sigwait(&set, &number);
            byte = (char)number;
            write(ends[1], &byte, 1);
            _exit(0);
        }
        is(read(ends[0], &byte, 1), 1);
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 1);
    is(byte, SIGHUP);
}

CHECK(orphaned_group, "credentials(7): a stopped group that is orphaned gets SIGHUP and SIGCONT")
{
    int ends[2];
    char byte = 0;

    ok(pipe(ends));
    IN_CHILD
    {
        pid_t pid;
        int status;

        setsid();
        pid = fork();
        if (pid == 0) {
            sigset_t set;
            int number = 0;

            setpgid(0, 0);
            sigemptyset(&set);
            sigaddset(&set, SIGHUP);
            sigprocmask(SIG_BLOCK, &set, NULL);
            raise(SIGSTOP);
            sigwait(&set, &number);
            byte = (char)number;
            write(ends[1], &byte, 1);
            _exit(0);
        }
        is(waitpid(pid, &status, WUNTRACED), pid);
        must(WIFSTOPPED(status));
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 1);
    is(byte, SIGHUP);
}

CHECK(orphans_do_not_stop, "credentials(7): SIGTSTP does not stop an orphaned group")
{
    IN_CHILD
    {
        setsid();
        raise(SIGTSTP);
        raise(SIGTTIN);
    }
}

/* wait, waitpid, waitid, exit statuses, orphans, SIGCHLD. */
#define FAMILY "wait"
#include "conform.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t sleeper(void)
{
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static pid_t dead(int status)
{
    pid_t pid = spawn();

    if (pid == 0)
        _exit(status);
    return pid;
}

REFUSED(nobody, "wait(2) ECHILD", waitpid(-1, NULL, 0), ECHILD)
REFUSED(not_a_child, "waitpid(2) ECHILD", waitpid(getpid(), NULL, 0), ECHILD)
REFUSED(bad_options, "waitpid(2) EINVAL", waitpid(-1, NULL, 1 << 20), EINVAL)
REFUSED(smallest_group, "waitpid(2) ESRCH", waitpid(INT_MIN, NULL, 0), ESRCH)
REFUSED(waitid_no_state, "waitid(2) EINVAL", waitid(P_ALL, 0, NULL, WNOHANG), EINVAL)
REFUSED(waitid_type, "waitid(2) EINVAL", waitid(99, 0, NULL, WEXITED), EINVAL)

CHECK(status_of_exit, "wait(2): the low 8 bits")
{
    exits(dead(7), 7);
    exits(dead(256 + 3), 3);
    exits(dead(-1), 255);
}

CHECK(status_of_signal, "wait(2): the signal")
{
    pid_t pid = sleeper();

    ok(kill(pid, SIGTERM));
    killed(pid, SIGTERM);
}

CHECK(no_hang, "waitpid(2) WNOHANG")
{
    pid_t pid = sleeper();

    is(waitpid(pid, NULL, WNOHANG), 0);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    fails(waitpid(pid, NULL, WNOHANG), ECHILD);
}

CHECK(stopped_and_continued, "waitpid(2) WUNTRACED, WCONTINUED")
{
    pid_t pid = sleeper();
    int status;

    ok(kill(pid, SIGSTOP));
    is(waitpid(pid, &status, WUNTRACED), pid);
    must(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    ok(kill(pid, SIGCONT));
    is(waitpid(pid, &status, WCONTINUED), pid);
    must(WIFCONTINUED(status));
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(kill_while_stopped, "signal(7): SIGKILL ends a stopped process")
{
    pid_t pid = sleeper();
    int status;

    ok(kill(pid, SIGSTOP));
    is(waitpid(pid, &status, WUNTRACED), pid);
    ok(kill(pid, SIGTERM));
    is(waitpid(pid, &status, WNOHANG), 0);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(information, "waitid(2): si_code, si_status, si_pid, si_uid")
{
    siginfo_t info;
    pid_t pid = dead(9);

    ok(waitid(P_PID, (id_t)pid, &info, WEXITED));
    is(info.si_pid, pid);
    is(info.si_code, CLD_EXITED);
    is(info.si_status, 9);
    is(info.si_uid, getuid());
    is(info.si_signo, SIGCHLD);
    pid = sleeper();
    ok(kill(pid, SIGUSR1));
    ok(waitid(P_PID, (id_t)pid, &info, WEXITED));
    is(info.si_code, CLD_KILLED);
    is(info.si_status, SIGUSR1);
}

CHECK(leave_it, "waitid(2) WNOWAIT")
{
    siginfo_t info;
    pid_t pid = dead(1);

    ok(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    ok(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    is(info.si_pid, pid);
    exits(pid, 1);
}

CHECK(nothing_yet, "waitid(2) WNOHANG: si_pid is 0")
{
    siginfo_t info;
    pid_t pid = sleeper();

    memset(&info, 1, sizeof(info));
    ok(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG));
    is(info.si_pid, 0);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(by_group, "waitpid(2): a process group")
{
    pid_t pid = spawn();
    pid_t other = dead(1);
    int status;

    if (pid == 0) {
        setpgid(0, 0);
        _exit(2);
    }
    setpgid(pid, pid);
    if (waitid(P_PGID, (id_t)pid, NULL, WEXITED | WNOWAIT) < 0)
        skip("the child ended before it got its group");
    is(waitpid(-pid, &status, 0), pid);
    is(WEXITSTATUS(status), 2);
    fails(waitpid(-pid, &status, 0), ECHILD);
    is(waitpid(0, &status, 0), other);
}

CHECK(usage, "wait4(2): the child's resources")
{
    struct rusage usage = {0};
    pid_t pid = spawn();
    int status;

    if (pid == 0) {
        volatile char *memory =
            mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        for (int i = 0; i < 8 << 20; i += 4096)
            memory[i] = 1;
        _exit(0);
    }
    is(wait4(pid, &status, 0, &usage), pid);
    must(usage.ru_maxrss >= 8 << 10);
    must(usage.ru_minflt > 0);
}

CHECK(signal_of_child, "signal(7) SIGCHLD: si_pid")
{
    sigset_t set;
    siginfo_t info;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    pid = dead(6);
    is(sigwaitinfo(&set, &info), SIGCHLD);
    is(info.si_pid, pid);
    is(info.si_status, 6);
    is(info.si_code, CLD_EXITED);
    exits(pid, 6);
}

CHECK(ignored_children, "wait(2) NOTES: SIGCHLD ignored, no zombies")
{
    pid_t pid;

    handle(SIGCHLD, SIG_IGN, 0);
    pid = dead(0);
    fails(waitpid(pid, NULL, 0), ECHILD);
    handle(SIGCHLD, SIG_DFL, SA_NOCLDWAIT);
    pid = dead(0);
    fails(waitpid(pid, NULL, 0), ECHILD);
}

CHECK(no_signal_of_stops, "sigaction(2) SA_NOCLDSTOP")
{
    pid_t pid;
    int status;

    handle(SIGCHLD, count_signal, SA_NOCLDSTOP | SA_RESTART);
    pid = sleeper();
    ok(kill(pid, SIGSTOP));
    is(waitpid(pid, &status, WUNTRACED), pid);
    is(ticks, 0);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    is(ticks, 1);
}

CHECK(zombie, "proc(5): a zombie is shown, and gone after the wait")
{
    siginfo_t info;
    pid_t pid = dead(0);
    char path[64];
    char *text;

    ok(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    text = slurp(path);
    is(strrchr(text, ')')[2], 'Z');
    ok(kill(pid, 0));
    joins(pid);
    fails(kill(pid, 0), ESRCH);
    must(!exists(path));
}

CHECK(subreaper, "prctl(2) PR_SET_CHILD_SUBREAPER: orphans come to it")
{
    int status;
    int ends[2];
    pid_t orphan = 0;

    ok(pipe(ends));
    ok(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    IN_CHILD
    {
        pid_t pid = fork();

        if (pid == 0) {
            nap(5);
            _exit(11);
        }
        ok(write(ends[1], &pid, sizeof(pid)));
    }
    is(read(ends[0], &orphan, sizeof(orphan)), (long)sizeof(orphan));
    is(waitpid(-1, &status, 0), orphan);
    is(WEXITSTATUS(status), 11);
}

CHECK(parent_dies, "getppid(2): another parent when it has died")
{
    int ends[2];
    int ready[2];
    pid_t parents[2] = {0, 0};
    char byte;

    ok(pipe(ends));
    ok(pipe(ready));
    IN_CHILD
    {
        if (fork() == 0) {
            parents[0] = getppid();
            write(ready[1], "x", 1);
            for (int i = 0; i < 2000 && getppid() == parents[0]; i++)
                nap(1);
            parents[1] = getppid();
            write(ends[1], parents, sizeof(parents));
            _exit(0);
        }
        is(read(ready[0], &byte, 1), 1);
    }
    is(read(ends[0], parents, sizeof(parents)), (long)sizeof(parents));
    must(parents[0] != parents[1]);
}

CHECK(death_signal, "prctl(2) PR_SET_PDEATHSIG")
{
    int ends[2];
    char byte = 0;

    ok(pipe(ends));
    IN_CHILD
    {
        int ready[2];

        ok(pipe(ready));
        if (fork() == 0) {
            sigset_t set;
            int number;

            sigemptyset(&set);
            sigaddset(&set, SIGUSR2);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0);
            write(ready[1], "x", 1);
            sigwait(&set, &number);
            byte = (char)number;
            write(ends[1], &byte, 1);
            _exit(0);
        }
        is(read(ready[0], &byte, 1), 1);
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 1);
    is(byte, SIGUSR2);
}

CHECK(interrupted, "wait(2) EINTR without SA_RESTART")
{
    pid_t pid = sleeper();

    ticking(0);
    fails(waitpid(pid, NULL, 0), EINTR);
    no_ticking();
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

static pid_t child_of_main;

static void *wait_for_it(void *nothing)
{
    joins(child_of_main);
    return nothing;
}

CHECK(other_thread_waits, "wait(2) NOTES: threads may wait for each other's children")
{
    child_of_main = dead(0);
    end_of(start(wait_for_it, NULL));
    fails(waitpid(child_of_main, NULL, 0), ECHILD);
}

CHECK(core_flag, "wait(2) WCOREDUMP: none with RLIMIT_CORE 0")
{
    pid_t pid = spawn();
    int status;

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        abort();
    }
    is(waitpid(pid, &status, 0), pid);
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
}

CHECK(exit_group, "exit_group(2): all threads end")
{
    pid_t pid = spawn();

    if (pid == 0) {
        start((void *(*)(void *))(void *)pause, NULL);
        syscall(SYS_exit_group, 5);
    }
    exits(pid, 5);
}

static void *exit_all(void *status)
{
    syscall(SYS_exit_group, (long)status);
    return NULL;
}

CHECK(thread_ends_process, "exit_group(2) in another thread")
{
    pid_t pid = spawn();

    if (pid == 0) {
        start(exit_all, (void *)6);
        for (;;)
            pause();
    }
    exits(pid, 6);
}

static void *exit_later(void *nothing)
{
    (void)nothing;
    nap(5);
    if (access("f", F_OK) == 0)
        syscall(SYS_exit_group, 8);
    syscall(SYS_exit_group, 9);
    return NULL;
}

CHECK(main_thread_ends_first, "_exit(2): the process lives on without its first thread")
{
    pid_t pid;

    file("f", "");
    pid = spawn();
    if (pid == 0) {
        start(exit_later, NULL);
        syscall(SYS_exit, 0);
    }
    exits(pid, 8);
}

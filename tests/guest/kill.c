/* Signals between the processes of a tree. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t sleeper(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void ends_with(pid_t pid, int number)
{
    int status = guest_wait(pid);

    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), number);
}

static void children(void)
{
    pid_t pid = sleeper();

    OK(kill(pid, 0));
    FAILS(kill(pid, 65), EINVAL);
    FAILS(kill(pid, -1), EINVAL);
    OK(kill(pid, SIGTERM));
    ends_with(pid, SIGTERM);
    FAILS(kill(pid, 0), ESRCH);
    FAILS(kill(pid, SIGTERM), ESRCH);
}

static void grandchild(void)
{
    int ends[2];
    pid_t found;
    pid_t pid;

    OK(pipe(ends));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        found = sleeper();
        write(ends[1], &found, sizeof(found));
        guest_wait(found);
        _exit(0);
    }
    CHECK_EQ(read(ends[0], &found, sizeof(found)), sizeof(found));
    OK(kill(found, SIGKILL));
    guest_join(pid);
}

static void parent_of_all(void)
{
    pid_t parent = getpid();
    sigset_t set;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = (pid_t)OK(fork());
    if (pid == 0)
        _exit(kill(parent, SIGUSR1) < 0);
    CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
    guest_join(pid);
}

static void zombies(void)
{
    siginfo_t info;
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        _exit(0);
    OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
    OK(kill(pid, SIGTERM));
    guest_join(pid);
    FAILS(kill(pid, 0), ESRCH);
}

static void groups(void)
{
    pid_t first = sleeper();
    pid_t second = sleeper();
    pid_t other = sleeper();

    OK(setpgid(first, first));
    OK(setpgid(second, first));
    OK(kill(-first, SIGTERM));
    ends_with(first, SIGTERM);
    ends_with(second, SIGTERM);
    OK(kill(other, 0));
    FAILS(kill(-first, 0), ESRCH);
    OK(kill(other, SIGKILL));
    ends_with(other, SIGKILL);
}

static void own_group(void)
{
    pid_t pid;

    signal(SIGUSR2, SIG_IGN);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        signal(SIGUSR2, SIG_DFL);
        OK(kill(0, SIGUSR2));
        _exit(0);
    }
    ends_with(pid, SIGUSR2);
    OK(killpg(getpgrp(), SIGUSR2));
}

static void sessions(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        CHECK_EQ(OK(setsid()), getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_EQ(getpgrp(), getpid());
        OK(kill(-getpid(), SIGTERM));
        pause();
    }
    ends_with(pid, SIGTERM);
}

static void stopping(void)
{
    pid_t pid = sleeper();
    int status;

    for (int i = 0; i < 10; i++) {
        OK(kill(pid, SIGSTOP));
        CHECK_EQ(OK(waitpid(pid, &status, WUNTRACED)), pid);
        CHECK(WIFSTOPPED(status));
        OK(kill(pid, SIGCONT));
        CHECK_EQ(OK(waitpid(pid, &status, WCONTINUED)), pid);
        CHECK(WIFCONTINUED(status));
    }
    OK(kill(pid, SIGKILL));
    ends_with(pid, SIGKILL);
}

static void queued_values(void)
{
    union sigval value = {.sival_int = 4711};
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 5; i++) {
        value.sival_int = i;
        OK(sigqueue(getpid(), SIGRTMIN + 3, value));
    }
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 3);
        CHECK_EQ(info.si_value.sival_int, i);
        CHECK_EQ(info.si_pid, getpid());
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_uid, getuid());
    }
}

static void sender_is_told(void)
{
    siginfo_t info;
    sigset_t set;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        union sigval value = {.sival_int = 9};

        _exit(kill(getppid(), SIGUSR1) < 0 || sigqueue(getppid(), SIGUSR1, value) < 0);
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK(info.si_code == SI_USER || info.si_code == SI_QUEUE);
    CHECK_EQ(info.si_uid, getuid());
    guest_join(pid);
}

static volatile sig_atomic_t handled_in;

static void note(int number)
{
    (void)number;
    handled_in = (int)syscall(SYS_gettid);
}

static void *waiter(void *argument)
{
    *(volatile int *)argument = (int)syscall(SYS_gettid);
    while (!handled_in)
        usleep(1000);
    return NULL;
}

static void threads(void)
{
    volatile int tid = 0;
    pthread_t thread;

    signal(SIGUSR1, note);
    CHECK_EQ(pthread_create(&thread, NULL, waiter, (void *)&tid), 0);
    while (!tid)
        usleep(100);
    OK(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(handled_in, tid);
    FAILS(syscall(SYS_tgkill, getpid(), 0, SIGUSR1), EINVAL);
    handled_in = 0;
    OK(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
    CHECK_EQ(handled_in, getpid());
    CHECK_EQ(raise(SIGUSR1), 0);
}

static void nobody_there(void)
{
    FAILS(kill(0x3ffffff0, 0), ESRCH);
    FAILS(kill(0x3ffffff0, SIGTERM), ESRCH);
    FAILS(kill(-0x3ffffff0, SIGTERM), ESRCH);
    FAILS(syscall(SYS_tgkill, 0x3ffffff0, 0x3ffffff0, SIGTERM), ESRCH);
}

static void orphans_can_be_reached(void)
{
    pid_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    /* We inherit the orphan, so that it is known who reaps it. */
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        *shared = sleeper();
        _exit(0);
    }
    guest_join(pid);
    guest_sleep_ms(50);
    OK(kill(*shared, 0));
    OK(kill(*shared, SIGKILL));
    ends_with(*shared, SIGKILL);
    FAILS(kill(*shared, 0), ESRCH);
}

static const struct guest_case cases[] = {
    {"children", children},
    {"grandchild", grandchild},
    {"parent-of-all", parent_of_all},
    {"zombies", zombies},
    {"groups", groups},
    {"own-group", own_group},
    {"sessions", sessions},
    {"stopping", stopping},
    {"queued-values", queued_values},
    {"sender-is-told", sender_is_told},
    {"threads", threads},
    {"nobody-there", nobody_there},
    {"orphans-can-be-reached", orphans_can_be_reached},
};

GUEST_MAIN(cases)

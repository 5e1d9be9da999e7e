/* Starting programs while threads race and signals arrive. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RACERS = 6 };

static const char *program;
static pthread_barrier_t barrier;

static void *racer(void *argument)
{
    char *status = guest_format("%ld", 10 + (long)argument);

    pthread_barrier_wait(&barrier);
    execl(program, "show", "exit", status, NULL);
    _exit(1);
}

static void race(void)
{
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, RACERS);
    for (long i = 0; i < RACERS; i++)
        if (pthread_create(&thread, NULL, racer, (void *)i) != 0)
            _exit(2);
    for (;;)
        pause();
}

/* Six threads execute different programs at once: one wins, and it is a whole one. */
static void racing_threads(void)
{
    program = guest_program("show-static");
    for (int round = 0; round < 150; round++) {
        pid_t pid = (pid_t)OK(fork());
        int status;

        if (pid == 0)
            race();
        status = guest_wait(pid);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) >= 10 && WEXITSTATUS(status) < 10 + RACERS);
    }
}

static void *opener(void *argument)
{
    for (;;) {
        int fd = open("/etc/passwd", O_RDONLY);

        if (fd >= 0)
            close(fd);
    }
    return argument;
}

/* One thread starts a program while others are in the middle of calls. */
static void exec_among_calls(void)
{
    program = guest_program("show-pie");
    for (int round = 0; round < 60; round++) {
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            pthread_t thread;

            for (int i = 0; i < 4; i++)
                pthread_create(&thread, NULL, opener, NULL);
            usleep((useconds_t)(rand() % 3000));
            execl(program, "show", "exit", "33", NULL);
            _exit(1);
        }
        CHECK_EQ(guest_wait(pid), 33 << 8);
    }
}

static void *failing_exec(void *argument)
{
    for (int i = 0; i < 200; i++) {
        execl(argument ? "/no/such" : "/etc", "x", NULL);
        if (errno != ENOENT && errno != EACCES)
            _exit(3);
    }
    return NULL;
}

static void failing_threads(void)
{
    pthread_t threads[RACERS];

    for (long i = 0; i < RACERS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, failing_exec, (void *)(i % 2)), 0);
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void nothing(int number)
{
    (void)number;
}

/* A program that starts itself again, N times. */
static void run_chain(const char *script, pid_t *ret_pid)
{
    *ret_pid = (pid_t)OK(fork());
    if (*ret_pid == 0) {
        execl("/bin/sh", "sh", "-c", script, "0", NULL);
        _exit(127);
    }
}

/* A chain of programs, each started by the one before, while signals arrive all the time. */
static void storm(void)
{
    static const char script[] =
        "trap : USR1 WINCH; n=$0; [ $n -ge 150 ] && exit 7; "
        "trap '' USR1; exec /bin/sh -c \"$SCRIPT\" $((n + 1))";
    int status;
    long sent = 0;
    pid_t pid;

    signal(SIGUSR1, nothing);
    setenv("SCRIPT", script, 1);
    run_chain(script, &pid);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGWINCH);
        kill(pid, SIGCHLD);
        kill(pid, SIGCONT);
        if (++sent % 64 == 0)
            guest_sleep_ms(1);
    }
    CHECK_EQ(status, 7 << 8);
    CHECK(sent > 100);
}

/* Stopping and continuing a chain of programs changes nothing. */
static void stopped_chain(void)
{
    static const char script[] = "n=$0; [ $n -ge 100 ] && exit 8; "
                                 "exec /bin/sh -c \"$SCRIPT\" $((n + 1))";
    int status;
    pid_t pid;

    setenv("SCRIPT", script, 1);
    run_chain(script, &pid);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGSTOP);
        kill(pid, SIGCONT);
        guest_sleep_ms(1);
    }
    CHECK_EQ(status, 8 << 8);
}

/* A killed thread group in the middle of an exec leaves nothing hanging. */
static void killed_racers(void)
{
    program = guest_program("show-static");
    for (int round = 0; round < 100; round++) {
        pid_t pid = (pid_t)OK(fork());
        int status;

        if (pid == 0)
            race();
        usleep((useconds_t)(rand() % 2000));
        kill(pid, SIGKILL);
        status = guest_wait(pid);
        CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) >= 10);
    }
}

static void parallel_vforks(void)
{
    pid_t children[8];

    program = guest_program("show-static");
    for (int i = 0; i < 8; i++) {
        children[i] = (pid_t)OK(fork());
        if (children[i] == 0) {
            for (int round = 0; round < 40; round++) {
                pid_t pid = vfork();
                int status;

                if (pid == 0) {
                    execl(program, "show", "exit", "5", NULL);
                    _exit(1);
                }
                if (waitpid(pid, &status, 0) != pid || status != 5 << 8)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 8; i++)
        guest_join(children[i]);
}

static const struct guest_case cases[] = {
    {"racing-threads", racing_threads},
    {"exec-among-calls", exec_among_calls},
    {"failing-threads", failing_threads},
    {"storm", storm},
    {"stopped-chain", stopped_chain},
    {"killed-racers", killed_racers},
    {"parallel-vforks", parallel_vforks},
};

GUEST_MAIN(cases)

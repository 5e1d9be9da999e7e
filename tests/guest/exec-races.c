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

/*
 * A program that starts itself again, N times, with a handler installed each time. The handler has
 * SA_RESTART: without it a call may fail with EINTR before it was begun.
 */
static int chain(const char *self, long left)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};

    sigaction(SIGWINCH, &action, NULL);
    if (left == 0)
        return 7;
    execl(self, self, "--chain", guest_format("%ld", left - 1), NULL);
    return 100 + errno;
}

static pid_t start_chain(const char *length)
{
    const char *self = guest_program("exec-races");
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        execl(self, self, "--chain", length, NULL);
        _exit(127);
    }
    return pid;
}

/* A chain of programs, each started by the one before, while signals arrive all the time. */
static void storm(void)
{
    pid_t pid = start_chain("300");
    int status;
    long sent = 0;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGWINCH);
        kill(pid, SIGCHLD);
        kill(pid, SIGCONT);
        if (++sent % 16 == 0)
            usleep(100);
    }
    CHECK_EQ(status, 7 << 8);
    CHECK(sent > 100);
}

/* Stopping and continuing a chain of programs changes nothing. */
static void stopped_chain(void)
{
    pid_t pid = start_chain("150");
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        kill(pid, SIGSTOP);
        kill(pid, SIGCONT);
        guest_sleep_ms(1);
    }
    CHECK_EQ(status, 7 << 8);
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
    {"racing-threads", racing_threads},   {"exec-among-calls", exec_among_calls},
    {"failing-threads", failing_threads}, {"storm", storm},
    {"stopped-chain", stopped_chain},     {"killed-racers", killed_racers},
    {"parallel-vforks", parallel_vforks},
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--chain") == 0)
        return chain(argv[0], strtol(argv[2], NULL, 10));
    return guest_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}

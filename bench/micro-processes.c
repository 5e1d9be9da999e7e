/* micro-processes.c - what happens between threads and processes: pipes, futexes, fork, exec. */
#define _GNU_SOURCE 1

#include "micro.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TURN_MAIN, TURN_PARTNER, TURN_END };

extern char **environ;

static void no_set_up(struct micro_state *state)
{
    (void)state;
}

static void reap(pid_t child, const char *what)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            micro_die("%s: waitpid: %s", what, strerror(errno));
    if (status)
        micro_die("%s: the child ended with status %#x", what, (unsigned int)status);
}

/* Ends when the parent closes its end, so that no echo outlives a benchmark that died. */
static _Noreturn void echo_bytes(int in, int out)
{
    char byte;
    while (read(in, &byte, 1) == 1)
        if (write(out, &byte, 1) != 1)
            break;
    _exit(0);
}

static void start_echo(struct micro_state *state)
{
    if (pipe2(state->to_child, O_CLOEXEC) || pipe2(state->from_child, O_CLOEXEC))
        micro_die("pipe: %s", strerror(errno));
    state->child = fork();
    if (state->child < 0)
        micro_die("fork: %s", strerror(errno));
    if (state->child == 0) {
        close(state->to_child[1]);
        close(state->from_child[0]);
        echo_bytes(state->to_child[0], state->from_child[1]);
    }
    close(state->to_child[0]);
    close(state->from_child[1]);
}

static void stop_echo(struct micro_state *state)
{
    close(state->to_child[1]);
    close(state->from_child[0]);
    reap(state->child, "pipe");
}

static void run_pipe(struct micro_state *state, uint64_t count)
{
    char byte = 'x';
    while (count--)
        if (write(state->to_child[1], &byte, 1) != 1 || read(state->from_child[0], &byte, 1) != 1)
            micro_die("pipe: the echo is gone");
}

static void pin(struct micro_state *state)
{
    if (sched_getaffinity(0, sizeof(state->cpus), &state->cpus))
        micro_die("sched_getaffinity: %s", strerror(errno));
    int cpu = sched_getcpu();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &one);
    if (sched_setaffinity(0, sizeof(one), &one))
        micro_die("sched_setaffinity: %s", strerror(errno));
}

static void start_pinned_echo(struct micro_state *state)
{
    pin(state);
    start_echo(state);
}

static void stop_pinned_echo(struct micro_state *state)
{
    stop_echo(state);
    sched_setaffinity(0, sizeof(state->cpus), &state->cpus);
}

static long futex(atomic_uint *word, int operation, unsigned int value)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void run_futex_wake(struct micro_state *state, uint64_t count)
{
    while (count--)
        if (futex(&state->turn, FUTEX_WAKE, 1))
            micro_die("futex: woke somebody who is not there");
}

static void hand_over(struct micro_state *state, unsigned int next)
{
    atomic_store(&state->turn, next);
    futex(&state->turn, FUTEX_WAKE, 1);
}

/* Waits while the turn is `busy`, returns what it became. No spinning: the kernel's path counts. */
static unsigned int wait_while(struct micro_state *state, unsigned int busy)
{
    unsigned int turn;
    while ((turn = atomic_load(&state->turn)) == busy)
        futex(&state->turn, FUTEX_WAIT, busy);
    return turn;
}

static void *answer_turns(void *argument)
{
    struct micro_state *state = argument;
    while (wait_while(state, TURN_MAIN) != TURN_END)
        hand_over(state, TURN_MAIN);
    return NULL;
}

static void start_partner(struct micro_state *state)
{
    atomic_store(&state->turn, TURN_MAIN);
    int error = pthread_create(&state->partner, NULL, answer_turns, state);
    if (error)
        micro_die("pthread_create: %s", strerror(error));
}

static void stop_partner(struct micro_state *state)
{
    hand_over(state, TURN_END);
    pthread_join(state->partner, NULL);
}

static void run_futex_pingpong(struct micro_state *state, uint64_t count)
{
    while (count--) {
        hand_over(state, TURN_PARTNER);
        wait_while(state, TURN_PARTNER);
    }
}

static pid_t start_child(const char *program)
{
    pid_t child = fork();
    if (child < 0)
        micro_die("fork: %s", strerror(errno));
    if (child == 0) {
        if (program)
            execve(program, (char *[]){(char *)program, NULL}, environ);
        _exit(program ? 127 : 0);
    }
    return child;
}

static void run_fork(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--)
        reap(start_child(NULL), "fork");
}

static void run_exec_static(struct micro_state *state, uint64_t count)
{
    while (count--)
        reap(start_child(state->nothing), state->nothing);
}

static void run_exec_dynamic(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--)
        reap(start_child("/bin/true"), "/bin/true");
}

const struct micro micro_processes[] = {
    {"pipe", "byte there and back, two processes", start_echo, run_pipe, stop_echo},
    {"pipe-1cpu", "the same, both on one CPU", start_pinned_echo, run_pipe, stop_pinned_echo},
    {"futex-wake", "futex wake, nobody waits", no_set_up, run_futex_wake, no_set_up},
    {"futex-pingpong", "turn there and back, two threads", start_partner, run_futex_pingpong,
     stop_partner},
    {"fork", "fork, exit, wait", no_set_up, run_fork, no_set_up},
    {"exec-static", "fork, exec of a static program, wait", no_set_up, run_exec_static, no_set_up},
    {"exec-dynamic", "fork, exec of /bin/true, wait", no_set_up, run_exec_dynamic, no_set_up},
    {NULL, NULL, NULL, NULL, NULL},
};

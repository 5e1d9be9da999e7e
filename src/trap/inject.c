/*
 * Injection: a thread that waits in a notification runs some native calls of our choice, at its own
 * system call instruction, and is held under ptrace until its answer is known. All its signals wait
 * meanwhile. Its notification is gone then, so the answer is written into its registers; an answer
 * that needs a notification (a descriptor) is given when the call is issued again.
 *
 * The filter still holds for injected calls. One that it sends to us would wait for ourselves: it
 * is refused, and what else arrives is served afterwards.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "trap/trap-internal.h"

#define SYSCALL_INSTRUCTION_SIZE 2
#define PATIENCE_MS              1
#define YIELDS                   200 /* some 50 us when nobody else wants the processor */
#define SIGNAL_BITS              64

/* Waits for the next stop. Returns 0 with its status, or -ESRCH when the thread has ended. */
static int next_stop(struct trap *trap, pid_t tid, int *ret_status)
{
    struct pollfd listener = {.fd = trap->listener, .events = POLLIN};

    for (unsigned round = 0;; round++) {
        pid_t pid = waitpid(tid, ret_status, __WALL | WNOHANG);
        struct trap_held *held;

        if (pid < 0 && errno != EINTR)
            return -ESRCH;
        if (pid == tid)
            return WIFSTOPPED(*ret_status) ? 0 : -ESRCH;
        /* It stops in a moment, as most calls do not wait: that is not worth a sleep. */
        if (round < YIELDS) {
            sched_yield();
            continue;
        }
        if (poll(&listener, 1, PATIENCE_MS) <= 0 || !(listener.revents & POLLIN))
            continue;
        held = calloc(1, sizeof(*held));
        if (held == NULL || ioctl(trap->listener, SECCOMP_IOCTL_NOTIF_RECV, &held->notif) < 0) {
            free(held);
            continue;
        }
        if ((pid_t)held->notif.pid == tid) {
            trap_send(trap, held->notif.id, -EPERM);
            free(held);
        } else {
            list_append(&trap->held, &held->node);
        }
    }
}

/* Signals that came before they could be blocked are delivered when the thread is let go. */
static int stop_and_block(struct trap_call *call)
{
    struct divert_call at = {.tid = call->tid,
                             .nr = call->request.nr,
                             .args = call->request.args,
                             .instruction = call->request.instruction};
    uint64_t all = ~0ULL;
    bool sent;
    int status;
    int r = divert_begin(call->trap, call->tid, call->id, 0, &sent);

    if (r < 0)
        return r;
    r = next_stop(call->trap, call->tid, &status);
    if (r < 0)
        return r;
    if (status >> 16 == 0 || (!sent && !divert_is_at(&at))) {
        /* It was on its way out: let it, the call comes again. */
        if (ptrace(PTRACE_DETACH, call->tid, NULL, (long)divert_stop_signal(status)) < 0)
            waitpid(call->tid, &status, __WALL);
        return -ENOENT;
    }
    if (ptrace(PTRACE_GETREGS, call->tid, NULL, &call->regs) < 0 ||
        ptrace(PTRACE_GETSIGMASK, call->tid, SIGNAL_BITS / 8, &call->mask) < 0 ||
        ptrace(PTRACE_SETSIGMASK, call->tid, SIGNAL_BITS / 8, &all) < 0)
        return -errno;
    call->held = true;
    return 0;
}

/* Runs until the next stop at a system call's entry or exit; other stops pass by. */
static int to_syscall_stop(struct trap_call *call)
{
    int status;
    int r;

    do {
        if (ptrace(PTRACE_SYSCALL, call->tid, NULL, NULL) < 0)
            return -errno;
        r = next_stop(call->trap, call->tid, &status);
    } while (r == 0 && (status >> 16 || WSTOPSIG(status) != (SIGTRAP | 0x80)));
    return r;
}

static uint64_t resolve(uint64_t argument, const int64_t *values, size_t done)
{
    uint64_t index = argument - PK_INJECT_RESULT(0);

    return index < done ? (uint64_t)values[index] : argument;
}

static int run_one(struct trap_call *call, const struct pk_injected_call *injected,
                   const int64_t *values, size_t done, int64_t *ret_value)
{
    struct user_regs_struct regs = call->regs;
    int r;

    regs.rip = call->request.instruction - SYSCALL_INSTRUCTION_SIZE;
    regs.rax = (unsigned long long)injected->nr;
    regs.orig_rax = ~0ULL; /* no call is under way that the kernel could restart */
    regs.rdi = resolve(injected->args[0], values, done);
    regs.rsi = resolve(injected->args[1], values, done);
    regs.rdx = resolve(injected->args[2], values, done);
    regs.r10 = resolve(injected->args[3], values, done);
    regs.r8 = resolve(injected->args[4], values, done);
    regs.r9 = resolve(injected->args[5], values, done);
    if (ptrace(PTRACE_SETREGS, call->tid, NULL, &regs) < 0)
        return -errno;
    r = to_syscall_stop(call);
    if (r == 0)
        r = to_syscall_stop(call);
    if (r < 0)
        return r;
    if (ptrace(PTRACE_GETREGS, call->tid, NULL, &regs) < 0)
        return -errno;
    *ret_value = (int64_t)regs.rax;
    return 0;
}

int inject_calls(struct pk_request *request, const struct pk_injected_call *calls, size_t count,
                 int64_t *ret_values)
{
    struct trap_call *call = request->port_data;
    int r = call->held ? 0 : stop_and_block(call);

    if (r == 0 && ptrace(PTRACE_SETOPTIONS, call->tid, NULL, PTRACE_O_TRACESYSGOOD) < 0)
        r = -errno;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = run_one(call, &calls[i], ret_values, i, &ret_values[i]);
    return r;
}

static bool let_go(struct trap_call *call, int64_t result, bool again)
{
    struct user_regs_struct regs = call->regs;
    int status;

    fetch_end(call);
    regs.rax = again ? (unsigned long long)-TRAP_ERESTARTNOINTR : (unsigned long long)result;
    if (!again)
        regs.orig_rax = ~0ULL;
    if (ptrace(PTRACE_SETREGS, call->tid, NULL, &regs) == 0 &&
        ptrace(PTRACE_SETSIGMASK, call->tid, SIGNAL_BITS / 8, &call->mask) == 0 &&
        ptrace(PTRACE_DETACH, call->tid, NULL, NULL) == 0)
        return true;
    while (waitpid(call->tid, &status, __WALL) == call->tid && WIFSTOPPED(status))
        if (ptrace(PTRACE_DETACH, call->tid, NULL, NULL) == 0)
            break;
    return false;
}

void inject_restart(struct trap_call *call)
{
    let_go(call, 0, true);
}

int64_t inject_finish(struct trap_call *call, struct pk_answer *answer)
{
    /* These two need a notification to answer: the one of the call's second coming. */
    bool again = answer->kind == PK_ANSWER_DESCRIPTOR || answer->kind == PK_ANSWER_NATIVE;
    int64_t result = answer->value;
    int r = 0;

    if (again)
        r = park_add_answer(call, answer);
    else if (answer->kind != PK_ANSWER_VALUE)
        r = -EINVAL;
    if (r == 0) {
        answer->fd = -1; /* handed over */
    } else {
        pk_answer_discard(answer);
        result = r;
        again = false;
    }
    let_go(call, result, again);
    return result;
}

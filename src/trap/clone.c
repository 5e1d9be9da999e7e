/*
 * A thread that waits in clone() makes its process with other flags than it asked for, and we learn
 * the number of the child: it is taken out of its notification, the call is made again from its own
 * instruction, and host events show what comes of it. Nobody's registers look different afterwards.
 *
 * A signal or a stop in between comes first: then the call is left as it was, and comes again.
 */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "trap/trap-internal.h"

#define SYSCALL_INSTRUCTION_SIZE 2
#define SYSCALL_STOP             (SIGTRAP | 0x80)
#define OPTIONS \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)

/* Returns 0 with the status of its stop, or -ESRCH when it has ended. */
static int wait_for_stop(pid_t tid, int *ret_status)
{
    pid_t pid;

    do
        pid = waitpid(tid, ret_status, __WALL);
    while (pid < 0 && errno == EINTR);
    return pid == tid && WIFSTOPPED(*ret_status) ? 0 : -ESRCH;
}

/* Failing means that it was killed in its stop: then its end is awaited. */
static void detach(pid_t tid, int signal)
{
    int status;

    while (ptrace(PTRACE_DETACH, tid, NULL, (long)signal) < 0)
        if (wait_for_stop(tid, &status) < 0)
            return;
}

/* Takes the thread out of its notification: it is about to restart its call. */
static int stop_at_call(struct trap_call *call)
{
    struct divert_call at = {.tid = call->tid,
                             .nr = call->request.nr,
                             .args = call->request.args,
                             .instruction = call->request.instruction};
    bool sent;
    int status;
    int r = divert_begin(call->trap, call->tid, call->id, OPTIONS, &sent);

    if (r < 0)
        return r;
    call->answered = true;
    r = wait_for_stop(call->tid, &status);
    if (r < 0)
        return r;
    if (status >> 16 == 0 || (!sent && !divert_is_at(&at))) {
        detach(call->tid, divert_stop_signal(status));
        return -ENOENT;
    }
    return ptrace(PTRACE_GETREGS, call->tid, NULL, &call->regs) < 0 ? -ESRCH : 0;
}

static int start_again(const struct trap_call *call, uint64_t flags)
{
    struct user_regs_struct regs = call->regs;

    regs.rip = call->request.instruction - SYSCALL_INSTRUCTION_SIZE;
    regs.rax = (unsigned long long)call->request.nr;
    regs.orig_rax = ~0ULL; /* no call is under way that the kernel could restart */
    regs.rdi = flags;
    return ptrace(PTRACE_SETREGS, call->tid, NULL, &regs) < 0 ? -ESRCH : 0;
}

/* As it was found: the host restarts the call, behind the signal if there is one. */
static int leave(struct trap_call *call, int signal)
{
    struct user_regs_struct regs = call->regs;

    regs.rax = (unsigned long long)-TRAP_ERESTARTNOINTR;
    ptrace(PTRACE_SETREGS, call->tid, NULL, &regs);
    detach(call->tid, signal);
    return -ENOENT;
}

static void show_own_flags(const struct trap_call *call, pid_t tid)
{
    ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rdi), call->request.args[0]);
}

/* The child stops before its first instruction. */
static int let_both_go(struct trap_call *call)
{
    unsigned long child = 0;
    int status;

    ptrace(PTRACE_GETEVENTMSG, call->tid, NULL, &child);
    if (child && wait_for_stop((pid_t)child, &status) == 0) {
        show_own_flags(call, (pid_t)child);
        detach((pid_t)child, 0);
    }
    show_own_flags(call, call->tid);
    detach(call->tid, 0);
    return (int)child;
}

/* The call has returned without telling of a child. */
static int finish_failed(struct trap_call *call)
{
    struct user_regs_struct regs;
    long result;

    if (ptrace(PTRACE_GETREGS, call->tid, NULL, &regs) < 0)
        return leave(call, 0);
    result = (long)regs.rax;
    if (result <= -TRAP_ERESTARTSYS)
        return leave(call, 0);
    show_own_flags(call, call->tid);
    detach(call->tid, 0);
    return (int)result;
}

static bool is_birth(int status)
{
    int event = status >> 16;

    return event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK;
}

int clone_process(struct pk_request *request, uint64_t flags)
{
    struct trap_call *call = request->port_data;
    int status;
    int r = stop_at_call(call);

    if (r == 0)
        r = start_again(call, flags & ~(uint64_t)CLONE_UNTRACED);
    if (r < 0)
        return r;
    for (int stops = 0;;) {
        if (ptrace(PTRACE_SYSCALL, call->tid, NULL, NULL) < 0)
            return leave(call, 0);
        r = wait_for_stop(call->tid, &status);
        if (r < 0)
            return r;
        if (is_birth(status))
            return let_both_go(call);
        if (WSTOPSIG(status) != SYSCALL_STOP)
            return leave(call, divert_stop_signal(status));
        if (++stops == 2)
            return finish_failed(call);
    }
}

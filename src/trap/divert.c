/*
 * Diversion: a thread that waits in a notification is seized, its notification is answered with a
 * restart code, and it stops on its way out, before user mode. There its registers are set and it
 * is let go; the kernel restarts the call itself. The tracer is attached for about ten
 * microseconds.
 *
 * Once a thread is seized, every path ends in a successful detach or in waitpid() reporting its
 * end: a traced zombie would make a sibling's exec hang for ever.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "trap/trap-internal.h"

static int poke(pid_t tid, size_t offset, unsigned long value)
{
    return ptrace(PTRACE_POKEUSER, tid, offset, value) < 0 ? -errno : 0;
}

int divert_set_result(pid_t tid, long value)
{
    return poke(tid, offsetof(struct user_regs_struct, rax), (unsigned long)value);
}

int divert_set_nr(pid_t tid, long nr)
{
    return poke(tid, offsetof(struct user_regs_struct, orig_rax), (unsigned long)nr);
}

int divert_set_instruction(pid_t tid, uint64_t address)
{
    return poke(tid, offsetof(struct user_regs_struct, rip), address);
}

int divert_begin(struct trap *trap, pid_t tid, uint64_t id, unsigned long options, bool *ret_sent)
{
    int r;

    if (ptrace(PTRACE_SEIZE, tid, NULL, options) < 0)
        return -errno;
    /* Only marks it: the thread sleeps on until the answer wakes it. */
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    r = trap_send(trap, id, -TRAP_ERESTARTNOINTR);
    *ret_sent = r == 0;
    return 0;
}

bool divert_is_at(const struct divert_call *call)
{
    struct user_regs_struct regs;
    long result;

    if (ptrace(PTRACE_GETREGS, call->tid, NULL, &regs) < 0)
        return false;
    result = (long)regs.rax;
    return (result == -TRAP_ERESTARTSYS || result == -TRAP_ERESTARTNOINTR) &&
           (int)regs.orig_rax == call->nr && regs.rip == call->instruction &&
           regs.rdi == call->args[0] && regs.rsi == call->args[1] && regs.rdx == call->args[2] &&
           regs.r10 == call->args[3] && regs.r8 == call->args[4] && regs.r9 == call->args[5];
}

int divert_stop_signal(int status)
{
    /* Event stops (the interrupt, a group stop) carry no signal that would be lost. */
    return status >> 16 ? 0 : WSTOPSIG(status);
}

/*
 * The loader's execve: the same instruction, argv and envp, another path. An older kernel can have
 * left -ERESTARTSYS in rax although it got our answer; it would become EINTR.
 */
static int set_exec_registers(const struct trap_call *call, uint64_t path)
{
    const struct pk_request *request = &call->request;
    pid_t tid = call->tid;
    int r = poke(tid, offsetof(struct user_regs_struct, rdi), path);

    if (r == 0)
        r = divert_set_result(tid, -TRAP_ERESTARTNOINTR);
    if (r < 0 || request->nr != SYS_execveat)
        return r;
    r = divert_set_nr(tid, SYS_execve);
    if (r == 0)
        r = poke(tid, offsetof(struct user_regs_struct, rsi), request->args[2]);
    if (r == 0)
        r = poke(tid, offsetof(struct user_regs_struct, rdx), request->args[3]);
    return r;
}

static bool wait_for_stop(pid_t tid, int *ret_status)
{
    pid_t pid;

    do
        pid = waitpid(tid, ret_status, __WALL);
    while (pid < 0 && errno == EINTR);
    return pid == tid && WIFSTOPPED(*ret_status);
}

int divert_exec(struct trap_call *call, uint64_t path)
{
    struct divert_call at = {.tid = call->tid,
                             .nr = call->request.nr,
                             .args = call->request.args,
                             .instruction = call->request.instruction};
    bool sent;
    int status;
    int r = divert_begin(call->trap, call->tid, call->id, 0, &sent);

    if (r < 0)
        return r;
    while (wait_for_stop(call->tid, &status)) {
        int signal = divert_stop_signal(status);

        sent = sent || divert_is_at(&at);
        r = sent ? set_exec_registers(call, path) : 0;
        /* Failing means that it was killed while stopped: then the next wait reports its end. */
        if (r == 0 && ptrace(PTRACE_DETACH, call->tid, NULL, (long)signal) == 0)
            return sent ? 0 : -ENOENT;
    }
    return 0;
}

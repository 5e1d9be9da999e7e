/*
 * Running system calls in a thread of the target that stands still, at an instruction of its own.
 * All its signals wait meanwhile; SIGSTOP, which cannot be made to wait, is let through, because a
 * thread in a group stop can be run all the same and goes back to it when it is let go.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f /* Linux 5.13 */
#endif
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif

#define CODE_SEGMENT_64 0x33 /* arch/x86/include/asm/segment.h: __USER_CS */
#define PATIENCE_MS     10000
#define SIGNAL_BYTES    8
#define SYSCALL_SIZE    2

static const unsigned char syscall_bytes[SYSCALL_SIZE] = {0x0f, 0x05};

/* By a thread that lives: the first one may have ended before the others, and has no memory then.
 */
static ssize_t peek(pid_t tid, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {bytes, length};
    struct iovec remote = {(void *)address, length};

    return process_vm_readv(tid, &local, 1, &remote, 1, 0);
}

static uint64_t search_mapping(pid_t tid, uint64_t start, uint64_t end)
{
    unsigned char bytes[4096];

    for (uint64_t at = start; at < end; at += sizeof(bytes)) {
        unsigned char *found;

        if (peek(tid, at, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            continue;
        found = memmem(bytes, sizeof(bytes), syscall_bytes, sizeof(syscall_bytes));
        if (found)
            return at + (uint64_t)(found - bytes);
    }
    return 0;
}

/* Looks through the executable mappings, the vDSO first. Returns 0 when there is none. */
static uint64_t search_maps(pid_t tid, bool only_vdso)
{
    cleanup_strbuf struct strbuf text = {0};
    uint64_t found = 0;
    char *save = NULL;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/maps", tid);
    if (io_read_file(AT_FDCWD, path, 64 << 20, &text) < 0 || text.length == 0)
        return 0;
    for (char *line = strtok_r(text.data, "\n", &save); line && !found;
         line = strtok_r(NULL, "\n", &save)) {
        unsigned long start;
        unsigned long end;
        char rights[5];

        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3 || rights[2] != 'x' ||
            strstr(line, "[vsyscall]") || (only_vdso && strstr(line, "[vdso]") == NULL))
            continue;
        found = search_mapping(tid, start, end);
    }
    return found;
}

static bool is_in_call(const struct user_regs_struct *regs)
{
    return (long)regs->orig_rax >= 0;
}

static uint64_t find_instruction(pid_t tid, const struct user_regs_struct *regs)
{
    unsigned char bytes[SYSCALL_SIZE];
    uint64_t found;

    if (is_in_call(regs) &&
        peek(tid, regs->rip - SYSCALL_SIZE, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) &&
        memcmp(bytes, syscall_bytes, sizeof(bytes)) == 0)
        return regs->rip - SYSCALL_SIZE;
    found = search_maps(tid, true);
    return found ? found : search_maps(tid, false);
}

/*
 * A thread that stands within a restartable sequence must abort it, but the host forgets about the
 * sequence when it sees the thread run elsewhere: so it is told again at the end.
 */
static void remember_section(struct injection *injection)
{
    struct {
        uint64_t area;
        uint32_t size, signature, flags, pad;
    } configuration = {0};

    if (is_in_call(&injection->regs) ||
        ptrace(PTRACE_GET_RSEQ_CONFIGURATION, injection->tid, sizeof(configuration),
               &configuration) < 0 ||
        configuration.area == 0)
        return;
    injection->section = configuration.area + 8; /* struct rseq.rseq_cs */
    if (peek(injection->tid, injection->section, &injection->section_value,
             sizeof(injection->section_value)) != (ssize_t)sizeof(injection->section_value) ||
        injection->section_value == 0)
        injection->section = 0;
}

static void restore_section(const struct injection *injection)
{
    struct iovec local = {(void *)&injection->section_value, sizeof(injection->section_value)};
    struct iovec remote = {(void *)injection->section, sizeof(injection->section_value)};

    if (injection->section)
        process_vm_writev(injection->tid, &local, 1, &remote, 1, 0);
}

int inject_begin(const struct stopped *stopped, const struct stop_thread *thread, bool suspend,
                 struct injection *ret_injection)
{
    struct injection injection = {
        .pid = stopped->pid, .tid = thread->tid, .group_stop = thread->group_stop};
    uint64_t all = ~0ULL;

    if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &injection.regs) < 0)
        return -errno;
    if (injection.regs.cs != CODE_SEGMENT_64)
        return -ENOEXEC;
    injection.instruction = find_instruction(thread->tid, &injection.regs);
    if (injection.instruction == 0)
        return -ENOENT;
    remember_section(&injection);
    if (suspend && ptrace(PTRACE_SETOPTIONS, thread->tid, NULL,
                          PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP) < 0)
        return -EACCES;
    if (ptrace(PTRACE_GETSIGMASK, thread->tid, SIGNAL_BYTES, &injection.mask) < 0 ||
        ptrace(PTRACE_SETSIGMASK, thread->tid, SIGNAL_BYTES, &all) < 0)
        return -errno;
    *ret_injection = injection;
    return 0;
}

/* Runs the thread until it stands as wanted: at a system call, or because we interrupted it. */
static int run_until(const struct injection *injection, enum __ptrace_request how, bool at_call)
{
    int signal = 0;

    for (;;) {
        int what = 0;
        int r;

        if (ptrace(how, injection->tid, NULL, (long)signal) < 0)
            return -errno;
        r = stop_await(injection->pid, injection->tid, PATIENCE_MS, &what);
        if (r < 0)
            return r;
        if (at_call ? what == (SIGTRAP | 0x80) : what >> 8 == PTRACE_EVENT_STOP)
            return 0;
        signal = what >> 8 || what == (SIGTRAP | 0x80) ? 0 : what & 0x7f;
        if (!at_call)
            ptrace(PTRACE_INTERRUPT, injection->tid, NULL, NULL);
    }
}

int inject_run(struct injection *injection, long nr, const uint64_t args[6], int64_t *ret_value)
{
    struct user_regs_struct regs = injection->regs;
    int r;

    regs.rip = injection->instruction;
    regs.rax = (unsigned long long)nr;
    regs.orig_rax = ~0ULL; /* no call is under way that the host could restart */
    regs.rdi = args[0];
    regs.rsi = args[1];
    regs.rdx = args[2];
    regs.r10 = args[3];
    regs.r8 = args[4];
    regs.r9 = args[5];
    if (ptrace(PTRACE_SETREGS, injection->tid, NULL, &regs) < 0)
        return -errno;
    r = run_until(injection, PTRACE_SYSCALL, true);
    if (r == 0)
        r = run_until(injection, PTRACE_SYSCALL, true);
    if (r == 0 && ptrace(PTRACE_GETREGS, injection->tid, NULL, &regs) < 0)
        r = -errno;
    if (r == 0)
        *ret_value = (int64_t)regs.rax;
    return r;
}

/*
 * Registers that ask for a restart are understood only on the way through the host's handling of
 * signals, so the thread is brought to such a stop again.
 */
int inject_end(struct injection *injection)
{
    int r;

    ptrace(PTRACE_INTERRUPT, injection->tid, NULL, NULL);
    r = run_until(injection, PTRACE_CONT, false);
    if (r < 0)
        return r;
    restore_section(injection);
    if (ptrace(PTRACE_SETOPTIONS, injection->tid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
        ptrace(PTRACE_SETREGS, injection->tid, NULL, &injection->regs) < 0 ||
        ptrace(PTRACE_SETSIGMASK, injection->tid, SIGNAL_BYTES, &injection->mask) < 0)
        return -errno;
    return 0;
}

/*
 * The rules of the `checked` calls: what the filter reads from the registers and why that is
 * enough. Each rule is one function that appends a piece of program. A wrong rule here is a way out
 * of the process kernel or a call that breaks, so tests/unit/test_filter.c has all of them a second
 * time, written as plain C.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "trap/filter-internal.h"

/*
 * With linear address masking (arch_prctl ARCH_ENABLE_TAGGED_ADDR, Linux 6.4) the kernel ignores
 * bits 57 to 62 of an address, so the filter ignores bits 57 to 63: no tag may hide a low address.
 */
#define PAGE_MASK_BITS    0xfff /* of an address that is not that of a page */
#define ADDRESS_BITS_HIGH 0x01ffffffu

/* The new-namespace bits of clone(). CLONE_NEWTIME lies in the signal's bits and has no effect. */
#define CLONE_NEW_ANY                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

#define IOPRIO_WHO_PROCESS 1

void filter_branch_on_window(const struct filter_emitter *e, unsigned argument, bpf_label inside,
                             bpf_label outside)
{
    uint32_t base = (uint32_t)e->config->window_base;

    filter_load(e, argument);
    bpf_branch(e->code, BPF_JGE, base, BPF_NEXT, outside);
    bpf_branch(e->code, BPF_JGE, base + e->config->window_size, outside, inside);
}

/* Does the argument point below the limit that protects the loader's page? Not BPF_NEXT either. */
static void branch_on_low_address(const struct filter_emitter *e, unsigned argument,
                                  bpf_label below, bpf_label above)
{
    filter_load_high(e, argument);
    bpf_and(e->code, ADDRESS_BITS_HIGH);
    bpf_branch(e->code, BPF_JEQ, 0, BPF_NEXT, above);
    filter_load(e, argument);
    bpf_branch(e->code, BPF_JGE, (uint32_t)e->config->loader_limit, above, below);
}

/*
 * window, window2, window02: kernel-served descriptors live in a window of numbers. The kernel
 * takes a descriptor as `unsigned int`, so the upper half of the register does not matter.
 * This is the piece for read and write: three instructions to "native" with a low number.
 */
static void emit_window(const struct filter_emitter *e, unsigned first, unsigned second)
{
    bpf_label serve = filter_new_label(e);
    bpf_label outside = filter_new_label(e);
    bpf_label next = first == second ? outside : filter_new_label(e);

    filter_branch_on_window(e, first, serve, next);
    if (first != second) {
        bpf_bind(e->code, next);
        filter_branch_on_window(e, second, serve, outside);
    }
    filter_verdict_at(e, outside, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/*
 * rpage: munmap, mprotect, pkey_mprotect and madvise must not touch the loader's page, whose bytes
 * name the only file that the host executes. They act on a range that begins at their address and
 * goes up, and the kernel refuses a range that wraps around: one that begins at or above the limit
 * cannot reach the page. madvise belongs here because of MADV_DONTFORK: a child without the page
 * could be given a mapping of its own in that place, without any MAP_FIXED.
 *
 * What is below the limit is as good as not mapped: the errno is that of an address where nothing
 * is. (munmap would succeed there, which it must not pretend.)
 */
static uint32_t nothing_there(int nr)
{
    switch (nr) {
    case ABI_NR_munmap:
        return VERDICT_ERRNO(EPERM);
    case ABI_NR_remap_file_pages:
        return VERDICT_ERRNO(EINVAL);
    default:
        return VERDICT_ERRNO(ENOMEM);
    }
}

static void emit_rpage(const struct filter_emitter *e)
{
    bpf_label below = filter_new_label(e);
    bpf_label above = filter_new_label(e);

    branch_on_low_address(e, 0, below, above);
    filter_verdict_at(e, above, VERDICT_NATIVE);
    filter_verdict_at(e, below, nothing_there(e->nr));
}

/*
 * mmap: only MAP_FIXED replaces mappings. A mere hint at the loader's page finds the page there and
 * gets another address. Mapping a kernel-served descriptor is the process kernel's business; the
 * descriptor of an anonymous mapping is ignored.
 */
static void emit_mmap(const struct filter_emitter *e)
{
    bpf_label flags_again = filter_new_label(e);
    bpf_label source = filter_new_label(e);
    bpf_label file = filter_new_label(e);
    bpf_label refuse = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 3);
    bpf_branch(e->code, BPF_JSET, MAP_FIXED | MAP_FIXED_NOREPLACE, BPF_NEXT, source);
    branch_on_low_address(e, 0, refuse, flags_again);
    bpf_bind(e->code, flags_again);
    filter_load(e, 3);
    bpf_bind(e->code, source);
    bpf_branch(e->code, BPF_JSET, MAP_ANONYMOUS, native, file);
    bpf_bind(e->code, file);
    filter_branch_on_window(e, 4, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EPERM));
}

/*
 * mremap: the old range must not contain the loader's page, and neither must the new one where its
 * address is binding. Without MREMAP_FIXED the new address is absent or a hint.
 */
static void emit_mremap(const struct filter_emitter *e)
{
    bpf_label old_is_low = filter_new_label(e);
    bpf_label old_is_fine = filter_new_label(e);
    bpf_label nothing = filter_new_label(e);
    bpf_label unaligned = filter_new_label(e);
    bpf_label refuse = filter_new_label(e);
    bpf_label native = filter_new_label(e);

    branch_on_low_address(e, 0, old_is_low, old_is_fine);
    bpf_bind(e->code, old_is_fine);
    filter_load(e, 3);
    bpf_branch(e->code, BPF_JSET, MREMAP_FIXED, BPF_NEXT, native);
    branch_on_low_address(e, 4, refuse, native);
    bpf_bind(e->code, old_is_low);
    filter_load(e, 0);
    bpf_branch(e->code, BPF_JSET, PAGE_MASK_BITS, unaligned, nothing);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, unaligned, VERDICT_ERRNO(EINVAL));
    filter_verdict_at(e, nothing, VERDICT_ERRNO(EFAULT));
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EPERM));
}

/*
 * execve: a path pointer into the loader's page, where the host path of the loader is and cannot be
 * changed, starts the loader. Every other exec is served. (execveat is always served.)
 */
static void emit_execve(const struct filter_emitter *e)
{
    uint32_t string = (uint32_t)e->config->loader_string;
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load_high(e, 0);
    bpf_branch(e->code, BPF_JEQ, 0, BPF_NEXT, serve);
    filter_load(e, 0);
    bpf_branch(e->code, BPF_JGE, string, BPF_NEXT, serve);
    bpf_branch(e->code, BPF_JGE, string + FILTER_LOADER_TOKENS, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/*
 * clone: threads, forks and vforks are native. The kernel looks at the low 32 bits.
 *   CLONE_NEW*   inside a namespace of its own a guest would have the capabilities to mount, ...
 *   CLONE_PTRACE the child would be traced by whoever traces the caller just now: by the process
 *                kernel, without its knowledge. Without a tracer it means nothing, so nobody needs
 *                it.
 *   CLONE_FS     between processes: working directory and umask shared by two of them, which the
 *                process kernel has to know. Within a process (CLONE_THREAD) it is right.
 *   CLONE_PARENT makes a sibling; the process kernel adopts and reaps strangers anyhow, and the
 *                exit signal is that of the caller, SIGCHLD for a child of the process kernel.
 *   CLONE_UNTRACED and CLONE_VM need no care: new tasks are never traced from birth, and a
 *                vfork child has its own context id.
 */
static void emit_clone(const struct filter_emitter *e)
{
    bpf_label refuse = filter_new_label(e);
    bpf_label serve = filter_new_label(e);
    bpf_label native = filter_new_label(e);

    filter_load(e, 0);
    bpf_branch(e->code, BPF_JSET, CLONE_NEW_ANY | CLONE_PTRACE, refuse, BPF_NEXT);
    bpf_branch(e->code, BPF_JSET, CLONE_FS, BPF_NEXT, native);
    bpf_branch(e->code, BPF_JSET, CLONE_THREAD, native, serve);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EPERM));
}

/* Argument `resource` names one of the two limits that the process kernel uses itself. */
static void emit_resource_check(const struct filter_emitter *e, unsigned resource, bpf_label serve)
{
    static const uint32_t ours[] = {RLIMIT_LOCKS, RLIMIT_NOFILE};
    bpf_label native = filter_new_label(e);

    filter_load(e, resource);
    filter_branch_on_values(e, ours, array_length(ours), serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/* rlimit: RLIMIT_LOCKS carries the context id, RLIMIT_NOFILE holds the window. */
static void emit_rlimit(const struct filter_emitter *e)
{
    emit_resource_check(e, 0, filter_new_label(e));
}

/* prlimit: as rlimit, for the caller itself; another process may be outside the tree. */
static void emit_prlimit(const struct filter_emitter *e)
{
    bpf_label serve = filter_new_label(e);

    filter_load(e, 0);
    bpf_branch(e->code, BPF_JEQ, 0, BPF_NEXT, serve);
    emit_resource_check(e, 1, serve);
}

/* Two int arguments must have these values for the call to be about the caller only. */
static void emit_caller_only(const struct filter_emitter *e, uint32_t which, uint32_t who)
{
    bpf_label serve = filter_new_label(e);
    bpf_label native = filter_new_label(e);

    filter_load(e, 0);
    bpf_branch(e->code, BPF_JEQ, which, BPF_NEXT, serve);
    filter_load(e, 1);
    bpf_branch(e->code, BPF_JEQ, who, native, serve);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/* pid_self: a pid argument of 0 is the caller. ioprio_set has "which" before it. */
static void emit_pid_self(const struct filter_emitter *e)
{
    bpf_label serve = filter_new_label(e);
    bpf_label native = filter_new_label(e);

    if (e->nr == ABI_NR_ioprio_set) {
        emit_caller_only(e, IOPRIO_WHO_PROCESS, 0);
        return;
    }
    filter_load(e, 0);
    bpf_branch(e->code, BPF_JEQ, 0, native, serve);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/*
 * shmat must not put a segment over the loader's page (SHM_REMAP): an address of 0 lets the kernel
 * choose; of the others, those below the limit are refused. The rest of it, as all calls of this
 * rule: native in a namespace of its own, else served, since keys and numbers are host-wide.
 */
static void emit_shmat(const struct filter_emitter *e)
{
    bpf_label low = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label refuse = filter_new_label(e);

    branch_on_low_address(e, 1, low, native);
    bpf_bind(e->code, low);
    bpf_branch(e->code, BPF_JEQ, 0, native, refuse);
    filter_verdict_at(e, native, e->config->ipc_isolated ? VERDICT_NATIVE : VERDICT_SERVE);
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EPERM));
}

struct filter_action filter_simplify(const struct filter_config *config, enum abi_rule rule, int nr)
{
    const struct filter_action native = {.rule = ABI_RULE_NONE, .verdict = VERDICT_NATIVE};
    const struct filter_action serve = {.rule = ABI_RULE_NONE, .verdict = VERDICT_SERVE};
    const struct filter_action as_it_is = {.rule = rule};
    const struct filter_action of_this_call = {.rule = rule, .nr = nr};

    switch (rule) {
    case ABI_RULE_IDENTITY:
        return config->virtual_identity ? serve : native;
    case ABI_RULE_FSTAT:
        return config->virtual_identity ? serve : (struct filter_action){.rule = ABI_RULE_WINDOW};
    case ABI_RULE_IPC:
        if (!config->ipc_isolated)
            return nr == ABI_NR_shmat ? of_this_call : nr == ABI_NR_shmdt ? native : serve;
        return nr == ABI_NR_shmat ? of_this_call : native;
    case ABI_RULE_EXECVE:
        return nr == ABI_NR_execve ? as_it_is : serve;
    case ABI_RULE_SENDMSG:
    case ABI_RULE_RPAGE:
        return of_this_call;
    case ABI_RULE_SETSOCKOPT:
        return config->net == PK_NET_NONE || config->net_rules ? as_it_is : native;
    case ABI_RULE_LISTEN:
        return config->net == PK_NET_NONE || config->net_rules ? serve : native;
    case ABI_RULE_ACCEPT:
        return config->net == PK_NET_NONE ? as_it_is
                                          : (struct filter_action){.rule = ABI_RULE_WINDOW};
    case ABI_RULE_PID_SELF:
        return nr == ABI_NR_ioprio_set ? of_this_call : as_it_is;
    default:
        return as_it_is;
    }
}

static void emit_window_0(const struct filter_emitter *e)
{
    emit_window(e, 0, 0);
}

static void emit_window_0_1(const struct filter_emitter *e)
{
    emit_window(e, 0, 1);
}

static void emit_window_0_2(const struct filter_emitter *e)
{
    emit_window(e, 0, 2);
}

static void emit_priority(const struct filter_emitter *e)
{
    emit_caller_only(e, PRIO_PROCESS, 0);
}

typedef void (*emit_function)(const struct filter_emitter *e);

/* Rules that filter_simplify() turns into others are not here. */
static const emit_function emit_functions[ABI_RULE_COUNT] = {
    [ABI_RULE_PRLIMIT] = emit_prlimit,
    [ABI_RULE_RLIMIT] = emit_rlimit,
    [ABI_RULE_PRCTL] = filter_emit_prctl,
    [ABI_RULE_PRIORITY] = emit_priority,
    [ABI_RULE_PID_SELF] = emit_pid_self,
    [ABI_RULE_CLONE] = emit_clone,
    [ABI_RULE_EXECVE] = emit_execve,
    [ABI_RULE_IPC] = emit_shmat,
    [ABI_RULE_SOCKET] = filter_emit_socket,
    [ABI_RULE_SENDTO] = filter_emit_sendto,
    [ABI_RULE_SENDMSG] = filter_emit_sendmsg,
    [ABI_RULE_IOCTL] = filter_emit_ioctl,
    [ABI_RULE_FCNTL] = filter_emit_fcntl,
    [ABI_RULE_MMAP] = emit_mmap,
    [ABI_RULE_RPAGE] = emit_rpage,
    [ABI_RULE_MREMAP] = emit_mremap,
    [ABI_RULE_WINDOW] = emit_window_0,
    [ABI_RULE_WINDOW2] = emit_window_0_1,
    [ABI_RULE_RECVFROM] = filter_emit_recvfrom,
    [ABI_RULE_GETSOCKOPT] = filter_emit_getsockopt,
    [ABI_RULE_SETSOCKOPT] = filter_emit_setsockopt,
    [ABI_RULE_WINDOW02] = emit_window_0_2,
    [ABI_RULE_SOCKETPAIR] = filter_emit_socketpair,
    [ABI_RULE_ACCEPT] = filter_emit_accept,
};

void filter_emit(struct bpf_code *code, const struct filter_config *config,
                 const struct filter_action *action)
{
    const struct filter_emitter e = {.code = code, .config = config, .nr = action->nr};
    emit_function emit = emit_functions[action->rule];

    if (action->rule == ABI_RULE_NONE)
        bpf_return(code, action->verdict);
    else if (emit)
        emit(&e);
    else
        bpf_return(code, VERDICT_SERVE); /* a rule without a piece lets nothing through */
}

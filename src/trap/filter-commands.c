/*
 * The rules that are lists: prctl, ioctl and fcntl are many calls under one number, told apart by a
 * 32-bit command. The lists name what is native; a command that is not on a list is served, so that
 * what a future kernel adds is not let through by accident.
 *
 * Sources: include/uapi/linux/prctl.h, include/uapi/asm-generic/ioctls.h and fcntl.h,
 * include/uapi/linux/sockios.h, fs.h and random.h of Linux 6.18. Numbers newer than the headers of
 * the oldest system this is built on are written out.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/sockios.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "trap/filter-internal.h"

/* The commands of fcntl(); <fcntl.h> cannot be included together with <asm/termbits.h>. */
#define FCNTL_DUPFD         0
#define FCNTL_GETFD         1
#define FCNTL_SETFD         2
#define FCNTL_GETFL         3
#define FCNTL_SETLKW        7
#define FCNTL_GETOWN        9
#define FCNTL_GETSIG        11
#define FCNTL_GETOWN_EX     16
#define FCNTL_OFD_GETLK     36
#define FCNTL_OFD_SETLKW    38
#define FCNTL_GETLEASE      1025
#define FCNTL_DUPFD_QUERY   1027 /* 6.10 */
#define FCNTL_CANCELLK      1029
#define FCNTL_DUPFD_CLOEXEC 1030
#define FCNTL_SETPIPE_SZ    1031
#define FCNTL_SET_FILE_HINT 1038

#define PRCTL_GET_MDWE   66 /* 6.3; 65 sets */
#define PRCTL_SET_MDWE   65
#define PRCTL_FUTEX_HASH 78 /* 6.16 */
#define PRCTL_RSEQ_SLICE 79 /* 7.0 */

enum outcome {
    OUTCOME_SERVE, /* also everything between the spans */
    OUTCOME_NATIVE,
    OUTCOME_REFUSE,
    OUTCOME_DESCRIPTOR,   /* native unless the descriptor is in the window */
    OUTCOME_HOST_NETWORK, /* native with the host's network, else served */
    OUTCOME_COUNT,
};

/* Commands first..last. Lists of them are sorted and do not overlap. */
struct span {
    uint32_t first;
    uint32_t last;
    enum outcome outcome;
};

#define SPANS_MAX 64

/* Sends the accumulator to the label of its outcome. */
static void emit_spans(struct bpf_code *code, const struct span *spans, size_t count,
                       const bpf_label labels[OUTCOME_COUNT])
{
    struct bpf_case cases[2 * SPANS_MAX + 1];
    size_t used = 0;
    uint64_t next = 0; /* the first value that no case covers yet */

    for (size_t i = 0; i < count; i++) {
        if (spans[i].first > next)
            cases[used++] = (struct bpf_case){(uint32_t)next, labels[OUTCOME_SERVE], 1};
        cases[used++] = (struct bpf_case){spans[i].first, labels[spans[i].outcome], 1};
        next = (uint64_t)spans[i].last + 1;
    }
    if (next <= UINT32_MAX)
        cases[used++] = (struct bpf_case){(uint32_t)next, labels[OUTCOME_SERVE], 1};
    bpf_search(code, cases, used);
}

static uint32_t argument(unsigned index)
{
    return (uint32_t)(offsetof(struct seccomp_data, args) + index * sizeof(uint64_t));
}

static void verdict_at(struct bpf_code *code, bpf_label label, uint32_t verdict)
{
    bpf_bind(code, label);
    bpf_return(code, verdict);
}

/*
 * Harmless options: they concern the calling thread or process only, and neither what the process
 * kernel relies on nor what it shows differently. Not here, so served:
 *   DUMPABLE     0 would lock the process kernel out of the guest's memory
 *   MM, GET_AUXV the host's view of the process is the loader's
 *   SECCOMP      a filter of the guest's own has to let the loader's calls pass; GET would show
 * ours KEEPCAPS, CAPBSET, CAP_AMBIENT, SECUREBITS   identity is virtual PTRACER      opens the
 * process to strangers SCHED_CORE, IO_FLUSHER, MEMORY_MERGE         reach beyond the process
 *
 * A guest that is a subreaper only adopts descendants of its own. SYSCALL_USER_DISPATCH turns
 * calls of the guest into signals to itself before any filter runs: such a call never happens, and
 * one that we restart (exec, waiting) may come out as that signal, which is the guest's own doing.
 */
static const struct span prctl_options[] = {
    {PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, OUTCOME_NATIVE},
    {PR_GET_UNALIGN, PR_SET_UNALIGN, OUTCOME_NATIVE},
    {PR_GET_FPEMU, PR_GET_NAME, OUTCOME_NATIVE}, /* FPEMU, FPEXC, TIMING, NAME */
    {PR_GET_ENDIAN, PR_SET_ENDIAN, OUTCOME_NATIVE},
    {PR_GET_TSC, PR_SET_TSC, OUTCOME_NATIVE},
    {PR_SET_TIMERSLACK, PR_MCE_KILL_GET, OUTCOME_NATIVE}, /* TIMERSLACK, PERF_EVENTS, MCE_KILL */
    {PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, OUTCOME_NATIVE},
    {PR_GET_TID_ADDRESS, PR_MPX_DISABLE_MANAGEMENT,
     OUTCOME_NATIVE}, /* GET_TID_ADDRESS, THP_DISABLE, MPX; NO_NEW_PRIVS is virtual */
    {PR_GET_SPECULATION_CTRL, PR_SET_SPECULATION_CTRL, OUTCOME_NATIVE},
    {PR_SET_SYSCALL_USER_DISPATCH, PR_SET_SYSCALL_USER_DISPATCH, OUTCOME_NATIVE},
    {PRCTL_SET_MDWE, PRCTL_GET_MDWE, OUTCOME_NATIVE},
    {PRCTL_FUTEX_HASH, PRCTL_RSEQ_SLICE, OUTCOME_NATIVE},
    {PR_SET_VMA, PR_SET_VMA, OUTCOME_NATIVE}, /* names for anonymous mappings */
};

void filter_emit_prctl(const struct filter_emitter *e)
{
    bpf_label native = bpf_new_label(e->code);
    bpf_label serve = bpf_new_label(e->code);
    const bpf_label labels[OUTCOME_COUNT] = {[OUTCOME_SERVE] = serve, [OUTCOME_NATIVE] = native};

    bpf_load(e->code, argument(0));
    emit_spans(e->code, prctl_options, array_length(prctl_options), labels);
    verdict_at(e->code, native, VERDICT_NATIVE);
    verdict_at(e->code, serve, VERDICT_SERVE);
}

/*
 * Requests on terminals, pipes, sockets and plain files. Refused ones speak to the terminal on
 * behalf of its user (TIOCSTI types, TIOCLINUX pastes, TIOCCONS redirects the console, TIOCVHANGUP
 * hangs up) or load code (TIOCSETD). Not here on purpose: FIOSETOWN and SIOCSPGRP (aim signals),
 * TIOCEXCL (would outlive the guest on the user's terminal), TIOCGPTPEER (opens a file, which
 * Landlock forbids), changing file attributes (the VFS keeps its own), FIEMAP (block numbers of the
 * host), serial line wiring.
 */
static const struct span ioctl_requests[] = {
    {TCGETS, TCFLSH, OUTCOME_DESCRIPTOR},
    {TIOCNXCL, TIOCOUTQ, OUTCOME_DESCRIPTOR}, /* and SCTTY, GPGRP, SPGRP */
    {TIOCSTI, TIOCSTI, OUTCOME_REFUSE},
    {TIOCGWINSZ, TIOCMGET, OUTCOME_DESCRIPTOR},
    {FIONREAD, FIONREAD, OUTCOME_DESCRIPTOR}, /* also SIOCINQ, TIOCINQ */
    {TIOCLINUX, TIOCCONS, OUTCOME_REFUSE},
    {TIOCPKT, TIOCNOTTY, OUTCOME_DESCRIPTOR}, /* and FIONBIO */
    {TIOCSETD, TIOCSETD, OUTCOME_REFUSE},
    {TIOCGETD, TCSBRKP, OUTCOME_DESCRIPTOR},
    {TIOCSBRK, TIOCGSID, OUTCOME_DESCRIPTOR},
    {TIOCVHANGUP, TIOCVHANGUP, OUTCOME_REFUSE},
    {FIONCLEX, FIOASYNC, OUTCOME_DESCRIPTOR},
    {FIOQSIZE, FIOQSIZE, OUTCOME_DESCRIPTOR},
    {FIOGETOWN, SIOCATMARK, OUTCOME_DESCRIPTOR},
    {SIOCGIFNAME, SIOCGIFNAME, OUTCOME_HOST_NETWORK},
    {SIOCGIFCONF, SIOCGIFFLAGS, OUTCOME_HOST_NETWORK},
    {SIOCGIFADDR, SIOCGIFADDR, OUTCOME_HOST_NETWORK},
    {SIOCGIFDSTADDR, SIOCGIFDSTADDR, OUTCOME_HOST_NETWORK},
    {SIOCGIFBRDADDR, SIOCGIFBRDADDR, OUTCOME_HOST_NETWORK},
    {SIOCGIFNETMASK, SIOCGIFNETMASK, OUTCOME_HOST_NETWORK},
    {SIOCGIFMETRIC, SIOCGIFMETRIC, OUTCOME_HOST_NETWORK},
    {SIOCGIFMTU, SIOCGIFMTU, OUTCOME_HOST_NETWORK},
    {SIOCGIFHWADDR, SIOCGIFHWADDR, OUTCOME_HOST_NETWORK},
    {SIOCGIFINDEX, SIOCGIFINDEX, OUTCOME_HOST_NETWORK},
    {SIOCGIFTXQLEN, SIOCGIFTXQLEN, OUTCOME_HOST_NETWORK},
    {SIOCOUTQNSD, SIOCOUTQNSD, OUTCOME_DESCRIPTOR},
    {SIOCGIFMAP, SIOCGIFMAP, OUTCOME_HOST_NETWORK},
    {TIOCSPTLCK, TIOCSPTLCK, OUTCOME_DESCRIPTOR},
    {TIOCSIG, TIOCSIG, OUTCOME_DESCRIPTOR}, /* on the master only, to its own terminal */
    {FICLONE, FICLONE, OUTCOME_DESCRIPTOR},
    {FICLONERANGE, FICLONERANGE, OUTCOME_DESCRIPTOR},
    {TCSETS2, TCSETSF2, OUTCOME_DESCRIPTOR},
    {RNDGETENTCNT, RNDGETENTCNT, OUTCOME_DESCRIPTOR},
    {TIOCGPTN, TIOCGPTN, OUTCOME_DESCRIPTOR},
    {TIOCGDEV, TIOCGDEV, OUTCOME_DESCRIPTOR},
    {TIOCGPKT, TIOCGPTLCK, OUTCOME_DESCRIPTOR},
    {TIOCGEXCL, TIOCGEXCL, OUTCOME_DESCRIPTOR},
    {FS_IOC_GETFLAGS, FS_IOC_GETFLAGS, OUTCOME_DESCRIPTOR},
    {FS_IOC_GETVERSION, FS_IOC_GETVERSION, OUTCOME_DESCRIPTOR},
    {FS_IOC_FSGETXATTR, FS_IOC_FSGETXATTR, OUTCOME_DESCRIPTOR},
    {TCGETS2, TCGETS2, OUTCOME_DESCRIPTOR},
};

_Static_assert(array_length(ioctl_requests) <= SPANS_MAX, "SPANS_MAX is too small");

void filter_emit_ioctl(const struct filter_emitter *e)
{
    bpf_label window = bpf_new_label(e->code);
    bpf_label native = bpf_new_label(e->code);
    bpf_label serve = bpf_new_label(e->code);
    bpf_label refuse = bpf_new_label(e->code);
    const bpf_label labels[OUTCOME_COUNT] = {
        [OUTCOME_SERVE] = serve,
        [OUTCOME_REFUSE] = refuse,
        [OUTCOME_DESCRIPTOR] = window,
        [OUTCOME_HOST_NETWORK] = e->config->net == PK_NET_HOST ? window : serve,
    };

    bpf_load(e->code, argument(1));
    emit_spans(e->code, ioctl_requests, array_length(ioctl_requests), labels);
    bpf_bind(e->code, window);
    filter_branch_on_window(e, 0, serve, native);
    verdict_at(e->code, native, VERDICT_NATIVE);
    verdict_at(e->code, serve, VERDICT_SERVE);
    verdict_at(e->code, refuse, VERDICT_ERRNO(EPERM));
}

/*
 * Flags, locks, pipe sizes, seals and hints are native. A descriptor of the window may stand for an
 * O_PATH one, which has none of these, and its duplicates are made by the process kernel. Not here:
 * F_SETOWN, F_SETOWN_EX and F_SETSIG (aim signals at other processes), F_NOTIFY, and F_SETLEASE,
 * with which a guest could hold up the host's programs.
 */
static const struct span fcntl_commands[] = {
    {FCNTL_DUPFD, FCNTL_DUPFD, OUTCOME_DESCRIPTOR},
    {FCNTL_GETFD, FCNTL_SETFD, OUTCOME_NATIVE},
    {FCNTL_GETFL, FCNTL_SETLKW, OUTCOME_DESCRIPTOR}, /* GETFL, SETFL and record locks */
    {FCNTL_GETOWN, FCNTL_GETOWN, OUTCOME_DESCRIPTOR},
    {FCNTL_GETSIG, FCNTL_GETSIG, OUTCOME_DESCRIPTOR},
    {FCNTL_GETOWN_EX, FCNTL_GETOWN_EX, OUTCOME_DESCRIPTOR},
    {FCNTL_OFD_GETLK, FCNTL_OFD_SETLKW, OUTCOME_DESCRIPTOR},
    {FCNTL_GETLEASE, FCNTL_GETLEASE, OUTCOME_DESCRIPTOR},
    {FCNTL_DUPFD_QUERY, FCNTL_CANCELLK, OUTCOME_NATIVE}, /* and F_CREATED_QUERY, 6.12 */
    {FCNTL_DUPFD_CLOEXEC, FCNTL_DUPFD_CLOEXEC, OUTCOME_DESCRIPTOR},
    {FCNTL_SETPIPE_SZ, FCNTL_SET_FILE_HINT, OUTCOME_DESCRIPTOR}, /* pipe sizes, seals, hints */
};

void filter_emit_fcntl(const struct filter_emitter *e)
{
    bpf_label window = bpf_new_label(e->code);
    bpf_label native = bpf_new_label(e->code);
    bpf_label serve = bpf_new_label(e->code);
    const bpf_label labels[OUTCOME_COUNT] = {
        [OUTCOME_SERVE] = serve, [OUTCOME_NATIVE] = native, [OUTCOME_DESCRIPTOR] = window};

    bpf_load(e->code, argument(1));
    emit_spans(e->code, fcntl_commands, array_length(fcntl_commands), labels);
    bpf_bind(e->code, window);
    filter_branch_on_window(e, 0, serve, native);
    verdict_at(e->code, native, VERDICT_NATIVE);
    verdict_at(e->code, serve, VERDICT_SERVE);
}

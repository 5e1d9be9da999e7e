/*
 * What the seccomp filter has to answer, written down a second time and as plainly as possible:
 * from the table's disposition and the rule's description, without any idea of how the program is
 * built. Constants are typed anew or come from the C library's headers.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "abi/syscalls.h"
#include "trap/filter.h"

#define NATIVE       SECCOMP_RET_ALLOW
#define SERVE        SECCOMP_RET_USER_NOTIF
#define FAIL(errnum) (SECCOMP_RET_ERRNO | (errnum))

typedef const struct filter_config *reference_config;
typedef const struct seccomp_data *reference_data;

static bool reference_in_window(reference_config config, uint64_t argument)
{
    int64_t fd = (uint32_t)argument;

    return fd >= config->window_base && fd < config->window_base + (int64_t)config->window_size;
}

static uint32_t reference_window(reference_config config, uint64_t argument)
{
    return reference_in_window(config, argument) ? SERVE : NATIVE;
}

/* An address as the processor may see it with linear address masking: 57 bits count. */
static bool reference_is_low(reference_config config, uint64_t address)
{
    return (address & ((1ULL << 57) - 1)) < config->loader_limit;
}

static uint32_t reference_mmap(reference_config config, reference_data data)
{
    int flags = (int)data->args[3];

    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && reference_is_low(config, data->args[0]))
        return FAIL(EPERM);
    if (flags & MAP_ANONYMOUS)
        return NATIVE;
    return reference_window(config, data->args[4]);
}

static uint32_t reference_mremap(reference_config config, reference_data data)
{
    if (reference_is_low(config, data->args[0]))
        return data->args[0] & 0xfff ? FAIL(EINVAL) : FAIL(EFAULT);
    if ((data->args[3] & MREMAP_FIXED) && reference_is_low(config, data->args[4]))
        return FAIL(EPERM);
    return NATIVE;
}

static uint32_t reference_execve(reference_config config, reference_data data)
{
    uint64_t path = data->args[0];

    if (data->nr == ABI_NR_execve && path >= config->loader_string &&
        path < config->loader_string + 64)
        return NATIVE;
    return SERVE;
}

static uint32_t reference_clone(reference_data data)
{
    uint32_t flags = (uint32_t)data->args[0];

    if (flags & (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                 CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_PTRACE))
        return FAIL(EPERM);
    return (flags & CLONE_FS) && !(flags & CLONE_THREAD) ? SERVE : NATIVE;
}

static uint32_t reference_socket(reference_config config, reference_data data)
{
    int type = (int)data->args[1] & 0xf;

    if ((int)data->args[0] != AF_UNIX)
        return SERVE;
    if (type == SOCK_STREAM || type == SOCK_SEQPACKET)
        return NATIVE;
    return (type == SOCK_DGRAM || type == SOCK_RAW) && data->nr == ABI_NR_socketpair &&
                   config->unix_isolated
               ? NATIVE
               : SERVE;
}

static uint32_t reference_sendto(reference_config config, reference_data data)
{
    if (data->args[3] & MSG_FASTOPEN)
        return FAIL(EOPNOTSUPP);
    return data->args[4] == 0 ? reference_window(config, data->args[0]) : SERVE;
}

static uint32_t reference_sendmsg(reference_config config, reference_data data)
{
    uint64_t flags = data->nr == ABI_NR_sendmsg ? data->args[2] : data->args[3];

    if (flags & MSG_FASTOPEN)
        return FAIL(EOPNOTSUPP);
    return config->net_rules ? SERVE : reference_window(config, data->args[0]);
}

static uint32_t reference_recvfrom(reference_config config, reference_data data)
{
    return data->args[4] == 0 ? NATIVE : reference_window(config, data->args[0]);
}

static uint32_t reference_setsockopt(reference_config config, reference_data data)
{
    int level = (int)data->args[1];
    int option = (int)data->args[2];

    if (config->net == PK_NET_HOST && !config->net_rules)
        return NATIVE;
    if (config->net == PK_NET_HOST) /* IP_OPTIONS; IPV6_RTHDR, 2292PKTOPTIONS, FLOWLABEL_MGR */
        return (level == 0 && option == 4) ||
                       (level == 41 && (option == 57 || option == 6 || option == 32))
                   ? SERVE
                   : NATIVE;
    return level == 0 || level == 6 || level == 17 || level == 41 ? SERVE : NATIVE;
}

static uint32_t reference_getsockopt(reference_config config, reference_data data)
{
    int level = (int)data->args[1];
    int option = (int)data->args[2];

    if (level == SOL_SOCKET && (option == SO_PEERCRED || option == 77))
        return SERVE;
    if (config->net != PK_NET_NONE)
        return NATIVE;
    if (level == SOL_SOCKET)
        return option == SO_DOMAIN || option == SO_TYPE || option == SO_PROTOCOL ? SERVE : NATIVE;
    return level == 0 || level == 6 || level == 17 || level == 41 ? SERVE : NATIVE;
}

static uint32_t reference_limit(uint64_t resource)
{
    return (uint32_t)resource == RLIMIT_NOFILE || (uint32_t)resource == RLIMIT_LOCKS ? SERVE
                                                                                     : NATIVE;
}

static uint32_t reference_pid_self(reference_data data)
{
    if (data->nr == ABI_NR_ioprio_set)
        return (int)data->args[0] == 1 && (int)data->args[1] == 0 ? NATIVE : SERVE;
    return (int)data->args[0] == 0 ? NATIVE : SERVE;
}

static uint32_t reference_ipc(reference_config config, reference_data data)
{
    if (data->nr == ABI_NR_shmat && reference_is_low(config, data->args[1]) &&
        (uint32_t)data->args[1] != 0)
        return FAIL(EPERM);
    return config->ipc_isolated || data->nr == ABI_NR_shmdt ? NATIVE : SERVE;
}

static uint32_t reference_prctl(reference_data data)
{
    uint32_t option = (uint32_t)data->args[0];

    switch (option) {
    case PR_SET_DUMPABLE:
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_GET_SECCOMP:
    case PR_SET_SECCOMP:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_SET_MM:
    case PR_CAP_AMBIENT:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SCHED_CORE:
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
    case PR_SET_PTRACER:
    case 0x41555856: /* PR_GET_AUXV */
    case 67:         /* PR_SET_MEMORY_MERGE */
    case 68:
        return SERVE;
    case PR_SET_VMA:
    case PR_SET_SYSCALL_USER_DISPATCH:
    case PR_GET_SPECULATION_CTRL:
    case PR_SET_SPECULATION_CTRL:
    case 65: /* PR_SET_MDWE */
    case 66: /* PR_GET_MDWE */
    case 78: /* PR_FUTEX_HASH */
    case 79: /* PR_RSEQ_SLICE_EXTENSION */
        return NATIVE;
    default: /* 17, 18 and 45, 46 are not in use on x86 */
        return option >= 1 && option <= 44 && option != 17 && option != 18 ? NATIVE : SERVE;
    }
}

static bool reference_is_interface_query(uint32_t request)
{
    static const uint32_t queries[] = {0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b,
                                       0x891d, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970};

    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        if (request == queries[i])
            return true;
    }
    return false;
}

static bool reference_is_plain_request(uint32_t request)
{
    static const uint32_t known[] = {
        FICLONE,
        FICLONERANGE,
        FS_IOC_GETFLAGS,
        FS_IOC_GETVERSION,
        FS_IOC_FSGETXATTR,
        0x80045200, /* RNDGETENTCNT */
        0x8903,
        0x8904,
        0x8905,
        0x894b, /* SIOCOUTQNSD */
        TIOCGPTN,
        TIOCSPTLCK,
        TIOCGDEV,
        TIOCGPKT,
        TIOCGPTLCK,
        TIOCGEXCL,
        TIOCSIG,
        0x802c542a,
        0x402c542b,
        0x402c542c,
        0x402c542d,
        FIONREAD,
        FIONBIO,
        FIOASYNC,
        FIOCLEX,
        FIONCLEX,
        FIOQSIZE,
        TIOCNXCL,
        TIOCSCTTY,
        TIOCGPGRP,
        TIOCSPGRP,
        TIOCOUTQ,
        TIOCGWINSZ,
        TIOCSWINSZ,
        TIOCMGET,
        TIOCPKT,
        TIOCNOTTY,
        TIOCGETD,
        TCSBRKP,
        TIOCSBRK,
        TIOCCBRK,
        TIOCGSID,
        TCGETS,
        TCSETS,
        TCSETSW,
        TCSETSF,
        TCGETA,
        TCSETA,
        TCSETAW,
        TCSETAF,
        TCSBRK,
        TCXONC,
        TCFLSH,
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (request == known[i])
            return true;
    }
    return false;
}

static uint32_t reference_ioctl(reference_config config, reference_data data)
{
    uint32_t request = (uint32_t)data->args[1];

    switch (request) {
    case TIOCSTI:
    case TIOCLINUX:
    case TIOCCONS:
    case TIOCSETD:
    case TIOCVHANGUP:
        return FAIL(EPERM);
    default:
        break;
    }
    if (reference_is_plain_request(request) ||
        (config->net == PK_NET_HOST && reference_is_interface_query(request)))
        return reference_window(config, data->args[0]);
    return SERVE;
}

static uint32_t reference_fcntl(reference_config config, reference_data data)
{
    switch ((uint32_t)data->args[1]) {
    case F_GETFD:
    case F_SETFD:
    case 1027: /* F_DUPFD_QUERY */
    case 1028: /* F_CREATED_QUERY */
    case 1029: /* F_CANCELLK */
        return NATIVE;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFL:
    case F_SETFL:
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_GETOWN:
    case F_GETSIG:
    case 16: /* F_GETOWN_EX */
    case 36: /* F_OFD_GETLK */
    case 37: /* F_OFD_SETLK */
    case 38: /* F_OFD_SETLKW */
    case F_GETLEASE:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case 1035: /* F_GET_RW_HINT .. F_SET_FILE_RW_HINT */
    case 1036:
    case 1037:
    case 1038:
        return reference_window(config, data->args[0]);
    default:
        return SERVE;
    }
}

static uint32_t reference_rule(reference_config config, enum abi_rule rule, reference_data data)
{
    const uint64_t *args = (const uint64_t *)data->args;

    switch (rule) {
    case ABI_RULE_IDENTITY:
        return config->virtual_identity ? SERVE : NATIVE;
    case ABI_RULE_PRLIMIT:
        return (int)args[0] != 0 ? SERVE : reference_limit(args[1]);
    case ABI_RULE_RLIMIT:
        return reference_limit(args[0]);
    case ABI_RULE_PRCTL:
        return reference_prctl(data);
    case ABI_RULE_PRIORITY:
        return (int)args[0] == PRIO_PROCESS && (int)args[1] == 0 ? NATIVE : SERVE;
    case ABI_RULE_PID_SELF:
        return reference_pid_self(data);
    case ABI_RULE_CLONE:
        return reference_clone(data);
    case ABI_RULE_EXECVE:
        return reference_execve(config, data);
    case ABI_RULE_IPC:
        return reference_ipc(config, data);
    case ABI_RULE_SOCKET:
    case ABI_RULE_SOCKETPAIR:
        return reference_socket(config, data);
    case ABI_RULE_SENDTO:
        return reference_sendto(config, data);
    case ABI_RULE_SENDMSG:
        return reference_sendmsg(config, data);
    case ABI_RULE_LISTEN:
        return config->net == PK_NET_NONE || config->net_rules ? SERVE : NATIVE;
    case ABI_RULE_ACCEPT:
        return config->net == PK_NET_NONE && data->args[1] != 0
                   ? SERVE
                   : reference_window(config, data->args[0]);
    case ABI_RULE_RECVFROM:
        return reference_recvfrom(config, data);
    case ABI_RULE_SETSOCKOPT:
        return reference_setsockopt(config, data);
    case ABI_RULE_GETSOCKOPT:
        return reference_getsockopt(config, data);
    case ABI_RULE_IOCTL:
        return reference_ioctl(config, data);
    case ABI_RULE_FCNTL:
        return reference_fcntl(config, data);
    case ABI_RULE_MMAP:
        return reference_mmap(config, data);
    case ABI_RULE_RPAGE:
        if (!reference_is_low(config, args[0]))
            return NATIVE;
        return data->nr == ABI_NR_munmap             ? FAIL(EPERM)
               : data->nr == ABI_NR_remap_file_pages ? FAIL(EINVAL)
                                                     : FAIL(ENOMEM);
    case ABI_RULE_MREMAP:
        return reference_mremap(config, data);
    case ABI_RULE_FSTAT:
        if (config->virtual_identity)
            return SERVE;
        return reference_window(config, args[0]);
    case ABI_RULE_WINDOW:
        return reference_window(config, args[0]);
    case ABI_RULE_WINDOW2:
        return reference_in_window(config, args[0]) ? SERVE : reference_window(config, args[1]);
    case ABI_RULE_WINDOW02:
        return reference_in_window(config, args[0]) ? SERVE : reference_window(config, args[2]);
    default:
        return 0; /* no rule: no verdict of the filter looks like this */
    }
}

/* The verdict for a call under a configuration. */
static uint32_t reference_verdict(reference_config config, reference_data data)
{
    const struct abi_syscall *call;

    if (data->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    if (data->nr < 0 || data->nr >= 512)
        return FAIL(ENOSYS);
    call = abi_syscall_by_nr(data->nr);
    if (call == NULL)
        return SERVE;
    switch (call->disposition) {
    case ABI_DISPOSITION_NATIVE:
        return NATIVE;
    case ABI_DISPOSITION_FIXED:
        return FAIL((uint32_t)-call->errnum_or_value);
    case ABI_DISPOSITION_CHECKED:
        return reference_rule(config, call->rule, data);
    default:
        return SERVE;
    }
}

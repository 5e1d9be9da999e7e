/*
 * The facts about Linux x86-64 system calls: one record for each number.
 *
 * Everything here is read-only data generated from src/abi/syscalls.tbl by tools/gen-syscalls.py.
 * All functions are thread-safe, never allocate and never fail in any other way than the one
 * written beside them. Returned strings and records live as long as the program; nobody frees them.
 *
 * Sources: arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18 (numbers), syscalls(2) and the
 * per-call manual pages (arguments, first kernel version), include/uapi/ (flag values).
 *
 * The enums below are the closed lists the table may use: the generator reads them from this file
 * and refuses any word in the table that is not here. To add a word, add a line here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/numbers.gen.h" /* ABI_NR_<name> for every call, ABI_NR_MAX, ABI_SYSCALL_COUNT */

/* The most arguments a Linux call can have. */
#define ABI_MAX_ARGS 6

/* How a call is treated. `missing` is 0: what nobody has decided about is not let through. */
enum abi_disposition {
    ABI_DISPOSITION_MISSING, /* ENOSYS, counted and logged once */
    ABI_DISPOSITION_NATIVE,  /* the filter lets it through to the host */
    ABI_DISPOSITION_SERVED,  /* the process kernel answers */
    ABI_DISPOSITION_FIXED,   /* the filter answers a constant */
    ABI_DISPOSITION_CHECKED, /* the filter looks at scalar arguments, see enum abi_rule */
    ABI_DISPOSITION_REFUSED, /* an errno; the record's note says why */
};

/*
 * What the filter looks at for a `checked` call. "Native" lets the call through, "served" sends it
 * to the process kernel. A filter sees registers only, so every rule decides on scalars; where the
 * deciding fact lies in guest memory, the rule has to serve.
 *
 * "The window" is the reserved range of descriptor numbers that belongs to kernel-served
 * descriptors; "the R page" is the loader's read-only page and its surroundings below
 * R_LIMIT (1.5 MiB), which no call may change.
 */
enum abi_rule {
    ABI_RULE_NONE,
    ABI_RULE_IDENTITY,   /* native when the guest has the host's ids, else served */
    ABI_RULE_PRLIMIT,    /* by pid (arg0) and resource (arg1); LOCKS, NOFILE served */
    ABI_RULE_RLIMIT,     /* by resource (arg0); LOCKS and NOFILE served */
    ABI_RULE_PRCTL,      /* by operation (arg0) */
    ABI_RULE_PRIORITY,   /* which (arg0), who (arg1): the caller itself native, else served */
    ABI_RULE_PID_SELF,   /* arg0 == 0 (the caller) native, else served */
    ABI_RULE_CLONE,      /* by flags (arg0): threads, processes native; CLONE_NEW* not */
    ABI_RULE_EXECVE,     /* the pointer into the R page native, everything else served */
    ABI_RULE_IPC,        /* native in an IPC namespace of its own, else served */
    ABI_RULE_SOCKET,     /* by domain and type (arg0, arg1) */
    ABI_RULE_SOCKETPAIR, /* by domain and type (arg0, arg1) */
    ABI_RULE_SENDTO,   /* no address (arg4 == 0) and arg0 outside the window native, else served */
    ABI_RULE_LISTEN,   /* with network rules or without a network served, else native */
    ABI_RULE_ACCEPT,   /* arg0 in the window, or an address (arg1) without a network, served */
    ABI_RULE_SENDMSG,  /* with network rules, or arg0 in the window, served, else native */
    ABI_RULE_RECVFROM, /* an address (arg4) and arg0 in the window served, else native */
    ABI_RULE_GETSOCKOPT, /* by level and option (arg1, arg2): credentials served */
    ABI_RULE_SETSOCKOPT, /* by level and option (arg1, arg2), see filter-rules.c */
    ABI_RULE_IOCTL,      /* by descriptor (arg0: the window) and request (arg1) */
    ABI_RULE_FCNTL,      /* by descriptor (arg0: the window) and command (arg1) */
    ABI_RULE_MMAP,       /* address (arg0), flags (arg3): R page; fd (arg4): window */
    ABI_RULE_RPAGE,      /* address (arg0) below R_LIMIT refused, else native */
    ABI_RULE_MREMAP,     /* old (arg0) and, if MREMAP_FIXED, new address (arg4): R page */
    ABI_RULE_WINDOW,     /* arg0 in the window served, else native */
    ABI_RULE_WINDOW2,    /* arg0 or arg1 in the window served, else native */
    ABI_RULE_WINDOW02,   /* arg0 or arg2 in the window served, else native */
    ABI_RULE_FSTAT,      /* native with the host's ids and arg0 outside the window */
    ABI_RULE_COUNT,
};

/* What a call is about: the words of `--trace=file,network`. */
enum abi_family {
    ABI_FAMILY_FILE,       /* names, attributes, directories */
    ABI_FAMILY_DESCRIPTOR, /* what is done with an open descriptor */
    ABI_FAMILY_MEMORY,     /* address space */
    ABI_FAMILY_PROCESS,    /* processes, threads, scheduling, limits */
    ABI_FAMILY_SIGNAL,     /* signals */
    ABI_FAMILY_NETWORK,    /* sockets */
    ABI_FAMILY_IPC,        /* System V and POSIX IPC, cross-process memory */
    ABI_FAMILY_IDENTITY,   /* user and group ids, capabilities, keys */
    ABI_FAMILY_TIME,       /* clocks and timers */
    ABI_FAMILY_EVENT,      /* waiting: poll, epoll, futex, inotify, asynchronous I/O */
    ABI_FAMILY_SYSTEM,     /* the machine: mounts, modules, names, accounting */
    ABI_FAMILY_COUNT,
};

/* What an argument is: decides how a trace prints it, see abi_format_flags and trace/trace.h. */
enum abi_arg_kind {
    ABI_ARG_NONE,

    /* Plain numbers. */
    ABI_ARG_INT,  /* signed 32 bit */
    ABI_ARG_UINT, /* unsigned 32 bit */
    ABI_ARG_HEX,  /* bits without names here */
    ABI_ARG_SIZE, /* a length or count */
    ABI_ARG_OFF,  /* a signed 64 bit file offset */
    ABI_ARG_MODE, /* permission bits, octal */
    ABI_ARG_DEV,  /* a device number, major:minor */
    ABI_ARG_PID,  /* process, thread or group id */
    ABI_ARG_UID,
    ABI_ARG_GID,
    ABI_ARG_FD,    /* a descriptor */
    ABI_ARG_DIRFD, /* a descriptor or AT_FDCWD */

    /*
     * Guest pointers. Those that end in OUT, and some more that say so, are filled in by the call.
     * "Counted": the length is the next argument.
     */
    ABI_ARG_PTR,              /* anything not named below */
    ABI_ARG_PATH,             /* string in: a file name */
    ABI_ARG_STR,              /* string in: any other text */
    ABI_ARG_PATH_OUT,         /* string out: a file name */
    ABI_ARG_BUF_IN,           /* bytes in, counted */
    ABI_ARG_BUF_OUT,          /* bytes out; room for as many as the next argument says */
    ABI_ARG_ARGV,             /* string vector: program arguments */
    ABI_ARG_ENVP,             /* string vector: environment */
    ABI_ARG_TIMESPEC,         /* struct timespec */
    ABI_ARG_TIMESPEC_OUT,     /* the same */
    ABI_ARG_TIMESPEC_PAIR,    /* two of them: access and modification time */
    ABI_ARG_TIMEVAL,          /* struct timeval */
    ABI_ARG_TIMEVAL_OUT,      /* the same */
    ABI_ARG_TIMEVAL_PAIR,     /* two of them */
    ABI_ARG_UTIMBUF,          /* struct utimbuf */
    ABI_ARG_ITIMERVAL,        /* struct itimerval */
    ABI_ARG_ITIMERVAL_OUT,    /* the same */
    ABI_ARG_ITIMERSPEC,       /* struct itimerspec */
    ABI_ARG_ITIMERSPEC_OUT,   /* the same */
    ABI_ARG_STATBUF,          /* struct stat, out */
    ABI_ARG_STATX,            /* struct statx, out */
    ABI_ARG_STATFS,           /* struct statfs, out */
    ABI_ARG_OPEN_HOW,         /* struct open_how, counted */
    ABI_ARG_DIRENTS,          /* directory entries, out; room as the next argument says */
    ABI_ARG_OFF_PTR,          /* a file offset */
    ABI_ARG_UINT_OUT,         /* an unsigned int or an id */
    ABI_ARG_IOVEC,            /* struct iovec array, counted */
    ABI_ARG_IOVEC_OUT,        /* the same, to be filled */
    ABI_ARG_MSGHDR,           /* struct msghdr */
    ABI_ARG_MSGHDR_OUT,       /* the same, to be filled */
    ABI_ARG_MMSGHDR,          /* struct mmsghdr array, counted */
    ABI_ARG_MMSGHDR_OUT,      /* the same, to be filled */
    ABI_ARG_SOCKADDR,         /* struct sockaddr, counted */
    ABI_ARG_SOCKADDR_OUT,     /* the same; the next argument points to its length */
    ABI_ARG_SOCKLEN,          /* a length, in and out */
    ABI_ARG_SOCKOPT_IN,       /* value of the option before it, counted */
    ABI_ARG_SOCKOPT_OUT,      /* the same; the next argument points to its length */
    ABI_ARG_SIGSET,           /* signal set */
    ABI_ARG_SIGSET_OUT,       /* the same */
    ABI_ARG_SIGACTION,        /* the kernel's struct sigaction */
    ABI_ARG_SIGACTION_OUT,    /* the same */
    ABI_ARG_SIGINFO,          /* siginfo_t */
    ABI_ARG_SIGINFO_OUT,      /* the same */
    ABI_ARG_STACK,            /* stack_t */
    ABI_ARG_STACK_OUT,        /* the same */
    ABI_ARG_FDPAIR,           /* two descriptors, out */
    ABI_ARG_POLLFD,           /* struct pollfd array, counted */
    ABI_ARG_EPOLL_EVENT,      /* struct epoll_event */
    ABI_ARG_EPOLL_EVENTS_OUT, /* an array of them, as many as the call returns */
    ABI_ARG_RLIMIT,           /* struct rlimit, as 64 bit */
    ABI_ARG_RLIMIT_OUT,       /* the same */
    ABI_ARG_RUSAGE,           /* struct rusage, out */
    ABI_ARG_WSTATUS,          /* a wait status, out */
    ABI_ARG_UTSNAME,          /* struct utsname, out */
    ABI_ARG_SYSINFO,          /* struct sysinfo, out */
    ABI_ARG_GIDS,             /* group ids, as many as the argument before says */
    ABI_ARG_GIDS_OUT,         /* the same, as many as the call returns */
    ABI_ARG_CAP_HEADER,       /* struct __user_cap_header_struct */
    ABI_ARG_CAP_DATA,         /* struct __user_cap_data_struct, two of them */
    ABI_ARG_CAP_DATA_OUT,     /* the same */
    ABI_ARG_CPUSET,           /* a CPU set, as many bytes as the argument before says */
    ABI_ARG_CPUSET_OUT,       /* the same, as many bytes as the call returns */

    /* What they mean depends on an argument before. */
    ABI_ARG_FCNTL_ARG,       /* by the command */
    ABI_ARG_IOCTL_ARG,       /* by the request */
    ABI_ARG_PRCTL_ARG,       /* by the operation */
    ABI_ARG_SOCKET_PROTOCOL, /* by the domain */
    ABI_ARG_SOCKOPT,         /* by the level */

    /* Named bits and named values. */
    ABI_ARG_OPEN_FLAGS,
    ABI_ARG_ACCESS_MODE,
    ABI_ARG_AT_FLAGS,
    ABI_ARG_AT_ACCESS_FLAGS, /* AT_*, where 0x200 is AT_EACCESS */
    ABI_ARG_AT_UNLINK_FLAGS, /* AT_*, where 0x200 is AT_REMOVEDIR */
    ABI_ARG_RENAME_FLAGS,
    ABI_ARG_STATX_MASK,
    ABI_ARG_XATTR_FLAGS,
    ABI_ARG_AT_STATX_FLAGS, /* AT_*, of which two bits are the way to synchronise */
    ABI_ARG_FILE_MODE,      /* type of a file and permission bits */
    ABI_ARG_PIPE_FLAGS,     /* O_CLOEXEC and the like; the same bits in those that follow */
    ABI_ARG_SOCKET_FLAGS,
    ABI_ARG_INOTIFY_FLAGS,
    ABI_ARG_EVENTFD_FLAGS,
    ABI_ARG_EPOLL_FLAGS,
    ABI_ARG_TIMERFD_FLAGS,
    ABI_ARG_SIGNALFD_FLAGS,
    ABI_ARG_PIDFD_FLAGS,
    ABI_ARG_CLOSE_RANGE_FLAGS,
    ABI_ARG_WHENCE,
    ABI_ARG_FCNTL_CMD,
    ABI_ARG_IOCTL_CMD,
    ABI_ARG_FLOCK_OP,
    ABI_ARG_FALLOC_MODE,
    ABI_ARG_FADVICE,
    ABI_ARG_SYNC_RANGE_FLAGS,
    ABI_ARG_RWF_FLAGS,
    ABI_ARG_SPLICE_FLAGS,
    ABI_ARG_MOUNT_FLAGS,
    ABI_ARG_UMOUNT_FLAGS,
    ABI_ARG_INOTIFY_MASK,
    ABI_ARG_PROT,
    ABI_ARG_MAP_FLAGS,
    ABI_ARG_MREMAP_FLAGS,
    ABI_ARG_MSYNC_FLAGS,
    ABI_ARG_MADVICE,
    ABI_ARG_MLOCKALL_FLAGS,
    ABI_ARG_MEMFD_FLAGS,
    ABI_ARG_CLONE_FLAGS, /* the low byte is the exit signal */
    ABI_ARG_NS_FLAGS,    /* clone flags without a signal: unshare, setns */
    ABI_ARG_WAIT_OPTIONS,
    ABI_ARG_WAITID_TYPE,
    ABI_ARG_PRCTL_OP,
    ABI_ARG_ARCH_PRCTL_OP,
    ABI_ARG_PTRACE_OP,
    ABI_ARG_SECCOMP_OP,
    ABI_ARG_MEMBARRIER_CMD,
    ABI_ARG_RLIMIT_RESOURCE,
    ABI_ARG_RUSAGE_WHO,
    ABI_ARG_PRIORITY_WHICH,
    ABI_ARG_SCHED_POLICY,
    ABI_ARG_SIGNAL,
    ABI_ARG_SIG_HOW,
    ABI_ARG_SOCKET_DOMAIN,
    ABI_ARG_SOCKET_TYPE,
    ABI_ARG_SOCKOPT_LEVEL,
    ABI_ARG_SHUTDOWN_HOW,
    ABI_ARG_MSG_FLAGS,
    ABI_ARG_IPC_CMD,
    ABI_ARG_IPC_FLAGS,
    ABI_ARG_IPC_KEY,
    ABI_ARG_CLOCK_ID,
    ABI_ARG_TIMER_FLAGS,
    ABI_ARG_ITIMER_WHICH,
    ABI_ARG_EPOLL_OP,
    ABI_ARG_FUTEX_OP,
    ABI_ARG_GETRANDOM_FLAGS,

    /* Named bits and values inside of structures, and of commands: not for the table. */
    ABI_ARG_STATX_ATTRIBUTES,
    ABI_ARG_FS_MAGIC,
    ABI_ARG_FS_FLAGS,
    ABI_ARG_RESOLVE_FLAGS,
    ABI_ARG_STATUS_FLAGS, /* the flags of open() without an access mode */
    ABI_ARG_DESCRIPTOR_FLAGS,
    ABI_ARG_LOCK_TYPE,
    ABI_ARG_SEALS,
    ABI_ARG_POLL_EVENTS,
    ABI_ARG_EPOLL_EVENTS,
    ABI_ARG_IP_PROTOCOL,
    ABI_ARG_NETLINK_PROTOCOL,
    ABI_ARG_SOCKET_OPTION,
    ABI_ARG_IP_OPTION,
    ABI_ARG_IPV6_OPTION,
    ABI_ARG_TCP_OPTION,
    ABI_ARG_CONTROL_TYPE, /* of a control message of level SOL_SOCKET */
    ABI_ARG_SIGNAL_FLAGS,
    ABI_ARG_SIGNAL_CODE,
    ABI_ARG_STACK_FLAGS,
    ABI_ARG_CAPABILITY,
    ABI_ARG_TERMINAL_INPUT, /* the four of struct termios, without what is no bit of its own */
    ABI_ARG_TERMINAL_OUTPUT,
    ABI_ARG_TERMINAL_CONTROL,
    ABI_ARG_TERMINAL_LOCAL,
    ABI_ARG_TERMINAL_SPEED,
    ABI_ARG_COUNT,
};

struct abi_arg {
    const char *name; /* as in the manual page */
    enum abi_arg_kind kind;
};

/* One system call. */
struct abi_syscall {
    int nr;
    const char *name;
    enum abi_family family;
    enum abi_disposition disposition;
    enum abi_rule rule; /* ABI_RULE_NONE unless disposition is CHECKED */

    /*
     * What the guest's call returns, as the raw system call convention has it: the constant of a
     * FIXED call (0 or a negative errno), the negative errno of a REFUSED or MISSING one.
     * 0 and meaningless for the others.
     */
    int errnum_or_value;

    unsigned nargs;
    struct abi_arg args[ABI_MAX_ARGS]; /* the first nargs; the rest is {NULL, ABI_ARG_NONE} */
    const char *since;                 /* first kernel version, "-" for never implemented */
    const char *note;                  /* why it is treated so; "" if there is nothing to say */
};

/*
 * Finds a call by its number in constant time.
 *
 * Returns NULL for holes and for anything outside 0..ABI_NR_MAX (x32 numbers included): such a call
 * is `missing`.
 */
const struct abi_syscall *abi_syscall_by_nr(int nr);

/* Finds a call by its name ("openat") with a binary search. Returns NULL if there is none. */
const struct abi_syscall *abi_syscall_by_name(const char *name);

/*
 * Walks all calls in the order of their numbers: index 0..ABI_SYSCALL_COUNT-1.
 * Returns NULL past the end.
 */
const struct abi_syscall *abi_syscall_at(size_t index);

/*
 * The words the table and the documentation use: "served", "window2", "network", "open_flags".
 * A value outside the enum gives "unknown".
 */
const char *abi_disposition_name(enum abi_disposition disposition);
const char *abi_rule_name(enum abi_rule rule);
const char *abi_family_name(enum abi_family family);
const char *abi_arg_kind_name(enum abi_arg_kind kind);

/*
 * Finds a family by its word, or by one of the short forms that strace users know: desc, net,
 * creds, mem. Writes it to ret_family and returns 0; returns -ENOENT and writes nothing otherwise.
 */
int abi_family_by_name(const char *name, enum abi_family *ret_family);

/*
 * Errno numbers of x86-64 Linux (include/uapi/asm-generic/errno*.h), and the restart codes
 * 512..516 that only a tracer sees. Takes the positive number; returns "ENOENT", or NULL.
 */
const char *abi_errno_name(int errnum);

/* Finds the positive errno of a name ("ENOENT"; also the aliases). Returns 0 if there is none. */
int abi_errno_by_name(const char *name);

/*
 * Signal names as `kill -l` shows them with the prefix: "SIGHUP" .. "SIGSYS", "SIGRTMIN+1" .. .
 * 32 and 33, which the C library keeps to itself, are "SIG32" and "SIG33".
 * Returns NULL outside 1..64.
 */
const char *abi_signal_name(int signum);

/* Finds a signal by name, with or without "SIG" ("KILL"). Returns 0 if there is none. */
int abi_signal_by_name(const char *name);

/*
 * Writes an argument's value as text: "O_RDONLY|O_CLOEXEC", "AT_FDCWD", "PROT_READ|PROT_EXEC",
 * "0644", "-1", as strace(1) does. Bits without a name follow in hexadecimal
 * ("O_RDONLY|0x40000000"), no bit is ever dropped. Pointers are written as addresses ("NULL" for
 * 0): this function never reads guest memory. A register carries 64 bits, but most kinds are 32 bit
 * wide in the kernel; the upper half is ignored for those, as the kernel does.
 *
 * Works like snprintf: returns the length of the whole text without the terminator, writes at most
 * size bytes and terminates them if size is not 0. out may be NULL when size is 0.
 */
size_t abi_format_flags(enum abi_arg_kind kind, uint64_t value, char *out, size_t size);

/*
 * Whether calls of this number can be intercepted. Not those that a notification would break: ends
 * of threads, signal return, close (a cancelled one must not be repeated), forks and waits, which
 * have to be interruptible.
 */
bool abi_may_intercept(int nr);

/*
 * Whether the vDSO answers this call in the program itself, so that nobody sees it: clock_gettime,
 * gettimeofday, time, clock_getres, getcpu. Source: arch/x86/entry/vdso/vdso.lds.S.
 */
bool abi_is_in_vdso(int nr);

/*
 * Whether calls of this number can be made to fail. Not those without which no program starts, ends
 * or takes a signal, and pause, in which threads wait that the process kernel holds up.
 */
bool abi_may_deny(int nr);

/*
 * Whether some calls of this number can be made to fail while others are let through. Not those
 * that cannot be intercepted, and pause (see abi_may_deny).
 */
bool abi_may_inject(int nr);

/*
 * The names of flag bits and enumerated values, one list for each kind of argument.
 *
 * The numbers are written out: the host's headers may be older than the calls, or belong to another
 * C library. Source: include/uapi/ of Linux 6.18, x86-64 values.
 */
#include "abi/flags-internal.h"

/* Many values to a row: one to a line would be twice as long and no clearer. */
/* clang-format off */
static const struct abi_value_name open_flags_fields[] = {
    {0, "O_RDONLY"}, {1, "O_WRONLY"}, {2, "O_RDWR"},
};
static const struct abi_value_name open_flags_bits[] = {
    {0100, "O_CREAT"}, {0200, "O_EXCL"}, {0400, "O_NOCTTY"}, {01000, "O_TRUNC"},
    {02000, "O_APPEND"}, {04000, "O_NONBLOCK"}, {04010000, "O_SYNC"}, {020000, "O_ASYNC"},
    {010000, "O_DSYNC"}, {040000, "O_DIRECT"}, {0100000, "O_LARGEFILE"}, {0400000, "O_NOFOLLOW"},
    {01000000, "O_NOATIME"}, {02000000, "O_CLOEXEC"}, {010000000, "O_PATH"},
    {020200000, "O_TMPFILE"}, {0200000, "O_DIRECTORY"},
};

static const struct abi_value_name access_mode_bits[] = {
    {4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"},
};

static const struct abi_value_name at_flags_bits[] = {
    {0x100, "AT_SYMLINK_NOFOLLOW"}, {0x400, "AT_SYMLINK_FOLLOW"}, {0x800, "AT_NO_AUTOMOUNT"},
    {0x1000, "AT_EMPTY_PATH"}, {0x2000, "AT_STATX_FORCE_SYNC"}, {0x4000, "AT_STATX_DONT_SYNC"},
    {0x8000, "AT_RECURSIVE"}, {0x10000, "AT_EXECVE_CHECK"},
};

/* The way to synchronise comes first. */
static const struct abi_value_name at_statx_flags_fields[] = {
    {0, "AT_STATX_SYNC_AS_STAT"}, {0x2000, "AT_STATX_FORCE_SYNC"}, {0x4000, "AT_STATX_DONT_SYNC"},
};
static const struct abi_value_name at_statx_flags_bits[] = {
    {0x100, "AT_SYMLINK_NOFOLLOW"}, {0x800, "AT_NO_AUTOMOUNT"}, {0x1000, "AT_EMPTY_PATH"},
};

static const struct abi_value_name at_access_flags_bits[] = {
    {0x100, "AT_SYMLINK_NOFOLLOW"}, {0x200, "AT_EACCESS"}, {0x400, "AT_SYMLINK_FOLLOW"},
    {0x800, "AT_NO_AUTOMOUNT"}, {0x1000, "AT_EMPTY_PATH"}, {0x2000, "AT_STATX_FORCE_SYNC"},
    {0x4000, "AT_STATX_DONT_SYNC"}, {0x8000, "AT_RECURSIVE"}, {0x10000, "AT_EXECVE_CHECK"},
};

static const struct abi_value_name at_unlink_flags_bits[] = {
    {0x100, "AT_SYMLINK_NOFOLLOW"}, {0x200, "AT_REMOVEDIR"}, {0x400, "AT_SYMLINK_FOLLOW"},
    {0x800, "AT_NO_AUTOMOUNT"}, {0x1000, "AT_EMPTY_PATH"}, {0x2000, "AT_STATX_FORCE_SYNC"},
    {0x4000, "AT_STATX_DONT_SYNC"}, {0x8000, "AT_RECURSIVE"}, {0x10000, "AT_EXECVE_CHECK"},
};

static const struct abi_value_name rename_flags_bits[] = {
    {1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"},
};

static const struct abi_value_name statx_mask_bits[] = {
    {0xfff, "STATX_ALL"}, {0x7ff, "STATX_BASIC_STATS"}, {1, "STATX_TYPE"}, {2, "STATX_MODE"}, {4, "STATX_NLINK"},
    {8, "STATX_UID"}, {0x10, "STATX_GID"}, {0x20, "STATX_ATIME"}, {0x40, "STATX_MTIME"},
    {0x80, "STATX_CTIME"}, {0x100, "STATX_INO"}, {0x200, "STATX_SIZE"}, {0x400, "STATX_BLOCKS"},
    {0x800, "STATX_BTIME"}, {0x1000, "STATX_MNT_ID"}, {0x2000, "STATX_DIOALIGN"},
    {0x4000, "STATX_MNT_ID_UNIQUE"}, {0x8000, "STATX_SUBVOL"}, {0x10000, "STATX_WRITE_ATOMIC"},
    {0x20000, "STATX_DIO_READ_ALIGN"},
};

static const struct abi_value_name xattr_flags_bits[] = {
    {1, "XATTR_CREATE"}, {2, "XATTR_REPLACE"},
};

/* The order is that of strace. */
static const struct abi_value_name pipe_flags_bits[] = {
    {04000, "O_NONBLOCK"}, {040000, "O_DIRECT"}, {02000000, "O_CLOEXEC"},
};
static const struct abi_value_name socket_flags_bits[] = {
    {02000000, "SOCK_CLOEXEC"}, {04000, "SOCK_NONBLOCK"},
};
static const struct abi_value_name inotify_flags_bits[] = {
    {04000, "IN_NONBLOCK"}, {02000000, "IN_CLOEXEC"},
};
static const struct abi_value_name eventfd_flags_bits[] = {
    {1, "EFD_SEMAPHORE"}, {02000000, "EFD_CLOEXEC"}, {04000, "EFD_NONBLOCK"},
};
static const struct abi_value_name epoll_flags_bits[] = {
    {02000000, "EPOLL_CLOEXEC"},
};
static const struct abi_value_name timerfd_flags_bits[] = {
    {02000000, "TFD_CLOEXEC"}, {04000, "TFD_NONBLOCK"},
};
static const struct abi_value_name signalfd_flags_bits[] = {
    {02000000, "SFD_CLOEXEC"}, {04000, "SFD_NONBLOCK"},
};

static const struct abi_value_name pidfd_flags_bits[] = {
    {04000, "PIDFD_NONBLOCK"}, {0200, "PIDFD_THREAD"},
};

static const struct abi_value_name close_range_flags_bits[] = {
    {2, "CLOSE_RANGE_UNSHARE"}, {4, "CLOSE_RANGE_CLOEXEC"},
};

static const struct abi_value_name whence_fields[] = {
    {0, "SEEK_SET"}, {1, "SEEK_CUR"}, {2, "SEEK_END"}, {3, "SEEK_DATA"}, {4, "SEEK_HOLE"},
};

static const struct abi_value_name fcntl_cmd_fields[] = {
    {0, "F_DUPFD"}, {1, "F_GETFD"}, {2, "F_SETFD"}, {3, "F_GETFL"}, {4, "F_SETFL"}, {5, "F_GETLK"},
    {6, "F_SETLK"}, {7, "F_SETLKW"}, {8, "F_SETOWN"}, {9, "F_GETOWN"}, {10, "F_SETSIG"},
    {11, "F_GETSIG"}, {15, "F_SETOWN_EX"}, {16, "F_GETOWN_EX"}, {17, "F_GETOWNER_UIDS"},
    {36, "F_OFD_GETLK"}, {37, "F_OFD_SETLK"}, {38, "F_OFD_SETLKW"}, {1024, "F_SETLEASE"},
    {1025, "F_GETLEASE"}, {1026, "F_NOTIFY"}, {1027, "F_DUPFD_QUERY"}, {1028, "F_CREATED_QUERY"},
    {1029, "F_CANCELLK"}, {1030, "F_DUPFD_CLOEXEC"}, {1031, "F_SETPIPE_SZ"}, {1032, "F_GETPIPE_SZ"},
    {1033, "F_ADD_SEALS"}, {1034, "F_GET_SEALS"}, {1035, "F_GET_RW_HINT"}, {1036, "F_SET_RW_HINT"},
    {1037, "F_GET_FILE_RW_HINT"}, {1038, "F_SET_FILE_RW_HINT"}, {1039, "F_GETDELEG"},
    {1040, "F_SETDELEG"},
};

static const struct abi_value_name ioctl_cmd_fields[] = {
    {0x5401, "TCGETS"}, {0x5402, "TCSETS"}, {0x5403, "TCSETSW"}, {0x5404, "TCSETSF"},
    {0x5405, "TCGETA"}, {0x5406, "TCSETA"}, {0x5407, "TCSETAW"}, {0x5408, "TCSETAF"},
    {0x5409, "TCSBRK"}, {0x540a, "TCXONC"}, {0x540b, "TCFLSH"}, {0x540c, "TIOCEXCL"},
    {0x540d, "TIOCNXCL"}, {0x540e, "TIOCSCTTY"}, {0x540f, "TIOCGPGRP"}, {0x5410, "TIOCSPGRP"},
    {0x5411, "TIOCOUTQ"}, {0x5412, "TIOCSTI"}, {0x5413, "TIOCGWINSZ"}, {0x5414, "TIOCSWINSZ"},
    {0x5415, "TIOCMGET"}, {0x5416, "TIOCMBIS"}, {0x5417, "TIOCMBIC"}, {0x5418, "TIOCMSET"},
    {0x5419, "TIOCGSOFTCAR"}, {0x541a, "TIOCSSOFTCAR"}, {0x541b, "FIONREAD"}, {0x541c, "TIOCLINUX"},
    {0x541d, "TIOCCONS"}, {0x541e, "TIOCGSERIAL"}, {0x541f, "TIOCSSERIAL"}, {0x5420, "TIOCPKT"},
    {0x5421, "FIONBIO"}, {0x5422, "TIOCNOTTY"}, {0x5423, "TIOCSETD"}, {0x5424, "TIOCGETD"},
    {0x5425, "TCSBRKP"}, {0x5427, "TIOCSBRK"}, {0x5428, "TIOCCBRK"}, {0x5429, "TIOCGSID"},
    {0x802c542a, "TCGETS2"}, {0x402c542b, "TCSETS2"}, {0x402c542c, "TCSETSW2"},
    {0x402c542d, "TCSETSF2"}, {0x80045430, "TIOCGPTN"}, {0x40045431, "TIOCSPTLCK"},
    {0x80045432, "TIOCGDEV"}, {0x80045438, "TIOCGPKT"}, {0x80045439, "TIOCGPTLCK"},
    {0x80045440, "TIOCGEXCL"}, {0x5441, "TIOCGPTPEER"}, {0x5450, "FIONCLEX"}, {0x5451, "FIOCLEX"},
    {0x5452, "FIOASYNC"}, {0x5460, "FIOQSIZE"}, {0xc0045877, "FIFREEZE"}, {0xc0045878, "FITHAW"},
    {0xc0185879, "FITRIM"}, {0x40049409, "FICLONE"}, {0x4020940d, "FICLONERANGE"},
    {0xc0189436, "FIDEDUPERANGE"}, {0x80086601, "FS_IOC_GETFLAGS"}, {0x40086602, "FS_IOC_SETFLAGS"},
    {0x80087601, "FS_IOC_GETVERSION"}, {0xc020660b, "FS_IOC_FIEMAP"},
    {0x801c581f, "FS_IOC_FSGETXATTR"}, {0x401c5820, "FS_IOC_FSSETXATTR"}, {0x1260, "BLKGETSIZE"},
    {0x1268, "BLKSSZGET"}, {0x80081272, "BLKGETSIZE64"}, {0x8910, "SIOCGIFNAME"},
    {0x8912, "SIOCGIFCONF"}, {0x8913, "SIOCGIFFLAGS"}, {0x8914, "SIOCSIFFLAGS"},
    {0x8915, "SIOCGIFADDR"}, {0x8919, "SIOCGIFBRDADDR"}, {0x891b, "SIOCGIFNETMASK"},
    {0x8921, "SIOCGIFMTU"}, {0x8927, "SIOCGIFHWADDR"}, {0x8933, "SIOCGIFINDEX"},
    {0x8946, "SIOCETHTOOL"}, {0x8905, "SIOCATMARK"}, {0xb701, "NS_GET_USERNS"},
    {0xb702, "NS_GET_PARENT"}, {0xb703, "NS_GET_NSTYPE"},
};

static const struct abi_value_name flock_op_fields[] = {
    {1, "LOCK_SH"}, {2, "LOCK_EX"},
};
static const struct abi_value_name flock_op_bits[] = {
    {8, "LOCK_UN"}, {4, "LOCK_NB"},
};

static const struct abi_value_name falloc_mode_bits[] = {
    {1, "FALLOC_FL_KEEP_SIZE"}, {2, "FALLOC_FL_PUNCH_HOLE"}, {8, "FALLOC_FL_COLLAPSE_RANGE"},
    {0x10, "FALLOC_FL_ZERO_RANGE"}, {0x20, "FALLOC_FL_INSERT_RANGE"},
    {0x40, "FALLOC_FL_UNSHARE_RANGE"}, {0x80, "FALLOC_FL_WRITE_ZEROES"},
};

static const struct abi_value_name fadvice_fields[] = {
    {0, "POSIX_FADV_NORMAL"}, {1, "POSIX_FADV_RANDOM"}, {2, "POSIX_FADV_SEQUENTIAL"},
    {3, "POSIX_FADV_WILLNEED"}, {4, "POSIX_FADV_DONTNEED"}, {5, "POSIX_FADV_NOREUSE"},
};

static const struct abi_value_name sync_range_flags_bits[] = {
    {1, "SYNC_FILE_RANGE_WAIT_BEFORE"}, {2, "SYNC_FILE_RANGE_WRITE"},
    {4, "SYNC_FILE_RANGE_WAIT_AFTER"},
};

static const struct abi_value_name rwf_flags_bits[] = {
    {1, "RWF_HIPRI"}, {2, "RWF_DSYNC"}, {4, "RWF_SYNC"}, {8, "RWF_NOWAIT"}, {0x10, "RWF_APPEND"},
    {0x20, "RWF_NOAPPEND"}, {0x40, "RWF_ATOMIC"}, {0x80, "RWF_DONTCACHE"}, {0x100, "RWF_NOSIGNAL"},
};

static const struct abi_value_name splice_flags_bits[] = {
    {1, "SPLICE_F_MOVE"}, {2, "SPLICE_F_NONBLOCK"}, {4, "SPLICE_F_MORE"}, {8, "SPLICE_F_GIFT"},
};

static const struct abi_value_name mount_flags_bits[] = {
    {1, "MS_RDONLY"}, {2, "MS_NOSUID"}, {4, "MS_NODEV"}, {8, "MS_NOEXEC"}, {0x10, "MS_SYNCHRONOUS"},
    {0x20, "MS_REMOUNT"}, {0x40, "MS_MANDLOCK"}, {0x80, "MS_DIRSYNC"}, {0x100, "MS_NOSYMFOLLOW"},
    {0x400, "MS_NOATIME"}, {0x800, "MS_NODIRATIME"}, {0x1000, "MS_BIND"}, {0x2000, "MS_MOVE"},
    {0x4000, "MS_REC"}, {0x8000, "MS_SILENT"}, {0x10000, "MS_POSIXACL"}, {0x20000, "MS_UNBINDABLE"},
    {0x40000, "MS_PRIVATE"}, {0x80000, "MS_SLAVE"}, {0x100000, "MS_SHARED"},
    {0x200000, "MS_RELATIME"}, {0x400000, "MS_KERNMOUNT"}, {0x800000, "MS_I_VERSION"},
    {0x1000000, "MS_STRICTATIME"}, {0x2000000, "MS_LAZYTIME"},
};

static const struct abi_value_name umount_flags_bits[] = {
    {1, "MNT_FORCE"}, {2, "MNT_DETACH"}, {4, "MNT_EXPIRE"}, {8, "UMOUNT_NOFOLLOW"},
};

static const struct abi_value_name inotify_mask_bits[] = {
    {0xfff, "IN_ALL_EVENTS"}, {1, "IN_ACCESS"}, {2, "IN_MODIFY"}, {4, "IN_ATTRIB"},
    {0x18, "IN_CLOSE"}, {8, "IN_CLOSE_WRITE"}, {0x10, "IN_CLOSE_NOWRITE"}, {0x20, "IN_OPEN"},
    {0xc0, "IN_MOVE"}, {0x40, "IN_MOVED_FROM"}, {0x80, "IN_MOVED_TO"}, {0x100, "IN_CREATE"},
    {0x200, "IN_DELETE"}, {0x400, "IN_DELETE_SELF"}, {0x800, "IN_MOVE_SELF"},
    {0x1000000, "IN_ONLYDIR"}, {0x2000000, "IN_DONT_FOLLOW"}, {0x4000000, "IN_EXCL_UNLINK"},
    {0x10000000, "IN_MASK_CREATE"}, {0x20000000, "IN_MASK_ADD"}, {0x40000000, "IN_ISDIR"},
    {0x80000000, "IN_ONESHOT"},
};

static const struct abi_value_name prot_bits[] = {
    {1, "PROT_READ"}, {2, "PROT_WRITE"}, {4, "PROT_EXEC"}, {8, "PROT_SEM"},
    {0x1000000, "PROT_GROWSDOWN"}, {0x2000000, "PROT_GROWSUP"},
};

static const struct abi_value_name map_flags_fields[] = {
    {1, "MAP_SHARED"}, {2, "MAP_PRIVATE"}, {3, "MAP_SHARED_VALIDATE"}, {8, "MAP_DROPPABLE"},
};
static const struct abi_value_name map_flags_bits[] = {
    {0x10, "MAP_FIXED"}, {0x20, "MAP_ANONYMOUS"}, {0x40, "MAP_32BIT"}, {0x80, "MAP_ABOVE4G"},
    {0x100, "MAP_GROWSDOWN"}, {0x800, "MAP_DENYWRITE"}, {0x1000, "MAP_EXECUTABLE"},
    {0x2000, "MAP_LOCKED"}, {0x4000, "MAP_NORESERVE"}, {0x8000, "MAP_POPULATE"},
    {0x10000, "MAP_NONBLOCK"}, {0x20000, "MAP_STACK"}, {0x40000, "MAP_HUGETLB"},
    {0x80000, "MAP_SYNC"}, {0x100000, "MAP_FIXED_NOREPLACE"},
};

static const struct abi_value_name mremap_flags_bits[] = {
    {1, "MREMAP_MAYMOVE"}, {2, "MREMAP_FIXED"}, {4, "MREMAP_DONTUNMAP"},
};

static const struct abi_value_name msync_flags_bits[] = {
    {1, "MS_ASYNC"}, {2, "MS_INVALIDATE"}, {4, "MS_SYNC"},
};

static const struct abi_value_name madvice_fields[] = {
    {0, "MADV_NORMAL"}, {1, "MADV_RANDOM"}, {2, "MADV_SEQUENTIAL"}, {3, "MADV_WILLNEED"},
    {4, "MADV_DONTNEED"}, {8, "MADV_FREE"}, {9, "MADV_REMOVE"}, {10, "MADV_DONTFORK"},
    {11, "MADV_DOFORK"}, {12, "MADV_MERGEABLE"}, {13, "MADV_UNMERGEABLE"}, {14, "MADV_HUGEPAGE"},
    {15, "MADV_NOHUGEPAGE"}, {16, "MADV_DONTDUMP"}, {17, "MADV_DODUMP"}, {18, "MADV_WIPEONFORK"},
    {19, "MADV_KEEPONFORK"}, {20, "MADV_COLD"}, {21, "MADV_PAGEOUT"}, {22, "MADV_POPULATE_READ"},
    {23, "MADV_POPULATE_WRITE"}, {24, "MADV_DONTNEED_LOCKED"}, {25, "MADV_COLLAPSE"},
    {100, "MADV_HWPOISON"}, {101, "MADV_SOFT_OFFLINE"}, {102, "MADV_GUARD_INSTALL"},
    {103, "MADV_GUARD_REMOVE"},
};

static const struct abi_value_name mlockall_flags_bits[] = {
    {1, "MCL_CURRENT"}, {2, "MCL_FUTURE"}, {4, "MCL_ONFAULT"},
};

static const struct abi_value_name memfd_flags_bits[] = {
    {1, "MFD_CLOEXEC"}, {2, "MFD_ALLOW_SEALING"}, {4, "MFD_HUGETLB"}, {8, "MFD_NOEXEC_SEAL"},
    {0x10, "MFD_EXEC"},
};

static const struct abi_value_name clone_flags_bits[] = {
    {0x100, "CLONE_VM"}, {0x200, "CLONE_FS"}, {0x400, "CLONE_FILES"}, {0x800, "CLONE_SIGHAND"},
    {0x1000, "CLONE_PIDFD"}, {0x2000, "CLONE_PTRACE"}, {0x4000, "CLONE_VFORK"},
    {0x8000, "CLONE_PARENT"}, {0x10000, "CLONE_THREAD"}, {0x40000, "CLONE_SYSVSEM"},
    {0x80000, "CLONE_SETTLS"}, {0x100000, "CLONE_PARENT_SETTID"},
    {0x200000, "CLONE_CHILD_CLEARTID"}, {0x400000, "CLONE_DETACHED"}, {0x800000, "CLONE_UNTRACED"},
    {0x1000000, "CLONE_CHILD_SETTID"}, {0x20000, "CLONE_NEWNS"}, {0x2000000, "CLONE_NEWCGROUP"},
    {0x4000000, "CLONE_NEWUTS"}, {0x8000000, "CLONE_NEWIPC"}, {0x10000000, "CLONE_NEWUSER"},
    {0x20000000, "CLONE_NEWPID"}, {0x40000000, "CLONE_NEWNET"}, {0x80000000, "CLONE_IO"},
};

static const struct abi_value_name ns_flags_bits[] = {
    {0x100, "CLONE_VM"}, {0x80, "CLONE_NEWTIME"}, {0x200, "CLONE_FS"}, {0x400, "CLONE_FILES"},
    {0x800, "CLONE_SIGHAND"}, {0x10000, "CLONE_THREAD"}, {0x40000, "CLONE_SYSVSEM"},
    {0x20000, "CLONE_NEWNS"}, {0x2000000, "CLONE_NEWCGROUP"}, {0x4000000, "CLONE_NEWUTS"},
    {0x8000000, "CLONE_NEWIPC"}, {0x10000000, "CLONE_NEWUSER"}, {0x20000000, "CLONE_NEWPID"},
    {0x40000000, "CLONE_NEWNET"},
};

static const struct abi_value_name wait_options_bits[] = {
    {1, "WNOHANG"}, {2, "WSTOPPED"}, {4, "WEXITED"}, {8, "WCONTINUED"}, {0x1000000, "WNOWAIT"},
    {0x20000000, "__WNOTHREAD"}, {0x40000000, "__WALL"}, {0x80000000, "__WCLONE"},
};

static const struct abi_value_name waitid_type_fields[] = {
    {0, "P_ALL"}, {1, "P_PID"}, {2, "P_PGID"}, {3, "P_PIDFD"},
};

static const struct abi_value_name prctl_op_fields[] = {
    {1, "PR_SET_PDEATHSIG"}, {2, "PR_GET_PDEATHSIG"}, {3, "PR_GET_DUMPABLE"},
    {4, "PR_SET_DUMPABLE"}, {5, "PR_GET_UNALIGN"}, {6, "PR_SET_UNALIGN"}, {7, "PR_GET_KEEPCAPS"},
    {8, "PR_SET_KEEPCAPS"}, {9, "PR_GET_FPEMU"}, {10, "PR_SET_FPEMU"}, {11, "PR_GET_FPEXC"},
    {12, "PR_SET_FPEXC"}, {13, "PR_GET_TIMING"}, {14, "PR_SET_TIMING"}, {15, "PR_SET_NAME"},
    {16, "PR_GET_NAME"}, {19, "PR_GET_ENDIAN"}, {20, "PR_SET_ENDIAN"}, {21, "PR_GET_SECCOMP"},
    {22, "PR_SET_SECCOMP"}, {23, "PR_CAPBSET_READ"}, {24, "PR_CAPBSET_DROP"}, {25, "PR_GET_TSC"},
    {26, "PR_SET_TSC"}, {27, "PR_GET_SECUREBITS"}, {28, "PR_SET_SECUREBITS"},
    {29, "PR_SET_TIMERSLACK"}, {30, "PR_GET_TIMERSLACK"}, {31, "PR_TASK_PERF_EVENTS_DISABLE"},
    {32, "PR_TASK_PERF_EVENTS_ENABLE"}, {33, "PR_MCE_KILL"}, {34, "PR_MCE_KILL_GET"},
    {35, "PR_SET_MM"}, {36, "PR_SET_CHILD_SUBREAPER"}, {37, "PR_GET_CHILD_SUBREAPER"},
    {38, "PR_SET_NO_NEW_PRIVS"}, {39, "PR_GET_NO_NEW_PRIVS"}, {40, "PR_GET_TID_ADDRESS"},
    {41, "PR_SET_THP_DISABLE"}, {42, "PR_GET_THP_DISABLE"}, {43, "PR_MPX_ENABLE_MANAGEMENT"},
    {44, "PR_MPX_DISABLE_MANAGEMENT"}, {45, "PR_SET_FP_MODE"}, {46, "PR_GET_FP_MODE"},
    {47, "PR_CAP_AMBIENT"}, {50, "PR_SVE_SET_VL"}, {51, "PR_SVE_GET_VL"},
    {52, "PR_GET_SPECULATION_CTRL"}, {53, "PR_SET_SPECULATION_CTRL"}, {54, "PR_PAC_RESET_KEYS"},
    {55, "PR_SET_TAGGED_ADDR_CTRL"}, {56, "PR_GET_TAGGED_ADDR_CTRL"}, {57, "PR_SET_IO_FLUSHER"},
    {58, "PR_GET_IO_FLUSHER"}, {59, "PR_SET_SYSCALL_USER_DISPATCH"},
    {60, "PR_PAC_SET_ENABLED_KEYS"}, {61, "PR_PAC_GET_ENABLED_KEYS"}, {62, "PR_SCHED_CORE"},
    {63, "PR_SME_SET_VL"}, {64, "PR_SME_GET_VL"}, {65, "PR_SET_MDWE"}, {66, "PR_GET_MDWE"},
    {67, "PR_SET_MEMORY_MERGE"}, {68, "PR_GET_MEMORY_MERGE"}, {69, "PR_RISCV_V_SET_CONTROL"},
    {70, "PR_RISCV_V_GET_CONTROL"}, {71, "PR_RISCV_SET_ICACHE_FLUSH_CTX"}, {72, "PR_PPC_GET_DEXCR"},
    {73, "PR_PPC_SET_DEXCR"}, {74, "PR_GET_SHADOW_STACK_STATUS"},
    {75, "PR_SET_SHADOW_STACK_STATUS"}, {76, "PR_LOCK_SHADOW_STACK_STATUS"},
    {77, "PR_TIMER_CREATE_RESTORE_IDS"}, {78, "PR_FUTEX_HASH"}, {79, "PR_RSEQ_SLICE_EXTENSION"},
    {0x53564d41, "PR_SET_VMA"}, {0x41555856, "PR_GET_AUXV"}, {0x59616d61, "PR_SET_PTRACER"},
};

static const struct abi_value_name arch_prctl_op_fields[] = {
    {0x1001, "ARCH_SET_GS"}, {0x1002, "ARCH_SET_FS"}, {0x1003, "ARCH_GET_FS"},
    {0x1004, "ARCH_GET_GS"}, {0x1011, "ARCH_GET_CPUID"}, {0x1012, "ARCH_SET_CPUID"},
    {0x1021, "ARCH_GET_XCOMP_SUPP"}, {0x1022, "ARCH_GET_XCOMP_PERM"},
    {0x1023, "ARCH_REQ_XCOMP_PERM"}, {0x1024, "ARCH_GET_XCOMP_GUEST_PERM"},
    {0x1025, "ARCH_REQ_XCOMP_GUEST_PERM"}, {0x2001, "ARCH_MAP_VDSO_X32"},
    {0x2002, "ARCH_MAP_VDSO_32"}, {0x2003, "ARCH_MAP_VDSO_64"}, {0x4001, "ARCH_GET_UNTAG_MASK"},
    {0x4002, "ARCH_ENABLE_TAGGED_ADDR"}, {0x4003, "ARCH_GET_MAX_TAG_BITS"},
    {0x4004, "ARCH_FORCE_TAGGED_SVA"}, {0x5001, "ARCH_SHSTK_ENABLE"},
    {0x5002, "ARCH_SHSTK_DISABLE"}, {0x5003, "ARCH_SHSTK_LOCK"}, {0x5004, "ARCH_SHSTK_UNLOCK"},
    {0x5005, "ARCH_SHSTK_STATUS"},
};

static const struct abi_value_name ptrace_op_fields[] = {
    {0, "PTRACE_TRACEME"}, {1, "PTRACE_PEEKTEXT"}, {2, "PTRACE_PEEKDATA"}, {3, "PTRACE_PEEKUSER"},
    {4, "PTRACE_POKETEXT"}, {5, "PTRACE_POKEDATA"}, {6, "PTRACE_POKEUSER"}, {7, "PTRACE_CONT"},
    {8, "PTRACE_KILL"}, {9, "PTRACE_SINGLESTEP"}, {12, "PTRACE_GETREGS"}, {13, "PTRACE_SETREGS"},
    {14, "PTRACE_GETFPREGS"}, {15, "PTRACE_SETFPREGS"}, {16, "PTRACE_ATTACH"},
    {17, "PTRACE_DETACH"}, {24, "PTRACE_SYSCALL"}, {30, "PTRACE_ARCH_PRCTL"},
    {0x4200, "PTRACE_SETOPTIONS"}, {0x4201, "PTRACE_GETEVENTMSG"}, {0x4202, "PTRACE_GETSIGINFO"},
    {0x4203, "PTRACE_SETSIGINFO"}, {0x4204, "PTRACE_GETREGSET"}, {0x4205, "PTRACE_SETREGSET"},
    {0x4206, "PTRACE_SEIZE"}, {0x4207, "PTRACE_INTERRUPT"}, {0x4208, "PTRACE_LISTEN"},
    {0x4209, "PTRACE_PEEKSIGINFO"}, {0x420a, "PTRACE_GETSIGMASK"}, {0x420b, "PTRACE_SETSIGMASK"},
    {0x420c, "PTRACE_SECCOMP_GET_FILTER"}, {0x420d, "PTRACE_SECCOMP_GET_METADATA"},
    {0x420e, "PTRACE_GET_SYSCALL_INFO"}, {0x420f, "PTRACE_GET_RSEQ_CONFIGURATION"},
};

static const struct abi_value_name seccomp_op_fields[] = {
    {0, "SECCOMP_SET_MODE_STRICT"}, {1, "SECCOMP_SET_MODE_FILTER"}, {2, "SECCOMP_GET_ACTION_AVAIL"},
    {3, "SECCOMP_GET_NOTIF_SIZES"},
};

static const struct abi_value_name membarrier_cmd_fields[] = {
    {0, "MEMBARRIER_CMD_QUERY"}, {1, "MEMBARRIER_CMD_GLOBAL"},
    {2, "MEMBARRIER_CMD_GLOBAL_EXPEDITED"}, {4, "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED"},
    {8, "MEMBARRIER_CMD_PRIVATE_EXPEDITED"}, {0x10, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED"},
    {0x20, "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE"},
    {0x40, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE"},
    {0x80, "MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ"},
    {0x100, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ"},
    {0x200, "MEMBARRIER_CMD_GET_REGISTRATIONS"},
};

static const struct abi_value_name rlimit_resource_fields[] = {
    {0, "RLIMIT_CPU"}, {1, "RLIMIT_FSIZE"}, {2, "RLIMIT_DATA"}, {3, "RLIMIT_STACK"},
    {4, "RLIMIT_CORE"}, {5, "RLIMIT_RSS"}, {6, "RLIMIT_NPROC"}, {7, "RLIMIT_NOFILE"},
    {8, "RLIMIT_MEMLOCK"}, {9, "RLIMIT_AS"}, {10, "RLIMIT_LOCKS"}, {11, "RLIMIT_SIGPENDING"},
    {12, "RLIMIT_MSGQUEUE"}, {13, "RLIMIT_NICE"}, {14, "RLIMIT_RTPRIO"}, {15, "RLIMIT_RTTIME"},
};

static const struct abi_value_name rusage_who_fields[] = {
    {0, "RUSAGE_SELF"}, {0xffffffff, "RUSAGE_CHILDREN"}, {1, "RUSAGE_THREAD"},
};

static const struct abi_value_name priority_which_fields[] = {
    {0, "PRIO_PROCESS"}, {1, "PRIO_PGRP"}, {2, "PRIO_USER"},
};

static const struct abi_value_name sched_policy_fields[] = {
    {0, "SCHED_OTHER"}, {1, "SCHED_FIFO"}, {2, "SCHED_RR"}, {3, "SCHED_BATCH"}, {5, "SCHED_IDLE"},
    {6, "SCHED_DEADLINE"}, {7, "SCHED_EXT"},
};
static const struct abi_value_name sched_policy_bits[] = {
    {0x40000000, "SCHED_RESET_ON_FORK"},
};

static const struct abi_value_name sig_how_fields[] = {
    {0, "SIG_BLOCK"}, {1, "SIG_UNBLOCK"}, {2, "SIG_SETMASK"},
};

static const struct abi_value_name socket_domain_fields[] = {
    {0, "AF_UNSPEC"}, {1, "AF_UNIX"}, {2, "AF_INET"}, {3, "AF_AX25"}, {4, "AF_IPX"},
    {5, "AF_APPLETALK"}, {9, "AF_X25"}, {10, "AF_INET6"}, {15, "AF_KEY"}, {16, "AF_NETLINK"},
    {17, "AF_PACKET"}, {21, "AF_RDS"}, {24, "AF_PPPOX"}, {26, "AF_LLC"}, {27, "AF_IB"},
    {28, "AF_MPLS"}, {29, "AF_CAN"}, {30, "AF_TIPC"}, {31, "AF_BLUETOOTH"}, {38, "AF_ALG"},
    {39, "AF_NFC"}, {40, "AF_VSOCK"}, {41, "AF_KCM"}, {42, "AF_QIPCRTR"}, {43, "AF_SMC"},
    {44, "AF_XDP"}, {45, "AF_MCTP"},
};

static const struct abi_value_name socket_type_fields[] = {
    {1, "SOCK_STREAM"}, {2, "SOCK_DGRAM"}, {3, "SOCK_RAW"}, {4, "SOCK_RDM"}, {5, "SOCK_SEQPACKET"},
    {6, "SOCK_DCCP"}, {10, "SOCK_PACKET"},
};
static const struct abi_value_name socket_type_bits[] = {
    {02000000, "SOCK_CLOEXEC"}, {04000, "SOCK_NONBLOCK"},
};

static const struct abi_value_name sockopt_level_fields[] = {
    {0, "SOL_IP"}, {1, "SOL_SOCKET"}, {6, "SOL_TCP"}, {17, "SOL_UDP"}, {41, "SOL_IPV6"},
    {58, "SOL_ICMPV6"}, {132, "SOL_SCTP"}, {136, "SOL_UDPLITE"}, {255, "SOL_RAW"},
    {263, "SOL_PACKET"}, {270, "SOL_NETLINK"}, {279, "SOL_ALG"}, {282, "SOL_TLS"}, {283, "SOL_XDP"},
    {284, "SOL_MPTCP"},
};

static const struct abi_value_name shutdown_how_fields[] = {
    {0, "SHUT_RD"}, {1, "SHUT_WR"}, {2, "SHUT_RDWR"},
};

static const struct abi_value_name msg_flags_bits[] = {
    {1, "MSG_OOB"}, {2, "MSG_PEEK"}, {4, "MSG_DONTROUTE"}, {8, "MSG_CTRUNC"}, {0x10, "MSG_PROXY"},
    {0x20, "MSG_TRUNC"}, {0x40, "MSG_DONTWAIT"}, {0x80, "MSG_EOR"}, {0x100, "MSG_WAITALL"},
    {0x200, "MSG_FIN"}, {0x400, "MSG_SYN"}, {0x800, "MSG_CONFIRM"}, {0x1000, "MSG_RST"},
    {0x2000, "MSG_ERRQUEUE"}, {0x4000, "MSG_NOSIGNAL"}, {0x8000, "MSG_MORE"},
    {0x10000, "MSG_WAITFORONE"}, {0x40000, "MSG_BATCH"}, {0x4000000, "MSG_ZEROCOPY"},
    {0x20000000, "MSG_FASTOPEN"}, {0x40000000, "MSG_CMSG_CLOEXEC"},
};

static const struct abi_value_name ipc_cmd_fields[] = {
    {0, "IPC_RMID"}, {1, "IPC_SET"}, {2, "IPC_STAT"}, {3, "IPC_INFO"},
};

static const struct abi_value_name ipc_flags_bits[] = {
    {01000, "IPC_CREAT"}, {02000, "IPC_EXCL"}, {04000, "IPC_NOWAIT"},
};

static const struct abi_value_name clock_id_fields[] = {
    {0, "CLOCK_REALTIME"}, {1, "CLOCK_MONOTONIC"}, {2, "CLOCK_PROCESS_CPUTIME_ID"},
    {3, "CLOCK_THREAD_CPUTIME_ID"}, {4, "CLOCK_MONOTONIC_RAW"}, {5, "CLOCK_REALTIME_COARSE"},
    {6, "CLOCK_MONOTONIC_COARSE"}, {7, "CLOCK_BOOTTIME"}, {8, "CLOCK_REALTIME_ALARM"},
    {9, "CLOCK_BOOTTIME_ALARM"}, {11, "CLOCK_TAI"},
};

static const struct abi_value_name timer_flags_bits[] = {
    {1, "TIMER_ABSTIME"}, {2, "TFD_TIMER_CANCEL_ON_SET"},
};

static const struct abi_value_name itimer_which_fields[] = {
    {0, "ITIMER_REAL"}, {1, "ITIMER_VIRTUAL"}, {2, "ITIMER_PROF"},
};

static const struct abi_value_name epoll_op_fields[] = {
    {1, "EPOLL_CTL_ADD"}, {2, "EPOLL_CTL_DEL"}, {3, "EPOLL_CTL_MOD"},
};

static const struct abi_value_name futex_op_fields[] = {
    {0, "FUTEX_WAIT"}, {1, "FUTEX_WAKE"}, {2, "FUTEX_FD"}, {3, "FUTEX_REQUEUE"},
    {4, "FUTEX_CMP_REQUEUE"}, {5, "FUTEX_WAKE_OP"}, {6, "FUTEX_LOCK_PI"}, {7, "FUTEX_UNLOCK_PI"},
    {8, "FUTEX_TRYLOCK_PI"}, {9, "FUTEX_WAIT_BITSET"}, {10, "FUTEX_WAKE_BITSET"},
    {11, "FUTEX_WAIT_REQUEUE_PI"}, {12, "FUTEX_CMP_REQUEUE_PI"}, {13, "FUTEX_LOCK_PI2"},
    {0x80, "FUTEX_WAIT_PRIVATE"}, {0x81, "FUTEX_WAKE_PRIVATE"}, {0x83, "FUTEX_REQUEUE_PRIVATE"},
    {0x84, "FUTEX_CMP_REQUEUE_PRIVATE"}, {0x85, "FUTEX_WAKE_OP_PRIVATE"},
    {0x86, "FUTEX_LOCK_PI_PRIVATE"}, {0x87, "FUTEX_UNLOCK_PI_PRIVATE"},
    {0x88, "FUTEX_TRYLOCK_PI_PRIVATE"}, {0x89, "FUTEX_WAIT_BITSET_PRIVATE"},
    {0x8a, "FUTEX_WAKE_BITSET_PRIVATE"}, {0x8b, "FUTEX_WAIT_REQUEUE_PI_PRIVATE"},
    {0x8c, "FUTEX_CMP_REQUEUE_PI_PRIVATE"}, {0x8d, "FUTEX_LOCK_PI2_PRIVATE"},
};
static const struct abi_value_name futex_op_bits[] = {
    {0x80, "FUTEX_PRIVATE_FLAG"}, {0x100, "FUTEX_CLOCK_REALTIME"},
};

static const struct abi_value_name getrandom_flags_bits[] = {
    {1, "GRND_NONBLOCK"}, {2, "GRND_RANDOM"}, {4, "GRND_INSECURE"},
};

/* clang-format on */

static const struct abi_flag_kind kinds[ABI_ARG_COUNT] = {
    [ABI_ARG_OPEN_FLAGS] = ABI_NAMES_FIELD(open_flags, 03),
    [ABI_ARG_ACCESS_MODE] = ABI_NAMES_BITS_OR(access_mode, "F_OK"),
    [ABI_ARG_AT_FLAGS] = ABI_NAMES_BITS(at_flags),
    [ABI_ARG_AT_ACCESS_FLAGS] = ABI_NAMES_BITS(at_access_flags),
    [ABI_ARG_AT_UNLINK_FLAGS] = ABI_NAMES_BITS(at_unlink_flags),
    [ABI_ARG_RENAME_FLAGS] = ABI_NAMES_BITS(rename_flags),
    [ABI_ARG_STATX_MASK] = ABI_NAMES_BITS(statx_mask),
    [ABI_ARG_XATTR_FLAGS] = ABI_NAMES_BITS(xattr_flags),
    [ABI_ARG_AT_STATX_FLAGS] = ABI_NAMES_FIELD(at_statx_flags, 0x6000),
    [ABI_ARG_PIPE_FLAGS] = ABI_NAMES_BITS(pipe_flags),
    [ABI_ARG_SOCKET_FLAGS] = ABI_NAMES_BITS(socket_flags),
    [ABI_ARG_INOTIFY_FLAGS] = ABI_NAMES_BITS(inotify_flags),
    [ABI_ARG_EVENTFD_FLAGS] = ABI_NAMES_BITS(eventfd_flags),
    [ABI_ARG_EPOLL_FLAGS] = ABI_NAMES_BITS(epoll_flags),
    [ABI_ARG_TIMERFD_FLAGS] = ABI_NAMES_BITS(timerfd_flags),
    [ABI_ARG_SIGNALFD_FLAGS] = ABI_NAMES_BITS(signalfd_flags),
    [ABI_ARG_PIDFD_FLAGS] = ABI_NAMES_BITS(pidfd_flags),
    [ABI_ARG_CLOSE_RANGE_FLAGS] = ABI_NAMES_BITS(close_range_flags),
    [ABI_ARG_WHENCE] = ABI_NAMES_ENUM(whence),
    [ABI_ARG_FCNTL_CMD] = ABI_NAMES_ENUM(fcntl_cmd),
    [ABI_ARG_IOCTL_CMD] = ABI_NAMES_ENUM(ioctl_cmd),
    [ABI_ARG_FLOCK_OP] = ABI_NAMES_FIELD(flock_op, 03),
    [ABI_ARG_FALLOC_MODE] = ABI_NAMES_BITS(falloc_mode),
    [ABI_ARG_FADVICE] = ABI_NAMES_ENUM(fadvice),
    [ABI_ARG_SYNC_RANGE_FLAGS] = ABI_NAMES_BITS(sync_range_flags),
    [ABI_ARG_RWF_FLAGS] = ABI_NAMES_BITS(rwf_flags),
    [ABI_ARG_SPLICE_FLAGS] = ABI_NAMES_BITS(splice_flags),
    [ABI_ARG_MOUNT_FLAGS] = ABI_NAMES_BITS(mount_flags),
    [ABI_ARG_UMOUNT_FLAGS] = ABI_NAMES_BITS(umount_flags),
    [ABI_ARG_INOTIFY_MASK] = ABI_NAMES_BITS(inotify_mask),
    [ABI_ARG_PROT] = ABI_NAMES_BITS_OR(prot, "PROT_NONE"),
    [ABI_ARG_MAP_FLAGS] = ABI_NAMES_FIELD(map_flags, 0xf),
    [ABI_ARG_MREMAP_FLAGS] = ABI_NAMES_BITS(mremap_flags),
    [ABI_ARG_MSYNC_FLAGS] = ABI_NAMES_BITS(msync_flags),
    [ABI_ARG_MADVICE] = ABI_NAMES_ENUM(madvice),
    [ABI_ARG_MLOCKALL_FLAGS] = ABI_NAMES_BITS(mlockall_flags),
    [ABI_ARG_MEMFD_FLAGS] = ABI_NAMES_BITS(memfd_flags),
    [ABI_ARG_CLONE_FLAGS] = ABI_NAMES_BITS(clone_flags),
    [ABI_ARG_NS_FLAGS] = ABI_NAMES_BITS(ns_flags),
    [ABI_ARG_WAIT_OPTIONS] = ABI_NAMES_BITS(wait_options),
    [ABI_ARG_WAITID_TYPE] = ABI_NAMES_ENUM(waitid_type),
    [ABI_ARG_PRCTL_OP] = ABI_NAMES_ENUM(prctl_op),
    [ABI_ARG_ARCH_PRCTL_OP] = ABI_NAMES_ENUM(arch_prctl_op),
    [ABI_ARG_PTRACE_OP] = ABI_NAMES_ENUM(ptrace_op),
    [ABI_ARG_SECCOMP_OP] = ABI_NAMES_ENUM(seccomp_op),
    [ABI_ARG_MEMBARRIER_CMD] = ABI_NAMES_ENUM(membarrier_cmd),
    [ABI_ARG_RLIMIT_RESOURCE] = ABI_NAMES_ENUM(rlimit_resource),
    [ABI_ARG_RUSAGE_WHO] = ABI_NAMES_ENUM(rusage_who),
    [ABI_ARG_PRIORITY_WHICH] = ABI_NAMES_ENUM(priority_which),
    [ABI_ARG_SCHED_POLICY] = ABI_NAMES_FIELD(sched_policy, 0xffff),
    [ABI_ARG_SIG_HOW] = ABI_NAMES_ENUM(sig_how),
    [ABI_ARG_SOCKET_DOMAIN] = ABI_NAMES_ENUM(socket_domain),
    [ABI_ARG_SOCKET_TYPE] = ABI_NAMES_FIELD(socket_type, 0xf),
    [ABI_ARG_SOCKOPT_LEVEL] = ABI_NAMES_ENUM(sockopt_level),
    [ABI_ARG_SHUTDOWN_HOW] = ABI_NAMES_ENUM(shutdown_how),
    [ABI_ARG_MSG_FLAGS] = ABI_NAMES_BITS(msg_flags),
    [ABI_ARG_IPC_CMD] = ABI_NAMES_ENUM(ipc_cmd),
    [ABI_ARG_IPC_FLAGS] = ABI_NAMES_BITS(ipc_flags),
    [ABI_ARG_CLOCK_ID] = ABI_NAMES_ENUM(clock_id),
    [ABI_ARG_TIMER_FLAGS] = ABI_NAMES_BITS(timer_flags),
    [ABI_ARG_ITIMER_WHICH] = ABI_NAMES_ENUM(itimer_which),
    [ABI_ARG_EPOLL_OP] = ABI_NAMES_ENUM(epoll_op),
    [ABI_ARG_FUTEX_OP] = ABI_NAMES_FIELD(futex_op, 0xff),
    [ABI_ARG_GETRANDOM_FLAGS] = ABI_NAMES_BITS(getrandom_flags),
};

const struct abi_flag_kind *abi_flag_kind(enum abi_arg_kind kind)
{
    const struct abi_flag_kind *found = &kinds[kind];

    if ((size_t)kind >= ABI_ARG_COUNT)
        return NULL;
    if (found->nbits == 0 && found->nfields == 0)
        return abi_member_kind(kind);
    return found;
}

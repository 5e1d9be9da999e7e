/*
 * The names of flag bits and enumerated values that occur inside of structures, and as arguments of
 * commands. Written as those in flag_tables.c, of the same source.
 */
#include "abi/flags-internal.h"

/* clang-format off */
static const struct abi_value_name statx_attributes_bits[] = {
    {4, "STATX_ATTR_COMPRESSED"}, {0x10, "STATX_ATTR_IMMUTABLE"}, {0x20, "STATX_ATTR_APPEND"},
    {0x40, "STATX_ATTR_NODUMP"}, {0x800, "STATX_ATTR_ENCRYPTED"}, {0x1000, "STATX_ATTR_AUTOMOUNT"},
    {0x2000, "STATX_ATTR_MOUNT_ROOT"}, {0x100000, "STATX_ATTR_VERITY"}, {0x200000, "STATX_ATTR_DAX"},
    {0x400000, "STATX_ATTR_WRITE_ATOMIC"},
};

static const struct abi_value_name fs_magic_fields[] = {
    {0x187, "AUTOFS_SUPER_MAGIC"}, {0x137f, "MINIX_SUPER_MAGIC"}, {0x1cd1, "DEVPTS_SUPER_MAGIC"},
    {0x4d44, "MSDOS_SUPER_MAGIC"}, {0x6969, "NFS_SUPER_MAGIC"}, {0x9660, "ISOFS_SUPER_MAGIC"},
    {0x9fa0, "PROC_SUPER_MAGIC"}, {0xadf5, "ADFS_SUPER_MAGIC"}, {0xef53, "EXT2_SUPER_MAGIC"},
    {0x27e0eb, "CGROUP_SUPER_MAGIC"}, {0x1021994, "TMPFS_MAGIC"}, {0x1021997, "V9FS_MAGIC"},
    {0x19800202, "MQUEUE_MAGIC"}, {0x2fc12fc1, "ZFS_SUPER_MAGIC"}, {0x42494e4d, "BINFMTFS_MAGIC"},
    {0x50495045, "PIPEFS_MAGIC"}, {0x534f434b, "SOCKFS_MAGIC"}, {0x58465342, "XFS_SUPER_MAGIC"},
    {0x61756673, "AUFS_SUPER_MAGIC"}, {0x62656572, "SYSFS_MAGIC"}, {0x63677270, "CGROUP2_SUPER_MAGIC"},
    {0x64626720, "DEBUGFS_MAGIC"}, {0x65735546, "FUSE_SUPER_MAGIC"}, {0x6e736673, "NSFS_MAGIC"},
    {0x73636673, "SECURITYFS_MAGIC"}, {0x73717368, "SQUASHFS_MAGIC"}, {0x74726163, "TRACEFS_MAGIC"},
    {0x794c7630, "OVERLAYFS_SUPER_MAGIC"}, {0x858458f6, "RAMFS_MAGIC"}, {0x9123683e, "BTRFS_SUPER_MAGIC"},
    {0x958458f6, "HUGETLBFS_MAGIC"}, {0xcafe4a11, "BPF_FS_MAGIC"}, {0xf2f52010, "F2FS_SUPER_MAGIC"},
    {0xff534d42, "CIFS_SUPER_MAGIC"},
};

static const struct abi_value_name fs_flags_bits[] = {
    {0x20, "ST_VALID"}, {1, "ST_RDONLY"}, {2, "ST_NOSUID"}, {4, "ST_NODEV"}, {8, "ST_NOEXEC"},
    {0x10, "ST_SYNCHRONOUS"}, {0x40, "ST_MANDLOCK"}, {0x80, "ST_WRITE"}, {0x100, "ST_APPEND"},
    {0x200, "ST_IMMUTABLE"}, {0x400, "ST_NOATIME"}, {0x800, "ST_NODIRATIME"}, {0x1000, "ST_RELATIME"},
    {0x2000, "ST_NOSYMFOLLOW"},
};

static const struct abi_value_name resolve_flags_bits[] = {
    {1, "RESOLVE_NO_XDEV"}, {2, "RESOLVE_NO_MAGICLINKS"}, {4, "RESOLVE_NO_SYMLINKS"},
    {8, "RESOLVE_BENEATH"}, {0x10, "RESOLVE_IN_ROOT"}, {0x20, "RESOLVE_CACHED"},
};

static const struct abi_value_name descriptor_flags_bits[] = {
    {1, "FD_CLOEXEC"},
};

static const struct abi_value_name lock_type_fields[] = {
    {0, "F_RDLCK"}, {1, "F_WRLCK"}, {2, "F_UNLCK"},
};

static const struct abi_value_name seals_bits[] = {
    {1, "F_SEAL_SEAL"}, {2, "F_SEAL_SHRINK"}, {4, "F_SEAL_GROW"}, {8, "F_SEAL_WRITE"},
    {0x10, "F_SEAL_FUTURE_WRITE"}, {0x20, "F_SEAL_EXEC"},
};

static const struct abi_value_name poll_events_bits[] = {
    {1, "POLLIN"}, {2, "POLLPRI"}, {4, "POLLOUT"}, {0x40, "POLLRDNORM"}, {0x80, "POLLRDBAND"},
    {0x100, "POLLWRNORM"}, {0x200, "POLLWRBAND"}, {0x400, "POLLMSG"}, {8, "POLLERR"},
    {0x10, "POLLHUP"}, {0x20, "POLLNVAL"}, {0x1000, "POLLREMOVE"}, {0x2000, "POLLRDHUP"},
};

static const struct abi_value_name epoll_events_bits[] = {
    {1, "EPOLLIN"}, {2, "EPOLLPRI"}, {4, "EPOLLOUT"}, {0x40, "EPOLLRDNORM"}, {0x80, "EPOLLRDBAND"},
    {0x100, "EPOLLWRNORM"}, {0x200, "EPOLLWRBAND"}, {0x400, "EPOLLMSG"}, {8, "EPOLLERR"},
    {0x10, "EPOLLHUP"}, {0x2000, "EPOLLRDHUP"}, {0x10000000, "EPOLLEXCLUSIVE"},
    {0x20000000, "EPOLLWAKEUP"}, {0x40000000, "EPOLLONESHOT"}, {0x80000000, "EPOLLET"},
};

static const struct abi_value_name ip_protocol_fields[] = {
    {0, "IPPROTO_IP"}, {1, "IPPROTO_ICMP"}, {2, "IPPROTO_IGMP"}, {6, "IPPROTO_TCP"},
    {17, "IPPROTO_UDP"}, {41, "IPPROTO_IPV6"}, {47, "IPPROTO_GRE"}, {50, "IPPROTO_ESP"},
    {58, "IPPROTO_ICMPV6"}, {132, "IPPROTO_SCTP"}, {136, "IPPROTO_UDPLITE"}, {255, "IPPROTO_RAW"},
    {262, "IPPROTO_MPTCP"},
};

static const struct abi_value_name netlink_protocol_fields[] = {
    {0, "NETLINK_ROUTE"}, {2, "NETLINK_USERSOCK"}, {3, "NETLINK_FIREWALL"}, {4, "NETLINK_SOCK_DIAG"},
    {5, "NETLINK_NFLOG"}, {6, "NETLINK_XFRM"}, {7, "NETLINK_SELINUX"}, {9, "NETLINK_AUDIT"},
    {10, "NETLINK_FIB_LOOKUP"}, {11, "NETLINK_CONNECTOR"}, {12, "NETLINK_NETFILTER"},
    {15, "NETLINK_KOBJECT_UEVENT"}, {16, "NETLINK_GENERIC"}, {21, "NETLINK_CRYPTO"},
};

static const struct abi_value_name socket_option_fields[] = {
    {1, "SO_DEBUG"}, {2, "SO_REUSEADDR"}, {3, "SO_TYPE"}, {4, "SO_ERROR"}, {5, "SO_DONTROUTE"},
    {6, "SO_BROADCAST"}, {7, "SO_SNDBUF"}, {8, "SO_RCVBUF"}, {9, "SO_KEEPALIVE"},
    {10, "SO_OOBINLINE"}, {11, "SO_NO_CHECK"}, {12, "SO_PRIORITY"}, {13, "SO_LINGER"},
    {14, "SO_BSDCOMPAT"}, {15, "SO_REUSEPORT"}, {16, "SO_PASSCRED"}, {17, "SO_PEERCRED"},
    {18, "SO_RCVLOWAT"}, {19, "SO_SNDLOWAT"}, {20, "SO_RCVTIMEO_OLD"}, {21, "SO_SNDTIMEO_OLD"},
    {25, "SO_BINDTODEVICE"}, {26, "SO_ATTACH_FILTER"}, {27, "SO_DETACH_FILTER"}, {28, "SO_PEERNAME"},
    {29, "SO_TIMESTAMP_OLD"}, {30, "SO_ACCEPTCONN"}, {31, "SO_PEERSEC"}, {32, "SO_SNDBUFFORCE"},
    {33, "SO_RCVBUFFORCE"}, {34, "SO_PASSSEC"}, {36, "SO_MARK"}, {38, "SO_PROTOCOL"},
    {39, "SO_DOMAIN"}, {46, "SO_BUSY_POLL"}, {47, "SO_MAX_PACING_RATE"}, {49, "SO_INCOMING_CPU"},
    {56, "SO_INCOMING_NAPI_ID"}, {57, "SO_COOKIE"}, {59, "SO_PEERGROUPS"}, {60, "SO_ZEROCOPY"},
    {66, "SO_RCVTIMEO_NEW"}, {67, "SO_SNDTIMEO_NEW"}, {76, "SO_PASSPIDFD"}, {77, "SO_PEERPIDFD"},
};

static const struct abi_value_name ip_option_fields[] = {
    {1, "IP_TOS"}, {2, "IP_TTL"}, {3, "IP_HDRINCL"}, {4, "IP_OPTIONS"}, {6, "IP_RECVOPTS"},
    {7, "IP_RETOPTS"}, {8, "IP_PKTINFO"}, {10, "IP_MTU_DISCOVER"}, {11, "IP_RECVERR"},
    {12, "IP_RECVTTL"}, {13, "IP_RECVTOS"}, {14, "IP_MTU"}, {15, "IP_FREEBIND"},
    {19, "IP_TRANSPARENT"}, {24, "IP_BIND_ADDRESS_NO_PORT"}, {32, "IP_MULTICAST_IF"},
    {33, "IP_MULTICAST_TTL"}, {34, "IP_MULTICAST_LOOP"}, {35, "IP_ADD_MEMBERSHIP"},
    {36, "IP_DROP_MEMBERSHIP"}, {49, "IP_MULTICAST_ALL"},
};

static const struct abi_value_name ipv6_option_fields[] = {
    {1, "IPV6_ADDRFORM"}, {16, "IPV6_UNICAST_HOPS"}, {17, "IPV6_MULTICAST_IF"},
    {18, "IPV6_MULTICAST_HOPS"}, {19, "IPV6_MULTICAST_LOOP"}, {20, "IPV6_ADD_MEMBERSHIP"},
    {21, "IPV6_DROP_MEMBERSHIP"}, {23, "IPV6_MTU_DISCOVER"}, {24, "IPV6_MTU"}, {25, "IPV6_RECVERR"},
    {26, "IPV6_V6ONLY"}, {49, "IPV6_RECVPKTINFO"}, {50, "IPV6_PKTINFO"}, {51, "IPV6_RECVHOPLIMIT"},
    {57, "IPV6_RTHDR"}, {66, "IPV6_RECVTCLASS"}, {67, "IPV6_TCLASS"}, {75, "IPV6_TRANSPARENT"},
};

static const struct abi_value_name tcp_option_fields[] = {
    {1, "TCP_NODELAY"}, {2, "TCP_MAXSEG"}, {3, "TCP_CORK"}, {4, "TCP_KEEPIDLE"}, {5, "TCP_KEEPINTVL"},
    {6, "TCP_KEEPCNT"}, {7, "TCP_SYNCNT"}, {8, "TCP_LINGER2"}, {9, "TCP_DEFER_ACCEPT"},
    {10, "TCP_WINDOW_CLAMP"}, {11, "TCP_INFO"}, {12, "TCP_QUICKACK"}, {13, "TCP_CONGESTION"},
    {18, "TCP_USER_TIMEOUT"}, {23, "TCP_FASTOPEN"}, {30, "TCP_FASTOPEN_CONNECT"}, {31, "TCP_ULP"},
};

static const struct abi_value_name control_type_fields[] = {
    {1, "SCM_RIGHTS"}, {2, "SCM_CREDENTIALS"}, {3, "SCM_SECURITY"}, {4, "SCM_PIDFD"},
};

static const struct abi_value_name signal_flags_bits[] = {
    {0x4000000, "SA_RESTORER"}, {0x8000000, "SA_ONSTACK"}, {0x10000000, "SA_RESTART"},
    {0x40000000, "SA_NODEFER"}, {0x80000000, "SA_RESETHAND"}, {4, "SA_SIGINFO"}, {1, "SA_NOCLDSTOP"},
    {2, "SA_NOCLDWAIT"},
};

static const struct abi_value_name signal_code_fields[] = {
    {0, "SI_USER"}, {0x80, "SI_KERNEL"}, {0xffffffff, "SI_QUEUE"}, {0xfffffffe, "SI_TIMER"},
    {0xfffffffd, "SI_MESGQ"}, {0xfffffffc, "SI_ASYNCIO"}, {0xfffffffb, "SI_SIGIO"},
    {0xfffffffa, "SI_TKILL"},
};

static const struct abi_value_name stack_flags_fields[] = {
    {0, "0"}, {1, "SS_ONSTACK"}, {2, "SS_DISABLE"},
};
static const struct abi_value_name stack_flags_bits[] = {
    {0x80000000, "SS_AUTODISARM"},
};

static const struct abi_value_name capability_fields[] = {
    {0, "CAP_CHOWN"}, {1, "CAP_DAC_OVERRIDE"}, {2, "CAP_DAC_READ_SEARCH"}, {3, "CAP_FOWNER"},
    {4, "CAP_FSETID"}, {5, "CAP_KILL"}, {6, "CAP_SETGID"}, {7, "CAP_SETUID"}, {8, "CAP_SETPCAP"},
    {9, "CAP_LINUX_IMMUTABLE"}, {10, "CAP_NET_BIND_SERVICE"}, {11, "CAP_NET_BROADCAST"},
    {12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}, {14, "CAP_IPC_LOCK"}, {15, "CAP_IPC_OWNER"},
    {16, "CAP_SYS_MODULE"}, {17, "CAP_SYS_RAWIO"}, {18, "CAP_SYS_CHROOT"}, {19, "CAP_SYS_PTRACE"},
    {20, "CAP_SYS_PACCT"}, {21, "CAP_SYS_ADMIN"}, {22, "CAP_SYS_BOOT"}, {23, "CAP_SYS_NICE"},
    {24, "CAP_SYS_RESOURCE"}, {25, "CAP_SYS_TIME"}, {26, "CAP_SYS_TTY_CONFIG"}, {27, "CAP_MKNOD"},
    {28, "CAP_LEASE"}, {29, "CAP_AUDIT_WRITE"}, {30, "CAP_AUDIT_CONTROL"}, {31, "CAP_SETFCAP"},
    {32, "CAP_MAC_OVERRIDE"}, {33, "CAP_MAC_ADMIN"}, {34, "CAP_SYSLOG"}, {35, "CAP_WAKE_ALARM"},
    {36, "CAP_BLOCK_SUSPEND"}, {37, "CAP_AUDIT_READ"}, {38, "CAP_PERFMON"}, {39, "CAP_BPF"},
    {40, "CAP_CHECKPOINT_RESTORE"},
};

static const struct abi_value_name terminal_input_bits[] = {
    {1, "IGNBRK"}, {2, "BRKINT"}, {4, "IGNPAR"}, {8, "PARMRK"}, {0x10, "INPCK"}, {0x20, "ISTRIP"},
    {0x40, "INLCR"}, {0x80, "IGNCR"}, {0x100, "ICRNL"}, {0x200, "IUCLC"}, {0x400, "IXON"},
    {0x800, "IXANY"}, {0x1000, "IXOFF"}, {0x2000, "IMAXBEL"}, {0x4000, "IUTF8"},
};
static const struct abi_value_name terminal_output_bits[] = {
    {1, "OPOST"}, {2, "OLCUC"}, {4, "ONLCR"}, {8, "OCRNL"}, {0x10, "ONOCR"}, {0x20, "ONLRET"},
    {0x40, "OFILL"}, {0x80, "OFDEL"},
};
static const struct abi_value_name terminal_control_bits[] = {
    {0x40, "CSTOPB"}, {0x80, "CREAD"}, {0x100, "PARENB"}, {0x200, "PARODD"}, {0x400, "HUPCL"},
    {0x800, "CLOCAL"}, {0x20000000, "ADDRB"}, {0x40000000, "CMSPAR"}, {0x80000000, "CRTSCTS"},
};
static const struct abi_value_name terminal_local_bits[] = {
    {1, "ISIG"}, {2, "ICANON"}, {4, "XCASE"}, {8, "ECHO"}, {0x10, "ECHOE"}, {0x20, "ECHOK"},
    {0x40, "ECHONL"}, {0x80, "NOFLSH"}, {0x8000, "IEXTEN"}, {0x200, "ECHOCTL"},
    {0x400, "ECHOPRT"}, {0x800, "ECHOKE"}, {0x1000, "FLUSHO"}, {0x4000, "PENDIN"},
    {0x100, "TOSTOP"}, {0x10000, "EXTPROC"},
};
static const struct abi_value_name terminal_speed_fields[] = {
    {0, "B0"}, {1, "B50"}, {2, "B75"}, {3, "B110"}, {4, "B134"}, {5, "B150"}, {6, "B200"},
    {7, "B300"}, {8, "B600"}, {9, "B1200"}, {10, "B1800"}, {11, "B2400"}, {12, "B4800"},
    {13, "B9600"}, {14, "B19200"}, {15, "B38400"}, {0x1000, "BOTHER"}, {0x1001, "B57600"},
    {0x1002, "B115200"}, {0x1003, "B230400"}, {0x1004, "B460800"}, {0x1005, "B500000"},
    {0x1006, "B576000"}, {0x1007, "B921600"}, {0x1008, "B1000000"}, {0x1009, "B1152000"},
    {0x100a, "B1500000"}, {0x100b, "B2000000"}, {0x100c, "B2500000"}, {0x100d, "B3000000"},
    {0x100e, "B3500000"}, {0x100f, "B4000000"},
};

static const struct abi_value_name status_flags_bits[] = {
    {02000, "O_APPEND"}, {04000, "O_NONBLOCK"}, {04010000, "O_SYNC"}, {020000, "O_ASYNC"},
    {010000, "O_DSYNC"}, {040000, "O_DIRECT"}, {0100000, "O_LARGEFILE"}, {01000000, "O_NOATIME"},
};
/* clang-format on */

static const struct abi_flag_kind kinds[ABI_ARG_COUNT] = {
    [ABI_ARG_STATX_ATTRIBUTES] = ABI_NAMES_BITS(statx_attributes),
    [ABI_ARG_FS_MAGIC] = ABI_NAMES_ENUM(fs_magic),
    [ABI_ARG_FS_FLAGS] = ABI_NAMES_BITS(fs_flags),
    [ABI_ARG_RESOLVE_FLAGS] = ABI_NAMES_BITS(resolve_flags),
    [ABI_ARG_STATUS_FLAGS] = ABI_NAMES_BITS(status_flags),
    [ABI_ARG_DESCRIPTOR_FLAGS] = ABI_NAMES_BITS(descriptor_flags),
    [ABI_ARG_LOCK_TYPE] = ABI_NAMES_ENUM(lock_type),
    [ABI_ARG_SEALS] = ABI_NAMES_BITS(seals),
    [ABI_ARG_POLL_EVENTS] = ABI_NAMES_BITS(poll_events),
    [ABI_ARG_EPOLL_EVENTS] = ABI_NAMES_BITS(epoll_events),
    [ABI_ARG_IP_PROTOCOL] = ABI_NAMES_ENUM(ip_protocol),
    [ABI_ARG_NETLINK_PROTOCOL] = ABI_NAMES_ENUM(netlink_protocol),
    [ABI_ARG_SOCKET_OPTION] = ABI_NAMES_ENUM(socket_option),
    [ABI_ARG_IP_OPTION] = ABI_NAMES_ENUM(ip_option),
    [ABI_ARG_IPV6_OPTION] = ABI_NAMES_ENUM(ipv6_option),
    [ABI_ARG_TCP_OPTION] = ABI_NAMES_ENUM(tcp_option),
    [ABI_ARG_CONTROL_TYPE] = ABI_NAMES_ENUM(control_type),
    [ABI_ARG_SIGNAL_FLAGS] = ABI_NAMES_BITS(signal_flags),
    [ABI_ARG_SIGNAL_CODE] = ABI_NAMES_ENUM(signal_code),
    [ABI_ARG_STACK_FLAGS] = ABI_NAMES_FIELD(stack_flags, 3),
    [ABI_ARG_CAPABILITY] = ABI_NAMES_ENUM(capability),
    [ABI_ARG_TERMINAL_INPUT] = ABI_NAMES_BITS(terminal_input),
    [ABI_ARG_TERMINAL_OUTPUT] = ABI_NAMES_BITS(terminal_output),
    [ABI_ARG_TERMINAL_CONTROL] = ABI_NAMES_BITS(terminal_control),
    [ABI_ARG_TERMINAL_LOCAL] = ABI_NAMES_BITS(terminal_local),
    [ABI_ARG_TERMINAL_SPEED] = ABI_NAMES_ENUM(terminal_speed),
};

const struct abi_flag_kind *abi_member_kind(enum abi_arg_kind kind)
{
    return kinds[kind].nbits > 0 || kinds[kind].nfields > 0 ? &kinds[kind] : NULL;
}

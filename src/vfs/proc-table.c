/*
 * The files of proc: one line each. To add one, add a line here and, if none of the functions in
 * proc-internal.h will do, a function that writes its content.
 *
 * "<pid>" stands for each process, and for each thread below task/; "<fd>" for each descriptor.
 */
#include <sys/stat.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"

#define LIVE    PSEUDO_LIVE
#define INSPECT PROC_INSPECT
#define ONLY    PROC_PROCESS_ONLY

/* A file of a process. */
#define TASK(name, mode_, flags_, function)                                                   \
    {                                                                                         \
        .path = "<pid>/" name, .mode = S_IFREG | (mode_), .flags = (flags_) | PSEUDO_IF_HOST, \
        .generate = (function)                                                                \
    }
#define TASK_WRITE(name, mode_, flags_, function, store_)                    \
    {                                                                        \
        .path = "<pid>/" name, .mode = S_IFREG | (mode_), .flags = (flags_), \
        .generate = (function), .store = (store_)                            \
    }
/* A file of a process with the same content everywhere. */
#define TASK_TEXT(name, mode_, text)                                                        \
    {                                                                                       \
        .path = "<pid>/" name, .mode = S_IFREG | (mode_), .generate = pseudo_generate_data, \
        .data = (text)                                                                      \
    }
/* A link of a process: its text, and where it really leads. */
#define TASK_LINK(name, function)                                                                \
    {                                                                                            \
        .path = "<pid>/" name, .mode = S_IFLNK | 0777, .flags = INSPECT, .generate = (function), \
        .follow = function##_follow                                                              \
    }
#define NAMESPACE(name)                                                                      \
    {                                                                                        \
        .path = "<pid>/ns/" name, .mode = S_IFLNK | 0777, .flags = INSPECT | PSEUDO_IF_HOST, \
        .generate = proc_namespace, .follow = proc_namespace_follow                          \
    }
/* A table of the network: lines of heading that are left when there is no network. */
#define NET(name, heading)                                                                 \
    {                                                                                      \
        .path = "<pid>/net/" name, .mode = S_IFREG | 0444, .flags = LIVE | PSEUDO_IF_HOST, \
        .generate = proc_net_table, .data = (heading)                                      \
    }
#define LINK(name, function)                                           \
    {                                                                  \
        .path = (name), .mode = S_IFLNK | 0777, .generate = (function) \
    }
#define LINK_TEXT(name, text)                                                                    \
    {                                                                                            \
        .path = (name), .mode = S_IFLNK | 0777, .generate = pseudo_generate_data, .data = (text) \
    }
/* A file of the system: made by a function, copied from the host if it has one, or fixed. */
#define FILE_MADE(name, flags_, function)                                                 \
    {                                                                                     \
        .path = (name), .mode = S_IFREG | 0444, .flags = (flags_), .generate = (function) \
    }
#define FILE_HOST(name, flags_) FILE_MADE(name, (flags_) | PSEUDO_IF_HOST, pseudo_generate_host)
#define FILE_TEXT(name, text)                                                                    \
    {                                                                                            \
        .path = (name), .mode = S_IFREG | 0444, .generate = pseudo_generate_data, .data = (text) \
    }
/* System controls: read only; numbers that root may change; text that root may change. */
#define CONTROL(name)                                                         \
    {                                                                         \
        .path = "sys/" name, .mode = S_IFREG | 0444, .flags = PSEUDO_IF_HOST, \
        .generate = proc_sysctl                                               \
    }
#define NUMBER(name)                                                          \
    {                                                                         \
        .path = "sys/" name, .mode = S_IFREG | 0644, .flags = PSEUDO_IF_HOST, \
        .generate = proc_sysctl, .store = proc_sysctl_store_numbers           \
    }
#define TEXT(name)                                                            \
    {                                                                         \
        .path = "sys/" name, .mode = S_IFREG | 0644, .flags = PSEUDO_IF_HOST, \
        .generate = proc_sysctl, .store = proc_sysctl_store_text              \
    }
/* As NUMBER, there even when the host hides it. */
#define NUMBER_OR(name, text)                                                 \
    {                                                                         \
        .path = "sys/" name, .mode = S_IFREG | 0644, .generate = proc_sysctl, \
        .store = proc_sysctl_store_numbers, .data = (text)                    \
    }

/* Process 1, see proc-init.c; its one thread is the same. */
#define INIT_MADE(name, function)                                                            \
    {.path = "<init>/" name, .mode = S_IFREG | 0444, .flags = LIVE, .generate = (function)}, \
    {                                                                                        \
        .path = "<init>/task/1/" name, .mode = S_IFREG | 0444, .flags = LIVE,                \
        .generate = (function)                                                               \
    }
#define INIT_TEXT(name, text)                                                                    \
    {.path = "<init>/" name,                                                                     \
     .mode = S_IFREG | 0444,                                                                     \
     .generate = pseudo_generate_data,                                                           \
     .data = (text)},                                                                            \
    {                                                                                            \
        .path = "<init>/task/1/" name, .mode = S_IFREG | 0444, .generate = pseudo_generate_data, \
        .data = (text)                                                                           \
    }
#define INIT_CLOSED(name, mode_)                                       \
    {                                                                  \
        .path = "<init>/" name, .mode = (mode_), .flags = PROC_CLOSED, \
        .generate = proc_task_refuse                                   \
    }

#define KEY_LIMIT(name)                                                         \
    {                                                                           \
        .path = "sys/kernel/keys/" name, .mode = S_IFREG | 0644, .flags = LIVE, \
        .generate = proc_sysctl_key_limit, .store = proc_sysctl_store_key_limit \
    }

/* clang-format off */
const struct pseudo_entry proc_table[] = {
    {.path = "", .mode = S_IFDIR | 0555, .directory = &proc_root_directory},

    /* links into the reader's own process */
    LINK("self", proc_self),
    LINK("thread-self", proc_thread_self),
    LINK_TEXT("mounts", "self/mounts"),
    LINK_TEXT("net", "self/net"),

    /* a process or thread */
    {.path = "<pid>", .mode = S_IFDIR | 0555},
    {.path = "<pid>/task", .mode = S_IFDIR | 0555, .flags = ONLY | PROC_LINKS,
     .directory = &proc_threads_directory, .data = "task"},
    {.path = "<pid>/fd", .mode = S_IFDIR | 0500, .flags = INSPECT | PROC_LINKS,
     .directory = &proc_fd_directory, .data = "fd"},
    {.path = "<pid>/fd/<fd>", .mode = S_IFLNK | 0700, .flags = INSPECT,
     .generate = proc_fd_text, .follow = proc_fd_follow},
    {.path = "<pid>/fdinfo", .mode = S_IFDIR | 0555, .flags = INSPECT,
     .directory = &proc_fdinfo_directory},
    {.path = "<pid>/fdinfo/<fd>", .mode = S_IFREG | 0444, .flags = INSPECT | LIVE,
     .generate = proc_fdinfo},
    TASK_LINK("exe", proc_exe),
    TASK_LINK("cwd", proc_cwd),
    TASK_LINK("root", proc_root),
    TASK("status", 0444, LIVE, proc_status),
    TASK("stat", 0444, LIVE, proc_stat),
    TASK("statm", 0444, LIVE, proc_task_copy),
    TASK("cmdline", 0444, LIVE, proc_cmdline),
    TASK("environ", 0400, LIVE | INSPECT, proc_task_copy),
    {.path = "<pid>/maps", .mode = S_IFREG | 0444, .flags = LIVE | INSPECT, .generate = proc_maps,
     .control = proc_maps_control},
    TASK("smaps", 0444, LIVE | INSPECT, proc_smaps),
    TASK("smaps_rollup", 0444, LIVE | INSPECT, proc_task_copy),
    TASK("auxv", 0400, INSPECT, proc_auxv),
    TASK("io", 0400, LIVE | INSPECT, proc_task_copy),
    TASK("limits", 0444, LIVE, proc_limits),
    TASK("schedstat", 0444, LIVE, proc_task_copy),
    TASK("oom_score", 0444, LIVE, proc_task_copy),
    TASK_WRITE("oom_score_adj", 0644, LIVE, proc_oom_score_adj, proc_oom_score_adj_store),
    TASK_WRITE("coredump_filter", 0644, ONLY, proc_task_copy, proc_task_forward),
    TASK_WRITE("comm", 0644, LIVE, proc_comm, proc_comm_store),
    TASK("children", 0444, LIVE | PROC_THREAD_ONLY, proc_task_copy),
    TASK("mounts", 0444, 0, proc_mounts),
    TASK("mountinfo", 0444, 0, proc_mountinfo),
    TASK("mountstats", 0400, ONLY, proc_mountstats),
    TASK_TEXT("cgroup", 0444, "0::/\n"),
    TASK_TEXT("cpuset", 0444, "/\n"),
    TASK_TEXT("personality", 0400, "00000000\n"),
    TASK_TEXT("loginuid", 0444, "4294967295"),
    TASK_TEXT("sessionid", 0444, "4294967295"),
    TASK_TEXT("wchan", 0444, "0"),
    TASK_WRITE("timerslack_ns", 0666, LIVE, proc_timerslack, proc_timerslack_store),
    {.path = "<pid>/pagemap", .mode = S_IFREG | 0400, .flags = INSPECT | PSEUDO_IF_HOST,
     .open = proc_pagemap_open},
    TASK_TEXT("uid_map", 0444, "         0          0 4294967295\n"),
    TASK_TEXT("gid_map", 0444, "         0          0 4294967295\n"),
    TASK_TEXT("projid_map", 0444, "         0          0 4294967295\n"),
    TASK_TEXT("setgroups", 0444, "allow\n"),
    TASK_TEXT("attr/current", 0444, "unconfined\n"),
    /* nobody may look: addresses inside the host's kernel, and memory past all checks */
    TASK("syscall", 0400, INSPECT, proc_task_refuse),
    TASK("stack", 0400, INSPECT, proc_task_refuse),
    TASK("mem", 0600, INSPECT, proc_task_refuse),
    NAMESPACE("cgroup"),
    NAMESPACE("ipc"),
    NAMESPACE("mnt"),
    NAMESPACE("net"),
    NAMESPACE("pid"),
    NAMESPACE("pid_for_children"),
    NAMESPACE("time"),
    NAMESPACE("time_for_children"),
    NAMESPACE("user"),
    NAMESPACE("uts"),
    {.path = "<pid>/net/dev", .mode = S_IFREG | 0444, .flags = LIVE | PSEUDO_IF_HOST,
     .generate = proc_net_dev},
    {.path = "<pid>/net/unix", .mode = S_IFREG | 0444, .flags = LIVE | PSEUDO_IF_HOST,
     .generate = proc_net_unix},
    NET("arp", "1"),
    NET("if_inet6", "0"),
    NET("ipv6_route", "0"),
    NET("netlink", "1"),
    NET("packet", "1"),
    NET("protocols", "1"),
    NET("raw", "1"),
    NET("raw6", "1"),
    NET("route", "1"),
    NET("tcp", "1"),
    NET("tcp6", "1"),
    NET("udp", "1"),
    NET("udp6", "1"),

    /* process 1, where the tree has none */
    {.path = "<init>", .mode = S_IFDIR | 0555},
    INIT_MADE("stat", proc_init_stat),
    INIT_MADE("status", proc_init_status),
    INIT_TEXT("cmdline", "init"),
    INIT_TEXT("comm", "init\n"),
    INIT_TEXT("statm", "0 0 0 0 0 0 0\n"),
    INIT_TEXT("cgroup", "0::/\n"),
    INIT_TEXT("oom_score", "0\n"),
    INIT_TEXT("oom_score_adj", "0\n"),
    INIT_TEXT("wchan", "0"),
    INIT_CLOSED("auxv", S_IFREG | 0400),
    INIT_CLOSED("cwd", S_IFLNK | 0777),
    INIT_CLOSED("environ", S_IFREG | 0400),
    INIT_CLOSED("exe", S_IFLNK | 0777),
    INIT_CLOSED("fd", S_IFDIR | 0500),
    INIT_CLOSED("fdinfo", S_IFDIR | 0555),
    INIT_CLOSED("io", S_IFREG | 0400),
    INIT_CLOSED("maps", S_IFREG | 0444),
    INIT_CLOSED("mem", S_IFREG | 0600),
    INIT_CLOSED("ns", S_IFDIR | 0511),
    INIT_CLOSED("root", S_IFLNK | 0777),
    INIT_CLOSED("smaps", S_IFREG | 0444),

    /* the system */
    FILE_MADE("meminfo", LIVE, proc_meminfo),
    FILE_MADE("loadavg", LIVE, proc_loadavg),
    FILE_HOST("cpuinfo", 0),
    FILE_HOST("config.gz", 0),
    FILE_HOST("stat", LIVE),
    FILE_HOST("uptime", LIVE),
    FILE_HOST("vmstat", LIVE),
    FILE_HOST("version", 0),
    FILE_HOST("interrupts", LIVE),
    FILE_HOST("softirqs", LIVE),
    FILE_HOST("tty/drivers", 0),
    FILE_MADE("pressure/cpu", LIVE | PSEUDO_IF_HOST, proc_pressure),
    FILE_MADE("pressure/io", LIVE | PSEUDO_IF_HOST, proc_pressure),
    FILE_MADE("pressure/memory", LIVE | PSEUDO_IF_HOST, proc_pressure),
    FILE_TEXT("cmdline", "cerebro\n"),
    FILE_TEXT("filesystems", VFS_FILESYSTEMS),
    FILE_TEXT("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/ptmx\n"
                         "136 pts\n\nBlock devices:\n"),
    FILE_TEXT("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\n"
                         "cpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"),
    FILE_TEXT("partitions", "major minor  #blocks  name\n\n"),
    FILE_TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    FILE_TEXT("diskstats", ""),
    FILE_TEXT("modules", ""),
    FILE_TEXT("misc", ""),
    FILE_TEXT("consoles", ""),
    FILE_TEXT("locks", ""),
    FILE_MADE("keys", LIVE, proc_personality),
    FILE_MADE("key-users", LIVE, proc_personality),
    FILE_MADE("sysvipc/msg", LIVE, proc_personality),
    FILE_MADE("sysvipc/sem", LIVE, proc_personality),
    FILE_MADE("sysvipc/shm", LIVE, proc_personality),

    /* system controls */
    {.path = "sys/kernel/hostname", .mode = S_IFREG | 0644, .flags = LIVE,
     .generate = proc_sysctl_hostname, .store = proc_sysctl_store_hostname},
    {.path = "sys/kernel/domainname", .mode = S_IFREG | 0644, .flags = LIVE,
     .generate = proc_sysctl_domainname, .store = proc_sysctl_store_domainname},
    {.path = "sys/kernel/threads-max", .mode = S_IFREG | 0644, .generate = proc_sysctl_threads_max},
    {.path = "sys/kernel/random/uuid", .mode = S_IFREG | 0444, .flags = LIVE,
     .generate = proc_sysctl_uuid},
    CONTROL("kernel/random/boot_id"),
    CONTROL("kernel/random/entropy_avail"),
    CONTROL("kernel/random/poolsize"),
    CONTROL("kernel/ostype"),
    CONTROL("kernel/osrelease"),
    CONTROL("kernel/version"),
    CONTROL("kernel/arch"),
    CONTROL("kernel/cap_last_cap"),
    CONTROL("kernel/ngroups_max"),
    CONTROL("kernel/tainted"),
    CONTROL("kernel/seccomp/actions_avail"),
    CONTROL("kernel/pty/max"),
    CONTROL("kernel/pty/nr"),
    NUMBER("kernel/pid_max"),
    NUMBER("kernel/overflowuid"),
    NUMBER("kernel/overflowgid"),
    TEXT("kernel/core_pattern"),
    NUMBER("kernel/core_uses_pid"),
    NUMBER("kernel/randomize_va_space"),
    NUMBER("kernel/yama/ptrace_scope"),
    NUMBER("kernel/panic"),
    NUMBER("kernel/panic_on_oops"),
    NUMBER("kernel/printk"),
    NUMBER("kernel/dmesg_restrict"),
    NUMBER("kernel/kptr_restrict"),
    NUMBER("kernel/perf_event_paranoid"),
    NUMBER("kernel/perf_event_max_sample_rate"),
    NUMBER("kernel/perf_event_mlock_kb"),
    NUMBER("kernel/unprivileged_userns_clone"),
    NUMBER("kernel/unprivileged_bpf_disabled"),
    NUMBER("kernel/io_uring_disabled"),
    NUMBER("kernel/numa_balancing"),
    NUMBER("kernel/sysrq"),
    NUMBER("kernel/shmmax"),
    NUMBER("kernel/shmall"),
    NUMBER("kernel/shmmni"),
    NUMBER("kernel/shm_rmid_forced"),
    NUMBER("kernel/msgmax"),
    NUMBER("kernel/msgmnb"),
    NUMBER("kernel/msgmni"),
    NUMBER("kernel/sem"),
    NUMBER("kernel/sched_autogroup_enabled"),
    NUMBER("kernel/sched_child_runs_first"),
    NUMBER("kernel/sched_rr_timeslice_ms"),
    NUMBER("kernel/sched_rt_period_us"),
    NUMBER("kernel/sched_rt_runtime_us"),
    NUMBER("kernel/timer_migration"),
    KEY_LIMIT("gc_delay"),
    KEY_LIMIT("maxkeys"),
    KEY_LIMIT("maxbytes"),
    KEY_LIMIT("root_maxkeys"),
    KEY_LIMIT("root_maxbytes"),

    NUMBER("vm/overcommit_memory"),
    NUMBER("vm/overcommit_ratio"),
    NUMBER("vm/overcommit_kbytes"),
    NUMBER("vm/max_map_count"),
    NUMBER("vm/swappiness"),
    NUMBER("vm/nr_hugepages"),
    NUMBER("vm/nr_overcommit_hugepages"),
    NUMBER("vm/hugetlb_shm_group"),
    NUMBER("vm/dirty_ratio"),
    NUMBER("vm/dirty_background_ratio"),
    NUMBER("vm/dirty_bytes"),
    NUMBER("vm/dirty_background_bytes"),
    NUMBER("vm/dirty_expire_centisecs"),
    NUMBER("vm/dirty_writeback_centisecs"),
    NUMBER("vm/vfs_cache_pressure"),
    NUMBER("vm/page-cluster"),
    NUMBER("vm/panic_on_oom"),
    NUMBER("vm/oom_kill_allocating_task"),
    NUMBER("vm/memfd_noexec"),
    NUMBER("vm/legacy_va_layout"),
    NUMBER("vm/unprivileged_userfaultfd"),
    NUMBER("vm/zone_reclaim_mode"),
    NUMBER_OR("vm/mmap_min_addr", "65536\n"),
    NUMBER_OR("vm/mmap_rnd_bits", "28\n"),
    NUMBER_OR("vm/min_free_kbytes", "67584\n"),

    NUMBER("fs/file-max"),
    CONTROL("fs/file-nr"),
    NUMBER("fs/nr_open"),
    CONTROL("fs/inode-nr"),
    CONTROL("fs/inode-state"),
    CONTROL("fs/dentry-state"),
    NUMBER("fs/pipe-max-size"),
    NUMBER("fs/pipe-user-pages-hard"),
    NUMBER("fs/pipe-user-pages-soft"),
    NUMBER("fs/inotify/max_queued_events"),
    NUMBER("fs/inotify/max_user_instances"),
    NUMBER("fs/inotify/max_user_watches"),
    NUMBER("fs/mqueue/msg_default"),
    NUMBER("fs/mqueue/msg_max"),
    NUMBER("fs/mqueue/msgsize_default"),
    NUMBER("fs/mqueue/msgsize_max"),
    NUMBER("fs/mqueue/queues_max"),
    NUMBER_OR("fs/protected_hardlinks", "1\n"),
    NUMBER_OR("fs/protected_symlinks", "1\n"),
    NUMBER_OR("fs/protected_fifos", "1\n"),
    NUMBER_OR("fs/protected_regular", "1\n"),
    NUMBER("fs/suid_dumpable"),
    NUMBER("fs/lease-break-time"),
    NUMBER("fs/leases-enable"),
    NUMBER("fs/aio-max-nr"),
    CONTROL("fs/aio-nr"),
    NUMBER("fs/epoll/max_user_watches"),
    NUMBER("fs/mount-max"),
    CONTROL("fs/overflowuid"),
    CONTROL("fs/overflowgid"),

    NUMBER("net/core/somaxconn"),
    NUMBER("net/core/rmem_max"),
    NUMBER("net/core/wmem_max"),
    NUMBER("net/core/rmem_default"),
    NUMBER("net/core/wmem_default"),
    NUMBER("net/core/optmem_max"),
    NUMBER("net/core/netdev_max_backlog"),
    NUMBER("net/core/busy_poll"),
    NUMBER("net/core/busy_read"),
    TEXT("net/core/default_qdisc"),
    NUMBER("net/ipv4/ip_forward"),
    NUMBER("net/ipv4/ip_default_ttl"),
    NUMBER("net/ipv4/ip_local_port_range"),
    NUMBER("net/ipv4/ip_nonlocal_bind"),
    NUMBER("net/ipv4/ip_unprivileged_port_start"),
    NUMBER("net/ipv4/ping_group_range"),
    NUMBER("net/ipv4/tcp_ecn"),
    NUMBER("net/ipv4/tcp_fastopen"),
    NUMBER("net/ipv4/tcp_fin_timeout"),
    NUMBER("net/ipv4/tcp_keepalive_intvl"),
    NUMBER("net/ipv4/tcp_keepalive_probes"),
    NUMBER("net/ipv4/tcp_keepalive_time"),
    NUMBER("net/ipv4/tcp_max_syn_backlog"),
    NUMBER("net/ipv4/tcp_max_tw_buckets"),
    NUMBER("net/ipv4/tcp_mem"),
    NUMBER("net/ipv4/tcp_mtu_probing"),
    NUMBER("net/ipv4/tcp_rmem"),
    NUMBER("net/ipv4/tcp_sack"),
    NUMBER("net/ipv4/tcp_slow_start_after_idle"),
    NUMBER("net/ipv4/tcp_syncookies"),
    NUMBER("net/ipv4/tcp_timestamps"),
    NUMBER("net/ipv4/tcp_tw_reuse"),
    NUMBER("net/ipv4/tcp_window_scaling"),
    NUMBER("net/ipv4/tcp_wmem"),
    NUMBER("net/ipv4/udp_mem"),
    TEXT("net/ipv4/tcp_congestion_control"),
    CONTROL("net/ipv4/tcp_available_congestion_control"),
    NUMBER("net/ipv6/bindv6only"),
    NUMBER("net/ipv6/conf/all/disable_ipv6"),
    NUMBER("net/ipv6/conf/default/disable_ipv6"),
    NUMBER("net/ipv6/conf/lo/disable_ipv6"),
    NUMBER("net/unix/max_dgram_qlen"),

    NUMBER("user/max_user_namespaces"),
    NUMBER("user/max_pid_namespaces"),
    NUMBER("user/max_net_namespaces"),
    NUMBER("user/max_mnt_namespaces"),
    NUMBER("user/max_inotify_instances"),
    NUMBER("user/max_inotify_watches"),
    NUMBER("debug/exception-trace"),
    NUMBER("abi/vsyscall32"),
};
/* clang-format on */

const size_t proc_table_length = array_length(proc_table);

/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Kernel API Exporter (KAPI): what user space and the module kernel_driver agree on.
 *
 * Usable from kernel and user space. The device is /dev/kernel_api_exporter. All structures have
 * the natural alignment of x86-64 (LP64) and no implicit padding that carries data: the kernel
 * clears every byte it does not set.
 *
 * Rules that hold for all commands
 *
 *  - Information commands (1-3, 5-14) return 0, or -1 with errno.
 *  - Commands with a `status` member (4, 15-23, 25, 27-30) return 0 whenever the structure could be
 *    copied in and out, and `status` says what happened: 0, or a negative errno. `message` (or
 *    `result`) says it in words. The structure is copied back even where the code says _IOW.
 *  - Commands 24 and 26 have no structure; they return 0, or -1 with errno.
 *  - Character arrays are terminated by the kernel in both directions: byte N-1 of what the caller
 *    sent is overwritten with 0, never read beyond.
 *  - There is no 32-bit entry (ENOTTY).
 *
 * Errors, as errno or as a negative status
 *
 *   EPERM      a capability is missing, a module parameter does not allow it, or lockdown forbids
 * it EACCES     the opener of the descriptor lacked the privilege that the caller has EINVAL
 * malformed argument: number out of range, empty or relative path, reserved bits set E2BIG      a
 * newer structure with members set that this module does not know ENOTTY     no such command code
 *   ESRCH      no such process in the caller's pid namespace (command 3: success with pid -1)
 *   ENODATA    no (further) record
 *   ENODEV     no such network interface
 *   EFAULT     bad address, from the caller or, for physical memory, not readable RAM
 *   EBUSY      asked too often (commands are rate limited where they cost), or the target is in use
 *   ENOSPC     the caller's buffer is too small for one record
 *   ENOSYS     this kernel offers no way to answer
 */
#ifndef CEREBRO_KAPI_H
#define CEREBRO_KAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "kapi_netlink.h"

#define KAPI_DEVICE_NAME "kernel_api_exporter"
#define KAPI_DEVICE_PATH "/dev/kernel_api_exporter"

/* Raised when something is added; nothing is ever taken away or moved. */
#define KAPI_ABI_VERSION 1

/* Bytes of the buffer behind read, write, lseek and mmap. One buffer for each open file. */
#define KAPI_BUFFER_SIZE 16384

#define KAPI_PHYS_MAX 4096

/* ---------------------------------------------------------------- information, commands 1-14 */

/* 1: bytes, equal to /proc/meminfo. `cached` is the page cache without buffers and swap cache. */
struct kapi_memory_info {
    __aligned_u64 total_ram;
    __aligned_u64 free_ram;
    __aligned_u64 used_ram; /* total_ram - free_ram */
    __aligned_u64 buffers;
    __aligned_u64 cached;
    __aligned_u64 swap_total;
    __aligned_u64 swap_free;
    __aligned_u64 slab;
    __aligned_u64 page_tables;
    __aligned_u64 vmalloc_used;
    __aligned_u64 committed_as;
    __aligned_u64 dirty;
    __aligned_u64 writeback;
    __aligned_u64 anon_pages;
    __aligned_u64 mapped;
    __aligned_u64 shmem;
};

/* 2: times are summed over the CPUs, in clock ticks of 1/100 s as in the first line of /proc/stat.
 */
struct kapi_cpu_info {
    __u32 num_cpus; /* possible */
    __u32 num_online_cpus;
    __aligned_u64 cpu_freq; /* kHz, of CPU 0 */
    char cpu_model[64];
    __aligned_u64 uptime; /* seconds since boot, suspend included */
    __aligned_u64 idle_time;
    __aligned_u64 user_time; /* without nice */
    __aligned_u64 system_time;
    __aligned_u64 iowait_time;
    __aligned_u64 irq_time;
    __aligned_u64 softirq_time;
    __aligned_u64 guest_time;
    __u32 cache_size;      /* KiB */
    __u32 cache_alignment; /* bytes */
    char vendor_id[16];
    char cpu_family[16]; /* decimal */
};

/* 3: `pid` in, all out. A process that is not there (or not visible) answers pid -1, success. */
struct kapi_process_info {
    __s32 pid; /* in the caller's pid namespace */
    char comm[16];
    __aligned_u64 memory_usage; /* resident, bytes */
    __u32 cpu_usage;            /* percent of one CPU since the start of the process */
    __s32 num_threads;
    __s32 ppid;
    __s32 pgrp;
    __s32 session;
    __s32 tty_nr;
    __aligned_u64 start_time; /* nanoseconds after boot, suspend included */
    __aligned_u64 vsize;      /* bytes */
    __s64 rss;                /* pages */
    __aligned_u64 rsslim;     /* bytes, all ones: no limit */
    __aligned_u64 priority;   /* as field 18 of /proc/PID/stat, sign extended */
    __s64 nice;
    __aligned_u64 num_threads_full;
    char state; /* R S D T t Z X I P */
    __u32 flags;
};

/* 4: see KAPI_KERNEL_COMMANDS in docs; unknown command: status -EINVAL, "Unknown command". */
struct kapi_kernel_cmd {
    char command[256];
    char result[1024];
    __s32 status;
};

/* 5: sums over all interfaces of the caller's network namespace, loopback included. */
struct kapi_network_stats {
    __aligned_u64 rx_packets;
    __aligned_u64 tx_packets;
    __aligned_u64 rx_bytes;
    __aligned_u64 tx_bytes;
    __aligned_u64 rx_errors;
    __aligned_u64 tx_errors;
    __aligned_u64 rx_dropped;
    __aligned_u64 tx_dropped;
    __aligned_u64 multicast;
    __aligned_u64 collisions;
    __aligned_u64 rx_length_errors;
    __aligned_u64 rx_over_errors;
    __aligned_u64 rx_crc_errors;
    __aligned_u64 rx_frame_errors;
    __aligned_u64 rx_fifo_errors;
    __aligned_u64 rx_missed_errors;
    __aligned_u64 tx_aborted_errors;
    __aligned_u64 tx_carrier_errors;
    __aligned_u64 tx_fifo_errors;
    __aligned_u64 tx_heartbeat_errors;
    __aligned_u64 tx_window_errors;
};

/* 6: the mount at the caller's "/". */
struct kapi_filesystem_info {
    char fs_type[32];
    __aligned_u64 total_blocks;
    __aligned_u64 free_blocks;
    __aligned_u64 available_blocks;
    __aligned_u64 total_inodes;
    __aligned_u64 free_inodes;
    __aligned_u64 block_size;
    __aligned_u64 max_filename_len;
    char mount_point[256];
    char device_name[64];
    __aligned_u64 flags; /* ST_* as in statvfs(3), with ST_VALID (0x20) as statfs(2) gives it */
};

/* 7: one record of /proc/modules. load_addr is 0 without CAP_SYSLOG. */
struct kapi_module_info {
    char name[64];
    __aligned_u64 size;
    __s32 used_by_count;
    char used_by[256]; /* "a,b,c", whole names only */
    char state[16];    /* Live, Loading, Unloading */
    __aligned_u64 load_addr;
    char version[32];
};

/* 8: one line of /proc/interrupts; only CPUs 0-7 have a counter of their own, `count` sums all. */
struct kapi_interrupt_info {
    __u32 irq;
    __aligned_u64 count;
    char type[32];   /* name of the interrupt chip */
    char device[64]; /* names of the actions, "a, b" */
    __u32 cpu_count[8];
};

/* 9: loads are fixed point with 16 fraction bits. Tasks are threads. */
struct kapi_loadavg_info {
    __aligned_u64 load1;
    __aligned_u64 load5;
    __aligned_u64 load15;
    __aligned_u64 running_tasks;
    __aligned_u64 total_tasks;
    __aligned_u64 last_pid;
};

/* 10 */
struct kapi_kernel_config {
    char version[64];
    char compile_time[64];
    char compile_by[64];
    char compile_host[64];
    char compiler[64];
    char build_date[64];
    __aligned_u64 hz;
    __aligned_u64 page_size;
    __aligned_u64 phys_addr_bits;
    __aligned_u64 virt_addr_bits;
    char arch[32];
};

/* 11: base_addr is all 0 without CAP_SYS_ADMIN. Names are hexadecimal ids; databases are user
 * space. */
struct kapi_pci_device_info {
    __u32 vendor_id;
    __u32 device_id;
    __u32 subsystem_vendor;
    __u32 subsystem_device;
    char device_name[128]; /* "0000:00:03.0 8086:100e" */
    char vendor_name[64];  /* "8086" */
    __u32 class_code;      /* 24 bits */
    __u32 revision;
    __aligned_u64 base_addr[6];
    __u32 irq;
};

/* 12: whole disks; counters equal to /proc/diskstats. serial is empty without CAP_SYS_ADMIN. */
struct kapi_block_device_info {
    char name[32];
    __aligned_u64 size; /* bytes */
    __aligned_u64 queue_depth;
    __aligned_u64 read_ios;
    __aligned_u64 read_sectors;
    __aligned_u64 write_ios;
    __aligned_u64 write_sectors;
    __aligned_u64 discard_ios;
    __aligned_u64 discard_sectors;
    char model[64];
    char serial[32];
};

/* 13: one thermal zone, temperatures in milli-Celsius, 0 where the zone does not tell. */
struct kapi_thermal_info {
    char type[32];
    __s32 temperature;
    __s32 critical_temp;
    __s32 max_temp;
    char cooling_device[64];
    __s32 trip_point_count;
    __s32 trip_temps[10];
};

/* 14: one record of the kernel log, oldest first. Needs CAP_SYSLOG. */
struct kapi_kernel_log {
    char level[16]; /* "EMERG" ... "DEBUG" */
    char message[512];
    __aligned_u64 timestamp; /* microseconds after boot */
    char facility[32];
};

/* ------------------------------------------------------------------- control, commands 15-30 */

struct kapi_process_control {
    __s32 pid;
    __s32 signal; /* 15 only; 0 only checks */
    __s32 status;
    char message[256];
};

struct kapi_module_control {
    char path[256];   /* 18: absolute path of a file, or empty to load `name` with modprobe */
    char name[64];    /* 19 */
    char params[256]; /* words NAME=VALUE */
    __s32 status;
    char message[256];
};

struct kapi_net_control {
    char interface[16];
    __s32 up;
    __s32 status;
    char message[256];
};

struct kapi_fs_control {
    char device[128];
    char path[256];
    char type[32];
    char options[256];
    __s32 status;
    char message[256];
};

struct kapi_log_injection {
    char level[16];
    char message[512];
    __s32 status;
};

struct kapi_cpu_control {
    __s32 pid;          /* 0: the caller */
    __aligned_u64 mask; /* bit N: CPU N, N < 64 */
    __s32 status;
    char message[256];
};

struct kapi_phys_mem_read {
    __aligned_u64 phys_addr;
    __aligned_u64 size; /* 1 to KAPI_PHYS_MAX */
    char data[KAPI_PHYS_MAX];
    __s32 status;
    char message[256];
};

struct kapi_phys_mem_write {
    __aligned_u64 phys_addr;
    __aligned_u64 size;
    char data[KAPI_PHYS_MAX];
    __s32 status;
    char message[256];
};

struct kapi_virt_to_phys {
    __aligned_u64 virt_addr;
    __s32 pid; /* 0: a kernel address */
    __aligned_u64 phys_addr;
    __s32 status;
    char message[256];
};

/*
 * 30: restore 0 reads `size` bytes into original_data and then writes patch_data. restore 1 writes
 * original_data, but only when memory still holds patch_data (else status -EAGAIN).
 */
struct kapi_mem_patch {
    __aligned_u64 phys_addr;
    __aligned_u64 size;
    char original_data[KAPI_PHYS_MAX];
    char patch_data[KAPI_PHYS_MAX];
    __s32 restore;
    __s32 status;
    char message[256];
};

/* -------------------------------------------------------------------------- the thirty codes */

#define KAPI_IOC_MAGIC 'k'
#define KAPI_IOC_MAXNR 30 /* of the first version; 31-33 and the twins below came later */

#define KAPI_GET_MEMORY_INFO      _IOR(KAPI_IOC_MAGIC, 1, struct kapi_memory_info)
#define KAPI_GET_CPU_INFO         _IOR(KAPI_IOC_MAGIC, 2, struct kapi_cpu_info)
#define KAPI_GET_PROCESS_INFO     _IOWR(KAPI_IOC_MAGIC, 3, struct kapi_process_info)
#define KAPI_EXECUTE_KERNEL_CMD   _IOWR(KAPI_IOC_MAGIC, 4, struct kapi_kernel_cmd)
#define KAPI_GET_NETWORK_STATS    _IOR(KAPI_IOC_MAGIC, 5, struct kapi_network_stats)
#define KAPI_GET_FILE_SYSTEM_INFO _IOR(KAPI_IOC_MAGIC, 6, struct kapi_filesystem_info)
/*
 * 7, 8 and 11-14 answer for one record. The _IOR codes of the first version keep a cursor in the
 * open file, one for each command: each call gives the next record; after the last one the call
 * fails with ENODATA and the cursor is at the first record again.
 */
#define KAPI_GET_KERNEL_MODULES _IOR(KAPI_IOC_MAGIC, 7, struct kapi_module_info)
#define KAPI_GET_INTERRUPTS     _IOR(KAPI_IOC_MAGIC, 8, struct kapi_interrupt_info)
#define KAPI_GET_LOADAVG        _IOR(KAPI_IOC_MAGIC, 9, struct kapi_loadavg_info)
#define KAPI_GET_KERNEL_CONFIG  _IOR(KAPI_IOC_MAGIC, 10, struct kapi_kernel_config)
#define KAPI_GET_PCI_DEVICES    _IOR(KAPI_IOC_MAGIC, 11, struct kapi_pci_device_info)
#define KAPI_GET_BLOCK_DEVICES  _IOR(KAPI_IOC_MAGIC, 12, struct kapi_block_device_info)
#define KAPI_GET_THERMAL_INFO   _IOR(KAPI_IOC_MAGIC, 13, struct kapi_thermal_info)
#define KAPI_READ_KERNEL_LOG    _IOR(KAPI_IOC_MAGIC, 14, struct kapi_kernel_log)
#define KAPI_KILL_PROCESS       _IOW(KAPI_IOC_MAGIC, 15, struct kapi_process_control)
#define KAPI_SUSPEND_PROCESS    _IOW(KAPI_IOC_MAGIC, 16, struct kapi_process_control)
#define KAPI_RESUME_PROCESS     _IOW(KAPI_IOC_MAGIC, 17, struct kapi_process_control)
#define KAPI_LOAD_MODULE        _IOW(KAPI_IOC_MAGIC, 18, struct kapi_module_control)
#define KAPI_UNLOAD_MODULE      _IOW(KAPI_IOC_MAGIC, 19, struct kapi_module_control)
#define KAPI_TOGGLE_INTERFACE   _IOW(KAPI_IOC_MAGIC, 20, struct kapi_net_control)
#define KAPI_MOUNT_FS           _IOW(KAPI_IOC_MAGIC, 21, struct kapi_fs_control)
#define KAPI_UMOUNT_FS          _IOW(KAPI_IOC_MAGIC, 22, struct kapi_fs_control)
#define KAPI_INJECT_LOG         _IOW(KAPI_IOC_MAGIC, 23, struct kapi_log_injection)
#define KAPI_FORCE_PAGE_RECLAIM _IO(KAPI_IOC_MAGIC, 24)
#define KAPI_SET_CPU_AFFINITY   _IOW(KAPI_IOC_MAGIC, 25, struct kapi_cpu_control)
#define KAPI_PANIC_KERNEL       _IO(KAPI_IOC_MAGIC, 26)
#define KAPI_READ_PHYS_MEM      _IOWR(KAPI_IOC_MAGIC, 27, struct kapi_phys_mem_read)
#define KAPI_WRITE_PHYS_MEM     _IOW(KAPI_IOC_MAGIC, 28, struct kapi_phys_mem_write)
#define KAPI_VIRT_TO_PHYS       _IOWR(KAPI_IOC_MAGIC, 29, struct kapi_virt_to_phys)
#define KAPI_PATCH_MEMORY       _IOWR(KAPI_IOC_MAGIC, 30, struct kapi_mem_patch)

/* -------------------------------------------------------- beyond 30: version, batch, process list
 */

/*
 * The structures of 31-33 may grow at their end. `size` is sizeof() as the caller knows it and must
 * equal the size in the command code. A smaller one than the first version is EINVAL; a larger one
 * is accepted when what this module does not know is 0, else E2BIG. Reserved members must be 0.
 */

/* Bits of kapi_version.features: what this module and its parameters allow. */
#define KAPI_FEATURE_CONTROL       (1 << 0) /* 15-25 (allow_control) */
#define KAPI_FEATURE_DANGEROUS     (1 << 1) /* 26, 27, 29 (allow_dangerous) */
#define KAPI_FEATURE_PHYS_WRITE    (1 << 2) /* 28, 30 (allow_phys_write) */
#define KAPI_FEATURE_SHARED_BUFFER (1 << 3) /* one buffer for all opens (shared_buffer) */
#define KAPI_FEATURE_NETLINK       (1 << 4) /* family 31 could be registered */
#define KAPI_FEATURE_GENL          (1 << 5)
#define KAPI_FEATURE_LOCKDOWN      (1 << 6) /* the kernel is locked down: 27-30 are refused */

/* 31 */
struct kapi_version {
    __u32 size;
    __u32 abi_version;
    __u32 features;
    __u32 buffer_size;
    __u32 batch_max;
    __u32 process_record_size; /* sizeof(struct kapi_process_record) of the module */
    char module_version[32];
};

/*
 * 32: several information commands in one call. Entries are answered in order; a failing entry does
 * not stop the others. The call itself fails only where the batch or its entries cannot be read or
 * written back (EFAULT, EINVAL, E2BIG) or the caller is being killed (EINTR).
 */
#define KAPI_BATCH_MAX 64

/* Out, in kapi_batch_entry.flags: further records are there, ask again from the new `index`. */
#define KAPI_ENTRY_MORE (1 << 0)

struct kapi_batch_entry {
    __u32 command; /* in: 1-3, 5-14 */
    __s32 status;  /* out: 0 or a negative errno */
    /*
     * In: the pid for command 3, the number of the first wanted record for 7, 8, 11-14, else 0.
     * Out: for 7, 8, 11-14 the number of the record after the last one given. (Log records are
     * counted from the oldest one still held, so numbers shift while the log overflows.)
     */
    __u32 index;
    __u32 count; /* out: structures written, one after the other */
    /* User address. For a single structure `length` may be less: then the head is written. */
    __aligned_u64 buffer;
    __u32 length; /* in: bytes at buffer (at most 1 MiB is used); out: bytes written */
    __u32 flags;  /* in: 0; out: KAPI_ENTRY_* */
};

struct kapi_batch {
    __u32 size;
    __u32 flags;            /* 0 */
    __u32 count;            /* in: entries, 1 to KAPI_BATCH_MAX */
    __u32 entry_size;       /* in: sizeof(struct kapi_batch_entry) */
    __aligned_u64 entries;  /* user address of the array */
    __aligned_u64 start_ns; /* out: CLOCK_BOOTTIME when the first entry was begun */
    __aligned_u64 end_ns;   /* out: CLOCK_BOOTTIME after the last one */
};

/*
 * 33: all processes in one call: what /proc/PID/stat and /proc/PID/status show to anybody, for
 * every process that the caller sees in /proc: in the caller's pid namespace, and where /proc is
 * mounted with hidepid only those that the caller could inspect. Ordered by pid. A long list is
 * continued by calling again with the returned cursor; a process that lives through all calls is
 * reported once.
 */
struct kapi_process_list {
    __u32 size;
    __u32 flags;          /* in: KAPI_LIST_*; out: KAPI_LIST_TRUNCATED is set or clear */
    __aligned_u64 buffer; /* user address of the records */
    __aligned_u64 length; /* in: bytes at buffer; out: bytes written */
    /* In: distance of two records, 32 to 4096, divisible by 8; out: bytes that have a meaning. */
    __u32 record_size;
    __u32 cursor;    /* in: 0 for the first call, then what came back; out: where to go on */
    __u32 count;     /* out: records written by this call */
    __u32 remaining; /* out: with KAPI_LIST_TRUNCATED, processes not yet reported (a snapshot) */
    __aligned_u64 time_ns; /* out: CLOCK_BOOTTIME at the start of the walk */
};

/* In: count the rest for `remaining` (costs a walk over it). Without it `remaining` is 0. */
#define KAPI_LIST_COUNT (1 << 0)
/* Out: the buffer was full before the last process. */
#define KAPI_LIST_TRUNCATED (1 << 16)

/* Bits of kapi_process_record.valid */
#define KAPI_PROCESS_HAS_MEMORY (1 << 0) /* an address space: no kernel thread, no zombie */
#define KAPI_PROCESS_HAS_IO     (1 << 1) /* read_bytes ... write_calls: the caller may inspect it */

/* Members are only ever added at the end; a caller that knows fewer gives a smaller record_size. */
struct kapi_process_record {
    __s32 pid;
    __s32 ppid;
    __s32 pgrp;
    __s32 session;
    char comm[16];
    /* 32 bytes: the smallest record */
    __s32 tty_nr;
    __u32 valid; /* KAPI_PROCESS_HAS_* */
    __u32 uid;   /* real, as the caller's user namespace names it */
    __u32 euid;
    __u32 gid;
    __u32 egid;
    __u32 flags; /* PF_* */
    __u32 num_threads;
    __s32 priority; /* field 18 of /proc/PID/stat */
    __s32 nice;
    __u32 rt_priority;
    __u32 policy;
    __u32 processor;
    char state;
    __u8 reserved[3];
    __aligned_u64 start_time; /* nanoseconds after boot, suspend included */
    __aligned_u64 utime;      /* nanoseconds, all threads, dead ones included */
    __aligned_u64 stime;
    __aligned_u64 cutime; /* of waited-for children */
    __aligned_u64 cstime;
    __aligned_u64 vsize;  /* bytes */
    __aligned_u64 rss;    /* bytes */
    __aligned_u64 shared; /* bytes of rss that are files or shared memory */
    __aligned_u64 rsslim; /* bytes, all ones: no limit */
    __aligned_u64 min_faults;
    __aligned_u64 maj_faults;
    __aligned_u64 voluntary_switches;
    __aligned_u64 involuntary_switches;
    /* only with KAPI_PROCESS_HAS_IO, as /proc/PID/io */
    __aligned_u64 read_bytes;
    __aligned_u64 write_bytes;
    __aligned_u64 read_chars;
    __aligned_u64 write_chars;
    __aligned_u64 read_calls;
    __aligned_u64 write_calls;
};

#define KAPI_PROCESS_RECORD_MIN 32

/*
 * Twins of 7, 8, 11-14 with an explicit record number instead of the cursor. `index` in: the wanted
 * record, out: unchanged. ENODATA beyond the last one.
 */
struct kapi_module_info_at {
    __u32 index;
    __u32 reserved;
    struct kapi_module_info info;
};

struct kapi_interrupt_info_at {
    __u32 index;
    __u32 reserved;
    struct kapi_interrupt_info info;
};

struct kapi_pci_device_info_at {
    __u32 index;
    __u32 reserved;
    struct kapi_pci_device_info info;
};

struct kapi_block_device_info_at {
    __u32 index;
    __u32 reserved;
    struct kapi_block_device_info info;
};

struct kapi_thermal_info_at {
    __u32 index;
    __u32 reserved;
    struct kapi_thermal_info info;
};

struct kapi_kernel_log_at {
    __u32 index;
    __u32 reserved;
    struct kapi_kernel_log info;
};

#define KAPI_GET_KERNEL_MODULE_AT _IOWR(KAPI_IOC_MAGIC, 7, struct kapi_module_info_at)
#define KAPI_GET_INTERRUPT_AT     _IOWR(KAPI_IOC_MAGIC, 8, struct kapi_interrupt_info_at)
#define KAPI_GET_PCI_DEVICE_AT    _IOWR(KAPI_IOC_MAGIC, 11, struct kapi_pci_device_info_at)
#define KAPI_GET_BLOCK_DEVICE_AT  _IOWR(KAPI_IOC_MAGIC, 12, struct kapi_block_device_info_at)
#define KAPI_GET_THERMAL_ZONE_AT  _IOWR(KAPI_IOC_MAGIC, 13, struct kapi_thermal_info_at)
#define KAPI_READ_KERNEL_LOG_AT   _IOWR(KAPI_IOC_MAGIC, 14, struct kapi_kernel_log_at)

#define KAPI_GET_VERSION      _IOWR(KAPI_IOC_MAGIC, 31, struct kapi_version)
#define KAPI_BATCH            _IOWR(KAPI_IOC_MAGIC, 32, struct kapi_batch)
#define KAPI_GET_PROCESS_LIST _IOWR(KAPI_IOC_MAGIC, 33, struct kapi_process_list)

#endif /* CEREBRO_KAPI_H */

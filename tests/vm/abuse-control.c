/* The control commands: they do what they say for root, and nothing for anybody else: holes 3, 7,
 * 11 and 16. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define REFUSED(call)                                                            \
    do {                                                                         \
        int refused_r = (call);                                                  \
        check(refused_r == -EPERM || refused_r == -EACCES, "%s: %s (%s)", #call, \
              refused_r ? strerror(-refused_r) : "done", last_message);          \
    } while (0)

/* ---- what must not happen: by a descriptor of one's own, and by one that root opened ---- */

static void each_descriptor(void (*test)(int fd))
{
    test(leaked_fd);
    test(device_open());
}

static void cannot_signal(int fd)
{
    static const unsigned long commands[] = {KAPI_KILL_PROCESS, KAPI_SUSPEND_PROCESS,
                                             KAPI_RESUME_PROCESS};

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        REFUSED(kapi_signal(fd, commands[i], 1, SIGKILL));
    REFUSED(kapi_signal(fd, KAPI_KILL_PROCESS, 1, 0)); /* not even whether it could */
    REFUSED(kapi_signal(fd, KAPI_KILL_PROCESS, getppid(), SIGKILL));
    check(state_of(getppid()) != 'T' && is_alive(getppid()), "the parent was hit");
}

static void hole_03_kill(enum way way)
{
    each_descriptor(cannot_signal);
}

static void cannot_load(int fd)
{
    REFUSED(kapi_load(fd, DUMMY_FILE, DUMMY_NAME, ""));
    REFUSED(kapi_load(fd, "", DUMMY_NAME, ""));
    REFUSED(kapi_unload(fd, MODULE_NAME));
    check(access("/sys/module/" DUMMY_NAME, F_OK) != 0, "it was loaded");
}

static void hole_03_load_module(enum way way)
{
    each_descriptor(cannot_load);
}

static void cannot_toggle(int fd)
{
    REFUSED(kapi_toggle(fd, "lo", 0));
    REFUSED(kapi_toggle(fd, "lo", 1));
}

static void hole_03_interface(enum way way)
{
    each_descriptor(cannot_toggle);
    check(interface_is_up("lo"), "lo is down");
}

static void cannot_mount(int fd)
{
    struct stat before, after;

    check(stat("/mnt", &before) == 0, "%s", strerror(errno));
    REFUSED(kapi_mount(fd, "none", "/mnt", "tmpfs", ""));
    REFUSED(kapi_umount(fd, "/tmp"));
    check(stat("/mnt", &after) == 0 && before.st_dev == after.st_dev, "it was mounted");
}

static void hole_03_mount(enum way way)
{
    each_descriptor(cannot_mount);
}

static void cannot_set_affinity(int fd)
{
    REFUSED(kapi_affinity(fd, 1, 1));
    REFUSED(kapi_affinity(fd, getppid(), 1));
}

static void hole_03_affinity(enum way way)
{
    each_descriptor(cannot_set_affinity);
}

static void cannot_see(int fd)
{
    struct kapi_kernel_log log = {0};
    struct kapi_kernel_log_at log_at = {0};
    static struct kapi_module_info modules[64];
    static struct kapi_pci_device_info devices[32];
    static struct kapi_block_device_info disks[32];

    int r = kapi_call(fd, KAPI_READ_KERNEL_LOG, &log);
    check(r == -EPERM && !log.message[0], "log: %s %s", strerror(-r), log.message);
    check(kapi_call(fd, KAPI_READ_KERNEL_LOG_AT, &log_at) == -EPERM && !log_at.info.message[0],
          "log by number");
    for (size_t i = kapi_records(fd, KAPI_GET_KERNEL_MODULES, modules, sizeof(*modules), 64); i--;)
        check(modules[i].load_addr == 0, "address of %s", modules[i].name);
    for (size_t i = kapi_records(fd, KAPI_GET_PCI_DEVICES, devices, sizeof(*devices), 32); i--;)
        for (int bar = 0; bar < 6; bar++)
            check(devices[i].base_addr[bar] == 0, "address of %s", devices[i].device_name);
    for (size_t i = kapi_records(fd, KAPI_GET_BLOCK_DEVICES, disks, sizeof(*disks), 32); i--;)
        check(disks[i].serial[0] == 0, "serial number of %s: %s", disks[i].name, disks[i].serial);
}

static void hole_03_secrets_of_the_machine(enum way way)
{
    each_descriptor(cannot_see);
}

static void cannot_reclaim(int fd)
{
    REFUSED(kapi_call(fd, KAPI_FORCE_PAGE_RECLAIM, NULL));
    REFUSED(kapi_call(fd, KAPI_PANIC_KERNEL, NULL));
}

static void hole_03_reclaim_and_panic(enum way way)
{
    each_descriptor(cannot_reclaim);
}

/* Root's own call, but through what somebody without rights opened. */
static void opener_needs_the_right_too(enum way way)
{
    char byte[1];
    pid_t pid;
    int status, fds[2];

    /* The child without rights shares our table of descriptors, so that what it opens is ours too.
     */
    struct kapi_mem_patch patch = {.size = 1};
    check(pipe(fds) == 0, "%s", strerror(errno));
    int wanted = dup(fds[0]);
    pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0) {
        become(WAY_NOBODY);
        int fd = open(KAPI_DEVICE_PATH, O_RDWR);
        if (fd < 0 || dup2(fd, wanted) < 0)
            _exit(1);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    check(status == 0, "uid 65534 cannot open the device");
    check(kapi_call(wanted, KAPI_GET_LOADAVG, &(struct kapi_loadavg_info){0}) == 0,
          "information: %s", strerror(errno));
    REFUSED(kapi_read_physical(wanted, 0x1000000, 1, byte));
    REFUSED(kapi_write_physical(wanted, 0x1000000, 1, byte));
    REFUSED(kapi_translate(wanted, (uint64_t)(uintptr_t)byte, getpid(), NULL));
    REFUSED(kapi_patch(wanted, &patch));
    REFUSED(kapi_call(wanted, KAPI_PANIC_KERNEL, NULL));
    REFUSED(kapi_mount(wanted, "none", "/mnt", "tmpfs", ""));
}

/* ---- what root of a user namespace may do: what is its own ---- */

static void namespace_root_has_its_own(enum way way)
{
    int fd = device_open();
    pid_t own = sleeper();

    int r = kapi_toggle(fd, "lo", 1);
    check(r == 0 && interface_is_up("lo"), "its own lo up: %s %s", strerror(-r), last_message);
    check(kapi_toggle(fd, "lo", 0) == 0 && !interface_is_up("lo"), "its own lo down: %s",
          last_message);
    check(kapi_signal(fd, KAPI_KILL_PROCESS, own, SIGKILL) == 0, "its own process: %s",
          last_message);
    REFUSED(kapi_signal(fd, KAPI_KILL_PROCESS, 1, SIGKILL));
    REFUSED(kapi_mount(fd, "none", "/mnt", "tmpfs", ""));
    REFUSED(kapi_load(fd, DUMMY_FILE, "", ""));
    REFUSED(kapi_log(fd, "INFO", "kapi-namespace"));
    REFUSED(kapi_call(fd, KAPI_FORCE_PAGE_RECLAIM, NULL));
}

/* ---- what works ---- */

static void signals_work(enum way way)
{
    int status, fd = device_open();
    pid_t pid = sleeper();

    check(kapi_signal(fd, KAPI_KILL_PROCESS, pid, 0) == 0, "signal 0: %s", last_message);
    check(kapi_signal(fd, KAPI_SUSPEND_PROCESS, pid, 0) == 0, "suspend: %s", last_message);
    for (int i = 0; i < 1000 && state_of(pid) != 'T'; i++)
        usleep(1000);
    check(state_of(pid) == 'T', "state %c after suspend", state_of(pid));
    check(kapi_signal(fd, KAPI_RESUME_PROCESS, pid, 0) == 0, "resume: %s", last_message);
    for (int i = 0; i < 1000 && state_of(pid) == 'T'; i++)
        usleep(1000);
    check(state_of(pid) != 'T', "state T after resume");
    check(kapi_signal(fd, KAPI_KILL_PROCESS, pid, SIGTERM) == 0, "kill: %s", last_message);
    check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM,
          "status %x", status);
    check(kapi_signal(fd, KAPI_KILL_PROCESS, pid, SIGTERM) == -ESRCH && last_message[0],
          "a process that is gone: %s", last_message);
}

static void wrong_signals_are_refused(enum way way)
{
    static const int signals[] = {-1, 65, 1000, 0x7fffffff, (int)0x80000000};
    static const int pids[] = {0, -1, -2, (int)0x80000000, 0x7fffffff};
    int fd = device_open();
    pid_t pid = sleeper();

    for (size_t i = 0; i < ARRAY_LENGTH(signals); i++)
        check(kapi_signal(fd, KAPI_KILL_PROCESS, pid, signals[i]) == -EINVAL, "signal %d: %s",
              signals[i], last_message);
    for (size_t i = 0; i < ARRAY_LENGTH(pids);
         i++) { /* never a group of processes, never all of them */
        int r = kapi_signal(fd, KAPI_KILL_PROCESS, pids[i], SIGKILL);
        check(r == -EINVAL || r == -ESRCH, "pid %d: %s", pids[i], last_message);
    }
    check(is_alive(pid), "it was killed");
}

static void affinity_works(enum way way)
{
    int fd = device_open();
    pid_t pid = sleeper();
    cpu_set_t set;

    check(kapi_affinity(fd, pid, 2) == 0, "CPU 1: %s", last_message);
    check(sched_getaffinity(pid, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 &&
              CPU_ISSET(1, &set),
          "not CPU 1 only");
    check(kapi_affinity(fd, pid, ~(uint64_t)0) == 0, "all CPUs: %s", last_message);
    check(sched_getaffinity(pid, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 2, "%d CPUs",
          CPU_COUNT(&set));
    check(kapi_affinity(fd, pid + 1000000, 1) == -ESRCH, "nobody: %s", last_message);
}

static void hole_11_mask_beyond_64_bits(enum way way)
{
    int fd = device_open();
    pid_t pid = sleeper();
    cpu_set_t set;

    check(kapi_affinity(fd, pid, 0) == -EINVAL, "no CPU: %s", last_message);
    check(kapi_affinity(fd, pid, 0xfffffffffffffff0) == -EINVAL, "only CPUs that are not there: %s",
          last_message);
    check(kapi_affinity(fd, pid, 1) == 0, "%s", last_message);
    check(sched_getaffinity(pid, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 &&
              CPU_ISSET(0, &set),
          "bytes behind the mask were taken for the mask");
}

static void hole_07_interface_toggle(enum way way)
{
    int fd = device_open();

    for (int i = 0; i < 20; i++) {
        check(kapi_toggle(fd, "lo", 0) == 0 && !interface_is_up("lo"), "down: %s", last_message);
        check(kapi_toggle(fd, "lo", 1) == 0 && interface_is_up("lo"), "up: %s", last_message);
    }
    check(kapi_toggle(fd, "nothing0", 1) == -ENODEV && last_message[0],
          "an interface that is not there: %s", last_message);
    check(kapi_toggle(fd, "", 1) < 0, "an empty name");
    check(kapi_toggle(fd, "lo", 2) == -EINVAL || kapi_toggle(fd, "lo", 2) == 0, "up is 2: %s",
          last_message);
    check(kapi_toggle(fd, "lo", 1) == 0, "%s", last_message);
    pid_t pid = fork(); /* another network namespace: its own lo, never ours */
    if (pid == 0) {
        check(unshare(CLONE_NEWNET) == 0, "%s", strerror(errno));
        check(kapi_toggle(fd, "lo", 1) == 0 && kapi_toggle(fd, "lo", 0) == 0, "%s", last_message);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    check(interface_is_up("lo"), "the lo of another namespace was taken down");
}

static void modules_load_and_unload(enum way way)
{
    char text[64];
    int fd = device_open();

    int r = kapi_load(fd, DUMMY_FILE, "", "number=42");
    check(r == 0, "load: %s %s", strerror(-r), last_message);
    read_file("/sys/module/" DUMMY_NAME "/parameters/number", text, sizeof(text));
    check(strcmp(text, "42\n") == 0, "number is %s", text);
    check(kapi_load(fd, DUMMY_FILE, "", "") < 0, "loaded twice");
    r = kapi_unload(fd, DUMMY_NAME);
    check(r == 0 && access("/sys/module/" DUMMY_NAME, F_OK) != 0, "unload: %s %s", strerror(-r),
          last_message);
    r = kapi_unload(fd, DUMMY_NAME);
    check(r < 0 && r > -4096 && last_message[0], "unloaded twice: %d %s", r, last_message);
    r = kapi_load(fd, "", DUMMY_NAME, "number=7");
    check(r == 0 && access("/sys/module/" DUMMY_NAME, F_OK) == 0, "by name: %s %s", strerror(-r),
          last_message);
    check(kapi_unload(fd, DUMMY_NAME) == 0, "unload: %s", last_message);
    r = kapi_load(fd, "/lib/nothing.ko", "", "");
    check(r < 0 && r > -4096, "a file that is not there: %d %s", r, last_message);
    r = kapi_load(fd, DUMMY_FILE, "", "number=-1");
    check(r < 0 && r > -4096 && access("/sys/module/" DUMMY_NAME, F_OK) != 0,
          "a module that refuses: %d %s", r, last_message);
    check(kapi_unload(fd, MODULE_NAME) < 0, "unloaded itself");
}

static void file_systems_are_mounted(enum way way)
{
    char text[8192];
    int fd = device_open();

    int r = kapi_mount(fd, "none", "/mnt", "tmpfs", "size=64k,mode=711");
    check(r == 0, "mount: %s %s", strerror(-r), last_message);
    read_file("/proc/self/mounts", text, sizeof(text));
    const char *line = strstr(text, " /mnt tmpfs ");
    check(line && strstr(line, "size=64k") && strstr(line, "mode=711"), "%s", text);
    r = kapi_umount(fd, "/mnt");
    check(r == 0, "umount: %s %s", strerror(-r), last_message);
    read_file("/proc/self/mounts", text, sizeof(text));
    check(!strstr(text, " /mnt "), "%s", text);
    r = kapi_umount(fd, "/mnt");
    check(r < 0 && r > -4096 && last_message[0], "unmounted twice: %d %s", r, last_message);
    r = kapi_mount(fd, "none", "/mnt", "nothingfs", "");
    check(r < 0 && r > -4096 && last_message[0], "a type that is not there: %d %s", r,
          last_message);
    r = kapi_mount(fd, "none", "/nowhere", "tmpfs", "");
    check(r < 0 && r > -4096, "a place that is not there: %d %s", r, last_message);
}

static unsigned long cached_kib(void)
{
    char text[8192];

    read_file("/proc/meminfo", text, sizeof(text));
    return number_after(text, "Cached");
}

static void reclaim_frees_pages(enum way way)
{
    static char block[1 << 20];
    int disk = open("/dev/nvme0n1", O_RDONLY | O_CLOEXEC), fd = device_open();

    check(disk >= 0, "/dev/nvme0n1: %s", strerror(errno));
    for (int i = 0; i < 24 && read(disk, block, sizeof(block)) > 0; i++)
        ;
    char text[8192];
    read_file("/proc/meminfo", text, sizeof(text));
    unsigned long before = number_after(text, "Buffers") + cached_kib();
    close(disk);
    int r = kapi_call(fd, KAPI_FORCE_PAGE_RECLAIM, NULL);
    for (int i = 0; i < 15 && r == -EBUSY; i++) { /* once in a while only */
        sleep(1);
        r = kapi_call(fd, KAPI_FORCE_PAGE_RECLAIM, NULL);
    }
    check(r == 0, "%s", strerror(-r));
    read_file("/proc/meminfo", text, sizeof(text));
    unsigned long after = number_after(text, "Buffers") + number_after(text, "Cached");
    row("limits", "page cache before and after reclaim\t%lu KiB\t%lu KiB", before, after);
    check(after < before, "%lu KiB before, %lu KiB after", before, after);
    check(kapi_call(fd, KAPI_FORCE_PAGE_RECLAIM, NULL) == -EBUSY, "again at once");
}

/* ---- audit ---- */

static void set_audit(int fd, unsigned int enabled)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct {
        struct nlmsghdr head;
        struct audit_status status;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = AUDIT_SET,
                 .nlmsg_flags = NLM_F_REQUEST},
        .status = {.mask = AUDIT_STATUS_ENABLED, .enabled = enabled},
    };

    check(sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&kernel, sizeof(kernel)) > 0,
          "audit: %s", strerror(errno));
}

struct audit_counts {
    int granted, refused;
};

/* Records of this module, among all that readers of the audit log get in two seconds. */
static struct audit_counts count_audit_records(int fd)
{
    uint64_t end = now_ns() + 2000000000;
    struct audit_counts counts = {0, 0};
    char record[9000], own[32];

    snprintf(own, sizeof(own), "pid=%d ", getpid());
    while (now_ns() < end) {
        ssize_t length = recv(fd, record, sizeof(record) - 1, MSG_DONTWAIT);

        if (length <= 0) {
            usleep(10000);
            continue;
        }
        record[length] = '\0';
        if (length <= NLMSG_HDRLEN || !strcasestr(record + NLMSG_HDRLEN, "kapi"))
            continue;
        counts.granted += strstr(record + NLMSG_HDRLEN, own) != NULL;
        counts.refused += strstr(record + NLMSG_HDRLEN, "uid=65534") != NULL;
    }
    return counts;
}

/*
 * A control command leaves a record, granted or refused. What anybody can cause leaves not any
 * number of them.
 */
static void controls_are_audited(enum way way)
{
    int group = AUDIT_NLGRP_READLOG, fd = device_open(), log = netlink_open(NETLINK_AUDIT, NULL);
    pid_t pid = sleeper();

    check(setsockopt(log, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0,
          "join: %s", strerror(errno));
    set_audit(log, 1);
    sleep(6); /* earlier tests may have used up what is allowed in five seconds */
    check(kapi_signal(fd, KAPI_KILL_PROCESS, pid, 0) == 0, "%s", last_message);
    pid_t child = fork();
    if (child == 0) {
        become(WAY_NOBODY);
        for (int i = 0; i < 1000; i++)
            kapi_signal(leaked_fd, KAPI_KILL_PROCESS, 1, SIGKILL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct audit_counts counts = count_audit_records(log);
    set_audit(log, 0);
    row("limits", "audit records of one control and of 1000 refusals\t%d\t%d", counts.granted,
        counts.refused);
    check(counts.granted >= 1, "%d records of what was done", counts.granted);
    check(counts.refused >= 1 && counts.refused < 500, "%d records of 1000 refusals",
          counts.refused);
}

const struct test control_tests[] = {
    {"hole-03-kill", hole_03_kill, WAYS_PLAIN, 0},
    {"hole-03-load-module", hole_03_load_module, WAYS_PLAIN, 0},
    {"hole-03-interface-down", hole_03_interface, WAY_NOBODY | WAY_ALLOWED_NOBODY, 0},
    {"hole-03-mount", hole_03_mount, WAYS_PLAIN, 0},
    {"hole-03-affinity", hole_03_affinity, WAYS_PLAIN, 0},
    {"hole-03-secrets-of-the-machine", hole_03_secrets_of_the_machine, WAYS_PLAIN, 0},
    {"hole-03-reclaim-and-panic", hole_03_reclaim_and_panic, WAYS_PLAIN, 0},
    {"hole-03-opener-needs-the-right-too", opener_needs_the_right_too, WAY_ALLOWED, 0},
    {"hole-07-interface-toggle", hole_07_interface_toggle, WAY_ROOT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"hole-11-mask-beyond-64-bits", hole_11_mask_beyond_64_bits,
     WAY_ROOT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"namespace-root-has-its-own", namespace_root_has_its_own, WAY_USERNS | WAY_ALLOWED_USERNS, 0},
    {"signals-work", signals_work, WAY_ROOT | WAY_ALLOWED | WAY_CONFIDENTIALITY, 0},
    {"wrong-signals-are-refused", wrong_signals_are_refused, WAY_ROOT, 0},
    {"affinity-works", affinity_works, WAY_ROOT, 0},
    {"modules-load-and-unload", modules_load_and_unload, WAY_ROOT, 60},
    {"file-systems-are-mounted", file_systems_are_mounted, WAY_ROOT, 60},
    {"reclaim-frees-pages", reclaim_frees_pages, WAY_ROOT, 60},
    {"controls-are-audited", controls_are_audited, WAY_ROOT, 0},
    {0},
};

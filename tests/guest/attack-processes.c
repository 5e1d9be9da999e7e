/* Touching processes outside the tree: the process kernel, and others of the same user. */
#include "attack.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static pid_t targets[64];
static int target_count;

static void add(pid_t pid)
{
    for (int i = 0; i < target_count; i++)
        if (targets[i] == pid)
            return;
    if (pid > 0 && pid != getpid() && target_count < 64)
        targets[target_count++] = pid;
}

/* The one above the first process is its process kernel, which has the same user. */
static void find_targets(void)
{
    pid_t outside = (pid_t)strtol(attack_env("GUEST_OUTSIDE_PID"), NULL, 10);

    target_count = 0;
    add(outside);
    for (pid_t pid = outside - 5; pid < outside + 5; pid++)
        add(pid);
}

/* With a number of their own, the tree's processes may have a number that a target has outside. */
static bool is_ours(pid_t pid)
{
    return access(guest_format("/proc/%d/status", pid), F_OK) == 0;
}

static pid_t next_target(int *at)
{
    while (*at < target_count) {
        pid_t pid = targets[(*at)++];

        if (!is_ours(pid))
            return pid;
    }
    return 0;
}

#define FOR_EACH_TARGET(pid) \
    int at_##pid = 0;        \
    find_targets();          \
    for (pid_t pid; (pid = next_target(&at_##pid)) != 0;)

static void signals(void)
{
    union sigval value = {.sival_int = 1};
    siginfo_t info = {.si_signo = SIGTERM, .si_code = SI_QUEUE};

    FOR_EACH_TARGET(pid)
    {
        DENIED(kill(pid, 0));
        DENIED(kill(pid, SIGTERM));
        DENIED(kill(pid, SIGKILL));
        /* The group that the tree was started in has the front's number, and may be hit. */
        if (pid != getpgid(getppid()))
            DENIED(kill(-pid, SIGKILL));
        DENIED(sigqueue(pid, SIGTERM, value));
        DENIED(syscall(SYS_tkill, pid, SIGKILL));
        DENIED(syscall(SYS_tgkill, pid, pid, SIGKILL));
        DENIED(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGTERM, &info));
    }
}

static void by_descriptor(void)
{
    FOR_EACH_TARGET(pid)
    {
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        if (fd < 0) {
            attack_tried("pidfd_open", strerrorname_np(errno));
            continue;
        }
        DENIED(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
        DENIED(syscall(SYS_pidfd_getfd, fd, 0, 0));
        DENIED(syscall(SYS_setns, fd, CLONE_NEWNS));
        DENIED(syscall(SYS_process_madvise, fd, NULL, 0, MADV_COLD, 0));
        DENIED(syscall(SYS_process_mrelease, fd, 0));
    }
}

static void owner_of_signals(void)
{
    int pair[2];

    /* Whoever owns a descriptor gets SIGIO, which is deadly. The test sees who died. */
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    FOR_EACH_TARGET(pid)
    {
        struct f_owner_ex owner = {F_OWNER_PID, pid};

        if (fcntl(pair[0], F_SETOWN, pid) < 0)
            attack_tried("F_SETOWN", strerrorname_np(errno));
        if (fcntl(pair[0], F_SETOWN_EX, &owner) < 0)
            attack_tried("F_SETOWN_EX", strerrorname_np(errno));
        fcntl(pair[0], F_SETSIG, SIGKILL);
        fcntl(pair[0], F_SETFL, O_ASYNC | O_NONBLOCK);
        write(pair[1], "x", 1);
    }
}

static void tracing(void)
{
    DENIED(ptrace(PTRACE_TRACEME, 0, 0, 0));
    FOR_EACH_TARGET(pid)
    {
        DENIED(ptrace(PTRACE_ATTACH, pid, 0, 0));
        DENIED(ptrace(PTRACE_SEIZE, pid, 0, 0));
    }
}

static void own_child(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        for (;;)
            pause();
    /* A traced thread could rewrite its registers after they were checked. */
    DENIED(ptrace(PTRACE_ATTACH, pid, 0, 0));
    DENIED(ptrace(PTRACE_SEIZE, pid, 0, 0));
    OK(kill(pid, SIGKILL));
    guest_wait(pid);
}

static void memory(void)
{
    char bytes[16] = "";
    struct iovec own = {bytes, sizeof(bytes)};
    struct iovec theirs = {(void *)0x400000, sizeof(bytes)};
    struct iovec loaders_page = {(void *)0x101000, sizeof(bytes)};

    FOR_EACH_TARGET(pid)
    {
        DENIED(process_vm_readv(pid, &own, 1, &theirs, 1, 0));
        DENIED(process_vm_writev(pid, &own, 1, &theirs, 1, 0));
        DENIED(syscall(SYS_kcmp, getpid(), pid, 0, 0, 0));
        DENIED(syscall(SYS_migrate_pages, pid, 0, NULL, NULL));
        DENIED(syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0));
    }
    DENIED(process_vm_writev(getpid(), &own, 1, &theirs, 1, 0));
    DENIED(process_vm_writev(getpid(), &own, 1, &loaders_page, 1, 0));
    DENIED(process_vm_readv(getppid(), &own, 1, &theirs, 1, 0));
}

static void files_in_proc(void)
{
    static const char *const files[] = {"mem",  "maps", "environ", "status", "fd",       "cwd",
                                        "root", "exe",  "cmdline", "stat",   "auxv",     "syscall",
                                        "task", "ns",   "pagemap", "stack",  "map_files"};

    FOR_EACH_TARGET(pid)
    {
        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
            attack_denied(__FILE__, __LINE__, guest_format("/proc/%d/%s", pid, files[i]),
                          open(guest_format("/proc/%d/%s", pid, files[i]), O_RDONLY));
    }
}

/* Whatever is listed in /proc belongs to this tree, and the process kernel does not. */
static void everything_in_proc(void)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");

    CHECK(dir != NULL);
    while ((entry = readdir(dir))) {
        char *comm;
        int fd;

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        comm = guest_read(guest_format("/proc/%s/comm", entry->d_name));
        if (strstr(comm, "cerebro"))
            FAIL("ESCAPED: the process kernel is visible as %s", entry->d_name);
        fd = open(guest_format("/proc/%s/mem", entry->d_name), O_RDWR);
        if (fd >= 0 && pwrite(fd, "x", 1, 0x101000) == 1)
            FAIL("ESCAPED: wrote to the memory of %s", entry->d_name);
    }
}

static void parent_number(void)
{
    pid_t pid = getpid();

    /* Up to the first process, whose parent is the process kernel or unknown. */
    for (int i = 0; i < 50 && pid > 1; i++) {
        char *text;
        char *found;
        int fd = open(guest_format("/proc/%d/status", pid), O_RDONLY);

        if (fd < 0) {
            attack_tried(guest_format("/proc/%d of an ancestor", pid), strerrorname_np(errno));
            DENIED(open(guest_format("/proc/%d/mem", pid), O_RDWR));
            DENIED(kill(pid, SIGKILL));
            DENIED(ptrace(PTRACE_ATTACH, pid, 0, 0));
            DENIED(syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), 3, 0));
            return;
        }
        close(fd);
        text = guest_read(guest_format("/proc/%d/status", pid));
        found = strstr(text, "\nPPid:");
        CHECK(found != NULL);
        pid = (pid_t)strtol(found + 6, NULL, 10);
    }
}

static void settings(void)
{
    struct rlimit limit = {1, 1};
    struct sched_param parameter = {0};
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    FOR_EACH_TARGET(pid)
    {
        DENIED(prlimit(pid, RLIMIT_NOFILE, &limit, NULL));
        DENIED(prlimit(pid, RLIMIT_NOFILE, NULL, &limit));
        DENIED(setpriority(PRIO_PROCESS, (id_t)pid, 19));
        DENIED(sched_setaffinity(pid, sizeof(set), &set));
        DENIED(sched_setscheduler(pid, SCHED_IDLE, &parameter));
        DENIED(syscall(SYS_ioprio_set, 1, pid, 3 << 13));
        DENIED(setpgid(pid, 0));
    }
}

static void by_user(void)
{
    /*
     * All processes of the user, or of a group, are those of the tree: they may be slowed down. The
     * one outside, which the test looks at as well, must not be.
     */
    id_t outside = (id_t)strtol(attack_env("GUEST_OUTSIDE_PID"), NULL, 10);

    errno = 0;
    OK(setpriority(PRIO_PGRP, (id_t)getpgrp(), 17));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 17);
    OK(setpriority(PRIO_USER, 0, 18));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 18);
    OK(setpriority(PRIO_USER, getuid(), 19));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)getppid()), 19);
    DENIED(setpriority(PRIO_PGRP, (id_t)getpgid((pid_t)outside), 19));
    DENIED(setpriority(PRIO_USER, getuid() + 1, 19));
    DENIED(syscall(SYS_ioprio_set, 3, getuid(), 3 << 13));
}

static void watching(void)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(event)};

    DENIED(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
    DENIED(syscall(SYS_perf_event_open, &event, -1, 0, -1, 0));
}

static void look_for_places(int fd)
{
    static volatile char pages[64 * 4096];
    uint64_t entry, seen = 0;

    for (size_t at = 0; at < sizeof(pages); at += 4096) {
        pages[at] = 1;
        CHECK_EQ(pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)&pages[at] / 4096 * 8)), 8);
        seen |= entry;
    }
    CHECK(seen >> 63);
    if (seen & ((1ULL << 55) - 1))
        FAIL("ESCAPED: frame numbers 0x%llx", (unsigned long long)seen);
    DENIED(write(fd, &entry, sizeof(entry)));
}

/*
 * Where pages lie in the machine's memory is for the machine's root, whatever ours is called. Who
 * opens the file decides, so it must not be opened again by somebody else.
 */
static void places_in_memory(void)
{
    static const char *const again[] = {"/proc/self/fd/%d", "/dev/fd/%d",
                                        "/proc/thread-self/fd/%d"};
    int fd = open("/proc/self/pagemap", O_RDONLY), other;

    if (fd < 0)
        guest_skip("the host has no pagemap");
    look_for_places(fd);
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        char path[64];

        snprintf(path, sizeof(path), again[i], fd);
        other = open(path, O_RDONLY);
        if (other >= 0)
            look_for_places(other);
        attack_tried(path, other >= 0 ? "shows no more" : strerrorname_np(errno));
    }
    DENIED(open("/proc/1/pagemap", O_RDONLY));
}

static const struct guest_case cases[] = {
    {"signals", signals},
    {"by-descriptor", by_descriptor},
    {"owner-of-signals", owner_of_signals},
    {"tracing", tracing},
    {"own-child", own_child},
    {"memory", memory},
    {"files-in-proc", files_in_proc},
    {"everything-in-proc", everything_in_proc},
    {"parent-number", parent_number},
    {"settings", settings},
    {"by-user", by_user},
    {"watching", watching},
    {"places-in-memory", places_in_memory},
};

GUEST_MAIN(cases)

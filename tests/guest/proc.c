/* What /proc tells a program about itself, its relatives and the system. */
#include "guest.h"

#include <dirent.h>
#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static bool contains(const char *path, const char *text)
{
    return strstr(guest_read(path), text) != NULL;
}

static void self(void)
{
    CHECK_TEXT(guest_link("/proc/self"), guest_format("%d", getpid()));
    CHECK_TEXT(guest_link("/proc/thread-self"), guest_format("%d/task/%d", getpid(), gettid()));
    CHECK_TEXT(guest_link("/proc/self/exe"), guest_program("proc"));
    CHECK_TEXT(guest_link("/proc/self/cwd"), guest_cwd());
    CHECK_TEXT(guest_link("/proc/self/root"), "/");
    CHECK_TEXT(guest_link(guest_format("/proc/%d/exe", getpid())), guest_program("proc"));
}

static void links_of_descriptors(void)
{
    int ends[2];
    int fd;

    guest_write("file", "x");
    fd = (int)OK(open("file", O_RDONLY));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)),
               guest_format("%s/file", guest_cwd()));
    fd = (int)OK(open(".", O_RDONLY));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)), guest_cwd());
    fd = (int)OK(open("/dev/null", O_RDONLY));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)), "/dev/null");
    fd = (int)OK(open("/proc/self/status", O_RDONLY));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)),
               guest_format("/proc/%d/status", getpid()));
    fd = (int)OK(open("/proc", O_RDONLY));
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)), "/proc");
    OK(pipe(ends));
    CHECK(strncmp(guest_link(guest_format("/proc/self/fd/%d", ends[0])), "pipe:[", 6) == 0);
}

static void descriptor_information(void)
{
    int fd;

    guest_write("file", "0123456789");
    fd = (int)OK(open("file", O_RDONLY | O_CLOEXEC));
    OK(lseek(fd, 7, SEEK_SET));
    CHECK(contains(guest_format("/proc/self/fdinfo/%d", fd), "pos:\t7\n"));
    CHECK(contains(guest_format("/proc/self/fdinfo/%d", fd), "flags:\t02100000\n") ||
          contains(guest_format("/proc/self/fdinfo/%d", fd), "flags:\t02"));
}

static void maps(void)
{
    char *text = guest_read("/proc/self/maps");
    char *line;
    char *save = NULL;
    int lines = 0;

    CHECK(strstr(text, guest_program("proc")) != NULL);
    CHECK(strstr(text, "[stack]") && strstr(text, "[vdso]") && strstr(text, "libc"));
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
        unsigned long from;
        unsigned long to;
        unsigned long offset;
        char rights[5];
        char device[16];

        CHECK_EQ(sscanf(line, "%lx-%lx %4s %lx %15s", &from, &to, rights, &offset, device), 5);
        CHECK(from < to && (rights[3] == 'p' || rights[3] == 's'));
        /* What starts programs has no place in a program's own list. */
        CHECK(strstr(line, "cerebro-loader") == NULL);
    }
    CHECK(lines > 8);
}

static void map_of_own_function(void)
{
    char *text = guest_read("/proc/self/maps");
    char *line;
    char *save = NULL;

    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned long from;
        unsigned long to;
        char rights[5];

        sscanf(line, "%lx-%lx %4s", &from, &to, rights);
        if (from <= (unsigned long)maps && (unsigned long)maps < to) {
            CHECK_TEXT(rights, "r-xp");
            CHECK(strstr(line, guest_program("proc")) != NULL);
            return;
        }
    }
    FAIL("own code is not in the list");
}

static long field(const char *text, const char *name)
{
    const char *found = strstr(text, name);

    if (found == NULL)
        FAIL("%s is not there", name);
    return strtol(found + strlen(name), NULL, 10);
}

static void status(void)
{
    char *text = guest_read("/proc/self/status");

    CHECK(strncmp(text, "Name:\tproc\n", 11) == 0);
    CHECK_EQ(field(text, "\nPid:"), getpid());
    CHECK_EQ(field(text, "\nTgid:"), getpid());
    CHECK_EQ(field(text, "\nPPid:"), getppid());
    CHECK_EQ(field(text, "\nUid:"), getuid());
    CHECK_EQ(field(text, "\nGid:"), getgid());
    CHECK_EQ(field(text, "\nThreads:"), 1);
    CHECK(field(text, "\nVmRSS:") > 100);
    CHECK(field(text, "\nVmSize:") > 100);
    CHECK(strstr(text, "\nState:\tR (running)\n") != NULL);
    CHECK(strstr(text, "\nSigCgt:") && strstr(text, "\nCapEff:") &&
          strstr(text, "\nCpus_allowed:"));
    CHECK_EQ(field(text, "\nTracerPid:"), 0);
}

static void stat_line(void)
{
    char *text = guest_read("/proc/self/stat");
    char name[32];
    char state;
    int pid;
    int parent;
    int group;
    int session;

    CHECK_EQ(
        sscanf(text, "%d (%31[^)]) %c %d %d %d", &pid, name, &state, &parent, &group, &session), 6);
    CHECK_EQ(pid, getpid());
    CHECK_TEXT(name, "proc");
    CHECK_EQ(parent, getppid());
    CHECK_EQ(group, getpgrp());
    CHECK_EQ(session, getsid(0));
    CHECK_EQ(state, 'R');
    CHECK_EQ(strtol(guest_read("/proc/self/statm"), NULL, 10) > 100, 1);
}

static void names(void)
{
    char name[17] = "";
    int fd;

    CHECK_TEXT(guest_read("/proc/self/comm"), "proc\n");
    OK(prctl(PR_SET_NAME, "renamed"));
    CHECK_TEXT(guest_read("/proc/self/comm"), "renamed\n");
    fd = (int)OK(open("/proc/self/comm", O_WRONLY));
    CHECK_EQ(write(fd, "written-by-name", 15), 15);
    OK(close(fd));
    OK(prctl(PR_GET_NAME, name));
    CHECK_TEXT(name, "written-by-name");
    CHECK(contains("/proc/self/status", "Name:\twritten-by-name\n"));
    CHECK(contains("/proc/self/stat", "(written-by-name)"));
}

static void command_line(void)
{
    char *out = guest_output(
        (char *[]){"/bin/sh", "-c", "tr '\\0' '|' </proc/$$/cmdline; :", "a b", "", "c", NULL},
        NULL);

    CHECK_TEXT(out, "/bin/sh|-c|tr '\\0' '|' </proc/$$/cmdline; :|a b||c|");
    guest_write("script", "#!/bin/sh -e\ntr '\\0' '|' </proc/$$/cmdline\n:\n");
    OK(chmod("script", 0755));
    out = guest_output((char *[]){"./script", "one", NULL}, NULL);
    CHECK_TEXT(out, "/bin/sh|-e|./script|one|");
    out = guest_output((char *[]){"/usr/bin/env", "-i", "A=1", "B=2", "/bin/sh", "-c",
                                  "tr '\\0' '|' </proc/$$/environ; :", NULL},
                       NULL);
    CHECK_TEXT(out, "A=1|B=2|");
}

static void auxiliary_vector(void)
{
    unsigned long pair[2] = {1, 1};
    bool found = false;
    int fd = (int)OK(open("/proc/self/auxv", O_RDONLY));

    while (pair[0] != AT_NULL && read(fd, pair, sizeof(pair)) == sizeof(pair))
        found |= pair[0] == AT_PAGESZ && pair[1] == 4096;
    CHECK(found);
}

static void mounts(void)
{
    char *text = guest_read("/proc/self/mountinfo");
    char *save = NULL;
    char *line;
    bool root = false;

    CHECK(strstr(text, " /proc ") && strstr(text, " - proc "));
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int id;
        int parent;
        unsigned major;
        unsigned minor;
        char source[512];
        char target[512];

        CHECK_EQ(
            sscanf(line, "%d %d %u:%u %511s %511s", &id, &parent, &major, &minor, source, target),
            6);
        root |= strcmp(target, "/") == 0;
        CHECK(strstr(line, " - ") != NULL);
    }
    CHECK(root);
    CHECK(contains("/proc/mounts", " / ") && contains("/proc/self/mounts", " /proc proc "));
}

static void *idle(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME, "idle-thread");
    for (;;)
        pause();
    return NULL;
}

static int count_entries(const char *path)
{
    struct dirent *entry;
    int count = 0;
    DIR *dir = opendir(path);

    CHECK(dir != NULL);
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void threads(void)
{
    struct dirent *entry;
    pthread_t thread;
    bool found = false;
    DIR *dir;

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread, NULL, idle, NULL), 0);
    guest_sleep_ms(100);
    CHECK_EQ(count_entries("/proc/self/task"), 4);
    CHECK_EQ(field(guest_read("/proc/self/status"), "\nThreads:"), 4);
    dir = opendir("/proc/self/task");
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' &&
            contains(guest_format("/proc/self/task/%s/comm", entry->d_name), "idle-thread\n"))
            found = true;
    CHECK(found);
}

static void relatives(void)
{
    pid_t pid = (pid_t)OK(fork());
    char *text;

    if (pid == 0) {
        prctl(PR_SET_NAME, "the-child");
        OK(mkdir("dir", 0777));
        OK(chdir("dir"));
        for (;;)
            pause();
    }
    guest_sleep_ms(100);
    text = guest_read(guest_format("/proc/%d/status", pid));
    CHECK(strncmp(text, "Name:\tthe-child\n", 16) == 0);
    CHECK_EQ(field(text, "\nPPid:"), getpid());
    CHECK(strstr(text, "State:\tS") != NULL);
    CHECK_TEXT(guest_link(guest_format("/proc/%d/cwd", pid)), guest_format("%s/dir", guest_cwd()));
    CHECK_TEXT(guest_link(guest_format("/proc/%d/exe", pid)), guest_program("proc"));
    OK(kill(pid, SIGKILL));
    guest_sleep_ms(50);
    CHECK(contains(guest_format("/proc/%d/status", pid), "State:\tZ"));
    guest_wait(pid);
    FAILS(open(guest_format("/proc/%d/status", pid), O_RDONLY), ENOENT);
    FAILS(open(guest_format("/proc/%d", pid), O_RDONLY), ENOENT);
}

static void file_of_a_dead_process(void)
{
    char buffer[64];
    pid_t pid = (pid_t)OK(fork());
    int dir;

    if (pid == 0)
        for (;;)
            pause();
    dir = (int)OK(open(guest_format("/proc/%d", pid), O_RDONLY | O_DIRECTORY));
    OK(kill(pid, SIGKILL));
    guest_wait(pid);
    CHECK(openat(dir, "status", O_RDONLY) < 0 && (errno == ENOENT || errno == ESRCH));
    CHECK(readlinkat(dir, "exe", buffer, sizeof(buffer)) < 0);
}

static void small_files(void)
{
    CHECK(contains("/proc/self/limits", "Max open files"));
    CHECK(contains("/proc/self/io", "rchar:"));
    CHECK(contains("/proc/self/smaps_rollup", "Rss:"));
    CHECK_EQ(strtol(guest_read("/proc/self/oom_score_adj"), NULL, 10) >= -1000, 1);
    guest_read("/proc/self/cgroup");
    CHECK(strchr(guest_read("/proc/self/cgroup"), ':') != NULL);
}

static void system_files(void)
{
    struct utsname name;
    double first;
    double second;

    OK(uname(&name));
    CHECK(contains("/proc/meminfo", "MemTotal:") && contains("/proc/meminfo", "MemAvailable:"));
    CHECK(contains("/proc/cpuinfo", "processor\t: 0") && contains("/proc/cpuinfo", "flags\t\t:"));
    CHECK(strncmp(guest_read("/proc/stat"), "cpu  ", 5) == 0);
    CHECK(contains("/proc/stat", "\nbtime ") && contains("/proc/stat", "\ncpu0 "));
    CHECK_EQ(sscanf(guest_read("/proc/uptime"), "%lf %lf", &first, &second), 2);
    CHECK(first > 0);
    CHECK_EQ(sscanf(guest_read("/proc/loadavg"), "%lf %lf", &first, &second), 2);
    CHECK(contains("/proc/version", guest_format("Linux version %s ", name.release)));
    CHECK(contains("/proc/filesystems", "nodev\tproc\n"));
    guest_read("/proc/cmdline");
}

static void system_settings(void)
{
    struct utsname name;

    OK(uname(&name));
    CHECK_TEXT(guest_read("/proc/sys/kernel/ostype"), "Linux\n");
    CHECK_TEXT(guest_read("/proc/sys/kernel/osrelease"), guest_format("%s\n", name.release));
    CHECK_TEXT(guest_read("/proc/sys/kernel/hostname"), guest_format("%s\n", name.nodename));
    CHECK(strtol(guest_read("/proc/sys/kernel/pid_max"), NULL, 10) >= 32768);
    CHECK(strtol(guest_read("/proc/sys/kernel/cap_last_cap"), NULL, 10) >= 37);
    CHECK_EQ(strlen(guest_read("/proc/sys/kernel/random/uuid")), 37);
    CHECK(strcmp(guest_read("/proc/sys/kernel/random/uuid"),
                 guest_read("/proc/sys/kernel/random/uuid")) != 0);
    CHECK_TEXT(guest_read("/proc/sys/kernel/random/boot_id"),
               guest_read("/proc/sys/kernel/random/boot_id"));
    CHECK(strtol(guest_read("/proc/sys/vm/max_map_count"), NULL, 10) > 1000);
    guest_read("/proc/sys/vm/overcommit_memory");
    CHECK(strtol(guest_read("/proc/sys/fs/file-max"), NULL, 10) > 0);
    CHECK(strtol(guest_read("/proc/sys/fs/pipe-max-size"), NULL, 10) > 0);
    CHECK(strtol(guest_read("/proc/sys/net/core/somaxconn"), NULL, 10) > 0);
}

static void not_there(void)
{
    FAILS(open("/proc/nonsense", O_RDONLY), ENOENT);
    FAILS(open("/proc/self/nonsense", O_RDONLY), ENOENT);
    FAILS(open("/proc/self/status/x", O_RDONLY), ENOTDIR);
    FAILS(open("/proc/new", O_WRONLY | O_CREAT, 0666), ENOENT);
    FAILS(open("/proc/self/fd/99", O_WRONLY | O_CREAT | O_EXCL, 0666), ENOENT);
    FAILS(open("/proc/sys/kernel/new", O_WRONLY | O_CREAT, 0666), ENOENT);
    FAILS(mkdir("/proc/self/new", 0777), ENOENT);
    FAILS(mkdir("/proc/self", 0777), EEXIST);
    FAILS(symlink("x", "/proc/new"), ENOENT);
    FAILS(mknod("/proc/new", S_IFIFO | 0666, 0), ENOENT);
    FAILS(link("/proc/self/status", "/proc/new"), ENOENT);
    FAILS(rename("/proc/self/status", "/proc/self/new"), ENOENT);
    CHECK(unlink("/proc/self/status") < 0);
    CHECK(rename("/proc/self/status", "/proc/self/stat") < 0);
    FAILS(unlink("/proc/new"), ENOENT);
    CHECK(access("/proc/self/status", R_OK) == 0);
    FAILS(open("/proc/00001", O_RDONLY), ENOENT);
    FAILS(open("/proc/-1", O_RDONLY), ENOENT);
}

static void kept_open(void)
{
    char first[512] = "";
    char second[512] = "";
    int fd = (int)OK(open("/proc/self/stat", O_RDONLY));

    OK(read(fd, first, sizeof(first) - 1));
    OK(prctl(PR_SET_NAME, "later"));
    OK(lseek(fd, 0, SEEK_SET));
    OK(read(fd, second, sizeof(second) - 1));
    /* A file of /proc is made anew when it is read from the start. */
    CHECK(strstr(second, "(later)") != NULL);
}

static void timer_slack(void)
{
    unsigned long before = (unsigned long)OK(prctl(PR_GET_TIMERSLACK));
    int fd = (int)OK(open("/proc/self/timerslack_ns", O_RDWR));

    CHECK_EQ(strtoul(guest_read("/proc/self/timerslack_ns"), NULL, 10), before);
    OK(prctl(PR_SET_TIMERSLACK, 12345));
    CHECK_TEXT(guest_read("/proc/self/timerslack_ns"), "12345\n");
    OK(write(fd, "777\n", 4));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 777);
    FAILS(write(fd, "x", 1), EINVAL);
    OK(write(fd, "0", 1));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), before);
}

/* Bit 63: the page is there; the other bits of a page that nobody may place are zero. */
static void page_map(void)
{
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t entries[2];
    int fd = (int)OK(open("/proc/self/pagemap", O_RDONLY));

    CHECK(pages != MAP_FAILED);
    pages[4096] = 1;
    CHECK_EQ(pread(fd, entries, sizeof(entries), (off_t)((uintptr_t)pages / 4096 * 8)),
             sizeof(entries));
    CHECK_EQ(entries[0] >> 63, 0);
    CHECK_EQ(entries[1] >> 63, 1);
    if (geteuid() != 0)
        CHECK_EQ(entries[1] & ((1ULL << 55) - 1), 0);
    if (geteuid() != 0)
        FAILS(open("/proc/self/pagemap", O_WRONLY), EACCES);
}

/* PROCMAP_QUERY and its structure, include/uapi/linux/fs.h of Linux 6.11. */
struct map_query {
    uint64_t size, flags, address, start, end, permissions, page_size, offset, inode;
    uint32_t device_major, device_minor, name_size, build_id_size;
    uint64_t name, build_id;
};
#define MAP_QUERY 0xc0686611UL

static void query_of_maps(void)
{
    char name[4096], wanted[4096];
    ssize_t length = OK(readlink("/proc/self/exe", wanted, sizeof(wanted) - 1));
    int fd = (int)OK(open("/proc/self/maps", O_RDONLY));
    struct map_query query = {.size = sizeof(query),
                              .address = (uint64_t)(uintptr_t)query_of_maps,
                              .name = (uint64_t)(uintptr_t)name,
                              .name_size = sizeof(name)};

    wanted[length] = '\0';
    if (ioctl(fd, MAP_QUERY, &query) < 0 && errno == ENOTTY)
        guest_skip("the host has no PROCMAP_QUERY");
    OK(ioctl(fd, MAP_QUERY, &query));
    CHECK(query.start <= query.address && query.address < query.end);
    CHECK_TEXT(name, wanted);
    CHECK_EQ(query.name_size, strlen(wanted) + 1);
    CHECK_EQ(query.permissions, 5);
    CHECK(query.inode != 0);
    query.name_size = 2;
    FAILS(ioctl(fd, MAP_QUERY, &query), ENAMETOOLONG);
    query.name_size = 0;
    FAILS(ioctl(fd, MAP_QUERY, &query), EINVAL);
    query.name = 0;
    query.flags = 2; /* writable, which this mapping is not */
    FAILS(ioctl(fd, MAP_QUERY, &query), ENOENT);
    query.flags |= 16; /* or the next that is */
    OK(ioctl(fd, MAP_QUERY, &query));
    CHECK(query.permissions & 2);
    query.flags = 64;
    FAILS(ioctl(fd, MAP_QUERY, &query), EINVAL);
    query.size = 8;
    FAILS(ioctl(fd, MAP_QUERY, &query), EINVAL);
    query.size = 5000;
    FAILS(ioctl(fd, MAP_QUERY, &query), E2BIG);
    FAILS(ioctl(fd, MAP_QUERY, 1), EFAULT);
    FAILS(ioctl(fd, MAP_QUERY + 1, &query), ENOTTY);
}

/* A directory of /proc stands for its process, as a pidfd does. */
static void signals_through_directories(void)
{
    int fd = (int)OK(open("/proc/self", O_RDONLY | O_DIRECTORY));
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    OK(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, getpid());
    FAILS(syscall(SYS_pidfd_send_signal, fd, 999, NULL, 0), EINVAL);
    fd = (int)OK(open("/proc/self/task", O_RDONLY | O_DIRECTORY));
    FAILS(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0), EBADF);
    if (geteuid() == 0)
        guest_skip("root may signal init");
    fd = (int)OK(open("/proc/1", O_RDONLY | O_DIRECTORY));
    FAILS(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0), EPERM);
}

static const struct guest_case cases[] = {
    {"self", self},
    {"links-of-descriptors", links_of_descriptors},
    {"descriptor-information", descriptor_information},
    {"maps", maps},
    {"map-of-own-function", map_of_own_function},
    {"status", status},
    {"stat-line", stat_line},
    {"names", names},
    {"command-line", command_line},
    {"auxiliary-vector", auxiliary_vector},
    {"mounts", mounts},
    {"threads", threads},
    {"relatives", relatives},
    {"file-of-a-dead-process", file_of_a_dead_process},
    {"small-files", small_files},
    {"system-files", system_files},
    {"system-settings", system_settings},
    {"not-there", not_there},
    {"kept-open", kept_open},
    {"timer-slack", timer_slack},
    {"page-map", page_map},
    {"query-of-maps", query_of_maps},
    {"signals-through-directories", signals_through_directories},
};

GUEST_MAIN(cases)

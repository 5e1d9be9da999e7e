/* What a process sets and asks about itself: prctl, limits, system facts. */
#include "guest.h"

#include <dirent.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void names(void)
{
    char name[17] = "";

    OK(prctl(PR_GET_NAME, name));
    CHECK_TEXT(name, "process");
    OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
    OK(prctl(PR_GET_NAME, name));
    CHECK_TEXT(name, "a-name-that-is-");
}

static void dumpable(void)
{
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    guest_write("file", "still works");
    guest_content("file", "still works");
    OK(prctl(PR_SET_DUMPABLE, 1));
    FAILS(prctl(PR_SET_DUMPABLE, 7), EINVAL);
    guest_output((char *[]){"/bin/true", NULL}, NULL);
}

/* Its files in /proc belong to root then; what is its own it sees all the same. */
static void not_dumpable(void)
{
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    OK(prctl(PR_SET_DUMPABLE, 0));
    OK(access("/proc/self/fd", R_OK | X_OK));
    dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    CHECK(count >= 3);
    guest_link("/proc/self/fd/0");
    if (geteuid() != 0) {
        FAILS(open("/proc/self/environ", O_RDONLY), EACCES);
        FAILS(access("/proc/self/environ", R_OK), EACCES);
    }
}

static void other_prctls(void)
{
    int value = 0;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    OK(prctl(PR_GET_CHILD_SUBREAPER, &value));
    CHECK_EQ(value, 1);
    OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    OK(prctl(PR_GET_PDEATHSIG, &value));
    CHECK_EQ(value, SIGUSR1);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    OK(prctl(PR_SET_TIMERSLACK, 50000));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 50000);
    FAILS(prctl(987654), EINVAL);
}

static void subreaper(void)
{
    int ends[2];
    pid_t orphan;
    pid_t pid;

    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    OK(pipe(ends));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        orphan = fork();
        if (orphan == 0) {
            guest_sleep_ms(50);
            _exit(9);
        }
        write(ends[1], &orphan, sizeof(orphan));
        _exit(0);
    }
    guest_join(pid);
    CHECK_EQ(read(ends[0], &orphan, sizeof(orphan)), sizeof(orphan));
    CHECK_EQ(guest_wait(orphan), 9 << 8);
}

static void death_of_the_parent(void)
{
    int ends[2];
    char byte;
    pid_t pid;

    OK(pipe(ends));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(ends[0]);
            write(ends[1], "x", 1);
            for (;;)
                pause();
        }
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        _exit(0);
    }
    OK(close(ends[1]));
    guest_join(pid);
    /* End of file: the grandchild is gone. */
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

static void limits(void)
{
    struct rlimit limit;
    struct rlimit wanted = {100, 200};

    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        OK(getrlimit(resource, &limit));
        CHECK(limit.rlim_cur <= limit.rlim_max);
        OK(setrlimit(resource, &limit));
    }
    FAILS(getrlimit(RLIM_NLIMITS, &limit), EINVAL);
    FAILS(setrlimit(99, &limit), EINVAL);
    OK(setrlimit(RLIMIT_NOFILE, &wanted));
    OK(getrlimit(RLIMIT_NOFILE, &limit));
    CHECK_EQ(limit.rlim_cur * 1000 + limit.rlim_max, 100200);
    wanted.rlim_cur = 300;
    FAILS(setrlimit(RLIMIT_NOFILE, &wanted), EINVAL);
}

/* RLIMIT_LOCKS has no meaning since Linux 2.4.25, but it is kept and inherited. */
static void lock_limit(void)
{
    struct rlimit limit = {123, 456};
    pid_t pid;

    OK(setrlimit(RLIMIT_LOCKS, &limit));
    OK(mkdir("dir", 0777));
    OK(chdir("dir"));
    umask(077);
    memset(&limit, 0, sizeof(limit));
    OK(getrlimit(RLIMIT_LOCKS, &limit));
    CHECK_EQ(limit.rlim_cur * 1000 + limit.rlim_max, 123456);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        OK(getrlimit(RLIMIT_LOCKS, &limit));
        CHECK_EQ(limit.rlim_cur, 123);
        CHECK(strstr(guest_cwd(), "/dir") != NULL);
        _exit(0);
    }
    guest_join(pid);
}

static void limits_of_a_child(void)
{
    struct rlimit wanted = {77, 88};
    struct rlimit limit;
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        for (;;)
            pause();
    OK(prlimit(pid, RLIMIT_CORE, &wanted, NULL));
    OK(prlimit(pid, RLIMIT_CORE, NULL, &limit));
    CHECK_EQ(limit.rlim_cur, 77);
    OK(prlimit(0, RLIMIT_NOFILE, NULL, &limit));
    OK(kill(pid, SIGKILL));
    guest_wait(pid);
}

static void file_size_limit(void)
{
    struct rlimit limit = {1000, 1000};
    char data[2000] = "";
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    signal(SIGXFSZ, SIG_IGN);
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_EQ(write(fd, data, sizeof(data)), 1000);
    FAILS(write(fd, data, 1), EFBIG);
    FAILS(ftruncate(fd, 5000), EFBIG);
    FAILS(truncate("file", 5000), EFBIG);
}

static void system_facts(void)
{
    struct utsname name;
    struct sysinfo info;
    char host[65] = "";

    OK(uname(&name));
    CHECK_TEXT(name.sysname, "Linux");
    CHECK_TEXT(name.machine, "x86_64");
    CHECK(name.nodename[0] && name.release[0] >= '3' && name.version[0]);
    OK(gethostname(host, sizeof(host)));
    CHECK_TEXT(host, name.nodename);
    OK(sysinfo(&info));
    CHECK(info.totalram > 0 && info.freeram <= info.totalram && info.uptime > 0);
    CHECK(info.procs > 0 && info.mem_unit > 0);
    CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    CHECK(sysconf(_SC_NPROCESSORS_CONF) >= sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(sysconf(_SC_PHYS_PAGES) > 1000);
}

static void usage(void)
{
    struct rusage own;
    struct rusage all;
    struct tms times_buf;
    clock_t end = clock() + CLOCKS_PER_SEC / 20;

    while (clock() < end)
        getppid();
    OK(getrusage(RUSAGE_SELF, &own));
    OK(getrusage(RUSAGE_CHILDREN, &all));
    CHECK(own.ru_utime.tv_usec + own.ru_stime.tv_usec + own.ru_utime.tv_sec > 0);
    CHECK(own.ru_maxrss > 100);
    CHECK(times(&times_buf) != (clock_t)-1);
}

static void scheduling(void)
{
    cpu_set_t set;

    OK(sched_getaffinity(0, sizeof(set), &set));
    CHECK(CPU_COUNT(&set) >= 1);
    OK(sched_setaffinity(0, sizeof(set), &set));
    OK(sched_yield());
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), getpriority(PRIO_PROCESS, 0));
    OK(setpriority(PRIO_PROCESS, 0, 5));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK(sched_getcpu() >= 0);
}

static void clocks(void)
{
    struct timespec before;
    struct timespec after;
    struct timespec pause_time = {0, 20000000};

    OK(clock_gettime(CLOCK_MONOTONIC, &before));
    OK(clock_nanosleep(CLOCK_MONOTONIC, 0, &pause_time, NULL));
    OK(clock_gettime(CLOCK_MONOTONIC, &after));
    CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >=
          20000000);
    CHECK(time(NULL) > 1600000000);
}

static void randomness(void)
{
    unsigned char first[32];
    unsigned char second[32];

    CHECK_EQ(getrandom(first, 32, 0), 32);
    CHECK_EQ(getrandom(second, 32, GRND_NONBLOCK), 32);
    CHECK(memcmp(first, second, 32) != 0);
    CHECK(personality(0xffffffff) >= 0);
}

static void numbers(void)
{
    pid_t parent = getpid();
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        CHECK_EQ(getppid(), parent);
        CHECK_EQ(getpgrp(), getpgid(parent));
        CHECK_EQ(getsid(0), getsid(parent));
        CHECK_EQ(gettid(), getpid());
        _exit(0);
    }
    guest_join(pid);
}

/* Personalities of other systems are a number for the host, also across exec. */
static void personalities(void)
{
    static const unsigned long values[] = {PER_LINUX,       PER_LINUX_32BIT,  PER_SVR4, PER_BSD,
                                           PER_LINUX32,     PER_HPUX,         UNAME26,  0,
                                           STICKY_TIMEOUTS, ADDR_NO_RANDOMIZE};
    int status;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        OK(personality(values[i]));
        CHECK_EQ(personality(0xffffffff), values[i]);
        guest_output((char *[]){"/bin/true", NULL}, &status);
        CHECK_EQ(status, 0);
    }
}

static void personality_and_names(void)
{
    struct utsname before, after;

    OK(uname(&before));
    OK(personality(UNAME26));
    OK(uname(&after));
    CHECK(strncmp(after.release, "2.6.", 4) == 0);
    OK(personality(PER_LINUX32));
    OK(uname(&after));
    CHECK_TEXT(after.machine, "i686");
    CHECK_TEXT(after.release, before.release);
    OK(personality(PER_LINUX));
    OK(uname(&after));
    CHECK_TEXT(after.machine, before.machine);
}

/* What is wrong with a time is told before who may set it. */
static void setting_clocks(void)
{
    FAILS(settimeofday(&(struct timeval){-1, 0}, NULL), EINVAL);
    FAILS(settimeofday(&(struct timeval){0, 1000001}, NULL), EINVAL);
    FAILS(syscall(SYS_settimeofday, 8, NULL), EFAULT);
    FAILS(clock_settime(CLOCK_REALTIME, &(struct timespec){0, -1}), EINVAL);
    FAILS(clock_settime(CLOCK_MONOTONIC, &(struct timespec){0, 0}), EINVAL);
    FAILS(syscall(SYS_clock_settime, CLOCK_REALTIME, 8), EFAULT);
    FAILS(adjtimex(&(struct timex){.modes = 0x8000}), EINVAL);
    if (geteuid() == 0)
        guest_skip("root might set the clock");
    FAILS(clock_settime(CLOCK_REALTIME, &(struct timespec){1, 0}), EPERM);
    FAILS(settimeofday(&(struct timeval){1, 0}, NULL), EPERM);
}

static void file_system_types(void)
{
    char name[64] = "";
    long count = syscall(SYS_sysfs, 3);

    if (count < 0 && errno == ENOSYS)
        guest_skip("no sysfs() on this kernel");
    CHECK(count > 0);
    for (long i = 0; i < count; i++) {
        OK(syscall(SYS_sysfs, 2, i, name));
        CHECK_EQ(syscall(SYS_sysfs, 1, name), i);
    }
    CHECK(syscall(SYS_sysfs, 1, "proc") >= 0);
    FAILS(syscall(SYS_sysfs, 2, count, name), EINVAL);
    FAILS(syscall(SYS_sysfs, 1, "none-such"), EINVAL);
    FAILS(syscall(SYS_sysfs, 1, 8), EFAULT);
    FAILS(syscall(SYS_sysfs, 4), EINVAL);
}

static void impossible_numbers(void)
{
    struct sched_param parameter = {0};

    FAILS(getpriority(PRIO_PROCESS, (id_t)-1), ESRCH);
    FAILS(setpriority(PRIO_PROCESS, (id_t)-1, 0), ESRCH);
    FAILS(sched_setscheduler(-1, SCHED_OTHER, &parameter), EINVAL);
}

/* A child may be looked into, as gdb and others do; memory comes from where it says. */
static void memory_of_a_child(void)
{
    static char shared_name[] = "the parent's";
    char copy[sizeof(shared_name)] = "", text[] = "the changed!";
    struct iovec own = {copy, sizeof(copy)}, change = {text, sizeof(shared_name)};
    struct iovec theirs = {shared_name, sizeof(shared_name)};
    int gate[2];
    pid_t pid;

    OK(pipe(gate));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        memcpy(shared_name, "the child's", 12);
        OK(write(gate[1], "x", 1));
        for (;;)
            pause();
    }
    OK(read(gate[0], copy, 1));
    CHECK_EQ(process_vm_readv(pid, &own, 1, &theirs, 1, 0), sizeof(copy));
    CHECK_TEXT(copy, "the child's");
    CHECK_EQ(process_vm_writev(pid, &change, 1, &theirs, 1, 0), sizeof(copy));
    CHECK_EQ(process_vm_readv(pid, &own, 1, &theirs, 1, 0), sizeof(copy));
    CHECK_TEXT(copy, "the changed!");
    CHECK_EQ(syscall(SYS_kcmp, getpid(), pid, 0, gate[0], gate[0]), 0); /* KCMP_FILE */
    CHECK(syscall(SYS_kcmp, getpid(), pid, 0, gate[0], gate[1]) > 0);
    FAILS(syscall(SYS_kcmp, getpid(), 0x3fffff, 0, 0, 0), ESRCH);
    FAILS(process_vm_readv(-1, &own, 1, &theirs, 1, 0), ESRCH);
    OK(kill(pid, SIGKILL));
    guest_wait(pid);
}

/* There is always a process 1, and it is root's. */
static void process_one(void)
{
    struct sched_param param = {.sched_priority = 99};
    struct rlimit limit;
    int group;
    char *stat = guest_read("/proc/1/stat");

    CHECK(strncmp(stat, "1 (", 3) == 0);
    CHECK_EQ(sscanf(strrchr(stat, ')'), ") %*c 0 %d", &group), 1);
    CHECK_EQ(group, OK(getpgid(1)));
    OK(getsid(1));
    OK(sched_getscheduler(1));
    errno = 0;
    getpriority(PRIO_PROCESS, 1);
    CHECK_EQ(errno, 0);
    CHECK(strlen(guest_read("/proc/1/comm")) > 1);
    CHECK(strstr(guest_read("/proc/1/status"), "\nPid:\t1\n") != NULL);
    FAILS(sched_setscheduler(1, SCHED_OTHER, &param), EINVAL);
    FAILS(sched_setscheduler(1, 99, &param), EINVAL);
    FAILS(sched_setscheduler(1, SCHED_OTHER, (struct sched_param *)1), EFAULT);
    if (geteuid() == 0)
        guest_skip("root may do more");
    param.sched_priority = 0;
    FAILS(sched_setscheduler(1, SCHED_OTHER, &param), EPERM);
    FAILS(setpriority(PRIO_PROCESS, 1, 1), EPERM);
    FAILS(prlimit(1, RLIMIT_CPU, NULL, &limit), EPERM);
    FAILS(kill(1, 0), EPERM);
    FAILS(kill(1, SIGKILL), EPERM);
    FAILS(syscall(SYS_tgkill, 1, 1, 0), EPERM);
    FAILS(open("/proc/1/environ", O_RDONLY), EACCES);
    FAILS(open("/proc/1/fd", O_RDONLY), EACCES);
    FAILS(readlink("/proc/1/exe", stat, 1), EACCES);
    FAILS(open("/proc/1/root/etc", O_RDONLY), EACCES);
}

static int wait_for_byte(void *descriptor)
{
    char byte;

    return read((int)(intptr_t)descriptor, &byte, 1) == 1 ? 0 : 1;
}

/* Processes that share a working directory (CLONE_FS) share it for kcmp, too. */
static void shared_directories(void)
{
    static char stacks[2][16384];
    int pipes[2], status, children[2];
    pid_t self = getpid();

    OK(pipe(pipes));
    for (int i = 0; i < 2; i++)
        children[i] = (int)OK(clone(wait_for_byte, stacks[i] + sizeof(stacks[i]),
                                    (i ? CLONE_FS : 0) | SIGCHLD, (void *)(intptr_t)pipes[0]));
    CHECK(OK(syscall(SYS_kcmp, self, children[0], KCMP_FS, 0, 0)) != 0);
    CHECK_EQ(syscall(SYS_kcmp, self, children[1], KCMP_FS, 0, 0), 0);
    CHECK_EQ(syscall(SYS_kcmp, children[1], self, KCMP_FS, 0, 0), 0);
    CHECK(OK(syscall(SYS_kcmp, children[0], children[1], KCMP_FS, 0, 0)) != 0);
    OK(write(pipes[1], "xx", 2));
    for (int i = 0; i < 2; i++) {
        OK(waitpid(children[i], &status, 0));
        CHECK_EQ(status, 0);
    }
}

static const struct guest_case cases[] = {
    {"names", names},
    {"dumpable", dumpable},
    {"not-dumpable", not_dumpable},
    {"other-prctls", other_prctls},
    {"subreaper", subreaper},
    {"death-of-the-parent", death_of_the_parent},
    {"limits", limits},
    {"lock-limit", lock_limit},
    {"limits-of-a-child", limits_of_a_child},
    {"file-size-limit", file_size_limit},
    {"system-facts", system_facts},
    {"usage", usage},
    {"scheduling", scheduling},
    {"clocks", clocks},
    {"randomness", randomness},
    {"numbers", numbers},
    {"personalities", personalities},
    {"personality-and-names", personality_and_names},
    {"setting-clocks", setting_clocks},
    {"file-system-types", file_system_types},
    {"impossible-numbers", impossible_numbers},
    {"memory-of-a-child", memory_of_a_child},
    {"process-one", process_one},
    {"shared-directories", shared_directories},
};

GUEST_MAIN(cases)

/*
 * Holding limits on a whole tree. A cgroup holds them exactly; it is used where one can be made
 * (cgroup v2 below our own group, or the v1 controllers). Without one, memory falls back to a limit
 * per process and the number of processes to RLIMIT_NPROC, which counts all of the user's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

/* 64 for the window of kernel-served descriptors, the rest for the program. */
#define OPEN_FILES_NEEDED 128

#define CGROUPS      "/sys/fs/cgroup"
#define GROUP_PREFIX "cerebro-"
#define PERIOD_US    100000 /* the host's own for cpu.max */

#define WALL_GRACE_NS 1000000000ULL /* between SIGTERM and the end */

static int write_text(const char *directory, const char *file, const char *text)
{
    char path[512];
    cleanup_close int fd = -1;

    snprintf(path, sizeof(path), "%s/%s", directory, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return io_write_all(fd, text, strlen(text));
}

static int write_number(const char *directory, const char *file, uint64_t number)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return write_text(directory, file, text);
}

/* Finds our own group of a controller ("" names the v2 hierarchy): the path after "ID:LIST:". */
static int own_group(const char *controller, char *path, size_t size)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = io_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text);
    char *save = NULL;

    if (r < 0)
        return r;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':');
        char *group = list ? strchr(list + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *group++ = '\0';
        if (strcmp(list + 1, controller) == 0) {
            snprintf(path, size, "%s", group);
            return 0;
        }
    }
    return -ENOENT;
}

/* The group of a supervisor: below its own one, which is the front's, too. */
static int group_path(const char *mount, const char *controller, pid_t supervisor, char *path,
                      size_t size)
{
    char own[128];
    int r = own_group(controller, own, sizeof(own));

    if (r < 0)
        return r;
    if (snprintf(path, size, "%s%s/" GROUP_PREFIX "%d", mount, strcmp(own, "/") ? own : "",
                 supervisor) >= (int)size)
        return -ENAMETOOLONG;
    return 0;
}

/*
 * Removes what supervisors left that were killed between the end of their guests and their own.
 * A group in which something still runs cannot be removed anyway.
 */
static void remove_stale(const char *group)
{
    char parent[256];
    char *slash;
    struct dirent *entry;

    snprintf(parent, sizeof(parent), "%s", group);
    slash = strrchr(parent, '/');
    *slash = '\0';
    cleanup_dir DIR *directory = opendir(parent);
    while (directory && (entry = readdir(directory))) {
        uint64_t pid;

        if (strncmp(entry->d_name, GROUP_PREFIX, strlen(GROUP_PREFIX)) == 0 &&
            io_parse_u64(entry->d_name + strlen(GROUP_PREFIX), INT_MAX, &pid) == 0 && pid > 0 &&
            kill((pid_t)pid, 0) < 0 && errno == ESRCH)
            unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
    }
}

static int make_group(const char *mount, const char *controller, char *ret_path, size_t size)
{
    char path[256];
    int r = group_path(mount, controller, getpid(), path, sizeof(path));

    if (r < 0)
        return r;
    /* One of that name belongs to a dead process: empty, so it can go. */
    if (mkdir(path, 0755) < 0 && (errno != EEXIST || rmdir(path) < 0 || mkdir(path, 0755) < 0))
        return -errno;
    snprintf(ret_path, size, "%s", path);
    remove_stale(path);
    return 0;
}

static int enter_group(const char *path)
{
    return write_text(path, "cgroup.procs", "0");
}

/* Microseconds of processor time in each tenth of a second. */
static int write_quota(const char *path, uint64_t thousandths)
{
    char text[64];

    snprintf(text, sizeof(text), "%llu %d", (unsigned long long)thousandths * (PERIOD_US / 1000),
             PERIOD_US);
    return write_text(path, "cpu.max", text);
}

/* On every block device that there is; one that takes no limit (no queue of its own) is left. */
static int write_io(const char *path, uint64_t bytes)
{
    cleanup_dir DIR *devices = opendir("/sys/dev/block");
    struct dirent *entry;
    int result = -ENODEV;

    while (devices && (entry = readdir(devices))) {
        char text[128];
        int r;

        if (strchr(entry->d_name, ':') == NULL)
            continue;
        snprintf(text, sizeof(text), "%.32s rbps=%llu wbps=%llu", entry->d_name,
                 (unsigned long long)bytes, (unsigned long long)bytes);
        r = write_text(path, "io.max", text);
        if (r == 0 || result < 0)
            result = r;
    }
    return result;
}

/* cgroup v2: one group for all; needs the controllers delegated to our own group. */
static int hold_unified(const struct pk_limits *limits, struct limits_holder *holder)
{
    char *path = holder->cgroups[0];
    int r;

    /* Where it is mounted elsewhere (hybrid hosts), the v1 hierarchies have the controllers. */
    if (access(CGROUPS "/cgroup.controllers", F_OK) < 0)
        return -ENOENT;
    r = make_group(CGROUPS, "", path, sizeof(holder->cgroups[0]));
    if (r < 0)
        return r;
    if (limits->memory)
        r = write_number(path, "memory.max", limits->memory);
    if (r == 0 && limits->memory)
        write_text(path, "memory.swap.max", "0");
    if (r == 0 && limits->pids)
        r = write_number(path, "pids.max", limits->pids);
    if (r == 0 && limits->cpus_thousandths)
        r = write_quota(path, limits->cpus_thousandths);
    if (r == 0 && limits->io_bytes)
        r = write_io(path, limits->io_bytes);
    if (r < 0) {
        rmdir(path);
        path[0] = '\0';
    }
    return r;
}

/* cgroup v1: one group a controller. */
static int hold_controller(const char *controller, const char *file, uint64_t limit, char *path,
                           size_t size)
{
    char mount[64];
    int r;

    if (limit == 0)
        return 0;
    snprintf(mount, sizeof(mount), CGROUPS "/%s", controller);
    r = make_group(mount, controller, path, size);
    if (r == 0)
        r = write_number(path, file, limit);
    if (r < 0 && path[0]) {
        rmdir(path);
        path[0] = '\0';
    }
    return r;
}

static int set_rlimits(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit limit;

    if (soft == 0)
        return 0;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    if (limit.rlim_max == RLIM_INFINITY || hard < limit.rlim_max)
        limit.rlim_max = hard;
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int set_rlimit(int resource, uint64_t value)
{
    return set_rlimits(resource, value, value);
}

/* SIGXCPU comes first, so that a program can end in its own way; SIGKILL a second later. */
static int set_cpu_limit(uint64_t seconds)
{
    return set_rlimits(RLIMIT_CPU, seconds, seconds + 1);
}

/* Threads of a process of this user. The owner of /proc/PID says less: see PR_SET_DUMPABLE. */
static uint64_t threads_if_ours(const char *pid)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[300];
    const char *uid;
    const char *threads;

    snprintf(path, sizeof(path), "/proc/%s/status", pid);
    if (io_read_file(AT_FDCWD, path, 8192, &text) < 0)
        return 0;
    uid = strstr(strbuf_text(&text), "\nUid:");
    threads = strstr(strbuf_text(&text), "\nThreads:");
    if (uid == NULL || threads == NULL || strtoul(uid + 5, NULL, 10) != getuid())
        return 0;
    return strtoul(threads + 9, NULL, 10);
}

/* How many threads this user has already: RLIMIT_NPROC counts them all. */
static uint64_t threads_of_user(void)
{
    cleanup_dir DIR *proc = opendir("/proc");
    struct dirent *entry;
    uint64_t count = 0;

    while (proc && (entry = readdir(proc))) {
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            count += threads_if_ours(entry->d_name);
    }
    return count;
}

static int hold_pids(const struct pk_limits *limits, struct limits_holder *holder,
                     struct base_error *error)
{
    if (limits->pids == 0 || hold_controller("pids", "pids.max", limits->pids, holder->cgroups[1],
                                             sizeof(holder->cgroups[1])) == 0)
        return 0;
    if (geteuid() == 0)
        return base_fail(error, EOPNOTSUPP,
                         "mount a cgroup hierarchy with the pids controller, or run as a user",
                         "the host cannot limit the number of root's processes");
    holder->process_limit = threads_of_user() + limits->pids;
    return 0;
}

/* Where the reaper has to look. */
static int share_what_is_seen(struct limits_holder *holder, bool measured, struct base_error *error)
{
    if (!holder->process_limit && !holder->data_limit && !holder->limits.wall_ms && !measured)
        return 0;
    holder->seen = mmap(NULL, sizeof(*holder->seen), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (holder->seen != MAP_FAILED) {
        holder->seen->measured = measured;
        return 0;
    }
    holder->seen = NULL;
    return base_fail(error, ENOMEM, NULL, "no memory for the limits");
}

/*
 * Tries to make a process in a way that the host refuses, but only after it has looked at the
 * limit: with a number that is taken or, where clone3 is forbidden (container engines), with no
 * memory for its pidfd. Nothing is made, so nothing is in the way of the guests. Returns the errno.
 */
static int try_process(void)
{
    pid_t taken = 1;
    struct clone_args arguments = {
        .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&taken, .set_tid_size = 1};

    if (syscall(SYS_clone3, &arguments, sizeof(arguments)) < 0 && errno != ENOSYS)
        return errno;
    if (syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, (int *)1, NULL, 0L) == 0)
        _exit(0); /* cannot be */
    return errno;
}

static bool is_full(uint64_t process_limit)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NPROC, &limit) < 0)
        return false;
    limit.rlim_cur = process_limit;
    if (limit.rlim_cur > limit.rlim_max || setrlimit(RLIMIT_NPROC, &limit) < 0)
        return false;
    return try_process() == EAGAIN;
}

/* SIGTERM comes first, so that a program can end in its own way. */
static enum trap_verdict look_at_time(const struct limits_holder *holder)
{
    struct limits_seen *seen = holder->seen;
    uint64_t now = io_now_ns();
    uint64_t up = seen->started + holder->limits.wall_ms * 1000000;

    if (!holder->limits.wall_ms || !seen->started || now < up)
        return TRAP_GO_ON;
    if (now >= up + WALL_GRACE_NS)
        return TRAP_END;
    if (seen->wall)
        return TRAP_GO_ON;
    seen->wall = true;
    return TRAP_ASK_TO_END;
}

/* The limit on each process does not hold their sum. */
static enum trap_verdict look_at_memory(const struct limits_holder *holder)
{
    uint64_t limit = holder->data_limit;

    if (!limit || account_memory(&holder->seen->account, limit) <= limit)
        return TRAP_GO_ON;
    holder->seen->memory = true;
    return TRAP_END;
}

enum trap_verdict limits_look(struct limits_holder *holder, bool ended)
{
    enum trap_verdict verdict;

    /* Who has just ended made room for one. */
    if (holder->process_limit && is_full(holder->process_limit - ended))
        holder->seen->full++;
    if (holder->seen->measured)
        account_usage(&holder->seen->account, &holder->seen->usage);
    verdict = ended ? TRAP_GO_ON : look_at_memory(holder);
    return verdict != TRAP_GO_ON || ended ? verdict : look_at_time(holder);
}

static int hold_memory(const struct pk_limits *limits, struct limits_holder *holder)
{
    if (limits->memory == 0 || hold_controller("memory", "memory.limit_in_bytes", limits->memory,
                                               holder->cgroups[2], sizeof(holder->cgroups[2])) == 0)
        return 0;
    holder->data_limit = limits->memory;
    return 0;
}

/* cgroup v1; nothing else holds it. */
static int hold_cpus(const struct pk_limits *limits, struct limits_holder *holder,
                     struct base_error *error)
{
    if (hold_controller("cpu", "cpu.cfs_quota_us", limits->cpus_thousandths * (PERIOD_US / 1000),
                        holder->cgroups[3], sizeof(holder->cgroups[3])) == 0)
        return 0;
    return base_fail(error, EOPNOTSUPP,
                     "run it as root, or in a session of systemd that delegates the cpu controller "
                     "(systemd-run --user --scope -p Delegate=yes); --limit cpu=SECONDS works "
                     "everywhere",
                     "no control group with the cpu controller can be made here, and nothing else "
                     "holds --limit cpus");
}

static int hold_io(const struct pk_limits *limits, struct base_error *error)
{
    if (limits->io_bytes == 0)
        return 0;
    return base_fail(error, EOPNOTSUPP,
                     "run it as root on a host with cgroup v2, or in a session of systemd that "
                     "delegates the io controller",
                     "no cgroup v2 with the io controller can be made here, and nothing else holds "
                     "--limit io (cgroup v1 does not see what is written through the page cache)");
}

/*
 * Files in memory hold a descriptor of the process kernel each. The guest keeps the user's limit,
 * unless that leaves no room for the window of kernel-served descriptors.
 */
static int raise_open_files(struct limits_holder *holder, struct base_error *error)
{
    struct rlimit *guest = &holder->open_files;
    struct rlimit raised;

    if (getrlimit(RLIMIT_NOFILE, guest) < 0)
        return base_fail(error, errno, NULL, "cannot read the limit on open files");
    if (guest->rlim_max < OPEN_FILES_NEEDED)
        return base_fail(error, EMFILE, "raise it: ulimit -Hn 1024",
                         "the hard limit on open files is %llu, and at least %d are needed",
                         (unsigned long long)guest->rlim_max, OPEN_FILES_NEEDED);
    if (guest->rlim_cur < OPEN_FILES_NEEDED)
        guest->rlim_cur = OPEN_FILES_NEEDED;
    raised = *guest;
    raised.rlim_cur = raised.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &raised) < 0 ? -errno : 0;
}

int limits_prepare(const struct pk_limits *limits, bool measured, struct limits_holder *holder,
                   struct base_error *error)
{
    int r;

    *holder = (struct limits_holder){.limits = *limits};
    r = raise_open_files(holder, error);
    if (r < 0)
        return r;
    if (limits->open_files && limits->open_files < OPEN_FILES_NEEDED)
        return base_fail(error, EINVAL, "allow more with --limit files=N",
                         "a program needs at least %d open files", OPEN_FILES_NEEDED);
    if ((limits->memory || limits->pids || limits->cpus_thousandths || limits->io_bytes) &&
        hold_unified(limits, holder) < 0) {
        r = hold_io(limits, error);
        if (r == 0)
            r = hold_pids(limits, holder, error);
        if (r == 0)
            r = hold_memory(limits, holder);
        if (r == 0)
            r = hold_cpus(limits, holder, error);
    }
    if (r == 0)
        r = share_what_is_seen(holder, measured, error);
    if (r < 0)
        limits_release(holder);
    return r;
}

int limits_enter(struct limits_holder *holder)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < array_length(holder->cgroups); i++)
        if (holder->cgroups[i][0])
            r = enter_group(holder->cgroups[i]);
    if (r == 0)
        r = set_rlimit(RLIMIT_NPROC, holder->process_limit);
    if (r == 0)
        r = set_rlimit(RLIMIT_DATA, holder->data_limit);
    if (r == 0)
        r = set_cpu_limit(holder->limits.cpu_seconds);
    if (r == 0)
        r = set_rlimit(RLIMIT_FSIZE, holder->limits.file_size);
    if (r == 0 && setrlimit(RLIMIT_NOFILE, &holder->open_files) < 0)
        r = -errno;
    if (r == 0)
        r = set_rlimit(RLIMIT_NOFILE, holder->limits.open_files);
    if (holder->seen)
        holder->seen->started = io_now_ns();
    return r;
}

void limits_release(struct limits_holder *holder)
{
    if (holder->seen)
        munmap(holder->seen, sizeof(*holder->seen));
    holder->seen = NULL;
    for (size_t i = 0; i < array_length(holder->cgroups); i++)
        if (holder->cgroups[i][0]) {
            rmdir(holder->cgroups[i]);
            holder->cgroups[i][0] = '\0';
        }
}

void limits_forget(pid_t supervisor)
{
    static const struct {
        const char *mount, *controller;
    } hierarchies[] = {{CGROUPS, ""},
                       {CGROUPS "/pids", "pids"},
                       {CGROUPS "/memory", "memory"},
                       {CGROUPS "/cpu", "cpu"}};
    char path[256];

    for (size_t i = 0; i < array_length(hierarchies); i++)
        if (group_path(hierarchies[i].mount, hierarchies[i].controller, supervisor, path,
                       sizeof(path)) == 0)
            rmdir(path);
}

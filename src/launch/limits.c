/*
 * Holding limits on a whole tree. A cgroup holds them exactly; it is used where one can be made
 * (cgroup v2 below our own group, or the v1 controllers). Without one, memory falls back to a limit
 * per process and the number of processes to RLIMIT_NPROC, which counts all of the user's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

/* 64 for the window of kernel-served descriptors, the rest for the program. */
#define OPEN_FILES_NEEDED 128

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

static int make_group(const char *mount, const char *controller, char *ret_path, size_t size)
{
    char own[128];
    char path[256];
    int r = own_group(controller, own, sizeof(own));

    if (r < 0)
        return r;
    if (snprintf(path, sizeof(path), "%s%s/cerebro-%d", mount, strcmp(own, "/") ? own : "",
                 getpid()) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (mkdir(path, 0755) < 0)
        return -errno;
    snprintf(ret_path, size, "%s", path);
    return 0;
}

static int enter_group(const char *path)
{
    return write_text(path, "cgroup.procs", "0");
}

/* cgroup v2: one group for all; needs the controllers delegated to our own group. */
static int hold_unified(const struct pk_limits *limits, struct limits_holder *holder)
{
    char *path = holder->cgroups[0];
    int r = make_group("/sys/fs/cgroup", "", path, sizeof(holder->cgroups[0]));

    if (r < 0)
        return r;
    if (limits->memory)
        r = write_number(path, "memory.max", limits->memory);
    if (r == 0 && limits->memory)
        write_text(path, "memory.swap.max", "0");
    if (r == 0 && limits->pids)
        r = write_number(path, "pids.max", limits->pids);
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
    snprintf(mount, sizeof(mount), "/sys/fs/cgroup/%s", controller);
    r = make_group(mount, controller, path, size);
    if (r == 0)
        r = write_number(path, file, limit);
    if (r < 0 && path[0]) {
        rmdir(path);
        path[0] = '\0';
    }
    return r;
}

static int set_rlimit(int resource, uint64_t value)
{
    struct rlimit limit;

    if (value == 0)
        return 0;
    if (getrlimit(resource, &limit) < 0)
        return -errno;
    if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max)
        value = limit.rlim_max;
    limit.rlim_cur = value;
    limit.rlim_max = value;
    return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

/* How many threads this user has already: RLIMIT_NPROC counts them all. */
static uint64_t threads_of_user(void)
{
    cleanup_dir DIR *proc = opendir("/proc");
    struct dirent *entry;
    uint64_t count = 0;

    while (proc && (entry = readdir(proc))) {
        struct stat stat_buf;
        char path[300];

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/task", entry->d_name);
        if (stat(path, &stat_buf) == 0 && stat_buf.st_uid == geteuid())
            count += stat_buf.st_nlink - 2;
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

static int hold_memory(const struct pk_limits *limits, struct limits_holder *holder)
{
    if (limits->memory == 0 || hold_controller("memory", "memory.limit_in_bytes", limits->memory,
                                               holder->cgroups[2], sizeof(holder->cgroups[2])) == 0)
        return 0;
    holder->data_limit = limits->memory;
    return 0;
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

int limits_prepare(const struct pk_limits *limits, struct limits_holder *holder,
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
    if ((limits->memory || limits->pids) && hold_unified(limits, holder) < 0) {
        r = hold_pids(limits, holder, error);
        if (r == 0)
            r = hold_memory(limits, holder);
    }
    if (r < 0) {
        base_fail(error, r, NULL, "cannot set the limits: %s", strerror(-r));
        limits_release(holder);
    }
    return r;
}

int limits_enter(void *user)
{
    const struct limits_holder *holder = user;
    int r = 0;

    for (size_t i = 0; r == 0 && i < array_length(holder->cgroups); i++)
        if (holder->cgroups[i][0])
            r = enter_group(holder->cgroups[i]);
    if (r == 0)
        r = set_rlimit(RLIMIT_NPROC, holder->process_limit);
    if (r == 0)
        r = set_rlimit(RLIMIT_DATA, holder->data_limit);
    if (r == 0)
        r = set_rlimit(RLIMIT_CPU, holder->limits.cpu_seconds);
    if (r == 0)
        r = set_rlimit(RLIMIT_FSIZE, holder->limits.file_size);
    if (r == 0 && setrlimit(RLIMIT_NOFILE, &holder->open_files) < 0)
        r = -errno;
    if (r == 0)
        r = set_rlimit(RLIMIT_NOFILE, holder->limits.open_files);
    return r;
}

void limits_release(struct limits_holder *holder)
{
    for (size_t i = 0; i < array_length(holder->cgroups); i++)
        if (holder->cgroups[i][0]) {
            rmdir(holder->cgroups[i]);
            holder->cgroups[i][0] = '\0';
        }
}

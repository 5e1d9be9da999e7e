/*
 * Kills every descendant of this process. Nothing here allocates or locks: it runs in a process
 * that was forked from a threaded one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "trap/trap-internal.h"

#define GIVE_UP_NS   10000000000ULL
#define PAUSE_NS     1000000
#define PID_TEXT_MAX 12

/* One entry of getdents64(2). */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static pid_t parse_pid(const char *text, const char *end)
{
    pid_t pid = 0;

    if (text == end)
        return -1;
    for (; text < end && *text >= '0' && *text <= '9' && pid < 100000000; text++)
        pid = pid * 10 + (*text - '0');
    return text < end && *text && *text != ' ' && *text != '\n' ? -1 : pid;
}

/* Appends without snprintf, which need not be safe here. Returns the new end. */
static char *append(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = '\0';
    return to;
}

/* Kills each pid of a "12 34 56 " list. The rest of a number cut off by `size` is left alone. */
static int kill_list(char *text, ssize_t size)
{
    int killed = 0;

    for (char *word = text, *end; (end = memchr(word, ' ', (size_t)(text + size - word)));
         word = end + 1) {
        pid_t pid = parse_pid(word, end);

        if (pid > 0 && kill(pid, SIGKILL) == 0)
            killed++;
    }
    return killed;
}

/* Kills the children of one of our threads. Returns how many, or -errno without that list. */
static int kill_children_of_thread(int tasks_fd, const char *tid)
{
    char path[PID_TEXT_MAX + 16];
    char text[16384];
    cleanup_close int fd = -1;
    ssize_t size;

    if (strlen(tid) >= PID_TEXT_MAX)
        return 0;
    append(append(path, tid), "/children");
    fd = openat(tasks_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size = read(fd, text, sizeof(text));
    return size < 0 ? -errno : kill_list(text, size);
}

/* Reads "PID (name) S PPID": the name may hold anything, so the last bracket counts. */
static pid_t parent_of(int proc_fd, const char *pid)
{
    char path[PID_TEXT_MAX + 8];
    char text[512];
    cleanup_close int fd = -1;
    char *bracket;
    ssize_t size;

    if (strlen(pid) >= PID_TEXT_MAX)
        return -1;
    append(append(path, pid), "/stat");
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    bracket = strrchr(text, ')');
    if (bracket == NULL || bracket + 4 >= text + size)
        return -1;
    return parse_pid(bracket + 4, text + size);
}

/* For hosts without /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN). */
static int kill_if_ours(int proc_fd, const char *name)
{
    pid_t pid = parse_pid(name, name + strlen(name) + 1);

    if (pid <= 0 || parent_of(proc_fd, name) != getpid())
        return 0;
    return kill(pid, SIGKILL) == 0;
}

/* Calls `visit` for each numeric name in a directory of /proc; returns the sum, or its error. */
static int for_each_number(int fd, int (*visit)(int fd, const char *name))
{
    char buffer[4096] __attribute__((aligned(8)));
    long size;
    int sum = 0;

    lseek(fd, 0, SEEK_SET);
    while ((size = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < size;) {
            struct directory_entry *entry = (struct directory_entry *)(buffer + at);
            int r = entry->name[0] >= '0' && entry->name[0] <= '9' ? visit(fd, entry->name) : 0;

            if (r < 0)
                return r;
            sum += r;
            at += entry->length;
        }
    }
    return sum;
}

static int kill_children(int proc_fd)
{
    cleanup_close int tasks = openat(proc_fd, "self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = tasks < 0 ? -errno : for_each_number(tasks, kill_children_of_thread);

    return r < 0 ? for_each_number(proc_fd, kill_if_ours) : r;
}

/*
 * The children of those that die become ours, so each round reaches one generation further; a
 * round is much faster than any fork, so even a fork bomb runs out.
 */
int kill_descendants(int proc_fd)
{
    uint64_t start = io_now_ns();
    struct timespec pause = {.tv_nsec = PAUSE_NS};

    for (;;) {
        pid_t pid;
        int reaped = 0;

        kill_children(proc_fd);
        while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            reaped++;
        if (pid < 0 && errno == ECHILD)
            return 0;
        if (io_now_ns() - start > GIVE_UP_NS)
            return -ETIME;
        if (reaped == 0)
            nanosleep(&pause, NULL);
    }
}

int trap_kill_descendants(void)
{
    cleanup_close int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return proc_fd < 0 ? -errno : kill_descendants(proc_fd);
}

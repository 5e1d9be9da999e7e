#include "core/task.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/core-internal.h"

/*
 * Threads that ended are forgotten once this many have gathered: few, because a process holds a
 * descriptor of ours, and asking the host about one costs less than a microsecond.
 */
#define TASKS_BEFORE_SWEEP 16

/* True when `tid` is a live thread of process `pid`: both numbers may have been reused since. */
static bool is_thread_of(pid_t tid, pid_t pid)
{
    return syscall(SYS_tgkill, pid, tid, 0) == 0;
}

static int read_status_number(pid_t tid, const char *key, long *ret_value)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *found;
    int r;

    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    r = io_read_file(AT_FDCWD, path, 8192, &text);
    if (r < 0)
        return r;
    found = strstr(strbuf_text(&text), key);
    if (found == NULL)
        return -ESRCH;
    *ret_value = strtol(found + strlen(key), NULL, 10);
    return 0;
}

/* Most threads are the only one of their process, and the answer costs one cheap call then. */
static pid_t process_of(pid_t tid)
{
    long pid;

    if (is_thread_of(tid, tid))
        return tid;
    if (read_status_number(tid, "\nTgid:", &pid) < 0)
        return -1;
    return (pid_t)pid;
}

static void process_unref(struct pk_kernel *kernel, struct pk_process *process)
{
    if (--process->threads > 0)
        return;
    map_remove(&kernel->processes, (uint64_t)process->pid);
    base_close(process->pidfd);
    free(process);
}

static struct pk_process *process_get(struct pk_kernel *kernel, pid_t pid)
{
    struct pk_process *process = map_get(&kernel->processes, (uint64_t)pid);

    if (process)
        return process;
    process = calloc(1, sizeof(*process));
    if (process == NULL)
        return NULL;
    process->pid = pid;
    process->pidfd = -1;
    if (map_set(&kernel->processes, (uint64_t)pid, process) < 0) {
        free(process);
        return NULL;
    }
    return process;
}

static void task_forget(struct pk_kernel *kernel, struct pk_task *task)
{
    map_remove(&kernel->tasks, (uint64_t)task->tid);
    process_unref(kernel, task->process);
    free(task);
}

static void sweep_tasks(struct pk_kernel *kernel)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&kernel->tasks, &cursor))) {
        struct pk_task *task = slot->value;

        if (!is_thread_of(task->tid, task->process->pid))
            task_forget(kernel, task);
    }
    kernel->task_sweep_at = kernel->tasks.count * 2 + TASKS_BEFORE_SWEEP;
}

static struct pk_task *task_discover(struct pk_kernel *kernel, pid_t tid)
{
    struct pk_process *process;
    struct pk_task *task;
    pid_t pid = process_of(tid);

    if (pid < 0)
        return NULL;
    if (kernel->tasks.count >= kernel->task_sweep_at)
        sweep_tasks(kernel);
    process = process_get(kernel, pid);
    if (process == NULL)
        return NULL;
    process->threads++;
    task = calloc(1, sizeof(*task));
    if (task == NULL) {
        process_unref(kernel, process);
        return NULL;
    }
    task->tid = tid;
    task->process = process;
    if (map_set(&kernel->tasks, (uint64_t)tid, task) < 0) {
        process_unref(kernel, process);
        free(task);
        return NULL;
    }
    return task;
}

struct pk_task *pk_task_find(struct pk_kernel *kernel, pid_t tid)
{
    struct pk_task *task = map_get(&kernel->tasks, (uint64_t)tid);

    if (task && is_thread_of(tid, task->process->pid))
        return task;
    if (task)
        task_forget(kernel, task);
    return task_discover(kernel, tid);
}

int pk_process_pidfd(struct pk_process *process)
{
    if (process->pidfd < 0)
        process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    return process->pidfd < 0 ? -errno : process->pidfd;
}

void pk_process_forget_pidfd(struct pk_process *process)
{
    base_close(take_fd(&process->pidfd));
}

bool pk_pid_is_ours(struct pk_kernel *kernel, pid_t pid)
{
    const struct pk_task *caller = kernel->current_task;

    if (caller && (pid == caller->tid || pid == caller->process->pid))
        return true;
    return pid > 0 && pid != getpid() && pk_context_of(kernel, pid) != NULL &&
           pk_is_descendant(kernel, pid);
}

static pid_t parent_of(pid_t pid)
{
    long parent;

    return read_status_number(pid, "\nPPid:", &parent) < 0 ? -1 : (pid_t)parent;
}

/*
 * The guests are the descendants of this process, which is their subreaper. Context ids alone
 * prove nothing: any process may have a small RLIMIT_LOCKS.
 */
bool pk_is_descendant(struct pk_kernel *kernel, pid_t pid)
{
    pid_t self = getpid();

    for (int depth = 0; depth < 4096 && pid > 1; depth++) {
        if (pid == kernel->root_pid)
            return true;
        pid = parent_of(pid);
        if (pid == self)
            return true;
    }
    return false;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a;
    pid_t y = *(const pid_t *)b;

    return (x > y) - (x < y);
}

struct pid_list {
    pid_t *pids;
    size_t count;
    size_t capacity;
};

static int list_add(struct pid_list *list, pid_t pid)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        pid_t *pids = reallocarray(list->pids, capacity, sizeof(*pids));

        if (pids == NULL)
            return -ENOMEM;
        list->pids = pids;
        list->capacity = capacity;
    }
    list->pids[list->count++] = pid;
    return 0;
}

/* Appends the children of one thread, as /proc/PID/task/TID/children lists them. */
static int list_add_children(struct pid_list *list, const char *children_path)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = io_read_file(AT_FDCWD, children_path, 1 << 20, &text);
    char *next;

    if (r < 0)
        return r == -ENOMEM ? r : 0; /* the thread is gone */
    for (const char *p = strbuf_text(&text);; p = next) {
        long pid = strtol(p, &next, 10);

        if (next == p)
            return 0;
        r = list_add(list, (pid_t)pid);
        if (r < 0)
            return r;
    }
}

static int list_add_children_of(struct pid_list *list, pid_t pid)
{
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    cleanup_dir DIR *tasks = opendir(path);
    if (tasks == NULL)
        return 0;
    while ((entry = readdir(tasks))) {
        char children[sizeof(path) + sizeof(entry->d_name) + 16];
        int r;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(children, sizeof(children), "%s/%s/children", path, entry->d_name);
        r = list_add_children(list, children);
        if (r < 0)
            return r;
    }
    return 0;
}

int pk_for_each_process(struct pk_kernel *kernel, int (*visit)(pid_t pid, void *user), void *user)
{
    struct pid_list list = {0};
    int r = list_add_children_of(&list, getpid());

    (void)kernel;
    for (size_t i = 0; r >= 0 && i < list.count; i++)
        r = list_add_children_of(&list, list.pids[i]);
    if (r >= 0 && list.count)
        qsort(list.pids, list.count, sizeof(*list.pids), compare_pids);
    for (size_t i = 0; r == 0 && i < list.count; i++)
        if (i == 0 || list.pids[i] != list.pids[i - 1])
            r = visit(list.pids[i], user);
    free(list.pids);
    return r;
}

void pk_tasks_free(struct pk_kernel *kernel)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&kernel->tasks, &cursor)))
        task_forget(kernel, slot->value);
    map_free(&kernel->tasks);
    map_free(&kernel->processes);
}

/*
 * Names of threads. The host's name is right: exec and prctl(PR_SET_NAME) set it natively. Writing
 * comm is the exception: the host accepts that from threads of the same process only. A thread that
 * names itself is made to call prctl; the name of a sibling is kept here, until that thread's name
 * changes on the host or the thread ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"

#define NAME_SIZE 16
#define NAMES_MAX 1024 /* then all are forgotten: most belong to threads that ended */

struct proc_name {
    uint64_t started; /* start time of the thread, in case its number is reused */
    char host[NAME_SIZE];
    char name[NAME_SIZE];
};

void proc_comm_free(struct proc_fs *fs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&fs->names, &cursor)))
        free(slot->value);
    map_free(&fs->names);
}

static void copy_name(char name[NAME_SIZE], const char *text, size_t length)
{
    if (length >= NAME_SIZE)
        length = NAME_SIZE - 1;
    memset(name, 0, NAME_SIZE);
    memcpy(name, text, length);
}

static int host_comm(const struct proc_task *task, char ret_name[NAME_SIZE])
{
    cleanup_strbuf struct strbuf text = {0};
    int r = proc_task_text(task, "comm", &text);

    if (r < 0)
        return r;
    copy_name(ret_name, strbuf_text(&text), text.length ? text.length - 1 : 0);
    return 0;
}

bool proc_comm_stored(struct proc_fs *fs, const struct proc_task *task, char ret_name[NAME_SIZE])
{
    struct proc_name *entry = map_get(&fs->names, (uint64_t)task->tid);
    char host[NAME_SIZE];
    uint64_t started;

    if (entry == NULL)
        return false;
    if (host_comm(task, host) >= 0 && strcmp(entry->host, host) == 0 &&
        proc_stat_field(task, 22, &started) >= 0 && started == entry->started) {
        memcpy(ret_name, entry->name, NAME_SIZE);
        return true;
    }
    map_remove(&fs->names, (uint64_t)task->tid);
    free(entry);
    return false;
}

void proc_comm_escape(struct strbuf *text, const char *name)
{
    for (; *name; name++) {
        if (*name == '\n')
            strbuf_add_string(text, "\\n");
        else if (*name == '\\')
            strbuf_add_string(text, "\\\\");
        else
            strbuf_add(text, name, 1);
    }
}

int proc_comm(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    char name[NAME_SIZE];
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0 && !proc_comm_stored(proc_fs_of(access), &task, name))
        r = host_comm(&task, name);
    if (r < 0)
        return r;
    strbuf_addf(ret_text, "%s\n", name);
    return strbuf_status(ret_text);
}

/* Runs prctl(PR_SET_NAME) in the calling thread, with a page of its own for the string. */
static int name_itself(struct pk_request *request, const char name[NAME_SIZE])
{
    struct pk_injected_call map = {
        SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0}};
    struct pk_injected_call calls[2];
    int64_t address, values[2];
    int r = request->port->inject(request, &map, 1, &address);

    if (r < 0 || address < 0)
        return r < 0 ? r : (int)address;
    r = pk_write(request, (uint64_t)address, name, NAME_SIZE);
    calls[0] = (struct pk_injected_call){SYS_prctl, {PR_SET_NAME, (uint64_t)address}};
    calls[1] = (struct pk_injected_call){SYS_munmap, {(uint64_t)address, 4096}};
    if (r < 0) {
        request->port->inject(request, &calls[1], 1, values);
        return r;
    }
    r = request->port->inject(request, calls, 2, values);
    return r < 0 ? r : (int)values[0];
}

static int keep_name(struct proc_fs *fs, const struct proc_task *task, const char name[NAME_SIZE])
{
    struct proc_name *entry = calloc(1, sizeof(*entry));
    struct proc_name *old;
    int r;

    if (entry == NULL)
        return -ENOMEM;
    if (fs->names.count >= NAMES_MAX)
        proc_comm_free(fs);
    memcpy(entry->name, name, NAME_SIZE);
    r = host_comm(task, entry->host);
    if (r >= 0)
        r = proc_stat_field(task, 22, &entry->started);
    old = map_remove(&fs->names, (uint64_t)task->tid);
    free(old);
    if (r >= 0)
        r = map_set(&fs->names, (uint64_t)task->tid, entry);
    if (r < 0)
        free(entry);
    return r;
}

static bool is_same_process(struct pk_kernel *kernel, const struct proc_task *task, pid_t pid)
{
    struct pk_task *found = pk_task_find(kernel, task->tid);

    return found && found->process->pid == pid;
}

int proc_comm_store(const struct pseudo_access *access, const char *text, size_t length)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    const struct vfs_actor *actor = access->actor;
    char name[NAME_SIZE];
    int r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    if (actor == NULL || !is_same_process(pseudo_kernel(access), &task, actor->pid))
        return -EINVAL;
    copy_name(name, text, strnlen(text, length)); /* a line feed belongs to it, as natively */
    if (actor->tid == task.tid && actor->request)
        return name_itself(actor->request, name);
    return keep_name(proc_fs_of(access), &task, name);
}

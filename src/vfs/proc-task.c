/* One process or thread: found on the host, checked to be one of ours, and its plain files. */
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
#include "core/program.h"
#include "vfs/proc-internal.h"

#define TASK_TEXT_MAX  (64U << 20)
#define CAP_SYS_PTRACE 19

void proc_task_close(struct proc_task *task)
{
    base_close(take_fd(&task->dir));
}

const struct pk_context *proc_context_of(struct pk_kernel *kernel, pid_t tid)
{
    struct rlimit limit;

    if (prlimit(tid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return NULL;
    return pk_context_by_id(kernel, limit.rlim_cur);
}

/*
 * The directory is opened before the number is checked: it stays bound to the task that had the
 * number then, so that a number reused in between can show nothing of a stranger (reading through
 * the directory of a dead task fails).
 */
static int open_number(struct pseudo_fs *fs, pid_t pid, pid_t tid, struct proc_task *ret_task)
{
    struct pk_kernel *kernel = vfs_kernel(fs->fs.vfs);
    const struct pk_context *context;
    char path[64];
    cleanup_close int dir = -1;

    if (tid)
        snprintf(path, sizeof(path), "%d/task/%d", pid, tid);
    else
        snprintf(path, sizeof(path), "%d", pid);
    dir = openat(fs->host, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ESRCH ? -ENOENT : -errno;
    if (!pk_pid_is_ours(kernel, tid ? tid : pid))
        return -ENOENT;
    context = proc_context_of(kernel, tid ? tid : pid);
    if (context == NULL)
        return -ENOENT;
    *ret_task = (struct proc_task){
        .pid = pid, .tid = tid ? tid : pid, .dir = take_fd(&dir), .context = context};
    return 0;
}

/* The caller waits for its answer, so it is there, and its context is in hand. */
static bool find_caller(struct pseudo_fs *fs, pid_t pid, pid_t tid, struct proc_task *ret_task)
{
    const struct pk_kernel *kernel = vfs_kernel(fs->fs.vfs);
    const struct pk_task *caller = kernel->current_task;

    if (caller == NULL || pid != caller->process->pid || (tid && tid != caller->tid))
        return false;
    *ret_task = (struct proc_task){
        .pid = pid, .tid = tid ? tid : pid, .dir = -1, .context = kernel->current_context};
    return true;
}

static int find_number(struct pseudo_fs *fs, pid_t pid, pid_t tid, struct proc_task *ret_task)
{
    return find_caller(fs, pid, tid, ret_task) ? 0 : open_number(fs, pid, tid, ret_task);
}

int proc_task_find(struct pseudo_fs *fs, const struct pseudo_node *node, struct proc_task *ret_task)
{
    return node->pid > 0 ? find_number(fs, node->pid, node->tid, ret_task) : -ENOENT;
}

int proc_task_open(struct pseudo_fs *fs, const struct pseudo_node *node, struct proc_task *ret_task)
{
    return node->pid > 0 ? open_number(fs, node->pid, node->tid, ret_task) : -ENOENT;
}

bool proc_may_inspect(const struct vfs_actor *actor, const struct proc_task *task)
{
    const struct pk_identity *target = &task->context->identity;
    const struct pk_identity *own;

    if (actor == NULL || actor->pid == 0 || actor->pid == task->pid || actor->tid == task->tid)
        return true;
    own = actor->identity;
    if (own->effective & 1ULL << CAP_SYS_PTRACE)
        return true;
    return target->dumpable && own->fsuid == target->uid && own->fsuid == target->euid &&
           own->fsuid == target->suid && own->fsgid == target->gid && own->fsgid == target->egid &&
           own->fsgid == target->sgid;
}

int proc_task_text(const struct proc_task *task, const char *name, struct strbuf *ret_text)
{
    int r = io_read_file(task->dir, name, TASK_TEXT_MAX, ret_text);

    return r == -ENOENT && faccessat(task->dir, "stat", F_OK, 0) < 0 ? -ESRCH : r;
}

int proc_stat_field(const struct proc_task *task, unsigned number, uint64_t *ret_value)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *p;
    int r = proc_task_text(task, "stat", &text);

    if (r < 0)
        return r;
    p = strrchr(strbuf_text(&text), ')'); /* the name may contain anything */
    for (unsigned field = 2; p && field < number; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    if (p == NULL)
        return -ESRCH;
    *ret_value = strtoull(p, NULL, 10);
    return 0;
}

/* "<pid>/attr/current" is "attr/current" in the directory of the task. */
static const char *host_name(const struct pseudo_entry *entry)
{
    return entry->data ? entry->data : strchr(entry->path, '/') + 1;
}

int proc_task_copy(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : proc_task_text(&task, host_name(access->entry), ret_text);
}

int proc_task_forward(const struct pseudo_access *access, const char *text, size_t length)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_close int fd = -1;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    fd = openat(task.dir, host_name(access->entry), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, length) < 0 ? -errno : 0;
}

int proc_task_refuse(const struct pseudo_access *access, struct strbuf *ret_text)
{
    (void)access;
    (void)ret_text;
    return -EACCES;
}

/* A canonical decimal number, as the names of process directories are. */
static bool parse_pid(const char *name, pid_t *ret_pid)
{
    uint64_t value;

    if (name[0] == '0' || io_parse_u64(name, INT_MAX, &value) < 0)
        return false;
    *ret_pid = (pid_t)value;
    return true;
}

static struct pseudo_item *process_item(const struct pseudo_fs *fs)
{
    return pseudo_item_find(fs->root, "<pid>", strlen("<pid>"));
}

static int make_task_node(struct pseudo_fs *fs, pid_t pid, pid_t tid, struct pseudo_node **ret_node)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    struct pseudo_node *node;
    int r = find_number(fs, pid, tid, &task);

    if (r < 0)
        return r;
    node = pseudo_node_new(fs, process_item(fs), NULL);
    if (node == NULL)
        return -ENOMEM;
    node->pid = pid;
    node->tid = tid;
    *ret_node = node;
    return 0;
}

static struct pseudo_item *init_item(const struct pseudo_fs *fs)
{
    return pseudo_item_find(fs->root, "<init>", strlen("<init>"));
}

static int root_lookup(const struct pseudo_access *access, const char *name,
                       struct pseudo_node **ret_node)
{
    struct pseudo_node *node;
    pid_t pid;

    if (!parse_pid(name, &pid))
        return -ENOENT;
    if (pid != 1 || !proc_init_is_shown(pseudo_kernel(access)))
        return make_task_node(access->fs, pid, 0, ret_node);
    node = pseudo_node_new(access->fs, init_item(access->fs), NULL);
    if (node == NULL)
        return -ENOMEM;
    *ret_node = node;
    return 0;
}

struct root_list {
    const struct pseudo_access *access;
    struct pseudo_listing *listing;
};

static int list_process(pid_t pid, void *user)
{
    struct root_list *list = user;
    char name[16];

    if (proc_context_of(pseudo_kernel(list->access), pid) == NULL)
        return 0;
    snprintf(name, sizeof(name), "%d", pid);
    return !pseudo_list(list->listing, name,
                        pseudo_inode(process_item(list->access->fs), pid, 0, -1), S_IFDIR);
}

static int root_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    struct root_list list = {.access = access, .listing = listing};
    int r;

    if (proc_init_is_shown(pseudo_kernel(access)) &&
        !pseudo_list(listing, "1", pseudo_inode(init_item(access->fs), 0, 0, -1), S_IFDIR))
        return 0;
    r = pk_for_each_process(pseudo_kernel(access), list_process, &list);
    return r < 0 ? r : 0;
}

const struct pseudo_directory proc_root_directory = {root_lookup, root_list};

static int threads_lookup(const struct pseudo_access *access, const char *name,
                          struct pseudo_node **ret_node)
{
    pid_t tid;

    if (!parse_pid(name, &tid))
        return -ENOENT;
    return make_task_node(access->fs, access->node->pid, tid, ret_node);
}

static int threads_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_dir DIR *dir = NULL;
    struct dirent *entry;
    int fd, r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    fd = openat(task.dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        r = -errno;
        base_close(fd);
        return r;
    }
    while ((entry = readdir(dir))) {
        pid_t tid;

        if (!parse_pid(entry->d_name, &tid))
            continue;
        if (!pseudo_list(listing, entry->d_name,
                         pseudo_inode(process_item(access->fs), task.pid, tid, -1), S_IFDIR))
            break;
    }
    return 0;
}

const struct pseudo_directory proc_threads_directory = {threads_lookup, threads_list};

int proc_self(const struct pseudo_access *access, struct strbuf *ret_text)
{
    if (access->actor == NULL || access->actor->pid == 0)
        return -ENOENT;
    strbuf_addf(ret_text, "%d", access->actor->pid);
    return strbuf_status(ret_text);
}

int proc_thread_self(const struct pseudo_access *access, struct strbuf *ret_text)
{
    if (access->actor == NULL || access->actor->pid == 0)
        return -ENOENT;
    strbuf_addf(ret_text, "%d/task/%d", access->actor->pid, access->actor->tid);
    return strbuf_status(ret_text);
}

const char *proc_path_below_root(const struct pk_context *context, const char *path)
{
    const char *root = context->root ? vfs_place_path(context->root) : "/";
    size_t length = strlen(root);

    if (length <= 1 || strncmp(path, root, length) != 0)
        return path;
    if (path[length] == '\0')
        return "/";
    return path[length] == '/' ? path + length : path;
}

/* The root of whoever reads decides how a path looks. */
static const char *seen_path(const struct pseudo_access *access, const char *path)
{
    const struct vfs_actor *actor = access->actor;

    if (actor == NULL || actor->request == NULL)
        return path;
    return proc_path_below_root(actor->request->context, path);
}

static int add_place(const struct pseudo_access *access, const struct vfs_place *place,
                     struct strbuf *ret_text)
{
    if (place == NULL)
        return -ENOENT;
    strbuf_add_string(ret_text, seen_path(access, vfs_place_path(place)));
    if (vfs_place_is_deleted(place))
        strbuf_add_string(ret_text, " (deleted)");
    return strbuf_status(ret_text);
}

/*
 * The host has the arguments as the caller gave them; a script's are those that the interpreter was
 * given, which begin with its own name.
 */
int proc_cmdline(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    const struct pk_program *program;
    size_t skipped;
    int r = proc_task_open(access->fs, access->node, &task);

    if (r >= 0)
        r = proc_task_text(&task, "cmdline", &host);
    if (r < 0)
        return r;
    program = task.context->program;
    skipped = 0;
    if (program && program->prefix && host.length) { /* a zombie has no arguments */
        strbuf_add(ret_text, program->prefix, program->prefix_length);
        skipped = strnlen(host.data, host.length);
        skipped += skipped < host.length;
    }
    strbuf_add(ret_text, strbuf_text(&host) + skipped, host.length - skipped);
    return strbuf_status(ret_text);
}

static int give_place(struct vfs_place *place, struct vfs_place **ret_place)
{
    if (place == NULL)
        return -ENOENT;
    *ret_place = vfs_place_ref(place);
    return 0;
}

int proc_cwd(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : add_place(access, task.context->cwd, ret_text);
}

int proc_cwd_follow(const struct pseudo_access *access, struct vfs_place **ret_place)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : give_place(task.context->cwd, ret_place);
}

int proc_root(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : add_place(access, task.context->root, ret_text);
}

int proc_root_follow(const struct pseudo_access *access, struct vfs_place **ret_place)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : give_place(task.context->root, ret_place);
}

static struct vfs_place *place_of_program(const struct proc_task *task)
{
    return task->context->program ? task->context->program->place : NULL;
}

int proc_exe(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_find(access->fs, access->node, &task);

    return r < 0 ? r : add_place(access, place_of_program(&task), ret_text);
}

int proc_exe_follow(const struct pseudo_access *access, struct vfs_place **ret_place)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_find(access->fs, access->node, &task);

    return r < 0 ? r : give_place(place_of_program(&task), ret_place);
}

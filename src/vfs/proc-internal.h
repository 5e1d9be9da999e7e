/*
 * The inside of the proc file system. The table of its files is proc-table.c; the functions that
 * write their contents are grouped by subject: proc-task.c (a process, and who may look at it),
 * proc-status.c, proc-maps.c, proc-fd.c, proc-mounts.c, proc-net.c, proc-system.c, proc-sysctl.c,
 * proc-comm.c.
 *
 * Contents come from the host's own /proc and are rewritten where they show what the guest must not
 * see (host paths, the loader, real ids) or what is virtual (identity, limits, mounts).
 */
#pragma once

#include <stddef.h>

#include "base/map.h"
#include "core/context.h"
#include "vfs/pseudo-internal.h"

#define PROC_MAGIC 0x9fa0

enum proc_flags {
    PROC_INSPECT = PSEUDO_OWN,           /* only for who may inspect the process */
    PROC_PROCESS_ONLY = PSEUDO_OWN << 1, /* not below task/ */
    PROC_THREAD_ONLY = PSEUDO_OWN << 2,  /* only below task/ */
    PROC_CLOSED = PSEUDO_OWN << 4,       /* for nobody */
    PROC_LINKS = PSEUDO_OWN << 3,        /* link count and size as on the host (`data`: its path) */
};

struct proc_fs {
    struct pseudo_fs base;
    struct map values; /* item -> text of a virtual sysctl that was written; owned */
    struct map scores; /* pid -> struct proc_score, see proc-score.c; owned */
    struct map names;  /* tid -> struct proc_name, see proc-comm.c; owned */
};

extern const struct pseudo_entry proc_table[];
extern const size_t proc_table_length;

static inline struct proc_fs *proc_fs_of(const struct pseudo_access *access)
{
    return (struct proc_fs *)access->fs;
}

/* ---- proc-task.c: a process or thread on the host ---- */

struct proc_task {
    pid_t pid;                        /* as in the path: the thread group, or any thread of it */
    pid_t tid;                        /* the thread itself; equals pid unless reached by task/ */
    int dir;                          /* O_PATH of the host's directory; pinned to this very task */
    const struct pk_context *context; /* never NULL */
};

void proc_task_close(struct proc_task *task);
#define cleanup_proc_task __attribute__((cleanup(proc_task_close)))
#define PROC_TASK_NONE    ((struct proc_task){.dir = -1})

/* The context that a thread carries; NULL: it is gone or none of this kernel's. */
const struct pk_context *proc_context_of(struct pk_kernel *kernel, pid_t tid);

/* Opens the task that a node is about; -ENOENT when it is gone or none of this kernel's. */
int proc_task_open(struct pseudo_fs *fs, const struct pseudo_node *node,
                   struct proc_task *ret_task);

/* The same for those who only need the context: `dir` may stay -1. */
int proc_task_find(struct pseudo_fs *fs, const struct pseudo_node *node,
                   struct proc_task *ret_task);

/* The kernel's ptrace_may_access() rule on virtual identities. */
bool proc_may_inspect(const struct vfs_actor *actor, const struct proc_task *task);

/* Reads a file of the task's host directory. A vanished task is -ESRCH. */
int proc_task_text(const struct proc_task *task, const char *name, struct strbuf *ret_text);

/* Returns field `number` (counted from 1, at least 3) of the host's stat file as a number. */
int proc_stat_field(const struct proc_task *task, unsigned number, uint64_t *ret_value);

/* Opens the task, appends its host file named by the line's `data` (or the end of its path). */
int proc_task_copy(const struct pseudo_access *access, struct strbuf *ret_text);
/* Hands a write on to that host file, as it is. */
int proc_task_forward(const struct pseudo_access *access, const char *text, size_t length);
int proc_task_refuse(const struct pseudo_access *access, struct strbuf *ret_text);

/* Directory functions: processes in the root, threads in task/. */
extern const struct pseudo_directory proc_root_directory;
extern const struct pseudo_directory proc_threads_directory;

int proc_cmdline(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_self(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_thread_self(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_exe(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_exe_follow(const struct pseudo_access *access, struct vfs_place **ret_place);
int proc_cwd(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_cwd_follow(const struct pseudo_access *access, struct vfs_place **ret_place);
int proc_root(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_root_follow(const struct pseudo_access *access, struct vfs_place **ret_place);

/* A guest path as a process with another root sees it: cut, or as it is when outside. */
const char *proc_path_below_root(const struct pk_context *context, const char *path);

/* ---- proc-init.c ---- */

/* True when no process of the tree has the number 1. */
bool proc_init_is_shown(struct pk_kernel *kernel);
int proc_init_stat(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_init_status(const struct pseudo_access *access, struct strbuf *ret_text);

/* ---- proc-status.c ---- */
int proc_status(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_stat(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_limits(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_auxv(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_oom_score_adj(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_oom_score_adj_store(const struct pseudo_access *access, const char *text, size_t length);
int proc_namespace(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_namespace_follow(const struct pseudo_access *access, struct vfs_place **ret_place);

/* ---- proc-maps.c ---- */
int proc_maps(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_smaps(const struct pseudo_access *access, struct strbuf *ret_text);
/* ioctl(2) on maps (proc-query.c). Returns what the call returns. */
int proc_maps_control(const struct pseudo_access *access, struct pk_request *request);
/* Undoes the escaping of a path in maps, in place. */
void proc_maps_unescape(char *path);
/* Rewrites the text of maps or smaps; for tests too. */
int proc_rewrite_maps(struct vfs *vfs, const char *host_text, struct strbuf *ret_text);

/* ---- proc-pagemap.c, proc-slack.c ---- */
int proc_pagemap_open(const struct pseudo_access *access, const struct vfs_open_request *request,
                      struct vfs_opened *ret_opened);
int proc_timerslack(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_timerslack_store(const struct pseudo_access *access, const char *text, size_t length);

/* ---- proc-fd.c ---- */
extern const struct pseudo_directory proc_fd_directory;
extern const struct pseudo_directory proc_fdinfo_directory;
int proc_fd_text(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_fd_follow(const struct pseudo_access *access, struct vfs_place **ret_place);
int proc_fdinfo(const struct pseudo_access *access, struct strbuf *ret_text);

/* ---- proc-mounts.c ---- */
int proc_mounts(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_mountinfo(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_mountstats(const struct pseudo_access *access, struct strbuf *ret_text);
/* Id of the mount that covers a guest path, -1: none. */
int proc_mount_id(struct vfs *vfs, const char *path);

/* ---- proc-net.c ---- */
int proc_net_table(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_net_dev(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_net_unix(const struct pseudo_access *access, struct strbuf *ret_text);

/* ---- proc-system.c ---- */
int proc_meminfo(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_loadavg(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_pressure(const struct pseudo_access *access, struct strbuf *ret_text);

/* What the tree uses together; for meminfo, loadavg and the control group files of sys. */
struct proc_usage {
    uint64_t resident;    /* bytes */
    uint64_t cpu_user_us; /* of live processes and their reaped children */
    uint64_t cpu_system_us;
    unsigned processes;
    unsigned threads;
    pid_t last_pid;
};
int proc_usage_of_tree(struct pk_kernel *kernel, struct proc_usage *ret_usage);

/* ---- proc-sysctl.c ---- */
int proc_sysctl(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_sysctl_store_numbers(const struct pseudo_access *access, const char *text, size_t length);
int proc_sysctl_store_text(const struct pseudo_access *access, const char *text, size_t length);
int proc_sysctl_hostname(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_sysctl_domainname(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_sysctl_store_hostname(const struct pseudo_access *access, const char *text, size_t length);
int proc_sysctl_store_domainname(const struct pseudo_access *access, const char *text,
                                 size_t length);
int proc_sysctl_threads_max(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_sysctl_uuid(const struct pseudo_access *access, struct strbuf *ret_text);
void proc_sysctl_free(struct proc_fs *fs);

/*
 * A decimal number <= max as it is written to a file, perhaps with white space behind it. Returns 0
 * or -EINVAL.
 */
int proc_parse_number(const char *text, size_t length, uint64_t max, uint64_t *ret_value);

/* A number in struct pk_key_limits, and what the personality knows. */
int proc_sysctl_key_limit(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_sysctl_store_key_limit(const struct pseudo_access *access, const char *text,
                                size_t length);
int proc_personality(const struct pseudo_access *access, struct strbuf *ret_text);

/* ---- proc-comm.c ---- */
int proc_comm(const struct pseudo_access *access, struct strbuf *ret_text);
int proc_comm_store(const struct pseudo_access *access, const char *text, size_t length);
/* The name that a sibling gave to a thread, when it still holds; at most 15 bytes. */
bool proc_comm_stored(struct proc_fs *fs, const struct proc_task *task, char ret_name[16]);
/* Appends a name as status shows it. */
void proc_comm_escape(struct strbuf *text, const char *name);
void proc_comm_free(struct proc_fs *fs);

/* Frees what is remembered of the scores of made-up roots; see proc-score.c. */
void proc_score_free(struct proc_fs *fs);

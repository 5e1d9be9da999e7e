/*
 * Tasks: the threads and processes of a guest. They are discovered when they make their first
 * served call; fork, clone and exit are never trapped. Only the kernel thread touches them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pk_kernel;

/* A process (thread group) under the kernel. */
struct pk_process {
    pid_t pid;        /* host number */
    int pidfd;        /* -1 until something needs it; the kernel closes it */
    unsigned threads; /* tasks that point here */
    /*
     * The context it carries, as last read or set. Only we change it, so it holds for as long as
     * the process can be taken to be the same one. 0: not known.
     */
    uint64_t context_id;
};

/* A thread. Valid until the kernel thread goes back to waiting for requests. */
struct pk_task {
    pid_t tid; /* host number */
    struct pk_process *process;
    uint64_t checked_ns; /* when thread and context were last seen to be what is noted here */
};

/*
 * Finds a thread by its host number, discovering it when it is new. Returns NULL when no such
 * thread exists any more.
 */
struct pk_task *pk_task_find(struct pk_kernel *kernel, pid_t tid);

/*
 * A pidfd of the process, cached; -ESRCH when it is gone. The caller must not close it. A cached
 * one of a dead process answers ESRCH to whoever uses it: then call pk_process_forget_pidfd() and
 * ask again.
 */
int pk_process_pidfd(struct pk_process *process);
void pk_process_forget_pidfd(struct pk_process *process);

/* True when `pid` (host number of a thread or process) belongs to this kernel's tree. */
bool pk_pid_is_ours(struct pk_kernel *kernel, pid_t pid);

/*
 * Calls `visit` for every live process of the tree, in ascending order of pid; stops early when it
 * returns non-zero and returns that. Reads the host's /proc, so it costs some microseconds each.
 */
int pk_for_each_process(struct pk_kernel *kernel, int (*visit)(pid_t pid, void *user), void *user);

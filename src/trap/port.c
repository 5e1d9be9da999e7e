/*
 * How handlers reach the guest behind a notification: its memory and its descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "trap/bpf.h"
#include "trap/trap-internal.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* include/uapi/linux/pidfd.h, 6.9 */
#endif

static struct trap_call *call_of(struct pk_request *request)
{
    return request->port_data;
}

/*
 * process_vm_readv() beats a cached /proc/TID/mem descriptor by being always about the thread's
 * present memory: such a descriptor would show the parent's after a vfork child's exec.
 */
static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {.iov_base = bytes, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = length};
    ssize_t n = process_vm_readv(call_of(request)->tid, &local, 1, &remote, 1, 0);

    return n < 0 ? -errno : n;
}

static ssize_t port_write(struct pk_request *request, uint64_t address, const void *bytes,
                          size_t length)
{
    struct iovec local = {.iov_base = (void *)bytes, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = length};
    ssize_t n = process_vm_writev(call_of(request)->tid, &local, 1, &remote, 1, 0);

    return n < 0 ? -errno : n;
}

/* By the thread's own number, for a descriptor table that is not the process'. */
static int get_thread_fd(const struct trap *trap, pid_t tid, int number)
{
    cleanup_close int pidfd = -1;
    char path[64];
    int fd;

    if (!trap->features.pidfd_thread) {
        /* A name in /proc reopens the object: not the same open file, but all there is. */
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, number);
        fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0)
            return errno == ENOENT ? -EBADF : -errno;
        close(fd);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
            fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        return fd < 0 ? -errno : fd;
    }
    pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
    if (pidfd < 0)
        return -errno;
    fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    return fd < 0 ? -errno : fd;
}

/* Threads share the table unless they unshared it; a leader that has ended has none. */
static bool has_own_table(const struct pk_task *task)
{
    long r;

    if (task->tid == task->process->pid)
        return false;
    r = syscall(SYS_kcmp, task->process->pid, task->tid, KCMP_FILES, 0, 0);
    return r > 0;
}

static int get_process_fd(struct pk_process *process, int number)
{
    for (int attempt = 0;; attempt++) {
        int pidfd = pk_process_pidfd(process);
        long fd;

        if (pidfd < 0)
            return pidfd;
        fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (fd >= 0)
            return (int)fd;
        /* The number was given to another process since the pidfd was made. */
        if (errno != ESRCH || attempt > 0)
            return -errno;
        pk_process_forget_pidfd(process);
    }
}

static int port_get_fd(struct pk_request *request, int number)
{
    struct pk_task *task = request->task;

    if (!call_of(request)->trap->features.pidfd_getfd)
        return fetch_fd(call_of(request), number);
    if (has_own_table(task))
        return get_thread_fd(call_of(request)->trap, task->tid, number);
    return get_process_fd(task->process, number);
}

static int port_look_fd(struct pk_request *request, int number)
{
    const struct trap_call *call = call_of(request);

    return call->trap->features.pidfd_getfd ? port_get_fd(request, number)
                                            : fetch_look(call, number);
}

static int port_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags)
{
    struct trap_call *call = call_of(request);

    return call->held ? fetch_give(call, fd, number, fd_flags)
                      : trap_add_fd(call->trap, call->id, fd, number, fd_flags);
}

static bool port_is_waiting(struct pk_request *request)
{
    struct trap_call *call = call_of(request);

    return call->held || trap_is_waiting(call->trap, call->id);
}

static bool port_repeats(struct pk_request *request)
{
    return call_of(request)->held;
}

static void port_ticket(struct pk_request *request, struct pk_ticket *ret_ticket)
{
    struct trap_call *call = call_of(request);

    *ret_ticket = (struct pk_ticket){.id = call->id,
                                     .tid = call->tid,
                                     .nr = request->nr,
                                     .cpu = placement_hold(&call->trap->placement, call->tid),
                                     .instruction = request->instruction};
    memcpy(ret_ticket->args, request->args, sizeof(ret_ticket->args));
}

/* Asks the filter that this guest would have without interceptions. */
static bool port_unserved(struct pk_request *request, struct pk_answer *ret_answer)
{
    const struct trap *trap = call_of(request)->trap;
    struct seccomp_data data = {
        .nr = request->nr, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = request->instruction};
    uint32_t verdict;

    memcpy(data.args, request->args, sizeof(data.args));
    if (trap->plain_filter.len == 0 || bpf_evaluate(&trap->plain_filter, &data, &verdict, NULL) < 0)
        return false;
    switch (verdict & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
        *ret_answer = pk_native();
        return true;
    case SECCOMP_RET_ERRNO:
        *ret_answer = pk_value(-(int64_t)(verdict & SECCOMP_RET_DATA));
        return true;
    default:
        return false;
    }
}

/* With WAIT_KILLABLE_RECV it stays pending until the answer is there, else it would come first. */
static int port_signal(struct pk_request *request, int number)
{
    struct trap_call *call = call_of(request);
    long r;

    if (!call->trap->features.wait_killable) {
        call->signal = number;
        return 0;
    }
    r = syscall(SYS_tgkill, request->task->process->pid, call->tid, number);
    return r < 0 ? -errno : 0;
}

const struct pk_port_ops trap_port_ops = {
    .read = port_read,
    .write = port_write,
    .get_fd = port_get_fd,
    .look_fd = port_look_fd,
    .add_fd = port_add_fd,
    .inject = inject_calls,
    .clone = clone_process,
    .is_waiting = port_is_waiting,
    .repeats = port_repeats,
    .ticket = port_ticket,
    .unserved = port_unserved,
    .signal = port_signal,
    .delay = delay_call,
};

/*
 * Signals stay inside the tree of the process kernel.
 *
 * A signal to one process or thread of the tree is sent by the guest's own call: target and signal
 * are in registers, and sender, permission and queueing are exactly native. Between check and call
 * the target could only change if it ended, was reaped and its number went to a stranger of the
 * same user within microseconds.
 *
 * Signals to groups that strangers may be in (the terminal's group, which the guest shares with
 * `cerebro` and its neighbours in a pipeline), to all processes, and through pidfds are sent by the
 * process kernel to members of the tree only. They arrive with the caller's pid and uid, but with
 * si_code SI_QUEUE in place of SI_USER, since nobody may send SI_USER in another's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/identity.h"
#include "linux/linux-internal.h"
#include "linux/process-internal.h"
#include "linux/signal-target.h"

#define SIGNAL_MAX 64

static const char outside_rule[] = "signals only reach processes of the same process kernel";
static const char outside_allow[] = "it is never allowed; run both programs in one process kernel";

static bool is_signal(uint64_t number)
{
    return (unsigned)number <= SIGNAL_MAX;
}

static struct pk_answer refuse(struct pk_request *request, pid_t pid)
{
    /* A number that nobody has is an everyday error, not an attempt. */
    if (kill(pid, 0) < 0 && errno == ESRCH)
        return pk_error(-ESRCH);
    return pk_denied(request, -ESRCH, outside_rule, outside_allow, "signal to process %d", pid);
}

bool process_may_signal(struct pk_request *request, pid_t pid)
{
    const struct pk_context *context;

    if (!request->kernel->config.virtual_identity)
        return true;
    context = linux_context_of(request->kernel, pid);
    return context && identity_may_signal(&request->context->identity, &context->identity);
}

/* Init: a user may not signal it; what root sends it, it ignores. */
static struct pk_answer signal_init(struct pk_request *request)
{
    return linux_capable(request, CAP_KILL) ? pk_value(0) : pk_error(-EPERM);
}

static struct pk_answer signal_one(struct pk_request *request, pid_t pid)
{
    if (pid == PROCESS_INIT && !pk_pid_is_ours(request->kernel, pid))
        return signal_init(request);
    if (!pk_pid_is_ours(request->kernel, pid))
        return refuse(request, pid);
    return process_may_signal(request, pid) ? pk_native() : pk_error(-EPERM);
}

/* Sending to every member of the tree that a target includes. */
struct delivery {
    struct pk_request *request;
    struct signal_target target;
    int sig;
    unsigned found;
    unsigned sent;
    int error; /* of a member that could not be signalled */
};

static int send_from_caller(struct pk_request *request, pid_t pid, int sig)
{
    siginfo_t info;

    if (sig == 0)
        return kill(pid, 0) < 0 ? -errno : 0;
    memset(&info, 0, sizeof(info));
    info.si_signo = sig;
    info.si_code = SI_QUEUE;
    info.si_pid = request->task->process->pid;
    info.si_uid = request->context->identity.uid;
    return syscall(SYS_rt_sigqueueinfo, pid, sig, &info) < 0 ? -errno : 0;
}

static void deliver_to(struct delivery *delivery, pid_t pid)
{
    int r = -EPERM;

    delivery->found++;
    if (process_may_signal(delivery->request, pid))
        r = send_from_caller(delivery->request, pid, delivery->sig);
    if (r == 0)
        delivery->sent++;
    else
        delivery->error = r;
}

static int visit_process(pid_t pid, void *user)
{
    struct delivery *delivery = user;
    pid_t caller = delivery->request->task->process->pid;

    /* The caller is last: it may not live to see the others get theirs. */
    if (pid != caller && signal_target_includes(&delivery->target, caller, pid, getpgid(pid)) &&
        pk_pid_is_ours(delivery->request->kernel, pid))
        deliver_to(delivery, pid);
    return 0;
}

static struct pk_answer deliver(struct delivery *delivery)
{
    struct pk_request *request = delivery->request;
    pid_t caller = request->task->process->pid;

    pk_for_each_process(request->kernel, visit_process, delivery);
    if (signal_target_includes(&delivery->target, caller, caller, getpgid(caller)))
        deliver_to(delivery, caller);
    if (delivery->found == 0)
        return pk_error(-ESRCH);
    return pk_value(delivery->sent ? 0 : delivery->error);
}

bool process_group_is_ours(struct pk_kernel *kernel, pid_t group)
{
    /* A number in use as a group is nobody else's pid: this process made the group. */
    return pk_pid_is_ours(kernel, group) && getpgid(group) == group;
}

static struct pk_answer signal_group(struct delivery *delivery)
{
    struct pk_request *request = delivery->request;
    struct pk_answer answer;

    if (!request->kernel->config.virtual_identity &&
        process_group_is_ours(request->kernel, delivery->target.id))
        return pk_native();
    answer = deliver(delivery);
    if (answer.value == -ESRCH && kill(-delivery->target.id, 0) == 0)
        return pk_denied(request, -ESRCH, outside_rule, outside_allow, "signal to process group %d",
                         delivery->target.id);
    return answer;
}

static struct pk_answer do_kill(struct pk_request *request)
{
    pid_t caller = request->task->process->pid;
    struct delivery delivery = {.request = request, .sig = (int)request->args[1]};
    int r;

    if (!is_signal(request->args[1]))
        return pk_error(-EINVAL);
    r = signal_target((pid_t)request->args[0], caller, getpgid(caller), &delivery.target);
    if (r < 0)
        return pk_error(r);
    switch (delivery.target.scope) {
    case SIGNAL_SELF:
        return pk_native();
    case SIGNAL_PROCESS:
        return signal_one(request, delivery.target.id);
    case SIGNAL_GROUP:
        return signal_group(&delivery);
    case SIGNAL_ALL:
        break;
    }
    return deliver(&delivery);
}

static struct pk_answer do_tkill(struct pk_request *request)
{
    pid_t tid = (pid_t)request->args[0];

    if (tid <= 0 || !is_signal(request->args[1]))
        return pk_error(-EINVAL);
    return tid == request->task->tid ? pk_native() : signal_one(request, tid);
}

/* The host checks that the thread belongs to the process, so checking the process is enough. */
static struct pk_answer do_tgkill(struct pk_request *request)
{
    pid_t pid = (pid_t)request->args[0];

    if (pid <= 0 || (pid_t)request->args[1] <= 0 || !is_signal(request->args[2]))
        return pk_error(-EINVAL);
    return pid == request->task->process->pid ? pk_native() : signal_one(request, pid);
}

/* What is in the siginfo only matters to the receiver; the host checks its si_code. */
static struct pk_answer do_rt_sigqueueinfo(struct pk_request *request)
{
    pid_t pid = (pid_t)request->args[0];

    if (!is_signal(request->args[1]))
        return pk_error(-EINVAL);
    if (pid <= 0)
        return pk_error(-ESRCH);
    /* The call accepts the number of any thread, so the caller's threads are looked up as well. */
    return pid == request->task->process->pid ? pk_native() : signal_one(request, pid);
}

static struct pk_answer do_rt_tgsigqueueinfo(struct pk_request *request)
{
    return do_tgkill(request);
}

int process_of_pidfd(int pidfd)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *pid;
    long number;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return -EBADF;
    pid = strstr(strbuf_text(&text), "\nPid:");
    if (pid == NULL)
        return -EBADF;
    number = strtol(pid + strlen("\nPid:"), NULL, 10);
    return number > 0 ? (int)number : -ESRCH; /* -1: it has ended */
}

/* The process whose directory in our own /proc a descriptor is of (pidfd_open(2)), or -EBADF. */
static int process_of_directory(struct pk_request *request, int fd)
{
    cleanup_place struct vfs_place *place = NULL;
    uint64_t pid;

    if (vfs_place_of_fd(request->kernel->vfs, fd, &place) < 0)
        return -EBADF;
    pid = vfs_process_of_place(place);
    return pid ? (int)pid : -EBADF;
}

/* The siginfo that goes with the signal: the caller's, or what kill(2) would say. */
static int read_info(struct pk_request *request, int sig, siginfo_t *info)
{
    int r;

    memset(info, 0, sizeof(*info));
    if (request->args[2]) {
        r = pk_read(request, request->args[2], info, sizeof(*info));
        if (r < 0)
            return r;
        if (info->si_signo != sig)
            return -EINVAL;
        return info->si_code >= 0 || info->si_code == SI_TKILL ? -EPERM : 0;
    }
    info->si_signo = sig;
    info->si_code = SI_QUEUE;
    info->si_pid = request->task->process->pid;
    info->si_uid = request->context->identity.uid;
    return 0;
}

static int send_to_number(struct pk_request *request, pid_t pid, int sig)
{
    siginfo_t info;
    int r = read_info(request, sig, &info);

    if (r < 0)
        return r;
    r = sig ? (int)syscall(SYS_rt_sigqueueinfo, pid, sig, &info) : kill(pid, 0);
    return r < 0 ? -errno : 0;
}

static struct pk_answer signal_through_directory(struct pk_request *request, int fd)
{
    int pid = process_of_directory(request, fd);

    if (pid < 0)
        return pk_error(pid);
    if (!pk_pid_is_ours(request->kernel, pid))
        return pid == PROCESS_INIT ? signal_init(request) : pk_error(-ESRCH);
    if ((unsigned)request->args[3])
        return pk_error(-EINVAL);
    return process_may_signal(request, pid)
               ? pk_value(send_to_number(request, pid, (int)request->args[1]))
               : pk_error(-EPERM);
}

/*
 * Performed on a duplicate: the number could be made another pidfd, one that came over a socket
 * from outside, between check and call.
 */
static int send_through(struct pk_request *request, int pidfd, int sig)
{
    siginfo_t info;
    int r = read_info(request, sig, &info);

    if (r < 0)
        return r;
    r = (int)syscall(SYS_pidfd_send_signal, pidfd, sig, sig ? &info : NULL,
                     (unsigned)request->args[3]);
    return r < 0 ? -errno : 0;
}

static struct pk_answer do_pidfd_send_signal(struct pk_request *request)
{
    cleanup_close int pidfd = pk_get_fd(request, (int)request->args[0]);
    int pid;

    if (!is_signal(request->args[1]))
        return pk_error(-EINVAL);
    if (pidfd < 0)
        return pk_error(pidfd);
    pid = process_of_pidfd(pidfd);
    if (pid == -EBADF)
        return signal_through_directory(request, pidfd);
    if (pid < 0)
        return pk_error(pid);
    if (!pk_pid_is_ours(request->kernel, pid))
        return refuse(request, pid);
    if (!process_may_signal(request, pid))
        return pk_error(-EPERM);
    /* Flags that mean more than one process (6.9: PIDFD_SIGNAL_PROCESS_GROUP) reach strangers. */
    if ((unsigned)request->args[3] & ~3u)
        return pk_error(-EINVAL);
    return pk_value(send_through(request, pidfd, (int)request->args[1]));
}

int linux_register_signal(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_kill, do_kill},
        {ABI_NR_tkill, do_tkill},
        {ABI_NR_tgkill, do_tgkill},
        {ABI_NR_rt_sigqueueinfo, do_rt_sigqueueinfo},
        {ABI_NR_rt_tgsigqueueinfo, do_rt_tgsigqueueinfo},
        {ABI_NR_pidfd_send_signal, do_pidfd_send_signal},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    return 0;
}

/*
 * The notification loop: receives, dispatches, carries answers out.
 *
 * RECV blocks without poll() before it (that would cost 0.6 us a call), so a wake-up needs care.
 * RECV refuses a buffer that is not zero. The wake-up signal's handler writes into the buffer: when
 * it comes before the kernel's check RECV fails with EINVAL, during the wait with EINTR, and after
 * that the field it wrote is not looked at. So no wake-up is lost, whenever it comes.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "trap/trap-internal.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

static bool is_errno(int64_t value)
{
    return value < 0 && value >= -4095;
}

/* These take a lock interruptibly, before they do anything. */
int trap_ioctl(const struct trap *trap, unsigned long request, void *argument)
{
    int r;

    do
        r = ioctl(trap->listener, request, argument);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

bool trap_is_waiting(const struct trap *trap, uint64_t id)
{
    return trap_ioctl(trap, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

int trap_send(struct trap *trap, uint64_t id, int64_t value)
{
    struct seccomp_notif_resp response = {.id = id};

    if (is_errno(value))
        response.error = (int32_t)value;
    else
        response.val = value;
    return trap_ioctl(trap, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int trap_send_native(struct trap *trap, uint64_t id)
{
    struct seccomp_notif_resp response = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    return trap_ioctl(trap, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

/*
 * ADDFD sleeps until the guest has taken the descriptor. A signal in that sleep must not happen:
 * with FLAG_SEND the host counts the notification as answered already, and the guest's call would
 * return 0 without a descriptor.
 */
static int add_fd(struct trap *trap, uint64_t id, int fd, int number, unsigned fd_flags,
                  unsigned flags)
{
    struct seccomp_notif_addfd request = {.id = id,
                                          .srcfd = (uint32_t)fd,
                                          .newfd = number < 0 ? 0 : (uint32_t)number,
                                          .newfd_flags = fd_flags,
                                          .flags = flags};
    sigset_t all;
    sigset_t old;
    int r;

    if (number >= 0)
        request.flags |= SECCOMP_ADDFD_FLAG_SETFD;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = trap_ioctl(trap, SECCOMP_IOCTL_NOTIF_ADDFD, &request);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

int trap_make_room(pid_t tid, struct rlimit *ret_old)
{
    struct rlimit more;

    if (prlimit(tid, RLIMIT_NOFILE, NULL, ret_old) < 0)
        return -errno;
    more.rlim_cur = ret_old->rlim_cur + 2;
    more.rlim_max = more.rlim_cur > ret_old->rlim_max ? more.rlim_cur : ret_old->rlim_max;
    return prlimit(tid, RLIMIT_NOFILE, &more, NULL) < 0 ? -errno : 0;
}

int trap_add_fd(struct trap *trap, uint64_t id, int fd, int number, unsigned fd_flags)
{
    return add_fd(trap, id, fd, number, fd_flags, 0);
}

int trap_send_fd(struct trap *trap, uint64_t id, int fd, int number, unsigned fd_flags,
                 int *ret_left)
{
    int installed;
    int r;

    *ret_left = -1;
    if (trap->features.addfd_send)
        return add_fd(trap, id, fd, number, fd_flags, SECCOMP_ADDFD_FLAG_SEND);
    installed = add_fd(trap, id, fd, number, fd_flags, 0);
    if (installed < 0)
        return installed;
    r = trap_send(trap, id, installed);
    if (r == 0)
        return installed;
    *ret_left = installed;
    return r;
}

void trap_interrupt(pid_t pid, pid_t kernel_tid, union trap_notice *notice)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = TRAP_SIGNAL;
    info.si_code = SI_QUEUE;
    info.si_pid = pid;
    info.si_uid = getuid();
    info.si_value.sival_ptr = notice;
    syscall(SYS_rt_tgsigqueueinfo, pid, kernel_tid, TRAP_SIGNAL, &info);
}

void trap_wake(struct trap *trap)
{
    if (!atomic_exchange(&trap->woken, true))
        trap_interrupt(trap->self, trap->kernel_tid, &trap->notice);
}

void trap_stop(struct trap *trap)
{
    atomic_store(&trap->stopping, true);
    trap_wake(trap);
}

bool trap_fill_request(struct trap_call *call, const struct seccomp_notif *notif)
{
    struct pk_request *request = &call->request;
    struct pk_kernel *kernel = call->trap->kernel;
    struct rlimit limit;

    call->id = notif->id;
    call->tid = (pid_t)notif->pid;
    *request = (struct pk_request){.kernel = kernel,
                                   .nr = notif->data.nr,
                                   .instruction = notif->data.instruction_pointer,
                                   .port = &trap_port_ops,
                                   .port_data = call};
    memcpy(request->args, notif->data.args, sizeof(request->args));
    request->call = abi_syscall_by_nr(request->nr);
    request->task = pk_task_find(kernel, call->tid);
    if (request->task == NULL || prlimit(call->tid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return false;
    request->context = pk_context_by_id(kernel, limit.rlim_cur);
    kernel->current_context = request->context;
    if (kernel->config.stats || kernel->tracer)
        request->received_ns = io_now_ns();
    return request->context != NULL;
}

/* The guest was gone, or was interrupted before it could take the answer. */
static void undelivered(struct trap_call *call, const struct journal_outcome *outcome)
{
    struct trap *trap = call->trap;

    trap->kernel->stats.cancelled++;
    /* An injected error is given once, too: its rule has counted the call. */
    if (!trap->features.wait_killable && (outcome->value >= 0 || call->request.fault))
        journal_add(trap, call, outcome);
    else
        base_close(outcome->fd);
}

static int64_t carry_value(struct trap_call *call, const struct pk_answer *answer)
{
    struct journal_outcome outcome = {.value = answer->value, .fd = -1, .left = -1};

    if (trap_send(call->trap, call->id, answer->value) == -ENOENT)
        undelivered(call, &outcome);
    return answer->value;
}

/*
 * The descriptor is in the guest before its call returns, and not here any more. Only a thread that
 * is being killed can be gone in between, since it waits for the answer as a killable one.
 */
static int64_t carry_end(struct trap_call *call, struct pk_answer *answer)
{
    cleanup_close int fd = take_fd(&answer->fd);
    int r = trap_add_fd(call->trap, call->id, fd, answer->number, answer->fd_flags);

    base_close(take_fd(&fd));
    trap_send(call->trap, call->id, r);
    return r;
}

static int64_t carry_descriptor(struct trap_call *call, struct pk_answer *answer)
{
    struct journal_outcome outcome = {.number = answer->number, .fd_flags = answer->fd_flags};
    cleanup_close int fd = -1;
    int r;

    placement_hold(&call->trap->placement, call->tid);
    if (answer->is_end && call->trap->features.wait_killable)
        return carry_end(call, answer);
    fd = take_fd(&answer->fd);
    r = trap_send_fd(call->trap, call->id, fd, answer->number, answer->fd_flags, &outcome.left);
    if (r == -ENOENT) {
        outcome.fd = take_fd(&fd);
        undelivered(call, &outcome);
    } else if (r < 0) {
        trap_send(call->trap, call->id, r);
    }
    return r;
}

static int64_t carry_exec(struct trap_call *call, struct pk_answer *answer)
{
    struct trap *trap = call->trap;
    pid_t pid = call->request.task->process->pid;
    int token = pending_add(trap, pid, call->tid, take_ptr(answer->plan));
    struct pending_installed installed;
    int r;

    placement_hold(&trap->placement, call->tid);
    r = token < 0 ? token : divert_exec(call, pending_path((unsigned)token));

    if (r == 0)
        return 0;
    if (token >= 0)
        pk_exec_plan_free(pending_take(trap, pid, (uint64_t)token, &installed));
    if (r != -ENOENT)
        trap_send(trap, call->id, r);
    return r;
}

static int64_t carry_deferred(struct trap_call *call, struct pk_answer *answer)
{
    int r = park_add(call, take_ptr(answer->job));

    if (r < 0)
        trap_send(call->trap, call->id, r);
    return r;
}

/* Returns what the guest sees. */
static int64_t carry_out(struct trap_call *call, struct pk_answer *answer)
{
    if (call->answered)
        return answer->value;
    if (call->held)
        return inject_finish(call, answer);
    switch (answer->kind) {
    case PK_ANSWER_DESCRIPTOR:
        return carry_descriptor(call, answer);
    case PK_ANSWER_NATIVE:
        trap_send_native(call->trap, call->id);
        return 0;
    case PK_ANSWER_EXEC:
        return carry_exec(call, answer);
    case PK_ANSWER_DEFERRED:
        return carry_deferred(call, answer);
    case PK_ANSWER_LATER:
        return 0;
    case PK_ANSWER_VALUE:
        break;
    }
    return carry_value(call, answer);
}

/* On hosts where a signal would have taken the thread out of its notification. */
static void send_signal(struct trap_call *call)
{
    if (call->signal && call->request.task)
        syscall(SYS_tgkill, call->request.task->process->pid, call->tid, call->signal);
}

/* A deferred call is not done before it has come back: its time and its line come then. */
void trap_conclude(struct trap_call *call, struct pk_answer *answer)
{
    struct pk_request *request = &call->request;
    bool deferred = answer->kind == PK_ANSWER_DEFERRED;
    bool later = answer->kind == PK_ANSWER_LATER;
    int64_t result;

    if (fetch_again(call, answer)) {
        request->kernel->current_context = NULL;
        pk_trace_drop(request);
        free(request->note);
        return;
    }
    if (request->fault && request->fault->delay_exit_ns && !later && delay_answer(call, answer))
        return;
    result = carry_out(call, answer);
    send_signal(call);
    if ((!deferred && !later) || result < 0) {
        pk_dispatch_done(request, answer, result);
        return;
    }
    request->kernel->stats.deferred += deferred;
    request->kernel->current_context = NULL;
    pk_trace_drop(request);
    free(request->note);
}

/* The deferred call is back, with its job done. */
static void serve_result(struct trap_call *call, const struct seccomp_notif *notif,
                         struct park_result *result)
{
    struct pk_answer answer = result->answer;
    bool alive = trap_fill_request(call, notif);

    if (result->received_ns)
        call->request.received_ns = result->received_ns;
    if (alive)
        pk_trace_begin(&call->request);
    if (!alive)
        answer = pk_error(-ESRCH);
    else if (result->job)
        answer = result->job->finish(result->job, &call->request, result->value);
    pk_trace_answered(&call->request, &answer);
    if (result->job)
        result->job->release(result->job);
    else if (!alive)
        pk_answer_discard(&result->answer);
    trap_conclude(call, &answer);
}

void trap_serve(struct trap *trap, const struct seccomp_notif *notif)
{
    struct trap_call call = {.trap = trap, .id = notif->id, .tid = (pid_t)notif->pid};
    struct pk_request *request = &call.request;
    struct park_result result = {0};
    struct pk_answer answer;

    placement_saw(&trap->placement, call.tid);
    if (journal_replay(trap, notif))
        return;
    if (park_take(trap, notif, &result)) {
        serve_result(&call, notif, &result);
        return;
    }
    if (notif->data.nr == SYS_prctl && (uint32_t)notif->data.args[0] == LOADER_OPTION) {
        loader_serve(trap, notif);
        return;
    }
    if (trap->answered.count)
        pending_settle(trap, (pid_t)notif->pid);
    if (trap->fetched.count)
        fetch_take(&call, notif);
    request->kernel = trap->kernel;
    request->nr = notif->data.nr;
    memcpy(request->args, notif->data.args, sizeof(request->args));
    request->instruction = notif->data.instruction_pointer;
    request->port = &trap_port_ops;
    request->port_data = &call;
    answer = pk_dispatch(request, call.tid);
    trap_conclude(&call, &answer);
    fetch_release(&call);
}

static void serve_held(struct trap *trap)
{
    while (!list_is_empty(&trap->held)) {
        struct trap_held *held = list_entry(trap->held.next, struct trap_held, node);

        list_remove(&held->node);
        trap_serve(trap, &held->notif);
        free(held);
    }
}

int trap_resume(struct trap *trap, const struct pk_ticket *ticket)
{
    return trap_resume_with(trap, ticket, NULL, 0);
}

int trap_resume_with(struct trap *trap, const struct pk_ticket *ticket,
                     const struct pk_fault *fault, uint64_t received_ns)
{
    struct trap_call call = {.trap = trap, .id = ticket->id, .tid = ticket->tid};
    struct pk_request *request = &call.request;
    struct pk_answer answer;
    uint64_t id = ticket->id;

    if (trap_ioctl(trap, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
        return -ENOENT;
    request->kernel = trap->kernel;
    request->nr = ticket->nr;
    memcpy(request->args, ticket->args, sizeof(request->args));
    request->instruction = ticket->instruction;
    request->resumed = true;
    request->fault = fault;
    request->received_ns = received_ns;
    request->port = &trap_port_ops;
    request->port_data = &call;
    answer = pk_dispatch(request, call.tid);
    trap_conclude(&call, &answer);
    if (!list_is_empty(&trap->held))
        serve_held(trap);
    return 0;
}

int trap_listener(const struct trap *trap)
{
    return trap->listener;
}

/* Reads what the reaper says; blocks. Returns false at the end of the tree. */
bool trap_read_status(struct trap *trap)
{
    int status;

    if (io_read_all(trap->status_fd, &status, sizeof(status)) < 0)
        return false;
    if (!WIFSTOPPED(status) && !WIFCONTINUED(status)) {
        trap->first_status = status;
        atomic_store(&trap->first_ended, true);
    }
    if (trap->first_changed)
        trap->first_changed(trap->first_changed_user, status);
    return true;
}

static bool has_hung_up(const struct trap *trap)
{
    struct pollfd listener = {.fd = trap->listener, .events = POLLIN};

    return poll(&listener, 1, 0) == 1 && (listener.revents & (POLLHUP | POLLERR));
}

/*
 * After an interruption: takes the reaper's reports. The tree is gone, or must be taken to be, when
 * there is no reaper any more (somebody killed it, and with it the first process).
 */
static bool reaper_is_gone(struct trap *trap)
{
    struct pollfd status = {.fd = trap->status_fd, .events = POLLIN};

    if (trap->parking && !trap->features.recv_ends)
        return false; /* the parking thread reads them */
    while (poll(&status, 1, 0) == 1)
        if (!trap_read_status(trap))
            return true;
    return false;
}

static void look_around(struct trap *trap)
{
    if (!atomic_exchange(&trap->woken, false))
        return;
    park_collect(trap);
    if (atomic_load(&trap->stopping) && trap->reaper > 0)
        kill(trap->reaper, TRAP_SIGNAL);
}

/*
 * Makes the buffer ready for RECV. Returns whether it was spoilt: then somebody has woken us while
 * the last request was served, or instead of it. A wake-up that comes from here on spoils RECV.
 */
static bool clean_notice(union trap_notice *notice)
{
    size_t flags = offsetof(struct seccomp_notif, flags);
    size_t rest = flags + sizeof(notice->notif.flags);

    memset(notice->room, 0, flags);
    memset(notice->room + rest, 0, sizeof(notice->room) - rest);
    return __atomic_exchange_n(&notice->notif.flags, 0, __ATOMIC_SEQ_CST);
}

/* After a wake-up: it does not say what for. */
static void attend(struct trap *trap)
{
    placement_tick(&trap->placement);
    if (reaper_is_gone(trap))
        atomic_store(&trap->tree_gone, true);
    watch_serve(trap);
}

/* Serves one event. Returns 1 to go on, 0 at the end of the tree, or a negative errno. */
static int serve_next(struct trap *trap)
{
    struct seccomp_notif notif;

    if (clean_notice(&trap->notice))
        attend(trap);
    look_around(trap);
    if (trap->delays.count)
        delay_serve(trap);
    if (atomic_load(&trap->tree_gone))
        return 0;
    if (ioctl(trap->listener, SECCOMP_IOCTL_NOTIF_RECV, &trap->notice) == 0) {
        notif = trap->notice.notif;
        trap_serve(trap, &notif);
        if (!list_is_empty(&trap->held))
            serve_held(trap);
        return 1;
    }
    if (errno == EINTR || errno == EINVAL) {
        clean_notice(&trap->notice); /* what comes from here on spoils it again */
        attend(trap);
        return 1;
    }
    /* The notification went away before we got it, or there is nobody left who could make one. */
    if (errno == ENOENT)
        return has_hung_up(trap) ? 0 : 1;
    return -errno;
}

int trap_run(struct trap *trap, int *ret_status)
{
    int r = 1;

    if (gettid() != trap->kernel_tid)
        return -EINVAL;
    if (!trap->features.recv_ends)
        r = park_start(trap) < 0 ? -ENOMEM : 1;
    while (r > 0)
        r = serve_next(trap);
    if (r < 0)
        return r;
    if (!atomic_load(&trap->tree_gone))
        while (trap_read_status(trap))
            ;
    *ret_status = trap->first_ended ? trap->first_status : SIGKILL;
    return 0;
}

/*
 * The trace of an attached process. This program gets the calls as a handler would: it shows one,
 * then lets it pass, or denies it. When it is killed, the keeper lets them pass.
 */
#include "cli/attach-trace.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "core/kernel.h"

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < array_length(ending); i++)
        sigaddset(set, ending[i]);
}

void attach_trace_prepare(void)
{
    sigset_t set;

    fill_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setvbuf(stderr, NULL, _IOLBF, 0);
}

static ssize_t read_target(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {.iov_base = bytes, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = length};
    ssize_t n = process_vm_readv(request->task->tid, &local, 1, &remote, 1, 0);

    return n < 0 ? -errno : n;
}

static void print_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static void answer(const struct attachment *attachment, const struct channel_call *call, int errnum)
{
    struct seccomp_notif_resp response = {
        .id = call->id, .error = -errnum, .flags = errnum ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    while (ioctl(attachment->listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno == EINTR)
        ;
}

/* The call goes on only after its arguments were read. */
static void show(struct pk_kernel *kernel, const struct attachment *attachment,
                 const struct channel_call *call, int errnum)
{
    static const struct pk_port_ops port = {.read = read_target};
    uint64_t start = io_now_ns();
    struct pk_process process = {.pid = call->pid};
    struct pk_task task = {.tid = call->tid, .process = &process};
    struct pk_request request = {.kernel = kernel,
                                 .task = &task,
                                 .call = abi_syscall_by_nr(call->nr),
                                 .nr = call->nr,
                                 .port = &port};
    struct pk_answer result = errnum ? pk_error(-errnum) : pk_native();

    memcpy(request.args, call->args, sizeof(request.args));
    request.denied = errnum != 0;
    pk_trace_begin(&request);
    pk_trace_answered(&request, &result);
    answer(attachment, call, errnum);
    if (request.traced)
        kernel->tracer->end(kernel->tracer->user, &request, &result, -errnum, io_now_ns() - start);
}

/* Returns false when there is nothing more to come. */
static bool serve(struct pk_kernel *kernel, const struct channel_rules *rules,
                  const struct attachment *attachment)
{
    struct channel_message message;
    int sent = -1;

    if (channel_receive(attachment->channel, &message, &sent) < 0)
        return false;
    base_close(sent);
    if (message.type == CHANNEL_CALL && message.call.nr >= 0 && message.call.nr < CHANNEL_NUMBERS)
        show(kernel, attachment, &message.call, rules->denied[message.call.nr]);
    return message.type != CHANNEL_ENDED && message.type != CHANNEL_DETACHED;
}

static void ask_to_detach(const struct attachment *attachment)
{
    struct channel_message stop = {.type = CHANNEL_STOP};

    channel_send(attachment->channel, &stop, 0, -1);
}

void attach_trace_run(const struct trace_options *trace, const struct channel_rules *rules,
                      const struct attachment *attachment)
{
    struct trace_options options = *trace;
    struct pk_tracer tracer;
    cleanup_free struct pk_kernel *kernel = calloc(1, sizeof(*kernel));
    struct pollfd fds[2] = {{.fd = attachment->channel, .events = POLLIN}};
    cleanup_close int signals = -1;
    bool more = kernel != NULL;
    sigset_t set;

    fill_set(&set);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    fds[1] = (struct pollfd){.fd = signals, .events = POLLIN};
    options.line = print_line;
    trace_tracer(&options, &tracer);
    if (kernel)
        kernel->tracer = &tracer;
    while (more && poll(fds, array_length(fds), -1) > 0) {
        if (fds[1].revents) {
            ask_to_detach(attachment);
            fds[1].fd = -1; /* what is on its way still has to be answered */
        }
        if (fds[0].revents)
            more = serve(kernel, rules, attachment);
    }
}

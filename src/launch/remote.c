/*
 * A kernel that was made through the C API: its intercepted calls go to the program that made it,
 * over the channel (control/channel.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "control/channel.h"
#include "launch/launch-internal.h"

struct remote {
    struct pk_kernel *kernel;
    struct trap *trap;
    int channel;          /* borrowed */
    struct map tickets;   /* tid -> struct pk_ticket: a thread waits in one call at a time */
    struct pk_sink outer; /* gets the records, too */
    pid_t program;        /* that made this kernel */
};

static struct pk_ticket *ticket_slot(struct remote *remote, pid_t tid)
{
    struct pk_ticket *ticket = map_get(&remote->tickets, (uint64_t)tid);

    if (ticket)
        return ticket;
    ticket = calloc(1, sizeof(*ticket));
    if (ticket && map_set(&remote->tickets, (uint64_t)tid, ticket) == 0)
        return ticket;
    free(ticket);
    return NULL;
}

static void drop_ticket(struct remote *remote, pid_t tid)
{
    free(map_remove(&remote->tickets, (uint64_t)tid));
}

/* Threads that have ended leave their last ticket. */
static void sweep(struct remote *remote)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&remote->tickets, &cursor))) {
        struct pk_ticket *ticket = slot->value;

        if (kill(ticket->tid, 0) < 0 && errno == ESRCH)
            drop_ticket(remote, ticket->tid);
    }
}

#define SWEEP_AT 1024

/* The program is not asked what it cannot be told: then the call fails rather than pass unseen. */
static struct pk_answer intercept(struct pk_request *request)
{
    struct remote *remote = request->kernel->interceptor_user;
    struct channel_message message = {.type = CHANNEL_CALL};
    struct pk_ticket *ticket;
    int r;

    if (remote->tickets.count >= SWEEP_AT)
        sweep(remote);
    ticket = ticket_slot(remote, request->task->tid);
    if (ticket == NULL)
        return pk_error(-ENOMEM);
    request->port->ticket(request, ticket);
    message.call = (struct channel_call){.id = ticket->id,
                                         .tid = ticket->tid,
                                         .pid = request->task->process->pid,
                                         .nr = ticket->nr,
                                         .cpu = ticket->cpu,
                                         .instruction = ticket->instruction};
    memcpy(message.call.args, ticket->args, sizeof(message.call.args));
    r = channel_send(remote->channel, &message, sizeof(message.call), -1);
    return r < 0 ? pk_error(r == -EAGAIN ? -EAGAIN : -EIO) : pk_later();
}

static void forward(struct remote *remote, const struct channel_call *call)
{
    struct pk_ticket *slot = map_get(&remote->tickets, (uint64_t)call->tid);
    struct pk_ticket ticket;

    if (slot == NULL || slot->id != call->id)
        return;
    ticket = *slot;
    drop_ticket(remote, ticket.tid);
    trap_resume(remote->trap, &ticket);
}

static void send_signal(struct remote *remote, int number)
{
    pid_t pid = remote->kernel->root_pid;
    int r = kill(pid, number) < 0 ? -errno : 0;

    pk_audit_action(remote->kernel, NULL, "control", remote->program, r, "signal %d to %d", number,
                    pid);
}

static void stop(struct remote *remote, const char *why)
{
    pk_audit_action(remote->kernel, NULL, "control", remote->program, 0, "%s", why);
    trap_stop(remote->trap);
}

/* What the program refuses is a denial as any other, but for its own telling of it. */
static void record_denial(struct remote *remote, const struct channel_denied *denied)
{
    const struct abi_syscall *call = abi_syscall_by_nr(denied->nr);
    struct pk_audit_record record = {.event = "denied",
                                     .pid = denied->pid,
                                     .tid = denied->tid,
                                     .rule = "the program that runs it denies it",
                                     .answer = -denied->errnum};
    char what[64];

    if (call == NULL)
        return;
    snprintf(record.call, sizeof(record.call), "%s", call->name);
    snprintf(what, sizeof(what), "system call %s", call->name);
    record.what = what;
    remote->kernel->stats.denials++;
    pk_audit(remote->kernel, NULL, &record);
}

static void obey(struct remote *remote, const struct channel_message *message)
{
    switch (message->type) {
    case CHANNEL_FORWARD:
        forward(remote, &message->call);
        break;
    case CHANNEL_SIGNAL:
        send_signal(remote, message->number);
        break;
    case CHANNEL_STOP:
        stop(remote, "stop");
        break;
    case CHANNEL_DENIED:
        record_denial(remote, &message->denied);
        break;
    default:
        break;
    }
}

static void on_channel(void *user, int fd)
{
    struct remote *remote = user;
    struct channel_message message;
    int sent = -1;
    int r;

    while ((r = channel_receive(fd, &message, &sent)) == 0) {
        base_close(sent);
        obey(remote, &message);
    }
    if (r == -EAGAIN)
        return;
    /* The program is gone, or talks nonsense: nobody would answer the guest's calls. */
    trap_unwatch(remote->trap, fd);
    stop(remote, r == -EPIPE ? "stop: the program that made it is gone"
                             : "stop: the program that made it talks nonsense");
}

static void on_denial(void *user, const struct pk_denial *denial)
{
    struct remote *remote = user;
    struct channel_message message = {.type = CHANNEL_DENIAL};
    const char *parts[] = {denial->what, denial->rule, denial->allow};
    size_t used = 0;

    for (size_t i = 0; i < array_length(parts); i++) {
        size_t room = sizeof(message.text) - used - (array_length(parts) - i);
        size_t length = strnlen(parts[i], room);

        memcpy(message.text + used, parts[i], length);
        used += length + 1;
    }
    channel_send(remote->channel, &message, used, -1);
}

static void on_audit(void *user, const struct pk_audit_record *record)
{
    struct remote *remote = user;

    remote->outer.audit(remote->outer.user, record);
}

/* Denials are the program's to tell; the other records stay what they are. */
static void take_sink(struct remote *remote)
{
    struct pk_sink *sink = &remote->kernel->sink;

    remote->outer = *sink;
    *sink = (struct pk_sink){
        .denial = on_denial, .audit = sink->audit ? on_audit : NULL, .user = remote};
}

/* Of a socket pair it is who made the pair. */
static pid_t peer_of(int channel)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid;
}

int remote_start(struct pk_kernel *kernel, struct trap *trap, int channel,
                 struct remote **ret_remote)
{
    struct channel_message message = {
        .type = CHANNEL_STARTED,
        .started = {.version = CHANNEL_VERSION, .pid = kernel->root_pid, .supervisor = getpid()}};
    struct remote *remote = calloc(1, sizeof(*remote));
    int r;

    if (remote == NULL)
        return -ENOMEM;
    *remote = (struct remote){
        .kernel = kernel, .trap = trap, .channel = channel, .program = peer_of(channel)};
    r = fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0)
        r = channel_send(channel, &message, sizeof(message.started), trap_listener(trap));
    if (r == 0)
        r = trap_watch(trap, channel, on_channel, remote);
    if (r < 0) {
        free(remote);
        return r;
    }
    take_sink(remote);
    kernel->interceptor = intercept;
    kernel->interceptor_user = remote;
    *ret_remote = remote;
    return 0;
}

void remote_end(struct remote *remote, const struct launch_result *result)
{
    struct channel_message message = {.type = CHANNEL_ENDED,
                                      .ended = {.wait_status = result->wait_status,
                                                .exit_status = result->exit_status,
                                                .duration_ns = result->duration_ns}};

    if (remote)
        channel_send(remote->channel, &message, sizeof(message.ended), -1);
}

void remote_free(struct remote *remote)
{
    struct map_slot *slot;
    size_t cursor = 0;

    if (remote == NULL)
        return;
    trap_unwatch(remote->trap, remote->channel);
    remote->kernel->sink = remote->outer;
    remote->kernel->interceptor = NULL;
    while ((slot = map_next(&remote->tickets, &cursor)))
        free(slot->value);
    map_free(&remote->tickets);
    free(remote);
}

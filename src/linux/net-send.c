/*
 * Sending for the guest: the address and the data are copied, and the process kernel sends them on
 * a duplicate of the socket. See unix-send.c for AF_UNIX datagrams.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

/* No datagram of IP is longer; a stream may take fewer bytes than offered. */
#define DATAGRAM_MAX 65535
#define CHUNK_MAX    (256 << 10)
#define SMALL        (16 << 10)

struct send_job {
    struct pk_job job;
    int fd;
    bool is_stream;
    struct net_message message;
};

void net_message_release(struct net_message *message)
{
    for (size_t i = 0; i < message->right_count; i++)
        base_close(message->rights[i]);
    base_close(message->path_fd);
    free(message->control);
    free(message->data);
    *message = (struct net_message){.path_fd = -1};
}

/* Flags of ours: signals are for the guest, and the data must not be read after the call. */
static int64_t send_now(const struct send_job *self, int extra)
{
    const struct net_message *message = &self->message;
    int flags = (message->flags & ~MSG_ZEROCOPY) | MSG_NOSIGNAL | extra;
    struct iovec part = {message->data, message->length};
    struct msghdr header = {
        .msg_name = message->address.length ? (void *)&message->address.any : NULL,
        .msg_namelen = message->address.length,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = message->control,
        .msg_controllen = message->control_length,
    };
    ssize_t n = sendmsg(self->fd, &header, flags);

    return n < 0 ? -errno : n;
}

static int64_t run_send(struct pk_job *job)
{
    return send_now(container_of(job, struct send_job, job), 0);
}

static struct pk_answer conclude(const struct send_job *self, struct pk_request *request,
                                 int64_t result)
{
    unsigned length = (unsigned)result;

    /* The signal that the guest's own call would have raised. */
    if (result == -EPIPE && self->is_stream && !(self->message.flags & MSG_NOSIGNAL))
        syscall(SYS_tgkill, request->task->process->pid, request->task->tid, SIGPIPE);
    if (result < 0 || self->message.length_at == 0)
        return pk_value(result);
    result = pk_write(request, self->message.length_at, &length, sizeof(length));
    return pk_value(result < 0 ? result : 1);
}

static struct pk_answer finish_send(struct pk_job *job, struct pk_request *request, int64_t result)
{
    return conclude(container_of(job, struct send_job, job), request, result);
}

static void release_send(struct pk_job *job)
{
    struct send_job *self = container_of(job, struct send_job, job);

    net_message_release(&self->message);
    base_close(self->fd);
    free(self);
}

/*
 * Is there surely room for that much on a stream? One that waits takes all of it; what has been
 * sent in part could not be left to a job, which may be cancelled and begun anew.
 */
static bool fits(int fd, size_t length)
{
    int room, queued;
    socklen_t size = sizeof(room);

    return length <= SMALL || (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 &&
                               ioctl(fd, SIOCOUTQ, &queued) == 0 && room > 0 && queued >= 0 &&
                               length + (size_t)queued <= (size_t)room / 4);
}

struct pk_answer net_send(struct pk_request *request, int fd, bool blocks,
                          struct net_message *message)
{
    struct send_job *self = malloc(sizeof(*self));
    struct pk_answer answer;
    int64_t result;

    if (self == NULL) {
        net_message_release(message);
        base_close(fd);
        return pk_error(-ENOMEM);
    }
    *self = (struct send_job){
        .job = {.run = run_send, .finish = finish_send, .release = release_send},
        .fd = fd,
        .is_stream = net_type(fd) == SOCK_STREAM,
        .message = *message,
    };
    *message = (struct net_message){.path_fd = -1};
    blocks = blocks && !(self->message.flags & MSG_DONTWAIT);
    if (blocks && self->is_stream && !fits(fd, self->message.length))
        return pk_deferred(&self->job);
    result = send_now(self, MSG_DONTWAIT);
    if (result == -EAGAIN && blocks)
        return pk_deferred(&self->job);
    answer = conclude(self, request, result);
    release_send(&self->job);
    return answer;
}

int net_message_data(struct pk_request *request, uint64_t address, uint64_t length,
                     struct net_message *message)
{
    char *data = malloc(length ? length : 1);
    int r = data ? pk_read(request, address, data, length) : -ENOMEM;

    if (r < 0) {
        free(data);
        return r;
    }
    message->data = data;
    message->length = length;
    return 0;
}

int net_judge_local(int fd, struct net_address *address)
{
    struct net_address peer = {.length = sizeof(peer.storage)};

    if (net_type(fd) == SOCK_STREAM)
        return getpeername(fd, &peer.any, &peer.length) == 0 ? -EISCONN : -EOPNOTSUPP;
    address->length = 0; /* sequenced packets go to the peer */
    return 0;
}

static int check_length(int fd, uint64_t *length)
{
    if (net_type(fd) == SOCK_STREAM) {
        if (*length > CHUNK_MAX)
            *length = CHUNK_MAX;
        return 0;
    }
    return *length > (net_domain(fd) == AF_UNIX ? CHUNK_MAX : DATAGRAM_MAX) ? -EMSGSIZE : 0;
}

/* Copies what a sendto() needs besides the address. */
static int take_message(struct pk_request *request, int fd, int domain, struct net_message *message)
{
    uint64_t length = request->args[2];
    int r = domain == AF_UNIX ? net_judge_local(fd, &message->address) : 0;

    if (r == 0)
        r = check_length(fd, &length);
    message->flags = (int)request->args[3];
    return r < 0 ? r : net_message_data(request, request->args[1], length, message);
}

struct pk_answer net_do_sendto(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct net_message message = {.path_fd = -1};
    struct pk_answer refusal;
    int domain, r;
    bool blocks;

    if (fd < 0)
        return pk_error(fd);
    domain = net_domain(fd);
    if (domain < 0)
        return pk_error(domain);
    if (unix_is_datagram(fd))
        return unix_send(request, fd);
    if (request->args[4] == 0)
        return pk_native(); /* something else in the window, and no address */
    r = net_read_address(request, request->args[4], request->args[5], &message.address);
    if (r < 0)
        return pk_error(r);
    if (net_judge(request, fd, domain, &message.address, &refusal) < 0)
        return refusal;
    r = take_message(request, fd, domain, &message);
    if (r < 0)
        return pk_error(r);
    blocks = net_blocks(fd);
    return net_send(request, take_fd(&fd), blocks, &message);
}

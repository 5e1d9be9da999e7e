/*
 * sendto with an address: the address and the data are copied, the process kernel sends on a
 * duplicate of the socket.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

/* No datagram of IP is longer; a stream may take fewer bytes than offered. */
#define DATAGRAM_MAX 65535
#define CHUNK_MAX    (256 << 10)

struct send_job {
    struct pk_job job;
    int fd;
    int flags; /* as the guest gave them */
    struct net_address address;
    size_t length;
    char data[];
};

/* Flags of ours: signals are for the guest, and the data must not be read after the call. */
static int our_flags(const struct send_job *self, int extra)
{
    return (self->flags & ~MSG_ZEROCOPY) | MSG_NOSIGNAL | extra;
}

static int64_t send_now(const struct send_job *self, int extra)
{
    ssize_t n = sendto(self->fd, self->data, self->length, our_flags(self, extra),
                       self->address.length ? &self->address.any : NULL, self->address.length);

    return n < 0 ? -errno : n;
}

static int64_t run_send(struct pk_job *job)
{
    return send_now(container_of(job, struct send_job, job), 0);
}

/* The signal that the guest's own call would have raised. */
static struct pk_answer conclude(const struct send_job *self, struct pk_request *request,
                                 int64_t result)
{
    if (result == -EPIPE && !(self->flags & MSG_NOSIGNAL))
        syscall(SYS_tgkill, request->task->process->pid, request->task->tid, SIGPIPE);
    return pk_value(result);
}

static struct pk_answer finish_send(struct pk_job *job, struct pk_request *request, int64_t result)
{
    return conclude(container_of(job, struct send_job, job), request, result);
}

static void release_send(struct pk_job *job)
{
    struct send_job *self = container_of(job, struct send_job, job);

    base_close(self->fd);
    free(self);
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

/* Copies everything the call needs. The job owns `fd` from then on. */
static int make_job(struct pk_request *request, int fd, const struct net_address *address,
                    struct send_job **ret_job)
{
    uint64_t length = request->args[2];
    struct send_job *self;
    int r = check_length(fd, &length);

    if (r < 0)
        return r;
    self = malloc(sizeof(*self) + length);
    if (self == NULL)
        return -ENOMEM;
    *self = (struct send_job){
        .job = {.run = run_send, .finish = finish_send, .release = release_send},
        .fd = -1,
        .flags = (int)request->args[3],
        .address = *address,
        .length = length,
    };
    r = pk_read(request, request->args[1], self->data, length);
    if (r < 0) {
        free(self);
        return r;
    }
    self->fd = fd;
    *ret_job = self;
    return 0;
}

static struct pk_answer send_copy(struct pk_request *request, struct send_job *self)
{
    struct pk_answer answer;
    int64_t result = send_now(self, MSG_DONTWAIT);

    if (result == -EAGAIN && !(self->flags & MSG_DONTWAIT) && net_blocks(self->fd))
        return pk_deferred(&self->job);
    answer = conclude(self, request, result);
    release_send(&self->job);
    return answer;
}

/*
 * A datagram to a path in the guest's tree: the VFS can connect a socket to it, so the socket is
 * connected for the moment of sending.
 */
static struct pk_answer send_to_path(struct pk_request *request, int fd,
                                     const struct net_address *address)
{
    cleanup_close int ours = fd;
    struct net_address nobody = {.any.sa_family = AF_UNSPEC, .length = sizeof(sa_family_t)};
    struct net_address none = {.length = sizeof(none.storage)};
    struct send_job *self;
    struct pk_answer answer;
    int r;

    if (net_type(ours) != SOCK_DGRAM || getpeername(ours, &none.any, &none.length) == 0)
        return pk_error(-EISCONN);
    none.length = 0;
    r = make_job(request, ours, &none, &self);
    if (r < 0)
        return pk_error(r);
    self->fd = -1;
    answer = unix_connect(request, dup(ours), address);
    if (answer.kind == PK_ANSWER_VALUE && answer.value == 0) {
        self->fd = ours;
        answer = pk_value(send_now(self, MSG_DONTWAIT));
        self->fd = -1;
        connect(ours, &nobody.any, nobody.length);
    }
    release_send(&self->job);
    return answer;
}

struct pk_answer net_do_sendto(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct net_address address;
    struct pk_answer refusal;
    struct send_job *self;
    int domain, r;

    if (fd < 0)
        return pk_error(fd);
    domain = net_domain(fd);
    if (domain < 0)
        return pk_error(domain);
    r = net_read_address(request, request->args[4], request->args[5], &address);
    if (r < 0)
        return pk_error(r);
    if (net_check_domain(request, domain, &refusal) < 0)
        return refusal;
    if (domain == AF_UNIX && address.length) {
        r = unix_translate(request, &address);
        if (r == -EOPNOTSUPP)
            return send_to_path(request, take_fd(&fd), &address);
        if (r < 0)
            return pk_error(r);
    }
    r = make_job(request, fd, &address, &self);
    if (r < 0)
        return pk_error(r);
    take_fd(&fd);
    return send_copy(request, self);
}

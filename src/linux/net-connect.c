/*
 * connect and bind: performed on a duplicate of the guest's socket with a copy of the address, so
 * that neither can be exchanged between check and act.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define FIRST_FREE_PORT 1024

/* ---- connecting where it may take long ---- */

struct connect_job {
    struct pk_job job;
    int fd;
    int path_fd; /* what the address names, or -1 */
    struct net_address address;
};

static int64_t run_connect(struct pk_job *job)
{
    struct connect_job *self = container_of(job, struct connect_job, job);

    if (connect(self->fd, &self->address.any, self->address.length) == 0)
        return 0;
    /* An earlier try that was interrupted has come to its end in the meantime. */
    return errno == EISCONN ? 0 : -errno;
}

static struct pk_answer finish_connect(struct pk_job *job, struct pk_request *request,
                                       int64_t result)
{
    (void)job;
    (void)request;
    return pk_value(result);
}

static void release_connect(struct pk_job *job)
{
    struct connect_job *self = container_of(job, struct connect_job, job);

    base_close(self->fd);
    base_close(self->path_fd);
    free(self);
}

struct pk_answer net_connect_later(int fd, int path_fd, const struct net_address *address)
{
    struct connect_job *self = malloc(sizeof(*self));

    if (self == NULL) {
        base_close(fd);
        base_close(path_fd);
        return pk_error(-ENOMEM);
    }
    *self = (struct connect_job){
        .job = {.run = run_connect, .finish = finish_connect, .release = release_connect},
        .fd = fd,
        .path_fd = path_fd,
        .address = *address,
    };
    return pk_deferred(&self->job);
}

/* ---- connecting at once ---- */

void net_begin_hurry(int fd, struct net_hurry *ret_hurry)
{
    struct timeval soon = {.tv_usec = 1};
    socklen_t length = sizeof(ret_hurry->timeout);

    ret_hurry->fd = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &ret_hurry->timeout, &length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)) < 0)
        return;
    ret_hurry->fd = fd;
}

void net_end_hurry(struct net_hurry *hurry)
{
    if (hurry->fd >= 0)
        setsockopt(hurry->fd, SOL_SOCKET, SO_SNDTIMEO, &hurry->timeout, sizeof(hurry->timeout));
    hurry->fd = -1;
}

bool net_is_unfinished(int result)
{
    return result == -EAGAIN || result == -EINPROGRESS || result == -EINTR;
}

static bool is_own_machine(const struct net_address *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->storage;

    switch (address->any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ||
               four->sin_addr.s_addr == htonl(INADDR_ANY);
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
    default:
        return false;
    }
}

/* It is connected already, or listens: connect() says so at once. */
static bool is_settled(int fd)
{
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    socklen_t length = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
           info.tcpi_state != TCP_CLOSE && info.tcpi_state != TCP_SYN_SENT &&
           info.tcpi_state != TCP_SYN_RECV;
}

/* The host says EALREADY where an earlier call was interrupted, and the connection takes longer. */
static bool is_still_connecting(int result)
{
    return result == -EALREADY || net_is_unfinished(result);
}

/*
 * Everything that ends at once is done here. A waiting stream socket is tried for a tick where the
 * peer is on this machine: it has either room in its queue or nobody listens.
 */
struct pk_answer net_connect(int fd, const struct net_address *address)
{
    cleanup_close int ours = fd;
    struct net_hurry hurry = {.fd = -1};
    int r;

    if (net_blocks(ours) && net_type(ours) != SOCK_DGRAM && address->any.sa_family != AF_UNSPEC) {
        if (!is_own_machine(address) && !is_settled(ours))
            return net_connect_later(take_fd(&ours), -1, address);
        net_begin_hurry(ours, &hurry);
        if (hurry.fd < 0)
            return net_connect_later(take_fd(&ours), -1, address);
    }
    r = connect(ours, &address->any, address->length) < 0 ? -errno : 0;
    if (hurry.fd < 0)
        return pk_value(r);
    net_end_hurry(&hurry);
    if (is_still_connecting(r))
        return net_connect_later(take_fd(&ours), -1, address);
    return pk_value(r);
}

/* Takes the socket of a call apart: a duplicate of it, its domain, and the address. */
static int take_arguments(struct pk_request *request, int *ret_fd, struct net_address *ret_address)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    int domain, r;

    if (fd < 0)
        return take_fd(&fd);
    domain = net_domain(fd);
    if (domain < 0)
        return domain;
    r = net_read_address(request, request->args[1], request->args[2], ret_address);
    if (r < 0)
        return r;
    *ret_fd = take_fd(&fd);
    return domain;
}

struct pk_answer net_do_connect(struct pk_request *request)
{
    cleanup_close int fd = -1;
    struct net_address address;
    struct pk_answer refusal;
    int domain = take_arguments(request, &fd, &address);

    if (domain < 0)
        return pk_error(domain);
    if (net_loops(request, fd, domain, &address))
        return net_loop_connect(request, take_fd(&fd), domain, &address);
    if (net_judge(request, fd, domain, &address, &refusal) < 0)
        return refusal;
    if (domain == AF_UNIX)
        return unix_connect(request, take_fd(&fd), &address);
    return net_connect(take_fd(&fd), &address);
}

/* The process kernel may be allowed a port that the guest is not. */
static bool may_bind(struct pk_request *request, const struct net_address *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->storage;
    unsigned port = ntohs(four->sin_port); /* at the same place in sockaddr_in6 */

    return port == 0 || port >= FIRST_FREE_PORT || request->kernel->host_identity.euid != 0 ||
           linux_capable(request, CAP_NET_BIND_SERVICE);
}

struct pk_answer net_do_bind(struct pk_request *request)
{
    cleanup_close int fd = -1;
    struct net_address address;
    struct pk_answer refusal;
    int domain = take_arguments(request, &fd, &address);

    if (domain < 0)
        return pk_error(domain);
    if (net_loops(request, fd, domain, &address))
        return pk_value(net_loop_bind(request, fd, domain, &address));
    if (net_judge(request, fd, domain, &address, &refusal) < 0)
        return refusal;
    if (domain == AF_UNIX)
        return pk_value(unix_bind(request, fd, &address));
    if (!may_bind(request, &address))
        return pk_error(-EACCES);
    return pk_value(bind(fd, &address.any, address.length) < 0 ? -errno : 0);
}

/*
 * The loopback of a guest without a network (--net none): its stream sockets reach each other at
 * 127.0.0.0/8 and ::1, and nobody else.
 *
 * Its sockets are stand-ins (net-none.c): AF_UNIX sockets, each with a name of its own that says
 * its inode number. Which internet address a socket has is written down here, by that number. So
 * connecting to an address is connecting to the name of the socket that is bound to it; an accepted
 * socket has the name of its listener, and tells that of its peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define SOCKETS_MAX     1024
#define FIRST_FREE_PORT 1024
#define EPHEMERAL_FIRST 32768 /* net.ipv4.ip_local_port_range */
#define EPHEMERAL_COUNT 28232
#define BACKLOG_LEAST   128 /* TCP tries again when a queue is full, AF_UNIX does not */
#define SIN6_LEN_OLD    24  /* SIN6_LEN_RFC2133: without a scope */

static const char alone[] = "network is off (--net none is the default)";
static const char allow[] = "run with --net host";
static const char closed[] =
    "network is off (--net none is the default), and nobody in here listens there";

/* Addresses of version 4 as Linux maps them into version 6. */
struct loop_name {
    struct in6_addr address;
    uint16_t port; /* of the host's byte order; 0: none */
};

struct loop_socket {
    uint64_t inode; /* 0: free */
    int domain;
    bool owns; /* the port, as long as it lives */
    struct loop_name local;
    struct loop_name peer;
};

struct net_loopback {
    struct loop_socket sockets[SOCKETS_MAX];
    size_t next; /* where a place is looked for */
    unsigned ephemeral;
};

void net_loopback_free(struct net_loopback *loopback)
{
    free(loopback);
}

/* ---- addresses ---- */

static bool is_any(const struct loop_name *name)
{
    return IN6_IS_ADDR_UNSPECIFIED(&name->address) ||
           (IN6_IS_ADDR_V4MAPPED(&name->address) && name->address.s6_addr32[3] == 0);
}

static struct in6_addr map_v4(in_addr_t address)
{
    struct in6_addr mapped = {.s6_addr32 = {0, 0, htonl(0xffff), address}};

    return mapped;
}

/* The address of this machine that takes the place of "any": the loopback's. */
static void settle(struct loop_name *name)
{
    if (!is_any(name))
        return;
    name->address =
        IN6_IS_ADDR_V4MAPPED(&name->address) ? map_v4(htonl(INADDR_LOOPBACK)) : in6addr_loopback;
}

static int parse_v4(const struct net_address *address, struct loop_name *ret_name)
{
    const struct sockaddr_in *four = &address->four;
    bool any = four->sin_addr.s_addr == htonl(INADDR_ANY);

    if (address->length < sizeof(*four))
        return -EINVAL;
    if (four->sin_family != AF_INET && !(four->sin_family == AF_UNSPEC && any))
        return -EAFNOSUPPORT;
    *ret_name = (struct loop_name){map_v4(four->sin_addr.s_addr), ntohs(four->sin_port)};
    return 0;
}

static int parse(int domain, const struct net_address *address, struct loop_name *ret_name)
{
    const struct sockaddr_in6 *six = &address->six;

    if (domain == AF_INET)
        return parse_v4(address, ret_name);
    if (address->length < SIN6_LEN_OLD)
        return -EINVAL;
    if (six->sin6_family != AF_INET6)
        return -EAFNOSUPPORT;
    *ret_name = (struct loop_name){six->sin6_addr, ntohs(six->sin6_port)};
    return 0;
}

static bool is_local(const struct loop_name *name)
{
    return is_any(name) || IN6_IS_ADDR_LOOPBACK(&name->address) ||
           (IN6_IS_ADDR_V4MAPPED(&name->address) && name->address.s6_addr[12] == IN_LOOPBACKNET);
}

static void show(int domain, const struct loop_name *name, struct net_address *ret_address)
{
    struct net_address address = {.length = sizeof(struct sockaddr_in6)};

    if (domain == AF_INET6) {
        address.six = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(name->port), .sin6_addr = name->address};
    } else {
        address.four = (struct sockaddr_in){.sin_family = AF_INET,
                                            .sin_port = htons(name->port),
                                            .sin_addr.s_addr = name->address.s6_addr32[3]};
        address.length = sizeof(struct sockaddr_in);
    }
    *ret_address = address;
}

/* ---- what is written down ---- */

static struct net_loopback *book(struct pk_request *request)
{
    struct linux_state *state = linux_state(request->kernel);

    if (state->loopback == NULL)
        state->loopback = calloc(1, sizeof(*state->loopback));
    return state->loopback;
}

static struct loop_socket *find(struct net_loopback *loopback, uint64_t inode)
{
    for (size_t i = 0; loopback && inode && i < SOCKETS_MAX; i++)
        if (loopback->sockets[i].inode == inode)
            return &loopback->sockets[i];
    return NULL;
}

void net_loopback_forget(struct pk_request *request, uint64_t inode)
{
    struct loop_socket *old = find(linux_state(request->kernel)->loopback, inode);

    if (old)
        *old = (struct loop_socket){0};
}

/* A socket lives as long as its name cannot be had by another one. */
static bool is_alive(struct pk_request *request, const struct loop_socket *socket_of)
{
    cleanup_close int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct net_address mark;

    net_stand_in_mark(request, socket_of->domain, socket_of->inode, &mark);
    return probe < 0 || bind(probe, &mark.any, mark.length) < 0;
}

/* A free place, else that of a socket that is gone; NULL: all are in use. */
static struct loop_socket *new_place(struct pk_request *request, struct net_loopback *loopback)
{
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct loop_socket *place = &loopback->sockets[loopback->next++ % SOCKETS_MAX];

        if (place->inode == 0 || !is_alive(request, place))
            return place;
    }
    return NULL;
}

/* The entry of a stand-in, made when it is new. */
static int own_entry(struct pk_request *request, int fd, int domain, struct loop_socket **ret)
{
    struct net_loopback *loopback = book(request);
    struct loop_socket *entry;
    struct stat stat;

    if (loopback == NULL || fstat(fd, &stat) < 0)
        return loopback ? -errno : -ENOMEM;
    entry = find(loopback, stat.st_ino);
    if (entry == NULL) {
        entry = new_place(request, loopback);
        if (entry == NULL)
            return -ENOBUFS;
        *entry = (struct loop_socket){.inode = stat.st_ino, .domain = domain};
        if (domain == AF_INET)
            entry->local.address = map_v4(htonl(INADDR_ANY));
    }
    *ret = entry;
    return 0;
}

/* ---- ports ---- */

static bool is_at(const struct loop_socket *entry, const struct in6_addr *address, uint16_t port)
{
    return entry->owns && entry->local.port == port &&
           IN6_ARE_ADDR_EQUAL(&entry->local.address, address);
}

static struct loop_socket *owner_at(struct pk_request *request, const struct in6_addr *address,
                                    uint16_t port)
{
    struct net_loopback *loopback = linux_state(request->kernel)->loopback;

    for (size_t i = 0; loopback && i < SOCKETS_MAX; i++) {
        struct loop_socket *entry = &loopback->sockets[i];

        if (!is_at(entry, address, port))
            continue;
        if (is_alive(request, entry))
            return entry;
        entry->owns = false;
    }
    return NULL;
}

/* Who takes connections to an address: the one bound to it, else to all of its version, else to
 * all. */
static struct loop_socket *listener_at(struct pk_request *request, const struct loop_name *name)
{
    struct in6_addr all_v4 = map_v4(htonl(INADDR_ANY));
    struct loop_socket *found = owner_at(request, &name->address, name->port);

    if (found == NULL && IN6_IS_ADDR_V4MAPPED(&name->address))
        found = owner_at(request, &all_v4, name->port);
    return found ? found : owner_at(request, &in6addr_any, name->port);
}

static bool overlap(const struct loop_name *a, const struct loop_name *b)
{
    if (IN6_IS_ADDR_V4MAPPED(&a->address) != IN6_IS_ADDR_V4MAPPED(&b->address))
        return false; /* as with IPV6_V6ONLY */
    return is_any(a) || is_any(b) || IN6_ARE_ADDR_EQUAL(&a->address, &b->address);
}

static bool is_taken(struct pk_request *request, const struct loop_name *name)
{
    struct net_loopback *loopback = book(request);

    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct loop_socket *entry = &loopback->sockets[i];

        if (!entry->owns || entry->local.port != name->port || !overlap(&entry->local, name))
            continue;
        if (is_alive(request, entry))
            return true;
        entry->owns = false;
    }
    return false;
}

/* Gives the entry this name, with a port of our choice where it has none. */
static int take_port(struct pk_request *request, struct loop_socket *entry, struct loop_name name)
{
    struct net_loopback *loopback = book(request);
    bool any_port = name.port == 0;

    for (unsigned tries = 0; tries < EPHEMERAL_COUNT; tries++) {
        if (any_port)
            name.port = (uint16_t)(EPHEMERAL_FIRST + loopback->ephemeral++ % EPHEMERAL_COUNT);
        if (!is_taken(request, &name)) {
            entry->local = name;
            entry->owns = true;
            return 0;
        }
        if (!any_port)
            break;
    }
    return -EADDRINUSE;
}

/* ---- the calls ---- */

bool net_loops(const struct pk_request *request, int fd, int domain,
               const struct net_address *address)
{
    struct loop_name name;

    return request->kernel->config.net == PK_NET_NONE &&
           (domain == AF_INET || domain == AF_INET6) && net_stands_in_for(fd) &&
           net_type(fd) == SOCK_STREAM && (parse(domain, address, &name) < 0 || is_local(&name));
}

static bool may_have(struct pk_request *request, uint16_t port)
{
    return port == 0 || port >= FIRST_FREE_PORT || linux_capable(request, CAP_NET_BIND_SERVICE);
}

/* A server for others than the guest itself works, and nobody comes: that should be known. */
static void tell_of_server(struct pk_request *request, const struct net_address *address,
                           const struct loop_name *name)
{
    char text[NET_SHOWN_SIZE];

    if (is_any(name) && name->port && net_tell_once(request, 1))
        pk_denied(request, -EADDRNOTAVAIL, alone, allow, "listen at %s for others than the program",
                  net_show(address, text));
}

int net_loop_bind(struct pk_request *request, int fd, int domain, const struct net_address *address)
{
    struct loop_socket *entry;
    struct loop_name name;
    int r = parse(domain, address, &name);

    if (r < 0)
        return r;
    if (!may_have(request, name.port))
        return -EACCES;
    r = own_entry(request, fd, domain, &entry);
    if (r < 0)
        return r;
    r = entry->local.port ? -EINVAL : take_port(request, entry, name);
    if (r == 0)
        tell_of_server(request, address, &name);
    return r;
}

int net_loop_listen(struct pk_request *request, int fd, int domain, int backlog)
{
    struct loop_socket *entry;
    int r = own_entry(request, fd, domain, &entry);

    if (r == 0 && entry->local.port == 0)
        r = take_port(request, entry, entry->local);
    if (r < 0)
        return r;
    if (backlog >= 0 && backlog < BACKLOG_LEAST)
        backlog = BACKLOG_LEAST;
    return listen(fd, backlog) < 0 ? -errno : 0;
}

/* connect() with AF_UNSPEC ends a connection. A stand-in cannot be connected anew. */
static struct pk_answer disconnect(int fd)
{
    shutdown(fd, SHUT_RDWR);
    return pk_value(0);
}

static struct pk_answer refuse(struct pk_request *request, const struct net_address *address)
{
    char text[NET_SHOWN_SIZE];

    net_show(address, text);
    return net_tell_once(request, 0)
               ? pk_denied(request, -ECONNREFUSED, closed, allow, "connect to %s", text)
               : linux_denied_quietly(request, -ECONNREFUSED, closed, "connect to %s", text);
}

static int prepare(struct pk_request *request, int fd, int domain, const struct loop_name *goal)
{
    struct loop_socket *entry;
    struct loop_name local = {.address = goal->address};
    int r = own_entry(request, fd, domain, &entry);

    if (r < 0)
        return r;
    if (entry->local.port == 0) {
        r = take_port(request, entry, local);
    } else if (is_any(&entry->local)) {
        entry->local.address = goal->address;
    }
    if (r == 0)
        entry->peer = *goal;
    return r;
}

/* Connected already, or one that listens. */
static bool is_settled(int fd)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);
    int listens = 0;
    socklen_t size = sizeof(listens);

    return getpeername(fd, (struct sockaddr *)&peer, &length) == 0 ||
           (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens);
}

struct pk_answer net_loop_connect(struct pk_request *request, int fd, int domain,
                                  const struct net_address *address)
{
    cleanup_close int ours = fd;
    struct loop_socket *listener;
    struct net_address mark;
    struct loop_name goal;
    int r;

    if (address->length >= sizeof(sa_family_t) && address->any.sa_family == AF_UNSPEC)
        return disconnect(ours);
    r = parse(domain, address, &goal);
    if (r < 0)
        return pk_error(r);
    if (is_settled(ours))
        return pk_error(-EISCONN);
    settle(&goal);
    listener = listener_at(request, &goal);
    if (listener == NULL)
        return refuse(request, address);
    net_stand_in_mark(request, listener->domain, listener->inode, &mark);
    r = prepare(request, ours, domain, &goal);
    return r < 0 ? pk_error(r) : net_connect(take_fd(&ours), &mark);
}

/* ---- names of sockets ---- */

static const struct loop_socket *entry_of_name(struct pk_request *request,
                                               const struct net_address *mark)
{
    return find(linux_state(request->kernel)->loopback, net_stand_in_inode(mark));
}

static const struct loop_socket *entry_of_peer(struct pk_request *request, int fd)
{
    struct net_address mark = {.length = sizeof(mark.storage)};

    return getpeername(fd, &mark.any, &mark.length) < 0 ? NULL : entry_of_name(request, &mark);
}

/* True when the socket was accepted: it has its listener's name. */
static bool was_accepted(int fd, const struct net_address *mark)
{
    struct stat stat;

    return fstat(fd, &stat) == 0 && net_stand_in_inode(mark) != stat.st_ino;
}

void net_loop_name(struct pk_request *request, int fd, int domain, bool peer,
                   struct net_address *ret_address)
{
    struct net_address mark = {.length = sizeof(mark.storage)};
    struct loop_name name = {.port = 0};
    const struct loop_socket *own;
    const struct loop_socket *other = NULL;
    bool accepted;

    if (getsockname(fd, &mark.any, &mark.length) < 0)
        mark.length = 0;
    accepted = was_accepted(fd, &mark);
    own = entry_of_name(request, &mark);
    if (accepted)
        other = entry_of_peer(request, fd);
    if (accepted && other)
        name = peer ? other->local : other->peer;
    else if (own)
        name = peer ? own->peer : own->local;
    show(domain, &name, ret_address);
}

/* ---- accept ---- */

struct accept_job {
    struct pk_job job;
    int fd;
    int patience_ms; /* -1: for ever */
};

static struct pk_answer accept_later(int fd);

static int tell_peer(struct pk_request *request, int fd)
{
    struct net_address address;
    int room;
    int r = pk_read(request, request->args[2], &room, sizeof(room));

    if (r < 0 || room < 0)
        return r < 0 ? r : -EINVAL;
    net_loop_name(request, fd, net_stands_in_for(fd), true, &address);
    if ((socklen_t)room > address.length)
        room = (int)address.length;
    r = pk_write(request, request->args[1], &address.storage, (size_t)room);
    return r < 0 ? r : pk_write(request, request->args[2], &address.length, sizeof(int));
}

/*
 * The next connection, or -EAGAIN. The socket is the guest's, too: somebody else may be faster
 * after the look, so accept() gets no time to wait.
 */
static int accept_now(int fd, int flags)
{
    struct timeval soon = {.tv_usec = 1};
    struct pollfd look = {.fd = fd, .events = POLLIN};
    struct timeval usual;
    socklen_t length = sizeof(usual);
    int accepted;

    if (poll(&look, 1, 0) == 0)
        return -EAGAIN;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &usual, &length) < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
    accepted = accept4(fd, NULL, NULL, flags | SOCK_CLOEXEC);
    accepted = accepted < 0 ? -errno : accepted;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &usual, sizeof(usual));
    return accepted == -EINTR ? -EAGAIN : accepted;
}

static struct pk_answer take_connection(struct pk_request *request, int fd)
{
    int flags = request->nr == ABI_NR_accept4 ? (int)request->args[3] : 0;
    cleanup_close int accepted = -1;
    int r;

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return pk_error(-EINVAL);
    accepted = accept_now(fd, flags & SOCK_NONBLOCK);
    if (accepted < 0)
        return pk_error(accepted);
    r = tell_peer(request, accepted);
    if (r < 0)
        return pk_error(r);
    return pk_descriptor(take_fd(&accepted), flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
}

static int64_t run_accept(struct pk_job *job)
{
    struct accept_job *self = container_of(job, struct accept_job, job);
    struct pollfd look = {.fd = self->fd, .events = POLLIN};
    int r = poll(&look, 1, self->patience_ms);

    if (r < 0)
        return -errno;
    return r == 0 ? -EAGAIN : 0;
}

static struct pk_answer finish_accept(struct pk_job *job, struct pk_request *request,
                                      int64_t result)
{
    struct accept_job *self = container_of(job, struct accept_job, job);
    struct pk_answer answer;

    if (result < 0)
        return pk_value(result);
    answer = take_connection(request, self->fd);
    if (answer.kind != PK_ANSWER_VALUE || answer.value != -EAGAIN)
        return answer;
    return accept_later(take_fd(&self->fd)); /* somebody else was faster */
}

static void release_accept(struct pk_job *job)
{
    struct accept_job *self = container_of(job, struct accept_job, job);

    base_close(self->fd);
    free(self);
}

/* Consumes the descriptor. */
static struct pk_answer accept_later(int fd)
{
    struct accept_job *self = malloc(sizeof(*self));

    if (self == NULL) {
        base_close(fd);
        return pk_error(-ENOMEM);
    }
    *self = (struct accept_job){
        .job = {.run = run_accept, .finish = finish_accept, .release = release_accept},
        .fd = fd,
        .patience_ms = net_patience_ms(fd),
    };
    return pk_deferred(&self->job);
}

struct pk_answer net_do_accept(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct pk_answer answer;

    if (fd < 0)
        return pk_error(fd);
    if (vfs_is_path_only(request->kernel->vfs, fd))
        return pk_error(-EBADF);
    if (request->args[1] == 0 || !net_stands_in_for(fd))
        return pk_native();
    if (request->port->repeats && request->port->repeats(request))
        return accept_later(take_fd(&fd));
    answer = take_connection(request, fd);
    if (answer.kind == PK_ANSWER_VALUE && answer.value == -EAGAIN && net_blocks(fd))
        return accept_later(take_fd(&fd));
    return answer;
}

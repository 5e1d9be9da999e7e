/*
 * Internet sockets of a guest without a network (--net none).
 *
 * Programs and the C library make internet sockets while they look around: to list interfaces, to
 * sort addresses, to see which families there are. As on a machine that has no route anywhere, they
 * get one, and connect, bind and sendto fail; only these ask for the network, and are told to the
 * user, each with the first address that it was tried with. Streams reach each other at the
 * addresses of the loopback: net-loopback.c.
 *
 * The socket is a stand-in: an AF_UNIX socket of a type that reaches nobody by itself, known by its
 * name "\0cerebro-TOKEN!INODE" ("?" for IPv6). So nothing depends on what an unconnected internet
 * socket might do natively (send by sendmsg, listen at a port of the host's choice).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define TYPE_MASK    0xf /* SOCK_TYPE_MASK */
#define PREFIX       "cerebro-"
#define USUAL_MAXSEG 536 /* TCP_MSS_DEFAULT: what an unconnected socket has */
#define MARK_4       '!'
#define MARK_6       '?'
#define MARK_AT      (sizeof(PREFIX) - 1 + 16) /* behind the token */

static const char rule[] = "network is off (--net none is the default)";
static const char allow[] = "run with --net host";

void net_stand_in_mark(struct pk_request *request, int domain, uint64_t inode,
                       struct net_address *ret_mark)
{
    struct net_address mark = {.local = {.sun_family = AF_UNIX}};
    int length = snprintf(mark.local.sun_path + 1, sizeof(mark.local.sun_path) - 1,
                          PREFIX "%s%c%llx", linux_state(request->kernel)->token,
                          domain == AF_INET6 ? MARK_6 : MARK_4, (unsigned long long)inode);

    mark.length = (socklen_t)(UNIX_NAME_HEADER + 1 + (size_t)length);
    *ret_mark = mark;
}

static int bind_mark(struct pk_request *request, int fd)
{
    struct net_address mark;
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    net_loopback_forget(request, stat.st_ino);
    net_stand_in_mark(request, (int)request->args[0], stat.st_ino, &mark);
    return bind(fd, &mark.any, mark.length) < 0 ? -errno : 0;
}

struct pk_answer net_stand_in(struct pk_request *request)
{
    int type = (int)request->args[1] & TYPE_MASK;
    int flags = (int)request->args[1] & ~TYPE_MASK;
    cleanup_close int fd = -1;
    int r;

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return pk_error(-EINVAL);
    type = type == SOCK_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK), 0);
    if (fd < 0)
        return pk_error(-errno);
    r = bind_mark(request, fd);
    if (r < 0)
        return pk_error(r);
    return pk_descriptor(take_fd(&fd), flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
}

/* The domain that a mark is for; 0: it is none. */
static int domain_of_mark(const struct net_address *name)
{
    const char *path = name->local.sun_path;

    if (name->length <= UNIX_NAME_HEADER + 1 + MARK_AT || name->any.sa_family != AF_UNIX ||
        path[0] != '\0' || memcmp(path + 1, PREFIX, sizeof(PREFIX) - 1) != 0)
        return 0;
    switch (path[1 + MARK_AT]) {
    case MARK_4:
        return AF_INET;
    case MARK_6:
        return AF_INET6;
    default:
        return 0;
    }
}

int net_stands_in_for(int fd)
{
    struct net_address name = {.length = sizeof(name.storage)};

    return getsockname(fd, &name.any, &name.length) < 0 ? 0 : domain_of_mark(&name);
}

uint64_t net_stand_in_inode(const struct net_address *mark)
{
    size_t start = UNIX_NAME_HEADER + 1 + MARK_AT + 1;
    char digits[17] = {0};

    if (!domain_of_mark(mark) || mark->length <= start)
        return 0;
    memcpy(digits, (const char *)&mark->storage + start,
           mark->length - start < sizeof(digits) - 1 ? mark->length - start : sizeof(digits) - 1);
    return strtoull(digits, NULL, 16);
}

/*
 * A stand-in has no protocol whose options could matter: all of them can be set. With network rules
 * the filter sends what could set a route; without a value it takes one away.
 */
struct pk_answer net_do_setsockopt(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);

    if (fd < 0)
        return pk_error(fd);
    if (net_has_rules(request) && (int)request->args[4] != 0 &&
        net_is_route_option((int)request->args[1], (int)request->args[2]))
        return net_refuse_route(request);
    return net_stands_in_for(fd) ? pk_value(0) : pk_native();
}

/* What the options of the protocols are when nobody has set them; others are 0. */
static int usual_option(int level, int option)
{
    if (level == IPPROTO_IP && (option == IP_TTL || option == IP_MULTICAST_TTL))
        return option == IP_TTL ? IPDEFTTL : 1;
    if (level == IPPROTO_TCP && option == TCP_MAXSEG)
        return USUAL_MAXSEG;
    return 0;
}

static int stand_in_option(int fd, int domain, int level, int option)
{
    bool stream = net_type(fd) == SOCK_STREAM;

    if (level != SOL_SOCKET)
        return usual_option(level, option);
    switch (option) {
    case SO_DOMAIN:
        return domain;
    case SO_TYPE:
        return stream ? SOCK_STREAM : SOCK_DGRAM;
    default:
        return stream ? IPPROTO_TCP : IPPROTO_UDP;
    }
}

bool net_has_stand_in_option(int level, int option)
{
    return level != SOL_SOCKET || option == SO_DOMAIN || option == SO_TYPE || option == SO_PROTOCOL;
}

struct pk_answer net_stand_in_getsockopt(struct pk_request *request, int fd, int domain)
{
    int level = (int)request->args[1];
    int option = (int)request->args[2];
    int value = stand_in_option(fd, domain, level, option);
    int length;
    int r = pk_read(request, request->args[4], &length, sizeof(length));

    if (level == IPPROTO_TCP && (option == TCP_INFO || option == TCP_CONGESTION))
        return pk_error(-ENOPROTOOPT);
    if (r < 0 || length < 0)
        return pk_error(r < 0 ? r : -EINVAL);
    if ((size_t)length > sizeof(value))
        length = sizeof(value);
    r = pk_write(request, request->args[3], &value, (size_t)length);
    return pk_value(r < 0 ? r : pk_write(request, request->args[4], &length, sizeof(length)));
}

const char *net_show(const struct net_address *address, char text[NET_SHOWN_SIZE])
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->storage;
    char host[INET6_ADDRSTRLEN];

    if (address->any.sa_family == AF_INET && address->length >= sizeof(*four))
        snprintf(text, NET_SHOWN_SIZE, "%s:%u",
                 inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)), ntohs(four->sin_port));
    else if (address->any.sa_family == AF_INET6 && address->length >= sizeof(*six))
        snprintf(text, NET_SHOWN_SIZE, "[%s]:%u",
                 inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host)), ntohs(six->sin6_port));
    else
        snprintf(text, NET_SHOWN_SIZE, "the network");
    return text;
}

static int kind_of(const struct pk_request *request)
{
    return request->nr == ABI_NR_connect ? 0 : request->nr == ABI_NR_bind ? 1 : 2;
}

static const char *const verbs[] = {"connect to", "listen at", "send to"};

void net_saw(struct pk_request *request, const struct net_address *address)
{
    struct pk_kernel *kernel = request->kernel;
    const char *verb = verbs[kind_of(request)];
    char text[NET_SHOWN_SIZE];

    if (kernel->observer == NULL && !kernel->config.report_net)
        return;
    net_show(address, text);
    if (kernel->observer && kernel->observer->network)
        kernel->observer->network(kernel->observer->user, verb, text);
    if (kernel->config.report_net)
        pk_report(kernel, request, -ENETUNREACH, rule, allow, "%s %s", verb, text);
}

/* The C library connects datagram sockets to sort addresses, those to listen at, too. */
static bool is_question(const struct pk_request *request, const struct net_address *address)
{
    if (request->nr != ABI_NR_connect)
        return false;
    if (address->length >= sizeof(sa_family_t) && address->any.sa_family == AF_UNSPEC)
        return true;
    if (address->any.sa_family == AF_INET)
        return address->four.sin_addr.s_addr == htonl(INADDR_ANY);
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->six.sin6_addr);
}

bool net_tell_once(struct pk_request *request, unsigned kind)
{
    unsigned *told = &linux_state(request->kernel)->network_told;
    bool first = !(*told & 1U << kind);

    *told |= 1U << kind;
    return first;
}

struct pk_answer net_refuse(struct pk_request *request, const struct net_address *address)
{
    int kind = kind_of(request);
    /* Servers take this error of bind() for a family that the machine does not have, and go on. */
    int error = kind == 1 ? -EAFNOSUPPORT : -ENETUNREACH;
    char text[NET_SHOWN_SIZE];

    if (is_question(request, address) || !net_tell_once(request, (unsigned)kind))
        return linux_denied_quietly(request, error, rule, "%s %s", verbs[kind],
                                    net_show(address, text));
    return pk_denied(request, error, rule, allow, "%s %s", verbs[kind], net_show(address, text));
}

/*
 * Which sockets a guest may have, and the names of sockets.
 *
 * With --net none internet sockets can be had and are of no use: see net-none.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "cerebro/kapi.h"
#include "linux/net-internal.h"
#include "linux/unix-names.h"

#define TYPE_MASK    0xf /* SOCK_TYPE_MASK: the rest of a type argument are flags */
#define SOCKET_TYPES 11  /* SOCK_MAX of <linux/net.h> */

#define LONGEST_WAIT 1000000 /* seconds; what is longer is for ever */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const char never[] = "it is never allowed";

int net_read_address(struct pk_request *request, uint64_t address, uint64_t length,
                     struct net_address *ret_address)
{
    struct net_address copy;
    int r;

    memset(&copy, 0, sizeof(copy));
    if ((int)length < 0 || (unsigned)length > sizeof(copy.storage))
        return -EINVAL;
    r = pk_read(request, address, &copy.storage, (unsigned)length);
    if (r < 0)
        return r;
    copy.length = (socklen_t)length;
    *ret_address = copy;
    return 0;
}

static int integer_option(int fd, int option)
{
    int value;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -errno : value;
}

int net_domain(int fd)
{
    int domain = integer_option(fd, SO_DOMAIN);

    int internet = domain == AF_UNIX ? net_stands_in_for(fd) : 0;

    return internet ? internet : domain;
}

int net_type(int fd)
{
    return integer_option(fd, SO_TYPE);
}

int net_protocol(int fd)
{
    return integer_option(fd, SO_PROTOCOL);
}

bool net_blocks(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

int net_patience_ms(int fd)
{
    struct timeval timeout = {0};
    socklen_t length = sizeof(timeout);

    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &length);
    if ((timeout.tv_sec == 0 && timeout.tv_usec == 0) || timeout.tv_sec > LONGEST_WAIT)
        return -1;
    return (int)(timeout.tv_sec * 1000 + timeout.tv_usec / 1000 + 1);
}

/* A socket that the guest did not make under these rules may have come with it or over another. */
int net_check_use(struct pk_request *request, int domain, const struct net_address *address,
                  struct pk_answer *ret_refusal)
{
    if (domain == AF_UNIX)
        return 0;
    if (domain != AF_INET && domain != AF_INET6) {
        *ret_refusal = pk_denied(request, -EACCES, "only internet and local sockets are supported",
                                 never, "use of a socket of address family %d", domain);
        return -EACCES;
    }
    net_saw(request, address);
    if (request->kernel->config.net == PK_NET_HOST)
        return 0;
    *ret_refusal = net_refuse(request, address);
    return -ENETUNREACH;
}

static bool is_known_protocol(int type, int protocol)
{
    if (type == SOCK_STREAM)
        return protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
    return protocol == 0 || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
           protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* Nothing but registers decides about an internet socket, so the host may make it. */
static struct pk_answer internet_socket(struct pk_request *request, int type, int protocol)
{
    if (type >= SOCKET_TYPES)
        return pk_error(-EINVAL);
    if (type == SOCK_RAW && protocol == 0)
        return pk_error(-EPROTONOSUPPORT);
    if (type == SOCK_RAW || type == SOCK_PACKET)
        return pk_denied(request, -EPERM, "raw sockets read and forge the host's traffic", never,
                         "raw socket");
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return pk_error(-ESOCKTNOSUPPORT);
    if (!is_known_protocol(type, protocol))
        return pk_error(-EPROTONOSUPPORT);
    if (net_has_rules(request) && protocol != 0 && protocol != IPPROTO_TCP &&
        protocol != IPPROTO_UDP)
        return net_refuse_protocol(request, protocol);
    return request->kernel->config.net == PK_NET_HOST ? pk_native() : net_stand_in(request);
}

/* The C library and others ask these while looking around; a line for the user would be noise. */
static struct pk_answer netlink_socket(struct pk_request *request, int protocol)
{
    static const char rule[] = "netlink speaks with the host's kernel";

    if (protocol == NETLINK_ROUTE || protocol == NETLINK_AUDIT ||
        protocol == NETLINK_KOBJECT_UEVENT || protocol == NETLINK_SELINUX ||
        protocol == KAPI_NETLINK_FAMILY)
        return linux_denied_quietly(request, -EAFNOSUPPORT, rule, "netlink socket, protocol %d",
                                    protocol);
    return pk_denied(request, -EAFNOSUPPORT, rule, never, "netlink socket, protocol %d", protocol);
}

static struct pk_answer do_socket(struct pk_request *request)
{
    int domain = (int)request->args[0];
    int type = (int)request->args[1] & TYPE_MASK;
    int protocol = (int)request->args[2];

    switch (domain) {
    case AF_UNIX:
        return type == SOCK_DGRAM || type == SOCK_RAW ? unix_datagram_socket(request) : pk_native();
    case AF_INET:
    case AF_INET6:
        return internet_socket(request, type, protocol);
    case AF_NETLINK:
        return netlink_socket(request, protocol);
    case AF_PACKET:
        return pk_denied(request, -EPERM, "raw sockets read and forge the host's traffic", never,
                         "packet socket");
    default:
        return pk_denied(request, -EAFNOSUPPORT, "only internet and local sockets are supported",
                         never, "socket of address family %d", domain);
    }
}

/* Installs both ends; the guest's memory is known to be writable before anything is installed. */
static struct pk_answer hand_pair(struct pk_request *request, const int pair[2], unsigned fd_flags)
{
    int numbers[2];
    int r = pk_read(request, request->args[3], numbers, sizeof(numbers));

    r = r < 0 ? r : pk_write(request, request->args[3], numbers, sizeof(numbers));
    for (int i = 0; r >= 0 && i < 2; i++)
        r = numbers[i] = pk_add_fd(request, pair[i], -1, fd_flags);
    r = r < 0 ? r : pk_write(request, request->args[3], numbers, sizeof(numbers));
    return pk_value(r < 0 ? r : 0);
}

/*
 * A pair of datagram sockets could be used to send to any name of the host; sequenced packets go to
 * the peer only, and natively, which a pair of sockets with twins could not. They keep the borders
 * of messages as well; the difference is that the end of one side is seen by the other.
 */
static struct pk_answer packet_pair(struct pk_request *request)
{
    int flags = (int)request->args[1] & ~TYPE_MASK;
    struct pk_answer answer;
    int pair[2];

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return pk_error(-EINVAL);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK), 0, pair) < 0)
        return pk_error(-errno);
    net_note_connector(request, pair[0]);
    net_note_connector(request, pair[1]);
    answer = hand_pair(request, pair, flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
    base_close(pair[0]);
    base_close(pair[1]);
    return answer;
}

/* Linux makes both sockets before it finds that they cannot be joined, so it finds more wrong. */
static int no_pair(int domain, int type, int protocol)
{
    if (domain != AF_INET && domain != AF_INET6)
        return -EAFNOSUPPORT;
    if (type >= SOCKET_TYPES)
        return -EINVAL;
    if (type == SOCK_STREAM || type == SOCK_DGRAM)
        return is_known_protocol(type, protocol) ? -EOPNOTSUPP : -EPROTONOSUPPORT;
    return type == SOCK_RAW && protocol == 0 ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
}

static struct pk_answer do_socketpair(struct pk_request *request)
{
    int type = (int)request->args[1] & TYPE_MASK;

    if ((int)request->args[0] != AF_UNIX)
        return pk_error(no_pair((int)request->args[0], type, (int)request->args[2]));
    if ((type == SOCK_DGRAM || type == SOCK_RAW) && !request->kernel->config.unix_isolated)
        return packet_pair(request);
    return pk_native();
}

/* Writes an address and its length as move_addr_to_user() of the kernel does. */
static int write_address(struct pk_request *request, const struct net_address *address)
{
    int room;
    int r = pk_read(request, request->args[2], &room, sizeof(room));

    if (r < 0)
        return r;
    if (room < 0)
        return -EINVAL;
    if ((socklen_t)room > address->length)
        room = (int)address->length;
    r = pk_write(request, request->args[1], &address->storage, (size_t)room);
    return r < 0 ? r : pk_write(request, request->args[2], &address->length, sizeof(int));
}

static struct pk_answer show_name(struct pk_request *request, bool peer)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct net_address address = {.length = sizeof(address.storage)};
    struct unix_twin *twin;
    int internet, r;

    if (fd < 0)
        return pk_error(fd);
    if (peer && unix_is_datagram(fd)) {
        int sender = unix_sender(request, fd, &twin);

        base_close(fd);
        fd = sender;
    }
    r = peer ? getpeername(fd, &address.any, &address.length)
             : getsockname(fd, &address.any, &address.length);
    if (r < 0)
        return pk_error(-errno);
    internet = net_stands_in_for(fd);
    if (internet)
        net_loop_name(request, fd, internet, peer, &address);
    else if (address.any.sa_family == AF_UNIX)
        unix_to_guest(request, fd, peer, &address);
    return pk_value(write_address(request, &address));
}

static struct pk_answer do_getsockname(struct pk_request *request)
{
    return show_name(request, false);
}

static struct pk_answer do_getpeername(struct pk_request *request)
{
    return show_name(request, true);
}

int linux_register_network(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_socket, do_socket},
        {ABI_NR_socketpair, do_socketpair},
        {ABI_NR_getsockname, do_getsockname},
        {ABI_NR_getpeername, do_getpeername},
        {ABI_NR_connect, net_do_connect},
        {ABI_NR_bind, net_do_bind},
        {ABI_NR_listen, net_do_listen},
        {ABI_NR_accept, net_do_accept},
        {ABI_NR_accept4, net_do_accept},
        {ABI_NR_sendto, net_do_sendto},
        {ABI_NR_sendmsg, net_do_sendmsg},
        {ABI_NR_sendmmsg, net_do_sendmmsg},
        {ABI_NR_getsockopt, net_do_getsockopt},
        {ABI_NR_setsockopt, net_do_setsockopt},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    unix_set_receive_handlers(kernel);
    return 0;
}

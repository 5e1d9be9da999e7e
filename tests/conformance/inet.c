/* Internet sockets on the loopback. Skipped where there is no network. */
#define FAMILY "inet"
#include "conform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static struct sockaddr_in local(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return address;
}

static int made(int type)
{
    return (int)ok(socket(AF_INET, type, 0));
}

static int try_bind(int fd, int port)
{
    struct sockaddr_in address = local(port);

    return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int try_connect(int fd, int port)
{
    struct sockaddr_in address = local(port);

    return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    ok(getsockname(fd, (struct sockaddr *)&address, &length));
    return ntohs(address.sin_port);
}

static void need_network(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || try_bind(fd, 0) < 0)
        skip("no network here");
    close(fd);
}

static int listener(void)
{
    int fd;

    need_network();
    fd = made(SOCK_STREAM);
    ok(try_bind(fd, 0));
    ok(listen(fd, 5));
    return fd;
}

static int free_port(void)
{
    int fd = listener();
    int port = port_of(fd);

    close(fd);
    return port;
}

static void pair_of(int ends[2])
{
    int server = listener();

    ends[0] = made(SOCK_STREAM);
    ok(try_connect(ends[0], port_of(server)));
    ends[1] = (int)ok(accept(server, NULL, NULL));
    close(server);
}

REFUSED(bad_type, "socket(2) EINVAL", socket(AF_INET, 77, 0), EINVAL)
REFUSED(bad_protocol, "socket(2) EPROTONOSUPPORT", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP),
        EPROTONOSUPPORT)
REFUSED(short_address, "bind(2) EINVAL",
        bind(made(SOCK_STREAM), &(struct sockaddr){.sa_family = AF_INET}, 4), EINVAL)
REFUSED(receive_unconnected, "tcp(7) ENOTCONN", recv(made(SOCK_STREAM), (char[1]){0}, 1, 0),
        ENOTCONN)

CHECK(raw_needs_root, "raw(7) EPERM")
{
    as_user();
    fails(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
}

CHECK(refused, "connect(2) ECONNREFUSED")
{
    fails(try_connect(made(SOCK_STREAM), free_port()), ECONNREFUSED);
}

CHECK(in_use, "bind(2) EADDRINUSE, EINVAL")
{
    int fd = listener();

    fails(try_bind(made(SOCK_STREAM), port_of(fd)), EADDRINUSE);
    fails(try_bind(fd, 0), EINVAL);
}

CHECK(foreign_address, "bind(2) EADDRNOTAVAIL")
{
    struct sockaddr_in address = local(0);

    need_network();
    address.sin_addr.s_addr = inet_addr("192.0.2.77");
    fails(bind(made(SOCK_STREAM), (struct sockaddr *)&address, sizeof(address)), EADDRNOTAVAIL);
}

CHECK(wrong_family, "connect(2) EAFNOSUPPORT")
{
    struct sockaddr_in address = local(1);

    need_network();
    address.sin_family = 77;
    fails(connect(made(SOCK_STREAM), (struct sockaddr *)&address, sizeof(address)), EAFNOSUPPORT);
}

CHECK(low_port, "ip(7) EACCES: ports below ip_unprivileged_port_start")
{
    char *start = slurp("/proc/sys/net/ipv4/ip_unprivileged_port_start");

    as_user();
    need_network();
    if (strtol(start, NULL, 10) <= 80)
        skip("all ports may be used here");
    fails(try_bind(made(SOCK_STREAM), 80), EACCES);
}

CHECK(exchange, "tcp(7): both ways, names")
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    int ends[2];
    char text[8] = "";

    pair_of(ends);
    ok(write(ends[0], "ping", 4));
    is(read(ends[1], text, 8), 4);
    ok(getpeername(ends[1], (struct sockaddr *)&address, &length));
    is(ntohs(address.sin_port), port_of(ends[0]));
    is(ntohl(address.sin_addr.s_addr), INADDR_LOOPBACK);
}

CHECK(accepted_address, "accept(2): the peer's address")
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof(address);
    int server = listener();
    int client = made(SOCK_STREAM);

    ok(try_connect(client, port_of(server)));
    ok(accept4(server, (struct sockaddr *)&address, &length, SOCK_NONBLOCK));
    is(address.sin_family, AF_INET);
    is(ntohs(address.sin_port), port_of(client));
    is(length, sizeof(address));
}

CHECK(end_of_stream, "tcp(7): shutdown and EPIPE")
{
    int ends[2];
    char byte;

    pair_of(ends);
    ok(shutdown(ends[0], SHUT_WR));
    is(read(ends[1], &byte, 1), 0);
    fails(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CHECK(reset, "socket(7) SO_LINGER 0: ECONNRESET")
{
    struct linger linger = {1, 0};
    int ends[2];
    char byte;

    pair_of(ends);
    ok(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    ok(close(ends[0]));
    fails(read(ends[1], &byte, 1), ECONNRESET);
}

CHECK(nonblocking_connect, "connect(2) EINPROGRESS, SO_ERROR")
{
    int server = listener();
    int fd = made(SOCK_STREAM | SOCK_NONBLOCK);
    struct pollfd poll_ = {fd, POLLOUT, 0};
    int error = -1;
    socklen_t length = sizeof(error);

    must(try_connect(fd, port_of(server)) == 0 || errno == EINPROGRESS);
    is(poll(&poll_, 1, 2000), 1);
    ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
    is(error, 0);
}

CHECK(nonblocking_refused, "connect(2): SO_ERROR is ECONNREFUSED")
{
    int port = free_port();
    int fd = made(SOCK_STREAM | SOCK_NONBLOCK);
    struct pollfd poll_ = {fd, POLLOUT, 0};
    int error = -1;
    socklen_t length = sizeof(error);

    if (try_connect(fd, port) < 0 && errno == ECONNREFUSED)
        return;
    is(poll(&poll_, 1, 2000), 1);
    must(poll_.revents & POLLERR);
    ok(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
    is(error, ECONNREFUSED);
}

CHECK(accept_empty, "accept(2) EAGAIN")
{
    int fd = listener();

    ok(fcntl(fd, F_SETFL, O_NONBLOCK));
    fails(accept(fd, NULL, NULL), EAGAIN);
}

CHECK(datagrams, "udp(7): sendto, recvfrom, boundaries")
{
    struct sockaddr_in from = {0};
    struct sockaddr_in to;
    socklen_t length = sizeof(from);
    int one;
    int two;
    char text[8];

    need_network();
    one = made(SOCK_DGRAM);
    two = made(SOCK_DGRAM);
    ok(try_bind(one, 0));
    to = local(port_of(one));
    is(sendto(two, "abc", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
    is(sendto(two, "", 0, 0, (struct sockaddr *)&to, sizeof(to)), 0);
    is(recvfrom(one, text, 2, MSG_TRUNC, (struct sockaddr *)&from, &length), 3);
    is(ntohs(from.sin_port), port_of(two));
    is(recv(one, text, 8, 0), 0);
}

CHECK(connected_datagrams, "udp(7): connect; ECONNREFUSED from ICMP; dissolve")
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    int fd;
    int port = free_port();

    fd = made(SOCK_DGRAM);
    ok(try_connect(fd, port));
    ok(send(fd, "x", 1, 0));
    fails(recv(fd, (char[1]){0}, 1, 0), ECONNREFUSED);
    ok(connect(fd, &nowhere, sizeof(nowhere)));
    fails(send(fd, "x", 1, 0), EDESTADDRREQ);
}

CHECK(too_long, "udp(7) EMSGSIZE")
{
    static char text[70000];
    int fd;

    need_network();
    fd = made(SOCK_DGRAM);
    ok(try_connect(fd, 9));
    fails(send(fd, text, sizeof(text), 0), EMSGSIZE);
}

CHECK(options, "socket(7), tcp(7): set and read back")
{
    static const int options[][2] = {{SOL_SOCKET, SO_REUSEADDR},
                                     {SOL_SOCKET, SO_KEEPALIVE},
                                     {IPPROTO_TCP, TCP_NODELAY},
                                     {SOL_SOCKET, SO_REUSEPORT},
                                     {SOL_SOCKET, SO_OOBINLINE}};
    int fd;

    need_network();
    fd = made(SOCK_STREAM);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int value = 1;
        socklen_t length = sizeof(value);

        ok(setsockopt(fd, options[i][0], options[i][1], &value, sizeof(value)));
        value = 0;
        ok(getsockopt(fd, options[i][0], options[i][1], &value, &length));
        is(value, 1);
    }
    fails(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(char){1}, 1), EINVAL);
    fails(setsockopt(fd, 9999, 1, &(int){1}, 4), ENOPROTOOPT);
}

CHECK(buffers, "socket(7) SO_RCVBUF: the kernel doubles the value")
{
    int value = 10000;
    socklen_t length = sizeof(value);
    int fd;

    need_network();
    fd = made(SOCK_STREAM);
    ok(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)));
    ok(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &length));
    is(value, 20000);
}

CHECK(tcp_state, "tcp(7) TCP_INFO")
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    int ends[2];

    pair_of(ends);
    ok(getsockopt(ends[0], IPPROTO_TCP, TCP_INFO, &info, &length));
    is(info.tcpi_state, 1);
}

CHECK(reuse_port, "socket(7) SO_REUSEPORT: two listeners")
{
    int on = 1;
    int one;
    int two;

    need_network();
    one = made(SOCK_STREAM);
    two = made(SOCK_STREAM);
    ok(setsockopt(one, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    ok(setsockopt(two, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    ok(try_bind(one, 0));
    ok(try_bind(two, port_of(one)));
}

CHECK(urgent, "tcp(7): out-of-band data, SIOCATMARK")
{
    struct pollfd fd = {0};
    int ends[2];
    char byte;

    pair_of(ends);
    is(send(ends[0], "!", 1, MSG_OOB), 1);
    fd = (struct pollfd){ends[1], POLLPRI, 0};
    is(poll(&fd, 1, 2000), 1);
    is(recv(ends[1], &byte, 1, MSG_OOB), 1);
    is(byte, '!');
}

CHECK(version_six, "ipv6(7): ::1, IPV6_V6ONLY")
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t length = sizeof(address);
    int server = socket(AF_INET6, SOCK_STREAM, 0);

    if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) < 0)
        skip("no IPv6 here");
    ok(listen(server, 1));
    ok(getsockname(server, (struct sockaddr *)&address, &length));
    ok(connect((int)ok(socket(AF_INET6, SOCK_STREAM, 0)), (struct sockaddr *)&address,
               sizeof(address)));
    ok(accept(server, NULL, NULL));
}

CHECK(readiness, "epoll(7) of a listening socket")
{
    struct epoll_event event = {.events = EPOLLIN};
    int server = listener();
    int set = (int)ok(epoll_create1(0));

    ok(epoll_ctl(set, EPOLL_CTL_ADD, server, &event));
    is(epoll_wait(set, &event, 1, 0), 0);
    ok(try_connect(made(SOCK_STREAM), port_of(server)));
    is(epoll_wait(set, &event, 1, 2000), 1);
}

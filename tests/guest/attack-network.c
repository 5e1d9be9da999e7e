/*
 * Every way to reach an address, tried on a server that network rules deny (NET_DENIED, its port)
 * beside one that they allow (NET_ALLOWED), both on 127.0.0.1 with TCP and UDP. A case passes when
 * it was refused; with NET_OPEN=1, for a run without rules, when it got through: so the ways are
 * known to be ways. Whether something reached the server is looked at from outside.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

#define RACE_TRIES 34000 /* of each of three kinds */

static bool is_open(void)
{
    return getenv("NET_OPEN") != NULL;
}

static in_port_t port(const char *name)
{
    const char *text = getenv(name);

    if (text == NULL)
        guest_skip("NET_ALLOWED and NET_DENIED are not set");
    return htons((uint16_t)strtoul(text, NULL, 10));
}

static struct sockaddr_in four(const char *name)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = port(name), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in6 six(const char *name, const char *address)
{
    struct sockaddr_in6 made = {.sin6_family = AF_INET6, .sin6_port = port(name)};

    CHECK_EQ(inet_pton(AF_INET6, address, &made.sin6_addr), 1);
    return made;
}

static int make(int domain, int type)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, 0);

    if (fd < 0 && errno == EAFNOSUPPORT)
        guest_skip("the host has no such family");
    return (int)OK(fd);
}

/* The outcome of an attempt: refused, or let through where all is open. */
static void judge(const char *what, long result)
{
    if (is_open() && result < 0)
        FAIL("%s: %s", what, strerror(errno));
    if (!is_open() && (result >= 0 || errno != EACCES))
        FAIL("%s: %s", what, result < 0 ? strerror(errno) : "got through");
}

#define TRY(call) judge(#call, (long)(call))

static long send_message(int fd, const void *address, socklen_t length, int flags)
{
    struct iovec part = {"m", 1};
    struct msghdr header = {
        .msg_name = (void *)address, .msg_namelen = length, .msg_iov = &part, .msg_iovlen = 1};

    return sendmsg(fd, &header, flags);
}

/* ---- plainly ---- */

static void test_connect(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED"), denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_STREAM);

    TRY(connect(fd, (void *)&denied, sizeof(denied)));
    if (!is_open())
        OK(connect(fd, (void *)&allowed, sizeof(allowed)));
}

static void test_connect_nonblocking(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    int r = connect(fd, (void *)&denied, sizeof(denied));

    judge("connect", r < 0 && errno == EINPROGRESS ? 0 : r);
}

static void test_sendto(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED"), denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_DGRAM);

    TRY(sendto(fd, "x", 1, 0, (void *)&denied, sizeof(denied)));
    OK(sendto(fd, "x", 1, 0, (void *)&allowed, sizeof(allowed)));
}

static void test_sendmsg(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED"), denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_DGRAM);

    TRY(send_message(fd, &denied, sizeof(denied), 0));
    OK(send_message(fd, &allowed, sizeof(allowed), 0));
}

static void test_sendmmsg(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED"), denied = four("NET_DENIED");
    struct iovec part = {"mm", 2};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_name = &allowed,
                                               .msg_namelen = sizeof(allowed),
                                               .msg_iov = &part,
                                               .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_name = &denied,
                                               .msg_namelen = sizeof(denied),
                                               .msg_iov = &part,
                                               .msg_iovlen = 1}}};
    int fd = make(AF_INET, SOCK_DGRAM);

    CHECK_EQ(OK(sendmmsg(fd, messages, 2, 0)), is_open() ? 2 : 1);
    CHECK_EQ(messages[0].msg_len, 2);
    TRY(sendmmsg(fd, messages + 1, 1, 0));
}

/* ---- with an address that says it differently ---- */

static void test_unspecified(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_DGRAM);

    denied.sin_addr.s_addr = htonl(INADDR_ANY);
    TRY(connect(make(AF_INET, SOCK_STREAM), (void *)&denied, sizeof(denied)));
    TRY(sendto(fd, "any", 3, 0, (void *)&denied, sizeof(denied)));
}

static void test_no_family(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_DGRAM);

    denied.sin_family = AF_UNSPEC;
    TRY(sendto(fd, "unspec", 6, 0, (void *)&denied, sizeof(denied)));
    TRY(send_message(fd, &denied, sizeof(denied), 0));
}

static void test_mapped(void)
{
    struct sockaddr_in6 denied = six("NET_DENIED", "::ffff:127.0.0.1");
    int fd = make(AF_INET6, SOCK_DGRAM);

    TRY(connect(make(AF_INET6, SOCK_STREAM), (void *)&denied, sizeof(denied)));
    TRY(sendto(fd, "mapped", 6, 0, (void *)&denied, sizeof(denied)));
    TRY(send_message(fd, &denied, sizeof(denied), 0));
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
}

static void test_mapped_unspecified(void)
{
    struct sockaddr_in6 denied = six("NET_DENIED", "::ffff:0.0.0.0");
    int fd = make(AF_INET6, SOCK_DGRAM);

    TRY(sendto(fd, "mapped any", 10, 0, (void *)&denied, sizeof(denied)));
}

static void test_four_on_six(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = make(AF_INET6, SOCK_DGRAM);

    TRY(sendto(fd, "four on six", 11, 0, (void *)&denied, sizeof(denied)));
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
}

/* An IPv6 socket that is bound to an IPv4 address means that family with "::". */
static void test_six_bound_to_four(void)
{
    struct sockaddr_in6 own = six("NET_DENIED", "::ffff:127.0.0.1");
    struct sockaddr_in6 denied = six("NET_DENIED", "::");
    int fd = make(AF_INET6, SOCK_DGRAM);

    own.sin6_port = 0;
    OK(bind(fd, (void *)&own, sizeof(own)));
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
}

/* ---- after something that is allowed ---- */

static void test_reconnect(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED"), denied = four("NET_DENIED");
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int fd = make(AF_INET, SOCK_DGRAM);

    OK(connect(fd, (void *)&allowed, sizeof(allowed)));
    OK(send(fd, "x", 1, 0));
    TRY(sendto(fd, "past", 4, 0, (void *)&denied, sizeof(denied)));
    TRY(send_message(fd, &denied, sizeof(denied), 0));
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
    OK(connect(fd, &nobody, sizeof(nobody)));
    FAILS(send(fd, "x", 1, 0), EDESTADDRREQ);
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
}

static int passed(int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char byte = 'r';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int pair[2];

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    OK(sendmsg(pair[0], &message, 0));
    memset(&control, 0, sizeof(control));
    OK(recvmsg(pair[1], &message, 0));
    CHECK_EQ(control.header.cmsg_type, SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    return fd;
}

static void test_passed(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = passed(make(AF_INET, SOCK_DGRAM));

    TRY(sendto(fd, "passed", 6, 0, (void *)&denied, sizeof(denied)));
    TRY(send_message(fd, &denied, sizeof(denied), 0));
    TRY(send_message((int)OK(dup2(fd, 700)), &denied, sizeof(denied), 0));
}

static void test_after_fork(void *argument)
{
    struct sockaddr_in denied = four("NET_DENIED");

    TRY(sendto(*(int *)argument, "child", 5, 0, (void *)&denied, sizeof(denied)));
    TRY(connect(*(int *)argument, (void *)&denied, sizeof(denied)));
}

static void test_child(void)
{
    int fd = make(AF_INET, SOCK_DGRAM);

    guest_join(guest_fork(test_after_fork, &fd));
}

/* ---- TCP fast open ---- */

static void test_fast_open(void)
{
    struct sockaddr_in denied = four("NET_DENIED");

    if (is_open())
        return; /* depends on a setting of the host */
    FAILS(sendto(make(AF_INET, SOCK_STREAM), "x", 1, MSG_FASTOPEN, (void *)&denied, sizeof(denied)),
          EOPNOTSUPP);
    FAILS(send_message(make(AF_INET, SOCK_STREAM), &denied, sizeof(denied), MSG_FASTOPEN),
          EOPNOTSUPP);
}

static void test_fast_open_connect(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    int fd = make(AF_INET, SOCK_STREAM);
    int one = 1;

    OK(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)));
    TRY(connect(fd, (void *)&denied, sizeof(denied)));
}

/* ---- other sockets, other routes ---- */

static void test_other_protocols(void)
{
    if (is_open())
        return; /* what the host has is its own affair */
    FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), EACCES);
    FAILS(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), EACCES);
    FAILS(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
    FAILS(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6), EACCES);
    FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, SOCK_RAW, IPPROTO_UDP), EPERM);
    FAILS(socket(AF_PACKET, SOCK_DGRAM, 0), EPERM);
    FAILS(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0), EAFNOSUPPORT);
}

static void test_source_route(void)
{
    /* Loose source route, one hop: 127.0.0.2; padded. */
    unsigned char options[8] = {131, 7, 4, 127, 0, 0, 2, 0};
    int fd = make(AF_INET, SOCK_DGRAM);

    if (is_open())
        return; /* a host may forbid it */
    FAILS(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)), EPERM);
    OK(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0));
}

static long send_with(int fd, const struct sockaddr_in *address, int type)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(8)];
    } control = {.header = {.cmsg_level = IPPROTO_IP, .cmsg_type = type, .cmsg_len = CMSG_LEN(8)}};
    struct iovec part = {"r", 1};
    struct msghdr header = {.msg_name = (void *)address,
                            .msg_namelen = sizeof(*address),
                            .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};

    return sendmsg(fd, &header, 0);
}

static void test_route_in_message(void)
{
    struct sockaddr_in allowed = four("NET_ALLOWED");
    int fd = make(AF_INET, SOCK_DGRAM);

    if (!is_open())
        FAILS(send_with(fd, &allowed, IP_RETOPTS), EPERM);
}

static void test_six_routes(void)
{
    static const int options[] = {IPV6_RTHDR, IPV6_2292PKTOPTIONS, IPV6_FLOWLABEL_MGR};
    char bytes[64] = {0};
    int fd = make(AF_INET6, SOCK_DGRAM);

    for (size_t i = 0; !is_open() && i < sizeof(options) / sizeof(options[0]); i++)
        FAILS(setsockopt(fd, IPPROTO_IPV6, options[i], bytes, sizeof(bytes)), EPERM);
}

/* ---- waiting for others ---- */

static void test_listen(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = make(AF_INET, SOCK_STREAM);

    TRY(listen(fd, 1)); /* at a port of the host's choice */
    fd = make(AF_INET, SOCK_STREAM);
    OK(bind(fd, (void *)&own, sizeof(own)));
    TRY(listen(fd, 1));
    own.sin_port = htons(29871);
    TRY(bind(make(AF_INET, SOCK_STREAM), (void *)&own, sizeof(own)));
    TRY(bind(make(AF_INET, SOCK_DGRAM), (void *)&own, sizeof(own)));
}

/* ---- while another thread changes what is looked at ---- */

struct race {
    struct sockaddr_in address;
    in_port_t ports[2];
    int fds[3]; /* AF_UNIX, UDP, and the number that stands for either */
    atomic_bool over;
};

static void *swap_ports(void *argument)
{
    struct race *race = argument;

    for (unsigned i = 0; !atomic_load_explicit(&race->over, memory_order_relaxed); i++)
        *(volatile in_port_t *)&race->address.sin_port = race->ports[i & 1];
    return NULL;
}

static void check_peer(int fd, in_port_t allowed)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);

    if (getpeername(fd, (void *)&peer, &length) == 0 && peer.sin_port != allowed)
        FAIL("connected to port %u", ntohs(peer.sin_port));
}

static void test_swapped_address(void)
{
    struct race race = {.address = four("NET_ALLOWED"),
                        .ports = {port("NET_ALLOWED"), port("NET_DENIED")}};
    int fd = make(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK);
    int connected = make(AF_INET, SOCK_DGRAM);
    unsigned refused = 0;
    pthread_t thread;

    if (is_open())
        return;
    CHECK_EQ(pthread_create(&thread, NULL, swap_ports, &race), 0);
    for (int i = 0; i < RACE_TRIES; i++) {
        refused += sendto(fd, "race", 4, 0, (void *)&race.address, sizeof(race.address)) < 0 &&
                   errno == EACCES;
        refused += send_message(fd, &race.address, sizeof(race.address), 0) < 0 && errno == EACCES;
        if (connect(connected, (void *)&race.address, sizeof(race.address)) == 0)
            check_peer(connected, race.ports[0]);
    }
    atomic_store(&race.over, true);
    pthread_join(thread, NULL);
    CHECK(refused > 0 && refused < 2 * RACE_TRIES); /* both were seen */
}

static void *swap_sockets(void *argument)
{
    struct race *race = argument;

    for (unsigned i = 0; !atomic_load_explicit(&race->over, memory_order_relaxed); i++)
        dup2(race->fds[i & 1], race->fds[2]);
    return NULL;
}

/* What may be sent on one socket must not be sent on another that takes its number. */
static void test_swapped_socket(void)
{
    struct sockaddr_in denied = four("NET_DENIED");
    struct race race = {.fds = {0, make(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK), 701}};
    int pair[2];
    pthread_t thread;

    if (is_open())
        return;
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair));
    race.fds[0] = pair[0];
    OK(dup2(pair[0], race.fds[2]));
    CHECK_EQ(pthread_create(&thread, NULL, swap_sockets, &race), 0);
    for (int i = 0; i < RACE_TRIES / 4; i++) {
        send_message(race.fds[2], &denied, sizeof(denied), 0);
        listen(race.fds[2], 1);
        while (recv(pair[1], &(char){0}, 1, MSG_DONTWAIT) > 0)
            ;
    }
    atomic_store(&race.over, true);
    pthread_join(thread, NULL);
}

static const struct guest_case cases[] = {
    {"connect", test_connect},
    {"connect-nonblocking", test_connect_nonblocking},
    {"sendto", test_sendto},
    {"sendmsg", test_sendmsg},
    {"sendmmsg", test_sendmmsg},
    {"unspecified", test_unspecified},
    {"no-family", test_no_family},
    {"mapped", test_mapped},
    {"mapped-unspecified", test_mapped_unspecified},
    {"four-on-six", test_four_on_six},
    {"six-bound-to-four", test_six_bound_to_four},
    {"reconnect", test_reconnect},
    {"passed", test_passed},
    {"child", test_child},
    {"fast-open", test_fast_open},
    {"fast-open-connect", test_fast_open_connect},
    {"other-protocols", test_other_protocols},
    {"source-route", test_source_route},
    {"route-in-message", test_route_in_message},
    {"six-routes", test_six_routes},
    {"listen", test_listen},
    {"swapped-address", test_swapped_address},
    {"swapped-socket", test_swapped_socket},
};

GUEST_MAIN(cases)

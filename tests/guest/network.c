/*
 * What the process kernel does for a guest when there are network rules: messages, connections and
 * listeners must behave as natively.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LARGE (3 << 20)

static int bound(int type, struct sockaddr_in *ret_name)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(name);
    int fd = (int)OK(socket(AF_INET, type | SOCK_CLOEXEC, 0));

    OK(bind(fd, (void *)&name, sizeof(name)));
    OK(getsockname(fd, (void *)&name, &length));
    *ret_name = name;
    return fd;
}

/* Two ends of a TCP connection. */
static void tcp_pair(int pair[2])
{
    struct sockaddr_in name;
    int listener = bound(SOCK_STREAM, &name);

    OK(listen(listener, 1));
    pair[0] = (int)OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    OK(connect(pair[0], (void *)&name, sizeof(name)));
    pair[1] = (int)OK(accept(listener, NULL, NULL));
    close(listener);
}

static long send_parts(int fd, const void *name, socklen_t length, void *data, size_t size,
                       int flags)
{
    struct iovec parts[3] = {
        {data, size / 3}, {NULL, 0}, {(char *)data + size / 3, size - size / 3}};
    struct msghdr header = {
        .msg_name = (void *)name, .msg_namelen = length, .msg_iov = parts, .msg_iovlen = 3};

    return sendmsg(fd, &header, flags);
}

/* ---- streams ---- */

struct reader {
    int fd;
    const char *data;
};

static void read_all(void *argument)
{
    struct reader *reader = argument;
    char *got = malloc(LARGE);

    guest_sleep_ms(50); /* the buffers fill, and the sender has to wait */
    CHECK_EQ(OK(recv(reader->fd, got, LARGE, MSG_WAITALL)), LARGE);
    CHECK(memcmp(got, reader->data, LARGE) == 0);
}

static void check_large(int pair[2])
{
    char *data = malloc(LARGE);
    pid_t child;

    for (size_t i = 0; i < LARGE; i++)
        data[i] = (char)(i * 31 + i / 4096);
    child = guest_fork(read_all, &(struct reader){pair[1], data});
    CHECK_EQ(OK(send_parts(pair[0], NULL, 0, data, LARGE, 0)), LARGE);
    guest_join(child);
}

static void test_large_tcp(void)
{
    int pair[2];

    tcp_pair(pair);
    check_large(pair);
}

static void test_large_unix(void)
{
    int pair[2];

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    check_large(pair);
}

static void test_full(void)
{
    char *data = calloc(1, LARGE);
    int pair[2];
    long n;

    tcp_pair(pair);
    n = OK(send_parts(pair[0], NULL, 0, data, LARGE, MSG_DONTWAIT));
    CHECK(n > 0 && n <= LARGE);
    while (send_parts(pair[0], NULL, 0, data, LARGE, MSG_DONTWAIT) > 0)
        ;
    CHECK_EQ(errno, EAGAIN);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes++;
}

static void test_broken(void)
{
    struct sigaction action = {.sa_handler = count_pipe};
    int pair[2];

    OK(sigaction(SIGPIPE, &action, NULL));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    close(pair[1]);
    FAILS(send_parts(pair[0], NULL, 0, "abc", 3, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(pipes, 0);
    FAILS(send_parts(pair[0], NULL, 0, "abc", 3, 0), EPIPE);
    CHECK_EQ(pipes, 1);
}

/* The host takes no notice of an address on a connected stream of TCP; AF_UNIX does. */
static void test_stream_with_name(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(1)};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "x"};
    char text[4] = "";
    int pair[2];

    tcp_pair(pair);
    CHECK_EQ(OK(send_parts(pair[0], &name, sizeof(name), "abc", 3, 0)), 3);
    CHECK_EQ(OK(sendto(pair[0], "d", 1, 0, (void *)&name, sizeof(name))), 1);
    CHECK_EQ(OK(recv(pair[1], text, 4, MSG_WAITALL)), 4);
    CHECK(memcmp(text, "abcd", 4) == 0);
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    FAILS(send_parts(pair[0], &local, sizeof(local), "abc", 3, 0), EISCONN);
    FAILS(send_parts((int)OK(socket(AF_UNIX, SOCK_STREAM, 0)), &local, sizeof(local), "abc", 3, 0),
          EOPNOTSUPP);
    FAILS(send_parts((int)OK(socket(AF_INET, SOCK_STREAM, 0)), NULL, 0, "abc", 3, MSG_NOSIGNAL),
          EPIPE);
}

static void test_urgent(void)
{
    char byte = 0;
    int pair[2];

    tcp_pair(pair);
    CHECK_EQ(OK(send_parts(pair[0], NULL, 0, "!", 1, MSG_OOB)), 1);
    for (int i = 0; i < 100 && recv(pair[1], &byte, 1, MSG_OOB) < 0; i++)
        guest_sleep_ms(10);
    CHECK_EQ(byte, '!');
}

/* ---- descriptors ---- */

static void test_rights(void)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(2 * sizeof(int))}};
    char text[8] = "";
    struct iovec part = {text, sizeof(text)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int pair[2], ends[2], got[2];

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    OK(pipe(ends));
    memcpy(CMSG_DATA(&control.header), ends, sizeof(ends));
    memcpy(text, "rights", 7);
    CHECK_EQ(OK(sendmsg(pair[0], &message, 0)), 8);
    memset(&control, 0, sizeof(control));
    memset(text, 0, sizeof(text));
    CHECK_EQ(OK(recvmsg(pair[1], &message, 0)), 8);
    CHECK_TEXT(text, "rights");
    CHECK_EQ(control.header.cmsg_len, CMSG_LEN(2 * sizeof(int)));
    memcpy(got, CMSG_DATA(&control.header), sizeof(got));
    OK(write(got[1], "p", 1));
    CHECK_EQ(OK(read(got[0], text, 1)), 1);
    CHECK_EQ(text[0], 'p');
    control.header.cmsg_len = 3;
    FAILS(sendmsg(pair[0], &message, 0), EINVAL);
}

static void test_packets(void)
{
    char text[16];
    int pair[2];

    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    CHECK_EQ(OK(send_parts(pair[0], NULL, 0, "one", 3, 0)), 3);
    CHECK_EQ(OK(send_parts(pair[0], NULL, 0, "three", 5, 0)), 5);
    CHECK_EQ(OK(recv(pair[1], text, sizeof(text), 0)), 3);
    CHECK_EQ(OK(recv(pair[1], text, sizeof(text), 0)), 5);
}

/* ---- datagrams ---- */

static void test_datagrams(void)
{
    struct sockaddr_in to, from;
    int receiver = bound(SOCK_DGRAM, &to);
    int sender = bound(SOCK_DGRAM, &from);
    char *large = calloc(1, 70000);
    char text[16];
    struct sockaddr_in seen;
    socklen_t length = sizeof(seen);

    CHECK_EQ(OK(send_parts(sender, &to, sizeof(to), "hello", 5, 0)), 5);
    CHECK_EQ(OK(recvfrom(receiver, text, sizeof(text), 0, (void *)&seen, &length)), 5);
    CHECK(memcmp(text, "hello", 5) == 0 && seen.sin_port == from.sin_port);
    CHECK_EQ(OK(send_parts(sender, &to, sizeof(to), "", 0, 0)), 0);
    CHECK_EQ(OK(recv(receiver, text, sizeof(text), 0)), 0);
    FAILS(send_parts(sender, &to, sizeof(to), large, 70000, 0), EMSGSIZE);
    FAILS(sendto(sender, large, 70000, 0, (void *)&to, sizeof(to)), EMSGSIZE);
    FAILS(send_parts(sender, NULL, 0, "x", 1, 0), EDESTADDRREQ);
    FAILS(send_parts(sender, &to, 8, "x", 1, 0), EINVAL);
    FAILS(sendto(sender, "x", 1, 0, (void *)&to, 8), EINVAL);
    FAILS(sendto(sender, "x", 1, 0, (void *)1, sizeof(to)), EFAULT);
    FAILS(connect(sender, (void *)&to, 8), EINVAL);
    to.sin_family = AF_UNIX;
    FAILS(sendto(sender, "x", 1, 0, (void *)&to, sizeof(to)), EAFNOSUPPORT);
}

static void test_several(void)
{
    struct sockaddr_in to;
    int receiver = bound(SOCK_DGRAM, &to);
    int sender = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    struct mmsghdr messages[2] = {
        {.msg_hdr =
             {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts, .msg_iovlen = 1}},
        {.msg_hdr = {
             .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts, .msg_iovlen = 2}}};
    char text[16];

    CHECK_EQ(OK(sendmmsg(sender, messages, 2, 0)), 2);
    CHECK_EQ(messages[0].msg_len, 2);
    CHECK_EQ(messages[1].msg_len, 5);
    CHECK_EQ(OK(recv(receiver, text, sizeof(text), 0)), 2);
    CHECK_EQ(OK(recv(receiver, text, sizeof(text), 0)), 5);
}

/* A family of 0 means IPv4 on an IPv4 socket, and the peer on an IPv6 one. */
static void test_no_family(void)
{
    struct sockaddr_in to, unnamed;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in6 none = {.sin6_family = AF_UNSPEC};
    socklen_t length = sizeof(six);
    int receiver = bound(SOCK_DGRAM, &to);
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    char text[4];

    unnamed = to;
    unnamed.sin_family = AF_UNSPEC;
    OK(sendto((int)OK(socket(AF_INET, SOCK_DGRAM, 0)), "abc", 3, 0, (void *)&unnamed, sizeof(to)));
    CHECK_EQ(OK(recv(receiver, text, sizeof(text), 0)), 3);
    if (fd < 0 || bind(fd, (void *)&six, sizeof(six)) < 0)
        guest_skip("no IPv6");
    OK(getsockname(fd, (void *)&six, &length));
    OK(connect(fd, (void *)&six, sizeof(six)));
    FAILS(sendto(fd, "self", 4, 0, (void *)&none, 0), EINVAL);
    OK(sendto(fd, "self", 4, 0, (void *)&none, sizeof(none)));
    CHECK_EQ(OK(recv(fd, text, sizeof(text), 0)), 4);
}

static void test_this_machine(void)
{
    struct sockaddr_in to, peer;
    socklen_t length = sizeof(peer);
    int listener = bound(SOCK_STREAM, &to);
    int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));

    OK(listen(listener, 1));
    to.sin_addr.s_addr = htonl(INADDR_ANY);
    OK(connect(fd, (void *)&to, sizeof(to)));
    OK(getpeername(fd, (void *)&peer, &length));
    CHECK_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    FAILS(connect(fd, (void *)&to, sizeof(to)), EISCONN);
}

/* The address from which a datagram is sent, and how far it goes. */
static void test_control(void)
{
    struct sockaddr_in to, seen;
    int receiver = bound(SOCK_DGRAM, &to);
    int sender = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = IPPROTO_IP,
                            .cmsg_type = IP_PKTINFO,
                            .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))}};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 1)};
    struct iovec part = {"c", 1};
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof(to),
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *second;
    socklen_t length = sizeof(seen);
    char text[4];

    memcpy(CMSG_DATA(&control.header), &info, sizeof(info));
    second = CMSG_NXTHDR(&message, &control.header);
    *second = (struct cmsghdr){
        .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(second), &(int){7}, sizeof(int));
    OK(setsockopt(receiver, IPPROTO_IP, IP_RECVTTL, &(int){1}, sizeof(int)));
    CHECK_EQ(OK(sendmsg(sender, &message, 0)), 1);
    message.msg_name = &seen;
    message.msg_namelen = length;
    part = (struct iovec){text, sizeof(text)};
    CHECK_EQ(OK(recvmsg(receiver, &message, 0)), 1);
    CHECK_EQ(ntohl(seen.sin_addr.s_addr), INADDR_LOOPBACK + 1);
    CHECK_EQ(control.header.cmsg_type, IP_TTL);
    CHECK_EQ(*(int *)(void *)CMSG_DATA(&control.header), 7);
    message.msg_name = &to;
    message.msg_namelen = sizeof(to);
    control.header.cmsg_type = 99;
    FAILS(sendmsg(sender, &message, 0), EINVAL);
}

/* ---- who listens ---- */

static void listen_for_parent(void *argument)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "listener"};
    int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    char byte;

    OK(bind(fd, (void *)&name, sizeof(name)));
    OK(listen(fd, 1));
    OK(write(((int *)argument)[1], "x", 1));
    OK(accept(fd, NULL, NULL));
    OK(read(((int *)argument)[1], &byte, 1));
}

static void test_listener(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "listener"};
    int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    int pair[2];
    pid_t child;
    char byte;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    child = guest_fork(listen_for_parent, pair);
    OK(read(pair[0], &byte, 1));
    OK(connect(fd, (void *)&name, sizeof(name)));
    OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length));
    CHECK_EQ(credentials.pid, child);
    CHECK_EQ(credentials.uid, geteuid());
    OK(write(pair[0], "x", 1));
    guest_join(child);
}

/* ---- connecting ---- */

/* Nobody answers at this address (RFC 5737), and connect() must not try. */
static void test_connected_already(void)
{
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in name;
    int listener = bound(SOCK_STREAM, &name);
    int fd = (int)OK(socket(AF_INET, SOCK_STREAM, 0));

    CHECK_EQ(inet_pton(AF_INET, "192.0.2.1", &far.sin_addr), 1);
    OK(listen(listener, 1));
    OK(connect(fd, (void *)&name, sizeof(name)));
    FAILS(connect(fd, (void *)&name, sizeof(name)), EISCONN);
    FAILS(connect(fd, (void *)&far, sizeof(far)), EISCONN);
    FAILS(connect(listener, (void *)&far, sizeof(far)), EISCONN);
}

static void take_signal(int signal)
{
    (void)signal;
}

static void *shut_down_soon(void *fd)
{
    guest_sleep_ms(150);
    OK(shutdown(*(int *)fd, SHUT_RDWR));
    return NULL;
}

/* A full queue lets connect() wait; a signal with SA_RESTART must not end that. */
static void test_connect_restarts(void)
{
    struct sigaction action = {.sa_handler = take_signal, .sa_flags = SA_RESTART};
    struct itimerval soon = {.it_value.tv_usec = 40000, .it_interval.tv_usec = 30000};
    struct sockaddr_in name;
    int listener = bound(SOCK_STREAM, &name);
    int first = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
    int second = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
    pthread_t thread;
    sigset_t alarm;

    OK(listen(listener, 0));
    OK(connect(first, (void *)&name, sizeof(name)));
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    OK(sigaction(SIGALRM, &action, NULL));
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &alarm, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, shut_down_soon, &second), 0);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL), 0);
    OK(setitimer(ITIMER_REAL, &soon, NULL));
    CHECK_EQ(connect(second, (void *)&name, sizeof(name)), -1);
    CHECK(errno == ECONNRESET || errno == ECONNABORTED); /* it has changed between kernels */
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static const struct guest_case cases[] = {
    {"large-tcp", test_large_tcp},
    {"large-unix", test_large_unix},
    {"full", test_full},
    {"broken", test_broken},
    {"stream-with-name", test_stream_with_name},
    {"urgent", test_urgent},
    {"rights", test_rights},
    {"packets", test_packets},
    {"datagrams", test_datagrams},
    {"several", test_several},
    {"no-family", test_no_family},
    {"this-machine", test_this_machine},
    {"control", test_control},
    {"listener", test_listener},
    {"connected-already", test_connected_already},
    {"connect-restarts", test_connect_restarts},
};

GUEST_MAIN(cases)

/* Raw netlink, family 31: the greeting, and holes 1 and 2. */
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abuse.h"

int netlink_open(int family, uint32_t *ret_port)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    socklen_t length = sizeof(address);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);

    check(fd >= 0, "netlink family %d: %s", family, strerror(errno));
    check(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind: %s", strerror(errno));
    check(getsockname(fd, (struct sockaddr *)&address, &length) == 0, "name: %s", strerror(errno));
    if (ret_port)
        *ret_port = address.nl_pid;
    return fd;
}

static ssize_t send_raw(int fd, const void *data, size_t size)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    return sendto(fd, data, size, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof(kernel));
}

static bool has_answer(int fd, int milliseconds)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, milliseconds) > 0;
}

struct message {
    struct nlmsghdr head;
    char text[4096];
};

static void send_text(int fd, uint16_t type, uint32_t claimed_port, const char *text, size_t length)
{
    struct message message = {.head = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + length),
                                       .nlmsg_type = type,
                                       .nlmsg_pid = claimed_port}};

    memcpy(message.text, text, length);
    send_raw(fd, &message, NLMSG_HDRLEN + length);
}

/* What a client of the field does. The length of the answer's text, or a negative errno. */
int netlink_greet(int fd, uint32_t claimed_port, char *answer, size_t size)
{
    struct message message;

    send_text(fd, 0, claimed_port, "Hello", 5);
    if (!has_answer(fd, 2000))
        return -ETIMEDOUT;
    ssize_t length = recv(fd, &message, sizeof(message), 0);
    check(length >= NLMSG_HDRLEN && message.head.nlmsg_len >= NLMSG_HDRLEN &&
              (size_t)length == NLMSG_ALIGN(message.head.nlmsg_len),
          "answer of %zd bytes says %u", length, message.head.nlmsg_len);
    for (size_t i = message.head.nlmsg_len; i < (size_t)length; i++)
        check(((char *)&message)[i] == 0, "padding is not cleared");
    length = message.head.nlmsg_len;
    check(length <= 1024, "an answer of %zd bytes", length);
    snprintf(answer, size, "%.*s", (int)(length - NLMSG_HDRLEN), message.text);
    return (int)length - NLMSG_HDRLEN;
}

static void drain(int fd)
{
    char buffer[4096];

    while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
        ;
}

/* Asks until the module's rate limit lets a greeting through: after each abuse the door must still
 * open. */
static void still_answers(void)
{
    char answer[2048];
    uint32_t port;
    int fd = netlink_open(KAPI_NETLINK_FAMILY, &port), r = -1;

    for (int i = 0; i < 8 && r < 0; i++)
        r = netlink_greet(fd, port, answer, sizeof(answer));
    check(r > 0, "no greeting any more: %d", r);
    close(fd);
}

static void netlink_greets(enum way way)
{
    struct sockaddr_nl from;
    socklen_t length = sizeof(from);
    struct message message;
    char answer[2048];
    uint32_t port;
    int fd = netlink_open(KAPI_NETLINK_FAMILY, &port);

    int r = netlink_greet(fd, port, answer, sizeof(answer));
    check(r == (int)strlen(KAPI_NETLINK_GREETING) && strcmp(answer, KAPI_NETLINK_GREETING) == 0,
          "%d: %s", r, answer);
    send_text(fd, 77, port, "another type", 12);
    check(has_answer(fd, 2000), "no answer to another type");
    check(recvfrom(fd, &message, sizeof(message), 0, (struct sockaddr *)&from, &length) > 0, "%s",
          strerror(errno));
    check(from.nl_pid == 0 && message.head.nlmsg_type == 77, "from %u, type %u", from.nl_pid,
          message.head.nlmsg_type);
}

/* One message of 16 bytes with port 0 crashed the first implementation. */
static void hole_01_port_zero(enum way way)
{
    struct nlmsghdr head = {.nlmsg_len = NLMSG_HDRLEN};
    int fd = netlink_open(KAPI_NETLINK_FAMILY, NULL);

    send_raw(fd, &head, sizeof(head));
    send_text(fd, 0, 0, "Hello", 5);
    drain(fd);
    still_answers();
}

static void hole_01_lengths(enum way way)
{
    static const uint32_t lengths[] = {0,          1,          15,         16,   17,
                                       0x7fffffff, 0xffffffff, 0xfffffff0, 4096, 5000};
    static const size_t sizes[] = {0, 1, 4, 15, 16, 17, 20, 1024, 4000};
    struct message message;
    uint32_t port;
    int fd = netlink_open(KAPI_NETLINK_FAMILY, &port);

    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(sizes); j++) {
            memset(&message, 'A', sizeof(message));
            message.head = (struct nlmsghdr){.nlmsg_len = lengths[i], .nlmsg_pid = port};
            send_raw(fd, &message, sizes[j]);
        }
    drain(fd);
    /* Many messages in one packet must not be many answers out of proportion. */
    char many[8192] = {0};
    for (size_t at = 0; at + 16 <= sizeof(many); at += 16)
        ((struct nlmsghdr *)(many + at))->nlmsg_len = 16;
    send_raw(fd, many, sizeof(many));
    drain(fd);
    still_answers();
}

static void hole_02_forged_port(enum way way)
{
    char answer[2048];
    uint32_t victim_port, port;
    int victim = netlink_open(KAPI_NETLINK_FAMILY, &victim_port),
        fd = netlink_open(KAPI_NETLINK_FAMILY, &port);

    check(victim_port != port, "ports %u and %u", victim_port, port);
    int r = netlink_greet(fd, victim_port, answer, sizeof(answer));
    check(r > 0, "the answer did not come to the real sender: %d", r);
    check(!has_answer(victim, 200), "the answer went to the claimed port");
}

static void hole_02_payload(enum way way)
{
    struct message message;
    uint32_t port;
    int fd = netlink_open(KAPI_NETLINK_FAMILY, &port);
    static char text[4000];

    memset(text, 'S', sizeof(text));
    send_text(fd, 0, port, text, sizeof(text)); /* too long, without an end */
    send_text(fd, 0, port, "%s%s%s%n%p SECRET", 17);
    while (has_answer(fd, 300)) {
        ssize_t length = recv(fd, &message, sizeof(message), 0);
        check(length <= 1024 && !memmem(&message, (size_t)length, "SSSS", 4) &&
                  !memmem(&message, (size_t)length, "SECRET", 6),
              "what was sent comes back");
    }
    if (is_privileged(way)) {
        int log = log_open();
        send_text(fd, 0, port, "kapi-netlink-text", 17);
        usleep(100000);
        check(!log_contains(log, "kapi-netlink-text"), "what was sent is in the kernel log");
    }
    still_answers();
}

/* A flood is answered in part only; nothing else suffers. */
static void netlink_is_limited(enum way way)
{
    char buffer[2048];
    uint32_t port;
    int answers = 0, fd = netlink_open(KAPI_NETLINK_FAMILY, &port);
    uint64_t start = now_ns();

    for (int i = 0; i < 3000; i++) {
        send_text(fd, 0, port, "flood", 5);
        while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
            answers++;
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    row("limits", "netlink answers to 3000 messages in %.1f s\t%d\t", seconds, answers);
    check(answers < 2500, "%d answers to 3000 messages", answers);
    usleep(1500000);
    still_answers();
}

const struct test netlink_tests[] = {
    {"netlink-greets", netlink_greets, WAYS_ALL, 0},
    {"hole-01-netlink-port-zero", hole_01_port_zero, WAYS_ALL, 0},
    {"hole-01-netlink-lengths", hole_01_lengths, WAYS_ALL, 60},
    {"hole-02-netlink-forged-port", hole_02_forged_port, WAYS_ALL, 0},
    {"hole-02-netlink-payload", hole_02_payload, WAYS_ALL, 60},
    {"netlink-is-limited", netlink_is_limited, WAY_NOBODY | WAY_USERNS, 60},
    {0},
};

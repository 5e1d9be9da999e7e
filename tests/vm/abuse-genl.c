/* The generic netlink family "kapi": its commands, who may use them, its events, and rubbish sent
 * to it. */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

struct packet {
    struct nlmsghdr head;
    struct genlmsghdr genl;
    char data[16384];
};

static void add(struct packet *packet, uint16_t type, const void *data, size_t size)
{
    struct nlattr *attribute =
        (struct nlattr *)((char *)packet + NLMSG_ALIGN(packet->head.nlmsg_len));

    attribute->nla_type = type;
    attribute->nla_len = (uint16_t)(NLA_HDRLEN + size);
    memcpy((char *)attribute + NLA_HDRLEN, data, size);
    packet->head.nlmsg_len =
        (uint32_t)(NLMSG_ALIGN(packet->head.nlmsg_len) + NLA_ALIGN(attribute->nla_len));
}

static struct packet request(int family, uint8_t command, uint16_t flags)
{
    struct packet packet = {.head = {.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN),
                                     .nlmsg_type = (uint16_t)family,
                                     .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                                     .nlmsg_seq = 1},
                            .genl = {.cmd = command, .version = 1}};
    return packet;
}

static void send_packet(int fd, const struct packet *packet)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    check(sendto(fd, packet, packet->head.nlmsg_len, 0, (struct sockaddr *)&kernel,
                 sizeof(kernel)) >= 0,
          "send: %s", strerror(errno));
}

/* The next packet; 0, or the error that it carries, or -ETIMEDOUT. */
static int receive(int fd, struct packet *packet, int milliseconds)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    memset(packet, 0, sizeof(*packet));
    if (poll(&poll_fd, 1, milliseconds) <= 0)
        return -ETIMEDOUT;
    ssize_t length = recv(fd, packet, sizeof(*packet), 0);
    check(length >= (ssize_t)sizeof(struct nlmsghdr), "packet of %zd bytes: %s", length,
          strerror(errno));
    return packet->head.nlmsg_type == NLMSG_ERROR ? *(int *)&packet->genl : 0;
}

static const void *find(const struct packet *packet, uint16_t type, size_t *ret_size)
{
    const char *at = packet->data, *end = (const char *)packet + packet->head.nlmsg_len;

    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        if (attribute->nla_len < NLA_HDRLEN)
            break;
        if ((attribute->nla_type & NLA_TYPE_MASK) == type) {
            *ret_size = (size_t)attribute->nla_len - NLA_HDRLEN;
            return at + NLA_HDRLEN;
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
    return NULL;
}

static uint32_t find_number(const struct packet *packet, uint16_t type)
{
    size_t size;
    uint32_t number;
    const void *found = find(packet, type, &size);

    check(found && size == 4, "no attribute %u", type);
    memcpy(&number, found, 4);
    return number;
}

/* The number of the family, or a negative errno. */
int genl_resolve(int fd, int *ret_group)
{
    struct packet packet = request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
    size_t size;

    add(&packet, CTRL_ATTR_FAMILY_NAME, KAPI_GENL_NAME, sizeof(KAPI_GENL_NAME));
    send_packet(fd, &packet);
    int r = receive(fd, &packet, 3000);
    if (r)
        return r;
    const uint16_t *id = find(&packet, CTRL_ATTR_FAMILY_ID, &size);
    check(id, "no number of the family");
    int family = *id;
    const struct nlattr *groups = find(&packet, CTRL_ATTR_MCAST_GROUPS, &size);
    check(groups, "no groups");
    const char *at = (const char *)groups + NLA_HDRLEN, *end = at + groups->nla_len - NLA_HDRLEN;
    bool named = false;
    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *attribute = (const struct nlattr *)at;
        if (attribute->nla_type == CTRL_ATTR_MCAST_GRP_ID)
            memcpy(ret_group, at + NLA_HDRLEN, 4);
        if (attribute->nla_type == CTRL_ATTR_MCAST_GRP_NAME)
            named = strcmp(at + NLA_HDRLEN, KAPI_GENL_GROUP_EVENTS) == 0;
        at += NLA_ALIGN(attribute->nla_len);
    }
    check(named, "no group %s", KAPI_GENL_GROUP_EVENTS);
    return family;
}

/* The family need not be there in a network namespace of one's own; then there is nothing to abuse.
 */
static int resolved(int fd, enum way way, int *ret_group)
{
    int family = genl_resolve(fd, ret_group);

    if (family == -ENOENT && way & (WAY_USERNS | WAY_ALLOWED_USERNS))
        _exit(0); /* nothing there, nothing to abuse */
    check(family > 0, "no family kapi: %s", strerror(-family));
    return family;
}

static void genl_tells_the_version(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL), family = resolved(fd, way, &group);
    struct packet packet = request(family, KAPI_GENL_CMD_GET_VERSION, 0);
    struct kapi_version version = {.size = sizeof(version)};
    size_t size;

    send_packet(fd, &packet);
    int r = receive(fd, &packet, 3000);
    check(r == 0 && packet.genl.cmd == KAPI_GENL_CMD_GET_VERSION, "%s", strerror(-r));
    check(kapi_call(device_open(), KAPI_GET_VERSION, &version) == 0, "%s", strerror(errno));
    check(find_number(&packet, KAPI_GENL_ATTR_ABI_VERSION) == version.abi_version,
          "version of the interface");
    check(find_number(&packet, KAPI_GENL_ATTR_FEATURES) == version.features, "features");
    const char *text = find(&packet, KAPI_GENL_ATTR_MODULE_VERSION, &size);
    check(text && strcmp(text, version.module_version) == 0, "version of the module: %s",
          text ? text : "none");
}

static void genl_counts(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL), family = resolved(fd, way, &group);
    struct packet packet = request(family, KAPI_GENL_CMD_GET_COUNTERS, NLM_F_DUMP);
    int messages = 0, r;

    kapi_call(device_open(), KAPI_GET_LOADAVG, &(struct kapi_loadavg_info){0});
    send_packet(fd, &packet);
    while ((r = receive(fd, &packet, 3000)) == 0 && packet.head.nlmsg_type != NLMSG_DONE)
        messages++; /* one packet may hold several messages */
    check(r == 0 && messages > 0, "%s, %d packets", strerror(-r), messages);
}

static void genl_refuses_the_unprivileged(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL), family = resolved(fd, way, &group);
    struct packet packet = request(family, KAPI_GENL_CMD_GET_COUNTERS, NLM_F_DUMP);
    uint32_t mask = 0;
    int r;

    send_packet(fd, &packet);
    r = receive(fd, &packet, 3000);
    check(r == -EPERM, "counters: %s", r ? strerror(-r) : "given");
    packet = request(family, KAPI_GENL_CMD_SET_EVENTS, NLM_F_ACK);
    add(&packet, KAPI_GENL_ATTR_EVENT_MASK, &mask, 4);
    send_packet(fd, &packet);
    r = receive(fd, &packet, 3000);
    check(r == -EPERM, "events: %s", r ? strerror(-r) : "set");
    packet = request(family, KAPI_GENL_CMD_EVENT, NLM_F_ACK);
    send_packet(fd, &packet);
    r = receive(fd, &packet, 3000);
    check(r < 0, "a forged event: %s", r ? strerror(-r) : "taken");
}

static void genl_sends_events(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL), family = resolved(fd, way, &group);
    struct packet packet = request(family, KAPI_GENL_CMD_SET_EVENTS, NLM_F_ACK);
    uint32_t mask = KAPI_EVENT_ALL;
    pid_t pid = sleeper();
    int r;

    add(&packet, KAPI_GENL_ATTR_EVENT_MASK, &mask, 4);
    send_packet(fd, &packet);
    r = receive(fd, &packet, 3000);
    check(r == 0, "set events: %s", strerror(-r));
    check(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0,
          "join: %s", strerror(errno));
    check(kapi_signal(device_open(), KAPI_SUSPEND_PROCESS, pid, 0) == 0, "%s", last_message);
    r = receive(fd, &packet, 3000);
    check(r == 0 && packet.genl.cmd == KAPI_GENL_CMD_EVENT, "no event: %s", strerror(-r));
    check(find_number(&packet, KAPI_GENL_ATTR_EVENT) == KAPI_EVENT_CONTROL, "which event");
    check(find_number(&packet, KAPI_GENL_ATTR_COMMAND) == 16, "command %u",
          find_number(&packet, KAPI_GENL_ATTR_COMMAND));
    size_t size;
    if (find(&packet, KAPI_GENL_ATTR_PID, &size))
        check(find_number(&packet, KAPI_GENL_ATTR_PID) == (uint32_t)getpid(), "of process %u",
              find_number(&packet, KAPI_GENL_ATTR_PID));
    pid_t child = fork();
    if (child == 0) {
        become(WAY_NOBODY);
        kapi_signal(leaked_fd, KAPI_KILL_PROCESS, 1, SIGKILL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    r = receive(fd, &packet, 3000);
    check(r == 0 && find_number(&packet, KAPI_GENL_ATTR_EVENT) == KAPI_EVENT_REFUSED,
          "no event of a refusal: %s", strerror(-r));
    check((int)find_number(&packet, KAPI_GENL_ATTR_STATUS) == -EPERM, "its status");
}

/* Where the group cannot be closed (before 5.12) it tells nothing about anybody. */
static void genl_events_are_not_for_everybody(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL);
    struct packet packet;
    size_t size;

    resolved(fd, way, &group);
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
        check(errno == EPERM, "join: %s", strerror(errno));
        return;
    }
    kapi_signal(leaked_fd, KAPI_KILL_PROCESS, 1, SIGKILL);
    if (receive(fd, &packet, 1000) != 0)
        return;
    check(!find(&packet, KAPI_GENL_ATTR_PID, &size) && !find(&packet, KAPI_GENL_ATTR_UID, &size) &&
              !find(&packet, KAPI_GENL_ATTR_COMM, &size) &&
              !find(&packet, KAPI_GENL_ATTR_TARGET, &size),
          "an unprivileged listener learns who did it");
}

static void genl_survives_rubbish(enum way way)
{
    int group = 0, fd = netlink_open(NETLINK_GENERIC, NULL), family = resolved(fd, way, &group);
    uint64_t state = options.seed;
    struct packet packet;

    for (int i = 0; i < 2000; i++) {
        packet = request(family, (uint8_t)(random_number(&state) % 8),
                         (uint16_t)(random_number(&state) & 0x0f05));
        for (unsigned int j = 0; j < random_number(&state) % 6; j++) {
            uint64_t data[4] = {random_number(&state), ~(uint64_t)0, random_number(&state), 0};
            add(&packet, (uint16_t)(random_number(&state) % 24), data, random_number(&state) % 32);
        }
        if (i % 5 == 0)
            packet.head.nlmsg_len = (uint32_t)(16 + random_number(&state) % 64);
        if (i % 7 == 0)
            packet.genl.version = (uint8_t)random_number(&state);
        if (is_privileged(way) && packet.genl.cmd == KAPI_GENL_CMD_SET_EVENTS)
            continue; /* it would switch events off for whoever comes next */
        send_packet(fd, &packet);
        char buffer[8192];
        while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
            ;
    }
    genl_tells_the_version(way);
}

const struct test genl_tests[] = {
    {"genl-tells-the-version", genl_tells_the_version, WAY_ROOT | WAY_NOBODY | WAY_ALLOWED, 0},
    {"genl-counts", genl_counts, WAY_ROOT, 0},
    {"genl-sends-events", genl_sends_events, WAY_ROOT, 0},
    {"genl-refuses-the-unprivileged", genl_refuses_the_unprivileged, WAYS_PLAIN, 0},
    {"genl-events-are-not-for-everybody", genl_events_are_not_for_everybody, WAYS_PLAIN, 0},
    {"genl-survives-rubbish", genl_survives_rubbish, WAYS_DEFAULT, 60},
    {0},
};

/*
 * sendmsg and sendmmsg: messages are copied out of the guest's memory, and the process kernel sends
 * the copy on a duplicate of the socket. AF_UNIX datagrams: unix-send.c. All others are native,
 * except with network rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define CONTROL_MAX (64 << 10) /* more than fits; the kernel's limit is net.core.optmem_max */
/* A call that waits sends all of its data; only so much is copied at a time, the rest is for the
 * guest to offer again. */
#define STREAM_MAX (16 << 20)
#define PACKET_MAX (4 << 20)

/* Newer than the headers of the oldest system this is built on. */
#define UDP_SEGMENT_SIZE  103 /* UDP_SEGMENT of linux/udp.h, 4.18 */
#define LEVEL_TLS         282 /* SOL_TLS */
#define TLS_RECORD_TYPE   1   /* TLS_SET_RECORD_TYPE of linux/tls.h */
#define SCM_TRANSMIT_TIME 61  /* SO_TXTIME, 4.19 */
#define SCM_STAMPING_OLD  37  /* SO_TIMESTAMPING_OLD */
#define SCM_STAMPING_NEW  65
#define SCM_STAMP_ID      81 /* SCM_TS_OPT_ID, 6.13 */
#define SOCKET_ZERO_COPY  60 /* SO_ZEROCOPY, 4.14 */

/* ---- reading what the guest has prepared ---- */

int net_read_header(struct pk_request *request, uint64_t address, struct net_sending *sending)
{
    struct msghdr *header = &sending->header;
    uint64_t length;
    int r = pk_read(request, address, header, sizeof(*header));

    if (r < 0)
        return r;
    if ((int)header->msg_namelen < 0 || header->msg_iovlen > NET_IOV_MAX)
        return header->msg_iovlen > NET_IOV_MAX ? -EMSGSIZE : -EINVAL;
    length = header->msg_name ? header->msg_namelen : 0;
    if (length > sizeof(sending->name.storage))
        length = sizeof(sending->name.storage);
    sending->name.length = 0;
    if (length)
        r = net_read_address(request, (uint64_t)(uintptr_t)header->msg_name, length,
                             &sending->name);
    return r;
}

int net_gather(struct pk_request *request, const struct iovec *parts, size_t count, size_t length,
               struct net_message *message)
{
    size_t done = 0;
    int r = 0;

    message->data = malloc(length ? length : 1);
    if (message->data == NULL)
        return -ENOMEM;
    for (size_t i = 0; r >= 0 && i < count && done < length; i++) {
        size_t part = parts[i].iov_len < length - done ? parts[i].iov_len : length - done;

        r = pk_read(request, (uint64_t)(uintptr_t)parts[i].iov_base, message->data + done, part);
        done += part;
    }
    message->length = length;
    return r < 0 ? r : 0;
}

int net_read_control(struct pk_request *request, struct msghdr *header)
{
    cleanup_free void *control = NULL;
    uint64_t address = (uint64_t)(uintptr_t)header->msg_control;
    int r;

    header->msg_control = NULL; /* what is there is the guest's */
    if (address == 0 || header->msg_controllen == 0) {
        header->msg_controllen = 0;
        return 0;
    }
    if (header->msg_controllen > CONTROL_MAX)
        return -ENOBUFS;
    control = malloc(header->msg_controllen);
    if (control == NULL)
        return -ENOMEM;
    r = pk_read(request, address, control, header->msg_controllen);
    if (r < 0)
        return r;
    header->msg_control = take_ptr(control);
    return 0;
}

void net_put_control(struct net_message *message, int level, int type, const void *bytes,
                     size_t length)
{
    struct cmsghdr *part =
        (struct cmsghdr *)(void *)((char *)message->control + message->control_length);

    part->cmsg_level = level;
    part->cmsg_type = type;
    part->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(part), bytes, length);
    message->control_length += CMSG_SPACE(length);
}

/* ---- control messages of the internet ---- */

/* What may go along: nothing that changes where a packet goes, or takes a privilege of ours. */
static const struct {
    int level;
    int type;
} harmless[] = {
    {SOL_SOCKET, SCM_STAMPING_OLD},
    {SOL_SOCKET, SCM_STAMPING_NEW},
    {SOL_SOCKET, SCM_STAMP_ID},
    {SOL_SOCKET, SCM_TRANSMIT_TIME},
    {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IPV6, IPV6_PKTINFO},
    {IPPROTO_IPV6, IPV6_2292PKTINFO},
    {IPPROTO_IPV6, IPV6_HOPLIMIT},
    {IPPROTO_IPV6, IPV6_2292HOPLIMIT},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_DONTFRAG},
    {IPPROTO_UDP, UDP_SEGMENT_SIZE},
    {LEVEL_TLS, TLS_RECORD_TYPE},
};

static bool is_harmless(const struct cmsghdr *part)
{
    for (size_t i = 0; i < array_length(harmless); i++)
        if (harmless[i].level == part->cmsg_level && harmless[i].type == part->cmsg_type)
            return true;
    return false;
}

/* The host ignores these on a socket of the internet. */
static bool is_ignored(const struct cmsghdr *part)
{
    return part->cmsg_level == SOL_SOCKET &&
           (part->cmsg_type == SCM_RIGHTS || part->cmsg_type == SCM_CREDENTIALS);
}

static bool is_route(const struct cmsghdr *part)
{
    return (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RETOPTS) ||
           (part->cmsg_level == IPPROTO_IPV6 &&
            (part->cmsg_type == IPV6_RTHDR || part->cmsg_type == IPV6_2292RTHDR));
}

static int keep_harmless(struct pk_request *request, struct msghdr *header,
                         struct net_message *message, struct pk_answer *ret_refusal)
{
    *ret_refusal = pk_error(-EINVAL);
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        size_t rest = header->msg_controllen - (size_t)((char *)part - (char *)header->msg_control);

        if (part->cmsg_len < sizeof(*part) || part->cmsg_len > rest)
            return -EINVAL;
        if (is_harmless(part)) {
            net_put_control(message, part->cmsg_level, part->cmsg_type, CMSG_DATA(part),
                            part->cmsg_len - CMSG_LEN(0));
        } else if (is_route(part)) {
            *ret_refusal = net_refuse_route(request);
            return -EPERM;
        } else if (!is_ignored(part)) {
            return -EINVAL;
        }
    }
    return 0;
}

static int take_internet_control(struct pk_request *request, const struct msghdr *given,
                                 struct net_message *message, struct pk_answer *ret_refusal)
{
    struct msghdr header = *given;
    int r = net_read_control(request, &header);

    *ret_refusal = pk_error(r);
    if (r < 0 || header.msg_control == NULL)
        return r;
    /* No part is longer than before but for the padding of the last one. */
    message->control = calloc(1, header.msg_controllen + CMSG_SPACE(0));
    r = message->control ? keep_harmless(request, &header, message, ret_refusal) : -ENOMEM;
    if (message->control == NULL)
        *ret_refusal = pk_error(r);
    free(header.msg_control);
    return r;
}

/* ---- one message, with network rules ---- */

/* The pages of the guest must not be read after the call: it has to do without. */
static int check_zero_copy(int fd, int flags)
{
    int value = 0;
    socklen_t length = sizeof(value);

    if (!(flags & MSG_ZEROCOPY) ||
        getsockopt(fd, SOL_SOCKET, SOCKET_ZERO_COPY, &value, &length) < 0)
        return 0;
    return value ? -ENOBUFS : 0;
}

static int take_data(struct pk_request *request, const struct net_sending *sending,
                     struct net_message *message)
{
    bool is_stream = net_type(sending->fd) == SOCK_STREAM;
    struct iovec parts[NET_IOV_MAX];
    size_t count = sending->header.msg_iovlen;
    ssize_t length =
        pk_read_iovec(request, (uint64_t)(uintptr_t)sending->header.msg_iov, count, parts);

    if (length < 0)
        return (int)length;
    if (is_stream && length > STREAM_MAX)
        length = STREAM_MAX;
    if (length > (is_stream ? STREAM_MAX : PACKET_MAX))
        return -EMSGSIZE;
    return net_gather(request, parts, count, (size_t)length, message);
}

static int take_parts(struct pk_request *request, const struct net_sending *sending, int domain,
                      struct net_message *message, struct pk_answer *ret_refusal)
{
    int r = check_zero_copy(sending->fd, sending->flags);

    *ret_refusal = pk_error(r);
    if (r < 0)
        return r;
    if (domain == AF_UNIX) {
        r = message->address.length ? net_judge_local(sending->fd, &message->address) : 0;
        r = r < 0 ? r : unix_take_control(request, &sending->header, message);
        *ret_refusal = pk_error(r);
    } else {
        r = take_internet_control(request, &sending->header, message, ret_refusal);
    }
    if (r < 0)
        return r;
    r = take_data(request, sending, message);
    *ret_refusal = pk_error(r);
    return r;
}

/* Without an address a message goes to the peer, for which the rules were asked before. */
static int judge_message(struct pk_request *request, const struct net_sending *sending, int domain,
                         struct net_address *address, struct pk_answer *ret_refusal)
{
    if (address->length)
        return net_judge(request, sending->fd, domain, address, ret_refusal);
    return net_check_use(request, domain, address, ret_refusal);
}

static struct pk_answer send_copy(struct pk_request *request, const struct net_sending *sending)
{
    struct net_message message = {
        .path_fd = -1,
        .address = sending->name,
        .flags = sending->flags,
        .length_at = sending->length_at,
    };
    int domain = net_domain(sending->fd);
    struct pk_answer refusal = pk_error(domain);
    int fd;

    if (domain < 0 || judge_message(request, sending, domain, &message.address, &refusal) < 0)
        return refusal;
    if (take_parts(request, sending, domain, &message, &refusal) < 0) {
        net_message_release(&message);
        return refusal;
    }
    fd = fcntl(sending->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        net_message_release(&message);
        return pk_error(-errno);
    }
    return net_send(request, fd, net_blocks(fd), &message);
}

/* ---- the calls ---- */

typedef struct pk_answer (*send_function)(struct pk_request *request,
                                          const struct net_sending *sending);

/* How messages on this socket are sent; NULL: natively. */
static send_function function_of(struct pk_request *request, int fd)
{
    if (unix_is_datagram(fd))
        return unix_send_message;
    return net_has_rules(request) ? send_copy : NULL;
}

/*
 * Without a name the guest's own datagram socket can send, where it is allowed to at all: nothing
 * in memory decides where to.
 */
static bool sends_natively(struct pk_request *request, int fd)
{
    return unix_is_datagram(fd) && unix_sends_itself(request) && !net_has_rules(request);
}

struct pk_answer net_do_sendmsg(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct net_sending sending = {.fd = fd, .flags = (int)request->args[2]};
    send_function function;
    int r;

    if (fd < 0)
        return pk_error(fd);
    function = function_of(request, fd);
    if (function == NULL)
        return pk_native();
    r = net_read_header(request, request->args[1], &sending);
    if (r < 0)
        return pk_error(r);
    if (sending.name.length == 0 && sends_natively(request, fd))
        return pk_native();
    return function(request, &sending);
}

/* One after the other; only the first may wait, since what was sent has to be told. */
static struct pk_answer send_several(struct pk_request *request, int fd, unsigned count,
                                     send_function function)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t address = request->args[1] + i * sizeof(struct mmsghdr);
        struct net_sending sending = {
            .fd = fd,
            .flags = (int)request->args[3] | (i ? MSG_DONTWAIT : 0),
            .length_at = address + offsetof(struct mmsghdr, msg_len),
        };
        struct pk_answer answer = pk_value(net_read_header(request, address, &sending));

        if (answer.value == 0)
            answer = function(request, &sending);
        if (answer.kind != PK_ANSWER_VALUE)
            return answer;
        if (answer.value < 0)
            return pk_value(i ? i : answer.value);
    }
    return pk_value(count);
}

static bool any_name(struct pk_request *request, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct net_sending sending = {.fd = -1};

        if (net_read_header(request, request->args[1] + i * sizeof(struct mmsghdr), &sending) < 0 ||
            sending.name.length)
            return true;
    }
    return false;
}

struct pk_answer net_do_sendmmsg(struct pk_request *request)
{
    unsigned count = (unsigned)request->args[2];
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    send_function function;

    if (fd < 0)
        return pk_error(fd);
    function = function_of(request, fd);
    if (function == NULL)
        return pk_native();
    if (count > NET_IOV_MAX)
        count = NET_IOV_MAX;
    if (sends_natively(request, fd) && !any_name(request, count))
        return pk_native();
    return send_several(request, fd, count, function);
}

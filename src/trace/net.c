/* What sockets, their addresses and messages, and waiting for them are told in. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "trace/trace-internal.h"

#define CONTROL_MAX 1024

/* ---- addresses ---- */

static void add_unix(struct strbuf *out, const struct sockaddr_un *address, size_t length)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t room = length > head ? length - head : 0;

    if (room > sizeof(address->sun_path))
        room = sizeof(address->sun_path);
    if (room == 0)
        return;
    strbuf_add_string(out, ", sun_path=");
    if (address->sun_path[0] == '\0') { /* an abstract name, which is all of the rest */
        strbuf_add_string(out, "@");
        trace_quoted(out, address->sun_path + 1, room - 1, false);
    } else {
        trace_quoted(out, address->sun_path, strnlen(address->sun_path, room), false);
    }
}

static void add_inet(struct strbuf *out, const struct sockaddr_in *address)
{
    char text[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
    strbuf_addf(out, ", sin_port=htons(%u), sin_addr=inet_addr(\"%s\")", ntohs(address->sin_port),
                text);
}

static void add_inet6(struct strbuf *out, const struct sockaddr_in6 *address)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof(text));
    strbuf_addf(out, ", sin6_port=htons(%u), sin6_flowinfo=htonl(%u)", ntohs(address->sin6_port),
                ntohl(address->sin6_flowinfo));
    strbuf_addf(out, ", inet_pton(AF_INET6, \"%s\", &sin6_addr), sin6_scope_id=%u", text,
                address->sin6_scope_id);
}

void trace_sockaddr(struct strbuf *out, const void *address, size_t length)
{
    struct sockaddr_storage room = {0};
    const struct sockaddr_nl *netlink = (const struct sockaddr_nl *)&room;

    memcpy(&room, address, length < sizeof(room) ? length : sizeof(room));
    strbuf_add_string(out, "{sa_family=");
    trace_flags(out, ABI_ARG_SOCKET_DOMAIN, room.ss_family);
    if (room.ss_family == AF_UNIX)
        add_unix(out, (const struct sockaddr_un *)&room, length);
    else if (room.ss_family == AF_INET && length >= sizeof(struct sockaddr_in))
        add_inet(out, (const struct sockaddr_in *)&room);
    else if (room.ss_family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
        add_inet6(out, (const struct sockaddr_in6 *)&room);
    else if (room.ss_family == AF_NETLINK && length >= sizeof(*netlink))
        strbuf_addf(out, ", nl_pid=%d, nl_groups=%08x", (int)netlink->nl_pid, netlink->nl_groups);
    else if (length > sizeof(sa_family_t)) {
        strbuf_add_string(out, ", sa_data=");
        trace_quoted(out, (const char *)&room + sizeof(sa_family_t),
                     (length < sizeof(room) ? length : sizeof(room)) - sizeof(sa_family_t), false);
    }
    strbuf_add_string(out, "}");
}

static void copy_sockaddr(struct trace_decoder *d, uint64_t address, uint64_t length)
{
    struct sockaddr_storage room;

    if (length < sizeof(sa_family_t) || length > sizeof(room))
        trace_address(d->out, address);
    else if (trace_copy(d, address, &room, length))
        trace_sockaddr(d->out, &room, length);
}

void trace_decode_sockaddr(struct trace_decoder *d)
{
    uint64_t length = trace_neighbour(d, 1);
    uint32_t filled;

    if (d->after) {
        if (length == 0 || pk_read(d->request, length, &filled, sizeof(filled)) < 0) {
            trace_address(d->out, trace_value(d));
            return;
        }
        length = filled;
    }
    copy_sockaddr(d, trace_value(d), length);
}

/* "[16]", or "[128 => 16]" when the call has changed it. */
void trace_decode_socklen(struct trace_decoder *d)
{
    cleanup_strbuf struct strbuf text = {0};
    uint32_t length;

    if (!d->after) {
        if (trace_copy(d, trace_value(d), &length, sizeof(length)))
            strbuf_addf(d->out, "[%" PRIu32 "]", length);
        return;
    }
    if (strbuf_text(d->out)[0] != '[' ||
        pk_read(d->request, trace_value(d), &length, sizeof(length)) < 0)
        return;
    strbuf_addf(&text, "[%" PRIu32 "]", length);
    if (strcmp(strbuf_text(&text), strbuf_text(d->out)) == 0)
        return;
    strbuf_truncate(d->out, d->out->length - 1);
    strbuf_addf(d->out, " => %" PRIu32 "]", length);
}

/* ---- options ---- */

void trace_decode_protocol(struct trace_decoder *d)
{
    uint64_t domain = trace_neighbour(d, -2);

    if (domain == AF_INET || domain == AF_INET6)
        trace_flags(d->out, ABI_ARG_IP_PROTOCOL, trace_value(d));
    else if (domain == AF_NETLINK)
        trace_flags(d->out, ABI_ARG_NETLINK_PROTOCOL, trace_value(d));
    else
        trace_flags(d->out, ABI_ARG_INT, trace_value(d));
}

void trace_decode_sockopt(struct trace_decoder *d)
{
    static const struct {
        uint64_t level;
        enum abi_arg_kind kind;
    } levels[] = {{SOL_SOCKET, ABI_ARG_SOCKET_OPTION},
                  {IPPROTO_IP, ABI_ARG_IP_OPTION},
                  {IPPROTO_IPV6, ABI_ARG_IPV6_OPTION},
                  {IPPROTO_TCP, ABI_ARG_TCP_OPTION}};
    uint64_t level = trace_neighbour(d, -1);

    for (size_t i = 0; i < array_length(levels); i++)
        if (levels[i].level == level) {
            trace_flags(d->out, levels[i].kind, trace_value(d));
            return;
        }
    trace_flags(d->out, ABI_ARG_INT, trace_value(d));
}

/* The length of the value: given, or behind a pointer. */
static uint64_t value_length(struct trace_decoder *d)
{
    uint64_t next = trace_neighbour(d, 1);
    uint32_t length = 0;

    if (!d->after)
        return next;
    return pk_read(d->request, next, &length, sizeof(length)) < 0 ? 0 : length;
}

static void add_credentials(struct strbuf *out, const struct ucred *peer)
{
    strbuf_addf(out, "{pid=%d, uid=", peer->pid);
    trace_flags(out, ABI_ARG_UID, peer->uid);
    strbuf_add_string(out, ", gid=");
    trace_flags(out, ABI_ARG_GID, peer->gid);
    strbuf_add_string(out, "}");
}

static void add_peer(struct trace_decoder *d)
{
    struct ucred peer;

    if (trace_copy(d, trace_value(d), &peer, sizeof(peer)))
        add_credentials(d->out, &peer);
}

static void add_linger(struct trace_decoder *d)
{
    struct linger linger;

    if (trace_copy(d, trace_value(d), &linger, sizeof(linger)))
        strbuf_addf(d->out, "{l_onoff=%d, l_linger=%d}", linger.l_onoff, linger.l_linger);
}

void trace_decode_sockopt_value(struct trace_decoder *d)
{
    bool socket_level = trace_neighbour(d, -2) == SOL_SOCKET;
    uint64_t option = trace_neighbour(d, -1);
    uint64_t length = value_length(d);
    int number;

    if (socket_level && option == SO_PEERCRED && length == sizeof(struct ucred))
        add_peer(d);
    else if (socket_level && option == SO_LINGER && length == sizeof(struct linger))
        add_linger(d);
    else if (socket_level && (option == SO_RCVTIMEO || option == SO_SNDTIMEO) &&
             length == sizeof(struct timeval))
        trace_decode_timeval(d);
    else if (length != sizeof(number))
        trace_bytes(d, trace_value(d), length);
    else if (trace_copy(d, trace_value(d), &number, sizeof(number)))
        strbuf_addf(d->out, "[%d]", number);
}

/* ---- vectors and messages ---- */

/* `filled`: so many bytes of all of them together are of interest. */
static void add_vector(struct trace_decoder *d, uint64_t address, uint64_t count, uint64_t filled)
{
    uint64_t shown = count < TRACE_ARRAY_MAX ? count : TRACE_ARRAY_MAX;
    struct iovec vector[TRACE_ARRAY_MAX];

    if (count == 0 && address) {
        strbuf_add_string(d->out, "[]");
        return;
    }
    if (!trace_copy(d, address, vector, shown * sizeof(*vector)))
        return;
    for (uint64_t i = 0; i < shown; i++) {
        uint64_t bytes = vector[i].iov_len < filled ? vector[i].iov_len : filled;

        strbuf_add_string(d->out, i ? ", {iov_base=" : "[{iov_base=");
        trace_bytes(d, (uint64_t)(uintptr_t)vector[i].iov_base, bytes);
        strbuf_addf(d->out, ", iov_len=%zu}", vector[i].iov_len);
        filled -= bytes;
    }
    strbuf_add_string(d->out, shown < count ? ", ...]" : "]");
}

void trace_decode_iovec(struct trace_decoder *d)
{
    add_vector(d, trace_value(d), trace_neighbour(d, 1),
               d->after ? (uint64_t)d->result : UINT64_MAX);
}

static void add_descriptors(struct strbuf *out, const unsigned char *data, size_t length)
{
    for (size_t at = 0; at + sizeof(int) <= length; at += sizeof(int)) {
        int fd;

        memcpy(&fd, data + at, sizeof(fd));
        strbuf_addf(out, at ? ", %d" : "[%d", fd);
    }
    strbuf_add_string(out, "]");
}

static void add_control_data(struct strbuf *out, const struct cmsghdr *head,
                             const unsigned char *data, size_t length)
{
    struct ucred peer;

    strbuf_add_string(out, ", cmsg_data=");
    if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS && length >= sizeof(int)) {
        add_descriptors(out, data, length);
    } else if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS &&
               length >= sizeof(peer)) {
        memcpy(&peer, data, sizeof(peer));
        add_credentials(out, &peer);
    } else {
        trace_quoted(out, data, length < TRACE_STRING_MAX ? length : TRACE_STRING_MAX,
                     length > TRACE_STRING_MAX);
    }
}

/* One control message of `room` bytes; returns how far on the next one begins, 0: there is none. */
static size_t add_control(struct strbuf *out, const unsigned char *bytes, size_t room)
{
    struct cmsghdr head;
    size_t data;

    if (room < sizeof(head))
        return 0;
    memcpy(&head, bytes, sizeof(head));
    strbuf_addf(out, "{cmsg_len=%zu, cmsg_level=", head.cmsg_len);
    trace_flags(out, ABI_ARG_SOCKOPT_LEVEL, (uint32_t)head.cmsg_level);
    strbuf_add_string(out, ", cmsg_type=");
    trace_flags(out, head.cmsg_level == SOL_SOCKET ? ABI_ARG_CONTROL_TYPE : ABI_ARG_HEX,
                (uint32_t)head.cmsg_type);
    if (head.cmsg_len < sizeof(head) || head.cmsg_len > room) {
        strbuf_add_string(out, "}");
        return 0;
    }
    data = CMSG_ALIGN(sizeof(head));
    if (head.cmsg_len > data)
        add_control_data(out, &head, bytes + data, head.cmsg_len - data);
    strbuf_add_string(out, "}");
    return CMSG_ALIGN(head.cmsg_len);
}

static void add_controls(struct trace_decoder *d, const struct msghdr *message)
{
    unsigned char bytes[CONTROL_MAX];
    size_t length =
        message->msg_controllen < sizeof(bytes) ? message->msg_controllen : sizeof(bytes);
    uint64_t address = (uint64_t)(uintptr_t)message->msg_control;
    size_t step;

    if (length && address) {
        strbuf_add_string(d->out, ", msg_control=");
        if (trace_copy(d, address, bytes, length)) {
            strbuf_add_string(d->out, "[");
            for (size_t at = 0; at < length; at += step) {
                strbuf_add_string(d->out, at ? ", " : "");
                step = add_control(d->out, bytes + at, length - at);
                if (step == 0)
                    break;
            }
            strbuf_add_string(d->out, "]");
        }
    }
    strbuf_addf(d->out, ", msg_controllen=%zu", message->msg_controllen);
}

static void add_message(struct trace_decoder *d, const struct msghdr *message, uint64_t filled)
{
    strbuf_add_string(d->out, "{msg_name=");
    if (message->msg_name)
        copy_sockaddr(d, (uint64_t)(uintptr_t)message->msg_name, message->msg_namelen);
    else
        strbuf_add_string(d->out, "NULL");
    strbuf_addf(d->out, ", msg_namelen=%u, msg_iov=", message->msg_namelen);
    add_vector(d, (uint64_t)(uintptr_t)message->msg_iov, message->msg_iovlen, filled);
    strbuf_addf(d->out, ", msg_iovlen=%zu", (size_t)message->msg_iovlen);
    add_controls(d, message);
    strbuf_add_string(d->out, ", msg_flags=");
    trace_flags(d->out, ABI_ARG_MSG_FLAGS, (uint32_t)message->msg_flags);
    strbuf_add_string(d->out, "}");
}

void trace_decode_msghdr(struct trace_decoder *d)
{
    struct msghdr message;

    if (trace_copy(d, trace_value(d), &message, sizeof(message)))
        add_message(d, &message, d->after ? (uint64_t)d->result : UINT64_MAX);
}

void trace_decode_mmsghdr(struct trace_decoder *d)
{
    uint64_t count = (uint64_t)d->result < TRACE_ARRAY_MAX ? (uint64_t)d->result : TRACE_ARRAY_MAX;
    struct mmsghdr message;

    strbuf_add_string(d->out, "[");
    for (uint64_t i = 0; i < count; i++) {
        strbuf_add_string(d->out, i ? ", " : "");
        if (!trace_copy(d, trace_value(d) + i * sizeof(message), &message, sizeof(message)))
            break;
        strbuf_add_string(d->out, "{msg_hdr=");
        add_message(d, &message.msg_hdr, message.msg_len);
        strbuf_addf(d->out, ", msg_len=%u}", message.msg_len);
    }
    strbuf_add_string(d->out, (uint64_t)d->result > count ? ", ...]" : "]");
}

/* ---- waiting ---- */

void trace_decode_pollfd(struct trace_decoder *d)
{
    uint64_t count = trace_neighbour(d, 1);
    uint64_t shown = count < TRACE_ARRAY_MAX ? count : TRACE_ARRAY_MAX;
    struct pollfd fds[TRACE_ARRAY_MAX];

    if (count == 0 && trace_value(d)) {
        strbuf_add_string(d->out, "[]");
        return;
    }
    if (!trace_copy(d, trace_value(d), fds, shown * sizeof(*fds)))
        return;
    for (uint64_t i = 0; i < shown; i++) {
        strbuf_addf(d->out, i ? ", {fd=%d" : "[{fd=%d", fds[i].fd);
        if (fds[i].fd >= 0) {
            strbuf_add_string(d->out, ", events=");
            trace_flags(d->out, ABI_ARG_POLL_EVENTS, (uint16_t)fds[i].events);
        }
        strbuf_add_string(d->out, "}");
    }
    strbuf_add_string(d->out, shown < count ? ", ...]" : "]");
}

static void add_event(struct strbuf *out, const struct epoll_event *event)
{
    strbuf_add_string(out, "{events=");
    trace_flags(out, ABI_ARG_EPOLL_EVENTS, event->events);
    strbuf_addf(out, ", data={u32=%" PRIu32 ", u64=%" PRIu64 "}}", (uint32_t)event->data.u64,
                (uint64_t)event->data.u64);
}

void trace_decode_epoll(struct trace_decoder *d)
{
    uint64_t count = d->after ? (uint64_t)d->result : 1;
    struct epoll_event events[TRACE_ARRAY_MAX];
    uint64_t shown = count < TRACE_ARRAY_MAX ? count : TRACE_ARRAY_MAX;

    if (count == 0) {
        strbuf_add_string(d->out, "[]");
        return;
    }
    if (!trace_copy(d, trace_value(d), events, shown * sizeof(*events)))
        return;
    strbuf_add_string(d->out, d->after ? "[" : "");
    for (uint64_t i = 0; i < shown; i++) {
        strbuf_add_string(d->out, i ? ", " : "");
        add_event(d->out, &events[i]);
    }
    if (d->after)
        strbuf_add_string(d->out, shown < count ? ", ...]" : "]");
}

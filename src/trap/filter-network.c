/*
 * The rules of the calls about sockets. What decides is in registers for some of them only; where
 * it lies in memory, a call is native only when it decides nothing (see docs/decisions/0013 and
 * 0017).
 */
#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "trap/filter-internal.h"

/* The bits of a socket's type that are not flags (SOCK_TYPE_MASK in include/linux/net.h). */
#define SOCKET_TYPE_BITS 0xfu

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

/*
 * socket, socketpair: AF_UNIX stream and seqpacket sockets reach nobody before connect() or bind(),
 * which are served. A datagram socket (SOCK_RAW is another word for it) can name its peer in each
 * message, in memory that the filter does not see: the process kernel makes one that cannot, and
 * puts it into the window. Pairs are native where no host name is in reach.
 */
static void emit_local_types(const struct filter_emitter *e, size_t count)
{
    static const uint32_t types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM, SOCK_RAW};
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 0);
    bpf_branch(e->code, BPF_JEQ, AF_UNIX, BPF_NEXT, serve);
    filter_load(e, 1);
    bpf_and(e->code, SOCKET_TYPE_BITS);
    filter_branch_on_values(e, types, count, native, serve);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

void filter_emit_socket(const struct filter_emitter *e)
{
    emit_local_types(e, 2);
}

void filter_emit_socketpair(const struct filter_emitter *e)
{
    emit_local_types(e, e->config->unix_isolated ? 4 : 2);
}

/*
 * sendto: without an address it is a send() on a connected socket, served for the datagram sockets
 * of the window. MSG_FASTOPEN would connect and send in one go, past the rules for connect();
 * programs fall back to connect().
 */
void filter_emit_sendto(const struct filter_emitter *e)
{
    bpf_label low_is_null = filter_new_label(e);
    bpf_label connected = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label refuse = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 3);
    bpf_branch(e->code, BPF_JSET, MSG_FASTOPEN, refuse, BPF_NEXT);
    filter_load(e, 4);
    bpf_branch(e->code, BPF_JEQ, 0, low_is_null, serve);
    bpf_bind(e->code, low_is_null);
    filter_load_high(e, 4);
    bpf_branch(e->code, BPF_JEQ, 0, connected, serve);
    bpf_bind(e->code, connected);
    filter_branch_on_window(e, 0, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EOPNOTSUPP));
}

/*
 * sendmsg, sendmmsg: the address, if any, is in memory. Native on sockets for which it decides
 * nothing: without a network the guest has no others outside of the window, where its datagram
 * sockets are (one that got out cannot send); with the host's network every address is allowed, and
 * with rules for it nothing is native: a number says nothing about the socket that another thread
 * may put there. MSG_FASTOPEN as for sendto.
 */
void filter_emit_sendmsg(const struct filter_emitter *e)
{
    bpf_label look = filter_new_label(e);
    bpf_label refuse = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, e->nr == ABI_NR_sendmmsg ? 3 : 2);
    bpf_branch(e->code, BPF_JSET, MSG_FASTOPEN, refuse, e->config->net_rules ? serve : look);
    if (!e->config->net_rules) {
        bpf_bind(e->code, look);
        filter_branch_on_window(e, 0, serve, native);
        filter_verdict_at(e, native, VERDICT_NATIVE);
    }
    filter_verdict_at(e, serve, VERDICT_SERVE);
    filter_verdict_at(e, refuse, VERDICT_ERRNO(EOPNOTSUPP));
}

/* recvfrom: the host's names of the senders of datagrams are not the guest's. */
void filter_emit_recvfrom(const struct filter_emitter *e)
{
    bpf_label low_is_null = filter_new_label(e);
    bpf_label named = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 4);
    bpf_branch(e->code, BPF_JEQ, 0, low_is_null, named);
    bpf_bind(e->code, low_is_null);
    filter_load_high(e, 4);
    bpf_branch(e->code, BPF_JEQ, 0, native, named);
    bpf_bind(e->code, named);
    filter_branch_on_window(e, 0, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/* accept, accept4: without a network the socket may be a stand-in, whose peer has another address
 * than the host knows. */
void filter_emit_accept(const struct filter_emitter *e)
{
    bpf_label low_is_null = filter_new_label(e);
    bpf_label unnamed = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 1);
    bpf_branch(e->code, BPF_JEQ, 0, low_is_null, serve);
    bpf_bind(e->code, low_is_null);
    filter_load_high(e, 1);
    bpf_branch(e->code, BPF_JEQ, 0, unnamed, serve);
    bpf_bind(e->code, unnamed);
    filter_branch_on_window(e, 0, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/* What protocols a stand-in does not have. */
static const uint32_t protocol_levels[] = {IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6};

/*
 * getsockopt: the process kernel connects for its guests, so the host takes it for the peer; and
 * what a stand-in is, the host does not know.
 */
void filter_emit_getsockopt(const struct filter_emitter *e)
{
    static const uint32_t options[] = {SO_PEERCRED, SO_PEERPIDFD, SO_DOMAIN, SO_TYPE, SO_PROTOCOL};
    bool stand_ins = e->config->net == PK_NET_NONE;
    bpf_label of_socket = filter_new_label(e);
    bpf_label other = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 1);
    bpf_branch(e->code, BPF_JEQ, SOL_SOCKET, of_socket, stand_ins ? other : native);
    if (stand_ins) {
        bpf_bind(e->code, other);
        filter_branch_on_values(e, protocol_levels, array_length(protocol_levels), serve, native);
    }
    bpf_bind(e->code, of_socket);
    filter_load(e, 2);
    filter_branch_on_values(e, options, stand_ins ? array_length(options) : 2, serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/*
 * With network rules: options that send packets by another way than straight to their address, that
 * is first to somebody whom no rule was asked about. IP_OPTIONS has source routes, the others have
 * (among more) routing headers.
 */
static void emit_route_options(const struct filter_emitter *e)
{
    static const uint32_t options[] = {IPV6_RTHDR, IPV6_2292PKTOPTIONS, IPV6_FLOWLABEL_MGR};
    bpf_label four = filter_new_label(e);
    bpf_label six = filter_new_label(e);
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 1);
    bpf_branch(e->code, BPF_JEQ, IPPROTO_IP, four, BPF_NEXT);
    bpf_branch(e->code, BPF_JEQ, IPPROTO_IPV6, six, native);
    bpf_bind(e->code, four);
    filter_load(e, 2);
    bpf_branch(e->code, BPF_JEQ, IP_OPTIONS, serve, native);
    bpf_bind(e->code, six);
    filter_load(e, 2);
    filter_branch_on_values(e, options, array_length(options), serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

/*
 * setsockopt: without a network an internet socket is a stand-in (linux/net-none.c) that does not
 * have the options of its protocols.
 */
static void emit_stand_in_options(const struct filter_emitter *e)
{
    bpf_label native = filter_new_label(e);
    bpf_label serve = filter_new_label(e);

    filter_load(e, 1);
    filter_branch_on_values(e, protocol_levels, array_length(protocol_levels), serve, native);
    filter_verdict_at(e, native, VERDICT_NATIVE);
    filter_verdict_at(e, serve, VERDICT_SERVE);
}

void filter_emit_setsockopt(const struct filter_emitter *e)
{
    if (e->config->net == PK_NET_HOST)
        emit_route_options(e);
    else
        emit_stand_in_options(e);
}

/*
 * Network rules (core/net-rules.h) for sockets of the internet: what an address means on a socket,
 * and whether the guest may have it. What is checked is the process kernel's copy, and the call is
 * then made with that same copy, so that nothing can be exchanged in between.
 *
 * The host reads some addresses in ways of its own (net/ipv4/udp.c, net/ipv6/datagram.c and their
 * neighbours of Linux 6.18). They are rewritten into what they mean before they are checked:
 *   0.0.0.0, ::       this machine: the address that the socket is bound to, else the loopback
 *   family AF_UNSPEC  with send: AF_INET on an IPv4 socket, no address on an IPv6 one;
 *                     with connect: no address, an end of the connection;
 *                     with bind: AF_INET, if the address is 0.0.0.0
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/in6.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define ADDRESS_6_MIN 24 /* SIN6_LEN_RFC2133: without a scope id */

static const char not_named[] = "no --allow-net rule names it";
static const char name_it[] = "add a --allow-net rule";
static const char name_listening[] = "add a --allow-net listen/ rule";
static const char take_away[] = "take that rule away";

bool net_has_rules(const struct pk_request *request)
{
    return pk_net_rules_exist(&request->kernel->config.net_rules);
}

/* PK_NET_TCP or PK_NET_UDP; 0 for anything else: what it sends nobody could judge by port. */
static unsigned protocol_of(int fd)
{
    int type = net_type(fd);
    int protocol = net_protocol(fd);

    if (type == SOCK_STREAM && protocol == IPPROTO_TCP)
        return PK_NET_TCP;
    return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? PK_NET_UDP : 0;
}

/* ---- what an address means ---- */

/* The address that an IPv4 socket, or an IPv6 one that talks IPv4, is bound to; 0: none. */
static struct in_addr bound_four(int fd)
{
    struct net_address name = {.length = sizeof(name.storage)};
    struct in_addr found = {INADDR_ANY};

    if (getsockname(fd, &name.any, &name.length) < 0)
        return found;
    if (name.any.sa_family == AF_INET)
        return name.four.sin_addr;
    if (name.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&name.six.sin6_addr))
        memcpy(&found, name.six.sin6_addr.s6_addr + 12, sizeof(found));
    return found;
}

static bool speaks_four(int fd)
{
    struct net_address name = {.length = sizeof(name.storage)};

    return getsockname(fd, &name.any, &name.length) == 0 && name.any.sa_family == AF_INET6 &&
           IN6_IS_ADDR_V4MAPPED(&name.six.sin6_addr);
}

static struct in_addr this_machine(int fd)
{
    struct in_addr bound = bound_four(fd);

    if (bound.s_addr == htonl(INADDR_ANY))
        bound.s_addr = htonl(INADDR_LOOPBACK);
    return bound;
}

static bool is_mapped_any(const struct in6_addr *address)
{
    static const struct in_addr any = {INADDR_ANY};

    return IN6_IS_ADDR_V4MAPPED(address) && memcmp(address->s6_addr + 12, &any, sizeof(any)) == 0;
}

static void name_this_machine(int fd, struct net_address *address)
{
    struct in6_addr *six = &address->six.sin6_addr;

    if (address->any.sa_family == AF_INET) {
        if (address->four.sin_addr.s_addr == htonl(INADDR_ANY))
            address->four.sin_addr = this_machine(fd);
    } else if (is_mapped_any(six) || (IN6_IS_ADDR_UNSPECIFIED(six) && speaks_four(fd))) {
        struct in_addr four = this_machine(fd);

        pk_net_map(AF_INET, &four, six->s6_addr);
    } else if (IN6_IS_ADDR_UNSPECIFIED(six)) {
        *six = in6addr_loopback;
    }
}

/* 1: an address of the internet; 0: none at all; or the error of the host. */
static int settle_family(int nr, int domain, struct net_address *address)
{
    if (address->any.sa_family == AF_UNSPEC) {
        if (nr == ABI_NR_connect)
            return 0;
        if (domain == AF_INET6) {
            if (nr == ABI_NR_bind)
                return -EAFNOSUPPORT;
            if (address->length < sizeof(address->any.sa_family))
                return -EINVAL;
            address->length = 0;
            return 0;
        }
        if (nr == ABI_NR_bind && address->four.sin_addr.s_addr != htonl(INADDR_ANY))
            return -EAFNOSUPPORT;
        address->any.sa_family = AF_INET;
    }
    if (address->any.sa_family == AF_INET)
        return address->length < sizeof(address->four) ? -EINVAL : 1;
    if (address->any.sa_family == AF_INET6 && domain == AF_INET6)
        return address->length < ADDRESS_6_MIN ? -EINVAL : 1;
    return -EAFNOSUPPORT;
}

static void make_target(const struct net_address *address, enum pk_net_kind kind, unsigned protocol,
                        struct pk_net_target *ret_target)
{
    bool four = address->any.sa_family == AF_INET;

    *ret_target = (struct pk_net_target){
        .kind = kind,
        .protocol = protocol,
        .port = ntohs(four ? address->four.sin_port : address->six.sin6_port),
    };
    pk_net_map(address->any.sa_family,
               four ? (const void *)&address->four.sin_addr : &address->six.sin6_addr,
               ret_target->address);
}

/* ---- whether the guest may have it ---- */

/*
 * By connecting datagram sockets libraries learn which address of their own they would have,
 * without sending anything (RFC 6724 needs it to sort addresses): to port 0, or to the port that
 * they want to talk TCP to. That this is refused costs them nothing and is not worth a line.
 */
static bool is_question(const struct pk_request *request, const struct pk_net_target *target)
{
    struct pk_net_target stream = *target;
    const struct pk_net_rule *rule;

    stream.protocol = PK_NET_TCP;
    return target->any_port ||
           (request->nr == ABI_NR_connect && target->protocol == PK_NET_UDP &&
            pk_net_rules_allow(&request->kernel->config.net_rules, &stream, &rule));
}

static const char *verb_of(const struct pk_request *request)
{
    switch (request->nr) {
    case ABI_NR_connect:
        return "connect to";
    case ABI_NR_bind:
    case ABI_NR_listen:
        return "listen at";
    default:
        return "send to";
    }
}

static const char *how_to_allow(const struct pk_net_target *target, const struct pk_net_rule *rule)
{
    if (rule)
        return take_away;
    return target->kind == PK_NET_LISTEN ? name_listening : name_it;
}

static int refuse(struct pk_request *request, const struct pk_net_target *target,
                  const struct net_address *address, const struct pk_net_rule *rule,
                  struct pk_answer *ret_refusal)
{
    const char *protocol = target->protocol == PK_NET_TCP ? "tcp" : "udp";
    const char *why = rule ? rule->text : not_named;
    char text[NET_SHOWN_SIZE];

    net_show(address, text);
    if (is_question(request, target))
        *ret_refusal = linux_denied_quietly(request, -EACCES, why, "%s %s (%s)", verb_of(request),
                                            text, protocol);
    else
        *ret_refusal = pk_denied(request, -EACCES, why, how_to_allow(target, rule), "%s %s (%s)",
                                 verb_of(request), text, protocol);
    return -EACCES;
}

static void report(struct pk_request *request, const struct pk_net_target *target,
                   const struct net_address *address, const struct pk_net_rule *rule)
{
    char text[NET_SHOWN_SIZE];

    if (!is_question(request, target))
        pk_report(request->kernel, request, -EACCES, rule ? rule->text : not_named,
                  how_to_allow(target, rule), "%s %s (%s)", verb_of(request),
                  net_show(address, text), target->protocol == PK_NET_TCP ? "tcp" : "udp");
}

static int ask_rules(struct pk_request *request, const struct net_address *address,
                     enum pk_net_kind kind, unsigned protocol, struct pk_answer *ret_refusal)
{
    const struct pk_net_rule *rule = NULL;
    struct pk_net_target target;

    make_target(address, kind, protocol, &target);
    target.any_port = request->nr == ABI_NR_connect && protocol == PK_NET_UDP && target.port == 0;
    if (pk_net_rules_allow(&request->kernel->config.net_rules, &target, &rule))
        return 0;
    if (request->kernel->config.report_only) {
        report(request, &target, address, rule);
        return 0;
    }
    return refuse(request, &target, address, rule, ret_refusal);
}

static int refuse_protocol(struct pk_request *request, int fd, struct pk_answer *ret_refusal)
{
    if (request->kernel->config.report_only)
        return 0;
    *ret_refusal = net_refuse_protocol(request, net_protocol(fd));
    return -EACCES;
}

struct pk_answer net_refuse_protocol(struct pk_request *request, int protocol)
{
    return pk_denied(request, -EACCES, "network rules are about TCP and UDP",
                     "leave the network rules out", "socket of protocol %d", protocol);
}

int net_judge(struct pk_request *request, int fd, int domain, struct net_address *address,
              struct pk_answer *ret_refusal)
{
    bool binds = request->nr == ABI_NR_bind;
    bool sends = !binds && request->nr != ABI_NR_connect;
    unsigned protocol;
    int r = net_check_use(request, domain, address, ret_refusal);

    if (r < 0 || domain == AF_UNIX || !net_has_rules(request))
        return r;
    protocol = protocol_of(fd);
    if (protocol == 0)
        return refuse_protocol(request, fd, ret_refusal);
    if (sends && protocol == PK_NET_TCP) {
        address->length = 0; /* the host does not look at it: it goes to the peer */
        return 0;
    }
    r = settle_family(request->nr, domain, address);
    if (r <= 0) {
        *ret_refusal = pk_error(r);
        return r;
    }
    if (!binds)
        name_this_machine(fd, address);
    else if (address->four.sin_port == 0) /* the same place in both; listen() is asked about */
        return 0;
    return ask_rules(request, address, binds ? PK_NET_LISTEN : PK_NET_REACH, protocol, ret_refusal);
}

/* ---- listen ---- */

/*
 * The name at which the socket would listen. The host gives one without a port a port in listen():
 * it gets it here, so that the rules can be asked about it.
 */
static int name_to_listen_at(int fd, struct net_address *ret_name)
{
    struct net_address name = {.length = sizeof(name.storage)};

    if (getsockname(fd, &name.any, &name.length) < 0)
        return -errno;
    if (name.four.sin_port == 0 && bind(fd, &name.any, name.length) == 0) { /* the same in both */
        name.length = sizeof(name.storage);
        if (getsockname(fd, &name.any, &name.length) < 0)
            return -errno;
    }
    *ret_name = name;
    return 0;
}

static int judge_listening(struct pk_request *request, int fd, struct pk_answer *ret_refusal)
{
    struct net_address name;
    int r;

    if (protocol_of(fd) != PK_NET_TCP)
        return refuse_protocol(request, fd, ret_refusal);
    r = name_to_listen_at(fd, &name);
    if (r < 0) {
        *ret_refusal = pk_error(r);
        return r;
    }
    return ask_rules(request, &name, PK_NET_LISTEN, PK_NET_TCP, ret_refusal);
}

struct pk_answer net_do_listen(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    struct net_address none = {.length = 0};
    struct pk_answer refusal;
    int domain = fd < 0 ? fd : net_domain(fd);

    if (domain < 0)
        return pk_error(domain);
    if (net_stands_in_for(fd))
        return pk_value(net_loop_listen(request, fd, domain, (int)request->args[1]));
    if (net_check_use(request, domain, &none, &refusal) < 0)
        return refusal;
    if (domain == AF_UNIX)
        net_note_listener(request, fd);
    else if (net_type(fd) == SOCK_STREAM && judge_listening(request, fd, &refusal) < 0)
        return refusal;
    return pk_value(listen(fd, (int)request->args[1]) < 0 ? -errno : 0);
}

/* ---- options ---- */

bool net_is_route_option(int level, int option)
{
    return (level == IPPROTO_IP && option == IP_OPTIONS) ||
           (level == IPPROTO_IPV6 && (option == IPV6_RTHDR || option == IPV6_2292PKTOPTIONS ||
                                      option == IPV6_FLOWLABEL_MGR));
}

struct pk_answer net_refuse_route(struct pk_request *request)
{
    return pk_denied(request, -EPERM, "a route of its own could lead past the network rules",
                     "leave the network rules out", "socket option that sets a route");
}

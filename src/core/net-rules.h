/*
 * Network rules: to which addresses a guest with the host's network may connect and send, and at
 * which it may listen (--allow-net, --deny-net). The meaning of a list, whatever its order:
 *
 *   1. What a deny rule names is denied.
 *   2. What an allow rule names is allowed.
 *   3. The rest is denied when there is any allow rule, and allowed when there is none.
 *
 * A rule:
 *
 *   [listen/][tcp/|udp/]HOST[:PORT[-PORT]]
 *
 * HOST is an IPv4 address, an IPv6 address (in brackets before a port), either of them with
 * "/PREFIX" for a network, a name, or "*" for every address. Without a port it is about all ports,
 * without a protocol about TCP and UDP. "listen/" makes it a rule about the address and port at
 * which the guest waits for others; without it, it is about those that it turns to. Who listens at
 * every address (0.0.0.0, ::) is denied by a rule about any of them, and allowed by one about that.
 *
 * Addresses are 16 bytes throughout: an IPv4 address is its IPv4-mapped IPv6 address (RFC 4291,
 * 2.5.5.2), as the host treats the two alike.
 *
 * Threads: no state but the list itself; a list that is not changed may be read by any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define PK_NET_TCP 1u
#define PK_NET_UDP 2u

#define PK_NET_NAME_SIZE 254 /* of a host name with its terminator; RFC 1035, 2.3.4 */
#define PK_NET_TEXT_SIZE 320 /* of a rule as it was written, with its option */
#define PK_NET_RULES_MAX 4096

enum pk_net_kind {
    PK_NET_REACH,  /* connect to, send to */
    PK_NET_LISTEN, /* bind to a port, listen */
};

struct pk_net_rule {
    bool allow;
    enum pk_net_kind kind;
    unsigned protocols; /* PK_NET_TCP, PK_NET_UDP or both */
    uint16_t first_port;
    uint16_t last_port;
    char name[PK_NET_NAME_SIZE]; /* "": none was given. With one, `address` may be known or not */
    bool every;                  /* "*": the address does not matter */
    bool has_address;            /* without it and `every` the rule matches nothing */
    uint8_t address[16];
    unsigned prefix;             /* how many leading bits count: 0 to 128 */
    char text[PK_NET_TEXT_SIZE]; /* "--deny-net 10.0.0.0/8" */
};

/* A list; zeroed it is empty: no rules, everything is allowed. */
struct pk_net_rules {
    struct pk_net_rule *rules; /* owned */
    size_t count;
};

/* What a guest wants to turn to, or to listen at. */
struct pk_net_target {
    enum pk_net_kind kind;
    unsigned protocol; /* PK_NET_TCP or PK_NET_UDP */
    uint8_t address[16];
    uint16_t port; /* with PK_NET_LISTEN 0: not known yet, so what is denied about any is denied */
    /*
     * The port is none that anything could be sent to (a datagram socket connected to port 0, by
     * which libraries ask for their own address): allow rules count with their address alone.
     */
    bool any_port;
};

/*
 * Reads a rule. Returns 0, or -EINVAL (-E2BIG: it is too long) with `error` filled in.
 */
int pk_net_rule_parse(const char *text, bool allow, struct pk_net_rule *ret_rule,
                      struct base_error *error);

/* Appends a copy of a rule. Returns 0, -E2BIG (PK_NET_RULES_MAX are there) or -ENOMEM. */
int pk_net_rules_add(struct pk_net_rules *rules, const struct pk_net_rule *rule);

/* Empties a list. */
void pk_net_rules_free(struct pk_net_rules *rules);

#define cleanup_net_rules __attribute__((cleanup(pk_net_rules_free)))

/* Is anything to be checked? */
static inline bool pk_net_rules_exist(const struct pk_net_rules *rules)
{
    return rules->count > 0;
}

/*
 * Is the target allowed? When not, `ret_rule` is the deny rule, or NULL when no allow rule names
 * the target; else it stays untouched.
 */
bool pk_net_rules_allow(const struct pk_net_rules *rules, const struct pk_net_target *target,
                        const struct pk_net_rule **ret_rule);

/* Writes the 16 bytes of an address. `family` is AF_INET or AF_INET6, `address` as in a sockaddr.
 */
void pk_net_map(int family, const void *address, uint8_t ret_address[16]);

/* Is it an IPv4-mapped one? */
bool pk_net_is_mapped(const uint8_t address[16]);

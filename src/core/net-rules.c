#include "core/net-rules.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"

#define PORT_MAX    65535
#define MAPPED_BITS 96 /* before the IPv4 address in an IPv4-mapped one */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static const char rule_hint[] =
    "write HOST, HOST:PORT or HOST:PORT-PORT, where HOST is a name, an address, a network such as "
    "10.0.0.0/8 or [fd00::]/8, or *; tcp/, udp/ and listen/ may stand before it";

void pk_net_map(int family, const void *address, uint8_t ret_address[16])
{
    if (family == AF_INET6) {
        memcpy(ret_address, address, 16);
        return;
    }
    memcpy(ret_address, mapped_prefix, sizeof(mapped_prefix));
    memcpy(ret_address + sizeof(mapped_prefix), address, 4);
}

bool pk_net_is_mapped(const uint8_t address[16])
{
    return memcmp(address, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* ---- reading a rule ---- */

static int fail(struct base_error *error, const char *text, const char *why)
{
    return base_fail(error, EINVAL, rule_hint, "network rule '%s': %s", text, why);
}

static bool take_word(const char **at, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*at, word, length) != 0)
        return false;
    *at += length;
    return true;
}

static void take_kind(const char **at, struct pk_net_rule *rule)
{
    rule->kind = take_word(at, "listen/") ? PK_NET_LISTEN : PK_NET_REACH;
    if (take_word(at, "tcp/"))
        rule->protocols = PK_NET_TCP;
    else if (take_word(at, "udp/"))
        rule->protocols = PK_NET_UDP;
    else
        rule->protocols = PK_NET_TCP | PK_NET_UDP;
}

static int read_ports(char *text, struct pk_net_rule *rule)
{
    char *dash = strchr(text, '-');
    uint64_t first, last;

    if (dash)
        *dash++ = '\0';
    if (io_parse_u64(text, PORT_MAX, &first) < 0 ||
        io_parse_u64(dash ? dash : text, PORT_MAX, &last) < 0 || first == 0 || last < first)
        return -EINVAL;
    rule->first_port = (uint16_t)first;
    rule->last_port = (uint16_t)last;
    return 0;
}

/*
 * Splits "HOST", "HOST:PORT", "[HOST]", "[HOST]:PORT", "[HOST]/BITS:PORT" in place. More than one
 * colon outside of brackets: a bare IPv6 address or network.
 */
static const char *split(char *text, char **ret_host, char **ret_bits, char **ret_ports)
{
    char *rest = text;

    *ret_bits = *ret_ports = NULL;
    *ret_host = text;
    if (*text == '[') {
        *ret_host = text + 1;
        rest = strchr(text, ']');
        if (rest == NULL)
            return "a bracket is not closed";
        *rest++ = '\0';
        if (*rest != '\0' && *rest != '/' && *rest != ':')
            return "only /BITS or :PORT may follow the bracket";
    }
    if (rest != text || strchr(text, ':') == strrchr(text, ':'))
        *ret_ports = strchr(rest, ':');
    if (*ret_ports)
        *(*ret_ports)++ = '\0';
    *ret_bits = strchr(rest, '/');
    if (*ret_bits == NULL)
        *ret_bits = strchr(*ret_host, '/'); /* "[fd00::/8]:443" */
    if (*ret_bits)
        *(*ret_bits)++ = '\0';
    return NULL;
}

/* RFC 1123, 2.1: letters, digits, hyphens, dots. Underscores are in use, too. */
static bool is_name(const char *text)
{
    size_t label = 0;
    size_t length = strlen(text);

    if (length == 0 || length >= PK_NET_NAME_SIZE)
        return false;
    for (const char *at = text; *at; at++) {
        if (*at == '.' ? label == 0 : !isalnum((unsigned char)*at) && *at != '-' && *at != '_')
            return false;
        if (*at == '-' && label == 0)
            return false;
        label = *at == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

static int read_address(const char *host, struct pk_net_rule *rule)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, host, bytes) == 1) {
        pk_net_map(AF_INET, bytes, rule->address);
        return 32;
    }
    if (inet_pton(AF_INET6, host, bytes) == 1) {
        pk_net_map(AF_INET6, bytes, rule->address);
        return 128;
    }
    return -EINVAL;
}

/* A network whose host bits are set is more likely a slip than meant. */
static bool has_host_bits(const struct pk_net_rule *rule)
{
    for (unsigned bit = rule->prefix; bit < 128; bit++)
        if (rule->address[bit / 8] & 0x80 >> bit % 8)
            return true;
    return false;
}

static bool is_unspecified(const uint8_t address[16])
{
    static const uint8_t none[16];

    return memcmp(address, none, 16) == 0 ||
           (pk_net_is_mapped(address) && memcmp(address + 12, none, 4) == 0);
}

static const char *read_network(const char *bits, int width, struct pk_net_rule *rule)
{
    uint64_t prefix = (uint64_t)width;

    if (bits && io_parse_u64(bits, (uint64_t)width, &prefix) < 0)
        return width == 32 ? "a prefix of IPv4 is 0 to 32" : "a prefix of IPv6 is 0 to 128";
    rule->has_address = true;
    rule->prefix = (unsigned)prefix + (width == 32 ? MAPPED_BITS : 0);
    if (rule->kind == PK_NET_REACH && bits == NULL && is_unspecified(rule->address))
        return "nothing can be reached at the unspecified address; write * for every address";
    return has_host_bits(rule) ? "the address has bits beyond its prefix" : NULL;
}

static const char *read_host(const char *host, const char *bits, struct pk_net_rule *rule)
{
    int width;

    if (strcmp(host, "*") == 0) {
        rule->every = true;
        return bits ? "* is every address and takes no prefix" : NULL;
    }
    width = read_address(host, rule);
    if (width > 0)
        return read_network(bits, width, rule);
    if (strchr(host, '%'))
        return "an address takes no interface: it counts on every one";
    if (bits || strchr(host, ':') || !is_name(host))
        return *host ? "that is no name, address or network" : "there is no host in it";
    snprintf(rule->name, sizeof(rule->name), "%s", host);
    return NULL;
}

int pk_net_rule_parse(const char *text, bool allow, struct pk_net_rule *ret_rule,
                      struct base_error *error)
{
    struct pk_net_rule rule = {.allow = allow, .last_port = PORT_MAX};
    char copy[PK_NET_TEXT_SIZE];
    char *host, *bits, *ports;
    const char *at = text;
    const char *why;

    if ((size_t)snprintf(rule.text, sizeof(rule.text), "--%s-net %s", allow ? "allow" : "deny",
                         text) >= sizeof(rule.text))
        return base_fail(error, E2BIG, rule_hint, "a network rule is too long");
    take_kind(&at, &rule);
    snprintf(copy, sizeof(copy), "%s", at);
    why = split(copy, &host, &bits, &ports);
    if (why == NULL)
        why = read_host(host, bits, &rule);
    if (why)
        return fail(error, text, why);
    if (ports && read_ports(ports, &rule) < 0)
        return fail(error, text, "a port is a number from 1 to 65535, or two with a hyphen");
    *ret_rule = rule;
    return 0;
}

/* ---- lists ---- */

int pk_net_rules_add(struct pk_net_rules *rules, const struct pk_net_rule *rule)
{
    struct pk_net_rule *grown;

    if (rules->count >= PK_NET_RULES_MAX)
        return -E2BIG;
    grown = reallocarray(rules->rules, rules->count + 1, sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    grown[rules->count++] = *rule;
    rules->rules = grown;
    return 0;
}

void pk_net_rules_free(struct pk_net_rules *rules)
{
    free(rules->rules);
    *rules = (struct pk_net_rules){0};
}

/* ---- what they mean ---- */

/* A network of IPv6 has no IPv4 addresses in it, though ::/0 would contain the mapped ones. */
static bool is_in_network(const struct pk_net_rule *rule, const uint8_t address[16])
{
    size_t whole = rule->prefix / 8;
    unsigned rest = rule->prefix % 8;

    if (rule->every)
        return true;
    if (!rule->has_address || pk_net_is_mapped(rule->address) != pk_net_is_mapped(address) ||
        memcmp(rule->address, address, whole) != 0)
        return false;
    return rest == 0 || ((rule->address[whole] ^ address[whole]) & (0xff00 >> rest & 0xff)) == 0;
}

/*
 * Who listens at 0.0.0.0 or :: listens at every address, also at those that the rule is about. The
 * socket of :: takes IPv4, too, unless IPV6_V6ONLY says otherwise, which another thread may change.
 */
static bool is_listened_at(const struct pk_net_rule *rule, const struct pk_net_target *target)
{
    if (target->kind != PK_NET_LISTEN || !rule->has_address || !is_unspecified(target->address))
        return false;
    return !pk_net_is_mapped(target->address) || pk_net_is_mapped(rule->address);
}

/* A listening socket without a port is given one of the host's choice: it may be any of them. */
static bool is_port_denied(const struct pk_net_rule *rule, const struct pk_net_target *target)
{
    return (target->kind == PK_NET_LISTEN && target->port == 0) ||
           (target->port >= rule->first_port && target->port <= rule->last_port);
}

static bool is_port_allowed(const struct pk_net_rule *rule, const struct pk_net_target *target)
{
    return target->any_port ||
           (target->port >= rule->first_port && target->port <= rule->last_port);
}

static bool matches(const struct pk_net_rule *rule, const struct pk_net_target *target)
{
    if (rule->kind != target->kind || !(rule->protocols & target->protocol))
        return false;
    if (rule->allow)
        return is_port_allowed(rule, target) && is_in_network(rule, target->address);
    return is_port_denied(rule, target) &&
           (is_in_network(rule, target->address) || is_listened_at(rule, target));
}

bool pk_net_rules_allow(const struct pk_net_rules *rules, const struct pk_net_target *target,
                        const struct pk_net_rule **ret_rule)
{
    bool allowed = true;
    bool any_allow = false;

    for (size_t i = 0; i < rules->count; i++) {
        const struct pk_net_rule *rule = &rules->rules[i];
        bool match = matches(rule, target);

        if (match && !rule->allow) {
            *ret_rule = rule;
            return false;
        }
        if (rule->allow && !any_allow)
            allowed = false;
        any_allow |= rule->allow;
        allowed |= rule->allow && match;
    }
    if (!allowed)
        *ret_rule = NULL;
    return allowed;
}

/*
 * Network rules as somebody might write them. A rule that is taken must be whole: ports in order,
 * an address, a name or every address, no bits beyond the prefix; it must match what it names, and
 * its own text must be read the same way again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/net-rules.h"

#define INPUT_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_parts(const struct pk_net_rule *rule)
{
    require(rule->first_port <= rule->last_port, "ports are in order");
    require(rule->protocols >= 1 && rule->protocols <= 3, "some protocol is meant");
    require(rule->every + rule->has_address + (rule->name[0] != '\0') == 1, "one kind of host");
    require(rule->prefix <= 128, "the prefix has at most 128 bits");
    require(memchr(rule->name, '\0', sizeof(rule->name)) != NULL, "the name ends");
    for (unsigned bit = rule->prefix; rule->has_address && bit < 128; bit++)
        require(!(rule->address[bit / 8] & 0x80 >> bit % 8), "no bits beyond the prefix");
}

static void check_match(const struct pk_net_rule *rule)
{
    struct pk_net_rules rules = {.rules = (struct pk_net_rule *)rule, .count = 1};
    struct pk_net_target target = {.kind = rule->kind,
                                   .protocol =
                                       rule->protocols & PK_NET_TCP ? PK_NET_TCP : PK_NET_UDP,
                                   .port = rule->last_port};
    const struct pk_net_rule *found = NULL;

    memcpy(target.address, rule->address, sizeof(target.address));
    require(pk_net_rules_allow(&rules, &target, &found) == !rule->name[0],
            "a rule matches what it names");
    if (rule->last_port < UINT16_MAX) {
        target.port++;
        require(!pk_net_rules_allow(&rules, &target, &found), "and no other port");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[INPUT_MAX + 1];
    struct pk_net_rule rule, again;
    struct base_error error = {0};
    int r;

    if (size > INPUT_MAX)
        size = INPUT_MAX;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&rule, 0, sizeof(rule));
    memset(&again, 0, sizeof(again));
    r = pk_net_rule_parse(text, true, &rule, &error);
    if (r < 0) {
        require(error.code == -r && error.sentence[0], "a failure is explained");
        return 0;
    }
    check_parts(&rule);
    check_match(&rule);
    require(pk_net_rule_parse(rule.text + strlen("--allow-net "), true, &again, NULL) == 0 &&
                memcmp(&rule, &again, sizeof(rule)) == 0,
            "its text means the same");
    return 0;
}

/* Network rules: how they are read, and what a list of them allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above, as cmocka wants it. */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/net-rules.h"

struct reading {
    const char *text;
    const char *address; /* NULL: a name, or every address */
    unsigned prefix;     /* of 128 */
    unsigned first;
    unsigned last;
    unsigned protocols;
    enum pk_net_kind kind;
};

#define BOTH (PK_NET_TCP | PK_NET_UDP)

static const struct reading readings[] = {
    {"10.1.2.3", "::ffff:10.1.2.3", 128, 0, 65535, BOTH, PK_NET_REACH},
    {"10.1.2.3:443", "::ffff:10.1.2.3", 128, 443, 443, BOTH, PK_NET_REACH},
    {"tcp/10.1.2.3:80-90", "::ffff:10.1.2.3", 128, 80, 90, PK_NET_TCP, PK_NET_REACH},
    {"10.0.0.0/8", "::ffff:10.0.0.0", 104, 0, 65535, BOTH, PK_NET_REACH},
    {"udp/10.0.0.0/8:53", "::ffff:10.0.0.0", 104, 53, 53, PK_NET_UDP, PK_NET_REACH},
    {"0.0.0.0/0", "::ffff:0.0.0.0", 96, 0, 65535, BOTH, PK_NET_REACH},
    {"::1", "::1", 128, 0, 65535, BOTH, PK_NET_REACH},
    {"[::1]", "::1", 128, 0, 65535, BOTH, PK_NET_REACH},
    {"[::1]:8080", "::1", 128, 8080, 8080, BOTH, PK_NET_REACH},
    {"fd00::/8", "fd00::", 8, 0, 65535, BOTH, PK_NET_REACH},
    {"[fd00::]/8:1-65535", "fd00::", 8, 1, 65535, BOTH, PK_NET_REACH},
    {"[fd00::/8]:443", "fd00::", 8, 443, 443, BOTH, PK_NET_REACH},
    {"::ffff:10.1.2.3", "::ffff:10.1.2.3", 128, 0, 65535, BOTH, PK_NET_REACH},
    {"*", NULL, 0, 0, 65535, BOTH, PK_NET_REACH},
    {"*:53", NULL, 0, 53, 53, BOTH, PK_NET_REACH},
    {"listen/tcp/*:80", NULL, 0, 80, 80, PK_NET_TCP, PK_NET_LISTEN},
    {"listen/0.0.0.0:80", "::ffff:0.0.0.0", 128, 80, 80, BOTH, PK_NET_LISTEN},
    {"example.org", NULL, 0, 0, 65535, BOTH, PK_NET_REACH},
    {"udp/a_b.example.org:53", NULL, 0, 53, 53, PK_NET_UDP, PK_NET_REACH},
    {"1:2", NULL, 0, 2, 2, BOTH, PK_NET_REACH}, /* a host of this name, or 0.0.0.1 by inet_aton() */
    {"tcp", NULL, 0, 0, 65535, BOTH, PK_NET_REACH}, /* a name like any other */
};

static void test_readings(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(readings); i++) {
        const struct reading *wanted = &readings[i];
        struct base_error error = {0};
        struct pk_net_rule rule;
        char address[INET6_ADDRSTRLEN];
        char text[PK_NET_TEXT_SIZE];

        if (pk_net_rule_parse(wanted->text, i % 2, &rule, &error) < 0)
            fail_msg("%s: %s", wanted->text, error.sentence);
        assert_int_equal(rule.allow, i % 2);
        assert_int_equal(rule.first_port, wanted->first);
        assert_int_equal(rule.last_port, wanted->last);
        assert_int_equal(rule.protocols, wanted->protocols);
        assert_int_equal(rule.kind, wanted->kind);
        snprintf(text, sizeof(text), "--%s-net %s", i % 2 ? "allow" : "deny", wanted->text);
        assert_string_equal(rule.text, text);
        assert_int_equal(rule.has_address, wanted->address != NULL);
        if (wanted->address == NULL) {
            assert_true(rule.every == (strchr(wanted->text, '*') != NULL));
            assert_true(rule.every || rule.name[0]);
            continue;
        }
        inet_ntop(AF_INET6, rule.address, address, sizeof(address));
        assert_string_equal(address, wanted->address);
        assert_int_equal(rule.prefix, wanted->prefix);
    }
}

static void test_names(void **state)
{
    struct pk_net_rule rule;

    (void)state;
    assert_int_equal(pk_net_rule_parse("tcp/www.example.org:443", true, &rule, NULL), 0);
    assert_string_equal(rule.name, "www.example.org");
}

static void test_mistakes(void **state)
{
    static const char *const mistakes[] = {
        "",           ":80",        "tcp/",      "listen/",      "listen/udp/", "host:",
        "host:0",     "host:65536", "host:9-8",  "host:1-",      "host:-1",     "host:http",
        "host:1-2-3", "host/8",     "*/8",       "10.0.0/8",     "10.1.0.0/8",  "10.0.0.0/33",
        "10.0.0.0/",  "10.0.0.0/x", "fd00::1/8", "fd00::/129",   "[::1",        "[::1]x",
        "[::1]80",    "[]:80",      "::1%eth0",  "a b",          ".a",          "a..b",
        "-a",         "a/tcp",      "udp/tcp/a", "tcp/listen/a", "0.0.0.0",     "[::]:80",
        "::ffff:0:0", "http://a",   "a:1:2",     "gr\xc3\xbc",   "::g",
    };
    char long_label[80] = {0};

    (void)state;
    memset(long_label, 'a', 64);
    for (size_t i = 0; i <= array_length(mistakes); i++) {
        const char *text = i < array_length(mistakes) ? mistakes[i] : long_label;
        struct pk_net_rule rule = {.prefix = 77};
        struct base_error error = {0};

        if (pk_net_rule_parse(text, true, &rule, &error) != -EINVAL)
            fail_msg("'%s' was taken", text);
        assert_int_equal(error.code, EINVAL);
        assert_true(error.sentence[0] && error.hint[0]);
        assert_int_equal(rule.prefix, 77);
    }
}

static void test_too_long(void **state)
{
    char text[400];
    struct base_error error = {0};
    struct pk_net_rule rule;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pk_net_rule_parse(text, true, &rule, &error), -E2BIG);
}

/* ---- what lists mean ---- */

/* "+RULE" allows, "-RULE" denies. */
static void add(struct pk_net_rules *rules, const char *text)
{
    struct pk_net_rule rule;
    struct base_error error = {0};

    if (pk_net_rule_parse(text + 1, *text == '+', &rule, &error) < 0)
        fail_msg("%s: %s", text, error.sentence);
    assert_int_equal(pk_net_rules_add(rules, &rule), 0);
}

struct question {
    const char *rules[5];
    enum pk_net_kind kind;
    unsigned protocol;
    const char *address;
    unsigned port;
    int allowed;
    const char *denied_by; /* NULL: no rule */
};

#define T  PK_NET_TCP
#define U  PK_NET_UDP
#define TO PK_NET_REACH
#define AT PK_NET_LISTEN

static const struct question questions[] = {
    /* no rules */
    {{NULL}, TO, T, "10.0.0.1", 80, 1, NULL},
    /* one host */
    {{"+10.0.0.1"}, TO, T, "10.0.0.1", 80, 1, NULL},
    {{"+10.0.0.1"}, TO, U, "10.0.0.1", 1, 1, NULL},
    {{"+10.0.0.1"}, TO, T, "10.0.0.2", 80, 0, NULL},
    {{"+10.0.0.1"}, TO, T, "::ffff:10.0.0.1", 80, 1, NULL},
    {{"+10.0.0.1"}, TO, T, "::10.0.0.1", 80, 0, NULL},
    {{"+10.0.0.1"}, AT, T, "10.0.0.1", 80, 0, NULL},
    {{"+::ffff:10.0.0.1"}, TO, T, "10.0.0.1", 80, 1, NULL},
    /* ports and protocols */
    {{"+10.0.0.1:80"}, TO, T, "10.0.0.1", 80, 1, NULL},
    {{"+10.0.0.1:80"}, TO, T, "10.0.0.1", 81, 0, NULL},
    {{"+10.0.0.1:80-90"}, TO, T, "10.0.0.1", 90, 1, NULL},
    {{"+10.0.0.1:80-90"}, TO, T, "10.0.0.1", 91, 0, NULL},
    {{"+10.0.0.1:80-90"}, TO, T, "10.0.0.1", 79, 0, NULL},
    {{"+tcp/10.0.0.1"}, TO, U, "10.0.0.1", 80, 0, NULL},
    {{"+udp/*:53"}, TO, U, "8.8.8.8", 53, 1, NULL},
    {{"+udp/*:53"}, TO, T, "8.8.8.8", 53, 0, NULL},
    {{"+*:53"}, TO, T, "2001:db8::1", 53, 1, NULL},
    /* networks */
    {{"+10.0.0.0/8"}, TO, T, "10.255.255.255", 1, 1, NULL},
    {{"+10.0.0.0/8"}, TO, T, "11.0.0.0", 1, 0, NULL},
    {{"+172.16.0.0/12"}, TO, T, "172.31.255.255", 1, 1, NULL},
    {{"+172.16.0.0/12"}, TO, T, "172.32.0.0", 1, 0, NULL},
    {{"+10.0.0.0/31"}, TO, T, "10.0.0.1", 1, 1, NULL},
    {{"+10.0.0.0/31"}, TO, T, "10.0.0.2", 1, 0, NULL},
    {{"+0.0.0.0/0"}, TO, T, "8.8.8.8", 1, 1, NULL},
    {{"+0.0.0.0/0"}, TO, T, "2001:db8::1", 1, 0, NULL},
    {{"+::/0"}, TO, T, "2001:db8::1", 1, 1, NULL},
    {{"+::/0"}, TO, T, "8.8.8.8", 1, 0, NULL},
    {{"+fd00::/8"}, TO, T, "fdff::1", 1, 1, NULL},
    {{"+fd00::/8"}, TO, T, "fe00::1", 1, 0, NULL},
    {{"+2001:db8::/33"}, TO, T, "2001:db8:7fff::", 1, 1, NULL},
    {{"+2001:db8::/33"}, TO, T, "2001:db8:8000::", 1, 0, NULL},
    /* deny wins, in any order; without an allow rule the rest is allowed */
    {{"-10.0.0.0/8"}, TO, T, "10.0.0.1", 1, 0, "--deny-net 10.0.0.0/8"},
    {{"-10.0.0.0/8"}, TO, T, "8.8.8.8", 1, 1, NULL},
    {{"-10.0.0.0/8"}, AT, T, "10.0.0.1", 1, 1, NULL},
    {{"-10.0.0.0/8", "+*"}, TO, T, "10.0.0.1", 1, 0, "--deny-net 10.0.0.0/8"},
    {{"+*", "-10.0.0.0/8"}, TO, T, "10.0.0.1", 1, 0, "--deny-net 10.0.0.0/8"},
    {{"+10.0.0.1", "-10.0.0.1:22"}, TO, T, "10.0.0.1", 23, 1, NULL},
    {{"+10.0.0.1", "-10.0.0.1:22"}, TO, T, "10.0.0.1", 22, 0, "--deny-net 10.0.0.1:22"},
    {{"-*:25", "+10.0.0.1", "+10.0.0.2", "-10.0.0.2"},
     TO,
     T,
     "10.0.0.2",
     1,
     0,
     "--deny-net 10.0.0.2"},
    /* a name without an address yet matches nothing */
    {{"+example.org"}, TO, T, "10.0.0.1", 1, 0, NULL},
    {{"-example.org"}, TO, T, "10.0.0.1", 1, 1, NULL},
    {{"-example.org"}, TO, T, "::", 1, 1, NULL},
    /* listening */
    {{"+listen/*:80"}, AT, T, "0.0.0.0", 80, 1, NULL},
    {{"+listen/*:80"}, AT, T, "::", 80, 1, NULL},
    {{"+listen/*:80"}, AT, T, "0.0.0.0", 81, 0, NULL},
    {{"+listen/*:80"}, TO, T, "10.0.0.1", 80, 0, NULL},
    {{"+listen/127.0.0.1"}, AT, T, "0.0.0.0", 80, 0, NULL},
    {{"+listen/0.0.0.0:80"}, AT, T, "0.0.0.0", 80, 1, NULL},
    {{"+listen/*"}, AT, T, "0.0.0.0", 0, 1, NULL},
    {{"+listen/*:1-65535"}, AT, T, "0.0.0.0", 0, 0, NULL},
    {{"-listen/*"}, AT, U, "127.0.0.1", 5, 0, "--deny-net listen/*"},
    {{"-listen/*"}, TO, U, "127.0.0.1", 5, 1, NULL},
    /* at every address: at the denied one, too */
    {{"-listen/10.0.0.1"}, AT, T, "0.0.0.0", 5, 0, "--deny-net listen/10.0.0.1"},
    {{"-listen/10.0.0.1"}, AT, T, "::", 5, 0, "--deny-net listen/10.0.0.1"},
    {{"-listen/10.0.0.1"}, AT, T, "::ffff:0.0.0.0", 5, 0, "--deny-net listen/10.0.0.1"},
    {{"-listen/10.0.0.0/8:5"}, AT, U, "0.0.0.0", 5, 0, "--deny-net listen/10.0.0.0/8:5"},
    {{"-listen/10.0.0.0/8:5"}, AT, U, "0.0.0.0", 6, 1, NULL},
    {{"-listen/[2001:db8::1]:5"}, AT, T, "::", 5, 0, "--deny-net listen/[2001:db8::1]:5"},
    {{"-listen/[2001:db8::1]:5"}, AT, T, "0.0.0.0", 5, 1, NULL},
    {{"-listen/10.0.0.1"}, AT, T, "10.0.0.2", 5, 1, NULL},
    {{"-10.0.0.1"}, AT, T, "0.0.0.0", 5, 1, NULL},
    {{"-listen/example.org"}, AT, T, "0.0.0.0", 5, 1, NULL},
    /* at a port that is not known yet */
    {{"-listen/*:8080"}, AT, T, "0.0.0.0", 0, 0, "--deny-net listen/*:8080"},
    {{"-listen/10.0.0.1:8080"}, AT, T, "10.0.0.2", 0, 1, NULL},
};

static void ask(const struct question *question)
{
    cleanup_net_rules struct pk_net_rules rules = {0};
    const struct pk_net_rule *rule = (void *)question;
    struct pk_net_target target = {
        .kind = question->kind, .protocol = question->protocol, .port = (uint16_t)question->port};
    int family = strchr(question->address, ':') ? AF_INET6 : AF_INET;
    uint8_t bytes[16];
    bool allowed;

    for (size_t i = 0; i < array_length(question->rules) && question->rules[i]; i++)
        add(&rules, question->rules[i]);
    assert_int_equal(inet_pton(family, question->address, bytes), 1);
    pk_net_map(family, bytes, target.address);
    allowed = pk_net_rules_allow(&rules, &target, &rule);
    if (allowed != question->allowed)
        fail_msg("%s...: %s port %u", question->rules[0], question->address, question->port);
    if (allowed)
        assert_ptr_equal(rule, question);
    else if (question->denied_by)
        assert_string_equal(rule->text, question->denied_by);
    else
        assert_null(rule);
}

static void test_questions(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_length(questions); i++)
        ask(&questions[i]);
}

/* Libraries connect datagram sockets to port 0 to learn their own address. */
static void test_any_port(void **state)
{
    cleanup_net_rules struct pk_net_rules rules = {0};
    const struct pk_net_rule *rule;
    struct pk_net_target target = {.kind = TO, .protocol = U, .any_port = true};

    (void)state;
    add(&rules, "+10.0.0.1:443");
    add(&rules, "-10.0.0.1:25");
    pk_net_map(AF_INET, (uint8_t[]){10, 0, 0, 1}, target.address);
    assert_true(pk_net_rules_allow(&rules, &target, &rule));
    pk_net_map(AF_INET, (uint8_t[]){10, 0, 0, 2}, target.address);
    assert_false(pk_net_rules_allow(&rules, &target, &rule));
    add(&rules, "-10.0.0.1");
    pk_net_map(AF_INET, (uint8_t[]){10, 0, 0, 1}, target.address);
    assert_false(pk_net_rules_allow(&rules, &target, &rule));
}

static void test_too_many(void **state)
{
    cleanup_net_rules struct pk_net_rules rules = {0};
    struct pk_net_rule rule = {0};

    (void)state;
    for (int i = 0; i < PK_NET_RULES_MAX; i++)
        assert_int_equal(pk_net_rules_add(&rules, &rule), 0);
    assert_int_equal(pk_net_rules_add(&rules, &rule), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readings),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_questions), cmocka_unit_test(test_any_port),
        cmocka_unit_test(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

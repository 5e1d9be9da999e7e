/*
 * The names in network rules: looked up once, before the program starts, and shown to the program
 * in its /etc/hosts, so that it finds the very addresses that the rules are about, and needs no
 * name server for them (docs/decisions/0017-network-rules.md).
 *
 * getent(1) of the host's C library looks them up, since this program is linked statically and the
 * library loads what /etc/nsswitch.conf names (files, dns, mdns, ldap) at run time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

#define ANSWER_MAX    (256 << 10)
#define ADDRESSES_MAX 64 /* of one name */
#define LOOK_UP_MS    20000

#define LOOPBACK_PREFIX (96 + 8) /* of 127.0.0.0/8, as an IPv4-mapped network */

extern char **environ;

static int start_getent(const char *name, int output, pid_t *ret_pid)
{
    char *argv[] = {"getent", "ahosts", (char *)name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    r = posix_spawnp(ret_pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -r;
}

/* Reads until the end of the output; -ETIMEDOUT when that does not come. */
static int read_answer(int input, struct strbuf *ret_text)
{
    uint64_t until = io_now_ns() + LOOK_UP_MS * 1000000ULL;
    struct pollfd end = {.fd = input, .events = POLLIN};
    char buffer[4096];

    for (;;) {
        uint64_t now = io_now_ns();
        ssize_t n;

        if (now >= until)
            return -ETIMEDOUT;
        if (poll(&end, 1, (int)((until - now) / 1000000) + 1) <= 0)
            continue;
        n = read(input, buffer, sizeof(buffer));
        if (n == 0 || (n < 0 && errno != EINTR))
            return n < 0 ? -errno : strbuf_status(ret_text);
        if (n > 0 && ret_text->length < ANSWER_MAX)
            strbuf_add(ret_text, buffer, (size_t)n);
    }
}

/* Its status does not matter: what it says does. */
static void end_getent(pid_t pid, bool in_time)
{
    if (!in_time)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int ask_getent(const char *name, struct strbuf *ret_text)
{
    cleanup_close int input = -1;
    cleanup_close int output = -1;
    int ends[2];
    pid_t pid;
    int r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    input = ends[0];
    output = ends[1];
    r = start_getent(name, output, &pid);
    if (r < 0)
        return r;
    base_close(take_fd(&output));
    r = read_answer(input, ret_text);
    end_getent(pid, r != -ETIMEDOUT);
    return r;
}

/* ---- from a name to rules ---- */

static bool is_known(const struct pk_net_rules *rules, size_t first, const uint8_t address[16])
{
    for (size_t i = first; i < rules->count; i++)
        if (memcmp(rules->rules[i].address, address, 16) == 0)
            return true;
    return false;
}

/* Appends the rule with this address, which `first` and later rules do not have yet. */
static int add_address(struct pk_net_rules *rules, size_t first, const struct pk_net_rule *rule,
                       const char *text)
{
    struct pk_net_rule found = *rule;
    uint8_t bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1)
        pk_net_map(AF_INET, bytes, found.address);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        pk_net_map(AF_INET6, bytes, found.address);
    else
        return 0;
    if (is_known(rules, first, found.address) || rules->count - first >= ADDRESSES_MAX)
        return 0;
    found.has_address = true;
    found.prefix = 128;
    return pk_net_rules_add(rules, &found);
}

/* Lines of getent: "10.0.0.1       STREAM name"; the address may have an interface ("%eth0"). */
static int add_answer(struct pk_net_rules *rules, const struct pk_net_rule *rule, char *text)
{
    size_t first = rules->count;
    char *save = NULL;
    int r = 0;

    for (char *line = strtok_r(text, "\n", &save); r == 0 && line;
         line = strtok_r(NULL, "\n", &save)) {
        line[strcspn(line, " \t%")] = '\0';
        r = add_address(rules, first, rule, line);
    }
    if (r == 0 && rules->count == first)
        return -ENODATA;
    return r;
}

/* These names are the loopback's by definition (RFC 6761, 6.3), whatever the host says. */
static bool is_localhost(const char *name)
{
    const char *last = strrchr(name, '.');

    return strcasecmp(last ? last + 1 : name, "localhost") == 0;
}

/*
 * All of 127.0.0.0/8 is this machine: what listens at every address is found at 127.0.0.2, too, so
 * that a rule which denies localhost denies all of it.
 */
static int deny_loopback(struct pk_net_rules *rules, const struct pk_net_rule *rule)
{
    char addresses[] = "127.0.0.0\n::1\n";
    size_t first = rules->count;
    int r = add_answer(rules, rule, addresses);

    if (r == 0)
        rules->rules[first].prefix = LOOPBACK_PREFIX;
    return r;
}

static int resolve(struct pk_net_rules *rules, const struct pk_net_rule *rule)
{
    cleanup_strbuf struct strbuf answer = {0};
    char localhost[] = "127.0.0.1\n::1\n";
    cleanup_free char *text = NULL;
    int r;

    if (is_localhost(rule->name))
        return rule->allow ? add_answer(rules, rule, localhost) : deny_loopback(rules, rule);
    r = ask_getent(rule->name, &answer);
    if (r < 0)
        return r;
    text = strdup(strbuf_text(&answer));
    return text ? add_answer(rules, rule, text) : -ENOMEM;
}

static int explain(struct base_error *error, const struct pk_net_rule *rule, int r)
{
    if (r == -ENODATA)
        return base_fail(error, r, "check the name and the connection, or write the address",
                         "%s: the name %s has no address", rule->text, rule->name);
    if (r == -ETIMEDOUT)
        return base_fail(error, r, "check the connection, or write the address",
                         "%s: no name server has answered for %s", rule->text, rule->name);
    return base_fail(error, r, "install getent (package libc-bin), or write the address",
                     "%s: cannot look up %s: %s", rule->text, rule->name, strerror(-r));
}

int net_names_resolve(const struct pk_net_rules *rules, struct pk_net_rules *ret_rules,
                      struct base_error *error)
{
    cleanup_net_rules struct pk_net_rules found = {0};

    for (size_t i = 0; i < rules->count; i++) {
        const struct pk_net_rule *rule = &rules->rules[i];
        int r = rule->name[0] ? resolve(&found, rule) : pk_net_rules_add(&found, rule);

        if (r < 0)
            return explain(error, rule, r);
    }
    *ret_rules = found;
    found = (struct pk_net_rules){0};
    return 0;
}

/* ---- what the program is told ---- */

/* Only what it may turn to: the address of a denied name is of no use, nor is that of localhost. */
static bool is_shown(const struct pk_net_rule *rule)
{
    return rule->allow && rule->kind == PK_NET_REACH && rule->name[0] && !is_localhost(rule->name);
}

void net_names_hosts(const struct pk_net_rules *rules, struct strbuf *text)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct pk_net_rule *rule = &rules->rules[i];
        bool four = pk_net_is_mapped(rule->address);
        char address[INET6_ADDRSTRLEN];

        if (!is_shown(rule))
            continue;
        inet_ntop(four ? AF_INET : AF_INET6, rule->address + (four ? 12 : 0), address,
                  sizeof(address));
        strbuf_addf(text, "%s\t%s\n", address, rule->name);
    }
}

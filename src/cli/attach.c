/* `cerebro attach`: rules for a process that runs already. */
#include "attach/attach.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "audit/audit.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cli/attach-trace.h"
#include "cli/cli.h"

static const char help[] =
    "usage: cerebro attach [OPTIONS] PID\n"
    "\n"
    "Attaches a process kernel to a process that runs already: all its threads, and all it starts\n"
    "from now on. It goes on seeing the host's files; only what the options say is changed. Ends\n"
    "when the rules are in place, which hold until cerebro detach; with --trace it stays until the\n"
    "process ends or Ctrl-C detaches.\n"
    "\n"
    "  --deny CALL[,CALL...]   let these system calls fail with EPERM\n"
    "  --limit LIST            memory=SIZE, files=N, cpu=SECONDS (from now on), fsize=SIZE, with\n"
    "                          commas; put back by cerebro detach\n"
    "  --trace[=SET]           one line for each system call (on stderr), SET as in cerebro run\n"
    "  --trace-json            the same, one JSON object a line\n"
    "  --audit FILE|fd:N       record what was denied there, not in the log of cerebro log\n"
    "  --json                  what was done, as JSON (on stdout)\n"
    "\n"
    "A program that was attached to keeps a filter until it ends: after cerebro detach the calls in\n"
    "it cost some microseconds more, all others nothing.\n"
    "\n"
    "Exit status: 0 done, 1 it was not possible, 2 wrong usage.\n";

struct options {
    struct channel_rules rules;
    struct trace_options trace;
    const char *audit; /* path or "fd:N"; NULL: no log */
    bool traced;
    bool json;
    pid_t pid;
};

static int add_denied(struct options *options, char *text)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        const struct abi_syscall *call = abi_syscall_by_name(item);

        if (call == NULL)
            return cli_usage("attach", "--deny knows no system call '%s'", item);
        if (!abi_may_intercept(call->nr))
            return cli_usage("attach", "--deny cannot hold for %s, which is never seen", item);
        options->rules.denied[call->nr] = EPERM;
        options->rules.strict = 1;
    }
    return 0;
}

static int add_limits(struct options *options, const char *text)
{
    struct base_error error = {0};

    options->rules.strict = 1;
    if (attach_parse_limits(text, &options->rules, &error) == 0)
        return 0;
    cli_usage("attach", "%s", error.sentence);
    return CLI_USAGE_ERROR;
}

static int add_trace(struct options *options, const char *text)
{
    struct base_error error = {0};

    options->traced = true;
    options->trace.some_calls = text != NULL;
    if (text && abi_call_set_parse(text, "--trace", &options->trace.calls, NULL, &error) < 0)
        return cli_usage_error("attach", &error);
    return 0;
}

/* Which calls a trace shows: those of its set that can be seen at all. */
static void pass_traced(struct options *options)
{
    for (int nr = 0; nr <= ABI_NR_MAX; nr++) {
        const struct abi_syscall *call = abi_syscall_by_nr(nr);

        if (call && abi_may_intercept(nr) &&
            (!options->trace.some_calls || abi_call_set_has(&options->trace.calls, nr)))
            attach_add(options->rules.passed, nr);
    }
}

static int set_option(struct options *options, int option, char *value)
{
    switch (option) {
    case 'd':
        return add_denied(options, value);
    case 'l':
        return add_limits(options, value);
    case 't':
        return add_trace(options, value);
    case 'J':
        options->traced = options->trace.json = true;
        return 0;
    case 'a':
        options->audit = value;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return CLI_USAGE_ERROR;
    }
}

static int parse_pid(struct options *options, int count, char **words)
{
    uint64_t pid;

    if (count == 0)
        return cli_usage("attach", "name the process to attach to");
    if (count > 1)
        return cli_usage("attach", "one process at a time, not '%s', too", words[1]);
    if (io_parse_u64(words[0], INT_MAX, &pid) < 0 || pid == 0)
        return cli_usage("attach", "'%s' is no process number", words[0]);
    options->pid = (pid_t)pid;
    return 0;
}

static int parse(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {{"deny", required_argument, NULL, 'd'},
                                                 {"limit", required_argument, NULL, 'l'},
                                                 {"trace", optional_argument, NULL, 't'},
                                                 {"trace-json", no_argument, NULL, 'J'},
                                                 {"audit", required_argument, NULL, 'a'},
                                                 {"json", no_argument, NULL, 'j'},
                                                 {NULL, 0, NULL, 0}};
    int option;
    int r = 0;

    opterr = 0;
    while (r == 0 && (option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (option == ':')
            return cli_usage("attach", "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage("attach", "there is no option '%s'", argv[optind - 1]);
        r = set_option(options, option, optarg);
    }
    if (r == 0)
        r = parse_pid(options, argc - optind, argv + optind);
    if (r == 0 && !options->rules.strict && !options->traced)
        r = cli_usage("attach", "say what for: --deny, --limit or --trace");
    options->rules.stays = !options->traced;
    if (options->traced)
        pass_traced(options);
    return r;
}

static void print_json(const struct attachment *attachment)
{
    printf("{\"target\":%d,\"keeper\":%d,\"again\":%s,\"attach_ms\":%.3f,\"held_ms\":%.3f}\n",
           attachment->target, attachment->keeper, attachment->again ? "true" : "false",
           (double)attachment->took_ns / 1e6, (double)attachment->held_ns / 1e6);
    fflush(stdout);
}

static int print_failure(bool json, const struct base_error *error)
{
    cleanup_strbuf struct strbuf out = {0};
    const char *name = abi_errno_name(error->code);

    cli_print_error(error);
    if (!json)
        return 1;
    strbuf_addf(&out, "{\"error\":{\"errno\":\"%s\",\"sentence\":\"", name ? name : "");
    strbuf_add_json(&out, error->sentence);
    strbuf_add_string(&out, "\",\"hint\":\"");
    strbuf_add_json(&out, error->hint);
    printf("%s\"}}\n", strbuf_text(&out));
    return 1;
}

/* The keeper writes the log; here it is only opened, by the right of who asks for it. */
static int attach(struct options *options, struct attachment *ret_attachment,
                  struct base_error *error)
{
    struct attach_options how = {.program = "/proc/self/exe"};
    struct audit_options log = {.target = options->audit};
    struct audit audit = {.fd = -1, .rotation = {.fd = -1, .directory = -1}};
    int r = options->audit ? audit_open(&audit, &log, error) : 0;

    if (r == 0 && options->audit && audit.kind != AUDIT_STREAM)
        r = base_fail(error, EINVAL, "without --audit it is the log of cerebro log",
                      "--audit takes FILE or fd:N here, not '%s'", options->audit);
    how.audit = audit.fd;
    if (r == 0)
        r = attach_process(options->pid, &options->rules, &how, ret_attachment, error);
    audit_close(&audit);
    return r;
}

static int run(int argc, char **argv)
{
    struct options options = {0};
    struct attachment attachment;
    struct base_error error = {0};
    int r = parse(argc, argv, &options);

    if (r)
        return r;
    if (options.traced)
        attach_trace_prepare();
    if (attach(&options, &attachment, &error) < 0)
        return print_failure(options.json, &error);
    if (options.json)
        print_json(&attachment);
    if (options.traced)
        attach_trace_run(&options.trace, &options.rules, &attachment);
    close(attachment.channel);
    close(attachment.listener);
    return 0;
}

const struct cli_command cli_attach_command = {
    .name = "attach",
    .summary = "put rules on a process that runs already",
    .help = help,
    .run = run,
};

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "cli/run-options.h"
#include "control/channel.h"

/* When the program never ran, the one JSON object says why. */
static void print_failure_json(const struct run_options *options, int exit_status,
                               const struct base_error *error)
{
    cleanup_strbuf struct strbuf out = {0};
    const char *name = abi_errno_name(error->code);

    strbuf_add_string(&out, "{\"program\":\"");
    strbuf_add_json(&out, options->launch.argv[0]);
    strbuf_addf(&out, "\",\"ran\":false,\"exit_status\":%d,\"error\":{\"errno\":\"%s\"",
                exit_status, name ? name : "");
    strbuf_add_string(&out, ",\"sentence\":\"");
    strbuf_add_json(&out, error->sentence);
    strbuf_add_string(&out, "\",\"hint\":\"");
    strbuf_add_json(&out, error->hint);
    strbuf_add_string(&out, "\"}}");
    fprintf(stderr, "%s\n", strbuf_text(&out));
}

/* A kernel made by a program leaves the telling to it. */
static void tell_channel(int channel, int exit_status, const struct base_error *error)
{
    struct channel_message message = {.type = CHANNEL_FAILED,
                                      .failed = {.code = error->code, .exit_status = exit_status}};

    memcpy(message.failed.sentence, error->sentence, sizeof(message.failed.sentence));
    memcpy(message.failed.hint, error->hint, sizeof(message.failed.hint));
    channel_send(channel, &message, sizeof(message.failed), -1);
}

/* A guest whose denials are recorded would like to change the record. */
static void protect_log(struct audit *audit, struct launch_options *launch)
{
    struct audit_protected found;
    bool writable = false;

    for (unsigned i = 0; i < launch->bind_count; i++)
        writable = writable || !launch->binds[i].read_only;
    audit_protect(audit, writable, &found);
    launch->has_protected = found.fd >= 0;
    launch->protected_fd = found.fd;
    launch->protected_log = found.name;
    launch->protected_directory = found.directory;
}

int run_program(const struct run_options *options, struct launch_result *ret_result)
{
    struct launch_result result = {.exit_status = LAUNCH_EXIT_FAILED};
    struct base_error error = {0};
    struct launch_options launch = options->launch;
    struct launch_hooks hooks;
    struct report report;

    if (report_open(&report, options, &error) < 0) {
        report_close(&report);
        cli_print_error(&error);
        return LAUNCH_EXIT_FAILED;
    }
    report_hooks(&report, &hooks);
    protect_log(&report.audit, &launch);
    if (launch_run(&launch, &hooks, &result, &error) < 0) {
        if (launch.has_channel)
            tell_channel(launch.channel, result.exit_status, &error);
        else if (options->json)
            print_failure_json(options, result.exit_status, &error);
        else
            cli_print_error(&error);
    }
    report_close(&report);
    *ret_result = result;
    return result.exit_status;
}

/*
 * A shell wants to know what ended its job: after Ctrl-C it stops its own list only when the
 * program has died of it. No core dump: it would be ours, not the program's. Returns where the
 * signal does nothing, as to the first process of a container.
 */
static void die_of(int number)
{
    struct rlimit none = {0};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;

    fflush(NULL);
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &none);
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
    raise(number);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int run(int argc, char **argv)
{
    struct launch_result result = {0};
    struct run_options *options = calloc(1, sizeof(*options));
    bool json;
    int r;

    if (options == NULL)
        return cli_usage("run", "no memory");
    r = run_options_parse(argc, argv, options);
    json = options->json;
    if (r == 0)
        r = run_program(options, &result);
    run_options_free(options);
    free(options);
    if (result.ran && WIFSIGNALED(result.wait_status) && !json)
        die_of(WTERMSIG(result.wait_status));
    return r;
}

const struct cli_command cli_run_command = {
    .name = "run",
    .summary = "run a program under a process kernel of its own",
    .help = run_help,
    .run = run,
};

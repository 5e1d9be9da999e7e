/*
 * `cerebro keep`: the keeper of an attachment, started by attach/link.c and by nobody else. See
 * attach/keeper.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "attach/keeper.h"
#include "audit/audit.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"

static const char help[] = "usage: cerebro keep --target PID --channel FD\n"
                           "\n"
                           "Keeps an attachment; cerebro attach and libcerebro start it.\n";

static bool is_number(const char *text, int *ret_number)
{
    uint64_t number;

    if (io_parse_u64(text, INT_MAX, &number) < 0)
        return false;
    *ret_number = (int)number;
    return true;
}

/*
 * A session of its own, and no descriptor but the channel: whoever waits for the end of a pipe that
 * we were started with would wait for our end.
 */
static void withdraw(int channel)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    if (chdir("/") < 0)
        return;
    for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
        if (fd != channel)
            dup2(null, fd);
    if (channel > STDERR_FILENO + 1)
        close_range(STDERR_FILENO + 1, (unsigned)channel - 1, 0);
    close_range((unsigned)channel + 1, ~0U, 0);
}

/* ---- the audit log ---- */

static void on_log(void *user, int fd)
{
    struct audit *audit = user;
    struct audit_options options = {0};
    char target[32];

    audit_close(audit);
    if (fd >= 0) {
        snprintf(target, sizeof(target), "fd:%d", fd);
        options.target = target;
    }
    audit_open(audit, &options, NULL);
    base_close(fd); /* it has one of its own */
}

static void name_denial(const struct keeper_record *record, struct pk_audit_record *full,
                        char what[64])
{
    const struct abi_syscall *call = record->nr >= 0 ? abi_syscall_by_nr(record->nr) : NULL;

    if (call) {
        snprintf(full->call, sizeof(full->call), "%s", call->name);
        snprintf(what, 64, "system call %s", call->name);
    } else {
        snprintf(what, 64, "a system call that is not of x86-64");
    }
    full->what = what;
    full->rule = "denied by the attached kernel";
}

static void on_record(void *user, const struct keeper_record *record)
{
    struct audit *audit = user;
    struct pk_audit_record full = {.event = record->event,
                                   .pid = record->pid,
                                   .tid = record->pid,
                                   .by = record->by,
                                   .what = record->what,
                                   .rule = "",
                                   .answer = -record->errnum};
    char what[64];

    clock_gettime(CLOCK_REALTIME, &full.time);
    if (strcmp(record->event, "denied") == 0)
        name_denial(record, &full, what);
    audit_record(audit, &full);
}

/* ---- */

static int keep(const struct keeper_options *options, struct audit *audit)
{
    pid_t pid = fork();
    int r;

    if (pid < 0)
        return 1;
    if (pid > 0)
        _exit(0);
    withdraw(options->channel);
    r = keeper_run(options);
    audit_finish(audit);
    audit_close(audit);
    return r < 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"target", required_argument, NULL, 't'},
                                            {"channel", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    struct audit audit = {.fd = -1, .rotation = {.fd = -1, .directory = -1}};
    struct keeper_options keeper = {
        .channel = -1, .log = on_log, .record = on_record, .user = &audit};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        int *number = option == 't' ? &keeper.target : &keeper.channel;

        if (option != 't' && option != 'c')
            return cli_usage("keep", "there is no option '%s'", argv[optind - 1]);
        if (!is_number(optarg, number))
            return cli_usage("keep", "'%s' is no number", optarg);
    }
    if (keeper.target <= 0 || keeper.channel < 0 || fcntl(keeper.channel, F_GETFD) < 0)
        return cli_usage("keep", "it is started by cerebro attach");
    return keep(&keeper, &audit);
}

const struct cli_command cli_keep_command = {.name = "keep", .help = help, .run = run};

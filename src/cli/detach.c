/* `cerebro detach`: ends what `cerebro attach` or a program has put on a process. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "attach/attach.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "control/control.h"

static const char help[] =
    "usage: cerebro detach [--json] PID\n"
    "\n"
    "Detaches the process kernel from a process, named by its number or by that of the keeper (see\n"
    "cerebro ps). Limits are put back and calls pass as natively; see cerebro attach --help for\n"
    "what stays.\n";

/* By the target's number, or by the keeper's own. */
static int find_keeper(pid_t pid, pid_t *ret_keeper, struct base_error *error)
{
    cleanup_strbuf struct strbuf answer = {0};
    struct base_error own = {0};
    cleanup_close int fd = -1;
    int r = attach_find(pid, ret_keeper, error);

    if (r != -ESRCH)
        return r;
    if (control_connect(pid, &fd, &own) < 0)
        return r;
    r = control_ask(fd, "attachment", &answer, &own);
    if (r == -ENOSYS) {
        *error = (struct base_error){0};
        return base_fail(error, EINVAL, "end its program instead",
                         "process kernel %d was made by cerebro run, not attached", pid);
    }
    if (r == 0)
        *ret_keeper = pid;
    return r;
}

static int detach(pid_t pid, bool json)
{
    cleanup_strbuf struct strbuf answer = {0};
    struct base_error error = {0};
    cleanup_close int fd = -1;
    pid_t keeper = 0;
    int r = find_keeper(pid, &keeper, &error);

    if (r == 0) {
        error = (struct base_error){0};
        r = control_connect(keeper, &fd, &error);
    }
    if (r == 0)
        r = control_ask(fd, "detach", &answer, &error);
    if (r < 0) {
        cli_print_error(&error);
        return 1;
    }
    if (json)
        printf("%s\n", strbuf_text(&answer));
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    bool json = false;
    uint64_t pid;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option != 'j')
            return cli_usage("detach", "there is no option '%s'", argv[optind - 1]);
        json = true;
    }
    if (argc - optind != 1)
        return cli_usage("detach", "name one process");
    if (io_parse_u64(argv[optind], INT_MAX, &pid) < 0 || pid == 0)
        return cli_usage("detach", "'%s' is no process number", argv[optind]);
    return detach((pid_t)pid, json);
}

const struct cli_command cli_detach_command = {
    .name = "detach",
    .summary = "take them off again",
    .help = help,
    .run = run,
};

#include "cli/top.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/ps.h"

#define DELAY_DEFAULT 2.0
#define DELAY_ONCE    1.0
#define DELAY_MIN     0.1
#define DELAY_MAX     3600.0

static const char help[] =
    "usage: cerebro top [-d SECONDS] [-p LIST] [--sort KEY] [--once [--json]]\n"
    "\n"
    "Shows what the running process kernels do: their tasks, how many calls they serve a second and\n"
    "how long that takes (half of the calls within P50, 99 of 100 within P99; n, u, m and s are\n"
    "nano-, micro-, milliseconds and seconds), what they denied, the CPU time of kernel and program\n"
    "in percent of one CPU, and the program's memory.\n"
    "\n"
    "  -d, --delay SECONDS   how long between two looks (default 2; 0.1 to 3600)\n"
    "  -p, --pid LIST        only these kernels, numbers with commas\n"
    "  --sort KEY            calls (default), cpu, memory, latency, denials, tasks or pid\n"
    "  --once                look twice, SECONDS (default 1) apart, print that, and end\n"
    "  --json                with --once: a JSON array, with the calls of each kernel\n"
    "\n"
    "Keys: q quit, arrows select, d details of the selected kernel, s sort by something else,\n"
    "+ and - change the delay. A kernel is asked through its control channel, which answers its\n"
    "user and root; while somebody looks, it measures the time of each call.\n";

struct top_options {
    struct top top; /* its delay is 0 for the default */
    bool once;
    bool json;
};

static void print_table(const struct top *top)
{
    cleanup_strbuf struct strbuf out = {0};

    top_add_summary(top, &out);
    strbuf_add_string(&out, "\n");
    if (top->count)
        top_add_header(&out);
    for (size_t i = 0; i < top->count; i++) {
        strbuf_add_string(&out, "\n");
        top_add_row(top->kernels[i], &out);
    }
    printf("%s%s", strbuf_text(&out), top->count ? "\n" : "");
}

static int show_once(struct top *top, bool json)
{
    struct timespec pause = {.tv_sec = (time_t)top->delay,
                             .tv_nsec = (long)((top->delay - (double)(time_t)top->delay) * 1e9)};
    cleanup_strbuf struct strbuf out = {0};
    int r = top_look(top);

    nanosleep(&pause, NULL);
    if (r == 0)
        r = top_look(top);
    if (r < 0)
        return r;
    if (json) {
        top_add_json(top, &out);
        printf("%s\n", strbuf_text(&out));
    } else {
        print_table(top);
    }
    return 0;
}

static int show(const struct top_options *options)
{
    struct top top = options->top;
    struct base_error error = {0};
    int r;

    if (top.delay == 0)
        top.delay = options->once ? DELAY_ONCE : DELAY_DEFAULT;
    r = options->once ? show_once(&top, options->json) : top_show(&top, &error);
    top_free(&top);
    if (r == 0)
        return 0;
    if (error.code == 0)
        return ps_fail(r);
    cli_print_error(&error);
    return 1;
}

static int set_delay(struct top_options *options, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= DELAY_MIN && value <= DELAY_MAX))
        return cli_usage("top", "--delay takes seconds, 0.1 to 3600, not '%s'", text);
    options->top.delay = value;
    return 0;
}

static int set_pids(struct top *top, char *text)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        uint64_t pid;

        if (io_parse_u64(item, INT_MAX, &pid) < 0 || pid == 0)
            return cli_usage("top", "--pid takes numbers of kernels, not '%s'", item);
        if (top->pid_count == TOP_PIDS_MAX)
            return cli_usage("top", "--pid takes %d numbers at most", TOP_PIDS_MAX);
        top->pids[top->pid_count++] = (pid_t)pid;
    }
    return top->pid_count ? 0 : cli_usage("top", "--pid takes a list of numbers");
}

static int set_order(struct top_options *options, const char *text)
{
    for (unsigned i = 0; i < TOP_ORDERS; i++)
        if (strcmp(top_order_names[i], text) == 0) {
            options->top.order = i;
            return 0;
        }
    return cli_usage("top", "--sort does not know '%s'", text);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"delay", required_argument, NULL, 'd'}, {"sort", required_argument, NULL, 's'},
        {"pid", required_argument, NULL, 'p'},   {"once", no_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},        {NULL, 0, NULL, 0}};
    struct top_options options = {0};
    int option;
    int r = 0;

    opterr = 0;
    while (r == 0 && (option = getopt_long(argc, argv, ":d:p:", known, NULL)) != -1) {
        if (option == ':')
            return cli_usage("top", "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage("top", "there is no option '%s'", argv[optind - 1]);
        options.once = options.once || option == 'o';
        options.json = options.json || option == 'j';
        if (option == 'd')
            r = set_delay(&options, optarg);
        if (option == 'p')
            r = set_pids(&options.top, optarg);
        if (option == 's')
            r = set_order(&options, optarg);
    }
    if (r)
        return r;
    if (optind < argc)
        return cli_usage("top", "it takes no argument, not '%s'", argv[optind]);
    if (options.json && !options.once)
        return cli_usage("top", "--json goes with --once");
    return show(&options);
}

const struct cli_command cli_top_command = {
    .name = "top",
    .summary = "watch the running process kernels",
    .help = help,
    .run = run,
};

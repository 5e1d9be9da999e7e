/*
 * `cerebro diff`, `commit` and `discard`: what a layer that `cerebro run --overlay` has kept
 * changes, putting it into effect, dropping it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/layer-options.h"

static const char diff_help[] =
    "usage: cerebro diff [--json] [--root DIR] LAYER [PATH...]\n"
    "\n"
    "Lists what the layer that cerebro run --overlay LAYER has kept changes against the host: A added,\n"
    "M modified (and what about it), D deleted. With PATHs only these and what is below them.\n"
    "\n"
    "  --root DIR   the directory beneath the layer (default: that of the last run)\n"
    "  --json       as one JSON object\n";

static const char commit_help[] =
    "usage: cerebro commit [--dry-run] [--json] [--root DIR] LAYER [PATH...]\n"
    "\n"
    "Puts what the layer changes (see cerebro diff) into effect on the host, and takes it out of the\n"
    "layer. What fails is told and stays in the layer. With PATHs only these and what is below them.\n"
    "Refused while a program runs on the layer.\n"
    "\n"
    "  --dry-run    only list what would be done\n"
    "  --root DIR   the directory beneath the layer (default: that of the last run)\n"
    "  --json       as one JSON object\n"
    "\n"
    "Exit status: 0 all was done, 1 something was not, 2 wrong usage.\n";

static const char discard_help[] =
    "usage: cerebro discard [--yes] [--json] LAYER [PATH...]\n"
    "\n"
    "Drops what the layer changes (see cerebro diff), or what it changes at PATHs and below. Asks on a\n"
    "terminal. Refused while a program runs on the layer.\n"
    "\n"
    "  --yes        do not ask; needed without a terminal\n"
    "  --json       list what was dropped as one JSON object\n";

/* Each directory on the way down needs two descriptors. */
static void raise_open_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int fail(const struct base_error *error)
{
    cli_print_error(error);
    return 1;
}

static int open_layer(const struct layer_options *options, enum layer_access access,
                      struct layer **ret_layer)
{
    struct base_error error = {0};

    raise_open_files();
    return layer_open(options->directory, options->root, access, ret_layer, &error) < 0
               ? fail(&error)
               : 0;
}

static int diff(const struct layer_options *options)
{
    struct layer_output output = {0};
    struct layer_task task = layer_options_task(options, &output);
    struct base_error error = {0};
    struct layer_counts counts;
    struct layer *layer;
    int status = open_layer(options, LAYER_LOOK, &layer);

    if (status)
        return status;
    if (layer_diff(layer, &task, &counts, &error) < 0)
        status = 1;
    layer_output_end(&output, options->directory, "changes");
    layer_free(layer);
    return status ? fail(&error) : 0;
}

static void print_committed(const struct layer_options *options, const struct layer_counts *counts)
{
    if (options->json)
        return;
    if (counts->changes == 0 && counts->failed == 0)
        fprintf(stderr, "nothing to commit\n");
    else if (options->dry_run)
        fprintf(stderr, "%" PRIu64 " changes would be committed\n", counts->changes);
    else if (counts->failed)
        fprintf(stderr, "%" PRIu64 " changes committed, %" PRIu64 " failed and stay in %s\n",
                counts->changes, counts->failed, options->directory);
    else
        fprintf(stderr, "%" PRIu64 " changes committed\n", counts->changes);
}

static int commit(const struct layer_options *options)
{
    struct layer_output output = {0};
    struct layer_task task = layer_options_task(options, &output);
    struct layer_counts counts = {0};
    struct base_error error = {0};
    struct layer *layer;
    int status = open_layer(options, LAYER_CHANGE, &layer);

    if (status)
        return status;
    if (layer_commit(layer, &task, &counts, &error) < 0)
        status = fail(&error);
    layer_free(layer);
    layer_output_end(&output, options->directory, "committed");
    fflush(stdout);
    print_committed(options, &counts);
    return counts.failed ? 1 : status;
}

/* 0 when it may go on, else the exit status. */
static int ask(const struct layer_options *options, uint64_t changes)
{
    char answer[16];

    if (options->yes || changes == 0)
        return 0;
    if (!isatty(STDIN_FILENO))
        return cli_usage("discard", "there is no terminal to ask on: --yes is needed");
    fprintf(stderr, "Drop %" PRIu64 " changes in %s? [y/N] ", changes, options->directory);
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return 0;
    fprintf(stderr, "nothing was dropped\n");
    return 1;
}

static int drop(const struct layer_options *options, struct layer *layer)
{
    struct layer_output output = {0};
    struct layer_task silent = {.paths = (const char *const *)options->paths,
                                .path_count = options->path_count};
    struct layer_task task = layer_options_task(options, &output);
    struct layer_counts counts;
    struct base_error error = {0};
    int r = layer_diff(layer, &silent, &counts, &error);
    int status = r < 0 ? fail(&error) : ask(options, counts.changes);

    if (status)
        return status;
    if (layer_discard(layer, options->json ? &task : &silent, &counts, &error) < 0)
        status = fail(&error);
    layer_output_end(&output, options->directory, "discarded");
    if (status == 0 && !options->json)
        fprintf(stderr, "%" PRIu64 " changes dropped\n", counts.changes);
    return status;
}

static int discard(const struct layer_options *options)
{
    struct layer *layer;
    int status = open_layer(options, LAYER_CHANGE, &layer);

    if (status)
        return status;
    status = drop(options, layer);
    layer_free(layer);
    return status;
}

static int run(int argc, char **argv, const char *known,
               int (*perform)(const struct layer_options *))
{
    struct layer_options options;
    int status = layer_options_parse(argc, argv, known, &options);

    if (status == 0)
        status = perform(&options);
    layer_options_free(&options);
    return status;
}

static int run_diff(int argc, char **argv)
{
    return run(argc, argv, LAYER_OPTION_ROOT, diff);
}

static int run_commit(int argc, char **argv)
{
    return run(argc, argv, LAYER_OPTION_ROOT LAYER_OPTION_DRY_RUN, commit);
}

static int run_discard(int argc, char **argv)
{
    return run(argc, argv, LAYER_OPTION_YES, discard);
}

const struct cli_command cli_diff_command = {
    .name = "diff",
    .summary = "list what a kept layer changes on the host",
    .help = diff_help,
    .run = run_diff,
};

const struct cli_command cli_commit_command = {
    .name = "commit",
    .summary = "put a kept layer into effect on the host",
    .help = commit_help,
    .run = run_commit,
};

const struct cli_command cli_discard_command = {
    .name = "discard",
    .summary = "drop what a kept layer changes",
    .help = discard_help,
    .run = run_discard,
};

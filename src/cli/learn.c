#include "cli/learn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/learn-output.h"
#include "profile/record.h"

static const char learn_help[] =
    "usage: cerebro learn [--output FILE] [RUN OPTIONS] [--] PROGRAM [ARGS...]\n"
    "\n"
    "Runs PROGRAM as `cerebro run` does and notes what it names: paths that it reads, writes and\n"
    "executes, addresses, what it is refused. Then it writes a profile under which the same run\n"
    "works and little else is in reach. Read it before you trust it: what the program did not do\n"
    "this time is not in it.\n"
    "\n"
    "  --output FILE           where to (default: PROGRAM.yaml in this directory, which must not\n"
    "                          exist; -: standard output)\n"
    "\n"
    "RUN OPTIONS are those of `cerebro run` but --root, --overlay, --view, --profile and\n"
    "--report-only. Network, limits, ids and denied calls become part of the profile.\n"
    "Exit status: that of PROGRAM; 125 when there is no profile.\n";

/* ---- in the supervisor ---- */

/* What the user has opened up or covered is part of what the program needs. */
static int take_binds(struct profile *profile, const struct launch_options *launch)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < launch->bind_count; i++) {
        const struct launch_bind *bind = &launch->binds[i];
        cleanup_free char *source = bind->source ? realpath(bind->source, NULL) : NULL;

        if (bind->kind == LAUNCH_SCRATCH)
            r = profile_add_path(profile, PROFILE_SCRATCH, bind->target);
        else if (source)
            r = profile_add_path(profile, bind->read_only ? PROFILE_READ : PROFILE_WRITE, source);
    }
    for (unsigned i = 0; r == 0 && i < launch->hidden_count; i++)
        r = profile_add_path(profile, PROFILE_HIDE, launch->hidden[i]);
    for (int nr = 0; r == 0 && nr < PK_NR_LIMIT; nr++)
        if (launch->denied[nr])
            r = profile_add_denied(profile, nr, launch->denied[nr]);
    return r;
}

/* What follows the option that a rule's text begins with. */
static const char *rule_text(const struct pk_net_rule *rule)
{
    return strchr(rule->text, ' ') + 1;
}

static int take_rules(struct profile *profile, const struct launch_options *launch)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < launch->net_rules.count; i++)
        r = profile_add_rule(profile, launch->net_rules.rules[i].allow,
                             rule_text(&launch->net_rules.rules[i]));
    return r;
}

static void take_options(struct profile *profile, const struct launch_options *launch)
{
    struct pk_limits limits = launch->limits;
    const struct profile_origin given = {.line = 1};

    profile->minimal_view = (struct profile_value){1, given};
    profile->network = (struct profile_value){launch->net == PK_NET_HOST, given};
    for (int i = 0; i < PK_LIMIT_COUNT; i++)
        if (*pk_limit_field(&limits, (enum pk_limit)i))
            profile->limits[i] =
                (struct profile_value){*pk_limit_field(&limits, (enum pk_limit)i), given};
    if (launch->has_uid) {
        profile->uid = (struct profile_value){launch->uid, given};
        profile->gid = (struct profile_value){launch->gid, given};
    }
}

static int make_text(const struct run_options *options, struct strbuf *ret_text)
{
    cleanup_profile struct profile profile = {0};
    cleanup_strbuf struct strbuf title = {0};
    struct run_places places;
    int r;

    run_places_find(&places);
    take_options(&profile, &options->launch);
    r = take_binds(&profile, &options->launch);
    if (r == 0)
        r = take_rules(&profile, &options->launch);
    if (r == 0)
        r = profile_generalise(options->recorder, &places.places, &profile);
    if (r < 0)
        return r;
    strbuf_addf(&title, "What a run of %.200s needed; see cerebro-profile(5).",
                options->launch.argv[0]);
    profile_write(&profile, options->recorder, &places.places, strbuf_text(&title), ret_text);
    return ret_text->length > PROFILE_FILE_MAX ? -E2BIG : strbuf_status(ret_text);
}

void learn_write(const struct run_options *options)
{
    cleanup_strbuf struct strbuf text = {0};
    struct base_error error = {0};
    int r = make_text(options, &text);

    if (r == 0)
        r = io_write_all(options->learned_fd, text.data, text.length);
    if (r == 0)
        return;
    if (r == -E2BIG)
        base_fail(&error, r, "say what may be read as a whole: --bind DIRECTORY:ro",
                  "there is no profile: what the program named is more than one can hold");
    else
        base_fail(&error, r, NULL, "there is no profile: %s", strerror(-r));
    cli_print_error(&error);
}

/* ---- in the front ---- */

static int check(const struct run_options *options)
{
    const struct launch_options *launch = &options->launch;

    if (launch->root || launch->overlay || launch->view != LAUNCH_VIEW_HOST ||
        options->profile_count || launch->report_only)
        return cli_usage("learn", "--root, --overlay, --view, --profile and --report-only do not "
                                  "go with it");
    for (unsigned i = 0; i < launch->bind_count; i++)
        if (launch->binds[i].kind == LAUNCH_BIND && launch->binds[i].target)
            return cli_usage("learn", "--bind %s:%s: a profile shows paths where they are",
                             launch->binds[i].source, launch->binds[i].target);
    return 0;
}

static int read_text(int learned, struct strbuf *ret_text)
{
    char fd_path[IO_FD_PATH_SIZE];
    int r = io_read_file(AT_FDCWD, io_fd_path(learned, fd_path), PROFILE_FILE_MAX + 1, ret_text);

    return r == 0 && ret_text->length == 0 ? -ENODATA : r;
}

static void tell_where(const struct learn_output *output)
{
    if (output->kind != LEARN_STREAM)
        fprintf(stderr, "cerebro: written to %s; run it with --profile %s%s\n", output->path,
                strchr(output->path, '/') ? "" : "./", output->path);
}

/* No text without an error that has been told already; what is left to say is what comes of it. */
static void tell_failure(int error, bool ran)
{
    if (error != -ENODATA)
        fprintf(stderr, "cerebro: there is no profile: %s\n", strerror(-error));
    else if (!ran)
        fprintf(stderr, "cerebro: there is no profile: the program did not run to its end\n");
}

static int run_into(struct run_options *options, struct learn_output *output)
{
    cleanup_strbuf struct strbuf text = {0};
    struct launch_result result = {0};
    int status = run_program(options, &result);
    int r = read_text(options->learned_fd, &text);

    if (r == 0)
        r = learn_output_write(output, text.data, text.length);
    if (r < 0) {
        learn_output_discard(output);
        tell_failure(r, result.ran);
        return LAUNCH_EXIT_FAILED;
    }
    learn_output_close(output);
    if (!options->quiet)
        tell_where(output);
    return status;
}

static int run_and_learn(struct run_options *options)
{
    cleanup_close int learned = memfd_create("cerebro-learned", MFD_CLOEXEC);
    struct learn_output output;
    int r = learned < 0 ? -errno : 0;

    if (r == 0)
        r = learn_output_open(options->output, options->launch.argv[0], &output);
    if (r < 0) {
        fprintf(stderr, "cerebro: cannot write the profile %s: %s\n  try: --output FILE\n",
                learned < 0 ? "" : output.path, strerror(-r));
        return LAUNCH_EXIT_FAILED;
    }
    options->learned_fd = learned;
    return run_into(options, &output);
}

static int learn(int argc, char **argv)
{
    struct run_options *options = calloc(1, sizeof(*options));
    int r;

    if (options == NULL)
        return cli_usage("learn", "no memory");
    options->learns = true;
    r = run_options_parse(argc, argv, options);
    if (r == 0)
        r = check(options);
    if (r == 0) {
        options->recorder = profile_recorder_new();
        r = options->recorder ? run_and_learn(options) : cli_usage("learn", "no memory");
    }
    profile_recorder_free(options->recorder);
    run_options_free(options);
    free(options);
    return r;
}

const struct cli_command cli_learn_command = {
    .name = "learn",
    .summary = "run a program and write the smallest profile under which that works",
    .help = learn_help,
    .run = learn,
};

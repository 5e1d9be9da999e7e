/* What profiles say, as options of `cerebro run`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/run-options.h"

static bool apply_path(struct run_options *options, const struct profile_path *path)
{
    struct launch_bind bind = {.source = path->path, .optional = true};

    switch (path->kind) {
    case PROFILE_READ:
        bind.read_only = true;
        return run_add_bind(options, &bind);
    case PROFILE_CREATE:
        bind.create = true;
        bind.optional = false;
        return run_add_bind(options, &bind);
    case PROFILE_WRITE:
        return run_add_bind(options, &bind);
    case PROFILE_HIDE:
        return run_add_hidden(options, path->path);
    case PROFILE_SCRATCH:
    case PROFILE_DIRECTORY:
        bind = (struct launch_bind){.target = path->path,
                                    .kind = path->kind == PROFILE_SCRATCH ? LAUNCH_SCRATCH
                                                                          : LAUNCH_DIRECTORY};
        return run_add_bind(options, &bind);
    case PROFILE_DROP:
        break;
    }
    return true;
}

/* The rules join those of the command line; a deny rule wins wherever it is written. */
static int apply_rules(struct run_options *options, struct base_error *error)
{
    const struct profile *profile = &options->profile;

    for (size_t i = 0; i < profile->rule_count; i++) {
        const struct profile_rule *given = &profile->rules[i];
        const char *path = profile->files[given->origin.file].path;
        struct base_error reason = {0};
        struct pk_net_rule rule;
        int r = pk_net_rule_parse(given->text, given->allow, &rule, &reason);

        if (r < 0)
            return base_fail(error, r, reason.hint, "%s:%u:%u: %s", path, given->origin.line,
                             given->origin.column, reason.sentence);
        r = pk_net_rules_add(&options->launch.net_rules, &rule);
        if (r < 0)
            return base_fail(error, r, "name networks instead of addresses",
                             "%s:%u:%u: more than %d network rules", path, given->origin.line,
                             given->origin.column, PK_NET_RULES_MAX);
    }
    return 0;
}

static bool is_kept(const struct profile *profile, const char *text)
{
    size_t length = strcspn(text, "=");

    for (size_t i = 0; i < profile->variable_count; i++)
        if (profile->variables[i].kind == PROFILE_ENV_KEEP &&
            strlen(profile->variables[i].name) == length &&
            strncmp(profile->variables[i].name, text, length) == 0)
            return true;
    return false;
}

static void clear_environment(struct run_options *options)
{
    size_t kept = 0;

    for (size_t i = 0; i < options->environment_count; i++)
        if (is_kept(&options->profile, options->environment[i]))
            options->environment[kept++] = options->environment[i];
    options->environment_count = kept;
    options->environment[kept] = NULL;
}

/* "NAME=VALUE" takes the place of the value, so that the profile owns it. */
static int apply_variable(struct run_options *options, struct profile_variable *variable)
{
    size_t size = strlen(variable->name) + strlen(variable->value) + 2;
    char *text = malloc(size);

    if (text == NULL)
        return -ENOMEM;
    snprintf(text, size, "%s=%s", variable->name, variable->value);
    free(variable->value);
    variable->value = text;
    return run_set_variable(options, text);
}

static int apply_environment(struct run_options *options)
{
    struct profile *profile = &options->profile;
    int r = 0;

    if (profile->clear_environment.value)
        clear_environment(options);
    for (size_t i = 0; r == 0 && i < profile->variable_count; i++) {
        if (profile->variables[i].kind == PROFILE_ENV_SET)
            r = apply_variable(options, &profile->variables[i]);
        else if (profile->variables[i].kind == PROFILE_ENV_UNSET)
            run_unset_variable(options, profile->variables[i].name);
    }
    return r;
}

static void apply_values(struct launch_options *launch, const struct profile *profile)
{
    for (int i = 0; i < PK_LIMIT_COUNT; i++)
        if (profile->limits[i].origin.line)
            *pk_limit_field(&launch->limits, (enum pk_limit)i) = profile->limits[i].value;
    launch->view = profile->minimal_view.value ? LAUNCH_VIEW_MINIMAL : LAUNCH_VIEW_HOST;
    launch->report_only = profile->report_only.value;
    launch->net = profile->network.value ? PK_NET_HOST : PK_NET_NONE;
    for (size_t i = 0; i < profile->denied_count; i++)
        launch->denied[profile->denied[i].nr] = (uint16_t)profile->denied[i].errnum;
    if (profile->uid.origin.line == 0)
        return;
    launch->has_uid = true;
    launch->uid = (uid_t)profile->uid.value;
    launch->gid = (gid_t)profile->gid.value;
}

static int apply(struct run_options *options, struct base_error *error)
{
    const struct profile *profile = &options->profile;

    apply_values(&options->launch, profile);
    for (size_t i = 0; i < profile->path_count; i++)
        if (!apply_path(options, &profile->paths[i]))
            return base_fail(error, E2BIG, "name directories instead of files",
                             "the profile has too many paths");
    if (apply_rules(options, error) < 0)
        return -EINVAL;
    return apply_environment(options) < 0
               ? base_fail(error, ENOMEM, NULL, "no memory for the environment")
               : 0;
}

int run_profiles_apply(struct run_options *options)
{
    struct base_error error = {0};
    struct run_places places;
    int r = 0;

    run_places_find(&places);
    for (unsigned i = 0; r == 0 && i < options->profile_count; i++)
        r = profile_load(&options->profile, options->profiles[i], &places.places, &error);
    if (r == 0)
        r = apply(options, &error);
    if (r == 0)
        return 0;
    cli_print_error(&error);
    return LAUNCH_EXIT_FAILED;
}

/*
 * A profile without a network stays so, whatever rules its layers have: only the command line can
 * overrule that, and a --deny-net does not ask for more than there is.
 */
static bool is_off(const struct run_options *options)
{
    const struct profile *profile = &options->profile;

    if (options->net_given)
        return options->launch.net == PK_NET_NONE;
    return profile->network.origin.line && !profile_has_network(profile) && !options->allow_given;
}

/* Rules are for the host's network, and ask for it. */
int run_net_settle(struct run_options *options)
{
    struct launch_options *launch = &options->launch;
    bool off = is_off(options);

    if (off && options->net_given && options->rule_given)
        return cli_usage("run", "--net none leaves nothing to --allow-net and --deny-net");
    if (off)
        pk_net_rules_free(&launch->net_rules);
    else if (pk_net_rules_exist(&launch->net_rules))
        launch->net = PK_NET_HOST;
    return 0;
}

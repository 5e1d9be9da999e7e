#include "cli/run-options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"

extern char **environ;

enum {
    OPT_BIND = 256,
    OPT_WRITE,
    OPT_MOUNT,
    OPT_ROOT,
    OPT_OVERLAY,
    OPT_NET,
    OPT_NET_ALLOW,
    OPT_NET_DENY,
    OPT_UID,
    OPT_ENV,
    OPT_CWD,
    OPT_ALLOCATOR,
    OPT_LIMIT,
    OPT_TRACE,
    OPT_TRACE_TO,
    OPT_TRACE_JSON,
    OPT_TRACE_PATH,
    OPT_TRACE_STATUS,
    OPT_INJECT,
    OPT_AUDIT,
    OPT_AUDIT_ROTATE,
    OPT_STATS,
    OPT_DIFF,
    OPT_JSON,
    OPT_QUIET,
    OPT_NO_WALLS,
    OPT_WAIT_ALL,
    OPT_WITHOUT,
    OPT_TEST_DEVICE,
    OPT_DEBUGFS,
    OPT_NO_VDSO,
    OPT_CHANNEL,
    OPT_INTERCEPT,
    OPT_PROFILE,
    OPT_VIEW,
    OPT_HIDE,
    OPT_SCRATCH,
    OPT_DENY,
    OPT_REPORT_ONLY,
    OPT_UNSET,
    OPT_CLEAR_ENV,
    OPT_OUTPUT,
};

static const struct option long_options[] = {
    {"bind", required_argument, NULL, OPT_BIND},
    {"write", required_argument, NULL, OPT_WRITE},
    {"mount", required_argument, NULL, OPT_MOUNT},
    {"root", required_argument, NULL, OPT_ROOT},
    {"overlay", required_argument, NULL, OPT_OVERLAY},
    {"net", required_argument, NULL, OPT_NET},
    {"allow-net", required_argument, NULL, OPT_NET_ALLOW},
    {"deny-net", required_argument, NULL, OPT_NET_DENY},
    {"uid", required_argument, NULL, OPT_UID},
    {"env", required_argument, NULL, OPT_ENV},
    {"cwd", required_argument, NULL, OPT_CWD},
    {"allocator", required_argument, NULL, OPT_ALLOCATOR},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"trace", optional_argument, NULL, OPT_TRACE},
    {"trace-to", required_argument, NULL, OPT_TRACE_TO},
    {"trace-json", no_argument, NULL, OPT_TRACE_JSON},
    {"trace-path", required_argument, NULL, OPT_TRACE_PATH},
    {"trace-status", required_argument, NULL, OPT_TRACE_STATUS},
    {"inject", required_argument, NULL, OPT_INJECT},
    {"audit", required_argument, NULL, OPT_AUDIT},
    {"audit-rotate", required_argument, NULL, OPT_AUDIT_ROTATE},
    {"stats", no_argument, NULL, OPT_STATS},
    {"diff", no_argument, NULL, OPT_DIFF},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"no-walls", no_argument, NULL, OPT_NO_WALLS},
    {"wait-all", no_argument, NULL, OPT_WAIT_ALL},
    {"without", required_argument, NULL, OPT_WITHOUT},
    {"test-device", no_argument, NULL, OPT_TEST_DEVICE},
    {"debugfs", no_argument, NULL, OPT_DEBUGFS},
    {"no-vdso", no_argument, NULL, OPT_NO_VDSO},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"view", required_argument, NULL, OPT_VIEW},
    {"hide", required_argument, NULL, OPT_HIDE},
    {"scratch", required_argument, NULL, OPT_SCRATCH},
    {"deny", required_argument, NULL, OPT_DENY},
    {"report-only", no_argument, NULL, OPT_REPORT_ONLY},
    {"unset", required_argument, NULL, OPT_UNSET},
    {"clear-env", no_argument, NULL, OPT_CLEAR_ENV},
    {"output", required_argument, NULL, OPT_OUTPUT},
    /* For the C library (include/cerebro/process_kernel.h), not for people. */
    {"channel", required_argument, NULL, OPT_CHANNEL},
    {"intercept", required_argument, NULL, OPT_INTERCEPT},
    {NULL, 0, NULL, 0},
};

bool run_add_bind(struct run_options *options, const struct launch_bind *bind)
{
    if (options->launch.bind_count == RUN_BINDS_MAX)
        return false;
    options->binds[options->launch.bind_count++] = *bind;
    return true;
}

bool run_add_hidden(struct run_options *options, const char *path)
{
    if (options->launch.hidden_count == RUN_HIDDEN_MAX)
        return false;
    options->hidden[options->launch.hidden_count++] = path;
    return true;
}

/*
 * Ends a part of --bind where it does: at a colon without a backslash before it, which makes a
 * colon, or a backslash, part of a path. Returns the next part, NULL after the last.
 */
static char *end_part(char *text)
{
    char *to = text;

    for (; *text && *text != ':'; text++) {
        text += text[0] == '\\' && (text[1] == ':' || text[1] == '\\');
        *to++ = *text;
    }
    text = *text ? text + 1 : NULL;
    *to = '\0';
    return text;
}

static int add_bind(struct run_options *options, char *text, bool plain)
{
    struct launch_bind parsed = {.source = text};
    struct launch_bind *bind = &parsed;
    char *part, *next;

    for (part = plain ? NULL : end_part(text); part; part = next) {
        next = end_part(part);
        if (next == NULL && strcmp(part, "ro") == 0)
            bind->read_only = true;
        else if (bind->target)
            return cli_usage("run", "--bind takes SRC[:DST][:ro], not '%s'", part);
        else
            bind->target = part;
    }
    return run_add_bind(options, bind) ? 0 : cli_usage("run", "more than %d binds", RUN_BINDS_MAX);
}

static int add_scratch(struct run_options *options, const char *text)
{
    struct launch_bind bind = {.kind = LAUNCH_SCRATCH, .target = text};

    if (text[0] != '/')
        return cli_usage("run", "--scratch takes an absolute path, not '%s'", text);
    return run_add_bind(options, &bind) ? 0 : cli_usage("run", "more than %d binds", RUN_BINDS_MAX);
}

static int add_hidden(struct run_options *options, const char *text)
{
    if (text[0] != '/')
        return cli_usage("run", "--hide takes an absolute path, not '%s'", text);
    return run_add_hidden(options, text)
               ? 0
               : cli_usage("run", "more than %d hidden paths", RUN_HIDDEN_MAX);
}

static int set_view(struct run_options *options, const char *text)
{
    if (strcmp(text, "host") == 0)
        options->launch.view = LAUNCH_VIEW_HOST;
    else if (strcmp(text, "minimal") == 0)
        options->launch.view = LAUNCH_VIEW_MINIMAL;
    else
        return cli_usage("run", "--view takes host or minimal, not '%s'", text);
    return 0;
}

static int set_denied(struct launch_options *launch, char *text)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');
        const struct abi_syscall *call;
        int errnum = EPERM;

        if (equals) {
            *equals = '\0';
            errnum = abi_errno_by_name(equals + 1);
        }
        call = abi_syscall_by_name(item);
        if (call == NULL)
            return cli_usage("run", "--deny: there is no system call '%s'", item);
        if (!abi_may_deny(call->nr))
            return cli_usage("run", "--deny: no program could start, end or wait without %s", item);
        if (errnum <= 0 || errnum > 511)
            return cli_usage("run", "--deny: there is no error '%s'", equals + 1);
        launch->denied[call->nr] = (uint16_t)errnum;
    }
    return 0;
}

static int set_net(struct run_options *options, const char *text)
{
    options->net_given = true;
    if (strcmp(text, "none") == 0)
        options->launch.net = PK_NET_NONE;
    else if (strcmp(text, "host") == 0)
        options->launch.net = PK_NET_HOST;
    else
        return cli_usage("run", "--net takes none or host, not '%s'", text);
    return 0;
}

static int add_net_rule(struct run_options *options, const char *text, bool allow)
{
    struct pk_net_rule rule;
    struct base_error error = {0};

    if (pk_net_rule_parse(text, allow, &rule, &error) < 0)
        return cli_usage("run", "%s", error.sentence);
    if (pk_net_rules_add(&options->launch.net_rules, &rule) < 0)
        return cli_usage("run", "more than %d network rules", PK_NET_RULES_MAX);
    options->rule_given = true;
    options->allow_given = options->allow_given || allow;
    return 0;
}

static int set_uid(struct run_options *options, char *text)
{
    char *colon = strchr(text, ':');
    uint64_t uid;
    uint64_t gid;

    if (colon)
        *colon++ = '\0';
    if (io_parse_u64(text, UINT32_MAX - 1, &uid) < 0 ||
        (colon && io_parse_u64(colon, UINT32_MAX - 1, &gid) < 0))
        return cli_usage("run", "--uid takes numbers: N or N:GID");
    options->launch.has_uid = true;
    options->launch.uid = (uid_t)uid;
    options->launch.gid = colon ? (gid_t)gid : (gid_t)uid;
    return 0;
}

static int set_channel(struct launch_options *launch, const char *text)
{
    uint64_t fd;

    /* No guest gets it: it would be a way around the kernel. */
    if (io_parse_u64(text, INT32_MAX, &fd) < 0 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return cli_usage("run", "--channel takes an open descriptor, not '%s'", text);
    launch->has_channel = true;
    launch->channel = (int)fd;
    return 0;
}

static int set_intercepted(struct launch_options *launch, char *text)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        uint64_t nr;

        if (io_parse_u64(item, PK_NR_LIMIT - 1, &nr) < 0 || !abi_may_intercept((int)nr))
            return cli_usage("run", "system call %s cannot be intercepted", item);
        launch->intercepted[nr / 64] |= 1ULL << nr % 64;
    }
    return 0;
}

static int reserve_environment(struct run_options *options, size_t extra)
{
    char **grown =
        reallocarray(options->environment, options->environment_count + extra + 1, sizeof(char *));

    if (grown == NULL)
        return -ENOMEM;
    options->environment = grown;
    return 0;
}

static int copy_environment(struct run_options *options)
{
    size_t count = 0;

    while (environ[count])
        count++;
    if (reserve_environment(options, count) < 0)
        return -ENOMEM;
    memcpy(options->environment, environ, (count + 1) * sizeof(char *));
    options->environment_count = count;
    return 0;
}

int run_set_variable(struct run_options *options, char *text)
{
    size_t length = strcspn(text, "=") + 1;

    for (size_t i = 0; i < options->environment_count; i++)
        if (strncmp(options->environment[i], text, length) == 0) {
            options->environment[i] = text;
            return 0;
        }
    if (reserve_environment(options, 1) < 0)
        return -ENOMEM;
    options->environment[options->environment_count++] = text;
    options->environment[options->environment_count] = NULL;
    return 0;
}

void run_unset_variable(struct run_options *options, const char *name)
{
    size_t length = strlen(name), kept = 0;

    for (size_t i = 0; i < options->environment_count; i++) {
        char *text = options->environment[i];

        if (strncmp(text, name, length) != 0 || text[length] != '=')
            options->environment[kept++] = text;
    }
    options->environment_count = kept;
    options->environment[kept] = NULL;
}

static int set_environment(struct run_options *options, char *text)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text)
        return cli_usage("run", "--env takes NAME=VALUE, not '%s'", text);
    return run_set_variable(options, text) < 0 ? cli_usage("run", "no memory for the environment")
                                               : 0;
}

/* Options that say no more than that they are there. Returns whether this is one. */
static bool set_flag(struct run_options *options, int option)
{
    struct launch_options *launch = &options->launch;
    struct {
        int option;
        bool *flag;
    } flags[] = {
        {OPT_STATS, &launch->stats},       {OPT_DIFF, &options->diff},
        {OPT_JSON, &options->json},        {OPT_QUIET, &options->quiet},
        {OPT_NO_WALLS, &launch->no_walls}, {OPT_WAIT_ALL, &launch->wait_for_all},
        {OPT_DEBUGFS, &launch->debugfs},   {OPT_TEST_DEVICE, &launch->test_device},
        {OPT_NO_VDSO, &launch->no_vdso},   {OPT_REPORT_ONLY, &launch->report_only},
    };

    for (size_t i = 0; i < array_length(flags); i++)
        if (flags[i].option == option)
            return *flags[i].flag = true;
    return false;
}

/* Options whose value is kept as it stands. Returns whether this is one. */
static bool set_text(struct run_options *options, int option, const char *value)
{
    struct launch_options *launch = &options->launch;
    struct {
        int option;
        const char **text;
    } texts[] = {
        {OPT_ROOT, &launch->root},       {OPT_OVERLAY, &launch->overlay},
        {OPT_CWD, &launch->cwd},         {OPT_ALLOCATOR, &launch->allocator},
        {OPT_WITHOUT, &launch->without}, {OPT_AUDIT, &options->audit.target},
    };

    for (size_t i = 0; i < array_length(texts); i++) {
        if (texts[i].option != option)
            continue;
        *texts[i].text = value;
        return true;
    }
    return false;
}

static int set_trace_option(struct run_options *options, int option, char *value)
{
    switch (option) {
    case OPT_TRACE:
        return run_set_trace(options, value);
    case OPT_TRACE_TO:
        options->trace_file = value;
        options->traced = true;
        return 0;
    case OPT_TRACE_JSON:
        options->trace.json = options->traced = true;
        return 0;
    case OPT_TRACE_PATH:
        return run_add_trace_path(options, value);
    default:
        return run_set_trace_status(options, value);
    }
}

/* What the program may see, do and use. */
static int set_rule(struct run_options *options, int option, char *value)
{
    switch (option) {
    case OPT_BIND:
    case OPT_WRITE:
        return add_bind(options, value, option == OPT_WRITE);
    case OPT_MOUNT:
        return run_add_mount(options, value);
    case OPT_VIEW:
        return set_view(options, value);
    case OPT_HIDE:
        return add_hidden(options, value);
    case OPT_SCRATCH:
        return add_scratch(options, value);
    case OPT_NET:
        return set_net(options, value);
    case OPT_NET_ALLOW:
    case OPT_NET_DENY:
        return add_net_rule(options, value, option == OPT_NET_ALLOW);
    case OPT_DENY:
        return set_denied(&options->launch, value);
    case OPT_UID:
        return set_uid(options, value);
    case OPT_LIMIT:
        return run_set_limits(&options->launch.limits, value);
    default:
        return CLI_USAGE_ERROR;
    }
}

static int set_option(struct run_options *options, int option, char *value)
{
    if (set_flag(options, option) || set_text(options, option, value))
        return 0;
    switch (option) {
    case OPT_ENV:
        return set_environment(options, value);
    case OPT_UNSET:
        run_unset_variable(options, value);
        return 0;
    case OPT_CLEAR_ENV:
        options->environment_count = 0;
        options->environment[0] = NULL;
        return 0;
    case OPT_TRACE:
    case OPT_TRACE_TO:
    case OPT_TRACE_JSON:
    case OPT_TRACE_PATH:
    case OPT_TRACE_STATUS:
        return set_trace_option(options, option, value);
    case OPT_INJECT:
        return run_add_fault(options, value);
    case OPT_AUDIT_ROTATE:
        return run_set_rotation(&options->audit, value);
    case OPT_CHANNEL:
        return set_channel(&options->launch, value);
    case OPT_INTERCEPT:
        return set_intercepted(&options->launch, value);
    case OPT_PROFILE:
        return 0; /* dealt with before all others */
    case OPT_OUTPUT:
        options->output = value;
        return options->learns ? 0 : cli_usage("run", "there is no option '--output'");
    default:
        return set_rule(options, option, value);
    }
}

/* The profiles are the lower layer, wherever they stand on the command line. */
static int find_profiles(int argc, char **argv, struct run_options *options)
{
    int option;

    opterr = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        if (option != OPT_PROFILE)
            continue; /* what is wrong is told later */
        if (options->profile_count == RUN_PROFILES_MAX)
            return cli_usage("run", "more than %d profiles", RUN_PROFILES_MAX);
        options->profiles[options->profile_count++] = optarg;
    }
    return options->profile_count ? run_profiles_apply(options) : 0;
}

static int parse_options(int argc, char **argv, struct run_options *options)
{
    int option;

    opterr = 0;
    optind = 0;
    /* "+": the first word that is no option is the program, all after it is the program's. */
    while ((option = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        int r;

        if (option == ':')
            return cli_usage("run", "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage("run", "there is no option '%s'", argv[optind - 1]);
        r = set_option(options, option, optarg);
        if (r)
            return r;
    }
    if (optind >= argc)
        return cli_usage("run", "name the program to run");
    return 0;
}

/* What does not go together. */
static int check_options(const struct run_options *options)
{
    const struct launch_options *launch = &options->launch;

    if (launch->view == LAUNCH_VIEW_MINIMAL && (launch->root || launch->overlay))
        return cli_usage("run", "a minimal view has no --root and no --overlay");
    return run_check_trace(options);
}

int run_options_parse(int argc, char **argv, struct run_options *ret_options)
{
    struct run_options *options = ret_options;
    int r;

    if (copy_environment(options) < 0)
        return cli_usage("run", "no memory for the environment");
    options->launch.binds = options->binds;
    options->launch.hidden = options->hidden;
    r = find_profiles(argc, argv, options);
    if (r == 0)
        r = parse_options(argc, argv, options);
    if (r == 0)
        r = check_options(options);
    if (r == 0)
        r = run_net_settle(options);
    if (r)
        return r;
    options->launch.argv = argv + optind;
    options->launch.envp = options->environment;
    options->launch.faults = options->faults.count ? &options->faults : NULL;
    return 0;
}

void run_options_free(struct run_options *options)
{
    free(options->environment);
    pk_net_rules_free(&options->launch.net_rules);
    pk_faults_free(&options->faults);
    trace_options_free(&options->trace);
    profile_free(&options->profile);
}

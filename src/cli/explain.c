#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/run-options.h"

static const char explain_help[] =
    "usage: cerebro explain [--json] PROFILE...\n"
    "\n"
    "Says what a profile allows and denies, where each line of it comes from, and which options of\n"
    "`cerebro run` do the same. PROFILE is a name or the path of a file; several are added up as\n"
    "--profile does. Paths are those of this user in this directory.\n"
    "\n"
    "  --json    as one JSON object\n";

static const char *const layers[] = {"shipped", "the user's", "file"};

/* "  (base.yaml:12)" */
static void add_origin(struct strbuf *out, const struct profile *profile,
                       const struct profile_origin *origin)
{
    const char *path = profile->files[origin->file].path;
    const char *slash = strrchr(path, '/');

    if (origin->line)
        strbuf_addf(out, "  (%s:%u)", slash ? slash + 1 : path, origin->line);
    else
        strbuf_add_string(out, "  (default)");
    strbuf_add_string(out, "\n");
}

static void add_line(struct strbuf *out, const struct profile *profile, const char *text,
                     const struct profile_origin *origin)
{
    strbuf_addf(out, "  %-44s", text);
    add_origin(out, profile, origin);
}

static const char *kind_text(enum profile_path_kind kind)
{
    static const char *const texts[] = {[PROFILE_READ] = "reads",
                                        [PROFILE_WRITE] = "reads and writes",
                                        [PROFILE_CREATE] = "reads and writes",
                                        [PROFILE_HIDE] = "cannot look into",
                                        [PROFILE_SCRATCH] = "has an empty directory at",
                                        [PROFILE_DIRECTORY] = "finds an empty directory",
                                        [PROFILE_DROP] = ""};

    return texts[kind];
}

static void add_paths_of(struct strbuf *out, const struct profile *profile,
                         enum profile_path_kind kind)
{
    if (kind == PROFILE_DIRECTORY && !profile->minimal_view.value)
        return;
    for (size_t i = 0; i < profile->path_count; i++) {
        const struct profile_path *path = &profile->paths[i];
        cleanup_strbuf struct strbuf text = {0};
        bool needs = kind < PROFILE_SCRATCH;

        if (path->kind != kind)
            continue;
        strbuf_addf(&text, "%s %s", kind_text(kind), path->path);
        if (needs && access(path->path, F_OK) < 0)
            strbuf_add_string(&text,
                              kind == PROFILE_CREATE ? " (will be made)" : " (not there now)");
        add_line(out, profile, strbuf_text(&text), &path->origin);
    }
}

static void add_paths(struct strbuf *out, const struct profile *profile)
{
    add_line(out, profile,
             profile->minimal_view.value
                 ? "sees nothing but what is listed, its program, /tmp, /proc, /sys and /dev"
                 : "sees the files of the host; what it writes is thrown away",
             &profile->minimal_view.origin);
    for (int kind = PROFILE_READ; kind < PROFILE_DROP; kind++)
        add_paths_of(out, profile, (enum profile_path_kind)kind);
}

/* Without a mode it is the rules that say which network there is. */
static const struct profile_origin *network_origin(const struct profile *profile)
{
    return profile->network.origin.line || profile->rule_count == 0 ? &profile->network.origin
                                                                    : &profile->rules[0].origin;
}

static void add_network(struct strbuf *out, const struct profile *profile)
{
    bool host = profile_has_network(profile);

    strbuf_add_string(out, "Network\n");
    add_line(out, profile, host ? "that of the host" : "none", network_origin(profile));
    for (size_t i = 0; i < profile->rule_count; i++) {
        cleanup_strbuf struct strbuf text = {0};

        strbuf_addf(&text, "%s%s %s", host ? "" : "with --net host ",
                    profile->rules[i].allow ? "allowed:" : "denied:", profile->rules[i].text);
        add_line(out, profile, strbuf_text(&text), &profile->rules[i].origin);
    }
}

static void add_limits(struct strbuf *out, const struct profile *profile)
{
    bool any = false;

    strbuf_add_string(out, "Limits\n");
    for (int i = 0; i < PK_LIMIT_COUNT; i++) {
        bool is_size = i == PK_LIMIT_MEMORY || i == PK_LIMIT_FSIZE || i == PK_LIMIT_IO;
        char size[32], text[64];

        if (profile->limits[i].origin.line == 0)
            continue;
        any = true;
        pk_limit_format((enum pk_limit)i, profile->limits[i].value, size);
        if (i == PK_LIMIT_CPU || i == PK_LIMIT_PIDS || i == PK_LIMIT_FILES)
            snprintf(size, sizeof(size), "%" PRIu64 "%s", profile->limits[i].value,
                     i == PK_LIMIT_CPU ? " seconds" : "");
        snprintf(text, sizeof(text), "%s: %s", pk_limit_name((enum pk_limit)i),
                 is_size ? cli_format_size(profile->limits[i].value, size) : size);
        add_line(out, profile, text, &profile->limits[i].origin);
    }
    if (!any)
        strbuf_add_string(out, "  none\n");
}

static void add_environment(struct strbuf *out, const struct profile *profile)
{
    static const char *const verbs[] = {"sets", "takes out", "keeps"};

    strbuf_add_string(out, "Environment\n");
    add_line(out, profile,
             profile->clear_environment.value ? "empty but for what follows" : "that of the user",
             &profile->clear_environment.origin);
    for (size_t i = 0; i < profile->variable_count; i++) {
        const struct profile_variable *variable = &profile->variables[i];
        cleanup_strbuf struct strbuf text = {0};

        strbuf_addf(&text, "%s %s%s%s", verbs[variable->kind], variable->name,
                    variable->value ? "=" : "", variable->value ? variable->value : "");
        add_line(out, profile, strbuf_text(&text), &variable->origin);
    }
}

static const char *error_name(int errnum)
{
    const char *name = abi_errno_name(errnum);

    return name ? name : "EPERM";
}

static void add_rest(struct strbuf *out, const struct profile *profile)
{
    strbuf_add_string(out, "Personality\n");
    strbuf_add_string(out, "  linux\n");
    if (profile->uid.origin.line) {
        char text[64];

        snprintf(text, sizeof(text), "believes to be user %" PRIu64 ", group %" PRIu64,
                 profile->uid.value, profile->gid.value);
        add_line(out, profile, text, &profile->uid.origin);
    }
    strbuf_add_string(out, "System calls\n");
    if (profile->denied_count == 0)
        strbuf_add_string(out, "  none is denied by the profile\n");
    for (size_t i = 0; i < profile->denied_count; i++) {
        char text[96];

        snprintf(text, sizeof(text), "%s fails with %s",
                 abi_syscall_by_nr(profile->denied[i].nr)->name,
                 error_name(profile->denied[i].errnum));
        add_line(out, profile, text, &profile->denied[i].origin);
    }
}

/* ---- the same by hand ---- */

/* In quotes where a shell would take it apart. */
static void add_word(struct strbuf *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:=,+@%";

    strbuf_add_string(out, " ");
    if (word[0] && word[strspn(word, plain)] == '\0') {
        strbuf_add_string(out, word);
        return;
    }
    strbuf_add_string(out, "'");
    for (; *word; word++)
        strbuf_addf(out, *word == '\'' ? "'\\%c'" : "%c", *word);
    strbuf_add_string(out, "'");
}

static void add_option(struct strbuf *out, const char *option, const char *value, const char *tail)
{
    cleanup_strbuf struct strbuf word = {0};

    strbuf_addf(&word, "%s%s", value, tail);
    strbuf_addf(out, " %s", option);
    add_word(out, strbuf_text(&word));
}

/* --bind takes a path apart at colons. */
static void add_bind_option(struct strbuf *out, const char *path)
{
    cleanup_strbuf struct strbuf source = {0};

    for (; *path; path++)
        strbuf_addf(&source, "%s%c", *path == ':' || *path == '\\' ? "\\" : "", *path);
    add_option(out, "--bind", strbuf_text(&source), ":ro");
}

static void add_path_option(struct strbuf *out, const struct profile_path *path)
{
    switch (path->kind) {
    case PROFILE_READ:
        if (access(path->path, F_OK) == 0)
            add_bind_option(out, path->path);
        break;
    case PROFILE_WRITE:
        if (access(path->path, F_OK) == 0)
            add_option(out, "--write", path->path, "");
        break;
    case PROFILE_CREATE: /* there is no option that makes it: whoever lacks it is told */
        add_option(out, "--write", path->path, "");
        break;
    case PROFILE_HIDE:
        add_option(out, "--hide", path->path, "");
        break;
    case PROFILE_SCRATCH:
        add_option(out, "--scratch", path->path, "");
        break;
    case PROFILE_DIRECTORY: /* on the way to something, or for a program that looks only */
    case PROFILE_DROP:
        break;
    }
}

static bool is_kept(const struct profile *profile, const char *text, size_t length)
{
    for (size_t i = 0; i < profile->variable_count; i++)
        if (profile->variables[i].kind == PROFILE_ENV_KEEP &&
            strlen(profile->variables[i].name) == length &&
            memcmp(profile->variables[i].name, text, length) == 0)
            return true;
    return false;
}

extern char **environ;

static void add_environment_options(struct strbuf *out, const struct profile *profile)
{
    if (profile->clear_environment.value)
        strbuf_add_string(out, " --clear-env");
    for (char **text = environ; profile->clear_environment.value && *text; text++)
        if (is_kept(profile, *text, strcspn(*text, "=")))
            add_option(out, "--env", *text, "");
    for (size_t i = 0; i < profile->variable_count; i++) {
        const struct profile_variable *variable = &profile->variables[i];
        cleanup_strbuf struct strbuf word = {0};

        strbuf_addf(&word, "%s=%s", variable->name, variable->value ? variable->value : "");
        if (variable->kind == PROFILE_ENV_SET)
            add_option(out, "--env", strbuf_text(&word), "");
        else if (variable->kind == PROFILE_ENV_UNSET)
            add_option(out, "--unset", variable->name, "");
    }
}

static void add_value_options(struct strbuf *out, const struct profile *profile)
{
    bool host = profile_has_network(profile);
    char value[32];

    if (host)
        strbuf_add_string(out, " --net host");
    for (size_t i = 0; host && i < profile->rule_count; i++)
        add_option(out, profile->rules[i].allow ? "--allow-net" : "--deny-net",
                   profile->rules[i].text, "");
    for (int i = 0; i < PK_LIMIT_COUNT; i++)
        if (profile->limits[i].origin.line)
            strbuf_addf(out, " --limit %s=%s", pk_limit_name((enum pk_limit)i),
                        pk_limit_format((enum pk_limit)i, profile->limits[i].value, value));
    if (profile->uid.origin.line)
        strbuf_addf(out, " --uid %" PRIu64 ":%" PRIu64, profile->uid.value, profile->gid.value);
    for (size_t i = 0; i < profile->denied_count; i++)
        strbuf_addf(out, " --deny %s=%s", abi_syscall_by_nr(profile->denied[i].nr)->name,
                    error_name(profile->denied[i].errnum));
}

static void add_command(struct strbuf *out, const struct profile *profile)
{
    strbuf_add_string(out, "cerebro run");
    if (profile->report_only.value)
        strbuf_add_string(out, " --report-only");
    if (profile->minimal_view.value)
        strbuf_add_string(out, " --view minimal");
    for (size_t i = 0; i < profile->path_count; i++)
        add_path_option(out, &profile->paths[i]);
    add_value_options(out, profile);
    add_environment_options(out, profile);
    strbuf_add_string(out, " -- PROGRAM");
}

/* ---- the whole ---- */

static void print_text(const struct profile *profile)
{
    cleanup_strbuf struct strbuf out = {0};

    strbuf_addf(&out, "%s%s%s\n", profile->name, profile->description ? ": " : "",
                profile->description ? profile->description : "");
    for (unsigned i = 0; i < profile->file_count; i++)
        strbuf_addf(&out, "  %s (%s)\n", profile->files[i].path, layers[profile->files[i].layer]);
    add_line(&out, profile,
             profile->report_only.value ? "on trial: what it denies is told and let through"
                                        : "in force",
             &profile->report_only.origin);
    strbuf_add_string(&out, "The program\n");
    add_paths(&out, profile);
    add_network(&out, profile);
    add_limits(&out, profile);
    add_environment(&out, profile);
    add_rest(&out, profile);
    strbuf_add_string(&out, "The same by hand\n  ");
    add_command(&out, profile);
    printf("%s\n", strbuf_text(&out));
}

static void add_member(struct strbuf *out, const char *name, const char *text)
{
    strbuf_addf(out, "\"%s\":\"", name);
    strbuf_add_json(out, text);
    strbuf_add_string(out, "\"");
}

static void add_json_origin(struct strbuf *out, const struct profile *profile,
                            const struct profile_origin *origin)
{
    if (origin->line == 0)
        return;
    strbuf_add_string(out, ",");
    add_member(out, "file", profile->files[origin->file].path);
    strbuf_addf(out, ",\"line\":%u,\"layer\":\"%s\"", origin->line,
                layers[profile->files[origin->file].layer]);
}

static void add_json_value(struct strbuf *out, const struct profile *profile, const char *name,
                           const char *value, const struct profile_origin *origin)
{
    strbuf_addf(out, ",\"%s\":{", name);
    add_member(out, "value", value);
    add_json_origin(out, profile, origin);
    strbuf_add_string(out, "}");
}

static void add_json_lists(struct strbuf *out, const struct profile *profile)
{
    static const char *const kinds[] = {"set", "unset", "keep"};

    strbuf_add_string(out, ",\"paths\":[");
    for (size_t i = 0; i < profile->path_count; i++) {
        strbuf_add_string(out, i ? ",{" : "{");
        add_member(out, "kind", profile_path_key(profile->paths[i].kind));
        strbuf_add_string(out, ",");
        add_member(out, "path", profile->paths[i].path);
        add_json_origin(out, profile, &profile->paths[i].origin);
        strbuf_addf(out, ",\"exists\":%s}",
                    access(profile->paths[i].path, F_OK) == 0 ? "true" : "false");
    }
    strbuf_add_string(out, "],\"rules\":[");
    for (size_t i = 0; i < profile->rule_count; i++) {
        strbuf_addf(out, "%s{\"allow\":%s,", i ? "," : "",
                    profile->rules[i].allow ? "true" : "false");
        add_member(out, "rule", profile->rules[i].text);
        add_json_origin(out, profile, &profile->rules[i].origin);
        strbuf_add_string(out, "}");
    }
    strbuf_add_string(out, "],\"environment\":[");
    for (size_t i = 0; i < profile->variable_count; i++) {
        const struct profile_variable *variable = &profile->variables[i];

        strbuf_addf(out, "%s{\"kind\":\"%s\",", i ? "," : "", kinds[variable->kind]);
        add_member(out, "name", variable->name);
        strbuf_add_string(out, ",");
        add_member(out, "value", variable->value ? variable->value : "");
        add_json_origin(out, profile, &variable->origin);
        strbuf_add_string(out, "}");
    }
    strbuf_add_string(out, "],\"denied_calls\":[");
    for (size_t i = 0; i < profile->denied_count; i++) {
        strbuf_addf(out, "%s{\"call\":\"%s\",\"errno\":\"%s\"", i ? "," : "",
                    abi_syscall_by_nr(profile->denied[i].nr)->name,
                    error_name(profile->denied[i].errnum));
        add_json_origin(out, profile, &profile->denied[i].origin);
        strbuf_add_string(out, "}");
    }
    strbuf_add_string(out, "]");
}

static void add_json_limits(struct strbuf *out, const struct profile *profile)
{
    bool any = false;

    strbuf_add_string(out, ",\"limits\":{");
    for (int i = 0; i < PK_LIMIT_COUNT; i++) {
        if (profile->limits[i].origin.line == 0)
            continue;
        strbuf_addf(out, "%s\"%s\":{\"value\":%" PRIu64, any ? "," : "",
                    pk_limit_name((enum pk_limit)i), profile->limits[i].value);
        add_json_origin(out, profile, &profile->limits[i].origin);
        strbuf_add_string(out, "}");
        any = true;
    }
    strbuf_add_string(out, "}");
}

static void print_json(const struct profile *profile)
{
    cleanup_strbuf struct strbuf out = {0};
    cleanup_strbuf struct strbuf command = {0};

    strbuf_add_string(&out, "{");
    add_member(&out, "name", profile->name);
    strbuf_add_string(&out, ",");
    add_member(&out, "description", profile->description ? profile->description : "");
    strbuf_add_string(&out, ",\"files\":[");
    for (unsigned i = 0; i < profile->file_count; i++) {
        strbuf_add_string(&out, i ? ",{" : "{");
        add_member(&out, "path", profile->files[i].path);
        strbuf_addf(&out, ",\"layer\":\"%s\"}", layers[profile->files[i].layer]);
    }
    strbuf_add_string(&out, "]");
    add_json_value(&out, profile, "mode", profile->report_only.value ? "report" : "enforce",
                   &profile->report_only.origin);
    add_json_value(&out, profile, "view", profile->minimal_view.value ? "minimal" : "host",
                   &profile->minimal_view.origin);
    add_json_value(&out, profile, "network", profile_has_network(profile) ? "host" : "none",
                   network_origin(profile));
    add_json_value(&out, profile, "clear_environment",
                   profile->clear_environment.value ? "true" : "false",
                   &profile->clear_environment.origin);
    add_json_limits(&out, profile);
    add_json_lists(&out, profile);
    add_command(&command, profile);
    strbuf_add_string(&out, ",");
    add_member(&out, "command", strbuf_text(&command));
    printf("%s}\n", strbuf_text(&out));
}

static int explain(int argc, char **argv)
{
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};
    struct run_places places;
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int first = json ? 2 : 1;

    if (first >= argc)
        return cli_usage("explain", "name a profile");
    run_places_find(&places);
    for (int i = first; i < argc; i++) {
        if (argv[i][0] == '-')
            return cli_usage("explain", "there is no option '%s'", argv[i]);
        if (profile_load(&profile, argv[i], &places.places, &error) < 0) {
            cli_print_error(&error);
            return 1;
        }
    }
    if (json)
        print_json(&profile);
    else
        print_text(&profile);
    return 0;
}

const struct cli_command cli_explain_command = {
    .name = "explain",
    .summary = "what a profile allows and denies, and why",
    .help = explain_help,
    .run = explain,
};

/*
 * A run in which a profile is tried out: nothing is refused, and what would have been is told. The
 * rules are those of the view that is not built: each path is judged by the longest rule above it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

enum rule_kind {
    RULE_HIDDEN,
    RULE_READ_ONLY,
    RULE_WRITABLE,
    RULE_SCRATCH, /* will be empty when the program starts, and shows what the host has there now */
};

struct rule {
    enum rule_kind kind;
    char *path; /* canonical guest path */
    size_t length;
};

struct report_only {
    struct pk_kernel *kernel;
    const struct launch_options *options; /* borrowed */
    struct pk_observer observer;
    bool minimal;
    struct rule *rules;
    size_t count;
};

static bool is_below(const char *path, const struct rule *rule)
{
    return strncmp(path, rule->path, rule->length) == 0 &&
           (path[rule->length] == '/' || path[rule->length] == '\0');
}

/* A directory on the way to something visible is visible itself. */
static bool is_on_the_way(const struct report_only *report, const char *path)
{
    size_t length = strcmp(path, "/") == 0 ? 0 : strlen(path);

    for (size_t i = 0; i < report->count; i++)
        if (report->rules[i].length > length && strncmp(report->rules[i].path, path, length) == 0 &&
            report->rules[i].path[length] == '/')
            return true;
    return false;
}

/* Later rules cover earlier ones of the same length, as mounts do; hidden paths come last. */
static const struct rule *rule_of(const struct report_only *report, const char *path)
{
    const struct rule *found = NULL;

    for (size_t i = 0; i < report->count; i++) {
        const struct rule *rule = &report->rules[i];

        if (!is_below(path, rule))
            continue;
        if (rule->kind == RULE_HIDDEN)
            return rule;
        if (found == NULL || rule->length >= found->length)
            found = rule;
    }
    return found;
}

static void tell(struct report_only *report, int error, const char *rule, const char *allow,
                 enum pk_seen how, const char *path)
{
    static const char *const verbs[] = {
        [PK_SEEN_LOOK] = "look at", [PK_SEEN_READ] = "read", [PK_SEEN_WRITE] = "write to"};

    pk_report(report->kernel, report->kernel->current_request, error, rule, allow, "%s %s",
              verbs[how], path);
}

/*
 * What the host has below a scratch directory will not be there; what the program has made there
 * will. A file of the host that it has written over counts as the host's: that it did so is not
 * seen.
 */
static bool will_be_missing(const struct report_only *report, const struct rule *rule,
                            const char *path, enum pk_seen how)
{
    char host[PATH_MAX];
    struct stat stat;

    return rule && rule->kind == RULE_SCRATCH && how != PK_SEEN_WRITE &&
           path[rule->length] == '/' && !is_on_the_way(report, path) &&
           view_host_path(report->options, path, host) == 0 && lstat(host, &stat) == 0;
}

static void judge(void *user, const char *path, enum pk_seen how)
{
    struct report_only *report = user;
    const struct rule *rule = rule_of(report, path);

    if (will_be_missing(report, rule, path, how))
        tell(report, -ENOENT, "it is in a scratch directory, which is empty at first",
             "show it with --bind PATH:ro", how == PK_SEEN_LINK ? PK_SEEN_LOOK : how, path);
    if (how == PK_SEEN_LINK)
        return; /* what it leads to is judged */
    if (rule && rule->kind == RULE_HIDDEN)
        tell(report, -EACCES, "it is hidden", "take it from --hide or from the profile", how, path);
    else if (rule && rule->kind == RULE_READ_ONLY && how == PK_SEEN_WRITE)
        tell(report, -EROFS, "it is read-only", "show it with --write", how, path);
    else if (rule == NULL && report->minimal &&
             (how != PK_SEEN_LOOK || !is_on_the_way(report, path)))
        tell(report, how == PK_SEEN_WRITE ? -EROFS : -ENOENT, "it is not part of the minimal view",
             how == PK_SEEN_WRITE ? "show it with --write" : "show it with --bind PATH:ro", how,
             path);
}

static int add_rule(struct report_only *report, struct vfs *vfs, enum rule_kind kind,
                    const char *path)
{
    cleanup_place struct vfs_place *place = NULL;
    struct rule *rule = &report->rules[report->count];
    int r = view_canonical(vfs, path, &place);

    if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
        return 0;
    if (r < 0)
        return r;
    *rule = (struct rule){.kind = kind, .path = strdup(vfs_place_path(place))};
    if (rule->path == NULL)
        return -ENOMEM;
    rule->length = strcmp(rule->path, "/") == 0 ? 0 : strlen(rule->path);
    report->count++;
    return 0;
}

static enum rule_kind kind_of(struct vfs *vfs, const struct launch_options *options,
                              const struct launch_bind *bind)
{
    if (bind->kind == LAUNCH_SCRATCH)
        return view_shows_host(vfs, options, bind->target) ? RULE_SCRATCH : RULE_WRITABLE;
    return bind->read_only ? RULE_READ_ONLY : RULE_WRITABLE;
}

static int add_binds(struct report_only *report, struct vfs *vfs,
                     const struct launch_options *options)
{
    static const char *const own[] = {"/tmp", "/proc", "/sys", "/dev"};
    int r = 0;

    for (size_t i = 0; r == 0 && i < array_length(own); i++)
        r = add_rule(report, vfs, RULE_WRITABLE, own[i]);
    for (unsigned i = 0; r == 0 && i < options->bind_count; i++) {
        const struct launch_bind *bind = &options->binds[i];

        if (bind->kind != LAUNCH_DIRECTORY)
            r = add_rule(report, vfs, kind_of(vfs, options, bind),
                         bind->target ? bind->target : bind->source);
    }
    return r;
}

static int add_rules(struct report_only *report, struct vfs *vfs,
                     const struct launch_options *options)
{
    cleanup_free char *program = NULL;
    int r = add_binds(report, vfs, options);

    if (r == 0 && report->minimal && strchr(options->argv[0], '/'))
        program = realpath(options->argv[0], NULL);
    if (program)
        r = add_rule(report, vfs, RULE_READ_ONLY, program);
    for (unsigned i = 0; r == 0 && i < options->hidden_count; i++)
        r = add_rule(report, vfs, RULE_HIDDEN, options->hidden[i]);
    return r;
}

static void tell_descriptor(struct report_only *report, int directory, const char *number)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(directory, number, target, sizeof(target) - 1);

    if (length >= 0)
        pk_report(report->kernel, NULL, -EBADF,
                  "descriptors above 2 do not come into a minimal view",
                  "let the program open the file, and show it with --bind PATH:ro",
                  "descriptor %s (%.*s)", number, (int)length, target);
}

/* Our own are closed on exec; what is not is what the program inherits now. */
static void tell_descriptors(struct report_only *report)
{
    cleanup_dir DIR *directory = report->minimal ? opendir("/proc/self/fd") : NULL;
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        uint64_t fd;

        if (io_parse_u64(entry->d_name, INT_MAX, &fd) == 0 && fd > STDERR_FILENO &&
            fcntl((int)fd, F_GETFD) == 0)
            tell_descriptor(report, dirfd(directory), entry->d_name);
    }
}

#define OTHER_RULES 8 /* the view's own places and the program */

int report_only_start(struct pk_kernel *kernel, struct vfs *vfs,
                      const struct launch_options *options, struct report_only **ret_report)
{
    struct report_only *report = calloc(1, sizeof(*report));
    int r;

    if (report == NULL)
        return -ENOMEM;
    report->kernel = kernel;
    report->options = options;
    report->minimal = options->view == LAUNCH_VIEW_MINIMAL;
    report->rules =
        calloc(options->bind_count + options->hidden_count + OTHER_RULES, sizeof(struct rule));
    r = report->rules ? add_rules(report, vfs, options) : -ENOMEM;
    if (r < 0) {
        report_only_free(report);
        return r;
    }
    report->observer = (struct pk_observer){.path = judge, .user = report};
    kernel->observer = &report->observer;
    tell_descriptors(report);
    *ret_report = report;
    return 0;
}

void report_only_free(struct report_only *report)
{
    if (report == NULL)
        return;
    report->kernel->observer = NULL;
    for (size_t i = 0; i < report->count; i++)
        free(report->rules[i].path);
    free(report->rules);
    free(report);
}

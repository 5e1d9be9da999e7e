/*
 * Limits of a process that runs already: soft limits of the host. They are checked before anything
 * is done to the process, and set by its keeper.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "base/io.h"

static const struct {
    const char *name;
    int resource;
} limits[CHANNEL_LIMIT_COUNT] = {
    [CHANNEL_LIMIT_MEMORY] = {"memory", RLIMIT_AS},
    [CHANNEL_LIMIT_FILES] = {"files", RLIMIT_NOFILE},
    [CHANNEL_LIMIT_CPU] = {"cpu", RLIMIT_CPU},
    [CHANNEL_LIMIT_FSIZE] = {"fsize", RLIMIT_FSIZE},
};

const char *limit_name(enum channel_limit limit)
{
    return limits[limit].name;
}

int limit_resource(enum channel_limit limit)
{
    return limits[limit].resource;
}

static int parse_limit(const char *name, const char *value, struct channel_rules *rules,
                       struct base_error *error)
{
    if (strcmp(name, "pids") == 0)
        return base_fail(error, EINVAL, "start the program with cerebro run --limit pids=N",
                         "pids cannot be limited on a running process: the host counts those of "
                         "a user, or of a cgroup that a program is started in");
    for (size_t i = 0; i < CHANNEL_LIMIT_COUNT; i++) {
        uint64_t number;

        if (strcmp(name, limits[i].name) != 0)
            continue;
        if (io_parse_size(value, &number) < 0 || number == 0)
            return base_fail(error, EINVAL, NULL, "limit %s: '%s' is not a positive number", name,
                             value);
        rules->limits[i] = number;
        return 0;
    }
    return base_fail(error, EINVAL, "use memory, files, cpu or fsize", "there is no limit '%s'",
                     name);
}

int attach_parse_limits(const char *text, struct channel_rules *rules, struct base_error *error)
{
    cleanup_free char *copy = strdup(text);
    char *save = NULL;
    int r = copy ? 0 : -ENOMEM;

    for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item && r == 0;
         item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');

        if (equals == NULL)
            return base_fail(error, EINVAL, NULL, "a limit is NAME=VALUE, not '%s'", item);
        *equals = '\0';
        r = parse_limit(item, equals + 1, rules, error);
    }
    return r;
}

/* The host counts processor time from the start of the process; we from now on. */
static uint64_t seconds_used(pid_t pid)
{
    struct timespec used = {0};
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0)
        clock_gettime(clock, &used);
    return (uint64_t)used.tv_sec;
}

int limit_plan(pid_t pid, enum channel_limit limit, uint64_t value, struct rlimit *ret_now,
               struct rlimit *ret_wanted, struct base_error *error)
{
    struct rlimit now;

    if (prlimit(pid, limits[limit].resource, NULL, &now) < 0)
        return base_fail(error, errno, NULL, "limit %s: %s", limits[limit].name, strerror(errno));
    if (limit == CHANNEL_LIMIT_CPU)
        value += seconds_used(pid);
    if (value > now.rlim_max)
        return base_fail(error, EINVAL, "give it less",
                         "limit %s: process %d may not have more than %" PRIu64, limits[limit].name,
                         pid, (uint64_t)now.rlim_max);
    *ret_now = now;
    *ret_wanted = (struct rlimit){.rlim_cur = value, .rlim_max = now.rlim_max};
    return 0;
}

int limits_check(const struct target *target, const struct channel_rules *rules,
                 struct base_error *error)
{
    uint64_t memory = rules->limits[CHANNEL_LIMIT_MEMORY];

    if (memory && target->memory > memory)
        return base_fail(error, EINVAL, "allow it more than it has",
                         "process %d has %llu bytes of address space already, more than the limit "
                         "of %llu",
                         target->pid, (unsigned long long)target->memory,
                         (unsigned long long)memory);
    for (int i = 0; i < CHANNEL_LIMIT_COUNT; i++) {
        struct rlimit now;
        struct rlimit wanted;
        struct base_error local = {0};

        if (rules->limits[i] == 0 || limit_plan(target->pid, (enum channel_limit)i,
                                                rules->limits[i], &now, &wanted, &local) != -EINVAL)
            continue; /* what may not be asked may not be traced either: a better reason */
        *error = local;
        return -EINVAL;
    }
    return 0;
}

/* --limit: what the tree may use. */
#include <string.h>

#include "cli/cli.h"
#include "cli/run-options.h"
#include "core/limit-values.h"

static int set_limit(struct pk_limits *limits, const char *name, const char *value)
{
    int limit = pk_limit_find(name);
    uint64_t number;

    if (limit < 0)
        return cli_usage(
            "run", "--limit knows memory, pids, files, cpu, fsize, wall, cpus and io, not '%s'",
            name);
    if (pk_limit_parse((enum pk_limit)limit, value, &number) < 0)
        return cli_usage("run", "--limit %s: '%s' is not %s", name, value,
                         pk_limit_hint((enum pk_limit)limit));
    *pk_limit_field(limits, (enum pk_limit)limit) = number;
    return 0;
}

int run_set_limits(struct pk_limits *limits, char *text)
{
    char *save = NULL;

    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');
        int r;

        if (equals == NULL)
            return cli_usage("run", "--limit takes NAME=VALUE, not '%s'", item);
        *equals = '\0';
        r = set_limit(limits, item, equals + 1);
        if (r)
            return r;
    }
    return 0;
}

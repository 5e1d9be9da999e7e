/* `cerebro run --mount TYPE:SOURCE:/PATH[:ro|:rw]`. */
#include <string.h>

#include "cli/cli.h"
#include "cli/run-options.h"

#define ARCHIVE "archive:"

/* Takes ":rw" or ":ro" from the end. Returns whether it was ":rw". */
static bool take_writable(char *text)
{
    char *colon = strrchr(text, ':');
    bool writable = colon && strcmp(colon, ":rw") == 0;

    if (writable || (colon && strcmp(colon, ":ro") == 0))
        *colon = '\0';
    return writable;
}

/* The last ":/": a name of a file may have colons, too. */
static char *find_target(char *text)
{
    char *found = NULL;

    for (char *at = strstr(text, ":/"); at; at = strstr(at + 1, ":/"))
        found = at;
    return found;
}

int run_add_mount(struct run_options *options, char *text)
{
    struct launch_bind bind = {.kind = LAUNCH_ARCHIVE};
    char *target;

    if (strncmp(text, ARCHIVE, strlen(ARCHIVE)) != 0)
        return cli_usage("run", "--mount takes archive:FILE:/PATH[:rw], not '%s'", text);
    bind.source = text + strlen(ARCHIVE);
    bind.read_only = !take_writable(text + strlen(ARCHIVE));
    target = find_target(text + strlen(ARCHIVE));
    if (target == NULL || target == bind.source)
        return cli_usage("run", "--mount takes archive:FILE:/PATH[:rw]: the path is missing");
    *target = '\0';
    bind.target = target + 1;
    return run_add_bind(options, &bind) ? 0 : cli_usage("run", "more than %d binds", RUN_BINDS_MAX);
}

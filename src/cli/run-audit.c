/* The options of `cerebro run` for its audit log. */
#include <string.h>

#include "base/io.h"
#include "cli/cli.h"
#include "cli/run-options.h"

int run_set_rotation(struct audit_options *audit, char *text)
{
    uint64_t files = AUDIT_FILES_DEFAULT;
    char *comma = strchr(text, ',');
    uint64_t size;

    if (comma)
        *comma++ = '\0';
    if (io_parse_size(text, &size) < 0 || size == 0)
        return cli_usage("run", "--audit-rotate: '%s' is not a positive size", text);
    if (comma && (io_parse_u64(comma, ROTATION_FILES_MAX, &files) < 0 || files == 0))
        return cli_usage("run", "--audit-rotate keeps 1 to %d files, not '%s'", ROTATION_FILES_MAX,
                         comma);
    audit->size_max = size;
    audit->files = (unsigned)files;
    return 0;
}

/* The host's side of a view: what a bind shows. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "launch/launch-internal.h"

int view_make_on_host(const char *path, size_t start, mode_t mode)
{
    char prefix[PATH_MAX];

    for (size_t i = start + 1; path[i - 1]; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        if (i >= sizeof(prefix))
            return -ENAMETOOLONG;
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        if (mkdir(prefix, mode) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

int view_find_source(const struct launch_bind *bind, char **ret_source, struct base_error *error)
{
    bool is_missing;
    int r = 0;

    if (bind->create && access(bind->source, F_OK) < 0)
        r = view_make_on_host(bind->source, 0, 0700);
    if (r < 0)
        return base_fail(error, r, "make it yourself, or name one where you may write",
                         "cannot make %s for the program: %s", bind->source, strerror(-r));
    *ret_source = realpath(bind->source, NULL);
    is_missing = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    if (*ret_source || (bind->optional && is_missing))
        return 0;
    return base_fail(error, errno, "name a path that exists on the host",
                     "cannot open %s to the program: %s", bind->source, strerror(errno));
}

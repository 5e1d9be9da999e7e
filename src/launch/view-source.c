/* The host's side of a view: what a bind shows, and whether the view shows it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
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

int view_host_path(const struct launch_options *options, const char *path, char *host)
{
    int length = snprintf(host, PATH_MAX, "%s%s", options->root ? options->root : "", path);

    return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

bool view_shows_host(struct vfs *vfs, const struct launch_options *options, const char *path)
{
    cleanup_place struct vfs_place *place = NULL;
    struct statx shown, real;
    char host[PATH_MAX];

    return view_host_path(options, path, host) == 0 && view_canonical(vfs, path, &place) == 0 &&
           vfs_stat(place, &shown) == 0 && vfs_host_stat(vfs, host, &real) == 0 &&
           shown.stx_dev_major == real.stx_dev_major && shown.stx_dev_minor == real.stx_dev_minor &&
           shown.stx_ino == real.stx_ino;
}

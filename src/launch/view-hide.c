/*
 * Hidden paths: covered last, so that they win over every bind, and under each name that the view
 * gives them. Another hard link of a hidden file is another file here.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "launch/launch-internal.h"

/* "/a/b" below "/a": "/b"; the same: ""; elsewhere: NULL. "/" is above everything. */
static const char *below(const char *path, const char *directory)
{
    size_t length = strcmp(directory, "/") == 0 ? 0 : strlen(directory);

    if (strncmp(path, directory, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return path + length;
}

/* Covers one name of the view; one that is not there, or covered already, needs nothing. */
static int cover(struct vfs *vfs, const char *path)
{
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_fs *fs;
    mode_t type;
    int r = view_canonical(vfs, path, &place);

    if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
        return 0;
    if (r < 0)
        return r;
    if (strcmp(vfs_place_path(place), "/") == 0)
        return -EINVAL;
    type = S_ISDIR(vfs_place_type(place)) ? S_IFDIR : S_IFREG;
    r = vfs_hidden_new(vfs, type, &fs);
    return r < 0 ? r : vfs_mount(vfs, vfs_place_path(place), fs, 0, "hidden", "hidden");
}

/* What a bind shows of the hidden host path, or the bind itself when it shows a part of it. */
static int cover_bind(struct vfs *vfs, const struct launch_bind *bind, const char *hidden)
{
    cleanup_free char *source = bind->kind == LAUNCH_BIND ? realpath(bind->source, NULL) : NULL;
    const char *target = bind->target ? bind->target : source;
    const char *rest = source ? below(hidden, source) : NULL;
    char path[PATH_MAX];

    if (source && below(source, hidden))
        return cover(vfs, target);
    if (rest == NULL || bind->target == NULL)
        return 0; /* shown under its own name, if at all */
    if ((size_t)snprintf(path, sizeof(path), "%s%s", target, rest) >= sizeof(path))
        return -ENAMETOOLONG;
    return cover(vfs, path);
}

static int hide(struct vfs *vfs, const struct launch_options *options, const char *text)
{
    cleanup_free char *hidden = realpath(text, NULL);
    int r = cover(vfs, text);

    if (r == 0 && hidden && options->root == NULL)
        r = cover(vfs, hidden);
    for (unsigned i = 0; r == 0 && hidden && i < options->bind_count; i++)
        r = cover_bind(vfs, &options->binds[i], hidden);
    return r;
}

int view_hide(struct vfs *vfs, const struct launch_options *options, struct base_error *error)
{
    for (unsigned i = 0; i < options->hidden_count; i++) {
        const char *text = options->hidden[i];
        int r = text[0] == '/' ? hide(vfs, options, text) : -EINVAL;

        if (r < 0)
            return base_fail(error, r, "name an absolute path other than /", "cannot hide %s: %s",
                             text, strerror(-r));
    }
    return 0;
}

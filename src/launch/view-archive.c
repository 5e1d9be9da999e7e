/* Archives as pieces of the view. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "archive/archive.h"
#include "launch/launch-internal.h"

/* Nothing of an archive is to have more rights than the user who runs it. */
#define FLAGS (VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID)

static int open_archive(struct vfs *vfs, const char *path, struct vfs_fs **ret_fs,
                        struct base_error *error)
{
    char helper[PATH_MAX];
    struct archive *archive;
    int r = launch_archive_path(helper, sizeof(helper), error);

    if (r == 0)
        r = archive_open(path, helper, launch_is_unwanted, &archive, error);
    if (r < 0)
        return r;
    r = vfs_archive_new(vfs, archive, ret_fs);
    if (r < 0)
        archive_free(archive);
    return r;
}

/* Puts a throw-away layer over it; `fs` becomes that. */
static int make_writable(struct vfs *vfs, struct vfs_fs **fs)
{
    struct vfs_fs *upper, *overlay;
    int r = vfs_memory_new(vfs, 0, 0, 0755, &upper);

    if (r < 0)
        return r;
    r = vfs_overlay_new(vfs, *fs, upper, &overlay);
    if (r < 0) {
        vfs_fs_unref(upper);
        return r;
    }
    *fs = overlay;
    return 0;
}

int view_mount_archive(struct vfs *vfs, const struct launch_bind *bind, struct base_error *error)
{
    struct vfs_fs *fs = NULL;
    int r = view_make_directories(vfs, bind->target);

    if (r == 0)
        r = open_archive(vfs, bind->source, &fs, error);
    if (r == 0 && !bind->read_only) {
        r = make_writable(vfs, &fs);
        if (r < 0)
            vfs_fs_unref(fs);
    }
    if (r == 0)
        r = vfs_mount(vfs, bind->target, fs, FLAGS | (bind->read_only ? VFS_MOUNT_READ_ONLY : 0),
                      bind->source, "archive");
    if (r < 0)
        return base_fail(error, r, "name a directory that can be made in the view",
                         "cannot mount the archive %s at %s: %s", bind->source, bind->target,
                         strerror(-r));
    return 0;
}

/*
 * A view in which only what was named is visible: an empty root in memory, into which the pieces of
 * the host are bound.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "launch/launch-internal.h"

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */

static const struct pk_identity kernel_identity = {.effective = ~0ULL, .permitted = ~0ULL};
static const struct vfs_actor preparer = {.identity = &kernel_identity, .mask = 0};

/* A link that is there already, or cannot be made in a piece of the host, shows what it shows. */
static int make_link(struct vfs *vfs, const char *path, const char *target)
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    cleanup_place struct vfs_place *parent = NULL;
    struct vfs_walk walk = {.actor = &preparer, .root = root, .base = root, .path = path};
    char directory[PATH_MAX];
    char name[256];
    bool slash;
    int r;

    snprintf(directory, sizeof(directory), "%s", path);
    *strrchr(directory, '/') = '\0';
    r = directory[0] ? view_make_directories(vfs, directory) : 0;
    if (r == 0)
        r = vfs_resolve_parent(vfs, &walk, &parent, name, &slash);
    if (r == 0)
        r = vfs_symlink(parent, name, target, &preparer);
    return r == -EEXIST || r == -EROFS ? 0 : r;
}

/* /bin, /lib and their kind lead into /usr on a merged system: they tell nothing by themselves. */
static int make_root_links(struct vfs *vfs)
{
    cleanup_dir DIR *root = opendir("/");
    struct dirent *entry;
    int r = 0;

    if (root == NULL)
        return -errno;
    while (r == 0 && (entry = readdir(root))) {
        char path[NAME_MAX + 2];
        char target[PATH_MAX];
        ssize_t length;

        snprintf(path, sizeof(path), "/%s", entry->d_name);
        length = readlink(path, target, sizeof(target) - 1);
        if (length < 4)
            continue;
        target[length] = '\0';
        if (strncmp(target, "usr/", 4) == 0 || strncmp(target, "/usr/", 5) == 0)
            r = make_link(vfs, path, target);
    }
    return r;
}

/* Its owner and mode are those of the host's root, as those of the directories below are. */
static int dress_root(struct vfs *vfs)
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    struct statx stat;
    int r = vfs_host_stat(vfs, "/", &stat);

    if (r == 0)
        r = vfs_chown(root, stat.stx_uid, stat.stx_gid, &preparer);
    return r < 0 ? r : vfs_chmod(root, stat.stx_mode & 01777, &preparer);
}

int view_minimal_root(struct vfs *vfs, struct base_error *error)
{
    struct vfs_fs *memory;
    int r = vfs_memory_new(vfs, 0, 0, 0755, &memory);

    if (r == 0)
        r = vfs_mount(vfs, "/", memory, VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID, "tmpfs", "tmpfs");
    if (r == 0)
        r = dress_root(vfs);
    if (r == 0)
        r = make_root_links(vfs);
    if (r < 0)
        return base_fail(error, r, NULL, "cannot make an empty root: %s", strerror(-r));
    return 0;
}

int view_minimal_seal(struct vfs *vfs, struct base_error *error)
{
    int r = vfs_mount_restrict(vfs, "/", VFS_MOUNT_READ_ONLY);

    return r < 0 ? base_fail(error, r, NULL, "cannot seal the root: %s", strerror(-r)) : 0;
}

/* ---- a path with the links on its way ---- */

struct shown {
    char position[PATH_MAX]; /* canonical on the host, and the same in the view; "" is the root */
    struct strbuf rest;
    unsigned links;
};

static void step_up(struct shown *shown)
{
    char *slash = strrchr(shown->position, '/');

    if (slash)
        *slash = '\0';
}

/* The position is a link with this text: it is made in the view, and the walk goes on along it. */
static int follow(struct vfs *vfs, struct shown *shown, const char *target, const char *rest)
{
    struct strbuf next = {0};
    int r = make_link(vfs, shown->position, target);

    if (r < 0)
        return r;
    if (++shown->links > LINKS_MAX)
        return -ELOOP;
    strbuf_add_string(&next, target);
    strbuf_add_string(&next, "/");
    strbuf_add_string(&next, rest);
    if (target[0] == '/')
        shown->position[0] = '\0';
    else
        step_up(shown);
    strbuf_free(&shown->rest);
    shown->rest = next;
    return strbuf_status(&next);
}

/* Takes one component off the rest. Returns 1 at the end, 0, or a negative errno. */
static int step(struct vfs *vfs, struct shown *shown)
{
    const char *name = strbuf_text(&shown->rest) + strspn(strbuf_text(&shown->rest), "/");
    size_t length = strcspn(name, "/");
    size_t stem = strlen(shown->position);
    char target[PATH_MAX];
    ssize_t link_length;
    char *rest;

    if (length == 0)
        return 1;
    if (length == 2 && memcmp(name, "..", 2) == 0)
        step_up(shown);
    else if (length == 1 && name[0] == '.')
        ; /* stays */
    else if (stem + 1 + length >= sizeof(shown->position))
        return -ENAMETOOLONG;
    else
        snprintf(shown->position + stem, sizeof(shown->position) - stem, "/%.*s", (int)length,
                 name);
    rest = strdup(name + length);
    if (rest == NULL)
        return -ENOMEM;
    strbuf_truncate(&shown->rest, 0);
    strbuf_add_string(&shown->rest, rest);
    link_length = shown->position[0] && strlen(shown->position) > stem
                      ? readlink(shown->position, target, sizeof(target) - 1)
                      : -1;
    if (link_length >= 0) {
        int r;

        target[link_length] = '\0';
        r = follow(vfs, shown, target, rest);
        free(rest);
        return r;
    }
    free(rest);
    return strbuf_status(&shown->rest);
}

int view_show_path(struct vfs *vfs, const char *path, bool read_only)
{
    struct shown shown = {0};
    int r;

    strbuf_add_string(&shown.rest, path);
    while ((r = step(vfs, &shown)) == 0)
        ;
    strbuf_free(&shown.rest);
    if (r < 0)
        return r;
    if (shown.position[0] == '\0')
        return -EINVAL; /* the whole host is no minimal view */
    return view_mount_host(vfs, shown.position, shown.position, read_only);
}

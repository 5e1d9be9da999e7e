/*
 * What the guest sees: the host's tree beneath a throw-away layer, with private /tmp, /proc, /sys
 * and /dev, and the pieces of the host that the user opened up.
 */
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
#include "linux/linux.h"

static void release_fs(struct vfs_fs **fs)
{
    vfs_fs_unref(*fs);
}
#define cleanup_fs __attribute__((cleanup(release_fs)))

static const struct pk_identity kernel_identity = {.effective = ~0ULL, .permitted = ~0ULL};

/* The process kernel itself, while it prepares the view. */
static const struct vfs_actor preparer = {.identity = &kernel_identity, .mask = 0};

static int resolve_parent(struct vfs *vfs, const char *path, struct vfs_place **ret_parent,
                          char name[256])
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    struct vfs_walk walk = {.actor = &preparer, .root = root, .base = root, .path = path};
    bool slash;

    return vfs_resolve_parent(vfs, &walk, ret_parent, name, &slash);
}

static int exists_in_view(struct vfs *vfs, const char *path)
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_walk walk = {.actor = &preparer, .root = root, .base = root, .path = path};

    return vfs_resolve(vfs, &walk, &place);
}

/*
 * A directory on the way to something is like the host's of the same path, where there is one:
 * programs refuse a home directory that is not their user's. Else it is root's.
 */
static mode_t attributes_of_host(struct vfs *vfs, const char *path, struct pk_identity *owner)
{
    struct statx stat;

    *owner = kernel_identity;
    if (vfs_host_stat(vfs, path, &stat) < 0 || !S_ISDIR(stat.stx_mode))
        return 0755;
    owner->fsuid = stat.stx_uid;
    owner->fsgid = stat.stx_gid;
    return stat.stx_mode & 01777;
}

static int make_directory(struct vfs *vfs, const char *path)
{
    cleanup_place struct vfs_place *parent = NULL;
    struct pk_identity owner;
    struct vfs_actor maker = {.identity = &owner};
    char name[256];
    int r = exists_in_view(vfs, path);

    if (r != -ENOENT)
        return r;
    r = resolve_parent(vfs, path, &parent, name);
    if (r < 0)
        return r;
    return vfs_mkdir(parent, name, attributes_of_host(vfs, path, &owner), &maker);
}

/* mkdir -p inside the view, so that something can be mounted there. */
int view_make_directories(struct vfs *vfs, const char *path)
{
    char prefix[PATH_MAX];

    for (size_t i = 1; path[i - 1]; i++) {
        int r;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        if (i >= sizeof(prefix))
            return -ENAMETOOLONG;
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        r = make_directory(vfs, prefix);
        if (r < 0)
            return r;
        if (path[i] == '\0')
            break;
    }
    return 0;
}

static int make_file(struct vfs *vfs, const char *path)
{
    cleanup_place struct vfs_place *parent = NULL;
    char name[256];
    int r = exists_in_view(vfs, path);

    if (r != -ENOENT)
        return r;
    r = resolve_parent(vfs, path, &parent, name);
    if (r < 0)
        return r;
    return vfs_mknod(parent, name, S_IFREG | 0644, 0, &preparer);
}

int view_make_mount_point(struct vfs *vfs, const char *path, mode_t type)
{
    char directory[PATH_MAX];
    char *slash;
    int r;

    if (S_ISDIR(type))
        return view_make_directories(vfs, path);
    if (strlen(path) >= sizeof(directory))
        return -ENAMETOOLONG;
    snprintf(directory, sizeof(directory), "%s", path);
    slash = strrchr(directory, '/');
    if (slash && slash != directory) {
        *slash = '\0';
        r = view_make_directories(vfs, directory);
        if (r < 0)
            return r;
    }
    return make_file(vfs, path);
}

/* What is only read gets no mount point either. */
static const char *mount_hint(int failure, const char *otherwise)
{
    return failure == -EROFS ? "make the directory on the host first: it is missing in a place that"
                               " the program can only read"
                             : otherwise;
}

/* `fs` is consumed in every case. */
static int mount_at(struct vfs *vfs, const char *path, struct vfs_fs *fs, unsigned flags,
                    const char *source, const char *type, struct base_error *error)
{
    cleanup_fs struct vfs_fs *owned = fs;
    int r = view_make_directories(vfs, path);

    if (r == 0)
        r = vfs_mount(vfs, path, take_ptr(owned), flags, source, type);
    if (r < 0)
        base_fail(
            error, r,
            mount_hint(r, "name a directory with --root, and with --overlay one you may write"),
            "cannot mount %s at %s: %s", type, path, strerror(-r));
    return r;
}

static void add_layer(struct launch_layers *layers, struct vfs_fs *overlay, const char *path)
{
    layers->layers[layers->count].overlay = overlay;
    snprintf(layers->layers[layers->count].path, sizeof(layers->layers[0].path), "%s", path);
    layers->count++;
}

/* Takes both on success. */
static int new_overlay(struct vfs *vfs, struct vfs_fs **lower, struct vfs_fs **upper,
                       struct vfs_fs **ret_overlay)
{
    int r = vfs_overlay_new(vfs, *lower, *upper, ret_overlay);

    if (r < 0)
        return r;
    *lower = NULL;
    *upper = NULL;
    return 0;
}

static int mount_root(struct vfs *vfs, const struct launch_options *options,
                      struct launch_layers *layers, struct base_error *error)
{
    const char *root = options->root ? options->root : "/";
    cleanup_fs struct vfs_fs *lower = NULL;
    cleanup_fs struct vfs_fs *upper = NULL;
    struct vfs_fs *overlay = NULL;
    int r = vfs_host_new(vfs, root, &lower);

    if (r < 0)
        return base_fail(error, r, "name an existing directory with --root",
                         "cannot use %s as the root: %s", root, strerror(-r));
    r = options->overlay ? vfs_host_new(vfs, options->overlay, &upper)
                         : vfs_memory_new(vfs, 0, 0, 0755, &upper);
    if (r < 0)
        return base_fail(error, r, "make the directory first, and be able to write to it",
                         "cannot use %s as the overlay: %s",
                         options->overlay ? options->overlay : "memory", strerror(-r));
    r = new_overlay(vfs, &lower, &upper, &overlay);
    if (r == 0)
        r = vfs_mount(vfs, "/", overlay, VFS_MOUNT_NODEV, "overlay", "overlay");
    if (r < 0)
        return base_fail(error, r, NULL, "cannot mount the root: %s", strerror(-r));
    add_layer(layers, overlay, "");
    return 0;
}

static int mount_memory(struct vfs *vfs, const char *path, struct base_error *error)
{
    struct vfs_fs *memory;
    int r = vfs_memory_new(vfs, 0, 0, 01777, &memory);

    if (r < 0)
        return base_fail(error, r, NULL, "cannot make a memory file system: %s", strerror(-r));
    return mount_at(vfs, path, memory, VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID, "tmpfs", "tmpfs", error);
}

static int mount_made(struct vfs *vfs, const char *path, const char *type,
                      int (*make)(struct vfs *, struct vfs_fs **), struct base_error *error)
{
    struct vfs_fs *fs;
    int r = make(vfs, &fs);

    if (r < 0)
        return base_fail(error, r, NULL, "cannot make %s: %s", path, strerror(-r));
    return mount_at(vfs, path, fs, VFS_MOUNT_NOSUID, type, type, error);
}

/* /dev with the devices that the personality serves. */
static int mount_dev(struct vfs *vfs, struct base_error *error)
{
    struct vfs_fs *fs;
    int r = vfs_dev_new(vfs, &fs);

    if (r == 0)
        r = linux_kapi_add(fs);
    if (r < 0)
        return base_fail(error, r, NULL, "cannot make /dev: %s", strerror(-r));
    return mount_at(vfs, "/dev", fs, VFS_MOUNT_NOSUID, "devtmpfs", "devtmpfs", error);
}

int view_canonical(struct vfs *vfs, const char *path, struct vfs_place **ret_place)
{
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    struct vfs_walk walk = {.actor = &preparer, .root = root, .base = root, .path = path};

    return vfs_resolve(vfs, &walk, ret_place);
}

int view_mount_host(struct vfs *vfs, const char *source, const char *target, bool read_only)
{
    struct vfs_fs *fs;
    struct stat stat_buf;
    int r;

    if (stat(source, &stat_buf) < 0)
        return -errno;
    r = view_make_mount_point(vfs, target, stat_buf.st_mode);
    if (r == 0)
        r = vfs_host_new(vfs, source, &fs);
    if (r == 0)
        r = vfs_mount(vfs, target, fs,
                      VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID | (read_only ? VFS_MOUNT_READ_ONLY : 0),
                      source, "bind");
    return r;
}

static bool same_path(const struct launch_bind *bind)
{
    return bind->target == NULL || strcmp(bind->target, bind->source) == 0;
}

static int mount_host_bind(struct vfs *vfs, enum launch_view view, const struct launch_bind *bind,
                           struct base_error *error)
{
    cleanup_free char *source = NULL;
    const char *target;
    int r = view_find_source(bind, &source, error);

    if (r < 0 || source == NULL)
        return r;
    target = bind->target ? bind->target : source;
    if (target[0] != '/')
        return base_fail(error, EINVAL, "write SRC:/absolute/path",
                         "the place of %s in the view must be absolute", bind->source);
    if (view == LAUNCH_VIEW_MINIMAL && same_path(bind) && bind->source[0] == '/')
        r = view_show_path(vfs, bind->source, bind->read_only);
    else
        r = view_mount_host(vfs, source, target, bind->read_only);
    if (r == -EACCES && bind->optional)
        return 0; /* the user cannot read it, so no guest can */
    if (r < 0)
        return base_fail(error, r,
                         strcmp(target, "/") == 0 ? "name what the program needs"
                                                  : mount_hint(r, NULL),
                         "cannot bind %s at %s: %s", source, target, strerror(-r));
    return 0;
}

int view_bind(struct vfs *vfs, const struct launch_bind *bind, struct base_error *error)
{
    return mount_host_bind(vfs, LAUNCH_VIEW_HOST, bind, error);
}

/*
 * While a profile is tried out, a scratch directory hides nothing, but is as writable as it will
 * be: the host's directory beneath a throw-away layer.
 */
static int mount_transparent(struct vfs *vfs, const struct launch_options *options,
                             const char *path, struct base_error *error)
{
    cleanup_place struct vfs_place *place = NULL;
    cleanup_fs struct vfs_fs *lower = NULL;
    cleanup_fs struct vfs_fs *upper = NULL;
    struct vfs_fs *overlay;
    char host[PATH_MAX];
    int r = view_host_path(options, path, host);

    if (r == 0)
        r = vfs_host_new(vfs, host, &lower);
    if (r == 0)
        r = vfs_memory_new(vfs, 0, 0, 01777, &upper);
    if (r == 0)
        r = new_overlay(vfs, &lower, &upper, &overlay);
    if (r == 0)
        r = mount_at(vfs, path, overlay, VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID, "overlay", "overlay",
                     error);
    if (r == 0)
        r = view_canonical(vfs, path, &place);
    if (r == 0)
        r = vfs_chmod(place, 01777, &preparer);
    return r < 0 ? base_fail(error, r, NULL, "cannot show %s: %s", path, strerror(-r)) : 0;
}

static int mount_scratch(struct vfs *vfs, const struct launch_options *options, const char *path,
                         struct base_error *error)
{
    if (options->report_only && view_shows_host(vfs, options, path))
        return mount_transparent(vfs, options, path, error);
    return mount_memory(vfs, path, error);
}

static int make_empty_directory(struct vfs *vfs, const char *path, struct base_error *error)
{
    int r = view_make_directories(vfs, path);

    return r < 0 ? base_fail(error, r, mount_hint(r, NULL), "cannot make %s in the view: %s", path,
                             strerror(-r))
                 : 0;
}

static int mount_bind(struct vfs *vfs, const struct launch_options *options,
                      const struct launch_bind *bind, struct base_error *error)
{
    if (bind->kind == LAUNCH_BIND)
        return mount_host_bind(vfs, options->view, bind, error);
    if (bind->target[0] != '/')
        return base_fail(error, EINVAL, "write an absolute path", "%s is not absolute",
                         bind->target);
    if (bind->kind == LAUNCH_ARCHIVE)
        return view_mount_archive(vfs, bind, error);
    if (bind->kind == LAUNCH_SCRATCH)
        return mount_scratch(vfs, options, bind->target, error);
    return options->view == LAUNCH_VIEW_MINIMAL ? make_empty_directory(vfs, bind->target, error)
                                                : 0;
}

/*
 * While a profile is tried out, nothing is taken away: what would be read-only lies beneath a
 * throw-away layer, as the rest of the host does.
 */
static bool is_let_through(const struct launch_options *options, const struct launch_bind *bind)
{
    return options->report_only && bind->kind == LAUNCH_BIND && bind->read_only && same_path(bind);
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The place in the kept overlay that holds what is written below a directory; made when missing. */
static int kept_upper(struct vfs *vfs, const char *overlay, const char *directory,
                      struct vfs_fs **ret_upper)
{
    char path[PATH_MAX];
    size_t start = strlen(overlay);
    int r;

    if ((size_t)snprintf(path, sizeof(path), "%s%s", overlay, directory) >= sizeof(path))
        return -ENAMETOOLONG;
    r = view_make_on_host(path, start, 0755);
    return r < 0 ? r : vfs_host_new(vfs, path, ret_upper);
}

/* The current directory when it is below /tmp, malloc'ed, else NULL. */
static char *current_directory_in_tmp(void)
{
    char *cwd = getcwd(NULL, 0);

    if (cwd && is_below(cwd, "/tmp") && strcmp(cwd, "/tmp") != 0)
        return cwd;
    free(cwd);
    return NULL;
}

/*
 * It is going to have a layer of its own, in the same place of what is kept. The directories on the
 * way get their owners and modes there as by any change of the guest's; where that cannot be had,
 * kept_upper() makes them without.
 */
static void keep_current_directory(struct vfs *vfs)
{
    cleanup_free char *cwd = current_directory_in_tmp();
    cleanup_place struct vfs_place *place = NULL;
    struct statx stat;

    if (cwd && view_canonical(vfs, cwd, &place) == 0 && vfs_stat(place, &stat) == 0)
        (void)vfs_chmod(place, stat.stx_mode & 07777, &preparer);
}

/*
 * /tmp is private, but a user who stands in /tmp/work and types `cerebro run ./a.out` means that
 * file: the current directory stays visible beneath a throw-away layer.
 */
static int mount_current_directory(struct vfs *vfs, const struct launch_options *options,
                                   struct launch_layers *layers, struct base_error *error)
{
    cleanup_free char *cwd = current_directory_in_tmp();
    cleanup_fs struct vfs_fs *lower = NULL;
    cleanup_fs struct vfs_fs *upper = NULL;
    struct vfs_fs *overlay;
    int r;

    if (cwd == NULL)
        return 0;
    r = vfs_host_new(vfs, cwd, &lower);
    if (r == 0)
        r = options->overlay ? kept_upper(vfs, options->overlay, cwd, &upper)
                             : vfs_memory_new(vfs, 0, 0, 0755, &upper);
    if (r == 0)
        r = new_overlay(vfs, &lower, &upper, &overlay);
    if (r == 0)
        r = mount_at(vfs, cwd, overlay, VFS_MOUNT_NODEV | VFS_MOUNT_NOSUID, "overlay", "overlay",
                     error);
    if (r < 0)
        return base_fail(error, r, NULL, "cannot show %s: %s", cwd, strerror(-r));
    add_layer(layers, overlay, cwd);
    return 0;
}

/* A program named by a path below /tmp is shown there too. */
static int mount_program(struct vfs *vfs, const struct launch_options *options,
                         struct base_error *error)
{
    const char *program = options->argv[0];
    struct launch_bind bind = {.source = program, .target = program, .read_only = true};

    if (!is_below(program, "/tmp") || access(program, F_OK) < 0 ||
        exists_in_view(vfs, program) == 0)
        return 0;
    return mount_bind(vfs, options, &bind, error);
}

/* In a minimal view the file that was named as the program is part of it. */
static int show_program(struct vfs *vfs, const struct launch_options *options,
                        struct base_error *error)
{
    cleanup_free char *program = NULL;
    struct launch_bind bind = {.read_only = true, .optional = true};

    if (strchr(options->argv[0], '/') == NULL)
        return 0;
    program = realpath(options->argv[0], NULL);
    if (program == NULL || exists_in_view(vfs, program) == 0)
        return 0;
    bind.source = program;
    return mount_host_bind(vfs, options->view, &bind, error);
}

static int mount_own(struct vfs *vfs, const struct launch_options *options,
                     struct base_error *error)
{
    int r = mount_memory(vfs, "/tmp", error);

    if (r == 0)
        r = mount_made(vfs, "/proc", "proc", vfs_proc_new, error);
    if (r == 0)
        r = mount_made(vfs, "/sys", "sysfs", vfs_sys_new, error);
    if (r == 0 && options->debugfs)
        r = mount_made(vfs, "/sys/kernel/debug", "debugfs", vfs_debug_new, error);
    if (r == 0)
        r = mount_dev(vfs, error);
    if (r == 0)
        r = mount_memory(vfs, "/dev/shm", error);
    return r;
}

static int mount_binds(struct vfs *vfs, const struct launch_options *options,
                       struct base_error *error)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < options->bind_count; i++)
        if (!is_let_through(options, &options->binds[i]))
            r = mount_bind(vfs, options, &options->binds[i], error);
    return r;
}

static int build_host_view(struct vfs *vfs, const struct launch_options *options,
                           struct launch_layers *ret_layers, struct base_error *error)
{
    bool own_tmp = options->root == NULL;
    int r = mount_root(vfs, options, ret_layers, error);

    if (r == 0 && own_tmp && options->overlay)
        keep_current_directory(vfs);
    if (r == 0)
        r = mount_own(vfs, options, error);
    if (r == 0 && own_tmp)
        r = mount_current_directory(vfs, options, ret_layers, error);
    if (r == 0)
        r = mount_binds(vfs, options, error);
    if (r == 0 && own_tmp)
        r = mount_program(vfs, options, error);
    return r;
}

static int build_minimal_view(struct vfs *vfs, const struct launch_options *options,
                              struct base_error *error)
{
    int r = view_minimal_root(vfs, error);

    if (r == 0)
        r = mount_own(vfs, options, error);
    if (r == 0)
        r = mount_binds(vfs, options, error);
    if (r == 0)
        r = show_program(vfs, options, error);
    /* Where view_add_hosts() will put the names in rules. */
    if (r == 0 && pk_net_rules_exist(&options->net_rules))
        r = view_make_mount_point(vfs, "/etc/hosts", S_IFREG);
    return r < 0 ? r : view_minimal_seal(vfs, error);
}

int view_build(struct vfs *vfs, const struct launch_options *options,
               struct launch_layers *ret_layers, struct base_error *error)
{
    struct launch_options tried = *options;
    int r;

    if (options->report_only)
        tried.view = LAUNCH_VIEW_HOST;
    r = tried.view == LAUNCH_VIEW_MINIMAL ? build_minimal_view(vfs, &tried, error)
                                          : build_host_view(vfs, &tried, ret_layers, error);
    if (r < 0 || options->report_only)
        return r;
    return view_hide(vfs, options, error);
}

int view_cwd(const struct launch_options *options, char *path, size_t size)
{
    if (options->cwd) {
        if (options->cwd[0] != '/' || strlen(options->cwd) >= size)
            return -EINVAL;
        snprintf(path, size, "%s", options->cwd);
        return 0;
    }
    return getcwd(path, size) ? 0 : -errno;
}

/*
 * The dev file system: a fixed set of harmless host devices, handed out as real descriptors, so
 * that reading and writing them is native. They are opened (as names only) and checked to be what
 * they are called once, at the start; the host's /dev is not looked at again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/dev-internal.h"

#define TMPFS_MAGIC 0x01021994
#define CAP_CHOWN   0

static int open_host(const struct pseudo_access *access, const struct vfs_open_request *request,
                     struct vfs_opened *ret_opened);

/* Numbers from Documentation/admin-guide/devices.txt of the kernel. */
static const struct {
    struct pseudo_entry entry;
    unsigned major_number, minor_number;
} dev_hosts[] = {
    {{.path = "null", .mode = S_IFCHR | 0666, .open = open_host}, 1, 3},
    {{.path = "zero", .mode = S_IFCHR | 0666, .open = open_host}, 1, 5},
    {{.path = "full", .mode = S_IFCHR | 0666, .open = open_host}, 1, 7},
    {{.path = "random", .mode = S_IFCHR | 0666, .open = open_host}, 1, 8},
    {{.path = "urandom", .mode = S_IFCHR | 0666, .open = open_host}, 1, 9},
    {{.path = "tty", .mode = S_IFCHR | 0666, .open = dev_open_tty}, 5, 0},
    {{.path = "ptmx", .mode = S_IFCHR | 0666, .open = dev_open_ptmx}, 5, 2},
};
_Static_assert(array_length(dev_hosts) <= DEV_HOST_MAX, "a descriptor for each");

#define LINK(path_, target)                                                        \
    {                                                                              \
        .path = (path_), .mode = S_IFLNK | 0777, .generate = pseudo_generate_data, \
        .data = (target)                                                           \
    }

static const struct pseudo_entry table[] = {
    {.path = "", .mode = S_IFDIR | 0755},
    {.path = "shm", .mode = S_IFDIR | 01777}, /* a mount point */
    {.path = "pts", .mode = S_IFDIR | 0755, .directory = &dev_pts_directory},
    {.path = "pts/<pty>", .mode = S_IFCHR | 0620, .open = dev_open_terminal},
    LINK("fd", "/proc/self/fd"),
    LINK("stdin", "/proc/self/fd/0"),
    LINK("stdout", "/proc/self/fd/1"),
    LINK("stderr", "/proc/self/fd/2"),
};

/* The same device as /dev/ptmx, where newer programs look for it. */
static const struct pseudo_entry pts_ptmx = {
    .path = "pts/ptmx", .mode = S_IFCHR | 0666, .open = dev_open_ptmx};

int dev_reopen(int path_fd, int flags)
{
    char path[IO_FD_PATH_SIZE];
    int kept = O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_LARGEFILE;
    int fd = open(io_fd_path(path_fd, path), (flags & kept) | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

static int host_index(const char *name)
{
    for (size_t i = 0; i < array_length(dev_hosts); i++)
        if (strcmp(dev_hosts[i].entry.path, name) == 0)
            return (int)i;
    return -1;
}

int dev_host_fd(const struct dev_fs *fs, const char *name)
{
    int index = host_index(name);

    return index < 0 ? -1 : fs->hosts[index];
}

static int open_host(const struct pseudo_access *access, const struct vfs_open_request *request,
                     struct vfs_opened *ret_opened)
{
    int fd = dev_reopen(dev_host_fd(dev_fs_of(access), access->entry->path), request->flags);

    if (fd < 0)
        return fd;
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

static void stat_terminal(struct vfs *vfs, const struct dev_terminal *terminal, struct statx *stat)
{
    struct stat host;

    if (fstat(terminal->node, &host) < 0)
        return;
    stat->stx_mode = (uint16_t)host.st_mode;
    stat->stx_uid = terminal->uid != (uid_t)-1 ? terminal->uid : vfs_uid_to_guest(vfs, host.st_uid);
    stat->stx_gid = terminal->gid != (gid_t)-1 ? terminal->gid : vfs_gid_to_guest(vfs, host.st_gid);
    stat->stx_atime.tv_sec = host.st_atim.tv_sec;
    stat->stx_mtime.tv_sec = host.st_mtim.tv_sec;
    stat->stx_ctime.tv_sec = host.st_ctim.tv_sec;
}

static void set_number(struct statx *stat, dev_t number)
{
    stat->stx_rdev_major = major(number);
    stat->stx_rdev_minor = minor(number);
}

static int stat_hook(struct pseudo_node *node, struct statx *stat)
{
    struct dev_fs *fs = (struct dev_fs *)node->node.fs;
    const struct pseudo_entry *entry = node->item->entry;
    struct dev_served *served = dev_served_of(entry);
    struct dev_terminal *terminal;
    int index;

    if (!S_ISCHR(node->mode))
        return 0;
    if (served) {
        set_number(stat, served->device->number);
        return 0;
    }
    index = entry == &pts_ptmx ? host_index("ptmx") : host_index(entry->path);
    if (index >= 0) {
        set_number(stat, makedev(dev_hosts[index].major_number, dev_hosts[index].minor_number));
        return 0;
    }
    terminal = dev_terminal_of(fs, node);
    if (terminal == NULL)
        return -ENOENT;
    set_number(stat, terminal->number);
    stat_terminal(fs->base.fs.vfs, terminal, stat);
    return 0;
}

static const struct pseudo_hooks hooks = {.stat = stat_hook};

/* Only terminals change: mesg, login and terminal multiplexers set their mode and owner. */
static int change_terminal(struct vfs_node *vfs_node, const struct vfs_actor *actor,
                           struct dev_terminal **ret_terminal, struct statx *ret_stat)
{
    struct pseudo_node *node = pseudo_node_of(vfs_node);
    struct dev_terminal *terminal = NULL;
    int r = pseudo_stat(vfs_node, ret_stat);

    if (r < 0)
        return r;
    if (S_ISCHR(node->mode) && node->item->entry->open == dev_open_terminal)
        terminal = dev_terminal_of((struct dev_fs *)vfs_node->fs, node);
    if (terminal == NULL || !vfs_is_owner(actor, ret_stat))
        return -EPERM;
    *ret_terminal = terminal;
    return 0;
}

static int change_mode(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor)
{
    struct dev_terminal *terminal;
    char path[IO_FD_PATH_SIZE];
    struct statx stat;
    int r = change_terminal(node, actor, &terminal, &stat);

    if (r < 0)
        return r;
    return chmod(io_fd_path(terminal->node, path), mode & 0666) < 0 ? -errno : 0;
}

/* Owners are virtual: the terminal stays with the user who runs us. */
static int change_owner(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor)
{
    struct dev_terminal *terminal;
    struct statx stat;
    int r = change_terminal(node, actor, &terminal, &stat);
    bool same =
        (uid == (uid_t)-1 || uid == stat.stx_uid) && (gid == (gid_t)-1 || gid == stat.stx_gid);

    if (r < 0)
        return r;
    if (!same && !(actor->identity->effective & 1ULL << CAP_CHOWN))
        return -EPERM;
    if (uid != (uid_t)-1)
        terminal->uid = uid;
    if (gid != (gid_t)-1)
        terminal->gid = gid;
    return 0;
}

static void destroy(struct vfs_fs *vfs_fs)
{
    struct dev_fs *fs = (struct dev_fs *)vfs_fs;

    dev_terminals_free(fs);
    pseudo_fini(&fs->base);
    dev_served_free(fs);
    if (fs->test)
        dev_test_free(fs->test);
    for (size_t i = 0; i < array_length(fs->hosts); i++)
        base_close(fs->hosts[i]);
    base_close(fs->pts);
    free(fs);
}

static const struct vfs_fs_ops ops = {PSEUDO_OPS("devtmpfs", TMPFS_MAGIC, destroy),
                                      .chmod = change_mode, .chown = change_owner};

/* A device that the host lacks, or that is something else there, is missing in the guest too. */
static int add_host_devices(struct dev_fs *fs)
{
    for (size_t i = 0; i < array_length(dev_hosts); i++) {
        cleanup_close int fd = openat(fs->base.host, dev_hosts[i].entry.path, O_PATH | O_CLOEXEC);
        struct stat stat;
        int r;

        if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISCHR(stat.st_mode) ||
            stat.st_rdev != makedev(dev_hosts[i].major_number, dev_hosts[i].minor_number))
            continue;
        r = pseudo_add(&fs->base, &dev_hosts[i].entry);
        if (r >= 0 && dev_hosts[i].entry.open == dev_open_ptmx)
            r = pseudo_add(&fs->base, &pts_ptmx);
        if (r < 0)
            return r;
        fs->hosts[i] = take_fd(&fd);
    }
    return 0;
}

static int add_test_device(struct dev_fs *fs)
{
    if (!vfs_kernel(fs->base.fs.vfs)->config.test_device)
        return 0;
    fs->test = dev_test_new();
    return fs->test ? vfs_dev_add(&fs->base.fs, "cerebro-test", fs->test) : -ENOMEM;
}

static int fill(struct dev_fs *fs, struct vfs *vfs)
{
    int r = pseudo_init(&fs->base, vfs, &ops, &hooks, "/dev", table, array_length(table));

    if (r < 0)
        return r;
    if (fs->base.host < 0)
        return -ENOENT;
    fs->pts = openat(fs->base.host, "pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
    r = add_host_devices(fs);
    if (r >= 0)
        r = dev_terminals_inherit(fs);
    return r < 0 ? r : add_test_device(fs);
}

int vfs_dev_new(struct vfs *vfs, struct vfs_fs **ret_fs)
{
    struct dev_fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (fs == NULL)
        return -ENOMEM;
    list_init(&fs->terminals);
    list_init(&fs->served);
    fs->pts = -1;
    for (size_t i = 0; i < array_length(fs->hosts); i++)
        fs->hosts[i] = -1;
    r = fill(fs, vfs);
    if (r < 0) {
        if (fs->base.fs.root)
            vfs_node_unref(fs->base.fs.root);
        destroy(&fs->base.fs);
        return r;
    }
    *ret_fs = &fs->base.fs;
    return 0;
}

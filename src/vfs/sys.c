/*
 * The sys file system: what common programs read about processors, memory nodes, huge pages and
 * network interfaces, read through from the host, and a control group that shows this kernel's
 * limits (sys-cgroup.c). One line of the table for each file or host directory; all read only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vfs/sys-internal.h"

#define SYSFS_MAGIC   0x62656572
#define CGROUP2_MAGIC 0x63677270
#define HOST_INODE    (1ULL << 63)

static bool is_host_network(const struct pseudo_access *access)
{
    return pseudo_kernel(access)->config.net == PK_NET_HOST;
}

/* Path on the host of a node below a directory that is read through. */
static const char *host_path(const struct pseudo_node *node)
{
    return node->path ? node->path : node->item->entry->path;
}

/*
 * Makes the node of a host object. What not everybody may read on the host is not there. A path
 * below class/net starts with a link to the interface, which is shown as a directory.
 */
static int make_node(const struct pseudo_access *access, const char *name, int stat_flags,
                     struct pseudo_node **ret_node)
{
    struct pseudo_node *node;
    struct stat stat;
    cleanup_free char *path = NULL;

    if (asprintf(&path, "%s/%s", host_path(access->node), name) < 0)
        return -ENOMEM;
    if (fstatat(access->fs->host, path, &stat, stat_flags) < 0)
        return -ENOENT;
    if (!S_ISDIR(stat.st_mode) && !S_ISLNK(stat.st_mode) && !S_ISREG(stat.st_mode))
        return -ENOENT;
    if (!(stat.st_mode & S_IROTH))
        return -ENOENT;
    node = pseudo_node_new(access->fs, access->node->item, access->node);
    if (node == NULL)
        return -ENOMEM;
    node->node.type = stat.st_mode & S_IFMT;
    node->mode = stat.st_mode & (mode_t) ~(S_ISLNK(stat.st_mode) ? 0 : 0222);
    node->inode = (uint64_t)stat.st_ino | HOST_INODE;
    node->path = take_ptr(path);
    *ret_node = node;
    return 0;
}

static int through_lookup(const struct pseudo_access *access, const char *name,
                          struct pseudo_node **ret_node)
{
    return make_node(access, name, AT_SYMLINK_NOFOLLOW, ret_node);
}

static int list_host(const struct pseudo_access *access, struct pseudo_listing *listing,
                     int (*lookup)(const struct pseudo_access *, const char *,
                                   struct pseudo_node **))
{
    cleanup_dir DIR *dir = NULL;
    struct dirent *entry;
    bool more = true;
    int fd = openat(access->fs->host, host_path(access->node), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    dir = fdopendir(fd);
    if (dir == NULL) {
        base_close(fd);
        return -ENOMEM;
    }
    while (more && (entry = readdir(dir))) {
        struct pseudo_node *child;

        if (entry->d_name[0] == '.' || lookup(access, entry->d_name, &child) < 0)
            continue;
        more = pseudo_list(listing, entry->d_name, child->inode, child->mode);
        vfs_node_unref(&child->node);
    }
    return 0;
}

static int through_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    return list_host(access, listing, through_lookup);
}

static const struct pseudo_directory through = {through_lookup, through_list};

static int through_text(const struct pseudo_access *access, struct strbuf *ret_text)
{
    const char *path = host_path(access->node);
    char target[PATH_MAX];
    ssize_t n;

    if (!S_ISLNK(access->node->mode))
        return pseudo_host_text(access->fs, path, ret_text);
    n = readlinkat(access->fs->host, path, target, sizeof(target));
    if (n < 0)
        return -errno;
    strbuf_add(ret_text, target, (size_t)n);
    return strbuf_status(ret_text);
}

static int net_lookup(const struct pseudo_access *access, const char *name,
                      struct pseudo_node **ret_node)
{
    struct pseudo_node *node;
    int r;

    if (access->node->path == NULL && !is_host_network(access) && strcmp(name, "lo") != 0)
        return -ENOENT;
    r = make_node(access, name, access->node->path ? AT_SYMLINK_NOFOLLOW : 0, &node);
    if (r < 0)
        return r;
    if (S_ISLNK(node->mode) || (access->node->path == NULL && !S_ISDIR(node->mode))) {
        vfs_node_unref(&node->node); /* leads to devices that are not shown */
        return -ENOENT;
    }
    *ret_node = node;
    return 0;
}

static int net_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    return list_host(access, listing, net_lookup);
}

static const struct pseudo_directory net = {net_lookup, net_list};

/* What went over the host's own loopback is no business of a guest without a network. */
static int net_text(const struct pseudo_access *access, struct strbuf *ret_text)
{
    if (is_host_network(access) || strstr(host_path(access->node), "/statistics/") == NULL)
        return through_text(access, ret_text);
    strbuf_add_string(ret_text, "0\n");
    return strbuf_status(ret_text);
}

#define DIRECTORY(path_)                        \
    {                                           \
        .path = (path_), .mode = S_IFDIR | 0555 \
    }
#define THROUGH(path_)                                                    \
    {                                                                     \
        .path = (path_), .mode = S_IFDIR | 0555, .flags = PSEUDO_IF_HOST, \
        .generate = through_text, .directory = &through                   \
    }
#define CGROUP(name, function)                                                     \
    {                                                                              \
        .path = SYS_CGROUP "/" name, .mode = S_IFREG | 0444, .flags = PSEUDO_LIVE, \
        .generate = (function)                                                     \
    }
#define CGROUP_TEXT(name, text)                                                                \
    {                                                                                          \
        .path = SYS_CGROUP "/" name, .mode = S_IFREG | 0444, .generate = pseudo_generate_data, \
        .data = (text)                                                                         \
    }

static const struct pseudo_entry table[] = {
    {.path = "", .mode = S_IFDIR | 0555},
    /* A guest has no block devices; lsblk and its kind want the directories all the same. */
    DIRECTORY("block"),
    DIRECTORY("bus"),
    DIRECTORY("class"),
    DIRECTORY("class/block"),
    DIRECTORY("dev/block"),
    DIRECTORY("dev/char"),
    DIRECTORY("devices"),
    DIRECTORY("fs"),
    DIRECTORY(SYS_CGROUP),
    DIRECTORY("kernel"),
    DIRECTORY("module"),
    /* Closed to all but root, and empty, unless vfs_debug_new() is mounted there. */
    {.path = "kernel/debug", .mode = S_IFDIR | 0700},
    THROUGH("devices/system/cpu"),
    THROUGH("devices/system/node"),
    THROUGH("kernel/mm/transparent_hugepage"),
    THROUGH("kernel/mm/hugepages"),
    {.path = "class/net", .mode = S_IFDIR | 0555, .generate = net_text, .directory = &net},
    CGROUP("cgroup.procs", sys_cgroup_procs),
    CGROUP("memory.current", sys_cgroup_memory_current),
    CGROUP("memory.max", sys_cgroup_memory_max),
    CGROUP("memory.stat", sys_cgroup_memory_stat),
    CGROUP("memory.swap.max", sys_cgroup_swap_max),
    CGROUP("cpu.stat", sys_cgroup_cpu_stat),
    CGROUP("cpuset.cpus.effective", sys_cgroup_cpus),
    CGROUP("cpuset.mems.effective", sys_cgroup_mems),
    CGROUP("pids.current", sys_cgroup_pids_current),
    CGROUP("pids.max", sys_cgroup_pids_max),
    CGROUP_TEXT("cgroup.controllers", "cpuset cpu memory pids\n"),
    CGROUP_TEXT("cgroup.subtree_control", "\n"),
    CGROUP_TEXT("cgroup.type", "domain\n"),
    CGROUP_TEXT("cgroup.max.depth", "max\n"),
    CGROUP_TEXT("cgroup.max.descendants", "max\n"),
    CGROUP_TEXT("cgroup.events", "populated 1\nfrozen 0\n"),
    CGROUP_TEXT("cgroup.freeze", "0\n"),
    CGROUP_TEXT("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n"),
    CGROUP_TEXT("memory.high", "max\n"),
    CGROUP_TEXT("memory.low", "0\n"),
    CGROUP_TEXT("memory.min", "0\n"),
    CGROUP_TEXT("memory.swap.current", "0\n"),
    CGROUP_TEXT("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"),
    CGROUP_TEXT("memory.oom.group", "0\n"),
    CGROUP_TEXT("memory.swap.high", "max\n"),
    CGROUP_TEXT("cpu.max", "max 100000\n"),
    CGROUP_TEXT("cpu.weight", "100\n"),
    CGROUP_TEXT("cpuset.cpus", "\n"),
    CGROUP_TEXT("cpuset.mems", "\n"),
};

static int statfs_of(struct vfs_node *node, struct statfs *ret_statfs)
{
    const char *path = pseudo_node_of(node)->item->entry->path;
    int r = pseudo_statfs(node, ret_statfs);

    if (r >= 0 && strncmp(path, SYS_CGROUP, strlen(SYS_CGROUP)) == 0)
        ret_statfs->f_type = CGROUP2_MAGIC;
    return r;
}

static void destroy(struct vfs_fs *fs)
{
    pseudo_fini(pseudo_fs_of(fs));
    free(fs);
}

static const struct pseudo_hooks hooks = {.stat = NULL};

int vfs_sys_new(struct vfs *vfs, struct vfs_fs **ret_fs)
{
    static const struct vfs_fs_ops ops = {.name = "sysfs",
                                          .magic = SYSFS_MAGIC,
                                          .lookup = pseudo_lookup,
                                          .release = pseudo_release,
                                          .destroy = destroy,
                                          .stat = pseudo_stat,
                                          .statfs = statfs_of,
                                          .open = pseudo_open,
                                          .readlink = pseudo_readlink,
                                          .readdir = pseudo_readdir};
    struct pseudo_fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (fs == NULL)
        return -ENOMEM;
    r = pseudo_init(fs, vfs, &ops, &hooks, "/sys", table, array_length(table));
    if (r < 0) {
        if (fs->fs.root)
            vfs_node_unref(fs->fs.root);
        destroy(&fs->fs);
        return r;
    }
    *ret_fs = &fs->fs;
    return 0;
}

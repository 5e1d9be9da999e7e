#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

char *overlay_join(const char *path, const char *name)
{
    size_t head = strlen(path);
    size_t tail = strlen(name);
    char *text = malloc(head + tail + 2);

    if (!text)
        return NULL;
    memcpy(text, path, head);
    text[head] = '/';
    memcpy(text + head + 1, name, tail + 1);
    return text;
}

/* ---- tables of nodes ---- */

static struct overlay_node **bucket(struct overlay_fs *fs, const char *path)
{
    uint32_t hash = 2166136261U; /* FNV-1a */

    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619U;
    return &fs->buckets[(hash ^ hash >> 16) % OVERLAY_BUCKETS];
}

struct overlay_node *overlay_by_path(struct overlay_fs *fs, const char *path)
{
    for (struct overlay_node *node = *bucket(fs, path); node; node = node->next) {
        if (strcmp(node->path, path) == 0)
            return node;
    }
    return NULL;
}

static void hash_node(struct overlay_fs *fs, struct overlay_node *node)
{
    struct overlay_node **at = bucket(fs, node->path);

    node->next = *at;
    *at = node;
    node->in_bucket = true;
}

void overlay_unhash(struct overlay_fs *fs, struct overlay_node *node)
{
    struct overlay_node **at;

    if (!node->in_bucket)
        return;
    for (at = bucket(fs, node->path); *at != node; at = &(*at)->next)
        continue;
    *at = node->next;
    node->in_bucket = false;
}

static uint64_t upper_key(const struct vfs_node *upper)
{
    return (uint64_t)(uintptr_t)upper;
}

/* ---- nodes ---- */

static struct overlay_node *node_new(struct overlay_fs *fs, mode_t type)
{
    struct overlay_node *node = calloc(1, sizeof(*node));

    if (node)
        node->base = (struct vfs_node){.fs = &fs->base, .refs = 1, .type = type};
    return node;
}

/* Takes over what belongs to a node that could not be made. */
static int discard(struct vfs_node *upper, struct vfs_node *lower, char *path, int r)
{
    vfs_node_unref(upper);
    vfs_node_unref(lower);
    free(path);
    return r;
}

int overlay_node_lower(struct overlay_fs *fs, char *path, struct vfs_node *lower,
                       struct vfs_node **ret_node)
{
    struct overlay_node *node = path ? overlay_by_path(fs, path) : NULL;

    if (!path)
        return discard(NULL, lower, NULL, -ENOMEM);
    if (node) {
        *ret_node = vfs_node_ref(&node->base);
        return discard(NULL, lower, path, 0);
    }
    node = node_new(fs, lower->type);
    if (!node)
        return discard(NULL, lower, path, -ENOMEM);
    node->lower = lower;
    node->path = path;
    hash_node(fs, node);
    *ret_node = &node->base;
    return 0;
}

struct overlay_origin overlay_shown(struct overlay_fs *fs, const struct overlay_dir *dir,
                                    ino_t inode)
{
    const struct overlay_origin *origin = map_get(&fs->origins, inode);

    if (origin)
        return *origin;
    return (struct overlay_origin){.device = dir->device, .inode = inode | OVERLAY_NEW_INODE};
}

/* A regular file in the upper may stand for a device node. */
static mode_t shown_type(struct overlay_fs *fs, struct vfs_node *upper, struct statx *ret_stat)
{
    if (overlay_upper_stat(fs, upper, ret_stat) < 0)
        return upper->type;
    return ret_stat->stx_mode & S_IFMT;
}

int overlay_node_upper(struct overlay_fs *fs, struct overlay_dir *dir, struct vfs_node *upper,
                       struct vfs_node **ret_node)
{
    struct overlay_node *node = fs->memory ? map_get(&fs->by_upper, upper_key(upper)) : NULL;
    struct statx stat = {0};
    int r;

    if (node) {
        *ret_node = vfs_node_ref(&node->base);
        return discard(upper, NULL, NULL, 0);
    }
    r = overlay_dir_attributes(fs, dir);
    if (r < 0)
        return discard(upper, NULL, NULL, r);
    node = node_new(fs, shown_type(fs, upper, &stat));
    if (!node || (fs->memory && map_set(&fs->by_upper, upper_key(upper), node) < 0)) {
        free(node);
        return discard(upper, NULL, NULL, -ENOMEM);
    }
    node->upper = upper;
    node->shown = overlay_shown(fs, dir, stat.stx_ino);
    *ret_node = &node->base;
    return 0;
}

static dev_t stat_device(const struct statx *stat)
{
    return makedev(stat->stx_dev_major, stat->stx_dev_minor);
}

/* A merged directory shows the lower's identity, a new one a number of its own. */
static int dir_identity(struct overlay_fs *fs, struct overlay_node *node)
{
    struct statx stat;
    int r;

    if (node->lower) {
        r = fs->lower->ops->stat(node->lower, &stat);
        if (r < 0)
            return r;
        node->shown = (struct overlay_origin){.device = stat_device(&stat), .inode = stat.stx_ino};
        node->dir->device = node->shown.device;
        return 0;
    }
    r = fs->upper->ops->stat(node->upper, &stat);
    if (r < 0)
        return r;
    if (node->dir->parent) {
        r = overlay_dir_attributes(fs, node->dir->parent);
        if (r < 0)
            return r;
        node->dir->device = node->dir->parent->device;
    }
    node->shown = overlay_shown(fs, node->dir, stat.stx_ino);
    return 0;
}

static void hold_recent(struct overlay_fs *fs, struct overlay_node *node)
{
    struct overlay_node **slot = &fs->recent[fs->recent_next++ % OVERLAY_RECENT];
    struct overlay_node *old = *slot;

    *slot = node;
    vfs_node_ref(&node->base);
    vfs_node_unref(old ? &old->base : NULL);
}

int overlay_node_dir(struct overlay_fs *fs, struct overlay_dir *dir, struct vfs_node *lower,
                     char *path, struct vfs_node **ret_node)
{
    struct overlay_node *node = dir->node;
    struct vfs_node *upper = NULL;
    int r;

    if (node) {
        *ret_node = vfs_node_ref(&node->base);
        return discard(NULL, lower, path, 0);
    }
    r = overlay_dir_upper(fs, dir, &upper);
    if (r < 0)
        return discard(NULL, lower, path, r);
    node = node_new(fs, S_IFDIR);
    if (!node)
        return discard(upper, lower, path, -ENOMEM);
    if (fs->upper->ops->hold)
        fs->upper->ops->hold(upper); /* a directory that is the upper's alone can be renamed */
    node->upper = upper;
    node->lower = lower;
    node->path = path;
    node->dir = dir;
    dir->node = node;
    r = dir_identity(fs, node);
    if (r < 0) {
        vfs_node_unref(&node->base);
        return r;
    }
    if (dir->parent) /* the root lives anyhow */
        hold_recent(fs, node);
    *ret_node = &node->base;
    return 0;
}

static void overlay_node_hold(struct vfs_node *base)
{
    struct overlay_node *node = overlay_of(base);
    struct vfs_node *real = node->upper ? node->upper : node->lower;

    if (real->fs->ops->hold)
        real->fs->ops->hold(real);
}

static void overlay_release(struct vfs_node *base)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);

    if (base == fs->base.root) {
        /* The file system goes: what it holds of its own nodes goes first. */
        overlay_let_go(fs);
        for (size_t i = 0; i < OVERLAY_RECENT; i++)
            vfs_node_unref(fs->recent[i] ? &fs->recent[i]->base : NULL);
    }
    if (fs->listing.node == node)
        overlay_listing_drop(fs);
    overlay_unhash(fs, node);
    vfs_forget_origin(fs->base.vfs, node->shown.device, node->shown.inode, base);
    if (node->dir && node->dir->node == node)
        node->dir->node = NULL;
    if (fs->memory && node->upper && map_get(&fs->by_upper, upper_key(node->upper)) == node)
        map_remove(&fs->by_upper, upper_key(node->upper));
    vfs_node_unref(node->upper);
    vfs_node_unref(node->lower);
    free(node->path);
    free(node);
}

static void overlay_destroy(struct vfs_fs *base)
{
    struct overlay_fs *fs = container_of(base, struct overlay_fs, base);
    struct map_slot *slot;
    size_t cursor = 0;

    if (fs->root)
        overlay_dir_free(fs->root);
    while ((slot = map_next(&fs->origins, &cursor)))
        free(slot->value);
    map_free(&fs->origins);
    map_free(&fs->by_upper);
    vfs_fs_unref(fs->upper);
    vfs_fs_unref(fs->lower);
    free(fs);
}

/* ---- attributes ---- */

int overlay_stat(struct vfs_node *base, struct statx *ret_stat)
{
    struct overlay_node *node = overlay_of(base);
    struct overlay_fs *fs = overlay_fs_of(node);
    int r = node->upper ? overlay_upper_stat(fs, node->upper, ret_stat)
                        : fs->lower->ops->stat(node->lower, ret_stat);

    if (r < 0 || !node->shown.inode)
        return r;
    ret_stat->stx_dev_major = major(node->shown.device);
    ret_stat->stx_dev_minor = minor(node->shown.device);
    ret_stat->stx_ino = node->shown.inode;
    if (node->dir && node->lower)
        ret_stat->stx_nlink = 1; /* not counted in merged directories, as in the kernel */
    return 0;
}

int overlay_may(struct overlay_node *node, const struct vfs_actor *actor, int may)
{
    struct statx stat;
    int r = overlay_stat(&node->base, &stat);

    return r < 0 ? r : vfs_permission(actor, &stat, may);
}

int overlay_owned_by(struct overlay_node *node, const struct vfs_actor *actor)
{
    struct statx stat;
    int r = overlay_stat(&node->base, &stat);

    return r < 0 ? r : vfs_is_owner(actor, &stat);
}

/* Reading what is only in the lower needs the host's consent as well. */
static int overlay_access(struct vfs_node *base, int mode, const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    const struct vfs_fs_ops *ops = overlay_fs_of(node)->lower->ops;
    int r = mode == F_OK ? 0 : overlay_may(node, actor, mode & 7);

    mode &= ~W_OK;
    if (r == 0 && !node->upper && mode && ops->access)
        r = ops->access(node->lower, mode, actor);
    return r;
}

static int overlay_statfs(struct vfs_node *base, struct statfs *ret_statfs)
{
    struct overlay_fs *fs = overlay_fs_of(overlay_of(base));
    int r = fs->upper->ops->statfs(fs->upper->root, ret_statfs);

    ret_statfs->f_type = OVERLAYFS_SUPER_MAGIC;
    return r;
}

static ssize_t overlay_readlink(struct vfs_node *base, char *text, size_t size,
                                const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    struct vfs_node *real = node->upper ? node->upper : node->lower;

    return real->fs->ops->readlink(real, text, size, actor);
}

static int overlay_connect_socket(struct vfs_node *base, int socket_fd,
                                  const struct vfs_actor *actor)
{
    struct overlay_node *node = overlay_of(base);
    int r = overlay_may(node, actor, VFS_MAY_WRITE);

    if (r < 0)
        return r;
    if (base->type != S_IFSOCK)
        return -ECONNREFUSED;
    /* Behind a socket of the lower waits a process outside, which may do anything for us. */
    if (!node->upper)
        return -EXDEV;
    if (!node->upper->fs->ops->connect_socket)
        return -ECONNREFUSED;
    return node->upper->fs->ops->connect_socket(node->upper, socket_fd,
                                                &overlay_fs_of(node)->kernel);
}

static struct vfs_fs *overlay_layer(struct vfs_fs *base, unsigned index)
{
    struct overlay_fs *fs = container_of(base, struct overlay_fs, base);

    return index == 0 ? fs->upper : index == 1 ? fs->lower : NULL;
}

static const struct vfs_fs_ops overlay_ops = {
    .name = "overlay",
    .magic = OVERLAYFS_SUPER_MAGIC,
    .lookup = overlay_lookup,
    .hold = overlay_node_hold,
    .release = overlay_release,
    .destroy = overlay_destroy,
    .stat = overlay_stat,
    .access = overlay_access,
    .statfs = overlay_statfs,
    .open = overlay_open,
    .create = overlay_create,
    .tmpfile = overlay_tmpfile,
    .mkdir = overlay_mkdir,
    .mknod = overlay_mknod,
    .symlink = overlay_symlink,
    .link = overlay_link,
    .unlink = overlay_unlink,
    .rename = overlay_rename,
    .readlink = overlay_readlink,
    .chmod = overlay_chmod,
    .chown = overlay_chown,
    .utimens = overlay_utimens,
    .truncate = overlay_truncate,
    .getxattr = overlay_getxattr,
    .setxattr = overlay_setxattr,
    .listxattr = overlay_listxattr,
    .removexattr = overlay_removexattr,
    .backing = overlay_backing,
    .hides_lower = overlay_hides_lower,
    .is_open = overlay_is_open,
    .bind_socket = overlay_bind_socket,
    .connect_socket = overlay_connect_socket,
    .readdir = overlay_readdir,
    .is_untouched = overlay_is_untouched,
    .layer = overlay_layer,
};

/* trusted.* needs more than being root, for example not in a container. */
static bool may_use_trusted(struct overlay_fs *fs)
{
    const char *name = "trusted.overlay.probe";
    const struct vfs_fs_ops *ops = fs->upper->ops;

    if (geteuid() != 0 || ops->setxattr(fs->upper->root, name, "y", 1, 0, &fs->kernel) < 0)
        return false;
    ops->removexattr(fs->upper->root, name, &fs->kernel);
    return true;
}

/* The root of a fresh memory upper looks like the lower's. */
static int adopt_root(struct overlay_fs *fs)
{
    struct statx stat;
    int r = fs->lower->ops->stat(fs->lower->root, &stat);

    if (r == 0 && fs->memory)
        r = overlay_upper_own(fs, fs->upper->root, stat.stx_uid, stat.stx_gid, stat.stx_mode);
    return r;
}

static int make_root(struct overlay_fs *fs)
{
    char *path = strdup("");
    int r = adopt_root(fs);

    if (r < 0 || !path) {
        free(path);
        return r < 0 ? r : -ENOMEM;
    }
    fs->root = overlay_dir_new(NULL, NULL);
    if (!fs->root) {
        free(path);
        return -ENOMEM;
    }
    return overlay_node_dir(fs, fs->root, vfs_node_ref(fs->lower->root), path, &fs->base.root);
}

int vfs_overlay_new(struct vfs *vfs, struct vfs_fs *lower, struct vfs_fs *upper,
                    struct vfs_fs **ret_fs)
{
    const struct pk_config *config = &vfs_kernel(vfs)->config;
    struct overlay_fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (!fs)
        return -ENOMEM;
    fs->base = (struct vfs_fs){.ops = &overlay_ops, .vfs = vfs, .refs = 1};
    fs->base.device = lower->device;
    fs->memory = !vfs_is_host_node(upper->root);
    fs->privileged = geteuid() == 0;
    fs->native_devices = fs->privileged && !config->virtual_identity;
    fs->all_powerful = config->identity;
    fs->all_powerful.effective = fs->all_powerful.permitted = ~0ULL;
    fs->kernel = (struct vfs_actor){.identity = &fs->all_powerful};
    fs->lower = lower;
    fs->upper = upper;
    fs->xattr_prefix = may_use_trusted(fs) ? "trusted.overlay." : "user.overlay.";
    r = make_root(fs);
    if (r < 0) { /* what was given stays the caller's */
        if (fs->root)
            overlay_dir_free(fs->root);
        free(fs);
        return r;
    }
    if (!fs->memory)
        vfs_distrust_descriptors(vfs); /* files of the upper are open under the host's numbers */
    *ret_fs = &fs->base;
    return 0;
}

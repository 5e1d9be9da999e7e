#include "vfs/overlay-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "vfs/memory-internal.h"

int overlay_may_change(struct overlay_node *parent, const struct vfs_actor *actor)
{
    if (parent->base.type != S_IFDIR)
        return -ENOTDIR;
    if (parent->removed)
        return -ENOENT;
    return overlay_may(parent, actor, VFS_MAY_WRITE | VFS_MAY_EXEC);
}

int overlay_may_add(struct overlay_node *parent, const char *name, const struct vfs_actor *actor)
{
    int r;

    if (parent->base.type != S_IFDIR)
        return -ENOTDIR;
    r = overlay_may(parent, actor, VFS_MAY_EXEC);
    if (r < 0)
        return r;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (strncmp(name, OVERLAY_TEMPORARY, strlen(OVERLAY_TEMPORARY)) == 0 && parent->dir &&
        !parent->dir->parent)
        return -EPERM; /* such names are ours */
    r = overlay_exists(parent, name);
    if (r != 0)
        return r < 0 ? r : -EEXIST;
    r = overlay_may_change(parent, actor);
    if (r == 0)
        r = overlay_copy_up(parent, true);
    if (r == 0)
        r = overlay_dir_load(overlay_fs_of(parent), parent->dir);
    return r;
}

void overlay_touch_dir(struct overlay_node *node)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    struct overlay_fs *fs = overlay_fs_of(node);

    if (node->upper)
        (void)fs->upper->ops->utimens(node->upper, times, &fs->kernel);
}

/* ---- making ---- */

/* Something new under a name: who it belongs to, and how to make it in the upper. */
struct making {
    struct overlay_fs *fs;
    struct overlay_node *parent;
    const char *name;
    const struct vfs_actor *actor;
    mode_t mode; /* type and permissions */
    dev_t device;
    const char *target;
    int socket_fd;
    uid_t uid;
    gid_t gid;
    bool covered; /* by a whiteout, until now */
};

static bool is_member(const struct vfs_actor *actor, gid_t gid)
{
    const struct pk_identity *identity = actor->identity;

    for (unsigned i = 0; i < identity->group_count; i++) {
        if (identity->groups[i] == gid)
            return true;
    }
    return identity->fsgid == gid;
}

/* As the kernel's inode_init_owner() has it. */
static int decide_owner(struct making *m)
{
    struct statx stat;
    int r = overlay_stat(&m->parent->base, &stat);

    if (r < 0)
        return r;
    m->uid = m->actor->identity->fsuid;
    m->gid = m->actor->identity->fsgid;
    if (!(stat.stx_mode & S_ISGID))
        return 0;
    m->gid = stat.stx_gid;
    if (S_ISDIR(m->mode))
        m->mode |= S_ISGID;
    else if ((m->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
             !is_member(m->actor, m->gid) && !overlay_can(m->actor, CAP_FSETID))
        m->mode &= ~(mode_t)S_ISGID;
    return 0;
}

/* Permission, owner, an upper directory, and a free name in it. */
static int prepare(struct making *m, struct vfs_node *parent, const char *name, mode_t mode,
                   const struct vfs_actor *actor)
{
    struct overlay_item *item;
    int r;

    m->parent = overlay_of(parent);
    m->fs = overlay_fs_of(m->parent);
    m->name = name;
    m->mode = mode;
    m->actor = actor;
    overlay_sweep(m->fs);
    r = overlay_may_add(m->parent, name, actor);
    if (r == 0)
        r = decide_owner(m);
    if (r < 0)
        return r;
    item = overlay_find(m->parent->dir, name);
    m->covered = item && item->kind == OVERLAY_WHITEOUT;
    return overlay_uncover(m->fs, m->parent->dir, name);
}

/* Nothing came of it: the lower's name must be hidden again. */
static int give_up(struct making *m, bool made, int error)
{
    const struct vfs_fs_ops *ops = m->fs->upper->ops;

    if (made)
        ops->unlink(m->parent->upper, m->name, S_ISDIR(m->mode), &m->fs->kernel);
    if (m->covered)
        (void)overlay_whiteout(m->fs, m->parent->dir, m->name);
    return error;
}

static int make_upper(const struct making *m)
{
    const struct vfs_fs_ops *ops = m->fs->upper->ops;
    struct vfs_node *parent = m->parent->upper;
    mode_t mode = overlay_upper_mode(m->fs, m->mode);

    switch (m->mode & S_IFMT) {
    case S_IFDIR:
        return ops->mkdir(parent, m->name, mode & 07777, &m->fs->kernel);
    case S_IFLNK:
        return ops->symlink(parent, m->name, m->target, &m->fs->kernel);
    case S_IFCHR:
    case S_IFBLK:
        return overlay_upper_device(m->fs, parent, m->name, m->mode, m->device);
    case S_IFSOCK:
        if (m->socket_fd >= 0)
            return ops->bind_socket(parent, m->name, mode & 0777, m->socket_fd, &m->fs->kernel);
        return ops->mknod(parent, m->name, mode, 0, &m->fs->kernel);
    default:
        return ops->mknod(parent, m->name, mode, 0, &m->fs->kernel);
    }
}

static int enter_dir(struct making *m, ino_t inode)
{
    struct overlay_dir *dir = overlay_dir_new(m->parent->dir, m->name);
    int r;

    if (!dir)
        return -ENOMEM;
    dir->item.inode = inode;
    dir->loaded = true;
    r = overlay_set_dir(m->parent->dir, m->name, dir);
    if (r < 0) {
        overlay_dir_free(dir);
        return r;
    }
    if (m->covered)
        return overlay_make_opaque(m->fs, dir);
    /* The lower has nothing here. No mark on disk is needed, but nobody has to look either. */
    dir->opaque = true;
    return 0;
}

/* Owner and mode of the new object, and its entry in the tree. */
static int finish(struct making *m, struct vfs_node *upper)
{
    struct statx stat;
    int r = overlay_upper_own(m->fs, upper, m->uid, m->gid, m->mode & 07777);

    if (r == 0)
        r = m->fs->upper->ops->stat(upper, &stat);
    if (r < 0)
        return r;
    free(map_remove(&m->fs->origins, stat.stx_ino)); /* a number of the host that is used again */
    if (S_ISDIR(m->mode))
        return enter_dir(m, stat.stx_ino);
    return overlay_set(m->parent->dir, m->name, OVERLAY_OBJECT, m->mode, stat.stx_ino);
}

static int make(struct making *m)
{
    struct vfs_node *upper;
    int r = make_upper(m);

    if (r < 0)
        return give_up(m, false, r);
    r = overlay_upper_child(m->fs, m->parent->dir, m->name, &upper);
    if (r == 0) {
        r = finish(m, upper);
        vfs_node_unref(upper);
    }
    return r < 0 ? give_up(m, true, r) : 0;
}

int overlay_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
                  const struct vfs_actor *actor)
{
    struct making m = {.socket_fd = -1};
    int r = prepare(&m, parent, name, S_IFDIR | (mode & 01777), actor);

    return r < 0 ? r : make(&m);
}

int overlay_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
                  const struct vfs_actor *actor)
{
    mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    struct making m = {.socket_fd = -1, .device = device};
    int r;

    if (type == S_IFDIR)
        return -EPERM;
    if (type == S_IFLNK)
        return -EINVAL;
    if (type == S_IFCHR || type == S_IFBLK) {
        r = overlay_may_add(overlay_of(parent), name, actor);
        if (r < 0)
            return r;
        /* Device 0:0 would be a whiteout. */
        if (!overlay_can(actor, CAP_MKNOD) || (type == S_IFCHR && device == makedev(0, 0)))
            return -EPERM;
    }
    r = prepare(&m, parent, name, type | (mode & 07777), actor);
    return r < 0 ? r : make(&m);
}

int overlay_symlink(struct vfs_node *parent, const char *name, const char *target,
                    const struct vfs_actor *actor)
{
    struct making m = {.socket_fd = -1, .target = target};
    int r;

    if (!*target)
        return -ENOENT;
    r = prepare(&m, parent, name, S_IFLNK | 0777, actor);
    return r < 0 ? r : make(&m);
}

int overlay_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                        const struct vfs_actor *actor)
{
    struct making m = {.socket_fd = socket_fd};
    int r = prepare(&m, parent, name, S_IFSOCK | (mode & 0777), actor);

    if (r < 0)
        return r == -EEXIST ? -EADDRINUSE : r;
    return make(&m);
}

int overlay_create(struct vfs_node *parent, const char *name,
                   const struct vfs_open_request *request, struct vfs_node **ret_node,
                   struct vfs_opened *ret_opened)
{
    struct making m = {.socket_fd = -1};
    struct vfs_open_request ours;
    struct vfs_opened opened = {.fd = -1};
    struct vfs_node *upper, *node = NULL;
    int r = prepare(&m, parent, name, S_IFREG | (request->mode & 07777), request->actor);

    if (r < 0)
        return r;
    ours = (struct vfs_open_request){.actor = &m.fs->kernel,
                                     .flags = request->flags,
                                     .mode = overlay_upper_mode(m.fs, m.mode) & 07777};
    r = m.fs->upper->ops->create(m.parent->upper, name, &ours, &upper, &opened);
    if (r < 0)
        return give_up(&m, false, r);
    if (!m.fs->memory)
        (void)vfs_host_node_fd(upper); /* now: its name may change later */
    r = finish(&m, upper);
    if (r == 0 && (m.mode & (S_ISUID | S_ISGID)) && !m.fs->memory && !m.fs->privileged &&
        !overlay_can(m.actor, CAP_FSETID))
        r = overlay_upper_limit_set_id(m.fs, upper, m.mode & 07777);
    if (r == 0)
        r = overlay_node_upper(m.fs, m.parent->dir, vfs_node_ref(upper), &node);
    if (r == 0)
        r = overlay_announce(overlay_of(node), opened.fd);
    vfs_node_unref(upper);
    if (r < 0) {
        vfs_node_unref(node);
        base_close(opened.fd);
        overlay_unset(m.parent->dir, name);
        return give_up(&m, true, r);
    }
    *ret_node = node;
    *ret_opened = opened;
    return 0;
}

/*
 * A file without a name lies in the root of the upper, whose names nobody lists: so the directory
 * need not be copied up for it.
 */
static int make_nameless(struct making *m, const struct vfs_open_request *ours,
                         struct vfs_node **ret_upper, struct vfs_opened *ret_opened)
{
    struct vfs_fs *upper = m->fs->upper;
    struct vfs_opened opened;
    int r;

    if (m->fs->memory)
        return memory_tmpfile_node(upper->root, ours, ret_upper, ret_opened);
    r = upper->ops->tmpfile(upper->root, ours, &opened);
    if (r < 0)
        return r;
    r = vfs_host_node_of_fd(upper, opened.fd, ret_upper);
    if (r < 0)
        close(opened.fd);
    else
        *ret_opened = opened;
    return r;
}

/* Owner and mode, and a node by which the open file is found. `upper` is consumed in every case. */
static int finish_nameless(struct making *m, struct vfs_node *upper, int fd)
{
    struct overlay_dir *dir = m->parent->dir ? m->parent->dir : m->fs->root;
    struct vfs_node *node;
    struct statx stat;
    int r = overlay_upper_own(m->fs, upper, m->uid, m->gid, m->mode & 07777);

    if (r == 0)
        r = m->fs->upper->ops->stat(upper, &stat);
    if (r < 0) {
        vfs_node_unref(upper);
        return r;
    }
    free(map_remove(&m->fs->origins, stat.stx_ino)); /* as in finish() */
    r = overlay_node_upper(m->fs, dir, upper, &node);
    if (r < 0)
        return r;
    r = overlay_announce(overlay_of(node), fd);
    vfs_node_unref(node);
    return r;
}

int overlay_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                    struct vfs_opened *ret_opened)
{
    struct making m = {.parent = overlay_of(parent),
                       .fs = overlay_fs_of(overlay_of(parent)),
                       .mode = S_IFREG | (request->mode & 07777),
                       .actor = request->actor};
    struct vfs_open_request ours = {.actor = &m.fs->kernel, .flags = request->flags};
    struct vfs_opened opened;
    struct vfs_node *upper;
    int r = overlay_may_change(m.parent, request->actor);

    if (r == 0)
        r = decide_owner(&m);
    if (r < 0)
        return r;
    ours.mode = overlay_upper_mode(m.fs, m.mode) & 07777;
    r = make_nameless(&m, &ours, &upper, &opened);
    if (r < 0)
        return r;
    r = finish_nameless(&m, upper, opened.fd);
    if (r < 0)
        close(opened.fd);
    else
        *ret_opened = opened;
    return r;
}

/* ---- removing ---- */

static bool look_for_any(void *user, const char *name, uint64_t inode, mode_t type)
{
    bool *found = user;

    (void)inode;
    (void)type;
    *found = name != NULL;
    return !*found;
}

int overlay_is_empty(struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(node);
    bool found = false;
    int r = overlay_readdir(&node->base, 0, &fs->kernel, look_for_any, &found);

    overlay_listing_drop(fs);
    if (r < 0)
        return r;
    return found ? -ENOTEMPTY : 0;
}

/* An upper directory on the host is empty only without its whiteouts. */
static int clear_whiteouts(struct overlay_fs *fs, struct overlay_node *node)
{
    struct name_table *names = &node->dir->names;
    int r = overlay_dir_load(fs, node->dir);

    for (uint32_t i = 0; i < names->used && r == 0 && !fs->memory; i++) {
        const struct name_entry *entry = name_table_at(names, i);

        if (entry)
            r = fs->upper->ops->unlink(node->upper, entry->name, false, &fs->kernel);
    }
    return r;
}

int overlay_remove_upper(struct overlay_node *parent, const char *name, struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(parent);
    struct statx stat;
    int r;

    if (!node->upper)
        return 0;
    if (node->dir) {
        r = clear_whiteouts(fs, node);
        if (r < 0)
            return r;
        return fs->upper->ops->unlink(parent->upper, name, true, &fs->kernel);
    }
    overlay_lose_name(node);
    r = fs->upper->ops->stat(node->upper, &stat);
    if (r == 0)
        r = fs->upper->ops->unlink(parent->upper, name, false, &fs->kernel);
    if (r == 0 && stat.stx_nlink <= 1)
        free(map_remove(&fs->origins, stat.stx_ino));
    return r;
}

void overlay_forget(struct overlay_node *node)
{
    overlay_unhash(overlay_fs_of(node), node);
    overlay_orphaned(node);
    if (!node->upper || node->base.type == S_IFDIR)
        node->removed = true;
}

static int remove_child(struct overlay_node *parent, const char *name, struct overlay_node *node)
{
    struct overlay_fs *fs = overlay_fs_of(parent);
    int below;
    int r = overlay_copy_up(parent, true);

    if (r == 0)
        r = overlay_dir_load(fs, parent->dir);
    if (r < 0)
        return r;
    below = overlay_lower_child(parent, name, NULL);
    if (below < 0)
        return below;
    r = overlay_remove_upper(parent, name, node);
    if (r < 0)
        return r;
    overlay_unset(parent->dir, name);
    if (below)
        r = overlay_whiteout(fs, parent->dir, name);
    overlay_forget(node);
    overlay_touch_dir(parent);
    return r;
}

int overlay_unlink(struct vfs_node *base, const char *name, bool directory,
                   const struct vfs_actor *actor)
{
    struct overlay_node *parent = overlay_of(base);
    struct overlay_node *node;
    int r = base->type == S_IFDIR ? overlay_may(parent, actor, VFS_MAY_EXEC) : -ENOTDIR;

    if (r == 0)
        r = overlay_child(parent, name, &node);
    if (r < 0)
        return r;
    r = overlay_may_change(parent, actor);
    if (r == 0 && directory != (node->base.type == S_IFDIR))
        r = directory ? -ENOTDIR : -EISDIR;
    if (r == 0 && directory)
        r = overlay_is_empty(node);
    if (r == 0)
        r = remove_child(parent, name, node);
    vfs_node_unref(&node->base);
    overlay_sweep(overlay_fs_of(parent));
    return r;
}

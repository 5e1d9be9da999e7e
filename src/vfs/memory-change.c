#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TARGET_MAX (PATH_MAX - 1)

int memory_may_change(const struct memory_node *parent, const struct vfs_actor *actor)
{
    if (parent->base.type != S_IFDIR)
        return -ENOTDIR;
    if (parent->nlink == 0)
        return -ENOENT;
    return memory_may(parent, actor, VFS_MAY_WRITE | VFS_MAY_EXEC);
}

/* The checks in the kernel's order: a name that exists is reported before a lack of permission. */
static int may_add(const struct memory_node *parent, const char *name,
                   const struct vfs_actor *actor)
{
    int r;

    if (parent->base.type != S_IFDIR)
        return -ENOTDIR;
    r = memory_may(parent, actor, VFS_MAY_EXEC);
    if (r < 0)
        return r;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (name_table_find(&parent->directory->names, name, strlen(name)))
        return -EEXIST;
    return memory_may_change(parent, actor);
}

/* Gives a node (consumed: the name holds the caller's reference from then on) a name. */
static int add_name(struct memory_node *parent, const char *name, struct memory_node *node)
{
    if (!name_table_add(&parent->directory->names, name, strlen(name), node))
        return -ENOMEM;
    if (node->base.type == S_IFDIR) {
        node->directory->parent = parent;
        parent->nlink++;
    }
    memory_touch(parent, true);
    return 0;
}

/* Makes a node with a name. The name holds the one reference; `ret_node` is borrowed. */
static int make(struct vfs_node *base, const char *name, mode_t mode, const struct vfs_actor *actor,
                struct memory_node **ret_node)
{
    struct memory_node *parent = memory_of(base);
    struct memory_fs *fs = memory_fs_of(parent);
    struct memory_node *node;
    int r = may_add(parent, name, actor);

    memory_orphan_sweep(fs);
    if (r == 0)
        r = memory_reserve(fs, 0);
    if (r == 0)
        r = memory_node_new(fs, parent, mode, actor, &node);
    if (r < 0)
        return r;
    r = add_name(parent, name, node);
    if (r < 0) {
        vfs_node_unref(&node->base);
        return r;
    }
    *ret_node = node;
    return 0;
}

int memory_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
                 const struct vfs_actor *actor)
{
    struct memory_node *node;

    return make(parent, name, S_IFDIR | (mode & 01777), actor, &node);
}

static bool may_make_device(mode_t type, dev_t device, const struct vfs_actor *actor)
{
    /* A whiteout, character device 0:0, is no device (since Linux 5.8). */
    if (type == S_IFCHR && device == makedev(0, 0))
        return true;
    return memory_can(actor, CAP_MKNOD);
}

int memory_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
                 const struct vfs_actor *actor)
{
    mode_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    struct memory_node *node;
    int r;

    if (type == S_IFDIR)
        return -EPERM;
    if (type == S_IFLNK)
        return -EINVAL;
    r = may_add(memory_of(parent), name, actor);
    if (r == 0 && (type == S_IFCHR || type == S_IFBLK) && !may_make_device(type, device, actor))
        r = -EPERM;
    if (r == 0)
        r = make(parent, name, type | (mode & 07777), actor, &node);
    if (r == 0 && (type == S_IFCHR || type == S_IFBLK))
        node->device = device;
    return r;
}

int memory_symlink(struct vfs_node *parent, const char *name, const char *target,
                   const struct vfs_actor *actor)
{
    struct memory_node *node;
    char *text;
    int r;

    if (!*target)
        return -ENOENT;
    if (strlen(target) > TARGET_MAX)
        return -ENAMETOOLONG;
    text = strdup(target);
    if (!text)
        return -ENOMEM;
    r = make(parent, name, S_IFLNK | 0777, actor, &node);
    if (r < 0)
        free(text);
    else
        node->target = text;
    return r;
}

static void forget_name(struct memory_node *parent, const char *name)
{
    struct name_entry *entry = name_table_find(&parent->directory->names, name, strlen(name));
    struct memory_node *node = entry->value;

    name_table_remove(&parent->directory->names, entry);
    memory_drop_name(parent, node);
}

int memory_create(struct vfs_node *parent, const char *name, const struct vfs_open_request *request,
                  struct vfs_node **ret_node, struct vfs_opened *ret_opened)
{
    struct memory_node *node;
    int r = make(parent, name, S_IFREG | (request->mode & 07777), request->actor, &node);

    if (r < 0)
        return r;
    r = memory_content_need(node, name);
    if (r == 0)
        r = memory_content_open(node, request->flags, ret_opened);
    if (r < 0) {
        forget_name(memory_of(parent), name);
        return r;
    }
    *ret_node = vfs_node_ref(&node->base);
    return 0;
}

int memory_tmpfile_node(struct vfs_node *base, const struct vfs_open_request *request,
                        struct vfs_node **ret_node, struct vfs_opened *ret_opened)
{
    struct memory_node *parent = memory_of(base);
    struct memory_fs *fs = memory_fs_of(parent);
    struct memory_node *node;
    int r = memory_may_change(parent, request->actor);

    memory_orphan_sweep(fs);
    if (r == 0)
        r = memory_reserve(fs, 0);
    if (r == 0)
        r = memory_node_new(fs, parent, S_IFREG | (request->mode & 07777), request->actor, &node);
    if (r < 0)
        return r;
    node->nlink = 0;
    node->content->linkable = !(request->flags & O_EXCL);
    r = memory_content_open(node, request->flags & ~(O_TRUNC | O_EXCL), ret_opened);
    if (r < 0) {
        vfs_node_unref(&node->base);
        return r;
    }
    memory_orphan_add(node);
    *ret_node = &node->base;
    return 0;
}

int memory_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                   struct vfs_opened *ret_opened)
{
    struct vfs_node *node;
    int r = memory_tmpfile_node(parent, request, &node, ret_opened);

    if (r == 0)
        vfs_node_unref(node);
    return r;
}

int memory_link(struct vfs_node *base, struct vfs_node *parent, const char *name,
                const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    int r = may_add(memory_of(parent), name, actor);

    if (r < 0)
        return r;
    if (base->type == S_IFDIR)
        return -EPERM;
    if (node->nlink == 0 && !(base->type == S_IFREG && node->content->linkable))
        return -ENOENT;
    r = add_name(memory_of(parent), name, node);
    if (r < 0)
        return r;
    vfs_node_ref(base);
    node->nlink++;
    if (base->type == S_IFREG)
        node->content->linkable = false;
    memory_touch(node, false);
    memory_orphan_remove(node);
    return 0;
}

void memory_drop_name(struct memory_node *parent, struct memory_node *node)
{
    memory_touch(parent, true);
    memory_touch(node, false);
    if (node->base.type == S_IFDIR) {
        node->directory->parent = NULL;
        node->nlink = 0;
        parent->nlink--;
    } else if (--node->nlink == 0) {
        memory_orphan_add(node);
    }
    vfs_node_unref(&node->base);
}

int memory_unlink(struct vfs_node *base, const char *name, bool directory,
                  const struct vfs_actor *actor)
{
    struct memory_node *parent = memory_of(base);
    struct memory_node *node;
    struct name_entry *entry;
    int r = memory_may(parent, actor, VFS_MAY_EXEC);

    if (r < 0)
        return r;
    entry = name_table_find(&parent->directory->names, name, strlen(name));
    if (!entry)
        return strlen(name) > NAME_MAX ? -ENAMETOOLONG : -ENOENT;
    r = memory_may_change(parent, actor);
    if (r < 0)
        return r;
    node = entry->value;
    if (directory != (node->base.type == S_IFDIR))
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && node->directory->names.count)
        return -ENOTEMPTY;
    name_table_remove(&parent->directory->names, entry);
    memory_drop_name(parent, node);
    memory_orphan_sweep(memory_fs_of(parent));
    return 0;
}

/*
 * Extended attributes with the kernel's rules of who may see and set what (fs/xattr.c). Reading has
 * no actor here: the core hides trusted.* from guests without CAP_SYS_ADMIN.
 */
#include "vfs/memory-internal.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 && name[strlen(prefix)];
}

static int check_name(const char *name)
{
    if (!*name || strlen(name) > XATTR_NAME_MAX)
        return -ERANGE;
    if (has_prefix(name, "user.") || has_prefix(name, "security.") || has_prefix(name, "trusted."))
        return 0;
    return -EOPNOTSUPP; /* among them system.posix_acl_*: there are no ACLs in memory */
}

static struct memory_xattr **find(struct memory_node *node, const char *name)
{
    struct memory_xattr **at = &node->xattrs;

    while (*at && strcmp((*at)->bytes, name) != 0)
        at = &(*at)->next;
    return at;
}

static const char *value_of(const struct memory_xattr *xattr)
{
    return xattr->bytes + xattr->name_length + 1;
}

static int may_set(const struct memory_node *node, const char *name, const struct vfs_actor *actor)
{
    if (has_prefix(name, "trusted."))
        return memory_can(actor, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (strcmp(name, "security.capability") == 0)
        return memory_can(actor, CAP_SETFCAP) ? 0 : -EPERM;
    if (has_prefix(name, "security."))
        return memory_can(actor, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (node->base.type != S_IFREG && node->base.type != S_IFDIR)
        return -EPERM;
    if (node->base.type == S_IFDIR && (node->mode & S_ISVTX) && !memory_owned_by(node, actor))
        return -EPERM;
    return memory_may(node, actor, VFS_MAY_WRITE);
}

ssize_t memory_getxattr(struct vfs_node *base, const char *name, void *value, size_t size)
{
    const struct memory_xattr *xattr;
    int r = check_name(name);

    if (r < 0)
        return r;
    xattr = *find(memory_of(base), name);
    if (!xattr)
        return -ENODATA;
    if (size == 0)
        return (ssize_t)xattr->size;
    if (size < xattr->size)
        return -ERANGE;
    memcpy(value, value_of(xattr), xattr->size);
    return (ssize_t)xattr->size;
}

static struct memory_xattr *xattr_new(const char *name, const void *value, size_t size)
{
    size_t length = strlen(name);
    struct memory_xattr *xattr = malloc(sizeof(*xattr) + length + 1 + size);

    if (!xattr)
        return NULL;
    xattr->next = NULL;
    xattr->size = size;
    xattr->name_length = (unsigned char)length;
    memcpy(xattr->bytes, name, length + 1);
    if (size)
        memcpy(xattr->bytes + length + 1, value, size);
    return xattr;
}

int memory_setxattr(struct vfs_node *base, const char *name, const void *value, size_t size,
                    int flags, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    struct memory_xattr **at;
    struct memory_xattr *xattr;
    int r = check_name(name);

    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (r == 0 && size > XATTR_SIZE_MAX)
        r = -E2BIG;
    if (r == 0)
        r = may_set(node, name, actor);
    if (r < 0)
        return r;
    at = find(node, name);
    if (*at && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!*at && (flags & XATTR_REPLACE))
        return -ENODATA;
    xattr = xattr_new(name, value, size);
    if (!xattr)
        return -ENOMEM;
    if (*at) {
        xattr->next = (*at)->next;
        free(*at);
    }
    *at = xattr;
    memory_touch(node, false);
    return 0;
}

ssize_t memory_listxattr(struct vfs_node *base, char *names, size_t size)
{
    size_t length = 0;

    for (const struct memory_xattr *x = memory_of(base)->xattrs; x; x = x->next) {
        size_t step = (size_t)x->name_length + 1;

        if (size && length + step > size)
            return -ERANGE;
        if (size)
            memcpy(names + length, x->bytes, step);
        length += step;
    }
    return (ssize_t)length;
}

void memory_xattr_drop(struct memory_node *node, const char *name)
{
    struct memory_xattr **at = find(node, name);
    struct memory_xattr *xattr = *at;

    if (!xattr)
        return;
    *at = xattr->next;
    free(xattr);
}

int memory_removexattr(struct vfs_node *base, const char *name, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    int r = check_name(name);

    if (r == 0)
        r = may_set(node, name, actor);
    if (r < 0)
        return r;
    if (!*find(node, name))
        return -ENODATA;
    memory_xattr_drop(node, name);
    memory_touch(node, false);
    return 0;
}

void memory_xattr_free(struct memory_node *node)
{
    while (node->xattrs) {
        struct memory_xattr *xattr = node->xattrs;

        node->xattrs = xattr->next;
        free(xattr);
    }
}

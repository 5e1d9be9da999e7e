#include <errno.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfs/vfs-internal.h"

static bool capable(const struct vfs_actor *actor, int capability)
{
    return actor->identity->effective & (1ULL << capability);
}

static bool in_group(const struct pk_identity *identity, gid_t gid)
{
    if (identity->fsgid == gid)
        return true;
    for (unsigned i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == gid)
            return true;
    return false;
}

/* fs/namei.c, generic_permission(): one class decides, capabilities come after. */
int vfs_permission(const struct vfs_actor *actor, const struct statx *stat, int may)
{
    const struct pk_identity *identity = actor->identity;
    unsigned bits = stat->stx_mode & 7;

    if (identity->fsuid == stat->stx_uid)
        bits = (stat->stx_mode >> 6) & 7;
    else if (in_group(identity, stat->stx_gid))
        bits = (stat->stx_mode >> 3) & 7;

    if ((may & VFS_MAY_READ) && !(bits & 4))
        goto capabilities;
    if ((may & VFS_MAY_WRITE) && !(bits & 2))
        goto capabilities;
    if ((may & VFS_MAY_EXEC) && !(bits & 1))
        goto capabilities;
    return 0;
capabilities:
    if (S_ISDIR(stat->stx_mode)) {
        if (!(may & VFS_MAY_WRITE) && capable(actor, CAP_DAC_READ_SEARCH))
            return 0;
        return capable(actor, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (may == VFS_MAY_READ && capable(actor, CAP_DAC_READ_SEARCH))
        return 0;
    if ((!(may & VFS_MAY_EXEC) || (stat->stx_mode & 0111)) && capable(actor, CAP_DAC_OVERRIDE))
        return 0;
    return -EACCES;
}

bool vfs_is_owner(const struct vfs_actor *actor, const struct statx *stat)
{
    return actor->identity->fsuid == stat->stx_uid || capable(actor, CAP_FOWNER);
}

uid_t vfs_uid_to_guest(const struct vfs *vfs, uid_t host_uid)
{
    const struct pk_kernel *kernel = vfs->kernel;

    if (kernel->config.virtual_identity && host_uid == kernel->host_identity.uid)
        return kernel->config.identity.uid;
    return host_uid;
}

gid_t vfs_gid_to_guest(const struct vfs *vfs, gid_t host_gid)
{
    const struct pk_kernel *kernel = vfs->kernel;

    if (kernel->config.virtual_identity && host_gid == kernel->host_identity.gid)
        return kernel->config.identity.gid;
    return host_gid;
}

int node_stat(struct vfs_node *node, struct statx *ret_stat)
{
    return node->fs->ops->stat(node, ret_stat);
}

int node_access(struct vfs_node *node, int mode, const struct vfs_actor *actor, bool effective)
{
    struct vfs_actor real = *actor;
    struct pk_identity identity;
    struct statx stat;
    int r;

    if (!effective) {
        /* access(2) asks for the real ids, with the capabilities that root would have. */
        identity = *actor->identity;
        identity.fsuid = identity.uid;
        identity.fsgid = identity.gid;
        identity.effective = identity.uid == 0 ? identity.permitted : 0;
        real.identity = &identity;
    }
    if (node->fs->ops->access)
        return node->fs->ops->access(node, mode, &real);
    r = node_stat(node, &stat);
    if (r < 0 || mode == F_OK)
        return r;
    /* R_OK, W_OK and X_OK are VFS_MAY_READ, _WRITE and _EXEC. */
    return vfs_permission(&real, &stat, mode);
}

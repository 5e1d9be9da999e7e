#include "vfs/vfs-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "vfs/watch-internal.h"

/* Linux reserves major 0 for anonymous devices; minors from here on are ours. */
#define FIRST_DEVICE_MINOR 0x80000u

struct vfs_node *vfs_node_ref(struct vfs_node *node)
{
    if (node)
        node->refs++;
    return node;
}

void vfs_node_unref(struct vfs_node *node)
{
    if (node && --node->refs == 0)
        node->fs->ops->release(node);
}

struct vfs_fs *vfs_fs_ref(struct vfs_fs *fs)
{
    if (fs)
        fs->refs++;
    return fs;
}

void vfs_fs_unref(struct vfs_fs *fs)
{
    if (fs == NULL || --fs->refs > 0)
        return;
    vfs_node_unref(fs->root);
    fs->root = NULL;
    fs->ops->destroy(fs);
}

dev_t vfs_new_device(struct vfs *vfs)
{
    return makedev(0, FIRST_DEVICE_MINOR + vfs->next_device++);
}

struct pk_kernel *vfs_kernel(const struct vfs *vfs)
{
    return vfs->kernel;
}

static void make_kernel_actor(struct vfs *vfs)
{
    vfs->all_powerful.effective = ~0ULL;
    vfs->all_powerful.permitted = ~0ULL;
    vfs->kernel_actor = (struct vfs_actor){.identity = &vfs->all_powerful};
}

int vfs_new(struct pk_kernel *kernel, struct vfs **ret_vfs)
{
    static const struct pk_place_ops place_ops = {vfs_place_ref, vfs_place_unref, vfs_place_path,
                                                  vfs_settle};
    struct vfs *vfs = calloc(1, sizeof(*vfs));
    int r;

    if (vfs == NULL)
        return -ENOMEM;
    vfs->kernel = kernel;
    vfs->refs = 1;
    vfs->handle_sweep_at = VFS_HANDLES_SWEEP;
    list_init(&vfs->mounts);
    list_init(&vfs->remembered_order);
    list_init(&vfs->watchers);
    list_init(&vfs->redirects);
    for (size_t i = 0; i < VFS_PLACE_BUCKETS; i++)
        list_init(&vfs->places[i]);
    make_kernel_actor(vfs);
    host_self_init(vfs);
    r = foreign_new(vfs, &vfs->foreign);
    if (r < 0) {
        free(vfs);
        return r;
    }
    kernel->vfs = vfs;
    kernel->places = &place_ops;
    *ret_vfs = vfs;
    return 0;
}

/*
 * Places may outlive vfs_free(): contexts hold some, and which of kernel and VFS goes first is the
 * owner's choice. The last one out frees the mounts.
 */
void vfs_release(struct vfs *vfs)
{
    if (--vfs->refs > 0)
        return;
    vfs->refs = 1; /* what is released below may pass here again */
    mounts_free(vfs);
    identities_free(vfs);
    vfs_fs_unref(vfs->foreign);
    protected_free(vfs);
    host_watch_free(vfs);
    free(vfs);
}

void vfs_free(struct vfs *vfs)
{
    if (vfs == NULL)
        return;
    watchers_free(vfs);
    vfs_redirects_free(vfs);
    handles_free(vfs);
    remembered_free(vfs);
    vfs_release(vfs);
}

struct vfs_place *vfs_root(struct vfs *vfs)
{
    struct vfs_mount *mount = vfs->root_mount;
    struct vfs_mount *over;

    if (mount == NULL)
        return NULL;
    while ((over = mount_child(mount, "", 0)))
        mount = over;
    return place_new(vfs, mount, vfs_node_ref(mount->root), "", 0);
}

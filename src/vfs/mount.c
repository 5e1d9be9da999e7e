#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vfs/vfs-internal.h"

static void mount_free(struct vfs_mount *mount)
{
    if (mount == NULL)
        return;
    vfs_node_unref(mount->root);
    vfs_fs_unref(mount->fs);
    free(mount->path);
    free(mount->source);
    free(mount->type);
    free(mount);
}

/* Takes over the reference to the file system in every case. */
static struct vfs_mount *mount_new(struct vfs_fs *fs, const char *path, const char *source,
                                   const char *type)
{
    struct vfs_mount *mount = calloc(1, sizeof(*mount));

    if (mount == NULL) {
        vfs_fs_unref(fs);
        return NULL;
    }
    mount->fs = fs;
    mount->root = vfs_node_ref(fs->root);
    mount->path = strdup(strcmp(path, "/") == 0 ? "" : path);
    mount->source = strdup(source ? source : "none");
    mount->type = strdup(type ? type : fs->ops->name);
    if (!mount->path || !mount->source || !mount->type) {
        mount_free(mount);
        return NULL;
    }
    mount->length = strlen(mount->path);
    return mount;
}

static int find_mount_point(struct vfs *vfs, const char *path, struct vfs_place **ret_place)
{
    struct vfs_place *root cleanup_place = vfs_root(vfs);
    struct vfs_walk walk = {.actor = &vfs->kernel_actor, .root = root, .base = root, .path = path};

    if (root == NULL)
        return vfs->root_mount ? -ENOMEM : -EINVAL;
    return vfs_resolve(vfs, &walk, ret_place);
}

int vfs_mount(struct vfs *vfs, const char *path, struct vfs_fs *fs, unsigned flags,
              const char *source, const char *type)
{
    struct vfs_place *point cleanup_place = NULL;
    struct vfs_mount *mount;
    int r = 0;

    if (path[0] != '/' || (!vfs->root_mount && strcmp(path, "/") != 0))
        r = -EINVAL;
    else if (vfs->root_mount)
        r = find_mount_point(vfs, path, &point);
    if (r == 0 && point && S_ISDIR(point->node->type) != S_ISDIR(fs->root->type))
        r = -ENOTDIR;
    if (r == 0 && point && point->mount == NULL)
        r = -EINVAL;
    if (r < 0) {
        vfs_fs_unref(fs);
        return r;
    }
    mount = mount_new(fs, point ? point->path : "/", source, type);
    if (mount == NULL)
        return -ENOMEM;
    mount->id = ++vfs->next_mount_id;
    mount->flags = flags;
    list_append(&vfs->mounts, &mount->link);
    if (point) {
        mount->parent = point->mount;
        mount->sibling = point->mount->children;
        point->mount->children = mount;
    } else {
        vfs->root_mount = mount;
    }
    return 0;
}

int vfs_mount_restrict(struct vfs *vfs, const char *path, unsigned flags)
{
    size_t length = strcmp(path, "/") == 0 ? 0 : strlen(path);
    struct vfs_mount *mount;
    int r = -EINVAL;

    list_for_each(mount, &vfs->mounts, link)
    {
        if (mount->length != length || memcmp(mount->path, path, length) != 0)
            continue;
        mount->flags |= flags;
        r = 0;
    }
    return r;
}

int vfs_for_each_mount(struct vfs *vfs, int (*visit)(const struct vfs_mount_info *, void *),
                       void *user)
{
    struct vfs_mount *mount;

    list_for_each(mount, &vfs->mounts, link)
    {
        struct vfs_mount_info info = {
            .id = mount->id,
            .parent_id = mount->parent ? mount->parent->id : 0,
            .path = mount->length ? mount->path : "/",
            .source = mount->source,
            .type = mount->type,
            .flags = mount->flags,
            .device = mount->fs->device,
        };
        int r = visit(&info, user);

        if (r != 0)
            return r;
    }
    return 0;
}

/* The child of `mount` on the way to a path, the nearest one; NULL when there is none. */
static struct vfs_mount *child_towards(struct vfs_mount *mount, const char *path, size_t length)
{
    struct vfs_mount *nearest = NULL;

    for (struct vfs_mount *child = mount->children; child; child = child->sibling) {
        if (child->length > length || memcmp(child->path, path, child->length) != 0)
            continue;
        if (child->length < length && path[child->length] != '/')
            continue;
        if (nearest == NULL || child->length < nearest->length)
            nearest = child;
    }
    return nearest;
}

struct vfs_mount *mount_of_path(struct vfs *vfs, const char *path, size_t length)
{
    struct vfs_mount *mount = vfs->root_mount;
    struct vfs_mount *child;

    if (length == 1)
        length = 0;
    while (mount && (child = child_towards(mount, path, length)))
        mount = child;
    return mount;
}

/* What follows the name in the path of a mount point at or below it; NULL: it is elsewhere. */
static const char *behind_name(const struct vfs_mount *mount, const struct vfs_place *parent,
                               const char *name)
{
    size_t stem = place_stem(parent);
    size_t length = strlen(name);
    const char *rest = mount->path + stem + 1 + length;

    if (mount->length < stem + 1 + length || memcmp(mount->path, parent->path, stem) != 0 ||
        mount->path[stem] != '/' || memcmp(mount->path + stem + 1, name, length) != 0)
        return NULL;
    return *rest == '\0' || *rest == '/' ? rest : NULL;
}

bool mount_covers(const struct vfs_place *parent, const char *name)
{
    const char *rest;

    if (parent->mount == NULL || parent->deleted)
        return false;
    for (struct vfs_mount *child = parent->mount->children; child; child = child->sibling)
        if ((rest = behind_name(child, parent, name)) && *rest == '\0')
            return true;
    return false;
}

bool mount_lies_in(const struct vfs_place *parent, const char *name)
{
    if (parent->mount == NULL || parent->deleted)
        return false;
    for (struct vfs_mount *child = parent->mount->children; child; child = child->sibling)
        if (behind_name(child, parent, name))
            return true;
    return false;
}

void mounts_free(struct vfs *vfs)
{
    while (!list_is_empty(&vfs->mounts)) {
        struct vfs_mount *mount = list_entry(vfs->mounts.prev, struct vfs_mount, link);

        list_remove(&mount->link);
        mount_free(mount);
    }
    vfs->root_mount = NULL;
}

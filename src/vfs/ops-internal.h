/* Shared by the operations on places: ops.c, ops-attr.c, open.c. */
#pragma once

#include "vfs/vfs-internal.h"

/* Counts a change of names or attributes, for caches outside of this room. */
void place_changed(const struct vfs_place *place);

/*
 * What has to hold before a name may be made in a directory: -EEXIST comes before -EROFS. The name
 * itself is looked for only where the mount is read-only; else the file system tells.
 */
int place_can_create(struct vfs_place *parent, const char *name, const struct vfs_actor *actor);

/* The object of this name in the directory itself; a link is not followed, a mount not entered. */
int place_look_up(struct vfs_place *parent, const char *name, const struct vfs_actor *actor,
                  struct vfs_node **ret_node);

/* Shared by the files that deal with descriptors: handle*.c, describe.c, generated.c, readdir.c. */
#pragma once

#include <sys/stat.h>

#include "core/request.h"
#include "vfs/vfs-internal.h"

/* Takes a handle out of the table and releases it. */
void handle_drop(struct vfs *vfs, struct vfs_handle *handle);

/* Releases handles of which no guest descriptor is left (handle-sweep.c). */
void handles_sweep(struct vfs *vfs);

/*
 * The handles of which a guest process holds a descriptor, by (device, inode); the caller frees the
 * map. False: a process could not be looked into, and others may be held, too.
 */
bool handles_find_held(struct vfs *vfs, struct map *ret_held);

/* A place for a descriptor that no table knows: by its name on the host, else a foreign one. */
int describe_place(struct vfs *vfs, int fd, const struct stat *stat, struct vfs_place **ret_place);

/* The calling process of a request as an actor. */
struct vfs_actor actor_of_request(struct pk_request *request);

/*
 * What takes the place of a writable generated file below the window: returns a descriptor to write
 * to (the caller's), or a negative errno. What is written to it reaches the file (redirect.c).
 */
int vfs_redirect(struct vfs_node *node, const struct vfs_generated *generated,
                 struct pk_request *request);

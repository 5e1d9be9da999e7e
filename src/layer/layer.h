/*
 * The layer that `cerebro run --overlay DIR` keeps: what it changes against the host, putting that
 * into effect, dropping it.
 *
 * The format is that of the VFS's overlay on a host directory (the heads of vfs/overlay-upper.c and
 * vfs/host-owner.c): plain files; a character device 0:0 for a name that was removed; "opaque" in
 * trusted.overlay.* or user.overlay.* for a directory that hides the host's; user.cerebro.* for
 * owners, modes and device numbers that the user could not set.
 *
 * The layer's own mark is the attribute user.cerebro.layer of DIR, "UID:GID UID:GID PATH": the
 * first guest's ids, the ids of the user who ran it, and the directory of the host that is beneath.
 * Without it the ids are the host's and the directory is "/".
 *
 * Names on the host are walked component by component below a descriptor, and no symbolic link is
 * ever followed: whatever somebody puts in the way, nothing outside of the tree is reached.
 *
 * Threads: a layer is used by one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Who a layer was made by, and on what. */
struct layer_origin {
    uid_t guest_uid, host_uid; /* the guest takes the first for the second */
    gid_t guest_gid, host_gid;
    const char *root; /* borrowed: an absolute path of the host */
};

/*
 * A kernel is going to write to the layer: no commit or discard can begin while the descriptor is
 * open. Leaves the mark where attributes can be had. Returns 0 and the descriptor, which the caller
 * closes, or -EBUSY or another negative errno with `error` filled in.
 */
int layer_use(const char *directory, const struct layer_origin *origin, int *ret_fd,
              struct base_error *error);

struct layer;

enum layer_access {
    LAYER_LOOK,   /* also while a kernel uses it, or somebody else's */
    LAYER_CHANGE, /* nobody else uses it until layer_free(); -EBUSY, -EPERM for another user's */
};

/*
 * Opens a layer. `root` NULL: what the mark says. Returns 0 or a negative errno with `error` filled
 * in; the caller frees it with layer_free(), for which NULL is allowed.
 */
int layer_open(const char *directory, const char *root, enum layer_access access,
               struct layer **ret_layer, struct base_error *error);
void layer_free(struct layer *layer);

enum layer_kind { LAYER_ADDED = 'A', LAYER_MODIFIED = 'M', LAYER_DELETED = 'D' };

/* What is different about a modified object. */
enum layer_what {
    LAYER_TYPE = 1 << 0,
    LAYER_CONTENT = 1 << 1, /* of a file; target of a link; number of a device */
    LAYER_MODE = 1 << 2,
    LAYER_OWNER = 1 << 3,
    LAYER_XATTRS = 1 << 4,
};

/* As the guest sees them. */
struct layer_attributes {
    mode_t mode; /* with the type */
    uid_t uid;
    gid_t gid;
    uint64_t size;
    dev_t device; /* of a device node */
};

struct layer_change {
    enum layer_kind kind;
    const char *path;               /* of the guest; what it consists of is borrowed */
    unsigned what;                  /* LAYER_MODIFIED: at least one */
    struct layer_attributes now;    /* but for LAYER_DELETED */
    struct layer_attributes before; /* but for LAYER_ADDED */
};

/* What somebody wants to be told. Any function may be NULL. */
struct layer_report {
    /* A change; of layer_commit() after it was put into effect. A negative result ends the work. */
    int (*change)(void *user, const struct layer_change *change);
    /* It could not be put into effect, and stays in the layer. */
    void (*failed)(void *user, const char *path, const struct base_error *error);
    /* It was, but something about it was not permitted: "owner 0:0". */
    void (*lost)(void *user, const char *path, const char *what);
    void *user;
};

/* What to do. */
struct layer_task {
    const char *const *paths; /* of the guest, canonical; these and what is below; NULL: all */
    unsigned path_count;
    bool dry_run; /* layer_commit() only tells */
    struct layer_report report;
};

struct layer_counts {
    uint64_t changes; /* told of, put into effect or dropped */
    uint64_t failed;
};

/* The most paths that a task may have. */
#define LAYER_PATHS_MAX 1024

/*
 * Tells of all changes, in lexical order of the paths' components; what is below a removed
 * directory is not named. -ENOENT when nothing has changed at one of the paths. Returns 0 or a
 * negative errno with `error` filled in.
 */
int layer_diff(struct layer *layer, const struct layer_task *task, struct layer_counts *ret_counts,
               struct base_error *error);

/*
 * Puts the changes into effect on the host and takes them out of the layer. Each file is complete
 * under its name or not there at all. What fails is told of, stays in the layer, and does not stop
 * the others, unless nothing more can work (-ENOSPC and its kind). Nothing is taken out of the
 * layer before the host has it on disk; after a crash it can be done again. Directories on the way
 * to a path that the host does not have are made. Returns and counts as layer_diff(); with counts
 * also on failure.
 */
int layer_commit(struct layer *layer, const struct layer_task *task,
                 struct layer_counts *ret_counts, struct base_error *error);

/* Drops the changes. Returns and counts as layer_diff(). */
int layer_discard(struct layer *layer, const struct layer_task *task,
                  struct layer_counts *ret_counts, struct base_error *error);

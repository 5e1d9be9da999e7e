/*
 * The inside of the VFS core: the object, its mounts, places and tables. File system types use
 * vfs/fs.h only. Kernel thread only, like everything in this room.
 */
#pragma once

#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "vfs/fs.h"

#define VFS_PLACE_BUCKETS  1024
#define VFS_REMEMBERED_MAX 256  /* host directories whose place is kept; each holds a descriptor */
#define VFS_HANDLES_SWEEP  1024 /* handles that may gather before dead ones are looked for */
#define VFS_READINGS       16   /* places in directories of the host where somebody reads on */
#define VFS_LINKS_MAX      40   /* MAXSYMLINKS of the kernel */
#define VFS_NAME_MAX       255
#define VFS_PATH_MAX       4096

/* A mounted file system. Mounts live as long as the VFS: nothing is ever unmounted. */
struct vfs_mount {
    struct list link;          /* in vfs->mounts, in the order made */
    struct vfs_mount *parent;  /* the mount in which the mount point lies; NULL for the first */
    struct vfs_mount *sibling; /* next child of the parent */
    struct vfs_mount *children;
    struct vfs_fs *fs;     /* reference */
    struct vfs_node *root; /* reference */
    char *path;            /* canonical, without the slash of "/": "" for the root mount */
    size_t length;
    int id;
    unsigned flags;
    char *source, *type;
    /*
     * The last context that walked from "/" to the mount point, and the generation of names then:
     * while both are the same, the way there need not be walked again.
     */
    uint64_t reached_context; /* 0: none */
    uint64_t reached_generation;
};

struct vfs_place {
    struct list link; /* in a bucket of vfs->places, by path */
    struct vfs *vfs;
    struct vfs_mount *mount; /* NULL: a descriptor from outside, or one without a name */
    struct vfs_node *node;   /* reference, unless `weak` */
    unsigned refs;
    bool deleted;
    bool weak;
    struct watched *watched; /* what guests watch there (watch-internal.h); weak places only */
    size_t length;
    char *path;      /* "/" for the root; own_path or malloc'ed after a rename */
    char own_path[]; /* as first given */
};

/* A descriptor identity that stands for a node (see vfs_register_identity). */
struct vfs_identity {
    struct vfs_node *node;   /* not counted */
    struct vfs_place *place; /* weak, owned; NULL until the file is opened by a name */
    bool is_origin;          /* of the host; has a name there */
};

/* What this thread is on the host, where it may have to act as somebody else (host-act.c). */
struct host_self {
    bool can_act;
    gid_t gid;
    unsigned group_count;
    gid_t groups[PK_GROUPS_MAX];
    uint64_t effective, permitted, inheritable;
};

/* Finds out whether we may, and what to come back to. */
void host_self_init(struct vfs *vfs);

struct vfs_protected; /* a host object or name that guests cannot change (protect.c) */
struct vfs_protected_log;

/* A host directory or file that a guest holds open, and its place. */
struct vfs_remembered {
    struct list link; /* in vfs->remembered_order, most recently used last */
    dev_t device;
    ino_t inode;
    struct vfs_place *place; /* reference */
};

/* How far a directory of the host was read: our position, which is never 0, and the host's. */
struct vfs_reading {
    dev_t device;
    ino_t inode;
    uint64_t position;
    int64_t host_position;
};

/* Hands what lies in redirections to the files that it was written to (redirect.c). */
void vfs_settle(struct vfs *vfs);
void vfs_redirects_free(struct vfs *vfs);

struct vfs {
    struct host_self self;
    struct pk_kernel *kernel;
    unsigned refs; /* one for vfs_new(), one for each place */
    struct list mounts;
    struct vfs_mount *root_mount;
    int next_mount_id;
    unsigned next_device;
    uint64_t epoch; /* counts operations by name; see host nodes */
    struct list places[VFS_PLACE_BUCKETS];
    struct map handles; /* (device, inode) -> struct vfs_handle */
    size_t handle_sweep_at;
    struct map identities; /* (device, inode) -> struct vfs_identity */
    struct map altered;    /* (device, inode) of host files whose names lead elsewhere by now */
    bool distrusts_descriptors;
    struct map remembered; /* (device, inode) -> struct vfs_remembered */
    struct list remembered_order;
    size_t remembered_count;
    struct vfs_reading readings[VFS_READINGS];
    unsigned next_reading;
    struct vfs_fs *foreign;
    struct host_watch *watch; /* of directories of the host, once there is one */
    unsigned watch_looks;     /* that have been made without */
    bool watch_failed;
    struct vfs_protected *protected; /* see vfs_protect() */
    size_t protected_count;
    struct vfs_protected_log *protected_log; /* see vfs_protect_log() */
    struct list redirects;                   /* see redirect.c */
    size_t redirect_count;
    struct list watchers; /* inotify instances, see watch-internal.h */
    size_t watcher_count;
    size_t watcher_sweep_at;
    size_t watched_count;     /* objects watched that are not the host's: 0 costs nothing */
    size_t watch_dying_count; /* of these: files without a name that are open */
    struct map watched_files; /* (device, inode) as guests see it -> struct watched */
    uint32_t watch_cookie;
    size_t watch_queue_max;          /* events; 0: not read yet */
    bool watch_unsettled;            /* watches or marks have ended, see watch_settle() */
    bool watch_overdue;              /* an instance that nobody reads has gathered many events */
    struct pk_identity all_powerful; /* of the kernel itself */
    struct vfs_actor kernel_actor;
};

/* ---- places (place.c) ---- */

/*
 * Makes a place of a node (reference taken over in every case) with a path of `length` bytes ("" is
 * the root). NULL when memory is short.
 */
struct vfs_place *place_new(struct vfs *vfs, struct vfs_mount *mount, struct vfs_node *node,
                            const char *path, size_t length);

/* A place that does not keep its node alive; for identities only. */
struct vfs_place *place_new_weak(struct vfs_place *from);

/* The first place with `watched` at this path of a mount; NULL. */
struct vfs_place *place_find_watched(struct vfs *vfs, const struct vfs_mount *mount,
                                     const char *path, size_t length);

/* Length of a place's path without the slash of "/". */
static inline size_t place_stem(const struct vfs_place *place)
{
    return place->length == 1 ? 0 : place->length;
}

/* The object of this name in `mount` is gone: marks its places. */
void places_removed(struct vfs *vfs, struct vfs_mount *mount, const char *path);

/* Rewrites the paths of places at and below `from` to `to`; with `exchange` both ways. */
int places_renamed(struct vfs *vfs, struct vfs_mount *mount, const char *from, const char *to,
                   bool exchange);

/* Frees every place table entry; part of vfs_free(). */
void vfs_release(struct vfs *vfs);

/* ---- mounts (mount.c) ---- */

/* The mount whose mount point this is, directly in `mount`; NULL when there is none. */
static inline struct vfs_mount *mount_child(const struct vfs_mount *mount, const char *path,
                                            size_t length)
{
    for (struct vfs_mount *child = mount->children; child; child = child->sibling)
        if (child->length == length && memcmp(child->path, path, length) == 0)
            return child;
    return NULL;
}

/* The mount in which a canonical path lies. */
struct vfs_mount *mount_of_path(struct vfs *vfs, const char *path, size_t length);
void mounts_free(struct vfs *vfs);

/* True when something is mounted at `name` in the directory. */
bool mount_covers(const struct vfs_place *parent, const char *name);

/* True when something is mounted at `name` in the directory or anywhere below it. */
bool mount_lies_in(const struct vfs_place *parent, const char *name);

/* ---- the walk (walk.c) ---- */

/* A path under construction: no allocation for ordinary lengths. */
struct walk_path {
    char *text;
    size_t length;
    size_t capacity;
    char room[768];
};

struct walker {
    struct vfs *vfs;
    const struct vfs_walk *walk;
    struct vfs_place *root; /* borrowed: "/" of this walk, above which nothing is reached */
    const char *rest;       /* what is still to be walked */
    char *owned_rest;       /* holds `rest` once a symbolic link was substituted */
    struct vfs_mount *mount;
    struct vfs_node *node;   /* object at the position; NULL: a directory below `anchor` that has
                                been walked through, not looked up itself */
    struct vfs_node *anchor; /* a directory at or above the position, in the same mount */
    size_t anchor_length;
    struct walk_path path;   /* the position, canonical, without the slash of "/" */
    struct vfs_place *place; /* reference: the position is exactly this place; often NULL */
    unsigned links;
    bool from_root; /* every directory from "/" to the position has been searched */
    bool deleted;   /* the position lies in a removed directory: no mounts, no real path */
    bool slash;     /* the path demands a directory */
    int open_flags; /* hint for the last component, -1 */
    bool keeps;     /* what is opened so is asked for attributes as well */
    bool create;    /* for O_CREAT: a missing last component is a success, WALK_MISSING */
    int opened_fd;  /* the object opened as hinted, -1 */
    char name[VFS_NAME_MAX + 1]; /* with WALK_MISSING: the missing component */
};

#define WALK_MISSING 1

/* Starts a walk. The walker must be given to walker_free() in every case. */
int walker_init(struct walker *walker, struct vfs *vfs, const struct vfs_walk *walk);

/*
 * Walks. 0: the object was found; WALK_MISSING (only with `create`): its directory was, which is
 * then the position, and the object is not there.
 */
int walker_run(struct walker *walker);

/* The position must be a directory that the actor may search: 0, -ENOTDIR or -EACCES. */
int walker_enter(struct walker *walker);

/* Makes sure that the node of the position is known. */
int walker_materialise(struct walker *walker);

/* The position as a place (new reference). */
int walker_place(struct walker *walker, struct vfs_place **ret_place);
void walker_free(struct walker *walker);

/* Tells the kernel's observer of the object at the position, when it has a name in the view. */
void walker_saw(const struct walker *walker, enum pk_seen how);

/* The same of a symbolic link, whose name ends at `end` of the position, and what comes behind. */
void walker_saw_link(const struct walker *walker, size_t end);

/* May the actor do this (R_OK, W_OK, X_OK) to the object? The file system's view, no mount flags.
 */
int node_access(struct vfs_node *node, int mode, const struct vfs_actor *actor, bool effective);
int node_stat(struct vfs_node *node, struct statx *ret_stat);

/* -EROFS on a read-only mount (and on places without a mount that cannot be changed). */
int place_writable(const struct vfs_place *place);

/* ---- descriptors (handle.c, foreign.c) ---- */

/* Makes the descriptor of a kernel-served directory or O_PATH object and registers its handle. */
int handle_open_place(struct vfs_place *place, int flags, struct vfs_opened *ret_opened);

/* Tells the tables under which place a descriptor was just opened. */
void handle_attach_place(struct vfs_place *place, const struct vfs_opened *opened);
void handles_free(struct vfs *vfs);
void remembered_free(struct vfs *vfs);
void identities_free(struct vfs *vfs);

int foreign_new(struct vfs *vfs, struct vfs_fs **ret_fs);

/* A node on a duplicate of the descriptor, from outside of every mount. */
int foreign_node(struct vfs *vfs, int fd, struct vfs_node **ret_node);
bool foreign_is(const struct vfs_node *node);
int foreign_fd(const struct vfs_node *node);

/* ---- protect.c ---- */
void protected_free(struct vfs *vfs);

/* ---- host (host.c) ---- */

extern const struct vfs_fs_ops vfs_host_ops;

/* Canonical host path of the root of a host file system, as found when it was made. */
const char *host_fs_path(const struct vfs_fs *fs);

/* Ends the watch on directories of the host. */
void host_watch_free(struct vfs *vfs);

static inline bool fs_is_host(const struct vfs_fs *fs)
{
    return fs->ops == &vfs_host_ops;
}

/*
 * Opens a file of the host (close-on-exec) without any capability of ours (proc-pagemap.c). Returns
 * a descriptor or a negative errno. Some dozens of microseconds: it takes a thread.
 */
int vfs_open_without_rights(int dir, const char *path, int flags);

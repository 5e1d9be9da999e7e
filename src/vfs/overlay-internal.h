/*
 * The overlay: a lower file system that is never changed, and an upper one that takes all changes.
 *
 *   overlay.c          the file system, nodes and their tables, what only reads
 *   overlay-lookup.c   the path walk through both
 *   overlay-open.c     opening
 *   overlay-held.c     files that the guest may have open
 *   overlay-tree.c     what is in the upper, as a tree in memory
 *   overlay-upper.c    acting on the upper; what a host directory cannot hold is recorded there
 *   overlay-copy.c     copy-up
 *   overlay-change.c   making and removing names
 *   overlay-rename.c   rename and link
 *   overlay-attr.c     attributes
 *   overlay-list.c     listing directories, and the list of changes
 *
 * The tree in memory says for each directory that has an upper part which names the upper holds and
 * which are hidden (whiteouts). A path that leaves the tree is the lower's business alone and is
 * handed to it in one piece: nobody asks the upper in vain. The upper must be changed by us only.
 * With a memory upper, whiteouts and opaque marks exist in this tree alone; with a host directory
 * they are on disk as well, in the format of the kernel's overlayfs.
 *
 * An object with a lower part cannot be renamed without being copied up first, and a directory with
 * a lower part cannot be renamed at all (-EXDEV, as in the kernel's overlayfs without redirect_dir;
 * mv and others then copy). So its path is fixed, and a node is found by it.
 *
 * Device and inode number of an object stay what they were when it is copied up, for as long as the
 * overlay lives. New objects get the device of their directory, so that no directory looks like a
 * mount point, and inode numbers that no host file system uses.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "vfs/fs.h"
#include "vfs/memory-names-internal.h"

#define OVERLAY_BUCKETS 1024
#define OVERLAY_RECENT  16  /* merged directories whose node is kept; each holds two descriptors */
#define OVERLAY_HELD    128 /* files of a host upper known by their descriptor */
/* Set in the inode numbers of objects without a lower part. */
#define OVERLAY_NEW_INODE (1ULL << 48)
/* Names in the root of the upper that no guest sees: files being copied up. */
#define OVERLAY_TEMPORARY ".cerebro-"

struct overlay_node;

enum overlay_kind { OVERLAY_WHITEOUT, OVERLAY_OBJECT, OVERLAY_DIRECTORY };

/* What the upper has under a name; the value in a directory's table of names. */
struct overlay_item {
    enum overlay_kind kind;
    mode_t type; /* S_IFMT bits; 0: not known yet */
    ino_t inode; /* in the upper */
};

/* A directory in the upper. */
struct overlay_dir {
    struct overlay_item item;   /* kind OVERLAY_DIRECTORY */
    struct overlay_dir *parent; /* NULL: the root */
    char *name;                 /* in the parent; NULL: the root */
    struct name_table names;
    bool loaded;     /* `names` is complete */
    bool opaque;     /* nothing of the lower shows through */
    bool attributes; /* mode, uid, gid are known */
    mode_t mode;     /* as presented, for searching */
    uid_t uid;
    gid_t gid;
    dev_t device;              /* as presented; new objects inherit it */
    struct overlay_node *node; /* its live node, not held */
};

/* The lower's identity of an object that was copied up. */
struct overlay_origin {
    dev_t device;
    ino_t inode;
};

struct overlay_node {
    struct vfs_node base;
    struct vfs_node *upper;    /* reference or NULL */
    struct vfs_node *lower;    /* reference or NULL; of a copied-up file: NULL */
    struct overlay_dir *dir;   /* directories with an upper part */
    char *path;                /* from the root, with a lower part only; "" is the root */
    struct overlay_node *next; /* in the bucket by path */
    bool in_bucket;
    bool removed;                /* its name in the lower is gone */
    bool kept;                   /* held by the file system while the guest may have it open */
    struct overlay_origin shown; /* presented identity; inode 0: that of upper or lower */
};

/* A file of a host upper that the guest has opened lately. */
struct overlay_held {
    struct overlay_node *node; /* reference; NULL: free */
    dev_t device;              /* identity of the descriptor */
    ino_t inode;
    bool orphan; /* its file in the upper has no name any more */
};

struct overlay_listing {
    struct overlay_node *node; /* not held; NULL: none */
    struct name_table names;   /* of the lower; slots in its order */
};

struct overlay_fs {
    struct vfs_fs base;
    struct vfs_fs *lower, *upper; /* references */
    bool memory;                  /* the upper is one; else a host directory */
    bool privileged;              /* we are root: modes need no record */
    bool native_devices;          /* the guest's root is the host's: device nodes are real */
    const char *xattr_prefix;     /* "trusted.overlay." or "user.overlay." */
    struct overlay_dir *root;
    struct overlay_node *buckets[OVERLAY_BUCKETS];
    struct map by_upper; /* memory: upper node -> overlay node, not held */
    struct map origins;  /* upper inode -> struct overlay_origin */
    struct map kept;     /* upper node -> overlay node, held */
    size_t kept_cursor;
    struct overlay_node *recent[OVERLAY_RECENT]; /* held, so that the next walk finds them made */
    unsigned recent_next;
    struct overlay_held held[OVERLAY_HELD]; /* host upper only */
    unsigned held_next;
    unsigned orphan_count; /* in `held` */
    unsigned orphan_cursor;
    uint64_t temporaries;
    struct overlay_listing listing;
    struct pk_identity all_powerful;
    struct vfs_actor kernel; /* acts on the upper, after permission was judged here */
};

static inline struct overlay_node *overlay_of(struct vfs_node *node)
{
    return container_of(node, struct overlay_node, base);
}

static inline struct overlay_fs *overlay_fs_of(const struct overlay_node *node)
{
    return container_of(node->base.fs, struct overlay_fs, base);
}

/* ---- overlay.c ---- */

/* Appends "/name" to a path of the overlay ("" is the root). malloc'ed; NULL: out of memory. */
char *overlay_join(const char *path, const char *name);

/* The live node with a lower part at this path, not a new reference; NULL. */
struct overlay_node *overlay_by_path(struct overlay_fs *fs, const char *path);
/* It is no longer found by its path. */
void overlay_unhash(struct overlay_fs *fs, struct overlay_node *node);

/*
 * Makes a node for what the lower has at `path` (consumed, as `lower` is, in every case), or finds
 * the one that lives.
 */
int overlay_node_lower(struct overlay_fs *fs, char *path, struct vfs_node *lower,
                       struct vfs_node **ret_node);

/* The node of an upper object in `dir` that is no directory. `upper` is consumed in every case. */
int overlay_node_upper(struct overlay_fs *fs, struct overlay_dir *dir, struct vfs_node *upper,
                       struct vfs_node **ret_node);

/*
 * The node of an upper directory. `lower` (NULL: nothing shows through) and `path` are consumed in
 * every case; when the directory has a live node, that is the result.
 */
int overlay_node_dir(struct overlay_fs *fs, struct overlay_dir *dir, struct vfs_node *lower,
                     char *path, struct vfs_node **ret_node);

/* Attributes as presented. */
int overlay_stat(struct vfs_node *node, struct statx *ret_stat);

/* vfs_permission() and vfs_is_owner() on the presented attributes. */
int overlay_may(struct overlay_node *node, const struct vfs_actor *actor, int may);
int overlay_owned_by(struct overlay_node *node, const struct vfs_actor *actor);

/* The upper's number for an object, as guests are to see it. */
struct overlay_origin overlay_shown(struct overlay_fs *fs, const struct overlay_dir *dir,
                                    ino_t inode);

/* ---- overlay-held.c ---- */

/* Keeps the node of an upper file known while a guest may hold it open. */
void overlay_keep(struct overlay_node *node);
/* The same for a host upper, for as long as the file is among the last ones opened. */
int overlay_hold(struct overlay_node *node, const struct stat *stat);
/* Lets go of kept nodes whose file has no name and no descriptor any more. */
void overlay_sweep(struct overlay_fs *fs);
/* A name of the node's upper file is about to go: the file is to be found without it. */
void overlay_lose_name(struct overlay_node *node);
/* A name of the node's upper file is gone; when it was the last, overlay_sweep() looks at it. */
void overlay_orphaned(struct overlay_node *node);
/* Lets go of all. */
void overlay_let_go(struct overlay_fs *fs);

static inline bool overlay_can(const struct vfs_actor *actor, unsigned capability)
{
    return actor->identity->effective >> capability & 1;
}

/* ---- overlay-open.c ---- */

int overlay_open(struct vfs_node *node, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened);

/*
 * An upper file was opened as `fd`: makes the VFS find this node by it, for fchmod(2) and its kind.
 * Returns 0 or -ENOMEM.
 */
int overlay_announce(struct overlay_node *node, int fd);

/*
 * The node has just been copied up: descriptors that are open on the lower's file lead here from
 * now on. Where that cannot be had they are on their own, as far as their name does not help.
 */
void overlay_announce_origin(struct overlay_node *node);

int overlay_backing(struct vfs_node *node);
bool overlay_hides_lower(struct vfs_node *node, const char *name);
bool overlay_is_open(struct vfs_node *node);

/* ---- overlay-lookup.c ---- */

int overlay_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup);

/*
 * What the lower has under a name in a directory: 1 and a new reference, 0: nothing (or nothing can
 * show through), or a negative errno. `ret_node` may be NULL.
 */
int overlay_lower_child(struct overlay_node *parent, const char *name, struct vfs_node **ret_node);

/* What the upper says about a name, NULL: nothing. Only after overlay_dir_load(). */
struct overlay_item *overlay_find(const struct overlay_dir *dir, const char *name);

/* True when the name exists in the merged directory; or a negative errno. */
int overlay_exists(struct overlay_node *parent, const char *name);

/* The node under a name without following it, a new reference, no permission asked. */
int overlay_child(struct overlay_node *parent, const char *name, struct overlay_node **ret_node);

/* ---- overlay-tree.c ---- */

/* Makes a directory of the tree (no upper object). NULL: out of memory. */
struct overlay_dir *overlay_dir_new(struct overlay_dir *parent, const char *name);
/* Frees it and everything below. Nodes that refer to it lose it. */
void overlay_dir_free(struct overlay_dir *dir);

/* Reads the names of an upper directory, once. */
int overlay_dir_load(struct overlay_fs *fs, struct overlay_dir *dir);

/* Learns mode, owner and device of a directory, once. */
int overlay_dir_attributes(struct overlay_fs *fs, struct overlay_dir *dir);

/* Sets what the upper has under a name, replacing what was there. The directory must be loaded. */
int overlay_set(struct overlay_dir *dir, const char *name, enum overlay_kind kind, mode_t type,
                ino_t inode);
int overlay_set_dir(struct overlay_dir *parent, const char *name, struct overlay_dir *dir);
/* Forgets a name. */
void overlay_unset(struct overlay_dir *dir, const char *name);
/* Takes an item out of the table without freeing it; NULL: there is none. And puts it elsewhere. */
struct overlay_item *overlay_take(struct overlay_dir *dir, const char *name);
int overlay_put(struct overlay_dir *dir, const char *name, struct overlay_item *item);
/* True when there is nothing but whiteouts. The directory must be loaded. */
bool overlay_dir_is_bare(const struct overlay_dir *dir);

/* The upper's node of a directory of the tree, a new reference. */
int overlay_dir_upper(struct overlay_fs *fs, const struct overlay_dir *dir,
                      struct vfs_node **ret_node);

/* The upper's node under a name, a new reference; links are not followed. */
int overlay_upper_child(struct overlay_fs *fs, const struct overlay_dir *dir, const char *name,
                        struct vfs_node **ret_node);

/* ---- overlay-upper.c ---- */

/* Attributes of an upper object with what is recorded beside it. */
int overlay_upper_stat(struct overlay_fs *fs, struct vfs_node *upper, struct statx *ret_stat);

/* Sets owner (-1: as it is) and mode, natively or as a record. */
int overlay_upper_chown(struct overlay_fs *fs, struct vfs_node *upper, uid_t uid, gid_t gid);
int overlay_upper_chmod(struct overlay_fs *fs, struct vfs_node *upper, mode_t mode);

/* Records the mode of a new file, whose set-id bits last until something is written. */
int overlay_upper_limit_set_id(struct overlay_fs *fs, struct vfs_node *upper, mode_t mode);

/* The mode to create an upper object with before overlay_upper_own() gives it the right one. */
mode_t overlay_upper_mode(const struct overlay_fs *fs, mode_t mode);
/* Owner and mode of a new object. */
int overlay_upper_own(struct overlay_fs *fs, struct vfs_node *upper, uid_t uid, gid_t gid,
                      mode_t mode);

/* Makes a device node, or a file that stands for one where that is not allowed. */
int overlay_upper_device(struct overlay_fs *fs, struct vfs_node *parent, const char *name,
                         mode_t mode, dev_t device);

/* Hides a name, which the upper must not hold. With it goes the entry of the tree. */
int overlay_whiteout(struct overlay_fs *fs, struct overlay_dir *dir, const char *name);
/* Removes the whiteout under a name, if there is one, before something else takes the name. */
int overlay_uncover(struct overlay_fs *fs, struct overlay_dir *dir, const char *name);
/* Lets nothing of the lower show through. */
int overlay_make_opaque(struct overlay_fs *fs, struct overlay_dir *dir);
/* True (1) when the upper directory is marked opaque on disk. */
int overlay_is_marked_opaque(struct overlay_fs *fs, struct vfs_node *upper);
/* True when a device found in a host upper is a whiteout. */
bool overlay_is_whiteout(const struct statx *stat);

/* True for attributes that belong to us and are not shown. */
bool overlay_xattr_is_private(const struct overlay_fs *fs, const char *name);

/* ---- overlay-copy.c ---- */

/* Gives a node an upper part. `data`: with its content; else a regular file starts empty. */
int overlay_copy_up(struct overlay_node *node, bool data);

/* A name in the root of the upper that is not in use. */
void overlay_temporary_name(struct overlay_fs *fs, char name[64]);

/* ---- the other files: operations, see struct vfs_fs_ops ---- */

int overlay_create(struct vfs_node *parent, const char *name,
                   const struct vfs_open_request *request, struct vfs_node **ret_node,
                   struct vfs_opened *ret_opened);
int overlay_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                    struct vfs_opened *ret_opened);
int overlay_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
                  const struct vfs_actor *actor);
int overlay_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
                  const struct vfs_actor *actor);
int overlay_symlink(struct vfs_node *parent, const char *name, const char *target,
                    const struct vfs_actor *actor);
int overlay_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                        const struct vfs_actor *actor);
int overlay_unlink(struct vfs_node *parent, const char *name, bool directory,
                   const struct vfs_actor *actor);
int overlay_link(struct vfs_node *node, struct vfs_node *parent, const char *name,
                 const struct vfs_actor *actor);
int overlay_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                   const char *new_name, unsigned flags, const struct vfs_actor *actor);

/* 0, or why nothing can be changed in this directory. */
int overlay_may_change(struct overlay_node *parent, const struct vfs_actor *actor);
/* The permissions and the upper part that making a name needs; -EEXIST when it is taken. */
int overlay_may_add(struct overlay_node *parent, const char *name, const struct vfs_actor *actor);
/* 0 when the merged directory is empty, else -ENOTEMPTY or an error. */
int overlay_is_empty(struct overlay_node *node);
/* Removes what the upper has of a file or a merged-empty directory; the tree is left as it is. */
int overlay_remove_upper(struct overlay_node *parent, const char *name, struct overlay_node *node);
/* An object is no longer seen under the name by which the lower has it. */
void overlay_forget(struct overlay_node *node);
/* The directory's names have changed without a change in the upper: stamps it. */
void overlay_touch_dir(struct overlay_node *node);

/* The mode that is left after a write or a change of the owner. */
mode_t overlay_without_set_id(const struct statx *stat);
int overlay_chmod(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor);
int overlay_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor);
int overlay_utimens(struct vfs_node *node, const struct timespec times[2],
                    const struct vfs_actor *actor);
int overlay_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor);
ssize_t overlay_getxattr(struct vfs_node *node, const char *name, void *value, size_t size);
int overlay_setxattr(struct vfs_node *node, const char *name, const void *value, size_t size,
                     int flags, const struct vfs_actor *actor);
ssize_t overlay_listxattr(struct vfs_node *node, char *names, size_t size);
int overlay_removexattr(struct vfs_node *node, const char *name, const struct vfs_actor *actor);

int overlay_readdir(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor,
                    vfs_emit emit, void *user);
bool overlay_is_untouched(struct vfs_node *base);
void overlay_listing_drop(struct overlay_fs *fs);

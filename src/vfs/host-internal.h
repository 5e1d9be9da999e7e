/*
 * The host file system: a directory (or file) of the host as a file system of the guest. A node is
 * an O_PATH descriptor; nothing is ever looked up by an absolute host path.
 */
#pragma once

#include <sys/sysmacros.h>

#include "base/io.h"
#include "vfs/vfs-internal.h"

#define HOST_LINKS 128 /* slots for learned symbolic links, a power of two */

struct host_link {
    uint64_t hash;
    char *prefix; /* relative to the root of the file system; NULL: free */
    char *target; /* its text while it is watched, else NULL */
    uint64_t generation;
};

struct host_cache; /* host-cache.c */

struct host_fs {
    struct vfs_fs fs;
    char *path;          /* canonical host path of the root, for vfs_guest_path() only */
    dev_t device;        /* st_dev of the root */
    struct map verdicts; /* st_dev of mounts below -> &allowed_device */
    struct host_link links[HOST_LINKS];
    unsigned link_count; /* slots in use */
    struct host_cache *cache;
    bool careful; /* FIFOs have been seen here: look before opening */
};

struct host_node {
    struct vfs_node node;
    int fd;         /* O_PATH (of a file that was opened by a walk: or a duplicate of what it
                       opened); -1 while `base` is set, or for a sealed one without use */
    bool sealed;    /* the root of a host mount that guests must not enter: empty */
    uint64_t epoch; /* vfs->epoch in which `stat` was read; 0: used up */
    dev_t device;
    ino_t inode;
    struct host_node *base; /* with `rel`: how to get `fd` when it is needed after all */
    char *rel;
    struct statx stat;
};

static inline struct host_fs *host_fs_of(const struct vfs_node *node)
{
    return container_of(node->fs, struct host_fs, fs);
}

static inline struct host_node *host_node_of(struct vfs_node *node)
{
    return container_of(node, struct host_node, node);
}

/* ---- host.c ---- */

/* A node on an O_PATH descriptor (consumed in every case) with its attributes. */
int host_node_new(struct host_fs *fs, int fd, const struct statx *stat, struct vfs_node **ret_node);

/* A node that gets its descriptor only when it is needed: base and rel (a path without links). */
int host_node_new_lazy(struct host_fs *fs, struct host_node *base, const char *rel,
                       const struct statx *stat, struct vfs_node **ret_node);

/* The O_PATH descriptor of a node, borrowed; a negative errno when the object is gone. */
int host_fd(struct host_node *node);

/* Reads all attributes. Returns 0 or a negative errno. */
int host_statx(int fd, struct statx *ret_stat);

static inline dev_t host_stat_device(const struct statx *stat)
{
    return makedev(stat->stx_dev_major, stat->stx_dev_minor);
}

/* The attributes of this object have changed: what was read is worth nothing. */
static inline void host_changed(struct host_node *node)
{
    node->epoch = 0;
}

/* ---- host-act.c ---- */

/*
 * While this lives the calling thread has the rights of a task, where they are others than ours:
 *
 *     cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);
 *
 * Only for calls that the host shall judge as the task's own, never around anything that allocates
 * nodes or looks at /proc of others. Kernel thread only.
 */
struct host_acting {
    const struct host_self *self; /* NULL: as ourselves */
    int death_signal;
    pid_t parent;
};
#define cleanup_acting __attribute__((cleanup(host_act_end), unused))

struct host_acting host_act_slowly(const struct vfs *vfs, const struct vfs_actor *actor);
void host_act_end(struct host_acting *acting);

static inline struct host_acting host_act(const struct vfs *vfs, const struct vfs_actor *actor)
{
    return vfs->self.can_act && actor ? host_act_slowly(vfs, actor) : (struct host_acting){0};
}

/* ---- host-lookup.c ---- */

/*
 * openat2() of a path below a directory, without symbolic links on the way; with O_NOFOLLOW the
 * last component may be one. Returns the descriptor or a negative errno.
 */
int host_open_beneath(int base_fd, const char *rel, int flags, uint64_t more_resolve);
int host_lookup(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup);

/* ---- host-watch.c: has anything changed? One watch for the whole VFS ---- */

/* Looks that could have used the watch before there is one: short runs go without. */
#define HOST_LOOKS_BEFORE_WATCH 512

/*
 * The present generation, 0 without a watch. What was watched before it was learned, in the same
 * generation, is still so.
 */
uint64_t host_watch_generation(struct vfs *vfs);

/*
 * Watches an object of the host, "." in the directory for itself; false when it cannot be. Only
 * while there is a generation; may end it.
 */
bool host_watch_add(struct vfs *vfs, int directory_fd, const char *name, bool directory);

/* ---- host-cache.c: directories that are walked through again and again ---- */

/*
 * The O_PATH descriptor (borrowed, until the next call) of the directory that the first `length`
 * bytes of `rel` name below `base`, all real directories of one mount; -1 when it is not at hand.
 */
int host_cache_directory(struct host_node *base, const char *rel, size_t length,
                         const struct vfs_actor *actor);

/* A directory that was found to be removed. */
void host_cache_forget(struct host_fs *fs, int fd);
void host_cache_free(struct host_fs *fs);

/* ---- host-device.c ---- */

/* True when guests may enter the mount that an object of this device was found on. */
bool host_device_allowed(struct host_fs *fs, dev_t device, int fd);

/* True when a file system of this kind must not be reached through the host file system. */
bool host_is_forbidden(int fd, dev_t device);

/* ---- host-open.c ---- */

/*
 * Opens the object at once when it turns out to be a regular file or a directory. Returns a
 * VFS_LOOKUP_NODE, a negative errno, or HOST_NOT_TAKEN: look first.
 */
#define HOST_NOT_TAKEN 1000
int host_open_direct(struct host_node *base, const char *rel, struct vfs_lookup *lookup);
int host_open(struct vfs_node *node, const struct vfs_open_request *request,
              struct vfs_opened *ret_opened);
int host_create(struct vfs_node *parent, const char *name, const struct vfs_open_request *request,
                struct vfs_node **ret_node, struct vfs_opened *ret_opened);
int host_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened);

/* ---- protect.c: what vfs_protect() forbids. 0, -EPERM or -EBUSY ---- */

/* Content, attributes and links of an object. */
int host_may_change(const struct host_node *node);
int host_may_chmod(const struct host_node *node, mode_t mode);
/* Removing, renaming or replacing a name. */
int host_may_take_name(const struct host_node *parent, const char *name);
/* Making a name; -EEXIST when it is there. */
int host_may_make_name(struct host_node *parent, const char *name);

/* ---- host-names.c ---- */
int host_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
               const struct vfs_actor *actor);
int host_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
               const struct vfs_actor *actor);
int host_symlink(struct vfs_node *parent, const char *name, const char *target,
                 const struct vfs_actor *actor);
int host_link(struct vfs_node *node, struct vfs_node *parent, const char *name,
              const struct vfs_actor *actor);
int host_unlink(struct vfs_node *parent, const char *name, bool directory,
                const struct vfs_actor *actor);
int host_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                const char *new_name, unsigned flags, const struct vfs_actor *actor);
int host_readdir(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor, vfs_emit emit,
                 void *user);
int host_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                     const struct vfs_actor *actor);
int host_connect_socket(struct vfs_node *node, int socket_fd, const struct vfs_actor *actor);

/* ---- host-attr.c ---- */
int host_stat(struct vfs_node *node, struct statx *ret_stat);
int host_access(struct vfs_node *node, int mode, const struct vfs_actor *actor);
int host_statfs(struct vfs_node *node, struct statfs *ret_statfs);
ssize_t host_readlink(struct vfs_node *node, char *text, size_t size,
                      const struct vfs_actor *actor);
int host_chmod(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor);
int host_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor);
int host_utimens(struct vfs_node *node, const struct timespec times[2],
                 const struct vfs_actor *actor);
int host_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor);
ssize_t host_getxattr(struct vfs_node *node, const char *name, void *value, size_t size);
int host_setxattr(struct vfs_node *node, const char *name, const void *value, size_t size,
                  int flags, const struct vfs_actor *actor);
ssize_t host_listxattr(struct vfs_node *node, char *names, size_t size);
int host_removexattr(struct vfs_node *node, const char *name, const struct vfs_actor *actor);
int host_backing(struct vfs_node *node);

/* ---- host-owner.c: owners that the host did not set ---- */

/* Ids as the guest sees them: virtual ones, and what is recorded. Nothing without virtual ids. */
void host_owner_map(struct host_node *node, struct statx *stat);

/* chown(2) with virtual ids; (uid_t)-1 and (gid_t)-1 leave as it is. Returns 0 or an errno. */
int host_owner_change(struct host_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor);

/*
 * A name was made or removed: what was recorded of it is forgotten. `dir_fd` is any descriptor of
 * the directory.
 */
void host_owner_name_gone(struct host_fs *fs, int dir_fd, const char *name);

/* It was renamed, replacing another or (RENAME_EXCHANGE) changing places with it. */
void host_owner_name_moved(struct host_fs *fs, int old_fd, const char *old_name, int new_fd,
                           const char *new_name, unsigned flags);

/* It became one more name of the object `fd`. */
void host_owner_name_added(struct host_fs *fs, int fd, int dir_fd, const char *name);

/*
 * A new object was made for this actor: records its owner when the host gave it another one. `fd`
 * is any descriptor of it.
 */
void host_record_owner(struct host_fs *fs, int fd, const struct vfs_actor *actor);

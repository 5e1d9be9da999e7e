/*
 * What a file system type implements. One implementation each: host, memory, overlay, proc, sys,
 * dev. For the inside of the VFS room only; everybody else uses vfs/vfs.h.
 *
 * A node is one object of a file system, counted. File systems embed struct vfs_node as the first
 * member of their own node. An operation left NULL answers -EPERM (modification) or -EOPNOTSUPP.
 * The VFS core checks mount flags (read-only: -EROFS), mount points (-EBUSY, -EXDEV) and the sticky
 * bit before it calls an operation; a file system checks permissions by itself: the host file
 * system through the host, all others with vfs_permission().
 */
#pragma once

#include "base/strbuf.h"
#include "core/kernel.h"
#include "vfs/vfs.h"

struct vfs_fs_ops;

struct vfs_fs {
    const struct vfs_fs_ops *ops;
    struct vfs *vfs;
    unsigned refs;
    dev_t device;          /* st_dev of its objects where it makes them up */
    struct vfs_node *root; /* holds a reference */
};

struct vfs_node {
    struct vfs_fs *fs;
    unsigned refs;
    mode_t type; /* S_IFMT bits */
};

/* Result of a lookup that did not end at an object. */
enum vfs_lookup_kind {
    VFS_LOOKUP_NODE,  /* complete: `node` is the object */
    VFS_LOOKUP_LINK,  /* a symbolic link stands in the way (or at the end, and is to be followed) */
    VFS_LOOKUP_MAGIC, /* a link that leads to an object directly: /proc/self/fd/3, exe, cwd, root */
};

struct vfs_lookup {
    const struct vfs_actor *actor;
    bool follow_last;        /* in: a link as last component counts as standing in the way */
    int open_flags;          /* in: a hint: the object is to be opened so at once, -1: it is not */
                             /* (regular files and directories only; without O_CREAT, O_EXCL) */
    bool only_look;          /* in: the object is asked about at once and then let go */
    bool keeps;              /* in: what is opened as hinted is asked for attributes as well */
    struct vfs_node *node;   /* out: new reference */
    size_t consumed;         /* out, LINK and MAGIC: bytes of `rel` up to the end of the link */
    char *target;            /* out, LINK: malloc'ed text of the link */
    struct vfs_place *place; /* out, MAGIC: new reference */
    int opened_fd;           /* out: the object opened as hinted, -1 when the hint was not taken */
};

/* How to make or open a file. */
struct vfs_open_request {
    const struct vfs_actor *actor;
    int flags;   /* O_*, without O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECTORY: already dealt with */
    mode_t mode; /* for new files, umask applied */
};

/*
 * A directory entry handed to the collector of readdir; false asks to stop. `name` NULL: this entry
 * number is no longer in use (the entry was removed): it counts, but nothing is shown. So the
 * numbers of the other entries do not move while a guest removes what it has just read.
 */
typedef bool (*vfs_emit)(void *user, const char *name, uint64_t inode, mode_t type);

struct vfs_fs_ops {
    const char *name;
    uint64_t magic; /* statfs f_type */

    /*
     * Walks `rel` (one or more plain components, no ".", "..", empty ones or slashes at the ends)
     * from a directory node. Returns an enum vfs_lookup_kind or -errno. Interior components must
     * be directories (-ENOTDIR) that the actor may search (-EACCES).
     */
    int (*lookup)(struct vfs_node *base, const char *rel, struct vfs_lookup *lookup);
    /*
     * The node is going to be kept beyond this call: from now on it must be found whatever happens
     * to its name. NULL: it always is.
     */
    void (*hold)(struct vfs_node *node);
    /* The last reference is gone: free the node. */
    void (*release)(struct vfs_node *node);
    /* The file system is unmounted for good: free it (nodes are gone). */
    void (*destroy)(struct vfs_fs *fs);

    int (*stat)(struct vfs_node *node, struct statx *ret_stat);
    /* NULL: the core decides from stat. */
    int (*access)(struct vfs_node *node, int mode, const struct vfs_actor *actor);
    int (*statfs)(struct vfs_node *node, struct statfs *ret_statfs);
    /* A directory without a real descriptor of its own: -ENOTSUP, and the core makes a handle. */
    /*
     * Called for every type of object that a host descriptor can stand for, directories included.
     * With O_PATH the descriptor is for ourselves, see vfs_open_own_path(). NULL or -EOPNOTSUPP for
     * a directory: the core makes a kernel-served descriptor, after a check of the permission.
     */
    int (*open)(struct vfs_node *node, const struct vfs_open_request *request,
                struct vfs_opened *ret_opened);
    /* Makes a regular file and opens it; -EEXIST when the name is taken. */
    int (*create)(struct vfs_node *parent, const char *name, const struct vfs_open_request *request,
                  struct vfs_node **ret_node, struct vfs_opened *ret_opened);
    int (*tmpfile)(struct vfs_node *parent, const struct vfs_open_request *request,
                   struct vfs_opened *ret_opened);
    int (*mkdir)(struct vfs_node *parent, const char *name, mode_t mode,
                 const struct vfs_actor *actor);
    int (*mknod)(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
                 const struct vfs_actor *actor);
    int (*symlink)(struct vfs_node *parent, const char *name, const char *target,
                   const struct vfs_actor *actor);
    int (*link)(struct vfs_node *node, struct vfs_node *parent, const char *name,
                const struct vfs_actor *actor);
    int (*unlink)(struct vfs_node *parent, const char *name, bool directory,
                  const struct vfs_actor *actor);
    int (*rename)(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                  const char *new_name, unsigned flags, const struct vfs_actor *actor);
    ssize_t (*readlink)(struct vfs_node *node, char *text, size_t size,
                        const struct vfs_actor *actor);
    int (*chmod)(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor);
    int (*chown)(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor);
    int (*utimens)(struct vfs_node *node, const struct timespec times[2],
                   const struct vfs_actor *actor);
    int (*truncate)(struct vfs_node *node, off_t length, const struct vfs_actor *actor);
    ssize_t (*getxattr)(struct vfs_node *node, const char *name, void *value, size_t size);
    int (*setxattr)(struct vfs_node *node, const char *name, const void *value, size_t size,
                    int flags, const struct vfs_actor *actor);
    ssize_t (*listxattr)(struct vfs_node *node, char *names, size_t size);
    int (*removexattr)(struct vfs_node *node, const char *name, const struct vfs_actor *actor);
    /*
     * For inotify: a new descriptor (O_PATH will do) of the host's object that changes when the
     * content of this one does, or of the lower part of a directory. -EOPNOTSUPP: there is none.
     */
    int (*backing)(struct vfs_node *node);
    /* A directory with a backing: true when what that has under this name is not shown. */
    bool (*hides_lower)(struct vfs_node *node, const char *name);
    /* True while a guest has the file open. NULL: that cannot be known. */
    bool (*is_open)(struct vfs_node *node);
    int (*bind_socket)(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                       const struct vfs_actor *actor);
    int (*connect_socket)(struct vfs_node *node, int socket_fd, const struct vfs_actor *actor);
    /*
     * Lists a directory from entry number `from` on ("." and ".." not included, the caller adds
     * them). Entry numbers are stable while nothing is removed.
     */
    int (*readdir)(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor,
                   vfs_emit emit, void *user);
    /*
     * For file systems whose directories may be opened as directories of the host: true while
     * such a one still shows what the host's does. Later it is listed with readdir, whose entries
     * then begin with the host's, in the host's order. NULL: it always does.
     */
    bool (*is_untouched)(struct vfs_node *node);
    /*
     * What there is, only lookup says (as in the kernel's proc): who would make a name that is not
     * there gets ENOENT, before any permission is looked at.
     */
    bool fixed_names;
    /*
     * The file systems that this one is made of, upper first (borrowed; NULL past the last one).
     * NULL as operation: none. Lets a host path be found beneath an overlay.
     */
    struct vfs_fs *(*layer)(struct vfs_fs *fs, unsigned index);
};

struct vfs_node *vfs_node_ref(struct vfs_node *node);
void vfs_node_unref(struct vfs_node *node);
struct vfs_fs *vfs_fs_ref(struct vfs_fs *fs);

/* A device number of its own for a file system that makes up its inode numbers. */
dev_t vfs_new_device(struct vfs *vfs);

#define VFS_MAY_EXEC  1
#define VFS_MAY_WRITE 2
#define VFS_MAY_READ  4

/*
 * The kernel's own permission rule (mode bits, owner, groups, CAP_DAC_OVERRIDE and
 * CAP_DAC_READ_SEARCH) for an actor's fsuid. Returns 0 or -EACCES.
 */
int vfs_permission(const struct vfs_actor *actor, const struct statx *stat, int may);

/* True when the actor owns the object or has CAP_FOWNER. */
bool vfs_is_owner(const struct vfs_actor *actor, const struct statx *stat);

/* Ids of the host as the guest is to see them (the user who runs us appears as the guest's uid). */
uid_t vfs_uid_to_guest(const struct vfs *vfs, uid_t host_uid);
gid_t vfs_gid_to_guest(const struct vfs *vfs, gid_t host_gid);

/* The kernel that a VFS belongs to. */
struct pk_kernel *vfs_kernel(const struct vfs *vfs);

/* A kernel-served open object. Embedded first in a file system's own handle. */
struct vfs_handle_ops {
    /* Serves one call, see vfs_handle_call(). NULL: directories (getdents by readdir). */
    struct pk_answer (*call)(struct vfs_handle *handle, struct pk_request *request, int fd);
    /* Frees the handle itself; its node and place have been released. */
    void (*release)(struct vfs_handle *handle);
};

struct vfs_handle {
    const struct vfs_handle_ops *ops;
    struct vfs_node *node;   /* reference held */
    struct vfs_place *place; /* reference held; may be NULL for files */
    dev_t device;            /* identity of the descriptor that the guest holds; */
    ino_t inode;             /* this and the next are set by vfs_handle_register() */
    uint64_t registered_ns;  /* io_now_ns() */
    int path_flags;          /* stands for an O_PATH descriptor opened with these; 0: does not */
};

/*
 * Registers a handle under the identity of `fd` (a memfd or one end of a socket pair made for it).
 * The VFS owns the handle from then on and releases it once no guest descriptor with that identity
 * is left (found by a sweep when many have gathered). Returns 0 or a negative errno (handle not
 * consumed).
 */
int vfs_handle_register(struct vfs *vfs, struct vfs_handle *handle, int fd);

/*
 * Opens a generated file: `text` is its content at this moment, held by a sealed memfd. With
 * `regenerate` not NULL the file is live: it is installed in the window, every read from position 0
 * calls `regenerate` again. With `store` not NULL it is writable: each write is handed over whole.
 * `cookie` is passed to both; the node is kept referenced while the file is open.
 */
struct vfs_generated {
    int (*regenerate)(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                      struct strbuf *ret_text);
    int (*store)(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                 const char *text, size_t length);
    /* ioctl(2); returns what it returns. NULL: -ENOTTY. */
    int (*control)(struct vfs_node *node, const struct vfs_actor *actor, void *cookie,
                   struct pk_request *request);
    void *cookie;
};
int vfs_open_generated(struct vfs_node *node, const struct vfs_open_request *request,
                       const struct vfs_generated *generated, bool live,
                       struct vfs_opened *ret_opened);

/*
 * Says that names which led to this host object now lead to a copy of it: attributes of descriptors
 * that are still open on it are to be found by name. Where memory is short, all are.
 */
void vfs_note_altered(struct vfs *vfs, dev_t device, ino_t inode);

/* The same for every object of the host: a file system shows other numbers than the host's. */
void vfs_distrust_descriptors(struct vfs *vfs);

/* Remembers that a host object (device, inode) opened by the guest is this place. */
void vfs_remember_place(struct vfs *vfs, const struct statx *stat, struct vfs_place *place);

/*
 * Says that descriptors with this identity are the content of `node`: a memory file system calls it
 * for the memfd of a file, so that fstat, fchmod and their kind on an open file find mode, owner
 * and links. The node is not referenced: its file system must call vfs_forget_identity() before
 * the node goes. Returns 0 or -ENOMEM.
 */
int vfs_register_identity(struct vfs *vfs, dev_t device, ino_t inode, struct vfs_node *node);
void vfs_forget_identity(struct vfs *vfs, dev_t device, ino_t inode);

/*
 * As vfs_register_identity(), for the host's file of which `node` is a copy: descriptors that are
 * still open on it are the node's where their name on the host no longer leads to it.
 */
int vfs_register_origin(struct vfs *vfs, dev_t device, ino_t inode, struct vfs_node *node);
/* Forgets it if it is this node's. */
void vfs_forget_origin(struct vfs *vfs, dev_t device, ino_t inode, const struct vfs_node *node);

/* True for nodes of host file systems. */
bool vfs_is_host_node(const struct vfs_node *node);

/*
 * The O_PATH descriptor behind a host node, borrowed and valid as long as the node is; a negative
 * errno when there is none (any more). For copy-up and for tests.
 */
int vfs_host_node_fd(struct vfs_node *node);

/*
 * A node of a host file system for an object that was just opened and may have no name; `fd` stays
 * the caller's. Returns 0 or a negative errno.
 */
int vfs_host_node_of_fd(struct vfs_fs *fs, int fd, struct vfs_node **ret_node);

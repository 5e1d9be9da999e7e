/*
 * The memory file system: directories are tables of names, regular files are memfds which the guest
 * reads, writes and maps natively.
 *
 *   memory.c          the file system, nodes, lookup, listing
 *   memory-file.c     content of regular files, space
 *   memory-orphan.c   files without a name that are still open
 *   memory-park.c     content of files that nobody has open, when descriptors are short
 *   memory-names.c    the table of names of a directory
 *   memory-change.c   making, linking and removing names
 *   memory-rename.c   rename
 *   memory-attr.c     attributes
 *   memory-xattr.c    extended attributes
 *   memory-special.c  FIFOs and sockets
 *
 * A name holds a reference to its node. A node without a name lives as long as somebody holds it;
 * the content of a file that the guest has open belongs to the host kernel and lives on by itself.
 *
 * st_dev and st_ino are the file system's own. A native fstat(2) on an open file shows those of the
 * memfd instead: served calls agree among themselves, and so do native ones.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/list.h"
#include "vfs/fs.h"
#include "vfs/memory-names-internal.h"

#define MEMORY_BLOCK 4096

struct memory_node;

struct memory_xattr {
    struct memory_xattr *next;
    size_t size;
    unsigned char name_length;
    char bytes[]; /* name, NUL, value */
};

struct memory_fs {
    struct vfs_fs base;
    uint64_t max_bytes;  /* 0: no limit */
    uint64_t max_inodes; /* 0: no limit */
    uint64_t inode_count;
    uint64_t next_inode;
    uint64_t used_bytes; /* as counted last; see memory_reserve() */
    unsigned changes;    /* since it was counted */
    struct list files;   /* nodes with a memfd, by memory_content.link, oldest first */
    size_t file_count;
    size_t park_at; /* number of memfds at which to look for some to park */
    uint64_t parked_bytes;
    struct memory_node **orphans; /* files without a name that the guest may have open; held */
    size_t orphan_count;
    size_t orphan_capacity;
    size_t orphan_cursor;
    bool can_chown; /* memfds can be given the guest's ids */
};

struct memory_directory {
    struct memory_node *parent; /* not held; NULL: the root, or removed */
    struct name_table names;
};

struct memory_content {
    struct memory_node *node; /* whose content this is */
    struct list link;         /* in memory_fs.files while fd >= 0 */
    int fd;                   /* the memfd, -1: parked, or empty and never opened */
    bool linkable;            /* made by O_TMPFILE: may get a first name */
    size_t size;              /* of what is parked */
    char *parked;             /* NULL: nothing is */
    struct timespec made;     /* st_ctim of the memfd when it was made: no change of the file */
};

struct memory_node {
    struct vfs_node base;
    uint64_t inode;
    uid_t uid;
    gid_t gid;
    uint32_t nlink;
    mode_t mode; /* 07777 bits */
    struct timespec atime, mtime, ctime, btime;
    struct memory_xattr *xattrs;
    union {
        struct memory_directory *directory;
        struct memory_content *content; /* regular files */
        char *target;                   /* symbolic links */
        dev_t device;                   /* device nodes */
        int special_fd;                 /* O_PATH descriptor of a FIFO or socket, -1: none yet */
    };
};

static inline struct memory_node *memory_of(struct vfs_node *node)
{
    return container_of(node, struct memory_node, base);
}

static inline struct memory_fs *memory_fs_of(const struct memory_node *node)
{
    return container_of(node->base.fs, struct memory_fs, base);
}

/* ---- memory.c ---- */

/* Coarse time of day, as the host's tmpfs stamps. */
struct timespec memory_now(void);

/* Stamps a change of attributes; with `content`, of content (of a directory: its names) as well. */
void memory_touch(struct memory_node *node, bool content);

/* vfs_permission() on a node. */
int memory_may(const struct memory_node *node, const struct vfs_actor *actor, int may);

bool memory_owned_by(const struct memory_node *node, const struct vfs_actor *actor);

/*
 * Makes a node without a name, owned as a child of `parent` (may be NULL) that the actor makes.
 * `mode` has type and permission bits. Returns 0, -ENOMEM or -ENOSPC; the caller gets the
 * reference.
 */
int memory_node_new(struct memory_fs *fs, const struct memory_node *parent, mode_t mode,
                    const struct vfs_actor *actor, struct memory_node **ret_node);

/* ---- memory-file.c ---- */

/* Makes the memfd of a regular file if it has none yet. `name` is for /proc/PID/maps only. */
int memory_content_need(struct memory_node *node, const char *name);

/* Closes the memfd; what the guest has open lives on. */
void memory_content_free(struct memory_node *node);

/* Brings mode and owner of the memfd in line with the node's. `fresh`: it has just been made. */
void memory_content_attributes(const struct memory_node *node, bool fresh);

/* 0 or -ENOSPC. Counts the space anew from time to time. */
int memory_reserve(struct memory_fs *fs, uint64_t bytes);

/* Bytes that all content takes. */
uint64_t memory_count_bytes(struct memory_fs *fs);

/* True when somebody besides us has the file open or mapped, or when that cannot be found out. */
bool memory_is_open_elsewhere(int fd);

int memory_open(struct vfs_node *node, const struct vfs_open_request *request,
                struct vfs_opened *ret_opened);
int memory_truncate(struct vfs_node *node, off_t length, const struct vfs_actor *actor);

/* Opens an existing or new regular file without asking for permission. */
int memory_content_open(struct memory_node *node, int flags, struct vfs_opened *ret_opened);

/* ---- memory-orphan.c ---- */

/*
 * A file has lost its last name (or never had one). While the guest has it open it stays known, so
 * that its attributes remain what they were; later calls here find out when it is no longer so.
 */
void memory_orphan_add(struct memory_node *node);
/* It has a name (again). */
void memory_orphan_remove(struct memory_node *node);
/* Looks at a few orphans and drops those that nobody has open; called with every change of names.
 */
void memory_orphan_sweep(struct memory_fs *fs);
void memory_orphan_free(struct memory_fs *fs);

/* ---- memory-park.c ---- */

/*
 * A memfd is about to be made: closes some that nobody uses when there are too many for our limit
 * of descriptors, keeping their content in memory of our own.
 */
void memory_park_some(struct memory_fs *fs);

/* Fills a new memfd with what was parked. Returns 0 or a negative errno. */
int memory_unpark(struct memory_node *node, int fd);
void memory_park_free(struct memory_node *node);

/* ---- memory-change.c ---- */

/* 0, or why nothing can be made in this directory: -ENOENT (removed), -EACCES. */
int memory_may_change(const struct memory_node *parent, const struct vfs_actor *actor);

int memory_create(struct vfs_node *parent, const char *name, const struct vfs_open_request *request,
                  struct vfs_node **ret_node, struct vfs_opened *ret_opened);
int memory_tmpfile(struct vfs_node *parent, const struct vfs_open_request *request,
                   struct vfs_opened *ret_opened);
/* As the operation; also hands out the node (a new reference). For the overlay. */
int memory_tmpfile_node(struct vfs_node *parent, const struct vfs_open_request *request,
                        struct vfs_node **ret_node, struct vfs_opened *ret_opened);
int memory_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
                 const struct vfs_actor *actor);
int memory_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
                 const struct vfs_actor *actor);
int memory_symlink(struct vfs_node *parent, const char *name, const char *target,
                   const struct vfs_actor *actor);
int memory_link(struct vfs_node *node, struct vfs_node *parent, const char *name,
                const struct vfs_actor *actor);
int memory_unlink(struct vfs_node *parent, const char *name, bool directory,
                  const struct vfs_actor *actor);

/* A node has lost a name: count, stamp, and let go of the name's reference. */
void memory_drop_name(struct memory_node *parent, struct memory_node *node);

/* ---- memory-rename.c ---- */

int memory_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                  const char *new_name, unsigned flags, const struct vfs_actor *actor);

/* ---- memory-attr.c ---- */

/* Content or owner changes: the set-id bits go, unless the actor has CAP_FSETID. */
void memory_drop_set_id(struct memory_node *node, const struct vfs_actor *actor);
bool memory_is_member(const struct vfs_actor *actor, gid_t gid);
static inline bool memory_can(const struct vfs_actor *actor, unsigned capability)
{
    return actor->identity->effective >> capability & 1;
}

int memory_stat(struct vfs_node *node, struct statx *ret_stat);
int memory_chmod(struct vfs_node *node, mode_t mode, const struct vfs_actor *actor);
int memory_chown(struct vfs_node *node, uid_t uid, gid_t gid, const struct vfs_actor *actor);
int memory_utimens(struct vfs_node *node, const struct timespec times[2],
                   const struct vfs_actor *actor);

/* ---- memory-xattr.c ---- */

ssize_t memory_getxattr(struct vfs_node *node, const char *name, void *value, size_t size);
int memory_setxattr(struct vfs_node *node, const char *name, const void *value, size_t size,
                    int flags, const struct vfs_actor *actor);
ssize_t memory_listxattr(struct vfs_node *node, char *names, size_t size);
int memory_removexattr(struct vfs_node *node, const char *name, const struct vfs_actor *actor);
/* Removes one without asking; nothing happens when there is none. */
void memory_xattr_drop(struct memory_node *node, const char *name);
void memory_xattr_free(struct memory_node *node);

/* ---- memory-special.c ---- */

/* Lets the VFS find the node by a descriptor of its content, until that is closed. */
int memory_identity_add(struct memory_node *node, int fd);
void memory_identity_remove(const struct memory_node *node, int fd);

void memory_special_free(struct memory_node *node);

int memory_open_special(struct memory_node *node, int flags, struct vfs_opened *ret_opened);
int memory_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                       const struct vfs_actor *actor);
int memory_connect_socket(struct vfs_node *node, int socket_fd, const struct vfs_actor *actor);

/*
 * The inside of inotify, and what the operations of this room tell it.
 *
 *   watch.c        instances: making, finding, forgetting
 *   watch-queue.c  events: from the host's queue to the guest's
 *   watch-mark.c   marks: what an instance watches on the host
 *   watch-add.c    watches: adding and removing
 *   watch-event.c  what happens in the tree, told by the operations
 *
 * A *watch* is what the guest asked for. A *mark* is a watch of the same instance as the host knows
 * it. A watch on an object of a host mount is one mark, and the host does everything. A watch on
 * any other object has a mark on an inode that nothing ever happens to: it gives the watch its
 * number, counts against the host's limits, and announces the end of the watch (IN_IGNORED) in its
 * place in the queue. What such a watch tells comes from two sources:
 *
 *   - Names and attributes: the operations of this room call the functions below, and the events go
 *     into the instance's own queue.
 *   - Data: reading, writing and closing are native. Files that the guest opens get *hidden marks*
 *     on the very inode that it is given, and their events are translated to those of the watches.
 *     A hidden mark on the lower directory of an overlay shows what processes of the host change.
 *
 * The order of events is right because the host's queue is always emptied into ours before an event
 * is added to it. The instance must then be readable natively though the host's queue is empty:
 * this is done by the *bell*, a mark on a memfd of ours whose mode is set once more.
 *
 * All inotify descriptors share one inode, so they cannot be told apart by identity as other
 * descriptors are; kcmp(2) with the one that we keep does it. Since we keep one, an instance does
 * not end with the guest's last close: the sweep (watch.c) finds out.
 *
 * While no object is watched in this way each hook costs one comparison.
 */
#pragma once

#include <sys/inotify.h>

#include "vfs/vfs-internal.h"
#include "vfs/watch.h"

/* Events that come of using a file natively, once it is open. */
#define WATCH_DATA (IN_ACCESS | IN_MODIFY | IN_CLOSE)
/* What a host process does to a directory of a lower layer. */
#define WATCH_LOWER (WATCH_DATA | IN_ATTRIB | IN_MOVE | IN_CREATE | IN_DELETE)

/* A queued event: the head as the guest gets it, and `event.len` bytes of name. */
struct watch_event {
    struct watch_event *next;
    struct inotify_event event;
};

struct vfs_watcher {
    struct list link; /* in vfs->watchers */
    struct vfs *vfs;  /* NULL: the VFS is gone */
    unsigned refs;
    int fd;              /* the host's instance */
    int bell;            /* memfd, -1 until it is needed */
    int bell_mark;       /* its number on the host */
    struct map marks;    /* number on the host -> struct watch_mark */
    struct map inodes;   /* (device, inode) -> struct watch_mark, but not placeholders */
    struct list watches; /* struct watch */
    struct watch_event *first, *last;
    size_t count, bytes; /* queued */
    size_t sweep_at;     /* events that may gather before we look whether anybody is left */
    bool missed;         /* the last sweep found nobody who holds it */
};

/* What a guest has asked for. */
struct watch {
    struct list link;    /* in watcher->watches */
    struct list sibling; /* in watched->watches */
    struct vfs_watcher *watcher;
    struct watched *watched; /* NULL: an object of the host, which does everything */
    int number;
    uint32_t mask;  /* IN_ALL_EVENTS bits */
    uint32_t flags; /* IN_ONESHOT, IN_EXCL_UNLINK */
    bool dead;      /* removed; freed by watch_settle() */
};

/* An object that is not the host's and that somebody watches. */
struct watched {
    struct vfs_place *place; /* weak: it follows renames and does not keep the object */
    struct list watches;     /* by watch.sibling */
    dev_t device;            /* as guests see it */
    ino_t inode;
    bool indexed;           /* in vfs->watched_files */
    struct vfs_node *dying; /* reference: nameless, but open; it ends when that is closed */
};

/*
 * What an instance watches on the host. An inode has one mark at most, so a mark can serve several
 * watches.
 */
struct watch_mark {
    int number;
    uint32_t bits; /* told to the host, hidden marks only */
    dev_t device;  /* identity of the inode */
    ino_t inode;
    struct watch *own;    /* has this number; gets all events if it is of the host */
    struct watch *self;   /* hidden: on this very object */
    struct watch *lower;  /* hidden: on the directory whose lower part this is */
    struct watch *parent; /* hidden: on the directory that this is in, as `name` */
    char *name;
    bool is_token;  /* stands for a directory */
    bool announced; /* the guest is to see its IN_IGNORED, though `own` is gone */
};

/* ---- watch.c ---- */
void watchers_free(struct vfs *vfs);
/* Looks for instances that no guest holds and forgets them. */
void watchers_sweep(struct vfs *vfs);

/* ---- watch-queue.c ---- */

/* Moves all events of the host's queue to ours. */
void watch_drain(struct vfs_watcher *watcher);

/* Sees to it that the instance is readable when something is queued. */
void watch_ring(struct vfs_watcher *watcher);

/* Queues an event for a watch if it asked for it; to be called between the two above. */
void watch_deliver(struct watch *watch, uint32_t mask, uint32_t cookie, const char *name);

/* Queues one unconditionally. */
void watch_queue(struct vfs_watcher *watcher, int number, uint32_t mask, uint32_t cookie,
                 const char *name);
void watch_queue_free(struct vfs_watcher *watcher);

/* ---- watch-mark.c ---- */

/*
 * Makes the hidden mark on the object behind `fd`, or finds it, and adds `bits`. NULL: it cannot be
 * had (limits, memory).
 */
struct watch_mark *watch_mark_hidden(struct vfs_watcher *watcher, int fd, uint32_t bits);

/* The mark of a watch on the object behind `fd`, an object of the host, with the guest's mask. */
int watch_mark_native(struct vfs_watcher *watcher, int fd, uint32_t mask,
                      struct watch_mark **ret_mark);

/* A mark on an inode that nothing happens to. */
int watch_mark_placeholder(struct vfs_watcher *watcher, struct watch_mark **ret_mark);

/* The mark is to tell `watch` about its file `name`. */
void watch_mark_child(struct watch_mark *mark, struct watch *watch, const char *name);

/* Ends a mark on the host if nobody needs it any more. */
void watch_mark_release(struct vfs_watcher *watcher, struct watch_mark *mark);

/* Ends it on the host; what is in the queue still goes to its watches. */
void watch_mark_retire(struct vfs_watcher *watcher, struct watch_mark *mark);

/* The host has ended it. */
void watch_mark_gone(struct vfs_watcher *watcher, struct watch_mark *mark);

/*
 * The file of a mark on its directory is now in another one (NULL: one that nobody watches), of
 * which the same instance's watch takes over.
 */
void watch_mark_move(struct vfs_watcher *watcher, struct watch_mark *mark, const struct watched *to,
                     const char *name);

/* Takes a watch out of all marks. */
void watch_marks_forget(struct watch *watch);
void watch_marks_free(struct vfs_watcher *watcher);

/* ---- watch-add.c ---- */

/* Ends a watch; IN_IGNORED follows. It is freed by watch_settle(). */
void watch_end(struct watch *watch);

/* Ends watches on files without a name that have been closed. */
void watch_end_closed(struct vfs_watcher *watcher);

/* Frees what has ended, and drains instances from which marks were taken. */
void watch_settle(struct vfs *vfs);

/* The data of an open file is to be told to a watch on it, or on its directory with `name`. */
void watch_data(struct watch *watch, int fd, uint32_t bits, const char *name, bool is_token);

/* ---- watch-event.c: for the operations of this room ---- */

static inline bool watch_is_active(const struct vfs *vfs)
{
    return vfs->watched_count != 0;
}

/* What is watched at this path of a mount; NULL. */
struct watched *watched_at(struct vfs *vfs, const struct vfs_mount *mount, const char *path,
                           size_t length);
/* ... or is this object under another name. */
struct watched *watched_of(struct vfs_place *place);

/* A name was made in a directory. */
void watch_made(struct vfs_place *parent, const char *name, bool is_directory);

/* Something happened to an object: IN_ATTRIB, IN_MODIFY, IN_ACCESS, IN_OPEN. */
void watch_happened(struct vfs_place *place, uint32_t mask);

/* The number of names of a file has changed. */
void watch_linked(struct vfs_place *place);

/* An existing file is to be opened with O_TRUNC. */
void watch_opening(struct vfs_place *place);

/* A file or directory was opened as `fd`. */
void watch_opened(struct vfs_place *place, int fd, int flags);

/* `fd` is the content of a file, and the last reference to it is about to be closed. */
void watch_content_closed(struct vfs *vfs, int fd);

/* A name that is to be removed or replaced, and what is watched there. */
struct watch_name {
    struct vfs_place *parent;
    const char *name;
    struct watched *watched; /* the object; NULL */
    struct vfs_node *node;   /* reference; NULL: not looked for */
    dev_t device;
    ino_t inode;
    dev_t content_device; /* of the inode behind a regular file; */
    ino_t content_inode;  /* 0: there is none */
    bool last;            /* it is the object's last name */
};

/*
 * Looks at a name before it is changed; `path` is its path, and all must stay valid until the call
 * of watch_removed() or watch_renamed() that has to follow.
 */
void watch_name_find(struct vfs_place *parent, const char *name, const char *path,
                     struct watch_name *ret_name);

/* It was removed (`done`), or not. */
void watch_removed(struct watch_name *name, bool is_directory, bool done);

/* `from` was renamed to `to` (`done`), or not. */
void watch_renamed(struct watch_name *from, struct watch_name *to, bool exchange, bool done);

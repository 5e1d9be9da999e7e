/*
 * The inside of a layer.
 *
 *   open.c     opening, locking and marking one
 *   look.c     one object of layer or host, with what is recorded beside it
 *   compare.c  what is different about two
 *   walk.c     through layer and host at the same time
 *   task.c     which paths are meant
 *   diff.c     telling
 *   commit.c   putting into effect: what is done to each name
 *   make.c     making objects on the host
 *   remove.c   removing trees, and names from the layer
 *   discard.c  dropping
 */
#pragma once

#include <limits.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "layer/layer.h"

/* Names in the root of a layer that no guest sees, and those of files that are being made. */
#define LAYER_TEMPORARY      ".cerebro-"
#define LAYER_TEMPORARY_SIZE 32

struct layer {
    char *directory; /* as named by the user */
    char *root;
    int fd;                     /* of the directory */
    int root_fd;                /* of the host's */
    struct layer_origin origin; /* root: the above */
    dev_t device; /* of the directory, which must not be changed on the host by itself */
    ino_t inode;
};

/* One object. */
struct look {
    int fd;           /* O_PATH */
    bool whiteout;    /* of a layer: the name is removed; nothing else is set */
    struct stat stat; /* as the host has it */
    struct layer_attributes shown;
};

#define cleanup_look __attribute__((cleanup(look_close)))
#define LOOK_NONE    ((struct look){.fd = -1})

static inline void look_close(struct look *look)
{
    base_close(look->fd);
    look->fd = -1;
}

static inline bool look_is(const struct look *look, mode_t type)
{
    return look->fd >= 0 && !look->whiteout && (look->shown.mode & S_IFMT) == type;
}

/* ---- look.c ---- */

/*
 * An object of the layer or of the host by its name in a directory; a link is not followed.
 * Returns 0 or a negative errno: -ENOENT there is none. The caller closes the look.
 */
int look_in_layer(const struct layer *layer, int dir_fd, const char *name, struct look *ret_look);
int look_on_host(const struct layer *layer, int dir_fd, const char *name, struct look *ret_look);

/* True when a directory of the layer lets nothing of the host show through. */
bool look_is_opaque(const struct look *look);

/* Forgets the owner that a directory of the layer has recorded for a name. */
void look_forget_owner(int dir_fd, const char *name);

/* Opens a regular file or directory that was looked at. Returns a descriptor or negative errno. */
int look_open(const struct look *look);

/*
 * Appends the extended attributes that a guest sees, sorted: name, NUL, size as a uint32_t, value.
 * Of security.* only the capability is taken: labels belong to a place. -EOPNOTSUPP when the
 * kernel's overlayfs has left something here that only it understands.
 */
int look_xattrs(const struct look *look, bool of_layer, struct strbuf *ret_list);

/* ---- compare.c ---- */

/* What is different between the host's object and the layer's. Returns LAYER_* or negative errno.
 */
int compare_looks(const struct look *now, const struct look *before);

/* ---- walk.c ---- */

/* A directory of the layer, and the host's of the same path. */
struct level {
    struct level *above;
    int layer_fd, host_fd; /* host_fd -1: there is none */
    bool opaque;
    bool hidden;  /* nothing of the host shows through */
    char **names; /* sorted; owned */
    size_t count, next;
    size_t path_length; /* of the directory */
    void *user;         /* of the one who walks */
};

/* What is under one name. */
struct item {
    struct level *level;
    const char *name, *path;
    struct look now, before; /* fd -1: there is none */
    bool different;
    struct layer_change change; /* when different */
};

enum walk_answer { WALK_ON, WALK_INTO }; /* or a negative errno */

struct walk {
    struct layer *layer;
    struct level *level;
    struct strbuf path;
    /*
     * For each name. WALK_INTO: on with what is below, if the layer has a directory there;
     * item.before is then what the host has now.
     */
    int (*visit)(struct walk *walk, struct item *item);
    /* After all names below a directory; `level` still stands. May be NULL. */
    int (*left)(struct walk *walk, struct level *level);
    bool ended; /* by an error: `left` is only to free what it has put into the levels */
    void *user;
};

/* Walks the whole layer. Returns 0 or the negative errno that ended it. */
int walk_layer(struct walk *walk);

/* Compares what is under a name. The caller closes both looks whatever is returned. */
int walk_compare(struct layer *layer, struct level *level, const char *path, const char *name,
                 struct item *item);

/*
 * The directory in which the last component of a path lies, below `root_fd`, no link followed.
 * `ret_name` points into the path. Returns an O_PATH descriptor or a negative errno.
 */
int walk_to_parent(int root_fd, const char *path, const char **ret_name);

/* ---- task.c ---- */

enum selection { SELECTED_NOT, SELECTED_ABOVE, SELECTED }; /* ABOVE: something below it is meant */

struct selecting {
    const struct layer_task *task;
    bool found[LAYER_PATHS_MAX];
    struct layer_counts counts;
};

enum selection task_selects(const struct selecting *selecting, const char *path);
/* A change was found there. */
void task_found(struct selecting *selecting, const char *path);
/* 0, or -ENOENT with `error` filled in when a path has led to nothing. */
int task_complete(const struct selecting *selecting, struct base_error *error);

/* ---- make.c ---- */

/* Files of the layer with several names, and where on the host they are now. */
struct links {
    struct map by_inode; /* of the layer -> struct link, owned */
};

void links_free(struct links *links);

/*
 * What is not permitted about owners and attributes is appended to `lost`, and the rest is done.
 * All return 0 or a negative errno; then the host is as before.
 */
/* Gives the host's object under the name what the layer's has: any type but directories. */
int make_object(const struct layer *layer, struct links *links, const struct item *item,
                struct strbuf *lost);
/* Makes a directory that has its attributes still to come. */
int make_directory(const struct layer *layer, const struct item *item);
/* Owner, mode, extended attributes, and times if it is `made`, of what the host has. */
int make_attributes(const struct layer *layer, int fd, const struct look *now,
                    const struct look *before, bool made, struct strbuf *lost);

/* A name that nobody else has. */
void make_temporary_name(char name[LAYER_TEMPORARY_SIZE]);

/* ---- remove.c ---- */

/*
 * Removes what is under a name, and all below. Of the host: -EBUSY for a mount point, or where the
 * layer itself lies below; `layer` NULL: of the layer.
 */
int remove_tree(const struct layer *layer, int dir_fd, const char *name);

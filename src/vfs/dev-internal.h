/*
 * The inside of the dev file system: dev.c (the tree and the host's own devices), dev-terminal.c
 * (tty, ptmx, pts), dev-served.c (devices served by the process kernel), dev-mirror.c (their
 * readiness), dev-test.c.
 */
#pragma once

#include "base/list.h"
#include "vfs/device.h"
#include "vfs/pseudo-internal.h"

#define DEV_HOST_MAX 8

/* A terminal that this tree may open by name. */
struct dev_terminal {
    struct list link; /* in dev_fs->terminals */
    int node;         /* O_PATH of its node: stays bound to this very terminal */
    dev_t number;
    int pty;   /* N of /dev/pts/N; -1: another kind of terminal */
    uid_t uid; /* as changed by the guest; -1: the host's */
    gid_t gid;
    struct pseudo_entry entry; /* other kinds: their line in the tree */
    char name[64];
};

struct dev_fs {
    struct pseudo_fs base;
    int hosts[DEV_HOST_MAX]; /* O_PATH of the host's devices, in the order of dev_hosts */
    int pts;                 /* O_PATH of the host's /dev/pts, -1: none */
    struct list terminals;
    struct list served;      /* of struct dev_served */
    struct vfs_device *test; /* NULL: none */
};

static inline struct dev_fs *dev_fs_of(const struct pseudo_access *access)
{
    return (struct dev_fs *)access->fs;
}

/* ---- dev.c ---- */

/* Opens what an O_PATH descriptor names, never as controlling terminal of this process. */
int dev_reopen(int path_fd, int flags);

/* The host's device of this name as opened at the start; -1: not there. */
int dev_host_fd(const struct dev_fs *fs, const char *name);

/* ---- dev-terminal.c ---- */
extern const struct pseudo_directory dev_pts_directory;
int dev_open_tty(const struct pseudo_access *access, const struct vfs_open_request *request,
                 struct vfs_opened *ret_opened);
int dev_open_ptmx(const struct pseudo_access *access, const struct vfs_open_request *request,
                  struct vfs_opened *ret_opened);
int dev_open_terminal(const struct pseudo_access *access, const struct vfs_open_request *request,
                      struct vfs_opened *ret_opened);

/* The terminal that a node stands for; NULL: none, or hung up. */
struct dev_terminal *dev_terminal_of(struct dev_fs *fs, const struct pseudo_node *node);

/* Finds the terminals that the guest starts with: those of this process. */
int dev_terminals_inherit(struct dev_fs *fs);
void dev_terminals_free(struct dev_fs *fs);

/* ---- dev-served.c ---- */

/* A node of a served device; its entry's `open` leads to its files. */
struct dev_served {
    struct list link; /* in dev_fs->served */
    struct dev_fs *fs;
    const struct vfs_device *device;
    struct list files; /* of struct vfs_device_file */
    struct pseudo_entry entry;
    char name[];
};

/* The served device whose line this is; NULL for other lines. */
struct dev_served *dev_served_of(const struct pseudo_entry *entry);
void dev_served_free(struct dev_fs *fs);

/* ---- dev-mirror.c: readiness of a device as that of a socket ---- */

struct dev_mirror {
    int guest; /* duplicate of the end that the guest has */
    int ours;
    unsigned shown; /* POLLIN and POLLOUT as the guest sees them */
};

#define DEV_MIRROR_NONE ((struct dev_mirror){.guest = -1, .ours = -1})

/* Makes the pair; `ret_guest_fd` is the guest's end, owned by the caller. */
int dev_mirror_init(struct dev_mirror *mirror, bool nonblocking, int *ret_guest_fd);
void dev_mirror_fini(struct dev_mirror *mirror);

/* Makes the guest's end as ready as `ready` says. */
void dev_mirror_show(struct dev_mirror *mirror, unsigned ready);

/* ---- dev-test.c ---- */
struct vfs_device *dev_test_new(void); /* NULL: no memory */
void dev_test_free(struct vfs_device *device);

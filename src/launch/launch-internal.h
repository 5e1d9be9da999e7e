/* For the inside of the launch room only. */
#pragma once

#include <sys/resource.h>

#include "base/strbuf.h"
#include "launch/launch.h"

/*
 * Mounts the view of the options: root overlay, /tmp, /proc, /sys, /dev, binds. Returns the
 * overlays for reports.
 */
int view_build(struct vfs *vfs, const struct launch_options *options,
               struct launch_layers *ret_layers, struct base_error *error);

/* Mounts one more piece of the host, making what it is mounted on. */
int view_bind(struct vfs *vfs, const struct launch_bind *bind, struct base_error *error);

/*
 * Shows the names in network rules, with their addresses, in the view's /etc/hosts, which becomes
 * read-only then. Does nothing when there are none.
 */
int view_add_hosts(struct vfs *vfs, const struct pk_net_rules *rules, struct base_error *error);

/* ---- names in network rules, net-names.c ---- */

/*
 * Looks up the names in rules: `ret_rules` (the caller frees it) has one rule for each address of
 * each name, and the others as they are. May take as long as name servers let one wait. Returns 0,
 * or -ENODATA (a name without address) or another negative errno with `error` filled in.
 */
int net_names_resolve(const struct pk_net_rules *rules, struct pk_net_rules *ret_rules,
                      struct base_error *error);

/* Appends lines for /etc/hosts: the names that may be turned to, but for localhost. */
void net_names_hosts(const struct pk_net_rules *rules, struct strbuf *text);

/*
 * The parts of it. mkdir -p inside the view, and the mount point that an object of this type needs:
 * a directory or an empty file.
 */
int view_make_directories(struct vfs *vfs, const char *path);
int view_make_mount_point(struct vfs *vfs, const char *path, mode_t type);

/* Opens a part of the host to the guest; `source` is canonical. Returns 0 or a negative errno. */
int view_mount_host(struct vfs *vfs, const char *source, const char *target, bool read_only);

/* Where the program that reads archives lies; `size` is PATH_MAX. Returns 0 or -ENOENT. */
int launch_archive_path(char *path, size_t size, struct base_error *error);

/* Mounts an archive: a piece of the view of kind LAUNCH_ARCHIVE. */
int view_mount_archive(struct vfs *vfs, const struct launch_bind *bind, struct base_error *error);

/* The canonical path of a name of the view. Returns 0 or what the walk says. */
int view_canonical(struct vfs *vfs, const char *path, struct vfs_place **ret_place);

/*
 * Finds what a bind shows, and makes it first where it asks for that. `ret_source` is the canonical
 * host path, for the caller to free; NULL when the bind is optional and there is nothing to show.
 * Returns 0 or a negative errno with `error` filled in.
 */
int view_find_source(const struct launch_bind *bind, char **ret_source, struct base_error *error);

/*
 * mkdir -p on the host of what lies behind the first `start` bytes of an absolute path. Returns 0
 * or a negative errno; then the directories above stay.
 */
int view_make_on_host(const char *path, size_t start, mode_t mode);

/*
 * The host's path of a guest path, as long as no bind shows something else there; `host` has room
 * for PATH_MAX. Returns 0 or -ENAMETOOLONG.
 */
int view_host_path(const struct launch_options *options, const char *path, char *host);

/* Whether the object at a path of the view is the one that the host has at view_host_path(). */
bool view_shows_host(struct vfs *vfs, const struct launch_options *options, const char *path);

/* The root of a minimal view, and its end: nothing can be made in it any more. */
int view_minimal_root(struct vfs *vfs, struct base_error *error);
int view_minimal_seal(struct vfs *vfs, struct base_error *error);

/*
 * Shows a path of the host under its own name: symbolic links on the way are made, what they lead
 * to is bound. Returns 0 or a negative errno.
 */
int view_show_path(struct vfs *vfs, const char *path, bool read_only);

/* Covers what the user has hidden, under every name that a bind gives it. */
int view_hide(struct vfs *vfs, const struct launch_options *options, struct base_error *error);

struct report_only;

/*
 * Tells of what the options would have refused, for a run in which they do not. Called when the
 * view is complete; the observer of the kernel is set. Freed after the guest is gone.
 */
int report_only_start(struct pk_kernel *kernel, struct vfs *vfs,
                      const struct launch_options *options, struct report_only **ret_report);
void report_only_free(struct report_only *report); /* NULL is allowed */

/* The guest path in which the program starts; at most PATH_MAX with the terminator. */
int view_cwd(const struct launch_options *options, char *path, size_t size);

/*
 * Finds the program as execvp does, in the guest's view with the guest's PATH, and makes its plan.
 * Fills in what the shell is to get on failure.
 */
int program_find(struct pk_kernel *kernel, const struct launch_options *options,
                 const struct pk_context *context, struct pk_exec_plan **ret_plan,
                 int *ret_exit_status, struct base_error *error);

/* The environment of a guest with another allocator (launch_options.allocator); else all 0. */
struct allocator {
    char **envp;        /* for the guest; owned, of its strings only `variable` is */
    char *variable;     /* "LD_PRELOAD=...", shared with processes that are forked later */
    size_t size;        /* ... with so much room */
    const char *former; /* its value before, or NULL; borrowed from the options */
};

/* Before the first process is forked. Returns 0 or a negative errno. */
int allocator_prepare(const struct launch_options *options, struct allocator *allocator,
                      struct base_error *error);

/*
 * Finds the library, checks that it is one, and puts it in front of LD_PRELOAD; before the first
 * process goes on. A path, or a name that is looked for in the usual directories, first in the view
 * and then on the host; what only the host has is bound read-only below /tmp/.cerebro-allocator.
 */
int allocator_place(struct allocator *allocator, struct vfs *vfs, const struct vfs_actor *actor,
                    const char *wanted, struct base_error *error);

/* Whether a program takes libraries at all. Returns 0 or -ENOTSUP. */
int allocator_check_program(const struct pk_exec_plan *plan, const char *program,
                            struct base_error *error);

void allocator_release(struct allocator *allocator);

struct control_server;

/*
 * Starts answering requests about a running kernel over the control channel (control/control.h);
 * the caller frees the server before the trap. Returns 0 or a negative errno.
 */
int reports_start(struct pk_kernel *kernel, struct trap *trap, struct control_server **ret_server);

struct remote;

/*
 * Hands intercepted calls and denials to the program at the other end of the channel, and does what
 * it asks for. When it ends, the guest is ended. Returns 0 or a negative errno; freed before the
 * trap.
 */
int remote_start(struct pk_kernel *kernel, struct trap *trap, int channel,
                 struct remote **ret_remote);

/* Tells how it ended. NULL is allowed, here and below. */
void remote_end(struct remote *remote, const struct launch_result *result);
void remote_free(struct remote *remote);

/*
 * True once somebody wants to end what has not begun yet (Ctrl-C while the view is made). For what
 * takes long; the program, if it still comes up, gets the signal. From any thread.
 */
bool launch_is_unwanted(void);

/* The signals that this process ignores. */
void signals_ignored(sigset_t *ret_ignored);

/* ---- account.c: the memory of a tree, added up ---- */

#define ACCOUNT_PROCESSES 4096 /* more are not looked at */

/* Room for a look, as no memory may be allocated where it happens. */
struct account {
    pid_t pids[ACCOUNT_PROCESSES];
    unsigned count;
};

/*
 * Bytes that the descendants of this process have resident, files included; what several share is
 * counted once when that decides about `limit`. Async-signal-safe.
 */
uint64_t account_memory(struct account *account, uint64_t limit);

/* In the reaper: adds what is seen now to the usage. Async-signal-safe. */
void account_usage(struct account *account, struct launch_usage *usage);

/* Shared memory. Times in ns of CLOCK_MONOTONIC. */
struct limits_seen {
    _Atomic unsigned full; /* how often the number of processes was at its limit */
    _Atomic uint64_t started;
    _Atomic bool wall;   /* the time was up */
    _Atomic bool memory; /* the processes together had more than they may */
    struct account account;
    bool measured; /* `usage` is wanted */
    struct launch_usage usage;
};

/* What holds the limits of a tree. */
struct limits_holder {
    char cgroups[4][256];   /* directories made by us, "" where none: unified, pids, memory, cpu */
    uint64_t process_limit; /* RLIMIT_NPROC and RLIMIT_DATA where no cgroup could be made */
    uint64_t data_limit;
    struct pk_limits limits;
    struct rlimit open_files; /* as the user had it; ours is raised */
    /*
     * What the reaper sees, which looks now and then because the host counts nowhere what it
     * refuses; shared with it. NULL: there is nothing to look at.
     */
    struct limits_seen *seen;
};

/*
 * Makes what will hold the limits: cgroups where they can be made, else values for rlimits. Fails
 * with a hint when a limit cannot be held at all. `measured`: what the tree uses is wanted, too.
 */
int limits_prepare(const struct pk_limits *limits, bool measured, struct limits_holder *holder,
                   struct base_error *error);

/*
 * Puts the calling process, the guest's first, under the limits. Returns 0 or a negative
 * errno.
 */
int limits_enter(struct limits_holder *holder);

/* Looks at what the host does not hold by itself; what trap_start.look asks for, and answers. */
enum trap_verdict limits_look(struct limits_holder *holder, bool ended);

/* How often: an interval in which a program that was refused a process has not given up yet. */
#define LIMITS_LOOK_MS 100

/* Removes the cgroups; the guest must be gone. Async-signal-safe. */
void limits_release(struct limits_holder *holder);

/* Removes the cgroups of a supervisor that was killed before it could. */
void limits_forget(pid_t supervisor);

/*
 * Finds out which limits the tree ran into: from the cgroups' counters, from what was answered, and
 * from how the first process ended. Without a cgroup the host counts nowhere what it refuses: then
 * pids is looked at now and then, and memory can only be suspected.
 */
void limits_find_breaches(const struct limits_holder *holder, const struct pk_stats *stats,
                          struct launch_result *result);

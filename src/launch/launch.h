/*
 * Starting a program under a process kernel of its own: the view it gets, its limits, and the three
 * processes that take part.
 *
 *   front       what the user started; in the terminal's job; waits, forwards signals, passes the
 *               exit status on, and kills what is left if the supervisor dies
 *   supervisor  a child of the front: process kernel, VFS and trap; in a process group of its own,
 *               so that Ctrl-C and Ctrl-Z reach the guest and not its kernel
 *   guest       the program and everything it starts, descendants of the supervisor
 *
 * Threads: call from one thread.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/kernel.h"
#include "trap/trap.h"
#include "vfs/vfs.h"

/* Exit statuses of `cerebro run` besides the program's own (128 + n for a signal). */
#define LAUNCH_EXIT_FAILED    125 /* cerebro itself failed */
#define LAUNCH_EXIT_NOT_RUN   126 /* found, but cannot be run here */
#define LAUNCH_EXIT_NOT_FOUND 127

enum launch_bind_kind {
    LAUNCH_BIND,      /* a piece of the host made visible */
    LAUNCH_SCRATCH,   /* an empty directory in memory, writable, in place of what is there */
    LAUNCH_ARCHIVE,   /* an archive as a tree; not `read_only`: beneath a throw-away layer */
    LAUNCH_DIRECTORY, /* an empty directory, in a minimal view only; what is there is left alone */
};

/* A piece of the view. */
struct launch_bind {
    enum launch_bind_kind kind;
    const char *source; /* host path; NULL but for LAUNCH_BIND and LAUNCH_ARCHIVE */
    const char *target; /* guest path; NULL: the same as the absolute source */
    bool read_only;
    bool optional; /* a source that does not exist is left out */
    bool create;   /* one that does not exist is made: a directory, mode 0700, and its parents */
};

enum launch_view {
    LAUNCH_VIEW_HOST,    /* the host's files beneath a throw-away layer */
    LAUNCH_VIEW_MINIMAL, /* nothing but the binds, /tmp, /proc, /sys and /dev; read-only */
};

struct launch_options {
    const char *root;    /* host directory that becomes "/"; NULL: the host's "/" */
    const char *overlay; /* host directory that keeps what is written; NULL: memory */
    enum launch_view view;
    const struct launch_bind *binds; /* in this order: later ones cover earlier ones */
    unsigned bind_count;
    const char *const *hidden; /* paths that cannot be entered; a missing one is no error */
    unsigned hidden_count;
    uint16_t denied[PK_NR_LIMIT]; /* see struct pk_config; abi_may_deny() holds for each */
    /*
     * What view, binds, hidden paths, denied calls and net would refuse is told and let through.
     * Limits hold all the same.
     */
    bool report_only;
    enum pk_net_mode net;
    struct pk_net_rules net_rules; /* as parsed, with PK_NET_HOST; owned by the caller */
    bool has_uid;                  /* `uid` and `gid` were asked for */
    uid_t uid;
    gid_t gid;
    const char *cwd;   /* guest path; NULL: the current directory */
    char *const *argv; /* program and arguments */
    char *const *envp;
    const char *allocator; /* library that takes malloc's place in the guest; NULL: none */
    struct pk_limits limits;
    struct pk_faults *faults; /* what is injected; borrowed; NULL: nothing */
    bool stats;
    bool no_walls;           /* leave out namespaces and Landlock */
    bool wait_for_all;       /* background processes may outlive the first one */
    bool debugfs;            /* the guest may read /sys/kernel/debug/cerebro */
    bool test_device;        /* /dev/cerebro-test */
    bool no_vdso;            /* as if the host had none; always so if `intercepted` needs it */
    const sigset_t *ignored; /* signals the program starts with ignored (nohup); NULL: those that
                                are ignored now */
    /* A channel to the program that made this kernel (control/channel.h); borrowed. */
    bool has_channel;
    int channel;
    /* Numbers that it intercepts, a bit for each; see abi_may_intercept(). */
    uint64_t intercepted[PK_NR_LIMIT / 64];
    const char *without; /* host features to do without, for tests: "send,journal,sync" */
    bool has_protected;  /* `protected_fd` is a file of the host that no guest may change */
    int protected_fd;    /* borrowed */
    /* Files of this name, and "NAME.anything", in that directory of the host; NULL: none. */
    const char *protected_log;
    int protected_directory; /* borrowed */
};

enum launch_evidence {
    LAUNCH_COUNTED,   /* so many times */
    LAUNCH_SEEN,      /* no cgroup: the tree was seen at its limit so many times */
    LAUNCH_SUSPECTED, /* no cgroup: the program's end looks like it */
};

/* A limit that the program ran into. */
struct launch_breach {
    enum launch_evidence evidence;
    char name[8];   /* as --limit names it */
    uint64_t limit; /* in the unit of struct pk_limits */
    uint64_t times; /* how often */
};

#define LAUNCH_BREACHES_MAX 7

/*
 * What a tree used, with launch_options.stats. Memory and processes are looked at ten times a
 * second, so what is shorter is not seen; the rest is of processes that were waited for.
 */
struct launch_usage {
    uint64_t memory_peak;    /* bytes, of all processes together; what they share counts once */
    uint64_t processes_peak; /* at a time */
    uint64_t largest;        /* bytes, resident, of one process */
    uint64_t user_us, system_us;
    uint64_t read_bytes, written_bytes; /* by calls, pipes and sockets included */
};

/* Why and how it ended. */
struct launch_result {
    int wait_status; /* of the first process, as waitpid gives it; valid when `ran` */
    bool ran;
    int exit_status; /* for the shell */
    uint64_t duration_ns;
    struct launch_breach breaches[LAUNCH_BREACHES_MAX];
    unsigned breach_count;
    struct launch_usage usage;
};

/* Overlays of a view, and where they are mounted. */
#define LAUNCH_LAYERS_MAX 2
struct launch_layers {
    struct {
        struct vfs_fs *overlay; /* owned by its mount */
        char path[4096];        /* "" for the root */
    } layers[LAUNCH_LAYERS_MAX];
    unsigned count;
    int in_use; /* of what --overlay keeps: see layer_use(); 0: nothing is kept */
};

/*
 * What the supervisor does with a kernel whose guest has ended: reports. Called in the supervisor,
 * before the VFS is taken down. The layers hold what was written, for vfs_overlay_changes().
 */
typedef void (*launch_report)(void *user, struct pk_kernel *kernel,
                              const struct launch_layers *layers,
                              const struct launch_result *result);

struct launch_hooks {
    struct pk_sink sink;
    launch_report report;               /* may be NULL */
    const struct pk_observer *observer; /* NULL: nobody; not with report_only */
    const struct pk_tracer *tracer;     /* NULL: nobody */
    void *user;
};

/*
 * Runs the program to its end, in a supervisor process of its own. Returns 0 with the result, or a
 * negative errno with `error` filled in; then result->exit_status says what the shell is to get.
 */
int launch_run(const struct launch_options *options, const struct launch_hooks *hooks,
               struct launch_result *ret_result, struct base_error *error);

/* Who wants to know of the first process while it runs. Any function may be NULL. */
struct launch_watch {
    /* It is about to run. On the thread that supervises. */
    void (*started)(void *user, pid_t pid, struct trap *trap);
    /* It has stopped, goes on or has ended: trap_start.first_changed. On any thread. */
    void (*changed)(void *user, int wait_status);
    /* The trap that `started` got is about to be freed. On the thread that supervises. */
    void (*ended)(void *user);
    void *user;
};

/*
 * The same in the calling process, which becomes the supervisor (and a subreaper): for tests and
 * for embedding. `process_group` as in struct trap_start.
 */
int launch_supervise(const struct launch_options *options, const struct launch_hooks *hooks,
                     pid_t process_group, const struct launch_watch *watch,
                     struct launch_result *ret_result, struct base_error *error);

/* Where the loader lies on the host: beside this program, or where it was installed. */
int launch_loader_path(char *path, size_t size, struct base_error *error);

/* Where the shipped profiles lie, likewise; `size` is PATH_MAX. -ENOENT: there are none. */
int launch_profiles_path(char *path, size_t size);

/*
 * From a machine event to a request: the seccomp filter, the notification loop, guest memory, the
 * loader, diverted and deferred calls. Knows no personality: requests go to core/dispatch, answers
 * come back from there.
 *
 * Threads of a started trap:
 *   kernel thread   the thread that calls trap_run(): receives, dispatches, answers, and is the
 *                   tracer of exec diversions. Owns all of struct pk_kernel.
 *   parking thread  started by the first deferred call (at once where the host's RECV does not end
 *                   with the last guest): tracer of guests that sleep in a deferred call.
 *   workers         run jobs that may block, at most TRAP_WORKERS_MAX at a time; more jobs queue.
 * They meet under one lock inside struct trap (trap/trap-internal.h).
 *
 * Processes:
 *   reaper          a child of this process and the parent of the first guest. Orphaned guests are
 *                   reparented to it; it reaps them, reports how the first guest ended, and kills
 *                   the whole tree when this process dies, however it dies. It is not a guest.
 *   guests          descendants of the reaper.
 *
 * End of the tree: when the first process ends, all other guests are killed, as in a PID namespace
 * whose init ends; with trap_start.wait_for_all they live on until the last has ended by itself.
 *
 * Signals of this process: the trap blocks SIGCHLD in the calling thread (every other thread must
 * have it blocked, too) and handles SIGURG and SIGIO, which it uses to interrupt its own threads;
 * all are put back by trap_free().
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "core/exec.h"
#include "core/kernel.h"

struct trap;

#define TRAP_WORKERS_MAX 256

/* What the host offers; probed once, at start, by doing. `false` has a fallback or a refusal. */
struct trap_features {
    bool user_notification; /* 5.0 ... with ADDFD (5.9): required */
    bool addfd_send;        /* 5.14: one call less per open */
    bool wait_killable;     /* 5.19: else the journal of the last mutating call */
    bool sync_wake_up;      /* 6.6: else a served call may wake another CPU (slower) */
    bool pidfd_getfd;       /* 5.6: else guests send us their descriptors (fetch.c) */
    bool process_vm;        /* reading a child's memory works (Yama, LSM): required */
    bool seize;             /* ptrace(SEIZE) of a child works: required */
    bool pidfd_thread;      /* 6.9 */
    bool mseal;             /* 6.10: second lock on the loader's page */
    bool user_namespaces;   /* further wall */
    int landlock_abi;       /* 0: none; further wall */
    bool recv_ends;         /* 6.11: RECV returns when the last guest is gone */
    bool context_limit;     /* RLIMIT_LOCKS can carry context ids: required */
    unsigned filter_length; /* instructions of the filter */
    unsigned kernel_major, kernel_minor;

    /* What the trial of a required feature ended with: 0 or a negative errno. */
    int notification_error;
    int pidfd_getfd_error;
    int process_vm_error;
    int seize_error;
    int context_limit_error;
    int yama_scope; /* kernel.yama.ptrace_scope; -1: this host has no such rule */
};

/*
 * Probes the host with two short-lived child processes, of which no trace remains. Takes less than
 * a millisecond where a fork does. Returns 0; single probes never fail as a whole.
 */
int trap_probe(struct trap_features *ret_features);

/*
 * The same without starting any process, for every run: what is required is taken for granted and
 * what a flag's check can tell is asked. When trap_new() fails, trap_probe() and
 * trap_check_features() say why.
 */
void trap_expect(struct trap_features *ret_features);

/* Fails with a sentence and a hint when a required feature is missing. */
int trap_check_features(const struct trap_features *features, struct base_error *error);

/* What is to become of the tree. */
enum trap_verdict {
    TRAP_GO_ON,
    TRAP_ASK_TO_END, /* SIGTERM to the first process */
    TRAP_END,        /* SIGKILL to all */
};

struct trap_start {
    const char *loader_path;   /* absolute host path of the loader, the one file ever executed */
    struct pk_exec_plan *plan; /* of the first program; consumed in every case */
    const struct pk_context *context; /* of the first process, adopted already */
    char *const *argv;                /* of the first program, before `#!` rewriting by the plan */
    char *const *envp;
    pid_t process_group;  /* the group the first process joins; 0: a new one */
    const sigset_t *mask; /* signals it starts with blocked; NULL: as the calling thread */
    /*
     * Signals it starts with ignored (nohup); all others are at their default, whatever this
     * process does with them. NULL: none.
     */
    const sigset_t *ignored;
    bool wait_for_all; /* other guests may outlive the first one */
    /* The first process gets no other descriptors of this process than 0, 1 and 2. */
    bool standard_fds_only;
    /*
     * Further walls: Landlock where there is one, namespaces where they cost the guest nothing (as
     * root, or with virtual identities). The kernel's config.ipc_isolated and unix_isolated are set
     * accordingly. What cannot be had is left out.
     */
    bool walls;
    bool require_walls; /* refuse to start without them */
    /*
     * Called in the first process before its filter is installed (limits, cgroups); may be NULL.
     * Async-signal-safe work only; a negative errno ends the start. */
    int (*prepare)(void *user);
    /*
     * Called in the reaper once the whole tree is gone, if this process died before: removes what
     * outlives processes (cgroups). Same user pointer, as it was at the start; may be NULL.
     */
    void (*clean_up)(void *user);
    /*
     * Called in the reaper every `look_every_ms` while guests live, and once more when the first
     * process has ended and the others are about to be killed (`ended`; then the answer means
     * nothing). Async-signal-safe work only. Same user pointer; may be NULL.
     */
    enum trap_verdict (*look)(void *user, bool ended);
    unsigned look_every_ms;
    void *prepare_user;
    /*
     * Told with its wait status when the first process stops or continues (job control) and when
     * it ends, in that order. On any thread of the trap; must not block. May be NULL.
     */
    void (*first_changed)(void *user, int wait_status);
    void *first_changed_user;
};

/*
 * Starts the first guest process in two steps, so that its processes, walls and filter come up on
 * another CPU while the caller prepares names and program. trap_begin() needs of `start` all but
 * plan and context, and keeps a copy; argv, envp and prepare_user must stay until trap_complete().
 * trap_complete() waits for the filter, takes over its listener and starts the loader; `plan` is
 * consumed in every case. Both on the thread that will run trap_run(). After a failure of
 * trap_begin() no process is left; after one of trap_complete() trap_free() sees to that.
 */
int trap_begin(struct pk_kernel *kernel, const struct trap_features *features,
               const struct trap_start *start, struct trap **ret_trap, struct base_error *error);
int trap_complete(struct trap *trap, struct pk_exec_plan *plan, const struct pk_context *context,
                  struct base_error *error);

/*
 * A descriptor of the file that the host executes for guests: the loader, or a private copy of it
 * where it was moved. Borrowed; valid from trap_begin() to trap_free().
 */
int trap_loader_fd(const struct trap *trap);

/* Both steps in one. On failure no process is left. */
int trap_new(struct pk_kernel *kernel, const struct trap_features *features,
             const struct trap_start *start, struct trap **ret_trap, struct base_error *error);

/*
 * Serves requests until the whole tree is gone or trap_stop() is called. Returns 0 with the wait
 * status of the first process (as waitpid gives it).
 */
int trap_run(struct trap *trap, int *ret_status);

/*
 * Asks trap_run() to kill the tree and return. May be called from any thread and from a signal
 * handler.
 */
void trap_stop(struct trap *trap);

/*
 * Has `ready` called on the kernel thread, between requests of trap_run(), when `fd` (a socket or
 * pipe, not blocking; borrowed) may have something to read or its other side is gone. It must read
 * until -EAGAIN: the host tells of arrivals, not of what is left. It may watch and unwatch. Kernel
 * thread only. Returns 0, -ENOSPC beyond TRAP_WATCHES_MAX, or what fcntl(2) says.
 */
#define TRAP_WATCHES_MAX 64
int trap_watch(struct trap *trap, int fd, void (*ready)(void *user, int fd), void *user);

/* Ends that; the caller closes the descriptor. Kernel thread only. */
void trap_unwatch(struct trap *trap, int fd);

/*
 * Serves an intercepted call as if nobody had intercepted it; the ticket is used up. Kernel thread
 * only, outside of any handler. Returns 0, or -ENOENT when the guest does not wait any more.
 */
int trap_resume(struct trap *trap, const struct pk_ticket *ticket);

/*
 * The listener of the guest's filter, borrowed. Whoever holds a duplicate can answer calls whose
 * tickets it has (SECCOMP_IOCTL_NOTIF_SEND, ..._ADDFD); it must never receive.
 */
int trap_listener(const struct trap *trap);

/* Kills what is left of the tree, reaps it, frees everything. NULL is allowed. */
void trap_free(struct trap *trap);

/*
 * Kills and reaps every remaining descendant of the calling process, which must be a child
 * subreaper (PR_SET_CHILD_SUBREAPER), until none is left. Async-signal-safe. Returns 0, or -ETIME
 * when some would not die within ten seconds (uninterruptible sleep).
 */
int trap_kill_descendants(void);

/* What `cerebro doctor` tells of the filter. */
struct trap_filter_facts {
    unsigned instructions;
    unsigned longest_path;
    double plain_ns;   /* added to each native call */
    double checked_ns; /* to one with arguments to look at, such as read; 0: not measured */
};

/* Fills in the first two. */
void trap_filter_facts(const struct pk_config *config, struct trap_filter_facts *ret_facts);

/*
 * Measures the others, in a child process that is gone afterwards; takes some ten milliseconds.
 * They stay 0 where the host refuses a filter. No thread may reap children meanwhile.
 */
void trap_filter_cost(const struct pk_config *config, struct trap_filter_facts *facts);

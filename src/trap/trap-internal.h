/*
 * For the inside of the trap room only: the trap object and what its files offer each other.
 *
 * Ownership: everything belongs to the kernel thread, except struct parking (its own lock, see
 * park.c) and the atomic fields.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <time.h>

#include "base/error.h"
#include "base/list.h"
#include "base/map.h"
#include "core/kernel.h"
#include "core/request.h"
#include "trap/loader/protocol.h"
#include "trap/placement.h"
#include "trap/trap.h"

/* Interrupts our own threads and tells the reaper to end the tree. Ignored by default. */
#define TRAP_SIGNAL SIGURG

/*
 * Interrupts RECV when the reaper has written or died, or a watched descriptor has something to
 * read. A signal of its own: of two that are pending under one number the second is lost, and this
 * one does not carry what TRAP_SIGNAL carries.
 */
#define TRAP_PIPE_SIGNAL SIGIO

/* The kernel's restart codes (include/linux/errno.h), which only a tracer sees. */
#define TRAP_ERESTARTSYS    512 /* restarted, or EINTR for a handler without SA_RESTART */
#define TRAP_ERESTARTNOINTR 513 /* always restarted */

/* RECV's buffer; kernels may use more than the headers know of (SECCOMP_GET_NOTIF_SIZES). */
union trap_notice {
    struct seccomp_notif notif;
    unsigned char room[256];
};

/* See trap_watch(). Kernel thread only. */
struct trap_watches {
    struct pollfd fds[TRAP_WATCHES_MAX]; /* -1: given up, to be swept */
    void (*ready[TRAP_WATCHES_MAX])(void *user, int fd);
    void *users[TRAP_WATCHES_MAX];
    unsigned count;
};

/* Guests that wait because --inject says so: delay.c. Kernel thread only. */
struct trap_delays {
    struct list waiting; /* struct delayed, the earliest first */
    unsigned count;
    bool has_timer;
    timer_t timer;
};

struct pk_fault;
struct parking;
struct starting;
struct trap_walls;

struct trap {
    struct pk_kernel *kernel;
    struct trap_features features;
    int listener;      /* the filter's notification descriptor */
    pid_t self;        /* this process ... */
    pid_t kernel_tid;  /* ... and its kernel thread, for wake-ups */
    atomic_bool woken; /* the kernel thread has something to look at besides RECV */
    atomic_bool stopping;
    union trap_notice notice; /* the one passed to RECV; the wake-up handler spoils it */
    struct list held;         /* struct trap_held: received while an injection was under way */

    pid_t reaper;            /* -1 once it has been waited for */
    unsigned strays;         /* guests killed in one round after the reaper's own death */
    int status_fd;           /* the reaper's report; end of file when the tree is gone */
    int first_status;        /* wait status of the first process, once ... */
    atomic_bool first_ended; /* ... it has ended */
    atomic_bool tree_gone;   /* the status pipe has ended, seen by the parking thread */
    void (*first_changed)(void *user, int wait_status); /* see struct trap_start */
    void *first_changed_user;

    struct sock_fprog
        plain_filter; /* as it would be without interceptions; empty: there are none */
    struct trap_watches watches;
    struct trap_delays delays;
    struct placement placement;
    struct starting *starting; /* between trap_begin() and trap_complete() */

    struct map pending; /* (pid, token) -> struct pending_exec */
    size_t pending_sweep_at;
    struct map answered;     /* pid -> struct pending_exec that its loader may ask for again */
    struct map journal;      /* tid -> struct journal_entry */
    struct map fetched;      /* tid -> what was fetched for a call that comes again */
    struct parking *parking; /* NULL until the first deferred call */

    char *loader_path; /* what the host executes; a private copy when loader_dir is set */
    char *loader_dir;  /* private directory to be removed at the end; NULL: none */
    int loader_fd;
    off_t loader_path_offset; /* of the path page in the file */

    sigset_t old_mask;
    struct sigaction old_action;
    struct sigaction old_pipe_action;
    bool signals_taken;
    bool was_dumpable;
    int was_subreaper;
};

/* What was fetched for a call, and the way it comes: see fetch.c. */
#define TRAP_FETCH_MAX 8
struct trap_fetch {
    int numbers[TRAP_FETCH_MAX];
    int fds[TRAP_FETCH_MAX]; /* owned */
    unsigned count;
    bool theirs_open; /* the guest has its end of the socket, as `theirs` */
    int theirs;
    int ours;
};

/* A request together with the notification it came in: what request.port_data points to. */
struct trap_call {
    struct pk_request request;
    struct trap *trap;
    uint64_t id;
    pid_t tid;
    bool answered;                /* by clone_process(): nothing is to be sent */
    int signal;                   /* to be sent behind the answer; 0: none */
    bool held;                    /* stopped under ptrace by inject(); the notification is gone */
    struct user_regs_struct regs; /* as they were at the stop, when held */
    uint64_t mask;                /* the thread's signal mask, when held */
    struct trap_fetch fetch;
};

/* A notification that has to wait its turn. */
struct trap_held {
    struct list node;
    struct seccomp_notif notif;
};

/* ---- notify.c: answers ---- */

/* ioctl() on the listener, not interrupted by signals. Returns its value or a negative errno. */
int trap_ioctl(const struct trap *trap, unsigned long request, void *argument);

/* Whether the thread of a notification still waits for its answer. */
bool trap_is_waiting(const struct trap *trap, uint64_t id);

/* Answers a notification with a value or a negative errno. Returns 0, -ENOENT when it is gone. */
int trap_send(struct trap *trap, uint64_t id, int64_t value);

/*
 * Raises a thread's limit of open files a little, where it may be, for an installation that is none
 * of the guest's doing. The caller puts `ret_old` back. Returns 0 or a negative errno.
 */
int trap_make_room(pid_t tid, struct rlimit *ret_old);

/* Answers "let the host run it". */
int trap_send_native(struct trap *trap, uint64_t id);

/*
 * Installs `fd` (kept) in the guest and answers with its number there, which is returned. On
 * failure other than -ENOENT (gone) the notification is still open. `*ret_left` is the number of a
 * descriptor that was installed although the answer came too late (hosts before 5.14), or -1.
 */
int trap_send_fd(struct trap *trap, uint64_t id, int fd, int number, unsigned fd_flags,
                 int *ret_left);

/* Installs `fd` (kept) in the waiting guest without answering. Returns its number there. */
int trap_add_fd(struct trap *trap, uint64_t id, int fd, int number, unsigned fd_flags);

/* Fills in a request without running a handler. False when the thread is gone. */
bool trap_fill_request(struct trap_call *call, const struct seccomp_notif *notif);

/* Reads one report of the reaper; blocks. Returns false at the end of the tree. */
bool trap_read_status(struct trap *trap);

/* Serves one notification to its end. */
void trap_serve(struct trap *trap, const struct seccomp_notif *notif);

/* Carries an answer out and ends the request. */
void trap_conclude(struct trap_call *call, struct pk_answer *answer);

/* trap_resume() with what is injected, and the time at which the call came (0: now). */
int trap_resume_with(struct trap *trap, const struct pk_ticket *ticket,
                     const struct pk_fault *fault, uint64_t received_ns);

/* Makes the kernel thread look at `woken`. Any thread, any signal handler. */
void trap_wake(struct trap *trap);

/*
 * The wake-up itself: interrupts a kernel thread, also that of the process we were forked from,
 * which then looks at the reaper's reports. Async-signal-safe.
 */
void trap_interrupt(pid_t pid, pid_t kernel_tid, union trap_notice *notice);

/* ---- port.c ---- */
extern const struct pk_port_ops trap_port_ops;

/* ---- divert.c: threads taken out of a notification by ptrace ---- */

/* The call that a thread is to be taken out of. */
struct divert_call {
    pid_t tid;
    int nr;
    const uint64_t *args;
    uint64_t instruction;
};

/*
 * Seizes the thread and answers its notification so that it stops before it returns to user mode.
 * Returns 0 when a stop or the end of the thread is now to be awaited; a negative errno when it
 * could not be seized (the notification is still open then).
 *
 * `*ret_sent` is false when the notification was gone already: by a signal, by its end, or (without
 * WAIT_KILLABLE_RECV) by our own interrupt. Then divert_is_at() says at the stop whether the thread
 * is still on its way out of that call; if not, it must be let go without changing anything.
 */
int divert_begin(struct trap *trap, pid_t tid, uint64_t id, unsigned long options, bool *ret_sent);

/* True when a stopped thread is about to restart this call. */
bool divert_is_at(const struct divert_call *call);

/*
 * Makes the thread start the loader, by the name at `path` in its own path page. Returns 0 when
 * that was done or the thread has ended, -ENOENT when the call was interrupted before (it comes
 * again), other errors leave the notification open.
 */
int divert_exec(struct trap_call *call, uint64_t path);

/* The signal that a stop shows and that has to be passed on when leaving it; 0: none. */
int divert_stop_signal(int status);

/* Sets registers of a stopped thread. Return 0 or a negative errno (-ESRCH: it was killed). */
int divert_set_result(pid_t tid, long value);
int divert_set_nr(pid_t tid, long nr);
int divert_set_instruction(pid_t tid, uint64_t address);

/* ---- inject.c ---- */
int inject_calls(struct pk_request *request, const struct pk_injected_call *calls, size_t count,
                 int64_t *ret_values);

/* Lets a thread that inject_calls() holds go with this answer. Returns what the guest sees. */
int64_t inject_finish(struct trap_call *call, struct pk_answer *answer);

/* Lets such a thread issue its call again. */
void inject_restart(struct trap_call *call);

/* ---- watch.c ---- */

/* Makes a descriptor interrupt RECV when it gets something to read. Returns 0 or a negative errno.
 */
int watch_interrupts(const struct trap *trap, int fd);

/* Calls those whose descriptors have something to read. */
void watch_serve(struct trap *trap);

/* ---- delay.c ---- */

/* pk_port_ops.delay. */
int delay_call(struct pk_request *request, uint64_t ns);

/*
 * Keeps an answer back for the delay_exit_ns of the request's fault. Returns true when it was taken
 * over, with the request's trace and remark; false: it is to be given now.
 */
bool delay_answer(struct trap_call *call, struct pk_answer *answer);

/* Lets those go whose time has come. */
void delay_serve(struct trap *trap);

void delay_free_all(struct trap *trap);

/* ---- clone.c ---- */

/* pk_port_ops.clone. */
int clone_process(struct pk_request *request, uint64_t flags);

/* ---- pending.c: execs between their decision and the loader's request ---- */

/* Takes the plan (in every case). Returns the token or a negative errno. */
int pending_add(struct trap *trap, pid_t pid, pid_t tid, struct pk_exec_plan *plan);

/* Descriptors installed for a loader, which it does not know of if it asks again. */
struct pending_installed {
    int32_t fds[LOADER_STALE_MAX];
    uint32_t count;
};

/*
 * Removes and returns the plan, with what was installed for it before; NULL when there is none. The
 * caller owns it.
 */
struct pk_exec_plan *pending_take(struct trap *trap, pid_t pid, uint64_t token,
                                  struct pending_installed *ret_installed);

/*
 * Undoes pending_take() after the loader was answered: without WAIT_KILLABLE_RECV a stop or a
 * signal can keep the answer from it, even one that the host has accepted, and it asks again. The
 * plan is consumed in every case.
 */
void pending_keep(struct trap *trap, pid_t pid, unsigned token, struct pk_exec_plan *plan,
                  const struct pending_installed *installed);

/* The process makes another call: its loader is done, what pending_keep() kept is dropped. */
void pending_settle(struct trap *trap, pid_t pid);

void pending_free_all(struct trap *trap);

/* The address of the path that carries a token. */
static inline uint64_t pending_path(unsigned token)
{
    return LOADER_PATH_PAGE + LOADER_TOKEN_MAX - token;
}

/* ---- loader_plan.c ---- */

/* Serves the loader's private call: exec's point of no return. */
void loader_serve(struct trap *trap, const struct seccomp_notif *notif);

/* ---- loader_file.c ---- */

/*
 * Finds the loader's path page, and makes a private copy of the loader when the path in it is not
 * `path` (the tree was moved). Fills in the loader_* fields of the trap.
 */
int loader_file_open(struct trap *trap, const char *path, struct base_error *error);

/* Removes a private copy. Async-signal-safe; harmless when there is none. */
void loader_file_remove(const char *path, const char *directory);

/* ---- journal.c: what a signal made the guest miss (hosts without WAIT_KILLABLE_RECV) ---- */

/* What a guest was to get. */
struct journal_outcome {
    int64_t value;     /* when `fd` is -1 */
    int fd;            /* a descriptor, consumed */
    int left;          /* the number under which `fd` is in the guest already, or -1 */
    int number;        /* as in struct pk_answer */
    unsigned fd_flags; /* as in struct pk_answer */
};

/* Remembers the outcome of a call whose answer could not be delivered. */
void journal_add(struct trap *trap, const struct trap_call *call,
                 const struct journal_outcome *outcome);

/*
 * When this notification is the restart of a call in the journal: answers it from there and
 * returns true. Otherwise forgets what the journal had of this thread.
 */
bool journal_replay(struct trap *trap, const struct seccomp_notif *notif);

void journal_free_all(struct trap *trap);

/* ---- park.c, worker.c: deferred calls ---- */

/* Starts the parking thread, which also watches the reaper. Returns 0 or a negative errno. */
int park_start(struct trap *trap);

/* Hands a deferred call over (the job is consumed in every case). Returns 0 or a negative errno. */
int park_add(struct trap_call *call, struct pk_job *job);

/* Hands a finished answer over to a call that is about to be issued again (see inject.c). */
int park_add_answer(struct trap_call *call, const struct pk_answer *answer);

/* What the reissue of a deferred call is answered from. */
struct park_result {
    struct pk_job *job; /* owned by the caller; NULL: `answer` is final */
    int64_t value;
    struct pk_answer answer;
    uint64_t received_ns; /* when the call came first; 0: not measured */
};

/*
 * Looks whether this notification is a deferred call that comes back with its job done. Anything
 * else that is still known of the thread is dropped. Cheap while nothing is deferred.
 */
bool park_take(struct trap *trap, const struct seccomp_notif *notif,
               struct park_result *ret_result);

/* Releases jobs that ended without being wanted. On the kernel thread. */
void park_collect(struct trap *trap);

/* Ends parking thread and workers. The guests must be dead. */
void park_stop(struct trap *trap);

/* ---- child.c, reaper.c: the processes that trap_new() makes ---- */

/* What the first process tells trap_new(), one packet each time. */
struct child_report {
    int stage; /* enum child_stage */
    int error; /* negative errno; 0: it waits for a go, its listener is `listener` */
    int listener;
    pid_t pid;
};

enum child_stage {
    CHILD_FORK,
    CHILD_SETUP,
    CHILD_PREPARE,
    CHILD_WALLS,
    CHILD_LOADER,
    CHILD_FILTER,
    CHILD_EXEC,
};

/* Everything that reaper and first process need; no allocation happens in them. */
struct child_plan {
    const struct trap_start *start;
    const struct sock_fprog *program;
    const struct trap_walls *walls;
    const char *loader_path;
    const char *loader_dir;
    sigset_t mask;
    unsigned filter_flags;
    int loader_fd;
    off_t loader_path_offset;
    int link_fd;   /* their end of the link to trap_new() */
    int status_fd; /* their end of the status pipe */
    int proc_fd;   /* the host's /proc */
    int listener;  /* held by the reaper, never used */
    /*
     * With interceptions any call of the first process could be one that nobody answers yet. So it
     * makes none between filter and exec: it says beforehand which number the listener will have,
     * and waits for this word to change, which the supervisor writes. NULL: without interceptions.
     */
    atomic_int *go;
    bool by_messenger; /* the listener is sent, see messenger.c; else it is taken */
    pid_t supervisor;
    pid_t kernel_tid;             /* of the supervisor, and ... */
    union trap_notice *to_notice; /* ... what wakes it there: see trap_wake() */
    pid_t reaper;
};

/* The first process, from its fork to its exec of the loader. */
_Noreturn void child_main(const struct child_plan *plan);

/*
 * In the supervisor, when the start is over: ends a first process that has come up, or comes up
 * now, and was not let go. It would wait for ever, and with it the reaper, which sleeps until it
 * has become the loader. `link_fd` is our end of the link (-1: there is none); `waiting` its
 * process number where it has reported already, else 0.
 */
void child_give_up(int link_fd, pid_t waiting);

/* The reaper, to its end. */
_Noreturn void reaper_main(struct child_plan *plan);

/* trap_kill_descendants() with /proc opened by the caller. */
int kill_descendants(int proc_fd);

/* ---- messenger.c ---- */

struct messenger;

/*
 * In the first process, before its filter: starts who sends the listener, with a report, over
 * `link_fd`. Returns 0 or a negative errno. What it allocates stays until the reaper ends.
 */
int messenger_start(int link_fd, struct messenger **ret_messenger);

/* The filter is there, or not (a negative errno). Makes no system call. */
void messenger_tell(struct messenger *messenger, int listener);

/* ---- fetch.c: descriptors of guests where nobody may take them ---- */

/*
 * pk_port_ops.get_fd by other means: the calling thread itself sends the descriptor, by an
 * injection. Some 30 us more. Returns it or a negative errno.
 */
int fetch_fd(struct trap_call *call, int number);

/* The same for a descriptor that is only looked at: an O_PATH one, quickly. */
int fetch_look(const struct trap_call *call, int number);

/* pk_port_ops.add_fd for a thread that is held for fetch_fd(): it receives the descriptor. */
int fetch_give(struct trap_call *call, int fd, int number, unsigned fd_flags);

/* In a thread that is held and about to be let go: closes what fetch_fd() left in it. */
void fetch_end(struct trap_call *call);

/*
 * An answer that a held thread cannot get: makes the call come again, with what was fetched.
 * Returns true when it does; the answer is discarded then.
 */
bool fetch_again(struct trap_call *call, struct pk_answer *answer);

/* At the beginning of a call, and at its end. Cheap while nothing is fetched. */
void fetch_take(struct trap_call *call, const struct seccomp_notif *notif);
void fetch_release(struct trap_call *call);

void fetch_free_all(struct trap *trap);

/* ---- walls.c ---- */

/* What of the host's further walls is to be used; decided before anything is started. */
struct trap_walls {
    bool namespaces;        /* mount, IPC and UTS */
    bool network_namespace; /* in addition to those */
    bool user_namespace;    /* needed for those */
    bool unix_isolated;     /* no socket name of the host is in reach */
    int landlock_ruleset;   /* -1: none */
};

/* Decides, and prepares what can be prepared. */
int walls_plan(struct trap *trap, const struct trap_start *start, struct trap_walls *ret_walls,
               struct base_error *error);

/* In the first process. */
int walls_enter_namespaces(const struct child_plan *plan);

/* In the first process, after that and after giving up new privileges. */
int walls_restrict(const struct trap_walls *walls);

void walls_release(struct trap_walls *walls);

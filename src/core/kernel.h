/*
 * The process kernel: one object for one guest process tree. It owns contexts, tasks, statistics,
 * the dispatch table and the policy; the VFS and the trap are attached to it.
 *
 * Threads: everything here is touched by one thread only, the kernel thread (the one that receives
 * requests), except where a function says otherwise. There is no lock to take.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "base/map.h"
#include "core/answer.h"
#include "core/context.h"
#include "core/faults.h"
#include "core/net-rules.h"
#include "core/request.h"

struct pk_exec_plan;
struct pk_latencies;
struct pk_recent;
struct strbuf;
struct vfs;

#define PK_NR_LIMIT    512 /* table numbers end well below; larger ones are answered ENOSYS */
#define PK_WINDOW_SIZE 64  /* descriptor numbers reserved for kernel-served descriptors */

enum pk_net_mode { PK_NET_NONE, PK_NET_HOST };

/* Limits on the tree; 0 means none. */
struct pk_limits {
    uint64_t memory;           /* bytes */
    uint64_t pids;             /* threads and processes */
    uint64_t open_files;       /* per process */
    uint64_t cpu_seconds;      /* per process */
    uint64_t file_size;        /* bytes */
    uint64_t wall_ms;          /* from the start of the first process */
    uint64_t cpus_thousandths; /* processors at a time */
    uint64_t io_bytes;         /* a second, read and written, on each block device */
};

/* What the user asked for; fixed before the guest starts. */
struct pk_config {
    char name[64];
    enum pk_net_mode net;
    struct pk_net_rules net_rules; /* with PK_NET_HOST; borrowed, outlives the kernel */
    bool virtual_identity;         /* --uid: ids differ from the host's, or root is faked */
    struct pk_identity identity;   /* of the first process */
    struct pk_limits limits;
    bool stats;               /* measure the time of each call */
    bool ipc_isolated;        /* the guest has an IPC namespace of its own */
    bool unix_isolated;       /* no host AF_UNIX name can be reached natively (namespaces) */
    bool test_device;         /* /dev/cerebro-test exists */
    bool no_vdso;             /* programs ask for the time with a call that can be seen */
    struct pk_faults *faults; /* what is injected; borrowed, outlives the kernel; NULL: nothing */
    /*
     * Numbers that come here whatever the table says, for the interceptor, to be denied or to be
     * injected into; abi_may_intercept() or abi_may_deny() holds for each.
     */
    uint64_t intercepted[PK_NR_LIMIT / 64];
    uint16_t denied[PK_NR_LIMIT]; /* positive errno with which a call fails; 0: it does not */
    bool report_only;             /* `denied` and `report_net` are told and let through */
    bool report_net;              /* what needs the network is told, and let through */
};

/* The values of /proc/sys/kernel/keys, which root may change. */
struct pk_key_limits {
    unsigned count, bytes;           /* of a user */
    unsigned root_count, root_bytes; /* of root */
    unsigned delay;                  /* seconds until what is dead is dropped */
};

/* A denied action, for the audit record and the line that the user sees. */
struct pk_denial {
    pid_t pid;
    const char *what;  /* "connect to 10.0.0.1:80" */
    const char *rule;  /* "network is off (--net none is the default)" */
    const char *allow; /* "run with --net host" */
    int errnum;        /* positive */
    bool let_through;  /* only reported: a profile that is tried out would deny it */
};

/*
 * Something that whoever answers for the machine wants to read later: "start", "exec",
 * "exec-failed", "denied", "reported", "limit", "unknown-call", "end"; and what is done to a kernel
 * or by its means: "control", "attach", "detach", "policy", "driver". Names and addresses, never
 * the content of what a guest reads or writes. Borrowed strings, never NULL in a sink.
 */
struct pk_audit_record {
    const char *event;
    struct timespec time; /* CLOCK_REALTIME */
    pid_t pid;            /* host number */
    pid_t tid;            /* whose name `comm` is to be, when that is empty */
    pid_t by;             /* process that asked for it; 0: the guest itself, or nobody */
    char comm[16];        /* "": pk_audit_name() reads it */
    char call[32];        /* name, or "syscall_N"; "" when it was none */
    const char *what;     /* "internet socket", "/usr/bin/env" */
    const char *rule;     /* why it was answered so; "" when there is nothing to say */
    int answer;           /* 0 or a negative errno */
};

/* Where records go. Called on the kernel thread; must not block for long. Any may be NULL. */
struct pk_sink {
    void (*denial)(void *user, const struct pk_denial *denial);
    void (*audit)(void *user, const struct pk_audit_record *record);
    void *user;
};

/*
 * Somebody who is shown each served call (trace/trace.h). Called on the kernel thread, in this
 * order for each call; must not block. `begin` may leave something in request->traced; without it
 * the others are not called, and after `end` or `drop` it is gone.
 */
struct pk_tracer {
    /* The call has come, and nothing was done yet: what goes in can be read. */
    void (*begin)(void *user, struct pk_request *request);
    /* There is an answer, and the guest still waits for it: what comes out can be read. */
    void (*answered)(void *user, struct pk_request *request, const struct pk_answer *answer);
    /* The guest got `result`, a value or a negative errno. */
    void (*end)(void *user, struct pk_request *request, const struct pk_answer *answer,
                int64_t result, uint64_t elapsed_ns);
    /* The call is given up for now, and comes again. */
    void (*drop)(void *user, struct pk_request *request);
    void *user;
};

/* What a guest did with a path, for an observer. */
enum pk_seen {
    PK_SEEN_LOOK,  /* asked for attributes, searched, executed */
    PK_SEEN_READ,  /* opened for reading; of a directory: to list it */
    PK_SEEN_WRITE, /* opened for writing or changed; of a directory: a name in it, too */
    PK_SEEN_LINK,  /* a symbolic link on the way; the path goes on behind it as it was named */
};

/*
 * Somebody who is told of every name that led to an object, and of every address of a socket.
 * Called on the kernel thread, before the object is used; must not block. Any may be NULL.
 */
struct pk_observer {
    /* `path` is an absolute guest path, canonical but for PK_SEEN_LINK. */
    void (*path)(void *user, const char *path, enum pk_seen how);
    /* `verb` is "connect to", "listen at" or "send to"; `address` as in denials. */
    void (*network)(void *user, const char *verb, const char *address);
    void *user;
};

struct pk_call_stats {
    uint64_t count;
    uint64_t errors;
    uint64_t total_ns;
    uint64_t max_ns;
    uint64_t answers[PK_ANSWER_KINDS]; /* how it was answered, by enum pk_answer_kind */
    uint64_t denied;
};

struct pk_stats {
    struct pk_call_stats calls[PK_NR_LIMIT];
    uint64_t unknown_calls;
    uint64_t syscalls_intercepted; /* sum over all */
    uint64_t descriptors_handed;
    uint64_t execs;
    uint64_t denials;
    uint64_t deferred;
    uint64_t cancelled;       /* the guest was gone or interrupted before the answer */
    uint64_t too_many_files;  /* served calls that failed with EMFILE */
    uint64_t too_large_files; /* ... with EFBIG */
};

/* What the process kernel calls in a personality besides its handlers. */
struct pk_personality {
    const char *name;
    /*
     * An exec has passed its point of no return: the new program is being mapped. The personality
     * adopts the context that goes with it (program, identity).
     */
    int (*exec_committed)(struct pk_request *request, const struct pk_exec_plan *plan);
    /* The guest path behind a descriptor. Returns its length or a negative errno. */
    ssize_t (*describe_fd)(struct pk_request *request, int fd, char *path, size_t size);
    /*
     * Appends the content of a file below /proc that only the personality knows ("keys",
     * "sysvipc/shm"), as the caller sees it. Returns 0 or a negative errno. NULL: has none.
     */
    int (*proc_text)(struct pk_request *request, const char *path, struct strbuf *ret_text);
};

/* What the process kernel needs of the VFS without knowing it (contexts hold places). */
struct pk_place_ops {
    struct vfs_place *(*ref)(struct vfs_place *place);
    void (*unref)(struct vfs_place *place);
    const char *(*path)(const struct vfs_place *place); /* absolute; valid while it is held */
    /* Before each call: what was written where we do not see it is put where it belongs. */
    void (*settle)(struct vfs *vfs);
};

struct pk_kernel {
    struct pk_config config;
    struct pk_sink sink;
    const struct pk_personality *personality;
    const struct pk_place_ops *places;
    struct vfs *vfs; /* not owned; opaque here */
    pk_handler handlers[PK_NR_LIMIT];
    pk_handler interceptor; /* sees the calls of config.intercepted first; NULL: nobody does */
    void *interceptor_user;
    const struct pk_observer *observer; /* borrowed; NULL: nobody is told */
    const struct pk_tracer *tracer;     /* borrowed; NULL: nobody is shown */
    struct pk_request *current_request; /* the one that is being served; NULL: none */
    struct pk_stats stats;
    struct map tasks;     /* tid -> struct pk_task */
    struct map processes; /* pid -> struct pk_process */
    struct map contexts;  /* id -> struct pk_context */
    struct map fs_groups; /* pid -> a group of sharing.h */
    struct map programs;  /* (device, inode) -> struct pk_program, see program.h */
    uint64_t next_context;
    size_t task_sweep_at;                     /* how many tasks may gather before a sweep */
    size_t context_sweep_at;                  /* how many contexts may gather before a sweep */
    const struct pk_task *current_task;       /* the one whose request is being served */
    const struct pk_context *current_context; /* of the request in hand: not to be swept */
    struct map denials_told;                  /* hashes of denial lines that the user has seen */
    _Atomic uint64_t generation; /* counts served changes of names; for the fast path */
    pid_t root_pid;              /* the first guest process; 0 before it starts */
    cpu_set_t cpus;              /* on which the guest may run, as far as it knows */
    bool placed;                 /* threads may be held on one CPU: affinity is answered by us */
    bool sets_affinity;          /* the guest sets affinities itself: it is left alone */
    int window_base;             /* first number of the kernel-served descriptor window */
    struct pk_key_limits key_limits;
    char *hostname, *domainname;      /* the personality's, 65 bytes each; NULL: the host's */
    struct pk_latencies *latencies;   /* latency.h; NULL until somebody measures */
    struct pk_recent *recent;         /* recent.h; NULL until something is denied */
    uint64_t measure_until_ns;        /* CLOCK_MONOTONIC; 0: nobody measures */
    uint64_t started_ns;              /* CLOCK_MONOTONIC */
    uint64_t start_time;              /* CLOCK_REALTIME seconds */
    struct pk_identity host_identity; /* what the user who runs us really is */
};

/*
 * Makes a process kernel without guest. `config` is copied. Returns 0, or a negative errno with
 * `error` filled in.
 */
int pk_kernel_new(const struct pk_config *config, const struct pk_sink *sink,
                  struct pk_kernel **ret_kernel, struct base_error *error);

/* Frees everything. The guest must be gone. NULL is allowed. */
void pk_kernel_free(struct pk_kernel *kernel);

/* Sets the handler of a number (0..PK_NR_LIMIT-1), replacing an older one. */
void pk_kernel_set_handler(struct pk_kernel *kernel, int nr, pk_handler handler);

/* Tells the observer of a path. */
static inline void pk_saw(const struct pk_kernel *kernel, const char *path, enum pk_seen how)
{
    if (kernel->observer && kernel->observer->path)
        kernel->observer->path(kernel->observer->user, path, how);
}

/* The errno with which calls of this number fail; 0: they do not. */
static inline int pk_denied_errno(const struct pk_config *config, int nr)
{
    return nr >= 0 && nr < PK_NR_LIMIT ? config->denied[nr] : 0;
}

/* Whether the interceptor sees calls of this number first. */
static inline bool pk_is_intercepted(const struct pk_config *config, int nr)
{
    return nr >= 0 && nr < PK_NR_LIMIT && (config->intercepted[nr / 64] >> nr % 64 & 1);
}

/*
 * The one dispatch path, whatever way the call arrived: finds task and context, runs the handler,
 * counts, traces. The caller has filled in kernel, nr, args, instruction, port and port_data, and
 * passes the calling thread's host number. The answer is to be carried out by the caller, who then
 * calls pk_dispatch_done() with what the guest saw.
 */
struct pk_answer pk_dispatch(struct pk_request *request, pid_t tid);

/* Ends a request: statistics, trace. `result` is the value or negative errno the guest got. */
void pk_dispatch_done(struct pk_request *request, const struct pk_answer *answer, int64_t result);

/* For who answers a request without pk_dispatch(), see struct pk_tracer. */
static inline void pk_trace_begin(struct pk_request *request)
{
    if (request->kernel->tracer)
        request->kernel->tracer->begin(request->kernel->tracer->user, request);
}

static inline void pk_trace_answered(struct pk_request *request, const struct pk_answer *answer)
{
    if (request->traced)
        request->kernel->tracer->answered(request->kernel->tracer->user, request, answer);
}

static inline void pk_trace_drop(struct pk_request *request)
{
    if (request->traced)
        request->kernel->tracer->drop(request->kernel->tracer->user, request);
}

/*
 * Refuses an action: counts and records it, tells the sink once per distinct line, and returns the
 * error answer. `rule` and `allow` must live as long as the kernel.
 */
struct pk_answer pk_denied(struct pk_request *request, int negative_errno, const char *rule,
                           const char *allow, const char *what_format, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * Tells of an action that a profile under trial would have refused with this errno, as pk_denied()
 * does, and lets it go on. `request` may be NULL.
 */
void pk_report(struct pk_kernel *kernel, struct pk_request *request, int negative_errno,
               const char *rule, const char *allow, const char *what_format, ...)
    __attribute__((format(printf, 6, 7)));

/* Tells of something that has failed after the guest was told that it had worked. */
void pk_report_late(struct pk_kernel *kernel, int negative_errno, const char *rule,
                    const char *allow, const char *what_format, ...)
    __attribute__((format(printf, 5, 6)));

/*
 * Passes a record to the audit sink. Fills in what the caller leaves empty: the time, and from the
 * request (NULL: none, then the first process is meant) pid, tid and call. Costs nothing without a
 * sink.
 */
void pk_audit(struct pk_kernel *kernel, const struct pk_request *request,
              const struct pk_audit_record *record);

/* For a sink that keeps the record: reads the name of the process, unless there is one. */
void pk_audit_name(struct pk_audit_record *record);

/*
 * Records an action on a kernel, or on a process by means of one: `event` is "control", "attach",
 * "detach", "policy" or "driver" (a static string); `by` the process that asked for it
 * (control_server_peer()), 0 when that is the guest that makes `request`; `request` NULL when it is
 * no guest's call; `answer` 0 or a negative errno. The text says what was done to whom ("signal 15
 * to 4711"), with no data.
 */
void pk_audit_action(struct pk_kernel *kernel, const struct pk_request *request, const char *event,
                     pid_t by, int answer, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* True when a descriptor number lies in the window of kernel-served descriptors. */
static inline bool pk_in_window(const struct pk_kernel *kernel, uint64_t number)
{
    return number >= (uint64_t)kernel->window_base &&
           number < (uint64_t)kernel->window_base + PK_WINDOW_SIZE;
}

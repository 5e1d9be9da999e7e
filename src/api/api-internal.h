/*
 * For the inside of the API room only: the kernel object of a program, and its threads.
 *
 * Locks: process_kernel.lock guards all its fields but those marked. Handlers, events and anything
 * that may wait run without it.
 *
 * Threads of one kernel, all of them with signals blocked:
 *   receivers   wait for messages; one that runs a handler leaves the waiting to another, so that a
 *               handler that hangs holds up nobody. When there are as many as there may be, the
 * last one runs no handler, but puts calls into a queue: so the end is always heard watchdog
 * answers calls whose handlers take too long They are detached and hold a reference: a handler that
 * never returns keeps the object alive.
 */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "cerebro/process_kernel.h"
#include "control/channel.h"

#define API_NUMBERS         512
#define API_RECEIVERS_MAX   65 /* 64 handlers, and one that waits for messages */
#define API_TIMEOUT_DEFAULT 5000

/* What a handler returns to say that the answer is given otherwise; no errno is below -4095. */
#define API_NATIVE   (-4098)
#define API_DEFERRED (-4099)
#define API_DONE     (-4100)

struct api_handler {
    pk_call_handler handler;
    void *user;
    int (*plain)(int nr, void *args); /* the specification's form, when `handler` is NULL */
    int deny;                         /* positive errno, when both are NULL */
};

struct api_memory; /* see memory.c */

struct process_kernel {
    atomic_uint references; /* no lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* any field */
    process_kernel_type_t type;
    char name[64];
    _Atomic(void *) private_data; /* no lock */
    char **options;               /* of `cerebro run`; malloc'ed strings */
    size_t option_count;
    struct api_handler
        handlers[API_NUMBERS]; /* not changed while a guest runs: read without lock */
    unsigned timeout_ms;
    struct api_memory *memory; /* has a lock of its own */
    bool unfenced; /* faults in handlers are the program's; read without lock as handlers are */
    void (*on_event)(const pk_event_t *event, void *user);
    void *event_user;

    bool running;     /* between pk_spawn() or pk_attach() and the end of the guest, or detaching */
    bool attached;    /* the guest ran before: no front, and a keeper for a supervisor */
    bool concluded;   /* somebody is seeing to the end */
    pid_t front;      /* our child, `cerebro run` */
    pid_t guest;      /* its first process, or the one attached to */
    pid_t supervisor; /* the process kernel's process */
    int channel;      /* -1: none; stays open while threads use it */
    int listener;     /* of the guest's filter; -1: none */
    int wait_status;
    unsigned receivers, idle; /* threads, and those that wait for a message */
    unsigned at_end;          /* of the idle ones: those that have found the channel closed */
    bool has_watchdog;
    bool watchdog_idle; /* it waits for a call, not for a time */
    unsigned late;      /* of the receivers: those whose handlers came too late and still run */
    struct list calls;  /* struct pk_call, those that wait for their handlers' answers */
    struct list queue;  /* of these, those for which no thread is free */

    atomic_uint_fast64_t intercepted, io_operations, errors; /* no lock */
    struct list node;                                        /* on the library's list, its lock */
};

struct pk_call {
    struct list node;   /* on process_kernel.calls until its handler has run */
    struct list queued; /* on process_kernel.queue */
    bool late;          /* counted in process_kernel.late; guarded by the kernel's lock */
    process_kernel_t *kernel;
    struct channel_call request;
    uint64_t deadline_ns;   /* 0: none */
    atomic_uint references; /* of the handler, and of pk_call_return(): in any order */
    bool deferred;          /* the handler does not answer; only its thread looks */
    atomic_bool returned;   /* pk_call_return() has had it */
    atomic_bool answered;   /* whoever sets it answers */
};

/* ---- error.c ---- */

/* Remembers what failed, for pk_last_error(). Returns the negative errno. */
int api_fail(int code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes an error of another room over. */
int api_take_error(const struct base_error *error);

/* ---- kernel.c ---- */

void api_unref(process_kernel_t *kernel);
void api_tell(process_kernel_t *kernel, pk_event_type_t type, int nr, int status, const char *text);

/*
 * Forks a child that has none of the kernels' descriptors. As fork(2).
 */
pid_t api_fork(void);

/* ---- memory.c ---- */

/* An account of memory with the C library's allocator; NULL when there is no memory for it. */
struct api_memory *api_memory_new(void);

/* Gives it up; it stays while blocks are on it. */
void api_memory_unref(struct api_memory *account);

/* Bytes handed out and not yet freed. */
uint64_t api_memory_allocated(const struct api_memory *account);

/* ---- spawn.c ---- */

/* The path of the program. */
const char *api_program_path(void);

/*
 * Claims the kernel for a new guest, waiting for handlers of the last one as long as they may take;
 * and gives it back when there will be none.
 */
int api_take_turn(process_kernel_t *kernel);
void api_give_up(process_kernel_t *kernel);

/* ---- receive.c ---- */

/* Starts the threads of a guest that has started. Returns 0 or a negative errno. */
int api_start_threads(process_kernel_t *kernel);

/*
 * Waits for the threads of a guest that has ended: for those in handlers as long as a handler may
 * take, not for those that are late already. With the kernel's lock.
 */
void api_await_threads(process_kernel_t *kernel);

/* Asks the kernel's process to end the guest, or its keeper to detach. With the kernel's lock. */
void api_ask_to_stop(const process_kernel_t *kernel);

/* Tells of a denial. */
void api_denial(process_kernel_t *kernel, const struct channel_message *message);

/* ---- call.c ---- */

/*
 * Answers a call with a result or a negative errno, unless somebody has. Returns 0, or -ENOENT when
 * the guest does not wait any more.
 */
int api_answer(struct pk_call *call, long result);

/* Answers a call that no handler has seen. Takes the call. */
void api_drop(struct pk_call *call, long result);

/* Runs the handler of a call and does what it says. Takes the call. */
void api_handle(struct pk_call *call);

/* ---- fence.c ---- */

#define API_FAULTS 4
extern const int api_faults[API_FAULTS]; /* signals that a handler's fault raises */

/*
 * Runs a handler; a fault in it (SIGSEGV, SIGBUS, SIGFPE, SIGILL) ends it here. Returns false then.
 */
bool api_fenced(pk_call_handler handler, struct pk_call *call, void *user, long *ret_result);

/*
 * Takes the signals of faults over. For each guest anew: the program may have set handlers of its
 * own meanwhile, which are called for faults that are not ours.
 */
void api_fence_install(void);

/* Prepares the calling thread for faults; and undoes that. */
int api_fence_enter(void **ret_stack);
void api_fence_leave(void *stack);

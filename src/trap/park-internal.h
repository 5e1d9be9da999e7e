/*
 * Deferred calls, for park.c and worker.c only. One lock guards everything here; jobs run and
 * blocking waits happen outside it.
 *
 * The life of a deferred call:
 *   WANTED     handed over; the guest still sleeps in its notification
 *   SEIZED     the notification is answered; its stop is awaited
 *   PARKED     the guest sleeps in pause(2), traced
 *   SIGNALLED  it has a signal to take (or stops with its group) and is held in that stop until its
 *              job has acknowledged
 *   RELEASED   let go to issue its call again; the job's result waits for it
 *   LOST       nobody waits for the result any more; freed once the job does not run and the thread
 *              is not traced
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "trap/trap-internal.h"

enum park_state { PARK_WANTED, PARK_SEIZED, PARK_PARKED, PARK_SIGNALLED, PARK_RELEASED, PARK_LOST };

struct worker;

struct park {
    struct list node;       /* on parking.parks */
    struct list queue_node; /* on parking.queue while its job waits for a worker */
    pid_t pid;
    pid_t tid;
    int nr;
    uint64_t args[6];
    uint64_t instruction;
    uint64_t received_ns; /* see struct pk_request */
    uint64_t id;          /* of the notification, while WANTED */
    enum park_state state;
    bool traced;         /* seized by the parking thread, its stops and its end are awaited */
    bool untouched;      /* SEIZED: the notification was gone, leave the thread as it is */
    bool interrupted;    /* PARKED: its PTRACE_INTERRUPT has been sent */
    int signal;          /* SIGNALLED: to be delivered when it is let go */
    uint64_t held_since; /* SIGNALLED: io_now_ns() */

    struct pk_job *job; /* NULL: `answer` is ready */
    struct pk_answer answer;
    bool running; /* queued or at work: must not be freed */
    atomic_bool cancelled;
    struct worker *worker; /* that runs it now, NULL: none yet */
    int64_t result;
};

struct parking {
    struct trap *trap;
    pthread_mutex_t lock;
    pthread_t thread;
    int kick_fd;       /* eventfd: something changed for the parking thread */
    int child_fd;      /* signalfd for SIGCHLD: a traced thread stopped or ended */
    atomic_uint count; /* of parks: what the kernel thread looks at first */
    struct list parks;
    struct map by_tid; /* tid -> struct park, all states but LOST */
    unsigned traced_count;
    bool stopping;

    pthread_cond_t work; /* for idle workers */
    struct list queue;
    struct list workers; /* struct worker.node */
    unsigned worker_count;
    unsigned idle_count;
};

/* ---- worker.c; all called with the lock held ---- */

/* Gives the job to a worker, now or later. Returns 0 or a negative errno. */
int worker_submit(struct parking *parking, struct park *park);

/* Asks a job to end. It acknowledges by `running` becoming false; ask again until it does. */
void worker_cancel(struct parking *parking, struct park *park);

/*
 * Ends all workers, with the lock not held. False when one does not obey even now (a job that
 * waits for a dead network file system): then nothing it uses may be freed.
 */
bool worker_stop_all(struct parking *parking);

/* ---- park.c ---- */

/* The parking thread; `argument` is the struct parking. */
void *park_main(void *argument);

/* Makes the parking thread look at all parks. */
void park_kick(struct parking *parking);

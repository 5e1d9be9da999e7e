/*
 * Placement: a guest that works through its kernel one call at a time is kept on the kernel
 * thread's CPU. Handing over a descriptor or diverting an exec wakes the guest in a way that lets
 * the scheduler move it to an idle CPU, and then every hand-over is a wake-up across CPUs: on
 * virtual machines 50 us instead of 10.
 *
 * Held threads show it in their affinity, so sched_getaffinity(2) is served with the natural mask
 * (kernel->cpus); a guest that sets masks by itself is left alone from then on. A tick ends what
 * has not been used and frees what was forked meanwhile, so that a computing child loses at most
 * one tick. Where two threads work at the same time nothing is held.
 *
 * Kernel thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct pk_kernel;

struct placement {
    struct pk_kernel *kernel;
    bool usable;          /* more than one CPU, and a timer */
    pid_t held;           /* the thread held last; 0: none, everything is free */
    pid_t last;           /* the thread that made the last request */
    int cpu;              /* on which the kernel thread holds itself */
    unsigned used;        /* hand-overs since the last tick */
    uint64_t ticked_ns;   /* when the timer was last seen to have expired */
    uint64_t looked_ns;   /* when `last` was last examined */
    uint64_t parallel_ns; /* until then two threads are taken to work at the same time */
    timer_t timer;
};

/*
 * Starts without holding anything. The timer sends `signal` with `cookie` to the calling thread.
 * Where that cannot be had, placement stays off.
 */
void placement_init(struct placement *placement, struct pk_kernel *kernel, int signal,
                    void *cookie);

/* A request of this thread has come in. Cheap unless the thread changed. */
void placement_saw(struct placement *placement, pid_t tid);

/*
 * This thread, which waits for an answer, is about to be handed a descriptor, diverted, or answered
 * by another process. Returns the CPU on which it is held now, or -1.
 */
int placement_hold(struct placement *placement, pid_t tid);

/* The timer may have expired: if so, frees what is to be freed. */
void placement_tick(struct placement *placement);

void placement_free(struct placement *placement);

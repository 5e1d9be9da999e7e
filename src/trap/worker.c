/*
 * Workers: threads that run jobs which may block. Started when needed, kept for some seconds.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "base/io.h"
#include "trap/park-internal.h"

#define WORKER_STACK (128 * 1024)
#define IDLE_SECONDS 5
#define STOP_SECONDS 2

struct worker {
    struct list node;
    struct parking *parking;
    pthread_t thread;
};

/* Returns the next job, or NULL when there was none for a while or the end has come. */
static struct park *next_park(struct parking *parking)
{
    struct timespec until;
    struct park *park;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    while (list_is_empty(&parking->queue)) {
        int r;

        if (parking->stopping)
            return NULL;
        parking->idle_count++;
        r = pthread_cond_timedwait(&parking->work, &parking->lock, &until);
        parking->idle_count--;
        if (r == ETIMEDOUT && list_is_empty(&parking->queue))
            return NULL;
    }
    park = list_entry(parking->queue.next, struct park, queue_node);
    list_remove(&park->queue_node);
    return park;
}

/*
 * A signal may be left over from the cancelling of an earlier job, so a job that was interrupted
 * without having been cancelled is run again.
 */
static int64_t run_job(struct park *park)
{
    int64_t result;

    do
        result = park->job->run(park->job);
    while (result == -EINTR && !atomic_load(&park->cancelled));
    return result;
}

static void serve(struct worker *worker, struct park *park)
{
    struct parking *parking = worker->parking;
    int64_t result;

    park->worker = worker;
    pthread_mutex_unlock(&parking->lock);
    result = run_job(park);
    pthread_mutex_lock(&parking->lock);
    park->worker = NULL;
    park->result = result;
    park->running = false;
    park_kick(parking);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct parking *parking = worker->parking;
    struct park *park;
    bool detached;

    pthread_mutex_lock(&parking->lock);
    while ((park = next_park(parking)))
        serve(worker, park);
    parking->worker_count--;
    detached = !parking->stopping;
    if (detached)
        list_remove(&worker->node);
    pthread_mutex_unlock(&parking->lock);
    if (detached) {
        pthread_detach(pthread_self());
        free(worker);
    }
    return NULL;
}

static int start_worker(struct parking *parking)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t old;
    int r;

    if (worker == NULL)
        return -ENOMEM;
    worker->parking = parking;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, WORKER_STACK);
    sigfillset(&all);
    sigdelset(&all, TRAP_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (r != 0) {
        free(worker);
        return -r;
    }
    list_append(&parking->workers, &worker->node);
    parking->worker_count++;
    return 0;
}

int worker_submit(struct parking *parking, struct park *park)
{
    int r = 0;

    /* Each idle worker takes one of the jobs that are queued already. */
    if (parking->idle_count == 0 || !list_is_empty(&parking->queue))
        r = parking->worker_count < TRAP_WORKERS_MAX ? start_worker(parking) : 0;
    if (r < 0 && parking->worker_count == 0)
        return r;
    park->running = true;
    list_append(&parking->queue, &park->queue_node);
    pthread_cond_signal(&parking->work);
    return 0;
}

void worker_cancel(struct parking *parking, struct park *park)
{
    atomic_store(&park->cancelled, true);
    if (!park->running)
        return;
    if (park->worker) {
        pthread_kill(park->worker->thread, TRAP_SIGNAL);
        return;
    }
    if (list_is_empty(&park->queue_node))
        return;
    list_remove(&park->queue_node);
    park->running = false;
    park->result = -EINTR;
    park_kick(parking);
}

static bool stop_worker(struct worker *worker)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_SECONDS;
    if (pthread_timedjoin_np(worker->thread, NULL, &until) != 0)
        return false;
    free(worker);
    return true;
}

bool worker_stop_all(struct parking *parking)
{
    bool all = true;

    pthread_mutex_lock(&parking->lock);
    pthread_cond_broadcast(&parking->work);
    pthread_mutex_unlock(&parking->lock);
    while (!list_is_empty(&parking->workers)) {
        struct worker *worker = list_entry(parking->workers.next, struct worker, node);

        list_remove(&worker->node);
        all = stop_worker(worker) && all;
    }
    return all;
}

/*
 * Deferred calls, the kernel thread's side: hands them over, takes them back, frees them.
 */
#include "trap/park-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PARKING_STACK (128 * 1024)

void park_kick(struct parking *parking)
{
    uint64_t one = 1;

    (void)!write(parking->kick_fd, &one, sizeof(one));
}

static void parking_free(struct parking *parking)
{
    base_close(parking->kick_fd);
    base_close(parking->child_fd);
    pthread_mutex_destroy(&parking->lock);
    pthread_cond_destroy(&parking->work);
    map_free(&parking->by_tid);
    free(parking);
}

static struct parking *parking_new(struct trap *trap)
{
    struct parking *parking = calloc(1, sizeof(*parking));
    sigset_t child;

    if (parking == NULL)
        return NULL;
    parking->trap = trap;
    list_init(&parking->parks);
    list_init(&parking->queue);
    list_init(&parking->workers);
    pthread_mutex_init(&parking->lock, NULL);
    pthread_cond_init(&parking->work, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    parking->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    parking->child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (parking->kick_fd >= 0 && parking->child_fd >= 0)
        return parking;
    parking_free(parking);
    return NULL;
}

static int start_thread(struct parking *parking)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t old;
    int r;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, PARKING_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&parking->thread, &attributes, park_main, parking);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

int park_start(struct trap *trap)
{
    struct parking *parking;
    int r;

    if (trap->parking)
        return 0;
    parking = parking_new(trap);
    if (parking == NULL)
        return -ENOMEM;
    r = start_thread(parking);
    if (r < 0)
        parking_free(parking);
    else
        trap->parking = parking;
    return r;
}

static struct park *park_new(const struct trap_call *call)
{
    const struct pk_request *request = &call->request;
    struct park *park = calloc(1, sizeof(*park));

    if (park == NULL)
        return NULL;
    list_init(&park->node);
    list_init(&park->queue_node);
    park->pid = request->task->process->pid;
    park->tid = call->tid;
    park->nr = request->nr;
    memcpy(park->args, request->args, sizeof(park->args));
    park->instruction = request->instruction;
    park->received_ns = request->received_ns;
    park->id = call->id;
    park->answer = pk_value(0);
    return park;
}

static void park_free(struct park *park)
{
    if (park->job)
        park->job->release(park->job);
    pk_answer_discard(&park->answer);
    free(park);
}

/* Takes a park off the books of its thread; it is freed when its job has ended. */
static void lose(struct parking *parking, struct park *park)
{
    if (map_get(&parking->by_tid, (uint64_t)park->tid) == park)
        map_remove(&parking->by_tid, (uint64_t)park->tid);
    worker_cancel(parking, park);
    park->state = PARK_LOST;
    park_kick(parking);
}

/* Threads that were killed on their way back leave their result behind. */
static void sweep_released(struct parking *parking)
{
    struct park *park;
    struct park *next;

    list_for_each_safe(park, next, &parking->parks,
                       node) if (park->state == PARK_RELEASED &&
                                 syscall(SYS_tgkill, park->pid, park->tid, 0) < 0)
        lose(parking, park);
}

static int enter(struct parking *parking, struct park *park, bool ready)
{
    struct park *old = map_get(&parking->by_tid, (uint64_t)park->tid);
    int r;

    sweep_released(parking);
    if (old)
        lose(parking, old);
    r = map_set(&parking->by_tid, (uint64_t)park->tid, park);
    if (r == 0 && !ready)
        r = worker_submit(parking, park);
    if (r < 0) {
        map_remove(&parking->by_tid, (uint64_t)park->tid);
        return r;
    }
    park->state = ready ? PARK_RELEASED : PARK_WANTED;
    list_append(&parking->parks, &park->node);
    atomic_fetch_add(&parking->count, 1);
    park_kick(parking);
    return 0;
}

int park_add(struct trap_call *call, struct pk_job *job)
{
    struct park *park = park_new(call);
    int r = park ? park_start(call->trap) : -ENOMEM;

    if (r == 0) {
        struct parking *parking = call->trap->parking;

        park->job = job;
        pthread_mutex_lock(&parking->lock);
        r = enter(parking, park, false);
        pthread_mutex_unlock(&parking->lock);
        if (r == 0)
            return 0;
    }
    job->release(job);
    free(park);
    return r;
}

int park_add_answer(struct trap_call *call, const struct pk_answer *answer)
{
    struct park *park = park_new(call);
    int r = park ? park_start(call->trap) : -ENOMEM;

    if (r == 0) {
        struct parking *parking = call->trap->parking;

        park->answer = *answer;
        pthread_mutex_lock(&parking->lock);
        r = enter(parking, park, true);
        pthread_mutex_unlock(&parking->lock);
        if (r == 0)
            return 0;
    }
    free(park);
    return r;
}

static bool is_reissue(const struct park *park, const struct seccomp_notif *notif)
{
    return park->state == PARK_RELEASED && park->nr == notif->data.nr &&
           park->instruction == notif->data.instruction_pointer &&
           memcmp(park->args, notif->data.args, sizeof(park->args)) == 0;
}

static void forget(struct parking *parking, struct park *park)
{
    map_remove(&parking->by_tid, (uint64_t)park->tid);
    list_remove(&park->node);
    atomic_fetch_sub(&parking->count, 1);
}

/*
 * A thread that makes another call than the one we wait for took a signal and left, or its number
 * now belongs to another thread (an exec gives the leader's number to the thread that wins).
 */
bool park_take(struct trap *trap, const struct seccomp_notif *notif, struct park_result *ret_result)
{
    struct parking *parking = trap->parking;
    struct park *park;
    bool found = false;

    if (parking == NULL || atomic_load(&parking->count) == 0)
        return false;
    pthread_mutex_lock(&parking->lock);
    park = map_get(&parking->by_tid, notif->pid);
    if (park && is_reissue(park, notif)) {
        forget(parking, park);
        *ret_result = (struct park_result){.job = park->job,
                                           .value = park->result,
                                           .answer = park->answer,
                                           .received_ns = park->received_ns};
        free(park);
        found = true;
    } else if (park) {
        lose(parking, park);
    }
    pthread_mutex_unlock(&parking->lock);
    return found;
}

void park_collect(struct trap *trap)
{
    struct parking *parking = trap->parking;
    struct park *park;
    struct park *next;

    if (parking == NULL || atomic_load(&parking->count) == 0)
        return;
    pthread_mutex_lock(&parking->lock);
    list_for_each_safe(park, next, &parking->parks, node)
    {
        if (park->state != PARK_LOST || park->running || park->traced)
            continue;
        list_remove(&park->node);
        atomic_fetch_sub(&parking->count, 1);
        park_free(park);
    }
    pthread_mutex_unlock(&parking->lock);
}

void park_stop(struct trap *trap)
{
    struct parking *parking = trap->parking;
    struct park *park;
    struct park *next;

    if (parking == NULL)
        return;
    pthread_mutex_lock(&parking->lock);
    parking->stopping = true;
    list_for_each_safe(park, next, &parking->parks, node) lose(parking, park);
    pthread_mutex_unlock(&parking->lock);
    park_kick(parking);
    pthread_join(parking->thread, NULL);
    trap->parking = NULL;
    if (!worker_stop_all(parking))
        return;
    list_for_each_safe(park, next, &parking->parks, node)
    {
        list_remove(&park->node);
        park_free(park);
    }
    parking_free(parking);
}

/*
 * The parking thread: tracer of guests that sleep in a deferred call. The guest sleeps in pause(2),
 * entered from its own system call instruction, so the host itself decides about signals, stops
 * and kills; we only see that something came and put the guest's registers back:
 *
 *   its job is done          the call is restarted, and answered from the job's result
 *   a signal has come        the registers say that the call was interrupted, and the host does
 *                            what SA_RESTART and EINTR ask for; unless the job was done by then
 *   it stops with its group  the call starts anew when the group continues
 *
 * Nothing here waits for a single guest: stops are collected as they come.
 */
#include <errno.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "trap/park-internal.h"

/* A job that does not acknowledge within this time does not hold its guest any longer. */
#define HOLD_NS              100000000ULL
#define CANCEL_EVERY_MS      1
#define CANCEL_LOST_EVERY_MS 20

#define is_group_stop_signal(signal) \
    ((signal) == SIGSTOP || (signal) == SIGTSTP || (signal) == SIGTTIN || (signal) == SIGTTOU)

/* It is off the books of its number: another thread may have that now. */
static void set_lost(struct parking *parking, struct park *park)
{
    if (map_get(&parking->by_tid, (uint64_t)park->tid) == park)
        map_remove(&parking->by_tid, (uint64_t)park->tid);
    park->state = PARK_LOST;
    worker_cancel(parking, park);
}

static void set_traced(struct parking *parking, struct park *park, bool traced)
{
    parking->traced_count += traced ? 1 : -1U;
    park->traced = traced;
}

/* The job has an outcome that the guest is to see, whatever else has come. */
static bool is_done(const struct park *park)
{
    return !park->running && park->result != -EINTR;
}

/*
 * Puts the registers back and lets go. Failing means that it was killed in its stop; then waitpid()
 * reports its end. A second stop can come before the pause has been entered: then the host has
 * already stepped back over the call once, and would do it again for our result.
 */
static void let_go(struct parking *parking, struct park *park, long result, int signal)
{
    if (divert_set_nr(park->tid, park->nr) < 0 || divert_set_result(park->tid, result) < 0 ||
        divert_set_instruction(park->tid, park->instruction) < 0 ||
        ptrace(PTRACE_DETACH, park->tid, NULL, (long)signal) < 0)
        return;
    set_traced(parking, park, false);
    if (result == -TRAP_ERESTARTNOINTR && park->state != PARK_LOST)
        park->state = PARK_RELEASED;
    else
        set_lost(parking, park);
}

static void seize(struct parking *parking, struct park *park)
{
    bool sent;
    int r = divert_begin(parking->trap, park->tid, park->id, PTRACE_O_EXITKILL, &sent);

    if (r < 0) {
        trap_send(parking->trap, park->id, r);
        set_lost(parking, park);
        return;
    }
    set_traced(parking, park, true);
    park->untouched = !sent;
    park->state = PARK_SEIZED;
}

/* It leaves for a reason of its own: first the job has to say whether it is done after all. */
static void start_leaving(struct parking *parking, struct park *park, int signal)
{
    park->state = PARK_SIGNALLED;
    park->signal = signal;
    park->held_since = io_now_ns();
    worker_cancel(parking, park);
}

static void leave_if_settled(struct parking *parking, struct park *park)
{
    if (is_done(park))
        let_go(parking, park, -TRAP_ERESTARTNOINTR, park->signal);
    else if (!park->running || io_now_ns() - park->held_since > HOLD_NS)
        let_go(parking, park, -TRAP_ERESTARTSYS, park->signal);
    else
        worker_cancel(parking, park);
}

/* The same instruction, another number: the thread sleeps where it would have slept. */
static void enter_pause(struct park *park)
{
    if (divert_set_nr(park->tid, SYS_pause) < 0 ||
        divert_set_result(park->tid, -TRAP_ERESTARTNOINTR) < 0)
        return;
    ptrace(PTRACE_CONT, park->tid, NULL, NULL);
    park->state = PARK_PARKED;
}

/* Nobody waits for its result: it starts its call again, or takes its signal. */
static void leave_unserved(struct parking *parking, struct park *park, int signal)
{
    if (!park->untouched) {
        let_go(parking, park, -TRAP_ERESTARTSYS, signal);
        return;
    }
    if (ptrace(PTRACE_DETACH, park->tid, NULL, (long)signal) < 0)
        return;
    set_traced(parking, park, false);
    set_lost(parking, park);
}

static bool is_at_call(const struct park *park)
{
    struct divert_call call = {
        .tid = park->tid, .nr = park->nr, .args = park->args, .instruction = park->instruction};

    return divert_is_at(&call);
}

static void on_stop(struct parking *parking, struct park *park, int status)
{
    bool event = status >> 16;
    bool group_stop = event && is_group_stop_signal(WSTOPSIG(status));

    if (park->untouched && park->state == PARK_SEIZED)
        park->untouched = !is_at_call(park);
    if (park->state == PARK_LOST || park->untouched) {
        leave_unserved(parking, park, divert_stop_signal(status));
    } else if (!event || group_stop) {
        start_leaving(parking, park, divert_stop_signal(status));
        leave_if_settled(parking, park);
    } else if (is_done(park)) {
        let_go(parking, park, -TRAP_ERESTARTNOINTR, 0);
    } else if (park->state == PARK_SEIZED) {
        enter_pause(park);
    } else {
        ptrace(PTRACE_CONT, park->tid, NULL, NULL);
    }
}

static struct park *find_traced(struct parking *parking, pid_t tid)
{
    struct park *park;

    list_for_each(park, &parking->parks, node) if (park->tid == tid && park->traced) return park;
    return NULL;
}

static void collect_stops(struct parking *parking)
{
    pid_t tid;
    int status;

    while ((tid = waitpid(-1, &status, WNOHANG | __WALL | __WNOTHREAD)) > 0) {
        struct park *park = find_traced(parking, tid);

        if (park == NULL)
            continue;
        if (WIFSTOPPED(status)) {
            on_stop(parking, park, status);
        } else {
            set_traced(parking, park, false);
            set_lost(parking, park);
        }
    }
}

/* A leader that loses against a sibling's exec vanishes without a word: then this fails. */
static void interrupt(struct parking *parking, struct park *park)
{
    if (park->interrupted)
        return;
    park->interrupted = true;
    if (ptrace(PTRACE_INTERRUPT, park->tid, NULL, NULL) == 0 || errno != ESRCH)
        return;
    set_traced(parking, park, false);
    set_lost(parking, park);
}

/* Does what can be done for one park now. Returns when to look again, in ms, or -1. */
static int step(struct parking *parking, struct park *park, bool *ret_collect)
{
    switch (park->state) {
    case PARK_WANTED:
        seize(parking, park);
        break;
    case PARK_PARKED:
        if (!park->running)
            interrupt(parking, park);
        break;
    case PARK_SIGNALLED:
        leave_if_settled(parking, park);
        break;
    case PARK_SEIZED:
    case PARK_RELEASED:
    case PARK_LOST:
        break;
    }
    if (park->state == PARK_SIGNALLED)
        return CANCEL_EVERY_MS;
    if (park->state != PARK_LOST)
        return -1;
    if (park->traced)
        interrupt(parking, park);
    worker_cancel(parking, park);
    *ret_collect = *ret_collect || (!park->running && !park->traced);
    return park->running ? CANCEL_LOST_EVERY_MS : -1;
}

static int step_all(struct parking *parking)
{
    struct park *park;
    struct park *next;
    bool collect = false;
    int timeout = -1;

    list_for_each_safe(park, next, &parking->parks, node)
    {
        int again = step(parking, park, &collect);

        if (again >= 0 && (timeout < 0 || again < timeout))
            timeout = again;
    }
    if (collect)
        trap_wake(parking->trap);
    return timeout;
}

/* Where the host's RECV does not end with the last guest, this thread says so. */
static void watch_reaper(struct trap *trap)
{
    if (trap_read_status(trap))
        return;
    atomic_store(&trap->tree_gone, true);
    trap_wake(trap);
}

static void wait_for_events(struct parking *parking, int timeout)
{
    struct trap *trap = parking->trap;
    bool watches = !trap->features.recv_ends && !atomic_load(&trap->tree_gone);
    struct pollfd fds[3] = {
        {.fd = parking->kick_fd, .events = POLLIN},
        {.fd = watches ? trap->status_fd : -1, .events = POLLIN},
        {.fd = parking->traced_count ? parking->child_fd : -1, .events = POLLIN}};
    struct signalfd_siginfo info;
    uint64_t count;

    poll(fds, 3, timeout);
    (void)!read(parking->kick_fd, &count, sizeof(count));
    if (parking->traced_count)
        (void)!read(parking->child_fd, &info, sizeof(info));
    if (fds[1].revents)
        watch_reaper(trap);
}

void *park_main(void *argument)
{
    struct parking *parking = argument;
    int timeout = -1;

    pthread_mutex_lock(&parking->lock);
    while (!parking->stopping) {
        pthread_mutex_unlock(&parking->lock);
        wait_for_events(parking, timeout);
        pthread_mutex_lock(&parking->lock);
        if (parking->traced_count)
            collect_stops(parking);
        timeout = step_all(parking);
    }
    pthread_mutex_unlock(&parking->lock);
    return NULL;
}

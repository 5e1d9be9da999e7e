/*
 * One attachment, step by step. See attach-internal.h.
 */
#include "attach/attach.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "base/io.h"

#define ATTEMPTS 3

/* ---- rules ---- */

static void complete_rules(pid_t target, struct channel_rules *rules)
{
    rules->version = CHANNEL_VERSION;
    rules->target = target;
    for (int nr = 0; nr < CHANNEL_NUMBERS; nr++)
        if (rules->denied[nr] || attach_has(rules->passed, nr))
            attach_add(rules->filtered, nr);
    /* Always, and at no price: so a later attachment can have limits, too. */
    attach_add(rules->filtered, ABI_NR_prlimit64);
    attach_add(rules->filtered, ABI_NR_setrlimit);
}

/* ---- the tracing thread ---- */

struct work {
    const struct target *target;
    const struct channel_rules *rules;
    const struct attach_options *options;
    int channel;
    int listener;
    uint64_t held_ns;
    struct base_error *error;
    int result;
};

static bool is_alive(pid_t pid)
{
    struct target now;

    return target_read(pid, &now) == 0 && now.state != 'Z' && now.state != 'X';
}

/*
 * The keeper has the listener, and the limits are set, before anything runs again: so no call waits
 * for long, and none slips through.
 */
static int install_and_hand_over(struct work *work, struct stopped *stopped)
{
    struct sock_fprog program;
    cleanup_close int listener = -1;
    int r = attach_filter(work->rules->filtered, &program);

    if (r < 0)
        return base_fail(work->error, r, NULL, "no memory for the filter");
    r = install_filter(stopped, work->target, &program, &listener, work->error);
    free(program.filter);
    if (r < 0)
        return r;
    return link_hand_over(work->channel, work->rules, work->options->audit, listener,
                          &work->listener, work->error);
}

static int attempt(struct work *work)
{
    struct stopped stopped = {.pid = work->target->pid};
    uint64_t start = io_now_ns();
    int r = stop_all(&stopped);

    if (r == 0)
        r = install_and_hand_over(work, &stopped);
    else if (r == -ETIME)
        base_fail(work->error, EBUSY, "try again later",
                  "process %d cannot be stopped now: it waits in the host kernel", stopped.pid);
    else if (r != -ESRCH)
        target_explain(work->target, -r, target_yama(), work->error);
    stop_release(&stopped);
    work->held_ns = io_now_ns() - start;
    return work->error->code ? -work->error->code : r;
}

static void *trace(void *argument)
{
    struct work *work = argument;

    work->result = attempt(work);
    return NULL;
}

/*
 * In a thread of its own: with its end the host lets go of whatever could not be detached. No
 * signal of the program disturbs it.
 */
static int run_thread(struct work *work)
{
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, NULL, trace, work);
    if (r == 0)
        pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return base_fail(work->error, r, NULL, "cannot start a thread: %s", strerror(r));
    return work->result;
}

/* What was held may change its program under our hands; then everything begins anew. */
static int trace_target(struct work *work)
{
    pid_t pid = work->target->pid;
    int r = -ESRCH;

    for (unsigned i = 0; i < ATTEMPTS && r == -ESRCH && work->error->code == 0; i++)
        r = i > 0 && !is_alive(pid) ? -ESRCH : run_thread(work);
    if (r == -ESRCH && work->error->code == 0)
        return base_fail(work->error, ESRCH, NULL, "process %d has ended meanwhile", pid);
    return r;
}

/* ---- */

/* A filter that it has inherited belongs to the keeper of an ancestor, as a rule. */
static int check_ancestors(const struct target *target, struct base_error *error)
{
    pid_t pid = target->seccomp ? target_parent(target->pid) : 0;

    for (int depth = 0; pid > 1 && depth < 1000; depth++) {
        pid_t keeper;

        if (attach_find(pid, &keeper, NULL) == 0)
            return base_fail(error, EBUSY, "attach to that process instead",
                             "process %d was started by process %d, whose filter it shares",
                             target->pid, pid);
        pid = target_parent(pid);
    }
    return 0;
}

static int attach_first(const struct target *target, const struct channel_rules *rules,
                        const struct attach_options *options, struct attachment *attachment,
                        struct base_error *error)
{
    struct work work = {
        .target = target, .rules = rules, .options = options, .listener = -1, .error = error};
    cleanup_close int channel = -1;
    int r = link_start(target->pid, options->program, &channel, &attachment->keeper, error);

    if (r < 0)
        return r;
    work.channel = channel;
    r = trace_target(&work);
    if (r < 0)
        return r;
    attachment->channel = take_fd(&channel);
    attachment->listener = work.listener;
    attachment->held_ns = work.held_ns;
    return 0;
}

static int attach_again(int channel, const struct channel_rules *rules, int audit,
                        struct attachment *attachment, struct base_error *error)
{
    int r = link_hand_over(channel, rules, audit, -1, &attachment->listener, error);

    if (r < 0) {
        close(channel);
        return r;
    }
    attachment->channel = channel;
    attachment->again = true;
    return 0;
}

int attach_process(pid_t target, struct channel_rules *rules, const struct attach_options *options,
                   struct attachment *ret_attachment, struct base_error *error)
{
    struct attachment attachment = {.target = target, .channel = -1, .listener = -1};
    uint64_t start = io_now_ns();
    struct base_error local = {0};
    struct target facts;
    int channel;
    int r;

    r = target_examine(target, &facts, &local);
    complete_rules(target, rules);
    if (r == 0)
        r = limits_check(&facts, rules, &local);
    if (r == 0)
        r = link_find(target, &channel, &attachment.keeper, &local);
    if (r == 0)
        r = attach_again(channel, rules, options->audit, &attachment, &local);
    else if (r == -ENOENT && (r = check_ancestors(&facts, &local)) == 0)
        r = attach_first(&facts, rules, options, &attachment, &local);
    if (r < 0) {
        base_fail(&local, r, "try again", "process %d cannot be attached to: %s", target,
                  strerror(-r));
        *error = local;
        return r;
    }
    attachment.took_ns = io_now_ns() - start;
    *ret_attachment = attachment;
    return 0;
}

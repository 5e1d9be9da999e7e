/*
 * Delays that are injected (core/faults.h). The guest sleeps in its notification, as it would stand
 * still under a tracer, and a timer interrupts RECV when the first of them is due; see notify.c for
 * why no such signal is missed. Where a signal can take a thread out of its notification (no
 * WAIT_KILLABLE_RECV) it shortens a delay: the call is interrupted, or comes again.
 */
#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/faults.h"
#include "trap/trap-internal.h"

#define NS_PER_S 1000000000ULL

struct delayed {
    struct list node;
    uint64_t due_ns;
    struct pk_ticket ticket;
    const struct pk_fault *fault;
    uint64_t received_ns;
    bool has_answer; /* else the call is still to be served */
    struct pk_answer answer;
    void *traced; /* of the request, with an answer */
    char *note;
    int signal; /* of the call */
};

static int make_timer(struct trap *trap)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TRAP_SIGNAL};

    if (trap->delays.has_timer)
        return 0;
    event.sigev_value.sival_ptr = &trap->notice;
    event._sigev_un._tid = trap->kernel_tid;
    if (timer_create(CLOCK_MONOTONIC, &event, &trap->delays.timer) < 0)
        return -errno;
    trap->delays.has_timer = true;
    return 0;
}

/* For the first of those that wait. */
static void set_timer(struct trap *trap)
{
    struct delayed *first;
    struct itimerspec at = {0};

    if (list_is_empty(&trap->delays.waiting))
        return;
    first = list_entry(trap->delays.waiting.next, struct delayed, node);
    at.it_value.tv_sec = (time_t)(first->due_ns / NS_PER_S);
    at.it_value.tv_nsec = (long)(first->due_ns % NS_PER_S);
    timer_settime(trap->delays.timer, TIMER_ABSTIME, &at, NULL);
}

static void enter(struct trap *trap, struct delayed *delayed)
{
    struct list *before = trap->delays.waiting.next;

    while (before != &trap->delays.waiting &&
           list_entry(before, struct delayed, node)->due_ns <= delayed->due_ns)
        before = before->next;
    list_append(before, &delayed->node); /* in front of it */
    trap->delays.count++;
    set_timer(trap);
}

static struct delayed *delayed_new(struct pk_request *request, uint64_t ns)
{
    struct trap_call *call = request->port_data;
    struct delayed *delayed;

    if (call->held || call->answered || make_timer(call->trap) < 0)
        return NULL;
    delayed = calloc(1, sizeof(*delayed));
    if (delayed == NULL)
        return NULL;
    delayed->due_ns = io_now_ns() + ns;
    delayed->fault = request->fault;
    delayed->received_ns = request->received_ns;
    delayed->answer = pk_value(0);
    delayed->ticket = (struct pk_ticket){.id = call->id,
                                         .tid = call->tid,
                                         .nr = request->nr,
                                         .cpu = -1,
                                         .instruction = request->instruction};
    memcpy(delayed->ticket.args, request->args, sizeof(delayed->ticket.args));
    return delayed;
}

int delay_call(struct pk_request *request, uint64_t ns)
{
    struct trap_call *call = request->port_data;
    struct delayed *delayed = delayed_new(request, ns);

    if (delayed == NULL)
        return -ENOMEM;
    enter(call->trap, delayed);
    return 0;
}

bool delay_answer(struct trap_call *call, struct pk_answer *answer)
{
    struct pk_request *request = &call->request;
    struct delayed *delayed = delayed_new(request, request->fault->delay_exit_ns);

    if (delayed == NULL)
        return false;
    delayed->has_answer = true;
    delayed->answer = *answer;
    delayed->traced = take_ptr(request->traced);
    delayed->note = take_ptr(request->note);
    delayed->signal = call->signal;
    request->kernel->current_context = NULL;
    enter(call->trap, delayed);
    return true;
}

/* The request as it was, but for the fault: that has done its work. */
static bool fill_again(struct trap_call *call, struct delayed *delayed)
{
    struct seccomp_notif notif = {.id = delayed->ticket.id,
                                  .pid = (uint32_t)delayed->ticket.tid,
                                  .data = {.nr = delayed->ticket.nr,
                                           .arch = AUDIT_ARCH_X86_64,
                                           .instruction_pointer = delayed->ticket.instruction}};
    bool alive;

    memcpy(notif.data.args, delayed->ticket.args, sizeof(notif.data.args));
    alive = trap_fill_request(call, &notif) && trap_is_waiting(call->trap, delayed->ticket.id);
    call->request.received_ns = delayed->received_ns;
    call->request.traced = take_ptr(delayed->traced);
    call->request.note = take_ptr(delayed->note);
    return alive;
}

static void give_answer(struct trap *trap, struct delayed *delayed)
{
    struct trap_call call = {.trap = trap, .signal = delayed->signal};

    if (fill_again(&call, delayed)) {
        trap_conclude(&call, &delayed->answer);
        return;
    }
    pk_answer_discard(&delayed->answer);
    pk_trace_drop(&call.request);
    free(call.request.note);
}

static void let_go(struct trap *trap, struct delayed *delayed)
{
    list_remove(&delayed->node);
    trap->delays.count--;
    if (delayed->has_answer)
        give_answer(trap, delayed);
    else
        trap_resume_with(trap, &delayed->ticket, delayed->fault, delayed->received_ns);
    free(delayed);
}

void delay_serve(struct trap *trap)
{
    while (!list_is_empty(&trap->delays.waiting)) {
        struct delayed *first = list_entry(trap->delays.waiting.next, struct delayed, node);

        if (first->due_ns > io_now_ns())
            break;
        let_go(trap, first);
    }
    set_timer(trap);
}

void delay_free_all(struct trap *trap)
{
    struct delayed *delayed;
    struct delayed *next;

    list_for_each_safe(delayed, next, &trap->delays.waiting, node)
    {
        struct pk_request request = {.kernel = trap->kernel, .traced = delayed->traced};

        list_remove(&delayed->node);
        pk_answer_discard(&delayed->answer);
        pk_trace_drop(&request);
        free(delayed->note);
        free(delayed);
    }
    if (trap->delays.has_timer)
        timer_delete(trap->delays.timer);
}

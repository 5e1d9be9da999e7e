/*
 * The one way from a request to an answer, and the book-keeping around it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "core/core-internal.h"
#include "core/exec.h"
#include "core/faults.h"
#include "core/kernel.h"
#include "core/latency.h"
#include "core/recent.h"

/* Who measures may go away without a word: so the time of a measurement is limited. */
static bool is_measured(struct pk_kernel *kernel)
{
    if (io_now_ns() >= kernel->measure_until_ns)
        kernel->measure_until_ns = 0;
    return kernel->measure_until_ns != 0;
}

static bool wants_time(struct pk_kernel *kernel)
{
    return kernel->config.stats || kernel->tracer ||
           (kernel->measure_until_ns && is_measured(kernel));
}

/*
 * A call without a handler. The table may say that it is native: such a call only arrives here when
 * a filter rule was unsure (its arguments are scalars then), so it may run. Everything else is
 * unknown, and answered as an old kernel would.
 */
static struct pk_answer answer_without_handler(struct pk_request *request)
{
    const struct abi_syscall *call = request->call;

    if (call && call->disposition == ABI_DISPOSITION_NATIVE)
        return pk_native();
    if (call && call->disposition == ABI_DISPOSITION_REFUSED)
        return pk_denied(request, call->errnum_or_value, call->note, "it is never allowed", "%s",
                         call->name);
    if (request->kernel->stats.unknown_calls++ == 0)
        pk_audit(request->kernel, request,
                 &(struct pk_audit_record){.event = "unknown-call",
                                           .rule = "there is no such system call",
                                           .answer = -ENOSYS});
    return pk_error(-ENOSYS);
}

/* Numbers of threads cannot come round in this time, however fast a guest forks. */
#define CHECK_AGAIN_NS 50000000UL

/* Finds thread and context; a thread that has just been here is not asked for again. */
static bool identify(struct pk_request *request, pid_t tid)
{
    struct pk_kernel *kernel = request->kernel;
    struct pk_task *task = map_get(&kernel->tasks, (uint64_t)tid);
    uint64_t now = io_now_ns();

    if (task && now - task->checked_ns < CHECK_AGAIN_NS && task->process->context_id) {
        request->task = task;
        request->context = pk_context_by_id(kernel, task->process->context_id);
        if (request->context)
            return true;
    }
    request->task = pk_task_find(kernel, tid);
    request->context = request->task ? pk_context_of(kernel, tid) : NULL;
    if (request->context == NULL)
        return false;
    request->task->checked_ns = now;
    request->task->process->context_id = request->context->id;
    return true;
}

/* A call that the user has denied. Returns false when it is let through all the same. */
static bool deny_call(struct pk_request *request, int errnum, struct pk_answer *ret_answer)
{
    static const char rule[] = "this system call is denied";
    static const char allow[] = "take it from --deny or from the profile";
    const char *name = request->call ? request->call->name : "unknown";

    if (request->kernel->config.report_only) {
        pk_report(request->kernel, request, -errnum, rule, allow, "system call %s", name);
        return false;
    }
    *ret_answer = pk_denied(request, -errnum, rule, allow, "system call %s", name);
    return true;
}

/* The loader's own calls belong to exec: they are neither counted nor injected into. */
static bool is_loader(const struct pk_request *request)
{
    return request->instruction && request->instruction < PK_EXEC_LOWEST_ADDRESS;
}

/* Does what a rule wants done to this call. Returns true with the answer that it gives for it. */
static bool inject(struct pk_request *request, struct pk_answer *ret_answer)
{
    const struct pk_port_ops *port = request->port;

    if (!request->resumed && !is_loader(request))
        request->fault = pk_faults_next(request->kernel->config.faults, request->nr);
    if (request->fault == NULL)
        return false;
    if (request->fault->delay_enter_ns && !request->resumed && port->delay &&
        port->delay(request, request->fault->delay_enter_ns) == 0) {
        *ret_answer = pk_later();
        return true;
    }
    if (request->fault->signal && port->signal)
        port->signal(request, request->fault->signal);
    if (request->fault->has_result)
        *ret_answer = pk_value(request->fault->result);
    return request->fault->has_result;
}

static struct pk_answer serve(struct pk_request *request)
{
    struct pk_kernel *kernel = request->kernel;
    bool intercepted = pk_is_intercepted(&kernel->config, request->nr);
    int denied = pk_denied_errno(&kernel->config, request->nr);
    pk_handler handler = NULL;
    struct pk_answer answer;

    if (denied && deny_call(request, denied, &answer))
        return answer;
    if (kernel->config.faults && inject(request, &answer))
        return answer;
    if (intercepted && !denied && kernel->interceptor && !request->resumed)
        return kernel->interceptor(request);
    if (intercepted && request->port->unserved && request->port->unserved(request, &answer))
        return answer;
    if (request->nr >= 0 && request->nr < PK_NR_LIMIT)
        handler = kernel->handlers[request->nr];
    return handler ? handler(request) : answer_without_handler(request);
}

struct pk_answer pk_dispatch(struct pk_request *request, pid_t tid)
{
    struct pk_kernel *kernel = request->kernel;
    struct pk_answer answer;

    if (!request->resumed || request->received_ns == 0)
        request->received_ns = wants_time(kernel) ? io_now_ns() : 0;
    request->call = abi_syscall_by_nr(request->nr);
    request->note = NULL;
    request->denied = false;
    request->traced = NULL;
    if (!identify(request, tid))
        return pk_error(request->task ? -EPERM : -ESRCH);
    kernel->current_context = request->context;
    kernel->current_task = request->task;
    kernel->current_request = request;
    if (kernel->places)
        kernel->places->settle(kernel->vfs);
    pk_trace_begin(request);
    answer = serve(request);
    kernel->current_request = NULL;
    pk_trace_answered(request, &answer);
    return answer;
}

static void count_call(struct pk_request *request, const struct pk_answer *answer, int64_t result,
                       uint64_t elapsed_ns)
{
    struct pk_stats *stats = &request->kernel->stats;
    struct pk_call_stats *call;

    stats->syscalls_intercepted++;
    stats->too_many_files += result == -EMFILE;
    stats->too_large_files += result == -EFBIG;
    if (request->nr < 0 || request->nr >= PK_NR_LIMIT)
        return;
    call = &stats->calls[request->nr];
    call->count++;
    call->answers[answer->kind]++;
    call->denied += request->denied;
    if (result < 0 && result >= -4095)
        call->errors++;
    call->total_ns += elapsed_ns;
    if (elapsed_ns > call->max_ns)
        call->max_ns = elapsed_ns;
    if (elapsed_ns && request->kernel->latencies)
        request->kernel->latencies->counts[request->nr][pk_latency_bucket(elapsed_ns)]++;
}

void pk_dispatch_done(struct pk_request *request, const struct pk_answer *answer, int64_t result)
{
    struct pk_kernel *kernel = request->kernel;
    uint64_t elapsed = request->received_ns ? io_now_ns() - request->received_ns : 0;

    count_call(request, answer, result, elapsed);
    if (answer->kind == PK_ANSWER_DESCRIPTOR)
        kernel->stats.descriptors_handed++;
    if (answer->kind == PK_ANSWER_EXEC && result >= 0)
        kernel->stats.execs++;
    if (request->traced)
        kernel->tracer->end(kernel->tracer->user, request, answer, result, elapsed);
    free(request->note);
    request->note = NULL;
    kernel->current_context = NULL;
    kernel->current_task = NULL;
}

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
    return hash | 1;
}

/* A program that retries must not flood the terminal: each distinct line is told once. */
static bool is_new_denial(struct pk_kernel *kernel, const char *what)
{
    uint64_t hash = hash_text(what);

    if (map_get(&kernel->denials_told, hash))
        return false;
    if (kernel->denials_told.count < 4096)
        map_set(&kernel->denials_told, hash, kernel);
    return true;
}

/* Counts and records a denial, real or only reported. */
static void tell(struct pk_kernel *kernel, struct pk_request *request, struct pk_denial *denial)
{
    denial->pid = request && request->task ? request->task->process->pid : kernel->root_pid;
    kernel->stats.denials++;
    pk_recent_add(kernel, request, denial);
    pk_audit(kernel, request,
             &(struct pk_audit_record){.event = denial->let_through ? "reported" : "denied",
                                       .what = denial->what,
                                       .rule = denial->rule,
                                       .answer = -denial->errnum});
    if (kernel->sink.denial && is_new_denial(kernel, denial->what))
        kernel->sink.denial(kernel->sink.user, denial);
}

struct pk_answer pk_denied(struct pk_request *request, int negative_errno, const char *rule,
                           const char *allow, const char *what_format, ...)
{
    struct pk_denial denial = {.rule = rule, .allow = allow, .errnum = -negative_errno};
    cleanup_strbuf struct strbuf what = {0};
    va_list args;

    va_start(args, what_format);
    strbuf_addv(&what, what_format, args);
    va_end(args);
    denial.what = strbuf_text(&what);
    tell(request->kernel, request, &denial);
    pk_note(request, "denied: %s", rule);
    request->denied = true;
    return pk_error(negative_errno);
}

static void report(struct pk_kernel *kernel, struct pk_request *request, struct pk_denial *denial,
                   const char *what_format, va_list args)
{
    cleanup_strbuf struct strbuf what = {0};

    strbuf_addv(&what, what_format, args);
    denial->what = strbuf_text(&what);
    tell(kernel, request, denial);
}

void pk_report(struct pk_kernel *kernel, struct pk_request *request, int negative_errno,
               const char *rule, const char *allow, const char *what_format, ...)
{
    struct pk_denial denial = {
        .rule = rule, .allow = allow, .errnum = -negative_errno, .let_through = true};
    va_list args;

    va_start(args, what_format);
    report(kernel, request, &denial, what_format, args);
    va_end(args);
}

void pk_report_late(struct pk_kernel *kernel, int negative_errno, const char *rule,
                    const char *allow, const char *what_format, ...)
{
    struct pk_denial denial = {.rule = rule, .allow = allow, .errnum = -negative_errno};
    va_list args;

    va_start(args, what_format);
    report(kernel, NULL, &denial, what_format, args);
    va_end(args);
}

/*
 * The tracer: a record for each call, from its arrival to its answer, and the line that is made of
 * it.
 */
#include "trace/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/faults.h"
#include "trace/trace-internal.h"

static void record_free(struct trace_record *record)
{
    if (record == NULL)
        return;
    for (unsigned i = 0; i < ABI_MAX_ARGS; i++) {
        strbuf_free(&record->args[i]);
        strbuf_free(&record->content[i]);
    }
    free(record);
}

static bool is_wanted(const struct trace_options *options, struct pk_request *request)
{
    if (options->some_calls && !abi_call_set_has(&options->calls, request->nr))
        return false;
    return options->path_count == 0 || trace_names_path(options, request);
}

static void begin(void *user, struct pk_request *request)
{
    const struct trace_options *options = user;
    struct trace_record *record;

    request->traced = NULL;
    if (!is_wanted(options, request))
        return;
    record = calloc(1, sizeof(*record));
    if (record == NULL)
        return;
    record->tid = request->task->tid;
    record->pid = request->task->process->pid;
    record->shown = request->call ? trace_shown(request) : 0;
    for (unsigned i = 0; i < record->shown; i++)
        trace_argument(record, options, request, i, false, 0);
    request->traced = record;
}

/* Whether the result is what the guest gets, and is so already. */
static bool is_final(const struct pk_answer *answer)
{
    return answer->kind == PK_ANSWER_VALUE || answer->kind == PK_ANSWER_DESCRIPTOR;
}

static void answered(void *user, struct pk_request *request, const struct pk_answer *answer)
{
    const struct trace_options *options = user;
    struct trace_record *record = request->traced;
    bool has_result = request->fault && request->fault->has_result;

    record->denied = request->denied;
    record->injected = has_result && answer->kind == PK_ANSWER_VALUE;
    record->delayed =
        request->fault && (request->fault->delay_enter_ns || request->fault->delay_exit_ns);
    /* What an injected call would have written is not there. */
    if (!is_final(answer) || answer->value < 0 || record->injected)
        return;
    for (unsigned i = 0; i < record->shown; i++)
        trace_argument(record, options, request, i, true, answer->value);
}

static const char *decision_of(const struct trace_record *record, const struct pk_answer *answer,
                               int64_t result)
{
    if (record->injected)
        return "injected";
    if (record->denied)
        return "denied";
    switch (answer->kind) {
    case PK_ANSWER_NATIVE:
        return "native";
    case PK_ANSWER_EXEC:
        return result < 0 ? "served" : "exec";
    case PK_ANSWER_DESCRIPTOR:
        return result < 0 ? "served" : "descriptor";
    default:
        return "served";
    }
}

static unsigned status_of(const struct trace_outcome *outcome)
{
    if (!outcome->known)
        return TRACE_UNAVAILABLE;
    return outcome->result < 0 && outcome->result >= -4095 ? TRACE_FAILED : TRACE_SUCCESSFUL;
}

static void add_arguments(struct strbuf *line, const struct pk_request *request,
                          const struct trace_record *record)
{
    if (request->call == NULL) {
        strbuf_addf(line, "syscall_%#x(%#" PRIx64 ", %#" PRIx64 ", %#" PRIx64, request->nr,
                    request->args[0], request->args[1], request->args[2]);
        strbuf_addf(line, ", %#" PRIx64 ", %#" PRIx64 ", %#" PRIx64 ")", request->args[3],
                    request->args[4], request->args[5]);
        return;
    }
    strbuf_addf(line, "%s(", request->call->name);
    for (unsigned i = 0; i < record->shown; i++) {
        strbuf_add_string(line, i ? ", " : "");
        strbuf_add_string(line, strbuf_text(&record->args[i]));
    }
    strbuf_add_string(line, ")");
}

static void add_outcome(struct strbuf *line, const struct pk_request *request,
                        const struct trace_record *record, const struct trace_outcome *outcome)
{
    int errnum = status_of(outcome) == TRACE_FAILED ? (int)-outcome->result : 0;
    const char *name = errnum ? abi_errno_name(errnum) : NULL;

    strbuf_add_string(line, " = ");
    if (!outcome->known)
        strbuf_add_string(line, "?");
    else if (errnum && name)
        strbuf_addf(line, "-1 %s (%s)", name, strerror(errnum));
    else if (errnum)
        strbuf_addf(line, "-1 (errno %d)", errnum);
    else
        trace_result(line, request, outcome->result);
    if (record->injected)
        strbuf_add_string(line, " (INJECTED)");
    if (record->delayed)
        strbuf_add_string(line, " (DELAYED)");
    strbuf_addf(line, " <%s %" PRIu64 ".%" PRIu64 " us>", outcome->decision,
                outcome->elapsed_ns / 1000, outcome->elapsed_ns / 100 % 10);
    if (outcome->note)
        strbuf_addf(line, " %s", outcome->note);
}

/* Arguments that could not be decoded are addresses. */
static void complete(struct trace_record *record, const struct pk_request *request)
{
    for (unsigned i = 0; i < record->shown; i++)
        if (record->args[i].length == 0)
            trace_address(&record->args[i], request->args[i]);
}

static void end(void *user, struct pk_request *request, const struct pk_answer *answer,
                int64_t result, uint64_t elapsed_ns)
{
    const struct trace_options *options = user;
    struct trace_record *record = request->traced;
    struct trace_outcome outcome = {.decision = decision_of(record, answer, result),
                                    .known = answer->kind != PK_ANSWER_NATIVE || result < 0,
                                    .result = result,
                                    .elapsed_ns = elapsed_ns,
                                    .note = request->note};
    cleanup_strbuf struct strbuf line = {0};

    request->traced = NULL;
    complete(record, request);
    if (options->statuses == 0 || (options->statuses & status_of(&outcome))) {
        if (options->json) {
            trace_json(&line, request, record, &outcome);
        } else {
            strbuf_addf(&line, "[%d] ", record->tid);
            add_arguments(&line, request, record);
            add_outcome(&line, request, record, &outcome);
        }
        options->line(options->user, strbuf_text(&line));
    }
    record_free(record);
}

static void drop(void *user, struct pk_request *request)
{
    (void)user;
    record_free(request->traced);
    request->traced = NULL;
}

void trace_tracer(const struct trace_options *options, struct pk_tracer *ret_tracer)
{
    *ret_tracer = (struct pk_tracer){
        .begin = begin, .answered = answered, .end = end, .drop = drop, .user = (void *)options};
}

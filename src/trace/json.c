/*
 * A call as one JSON object. Arguments that are plain numbers are numbers, strings are what they
 * say, and everything else is the text of the trace.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "trace/trace-internal.h"

static void add_text(struct strbuf *out, const char *name, const char *text)
{
    strbuf_addf(out, ",\"%s\":\"", name);
    strbuf_add_json(out, text);
    strbuf_add_string(out, "\"");
}

/* A number that every reader of JSON can hold. */
static bool is_number(const char *text)
{
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    const char *first = text + (*text == '-');

    return digits > 0 && digits <= 15 && first[digits] == '\0' && (*first != '0' || digits == 1);
}

static bool is_text_kind(enum abi_arg_kind kind)
{
    return kind == ABI_ARG_PATH || kind == ABI_ARG_STR || kind == ABI_ARG_PATH_OUT;
}

static void add_argument(struct strbuf *out, const struct abi_arg *arg, const struct strbuf *text,
                         const struct strbuf *content)
{
    bool has_content = is_text_kind(arg->kind) && strbuf_text(text)[0] == '"';

    strbuf_addf(out, "\"%s\":", arg->name);
    if (!has_content && is_number(strbuf_text(text))) {
        strbuf_add_string(out, strbuf_text(text));
        return;
    }
    if (strcmp(strbuf_text(text), "NULL") == 0) {
        strbuf_add_string(out, "null");
        return;
    }
    strbuf_add_string(out, "\"");
    strbuf_add_json(out, strbuf_text(has_content ? content : text));
    strbuf_add_string(out, "\"");
}

static void add_arguments(struct strbuf *out, const struct pk_request *request,
                          const struct trace_record *record)
{
    strbuf_add_string(out, ",\"args\":{");
    for (unsigned i = 0; i < record->shown; i++) {
        strbuf_add_string(out, i ? "," : "");
        add_argument(out, &request->call->args[i], &record->args[i], &record->content[i]);
    }
    strbuf_add_string(out, "},\"raw\":[");
    for (unsigned i = 0; i < ABI_MAX_ARGS; i++)
        strbuf_addf(out, i ? ",\"%#" PRIx64 "\"" : "\"%#" PRIx64 "\"", request->args[i]);
    strbuf_add_string(out, "]");
}

static void add_time(struct strbuf *out)
{
    struct timespec now;
    struct tm parts;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    strbuf_addf(out, "{\"time\":\"%s.%06ldZ\"", text, now.tv_nsec / 1000);
}

static void add_result(struct strbuf *out, const struct trace_outcome *outcome)
{
    bool failed = outcome->known && outcome->result < 0 && outcome->result >= -4095;
    const char *error = failed ? abi_errno_name((int)-outcome->result) : NULL;

    if (!outcome->known)
        strbuf_add_string(out, ",\"result\":null");
    else
        strbuf_addf(out, ",\"result\":%" PRId64, failed ? -1 : outcome->result);
    if (error)
        add_text(out, "error", error);
    else if (failed)
        strbuf_addf(out, ",\"error\":\"%" PRId64 "\"", -outcome->result);
}

void trace_json(struct strbuf *out, const struct pk_request *request,
                const struct trace_record *record, const struct trace_outcome *outcome)
{
    add_time(out);
    strbuf_addf(out, ",\"pid\":%d,\"tid\":%d,\"nr\":%d", record->pid, record->tid, request->nr);
    add_text(out, "call", request->call ? request->call->name : "");
    add_arguments(out, request, record);
    add_result(out, outcome);
    add_text(out, "decision", outcome->decision);
    strbuf_addf(out, ",\"delayed\":%s,\"us\":%" PRIu64 ".%03" PRIu64,
                record->delayed ? "true" : "false", outcome->elapsed_ns / 1000,
                outcome->elapsed_ns % 1000);
    if (outcome->note)
        add_text(out, "note", outcome->note);
    strbuf_add_string(out, "}");
}

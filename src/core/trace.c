/*
 * One line a served call: pid, name, decoded arguments, answer, microseconds, and the handler's
 * remark. Strings are read again from the guest before the answer lets it go on, so a racing thread
 * can still make the trace show another text than the handler saw; the handler's remark is the
 * truth.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "core/core-internal.h"
#include "core/exec.h"

#define TRACED_STRING_MAX 256

static void add_quoted(struct strbuf *line, const char *text)
{
    strbuf_add_string(line, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_addf(line, "\\%c", *c);
        else if (*c == '\n')
            strbuf_add_string(line, "\\n");
        else if (isprint(*c))
            strbuf_add(line, c, 1);
        else
            strbuf_addf(line, "\\x%02x", *c);
    }
    strbuf_add_string(line, "\"");
}

static void add_string(struct strbuf *line, struct pk_request *request, uint64_t address)
{
    char text[TRACED_STRING_MAX];
    ssize_t length;

    if (address == 0) {
        strbuf_add_string(line, "NULL");
        return;
    }
    length = pk_read_string(request, address, text, sizeof(text));
    if (length < 0) {
        strbuf_addf(line, "0x%" PRIx64, address);
        return;
    }
    add_quoted(line, text);
}

static void add_argument(struct strbuf *line, struct pk_request *request, unsigned index)
{
    enum abi_arg_kind kind = request->call->args[index].kind;
    uint64_t value = request->args[index];
    char text[256];

    if (kind == ABI_ARG_PATH || kind == ABI_ARG_STR) {
        add_string(line, request, value);
        return;
    }
    abi_format_flags(kind, value, text, sizeof(text));
    strbuf_add_string(line, text);
}

static void add_call(struct strbuf *line, struct pk_request *request)
{
    const struct abi_syscall *call = request->call;

    if (call == NULL) {
        strbuf_addf(line, "syscall_%d(0x%" PRIx64 ", ...)", request->nr, request->args[0]);
        return;
    }
    strbuf_addf(line, "%s(", call->name);
    for (unsigned i = 0; i < call->nargs; i++) {
        if (i > 0)
            strbuf_add_string(line, ", ");
        add_argument(line, request, i);
    }
    strbuf_add_string(line, ")");
}

static void add_result(struct strbuf *line, const struct pk_answer *answer, int64_t result)
{
    const char *error = result < 0 ? abi_errno_name((int)-result) : NULL;

    switch (answer->kind) {
    case PK_ANSWER_NATIVE:
        strbuf_add_string(line, " = native");
        return;
    case PK_ANSWER_DEFERRED:
        strbuf_add_string(line, " = waits");
        return;
    case PK_ANSWER_EXEC:
        strbuf_add_string(line, " = exec");
        return;
    default:
        break;
    }
    if (error)
        strbuf_addf(line, " = -%s", error);
    else
        strbuf_addf(line, " = %" PRId64, result);
    if (answer->kind == PK_ANSWER_DESCRIPTOR && !error)
        strbuf_add_string(line, " (descriptor)");
}

static bool is_wanted(const struct pk_request *request)
{
    uint32_t families = request->kernel->config.trace_families;

    return families == 0 || request->call == NULL || (families >> request->call->family & 1);
}

void pk_trace_call(struct pk_request *request)
{
    struct strbuf line = {0};

    if (request->kernel->sink.trace == NULL || !is_wanted(request))
        return;
    strbuf_addf(&line, "[%d] ", request->task->tid);
    add_call(&line, request);
    request->traced = line.data;
}

void pk_trace_result(struct pk_request *request, const struct pk_answer *answer, int64_t result,
                     uint64_t elapsed_ns)
{
    cleanup_strbuf struct strbuf line = {0};

    if (request->traced == NULL)
        return;
    strbuf_add_string(&line, request->traced);
    add_result(&line, answer, result);
    strbuf_addf(&line, " <%" PRIu64 ".%" PRIu64 " us>", elapsed_ns / 1000, elapsed_ns / 100 % 10);
    if (request->note)
        strbuf_addf(&line, " %s", request->note);
    request->kernel->sink.trace(request->kernel->sink.user, strbuf_text(&line));
}

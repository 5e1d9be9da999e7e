/*
 * Audit records: what is known of the caller is added here, so that who has something to record
 * names only what happened.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "core/kernel.h"
#include "core/task.h"

static void read_comm(pid_t tid, char comm[16])
{
    cleanup_strbuf struct strbuf text = {0};
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/comm", tid);
    if (io_read_file(AT_FDCWD, path, 64, &text) < 0)
        return; /* it is gone: no name is better than a wrong one */
    if (text.length)
        strbuf_truncate(&text, text.length - 1);
    snprintf(comm, 16, "%s", strbuf_text(&text));
}

static void name_call(const struct pk_request *request, char call[32])
{
    if (request->call)
        snprintf(call, 32, "%s", request->call->name);
    else
        snprintf(call, 32, "syscall_%d", request->nr);
}

void pk_audit(struct pk_kernel *kernel, const struct pk_request *request,
              const struct pk_audit_record *record)
{
    const struct pk_task *task = request ? request->task : NULL;
    struct pk_audit_record full = *record;

    if (kernel->sink.audit == NULL)
        return;
    if (full.pid == 0)
        full.pid = task ? task->process->pid : kernel->root_pid;
    if (full.tid == 0)
        full.tid = task ? task->tid : full.pid;
    if (request && full.call[0] == '\0')
        name_call(request, full.call);
    full.what = full.what ? full.what : "";
    full.rule = full.rule ? full.rule : "";
    clock_gettime(CLOCK_REALTIME, &full.time);
    kernel->sink.audit(kernel->sink.user, &full);
}

void pk_audit_name(struct pk_audit_record *record)
{
    if (record->comm[0] == '\0')
        read_comm(record->tid, record->comm);
}

void pk_audit_action(struct pk_kernel *kernel, const struct pk_request *request, const char *event,
                     pid_t by, int answer, const char *format, ...)
{
    struct pk_audit_record record = {.event = event, .by = by, .answer = answer};
    cleanup_strbuf struct strbuf what = {0};
    va_list args;

    if (kernel->sink.audit == NULL)
        return;
    va_start(args, format);
    strbuf_addv(&what, format, args);
    va_end(args);
    record.what = strbuf_text(&what);
    pk_audit(kernel, request, &record);
}

/*
 * What `cerebro run` shows besides the program's own output: trace lines, denials, and the reports
 * at the end. All of it runs in the supervisor, on the kernel thread.
 */
#pragma once

#include <stdio.h>

#include "audit/audit.h"
#include "cli/run-options.h"
#include "launch/launch.h"
#include "trace/trace.h"

#define REPORT_DENIALS_MAX 1000

struct report {
    const struct run_options *options;
    FILE *trace; /* where trace lines go */
    struct trace_options trace_options;
    struct pk_tracer tracer;
    struct strbuf denials; /* JSON objects, separated by commas; with --json only */
    unsigned denial_count;
    struct audit audit;
};

/* Opens the trace file and the audit log when they were asked for. Returns 0 or a negative errno.
 */
int report_open(struct report *report, const struct run_options *options, struct base_error *error);

/* The hooks that feed this report; `report` must outlive the run. */
void report_hooks(struct report *report, struct launch_hooks *ret_hooks);

void report_close(struct report *report);

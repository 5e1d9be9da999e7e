/* For the inside of the core room only. */
#pragma once

#include "core/kernel.h"

/* Drops contexts that no process of the tree carries any more. */
void pk_context_sweep(struct pk_kernel *kernel);
void pk_contexts_free(struct pk_kernel *kernel);

/* The context that a thread carries, NULL when it is gone or carries a number we never gave. */
const struct pk_context *pk_context_of(struct pk_kernel *kernel, pid_t tid);

/* True when `pid` descends from this process, the subreaper of the tree. */
bool pk_is_descendant(struct pk_kernel *kernel, pid_t pid);

void pk_tasks_free(struct pk_kernel *kernel);

/* Formats the call while the guest still waits, when a trace is wanted: request->traced. */
void pk_trace_call(struct pk_request *request);

/* Completes the line with what the guest got and sends it. */
void pk_trace_result(struct pk_request *request, const struct pk_answer *answer, int64_t result,
                     uint64_t elapsed_ns);

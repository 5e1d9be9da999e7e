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

#include "core/exec.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "core/program.h"

struct pk_exec_plan *pk_exec_plan_new(void)
{
    struct pk_exec_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL)
        return NULL;
    plan->program_fd = -1;
    plan->interpreter_fd = -1;
    return plan;
}

void pk_exec_plan_free(struct pk_exec_plan *plan)
{
    if (plan == NULL)
        return;
    base_close(plan->program_fd);
    base_close(plan->interpreter_fd);
    free(plan->execfn);
    free(plan->exe);
    pk_program_unref(plan->program);
    free(plan->argv_prefix);
    free(plan);
}

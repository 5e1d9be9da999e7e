#include "core/answer.h"

#include "base/cleanup.h"
#include "core/exec.h"

void pk_answer_discard(struct pk_answer *answer)
{
    if (answer->kind == PK_ANSWER_DESCRIPTOR)
        base_close(take_fd(&answer->fd));
    if (answer->kind == PK_ANSWER_EXEC)
        pk_exec_plan_free(take_ptr(answer->plan));
    if (answer->kind == PK_ANSWER_DEFERRED && answer->job) {
        answer->job->release(answer->job);
        answer->job = NULL;
    }
}

#include "core/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/io.h"
#include "core/core-internal.h"
#include "core/kernel.h"
#include "core/program.h"
#include "core/sharing.h"

/* Contexts that no process carries any more are dropped once this many have gathered. */
#define SWEEP_FIRST 256

static struct vfs_place *place_ref(struct pk_kernel *kernel, struct vfs_place *place)
{
    return place && kernel->places ? kernel->places->ref(place) : place;
}

static void place_unref(struct pk_kernel *kernel, struct vfs_place *place)
{
    if (place && kernel->places)
        kernel->places->unref(place);
}

struct pk_context *pk_context_copy(struct pk_kernel *kernel, const struct pk_context *from)
{
    struct pk_context *context = malloc(sizeof(*context));

    if (context == NULL)
        return NULL;
    *context = *from;
    context->program = pk_program_ref(from->program);
    context->id = kernel->next_context++;
    context->cwd = place_ref(kernel, from->cwd);
    context->root = place_ref(kernel, from->root);
    context->started = io_now_ns();
    return context;
}

void pk_context_free(struct pk_kernel *kernel, struct pk_context *context)
{
    if (context == NULL)
        return;
    place_unref(kernel, context->cwd);
    place_unref(kernel, context->root);
    pk_program_unref(context->program);
    free(context);
}

const struct pk_context *pk_context_by_id(struct pk_kernel *kernel, uint64_t id)
{
    return map_get(&kernel->contexts, id);
}

void pk_context_set_cwd(struct pk_kernel *kernel, struct pk_context *context, struct vfs_place *cwd)
{
    struct vfs_place *old = context->cwd;

    context->cwd = place_ref(kernel, cwd);
    place_unref(kernel, old);
}

void pk_context_set_root(struct pk_kernel *kernel, struct pk_context *context,
                         struct vfs_place *root)
{
    struct vfs_place *old = context->root;

    context->root = place_ref(kernel, root);
    place_unref(kernel, old);
}

void pk_context_set_program(struct pk_context *context, struct pk_program *program)
{
    struct pk_program *old = context->program;

    context->program = pk_program_ref(program);
    pk_program_unref(old);
}

int pk_context_register(struct pk_kernel *kernel, struct pk_context *context)
{
    int r;

    if (kernel->contexts.count >= kernel->context_sweep_at)
        pk_context_sweep(kernel);
    r = map_set(&kernel->contexts, context->id, context);
    if (r < 0)
        pk_context_free(kernel, context);
    return r;
}

int pk_context_tag(pid_t pid, uint64_t id)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return -errno;
    limit.rlim_cur = id;
    return prlimit(pid, RLIMIT_LOCKS, &limit, NULL) < 0 ? -errno : 0;
}

int pk_context_adopt(struct pk_request *request, struct pk_context *context)
{
    struct pk_kernel *kernel = request->kernel;
    int r = pk_context_register(kernel, context);

    if (r < 0)
        return r;
    r = pk_context_tag(request->task->tid, context->id);
    if (r < 0) {
        map_remove(&kernel->contexts, context->id);
        pk_context_free(kernel, context);
        return r;
    }
    request->context = context;
    request->task->process->context_id = context->id;
    pk_fs_spread(kernel, request->task->process->pid, context);
    return 0;
}

const struct pk_context *pk_context_of(struct pk_kernel *kernel, pid_t tid)
{
    struct rlimit limit;

    if (prlimit(tid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return NULL;
    return pk_context_by_id(kernel, limit.rlim_cur);
}

struct sweep {
    struct pk_kernel *kernel;
    struct map carried;
    bool failed;
};

static int note_carried(pid_t pid, void *user)
{
    struct sweep *sweep = user;
    const struct pk_context *context = pk_context_of(sweep->kernel, pid);

    if (context && map_set(&sweep->carried, context->id, sweep) < 0)
        sweep->failed = true;
    return 0;
}

/*
 * A process that is being forked while we look carries the context of its parent, which is
 * carried too; a context made after `started` may be between its making and its adoption. So
 * whatever is neither carried nor younger than the sweep can never come back.
 */
void pk_context_sweep(struct pk_kernel *kernel)
{
    struct sweep sweep = {.kernel = kernel};
    uint64_t started = io_now_ns();
    struct map_slot *slot;
    size_t cursor = 0;

    pk_for_each_process(kernel, note_carried, &sweep);
    /* Twice: a process listed before its parent's last chdir may have forked in between. */
    pk_for_each_process(kernel, note_carried, &sweep);
    while (!sweep.failed && (slot = map_next(&kernel->contexts, &cursor))) {
        struct pk_context *context = slot->value;

        if (context == kernel->current_context || context->started >= started ||
            map_get(&sweep.carried, context->id))
            continue;
        map_remove(&kernel->contexts, context->id);
        pk_context_free(kernel, context);
    }
    kernel->context_sweep_at = kernel->contexts.count * 2 + SWEEP_FIRST;
    map_free(&sweep.carried);
}

void pk_contexts_free(struct pk_kernel *kernel)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&kernel->contexts, &cursor)))
        pk_context_free(kernel, slot->value);
    map_free(&kernel->contexts);
}

/*
 * Resource limits. Most are the host's own and never arrive here. Three things are served:
 *
 * RLIMIT_LOCKS     carries the context id on the host, so what the guest sets is kept in the
 *                  context. Linux ignores the limit, too.
 * RLIMIT_NOFILE    is passed on, but never below the end of the window of kernel-served
 *                  descriptors, which could not be installed any more. What the guest set is kept
 *                  in the context and read back; the difference is that a limit below the window
 *                  is not enforced.
 * other processes  must belong to the tree; performed by the process kernel.
 *
 * A hard limit is never raised: the process kernel may have the right, the guest has not.
 */
#include <errno.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "linux/process-internal.h"

/* A request about a limit; numbers as in struct rlimit64 (UINT64_MAX: no limit). */
struct limit_call {
    struct pk_request *request;
    pid_t pid;                        /* host number, never 0 */
    const struct pk_context *context; /* of that process */
    unsigned resource;
    bool set;
    struct rlimit wanted;
};

static uint64_t window_end(const struct pk_kernel *kernel)
{
    return (uint64_t)kernel->window_base + PK_WINDOW_SIZE;
}

static int read_limit(const struct limit_call *call, struct rlimit *ret_limit)
{
    const struct pk_context *context = call->context;

    if (prlimit(call->pid, call->resource, NULL, ret_limit) < 0)
        return -errno;
    if (call->resource == RLIMIT_LOCKS)
        *ret_limit = (struct rlimit){context->locks_soft, context->locks_hard};
    if (call->resource == RLIMIT_NOFILE && context->nofile_soft != LINUX_LIMIT_UNSET)
        *ret_limit = (struct rlimit){context->nofile_soft, context->nofile_hard};
    return 0;
}

static int check_new(const struct limit_call *call, const struct rlimit *now)
{
    if (call->wanted.rlim_cur > call->wanted.rlim_max)
        return -EINVAL;
    if (call->wanted.rlim_max > now->rlim_max)
        return -EPERM;
    return 0;
}

/* Makes a context with changed limits that of the process the call is about. */
static int adopt(const struct limit_call *call, struct pk_context *context)
{
    struct pk_kernel *kernel = call->request->kernel;
    uint64_t id = context->id;
    int r;

    if (call->pid == call->request->task->process->pid)
        return pk_context_adopt(call->request, context);
    r = pk_context_register(kernel, context);
    return r < 0 ? r : pk_context_tag(call->pid, id);
}

static int remember(const struct limit_call *call)
{
    struct pk_context *context = pk_context_copy(call->request->kernel, call->context);

    if (context == NULL)
        return -ENOMEM;
    if (call->resource == RLIMIT_LOCKS) {
        context->locks_soft = call->wanted.rlim_cur;
        context->locks_hard = call->wanted.rlim_max;
    } else {
        context->nofile_soft = call->wanted.rlim_cur;
        context->nofile_hard = call->wanted.rlim_max;
    }
    return adopt(call, context);
}

static int set_nofile(const struct limit_call *call)
{
    uint64_t least = window_end(call->request->kernel);
    struct rlimit real = call->wanted;
    struct rlimit now;

    if (prlimit(call->pid, RLIMIT_NOFILE, NULL, &now) < 0)
        return -errno;
    if (real.rlim_cur < least)
        real.rlim_cur = least < now.rlim_max ? least : now.rlim_max;
    if (real.rlim_max < real.rlim_cur)
        real.rlim_max = real.rlim_cur;
    if (prlimit(call->pid, RLIMIT_NOFILE, &real, NULL) < 0)
        return -errno;
    return remember(call);
}

static int set_limit(const struct limit_call *call)
{
    if (call->resource == RLIMIT_LOCKS)
        return remember(call);
    if (call->resource == RLIMIT_NOFILE)
        return set_nofile(call);
    return prlimit(call->pid, call->resource, &call->wanted, NULL) < 0 ? -errno : 0;
}

/* Reads, changes and writes the old value back, in the order of the kernel's prlimit64(). */
static struct pk_answer perform(const struct limit_call *call, uint64_t old_address)
{
    struct rlimit old;
    int r = read_limit(call, &old);

    if (r == 0 && call->set)
        r = check_new(call, &old);
    if (r == 0 && call->set)
        r = set_limit(call);
    if (r == 0 && old_address)
        r = pk_write(call->request, old_address, &old, sizeof(old));
    return pk_value(r);
}

static int find_process(struct limit_call *call, pid_t pid)
{
    struct pk_request *request = call->request;

    call->pid = request->task->process->pid;
    call->context = request->context;
    if (pid == 0 || pid == call->pid || pid == request->task->tid)
        return 0;
    call->pid = pid;
    call->context = pid > 0 ? linux_context_of(request->kernel, pid) : NULL;
    if (call->context == NULL && pid == PROCESS_INIT)
        return -EPERM;
    return call->context ? 0 : -ESRCH;
}

static struct pk_answer serve(struct pk_request *request, pid_t pid, unsigned resource,
                              uint64_t new_address, uint64_t old_address)
{
    struct limit_call call = {.request = request, .resource = resource, .set = new_address != 0};
    int r = 0;

    if (resource >= RLIM_NLIMITS)
        return pk_error(-EINVAL);
    if (call.set)
        r = pk_read(request, new_address, &call.wanted, sizeof(call.wanted));
    if (r == 0)
        r = find_process(&call, pid);
    return r < 0 ? pk_error(r) : perform(&call, old_address);
}

static struct pk_answer do_prlimit64(struct pk_request *request)
{
    const uint64_t *args = request->args;

    return serve(request, (pid_t)args[0], (unsigned)args[1], args[2], args[3]);
}

static struct pk_answer do_getrlimit(struct pk_request *request)
{
    if (request->args[1] == 0)
        return pk_error(-EFAULT);
    return serve(request, 0, (unsigned)request->args[0], 0, request->args[1]);
}

static struct pk_answer do_setrlimit(struct pk_request *request)
{
    if (request->args[1] == 0)
        return pk_error(-EFAULT);
    return serve(request, 0, (unsigned)request->args[0], request->args[1], 0);
}

void linux_register_limits(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_prlimit64, do_prlimit64},
        {ABI_NR_getrlimit, do_getrlimit},
        {ABI_NR_setrlimit, do_setrlimit},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

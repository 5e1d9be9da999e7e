/*
 * execve, execveat, and what a successful exec changes.
 *
 * Not emulated: ETXTBSY (nobody holds a program busy for writing), execute-only files stay
 * readable to their own process, AT_EXECVE_CHECK (answered as by kernels before 6.14).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/exec-internal.h"
#include "linux/identity.h"
#include "linux/keys.h"
#include "linux/linux.h"

/* "/dev/fd/N/" in front of a path. */
#define FILENAME_SIZE (PATH_MAX + 24)

static struct pk_answer answer_exec(struct pk_request *request, struct linux_walk *at,
                                    struct exec_request *exec)
{
    cleanup_place struct vfs_place *program = NULL;
    struct pk_exec_plan *plan;
    int opened = -1;
    int r = vfs_resolve_opened(request->kernel->vfs, &at->walk, &program, &opened);

    exec->kernel = request->kernel;
    exec->actor = &at->actor;
    exec->root = request->context->root;
    exec->cwd = request->context->cwd;
    if (r < 0)
        return pk_error(r);
    r = exec_make_plan(exec, program, opened, &plan);
    if (r < 0) {
        if (exec->reason) {
            pk_note(request, "%s", exec->reason);
            pk_audit(request->kernel, request,
                     &(struct pk_audit_record){.event = "exec-failed",
                                               .what = vfs_place_path(program),
                                               .rule = exec->reason,
                                               .answer = r});
        }
        return pk_error(r);
    }
    pk_note(request, "-> %s", plan->exe);
    return pk_exec(plan);
}

static struct pk_answer do_execve(struct pk_request *request)
{
    cleanup_walk struct linux_walk at = {0};
    struct exec_request exec = {.script_fd = -1};
    int r = linux_walk_at(request, AT_FDCWD, request->args[0], 0, &at);

    if (r < 0)
        return pk_error(r);
    exec.filename = at.path;
    return answer_exec(request, &at, &exec);
}

static struct pk_answer do_execveat(struct pk_request *request)
{
    cleanup_walk struct linux_walk at = {0};
    struct exec_request exec = {.script_fd = -1};
    char filename[FILENAME_SIZE];
    int dirfd = (int)request->args[0];
    int flags = (int)request->args[4];
    int r;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return pk_error(-EINVAL);
    r = linux_walk_at(request, dirfd, request->args[1],
                      (flags & AT_SYMLINK_NOFOLLOW ? VFS_NOFOLLOW : 0) |
                          (flags & AT_EMPTY_PATH ? VFS_EMPTY_PATH : 0),
                      &at);
    if (r < 0)
        return pk_error(r);
    exec.filename = at.path;
    if (dirfd != AT_FDCWD && at.path[0] != '/') {
        snprintf(filename, sizeof(filename), "/dev/fd/%d%s%s", dirfd, at.path[0] ? "/" : "",
                 at.path);
        exec.filename = filename;
        exec.script_fd = dirfd;
        exec.comm_from_place = at.path[0] == '\0';
    }
    return answer_exec(request, &at, &exec);
}

static void audit_exec(struct pk_request *request, const struct pk_exec_plan *plan)
{
    struct pk_audit_record record = {.event = "exec", .call = "execve", .what = plan->exe};

    /* It still has the loader's name. */
    memcpy(record.comm, plan->comm, sizeof(record.comm));
    pk_audit(request->kernel, request, &record);
}

/* The new program is being mapped: from now on it is what the process runs. */
static int exec_committed(struct pk_request *request, const struct pk_exec_plan *plan)
{
    struct pk_context *context = linux_copy_context(request);

    if (context == NULL)
        return -ENOMEM;
    pk_context_set_program(context, plan->program);
    identity_exec(&context->identity, plan->euid, plan->egid);
    keys_exec(linux_state(request->kernel)->keys, request->task->process->pid);
    audit_exec(request, plan);
    return pk_context_adopt(request, context);
}

int linux_register_exec(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_execve, do_execve},
        {ABI_NR_execveat, do_execveat},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    linux_state(kernel)->personality.exec_committed = exec_committed;
    return 0;
}

static int explain(const struct exec_request *exec, int r, struct base_error *error)
{
    const char *hint = NULL;

    if (exec->reason)
        return base_fail(error, r, NULL, "cannot run %s: %s", exec->filename, exec->reason);
    if (r == -ENOENT)
        hint = "the path is looked up inside the guest's view of the files";
    if (r == -EACCES)
        hint = "the file must be a regular file with execute permission";
    return base_fail(error, r, hint, "cannot run %s: %s", exec->filename, strerror(-r));
}

int linux_make_exec_plan(struct pk_kernel *kernel, const struct vfs_actor *actor,
                         struct vfs_place *root, struct vfs_place *cwd, const char *path,
                         struct pk_exec_plan **ret_plan, struct base_error *error)
{
    cleanup_place struct vfs_place *program = NULL;
    struct vfs_walk walk = {.actor = actor, .root = root, .base = cwd, .path = path};
    struct exec_request exec = {.kernel = kernel,
                                .actor = actor,
                                .root = root,
                                .cwd = cwd,
                                .filename = path,
                                .script_fd = -1};
    int opened = -1;
    int r = *path ? vfs_resolve_opened(kernel->vfs, &walk, &program, &opened) : -ENOENT;

    r = r < 0 ? r : exec_make_plan(&exec, program, opened, ret_plan);
    return r < 0 ? explain(&exec, r, error) : 0;
}

int linux_first_context(struct pk_kernel *kernel, struct vfs_place *root, struct vfs_place *cwd,
                        mode_t mask, const struct pk_exec_plan *plan,
                        const struct pk_context **ret_context)
{
    /* pk_context_copy() takes the references and gives the id. */
    struct pk_context first = {
        .mask = mask & 0777,
        .cwd = cwd,
        .root = root,
        .identity = kernel->config.identity,
        .program = plan->program,
        .nofile_soft = LINUX_LIMIT_UNSET,
        .nofile_hard = LINUX_LIMIT_UNSET,
        .locks_soft = UINT64_MAX,
        .locks_hard = UINT64_MAX,
    };
    struct pk_context *context = pk_context_copy(kernel, &first);
    int r;

    if (context == NULL)
        return -ENOMEM;
    r = pk_context_register(kernel, context);
    if (r < 0)
        return r;
    *ret_context = context;
    return 0;
}

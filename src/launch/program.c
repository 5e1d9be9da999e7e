/*
 * Finding the first program: the name the user typed, in the guest's view, along the guest's PATH.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "launch/launch-internal.h"
#include "linux/linux.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *search_path(char *const *envp)
{
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return default_path;
}

static int try_plan(struct pk_kernel *kernel, const struct pk_context *context, const char *path,
                    struct pk_exec_plan **ret_plan, struct base_error *error)
{
    struct vfs_actor actor = {.identity = &context->identity, .mask = context->mask};

    return linux_make_exec_plan(kernel, &actor, context->root, context->cwd, path, ret_plan, error);
}

/* As execvp(3): goes on after ENOENT and EACCES, and remembers an EACCES for the end. */
static int search(struct pk_kernel *kernel, const struct launch_options *options,
                  const struct pk_context *context, struct pk_exec_plan **ret_plan,
                  struct base_error *error)
{
    const char *name = options->argv[0];
    const char *next = search_path(options->envp);
    struct base_error denied = {0};
    char path[PATH_MAX];

    while (next) {
        const char *end = strchr(next, ':');
        int length = end ? (int)(end - next) : (int)strlen(next);
        struct base_error attempt = {0};
        int r;

        if (snprintf(path, sizeof(path), "%.*s%s%s", length, next, length ? "/" : "", name) <
            (int)sizeof(path)) {
            r = try_plan(kernel, context, path, ret_plan, &attempt);
            if (r == -EACCES)
                denied = attempt;
            else if (r != -ENOENT && r != -ENOTDIR) {
                *error = attempt;
                return r;
            }
        }
        next = end ? end + 1 : NULL;
    }
    if (denied.code) {
        *error = denied;
        return -EACCES;
    }
    return base_fail(error, ENOENT, "give its path, or extend PATH with --env PATH=...",
                     "%s: command not found in the program's view", name);
}

int program_find(struct pk_kernel *kernel, const struct launch_options *options,
                 const struct pk_context *context, struct pk_exec_plan **ret_plan,
                 int *ret_exit_status, struct base_error *error)
{
    int r = strchr(options->argv[0], '/')
                ? try_plan(kernel, context, options->argv[0], ret_plan, error)
                : search(kernel, options, context, ret_plan, error);

    if (r < 0)
        *ret_exit_status =
            r == -ENOENT || r == -ENOTDIR ? LAUNCH_EXIT_NOT_FOUND : LAUNCH_EXIT_NOT_RUN;
    return r;
}

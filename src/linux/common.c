#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "linux/linux-internal.h"

void linux_actor(struct pk_request *request, struct vfs_actor *ret_actor)
{
    *ret_actor = (struct vfs_actor){
        .pid = request->task->process->pid,
        .tid = request->task->tid,
        .identity = &request->context->identity,
        .mask = request->context->mask,
        .request = request,
    };
}

void linux_walk_release(struct linux_walk *walk)
{
    vfs_place_unref(walk->base);
    walk->base = NULL;
}

int linux_place_of_fd(struct pk_request *request, int fd, struct vfs_place **ret_place)
{
    cleanup_close int ours = pk_get_fd(request, fd);

    if (ours < 0)
        return take_fd(&ours);
    return vfs_place_of_fd(request->kernel->vfs, ours, ret_place);
}

ssize_t linux_describe_fd(struct pk_request *request, int fd, char *path, size_t size)
{
    cleanup_close int ours = pk_get_fd(request, fd);

    if (ours < 0)
        return take_fd(&ours);
    return vfs_describe_fd(request->kernel->vfs, ours, path, size);
}

static int directory_of_fd(struct pk_request *request, int fd, struct vfs_place **ret_place)
{
    cleanup_close int ours = pk_look_fd(request, fd);

    if (ours < 0)
        return take_fd(&ours);
    return vfs_directory_of_fd(request->kernel->vfs, ours, ret_place);
}

/* Finds where the walk starts; `walk->base` stays NULL when the context holds the place. */
static int find_base(struct pk_request *request, int dirfd, struct linux_walk *walk)
{
    bool empty = walk->path[0] == '\0';
    unsigned flags = walk->walk.flags;

    if (empty && !(flags & VFS_EMPTY_PATH))
        return -ENOENT;
    if (dirfd == AT_FDCWD)
        return 0;
    if (walk->path[0] == '/' && !(flags & (VFS_BENEATH | VFS_IN_ROOT)))
        return 0;
    return empty ? linux_place_of_fd(request, dirfd, &walk->base)
                 : directory_of_fd(request, dirfd, &walk->base);
}

static int complete_walk(struct pk_request *request, int dirfd, unsigned flags,
                         struct linux_walk *walk)
{
    int r;

    linux_actor(request, &walk->actor);
    walk->base = NULL;
    walk->walk = (struct vfs_walk){
        .actor = &walk->actor,
        .root = request->context->root,
        .path = walk->path,
        .flags = flags,
    };
    r = find_base(request, dirfd, walk);
    if (r < 0)
        return r;
    walk->walk.base = walk->base ? walk->base : request->context->cwd;
    return 0;
}

int linux_walk_at(struct pk_request *request, int dirfd, uint64_t path_address, unsigned flags,
                  struct linux_walk *ret_walk)
{
    ssize_t length = pk_read_path(request, path_address, ret_walk->path);

    /* An empty path is judged here, whatever pk_read_path() thinks of it. */
    if (length < 0 && length != -ENOENT)
        return (int)length;
    if (length <= 0)
        ret_walk->path[0] = '\0';
    return complete_walk(request, dirfd, flags, ret_walk);
}

int linux_walk_text(struct pk_request *request, int dirfd, const char *path, unsigned flags,
                    struct linux_walk *ret_walk)
{
    size_t length = strlen(path);

    if (length >= sizeof(ret_walk->path))
        return -ENAMETOOLONG;
    memcpy(ret_walk->path, path, length + 1);
    return complete_walk(request, dirfd, flags, ret_walk);
}

int linux_resolve_at(struct pk_request *request, int dirfd, uint64_t path_address, unsigned flags,
                     struct vfs_place **ret_place)
{
    cleanup_walk struct linux_walk at = {0};
    int r = linux_walk_at(request, dirfd, path_address, flags, &at);

    return r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, ret_place);
}

struct pk_answer linux_window_descriptor(struct pk_request *request, int fd, unsigned fd_flags)
{
    int base = request->kernel->window_base;

    for (int number = base; number < base + PK_WINDOW_SIZE; number++) {
        int taken = pk_look_fd(request, number);

        if (taken == -EBADF)
            return pk_descriptor_at(fd, number, fd_flags);
        if (taken < 0) {
            base_close(fd);
            return pk_error(taken);
        }
        base_close(taken);
    }
    base_close(fd);
    return pk_error(-EMFILE);
}

bool linux_capable(const struct pk_request *request, int capability)
{
    return request->context->identity.effective >> capability & 1;
}

struct pk_context *linux_copy_context(struct pk_request *request)
{
    return pk_context_copy(request->kernel, request->context);
}

struct pk_answer linux_adopt(struct pk_request *request, struct pk_context *context)
{
    return pk_value(pk_context_adopt(request, context));
}

const struct pk_context *linux_context_of(struct pk_kernel *kernel, pid_t pid)
{
    struct rlimit limit;

    if (!pk_pid_is_ours(kernel, pid) || prlimit(pid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return NULL;
    return pk_context_by_id(kernel, limit.rlim_cur);
}

struct pk_answer linux_denied_quietly(struct pk_request *request, int negative_errno,
                                      const char *rule, const char *what_format, ...)
{
    cleanup_strbuf struct strbuf what = {0};
    va_list args;

    va_start(args, what_format);
    strbuf_addv(&what, what_format, args);
    va_end(args);
    request->kernel->stats.denials++;
    pk_audit(
        request->kernel, request,
        &(struct pk_audit_record){
            .event = "denied", .what = strbuf_text(&what), .rule = rule, .answer = negative_errno});
    pk_note(request, "denied: %s", rule);
    request->denied = true;
    return pk_error(negative_errno);
}

void linux_set_handlers(struct pk_kernel *kernel, const struct linux_handler *handlers,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        pk_kernel_set_handler(kernel, handlers[i].nr, handlers[i].handler);
}

struct linux_state *linux_state(struct pk_kernel *kernel)
{
    return container_of((struct pk_personality *)kernel->personality, struct linux_state,
                        personality);
}

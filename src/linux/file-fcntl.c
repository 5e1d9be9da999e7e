/*
 * fcntl(2): what the filter does not let through by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>

#include "base/cleanup.h"
#include "linux/file-internal.h"

/* include/uapi/linux/fcntl.h; newer than the C library */
#define COMMAND_DUPFD_QUERY   1027
#define COMMAND_CREATED_QUERY 1028

static struct pk_answer serve_dupfd(struct pk_request *request, unsigned fd_flags)
{
    int lowest = (int)request->args[2];

    /* Not to be had inside the window: as any other descriptor. Negative ones are EINVAL there. */
    if (lowest < 0 || lowest >= request->kernel->window_base + PK_WINDOW_SIZE)
        return pk_native();
    return file_duplicate(request, lowest, fd_flags);
}

static int may_lease(struct pk_request *request, int fd)
{
    struct statx stat;
    int r = vfs_may_lease(request->kernel->vfs, fd);

    if (r < 0)
        return r;
    r = vfs_stat_fd(request->kernel->vfs, fd, &stat);
    if (r < 0)
        return r;
    return stat.stx_uid == request->context->identity.fsuid || linux_capable(request, CAP_LEASE)
               ? 0
               : -EACCES;
}

struct leasing {
    int fd, number; /* ours; the guest's */
    int lease;
    int result;
};

/*
 * The host notes the number by which a lease is taken, and tells it with the signal of F_SETSIG. So
 * it is taken by the guest's number, in a table of descriptors that is this thread's alone.
 */
static void *lease_by_number(void *user)
{
    struct leasing *leasing = user;
    int fd = leasing->fd;

    if (unshare(CLONE_FILES) == 0 && fd != leasing->number &&
        dup3(fd, leasing->number, O_CLOEXEC) >= 0)
        fd = leasing->number;
    leasing->result = fcntl(fd, F_SETLEASE, leasing->lease) < 0 ? -errno : 0;
    return NULL;
}

static int set_lease(struct pk_request *request, int fd)
{
    struct leasing leasing = {
        .fd = fd, .number = (int)request->args[0], .lease = (int)request->args[2]};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, lease_by_number, &leasing);

    if (r != 0)
        return -r;
    pthread_join(thread, NULL);
    return leasing.result;
}

/*
 * On our duplicate of the guest's descriptor: by its number the host would take what another thread
 * has put there meanwhile. The host tells the owner of the file about a lease that is asked back,
 * and makes us the owner if it has none.
 */
static int take_lease(struct pk_request *request, int fd)
{
    int owner = fcntl(fd, F_GETOWN);
    int r = set_lease(request, fd);

    if (r < 0)
        return r;
    if (owner == 0 && fcntl(fd, F_SETOWN, request->task->process->pid) < 0) {
        int error = errno;

        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return -error;
    }
    return 0;
}

static struct pk_answer serve_lease(struct pk_request *request)
{
    cleanup_close int fd = -1;
    int r;

    if ((int)request->args[2] == F_UNLCK)
        return pk_native();
    if ((int)request->args[2] != F_RDLCK && (int)request->args[2] != F_WRLCK)
        return pk_error(-EINVAL);
    fd = pk_get_fd(request, (int)request->args[0]);
    if (fd < 0)
        return pk_error(fd);
    r = may_lease(request, fd);
    return pk_value(r < 0 ? r : take_lease(request, fd));
}

/*
 * The flags of the O_PATH descriptor that the guest's stands for; 0: it is none. Those are in the
 * window, where numbers are looked at; a duplicate outside shows what it is to the host.
 */
static int path_only_flags(struct pk_request *request)
{
    cleanup_close int ours = -1;

    if (!pk_in_window(request->kernel, (uint32_t)request->args[0]))
        return 0;
    ours = pk_get_fd(request, (int)request->args[0]);
    return ours < 0 ? 0 : vfs_path_only_flags(request->kernel->vfs, ours);
}

/* Commands that are not there for an O_PATH descriptor (check_fcntl_cmd() in fs/fcntl.c). */
static bool needs_open_file(int command)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case COMMAND_DUPFD_QUERY:
    case COMMAND_CREATED_QUERY:
        return false;
    default:
        return true;
    }
}

static struct pk_answer serve_fcntl(struct pk_request *request)
{
    int command = (int)request->args[1];
    int path_flags = needs_open_file(command) ? path_only_flags(request) : 0;

    if (path_flags)
        return command == F_GETFL ? pk_value(path_flags) : pk_error(-EBADF);
    switch (command) {
    case F_DUPFD:
        return serve_dupfd(request, 0);
    case F_DUPFD_CLOEXEC:
        return serve_dupfd(request, O_CLOEXEC);
    case F_SETOWN:
    case F_SETOWN_EX:
    case F_SETSIG:
        return linux_set_owner(request);
    case F_SETLEASE:
        return serve_lease(request);
    /*
     * The rest is about the descriptor itself. F_NOTIFY too: its signals go to the caller, about a
     * directory that it holds open.
     */
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_GETOWN:
    case F_GETOWN_EX:
    case F_GETSIG:
    case F_GETLEASE:
    case F_NOTIFY:
    case COMMAND_DUPFD_QUERY:
    case COMMAND_CREATED_QUERY:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT:
        return pk_native();
    default:
        return pk_error(-EINVAL);
    }
}

void file_set_fcntl_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {{ABI_NR_fcntl, serve_fcntl}};

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

/*
 * POSIX message queues.
 *
 * Names of queues are host-wide, and behind Landlock no queue can be opened at all. So a queue of a
 * guest has a name on the host for a moment only: it is made, held by a descriptor and unlinked.
 * Opening it again goes through that descriptor's entry in /proc, which makes a new open file of
 * the same queue. The guest gets real descriptors; sending and receiving is native, and with the
 * last descriptor the queue is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/ipc-internal.h"

#define QUEUES_MAX 256 /* queues_max of a host (mq_overview(7)) */
#define FLAGS_OPEN (O_ACCMODE | O_NONBLOCK)

struct queue {
    char name[NAME_MAX + 1];
    struct ipc_owner owner;
    int fd;
};

struct ipc_mqueues {
    const char *token;
    unsigned made; /* ever */
    size_t count;
    struct queue *queues[QUEUES_MAX];
};

struct ipc_mqueues *ipc_mqueues_new(const char token[17])
{
    struct ipc_mqueues *queues = calloc(1, sizeof(*queues));

    if (queues)
        queues->token = token;
    return queues;
}

static void queue_free(struct queue *queue)
{
    base_close(queue->fd);
    free(queue);
}

void ipc_mqueues_free(struct ipc_mqueues *queues)
{
    while (queues && queues->count)
        queue_free(queues->queues[--queues->count]);
    free(queues);
}

/* The name without its slash, as it comes; errors as ipc/mqueue.c gives them. */
static int read_name(struct pk_request *request, char name[NAME_MAX + 1])
{
    char path[4096];
    ssize_t length = pk_read_path(request, request->args[0], path);

    if (length < 0)
        return (int)length;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    if (length == 0 || strchr(path, '/') || strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
        return length == 0 ? -ENOENT : -EACCES;
    memcpy(name, path, (size_t)length + 1);
    return 0;
}

static size_t find(const struct ipc_mqueues *queues, const char *name)
{
    size_t i = 0;

    while (i < queues->count && strcmp(queues->queues[i]->name, name) != 0)
        i++;
    return i;
}

/* A queue without a name; `attributes` may be NULL. Returns its descriptor. */
static int make_on_host(struct ipc_mqueues *queues, mode_t mode, const struct mq_attr *attributes)
{
    char name[64];
    int fd;

    snprintf(name, sizeof(name), "cerebro-%s-%u", queues->token, queues->made++);
    fd = (int)syscall(SYS_mq_open, name, O_RDWR | O_CREAT | O_EXCL, 0600, attributes);
    if (fd < 0)
        return -errno;
    syscall(SYS_mq_unlink, name);
    if (fchmod(fd, mode) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

/*
 * A new open file. Who may open is decided before, by what the guest's identity is; on the host the
 * queue is ours, whatever its mode says.
 */
static int open_again(const struct queue *queue, int flags)
{
    char path[IO_FD_PATH_SIZE];
    int fd;

    if (fchmod(queue->fd, 0600) < 0)
        return -errno;
    fd = open(io_fd_path(queue->fd, path), (flags & FLAGS_OPEN) | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    fchmod(queue->fd, queue->owner.mode);
    return fd;
}

static int check_access(const struct pk_request *request, const struct queue *queue, int flags)
{
    unsigned wanted = (flags & O_ACCMODE) == O_RDONLY   ? IPC_MAY_READ
                      : (flags & O_ACCMODE) == O_WRONLY ? IPC_MAY_WRITE
                                                        : IPC_MAY_READ | IPC_MAY_WRITE;

    return ipc_permits(request, &queue->owner, wanted);
}

static int add(struct pk_request *request, const char *name)
{
    struct ipc_mqueues *queues = linux_state(request->kernel)->mqueues;
    mode_t mode = (mode_t)request->args[2] & ~request->context->mask;
    struct mq_attr attributes;
    struct queue *queue;

    if (request->args[3] && pk_read(request, request->args[3], &attributes, sizeof(attributes)) < 0)
        return -EFAULT;
    if (queues->count == QUEUES_MAX)
        return -ENOSPC;
    queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        return -ENOMEM;
    snprintf(queue->name, sizeof(queue->name), "%s", name);
    queue->owner = ipc_owner_of(request, mode);
    queue->fd = make_on_host(queues, queue->owner.mode, request->args[3] ? &attributes : NULL);
    if (queue->fd < 0) {
        int r = queue->fd;

        free(queue);
        return r;
    }
    queues->queues[queues->count++] = queue;
    return 0;
}

struct pk_answer ipc_do_mq_open(struct pk_request *request)
{
    struct ipc_mqueues *queues = linux_state(request->kernel)->mqueues;
    int flags = (int)request->args[1];
    char name[NAME_MAX + 1];
    size_t at;
    bool made;
    int r = read_name(request, name);

    if (r < 0 || (flags & O_ACCMODE) == O_ACCMODE)
        return pk_error(r < 0 ? r : -EINVAL);
    at = find(queues, name);
    made = at == queues->count;
    if (made && !(flags & O_CREAT))
        return pk_error(-ENOENT);
    if (!made && (flags & O_CREAT) && (flags & O_EXCL))
        return pk_error(-EEXIST);
    r = made ? add(request, name) : check_access(request, queues->queues[at], flags);
    r = r < 0 ? r : open_again(queues->queues[at], flags);
    return r < 0 ? pk_error(r) : pk_descriptor(r, O_CLOEXEC);
}

struct pk_answer ipc_do_mq_unlink(struct pk_request *request)
{
    struct ipc_mqueues *queues = linux_state(request->kernel)->mqueues;
    char name[NAME_MAX + 1];
    size_t at;
    int r = read_name(request, name);

    if (r < 0)
        return pk_error(r);
    at = find(queues, name);
    if (at == queues->count)
        return pk_error(-ENOENT);
    if (!ipc_owned(request, &queues->queues[at]->owner))
        return pk_error(-EPERM); /* the directory is sticky */
    queue_free(queues->queues[at]);
    queues->queues[at] = queues->queues[--queues->count];
    return pk_value(0);
}

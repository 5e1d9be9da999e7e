/*
 * What a handler can learn of a call and do with it. Guest memory is reached directly, and answers
 * go to the guest on a duplicate of the filter's listener.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "abi/syscalls.h"
#include "api/api-internal.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

#define PAGE        4096
#define PATIENCE_MS 1000 /* for a kernel that is busy with other calls */

static __thread process_kernel_t *current;

PK_API process_kernel_t *pk_get_current(void)
{
    return current;
}

PK_API int pk_call_nr(const struct pk_call *call)
{
    return call->request.nr;
}

PK_API uint64_t pk_call_arg(const struct pk_call *call, unsigned index)
{
    return index < 6 ? call->request.args[index] : 0;
}

PK_API pid_t pk_call_pid(const struct pk_call *call)
{
    return call->request.pid;
}

PK_API pid_t pk_call_tid(const struct pk_call *call)
{
    return call->request.tid;
}

static int listener_ioctl(struct pk_call *call, unsigned long request, void *argument)
{
    int r;

    do
        r = ioctl(call->kernel->listener, request, argument);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static bool take_answer(struct pk_call *call)
{
    return !atomic_exchange(&call->answered, true);
}

static int send_result(struct pk_call *call, long result, unsigned flags)
{
    struct seccomp_notif_resp response = {.id = call->request.id, .flags = flags};
    int r;

    if (result < 0 && result >= -4095)
        response.error = (int32_t)result;
    else
        response.val = result;
    r = listener_ioctl(call, SECCOMP_IOCTL_NOTIF_SEND, &response);
    return r == -EBADF ? -ENOENT : r; /* a deferred call whose guest has had a successor */
}

int api_answer(struct pk_call *call, long result)
{
    return take_answer(call) ? send_result(call, result, 0) : -ENOENT;
}

/* A whole copy, or none: what lies behind a hole is no argument. */
static int copy(struct pk_call *call, uint64_t address, void *bytes, size_t length, bool to_guest)
{
    struct iovec local = {.iov_base = bytes, .iov_len = length};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = length};
    ssize_t n = to_guest ? process_vm_writev(call->request.tid, &local, 1, &remote, 1, 0)
                         : process_vm_readv(call->request.tid, &local, 1, &remote, 1, 0);

    atomic_fetch_add(&call->kernel->io_operations, 1);
    if (n == (ssize_t)length)
        return 0;
    return n < 0 && errno != EFAULT ? -errno : -EFAULT;
}

PK_API int pk_call_read(struct pk_call *call, uint64_t address, void *bytes, size_t length)
{
    return length ? copy(call, address, bytes, length, false) : 0;
}

PK_API int pk_call_write(struct pk_call *call, uint64_t address, const void *bytes, size_t length)
{
    return length ? copy(call, address, (void *)bytes, length, true) : 0;
}

PK_API ssize_t pk_call_read_string(struct pk_call *call, uint64_t address, char *text, size_t size)
{
    size_t used = 0;

    while (used < size) {
        size_t room = PAGE - (address + used) % PAGE;
        size_t length = room < size - used ? room : size - used;
        int r = pk_call_read(call, address + used, text + used, length);
        char *end = r == 0 ? memchr(text + used, '\0', length) : NULL;

        if (r < 0)
            return r;
        if (end)
            return end - text;
        used += length;
    }
    return -ENAMETOOLONG;
}

PK_API long pk_call_native(struct pk_call *call)
{
    (void)call;
    return API_NATIVE;
}

PK_API long pk_call_forward(struct pk_call *call)
{
    (void)call;
    return PK_FORWARD;
}

PK_API long pk_call_return_fd(struct pk_call *call, int fd, bool cloexec)
{
    struct seccomp_notif_addfd request = {.id = call->request.id,
                                          .srcfd = (uint32_t)fd,
                                          .newfd_flags = cloexec ? O_CLOEXEC : 0,
                                          .flags = SECCOMP_ADDFD_FLAG_SEND};
    int r;

    if (fcntl(fd, F_GETFD) < 0)
        return -EBADF;
    if (!take_answer(call))
        return API_DONE;
    atomic_fetch_add(&call->kernel->io_operations, 1);
    r = listener_ioctl(call, SECCOMP_IOCTL_NOTIF_ADDFD, &request);
    if (r == -EINVAL) { /* before Linux 5.14 */
        request.flags = 0;
        r = listener_ioctl(call, SECCOMP_IOCTL_NOTIF_ADDFD, &request);
        if (r >= 0)
            send_result(call, r, 0);
    }
    if (r < 0 && r != -ENOENT)
        send_result(call, r, 0);
    return API_DONE;
}

static int send_native(struct pk_call *call)
{
    return take_answer(call) ? send_result(call, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE) : -ENOENT;
}

static int forward(struct pk_call *call)
{
    struct channel_message message = {.type = CHANNEL_FORWARD, .call = call->request};
    size_t size = offsetof(struct channel_call, pid);
    int r;

    /* An attached process has nobody else to ask. */
    if (call->kernel->attached)
        return send_native(call);
    if (!take_answer(call))
        return -ENOENT;
    r = channel_send_patiently(call->kernel->channel, &message, size, PATIENCE_MS);
    return r < 0 ? send_result(call, -EIO, 0) : 0;
}

/* Takes the call off the list of those that the watchdog looks after. */
static void retire(struct pk_call *call)
{
    pthread_mutex_lock(&call->kernel->lock);
    list_remove(&call->node);
    call->kernel->late -= call->late;
    call->late = false;
    pthread_mutex_unlock(&call->kernel->lock);
}

PK_API long pk_call_defer(struct pk_call *call)
{
    retire(call);
    call->deferred = true;
    return API_DEFERRED;
}

static void release(struct pk_call *call)
{
    if (atomic_fetch_sub(&call->references, 1) > 1)
        return;
    api_unref(call->kernel);
    free(call);
}

static int answer(struct pk_call *call, long result)
{
    if (result == API_NATIVE)
        return send_native(call);
    if (result == PK_FORWARD)
        return forward(call);
    if (result == API_DONE)
        return 0;
    if (result >= -4095)
        return api_answer(call, result);
    atomic_fetch_add(&call->kernel->errors, 1);
    return api_answer(call, -EIO);
}

/* In the handler, or on another thread before pk_call_defer(), it is as good as afterwards. */
PK_API int pk_call_return(struct pk_call *call, long result)
{
    int r;

    if (atomic_exchange(&call->returned, true))
        return -ENOENT;
    r = answer(call, result);
    release(call);
    return r;
}

void api_drop(struct pk_call *call, long result)
{
    pk_call_return(call, result);
    release(call);
}

static long run_plain(struct pk_call *call, void *user)
{
    const struct api_handler *handler = user;

    return handler->plain(call->request.nr, call->request.args);
}

/* The kernel, or the keeper of an attachment, keeps the audit log. */
static void record_denial(const struct pk_call *call, int errnum)
{
    struct channel_message message = {.type = CHANNEL_DENIED,
                                      .denied = {.tid = call->request.tid,
                                                 .pid = call->request.pid,
                                                 .nr = call->request.nr,
                                                 .errnum = errnum}};

    channel_send_patiently(call->kernel->channel, &message, sizeof(message.denied), PATIENCE_MS);
}

static long run_denial(struct pk_call *call, void *user)
{
    const struct api_handler *handler = user;
    char text[128];

    snprintf(text, sizeof(text), "%s\nthe program that runs it denies it\nleave out pk_deny()",
             abi_syscall_by_nr(call->request.nr)->name);
    record_denial(call, handler->deny);
    api_tell(call->kernel, PK_EVENT_DENIAL, call->request.nr, 0, text);
    return -handler->deny;
}

static bool run(pk_call_handler handler, struct pk_call *call, void *user, long *ret_result)
{
    if (!call->kernel->unfenced)
        return api_fenced(handler, call, user, ret_result);
    *ret_result = handler(call, user);
    return true;
}

static bool run_handler(struct pk_call *call, long *ret_result)
{
    struct api_handler *handler = &call->kernel->handlers[call->request.nr];

    if (handler->handler)
        return run(handler->handler, call, handler->user, ret_result);
    if (handler->plain)
        return run(run_plain, call, handler, ret_result);
    if (handler->deny)
        return run(run_denial, call, handler, ret_result);
    return true;
}

void api_handle(struct pk_call *call)
{
    long result = PK_FORWARD;
    process_kernel_t *kernel = call->kernel;
    bool fine;

    atomic_fetch_add(&kernel->intercepted, 1);
    current = kernel;
    fine = run_handler(call, &result);
    current = NULL;
    retire(call);
    if (!fine) {
        atomic_fetch_add(&kernel->errors, 1);
        api_tell(kernel, PK_EVENT_CRASH, call->request.nr, 0, "");
        result = -EIO;
    }
    if (!call->deferred)
        pk_call_return(call, result);
    else if (!fine)
        api_answer(call, -EIO); /* it may not have come to hand it over */
    release(call);
}

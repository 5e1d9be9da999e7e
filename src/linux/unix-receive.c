/*
 * Receiving on AF_UNIX datagram sockets with the sender's name, or with control messages: the host
 * knows senders by other names, and twins (unix-twins.h) as processes of ours. recv, read and
 * recvfrom without an address are native, and so is everything on a descriptor that left the
 * window; it shows the host's names then, which can be answered to all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define CONTROL_MAX   (64 << 10)
#define IOV_COUNT_MAX 1024

#ifndef SCM_PIDFD
#define SCM_PIDFD 4 /* Linux 6.5 */
#endif

/* A call, taken apart. Addresses are the guest's. */
struct receiving {
    int flags;
    struct iovec parts[IOV_COUNT_MAX];
    size_t count;
    size_t room;
    struct msghdr header; /* recvmsg */
};

/* What the host gave. */
struct received {
    char *data;
    size_t length; /* of the data at hand */
    ssize_t result;
    struct net_address address;
    struct unix_twin *sender; /* NULL: it has none */
    void *control;
    size_t control_length;
    int flags;
};

static void received_release(struct received *received)
{
    free(received->data);
    free(received->control);
}
#define cleanup_received __attribute__((cleanup(received_release)))

static int take_call(struct pk_request *request, struct receiving *call)
{
    ssize_t room;
    int r;

    if (request->nr == ABI_NR_recvfrom) {
        call->flags = (int)request->args[3];
        call->parts[0] =
            (struct iovec){(void *)(uintptr_t)request->args[1], (size_t)request->args[2]};
        call->count = 1;
        call->room = request->args[2] > INT32_MAX ? INT32_MAX : (size_t)request->args[2];
        return 0;
    }
    call->flags = (int)request->args[2];
    r = pk_read(request, request->args[1], &call->header, sizeof(call->header));
    if (r < 0)
        return r;
    if (call->header.msg_iovlen > IOV_COUNT_MAX)
        return -EMSGSIZE;
    if ((int)call->header.msg_namelen < 0)
        return -EINVAL;
    call->count = call->header.msg_iovlen;
    room =
        pk_read_iovec(request, (uint64_t)(uintptr_t)call->header.msg_iov, call->count, call->parts);
    call->room = room < 0 ? 0 : (size_t)room;
    return room < 0 ? (int)room : 0;
}

/* Takes the next message, with as much room as it needs. Returns 0 or a negative errno. */
static int take_message(int fd, const struct receiving *call, struct received *received)
{
    int peek = MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT;
    int flags = (call->flags & (MSG_PEEK | MSG_TRUNC)) | MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    ssize_t length = recv(fd, NULL, 0, peek);
    size_t control = call->header.msg_control ? call->header.msg_controllen : 0;
    struct iovec part = {.iov_len = call->room};
    struct msghdr header = {.msg_name = &received->address.storage,
                            .msg_namelen = sizeof(received->address.storage),
                            .msg_iov = &part,
                            .msg_iovlen = 1};

    if (length < 0)
        return -errno;
    if ((size_t)length < part.iov_len)
        part.iov_len = (size_t)length;
    control = control > CONTROL_MAX ? CONTROL_MAX : control;
    part.iov_base = received->data = malloc(part.iov_len + 1);
    header.msg_control = received->control = control ? malloc(control) : NULL;
    header.msg_controllen = control;
    if (received->data == NULL || (control && received->control == NULL))
        return -ENOMEM;
    received->result = recvmsg(fd, &header, flags);
    if (received->result < 0)
        return -errno;
    received->length =
        (size_t)received->result < part.iov_len ? (size_t)received->result : part.iov_len;
    received->address.length = header.msg_namelen;
    received->control_length = header.msg_controllen;
    received->flags = header.msg_flags & ~MSG_CMSG_CLOEXEC;
    return 0;
}

static int scatter(struct pk_request *request, const struct receiving *call,
                   const struct received *received)
{
    size_t done = 0;

    for (size_t i = 0; i < call->count && done < received->length; i++) {
        size_t part = received->length - done;
        int r;

        if (part > call->parts[i].iov_len)
            part = call->parts[i].iov_len;
        r = pk_write(request, (uint64_t)(uintptr_t)call->parts[i].iov_base, received->data + done,
                     part);
        if (r < 0)
            return r;
        done += part;
    }
    return 0;
}

/* ---- who it was ---- */

static void tell_sender(struct pk_request *request, int fd, struct received *received)
{
    struct net_address *address = &received->address;
    struct unix_name real = {.length = address->length};

    if (address->length > UNIX_NAME_HEADER && address->length <= UNIX_NAME_MAX) {
        memcpy(&real, &address->storage, address->length);
        received->sender = unix_twins_named(linux_state(request->kernel)->twins, &real);
    }
    unix_to_guest(request, fd, true, address);
    if (address->length <= UNIX_NAME_HEADER)
        address->length = 0; /* no name, as the host says it here */
}

/* ---- control messages ---- */

/* Installs descriptors in the guest; ours are closed. Returns how many it got. */
static size_t install(struct pk_request *request, int *fds, size_t count, unsigned fd_flags)
{
    size_t installed = 0;

    for (size_t i = 0; i < count; i++) {
        int number = installed == i ? pk_add_fd(request, fds[i], -1, fd_flags) : -EMFILE;

        base_close(fds[i]);
        if (number >= 0)
            fds[installed++] = number;
    }
    return installed;
}

static void pass_rights(struct pk_request *request, const struct receiving *call,
                        struct cmsghdr *part, struct received *received)
{
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    unsigned fd_flags = call->flags & MSG_CMSG_CLOEXEC ? O_CLOEXEC : 0;
    int fds[NET_RIGHTS_MAX];
    size_t installed;

    if (count > NET_RIGHTS_MAX)
        count = NET_RIGHTS_MAX;
    memcpy(fds, CMSG_DATA(part), count * sizeof(int));
    installed = install(request, fds, count, fd_flags);
    memcpy(CMSG_DATA(part), fds, installed * sizeof(int));
    part->cmsg_len = installed ? CMSG_LEN(installed * sizeof(int)) : 0;
    if (installed < count)
        received->flags |= MSG_CTRUNC;
}

static void pass_credentials(struct pk_request *request, struct cmsghdr *part,
                             const struct received *received)
{
    struct ucred credentials;

    memcpy(&credentials, CMSG_DATA(part), sizeof(credentials));
    net_guest_credentials(request, received->sender ? received->sender->sender : 0, &credentials);
    memcpy(CMSG_DATA(part), &credentials, sizeof(credentials));
}

/* Changes a control message into what the guest is to see; length 0: it is left out. */
static void pass_part(struct pk_request *request, const struct receiving *call,
                      struct cmsghdr *part, struct received *received)
{
    int pidfd;

    if (part->cmsg_level != SOL_SOCKET)
        return;
    switch (part->cmsg_type) {
    case SCM_RIGHTS:
        pass_rights(request, call, part, received);
        break;
    case SCM_CREDENTIALS:
        pass_credentials(request, part, received);
        break;
    case SCM_PIDFD: /* of a process that may be ours */
        memcpy(&pidfd, CMSG_DATA(part), sizeof(pidfd));
        base_close(pidfd);
        part->cmsg_len = 0;
        break;
    default:
        break;
    }
}

static void pass_control(struct pk_request *request, const struct receiving *call,
                         struct received *received)
{
    struct msghdr header = {.msg_control = received->control,
                            .msg_controllen = received->control_length};
    char *end = received->control;
    struct cmsghdr *next;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(&header); part; part = next) {
        next = CMSG_NXTHDR(&header, part);
        pass_part(request, call, part, received);
        if (part->cmsg_len == 0)
            continue;
        size_t length = part->cmsg_len;
        memmove(end, part, length);
        end += CMSG_ALIGN(length);
    }
    if ((size_t)(end - (char *)received->control) < received->control_length)
        received->control_length = (size_t)(end - (char *)received->control);
}

/* ---- the answer ---- */

static int tell_address(struct pk_request *request, const struct received *received)
{
    const struct net_address *address = &received->address;
    int room;
    int r = pk_read(request, request->args[5], &room, sizeof(room));

    if (r < 0 || room < 0)
        return r < 0 ? r : -EINVAL;
    if ((socklen_t)room > address->length)
        room = (int)address->length;
    r = pk_write(request, request->args[4], &address->storage, (size_t)room);
    return r < 0 ? r : pk_write(request, request->args[5], &address->length, sizeof(int));
}

static int tell_header(struct pk_request *request, struct receiving *call,
                       struct received *received)
{
    struct msghdr *header = &call->header;
    const struct net_address *address = &received->address;
    socklen_t room = header->msg_namelen < address->length ? header->msg_namelen : address->length;
    int r = 0;

    if (received->control)
        pass_control(request, call, received);
    if (header->msg_name)
        r = pk_write(request, (uint64_t)(uintptr_t)header->msg_name, &address->storage, room);
    if (r == 0 && received->control_length)
        r = pk_write(request, (uint64_t)(uintptr_t)header->msg_control, received->control,
                     received->control_length);
    if (header->msg_name)
        header->msg_namelen = address->length;
    header->msg_controllen = received->control_length;
    header->msg_flags = received->flags | (call->flags & MSG_CMSG_CLOEXEC);
    return r < 0 ? r : pk_write(request, request->args[1], header, sizeof(*header));
}

/* Receives now: the result of the call, or a negative errno. */
static int64_t receive_now(struct pk_request *request, int fd)
{
    cleanup_received struct received received = {.result = -1};
    struct receiving call = {.flags = 0};
    int r = take_call(request, &call);

    r = r < 0 ? r : take_message(fd, &call, &received);
    if (r < 0)
        return r;
    tell_sender(request, fd, &received);
    r = scatter(request, &call, &received);
    if (r == 0)
        r = request->nr == ABI_NR_recvfrom ? tell_address(request, &received)
                                           : tell_header(request, &call, &received);
    return r < 0 ? r : received.result;
}

/* ---- waiting ---- */

struct wait_job {
    struct pk_job job;
    int fd;
    int patience_ms; /* -1: for ever */
};

/* Only waits: a message taken by a call that is interrupted then would be lost. */
static int64_t run_wait(struct pk_job *job)
{
    struct wait_job *self = container_of(job, struct wait_job, job);
    struct pollfd socket = {.fd = self->fd, .events = POLLIN};
    int r = poll(&socket, 1, self->patience_ms);

    if (r < 0)
        return -errno;
    return r == 0 ? -EAGAIN : 0;
}

static struct pk_answer finish_wait(struct pk_job *job, struct pk_request *request, int64_t result)
{
    struct wait_job *self = container_of(job, struct wait_job, job);

    if (result < 0)
        return pk_value(result);
    result = receive_now(request, self->fd);
    /* Somebody else was faster. The host can wait on, at the price of its own names. */
    return result == -EAGAIN ? pk_native() : pk_value(result);
}

static void release_wait(struct pk_job *job)
{
    struct wait_job *self = container_of(job, struct wait_job, job);

    base_close(self->fd);
    free(self);
}

static struct pk_answer wait_for_message(int fd)
{
    struct wait_job *self = malloc(sizeof(*self));

    if (self == NULL) {
        base_close(fd);
        return pk_error(-ENOMEM);
    }
    *self = (struct wait_job){
        .job = {.run = run_wait, .finish = finish_wait, .release = release_wait},
        .fd = fd,
        .patience_ms = net_patience_ms(fd),
    };
    return pk_deferred(&self->job);
}

static struct pk_answer do_receive(struct pk_request *request)
{
    int flags = (int)request->args[request->nr == ABI_NR_recvfrom ? 3 : 2];
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    int64_t result;

    if (fd < 0)
        return pk_error(fd);
    /* These two fail on such a socket, or have nothing to do with messages. */
    if (!unix_is_datagram(fd) || flags & (MSG_OOB | MSG_ERRQUEUE))
        return pk_native();
    result = receive_now(request, fd);
    if (result == -EAGAIN && net_blocks(fd) && !(flags & MSG_DONTWAIT))
        return wait_for_message(take_fd(&fd));
    return pk_value(result);
}

void unix_set_receive_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_recvfrom, do_receive},
        {ABI_NR_recvmsg, do_receive},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

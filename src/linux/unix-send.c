/*
 * Sending on AF_UNIX datagram sockets. Everything is copied out of the guest's memory, the
 * descriptors that go along are duplicated, and the socket's sender (itself or its twin) sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "linux/net-internal.h"

#define OVERHEAD        32 /* of the send buffer, unix_dgram_sendmsg() of the kernel */
#define STATUS_SIZE_MAX (16 << 10)

/* ---- control messages ---- */

/* Room for one SCM_RIGHTS and one SCM_CREDENTIALS. */
#define OUR_CONTROL_SIZE \
    (CMSG_SPACE(NET_RIGHTS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)))

static int take_rights(struct pk_request *request, const struct cmsghdr *part,
                       struct net_message *message)
{
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int numbers[NET_RIGHTS_MAX];

    if (count > NET_RIGHTS_MAX - message->right_count)
        return -EINVAL;
    memcpy(numbers, CMSG_DATA(part), count * sizeof(int));
    for (size_t i = 0; i < count; i++) {
        int fd = pk_get_fd(request, numbers[i]);

        if (fd < 0)
            return fd;
        message->rights[message->right_count++] = fd;
    }
    return 0;
}

/* Only what is true may be claimed; the host adds what is true of the sender anyway. */
static int check_credentials(struct pk_request *request, const struct cmsghdr *part)
{
    const struct pk_identity *id = &request->context->identity;
    struct ucred claim;

    if (part->cmsg_len != CMSG_LEN(sizeof(claim)))
        return -EINVAL;
    memcpy(&claim, CMSG_DATA(part), sizeof(claim));
    if (claim.pid != request->task->process->pid)
        return -EPERM;
    if (claim.uid != id->uid && claim.uid != id->euid && claim.uid != id->suid)
        return -EPERM;
    return claim.gid == id->gid || claim.gid == id->egid || claim.gid == id->sgid ? 0 : -EPERM;
}

/* Goes through the guest's control messages as __scm_send() of the kernel does. */
static int take_control(struct pk_request *request, const struct msghdr *header,
                        struct net_message *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part;
         part = CMSG_NXTHDR((struct msghdr *)header, part)) {
        size_t rest =
            header->msg_controllen - (size_t)((char *)part - (const char *)header->msg_control);
        int r;

        if (part->cmsg_len < sizeof(*part) || part->cmsg_len > rest)
            return -EINVAL;
        if (part->cmsg_level != SOL_SOCKET)
            continue;
        switch (part->cmsg_type) {
        case SCM_RIGHTS:
            r = take_rights(request, part, message);
            break;
        case SCM_CREDENTIALS:
            r = check_credentials(request, part);
            break;
        default:
            r = -EINVAL;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int ids_after(const char *status, const char *word, unsigned *ret_effective)
{
    const char *line = strstr(status, word);
    char *end;

    if (line == NULL)
        return -ESRCH;
    strtoul(line + strlen(word), &end, 10);
    *ret_effective = (unsigned)strtoul(end, NULL, 10);
    return 0;
}

static bool may_claim_a_process(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    return syscall(SYS_capget, &header, data) == 0 && data[0].effective & (1U << CAP_SYS_ADMIN);
}

/*
 * What the host would have said of the guest. Only a privileged process kernel may say it; and only
 * then a guest's ids differ from ours. In a container root may claim ids, but no process.
 */
static int host_credentials(pid_t pid, struct ucred *ret_credentials)
{
    cleanup_strbuf struct strbuf status = {0};
    struct ucred found = {.pid = pid};
    char path[40];
    int r;

    if (geteuid() != 0)
        return -EPERM;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    r = io_read_file(AT_FDCWD, path, STATUS_SIZE_MAX, &status);
    if (r == 0)
        r = ids_after(strbuf_text(&status), "\nUid:", &found.uid);
    if (r == 0)
        r = ids_after(strbuf_text(&status), "\nGid:", &found.gid);
    if (r == 0)
        *ret_credentials = found;
    if (r == 0 && !may_claim_a_process())
        ret_credentials->pid = getpid();
    return r;
}

/* What goes along with the data on the host. */
static int make_control(struct pk_request *request, struct net_message *message)
{
    struct ucred credentials;

    message->control = calloc(1, OUR_CONTROL_SIZE);
    if (message->control == NULL)
        return -ENOMEM;
    if (message->right_count)
        net_put_control(message, SOL_SOCKET, SCM_RIGHTS, message->rights,
                        message->right_count * sizeof(int));
    if (host_credentials(request->task->process->pid, &credentials) == 0)
        net_put_control(message, SOL_SOCKET, SCM_CREDENTIALS, &credentials, sizeof(credentials));
    return 0;
}

int unix_take_control(struct pk_request *request, const struct msghdr *header,
                      struct net_message *message)
{
    struct msghdr copy = *header;
    int r = net_read_control(request, &copy);

    if (r == 0)
        r = take_control(request, &copy, message);
    free(copy.msg_control);
    return r < 0 ? r : make_control(request, message);
}

/* ---- data ---- */

static int option(int fd, int name)
{
    int value;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -errno : value;
}

/* The guest's own settings decide, and its twin has to follow them. */
static int follow(int fd, int sender, size_t length)
{
    int room = option(fd, SO_SNDBUF);
    int senders = option(sender, SO_SNDBUF);
    struct timeval timeout;
    socklen_t size = sizeof(timeout);

    if (room < 0 || length > (size_t)room - OVERHEAD)
        return room < 0 ? room : -EMSGSIZE;
    if (length + OVERHEAD > (size_t)senders) {
        senders = room / 2; /* the kernel doubles it */
        setsockopt(sender, SOL_SOCKET, SO_SNDBUF, &senders, sizeof(senders));
    }
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &size) == 0)
        setsockopt(sender, SOL_SOCKET, SO_SNDTIMEO, &timeout, size);
    return 0;
}

/* ---- one message ---- */

static int take_data(struct pk_request *request, const struct net_sending *sending, int sender,
                     struct net_message *message)
{
    struct iovec parts[NET_IOV_MAX] = {sending->single};
    size_t count = 1;
    ssize_t length = (ssize_t)sending->single.iov_len;
    int r;

    if (sending->header.msg_iov) {
        count = sending->header.msg_iovlen;
        length = pk_read_iovec(request, (uint64_t)(uintptr_t)sending->header.msg_iov, count, parts);
    }
    if (length < 0)
        return (int)length;
    r = follow(sending->fd, sender, (size_t)length);
    return r < 0 ? r : net_gather(request, parts, count, (size_t)length, message);
}

static int take_message(struct pk_request *request, const struct net_sending *sending, int sender,
                        struct net_message *message)
{
    int r;

    message->flags = sending->flags;
    message->length_at = sending->length_at;
    r = unix_take_control(request, &sending->header, message);
    return r < 0 ? r : take_data(request, sending, sender, message);
}

/* Who sends through a twin: what a receiver may be told when it has always been the same one. */
static void note_sender(struct pk_request *request, struct unix_twin *twin)
{
    pid_t pid = request->task->process->pid;

    if (twin)
        twin->sender = twin->sender == 0 || twin->sender == pid ? pid : -1;
}

struct pk_answer unix_send_message(struct pk_request *request, const struct net_sending *sending)
{
    struct unix_twin *twin;
    cleanup_close int sender = unix_sender(request, sending->fd, &twin);
    struct net_message message = {.path_fd = -1};
    struct unix_goal goal = {.path_fd = -1};
    struct pk_answer refusal;
    int r;

    if (sender < 0)
        return pk_error(sender);
    r = take_message(request, sending, sender, &message);
    if (r == 0 && twin && sending->name.length == 0)
        r = unix_check_peer(request, twin);
    refusal = pk_error(r);
    if (r == 0 && sending->name.length)
        r = unix_find_goal(request, twin, &sending->name, &goal, &refusal);
    message.address = goal.address;
    message.path_fd = goal.path_fd;
    if (r < 0) {
        net_message_release(&message);
        return refusal;
    }
    note_sender(request, twin);
    return net_send(request, take_fd(&sender), net_blocks(sending->fd), &message);
}

/*
 * Without a name the guest's own socket can send, where it is allowed to at all: nothing in memory
 * decides where to.
 */
static bool is_native(const struct pk_request *request, const struct net_sending *sending)
{
    return unix_sends_itself(request) && sending->name.length == 0 && !net_has_rules(request);
}

struct pk_answer unix_send(struct pk_request *request, int fd)
{
    struct net_sending sending = {.fd = fd};
    int r = 0;

    if (request->nr == ABI_NR_writev) {
        sending.header.msg_iov = (struct iovec *)(uintptr_t)request->args[1];
        sending.header.msg_iovlen = request->args[2];
    } else {
        sending.single.iov_base = (void *)(uintptr_t)request->args[1];
        sending.single.iov_len = request->args[2];
        if (sending.single.iov_len > SSIZE_MAX)
            return pk_error(-EINVAL);
    }
    if (request->nr == ABI_NR_sendto) {
        sending.flags = (int)request->args[3];
        if (request->args[4])
            r = net_read_address(request, request->args[4], request->args[5], &sending.name);
    }
    if (r < 0)
        return pk_error(r);
    return is_native(request, &sending) ? pk_native() : unix_send_message(request, &sending);
}

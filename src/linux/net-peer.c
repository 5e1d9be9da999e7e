/*
 * Who is at the other end of an AF_UNIX connection. The host notes who called connect(), which is
 * the process kernel, so each connection made for a guest is noted here by the inode number of its
 * socket; of an accepted socket the host tells the number of its peer (sock_diag(7)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/net-internal.h"

#define CONNECTIONS_MAX 1024
#define LISTENERS_MAX   256
#define ANSWER_SIZE     1024

struct net_connections {
    struct {
        uint64_t inode;
        pid_t pid;
    } entries[CONNECTIONS_MAX]; /* a ring */
    size_t added;               /* ever */
    struct {
        struct unix_name name; /* as the host shows it; sockets that were accepted have it, too */
        pid_t pid;
    } listeners[LISTENERS_MAX]; /* a ring */
    size_t listeners_added;
};

struct net_connections *net_connections_new(void)
{
    return calloc(1, sizeof(struct net_connections));
}

void net_connections_free(struct net_connections *connections)
{
    free(connections);
}

void net_note_connector(struct pk_request *request, int fd)
{
    struct net_connections *connections = linux_state(request->kernel)->connections;
    size_t at = connections->added++ % CONNECTIONS_MAX;
    struct stat stat;

    connections->entries[at].inode = fstat(fd, &stat) < 0 ? 0 : stat.st_ino;
    connections->entries[at].pid = request->task->process->pid;
}

/* Who connected the socket with this inode number; 0: not known. */
static pid_t connector_of(const struct net_connections *connections, uint64_t inode)
{
    size_t count = connections->added < CONNECTIONS_MAX ? connections->added : CONNECTIONS_MAX;

    for (size_t i = 1; inode && i <= count; i++) {
        size_t at = (connections->added - i) % CONNECTIONS_MAX;

        if (connections->entries[at].inode == inode)
            return connections->entries[at].pid;
    }
    return 0;
}

void net_note_listener(struct pk_request *request, int fd)
{
    struct net_connections *connections = linux_state(request->kernel)->connections;
    struct unix_name name = {.length = UNIX_NAME_MAX};
    size_t at = connections->listeners_added % LISTENERS_MAX;

    if (getsockname(fd, (struct sockaddr *)&name, &name.length) < 0)
        return;
    connections->listeners[at].name = name;
    connections->listeners[at].pid = request->task->process->pid;
    connections->listeners_added++;
}

/* Who listened at the name to which this socket is connected; 0: not known. */
static pid_t listener_of(const struct net_connections *connections, int fd)
{
    struct unix_name name = {.length = UNIX_NAME_MAX};
    size_t count = connections->listeners_added;

    if (getpeername(fd, (struct sockaddr *)&name, &name.length) < 0 ||
        name.length <= UNIX_NAME_HEADER)
        return 0;
    for (size_t i = 1; i <= count && i <= LISTENERS_MAX; i++) {
        size_t at = (count - i) % LISTENERS_MAX;

        if (connections->listeners[at].name.length == name.length &&
            memcmp(&connections->listeners[at].name, &name, name.length) == 0)
            return connections->listeners[at].pid;
    }
    return 0;
}

/* ---- asking the host ---- */

static int ask_about(int netlink, uint32_t inode)
{
    struct {
        struct nlmsghdr header;
        struct unix_diag_req body;
    } question = {
        .header = {.nlmsg_len = sizeof(question),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = AF_UNIX,
                 .udiag_states = ~0U,
                 .udiag_ino = inode,
                 .udiag_show = UDIAG_SHOW_PEER,
                 .udiag_cookie = {~0U, ~0U}}, /* INET_DIAG_NOCOOKIE */
    };

    return send(netlink, &question, sizeof(question), MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Finds the peer's number in an answer; 0: there is none. */
static uint32_t peer_in(struct nlmsghdr *header)
{
    struct unix_diag_msg *body = NLMSG_DATA(header);
    unsigned length = header->nlmsg_len - (unsigned)NLMSG_LENGTH(sizeof(*body));
    uint32_t inode;

    for (struct rtattr *part = (struct rtattr *)(body + 1); RTA_OK(part, length);
         part = RTA_NEXT(part, length)) {
        if (part->rta_type != UNIX_DIAG_PEER || RTA_PAYLOAD(part) < sizeof(inode))
            continue;
        memcpy(&inode, RTA_DATA(part), sizeof(inode));
        return inode;
    }
    return 0;
}

static uint32_t peer_of(int fd)
{
    cleanup_close int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    _Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
    struct nlmsghdr *header = (struct nlmsghdr *)(void *)answer;
    struct stat stat;
    ssize_t length;

    if (netlink < 0 || fstat(fd, &stat) < 0 || ask_about(netlink, (uint32_t)stat.st_ino) < 0)
        return 0;
    length = recv(netlink, answer, sizeof(answer), MSG_DONTWAIT); /* it answers while it is asked */
    if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct unix_diag_msg)) ||
        !NLMSG_OK(header, (unsigned)length) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
        return 0;
    return peer_in(header);
}

/* ---- answering the guest ---- */

void net_guest_credentials(struct pk_request *request, pid_t known, struct ucred *credentials)
{
    struct pk_kernel *kernel = request->kernel;
    const struct pk_context *context;

    if (credentials->pid == getpid() && known > 0)
        credentials->pid = known;
    if (!kernel->config.virtual_identity)
        return;
    context = credentials->pid > 0 ? linux_context_of(kernel, credentials->pid) : NULL;
    if (context == NULL && credentials->uid != kernel->host_identity.euid)
        return;
    credentials->uid = context ? context->identity.euid : kernel->config.identity.euid;
    credentials->gid = context ? context->identity.egid : kernel->config.identity.egid;
}

static int tell(struct pk_request *request, const void *value, size_t size)
{
    int length;
    int r = pk_read(request, request->args[4], &length, sizeof(length));

    if (r < 0 || length < 0)
        return r < 0 ? r : -EINVAL;
    if ((size_t)length > size)
        length = (int)size;
    r = pk_write(request, request->args[3], value, (size_t)length);
    return r < 0 ? r : pk_write(request, request->args[4], &length, sizeof(length));
}

/* A pidfd of a process of ours is nothing for a guest. */
static struct pk_answer tell_pidfd(struct pk_request *request, pid_t pid)
{
    cleanup_close int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    int number;
    int length;
    int r = pk_read(request, request->args[4], &length, sizeof(length));

    if (pidfd < 0 || !pk_pid_is_ours(request->kernel, pid))
        return pk_error(-ESRCH);
    if (r < 0 || length < (int)sizeof(number))
        return pk_error(r < 0 ? r : -EINVAL);
    number = pk_add_fd(request, pidfd, -1, O_CLOEXEC);
    return pk_value(number < 0 ? number : tell(request, &number, sizeof(number)));
}

struct pk_answer net_do_getsockopt(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);
    const struct net_connections *connections = linux_state(request->kernel)->connections;
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    pid_t known = 0;
    int internet;
    bool ours;

    if (fd < 0)
        return pk_error(fd);
    internet = net_stands_in_for(fd);
    if (net_has_stand_in_option((int)request->args[1], (int)request->args[2]))
        return internet ? net_stand_in_getsockopt(request, fd, internet) : pk_native();
    if (net_domain(fd) != AF_UNIX)
        return pk_native();
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0)
        return pk_error(-errno);
    ours = credentials.pid == getpid();
    if (ours)
        known = connector_of(connections, peer_of(fd));
    if (ours && known == 0)
        known = listener_of(connections, fd);
    net_guest_credentials(request, known, &credentials);
    if ((int)request->args[2] == SO_PEERCRED)
        return pk_value(tell(request, &credentials, sizeof(credentials)));
    return ours ? tell_pidfd(request, credentials.pid) : pk_native();
}

/*
 * The asking side of the control channel.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/passing.h"
#include "control/control-internal.h"

#define PATIENCE_MS 10000

static uid_t owner_of(int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.uid;
}

static int connect_to(pid_t kernel, int flags, int *ret_fd, struct base_error *error)
{
    struct sockaddr_un address;
    socklen_t length = control_address(kernel, &address);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
    uid_t owner;

    if (fd < 0)
        return base_fail(error, errno, NULL, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, length) < 0)
        return base_fail(error, errno == EAGAIN ? EAGAIN : ESRCH,
                         "list the running kernels with: cerebro ps",
                         "there is no process kernel %d that answers", kernel);
    /* Another user can have taken the name, to be asked in its place. */
    owner = owner_of(fd);
    if (owner != geteuid() && owner != 0 && geteuid() != 0)
        return base_fail(error, EPERM, "ask as that user, or as root",
                         "process kernel %d belongs to another user", kernel);
    *ret_fd = take_fd(&fd);
    return 0;
}

int control_connect(pid_t kernel, int *ret_fd, struct base_error *error)
{
    return connect_to(kernel, 0, ret_fd, error);
}

int control_connect_now(pid_t kernel, int *ret_fd, struct base_error *error)
{
    return connect_to(kernel, SOCK_NONBLOCK, ret_fd, error);
}

static int send_request(int fd, const char *request)
{
    struct control_header header = {.magic = CONTROL_MAGIC, .length = (uint32_t)strlen(request)};
    struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)request, header.length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (header.length > CONTROL_REQUEST_MAX)
        return -EMSGSIZE;
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct reply {
    struct control_header header;
    char text[CONTROL_INLINE_MAX + 1];
    int memfd;
};

static int receive(int fd, int patience_ms, struct reply *reply)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    struct iovec parts[2] = {{&reply->header, sizeof(reply->header)},
                             {reply->text, CONTROL_INLINE_MAX}};
    ssize_t length;

    if (poll(&wait, 1, patience_ms) <= 0)
        return patience_ms ? -ETIMEDOUT : -EAGAIN;
    length = passing_receive(fd, parts, 2, 0, &reply->memfd);
    if (length < 0)
        return (int)length;
    if (length == 0)
        return -ECONNRESET;
    if ((size_t)length < sizeof(reply->header) || reply->header.magic != CONTROL_MAGIC)
        return -EPROTO;
    length -= (ssize_t)sizeof(reply->header);
    if (!reply->header.in_memfd && (size_t)length != reply->header.length)
        return -EPROTO;
    reply->text[length] = '\0';
    return 0;
}

static int read_memfd(int memfd, size_t length, struct strbuf *text)
{
    cleanup_free char *bytes = malloc(length + 1);
    int r;

    if (bytes == NULL)
        return -ENOMEM;
    r = memfd < 0 ? -EPROTO : io_read_all(memfd, bytes, length);
    if (r == 0)
        strbuf_add(text, bytes, length);
    return r;
}

static int take_answer(int fd, int patience_ms, struct strbuf *ret_answer, struct base_error *error)
{
    struct reply reply = {.memfd = -1};
    int r = receive(fd, patience_ms, &reply);

    if (r == 0 && reply.header.error)
        r = base_fail(error, reply.header.error, NULL, "%s",
                      reply.text[0] ? reply.text : strerror(-reply.header.error));
    else if (r == 0 && reply.header.in_memfd)
        r = read_memfd(reply.memfd, reply.header.length, ret_answer);
    else if (r == 0)
        strbuf_add(ret_answer, reply.text, reply.header.length);
    base_close(reply.memfd);
    return r == 0 ? strbuf_status(ret_answer) : r;
}

int control_begin(int fd, const char *request)
{
    return send_request(fd, request);
}

int control_take(int fd, struct strbuf *ret_answer, struct base_error *error)
{
    int r = take_answer(fd, 0, ret_answer, error);

    return r < 0 && r != -EAGAIN
               ? base_fail(error, r, NULL, "a process kernel did not answer: %s", strerror(-r))
               : r;
}

int control_ask(int fd, const char *request, struct strbuf *ret_answer, struct base_error *error)
{
    int r = send_request(fd, request);

    if (r == 0)
        r = take_answer(fd, PATIENCE_MS, ret_answer, error);
    /* A kernel hangs up on whoever is neither its user nor root. */
    if ((r == -ECONNRESET || r == -EPIPE) && geteuid() != 0 && owner_of(fd) != geteuid())
        return base_fail(error, EPERM, "ask as that user, or as root",
                         "this process kernel belongs to another user");
    if (r < 0 && !(error && error->code))
        base_fail(error, r, "it may be ending, or from another version of Cerebro",
                  "the process kernel did not answer '%s': %s", request, strerror(-r));
    return r;
}

/*
 * The kernel's side of the control channel. All sockets are non-blocking.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/list.h"
#include "base/passing.h"
#include "control/control-internal.h"

struct request_kind {
    struct list node;
    const char *name;
    control_handler handler;
    void *user;
};

struct control_server {
    struct control_loop loop;
    int listener;
    int clients[CONTROL_CLIENTS_MAX]; /* -1: free */
    struct list kinds;                /* struct request_kind */
    int served;                       /* whose request is being served; -1: none */
};

socklen_t control_address(pid_t kernel, struct sockaddr_un *ret_address)
{
    int length;

    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    length = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1, "cerebro/%d",
                      kernel);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static bool may_ask(int client)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void drop(struct control_server *server, int fd)
{
    for (size_t i = 0; i < array_length(server->clients); i++)
        if (server->clients[i] == fd)
            server->clients[i] = -1;
    server->loop.unwatch(server->loop.user, fd);
    base_close(fd);
}

static int send_answer(int fd, const struct control_header *header, const char *text, int memfd)
{
    struct iovec parts[2] = {{(void *)header, sizeof(*header)},
                             {(void *)text, memfd < 0 ? header->length : 0}};
    ssize_t r = passing_send(fd, parts, 2, memfd, MSG_DONTWAIT);

    return r < 0 ? (int)r : 0;
}

static int answer(int fd, int error, const struct strbuf *text)
{
    struct control_header header = {.magic = CONTROL_MAGIC,
                                    .error = error,
                                    .length = (uint32_t)text->length,
                                    .in_memfd = text->length > CONTROL_INLINE_MAX};
    cleanup_close int memfd = -1;

    if (header.in_memfd) {
        memfd = io_memfd("cerebro-answer", text->data, text->length);
        if (memfd < 0)
            return memfd;
    }
    return send_answer(fd, &header, strbuf_text(text), memfd);
}

static int serve(struct control_server *server, char *request, struct strbuf *text)
{
    char *argument = strchr(request, ' ');
    struct request_kind *kind;

    if (argument)
        *argument++ = '\0';
    list_for_each(kind, &server->kinds, node)
    {
        int r;

        if (strcmp(kind->name, request) != 0)
            continue;
        r = kind->handler(kind->user, argument ? argument : "", text);
        return r == 0 ? strbuf_status(text) : r;
    }
    strbuf_addf(text, "this kernel does not know the request '%s'", request);
    return -ENOSYS;
}

/* Returns a negative errno when the client is done, or not worth listening to. */
static int serve_one(struct control_server *server, int fd)
{
    struct {
        struct control_header header;
        char text[CONTROL_REQUEST_MAX + 1];
    } request;
    cleanup_strbuf struct strbuf text = {0};
    ssize_t length = recv(fd, &request, sizeof(request) - 1, MSG_DONTWAIT);
    int r;

    if (length < 0)
        return -errno;
    if ((size_t)length < sizeof(request.header) || request.header.magic != CONTROL_MAGIC ||
        request.header.length != (size_t)length - sizeof(request.header))
        return -EPROTO;
    request.text[request.header.length] = '\0';
    server->served = fd;
    r = serve(server, request.text, &text);
    server->served = -1;
    return answer(fd, r, &text);
}

static void on_client(void *user, int fd)
{
    struct control_server *server = user;
    int r;

    do
        r = serve_one(server, fd);
    while (r == 0 || r == -EINTR);
    if (r != -EAGAIN)
        drop(server, fd);
}

static int *free_slot(struct control_server *server)
{
    for (size_t i = 0; i < array_length(server->clients); i++)
        if (server->clients[i] < 0)
            return &server->clients[i];
    return NULL;
}

static void on_connection(void *user, int listener)
{
    struct control_server *server = user;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        int *slot = free_slot(server);

        if (slot == NULL || !may_ask(fd) ||
            server->loop.watch(server->loop.user, fd, on_client, server) < 0) {
            close(fd);
            continue;
        }
        *slot = fd;
    }
}

static int listen_by_name(void)
{
    struct sockaddr_un address;
    socklen_t length = control_address(getpid(), &address);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 ||
        listen(fd, CONTROL_CLIENTS_MAX) < 0)
        return -errno;
    return take_fd(&fd);
}

int control_server_new(const struct control_loop *loop, struct control_server **ret_server)
{
    struct control_server *server = calloc(1, sizeof(*server));
    int r;

    if (server == NULL)
        return -ENOMEM;
    server->loop = *loop;
    server->served = -1;
    list_init(&server->kinds);
    memset(server->clients, -1, sizeof(server->clients));
    server->listener = listen_by_name();
    r = server->listener;
    if (r >= 0)
        r = loop->watch(loop->user, server->listener, on_connection, server);
    if (r < 0) {
        base_close(server->listener);
        free(server);
        return r;
    }
    *ret_server = server;
    return 0;
}

int control_server_add(struct control_server *server, const char *name, control_handler handler,
                       void *user)
{
    struct request_kind *kind = calloc(1, sizeof(*kind));

    if (kind == NULL)
        return -ENOMEM;
    kind->name = name;
    kind->handler = handler;
    kind->user = user;
    list_append(&server->kinds, &kind->node);
    return 0;
}

pid_t control_server_peer(const struct control_server *server)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    if (server->served >= 0)
        getsockopt(server->served, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid;
}

void control_server_free(struct control_server *server)
{
    if (server == NULL)
        return;
    for (size_t i = 0; i < array_length(server->clients); i++)
        if (server->clients[i] >= 0)
            drop(server, server->clients[i]);
    drop(server, server->listener);
    while (!list_is_empty(&server->kinds)) {
        struct request_kind *kind = list_entry(server->kinds.next, struct request_kind, node);

        list_remove(&kind->node);
        free(kind);
    }
    free(server);
}

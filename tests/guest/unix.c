/* AF_UNIX: names are those of the view. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct name {
    struct sockaddr_un address;
    socklen_t length;
};

static struct name path_name(const char *path)
{
    struct name name = {.address = {.sun_family = AF_UNIX}};

    strncpy(name.address.sun_path, path, sizeof(name.address.sun_path));
    name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return name;
}

static struct name abstract_name(const char *text)
{
    struct name name = path_name("");

    snprintf(name.address.sun_path + 1, 100, "guest-%d-%s", getpid(), text);
    name.length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.address.sun_path + 1));
    return name;
}

static int make_socket(int type)
{
    return (int)OK(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}

static int bind_to(int fd, const struct name *name)
{
    return bind(fd, (const struct sockaddr *)&name->address, name->length);
}

static int connect_to(int fd, const struct name *name)
{
    return connect(fd, (const struct sockaddr *)&name->address, name->length);
}

static int listener(const struct name *name)
{
    int fd = make_socket(SOCK_STREAM);

    OK(bind_to(fd, name));
    OK(listen(fd, 5));
    return fd;
}

static void talk(int server, const struct name *name)
{
    char buffer[8] = "";
    int client = make_socket(SOCK_STREAM);
    int accepted;

    OK(connect_to(client, name));
    accepted = (int)OK(accept4(server, NULL, NULL, SOCK_CLOEXEC));
    CHECK_EQ(write(client, "ping", 4), 4);
    CHECK_EQ(read(accepted, buffer, sizeof(buffer)), 4);
    CHECK_EQ(write(accepted, "pong", 4), 4);
    CHECK_EQ(read(client, buffer, sizeof(buffer)), 4);
    CHECK_TEXT(buffer, "pong");
    OK(close(client));
    CHECK_EQ(read(accepted, buffer, 1), 0);
    OK(close(accepted));
}

static void by_path(void)
{
    struct name name = path_name("socket");
    struct stat stat_buf;
    int server;

    umask(027);
    server = listener(&name);
    OK(stat("socket", &stat_buf));
    CHECK_EQ(stat_buf.st_mode, S_IFSOCK | 0750);
    talk(server, &name);
    OK(mkdir("dir", 0777));
    OK(chdir("dir"));
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), ENOENT);
    name = path_name("../socket");
    talk(server, &name);
    if (strlen(guest_cwd()) < 90) {
        name = path_name(guest_format("%s/../socket", guest_cwd()));
        talk(server, &name);
    }
}

static void names_are_told(void)
{
    struct name name = path_name("socket");
    struct sockaddr_un found;
    socklen_t length = sizeof(found);
    int server = listener(&name);
    int client = make_socket(SOCK_STREAM);
    int accepted;

    OK(getsockname(server, (struct sockaddr *)&found, &length));
    CHECK_EQ(found.sun_family, AF_UNIX);
    CHECK_TEXT(found.sun_path, "socket");
    CHECK_EQ(length, name.length);
    OK(connect_to(client, &name));
    length = sizeof(found);
    memset(&found, 0, sizeof(found));
    OK(getpeername(client, (struct sockaddr *)&found, &length));
    CHECK_TEXT(found.sun_path, "socket");
    accepted = (int)OK(accept(server, NULL, NULL));
    length = sizeof(found);
    OK(getsockname(accepted, (struct sockaddr *)&found, &length));
    CHECK_TEXT(found.sun_path, "socket");
    length = sizeof(found);
    OK(getpeername(accepted, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, sizeof(sa_family_t));
    length = 4;
    OK(getsockname(server, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, name.length);
}

static void errors(void)
{
    struct name name = path_name("socket");
    struct name other = path_name("other");
    struct name missing = path_name("missing/socket");
    struct name file = path_name("file");
    int server = listener(&name);

    guest_write("file", "x");
    FAILS(bind_to(make_socket(SOCK_STREAM), &name), EADDRINUSE);
    FAILS(bind_to(make_socket(SOCK_STREAM), &file), EADDRINUSE);
    FAILS(bind_to(make_socket(SOCK_STREAM), &missing), ENOENT);
    FAILS(bind_to(server, &other), EINVAL);
    FAILS(connect_to(make_socket(SOCK_STREAM), &other), ENOENT);
    FAILS(connect_to(make_socket(SOCK_STREAM), &file), ECONNREFUSED);
    FAILS(connect_to(make_socket(SOCK_SEQPACKET), &name), EPROTOTYPE);
    FAILS(connect_to(0, &name), ENOTSOCK);
    FAILS(connect_to(999, &name), EBADF);
    OK(close(server));
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), ECONNREFUSED);
    FAILS(bind_to(make_socket(SOCK_STREAM), &name), EADDRINUSE);
    OK(unlink("socket"));
    OK(close(listener(&name)));
    FAILS(send(make_socket(SOCK_STREAM), "x", 1, 0), ENOTCONN);
}

static void removing_and_renaming(void)
{
    struct name name = path_name("socket");
    struct name renamed = path_name("renamed");
    struct name soft = path_name("soft");
    int server = listener(&name);

    OK(rename("socket", "renamed"));
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), ENOENT);
    talk(server, &renamed);
    OK(symlink("renamed", "soft"));
    talk(server, &soft);
    OK(link("renamed", "socket"));
    talk(server, &name);
    OK(unlink("renamed"));
    OK(unlink("socket"));
    FAILS(connect_to(make_socket(SOCK_STREAM), &renamed), ENOENT);
}

static void permissions(void)
{
    struct name name = path_name("socket");

    if (geteuid() == 0)
        guest_skip("root may connect to everything");
    listener(&name);
    OK(chmod("socket", 0));
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), EACCES);
}

/* A name without a terminating zero byte, as long as there can be, and one byte too many. */
static void long_names(void)
{
    static const size_t lengths[] = {80, 91, 107, sizeof(((struct sockaddr_un *)NULL)->sun_path)};
    struct name name = {.address = {.sun_family = AF_UNIX}};

    memset(name.address.sun_path, 'n', sizeof(name.address.sun_path));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct sockaddr_storage found;
        socklen_t length = sizeof(found);
        int server;

        name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + lengths[i]);
        server = listener(&name);
        talk(server, &name);
        OK(getsockname(server, (struct sockaddr *)&found, &length));
        CHECK(memcmp(&found, &name.address, name.length) == 0);
        CHECK_EQ(length, name.length + 1);
        OK(close(server));
    }
    name.length = sizeof(struct sockaddr_un) + 1;
    FAILS(bind(make_socket(SOCK_STREAM), (struct sockaddr *)&name.address, name.length), EINVAL);
}

/* Servers of the same name in two directories are told apart. */
static void same_names(void)
{
    struct name names[2] = {path_name("one/socket"), path_name("two/socket")};

    OK(mkdir("one", 0777));
    OK(mkdir("two", 0777));
    for (int i = 0; i < 2; i++)
        listener(&names[i]);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_un found;
        socklen_t length = sizeof(found);
        int client = make_socket(SOCK_STREAM);

        OK(connect_to(client, &names[i]));
        OK(getpeername(client, (struct sockaddr *)&found, &length));
        CHECK_TEXT(found.sun_path, names[i].address.sun_path);
    }
}

static void abstract(void)
{
    struct name name = abstract_name("one");
    struct name other = abstract_name("two");
    struct sockaddr_un found;
    socklen_t length = sizeof(found);
    int server = listener(&name);

    talk(server, &name);
    FAILS(bind_to(make_socket(SOCK_STREAM), &name), EADDRINUSE);
    FAILS(connect_to(make_socket(SOCK_STREAM), &other), ECONNREFUSED);
    OK(getsockname(server, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, name.length);
    CHECK(memcmp(found.sun_path, name.address.sun_path, 20) == 0);
    OK(close(server));
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), ECONNREFUSED);
    OK(close(listener(&name)));
}

static void automatic_name(void)
{
    struct sockaddr_un found = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(found);
    int fd = make_socket(SOCK_STREAM);

    OK(bind(fd, (struct sockaddr *)&found, sizeof(sa_family_t)));
    OK(getsockname(fd, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, sizeof(sa_family_t) + 6);
    CHECK_EQ(found.sun_path[0], 0);
}

static void datagrams(void)
{
    struct name server_name = path_name("server");
    struct name client_name = path_name("client");
    struct sockaddr_un from;
    socklen_t length = sizeof(from);
    struct iovec part = {"second", 6};
    struct msghdr message = {.msg_name = &server_name.address,
                             .msg_namelen = server_name.length,
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    char buffer[16] = "";
    int server = make_socket(SOCK_DGRAM);
    int client = make_socket(SOCK_DGRAM);

    OK(bind_to(server, &server_name));
    OK(bind_to(client, &client_name));
    OK(sendto(client, "first", 5, 0, (struct sockaddr *)&server_name.address, server_name.length));
    CHECK_EQ(OK(recvfrom(server, buffer, 16, 0, (struct sockaddr *)&from, &length)), 5);
    CHECK(length > sizeof(sa_family_t));
    OK(sendmsg(client, &message, 0));
    CHECK_EQ(OK(recv(server, buffer, 16, 0)), 6);
    CHECK_EQ(OK(sendmmsg(client, several, 2, 0)), 2);
    CHECK_EQ(OK(recv(server, buffer, 16, 0)), 6);
    OK(connect_to(client, &server_name));
    OK(send(client, "third", 5, 0));
    CHECK_EQ(OK(recv(server, buffer, 16, MSG_PEEK)), 6);
    OK(unlink("server"));
    message.msg_name = NULL;
    message.msg_namelen = 0;
    OK(sendmsg(client, &message, 0));
    FAILS(sendto(make_socket(SOCK_DGRAM), "x", 1, 0, (struct sockaddr *)&server_name.address,
                 server_name.length),
          ENOENT);
}

static void peer_credentials(void)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    int pair[2];

    OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    CHECK_EQ(peer.pid, getpid());
    CHECK_EQ(write(pair[0], "one", 3), 3);
    CHECK_EQ(write(pair[0], "two", 3), 3);
    {
        char buffer[16];

        CHECK_EQ(read(pair[1], buffer, sizeof(buffer)), 3);
    }
}

static void on_alarm(int number)
{
    (void)number;
}

static void full_queue(void)
{
    struct name name = path_name("socket");
    struct sigaction action = {.sa_handler = on_alarm};
    int server = make_socket(SOCK_STREAM);
    int filled = 0;

    OK(bind_to(server, &name));
    OK(listen(server, 0));
    while (filled < 100 && connect_to(make_socket(SOCK_STREAM | SOCK_NONBLOCK), &name) == 0)
        filled++;
    CHECK_EQ(errno, EAGAIN);
    CHECK(filled > 0 && filled < 100);
    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(connect_to(make_socket(SOCK_STREAM), &name), EINTR);
}

static void *late_accept(void *argument)
{
    guest_sleep_ms(200);
    OK(accept(*(int *)argument, NULL, NULL));
    OK(accept(*(int *)argument, NULL, NULL));
    return NULL;
}

static void connect_waits(void)
{
    struct name name = path_name("socket");
    int server = make_socket(SOCK_STREAM);
    pthread_t thread;

    OK(bind_to(server, &name));
    OK(listen(server, 0));
    OK(connect_to(make_socket(SOCK_STREAM), &name));
    CHECK_EQ(pthread_create(&thread, NULL, late_accept, &server), 0);
    OK(connect_to(make_socket(SOCK_STREAM), &name));
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void client_of_another_process(void *argument)
{
    const struct name *name = argument;
    int fd = make_socket(SOCK_STREAM);
    struct ucred peer;
    socklen_t length = sizeof(peer);
    char byte;

    OK(connect_to(fd, name));
    OK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    CHECK_EQ(peer.pid, getppid());
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(read(fd, &byte, 1), 1);
}

/* Both ends know who the other one is; a shorter buffer gets the beginning. */
static void talk_to_another_process(struct name name)
{
    int server = listener(&name);
    pid_t pid = guest_fork(client_of_another_process, &name);
    struct ucred peer = {.uid = 77};
    socklen_t length = sizeof(peer);
    int accepted = (int)OK(accept(server, NULL, NULL));

    OK(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    CHECK_EQ(length, sizeof(peer));
    CHECK_EQ(peer.pid, pid);
    CHECK_EQ(peer.uid, geteuid());
    CHECK_EQ(peer.gid, getegid());
    length = sizeof(pid_t);
    peer.uid = 77;
    OK(getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    CHECK_EQ(length, sizeof(pid_t));
    CHECK_EQ(peer.uid, 77);
    CHECK_EQ(write(accepted, "x", 1), 1);
    guest_join(pid);
}

static void between_processes(void)
{
    talk_to_another_process(path_name("socket"));
    talk_to_another_process(abstract_name("socket"));
}

/* What accept() says of a client can be asked for, and used to reach it. */
static void named_clients(void)
{
    struct name name = path_name("socket");
    struct name client_name = path_name("client");
    struct sockaddr_un found;
    socklen_t length = sizeof(found);
    int server = listener(&name);
    int client = listener(&client_name); /* never connects: its name is only looked for */
    int accepted, named = make_socket(SOCK_STREAM);

    OK(unlink("client"));
    OK(bind_to(named, &client_name));
    OK(connect_to(named, &name));
    accepted = (int)OK(accept(server, NULL, NULL));
    OK(getpeername(accepted, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, client_name.length);
    CHECK_TEXT(found.sun_path, "client");
    OK(close(client));
}

static const struct guest_case cases[] = {
    {"by-path", by_path},
    {"names-are-told", names_are_told},
    {"errors", errors},
    {"removing-and-renaming", removing_and_renaming},
    {"permissions", permissions},
    {"long-names", long_names},
    {"same-names", same_names},
    {"abstract", abstract},
    {"automatic-name", automatic_name},
    {"datagrams", datagrams},
    {"peer-credentials", peer_credentials},
    {"full-queue", full_queue},
    {"connect-waits", connect_waits},
    {"between-processes", between_processes},
    {"named-clients", named_clients},
};

GUEST_MAIN(cases)

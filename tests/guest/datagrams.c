/* AF_UNIX datagram sockets: names, replies, peers, descriptors, waiting. */
#include "guest.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct name {
    struct sockaddr_un address;
    socklen_t length;
};

static struct name path_name(const char *path)
{
    struct name name = {.address = {.sun_family = AF_UNIX}};

    strncpy(name.address.sun_path, path, sizeof(name.address.sun_path) - 1);
    name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return name;
}

static struct name abstract_name(const char *text)
{
    struct name name = path_name("");
    int length = snprintf(name.address.sun_path + 1, 100, "guest-%d-%s", getpid(), text);

    name.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return name;
}

static const struct sockaddr *address_of(const struct name *name)
{
    return (const struct sockaddr *)&name->address;
}

static int make(void)
{
    return (int)OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int bound(const struct name *name)
{
    int fd = make();

    OK(bind(fd, address_of(name), name->length));
    return fd;
}

static ssize_t send_to(int fd, const char *text, const struct name *name)
{
    return sendto(fd, text, strlen(text), 0, address_of(name), name->length);
}

static ssize_t send_message(int fd, const char *text, const struct name *name, int flags)
{
    struct iovec parts[2] = {{(void *)text, 1}, {(void *)(text + 1), strlen(text) - 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (name) {
        message.msg_name = (void *)&name->address;
        message.msg_namelen = name->length;
    }
    return sendmsg(fd, &message, flags);
}

/* The next message is this text and comes from this name (NULL: from a socket without one). */
static void expect_from(int fd, const char *text, const struct name *name)
{
    char buffer[32] = "";
    struct sockaddr_un from = {.sun_family = AF_UNSPEC};
    socklen_t length = sizeof(from);

    CHECK_EQ(OK(recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length)),
             strlen(text));
    CHECK_TEXT(buffer, text);
    CHECK_EQ(length, name ? name->length : 0);
    if (name)
        CHECK(memcmp(&from, &name->address, length) == 0);
}

static void expect(int fd, const char *text)
{
    char buffer[32] = "";

    CHECK_EQ(OK(recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)), strlen(text));
    CHECK_TEXT(buffer, text);
}

static void talk(const struct name *server_name, const struct name *client_name)
{
    struct mmsghdr several[2] = {0};
    struct iovec part = {"several", 7};
    int server = bound(server_name);
    int client = make();

    CHECK_EQ(send_to(client, "nameless", server_name), 8);
    expect_from(server, "nameless", NULL);
    OK(bind(client, address_of(client_name), client_name->length));
    CHECK_EQ(send_to(client, "sendto", server_name), 6);
    expect_from(server, "sendto", client_name);
    CHECK_EQ(send_message(client, "sendmsg", server_name, 0), 7);
    expect_from(server, "sendmsg", client_name);
    for (int i = 0; i < 2; i++)
        several[i].msg_hdr = (struct msghdr){.msg_name = (void *)&server_name->address,
                                             .msg_namelen = server_name->length,
                                             .msg_iov = &part,
                                             .msg_iovlen = 1};
    CHECK_EQ(OK(sendmmsg(client, several, 2, 0)), 2);
    CHECK_EQ(several[0].msg_len, 7);
    CHECK_EQ(several[1].msg_len, 7);
    expect_from(server, "several", client_name);
    expect_from(server, "several", client_name);
    CHECK_EQ(send_to(client, "", server_name), 0);
    expect_from(server, "", client_name);
    CHECK_EQ(send_to(server, "back", client_name), 4);
    expect_from(client, "back", server_name);
    OK(close(client));
    OK(close(server));
}

static void by_path(void)
{
    struct name server = path_name("server");
    struct name client = path_name("client");

    talk(&server, &client);
    OK(mkdir("dir", 0777));
    client = path_name("dir/../dir/client");
    OK(unlink("server"));
    talk(&server, &client);
}

static void by_abstract_name(void)
{
    struct name server = abstract_name("server");
    struct name client = abstract_name("client");

    talk(&server, &client);
    talk(&server, &client);
}

/* A server that answers whoever asks, by the name that it was told. */
static void answer_all(void *argument)
{
    int fd = *(int *)argument;

    for (;;) {
        char buffer[16];
        struct sockaddr_un from;
        struct iovec part = {buffer, sizeof(buffer)};
        struct msghdr message = {.msg_name = &from, .msg_iov = &part, .msg_iovlen = 1};
        ssize_t n;

        message.msg_namelen = sizeof(from);
        n = OK(recvmsg(fd, &message, 0));
        if (n == 0)
            return;
        part.iov_len = (size_t)n;
        OK(sendmsg(fd, &message, 0));
    }
}

static void replies(void)
{
    struct name server_name = path_name("server");
    struct name clients[2] = {path_name("client"), abstract_name("client")};
    int server = bound(&server_name);
    pid_t pid = guest_fork(answer_all, &server);

    for (int i = 0; i < 2; i++) {
        int client = bound(&clients[i]);

        CHECK_EQ(send_to(client, "one", &server_name), 3);
        expect_from(client, "one", &server_name);
        OK(connect(client, address_of(&server_name), server_name.length));
        CHECK_EQ(send(client, "two", 3, 0), 3);
        expect_from(client, "two", &server_name);
    }
    CHECK_EQ(send_to(make(), "", &server_name), 0);
    guest_join(pid);
}

static void peers(void)
{
    struct name one_name = path_name("one");
    struct name two_name = abstract_name("two");
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct sockaddr_un found;
    struct iovec parts[2] = {{"wri", 3}, {"tev", 3}};
    socklen_t length = sizeof(found);
    int one = bound(&one_name);
    int two = bound(&two_name);
    int other = make();

    FAILS(send(two, "x", 1, 0), ENOTCONN);
    FAILS(write(two, "x", 1), ENOTCONN);
    FAILS(getpeername(two, (struct sockaddr *)&found, &length), ENOTCONN);
    OK(connect(two, address_of(&one_name), one_name.length));
    OK(getpeername(two, (struct sockaddr *)&found, &length));
    CHECK_EQ(length, one_name.length);
    CHECK_TEXT(found.sun_path, "one");
    CHECK_EQ(send(two, "send", 4, 0), 4);
    expect_from(one, "send", &two_name);
    CHECK_EQ(write(two, "write", 5), 5);
    expect(one, "write");
    CHECK_EQ(writev(two, parts, 2), 6);
    expect(one, "writev");
    CHECK_EQ(send_message(two, "sendmsg", NULL, 0), 7);
    expect_from(one, "sendmsg", &two_name);
    /* who is connected takes messages of its peer only, and may send to others */
    CHECK_EQ(send_to(one, "answer", &two_name), 6);
    expect_from(two, "answer", &one_name);
    FAILS(send_to(other, "x", &two_name), EPERM);
    FAILS(connect(other, address_of(&two_name), two_name.length), EPERM);
    OK(connect(one, address_of(&two_name), two_name.length));
    CHECK_EQ(send(one, "both", 4, 0), 4);
    expect_from(two, "both", &one_name);
    OK(connect(two, &nobody, sizeof(nobody)));
    FAILS(send(two, "x", 1, 0), ENOTCONN);
    CHECK_EQ(send_to(other, "again", &two_name), 5);
    expect_from(two, "again", NULL);
    OK(connect(two, address_of(&one_name), one_name.length));
    OK(unlink("one"));
    CHECK_EQ(send(two, "unlinked", 8, 0), 8);
    expect(one, "unlinked");
    OK(close(one));
    FAILS(send(two, "x", 1, 0), ECONNREFUSED);
}

static void errors(void)
{
    struct name name = path_name("socket");
    struct name missing = path_name("missing");
    struct name file = path_name("file");
    struct name stream = path_name("stream");
    struct name abstract = abstract_name("missing");
    int fd = bound(&name);
    int listener = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    static char large[4 << 20];

    guest_write("file", "x");
    OK(bind(listener, address_of(&stream), stream.length));
    OK(listen(listener, 1));
    FAILS(send_to(make(), "x", &missing), ENOENT);
    FAILS(send_to(make(), "x", &file), ECONNREFUSED);
    FAILS(send_to(make(), "x", &stream), EPROTOTYPE);
    FAILS(send_to(make(), "x", &abstract), ECONNREFUSED);
    FAILS(connect(make(), address_of(&stream), stream.length), EPROTOTYPE);
    FAILS(bind(make(), address_of(&name), name.length), EADDRINUSE);
    FAILS(bind(fd, address_of(&missing), missing.length), EINVAL);
    FAILS(sendto(make(), large, sizeof(large), 0, address_of(&name), name.length), EMSGSIZE);
    FAILS(sendto(make(), (void *)8, 4, 0, address_of(&name), name.length), EFAULT);
    FAILS(sendto(make(), "x", 1, 0, address_of(&name), 1), EINVAL);
    FAILS(send_message(make(), "xx", NULL, 0), ENOTCONN);
    FAILS(listen(fd, 1), EOPNOTSUPP);
    FAILS(recv(fd, large, 1, MSG_DONTWAIT), EAGAIN);
    OK(close(fd));
    FAILS(send_to(make(), "x", &name), ECONNREFUSED);
    FAILS(socket(AF_UNIX, SOCK_DGRAM, 77), EPROTONOSUPPORT);
}

static void whole_messages(void)
{
    struct name name = path_name("socket");
    int server = bound(&name);
    int client = make();
    char buffer[4] = "";
    struct iovec parts[2] = {{buffer, 1}, {buffer + 1, 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    static char large[100000];

    CHECK_EQ(send_to(client, "abcdef", &name), 6);
    CHECK_EQ(OK(recvmsg(server, &message, MSG_PEEK | MSG_TRUNC)), 6);
    CHECK_EQ(message.msg_flags, MSG_TRUNC);
    CHECK_EQ(OK(recvmsg(server, &message, 0)), 3);
    CHECK_TEXT(buffer, "abc");
    CHECK_EQ(message.msg_flags, MSG_TRUNC);
    memset(large, 'x', sizeof(large));
    CHECK_EQ(OK(sendto(client, large, sizeof(large), 0, address_of(&name), name.length)),
             sizeof(large));
    memset(large, 0, sizeof(large));
    parts[0] = (struct iovec){large, 5000};
    parts[1] = (struct iovec){large + 5000, sizeof(large) - 5000};
    CHECK_EQ(OK(recvmsg(server, &message, 0)), sizeof(large));
    CHECK_EQ(large[sizeof(large) - 1], 'x');
    CHECK_EQ(message.msg_flags, 0);
}

/* ---- what goes along ---- */

static int send_descriptor(int fd, int passed, const struct name *name)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_name = (void *)&name->address,
                             .msg_namelen = name->length,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.header), &passed, sizeof(passed));
    return (int)sendmsg(fd, &message, 0);
}

static void descriptors(void)
{
    struct name name = path_name("socket");
    int server = bound(&name);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    int ends[2], got;

    OK(pipe(ends));
    CHECK_EQ(OK(send_descriptor(make(), ends[1], &name)), 1);
    FAILS(send_descriptor(make(), 999, &name), EBADF);
    CHECK_EQ(OK(recvmsg(server, &message, MSG_CMSG_CLOEXEC)), 1);
    CHECK_EQ(message.msg_flags & ~MSG_CMSG_CLOEXEC, 0);
    CHECK_EQ(control.header.cmsg_type, SCM_RIGHTS);
    CHECK_EQ(control.header.cmsg_len, CMSG_LEN(sizeof(int)));
    memcpy(&got, CMSG_DATA(&control.header), sizeof(got));
    CHECK_EQ(OK(fcntl(got, F_GETFD)), FD_CLOEXEC);
    CHECK_EQ(write(got, "y", 1), 1);
    OK(close(got));
    OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(read(ends[0], &byte, 1), 0); /* nobody else kept the writing end */
}

static void send_ready(void *argument)
{
    CHECK_EQ(send_message(make(), "READY=1", argument, MSG_NOSIGNAL), 7);
}

static void credentials(void)
{
    struct name name = path_name("notify");
    int server = bound(&name);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    char buffer[16] = "";
    struct iovec part = {buffer, sizeof(buffer)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct ucred sender;
    int on = 1;
    pid_t pid;

    OK(setsockopt(server, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    pid = guest_fork(send_ready, &name);
    CHECK_EQ(OK(recvmsg(server, &message, 0)), 7);
    CHECK_TEXT(buffer, "READY=1");
    CHECK_EQ(message.msg_controllen, sizeof(control));
    CHECK_EQ(control.header.cmsg_type, SCM_CREDENTIALS);
    memcpy(&sender, CMSG_DATA(&control.header), sizeof(sender));
    CHECK_EQ(sender.pid, pid);
    CHECK_EQ(sender.uid, geteuid());
    CHECK_EQ(sender.gid, getegid());
    guest_join(pid);
}

/* ---- waiting ---- */

static void on_alarm(int number)
{
    (void)number;
}

static void alarm_soon(int flags)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct itimerval soon = {.it_value = {.tv_usec = 100000}};

    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &soon, NULL));
}

static void *send_late(void *argument)
{
    guest_sleep_ms(200);
    CHECK_EQ(send_to(make(), "late", argument), 4);
    return NULL;
}

static void receive_waits(void)
{
    struct name name = path_name("socket");
    struct timeval short_time = {.tv_usec = 50000};
    struct sockaddr_un from;
    socklen_t length = sizeof(from);
    int server = bound(&name);
    char byte;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, send_late, &name), 0);
    expect_from(server, "late", NULL);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    alarm_soon(0);
    FAILS(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &length), EINTR);
    CHECK_EQ(pthread_create(&thread, NULL, send_late, &name), 0);
    alarm_soon(SA_RESTART);
    expect_from(server, "late", NULL);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    OK(setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time)));
    FAILS(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &length), EAGAIN);
}

static int fill(int fd, const struct name *name)
{
    int count = 0;

    while (count < 5000 && sendto(fd, "x", 1, MSG_DONTWAIT, address_of(name), name->length) == 1)
        count++;
    CHECK_EQ(errno, EAGAIN);
    return count;
}

static void *receive_late(void *argument)
{
    char byte;

    guest_sleep_ms(200);
    OK(recv(*(int *)argument, &byte, 1, 0));
    return NULL;
}

static void full_queue(void)
{
    struct name name = path_name("socket");
    struct timeval short_time = {.tv_usec = 50000};
    int server = bound(&name);
    int client = make();
    pthread_t thread;

    CHECK(fill(client, &name) > 0);
    CHECK_EQ(pthread_create(&thread, NULL, receive_late, &server), 0);
    CHECK_EQ(OK(send_to(client, "x", &name)), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    alarm_soon(0);
    FAILS(send_to(client, "x", &name), EINTR);
    OK(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &short_time, sizeof(short_time)));
    FAILS(send_to(client, "x", &name), EAGAIN);
    OK(fcntl(client, F_SETFL, O_NONBLOCK));
    FAILS(send_to(client, "x", &name), EAGAIN);
}

static void readiness(void)
{
    struct name name = path_name("socket");
    int server = bound(&name);
    struct pollfd one = {.fd = server, .events = POLLIN | POLLOUT};
    char byte;

    CHECK_EQ(OK(poll(&one, 1, 0)), 1);
    CHECK_EQ(one.revents, POLLOUT);
    CHECK_EQ(send_to(make(), "x", &name), 1);
    CHECK_EQ(OK(poll(&one, 1, 1000)), 1);
    CHECK_EQ(one.revents, POLLIN | POLLOUT);
    CHECK_EQ(read(server, &byte, 1), 1);
    one.events = POLLIN;
    CHECK_EQ(OK(poll(&one, 1, 0)), 0);
}

/* ---- descriptors come and go ---- */

static void duplicates(void)
{
    struct name name = path_name("socket");
    int server = bound(&name);
    int client = make();
    int copy = (int)OK(dup(client));
    int other = (int)OK(fcntl(client, F_DUPFD_CLOEXEC, 0));

    OK(connect(client, address_of(&name), name.length));
    OK(close(client));
    CHECK_EQ(send(copy, "copy", 4, 0), 4);
    expect(server, "copy");
    CHECK_EQ(write(other, "other", 5), 5);
    expect(server, "other");
}

static void many(void)
{
    struct name name = path_name("socket");
    int server = bound(&name);

    for (int i = 0; i < 1000; i++) {
        int fd = make();

        CHECK_EQ(send_to(fd, "x", &name), 1);
        OK(close(fd));
        expect(server, "x");
    }
}

static void pairs(void)
{
    struct pollfd one = {.events = POLLIN};
    int pair[2];
    char buffer[16] = "";

    OK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
    CHECK_EQ(send(pair[0], "one", 3, 0), 3);
    CHECK_EQ(write(pair[0], "two", 3), 3);
    CHECK_EQ(recv(pair[1], buffer, sizeof(buffer), 0), 3);
    CHECK_TEXT(buffer, "one");
    one.fd = pair[1];
    CHECK_EQ(OK(poll(&one, 1, 0)), 1);
    CHECK_EQ(read(pair[1], buffer, sizeof(buffer)), 3);
    FAILS(read(pair[1], buffer, sizeof(buffer)), EAGAIN);
    CHECK_EQ(send(pair[1], "back", 4, 0), 4);
    CHECK_EQ(recv(pair[0], buffer, sizeof(buffer), 0), 4);
}

static const struct guest_case cases[] = {
    {"by-path", by_path},
    {"by-abstract-name", by_abstract_name},
    {"replies", replies},
    {"peers", peers},
    {"errors", errors},
    {"whole-messages", whole_messages},
    {"descriptors", descriptors},
    {"credentials", credentials},
    {"receive-waits", receive_waits},
    {"full-queue", full_queue},
    {"readiness", readiness},
    {"duplicates", duplicates},
    {"many", many},
    {"pairs", pairs},
};

GUEST_MAIN(cases)

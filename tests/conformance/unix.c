/* Unix sockets, SCM_RIGHTS, SCM_CREDENTIALS. */
#define FAMILY "unix"
#include "conform.h"

#include <sys/ioctl.h>
#include <sys/un.h>

static const struct sockaddr_un at_s = {AF_UNIX, "s"};
#define AT_S ((const struct sockaddr *)&at_s), sizeof(at_s)

static int made(int type)
{
    return (int)ok(socket(AF_UNIX, type, 0));
}

static int listener(int type)
{
    int fd = made(type);

    ok(bind(fd, AT_S));
    ok(listen(fd, 8));
    return fd;
}

static void pair_of(int type, int ends[2])
{
    ok(socketpair(AF_UNIX, type, 0, ends));
}

REFUSED(bad_family, "socket(2) EAFNOSUPPORT", socket(999, SOCK_STREAM, 0), EAFNOSUPPORT)
REFUSED(bad_type, "socket(2) EINVAL", socket(AF_UNIX, 77, 0), EINVAL)
REFUSED(bad_protocol, "socket(2) EPROTONOSUPPORT", socket(AF_UNIX, SOCK_STREAM, 99),
        EPROTONOSUPPORT)
REFUSED(pair_of_internet, "socketpair(2) EOPNOTSUPP",
        socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){0}), EOPNOTSUPP)
REFUSED(connect_missing, "connect(2) ENOENT", connect(made(SOCK_STREAM), AT_S), ENOENT)
REFUSED(connect_bad, "connect(2) EBADF", connect(99, AT_S), EBADF)
REFUSED(connect_not_socket, "connect(2) ENOTSOCK", connect(0, AT_S), ENOTSOCK)
REFUSED(connect_pointer, "connect(2) EFAULT", connect(made(SOCK_STREAM), (struct sockaddr *)8, 110),
        EFAULT)
REFUSED(connect_family, "connect(2) EINVAL",
        connect(made(SOCK_STREAM), &(struct sockaddr){.sa_family = AF_INET}, 16), EINVAL)
REFUSED(bind_pointer, "bind(2) EFAULT", bind(made(SOCK_STREAM), (struct sockaddr *)8, 110), EFAULT)
REFUSED(bind_not_socket, "bind(2) ENOTSOCK", bind(0, AT_S), ENOTSOCK)
REFUSED(bind_missing_directory, "unix(7) ENOENT",
        bind(made(SOCK_STREAM), (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "no/s"}, 110),
        ENOENT)
REFUSED(accept_not_listening, "accept(2) EINVAL", accept(made(SOCK_STREAM), NULL, NULL), EINVAL)
REFUSED(accept_not_socket, "accept(2) ENOTSOCK", accept(0, NULL, NULL), ENOTSOCK)
REFUSED(listen_unbound, "listen(2) EINVAL", listen(made(SOCK_STREAM), 1), EINVAL)
REFUSED(listen_datagram, "listen(2) EOPNOTSUPP", ({
            int fd_ = made(SOCK_DGRAM);
            bind(fd_, AT_S);
            listen(fd_, 1);
        }),
        EOPNOTSUPP)
REFUSED(send_unconnected, "send(2) ENOTCONN", send(made(SOCK_STREAM), "x", 1, MSG_NOSIGNAL),
        ENOTCONN)
REFUSED(send_datagram_nowhere, "send(2) ENOTCONN", send(made(SOCK_DGRAM), "x", 1, 0), ENOTCONN)
REFUSED(receive_unconnected, "recv(2) EINVAL", recv(made(SOCK_STREAM), (char[1]){0}, 1, 0), EINVAL)
REFUSED(peer_of_unconnected, "getpeername(2) ENOTCONN",
        getpeername(made(SOCK_STREAM), &(struct sockaddr){0}, &(socklen_t){16}), ENOTCONN)
REFUSED(shutdown_how, "shutdown(2) EINVAL", shutdown(made(SOCK_STREAM), 9), EINVAL)
REFUSED(option_unknown, "getsockopt(2) ENOPROTOOPT",
        getsockopt(made(SOCK_STREAM), SOL_SOCKET, 9999, (char[4]){0}, &(socklen_t){4}), ENOPROTOOPT)

CHECK(bind_makes_a_file, "unix(7): a socket file with mode & ~umask")
{
    struct stat status;

    umask(027);
    ok(bind(made(SOCK_STREAM), AT_S));
    ok(lstat("s", &status));
    must(S_ISSOCK(status.st_mode));
    is(mode_of("s"), 0750);
}

CHECK(bind_twice, "bind(2) EADDRINUSE, EINVAL")
{
    int fd = made(SOCK_STREAM);

    ok(bind(fd, AT_S));
    fails(bind(made(SOCK_STREAM), AT_S), EADDRINUSE);
    fails(bind(fd, (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "t"}, 110), EINVAL);
    must(!exists("t"));
    file("f", "");
    fails(
        bind(made(SOCK_STREAM), (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "f"}, 110),
        EADDRINUSE);
}

CHECK(bind_permission, "bind(2) EACCES")
{
    as_user();
    ok(mkdir("d", 0555));
    fails(bind(made(SOCK_STREAM), (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "d/s"},
               110),
          EACCES);
}

CHECK(connect_refused, "connect(2) ECONNREFUSED: nobody listens")
{
    ok(bind(made(SOCK_STREAM), AT_S));
    fails(connect(made(SOCK_STREAM), AT_S), ECONNREFUSED);
    file("f", "");
    fails(connect(made(SOCK_STREAM), (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "f"},
                  110),
          ECONNREFUSED);
}

CHECK(connect_after_close, "connect(2) ECONNREFUSED: the file is left behind")
{
    ok(close(listener(SOCK_STREAM)));
    must(exists("s"));
    fails(connect(made(SOCK_STREAM), AT_S), ECONNREFUSED);
}

CHECK(connect_wrong_type, "connect(2) EPROTOTYPE")
{
    listener(SOCK_STREAM);
    fails(connect(made(SOCK_DGRAM), AT_S), EPROTOTYPE);
    fails(connect(made(SOCK_SEQPACKET), AT_S), EPROTOTYPE);
}

CHECK(connect_twice, "connect(2) EISCONN")
{
    int fd = made(SOCK_STREAM);

    listener(SOCK_STREAM);
    ok(connect(fd, AT_S));
    fails(connect(fd, AT_S), EISCONN);
}

CHECK(connect_permission, "unix(7): connecting needs write permission")
{
    as_user();
    listener(SOCK_STREAM);
    ok(chmod("s", 0444));
    fails(connect(made(SOCK_STREAM), AT_S), EACCES);
}

CHECK(connect_link, "unix(7): symbolic links are followed")
{
    listener(SOCK_STREAM);
    ok(symlink("s", "l"));
    ok(connect(made(SOCK_STREAM), (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "l"},
               110));
}

CHECK(connect_renamed, "unix(7): the socket is the inode")
{
    listener(SOCK_STREAM);
    ok(rename("s", "t"));
    ok(connect(made(SOCK_STREAM), (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "t"},
               110));
    fails(connect(made(SOCK_STREAM), AT_S), ENOENT);
}

CHECK(exchange, "unix(7): stream, both ways, names")
{
    struct sockaddr_un address = {0};
    socklen_t length = sizeof(address);
    int server = listener(SOCK_STREAM);
    int client = made(SOCK_STREAM);
    char text[8] = "";
    int fd;

    ok(connect(client, AT_S));
    fd = (int)ok(accept4(server, NULL, NULL, SOCK_CLOEXEC));
    is(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ok(write(client, "ping", 4));
    is(read(fd, text, 8), 4);
    ok(write(fd, "pong", 4));
    is(read(client, text, 8), 4);
    same(text, "pong");
    ok(getsockname(fd, (struct sockaddr *)&address, &length));
    same(address.sun_path, "s");
    length = sizeof(address);
    ok(getpeername(client, (struct sockaddr *)&address, &length));
    same(address.sun_path, "s");
    length = sizeof(address);
    ok(getsockname(client, (struct sockaddr *)&address, &length));
    is(length, sizeof(sa_family_t));
    length = sizeof(address);
    ok(getpeername(fd, (struct sockaddr *)&address, &length));
    is(length, sizeof(sa_family_t));
}

CHECK(abstract, "unix(7): abstract names leave no file")
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length;
    int fd = made(SOCK_STREAM);

    snprintf(address.sun_path + 1, 30, "conform-%d", getpid());
    length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.sun_path + 1));
    ok(bind(fd, (struct sockaddr *)&address, length));
    fails(bind(made(SOCK_STREAM), (struct sockaddr *)&address, length), EADDRINUSE);
    ok(listen(fd, 1));
    ok(connect(made(SOCK_STREAM), (struct sockaddr *)&address, length));
    fails(connect(made(SOCK_STREAM), (struct sockaddr *)&address, length - 1), ECONNREFUSED);
    is(count_names("."), 0);
    ok(getsockname(fd, (struct sockaddr *)&address, &length));
    is(address.sun_path[0], 0);
    is(strncmp(address.sun_path + 1, "conform-", 8), 0);
}

CHECK(autobind, "unix(7): bind to the family alone gives an abstract name")
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    int fd = made(SOCK_STREAM);

    ok(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)));
    ok(getsockname(fd, (struct sockaddr *)&address, &length));
    is(length, sizeof(sa_family_t) + 6);
    is(address.sun_path[0], 0);
}

CHECK(datagrams, "unix(7): datagrams keep boundaries and senders")
{
    struct sockaddr_un from = {0};
    socklen_t length = sizeof(from);
    int server = made(SOCK_DGRAM);
    int client = made(SOCK_DGRAM);
    char text[8] = "";

    ok(bind(server, AT_S));
    ok(bind(client, (const struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "c"}, 110));
    is(sendto(client, "one", 3, 0, AT_S), 3);
    is(sendto(client, "two!", 4, 0, AT_S), 4);
    is(recvfrom(server, text, 8, 0, (struct sockaddr *)&from, &length), 3);
    same(from.sun_path, "c");
    is(recv(server, text, 2, MSG_TRUNC), 4);
    fails(recv(server, text, 8, MSG_DONTWAIT), EAGAIN);
}

CHECK(datagram_pair, "socketpair(2) SOCK_DGRAM")
{
    int ends[2];
    char text[8];

    pair_of(SOCK_DGRAM, ends);
    is(send(ends[0], "ab", 2, 0), 2);
    is(send(ends[0], "", 0, 0), 0);
    is(recv(ends[1], text, 8, 0), 2);
    is(recv(ends[1], text, 8, MSG_DONTWAIT), 0);
}

CHECK(packets, "unix(7) SOCK_SEQPACKET")
{
    int ends[2];
    char text[8];

    pair_of(SOCK_SEQPACKET, ends);
    is(send(ends[0], "abcd", 4, 0), 4);
    is(send(ends[0], "ef", 2, 0), 2);
    is(recv(ends[1], text, 2, 0), 2);
    is(recv(ends[1], text, 8, 0), 2);
    is(text[0], 'e');
    ok(close(ends[0]));
    is(recv(ends[1], text, 8, 0), 0);
}

CHECK(shut_down, "shutdown(2): 0 for the reader, EPIPE for the writer")
{
    int ends[2];
    char byte;

    handle(SIGPIPE, count_signal, 0);
    pair_of(SOCK_STREAM, ends);
    ok(shutdown(ends[0], SHUT_WR));
    is(read(ends[1], &byte, 1), 0);
    fails(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    is(ticks, 0);
    fails(write(ends[0], "x", 1), EPIPE);
    is(ticks, 1);
    ok(write(ends[1], "x", 1));
    is(read(ends[0], &byte, 1), 1);
}

CHECK(reset, "unix(7): ECONNRESET when unread data is thrown away")
{
    int ends[2];
    char byte;

    pair_of(SOCK_STREAM, ends);
    ok(write(ends[0], "x", 1));
    ok(close(ends[1]));
    fails(read(ends[0], &byte, 1), ECONNRESET);
}

CHECK(peek, "recv(2) MSG_PEEK, MSG_WAITALL")
{
    int ends[2];
    char text[8] = "";

    pair_of(SOCK_STREAM, ends);
    ok(write(ends[0], "abcd", 4));
    is(recv(ends[1], text, 2, MSG_PEEK), 2);
    is(recv(ends[1], text, 4, MSG_WAITALL), 4);
    same(text, "abcd");
}

static void send_descriptors(int to, const int *fds, int count)
{
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct iovec data = {"x", 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)count);
    is(sendmsg(to, &message, 0), 1);
}

static int receive_descriptors(int from, int *ret_fds, size_t room, int flags, int *ret_flags)
{
    char control[256];
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
    struct cmsghdr *header;
    int count = 0;

    is(recvmsg(from, &message, flags), 1);
    if (ret_flags)
        *ret_flags = message.msg_flags;
    header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) {
        count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(ret_fds, CMSG_DATA(header), sizeof(int) * (size_t)count);
    }
    return count;
}

CHECK(rights, "unix(7) SCM_RIGHTS: the same open file")
{
    int ends[2];
    int fds[8];
    int fd;
    char text[4] = "";

    file("f", "abcdef");
    fd = (int)ok(open("f", O_RDONLY));
    pair_of(SOCK_STREAM, ends);
    send_descriptors(ends[0], &fd, 1);
    is(receive_descriptors(ends[1], fds, 128, 0, NULL), 1);
    must(fds[0] != fd);
    is(read(fd, text, 2), 2);
    is(read(fds[0], text, 2), 2);
    same(text, "cd");
}

CHECK(rights_of_several, "unix(7) SCM_RIGHTS: several, MSG_CMSG_CLOEXEC")
{
    int ends[2];
    int fds[8];

    pair_of(SOCK_STREAM, ends);
    send_descriptors(ends[0], (int[]){0, ends[0], ends[1]}, 3);
    is(receive_descriptors(ends[1], fds, 128, MSG_CMSG_CLOEXEC, NULL), 3);
    is(fcntl(fds[2], F_GETFD), FD_CLOEXEC);
}

CHECK(rights_truncated, "unix(7) MSG_CTRUNC: what does not fit is closed")
{
    int ends[2];
    int fds[8];
    int flags;

    pair_of(SOCK_STREAM, ends);
    send_descriptors(ends[0], (int[]){0, 0, 0}, 3);
    is(receive_descriptors(ends[1], fds, CMSG_LEN(sizeof(int)), 0, &flags), 1);
    must(flags & MSG_CTRUNC);
}

CHECK(rights_of_bad, "sendmsg(2) EBADF")
{
    int ends[2];
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {"x", 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    pair_of(SOCK_STREAM, ends);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &(int){99}, sizeof(int));
    fails(sendmsg(ends[0], &message, 0), EBADF);
}

CHECK(rights_of_directory, "unix(7) SCM_RIGHTS: a directory")
{
    int ends[2];
    int fds[8];
    int fd;

    ok(mkdir("d", 0755));
    file("d/f", "text");
    fd = (int)ok(open("d", O_RDONLY));
    pair_of(SOCK_STREAM, ends);
    send_descriptors(ends[0], &fd, 1);
    ok(close(fd));
    is(receive_descriptors(ends[1], fds, 128, 0, NULL), 1);
    ok(faccessat(fds[0], "f", F_OK, 0));
    ok(fchdir(fds[0]));
    content("f", "text");
}

CHECK(rights_across_processes, "unix(7) SCM_RIGHTS: to another process")
{
    int ends[2];
    int fds[8];
    char text[8] = "";

    pair_of(SOCK_STREAM, ends);
    IN_CHILD
    {
        int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0600));

        ok(write(fd, "child", 5));
        send_descriptors(ends[0], &fd, 1);
    }
    is(receive_descriptors(ends[1], fds, 128, 0, NULL), 1);
    is(pread(fds[0], text, 5, 0), 5);
    same(text, "child");
}

CHECK(credentials, "unix(7) SO_PASSCRED, SCM_CREDENTIALS: of the kernel")
{
    int ends[2];
    int on = 1;
    char control[128];
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header;
    struct ucred who;

    pair_of(SOCK_STREAM, ends);
    ok(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    ok(write(ends[0], "x", 1));
    is(recvmsg(ends[1], &message, 0), 1);
    header = CMSG_FIRSTHDR(&message);
    must(header && header->cmsg_type == SCM_CREDENTIALS);
    memcpy(&who, CMSG_DATA(header), sizeof(who));
    is(who.pid, getpid());
    is(who.uid, geteuid());
    is(who.gid, getegid());
}

static int send_credentials(int to, pid_t pid, uid_t uid)
{
    char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
    struct iovec data = {"x", 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    struct ucred who = {pid, uid, getegid()};

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof(who));
    memcpy(CMSG_DATA(header), &who, sizeof(who));
    return (int)sendmsg(to, &message, 0);
}

CHECK(credentials_sent, "unix(7) SCM_CREDENTIALS: own ids; EPERM for others")
{
    int ends[2];

    as_user();
    pair_of(SOCK_STREAM, ends);
    is(send_credentials(ends[0], getpid(), geteuid()), 1);
    fails(send_credentials(ends[0], getpid(), 12345), EPERM);
    fails(send_credentials(ends[0], getppid(), geteuid()), EPERM);
}

CHECK(peer_credentials, "unix(7) SO_PEERCRED: at connect")
{
    struct ucred who = {0};
    socklen_t length = sizeof(who);
    int server = listener(SOCK_STREAM);
    int ends[2];
    int fd;
    char byte;
    pid_t pid;

    ok(pipe(ends));
    pid = spawn();
    if (pid == 0) {
        int client = made(SOCK_STREAM);

        ok(connect(client, AT_S));
        read(ends[0], &byte, 1);
        _exit(0);
    }
    fd = (int)ok(accept(server, NULL, NULL));
    ok(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length));
    is(who.pid, pid);
    is(who.uid, geteuid());
    ok(write(ends[1], "x", 1));
    joins(pid);
}

CHECK(peer_credentials_of_pair, "unix(7) SO_PEERCRED of socketpair(2)")
{
    struct ucred who = {0};
    socklen_t length = sizeof(who);
    int ends[2];

    pair_of(SOCK_STREAM, ends);
    ok(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &who, &length));
    is(who.pid, getpid());
    is(who.uid, geteuid());
}

CHECK(options, "socket(7) SO_TYPE, SO_DOMAIN, SO_ACCEPTCONN, SO_ERROR")
{
    int server = listener(SOCK_STREAM);
    int value;
    socklen_t length = sizeof(value);

    ok(getsockopt(server, SOL_SOCKET, SO_TYPE, &value, &length));
    is(value, SOCK_STREAM);
    ok(getsockopt(server, SOL_SOCKET, SO_DOMAIN, &value, &length));
    is(value, AF_UNIX);
    ok(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    is(value, 1);
    ok(getsockopt(server, SOL_SOCKET, SO_ERROR, &value, &length));
    is(value, 0);
}

CHECK(receive_timeout, "socket(7) SO_RCVTIMEO: EAGAIN")
{
    struct timeval time = {0, 3000};
    int ends[2];
    char byte;

    pair_of(SOCK_STREAM, ends);
    ok(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
    fails(read(ends[0], &byte, 1), EAGAIN);
}

CHECK(many_messages, "sendmmsg(2), recvmmsg(2)")
{
    int ends[2];
    char texts[2][4] = {"", ""};
    struct iovec out[2] = {{"ab", 2}, {"cde", 3}};
    struct iovec in[2] = {{texts[0], 4}, {texts[1], 4}};
    struct mmsghdr messages[2] = {0};

    pair_of(SOCK_SEQPACKET, ends);
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    is(sendmmsg(ends[0], messages, 2, 0), 2);
    for (int i = 0; i < 2; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    is(recvmmsg(ends[1], messages, 2, 0, NULL), 2);
    is(messages[1].msg_len, 3);
}

CHECK(longest_name, "unix(7): 108 bytes, with or without a zero")
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[109] = "";

    memset(address.sun_path, 'n', sizeof(address.sun_path));
    memset(name, 'n', 108);
    ok(bind(made(SOCK_STREAM), (struct sockaddr *)&address, sizeof(address)));
    must(exists(name));
    fails(bind(made(SOCK_STREAM), (struct sockaddr *)&address, sizeof(address) + 1), EINVAL);
}

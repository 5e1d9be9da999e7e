/*
 * Descriptors: those of host processes, and those numbers that the process kernel serves itself.
 *
 * GUEST_HOST_SOCKET and GUEST_HOST_DATAGRAM are paths, GUEST_HOST_ABSTRACT the abstract name of
 * listening sockets of a host process, which would hand out and take in descriptors.
 */
#include "attack.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

static struct sockaddr_un address_of(const char *path, bool is_abstract, socklen_t *ret_length)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    memcpy(name.sun_path + is_abstract, path, strnlen(path, sizeof(name.sun_path) - 2));
    *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(path) +
                              !is_abstract);
    return name;
}

static void try_connect(const char *path, bool is_abstract, int type)
{
    socklen_t length;
    struct sockaddr_un name = address_of(path, is_abstract, &length);
    int fd = socket(AF_UNIX, type, 0);

    if (fd < 0) {
        attack_tried(guest_format("a socket for %s", path), strerrorname_np(errno));
        return;
    }
    attack_denied(__FILE__, __LINE__, guest_format("connect %s", path),
                  connect(fd, (struct sockaddr *)&name, length));
    close(fd);
}

static void host_sockets(void)
{
    try_connect(attack_env("GUEST_HOST_SOCKET"), false, SOCK_STREAM);
    try_connect(guest_format("/proc/self/root%s", attack_env("GUEST_HOST_SOCKET")), false,
                SOCK_STREAM);
    try_connect(attack_env("GUEST_HOST_DATAGRAM"), false, SOCK_DGRAM);
    try_connect(attack_env("GUEST_HOST_ABSTRACT"), true, SOCK_STREAM);
    try_connect("/dev/log", false, SOCK_DGRAM);
    try_connect("/run/dbus/system_bus_socket", false, SOCK_STREAM);
    try_connect("/run/systemd/private", false, SOCK_STREAM);
    try_connect("/var/run/docker.sock", false, SOCK_STREAM);
}

/* A link to the socket file, made in the view, does not help. */
static void host_socket_by_link(void)
{
    OK(symlink(attack_env("GUEST_HOST_SOCKET"), "soft"));
    try_connect("soft", false, SOCK_STREAM);
    if (link(attack_env("GUEST_HOST_SOCKET"), "hard") == 0)
        try_connect("hard", false, SOCK_STREAM);
}

static long send_with_descriptor(int fd, struct sockaddr_un *name, socklen_t length)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {"stolen", 6};
    struct msghdr message = {.msg_name = name,
                             .msg_namelen = length,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = space,
                             .msg_controllen = sizeof(space)};
    struct mmsghdr several = {.msg_hdr = message};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int own = 1;

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &own, sizeof(own));
    DENIED(sendmmsg(fd, &several, 1, MSG_DONTWAIT));
    return sendmsg(fd, &message, MSG_DONTWAIT);
}

/* Messages to a name need no connection. */
static void host_datagrams(void)
{
    socklen_t length;
    struct sockaddr_un name = address_of(attack_env("GUEST_HOST_DATAGRAM"), false, &length);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int pair[2];
    char byte;

    if (fd < 0) {
        attack_tried("a datagram socket", strerrorname_np(errno));
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0) {
            /* The test sees whether anything arrives. */
            sendto(pair[0], "x", 1, 0, (struct sockaddr *)&name, length);
            DENIED(connect(pair[0], (struct sockaddr *)&name, length));
        }
        return;
    }

    DENIED(sendto(fd, "x", 1, 0, (struct sockaddr *)&name, length));
    DENIED(send_with_descriptor(fd, &name, length));
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    /* The pair may be one of sequenced packets, which has no use for a name: then its peer gets it.
     */
    if (sendto(pair[0], "x", 1, 0, (struct sockaddr *)&name, length) == 1)
        CHECK_EQ(recv(pair[1], &byte, 1, MSG_DONTWAIT), 1);
    DENIED(connect(pair[0], (struct sockaddr *)&name, length));
}

static void inherited_ones(void)
{
    const char *secret = attack_env("GUEST_SECRET");

    for (int fd = 3; fd < 4096; fd++) {
        struct stat stat_buf;

        if (fstat(fd, &stat_buf) < 0)
            continue;
        attack_tried(guest_format("descriptor %d", fd),
                     guest_link(guest_format("/proc/self/fd/%d", fd)));
        if (S_ISDIR(stat_buf.st_mode) && openat(fd, secret, O_RDONLY) >= 0)
            FAIL("ESCAPED through descriptor %d", fd);
    }
}

/* Numbers that the filter treats as kernel-served, put on what is not. */
static void forged_numbers(void)
{
    char bytes[64] = "";
    int ends[2];
    int fd;

    OK(pipe2(ends, O_NONBLOCK));
    guest_write("file", "plain file");
    fd = (int)OK(open("file", O_RDWR));
    for (int number = 950; number < 1024; number++) {
        int source = number % 3 == 0 ? ends[0] : number % 3 == 1 ? fd : ends[1];
        int value = 0;

        OK(dup2(source, number));
        read(number, bytes, sizeof(bytes));
        pread(number, bytes, sizeof(bytes), 0);
        write(number, "x", 1);
        lseek(number, 0, SEEK_SET);
        ioctl(number, FIONREAD, &value);
        ioctl(number, 0xdeadbeef, bytes);
        ftruncate(number, 3);
        mmap(NULL, 4096, PROT_READ, MAP_SHARED, number, 0);
        syscall(SYS_getdents64, number, bytes, sizeof(bytes));
        fcntl(number, F_GETFL);
    }
    OK(syscall(SYS_close_range, 950, 1023, 0));
    guest_content("/proc/self/comm", "attack-descript\n");
    attack_tried("forged numbers", "the process kernel goes on");
}

static void served_ones(void)
{
    char bytes[256];
    int fd = (int)OK(open("/proc/self/comm", O_RDWR));
    int copies[20];

    for (int i = 0; i < 20; i++)
        copies[i] = (int)OK(dup(fd));
    for (int i = 0; i < 20; i++) {
        ftruncate(copies[i], 1 << 20);
        OK(lseek(copies[i], 0, SEEK_SET));
        DENIED(read(copies[i], (void *)8, 100));
        DENIED(write(copies[i], (void *)8, 10));
        lseek(copies[i], -5, SEEK_SET);
        lseek(copies[i], 1L << 60, SEEK_SET);
        read(copies[i], bytes, sizeof(bytes));
    }
    OK(close(fd));
    for (int i = 0; i < 20; i++)
        OK(close(copies[i]));
    FAILS(read(fd, bytes, 1), EBADF);
    guest_content("/proc/self/comm", "attack-descript\n");
}

/* A generated directory stands behind a descriptor whose position and content are tempting. */
static void served_directories(void)
{
    static const off_t offsets[] = {-1, 1, 7, 1L << 31, 1L << 40, (1UL << 63) - 1, 4095};
    char bytes[4096];
    int fd = (int)OK(open("/proc", O_RDONLY | O_DIRECTORY));

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        lseek(fd, offsets[i], SEEK_SET);
        syscall(SYS_getdents64, fd, bytes, sizeof(bytes));
        syscall(SYS_getdents64, fd, bytes, 25);
    }
    DENIED(write(fd, "x", 1));
    DENIED(ftruncate(fd, 4096));
    DENIED(pwrite(fd, "x", 1, 0));
    DENIED(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    DENIED(open(guest_format("/proc/self/fd/%d", fd), O_RDWR));
    DENIED(fchmod(fd, 0777));
    OK(lseek(fd, 0, SEEK_SET));
    CHECK(OK(syscall(SYS_getdents64, fd, bytes, sizeof(bytes))) > 0);
}

/* Whatever the limit says: what is served stays served. */
static void changing_limits(void)
{
    static const rlim_t values[] = {1024, 512, 256, 128, 70, 64, 40, 20};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct rlimit limit = {values[i], 1024};
        int fd;

        OK(setrlimit(RLIMIT_NOFILE, &limit));
        fd = open("/proc/self/comm", O_RDONLY);
        attack_tried(guest_format("a limit of %lu descriptors", (unsigned long)values[i]),
                     fd < 0 ? strerrorname_np(errno) : "served");
        attack_look("the secret", open(attack_env("GUEST_SECRET"), O_RDONLY));
        if (fd >= 0)
            close(fd);
    }
    {
        struct rlimit limit = {1024, 1024};

        OK(setrlimit(RLIMIT_NOFILE, &limit));
        guest_content("/proc/self/comm", "attack-descript\n");
    }
}

static void all_numbers_taken(void)
{
    struct rlimit limit = {1024, 1024};
    char bytes[16];
    int last = -1;
    int fd;

    OK(setrlimit(RLIMIT_NOFILE, &limit));
    while ((fd = dup(0)) >= 0)
        last = fd;
    DENIED(open("/proc/self/comm", O_RDONLY));
    DENIED(open("/etc/passwd", O_RDONLY));
    OK(close(last));
    fd = (int)OK(open("/etc/passwd", O_RDONLY));
    CHECK_EQ(read(fd, bytes, 4), 4);
}

static void closing_everything(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        syscall(SYS_close_range, 0, ~0U, 0);
        _exit(open("/etc/passwd", O_RDONLY) != 0 || open("/dev/null", O_RDWR) != 1);
    }
    guest_join(pid);
}

/* The other end of a served descriptor is the process kernel's: flooding it does nothing. */
static void flooding(void)
{
    char bytes[4096] = "";
    int fd = open("/dev/cerebro-test", O_RDWR);

    if (fd < 0)
        guest_skip("no test device");
    for (int i = 0; i < 2000; i++) {
        send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
        recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    }
    send_with_descriptor(fd, NULL, 0);
    shutdown(fd, SHUT_RDWR);
    guest_content("/proc/self/comm", "attack-descript\n");
}

static const struct guest_case cases[] = {
    {"host-sockets", host_sockets},
    {"host-socket-by-link", host_socket_by_link},
    {"host-datagrams", host_datagrams},
    {"inherited-ones", inherited_ones},
    {"forged-numbers", forged_numbers},
    {"served-ones", served_ones},
    {"served-directories", served_directories},
    {"changing-limits", changing_limits},
    {"all-numbers-taken", all_numbers_taken},
    {"closing-everything", closing_everything},
    {"flooding", flooding},
};

GUEST_MAIN(cases)

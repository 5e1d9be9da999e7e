/* Descriptors: copies, passing, waiting; also those that the process kernel serves itself. */
#include "guest.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void copies(void)
{
    char buffer[4];
    int fd;

    guest_write("file", "0123456789");
    fd = (int)OK(open("file", O_RDONLY));
    CHECK_EQ(OK(dup2(fd, 50)), 50);
    CHECK_EQ(OK(dup3(fd, 51, O_CLOEXEC)), 51);
    CHECK_EQ(OK(fcntl(fd, F_DUPFD, 60)), 60);
    CHECK_EQ(OK(fcntl(fd, F_DUPFD_CLOEXEC, 60)), 61);
    CHECK_EQ(OK(fcntl(51, F_GETFD)), FD_CLOEXEC);
    CHECK_EQ(OK(fcntl(60, F_GETFD)), 0);
    CHECK_EQ(read(50, buffer, 3), 3);
    CHECK_EQ(read(61, buffer, 3), 3);
    CHECK(memcmp(buffer, "345", 3) == 0);
    CHECK_EQ(OK(dup2(fd, fd)), fd);
    FAILS(dup3(fd, fd, 0), EINVAL);
    FAILS(dup2(999, 3), EBADF);
    FAILS(dup2(fd, -1), EBADF);
    OK(syscall(SYS_close_range, 50, 70, 0));
    FAILS(fcntl(60, F_GETFD), EBADF);
    OK(close(fd));
    FAILS(close(fd), EBADF);
}

static void high_numbers(void)
{
    char buffer[8] = "";
    int fd;

    guest_write("file", "content");
    fd = (int)OK(open("file", O_RDONLY));
    for (int high = 940; high < 1024; high++)
        CHECK_EQ(OK(dup2(fd, high)), high);
    CHECK_EQ(pread(1000, buffer, 7, 0), 7);
    CHECK_TEXT(buffer, "content");
    OK(lseek(1001, 3, SEEK_SET));
    CHECK_EQ(read(980, buffer, 4), 4);
    for (int high = 940; high < 1024; high++)
        OK(close(high));
    FAILS(read(1000, buffer, 1), EBADF);
    guest_content("/proc/self/comm", "fds\n");
}

static void offsets_are_shared_by_fork(void)
{
    char buffer[4] = "";
    int fd;
    pid_t pid;

    guest_write("file", "0123456789");
    fd = (int)OK(open("file", O_RDONLY));
    pid = (pid_t)OK(fork());
    if (pid == 0)
        _exit(read(fd, buffer, 3) != 3);
    guest_join(pid);
    CHECK_EQ(read(fd, buffer, 3), 3);
    CHECK_TEXT(buffer, "345");
}

static void send_descriptor(int socket, int fd)
{
    char space[CMSG_SPACE(sizeof(int))] = {0};
    char byte = 'f';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
    OK(sendmsg(socket, &message, 0));
}

static int receive_descriptor(int socket)
{
    char space[CMSG_SPACE(sizeof(int))];
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
    int fd;

    OK(recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    CHECK(CMSG_FIRSTHDR(&message) != NULL);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return fd;
}

static void passing_between_processes(void)
{
    int pair[2];
    pid_t pid;
    int fd;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        OK(mkdir("dir", 0777));
        OK(chdir("dir"));
        guest_write("file", "passed");
        send_descriptor(pair[1], (int)OK(open("file", O_RDONLY)));
        send_descriptor(pair[1], (int)OK(open(".", O_RDONLY | O_DIRECTORY)));
        send_descriptor(pair[1], (int)OK(open("/proc/self/status", O_RDONLY)));
        _exit(0);
    }
    fd = receive_descriptor(pair[0]);
    guest_content(guest_format("/proc/self/fd/%d", fd), "passed");
    CHECK_EQ(OK(fcntl(fd, F_GETFD)), FD_CLOEXEC);
    /* A directory that another process opened is a place as good as an own one. */
    fd = receive_descriptor(pair[0]);
    OK(close((int)OK(openat(fd, "file", O_RDONLY))));
    OK(close((int)OK(openat(fd, "new", O_CREAT | O_WRONLY, 0666))));
    OK(fchdir(fd));
    guest_content("file", "passed");
    CHECK(strstr(guest_cwd(), "/dir") != NULL);
    fd = receive_descriptor(pair[0]);
    CHECK(fd > 0);
    guest_join(pid);
}

static void waiting(void)
{
    struct itimerspec soon = {.it_value = {0, 20000000}};
    struct epoll_event event = {.events = EPOLLIN};
    struct epoll_event found[4];
    int epoll = (int)OK(epoll_create1(0));
    int timer = (int)OK(timerfd_create(CLOCK_MONOTONIC, 0));
    int counter = (int)OK(eventfd(0, EFD_NONBLOCK));
    uint64_t value = 3;
    struct pollfd poll_fd = {counter, POLLIN, 0};

    CHECK_EQ(poll(&poll_fd, 1, 0), 0);
    event.data.fd = counter;
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, counter, &event));
    event.data.fd = timer;
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event));
    OK(timerfd_settime(timer, 0, &soon, NULL));
    CHECK_EQ(OK(epoll_wait(epoll, found, 4, 5000)), 1);
    CHECK_EQ(found[0].data.fd, timer);
    CHECK_EQ(write(counter, &value, 8), 8);
    CHECK_EQ(OK(epoll_wait(epoll, found, 4, 5000)), 2);
    CHECK_EQ(poll(&poll_fd, 1, 0), 1);
    guest_write("file", "x");
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, (int)OK(open("file", O_RDONLY)), &event), EPERM);
}

static void sealed_memory(void)
{
    int fd = (int)OK(memfd_create("sealed", MFD_ALLOW_SEALING));

    CHECK_EQ(write(fd, "123", 3), 3);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW));
    FAILS(write(fd, "4", 1), EPERM);
    CHECK_EQ(OK(fcntl(fd, F_GET_SEALS)), F_SEAL_WRITE | F_SEAL_GROW);
}

static void process_descriptors(void)
{
    struct pollfd poll_fd = {.events = POLLIN};
    siginfo_t info;
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        pause();
        _exit(0);
    }
    poll_fd.fd = (int)OK(syscall(SYS_pidfd_open, pid, 0));
    CHECK_EQ(poll(&poll_fd, 1, 0), 0);
    OK(syscall(SYS_pidfd_send_signal, poll_fd.fd, SIGTERM, NULL, 0));
    CHECK_EQ(poll(&poll_fd, 1, 5000), 1);
    OK(waitid(P_PIDFD, (id_t)poll_fd.fd, &info, WEXITED));
    CHECK_EQ(info.si_status, SIGTERM);
    FAILS(syscall(SYS_pidfd_send_signal, poll_fd.fd, SIGTERM, NULL, 0), ESRCH);
}

static void list_of_own(void)
{
    struct dirent *entry;
    bool found = false;
    DIR *dir;
    int fd;

    guest_write("file", "x");
    fd = (int)OK(open("file", O_RDONLY));
    OK(dup2(fd, 77));
    dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while ((entry = readdir(dir))) {
        long number = strtol(entry->d_name, NULL, 10);

        if (entry->d_name[0] != '.')
            OK(fcntl((int)number, F_GETFD));
        found |= number == 77;
    }
    CHECK(found);
}

static void generated_files(void)
{
    char buffer[512] = "";
    char again[512] = "";
    int fd = (int)OK(open("/proc/self/status", O_RDONLY));
    ssize_t got = OK(read(fd, buffer, sizeof(buffer) - 1));

    CHECK(got > 100 && strncmp(buffer, "Name:\tfds\n", 10) == 0);
    CHECK_EQ(OK(pread(fd, again, (size_t)got, 0)), got);
    CHECK(strncmp(buffer, again, 10) == 0);
    OK(lseek(fd, 0, SEEK_SET));
    CHECK_EQ(OK(read(fd, buffer, 5)), 5);
    CHECK_EQ(OK(read(fd, buffer, 1)), 1);
    CHECK_EQ(buffer[0], '\t');
    OK(dup2(fd, 40));
    OK(lseek(40, 0, SEEK_SET));
    CHECK_EQ(OK(read(40, buffer, 4)), 4);
    CHECK(memcmp(buffer, "Name", 4) == 0);
}

static void generated_file_in_a_child(void)
{
    char buffer[32] = "";
    int fd = (int)OK(open("/proc/version", O_RDONLY));
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        CHECK(read(fd, buffer, 13) == 13);
        CHECK_TEXT(buffer, "Linux version");
        _exit(0);
    }
    guest_join(pid);
    OK(lseek(fd, 0, SEEK_SET));
    CHECK_EQ(read(fd, buffer, 13), 13);
    CHECK_TEXT(buffer, "Linux version");
}

static void vectors(void)
{
    char first[3];
    char second[4];
    struct iovec parts[2] = {{first, 3}, {second, 4}};
    int fd = (int)OK(open("file", O_RDWR | O_CREAT, 0666));

    CHECK_EQ(pwrite(fd, "0123456789", 10, 0), 10);
    CHECK_EQ(readv(fd, parts, 2), 7);
    CHECK(memcmp(second, "3456", 4) == 0);
    CHECK_EQ(preadv(fd, parts, 2, 5), 5);
    memcpy(first, "abc", 3);
    memcpy(second, "defg", 4);
    CHECK_EQ(pwritev(fd, parts, 2, 1), 7);
    guest_content("file", "0abcdefg89");
}

static void lowered_limit(void)
{
    char *out;

    /* A program that lowers its limit of descriptors still works in all other ways. */
    out = guest_output((char *[]){"/bin/sh", "-c",
                                  "ulimit -n 64; cat /proc/self/comm; cat /dev/null; ls /proc/self/"
                                  "fd >/dev/null && echo listed; head -c 3 /proc/version",
                                  NULL},
                       NULL);
    CHECK_TEXT(out, "cat\nlisted\nLin");
}

/* There is nothing that could be done with its object, whatever it is. */
static void path_only(void)
{
    int fd = (int)OK(open("/", O_PATH));

    FAILS(accept(fd, NULL, NULL), EBADF);
    FAILS(accept4(fd, NULL, NULL, SOCK_CLOEXEC), EBADF);
    FAILS(readahead(fd, 0, 4096), EBADF);
}

static void sockets_that_cannot_be(void)
{
    int pair[2], fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));

    FAILS(socket(AF_INET, 75, 0), EINVAL);
    FAILS(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    FAILS(socketpair(AF_INET, 75, 0, pair), EINVAL);
    FAILS(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, pair), EPROTONOSUPPORT);
    FAILS(socketpair(AF_INET, SOCK_STREAM, IPPROTO_TCP, pair), EOPNOTSUPP);
    FAILS(ioctl(fd, SIOCSIFFLAGS, NULL), EFAULT);
}

/* Below the first mapping there is nothing for anybody. */
static void low_addresses(void)
{
    FAILS(mprotect((void *)0x4000, 4096, PROT_READ), ENOMEM);
    FAILS(madvise((void *)0x4000, 4096, MADV_NORMAL), ENOMEM);
    CHECK(mremap((void *)0x4000, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, EFAULT);
    CHECK(mremap((void *)0x4001, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
}

static const struct guest_case cases[] = {
    {"copies", copies},
    {"path-only", path_only},
    {"sockets-that-cannot-be", sockets_that_cannot_be},
    {"low-addresses", low_addresses},
    {"high-numbers", high_numbers},
    {"offsets-are-shared-by-fork", offsets_are_shared_by_fork},
    {"passing-between-processes", passing_between_processes},
    {"waiting", waiting},
    {"sealed-memory", sealed_memory},
    {"process-descriptors", process_descriptors},
    {"list-of-own", list_of_own},
    {"generated-files", generated_files},
    {"generated-file-in-a-child", generated_file_in_a_child},
    {"vectors", vectors},
    {"lowered-limit", lowered_limit},
};

GUEST_MAIN(cases)

/*
 * The test device, a ring of bytes that the process kernel serves: read, write, ioctl, poll, epoll,
 * mmap. Only with `cerebro run --test-device`; natively every case is skipped.
 */
#include "guest.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vfs/dev-test.h"

#define NODE "/dev/cerebro-test"

static int open_empty(int flags)
{
    int fd = open(NODE, flags);

    if (fd < 0 && errno == ENOENT)
        guest_skip("there is no test device");
    OK(fd);
    OK(ioctl(fd, DEV_TEST_RESET));
    return fd;
}

static uint32_t used(int fd)
{
    uint32_t count = 12345;

    OK(ioctl(fd, DEV_TEST_USED, &count));
    return count;
}

static void node(void)
{
    struct stat by_name;
    struct stat by_fd;
    int fd = open_empty(O_RDWR);

    OK(stat(NODE, &by_name));
    CHECK(S_ISCHR(by_name.st_mode));
    CHECK(by_name.st_rdev != 0);
    OK(fstat(fd, &by_fd));
    CHECK_EQ(by_fd.st_rdev, by_name.st_rdev);
    CHECK_EQ(by_fd.st_mode, by_name.st_mode);
    CHECK_TEXT(guest_link(guest_format("/proc/self/fd/%d", fd)), NODE);
    FAILS(open(NODE "/x", O_RDONLY), ENOTDIR);
}

static void bytes_through_it(void)
{
    char bytes[16] = "";
    struct iovec parts[2] = {{bytes, 2}, {bytes + 2, 3}};
    int fd = open_empty(O_RDWR | O_NONBLOCK);

    FAILS(read(fd, bytes, 1), EAGAIN);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(used(fd), 5);
    CHECK_EQ(read(fd, bytes, 3), 3);
    CHECK_EQ(read(fd, bytes + 3, 10), 2);
    CHECK_TEXT(bytes, "hello");
    CHECK_EQ(writev(fd, (struct iovec[]){{"ab", 2}, {"cde", 3}}, 2), 5);
    CHECK_EQ(readv(fd, parts, 2), 5);
    CHECK(memcmp(bytes, "abcde", 5) == 0);
    FAILS(lseek(fd, 0, SEEK_SET), ESPIPE);
}

static void full(void)
{
    char bytes[DEV_TEST_SIZE + 100] = "";
    int fd = open_empty(O_RDWR | O_NONBLOCK);

    CHECK_EQ(write(fd, bytes, sizeof(bytes)), DEV_TEST_SIZE);
    FAILS(write(fd, "x", 1), EAGAIN);
    CHECK_EQ(read(fd, bytes, 100), 100);
    CHECK_EQ(write(fd, bytes, 200), 100);
    OK(ioctl(fd, DEV_TEST_RESET));
    CHECK_EQ(used(fd), 0);
}

static void access_modes(void)
{
    char byte;
    int reader = open_empty(O_RDONLY);
    int writer = (int)OK(open(NODE, O_WRONLY));

    FAILS(write(reader, "x", 1), EBADF);
    FAILS(read(writer, &byte, 1), EBADF);
    CHECK_EQ(write(writer, "x", 1), 1);
    CHECK_EQ(read(reader, &byte, 1), 1);
}

static void commands(void)
{
    struct dev_test_sum sum = {.a = 4000000000U, .b = 4000000000U, .text = "upper Case"};
    int fd = open_empty(O_RDWR);

    OK(ioctl(fd, DEV_TEST_SUM, &sum));
    CHECK_EQ(sum.sum, 8000000000LL);
    CHECK_TEXT(sum.text, "UPPER CASE");
    memset(sum.text, 'q', sizeof(sum.text));
    OK(ioctl(fd, DEV_TEST_SUM, &sum));
    CHECK_EQ(sum.text[15], 'Q');
    FAILS(ioctl(fd, DEV_TEST_SUM, (void *)8), EFAULT);
    FAILS(ioctl(fd, DEV_TEST_USED, NULL), EFAULT);
    FAILS(ioctl(fd, _IO('C', 0xef)), ENOTTY);
}

static void waiting_by_poll(void)
{
    int fd = open_empty(O_RDWR);
    struct pollfd poll_fd = {fd, POLLIN | POLLOUT, 0};
    char bytes[DEV_TEST_SIZE] = "";
    fd_set set;
    struct timeval soon = {5, 0};

    CHECK_EQ(poll(&poll_fd, 1, 0), 1);
    CHECK_EQ(poll_fd.revents, POLLOUT);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(poll(&poll_fd, 1, 1000), 1);
    CHECK_EQ(poll_fd.revents, POLLIN | POLLOUT);
    CHECK_EQ(write(fd, bytes, sizeof(bytes)), DEV_TEST_SIZE - 1);
    CHECK_EQ(poll(&poll_fd, 1, 1000), 1);
    CHECK_EQ(poll_fd.revents, POLLIN);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    CHECK_EQ(select(fd + 1, &set, NULL, NULL, &soon), 1);
    CHECK_EQ(read(fd, bytes, sizeof(bytes)), DEV_TEST_SIZE);
    CHECK_EQ(poll(&poll_fd, 1, 1000), 1);
    CHECK_EQ(poll_fd.revents, POLLOUT);
}

static void write_late(void *argument)
{
    int fd = (int)OK(open(NODE, O_WRONLY));

    guest_sleep_ms((unsigned)(long)argument);
    CHECK_EQ(write(fd, "late", 4), 4);
}

static void waiting_by_epoll(void)
{
    int fd = open_empty(O_RDWR);
    int epoll = (int)OK(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t start = guest_now_ns();
    pid_t pid;

    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    CHECK_EQ(OK(epoll_wait(epoll, &event, 1, 0)), 0);
    pid = guest_fork(write_late, (void *)100);
    CHECK_EQ(OK(epoll_wait(epoll, &event, 1, 5000)), 1);
    CHECK(guest_now_ns() - start > 80 * 1000000ULL);
    guest_join(pid);
}

static void waiting_in_read(void)
{
    char bytes[8] = "";
    int fd = open_empty(O_RDWR);
    uint64_t start = guest_now_ns();
    pid_t pid = guest_fork(write_late, (void *)100);

    CHECK_EQ(read(fd, bytes, sizeof(bytes)), 4);
    CHECK(guest_now_ns() - start > 80 * 1000000ULL);
    CHECK_TEXT(bytes, "late");
    guest_join(pid);
}

static void on_alarm(int number)
{
    (void)number;
}

static void interrupted(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    char byte;
    int fd = open_empty(O_RDWR);

    OK(sigaction(SIGALRM, &action, NULL));
    alarm(1);
    FAILS(read(fd, &byte, 1), EINTR);
}

static void killed_while_waiting(void)
{
    int fd = open_empty(O_RDWR);
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        char byte;

        read(fd, &byte, 1);
        _exit(1);
    }
    guest_sleep_ms(100);
    OK(kill(pid, SIGTERM));
    CHECK_EQ(guest_wait(pid), SIGTERM);
}

static void mapped(void)
{
    int fd = open_empty(O_RDWR);
    char bytes[8] = "";
    char *memory = mmap(NULL, DEV_TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    CHECK(memory != MAP_FAILED);
    CHECK_EQ(write(fd, "abcdef", 6), 6);
    CHECK(memmem(memory, DEV_TEST_SIZE, "abcdef", 6) != NULL);
    *(char *)memmem(memory, DEV_TEST_SIZE, "abcdef", 6) = 'X';
    CHECK_EQ(read(fd, bytes, 6), 6);
    CHECK_TEXT(bytes, "Xbcdef");
    OK(munmap(memory, DEV_TEST_SIZE));
    CHECK(mmap(NULL, DEV_TEST_SIZE, PROT_READ, MAP_SHARED, fd, 1 << 20) == MAP_FAILED);
}

static void *thread_writer(void *argument)
{
    int fd = *(int *)argument;

    for (int i = 0; i < 300; i++)
        CHECK_EQ(write(fd, "0123456789", 10), 10);
    return NULL;
}

static void threads(void)
{
    int fd = open_empty(O_RDWR);
    pthread_t writer;
    size_t total = 0;

    CHECK_EQ(pthread_create(&writer, NULL, thread_writer, &fd), 0);
    while (total < 3000) {
        char bytes[64];

        total += (size_t)OK(read(fd, bytes, sizeof(bytes)));
    }
    CHECK_EQ(pthread_join(writer, NULL), 0);
    CHECK_EQ(total, 3000);
}

static void shared_with_children(void)
{
    char bytes[8] = "";
    int fd = open_empty(O_RDWR);
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        _exit(write(fd, "child", 5) != 5);
    CHECK_EQ(read(fd, bytes, sizeof(bytes)), 5);
    CHECK_TEXT(bytes, "child");
    guest_join(pid);
}

static void mapping_rules(void)
{
    int fd = open_empty(O_RDWR);
    int reader = (int)OK(open(NODE, O_RDONLY));
    char *shared = mmap(NULL, DEV_TEST_SIZE, PROT_READ, MAP_SHARED, reader, 0);
    char *private = mmap(NULL, DEV_TEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);

    CHECK(shared != MAP_FAILED && private != MAP_FAILED);
    CHECK(mmap(NULL, DEV_TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED);
    CHECK_EQ(errno, EACCES);
    FAILS(mprotect(shared, DEV_TEST_SIZE, PROT_READ | PROT_WRITE), EACCES);
    memset(private, 'p', DEV_TEST_SIZE); /* the guest's own copy */
    CHECK_EQ(write(fd, "device", 6), 6);
    CHECK(memmem(shared, DEV_TEST_SIZE, "device", 6) != NULL);
    CHECK(memmem(private, DEV_TEST_SIZE, "device", 6) == NULL);
    OK(close(fd));
    OK(close(reader));
    CHECK(memmem(shared, DEV_TEST_SIZE, "device", 6) != NULL); /* outlives its descriptor */
}

static void duplicates(void)
{
    char bytes[8] = "";
    int fd = open_empty(O_RDWR);
    int copy = (int)OK(dup(fd));
    int high = (int)OK(fcntl(fd, F_DUPFD_CLOEXEC, 100));
    int flags = (int)OK(fcntl(copy, F_GETFL));

    CHECK_EQ(flags & O_ACCMODE, O_RDWR);
    CHECK_EQ(OK(fcntl(high, F_GETFD)), FD_CLOEXEC);
    /* One open file: what is set on one is set on all. */
    OK(fcntl(copy, F_SETFL, flags | O_NONBLOCK));
    FAILS(read(fd, bytes, 1), EAGAIN);
    FAILS(read(high, bytes, 1), EAGAIN);
    OK(close(fd));
    CHECK_EQ(write(copy, "still", 5), 5);
    CHECK_EQ(used(high), 5);
    CHECK_EQ(read(high, bytes, sizeof(bytes)), 5);
    CHECK_TEXT(bytes, "still");
}

static void bad_arguments(void)
{
    char bytes[8] = "";
    int fd = open_empty(O_RDWR | O_NONBLOCK);

    CHECK_EQ(read(fd, bytes, 0), 0);
    CHECK_EQ(write(fd, bytes, 0), 0);
    CHECK_EQ(write(fd, "kept", 4), 4);
    FAILS(read(fd, (void *)8, 4), EFAULT);
    FAILS(write(fd, (void *)8, 4), EFAULT);
    FAILS(pread(fd, bytes, 4, 0), ESPIPE);
    FAILS(pwrite(fd, "x", 1, 0), ESPIPE);
    FAILS(ftruncate(fd, 0), EINVAL);
    FAILS(fchdir(fd), ENOTDIR);
}

static void passed_in_a_message(void)
{
    int fd = open_empty(O_RDWR);
    int pair[2];
    pid_t pid;

    CHECK_EQ(write(fd, "here", 4), 4);
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        char byte;
        struct iovec data = {&byte, 1};
        char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
        struct msghdr message = {.msg_iov = &data,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        int got = -1;

        OK(close(fd));
        if (recvmsg(pair[1], &message, 0) == 1 && CMSG_FIRSTHDR(&message))
            memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(got));
        CHECK_EQ(used(got), 4);
        CHECK_EQ(write(got, " there", 6), 6);
        _exit(0);
    }
    {
        char byte = 'x';
        struct iovec data = {&byte, 1};
        char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
        struct msghdr message = {.msg_iov = &data,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
        CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
    }
    guest_join(pid);
    CHECK_EQ(used(fd), 10);
}

static const struct guest_case cases[] = {
    {"node", node},
    {"bytes-through-it", bytes_through_it},
    {"full", full},
    {"access-modes", access_modes},
    {"commands", commands},
    {"waiting-by-poll", waiting_by_poll},
    {"waiting-by-epoll", waiting_by_epoll},
    {"waiting-in-read", waiting_in_read},
    {"interrupted", interrupted},
    {"killed-while-waiting", killed_while_waiting},
    {"mapped", mapped},
    {"threads", threads},
    {"shared-with-children", shared_with_children},
    {"mapping-rules", mapping_rules},
    {"duplicates", duplicates},
    {"bad-arguments", bad_arguments},
    {"passed-in-a-message", passed_in_a_message},
};

GUEST_MAIN(cases)

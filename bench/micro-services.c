/* micro-services.c - signals, threads, memory, locks, System V and POSIX IPC, sockets. */
#define _GNU_SOURCE 1

#include "micro.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOUCHED_PAGES = 16, PAGE = 4096 };

static void no_set_up(struct micro_state *state)
{
    (void)state;
}

static void close_fd(struct micro_state *state)
{
    close(state->fd);
}

static _Noreturn void die_of(const char *what)
{
    micro_die("%s: %s", what, strerror(errno));
}

/* ---- signals and threads ---- */

static void ignore_it(int number)
{
    (void)number;
}

static void handle_usr1(struct micro_state *state)
{
    struct sigaction action = {.sa_handler = ignore_it};
    (void)state;
    if (sigaction(SIGUSR1, &action, NULL))
        die_of("sigaction");
}

static void run_signal(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--)
        if (raise(SIGUSR1))
            die_of("raise");
}

static void *end_at_once(void *argument)
{
    return argument;
}

static void run_thread(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, end_at_once, NULL);
        if (error)
            micro_die("pthread_create: %s", strerror(error));
        pthread_join(thread, NULL);
    }
}

/* ---- memory ---- */

static void run_page_faults(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--) {
        volatile char *memory = mmap(NULL, (size_t)TOUCHED_PAGES * PAGE, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            die_of("mmap");
        for (int i = 0; i < TOUCHED_PAGES; i++)
            memory[i * PAGE] = 1;
        munmap((void *)memory, (size_t)TOUCHED_PAGES * PAGE);
    }
}

static void run_brk(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--)
        if (sbrk(PAGE) == (void *)-1 || sbrk(-PAGE) == (void *)-1)
            die_of("sbrk");
}

/* ---- descriptors and locks ---- */

static void make_eventfd(struct micro_state *state)
{
    state->fd = eventfd(0, EFD_CLOEXEC);
    if (state->fd < 0)
        die_of("eventfd");
}

static void run_eventfd(struct micro_state *state, uint64_t count)
{
    uint64_t one = 1;
    while (count--)
        if (write(state->fd, &one, sizeof(one)) != (ssize_t)sizeof(one) ||
            read(state->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
            die_of("eventfd");
}

static void make_epoll(struct micro_state *state)
{
    struct epoll_event event = {.events = EPOLLOUT};
    state->fd = epoll_create1(EPOLL_CLOEXEC);
    state->to_child[0] = eventfd(0, EFD_CLOEXEC);
    if (state->fd < 0 || epoll_ctl(state->fd, EPOLL_CTL_ADD, state->to_child[0], &event))
        die_of("epoll");
}

static void run_epoll(struct micro_state *state, uint64_t count)
{
    struct epoll_event event;
    while (count--)
        if (epoll_wait(state->fd, &event, 1, -1) != 1)
            die_of("epoll_wait");
}

static void close_epoll(struct micro_state *state)
{
    close(state->to_child[0]);
    close(state->fd);
}

static void open_lock_file(struct micro_state *state)
{
    micro_join(state->path, state->work, "locked");
    state->fd = open(state->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (state->fd < 0)
        die_of(state->path);
}

static void remove_lock_file(struct micro_state *state)
{
    close(state->fd);
    unlink(state->path);
}

static void run_flock(struct micro_state *state, uint64_t count)
{
    while (count--)
        if (flock(state->fd, LOCK_EX) || flock(state->fd, LOCK_UN))
            die_of("flock");
}

static void run_posix_lock(struct micro_state *state, uint64_t count)
{
    struct flock lock = {.l_whence = SEEK_SET, .l_len = 1};
    while (count--) {
        lock.l_type = F_WRLCK;
        if (fcntl(state->fd, F_SETLK, &lock))
            die_of("F_SETLK");
        lock.l_type = F_UNLCK;
        fcntl(state->fd, F_SETLK, &lock);
    }
}

/* ---- System V and POSIX IPC: fd holds the identifier ---- */

static void make_semaphore(struct micro_state *state)
{
    state->fd = semget(IPC_PRIVATE, 1, 0600);
    if (state->fd < 0)
        die_of("semget");
}

static void run_semaphore(struct micro_state *state, uint64_t count)
{
    struct sembuf up = {.sem_op = 1};
    struct sembuf down = {.sem_op = -1};
    while (count--)
        if (semop(state->fd, &up, 1) || semop(state->fd, &down, 1))
            die_of("semop");
}

static void remove_semaphore(struct micro_state *state)
{
    semctl(state->fd, 0, IPC_RMID);
}

static void make_queue(struct micro_state *state)
{
    state->fd = msgget(IPC_PRIVATE, 0600);
    if (state->fd < 0)
        die_of("msgget");
}

static void run_queue(struct micro_state *state, uint64_t count)
{
    struct {
        long type;
        char text[64];
    } message = {.type = 1};
    while (count--)
        if (msgsnd(state->fd, &message, sizeof(message.text), 0) ||
            msgrcv(state->fd, &message, sizeof(message.text), 0, 0) < 0)
            die_of("message queue");
}

static void remove_queue(struct micro_state *state)
{
    msgctl(state->fd, IPC_RMID, NULL);
}

static void open_posix_queue(struct micro_state *state)
{
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 64};
    state->fd = mq_open("/cerebro-bench", O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes);
    if (state->fd < 0)
        die_of("mq_open");
    mq_unlink("/cerebro-bench");
}

static void run_posix_queue(struct micro_state *state, uint64_t count)
{
    char text[64] = "";
    while (count--)
        if (mq_send(state->fd, text, sizeof(text), 0) ||
            mq_receive(state->fd, text, sizeof(text), NULL) < 0)
            die_of("POSIX message queue");
}

/* ---- sockets: a byte there and back, both sides in one thread, so that no wake-up counts ---- */

static void make_socket_pair(struct micro_state *state)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, state->to_child))
        die_of("socketpair");
}

static void run_socket(struct micro_state *state, uint64_t count)
{
    char byte = 'x';
    while (count--)
        if (write(state->to_child[0], &byte, 1) != 1 || read(state->to_child[1], &byte, 1) != 1)
            die_of("socket");
}

static void close_sockets(struct micro_state *state)
{
    close(state->to_child[0]);
    close(state->to_child[1]);
}

static void listen_on_loopback(struct micro_state *state, struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    state->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (state->fd < 0 || bind(state->fd, (struct sockaddr *)address, size) ||
        listen(state->fd, 1) || getsockname(state->fd, (struct sockaddr *)address, &size))
        die_of("listen on 127.0.0.1");
}

static void make_tcp_pair(struct micro_state *state)
{
    struct sockaddr_in address;
    listen_on_loopback(state, &address);
    state->to_child[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(state->to_child[0], (struct sockaddr *)&address, sizeof(address)))
        die_of("connect to 127.0.0.1");
    state->to_child[1] = accept4(state->fd, NULL, NULL, SOCK_CLOEXEC);
    if (state->to_child[1] < 0)
        die_of("accept");
    close(state->fd);
}

const struct micro micro_services[] = {
    {"signal", "raise and handle a signal", handle_usr1, run_signal, no_set_up},
    {"thread", "make a thread and join it", no_set_up, run_thread, no_set_up},
    {"page-faults", "map, touch and unmap 16 pages", no_set_up, run_page_faults, no_set_up},
    {"brk", "move the break up and down", no_set_up, run_brk, no_set_up},
    {"eventfd", "write and read", make_eventfd, run_eventfd, close_fd},
    {"epoll", "epoll_wait, one is ready", make_epoll, run_epoll, close_epoll},
    {"flock", "lock and unlock a file", open_lock_file, run_flock, remove_lock_file},
    {"posix-lock", "the same with F_SETLK", open_lock_file, run_posix_lock, remove_lock_file},
    {"sysv-sem", "semop up and down", make_semaphore, run_semaphore, remove_semaphore},
    {"sysv-queue", "msgsnd and msgrcv, 64 bytes", make_queue, run_queue, remove_queue},
    {"posix-queue", "mq_send and mq_receive, 64 bytes", open_posix_queue, run_posix_queue,
     close_fd},
    {"unix-socket", "a byte through a pair of AF_UNIX", make_socket_pair, run_socket,
     close_sockets},
    {"tcp-socket", "a byte through TCP on 127.0.0.1", make_tcp_pair, run_socket, close_sockets},
    {NULL, NULL, NULL, NULL, NULL},
};

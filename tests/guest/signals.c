/* Signals and what they interrupt. */
#include "guest.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static sigjmp_buf way_out;

static void note(int number)
{
    (void)number;
    count++;
}

static void install(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    OK(sigaction(number, &action, NULL));
}

static void after(unsigned microseconds)
{
    struct itimerval timer = {.it_value = {0, microseconds}};

    OK(setitimer(ITIMER_REAL, &timer, NULL));
}

static void interrupted_read(void)
{
    char byte;
    int ends[2];

    OK(pipe(ends));
    install(SIGALRM, note, 0);
    after(50000);
    FAILS(read(ends[0], &byte, 1), EINTR);
    CHECK_EQ(count, 1);
}

static void write_from_handler(int number);
static int pipe_ends[2];

static void write_from_handler(int number)
{
    (void)number;
    write(pipe_ends[1], "x", 1);
}

static void restarted_read(void)
{
    char byte = 0;

    OK(pipe(pipe_ends));
    install(SIGALRM, write_from_handler, SA_RESTART);
    after(50000);
    CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
}

static void jump(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

static void recovered_fault(void)
{
    install(SIGSEGV, jump, 0);
    for (int i = 0; i < 10; i++) {
        if (sigsetjmp(way_out, 1) == 0) {
            *(volatile int *)8 = 1;
            FAIL("writing to address 8 worked");
        }
        count++;
    }
    CHECK_EQ(count, 10);
}

static void on_other_stack(int number)
{
    char here;

    (void)number;
    count = (uintptr_t)&here >> 40 ? 2 : 1;
}

static void alternate_stack(void)
{
    stack_t stack = {.ss_size = 65536};

    stack.ss_sp = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(sigaltstack(&stack, NULL));
    install(SIGUSR1, on_other_stack, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(count != 0);
}

static void open_in_handler(int number)
{
    int fd = open("file", O_RDONLY);

    (void)number;
    if (fd >= 0) {
        count++;
        close(fd);
    }
}

/* A served call in a handler that interrupted a served call. */
static void calls_in_handlers(void)
{
    struct itimerval often = {{0, 200}, {0, 200}};
    struct stat stat_buf;

    guest_write("file", "x");
    install(SIGALRM, open_in_handler, SA_RESTART);
    OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int i = 0; i < 5000; i++) {
        OK(stat("file", &stat_buf));
        OK(close((int)OK(open("/proc/self/comm", O_RDONLY))));
    }
    CHECK(count > 10);
}

static void jumping_out_of_calls(void)
{
    struct stat stat_buf;

    guest_write("file", "x");
    install(SIGALRM, jump, SA_NODEFER);
    for (int i = 0; i < 300; i++) {
        if (sigsetjmp(way_out, 1) == 0) {
            after((unsigned)(50 + i));
            for (;;)
                stat("file", &stat_buf);
        }
        count++;
    }
    CHECK_EQ(count, 300);
    guest_content("file", "x");
}

static void order_of_real_time_signals(void)
{
    sigset_t set;
    siginfo_t info;
    union sigval value = {.sival_int = 1};

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    OK(sigqueue(getpid(), SIGRTMIN + 2, value));
    OK(sigqueue(getpid(), SIGRTMIN + 1, value));
    value.sival_int = 2;
    OK(sigqueue(getpid(), SIGRTMIN + 1, value));
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGRTMIN + 2);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    CHECK_EQ(info.si_value.sival_int, 1);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    CHECK_EQ(info.si_value.sival_int, 2);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 2);
}

static void signal_descriptor(void)
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = (int)OK(signalfd(-1, &set, 0));
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR1);
}

static void timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec soon = {.it_value = {0, 10000000}};
    struct timespec wait_time = {5, 0};
    timer_t id;

    install(SIGUSR2, note, 0);
    OK(timer_create(CLOCK_MONOTONIC, &event, &id));
    OK(timer_settime(id, 0, &soon, NULL));
    FAILS(nanosleep(&wait_time, &wait_time), EINTR);
    CHECK_EQ(count, 1);
    OK(timer_delete(id));
}

static void suspended(void)
{
    sigset_t block;
    sigset_t none;
    struct pollfd nothing_fd = {-1, 0, 0};
    struct timespec limit = {5, 0};

    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    install(SIGUSR1, note, 0);
    raise(SIGUSR1);
    CHECK_EQ(count, 0);
    FAILS(sigsuspend(&none), EINTR);
    CHECK_EQ(count, 1);
    raise(SIGUSR1);
    FAILS(ppoll(&nothing_fd, 1, &limit, &none), EINTR);
    CHECK_EQ(count, 2);
}

static void broken_pipe(void)
{
    int ends[2];
    pid_t pid;

    OK(pipe(ends));
    OK(close(ends[0]));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        write(ends[1], "x", 1);
        _exit(0);
    }
    CHECK_EQ(WTERMSIG(guest_wait(pid)), SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    FAILS(write(ends[1], "x", 1), EPIPE);
}

static void children_are_reported(void)
{
    install(SIGCHLD, note, SA_RESTART);
    for (int i = 0; i < 20; i++) {
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0)
            _exit(i);
        CHECK_EQ(guest_wait(pid), i << 8);
    }
    CHECK(count >= 10);
    signal(SIGCHLD, SIG_IGN);
    CHECK(OK(fork()) == 0 ? (_exit(0), 0) : 1);
    FAILS(wait(NULL), ECHILD);
}

static void aborted(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0)
        abort();
    CHECK_EQ(WTERMSIG(guest_wait(pid)), SIGABRT);
}

static void default_actions(void)
{
    static const int deadly[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGVTALRM, 34, 64};

    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            raise(deadly[i]);
            _exit(0);
        }
        CHECK_EQ(WTERMSIG(guest_wait(pid)), deadly[i]);
    }
    raise(SIGWINCH);
    raise(SIGCONT);
    raise(SIGURG);
}

static const struct guest_case cases[] = {
    {"interrupted-read", interrupted_read},
    {"restarted-read", restarted_read},
    {"recovered-fault", recovered_fault},
    {"alternate-stack", alternate_stack},
    {"calls-in-handlers", calls_in_handlers},
    {"jumping-out-of-calls", jumping_out_of_calls},
    {"order-of-real-time-signals", order_of_real_time_signals},
    {"signal-descriptor", signal_descriptor},
    {"timer", timer},
    {"suspended", suspended},
    {"broken-pipe", broken_pipe},
    {"children-are-reported", children_are_reported},
    {"aborted", aborted},
    {"default-actions", default_actions},
};

GUEST_MAIN(cases)

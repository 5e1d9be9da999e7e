/*
 * What a kernel is attached to in tests: programs that notice when anything is not as natively.
 * They print "ready" when they are. `attach-target MODE`:
 *
 * - busy: threads that call, open, and send bytes around;
 * - threads: threads that start and end threads;
 * - forks: threads that fork, and their children exec themselves;
 * - storm: threads under timers with handlers;
 * - vfork: busy, and one thread waits in vfork();
 * - headless: busy, when the first thread has ended;
 * - filtered: busy, with a seccomp filter of its own;
 * - read, poll, ppoll, nanosleep, futex, epoll, sigtimedwait, sigsuspend, connect: one call that
 * takes 700 ms;
 * - int80: prints how a 32-bit getppid() ends: "fine", "ENOSYS"; or "none" where there is none.
 *
 * SIGTERM ends those with threads. Exit status 0: all was right; 1 with a line on stderr: what was
 * not.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define WAIT_MS 700

static atomic_bool ending;
static pid_t parent;

static void fail(const char *what)
{
    dprintf(STDERR_FILENO, "attach-target: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void ready(void)
{
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        fail("ready");
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void round_of_calls(int ends[2], unsigned char number)
{
    unsigned char got = 0;
    int fd;

    if (syscall(SYS_getppid) != parent)
        fail("getppid");
    fd = open("/dev/null", O_RDONLY);
    if (fd < 0)
        fail("open");
    if (close(fd) < 0)
        fail("close");
    if (write(ends[1], &number, 1) != 1)
        fail("write");
    if (read(ends[0], &got, 1) != 1 || got != number)
        fail("read");
}

static void *busy(void *argument)
{
    struct timespec nap = {.tv_nsec = 50000};
    int ends[2];

    (void)argument;
    if (pipe(ends) < 0)
        fail("pipe");
    for (unsigned i = 0; !atomic_load(&ending); i++) {
        round_of_calls(ends, (unsigned char)i);
        if (i % 64 == 0 && nanosleep(&nap, NULL) < 0)
            fail("nanosleep");
    }
    return NULL;
}

static void run_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    sigset_t set;
    int signal;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, NULL))
            fail("pthread_create");
    ready();
    if (sigwait(&set, &signal))
        fail("sigwait");
    atomic_store(&ending, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *go_on_alone(void *argument)
{
    (void)argument;
    run_threads(busy);
    _exit(0);
}

static void end_first_thread(void)
{
    pthread_t thread;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, go_on_alone, NULL))
        fail("pthread_create");
    pthread_exit(NULL);
}

static void *nothing(void *argument)
{
    return argument;
}

static void *start_threads(void *argument)
{
    while (!atomic_load(&ending)) {
        pthread_t thread;
        void *result = NULL;
        int mark = 0;

        if (pthread_create(&thread, NULL, nothing, &mark))
            fail("pthread_create");
        pthread_join(thread, &result);
        if (result != &mark)
            fail("thread");
    }
    return argument;
}

static void *start_processes(void *argument)
{
    while (!atomic_load(&ending)) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            execl("/proc/self/exe", "attach-target", "child", NULL);
            _exit(9);
        }
        if (pid < 0)
            fail("fork");
        while (waitpid(pid, &status, 0) < 0)
            fail("waitpid");
        if (status != 7 << 8)
            fail("child");
    }
    return argument;
}

/* The parent sleeps where no signal but a deadly one reaches it. */
static void *wait_in_vfork(void *argument)
{
    struct timespec nap = {.tv_sec = 1};

    while (!atomic_load(&ending)) {
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0L);
        int status;

        if (pid == 0) {
            nanosleep(&nap, NULL);
            _exit(7);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 7 << 8)
            fail("vfork");
    }
    return argument;
}

static void *vfork_or_busy(void *argument)
{
    static atomic_int number;

    return atomic_fetch_add(&number, 1) == 0 ? wait_in_vfork(argument) : busy(argument);
}

static atomic_ulong signals;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals, 1);
}

static void *under_signals(void *argument)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec every = {.it_interval = {.tv_nsec = 300000}, .it_value = {.tv_nsec = 1}};
    timer_t timer;
    int ends[2];

    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (pipe(ends) < 0 || timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
        timer_settime(timer, 0, &every, NULL) < 0)
        fail("timer");
    for (unsigned i = 0; !atomic_load(&ending); i++)
        round_of_calls(ends, (unsigned char)i);
    timer_delete(timer);
    return argument;
}

static void set_own_filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = 1, .filter = &allow};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        fail("filter");
}

/* ---- calls of another architecture ---- */

static void say(const char *word)
{
    if (write(STDOUT_FILENO, word, strlen(word)) < 0)
        fail("say");
}

static void on_fault(int number)
{
    (void)number;
    say("none\n");
    _exit(0);
}

static void call_32_bit(void)
{
    struct timespec nap = {.tv_nsec = 5000000};

    signal(SIGSEGV, on_fault);
    for (;;) {
        long result = 64; /* getppid */

        __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
        say((int)result == -ENOSYS ? "ENOSYS\n" : (int)result == parent ? "fine\n" : "wrong\n");
        nanosleep(&nap, NULL);
    }
}

/* ---- calls that wait ---- */

static void *write_later(void *argument)
{
    struct timespec nap = {.tv_nsec = WAIT_MS * 1000000L};

    nanosleep(&nap, NULL);
    if (write(*(int *)argument, "x", 1) != 1)
        fail("write");
    return NULL;
}

/* With a time limit of its socket, which the host answers with EINTR after any interruption. */
static int connect_to_full(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_usec = WAIT_MS * 1000};
    socklen_t length = sizeof(address);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    int first = socket(AF_UNIX, SOCK_STREAM, 0);
    int second = socket(AF_UNIX, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&address, sizeof(address.sun_family)) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
        listen(listener, 0) < 0 || connect(first, (struct sockaddr *)&address, length) < 0 ||
        setsockopt(second, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        fail("socket");
    return connect(second, (struct sockaddr *)&address, length);
}

static void wait_in(const char *call)
{
    struct timespec time = {.tv_nsec = WAIT_MS * 1000000L};
    struct epoll_event event;
    pthread_t thread;
    sigset_t set;
    int word = 0;
    int ends[2];
    char byte;

    if (strcmp(call, "read") == 0) {
        if (pipe(ends) < 0 || pthread_create(&thread, NULL, write_later, &ends[1]))
            fail("pipe");
        if (read(ends[0], &byte, 1) != 1 || byte != 'x')
            fail("read");
    } else if (strcmp(call, "poll") == 0) {
        if (poll(NULL, 0, WAIT_MS) != 0)
            fail("poll");
    } else if (strcmp(call, "sigsuspend") == 0 || strcmp(call, "ppoll") == 0) {
        /* A signal that only the call itself lets through. */
        struct itimerval later = {.it_value = {.tv_usec = WAIT_MS * 1000}};

        sigemptyset(&set);
        sigaddset(&set, SIGALRM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGALRM, on_signal);
        setitimer(ITIMER_REAL, &later, NULL);
        sigemptyset(&set);
        if ((call[0] == 's' ? sigsuspend(&set) : ppoll(NULL, 0, NULL, &set)) != -1 ||
            errno != EINTR || atomic_load(&signals) != 1)
            fail(call);
        sigprocmask(SIG_BLOCK, NULL, &set);
        if (!sigismember(&set, SIGALRM))
            fail("mask");
    } else if (strcmp(call, "nanosleep") == 0) {
        if (nanosleep(&time, NULL) != 0)
            fail("nanosleep");
    } else if (strcmp(call, "futex") == 0) {
        if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time) == 0 || errno != ETIMEDOUT)
            fail("futex");
    } else if (strcmp(call, "epoll") == 0) {
        if (epoll_wait(epoll_create1(0), &event, 1, WAIT_MS) != 0)
            fail("epoll");
    } else if (strcmp(call, "connect") == 0) {
        if (connect_to_full() == 0 || errno != EAGAIN)
            fail("connect");
    } else if (strcmp(call, "sigtimedwait") == 0) {
        sigfillset(&set);
        if (sigtimedwait(&set, NULL, &time) >= 0 || errno != EAGAIN)
            fail("sigtimedwait");
    } else {
        errno = EINVAL;
        fail(call);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    double start = now();

    parent = getppid();
    signal(SIGUSR1, on_signal);
    if (strcmp(mode, "child") == 0)
        return 7;
    if (strcmp(mode, "busy") == 0) {
        run_threads(busy);
    } else if (strcmp(mode, "vfork") == 0) {
        run_threads(vfork_or_busy);
    } else if (strcmp(mode, "headless") == 0) {
        end_first_thread();
    } else if (strcmp(mode, "filtered") == 0) {
        set_own_filter();
        run_threads(busy);
    } else if (strcmp(mode, "int80") == 0) {
        call_32_bit();
    } else if (strcmp(mode, "threads") == 0) {
        run_threads(start_threads);
    } else if (strcmp(mode, "forks") == 0) {
        run_threads(start_processes);
    } else if (strcmp(mode, "storm") == 0) {
        run_threads(under_signals);
        if (atomic_load(&signals) == 0)
            fail("no signal came");
    } else {
        ready();
        wait_in(mode);
        errno = 0;
        if (now() - start < (WAIT_MS - 50) / 1000.0)
            fail("too early");
    }
    return 0;
}

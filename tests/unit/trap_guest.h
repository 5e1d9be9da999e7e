/*
 * What test_trap runs as guests: it executes itself with the name of one of these. Each returns 0
 * when everything was as on the host without Cerebro. Functions are static: include this once.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Fails the guest with the line as exit status information on stderr. */
#define guest_check(condition)                                                              \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "guest line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

static char guest_program[4096]; /* our own path, from argv[0] */

static void guest_exec(const char *name, const char *argument)
{
    char *argv[] = {guest_program, (char *)name, (char *)argument, NULL};

    execve(guest_program, argv, environ);
}

static int guest_number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static int guest_wait(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0)
        guest_check(errno == EINTR);
    return status;
}

static void guest_sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* ---- exec ---- */

static int guest_exit(const char *argument)
{
    return guest_number(argument);
}

static int guest_exec_errors(const char *argument)
{
    static char big[1 << 18];
    char *huge[66] = {0};

    (void)argument;
    memset(big, 'x', sizeof(big) - 1);
    guest_exec("exit", big);
    guest_check(errno == E2BIG);
    for (int i = 0; i < 65; i++)
        huge[i] = big + sizeof(big) / 2;
    execve(guest_program, huge, environ);
    guest_check(errno == E2BIG);
    execve(guest_program, (char **)8, environ);
    guest_check(errno == EFAULT);
    execve((char *)8, huge, environ);
    guest_check(errno == EFAULT);
    execve("/nowhere", huge, environ);
    guest_check(errno == ENOENT);
    execve("/", huge, environ);
    guest_check(errno == EACCES);
    /* After all those failures the next one still runs. */
    guest_exec("exit", "0");
    return 1;
}

/* argv of 100 KB, an execveat by descriptor, and a vfork child. */
static int guest_exec_ways(const char *argument)
{
    static char long_text[100000];
    char *argv[] = {guest_program, (char *)"exit", (char *)"0", long_text, NULL};
    pid_t pid;
    int fd;

    (void)argument;
    memset(long_text, 'y', sizeof(long_text) - 1);
    pid = fork();
    if (pid == 0) {
        execve(guest_program, argv, environ);
        _exit(99);
    }
    guest_check(guest_wait(pid) == 0);
    fd = open(guest_program, O_RDONLY | O_CLOEXEC);
    guest_check(fd >= 0);
    argv[2] = (char *)"3";
    pid = fork();
    if (pid == 0) {
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(99);
    }
    guest_check(guest_wait(pid) == 3 << 8);
    for (int i = 0; i < 20; i++) {
        pid = vfork();
        if (pid == 0) {
            execve(guest_program, argv, environ);
            _exit(99);
        }
        guest_check(guest_wait(pid) == 3 << 8);
    }
    return 0;
}

static atomic_int guest_gate;

static void *guest_racer(void *argument)
{
    while (!atomic_load(&guest_gate))
        ;
    guest_exec("exit", argument);
    return NULL;
}

/* Threads of one process race to exec different programs: one wins, and is what it says. */
static int guest_exec_race(const char *argument)
{
    static const char *codes[] = {"20", "21", "22", "23", "24", "25"};
    unsigned seen = 0;

    for (int round = guest_number(argument); round > 0; round--) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            pthread_t threads[6];

            for (int i = 0; i < 6; i++)
                pthread_create(&threads[i], NULL, guest_racer, (void *)codes[i]);
            atomic_store(&guest_gate, 1);
            for (;;)
                pause();
        }
        status = guest_wait(pid);
        guest_check(WIFEXITED(status) && WEXITSTATUS(status) >= 20 && WEXITSTATUS(status) < 26);
        seen |= 1U << (WEXITSTATUS(status) - 20);
    }
    return seen ? 0 : 1;
}

static void guest_on_signal(int number)
{
    (void)number;
}

static void guest_handle(int number, int flags)
{
    struct sigaction action = {.sa_handler = guest_on_signal, .sa_flags = flags};

    sigaction(number, &action, NULL);
}

/* Execs itself until the count is 0, with a handler so that signals do interrupt. */
static int guest_chain(const char *argument)
{
    char next[16];
    int left = guest_number(argument);

    guest_handle(SIGWINCH, SA_RESTART);
    if (left == 0)
        return 0;
    snprintf(next, sizeof(next), "%d", left - 1);
    guest_exec("chain", next);
    return 1;
}

static int guest_exec_storm(const char *argument)
{
    pid_t pid = fork();
    int status;
    int signals = 0;

    if (pid == 0) {
        guest_exec("chain", argument);
        _exit(99);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (++signals % 64 == 0) {
            kill(pid, SIGSTOP);
            kill(pid, SIGCONT);
        }
        kill(pid, SIGWINCH);
    }
    guest_check(status == 0);
    return 0;
}

/* Handlers, descriptors, name, auxiliary vector: what an exec resets and what it keeps. */
static int guest_after_exec(const char *argument)
{
    char comm[16];
    struct sigaction action;
    int kept = guest_number(argument);

    guest_check(fcntl(kept, F_GETFD) == 0 && fcntl(kept + 1, F_GETFD) < 0);
    for (int fd = 3; fd < 64; fd++)
        guest_check(fd == kept || fcntl(fd, F_GETFD) < 0);
    guest_check(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    guest_check(sigaction(SIGUSR2, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
    guest_check(prctl(PR_GET_NAME, comm) == 0 && strncmp(comm, "test_trap", 9) == 0);
    return 0;
}

static int guest_exec_state(const char *argument)
{
    char number[16];
    int kept = 40;

    (void)argument;
    for (int fd = 3; fd < 64; fd++)
        close(fd);
    guest_check(dup2(0, kept) == kept && dup3(0, kept + 1, O_CLOEXEC) == kept + 1);
    guest_handle(SIGUSR1, 0);
    signal(SIGUSR2, SIG_IGN);
    snprintf(number, sizeof(number), "%d", kept);
    guest_exec("after-exec", number);
    return 1;
}

/* ---- deferred calls: opening a FIFO ---- */

static char guest_fifo[64];

static void guest_make_fifo(void)
{
    snprintf(guest_fifo, sizeof(guest_fifo), "/tmp/trap-fifo-%d", getpid());
    unlink(guest_fifo);
    guest_check(mkfifo(guest_fifo, 0600) == 0);
}

/* Forks a child that opens the FIFO and reports 0, or the errno. */
static pid_t guest_open_in_child(int handler_flags)
{
    pid_t pid;
    int fd;

    /* Before the fork: on a busy host the signal can come before the child has done anything. */
    if (handler_flags >= 0)
        guest_handle(SIGUSR1, handler_flags);
    pid = fork();
    if (pid)
        return pid;
    fd = open(guest_fifo, O_RDONLY);
    _exit(fd < 0 ? errno : 0);
}

static void guest_open_other_end(void)
{
    int fd = open(guest_fifo, O_WRONLY);

    guest_check(fd >= 0);
    close(fd);
}

static int guest_fifo_calls(const char *argument)
{
    pid_t pid;
    int status;

    (void)argument;
    guest_make_fifo();
    /* No signal. */
    pid = guest_open_in_child(-1);
    guest_sleep_ms(20);
    guest_open_other_end();
    guest_check(guest_wait(pid) == 0);
    /* A handler without SA_RESTART. */
    pid = guest_open_in_child(0);
    guest_sleep_ms(50);
    kill(pid, SIGUSR1);
    guest_check(guest_wait(pid) == EINTR << 8);
    /* SA_RESTART, several times. */
    pid = guest_open_in_child(SA_RESTART);
    for (int i = 0; i < 8; i++) {
        guest_sleep_ms(15);
        kill(pid, SIGUSR1);
    }
    guest_sleep_ms(15);
    guest_open_other_end();
    guest_check(guest_wait(pid) == 0);
    /* Stop and continue; the parent sees both. */
    pid = guest_open_in_child(0);
    guest_sleep_ms(50);
    kill(pid, SIGSTOP);
    guest_check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    guest_check(WSTOPSIG(status) == SIGSTOP);
    guest_sleep_ms(20);
    kill(pid, SIGCONT);
    guest_check(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
    guest_sleep_ms(20);
    guest_open_other_end();
    guest_check(guest_wait(pid) == 0);
    /* An ignored signal changes nothing. */
    pid = guest_open_in_child(-1);
    guest_sleep_ms(30);
    kill(pid, SIGWINCH);
    guest_sleep_ms(30);
    guest_open_other_end();
    guest_check(guest_wait(pid) == 0);
    pid = guest_open_in_child(-1);
    guest_sleep_ms(30);
    kill(pid, SIGTERM);
    guest_check(guest_wait(pid) == SIGTERM);
    pid = guest_open_in_child(-1);
    guest_sleep_ms(30);
    kill(pid, SIGKILL);
    guest_check(guest_wait(pid) == SIGKILL);
    unlink(guest_fifo);
    return 0;
}

static void *guest_opener(void *argument)
{
    (void)argument;
    (void)!open(guest_fifo, O_RDONLY);
    return NULL;
}

static void *guest_executer(void *argument)
{
    guest_sleep_ms(50);
    guest_exec("exit", argument);
    return NULL;
}

/* A thread is parked while a sibling ends or replaces the process; also when it is the leader. */
static int guest_fifo_siblings(const char *argument)
{
    pthread_t thread;
    pid_t pid;
    int status;

    (void)argument;
    guest_make_fifo();
    for (int round = 0; round < 4; round++) {
        pid = fork();
        if (pid == 0) {
            pthread_create(&thread, NULL, guest_opener, NULL);
            guest_sleep_ms(50);
            _exit(9);
        }
        guest_check(guest_wait(pid) == 9 << 8);
        pid = fork();
        if (pid == 0) {
            pthread_create(&thread, NULL, guest_opener, NULL);
            guest_executer((void *)"10");
            _exit(99);
        }
        status = guest_wait(pid);
        if (status != 10 << 8)
            fprintf(stderr, "status %x\n", status);
        guest_check(status == 10 << 8);
        pid = fork();
        if (pid == 0) {
            pthread_create(&thread, NULL, guest_executer, (void *)"11");
            guest_opener(NULL);
            _exit(99);
        }
        status = guest_wait(pid);
        if (status != 11 << 8)
            fprintf(stderr, "status %x\n", status);
        guest_check(status == 11 << 8);
        /* A group stop that starts with another thread. */
        pid = fork();
        if (pid == 0) {
            pthread_create(&thread, NULL, guest_opener, NULL);
            guest_sleep_ms(50);
            raise(SIGSTOP);
            pthread_join(thread, NULL);
            _exit(12);
        }
        guest_check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        kill(pid, SIGCONT);
        guest_sleep_ms(20);
        guest_open_other_end();
        guest_check(guest_wait(pid) == 12 << 8);
    }
    unlink(guest_fifo);
    return 0;
}

/* Many at once, opened and closed while signals arrive. */
static int guest_fifo_many(const char *argument)
{
    enum { CHILDREN = 24 };
    pid_t pids[CHILDREN];

    (void)argument;
    guest_make_fifo();
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = guest_open_in_child(SA_RESTART);
    for (int round = 0; round < 20; round++) {
        guest_sleep_ms(2);
        for (int i = 0; i < CHILDREN; i++)
            kill(pids[i], SIGUSR1);
    }
    /* Whoever restarts at the wrong moment would miss a writer that closes at once. */
    (void)!open(guest_fifo, O_RDWR);
    for (int i = 0; i < CHILDREN; i++)
        guest_check(guest_wait(pids[i]) == 0);
    unlink(guest_fifo);
    return 0;
}

/* ---- signals against calls that change something ---- */

static int guest_exactly_once(const char *argument)
{
    struct itimerval timer = {{0, 60}, {0, 60}};
    char path[64];
    int wrong = 0;

    guest_handle(SIGALRM, SA_RESTART);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = guest_number(argument); i > 0; i--) {
        snprintf(path, sizeof(path), "/tmp/trap-dir-%d", getpid());
        if (mkdir(path, 0755) < 0)
            wrong++;
        if (rmdir(path) < 0)
            wrong++;
    }
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    if (wrong)
        fprintf(stderr, "%d calls acted twice\n", wrong);
    return wrong > 100 ? 100 : wrong;
}

/* ---- attacks on the loader's page ---- */

static int guest_attack(const char *argument)
{
    char *page = (char *)0x101000;
    char copy[80];
    pid_t pid;
    int status;

    (void)argument;
    guest_check(memcmp(page, "////", 4) == 0);
    memcpy(copy, page, sizeof(copy));
    guest_check(mprotect(page, 4096, PROT_READ | PROT_WRITE) < 0 && errno == ENOMEM);
    guest_check(munmap(page, 4096) < 0 && errno == EPERM);
    guest_check(mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                     -1, 0) == MAP_FAILED);
    guest_check(mremap(page, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
    madvise(page, 4096, MADV_DONTNEED);
    guest_check(memcmp(page, copy, sizeof(copy)) == 0);
    guest_check(syscall(600, copy, 12288, 0, 0x6365726562726f31) < 0 && errno == ENOSYS);
    /* Executing the loader without having been diverted ends as a failed load does. */
    pid = fork();
    if (pid == 0) {
        char *argv[] = {guest_program, NULL};

        for (int i = 0; i < 64; i++)
            syscall(SYS_execve, page + i, argv, environ);
        _exit(98);
    }
    status = guest_wait(pid);
    guest_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    return 0;
}

/* ---- the tree ---- */

/* Grandchildren whose parent has gone write a byte each to the file named by the argument. */
static int guest_orphans(const char *argument)
{
    int fd = open(argument, O_WRONLY | O_APPEND);

    guest_check(fd >= 0);
    for (int i = 0; i < 200; i++) {
        pid_t pid = fork();

        guest_check(pid >= 0);
        if (pid == 0) {
            if (fork() == 0) {
                while (getppid() == 1)
                    guest_sleep_ms(1);
                guest_sleep_ms(5);
                _exit(write(fd, "o", 1) == 1 ? 0 : 1);
            }
            _exit(0);
        }
        guest_check(guest_wait(pid) == 0);
    }
    return 0;
}

/* Leaves children behind, some of them deaf to signals and in sessions of their own. */
static int guest_leave_children(const char *argument)
{
    for (int i = 0; i < 20; i++) {
        if (fork() == 0) {
            sigset_t all;

            sigfillset(&all);
            sigprocmask(SIG_SETMASK, &all, NULL);
            if (i % 2)
                setsid();
            if (i % 3 == 0 && fork() != 0)
                _exit(0);
            for (;;)
                guest_sleep_ms(1000);
        }
    }
    return guest_number(argument);
}

static int guest_inject(const char *argument)
{
    (void)argument;
    for (int i = 0; i < 50; i++) {
        char *page = (char *)syscall(SYS_chroot, NULL, 0);
        int fd;

        guest_check((uintptr_t)page > 0x1000 && (intptr_t)page > 0);
        guest_check(strcmp(page, "injected") == 0);
        guest_check(munmap(page, 4096) == 0);
        fd = (int)syscall(SYS_chroot, NULL, 1);
        guest_check(fd > 2 && close(fd) == 0);
    }
    return 0;
}

struct guest {
    const char *name;
    int (*run)(const char *argument);
};

static const struct guest guests[] = {
    {"exit", guest_exit},
    {"exec-errors", guest_exec_errors},
    {"exec-ways", guest_exec_ways},
    {"exec-race", guest_exec_race},
    {"exec-storm", guest_exec_storm},
    {"exec-state", guest_exec_state},
    {"after-exec", guest_after_exec},
    {"chain", guest_chain},
    {"fifo", guest_fifo_calls},
    {"fifo-siblings", guest_fifo_siblings},
    {"fifo-many", guest_fifo_many},
    {"exactly-once", guest_exactly_once},
    {"attack", guest_attack},
    {"orphans", guest_orphans},
    {"leave-children", guest_leave_children},
    {"inject", guest_inject},
};

/* Runs the guest with this name; 97 when there is none. */
static int guest_main(char *const argv[])
{
    snprintf(guest_program, sizeof(guest_program), "%s", argv[0]);
    for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
        if (strcmp(guests[i].name, argv[1]) == 0)
            return guests[i].run(argv[2] ? argv[2] : "");
    return 97;
}

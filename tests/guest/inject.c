/*
 * Makes one system call again and again and says what came of it, for tests of fault injection:
 *
 *   inject CALL COUNT    one letter a call: "." fine, "E" ENOSPC, "I" EIO, "A" EAGAIN, "N" EINTR,
 *                        "?" any other error; then how many SIGUSR1 came, the last value, and
 *                        the milliseconds that it took
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static long call_open(void)
{
    long fd = syscall(SYS_open, "/dev/null", O_RDONLY);

    if (fd >= 0)
        close((int)fd);
    return fd;
}

static long call_read(void)
{
    static int fd = -1;
    char byte = 1;
    long n;

    if (fd < 0)
        fd = open("/dev/zero", O_RDONLY);
    n = syscall(SYS_read, fd, &byte, 1);
    return n == 1 && byte != 0 ? -1000 : n;
}

static long call_stat(void)
{
    struct stat stat;

    return syscall(SYS_stat, "/", &stat);
}

static long call_getpid(void)
{
    return syscall(SYS_getpid);
}

static long call_fork(void)
{
    long child = syscall(SYS_fork);

    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid((pid_t)child, NULL, 0);
    return child;
}

static long call_mmap(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? -1 : 0;
}

static long call_nanosleep(void)
{
    struct timespec time = {.tv_sec = 20};

    return syscall(SYS_nanosleep, &time, NULL);
}

static long call_clock(void)
{
    struct timespec now;

    return clock_gettime(CLOCK_REALTIME, &now);
}

static const struct {
    const char *name;
    long (*call)(void);
} calls[] = {{"open", call_open},           {"read", call_read},          {"stat", call_stat},
             {"getpid", call_getpid},       {"fork", call_fork},          {"mmap", call_mmap},
             {"nanosleep", call_nanosleep}, {"clock_gettime", call_clock}};

static char letter_of(long result)
{
    if (result != -1)
        return '.';
    switch (errno) {
    case ENOSPC:
        return 'E';
    case EIO:
        return 'I';
    case EAGAIN:
        return 'A';
    case EINTR:
        return 'N';
    default:
        return '?';
    }
}

static long milliseconds(void)
{
    struct timespec now;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    char letters[256] = "";
    long value = 0;
    long begin;
    int count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    long (*call)(void) = NULL;

    for (size_t i = 0; argc > 2 && i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, argv[1]) == 0)
            call = calls[i].call;
    if (call == NULL || count < 1 || count >= (int)sizeof(letters))
        return 2;
    sigaction(SIGUSR1, &action, NULL);
    begin = milliseconds();
    for (int i = 0; i < count; i++) {
        value = call();
        letters[i] = letter_of(value);
    }
    begin = milliseconds() - begin;
    printf("%s %d %ld %ld\n", letters, (int)signals, value, begin);
    return 0;
}

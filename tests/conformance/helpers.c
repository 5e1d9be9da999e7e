/* What a check runs when it runs a program: PROGRAM --helper WHAT [ARGS...]. */
#include "conform.h"

#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "frame.h"

extern char **environ;

static int say_arguments(int argc, char **argv)
{
    for (int i = 3; i < argc; i++)
        printf("[%s]", argv[i]);
    return 0;
}

static int say_environment(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (char **at = environ; *at; at++)
        printf("[%s]", *at);
    return 0;
}

static int say_descriptors(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int fd = 3; fd < 2000; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("[%d]", fd);
    return 0;
}

static int say_signals(int argc, char **argv)
{
    sigset_t blocked;
    sigset_t pending;

    (void)argc;
    (void)argv;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    sigpending(&pending);
    for (int number = 1; number < 32; number++) {
        struct sigaction action;

        sigaction(number, NULL, &action);
        if (action.sa_handler == SIG_IGN)
            printf("[ignored %d]", number);
        else if (action.sa_handler != SIG_DFL)
            printf("[handled %d]", number);
        if (sigismember(&blocked, number) == 1)
            printf("[blocked %d]", number);
        if (sigismember(&pending, number) == 1)
            printf("[pending %d]", number);
    }
    return 0;
}

static int say_process(int argc, char **argv)
{
    char name[16] = "";
    struct itimerval timer;
    stack_t stack;

    (void)argc;
    (void)argv;
    prctl(PR_GET_NAME, name, 0, 0, 0);
    getitimer(ITIMER_REAL, &timer);
    sigaltstack(NULL, &stack);
    printf("pid=%d ppid=%d pgid=%d sid=%d name=%s umask=%o nice=%d timer=%d stack=%d tid=%d",
           getpid(), getppid(), getpgrp(), getsid(0), name, umask(0), getpriority(PRIO_PROCESS, 0),
           timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0, stack.ss_flags != SS_DISABLE,
           gettid());
    return 0;
}

static int say_auxiliary(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf(
        "page=%lu secure=%lu uid=%lu euid=%lu gid=%lu clktck=%lu random=%d phdr=%d entry=%d execfn=%s",
        getauxval(AT_PAGESZ), getauxval(AT_SECURE), getauxval(AT_UID), getauxval(AT_EUID),
        getauxval(AT_GID), getauxval(AT_CLKTCK), getauxval(AT_RANDOM) != 0, getauxval(AT_PHDR) != 0,
        getauxval(AT_ENTRY) != 0, (const char *)getauxval(AT_EXECFN));
    return 0;
}

static int say_directory(int argc, char **argv)
{
    char path[PATH_MAX] = "";

    (void)argc;
    (void)argv;
    printf("%s", getcwd(path, sizeof(path)) ? path : strerrorname_np(errno));
    return 0;
}

static int say_executable(int argc, char **argv)
{
    char path[PATH_MAX] = "";

    (void)argc;
    (void)argv;
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
        return 1;
    printf("%s", path);
    return 0;
}

static int leave(int argc, char **argv)
{
    return argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
}

static _Noreturn int sleep_long(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (;;)
        pause();
}

/* Whether another program can take the lock: "free" or "held". */
static int try_lock(int argc, char **argv)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = argc > 3 ? open(argv[3], O_RDWR) : -1;

    if (fd < 0)
        return 1;
    printf("%s", fcntl(fd, F_SETLK, &lock) == 0 ? "free" : "held");
    return 0;
}

/* Whether the process has a POSIX timer (the first has the number 0). */
static int say_timer(int argc, char **argv)
{
    struct itimerspec setting;

    (void)argc;
    (void)argv;
    printf("%s", syscall(SYS_timer_gettime, 0, &setting) == 0 ? "timer" : strerrorname_np(errno));
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} helpers[] = {
    {"arguments", say_arguments},
    {"environment", say_environment},
    {"descriptors", say_descriptors},
    {"signals", say_signals},
    {"process", say_process},
    {"auxiliary", say_auxiliary},
    {"directory", say_directory},
    {"executable", say_executable},
    {"exit", leave},
    {"sleep", sleep_long},
    {"lock", try_lock},
    {"timer", say_timer},
};

int helper_main(int argc, char **argv)
{
    for (size_t i = 0; argc > 2 && i < sizeof(helpers) / sizeof(helpers[0]); i++) {
        if (strcmp(argv[2], helpers[i].name) == 0) {
            int status = helpers[i].run(argc, argv);

            fflush(stdout);
            _exit(status);
        }
    }
    return 2;
}

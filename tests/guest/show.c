/*
 * Shows what a program finds when it starts. Built in the four forms that an ELF file can have.
 *
 *   show exit N | args | env NAME | exe | execfn | auxv | fds | signals | cwd | comm | bss | pid
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

static char zeros[3 * 4096 + 17];
static char data[] = "initialised";

static int show_args(int argc, char **argv)
{
    printf("%d", argc);
    for (int i = 0; i < argc; i++)
        printf("|%s", argv[i]);
    printf("\n");
    return 0;
}

static int show_link(const char *path)
{
    char target[PATH_MAX + 1] = "";

    if (readlink(path, target, PATH_MAX) < 0)
        return 1;
    printf("%s\n", target);
    return 0;
}

/* What the kernel tells must fit the program that runs. */
static int check_auxv(void)
{
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    bool dynamic = false;
    uintptr_t bias = 0;

    if (headers == NULL || count == 0 || getauxval(AT_PHENT) != sizeof(Elf64_Phdr))
        return puts("program headers"), 1;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_PHDR)
            bias = (uintptr_t)headers - headers[i].p_vaddr;
        if (headers[i].p_type == PT_INTERP) {
            dynamic = true;
            if (strncmp((const char *)(bias + headers[i].p_vaddr), "/lib", 4) != 0)
                return puts("interpreter"), 1;
        }
    }
    if (dynamic && getauxval(AT_BASE) == 0)
        return puts("no base of the interpreter"), 1;
    if (getauxval(AT_ENTRY) == 0 || getauxval(AT_PAGESZ) != 4096 || getauxval(AT_RANDOM) == 0)
        return puts("entry, page size or random bytes"), 1;
    if (getauxval(AT_SECURE) != 0 || getauxval(AT_UID) != getuid() ||
        getauxval(AT_EUID) != geteuid() || getauxval(AT_GID) != getgid())
        return puts("identity"), 1;
    if (getauxval(AT_SYSINFO_EHDR) == 0)
        return puts("no vDSO"), 1;
    puts("fine");
    return 0;
}

static int show_fds(void)
{
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d ", fd);
    printf("\n");
    return 0;
}

static int show_signals(void)
{
    sigset_t blocked;
    sigset_t pending;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    sigpending(&pending);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored %d\n", number);
        else if (action.sa_handler != SIG_DFL)
            printf("handled %d\n", number);
        if (sigismember(&blocked, number) == 1)
            printf("blocked %d\n", number);
        if (sigismember(&pending, number) == 1)
            printf("pending %d\n", number);
    }
    return 0;
}

static int check_bss(void)
{
    for (size_t i = 0; i < sizeof(zeros); i++)
        if (zeros[i])
            return puts("memory that is not zero"), 1;
    if (strcmp(data, "initialised") != 0 || *(char *)sbrk(4096))
        return puts("data or heap"), 1;
    memset(zeros, 1, sizeof(zeros));
    puts("fine");
    return 0;
}

static int show_comm(void)
{
    char name[17] = "";

    prctl(PR_GET_NAME, name);
    puts(name);
    return 0;
}

static int show_cwd(void)
{
    char path[PATH_MAX];

    if (getcwd(path, sizeof(path)) == NULL)
        return 1;
    puts(path);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "args";

    if (strcmp(what, "exit") == 0)
        return argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (strcmp(what, "env") == 0)
        return argc > 2 && getenv(argv[2]) ? puts(getenv(argv[2])), 0 : 1;
    if (strcmp(what, "exe") == 0)
        return show_link("/proc/self/exe");
    if (strcmp(what, "execfn") == 0)
        return puts((const char *)getauxval(AT_EXECFN)), 0;
    if (strcmp(what, "auxv") == 0)
        return check_auxv();
    if (strcmp(what, "fds") == 0)
        return show_fds();
    if (strcmp(what, "signals") == 0)
        return show_signals();
    if (strcmp(what, "cwd") == 0)
        return show_cwd();
    if (strcmp(what, "comm") == 0)
        return show_comm();
    if (strcmp(what, "bss") == 0)
        return check_bss();
    if (strcmp(what, "pid") == 0)
        return printf("%d\n", getpid()), 0;
    if (strcmp(what, "environ") == 0)
        return printf("%s\n", environ && environ[0] ? environ[0] : "(none)"), 0;
    return show_args(argc, argv);
}

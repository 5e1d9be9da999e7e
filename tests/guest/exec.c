/* Starting programs: forms of ELF files, arguments, errors, descriptors, signals. */
#include "guest.h"

#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *const forms[] = {"show-static", "show-pie", "show-static-pie", "show-nopie"};

static char *show(const char *form, const char *what, const char *more)
{
    char *argv[] = {(char *)guest_program(form), (char *)what, (char *)more, NULL};

    return guest_output(argv, NULL);
}

static void all_forms(void)
{
    for (size_t i = 0; i < 4; i++) {
        const char *path = guest_program(forms[i]);
        char *argv[] = {(char *)path, "exit", "42", NULL};
        int status;

        guest_output(argv, &status);
        CHECK_EQ(status, 42 << 8);
        CHECK_TEXT(show(forms[i], "args", "two words"),
                   guest_format("3|%s|args|two words\n", path));
        CHECK_TEXT(show(forms[i], "auxv", NULL), "fine\n");
        CHECK_TEXT(show(forms[i], "bss", NULL), "fine\n");
        CHECK_TEXT(show(forms[i], "exe", NULL), guest_format("%s\n", path));
        CHECK_TEXT(show(forms[i], "execfn", NULL), guest_format("%s\n", path));
        CHECK_TEXT(show(forms[i], "comm", NULL), guest_format("%.15s\n", forms[i]));
    }
}

/* The errno with which an execve fails, 0 when it succeeds (the program then exits with 0). */
static int exec_error(const char *path)
{
    pid_t pid = (pid_t)OK(fork());
    int status;

    if (pid == 0) {
        char *argv[] = {"name", "exit", "0", NULL};

        execve(path, argv, environ);
        _exit(errno);
    }
    status = guest_wait(pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void copy_program(const char *to, const char *form)
{
    int in = (int)OK(open(guest_program(form), O_RDONLY));
    int out = (int)OK(open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755));
    struct stat stat_buf;

    OK(fstat(in, &stat_buf));
    for (off_t left = stat_buf.st_size; left > 0;) {
        char buffer[65536];
        ssize_t got = OK(read(in, buffer, sizeof(buffer)));

        CHECK_EQ(write(out, buffer, (size_t)got), got);
        left -= got;
    }
    OK(close(in));
    OK(close(out));
}

static void patch(const char *path, off_t offset, const void *bytes, size_t size)
{
    int fd = (int)OK(open(path, O_WRONLY));

    CHECK_EQ(pwrite(fd, bytes, size, offset), size);
    OK(close(fd));
}

static void errors(void)
{
    OK(mkdir("dir", 0777));
    guest_write("text", "no program at all\n");
    OK(symlink("loop", "loop"));
    CHECK_EQ(exec_error("missing"), ENOENT);
    CHECK_EQ(exec_error(""), ENOENT);
    CHECK_EQ(exec_error("dir"), EACCES);
    CHECK_EQ(exec_error("text"), EACCES);
    CHECK_EQ(exec_error("text/x"), ENOTDIR);
    CHECK_EQ(exec_error("loop"), ELOOP);
    OK(chmod("text", 0755));
    CHECK_EQ(exec_error("text"), ENOEXEC);
    guest_write("empty", "");
    OK(chmod("empty", 0755));
    CHECK_EQ(exec_error("empty"), ENOEXEC);
    CHECK_EQ(exec_error((const char *)1), EFAULT);
    CHECK_EQ(exec_error("/proc/self/status"), EACCES);
    CHECK_EQ(exec_error("/dev/null"), EACCES);
}

static void damaged_headers(void)
{
    Elf64_Half other_machine = EM_AARCH64;
    Elf64_Half no_headers = 0;
    Elf64_Half small = 4;

    copy_program("program", "show-static");
    CHECK_EQ(exec_error("program"), 0);
    copy_program("machine", "show-static");
    patch("machine", offsetof(Elf64_Ehdr, e_machine), &other_machine, 2);
    CHECK_EQ(exec_error("machine"), ENOEXEC);
    copy_program("none", "show-static");
    patch("none", offsetof(Elf64_Ehdr, e_phnum), &no_headers, 2);
    CHECK_EQ(exec_error("none"), ENOEXEC);
    copy_program("size", "show-static");
    patch("size", offsetof(Elf64_Ehdr, e_phentsize), &small, 2);
    CHECK_EQ(exec_error("size"), ENOEXEC);
    copy_program("magic", "show-static");
    patch("magic", 0,
          "\x7f"
          "ELG",
          4);
    CHECK_EQ(exec_error("magic"), ENOEXEC);
    copy_program("cut", "show-static");
    OK(truncate("cut", 40));
    CHECK_EQ(exec_error("cut"), ENOEXEC);
}

static void missing_interpreter(void)
{
    char header[4096];
    char *found;
    int fd;

    copy_program("program", "show-pie");
    fd = (int)OK(open("program", O_RDONLY));
    CHECK_EQ(read(fd, header, sizeof(header)), sizeof(header));
    OK(close(fd));
    found = memmem(header, sizeof(header), "/ld-linux", 9);
    CHECK(found != NULL);
    patch("program", found - header, "/no-linux", 9);
    CHECK_EQ(exec_error("program"), ENOENT);
}

static void environment(void)
{
    char *argv[] = {"show", "env", "SPECIAL", NULL};
    char *none[] = {NULL};
    char *envp[] = {"OTHER=x", "SPECIAL=one=two", NULL};
    const char *path = guest_program("show-static");
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        execve(path, argv, envp);
        _exit(127);
    }
    guest_join(pid);
    guest_content("out", "one=two\n");
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        argv[1] = "environ";
        argv[2] = NULL;
        dup2(open("out", O_WRONLY | O_TRUNC), 1);
        execve(path, argv, none);
        _exit(127);
    }
    guest_join(pid);
    guest_content("out", "(none)\n");
}

static void no_arguments(void)
{
    char *none[] = {NULL};
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        execve(guest_program("show-static"), none, environ);
        _exit(127);
    }
    guest_join(pid);
    /* Linux gives a program an empty name rather than none. */
    guest_content("out", "1|\n");
}

static int exec_with(char **argv, char **envp)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        execve(guest_program("show-static"), argv, envp);
        _exit(errno == E2BIG ? 101 : errno == EFAULT ? 102 : 103);
    }
    return guest_wait(pid) >> 8;
}

static void long_arguments(void)
{
    char *argv[] = {"show", "exit", "0", NULL, NULL};
    char *big = malloc(200000);

    memset(big, 'x', 200000);
    big[100000] = '\0';
    argv[3] = big;
    CHECK_EQ(exec_with(argv, environ), 0);
    big[100000] = 'x';
    big[131071] = '\0';
    CHECK_EQ(exec_with(argv, environ), 0);
    big[131071] = 'x';
    big[131072] = '\0';
    CHECK_EQ(exec_with(argv, environ), 101);
}

static void too_many_arguments(void)
{
    enum { COUNT = 8000 };
    char **argv = calloc(COUNT + 1, sizeof(char *));
    char word[200];

    memset(word, 'w', sizeof(word));
    word[199] = '\0';
    argv[0] = "show";
    argv[1] = "exit";
    argv[2] = "0";
    for (int i = 3; i < COUNT; i++)
        argv[i] = word;
    CHECK_EQ(exec_with(argv, environ), 0);
    {
        struct rlimit limit = {1 << 20, 1 << 20};
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            setrlimit(RLIMIT_STACK, &limit);
            execve(guest_program("show-static"), argv, environ);
            _exit(errno == E2BIG ? 0 : 1);
        }
        guest_join(pid);
    }
}

static void bad_vectors(void)
{
    char *bad[] = {"show", (char *)8, NULL};

    CHECK_EQ(exec_with((char **)8, environ), 102);
    CHECK_EQ(exec_with(bad, environ), 102);
    CHECK_EQ(exec_with((char *[]){"show", "exit", "0", NULL}, (char **)16), 102);
}

static void by_descriptor(void)
{
    char *argv[] = {"show", "args", NULL};
    int programs = (int)OK(open(guest_program("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int fd = (int)OK(open(guest_program("show-pie"), O_RDONLY | O_CLOEXEC));
    int path_only = (int)OK(open(guest_program("show-static"), O_PATH | O_CLOEXEC));

    for (int way = 0; way < 4; way++) {
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            dup2(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
            if (way == 0)
                fexecve(fd, argv, environ);
            else if (way == 1)
                syscall(SYS_execveat, programs, "show-nopie", argv, environ, 0);
            else if (way == 2)
                syscall(SYS_execveat, path_only, "", argv, environ, AT_EMPTY_PATH);
            else
                syscall(SYS_execveat, -1, guest_program("show-static"), argv, environ, 0);
            _exit(127);
        }
        guest_join(pid);
        guest_content("out", "2|show|args\n");
    }
}

static void by_descriptor_errors(void)
{
    char *argv[] = {"show", "exit", "0", NULL};
    int fd = (int)OK(open(guest_program("show-pie"), O_RDONLY));
    int dir = (int)OK(open(".", O_RDONLY));

    OK(symlink(guest_program("show-pie"), "soft"));
    guest_write("text", "x");
    FAILS(syscall(SYS_execveat, AT_FDCWD, "soft", argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
    FAILS(syscall(SYS_execveat, fd, "", argv, environ, 0), ENOENT);
    FAILS(syscall(SYS_execveat, fd, "x", argv, environ, 0), ENOTDIR);
    FAILS(syscall(SYS_execveat, 999, "x", argv, environ, 0), EBADF);
    FAILS(syscall(SYS_execveat, dir, "", argv, environ, AT_EMPTY_PATH), EACCES);
    FAILS(syscall(SYS_execveat, dir, "text", argv, environ, 0), EACCES);
    FAILS(syscall(SYS_execveat, AT_FDCWD, "text", argv, environ, 0x4000), EINVAL);
}

static void from_memory(void)
{
    char *argv[] = {"in-memory", "args", NULL};
    int in = (int)OK(open(guest_program("show-static"), O_RDONLY | O_CLOEXEC));
    int memory = (int)OK(memfd_create("program", MFD_CLOEXEC));
    char buffer[65536];
    ssize_t got;
    pid_t pid;

    while ((got = OK(read(in, buffer, sizeof(buffer)))) > 0)
        CHECK_EQ(write(memory, buffer, (size_t)got), got);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        fexecve(memory, argv, environ);
        _exit(errno);
    }
    guest_join(pid);
    guest_content("out", "2|in-memory|args\n");
}

static void close_on_exec(void)
{
    char *found;

    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    OK(dup2(0, 10));
    OK(dup3(0, 11, O_CLOEXEC));
    OK(dup2(0, 200));
    found = show("show-static", "fds", NULL);
    CHECK(strstr(found, " 10 ") && strstr(found, " 200 "));
    CHECK(strstr(found, " 11 ") == NULL);
    /* Nothing of those who start programs is left: standard ones, two of ours. */
    CHECK_TEXT(found, "0 1 2 10 200 \n");
}

static void handler(int number)
{
    (void)number;
}

static void signals_over_exec(void)
{
    sigset_t blocked;
    char *found;

    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, 40);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    found = show("show-static", "signals", NULL);
    CHECK(strstr(found, "ignored 12\n") && strstr(found, "blocked 15\n"));
    CHECK(strstr(found, "blocked 40\n") && !strstr(found, "handled"));
    CHECK(!strstr(found, "ignored 10\n") && !strstr(found, "pending"));
}

static void pending_over_exec(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        sigset_t blocked;

        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
        raise(SIGUSR1);
        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        execl(guest_program("show-static"), "show", "signals", NULL);
        _exit(127);
    }
    guest_join(pid);
    CHECK(strstr(guest_read("out"), "pending 10\n") != NULL);
}

static void *exec_in_thread(void *argument)
{
    (void)argument;
    execl(guest_program("show-static"), "show", "pid", NULL);
    _exit(127);
}

static void exec_by_a_thread(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        pthread_t thread;

        dup2(open("out", O_WRONLY | O_CREAT, 0666), 1);
        pthread_create(&thread, NULL, exec_in_thread, NULL);
        for (;;)
            pause();
    }
    guest_join(pid);
    guest_content("out", guest_format("%d\n", pid));
}

static void being_written(void)
{
    int error;
    int fd;

    copy_program("program", "show-static");
    fd = (int)OK(open("program", O_WRONLY));
    error = exec_error("program");
    CHECK(error == ETXTBSY || error == 0);
    OK(close(fd));
    CHECK_EQ(exec_error("program"), 0);
}

static void deleted_program(void)
{
    char *argv[] = {"./program", "exe", NULL};
    int ends[2];
    char buffer[4200] = "";
    pid_t pid;

    copy_program("program", "show-static");
    CHECK_TEXT(guest_output(argv, NULL), guest_format("%s/program\n", guest_cwd()));
    OK(pipe(ends));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        int fd = open("program", O_RDONLY | O_CLOEXEC);

        unlink("program");
        dup2(ends[1], 1);
        fexecve(fd, argv, environ);
        _exit(127);
    }
    guest_join(pid);
    CHECK(read(ends[0], buffer, sizeof(buffer) - 1) > 0);
    CHECK_TEXT(buffer, guest_format("%s/program (deleted)\n", guest_cwd()));
}

/* What runs is a file, not a name: it can be read and executed whatever became of the name. */
static void running_program(void)
{
    char *deleted[] = {"/bin/sh", "-c",
                       "cp /bin/sh program; ./program -c 'rm program; readlink /proc/$$/exe; "
                       "/proc/$$/exe -c \"echo again\"; cmp /proc/$$/exe /bin/sh && echo same; "
                       "exec /proc/self/exe -c \"echo at last\"'",
                       NULL};
    char *moved[] = {"/bin/sh", "-c",
                     "cp /bin/sh program; ./program -c 'mkdir dir; mv program dir/other; "
                     "readlink /proc/$$/exe; cp /bin/true program; /proc/$$/exe -c \"echo it\"'",
                     NULL};

    CHECK_TEXT(guest_output(deleted, NULL),
               guest_format("%s/program (deleted)\nagain\nsame\nat last\n", guest_cwd()));
    CHECK_TEXT(guest_output(moved, NULL), guest_format("%s/dir/other\nit\n", guest_cwd()));
}

static void long_chain(void)
{
    char *argv[] = {"/bin/sh", "-c",
                    "i=0; while [ $i -lt 100 ]; do i=$((i+1)); \"$0\" exit 0 || exit 1; done",
                    (char *)guest_program("show-static"), NULL};

    guest_output(argv, NULL);
}

static const struct guest_case cases[] = {
    {"all-forms", all_forms},
    {"errors", errors},
    {"damaged-headers", damaged_headers},
    {"missing-interpreter", missing_interpreter},
    {"environment", environment},
    {"no-arguments", no_arguments},
    {"long-arguments", long_arguments},
    {"too-many-arguments", too_many_arguments},
    {"bad-vectors", bad_vectors},
    {"by-descriptor", by_descriptor},
    {"by-descriptor-errors", by_descriptor_errors},
    {"from-memory", from_memory},
    {"close-on-exec", close_on_exec},
    {"signals-over-exec", signals_over_exec},
    {"pending-over-exec", pending_over_exec},
    {"exec-by-a-thread", exec_by_a_thread},
    {"being-written", being_written},
    {"deleted-program", deleted_program},
    {"running-program", running_program},
    {"long-chain", long_chain},
};

GUEST_MAIN(cases)

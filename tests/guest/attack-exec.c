/* Starting a program in every odd way: it is always under the process kernel. */
#include "attack.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* What a program tries that has just been started: 0 when nothing works. */
static int inside(void)
{
    const char *secret = getenv("GUEST_SECRET");
    const char *outside = getenv("GUEST_OUTSIDE");
    char parameters[256] = "";
    int fd;

    if (secret && open(secret, O_RDONLY) >= 0)
        return 10;
    if (syscall(SYS_io_uring_setup, 4, parameters) >= 0 || errno != ENOSYS)
        return 11;
    if (mount("none", "/tmp", "tmpfs", 0, NULL) == 0)
        return 12;
    if (unshare(CLONE_NEWUSER) == 0)
        return 13;
    /* May work in a layer; the test looks whether the host has it. */
    fd = outside ? open(guest_format("%s/from-exec", outside), O_WRONLY | O_CREAT, 0666) : -1;
    if (fd >= 0)
        close(fd);
    return 0;
}

static char *arguments[] = {"attack-exec", "inside", NULL};

static void ended_well(const char *what, pid_t pid)
{
    int status = guest_wait(pid);

    if (status != 0)
        FAIL("ESCAPED or failed: %s ended with wait status %#x", what, status);
    attack_tried(what, "still under the process kernel");
}

static const char *own_path(void)
{
    return guest_program("attack-exec");
}

static int copy_to(int out)
{
    int in = (int)OK(open(own_path(), O_RDONLY));
    char bytes[65536];
    ssize_t got;

    while ((got = OK(read(in, bytes, sizeof(bytes)))) > 0)
        CHECK_EQ(write(out, bytes, (size_t)got), got);
    close(in);
    return out;
}

static void from_memory(void)
{
    int memory = copy_to((int)OK(memfd_create("x", MFD_CLOEXEC)));
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        fexecve(memory, arguments, environ);
        _exit(99);
    }
    ended_well("fexecve of a memfd", pid);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        execve(guest_format("/proc/self/fd/%d", memory), arguments, environ);
        _exit(99);
    }
    ended_well("execve of /proc/self/fd/N", pid);
}

static void by_descriptor(void)
{
    static const int flags[] = {O_RDONLY, O_PATH, O_RDONLY | O_CLOEXEC};

    for (size_t i = 0; i < 3; i++) {
        int fd = (int)OK(open(own_path(), flags[i]));
        pid_t pid = (pid_t)OK(fork());

        if (pid == 0) {
            syscall(SYS_execveat, fd, "", arguments, environ, AT_EMPTY_PATH);
            _exit(99);
        }
        ended_well("execveat(AT_EMPTY_PATH)", pid);
    }
}

static void copies(void)
{
    int fd = copy_to((int)OK(open("copy", O_WRONLY | O_CREAT, 0755)));
    pid_t pid;

    close(fd);
    OK(link("copy", "hard"));
    OK(symlink("hard", "soft"));
    OK(chmod("copy", 06755));
    for (int i = 0; i < 3; i++) {
        pid = (pid_t)OK(fork());
        if (pid == 0) {
            execve(i == 0 ? "./copy" : i == 1 ? "./hard" : "./soft", arguments, environ);
            _exit(99);
        }
        ended_well("a set-user-id copy", pid);
    }
}

static void as_interpreter(void)
{
    char *argv[] = {"x", NULL};
    pid_t pid;

    guest_write("script", guest_format("#!%s inside\n", own_path()));
    OK(chmod("script", 0755));
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        execve("./script", argv, environ);
        _exit(99);
    }
    ended_well("the interpreter of a script", pid);
}

static void *exec_thread(void *argument)
{
    execve(own_path(), arguments, environ);
    _exit(99);
    return argument;
}

static void from_a_thread(void)
{
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        pthread_t thread;

        pthread_create(&thread, NULL, exec_thread, NULL);
        for (;;)
            pause();
    }
    ended_well("execve by a thread", pid);
}

static void spawned(void)
{
    pid_t pid;

    CHECK_EQ(posix_spawn(&pid, own_path(), NULL, NULL, arguments, environ), 0);
    ended_well("posix_spawn", pid);
    pid = vfork();
    if (pid == 0) {
        execve(own_path(), arguments, environ);
        _exit(99);
    }
    ended_well("vfork", pid);
}

static int clone_body(void *argument)
{
    (void)argument;
    execve(own_path(), arguments, environ);
    _exit(99);
}

static void cloned(void)
{
    static const int flags[] = {SIGCHLD,
                                CLONE_VM | SIGCHLD,
                                CLONE_VM | CLONE_VFORK | SIGCHLD,
                                CLONE_FILES | SIGCHLD,
                                CLONE_PARENT_SETTID | SIGCHLD,
                                CLONE_FS | SIGCHLD,
                                CLONE_UNTRACED | SIGCHLD};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        char *stack =
            mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pid_t parent_tid;
        pid_t pid = clone(clone_body, stack + (1 << 20), flags[i], NULL, &parent_tid);

        if (pid < 0)
            attack_tried(guest_format("clone(%#x)", (unsigned)flags[i]), strerrorname_np(errno));
        else
            ended_well(guest_format("clone(%#x)", (unsigned)flags[i]), pid);
    }
}

static void with_changed_environment(void)
{
    char *hostile[] = {"LD_PRELOAD=/no/such.so", "LD_LIBRARY_PATH=/tmp", "LD_DEBUG=all",
                       guest_format("GUEST_SECRET=%s", attack_env("GUEST_SECRET")), NULL};
    pid_t pid = (pid_t)OK(fork());

    if (pid == 0) {
        execve(own_path(), arguments, hostile);
        _exit(99);
    }
    ended_well("a hostile environment", pid);
}

static const struct guest_case cases[] = {
    {"from-memory", from_memory},
    {"by-descriptor", by_descriptor},
    {"copies", copies},
    {"as-interpreter", as_interpreter},
    {"from-a-thread", from_a_thread},
    {"spawned", spawned},
    {"cloned", cloned},
    {"with-changed-environment", with_changed_environment},
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "inside") == 0)
        return inside();
    return guest_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}

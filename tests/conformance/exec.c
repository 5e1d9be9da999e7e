/* execve, execveat: what a program gets, keeps and loses, and what cannot be executed. */
#define FAMILY "exec"
#include "conform.h"

#include <elf.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define HELPER(...) ((char *[]){"conformance", "--helper", __VA_ARGS__, NULL})

extern char **environ;

static void script(const char *path, const char *text)
{
    file(path, text);
    ok(chmod(path, 0755));
}

/* What a program, started in a child by this call, writes to standard output. */
#define SAYS(text, call)                                                         \
    do {                                                                         \
        char says_[4096] = "";                                                   \
        int ends_[2];                                                            \
        pid_t pid_;                                                              \
        ok(pipe2(ends_, O_CLOEXEC));                                             \
        pid_ = spawn();                                                          \
        if (pid_ == 0) {                                                         \
            dup2(ends_[1], 1);                                                   \
            call;                                                                \
            fail("%s: %s", #call, strerrorname_np(errno));                       \
        }                                                                        \
        close(ends_[1]);                                                         \
        for (size_t at_ = 0;;) {                                                 \
            ssize_t got_ = read(ends_[0], says_ + at_, sizeof(says_) - 1 - at_); \
            if (got_ <= 0)                                                       \
                break;                                                           \
            at_ += (size_t)got_;                                                 \
        }                                                                        \
        close(ends_[0]);                                                         \
        joins(pid_);                                                             \
        same(says_, text);                                                       \
    } while (0)

REFUSED(missing, "execve(2) ENOENT", execl("./no", "no", NULL), ENOENT)
REFUSED(empty, "execve(2) ENOENT", execl("", "no", NULL), ENOENT)
REFUSED(directory, "execve(2) EACCES", execl(".", "x", NULL), EACCES)
REFUSED(bad_pointer, "execve(2) EFAULT", syscall(SYS_execve, 8, NULL, NULL), EFAULT)
REFUSED(bad_arguments, "execve(2) EFAULT", syscall(SYS_execve, self_path, 8, NULL), EFAULT)
REFUSED(bad_argument, "execve(2) EFAULT",
        syscall(SYS_execve, self_path, ((char *[]){"x", (char *)8, NULL}), NULL), EFAULT)
REFUSED(bad_environment, "execve(2) EFAULT",
        syscall(SYS_execve, self_path, ((char *[]){"x", NULL}), 8), EFAULT)
REFUSED(at_bad_descriptor, "execveat(2) EBADF", syscall(SYS_execveat, -7, "x", NULL, NULL, 0),
        EBADF)
REFUSED(at_bad_flags, "execveat(2) EINVAL", syscall(SYS_execveat, AT_FDCWD, "x", NULL, NULL, 1),
        EINVAL)
REFUSED(at_empty, "execveat(2) ENOENT", syscall(SYS_execveat, AT_FDCWD, "", NULL, NULL, 0), ENOENT)

CHECK(no_format, "execve(2) ENOEXEC")
{
    script("f", "just text\n");
    fails(execl("./f", "f", NULL), ENOEXEC);
    script("empty", "");
    fails(execl("./empty", "f", NULL), ENOEXEC);
}

CHECK(not_executable, "execve(2) EACCES: no x bit, whoever one is")
{
    file("f", "#!/bin/sh\n");
    ok(chmod("f", 0644));
    fails(execl("./f", "f", NULL), EACCES);
}

CHECK(fifo, "execve(2) EACCES: not a regular file")
{
    ok(mkfifo("p", 0755));
    fails(execl("./p", "p", NULL), EACCES);
    fails(execl("/dev/null", "null", NULL), EACCES);
}

CHECK(prefix_is_a_file, "execve(2) ENOTDIR")
{
    file("f", "");
    fails(execl("f/x", "x", NULL), ENOTDIR);
}

CHECK(loop, "execve(2) ELOOP")
{
    ok(symlink("l", "l"));
    fails(execl("./l", "l", NULL), ELOOP);
}

CHECK(too_long, "execve(2) E2BIG: one argument of 128 KiB")
{
    static char argument[131073];

    memset(argument, 'x', 131072);
    fails(execl(self_path, "x", "--helper", "exit", argument, NULL), E2BIG);
}

CHECK(longest, "execve(2): one argument of 128 KiB less the zero")
{
    static char argument[131072];

    memset(argument, '0', 131071);
    joins(({
        pid_t pid = spawn();
        if (pid == 0)
            execl(self_path, "x", "--helper", "exit", argument, NULL);
        pid;
    }));
}

CHECK(too_many, "execve(2) E2BIG: all together")
{
    static char *many[65537];
    static char text[128];

    memset(text, 'x', 127);
    for (int i = 0; i < 65536; i++)
        many[i] = text;
    fails(execve(self_path, many, environ), E2BIG);
}

CHECK(arguments, "execve(2): argv")
{
    same(helper_says(HELPER("arguments", "a b", "", "\xff"), environ), "[a b][]["
                                                                       "\xff"
                                                                       "]");
}

CHECK(environment, "execve(2): envp, nothing else")
{
    char *envp[] = {"A=1", "nothing", "B=", NULL};

    same(helper_says(HELPER("environment"), envp), "[A=1][nothing][B=]");
    same(helper_says(HELPER("environment"), (char *[]){NULL}), "");
}

CHECK(no_arguments, "execve(2): argv NULL gives one empty string since Linux 5.18")
{
    pid_t pid = spawn();

    if (pid == 0) {
        int nothing = open("/dev/null", O_RDWR);

        dup2(nothing, 2);
        syscall(SYS_execve, "/bin/true", NULL, NULL);
        _exit(99);
    }
    joins(pid);
}

CHECK(descriptors, "execve(2): open descriptors stay, but for FD_CLOEXEC")
{
    ok(dup2(0, 20));
    ok(dup3(0, 21, O_CLOEXEC));
    ok(dup2(0, 1000));
    same(helper_says(HELPER("descriptors"), environ), "[20][1000]");
}

CHECK(directory_descriptors, "execve(2): descriptors of directories, too")
{
    int fd = (int)ok(open(".", O_RDONLY));

    file("f", "");
    is(dup2(fd, 30), 30);
    ok(close(fd));
    same(helper_says(HELPER("descriptors"), environ), "[30]");
}

CHECK(position_is_kept, "execve(2): file offsets are kept")
{
    int fd;

    file("f", "abcdef");
    fd = (int)ok(open("f", O_RDONLY));
    is(lseek(fd, 3, SEEK_SET), 3);
    SAYS("def", (dup2(fd, 0), execl("/bin/cat", "cat", NULL)));
}

CHECK(signals, "execve(2): handlers are reset, ignored stay, mask and pending stay")
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    handle(SIGUSR1, count_signal, 0);
    handle(SIGHUP, SIG_IGN, 0);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    SAYS("[ignored 1][blocked 12][pending 12]",
         (raise(SIGUSR2), execv(self_path, HELPER("signals"))));
}

CHECK(ids_stay, "execve(2): pid, session, group, umask, nice, timer; the name is new")
{
    struct itimerval timer = {{0, 0}, {100, 0}};
    int start_ = getpriority(PRIO_PROCESS, 0);
    char wanted[256];
    int ends[2];
    char text[256] = "";
    pid_t pid;

    umask(031);
    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        dup2(ends[1], 1);
        prctl(PR_SET_NAME, "old", 0, 0, 0);
        nice(3);
        setitimer(ITIMER_REAL, &timer, NULL);
        execv(self_path, HELPER("process"));
        fail("execv");
    }
    close(ends[1]);
    ok(read(ends[0], text, sizeof(text) - 1));
    joins(pid);
    snprintf(
        wanted, sizeof(wanted),
        "pid=%d ppid=%d pgid=%d sid=%d name=conformance umask=31 nice=%d timer=1 stack=0 tid=%d",
        pid, getpid(), getpgrp(), getsid(0), start_ < 17 ? start_ + 3 : 19, pid);
    same(text, wanted);
}

CHECK(auxiliary_vector, "getauxval(3)")
{
    char wanted[PATH_MAX + 256];

    snprintf(
        wanted, sizeof(wanted),
        "page=4096 secure=0 uid=%u euid=%u gid=%u clktck=100 random=1 phdr=1 entry=1 execfn=%s",
        getuid(), geteuid(), getgid(), self_path);
    same(helper_says(HELPER("auxiliary"), environ), wanted);
}

CHECK(directory_stays, "execve(2): the working directory")
{
    same(helper_says(HELPER("directory"), environ), here());
    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(rmdir("../d"));
    same(helper_says(HELPER("directory"), environ), "ENOENT");
}

CHECK(executable, "proc(5) /proc/self/exe: links are resolved")
{
    ok(symlink(self_path, "l"));
    SAYS(self_path, execv("./l", HELPER("executable")));
}

CHECK(script_arguments, "execve(2): #! interpreter, one argument")
{
    char text[PATH_MAX + 64];

    snprintf(text, sizeof(text), "#!/bin/echo  two words \t \n");
    script("s", text);
    SAYS("two words ./s a b\n", execl("./s", "zero", "a", "b", NULL));
    script("t", "#!/bin/echo");
    SAYS("./t\n", execl("./t", "zero", NULL));
}

CHECK(script_of_script, "execve(2): an interpreter may be a script")
{
    char text[PATH_MAX];

    script("inner", "#!/bin/echo inner\n");
    snprintf(text, sizeof(text), "#!%s/inner outer\n", here());
    script("s", text);
    snprintf(text, sizeof(text), "inner %s/inner outer ./s x\n", here());
    SAYS(text, execl("./s", "zero", "x", NULL));
}

CHECK(script_without_interpreter, "execve(2) ENOENT, ENOEXEC")
{
    script("s", "#!/no/such/thing\n");
    fails(execl("./s", "s", NULL), ENOENT);
    script("t", "#!\n");
    fails(execl("./t", "t", NULL), ENOEXEC);
    script("u", "#!/bin\n");
    fails(execl("./u", "u", NULL), EACCES);
}

CHECK(script_loop, "execve(2) ELOOP: scripts of scripts without end")
{
    char text[PATH_MAX];

    snprintf(text, sizeof(text), "#!%s/s\n", here());
    script("s", text);
    fails(execl("./s", "s", NULL), ELOOP);
}

CHECK(script_by_descriptor, "execveat(2): a script gets /dev/fd/N")
{
    char text[64];
    int fd;

    script("s", "#!/bin/echo\n");
    fd = (int)ok(open("s", O_RDONLY));
    snprintf(text, sizeof(text), "/dev/fd/%d\n", fd);
    SAYS(text, syscall(SYS_execveat, fd, "", ((char *[]){"x", NULL}), environ, AT_EMPTY_PATH));
}

CHECK(script_by_closed_descriptor, "execveat(2) ENOENT: a script behind FD_CLOEXEC")
{
    int fd;

    script("s", "#!/bin/echo\n");
    fd = (int)ok(open("s", O_RDONLY | O_CLOEXEC));
    fails(syscall(SYS_execveat, fd, "", ((char *[]){"x", NULL}), environ, AT_EMPTY_PATH), ENOENT);
}

CHECK(by_descriptor, "execveat(2), fexecve(3): a program")
{
    int fd = (int)ok(open(self_path, O_RDONLY | O_CLOEXEC));

    SAYS("[x]", fexecve(fd, HELPER("arguments", "x"), environ));
    fd = (int)ok(open(self_path, O_PATH | O_CLOEXEC));
    SAYS("[y]", fexecve(fd, HELPER("arguments", "y"), environ));
}

CHECK(at_directory, "execveat(2): relative to a directory")
{
    int fd;

    ok(mkdir("d", 0755));
    script("d/s", "#!/bin/echo\n");
    fd = (int)ok(open("d", O_RDONLY));
    is(dup2(fd, 40), 40);
    SAYS("/dev/fd/40/s\n", syscall(SYS_execveat, 40, "s", ((char *[]){"x", NULL}), environ, 0));
}

CHECK(at_no_follow, "execveat(2) ELOOP with AT_SYMLINK_NOFOLLOW")
{
    ok(symlink(self_path, "l"));
    fails(syscall(SYS_execveat, AT_FDCWD, "l", HELPER("exit"), environ, AT_SYMLINK_NOFOLLOW),
          ELOOP);
}

static void damaged(size_t offset, const void *bytes, size_t length)
{
    char head[4096];
    int from = (int)ok(open(self_path, O_RDONLY));
    int to = (int)ok(open("f", O_RDWR | O_CREAT | O_TRUNC, 0755));

    is(read(from, head, sizeof(head)), (long)sizeof(head));
    memcpy(head + offset, bytes, length);
    is(write(to, head, sizeof(head)), (long)sizeof(head));
    close(from);
    close(to);
}

CHECK(elf_magic, "execve(2) ENOEXEC: a damaged ELF header")
{
    damaged(3, "G", 1);
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(elf_machine, "execve(2) ENOEXEC: another machine")
{
    damaged(offsetof(Elf64_Ehdr, e_machine), ((Elf64_Half[]){EM_AARCH64}), 2);
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(elf_type, "execve(2) ENOEXEC: not a program")
{
    damaged(offsetof(Elf64_Ehdr, e_type), ((Elf64_Half[]){ET_REL}), 2);
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(elf_entry_size, "execve(2) ENOEXEC: program headers of a wrong size")
{
    damaged(offsetof(Elf64_Ehdr, e_phentsize), ((Elf64_Half[]){8}), 2);
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(elf_no_headers, "execve(2) ENOEXEC: no program headers")
{
    damaged(offsetof(Elf64_Ehdr, e_phnum), ((Elf64_Half[]){0}), 2);
    fails(execl("./f", "f", NULL), ENOEXEC);
}

CHECK(elf_cut, "execve(2) ENOEXEC: shorter than its header")
{
    damaged(0, "", 0);
    ok(truncate("f", 40));
    fails(execl("./f", "f", NULL), ENOEXEC);
}

/* A copy of the program at "f", open for writing. */
static int copied(const char *path)
{
    char buffer[65536];
    int from = (int)ok(open(path, O_RDONLY));
    int to = (int)ok(open("f", O_RDWR | O_CREAT | O_TRUNC, 0755));
    ssize_t got;

    while ((got = read(from, buffer, sizeof(buffer))) > 0)
        is(write(to, buffer, (size_t)got), got);
    close(from);
    return to;
}

CHECK(elf_interpreter_missing, "execve(2) ENOENT: the ELF interpreter does not exist")
{
    int fd = copied(self_path);
    char head[4096];
    char *at;

    is(pread(fd, head, sizeof(head), 0), (long)sizeof(head));
    at = memmem(head, sizeof(head), "/lib64/ld-linux", 15);
    if (!at)
        skip("this program has no interpreter");
    is(pwrite(fd, "/lib64/no-linux", 15, at - head), 15);
    ok(close(fd));
    fails(execl("./f", "f", NULL), ENOENT);
}

CHECK(text_busy, "execve(2) ETXTBSY: open for writing")
{
    int fd = copied("/bin/true");

    fails(execl("./f", "f", NULL), ETXTBSY);
    ok(close(fd));
    SAYS("", execl("./f", "f", NULL));
}

CHECK(written_then_run, "execve(2): a program that was written a moment ago")
{
    ok(close(copied("/bin/echo")));
    SAYS("x\n", execl("./f", "f", "x", NULL));
    ok(rename("f", "g"));
    SAYS("y\n", execl("./g", "g", "y", NULL));
}

CHECK(removed_while_running, "unlink(2): a running program may be removed")
{
    SAYS("gone\n",
         execl("/bin/sh", "sh", "-c", "echo 'rm s; echo gone' >s; chmod 755 s; exec sh ./s", NULL));
    must(!exists("s"));
}

CHECK(memory_file, "execveat(2) of a memfd")
{
    char buffer[65536];
    int from = (int)ok(open("/bin/echo", O_RDONLY));
    int fd = (int)ok(memfd_create("program", MFD_CLOEXEC));
    ssize_t got;

    while ((got = read(from, buffer, sizeof(buffer))) > 0)
        ok(write(fd, buffer, (size_t)got));
    SAYS("x\n", fexecve(fd, (char *[]){"echo", "x", NULL}, environ));
}

static void *exec_in_thread(void *nothing)
{
    execv(self_path, HELPER("process"));
    return nothing;
}

static void *wait_for_ever(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

CHECK(other_threads_end, "execve(2): all other threads end, the pid stays")
{
    char wanted[64];
    char text[256] = "";
    int ends[2];
    pid_t pid;

    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        dup2(ends[1], 1);
        start(wait_for_ever, NULL);
        start(exec_in_thread, NULL);
        wait_for_ever(NULL);
    }
    close(ends[1]);
    ok(read(ends[0], text, sizeof(text) - 1));
    joins(pid);
    snprintf(wanted, sizeof(wanted), "tid=%d", pid);
    must(strstr(text, wanted));
}

CHECK(failed_exec_changes_nothing, "execve(2): on errors the process goes on")
{
    script("s", "#!/no\n");
    handle(SIGUSR1, count_signal, 0);
    fails(execl("./s", "s", NULL), ENOENT);
    raise(SIGUSR1);
    is(ticks, 1);
    is(fcntl((int)ok(open("s", O_RDONLY | O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
}

CHECK(set_user_id, "execve(2): set-user-ID of a script is ignored")
{
    as_root();
    script("s", "#!/bin/sh\nid -u\n");
    ok(chown("s", 1234, 1234));
    ok(chmod("s", 06755));
    SAYS("0\n", execl("./s", "s", NULL));
}

CHECK(no_new_privileges, "prctl(2) PR_SET_NO_NEW_PRIVS is kept")
{
    IN_CHILD
    {
        ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        ok(execl("/bin/sh", "sh", "-c", "grep -q 'NoNewPrivs:.*1' /proc/self/status", NULL));
    }
}

CHECK(dumpable_again, "prctl(2) PR_GET_DUMPABLE: 1 after execve")
{
    IN_CHILD
    {
        ok(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
        ok(execl("/bin/sh", "sh", "-c", "test -r /proc/self/environ", NULL));
    }
}

CHECK(comm, "proc(5) comm: the first 15 bytes of the file's name")
{
    ok(symlink("/bin/cat", "a-name-of-more-than-15"));
    SAYS("a-name-of-more-\n", execl("./a-name-of-more-than-15", "zero", "/proc/self/comm", NULL));
}

CHECK(command_line, "proc(5) cmdline")
{
    pid_t pid = spawn();
    char path[64];
    char *text;

    if (pid == 0)
        execv(self_path, HELPER("sleep", "a b", ""));
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    for (int i = 0; i < 200; i++) {
        int fd = open(path, O_RDONLY);
        char line[256];
        ssize_t got = read(fd, line, sizeof(line));

        close(fd);
        if (got == (ssize_t)sizeof("conformance\0--helper\0sleep\0a b\0") &&
            memcmp(line, "conformance\0--helper\0sleep\0a b\0", (size_t)got) == 0)
            break;
        nap(2);
        if (i == 199)
            fail("cmdline has %zd bytes", got);
    }
    text = slurp(path);
    same(text, "conformance");
    kill(pid, SIGKILL);
    killed(pid, SIGKILL);
}

CHECK(stack_limit, "execve(2): RLIMIT_STACK bounds arguments")
{
    static char *many[2001];
    static char text[1024];
    struct rlimit limit = {1 << 20, 8 << 20};

    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 2000; i++)
        many[i] = text;
    ok(setrlimit(RLIMIT_STACK, &limit));
    fails(execve(self_path, many, environ), E2BIG);
}

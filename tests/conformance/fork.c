/* fork, vfork, clone. */
#define FAMILY "fork"
#include "conform.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/times.h>

static int raw_clone(int flags, void *parent_tid, void *child_tid)
{
    return (int)syscall(SYS_clone, flags, NULL, parent_tid, child_tid, 0);
}

static char stack[65536] __attribute__((aligned(16)));

static int run_on_stack(int (*run)(void *), int flags, void *argument)
{
    return clone(run, stack + sizeof(stack), flags, argument);
}

static int change_directory(void *path)
{
    umask(0);
    return chdir(path);
}

static int close_three(void *nothing)
{
    (void)nothing;
    return close(3);
}

static int set_value(void *value)
{
    *(int *)value = 5;
    return 0;
}

REFUSED(thread_without_vm, "clone(2) EINVAL", raw_clone(CLONE_THREAD, NULL, NULL), EINVAL)
REFUSED(sighand_without_vm, "clone(2) EINVAL", raw_clone(CLONE_SIGHAND, NULL, NULL), EINVAL)

CHECK(ids, "fork(2): a new pid, the parent's ppid")
{
    pid_t parent = getpid();
    pid_t pid = spawn();

    if (pid == 0) {
        is(getppid(), parent);
        must(getpid() != parent);
        is(gettid(), getpid());
        _exit(0);
    }
    must(pid > 0 && pid != parent);
    joins(pid);
}

CHECK(memory_is_copied, "fork(2): separate memory")
{
    static int value = 1;

    IN_CHILD value = 2;
    is(value, 1);
}

CHECK(descriptors_are_copied, "fork(2): the child's close is its own")
{
    int fd = (int)ok(open("/dev/null", O_RDONLY));

    IN_CHILD ok(close(fd));
    ok(fcntl(fd, F_GETFD));
}

CHECK(directories_are_copied, "fork(2): descriptors of directories work in the child")
{
    int fd;

    ok(mkdir("d", 0755));
    file("d/f", "text");
    fd = (int)ok(open("d", O_RDONLY));
    IN_CHILD
    {
        DIR *dir = fdopendir(fd);
        int count = 0;

        must(dir);
        while (readdir(dir))
            count++;
        is(count, 3);
        ok(faccessat(fd, "f", F_OK, 0));
    }
    ok(faccessat(fd, "f", F_OK, 0));
}

CHECK(pending_signals, "fork(2): pending signals are not inherited")
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    raise(SIGUSR1);
    IN_CHILD
    {
        sigpending(&set);
        is(sigismember(&set, SIGUSR1), 0);
        sigprocmask(SIG_BLOCK, NULL, &set);
        is(sigismember(&set, SIGUSR1), 1);
    }
}

CHECK(timers, "fork(2): timers and times are not inherited")
{
    struct itimerval timer = {{0, 0}, {100, 0}};

    ok(setitimer(ITIMER_REAL, &timer, NULL));
    IN_CHILD
    {
        struct tms times_;

        ok(getitimer(ITIMER_REAL, &timer));
        is(timer.it_value.tv_sec, 0);
        times(&times_);
        is(times_.tms_cutime, 0);
    }
}

CHECK(locks, "fork(2): POSIX locks are not inherited")
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));

    ok(fcntl(fd, F_SETLK, &lock));
    IN_CHILD fails(fcntl(fd, F_SETLK, &lock), EAGAIN);
}

CHECK(memory_locks, "fork(2): mlock is not inherited")
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *status;

    ok(mlock(page, 4096));
    IN_CHILD
    {
        status = slurp("/proc/self/status");
        must(strstr(status, "VmLck:\t       0 kB"));
    }
}

CHECK(vfork_shares, "vfork(2): the child borrows the memory, the parent waits")
{
    static volatile int value = 1;
    pid_t pid = vfork();

    if (pid == 0) {
        value = 2;
        _exit(0);
    }
    is(value, 2);
    joins(pid);
}

CHECK(vfork_exec, "vfork(2) and execve(2)")
{
    char *const argv[] = {"true", NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        execv("/bin/true", argv);
        _exit(1);
    }
    joins(pid);
}

CHECK(vfork_failed_exec, "vfork(2): a failed execve(2) is seen in the child")
{
    static volatile int code;
    char *const argv[] = {"no", NULL};
    pid_t pid = vfork();

    if (pid == 0) {
        execv("./no", argv);
        code = errno;
        _exit(3);
    }
    exits(pid, 3);
    is(code, ENOENT);
}

CHECK(vfork_directory, "vfork(2): chdir and close are the child's own")
{
    pid_t pid;

    ok(mkdir("d", 0755));
    pid = vfork();
    if (pid == 0) {
        chdir("d");
        close(0);
        _exit(0);
    }
    joins(pid);
    ok(access("d", F_OK));
    ok(fcntl(0, F_GETFD));
}

CHECK(clone_vm, "clone(2) CLONE_VM: memory is shared")
{
    int value = 1;
    pid_t pid = run_on_stack(set_value, CLONE_VM | SIGCHLD, &value);

    ok(pid);
    joins(pid);
    is(value, 5);
}

CHECK(clone_files, "clone(2) CLONE_FILES: descriptors are shared")
{
    ok(dup2(0, 3));
    joins((pid_t)ok(run_on_stack(close_three, CLONE_FILES | SIGCHLD, NULL)));
    fails(fcntl(3, F_GETFD), EBADF);
}

CHECK(clone_fs, "clone(2) CLONE_FS: directory and umask are shared")
{
    ok(mkdir("d", 0755));
    joins((pid_t)ok(run_on_stack(change_directory, CLONE_FS | SIGCHLD, "d")));
    fails(access("d", F_OK), ENOENT);
    is(umask(0), 0);
}

CHECK(clone_without_fs, "clone(2) without CLONE_FS: they are copied")
{
    ok(mkdir("d", 0755));
    joins((pid_t)ok(run_on_stack(change_directory, SIGCHLD, "d")));
    ok(access("d", F_OK));
    is(umask(0), 022);
}

CHECK(clone_tids, "clone(2) CLONE_PARENT_SETTID, CLONE_CHILD_SETTID")
{
    static int parent_tid;
    static int child_tid;
    pid_t pid =
        raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &parent_tid, &child_tid);

    if (pid == 0) {
        is(child_tid, (long long)syscall(SYS_gettid));
        _exit(0);
    }
    is(parent_tid, pid);
    joins(pid);
}

CHECK(clone_no_signal, "clone(2): no termination signal, __WCLONE")
{
    pid_t pid = raw_clone(0, NULL, NULL);
    int status;

    if (pid == 0)
        _exit(3);
    fails(waitpid(pid, &status, WNOHANG), ECHILD);
    is(waitpid(pid, &status, __WCLONE), pid);
    is(WEXITSTATUS(status), 3);
}

CHECK(clone_other_signal, "clone(2): another termination signal")
{
    int status;
    pid_t pid;

    handle(SIGUSR1, count_signal, 0);
    pid = raw_clone(SIGUSR1, NULL, NULL);
    if (pid == 0)
        _exit(0);
    is(waitpid(pid, &status, __WALL), pid);
    is(ticks, 1);
}

CHECK(clone_parent, "clone(2) CLONE_PARENT: a sibling")
{
    pid_t parent = getpid();
    int ends[2];
    pid_t sibling = 0;
    int status;

    ok(pipe(ends));
    IN_CHILD
    {
        pid_t pid = raw_clone(CLONE_PARENT | SIGCHLD, NULL, NULL);

        if (pid == 0) {
            is(syscall(SYS_getppid), parent);
            _exit(4);
        }
        ok(pid);
        ok(write(ends[1], &pid, sizeof(pid)));
    }
    is(read(ends[0], &sibling, sizeof(sibling)), (long)sizeof(sibling));
    is(waitpid(sibling, &status, 0), sibling);
    is(WEXITSTATUS(status), 4);
}

CHECK(clone3_falls_back, "clone3(2): works, or ENOSYS as on an older kernel")
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } arguments = {.exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        is(errno, ENOSYS);
        return;
    }
    joins(pid);
}

CHECK(process_limit, "fork(2) EAGAIN: RLIMIT_NPROC")
{
    struct rlimit limit = {1, 1};

    as_user();
    if (has_capability(21) || has_capability(24))
        skip("a capability overrides the limit");
    ok(setrlimit(RLIMIT_NPROC, &limit));
    fails(fork(), EAGAIN);
}

CHECK(many_children, "fork(2): a hundred at a time")
{
    pid_t pids[100];

    for (int i = 0; i < 100; i++) {
        pids[i] = spawn();
        if (pids[i] == 0)
            _exit(i);
    }
    for (int i = 0; i < 100; i++)
        exits(pids[i], i);
}

CHECK(generations, "fork(2): what a process has is inherited through generations")
{
    ok(mkdir("d", 0755));
    file("d/f", "");
    IN_CHILD
    {
        ok(chdir("d"));
        umask(077);
        IN_CHILD
        {
            IN_CHILD
            {
                ok(access("f", F_OK));
                ok(mkdir("e", 0777));
                is(mode_of("e"), 0700);
            }
        }
    }
}

CHECK(orphans_keep_directory, "fork(2): an orphan keeps its directory")
{
    int ends[2];
    char byte;

    ok(pipe(ends));
    ok(mkdir("d", 0755));
    file("d/f", "");
    IN_CHILD
    {
        pid_t parent = getpid();

        ok(chdir("d"));
        if (fork() == 0) {
            for (int i = 0; i < 2000 && getppid() == parent; i++)
                nap(1);
            if (access("f", F_OK) == 0)
                write(ends[1], "y", 1);
            _exit(0);
        }
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 1);
}

CHECK(unshare_files, "unshare(2) CLONE_FILES, CLONE_FS, EINVAL")
{
    ok(unshare(0));
    ok(unshare(CLONE_FILES));
    ok(unshare(CLONE_FS));
    fails(unshare(1), EINVAL);
}

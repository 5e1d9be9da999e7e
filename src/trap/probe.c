/*
 * What the host offers, found out by doing. A version number says little: distributions port
 * features back, and containers, security modules and sysctls take them away.
 *
 * One child process is the subject of most trials: it installs a filter with a listener and sleeps.
 * The probe takes the listener over, reads the child's memory, seizes it and kills it. A second one
 * is born in a user namespace and tries whether it has any power there. Neither sends SIGCHLD.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "trap/trap.h"

/* Newer than the headers of the oldest system this is built on. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define PIDFD_THREAD_FLAG O_EXCL /* 6.9 */

/* A context id in the guest's RLIMIT_LOCKS must reach at least this far. */
#define CONTEXT_ID_NEEDED (1UL << 20)

#define YAMA_SCOPE "/proc/sys/kernel/yama/ptrace_scope"

/* What the subject finds out about itself and tells the probe. */
struct subject_report {
    int listener; /* descriptor number in the subject, or a negative errno */
    bool wait_killable;
};

/* What the subject writes into its memory after the fork, so that ours differs. */
#define MARK 0x43657265627230ULL

static int install_listener(unsigned long flags)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = 1, .filter = &allow};
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                      SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &program);

    return fd < 0 ? -errno : (int)fd;
}

/* In the subject: nothing but system calls, as other threads of the parent may hold any lock. */
static _Noreturn void be_subject(int report_fd, uint64_t *mark)
{
    struct subject_report report = {0};

    /* The process kernel may be undumpable; its guests are not. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    *mark = MARK;
    report.listener = install_listener(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    report.wait_killable = report.listener >= 0;
    if (report.listener == -EINVAL)
        report.listener = install_listener(0);
    if (write(report_fd, &report, sizeof(report)) == (ssize_t)sizeof(report))
        syscall(SYS_pause);
    _exit(1);
}

/* A fork without exit signal, so that nobody's SIGCHLD handling hears of it. */
static pid_t start_subject(struct subject_report *ret_report, uint64_t *mark)
{
    cleanup_close int read_end = -1;
    cleanup_close int write_end = -1;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    read_end = ends[0];
    write_end = ends[1];
    pid = (pid_t)syscall(SYS_clone, 0L, NULL, NULL, NULL, 0L);
    if (pid < 0)
        return -errno;
    if (pid == 0)
        be_subject(write_end, mark);
    base_close(take_fd(&write_end));
    if (io_read_all(read_end, ret_report, sizeof(*ret_report)) < 0)
        ret_report->listener = -ECHILD;
    return pid;
}

static void end_child(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    while (waitpid(pid, &status, __WALL) < 0 ? errno == EINTR : WIFSTOPPED(status))
        continue;
}

/* Flags are checked before the request is looked for: "no such request" means they are known. */
static int try_addfd(int listener, unsigned flags)
{
    struct seccomp_notif_addfd request = {
        .id = UINT64_MAX, .flags = flags, .srcfd = (uint32_t)listener};

    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &request) >= 0 || errno == ENOENT)
        return 0;
    return -errno;
}

static int take_listener(pid_t pid, int number, int *ret_listener)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int listener;

    if (pidfd < 0)
        return -errno;
    listener = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (listener < 0)
        return -errno;
    *ret_listener = listener;
    return 0;
}

static bool is_kernel(const struct trap_features *features, unsigned major, unsigned minor)
{
    return features->kernel_major > major ||
           (features->kernel_major == major && features->kernel_minor >= minor);
}

/* What cannot be tried on a listener that we do not get. */
static void expect_notification(struct trap_features *features)
{
    features->addfd_send = is_kernel(features, 5, 14);
    features->sync_wake_up = is_kernel(features, 6, 6);
}

static void probe_notification(struct trap_features *features, pid_t pid,
                               const struct subject_report *report)
{
    /* Without a listener, standard input will do to see whether descriptors can be taken. */
    int number = report->listener >= 0 ? report->listener : STDIN_FILENO;
    cleanup_close int listener = -1;

    features->notification_error = report->listener < 0 ? report->listener : 0;
    features->wait_killable = report->wait_killable;
    features->pidfd_getfd_error = take_listener(pid, number, &listener);
    if (listener >= 0 && report->listener >= 0) {
        features->notification_error = try_addfd(listener, 0);
        features->addfd_send = try_addfd(listener, SECCOMP_ADDFD_FLAG_SEND) == 0;
        features->sync_wake_up =
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
    } else if (report->listener >= 0) {
        expect_notification(features);
    }
    features->user_notification = features->notification_error == 0;
    features->pidfd_getfd = features->pidfd_getfd_error == 0;
}

static int try_process_vm(pid_t pid, uint64_t *mark)
{
    uint64_t seen = 0;
    const struct iovec local = {&seen, sizeof(seen)};
    const struct iovec remote = {mark, sizeof(*mark)};

    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0)
        return -errno;
    return seen == MARK ? 0 : -EIO;
}

static int try_seize(pid_t pid)
{
    return ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? -errno : 0;
}

/* The context id is set and read from outside, and the hard limit must leave room for it. */
static int try_context_limit(pid_t pid)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return -errno;
    if (limit.rlim_max < CONTEXT_ID_NEEDED)
        return -ERANGE;
    limit.rlim_cur = CONTEXT_ID_NEEDED;
    if (prlimit(pid, RLIMIT_LOCKS, &limit, NULL) < 0 ||
        prlimit(pid, RLIMIT_LOCKS, NULL, &limit) < 0)
        return -errno;
    return limit.rlim_cur == CONTEXT_ID_NEEDED ? 0 : -EIO;
}

static void probe_subject(struct trap_features *features)
{
    struct subject_report report = {.listener = -ECHILD};
    uint64_t mark = 0;
    pid_t pid = start_subject(&report, &mark);

    if (pid < 0) {
        features->notification_error = features->pidfd_getfd_error = features->process_vm_error =
            features->seize_error = features->context_limit_error = pid;
        return;
    }
    probe_notification(features, pid, &report);
    features->process_vm_error = try_process_vm(pid, &mark);
    features->context_limit_error = try_context_limit(pid);
    features->seize_error = try_seize(pid);
    features->process_vm = features->process_vm_error == 0;
    features->context_limit = features->context_limit_error == 0;
    features->seize = features->seize_error == 0;
    end_child(pid);
}

/*
 * In a new user and host name namespace, on the parent's memory while the parent sleeps: setting
 * the host name it already has shows whether the capabilities there are real (Ubuntu's AppArmor
 * rule lets the namespace be made and withholds them).
 */
static int be_namespaced(void *data)
{
    struct utsname *names = data;

    return sethostname(names->nodename, strlen(names->nodename)) == 0 ? 0 : 1;
}

static bool try_user_namespace(struct utsname *names)
{
    char stack[16384] __attribute__((aligned(16)));
    sigset_t all;
    sigset_t before;
    int status = -1;
    pid_t pid;

    /* No handler of ours may run in the child, which shares this memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = clone(be_namespaced, stack + sizeof(stack),
                CLONE_NEWUSER | CLONE_NEWUTS | CLONE_VM | CLONE_VFORK, names);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Features that a call answers for, without anybody's help. */
static void probe_calls(struct trap_features *features)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    cleanup_close int thread = (int)syscall(SYS_pidfd_open, gettid(), PIDFD_THREAD_FLAG);

    features->landlock_abi = abi > 0 ? (int)abi : 0;
    features->pidfd_thread = thread >= 0;
    /* No such process and descriptor: whoever says so would let us take one that there is. */
    syscall(SYS_pidfd_getfd, -1, 0, 0);
    features->pidfd_getfd_error = errno == EBADF ? 0 : -errno;
    features->pidfd_getfd = features->pidfd_getfd_error == 0;
    features->mseal = syscall(ABI_NR_mseal, 0L, 0L, 0L) == 0; /* of nothing */
}

static int read_yama_scope(void)
{
    cleanup_close int fd = open(YAMA_SCOPE, O_RDONLY | O_CLOEXEC);
    char digit;

    if (fd < 0 || read(fd, &digit, 1) != 1 || digit < '0' || digit > '9')
        return -1;
    return digit - '0';
}

static void read_version(struct trap_features *features, const struct utsname *names)
{
    if (sscanf(names->release, "%u.%u", &features->kernel_major, &features->kernel_minor) != 2)
        features->kernel_major = features->kernel_minor = 0;
}

int trap_probe(struct trap_features *ret_features)
{
    const struct pk_config config = {0};
    struct trap_features features = {0};
    struct trap_filter_facts facts;
    struct utsname names = {0};

    uname(&names);
    read_version(&features, &names);
    features.yama_scope = read_yama_scope();
    probe_calls(&features);
    probe_subject(&features);
    features.user_namespaces = try_user_namespace(&names);
    /* A RECV that does not end cannot be tried without risking to wait for ever. */
    features.recv_ends = is_kernel(&features, 6, 11);
    trap_filter_facts(&config, &facts);
    features.filter_length = facts.instructions;
    *ret_features = features;
    return 0;
}

/* Flags are checked before the program is read: "bad address" means that they are known. */
static bool is_filter_flag(unsigned long flags)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags,
                   NULL) < 0 &&
           errno == EFAULT;
}

void trap_expect(struct trap_features *ret_features)
{
    struct trap_features features = {
        .user_notification = true,
        .process_vm = true,
        .seize = true,
        .context_limit = true,
        .user_namespaces = true, /* the start is repeated without them when they cannot be had */
    };
    struct utsname names = {0};

    uname(&names);
    read_version(&features, &names);
    probe_calls(&features);
    features.wait_killable = is_filter_flag(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    expect_notification(&features);
    features.recv_ends = is_kernel(&features, 6, 11);
    *ret_features = features;
}

static const char container_hint[] =
    "in a container, start it with --cap-add SYS_PTRACE --security-opt seccomp=unconfined, or with "
    "a seccomp profile that allows seccomp, ptrace, process_vm_readv, process_vm_writev and "
    "pidfd_open";

static int fail_old_kernel(const struct trap_features *features, struct base_error *error)
{
    return base_fail(error, ENOSYS,
                     "boot a newer kernel: Debian 11, Ubuntu 22.04, RHEL 9 and later have one",
                     "this host runs Linux %u.%u, and Linux 5.10 or newer is needed",
                     features->kernel_major, features->kernel_minor);
}

static int fail_notification(const struct trap_features *features, struct base_error *error)
{
    int code = features->notification_error;

    if (code == -EBUSY)
        return base_fail(error, code,
                         "run it outside of that program: the kernel allows one listener for a "
                         "process and its descendants",
                         "another program (a process kernel, or a container manager) already "
                         "answers system calls of this process");
    if (code == -ENOSYS || code == -EINVAL)
        return base_fail(error, code,
                         "the kernel needs CONFIG_SECCOMP_FILTER, and gVisor and WSL 1 do not have "
                         "it; `zgrep SECCOMP /proc/config.gz` may show the setting",
                         "the kernel (Linux %u.%u) has no seccomp user notification",
                         features->kernel_major, features->kernel_minor);
    if (code == -EAGAIN || code == -ENOMEM || code == -EMFILE || code == -ENFILE)
        return base_fail(error, code, "look at `ulimit -u`, `ulimit -n` and the free memory",
                         "the host could not be probed: %s", strerror(-code));
    return base_fail(error, code, container_hint,
                     "a seccomp filter with a listener cannot be installed: %s", strerror(-code));
}

/* Reading memory, seizing and taking descriptors need the same permission: that of a debugger. */
static int fail_ptrace(const struct trap_features *features, const char *what, int code,
                       struct base_error *error)
{
    if (features->yama_scope == 2)
        return base_fail(error, code,
                         "run `sysctl kernel.yama.ptrace_scope=1` as root, and write the setting "
                         "to a file in /etc/sysctl.d to keep it",
                         "%s is forbidden, because kernel.yama.ptrace_scope is 2 (administrators "
                         "only)",
                         what);
    if (features->yama_scope == 3)
        return base_fail(error, code,
                         "write kernel.yama.ptrace_scope=1 to a file in /etc/sysctl.d and reboot: "
                         "the running kernel does not take 3 back",
                         "%s is forbidden, because kernel.yama.ptrace_scope is 3 (nobody)", what);
    return base_fail(error, code, container_hint,
                     "%s is not possible: %s; a container's seccomp profile, a security module or "
                     "a tracer such as strace -f is in the way",
                     what, strerror(-code));
}

int trap_check_features(const struct trap_features *features, struct base_error *error)
{
    bool complete = features->user_notification && features->process_vm && features->seize;

    if (!complete && features->kernel_major > 0 && !is_kernel(features, 5, 10))
        return fail_old_kernel(features, error);
    if (!features->user_notification)
        return fail_notification(features, error);
    if (!features->process_vm)
        return fail_ptrace(features, "reading the memory of a child process",
                           features->process_vm_error, error);
    if (!features->seize)
        return fail_ptrace(features, "ptrace of a child process", features->seize_error, error);
    if (!features->context_limit)
        return base_fail(error, features->context_limit_error,
                         "lift the hard limit of file locks (`ulimit -Hx` shows it): LimitLOCKS= "
                         "in a systemd unit, `locks` in /etc/security/limits.conf",
                         "RLIMIT_LOCKS, which carries what processes inherit, cannot be used: %s",
                         strerror(-features->context_limit_error));
    return 0;
}

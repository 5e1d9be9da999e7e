/*
 * Installing the filter by injected calls:
 *
 *     mmap                        a page for the program, written from here
 *     seccomp                     for all threads; PR_SET_NO_NEW_PRIVS before it if it must be
 *     (pidfd_getfd from here)     takes the listener
 *     close, munmap               nothing is left behind
 *
 * All threads stand still, so no child can be made that would inherit the listener.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4) /* 5.7 */
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* 6.9 */
#endif

struct installation {
    struct injection injection;
    const struct target *target;
    int pidfd;     /* of the injected thread, or of its process when they share descriptors */
    uint64_t page; /* in the target */
    size_t size;
};

static int run(struct installation *installation, long nr, const uint64_t args[6],
               int64_t *ret_value)
{
    return inject_run(&installation->injection, nr, args, ret_value);
}

/* A descriptor through which the thread's descriptors can be taken, tried out. */
static int open_thread(pid_t pid, pid_t tid)
{
    cleanup_close int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

    if (fd < 0) {
        if (tid != pid && syscall(SYS_kcmp, pid, tid, KCMP_FILES, 0, 0) != 0)
            return -EOPNOTSUPP;
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
    }
    if (fd < 0)
        return -errno;
    /* There is no such number; any other answer means that we would not get the listener. */
    if (syscall(SYS_pidfd_getfd, fd, INT_MAX, 0) >= 0 || errno != EBADF)
        return errno == EBADF ? -EIO : -errno;
    return take_fd(&fd);
}

static int write_program(struct installation *installation, const struct sock_fprog *program)
{
    struct sock_fprog header = {.len = program->len,
                                .filter = (void *)(installation->page + sizeof(header))};
    struct iovec local[2] = {{&header, sizeof(header)},
                             {program->filter, program->len * sizeof(*program->filter)}};
    struct iovec remote = {(void *)installation->page, local[0].iov_len + local[1].iov_len};
    ssize_t n = process_vm_writev(installation->injection.tid, local, 2, &remote, 1, 0);

    return n == (ssize_t)remote.iov_len ? 0 : n < 0 ? -errno : -EFAULT;
}

static int map_page(struct installation *installation, const struct sock_fprog *program)
{
    uint64_t args[6] = {0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
    int64_t value;
    int r;

    installation->size = sizeof(*program) + program->len * sizeof(*program->filter);
    args[1] = installation->size;
    r = run(installation, SYS_mmap, args, &value);
    if (r < 0)
        return r;
    if (value < 0 && value >= -4095)
        return (int)value;
    installation->page = (uint64_t)value;
    return write_program(installation, program);
}

static int seccomp_in_target(struct installation *installation, unsigned long flags, int64_t *value)
{
    uint64_t args[6] = {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags,
                        installation->page};

    return run(installation, SYS_seccomp, args, value);
}

/* As much as the host has: threads at once and undisturbed handlers, or less. */
static int seccomp_best(struct installation *installation, int64_t *value)
{
    static const unsigned long all = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    int r = seccomp_in_target(installation, all | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, value);

    if (r == 0 && *value == -EINVAL)
        r = seccomp_in_target(installation, all, value);
    if (r == 0 && *value == -EINVAL && installation->target->threads == 1)
        r = seccomp_in_target(installation, 0, value);
    return r;
}

static int set_filter(struct installation *installation, int64_t *value)
{
    static const uint64_t no_new_privs[6] = {PR_SET_NO_NEW_PRIVS, 1};
    int64_t ignored;
    int r = seccomp_best(installation, value);

    if (r < 0 || *value != -EACCES)
        return r;
    r = run(installation, SYS_prctl, no_new_privs, &ignored);
    return r < 0 ? r : seccomp_best(installation, value);
}

static int explain(const struct target *target, int64_t code, struct base_error *error)
{
    pid_t pid = target->pid;

    switch (-code) {
    case EBUSY:
        return base_fail(error, EBUSY, "see: cerebro ps",
                         "process %d has a filter with a listener already: it was started by one "
                         "that a kernel is attached to, or is a guest of something else",
                         pid);
    case ESRCH:
        return base_fail(error, EACCES, NULL,
                         "a thread of process %d has a seccomp filter of its own", pid);
    case EINVAL:
        return base_fail(error, ENOSYS, NULL,
                         "attaching to a process with several threads needs Linux 5.7");
    case EMFILE:
        return base_fail(error, EMFILE, "raise its limit: prlimit --pid PID --nofile",
                         "process %d has no descriptor left", pid);
    default:
        return base_fail(error, (int)code, NULL, "process %d cannot get a filter: %s", pid,
                         strerror((int)-code));
    }
}

/* The listener is ours from here on, or nobody's. */
static int take_listener(struct installation *installation, int number, struct base_error *error)
{
    uint64_t args[6] = {(uint64_t)number};
    int64_t ignored;
    int listener = (int)syscall(SYS_pidfd_getfd, installation->pidfd, number, 0);
    int r = listener < 0 ? -errno : 0;

    run(installation, SYS_close, args, &ignored);
    if (r < 0)
        return base_fail(error, r, NULL, "the listener of process %d could not be taken: %s",
                         installation->target->pid, strerror(-r));
    return listener;
}

static int install(struct installation *installation, const struct sock_fprog *program,
                   int *ret_listener, struct base_error *error)
{
    pid_t pid = installation->target->pid;
    int64_t value = 0;
    int listener = -1;
    int r = map_page(installation, program);

    if (r < 0 && r != -ESRCH && r != -ETIME)
        base_fail(error, r, "its address space may be full", "process %d has no memory for us: %s",
                  pid, strerror(-r));
    if (r == 0)
        r = set_filter(installation, &value);
    if (r == 0 && value < 0)
        r = explain(installation->target, value, error);
    if (r == 0) {
        listener = take_listener(installation, (int)value, error);
        r = listener < 0 ? listener : 0;
    }
    if (installation->page && r != -ETIME)
        run(installation, SYS_munmap, (uint64_t[6]){installation->page, installation->size},
            &value);
    if (r == 0)
        *ret_listener = listener;
    return r;
}

/* Threads in a call come first: they are in nothing that our calls could disturb. */
static int take_thread(const struct stopped *stopped, bool suspend, bool in_call,
                       struct installation *installation)
{
    int r = -ESRCH;

    for (size_t i = 0; i < stopped->count; i++) {
        const struct stop_thread *thread = &stopped->threads[i];
        struct user_regs_struct regs;

        if (thread->state != STOP_STANDS || ptrace(PTRACE_GETREGS, thread->tid, NULL, &regs) < 0 ||
            ((long)regs.orig_rax >= 0) != in_call)
            continue;
        r = open_thread(stopped->pid, thread->tid);
        if (r < 0)
            continue;
        installation->pidfd = r;
        r = inject_begin(stopped, thread, suspend, &installation->injection);
        if (r == 0)
            return 0;
        base_close(take_fd(&installation->pidfd));
    }
    return r;
}

static int explain_thread(const struct target *target, int code, struct base_error *error)
{
    switch (-code) {
    case ENOEXEC:
        return base_fail(error, ENOEXEC, "start it with cerebro run of a 64-bit program",
                         "process %d is a 32-bit program, whose calls are others", target->pid);
    case EACCES:
        return base_fail(error, EACCES, "attach as root, who can suspend it for a moment",
                         "process %d has a seccomp filter of its own, which may kill it for the "
                         "calls that attaching needs",
                         target->pid);
    case ESRCH:
        return code;
    default:
        return base_fail(error, code, NULL, "no thread of process %d can be used: %s", target->pid,
                         strerror(-code));
    }
}

int install_filter(struct stopped *stopped, const struct target *target,
                   const struct sock_fprog *program, int *ret_listener, struct base_error *error)
{
    struct installation installation = {.target = target, .pidfd = -1};
    bool suspend = target->seccomp != 0 && !container_allows(target);
    int r = take_thread(stopped, suspend, true, &installation);
    int end;

    if (r == -ESRCH)
        r = take_thread(stopped, suspend, false, &installation);
    else if (r < 0 && r != -EACCES && take_thread(stopped, suspend, false, &installation) == 0)
        r = 0;
    if (r < 0)
        return explain_thread(target, r, error);
    r = install(&installation, program, ret_listener, error);
    end = inject_end(&installation.injection);
    base_close(installation.pidfd);
    if (r == 0 && end < 0)
        return base_fail(error, -end, NULL, "process %d was lost: %s", target->pid, strerror(-end));
    return r;
}

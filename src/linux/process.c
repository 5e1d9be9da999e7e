/*
 * Calls about processes: only those of the tree can be named, and no guest gets namespaces or a
 * seccomp filter of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/sharing.h"
#include "linux/identity.h"
#include "linux/process-internal.h"
#include "vfs/watch.h"

#define CLONE_NEW_ANY                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)
#define CLONE_NEWTIME_BIT 0x80u /* unshare and setns only: in clone it is part of the signal */

/* ioprio_set(2); <linux/ioprio.h> names them. */
#define IOPRIO_PROCESS 1
#define IOPRIO_GROUP   2

#define MADVICE_COLLAPSE 25 /* MADV_COLLAPSE, Linux 6.1 */

#define NICE_OFFSET 20 /* what the call itself answers for a nice value of 0 */

static const char namespace_rule[] = "namespaces of its own would give a guest new rights";
static const char never[] = "it is never allowed";

static bool is_member(struct pk_request *request, pid_t pid)
{
    return pid == request->task->tid || pid == request->task->process->pid ||
           pk_pid_is_ours(request->kernel, pid);
}

/*
 * Process 1, where the tree has none: root's, and idle. Everybody may ask about it, nobody may
 * change it.
 */
static bool is_init(struct pk_request *request, pid_t pid)
{
    return pid == PROCESS_INIT && !is_member(request, pid);
}

/* A call whose pid argument may be 0 (the caller) or a member of the tree. */
static struct pk_answer for_member(struct pk_request *request, pid_t pid)
{
    if (is_init(request, pid))
        return pk_error(-EPERM);
    return pid == 0 || is_member(request, pid) ? pk_native() : pk_error(-ESRCH);
}

static struct pk_answer for_member_arg0(struct pk_request *request)
{
    return for_member(request, (pid_t)request->args[0]);
}

/* What the host would find wrong with the arguments, before it asks who may (sched(7)). */
static int judge_policy(struct pk_request *request)
{
    int policy = request->nr == ABI_NR_sched_setscheduler ? (int)request->args[1] : SCHED_OTHER;
    uint64_t address = request->args[request->nr == ABI_NR_sched_setscheduler ? 2 : 1];
    struct sched_param param;
    int least, most;

    if (address == 0)
        return -EINVAL;
    if (pk_read(request, address, &param, sizeof(param)) < 0)
        return -EFAULT;
    if (request->nr == ABI_NR_sched_setattr)
        return -EPERM; /* the host has an idea of its own of that structure */
    least = sched_get_priority_min(policy & ~SCHED_RESET_ON_FORK);
    most = sched_get_priority_max(policy & ~SCHED_RESET_ON_FORK);
    if (policy < 0 || least < 0 || param.sched_priority < least || param.sched_priority > most)
        return -EINVAL;
    return -EPERM;
}

/* The calls of the scheduler tell a number that nobody can have from one that nobody has. */
static struct pk_answer do_sched_of_member(struct pk_request *request)
{
    pid_t pid = (pid_t)request->args[0];

    if (pid < 0)
        return pk_error(-EINVAL);
    return is_init(request, pid) ? pk_error(judge_policy(request)) : for_member_arg0(request);
}

/*
 * Memory and kernel objects of another process: the host asks whether the caller may trace it, as
 * natively, but knows nothing of virtual ids. The loader's page cannot be written in this way:
 * process_vm_writev respects the protection of the pages.
 */
static struct pk_answer for_inspected(struct pk_request *request, pid_t pid)
{
    const struct pk_context *target;

    if (pid == request->task->tid || pid == request->task->process->pid)
        return pk_native();
    if (is_init(request, pid))
        return pk_error(-EPERM);
    if (pid <= 0 || !pk_pid_is_ours(request->kernel, pid))
        return pk_error(-ESRCH);
    target = linux_context_of(request->kernel, pid);
    if (target == NULL)
        return pk_error(-ESRCH);
    return identity_may_inspect(&request->context->identity, &target->identity) ? pk_native()
                                                                                : pk_error(-EPERM);
}

static struct pk_answer do_process_vm(struct pk_request *request)
{
    return for_inspected(request, (pid_t)request->args[0]);
}

static struct pk_answer do_kcmp(struct pk_request *request)
{
    pid_t first = (pid_t)request->args[0], second = (pid_t)request->args[1];
    struct pk_answer answer = for_inspected(request, first);

    if (answer.kind == PK_ANSWER_NATIVE)
        answer = for_inspected(request, second);
    /* The host knows nothing of a directory that two processes share (sharing.h). */
    if (answer.kind == PK_ANSWER_NATIVE && (int)request->args[2] == KCMP_FS &&
        pk_fs_is_shared(request->kernel, first, second))
        return pk_value(0);
    return answer;
}

/* A served descriptor works as such in the window only (file_duplicate()). */
static struct pk_answer give_duplicate(struct pk_request *request, int fd)
{
    if (vfs_handle_of_fd(request->kernel->vfs, fd) || unix_is_datagram(fd) ||
        vfs_watcher_of_fd(request->kernel->vfs, fd))
        return linux_window_descriptor(request, fd, O_CLOEXEC);
    return pk_descriptor(fd, O_CLOEXEC);
}

/* The host asks whether the caller may trace the other; what it does not know are virtual ids. */
static struct pk_answer do_pidfd_getfd(struct pk_request *request)
{
    cleanup_close int pidfd = pk_get_fd(request, (int)request->args[0]);
    struct pk_answer answer;
    int pid, fd;

    if ((unsigned)request->args[2])
        return pk_error(-EINVAL);
    if (pidfd < 0)
        return pk_error(pidfd);
    pid = process_of_pidfd(pidfd);
    if (pid < 0)
        return pk_error(pid);
    answer = for_inspected(request, pid);
    if (answer.kind != PK_ANSWER_NATIVE)
        return pk_error(-EPERM);
    fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)request->args[1], 0);
    return fd < 0 ? pk_error(-errno) : give_duplicate(request, fd);
}

/*
 * For another process the host wants CAP_SYS_NICE, which no guest has, whatever becomes of the
 * descriptor meanwhile. What remains is the caller's own, where nothing may be done to the loader's
 * page that madvise(2) may not: so only what takes nothing away.
 */
static struct pk_answer do_process_madvise(struct pk_request *request)
{
    switch ((int)request->args[3]) {
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADVICE_COLLAPSE:
        return pk_native();
    default:
        return pk_error(-EINVAL);
    }
}

/* On a duplicate, whose number nobody else can make another pidfd. */
static struct pk_answer do_process_mrelease(struct pk_request *request)
{
    cleanup_close int pidfd = pk_get_fd(request, (int)request->args[0]);
    int pid;

    if ((unsigned)request->args[1])
        return pk_error(-EINVAL);
    if (pidfd < 0)
        return pk_error(pidfd);
    pid = process_of_pidfd(pidfd);
    if (pid < 0)
        return pk_error(pid);
    if (!pk_pid_is_ours(request->kernel, pid))
        return pk_error(-ESRCH);
    return pk_value(syscall(SYS_process_mrelease, pidfd, 0) < 0 ? -errno : 0);
}

static struct pk_answer do_pidfd_open(struct pk_request *request)
{
    if ((pid_t)request->args[0] <= 0)
        return pk_error(-EINVAL);
    if (is_init(request, (pid_t)request->args[0]))
        return pk_error(-ESRCH); /* there is nothing that a descriptor could be of */
    return for_member_arg0(request);
}

/*
 * The filter lets threads, forks and vforks pass; what arrives shares the working directory between
 * two processes (CLONE_FS without CLONE_THREAD). No guest path is resolved with the host's, so the
 * child is made without that flag, which the filter lets pass, and joins its parent's group here.
 */
static struct pk_answer do_clone(struct pk_request *request)
{
    int child;

    if (request->args[0] & (CLONE_NEW_ANY | CLONE_PTRACE))
        return pk_denied(request, -EPERM, namespace_rule, never, "clone with flags 0x%lx",
                         (unsigned long)request->args[0]);
    if (request->port->clone == NULL)
        return pk_error(-ENOSYS);
    child = request->port->clone(request, request->args[0] & ~(uint64_t)CLONE_FS);
    if (child > 0 && pk_fs_share(request->kernel, request->task->process->pid, child) == -ENOMEM)
        pk_note(request, "no memory: %d has a copy of the working directory", child);
    return pk_value(child);
}

/* Every thread has a link in it. */
static bool has_threads(pid_t pid)
{
    struct stat stat_buf;
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    return stat(path, &stat_buf) == 0 && stat_buf.st_nlink > 3;
}

static struct pk_answer unshare_directory(struct pk_request *request)
{
    pid_t pid = request->task->process->pid;

    if (has_threads(pid))
        return linux_denied_quietly(request, -EPERM,
                                    "working directory, root and umask are those of a process",
                                    "unshare(CLONE_FS) in one of several threads");
    pk_fs_unshare(request->kernel, pid);
    return pk_native();
}

static struct pk_answer do_unshare(struct pk_request *request)
{
    if (request->args[0] & (CLONE_NEW_ANY | CLONE_NEWTIME_BIT))
        return pk_denied(request, -EPERM, namespace_rule, never, "unshare of namespaces (0x%lx)",
                         (unsigned long)request->args[0]);
    if (request->args[0] & CLONE_FS)
        return unshare_directory(request);
    return pk_native();
}

static struct pk_answer do_setns(struct pk_request *request)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);

    if (fd < 0 || vfs_is_path_only(request->kernel->vfs, fd) || fcntl(fd, F_GETFL) & O_PATH)
        return pk_error(-EBADF);
    return pk_denied(request, -EPERM, namespace_rule, never, "setns");
}

/*
 * EINVAL is what a kernel without seccomp filters answers: programs that merely harden themselves
 * (man, OpenSSH, tor) go on without. A filter of the guest's own would apply to the loader, too.
 * A listener is refused with EBUSY as on any host where a process has one already: that is what
 * another process kernel is told.
 */
static struct pk_answer do_seccomp(struct pk_request *request)
{
    if (request->args[0] == SECCOMP_SET_MODE_FILTER &&
        request->args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        return pk_error(-EBUSY);
    return linux_denied_quietly(request, -EINVAL, "a guest cannot install seccomp filters",
                                "seccomp(%u)", (unsigned)request->args[0]);
}

/* Setting something on each member of a group that strangers may be in. */
struct priority_change {
    struct pk_request *request;
    pid_t group; /* 0: all of the tree */
    int value;
    unsigned found;
    int error;
};

static int change_priority(pid_t pid, void *user)
{
    struct priority_change *change = user;

    if ((change->group && getpgid(pid) != change->group) ||
        !pk_pid_is_ours(change->request->kernel, pid))
        return 0;
    change->found++;
    if (getpriority(PRIO_PROCESS, (id_t)pid) > change->value)
        change->error = -EACCES;
    else if (setpriority(PRIO_PROCESS, (id_t)pid, change->value) < 0)
        change->error = -errno;
    return 0;
}

/*
 * For groups and users the process kernel visits the members of the tree. Raising a priority is not
 * done for the guest: the process kernel may have rights that the guest has not.
 */
static struct pk_answer set_priority_of_many(struct pk_request *request, pid_t group)
{
    struct priority_change change = {
        .request = request, .group = group, .value = (int)request->args[2]};

    pk_for_each_process(request->kernel, change_priority, &change);
    if (change.found == 0)
        return pk_error(-ESRCH);
    return pk_value(change.error);
}

static struct pk_answer do_setpriority(struct pk_request *request)
{
    pid_t who = (pid_t)request->args[1];

    switch ((int)request->args[0]) {
    case PRIO_PROCESS:
        return for_member(request, who);
    case PRIO_PGRP:
        return set_priority_of_many(request, who ? who : getpgid(request->task->process->pid));
    case PRIO_USER:
        if (who != 0 && (uid_t)who != request->context->identity.uid)
            return pk_error(-ESRCH);
        return set_priority_of_many(request, 0);
    default:
        return pk_error(-EINVAL);
    }
}

/* Reading: groups and users give one small number, the highest priority among them. */
static struct pk_answer do_getpriority(struct pk_request *request)
{
    if ((int)request->args[0] != PRIO_PROCESS)
        return pk_native();
    if (is_init(request, (pid_t)request->args[1]))
        return pk_value(NICE_OFFSET);
    return for_member(request, (pid_t)request->args[1]);
}

static struct pk_answer do_ioprio_set(struct pk_request *request)
{
    pid_t who = (pid_t)request->args[1];

    if ((int)request->args[0] == IOPRIO_PROCESS)
        return for_member(request, who);
    if ((int)request->args[0] == IOPRIO_GROUP &&
        process_group_is_ours(request->kernel, who ? who : getpgid(request->task->process->pid)))
        return pk_native();
    return pk_error(-EPERM);
}

/*
 * The caller's own business: a flag of the host's task that decides about its mappings, its clock
 * ticks and what uname() says, which is answered here and asks for it.
 */
static struct pk_answer do_personality(struct pk_request *request)
{
    uint32_t persona = (uint32_t)request->args[0];

    if (persona != LINUX_PERSONALITY_QUERY && persona != PER_LINUX)
        linux_state(request->kernel)->personality_used = true;
    return pk_native();
}

/* From here on the masks are the guest's own business. */
static struct pk_answer do_sched_setaffinity(struct pk_request *request)
{
    struct pk_answer answer = for_member(request, (pid_t)request->args[0]);

    if (answer.kind == PK_ANSWER_NATIVE)
        request->kernel->sets_affinity = true;
    return answer;
}

/*
 * The thread may be held on one CPU for a moment (trap/placement.h); what it may use is told as it
 * is without that. The kernel's mask has a size of its own, which the raw call returns.
 */
static struct pk_answer do_sched_getaffinity(struct pk_request *request)
{
    struct pk_kernel *kernel = request->kernel;
    pid_t pid = (pid_t)request->args[0];
    uint64_t room = (uint32_t)request->args[1];
    cpu_set_t host;
    long size;

    if (!kernel->placed || kernel->sets_affinity)
        return pk_native();
    if (pid != 0 && !pk_pid_is_ours(kernel, pid))
        return pk_native();
    size = syscall(SYS_sched_getaffinity, 0, sizeof(host), &host);
    if (size < 0)
        return pk_native();
    if (room < (uint64_t)size || room % sizeof(long))
        return pk_error(-EINVAL);
    if (pk_write(request, request->args[2], &kernel->cpus, (size_t)size) < 0)
        return pk_error(-EFAULT);
    return pk_value(size);
}

int linux_register_process(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_pidfd_open, do_pidfd_open},
        {ABI_NR_pidfd_getfd, do_pidfd_getfd},
        {ABI_NR_process_madvise, do_process_madvise},
        {ABI_NR_process_mrelease, do_process_mrelease},
        {ABI_NR_clone, do_clone},
        {ABI_NR_unshare, do_unshare},
        {ABI_NR_setns, do_setns},
        {ABI_NR_seccomp, do_seccomp},
        {ABI_NR_setpriority, do_setpriority},
        {ABI_NR_getpriority, do_getpriority},
        {ABI_NR_ioprio_set, do_ioprio_set},
        {ABI_NR_personality, do_personality},
        {ABI_NR_sched_setparam, do_sched_of_member},
        {ABI_NR_sched_setscheduler, do_sched_of_member},
        {ABI_NR_sched_setattr, do_sched_of_member},
        {ABI_NR_sched_setaffinity, do_sched_setaffinity},
        {ABI_NR_sched_getaffinity, do_sched_getaffinity},
        {ABI_NR_migrate_pages, for_member_arg0},
        {ABI_NR_move_pages, for_member_arg0},
        {ABI_NR_get_robust_list, for_member_arg0},
        {ABI_NR_process_vm_readv, do_process_vm},
        {ABI_NR_process_vm_writev, do_process_vm},
        {ABI_NR_kcmp, do_kcmp},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    return 0;
}

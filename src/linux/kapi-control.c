/*
 * Commands that change something. What reaches the guest's own processes is done, by the rules of
 * the calls that do the same (kill, sched_setaffinity); everything else belongs to the machine and
 * is refused in `status`, with a sentence.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/identity.h"
#include "linux/kapi-internal.h"
#include "linux/process-internal.h"

#define SIGNAL_MAX 64
#define MASK_BITS  64

static const char not_here[] = "a process kernel has no way to do this: it serves one program only";
static const char rule[] = "the kernel API of a guest reaches the guest only";
static const char never[] = "it is never allowed";

#define SAY(record, result, text)                                           \
    do {                                                                    \
        (record)->status = (result);                                        \
        snprintf((record)->message, sizeof((record)->message), "%s", text); \
    } while (0)

/* A pidfd of a process of the tree: from here on the number cannot go to a stranger. */
static int open_member(struct kapi_caller *caller, pid_t pid)
{
    cleanup_close int pidfd = -1;

    if (pid <= 0)
        return -EINVAL;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    if (!pk_pid_is_ours(caller->request->kernel, pid))
        return -ESRCH;
    return take_fd(&pidfd);
}

static int send_signal(struct kapi_caller *caller, pid_t pid, int number)
{
    cleanup_close int pidfd = open_member(caller, pid);
    siginfo_t info;

    if (pidfd < 0)
        return pidfd;
    if (!process_may_signal(caller->request, pid))
        return -EPERM;
    memset(&info, 0, sizeof(info));
    info.si_signo = number;
    info.si_code = SI_QUEUE;
    info.si_pid = caller->request->task->process->pid;
    info.si_uid = caller->request->context->identity.uid;
    if (syscall(SYS_pidfd_send_signal, pidfd, number, number ? &info : NULL, 0) < 0)
        return -errno;
    return 0;
}

static const char *explain_member(int status, const char *done)
{
    switch (status) {
    case 0:
        return done;
    case -ESRCH:
        return "no such process in this process kernel";
    case -EPERM:
        return "the caller may not do this to that process";
    default:
        return "malformed argument";
    }
}

/* What was asked of a process of the guest, and what came of it. */
static void tell(struct kapi_caller *caller, pid_t pid, int status, const char *what, int number)
{
    if (number >= 0)
        pk_audit_action(caller->request->kernel, caller->request, "control", 0, status,
                        "kernel API: %s %d to %d", what, number, pid);
    else
        pk_audit_action(caller->request->kernel, caller->request, "control", 0, status,
                        "kernel API: %s %d", what, pid);
}

static void kill_process(struct kapi_caller *caller, void *record)
{
    struct kapi_process_control *control = record;
    bool valid = control->signal >= 0 && control->signal <= SIGNAL_MAX;

    control->status = valid ? send_signal(caller, control->pid, control->signal) : -EINVAL;
    SAY(control, control->status, explain_member(control->status, "signal sent"));
    tell(caller, control->pid, control->status, "signal", control->signal);
}

static void suspend_process(struct kapi_caller *caller, void *record)
{
    struct kapi_process_control *control = record;

    control->status = send_signal(caller, control->pid, SIGSTOP);
    SAY(control, control->status, explain_member(control->status, "process stopped"));
    tell(caller, control->pid, control->status, "suspend", -1);
}

static void resume_process(struct kapi_caller *caller, void *record)
{
    struct kapi_process_control *control = record;

    control->status = send_signal(caller, control->pid, SIGCONT);
    SAY(control, control->status, explain_member(control->status, "process resumed"));
    tell(caller, control->pid, control->status, "resume", -1);
}

/* The rule of sched_setaffinity(2): the owner of the process, or CAP_SYS_NICE. */
static bool may_schedule(struct kapi_caller *caller, pid_t pid)
{
    const struct pk_context *target = linux_context_of(caller->request->kernel, pid);
    const struct pk_identity *own = &caller->request->context->identity;

    if (identity_capable(own, CAP_SYS_NICE))
        return true;
    return target && (own->euid == target->identity.uid || own->euid == target->identity.euid);
}

static int set_affinity(struct kapi_caller *caller, pid_t pid, uint64_t mask)
{
    struct pk_kernel *kernel = caller->request->kernel;
    cleanup_close int pidfd = -1;
    cpu_set_t cpus;

    if (pid == 0)
        pid = caller->request->task->process->pid;
    pidfd = open_member(caller, pid);
    if (pidfd < 0)
        return pidfd;
    if (!may_schedule(caller, pid))
        return -EPERM;
    CPU_ZERO(&cpus);
    for (int cpu = 0; cpu < MASK_BITS; cpu++)
        if (mask >> cpu & 1)
            CPU_SET(cpu, &cpus);
    /* From here on the masks are the guest's own business, as after sched_setaffinity(). */
    kernel->sets_affinity = true;
    return sched_setaffinity(pid, sizeof(cpus), &cpus) < 0 ? -errno : 0;
}

static void set_cpu_affinity(struct kapi_caller *caller, void *record)
{
    struct kapi_cpu_control *control = record;

    control->status = set_affinity(caller, control->pid, control->mask);
    SAY(control, control->status, explain_member(control->status, "affinity set"));
    tell(caller, control->pid, control->status, "set affinity of", -1);
}

static void run_command(struct kapi_caller *caller, void *record)
{
    linux_kapi_kernel_command(caller, record);
}

#define REFUSE(name, type)                                     \
    static void name(struct kapi_caller *caller, void *record) \
    {                                                          \
        struct type *control = record;                         \
                                                               \
        (void)caller;                                          \
        SAY(control, -EPERM, not_here);                        \
    }

REFUSE(refuse_module, kapi_module_control)
REFUSE(refuse_interface, kapi_net_control)
REFUSE(refuse_mount, kapi_fs_control)
REFUSE(refuse_read, kapi_phys_mem_read)
REFUSE(refuse_write, kapi_phys_mem_write)
REFUSE(refuse_translation, kapi_virt_to_phys)
REFUSE(refuse_patch, kapi_mem_patch)

/* The structure of log_injection has no room for a sentence. */
static void refuse_log(struct kapi_caller *caller, void *record)
{
    struct kapi_log_injection *control = record;

    (void)caller;
    control->status = -EPERM;
}

/* Where the char arrays of a structure end: their last byte is overwritten with 0. */
#define TEXT(type, member) (offsetof(struct type, member) + sizeof(((struct type *)0)->member) - 1)
#define TEXTS_MAX          5

static const struct control {
    uint32_t code;
    const char *name; /* NULL: harmless, or within the guest */
    void (*act)(struct kapi_caller *caller, void *record);
    size_t text_ends[TEXTS_MAX]; /* 0: no more */
} controls[] = {
    {KAPI_EXECUTE_KERNEL_CMD, NULL, run_command, {TEXT(kapi_kernel_cmd, command)}},
    {KAPI_KILL_PROCESS, NULL, kill_process, {0}},
    {KAPI_SUSPEND_PROCESS, NULL, suspend_process, {0}},
    {KAPI_RESUME_PROCESS, NULL, resume_process, {0}},
    {KAPI_SET_CPU_AFFINITY, NULL, set_cpu_affinity, {0}},
    {KAPI_LOAD_MODULE, "load a module", refuse_module, {0}},
    {KAPI_UNLOAD_MODULE, "unload a module", refuse_module, {0}},
    {KAPI_TOGGLE_INTERFACE, "toggle a network interface", refuse_interface, {0}},
    {KAPI_MOUNT_FS, "mount", refuse_mount, {0}},
    {KAPI_UMOUNT_FS, "unmount", refuse_mount, {0}},
    {KAPI_INJECT_LOG, "write to the kernel's log", refuse_log, {0}},
    {KAPI_READ_PHYS_MEM, "read physical memory", refuse_read, {0}},
    {KAPI_WRITE_PHYS_MEM, "write physical memory", refuse_write, {0}},
    {KAPI_VIRT_TO_PHYS, "translate an address", refuse_translation, {0}},
    {KAPI_PATCH_MEMORY, "patch physical memory", refuse_patch, {0}},
};

static struct pk_answer act(struct kapi_caller *caller, const struct control *line,
                            uint64_t argument)
{
    size_t size = _IOC_SIZE(line->code);
    cleanup_free char *record = malloc(size);
    int r = record ? pk_read(caller->request, argument, record, size) : -ENOMEM;

    if (r < 0)
        return pk_error(r);
    for (size_t i = 0; i < TEXTS_MAX && line->text_ends[i]; i++)
        record[line->text_ends[i]] = '\0';
    if (line->name) /* counted, and told: the answer is in the structure */
        pk_denied(caller->request, -EPERM, rule, never, "kernel API: %s", line->name);
    line->act(caller, record);
    return pk_value(pk_write(caller->request, argument, record, size));
}

struct pk_answer linux_kapi_control(struct kapi_caller *caller, uint32_t code, uint64_t argument)
{
    for (size_t i = 0; i < array_length(controls); i++)
        if (controls[i].code == code)
            return act(caller, &controls[i], argument);
    if (code == KAPI_FORCE_PAGE_RECLAIM)
        return pk_denied(caller->request, -EPERM, rule, never, "kernel API: drop the caches");
    if (code == KAPI_PANIC_KERNEL)
        return pk_denied(caller->request, -EPERM, rule, never, "kernel API: panic");
    return pk_error(-ENOTTY);
}

/*
 * What can be said about a target before it is touched, and why the host refuses to let us.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "base/io.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; field 9 of /proc/PID/stat */

static const char *field(const char *status, const char *name)
{
    const char *at = strstr(status, name);

    return at ? at + strlen(name) : "0";
}

static void read_status(struct target *target, const char *status)
{
    const char *uids = field(status, "\nUid:");
    char *rest = NULL;

    target->group = (pid_t)strtol(field(status, "\nTgid:"), NULL, 10);
    target->tracer = (pid_t)strtol(field(status, "\nTracerPid:"), NULL, 10);
    target->seccomp = (int)strtol(field(status, "\nSeccomp:"), NULL, 10);
    target->filters = (unsigned)strtoul(field(status, "\nSeccomp_filters:"), NULL, 10);
    target->threads = (unsigned)strtoul(field(status, "\nThreads:"), NULL, 10);
    target->memory = strtoull(field(status, "\nVmSize:"), NULL, 10) * 1024;
    for (size_t i = 0; i < array_length(target->uids); i++) {
        target->uids[i] = (uid_t)strtoul(uids, &rest, 10);
        uids = rest;
    }
}

/* The name may hold blanks and parentheses of its own. */
static void read_stat(struct target *target, const char *stat)
{
    const char *open = strchr(stat, '(');
    const char *close = strrchr(stat, ')');
    unsigned flags = 0;

    if (open == NULL || close == NULL)
        return;
    snprintf(target->comm, sizeof(target->comm), "%.*s", (int)(close - open - 1), open + 1);
    if (sscanf(close + 1, " %c %*d %*d %*d %*d %*d %u", &target->state, &flags) == 2)
        target->kernel_thread = flags & PF_KTHREAD;
}

int target_read(pid_t pid, struct target *ret_target)
{
    struct target target = {.pid = pid};
    cleanup_strbuf struct strbuf status = {0};
    cleanup_strbuf struct strbuf stat = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (io_read_file(AT_FDCWD, path, 16384, &status) < 0)
        return -ESRCH;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (io_read_file(AT_FDCWD, path, 4096, &stat) < 0)
        return -ESRCH;
    read_status(&target, strbuf_text(&status));
    read_stat(&target, strbuf_text(&stat));
    *ret_target = target;
    return 0;
}

int target_yama(void)
{
    cleanup_strbuf struct strbuf text = {0};

    if (io_read_file(AT_FDCWD, ATTACH_YAMA_SCOPE, 64, &text) < 0)
        return -1;
    return (int)strtol(strbuf_text(&text), NULL, 10);
}

pid_t target_parent(pid_t pid)
{
    cleanup_strbuf struct strbuf status = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (io_read_file(AT_FDCWD, path, 16384, &status) < 0)
        return 0;
    return (pid_t)strtol(field(strbuf_text(&status), "\nPPid:"), NULL, 10);
}

/* Orphans of a guest belong to the reaper again, so the way up always meets it. */
bool target_is_guest(pid_t pid)
{
    for (int depth = 0; pid > 1 && depth < 1000; depth++) {
        struct target above;

        pid = target_parent(pid);
        if (pid <= 1 || target_read(pid, &above) < 0)
            return false;
        if (strcmp(above.comm, "cerebro-reaper") == 0)
            return true;
    }
    return false;
}

static bool is_other_user(const struct target *target)
{
    for (size_t i = 0; i < array_length(target->uids); i++)
        if (target->uids[i] != getuid())
            return geteuid() != 0;
    return false;
}

static int explain_yama(const struct target *target, int yama, struct base_error *error)
{
    if (yama == 1)
        return base_fail(error, EPERM,
                         "attach as root, or from the program that started it (pk_attach), or set "
                         "kernel.yama.ptrace_scope to 0",
                         "this host lets only the ancestors of process %d trace it "
                         "(kernel.yama.ptrace_scope is 1)",
                         target->pid);
    if (yama == 2)
        return base_fail(error, EPERM, "attach as root, or set kernel.yama.ptrace_scope to 0",
                         "this host lets only root trace processes "
                         "(kernel.yama.ptrace_scope is 2)");
    return base_fail(error, EPERM, "start the program with cerebro run",
                     "this host forbids all tracing until it is restarted "
                     "(kernel.yama.ptrace_scope is 3)");
}

int target_explain(const struct target *target, int code, int yama, struct base_error *error)
{
    struct target tracer = {0};

    if (target->tracer) {
        target_read(target->tracer, &tracer);
        return base_fail(error, EBUSY, "end that one first", "process %d is traced by %s (%d)",
                         target->pid, tracer.comm[0] ? tracer.comm : "another", target->tracer);
    }
    if (code != EPERM && code != EACCES)
        return base_fail(error, code, NULL, "process %d cannot be stopped: %s", target->pid,
                         strerror(code));
    if (is_other_user(target))
        return base_fail(error, EPERM, "attach as that user, or as root",
                         "process %d belongs to another user (%u)", target->pid, target->uids[0]);
    if (yama == 3 || (yama > 0 && geteuid() != 0))
        return explain_yama(target, yama, error);
    return base_fail(error, EPERM, "attach as root, with CAP_SYS_PTRACE",
                     "process %d is protected: it is not dumpable (it changed its identity, has "
                     "capabilities, or asked for it), or a security module forbids tracing",
                     target->pid);
}

static bool is_our_own(const struct target *target)
{
    return strcmp(target->comm, "cerebro-keeper") == 0 ||
           strcmp(target->comm, "cerebro-kernel") == 0 ||
           strcmp(target->comm, "cerebro-reaper") == 0;
}

int target_examine(pid_t pid, struct target *ret_target, struct base_error *error)
{
    struct target target;

    if (pid <= 0 || target_read(pid, &target) < 0 || target.state == 'X')
        return base_fail(error, ESRCH, "list processes with: ps", "there is no process %d", pid);
    if (target.state == 'Z' && target.threads <= 1)
        return base_fail(error, ESRCH, NULL, "process %d has ended already", pid);
    if (target.group == getpid())
        return base_fail(error, EINVAL, "use pk_execute(), or attach to a child",
                         "process %d is this program itself", pid);
    if (target.kernel_thread)
        return base_fail(error, EINVAL, NULL, "process %d is a thread of the host kernel", pid);
    if (target.group != pid)
        return base_fail(error, EINVAL, "attach to the process; all its threads are covered",
                         "%d is a thread of process %d", pid, target.group);
    if (is_our_own(&target))
        return base_fail(error, EINVAL, NULL, "process %d (%s) belongs to Cerebro itself", pid,
                         target.comm);
    if (target.seccomp == 1)
        return base_fail(error, EACCES, NULL,
                         "process %d is in strict seccomp mode, in which it can get no filter",
                         pid);
    if (target_is_guest(pid))
        return base_fail(error, EBUSY, "see: cerebro ps",
                         "process %d is a guest of a process kernel already", pid);
    *ret_target = target;
    return 0;
}

/* Resource limits, priorities, accounting. */
#define FAMILY "rlimits"
#include "conform.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>

REFUSED(get_unknown, "getrlimit(2) EINVAL", getrlimit(99, &(struct rlimit){0}), EINVAL)
REFUSED(set_unknown, "setrlimit(2) EINVAL", setrlimit(99, &(struct rlimit){0}), EINVAL)
REFUSED(soft_above_hard, "setrlimit(2) EINVAL", setrlimit(RLIMIT_CORE, &(struct rlimit){10, 5}),
        EINVAL)
REFUSED(get_pointer, "getrlimit(2) EFAULT", syscall(SYS_getrlimit, RLIMIT_CORE, 8), EFAULT)
REFUSED(prlimit_nobody, "prlimit(2) ESRCH", prlimit(999999999, RLIMIT_CORE, NULL, NULL), ESRCH)
REFUSED(usage_pointer, "getrusage(2) EFAULT", syscall(SYS_getrusage, RUSAGE_SELF, 8), EFAULT)
REFUSED(priority_which, "getpriority(2) EINVAL", getpriority(99, 0), EINVAL)
REFUSED(priority_nobody, "getpriority(2) ESRCH", getpriority(PRIO_PROCESS, 999999999), ESRCH)
REFUSED(set_priority_nobody, "setpriority(2) ESRCH", setpriority(PRIO_PROCESS, 999999999, 5), ESRCH)
REFUSED(policy_bad, "sched_setscheduler(2) EINVAL",
        sched_setscheduler(0, 77, &(struct sched_param){0}), EINVAL)
REFUSED(policy_priority, "sched_setscheduler(2) EINVAL",
        sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){5}), EINVAL)
REFUSED(policy_nobody, "sched_getscheduler(2) ESRCH", sched_getscheduler(999999999), ESRCH)
REFUSED(range_bad, "sched_get_priority_max(2) EINVAL", sched_get_priority_max(77), EINVAL)

CHECK(every_limit, "getrlimit(2): all sixteen, soft below hard; lowering works")
{
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;

        ok(getrlimit((__rlimit_resource_t)i, &limit));
        must(limit.rlim_cur <= limit.rlim_max);
        ok(setrlimit((__rlimit_resource_t)i, &limit));
    }
}

CHECK(hard_cannot_rise, "setrlimit(2) EPERM")
{
    as_user();
    ok(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 5}));
    ok(setrlimit(RLIMIT_CORE, &(struct rlimit){5, 5}));
    fails(setrlimit(RLIMIT_CORE, &(struct rlimit){5, 6}), EPERM);
}

CHECK(locks_limit, "setrlimit(2) RLIMIT_LOCKS: kept, without effect")
{
    struct rlimit limit;

    ok(setrlimit(RLIMIT_LOCKS, &(struct rlimit){123, 456}));
    ok(getrlimit(RLIMIT_LOCKS, &limit));
    is(limit.rlim_cur, 123);
    is(limit.rlim_max, 456);
    IN_CHILD
    {
        ok(getrlimit(RLIMIT_LOCKS, &limit));
        is(limit.rlim_cur, 123);
        ok(access(".", F_OK));
    }
    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(getrlimit(RLIMIT_LOCKS, &limit));
    is(limit.rlim_cur, 123);
}

CHECK(inherited, "getrlimit(2): by fork and execve")
{
    IN_CHILD
    {
        ok(setrlimit(RLIMIT_CORE, &(struct rlimit){4096, 8192}));
        execl("/bin/sh", "sh", "-c", "test `ulimit -S -c` = 8", NULL);
    }
}

CHECK(of_a_child, "prlimit(2): old and new of another process")
{
    struct rlimit old;
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    ok(prlimit(pid, RLIMIT_CORE, &(struct rlimit){1, 2}, &old));
    ok(prlimit(pid, RLIMIT_CORE, NULL, &old));
    is(old.rlim_cur, 1);
    is(old.rlim_max, 2);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(limits_file, "proc(5) limits")
{
    char *text;

    ok(setrlimit(RLIMIT_CORE, &(struct rlimit){1234, 5678}));
    text = slurp("/proc/self/limits");
    must(strstr(text, "Max core file size        1234                 5678"));
    must(strstr(text, "Max file locks"));
}

CHECK(profiling_timer_kills, "setitimer(2) ITIMER_PROF: SIGPROF ends a process")
{
    pid_t pid = spawn();

    if (pid == 0) {
        struct itimerval timer = {{0, 0}, {0, 3000}};

        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        setitimer(ITIMER_PROF, &timer, NULL);
        for (;;)
            getppid();
    }
    killed(pid, SIGPROF);
}

/* Where the suite was started; there is room for a few steps down. */
static int nice_of_suite(void)
{
    int value = getpriority(PRIO_PROCESS, 0);

    if (value > 12)
        skip("the suite was started with a nice value of %d", value);
    return value;
}

CHECK(nice_values, "nice(2), setpriority(2): lower for all, higher for root")
{
    int start_ = nice_of_suite();

    as_user();
    is(nice(2), start_ + 2);
    is(getpriority(PRIO_PROCESS, 0), start_ + 2);
    ok(setpriority(PRIO_PROCESS, 0, start_ + 5));
    IN_CHILD is(getpriority(PRIO_PROCESS, 0), start_ + 5);
    ok(setrlimit(RLIMIT_NICE, &(struct rlimit){0, 0}));
    if (has_capability(23))
        skip("a capability allows it");
    fails(setpriority(PRIO_PROCESS, 0, start_ + 4), EACCES);
    ok(setpriority(PRIO_PROCESS, 0, 100));
    is(getpriority(PRIO_PROCESS, 0), 19);
}

CHECK(of_a_group, "setpriority(2) PRIO_PGRP")
{
    int start_ = nice_of_suite();

    IN_CHILD
    {
        ok(setpgid(0, 0));
        ok(setpriority(PRIO_PGRP, 0, start_ + 7));
        is(getpriority(PRIO_PGRP, 0), start_ + 7);
        is(getpriority(PRIO_PROCESS, 0), start_ + 7);
    }
    is(getpriority(PRIO_PROCESS, 0), start_);
}

CHECK(policies, "sched_setscheduler(2) SCHED_BATCH, SCHED_IDLE; SCHED_RESET_ON_FORK")
{
    struct sched_param none = {0};

    ok(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none));
    is(sched_getscheduler(0), SCHED_BATCH | SCHED_RESET_ON_FORK);
    ok(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &none));
    is(sched_getscheduler(0), SCHED_IDLE | SCHED_RESET_ON_FORK);
    IN_CHILD is(sched_getscheduler(0), SCHED_IDLE);
    ok(sched_getparam(0, &none));
    is(none.sched_priority, 0);
}

CHECK(real_time_needs_privilege, "sched_setscheduler(2) EPERM")
{
    as_user();
    ok(setrlimit(RLIMIT_RTPRIO, &(struct rlimit){0, 0}));
    if (has_capability(23))
        skip("a capability allows it");
    fails(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}), EPERM);
}

CHECK(ranges, "sched_get_priority_max(2)")
{
    is(sched_get_priority_max(SCHED_FIFO), 99);
    is(sched_get_priority_min(SCHED_RR), 1);
    is(sched_get_priority_max(SCHED_OTHER), 0);
    ok(sched_yield());
    ok(sched_rr_get_interval(0, &(struct timespec){0}));
}

CHECK(times_of_children, "times(2): of children that were waited for")
{
    struct tms before;
    struct tms after;

    times(&before);
    IN_CHILD
    {
        struct timespec used = {0, 0};

        while (used.tv_sec == 0 && used.tv_nsec < 21000000)
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        times(&after);
        must(after.tms_utime + after.tms_stime >= 1);
    }
    times(&after);
    must(after.tms_cutime + after.tms_cstime > before.tms_cutime + before.tms_cstime);
}

CHECK(io_priority, "ioprio_set(2), ioprio_get(2)")
{
    fails(syscall(SYS_ioprio_get, 99, 0), EINVAL);
    ok(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5));
    is(syscall(SYS_ioprio_get, 1, 0), 2 << 13 | 5);
    fails(syscall(SYS_ioprio_set, 1, 0, 7 << 13), EINVAL);
    fails(syscall(SYS_ioprio_get, 1, 999999999), ESRCH);
}

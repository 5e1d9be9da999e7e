/* Clocks and timers. */
#define FAMILY "clocks"
#include "conform.h"

#include <sys/timex.h>

REFUSED(get_unknown, "clock_gettime(2) EINVAL",
        syscall(SYS_clock_gettime, 99, &(struct timespec){0}), EINVAL)
REFUSED(get_pointer, "clock_gettime(2) EFAULT", syscall(SYS_clock_gettime, CLOCK_REALTIME, 8),
        EFAULT)
REFUSED(resolution_unknown, "clock_getres(2) EINVAL", clock_getres(99, NULL), EINVAL)
REFUSED(set_unknown, "clock_settime(2) EINVAL",
        clock_settime(CLOCK_MONOTONIC, &(struct timespec){1, 0}), EINVAL)
REFUSED(sleep_negative, "nanosleep(2) EINVAL", nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL)
REFUSED(sleep_too_many, "nanosleep(2) EINVAL", nanosleep(&(struct timespec){0, 1000000000}, NULL),
        EINVAL)
REFUSED(sleep_pointer, "nanosleep(2) EFAULT", syscall(SYS_nanosleep, 8, NULL), EFAULT)
REFUSED(timer_unknown, "timer_create(2) EINVAL", timer_create(99, NULL, &(timer_t){0}), EINVAL)
REFUSED(timer_bad, "timer_settime(2) EINVAL",
        syscall(SYS_timer_settime, 12345, 0, &(struct itimerspec){0}, NULL), EINVAL)
REFUSED(interval_unknown, "setitimer(2) EINVAL",
        syscall(SYS_setitimer, 9, &(struct itimerval){0}, NULL), EINVAL)

CHECK(setting_needs_privilege, "clock_settime(2), adjtimex(2) EPERM")
{
    struct timex adjustment = {.modes = ADJ_OFFSET};

    as_user();
    fails(clock_settime(CLOCK_REALTIME, &(struct timespec){1000000000, 0}), EPERM);
    fails(adjtimex(&adjustment), EPERM);
    adjustment.modes = 0;
    ok(adjtimex(&adjustment));
}

CHECK(monotonic, "clock_gettime(2): never backwards")
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
                                       CLOCK_MONOTONIC_COARSE};

    for (size_t i = 0; i < 4; i++) {
        struct timespec one;
        struct timespec two;

        ok(clock_gettime(clocks[i], &one));
        ok(clock_gettime(clocks[i], &two));
        must(two.tv_sec > one.tv_sec || (two.tv_sec == one.tv_sec && two.tv_nsec >= one.tv_nsec));
    }
}

CHECK(calls_agree, "time(2), gettimeofday(2), clock_gettime(2)")
{
    struct timespec precise;
    struct timeval coarse;

    ok(gettimeofday(&coarse, NULL));
    ok(clock_gettime(CLOCK_REALTIME, &precise));
    must(precise.tv_sec - coarse.tv_sec <= 1);
    must(time(NULL) >= coarse.tv_sec - 1 && time(NULL) <= precise.tv_sec + 1);
    must(syscall(SYS_time, NULL) >= coarse.tv_sec - 1);
}

CHECK(processor_time, "clock_gettime(2) CLOCK_PROCESS_CPUTIME_ID")
{
    struct timespec one;
    struct timespec two;
    clockid_t clock;

    ok(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &one));
    for (volatile int i = 0; i < 100000; i++)
        ;
    ok(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &two));
    must(two.tv_sec > one.tv_sec || two.tv_nsec > one.tv_nsec);
    zero(clock_getcpuclockid(getpid(), &clock));
    ok(clock_gettime(clock, &one));
    ok(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &one));
}

CHECK(absolute_sleep, "clock_nanosleep(2) TIMER_ABSTIME: errors as values")
{
    struct timespec end;

    zero(clock_gettime(CLOCK_MONOTONIC, &end));
    zero(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL));
    is(clock_nanosleep(99, 0, &end, NULL), EINVAL);
    end.tv_nsec = -1;
    is(clock_nanosleep(CLOCK_MONOTONIC, 0, &end, NULL), EINVAL);
}

CHECK(sleep_sleeps, "nanosleep(2): at least so long")
{
    uint64_t before = now_ns();

    ok(nanosleep(&(struct timespec){0, 5000000}, NULL));
    must(now_ns() - before >= 5000000);
}

static siginfo_t last;

static void remember(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    last = *info;
    ticks++;
}

CHECK(timer_signals, "timer_create(2): SI_TIMER, the value")
{
    struct sigaction action = {.sa_sigaction = remember, .sa_flags = SA_SIGINFO};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 9};
    struct itimerspec setting = {{0, 0}, {0, 2000000}};
    timer_t timer;

    ok(sigaction(SIGUSR1, &action, NULL));
    ok(timer_create(CLOCK_MONOTONIC, &event, &timer));
    ok(timer_settime(timer, 0, &setting, NULL));
    for (int i = 0; i < 500 && !ticks; i++)
        nap(1);
    is(ticks, 1);
    is(last.si_code, SI_TIMER);
    is(last.si_value.sival_int, 9);
    ok(timer_gettime(timer, &setting));
    is(setting.it_value.tv_nsec, 0);
    ok(timer_delete(timer));
}

CHECK(timer_overruns, "timer_getoverrun(2)")
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec setting = {{0, 500000}, {0, 500000}};
    timer_t timer;
    sigset_t set;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
    ok(timer_create(CLOCK_MONOTONIC, &event, &timer));
    ok(timer_settime(timer, 0, &setting, NULL));
    nap(6);
    is(sigwaitinfo(&set, &info), SIGUSR1);
    must(timer_getoverrun(timer) >= 5);
    must(info.si_overrun >= 5);
}

CHECK(timer_to_thread, "timer_create(2) SIGEV_THREAD_ID")
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec setting = {{0, 0}, {0, 1000000}};
    timer_t timer;

    event._sigev_un._tid = gettid();
    handle(SIGUSR1, count_signal, 0);
    ok(timer_create(CLOCK_MONOTONIC, &event, &timer));
    ok(timer_settime(timer, 0, &setting, NULL));
    for (int i = 0; i < 500 && !ticks; i++)
        nap(1);
    is(ticks, 1);
    event._sigev_un._tid = 999999999;
    fails(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

CHECK(timers_end_with_exec, "timer_create(2): deleted by execve(2)")
{
    struct itimerspec setting = {{0, 0}, {100, 0}};
    char *const argv[] = {"x", "--helper", "timer", NULL};
    timer_t timer;
    int ends[2];
    char text[16] = "";
    pid_t pid;

    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        dup2(ends[1], 1);
        ok(timer_create(CLOCK_MONOTONIC, NULL, &timer));
        ok(timer_settime(timer, 0, &setting, NULL));
        ok(syscall(SYS_timer_gettime, 0, &setting));
        execv(self_path, argv);
        _exit(1);
    }
    close(ends[1]);
    ok(read(ends[0], text, sizeof(text) - 1));
    joins(pid);
    same(text, "EINVAL");
}

CHECK(profiling_timer, "setitimer(2) ITIMER_VIRTUAL")
{
    struct itimerval timer = {{0, 0}, {0, 4000}};

    handle(SIGVTALRM, count_signal, 0);
    ok(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    for (uint64_t end = now_ns() + 2000000000; !ticks && now_ns() < end;)
        for (volatile int i = 0; i < 10000; i++)
            ;
    is(ticks, 1);
    ok(getitimer(ITIMER_VIRTUAL, &timer));
    is(timer.it_value.tv_usec, 0);
}

CHECK(resolutions, "clock_getres(2)")
{
    struct timespec resolution;

    ok(clock_getres(CLOCK_MONOTONIC, &resolution));
    is(resolution.tv_sec, 0);
    must(resolution.tv_nsec >= 1);
}

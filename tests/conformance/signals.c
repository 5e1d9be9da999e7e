/* Signals: delivery, masks, handlers, interrupted calls. */
#define FAMILY "signals"
#include "conform.h"

#include <sys/resource.h>
#include <ucontext.h>

static siginfo_t last;

static void remember(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    last = *info;
    ticks++;
}

static void watch(int number, int flags)
{
    struct sigaction action = {.sa_sigaction = remember, .sa_flags = SA_SIGINFO | flags};

    ok(sigaction(number, &action, NULL));
}

static void blocked(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    ok(sigprocmask(SIG_BLOCK, &set, NULL));
}

static sigset_t only(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void until_ticks(int count)
{
    for (int i = 0; i < 1000 && ticks < count; i++)
        nap(1);
    is(ticks, count);
}

REFUSED(kill_nobody, "kill(2) ESRCH", kill(999999999, 0), ESRCH)
REFUSED(kill_number, "kill(2) EINVAL", kill(getpid(), 65), EINVAL)
REFUSED(kill_negative_number, "kill(2) EINVAL", kill(getpid(), -1), EINVAL)
REFUSED(kill_no_group, "kill(2) ESRCH", kill(-999999999, 0), ESRCH)
REFUSED(kill_smallest, "kill(2) ESRCH", kill(INT_MIN, 0), ESRCH)
REFUSED(tgkill_zero, "tgkill(2) EINVAL", syscall(SYS_tgkill, 0, 1, 0), EINVAL)
REFUSED(tgkill_wrong_group, "tgkill(2) ESRCH", syscall(SYS_tgkill, getppid(), getpid(), 0), ESRCH)
REFUSED(action_of_kill, "sigaction(2) EINVAL",
        syscall(SYS_rt_sigaction, SIGKILL, (char[32]){0}, NULL, 8), EINVAL)
REFUSED(action_of_stop, "sigaction(2) EINVAL",
        syscall(SYS_rt_sigaction, SIGSTOP, (char[32]){0}, NULL, 8), EINVAL)
REFUSED(action_number, "sigaction(2) EINVAL", syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL)
REFUSED(mask_how, "sigprocmask(2) EINVAL", syscall(SYS_rt_sigprocmask, 9, &(sigset_t){0}, NULL, 8),
        EINVAL)
REFUSED(mask_size, "sigprocmask(2) EINVAL", syscall(SYS_rt_sigprocmask, 0, NULL, NULL, 4), EINVAL)
REFUSED(stack_too_small, "sigaltstack(2) ENOMEM",
        sigaltstack(&(stack_t){.ss_sp = &last, .ss_size = 100}, NULL), ENOMEM)
REFUSED(stack_flags, "sigaltstack(2) EINVAL",
        sigaltstack(&(stack_t){.ss_flags = 77, .ss_size = 65536}, NULL), EINVAL)
REFUSED(queue_number, "sigqueue(3) EINVAL", sigqueue(getpid(), 65, (union sigval){0}), EINVAL)
REFUSED(queue_nobody, "sigqueue(3) ESRCH", sigqueue(999999999, SIGUSR1, (union sigval){0}), ESRCH)
REFUSED(wait_times_out, "sigtimedwait(2) EAGAIN", ({
            sigset_t s_ = only(SIGUSR1);
            sigtimedwait(&s_, NULL, &(struct timespec){0, 1000000});
        }),
        EAGAIN)
REFUSED(wait_bad_time, "sigtimedwait(2) EINVAL", ({
            sigset_t s_ = only(SIGUSR1);
            sigtimedwait(&s_, NULL, &(struct timespec){0, -1});
        }),
        EINVAL)

CHECK(kill_self, "kill(2): delivered before it returns")
{
    watch(SIGUSR1, 0);
    ok(kill(getpid(), SIGUSR1));
    is(ticks, 1);
    is(last.si_signo, SIGUSR1);
    is(last.si_pid, getpid());
    is(last.si_uid, getuid());
    is(last.si_code, SI_USER);
}

CHECK(kill_zero, "kill(2) signal 0: only a test")
{
    watch(SIGUSR1, 0);
    ok(kill(getpid(), 0));
    ok(kill(0, 0));
    is(ticks, 0);
}

CHECK(kill_own_group, "kill(2) pid 0: every process of the group")
{
    watch(SIGUSR1, 0);
    IN_CHILD
    {
        ok(kill(0, SIGUSR1));
        is(ticks, 1);
    }
    until_ticks(1);
}

CHECK(kill_group, "kill(2) negative pid: a process group")
{
    pid_t pids[2];

    for (int i = 0; i < 2; i++) {
        pids[i] = spawn();
        if (pids[i] == 0)
            for (;;)
                pause();
        ok(setpgid(pids[i], pids[0]));
    }
    ok(kill(-pids[0], SIGTERM));
    killed(pids[0], SIGTERM);
    killed(pids[1], SIGTERM);
}

CHECK(standard_signals_do_not_queue, "signal(7): pending once")
{
    sigset_t pending;

    watch(SIGUSR1, 0);
    blocked(SIGUSR1);
    for (int i = 0; i < 3; i++)
        ok(kill(getpid(), SIGUSR1));
    ok(sigpending(&pending));
    is(sigismember(&pending, SIGUSR1), 1);
    ok(sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL));
    is(ticks, 1);
}

static int order[8];
static int order_count;

static void record(int number, siginfo_t *info, void *context)
{
    (void)context;
    order[order_count++] = (number - SIGRTMIN) * 10 + info->si_value.sival_int;
}

CHECK(real_time_signals_queue, "signal(7): real-time signals queue, in order, with values")
{
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO};

    sigfillset(&action.sa_mask);
    ok(sigaction(SIGRTMIN, &action, NULL));
    ok(sigaction(SIGRTMIN + 1, &action, NULL));
    blocked(SIGRTMIN);
    blocked(SIGRTMIN + 1);
    ok(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 1}));
    ok(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 2}));
    ok(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 3}));
    ok(sigprocmask(SIG_SETMASK, &(sigset_t){0}, NULL));
    is(order_count, 3);
    is(order[0], 2);
    is(order[1], 3);
    is(order[2], 11);
}

CHECK(queue_information, "sigqueue(3): SI_QUEUE, value, pid")
{
    watch(SIGUSR1, 0);
    ok(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 42}));
    is(last.si_code, SI_QUEUE);
    is(last.si_value.sival_int, 42);
    is(last.si_pid, getpid());
}

CHECK(queue_to_child, "sigqueue(3) to another process")
{
    sigset_t set = only(SIGUSR1);
    siginfo_t info;
    pid_t pid;

    blocked(SIGUSR1);
    pid = spawn();
    if (pid == 0) {
        is(sigwaitinfo(&set, &info), SIGUSR1);
        is(info.si_value.sival_int, 7);
        is(info.si_pid, getppid());
        _exit(0);
    }
    ok(sigqueue(pid, SIGUSR1, (union sigval){.sival_int = 7}));
    joins(pid);
}

CHECK(forged_code, "rt_sigqueueinfo(2) EPERM: si_code of the kernel to others")
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
    pid_t pid = spawn();

    if (pid == 0)
        for (;;)
            pause();
    fails(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(thread_directed, "tgkill(2): SI_TKILL, to this thread")
{
    watch(SIGUSR1, 0);
    ok(tgkill(getpid(), gettid(), SIGUSR1));
    is(ticks, 1);
    is(last.si_code, SI_TKILL);
    ok(syscall(SYS_tkill, gettid(), SIGUSR1));
    is(ticks, 2);
}

CHECK(wait_for_signal, "sigwaitinfo(2)")
{
    sigset_t set = only(SIGUSR1);
    siginfo_t info;

    blocked(SIGUSR1);
    ok(kill(getpid(), SIGUSR1));
    is(sigwaitinfo(&set, &info), SIGUSR1);
    is(info.si_pid, getpid());
    fails(sigtimedwait(&set, &info, &(struct timespec){0, 0}), EAGAIN);
}

CHECK(suspend, "sigsuspend(2): EINTR, the mask is restored")
{
    sigset_t none;
    sigset_t now;

    sigemptyset(&none);
    watch(SIGUSR1, 0);
    blocked(SIGUSR1);
    ok(kill(getpid(), SIGUSR1));
    fails(sigsuspend(&none), EINTR);
    is(ticks, 1);
    sigprocmask(SIG_BLOCK, NULL, &now);
    is(sigismember(&now, SIGUSR1), 1);
}

CHECK(reset_hand, "sigaction(2) SA_RESETHAND")
{
    struct sigaction action;

    handle(SIGUSR1, count_signal, SA_RESETHAND);
    raise(SIGUSR1);
    ok(sigaction(SIGUSR1, NULL, &action));
    must(action.sa_handler == SIG_DFL);
}

static volatile sig_atomic_t depth;
static volatile sig_atomic_t deepest;

static void nest(int number)
{
    depth++;
    if (depth > deepest)
        deepest = depth;
    if (ticks++ < 2)
        raise(number);
    depth--;
}

CHECK(masked_while_handled, "sigaction(2): the signal is blocked in its handler")
{
    handle(SIGUSR1, nest, 0);
    raise(SIGUSR1);
    is(deepest, 1);
    is(ticks, 3);
}

CHECK(no_defer, "sigaction(2) SA_NODEFER")
{
    handle(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
    is(deepest, 3);
}

static char alternate[65536];
static char *volatile stack_pointer;

static void where(int number)
{
    (void)number;
    stack_pointer = __builtin_frame_address(0);
}

CHECK(alternate_stack, "sigaltstack(2) and SA_ONSTACK")
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

    ok(sigaltstack(&stack, NULL));
    handle(SIGUSR1, where, SA_ONSTACK);
    handle(SIGUSR2, where, 0);
    raise(SIGUSR1);
    must(stack_pointer > alternate && stack_pointer < alternate + sizeof(alternate));
    raise(SIGUSR2);
    must(stack_pointer < alternate || stack_pointer > alternate + sizeof(alternate));
}

static int stack_flags;
static int change_error;

static void look_at_stack(int number)
{
    stack_t stack;

    (void)number;
    sigaltstack(NULL, &stack);
    stack_flags = stack.ss_flags;
    change_error = sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL) < 0 ? errno : 0;
}

CHECK(alternate_stack_in_use, "sigaltstack(2) SS_ONSTACK, EPERM")
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

    ok(sigaltstack(&stack, NULL));
    handle(SIGUSR1, look_at_stack, SA_ONSTACK);
    raise(SIGUSR1);
    is(stack_flags, SS_ONSTACK);
    is(change_error, EPERM);
}

static void on_overflow(int number)
{
    (void)number;
    _exit(55);
}

static int overflow(volatile int n)
{
    volatile char room[4096];

    room[0] = (char)n;
    return n < 0 ? room[0] : overflow(n + 1) + room[1];
}

CHECK(stack_overflow_is_handled, "sigaltstack(2): SIGSEGV of a stack overflow")
{
    pid_t pid = spawn();

    if (pid == 0) {
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

        ok(sigaltstack(&stack, NULL));
        handle(SIGSEGV, on_overflow, SA_ONSTACK);
        overflow(0);
    }
    exits(pid, 55);
}

static void change_register(int number, siginfo_t *info, void *context)
{
    ucontext_t *user = context;

    (void)number;
    (void)info;
    sigaddset(&user->uc_sigmask, SIGUSR2);
}

CHECK(context_is_used, "sigreturn(2): the mask of the context holds afterwards")
{
    struct sigaction action = {.sa_sigaction = change_register, .sa_flags = SA_SIGINFO};
    sigset_t set;

    ok(sigaction(SIGUSR1, &action, NULL));
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    is(sigismember(&set, SIGUSR2), 1);
}

static void judge_address(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    _exit(info->si_addr == (void *)0x123 && info->si_code == SEGV_MAPERR ? 0 : 1);
}

CHECK(fault_address, "sigaction(2): si_addr of SIGSEGV")
{
    struct sigaction action = {.sa_sigaction = judge_address, .sa_flags = SA_SIGINFO};
    pid_t pid = spawn();

    if (pid == 0) {
        sigaction(SIGSEGV, &action, NULL);
        *(volatile int *)0x123 = 1;
    }
    joins(pid);
}

CHECK(divide_by_zero, "signal(7) SIGFPE")
{
    pid_t pid = spawn();

    if (pid == 0) {
        volatile int hundred = 100;
        volatile int nothing = 0;

        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        _exit(hundred / nothing);
    }
    killed(pid, SIGFPE);
}

CHECK(illegal_instruction, "signal(7) SIGILL")
{
    pid_t pid = spawn();

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        __asm__ volatile("ud2");
    }
    killed(pid, SIGILL);
}

CHECK(broken_pipe, "signal(7) SIGPIPE, write(2) EPIPE")
{
    int ends[2];

    ok(pipe(ends));
    ok(close(ends[0]));
    watch(SIGPIPE, 0);
    fails(write(ends[1], "x", 1), EPIPE);
    is(ticks, 1);
    handle(SIGPIPE, SIG_IGN, 0);
    fails(write(ends[1], "x", 1), EPIPE);
}

CHECK(alarm_remaining, "alarm(2)")
{
    is(alarm(100), 0);
    must(alarm(0) >= 99);
    is(alarm(0), 0);
}

CHECK(interval_timers, "setitimer(2)")
{
    struct itimerval timer = {{0, 2000}, {0, 2000}};

    watch(SIGALRM, SA_RESTART);
    ok(setitimer(ITIMER_REAL, &timer, NULL));
    for (int i = 0; i < 1000 && ticks < 3; i++)
        nap(1);
    must(ticks >= 3);
    is(last.si_code, SI_KERNEL);
    timer.it_value.tv_usec = 1000000;
    fails(setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
}

static pthread_t main_thread;
static volatile pthread_t handled_in;

static void note_thread(int number)
{
    (void)number;
    handled_in = pthread_self();
    ticks++;
}

static void *unblocked(void *nothing)
{
    sigset_t set = only(SIGUSR1);

    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    while (!ticks)
        nap(1);
    return nothing;
}

CHECK(process_directed_goes_to_who_can, "signal(7): a thread that does not block it")
{
    pthread_t thread;

    main_thread = pthread_self();
    handle(SIGUSR1, note_thread, 0);
    blocked(SIGUSR1);
    thread = start(unblocked, NULL);
    ok(kill(getpid(), SIGUSR1));
    end_of(thread);
    must(pthread_equal(handled_in, thread));
}

CHECK(thread_directed_goes_there, "pthread_kill(3)")
{
    pthread_t thread;

    handle(SIGUSR1, note_thread, 0);
    thread = start(unblocked, NULL);
    zero(pthread_kill(thread, SIGUSR1));
    end_of(thread);
    must(pthread_equal(handled_in, thread));
}

CHECK(masks_are_of_threads, "pthread_sigmask(3): each thread has its own")
{
    sigset_t set = only(SIGUSR1);

    handle(SIGUSR1, note_thread, 0);
    ticks = 1;
    blocked(SIGUSR1);
    end_of(start(unblocked, NULL));
    sigprocmask(SIG_BLOCK, NULL, &set);
    is(sigismember(&set, SIGUSR1), 1);
}

CHECK(stop_signals_to_self, "kill(2) SIGSTOP to oneself")
{
    pid_t pid = spawn();
    int status;

    if (pid == 0) {
        kill(getpid(), SIGSTOP);
        _exit(3);
    }
    is(waitpid(pid, &status, WUNTRACED), pid);
    is(WSTOPSIG(status), SIGSTOP);
    ok(kill(pid, SIGCONT));
    exits(pid, 3);
}

CHECK(continue_discards_stop, "signal(7): SIGCONT removes pending stop signals")
{
    sigset_t pending;

    blocked(SIGTSTP);
    ok(kill(getpid(), SIGTSTP));
    ok(kill(getpid(), SIGCONT));
    ok(sigpending(&pending));
    is(sigismember(&pending, SIGTSTP), 0);
}

CHECK(forked_handler_state, "fork(2): handlers are inherited")
{
    watch(SIGUSR1, 0);
    IN_CHILD
    {
        raise(SIGUSR1);
        is(ticks, 1);
    }
    is(ticks, 0);
}

CHECK(queue_limit, "setrlimit(2) RLIMIT_SIGPENDING: EAGAIN")
{
    struct rlimit limit = {4, 4};
    int count = 0;

    as_user();
    ok(setrlimit(RLIMIT_SIGPENDING, &limit));
    blocked(SIGRTMIN);
    while (count < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
        count++;
    must(count <= 5);
    is(errno, EAGAIN);
}

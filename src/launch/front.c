/*
 * The front: forks the supervisor, waits for it, forwards signals to the guest, stops with it, and
 * cleans up when the supervisor dies before its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/job-internal.h"
#include "launch/launch-internal.h"

#define REAPER_PAUSE_NS 1000000
#define REAPER_PAUSES   3000

enum report_kind { REPORT_STARTED, REPORT_STOPPED, REPORT_CONTINUED, REPORT_ENDED };

/*
 * What the supervisor reports through the pipe. Smaller than PIPE_BUF, so that it is one whole
 * whatever thread writes it.
 */
struct report {
    enum report_kind kind;
    union {
        pid_t pid;     /* STARTED */
        int signal;    /* STOPPED */
        struct {       /* ENDED */
            int error; /* negative errno of launch_supervise() */
            struct launch_result result;
            struct base_error details;
        } outcome;
    };
};

/* Signals that somebody sends to `cerebro run` and means for the program. */
static const int forwarded[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM};

/*
 * The signal handlers' only way to what they work on. Set before the handlers are installed, in a
 * process that does nothing else (front) or before it starts the guest (supervisor).
 */
static struct {
    _Atomic pid_t guest;
    struct trap *_Atomic trap;
    _Atomic int pending;   /* a signal that came before the guest was there */
    pid_t supervisor;      /* front only */
    _Atomic bool unwanted; /* supervisor only: see launch_is_unwanted() */
    sigset_t ignored;      /* by the program, from the start */
} signal_targets;

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

bool launch_is_unwanted(void)
{
    return signal_targets.unwanted;
}

static void note_unwanted(int number)
{
    (void)number;
    signal_targets.unwanted = true;
}

/* The guest gets it once it is there; what takes long until then need not be done to its end. */
static void end_preparations(int number)
{
    bool ends = number == SIGTERM || number == SIGINT || number == SIGQUIT || number == SIGHUP;

    signal_targets.pending = number;
    if (ends && signal_targets.supervisor > 0 && !sigismember(&signal_targets.ignored, number))
        kill(signal_targets.supervisor, SIGUSR1);
}

static void forward_signal(int number)
{
    int saved = errno;

    if (signal_targets.guest > 0)
        kill(signal_targets.guest, number);
    else
        end_preparations(number);
    errno = saved;
}

/*
 * What the keyboard sends reaches the program by itself, which is in the same group; what a process
 * sends to us is meant for the program.
 */
static void forward_from_process(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code <= 0 || signal_targets.guest == 0)
        forward_signal(number);
}

static void stop_supervisor(int number)
{
    (void)number;
    if (signal_targets.trap)
        trap_stop(signal_targets.trap);
    else
        signal_targets.pending = SIGTERM;
}

struct supervisor {
    const struct launch_options *options;
    const struct launch_hooks *hooks;
    pid_t front;
    pid_t process_group; /* of the front: the guest's */
    int report_fd;
};

static void report_start(void *user, pid_t pid, struct trap *trap)
{
    const struct supervisor *supervisor = user;
    struct report report = {.kind = REPORT_STARTED, .pid = pid};

    signal_targets.trap = trap;
    if (signal_targets.pending || getppid() != supervisor->front)
        trap_stop(trap);
    io_write_all(supervisor->report_fd, &report, sizeof(report));
}

/* The other threads block all signals: none of them is in the handler. */
static void report_end(void *user)
{
    (void)user;
    signal_targets.trap = NULL;
}

/*
 * A front that is stopped does not read: it is continued with the program. When the pipe is full it
 * has much to read, and will look at the program itself.
 */
static void report_change(void *user, int wait_status)
{
    const struct supervisor *supervisor = user;
    struct pollfd room = {.fd = supervisor->report_fd, .events = POLLOUT};
    bool stopped = WIFSTOPPED(wait_status);
    struct report report = {.kind = stopped ? REPORT_STOPPED : REPORT_CONTINUED};

    if (stopped)
        report.signal = WSTOPSIG(wait_status);
    if ((stopped || WIFCONTINUED(wait_status)) && poll(&room, 1, 0) == 1)
        io_write_all(supervisor->report_fd, &report, sizeof(report));
    if (!stopped && getppid() == supervisor->front)
        kill(supervisor->front, SIGCONT);
}

/*
 * Of LeakSanitizer (sanitizer/lsan_interface.h), in builds that have it. It looks for leaks at a
 * process' exit, and the supervisor has none: it leaves by _exit(), since the front's own handlers
 * for that are not its to run.
 */
extern void __lsan_do_leak_check(void) __attribute__((weak));

static _Noreturn void run_supervisor(struct supervisor *supervisor)
{
    struct launch_watch watch = {
        .started = report_start, .changed = report_change, .ended = report_end, .user = supervisor};
    struct report report = {.kind = REPORT_ENDED};

    prctl(PR_SET_NAME, "cerebro-kernel");
    /* The front's death ends the tree in good order; the front sees to ours. */
    handle(SIGTERM, stop_supervisor);
    handle(SIGHUP, stop_supervisor);
    handle(SIGINT, SIG_IGN);
    handle(SIGQUIT, SIG_IGN);
    handle(SIGTTOU, SIG_IGN);
    handle(SIGPIPE, SIG_IGN);
    handle(SIGXFSZ, SIG_IGN); /* the user's limit is an error to the guest, not our end */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setpgid(0, 0);
    report.outcome.error =
        launch_supervise(supervisor->options, supervisor->hooks, supervisor->process_group, &watch,
                         &report.outcome.result, &report.outcome.details);
    io_write_all(supervisor->report_fd, &report, sizeof(report));
    if (__lsan_do_leak_check)
        __lsan_do_leak_check();
    _exit(0);
}

static void on_start(pid_t pid)
{
    signal_targets.guest = pid;
    if (signal_targets.pending)
        kill(pid, signal_targets.pending);
    job_begin(pid);
}

/* Reads reports to the last one. Returns 0, or -EPIPE when it does not come. */
static int read_reports(int report_fd, struct report *ret_last)
{
    pid_t guest = 0;
    int r;

    do {
        if (guest)
            job_wait(guest, report_fd);
        r = io_read_all(report_fd, ret_last, sizeof(*ret_last));
        if (r == 0 && ret_last->kind == REPORT_STARTED)
            on_start(guest = ret_last->pid);
        else if (r == 0 && ret_last->kind == REPORT_STOPPED)
            job_stopped(guest, ret_last->signal, report_fd);
    } while (r == 0 && ret_last->kind != REPORT_ENDED);
    return r;
}

/*
 * The reaper, our child now, ends the tree and then itself. Killing it instead would leave nobody
 * to do that if we were killed in turn. It is done within milliseconds.
 */
static void wait_for_reaper(void)
{
    struct timespec pause = {.tv_nsec = REAPER_PAUSE_NS};

    for (int i = 0; i < REAPER_PAUSES && waitpid(-1, NULL, WNOHANG | __WALL) >= 0; i++)
        nanosleep(&pause, NULL);
}

/* The supervisor died without a word: nothing of the guest may live on. */
static int bury(pid_t supervisor, int wait_status, struct launch_result *ret_result,
                struct base_error *error)
{
    wait_for_reaper();
    trap_kill_descendants();
    limits_forget(supervisor);
    ret_result->exit_status = LAUNCH_EXIT_FAILED;
    if (WIFSIGNALED(wait_status))
        return base_fail(error, ECONNABORTED, "the program was killed with it; run it again",
                         "the process kernel was killed by signal %d (%s)", WTERMSIG(wait_status),
                         strsignal(WTERMSIG(wait_status)));
    return base_fail(error, ECONNABORTED, "please report this",
                     "the process kernel ended by itself with status %d", WEXITSTATUS(wait_status));
}

static int wait_for_end(pid_t supervisor, int report_fd, struct launch_result *ret_result,
                        struct base_error *error)
{
    struct report last;
    int wait_status = 0;
    int r = read_reports(report_fd, &last);

    while (waitpid(supervisor, &wait_status, 0) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return bury(supervisor, wait_status, ret_result, error);
    *ret_result = last.outcome.result;
    if (error && last.outcome.error < 0)
        *error = last.outcome.details;
    return last.outcome.error;
}

/*
 * Process 1 of a container gets the orphans of all others in it, who wait for nobody. Only those
 * are taken here: the supervisor's end is wanted elsewhere.
 */
static void bury_strangers(int number)
{
    int before = errno;
    siginfo_t info;

    (void)number;
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0 ||
            info.si_pid == signal_targets.supervisor || waitpid(info.si_pid, NULL, WNOHANG) <= 0)
            break;
    }
    errno = before;
}

static void front_signals(void)
{
    struct sigaction action = {.sa_sigaction = forward_from_process,
                               .sa_flags = SA_RESTART | SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGQUIT, &action, NULL);
    for (size_t i = 0; i < array_length(forwarded); i++)
        handle(forwarded[i], forward_signal);
    if (getpid() == 1)
        handle(SIGCHLD, bury_strangers);
}

static pid_t fork_supervisor(const struct launch_options *options, const struct launch_hooks *hooks,
                             int report[2])
{
    struct supervisor supervisor = {.options = options,
                                    .hooks = hooks,
                                    .front = getpid(),
                                    .process_group = getpgrp(),
                                    .report_fd = report[1]};
    pid_t pid;

    handle(SIGUSR1, note_unwanted); /* the front gets another right afterwards */
    pid = fork();
    if (pid == 0) {
        close(report[0]);
        run_supervisor(&supervisor);
    }
    return pid;
}

void signals_ignored(sigset_t *ret_ignored)
{
    sigemptyset(ret_ignored);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            sigaddset(ret_ignored, number);
    }
}

int launch_run(const struct launch_options *given, const struct launch_hooks *hooks,
               struct launch_result *ret_result, struct base_error *error)
{
    struct launch_options copy = *given;
    const struct launch_options *options = &copy;
    sigset_t ignored;
    struct job_terminal terminal;
    struct launch_result result = {.exit_status = LAUNCH_EXIT_FAILED};
    int report[2];
    pid_t supervisor;
    int r;

    if (pipe2(report, O_CLOEXEC) < 0)
        return base_fail(error, errno, NULL, "cannot make a pipe: %s", strerror(errno));
    job_save_terminal(&terminal);
    /* Front and supervisor handle signals in ways of their own; the program gets the user's. */
    signals_ignored(&ignored);
    if (copy.ignored == NULL)
        copy.ignored = &ignored;
    /* If the supervisor dies, its guests become our children. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    supervisor = fork_supervisor(options, hooks, report);
    close(report[1]);
    if (supervisor < 0) {
        close(report[0]);
        return base_fail(error, errno, NULL, "cannot fork: %s", strerror(errno));
    }
    signal_targets.supervisor = supervisor;
    signal_targets.ignored = *copy.ignored;
    front_signals();
    r = wait_for_end(supervisor, report[0], &result, error);
    close(report[0]);
    if (r < 0 || WIFSIGNALED(result.wait_status))
        job_restore_terminal(&terminal);
    *ret_result = result;
    return r;
}

/*
 * The reaper: parent of the first guest and of every orphan. A process of its own, because a wait
 * for "any child" in the process that traces guests would take the tracer's events, and because
 * it outlives the supervisor and can kill what is left. No allocation, no locks, no stdio: the
 * process it was forked from may have had threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/passing.h"
#include "trap/trap-internal.h"

/* Status pipe, /proc, listener. */
#define KEPT_FDS 3

static void report_failure(const struct child_plan *plan, int error)
{
    struct child_report report = {.stage = CHILD_FORK, .error = error, .listener = -1};

    send(plan->link_fd, &report, sizeof(report), MSG_NOSIGNAL);
}

/*
 * Makes the first process. It borrows our memory and stack until it has become the loader, and we
 * sleep until then: nothing is copied. It never returns from child_main(), so our frames stay
 * whole.
 */
static pid_t make_first(const struct child_plan *plan)
{
    pid_t pid = vfork();

    if (pid == 0)
        child_main(plan);
    if (pid < 0)
        return -errno;
    munmap((void *)LOADER_PATH_PAGE, LOADER_PAGE_SIZE);
    return pid;
}

/*
 * Waits for a message or for the end of the first process: one that could not put up its walls, or
 * was killed, leaves nothing to wait for. Returns whether there is a message.
 */
static bool await_message(const struct child_plan *plan, pid_t first)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, first, 0);
    struct pollfd fds[2] = {{.fd = plan->link_fd, .events = POLLIN},
                            {.fd = pidfd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return fds[0].revents;
}

/* Receives what share_listener() sends; -1 when nothing comes. */
static int receive_listener(const struct child_plan *plan, pid_t first)
{
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    int fd = -1;

    if (await_message(plan, first))
        passing_receive(plan->link_fd, &data, 1, 0, &fd);
    return fd;
}

static int move_fd(int fd, int number)
{
    return dup3(fd, number, O_CLOEXEC) < 0 ? -errno : number;
}

/* Keeps only what is needed: an open terminal or pipe end must end with its last user. */
static void drop_descriptors(struct child_plan *plan)
{
    int status = fcntl(plan->status_fd, F_DUPFD_CLOEXEC, KEPT_FDS);
    int proc = fcntl(plan->proc_fd, F_DUPFD_CLOEXEC, KEPT_FDS);
    int listener = fcntl(plan->listener, F_DUPFD_CLOEXEC, KEPT_FDS);

    if (status < 0 || proc < 0)
        return;
    plan->status_fd = move_fd(status, 0);
    plan->proc_fd = move_fd(proc, 1);
    if (listener < 0)
        close(2);
    else
        plan->listener = move_fd(listener, 2);
    if (syscall(SYS_close_range, (unsigned)KEPT_FDS, ~0U, 0) < 0)
        for (int fd = KEPT_FDS; fd < 65536; fd++)
            close(fd);
}

/*
 * Tells the supervisor what has become of the first process. An end is seen by itself, since calls
 * stop coming; a stop or its end has to be looked at now.
 */
static void report_first(const struct child_plan *plan, int status)
{
    io_write_all(plan->status_fd, &status, sizeof(status));
    if (WIFSTOPPED(status) || WIFCONTINUED(status))
        trap_interrupt(plan->supervisor, plan->kernel_tid, plan->to_notice);
}

/* Reaps what has ended. Returns false when no child is left. */
static bool reap(const struct child_plan *plan, pid_t first, bool *first_ended)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0) {
        if (pid != first || *first_ended)
            continue;
        *first_ended = !WIFSTOPPED(status) && !WIFCONTINUED(status);
        report_first(plan, status);
    }
    return pid == 0;
}

/* Returns the signal, or -1 when it is time to look. */
static int wait_for_signal(const struct trap_start *start, const sigset_t *signals)
{
    struct timespec interval = {.tv_sec = start->look_every_ms / 1000,
                                .tv_nsec = start->look_every_ms % 1000 * 1000000L};

    return start->look ? sigtimedwait(signals, NULL, &interval) : sigwaitinfo(signals, NULL);
}

/* Returns whether the tree may go on. */
static bool look(const struct trap_start *start, pid_t first, bool first_ended, bool ended)
{
    enum trap_verdict verdict = start->look ? start->look(start->prepare_user, ended) : TRAP_GO_ON;

    if (verdict == TRAP_ASK_TO_END && !first_ended) {
        kill(first, SIGTERM);
        kill(first, SIGCONT); /* one that is stopped would not hear of it */
    }
    return verdict != TRAP_END;
}

static void reap_to_the_end(const struct child_plan *plan, pid_t first)
{
    bool first_ended = false;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, TRAP_SIGNAL);
    while (reap(plan, first, &first_ended)) {
        if (first_ended && !plan->start->wait_for_all) {
            look(plan->start, first, true, true);
            return;
        }
        if (getppid() != plan->supervisor ||
            wait_for_signal(plan->start, &signals) == TRAP_SIGNAL ||
            !look(plan->start, first, first_ended, false))
            break;
    }
    if (first_ended) {
        look(plan->start, first, true, true);
        return;
    }
    /* The tree is to end: the first process too, but its status is still wanted. */
    kill(first, SIGKILL);
    while (reap(plan, first, &first_ended) && !first_ended)
        sigwaitinfo(&signals, NULL);
    look(plan->start, first, true, true);
}

void reaper_main(struct child_plan *plan)
{
    pid_t first;

    prctl(PR_SET_NAME, "cerebro-reaper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, TRAP_SIGNAL);
    plan->reaper = getpid();
    if (getppid() != plan->supervisor)
        _exit(1);
    first = make_first(plan);
    if (first < 0) {
        report_failure(plan, first);
        _exit(1);
    }
    plan->listener = receive_listener(plan, first);
    drop_descriptors(plan);
    reap_to_the_end(plan, first);
    kill_descendants(plan->proc_fd);
    /* A supervisor that lives sees to it itself, or goes on without some of the walls. */
    if (getppid() != plan->supervisor) {
        loader_file_remove(plan->loader_path, plan->loader_dir);
        if (plan->start->clean_up)
            plan->start->clean_up(plan->start->prepare_user);
    }
    _exit(0);
}

/*
 * The reaper: parent of the first guest and of every orphan. A process of its own, because a wait
 * for "any child" in the process that traces guests would take the tracer's events, and because
 * it outlives the supervisor and can kill what is left. No allocation, no locks, no stdio: the
 * process it was forked from may have had threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "trap/trap-internal.h"

#define CHILD_STACK_SIZE (256 * 1024)

static int run_child(void *plan)
{
    child_main(plan);
}

static void report_failure(const struct child_plan *plan, int error)
{
    struct child_report report = {.stage = CHILD_FORK, .error = error, .listener = -1};

    send(plan->link_fd, &report, sizeof(report), MSG_NOSIGNAL);
}

/*
 * Makes the first process. It borrows our memory until it has become the loader, and we sleep
 * until then: nothing is copied.
 */
static pid_t make_first(struct child_plan *plan)
{
    void *stack = mmap(NULL, CHILD_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pid_t pid;

    if (stack == MAP_FAILED)
        return -errno;
    pid = clone(run_child, (char *)stack + CHILD_STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD,
                plan);
    if (pid < 0)
        pid = -errno;
    munmap(stack, CHILD_STACK_SIZE);
    munmap((void *)LOADER_PATH_PAGE, LOADER_PAGE_SIZE);
    return pid;
}

static int move_fd(int fd, int number)
{
    return dup3(fd, number, O_CLOEXEC) < 0 ? -errno : number;
}

/* Keeps only what is needed: an open terminal or pipe end must end with its last user. */
static void drop_descriptors(struct child_plan *plan)
{
    int status = fcntl(plan->status_fd, F_DUPFD_CLOEXEC, 3);
    int proc = fcntl(plan->proc_fd, F_DUPFD_CLOEXEC, 3);

    if (status < 0 || proc < 0)
        return;
    plan->status_fd = move_fd(status, 0);
    plan->proc_fd = move_fd(proc, 1);
    if (syscall(SYS_close_range, 2U, ~0U, 0) < 0)
        for (int fd = 2; fd < 65536; fd++)
            close(fd);
}

/* Reaps what has ended. Returns false when no child is left. */
static bool reap(const struct child_plan *plan, pid_t first, bool *first_ended)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (pid != first)
            continue;
        *first_ended = true;
        io_write_all(plan->status_fd, &status, sizeof(status));
    }
    return pid == 0;
}

static void reap_to_the_end(const struct child_plan *plan, pid_t first)
{
    bool first_ended = false;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, TRAP_SIGNAL);
    while (reap(plan, first, &first_ended)) {
        if (first_ended && !plan->start->wait_for_all)
            return;
        if (getppid() != plan->supervisor || sigwaitinfo(&signals, NULL) == TRAP_SIGNAL)
            break;
    }
    if (first_ended)
        return;
    /* The tree is to end: the first process too, but its status is still wanted. */
    kill(first, SIGKILL);
    while (!first_ended && reap(plan, first, &first_ended))
        sigwaitinfo(&signals, NULL);
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
    drop_descriptors(plan);
    reap_to_the_end(plan, first);
    kill_descendants(plan->proc_fd);
    loader_file_remove(plan->loader_path, plan->loader_dir);
    _exit(0);
}

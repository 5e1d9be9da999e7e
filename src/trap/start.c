/*
 * Start and end of a guest: loader, filter, reaper, first process, listener.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/passing.h"
#include "core/context.h"
#include "core/exec.h"
#include "trap/filter.h"
#include "trap/trap-internal.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* include/uapi/linux/seccomp.h, 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define END_PATIENCE_MS 11000
#define STRAY_ROUNDS    1000
#define STRAY_PAUSE_NS  1000000

/* Everything of a start that is needed until the first process runs. */
struct starting {
    struct trap *trap;
    struct trap_start start; /* a copy */
    struct base_error *error;
    const struct pk_context *context;
    struct trap_walls walls;
    struct sock_fprog program;
    struct child_plan plan;
    struct pk_exec_plan *exec_plan;   /* until it is pending */
    atomic_int go;                    /* see struct child_plan */
    int link_fd;                      /* our end */
    pid_t waiting;                    /* the first process, while it waits for a go; 0: not known */
    int failed_stage;                 /* enum child_stage; -1: none */
    bool ipc_isolated, unix_isolated; /* as the caller had them */
};

/*
 * The wake-up: see notify.c. The pointer can only come from this process or from one that may
 * signal it, that is the same user's and no guest's (the filter sees to that).
 */
static void on_wake_up(int signal, siginfo_t *info, void *context)
{
    bool ours =
        info->si_code == SI_TIMER || (info->si_code == SI_QUEUE && info->si_pid == getpid());

    (void)signal;
    (void)context;
    if (ours && info->si_value.sival_ptr)
        ((union trap_notice *)info->si_value.sival_ptr)->notif.flags = 1;
}

/* A descriptor's signal carries no pointer of ours, and comes to the kernel thread alone. */
static __thread union trap_notice *thread_notice;

static void on_pipe(int signal)
{
    (void)signal;
    if (thread_notice)
        thread_notice->notif.flags = 1;
}

static void take_signals(struct trap *trap)
{
    struct sigaction action = {.sa_sigaction = on_wake_up, .sa_flags = SA_SIGINFO};
    /* RECV is restarted, too, and then refuses the spoilt buffer; other calls are left in peace. */
    struct sigaction pipe_action = {.sa_handler = on_pipe, .sa_flags = SA_RESTART};
    sigset_t child;

    sigemptyset(&action.sa_mask);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &trap->old_mask);
    sigaction(TRAP_SIGNAL, &action, &trap->old_action);
    sigemptyset(&pipe_action.sa_mask);
    thread_notice = &trap->notice;
    sigaction(TRAP_PIPE_SIGNAL, &pipe_action, &trap->old_pipe_action);
    trap->signals_taken = true;
}

static void give_signals_back(struct trap *trap)
{
    if (!trap->signals_taken)
        return;
    sigaction(TRAP_SIGNAL, &trap->old_action, NULL);
    sigaction(TRAP_PIPE_SIGNAL, &trap->old_pipe_action, NULL);
    thread_notice = NULL;
    pthread_sigmask(SIG_SETMASK, &trap->old_mask, NULL);
}

static struct trap *allocate(struct pk_kernel *kernel, const struct trap_features *features)
{
    struct trap *trap = calloc(1, sizeof(*trap));

    if (trap == NULL)
        return NULL;
    trap->kernel = kernel;
    trap->features = *features;
    trap->listener = -1;
    trap->self = getpid();
    trap->kernel_tid = gettid();
    trap->reaper = -1;
    trap->status_fd = -1;
    trap->loader_fd = -1;
    list_init(&trap->held);
    list_init(&trap->delays.waiting);
    take_signals(trap);
    placement_init(&trap->placement, kernel, TRAP_SIGNAL, &trap->notice);
    /* Nobody looks into the process kernel, and orphans of a dead reaper stay descendants. */
    trap->was_dumpable = prctl(PR_GET_DUMPABLE) == 1;
    prctl(PR_GET_CHILD_SUBREAPER, &trap->was_subreaper);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return trap;
}

static bool intercepts(const struct pk_config *config)
{
    uint64_t any = 0;

    for (size_t i = 0; i < array_length(config->intercepted); i++)
        any |= config->intercepted[i];
    return any != 0;
}

static int build_filter(struct starting *starting)
{
    struct pk_kernel *kernel = starting->trap->kernel;
    struct filter_config config;
    int r;

    filter_config_of(&kernel->config, kernel->window_base, &config);
    r = filter_build(&config, &starting->program, NULL);
    config.intercepted = NULL;
    if (r == 0 && intercepts(&kernel->config))
        r = filter_build(&config, &starting->trap->plain_filter, NULL);
    return r < 0 ? base_fail(starting->error, r, "please report this", "cannot build the filter")
                 : 0;
}

static unsigned filter_flags(const struct trap_features *features)
{
    unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;

    if (features->wait_killable)
        flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    return flags;
}

static void fill_plan(struct starting *starting, int link_fd, int status_fd, int proc_fd)
{
    struct trap *trap = starting->trap;
    const struct trap_start *start = &starting->start;

    starting->plan = (struct child_plan){
        .start = start,
        .program = &starting->program,
        .walls = &starting->walls,
        .loader_path = trap->loader_path,
        .loader_dir = trap->loader_dir,
        .mask = start->mask ? *start->mask : trap->old_mask,
        .filter_flags = filter_flags(&trap->features),
        .loader_fd = trap->loader_fd,
        .loader_path_offset = trap->loader_path_offset,
        .link_fd = link_fd,
        .status_fd = status_fd,
        .proc_fd = proc_fd,
        .go = intercepts(&trap->kernel->config) ? &starting->go : NULL,
        .by_messenger = !trap->features.pidfd_getfd,
        .supervisor = trap->self,
        .kernel_tid = trap->kernel_tid,
        .to_notice = &trap->notice,
    };
}

/* The reaper lets no signal disturb it, and the first process gets the mask it is meant to have. */
static pid_t fork_reaper(struct starting *starting)
{
    sigset_t all;
    sigset_t old;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0) {
        close(starting->link_fd);
        close(starting->trap->status_fd);
        reaper_main(&starting->plan);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid < 0 ? -errno : pid;
}

static int start_reaper(struct starting *starting)
{
    struct trap *trap = starting->trap;
    cleanup_close int theirs = -1;
    cleanup_close int status = -1;
    cleanup_close int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fds[2];

    if (proc_fd < 0)
        return base_fail(starting->error, errno, "mount /proc", "cannot open /proc: %s",
                         strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return base_fail(starting->error, errno, NULL, "cannot make a socket pair");
    starting->link_fd = fds[0];
    theirs = fds[1];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return base_fail(starting->error, errno, NULL, "cannot make a pipe");
    trap->status_fd = fds[0];
    status = fds[1];
    /* Reports of the reaper, and its death, interrupt RECV. */
    watch_interrupts(trap, trap->status_fd);
    fill_plan(starting, theirs, status, proc_fd);
    trap->reaper = fork_reaper(starting);
    if (trap->reaper < 0)
        return base_fail(starting->error, trap->reaper, NULL, "cannot fork: %s",
                         strerror(-trap->reaper));
    return 0;
}

static const char *stage_text(int stage)
{
    switch (stage) {
    case CHILD_FORK:
        return "cannot make the first process";
    case CHILD_PREPARE:
        return "cannot set the limits";
    case CHILD_WALLS:
        return "cannot put up the walls (namespaces, Landlock)";
    case CHILD_LOADER:
        return "cannot map the loader";
    case CHILD_FILTER:
        return "cannot install the filter";
    case CHILD_EXEC:
        return "cannot start the loader";
    default:
        return "cannot set up the first process";
    }
}

/* Receives one report. Returns 0, -EPIPE at its end, or what the report says. */
static int receive(struct starting *starting, struct child_report *report)
{
    struct iovec data = {.iov_base = report, .iov_len = sizeof(*report)};
    int fd = -1;
    ssize_t n;

    do
        n = passing_receive(starting->link_fd, &data, 1, 0, &fd);
    while (n == -EINTR);
    if (n != (ssize_t)sizeof(*report))
        return -EPIPE;
    if (fd >= 0) {
        base_close(starting->trap->listener);
        starting->trap->listener = fd;
    }
    if (report->error == 0)
        return 0;
    starting->failed_stage = report->stage;
    return base_fail(starting->error, report->error, "see: cerebro doctor", "%s: %s",
                     stage_text(report->stage), strerror(-report->error));
}

/* A listener that is only announced is there in a moment, unless the process ends. */
static int take_listener(struct trap *trap, const struct child_report *report, bool is_announced)
{
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, report->pid, 0);
    uint64_t flags = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;

    if (pidfd < 0)
        return -errno;
    while (trap->features.pidfd_getfd && trap->listener < 0) {
        trap->listener = (int)syscall(SYS_pidfd_getfd, pidfd, report->listener, 0);
        if (trap->listener < 0 && (errno != EBADF || !is_announced))
            return -errno;
        if (trap->listener < 0)
            sched_yield();
    }
    if (trap->listener < 0)
        return -EBADF;
    if (trap->features.sync_wake_up)
        ioctl(trap->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags);
    return 0;
}

/*
 * Gives the reaper the listener to hold. If this process dies, calls then wait for the end instead
 * of failing with ENOSYS, so that no guest acts on an answer that nobody gave.
 */
static int share_listener(const struct starting *starting)
{
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    ssize_t r = passing_send(starting->link_fd, &data, 1, starting->trap->listener, 0);

    return r == 1 ? 0 : r < 0 ? (int)r : -EIO;
}

/* The same right as for tracing it; without, every program would fail at its first file name. */
static int try_memory(pid_t pid)
{
    char byte;
    struct iovec local = {&byte, 1};
    struct iovec remote = {(void *)LOADER_PATH_PAGE, 1};

    return process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

static int let_first_go(struct starting *starting, pid_t pid)
{
    int one = 1;
    struct iovec local = {&one, sizeof(one)};
    struct iovec remote = {starting->plan.go, sizeof(one)};

    if (starting->plan.go == NULL)
        return send(starting->link_fd, "", 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
    return process_vm_writev(pid, &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

/* Takes the listener over and waits until the loader has been started, or has not. */
static int meet_first(struct starting *starting)
{
    struct trap *trap = starting->trap;
    struct child_report report;
    int r = receive(starting, &report);

    if (r == -EPIPE)
        return base_fail(starting->error, ESRCH, NULL, "the first process was killed");
    starting->waiting = r == 0 ? report.pid : 0;
    if (r == 0)
        r = take_listener(trap, &report, starting->plan.go);
    if (r < 0)
        return base_fail(starting->error, r, "see: cerebro doctor",
                         "cannot take over the filter's listener: %s", strerror(-r));
    r = try_memory(report.pid);
    if (r < 0)
        return base_fail(starting->error, r, "see: cerebro doctor",
                         "cannot read the first process' memory: %s", strerror(-r));
    r = pk_context_tag(report.pid, starting->context->id);
    if (r < 0)
        return base_fail(starting->error, r, "see: cerebro doctor",
                         "cannot mark the first process: %s", strerror(-r));
    trap->kernel->root_pid = report.pid;
    r = pending_add(trap, report.pid, report.pid, take_ptr(starting->exec_plan));
    if (r < 0)
        return base_fail(starting->error, r, NULL, "no memory for the first program");
    if (let_first_go(starting, report.pid) < 0 || share_listener(starting) < 0)
        return base_fail(starting->error, errno, NULL, "the first process was killed");
    starting->waiting = 0;
    r = receive(starting, &report);
    return r == -EPIPE ? 0 : r;
}

static int kill_stray(pid_t pid, void *user)
{
    struct trap *trap = user;

    if (pk_pid_is_ours(trap->kernel, pid) && kill(pid, SIGKILL) == 0)
        trap->strays++;
    waitpid(pid, NULL, WNOHANG | __WALL);
    return 0;
}

/* Somebody killed the reaper: its children are ours now. Only guests carry a context. */
static void kill_strays(struct trap *trap)
{
    for (int round = 0; round < STRAY_ROUNDS; round++) {
        struct timespec pause = {.tv_nsec = STRAY_PAUSE_NS};

        trap->strays = 0;
        pk_for_each_process(trap->kernel, kill_stray, trap);
        if (trap->strays == 0)
            return;
        nanosleep(&pause, NULL);
    }
}

/* Waits for the reaper, which ends after everybody else. */
static void end_tree(struct trap *trap)
{
    struct pollfd status = {.fd = trap->status_fd, .events = POLLIN};
    int end = 0;

    if (trap->reaper <= 0)
        return;
    kill(trap->reaper, TRAP_SIGNAL);
    while (!trap->tree_gone && poll(&status, 1, END_PATIENCE_MS) != 0)
        trap->tree_gone = !trap_read_status(trap);
    if (!trap->tree_gone)
        kill(trap->reaper, SIGKILL);
    while (waitpid(trap->reaper, &end, 0) < 0 && errno == EINTR)
        ;
    trap->reaper = -1;
    if (!WIFEXITED(end))
        kill_strays(trap);
}

/* The filter may let more through where the host cannot be reached anyway. */
static void tell_isolation(struct starting *starting, bool ipc, bool unix_names)
{
    struct pk_config *config = &starting->trap->kernel->config;

    config->ipc_isolated = starting->ipc_isolated || ipc;
    config->unix_isolated = starting->unix_isolated || unix_names;
}

static int start_processes(struct starting *starting)
{
    const struct trap_walls *walls = &starting->walls;
    int r;

    tell_isolation(starting, walls->namespaces, walls->unix_isolated);
    r = build_filter(starting);
    return r < 0 ? r : start_reaper(starting);
}

/* A probe cannot foresee everything: what only failed to be walled in starts without namespaces. */
static bool give_up_namespaces(struct starting *starting)
{
    struct trap *trap = starting->trap;

    if (starting->failed_stage != CHILD_WALLS || !starting->walls.namespaces ||
        starting->start.require_walls)
        return false;
    end_tree(trap);
    base_close(take_fd(&trap->status_fd));
    base_close(take_fd(&starting->link_fd));
    base_close(take_fd(&trap->listener));
    filter_free(&starting->program);
    starting->program = (struct sock_fprog){0};
    starting->walls.namespaces = false;
    starting->walls.network_namespace = false;
    starting->walls.unix_isolated = false;
    starting->failed_stage = -1;
    trap->tree_gone = false;
    trap->first_ended = false;
    if (starting->error)
        *starting->error = (struct base_error){0};
    return true;
}

static int start_all(struct starting *starting)
{
    int r = loader_file_open(starting->trap, starting->start.loader_path, starting->error);

    if (r == 0)
        r = walls_plan(starting->trap, &starting->start, &starting->walls, starting->error);
    return r < 0 ? r : start_processes(starting);
}

static void starting_free(struct starting *starting)
{
    if (starting == NULL)
        return;
    child_give_up(starting->link_fd, starting->waiting);
    walls_release(&starting->walls);
    filter_free(&starting->program);
    base_close(starting->link_fd);
    pk_exec_plan_free(starting->exec_plan);
    free(starting);
}

static struct starting *starting_new(struct pk_kernel *kernel, const struct trap_features *features,
                                     const struct trap_start *start, struct base_error *error)
{
    struct starting *starting = calloc(1, sizeof(*starting));

    if (starting == NULL)
        return NULL;
    *starting = (struct starting){.start = *start,
                                  .error = error,
                                  .walls = {.landlock_ruleset = -1},
                                  .link_fd = -1,
                                  .failed_stage = -1,
                                  .ipc_isolated = kernel->config.ipc_isolated,
                                  .unix_isolated = kernel->config.unix_isolated};
    starting->trap = allocate(kernel, features);
    if (starting->trap == NULL) {
        free(starting);
        return NULL;
    }
    starting->trap->starting = starting;
    starting->trap->first_changed = start->first_changed;
    starting->trap->first_changed_user = start->first_changed_user;
    return starting;
}

int trap_begin(struct pk_kernel *kernel, const struct trap_features *features,
               const struct trap_start *start, struct trap **ret_trap, struct base_error *error)
{
    struct starting *starting = starting_new(kernel, features, start, error);
    int r;

    if (starting == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory to start the program");
    r = start_all(starting);
    if (r < 0)
        trap_free(starting->trap);
    else
        *ret_trap = starting->trap;
    return r;
}

int trap_complete(struct trap *trap, struct pk_exec_plan *plan, const struct pk_context *context,
                  struct base_error *error)
{
    struct starting *starting = trap->starting;
    int r;

    starting->exec_plan = plan;
    starting->context = context;
    starting->error = error;
    r = meet_first(starting);
    if (r < 0 && give_up_namespaces(starting)) {
        r = start_processes(starting);
        if (r == 0)
            r = meet_first(starting);
    }
    starting_free(starting);
    trap->starting = NULL;
    return r;
}

int trap_new(struct pk_kernel *kernel, const struct trap_features *features,
             const struct trap_start *start, struct trap **ret_trap, struct base_error *error)
{
    struct trap *trap;
    int r = trap_begin(kernel, features, start, &trap, error);

    if (r < 0) {
        pk_exec_plan_free(start->plan);
        return r;
    }
    r = trap_complete(trap, start->plan, start->context, error);
    if (r < 0)
        trap_free(trap);
    else
        *ret_trap = trap;
    return r;
}

void trap_free(struct trap *trap)
{
    if (trap == NULL)
        return;
    starting_free(trap->starting);
    placement_free(&trap->placement);
    end_tree(trap);
    park_stop(trap);
    delay_free_all(trap);
    fetch_free_all(trap);
    while (!list_is_empty(&trap->held)) {
        struct trap_held *held = list_entry(trap->held.next, struct trap_held, node);

        list_remove(&held->node);
        free(held);
    }
    pending_free_all(trap);
    journal_free_all(trap);
    filter_free(&trap->plain_filter);
    base_close(trap->listener);
    base_close(trap->status_fd);
    base_close(trap->loader_fd);
    if (trap->loader_path)
        loader_file_remove(trap->loader_path, trap->loader_dir);
    free(trap->loader_path);
    free(trap->loader_dir);
    if (trap->was_dumpable)
        prctl(PR_SET_DUMPABLE, 1);
    prctl(PR_SET_CHILD_SUBREAPER, trap->was_subreaper);
    give_signals_back(trap);
    free(trap);
}

/*
 * The first guest process, from its fork to its exec of the loader. It shares the reaper's memory
 * (vfork), so it only writes its own stack.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "trap/trap-internal.h"

#define SIGNALS   64
#define FIRST_FD  3     /* behind the standard ones */
#define FDS_LIMIT 65536 /* looked at where the host has no close_range(2) with flags */

static _Noreturn void fail(const struct child_plan *plan, enum child_stage stage, int error)
{
    struct child_report report = {.stage = (int)stage, .error = error, .listener = -1};

    send(plan->link_fd, &report, sizeof(report), MSG_NOSIGNAL);
    _exit(127);
}

static void set_signals(const struct child_plan *plan)
{
    const sigset_t *ignored = plan->start->ignored;
    struct sigaction action = {0};

    sigemptyset(&action.sa_mask);
    for (int number = 1; number <= SIGNALS; number++) {
        action.sa_handler = ignored && sigismember(ignored, number) == 1 ? SIG_IGN : SIG_DFL;
        sigaction(number, &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &plan->mask, NULL);
}

static int tie_to_parent(const struct child_plan *plan)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == plan->reaper ? 0 : -ESRCH;
}

static int no_new_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/*
 * Root's guests need none of root's powers: what they name is done by the process kernel. This way
 * a native call can never do more than a user's could (raising hard limits, poisoning pages, taking
 * somebody's terminal).
 */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* newer ones and no right: no harm */
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* They go with the exec: until then some of them are needed. */
static void let_descriptors_go(void)
{
    if (syscall(SYS_close_range, FIRST_FD, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = FIRST_FD; fd < FDS_LIMIT; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int set_up(const struct child_plan *plan)
{
    /* A group that has ended in the meantime is no reason to fail: then a new one will do. */
    if (setpgid(0, plan->start->process_group) < 0)
        setpgid(0, 0);
    set_signals(plan);
    if (plan->start->standard_fds_only)
        let_descriptors_go();
    /* The supervisor takes over the listener from outside, as a tracer would. */
    if (prctl(PR_SET_DUMPABLE, 1) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

/* The exec reads its path from where every later exec will have it, too. */
static int map_path_page(const struct child_plan *plan)
{
    void *page = mmap((void *)LOADER_PATH_PAGE, LOADER_PAGE_SIZE, PROT_READ,
                      MAP_PRIVATE | MAP_FIXED, plan->loader_fd, plan->loader_path_offset);

    return page == MAP_FAILED ? -errno : 0;
}

static int install_filter(const struct child_plan *plan)
{
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, plan->filter_flags, plan->program);

    return fd < 0 ? -errno : (int)fd;
}

/* Behind the filter only calls that it lets through: writing to a connected peer is. */
static void hand_over_listener(const struct child_plan *plan, int listener)
{
    struct child_report report = {.stage = CHILD_EXEC, .listener = listener, .pid = getpid()};

    if (write(plan->link_fd, &report, sizeof(report)) != (ssize_t)sizeof(report))
        _exit(127);
}

/* The listener gets the lowest free number, as this duplicate does. */
static void announce_listener(const struct child_plan *plan)
{
    int number = dup(plan->link_fd);
    struct child_report report = {.stage = CHILD_EXEC, .listener = number, .pid = getpid()};

    close(number);
    if (write(plan->link_fd, &report, sizeof(report)) != (ssize_t)sizeof(report))
        _exit(127);
}

static void wait_for_go(const struct child_plan *plan)
{
    while (atomic_load(plan->go) == 0)
        __builtin_ia32_pause();
}

static void wait_for_word(const struct child_plan *plan)
{
    char go;

    if (read(plan->link_fd, &go, 1) != 1)
        _exit(127);
}

static void check(const struct child_plan *plan, enum child_stage stage, int result)
{
    if (result < 0)
        fail(plan, stage, result);
}

void child_give_up(int link_fd, pid_t waiting)
{
    struct child_report report;

    if (link_fd < 0)
        return;
    /* What it has not reported by now it cannot report, and ends. */
    shutdown(link_fd, SHUT_RD);
    if (waiting == 0 && recv(link_fd, &report, sizeof(report), MSG_DONTWAIT) == sizeof(report) &&
        report.error == 0)
        waiting = report.pid;
    if (waiting > 0)
        kill(waiting, SIGKILL);
}

void child_main(const struct child_plan *plan)
{
    const struct trap_start *start = plan->start;
    struct child_report report = {.stage = CHILD_EXEC, .listener = -1};
    struct messenger *messenger = NULL;
    int listener;

    check(plan, CHILD_SETUP, tie_to_parent(plan));
    check(plan, CHILD_SETUP, set_up(plan));
    check(plan, CHILD_PREPARE, start->prepare ? start->prepare(start->prepare_user) : 0);
    check(plan, CHILD_LOADER, map_path_page(plan));
    check(plan, CHILD_WALLS, walls_enter_namespaces(plan));
    /* A change of capabilities resets what the end of our parent does to us. */
    check(plan, CHILD_SETUP, tie_to_parent(plan));
    check(plan, CHILD_WALLS, drop_capabilities());
    check(plan, CHILD_WALLS, no_new_privileges());
    check(plan, CHILD_WALLS, walls_restrict(plan->walls));
    if (plan->by_messenger)
        check(plan, CHILD_FILTER, messenger_start(plan->link_fd, &messenger));
    else if (plan->go)
        announce_listener(plan);
    listener = install_filter(plan);
    if (messenger)
        messenger_tell(messenger, listener);
    check(plan, CHILD_FILTER, listener);
    if (!plan->go && !messenger)
        hand_over_listener(plan, listener);
    if (plan->go)
        wait_for_go(plan);
    else
        wait_for_word(plan);
    syscall(SYS_execve, pending_path(0), start->argv, start->envp);
    report.error = -errno;
    (void)!write(plan->link_fd, &report, sizeof(report));
    _exit(127);
}

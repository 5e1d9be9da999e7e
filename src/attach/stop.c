/*
 * Holding all threads of a process still, and letting them go as if nothing had been.
 *
 * Signals: a thread that is about to take one when we come takes it, and stops on the way to its
 * handler. A stop of the whole process (SIGSTOP) stays one: the host puts threads back into it when
 * they are let go.
 *
 * Nothing here waits in waitpid(): a thread that cannot stop would hold us, and in the program of a
 * user another thread may be told of our stops. So it looks, and looks at the thread itself when it
 * is told nothing. The exit of the first thread is left to its parent, who may be this program.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"
#include "base/io.h"

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

#define NS_PER_MS       1000000ULL
#define PATIENCE_MS     500 /* without any thread getting to its stop */
#define ROUNDS_MAX      100
#define QUICK_LOOKS     50 /* before sleeping between looks */
#define SLEEP_NS        50000
#define LOOKS_PER_PROBE 20
#define SEIZE_TRIES     20

static bool is_event_stop(int what)
{
    return what >> 8 == PTRACE_EVENT_STOP;
}

static bool has_ended(pid_t pid, pid_t tid)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *close;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return true;
    close = strrchr(strbuf_text(&text), ')');
    return close && (close[2] == 'Z' || close[2] == 'X');
}

int stop_look(pid_t pid, pid_t tid, int *ret_what)
{
    siginfo_t info = {0};
    int options = WSTOPPED | WNOHANG | __WALL | __WNOTHREAD | (tid == pid ? 0 : WEXITED);

    if (waitid(P_PID, (id_t)tid, &info, options) < 0)
        return errno == EINTR ? 0 : -ESRCH;
    if (info.si_pid == 0)
        return 0;
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
        return -ESRCH;
    *ret_what = info.si_status;
    return 1;
}

/* When nobody tells: does it stand all the same, or has it ended? */
static int probe(pid_t pid, pid_t tid, int *ret_what)
{
    siginfo_t info;

    if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0) {
        *ret_what = info.si_code > 0 && is_event_stop(info.si_code) ? info.si_code : info.si_signo;
        if (info.si_signo == SIGTRAP && info.si_code == (SIGTRAP | 0x80))
            *ret_what = SIGTRAP | 0x80;
        return 1;
    }
    return has_ended(pid, tid) ? -ESRCH : 0;
}

static void pause_between(unsigned looks)
{
    struct timespec nap = {.tv_nsec = SLEEP_NS};

    if (looks < QUICK_LOOKS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

int stop_await(pid_t pid, pid_t tid, unsigned patience_ms, int *ret_what)
{
    uint64_t deadline = io_now_ns() + patience_ms * NS_PER_MS;

    for (unsigned looks = 1;; looks++) {
        int r = stop_look(pid, tid, ret_what);

        if (r == 0 && looks > QUICK_LOOKS && looks % LOOKS_PER_PROBE == 0)
            r = probe(pid, tid, ret_what);
        if (r != 0)
            return r < 0 ? r : 0;
        if (io_now_ns() > deadline)
            return -ETIME;
        pause_between(looks);
    }
}

/* ---- stopping ---- */

static struct stop_thread *find_thread(struct stopped *stopped, pid_t tid)
{
    for (size_t i = 0; i < stopped->count; i++)
        if (stopped->threads[i].tid == tid && stopped->threads[i].state != STOP_GONE)
            return &stopped->threads[i];
    return NULL;
}

static int add_thread(struct stopped *stopped, pid_t tid)
{
    if (stopped->count == stopped->capacity) {
        size_t capacity = stopped->capacity ? stopped->capacity * 2 : 16;
        struct stop_thread *threads = reallocarray(stopped->threads, capacity, sizeof(*threads));

        if (threads == NULL)
            return -ENOMEM;
        stopped->threads = threads;
        stopped->capacity = capacity;
    }
    stopped->threads[stopped->count++] = (struct stop_thread){.tid = tid};
    return 0;
}

/*
 * During an exec the first thread has ended for a moment, until another takes its number: the host
 * says EPERM then, as of one that may not be traced.
 */
static int seize_patiently(pid_t tid)
{
    struct timespec nap = {.tv_nsec = SLEEP_NS};

    for (unsigned i = 0; i < SEIZE_TRIES; i++) {
        if (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD) == 0)
            return 0;
        if (errno != EPERM)
            return -errno;
        nanosleep(&nap, NULL);
    }
    return -EPERM;
}

/* A thread that has ended by now is no failure. */
static int seize(struct stopped *stopped, pid_t tid)
{
    int r = seize_patiently(tid);

    if (r < 0)
        return r == -ESRCH || has_ended(stopped->pid, tid) ? 0 : r;
    r = add_thread(stopped, tid);
    if (r < 0)
        return r;
    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return 1;
}

/* Seizes the threads that are new. Returns how many, or a negative errno. */
static int seize_new(struct stopped *stopped)
{
    char path[64];
    struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", stopped->pid);
    cleanup_dir DIR *directory = opendir(path);
    while (directory && (entry = readdir(directory))) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        int r;

        if (tid <= 0 || find_thread(stopped, tid))
            continue;
        r = seize(stopped, tid);
        if (r < 0)
            return r;
        count += r;
    }
    return count;
}

/* Any stop ends the interruption, so one that takes its signal has to be interrupted again. */
static void on_stop(struct stop_thread *thread, int what)
{
    if (is_event_stop(what)) {
        thread->state = STOP_STANDS;
        thread->group_stop = (what & 0xff) != SIGTRAP;
        return;
    }
    ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
    ptrace(PTRACE_CONT, thread->tid, NULL, (long)(what & 0x7f));
}

/* One look at each. Returns how many are still awaited; counts what has changed. */
static size_t look_at_all(struct stopped *stopped, bool probes, unsigned *changes)
{
    size_t awaited = 0;

    for (size_t i = 0; i < stopped->count; i++) {
        struct stop_thread *thread = &stopped->threads[i];
        int what = 0;
        int r;

        if (thread->state != STOP_WANTED)
            continue;
        r = stop_look(stopped->pid, thread->tid, &what);
        if (r == 0 && probes)
            r = probe(stopped->pid, thread->tid, &what);
        if (r < 0)
            thread->state = STOP_GONE;
        else if (r > 0)
            on_stop(thread, what);
        *changes += r != 0;
        awaited += thread->state == STOP_WANTED;
    }
    return awaited;
}

static void await_stops(struct stopped *stopped)
{
    uint64_t deadline = io_now_ns() + PATIENCE_MS * NS_PER_MS;
    unsigned changes = 0;

    for (unsigned looks = 1;; looks++) {
        bool probes = looks > QUICK_LOOKS && looks % LOOKS_PER_PROBE == 0;
        unsigned before = changes;

        if (look_at_all(stopped, probes, &changes) == 0)
            return;
        if (changes != before)
            deadline = io_now_ns() + PATIENCE_MS * NS_PER_MS;
        if (io_now_ns() > deadline)
            break;
        pause_between(looks);
    }
    for (size_t i = 0; i < stopped->count; i++)
        if (stopped->threads[i].state == STOP_WANTED)
            stopped->threads[i].state = STOP_STUCK;
}

int stop_all(struct stopped *stopped)
{
    bool stands = false;

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        int fresh = seize_new(stopped);

        if (fresh < 0)
            return fresh;
        if (fresh == 0)
            break;
        await_stops(stopped);
    }
    for (size_t i = 0; i < stopped->count; i++)
        stands = stands || stopped->threads[i].state == STOP_STANDS;
    if (stands)
        return 0;
    return stopped->count && !has_ended(stopped->pid, stopped->pid) ? -ETIME : -ESRCH;
}

/* ---- letting go ---- */

/*
 * These return EINTR after any interruption, even if no handler ran (signal(7)), and have done
 * nothing when they do.
 */
static bool breaks_off(long nr)
{
    switch (nr) {
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_write:
    case SYS_writev:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_connect:
    case SYS_accept:
    case SYS_accept4:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case 441: /* epoll_pwait2 */
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    case 333: /* io_pgetevents */
    case 426: /* io_uring_enter */
        return true;
    default:
        return false;
    }
}

#define ERESTARTNOHAND 514 /* include/linux/errno.h: EINTR if a handler runs, else restarted */

void stop_mend_call(struct user_regs_struct *regs)
{
    if ((long)regs->rax == -EINTR && (long)regs->orig_rax >= 0 && breaks_off((long)regs->orig_rax))
        regs->rax = (unsigned long long)-ERESTARTNOHAND;
}

static void let_go(const struct stop_thread *thread)
{
    struct user_regs_struct regs;

    if (!thread->group_stop && ptrace(PTRACE_GETREGS, thread->tid, NULL, &regs) == 0) {
        unsigned long long before = regs.rax;

        stop_mend_call(&regs);
        if (regs.rax != before)
            ptrace(PTRACE_SETREGS, thread->tid, NULL, &regs);
    }
    /* It fails for one that was killed where it stood: the end of this thread lets that go. */
    ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
}

void stop_release(struct stopped *stopped)
{
    for (size_t i = 0; i < stopped->count; i++)
        if (stopped->threads[i].state == STOP_STANDS)
            let_go(&stopped->threads[i]);
    free(stopped->threads);
    *stopped = (struct stopped){.pid = stopped->pid};
}

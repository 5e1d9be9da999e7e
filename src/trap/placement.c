#include "trap/placement.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/kernel.h"

#define TICK_NS     20000000L /* a computing child may be held for this long */
#define LOOK_NS     1000000UL /* the previous thread is examined at most this often */
#define PARALLEL_NS 50000000UL

void placement_init(struct placement *placement, struct pk_kernel *kernel, int signal, void *cookie)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};

    *placement = (struct placement){.kernel = kernel, .cpu = -1};
    event.sigev_value.sival_ptr = cookie;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (sched_getaffinity(0, sizeof(kernel->cpus), &kernel->cpus) < 0 ||
        CPU_COUNT(&kernel->cpus) < 2)
        return;
    placement->usable = timer_create(CLOCK_MONOTONIC, &event, &placement->timer) == 0;
}

static void set_timer(const struct placement *placement, long interval)
{
    struct itimerspec spec = {.it_interval.tv_nsec = interval, .it_value.tv_nsec = interval};

    timer_settime(placement->timer, 0, &spec, NULL);
}

static void set_cpus(pid_t tid, const cpu_set_t *cpus)
{
    sched_setaffinity(tid, sizeof(*cpus), cpus); /* a thread that has just ended needs none */
}

static int free_process(pid_t pid, void *user)
{
    const struct placement *placement = user;
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    cleanup_dir DIR *tasks = opendir(path);
    while (tasks && (entry = readdir(tasks))) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (tid > 0 && tid != placement->held)
            set_cpus(tid, &placement->kernel->cpus);
    }
    return 0;
}

/* Frees every thread of the tree, but keeps the one that is still held. */
static void free_others(struct placement *placement)
{
    pk_for_each_process(placement->kernel, free_process, placement);
}

static void free_all(struct placement *placement)
{
    if (placement->held == 0)
        return;
    placement->held = 0;
    placement->kernel->placed = false;
    set_timer(placement, 0);
    free_others(placement);
    set_cpus(0, &placement->kernel->cpus);
    placement->cpu = -1;
}

/* The state letter of /proc/TID/stat. */
static bool is_running(pid_t tid)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *end;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", tid);
    if (io_read_file(AT_FDCWD, path, 512, &text) < 0)
        return false;
    end = strrchr(strbuf_text(&text), ')');
    return end && end[1] == ' ' && end[2] == 'R';
}

void placement_saw(struct placement *placement, pid_t tid)
{
    pid_t previous = placement->last;
    uint64_t now;

    if (tid == previous)
        return;
    placement->last = tid;
    if (!placement->usable || previous == 0)
        return;
    now = io_now_ns();
    if (now - placement->looked_ns < LOOK_NS)
        return;
    placement->looked_ns = now;
    if (!is_running(previous))
        return;
    placement->parallel_ns = now + PARALLEL_NS;
    free_all(placement);
}

static void hold_self(struct placement *placement)
{
    cpu_set_t one;

    placement->cpu = sched_getcpu();
    CPU_ZERO(&one);
    CPU_SET(placement->cpu, &one);
    set_cpus(0, &one);
}

int placement_hold(struct placement *placement, pid_t tid)
{
    cpu_set_t one;

    placement->used++;
    if (placement->held == tid)
        return placement->cpu;
    if (!placement->usable || placement->kernel->sets_affinity)
        return -1;
    if (placement->parallel_ns && io_now_ns() < placement->parallel_ns)
        return -1;
    placement->parallel_ns = 0;
    if (placement->held == 0) {
        hold_self(placement);
        set_timer(placement, TICK_NS);
        placement->ticked_ns = io_now_ns();
    }
    CPU_ZERO(&one);
    CPU_SET(placement->cpu, &one);
    set_cpus(tid, &one);
    placement->held = tid;
    placement->kernel->placed = true;
    return placement->cpu;
}

void placement_tick(struct placement *placement)
{
    uint64_t now;

    if (placement->held == 0)
        return;
    now = io_now_ns();
    if (now - placement->ticked_ns < (uint64_t)TICK_NS / 2)
        return;
    placement->ticked_ns = now;
    if (placement->used == 0 || placement->kernel->sets_affinity)
        free_all(placement);
    else
        free_others(placement);
    placement->used = 0;
}

void placement_free(struct placement *placement)
{
    if (!placement->usable)
        return;
    /* The guests have ended: only we are left to be freed. */
    timer_delete(placement->timer);
    if (placement->held)
        set_cpus(0, &placement->kernel->cpus);
    placement->held = 0;
}

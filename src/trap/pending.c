/*
 * Execs that were decided but have not reached the loader yet, by process and token. A record goes
 * stale when the host's own execve fails afterwards (E2BIG, ENOMEM), or when the thread is killed.
 * A thread has at most one, so the next exec of the same thread recycles it; those of dead
 * processes are swept.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/exec.h"
#include "trap/trap-internal.h"

#define SWEEP_FIRST 64
#define OLD_NS      60000000000ULL /* no exec takes longer between decision and loader */

/* As much of /proc/TID/auxv as there ever is. */
#define AUXV_MAX 1024

struct auxv {
    ssize_t size;
    unsigned char bytes[AUXV_MAX];
};

struct pending_exec {
    pid_t pid;
    pid_t tid;
    unsigned token;
    uint64_t added_ns;
    struct pk_exec_plan *plan;
    struct auxv *before; /* of the calling process, for a plan that raises privileges */
    struct pending_installed installed;
};

static void pending_free(struct trap *trap, struct pending_exec *pending)
{
    map_remove2(&trap->pending, (uint64_t)pending->pid, pending->token);
    if (map_get(&trap->answered, (uint64_t)pending->pid) == pending)
        map_remove(&trap->answered, (uint64_t)pending->pid);
    pk_exec_plan_free(pending->plan);
    free(pending->before);
    free(pending);
}

static int read_auxv(pid_t pid, struct auxv *auxv)
{
    char path[32];
    cleanup_close int fd = -1;

    snprintf(path, sizeof(path), "/proc/%d/auxv", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    auxv->size = fd < 0 ? -1 : read(fd, auxv->bytes, sizeof(auxv->bytes));
    return auxv->size <= 0 ? -EPERM : 0;
}

/*
 * A program may let its exec fail on the host, behind our decision, and then jump to the loader's
 * private call itself: it would get the rights of a set-user-id program and keep its own code. A
 * real exec leaves an auxiliary vector with other random addresses, which no guest can change.
 * (Where the host does not randomise, set-user-id programs do not run.)
 */
static bool has_execed(const struct pending_exec *pending)
{
    struct auxv now;

    if (pending->before == NULL)
        return true;
    return read_auxv(pending->pid, &now) == 0 &&
           (now.size != pending->before->size ||
            memcmp(now.bytes, pending->before->bytes, (size_t)now.size) != 0);
}

static int remember_auxv(struct pending_exec *pending, const struct pk_exec_plan *plan)
{
    if (!plan->secure)
        return 0;
    pending->before = malloc(sizeof(*pending->before));
    return pending->before ? read_auxv(pending->pid, pending->before) : -ENOMEM;
}

/*
 * A thread that has won an exec lives on under the number of its process, so the end of the thread
 * alone proves nothing until the record is old.
 */
static bool is_stale(const struct pending_exec *pending)
{
    if (kill(pending->pid, 0) < 0 && errno == ESRCH)
        return true;
    return io_now_ns() - pending->added_ns > OLD_NS &&
           syscall(SYS_tgkill, pending->pid, pending->tid, 0) < 0;
}

static void sweep(struct trap *trap)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&trap->pending, &cursor))) {
        struct pending_exec *pending = slot->value;

        if (is_stale(pending))
            pending_free(trap, pending);
    }
    trap->pending_sweep_at = trap->pending.count * 2 + SWEEP_FIRST;
}

/*
 * The lowest token that is free or this thread's own. When all are taken the first is recycled:
 * sixty-four threads of one process in an exec at the same time, of which one can win.
 */
static unsigned choose_token(struct trap *trap, pid_t pid, pid_t tid)
{
    for (unsigned token = 0; token < LOADER_TOKENS; token++) {
        struct pending_exec *pending = map_get2(&trap->pending, (uint64_t)pid, token);

        if (pending == NULL || pending->tid == tid)
            return token;
    }
    return 0;
}

static int set(struct trap *trap, pid_t pid, pid_t tid, unsigned token, struct pk_exec_plan *plan,
               bool check)
{
    struct pending_exec *pending = calloc(1, sizeof(*pending));
    int r;

    if (pending == NULL)
        return -ENOMEM;
    *pending =
        (struct pending_exec){.pid = pid, .tid = tid, .token = token, .added_ns = io_now_ns()};
    r = check ? remember_auxv(pending, plan) : 0;
    if (r == 0)
        r = map_set2(&trap->pending, (uint64_t)pid, token, pending);
    if (r < 0) {
        free(pending->before);
        free(pending);
        return r;
    }
    pending->plan = plan;
    return (int)token;
}

int pending_add(struct trap *trap, pid_t pid, pid_t tid, struct pk_exec_plan *plan)
{
    struct pending_exec *old;
    unsigned token;
    int r;

    if (trap->pending.count >= trap->pending_sweep_at)
        sweep(trap);
    token = choose_token(trap, pid, tid);
    old = map_get2(&trap->pending, (uint64_t)pid, token);
    if (old)
        pending_free(trap, old);
    r = set(trap, pid, tid, token, plan, true);
    if (r < 0)
        pk_exec_plan_free(plan);
    return r;
}

struct pk_exec_plan *pending_take(struct trap *trap, pid_t pid, uint64_t token,
                                  struct pending_installed *ret_installed)
{
    struct pending_exec *pending = map_get2(&trap->pending, (uint64_t)pid, token);
    struct pk_exec_plan *plan;

    if (pending == NULL)
        return NULL;
    plan = has_execed(pending) ? take_ptr(pending->plan) : NULL;
    *ret_installed = pending->installed;
    pending_free(trap, pending);
    return plan;
}

void pending_keep(struct trap *trap, pid_t pid, unsigned token, struct pk_exec_plan *plan,
                  const struct pending_installed *installed)
{
    struct pending_exec *pending;

    /* It has been seen to be a real exec: no second check. */
    if (map_get2(&trap->pending, (uint64_t)pid, token) ||
        set(trap, pid, pid, token, plan, false) < 0) {
        pk_exec_plan_free(plan);
        return;
    }
    pending = map_get2(&trap->pending, (uint64_t)pid, token);
    pending->installed = *installed;
    if (map_set(&trap->answered, (uint64_t)pid, pending) < 0)
        pending_free(trap, pending);
}

void pending_settle(struct trap *trap, pid_t pid)
{
    struct pending_exec *pending = map_get(&trap->answered, (uint64_t)pid);

    if (pending)
        pending_free(trap, pending);
}

void pending_free_all(struct trap *trap)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&trap->pending, &cursor)))
        pending_free(trap, slot->value);
    map_free(&trap->pending);
    map_free(&trap->answered);
}

/*
 * /proc/PID/timerslack_ns. The host shows and changes that of another process only to
 * CAP_SYS_NICE; the caller's own is asked of itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "vfs/proc-internal.h"

/* Runs prctl(2) in the calling thread, which must be the one that the file is about. */
static int64_t ask(const struct pseudo_access *access, int operation, uint64_t value)
{
    struct pk_injected_call call = {SYS_prctl, {(uint64_t)operation, value}};
    const struct vfs_actor *actor = access->actor;
    pid_t tid = access->node->tid ? access->node->tid : access->node->pid;
    int64_t result;
    int r;

    if (actor == NULL || actor->request == NULL || actor->request->port->inject == NULL ||
        actor->tid != tid)
        return -EPERM;
    r = actor->request->port->inject(actor->request, &call, 1, &result);
    return r < 0 ? r : result;
}

int proc_timerslack(const struct pseudo_access *access, struct strbuf *ret_text)
{
    int64_t slack = ask(access, PR_GET_TIMERSLACK, 0);

    if (slack < 0)
        return (int)slack;
    strbuf_addf(ret_text, "%" PRId64 "\n", slack);
    return strbuf_status(ret_text);
}

/* 0: back to what it was at the start. */
int proc_timerslack_store(const struct pseudo_access *access, const char *text, size_t length)
{
    uint64_t value;
    int r = proc_parse_number(text, length, LONG_MAX, &value);

    if (r < 0)
        return r;
    return (int)ask(access, PR_SET_TIMERSLACK, value);
}

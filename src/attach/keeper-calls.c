/* What becomes of the calls that the filter sends. */
#include <errno.h>
#include <linux/audit.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "attach/keeper-internal.h"

#define SWEEP_AT   1024
#define FIRST_NONE 0x40000000 /* x32 numbers */

static int listener_ioctl(const struct keeper *keeper, unsigned long request, void *argument)
{
    int r;

    do
        r = ioctl(keeper->listener, request, argument);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static void pass(const struct keeper *keeper, uint64_t id)
{
    struct seccomp_notif_resp response = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    listener_ioctl(keeper, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void deny(struct keeper *keeper, const struct channel_call *call, int errnum)
{
    struct seccomp_notif_resp response = {.id = call->id, .error = -errnum};

    /* While it waits it can be named. */
    keeper_deny(keeper, call->pid, call->nr, errnum);
    listener_ioctl(keeper, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static int limit_of(uint64_t resource)
{
    static const int resources[CHANNEL_LIMIT_COUNT] = {RLIMIT_AS, RLIMIT_NOFILE, RLIMIT_CPU,
                                                       RLIMIT_FSIZE};

    for (int i = 0; i < CHANNEL_LIMIT_COUNT; i++)
        if (resources[i] == (int)resource)
            return i;
    return -1;
}

/* Whether the call would change a limit that we hold. The new value lies in memory, so any does. */
static bool changes_limit(const struct keeper *keeper, const struct channel_call *call)
{
    int limit = -1;

    if (call->nr == ABI_NR_prlimit64 && call->args[2])
        limit = limit_of(call->args[1]);
    else if (call->nr == ABI_NR_setrlimit)
        limit = limit_of(call->args[0]);
    return limit >= 0 && keeper->limited[limit];
}

/* A call that no program decides about. */
static void decide_here(struct keeper *keeper, const struct channel_call *call)
{
    bool known = call->nr >= 0 && call->nr < CHANNEL_NUMBERS;

    if (keeper->active && known && keeper->rules.denied[call->nr])
        deny(keeper, call, keeper->rules.denied[call->nr]);
    else
        pass(keeper, call->id);
}

/* ---- calls that the program decides about ---- */

static bool is_in_process(pid_t pid, pid_t tid)
{
    return syscall(SYS_tgkill, pid, tid, 0) == 0;
}

/* A thread that has no process of its number is one of another; its process seldom changes. */
static pid_t process_of(pid_t tid, pid_t last)
{
    struct target target;

    if (is_in_process(tid, tid))
        return tid;
    if (last > 0 && is_in_process(last, tid))
        return last;
    return target_read(tid, &target) < 0 ? tid : target.group;
}

/* Threads that have ended leave their last call. */
static void sweep(struct keeper *keeper)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&keeper->held, &cursor))) {
        struct held *held = slot->value;

        if (kill(held->call.tid, 0) == 0 || errno != ESRCH)
            continue;
        keeper->unsent -= held->unsent;
        free(map_remove(&keeper->held, slot->key));
    }
}

static struct held *hold(struct keeper *keeper, const struct channel_call *call)
{
    struct held *held = map_get(&keeper->held, (uint64_t)call->tid);

    if (held == NULL) {
        if (keeper->held.count % SWEEP_AT == SWEEP_AT - 1)
            sweep(keeper);
        held = calloc(1, sizeof(*held));
        if (held == NULL || map_set(&keeper->held, (uint64_t)call->tid, held) < 0) {
            free(held);
            return NULL;
        }
    }
    keeper->unsent -= held->unsent;
    *held = (struct held){.call = *call, .unsent = false};
    return held;
}

static void send_held(struct keeper *keeper, struct held *held)
{
    struct channel_message message = {.type = CHANNEL_CALL, .call = held->call};
    int r = channel_send(keeper->channel, &message, sizeof(message.call), -1);

    keeper->unsent -= held->unsent;
    held->unsent = r == -EAGAIN || r == -ENOBUFS;
    keeper->unsent += held->unsent;
    /* Anything else is the end of the channel, which the loop will find: then all of them pass. */
}

void keeper_send_rest(struct keeper *keeper)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while (keeper->unsent && (slot = map_next(&keeper->held, &cursor))) {
        struct held *held = slot->value;

        if (!held->unsent)
            continue;
        send_held(keeper, held);
        if (held->unsent)
            break;
    }
    loop_want_room(&keeper->loop, keeper->channel, keeper->unsent > 0);
}

static void give_to_program(struct keeper *keeper, struct channel_call *call)
{
    const struct held *last = map_get(&keeper->held, (uint64_t)call->tid);
    struct held *held;

    call->pid = process_of(call->tid, last ? last->call.pid : 0);
    held = hold(keeper, call);
    if (held == NULL) {
        decide_here(keeper, call);
        return;
    }
    keeper->passed++;
    send_held(keeper, held);
    if (held->unsent)
        loop_want_room(&keeper->loop, keeper->channel, true);
}

void keeper_continue_held(struct keeper *keeper)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&keeper->held, &cursor))) {
        struct held *held = slot->value;

        pass(keeper, held->call.id);
        free(map_remove(&keeper->held, slot->key));
    }
    map_free(&keeper->held);
    keeper->unsent = 0;
}

/* ---- */

static void serve(struct keeper *keeper, const struct seccomp_notif *notif)
{
    /* The wake-up has brought us to the target's CPU: the handler is best off there, too. */
    struct channel_call call = {.id = notif->id,
                                .tid = (int32_t)notif->pid,
                                .pid = (int32_t)notif->pid,
                                .nr = notif->data.nr,
                                .cpu = sched_getcpu(),
                                .instruction = notif->data.instruction_pointer};

    memcpy(call.args, notif->data.args, sizeof(call.args));
    keeper->calls++;
    if (!keeper->active) {
        pass(keeper, call.id);
        return;
    }
    if (notif->data.arch != AUDIT_ARCH_X86_64 || call.nr >= FIRST_NONE) {
        call.nr = -1;
        if (keeper->rules.strict)
            deny(keeper, &call, ENOSYS);
        else
            pass(keeper, call.id);
        return;
    }
    if (changes_limit(keeper, &call))
        deny(keeper, &call, EPERM);
    else if (keeper->channel >= 0 && attach_has(keeper->rules.passed, call.nr))
        give_to_program(keeper, &call);
    else
        decide_here(keeper, &call);
}

static bool has_hung_up(int listener)
{
    struct pollfd look = {.fd = listener, .events = POLLIN};

    return poll(&look, 1, 0) == 1 && (look.revents & (POLLHUP | POLLERR)) &&
           !(look.revents & POLLIN);
}

void keeper_on_listener(void *user, int fd)
{
    struct keeper *keeper = user;
    union {
        struct seccomp_notif notif;
        char room[512]; /* a later host's is longer */
    } notice;

    if (has_hung_up(fd)) {
        loop_unwatch(&keeper->loop, fd);
        keeper->unused = true;
        return;
    }
    memset(&notice, 0, sizeof(notice));
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notice) == 0)
        serve(keeper, &notice.notif);
}

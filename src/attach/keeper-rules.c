/* The rules of a keeper: from whom it takes them, their limits, their end. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "attach/keeper-internal.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strbuf.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* ---- limits ---- */

static int set_limit(struct keeper *keeper, unsigned i, uint64_t value, struct base_error *error)
{
    struct rlimit now;
    struct rlimit wanted;
    int r = limit_plan(keeper->target, i, value, &now, &wanted, error);

    if (r < 0)
        return r;
    if (prlimit(keeper->target, limit_resource(i), &wanted, NULL) < 0)
        return base_fail(error, errno, NULL, "limit %s: %s", limit_name(i), strerror(errno));
    keeper->former[i] = now;
    keeper->limited[i] = true;
    return 0;
}

static void put_limits_back(struct keeper *keeper)
{
    for (unsigned i = 0; i < CHANNEL_LIMIT_COUNT; i++) {
        struct rlimit now;

        if (!keeper->limited[i])
            continue;
        keeper->limited[i] = false;
        if (keeper->target_ended || prlimit(keeper->target, limit_resource(i), NULL, &now) < 0)
            continue;
        now.rlim_cur =
            keeper->former[i].rlim_cur < now.rlim_max ? keeper->former[i].rlim_cur : now.rlim_max;
        prlimit(keeper->target, limit_resource(i), &now, NULL);
    }
}

static int set_limits(struct keeper *keeper, const struct channel_rules *rules,
                      struct base_error *error)
{
    int r = 0;

    for (unsigned i = 0; i < CHANNEL_LIMIT_COUNT && r == 0; i++)
        if (rules->limits[i])
            r = set_limit(keeper, i, rules->limits[i], error);
    if (r < 0)
        put_limits_back(keeper);
    return r;
}

/* ---- records ---- */

static const char *name_of(int nr)
{
    const struct abi_syscall *call = abi_syscall_by_nr(nr);

    return call ? call->name : "?";
}

static void put_record(const struct keeper *keeper, const struct keeper_record *record)
{
    if (keeper->options->record)
        keeper->options->record(keeper->options->user, record);
}

void keeper_deny(struct keeper *keeper, pid_t pid, int nr, int errnum)
{
    struct keeper_record record = {
        .event = "denied", .what = "", .pid = pid, .nr = nr, .errnum = errnum};

    put_record(keeper, &record);
    keeper->denials++;
}

/* What is done to the target. */
static void record_action(const struct keeper *keeper, const char *event, pid_t by, int r,
                          const char *what)
{
    struct keeper_record record = {
        .event = event, .what = what, .pid = keeper->target, .by = by, .nr = -1, .errnum = -r};

    put_record(keeper, &record);
}

/* Of a socket pair it is who made the pair. */
static pid_t peer_of(int channel)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid;
}

/* "deny execve, ptrace; pass openat; memory 268435456" */
static void describe_rules(const struct channel_rules *rules, struct strbuf *text)
{
    const char *comma = "deny ";

    for (int nr = 0; nr < CHANNEL_NUMBERS; nr++)
        if (rules->denied[nr]) {
            strbuf_addf(text, "%s%s", comma, name_of(nr));
            comma = ", ";
        }
    comma = text->length ? "; pass " : "pass ";
    for (int nr = 0; nr < CHANNEL_NUMBERS; nr++)
        if (attach_has(rules->passed, nr)) {
            strbuf_addf(text, "%s%s", comma, name_of(nr));
            comma = ", ";
        }
    for (unsigned i = 0; i < CHANNEL_LIMIT_COUNT; i++)
        if (rules->limits[i])
            strbuf_addf(text, "%s%s %" PRIu64, text->length ? "; " : "", limit_name(i),
                        rules->limits[i]);
}

static void record_rules(const struct keeper *keeper, const struct channel_rules *rules, pid_t by)
{
    cleanup_strbuf struct strbuf text = {0};

    describe_rules(rules, &text);
    record_action(keeper, "policy", by, 0, strbuf_text(&text));
}

/* The log that came with these rules, or the standing one; what they are is its first word. */
static void begin_log(struct keeper *keeper)
{
    int fd = take_fd(&keeper->audit);
    pid_t by = peer_of(keeper->channel);

    if (keeper->options->log)
        keeper->options->log(keeper->options->user, fd);
    else
        base_close(fd);
    record_action(keeper, "attach", by, 0, "");
    record_rules(keeper, &keeper->rules, by);
}

/* ---- beginning ---- */

static void list_numbers(const uint64_t *numbers, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (int nr = 0; nr < CHANNEL_NUMBERS && used + 32 < size; nr++) {
        if (attach_has(numbers, nr))
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", name_of(nr));
    }
    if (used + 32 >= size)
        snprintf(text + used, size - used, ", ...");
}

static int check_numbers(const struct keeper *keeper, const struct channel_rules *rules,
                         struct base_error *error)
{
    char has[200];

    for (size_t i = 0; i < array_length(rules->filtered); i++) {
        if ((rules->filtered[i] & ~keeper->filtered[i]) == 0)
            continue;
        list_numbers(keeper->filtered, has, sizeof(has));
        return base_fail(error, ENOTSUP, "keep to these, or restart the program",
                         "the filter of process %d was made by an earlier attachment and has only: "
                         "%s",
                         keeper->target, has);
    }
    return 0;
}

static int check(const struct keeper *keeper, const struct channel_rules *rules,
                 struct base_error *error)
{
    if (rules->version != CHANNEL_VERSION || rules->target != keeper->target)
        return base_fail(error, EPROTO, "detach it with the version that attached it",
                         "the keeper of process %d is from another version of Cerebro",
                         keeper->target);
    if (keeper->active)
        return base_fail(error, EBUSY, "detach that one first: cerebro detach PID",
                         "a process kernel is attached to process %d already", keeper->target);
    return keeper->listener >= 0 ? check_numbers(keeper, rules, error) : 0;
}

/* Wake-ups on the same processor; not all hosts can. */
static void take_listener(struct keeper *keeper, int listener, const struct channel_rules *rules)
{
    keeper->listener = listener;
    memcpy(keeper->filtered, rules->filtered, sizeof(keeper->filtered));
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    loop_watch(&keeper->loop, listener, keeper_on_listener, keeper);
}

static void tell_failure(int channel, const struct base_error *error)
{
    struct channel_message message = {.type = CHANNEL_FAILED, .failed = {.code = error->code}};

    snprintf(message.failed.sentence, sizeof(message.failed.sentence), "%s", error->sentence);
    snprintf(message.failed.hint, sizeof(message.failed.hint), "%s", error->hint);
    channel_send(channel, &message, sizeof(message.failed), -1);
}

static void drop_client(struct keeper *keeper, int fd)
{
    loop_unwatch(&keeper->loop, fd);
    close(fd);
    /* One that leaves before it gave us a listener leaves us without purpose. */
    if (keeper->listener < 0 && fd == keeper->starter)
        keeper->unused = true;
}

/* `listener` is consumed. Returns 0, or a negative errno: the client is not wanted any more. */
static int begin(struct keeper *keeper, int fd, const struct channel_rules *rules, int listener)
{
    struct channel_message message = {
        .type = CHANNEL_STARTED,
        .started = {.version = CHANNEL_VERSION, .pid = keeper->target, .supervisor = getpid()}};
    struct base_error error = {0};
    int r = check(keeper, rules, &error);

    if (keeper->listener < 0 && listener >= 0 && fd == keeper->starter)
        take_listener(keeper, take_fd(&listener), rules);
    base_close(listener);
    if (r == 0 && keeper->listener < 0)
        r = base_fail(&error, EBUSY, "try again", "somebody else is attaching to process %d",
                      keeper->target);
    if (r == 0)
        r = set_limits(keeper, rules, &error);
    if (r < 0) {
        tell_failure(fd, &error);
        return r;
    }
    keeper->rules = *rules;
    keeper->active = true;
    keeper->channel = fd;
    begin_log(keeper);
    r = channel_send(fd, &message, sizeof(message.started), keeper->listener);
    return r;
}

/* ---- ending ---- */

/* From here on everything passes, and what was changed is as before. */
static void lift_rules(struct keeper *keeper, pid_t by)
{
    if (keeper->active)
        record_action(keeper, "detach", by, 0, "");
    keeper->active = false;
    put_limits_back(keeper);
    keeper_continue_held(keeper);
}

static void close_channel(struct keeper *keeper)
{
    int channel = take_fd(&keeper->channel);

    if (channel < 0)
        return;
    loop_unwatch(&keeper->loop, channel);
    close(channel);
}

void keeper_detach(struct keeper *keeper, pid_t by)
{
    struct channel_message message = {.type = CHANNEL_DETACHED};

    lift_rules(keeper, by);
    if (keeper->channel >= 0)
        channel_send(keeper->channel, &message, 0, -1);
    close_channel(keeper);
}

/* What its children are under stays, unless a program decides. */
void keeper_tell_end(struct keeper *keeper, int wait_status)
{
    struct channel_message message = {.type = CHANNEL_ENDED, .ended = {.wait_status = wait_status}};

    if (keeper->channel < 0)
        return;
    if (!keeper->rules.stays)
        lift_rules(keeper, 0);
    channel_send(keeper->channel, &message, sizeof(message.ended), -1);
    close_channel(keeper);
}

/* ---- the channels ---- */

static void send_signal(const struct keeper *keeper, int number)
{
    long r = syscall(SYS_pidfd_send_signal, keeper->pidfd, number, NULL, 0);
    char what[64];

    snprintf(what, sizeof(what), "signal %d to %d", number, keeper->target);
    record_action(keeper, "control", peer_of(keeper->channel), r < 0 ? -errno : 0, what);
}

static void obey(struct keeper *keeper, const struct channel_message *message)
{
    if (message->type == CHANNEL_SIGNAL)
        send_signal(keeper, message->number);
    else if (message->type == CHANNEL_STOP)
        keeper_detach(keeper, peer_of(keeper->channel));
    else if (message->type == CHANNEL_DENIED)
        keeper_deny(keeper, message->denied.pid, message->denied.nr, message->denied.errnum);
}

/* The program is gone: rules that stay hold on without it. */
static void lose_program(struct keeper *keeper)
{
    if (keeper->rules.stays)
        keeper_continue_held(keeper);
    else
        lift_rules(keeper, 0);
    close_channel(keeper);
}

static void on_client(struct keeper *keeper, int fd, const struct channel_message *message,
                      int sent)
{
    if (message->type == CHANNEL_AUDIT) {
        base_close(keeper->audit);
        keeper->audit = sent;
        return;
    }
    if (message->type == CHANNEL_ATTACH && begin(keeper, fd, &message->rules, sent) == 0)
        return;
    if (message->type != CHANNEL_ATTACH)
        base_close(sent);
    if (keeper->channel == fd)
        lose_program(keeper);
    else
        drop_client(keeper, fd);
}

void keeper_on_channel(void *user, int fd)
{
    struct keeper *keeper = user;
    struct channel_message message;
    int sent = -1;
    int r;

    if (fd == keeper->channel && keeper->unsent)
        keeper_send_rest(keeper);
    r = channel_receive(fd, &message, &sent);
    if (r == -EAGAIN)
        return;
    if (r < 0 && fd == keeper->channel) {
        lose_program(keeper);
    } else if (r < 0) {
        drop_client(keeper, fd);
    } else if (fd == keeper->channel) {
        base_close(sent);
        obey(keeper, &message);
    } else {
        on_client(keeper, fd, &message, sent);
    }
}

/* ---- what it tells others ---- */

static void add_denied(const struct keeper *keeper, struct strbuf *answer)
{
    bool first = true;

    for (int nr = 0; keeper->active && nr < CHANNEL_NUMBERS; nr++) {
        const struct abi_syscall *call = abi_syscall_by_nr(nr);

        if (!keeper->rules.denied[nr] || call == NULL)
            continue;
        strbuf_addf(answer, "%s\"%s\"", first ? "" : ",", call->name);
        first = false;
    }
}

int keeper_describe(void *user, const char *argument, struct strbuf *answer)
{
    struct keeper *keeper = user;
    bool first = true;

    (void)argument;
    strbuf_addf(answer, "{\"target\":%d,\"active\":%s,\"program\":%s,\"denied\":[", keeper->target,
                keeper->active ? "true" : "false", keeper->channel >= 0 ? "true" : "false");
    add_denied(keeper, answer);
    strbuf_add_string(answer, "],\"limits\":{");
    for (unsigned i = 0; keeper->active && i < CHANNEL_LIMIT_COUNT; i++) {
        if (!keeper->limited[i])
            continue;
        strbuf_addf(answer, "%s\"%s\":%" PRIu64, first ? "" : ",", limit_name(i),
                    keeper->rules.limits[i]);
        first = false;
    }
    strbuf_addf(answer, "},\"calls\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"denials\":%" PRIu64 "}",
                keeper->calls, keeper->passed, keeper->denials);
    return 0;
}

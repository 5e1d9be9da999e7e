/* The keeper's life: beginning, waiting, the end of its target, its own. */
#include "attach/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attach/keeper-internal.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "control/control.h"

#define DOOR_BACKLOG 8

/* Linux 6.15, include/uapi/linux/pidfd.h */
struct exit_info {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define GET_INFO  _IOWR(0xFF, 11, struct exit_info)
#define INFO_EXIT (1ULL << 3)

/* ---- how the target ended ---- */

static bool ask_pidfd(int pidfd, int *ret_status)
{
    struct exit_info info = {.mask = INFO_EXIT};

    if (ioctl(pidfd, GET_INFO, &info) < 0 || !(info.mask & INFO_EXIT))
        return false;
    *ret_status = info.exit_code;
    return true;
}

/* Until its parent has taken note, the status is the last field of /proc/PID/stat. */
static bool ask_zombie(pid_t pid, int *ret_status)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *close;
    const char *last;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return false;
    close = strrchr(strbuf_text(&text), ')');
    last = strrchr(strbuf_text(&text), ' ');
    if (close == NULL || last == NULL || close[2] != 'Z')
        return false;
    *ret_status = (int)strtol(last, NULL, 10);
    return true;
}

static int status_of(const struct keeper *keeper)
{
    int status = -1;

    if (!ask_pidfd(keeper->pidfd, &status) && !ask_zombie(keeper->target, &status))
        ask_pidfd(keeper->pidfd, &status);
    return status;
}

static void close_door(struct keeper *keeper)
{
    if (keeper->door < 0)
        return;
    loop_unwatch(&keeper->loop, keeper->door);
    close(take_fd(&keeper->door));
}

/* Its number may be another's soon, so the name goes at once. */
static void on_target(void *user, int fd)
{
    struct keeper *keeper = user;

    loop_unwatch(&keeper->loop, fd);
    keeper->target_ended = true;
    close_door(keeper);
    keeper_tell_end(keeper, status_of(keeper));
}

/* ---- later attachments ---- */

static bool may_attach(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void on_door(void *user, int door)
{
    struct keeper *keeper = user;
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (!may_attach(fd) || loop_watch(&keeper->loop, fd, keeper_on_channel, keeper) < 0)
        close(fd);
}

static int open_door(pid_t target)
{
    struct sockaddr_un address;
    socklen_t length = link_address(target, &address);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, DOOR_BACKLOG) < 0)
        return -errno;
    return take_fd(&fd);
}

/* ---- the control channel ---- */

static int on_detach(void *user, const char *argument, struct strbuf *answer)
{
    struct keeper *keeper = user;

    (void)argument;
    if (!keeper->active) {
        strbuf_addf(answer, "process %d is not attached any more", keeper->target);
        return -ESRCH;
    }
    keeper_detach(keeper, control_server_peer(keeper->control));
    strbuf_addf(answer, "{\"target\":%d}", keeper->target);
    return 0;
}

/* As a kernel says it, without what nobody counts here. */
static int on_stats(void *user, const char *argument, struct strbuf *answer)
{
    struct keeper *keeper = user;

    (void)argument;
    strbuf_addf(answer,
                "{\"kernel\":%d,\"guest\":%d,\"uptime_ns\":%" PRIu64
                ",\"syscalls_intercepted\":%" PRIu64 ",\"denials\":%" PRIu64 ",\"calls\":[]}",
                getpid(), keeper->target, io_now_ns() - keeper->started_ns, keeper->calls,
                keeper->denials);
    return 0;
}

/* Whoever looks at kernels asks for it. Here there is nothing to measure: the host serves. */
static int on_measure(void *user, const char *argument, struct strbuf *answer)
{
    (void)user;
    (void)argument;
    strbuf_add_string(answer, "{}");
    return 0;
}

static int watch_for_control(void *user, int fd, void (*ready)(void *ready_user, int fd),
                             void *ready_user)
{
    return loop_watch(user, fd, ready, ready_user);
}

static void unwatch_for_control(void *user, int fd)
{
    loop_unwatch(user, fd);
}

/* A keeper works as well without. */
static void start_control(struct keeper *keeper)
{
    struct control_loop loop = {
        .watch = watch_for_control, .unwatch = unwatch_for_control, .user = &keeper->loop};

    if (control_server_new(&loop, &keeper->control) < 0)
        return;
    control_server_add(keeper->control, "attachment", keeper_describe, keeper);
    control_server_add(keeper->control, "stats", on_stats, keeper);
    control_server_add(keeper->control, "measure", on_measure, keeper);
    control_server_add(keeper->control, "detach", on_detach, keeper);
}

/* ---- life ---- */

/* It outlives whoever started it, and takes no signal but SIGKILL: calls would be left waiting. */
static void withdraw(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "cerebro-keeper", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int refuse(struct keeper *keeper, int channel, int code, const char *what)
{
    struct channel_message message = {.type = CHANNEL_FAILED, .failed = {.code = -code}};

    snprintf(message.failed.sentence, sizeof(message.failed.sentence), "%s process %d: %s", what,
             keeper->target, strerror(-code));
    channel_send(channel, &message, sizeof(message.failed), -1);
    return code;
}

static int begin(struct keeper *keeper, int channel)
{
    struct channel_message ready = {
        .type = CHANNEL_READY,
        .started = {.version = CHANNEL_VERSION, .pid = keeper->target, .supervisor = getpid()}};

    fcntl(channel, F_SETFD, FD_CLOEXEC);
    fcntl(channel, F_SETFL, fcntl(channel, F_GETFL) | O_NONBLOCK);
    keeper->pidfd = (int)syscall(SYS_pidfd_open, keeper->target, 0);
    if (keeper->pidfd < 0)
        return refuse(keeper, channel, -errno, "cannot watch");
    keeper->door = open_door(keeper->target);
    if (keeper->door == -EADDRINUSE)
        return refuse(keeper, channel, -EBUSY, "somebody else is attaching to");
    if (keeper->door < 0)
        return refuse(keeper, channel, keeper->door, "cannot listen for");
    loop_watch(&keeper->loop, keeper->pidfd, on_target, keeper);
    loop_watch(&keeper->loop, keeper->door, on_door, keeper);
    loop_watch(&keeper->loop, channel, keeper_on_channel, keeper);
    start_control(keeper);
    return channel_send(channel, &ready, sizeof(ready.started), -1);
}

static bool is_needed(const struct keeper *keeper)
{
    if (!keeper->unused)
        return true;
    /* Its status is still to be told. */
    return keeper->listener >= 0 && !keeper->target_ended;
}

static void end(struct keeper *keeper)
{
    keeper_detach(keeper, 0);
    close_door(keeper);
    control_server_free(keeper->control);
    base_close(keeper->audit);
    base_close(keeper->listener);
    base_close(keeper->pidfd);
    map_free(&keeper->held);
}

int keeper_run(const struct keeper_options *options)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));
    int r;

    if (keeper == NULL)
        return -ENOMEM;
    *keeper = (struct keeper){.options = options,
                              .target = options->target,
                              .pidfd = -1,
                              .listener = -1,
                              .channel = -1,
                              .audit = -1,
                              .starter = options->channel,
                              .door = -1,
                              .started_ns = io_now_ns()};
    withdraw();
    r = begin(keeper, options->channel);
    while (r == 0 && is_needed(keeper))
        loop_turn(&keeper->loop);
    end(keeper);
    free(keeper);
    return r;
}

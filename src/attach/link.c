/*
 * To the keeper of a target: finding it, starting it, giving it its rules.
 *
 * It is found at the abstract name "cerebro/attached/TARGET", which ends with it or with the
 * target. Another user can take a name, so both sides ask whom they talk to.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/attach-internal.h"
#include "base/cleanup.h"

extern char **environ;

#define PATIENCE_MS 10000

socklen_t link_address(pid_t target, struct sockaddr_un *ret_address)
{
    int length;

    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    length = snprintf(ret_address->sun_path + 1, sizeof(ret_address->sun_path) - 1,
                      "cerebro/attached/%d", target);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

int link_find(pid_t target, int *ret_channel, pid_t *ret_keeper, struct base_error *error)
{
    struct sockaddr_un address;
    socklen_t length = link_address(target, &address);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (fd < 0)
        return base_fail(error, errno, NULL, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, length) < 0)
        return -ENOENT;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (peer.uid != geteuid() && (peer.uid != 0 || geteuid() != 0))
        return base_fail(error, EPERM, "ask as that user",
                         "another user (%u) has attached a kernel to process %d", peer.uid, target);
    *ret_channel = take_fd(&fd);
    *ret_keeper = peer.pid;
    return 0;
}

int attach_find(pid_t target, pid_t *ret_keeper, struct base_error *error)
{
    cleanup_close int channel = -1;
    int r = link_find(target, &channel, ret_keeper, error);

    if (r == -ENOENT)
        return base_fail(error, ESRCH, "list them with: cerebro ps",
                         "no process kernel is attached to process %d", target);
    return r;
}

/* ---- messages ---- */

static int take_failure(const struct channel_message *message, struct base_error *error)
{
    struct base_error told = {.code = message->failed.code};

    memcpy(told.sentence, message->failed.sentence, sizeof(told.sentence) - 1);
    memcpy(told.hint, message->failed.hint, sizeof(told.hint) - 1);
    if (error && error->code == 0)
        *error = told;
    return told.code > 0 ? -told.code : -EIO;
}

static int await(int channel, enum channel_type type, struct channel_message *message, int *ret_fd,
                 struct base_error *error)
{
    struct pollfd wait = {.fd = channel, .events = POLLIN};
    int r = -ETIMEDOUT;
    int ready;

    do
        ready = poll(&wait, 1, PATIENCE_MS);
    while (ready < 0 && errno == EINTR);
    if (ready > 0)
        r = channel_receive(channel, message, ret_fd);
    if (r < 0)
        return base_fail(error, r, "try again", "the keeper did not answer: %s", strerror(-r));
    if (message->type == CHANNEL_FAILED)
        return take_failure(message, error);
    if (message->type != (uint32_t)type)
        return base_fail(error, EPROTO, "it may be from another version of Cerebro",
                         "the keeper answered nonsense");
    return 0;
}

int link_hand_over(int channel, const struct channel_rules *rules, int audit, int listener,
                   int *ret_listener, struct base_error *error)
{
    struct channel_message log = {.type = CHANNEL_AUDIT};
    struct channel_message message = {.type = CHANNEL_ATTACH, .rules = *rules};
    int sent = -1;
    int r = audit >= 0 ? channel_send(channel, &log, 0, audit) : 0;

    if (r == 0)
        r = channel_send(channel, &message, sizeof(message.rules), listener);

    if (r < 0)
        return base_fail(error, r, NULL, "the keeper is gone: %s", strerror(-r));
    r = await(channel, CHANNEL_STARTED, &message, &sent, error);
    if (r == 0 && sent < 0)
        r = base_fail(error, EPROTO, NULL, "the keeper sent no listener");
    if (r < 0) {
        base_close(sent);
        return r;
    }
    *ret_listener = sent;
    return 0;
}

/* ---- starting ---- */

/*
 * The keeper leaves us at once (it forks), so that it is nobody's child. posix_spawn() keeps a
 * descriptor that is duplicated onto its own number open in the program.
 */
static int spawn(const char *program, pid_t target, int channel)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char target_text[16];
    char channel_text[16];
    char *const words[] = {"cerebro",   "keep",       "--target", target_text,
                           "--channel", channel_text, NULL};
    sigset_t none;
    pid_t pid;
    int r;

    snprintf(target_text, sizeof(target_text), "%d", target);
    snprintf(channel_text, sizeof(channel_text), "%d", channel);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel, channel);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    r = posix_spawnp(&pid, program, &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (r)
        return -r;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

int link_start(pid_t target, const char *program, int *ret_channel, pid_t *ret_keeper,
               struct base_error *error)
{
    cleanup_close int ours = -1;
    cleanup_close int theirs = -1;
    struct channel_message message = {0};
    int sent = -1;
    int pair[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return base_fail(error, errno, NULL, "cannot make a socket pair: %s", strerror(errno));
    ours = pair[0];
    theirs = pair[1];
    r = spawn(program, target, theirs);
    if (r < 0)
        return base_fail(error, r, "set CEREBRO to the path of the cerebro program",
                         "cannot start %s: %s", program, strerror(-r));
    base_close(take_fd(&theirs));
    r = await(ours, CHANNEL_READY, &message, &sent, error);
    base_close(sent);
    if (r < 0)
        return r;
    *ret_channel = take_fd(&ours);
    *ret_keeper = message.started.supervisor;
    return 0;
}

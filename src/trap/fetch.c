/*
 * Descriptors of guests without pidfd_getfd(2), which the profiles of container engines forbid.
 *
 * The thread that made the call sends the descriptor: a socket is installed in it, an injection
 * (inject.c) makes it call sendmsg(2), and it is held until its call is answered. The message lies
 * below its stack pointer, where nothing of its own is, and what was there is put back.
 *
 * An answer that a held thread cannot get (deferred, exec, a descriptor) makes the call come again,
 * with what was fetched kept for it. Another thread of the guest may meanwhile write to the socket,
 * or put another file on the number: then we get another of the guest's own descriptors, which it
 * could have named in the first place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/passing.h"
#include "trap/trap-internal.h"

#define RED_ZONE      128
#define NUMBERS_TRIED 16

/* What a thread's call was given, until it comes again. */
struct kept {
    int nr;
    uint64_t args[6];
    struct trap_fetch fetch;
};

static void close_all(struct trap_fetch *fetch)
{
    for (unsigned i = 0; i < fetch->count; i++)
        base_close(fetch->fds[i]);
    fetch->count = 0;
}

static int find(const struct trap_fetch *fetch, int number)
{
    for (unsigned i = 0; i < fetch->count; i++)
        if (fetch->numbers[i] == number)
            return fcntl(fetch->fds[i], F_DUPFD_CLOEXEC, 0);
    return -1;
}

/* For the call's second coming, if there is one. Without room that is done again. */
static void add(struct trap_fetch *fetch, int number, int fd)
{
    int copy = fetch->count < TRAP_FETCH_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

    if (copy < 0)
        return;
    fetch->numbers[fetch->count] = number;
    fetch->fds[fetch->count++] = copy;
}

int fetch_look(const struct trap_call *call, int number)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", call->tid, number);
    fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EBADF : -errno;
    return fd;
}

/* ---- the socket ---- */

/*
 * A number that the guest's own calls do not get: a child that is forked meanwhile has the socket,
 * too, and what closes it there may share its books with a parent that has reused the number.
 */
static int free_number(const struct trap_call *call)
{
    int base = call->trap->kernel->window_base;

    for (int number = base - 1; number > base - 1 - NUMBERS_TRIED && number > 2; number--) {
        int fd = fetch_look(call, number);

        if (fd == -EBADF)
            return number;
        base_close(fd);
    }
    return -1;
}

static int open_socket(struct trap_call *call)
{
    cleanup_close int ours = -1;
    cleanup_close int theirs = -1;
    struct rlimit old;
    int ends[2];
    int number;

    if (call->fetch.theirs_open)
        return 0;
    if (call->held)
        return -EBUSY; /* nothing can be installed any more */
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return -errno;
    ours = ends[0];
    theirs = ends[1];
    number = trap_add_fd(call->trap, call->id, theirs, free_number(call), O_CLOEXEC);
    if (number == -EMFILE && trap_make_room(call->tid, &old) == 0) {
        number = trap_add_fd(call->trap, call->id, theirs, -1, O_CLOEXEC);
        prlimit(call->tid, RLIMIT_NOFILE, &old, NULL);
    }
    if (number < 0)
        return number;
    call->fetch.theirs = number;
    call->fetch.ours = take_fd(&ours);
    call->fetch.theirs_open = true;
    return 0;
}

static int receive(int socket)
{
    char byte;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    int fd;
    ssize_t r = passing_receive(socket, &data, 1, MSG_DONTWAIT, &fd);

    if (r < 0)
        return (int)r;
    return fd < 0 ? -EBADF : fd;
}

void fetch_end(struct trap_call *call)
{
    struct pk_injected_call close_theirs = {SYS_close, {(uint64_t)call->fetch.theirs}};
    int64_t value;

    if (!call->fetch.theirs_open)
        return;
    call->fetch.theirs_open = false;
    base_close(take_fd(&call->fetch.ours));
    if (call->held)
        inject_calls(&call->request, &close_theirs, 1, &value);
}

/* ---- the message ---- */

/* As it lies in the guest, with addresses there. */
struct wire {
    struct msghdr message;
    struct iovec data;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
};

static void fill(struct wire *wire, uint64_t at, int number)
{
    memset(wire, 0, sizeof(*wire));
    wire->message.msg_iov = (struct iovec *)(at + offsetof(struct wire, data));
    wire->message.msg_iovlen = 1;
    wire->message.msg_control = (void *)(at + offsetof(struct wire, control));
    wire->message.msg_controllen = sizeof(wire->control);
    wire->data.iov_base = (void *)(at + offsetof(struct wire, byte));
    wire->data.iov_len = 1;
    wire->control.header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&wire->control.header), &number, sizeof(number));
}

/*
 * Lets the held thread make one call with a message below its stack pointer: `wire`, which is what
 * lies there afterwards. Returns the call's value or a negative errno.
 */
static int64_t call_with(struct trap_call *call, long nr, int flags, int number, struct wire *wire)
{
    struct pk_request *request = &call->request;
    uint64_t at = (call->regs.rsp - RED_ZONE - sizeof(*wire)) & ~15ULL;
    struct pk_injected_call injected = {(int)nr,
                                        {(uint64_t)call->fetch.theirs, at, (uint64_t)flags}};
    struct wire old;
    int64_t value = 0;
    int r = pk_read(request, at, &old, sizeof(old));

    fill(wire, at, number);
    if (r == 0)
        r = pk_write(request, at, wire, sizeof(*wire));
    if (r < 0)
        return r;
    r = inject_calls(request, &injected, 1, &value);
    if (r == 0)
        r = pk_read(request, at, wire, sizeof(*wire));
    pk_write(request, at, &old, sizeof(old));
    return r < 0 ? r : value;
}

static int make_it_send(struct trap_call *call, int number)
{
    struct wire wire;
    int r = inject_calls(&call->request, NULL, 0, NULL); /* stops it: now its stack is known */
    int64_t value =
        r < 0 ? r : call_with(call, SYS_sendmsg, MSG_NOSIGNAL | MSG_DONTWAIT, number, &wire);

    return value < 0 ? (int)value : 0;
}

static int send_to(int socket, int fd)
{
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    ssize_t r = passing_send(socket, &data, 1, fd, MSG_DONTWAIT);

    return r < 0 ? (int)r : 0;
}

/* Moves what it has got to the number that it is to have. */
static int move(struct trap_call *call, int from, int to, unsigned fd_flags)
{
    struct pk_injected_call calls[2] = {
        {SYS_dup3, {(uint64_t)from, (uint64_t)to, fd_flags & O_CLOEXEC}},
        {SYS_close, {(uint64_t)from}}};
    int64_t values[2] = {0};
    int r = inject_calls(&call->request, calls, 2, values);

    return r < 0 ? r : (int)values[0];
}

int fetch_give(struct trap_call *call, int fd, int number, unsigned fd_flags)
{
    int flags = MSG_DONTWAIT | (fd_flags & O_CLOEXEC ? MSG_CMSG_CLOEXEC : 0);
    struct wire wire;
    int64_t value;
    int got;

    if (!call->fetch.theirs_open)
        return -EBUSY;
    value = send_to(call->fetch.ours, fd);
    if (value == 0)
        value = call_with(call, SYS_recvmsg, flags, -1, &wire);
    if (value < 0)
        return (int)value;
    if (wire.message.msg_controllen < CMSG_LEN(sizeof(int)))
        return -EMFILE;
    memcpy(&got, CMSG_DATA(&wire.control.header), sizeof(got));
    return number < 0 || number == got ? got : move(call, got, number, fd_flags);
}

int fetch_fd(struct trap_call *call, int number)
{
    cleanup_close int seen = -1;
    int fd = find(&call->fetch, number);
    int r;

    if (fd >= 0)
        return fd;
    seen = fetch_look(call, number);
    if (seen < 0)
        return take_fd(&seen);
    r = open_socket(call);
    if (r == 0)
        r = make_it_send(call, number);
    if (r < 0)
        return r;
    fd = receive(call->fetch.ours);
    if (fd >= 0)
        add(&call->fetch, number, fd);
    /* Who lists its own descriptors is not to find this one. */
    if (call->request.nr == SYS_getdents64)
        fetch_end(call);
    return fd;
}

/* ---- the second coming ---- */

/* A descriptor, too: between its choice and a second coming another thread may get its number. */
static bool comes_again(enum pk_answer_kind kind)
{
    return kind == PK_ANSWER_DEFERRED || kind == PK_ANSWER_EXEC || kind == PK_ANSWER_DESCRIPTOR;
}

bool fetch_again(struct trap_call *call, struct pk_answer *answer)
{
    struct kept *kept;

    if (!call->held || call->fetch.count == 0 || !comes_again(answer->kind))
        return false;
    kept = calloc(1, sizeof(*kept));
    if (kept == NULL || map_set(&call->trap->fetched, (uint64_t)call->tid, kept) < 0) {
        free(kept);
        return false;
    }
    kept->nr = call->request.nr;
    memcpy(kept->args, call->request.args, sizeof(kept->args));
    kept->fetch = call->fetch;
    call->fetch.count = 0;
    pk_answer_discard(answer);
    inject_restart(call);
    return true;
}

void fetch_take(struct trap_call *call, const struct seccomp_notif *notif)
{
    struct kept *kept = map_remove(&call->trap->fetched, (uint64_t)call->tid);

    if (kept == NULL)
        return;
    if (kept->nr == notif->data.nr &&
        memcmp(kept->args, notif->data.args, sizeof(kept->args)) == 0) {
        memcpy(call->fetch.fds, kept->fetch.fds, sizeof(call->fetch.fds));
        memcpy(call->fetch.numbers, kept->fetch.numbers, sizeof(call->fetch.numbers));
        call->fetch.count = kept->fetch.count;
    } else {
        close_all(&kept->fetch);
    }
    free(kept);
}

void fetch_release(struct trap_call *call)
{
    fetch_end(call);
    close_all(&call->fetch);
}

void fetch_free_all(struct trap *trap)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&trap->fetched, &cursor))) {
        struct kept *kept = slot->value;

        close_all(&kept->fetch);
        free(kept);
    }
    map_free(&trap->fetched);
}

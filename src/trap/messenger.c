/*
 * The listener's way to the supervisor where nobody may take it (containers whose profile has no
 * pidfd_getfd): the first process has to send it, but behind its filter it may have no call left
 * that is not ours to answer, and nobody answers yet. So a process beside it sends it, made before
 * the filter: with the same descriptors and memory, and without the filter.
 *
 * It is the reaper's child, so that the guest has no child that it did not make.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/passing.h"
#include "trap/trap-internal.h"

#define STACK_SIZE 16384
#define NO_NEWS    (-1)

/* In pages of its own: the reaper, whose memory this is, goes on when the first process dies. */
struct messenger {
    char stack[STACK_SIZE] __attribute__((aligned(16)));
    pid_t first;
    int link_fd;
    atomic_int listener; /* NO_NEWS, a descriptor, or below: a failure */
};

static void send_listener(const struct messenger *self, int listener)
{
    struct child_report report = {.stage = CHILD_EXEC, .listener = listener, .pid = self->first};
    struct iovec data = {.iov_base = &report, .iov_len = sizeof(report)};

    passing_send(self->link_fd, &data, 1, listener, 0);
}

static int be_messenger(void *data)
{
    struct messenger *self = data;

    while (atomic_load(&self->listener) == NO_NEWS) {
        if (kill(self->first, 0) < 0 && errno == ESRCH)
            return 0;
        sched_yield();
    }
    if (atomic_load(&self->listener) >= 0)
        send_listener(self, atomic_load(&self->listener));
    return 0;
}

int messenger_start(int link_fd, struct messenger **ret_messenger)
{
    struct messenger *self =
        mmap(NULL, sizeof(*self), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (self == MAP_FAILED)
        return -errno;
    self->first = getpid();
    self->link_fd = link_fd;
    atomic_store(&self->listener, NO_NEWS);
    if (clone(be_messenger, self->stack + STACK_SIZE, CLONE_VM | CLONE_FILES | CLONE_PARENT, self) <
        0)
        return -errno;
    *ret_messenger = self;
    return 0;
}

void messenger_tell(struct messenger *messenger, int listener)
{
    atomic_store(&messenger->listener, listener < 0 ? NO_NEWS - 1 : listener);
}

/*
 * Other descriptors that the kernel thread looks after between requests. It sleeps in RECV, which
 * knows of the listener alone, so each of them interrupts RECV with a signal when it gets something
 * to read (fcntl(2), F_SETSIG); see notify.c for why none is missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "trap/trap-internal.h"

int watch_interrupts(const struct trap *trap, int fd)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = trap->kernel_tid};
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETOWN_EX, &owner) < 0 ||
        fcntl(fd, F_SETSIG, TRAP_PIPE_SIGNAL) < 0 || fcntl(fd, F_SETFL, flags | O_ASYNC) < 0)
        return -errno;
    return 0;
}

int trap_watch(struct trap *trap, int fd, void (*ready)(void *user, int fd), void *user)
{
    struct trap_watches *watches = &trap->watches;
    int r;

    if (watches->count == TRAP_WATCHES_MAX)
        return -ENOSPC;
    r = watch_interrupts(trap, fd);
    if (r < 0)
        return r;
    watches->fds[watches->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    watches->ready[watches->count] = ready;
    watches->users[watches->count] = user;
    watches->count++;
    /* What came before the signal was asked for is found by the first look. */
    trap->notice.notif.flags = 1;
    return 0;
}

/* Only marked: the caller may be one of those that watch_serve() is calling. */
void trap_unwatch(struct trap *trap, int fd)
{
    for (unsigned i = 0; i < trap->watches.count; i++)
        if (trap->watches.fds[i].fd == fd)
            trap->watches.fds[i].fd = -1;
}

static void sweep(struct trap_watches *watches)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < watches->count; i++) {
        if (watches->fds[i].fd < 0)
            continue;
        watches->fds[kept] = watches->fds[i];
        watches->ready[kept] = watches->ready[i];
        watches->users[kept] = watches->users[i];
        kept++;
    }
    watches->count = kept;
}

void watch_serve(struct trap *trap)
{
    struct trap_watches *watches = &trap->watches;
    unsigned count = watches->count;

    if (count == 0 || poll(watches->fds, count, 0) <= 0)
        return;
    for (unsigned i = 0; i < count; i++)
        if (watches->fds[i].fd >= 0 && watches->fds[i].revents)
            watches->ready[i](watches->users[i], watches->fds[i].fd);
    sweep(watches);
}

/* What the keeper waits for. */
#include <errno.h>
#include <string.h>

#include "attach/keeper-internal.h"

int loop_watch(struct loop *loop, int fd, void (*ready)(void *user, int fd), void *user)
{
    if (loop->count == LOOP_MAX)
        return -ENOSPC;
    loop->fds[loop->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    loop->watches[loop->count++] = (struct loop_watch){.ready = ready, .user = user};
    return 0;
}

static struct pollfd *find(struct loop *loop, int fd)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->fds[i].fd == fd)
            return &loop->fds[i];
    return NULL;
}

void loop_unwatch(struct loop *loop, int fd)
{
    struct pollfd *found = fd >= 0 ? find(loop, fd) : NULL;

    if (found)
        found->fd = -1;
}

void loop_want_room(struct loop *loop, int fd, bool wants)
{
    struct pollfd *found = fd >= 0 ? find(loop, fd) : NULL;

    if (found)
        found->events = (short)(wants ? POLLIN | POLLOUT : POLLIN);
}

static void close_up(struct loop *loop)
{
    size_t kept = 0;

    for (size_t i = 0; i < loop->count; i++) {
        if (loop->fds[i].fd < 0)
            continue;
        loop->fds[kept] = loop->fds[i];
        loop->watches[kept++] = loop->watches[i];
    }
    loop->count = kept;
}

void loop_turn(struct loop *loop)
{
    size_t count = loop->count;

    if (poll(loop->fds, count, -1) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (loop->fds[i].fd >= 0 && loop->fds[i].revents)
            loop->watches[i].ready(loop->watches[i].user, loop->fds[i].fd);
    close_up(loop);
}

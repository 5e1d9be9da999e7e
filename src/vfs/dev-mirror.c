/*
 * A socket pair that carries readiness, not data. The guest's end can be read when a byte waits in
 * it; it can be written unless its buffer is filled. A guest that reads or writes the socket behind
 * the kernel's back (recv, send, or a duplicate outside of the window) only confuses itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vfs/dev-internal.h"

int dev_mirror_init(struct dev_mirror *mirror, bool nonblocking, int *ret_guest_fd)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC;
    int pair[2], smallest = 1, duplicate;

    if (socketpair(AF_UNIX, type, 0, pair) < 0)
        return -errno;
    duplicate = fcntl(pair[0], F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0 || (nonblocking && fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) ||
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest)) < 0) {
        int r = -errno;

        base_close(pair[0]);
        base_close(pair[1]);
        base_close(duplicate);
        return r;
    }
    *mirror = (struct dev_mirror){.guest = duplicate, .ours = pair[1], .shown = POLLOUT};
    *ret_guest_fd = pair[0];
    return 0;
}

void dev_mirror_fini(struct dev_mirror *mirror)
{
    base_close(take_fd(&mirror->guest));
    base_close(take_fd(&mirror->ours));
}

static void drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

/* Fills the buffer of the guest's end; one block of a page is beyond a quarter of it already. */
static void fill(int fd)
{
    static const char zeros[4096];

    while (send(fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

void dev_mirror_show(struct dev_mirror *mirror, unsigned ready)
{
    unsigned change = ready ^ mirror->shown;

    if (change & POLLIN) {
        if (ready & POLLIN)
            send(mirror->ours, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            drain(mirror->guest);
    }
    if (change & POLLOUT) {
        if (ready & POLLOUT)
            drain(mirror->ours);
        else
            fill(mirror->guest);
    }
    mirror->shown = ready & (POLLIN | POLLOUT);
}

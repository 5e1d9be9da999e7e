#include "control/channel.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/passing.h"

int channel_send(int channel, const struct channel_message *message, size_t size, int fd)
{
    struct iovec part = {(void *)message, offsetof(struct channel_message, call) + size};
    ssize_t r = passing_send(channel, &part, 1, fd, MSG_DONTWAIT);

    return r < 0 ? (int)r : 0;
}

int channel_send_patiently(int channel, const struct channel_message *message, size_t size,
                           int patience_ms)
{
    struct pollfd room = {.fd = channel, .events = POLLOUT};
    int r = channel_send(channel, message, size, -1);

    while (r == -EAGAIN && poll(&room, 1, patience_ms) > 0)
        r = channel_send(channel, message, size, -1);
    return r;
}

int channel_receive(int channel, struct channel_message *ret_message, int *ret_fd)
{
    struct channel_message message;
    struct iovec part = {&message, sizeof(message)};
    ssize_t length;

    do
        length = passing_receive(channel, &part, 1, 0, ret_fd);
    while (length == -EINTR);
    if (length < 0)
        return length == -ECONNRESET ? -EPIPE : (int)length;
    if (length == 0)
        return -EPIPE;
    if ((size_t)length < offsetof(struct channel_message, call)) {
        base_close(take_fd(ret_fd));
        return -EPROTO;
    }
    memset((char *)&message + length, 0, sizeof(message) - (size_t)length);
    *ret_message = message;
    return 0;
}

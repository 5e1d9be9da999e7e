#include "control/channel.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/cleanup.h"

union descriptor_part {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

int channel_send(int channel, const struct channel_message *message, size_t size, int fd)
{
    struct iovec part = {(void *)message, offsetof(struct channel_message, call) + size};
    union descriptor_part control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        header.msg_control = control.room;
        header.msg_controllen = sizeof(control.room);
        control.header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    return sendmsg(channel, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
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
    union descriptor_part control;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.room,
                            .msg_controllen = sizeof(control.room)};
    struct cmsghdr *first;
    ssize_t length;

    do
        length = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    if (length == 0)
        return -EPIPE;
    *ret_fd = -1;
    first = CMSG_FIRSTHDR(&header);
    if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS &&
        first->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(first), sizeof(int));
    if ((size_t)length < offsetof(struct channel_message, call)) {
        base_close(take_fd(ret_fd));
        return -EPROTO;
    }
    memset((char *)&message + length, 0, sizeof(message) - (size_t)length);
    *ret_message = message;
    return 0;
}

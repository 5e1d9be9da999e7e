#include "base/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* A control message with one descriptor, aligned as CMSG_FIRSTHDR(3) wants it. */
union descriptor_part {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

ssize_t passing_send(int socket, const struct iovec *parts, size_t count, int fd, int flags)
{
    union descriptor_part control = {.header = {.cmsg_level = SOL_SOCKET,
                                                .cmsg_type = SCM_RIGHTS,
                                                .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t length;

    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
    }
    length = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    return length < 0 ? -errno : length;
}

ssize_t passing_receive(int socket, const struct iovec *parts, size_t count, int flags, int *ret_fd)
{
    union descriptor_part control;
    struct msghdr message = {.msg_iov = (struct iovec *)parts,
                             .msg_iovlen = count,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *first;

    if (length < 0)
        return -errno;
    *ret_fd = -1;
    first = CMSG_FIRSTHDR(&message);
    if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS &&
        first->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(first), sizeof(int));
    return length;
}

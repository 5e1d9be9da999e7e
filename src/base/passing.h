/*
 * Descriptors passed through AF_UNIX sockets (unix(7), SCM_RIGHTS), one with a message. Neither
 * function allocates, so both are safe in a fork of a process with threads.
 */
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

/*
 * Sends `parts` with a descriptor, which stays the caller's (-1: without one). MSG_NOSIGNAL is
 * added to `flags` (of send(2)). Returns the number of bytes sent, or a negative errno.
 */
ssize_t passing_send(int socket, const struct iovec *parts, size_t count, int fd, int flags);

/*
 * Receives into `parts`. `ret_fd` is the descriptor that came, close-on-exec and the caller's, or
 * -1; it is set on success only. `flags` are those of recv(2). Returns the number of bytes, or a
 * negative errno.
 */
ssize_t passing_receive(int socket, const struct iovec *parts, size_t count, int flags,
                        int *ret_fd);

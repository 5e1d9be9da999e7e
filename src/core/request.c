#include "core/request.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_PAGE      4096UL
#define IOVEC_COUNT_MAX 1024

int pk_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    ssize_t n = length ? request->port->read(request, address, bytes, length) : 0;

    return n == (ssize_t)length ? 0 : -EFAULT;
}

int pk_write(struct pk_request *request, uint64_t address, const void *bytes, size_t length)
{
    ssize_t n = length ? request->port->write(request, address, bytes, length) : 0;

    return n == (ssize_t)length ? 0 : -EFAULT;
}

/*
 * Most strings are short: the first read stops at 256 bytes or the end of the page, so that it
 * neither copies much nor runs into an unmapped page.
 */
static size_t chunk_length(uint64_t address, size_t room)
{
    size_t to_page_end = GUEST_PAGE - (address & (GUEST_PAGE - 1));
    size_t length = to_page_end < 64 ? to_page_end + GUEST_PAGE : to_page_end;

    if (length > 256 && room > 256 && to_page_end >= 256)
        length = 256;
    return length < room ? length : room;
}

ssize_t pk_read_string(struct pk_request *request, uint64_t address, char *text, size_t size)
{
    size_t have = 0;

    while (have < size) {
        size_t want = chunk_length(address + have, size - have);
        ssize_t n = request->port->read(request, address + have, text + have, want);
        char *end;

        if (n <= 0)
            return -EFAULT;
        end = memchr(text + have, '\0', (size_t)n);
        if (end)
            return end - text;
        have += (size_t)n;
    }
    return -ENAMETOOLONG;
}

ssize_t pk_read_path(struct pk_request *request, uint64_t address, char path[4096])
{
    return pk_read_string(request, address, path, PATH_MAX);
}

ssize_t pk_read_iovec(struct pk_request *request, uint64_t address, uint64_t count,
                      struct iovec iov[1024])
{
    size_t total = 0;
    int r;

    if (count > IOVEC_COUNT_MAX)
        return -EINVAL;
    r = pk_read(request, address, iov, count * sizeof(*iov));
    if (r < 0)
        return r;
    for (uint64_t i = 0; i < count; i++) {
        if (iov[i].iov_len > SSIZE_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    return (ssize_t)total;
}

int pk_get_fd(struct pk_request *request, int number)
{
    if (number < 0)
        return -EBADF;
    return request->port->get_fd(request, number);
}

int pk_look_fd(struct pk_request *request, int number)
{
    if (number < 0)
        return -EBADF;
    return request->port->look_fd ? request->port->look_fd(request, number)
                                  : request->port->get_fd(request, number);
}

int pk_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags)
{
    return request->port->add_fd(request, fd, number, fd_flags);
}

void pk_note(struct pk_request *request, const char *format, ...)
{
    va_list args;

    free(request->note);
    va_start(args, format);
    if (vasprintf(&request->note, format, args) < 0)
        request->note = NULL;
    va_end(args);
}

/*
 * Small helpers around files and numbers. All return negative errno on failure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"

/* Reads a whole file (relative to `dirfd`, or AT_FDCWD) and appends it; at most `limit` bytes. */
int io_read_file(int dirfd, const char *path, size_t limit, struct strbuf *ret_text);

/* Writes all bytes, continuing after short writes and EINTR. Returns 0 or negative errno. */
int io_write_all(int fd, const void *bytes, size_t length);

/* Reads exactly `length` bytes; end of file before that is -EPIPE. */
int io_read_all(int fd, void *bytes, size_t length);

/*
 * Makes a memfd with this content, close-on-exec, positioned at 0.
 * Returns the descriptor, which the caller owns.
 */
int io_memfd(const char *name, const void *bytes, size_t length);

/* Parses a whole unsigned decimal number <= max. Returns 0 or -EINVAL / -ERANGE. */
int io_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* Parses a size with an optional suffix K, M, G or T (powers of 1024). */
int io_parse_size(const char *text, uint64_t *ret_bytes);

/* Monotonic clock in nanoseconds. */
uint64_t io_now_ns(void);

/* Room for "/proc/self/fd/N". */
#define IO_FD_PATH_SIZE 32

/* Writes "/proc/self/fd/N", the name under which a descriptor can be reopened. Returns `path`. */
char *io_fd_path(int fd, char path[IO_FD_PATH_SIZE]);

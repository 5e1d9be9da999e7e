/*
 * Scoped clean-up: a resource is released when its variable goes out of scope, so that an error
 * path is a plain `return`. take_fd() and take_ptr() hand a resource on to somebody else.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup_close __attribute__((cleanup(base_cleanup_close)))
#define cleanup_free  __attribute__((cleanup(base_cleanup_free)))
#define cleanup_dir   __attribute__((cleanup(base_cleanup_dir)))
#define cleanup_file  __attribute__((cleanup(base_cleanup_file)))

/* Closes a descriptor without touching errno; -1 is allowed and ignored. */
static inline void base_close(int fd)
{
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
}

static inline void base_cleanup_close(int *fd)
{
    base_close(*fd);
}

static inline void base_cleanup_free(void *ptr)
{
    free(*(void **)ptr);
}

static inline void base_cleanup_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static inline void base_cleanup_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

/* Returns the descriptor and leaves -1 behind: ownership moves to the caller. */
static inline int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Returns the pointer and leaves NULL behind: ownership moves to the caller. */
#define take_ptr(ptr)                       \
    ({                                      \
        __typeof__(ptr) taken_ptr_ = (ptr); \
        (ptr) = NULL;                       \
        taken_ptr_;                         \
    })

#define array_length(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(ptr, type, member) \
    ((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

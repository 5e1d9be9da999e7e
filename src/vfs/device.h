/*
 * Character devices that the process kernel serves: the door for hosted drivers.
 *
 * A driver describes its device with struct vfs_device and gives it to vfs_dev_add(); guests then
 * find a node in /dev. Each open of the node makes a struct vfs_device_file. What the guest holds
 * is one end of a socket pair that carries no data: its readiness mirrors the device's, so that
 * poll, select and epoll on it are native calls. It lies in the window of kernel-served
 * descriptors, so that read, write, ioctl and mmap come here.
 *
 * How to write a driver:
 *  - give `read` and `write`; answer -EAGAIN where the caller has to wait. Whether it sleeps (and
 * is woken) or gets EAGAIN (O_NONBLOCK) is not the driver's business;
 *  - give `ready`, and call vfs_device_changed() when the answer may have changed for another
 * reason than a call of this device's files (which are followed by that by themselves);
 *  - `ioctl` reads and writes the guest's memory with pk_read() and pk_write(): copy the argument
 *    once, check the copy, act on the copy. The command numbers say how long the argument is
 *    (_IOC_SIZE), guests lie about nothing else;
 *  - `mmap` names a memfd; seal it against shrinking (F_SEAL_SHRINK), or a guest can make the
 *    process kernel fault in its own mapping.
 * dev-test.c is a complete example.
 *
 * Threads: all functions are called on the kernel thread and must not block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/answer.h"

struct pk_request;
struct vfs_actor;
struct vfs_device;
struct vfs_device_file;
struct vfs_fs;

/* The parts of a device. Any may be NULL, with the effect named. All return negative errno. */
struct vfs_device_ops {
    /* The node is opened; permissions of the node have been checked. NULL: always succeeds. */
    int (*open)(struct vfs_device_file *file, const struct vfs_actor *actor);
    /*
     * Takes at most `length` bytes out of the device. Returns how many, 0 at the end, -EAGAIN when
     * there are none yet. NULL: -EINVAL.
     */
    ssize_t (*read)(struct vfs_device_file *file, void *bytes, size_t length);
    /* Puts bytes in; may take fewer; -EAGAIN when there is no room yet. NULL: -EINVAL. */
    ssize_t (*write)(struct vfs_device_file *file, const void *bytes, size_t length);
    /* Serves a command. The request gives access to the guest's memory. NULL: -ENOTTY. */
    struct pk_answer (*ioctl)(struct vfs_device_file *file, struct pk_request *request,
                              uint32_t command, uint64_t argument);
    /* POLLIN and POLLOUT as they stand. NULL: always both. */
    unsigned (*ready)(struct vfs_device_file *file);
    /*
     * Names what is mapped: a descriptor of a memfd (stays the driver's) and, in `offset`, where in
     * it; `offset` comes in as the guest gave it. Bounds are the driver's to check. NULL: -ENODEV.
     */
    int (*mmap)(struct vfs_device_file *file, size_t length, int protection, int flags,
                uint64_t *offset, int *ret_fd);
    /*
     * Moves the position that the driver keeps for this open; SEEK_SET, SEEK_CUR or SEEK_END.
     * Returns the new one. A device that has this is one of bytes that stay: fsync succeeds on it.
     * Positioned calls (pread, pwrite) see the socket and fail with ESPIPE all the same. NULL:
     * -ESPIPE, and fsync is -EINVAL.
     */
    int64_t (*seek)(struct vfs_device_file *file, int64_t offset, int whence);
    /* The last descriptor of this open is gone, some time after it was closed. */
    void (*release)(struct vfs_device_file *file);
};

/* A device. The driver owns it; it must stay until the dev file system is gone. */
struct vfs_device {
    const struct vfs_device_ops *ops;
    void *user;   /* the driver's own */
    mode_t mode;  /* permissions of the node, owned by root */
    dev_t number; /* what stat shows as st_rdev */
};

/*
 * Makes a node in /dev. `name` may have directories ("snd/timer"); it is copied. Returns 0,
 * -EEXIST, -EINVAL or -ENOMEM.
 */
int vfs_dev_add(struct vfs_fs *dev, const char *name, const struct vfs_device *device);

/* Brings what guests can poll, and sleepers, up to date for all files of the device. */
void vfs_device_changed(struct vfs_fs *dev, const struct vfs_device *device);

/* The device of an open file, and a place for the driver's own state of this open. */
const struct vfs_device *vfs_device_of(const struct vfs_device_file *file);
void vfs_device_set_state(struct vfs_device_file *file, void *state);
void *vfs_device_state(const struct vfs_device_file *file);

/* O_ACCMODE bits of this open. */
int vfs_device_access_mode(const struct vfs_device_file *file);

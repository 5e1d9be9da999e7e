/*
 * /proc/PID/pagemap: the host's own file, opened for the guest by somebody without any capability,
 * since its opener's decide whether it shows where pages lie in the machine's memory. What is left
 * says which pages of a process are there, and that is read natively.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"
#include "vfs/vfs-internal.h"

struct opening {
    int dir;
    const char *path;
    int flags;
    int result;
};

/* Capabilities are a thread's: this one gives its own up for good, and nobody else's. */
static void *open_in_thread(void *user)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    struct opening *opening = user;

    if (syscall(SYS_capset, &header, none) < 0) {
        opening->result = -errno;
        return NULL;
    }
    opening->result = openat(opening->dir, opening->path, opening->flags | O_CLOEXEC);
    if (opening->result < 0)
        opening->result = -errno;
    return NULL;
}

int vfs_open_without_rights(int dir, const char *path, int flags)
{
    struct opening opening = {.dir = dir, .path = path, .flags = flags, .result = -EAGAIN};
    pthread_t thread;
    int r = pthread_create(&thread, NULL, open_in_thread, &opening);

    if (r != 0)
        return -r;
    pthread_join(thread, NULL);
    return opening.result;
}

int proc_pagemap_open(const struct pseudo_access *access, const struct vfs_open_request *request,
                      struct vfs_opened *ret_opened)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int fd, r;

    if ((request->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    r = proc_task_open(access->fs, access->node, &task);
    if (r < 0)
        return r;
    fd = vfs_open_without_rights(task.dir, "pagemap", O_RDONLY);
    if (fd < 0)
        return fd;
    *ret_opened = (struct vfs_opened){.fd = fd};
    return 0;
}

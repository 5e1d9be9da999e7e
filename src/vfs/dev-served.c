/* Devices served by the process kernel: nodes, open files, and the calls that guests make on them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/request.h"
#include "vfs/dev-internal.h"

#define TRANSFER_MAX (1U << 20) /* bytes that one read or write moves */
#define IOVEC_MAX    1024

/*
 * One open of a device. Held by its handle and by every caller that sleeps in it; unlinked from the
 * device when either the handle or the device goes.
 */
struct vfs_device_file {
    struct vfs_handle handle;  /* first */
    struct list link;          /* in dev_served->files */
    struct dev_served *served; /* NULL: the file system is gone */
    const struct vfs_device *device;
    struct dev_mirror mirror;
    void *state;
    int flags;
    unsigned refs;
};

const struct vfs_device *vfs_device_of(const struct vfs_device_file *file)
{
    return file->device;
}

void vfs_device_set_state(struct vfs_device_file *file, void *state)
{
    file->state = state;
}

void *vfs_device_state(const struct vfs_device_file *file)
{
    return file->state;
}

int vfs_device_access_mode(const struct vfs_device_file *file)
{
    return file->flags & O_ACCMODE;
}

static void refresh(struct vfs_device_file *file)
{
    unsigned ready = POLLIN | POLLOUT;

    if (file->device->ops->ready)
        ready = file->device->ops->ready(file);
    dev_mirror_show(&file->mirror, ready);
}

static void refresh_all(struct dev_served *served)
{
    struct vfs_device_file *file;

    list_for_each(file, &served->files, link) refresh(file);
}

void vfs_device_changed(struct vfs_fs *dev, const struct vfs_device *device)
{
    struct dev_fs *fs = (struct dev_fs *)dev;
    struct dev_served *served;

    list_for_each(served, &fs->served, link) if (served->device == device) refresh_all(served);
}

static void file_unref(struct vfs_device_file *file)
{
    if (--file->refs > 0)
        return;
    list_remove(&file->link);
    dev_mirror_fini(&file->mirror);
    free(file);
}

static void handle_release(struct vfs_handle *handle)
{
    struct vfs_device_file *file = (struct vfs_device_file *)handle;

    if (file->device->ops->release)
        file->device->ops->release(file);
    list_remove(&file->link);
    file_unref(file);
}

/* ---- transfer: read and write, which may have to wait ---- */

struct transfer {
    bool write;
    unsigned count;
    size_t length;
    struct iovec iov[IOVEC_MAX];
};

/* Decodes the vector of any read or write call, cut to TRANSFER_MAX. */
static int decode_transfer(struct pk_request *request, struct transfer *transfer)
{
    bool vector = request->nr == SYS_readv || request->nr == SYS_writev ||
                  request->nr == SYS_preadv2 || request->nr == SYS_pwritev2;
    ssize_t total;

    transfer->write =
        request->nr == SYS_write || request->nr == SYS_writev || request->nr == SYS_pwritev2;
    if (vector) {
        total = pk_read_iovec(request, request->args[1], request->args[2], transfer->iov);
        if (total < 0)
            return (int)total;
        transfer->count = (unsigned)request->args[2];
        transfer->length = (size_t)total;
    } else {
        transfer->iov[0].iov_base = (void *)(uintptr_t)request->args[1];
        transfer->iov[0].iov_len = (size_t)request->args[2];
        transfer->count = 1;
        transfer->length = (size_t)request->args[2];
    }
    if (transfer->length > TRANSFER_MAX)
        transfer->length = TRANSFER_MAX;
    return 0;
}

/* Copies between `bytes` and the guest's vector; `length` bytes in all. */
static int copy_vector(struct pk_request *request, const struct transfer *transfer, char *bytes,
                       size_t length)
{
    for (unsigned i = 0; i < transfer->count && length > 0; i++) {
        uint64_t address = (uint64_t)(uintptr_t)transfer->iov[i].iov_base;
        size_t part = transfer->iov[i].iov_len < length ? transfer->iov[i].iov_len : length;
        int r = transfer->write ? pk_read(request, address, bytes, part)
                                : pk_write(request, address, bytes, part);

        if (r < 0)
            return r;
        bytes += part;
        length -= part;
    }
    return 0;
}

static ssize_t try_read(struct vfs_device_file *file, struct pk_request *request,
                        const struct transfer *transfer)
{
    cleanup_free char *bytes = malloc(transfer->length ? transfer->length : 1);
    ssize_t n;
    int r;

    if (bytes == NULL)
        return -ENOMEM;
    if (file->device->ops->read == NULL)
        return -EINVAL;
    n = file->device->ops->read(file, bytes, transfer->length);
    if (n <= 0)
        return n;
    r = copy_vector(request, transfer, bytes, (size_t)n);
    return r < 0 ? r : n;
}

static ssize_t try_write(struct vfs_device_file *file, struct pk_request *request,
                         const struct transfer *transfer)
{
    cleanup_free char *bytes = malloc(transfer->length ? transfer->length : 1);
    int r;

    if (bytes == NULL)
        return -ENOMEM;
    if (file->device->ops->write == NULL)
        return -EINVAL;
    r = copy_vector(request, transfer, bytes, transfer->length);
    return r < 0 ? r : file->device->ops->write(file, bytes, transfer->length);
}

static ssize_t try_transfer(struct vfs_device_file *file, struct pk_request *request,
                            bool *ret_write)
{
    cleanup_free struct transfer *transfer = malloc(sizeof(*transfer));
    int mode = vfs_device_access_mode(file);
    int r;

    if (transfer == NULL)
        return -ENOMEM;
    r = decode_transfer(request, transfer);
    if (r < 0)
        return r;
    *ret_write = transfer->write;
    if (mode == (transfer->write ? O_RDONLY : O_WRONLY))
        return -EBADF;
    if (transfer->length == 0)
        return 0;
    return transfer->write ? try_write(file, request, transfer) : try_read(file, request, transfer);
}

/* Sleeps on a worker until the mirror of the device is ready, then tries again. */
struct wait_job {
    struct pk_job job;
    struct vfs_device_file *file;
    int fd; /* a duplicate of the mirror: the worker touches nothing else */
    short events;
};

static int64_t wait_run(struct pk_job *job)
{
    struct wait_job *wait = (struct wait_job *)job;
    struct pollfd pollfd = {.fd = wait->fd, .events = wait->events};

    return poll(&pollfd, 1, -1) < 0 ? -errno : 0;
}

static void wait_release(struct pk_job *job)
{
    struct wait_job *wait = (struct wait_job *)job;

    base_close(wait->fd);
    file_unref(wait->file);
    free(wait);
}

static struct pk_answer transfer_call(struct vfs_device_file *file, struct pk_request *request,
                                      bool may_wait);

/* Another reader may have been faster: then the caller goes to sleep once more. */
static struct pk_answer wait_finish(struct pk_job *job, struct pk_request *request, int64_t result)
{
    struct wait_job *wait = (struct wait_job *)job;

    if (result < 0)
        return pk_error((int)result);
    return transfer_call(wait->file, request, true);
}

static struct pk_answer wait_for(struct vfs_device_file *file, short events)
{
    struct wait_job *wait = calloc(1, sizeof(*wait));
    int fd = fcntl(file->mirror.guest, F_DUPFD_CLOEXEC, 0);

    if (wait == NULL || fd < 0) {
        base_close(fd);
        free(wait);
        return pk_error(-ENOMEM);
    }
    wait->job = (struct pk_job){wait_run, wait_finish, wait_release};
    wait->file = file;
    wait->fd = fd;
    wait->events = events;
    file->refs++;
    return pk_deferred(&wait->job);
}

static struct pk_answer transfer_call(struct vfs_device_file *file, struct pk_request *request,
                                      bool may_wait)
{
    bool write = false;
    ssize_t n = try_transfer(file, request, &write);

    if (file->served)
        refresh_all(file->served);
    if (n == -EAGAIN && may_wait)
        return wait_for(file, write ? POLLOUT : POLLIN);
    return pk_value(n);
}

/* ---- the other calls ---- */

/* The commands that every descriptor knows are about the socket itself, which is the guest's. */
static struct pk_answer ioctl_call(struct vfs_device_file *file, struct pk_request *request)
{
    uint32_t command = (uint32_t)request->args[1];
    struct pk_answer answer;

    if (command == FIONBIO || command == FIOASYNC || command == FIOCLEX || command == FIONCLEX)
        return pk_native();
    if (file->device->ops->ioctl == NULL)
        return pk_error(-ENOTTY);
    answer = file->device->ops->ioctl(file, request, command, request->args[2]);
    if (file->served)
        refresh_all(file->served);
    return answer;
}

/* The driver's memfd with no more rights than the device was opened with. */
static int mappable(struct vfs_device_file *file, int memfd)
{
    char path[32];

    if (vfs_device_access_mode(file) == O_RDWR)
        return fcntl(memfd, F_DUPFD_CLOEXEC, 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * The guest maps the memfd itself: it is given the descriptor for the time of two calls. What it
 * does with that descriptor meanwhile it could do with the mapping too; its size is sealed.
 */
static struct pk_answer map_in_guest(struct pk_request *request, int fd, uint64_t offset)
{
    struct pk_injected_call calls[2] = {
        {SYS_mmap, {request->args[0], request->args[1], request->args[2], request->args[3]}},
        {SYS_close, {0}}};
    int64_t values[2] = {0};
    int number = pk_add_fd(request, fd, -1, O_CLOEXEC);
    int r;

    if (number < 0)
        return pk_error(number);
    calls[0].args[4] = (uint64_t)number;
    calls[0].args[5] = offset;
    calls[1].args[0] = (uint64_t)number;
    if (pk_in_window(request->kernel, (uint64_t)number)) { /* all others are taken */
        request->port->inject(request, &calls[1], 1, values);
        return pk_error(-EMFILE);
    }
    r = request->port->inject(request, calls, array_length(calls), values);
    return r < 0 ? pk_error(r) : pk_value(values[0]);
}

static struct pk_answer mmap_call(struct vfs_device_file *file, struct pk_request *request)
{
    int protection = (int)request->args[2], flags = (int)request->args[3], memfd = -1, r;
    uint64_t offset = request->args[5];
    cleanup_close int fd = -1;

    if (file->device->ops->mmap == NULL)
        return pk_error(-ENODEV);
    if (vfs_device_access_mode(file) == O_WRONLY ||
        ((flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE &&
         vfs_device_access_mode(file) != O_RDWR))
        return pk_error(-EACCES);
    r = file->device->ops->mmap(file, request->args[1], protection, flags, &offset, &memfd);
    if (r < 0)
        return pk_error(r);
    fd = mappable(file, memfd);
    return fd < 0 ? pk_error(-errno) : map_in_guest(request, fd, offset);
}

static struct pk_answer handle_call(struct vfs_handle *handle, struct pk_request *request, int fd)
{
    struct vfs_device_file *file = (struct vfs_device_file *)handle;
    int status = fcntl(fd, F_GETFL);

    switch (request->nr) {
    case SYS_preadv2:
    case SYS_pwritev2:
        if (request->args[3] != (uint64_t)-1) /* -1: the current position, as readv */
            return pk_error(-ESPIPE);
        /* fall through */
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
        return transfer_call(file, request, !(status & O_NONBLOCK));
    case SYS_ioctl:
        return ioctl_call(file, request);
    case SYS_mmap:
        return mmap_call(file, request);
    case SYS_lseek:
        if (file->device->ops->seek == NULL)
            return pk_error(-ESPIPE);
        return pk_value(
            file->device->ops->seek(file, (int64_t)request->args[1], (int)request->args[2]));
    case SYS_fsync:
    case SYS_fdatasync:
        return pk_error(file->device->ops->seek ? 0 : -EINVAL);
    case SYS_pread64:
    case SYS_pwrite64:
    case SYS_preadv:
    case SYS_pwritev:
        return pk_error(-ESPIPE);
    case SYS_getdents:
    case SYS_getdents64:
        return pk_error(-ENOTDIR);
    default:
        return pk_error(-EINVAL);
    }
}

static const struct vfs_handle_ops handle_ops = {.call = handle_call, .release = handle_release};

/* ---- nodes ---- */

static int open_served(const struct pseudo_access *access, const struct vfs_open_request *request,
                       struct vfs_opened *ret_opened);

struct dev_served *dev_served_of(const struct pseudo_entry *entry)
{
    return entry->open == open_served ? container_of(entry, struct dev_served, entry) : NULL;
}

static struct vfs_device_file *file_new(struct dev_served *served, int flags, int *ret_guest_fd)
{
    struct vfs_device_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return NULL;
    file->handle.ops = &handle_ops;
    file->served = served;
    file->device = served->device;
    file->flags = flags;
    file->refs = 1;
    list_init(&file->link);
    if (dev_mirror_init(&file->mirror, (flags & O_NONBLOCK) != 0, ret_guest_fd) < 0) {
        free(file);
        return NULL;
    }
    return file;
}

static int open_served(const struct pseudo_access *access, const struct vfs_open_request *request,
                       struct vfs_opened *ret_opened)
{
    struct dev_served *served = dev_served_of(access->entry);
    cleanup_close int fd = -1;
    struct vfs_device_file *file = file_new(served, request->flags, &fd);
    int r = 0;

    if (file == NULL)
        return -ENOMEM;
    if (served->device->ops->open)
        r = served->device->ops->open(file, request->actor);
    if (r < 0) {
        file_unref(file);
        return r;
    }
    list_append(&served->files, &file->link);
    refresh(file);
    file->handle.node = vfs_node_ref(&access->node->node);
    r = vfs_handle_register(access->fs->fs.vfs, &file->handle, fd);
    if (r < 0) {
        vfs_node_unref(file->handle.node);
        handle_release(&file->handle);
        return r;
    }
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd), .window = true};
    return 0;
}

int vfs_dev_add(struct vfs_fs *dev, const char *name, const struct vfs_device *device)
{
    struct dev_fs *fs = (struct dev_fs *)dev;
    size_t length = strlen(name);
    struct dev_served *served;
    int r;

    if (length == 0 || length > 255 || name[0] == '/' || name[0] == '<' ||
        name[length - 1] == '/' || strstr(name, "//") || strstr(name, "..") || strstr(name, "/<"))
        return -EINVAL;
    served = calloc(1, sizeof(*served) + length + 1);
    if (served == NULL)
        return -ENOMEM;
    memcpy(served->name, name, length + 1);
    served->fs = fs;
    served->device = device;
    served->entry = (struct pseudo_entry){
        .path = served->name, .mode = S_IFCHR | (device->mode & 07777), .open = open_served};
    list_init(&served->files);
    list_append(&fs->served, &served->link);
    r = pseudo_add(&fs->base, &served->entry);
    if (r == -EEXIST) {
        list_remove(&served->link);
        free(served);
    }
    return r;
}

void dev_served_free(struct dev_fs *fs)
{
    struct dev_served *served, *next;
    struct vfs_device_file *file, *next_file;

    list_for_each_safe(served, next, &fs->served, link)
    {
        list_for_each_safe(file, next_file, &served->files, link)
        {
            list_remove(&file->link);
            file->served = NULL;
        }
        list_remove(&served->link);
        free(served);
    }
}

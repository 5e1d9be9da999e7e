/*
 * Generated files: the text of one moment in a memfd that was made for one open. A live file is
 * made anew by each read from position 0: the memfd is refilled and the guest's own read call runs
 * natively on it. What is written goes to the file's store function and never into the memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/descriptor-internal.h"

/* Longest single write that a generated file takes; the kernel's own take at most a page. */
#define STORE_MAX 65536

struct generated_handle {
    struct vfs_handle handle;
    struct vfs_generated generated;
    bool live;
};

struct vfs_actor actor_of_request(struct pk_request *request)
{
    return (struct vfs_actor){.pid = request->task ? request->task->process->pid : 0,
                              .tid = request->task ? request->task->tid : 0,
                              .identity = &request->context->identity,
                              .mask = request->context->mask,
                              .request = request};
}

static struct generated_handle *generated_of(struct vfs_handle *handle)
{
    return container_of(handle, struct generated_handle, handle);
}

/* The new text is in place before the old end is cut, so that a racing reader sees no hole. */
static int refill(int fd, const struct strbuf *text)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_close int writable = open(io_fd_path(fd, path), O_WRONLY | O_CLOEXEC);
    int r;

    if (writable < 0)
        return -errno;
    r = io_write_all(writable, strbuf_text(text), text->length);
    if (r < 0)
        return r;
    return ftruncate(writable, (off_t)text->length) < 0 ? -errno : 0;
}

static int refresh(struct generated_handle *file, struct pk_request *request, int fd)
{
    struct vfs_actor actor = actor_of_request(request);
    cleanup_strbuf struct strbuf text = {0};
    int r;

    if (file->generated.regenerate == NULL)
        return 0;
    r = file->generated.regenerate(file->handle.node, &actor, file->generated.cookie, &text);
    if (r == 0)
        r = strbuf_status(&text);
    return r < 0 ? r : refill(fd, &text);
}

/* Where a read call starts; -1: nowhere. */
static off_t read_position(const struct pk_request *request, int fd)
{
    switch (request->nr) {
    case SYS_pread64:
    case SYS_preadv:
        return (off_t)request->args[3];
    case SYS_preadv2:
        if ((off_t)request->args[3] != -1)
            return (off_t)request->args[3];
        break;
    default:
        break;
    }
    return lseek(fd, 0, SEEK_CUR);
}

static struct pk_answer serve_read(struct generated_handle *file, struct pk_request *request,
                                   int fd)
{
    int r = 0;

    if (file->live && read_position(request, fd) == 0)
        r = refresh(file, request, fd);
    return r < 0 ? pk_error(r) : pk_native();
}

/* Copies what a write call wants to write; returns its length. */
static ssize_t gather_written(struct pk_request *request, char *text, size_t size)
{
    bool vector = request->nr != SYS_write && request->nr != SYS_pwrite64;
    struct iovec single = {.iov_base = (void *)(uintptr_t)request->args[1],
                           .iov_len = request->args[2]};
    struct iovec *iov = &single;
    cleanup_free struct iovec *many = NULL;
    size_t count = 1;
    size_t used = 0;

    if (vector) {
        ssize_t total;

        iov = many = calloc(1024, sizeof(*many));
        if (many == NULL)
            return -ENOMEM;
        count = request->args[2];
        total = pk_read_iovec(request, request->args[1], count, iov);
        if (total < 0)
            return total;
    }
    for (size_t i = 0; i < count; i++) {
        int r;

        if (iov[i].iov_len > size - used)
            return -EINVAL;
        r = pk_read(request, (uint64_t)(uintptr_t)iov[i].iov_base, text + used, iov[i].iov_len);
        if (r < 0)
            return r;
        used += iov[i].iov_len;
    }
    return (ssize_t)used;
}

static struct pk_answer serve_write(struct generated_handle *file, struct pk_request *request,
                                    int fd)
{
    struct vfs_actor actor = actor_of_request(request);
    int flags = fcntl(fd, F_GETFL);
    bool positioned = request->nr == SYS_pwrite64 || request->nr == SYS_pwritev;
    cleanup_free char *text = NULL;
    ssize_t length;
    int r;

    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_RDONLY)
        return pk_error(-EBADF);
    if (file->generated.store == NULL)
        return pk_error(-EIO);
    text = malloc(STORE_MAX + 1);
    if (text == NULL)
        return pk_error(-ENOMEM);
    length = gather_written(request, text, STORE_MAX);
    if (length < 0)
        return pk_error((int)length);
    text[length] = '\0';
    r = file->generated.store(file->handle.node, &actor, file->generated.cookie, text,
                              (size_t)length);
    if (r < 0)
        return pk_error(r);
    if (!positioned && lseek(fd, length, SEEK_CUR) < 0)
        return pk_error(-errno);
    return pk_value(length);
}

static struct pk_answer generated_call(struct vfs_handle *handle, struct pk_request *request,
                                       int fd)
{
    struct generated_handle *file = generated_of(handle);

    switch (request->nr) {
    case SYS_read:
    case SYS_pread64:
    case SYS_readv:
    case SYS_preadv:
    case SYS_preadv2:
        return serve_read(file, request, fd);
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
        return serve_write(file, request, fd);
    case SYS_ioctl:
        return pk_error(-ENOTTY);
    case SYS_mmap: /* a shared writable mapping would get round the store function */
        return pk_error(-ENODEV);
    case SYS_ftruncate:
        return file->generated.store ? pk_value(0) : pk_error(-EINVAL);
    case SYS_getdents:
    case SYS_getdents64:
        return pk_error(-ENOTDIR);
    default:
        return pk_native(); /* lseek, fsync: numbers only */
    }
}

static void generated_release(struct vfs_handle *handle)
{
    free(generated_of(handle));
}

static const struct vfs_handle_ops generated_ops = {.call = generated_call,
                                                    .release = generated_release};

/* A memfd with the text, reopened with just the access that was asked for. */
static int open_text(const struct strbuf *text, int flags, bool sealed)
{
    cleanup_close int fd = io_memfd("cerebro", strbuf_text(text), text->length);
    char path[IO_FD_PATH_SIZE];
    int opened;

    if (fd < 0)
        return fd;
    if (sealed &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    opened = open(io_fd_path(fd, path), (flags & (O_ACCMODE | O_NONBLOCK)) | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int vfs_open_generated(struct vfs_node *node, const struct vfs_open_request *request,
                       const struct vfs_generated *generated, bool live,
                       struct vfs_opened *ret_opened)
{
    bool writing = (request->flags & O_ACCMODE) != O_RDONLY;
    bool served = live || generated->store;
    cleanup_strbuf struct strbuf text = {0};
    cleanup_close int fd = -1;
    struct generated_handle *file;
    int r = 0;

    if (request->flags & O_PATH)
        return -EOPNOTSUPP;
    if (writing && generated->store == NULL)
        return -EACCES;
    if (generated->regenerate && (request->flags & O_ACCMODE) != O_WRONLY)
        r = generated->regenerate(node, request->actor, generated->cookie, &text);
    if (r == 0)
        r = strbuf_status(&text);
    if (r < 0)
        return r;
    fd = open_text(&text, request->flags, !served);
    if (fd < 0)
        return fd;
    file = calloc(1, sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    file->handle.ops = &generated_ops;
    file->generated = *generated;
    file->live = served;
    r = vfs_handle_register(node->fs->vfs, &file->handle, fd);
    if (r < 0) {
        free(file);
        return r;
    }
    file->handle.node = vfs_node_ref(node);
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd), .window = served};
    return 0;
}

/*
 * Generated files: the text of one moment in a memfd that was made for one open, and sealed: what
 * one process sees in it no other can alter, and a write that gets past us fails. A live file is
 * made anew by each read from position 0, which is answered from here; the memfd lends it its
 * position only. What is written goes to the file's store function.
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
    bool made;          /* `text` holds what a read has seen */
    struct strbuf text; /* live files only */
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

/* The text as it is now. */
static int refresh(struct generated_handle *file, struct pk_request *request)
{
    struct vfs_actor actor = actor_of_request(request);
    struct strbuf text = {0};
    int r = 0;

    if (file->generated.regenerate)
        r = file->generated.regenerate(file->handle.node, &actor, file->generated.cookie, &text);
    if (r == -ENOENT)
        r = -ESRCH; /* the file is open, so what is gone is the process that it tells of */
    if (r == 0)
        r = strbuf_status(&text);
    if (r < 0) {
        strbuf_free(&text);
        return r;
    }
    strbuf_free(&file->text);
    file->text = text;
    file->made = true;
    return 0;
}

/* True for calls that say where, and leave the position of the descriptor alone. */
static bool is_positioned(const struct pk_request *request)
{
    switch (request->nr) {
    case SYS_pread64:
    case SYS_preadv:
    case SYS_pwrite64:
    case SYS_pwritev:
        return true;
    case SYS_preadv2:
    case SYS_pwritev2:
        return (int64_t)request->args[3] != -1;
    default:
        return false;
    }
}

/* The buffers of a read or write call. */
struct buffers {
    struct iovec single;
    struct iovec *many; /* owned */
    const struct iovec *iov;
    size_t count;
};

static int find_buffers(struct pk_request *request, struct buffers *buffers)
{
    ssize_t total;

    *buffers = (struct buffers){
        .single = {.iov_base = (void *)(uintptr_t)request->args[1], .iov_len = request->args[2]},
        .count = 1};
    buffers->iov = &buffers->single;
    switch (request->nr) {
    case SYS_read:
    case SYS_pread64:
    case SYS_write:
    case SYS_pwrite64:
        return 0;
    default:
        break;
    }
    buffers->many = calloc(1024, sizeof(*buffers->many));
    if (buffers->many == NULL)
        return -ENOMEM;
    buffers->iov = buffers->many;
    buffers->count = request->args[2];
    total = pk_read_iovec(request, request->args[1], buffers->count, buffers->many);
    return total < 0 ? (int)total : 0;
}

/* Copies text into the guest's buffers. Returns bytes; an error only when none could be copied. */
static ssize_t spread(struct pk_request *request, const char *text, size_t length)
{
    struct buffers buffers;
    size_t done = 0;
    int r = find_buffers(request, &buffers);

    for (size_t i = 0; r == 0 && i < buffers.count && done < length; i++) {
        size_t part = buffers.iov[i].iov_len;

        part = part < length - done ? part : length - done;
        r = pk_write(request, (uint64_t)(uintptr_t)buffers.iov[i].iov_base, text + done, part);
        done += r < 0 ? 0 : part;
    }
    free(buffers.many);
    return r < 0 && done == 0 ? r : (ssize_t)done;
}

static struct pk_answer serve_read(struct generated_handle *file, struct pk_request *request,
                                   int fd)
{
    int flags = fcntl(fd, F_GETFL);
    bool positioned = is_positioned(request);
    off_t position = positioned ? (off_t)request->args[3] : lseek(fd, 0, SEEK_CUR);
    ssize_t length = 0;
    int r = 0;

    if (!file->live)
        return pk_native();
    if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
        return pk_error(-EBADF);
    if (position < 0)
        return pk_error(-EINVAL);
    if (position == 0 || !file->made)
        r = refresh(file, request);
    if (r == 0 && (size_t)position < file->text.length)
        length = spread(request, strbuf_text(&file->text) + position,
                        file->text.length - (size_t)position);
    if (r < 0 || length < 0)
        return pk_error(r < 0 ? r : (int)length);
    if (!positioned && lseek(fd, length, SEEK_CUR) < 0)
        return pk_error(-errno);
    return pk_value(length);
}

/* Copies what a write call wants to write; returns its length. */
static ssize_t gather_written(struct pk_request *request, char *text, size_t size)
{
    struct buffers buffers;
    size_t used = 0;
    int r = find_buffers(request, &buffers);

    for (size_t i = 0; r == 0 && i < buffers.count; i++) {
        size_t part = buffers.iov[i].iov_len;

        if (part > size - used) {
            r = -EINVAL;
            break;
        }
        r = pk_read(request, (uint64_t)(uintptr_t)buffers.iov[i].iov_base, text + used, part);
        used += part;
    }
    free(buffers.many);
    return r < 0 ? r : (ssize_t)used;
}

static struct pk_answer serve_write(struct generated_handle *file, struct pk_request *request,
                                    int fd)
{
    struct vfs_actor actor = actor_of_request(request);
    int flags = fcntl(fd, F_GETFL);
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
    if (!is_positioned(request) && lseek(fd, length, SEEK_CUR) < 0)
        return pk_error(-errno);
    return pk_value(length);
}

static struct pk_answer serve_control(struct generated_handle *file, struct pk_request *request)
{
    struct vfs_actor actor = actor_of_request(request);

    if (file->generated.control == NULL)
        return pk_error(-ENOTTY);
    return pk_value(
        file->generated.control(file->handle.node, &actor, file->generated.cookie, request));
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
        return serve_control(file, request);
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
    strbuf_free(&generated_of(handle)->text);
    free(generated_of(handle));
}

static const struct vfs_handle_ops generated_ops = {.call = generated_call,
                                                    .release = generated_release};

int vfs_handle_redirect(struct vfs_handle *handle, struct pk_request *request, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (handle->ops != &generated_ops || generated_of(handle)->generated.store == NULL ||
        flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) != O_WRONLY)
        return -EOPNOTSUPP;
    return vfs_redirect(handle->node, &generated_of(handle)->generated, request);
}

/* A sealed memfd with the text, reopened with just the access that was asked for. */
static int open_text(const struct strbuf *text, int flags)
{
    cleanup_close int fd = io_memfd("cerebro", strbuf_text(text), text->length);
    char path[IO_FD_PATH_SIZE];
    int opened;

    if (fd < 0)
        return fd;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
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
    fd = open_text(&text, request->flags);
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

/*
 * FIFOs and sockets. Both are inodes of the host without a name there, held by an O_PATH descriptor
 * and reached through /proc/self/fd/N, so that blocking, poll and wake-ups are the host's own.
 */
#include "vfs/memory-internal.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/io.h"

int memory_identity_add(struct memory_node *node, int fd)
{
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    return vfs_register_identity(node->base.fs->vfs, stat.st_dev, stat.st_ino, &node->base);
}

void memory_identity_remove(const struct memory_node *node, int fd)
{
    struct stat stat;

    if (fstat(fd, &stat) == 0)
        vfs_forget_identity(node->base.fs->vfs, stat.st_dev, stat.st_ino);
}

void memory_special_free(struct memory_node *node)
{
    if (node->special_fd < 0)
        return;
    memory_identity_remove(node, node->special_fd);
    close(node->special_fd);
    node->special_fd = -1;
}

/* A fresh directory that nobody else can enter, for the moment an inode needs a name. */
static int private_directory(char path[PATH_MAX])
{
    const char *places[] = {getenv("XDG_RUNTIME_DIR"), "/tmp", "/dev/shm"};

    errno = EACCES;
    for (size_t i = 0; i < array_length(places); i++) {
        int length;

        if (!places[i] || places[i][0] != '/')
            continue;
        length = snprintf(path, PATH_MAX, "%s/cerebro-XXXXXX", places[i]);
        if (length < PATH_MAX && mkdtemp(path))
            return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    return -1;
}

/*
 * A socket keeps the name it was bound to, and its peers' guest names are found by it: `name` is
 * one that no other socket has.
 */
static int make_at(int directory, const char *name, int socket_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (socket_fd < 0)
        return mkfifoat(directory, name, 0600) < 0 ? -errno : 0;
    /* By descriptor: the directory's own path may not fit into sun_path. */
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, name);
    return bind(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/*
 * Makes an inode whose name exists for this moment only: the socket is bound to it, or a FIFO when
 * `socket_fd` is -1. (An anonymous pipe would not do: its opens neither wait for a peer nor fail
 * without one.) Returns an O_PATH descriptor.
 */
static int make_nameless(int socket_fd)
{
    cleanup_close int directory = -1;
    char path[PATH_MAX];
    const char *name;
    int fd = -1;
    int r;

    directory = private_directory(path);
    if (directory < 0)
        return -errno;
    name = strrchr(path, '-') + 1; /* what mkdtemp() chose */
    r = make_at(directory, name, socket_fd);
    if (r == 0) {
        fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? -errno : 0;
    }
    unlinkat(directory, name, 0);
    rmdir(path);
    return r < 0 ? r : fd;
}

static int fifo_need(struct memory_node *node)
{
    int fd;

    if (node->special_fd >= 0)
        return 0;
    fd = make_nameless(-1);
    if (fd < 0)
        return fd;
    node->special_fd = fd;
    return memory_identity_add(node, node->special_fd);
}

/* Only an open for one direction waits for a peer, and only without O_NONBLOCK. */
static bool open_blocks(int flags)
{
    return !(flags & (O_PATH | O_NONBLOCK)) && (flags & O_ACCMODE) != O_RDWR;
}

int memory_open_special(struct memory_node *node, int flags, struct vfs_opened *ret_opened)
{
    int keep = flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_PATH | O_NOATIME | O_LARGEFILE);
    char path[IO_FD_PATH_SIZE];
    bool blocks = false;
    int fd;

    if (node->base.type == S_IFSOCK) {
        if (!(flags & O_PATH))
            return -ENXIO;
        if (node->special_fd < 0)
            return -ENOTSUP; /* made by mknod(2): there is nothing behind it */
    } else {
        int r = fifo_need(node);

        if (r < 0)
            return r;
        blocks = open_blocks(flags);
    }
    fd = open(io_fd_path(node->special_fd, path), (blocks ? O_PATH : keep) | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_opened = (struct vfs_opened){.fd = fd,
                                      .blocks = blocks,
                                      .block_flags = blocks ? keep | O_CLOEXEC : 0,
                                      .is_fifo = node->base.type == S_IFIFO};
    return 0;
}

int memory_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                       const struct vfs_actor *actor)
{
    struct memory_node *directory = memory_of(parent);
    const struct name_entry *entry;
    struct memory_node *node;
    int fd;
    int r = memory_mknod(parent, name, S_IFSOCK | (mode & 0777), 0, actor);

    if (r < 0)
        return r == -EEXIST ? -EADDRINUSE : r;
    fd = make_nameless(socket_fd);
    if (fd < 0) {
        memory_unlink(parent, name, false, actor);
        return fd;
    }
    entry = name_table_find(&directory->directory->names, name, strlen(name));
    node = entry->value;
    node->special_fd = fd;
    return memory_identity_add(node, node->special_fd);
}

/*
 * Connecting waits when the listener's queue is full. That must not happen here, so the socket is
 * made non-blocking for the call: -EAGAIN then tells the caller to try again later if the guest's
 * socket is a blocking one.
 */
static int connect_at_once(int socket_fd, const struct sockaddr_un *address)
{
    int flags = fcntl(socket_fd, F_GETFL);
    int r;

    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK))
        (void)fcntl(socket_fd, F_SETFL, flags | O_NONBLOCK);
    r = connect(socket_fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
    if (!(flags & O_NONBLOCK))
        (void)fcntl(socket_fd, F_SETFL, flags);
    return r;
}

int memory_connect_socket(struct vfs_node *base, int socket_fd, const struct vfs_actor *actor)
{
    struct memory_node *node = memory_of(base);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int r = memory_may(node, actor, VFS_MAY_WRITE);

    if (r < 0)
        return r;
    if (base->type != S_IFSOCK || node->special_fd < 0)
        return -ECONNREFUSED;
    io_fd_path(node->special_fd, address.sun_path);
    return connect_at_once(socket_fd, &address);
}

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "vfs/host-internal.h"

/* The descriptor of a directory in which a name is to be changed. */
static int directory_fd(struct vfs_node *node)
{
    struct host_node *host = host_node_of(node);

    if (host->sealed)
        return -EACCES;
    host_changed(host);
    return host_fd(host);
}

/* The descriptor of a directory in which a name is to be made. */
static int directory_for(struct vfs_node *node, const char *name)
{
    int fd = directory_fd(node);
    int r = fd < 0 ? fd : host_may_make_name(host_node_of(node), name);

    return r < 0 ? r : fd;
}

/* A new name: what was recorded of an earlier object of that name is not about this one. */
static void record_owner_of_name(struct vfs_node *parent, int parent_fd, const char *name,
                                 const struct vfs_actor *actor)
{
    cleanup_close int fd = -1;

    host_owner_name_gone(host_fs_of(parent), parent_fd, name);
    if (!vfs_kernel(parent->fs->vfs)->config.virtual_identity || parent->fs->vfs->self.can_act)
        return;
    fd = openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        host_record_owner(host_fs_of(parent), fd, actor);
}

int host_mkdir(struct vfs_node *parent, const char *name, mode_t mode,
               const struct vfs_actor *actor)
{
    int fd = directory_for(parent, name);

    if (fd < 0)
        return fd;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, actor);

    if (mkdirat(fd, name, mode & 07777) < 0)
        return -errno;
    record_owner_of_name(parent, fd, name, actor);
    return 0;
}

int host_mknod(struct vfs_node *parent, const char *name, mode_t mode, dev_t device,
               const struct vfs_actor *actor)
{
    int fd = directory_for(parent, name);
    mode_t type = mode & S_IFMT;

    if (fd < 0)
        return fd;
    /* A character device 0:0 is the whiteout of the kernel's overlayfs and no device at all. */
    if (S_ISBLK(type) || (S_ISCHR(type) && device != 0))
        return -EPERM;
    if (S_ISFIFO(type))
        host_fs_of(parent)->careful = true;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, actor);

    if (mknodat(fd, name, mode & (S_IFMT | 07777), device) < 0)
        return -errno;
    if (!S_ISCHR(type))
        record_owner_of_name(parent, fd, name, actor);
    return 0;
}

int host_symlink(struct vfs_node *parent, const char *name, const char *target,
                 const struct vfs_actor *actor)
{
    int fd = directory_for(parent, name);

    if (fd < 0)
        return fd;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, actor);

    if (symlinkat(target, fd, name) < 0)
        return -errno;
    record_owner_of_name(parent, fd, name, actor);
    return 0;
}

/*
 * `node` may be a descriptor from outside of the tree: a file made with O_TMPFILE has no name and
 * so no place. It can only be one that the guest holds already.
 */
int host_link(struct vfs_node *node, struct vfs_node *parent, const char *name,
              const struct vfs_actor *actor)
{
    char path[IO_FD_PATH_SIZE];
    int parent_fd = directory_for(parent, name);
    int fd = fs_is_host(node->fs) ? host_fd(host_node_of(node)) : foreign_fd(node);

    if (parent_fd < 0)
        return parent_fd;
    if (fd < 0)
        return fd;
    if (fs_is_host(node->fs)) {
        int r = host_may_change(host_node_of(node));

        if (r < 0)
            return r;
        host_changed(host_node_of(node));
    }

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, actor);

    if (linkat(AT_FDCWD, io_fd_path(fd, path), parent_fd, name, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    host_owner_name_added(host_fs_of(parent), fd, parent_fd, name);
    return 0;
}

int host_unlink(struct vfs_node *parent, const char *name, bool directory,
                const struct vfs_actor *actor)
{
    int fd = directory_fd(parent);
    int r = host_may_take_name(host_node_of(parent), name);

    if (fd < 0 || r < 0)
        return fd < 0 ? fd : r;

    cleanup_acting struct host_acting acting = host_act(parent->fs->vfs, actor);

    if (unlinkat(fd, name, directory ? AT_REMOVEDIR : 0) < 0)
        return -errno;
    if (!directory)
        host_owner_name_gone(host_fs_of(parent), fd, name);
    return 0;
}

int host_rename(struct vfs_node *old_parent, const char *old_name, struct vfs_node *new_parent,
                const char *new_name, unsigned flags, const struct vfs_actor *actor)
{
    int old_fd = directory_fd(old_parent);
    int new_fd = directory_fd(new_parent);
    int r = host_may_take_name(host_node_of(old_parent), old_name);

    if (old_fd < 0 || new_fd < 0)
        return old_fd < 0 ? old_fd : new_fd;
    if (r == 0)
        r = host_may_take_name(host_node_of(new_parent), new_name);
    if (r < 0)
        return r;

    cleanup_acting struct host_acting acting = host_act(old_parent->fs->vfs, actor);

    if (syscall(SYS_renameat2, old_fd, old_name, new_fd, new_name, flags) < 0)
        return -errno;
    host_owner_name_moved(host_fs_of(new_parent), old_fd, old_name, new_fd, new_name, flags);
    return 0;
}

int host_readdir(struct vfs_node *node, uint64_t from, const struct vfs_actor *actor, vfs_emit emit,
                 void *user)
{
    char path[IO_FD_PATH_SIZE];
    struct dirent *entry;
    uint64_t number = 0;
    int fd;

    (void)actor;
    if (host_node_of(node)->sealed)
        return 0;
    fd = host_fd(host_node_of(node));
    if (fd < 0)
        return fd;
    /* Through /proc, since opening "." would ask for search permission too. */
    fd = open(io_fd_path(fd, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    cleanup_dir DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        base_close(fd);
        return -ENOMEM;
    }
    for (errno = 0; (entry = readdir(stream)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (number++ < from)
            continue;
        if (!emit(user, entry->d_name, entry->d_ino, DTTOIF(entry->d_type)))
            return 0;
    }
    return -errno;
}

/* Slashes in front of each of the five components below; four choices each. */
#define SLASHES 5

/*
 * The address of an open directory's entry, or of what `fd` is where `name` is NULL. The host shows
 * it to peers as it stands, and later only this text tells one socket from another, so the slashes
 * of names with room for them are random: the same number and the same name come again.
 */
static int socket_address(struct sockaddr_un *address, int fd, const char *name)
{
    char slashes[SLASHES] = {0};
    size_t room = sizeof(address->sun_path);
    int length;

    if (name && getrandom(slashes, sizeof(slashes), GRND_NONBLOCK) < 0)
        memset(slashes, 0, sizeof(slashes));
    for (size_t i = 0; i < SLASHES; i++)
        slashes[i] = (char)(1 + (slashes[i] & 3));
#define BEFORE(i) slashes[i], "////"
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    length = snprintf(address->sun_path, room, "%.*sproc%.*sself%.*sfd%.*s%d%.*s%s", BEFORE(0),
                      BEFORE(1), BEFORE(2), BEFORE(3), fd, name ? slashes[4] : 0, "////",
                      name ? name : "");
#undef BEFORE
    if (length >= (int)room)
        length = snprintf(address->sun_path, room, "/proc/self/fd/%d/%s", fd, name ? name : "");
    return length < (int)room ? 0 : -ENAMETOOLONG;
}

static int bind_as(const struct vfs *vfs, const struct vfs_actor *actor, int socket_fd,
                   const struct sockaddr_un *address, size_t length)
{
    cleanup_acting struct host_acting acting = host_act(vfs, actor);

    return bind(socket_fd, (const struct sockaddr *)address, (socklen_t)length) < 0 ? -errno : 0;
}

/*
 * A name that leaves no room for its directory's number: the directory becomes the working one for
 * the moment. Only the kernel thread makes names, and nothing in this process has a use for the
 * working directory.
 */
static int bind_in_directory(const struct vfs *vfs, const struct vfs_actor *actor, int socket_fd,
                             int fd, const char *name)
{
    cleanup_close int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    int r;

    if (length > sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, name, length);
    if (before < 0 || fchdir(fd) < 0)
        return -errno;
    r = bind_as(vfs, actor, socket_fd, &address, offsetof(struct sockaddr_un, sun_path) + length);
    if (fchdir(before) < 0 && chdir("/") < 0)
        return -errno;
    return r;
}

static int bind_at(const struct vfs *vfs, const struct vfs_actor *actor, int socket_fd, int fd,
                   const char *name)
{
    struct sockaddr_un address;

    if (socket_address(&address, fd, name) < 0)
        return bind_in_directory(vfs, actor, socket_fd, fd, name);
    return bind_as(vfs, actor, socket_fd, &address, sizeof(address));
}

/*
 * The host makes the socket file with the umask of this process, which is 0. Setting the umask for
 * the moment beats a later chmod, which could hit something else; only this thread makes files.
 */
int host_bind_socket(struct vfs_node *parent, const char *name, mode_t mode, int socket_fd,
                     const struct vfs_actor *actor)
{
    int fd = directory_for(parent, name);
    mode_t mask;
    int r;

    if (fd < 0)
        return fd;
    mask = umask(~mode & 0777);
    r = bind_at(parent->fs->vfs, actor, socket_fd, fd, name);
    umask(mask);
    if (r == 0)
        record_owner_of_name(parent, fd, name, actor);
    return r;
}

int host_connect_socket(struct vfs_node *node, int socket_fd, const struct vfs_actor *actor)
{
    struct sockaddr_un address;
    int fd = host_fd(host_node_of(node));
    int r;

    if (fd < 0)
        return fd;
    r = socket_address(&address, fd, NULL);
    if (r < 0)
        return r;

    cleanup_acting struct host_acting acting = host_act(node->fs->vfs, actor);

    return connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

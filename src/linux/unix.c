/*
 * AF_UNIX sockets: paths are names in the guest's tree, abstract names are private to the process
 * kernel.
 *
 * Known differences: accept() is native and shows the host's names of peers that have one. Such a
 * name can be used wherever the guest's own name could.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/net-internal.h"

/* Linux tries all five-digit hexadecimal numbers. */
#define AUTOBIND_MAX 0x100000u

static int to_name(const struct net_address *address, struct unix_name *ret_name)
{
    if (address->length <= UNIX_NAME_HEADER || address->length > UNIX_NAME_MAX ||
        address->any.sa_family != AF_UNIX)
        return -EINVAL;
    *ret_name = (struct unix_name){.length = address->length};
    memcpy(ret_name, &address->storage, address->length);
    return 0;
}

bool unix_is_abstract(const struct unix_name *name)
{
    return name->address.sun_path[0] == '\0';
}

/* The guest's name of what the host calls `real`; false when it is none of ours. */
static bool guest_name_of(struct pk_request *request, uint64_t inode, const struct unix_name *real,
                          struct unix_name *ret_guest)
{
    struct linux_state *state = linux_state(request->kernel);
    const struct unix_name *known = unix_names_find(state->names, inode, real);
    struct unix_twin *twin;

    if (known)
        *ret_guest = *known;
    else if (unix_twins_is_name(state->twins, real, &twin))
        *ret_guest = twin ? twin->guest : (struct unix_name){.length = 0};
    else
        return unix_is_abstract(real) && unix_abstract_to_guest(state->token, real, ret_guest);
    return true;
}

int unix_given_name(struct pk_request *request, const struct net_address *address,
                    struct unix_name *ret_name)
{
    struct unix_name guest;
    int r = address->length > sizeof(address->local) ? -EINVAL : to_name(address, ret_name);

    if (r < 0)
        return r;
    /* What the host shows natively: an absolute path, or a name with our token. */
    if ((unix_is_abstract(ret_name) || ret_name->address.sun_path[0] == '/') &&
        guest_name_of(request, 0, ret_name, &guest)) {
        if (guest.length == 0)
            return -ECONNREFUSED;
        *ret_name = guest;
    }
    return 0;
}

static void to_address(const struct unix_name *name, struct net_address *ret_address)
{
    *ret_address = (struct net_address){.length = name->length};
    memcpy(&ret_address->storage, name, name->length);
}

/* The path in a name, which need not be terminated there. */
static void path_of(const struct unix_name *name, char path[sizeof(name->address.sun_path) + 1])
{
    size_t length = strnlen(name->address.sun_path, name->length - UNIX_NAME_HEADER);

    memcpy(path, name->address.sun_path, length);
    path[length] = '\0';
}

/* A path is shown with a terminator right behind it, however it was given. */
static struct unix_name as_shown(const struct unix_name *given)
{
    struct unix_name shown = *given;
    char path[sizeof(given->address.sun_path) + 1];

    if (unix_is_abstract(given))
        return shown;
    path_of(given, path);
    shown = (struct unix_name){.address.sun_family = AF_UNIX,
                               .length = (socklen_t)(UNIX_NAME_HEADER + strlen(path) + 1)};
    memcpy((char *)&shown + UNIX_NAME_HEADER, path, strlen(path) + 1);
    return shown;
}

void unix_host_abstract(struct pk_request *request, const struct unix_name *guest,
                        struct net_address *ret_address)
{
    struct unix_name host;

    unix_abstract_to_host(linux_state(request->kernel)->token, guest, &host);
    to_address(&host, ret_address);
}

static uint64_t inode_of(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) < 0 ? 0 : stat.st_ino;
}

/* Notes which name the host gave the socket that the guest calls `guest`. */
static void remember(struct pk_request *request, int fd, const struct unix_name *guest)
{
    struct unix_name shown = as_shown(guest);
    struct unix_name real = {.length = UNIX_NAME_MAX};

    struct linux_state *state = linux_state(request->kernel);
    uint64_t inode = inode_of(fd);
    struct unix_twin *twin = unix_is_datagram(fd) ? unix_twins_find(state->twins, inode) : NULL;

    if (getsockname(fd, (struct sockaddr *)&real, &real.length) < 0)
        return;
    unix_names_add(state->names, inode, &shown, &real);
    if (twin) {
        twin->guest = shown;
        twin->real = real;
    }
}

static int bind_abstract(struct pk_request *request, int fd, const struct unix_name *guest)
{
    struct net_address host;

    unix_host_abstract(request, guest, &host);
    if (bind(fd, &host.any, host.length) < 0)
        return -errno;
    remember(request, fd, guest);
    return 0;
}

/* A bind() without a name chooses one: five hexadecimal digits, as Linux does. */
static int bind_any(struct pk_request *request, int fd)
{
    uint32_t start = (uint32_t)io_now_ns();

    for (uint32_t i = 0; i < AUTOBIND_MAX; i++) {
        struct unix_name guest = {.address.sun_family = AF_UNIX, .length = UNIX_NAME_HEADER + 6};
        char digits[8];
        int r;

        snprintf(digits, sizeof(digits), "%05x", (start + i) % AUTOBIND_MAX);
        memcpy(guest.address.sun_path + 1, digits, 5);
        r = bind_abstract(request, fd, &guest);
        if (r != -EADDRINUSE)
            return r;
    }
    return -ENOSPC;
}

static int bind_path(struct pk_request *request, int fd, const struct unix_name *guest)
{
    cleanup_walk struct linux_walk at = {0};
    cleanup_place struct vfs_place *parent = NULL;
    char path[sizeof(guest->address.sun_path) + 1];
    char name[256];
    bool slash;
    int r;

    path_of(guest, path);
    r = linux_walk_text(request, AT_FDCWD, path, 0, &at);
    r = r < 0 ? r : vfs_resolve_parent(request->kernel->vfs, &at.walk, &parent, name, &slash);
    if (r < 0)
        return r;
    if (!strcmp(name, "/") || !strcmp(name, ".") || !strcmp(name, ".."))
        return -EADDRINUSE;
    if (slash)
        return -ENOENT;
    r = vfs_bind_socket(parent, name, 0777, fd, &at.actor); /* the umask is applied there */
    if (r < 0)
        return r == -EEXIST ? -EADDRINUSE : r;
    remember(request, fd, guest);
    return 0;
}

int unix_bind(struct pk_request *request, int fd, const struct net_address *address)
{
    struct unix_name guest;
    int r;

    if (address->length == UNIX_NAME_HEADER && address->any.sa_family == AF_UNIX)
        return bind_any(request, fd);
    r = address->length > sizeof(address->local) ? -EINVAL : to_name(address, &guest);
    if (r < 0)
        return r;
    return unix_is_abstract(&guest) ? bind_abstract(request, fd, &guest)
                                    : bind_path(request, fd, &guest);
}

int unix_find_socket(struct pk_request *request, const struct unix_name *guest,
                     struct vfs_actor *actor, struct vfs_place **ret_place)
{
    cleanup_walk struct linux_walk at = {0};
    cleanup_place struct vfs_place *place = NULL;
    char path[sizeof(guest->address.sun_path) + 1];
    int r;

    path_of(guest, path);
    r = linux_walk_text(request, AT_FDCWD, path, 0, &at);
    r = r < 0 ? r : vfs_resolve(request->kernel->vfs, &at.walk, &place);
    if (r < 0)
        return r;
    r = vfs_access(place, W_OK, &at.actor, true);
    if (r < 0 && r != -EROFS) /* a socket is not part of a read-only file system's contents */
        return r;
    if (!S_ISSOCK(vfs_place_type(place)))
        return -ECONNREFUSED;
    *actor = at.actor;
    *ret_place = take_ptr(place);
    return 0;
}

/*
 * The listener's queue is full and the guest wants to wait: a worker does, through an O_PATH
 * descriptor of the socket. A file system that has none to give leaves it at EAGAIN.
 */
static struct pk_answer wait_for_listener(struct pk_request *request, int fd,
                                          struct vfs_place *place, const struct vfs_actor *actor)
{
    cleanup_close int ours = fd;
    struct net_address address = {.local.sun_family = AF_UNIX};
    cleanup_close int path = vfs_open_own_path(place, actor);
    struct stat stat;

    if (path < 0 || fstat(path, &stat) < 0 || !S_ISSOCK(stat.st_mode))
        return pk_error(-EAGAIN);
    io_fd_path(path, address.local.sun_path);
    address.length = sizeof(address.local);
    return net_connect_later(take_fd(&ours), take_fd(&path), &address);
}

struct pk_answer unix_out_of_reach(struct pk_request *request, struct vfs_place *place)
{
    return pk_denied(request, -EACCES, "sockets of the host are out of reach",
                     "show it writable with --bind", "connect to %s", vfs_place_path(place));
}

static struct pk_answer connect_path(struct pk_request *request, int fd,
                                     const struct unix_name *guest)
{
    cleanup_place struct vfs_place *place = NULL;
    cleanup_close int ours = fd;
    struct net_hurry hurry = {.fd = -1};
    struct vfs_actor actor;
    bool blocks = net_blocks(ours);
    int r = unix_find_socket(request, guest, &actor, &place);

    if (r < 0)
        return pk_error(r);
    if (blocks)
        net_begin_hurry(ours, &hurry);
    r = vfs_connect_socket(place, ours, &actor);
    net_end_hurry(&hurry);
    if (net_is_unfinished(r) && blocks)
        return wait_for_listener(request, take_fd(&ours), place, &actor);
    return r == -EXDEV ? unix_out_of_reach(request, place) : pk_value(r);
}

struct pk_answer unix_connect(struct pk_request *request, int fd, const struct net_address *address)
{
    struct net_address host;
    struct unix_name guest;
    int r;

    if (unix_is_datagram(fd)) {
        cleanup_close int ours = fd;

        return unix_connect_datagram(request, ours, address);
    }
    net_note_connector(request, fd);
    if (address->any.sa_family == AF_UNSPEC)
        return net_connect(fd, address);
    r = unix_given_name(request, address, &guest);
    if (r < 0) {
        base_close(fd);
        return pk_error(r);
    }
    if (!unix_is_abstract(&guest))
        return connect_path(request, fd, &guest);
    unix_host_abstract(request, &guest, &host);
    return net_connect(fd, &host);
}

void unix_to_guest(struct pk_request *request, int fd, bool peer, struct net_address *address)
{
    struct unix_name real, guest;
    bool found;

    if (to_name(address, &real) < 0)
        return; /* no name */
    found = guest_name_of(request, peer ? 0 : inode_of(fd), &real, &guest);
    if (found && guest.length)
        to_address(&guest, address);
    else if (found || !unix_is_abstract(&real))
        /* A path of the host that the guest never gave: it is none of its business. */
        *address = (struct net_address){.any.sa_family = AF_UNIX, .length = UNIX_NAME_HEADER};
}

/*
 * AF_UNIX datagram sockets: making, connecting, finding the receiver of a message.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/net-internal.h"

#define TYPE_MASK 0xf /* SOCK_TYPE_MASK */

bool unix_is_datagram(int fd)
{
    return net_type(fd) == SOCK_DGRAM && net_domain(fd) == AF_UNIX;
}

struct pk_answer unix_datagram_socket(struct pk_request *request)
{
    int flags = (int)request->args[1] & ~TYPE_MASK;
    int protocol = (int)request->args[2];
    cleanup_close int fd = -1;
    int r = 0;

    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return pk_error(-EINVAL);
    if (protocol != 0 && protocol != PF_UNIX)
        return pk_error(-EPROTONOSUPPORT);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK), 0);
    if (fd < 0)
        return pk_error(-errno);
    if (!unix_sends_itself(request))
        r = unix_twins_add(linux_state(request->kernel)->twins, fd);
    if (r < 0)
        return pk_error(r);
    return linux_window_descriptor(request, take_fd(&fd), flags & SOCK_CLOEXEC ? O_CLOEXEC : 0);
}

int unix_sender(struct pk_request *request, int fd, struct unix_twin **ret_twin)
{
    struct unix_twin *twin = NULL;
    struct stat stat;
    int sender;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (!unix_sends_itself(request))
        twin = unix_twins_find(linux_state(request->kernel)->twins, stat.st_ino);
    sender = fcntl(twin ? twin->fd : fd, F_DUPFD_CLOEXEC, 0);
    if (sender < 0)
        return -errno;
    *ret_twin = twin;
    return sender;
}

/* A socket that is connected takes messages of its peer only; that holds for those with a twin. */
static int check_receiver(const struct unix_twin *sender, const struct unix_twin *receiver)
{
    if (receiver == NULL || receiver->peer == 0)
        return 0;
    return sender && receiver->peer == sender->inode ? 0 : -EPERM;
}

int unix_check_peer(struct pk_request *request, const struct unix_twin *sender)
{
    const struct unix_twins *twins = linux_state(request->kernel)->twins;

    if (sender->peer == 0)
        return -ENOTCONN;
    return check_receiver(sender, unix_twins_find(twins, sender->peer));
}

static struct unix_twin *twin_of_peer(struct pk_request *request, int fd)
{
    struct unix_name real = {.length = UNIX_NAME_MAX};

    if (getpeername(fd, (struct sockaddr *)&real, &real.length) < 0)
        return NULL;
    return unix_twins_named(linux_state(request->kernel)->twins, &real);
}

/*
 * The VFS decides whether the guest may send there when it connects a socket, so one is connected
 * for the answer. That it is not the receiver's own peer (EPERM) says nothing about the guest's.
 */
static int ask_vfs(struct pk_request *request, struct vfs_place *place,
                   const struct vfs_actor *actor, struct unix_goal *goal)
{
    cleanup_close int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r = probe < 0 ? -errno : vfs_connect_socket(place, probe, actor);

    if (r < 0 && r != -EPERM)
        return r;
    goal->twin = r == 0 ? twin_of_peer(request, probe) : NULL;
    goal->path_fd = vfs_open_own_path(place, actor);
    if (goal->path_fd < 0)
        return -ECONNREFUSED;
    goal->address =
        (struct net_address){.local.sun_family = AF_UNIX, .length = sizeof(goal->address.local)};
    io_fd_path(goal->path_fd, goal->address.local.sun_path);
    return 0;
}

static int find_path(struct pk_request *request, const struct unix_name *name,
                     struct unix_goal *goal, struct pk_answer *ret_refusal)
{
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_actor actor;
    int r = unix_find_socket(request, name, &actor, &place);

    r = r < 0 ? r : ask_vfs(request, place, &actor, goal);
    if (r < 0)
        *ret_refusal = r == -EXDEV ? unix_out_of_reach(request, place) : pk_error(r);
    return r;
}

static void find_abstract(struct pk_request *request, const struct unix_name *name,
                          struct unix_goal *goal)
{
    struct unix_name real = {.length = 0};

    unix_host_abstract(request, name, &goal->address);
    memcpy(&real, &goal->address.local, goal->address.length);
    real.length = goal->address.length;
    goal->twin = unix_twins_named(linux_state(request->kernel)->twins, &real);
}

int unix_find_goal(struct pk_request *request, const struct unix_twin *sender,
                   const struct net_address *address, struct unix_goal *ret_goal,
                   struct pk_answer *ret_refusal)
{
    struct unix_goal goal = {.path_fd = -1};
    struct unix_name name;
    int r = unix_given_name(request, address, &name);

    if (r < 0) {
        *ret_refusal = pk_error(r);
        return r;
    }
    if (unix_is_abstract(&name))
        find_abstract(request, &name, &goal);
    else
        r = find_path(request, &name, &goal, ret_refusal);
    if (r < 0)
        return r;
    r = check_receiver(sender, goal.twin);
    if (r < 0) {
        base_close(goal.path_fd);
        *ret_refusal = pk_error(r);
        return r;
    }
    *ret_goal = goal;
    return 0;
}

static struct pk_answer disconnect(int sender, struct unix_twin *twin)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (connect(sender, &nobody, sizeof(nobody)) < 0)
        return pk_error(-errno);
    if (twin)
        twin->peer = 0;
    return pk_value(0);
}

struct pk_answer unix_connect_datagram(struct pk_request *request, int fd,
                                       const struct net_address *address)
{
    struct unix_twin *twin;
    cleanup_close int sender = unix_sender(request, fd, &twin);
    struct pk_answer refusal;
    struct unix_goal goal;
    int r;

    if (sender < 0)
        return pk_error(sender);
    if (address->any.sa_family == AF_UNSPEC)
        return disconnect(sender, twin);
    if (unix_find_goal(request, twin, address, &goal, &refusal) < 0)
        return refusal;
    r = connect(sender, &goal.address.any, goal.address.length) < 0 ? -errno : 0;
    base_close(goal.path_fd);
    if (r == 0 && twin)
        twin->peer = goal.twin ? goal.twin->inode : UNIX_STRANGER;
    return pk_value(r);
}

/*
 * Who gets SIGIO and SIGURG of a descriptor: only members of the tree.
 */
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>

#include "base/cleanup.h"
#include "linux/process-internal.h"

static const char rule[] = "signals only reach processes of the same process kernel";

static struct pk_answer refuse(struct pk_request *request, pid_t id)
{
    return pk_denied(request, -EPERM, rule, "it is never allowed", "SIGIO to process or group %d",
                     id);
}

static bool is_allowed(struct pk_kernel *kernel, int type, pid_t id)
{
    if (id == 0)
        return true;
    return type == F_OWNER_PGRP ? process_group_is_ours(kernel, id) : pk_pid_is_ours(kernel, id);
}

/* A positive number is a process, a negative one a group. */
static void read_plain(int number, struct f_owner_ex *ret_owner)
{
    if (number < 0)
        *ret_owner = (struct f_owner_ex){.type = F_OWNER_PGRP, .pid = -number};
    else
        *ret_owner = (struct f_owner_ex){.type = F_OWNER_PID, .pid = number};
}

/* The owner is in guest memory: it is set on a copy, on a duplicate of the descriptor. */
static struct pk_answer set_copied(struct pk_request *request, const struct f_owner_ex *owner)
{
    cleanup_close int fd = pk_get_fd(request, (int)request->args[0]);

    if (fd < 0)
        return pk_error(fd);
    if (!is_allowed(request->kernel, owner->type, owner->pid))
        return refuse(request, owner->pid);
    return pk_value(fcntl(fd, F_SETOWN_EX, owner) < 0 ? -errno : 0);
}

static struct pk_answer set_by_ioctl(struct pk_request *request)
{
    struct f_owner_ex owner;
    int number;
    int r = pk_read(request, request->args[2], &number, sizeof(number));

    if (r < 0)
        return pk_error(r);
    read_plain(number, &owner);
    return set_copied(request, &owner);
}

static struct pk_answer set_by_fcntl(struct pk_request *request)
{
    struct f_owner_ex owner;
    int r;

    switch ((int)request->args[1]) {
    case F_SETSIG: /* which signal; whom it reaches is checked when the owner is set */
        return pk_native();
    case F_SETOWN:
        read_plain((int)request->args[2], &owner);
        return is_allowed(request->kernel, owner.type, owner.pid) ? pk_native()
                                                                  : refuse(request, owner.pid);
    case F_SETOWN_EX:
        r = pk_read(request, request->args[2], &owner, sizeof(owner));
        return r < 0 ? pk_error(r) : set_copied(request, &owner);
    default:
        return pk_error(-EINVAL);
    }
}

struct pk_answer linux_set_owner(struct pk_request *request)
{
    uint32_t command = (uint32_t)request->args[1];

    if (request->nr == ABI_NR_fcntl)
        return set_by_fcntl(request);
    if (request->nr == ABI_NR_ioctl && (command == FIOSETOWN || command == SIOCSPGRP))
        return set_by_ioctl(request);
    return pk_error(-EINVAL);
}

/*
 * Acting on the host with a task's rights.
 *
 * Where real root runs us and its guest has given up rights (setuid to a user, dropped
 * capabilities), the host must judge the guest's own operations by what the guest is: the thread
 * takes over file system ids, groups and capabilities for the one operation. Real and effective
 * ids stay root's, so it always finds its way back.
 *
 * The host forgets the parent-death signal of a thread that changes its ids; it is set again, and
 * raised where the parent died in that moment.
 */
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs/host-internal.h"

/* capset(2) in its 64-bit form. */
static int set_effective(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective = (uint32_t)(effective >> 32 * i);
        data[i].permitted = (uint32_t)(permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
    }
    return (int)syscall(SYS_capset, &header, data);
}

static bool get_capabilities(struct host_self *self)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        self->effective |= (uint64_t)data[i].effective << 32 * i;
        self->permitted |= (uint64_t)data[i].permitted << 32 * i;
        self->inheritable |= (uint64_t)data[i].inheritable << 32 * i;
    }
    return true;
}

void host_self_init(struct vfs *vfs)
{
    const struct pk_kernel *kernel = vfs->kernel;
    struct host_self *self = &vfs->self;
    uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
    int count;

    /* With ids that are made up (--uid), the host knows nobody by them. */
    if (kernel->host_identity.euid != 0 || kernel->config.identity.uid != 0 ||
        kernel->host_identity.uid != 0 || !get_capabilities(self))
        return;
    count = getgroups(PK_GROUPS_MAX, self->groups);
    if ((self->effective & needed) != needed || count < 0)
        return; /* more groups than that: they could not be put back */
    self->group_count = (unsigned)count;
    self->gid = kernel->host_identity.egid;
    self->can_act = true;
}

/* With all our capabilities, groups make no difference. */
static bool is_like_us(const struct host_self *self, const struct pk_identity *identity)
{
    return identity->fsuid == 0 && identity->fsgid == self->gid &&
           (identity->effective & self->effective) == self->effective;
}

/* setfsuid(2) and setfsgid(2) report no failure: an id may not exist in our user namespace. */
static bool take_ids(const struct pk_identity *identity)
{
    if (syscall(SYS_setgroups, identity->group_count, identity->groups) < 0)
        return false;
    syscall(SYS_setfsgid, identity->fsgid);
    syscall(SYS_setfsuid, identity->fsuid);
    return (gid_t)syscall(SYS_setfsgid, -1) == identity->fsgid &&
           (uid_t)syscall(SYS_setfsuid, -1) == identity->fsuid;
}

static void go_back(const struct host_acting *acting)
{
    const struct host_self *self = acting->self;

    set_effective(self->effective, self->permitted, self->inheritable);
    syscall(SYS_setfsuid, 0);
    syscall(SYS_setfsgid, self->gid);
    syscall(SYS_setgroups, self->group_count, self->groups);
    /* Back from other ids, the host has given back more than we had. */
    set_effective(self->effective, self->permitted, self->inheritable);
    if (acting->death_signal == 0)
        return;
    prctl(PR_SET_PDEATHSIG, acting->death_signal);
    if (getppid() != acting->parent)
        kill(getpid(), acting->death_signal);
}

struct host_acting host_act_slowly(const struct vfs *vfs, const struct vfs_actor *actor)
{
    const struct host_self *self = &vfs->self;
    const struct pk_identity *identity = actor->identity;
    struct host_acting acting = {0};

    if (is_like_us(self, identity))
        return acting;
    acting.parent = getppid();
    prctl(PR_GET_PDEATHSIG, &acting.death_signal);
    acting.self = self;
    if (take_ids(identity) && set_effective(identity->effective & self->permitted, self->permitted,
                                            self->inheritable) == 0)
        return acting;
    go_back(&acting);
    acting.self = NULL;
    return acting;
}

void host_act_end(struct host_acting *acting)
{
    if (acting->self)
        go_back(acting);
}

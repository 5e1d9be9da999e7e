/*
 * The calls of identity.h. The rules are applied to virtual ids in the context; the host's ids of a
 * guest never change, since the process kernel could not reach it any more.
 *
 * Differences from Linux: ids and capabilities belong to the process, not to the thread (the C
 * libraries change them for all threads anyway), and a process has at most PK_GROUPS_MAX groups.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/identity.h"
#include "linux/linux-internal.h"

/* setgroups(2) of Linux refuses more (NGROUPS_MAX). */
#define GROUPS_LIMIT 65536

static bool same_ids(const struct pk_identity *a, const struct pk_identity *b)
{
    return a->uid == b->uid && a->euid == b->euid && a->suid == b->suid && a->gid == b->gid &&
           a->egid == b->egid && a->sgid == b->sgid;
}

/*
 * Makes a changed identity that of the process. Without virtual identity getuid() and its kind are
 * native and could not show a change; since nobody but root can change to foreign ids and root has
 * virtual ones, only a set-user-ID start of Cerebro itself gets here.
 */
static struct pk_answer adopt(struct pk_request *request, const struct pk_identity *identity)
{
    struct pk_context *context;

    if (memcmp(identity, &request->context->identity, sizeof(*identity)) == 0)
        return pk_value(0);
    if (!request->kernel->config.virtual_identity &&
        !same_ids(identity, &request->context->identity))
        return pk_denied(request, -EPERM, "the guest has the ids of its user", "run with --uid",
                         "change of user or group");
    context = linux_copy_context(request);
    if (context == NULL)
        return pk_error(-ENOMEM);
    context->identity = *identity;
    return linux_adopt(request, context);
}

/* Ends a call that computed a new identity, or an error. */
static struct pk_answer conclude(struct pk_request *request, const struct pk_identity *identity,
                                 int r)
{
    return r < 0 ? pk_error(r) : adopt(request, identity);
}

static struct pk_answer do_getuid(struct pk_request *request)
{
    return pk_value(request->context->identity.uid);
}

static struct pk_answer do_geteuid(struct pk_request *request)
{
    return pk_value(request->context->identity.euid);
}

static struct pk_answer do_getgid(struct pk_request *request)
{
    return pk_value(request->context->identity.gid);
}

static struct pk_answer do_getegid(struct pk_request *request)
{
    return pk_value(request->context->identity.egid);
}

static struct pk_answer write_ids(struct pk_request *request, const uint32_t ids[3])
{
    for (unsigned i = 0; i < 3; i++) {
        int r = pk_write(request, request->args[i], &ids[i], sizeof(ids[i]));

        if (r < 0)
            return pk_error(r);
    }
    return pk_value(0);
}

static struct pk_answer do_getresuid(struct pk_request *request)
{
    const struct pk_identity *id = &request->context->identity;

    return write_ids(request, (uint32_t[]){id->uid, id->euid, id->suid});
}

static struct pk_answer do_getresgid(struct pk_request *request)
{
    const struct pk_identity *id = &request->context->identity;

    return write_ids(request, (uint32_t[]){id->gid, id->egid, id->sgid});
}

static struct pk_answer do_setuid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    return conclude(request, &id, identity_setuid(&id, (uid_t)request->args[0]));
}

static struct pk_answer do_setgid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    return conclude(request, &id, identity_setgid(&id, (gid_t)request->args[0]));
}

static struct pk_answer do_setreuid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    const uint64_t *args = request->args;

    return conclude(request, &id, identity_setreuid(&id, (uid_t)args[0], (uid_t)args[1]));
}

static struct pk_answer do_setregid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    const uint64_t *args = request->args;

    return conclude(request, &id, identity_setregid(&id, (gid_t)args[0], (gid_t)args[1]));
}

static struct pk_answer do_setresuid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    const uint64_t *args = request->args;
    int r = identity_setresuid(&id, (uid_t)args[0], (uid_t)args[1], (uid_t)args[2]);

    return conclude(request, &id, r);
}

static struct pk_answer do_setresgid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    const uint64_t *args = request->args;
    int r = identity_setresgid(&id, (gid_t)args[0], (gid_t)args[1], (gid_t)args[2]);

    return conclude(request, &id, r);
}

static struct pk_answer do_setfsuid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    uid_t old = identity_setfsuid(&id, (uid_t)request->args[0]);

    adopt(request, &id); /* the call cannot fail: what could not be changed stays */
    return pk_value(old);
}

static struct pk_answer do_setfsgid(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    gid_t old = identity_setfsgid(&id, (gid_t)request->args[0]);

    adopt(request, &id);
    return pk_value(old);
}

static struct pk_answer do_getgroups(struct pk_request *request)
{
    const struct pk_identity *id = &request->context->identity;
    int size = (int)request->args[0];
    int r;

    if (size < 0)
        return pk_error(-EINVAL);
    if (size == 0)
        return pk_value(id->group_count);
    if (id->group_count > (unsigned)size)
        return pk_error(-EINVAL);
    r = pk_write(request, request->args[1], id->groups, id->group_count * sizeof(gid_t));
    return r < 0 ? pk_error(r) : pk_value(id->group_count);
}

static struct pk_answer do_setgroups(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    gid_t groups[PK_GROUPS_MAX];
    uint32_t count = (uint32_t)request->args[0];
    int r;

    if (!identity_capable(&id, CAP_SETGID))
        return pk_error(-EPERM);
    if (count > PK_GROUPS_MAX) {
        if (count <= GROUPS_LIMIT)
            pk_note(request, "more than %d groups are not supported", PK_GROUPS_MAX);
        return pk_error(-EINVAL);
    }
    r = pk_read(request, request->args[1], groups, count * sizeof(gid_t));
    return conclude(request, &id, r < 0 ? r : identity_setgroups(&id, groups, count));
}

/* ---- capget, capset: <linux/capability.h> ---- */

static uint64_t join(uint32_t low, uint32_t high)
{
    return low | (uint64_t)high << 32;
}

/*
 * Reads the header. Returns the number of data structures of its version, or a negative errno; an
 * unknown version is answered with the preferred one in the header.
 */
static int read_header(struct pk_request *request, struct __user_cap_header_struct *header)
{
    uint32_t preferred = _LINUX_CAPABILITY_VERSION_3;
    int r = pk_read(request, request->args[0], header, sizeof(*header));

    if (r < 0)
        return r;
    switch (header->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        return _LINUX_CAPABILITY_U32S_1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        return _LINUX_CAPABILITY_U32S_3;
    default:
        r = pk_write(request, request->args[0], &preferred, sizeof(preferred));
        return r < 0 ? r : -EINVAL;
    }
}

static const struct pk_identity *identity_of(struct pk_request *request, int pid)
{
    const struct pk_context *context;

    if (pid == 0 || pid == request->task->tid || pid == request->task->process->pid)
        return &request->context->identity;
    context = linux_context_of(request->kernel, pid);
    return context ? &context->identity : NULL;
}

static struct pk_answer do_capget(struct pk_request *request)
{
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct __user_cap_header_struct header;
    const struct pk_identity *id;
    int count = read_header(request, &header);

    if (request->args[1] == 0 && (count >= 0 || count == -EINVAL))
        return pk_value(0); /* asking for the preferred version, or whether this one is known */
    if (count < 0)
        return pk_error(count);
    if (header.pid < 0)
        return pk_error(-EINVAL);
    id = identity_of(request, header.pid);
    if (id == NULL)
        return pk_error(-ESRCH);
    for (int i = 0; i < count; i++) {
        data[i].effective = (uint32_t)(id->effective >> 32 * i);
        data[i].permitted = (uint32_t)(id->permitted >> 32 * i);
        data[i].inheritable = (uint32_t)(id->inheritable >> 32 * i);
    }
    return pk_value(pk_write(request, request->args[1], data, (size_t)count * sizeof(data[0])));
}

static struct pk_answer do_capset(struct pk_request *request)
{
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct pk_identity id = request->context->identity;
    struct __user_cap_header_struct header;
    int count = read_header(request, &header);
    int r;

    if (count < 0)
        return pk_error(count);
    if (header.pid != 0 && header.pid != request->task->tid)
        return pk_error(-EPERM);
    r = pk_read(request, request->args[1], data, (size_t)count * sizeof(data[0]));
    if (r < 0)
        return pk_error(r);
    r = identity_capset(&id, join(data[0].effective, data[1].effective),
                        join(data[0].permitted, data[1].permitted),
                        join(data[0].inheritable, data[1].inheritable));
    return conclude(request, &id, r);
}

int linux_register_identity(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_getuid, do_getuid},       {ABI_NR_geteuid, do_geteuid},
        {ABI_NR_getgid, do_getgid},       {ABI_NR_getegid, do_getegid},
        {ABI_NR_getresuid, do_getresuid}, {ABI_NR_getresgid, do_getresgid},
        {ABI_NR_setuid, do_setuid},       {ABI_NR_setgid, do_setgid},
        {ABI_NR_setreuid, do_setreuid},   {ABI_NR_setregid, do_setregid},
        {ABI_NR_setresuid, do_setresuid}, {ABI_NR_setresgid, do_setresgid},
        {ABI_NR_setfsuid, do_setfsuid},   {ABI_NR_setfsgid, do_setfsgid},
        {ABI_NR_getgroups, do_getgroups}, {ABI_NR_setgroups, do_setgroups},
        {ABI_NR_capget, do_capget},       {ABI_NR_capset, do_capset},
        {ABI_NR_prctl, linux_prctl},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    return 0;
}

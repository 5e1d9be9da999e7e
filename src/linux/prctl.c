/*
 * prctl(2): the options that are not the host's to answer. The filter lets harmless ones pass;
 * what it does not know arrives here and is answered as by a kernel without that option.
 */
#include <errno.h>
#include <linux/prctl.h>

#include "base/cleanup.h"
#include "linux/identity.h"
#include "linux/linux-internal.h"

static struct pk_answer adopt(struct pk_request *request, const struct pk_identity *identity)
{
    struct pk_context *context = linux_copy_context(request);

    if (context == NULL)
        return pk_error(-ENOMEM);
    context->identity = *identity;
    return linux_adopt(request, context);
}

static struct pk_answer conclude(struct pk_request *request, const struct pk_identity *identity,
                                 int r)
{
    return r < 0 ? pk_error(r) : adopt(request, identity);
}

static struct pk_answer get_dumpable(struct pk_request *request)
{
    return pk_value(request->context->identity.dumpable);
}

/* Never told to the host: the process kernel would lose its sight of the guest's memory. */
static struct pk_answer set_dumpable(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    if (request->args[1] > 1)
        return pk_error(-EINVAL);
    id.dumpable = request->args[1];
    return adopt(request, &id);
}

static struct pk_answer get_keepcaps(struct pk_request *request)
{
    /* SECURE_KEEP_CAPS is bit 4 */
    return pk_value(request->context->identity.securebits >> 4 & 1);
}

static struct pk_answer set_keepcaps(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    return conclude(request, &id, identity_set_keepcaps(&id, request->args[1]));
}

static struct pk_answer get_securebits(struct pk_request *request)
{
    return pk_value(request->context->identity.securebits);
}

static struct pk_answer set_securebits(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    return conclude(request, &id, identity_set_securebits(&id, request->args[1]));
}

static struct pk_answer read_bounding(struct pk_request *request)
{
    if (request->args[1] > IDENTITY_LAST_CAP)
        return pk_error(-EINVAL);
    return pk_value(request->context->identity.bounding >> request->args[1] & 1);
}

static struct pk_answer drop_bounding(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    return conclude(request, &id, identity_drop_bounding(&id, request->args[1]));
}

static struct pk_answer ambient(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;
    int r;

    if (request->args[3] || request->args[4])
        return pk_error(-EINVAL);
    r = identity_ambient(&id, request->args[1], request->args[2]);
    if (r < 0 || request->args[1] == PR_CAP_AMBIENT_IS_SET)
        return pk_value(r);
    return adopt(request, &id);
}

static struct pk_answer set_no_new_privs(struct pk_request *request)
{
    struct pk_identity id = request->context->identity;

    if (request->args[1] != 1 || request->args[2] || request->args[3] || request->args[4])
        return pk_error(-EINVAL);
    id.no_new_privs = true;
    return adopt(request, &id);
}

static struct pk_answer get_no_new_privs(struct pk_request *request)
{
    if (request->args[1] || request->args[2] || request->args[3] || request->args[4])
        return pk_error(-EINVAL);
    return pk_value(request->context->identity.no_new_privs);
}

static struct pk_answer get_seccomp(struct pk_request *request)
{
    (void)request;
    return pk_value(0); /* the guest has no filter of its own */
}

/* As a kernel without seccomp filters; see do_seccomp() in process.c. */
static struct pk_answer set_seccomp(struct pk_request *request)
{
    return linux_denied_quietly(request, -EINVAL, "a guest cannot install seccomp filters",
                                "prctl(PR_SET_SECCOMP)");
}

static struct pk_answer set_mm(struct pk_request *request)
{
    return linux_denied_quietly(request, -EPERM, "needs CAP_SYS_RESOURCE on the host",
                                "prctl(PR_SET_MM)");
}

/* ptrace is refused altogether, so whom a process would let trace it makes no difference. */
static struct pk_answer set_ptracer(struct pk_request *request)
{
    (void)request;
    return pk_value(0);
}

struct pk_answer linux_prctl(struct pk_request *request)
{
    static const struct {
        uint32_t option;
        pk_handler handler;
    } options[] = {
        {PR_GET_DUMPABLE, get_dumpable},
        {PR_SET_DUMPABLE, set_dumpable},
        {PR_GET_KEEPCAPS, get_keepcaps},
        {PR_SET_KEEPCAPS, set_keepcaps},
        {PR_GET_SECUREBITS, get_securebits},
        {PR_SET_SECUREBITS, set_securebits},
        {PR_CAPBSET_READ, read_bounding},
        {PR_CAPBSET_DROP, drop_bounding},
        {PR_CAP_AMBIENT, ambient},
        {PR_SET_NO_NEW_PRIVS, set_no_new_privs},
        {PR_GET_NO_NEW_PRIVS, get_no_new_privs},
        {PR_GET_SECCOMP, get_seccomp},
        {PR_SET_SECCOMP, set_seccomp},
        {PR_SET_MM, set_mm},
        {PR_SET_PTRACER, set_ptracer},
    };

    for (size_t i = 0; i < array_length(options); i++)
        if (options[i].option == (uint32_t)request->args[0])
            return options[i].handler(request);
    pk_note(request, "not supported");
    return pk_error(-EINVAL);
}

/*
 * lsm_list_modules(2) and the attributes of security modules. Those of the host label its
 * processes, not a guest's. What a guest is under are capabilities, which every Linux lists.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/linux-internal.h"

/* include/uapi/linux/lsm.h of Linux 6.8 */
#define ID_CAPABILITY 100
#define FLAG_SINGLE   1
#define CONTEXT_SIZE  32 /* struct lsm_ctx without its text */

static struct pk_answer do_list(struct pk_request *request)
{
    static const uint64_t modules[] = {ID_CAPABILITY};
    uint32_t size, needed = sizeof(modules);
    int r;

    if ((uint32_t)request->args[2])
        return pk_error(-EINVAL);
    r = pk_read(request, request->args[1], &size, sizeof(size));
    if (r == 0)
        r = pk_write(request, request->args[1], &needed, sizeof(needed));
    if (r == 0 && size < needed)
        r = -E2BIG;
    if (r == 0)
        r = pk_write(request, request->args[0], modules, sizeof(modules));
    return pk_value(r < 0 ? r : (int64_t)array_length(modules));
}

/* No module has such an attribute. */
static struct pk_answer do_get(struct pk_request *request)
{
    uint32_t size, none = 0;
    uint32_t flags = (uint32_t)request->args[3];
    int r;

    if ((uint32_t)request->args[0] == 0 || request->args[2] == 0 || flags & ~(uint32_t)FLAG_SINGLE)
        return pk_error(-EINVAL);
    r = pk_read(request, request->args[2], &size, sizeof(size));
    if (r == 0 && flags && request->args[1] == 0)
        r = -EINVAL;
    if (r == 0)
        r = pk_write(request, request->args[2], &none, sizeof(none));
    return pk_error(r < 0 ? r : -EOPNOTSUPP);
}

static struct pk_answer do_set(struct pk_request *request)
{
    uint32_t size = (uint32_t)request->args[2];
    unsigned char context[CONTEXT_SIZE];

    if ((uint32_t)request->args[3] || size < sizeof(context))
        return pk_error(-EINVAL);
    if (size > (uint32_t)sysconf(_SC_PAGESIZE))
        return pk_error(-E2BIG);
    if (pk_read(request, request->args[1], context, sizeof(context)) < 0)
        return pk_error(-EFAULT);
    return pk_error(-EOPNOTSUPP);
}

void linux_register_lsm(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_lsm_list_modules, do_list},
        {ABI_NR_lsm_get_self_attr, do_get},
        {ABI_NR_lsm_set_self_attr, do_set},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

/* The names of system calls, for programs and bindings that have no table of their own. */
#include <errno.h>
#include <stddef.h>

#include "abi/syscalls.h"
#include "api/api-internal.h"

PK_API int pk_syscall_number(const char *name)
{
    const struct abi_syscall *record = name ? abi_syscall_by_name(name) : NULL;

    if (record == NULL)
        return api_fail(EINVAL, "see: cerebro syscalls", "there is no system call '%s'",
                        name ? name : "");
    return record->nr;
}

PK_API const char *pk_syscall_name(int syscall_nr)
{
    const struct abi_syscall *record = abi_syscall_by_nr(syscall_nr);

    return record ? record->name : NULL;
}

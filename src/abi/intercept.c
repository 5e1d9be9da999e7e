#include "abi/syscalls.h"
#include "base/cleanup.h"

bool abi_may_intercept(int nr)
{
    static const int never[] = {ABI_NR_close,        ABI_NR_fork,           ABI_NR_vfork,
                                ABI_NR_clone,        ABI_NR_clone3,         ABI_NR_wait4,
                                ABI_NR_waitid,       ABI_NR_exit,           ABI_NR_exit_group,
                                ABI_NR_rt_sigreturn, ABI_NR_restart_syscall};

    for (size_t i = 0; i < array_length(never); i++)
        if (never[i] == nr)
            return false;
    return nr >= 0 && nr <= ABI_NR_MAX;
}

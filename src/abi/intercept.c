#include "abi/syscalls.h"
#include "base/cleanup.h"

static bool is_among(int nr, const int *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (numbers[i] == nr)
            return true;
    return false;
}

bool abi_may_intercept(int nr)
{
    static const int never[] = {ABI_NR_close,        ABI_NR_fork,           ABI_NR_vfork,
                                ABI_NR_clone,        ABI_NR_clone3,         ABI_NR_wait4,
                                ABI_NR_waitid,       ABI_NR_exit,           ABI_NR_exit_group,
                                ABI_NR_rt_sigreturn, ABI_NR_restart_syscall};

    return nr >= 0 && nr <= ABI_NR_MAX && !is_among(nr, never, array_length(never));
}

bool abi_is_in_vdso(int nr)
{
    static const int there[] = {ABI_NR_clock_gettime, ABI_NR_gettimeofday, ABI_NR_time,
                                ABI_NR_clock_getres, ABI_NR_getcpu};

    return is_among(nr, there, array_length(there));
}

bool abi_may_deny(int nr)
{
    /* What the loader calls, ends, signal return, and the call in which threads are parked. */
    static const int never[] = {
        ABI_NR_mmap, ABI_NR_mprotect,   ABI_NR_close,        ABI_NR_prctl,           ABI_NR_mseal,
        ABI_NR_exit, ABI_NR_exit_group, ABI_NR_rt_sigreturn, ABI_NR_restart_syscall, ABI_NR_pause};

    return abi_syscall_by_nr(nr) && !is_among(nr, never, array_length(never));
}

bool abi_may_inject(int nr)
{
    return abi_syscall_by_nr(nr) && abi_may_intercept(nr) && nr != ABI_NR_pause;
}

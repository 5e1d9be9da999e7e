#include "linux/signal-target.h"

#include <errno.h>
#include <limits.h>

int signal_target(pid_t argument, pid_t caller, pid_t caller_group, struct signal_target *ret)
{
    if (argument == INT_MIN)
        return -ESRCH;
    if (argument == caller)
        *ret = (struct signal_target){SIGNAL_SELF, caller};
    else if (argument > 0)
        *ret = (struct signal_target){SIGNAL_PROCESS, argument};
    else if (argument == 0)
        *ret = (struct signal_target){SIGNAL_GROUP, caller_group};
    else if (argument == -1)
        *ret = (struct signal_target){SIGNAL_ALL, 0};
    else
        *ret = (struct signal_target){SIGNAL_GROUP, -argument};
    return 0;
}

bool signal_target_includes(const struct signal_target *target, pid_t caller, pid_t pid,
                            pid_t group)
{
    switch (target->scope) {
    case SIGNAL_SELF:
        return pid == caller;
    case SIGNAL_PROCESS:
        return pid == target->id;
    case SIGNAL_GROUP:
        return group == target->id;
    case SIGNAL_ALL:
        return pid != caller;
    }
    return false;
}

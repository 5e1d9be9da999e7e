/*
 * What the machine is called, how large it is, and what its clock does.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/cleanup.h"
#include "linux/linux-internal.h"

static struct pk_answer do_uname(struct pk_request *request)
{
    struct linux_state *state = linux_state(request->kernel);
    struct utsname name;

    if (uname(&name) < 0)
        return pk_error(-errno);
    snprintf(name.nodename, sizeof(name.nodename), "%s", state->hostname);
    snprintf(name.domainname, sizeof(name.domainname), "%s", state->domainname);
    snprintf(name.machine, sizeof(name.machine), "x86_64");
    return pk_value(pk_write(request, request->args[0], &name, sizeof(name)));
}

static struct pk_answer set_name(struct pk_request *request, char name[LINUX_NAME_MAX + 1])
{
    char text[LINUX_NAME_MAX + 1] = "";
    int length = (int)request->args[1];
    int r;

    if (!linux_capable(request, CAP_SYS_ADMIN))
        return pk_error(-EPERM);
    if (length < 0 || length > LINUX_NAME_MAX)
        return pk_error(-EINVAL);
    r = pk_read(request, request->args[0], text, (size_t)length);
    if (r == 0)
        memcpy(name, text, sizeof(text));
    return pk_value(r);
}

static struct pk_answer do_sethostname(struct pk_request *request)
{
    return set_name(request, linux_state(request->kernel)->hostname);
}

static struct pk_answer do_setdomainname(struct pk_request *request)
{
    return set_name(request, linux_state(request->kernel)->domainname);
}

static int count_process(pid_t pid, void *user)
{
    unsigned *count = user;

    (void)pid;
    ++*count;
    return 0;
}

/* Makes the machine as small as the guest's limit, all in units of a byte then. */
static void apply_memory_limit(struct sysinfo *info, uint64_t limit)
{
    uint64_t unit = info->mem_unit ? info->mem_unit : 1;
    uint64_t pages = limit / unit;

    if (limit == 0 || pages >= info->totalram)
        return;
    info->totalram = pages;
    if (info->freeram > pages)
        info->freeram = pages;
    info->totalswap = 0;
    info->freeswap = 0;
    info->bufferram = 0;
    info->sharedram = 0;
}

static struct pk_answer do_sysinfo(struct pk_request *request)
{
    struct sysinfo info;
    unsigned processes = 0;

    if (sysinfo(&info) < 0)
        return pk_error(-errno);
    pk_for_each_process(request->kernel, count_process, &processes);
    info.procs = (unsigned short)(processes < 65535 ? processes : 65535);
    apply_memory_limit(&info, request->kernel->config.limits.memory);
    return pk_value(pk_write(request, request->args[0], &info, sizeof(info)));
}

/* Modes that only read: none, and the old adjtime() query. */
static bool only_reads(unsigned modes)
{
    return modes == 0 || modes == ADJ_OFFSET_SS_READ;
}

static struct pk_answer adjust_clock(struct pk_request *request, clockid_t clock, uint64_t address)
{
    struct timex timex;
    int r = pk_read(request, address, &timex, sizeof(timex));
    int state;

    if (r < 0)
        return pk_error(r);
    if (!only_reads(timex.modes))
        return pk_denied(request, -EPERM, "the clock is the host's", "it is never allowed",
                         "setting the clock");
    state = clock_adjtime(clock, &timex);
    if (state < 0)
        return pk_error(-errno);
    r = pk_write(request, address, &timex, sizeof(timex));
    return pk_value(r < 0 ? r : state);
}

static struct pk_answer do_adjtimex(struct pk_request *request)
{
    return adjust_clock(request, CLOCK_REALTIME, request->args[0]);
}

static struct pk_answer do_clock_adjtime(struct pk_request *request)
{
    /* Negative clocks are descriptors of the caller, which would be others here. */
    if ((clockid_t)request->args[0] < 0)
        return pk_error(-EINVAL);
    return adjust_clock(request, (clockid_t)request->args[0], request->args[1]);
}

int linux_register_system(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_uname, do_uname},
        {ABI_NR_sethostname, do_sethostname},
        {ABI_NR_setdomainname, do_setdomainname},
        {ABI_NR_sysinfo, do_sysinfo},
        {ABI_NR_adjtimex, do_adjtimex},
        {ABI_NR_clock_adjtime, do_clock_adjtime},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    linux_register_limits(kernel);
    return 0;
}

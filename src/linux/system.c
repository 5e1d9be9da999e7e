/*
 * What the machine is called, how large it is, and what its clock does.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "linux/linux-internal.h"

#define MODE_ADJTIME 0x8000 /* ADJ_ADJTIME of <linux/timex.h> */
#define USEC_PER_SEC 1000000
#define NSEC_PER_SEC 1000000000

/* personality(2) of a thread; as for plain Linux programs when it cannot be read. */
static unsigned long personality_of(pid_t tid)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/personality", tid);
    if (io_read_file(AT_FDCWD, path, 64, &text) < 0)
        return PER_LINUX;
    return strtoul(strbuf_text(&text), NULL, 16);
}

/* 6.18.1-x as 2.6.78-x: programs that cannot read a 3 (override_release() in kernel/sys.c). */
static void age_release(char *release, size_t size)
{
    char *rest = release;
    unsigned long major = strtoul(rest, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, &rest, 10) : 0;
    char aged[sizeof(((struct utsname *)0)->release)];
    size_t digits = strspn(rest, ".0123456789");

    snprintf(aged, sizeof(aged), "2.6.%lu%.40s", minor + (major > 3 ? 60 : 40), rest + digits);
    memset(release, 0, size);
    snprintf(release, size, "%s", aged);
}

/* A process that has asked for another personality sees another system. */
static void adapt_to_personality(const struct pk_request *request, struct utsname *name)
{
    unsigned long persona;

    if (!linux_state(request->kernel)->personality_used)
        return;
    persona = personality_of(request->task->tid);
    if ((persona & PER_MASK) == PER_LINUX32) {
        memset(name->machine, 0, sizeof(name->machine));
        snprintf(name->machine, sizeof(name->machine), "i686");
    }
    if (persona & UNAME26)
        age_release(name->release, sizeof(name->release));
}

static struct pk_answer do_uname(struct pk_request *request)
{
    struct linux_state *state = linux_state(request->kernel);
    struct utsname name;

    if (uname(&name) < 0)
        return pk_error(-errno);
    snprintf(name.nodename, sizeof(name.nodename), "%s", state->hostname);
    snprintf(name.domainname, sizeof(name.domainname), "%s", state->domainname);
    snprintf(name.machine, sizeof(name.machine), "x86_64");
    adapt_to_personality(request, &name);
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

/* ---- the clock ---- */

static struct pk_answer deny_clock(struct pk_request *request)
{
    return pk_denied(request, -EPERM, "the clock is the host's", "it is never allowed",
                     "setting the clock");
}

/* What Linux checks before it asks for CAP_SYS_TIME (kernel/time/time.c). */
static struct pk_answer do_settimeofday(struct pk_request *request)
{
    struct timeval time = {0};
    struct timezone zone;

    if (request->args[0] && pk_read(request, request->args[0], &time, sizeof(time)) < 0)
        return pk_error(-EFAULT);
    if (time.tv_usec < 0 || time.tv_usec > USEC_PER_SEC)
        return pk_error(-EINVAL);
    if (request->args[1] && pk_read(request, request->args[1], &zone, sizeof(zone)) < 0)
        return pk_error(-EFAULT);
    if (request->args[0] && (time.tv_sec < 0 || time.tv_usec == USEC_PER_SEC))
        return pk_error(-EINVAL);
    return deny_clock(request);
}

/* The other clocks cannot be set by anybody; those of descriptors (negative) are devices. */
static struct pk_answer do_clock_settime(struct pk_request *request)
{
    struct timespec time;

    if ((clockid_t)request->args[0] != CLOCK_REALTIME)
        return pk_error(-EINVAL);
    if (pk_read(request, request->args[1], &time, sizeof(time)) < 0)
        return pk_error(-EFAULT);
    if (time.tv_sec < 0 || time.tv_nsec < 0 || time.tv_nsec >= NSEC_PER_SEC)
        return pk_error(-EINVAL);
    return deny_clock(request);
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
    if (timex.modes & MODE_ADJTIME && !(timex.modes & ADJ_OFFSET_SINGLESHOT & ~MODE_ADJTIME))
        return pk_error(-EINVAL);
    if (!only_reads(timex.modes))
        return deny_clock(request);
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

/* ---- sysfs(2): the lines of /proc/filesystems, by name and by number ---- */

#define FILESYSTEM_NAME_MAX 64

/* The name in the line with this number, without its end; NULL behind the last. */
static const char *filesystem_name(unsigned index, size_t *ret_length)
{
    const char *line = VFS_FILESYSTEMS;

    for (; *line && index; index--)
        line = strchr(line, '\n') + 1;
    if (*line == '\0')
        return NULL;
    line = strchr(line, '\t') + 1;
    *ret_length = strcspn(line, "\n");
    return line;
}

static struct pk_answer filesystem_index(struct pk_request *request)
{
    char wanted[FILESYSTEM_NAME_MAX];
    ssize_t length = pk_read_string(request, request->args[1], wanted, sizeof(wanted));
    const char *name;
    size_t size;

    if (length < 0 && length != -ENAMETOOLONG)
        return pk_error((int)length);
    for (unsigned i = 0; (name = filesystem_name(i, &size)) && length > 0; i++) {
        if (size == (size_t)length && memcmp(name, wanted, size) == 0)
            return pk_value(i);
    }
    return pk_error(-EINVAL);
}

static struct pk_answer filesystem_at(struct pk_request *request)
{
    char text[FILESYSTEM_NAME_MAX] = "";
    const char *name;
    size_t length;

    name =
        request->args[1] > UINT32_MAX ? NULL : filesystem_name((unsigned)request->args[1], &length);
    if (name == NULL)
        return pk_error(-EINVAL);
    memcpy(text, name, length);
    return pk_value(pk_write(request, request->args[2], text, length + 1));
}

static struct pk_answer do_sysfs(struct pk_request *request)
{
    unsigned count = 0;
    size_t length;

    switch ((int)request->args[0]) {
    case 1:
        return filesystem_index(request);
    case 2:
        return filesystem_at(request);
    case 3:
        while (filesystem_name(count, &length))
            count++;
        return pk_value(count);
    default:
        return pk_error(-EINVAL);
    }
}

int linux_register_system(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {
        {ABI_NR_uname, do_uname},
        {ABI_NR_sethostname, do_sethostname},
        {ABI_NR_setdomainname, do_setdomainname},
        {ABI_NR_sysinfo, do_sysinfo},
        {ABI_NR_sysfs, do_sysfs},
        {ABI_NR_settimeofday, do_settimeofday},
        {ABI_NR_clock_settime, do_clock_settime},
        {ABI_NR_adjtimex, do_adjtimex},
        {ABI_NR_clock_adjtime, do_clock_adjtime},
    };

    linux_set_handlers(kernel, handlers, array_length(handlers));
    linux_register_limits(kernel);
    linux_register_lsm(kernel);
    return 0;
}

/* What programs, processes, signals, limits and identities are told in. */
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "trace/trace-internal.h"

#define VECTOR_MAX   65536 /* pointers looked at, to count an environment */
#define VECTOR_CHUNK 64    /* of them at once */

/* The kernel's struct sigaction: arch/x86/include/uapi/asm/signal.h. */
struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

/* ---- programs ---- */

void trace_decode_argv(struct trace_decoder *d)
{
    uint64_t address = trace_value(d);
    struct trace_decoder text = *d;
    uint64_t word;

    text.content = NULL;
    if (address == 0 || pk_read(d->request, address, &word, sizeof(word)) < 0) {
        trace_address(d->out, address);
        return;
    }
    strbuf_add_string(d->out, "[");
    for (unsigned i = 0;; i++) {
        if (pk_read(d->request, address + i * sizeof(word), &word, sizeof(word)) < 0) {
            strbuf_addf(d->out, ", ... /* %#" PRIx64 " */", address + i * sizeof(word));
            break;
        }
        if (word == 0)
            break;
        strbuf_add_string(d->out, i ? ", " : "");
        if (i == TRACE_ARRAY_MAX) {
            strbuf_add_string(d->out, "...");
            break;
        }
        trace_string(&text, word, TRACE_STRING_MAX);
    }
    strbuf_add_string(d->out, "]");
}

/* The pointers of a vector before its end, at most VECTOR_MAX. Returns -1 when it has no end. */
static long count_words(struct trace_decoder *d, uint64_t address)
{
    uint64_t words[VECTOR_CHUNK];
    long count = 0;

    while (count < VECTOR_MAX) {
        uint64_t at = address + (uint64_t)count * sizeof(*words);
        ssize_t n = d->request->port->read(d->request, at, words, sizeof(words));

        if (n < (ssize_t)sizeof(*words))
            return -1;
        for (ssize_t i = 0; i < n / (ssize_t)sizeof(*words); i++, count++)
            if (words[i] == 0)
                return count;
    }
    return count;
}

/* How many there are: what is in them is often long, and not for everybody's eyes. */
void trace_decode_envp(struct trace_decoder *d)
{
    uint64_t address = trace_value(d);
    long count = address ? count_words(d, address) : -1;

    trace_address(d->out, address);
    if (count >= 0)
        strbuf_addf(d->out, " /* %ld var%s */", count, count == 1 ? "" : "s");
}

/* ---- signals ---- */

void trace_decode_sigset(struct trace_decoder *d)
{
    uint64_t set;

    if (trace_copy(d, trace_value(d), &set, sizeof(set)))
        trace_signal_set(d->out, set);
}

void trace_decode_sigaction(struct trace_decoder *d)
{
    struct kernel_sigaction action;

    if (!trace_copy(d, trace_value(d), &action, sizeof(action)))
        return;
    strbuf_add_string(d->out, "{sa_handler=");
    if (action.handler <= 1)
        strbuf_add_string(d->out, action.handler ? "SIG_IGN" : "SIG_DFL");
    else
        trace_address(d->out, action.handler);
    strbuf_add_string(d->out, ", sa_mask=");
    trace_signal_set(d->out, action.mask);
    strbuf_add_string(d->out, ", sa_flags=");
    trace_flags(d->out, ABI_ARG_SIGNAL_FLAGS, action.flags);
    if (action.flags & 0x4000000) {
        strbuf_add_string(d->out, ", sa_restorer=");
        trace_address(d->out, action.restorer);
    }
    strbuf_add_string(d->out, "}");
}

void trace_decode_siginfo(struct trace_decoder *d)
{
    siginfo_t info;

    if (!trace_copy(d, trace_value(d), &info, sizeof(info)))
        return;
    if (info.si_signo == 0) {
        strbuf_add_string(d->out, "{}");
        return;
    }
    strbuf_add_string(d->out, "{si_signo=");
    trace_flags(d->out, ABI_ARG_SIGNAL, (uint64_t)info.si_signo);
    strbuf_add_string(d->out, ", si_code=");
    trace_flags(d->out, ABI_ARG_SIGNAL_CODE, (uint32_t)info.si_code);
    strbuf_addf(d->out, ", si_pid=%d, si_uid=%u", info.si_pid, info.si_uid);
    if (info.si_code == SI_QUEUE)
        strbuf_addf(d->out, ", si_int=%d, si_ptr=%#" PRIx64, info.si_int,
                    (uint64_t)(uintptr_t)info.si_ptr);
    strbuf_add_string(d->out, "}");
}

void trace_decode_stack(struct trace_decoder *d)
{
    stack_t stack;

    if (!trace_copy(d, trace_value(d), &stack, sizeof(stack)))
        return;
    strbuf_add_string(d->out, "{ss_sp=");
    trace_address(d->out, (uint64_t)(uintptr_t)stack.ss_sp);
    strbuf_add_string(d->out, ", ss_flags=");
    trace_flags(d->out, ABI_ARG_STACK_FLAGS, (uint32_t)stack.ss_flags);
    strbuf_addf(d->out, ", ss_size=%zu}", stack.ss_size);
}

/* ---- ends, limits, the machine ---- */

void trace_decode_wstatus(struct trace_decoder *d)
{
    int status;

    if (!trace_copy(d, trace_value(d), &status, sizeof(status)))
        return;
    if (WIFSTOPPED(status)) {
        strbuf_add_string(d->out, "[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
        trace_flags(d->out, ABI_ARG_SIGNAL, (uint64_t)WSTOPSIG(status));
    } else if (WIFSIGNALED(status)) {
        strbuf_add_string(d->out, "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
        trace_flags(d->out, ABI_ARG_SIGNAL, (uint64_t)WTERMSIG(status));
        strbuf_add_string(d->out, WCOREDUMP(status) ? " && WCOREDUMP(s)" : "");
    } else if (WIFCONTINUED(status)) {
        strbuf_add_string(d->out, "[{WIFCONTINUED(s)");
    } else {
        strbuf_addf(d->out, "[{WIFEXITED(s) && WEXITSTATUS(s) == %d", WEXITSTATUS(status));
    }
    strbuf_add_string(d->out, "}]");
}

static void add_limit(struct strbuf *out, uint64_t limit)
{
    if (limit == RLIM_INFINITY)
        strbuf_add_string(out, "RLIM64_INFINITY");
    else if (limit > 1024 && limit % 1024 == 0)
        strbuf_addf(out, "%" PRIu64 "*1024", limit / 1024);
    else
        strbuf_addf(out, "%" PRIu64, limit);
}

void trace_decode_rlimit(struct trace_decoder *d)
{
    uint64_t limits[2];

    if (!trace_copy(d, trace_value(d), limits, sizeof(limits)))
        return;
    strbuf_add_string(d->out, "{rlim_cur=");
    add_limit(d->out, limits[0]);
    strbuf_add_string(d->out, ", rlim_max=");
    add_limit(d->out, limits[1]);
    strbuf_add_string(d->out, "}");
}

void trace_decode_rusage(struct trace_decoder *d)
{
    struct rusage usage;

    if (!trace_copy(d, trace_value(d), &usage, sizeof(usage)))
        return;
    strbuf_add_string(d->out, "{ru_utime=");
    trace_time(d->out, usage.ru_utime.tv_sec, usage.ru_utime.tv_usec, "tv_usec");
    strbuf_add_string(d->out, ", ru_stime=");
    trace_time(d->out, usage.ru_stime.tv_sec, usage.ru_stime.tv_usec, "tv_usec");
    strbuf_add_string(d->out, ", ...}");
}

static void add_name(struct strbuf *out, const char *member, const char text[65])
{
    trace_member(out, member);
    trace_quoted(out, text, strnlen(text, 65), false);
}

void trace_decode_utsname(struct trace_decoder *d)
{
    struct utsname name;

    if (!trace_copy(d, trace_value(d), &name, sizeof(name)))
        return;
    strbuf_add_string(d->out, "{");
    add_name(d->out, "sysname", name.sysname);
    add_name(d->out, "nodename", name.nodename);
    strbuf_add_string(d->out, ", ...}");
}

void trace_decode_sysinfo(struct trace_decoder *d)
{
    struct sysinfo info;

    if (!trace_copy(d, trace_value(d), &info, sizeof(info)))
        return;
    strbuf_addf(d->out, "{uptime=%ld, loads=[%lu, %lu, %lu], totalram=%lu, freeram=%lu",
                info.uptime, info.loads[0], info.loads[1], info.loads[2], info.totalram,
                info.freeram);
    strbuf_addf(d->out, ", sharedram=%lu, bufferram=%lu, totalswap=%lu, freeswap=%lu",
                info.sharedram, info.bufferram, info.totalswap, info.freeswap);
    strbuf_addf(d->out, ", procs=%u, totalhigh=%lu, freehigh=%lu, mem_unit=%u}", info.procs,
                info.totalhigh, info.freehigh, info.mem_unit);
}

void trace_decode_cpuset(struct trace_decoder *d)
{
    uint64_t size = d->after ? (uint64_t)d->result : trace_neighbour(d, -1);
    unsigned char bytes[CPU_SETSIZE / 8];
    bool any = false;

    if (size > sizeof(bytes))
        size = sizeof(bytes);
    if (!trace_copy(d, trace_value(d), bytes, size))
        return;
    strbuf_add_string(d->out, "[");
    for (unsigned cpu = 0; cpu < size * 8; cpu++) {
        if (!(bytes[cpu / 8] >> cpu % 8 & 1))
            continue;
        strbuf_addf(d->out, any ? " %u" : "%u", cpu);
        any = true;
    }
    strbuf_add_string(d->out, "]");
}

/* ---- identity ---- */

void trace_decode_uint(struct trace_decoder *d)
{
    uint32_t value;

    if (trace_copy(d, trace_value(d), &value, sizeof(value)))
        strbuf_addf(d->out, "[%" PRIu32 "]", value);
}

void trace_decode_gids(struct trace_decoder *d)
{
    uint64_t count = d->after ? (uint64_t)d->result : trace_neighbour(d, -1);
    uint64_t shown = count < TRACE_ARRAY_MAX ? count : TRACE_ARRAY_MAX;
    uint32_t gids[TRACE_ARRAY_MAX];

    /* With room for none only their number is asked for. */
    if (trace_value(d) == 0 || (d->after && trace_neighbour(d, -1) == 0)) {
        trace_address(d->out, trace_value(d));
        return;
    }
    if (shown == 0) {
        strbuf_add_string(d->out, "[]");
        return;
    }
    if (!trace_copy(d, trace_value(d), gids, shown * sizeof(*gids)))
        return;
    for (uint64_t i = 0; i < shown; i++)
        strbuf_addf(d->out, i ? ", %" PRIu32 : "[%" PRIu32, gids[i]);
    strbuf_add_string(d->out, shown < count ? ", ...]" : "]");
}

void trace_decode_cap_header(struct trace_decoder *d)
{
    struct __user_cap_header_struct header;

    if (!trace_copy(d, trace_value(d), &header, sizeof(header)))
        return;
    if (header.version == _LINUX_CAPABILITY_VERSION_3)
        strbuf_addf(d->out, "{version=_LINUX_CAPABILITY_VERSION_3, pid=%d}", header.pid);
    else
        strbuf_addf(d->out, "{version=%#x, pid=%d}", header.version, header.pid);
}

/* Names where they are few; "1<<CAP_..." as strace has them. */
static void add_capabilities(struct strbuf *out, const char *member, uint64_t set)
{
    bool any = false;

    trace_member(out, member);
    if (set == 0)
        strbuf_add_string(out, "0");
    for (uint32_t bit = 0; bit < 64; bit++) {
        if (!(set >> bit & 1))
            continue;
        strbuf_add_string(out, any ? "|1<<" : "1<<");
        trace_flags(out, ABI_ARG_CAPABILITY, bit);
        any = true;
    }
}

void trace_decode_cap_data(struct trace_decoder *d)
{
    struct __user_cap_data_struct data[2];

    if (!trace_copy(d, trace_value(d), data, sizeof(data)))
        return;
    strbuf_add_string(d->out, "{");
    add_capabilities(d->out, "effective", data[0].effective | (uint64_t)data[1].effective << 32);
    add_capabilities(d->out, "permitted", data[0].permitted | (uint64_t)data[1].permitted << 32);
    add_capabilities(d->out, "inheritable",
                     data[0].inheritable | (uint64_t)data[1].inheritable << 32);
    strbuf_add_string(d->out, "}");
}

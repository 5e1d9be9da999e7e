/*
 * What a running kernel tells about itself over the control channel.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "control/control.h"
#include "core/latency.h"
#include "launch/launch-internal.h"
#include "vfs/inspect.h"

/* As pairs of bucket and count: most buckets are empty. */
static void add_buckets(struct strbuf *out, const uint32_t counts[PK_LATENCY_BUCKETS])
{
    const char *separator = "";

    strbuf_add_string(out, ",\"buckets\":[");
    for (unsigned i = 0; i < PK_LATENCY_BUCKETS; i++) {
        if (counts[i] == 0)
            continue;
        strbuf_addf(out, "%s[%u,%u]", separator, i, counts[i]);
        separator = ",";
    }
    strbuf_add_string(out, "]");
}

static void add_calls(struct strbuf *out, const struct pk_kernel *kernel)
{
    const struct pk_stats *stats = &kernel->stats;
    bool first = true;

    for (int nr = 0; nr < PK_NR_LIMIT; nr++) {
        const struct pk_call_stats *call = &stats->calls[nr];
        const struct abi_syscall *line = abi_syscall_by_nr(nr);

        if (call->count == 0)
            continue;
        strbuf_addf(out,
                    "%s{\"nr\":%d,\"name\":\"%s\",\"count\":%" PRIu64 ",\"errors\":%" PRIu64
                    ",\"total_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64,
                    first ? "" : ",", nr, line ? line->name : "?", call->count, call->errors,
                    call->total_ns, call->max_ns);
        if (kernel->latencies)
            add_buckets(out, kernel->latencies->counts[nr]);
        strbuf_add_string(out, "}");
        first = false;
    }
}

/* Threads that have ended are swept from the table only now and then. */
static unsigned count_tasks(struct pk_kernel *kernel)
{
    struct map_slot *slot;
    size_t cursor = 0;
    unsigned count = 0;

    while ((slot = map_next(&kernel->processes, &cursor))) {
        const struct pk_process *process = slot->value;

        count += kill(process->pid, 0) == 0 || errno == EPERM;
    }
    return count;
}

static int tell_stats(void *user, const char *argument, struct strbuf *out)
{
    struct pk_kernel *kernel = user;
    const struct pk_stats *stats = &kernel->stats;

    (void)argument;
    strbuf_add_string(out, "{\"name\":\"");
    strbuf_add_json(out, kernel->config.name);
    strbuf_addf(out,
                "\",\"kernel\":%d,\"guest\":%d,\"uptime_ns\":%" PRIu64 ",\"processes_seen\":%u,"
                "\"syscalls_intercepted\":%" PRIu64 ",\"descriptors_handed\":%" PRIu64
                ",\"execs\":%" PRIu64 ",\"denials\":%" PRIu64 ",\"deferred\":%" PRIu64
                ",\"cancelled\":%" PRIu64 ",\"unknown_calls\":%" PRIu64
                ",\"times_measured\":%s,\"calls\":[",
                getpid(), kernel->root_pid, io_now_ns() - kernel->started_ns, count_tasks(kernel),
                stats->syscalls_intercepted, stats->descriptors_handed, stats->execs,
                stats->denials, stats->deferred, stats->cancelled, stats->unknown_calls,
                kernel->config.stats || kernel->measure_until_ns ? "true" : "false");
    add_calls(out, kernel);
    strbuf_add_string(out, "]}");
    return 0;
}

#define MEASURE_MAX_S 3600

/*
 * Measuring costs two looks at the clock for each call, so it is off until somebody looks: "measure
 * SECONDS" for so long, "measure" for good.
 */
static int measure(void *user, const char *argument, struct strbuf *out)
{
    struct pk_kernel *kernel = user;
    uint64_t seconds;

    if (argument[0] == '\0') {
        kernel->config.stats = true;
    } else if (io_parse_u64(argument, MEASURE_MAX_S, &seconds) < 0) {
        strbuf_addf(out, "measure takes seconds, at most %d, not '%s'", MEASURE_MAX_S, argument);
        return -EINVAL;
    } else if (pk_measure(kernel, (unsigned)seconds) < 0) {
        return -ENOMEM;
    }
    strbuf_add_string(out, "{}");
    return 0;
}

static int tell_section(struct vfs *vfs, const char *section, bool json, struct strbuf *out)
{
    int r = strcmp(section, "all") == 0 ? vfs_inspect_all(vfs, json, out)
                                        : vfs_inspect(vfs, section, json, out);

    if (r < 0) {
        strbuf_truncate(out, 0);
        strbuf_addf(out, "cannot show '%s': %s", section,
                    r == -ENOENT ? "this kernel has no such section" : strerror(-r));
    }
    return r;
}

/* "inspect SECTION" and "inspect SECTION json"; the section may be "all". */
static int inspect(void *user, const char *argument, struct strbuf *out)
{
    struct pk_kernel *kernel = user;
    const char *blank = strchr(argument, ' ');
    char section[32];

    snprintf(section, sizeof(section), "%.*s", (int)(blank ? blank - argument : 31), argument);
    if (blank && strcmp(blank, " json") != 0) {
        strbuf_addf(out, "inspect takes a section and 'json', not '%s'", blank + 1);
        return -EINVAL;
    }
    return tell_section(kernel->vfs, section, blank != NULL, out);
}

static int watch(void *user, int fd, void (*ready)(void *ready_user, int fd), void *ready_user)
{
    return trap_watch(user, fd, ready, ready_user);
}

static void unwatch(void *user, int fd)
{
    trap_unwatch(user, fd);
}

int reports_start(struct pk_kernel *kernel, struct trap *trap, struct control_server **ret_server)
{
    struct control_loop loop = {.watch = watch, .unwatch = unwatch, .user = trap};
    struct control_server *server;
    int r = control_server_new(&loop, &server);

    if (r < 0)
        return r;
    r = control_server_add(server, "stats", tell_stats, kernel);
    if (r == 0)
        r = control_server_add(server, "measure", measure, kernel);
    if (r == 0)
        r = control_server_add(server, "inspect", inspect, kernel);
    if (r == 0 && kernel->config.stats)
        r = pk_measure(kernel, 0); /* the histogram from the start */
    if (r < 0)
        control_server_free(server);
    else
        *ret_server = server;
    return r;
}

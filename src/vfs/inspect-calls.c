/* Sections about system calls. */
#include <stdio.h>

#include "abi/syscalls.h"
#include "base/io.h"
#include "core/latency.h"
#include "core/recent.h"
#include "vfs/inspect-internal.h"

static const char *name_of(int nr, char text[24])
{
    const struct abi_syscall *call = nr < 0 ? NULL : abi_syscall_by_nr(nr);

    if (call)
        return call->name;
    snprintf(text, 24, nr < 0 ? "" : "syscall_%d", nr);
    return text;
}

int inspect_calls(struct inspect *inspect)
{
    char name[24];

    for (int nr = 0; nr < PK_NR_LIMIT; nr++) {
        const struct pk_call_stats *call = &inspect->kernel->stats.calls[nr];

        if (call->count == 0)
            continue;
        inspect_signed(inspect, nr);
        inspect_string(inspect, name_of(nr, name));
        inspect_number(inspect, call->count);
        inspect_number(inspect, call->errors);
        inspect_number(inspect, call->total_ns);
        inspect_number(inspect, call->max_ns);
    }
    return 0;
}

int inspect_latency(struct inspect *inspect)
{
    const struct pk_latencies *latencies = inspect->kernel->latencies;
    char name[24];

    for (int nr = 0; latencies && nr < PK_NR_LIMIT; nr++)
        for (unsigned bucket = 0; bucket < PK_LATENCY_BUCKETS; bucket++) {
            uint32_t count = latencies->counts[nr][bucket];

            if (count == 0)
                continue;
            inspect_string(inspect, name_of(nr, name));
            inspect_number(inspect, pk_latency_begin(bucket));
            inspect_number(inspect, pk_latency_begin(bucket + 1));
            inspect_number(inspect, count);
        }
    return 0;
}

int inspect_decisions(struct inspect *inspect)
{
    char name[24];

    for (int nr = 0; nr < PK_NR_LIMIT; nr++) {
        const struct pk_call_stats *call = &inspect->kernel->stats.calls[nr];

        if (call->count == 0)
            continue;
        inspect_string(inspect, name_of(nr, name));
        for (unsigned kind = 0; kind < PK_ANSWER_KINDS; kind++)
            inspect_number(inspect, call->answers[kind]);
        inspect_number(inspect, call->denied);
    }
    return 0;
}

int inspect_denials(struct inspect *inspect)
{
    const struct pk_recent_denial *denial;
    uint64_t now = io_now_ns();
    char name[24];

    for (unsigned i = 0; (denial = pk_recent_get(inspect->kernel, i)); i++) {
        const char *error = abi_errno_name(denial->errnum);

        inspect_number(inspect, (now - denial->at_ns) / 1000000);
        inspect_number(inspect, denial->times);
        inspect_signed(inspect, denial->pid);
        inspect_string(inspect, name_of(denial->nr, name));
        inspect_string(inspect, error ? error : "");
        inspect_bool(inspect, denial->let_through);
        inspect_string(inspect, denial->what);
        inspect_string(inspect, denial->rule);
    }
    return 0;
}

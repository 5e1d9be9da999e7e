#include "core/latency.h"

#include <errno.h>
#include <stdlib.h>

#include "base/io.h"

#define FIRST_POWER 7 /* 128 ns: no call is served in less */

unsigned pk_latency_bucket(uint64_t ns)
{
    unsigned power;
    unsigned bucket;

    if (ns < 1U << FIRST_POWER)
        return 0;
    power = 63 - (unsigned)__builtin_clzll(ns);
    bucket = 1 + 2 * (power - FIRST_POWER) + (ns >> (power - 1) & 1);
    return bucket < PK_LATENCY_BUCKETS ? bucket : PK_LATENCY_BUCKETS - 1;
}

uint64_t pk_latency_begin(unsigned bucket)
{
    unsigned power;

    if (bucket == 0)
        return 0;
    power = FIRST_POWER + (bucket - 1) / 2;
    return (1ULL << power) + ((bucket - 1) % 2 ? 1ULL << (power - 1) : 0);
}

uint64_t pk_latency_quantile(const uint64_t counts[PK_LATENCY_BUCKETS], double share)
{
    uint64_t total = 0;
    double below = 0;

    for (unsigned i = 0; i < PK_LATENCY_BUCKETS; i++)
        total += counts[i];
    for (unsigned i = 0; i < PK_LATENCY_BUCKETS && total; i++) {
        double begin = (double)pk_latency_begin(i);
        double end = (double)pk_latency_begin(i + 1);
        double wanted = share * (double)total - below;

        if (counts[i] && (double)counts[i] >= wanted)
            return (uint64_t)(begin +
                              (end - begin) * (wanted > 0 ? wanted : 0) / (double)counts[i]);
        below += (double)counts[i];
    }
    return 0;
}

int pk_measure(struct pk_kernel *kernel, unsigned seconds)
{
    if (kernel->latencies == NULL)
        kernel->latencies = calloc(1, sizeof(*kernel->latencies));
    if (kernel->latencies == NULL)
        return -ENOMEM;
    kernel->measure_until_ns = io_now_ns() + seconds * 1000000000ULL;
    return 0;
}

/*
 * How long served calls take, as a histogram: two buckets for each power of two, so that a quantile
 * is known to within a quarter. A call costs one increment while somebody measures, and nothing
 * otherwise; the table is made when somebody measures first.
 */
#pragma once

#include <stdint.h>

#include "core/kernel.h"

#define PK_LATENCY_BUCKETS 64

struct pk_latencies {
    uint32_t counts[PK_NR_LIMIT][PK_LATENCY_BUCKETS];
};

/* The bucket of a duration: 0 up to 128 ns, the last one from six minutes on. */
unsigned pk_latency_bucket(uint64_t ns);

/* Where a bucket begins, in nanoseconds; 0 for the first one. */
uint64_t pk_latency_begin(unsigned bucket);

/*
 * The duration that a share of the calls (0.5, 0.99) does not exceed, in nanoseconds, evenly
 * distributed within its bucket; 0 when there were none.
 */
uint64_t pk_latency_quantile(const uint64_t counts[PK_LATENCY_BUCKETS], double share);

/*
 * Measures the time of each call for `seconds` from now on: two looks at the clock and an increment
 * a call. Returns 0 or -ENOMEM.
 */
int pk_measure(struct pk_kernel *kernel, unsigned seconds);

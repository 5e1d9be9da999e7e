/*
 * The denials of late, for whoever looks at a running kernel: the newest PK_RECENT_DENIALS of them,
 * with a count where one repeats. Costs nothing until something is denied.
 *
 * Kernel thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pk_denial;
struct pk_kernel;
struct pk_request;

#define PK_RECENT_DENIALS 128

/* One denial; texts that are longer are cut. */
struct pk_recent_denial {
    uint64_t at_ns; /* CLOCK_MONOTONIC, of the last time */
    uint64_t times; /* in a row, of the same process and call; 0: no denial */
    pid_t pid;      /* host number */
    int nr;         /* of the call; -1: none */
    int errnum;     /* positive */
    bool let_through;
    char what[160];
    char rule[96];
};

struct pk_recent {
    uint64_t count; /* so many were written; the newest is at (count - 1) % PK_RECENT_DENIALS */
    struct pk_recent_denial denials[PK_RECENT_DENIALS];
};

/* Keeps a denial. Without memory it is not kept. */
void pk_recent_add(struct pk_kernel *kernel, const struct pk_request *request,
                   const struct pk_denial *denial);

/* The denial that is the `index`-th of those kept, from the oldest; NULL: no more. */
const struct pk_recent_denial *pk_recent_get(const struct pk_kernel *kernel, unsigned index);

/*
 * The seccomp filter of a guest: what the host kernel does with each call before anybody else
 * hears of it. Built from src/abi/syscalls.tbl and a few facts about the process kernel; inherited
 * by every process of the guest and never changed once installed. The plan is explained at the
 * head of filter.c.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/kernel.h"

/*
 * Where the loader's own host path lies in every guest process: the only pointer with which an
 * execve reaches the host. See src/trap/loader.
 */
#define FILTER_LOADER_STRING 0x101000

/* The path may be entered at this many offsets, which tell concurrent execs apart. */
#define FILTER_LOADER_TOKENS 64

/* No call may change a mapping that begins below. The loader's page ends well before. */
#define FILTER_LOADER_LIMIT 0x180000

/* Where the window of kernel-served descriptors begins with a descriptor limit of 1024 or more. */
#define FILTER_WINDOW_BASE (1024 - PK_WINDOW_SIZE)

struct filter_config {
    uint64_t loader_string; /* FILTER_LOADER_STRING; below 4 GiB */
    uint64_t loader_limit;  /* FILTER_LOADER_LIMIT; below 4 GiB */
    int window_base;        /* first descriptor number of the window; more than 0 */
    unsigned window_size;   /* how many numbers belong to it; more than 0 */
    enum pk_net_mode net;
    bool net_rules;              /* only some addresses may be reached: what names one is served */
    bool virtual_identity;       /* ids shown to the guest are not the host's */
    bool ipc_isolated;           /* the guest has an IPC namespace of its own */
    bool unix_isolated;          /* no host AF_UNIX name is in reach of a datagram socket */
    const uint64_t *intercepted; /* bits of numbers that are always served; NULL: none */
};

/* The filter configuration that goes with what the user asked for. */
void filter_config_of(const struct pk_config *config, int window_base,
                      struct filter_config *ret_config);

/*
 * Builds the program. Returns 0, with instructions that the caller gives to filter_free() and the
 * number of instructions on the longest way through it (`ret_longest` may be NULL); -EINVAL for a
 * configuration out of range; -ENOMEM.
 */
int filter_build(const struct filter_config *config, struct sock_fprog *ret_program,
                 unsigned *ret_longest);

/* Frees a program's instructions. A zeroed program is allowed. */
void filter_free(struct sock_fprog *program);

#define cleanup_filter __attribute__((cleanup(filter_free)))

/*
 * The limits of a tree: their names and how their values are written, for --limit, profiles and
 * reports. Thread-safe.
 */
#pragma once

#include <stdint.h>

#include "core/kernel.h"

enum pk_limit {
    PK_LIMIT_MEMORY,
    PK_LIMIT_PIDS,
    PK_LIMIT_FILES,
    PK_LIMIT_CPU,
    PK_LIMIT_FSIZE,
    PK_LIMIT_WALL,
    PK_LIMIT_CPUS,
    PK_LIMIT_IO,
    PK_LIMIT_COUNT,
};

/* As --limit and profiles name it; static. */
const char *pk_limit_name(enum pk_limit limit);

/* The limit of that name, or -ENOENT. */
int pk_limit_find(const char *name);

/* Its field, in the unit that struct pk_limits says. */
uint64_t *pk_limit_field(struct pk_limits *limits, enum pk_limit limit);

/*
 * Parses a value, which is never 0: a number; with K, M, G, T for memory, fsize and io; seconds, or
 * with ms, s, m, h, for wall; up to three decimals for wall and cpus. Returns 0 or -EINVAL.
 */
int pk_limit_parse(enum pk_limit limit, const char *text, uint64_t *ret_value);

/* Writes a value so that pk_limit_parse() reads it. Returns `text`. */
char *pk_limit_format(enum pk_limit limit, uint64_t value, char text[32]);

/* What a value has to look like, for messages; static. */
const char *pk_limit_hint(enum pk_limit limit);

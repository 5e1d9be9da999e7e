/*
 * Sets of system calls as strace(1) writes them, after --trace= and --inject.
 *
 *   SET    [!]WORD[,WORD...]    "!": all calls but those
 *   WORD   NAME                 one call; "?NAME": none if there is no such call
 *          NUMBER               one call
 *          FAMILY, %FAMILY      see enum abi_family; of strace's: desc, net, creds, mem
 *          %stat, %lstat, %fstat, %%stat, %statfs, %fstatfs, %%statfs, %clock, %pure
 *          /REGEX               calls whose name matches the extended regular expression
 *          all, none
 *
 * The family file has, beyond its own calls, all that take a file name, and descriptor all that
 * take a descriptor, as in strace.
 *
 * Threads: no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ABI_CALL_SET_NUMBERS 512

/* A bit for each number. */
struct abi_call_set {
    uint64_t bits[ABI_CALL_SET_NUMBERS / 64];
};

static inline bool abi_call_set_has(const struct abi_call_set *set, int nr)
{
    return nr >= 0 && nr < ABI_CALL_SET_NUMBERS && (set->bits[nr / 64] >> nr % 64 & 1);
}

static inline void abi_call_set_add(struct abi_call_set *set, int nr)
{
    set->bits[nr / 64] |= UINT64_C(1) << nr % 64;
}

/*
 * Reads a set. `option` ("--trace") stands before the sentence of an error. `ret_named` (may be
 * NULL) gets those that are meant by their own name or number. Returns 0 or -EINVAL.
 */
int abi_call_set_parse(const char *text, const char *option, struct abi_call_set *ret_set,
                       struct abi_call_set *ret_named, struct base_error *error);

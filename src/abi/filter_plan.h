/*
 * What the seccomp filter has to do for each call number, as small as possible.
 *
 * The same facts as in abi/syscalls.h, without the words: the filter builder walks this array and
 * merges neighbours with the same entry into ranges. Generated from src/abi/syscalls.tbl.
 */
#pragma once

#include <stdint.h>

#include "abi/syscalls.h"

struct abi_plan_entry {
    uint8_t action; /* enum abi_disposition */
    uint8_t rule;   /* enum abi_rule, ABI_RULE_NONE unless action is ABI_DISPOSITION_CHECKED */

    /*
     * What a FIXED, REFUSED or MISSING call returns: 0 or a negative errno. 0 for the others.
     * SECCOMP_RET_ERRNO takes the positive errno, that is -value; with 0 the call returns 0.
     * A positive constant cannot come from a filter, so the table cannot ask for one.
     */
    int16_t value;
};

/*
 * One entry for every number from 0 to ABI_NR_MAX, holes included (they are MISSING). Numbers above
 * ABI_NR_MAX, and those with the x32 bit, are MISSING too.
 */
extern const struct abi_plan_entry abi_filter_plan[ABI_NR_MAX + 1];

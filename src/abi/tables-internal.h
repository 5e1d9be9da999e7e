/* Generated tables, for the files of this folder only; see tools/gen-syscalls.py. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/syscalls.h"

/* All records, sorted by number. */
extern const struct abi_syscall abi_syscalls[ABI_SYSCALL_COUNT];

/* Number to position in abi_syscalls, -1 for holes. */
extern const int16_t abi_index_by_nr[ABI_NR_MAX + 1];

/* Positions in abi_syscalls, sorted by name. */
extern const int16_t abi_index_by_name[ABI_SYSCALL_COUNT];

/* The words of the enums, in lower case. */
extern const char *const abi_disposition_words[ABI_DISPOSITION_REFUSED + 1];
extern const char *const abi_rule_words[ABI_RULE_COUNT];
extern const char *const abi_family_words[ABI_FAMILY_COUNT];
extern const char *const abi_arg_kind_words[ABI_ARG_COUNT];

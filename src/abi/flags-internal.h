/* Names of flag bits and enumerated values, for the files of this folder only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/syscalls.h"

struct abi_value_name {
    uint64_t value;
    const char *name;
};

/*
 * How a kind is written: first the field (one of several values in the bits of field_mask), then
 * the bits, then what has no name as a hexadecimal number.
 *
 * Bits are tried in the order of the list, so a name for several bits stands before its parts. An
 * enumeration is a kind whose field_mask covers everything.
 */
struct abi_flag_kind {
    uint64_t field_mask;
    const struct abi_value_name *fields;
    size_t nfields;
    const struct abi_value_name *bits;
    size_t nbits;
    const char *zero; /* how no bit at all is written, NULL for "0" */
};

/* The field_mask of an enumeration. */
#define ABI_ENUM_MASK UINT64_C(0xffffffff)

/* How the tables are written down: `name`_fields, `name`_bits. */
#define ABI_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ABI_NAMES_ENUM(name)                                                                      \
    {                                                                                             \
        .field_mask = ABI_ENUM_MASK, .fields = name##_fields, .nfields = ABI_COUNT(name##_fields) \
    }
#define ABI_NAMES_BITS(name)                                 \
    {                                                        \
        .bits = name##_bits, .nbits = ABI_COUNT(name##_bits) \
    }
#define ABI_NAMES_BITS_OR(name, none)                                        \
    {                                                                        \
        .bits = name##_bits, .nbits = ABI_COUNT(name##_bits), .zero = (none) \
    }
#define ABI_NAMES_FIELD(name, mask)                                                         \
    {                                                                                       \
        .field_mask = (mask), .fields = name##_fields, .nfields = ABI_COUNT(name##_fields), \
        .bits = name##_bits, .nbits = ABI_COUNT(name##_bits)                                \
    }

/* The tables of a kind, or NULL when the kind has no names. The signal kinds are not here. */
const struct abi_flag_kind *abi_flag_kind(enum abi_arg_kind kind);

/* The same for the kinds that occur inside of structures only (flag_members.c). */
const struct abi_flag_kind *abi_member_kind(enum abi_arg_kind kind);

#include "abi/syscalls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/tables-internal.h"

const struct abi_syscall *abi_syscall_by_nr(int nr)
{
    if (nr < 0 || nr > ABI_NR_MAX || abi_index_by_nr[nr] < 0)
        return NULL;
    return &abi_syscalls[abi_index_by_nr[nr]];
}

static int compare_name(const void *key, const void *element)
{
    const int16_t *index = element;

    return strcmp(key, abi_syscalls[*index].name);
}

const struct abi_syscall *abi_syscall_by_name(const char *name)
{
    const int16_t *index = bsearch(name, abi_index_by_name, ABI_SYSCALL_COUNT,
                                   sizeof(abi_index_by_name[0]), compare_name);

    return index != NULL ? &abi_syscalls[*index] : NULL;
}

const struct abi_syscall *abi_syscall_at(size_t index)
{
    return index < ABI_SYSCALL_COUNT ? &abi_syscalls[index] : NULL;
}

static const char *word_at(const char *const *words, size_t count, size_t index)
{
    return index < count ? words[index] : "unknown";
}

const char *abi_disposition_name(enum abi_disposition disposition)
{
    return word_at(abi_disposition_words, ABI_DISPOSITION_REFUSED + 1, (size_t)disposition);
}

const char *abi_rule_name(enum abi_rule rule)
{
    return word_at(abi_rule_words, ABI_RULE_COUNT, (size_t)rule);
}

const char *abi_family_name(enum abi_family family)
{
    return word_at(abi_family_words, ABI_FAMILY_COUNT, (size_t)family);
}

const char *abi_arg_kind_name(enum abi_arg_kind kind)
{
    return word_at(abi_arg_kind_words, ABI_ARG_COUNT, (size_t)kind);
}

/* What strace calls the same thing. */
static const struct {
    const char *name;
    enum abi_family family;
} family_aliases[] = {
    {"desc", ABI_FAMILY_DESCRIPTOR},
    {"net", ABI_FAMILY_NETWORK},
    {"creds", ABI_FAMILY_IDENTITY},
    {"mem", ABI_FAMILY_MEMORY},
};

int abi_family_by_name(const char *name, enum abi_family *ret_family)
{
    for (size_t i = 0; i < ABI_FAMILY_COUNT; i++) {
        if (strcmp(name, abi_family_words[i]) == 0) {
            *ret_family = (enum abi_family)i;
            return 0;
        }
    }
    for (size_t i = 0; i < sizeof(family_aliases) / sizeof(family_aliases[0]); i++) {
        if (strcmp(name, family_aliases[i].name) == 0) {
            *ret_family = family_aliases[i].family;
            return 0;
        }
    }
    return -ENOENT;
}

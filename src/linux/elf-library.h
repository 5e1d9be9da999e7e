/*
 * Looking into a shared library, as ld.so will when it loads it: does it define a function? Like
 * elf.h a pure parser of hostile input: bounded work, no allocation, no trust in any offset.
 *
 * Format: elf(5), <elf.h>; DT_GNU_HASH: glibc, elf/dl-lookup.c.
 *
 * No global state: usable from every thread.
 */
#pragma once

#include <elf.h>

#include "linux/elf.h"

#define ELF_LIBRARY_LOADS_MAX 24

/* A part of the file, and where it is in memory. */
struct elf_library_load {
    uint64_t address;
    uint64_t offset;
    uint64_t size; /* in the file */
};

struct elf_library {
    struct elf_source source;
    struct elf_library_load loads[ELF_LIBRARY_LOADS_MAX];
    unsigned load_count;
    /* Addresses from the dynamic section; 0: not there. */
    uint64_t symbols;
    uint64_t strings, strings_size;
    uint64_t hash;     /* DT_HASH */
    uint64_t gnu_hash; /* DT_GNU_HASH */
};

/*
 * Reads the headers. The source must stay while the library is used; there is nothing to release.
 * Returns 0, or -ENOEXEC (-EIO when it cannot be read) with a static sentence in `ret_reason` that
 * goes on from "it ": no ELF file, for another machine, a program, damaged.
 */
int elf_library_open(const struct elf_source *source, struct elf_library *ret_library,
                     const char **ret_reason);

/* Whether other programs get a symbol of this name from it, by the hash table that ld.so uses. */
bool elf_library_defines(const struct elf_library *library, const char *name);

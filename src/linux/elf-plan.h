/*
 * From parsed images to addresses and mappings: the planning half of the ELF loader. Pure apart
 * from the random numbers handed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/exec.h"
#include "linux/elf.h"

/*
 * Below this address the heap of every program starts (the loader makes the host place brk here,
 * randomised by at most 32 MiB); position independent programs are put well above it.
 */
#define ELF_HEAP_BASE 0x555555554000UL

/* Two random numbers decide the addresses; both 0: ADDR_NO_RANDOMIZE. */
struct elf_random {
    uint64_t program;
    uint64_t interpreter;
};

/*
 * Fills in mappings, start, program_entry, base, headers, header_count, header_size, brk_start and
 * executable_stack of a plan. `interpreter` is NULL for static programs. Returns 0, -ENOEXEC (too
 * many mappings, or an address reserved for the loader), -ENOMEM (does not fit), with a static
 * sentence in `ret_reason`.
 */
int elf_plan(const struct elf_image *program, const struct elf_image *interpreter,
             const struct elf_random *random, struct pk_exec_plan *plan, const char **ret_reason);

/*
 * What the loader and the trap agree on: addresses, the private system call, the plan on the wire.
 * Shared by the loader (freestanding, no C library) and the trap. Both come from one build, so
 * there is no versioning; LOADER_PLAN_MAGIC only catches a loader of another build.
 *
 * The loader's memory, all of it read-only and executable:
 *   0x100000  ELF header and code (one page)
 *   0x101000  the path page: 64 slashes and the absolute host path of the loader itself. The guest
 *             cannot change it (the filter protects everything below 0x180000), so the host only
 *             ever resolves this one name. A pointer to slash number LOADER_TOKEN_MAX - token
 *             tells the loader, by the number of slashes it sees, which exec it belongs to.
 *   0x101fc0  room for the fast path (LOADER_FAST_*): constants that a later loader fills in;
 *             zero now.
 */
#pragma once

#ifndef __ASSEMBLER__
#include <stdint.h>
#endif

#define LOADER_TEXT      0x100000
#define LOADER_PATH_PAGE 0x101000
#define LOADER_PAGE_SIZE 0x1000
#define LOADER_END       0x102000
#define LOADER_BRK       0x555555554000 /* where the host places the heap of every program */

/* One token for each exec of a process that is under way at the same time. */
#define LOADER_TOKENS    64
#define LOADER_TOKEN_MAX (LOADER_TOKENS - 1)
#define LOADER_SLASHES   64

/* Longest path of the loader, with its terminator; the rest of the path page is kept free. */
#define LOADER_PATH_SIZE (LOADER_PAGE_SIZE - LOADER_SLASHES - 64)

/* Offsets in the path page that the fast path will use; 8 bytes each, zero while it is off. */
#define LOADER_FAST_SLOT_PAGE  0xfc0 /* address of the page of call slots */
#define LOADER_FAST_GENERATION 0xfc8 /* address of the counter of served changes of names */

/*
 * The private call: prctl(LOADER_OPTION, plan, size, token, magic). It has to be a call that every
 * other filter above ours lets through: what a container's profile refuses, it refuses before we
 * are asked. No host knows this option. The plan is written to the loader's stack; the value is the
 * descriptor of the program, installed in the guest. On any error the loader ends the process with
 * SIGSEGV, as the host kernel does behind exec's point of no return.
 */
#define LOADER_OPTION     0x63656272
#define LOADER_PLAN_SIZE  12288
#define LOADER_PLAN_MAGIC 0x6365726562726f31

#define LOADER_MAPPINGS    24
#define LOADER_PROGRAM     0
#define LOADER_INTERPRETER 1
#define LOADER_ANONYMOUS   2

/* Descriptors of earlier answers that did not reach the loader; more than these stay open. */
#define LOADER_STALE_MAX 6

#define LOADER_EXECUTABLE_STACK 1 /* PT_GNU_STACK asks for it */
#define LOADER_SEAL             2 /* mseal(2) the loader's own pages: a second lock */
#define LOADER_NO_VDSO          4 /* the program finds no vDSO: its calls for the time are calls */

#ifndef __ASSEMBLER__

struct loader_mapping {
    uint64_t address;
    uint64_t length;
    uint64_t offset;
    uint64_t zero_from;
    uint64_t zero_to;
    uint32_t protection;
    uint32_t file; /* LOADER_PROGRAM ... */
};

/* Followed by mapping_count mappings and the strings, `size` bytes in all. */
struct loader_plan {
    uint32_t size;
    uint32_t flags;
    uint32_t mapping_count;
    int32_t interpreter_fd; /* -1: none */
    uint64_t start;         /* first instruction */
    uint64_t entry;         /* AT_ENTRY */
    uint64_t base;          /* AT_BASE */
    uint64_t headers;       /* AT_PHDR */
    uint64_t header_count;  /* AT_PHNUM */
    uint64_t header_size;   /* AT_PHENT */
    uint32_t secure;        /* AT_SECURE */
    uint32_t uid, euid, gid, egid;
    uint32_t execfn_offset; /* of AT_EXECFN's string, from the start of the plan */
    uint32_t execfn_size;   /* with its terminator */
    uint32_t prefix_offset; /* strings that take the place of argv[0] */
    uint32_t prefix_size;
    uint32_t prefix_count;
    uint32_t stale_count;
    uint32_t reserved;
    int32_t stale[LOADER_STALE_MAX]; /* to be closed */
    char comm[16];
    struct loader_mapping mappings[];
};

_Static_assert(sizeof(struct loader_mapping) == 48, "part of the wire format");
_Static_assert(sizeof(struct loader_plan) % 8 == 0, "mappings follow aligned");

#endif

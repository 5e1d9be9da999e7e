/*
 * The plan of an exec: everything the loader needs to turn a fresh process image into the program.
 * Made by a personality, carried out by the trap (which owns the loader and its protocol).
 *
 * Addresses are final: address-space randomisation has been done by whoever made the plan.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pk_program;

#define PK_EXEC_MAPPINGS_MAX 24

/* Where the loader itself lives; no plan may map anything below this address. */
#define PK_EXEC_LOWEST_ADDRESS 0x180000UL

enum pk_exec_file { PK_EXEC_PROGRAM, PK_EXEC_INTERPRETER, PK_EXEC_ANONYMOUS };

/* One mmap. `address`, `length` and `offset` are multiples of the page size. */
struct pk_exec_mapping {
    enum pk_exec_file file;
    uint32_t protection; /* PROT_* */
    uint64_t address;
    uint64_t length;
    uint64_t offset;    /* in the file; 0 for anonymous ones */
    uint64_t zero_from; /* address from which ... */
    uint64_t zero_to;   /* ... up to which bytes are cleared (the end of .bss' first page) */
};

struct pk_exec_plan {
    int program_fd;     /* opened O_RDONLY; owned */
    int interpreter_fd; /* -1 for a static program; owned */
    struct pk_exec_mapping mappings[PK_EXEC_MAPPINGS_MAX];
    unsigned mapping_count;
    bool executable_stack;  /* PT_GNU_STACK asks for it */
    uint64_t start;         /* first instruction: the interpreter's or the program's entry */
    uint64_t program_entry; /* AT_ENTRY */
    uint64_t base;          /* AT_BASE, 0 for static programs */
    uint64_t headers;       /* AT_PHDR */
    uint64_t header_count;  /* AT_PHNUM */
    uint64_t header_size;   /* AT_PHENT */
    bool secure;            /* AT_SECURE */
    uint32_t uid, euid, gid, egid;
    uint64_t brk_start; /* lowest address at which the heap may start; 0: the host's choice */
    char comm[16];      /* the thread's name, terminated */
    char *execfn;       /* AT_EXECFN: the path as the guest gave it; owned */
    char *exe;          /* the program's canonical guest path, for messages; owned */
    struct pk_program *program; /* what the process then runs; reference held */
    /*
     * `#!` scripts: the loader drops the guest's argv[0] and puts these strings (NUL-terminated
     * one after the other, `argv_prefix_count` of them) in its place. NULL: argv stays.
     */
    char *argv_prefix;
    uint32_t argv_prefix_length;
    uint32_t argv_prefix_count;
};

/* Makes an empty plan, with descriptors at -1; NULL when memory is short. */
struct pk_exec_plan *pk_exec_plan_new(void);

/* Closes and frees everything the plan owns; NULL is allowed. */
void pk_exec_plan_free(struct pk_exec_plan *plan);

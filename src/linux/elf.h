/*
 * Reading an ELF file: a pure parser of hostile input. It looks at bytes handed to it and decides
 * nothing about addresses; elf-plan.h turns the result into mappings.
 *
 * Format: elf(5), <elf.h>. Accepted and refused exactly as binfmt_elf of Linux does, with two
 * differences: what Linux finds only after the point of no return (and answers with SIGSEGV) is
 * refused here with the errno that the kernel had in hand, and images without PT_LOAD or with more
 * than ELF_SEGMENTS_MAX of them are refused.
 *
 * No global state: usable from every thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ELF_SEGMENTS_MAX 24
#define ELF_PAGE_SIZE    4096UL

/* End of a process' addresses on x86-64 with four levels of page tables (TASK_SIZE_MAX). */
#define ELF_TASK_SIZE 0x7ffffffff000UL

/* Where the bytes come from. */
struct elf_source {
    /* As pread(2): bytes copied, 0 at the end of the file, or a negative errno. */
    ssize_t (*read)(void *user, void *bytes, size_t length, uint64_t offset);
    void *user;
    uint64_t size; /* of the file; bytes behind it cannot be touched once mapped */
};

/* A source over bytes in memory. */
struct elf_bytes {
    const void *bytes;
    size_t length;
};
struct elf_source elf_source_bytes(struct elf_bytes *bytes);

/* A source over a descriptor of ours, which stays open and the caller's. */
struct elf_source elf_source_fd(int *fd, uint64_t size);

struct elf_segment {
    uint64_t address;     /* p_vaddr */
    uint64_t offset;      /* p_offset */
    uint64_t file_size;   /* p_filesz */
    uint64_t memory_size; /* p_memsz */
    uint32_t protection;  /* PROT_* */
};

struct elf_image {
    bool fixed;            /* ET_EXEC: the addresses are final; else ET_DYN */
    bool executable_stack; /* PT_GNU_STACK with PF_X */
    uint64_t entry;        /* e_entry */
    uint64_t headers;      /* address of the program headers; 0 when no segment holds them */
    uint16_t header_count;
    uint16_t header_size;
    uint64_t low, high; /* lowest byte and end of all segments; low is a multiple of the page */
    uint64_t alignment; /* the largest p_align that is a power of two, at least a page */
    unsigned segment_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX];
    char *interpreter; /* PT_INTERP; NULL for a static program; owned */
};

enum elf_role {
    ELF_PROGRAM,     /* not ELF, or damaged: -ENOEXEC, -EINVAL */
    ELF_INTERPRETER, /* the file named by PT_INTERP: -ELIBBAD, -ENOMEM; its own one is ignored */
};

/*
 * Parses. Returns 0 with an image to be released, or a negative errno with a static sentence in
 * `ret_reason` (which may be NULL): -ENOEXEC, -EINVAL, -ENOMEM, -ELIBBAD, -EIO, -EFAULT, or what
 * the source answered.
 */
int elf_parse(const struct elf_source *source, enum elf_role role, struct elf_image *ret_image,
              const char **ret_reason);

/* Frees what an image owns; a zeroed one is allowed. */
void elf_image_release(struct elf_image *image);

/* A deep copy; -ENOMEM. */
int elf_image_copy(const struct elf_image *image, struct elf_image *ret_copy);

/*
 * What kind of file is this, by its first bytes? A static sentence for formats that the guest
 * might expect to run but that are not for the Linux personality, NULL for anything else.
 */
const char *elf_foreign_format(const void *bytes, size_t length);

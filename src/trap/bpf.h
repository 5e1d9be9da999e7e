/*
 * A small assembler for classic BPF, the language of seccomp filters: instructions are appended,
 * jumps name labels, and bpf_assemble() works out the distances. Conditional jumps of the machine
 * reach only 255 instructions; longer ones are rewritten with an unconditional jump here, so that
 * whoever writes rules need not think about distance. Jumps only go forward, as the machine
 * demands.
 *
 * Out of memory and misuse are remembered and reported once, by bpf_assemble().
 * Nothing here is thread-safe; nothing touches the system.
 *
 * Source of the encoding: include/uapi/linux/filter.h, Documentation/networking/filter.rst.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_data;

/* A place in the program. BPF_NEXT is the instruction that follows the jump. */
typedef unsigned bpf_label;
#define BPF_NEXT 0

struct bpf_step; /* one instruction before assembly */

/* A program in the making. A zeroed one is an empty program. */
struct bpf_code {
    struct bpf_step *steps;
    size_t count;
    size_t capacity;
    uint32_t *labels; /* label - 1 to the number of the step it is bound to */
    size_t label_count;
    size_t label_capacity;
    int failure; /* 0 or the first negative errno */
};

/* Frees what the program holds and makes it empty again. */
void bpf_code_free(struct bpf_code *code);

#define cleanup_bpf_code __attribute__((cleanup(bpf_code_free)))

/* Makes a label that may be jumped to at once and has to be bound later. */
bpf_label bpf_new_label(struct bpf_code *code);

/* Binds a label, once, to the instruction appended next. */
void bpf_bind(struct bpf_code *code, bpf_label label);

/* The accumulator becomes the 32-bit word at this offset of struct seccomp_data. */
void bpf_load(struct bpf_code *code, uint32_t offset);

/* The accumulator keeps only the bits of `mask`. */
void bpf_and(struct bpf_code *code, uint32_t mask);

/* Ends the program with this SECCOMP_RET_* value. */
void bpf_return(struct bpf_code *code, uint32_t value);

/* Goes on at `label`. */
void bpf_go(struct bpf_code *code, bpf_label label);

/*
 * Compares the accumulator with `value`, unsigned; `operation` is BPF_JEQ, BPF_JGT, BPF_JGE or
 * BPF_JSET (any bit of `value` set). Goes on at `yes` or at `no`.
 */
void bpf_branch(struct bpf_code *code, unsigned operation, uint32_t value, bpf_label yes,
                bpf_label no);

/* Values of the accumulator from `first` up to the next case's go to `target`. */
struct bpf_case {
    uint32_t first;
    bpf_label target;
    unsigned weight; /* how often it is taken, relative to the others; at least 1 */
};

/*
 * Sends each value of the accumulator to its case by binary search, in such a way that heavy cases
 * are found after few comparisons. The cases are sorted, and the first one begins at 0.
 */
void bpf_search(struct bpf_code *code, const struct bpf_case *cases, size_t count);

/*
 * Makes the final program. Returns 0 and the malloc'ed instructions, which the caller frees, or
 * -ENOMEM, -EINVAL (a label unbound, bound twice or behind its jump; the last instruction is no
 * return) or -E2BIG (more than BPF_MAXINSNS instructions).
 */
int bpf_assemble(struct bpf_code *code, struct sock_fprog *ret_program);

/* How many instructions the longest way through an assembled program executes. */
unsigned bpf_longest_path(const struct sock_fprog *program);

/*
 * Runs an assembled program as the kernel would. Understands what this assembler emits.
 * Returns 0 with the verdict, or -EINVAL for an instruction that it does not know or a jump or
 * load out of bounds. `ret_executed` (instructions executed) may be NULL.
 */
int bpf_evaluate(const struct sock_fprog *program, const struct seccomp_data *data,
                 uint32_t *ret_verdict, unsigned *ret_executed);

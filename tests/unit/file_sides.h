/*
 * Two sides that take the same system calls: the host's kernel in a temporary directory, and the
 * file family of the Linux personality over a VFS. Both show the tree at the same absolute path, so
 * that the same arguments mean the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/syscalls.h"
#include "core/kernel.h"

enum side_kind {
    SIDE_KERNEL,  /* the host's kernel: the reference */
    SIDE_HOST,    /* a host directory, read and write */
    SIDE_MEMORY,  /* a memory file system */
    SIDE_OVERLAY, /* a host directory below, memory above */
    SIDE_UPPER,   /* a host directory below, a host directory above */
};

#define SIDE_FDS    16
#define SIDE_OUT    65536
#define SIDE_WINDOW 800 /* first number of the window of kernel-served descriptors */

/* Arguments that differ between the sides: the output buffer, and descriptors opened before. */
#define OUT   ((uintptr_t)side_out_token)
#define FD(n) (0x5fd00000u + (n))
extern char side_out_token[1];

struct side_call {
    int nr;
    uint64_t args[6];
};

struct side;

/* Makes a side with an empty tree; `directory` is the absolute path of the tree (shared). */
struct side *side_new(enum side_kind kind, const char *directory);
void side_free(struct side *side);

/*
 * Makes a call. Returns its value or negative errno; a descriptor goes into the next free slot and
 * is returned as 0. Output is in side_output().
 */
int64_t side_call(struct side *side, const struct side_call *call);
const unsigned char *side_output(const struct side *side);

/* True when the number's result is a descriptor. */
bool side_makes_descriptor(int nr);

/* For the sides that are not the kernel: what is behind them. */
struct pk_kernel *side_kernel(struct side *side);

enum side_kind side_kind(const struct side *side);

/* The descriptor in a slot, -1 when there is none. */
int side_fd(const struct side *side, unsigned slot);

/* Places a descriptor of the caller (consumed) into the next slot. */
void side_give(struct side *side, int fd);

/* Closes all descriptors in the slots. */
void side_drop(struct side *side);

/*
 * The answer of a guest's handler before anything of it is carried out; the caller discards it.
 * Descriptors and the output buffer are translated as for side_call().
 */
struct pk_answer side_answer(struct side *side, const struct side_call *call);

/* Fills the tree of the tests. */
void side_populate(struct side *side);

/*
 * Writes one line for each object below the tree's root: name, type, mode, owner, size, links,
 * text of links, content of files. malloc'ed.
 */
char *side_snapshot(struct side *side);

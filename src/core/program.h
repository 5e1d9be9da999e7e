/*
 * What a process runs. A program is immutable and shared by all contexts that inherit it; its place
 * is kept, so that /proc/self/exe leads to the file whatever becomes of its name.
 *
 * A place may cost a descriptor, so those that run the same file under the same name share one: see
 * pk_program_place_of().
 *
 * Only the kernel thread touches programs.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct pk_kernel;
struct stat;
struct vfs_place;

struct pk_program {
    struct pk_kernel *kernel;
    unsigned refs;
    struct vfs_place *place; /* reference held */
    dev_t device;            /* of the host's object behind it */
    ino_t inode;
    /*
     * A `#!` script: what stands in front of the arguments instead of the first one that the caller
     * gave (NUL-terminated strings, one after the other). NULL: no script. Owned.
     */
    char *prefix;
    size_t prefix_length;
};

/*
 * Makes a program with one reference; takes its own of `place` and copies `prefix`. NULL: out of
 * memory.
 */
struct pk_program *pk_program_new(struct pk_kernel *kernel, struct vfs_place *place,
                                  const struct stat *stat, const char *prefix,
                                  size_t prefix_length);

/* Both allow NULL. */
struct pk_program *pk_program_ref(struct pk_program *program);
void pk_program_unref(struct pk_program *program);

/*
 * The place by which a program that is still known was found, whose file is this object of the
 * host; NULL: there is none. Not a reference. It may have another name than the caller's or have
 * been deleted.
 */
struct vfs_place *pk_program_place_of(struct pk_kernel *kernel, const struct stat *stat);

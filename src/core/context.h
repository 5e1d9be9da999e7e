/*
 * What a process inherits and fork copies: directory, root, umask, identity, program. A context is
 * immutable; changing one of these makes a new context for the calling process. Its id travels in
 * the guest's soft RLIMIT_LOCKS, which the host kernel copies on fork, keeps over exec, shares
 * between threads and otherwise ignores; so nothing of fork has to be trapped (notes: trap
 * mechanism, section 2).
 *
 * Only the kernel thread touches contexts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct pk_kernel;
struct pk_program;
struct pk_request;
struct vfs_place;

#define PK_GROUPS_MAX 64

/* Virtual identity: what the guest believes it is, and what served calls check against. */
struct pk_identity {
    uid_t uid, euid, suid, fsuid;
    gid_t gid, egid, sgid, fsgid;
    unsigned group_count;
    gid_t groups[PK_GROUPS_MAX];
    uint64_t effective, permitted, inheritable, bounding, ambient; /* capability bits */
    bool no_new_privs;
    bool dumpable;
    unsigned securebits;
};

struct pk_context {
    uint64_t id;
    mode_t mask;           /* umask */
    struct vfs_place *cwd; /* references, held */
    struct vfs_place *root;
    struct pk_identity identity;
    struct pk_program *program; /* reference held; NULL: not known */
    uint64_t nofile_soft;       /* RLIMIT_NOFILE and RLIMIT_LOCKS are virtual: what the guest set */
    uint64_t nofile_hard;
    uint64_t locks_soft;
    uint64_t locks_hard;
    int32_t session_ring; /* serial number of the session key ring, 0: none */
    int key_fallback;     /* where request_key() puts keys, KEY_REQKEY_DEFL_... */
    uint64_t started;     /* io_now_ns() of its making, for the sweep */
};

/*
 * Returns a modifiable copy of a context, with an id of its own and its own references. It must be
 * given to pk_context_adopt() or pk_context_free(). NULL: out of memory.
 */
struct pk_context *pk_context_copy(struct pk_kernel *kernel, const struct pk_context *from);

/*
 * Makes `context` (consumed in every case) the one of the calling process and of what it forks
 * from now on. Returns 0 or a negative errno; then nothing changed.
 */
int pk_context_adopt(struct pk_request *request, struct pk_context *context);

/*
 * Gives a context to the kernel without a process yet (consumed in every case); the caller tags the
 * process with pk_context_tag(). Returns 0 or -ENOMEM.
 */
int pk_context_register(struct pk_kernel *kernel, struct pk_context *context);

/* Writes a context id into a process; it must be a stopped or waiting one of the tree. */
int pk_context_tag(pid_t pid, uint64_t id);

/* Drops the references and the memory of a context that was not adopted; NULL is allowed. */
void pk_context_free(struct pk_kernel *kernel, struct pk_context *context);

/* The context with this id, or NULL. */
const struct pk_context *pk_context_by_id(struct pk_kernel *kernel, uint64_t id);

/* Replaces cwd (or root) of a context that is not adopted yet; takes its own reference. */
void pk_context_set_cwd(struct pk_kernel *kernel, struct pk_context *context,
                        struct vfs_place *cwd);
void pk_context_set_root(struct pk_kernel *kernel, struct pk_context *context,
                         struct vfs_place *root);
/* The same for the program; NULL is allowed. */
void pk_context_set_program(struct pk_context *context, struct pk_program *program);

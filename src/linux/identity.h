/*
 * The rules by which a Linux process changes its ids and capabilities (credentials(7),
 * capabilities(7); kernel/sys.c, security/commoncap.c), on plain structures: no system call is
 * made. Every function returns 0 or a negative errno, and then has changed nothing.
 *
 * An id of (uid_t)-1 means "leave it" where the system call says so, and is invalid otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/context.h"

/* The capabilities that Linux 6.18 knows: CAP_CHOWN (0) to CAP_CHECKPOINT_RESTORE (40). */
#define IDENTITY_LAST_CAP 40
#define IDENTITY_ALL_CAPS ((1ULL << (IDENTITY_LAST_CAP + 1)) - 1)

bool identity_capable(const struct pk_identity *identity, int capability);

int identity_setuid(struct pk_identity *identity, uid_t uid);
int identity_setreuid(struct pk_identity *identity, uid_t ruid, uid_t euid);
int identity_setresuid(struct pk_identity *identity, uid_t ruid, uid_t euid, uid_t suid);
int identity_setgid(struct pk_identity *identity, gid_t gid);
int identity_setregid(struct pk_identity *identity, gid_t rgid, gid_t egid);
int identity_setresgid(struct pk_identity *identity, gid_t rgid, gid_t egid, gid_t sgid);

/* setfsuid(2), setfsgid(2): always return the old id, changed or not. */
uid_t identity_setfsuid(struct pk_identity *identity, uid_t uid);
gid_t identity_setfsgid(struct pk_identity *identity, gid_t gid);

/* Replaces the supplementary groups; -EINVAL when there are more than PK_GROUPS_MAX. */
int identity_setgroups(struct pk_identity *identity, const gid_t *groups, size_t count);

/* capset(2). Bits of unknown capabilities are dropped. */
int identity_capset(struct pk_identity *identity, uint64_t effective, uint64_t permitted,
                    uint64_t inheritable);

/* prctl(2): PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAPBSET_DROP, PR_CAP_AMBIENT. */
int identity_set_keepcaps(struct pk_identity *identity, uint64_t value);
int identity_set_securebits(struct pk_identity *identity, uint64_t value);
int identity_drop_bounding(struct pk_identity *identity, uint64_t capability);
int identity_ambient(struct pk_identity *identity, uint64_t operation, uint64_t capability);

/*
 * What exec does to an identity: `euid` and `egid` are those of the new program (set-user-ID
 * honoured by the caller or not). Returns what AT_SECURE says.
 */
bool identity_exec(struct pk_identity *identity, uid_t euid, gid_t egid);

/* May `from` look into the memory of `to`? PTRACE_MODE_READ_REALCREDS of ptrace(2). */
bool identity_may_inspect(const struct pk_identity *from, const struct pk_identity *to);

/* May `from` send a signal to `to`? The rule of kill(2), without that for SIGCONT. */
bool identity_may_signal(const struct pk_identity *from, const struct pk_identity *to);

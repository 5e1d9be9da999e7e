#include "linux/identity.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>

#define NO_ID ((uid_t)-1)

#define BIT(capability) (1ULL << (capability))

/* The capabilities that follow the file system uid (CAP_FS_SET of the kernel). */
#define FILE_CAPS                                                                         \
    (BIT(CAP_CHOWN) | BIT(CAP_MKNOD) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | \
     BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MAC_OVERRIDE))

bool identity_capable(const struct pk_identity *identity, int capability)
{
    return identity->effective >> capability & 1;
}

static bool has_securebit(const struct pk_identity *identity, unsigned bit)
{
    return identity->securebits & issecure_mask(bit);
}

static bool has_root_id(const struct pk_identity *identity)
{
    return identity->uid == 0 || identity->euid == 0 || identity->suid == 0;
}

/* What a change between root and other users does to capabilities (cap_emulate_setxuid). */
static void fix_capabilities(struct pk_identity *now, const struct pk_identity *old)
{
    if (has_securebit(now, SECURE_NO_SETUID_FIXUP))
        return;
    if (has_root_id(old) && !has_root_id(now)) {
        if (!has_securebit(now, SECURE_KEEP_CAPS)) {
            now->permitted = 0;
            now->effective = 0;
        }
        now->ambient = 0;
    }
    if (old->euid == 0 && now->euid != 0)
        now->effective = 0;
    if (old->euid != 0 && now->euid == 0)
        now->effective = now->permitted;
}

/* A process that changed its ids is no longer dumpable (commit_creds). */
static void fix_dumpable(struct pk_identity *now, const struct pk_identity *old)
{
    if (now->euid != old->euid || now->egid != old->egid || now->fsuid != old->fsuid ||
        now->fsgid != old->fsgid || (now->permitted & ~old->permitted))
        now->dumpable = false;
}

static void commit_uids(struct pk_identity *identity, struct pk_identity *now)
{
    fix_capabilities(now, identity);
    fix_dumpable(now, identity);
    *identity = *now;
}

static void commit_gids(struct pk_identity *identity, struct pk_identity *now)
{
    fix_dumpable(now, identity);
    *identity = *now;
}

int identity_setuid(struct pk_identity *identity, uid_t uid)
{
    struct pk_identity now = *identity;

    if (uid == NO_ID)
        return -EINVAL;
    if (identity_capable(identity, CAP_SETUID))
        now.uid = now.suid = uid;
    else if (uid != identity->uid && uid != identity->suid)
        return -EPERM;
    now.euid = now.fsuid = uid;
    commit_uids(identity, &now);
    return 0;
}

int identity_setreuid(struct pk_identity *identity, uid_t ruid, uid_t euid)
{
    struct pk_identity now = *identity;
    bool capable = identity_capable(identity, CAP_SETUID);

    if (ruid != NO_ID && ruid != identity->uid && ruid != identity->euid && !capable)
        return -EPERM;
    if (euid != NO_ID && euid != identity->uid && euid != identity->euid &&
        euid != identity->suid && !capable)
        return -EPERM;
    if (ruid != NO_ID)
        now.uid = ruid;
    if (euid != NO_ID)
        now.euid = euid;
    if (ruid != NO_ID || (euid != NO_ID && euid != identity->uid))
        now.suid = now.euid;
    now.fsuid = now.euid;
    commit_uids(identity, &now);
    return 0;
}

static bool is_own_uid(const struct pk_identity *identity, uid_t uid)
{
    return uid == NO_ID || uid == identity->uid || uid == identity->euid || uid == identity->suid;
}

int identity_setresuid(struct pk_identity *identity, uid_t ruid, uid_t euid, uid_t suid)
{
    struct pk_identity now = *identity;

    /* A call that asks for what is there already leaves the file system id, too (since 6.3). */
    if ((ruid == NO_ID || ruid == now.uid) && (suid == NO_ID || suid == now.suid) &&
        (euid == NO_ID || (euid == now.euid && euid == now.fsuid)))
        return 0;
    if (!identity_capable(identity, CAP_SETUID) &&
        (!is_own_uid(identity, ruid) || !is_own_uid(identity, euid) || !is_own_uid(identity, suid)))
        return -EPERM;
    if (ruid != NO_ID)
        now.uid = ruid;
    if (euid != NO_ID)
        now.euid = euid;
    if (suid != NO_ID)
        now.suid = suid;
    now.fsuid = now.euid;
    commit_uids(identity, &now);
    return 0;
}

int identity_setgid(struct pk_identity *identity, gid_t gid)
{
    struct pk_identity now = *identity;

    if (gid == NO_ID)
        return -EINVAL;
    if (identity_capable(identity, CAP_SETGID))
        now.gid = now.sgid = gid;
    else if (gid != identity->gid && gid != identity->sgid)
        return -EPERM;
    now.egid = now.fsgid = gid;
    commit_gids(identity, &now);
    return 0;
}

int identity_setregid(struct pk_identity *identity, gid_t rgid, gid_t egid)
{
    struct pk_identity now = *identity;
    bool capable = identity_capable(identity, CAP_SETGID);

    if (rgid != NO_ID && rgid != identity->gid && rgid != identity->egid && !capable)
        return -EPERM;
    if (egid != NO_ID && egid != identity->gid && egid != identity->egid &&
        egid != identity->sgid && !capable)
        return -EPERM;
    if (rgid != NO_ID)
        now.gid = rgid;
    if (egid != NO_ID)
        now.egid = egid;
    if (rgid != NO_ID || (egid != NO_ID && egid != identity->gid))
        now.sgid = now.egid;
    now.fsgid = now.egid;
    commit_gids(identity, &now);
    return 0;
}

static bool is_own_gid(const struct pk_identity *identity, gid_t gid)
{
    return gid == NO_ID || gid == identity->gid || gid == identity->egid || gid == identity->sgid;
}

int identity_setresgid(struct pk_identity *identity, gid_t rgid, gid_t egid, gid_t sgid)
{
    struct pk_identity now = *identity;

    /* A call that asks for what is there already leaves the file system id, too (since 6.3). */
    if ((rgid == NO_ID || rgid == now.gid) && (sgid == NO_ID || sgid == now.sgid) &&
        (egid == NO_ID || (egid == now.egid && egid == now.fsgid)))
        return 0;
    if (!identity_capable(identity, CAP_SETGID) &&
        (!is_own_gid(identity, rgid) || !is_own_gid(identity, egid) || !is_own_gid(identity, sgid)))
        return -EPERM;
    if (rgid != NO_ID)
        now.gid = rgid;
    if (egid != NO_ID)
        now.egid = egid;
    if (sgid != NO_ID)
        now.sgid = sgid;
    now.fsgid = now.egid;
    commit_gids(identity, &now);
    return 0;
}

uid_t identity_setfsuid(struct pk_identity *identity, uid_t uid)
{
    uid_t old = identity->fsuid;

    if (uid == NO_ID || uid == old)
        return old;
    if (!is_own_uid(identity, uid) && !identity_capable(identity, CAP_SETUID))
        return old;
    identity->fsuid = uid;
    identity->dumpable = false;
    if (has_securebit(identity, SECURE_NO_SETUID_FIXUP))
        return old;
    if (old == 0)
        identity->effective &= ~FILE_CAPS;
    if (uid == 0)
        identity->effective |= identity->permitted & FILE_CAPS;
    return old;
}

gid_t identity_setfsgid(struct pk_identity *identity, gid_t gid)
{
    gid_t old = identity->fsgid;

    if (gid == NO_ID || gid == old)
        return old;
    if (!is_own_gid(identity, gid) && !identity_capable(identity, CAP_SETGID))
        return old;
    identity->fsgid = gid;
    identity->dumpable = false;
    return old;
}

static int compare_gids(const void *a, const void *b)
{
    gid_t x = *(const gid_t *)a;
    gid_t y = *(const gid_t *)b;

    return (x > y) - (x < y);
}

int identity_setgroups(struct pk_identity *identity, const gid_t *groups, size_t count)
{
    if (!identity_capable(identity, CAP_SETGID))
        return -EPERM;
    if (count > PK_GROUPS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (groups[i] == NO_ID)
            return -EINVAL;
    if (count)
        memcpy(identity->groups, groups, count * sizeof(*groups));
    identity->group_count = (unsigned)count;
    qsort(identity->groups, count, sizeof(*groups), compare_gids);
    return 0;
}

int identity_capset(struct pk_identity *identity, uint64_t effective, uint64_t permitted,
                    uint64_t inheritable)
{
    struct pk_identity *id = identity;

    effective &= IDENTITY_ALL_CAPS;
    permitted &= IDENTITY_ALL_CAPS;
    inheritable &= IDENTITY_ALL_CAPS;
    if (!identity_capable(id, CAP_SETPCAP) && (inheritable & ~(id->inheritable | id->permitted)))
        return -EPERM;
    if (inheritable & ~(id->inheritable | id->bounding))
        return -EPERM;
    if ((permitted & ~id->permitted) || (effective & ~permitted))
        return -EPERM;
    id->effective = effective;
    id->permitted = permitted;
    id->inheritable = inheritable;
    id->ambient &= permitted & inheritable;
    return 0;
}

int identity_set_keepcaps(struct pk_identity *identity, uint64_t value)
{
    if (value > 1)
        return -EINVAL;
    if (has_securebit(identity, SECURE_KEEP_CAPS_LOCKED))
        return -EPERM;
    if (value)
        identity->securebits |= issecure_mask(SECURE_KEEP_CAPS);
    else
        identity->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
    return 0;
}

int identity_set_securebits(struct pk_identity *identity, uint64_t value)
{
    unsigned old = identity->securebits;
    unsigned locked = (old & SECURE_ALL_LOCKS) >> 1;

    if (value & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS))
        return -EPERM;
    if ((locked & (old ^ (unsigned)value)) || (old & SECURE_ALL_LOCKS & ~(unsigned)value))
        return -EPERM;
    if (!identity_capable(identity, CAP_SETPCAP))
        return -EPERM;
    identity->securebits = (unsigned)value;
    return 0;
}

int identity_drop_bounding(struct pk_identity *identity, uint64_t capability)
{
    if (!identity_capable(identity, CAP_SETPCAP))
        return -EPERM;
    if (capability > IDENTITY_LAST_CAP)
        return -EINVAL;
    identity->bounding &= ~BIT(capability);
    return 0;
}

int identity_ambient(struct pk_identity *identity, uint64_t operation, uint64_t capability)
{
    if (operation == PR_CAP_AMBIENT_CLEAR_ALL) {
        if (capability)
            return -EINVAL;
        identity->ambient = 0;
        return 0;
    }
    if (capability > IDENTITY_LAST_CAP)
        return -EINVAL;
    if (operation == PR_CAP_AMBIENT_IS_SET)
        return identity->ambient >> capability & 1;
    if (operation == PR_CAP_AMBIENT_LOWER) {
        identity->ambient &= ~BIT(capability);
        return 0;
    }
    if (operation != PR_CAP_AMBIENT_RAISE)
        return -EINVAL;
    if (!(identity->permitted & identity->inheritable & BIT(capability)) ||
        has_securebit(identity, SECURE_NO_CAP_AMBIENT_RAISE))
        return -EPERM;
    identity->ambient |= BIT(capability);
    return 0;
}

bool identity_exec(struct pk_identity *identity, uid_t euid, gid_t egid)
{
    struct pk_identity *id = identity;
    bool privileged = !has_securebit(id, SECURE_NOROOT);
    bool set_id = euid != id->uid || egid != id->gid;
    uint64_t permitted = 0;
    bool effective = false;
    bool secure;

    if (privileged && (euid == 0 || id->uid == 0)) {
        permitted = id->bounding | id->inheritable;
        effective = euid == 0;
    }
    if (set_id)
        id->ambient = 0;
    secure = set_id || (id->uid != 0 && (effective || (permitted & ~id->ambient)));
    id->permitted = permitted | id->ambient;
    id->effective = effective ? id->permitted : id->ambient;
    id->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
    id->euid = id->suid = id->fsuid = euid;
    id->egid = id->sgid = id->fsgid = egid;
    id->dumpable = !secure;
    return secure;
}

bool identity_may_inspect(const struct pk_identity *from, const struct pk_identity *to)
{
    if (identity_capable(from, CAP_SYS_PTRACE))
        return true;
    return to->dumpable && from->uid == to->uid && from->uid == to->euid && from->uid == to->suid &&
           from->gid == to->gid && from->gid == to->egid && from->gid == to->sgid;
}

bool identity_may_signal(const struct pk_identity *from, const struct pk_identity *to)
{
    return from->euid == to->suid || from->euid == to->uid || from->uid == to->suid ||
           from->uid == to->uid || identity_capable(from, CAP_KILL);
}

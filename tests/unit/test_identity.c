/*
 * The rules of credentials(7) and capabilities(7): tables written from the manual pages, and, for
 * root, random sequences of calls made on the model and on the running kernel. And whom kill(2)
 * means.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linux/identity.h"
#include "linux/signal-target.h"
#include "skip.h"

#define KEEP      ((uid_t)-1)
#define CAP(name) (1ULL << (name))

static struct pk_identity root_identity(void)
{
    return (struct pk_identity){.effective = IDENTITY_ALL_CAPS,
                                .permitted = IDENTITY_ALL_CAPS,
                                .bounding = IDENTITY_ALL_CAPS,
                                .dumpable = true};
}

static struct pk_identity user_identity(uid_t real, uid_t effective, uid_t saved)
{
    return (struct pk_identity){.uid = real,
                                .euid = effective,
                                .suid = saved,
                                .fsuid = effective,
                                .gid = real,
                                .egid = effective,
                                .sgid = saved,
                                .fsgid = effective,
                                .bounding = IDENTITY_ALL_CAPS,
                                .dumpable = true};
}

/* ---- tables ---- */

enum call { SETUID, SETREUID, SETRESUID };

/* An unprivileged process with ids from[3] makes a call; afterwards it has to[3]. */
static const struct id_case {
    uid_t from[3];
    enum call call;
    uid_t args[3];
    int result;
    uid_t to[3];
} id_cases[] = {
    /* setuid: only the effective id changes, to the real or saved one */
    {{1, 2, 3}, SETUID, {1}, 0, {1, 1, 3}},
    {{1, 2, 3}, SETUID, {3}, 0, {1, 3, 3}},
    {{1, 2, 3}, SETUID, {2}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETUID, {4}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETUID, {0}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETUID, {KEEP}, -EINVAL, {1, 2, 3}},
    /* setreuid: real to real or effective; effective to any of the three */
    {{1, 2, 3}, SETREUID, {2, 1}, 0, {2, 1, 1}},
    {{1, 2, 3}, SETREUID, {KEEP, 3}, 0, {1, 3, 3}},
    {{1, 2, 3}, SETREUID, {KEEP, 1}, 0, {1, 1, 3}}, /* saved stays: effective became the real id */
    {{1, 2, 3}, SETREUID, {1, KEEP}, 0, {1, 2, 2}},
    {{1, 2, 3}, SETREUID, {3, KEEP}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETREUID, {KEEP, 4}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETREUID, {KEEP, KEEP}, 0, {1, 2, 3}},
    /* setresuid: each to any of the three */
    {{1, 2, 3}, SETRESUID, {3, 1, 2}, 0, {3, 1, 2}},
    {{1, 2, 3}, SETRESUID, {KEEP, 3, KEEP}, 0, {1, 3, 3}},
    {{1, 2, 3}, SETRESUID, {2, 2, 2}, 0, {2, 2, 2}},
    {{1, 2, 3}, SETRESUID, {KEEP, KEEP, 4}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETRESUID, {4, KEEP, KEEP}, -EPERM, {1, 2, 3}},
    {{1, 2, 3}, SETRESUID, {KEEP, 0, KEEP}, -EPERM, {1, 2, 3}},
};

static int make_call(struct pk_identity *id, enum call call, const uid_t args[3], bool group)
{
    switch (call) {
    case SETUID:
        return group ? identity_setgid(id, args[0]) : identity_setuid(id, args[0]);
    case SETREUID:
        return group ? identity_setregid(id, args[0], args[1])
                     : identity_setreuid(id, args[0], args[1]);
    default:
        return group ? identity_setresgid(id, args[0], args[1], args[2])
                     : identity_setresuid(id, args[0], args[1], args[2]);
    }
}

static void test_unprivileged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(id_cases) / sizeof(id_cases[0]); i++) {
        const struct id_case *c = &id_cases[i];
        struct pk_identity id = user_identity(c->from[0], c->from[1], c->from[2]);

        assert_int_equal(make_call(&id, c->call, c->args, false), c->result);
        assert_int_equal(id.uid, c->to[0]);
        assert_int_equal(id.euid, c->to[1]);
        assert_int_equal(id.suid, c->to[2]);
        assert_int_equal(id.fsuid, c->to[1]);
        id = user_identity(c->from[0], c->from[1], c->from[2]);
        assert_int_equal(make_call(&id, c->call, c->args, true), c->result);
        assert_int_equal(id.gid, c->to[0]);
        assert_int_equal(id.egid, c->to[1]);
        assert_int_equal(id.sgid, c->to[2]);
        assert_int_equal(id.fsgid, c->to[1]);
    }
}

static void test_root_drops(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    assert_int_equal(identity_setuid(&id, 1000), 0);
    assert_int_equal(id.uid, 1000);
    assert_int_equal(id.suid, 1000);
    assert_int_equal(id.permitted, 0);
    assert_int_equal(id.effective, 0);
    assert_false(id.dumpable);
    assert_int_equal(identity_setuid(&id, 0), -EPERM);
    assert_int_equal(identity_setgroups(&id, (gid_t[]){5}, 1), -EPERM);
}

static void test_root_lends(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    /* seteuid(1000) and back: effective capabilities go and come, permitted ones stay */
    assert_int_equal(identity_setresuid(&id, KEEP, 1000, KEEP), 0);
    assert_int_equal(id.effective, 0);
    assert_int_equal(id.permitted, IDENTITY_ALL_CAPS);
    assert_int_equal(identity_setresuid(&id, KEEP, 0, KEEP), 0);
    assert_int_equal(id.effective, IDENTITY_ALL_CAPS);
}

static void test_keepcaps(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    assert_int_equal(identity_set_keepcaps(&id, 2), -EINVAL);
    assert_int_equal(identity_set_keepcaps(&id, 1), 0);
    assert_int_equal(identity_setresuid(&id, 1000, 1000, 1000), 0);
    assert_int_equal(id.permitted, IDENTITY_ALL_CAPS);
    assert_int_equal(id.effective, 0); /* raised again with capset */
    assert_int_equal(identity_capset(&id, CAP(CAP_NET_RAW), CAP(CAP_NET_RAW), 0), 0);
    assert_true(identity_capable(&id, CAP_NET_RAW));
    /* what was given up is gone */
    assert_int_equal(identity_capset(&id, 0, CAP(CAP_CHOWN), 0), -EPERM);
    assert_false(identity_exec(&id, 1000, 0));
    assert_int_equal(id.permitted, 0); /* exec clears it, and the flag */
    assert_int_equal(id.securebits, 0);
}

static void test_fsuid(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    assert_int_equal(identity_setfsuid(&id, 1000), 0);
    assert_int_equal(id.fsuid, 1000);
    assert_false(identity_capable(&id, CAP_DAC_OVERRIDE));
    assert_true(identity_capable(&id, CAP_NET_ADMIN));
    assert_int_equal(identity_setfsuid(&id, KEEP), 1000);
    assert_int_equal(identity_setfsuid(&id, 0), 1000);
    assert_true(identity_capable(&id, CAP_DAC_OVERRIDE));
    id = user_identity(1, 1, 1);
    assert_int_equal(identity_setfsuid(&id, 7), 1);
    assert_int_equal(id.fsuid, 1);
    assert_int_equal(identity_setfsgid(&id, 7), 1);
    assert_int_equal(id.fsgid, 1);
}

static void test_groups(void **state)
{
    struct pk_identity id = root_identity();
    gid_t many[PK_GROUPS_MAX + 1] = {0};

    (void)state;
    assert_int_equal(identity_setgroups(&id, (gid_t[]){9, 3, 7}, 3), 0);
    assert_int_equal(id.group_count, 3);
    assert_int_equal(id.groups[0], 3);
    assert_int_equal(id.groups[2], 9);
    assert_int_equal(identity_setgroups(&id, (gid_t[]){9, KEEP}, 2), -EINVAL);
    assert_int_equal(id.group_count, 3);
    assert_int_equal(identity_setgroups(&id, many, PK_GROUPS_MAX + 1), -EINVAL);
    assert_int_equal(identity_setgroups(&id, many, PK_GROUPS_MAX), 0);
    assert_int_equal(identity_setgroups(&id, NULL, 0), 0);
    assert_int_equal(id.group_count, 0);
}

static void test_capset(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    assert_int_equal(identity_capset(&id, CAP(CAP_KILL), 0, 0), -EPERM);
    assert_int_equal(identity_drop_bounding(&id, CAP_KILL), 0);
    assert_int_equal(identity_drop_bounding(&id, 41), -EINVAL);
    assert_int_equal(identity_capset(&id, id.effective, id.permitted, CAP(CAP_KILL)), -EPERM);
    assert_int_equal(identity_capset(&id, id.effective, id.permitted, CAP(CAP_CHOWN)), 0);
    assert_int_equal(identity_ambient(&id, PR_CAP_AMBIENT_RAISE, CAP_CHOWN), 0);
    assert_int_equal(identity_ambient(&id, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 1);
    assert_int_equal(identity_ambient(&id, PR_CAP_AMBIENT_RAISE, CAP_FOWNER), -EPERM);
    assert_int_equal(identity_ambient(&id, PR_CAP_AMBIENT_RAISE, 64), -EINVAL);
    assert_int_equal(identity_ambient(&id, 99, 0), -EINVAL);
    /* lowering permitted takes the ambient one with it */
    assert_int_equal(identity_capset(&id, 0, 0, CAP(CAP_CHOWN)), 0);
    assert_int_equal(identity_ambient(&id, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN), 0);
    assert_int_equal(identity_drop_bounding(&id, CAP_KILL), -EPERM);
}

static void test_securebits(void **state)
{
    struct pk_identity id = root_identity();

    (void)state;
    assert_int_equal(identity_set_securebits(&id, 1 << 20), -EPERM);
    assert_int_equal(identity_set_securebits(&id, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED), 0);
    assert_int_equal(identity_set_securebits(&id, 0), -EPERM);
    assert_int_equal(identity_set_securebits(&id, SECBIT_NOROOT_LOCKED), -EPERM);
    assert_false(identity_exec(&id, 0, 0));
    assert_int_equal(id.permitted, 0); /* root is nobody special any more */
    id = root_identity();
    assert_int_equal(identity_set_securebits(&id, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS_LOCKED),
                     0);
    assert_int_equal(identity_set_keepcaps(&id, 1), -EPERM);
    assert_int_equal(identity_setuid(&id, 1000), 0);
    assert_int_equal(id.effective, IDENTITY_ALL_CAPS);
}

static void test_exec(void **state)
{
    struct pk_identity id = user_identity(1000, 1000, 1000);

    (void)state;
    assert_false(identity_exec(&id, 1000, 1000));
    assert_true(id.dumpable);
    /* set-user-ID root */
    assert_true(identity_exec(&id, 0, 1000));
    assert_int_equal(id.uid, 1000);
    assert_int_equal(id.euid, 0);
    assert_int_equal(id.suid, 0);
    assert_int_equal(id.fsuid, 0);
    assert_int_equal(id.effective, IDENTITY_ALL_CAPS);
    assert_false(id.dumpable);
    /* set-user-ID of somebody else started by root: permitted, not effective */
    id = root_identity();
    assert_true(identity_exec(&id, 1000, 0));
    assert_int_equal(id.permitted, IDENTITY_ALL_CAPS);
    assert_int_equal(id.effective, 0);
    /* ambient capabilities survive, and only they */
    id = user_identity(1000, 1000, 1000);
    id.permitted = id.inheritable = CAP(CAP_CHOWN) | CAP(CAP_KILL);
    id.ambient = CAP(CAP_CHOWN);
    assert_false(identity_exec(&id, 1000, 1000));
    assert_int_equal(id.permitted, CAP(CAP_CHOWN));
    assert_int_equal(id.effective, CAP(CAP_CHOWN));
    /* a set-group-ID program is secure and loses them */
    assert_true(identity_exec(&id, 1000, 5));
    assert_int_equal(id.permitted, 0);
}

static void test_may_signal(void **state)
{
    struct pk_identity root = root_identity();
    struct pk_identity user = user_identity(1000, 1000, 1000);
    struct pk_identity other = user_identity(1001, 1001, 1001);
    struct pk_identity set_id = user_identity(1000, 1001, 1001);

    (void)state;
    assert_true(identity_may_signal(&root, &user));
    assert_false(identity_may_signal(&user, &root));
    assert_false(identity_may_signal(&user, &other));
    assert_true(identity_may_signal(&user, &user));
    assert_true(identity_may_signal(&user, &set_id));
    assert_true(identity_may_signal(&other, &set_id));
    other.suid = 1000;
    assert_true(identity_may_signal(&user, &other));
}

/* ---- the running kernel as reference ---- */

struct cap_data {
    struct __user_cap_data_struct data[2];
};

static uint64_t joined(uint32_t low, uint32_t high)
{
    return low | (uint64_t)high << 32;
}

static void read_kernel(struct pk_identity *id)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct cap_data caps = {0};

    memset(id, 0, sizeof(*id));
    getresuid(&id->uid, &id->euid, &id->suid);
    getresgid(&id->gid, &id->egid, &id->sgid);
    id->fsuid = (uid_t)syscall(SYS_setfsuid, -1);
    id->fsgid = (gid_t)syscall(SYS_setfsgid, -1);
    syscall(SYS_capget, &header, caps.data);
    id->effective = joined(caps.data[0].effective, caps.data[1].effective);
    id->permitted = joined(caps.data[0].permitted, caps.data[1].permitted);
    id->inheritable = joined(caps.data[0].inheritable, caps.data[1].inheritable);
    for (int i = 0; i <= IDENTITY_LAST_CAP; i++) {
        if (prctl(PR_CAPBSET_READ, i) == 1)
            id->bounding |= 1ULL << i;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            id->ambient |= 1ULL << i;
    }
    id->securebits = (unsigned)prctl(PR_GET_SECUREBITS);
    id->dumpable = prctl(PR_GET_DUMPABLE) == 1;
}

static bool equal(const struct pk_identity *a, const struct pk_identity *b)
{
    return a->uid == b->uid && a->euid == b->euid && a->suid == b->suid && a->fsuid == b->fsuid &&
           a->gid == b->gid && a->egid == b->egid && a->sgid == b->sgid && a->fsgid == b->fsgid &&
           a->effective == b->effective && a->permitted == b->permitted &&
           a->inheritable == b->inheritable && a->bounding == b->bounding &&
           a->ambient == b->ambient && a->securebits == b->securebits && a->dumpable == b->dumpable;
}

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Few ids, so that they often match. */
static uid_t some_id(void)
{
    static const uid_t ids[] = {0, 0, 1000, 1001, 1002, KEEP};

    return ids[next_random() % (sizeof(ids) / sizeof(ids[0]))];
}

static long native(long r)
{
    return r < 0 ? -errno : r;
}

static long native_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct cap_data caps = {{{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
                             {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
                              (uint32_t)(inheritable >> 32)}}};

    return native(syscall(SYS_capset, &header, caps.data));
}

/* Makes one random call on both; returns whether results agree. */
static bool both(struct pk_identity *id, unsigned *call)
{
    uid_t a = some_id(), b = some_id(), c = some_id();
    uint64_t mask = next_random() & next_random();
    uint64_t bit = next_random() % 42;

    switch (*call = (unsigned)(next_random() % 14)) {
    case 0:
        return native(syscall(SYS_setuid, a)) == identity_setuid(id, a);
    case 1:
        return native(syscall(SYS_setreuid, a, b)) == identity_setreuid(id, a, b);
    case 2:
        return native(syscall(SYS_setresuid, a, b, c)) == identity_setresuid(id, a, b, c);
    case 3:
        return native(syscall(SYS_setgid, a)) == identity_setgid(id, a);
    case 4:
        return native(syscall(SYS_setregid, a, b)) == identity_setregid(id, a, b);
    case 5:
        return native(syscall(SYS_setresgid, a, b, c)) == identity_setresgid(id, a, b, c);
    case 6:
        return (uid_t)syscall(SYS_setfsuid, a) == identity_setfsuid(id, a);
    case 7:
        return (gid_t)syscall(SYS_setfsgid, a) == identity_setfsgid(id, a);
    case 8:
        return native(prctl(PR_SET_KEEPCAPS, mask & 1)) == identity_set_keepcaps(id, mask & 1);
    case 9: {
        uint64_t effective = id->effective & ~(mask & next_random());
        uint64_t permitted = id->permitted & ~(mask & next_random() & ~effective);

        return native_capset(effective, permitted, mask) ==
               identity_capset(id, effective, permitted, mask);
    }
    case 10:
        return native(prctl(PR_SET_SECUREBITS, mask & 0x55)) ==
               identity_set_securebits(id, mask & 0x55);
    case 11:
        return native(prctl(PR_CAPBSET_DROP, bit)) == identity_drop_bounding(id, bit);
    case 12:
        return native(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0)) ==
               identity_ambient(id, PR_CAP_AMBIENT_RAISE, bit);
    default:
        return native_capset(id->permitted, id->permitted, id->permitted & mask) ==
               identity_capset(id, id->permitted, id->permitted, id->permitted & mask);
    }
}

/* One process makes calls until it has no rights left to try. Returns 0 when all agreed. */
static int random_life(uint64_t number)
{
    struct pk_identity id, now;

    seed = number * 0x9e3779b97f4a7c15 + 1;
    prctl(PR_SET_DUMPABLE, 1);
    read_kernel(&id);
    for (int i = 0; i < 30; i++) {
        struct pk_identity before = id;
        unsigned call = 0;

        if (!both(&id, &call)) {
            fprintf(stderr, "life %lu, step %d: call %u: other result\n", (unsigned long)number, i,
                    call);
            return 1;
        }
        read_kernel(&now);
        if (!equal(&id, &now)) {
            fprintf(
                stderr,
                "life %lu, step %d: call %u: other state: uid %d/%d/%d/%d to %d/%d/%d/%d, model "
                "%d/%d/%d/%d, effective %lx/%lx, permitted %lx/%lx, dumpable %d/%d\n",
                (unsigned long)number, i, call, (int)before.uid, (int)before.euid, (int)before.suid,
                (int)before.fsuid, (int)now.uid, (int)now.euid, (int)now.suid, (int)now.fsuid,
                (int)id.uid, (int)id.euid, (int)id.suid, (int)id.fsuid,
                (unsigned long)now.effective, (unsigned long)id.effective,
                (unsigned long)now.permitted, (unsigned long)id.permitted, now.dumpable,
                id.dumpable);
            return 1;
        }
    }
    return 0;
}

/* setresuid() of older kernels sets the file system uid even when nothing else changes. */
static bool is_new_kernel(void)
{
    struct utsname name;
    unsigned major = 0, minor = 0;

    uname(&name);
    sscanf(name.release, "%u.%u", &major, &minor);
    return major > 6 || (major == 6 && minor >= 3);
}

static void test_against_kernel(void **state)
{
    (void)state;
    if (!is_new_kernel() || geteuid() != 0 || prctl(PR_CAPBSET_READ, IDENTITY_LAST_CAP) < 0 ||
        prctl(PR_CAPBSET_READ, IDENTITY_LAST_CAP + 1) >= 0)
        SKIP("needs root and a kernel that knows exactly our capabilities");
    for (uint64_t number = 0; number < 300; number++) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
            _exit(random_life(number));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* ---- kill ---- */

static void test_signal_targets(void **state)
{
    struct signal_target target;

    (void)state;
    assert_int_equal(signal_target(100, 100, 90, &target), 0);
    assert_int_equal(target.scope, SIGNAL_SELF);
    assert_int_equal(signal_target(101, 100, 90, &target), 0);
    assert_int_equal(target.scope, SIGNAL_PROCESS);
    assert_true(signal_target_includes(&target, 100, 101, 90));
    assert_false(signal_target_includes(&target, 100, 100, 101));
    assert_int_equal(signal_target(0, 100, 90, &target), 0);
    assert_int_equal(target.scope, SIGNAL_GROUP);
    assert_int_equal(target.id, 90);
    assert_true(signal_target_includes(&target, 100, 100, 90)); /* the caller, too */
    assert_true(signal_target_includes(&target, 100, 101, 90));
    assert_false(signal_target_includes(&target, 100, 90, 91));
    assert_int_equal(signal_target(-77, 100, 90, &target), 0);
    assert_int_equal(target.scope, SIGNAL_GROUP);
    assert_int_equal(target.id, 77);
    assert_int_equal(signal_target(-1, 100, 90, &target), 0);
    assert_int_equal(target.scope, SIGNAL_ALL);
    assert_true(signal_target_includes(&target, 100, 101, 90));
    assert_false(signal_target_includes(&target, 100, 100, 90)); /* not the caller */
    assert_int_equal(signal_target(INT_MIN, 100, 90, &target), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unprivileged),   cmocka_unit_test(test_root_drops),
        cmocka_unit_test(test_root_lends),     cmocka_unit_test(test_keepcaps),
        cmocka_unit_test(test_fsuid),          cmocka_unit_test(test_groups),
        cmocka_unit_test(test_capset),         cmocka_unit_test(test_securebits),
        cmocka_unit_test(test_exec),           cmocka_unit_test(test_may_signal),
        cmocka_unit_test(test_against_kernel), cmocka_unit_test(test_signal_targets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

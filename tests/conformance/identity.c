/* User and group ids, and capabilities. */
#define FAMILY "identity"
#include "conform.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

static void are(uid_t real, uid_t effective, uid_t saved)
{
    uid_t r;
    uid_t e;
    uid_t s;

    ok(getresuid(&r, &e, &s));
    is(r, real);
    is(e, effective);
    is(s, saved);
}

static int capabilities(struct __user_cap_data_struct *data, bool set)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

    return (int)syscall(set ? SYS_capset : SYS_capget, &header, data);
}

REFUSED(groups_negative, "getgroups(2) EINVAL", getgroups(-1, NULL), EINVAL)
REFUSED(uid_invalid, "setuid(2) EINVAL", setuid((uid_t)-1), EINVAL)
REFUSED(capget_version, "capget(2) EINVAL",
        syscall(SYS_capget, &(struct __user_cap_header_struct){0x12345678, 0}, (char[24]){0}),
        EINVAL)
REFUSED(capget_nobody, "capget(2) ESRCH",
        syscall(SYS_capget,
                &(struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 999999999},
                (char[24]){0}),
        ESRCH)
REFUSED(capget_pointer, "capget(2) EFAULT", syscall(SYS_capget, (void *)8, (char[24]){0}), EFAULT)
REFUSED(resuid_pointer, "getresuid(2) EFAULT", syscall(SYS_getresuid, 8, 8, 8), EFAULT)

CHECK(user_cannot, "setuid(2), setresuid(2), setgroups(2) EPERM")
{
    as_user();
    fails(setuid(0), EPERM);
    fails(seteuid(0), EPERM);
    fails(setreuid(0, 0), EPERM);
    fails(setresuid((uid_t)-1, (uid_t)-1, 0), EPERM);
    fails(setgid(0), EPERM);
    fails(setresgid((gid_t)-1, 0, (gid_t)-1), EPERM);
    fails(setgroups(0, NULL), EPERM);
}

CHECK(user_to_itself, "setuid(2): to what one is")
{
    uid_t uid;

    as_user();
    uid = getuid();
    ok(setuid(uid));
    ok(setresuid(uid, uid, uid));
    ok(setreuid((uid_t)-1, uid));
    ok(setgid(getgid()));
    is(setfsuid(uid), (long)uid);
    is(setfsuid(0), (long)uid);
    is(setfsuid((uid_t)-1), (long)uid);
}

CHECK(root_to_all, "setuid(2): all three for root, no way back")
{
    as_root();
    ok(setuid(1000));
    are(1000, 1000, 1000);
    fails(setuid(0), EPERM);
}

CHECK(effective_and_back, "seteuid(2): the saved id leads back")
{
    as_root();
    ok(seteuid(1000));
    are(0, 1000, 0);
    fails(setgroups(0, NULL), EPERM);
    ok(seteuid(0));
    are(0, 0, 0);
    ok(setgroups(0, NULL));
}

CHECK(swap, "setreuid(2): real and effective; the saved id follows")
{
    as_root();
    ok(setresuid(1000, 1001, 1002));
    are(1000, 1001, 1002);
    ok(setreuid(1001, 1000));
    are(1001, 1000, 1000);
    fails(setresuid(1002, (uid_t)-1, (uid_t)-1), EPERM);
}

CHECK(setuid_of_user_changes_effective_only, "setuid(2): without privilege the effective id")
{
    as_root();
    ok(setresuid(1000, 1001, 1002));
    ok(setuid(1002));
    are(1000, 1002, 1002);
}

CHECK(groups, "setgroups(2), getgroups(2)")
{
    gid_t list[3] = {30, 10, 20};
    gid_t got[8];

    as_root();
    ok(setgroups(3, list));
    is(getgroups(0, NULL), 3);
    fails(getgroups(2, got), EINVAL);
    is(getgroups(8, got), 3);
    IN_CHILD is(getgroups(8, got), 3);
    fails(setgroups(70000, list), EINVAL);
}

CHECK(inherited, "credentials(7): by fork and execve")
{
    char wanted[64];
    char *found;

    as_root();
    ok(setresgid(2001, 2001, 2001));
    ok(setresuid(1001, 1001, 1001));
    ok(chdir("/"));
    found = helper_says((char *[]){"x", "--helper", "auxiliary", NULL}, (char *[]){NULL});
    snprintf(wanted, sizeof(wanted), "uid=1001 euid=1001 gid=2001");
    must(strstr(found, wanted));
}

CHECK(threads_by_the_library, "setuid(2) C library: all threads change")
{
    as_root();
    ok(setresuid(1001, 1001, 1001));
    is((uid_t)(uintptr_t)end_of(start((void *(*)(void *))(void *)geteuid, NULL)), 1001);
}

CHECK(status_file, "proc(5) status: Uid, Gid, Groups")
{
    char wanted[64];
    char *status = slurp("/proc/self/status");

    snprintf(wanted, sizeof(wanted), "\nUid:\t%u\t%u\t%u\t%u\n", getuid(), geteuid(), geteuid(),
             geteuid());
    must(strstr(status, wanted));
    snprintf(wanted, sizeof(wanted), "\nGid:\t%u\t%u\t%u\t%u\n", getgid(), getegid(), getegid(),
             getegid());
    must(strstr(status, wanted));
}

CHECK(owner_of_proc, "proc(5): /proc/PID belongs to the effective ids")
{
    struct stat status;

    ok(stat("/proc/self/", &status));
    is(status.st_uid, geteuid());
    is(status.st_gid, getegid());
}

CHECK(user_has_no_capabilities, "capabilities(7): a user after setuid")
{
    struct __user_cap_data_struct data[2];

    as_root();
    as_user();
    ok(capabilities(data, false));
    is(data[0].effective, 0);
    is(data[0].permitted, 0);
}

CHECK(root_has_capabilities, "capabilities(7): root has the usual ones")
{
    as_root();
    must(has_capability(CAP_CHOWN));
    must(has_capability(CAP_DAC_OVERRIDE));
    must(has_capability(CAP_SETUID));
    must(has_capability(CAP_KILL));
}

CHECK(euid_drops_effective, "capabilities(7): effective uid 0 to other clears the effective set")
{
    struct __user_cap_data_struct data[2];

    as_root();
    ok(seteuid(1000));
    ok(capabilities(data, false));
    is(data[0].effective, 0);
    must(data[0].permitted != 0);
    ok(seteuid(0));
    ok(capabilities(data, false));
    must(data[0].effective != 0);
}

CHECK(keep_capabilities, "prctl(2) PR_SET_KEEPCAPS")
{
    struct __user_cap_data_struct data[2];

    as_root();
    file("f", "");
    ok(chmod(".", 0755));
    ok(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    ok(setresuid(1000, 1000, 1000));
    ok(capabilities(data, false));
    must(data[0].permitted != 0);
    is(data[0].effective, 0);
    data[0].effective = data[0].permitted & (1u << CAP_CHOWN);
    ok(capabilities(data, true));
    ok(chown("f", 1, 1));
    fails(chmod("f", 0600), EPERM);
}

CHECK(capabilities_can_be_dropped, "capset(2): less, never more")
{
    struct __user_cap_data_struct data[2];

    as_root();
    ok(capabilities(data, false));
    data[0].effective &= ~(1u << CAP_CHOWN);
    ok(capabilities(data, true));
    file("f", "");
    fails(chown("f", 1, 1), EPERM);
    data[0].permitted &= ~(1u << CAP_CHOWN);
    data[0].inheritable &= ~(1u << CAP_CHOWN);
    ok(capabilities(data, true));
    data[0].permitted |= 1u << CAP_CHOWN;
    fails(capabilities(data, true), EPERM);
}

CHECK(user_cannot_gain, "capset(2) EPERM")
{
    struct __user_cap_data_struct data[2];

    as_user();
    ok(capabilities(data, false));
    data[0].permitted |= 1u << CAP_SYS_ADMIN;
    fails(capabilities(data, true), EPERM);
}

CHECK(bounding_set, "prctl(2) PR_CAPBSET_READ, PR_CAPBSET_DROP")
{
    fails(prctl(PR_CAPBSET_READ, 999, 0, 0, 0), EINVAL);
    as_root();
    if (!has_capability(CAP_SETPCAP))
        skip("needs CAP_SETPCAP");
    is(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 1);
    ok(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
    is(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 0);
}

CHECK(drop_needs_privilege, "prctl(2) PR_CAPBSET_DROP EPERM")
{
    as_user();
    fails(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0), EPERM);
}

CHECK(dac_override_dropped, "capabilities(7): root without CAP_DAC_OVERRIDE")
{
    struct __user_cap_data_struct data[2];

    as_root();
    file("f", "");
    ok(chown("f", 1000, 1000));
    ok(chmod("f", 0600));
    ok(capabilities(data, false));
    data[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    ok(capabilities(data, true));
    fails(open("f", O_RDONLY), EACCES);
}

CHECK(exec_as_root_again, "capabilities(7): a saved root's program has none")
{
    as_root();
    ok(setresuid(1000, 1000, 0));
    ok(chdir("/"));
    IN_CHILD execl("/bin/sh", "sh", "-c", "grep -q 'CapEff:.0*$' /proc/self/status", NULL);
}

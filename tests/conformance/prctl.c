/* prctl and other settings of a process; system information. */
#define FAMILY "prctl"
#include "conform.h"

#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

REFUSED(unknown, "prctl(2) EINVAL", prctl(123456, 0, 0, 0, 0), EINVAL)
REFUSED(name_pointer, "prctl(2) EFAULT", prctl(PR_SET_NAME, 8, 0, 0, 0), EFAULT)
REFUSED(death_signal_number, "prctl(2) EINVAL", prctl(PR_SET_PDEATHSIG, 99, 0, 0, 0), EINVAL)
REFUSED(dumpable_value, "prctl(2) EINVAL", prctl(PR_SET_DUMPABLE, 77, 0, 0, 0), EINVAL)
REFUSED(privileges_value, "prctl(2) EINVAL", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL)
REFUSED(privileges_extra, "prctl(2) EINVAL", prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0), EINVAL)
REFUSED(keep_value, "prctl(2) EINVAL", prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0), EINVAL)
REFUSED(uname_pointer, "uname(2) EFAULT", syscall(SYS_uname, 8), EFAULT)
REFUSED(sysinfo_pointer, "sysinfo(2) EFAULT", syscall(SYS_sysinfo, 8), EFAULT)
REFUSED(getcpu_pointer, "getcpu(2) EFAULT", syscall(SYS_getcpu, 8, 8, NULL), EFAULT)

CHECK(name, "prctl(2) PR_SET_NAME: cut to 15 bytes")
{
    char text[17] = "";

    ok(prctl(PR_SET_NAME, "a name that is long", 0, 0, 0));
    ok(prctl(PR_GET_NAME, text, 0, 0, 0));
    same(text, "a name that is ");
    content("/proc/self/comm", "a name that is \n");
}

CHECK(name_by_file, "proc(5) comm can be written")
{
    char text[17] = "";
    int fd = (int)ok(open("/proc/self/comm", O_WRONLY));

    is(write(fd, "other", 5), 5);
    ok(prctl(PR_GET_NAME, text, 0, 0, 0));
    same(text, "other");
}

CHECK(death_signal, "prctl(2) PR_GET_PDEATHSIG; cleared by fork")
{
    int number = -1;

    ok(prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
    ok(prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0));
    is(number, SIGUSR1);
    ok(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_GET_PDEATHSIG, &number, 0, 0, 0);
        _exit(number);
    }
    exits(pid, 0);
}

CHECK(dumpable, "prctl(2) PR_SET_DUMPABLE")
{
    ok(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    is(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    IN_CHILD is(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    ok(access(".", F_OK));
    ok(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    is(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
}

CHECK(subreaper, "prctl(2) PR_GET_CHILD_SUBREAPER: not inherited")
{
    int value = -1;

    ok(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    ok(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0));
    is(value, 1);
    IN_CHILD
    {
        ok(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0));
        is(value, 0);
    }
}

CHECK(timer_slack, "prctl(2) PR_SET_TIMERSLACK")
{
    ok(prctl(PR_SET_TIMERSLACK, 12345, 0, 0, 0));
    is(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
}

CHECK(tid_address, "prctl(2) PR_GET_TID_ADDRESS")
{
    int *address = NULL;

    if (prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) < 0)
        skip("not in this kernel");
    must(address && *address == gettid());
}

CHECK(huge_pages, "prctl(2) PR_SET_THP_DISABLE")
{
    ok(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    is(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
}

CHECK(named_memory, "prctl(2) PR_SET_VMA_ANON_NAME")
{
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (prctl(0x53564d41, 0, at, 4096, "conform") < 0)
        skip("not in this kernel");
    must(strstr(slurp("/proc/self/maps"), "[anon:conform]"));
}

CHECK(system_names, "uname(2)")
{
    struct utsname names;
    char host[256];

    ok(uname(&names));
    same(names.sysname, "Linux");
    same(names.machine, "x86_64");
    ok(gethostname(host, sizeof(host)));
    same(host, names.nodename);
    must(strncmp(slurp("/proc/sys/kernel/osrelease"), names.release, strlen(names.release)) == 0);
}

CHECK(host_name_needs_root, "sethostname(2) EPERM, EINVAL, EFAULT")
{
    as_user();
    fails(sethostname("x", 1), EPERM);
    fails(setdomainname("x", 1), EPERM);
}

CHECK(system_information, "sysinfo(2) agrees with /proc/meminfo")
{
    struct sysinfo info;
    char line[64];

    ok(sysinfo(&info));
    must(info.totalram > 0 && info.freeram <= info.totalram);
    must(info.procs > 0);
    snprintf(line, sizeof(line), "MemTotal:%15lu kB", info.totalram * info.mem_unit / 1024);
    must(strstr(slurp("/proc/meminfo"), line));
}

CHECK(processors, "sysconf(3): /sys, affinity and /proc/cpuinfo agree")
{
    const char *at = slurp("/proc/cpuinfo");
    long count = 0;

    while ((at = strstr(at, "processor\t:")) != NULL) {
        count++;
        at++;
    }
    is(sysconf(_SC_NPROCESSORS_ONLN), count);
}

CHECK(personality, "personality(2)")
{
    long old = syscall(SYS_personality, 0xffffffff);

    must(old >= 0);
    is(syscall(SYS_personality, old), old);
}
CHECK(refused_without_privilege, "reboot(2), settimeofday(2), swapon(2), acct(2), chroot(2) EPERM")
{
    as_user();
    fails(settimeofday(&(struct timeval){0, 0}, NULL), EPERM);
    fails(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL), EPERM);
    fails(syscall(SYS_swapoff, "/x"), EPERM);
    fails(syscall(SYS_acct, NULL), EPERM);
    fails(vhangup(), EPERM);
}

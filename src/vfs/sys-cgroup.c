/*
 * A control group file system of one group: the tree of this kernel, as a container sees its own
 * group. Runtimes (JVM, node, Go, python) size themselves by these files.
 */
#include <errno.h>
#include <inttypes.h>

#include "vfs/proc-internal.h"
#include "vfs/sys-internal.h"

static int usage_of(const struct pseudo_access *access, struct proc_usage *ret_usage)
{
    return proc_usage_of_tree(pseudo_kernel(access), ret_usage);
}

static int add_limit(struct strbuf *text, uint64_t limit)
{
    if (limit)
        strbuf_addf(text, "%" PRIu64 "\n", limit);
    else
        strbuf_add_string(text, "max\n");
    return strbuf_status(text);
}

static int add_pid(pid_t pid, void *user)
{
    strbuf_addf(user, "%d\n", pid);
    return 0;
}

int sys_cgroup_procs(const struct pseudo_access *access, struct strbuf *ret_text)
{
    int r = pk_for_each_process(pseudo_kernel(access), add_pid, ret_text);

    return r < 0 ? r : strbuf_status(ret_text);
}

int sys_cgroup_memory_current(const struct pseudo_access *access, struct strbuf *ret_text)
{
    struct proc_usage usage;
    int r = usage_of(access, &usage);

    if (r < 0)
        return r;
    strbuf_addf(ret_text, "%" PRIu64 "\n", usage.resident);
    return strbuf_status(ret_text);
}

int sys_cgroup_memory_max(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return add_limit(ret_text, pseudo_kernel(access)->config.limits.memory);
}

/* Pages are not told apart: all that is resident counts as anonymous, nothing as reclaimable. */
int sys_cgroup_memory_stat(const struct pseudo_access *access, struct strbuf *ret_text)
{
    struct proc_usage usage;
    int r = usage_of(access, &usage);

    if (r < 0)
        return r;
    strbuf_addf(ret_text,
                "anon %" PRIu64 "\nfile 0\nkernel 0\nshmem 0\ninactive_anon 0\n"
                "active_anon %" PRIu64 "\ninactive_file 0\nactive_file 0\nunevictable 0\n"
                "slab_reclaimable 0\nslab_unreclaimable 0\nslab 0\n",
                usage.resident, usage.resident);
    return strbuf_status(ret_text);
}

int sys_cgroup_swap_max(const struct pseudo_access *access, struct strbuf *ret_text)
{
    bool limited = pseudo_kernel(access)->config.limits.memory != 0;

    strbuf_add_string(ret_text, limited ? "0\n" : "max\n");
    return strbuf_status(ret_text);
}

int sys_cgroup_cpu_stat(const struct pseudo_access *access, struct strbuf *ret_text)
{
    struct proc_usage usage;
    int r = usage_of(access, &usage);

    if (r < 0)
        return r;
    strbuf_addf(ret_text,
                "usage_usec %" PRIu64 "\nuser_usec %" PRIu64 "\nsystem_usec %" PRIu64
                "\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
                usage.cpu_user_us + usage.cpu_system_us, usage.cpu_user_us, usage.cpu_system_us);
    return strbuf_status(ret_text);
}

/* A cpuset's list: "0-3,8". */
static int add_cpus(const cpu_set_t *cpus, struct strbuf *text)
{
    const char *separator = "";

    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int last = cpu;

        if (!CPU_ISSET(cpu, cpus))
            continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
            last++;
        strbuf_addf(text, last > cpu ? "%s%d-%d" : "%s%d", separator, cpu, last);
        separator = ",";
        cpu = last;
    }
    strbuf_add_string(text, "\n");
    return strbuf_status(text);
}

/* Those that the guest was started on, if it was held to some of them. */
int sys_cgroup_cpus(const struct pseudo_access *access, struct strbuf *ret_text)
{
    const cpu_set_t *cpus = &pseudo_kernel(access)->cpus;

    if (CPU_COUNT(cpus) > 0)
        return add_cpus(cpus, ret_text);
    return pseudo_host_text(access->fs, "devices/system/cpu/online", ret_text);
}

int sys_cgroup_mems(const struct pseudo_access *access, struct strbuf *ret_text)
{
    int r = pseudo_host_text(access->fs, "devices/system/node/online", ret_text);

    if (r != -ENOENT)
        return r;
    strbuf_add_string(ret_text, "0\n"); /* a kernel without NUMA has one node */
    return strbuf_status(ret_text);
}

int sys_cgroup_pids_current(const struct pseudo_access *access, struct strbuf *ret_text)
{
    struct proc_usage usage;
    int r = usage_of(access, &usage);

    if (r < 0)
        return r;
    strbuf_addf(ret_text, "%u\n", usage.threads);
    return strbuf_status(ret_text);
}

int sys_cgroup_pids_max(const struct pseudo_access *access, struct strbuf *ret_text)
{
    return add_limit(ret_text, pseudo_kernel(access)->config.limits.pids);
}

/* Files about the whole system, cut to what this kernel's tree is and may use. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/proc-internal.h"

struct usage_sum {
    int proc; /* the host's /proc */
    uint64_t tick_us, page;
    struct proc_usage usage;
};

/* stat: 14 utime, 15 stime, 16 cutime, 17 cstime, 20 threads, 24 resident pages. */
static int add_usage(pid_t pid, void *user)
{
    struct usage_sum *sum = user;
    cleanup_strbuf struct strbuf text = {0};
    uint64_t fields[25] = {0};
    char path[32];
    const char *p;

    snprintf(path, sizeof(path), "%d/stat", pid);
    if (io_read_file(sum->proc, path, 4096, &text) < 0)
        return 0; /* gone meanwhile */
    p = strrchr(strbuf_text(&text), ')');
    for (unsigned field = 2; p && field < 24; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
        if (p)
            fields[field + 1] = strtoull(p, NULL, 10);
    }
    sum->usage.cpu_user_us += (fields[14] + fields[16]) * sum->tick_us;
    sum->usage.cpu_system_us += (fields[15] + fields[17]) * sum->tick_us;
    sum->usage.threads += (unsigned)fields[20];
    sum->usage.resident += fields[24] * sum->page;
    sum->usage.processes++;
    sum->usage.last_pid = pid;
    return 0;
}

int proc_usage_of_tree(struct pk_kernel *kernel, struct proc_usage *ret_usage)
{
    struct usage_sum sum = {.proc = -1,
                            .tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK),
                            .page = (uint64_t)sysconf(_SC_PAGESIZE)};
    cleanup_close int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (proc < 0)
        return -errno;
    sum.proc = proc;
    r = pk_for_each_process(kernel, add_usage, &sum);
    if (r < 0)
        return r;
    *ret_usage = sum.usage;
    return 0;
}

/* What the memory limit leaves of one line of meminfo; all in KiB. */
static uint64_t limited(const char *key, uint64_t host, uint64_t limit, uint64_t used)
{
    uint64_t left = limit > used ? limit - used : 0;

    if (strcmp(key, "MemTotal") == 0)
        return limit;
    if (strncmp(key, "Swap", 4) == 0)
        return 0;
    if (strcmp(key, "MemFree") == 0 || strcmp(key, "MemAvailable") == 0)
        return host < left ? host : left;
    if (strncmp(key, "Vmalloc", 7) == 0 || strncmp(key, "DirectMap", 9) == 0 ||
        strncmp(key, "Huge", 4) == 0)
        return host;
    return host < limit ? host : limit;
}

static void put_meminfo_line(const char *line, uint64_t limit, uint64_t used, struct strbuf *text)
{
    char key[32];
    uint64_t host;

    if (sscanf(line, "%31[^:]: %" SCNu64, key, &host) == 2 && strstr(line, " kB"))
        strbuf_addf(text, "%s:%*" PRIu64 " kB\n", key, 23 - (int)strlen(key),
                    limited(key, host, limit, used));
    else
        strbuf_addf(text, "%s\n", line);
}

static uint64_t host_total(const char *meminfo)
{
    uint64_t total = 0;

    sscanf(meminfo, "MemTotal: %" SCNu64, &total);
    return total;
}

int proc_meminfo(const struct pseudo_access *access, struct strbuf *ret_text)
{
    struct pk_kernel *kernel = pseudo_kernel(access);
    uint64_t limit = kernel->config.limits.memory / 1024;
    cleanup_strbuf struct strbuf host = {0};
    struct proc_usage usage = {0};
    char *rest, *line;
    int r = pseudo_host_text(access->fs, "meminfo", &host);

    if (r < 0)
        return r;
    if (limit == 0 || limit >= host_total(strbuf_text(&host))) {
        strbuf_add(ret_text, strbuf_text(&host), host.length);
        return strbuf_status(ret_text);
    }
    r = proc_usage_of_tree(kernel, &usage);
    if (r < 0)
        return r;
    rest = host.data;
    while ((line = strsep(&rest, "\n")) && *line)
        put_meminfo_line(line, limit, usage.resident / 1024, ret_text);
    return strbuf_status(ret_text);
}

/* The load is the machine's; the counts behind it are the tree's. */
int proc_loadavg(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_strbuf struct strbuf host = {0};
    struct proc_usage usage = {0};
    char load[64];
    int r = pseudo_host_text(access->fs, "loadavg", &host);

    if (r >= 0)
        r = proc_usage_of_tree(pseudo_kernel(access), &usage);
    if (r < 0)
        return r;
    if (sscanf(strbuf_text(&host), "%63[0-9. ]", load) != 1)
        return -EIO;
    /* "0.00 0.01 0.05 1/123 456": the blank-and-digits run ends within the fourth field */
    load[strcspn(load, "\n")] = '\0';
    for (int spaces = 0, i = 0; load[i]; i++)
        if (load[i] == ' ' && ++spaces == 3)
            load[i] = '\0';
    strbuf_addf(ret_text, "%s 1/%u %d\n", load, usage.threads, usage.last_pid);
    return strbuf_status(ret_text);
}

/* Reading fails on hosts that were started without pressure accounting. */
int proc_pressure(const struct pseudo_access *access, struct strbuf *ret_text)
{
    int r = pseudo_generate_host(access, ret_text);

    return r == -EOPNOTSUPP ? -ENOENT : r;
}

/* Commands 1 to 6, 9 and 10 say the same as /proc and /sys, read in the same guest. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define TRIES 20

/* A value that may change is right when it lies between what /proc said before and after. */
struct comparison {
    const char *name;
    uint64_t before, value, after;
};

static bool lies_between(const struct comparison *c)
{
    uint64_t low = c->before < c->after ? c->before : c->after,
             high = c->before < c->after ? c->after : c->before;

    return c->value >= low && c->value <= high;
}

/* Compares again and again, until all agree at the same time; the last attempt is shown. */
static void compare(const char *table, size_t (*take)(struct comparison *rows))
{
    struct comparison rows[40];
    size_t count = 0, wrong = 1;

    for (int i = 0; i < TRIES && wrong; i++) {
        usleep(i ? 20000 : 0); /* some values may be remembered for a tenth of a second */
        wrong = 0;
        count = take(rows);
        for (size_t j = 0; j < count; j++)
            wrong += !lies_between(&rows[j]);
    }
    for (size_t j = 0; j < count; j++)
        row(table, "%s\t%llu\t%llu\t%s", rows[j].name, (unsigned long long)rows[j].value,
            (unsigned long long)rows[j].after,
            !lies_between(&rows[j])           ? "WRONG"
            : rows[j].before == rows[j].after ? "equal"
                                              : "between");
    check(wrong == 0, "%zu of %zu values differ, see the table %s", wrong, count, table);
}

static void row_text(const char *table, const char *name, const char *value, const char *expected)
{
    row(table, "%s\t%s\t%s\t%s", name, value, expected,
        strcmp(value, expected) == 0 ? "equal" : "WRONG");
    check(strcmp(value, expected) == 0, "%s is \"%s\", expected \"%s\"", name, value, expected);
}

/* ---- 1: memory ---- */

static const struct {
    const char *name, *key;
    size_t offset;
} memory_fields[] = {
    {"total_ram", "MemTotal", offsetof(struct kapi_memory_info, total_ram)},
    {"free_ram", "MemFree", offsetof(struct kapi_memory_info, free_ram)},
    {"buffers", "Buffers", offsetof(struct kapi_memory_info, buffers)},
    {"cached", "Cached", offsetof(struct kapi_memory_info, cached)},
    {"swap_total", "SwapTotal", offsetof(struct kapi_memory_info, swap_total)},
    {"swap_free", "SwapFree", offsetof(struct kapi_memory_info, swap_free)},
    {"slab", "Slab", offsetof(struct kapi_memory_info, slab)},
    {"page_tables", "PageTables", offsetof(struct kapi_memory_info, page_tables)},
    {"vmalloc_used", "VmallocUsed", offsetof(struct kapi_memory_info, vmalloc_used)},
    {"committed_as", "Committed_AS", offsetof(struct kapi_memory_info, committed_as)},
    {"dirty", "Dirty", offsetof(struct kapi_memory_info, dirty)},
    {"writeback", "Writeback", offsetof(struct kapi_memory_info, writeback)},
    {"anon_pages", "AnonPages", offsetof(struct kapi_memory_info, anon_pages)},
    {"mapped", "Mapped", offsetof(struct kapi_memory_info, mapped)},
    {"shmem", "Shmem", offsetof(struct kapi_memory_info, shmem)},
};

static size_t take_memory(struct comparison *rows)
{
    static char before[8192], after[8192];
    struct kapi_memory_info info;
    int fd = device_open();

    read_file("/proc/meminfo", before, sizeof(before));
    check(kapi_call(fd, KAPI_GET_MEMORY_INFO, &info) == 0, "%s", strerror(errno));
    read_file("/proc/meminfo", after, sizeof(after));
    close(fd);
    for (size_t i = 0; i < ARRAY_LENGTH(memory_fields); i++)
        rows[i] = (struct comparison){memory_fields[i].name,
                                      number_after(before, memory_fields[i].key) * 1024,
                                      *(uint64_t *)((char *)&info + memory_fields[i].offset),
                                      number_after(after, memory_fields[i].key) * 1024};
    uint64_t used = info.total_ram - info.free_ram;
    rows[ARRAY_LENGTH(memory_fields)] = (struct comparison){"used_ram", used, info.used_ram, used};
    return ARRAY_LENGTH(memory_fields) + 1;
}

static void memory_equals_proc(enum way way)
{
    compare("memory", take_memory);
}

/* ---- 2: processors ---- */

static void read_times(uint64_t times[10])
{
    char text[16384];

    read_file("/proc/stat", text, sizeof(text));
    check(sscanf(text, "cpu %lu %lu %lu %lu %lu %lu %lu %lu %lu", &times[0], &times[1], &times[2],
                 &times[3], &times[4], &times[5], &times[6], &times[7], &times[8]) == 9,
          "%.80s", text);
    read_file("/proc/uptime", text, sizeof(text));
    times[9] = strtoul(text, NULL, 10);
}

static size_t take_times(struct comparison *rows)
{
    uint64_t before[10], after[10];
    struct kapi_cpu_info info;
    int fd = device_open();

    read_times(before);
    check(kapi_call(fd, KAPI_GET_CPU_INFO, &info) == 0, "%s", strerror(errno));
    read_times(after);
    close(fd);
    const struct {
        const char *name;
        int index;
        uint64_t value;
    } fields[] = {{"user_time", 0, info.user_time},   {"system_time", 2, info.system_time},
                  {"idle_time", 3, info.idle_time},   {"iowait_time", 4, info.iowait_time},
                  {"irq_time", 5, info.irq_time},     {"softirq_time", 6, info.softirq_time},
                  {"guest_time", 8, info.guest_time}, {"uptime", 9, info.uptime}};
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        rows[i] = (struct comparison){fields[i].name, before[fields[i].index], fields[i].value,
                                      after[fields[i].index]};
    return ARRAY_LENGTH(fields);
}

static void processors_equal_proc(enum way way)
{
    static char text[32768], value[256], expected[256];
    struct kapi_cpu_info info;

    compare("cpu", take_times);
    check(kapi_call(device_open(), KAPI_GET_CPU_INFO, &info) == 0, "%s", strerror(errno));
    read_file("/proc/cpuinfo", text, sizeof(text));
    text_after(text, "model name", expected, sizeof(expected));
    expected[sizeof(info.cpu_model) - 1] = '\0';
    row_text("cpu", "cpu_model", info.cpu_model, expected);
    text_after(text, "vendor_id", expected, sizeof(expected));
    row_text("cpu", "vendor_id", info.vendor_id, expected);
    text_after(text, "cpu family", expected, sizeof(expected));
    row_text("cpu", "cpu_family", info.cpu_family, expected);
    text_after(text, "cache size", expected, sizeof(expected));
    snprintf(value, sizeof(value), "%u KB", info.cache_size);
    row_text("cpu", "cache_size", value, expected);
    snprintf(value, sizeof(value), "%u", info.cache_alignment);
    text_after(text, "cache_alignment", expected, sizeof(expected));
    row_text("cpu", "cache_alignment", value, expected);
    text_after(text, "cpu MHz", expected, sizeof(expected));
    long difference = (long)info.cpu_freq - (long)(strtod(expected, NULL) * 1000);
    row("cpu", "cpu_freq\t%llu kHz\t%s MHz\t%s", (unsigned long long)info.cpu_freq, expected,
        labs(difference) <= 1 ? "equal" : "WRONG");
    check(labs(difference) <= 1, "cpu_freq %llu, expected %s MHz",
          (unsigned long long)info.cpu_freq, expected);
    check(info.num_cpus == (unsigned int)sysconf(_SC_NPROCESSORS_CONF) &&
              info.num_online_cpus == (unsigned int)sysconf(_SC_NPROCESSORS_ONLN),
          "%u of %u processors", info.num_online_cpus, info.num_cpus);
}

/* ---- 3: a process ---- */

struct stat_line {
    char comm[64], state;
    long fields[53]; /* as numbered in proc(5) */
};

static bool read_stat(pid_t pid, struct stat_line *line)
{
    char path[64], text[4096];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (!try_read_file(path, text, sizeof(text)))
        return false;
    char *open = strchr(text, '('), *end = strrchr(text, ')');
    snprintf(line->comm, sizeof(line->comm), "%.*s", (int)(end - open - 1), open + 1);
    line->state = end[2];
    char *at = end + 3;
    for (int i = 4; i < 53; i++)
        line->fields[i] = i == 25 ? (long)strtoul(at, &at, 10) : strtol(at, &at, 10);
    return true;
}

static pid_t compared_pid;

static size_t take_process(struct comparison *rows)
{
    struct stat_line a, b;
    struct kapi_process_info info = {.pid = compared_pid};
    int fd = device_open();

    check(read_stat(compared_pid, &a), "pid %d", compared_pid);
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0 && info.pid == compared_pid, "pid %d",
          info.pid);
    check(read_stat(compared_pid, &b), "pid %d", compared_pid);
    close(fd);
    check(strcmp(info.comm, a.comm) == 0 || strncmp(a.comm, info.comm, 15) == 0,
          "comm %s, expected %s", info.comm, a.comm);
    check(info.state == a.state || info.state == b.state, "pid %d: state %c, expected %c",
          compared_pid, info.state, a.state);
    const struct {
        const char *name;
        int index;
        uint64_t value;
    } fields[] = {
        {"ppid", 4, (uint64_t)info.ppid},
        {"pgrp", 5, (uint64_t)info.pgrp},
        {"session", 6, (uint64_t)info.session},
        {"tty_nr", 7, (uint64_t)info.tty_nr},
        {"flags", 9, info.flags},
        {"priority", 18, info.priority},
        {"nice", 19, (uint64_t)info.nice},
        {"num_threads", 20, (uint64_t)info.num_threads},
        {"num_threads_full", 20, info.num_threads_full},
        {"start_time", 22, info.start_time / 10000000},
        {"vsize", 23, info.vsize},
        {"rss", 24, (uint64_t)info.rss},
        {"rsslim", 25, info.rsslim},
        {"memory_usage", 24, info.memory_usage / 4096},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        rows[i] = (struct comparison){fields[i].name, (uint64_t)a.fields[fields[i].index],
                                      fields[i].value, (uint64_t)b.fields[fields[i].index]};
    return ARRAY_LENGTH(fields);
}

static void *wait_forever(void *unused)
{
    pause();
    return unused;
}

static void process_equals_proc(enum way way)
{
    compared_pid = 1;
    compare("process-1", take_process);
    compared_pid = 2; /* a kernel thread, without memory */
    compare("process-kernel-thread", take_process);
    compared_pid = sleeper();
    usleep(20000);
    compare("process-sleeping", take_process);
    kill(compared_pid, SIGSTOP);
    usleep(20000);
    compare("process-stopped", take_process);
    kill(compared_pid, SIGKILL);
    usleep(20000);
    compare("process-zombie", take_process);
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        pthread_create(&threads[i], NULL, wait_forever, NULL);
    setpriority(PRIO_PROCESS, 0, 7);
    compared_pid = getpid();
    compare("process-threads", take_process);
}

static void cpu_usage_is_a_share(enum way way)
{
    struct kapi_process_info info = {0};
    uint64_t end = now_ns() + 600000000;
    pid_t idle = sleeper();

    while (now_ns() < end)
        ;
    int fd = device_open();
    info.pid = getpid();
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0, "%s", strerror(errno));
    check(info.cpu_usage >= 10 && info.cpu_usage <= 110, "%u percent of a busy process",
          info.cpu_usage);
    info.pid = idle;
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0, "%s", strerror(errno));
    check(info.cpu_usage <= 20, "%u percent of an idle process", info.cpu_usage);
}

/* ---- 4: commands ---- */

static const char *result_of(const char *command)
{
    static struct kapi_kernel_cmd cmd;

    memset(&cmd, 0, sizeof(cmd));
    snprintf(cmd.command, sizeof(cmd.command), "%s", command);
    check(kapi_call(device_open(), KAPI_EXECUTE_KERNEL_CMD, &cmd) == 0 && cmd.status == 0,
          "%s: status %d %s", command, cmd.status, cmd.result);
    check(cmd.result[0] && strnlen(cmd.result, sizeof(cmd.result)) < sizeof(cmd.result),
          "%s: no result", command);
    return cmd.result;
}

static void row_contains(const char *command, const char *expected)
{
    const char *result = result_of(command);

    row("kernel-command", "%s\t%s\t%s\t%s", command, result, expected,
        strstr(result, expected) ? "contained" : "WRONG");
    check(strstr(result, expected), "%s: \"%s\" does not contain \"%s\"", command, result,
          expected);
}

static uint64_t number_in(const char *text)
{
    return strtoull(text + strcspn(text, "0123456789"), NULL, 10);
}

static void commands_answer(enum way way)
{
    struct kapi_kernel_cmd unknown = {.command = "get_nothing"};
    struct utsname uts;
    char text[8192], number[32];

    check(unshare(CLONE_NEWUTS) == 0 && sethostname("kapi-guest", 10) == 0 &&
              setdomainname("kapi.test", 9) == 0,
          "%s", strerror(errno));
    uname(&uts);
    row_contains("get_kernel_version", uts.release);
    row_contains("get_hostname", "kapi-guest"); /* of the caller's namespace */
    row_contains("get_domainname", "kapi.test");
    row_contains("get_page_size", "4096");
    snprintf(number, sizeof(number), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    row_contains("get_cpu_count", number);
    read_file("/proc/meminfo", text, sizeof(text));
    uint64_t total = number_after(text, "MemTotal"),
             given = number_in(result_of("get_total_memory"));
    check(given == total || given == total * 1024 || given == total / 1024,
          "total memory %llu, MemTotal %llu KiB", (unsigned long long)given,
          (unsigned long long)total);
    check(number_in(result_of("get_free_memory")) > 0, "free memory");
    read_file("/proc/uptime", text, sizeof(text));
    uint64_t uptime = strtoull(text, NULL, 10), told = number_in(result_of("get_uptime"));
    check(told >= uptime && told <= uptime + 2, "uptime %llu, expected %llu",
          (unsigned long long)told, (unsigned long long)uptime);
    uint64_t hz = number_in(result_of("get_hz"));
    check(hz == 100 || hz == 250 || hz == 300 || hz == 1000, "%llu Hz", (unsigned long long)hz);
    uint64_t first = number_in(result_of("get_jiffies"));
    usleep(200000);
    uint64_t ticks = number_in(result_of("get_jiffies")) - first;
    check(ticks >= hz / 5 - 1 && ticks < hz * 5, "%llu ticks in 0.2 s at %llu Hz",
          (unsigned long long)ticks, (unsigned long long)hz);
    check(kapi_call(device_open(), KAPI_EXECUTE_KERNEL_CMD, &unknown) == 0, "%s", strerror(errno));
    check(unknown.status == -EINVAL && strcmp(unknown.result, "Unknown command") == 0, "%d %s",
          unknown.status, unknown.result);
}

/* ---- 5: network ---- */

static const char *const network_names[] = {
    "rx_bytes",
    "rx_packets",
    "rx_errors",
    "rx_dropped",
    "rx_fifo_errors",
    "rx_frame_errors",
    NULL,
    "multicast",
    "tx_bytes",
    "tx_packets",
    "tx_errors",
    "tx_dropped",
    "tx_fifo_errors",
    "collisions",
    "tx_carrier_errors",
    NULL,
};

static void sum_network(uint64_t sums[16])
{
    char text[8192];

    memset(sums, 0, 16 * sizeof(*sums));
    read_file("/proc/self/net/dev", text, sizeof(text));
    for (char *line = strchr(text, '\n'); line && (line = strchr(line + 1, '\n'));) {
        char *at = strchr(line, ':');
        if (!at)
            break;
        at++;
        for (int i = 0; i < 16; i++)
            sums[i] += strtoull(at, &at, 10);
    }
}

static size_t take_network(struct comparison *rows)
{
    uint64_t before[16], after[16];
    struct kapi_network_stats stats;
    int fd = device_open();

    sum_network(before);
    check(kapi_call(fd, KAPI_GET_NETWORK_STATS, &stats) == 0, "%s", strerror(errno));
    sum_network(after);
    close(fd);
    const uint64_t values[16] = {stats.rx_bytes,
                                 stats.rx_packets,
                                 stats.rx_errors,
                                 stats.rx_dropped + stats.rx_missed_errors,
                                 stats.rx_fifo_errors,
                                 stats.rx_frame_errors + stats.rx_length_errors +
                                     stats.rx_over_errors + stats.rx_crc_errors,
                                 0,
                                 stats.multicast,
                                 stats.tx_bytes,
                                 stats.tx_packets,
                                 stats.tx_errors,
                                 stats.tx_dropped,
                                 stats.tx_fifo_errors,
                                 stats.collisions,
                                 stats.tx_carrier_errors + stats.tx_aborted_errors +
                                     stats.tx_window_errors + stats.tx_heartbeat_errors,
                                 0};
    size_t count = 0;
    for (size_t i = 0; i < 16; i++)
        if (network_names[i])
            rows[count++] = (struct comparison){network_names[i], before[i], values[i], after[i]};
    return count;
}

static void network_equals_proc(enum way way)
{
    if (way & WAYS_PLAIN)
        check(way != WAY_USERNS || kapi_toggle(device_open(), "lo", 1) == 0, "%s", last_message);
    run_program("/bin/ping", "-c", "3", "-i", "0.1", "127.0.0.1", NULL);
    compare(way == WAY_USERNS ? "network-namespace" : "network", take_network);
}

/* ---- 6: file system ---- */

static void file_system_equals_statfs(enum way way)
{
    struct kapi_filesystem_info info;
    struct statfs now;
    char text[8192], type[64] = "", device[64] = "";

    check(kapi_call(device_open(), KAPI_GET_FILE_SYSTEM_INFO, &info) == 0, "%s", strerror(errno));
    check(statfs("/", &now) == 0, "%s", strerror(errno));
    struct comparison rows[] = {
        {"total_blocks", now.f_blocks, info.total_blocks, now.f_blocks},
        {"free_blocks", now.f_bfree, info.free_blocks, now.f_bfree},
        {"available_blocks", now.f_bavail, info.available_blocks, now.f_bavail},
        {"total_inodes", now.f_files, info.total_inodes, now.f_files},
        {"free_inodes", now.f_ffree, info.free_inodes, now.f_ffree},
        {"block_size", (uint64_t)now.f_bsize, info.block_size, (uint64_t)now.f_bsize},
        {"max_filename_len", (uint64_t)now.f_namelen, info.max_filename_len,
         (uint64_t)now.f_namelen},
        {"flags", (uint64_t)now.f_flags, info.flags, (uint64_t)now.f_flags}};
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        row("filesystem", "%s\t%llu\t%llu\t%s", rows[i].name, (unsigned long long)rows[i].value,
            (unsigned long long)rows[i].after, lies_between(&rows[i]) ? "equal" : "WRONG");
        check(lies_between(&rows[i]), "%s is %llu, expected %llu", rows[i].name,
              (unsigned long long)rows[i].value, (unsigned long long)rows[i].after);
    }
    read_file("/proc/self/mounts", text, sizeof(text));
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strstr(line, " / ") == line + strcspn(line, " "))
            sscanf(line, "%63s / %63s", device, type);
    row_text("filesystem", "fs_type", info.fs_type, type);
    row_text("filesystem", "mount_point", info.mount_point, "/");
    row("filesystem", "device_name\t%s\t%s\t", info.device_name, device);
}

/* ---- 9: load ---- */

static void load_equals_proc(enum way way)
{
    struct kapi_loadavg_info info;
    char text[128], given[128], before[128] = "";
    int fd = device_open();
    bool same = false;

    for (int i = 0; i < TRIES && !same; i++) {
        unsigned long running, total, last;

        read_file("/proc/loadavg", before, sizeof(before));
        check(kapi_call(fd, KAPI_GET_LOADAVG, &info) == 0, "%s", strerror(errno));
        read_file("/proc/loadavg", text, sizeof(text));
        check(sscanf(text, "%*s %*s %*s %lu/%lu %lu", &running, &total, &last) == 3, "%s", text);
        /* As loadavg(5) rounds it: 11 fraction bits, plus a two-hundredth. */
        uint64_t loads[3] = {info.load1, info.load5, info.load15};
        char parts[3][16];
        for (int j = 0; j < 3; j++) {
            uint64_t fixed = (loads[j] >> 5) + 2048 / 200;
            snprintf(parts[j], sizeof(parts[j]), "%u.%02u", (unsigned int)(fixed >> 11),
                     (unsigned int)((fixed & 2047) * 100 >> 11));
        }
        snprintf(given, sizeof(given), "%s %s %s %u/%u %u\n", parts[0], parts[1], parts[2],
                 (unsigned int)info.running_tasks, (unsigned int)info.total_tasks,
                 (unsigned int)info.last_pid);
        /* running counts differ in what is between waking and running */
        same =
            strncmp(given, text, strlen(parts[0]) + strlen(parts[1]) + strlen(parts[2]) + 2) == 0 &&
            info.total_tasks == total && info.last_pid == last && info.running_tasks >= 1 &&
            info.running_tasks <= running + 2;
    }
    given[strcspn(given, "\n")] = text[strcspn(text, "\n")] = '\0';
    row("load", "all\t%s\t%s\t%s", given, text, same ? "equal" : "WRONG");
    check(same, "%s, expected %s", given, text);
}

/* ---- 10: configuration ---- */

static void configuration_equals_proc(enum way way)
{
    struct kapi_kernel_config config;
    struct utsname uts;
    char text[1024];

    check(kapi_call(device_open(), KAPI_GET_KERNEL_CONFIG, &config) == 0, "%s", strerror(errno));
    uname(&uts);
    read_file("/proc/version", text, sizeof(text));
    row_text("config", "arch", config.arch, uts.machine);
    check(strstr(config.version, uts.release), "version %s, expected %s", config.version,
          uts.release);
    const char *by = strchr(text, '(') + 1, *host = strchr(by, '@') + 1;
    char user[64], machine[64];
    snprintf(user, sizeof(user), "%.*s", (int)(host - by - 1), by);
    snprintf(machine, sizeof(machine), "%.*s", (int)strcspn(host, ")"), host);
    row_text("config", "compile_by", config.compile_by, user);
    row_text("config", "compile_host", config.compile_host, machine);
    check(config.compiler[0] &&
              memmem(text, sizeof(text), config.compiler, strnlen(config.compiler, 20)),
          "compiler %s, in %s", config.compiler, text);
    row("config", "compiler\t%s\t%.60s\t", config.compiler, strchr(host, '('));
    check(config.build_date[0] && config.compile_time[0], "no date");
    row("config", "build_date\t%s\t%s\t", config.build_date, uts.version);
    check(config.page_size == 4096, "page size %llu", (unsigned long long)config.page_size);
    check(config.hz == number_in(result_of("get_hz")), "hz %llu", (unsigned long long)config.hz);
    static char cpuinfo[32768];
    unsigned int physical, virtual;
    read_file("/proc/cpuinfo", cpuinfo, sizeof(cpuinfo));
    text_after(cpuinfo, "address sizes", text, sizeof(text));
    check(sscanf(text, "%u bits physical, %u bits virtual", &physical, &virtual) == 2, "%s", text);
    check(config.phys_addr_bits == physical && config.virt_addr_bits == virtual,
          "%llu and %llu bits, expected %s", (unsigned long long)config.phys_addr_bits,
          (unsigned long long)config.virt_addr_bits, text);
}

const struct test information_tests[] = {
    {"memory-equals-proc", memory_equals_proc, WAYS_DEFAULT, 0},
    {"processors-equal-proc", processors_equal_proc, WAYS_DEFAULT, 0},
    {"process-equals-proc", process_equals_proc, WAY_ROOT, 0},
    {"cpu-usage-is-a-share", cpu_usage_is_a_share, WAY_ROOT, 0},
    {"commands-answer", commands_answer, WAY_ROOT, 0},
    {"network-equals-proc", network_equals_proc, WAY_ROOT | WAY_USERNS, 0},
    {"file-system-equals-statfs", file_system_equals_statfs, WAYS_DEFAULT, 0},
    {"load-equals-proc", load_equals_proc, WAYS_DEFAULT, 0},
    {"configuration-equals-proc", configuration_equals_proc, WAYS_DEFAULT, 0},
    {0},
};

/* Memory, processors, network and load, out of the guest's own /proc. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"

/* Texts of proc come from the same host that made the numbers: no overflow is to be expected, and
 * strtoull() saturates. */

int linux_kapi_text(struct kapi_caller *caller, struct strbuf *ret_text, const char *format, ...)
{
    struct vfs *vfs = caller->request->kernel->vfs;
    cleanup_place struct vfs_place *root = vfs_root(vfs);
    char path[128];
    struct vfs_walk walk = {.actor = &caller->actor, .root = root, .base = root, .path = path};
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    return vfs_read_generated(vfs, &walk, ret_text);
}

int linux_kapi_list(struct kapi_caller *caller, const char *path, const char **ret_text)
{
    int r = 0;

    if (caller->listed == NULL || strcmp(caller->listed, path) != 0) {
        strbuf_free(&caller->list);
        caller->listed = NULL;
        r = linux_kapi_text(caller, &caller->list, "%s", path);
    }
    if (r < 0)
        return r == -ENOENT ? -ENODATA : r;
    caller->listed = path;
    *ret_text = strbuf_text(&caller->list);
    return 0;
}

const char *linux_kapi_line(const char *text, const char *key)
{
    size_t length = strlen(key);

    while (text) {
        const char *rest = text + length;

        if (strncmp(text, key, length) == 0) {
            rest += strspn(rest, " \t");
            if (*rest == ':')
                return rest + 1 + strspn(rest + 1, " \t");
        }
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return NULL;
}

uint64_t linux_kapi_line_number(const char *text, const char *key)
{
    const char *value = linux_kapi_line(text, key);

    return value ? strtoull(value, NULL, 10) : 0;
}

void linux_kapi_copy_line(char *field, size_t size, const char *text)
{
    size_t length = text ? strcspn(text, "\n") : 0;

    if (length >= size)
        length = size - 1;
    if (text)
        memcpy(field, text, length);
    field[length] = '\0';
}

int linux_kapi_memory_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    static const struct {
        const char *key;
        size_t offset;
    } lines[] = {
        {"MemTotal", offsetof(struct kapi_memory_info, total_ram)},
        {"MemFree", offsetof(struct kapi_memory_info, free_ram)},
        {"Buffers", offsetof(struct kapi_memory_info, buffers)},
        {"Cached", offsetof(struct kapi_memory_info, cached)},
        {"SwapTotal", offsetof(struct kapi_memory_info, swap_total)},
        {"SwapFree", offsetof(struct kapi_memory_info, swap_free)},
        {"Slab", offsetof(struct kapi_memory_info, slab)},
        {"PageTables", offsetof(struct kapi_memory_info, page_tables)},
        {"VmallocUsed", offsetof(struct kapi_memory_info, vmalloc_used)},
        {"Committed_AS", offsetof(struct kapi_memory_info, committed_as)},
        {"Dirty", offsetof(struct kapi_memory_info, dirty)},
        {"Writeback", offsetof(struct kapi_memory_info, writeback)},
        {"AnonPages", offsetof(struct kapi_memory_info, anon_pages)},
        {"Mapped", offsetof(struct kapi_memory_info, mapped)},
        {"Shmem", offsetof(struct kapi_memory_info, shmem)},
    };
    struct kapi_memory_info *info = record;
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/meminfo");

    (void)index;
    if (r < 0)
        return r;
    for (size_t i = 0; i < array_length(lines); i++) {
        uint64_t bytes = linux_kapi_line_number(strbuf_text(&text), lines[i].key) * 1024;

        memcpy((char *)record + lines[i].offset, &bytes, sizeof(bytes));
    }
    info->used_ram = info->total_ram > info->free_ram ? info->total_ram - info->free_ram : 0;
    return 0;
}

/* ---- processors ---- */

/* How many a list such as "0-3,8" names. */
static uint32_t count_cpus(const char *text)
{
    uint32_t count = 0;

    while (*text >= '0' && *text <= '9') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;

        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (last >= first && last < 1U << 20)
            count += (uint32_t)(last - first + 1);
        text = *end == ',' ? end + 1 : "";
    }
    return count;
}

static uint32_t read_cpus(struct kapi_caller *caller, const char *name)
{
    cleanup_strbuf struct strbuf text = {0};

    if (linux_kapi_text(caller, &text, "/sys/devices/system/cpu/%s", name) < 0)
        return 1;
    return count_cpus(strbuf_text(&text));
}

/* "cpu MHz : 2596.096" in kHz. */
static uint64_t frequency(const char *cpuinfo)
{
    const char *value = linux_kapi_line(cpuinfo, "cpu MHz");
    uint64_t mega = 0;
    unsigned thousandths = 0;

    if (value && sscanf(value, "%" SCNu64 ".%3u", &mega, &thousandths) >= 1)
        return mega * 1000 + thousandths;
    return 0;
}

static int add_cpuinfo(struct kapi_caller *caller, struct kapi_cpu_info *info)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/cpuinfo");
    const char *lines = strbuf_text(&text);

    if (r < 0)
        return r;
    info->cpu_freq = frequency(lines);
    info->cache_size = (uint32_t)linux_kapi_line_number(lines, "cache size");
    info->cache_alignment = (uint32_t)linux_kapi_line_number(lines, "cache_alignment");
    linux_kapi_copy_line(info->cpu_model, sizeof(info->cpu_model),
                         linux_kapi_line(lines, "model name"));
    linux_kapi_copy_line(info->vendor_id, sizeof(info->vendor_id),
                         linux_kapi_line(lines, "vendor_id"));
    linux_kapi_copy_line(info->cpu_family, sizeof(info->cpu_family),
                         linux_kapi_line(lines, "cpu family"));
    return 0;
}

/* "cpu  user nice system idle iowait irq softirq steal guest guest_nice" */
static int add_times(struct kapi_caller *caller, struct kapi_cpu_info *info)
{
    cleanup_strbuf struct strbuf text = {0};
    uint64_t ticks[9] = {0};
    int r = linux_kapi_text(caller, &text, "/proc/stat");
    char *at = text.data;

    if (r < 0)
        return r;
    if (at == NULL || strncmp(at, "cpu ", 4) != 0)
        return -EIO;
    at += 4;
    for (size_t i = 0; i < array_length(ticks); i++)
        ticks[i] = strtoull(at, &at, 10);
    info->user_time = ticks[0];
    info->system_time = ticks[2];
    info->idle_time = ticks[3];
    info->iowait_time = ticks[4];
    info->irq_time = ticks[5];
    info->softirq_time = ticks[6];
    info->guest_time = ticks[8];
    return 0;
}

int linux_kapi_cpu_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_cpu_info *info = record;
    cleanup_strbuf struct strbuf uptime = {0};
    int r = add_cpuinfo(caller, info);

    (void)index;
    if (r == 0)
        r = add_times(caller, info);
    if (r == 0)
        r = linux_kapi_text(caller, &uptime, "/proc/uptime");
    if (r < 0)
        return r;
    info->uptime = strtoull(strbuf_text(&uptime), NULL, 10);
    info->num_cpus = read_cpus(caller, "possible");
    info->num_online_cpus = read_cpus(caller, "online");
    return 0;
}

/* ---- network and load ---- */

/* The columns of /proc/net/dev behind the name. */
static void add_interface(char *columns, struct kapi_network_stats *stats)
{
    uint64_t value[16] = {0};

    for (size_t i = 0; i < array_length(value); i++)
        value[i] = strtoull(columns, &columns, 10);
    stats->rx_bytes += value[0];
    stats->rx_packets += value[1];
    stats->rx_errors += value[2];
    stats->rx_dropped += value[3];
    stats->rx_fifo_errors += value[4];
    stats->rx_frame_errors += value[5];
    stats->multicast += value[7];
    stats->tx_bytes += value[8];
    stats->tx_packets += value[9];
    stats->tx_errors += value[10];
    stats->tx_dropped += value[11];
    stats->tx_fifo_errors += value[12];
    stats->collisions += value[13];
    stats->tx_carrier_errors += value[14];
}

int linux_kapi_network_stats(struct kapi_caller *caller, uint32_t index, void *record)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/net/dev");
    char *rest = text.data, *line;

    (void)index;
    if (r < 0)
        return r;
    for (unsigned number = 0; (line = strsep(&rest, "\n")); number++) {
        char *colon = strchr(line, ':');

        if (number >= 2 && colon)
            add_interface(colon + 1, record);
    }
    return 0;
}

/* "0.52" as fixed point with 16 bits of fraction. */
static uint64_t fixed_point(const char *text)
{
    unsigned long whole = 0;
    unsigned hundredths = 0;

    if (sscanf(text, "%lu.%2u", &whole, &hundredths) != 2)
        return 0;
    return ((uint64_t)whole << 16) + (uint64_t)hundredths * 65536 / 100;
}

int linux_kapi_loadavg_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_loadavg_info *info = record;
    cleanup_strbuf struct strbuf text = {0};
    char loads[3][24];
    uint64_t running, total, last;
    int r = linux_kapi_text(caller, &text, "/proc/loadavg");

    (void)index;
    if (r < 0)
        return r;
    if (sscanf(strbuf_text(&text), "%23s %23s %23s %" SCNu64 "/%" SCNu64 " %" SCNu64, loads[0],
               loads[1], loads[2], &running, &total, &last) != 6)
        return -EIO;
    info->load1 = fixed_point(loads[0]);
    info->load5 = fixed_point(loads[1]);
    info->load15 = fixed_point(loads[2]);
    info->running_tasks = running;
    info->total_tasks = total;
    info->last_pid = last;
    return 0;
}

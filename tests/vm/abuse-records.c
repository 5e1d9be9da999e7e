/* Commands 7, 8, 11 to 14, each record against /proc, /sys and /dev/kmsg. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abuse.h"

static char text[128 * 1024];

/* ---- 7: modules ---- */

static const struct kapi_module_info *find_module(const struct kapi_module_info *modules,
                                                  size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(modules[i].name, name) == 0)
            return &modules[i];
    return NULL;
}

static void modules_equal_proc(enum way way)
{
    static struct kapi_module_info modules[256];
    size_t lines = 0, count;
    int fd = device_open();

    if (way == WAY_ROOT)
        check(module_load(DUMMY_FILE, "") == 0, "%s", strerror(errno));
    count =
        kapi_records(fd, KAPI_GET_KERNEL_MODULES, modules, sizeof(*modules), ARRAY_LENGTH(modules));
    read_file("/proc/modules", text, sizeof(text));
    for (char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        char name[64], used_by[256], state[32];
        unsigned long size, address;
        int references;

        check(sscanf(line, "%63s %lu %d %255s %31s %lx", name, &size, &references, used_by, state,
                     &address) == 6,
              "%.80s", line);
        const struct kapi_module_info *module = find_module(modules, count, name);
        check(module, "%s is missing", name);
        if (strcmp(used_by, "-") == 0)
            used_by[0] = '\0';
        used_by[strlen(used_by) ? strlen(used_by) - 1 : 0] =
            '\0'; /* each name is followed by a comma there */
        bool same = module->size == size && module->used_by_count == references &&
                    strcmp(module->used_by, used_by) == 0 && strcmp(module->state, state) == 0 &&
                    (module->load_addr == address || !is_privileged(way));
        row("modules", "%s\t%llu %d %s %llx\t%lu %d %s %lx\t%s", name,
            (unsigned long long)module->size, module->used_by_count, module->state,
            (unsigned long long)module->load_addr, size, references, state, address,
            same ? "equal" : "WRONG");
        check(same, "%s", name);
    }
    check(lines == count, "%zu records, %zu lines", count, lines);
    if (way == WAY_ROOT) {
        const struct kapi_module_info *dummy = find_module(modules, count, DUMMY_NAME);
        check(dummy && strcmp(dummy->version, "1.5") == 0, "version %s",
              dummy ? dummy->version : "");
        module_unload(DUMMY_NAME);
    }
}

/* ---- 8: interrupts ---- */

static void interrupts_equal_proc(enum way way)
{
    static struct kapi_interrupt_info interrupts[1024];
    static char after[128 * 1024];
    int fd = device_open();
    size_t found = 0;

    read_file("/proc/interrupts", text, sizeof(text));
    size_t count = kapi_records(fd, KAPI_GET_INTERRUPTS, interrupts, sizeof(*interrupts),
                                ARRAY_LENGTH(interrupts));
    read_file("/proc/interrupts", after, sizeof(after));
    for (char *line = strchr(text, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        char *at;
        unsigned long number = strtoul(line, &at, 10);
        if (*at != ':')
            continue;
        char key[32], *later;
        snprintf(key, sizeof(key), "\n%.*s:", (int)(at - line), line);
        later = strstr(after, key);
        check(later, "interrupt %lu has gone", number);
        unsigned long low = strtoul(at + 1, &at, 10),
                      high = strtoul(later + strlen(key), &later, 10);
        low += strtoul(at, &at, 10);
        high += strtoul(later, &later, 10);
        const struct kapi_interrupt_info *info = NULL;
        for (size_t i = 0; i < count; i++)
            if (interrupts[i].irq == number)
                info = &interrupts[i];
        check(info, "interrupt %lu is missing", number);
        found++;
        char rest[256];
        snprintf(rest, sizeof(rest), "%.*s", (int)strcspn(at, "\n"), at);
        bool same = info->count >= low && info->count <= high &&
                    info->cpu_count[0] + info->cpu_count[1] == info->count &&
                    strstr(rest, info->type) && strstr(rest, info->device);
        row("interrupts", "%u\t%llu %s %s\t%lu%s\t%s", info->irq, (unsigned long long)info->count,
            info->type, info->device, high, rest, same ? "equal" : "WRONG");
        check(same, "interrupt %lu: %llu %s %s, expected %lu to %lu %s", number,
              (unsigned long long)info->count, info->type, info->device, low, high, rest);
    }
    check(found > 3 && found == count, "%zu of %zu interrupts compared", found, count);
}

/* ---- 11: PCI ---- */

static unsigned long pci_number(const char *slot, const char *file)
{
    char path[128], number[64];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", slot, file);
    read_file(path, number, sizeof(number));
    return strtoul(number, NULL, 0);
}

static void pci_equals_sys(enum way way)
{
    static struct kapi_pci_device_info devices[64];
    int fd = device_open();
    size_t count =
        kapi_records(fd, KAPI_GET_PCI_DEVICES, devices, sizeof(*devices), ARRAY_LENGTH(devices));

    for (size_t i = 0; i < count; i++) {
        char slot[32], path[128];
        const struct kapi_pci_device_info *device = &devices[i];

        snprintf(slot, sizeof(slot), "%.12s", device->device_name);
        bool same = device->vendor_id == pci_number(slot, "vendor") &&
                    device->device_id == pci_number(slot, "device") &&
                    device->subsystem_vendor == pci_number(slot, "subsystem_vendor") &&
                    device->subsystem_device == pci_number(slot, "subsystem_device") &&
                    device->class_code == pci_number(slot, "class") &&
                    device->revision == pci_number(slot, "revision") &&
                    device->irq == pci_number(slot, "irq");
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", slot);
        read_file(path, text, sizeof(text));
        char *at = text;
        for (int bar = 0; bar < 6; bar++) {
            unsigned long start = strtoul(at, &at, 16);
            same = same && device->base_addr[bar] == (is_privileged(way) ? start : 0);
            at = strchr(at, '\n') + 1;
        }
        row("pci", "%s\t%04x:%04x %06x irq %u\t%04lx:%04lx %06lx irq %lu\t%s", slot,
            device->vendor_id, device->device_id, device->class_code, device->irq,
            pci_number(slot, "vendor"), pci_number(slot, "device"), pci_number(slot, "class"),
            pci_number(slot, "irq"), same ? "equal" : "WRONG");
        check(same, "%s", slot);
    }
    check(run_program("/bin/sh", "-c", "exit $(ls /sys/bus/pci/devices | wc -l)", NULL) ==
                  (int)count &&
              count > 3,
          "%zu devices", count);
}

/* ---- 12: block devices ---- */

static void read_some_of_the_disk(void)
{
    static char block[65536];
    int disk = open("/dev/nvme0n1", O_RDONLY | O_CLOEXEC);

    if (disk >= 0) {
        for (int i = 0; i < 20; i++)
            pread(disk, block, sizeof(block), (off_t)i * 200000);
        close(disk);
    }
}

static void block_devices_equal_proc(enum way way)
{
    static struct kapi_block_device_info disks[64];
    int fd = device_open();
    size_t found = 0;

    read_some_of_the_disk();
    size_t count =
        kapi_records(fd, KAPI_GET_BLOCK_DEVICES, disks, sizeof(*disks), ARRAY_LENGTH(disks));
    read_file("/proc/diskstats", text, sizeof(text));
    for (size_t i = 0; i < count; i++) {
        const struct kapi_block_device_info *disk = &disks[i];
        unsigned long fields[17] = {0}, size;
        char path[128], value[256], key[64], *line;

        snprintf(path, sizeof(path), "/sys/block/%s/size", disk->name);
        read_file(path, value, sizeof(value));
        size = strtoul(value, NULL, 10) * 512;
        snprintf(key, sizeof(key), " %s ", disk->name);
        line = strstr(text, key);
        if (line) {
            char *at = line + strlen(key);
            for (int j = 0; j < 17 && *at != '\n'; j++)
                fields[j] = strtoul(at, &at, 10);
        }
        bool same = disk->size == size && disk->read_ios == fields[0] &&
                    disk->read_sectors == fields[2] && disk->write_ios == fields[4] &&
                    disk->write_sectors == fields[6] && disk->discard_ios == fields[11] &&
                    disk->discard_sectors == fields[13];
        row("block", "%s\t%llu %llu %llu %s %s\t%lu %lu %lu\t%s", disk->name,
            (unsigned long long)disk->size, (unsigned long long)disk->read_ios,
            (unsigned long long)disk->read_sectors, disk->model, disk->serial, size, fields[0],
            fields[2], same ? "equal" : "WRONG");
        check(same, "%s", disk->name);
        if (strcmp(disk->name, "nvme0n1") == 0) {
            found++;
            read_file("/sys/block/nvme0n1/queue/nr_requests", value, sizeof(value));
            check(disk->queue_depth == strtoul(value, NULL, 10), "queue of %llu, expected %s",
                  (unsigned long long)disk->queue_depth, value);
            row("block", "nvme0n1 names\t%s %s\tQEMU NVMe Ctrl kapi-serial\t", disk->model,
                disk->serial);
            check(!disk->model[0] || strncmp(disk->model, "QEMU NVMe", 9) == 0, "model %s",
                  disk->model);
            check(!disk->serial[0] ||
                      (is_privileged(way) && strncmp(disk->serial, "kapi-serial", 11) == 0),
                  "serial number %s", disk->serial);
        }
    }
    check(found == 1, "nvme0n1 is missing among %zu disks", count);
    check(run_program("/bin/sh", "-c", "exit $(ls /sys/block | wc -l)", NULL) == (int)count,
          "%zu disks", count);
}

/* ---- 13: thermal zones ---- */

static void thermal_zones_equal_sys(enum way way)
{
    static struct kapi_thermal_info zones[16];
    int fd = device_open();
    size_t count =
        kapi_records(fd, KAPI_GET_THERMAL_INFO, zones, sizeof(*zones), ARRAY_LENGTH(zones));

    for (size_t i = 0; i < count; i++) {
        char path[128], value[64];

        snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%zu/type", i);
        read_file(path, value, sizeof(value));
        value[strcspn(value, "\n")] = '\0';
        check(strcmp(zones[i].type, value) == 0, "zone %zu is %s, expected %s", i, zones[i].type,
              value);
        snprintf(path, sizeof(path), "/sys/class/thermal/thermal_zone%zu/temp", i);
        if (try_read_file(path, value, sizeof(value)))
            check(zones[i].temperature == (int)strtol(value, NULL, 10), "zone %zu: %d, expected %s",
                  i, zones[i].temperature, value);
    }
    int expected =
        run_program("/bin/sh", "-c",
                    "exit $(ls -d /sys/class/thermal/thermal_zone* 2>/dev/null | wc -l)", NULL);
    row("thermal", "zones\t%zu\t%d\t%s", count, expected,
        (int)count == expected ? "equal" : "WRONG");
    check((int)count == expected, "%zu zones, expected %d", count, expected);
}

/* ---- 14: log ---- */

static void log_equals_kmsg(enum way way)
{
    struct kapi_kernel_log log;
    char record[8192];
    int kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), fd = device_open(),
        compared = 0;

    check(kmsg >= 0 && lseek(kmsg, 0, SEEK_DATA) >= 0, "%s", strerror(errno));
    for (int i = 0; i < 60; i++) {
        ssize_t length = read(kmsg, record, sizeof(record) - 1);
        unsigned long long level, sequence, microseconds;

        check(length > 0, "%s", strerror(errno));
        record[length] = '\0';
        check(sscanf(record, "%llu,%llu,%llu", &level, &sequence, &microseconds) == 3, "%.60s",
              record);
        char *message = strchr(record, ';') + 1;
        message[strcspn(message, "\n")] = '\0';
        check(kapi_call(fd, KAPI_READ_KERNEL_LOG, &log) == 0, "record %d: %s", i, strerror(errno));
        if (strchr(message, '\\') || strlen(message) > 500)
            continue; /* escaped there */
        static const char *const levels[] = {"EMERG", "ALERT",  "CRIT", "ERR",
                                             "WARN",  "NOTICE", "INFO", "DEBUG"};
        check(strcmp(log.message, message) == 0, "record %d: \"%s\", expected \"%s\"", i,
              log.message, message);
        check(log.timestamp == microseconds, "record %d: time %llu, expected %llu", i,
              (unsigned long long)log.timestamp, microseconds);
        check(strncmp(log.level, levels[level & 7], 3) == 0, "record %d: level %s, expected %s", i,
              log.level, levels[level & 7]);
        compared++;
    }
    row("log", "records compared with /dev/kmsg\t%d\t60\t", compared);
    check(compared > 40, "%d records compared", compared);
    int r, more = 0;
    while ((r = kapi_call(fd, KAPI_READ_KERNEL_LOG, &log)) == 0 && more < 100000)
        more++;
    check(r == -ENODATA && more > 0, "end of the log: %s", strerror(-r));
    check(kapi_call(fd, KAPI_READ_KERNEL_LOG, &log) == 0, "after the end it starts again: %s",
          strerror(errno));
}

/* ---- twins with a number ---- */

#define COMPARE_TWIN(type, command, twin_command)                                                  \
    do {                                                                                           \
        static struct type all[256];                                                               \
        int twin_fd = device_open();                                                               \
        size_t twin_count = kapi_records(twin_fd, command, all, sizeof(*all), 256);                \
        for (size_t twin_i = 0; twin_i < twin_count; twin_i++) {                                   \
            struct type##_at at = {.index = (uint32_t)twin_i};                                     \
            check(kapi_call(twin_fd, twin_command, &at) == 0, #type " %zu: %s", twin_i,            \
                  strerror(errno));                                                                \
            check(memcmp(&at.info, &all[twin_i], 32) == 0 && at.index == twin_i,                   \
                  #type " %zu differs", twin_i);                                                   \
        }                                                                                          \
        struct type##_at none = {.index = (uint32_t)twin_count};                                   \
        check(kapi_call(twin_fd, twin_command, &none) == -ENODATA, #type " after the last: %s",    \
              strerror(errno));                                                                    \
        none.index = 0xffffffff;                                                                   \
        check(kapi_call(twin_fd, twin_command, &none) == -ENODATA, #type " 0xffffffff: %s",        \
              strerror(errno));                                                                    \
        none = (struct type##_at){.reserved = 1};                                                  \
        check(kapi_call(twin_fd, twin_command, &none) == -EINVAL, #type " with reserved bits: %s", \
              strerror(errno));                                                                    \
        /* the cursor does not go along */                                                         \
        check(twin_count == 0 || kapi_call(twin_fd, command, all) == 0, #type " cursor: %s",       \
              strerror(errno));                                                                    \
    } while (0)

static void twins_equal_the_cursor(enum way way)
{
    COMPARE_TWIN(kapi_module_info, KAPI_GET_KERNEL_MODULES, KAPI_GET_KERNEL_MODULE_AT);
    COMPARE_TWIN(kapi_pci_device_info, KAPI_GET_PCI_DEVICES, KAPI_GET_PCI_DEVICE_AT);
    COMPARE_TWIN(kapi_block_device_info, KAPI_GET_BLOCK_DEVICES, KAPI_GET_BLOCK_DEVICE_AT);
    COMPARE_TWIN(kapi_thermal_info, KAPI_GET_THERMAL_INFO, KAPI_GET_THERMAL_ZONE_AT);
}

static void cursors_belong_to_an_open(enum way way)
{
    int first = device_open(), second = device_open();
    struct kapi_pci_device_info a, b;

    check(kapi_call(first, KAPI_GET_PCI_DEVICES, &a) == 0 &&
              kapi_call(first, KAPI_GET_PCI_DEVICES, &a) == 0,
          "%s", strerror(errno));
    check(kapi_call(second, KAPI_GET_PCI_DEVICES, &b) == 0, "%s", strerror(errno));
    check(strcmp(a.device_name, b.device_name) != 0,
          "the cursor of one open moved that of another");
}

const struct test record_tests[] = {
    {"modules-equal-proc", modules_equal_proc, WAY_ROOT | WAY_NOBODY, 0},
    {"interrupts-equal-proc", interrupts_equal_proc, WAYS_DEFAULT, 0},
    {"pci-devices-equal-sys", pci_equals_sys, WAY_ROOT | WAY_NOBODY, 0},
    {"block-devices-equal-proc", block_devices_equal_proc, WAY_ROOT | WAY_NOBODY, 0},
    {"thermal-zones-equal-sys", thermal_zones_equal_sys, WAY_ROOT, 0},
    {"log-equals-kmsg", log_equals_kmsg, WAY_ROOT, 0},
    {"twins-equal-the-cursor", twins_equal_the_cursor, WAYS_DEFAULT, 0},
    {"cursors-belong-to-an-open", cursors_belong_to_an_open, WAYS_DEFAULT, 0},
    {0},
};

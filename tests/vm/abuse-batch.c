/* Command 32: several answers in one call, and what a batch may not be. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abuse.h"

static int run_batch(int fd, struct kapi_batch_entry *entries, uint32_t count)
{
    struct kapi_batch batch = {.size = sizeof(batch),
                               .count = count,
                               .entry_size = sizeof(*entries),
                               .entries = (uintptr_t)entries};

    int r = kapi_call(fd, KAPI_BATCH, &batch);
    check(r || batch.end_ns >= batch.start_ns, "it ended before it began");
    return r;
}

#define ENTRY(number, place)                                                          \
    {                                                                                 \
        .command = (number), .buffer = (uintptr_t) & (place), .length = sizeof(place) \
    }

static void batch_equals_single_calls(enum way way)
{
    static struct kapi_interrupt_info interrupts[256];
    struct kapi_memory_info memory;
    struct kapi_process_info process, single = {.pid = getppid()};
    struct kapi_filesystem_info fs, single_fs;
    struct kapi_kernel_config config, single_config;
    struct kapi_loadavg_info load;
    struct kapi_batch_entry entries[] = {ENTRY(1, memory),  ENTRY(3, process),    ENTRY(6, fs),
                                         ENTRY(10, config), ENTRY(8, interrupts), ENTRY(9, load)};
    int fd = device_open();

    entries[1].index = (uint32_t)getppid();
    check(run_batch(fd, entries, ARRAY_LENGTH(entries)) == 0, "%s", strerror(errno));
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++)
        check(entries[i].status == 0 && entries[i].count >= 1 && entries[i].length > 0,
              "entry %zu: %s, %u records", i, strerror(-entries[i].status), entries[i].count);
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &single) == 0 && process.pid == single.pid &&
              strcmp(process.comm, single.comm) == 0 && process.start_time == single.start_time,
          "process");
    check(kapi_call(fd, KAPI_GET_FILE_SYSTEM_INFO, &single_fs) == 0 &&
              memcmp(&fs, &single_fs, sizeof(fs)) == 0,
          "file system");
    check(kapi_call(fd, KAPI_GET_KERNEL_CONFIG, &single_config) == 0 &&
              memcmp(&config, &single_config, sizeof(config)) == 0,
          "configuration");
    check(memory.total_ram > 0 && load.total_tasks > 0, "memory and load");
    check(entries[4].count ==
              kapi_records(fd, KAPI_GET_INTERRUPTS, interrupts, sizeof(*interrupts), 256),
          "%u interrupts", entries[4].count);
}

static void batch_continues(enum way way)
{
    static struct kapi_pci_device_info all[64];
    struct kapi_pci_device_info two[2];
    int fd = device_open();
    size_t count = kapi_records(fd, KAPI_GET_PCI_DEVICES, all, sizeof(*all), 64), at = 0;
    struct kapi_batch_entry entry = ENTRY(11, two);

    do {
        entry.length = sizeof(two);
        check(run_batch(fd, &entry, 1) == 0 && entry.status == 0, "at %zu: %s", at,
              strerror(-entry.status));
        check(entry.count >= 1 && entry.count <= 2 && entry.index == at + entry.count,
              "at %zu: %u records, then %u", at, entry.count, entry.index);
        check(entry.length == entry.count * sizeof(two[0]), "length %u", entry.length);
        for (uint32_t i = 0; i < entry.count; i++)
            check(at + i < count && memcmp(&two[i], &all[at + i], sizeof(two[i])) == 0,
                  "record %zu", at + i);
        at += entry.count;
        bool more = entry.flags & KAPI_ENTRY_MORE;
        check(more == (at < count), "more at %zu of %zu: %d", at, count, more);
        entry.flags = 0;
    } while (at < count);
    entry.length = sizeof(two);
    check(run_batch(fd, &entry, 1) == 0 && entry.status == -ENODATA && entry.count == 0,
          "after the end: %s, %u", strerror(-entry.status), entry.count);
}

static void batch_writes_no_more_than_asked(enum way way)
{
    char place[512];
    int fd = device_open();

    for (uint32_t length = 0; length < sizeof(struct kapi_memory_info) + 8; length += 4) {
        struct kapi_batch_entry entry = {
            .command = 1, .buffer = (uintptr_t)place, .length = length};

        memset(place, 0x5a, sizeof(place));
        check(run_batch(fd, &entry, 1) == 0, "%s", strerror(errno));
        check(entry.status == 0 || entry.status == -ENOSPC || entry.status == -EINVAL,
              "length %u: %s", length, strerror(-entry.status));
        check(entry.status || entry.length <= length, "length %u became %u", length, entry.length);
        for (size_t i = length; i < sizeof(place); i++)
            check(place[i] == 0x5a, "length %u: byte %zu was written", length, i);
    }
}

static void batch_never_controls(enum way way)
{
    char place[8192];
    int fd = device_open();

    for (uint32_t command = 0; command < 300; command++) {
        struct kapi_batch_entry entry = {
            .command = command, .buffer = (uintptr_t)place, .length = sizeof(place)};

        memset(place, 0, sizeof(place));
        check(run_batch(fd, &entry, 1) == 0, "%s", strerror(errno));
        bool allowed = command >= 1 && command <= 14 && command != 4;
        check(allowed ? entry.status != -EINVAL : entry.status < 0 && entry.count == 0,
              "command %u: %s", command, strerror(-entry.status));
    }
    if (!is_privileged(way)) {
        struct kapi_kernel_log log = {0};
        struct kapi_batch_entry entry = ENTRY(14, log);
        check(run_batch(fd, &entry, 1) == 0 && entry.status == -EPERM && !log.message[0], "log: %s",
              strerror(-entry.status));
    }
}

static void batch_forms_are_checked(enum way way)
{
    static struct kapi_batch_entry entries[KAPI_BATCH_MAX + 1];
    char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct kapi_batch good = {.size = sizeof(good),
                                    .count = 1,
                                    .entry_size = sizeof(*entries),
                                    .entries = (uintptr_t)entries};
    struct kapi_batch batch;
    int fd = device_open();

    munmap(hole + 4096, 4096);
#define EXPECT(error, ...)                                  \
    do {                                                    \
        batch = good;                                       \
        __VA_ARGS__;                                        \
        int expect_r = kapi_call(fd, KAPI_BATCH, &batch);   \
        check(expect_r == (error), "%s: %s", #__VA_ARGS__,  \
              expect_r ? strerror(-expect_r) : "accepted"); \
    } while (0)
    EXPECT(0, batch.count = 1);
    EXPECT(-EINVAL, batch.count = 0);
    EXPECT(-EINVAL, batch.count = KAPI_BATCH_MAX + 1);
    EXPECT(-EINVAL, batch.count = 0xffffffff);
    EXPECT(-EINVAL, batch.flags = 1);
    EXPECT(-EINVAL, batch.size = 0);
    EXPECT(-EINVAL, batch.size = sizeof(batch) - 8);
    EXPECT(-EINVAL, batch.size = 0xffffffff);
    EXPECT(-EINVAL, batch.entry_size = 1);
    EXPECT(-EINVAL, batch.entry_size = 0xffffffff);
    EXPECT(-EFAULT, batch.entries = 0);
    EXPECT(-EFAULT, batch.entries = 0xffff888000000000);
    EXPECT(-EFAULT, batch.entries = (uintptr_t)hole + 4096 - 8);
    EXPECT(-EFAULT, batch.entries = ~(uint64_t)0 - 16);
    /* A bad buffer is the entry's error, not that of the call. */
    entries[0] =
        (struct kapi_batch_entry){.command = 1, .buffer = 0xffff888000000000, .length = 128};
    check(run_batch(fd, entries, 1) == 0 && entries[0].status == -EFAULT, "%s",
          strerror(-entries[0].status));
    entries[0] = (struct kapi_batch_entry){
        .command = 8, .buffer = (uintptr_t)hole + 4000, .length = 0xffffffff};
    check(run_batch(fd, entries, 1) == 0 && entries[0].status == -EFAULT, "%s",
          strerror(-entries[0].status));
    entries[0] = (struct kapi_batch_entry){
        .command = 1, .buffer = (uintptr_t)hole, .length = 128, .flags = 0x80};
    check(run_batch(fd, entries, 1) == 0 && entries[0].status == -EINVAL, "flags: %s",
          strerror(-entries[0].status));
}

const struct test batch_tests[] = {
    {"batch-equals-single-calls", batch_equals_single_calls, WAYS_DEFAULT, 0},
    {"batch-continues", batch_continues, WAYS_DEFAULT, 0},
    {"batch-writes-no-more-than-asked", batch_writes_no_more_than_asked, WAYS_DEFAULT, 0},
    {"batch-never-controls", batch_never_controls, WAYS_ALL, 0},
    {"batch-forms-are-checked", batch_forms_are_checked, WAYS_DEFAULT, 0},
    {0},
};

/* Physical memory and addresses: holes 9 and 10, and commands 26 to 30 in all ways. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abuse.h"

#define PAGE 4096

static char *own_page(size_t size)
{
    char *page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    check(page != MAP_FAILED, "%s", strerror(errno));
    for (size_t i = 0; i < size; i += PAGE)
        snprintf(page + i, 64, "kapi-page-%zu-of-%d", i / PAGE, getpid());
    mlock(page, size);
    return page;
}

static uint64_t physical_of(int fd, const void *address, int pid)
{
    uint64_t physical = 0;

    int r = kapi_translate(fd, (uint64_t)(uintptr_t)address, pid, &physical);
    check(r == 0 && physical != 0, "translate: %s %s", strerror(-r), last_message);
    return physical;
}

/* ---- refused: without the right, without the parameter, after lockdown ---- */

/* Addresses are a matter of confidentiality: after lockdown=integrity they may still be told. */
static void expect_refused(int fd, bool addresses_too)
{
    char *page = own_page(PAGE), data[PAGE] = "overwritten";
    struct kapi_mem_patch patch = {.phys_addr = 0x1000000, .size = 8};
    static const uint64_t addresses[] = {0,          0x1000,     0x100000,          0x1000000,
                                         0x10000000, 0xfee00000, 0xffffffffffffffff};
    int r;

    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++) {
        memset(data, 0x5a, sizeof(data));
        r = kapi_read_physical(fd, addresses[i], 64, data);
        check(r == -EPERM, "read %lx: %s", (long)addresses[i], last_message);
        check(data[0] == 0x5a, "it gave data");
        r = kapi_write_physical(fd, addresses[i], 64, data);
        check(r == -EPERM, "write %lx: %s", (long)addresses[i], last_message);
    }
    r = kapi_patch(fd, &patch);
    check(r == -EPERM, "patch: %s", last_message);
    for (size_t i = 0; i < sizeof(patch.original_data); i++)
        check(patch.original_data[i] == 0, "patch gave data");
    if (!addresses_too)
        return;
    check(kapi_translate(fd, (uint64_t)(uintptr_t)page, getpid(), NULL) == -EPERM,
          "own address: %s", last_message);
    check(kapi_translate(fd, (uint64_t)(uintptr_t)page, 1, NULL) == -EPERM, "address of pid 1: %s",
          last_message);
    check(kapi_translate(fd, 0xffffffff81000000, 0, NULL) == -EPERM, "kernel address: %s",
          last_message);
    check(last_message[0], "no word about the reason");
}

static void hole_03_physical_memory(enum way way)
{
    expect_refused(leaked_fd, way != WAY_INTEGRITY);
    expect_refused(device_open(), way != WAY_INTEGRITY);
}

static void panic_is_refused(enum way way)
{
    check(kapi_call(device_open(), KAPI_PANIC_KERNEL, NULL) == -EPERM, "%s", strerror(errno));
    check(kapi_call(leaked_fd, KAPI_PANIC_KERNEL, NULL) == -EPERM, "%s", strerror(errno));
}

static void features_tell_the_settings(enum way way)
{
    struct kapi_version version = {.size = sizeof(version)};
    uint32_t physical = KAPI_FEATURE_DANGEROUS | KAPI_FEATURE_PHYS_WRITE;

    check(kapi_call(device_open(), KAPI_GET_VERSION, &version) == 0, "%s", strerror(errno));
    check(version.abi_version == KAPI_ABI_VERSION && version.buffer_size == KAPI_BUFFER_SIZE,
          "%u %u", version.abi_version, version.buffer_size);
    check(version.process_record_size >= sizeof(struct kapi_process_record), "%u",
          version.process_record_size);
    if (way & WAYS_DEFAULT)
        check(!(version.features & physical), "features %x by default", version.features);
    if (way & WAY_ALLOWED)
        check((version.features & physical) == physical &&
                  !(version.features & KAPI_FEATURE_LOCKDOWN),
              "features %x", version.features);
    if (way & WAYS_LOCKED)
        check(version.features & KAPI_FEATURE_LOCKDOWN, "features %x after lockdown",
              version.features);
}

/* ---- allowed ---- */

static void memory_is_read_and_written(enum way way)
{
    int fd = device_open();
    char *page = own_page(2 * PAGE), data[PAGE];
    uint64_t physical = physical_of(fd, page, getpid());

    check(kapi_read_physical(fd, physical, PAGE, data) == 0, "read: %s", last_message);
    check(memcmp(data, page, PAGE) == 0, "it read %.20s", data);
    for (int i = 0; i < PAGE; i++)
        data[i] = (char)(i * 7); /* with zeros in it: it is no text */
    check(kapi_write_physical(fd, physical, PAGE, data) == 0, "write: %s", last_message);
    check(memcmp(data, page, PAGE) == 0, "the page is not what was written");
    check(kapi_write_physical(fd, physical + 100, 3, "abc") == 0, "write: %s", last_message);
    check(memcmp(page + 100, "abc", 3) == 0 && page[103] == data[103] && page[99] == data[99],
          "it wrote more");
    check(physical_of(fd, page + 123, getpid()) == physical + 123, "offset in the page");
}

static void memory_is_patched_and_restored(enum way way)
{
    int fd = device_open();
    char *page = own_page(PAGE);
    struct kapi_mem_patch patch = {.phys_addr = physical_of(fd, page, getpid()) + 8, .size = 8};

    memcpy(patch.patch_data, "\0PATCH\0", 8);
    char before[8];
    memcpy(before, page + 8, 8);
    check(kapi_patch(fd, &patch) == 0, "patch: %s", last_message);
    check(memcmp(page + 8, "\0PATCH\0", 8) == 0 && memcmp(patch.original_data, before, 8) == 0,
          "patched wrongly");
    patch.restore = 1;
    page[9] = '!';
    check(kapi_patch(fd, &patch) == -EAGAIN && page[9] == '!', "restored over a change: %s",
          last_message);
    page[9] = 'P';
    check(kapi_patch(fd, &patch) == 0 && memcmp(page + 8, before, 8) == 0, "restore: %s",
          last_message);
    patch.restore = 2;
    check(kapi_patch(fd, &patch) == -EINVAL, "restore is 2: %s", last_message);
}

/* Every size and place that is not plain RAM is an error, and never a crash. */
static void hole_09_sizes_and_places(enum way way)
{
    static const uint64_t sizes[] = {0,          PAGE + 1,          0x7fffffff,
                                     0xffffffff, (uint64_t)1 << 63, 0xffffffffffffffff};
    /* local APIC, I/O APIC, HPET, VGA, option ROM, the firmware, behind all RAM, no address at all
     */
    static const uint64_t places[] = {0xfee00000,
                                      0xfec00000,
                                      0xfed00000,
                                      0xa0000,
                                      0xc0000,
                                      0xffff0000,
                                      0x40000000,
                                      (uint64_t)1 << 40,
                                      (uint64_t)1 << 51,
                                      (uint64_t)1 << 52,
                                      (uint64_t)1 << 63,
                                      0xfffffffffffff000,
                                      0xffffffffffffffff,
                                      0xffff888000000000};
    static char data[PAGE];
    int fd = device_open();
    uint64_t physical = physical_of(fd, own_page(PAGE), getpid());

    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct kapi_mem_patch patch = {.phys_addr = physical, .size = sizes[i]};
        check(kapi_read_physical(fd, physical, sizes[i], NULL) == -EINVAL, "size %lx: %s",
              (long)sizes[i], last_message);
        check(kapi_write_physical(fd, physical, sizes[i], data) == -EINVAL, "size %lx: %s",
              (long)sizes[i], last_message);
        check(kapi_patch(fd, &patch) == -EINVAL, "size %lx: %s", (long)sizes[i], last_message);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        struct kapi_mem_patch patch = {.phys_addr = places[i], .size = 1};
        check(kapi_read_physical(fd, places[i], 1, data) < 0, "read at %lx", (long)places[i]);
        check(kapi_write_physical(fd, places[i], 1, data) < 0, "write at %lx", (long)places[i]);
        check(kapi_patch(fd, &patch) < 0, "patch at %lx", (long)places[i]);
        check(last_message[0], "no word about the reason");
    }
    check(kapi_read_physical(fd, 0xffffffffffffffff, PAGE, NULL) < 0,
          "around the end of all addresses");
}

/* A page's end is no end of what is read: the second half comes from the next page, or the whole is
 * an error. */
static void hole_09_page_crossing(enum way way)
{
    char text[65536], *line, data[PAGE];
    uint64_t end = 0;
    int fd = device_open();

    read_file("/proc/iomem", text, sizeof(text));
    for (line = text; line; line = strchr(line, '\n')) {
        unsigned long long from, to;

        line += *line == '\n';
        if (sscanf(line, "%llx-%llx : System RAM", &from, &to) == 2 &&
            strncmp(strchr(line, ':'), ": System RAM", 12) == 0)
            end = to;
    }
    check(end > PAGE, "no RAM in /proc/iomem");
    int r = kapi_read_physical(fd, (end & ~(uint64_t)(PAGE - 1)) + 0xfff, PAGE, data);
    check(r < 0, "read across the end of all RAM at %lx", (long)end);
    check(kapi_read_physical(fd, 0x9f000, PAGE, data) <= 0 &&
              kapi_read_physical(fd, 0x9ffff, PAGE, data) < 0,
          "read from the last low page into video memory");

    char *pages = own_page(16 * PAGE);
    for (int i = 0; i + 1 < 16; i++) {
        uint64_t first = physical_of(fd, pages + i * PAGE, getpid());
        if (physical_of(fd, pages + (i + 1) * PAGE, getpid()) != first + PAGE)
            continue;
        check(kapi_read_physical(fd, first + 0xff0, 64, data) == 0, "%s", last_message);
        check(memcmp(data, pages + i * PAGE + 0xff0, 64) == 0,
              "other bytes behind the end of the page");
        return;
    }
}

/* Everything that can be read is read, in steps: nothing faults, secrets that the kernel has
 * unmapped stay closed. */
static void hole_09_walk_over_memory(enum way way)
{
    static char data[PAGE];
    int fd = device_open(), good = 0, bad = 0;

    uint64_t end = ((uint64_t)sysconf(_SC_PHYS_PAGES) * PAGE + ((uint64_t)64 << 20)) * 5 / 4;
    for (uint64_t at = 0; at < end; at += 37 * PAGE) {
        if (kapi_read_physical(fd, at, PAGE, data) == 0)
            good++;
        else
            bad++;
    }
    row("limits", "pages of the machine read and refused\t%d\t%d", good, bad);
    check(good > 1000 && bad > 10, "%d good, %d bad", good, bad);
}

static void hole_09_secret_memory(enum way way)
{
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
    int fd = device_open(), secret = (int)syscall(SYS_memfd_secret, 0);
    char data[PAGE], pagemap_bytes[8];

    if (secret < 0)
        skip("this kernel has no memfd_secret");
    check(ftruncate(secret, PAGE) == 0, "%s", strerror(errno));
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, secret, 0);
    check(page != MAP_FAILED, "%s", strerror(errno));
    memcpy(page, "kapi-secret-text", 16);
    int pagemap = open("/proc/self/pagemap", O_RDONLY);
    check(pread(pagemap, pagemap_bytes, 8, (off_t)((uintptr_t)page / PAGE * 8)) == 8, "%s",
          strerror(errno));
    uint64_t entry;
    memcpy(&entry, pagemap_bytes, 8);
    uint64_t physical = (entry & (((uint64_t)1 << 55) - 1)) * PAGE;
    check(physical, "no physical address");
    int r = kapi_read_physical(fd, physical, PAGE, data);
    check(r < 0, "secret memory was read: %.16s", data);
    check(kapi_write_physical(fd, physical, 4, "xxxx") < 0 && memcmp(page, "kapi", 4) == 0,
          "secret memory was written");
}

static void hole_10_translation(enum way way)
{
    static const uint64_t wrong[] = {0,
                                     8,
                                     0x7ffffffff000,
                                     0x7fffffffffff,
                                     0x800000000000,
                                     0x8000000000000000,
                                     0xfffffffffffff000,
                                     0xffffffffffffffff,
                                     0xffffffff81000000};
    int fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        check(kapi_translate(fd, wrong[i], getpid(), NULL) < 0, "address %lx of a process",
              (long)wrong[i]);
    check(kapi_translate(fd, 0x1000, 0, NULL) < 0 &&
              kapi_translate(fd, 0x800000000000, 0, NULL) < 0 &&
              kapi_translate(fd, 0xffffffffffffffff, 0, NULL) < 0 &&
              kapi_translate(fd, 0xffff800000000000, 0, NULL) < 0 &&
              kapi_translate(fd, 0xffffc90000000000 - 0x1000, 0, NULL) < 0,
          "addresses that are none of the kernel's");
    check(kapi_translate(fd, 0x1000, -1, NULL) < 0 &&
              kapi_translate(fd, 0x1000, 0x7fffffff, NULL) == -ESRCH,
          "%s", last_message);
    check(kapi_translate(fd, 0x400000, 2, NULL) < 0, "a kernel thread has no addresses");

    /* A large page is translated in its middle too. */
    char *huge = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(huge, 4 << 20, MADV_HUGEPAGE);
    memset(huge, 1, 4 << 20);
    char byte = 0;
    huge[(3 << 20) + 5] = 77;
    uint64_t physical = physical_of(fd, huge + (3 << 20) + 5, getpid());
    check(kapi_read_physical(fd, physical, 1, &byte) == 0 && byte == 77, "in a large page: %s",
          last_message);

    /* Asking is no use of a page: one that was never touched stays untouched. */
    char *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t entry = 0;
    int r = kapi_translate(fd, (uint64_t)(uintptr_t)fresh, getpid(), &physical);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    check(pread(pagemap, &entry, 8, (off_t)((uintptr_t)fresh / PAGE * 8)) == 8, "%s",
          strerror(errno));
    check(r < 0 || !(entry >> 63), "asking for an untouched page made one: %s", last_message);
    check(r < 0 && last_message[0], "an untouched page has an address: %lx", (long)physical);
}

/* Addresses of processes that end and start meanwhile. */
static void hole_10_translation_races(enum way way)
{
    int fd = device_open();
    uint64_t end = now_ns() + 2000000000, state = options.seed;

    while (now_ns() < end) {
        pid_t pid = fork();
        if (pid == 0) {
            char *page = own_page(4 * PAGE);
            usleep(random_number(&state) % 2000);
            munmap(page, 4 * PAGE);
            _exit(0);
        }
        for (int i = 0; i < 20; i++)
            kapi_translate(fd, (uint64_t)(uintptr_t)&end, pid, NULL);
        if (random_number(&state) % 2)
            kill(pid, SIGKILL);
    }
}

const struct test physical_tests[] = {
    {"hole-03-physical-memory", hole_03_physical_memory, WAYS_PLAIN, 0},
    {"allow-dangerous-is-off-by-default", hole_03_physical_memory, WAY_ROOT, 0},
    {"lockdown-closes-physical-memory", hole_03_physical_memory, WAYS_LOCKED, 0},
    {"panic-is-refused", panic_is_refused, WAYS_DEFAULT | WAYS_PLAIN, 0},
    {"features-tell-the-settings", features_tell_the_settings, WAYS_ALL, 0},
    {"memory-is-read-and-written", memory_is_read_and_written, WAY_ALLOWED, 0},
    {"memory-is-patched-and-restored", memory_is_patched_and_restored, WAY_ALLOWED, 0},
    {"hole-09-sizes-and-places", hole_09_sizes_and_places, WAY_ALLOWED, 0},
    {"hole-09-page-crossing", hole_09_page_crossing, WAY_ALLOWED, 0},
    {"hole-09-walk-over-memory", hole_09_walk_over_memory, WAY_ALLOWED, 60},
    {"hole-09-secret-memory", hole_09_secret_memory, WAY_ALLOWED, 0},
    {"hole-10-translation", hole_10_translation, WAY_ALLOWED, 0},
    {"hole-10-translation-races", hole_10_translation_races, WAY_ALLOWED, 0},
    {0},
};

/* Allocations that fail, one after the other, and memory that is forgotten: only with a sanitizer
 * kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abuse.h"

#define MOST_ALLOCATIONS 400     /* of one operation */
#define MANY_ALLOCATIONS 1000000 /* more than any operation has */
#define LAST_ALLOCATIONS 300

static int nth_fd;
static char area[64 * 1024];

/*
 * The nth allocation (or copy from or to the caller) of the calling thread from now on fails; 0
 * takes that back. Writing the number is such a copy itself, so it may have to be done again.
 */
static void fail_nth(int nth)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", nth);
    ssize_t written = -1;

    for (int i = 0; i < 3 && written != length; i++)
        written = pwrite(nth_fd, text, (size_t)length, 0);
    check(written == length, "fail-nth: %s", strerror(errno));
}

/* Whether the failure is still to come, or came to this question: the operation has fewer
 * allocations. */
static bool is_pending(void)
{
    char text[16] = {0};
    ssize_t length = pread(nth_fd, text, sizeof(text) - 1, 0);

    check(length > 0 || errno == EFAULT, "fail-nth: %s", strerror(errno));
    return length <= 0 || strtol(text, NULL, 10) > 0;
}

/* What the console says between the two is expected. */
static void tell_console(const char *what)
{
    char text[64];

    snprintf(text, sizeof(text), "<4>kapi-test: faults %s\n", what);
    write_file("/dev/kmsg", text);
}

static void need_fault_injection(void)
{
    nth_fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
    if (nth_fd < 0)
        skip("this kernel cannot make allocations fail");
    tell_console("begin");
    static const char *const files[] = {"failslab/ignore-gfp-wait",
                                        "fail_page_alloc/ignore-gfp-wait"};
    static const char *const folders[] = {"failslab", "fail_page_alloc", "fail_usercopy"};
    char path[128];
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        snprintf(path, sizeof(path), "/sys/kernel/debug/%s", files[i]);
        write_file(path, "N");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(folders);
         i++) { /* a trace for each would look like a fault */
        snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", folders[i]);
        write_file(path, "0");
    }
}

/* Makes each allocation of an operation fail once. Returns how many there are. */
static int each_allocation(void (*operation)(void *), void *argument)
{
    int nth = 1;

    for (; nth < MOST_ALLOCATIONS; nth++) {
        fail_nth(nth);
        operation(argument);
        bool pending = is_pending();
        fail_nth(0);
        if (pending)
            break;
    }
    operation(argument); /* and all is well again */
    return nth - 1;
}

struct call {
    int fd;
    unsigned long command;
};

static void one_call(void *argument)
{
    struct call *call = argument;

    memset(area, 0, 9000);
    if (call->command == KAPI_BATCH) {
        struct kapi_batch_entry *entry = (void *)(area + 4096);

        *entry = (struct kapi_batch_entry){
            .command = 8, .buffer = (uintptr_t)area + 8192, .length = 16384};
        *(struct kapi_batch *)area = (struct kapi_batch){.size = sizeof(struct kapi_batch),
                                                         .count = 1,
                                                         .entry_size = sizeof(*entry),
                                                         .entries = (uintptr_t)entry};
    } else if (call->command == KAPI_GET_PROCESS_LIST) {
        *(struct kapi_process_list *)area =
            (struct kapi_process_list){.size = sizeof(struct kapi_process_list),
                                       .buffer = (uintptr_t)area + 8192,
                                       .length = 32768,
                                       .record_size = 64};
    } else if (call->command == KAPI_EXECUTE_KERNEL_CMD) {
        memcpy(area, "get_uptime", 11);
    } else if (call->command == KAPI_TOGGLE_INTERFACE) {
        struct kapi_net_control *control = (void *)area;
        memcpy(control->interface, "lo", 3);
        control->up = 1;
    } else {
        *(int *)area = getpid(); /* of the commands with a pid */
    }
    int r = kapi_call(call->fd, call->command, area);
    check(r <= 0 && r > -4096, "command %lx: %d", call->command, r);
}

static void allocations_of_commands_fail(enum way way)
{
    static const unsigned long commands[] = {KAPI_GET_MEMORY_INFO,
                                             KAPI_GET_CPU_INFO,
                                             KAPI_GET_PROCESS_INFO,
                                             KAPI_EXECUTE_KERNEL_CMD,
                                             KAPI_GET_NETWORK_STATS,
                                             KAPI_GET_FILE_SYSTEM_INFO,
                                             KAPI_GET_KERNEL_MODULES,
                                             KAPI_GET_INTERRUPTS,
                                             KAPI_GET_LOADAVG,
                                             KAPI_GET_KERNEL_CONFIG,
                                             KAPI_GET_PCI_DEVICES,
                                             KAPI_GET_BLOCK_DEVICES,
                                             KAPI_GET_THERMAL_INFO,
                                             KAPI_READ_KERNEL_LOG,
                                             KAPI_RESUME_PROCESS,
                                             KAPI_TOGGLE_INTERFACE,
                                             KAPI_SET_CPU_AFFINITY,
                                             KAPI_INJECT_LOG,
                                             KAPI_BATCH,
                                             KAPI_GET_PROCESS_LIST,
                                             KAPI_VIRT_TO_PHYS,
                                             KAPI_MOUNT_FS,
                                             KAPI_LOAD_MODULE,
                                             KAPI_GET_VERSION};
    int fd = device_open(), sum = 0;

    need_fault_injection();
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        struct call call = {fd, commands[i]};
        sum += each_allocation(one_call, &call);
    }
    tell_console("end");
    row("limits", "allocations of the commands that failed once\t%d\t", sum);
    check(sum > 10, "only %d allocations failed", sum);
}

static void open_and_map(void *unused)
{
    int fd = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    char *map = mmap(NULL, KAPI_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) {
        map[0] = 1;
        munmap(map, KAPI_BUFFER_SIZE);
    }
    close(fd);
}

static void greet(void *unused)
{
    uint64_t state = 1;

    use_everything(&state);
}

static void allocations_of_opening_fail(enum way way)
{
    need_fault_injection();
    int sum = each_allocation(open_and_map, NULL);
    sum += each_allocation(greet, NULL);
    tell_console("end");
    row("limits", "allocations of opening and greeting that failed once\t%d\t", sum);
    check(sum > 3, "only %d", sum);
}

static void load_and_unload(void *unused)
{
    if (module_load(MODULE_FILE, "") == 0)
        for (int i = 0; module_unload(MODULE_NAME) == -EAGAIN && i < 1000; i++)
            usleep(1000);
}

/* How many there are in all. */
static int count_allocations(void (*operation)(void *))
{
    char text[16] = {0};

    fail_nth(MANY_ALLOCATIONS);
    operation(NULL);
    check(pread(nth_fd, text, sizeof(text) - 1, 0) > 0, "fail-nth: %s", strerror(errno));
    fail_nth(0);
    return MANY_ALLOCATIONS - (int)strtol(text, NULL, 10);
}

/*
 * Each step of the module's start fails once, and what came before it is taken back. Before that
 * comes the kernel's own work of loading, hundreds of allocations, of which every tenth will do.
 */
static void hole_15_allocations_of_loading_fail(enum way way)
{
    int failures = 0;

    need_fault_injection();
    module_unload(MODULE_NAME);
    int all = count_allocations(load_and_unload);
    for (int nth = 1; nth <= all; nth += nth < all - LAST_ALLOCATIONS ? 10 : 1, failures++) {
        fail_nth(nth);
        load_and_unload(NULL);
        fail_nth(0);
        module_unload(MODULE_NAME);
    }
    tell_console("end");
    row("limits", "allocations of loading the module that failed once\t%d\tof %d", failures, all);
    check(failures > 20, "only %d", failures);
    check(module_load(MODULE_FILE, "") == 0, "it cannot be loaded any more");
    check(access(KAPI_DEVICE_PATH, F_OK) == 0, "no device");
    check(module_unload(MODULE_NAME) == 0, "it cannot be unloaded");
}

/* After everything else: nothing that was allocated may be forgotten. */
static void nothing_leaks(enum way way)
{
    static char text[65536];

    if (access("/sys/kernel/debug/kmemleak", F_OK) != 0)
        skip("this kernel does not look for forgotten memory");
    for (int i = 0; i < 3; i++) { /* what is young, or was seen once only, is not reported */
        sleep(6);
        write_file("/sys/kernel/debug/kmemleak", "scan");
    }
    read_file("/sys/kernel/debug/kmemleak", text, sizeof(text));
    /* The names of an unloaded module are gone, so whatever is there counts. */
    check(!text[0], "%.2500s", text);
}

const struct test fault_tests[] = {
    {"allocations-of-commands-fail", allocations_of_commands_fail, WAY_ROOT | WAY_SANITIZER, 200},
    {"allocations-of-opening-fail", allocations_of_opening_fail, WAY_ROOT | WAY_SANITIZER, 200},
    {"hole-15-allocations-of-loading-fail", hole_15_allocations_of_loading_fail,
     WAY_LOAD | WAY_SANITIZER, 300},
    {"nothing-leaks", nothing_leaks, WAY_LOAD | WAY_SANITIZER, 100},
    {0},
};

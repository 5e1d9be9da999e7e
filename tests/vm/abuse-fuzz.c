/* Random calls: ioctl with random and nearly right arguments, netlink, mmap, for so many seconds
 * with a known seed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

#define WORKERS 3

static const unsigned long commands[] = {
    KAPI_GET_MEMORY_INFO,
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
    KAPI_KILL_PROCESS,
    KAPI_SUSPEND_PROCESS,
    KAPI_RESUME_PROCESS,
    KAPI_LOAD_MODULE,
    KAPI_UNLOAD_MODULE,
    KAPI_TOGGLE_INTERFACE,
    KAPI_MOUNT_FS,
    KAPI_UMOUNT_FS,
    KAPI_INJECT_LOG,
    KAPI_FORCE_PAGE_RECLAIM,
    KAPI_SET_CPU_AFFINITY,
    KAPI_PANIC_KERNEL,
    KAPI_READ_PHYS_MEM,
    KAPI_WRITE_PHYS_MEM,
    KAPI_VIRT_TO_PHYS,
    KAPI_PATCH_MEMORY,
    KAPI_GET_KERNEL_MODULE_AT,
    KAPI_GET_INTERRUPT_AT,
    KAPI_GET_PCI_DEVICE_AT,
    KAPI_GET_BLOCK_DEVICE_AT,
    KAPI_GET_THERMAL_ZONE_AT,
    KAPI_READ_KERNEL_LOG_AT,
    KAPI_GET_VERSION,
    KAPI_BATCH,
    KAPI_GET_PROCESS_LIST,
};
static const uint64_t edges[] = {0,
                                 1,
                                 2,
                                 31,
                                 32,
                                 63,
                                 64,
                                 65,
                                 255,
                                 256,
                                 4095,
                                 4096,
                                 4097,
                                 16384,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x7fffffffffffffff,
                                 0x8000000000000000,
                                 0xffffffffffffffff,
                                 0x800000000000,
                                 0xffff888000000000,
                                 0xffffffff81000000};
static const char *const words[] = {
    "lo",   "-f",    "/",          "tmpfs", "none", "/proc/self/mem",
    "%s%n", "EMERG", "get_uptime", "..",    "",     "kapi_dummy"};

struct fuzz {
    uint64_t state;
    int fds[4];
    char *area; /* 64 KiB that can be used, and nothing behind it */
    uint64_t calls;
};

static uint64_t next(struct fuzz *fuzz)
{
    return random_number(&fuzz->state);
}

#define AREA (64 * 1024)

/* A place near the end of the area, in its middle, or nowhere. */
static void *place(struct fuzz *fuzz, size_t size)
{
    switch (next(fuzz) % 8) {
    case 0:
        return fuzz->area + AREA - next(fuzz) % (size + 16);
    case 1:
        return (void *)(uintptr_t)edges[next(fuzz) % ARRAY_LENGTH(edges)];
    default:
        return fuzz->area + next(fuzz) % 64 * 64;
    }
}

static void fill(struct fuzz *fuzz, size_t size)
{
    unsigned char *bytes = (unsigned char *)fuzz->area;
    uint64_t kind = next(fuzz) % 6;

    memset(bytes, kind == 0 ? 0xff : kind == 1 ? 'A' : 0, 8192 + 1024);
    if (kind == 2)
        for (size_t i = 0; i + 8 <= size; i += 8)
            memcpy(bytes + i, &(uint64_t){next(fuzz)}, 8);
    for (uint64_t i = next(fuzz) % 6; i--;) { /* numbers where members may be */
        uint64_t number = next(fuzz) % 3 ? edges[next(fuzz) % ARRAY_LENGTH(edges)] : next(fuzz);
        memcpy(bytes + (next(fuzz) % (size / 4 + 1)) * 4, &number, next(fuzz) % 2 ? 4 : 8);
    }
    if (next(fuzz) % 3 == 0) {
        const char *word = words[next(fuzz) % ARRAY_LENGTH(words)];
        memcpy(bytes + next(fuzz) % (size + 1), word, strlen(word) + 1);
    }
}

/* Nearly right forms of the calls that lead on to other memory. */
static void shape(struct fuzz *fuzz, unsigned long command)
{
    if (command == KAPI_BATCH && next(fuzz) % 4) {
        struct kapi_batch *batch = (void *)fuzz->area;
        struct kapi_batch_entry *entries = (void *)(fuzz->area + 8192);

        batch->size = sizeof(*batch);
        batch->flags = 0;
        batch->count = (uint32_t)(next(fuzz) % 8);
        batch->entry_size = sizeof(*entries);
        batch->entries = (uintptr_t)(next(fuzz) % 8 ? entries : place(fuzz, 64));
        for (int i = 0; i < 8; i++)
            entries[i] = (struct kapi_batch_entry){
                .command = (uint32_t)(next(fuzz) % 36),
                .index = (uint32_t)edges[next(fuzz) % ARRAY_LENGTH(edges)],
                .buffer = (uintptr_t)place(fuzz, 4096),
                .length = (uint32_t)edges[next(fuzz) % ARRAY_LENGTH(edges)]};
    }
    if (command == KAPI_GET_PROCESS_LIST && next(fuzz) % 4) {
        struct kapi_process_list *list = (void *)fuzz->area;

        *list = (struct kapi_process_list){.size = sizeof(*list),
                                           .flags = (uint32_t)(next(fuzz) % 4),
                                           .buffer = (uintptr_t)place(fuzz, 4096),
                                           .length = edges[next(fuzz) % ARRAY_LENGTH(edges)],
                                           .record_size = (uint32_t)(28 + next(fuzz) % 400),
                                           .cursor = (uint32_t)next(fuzz) >> next(fuzz) % 32};
    }
}

static unsigned long mutated(struct fuzz *fuzz, unsigned long command)
{
    switch (next(fuzz) % 16) {
    case 0:
        return command ^ 1ul << next(fuzz) % 32;
    case 1:
        return next(fuzz);
    case 2:
        return _IOC(next(fuzz) % 4, 'k', next(fuzz) % 256, next(fuzz) % 16384);
    default:
        return command;
    }
}

static void random_ioctl(struct fuzz *fuzz)
{
    unsigned long command = commands[next(fuzz) % ARRAY_LENGTH(commands)];
    size_t size = _IOC_SIZE(command);

    fill(fuzz, size ? size : 8);
    shape(fuzz, command);
    void *argument = next(fuzz) % 4 ? fuzz->area : place(fuzz, size);
    kapi_call(fuzz->fds[next(fuzz) % 4], mutated(fuzz, command), argument);
}

static void random_mapping(struct fuzz *fuzz)
{
    size_t length = (next(fuzz) % 6 + 1) * 4096 + (next(fuzz) % 4 == 0 ? next(fuzz) % 4096 : 0);
    off_t offset = (off_t)(next(fuzz) % 4 ? next(fuzz) % 6 * 4096
                                          : edges[next(fuzz) % ARRAY_LENGTH(edges)] & ~4095ul);
    int protection = (int)(next(fuzz) % 8), flags = next(fuzz) % 3 ? MAP_SHARED : MAP_PRIVATE;
    char *map = mmap(NULL, length, protection, flags, fuzz->fds[next(fuzz) % 4], offset);

    if (map == MAP_FAILED)
        return;
    if (protection & PROT_WRITE)
        map[next(fuzz) % 4096] = (char)next(fuzz);
    mprotect(map, 4096, (int)(next(fuzz) % 8));
    madvise(map, length, (int)(next(fuzz) % 26));
    msync(map, length, MS_SYNC);
    char *moved = mremap(map, length, length + 4096, MREMAP_MAYMOVE);
    munmap(moved == MAP_FAILED ? map : moved, length + (moved == MAP_FAILED ? 0 : 4096));
}

static void random_file_call(struct fuzz *fuzz)
{
    int fd = fuzz->fds[next(fuzz) % 4];
    size_t size = next(fuzz) % 20000;
    off_t at =
        (off_t)(next(fuzz) % 3 ? next(fuzz) % 20000 : edges[next(fuzz) % ARRAY_LENGTH(edges)]);
    void *data = place(fuzz, size);

    switch (next(fuzz) % 6) {
    case 0:
        pread(fd, data, size, at);
        break;
    case 1:
        pwrite(fd, data, size, at);
        break;
    case 2:
        lseek(fd, at, (int)(next(fuzz) % 5));
        break;
    case 3:
        read(fd, data, size);
        break;
    case 4:
        write(fd, data, size);
        break;
    default:
        fd = (int)(next(fuzz) % 4);
        close(fuzz->fds[fd]);
        fuzz->fds[fd] = open(KAPI_DEVICE_PATH, (int)(next(fuzz) % 3) | O_CLOEXEC);
    }
}

static void random_netlink(struct fuzz *fuzz)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, next(fuzz) % 2 ? SOCK_RAW : SOCK_DGRAM,
                    next(fuzz) % 3 ? KAPI_NETLINK_FAMILY : NETLINK_GENERIC);
    size_t size = next(fuzz) % 3 ? next(fuzz) % 64 : next(fuzz) % 8000;

    if (fd < 0)
        return;
    if (next(fuzz) % 2)
        bind(fd, (struct sockaddr *)&address, sizeof(address));
    fill(fuzz, size + 16);
    struct nlmsghdr *head = (void *)fuzz->area;
    if (next(fuzz) % 4)
        *head = (struct nlmsghdr){.nlmsg_len = (uint32_t)(next(fuzz) % 4 ? size : next(fuzz)),
                                  .nlmsg_type = (uint16_t)(next(fuzz) % 64),
                                  .nlmsg_flags = (uint16_t)next(fuzz),
                                  .nlmsg_pid = (uint32_t)(next(fuzz) % 2 ? 0 : next(fuzz))};
    for (int i = 0; i < 3; i++) {
        sendto(fd, fuzz->area, size, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof(address));
        recv(fd, fuzz->area + 32768, 8192, MSG_DONTWAIT);
    }
    close(fd);
}

static void work(uint64_t seed, uint64_t end, volatile uint64_t *ret_calls)
{
    struct fuzz fuzz = {.state = seed};

    fuzz.area = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(fuzz.area + AREA, 4096, PROT_NONE);
    for (int i = 0; i < 4; i++)
        fuzz.fds[i] = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);
    while (now_ns() < end) {
        for (int i = 0; i < 50; i++)
            random_ioctl(&fuzz);
        random_mapping(&fuzz);
        random_file_call(&fuzz);
        random_netlink(&fuzz);
        *ret_calls += 58;
    }
}

/*
 * In namespaces of its own, also as root: pids, interfaces and mounts that it hits are its own. A
 * worker that kills or stops itself is replaced.
 */
static void keep_working(int number, uint64_t end, volatile uint64_t *ret_calls)
{
    for (uint64_t generation = 0; now_ns() < end; generation++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(options.seed + (uint64_t)number * 1000000 + generation, end, ret_calls);
            _exit(0);
        }
        int status;
        uint64_t started = now_ns();
        while (waitpid(pid, &status, WNOHANG) == 0) {
            if (now_ns() > end + 500000000 || now_ns() > started + 3000000000)
                kill(pid, SIGKILL);
            usleep(5000);
        }
    }
}

static void fuzz_everything(enum way way)
{
    volatile uint64_t *calls =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t end = now_ns() + (uint64_t)options.fuzz_seconds * options.slow * 1000000000 / 3;
    pid_t pids[WORKERS];

    for (int i = 0; i < WORKERS; i++) {
        if ((pids[i] = fork()) != 0)
            continue;
        check(unshare(CLONE_NEWPID |
                      (way & WAYS_PLAIN && !(way & WAY_USERNS) ? 0 : CLONE_NEWNET | CLONE_NEWNS)) ==
                      0 ||
                  way == WAY_NOBODY,
              "%s", strerror(errno));
        pid_t init = fork(); /* pid 1 of the namespace: nothing in it can kill it */
        if (init == 0) {
            keep_working(i, end, &calls[i]);
            _exit(0);
        }
        waitpid(init, NULL, 0);
        _exit(0);
    }
    for (int i = 0; i < WORKERS; i++)
        waitpid(pids[i], NULL, 0);
    uint64_t sum = 0;
    for (int i = 0; i < WORKERS; i++)
        sum += calls[i];
    row("limits", "random calls with seed %lu, in %u s\t%llu\t", options.seed,
        options.fuzz_seconds * options.slow / 3, (unsigned long long)sum);
    check(sum > 1000 / options.slow / options.slow, "only %llu calls", (unsigned long long)sum);
    check(kapi_call(device_open(), KAPI_GET_LOADAVG, &(struct kapi_loadavg_info){0}) == 0, "%s",
          strerror(errno));
}

const struct test fuzz_tests[] = {
    {"fuzz", fuzz_everything, WAYS_DEFAULT, 900},
    {0},
};

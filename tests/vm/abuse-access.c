/* Who may open the device, and what a call may be: holes 3 (access), 13 (log per call) and the
 * shape of commands. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

/* The first test of all: before root hands the device to a group. */
static void device_is_private(enum way way)
{
    struct stat status;

    check(stat(KAPI_DEVICE_PATH, &status) == 0 && S_ISCHR(status.st_mode), "%s", strerror(errno));
    check((status.st_mode & 0777) == 0600 && status.st_uid == 0 && status.st_gid == 0,
          "mode %o, owner %u:%u", status.st_mode & 0777, status.st_uid, status.st_gid);
    pid_t pid = fork();
    if (pid == 0) {
        become(WAY_NOBODY);
        check(open(KAPI_DEVICE_PATH, O_RDWR) < 0 && errno == EACCES, "uid 65534 opens it: %s",
              strerror(errno));
        check(open(KAPI_DEVICE_PATH, O_RDONLY) < 0 && errno == EACCES,
              "uid 65534 opens it for reading");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void nothing_is_world_writable(enum way way)
{
    int status =
        run_program("/bin/sh", "-c",
                    "! find /sys/module/kernel_driver /sys/class/kapi /sys/class/kapi/* "
                    "/proc/kapi /sys/kernel/debug/kapi /dev/kernel_api_exporter -perm -2 ! -type l "
                    "2>/dev/null | grep -q .",
                    NULL);

    check(status == 0, "something of the module can be written by everybody");
}

/* Everything that is no command of the list. Sizes and directions are part of a command. */
static void unknown_commands_are_refused(enum way way)
{
    static const unsigned long commands[] = {
        0,
        0x6b,
        _IO('k', 0),
        _IO('k', 34),
        _IO('k', 255),
        _IO('j', 1),
        _IOR('k', 1, char[127]),
        _IOR('k', 1, char[129]),
        _IOW('k', 1, char[128]),
        _IOWR('k', 3, char[16383]),
        _IOWR('k', 27, char[8]),
        _IO('k', 1),
        _IO('k', 15),
        _IOR('k', 26, int),
        0xffffffff,
    };
    static char buffer[16384];
    int fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        memset(buffer, 0x5a, sizeof(buffer));
        int r = kapi_call(fd, commands[i], buffer);
        check(r == -ENOTTY || r == -EINVAL, "command %lx: %s", commands[i],
              r ? strerror(-r) : "accepted");
        for (size_t at = 0; at < sizeof(buffer); at++)
            check(buffer[at] == 0x5a, "command %lx wrote at %zu", commands[i], at);
    }
}

static const unsigned long all_commands[] = {
    KAPI_GET_MEMORY_INFO,     KAPI_GET_CPU_INFO,
    KAPI_GET_PROCESS_INFO,    KAPI_EXECUTE_KERNEL_CMD,
    KAPI_GET_NETWORK_STATS,   KAPI_GET_FILE_SYSTEM_INFO,
    KAPI_GET_KERNEL_MODULES,  KAPI_GET_INTERRUPTS,
    KAPI_GET_LOADAVG,         KAPI_GET_KERNEL_CONFIG,
    KAPI_GET_PCI_DEVICES,     KAPI_GET_BLOCK_DEVICES,
    KAPI_READ_KERNEL_LOG,     KAPI_KILL_PROCESS,
    KAPI_SUSPEND_PROCESS,     KAPI_RESUME_PROCESS,
    KAPI_LOAD_MODULE,         KAPI_UNLOAD_MODULE,
    KAPI_TOGGLE_INTERFACE,    KAPI_MOUNT_FS,
    KAPI_UMOUNT_FS,           KAPI_INJECT_LOG,
    KAPI_SET_CPU_AFFINITY,    KAPI_READ_PHYS_MEM,
    KAPI_WRITE_PHYS_MEM,      KAPI_VIRT_TO_PHYS,
    KAPI_PATCH_MEMORY,        KAPI_GET_KERNEL_MODULE_AT,
    KAPI_GET_INTERRUPT_AT,    KAPI_GET_PCI_DEVICE_AT,
    KAPI_GET_BLOCK_DEVICE_AT, KAPI_READ_KERNEL_LOG_AT,
    KAPI_GET_VERSION,         KAPI_BATCH,
    KAPI_GET_PROCESS_LIST,
};

/* Addresses that cannot be read or written: the kernel half, the first page, a hole, the last bytes
 * of a page. */
static void bad_addresses_fault(enum way way)
{
    char *page = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = device_open();

    check(page != MAP_FAILED && mprotect(page + 8192, 8192, PROT_NONE) == 0, "%s", strerror(errno));
    void *const addresses[] = {NULL,
                               (void *)8,
                               page + 8192,
                               page + 8192 - 4,
                               (void *)0xffff888000000000,
                               (void *)-1,
                               (void *)0xffffffff81000000,
                               (void *)0x800000000000};
    for (size_t i = 0; i < ARRAY_LENGTH(all_commands); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(addresses); j++) {
            int r = kapi_call(fd, all_commands[i], addresses[j]);
            /* What lacks a privilege may say that first. */
            check(r == -EFAULT || (r == -EPERM && !is_privileged(way)) || r == -EINVAL ||
                      r == -E2BIG || r == -ENODATA,
                  "command %lx at %p: %s", all_commands[i], addresses[j],
                  r ? strerror(-r) : "success");
        }
}

/* Nothing of the kernel's stack comes back in bytes that no member covers: each byte is set, the
 * same each time. */
static void padding_is_cleared(enum way way)
{
    struct kapi_process_info first, second;
    int fd = device_open();

    memset(&first, 0xaa, sizeof(first));
    memset(&second, 0x55, sizeof(second));
    first.pid = second.pid = getpid();
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &first) == 0, "%s", strerror(errno));
    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &second) == 0, "%s", strerror(errno));
    size_t from = offsetof(struct kapi_process_info, state) + 1;
    check(memcmp((char *)&first + from, (char *)&second + from,
                 offsetof(struct kapi_process_info, flags) - from) == 0,
          "padding before flags is what the caller had");
    check(strnlen(first.comm, sizeof(first.comm)) < sizeof(first.comm), "comm has no end");
}

/* A reader of /dev/kmsg sees nothing of a thousand calls, granted or refused for their form. */
static void hole_13_calls_are_not_logged(enum way way)
{
    struct kapi_memory_info memory;
    char line[4096];
    int level, log, fd;

    if (!is_privileged(way))
        skip("the kernel log cannot be read");
    log = log_open();
    fd = device_open();
    for (int i = 0; i < 1000; i++) {
        void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        char byte;

        kapi_call(fd, KAPI_GET_MEMORY_INFO, &memory);
        kapi_call(fd, _IO('k', 200), NULL);
        pread(fd, &byte, 1, 0);
        if (i % 50 == 0)
            close(device_open());
        munmap(map, 4096);
    }
    while (log_next(log, line, sizeof(line), &level))
        check(!strcasestr(line, "kapi") && !strcasestr(line, MODULE_NAME), "logged: %s", line);
}

/* Opening costs the kernel memory: there is an end to it, for each user, and it comes back. */
static void opens_are_limited(enum way way)
{
    int fds[4000], count = 0;

    run_program("/bin/true", NULL);
    while (count < (int)ARRAY_LENGTH(fds) &&
           (fds[count] = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC)) >= 0)
        count++;
    int error = errno;
    check(count < (int)ARRAY_LENGTH(fds), "4000 opens at once");
    check(count >= 8, "only %d opens at once: %s", count, strerror(error));
    row("limits", "opens at once\t%d\t%s", count, strerror(error));
    for (int i = 0; i < count; i++)
        close(fds[i]);
    close(device_open());
}

const struct test access_tests[] = {
    {"hole-03-device-is-private", device_is_private, WAY_ROOT, 0},
    {"hole-03-nothing-is-world-writable", nothing_is_world_writable, WAY_ROOT, 0},
    {"hole-13-calls-are-not-logged", hole_13_calls_are_not_logged,
     WAY_ROOT | WAY_ALLOWED | WAYS_LOCKED, 0},
    {"unknown-commands-are-refused", unknown_commands_are_refused, WAYS_ALL, 0},
    {"bad-addresses-fault", bad_addresses_fault, WAYS_DEFAULT | WAY_ALLOWED, 0},
    {"padding-is-cleared", padding_is_cleared, WAYS_DEFAULT, 0},
    {"opens-are-limited", opens_are_limited, WAY_NOBODY | WAY_USERNS, 0},
    {0},
};

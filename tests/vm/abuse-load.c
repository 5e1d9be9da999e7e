/* Loading and unloading the module, while it is used and while it fails: holes 14 and 15. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

static int unload(void)
{
    return module_unload(MODULE_NAME);
}

/* Until nobody holds it; at most two seconds. */
static int unload_patiently(void)
{
    int r = unload();

    for (int i = 0; i < 2000 && (r == -EAGAIN || r == -EBUSY); i++) {
        usleep(1000);
        r = unload();
    }
    return r;
}

static void load(const char *parameters)
{
    int r = module_load(MODULE_FILE, parameters);

    check(r == 0 || r == -EEXIST, "load with \"%s\": %s", parameters, strerror(-r));
    for (int i = 0; access(KAPI_DEVICE_PATH, F_OK) != 0 && i < 1000; i++)
        usleep(1000);
}

static void hole_14_unload_while_open(enum way way)
{
    load("");
    int fd = device_open();
    int r = unload();
    check(r == -EAGAIN || r == -EBUSY, "unloaded while open: %s", strerror(-r));
    char *map = mmap(NULL, KAPI_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(map != MAP_FAILED, "%s", strerror(errno));
    close(fd);
    r = unload();
    check(r == -EAGAIN || r == -EBUSY, "unloaded while mapped: %s", strerror(-r));
    map[0] = 1;
    munmap(map, KAPI_BUFFER_SIZE);
    r = unload_patiently();
    check(r == 0, "cannot be unloaded at the end: %s", strerror(-r));
    check(access(KAPI_DEVICE_PATH, F_OK) != 0, "the device is still there");
}

static void unload_with_open_sockets(enum way way)
{
    uint32_t port;
    char answer[2048];

    load("");
    int fd = netlink_open(KAPI_NETLINK_FAMILY, &port), group = 0,
        genl = netlink_open(NETLINK_GENERIC, NULL);
    netlink_greet(fd, port, answer, sizeof(answer));
    check(genl_resolve(genl, &group) > 0, "no family kapi");
    setsockopt(genl, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
    int r = unload_patiently();
    check(r == 0 || r == -EAGAIN || r == -EBUSY, "%s", strerror(-r));
    if (r == 0) {
        struct nlmsghdr head = {.nlmsg_len = 16};
        send(fd, &head, 16, MSG_DONTWAIT); /* nobody is there any more; nothing may happen */
        load("");
        send(fd, &head, 16, MSG_DONTWAIT);
    }
    close(fd);
    close(genl);
    r = unload_patiently();
    check(r == 0, "%s", strerror(-r));
}

static void hole_15_failing_loads(enum way way)
{
    static const char *const wrong[] = {"nothing=1", "allow_dangerous=maybe", "max_opens=-1",
                                        "max_opens=99999999999999999999", "max_opens=0x"};

    unload_patiently();
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        /* The kernel only logs an unknown name; what the module itself does not like it refuses, or
         * bounds. */
        if (module_load(MODULE_FILE, wrong[i]) == 0)
            check(unload_patiently() == 0, "after %s", wrong[i]);
    }
    load("");
    check(module_load(MODULE_FILE, "") == -EEXIST, "loaded twice");
    check(unload_patiently() == 0, "unload");
    for (int i = 0; i < 20; i++) {
        load(i % 2 ? ALLOW_ALL : "");
        check(unload_patiently() == 0, "round %d", i);
    }
}

static void parameters_cannot_be_changed(enum way way)
{
    static const char *const names[] = {"allow_dangerous", "allow_phys_write"};
    char path[128], text[16];

    load("");
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        snprintf(path, sizeof(path), "/sys/module/" MODULE_NAME "/parameters/%s", names[i]);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        check(fd < 0 || write(fd, "1", 1) < 0, "%s was changed at run time", names[i]);
        read_file(path, text, sizeof(text));
        check(text[0] == '0' || text[0] == 'N', "%s is %s", names[i], text);
    }
    check(unload_patiently() == 0, "unload");
}

void use_everything(uint64_t *state)
{
    static char data[64 * 1024];
    int fd = open(KAPI_DEVICE_PATH, O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        struct kapi_process_info process = {.pid = (int)(random_number(state) % 300)};
        struct kapi_process_list list = {.size = sizeof(list),
                                         .buffer = (uintptr_t)data,
                                         .length = sizeof(data),
                                         .record_size = 64};
        char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);

        kapi_call(fd, KAPI_GET_MEMORY_INFO, data);
        kapi_call(fd, KAPI_GET_PROCESS_INFO, &process);
        kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
        kapi_call(fd, KAPI_GET_BLOCK_DEVICES, data);
        pread(fd, data, 100, 0);
        pwrite(fd, data, 100, 16300);
        if (map != MAP_FAILED) {
            map[random_number(state) % 4096] = 1;
            munmap(map, 4096);
        }
        close(fd);
    }
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nlmsghdr head = {.nlmsg_len = 16};
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, KAPI_NETLINK_FAMILY);
    if (fd >= 0) {
        sendto(fd, &head, 16, MSG_DONTWAIT, (struct sockaddr *)&kernel, sizeof(kernel));
        recv(fd, data, sizeof(data), MSG_DONTWAIT);
        close(fd);
    }
}

/* Uses the module with pauses until it is told to end; one of them in ever new network namespaces.
 */
static void use_until_told(int number, const volatile bool *told)
{
    uint64_t state = options.seed + (uint64_t)number;

    while (!*told) {
        use_everything(&state);
        if (number == 0)
            unshare(CLONE_NEWNET);
        usleep((useconds_t)(random_number(&state) % 6000));
    }
}

/* Unloading races with every use of it. A busy host needs longer until nobody holds it for a
 * moment. */
static void unload_under_load(enum way way)
{
    volatile bool *told =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t enough = now_ns() + 6000000000, end = now_ns() + 60000000000;
    int unloads = 0, refused = 0;

    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            use_until_told(i, told);
            _exit(0);
        }
    while (now_ns() < enough || (unloads < 3 && now_ns() < end)) {
        load("");
        usleep(3000);
        int r = unload();
        for (int i = 0; i < 200 && (r == -EAGAIN || r == -EBUSY); i++) {
            refused++;
            usleep(500);
            r = unload();
        }
        check(r == 0 || r == -EAGAIN || r == -EBUSY || r == -ENOENT, "unload: %s", strerror(-r));
        unloads += r == 0;
    }
    *told = true;
    while (wait(NULL) > 0)
        ;
    row("limits", "unloads under load, done and refused\t%d\t%d", unloads, refused);
    check(unloads >= 3, "unloaded %d times, %d times refused", unloads, refused);
    unload_patiently();
}

/* Many processes and threads of work on one descriptor, and on many. */
static void concurrent_opens(enum way way)
{
    uint64_t end = now_ns() + 3000000000;
    int shared = device_open(), status;

    for (int i = 0; i < 8; i++) {
        if (fork() != 0)
            continue;
        uint64_t state = options.seed + (uint64_t)i;
        static char data[16384];
        while (now_ns() < end) {
            use_everything(&state);
            kapi_call(shared, KAPI_GET_PCI_DEVICES, data);
            kapi_call(shared, KAPI_GET_INTERRUPTS, data);
            pwrite(shared, data, random_number(&state) % sizeof(data),
                   (off_t)(random_number(&state) % 20000));
            pread(shared, data, random_number(&state) % sizeof(data),
                  (off_t)(random_number(&state) % 20000));
            lseek(shared, (off_t)(random_number(&state) % 20000), SEEK_SET);
            read(shared, data, 100);
        }
        _exit(0);
    }
    while (wait(&status) > 0)
        check(status == 0, "status %x", status);
}

const struct test load_tests[] = {
    {"concurrent-opens", concurrent_opens, WAY_ROOT | WAY_NOBODY, 60},
    {"hole-14-unload-while-open", hole_14_unload_while_open, WAY_LOAD, 60},
    {"unload-with-open-sockets", unload_with_open_sockets, WAY_LOAD, 60},
    {"hole-15-failing-loads", hole_15_failing_loads, WAY_LOAD, 60},
    {"parameters-cannot-be-changed", parameters_cannot_be_changed, WAY_LOAD, 0},
    {"unload-under-load", unload_under_load, WAY_LOAD, 120},
    {0},
};

/* The abuse suite of the kernel module: what its files share. It runs in a virtual machine of its
 * own, as root. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cerebro/kapi.h"

#define NOBODY              65534
#define KAPI_GROUP          900
#define MODULE_NAME         "kernel_driver"
#define MODULE_FILE         "/lib/kernel_driver.ko"
#define DUMMY_NAME          "kapi_dummy"
#define DUMMY_FILE          "/lib/kapi_dummy.ko"
#define ALLOW_ALL           "allow_dangerous=1 allow_phys_write=1"
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* As whom, and under which settings of the module, a test runs. */
enum way {
    WAY_ROOT = 1 << 0,   /* root, the module's defaults */
    WAY_NOBODY = 1 << 1, /* uid 65534, in the device's group */
    WAY_USERNS =
        1 << 2, /* the same, as root of a user namespace (and of mount, net, UTS, IPC namespaces) */
    WAY_ALLOWED = 1 << 3,        /* root, allow_dangerous=1 allow_phys_write=1 */
    WAY_ALLOWED_NOBODY = 1 << 4, /* uid 65534, the same settings */
    WAY_ALLOWED_USERNS = 1 << 5,
    WAY_LOAD =
        1 << 6, /* root; the test loads and unloads the module itself, and leaves it unloaded */
    WAY_INTEGRITY = 1 << 7,       /* root, allowed, after lockdown=integrity */
    WAY_CONFIDENTIALITY = 1 << 8, /* root, allowed, after lockdown=confidentiality */
    WAY_SANITIZER = 1 << 9,       /* together with another: only where the kernel has sanitizers */
};

#define WAYS_PLAIN   (WAY_NOBODY | WAY_USERNS | WAY_ALLOWED_NOBODY | WAY_ALLOWED_USERNS)
#define WAYS_LOCKED  (WAY_INTEGRITY | WAY_CONFIDENTIALITY)
#define WAYS_DEFAULT (WAY_ROOT | WAY_NOBODY | WAY_USERNS)
#define WAYS_ALL     (WAYS_DEFAULT | WAY_ALLOWED | WAYS_PLAIN | WAYS_LOCKED)

struct test {
    const char *name;
    void (*run)(enum way way);
    unsigned int ways;
    unsigned int seconds; /* 0: the usual limit */
};

extern const struct test access_tests[], buffer_tests[], string_tests[], netlink_tests[],
    genl_tests[], control_tests[], physical_tests[], process_tests[], information_tests[],
    record_tests[], batch_tests[], list_tests[], latency_tests[], load_tests[], fuzz_tests[],
    fault_tests[];

/* ---- abuse-main.c: results. All of them may be used in children of a test too. ---- */

/* Ends the calling process, and the test fails, unless `good`. */
#define check(good, ...) ((good) ? (void)0 : failed(__FILE__, __LINE__, #good, __VA_ARGS__))
_Noreturn void failed(const char *file, int line, const char *text, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Ends the test; it is counted as skipped, with a reason. */
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line of a table: cells are separated by tabs. */
void row(const char *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct options {
    unsigned int fuzz_seconds;
    unsigned long seed;
    unsigned int
        slow; /* so many times slower than usual is this kernel; more than 1: it has sanitizers */
};
extern struct options options;

/* Opened by root before the test changed its identity: what a leaked descriptor looks like. */
extern int leaked_fd;

/* ---- abuse-system.c ---- */

int device_open(void); /* O_RDWR, close-on-exec; the test fails where it cannot be opened */
size_t read_file(const char *path, char *buffer,
                 size_t size); /* terminated; fails the test on errors */
bool try_read_file(const char *path, char *buffer, size_t size);
void write_file(const char *path, const char *text);
/* The number behind `key` in a text of "key: number" or "key number" lines; fails when it is not
 * there. */
unsigned long number_after(const char *text, const char *key);
/* The text behind `key` and its colon, to the end of the line. */
void text_after(const char *text, const char *key, char *buffer, size_t size);
int module_load(const char *path, const char *parameters); /* 0 or a negative errno */
int module_unload(const char *name);
/* Runs a program with arguments up to NULL; its exit status. */
int run_program(const char *path, ...);
uint64_t now_ns(void);
/* A process of root that sleeps; it ends with the test. */
pid_t sleeper(void);
bool is_alive(pid_t pid);
char state_of(pid_t pid);
bool interface_is_up(const char *name);
/* Becomes what the way says; `way` is one of the ways. */
void become(enum way way);
bool is_privileged(enum way way);
/* Kernel log, from now on. */
int log_open(void);
/* The next record, without its head; false when there is none. *ret_level is 0 to 7. */
bool log_next(int fd, char *buffer, size_t size, int *ret_level);
bool log_contains(int fd, const char *text);
/* A path whose name is not taken, on a file system in memory. */
void write_random(void *buffer, size_t size);
uint64_t random_number(uint64_t *state);

/* ---- abuse-commands.c: each returns 0, or a negative errno from errno or `status` ---- */

extern char last_message[257];

int kapi_signal(int fd, unsigned long command, int pid, int signal);
int kapi_load(int fd, const char *path, const char *name, const char *params);
int kapi_unload(int fd, const char *name);
int kapi_toggle(int fd, const char *interface, int up);
int kapi_mount(int fd, const char *device, const char *path, const char *type, const char *text);
int kapi_umount(int fd, const char *path);
int kapi_log(int fd, const char *level, const char *message);
int kapi_affinity(int fd, int pid, uint64_t mask);
int kapi_read_physical(int fd, uint64_t address, uint64_t size, void *data);
int kapi_write_physical(int fd, uint64_t address, uint64_t size, const void *data);
int kapi_translate(int fd, uint64_t address, int pid, uint64_t *ret_physical);
int kapi_patch(int fd, struct kapi_mem_patch *patch);
/* An ioctl as it is: 0 or a negative errno. */
int kapi_call(int fd, unsigned long command, void *argument);
/* All records of 7, 8, 11-14 by the cursor of the open file, at most `max`; their number. */
size_t kapi_records(int fd, unsigned long command, void *records, size_t size, size_t max);

/* ---- abuse-netlink.c ---- */

int netlink_open(int family, uint32_t *ret_port);
int netlink_greet(int fd, uint32_t claimed_port, char *answer, size_t size);
/* Family number of the generic netlink family "kapi", and the number of its group. */
int genl_resolve(int fd, int *ret_group);

/* ---- abuse-load.c ---- */

/* Uses every door of the module once; errors are no matter. */
void use_everything(uint64_t *state);

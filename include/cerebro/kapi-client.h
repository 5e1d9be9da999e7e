/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of the kernel API exporter (<cerebro/kapi.h>) for C programs: libcerebro-kapi.
 *
 *     struct kapi_client *client;
 *     struct kapi_memory_info memory;
 *     int r = kapi_open(&client);
 *
 *     if (r == 0)
 *         r = kapi_get_memory_info(client, &memory);
 *     ...
 *     kapi_close(client);
 *
 * All functions that can fail return 0 (or what they say) on success and a negative errno on
 * failure; results (`ret_`) are untouched then. Nothing is printed. Errors of the device are those
 * that <cerebro/kapi.h> lists; in addition:
 *
 *   -ENOTTY        the driver is older than the command
 *   -EINVAL        a NULL, a number out of range, a text with more bytes than its field holds
 *   -ENAMETOOLONG  a text does not fit into its field
 *
 * A client may be used by several threads at a time; kapi_open() and kapi_close() of one client,
 * and the use of one struct kapi_processes, are one thread's.
 */
#ifndef CEREBRO_KAPI_CLIENT_H
#define CEREBRO_KAPI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cerebro/kapi.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct kapi_client;
struct kapi_processes;

/* Room for the sentence with which the kernel explains a control command. */
#define KAPI_MESSAGE_SIZE 256

/*
 * The system calls that the library makes, for tests and for programs that reach the device in
 * another way. Each returns >= 0 or a negative errno; `user` is handed through.
 */
struct kapi_system {
    int (*open)(void *user, const char *path);
    int (*close)(void *user, int fd);
    int (*ioctl)(void *user, int fd, uint32_t command, void *argument);
    /* Maps KAPI_BUFFER_SIZE bytes, shared, for reading and writing. */
    int (*map)(void *user, int fd, void **ret_address);
    void (*unmap)(void *user, void *address);
    void *user;
};

/* ---- coming and going ---- */

/*
 * Opens KAPI_DEVICE_PATH for reading and writing, close-on-exec. -ENOENT: the module is not loaded;
 * -EACCES: the user is not in the group kapi.
 */
int kapi_open(struct kapi_client **ret_client);

/* The same with another path and other system calls (copied; NULL: those of the C library). */
int kapi_open_with(const char *path, const struct kapi_system *system,
                   struct kapi_client **ret_client);

/* Releases everything, the mapping included. NULL is allowed. */
void kapi_close(struct kapi_client *client);

/* The open device; it stays the client's. */
int kapi_descriptor(const struct kapi_client *client);

/* Version and features of the driver; -ENOTTY for one of the first version. */
int kapi_get_version(struct kapi_client *client, struct kapi_version *ret_version);

/* ---- information ---- */

int kapi_get_memory_info(struct kapi_client *client, struct kapi_memory_info *ret_info);
int kapi_get_cpu_info(struct kapi_client *client, struct kapi_cpu_info *ret_info);
/* -ESRCH: no such process in the caller's view. */
int kapi_get_process_info(struct kapi_client *client, pid_t pid,
                          struct kapi_process_info *ret_info);
int kapi_get_network_stats(struct kapi_client *client, struct kapi_network_stats *ret_stats);
int kapi_get_filesystem_info(struct kapi_client *client, struct kapi_filesystem_info *ret_info);
/* The loads are fixed point with 16 bits of fraction. */
int kapi_get_loadavg(struct kapi_client *client, struct kapi_loadavg_info *ret_info);
int kapi_get_kernel_config(struct kapi_client *client, struct kapi_kernel_config *ret_config);

/*
 * Record number `index` of a list (from 0). -ENODATA behind the last one. Records may come and go
 * between two calls; kapi_run_batch() gives many at one moment.
 */
int kapi_get_kernel_module(struct kapi_client *client, uint32_t index,
                           struct kapi_module_info *ret_info);
int kapi_get_interrupt(struct kapi_client *client, uint32_t index,
                       struct kapi_interrupt_info *ret_info);
int kapi_get_pci_device(struct kapi_client *client, uint32_t index,
                        struct kapi_pci_device_info *ret_info);
int kapi_get_block_device(struct kapi_client *client, uint32_t index,
                          struct kapi_block_device_info *ret_info);
int kapi_get_thermal_zone(struct kapi_client *client, uint32_t index,
                          struct kapi_thermal_info *ret_info);
int kapi_read_kernel_log(struct kapi_client *client, uint32_t index,
                         struct kapi_kernel_log *ret_record);

/*
 * Runs a kernel command ("get_uptime", ...) and copies its result, terminated. -EINVAL: unknown;
 * -ENOSPC: `size` is too small (the longest result has 1024 bytes with its terminator).
 */
int kapi_execute_command(struct kapi_client *client, const char *command, char *ret_result,
                         size_t size);

/* ---- several at once ---- */

/* An entry for kapi_run_batch() that asks for one structure, or for a list from `index` on. */
static inline struct kapi_batch_entry kapi_batch_ask(uint32_t command, uint32_t index, void *buffer,
                                                     uint32_t length)
{
    struct kapi_batch_entry entry = {0};

    entry.command = command;
    entry.index = index;
    entry.buffer = (uint64_t)(uintptr_t)buffer;
    entry.length = length;
    return entry;
}

/*
 * Answers 1 to KAPI_BATCH_MAX entries in one call. Each has its own status. `ret_start_ns` and
 * `ret_end_ns` (either may be NULL) say when, in nanoseconds after boot.
 */
int kapi_run_batch(struct kapi_client *client, struct kapi_batch_entry *entries, uint32_t count,
                   uint64_t *ret_start_ns, uint64_t *ret_end_ns);

/*
 * Goes through all processes in ascending order of pid, as many in one call as fit into
 * `buffer_size` bytes (0: 256 KiB). kapi_processes_next() returns 1 with a record, 0 at the end, or
 * a negative errno. Members that an older driver does not know are 0. To be ended with
 * kapi_processes_end() (NULL is allowed), before the client is closed.
 */
int kapi_processes_begin(struct kapi_client *client, size_t buffer_size,
                         struct kapi_processes **ret_processes);
int kapi_processes_next(struct kapi_processes *processes, struct kapi_process_record *ret_record);
void kapi_processes_end(struct kapi_processes *processes);

/* ---- the shared buffer ---- */

/*
 * The KAPI_BUFFER_SIZE bytes shared with the driver, mapped at the first call; they belong to the
 * client and are gone when it is closed.
 */
int kapi_map_buffer(struct kapi_client *client, void **ret_bytes);

/* ---- control ----
 *
 * Each returns 0, or the negative errno that the call or its `status` gave. `ret_message` may be
 * NULL; else it gets the kernel's sentence (terminated, empty where the call itself failed), also
 * for a refusal.
 */

int kapi_kill_process(struct kapi_client *client, pid_t pid, int signal,
                      char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_suspend_process(struct kapi_client *client, pid_t pid,
                         char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_resume_process(struct kapi_client *client, pid_t pid, char ret_message[KAPI_MESSAGE_SIZE]);
/* `mask`: bit N is processor N; `pid` 0: the caller. */
int kapi_set_cpu_affinity(struct kapi_client *client, pid_t pid, uint64_t mask,
                          char ret_message[KAPI_MESSAGE_SIZE]);
/* `path` (absolute) or, when it is NULL, `name` is loaded; `parameters` may be NULL. */
int kapi_load_module(struct kapi_client *client, const char *path, const char *name,
                     const char *parameters, char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_unload_module(struct kapi_client *client, const char *name,
                       char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_toggle_interface(struct kapi_client *client, const char *interface, bool up,
                          char ret_message[KAPI_MESSAGE_SIZE]);
/* `options` may be NULL. */
int kapi_mount(struct kapi_client *client, const char *device, const char *path, const char *type,
               const char *options, char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_unmount(struct kapi_client *client, const char *path, char ret_message[KAPI_MESSAGE_SIZE]);
/* `level` may be NULL: INFO. */
int kapi_inject_log(struct kapi_client *client, const char *level, const char *message);
int kapi_force_reclaim(struct kapi_client *client);
/* Crashes the machine; returns only when that was refused. */
int kapi_panic(struct kapi_client *client);

/* Physical memory, 1 to KAPI_PHYS_MAX bytes. */
int kapi_read_physical(struct kapi_client *client, uint64_t address, void *ret_bytes, size_t size,
                       char ret_message[KAPI_MESSAGE_SIZE]);
int kapi_write_physical(struct kapi_client *client, uint64_t address, const void *bytes,
                        size_t size, char ret_message[KAPI_MESSAGE_SIZE]);
/* `pid` 0: a kernel address. */
int kapi_virtual_to_physical(struct kapi_client *client, uint64_t address, pid_t pid,
                             uint64_t *ret_physical, char ret_message[KAPI_MESSAGE_SIZE]);
/* Writes `patch` and gives what was there before. */
int kapi_patch_memory(struct kapi_client *client, uint64_t address, const void *patch, size_t size,
                      void *ret_original, char ret_message[KAPI_MESSAGE_SIZE]);
/* Undoes a patch; -EAGAIN when memory no longer holds it. */
int kapi_restore_memory(struct kapi_client *client, uint64_t address, const void *patch,
                        const void *original, size_t size, char ret_message[KAPI_MESSAGE_SIZE]);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* CEREBRO_KAPI_CLIENT_H */

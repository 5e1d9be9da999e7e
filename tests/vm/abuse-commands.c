/* The control commands as functions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abuse.h"

char last_message[257];

int kapi_call(int fd, unsigned long command, void *argument)
{
    return ioctl(fd, command, argument) < 0 ? -errno : 0;
}

/* The error of the call, else what `status` says; the text is kept for whoever wants to see it. */
static int outcome(int r, int status, const char *message)
{
    snprintf(last_message, sizeof(last_message), "%.256s", r == 0 ? message : strerror(-r));
    return r ? r : status;
}

static void set(char *field, size_t size, const char *text)
{
    size_t length = strnlen(text, size); /* a text that fills the field has no end */

    memset(field, 0, size);
    memcpy(field, text, length);
}

#define SET(field, text) set(field, sizeof(field), text)

int kapi_signal(int fd, unsigned long command, int pid, int signal)
{
    struct kapi_process_control control = {.pid = pid, .signal = signal, .status = 1};

    int r = kapi_call(fd, command, &control);
    return outcome(r, control.status, control.message);
}

int kapi_load(int fd, const char *path, const char *name, const char *params)
{
    struct kapi_module_control control = {.status = 1};

    SET(control.path, path);
    SET(control.name, name);
    SET(control.params, params);
    int r = kapi_call(fd, KAPI_LOAD_MODULE, &control);
    return outcome(r, control.status, control.message);
}

int kapi_unload(int fd, const char *name)
{
    struct kapi_module_control control = {.status = 1};

    SET(control.name, name);
    int r = kapi_call(fd, KAPI_UNLOAD_MODULE, &control);
    return outcome(r, control.status, control.message);
}

int kapi_toggle(int fd, const char *interface, int up)
{
    struct kapi_net_control control = {.up = up, .status = 1};

    SET(control.interface, interface);
    int r = kapi_call(fd, KAPI_TOGGLE_INTERFACE, &control);
    return outcome(r, control.status, control.message);
}

int kapi_mount(int fd, const char *device, const char *path, const char *type, const char *text)
{
    struct kapi_fs_control control = {.status = 1};

    SET(control.device, device);
    SET(control.path, path);
    SET(control.type, type);
    SET(control.options, text);
    int r = kapi_call(fd, KAPI_MOUNT_FS, &control);
    return outcome(r, control.status, control.message);
}

int kapi_umount(int fd, const char *path)
{
    struct kapi_fs_control control = {.status = 1};

    SET(control.path, path);
    int r = kapi_call(fd, KAPI_UMOUNT_FS, &control);
    return outcome(r, control.status, control.message);
}

int kapi_log(int fd, const char *level, const char *message)
{
    struct kapi_log_injection injection = {.status = 1};

    SET(injection.level, level);
    SET(injection.message, message);
    int r = kapi_call(fd, KAPI_INJECT_LOG, &injection);
    return outcome(r, injection.status, "");
}

int kapi_affinity(int fd, int pid, uint64_t mask)
{
    struct kapi_cpu_control control = {.pid = pid, .mask = mask, .status = -1};

    /* What follows the mask in memory must never be taken for more of the mask. */
    memset(control.message, 0xff, sizeof(control.message));
    int r = kapi_call(fd, KAPI_SET_CPU_AFFINITY, &control);
    return outcome(r, control.status, control.message);
}

int kapi_read_physical(int fd, uint64_t address, uint64_t size, void *data)
{
    struct kapi_phys_mem_read command = {.phys_addr = address, .size = size, .status = 1};

    int r = kapi_call(fd, KAPI_READ_PHYS_MEM, &command);
    if (data && r == 0 && command.status == 0)
        memcpy(data, command.data, size);
    return outcome(r, command.status, command.message);
}

int kapi_write_physical(int fd, uint64_t address, uint64_t size, const void *data)
{
    struct kapi_phys_mem_write command = {.phys_addr = address, .size = size, .status = 1};

    memcpy(command.data, data, size < sizeof(command.data) ? size : sizeof(command.data));
    int r = kapi_call(fd, KAPI_WRITE_PHYS_MEM, &command);
    return outcome(r, command.status, command.message);
}

int kapi_translate(int fd, uint64_t address, int pid, uint64_t *ret_physical)
{
    struct kapi_virt_to_phys command = {.virt_addr = address, .pid = pid, .status = 1};

    int r = kapi_call(fd, KAPI_VIRT_TO_PHYS, &command);
    if (r == 0 && command.status == 0 && ret_physical)
        *ret_physical = command.phys_addr;
    check(r || command.status == 0 || command.phys_addr == 0,
          "refused, but there is an address: %llx", (unsigned long long)command.phys_addr);
    return outcome(r, command.status, command.message);
}

int kapi_patch(int fd, struct kapi_mem_patch *patch)
{
    patch->status = 1;
    int r = kapi_call(fd, KAPI_PATCH_MEMORY, patch);
    return outcome(r, patch->status, patch->message);
}

size_t kapi_records(int fd, unsigned long command, void *records, size_t size, size_t max)
{
    size_t count = 0;
    int r;

    while (count < max && (r = kapi_call(fd, command, (char *)records + count * size)) == 0)
        count++;
    check(count == max || r == -ENODATA, "record %zu of command %lu: %s", count, command & 0xff,
          strerror(-r));
    return count;
}

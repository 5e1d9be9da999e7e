/*
 * Commands that change something. They are never repeated by the library, but for EINTR: what was
 * done once may not be done twice.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "kapi/client-internal.h"

static void give_message(char *ret_message, const char *message)
{
    size_t length = strnlen(message, KAPI_MESSAGE_SIZE - 1);

    if (ret_message == NULL)
        return;
    memcpy(ret_message, message, length);
    ret_message[length] = '\0';
}

/* Drivers of the first version may give a positive number, such as a raw wait status. */
static int as_errno(int status)
{
    return status > 0 ? -EIO : status;
}

/* The answer of any structure with status and message. */
#define CONTROL(client, command, record, ret_message)                 \
    ({                                                                \
        int r_ = client_call((client), (command), (record));          \
                                                                      \
        give_message((ret_message), r_ < 0 ? "" : (record)->message); \
        r_ < 0 ? r_ : as_errno((record)->status);                     \
    })

static int control_process(struct kapi_client *client, uint32_t command, pid_t pid, int signal,
                           char *ret_message)
{
    struct kapi_process_control record = {.pid = pid, .signal = signal};

    give_message(ret_message, "");
    if (pid <= 0) /* these mean whole groups to kill(2): never through here */
        return -EINVAL;
    return CONTROL(client, command, &record, ret_message);
}

int kapi_kill_process(struct kapi_client *client, pid_t pid, int signal,
                      char ret_message[KAPI_MESSAGE_SIZE])
{
    return control_process(client, KAPI_KILL_PROCESS, pid, signal, ret_message);
}

int kapi_suspend_process(struct kapi_client *client, pid_t pid, char ret_message[KAPI_MESSAGE_SIZE])
{
    return control_process(client, KAPI_SUSPEND_PROCESS, pid, SIGSTOP, ret_message);
}

int kapi_resume_process(struct kapi_client *client, pid_t pid, char ret_message[KAPI_MESSAGE_SIZE])
{
    return control_process(client, KAPI_RESUME_PROCESS, pid, SIGCONT, ret_message);
}

int kapi_set_cpu_affinity(struct kapi_client *client, pid_t pid, uint64_t mask,
                          char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_cpu_control record = {.pid = pid, .mask = mask};

    give_message(ret_message, "");
    if (pid < 0 || mask == 0)
        return -EINVAL;
    return CONTROL(client, KAPI_SET_CPU_AFFINITY, &record, ret_message);
}

int kapi_load_module(struct kapi_client *client, const char *path, const char *name,
                     const char *parameters, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_module_control record = {0};
    int r;

    give_message(ret_message, "");
    if (path == NULL && name == NULL)
        return -EINVAL;
    r = client_put_text(record.path, sizeof(record.path), path);
    if (r == 0)
        r = client_put_text(record.name, sizeof(record.name), path ? NULL : name);
    if (r == 0)
        r = client_put_text(record.params, sizeof(record.params), parameters);
    return r < 0 ? r : CONTROL(client, KAPI_LOAD_MODULE, &record, ret_message);
}

int kapi_unload_module(struct kapi_client *client, const char *name,
                       char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_module_control record = {0};
    int r = name ? client_put_text(record.name, sizeof(record.name), name) : -EINVAL;

    give_message(ret_message, "");
    return r < 0 ? r : CONTROL(client, KAPI_UNLOAD_MODULE, &record, ret_message);
}

int kapi_toggle_interface(struct kapi_client *client, const char *interface, bool up,
                          char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_net_control record = {.up = up};
    int r = interface ? client_put_text(record.interface, sizeof(record.interface), interface)
                      : -EINVAL;

    give_message(ret_message, "");
    return r < 0 ? r : CONTROL(client, KAPI_TOGGLE_INTERFACE, &record, ret_message);
}

int kapi_mount(struct kapi_client *client, const char *device, const char *path, const char *type,
               const char *options, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_fs_control record = {0};
    int r = device && path && type ? 0 : -EINVAL;

    give_message(ret_message, "");
    if (r == 0)
        r = client_put_text(record.device, sizeof(record.device), device);
    if (r == 0)
        r = client_put_text(record.path, sizeof(record.path), path);
    if (r == 0)
        r = client_put_text(record.type, sizeof(record.type), type);
    if (r == 0)
        r = client_put_text(record.options, sizeof(record.options), options);
    return r < 0 ? r : CONTROL(client, KAPI_MOUNT_FS, &record, ret_message);
}

int kapi_unmount(struct kapi_client *client, const char *path, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_fs_control record = {0};
    int r = path ? client_put_text(record.path, sizeof(record.path), path) : -EINVAL;

    give_message(ret_message, "");
    return r < 0 ? r : CONTROL(client, KAPI_UMOUNT_FS, &record, ret_message);
}

int kapi_inject_log(struct kapi_client *client, const char *level, const char *message)
{
    struct kapi_log_injection record = {0};
    int r = message ? client_put_text(record.message, sizeof(record.message), message) : -EINVAL;

    if (r == 0)
        r = client_put_text(record.level, sizeof(record.level), level ? level : "INFO");
    if (r == 0)
        r = client_call(client, KAPI_INJECT_LOG, &record);
    return r < 0 ? r : as_errno(record.status);
}

int kapi_force_reclaim(struct kapi_client *client)
{
    return client_call(client, KAPI_FORCE_PAGE_RECLAIM, NULL);
}

int kapi_panic(struct kapi_client *client)
{
    int r = client_call(client, KAPI_PANIC_KERNEL, NULL);

    return r < 0 ? r : -EPERM; /* we are still here */
}

/* ---- physical memory ---- */

static bool is_size(size_t size)
{
    return size >= 1 && size <= KAPI_PHYS_MAX;
}

int kapi_read_physical(struct kapi_client *client, uint64_t address, void *ret_bytes, size_t size,
                       char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_phys_mem_read record = {.phys_addr = address, .size = size};
    int r;

    give_message(ret_message, "");
    if (ret_bytes == NULL || !is_size(size))
        return -EINVAL;
    r = CONTROL(client, KAPI_READ_PHYS_MEM, &record, ret_message);
    if (r == 0)
        memcpy(ret_bytes, record.data, size);
    return r;
}

int kapi_write_physical(struct kapi_client *client, uint64_t address, const void *bytes,
                        size_t size, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_phys_mem_write record = {.phys_addr = address, .size = size};

    give_message(ret_message, "");
    if (bytes == NULL || !is_size(size))
        return -EINVAL;
    memcpy(record.data, bytes, size);
    return CONTROL(client, KAPI_WRITE_PHYS_MEM, &record, ret_message);
}

int kapi_virtual_to_physical(struct kapi_client *client, uint64_t address, pid_t pid,
                             uint64_t *ret_physical, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_virt_to_phys record = {.virt_addr = address, .pid = pid};
    int r;

    give_message(ret_message, "");
    if (ret_physical == NULL || pid < 0)
        return -EINVAL;
    r = CONTROL(client, KAPI_VIRT_TO_PHYS, &record, ret_message);
    if (r == 0)
        *ret_physical = record.phys_addr;
    return r;
}

int kapi_patch_memory(struct kapi_client *client, uint64_t address, const void *patch, size_t size,
                      void *ret_original, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_mem_patch record = {.phys_addr = address, .size = size};
    int r;

    give_message(ret_message, "");
    if (patch == NULL || ret_original == NULL || !is_size(size))
        return -EINVAL;
    memcpy(record.patch_data, patch, size);
    r = CONTROL(client, KAPI_PATCH_MEMORY, &record, ret_message);
    if (r == 0)
        memcpy(ret_original, record.original_data, size);
    return r;
}

int kapi_restore_memory(struct kapi_client *client, uint64_t address, const void *patch,
                        const void *original, size_t size, char ret_message[KAPI_MESSAGE_SIZE])
{
    struct kapi_mem_patch record = {.phys_addr = address, .size = size, .restore = 1};

    give_message(ret_message, "");
    if (patch == NULL || original == NULL || !is_size(size))
        return -EINVAL;
    memcpy(record.patch_data, patch, size);
    memcpy(record.original_data, original, size);
    return CONTROL(client, KAPI_PATCH_MEMORY, &record, ret_message);
}

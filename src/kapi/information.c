/* Commands that only inform: one function each, all of the same shape. */
#include <errno.h>
#include <string.h>

#include "kapi/client-internal.h"

/* Results stay untouched on failure, so the driver writes to a copy. */
#define GET(function, type, command)                                          \
    int function(struct kapi_client *client, struct type *ret_record)         \
    {                                                                         \
        struct type record = {0};                                             \
        int r = ret_record ? client_call(client, command, &record) : -EINVAL; \
                                                                              \
        if (r == 0)                                                           \
            *ret_record = record;                                             \
        return r;                                                             \
    }

GET(kapi_get_memory_info, kapi_memory_info, KAPI_GET_MEMORY_INFO)
GET(kapi_get_cpu_info, kapi_cpu_info, KAPI_GET_CPU_INFO)
GET(kapi_get_network_stats, kapi_network_stats, KAPI_GET_NETWORK_STATS)
GET(kapi_get_filesystem_info, kapi_filesystem_info, KAPI_GET_FILE_SYSTEM_INFO)
GET(kapi_get_loadavg, kapi_loadavg_info, KAPI_GET_LOADAVG)
GET(kapi_get_kernel_config, kapi_kernel_config, KAPI_GET_KERNEL_CONFIG)

/* The twins with an explicit record number: the cursor of the old ones is shared by all threads. */
#define GET_AT(function, type, command)                                               \
    int function(struct kapi_client *client, uint32_t index, struct type *ret_record) \
    {                                                                                 \
        struct type##_at record = {.index = index};                                   \
        int r = ret_record ? client_call(client, command, &record) : -EINVAL;         \
                                                                                      \
        if (r == 0)                                                                   \
            *ret_record = record.info;                                                \
        return r;                                                                     \
    }

GET_AT(kapi_get_kernel_module, kapi_module_info, KAPI_GET_KERNEL_MODULE_AT)
GET_AT(kapi_get_interrupt, kapi_interrupt_info, KAPI_GET_INTERRUPT_AT)
GET_AT(kapi_get_pci_device, kapi_pci_device_info, KAPI_GET_PCI_DEVICE_AT)
GET_AT(kapi_get_block_device, kapi_block_device_info, KAPI_GET_BLOCK_DEVICE_AT)
GET_AT(kapi_get_thermal_zone, kapi_thermal_info, KAPI_GET_THERMAL_ZONE_AT)
GET_AT(kapi_read_kernel_log, kapi_kernel_log, KAPI_READ_KERNEL_LOG_AT)

int kapi_get_version(struct kapi_client *client, struct kapi_version *ret_version)
{
    struct kapi_version version = {.size = sizeof(version)};
    int r = ret_version ? client_call(client, KAPI_GET_VERSION, &version) : -EINVAL;

    if (r == 0)
        *ret_version = version;
    return r;
}

int kapi_get_process_info(struct kapi_client *client, pid_t pid, struct kapi_process_info *ret_info)
{
    struct kapi_process_info info = {.pid = pid};
    int r;

    if (pid <= 0 || ret_info == NULL)
        return -EINVAL;
    r = client_call(client, KAPI_GET_PROCESS_INFO, &info);
    if (r < 0)
        return r;
    if (info.pid != pid)
        return -ESRCH;
    *ret_info = info;
    return 0;
}

int kapi_execute_command(struct kapi_client *client, const char *command, char *ret_result,
                         size_t size)
{
    struct kapi_kernel_cmd record = {0};
    size_t length;
    int r;

    if (command == NULL || ret_result == NULL)
        return -EINVAL;
    r = client_put_text(record.command, sizeof(record.command), command);
    if (r == 0)
        r = client_call(client, KAPI_EXECUTE_KERNEL_CMD, &record);
    if (r < 0 || record.status < 0)
        return r < 0 ? r : record.status;
    length = strnlen(record.result, sizeof(record.result) - 1);
    if (length >= size)
        return -ENOSPC;
    memcpy(ret_result, record.result, length);
    ret_result[length] = '\0';
    return 0;
}

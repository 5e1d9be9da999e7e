/* The client library against system calls of the test's own: no device is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cerebro/kapi-client.h"

#define ALL_PIDS 10

/* What the driver is to do, and what it was asked. */
struct driver {
    struct kapi_client *client;
    int open_error;
    int fd;
    unsigned opens, closes, maps, unmaps, calls;
    int results[4]; /* of the calls, in order; then 0 */
    int status;     /* of control structures */
    uint32_t command;
    unsigned char seen[8600];
    unsigned char buffer[KAPI_BUFFER_SIZE];
    bool nonsense;
};

static int fake_open(void *user, const char *path)
{
    struct driver *driver = user;

    assert_string_equal(path, "/dev/fake");
    driver->opens++;
    return driver->open_error ? driver->open_error : driver->fd;
}

static int fake_close(void *user, int fd)
{
    struct driver *driver = user;

    assert_int_equal(fd, driver->fd);
    driver->closes++;
    return 0;
}

static int fake_map(void *user, int fd, void **ret_address)
{
    struct driver *driver = user;

    (void)fd;
    driver->maps++;
    *ret_address = driver->buffer;
    return 0;
}

static void fake_unmap(void *user, void *address)
{
    struct driver *driver = user;

    assert_ptr_equal(address, driver->buffer);
    driver->unmaps++;
}

static void answer_list(struct driver *driver, struct kapi_process_list *list)
{
    struct kapi_process_record *records = (void *)(uintptr_t)list->buffer;
    uint32_t room = (uint32_t)(list->length / list->record_size);

    assert_int_equal(list->size, sizeof(*list));
    assert_int_equal(list->record_size, sizeof(records[0]));
    if (driver->nonsense) {
        list->count = room + 1;
        return;
    }
    for (uint32_t pid = list->cursor + 1; pid <= ALL_PIDS && list->count < room; pid++) {
        records[list->count].pid = (int32_t)pid;
        records[list->count++].rss = pid * 100;
        list->cursor = pid;
    }
    if (list->cursor < ALL_PIDS)
        list->flags |= KAPI_LIST_TRUNCATED;
}

static void answer(struct driver *driver, uint32_t command, void *argument)
{
    struct kapi_process_info *process = argument;
    struct kapi_kernel_cmd *cmd = argument;
    struct kapi_interrupt_info_at *interrupt = argument;
    struct kapi_batch *batch = argument;
    struct kapi_memory_info *memory = argument;
    struct kapi_phys_mem_read *physical = argument;

    switch (command) {
    case KAPI_GET_MEMORY_INFO:
        memory->total_ram = 1ULL << 40;
        break;
    case KAPI_GET_PROCESS_INFO:
        process->pid = process->pid == 12 ? 12 : -1;
        break;
    case KAPI_EXECUTE_KERNEL_CMD:
        cmd->status = driver->status;
        memset(cmd->result, 'r', sizeof(cmd->result)); /* without an end */
        break;
    case KAPI_GET_INTERRUPT_AT:
        interrupt->info.irq = interrupt->index * 2;
        break;
    case KAPI_BATCH:
        batch->start_ns = 5;
        batch->end_ns = 6;
        break;
    case KAPI_GET_PROCESS_LIST:
        answer_list(driver, argument);
        break;
    case KAPI_READ_PHYS_MEM:
        memcpy(physical->data, "\0one\0two", 8);
        break;
    default:
        break;
    }
}

static void set_status(struct driver *driver, uint32_t command, void *argument)
{
    static const struct {
        uint32_t command;
        size_t status, message;
    } controls[] = {
#define CONTROL(command, type) \
    {command, offsetof(struct type, status), offsetof(struct type, message)}
        CONTROL(KAPI_KILL_PROCESS, kapi_process_control),
        CONTROL(KAPI_SUSPEND_PROCESS, kapi_process_control),
        CONTROL(KAPI_RESUME_PROCESS, kapi_process_control),
        CONTROL(KAPI_LOAD_MODULE, kapi_module_control),
        CONTROL(KAPI_UNLOAD_MODULE, kapi_module_control),
        CONTROL(KAPI_TOGGLE_INTERFACE, kapi_net_control),
        CONTROL(KAPI_MOUNT_FS, kapi_fs_control),
        CONTROL(KAPI_UMOUNT_FS, kapi_fs_control),
        CONTROL(KAPI_SET_CPU_AFFINITY, kapi_cpu_control),
        CONTROL(KAPI_READ_PHYS_MEM, kapi_phys_mem_read),
        CONTROL(KAPI_WRITE_PHYS_MEM, kapi_phys_mem_write),
        CONTROL(KAPI_VIRT_TO_PHYS, kapi_virt_to_phys),
        CONTROL(KAPI_PATCH_MEMORY, kapi_mem_patch),
#undef CONTROL
    };

    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (controls[i].command != command)
            continue;
        memcpy((char *)argument + controls[i].status, &driver->status, sizeof(int));
        memset((char *)argument + controls[i].message, 'm', KAPI_MESSAGE_SIZE); /* no end */
    }
}

static int fake_ioctl(void *user, int fd, uint32_t command, void *argument)
{
    struct driver *driver = user;
    unsigned number = driver->calls++;

    assert_int_equal(fd, driver->fd);
    driver->command = command;
    if (argument)
        memcpy(driver->seen, argument, _IOC_SIZE(command));
    if (number < 4 && driver->results[number])
        return driver->results[number];
    if (argument == NULL)
        return 0;
    answer(driver, command, argument);
    set_status(driver, command, argument);
    return 0;
}

static int setup(void **state)
{
    struct driver *driver = calloc(1, sizeof(*driver));
    struct kapi_system system = {.open = fake_open,
                                 .close = fake_close,
                                 .ioctl = fake_ioctl,
                                 .map = fake_map,
                                 .unmap = fake_unmap,
                                 .user = driver};

    assert_non_null(driver);
    assert_int_equal(kapi_open_with("/dev/fake", &system, &driver->client), 0);
    *state = driver;
    return 0;
}

static int teardown(void **state)
{
    struct driver *driver = *state;

    kapi_close(driver->client);
    assert_int_equal(driver->closes, 1);
    assert_int_equal(driver->maps, driver->unmaps);
    free(driver);
    return 0;
}

/* ---- coming and going ---- */

static void test_descriptor_zero(void **state)
{
    struct driver *driver = *state;

    assert_int_equal(kapi_descriptor(driver->client), 0);
    assert_int_equal(kapi_descriptor(NULL), -EINVAL);
}

static void test_open_fails(void **state)
{
    struct driver other = {.open_error = -EACCES};
    struct kapi_system system = {.open = fake_open, .close = fake_close, .user = &other};
    struct kapi_client *client = NULL;

    (void)state;
    assert_int_equal(kapi_open_with("/dev/fake", &system, &client), -EACCES);
    assert_null(client);
    assert_int_equal(other.closes, 0);
    assert_int_equal(kapi_open_with(NULL, NULL, &client), -EINVAL);
    assert_int_equal(kapi_open_with("/dev/fake", &system, NULL), -EINVAL);
    assert_int_equal(kapi_open_with("/no/such/device", NULL, &client), -ENOENT);
    kapi_close(NULL);
}

static void test_real_calls(void **state)
{
    struct kapi_memory_info info;
    struct kapi_client *client = NULL;
    void *bytes = NULL;

    (void)state;
    assert_int_equal(kapi_open_with("/dev/null", NULL, &client), 0);
    assert_int_equal(kapi_get_memory_info(client, &info), -ENOTTY);
    assert_int_equal(kapi_map_buffer(client, &bytes), -ENODEV);
    assert_null(bytes);
    kapi_close(client);
}

static void test_buffer(void **state)
{
    struct driver *driver = *state;
    void *first, *second;

    assert_int_equal(kapi_map_buffer(driver->client, &first), 0);
    assert_int_equal(kapi_map_buffer(driver->client, &second), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(driver->maps, 1);
}

/* ---- information ---- */

static void test_memory(void **state)
{
    struct driver *driver = *state;
    struct kapi_memory_info info;

    assert_int_equal(kapi_get_memory_info(driver->client, &info), 0);
    assert_int_equal(info.total_ram, 1ULL << 40);
    assert_int_equal(driver->command, KAPI_GET_MEMORY_INFO);
    assert_int_equal(kapi_get_memory_info(driver->client, NULL), -EINVAL);
    assert_int_equal(kapi_get_memory_info(NULL, &info), -EINVAL);
}

static void test_results_are_untouched_on_failure(void **state)
{
    struct driver *driver = *state;
    struct kapi_memory_info info = {.total_ram = 7};

    driver->results[0] = -EPERM;
    assert_int_equal(kapi_get_memory_info(driver->client, &info), -EPERM);
    assert_int_equal(info.total_ram, 7);
}

static void test_interrupted_calls_are_repeated(void **state)
{
    struct driver *driver = *state;
    struct kapi_memory_info info;

    driver->results[0] = driver->results[1] = -EINTR;
    assert_int_equal(kapi_get_memory_info(driver->client, &info), 0);
    assert_int_equal(driver->calls, 3);
}

static void test_each_question_has_its_command(void **state)
{
    struct driver *driver = *state;
    union {
        struct kapi_cpu_info cpu;
        struct kapi_network_stats network;
        struct kapi_filesystem_info filesystem;
        struct kapi_loadavg_info load;
        struct kapi_kernel_config config;
        struct kapi_module_info module;
        struct kapi_pci_device_info pci;
        struct kapi_block_device_info block;
        struct kapi_thermal_info thermal;
        struct kapi_kernel_log log;
        struct kapi_version version;
    } r;

#define EXPECT(call, number)                       \
    do {                                           \
        assert_int_equal(call, 0);                 \
        assert_int_equal(driver->command, number); \
    } while (0)
    EXPECT(kapi_get_cpu_info(driver->client, &r.cpu), KAPI_GET_CPU_INFO);
    EXPECT(kapi_get_network_stats(driver->client, &r.network), KAPI_GET_NETWORK_STATS);
    EXPECT(kapi_get_filesystem_info(driver->client, &r.filesystem), KAPI_GET_FILE_SYSTEM_INFO);
    EXPECT(kapi_get_loadavg(driver->client, &r.load), KAPI_GET_LOADAVG);
    EXPECT(kapi_get_kernel_config(driver->client, &r.config), KAPI_GET_KERNEL_CONFIG);
    EXPECT(kapi_get_kernel_module(driver->client, 3, &r.module), KAPI_GET_KERNEL_MODULE_AT);
    EXPECT(kapi_get_pci_device(driver->client, 3, &r.pci), KAPI_GET_PCI_DEVICE_AT);
    EXPECT(kapi_get_block_device(driver->client, 3, &r.block), KAPI_GET_BLOCK_DEVICE_AT);
    EXPECT(kapi_get_thermal_zone(driver->client, 3, &r.thermal), KAPI_GET_THERMAL_ZONE_AT);
    EXPECT(kapi_read_kernel_log(driver->client, 3, &r.log), KAPI_READ_KERNEL_LOG_AT);
    EXPECT(kapi_get_version(driver->client, &r.version), KAPI_GET_VERSION);
}

static void test_records_by_number(void **state)
{
    struct driver *driver = *state;
    struct kapi_interrupt_info info = {0};

    assert_int_equal(kapi_get_interrupt(driver->client, 21, &info), 0);
    assert_int_equal(info.irq, 42);
    driver->results[1] = -ENODATA;
    assert_int_equal(kapi_get_interrupt(driver->client, 22, &info), -ENODATA);
}

static void test_process(void **state)
{
    struct driver *driver = *state;
    struct kapi_process_info info;

    assert_int_equal(kapi_get_process_info(driver->client, 12, &info), 0);
    assert_int_equal(kapi_get_process_info(driver->client, 13, &info), -ESRCH);
    assert_int_equal(driver->calls, 2);
    assert_int_equal(kapi_get_process_info(driver->client, 0, &info), -EINVAL);
    assert_int_equal(kapi_get_process_info(driver->client, -1, &info), -EINVAL);
    assert_int_equal(driver->calls, 2);
}

static void test_command(void **state)
{
    struct driver *driver = *state;
    char result[1024], little[8] = "before", name[257];

    assert_int_equal(kapi_execute_command(driver->client, "get_hz", result, sizeof(result)), 0);
    assert_int_equal(strlen(result), 1023); /* a result without an end is cut */
    assert_int_equal(kapi_execute_command(driver->client, "get_hz", little, sizeof(little)),
                     -ENOSPC);
    assert_string_equal(little, "before");
    driver->status = -EINVAL;
    assert_int_equal(kapi_execute_command(driver->client, "x", result, sizeof(result)), -EINVAL);
    memset(name, 'x', 256);
    name[256] = '\0';
    assert_int_equal(kapi_execute_command(driver->client, name, result, sizeof(result)),
                     -ENAMETOOLONG);
}

/* ---- several at once ---- */

static void test_batch(void **state)
{
    struct driver *driver = *state;
    struct kapi_memory_info memory;
    struct kapi_batch_entry entries[KAPI_BATCH_MAX + 1] = {
        kapi_batch_ask(1, 0, &memory, sizeof(memory))};
    struct kapi_batch sent;
    uint64_t start = 0, end = 0;

    assert_int_equal(kapi_run_batch(driver->client, entries, 1, &start, &end), 0);
    assert_int_equal(start, 5);
    assert_int_equal(end, 6);
    memcpy(&sent, driver->seen, sizeof(sent));
    assert_int_equal(sent.entry_size, sizeof(entries[0]));
    assert_int_equal(sent.entries, (uint64_t)(uintptr_t)entries);
    assert_int_equal(entries[0].buffer, (uint64_t)(uintptr_t)&memory);
    assert_int_equal(kapi_run_batch(driver->client, entries, 1, NULL, NULL), 0);
    assert_int_equal(kapi_run_batch(driver->client, entries, 0, NULL, NULL), -EINVAL);
    assert_int_equal(kapi_run_batch(driver->client, entries, KAPI_BATCH_MAX + 1, NULL, NULL),
                     -EINVAL);
    assert_int_equal(kapi_run_batch(driver->client, NULL, 1, NULL, NULL), -EINVAL);
}

static void test_processes(void **state)
{
    const size_t rooms[] = {1, 3, ALL_PIDS - 1, ALL_PIDS, ALL_PIDS + 5};
    struct driver *driver = *state;

    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        struct kapi_processes *processes = NULL;
        struct kapi_process_record record;
        int32_t pid = 0;

        assert_int_equal(kapi_processes_begin(driver->client,
                                              rooms[i] * sizeof(struct kapi_process_record),
                                              &processes),
                         0);
        while (kapi_processes_next(processes, &record) == 1) {
            assert_int_equal(record.pid, ++pid);
            assert_int_equal(record.rss, pid * 100);
        }
        assert_int_equal(pid, ALL_PIDS);
        assert_int_equal(kapi_processes_next(processes, &record), 0); /* and stays so */
        kapi_processes_end(processes);
    }
}

static void test_processes_of_a_bad_driver(void **state)
{
    struct driver *driver = *state;
    struct kapi_processes *processes = NULL;
    struct kapi_process_record record;

    assert_int_equal(kapi_processes_begin(driver->client, 8, &processes), -EINVAL);
    assert_int_equal(kapi_processes_begin(driver->client, SIZE_MAX, &processes), -EINVAL);
    assert_null(processes);
    assert_int_equal(kapi_processes_begin(driver->client, 0, &processes), 0);
    driver->nonsense = true;
    assert_int_equal(kapi_processes_next(processes, &record), -EIO);
    driver->nonsense = false;
    driver->results[1] = -ENOTTY;
    assert_int_equal(kapi_processes_next(processes, &record), -ENOTTY);
    kapi_processes_end(processes);
    kapi_processes_end(NULL);
}

/* ---- control ---- */

static void test_kill(void **state)
{
    struct driver *driver = *state;
    struct kapi_process_control sent;
    char message[KAPI_MESSAGE_SIZE];

    assert_int_equal(kapi_kill_process(driver->client, 42, SIGTERM, message), 0);
    memcpy(&sent, driver->seen, sizeof(sent));
    assert_int_equal(sent.pid, 42);
    assert_int_equal(sent.signal, SIGTERM);
    assert_int_equal(strlen(message), KAPI_MESSAGE_SIZE - 1); /* cut and terminated */
    driver->status = -EPERM;
    assert_int_equal(kapi_kill_process(driver->client, 42, SIGTERM, NULL), -EPERM);
    driver->status = 56320; /* a raw wait status */
    assert_int_equal(kapi_kill_process(driver->client, 42, SIGTERM, message), -EIO);
    driver->results[3] = -EFAULT;
    assert_int_equal(kapi_kill_process(driver->client, 42, SIGTERM, message), -EFAULT);
    assert_string_equal(message, "");
}

static void test_no_groups_are_signalled(void **state)
{
    const pid_t pids[] = {0, -1, -42, INT_MIN};
    struct driver *driver = *state;

    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        assert_int_equal(kapi_kill_process(driver->client, pids[i], 9, NULL), -EINVAL);
        assert_int_equal(kapi_suspend_process(driver->client, pids[i], NULL), -EINVAL);
        assert_int_equal(kapi_resume_process(driver->client, pids[i], NULL), -EINVAL);
    }
    assert_int_equal(driver->calls, 0);
}

static void test_each_order_has_its_command(void **state)
{
    struct driver *driver = *state;
    struct kapi_client *client = driver->client;
    struct kapi_module_control module;
    struct kapi_fs_control fs;
    uint64_t physical = 0;

    EXPECT(kapi_suspend_process(client, 1, NULL), KAPI_SUSPEND_PROCESS);
    EXPECT(kapi_resume_process(client, 1, NULL), KAPI_RESUME_PROCESS);
    EXPECT(kapi_set_cpu_affinity(client, 0, 3, NULL), KAPI_SET_CPU_AFFINITY);
    EXPECT(kapi_load_module(client, "/m.ko", NULL, "a=1", NULL), KAPI_LOAD_MODULE);
    memcpy(&module, driver->seen, sizeof(module));
    assert_string_equal(module.path, "/m.ko");
    assert_string_equal(module.name, "");
    assert_string_equal(module.params, "a=1");
    EXPECT(kapi_unload_module(client, "m", NULL), KAPI_UNLOAD_MODULE);
    EXPECT(kapi_toggle_interface(client, "lo", true, NULL), KAPI_TOGGLE_INTERFACE);
    EXPECT(kapi_mount(client, "/dev/x", "/y", "xfs", "ro", NULL), KAPI_MOUNT_FS);
    memcpy(&fs, driver->seen, sizeof(fs));
    assert_string_equal(fs.options, "ro");
    EXPECT(kapi_unmount(client, "/y", NULL), KAPI_UMOUNT_FS);
    EXPECT(kapi_inject_log(client, NULL, "text"), KAPI_INJECT_LOG);
    EXPECT(kapi_force_reclaim(client), KAPI_FORCE_PAGE_RECLAIM);
    EXPECT(kapi_virtual_to_physical(client, 1, 0, &physical, NULL), KAPI_VIRT_TO_PHYS);
    assert_int_equal(kapi_panic(client), -EPERM);
    assert_int_equal(driver->command, KAPI_PANIC_KERNEL);
}

static void test_texts_that_do_not_fit(void **state)
{
    struct driver *driver = *state;
    struct kapi_client *client = driver->client;
    char text[600];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(kapi_load_module(client, text, NULL, NULL, NULL), -ENAMETOOLONG);
    assert_int_equal(kapi_load_module(client, NULL, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(kapi_unload_module(client, text, NULL), -ENAMETOOLONG);
    assert_int_equal(kapi_toggle_interface(client, text, true, NULL), -ENAMETOOLONG);
    assert_int_equal(kapi_mount(client, "a", "b", text, NULL, NULL), -ENAMETOOLONG);
    assert_int_equal(kapi_mount(client, "a", "b", NULL, NULL, NULL), -EINVAL);
    assert_int_equal(kapi_inject_log(client, "INFO", text), -ENAMETOOLONG);
    assert_int_equal(kapi_set_cpu_affinity(client, 1, 0, NULL), -EINVAL);
    assert_int_equal(driver->calls, 0);
    text[15] = '\0'; /* exactly fits */
    assert_int_equal(kapi_toggle_interface(client, text, true, NULL), 0);
}

static void test_physical_memory_is_binary(void **state)
{
    struct driver *driver = *state;
    struct kapi_client *client = driver->client;
    struct kapi_phys_mem_write sent;
    char bytes[8] = "", original[4];

    assert_int_equal(kapi_read_physical(client, 4096, bytes, 8, NULL), 0);
    assert_memory_equal(bytes, "\0one\0two", 8);
    assert_int_equal(kapi_write_physical(client, 4096, "\0a\0b", 4, NULL), 0);
    memcpy(&sent, driver->seen, sizeof(sent));
    assert_int_equal(sent.size, 4);
    assert_memory_equal(sent.data, "\0a\0b\0", 5);
    driver->status = -EPERM;
    memset(bytes, 1, sizeof(bytes));
    assert_int_equal(kapi_read_physical(client, 4096, bytes, 8, NULL), -EPERM);
    assert_int_equal(bytes[0], 1);
    assert_int_equal(kapi_read_physical(client, 0, bytes, 0, NULL), -EINVAL);
    assert_int_equal(kapi_read_physical(client, 0, bytes, KAPI_PHYS_MAX + 1, NULL), -EINVAL);
    assert_int_equal(kapi_write_physical(client, 0, NULL, 4, NULL), -EINVAL);
    assert_int_equal(kapi_patch_memory(client, 0, "new", 0, original, NULL), -EINVAL);
}

static void test_patch(void **state)
{
    struct driver *driver = *state;
    struct kapi_mem_patch sent;
    char original[4] = "";

    assert_int_equal(kapi_patch_memory(driver->client, 8, "n\0w", 3, original, NULL), 0);
    memcpy(&sent, driver->seen, sizeof(sent));
    assert_int_equal(sent.restore, 0);
    assert_memory_equal(sent.patch_data, "n\0w", 3);
    assert_int_equal(kapi_restore_memory(driver->client, 8, "n\0w", "o\0d", 3, NULL), 0);
    memcpy(&sent, driver->seen, sizeof(sent));
    assert_int_equal(sent.restore, 1);
    assert_memory_equal(sent.original_data, "o\0d", 3);
    assert_memory_equal(sent.patch_data, "n\0w", 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptor_zero),
        TEST(test_open_fails),
        TEST(test_real_calls),
        TEST(test_buffer),
        TEST(test_memory),
        TEST(test_results_are_untouched_on_failure),
        TEST(test_interrupted_calls_are_repeated),
        TEST(test_each_question_has_its_command),
        TEST(test_records_by_number),
        TEST(test_process),
        TEST(test_command),
        TEST(test_batch),
        TEST(test_processes),
        TEST(test_processes_of_a_bad_driver),
        TEST(test_kill),
        TEST(test_no_groups_are_signalled),
        TEST(test_each_order_has_its_command),
        TEST(test_texts_that_do_not_fit),
        TEST(test_physical_memory_is_binary),
        TEST(test_patch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

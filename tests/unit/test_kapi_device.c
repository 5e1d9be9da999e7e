/* /dev/kernel_api_exporter of a guest: the commands, the buffer, and everything it refuses. */
#include "vfs_guest.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "cerebro/kapi.h"
#include "linux/linux.h"

#define NODE "/dev/shm/" KAPI_DEVICE_NAME

static struct guest guest;
static int fd;

/* The harness has mounted its /dev already: ours stands in a directory of it. */
static int setup(void **state)
{
    struct pk_config config = {.limits.memory = 64U << 20};
    struct vfs_fs *dev;

    (void)state;
    guest_start(&guest, &config);
    assert_int_equal(linux_register(guest.kernel), 0);
    assert_int_equal(vfs_dev_new(guest.vfs, &dev), 0);
    assert_int_equal(linux_kapi_add(dev), 0);
    guest_mount(&guest, "/dev/shm", dev, "devtmpfs");
    fd = guest_open(&guest, NODE, O_RDWR);
    assert_true(fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(fd);
    guest_kill(&guest);
    linux_unregister(guest.kernel);
    free(guest.request.note); /* what dispatch would do */
    guest_stop(&guest);
    return 0;
}

static int64_t ask(uint32_t command, void *record)
{
    return guest_value(&guest, fd, SYS_ioctl, command, (uint64_t)(uintptr_t)record, 0);
}

static int64_t call(int nr, const void *bytes, size_t length)
{
    return guest_value(&guest, fd, nr, (uint64_t)(uintptr_t)bytes, length, 0);
}

/* ---- information ---- */

static void test_memory(void **state)
{
    struct kapi_memory_info info;

    (void)state;
    memset(&info, 0xff, sizeof(info));
    assert_int_equal(ask(KAPI_GET_MEMORY_INFO, &info), 0);
    assert_int_equal(info.total_ram, 64U << 20); /* the limit is the machine */
    assert_true(info.free_ram > 0 && info.free_ram <= info.total_ram);
    assert_int_equal(info.used_ram, info.total_ram - info.free_ram);
    assert_int_equal(info.swap_total, 0);
}

static void test_processors(void **state)
{
    struct kapi_cpu_info info = {0};

    (void)state;
    assert_int_equal(ask(KAPI_GET_CPU_INFO, &info), 0);
    assert_int_equal(info.num_online_cpus, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(info.num_cpus >= info.num_online_cpus);
    assert_true(info.uptime > 0 && info.idle_time > 0 && info.user_time > 0);
    assert_int_equal(info.cpu_model[sizeof(info.cpu_model) - 1], 0);
    assert_true(info.vendor_id[0] != 0);
}

static void test_process(void **state)
{
    struct kapi_process_info info = {.pid = guest.pid};

    (void)state;
    assert_int_equal(ask(KAPI_GET_PROCESS_INFO, &info), 0);
    assert_int_equal(info.pid, guest.pid);
    assert_string_equal(info.comm, "guest (1) x");
    assert_int_equal(info.ppid, getpid());
    assert_int_equal(info.num_threads, 1);
    assert_int_equal(info.memory_usage, (uint64_t)info.rss * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_true(info.state == 'S' || info.state == 'R');
    assert_int_equal(info.priority, 20 + getpriority(PRIO_PROCESS, 0));
    assert_int_equal(info.nice, getpriority(PRIO_PROCESS, 0));
}

static void test_strangers(void **state)
{
    const pid_t pids[] = {getpid(), 0, -1, 1 << 30};
    struct kapi_process_info init = {.pid = 1};

    (void)state;
    assert_int_equal(ask(KAPI_GET_PROCESS_INFO, &init), 0);
    assert_int_equal(init.pid, 1); /* the one that is always there, not the host's */
    assert_string_equal(init.comm, "init");
    for (size_t i = 0; i < array_length(pids); i++) {
        struct kapi_process_info info = {.pid = pids[i], .vsize = 5};

        assert_int_equal(ask(KAPI_GET_PROCESS_INFO, &info), 0);
        assert_int_equal(info.pid, -1);
        assert_int_equal(info.vsize, 0);
    }
}

static void test_load_and_network(void **state)
{
    struct kapi_loadavg_info load = {0};
    struct kapi_network_stats network = {.rx_bytes = 5};
    double loads[3];

    (void)state;
    assert_int_equal(ask(KAPI_GET_LOADAVG, &load), 0);
    assert_int_equal(getloadavg(loads, 3), 3);
    assert_true((double)load.load15 / 65536 <= loads[2] + 0.5);
    assert_true((double)load.load15 / 65536 >= loads[2] - 0.5);
    assert_int_equal(load.total_tasks, 1);
    assert_int_equal(load.last_pid, guest.pid);
    assert_int_equal(ask(KAPI_GET_NETWORK_STATS, &network), 0);
    assert_int_equal(network.rx_bytes, 0); /* a guest without network */
}

static void test_file_system(void **state)
{
    struct kapi_filesystem_info info = {0};

    (void)state;
    assert_int_equal(ask(KAPI_GET_FILE_SYSTEM_INFO, &info), 0);
    assert_string_equal(info.fs_type, "tmpfs");
    assert_string_equal(info.mount_point, "/");
    assert_int_equal(info.max_filename_len, 255);
    assert_true(info.flags & 0x20);
}

static void test_kernel(void **state)
{
    struct kapi_kernel_config config = {0};
    struct utsname name;

    (void)state;
    assert_int_equal(uname(&name), 0);
    assert_int_equal(ask(KAPI_GET_KERNEL_CONFIG, &config), 0);
    assert_string_equal(config.version, name.release);
    assert_string_equal(config.arch, "x86_64");
    assert_int_equal(config.page_size, sysconf(_SC_PAGESIZE));
    assert_true(config.hz >= 24 && config.hz <= 2000);
    assert_int_equal(config.virt_addr_bits >= 47, 1);
}

static void test_commands(void **state)
{
    static const char *const names[] = {"get_kernel_version", "get_uptime",       "get_hostname",
                                        "get_domainname",     "get_total_memory", "get_free_memory",
                                        "get_cpu_count",      "get_page_size",    "get_hz",
                                        "get_jiffies"};
    struct kapi_kernel_cmd command;

    (void)state;
    for (size_t i = 0; i < array_length(names); i++) {
        memset(&command, 0x7f, sizeof(command));
        snprintf(command.command, sizeof(command.command), "%s", names[i]);
        assert_int_equal(ask(KAPI_EXECUTE_KERNEL_CMD, &command), 0);
        assert_int_equal(command.status, 0);
        assert_true(strlen(command.result) < 80 && command.result[0]);
    }
    snprintf(command.command, sizeof(command.command), "get_total_memory");
    ask(KAPI_EXECUTE_KERNEL_CMD, &command);
    assert_string_equal(command.result, "67108864");
    memset(command.command, 'x', sizeof(command.command)); /* without an end */
    assert_int_equal(ask(KAPI_EXECUTE_KERNEL_CMD, &command), 0);
    assert_int_equal(command.status, -EINVAL);
    assert_string_equal(command.result, "Unknown command");
}

/* ---- lists ---- */

static unsigned count_interrupts(void)
{
    struct kapi_interrupt_info info = {0};
    unsigned count = 0;
    int64_t r;

    while ((r = ask(KAPI_GET_INTERRUPTS, &info)) == 0) {
        struct kapi_interrupt_info_at at = {.index = count++};
        uint64_t sum = 0;

        assert_int_equal(ask(KAPI_GET_INTERRUPT_AT, &at), 0);
        assert_int_equal(at.info.irq, info.irq);
        for (size_t i = 0; i < array_length(info.cpu_count); i++)
            sum += info.cpu_count[i];
        assert_true(info.count >= sum);
    }
    assert_int_equal(r, -ENODATA);
    return count;
}

static void test_cursor(void **state)
{
    struct kapi_interrupt_info_at at = {.index = 100000};
    unsigned first = count_interrupts();

    (void)state;
    assert_int_equal(count_interrupts(), first); /* it has gone back to the start */
    assert_int_equal(ask(KAPI_GET_INTERRUPT_AT, &at), -ENODATA);
    at.reserved = 1;
    assert_int_equal(ask(KAPI_GET_INTERRUPT_AT, &at), -EINVAL);
}

static void test_no_hardware(void **state)
{
    struct kapi_pci_device_info pci;
    struct kapi_block_device_info block;
    struct kapi_thermal_info thermal;
    struct kapi_kernel_log log;

    (void)state;
    assert_int_equal(ask(KAPI_GET_PCI_DEVICES, &pci), -ENODATA);
    assert_int_equal(ask(KAPI_GET_BLOCK_DEVICES, &block), -ENODATA);
    assert_int_equal(ask(KAPI_GET_THERMAL_INFO, &thermal), -ENODATA);
    assert_int_equal(ask(KAPI_READ_KERNEL_LOG, &log), -ENODATA);
}

/* ---- version, batch, process list ---- */

static void test_version(void **state)
{
    struct {
        struct kapi_version version;
        uint32_t more[3];
    } newer = {.version.size = sizeof(newer)};
    struct kapi_version version = {.size = sizeof(version)};
    uint32_t newer_code = _IOC(_IOC_READ | _IOC_WRITE, KAPI_IOC_MAGIC, 31, sizeof(newer));
    uint32_t older_code = _IOC(_IOC_READ | _IOC_WRITE, KAPI_IOC_MAGIC, 31, 8);

    (void)state;
    assert_int_equal(ask(KAPI_GET_VERSION, &version), 0);
    assert_int_equal(version.abi_version, KAPI_ABI_VERSION);
    assert_int_equal(version.features, KAPI_FEATURE_CONTROL);
    assert_int_equal(version.process_record_size, sizeof(struct kapi_process_record));
    assert_int_equal(ask(newer_code, &newer), 0);
    newer.version.size = sizeof(newer);
    newer.more[2] = 1;
    assert_int_equal(ask(newer_code, &newer), -E2BIG);
    version.size = 8;
    assert_int_equal(ask(older_code, &version), -EINVAL);
    assert_int_equal(ask(KAPI_GET_VERSION, &version), -EINVAL); /* the two sizes differ */
}

static int64_t ask_batch(struct kapi_batch_entry *entries, uint32_t count)
{
    struct kapi_batch batch = {.size = sizeof(batch),
                               .count = count,
                               .entry_size = sizeof(entries[0]),
                               .entries = (uint64_t)(uintptr_t)entries};
    int64_t r = ask(KAPI_BATCH, &batch);

    if (r == 0)
        assert_true(batch.start_ns > 0 && batch.end_ns >= batch.start_ns);
    return r;
}

static struct kapi_batch_entry entry_of(uint32_t command, void *buffer, size_t length)
{
    return (struct kapi_batch_entry){
        .command = command, .buffer = (uint64_t)(uintptr_t)buffer, .length = (uint32_t)length};
}

static void test_batch(void **state)
{
    struct kapi_memory_info memory = {0};
    struct kapi_process_info process = {0};
    struct kapi_interrupt_info interrupts[64];
    char little[8];
    struct kapi_batch_entry entries[] = {entry_of(1, &memory, sizeof(memory)),
                                         entry_of(3, &process, sizeof(process)),
                                         entry_of(8, interrupts, sizeof(interrupts)),
                                         entry_of(11, interrupts, sizeof(interrupts)),
                                         entry_of(15, little, sizeof(little)),
                                         entry_of(2, little, sizeof(little)),
                                         entry_of(9, little, 0)};

    (void)state;
    entries[1].index = (uint32_t)guest.pid;
    assert_int_equal(ask_batch(entries, array_length(entries)), 0);
    assert_int_equal(entries[0].status, 0);
    assert_int_equal(memory.total_ram, 64U << 20);
    assert_string_equal(process.comm, "guest (1) x");
    assert_int_equal(entries[2].count, count_interrupts());
    assert_int_equal(entries[2].flags, 0);
    assert_int_equal(entries[3].status, -ENODATA);
    assert_int_equal(entries[4].status, -EINVAL); /* commands that act are not for batches */
    assert_int_equal(entries[5].status, 0);
    assert_int_equal(entries[5].length, sizeof(little)); /* the head of it */
    assert_int_equal(entries[6].status, 0);              /* nothing of it */
    assert_int_equal(entries[6].length, 0);
}

static void test_batch_in_pieces(void **state)
{
    struct kapi_interrupt_info pair[2];
    unsigned total = count_interrupts(), seen = 0;
    struct kapi_batch_entry entry = entry_of(8, pair, sizeof(pair));

    (void)state;
    if (total < 3)
        skip();
    do {
        entry.flags = 0;
        entry.length = sizeof(pair);
        assert_int_equal(ask_batch(&entry, 1), 0);
        assert_int_equal(entry.status, 0);
        seen += entry.count;
        assert_int_equal(entry.index, seen);
    } while (entry.flags & KAPI_ENTRY_MORE);
    assert_int_equal(seen, total);
    entry = entry_of(8, pair, 10);
    assert_int_equal(ask_batch(&entry, 1), 0);
    assert_int_equal(entry.status, -ENOSPC);
}

static void test_malformed_batches(void **state)
{
    struct kapi_batch_entry entries[KAPI_BATCH_MAX + 1] = {{0}};
    struct kapi_batch batch = {.size = sizeof(batch), .count = 1, .entry_size = 8};

    (void)state;
    assert_int_equal(ask_batch(entries, 0), -EINVAL);
    assert_int_equal(ask_batch(entries, KAPI_BATCH_MAX + 1), -EINVAL);
    assert_int_equal(ask(KAPI_BATCH, &batch), -EINVAL);
    batch.entry_size = sizeof(entries[0]);
    batch.flags = 1;
    assert_int_equal(ask(KAPI_BATCH, &batch), -EINVAL);
    assert_int_equal(ask_batch(entries, 1), 0);
    assert_int_equal(entries[0].status, -EINVAL);
}

static struct kapi_process_list list_of(void *buffer, size_t length, uint32_t record_size)
{
    return (struct kapi_process_list){.size = sizeof(struct kapi_process_list),
                                      .buffer = (uint64_t)(uintptr_t)buffer,
                                      .length = length,
                                      .record_size = record_size};
}

static void test_process_list(void **state)
{
    struct kapi_process_record records[4] = {{0}};
    struct kapi_process_list list = list_of(records, sizeof(records), sizeof(records[0]));

    (void)state;
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), 0);
    assert_int_equal(list.count, 1); /* this process is not the guest's */
    assert_int_equal(list.length, sizeof(records[0]));
    assert_int_equal(list.flags, 0);
    assert_int_equal(records[0].pid, guest.pid);
    assert_string_equal(records[0].comm, "guest (1) x");
    assert_int_equal(records[0].uid, 1000); /* the virtual one */
    assert_true(records[0].rss > 0 && records[0].vsize >= records[0].rss);
    assert_true(records[0].valid & KAPI_PROCESS_HAS_MEMORY);
    assert_true(records[0].start_time > 0);
}

static void test_process_list_sizes(void **state)
{
    unsigned char bytes[1024];
    struct kapi_process_list list = list_of(bytes, sizeof(bytes), KAPI_PROCESS_RECORD_MIN);

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), 0);
    assert_int_equal(list.record_size, KAPI_PROCESS_RECORD_MIN);
    assert_int_equal(bytes[KAPI_PROCESS_RECORD_MIN], 0xff); /* nothing behind it is touched */
    list = list_of(bytes, sizeof(bytes), sizeof(bytes));
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), 0);
    assert_int_equal(list.record_size, sizeof(struct kapi_process_record));
    assert_int_equal(bytes[sizeof(bytes) - 1], 0);
    list = list_of(bytes, sizeof(bytes), 31);
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), -EINVAL);
    list = list_of(bytes, sizeof(bytes), 4104);
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), -EINVAL);
    list = list_of(bytes, sizeof(bytes), 36);
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), -EINVAL);
    list = list_of(bytes, 31, 32);
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), -ENOSPC);
    list = list_of(bytes, 64, 32);
    list.flags = 2;
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), -EINVAL);
    list = list_of(bytes, 64, 32);
    list.cursor = (uint32_t)guest.pid;
    assert_int_equal(ask(KAPI_GET_PROCESS_LIST, &list), 0);
    assert_int_equal(list.count, 0);
}

/* ---- control ---- */

static void test_signals_within_the_tree(void **state)
{
    struct kapi_process_control control = {.pid = guest.pid, .signal = 0};
    int status;

    (void)state;
    assert_int_equal(ask(KAPI_KILL_PROCESS, &control), 0);
    assert_int_equal(control.status, 0);
    assert_int_equal(ask(KAPI_SUSPEND_PROCESS, &control), 0);
    assert_int_equal(control.status, 0);
    assert_int_equal(waitpid(guest.pid, &status, WUNTRACED), guest.pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ask(KAPI_RESUME_PROCESS, &control), 0);
    assert_int_equal(waitpid(guest.pid, &status, WCONTINUED), guest.pid);
    assert_true(WIFCONTINUED(status));
    control.signal = 65;
    assert_int_equal(ask(KAPI_KILL_PROCESS, &control), 0);
    assert_int_equal(control.status, -EINVAL);
    control.signal = SIGKILL;
    assert_int_equal(ask(KAPI_KILL_PROCESS, &control), 0);
    assert_int_equal(control.status, 0);
    assert_int_equal(waitpid(guest.pid, &status, 0), guest.pid);
    assert_true(WIFSIGNALED(status));
    guest.pid = 0;
}

static void test_signals_outside(void **state)
{
    const pid_t pids[] = {getpid(), getppid(), 1, 0, -1, -guest.pid};

    (void)state;
    for (size_t i = 0; i < array_length(pids); i++) {
        struct kapi_process_control control = {.pid = pids[i], .signal = SIGTERM};

        assert_int_equal(ask(KAPI_KILL_PROCESS, &control), 0);
        assert_int_equal(control.status, pids[i] > 0 ? -ESRCH : -EINVAL);
        assert_true(strlen(control.message) > 0);
    }
}

static void test_affinity(void **state)
{
    struct kapi_cpu_control control = {.pid = guest.pid};
    cpu_set_t before, after;
    int cpu = 0;

    (void)state;
    assert_int_equal(sched_getaffinity(guest.pid, sizeof(before), &before), 0);
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    control.mask = 1ULL << cpu;
    assert_int_equal(ask(KAPI_SET_CPU_AFFINITY, &control), 0);
    assert_int_equal(control.status, 0);
    assert_int_equal(sched_getaffinity(guest.pid, sizeof(after), &after), 0);
    assert_int_equal(CPU_COUNT(&after), 1);
    assert_true(CPU_ISSET(cpu, &after));
    control.mask = 0;
    assert_int_equal(ask(KAPI_SET_CPU_AFFINITY, &control), 0);
    assert_int_equal(control.status, -EINVAL);
    control.pid = getpid();
    control.mask = 1;
    assert_int_equal(ask(KAPI_SET_CPU_AFFINITY, &control), 0);
    assert_int_equal(control.status, -ESRCH);
}

static void test_everything_else_is_refused(void **state)
{
    static const struct {
        uint32_t code;
        size_t status;
    } codes[] = {
        {KAPI_LOAD_MODULE, offsetof(struct kapi_module_control, status)},
        {KAPI_UNLOAD_MODULE, offsetof(struct kapi_module_control, status)},
        {KAPI_TOGGLE_INTERFACE, offsetof(struct kapi_net_control, status)},
        {KAPI_MOUNT_FS, offsetof(struct kapi_fs_control, status)},
        {KAPI_UMOUNT_FS, offsetof(struct kapi_fs_control, status)},
        {KAPI_INJECT_LOG, offsetof(struct kapi_log_injection, status)},
        {KAPI_READ_PHYS_MEM, offsetof(struct kapi_phys_mem_read, status)},
        {KAPI_WRITE_PHYS_MEM, offsetof(struct kapi_phys_mem_write, status)},
        {KAPI_VIRT_TO_PHYS, offsetof(struct kapi_virt_to_phys, status)},
        {KAPI_PATCH_MEMORY, offsetof(struct kapi_mem_patch, status)},
    };
    static unsigned char record[16384];

    (void)state;
    for (size_t i = 0; i < array_length(codes); i++) {
        int32_t status;

        memset(record, 'x', sizeof(record));
        assert_int_equal(ask(codes[i].code, record), 0);
        memcpy(&status, record + codes[i].status, sizeof(status));
        assert_int_equal(status, -EPERM);
        assert_int_equal(record[_IOC_SIZE(codes[i].code)], 'x');
    }
    assert_int_equal(ask(KAPI_FORCE_PAGE_RECLAIM, NULL), -EPERM);
    assert_int_equal(ask(KAPI_PANIC_KERNEL, NULL), -EPERM);
    assert_int_equal(guest.kernel->stats.denials, array_length(codes) + 2);
}

static void test_unknown_codes(void **state)
{
    static const uint32_t codes[] = {
        0,
        _IO(KAPI_IOC_MAGIC, 1),
        _IOW(KAPI_IOC_MAGIC, 1, struct kapi_memory_info),
        _IOR(KAPI_IOC_MAGIC, 1, struct kapi_cpu_info),
        _IOR('x', 1, struct kapi_memory_info),
        _IO(KAPI_IOC_MAGIC, 34),
        _IOWR(KAPI_IOC_MAGIC, 34, struct kapi_version),
        _IOWR(KAPI_IOC_MAGIC, 9, struct kapi_module_info_at),
        _IOW(KAPI_IOC_MAGIC, 24, int),
        ~0U,
    };
    char record[256];

    (void)state;
    for (size_t i = 0; i < array_length(codes); i++)
        assert_int_equal(ask(codes[i], record), -ENOTTY);
}

/* ---- the buffer ---- */

static void test_buffer(void **state)
{
    char bytes[8] = "";

    (void)state;
    assert_int_equal(call(SYS_write, "a\0b", 3), 3);
    assert_int_equal(call(SYS_lseek, 0, SEEK_SET), 0);
    assert_int_equal(call(SYS_read, bytes, 4), 4);
    assert_memory_equal(bytes, "a\0b\0", 4);
    assert_int_equal(call(SYS_lseek, (void *)-2, SEEK_END), KAPI_BUFFER_SIZE - 2);
    assert_int_equal(call(SYS_write, "xyz", 3), 2); /* as much as there is room for */
    assert_int_equal(call(SYS_write, "z", 1), -ENOSPC);
    assert_int_equal(call(SYS_read, bytes, 1), 0);
    assert_int_equal(call(SYS_lseek, (void *)-1, SEEK_CUR), KAPI_BUFFER_SIZE - 1);
    assert_int_equal(call(SYS_read, bytes, 8), 1);
    assert_int_equal(bytes[0], 'y');
    assert_int_equal(call(SYS_lseek, (void *)-1, SEEK_SET), -EINVAL);
    assert_int_equal(call(SYS_lseek, (void *)1, SEEK_END), -EINVAL);
    assert_int_equal(call(SYS_lseek, (void *)INT64_MIN, SEEK_CUR), -EINVAL);
    assert_int_equal(call(SYS_lseek, (void *)INT64_MAX, SEEK_CUR), -EINVAL);
    assert_int_equal(call(SYS_lseek, 0, 3), -EINVAL);
    assert_int_equal(call(SYS_fsync, 0, 0), 0);
}

static void test_every_open_has_its_own(void **state)
{
    int second = guest_open(&guest, NODE, O_RDWR);
    char byte = 1;

    (void)state;
    assert_int_equal(call(SYS_write, "secret", 6), 6);
    assert_int_equal(guest_value(&guest, second, SYS_read, (uint64_t)(uintptr_t)&byte, 1, 0), 1);
    assert_int_equal(byte, 0);
    close(second);
}

static int64_t map(int protection, size_t length, uint64_t offset)
{
    guest.request.args[3] = MAP_SHARED;
    guest.request.args[4] = (uint64_t)fd;
    guest.request.args[5] = offset;
    guest.request.nr = SYS_mmap;
    guest.request.args[0] = 0;
    guest.request.args[1] = length;
    guest.request.args[2] = (uint64_t)protection;
    return vfs_handle_call(vfs_handle_of_fd(guest.vfs, fd), &guest.request, fd).value;
}

static void test_mapping(void **state)
{
    int both = PROT_READ | PROT_WRITE;
    char *bytes = (char *)map(both, KAPI_BUFFER_SIZE, 0);

    (void)state;
    assert_true((intptr_t)bytes > 0);
    memcpy(bytes + 5, "mapped", 6);
    assert_int_equal(call(SYS_lseek, (void *)5, SEEK_SET), 5);
    {
        char text[7] = "";

        assert_int_equal(call(SYS_read, text, 6), 6);
        assert_string_equal(text, "mapped");
    }
    munmap(bytes, KAPI_BUFFER_SIZE);
    assert_int_equal(map(both, KAPI_BUFFER_SIZE + 1, 0), -EINVAL);
    assert_int_equal(map(both, 8192, 12288), -EINVAL);
    assert_int_equal(map(both, 4096, UINT64_MAX - 4095), -EINVAL);
    assert_int_equal(map(both | PROT_EXEC, 4096, 0), -EPERM);
    assert_int_equal(map(both, 0, 0), -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_memory),
        TEST(test_processors),
        TEST(test_process),
        TEST(test_strangers),
        TEST(test_load_and_network),
        TEST(test_file_system),
        TEST(test_kernel),
        TEST(test_commands),
        TEST(test_cursor),
        TEST(test_no_hardware),
        TEST(test_version),
        TEST(test_batch),
        TEST(test_batch_in_pieces),
        TEST(test_malformed_batches),
        TEST(test_process_list),
        TEST(test_process_list_sizes),
        TEST(test_signals_within_the_tree),
        TEST(test_signals_outside),
        TEST(test_affinity),
        TEST(test_everything_else_is_refused),
        TEST(test_unknown_codes),
        TEST(test_buffer),
        TEST(test_every_open_has_its_own),
        TEST(test_mapping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

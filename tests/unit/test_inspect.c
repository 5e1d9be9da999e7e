/* What a kernel tells of its inside: the sections as text and JSON, and as files of debugfs. */
#include "vfs_guest.h"

#include "abi/syscalls.h"
#include "core/latency.h"
#include "core/recent.h"
#include "vfs/inspect.h"

static struct guest guest;

static int setup(void **state)
{
    struct pk_config config = {.name = "a \"name\"", .limits = {.memory = 1 << 20, .pids = 7}};
    struct vfs_fs *fs;

    (void)state;
    guest_start(&guest, &config);
    assert_int_equal(vfs_debug_new(guest.vfs, &fs), 0);
    guest_mount(&guest, "/sys/kernel/debug", fs, "debugfs");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_stop(&guest);
    return 0;
}

static void expect(const char *section, bool json, const char *wanted)
{
    cleanup_strbuf struct strbuf text = {0};

    assert_int_equal(vfs_inspect(guest.vfs, section, json, &text), 0);
    assert_string_equal(strbuf_text(&text), wanted);
}

static void expect_part(const char *section, bool json, const char *wanted)
{
    cleanup_strbuf struct strbuf text = {0};

    assert_int_equal(vfs_inspect(guest.vfs, section, json, &text), 0);
    if (strstr(strbuf_text(&text), wanted) == NULL)
        fail_msg("no '%s' in:\n%s", wanted, strbuf_text(&text));
}

static void test_calls(void **state)
{
    struct pk_call_stats *call = &guest.kernel->stats.calls[ABI_NR_openat];

    (void)state;
    expect("calls", false, "# nr name count errors total_ns max_ns\n");
    expect("calls", true, "[]");
    *call = (struct pk_call_stats){.count = 5, .errors = 2, .total_ns = 900, .max_ns = 400};
    call->answers[PK_ANSWER_DESCRIPTOR] = 3;
    call->answers[PK_ANSWER_VALUE] = 2;
    call->denied = 1;
    guest.kernel->stats.calls[501].count = 1;
    expect("calls", false,
           "# nr name count errors total_ns max_ns\n257 openat 5 2 900 400\n"
           "501 syscall_501 1 0 0 0\n");
    expect("calls", true,
           "[{\"nr\":257,\"name\":\"openat\",\"count\":5,\"errors\":2,\"total_ns\":900,"
           "\"max_ns\":400},{\"nr\":501,\"name\":\"syscall_501\",\"count\":1,\"errors\":0,"
           "\"total_ns\":0,\"max_ns\":0}]");
    expect_part("decisions", false, "\nopenat 2 3 0 0 0 0 1\n");
}

static void test_latency(void **state)
{
    (void)state;
    expect("latency", false, "# name from_ns to_ns count\n");
    assert_int_equal(pk_measure(guest.kernel, 0), 0);
    guest.kernel->latencies->counts[ABI_NR_openat][pk_latency_bucket(5000)] = 9;
    guest.kernel->latencies->counts[ABI_NR_openat][pk_latency_bucket(100)] = 1;
    expect("latency", false, "# name from_ns to_ns count\nopenat 0 128 1\nopenat 4096 6144 9\n");
    expect_part("latency", true,
                "{\"name\":\"openat\",\"from_ns\":4096,\"to_ns\":6144,\"count\":9}");
}

static void deny(const char *what)
{
    struct pk_denial denial = {
        .pid = 42, .what = what, .rule = "the rule", .allow = "no", .errnum = EPERM};

    pk_recent_add(guest.kernel, NULL, &denial);
}

static void test_denials(void **state)
{
    char what[32];
    unsigned count = 0;

    (void)state;
    deny("# a\nb\\");
    deny("# a\nb\\");
    expect_part("denials", false, " 2 42 - EPERM false \\043\\040a\\012b\\134 the\\040rule\n");
    expect_part("denials", true,
                "\"times\":2,\"pid\":42,\"call\":\"\",\"errno\":\"EPERM\","
                "\"let_through\":false,\"what\":\"# a\\u000ab\\\\\"");
    for (int i = 0; i < 300; i++) {
        snprintf(what, sizeof(what), "thing %d", i);
        deny(what);
    }
    while (pk_recent_get(guest.kernel, count))
        count++;
    assert_int_equal(count, PK_RECENT_DENIALS);
    assert_string_equal(pk_recent_get(guest.kernel, 0)->what, "thing 172");
    assert_string_equal(pk_recent_get(guest.kernel, count - 1)->what, "thing 299");
}

static void test_tree(void **state)
{
    char line[64];

    (void)state;
    expect_part("summary", false, "name a\\040\"name\"\n");
    expect_part("summary", true, "{\"name\":\"a \\\"name\\\"\",\"guest\":");
    expect_part("summary", false, "\nprocesses 1\n");
    expect_part("limits", false, "\nmemory 1048576 ");
    expect_part("limits", false, "\npids 7 1\n");
    expect_part("limits", false, "\nfiles max -\n");
    snprintf(line, sizeof(line), "\n%d 1 ", guest.pid);
    expect_part("tasks", false, line);
    expect_part("tasks", false, " 0027 / /\n");
    expect_part("mounts", false, " /sys/kernel/debug debugfs rw debugfs\n");
}

static void test_all(void **state)
{
    cleanup_strbuf struct strbuf text = {0};
    cleanup_strbuf struct strbuf json = {0};
    const char *name;
    char part[64];

    (void)state;
    assert_int_equal(vfs_inspect(guest.vfs, "no such", false, &text), -ENOENT);
    assert_int_equal(vfs_inspect_all(guest.vfs, false, &text), 0);
    assert_int_equal(vfs_inspect_all(guest.vfs, true, &json), 0);
    for (unsigned i = 0; (name = vfs_inspect_name(i)); i++) {
        snprintf(part, sizeof(part), "== %s\n", name);
        assert_non_null(strstr(strbuf_text(&text), part));
        snprintf(part, sizeof(part), "\"%s\":", name);
        assert_non_null(strstr(strbuf_text(&json), part));
        assert_non_null(vfs_inspect_summary(i));
    }
}

static void test_files(void **state)
{
    cleanup_strbuf struct strbuf file = {0};

    (void)state;
    guest_text(&guest, "/sys/kernel/debug/cerebro/mounts", &file);
    expect("mounts", false, strbuf_text(&file));
}

/* What went over the host's loopback is hidden from a guest without a network. */
static void test_sys_of_nobody(void **state)
{
    cleanup_strbuf struct strbuf bytes = {0};
    cleanup_strbuf struct strbuf cpus = {0};

    (void)state;
    if (access("/sys/class/net/lo/statistics/rx_bytes", R_OK) == 0) {
        guest_text(&guest, "/sys/class/net/lo/statistics/rx_bytes", &bytes);
        assert_string_equal(strbuf_text(&bytes), "0\n");
    }
    CPU_ZERO(&guest.kernel->cpus);
    for (int cpu = 0; cpu < 8; cpu++)
        if (cpu < 3 || cpu == 5)
            CPU_SET(cpu, &guest.kernel->cpus);
    guest_text(&guest, "/sys/fs/cgroup/cpuset.cpus.effective", &cpus);
    assert_string_equal(strbuf_text(&cpus), "0-2,5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_denials, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sys_of_nobody, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

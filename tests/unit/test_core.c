/*
 * The process kernel object with a port made of this process itself: guest memory is our memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "core/exec.h"
#include "core/kernel.h"
#include "core/latency.h"
#include "core/limit-values.h"

struct fixture {
    struct pk_kernel *kernel;
    struct strbuf denied;
    unsigned reads;
};

static struct fixture *fixture_of(struct pk_request *request)
{
    return request->port_data;
}

/* Reading through the kernel gives EFAULT instead of a crash for addresses that are not there. */
static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {bytes, length};
    struct iovec remote = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    fixture_of(request)->reads++;
    return n < 0 ? -errno : n;
}

static ssize_t port_write(struct pk_request *request, uint64_t address, const void *bytes,
                          size_t length)
{
    struct iovec local = {(void *)(uintptr_t)bytes, length};
    struct iovec remote = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static int port_get_fd(struct pk_request *request, int number)
{
    int fd = dup(number);

    (void)request;
    return fd < 0 ? -errno : fd;
}

static const struct pk_port_ops port = {
    .read = port_read, .write = port_write, .get_fd = port_get_fd};

static void on_denial(void *user, const struct pk_denial *denial)
{
    struct fixture *fixture = user;

    strbuf_addf(&fixture->denied, "%s|%s|%s|%d\n", denial->what, denial->rule, denial->allow,
                denial->errnum);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct pk_config config = {.name = "test", .stats = true};
    struct pk_sink sink = {.denial = on_denial, .user = fixture};
    struct pk_context first = {0};
    struct pk_context *context;

    assert_int_equal(pk_kernel_new(&config, &sink, &fixture->kernel, NULL), 0);
    context = pk_context_copy(fixture->kernel, &first);
    context->mask = 022;
    assert_int_equal(pk_context_register(fixture->kernel, context), 0);
    assert_int_equal(pk_context_tag(getpid(), context->id), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit;

    getrlimit(RLIMIT_LOCKS, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_LOCKS, &limit);
    pk_kernel_free(fixture->kernel);
    strbuf_free(&fixture->denied);
    free(fixture);
    return 0;
}

static struct pk_request make_request(struct fixture *fixture, int nr)
{
    return (struct pk_request){
        .kernel = fixture->kernel, .nr = nr, .port = &port, .port_data = fixture};
}

/* Dispatches and ends the request, as a trap does. */
static struct pk_answer serve(struct pk_request *request)
{
    struct pk_answer answer = pk_dispatch(request, (pid_t)syscall(SYS_gettid));

    pk_dispatch_done(request, &answer, answer.value);
    return answer;
}

static struct pk_answer answer_mask(struct pk_request *request)
{
    return pk_value(request->context->mask);
}

static struct pk_answer set_mask(struct pk_request *request)
{
    struct pk_context *context = pk_context_copy(request->kernel, request->context);
    mode_t old = context->mask;

    context->mask = (mode_t)request->args[0];
    return pk_context_adopt(request, context) < 0 ? pk_error(-ENOMEM) : pk_value(old);
}

static struct pk_answer refuse(struct pk_request *request)
{
    return pk_denied(request, -EACCES, "the rule", "the way", "thing %d", (int)request->args[0]);
}

static void unknown_calls_are_enosys(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, 499);

    assert_int_equal(serve(&request).value, -ENOSYS);
    request = make_request(fixture, 100000);
    assert_int_equal(serve(&request).value, -ENOSYS);
    assert_int_equal(fixture->kernel->stats.unknown_calls, 2);
}

static void refused_calls_say_why(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_ptrace);

    assert_int_equal(serve(&request).value, -EPERM);
    assert_non_null(strstr(strbuf_text(&fixture->denied), "ptrace|"));
}

static void contexts_are_inherited_by_fork(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_umask);
    int status;
    pid_t child;

    pk_kernel_set_handler(fixture->kernel, SYS_umask, set_mask);
    pk_kernel_set_handler(fixture->kernel, SYS_getppid, answer_mask);
    request.args[0] = 077;
    assert_int_equal(serve(&request).value, 022);
    child = fork();
    if (child == 0) {
        struct pk_request inner = make_request(fixture, SYS_getppid);

        _exit(serve(&inner).value == 077 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

static void forged_contexts_get_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_getppid);

    pk_kernel_set_handler(fixture->kernel, SYS_getppid, answer_mask);
    assert_int_equal(pk_context_tag(getpid(), 4242), 0);
    assert_int_equal(serve(&request).value, -EPERM);
}

static int sleeping_child(void)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return child;
}

static void sweep_keeps_what_processes_carry(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_umask);
    pid_t child;
    uint64_t carried;

    pk_kernel_set_handler(fixture->kernel, SYS_umask, set_mask);
    serve(&request);
    carried = fixture->kernel->next_context - 1;
    child = sleeping_child();
    for (int i = 0; i < 2000; i++) {
        request.args[0] = (uint64_t)i & 0777;
        serve(&request);
    }
    assert_true(fixture->kernel->contexts.count < 1000);
    assert_non_null(pk_context_by_id(fixture->kernel, carried));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void strings_are_read_across_pages_only_as_needed(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_openat);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char path[4096];

    munmap(pages + 4096, 4096);
    memcpy(pages + 4096 - 5, "abcd", 5);
    assert_int_equal(pk_read_path(&request, (uintptr_t)pages + 4096 - 5, path), 4);
    assert_string_equal(path, "abcd");
    pages[4095] = 'x';
    assert_int_equal(pk_read_path(&request, (uintptr_t)pages + 4096 - 5, path), -EFAULT);
    memset(pages, 'a', 4096);
    assert_int_equal(pk_read_string(&request, (uintptr_t)pages, path, 100), -ENAMETOOLONG);
    assert_int_equal(pk_read_path(&request, 8, path), -EFAULT);
    munmap(pages, 4096);
}

static void iovecs_are_checked(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_writev);
    static struct iovec out[1024];
    struct iovec in[2] = {{NULL, 3}, {NULL, SIZE_MAX / 2}};

    assert_int_equal(pk_read_iovec(&request, (uintptr_t)in, 1, out), 3);
    assert_int_equal(pk_read_iovec(&request, (uintptr_t)in, 2, out), -EINVAL);
    assert_int_equal(pk_read_iovec(&request, (uintptr_t)in, 1025, out), -EINVAL);
    assert_int_equal(pk_read_iovec(&request, 8, 1, out), -EFAULT);
}

static void denials_are_told_once(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_connect);

    pk_kernel_set_handler(fixture->kernel, SYS_connect, refuse);
    for (int i = 0; i < 5; i++)
        assert_int_equal(serve(&request).value, -EACCES);
    assert_string_equal(strbuf_text(&fixture->denied), "thing 0|the rule|the way|13\n");
    assert_int_equal(fixture->kernel->stats.denials, 5);
}

static void answers_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_openat);

    serve(&request);
    assert_int_equal(fixture->kernel->stats.calls[SYS_openat].count, 1);
    assert_int_equal(fixture->kernel->stats.calls[SYS_openat].errors, 1);
}

/* What a port was asked for. */
static int signalled, delayed_ms;

static int port_signal(struct pk_request *request, int number)
{
    (void)request;
    signalled = number;
    return 0;
}

static int port_delay(struct pk_request *request, uint64_t ns)
{
    (void)request;
    delayed_ms = (int)(ns / 1000000);
    return 0;
}

static struct pk_answer fine(struct pk_request *request)
{
    (void)request;
    return pk_value(7);
}

static void add_fault(struct pk_faults *faults, const char *text)
{
    struct pk_fault fault;
    struct base_error error = {0};

    assert_int_equal(pk_fault_parse(text, &fault, &error), 0);
    assert_int_equal(pk_faults_add(faults, &fault), 0);
}

static void faults_are_injected_when_it_is_their_turn(void **state)
{
    static const int64_t wanted[] = {7, 7, -ENOSPC, 7, -ENOSPC, 7, -ENOSPC};
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_openat);
    struct pk_faults faults = {0};

    add_fault(&faults, "open,openat:error=ENOSPC:when=3+2");
    pk_kernel_set_handler(fixture->kernel, SYS_openat, fine);
    pk_kernel_set_handler(fixture->kernel, SYS_open, fine);
    fixture->kernel->config.faults = &faults;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        request.nr = SYS_open; /* counted by itself */
        if (i < 2)
            assert_int_equal(serve(&request).value, 7);
        request.nr = SYS_openat;
        assert_int_equal(serve(&request).value, wanted[i]);
    }
    assert_int_equal(faults.list[0].injected, 3);
    request.instruction = 0x100200; /* the loader's own calls are left alone, and not counted */
    request.fault = NULL;
    assert_int_equal(serve(&request).value, 7);
    assert_int_equal(faults.seen[SYS_openat], 7);
    pk_faults_free(&faults);
}

static void injected_delays_and_signals_go_through_the_port(void **state)
{
    static struct pk_port_ops ops;
    struct fixture *fixture = *state;
    struct pk_request request = make_request(fixture, SYS_openat);
    struct pk_faults faults = {0};

    ops = port;
    ops.signal = port_signal;
    ops.delay = port_delay;
    request.port = &ops;
    signalled = delayed_ms = 0;
    add_fault(&faults, "openat:retval=3:signal=USR1:delay_enter=20ms:when=1");
    pk_kernel_set_handler(fixture->kernel, SYS_openat, fine);
    fixture->kernel->config.faults = &faults;
    assert_int_equal(pk_dispatch(&request, (pid_t)syscall(SYS_gettid)).kind, PK_ANSWER_LATER);
    assert_int_equal(delayed_ms, 20);
    assert_int_equal(signalled, 0);
    request.resumed = true; /* as the trap does when the time has come */
    assert_int_equal(serve(&request).value, 3);
    assert_int_equal(signalled, SIGUSR1);
    request.resumed = false;
    assert_int_equal(serve(&request).value, 7);
    assert_int_equal(faults.list[0].injected, 1);
    pk_faults_free(&faults);
}

static void latencies_are_sorted_into_buckets(void **state)
{
    uint64_t counts[PK_LATENCY_BUCKETS] = {0};
    unsigned last = 0;

    (void)state;
    for (uint64_t ns = 1; ns < 1ULL << 45; ns += 1 + ns / 7) {
        unsigned bucket = pk_latency_bucket(ns);

        assert_true(bucket == last || bucket == last + 1);
        assert_true(bucket < PK_LATENCY_BUCKETS);
        assert_true(pk_latency_begin(bucket) <= ns);
        assert_true(ns < pk_latency_begin(bucket + 1) || bucket == PK_LATENCY_BUCKETS - 1);
        last = bucket;
    }
    assert_int_equal(last, PK_LATENCY_BUCKETS - 1);
    assert_int_equal(pk_latency_quantile(counts, 0.5), 0);
    for (uint64_t ns = 1000; ns <= 100000; ns += 10)
        counts[pk_latency_bucket(ns)]++;
    assert_in_range(pk_latency_quantile(counts, 0.5), 45000, 56000);
    assert_in_range(pk_latency_quantile(counts, 0.99), 90000, 125000);
}

static void times_are_measured_while_somebody_asks(void **state)
{
    struct fixture *fixture = *state;
    struct pk_kernel *kernel = fixture->kernel;
    struct pk_request request = make_request(fixture, SYS_openat);
    uint32_t seen = 0;

    kernel->config.stats = false;
    serve(&request);
    assert_null(kernel->latencies);
    assert_int_equal(kernel->stats.calls[SYS_openat].total_ns, 0);
    assert_int_equal(pk_measure(kernel, 100), 0);
    serve(&request);
    serve(&request);
    for (unsigned i = 0; i < PK_LATENCY_BUCKETS; i++)
        seen += kernel->latencies->counts[SYS_openat][i];
    assert_int_equal(seen, 2);
    assert_true(kernel->stats.calls[SYS_openat].total_ns > 0);
    kernel->measure_until_ns = 1; /* long ago */
    serve(&request);
    assert_int_equal(kernel->measure_until_ns, 0);
    for (unsigned i = 0; i < PK_LATENCY_BUCKETS; i++)
        seen -= kernel->latencies->counts[SYS_openat][i];
    assert_int_equal(seen, 0);
}

static void discarded_answers_release_what_they_own(void **state)
{
    int fd = dup(0);
    struct pk_answer answer = pk_descriptor(fd, 0);

    (void)state;
    pk_answer_discard(&answer);
    assert_int_equal(close(fd), -1);
    answer = pk_exec(pk_exec_plan_new());
    answer.plan->program_fd = fd = dup(0);
    pk_answer_discard(&answer);
    assert_int_equal(close(fd), -1);
}

static void test_limits_are_read_as_they_are_written(void **state)
{
    static const struct {
        enum pk_limit limit;
        const char *text;
        uint64_t value; /* 0: refused */
        const char *written;
    } cases[] = {
        {PK_LIMIT_MEMORY, "2M", 2 << 20, "2M"},
        {PK_LIMIT_PIDS, "30", 30, "30"},
        {PK_LIMIT_CPU, "9", 9, "9"},
        {PK_LIMIT_WALL, "90", 90000, "90s"},
        {PK_LIMIT_WALL, "1.5s", 1500, "1.5s"},
        {PK_LIMIT_WALL, "250ms", 250, "0.25s"},
        {PK_LIMIT_WALL, "0.005", 5, "0.005s"},
        {PK_LIMIT_WALL, "1.01m", 60600, "60.6s"},
        {PK_LIMIT_WALL, "2h", 7200000, "7200s"},
        {PK_LIMIT_CPUS, "1.5", 1500, "1.5"},
        {PK_LIMIT_CPUS, "4", 4000, "4"},
        {PK_LIMIT_IO, "10M", 10 << 20, "10M"},
        {PK_LIMIT_WALL, "", 0, NULL},
        {PK_LIMIT_WALL, "0", 0, NULL},
        {PK_LIMIT_WALL, "0.1ms", 0, NULL},
        {PK_LIMIT_WALL, "1.", 0, NULL},
        {PK_LIMIT_WALL, ".5", 0, NULL},
        {PK_LIMIT_WALL, "1.0005", 0, NULL},
        {PK_LIMIT_WALL, "5d", 0, NULL},
        {PK_LIMIT_WALL, "99999999999999999999h", 0, NULL},
        {PK_LIMIT_CPUS, "2s", 0, NULL},
        {PK_LIMIT_CPUS, "-1", 0, NULL},
        {PK_LIMIT_MEMORY, "1.5M", 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 0, again = 0;
        char text[32];
        int r = pk_limit_parse(cases[i].limit, cases[i].text, &value);

        assert_int_equal(r, cases[i].value ? 0 : -EINVAL);
        assert_int_equal(value, cases[i].value);
        if (r < 0)
            continue;
        assert_string_equal(pk_limit_format(cases[i].limit, value, text), cases[i].written);
        assert_int_equal(pk_limit_parse(cases[i].limit, text, &again), 0);
        assert_int_equal(again, value);
    }
}

static void test_limits_have_names_and_fields(void **state)
{
    struct pk_limits limits = {0};

    (void)state;
    for (int i = 0; i < PK_LIMIT_COUNT; i++) {
        assert_int_equal(pk_limit_find(pk_limit_name((enum pk_limit)i)), i);
        *pk_limit_field(&limits, (enum pk_limit)i) = (uint64_t)i + 1;
    }
    for (int i = 0; i < PK_LIMIT_COUNT; i++)
        assert_int_equal(*pk_limit_field(&limits, (enum pk_limit)i), i + 1);
    assert_int_equal(limits.memory, PK_LIMIT_MEMORY + 1);
    assert_int_equal(limits.wall_ms, PK_LIMIT_WALL + 1);
    assert_int_equal(pk_limit_find("none"), -ENOENT);
}

int main(void)
{
#define kernel_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_are_read_as_they_are_written),
        cmocka_unit_test(test_limits_have_names_and_fields),
        kernel_test(unknown_calls_are_enosys),
        kernel_test(refused_calls_say_why),
        kernel_test(contexts_are_inherited_by_fork),
        kernel_test(forged_contexts_get_nothing),
        kernel_test(sweep_keeps_what_processes_carry),
        kernel_test(strings_are_read_across_pages_only_as_needed),
        kernel_test(iovecs_are_checked),
        kernel_test(denials_are_told_once),
        kernel_test(answers_are_counted),
        kernel_test(faults_are_injected_when_it_is_their_turn),
        kernel_test(injected_delays_and_signals_go_through_the_port),
        kernel_test(latencies_are_sorted_into_buckets),
        kernel_test(times_are_measured_while_somebody_asks),
        kernel_test(discarded_answers_release_what_they_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The seccomp filter: compared with a plain second statement of its rules for every call number
 * over systematically chosen and random arguments, checked for its cost, and tried on the host.
 */
#include <asm/ioctls.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "filter_reference.h"
#include "skip.h"
#include "trap/bpf.h"
#include "trap/loader/protocol.h"
#include "trap/trap.h"

#define LAST_NUMBER   1100
#define RANDOM_ROUNDS 1500
#define WINDOW_BASE   960

static struct filter_config config_of(unsigned bits)
{
    return (struct filter_config){
        .loader_string = FILTER_LOADER_STRING,
        .loader_limit = FILTER_LOADER_LIMIT,
        .window_base = WINDOW_BASE,
        .window_size = PK_WINDOW_SIZE,
        .net = bits & 1 ? PK_NET_HOST : PK_NET_NONE,
        .virtual_identity = bits & 2,
        .ipc_isolated = bits & 4,
        .unix_isolated = bits & 8,
        .net_rules = bits & 16,
    };
}

#define ALL_CONFIGS 32

static struct sock_fprog built(const struct filter_config *config)
{
    struct sock_fprog program = {0};

    assert_int_equal(filter_build(config, &program, NULL), 0);
    return program;
}

/* Values at which some rule changes its mind; neighbours and upper halves are added. */
static const uint64_t interesting[] = {
    0, 1, 2, 3, 5, 7, 10, 15, 16, 17, 32, 36, 38, 41, 57,
    /* the window, the loader's string, the limit */
    WINDOW_BASE, WINDOW_BASE + PK_WINDOW_SIZE, 0x100000, 0x101000, 0x101040, 0x180000,
    /* addresses that only look high */
    0x200000000101000, 0x4000000000101000, 0x8000000000000000, 0x100000000000000, 0x7fffffff0000,
    /* prctl and fcntl */
    20, 23, 29, 35, 44, 47, 52, 54, 59, 65, 67, 78, 80, 0x53564d41, 0x59616d61, 0x41555856, 1024,
    1026, 1030, 1039,
    /* ioctl */
    0x5401, 0x540c, 0x540d, 0x5412, 0x5413, 0x5416, 0x541b, 0x541c, 0x541e, 0x5420, 0x5423, 0x5424,
    0x5426, 0x5429, 0x5437, 0x5441, 0x5450, 0x5453, 0x5460, 0x8901, 0x8903, 0x8906, 0x8910, 0x8913,
    0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933, 0x8942, 0x894b, 0x8970,
    0x40045431, 0x40045436, 0x40049409, 0x4020940d, 0x402c542b, 0x402c542d, 0x80045200, 0x80045430,
    0x80045432, 0x80045438, 0x80045440, 0x80086601, 0x80087601, 0x801c581f, 0x802c542a, 0x40086602,
    /* flags, personality, all ones */
    0x20022, 0x100032, 0x10032, 0x50f00, 0x1200011, 0x4111, 0x20000000, 0x80001, 0x80802, 0x40000,
    0xffffffff, 0xffffffffffffffff};

#define VALUES_MAX 1024

struct values {
    uint64_t value[VALUES_MAX];
    size_t count;
};

static void add_value(struct values *values, uint64_t value)
{
    assert_true(values->count < VALUES_MAX);
    values->value[values->count++] = value;
}

static void make_values(struct values *values)
{
    for (size_t i = 0; i < array_length(interesting); i++) {
        add_value(values, interesting[i]);
        add_value(values, interesting[i] + 1);
        add_value(values, interesting[i] - 1);
        add_value(values, interesting[i] | 1ULL << 32);
        add_value(values, interesting[i] | 0xdeadbeefULL << 32);
    }
    for (unsigned bit = 0; bit < 64; bit++)
        add_value(values, 1ULL << bit);
}

/* Values for combinations: one for each way in which an argument can matter. */
static const uint64_t focus[] = {0,
                                 1,
                                 2,
                                 3,
                                 5,
                                 7,
                                 10,
                                 16,
                                 0x20,
                                 959,
                                 960,
                                 1023,
                                 1024,
                                 0x1000003c0,
                                 0x101000,
                                 0x10103f,
                                 0x101040,
                                 0x17ffff,
                                 0x180000,
                                 0x100101000,
                                 0x4000000000101000,
                                 0x7f0000000000,
                                 0x80002,
                                 0x80801,
                                 0x80805,
                                 0x100000,
                                 0x100032,
                                 0x200,
                                 0x10200,
                                 0x20000000,
                                 1030,
                                 0x5401,
                                 0x5412,
                                 0x8912,
                                 0x541b,
                                 0xffffffff,
                                 UINT64_MAX};

static void check_one(const struct filter_config *config, const struct sock_fprog *program,
                      const struct seccomp_data *data)
{
    uint32_t expected = reference_verdict(config, data);
    uint32_t verdict = 0;

    assert_int_equal(bpf_evaluate(program, data, &verdict, NULL), 0);
    if (verdict == expected)
        return;
    fail_msg("call %d arch %x args %llx %llx %llx %llx %llx: verdict %x, expected %x "
             "(net %d, rules %d, identity %d, ipc %d, unix %d)",
             data->nr, data->arch, data->args[0], data->args[1], data->args[2], data->args[3],
             data->args[4], verdict, expected, config->net, config->net_rules,
             config->virtual_identity, config->ipc_isolated, config->unix_isolated);
}

static struct seccomp_data call_of(int nr)
{
    return (struct seccomp_data){.nr = nr, .arch = AUDIT_ARCH_X86_64};
}

static bool is_checked(int nr)
{
    const struct abi_syscall *call = abi_syscall_by_nr(nr);

    return call && call->disposition == ABI_DISPOSITION_CHECKED;
}

/* Every value in every argument, the others 0. */
static void check_single_arguments(const struct filter_config *config,
                                   const struct sock_fprog *program, const struct values *values,
                                   int nr)
{
    for (unsigned argument = 0; argument < 6; argument++) {
        for (size_t i = 0; i < values->count; i++) {
            struct seccomp_data data = call_of(nr);

            data.args[argument] = values->value[i];
            check_one(config, program, &data);
        }
    }
}

/* Every pair of focus values in every pair of arguments. */
static void check_pairs(const struct filter_config *config, const struct sock_fprog *program,
                        int nr)
{
    for (unsigned pair = 0; pair < 25; pair++) {
        for (size_t i = 0; i < array_length(focus) * array_length(focus); i++) {
            struct seccomp_data data = call_of(nr);

            data.args[pair / 5] = focus[i / array_length(focus)];
            data.args[pair % 5] = focus[i % array_length(focus)];
            check_one(config, program, &data);
        }
    }
}

static void check_random_arguments(const struct filter_config *config,
                                   const struct sock_fprog *program, const struct values *values,
                                   int nr)
{
    for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
        struct seccomp_data data = call_of(nr);

        for (unsigned argument = 0; argument < 6; argument++) {
            data.args[argument] = rand() & 1 ? focus[(size_t)rand() % array_length(focus)]
                                             : values->value[(size_t)rand() % values->count];
        }
        check_one(config, program, &data);
    }
}

static void test_every_call_follows_table_and_rules(void **state)
{
    struct values *values = calloc(1, sizeof(*values));

    (void)state;
    assert_non_null(values);
    make_values(values);
    srand(1);
    for (unsigned bits = 0; bits < ALL_CONFIGS; bits++) {
        struct filter_config config = config_of(bits);
        cleanup_filter struct sock_fprog program = built(&config);

        for (int nr = 0; nr <= LAST_NUMBER; nr++) {
            struct seccomp_data data = call_of(nr);

            check_one(&config, &program, &data);
            if (!is_checked(nr))
                continue;
            check_single_arguments(&config, &program, values, nr);
            check_random_arguments(&config, &program, values, nr);
            if (bits == 0 || bits == ALL_CONFIGS - 1)
                check_pairs(&config, &program, nr);
        }
    }
    free(values);
}

/* Calls that are not checked must not depend on arguments at all. */
static void test_plain_calls_ignore_arguments(void **state)
{
    struct filter_config config = config_of(0);
    cleanup_filter struct sock_fprog program = built(&config);

    (void)state;
    for (int nr = 0; nr <= LAST_NUMBER; nr++) {
        struct seccomp_data data = call_of(nr);

        if (is_checked(nr))
            continue;
        for (size_t i = 0; i < array_length(focus); i++) {
            for (unsigned argument = 0; argument < 6; argument++)
                data.args[argument] = focus[i];
            check_one(&config, &program, &data);
        }
    }
}

static uint32_t verdict_of(const struct sock_fprog *program, int nr, uint32_t arch)
{
    const struct seccomp_data data = {.nr = nr, .arch = arch};
    uint32_t verdict = 0;

    assert_int_equal(bpf_evaluate(program, &data, &verdict, NULL), 0);
    return verdict;
}

static void test_foreign_numbers(void **state)
{
    struct filter_config config = config_of(0);
    cleanup_filter struct sock_fprog program = built(&config);

    (void)state;
    for (int nr = 0; nr <= LAST_NUMBER; nr++) {
        uint32_t x32 = 0x40000000u + (uint32_t)nr;

        assert_int_equal(verdict_of(&program, (int)x32, AUDIT_ARCH_X86_64), FAIL(ENOSYS));
        assert_int_equal(verdict_of(&program, nr, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS);
        assert_int_equal(verdict_of(&program, nr, AUDIT_ARCH_AARCH64), SECCOMP_RET_KILL_PROCESS);
    }
    assert_int_equal(verdict_of(&program, -1, AUDIT_ARCH_X86_64), FAIL(ENOSYS));
    assert_int_equal(verdict_of(&program, INT32_MIN, AUDIT_ARCH_X86_64), FAIL(ENOSYS));
}

/* The table must have these calls checked: a slip there would be a way to change the R page. */
static void test_loader_page_is_protected(void **state)
{
    static const struct {
        int nr, error;
    } calls[] = {
        {ABI_NR_munmap, EPERM},  {ABI_NR_mprotect, ENOMEM}, {ABI_NR_pkey_mprotect, ENOMEM},
        {ABI_NR_mremap, EFAULT}, {ABI_NR_madvise, ENOMEM},  {ABI_NR_remap_file_pages, EINVAL},
    };
    struct filter_config config = config_of(ALL_CONFIGS - 1);
    cleanup_filter struct sock_fprog program = built(&config);

    (void)state;
    for (size_t i = 0; i < array_length(calls); i++) {
        struct seccomp_data data = call_of(calls[i].nr);
        uint32_t verdict = 0;

        data.args[0] = FILTER_LOADER_STRING & ~0xfffULL;
        assert_int_equal(bpf_evaluate(&program, &data, &verdict, NULL), 0);
        assert_int_equal(verdict, FAIL(calls[i].error));
    }
    for (int nr = 0; nr < PK_NR_LIMIT; nr++) {
        const struct abi_syscall *call = abi_syscall_by_nr(nr);
        bool writes_elsewhere = nr == ABI_NR_userfaultfd || nr == ABI_NR_process_vm_writev ||
                                nr == ABI_NR_ptrace || nr == ABI_NR_process_madvise ||
                                nr == ABI_NR_uselib;

        if (call && writes_elsewhere)
            assert_int_not_equal(call->disposition, ABI_DISPOSITION_NATIVE);
    }
}

/*
 * What the kernel does at installation to find calls that are always allowed (kernel/seccomp.c,
 * seccomp_is_const_allow): follow the program as long as only number and architecture are needed.
 */
static bool is_constant_allow(const struct sock_fprog *program, int nr)
{
    const struct seccomp_data data = call_of(nr);
    uint32_t verdict = 0;

    for (unsigned at = 0; at < program->len; at++) {
        const struct sock_filter *step = &program->filter[at];

        if (BPF_CLASS(step->code) == BPF_RET)
            return step->k == SECCOMP_RET_ALLOW;
        if (step->code == (BPF_LD | BPF_W | BPF_ABS)) {
            if (step->k != offsetof(struct seccomp_data, nr) &&
                step->k != offsetof(struct seccomp_data, arch))
                return false;
            verdict = step->k ? data.arch : (uint32_t)data.nr;
        } else if (step->code == (BPF_JMP | BPF_JA)) {
            at += step->k;
        } else if (step->code == (BPF_JMP | BPF_JGE | BPF_K)) {
            at += verdict >= step->k ? step->jt : step->jf;
        } else if (step->code == (BPF_JMP | BPF_JEQ | BPF_K)) {
            at += verdict == step->k ? step->jt : step->jf;
        } else {
            return false;
        }
    }
    return false;
}

static void test_native_calls_are_constant(void **state)
{
    struct filter_config config = config_of(0);
    cleanup_filter struct sock_fprog program = built(&config);

    (void)state;
    for (int nr = 0; nr < PK_NR_LIMIT; nr++) {
        const struct abi_syscall *call = abi_syscall_by_nr(nr);

        if (call && call->disposition == ABI_DISPOSITION_NATIVE)
            assert_true(is_constant_allow(&program, nr));
        else if (call && call->disposition != ABI_DISPOSITION_CHECKED)
            assert_false(is_constant_allow(&program, nr));
    }
    assert_true(is_constant_allow(&program, ABI_NR_getuid));
    config.virtual_identity = true;
    filter_free(&program);
    program = built(&config);
    assert_false(is_constant_allow(&program, ABI_NR_getuid));
}

static unsigned cost_of(const struct sock_fprog *program, int nr)
{
    struct seccomp_data data = call_of(nr);
    uint32_t verdict = 0;
    unsigned executed = 0;

    data.args[0] = 3;
    data.args[3] = MAP_PRIVATE | MAP_ANONYMOUS;
    assert_int_equal(bpf_evaluate(program, &data, &verdict, &executed), 0);
    assert_int_equal(verdict, NATIVE);
    return executed;
}

static void test_size_and_cost(void **state)
{
    static const int hot[] = {ABI_NR_read,     ABI_NR_write, ABI_NR_pread64,
                              ABI_NR_pwrite64, ABI_NR_readv, ABI_NR_writev};

    (void)state;
    for (unsigned bits = 0; bits < ALL_CONFIGS; bits++) {
        struct filter_config config = config_of(bits);
        cleanup_filter struct sock_fprog program = {0};
        unsigned longest = 0;

        assert_int_equal(filter_build(&config, &program, &longest), 0);
        assert_true(program.len < BPF_MAXINSNS);
        assert_true(longest < 60);
        for (size_t i = 0; i < array_length(hot); i++)
            assert_true(cost_of(&program, hot[i]) <= 14);
        if (bits == 0)
            print_message("%u instructions, longest way %u; read %u, pread64 %u, mmap %u, "
                          "sendmsg %u\n",
                          program.len, longest, cost_of(&program, ABI_NR_read),
                          cost_of(&program, ABI_NR_pread64), cost_of(&program, ABI_NR_mmap),
                          cost_of(&program, ABI_NR_sendmsg));
    }
}

static void test_facts(void **state)
{
    const struct pk_config config = {.net = PK_NET_HOST, .ipc_isolated = true};
    struct trap_filter_facts facts = {0};
    struct filter_config filter;
    cleanup_filter struct sock_fprog program = {0};

    (void)state;
    trap_filter_facts(&config, &facts);
    filter_config_of(&config, FILTER_WINDOW_BASE, &filter);
    program = built(&filter);
    assert_int_equal(facts.instructions, program.len);
    assert_int_equal(facts.longest_path, bpf_longest_path(&program));
    assert_int_equal(filter.net, PK_NET_HOST);
    assert_true(filter.ipc_isolated && !filter.unix_isolated && !filter.virtual_identity);
}

static void test_impossible_configurations(void **state)
{
    struct sock_fprog program = {.len = 77};
    struct filter_config config;

    (void)state;
    config = config_of(0);
    config.window_base = 0; /* standard input in the window */
    assert_int_equal(filter_build(&config, &program, NULL), -EINVAL);
    config = config_of(0);
    config.window_size = 0;
    assert_int_equal(filter_build(&config, &program, NULL), -EINVAL);
    config = config_of(0);
    config.window_base = INT32_MAX;
    assert_int_equal(filter_build(&config, &program, NULL), -EINVAL);
    config = config_of(0);
    config.loader_limit = 1ULL << 32;
    assert_int_equal(filter_build(&config, &program, NULL), -EINVAL);
    config = config_of(0);
    config.loader_string = config.loader_limit - 1; /* not protected to its end */
    assert_int_equal(filter_build(&config, &program, NULL), -EINVAL);
    assert_int_equal(program.len, 77);
}

/*
 * On the host: nobody listens here, so a notification is replaced by an errno no call gives.
 */
#define TOLD ENOANO

static void install(void)
{
    struct filter_config config = config_of(0);
    struct sock_fprog program = built(&config);

    for (unsigned i = 0; i < program.len; i++) {
        if (program.filter[i].code == (BPF_RET | BPF_K) && program.filter[i].k == SERVE)
            program.filter[i].k = FAIL(TOLD);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        _exit(77); /* seccomp is forbidden here */
}

/* Runs `body` in a child; returns its wait status. */
static int in_child(void (*body)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0};

        setrlimit(RLIMIT_CORE, &none);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("seccomp filters cannot be installed here");
    return status;
}

#define EXPECT(condition)             \
    do {                              \
        if (!(condition))             \
            _exit(__LINE__ % 70 + 1); \
    } while (0)

#define FAILS(errnum, ...) (syscall(__VA_ARGS__) == -1 && errno == (errnum))

static void try_calls(void)
{
    char byte;

    install();
    EXPECT(syscall(SYS_getppid) > 0);
    EXPECT(FAILS(EBADF, SYS_read, 900L, &byte, 1L));
    EXPECT(FAILS(TOLD, SYS_read, (long)WINDOW_BASE, &byte, 1L));
    EXPECT(FAILS(TOLD, SYS_read, 0x500000000L | WINDOW_BASE, &byte, 1L));
    EXPECT(FAILS(TOLD, SYS_dup2, 0L, (long)WINDOW_BASE + 63));
    EXPECT(FAILS(EBADF, SYS_dup2, 900L, (long)WINDOW_BASE + 64));
    EXPECT(FAILS(TOLD, SYS_openat, -100L, "/", 0L, 0L));
    EXPECT(FAILS(TOLD, SYS_ptrace, 0L, 0L, 0L, 0L));
    EXPECT(FAILS(ENOSYS, 435L /* clone3 */, &byte, 0L));
    EXPECT(FAILS(ENOSYS, 0x40000000L + SYS_getppid));
    EXPECT(FAILS(ENOSYS, 2000L));
    EXPECT(FAILS(TOLD, SYS_prctl, (long)LOADER_OPTION, 0L, 0L, 0L, 0L));
    EXPECT(FAILS(EPERM, SYS_ioctl, 0L, (long)TIOCSTI, &byte));
    EXPECT(FAILS(EPERM, SYS_ioctl, 0L, 0x700000000L | TIOCSTI, &byte));
    EXPECT(FAILS(EPERM, SYS_clone, (long)CLONE_NEWUSER | SIGCHLD, 0L, 0L, 0L, 0L));
}

static void try_execve(void)
{
    static const char *const argv[] = {"x", NULL};

    install();
    EXPECT(FAILS(TOLD, SYS_execve, "/bin/true", argv, argv));
    EXPECT(FAILS(TOLD, SYS_execveat, -100L, FILTER_LOADER_STRING, argv, argv, 0L));
    EXPECT(FAILS(TOLD, SYS_execve, FILTER_LOADER_STRING - 1L, argv, argv));
    EXPECT(FAILS(TOLD, SYS_execve, FILTER_LOADER_STRING + 64L, argv, argv));
    EXPECT(FAILS(EFAULT, SYS_execve, (long)FILTER_LOADER_STRING, argv, argv));
}

/* Attacks on a page in the loader's place: it is never replaced, changed or absent in a child. */
static void try_loader_page(void)
{
    const long page = FILTER_LOADER_STRING;
    long hint;
    void *at = mmap((void *)page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    EXPECT((long)at == page);
    install();
    EXPECT(FAILS(EPERM, SYS_munmap, page, 4096L));
    EXPECT(FAILS(EPERM, SYS_munmap, page - 4096, 3 * 4096L));
    EXPECT(FAILS(ENOMEM, SYS_mprotect, page, 4096L, (long)PROT_WRITE));
    EXPECT(FAILS(ENOMEM, SYS_madvise, page, 4096L, (long)MADV_DONTFORK));
    EXPECT(FAILS(EFAULT, SYS_mremap, page, 4096L, 4096L, 3L, 0x10000000L));
    EXPECT(FAILS(EPERM, SYS_mremap, 0x10000000L, 4096L, 4096L, 3L, page));
    EXPECT(FAILS(EPERM, SYS_mmap, page, 4096L, 3L, (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED),
                 -1L, 0L));
    EXPECT(FAILS(EINVAL, SYS_munmap, FILTER_LOADER_LIMIT + 0L, -4096L)); /* wraps around */
    hint = syscall(SYS_mmap, page, 4096L, 3L, (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L);
    EXPECT(hint != -1 && hint != page);
    EXPECT(*(volatile char *)page == 0);
}

static void try_i386(void)
{
    long result;

    install();
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid */) : "memory");
    _exit(1);
}

static void test_host_agrees(void **state)
{
    (void)state;
    assert_int_equal(in_child(try_calls), 0);
    assert_int_equal(in_child(try_execve), 0);
    assert_int_equal(in_child(try_loader_page), 0);
}

/* A kernel built without i386 emulation answers int 0x80 with SIGSEGV: dead in either case. */
static void test_host_kills_i386(void **state)
{
    int status = in_child(try_i386);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_follows_table_and_rules),
        cmocka_unit_test(test_plain_calls_ignore_arguments),
        cmocka_unit_test(test_foreign_numbers),
        cmocka_unit_test(test_loader_page_is_protected),
        cmocka_unit_test(test_native_calls_are_constant),
        cmocka_unit_test(test_size_and_cost),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_impossible_configurations),
        cmocka_unit_test(test_host_agrees),
        cmocka_unit_test(test_host_kills_i386),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

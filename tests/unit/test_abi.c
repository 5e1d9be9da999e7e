/* The system call table, its look-ups, and the texts of argument values. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "abi/call_set.h"
#include "abi/filter_plan.h"
#include "abi/syscalls.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Every call both the table and the host's headers have a name for. */
static const struct {
    const char *name;
    int nr;
} host_numbers[] = {
#include "abi/host_numbers.gen.h"
};

static void test_numbers_match_host(void **state)
{
    (void)state;
    assert_true(COUNT(host_numbers) > 300);
    for (size_t i = 0; i < COUNT(host_numbers); i++) {
        const struct abi_syscall *call = abi_syscall_by_name(host_numbers[i].name);

        assert_non_null(call);
        assert_int_equal(call->nr, host_numbers[i].nr);
        assert_ptr_equal(call, abi_syscall_by_nr(host_numbers[i].nr));
    }
}

static void test_lookup_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        assert_non_null(call);
        assert_ptr_equal(call, abi_syscall_by_nr(call->nr));
        assert_ptr_equal(call, abi_syscall_by_name(call->name));
        assert_true(i == 0 || call->nr > abi_syscall_at(i - 1)->nr);
    }
    assert_null(abi_syscall_at(ABI_SYSCALL_COUNT));
    assert_int_equal(abi_syscall_at(ABI_SYSCALL_COUNT - 1)->nr, ABI_NR_MAX);
    assert_string_equal(abi_syscall_by_nr(ABI_NR_openat)->name, "openat");
}

static void test_holes_and_strangers(void **state)
{
    (void)state;
    for (int nr = 337; nr <= 423; nr++)
        assert_null(abi_syscall_by_nr(nr));
    assert_null(abi_syscall_by_nr(-1));
    assert_null(abi_syscall_by_nr(INT32_MIN));
    assert_null(abi_syscall_by_nr(ABI_NR_MAX + 1));
    assert_null(abi_syscall_by_nr(INT32_MAX));
    assert_null(abi_syscall_by_nr(0x40000000 | ABI_NR_write)); /* x32 */
    assert_null(abi_syscall_by_name(""));
    assert_null(abi_syscall_by_name("opena"));
    assert_null(abi_syscall_by_name("openatt"));
    assert_null(abi_syscall_by_name("zzz"));
}

static void check_disposition(const struct abi_syscall *call)
{
    int value = call->errnum_or_value;

    assert_true((call->disposition == ABI_DISPOSITION_CHECKED) == (call->rule != ABI_RULE_NONE));
    switch (call->disposition) {
    case ABI_DISPOSITION_REFUSED:
        assert_true(strlen(call->note) > 8);
        assert_non_null(abi_errno_name(-value));
        break;
    case ABI_DISPOSITION_FIXED:
        assert_true(strlen(call->note) > 8);
        assert_true(value == 0 || abi_errno_name(-value) != NULL);
        break;
    case ABI_DISPOSITION_MISSING:
        assert_int_equal(value, -ENOSYS);
        break;
    default:
        assert_int_equal(value, 0);
    }
}

static void test_every_record_is_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        assert_true(call->disposition <= ABI_DISPOSITION_REFUSED);
        assert_true(call->rule < ABI_RULE_COUNT);
        assert_true(call->family < ABI_FAMILY_COUNT);
        assert_non_null(call->since);
        assert_non_null(call->note);
        assert_true(call->nargs <= ABI_MAX_ARGS);
        for (unsigned a = 0; a < ABI_MAX_ARGS; a++)
            assert_true((a < call->nargs) ==
                        (call->args[a].name != NULL && call->args[a].kind != ABI_ARG_NONE));
        check_disposition(call);
    }
}

/* A call with a name in guest memory must not reach the host, whatever an edit of the table says.
 */
static void test_no_name_goes_to_the_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        for (unsigned a = 0; a < call->nargs; a++) {
            if (call->args[a].kind == ABI_ARG_PATH)
                assert_true(call->disposition == ABI_DISPOSITION_SERVED ||
                            call->disposition == ABI_DISPOSITION_REFUSED ||
                            call->rule == ABI_RULE_EXECVE);
        }
    }
}

/* The decisions that security rests on, said a second time and by hand. */
static void test_decisions_that_matter(void **state)
{
    static const int never_native[] = {
        ABI_NR_ptrace,
        ABI_NR_process_vm_readv,
        ABI_NR_process_vm_writev,
        ABI_NR_io_uring_setup,
        ABI_NR_io_uring_enter,
        ABI_NR_io_uring_register,
        ABI_NR_bpf,
        ABI_NR_perf_event_open,
        ABI_NR_userfaultfd,
        ABI_NR_clone3,
        ABI_NR_open_by_handle_at,
        ABI_NR_pidfd_getfd,
        ABI_NR_kcmp,
        ABI_NR_mount,
        ABI_NR_move_mount,
        ABI_NR_pivot_root,
        ABI_NR_setns,
        ABI_NR_unshare,
        ABI_NR_keyctl,
        ABI_NR_seccomp,
        ABI_NR_kill,
        ABI_NR_pidfd_send_signal,
        ABI_NR_rt_sigqueueinfo,
        ABI_NR_init_module,
        ABI_NR_finit_module,
        ABI_NR_kexec_load,
    };
    static const int always_native[] = {
        ABI_NR_close,        ABI_NR_close_range, ABI_NR_fork,  ABI_NR_vfork,           ABI_NR_wait4,
        ABI_NR_waitid,       ABI_NR_exit,        ABI_NR_pause, ABI_NR_exit_group,      ABI_NR_futex,
        ABI_NR_rt_sigreturn, ABI_NR_uretprobe,   ABI_NR_brk,   ABI_NR_restart_syscall,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(never_native); i++) {
        enum abi_disposition how = abi_syscall_by_nr(never_native[i])->disposition;

        assert_true(how != ABI_DISPOSITION_NATIVE && how != ABI_DISPOSITION_CHECKED);
    }
    for (size_t i = 0; i < COUNT(always_native); i++)
        assert_int_equal(abi_syscall_by_nr(always_native[i])->disposition, ABI_DISPOSITION_NATIVE);
}

static void test_plan_agrees_with_records(void **state)
{
    (void)state;
    for (int nr = 0; nr <= ABI_NR_MAX; nr++) {
        const struct abi_syscall *call = abi_syscall_by_nr(nr);
        const struct abi_plan_entry *entry = &abi_filter_plan[nr];

        if (call == NULL) {
            assert_int_equal(entry->action, ABI_DISPOSITION_MISSING);
            assert_int_equal(entry->value, -ENOSYS);
            continue;
        }
        assert_int_equal(entry->action, call->disposition);
        assert_int_equal(entry->rule, call->rule);
        assert_int_equal(entry->value, call->errnum_or_value);
    }
}

static void test_calls_of_the_vdso(void **state)
{
    (void)state;
    assert_true(abi_is_in_vdso(ABI_NR_clock_gettime));
    assert_true(abi_is_in_vdso(ABI_NR_getcpu));
    assert_false(abi_is_in_vdso(ABI_NR_nanosleep));
    assert_false(abi_is_in_vdso(-1));
    for (int nr = 0; nr <= ABI_NR_MAX; nr++)
        assert_true(!abi_is_in_vdso(nr) || abi_may_intercept(nr));
}

static void test_words(void **state)
{
    enum abi_family family = ABI_FAMILY_TIME;

    (void)state;
    assert_string_equal(abi_disposition_name(ABI_DISPOSITION_MISSING), "missing");
    assert_string_equal(abi_disposition_name(ABI_DISPOSITION_REFUSED), "refused");
    assert_string_equal(abi_disposition_name((enum abi_disposition)99), "unknown");
    assert_string_equal(abi_rule_name(ABI_RULE_WINDOW02), "window02");
    assert_string_equal(abi_rule_name(ABI_RULE_COUNT), "unknown");
    assert_string_equal(abi_family_name(ABI_FAMILY_SYSTEM), "system");
    assert_string_equal(abi_arg_kind_name(ABI_ARG_OPEN_FLAGS), "open_flags");
    assert_string_equal(abi_arg_kind_name(ABI_ARG_COUNT), "unknown");

    assert_int_equal(abi_family_by_name("files", &family), -ENOENT);
    assert_int_equal(family, ABI_FAMILY_TIME);
    assert_int_equal(abi_family_by_name("net", &family), 0);
    assert_int_equal(family, ABI_FAMILY_NETWORK);
    for (int i = 0; i < ABI_FAMILY_COUNT; i++) {
        assert_int_equal(abi_family_by_name(abi_family_name((enum abi_family)i), &family), 0);
        assert_int_equal(family, i);
    }
}

static void test_errno_names(void **state)
{
    (void)state;
    assert_string_equal(abi_errno_name(ENOENT), "ENOENT");
    assert_string_equal(abi_errno_name(EAGAIN), "EAGAIN");
    assert_string_equal(abi_errno_name(EOPNOTSUPP), "EOPNOTSUPP");
    assert_string_equal(abi_errno_name(512), "ERESTARTSYS");
    assert_null(abi_errno_name(0));
    assert_null(abi_errno_name(41));
    assert_null(abi_errno_name(-ENOENT));
    assert_int_equal(abi_errno_by_name("EHWPOISON"), EHWPOISON);
    assert_int_equal(abi_errno_by_name("EWOULDBLOCK"), EAGAIN);
    assert_int_equal(abi_errno_by_name("ENOTHING"), 0);
    for (int errnum = 1; errnum <= 133; errnum++) {
        if (abi_errno_name(errnum) != NULL)
            assert_int_equal(abi_errno_by_name(abi_errno_name(errnum)), errnum);
    }
}

static void test_signal_names(void **state)
{
    (void)state;
    assert_string_equal(abi_signal_name(9), "SIGKILL");
    assert_string_equal(abi_signal_name(6), "SIGABRT");
    assert_string_equal(abi_signal_name(34), "SIGRTMIN");
    assert_string_equal(abi_signal_name(64), "SIGRTMAX");
    assert_null(abi_signal_name(0));
    assert_null(abi_signal_name(65));
    assert_int_equal(abi_signal_by_name("KILL"), 9);
    assert_int_equal(abi_signal_by_name("SIGCHLD"), 17);
    assert_int_equal(abi_signal_by_name("SIG"), 0);
    assert_int_equal(abi_signal_by_name(""), 0);
    for (int signum = 1; signum <= 64; signum++)
        assert_int_equal(abi_signal_by_name(abi_signal_name(signum)), signum);
}

static void test_format(void **state)
{
    static const struct {
        enum abi_arg_kind kind;
        uint64_t value;
        const char *text;
    } cases[] = {
        {ABI_ARG_OPEN_FLAGS, 0, "O_RDONLY"},
        {ABI_ARG_OPEN_FLAGS, 02000000, "O_RDONLY|O_CLOEXEC"},
        {ABI_ARG_OPEN_FLAGS, 01101, "O_WRONLY|O_CREAT|O_TRUNC"},
        {ABI_ARG_OPEN_FLAGS, 04010002, "O_RDWR|O_SYNC"},
        {ABI_ARG_OPEN_FLAGS, 010002, "O_RDWR|O_DSYNC"},
        {ABI_ARG_OPEN_FLAGS, 020200002, "O_RDWR|O_TMPFILE"},
        {ABI_ARG_OPEN_FLAGS, 0200003, "O_DIRECTORY|0x3"},
        {ABI_ARG_OPEN_FLAGS, 0x40000000, "O_RDONLY|0x40000000"},
        {ABI_ARG_OPEN_FLAGS, 0xffffffff00000000, "O_RDONLY"},
        {ABI_ARG_ACCESS_MODE, 0, "F_OK"},
        {ABI_ARG_ACCESS_MODE, 5, "R_OK|X_OK"},
        {ABI_ARG_DIRFD, 0xffffff9c, "AT_FDCWD"},
        {ABI_ARG_DIRFD, (uint64_t)-100, "AT_FDCWD"},
        {ABI_ARG_DIRFD, 7, "7"},
        {ABI_ARG_AT_FLAGS, 0x1100, "AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH"},
        {ABI_ARG_AT_FLAGS, 0x200, "0x200"},
        {ABI_ARG_AT_UNLINK_FLAGS, 0x200, "AT_REMOVEDIR"},
        {ABI_ARG_AT_ACCESS_FLAGS, 0x200, "AT_EACCESS"},
        {ABI_ARG_PROT, 0, "PROT_NONE"},
        {ABI_ARG_PROT, 5, "PROT_READ|PROT_EXEC"},
        {ABI_ARG_MAP_FLAGS, 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"},
        {ABI_ARG_MAP_FLAGS, 0x20, "MAP_ANONYMOUS"},
        {ABI_ARG_CLONE_FLAGS, 0x4111, "CLONE_VM|CLONE_VFORK|SIGCHLD"},
        {ABI_ARG_CLONE_FLAGS, 0, "0"},
        {ABI_ARG_CLONE_FLAGS, 0x3d0f00,
         "CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|"
         "CLONE_SYSVSEM|CLONE_SETTLS|CLONE_PARENT_SETTID|"
         "CLONE_CHILD_CLEARTID"},
        {ABI_ARG_SIGNAL, 15, "SIGTERM"},
        {ABI_ARG_SIGNAL, 0, "0"},
        {ABI_ARG_SIGNAL, 99, "99"},
        {ABI_ARG_WHENCE, 2, "SEEK_END"},
        {ABI_ARG_WHENCE, 77, "77"},
        {ABI_ARG_SOCKET_DOMAIN, 1, "AF_UNIX"},
        {ABI_ARG_SOCKET_TYPE, 02000001, "SOCK_STREAM|SOCK_CLOEXEC"},
        {ABI_ARG_IOCTL_CMD, 0x5413, "TIOCGWINSZ"},
        {ABI_ARG_IOCTL_CMD, 0xc0186201, "_IOC(_IOC_READ|_IOC_WRITE, 0x62, 0x1, 0x18)"},
        {ABI_ARG_FCNTL_CMD, 1030, "F_DUPFD_CLOEXEC"},
        {ABI_ARG_PRCTL_OP, 15, "PR_SET_NAME"},
        {ABI_ARG_RLIMIT_RESOURCE, 10, "RLIMIT_LOCKS"},
        {ABI_ARG_RUSAGE_WHO, (uint64_t)-1, "RUSAGE_CHILDREN"},
        {ABI_ARG_MSG_FLAGS, 0x4000, "MSG_NOSIGNAL"},
        {ABI_ARG_MSG_FLAGS, 0, "0"},
        {ABI_ARG_FUTEX_OP, 128, "FUTEX_WAIT_PRIVATE"},
        {ABI_ARG_FUTEX_OP, 0x189, "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME"},
        {ABI_ARG_MODE, 0644, "0644"},
        {ABI_ARG_MODE, 0, "000"},
        {ABI_ARG_MODE, 7, "007"},
        {ABI_ARG_FILE_MODE, 0100644, "S_IFREG|0644"},
        {ABI_ARG_FILE_MODE, 0041777, "S_IFDIR|S_ISVTX|0777"},
        {ABI_ARG_FILE_MODE, 0600, "0600"},
        {ABI_ARG_PIPE_FLAGS, 02004000, "O_NONBLOCK|O_CLOEXEC"},
        {ABI_ARG_SOCKET_FLAGS, 02004000, "SOCK_CLOEXEC|SOCK_NONBLOCK"},
        {ABI_ARG_EVENTFD_FLAGS, 1, "EFD_SEMAPHORE"},
        {ABI_ARG_AT_STATX_FLAGS, 0, "AT_STATX_SYNC_AS_STAT"},
        {ABI_ARG_AT_STATX_FLAGS, 0x4100, "AT_STATX_DONT_SYNC|AT_SYMLINK_NOFOLLOW"},
        {ABI_ARG_STATX_MASK, 0xfff, "STATX_ALL"},
        {ABI_ARG_IPC_FLAGS, 01600, "IPC_CREAT|0600"},
        {ABI_ARG_IPC_KEY, 0, "IPC_PRIVATE"},
        {ABI_ARG_CAPABILITY, 21, "CAP_SYS_ADMIN"},
        {ABI_ARG_RESOLVE_FLAGS, 0x11, "RESOLVE_NO_XDEV|RESOLVE_IN_ROOT"},
        {ABI_ARG_INT, 0xffffffff, "-1"},
        {ABI_ARG_UINT, (uint64_t)-1, "4294967295"},
        {ABI_ARG_UID, 0xffffffff, "-1"},
        {ABI_ARG_UID, 65534, "65534"},
        {ABI_ARG_OFF, (uint64_t)-5, "-5"},
        {ABI_ARG_SIZE, UINT64_MAX, "18446744073709551615"},
        {ABI_ARG_HEX, 0, "0"},
        {ABI_ARG_HEX, 255, "0xff"},
        {ABI_ARG_DEV, 0x0103, "makedev(0x1, 0x3)"},
        {ABI_ARG_PATH, 0, "NULL"},
        {ABI_ARG_PTR, 0x7fff0000, "0x7fff0000"},
        {ABI_ARG_NONE, 5, ""},
    };
    char out[512];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t length = abi_format_flags(cases[i].kind, cases[i].value, out, sizeof(out));

        assert_string_equal(out, cases[i].text);
        assert_int_equal(length, strlen(cases[i].text));
    }
}

/* Whatever the room, the text is a terminated beginning of the whole and nothing is overrun. */
static void test_format_truncates(void **state)
{
    static const char whole[] = "O_WRONLY|O_CREAT|O_TRUNC";
    char out[64];

    (void)state;
    for (size_t size = 0; size <= sizeof(whole) + 3; size++) {
        size_t fits = size == 0 ? 0 : (size - 1 < strlen(whole) ? size - 1 : strlen(whole));

        memset(out, '#', sizeof(out));
        assert_int_equal(abi_format_flags(ABI_ARG_OPEN_FLAGS, 01101, size > 0 ? out : NULL, size),
                         strlen(whole));
        assert_memory_equal(out, whole, fits);
        if (size > 0)
            assert_int_equal(out[fits], '\0');
        for (size_t i = size; i < sizeof(out); i++)
            assert_int_equal(out[i], '#');
    }
}

/* Every kind and every bit yields a text that is not empty. */
static void test_format_all_kinds(void **state)
{
    char out[2048];

    (void)state;
    for (int kind = ABI_ARG_NONE + 1; kind < ABI_ARG_COUNT; kind++) {
        for (int bit = -1; bit < 64; bit++) {
            uint64_t value = bit < 0 ? UINT64_MAX : UINT64_C(1) << bit;
            size_t length = abi_format_flags((enum abi_arg_kind)kind, value, out, sizeof(out));

            assert_true(length > 0 && length < sizeof(out));
            assert_int_equal(strlen(out), length);
        }
    }
}

static void parse_set(const char *text, struct abi_call_set *set)
{
    struct base_error error = {0};

    assert_int_equal(abi_call_set_parse(text, "--trace", set, NULL, &error), 0);
}

static void test_call_sets(void **state)
{
    struct abi_call_set set, named;

    (void)state;
    parse_set("openat,?nonsense,0", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_openat) && abi_call_set_has(&set, ABI_NR_read));
    assert_false(abi_call_set_has(&set, ABI_NR_open));
    parse_set("%file", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_openat) && abi_call_set_has(&set, ABI_NR_execve));
    assert_false(abi_call_set_has(&set, ABI_NR_read));
    parse_set("network", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_connect));
    assert_false(abi_call_set_has(&set, ABI_NR_openat));
    parse_set("%desc", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_read) && abi_call_set_has(&set, ABI_NR_openat));
    assert_false(abi_call_set_has(&set, ABI_NR_stat));
    parse_set("%%stat,%statfs", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_statx) && abi_call_set_has(&set, ABI_NR_statfs));
    assert_false(abi_call_set_has(&set, ABI_NR_fstatfs));
    parse_set("!%file,read", &set);
    assert_false(abi_call_set_has(&set, ABI_NR_openat) || abi_call_set_has(&set, ABI_NR_read));
    assert_true(abi_call_set_has(&set, ABI_NR_write));
    assert_true(abi_call_set_has(&set, 500)); /* a number without a name */
    parse_set("/^mk(dir|nod)(at)?$", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_mkdir) && abi_call_set_has(&set, ABI_NR_mknodat));
    assert_false(abi_call_set_has(&set, ABI_NR_rmdir));
    parse_set("none", &set);
    assert_false(abi_call_set_has(&set, ABI_NR_open));
    parse_set("all", &set);
    assert_true(abi_call_set_has(&set, ABI_NR_open));
    assert_int_equal(abi_call_set_parse("%file,read", "x", &set, &named, NULL), 0);
    assert_true(abi_call_set_has(&named, ABI_NR_read) && !abi_call_set_has(&named, ABI_NR_open));
    assert_false(abi_call_set_has(&set, -1) || abi_call_set_has(&set, ABI_CALL_SET_NUMBERS));
}

static void test_call_sets_that_are_wrong(void **state)
{
    static const char *const wrong[] = {"",   "opne",  "%flie", "open,", ",open", "!",
                                        "/(", "/^zzz", "999",   "-1",    "%",     "open openat"};
    char long_word[600];

    (void)state;
    memset(long_word, 'a', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    for (size_t i = 0; i <= COUNT(wrong); i++) {
        const char *text = i < COUNT(wrong) ? wrong[i] : long_word;
        struct abi_call_set set = {.bits = {42}};
        struct base_error error = {0};

        assert_int_equal(abi_call_set_parse(text, "--trace", &set, NULL, &error), -EINVAL);
        assert_int_equal(error.code, EINVAL);
        assert_true(strncmp(error.sentence, "--trace: ", 9) == 0 && error.hint[0]);
        assert_int_equal(set.bits[0], 42);
    }
}

static void test_what_can_be_injected_into(void **state)
{
    (void)state;
    assert_true(abi_may_inject(ABI_NR_openat) && abi_may_inject(ABI_NR_read));
    assert_true(abi_may_inject(ABI_NR_mmap));
    assert_false(abi_may_inject(ABI_NR_close) || abi_may_inject(ABI_NR_fork));
    assert_false(abi_may_inject(ABI_NR_pause) || abi_may_inject(ABI_NR_exit_group));
    assert_false(abi_may_inject(-1) || abi_may_inject(400));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_match_host),
        cmocka_unit_test(test_lookup_both_ways),
        cmocka_unit_test(test_holes_and_strangers),
        cmocka_unit_test(test_every_record_is_complete),
        cmocka_unit_test(test_no_name_goes_to_the_host),
        cmocka_unit_test(test_decisions_that_matter),
        cmocka_unit_test(test_plan_agrees_with_records),
        cmocka_unit_test(test_calls_of_the_vdso),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_errno_names),
        cmocka_unit_test(test_signal_names),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_truncates),
        cmocka_unit_test(test_format_all_kinds),
        cmocka_unit_test(test_call_sets),
        cmocka_unit_test(test_call_sets_that_are_wrong),
        cmocka_unit_test(test_what_can_be_injected_into),
    };

    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}

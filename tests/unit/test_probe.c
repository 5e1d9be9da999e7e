/* Probing the host, and the sentences for what is missing. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "trap/trap.h"

static struct trap_features complete(void)
{
    return (struct trap_features){
        .user_notification = true,
        .pidfd_getfd = true,
        .process_vm = true,
        .seize = true,
        .context_limit = true,
        .kernel_major = 6,
        .kernel_minor = 1,
        .yama_scope = -1,
    };
}

static void expect_sentence(const struct trap_features *features, int code, const char *sentence,
                            const char *hint)
{
    struct base_error error = {0};

    assert_int_equal(trap_check_features(features, &error), -code);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.sentence, sentence));
    assert_non_null(strstr(error.hint, hint));
    /* Neither was cut off. */
    assert_true(strlen(error.sentence) < sizeof(error.sentence) - 1);
    assert_true(strlen(error.hint) < sizeof(error.hint) - 1);
}

static void test_complete_host(void **state)
{
    struct trap_features features = complete();
    struct base_error error = {0};

    (void)state;
    assert_int_equal(trap_check_features(&features, &error), 0);
    assert_int_equal(error.code, 0);
    features.kernel_major = 5; /* what works is not refused for its number */
    features.kernel_minor = 4;
    assert_int_equal(trap_check_features(&features, NULL), 0);
}

static void test_missing_notification(void **state)
{
    struct trap_features features = complete();

    (void)state;
    features.user_notification = false;
    features.notification_error = -EBUSY;
    expect_sentence(&features, EBUSY, "another program", "outside of that program");
    features.notification_error = -EPERM;
    expect_sentence(&features, EPERM, "cannot be installed", "seccomp=unconfined");
    features.notification_error = -ENOSYS;
    expect_sentence(&features, ENOSYS, "Linux 6.1", "CONFIG_SECCOMP_FILTER");
    features.notification_error = -EAGAIN;
    expect_sentence(&features, EAGAIN, "could not be probed", "ulimit -u");
    features.kernel_major = 4;
    features.kernel_minor = 19;
    features.notification_error = -EINVAL;
    expect_sentence(&features, ENOSYS, "runs Linux 4.19, and Linux 5.10", "newer kernel");
}

static void test_missing_ptrace(void **state)
{
    struct trap_features features = complete();

    (void)state;
    features.process_vm = false;
    features.process_vm_error = -EPERM;
    features.yama_scope = 2;
    expect_sentence(&features, EPERM, "reading the memory", "sysctl kernel.yama.ptrace_scope=1");
    features.yama_scope = 3;
    expect_sentence(&features, EPERM, "ptrace_scope is 3", "reboot");
    features.yama_scope = 1;
    expect_sentence(&features, EPERM, "Operation not permitted", "--cap-add SYS_PTRACE");
    features = complete();
    features.seize = false;
    features.seize_error = -EPERM;
    expect_sentence(&features, EPERM, "ptrace of a child", "profile");
    features = complete();
    features.pidfd_getfd = false;
    features.pidfd_getfd_error = -EPERM; /* a container: guests send their descriptors */
    assert_int_equal(trap_check_features(&features, NULL), 0);
}

static void test_missing_context_limit(void **state)
{
    struct trap_features features = complete();

    (void)state;
    features.context_limit = false;
    features.context_limit_error = -ERANGE;
    expect_sentence(&features, ERANGE, "RLIMIT_LOCKS", "ulimit -Hx");
}

/* Facts that must agree with each other on whatever host this runs. */
static void test_probe_this_host(void **state)
{
    struct trap_features features = {0};
    struct utsname names;
    char version[64];
    int status;

    (void)state;
    assert_int_equal(trap_probe(&features), 0);
    assert_int_equal(uname(&names), 0);
    snprintf(version, sizeof(version), "%u.%u", features.kernel_major, features.kernel_minor);
    assert_memory_equal(names.release, version, strlen(version));
    assert_int_equal(features.user_notification, features.notification_error == 0);
    assert_int_equal(features.pidfd_getfd, features.pidfd_getfd_error == 0);
    assert_int_equal(features.process_vm, features.process_vm_error == 0);
    assert_int_equal(features.seize, features.seize_error == 0);
    assert_int_equal(features.context_limit, features.context_limit_error == 0);
    assert_true(features.filter_length > 100 && features.filter_length < 4096);
    if (features.sync_wake_up || features.addfd_send)
        assert_true(features.user_notification && features.pidfd_getfd);
    /* No child is left behind. */
    assert_int_equal(waitpid(-1, &status, __WALL | WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_probe_leaves_nothing_open(void **state)
{
    struct trap_features features;
    int before = open_descriptors();

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(trap_probe(&features), 0);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete_host),   cmocka_unit_test(test_missing_notification),
        cmocka_unit_test(test_missing_ptrace),  cmocka_unit_test(test_missing_context_limit),
        cmocka_unit_test(test_probe_this_host), cmocka_unit_test(test_probe_leaves_nothing_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

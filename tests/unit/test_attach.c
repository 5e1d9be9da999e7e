/*
 * Attaching through the C library, to real processes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "attach/attach-internal.h"
#include "cerebro/process_kernel.h"

#define CYCLES 1000

static process_kernel_t *create(void)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "test");

    assert_non_null(kernel);
    return kernel;
}

static void must(int r)
{
    if (r != 0)
        fail_msg("%d: %s (%s)", r, pk_last_error(), pk_last_hint());
}

/* Starts the program of tests/host/attach-target.c and waits until it is ready. */
static pid_t start_target(const char *mode)
{
    char path[PATH_MAX];
    char text[8];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 20);
    int ends[2];
    pid_t pid;

    assert_true(length > 0);
    path[length] = '\0';
    *strrchr(path, '/') = '\0';
    strncat(path, "/attach-target", sizeof(path) - strlen(path) - 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        dup2(ends[1], STDOUT_FILENO);
        execl(path, path, mode, NULL);
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], text, sizeof(text)), 6);
    close(ends[0]);
    return pid;
}

static int end_target(pid_t pid, int number)
{
    int status = -1;

    if (number)
        kill(pid, number);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- handlers ---- */

static atomic_uint seen;

static long count(struct pk_call *call, void *user)
{
    (void)user;
    atomic_fetch_add(&seen, 1);
    return pk_call_forward(call);
}

static void await_more(unsigned than)
{
    for (int i = 0; atomic_load(&seen) <= than; i++) {
        assert_true(i < 10000);
        usleep(1000);
    }
}

static void test_handlers_see_all_threads(void **state)
{
    process_kernel_t *kernel = create();
    pk_statistics_t stats = {.size = sizeof(stats)};
    pid_t pid = start_target("busy");
    int status = 0;

    (void)state;
    atomic_store(&seen, 0);
    must(pk_set_handler(kernel, SYS_getppid, count, NULL));
    must(pk_attach(kernel, pid));
    await_more(1000);
    pk_get_stats(kernel, &stats);
    assert_true(stats.syscalls_intercepted > 1000);
    assert_true(stats.served > 1000);
    must(pk_detach(kernel));
    must(pk_wait(kernel, &status));
    assert_int_equal(status, -1);
    assert_int_equal(pk_detach(kernel), -ESRCH);
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

static atomic_uint events[8];

static void on_event(const pk_event_t *event, void *user)
{
    (void)user;
    atomic_fetch_add(&events[event->type], 1);
}

static void test_end_of_the_target_is_told(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");
    int status = 0;

    (void)state;
    must(pk_set_handler(kernel, SYS_getppid, count, NULL));
    must(pk_set_event_handler(kernel, on_event, NULL));
    must(pk_attach(kernel, pid));
    must(pk_signal(kernel, SIGKILL));
    must(pk_wait(kernel, &status));
    assert_int_equal(status, SIGKILL);
    assert_int_equal(events[PK_EVENT_STARTED], 1);
    assert_int_equal(events[PK_EVENT_ENDED], 1);
    assert_int_equal(events[PK_EVENT_DETACHED], 0);
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, 0), SIGKILL);
}

/* Holds the call until it is detached. */
static atomic_int gate;

static long hold(struct pk_call *call, void *user)
{
    (void)user;
    atomic_fetch_add(&seen, 1);
    while (atomic_load(&gate))
        usleep(1000);
    return pk_call_native(call);
}

static void test_detaching_frees_held_calls(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");

    (void)state;
    atomic_store(&seen, 0);
    atomic_store(&gate, 1);
    must(pk_set_handler_timeout(kernel, 0));
    must(pk_set_handler(kernel, SYS_getppid, hold, NULL));
    must(pk_attach(kernel, pid));
    await_more(3);
    must(pk_detach(kernel));
    assert_int_equal(end_target(pid, SIGTERM), 0);
    atomic_store(&gate, 0);
    pk_destroy(kernel);
}

static unsigned count_entries(const char *format, pid_t pid)
{
    char path[64];
    unsigned entries = 0;
    DIR *directory;

    snprintf(path, sizeof(path), format, pid);
    directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        entries++;
    closedir(directory);
    return entries;
}

static unsigned memory_of(pid_t pid)
{
    struct target target;

    assert_int_equal(target_read(pid, &target), 0);
    return (unsigned)(target.memory / 4096);
}

/* What an attachment must not leave behind, here and in the target. */
struct belongings {
    unsigned own_descriptors, own_threads, descriptors, threads, pages;
};

static struct belongings count_belongings(pid_t pid)
{
    return (struct belongings){.own_descriptors = count_entries("/proc/%d/fd", getpid()),
                               .own_threads = count_entries("/proc/%d/task", getpid()),
                               .descriptors = count_entries("/proc/%d/fd", pid),
                               .threads = count_entries("/proc/%d/task", pid),
                               .pages = memory_of(pid)};
}

/* Threads end a moment after their kernel. The target has a descriptor open now and then. */
static void nothing_is_left(pid_t pid, const struct belongings *before)
{
    struct belongings now;

    kill(pid, SIGSTOP);
    for (int i = 0; i < 1000; i++) {
        now = count_belongings(pid);
        if (now.own_threads <= before->own_threads &&
            now.own_descriptors <= before->own_descriptors)
            break;
        usleep(1000);
    }
    kill(pid, SIGCONT);
    assert_true(now.own_threads <= before->own_threads);
    assert_true(now.own_descriptors <= before->own_descriptors);
    assert_true(now.threads <= before->threads);
    assert_true(now.descriptors <= before->descriptors + 4);
    assert_true(now.pages <= before->pages);
}

static void test_many_cycles(void **state)
{
    pid_t pid = start_target("busy");
    struct belongings before = count_belongings(pid);

    (void)state;
    for (int i = 0; i < CYCLES; i++) {
        process_kernel_t *kernel = create();

        atomic_store(&seen, 0);
        must(pk_set_handler(kernel, SYS_getppid, count, NULL));
        must(pk_attach(kernel, pid));
        if (i % 16 == 0)
            await_more(10);
        if (i % 2)
            must(pk_detach(kernel));
        pk_destroy(kernel);
    }
    nothing_is_left(pid, &before);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

static atomic_int in_handler;

static long take_a_while(struct pk_call *call, void *user)
{
    atomic_fetch_add(&in_handler, 1);
    usleep(atomic_load((atomic_uint *)user));
    atomic_fetch_sub(&in_handler, 1);
    return pk_call_native(call);
}

/* Handlers that run while a kernel is detached are waited for, not complained of. */
static void test_one_kernel_again_and_again(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");
    atomic_uint pause_us = 2000;

    (void)state;
    must(pk_set_handler(kernel, SYS_getppid, take_a_while, &pause_us));
    for (int i = 0; i < 30; i++) {
        must(pk_attach(kernel, pid));
        usleep(2000);
        must(pk_detach(kernel));
    }
    atomic_store(&pause_us, 20000);
    must(pk_attach(kernel, pid));
    while (atomic_load(&in_handler) == 0)
        usleep(100);
    pk_destroy(kernel);
    assert_int_equal(atomic_load(&in_handler), 0);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

/* Each time a process that nobody has attached to: the whole of it, by ptrace. */
static void first_attachments(const char *mode, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        process_kernel_t *kernel = create();
        pid_t pid = start_target(mode);

        must(pk_set_handler(kernel, SYS_getppid, count, NULL));
        must(pk_attach(kernel, pid));
        pk_destroy(kernel);
        assert_int_equal(end_target(pid, SIGTERM), 0);
    }
}

static void test_threads_that_come_and_go(void **state)
{
    (void)state;
    first_attachments("threads", 20);
}

static void test_children_that_exec(void **state)
{
    (void)state;
    first_attachments("forks", 10);
}

static void test_a_thread_that_cannot_stop(void **state)
{
    (void)state;
    first_attachments("vfork", 3);
}

static void test_first_thread_has_ended(void **state)
{
    (void)state;
    first_attachments("headless", 3);
}

static void test_storm_of_signals(void **state)
{
    (void)state;
    first_attachments("storm", 20);
}

#define CALLS 9

static void test_waiting_calls_go_on(void **state)
{
    static const char *const calls[CALLS] = {"read",         "poll",       "ppoll",
                                             "nanosleep",    "futex",      "epoll",
                                             "sigtimedwait", "sigsuspend", "connect"};
    process_kernel_t *kernels[CALLS];
    pid_t pids[CALLS];

    (void)state;
    for (int i = 0; i < CALLS; i++) {
        pids[i] = start_target(calls[i]);
        usleep(30000); /* until it waits, and long before it stops waiting */
        kernels[i] = create();
        must(pk_set_handler(kernels[i], SYS_getppid, count, NULL));
        must(pk_attach(kernels[i], pids[i]));
    }
    for (int i = 0; i < CALLS; i++) {
        if (end_target(pids[i], 0) != 0)
            fail_msg("%s", calls[i]);
        pk_destroy(kernels[i]);
    }
}

/* A thread of the program that is told of everything that happens to any child. */
static atomic_bool thief_ends;

static void *be_thief(void *argument)
{
    int status;

    while (!atomic_load(&thief_ends))
        if (waitpid(-1, &status, __WALL | WNOHANG) <= 0)
            usleep(50);
    return argument;
}

static void test_another_thread_takes_the_stops(void **state)
{
    pthread_t thread;

    (void)state;
    atomic_store(&thief_ends, false);
    assert_int_equal(pthread_create(&thread, NULL, be_thief, NULL), 0);
    for (int i = 0; i < 10; i++) {
        process_kernel_t *kernel = create();
        pid_t pid = start_target("busy");

        must(pk_set_handler(kernel, SYS_getppid, count, NULL));
        must(pk_attach(kernel, pid));
        must(pk_signal(kernel, SIGTERM));
        must(pk_wait(kernel, NULL));
        pk_destroy(kernel);
    }
    atomic_store(&thief_ends, true);
    pthread_join(thread, NULL);
}

static char state_of(pid_t pid)
{
    struct target target;

    assert_int_equal(target_read(pid, &target), 0);
    return target.state;
}

static void test_a_stopped_target_stays_stopped(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");
    int status;

    (void)state;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    atomic_store(&seen, 0);
    must(pk_set_handler(kernel, SYS_getppid, count, NULL));
    must(pk_attach(kernel, pid));
    usleep(20000);
    assert_int_equal(state_of(pid), 'T');
    assert_int_equal(atomic_load(&seen), 0);
    kill(pid, SIGCONT);
    await_more(10);
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

/* ---- what is refused ---- */

static void refused(pid_t pid, int code, const char *words)
{
    process_kernel_t *kernel = create();

    must(pk_set_handler(kernel, SYS_getppid, count, NULL));
    assert_int_equal(pk_attach(kernel, pid), code);
    if (strstr(pk_last_error(), words) == NULL)
        fail_msg("'%s' is not in: %s", words, pk_last_error());
    pk_destroy(kernel);
}

static void refused_in_strict_mode(void)
{
    struct target target = {0};
    pid_t pid = fork();

    if (pid == 0) {
        char byte;

        prctl(PR_SET_SECCOMP, 1 /* SECCOMP_MODE_STRICT */);
        for (;;)
            syscall(SYS_read, -1, &byte, 1);
    }
    while (target.seccomp == 0)
        assert_int_equal(target_read(pid, &target), 0);
    refused(pid, -EACCES, "strict seccomp mode");
    assert_int_equal(end_target(pid, SIGKILL), SIGKILL);
}

static void test_what_cannot_be_attached_to(void **state)
{
    process_kernel_t *kernel = create();
    process_kernel_t *other = create();
    pid_t pid = start_target("busy");
    struct target second;

    (void)state;
    refused(getpid(), -EINVAL, "this program itself");
    if (target_read(2, &second) == 0 && strcmp(second.comm, "kthreadd") == 0)
        refused(2, -EINVAL, "host kernel");
    refused(0x3fffffff, -ESRCH, "no process");
    refused(-1, -ESRCH, "no process");
    refused_in_strict_mode();
    must(pk_set_option(kernel, "--net", "host"));
    assert_int_equal(pk_attach(kernel, pid), -EINVAL);
    assert_non_null(strstr(pk_last_error(), "--net"));
    must(pk_set_handler(other, SYS_getppid, count, NULL));
    must(pk_attach(other, pid));
    refused(pid, -EBUSY, "attached");
    assert_int_equal(pk_attach(other, pid), -EBUSY);
    assert_int_equal(pk_spawn(other, (char *[]){"/bin/true", NULL}), -EBUSY);
    pk_destroy(other);
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

static void test_numbers_that_the_filter_has_not(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");

    (void)state;
    must(pk_set_handler(kernel, SYS_getppid, count, NULL));
    must(pk_attach(kernel, pid));
    must(pk_detach(kernel));
    must(pk_deny(kernel, SYS_mkdir, EPERM));
    assert_int_equal(pk_attach(kernel, pid), -ENOTSUP);
    assert_non_null(strstr(pk_last_error(), "getppid"));
    must(pk_set_handler(kernel, SYS_mkdir, NULL, NULL));
    must(pk_attach(kernel, pid));
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

static void explained(const struct target *target, int yama, int code, const char *words)
{
    struct base_error error = {0};

    assert_int_equal(target_explain(target, EPERM, yama, &error), -code);
    if (strstr(error.sentence, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.sentence);
}

static void test_refusals_are_explained(void **state)
{
    struct target target = {.pid = 77, .uids = {getuid(), getuid(), getuid()}};
    bool root = geteuid() == 0;

    (void)state;
    explained(&target, -1, EPERM, "not dumpable");
    explained(&target, 0, EPERM, "not dumpable");
    explained(&target, 1, EPERM, root ? "not dumpable" : "ptrace_scope is 1");
    explained(&target, 2, EPERM, root ? "not dumpable" : "ptrace_scope is 2");
    explained(&target, 3, EPERM, "ptrace_scope is 3");
    target.uids[1] = getuid() + 1;
    explained(&target, 1, EPERM, root ? "not dumpable" : "another user");
    target.tracer = getpid();
    explained(&target, 1, EBUSY, "traced by");
}

static int end_of_tracing(pid_t pid)
{
    return (int)syscall(SYS_ptrace, 17 /* PTRACE_DETACH */, pid, NULL, NULL);
}

static void test_a_traced_target(void **state)
{
    pid_t pid = start_target("busy");

    (void)state;
    assert_int_equal(syscall(SYS_ptrace, 0x4206 /* PTRACE_SEIZE */, pid, NULL, NULL), 0);
    refused(pid, -EBUSY, "traced by");
    syscall(SYS_ptrace, 0x4207 /* PTRACE_INTERRUPT */, pid, NULL, NULL);
    assert_int_equal(waitpid(pid, NULL, __WALL), pid);
    assert_int_equal(end_of_tracing(pid), 0);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

/* ---- pk_execute ---- */

struct shared {
    int made;
    int errnum;
};

static void try_mkdir(void *argument)
{
    struct shared *shared = argument;

    errno = 0;
    shared->made = mkdir("/tmp/cerebro-test-attach", 0700);
    shared->errnum = errno;
}

static void call_exit(void *argument)
{
    (void)argument;
    _exit(9);
}

static void call_abort(void *argument)
{
    (void)argument;
    raise(SIGKILL);
}

static void test_execute(void **state)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    process_kernel_t *kernel = create();
    int status = 0;

    (void)state;
    must(pk_deny(kernel, SYS_mkdir, EXDEV));
    must(pk_execute(kernel, try_mkdir, shared));
    assert_int_equal(shared->made, -1);
    assert_int_equal(shared->errnum, EXDEV);
    assert_int_equal(pk_execute(kernel, call_exit, NULL), 9);
    must(pk_wait(kernel, &status));
    assert_int_equal(status, 9 << 8);
    assert_int_equal(pk_execute(kernel, call_abort, NULL), 128 + SIGKILL);
    assert_non_null(strstr(pk_last_error(), "SIGKILL"));
    must(pk_wait(kernel, &status));
    assert_int_equal(status, SIGKILL);
    pk_destroy(kernel);
    munmap(shared, sizeof(*shared));
}

static void show_limits(void *argument)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    *(uint64_t *)argument = limit.rlim_cur;
    limit.rlim_cur++;
    ((uint64_t *)argument)[1] = setrlimit(RLIMIT_NOFILE, &limit) < 0 && errno == EPERM ? 1 : 0;
    ((uint64_t *)argument)[2] = setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0;
}

static void test_execute_with_limits(void **state)
{
    uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    process_kernel_t *kernel = create();

    (void)state;
    must(pk_limit(kernel, "files", 77));
    must(pk_execute(kernel, show_limits, shared));
    assert_int_equal(shared[0], 77);
    assert_int_equal(shared[1], 1);
    assert_int_equal(shared[2], 1);
    pk_destroy(kernel);
    munmap(shared, 4096);
}

static void test_limits_are_put_back(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");
    struct rlimit before;
    struct rlimit now;

    (void)state;
    prlimit(pid, RLIMIT_NOFILE, NULL, &before);
    must(pk_limit(kernel, "files", 50));
    must(pk_attach(kernel, pid));
    prlimit(pid, RLIMIT_NOFILE, NULL, &now);
    assert_int_equal(now.rlim_cur, 50);
    must(pk_detach(kernel));
    prlimit(pid, RLIMIT_NOFILE, NULL, &now);
    assert_int_equal(now.rlim_cur, before.rlim_cur);
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

/* Refused before anything is done to the target, which nobody could undo. */
static void test_limits_that_cannot_be_set(void **state)
{
    process_kernel_t *kernel = create();
    pid_t pid = start_target("busy");
    struct target before;
    struct target now;

    (void)state;
    assert_int_equal(target_read(pid, &before), 0);
    must(pk_limit(kernel, "files", 1ULL << 40));
    assert_int_equal(pk_attach(kernel, pid), -EINVAL);
    assert_non_null(strstr(pk_last_error(), "may not have more than"));
    assert_int_equal(target_read(pid, &now), 0);
    assert_int_equal(now.seccomp, before.seccomp);
    assert_int_equal(now.filters, before.filters);
    must(pk_limit(kernel, "pids", 50));
    assert_int_equal(pk_attach(kernel, pid), -EINVAL);
    assert_non_null(strstr(pk_last_error(), "pids"));
    pk_destroy(kernel);
    assert_int_equal(end_target(pid, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handlers_see_all_threads),
        cmocka_unit_test(test_end_of_the_target_is_told),
        cmocka_unit_test(test_detaching_frees_held_calls),
        cmocka_unit_test(test_many_cycles),
        cmocka_unit_test(test_one_kernel_again_and_again),
        cmocka_unit_test(test_threads_that_come_and_go),
        cmocka_unit_test(test_children_that_exec),
        cmocka_unit_test(test_a_thread_that_cannot_stop),
        cmocka_unit_test(test_first_thread_has_ended),
        cmocka_unit_test(test_storm_of_signals),
        cmocka_unit_test(test_waiting_calls_go_on),
        cmocka_unit_test(test_another_thread_takes_the_stops),
        cmocka_unit_test(test_a_stopped_target_stays_stopped),
        cmocka_unit_test(test_what_cannot_be_attached_to),
        cmocka_unit_test(test_numbers_that_the_filter_has_not),
        cmocka_unit_test(test_refusals_are_explained),
        cmocka_unit_test(test_a_traced_target),
        cmocka_unit_test(test_execute),
        cmocka_unit_test(test_execute_with_limits),
        cmocka_unit_test(test_limits_are_put_back),
        cmocka_unit_test(test_limits_that_cannot_be_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

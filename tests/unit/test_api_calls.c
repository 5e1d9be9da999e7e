/*
 * Calls and their handlers through the C library: what becomes of those that go wrong.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cerebro/process_kernel.h"

#define MANY 70 /* more than there are threads for handlers */

static process_kernel_t *create(pk_call_handler handler, unsigned timeout_ms)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "test");

    assert_non_null(kernel);
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, handler, NULL), 0);
    assert_int_equal(pk_set_handler_timeout(kernel, timeout_ms), 0);
    return kernel;
}

static uint64_t errors_of(process_kernel_t *kernel)
{
    pk_statistics_t stats = {.size = sizeof(stats)};

    pk_get_stats(kernel, &stats);
    return stats.errors;
}

/* How a call ends is the exit status. */
static void call_once(void *argument)
{
    long result = syscall(SYS_getppid);

    (void)argument;
    _exit(result < 0 ? errno : (int)result);
}

/* ---- handlers that hang ---- */

static atomic_bool go_on;
static atomic_uint hanging;

static long hang(struct pk_call *call, void *user)
{
    (void)user;
    atomic_fetch_add(&hanging, 1);
    while (!atomic_load(&go_on))
        usleep(1000);
    atomic_fetch_sub(&hanging, 1);
    return pk_call_native(call);
}

static void let_hanging_go(void)
{
    atomic_store(&go_on, true);
    while (atomic_load(&hanging) > 0)
        usleep(1000);
}

static void call_many_times(void *argument)
{
    (void)argument;
    for (int i = 0; i < MANY; i++)
        if (syscall(SYS_getppid) != -1 || errno != ETIMEDOUT)
            _exit(1);
    _exit(7);
}

static void test_more_hang_than_there_are_threads(void **state)
{
    process_kernel_t *kernel = create(hang, 5);

    (void)state;
    atomic_store(&go_on, false);
    assert_int_equal(pk_execute(kernel, call_many_times, NULL), 7);
    assert_int_equal(errors_of(kernel), MANY);
    pk_destroy(kernel);
    let_hanging_go();
}

static void call_in_many_processes(void *argument)
{
    (void)argument;
    for (int i = 0; i < MANY; i++)
        if (fork() == 0) {
            syscall(SYS_getppid);
            _exit(0);
        }
    for (;;)
        pause();
}

static void count_timeouts(const pk_event_t *event, void *count)
{
    if (event->type == PK_EVENT_TIMEOUT)
        atomic_fetch_add((atomic_uint *)count, 1);
}

/* The handler of the first kernel hangs as long as it may, which the second one's is not allowed.
 */
static void test_shutdown_ends_all_guests_at_once(void **state)
{
    static char *const argv[] = {"/bin/sh", "-c", "exec /bin/sh", NULL}; /* calls getppid */
    process_kernel_t *first = create(hang, 2000);
    process_kernel_t *second = create(hang, 1000);
    atomic_uint timeouts = 0;

    (void)state;
    atomic_store(&go_on, false);
    assert_int_equal(pk_set_event_handler(second, count_timeouts, &timeouts), 0);
    assert_true(pk_spawn(first, argv) > 0);
    assert_true(pk_spawn(second, argv) > 0);
    while (atomic_load(&hanging) < 2)
        usleep(1000);
    pk_shutdown();
    assert_int_equal(atomic_load(&timeouts), 0);
    let_hanging_go();
}

static void *kill_when_all_hang(void *kernel)
{
    for (int i = 0; i < 10000 && atomic_load(&hanging) < 60; i++)
        usleep(1000);
    usleep(50000); /* the rest waits for a thread */
    pk_signal(kernel, SIGKILL);
    return NULL;
}

static void test_the_end_is_heard_while_all_hang(void **state)
{
    process_kernel_t *kernel = create(hang, 0);
    pthread_t thread;

    (void)state;
    atomic_store(&go_on, false);
    assert_int_equal(pthread_create(&thread, NULL, kill_when_all_hang, kernel), 0);
    assert_int_equal(pk_execute(kernel, call_in_many_processes, NULL), 128 + SIGKILL);
    pthread_join(thread, NULL);
    let_hanging_go();
    pk_destroy(kernel);
}

/* ---- answers in unusual places ---- */

static long answer_here(struct pk_call *call, void *user)
{
    (void)user;
    assert_int_equal(pk_call_return(call, 42), 0);
    return 5;
}

static void test_answer_in_the_handler(void **state)
{
    process_kernel_t *kernel = create(answer_here, 5000);

    (void)state;
    assert_int_equal(pk_execute(kernel, call_once, NULL), 42);
    assert_int_equal(errors_of(kernel), 0);
    pk_destroy(kernel);
}

static void *answer(void *call)
{
    assert_int_equal(pk_call_return(call, 43), 0);
    return NULL;
}

static long answer_early(struct pk_call *call, void *user)
{
    pthread_t thread;

    (void)user;
    assert_int_equal(pthread_create(&thread, NULL, answer, call), 0);
    pthread_join(thread, NULL);
    return pk_call_defer(call);
}

static void test_answer_before_it_is_deferred(void **state)
{
    process_kernel_t *kernel = create(answer_early, 5000);

    (void)state;
    assert_int_equal(pk_execute(kernel, call_once, NULL), 43);
    pk_destroy(kernel);
}

static _Atomic(struct pk_call *) kept;

static long keep_and_crash(struct pk_call *call, void *user)
{
    volatile uintptr_t nowhere = 16;

    (void)user;
    atomic_store(&kept, call);
    pk_call_defer(call);
    return *(volatile int *)nowhere;
}

static void test_crash_of_a_handler_that_has_deferred(void **state)
{
    process_kernel_t *kernel = create(keep_and_crash, 5000);

    (void)state;
    assert_int_equal(pk_execute(kernel, call_once, NULL), EIO);
    assert_int_equal(errors_of(kernel), 1);
    pk_destroy(kernel);
    assert_int_equal(pk_call_return(atomic_load(&kept), 0), -ENOENT); /* lives until here */
}

static long answer_nonsense(struct pk_call *call, void *user)
{
    (void)call;
    (void)user;
    return LONG_MIN;
}

static void test_nonsense_is_counted(void **state)
{
    process_kernel_t *kernel = create(answer_nonsense, 5000);

    (void)state;
    assert_int_equal(pk_execute(kernel, call_once, NULL), EIO);
    assert_int_equal(errors_of(kernel), 1);
    pk_destroy(kernel);
}

/* ---- threads and processes ---- */

/* As a program does that has registered it with atexit(3). */
static void shut_down(void *argument)
{
    pk_destroy(argument);
    pk_shutdown();
    _exit(9);
}

static void test_function_that_shuts_down(void **state)
{
    process_kernel_t *kernel = create(answer_here, 5000);

    (void)state;
    assert_int_equal(pk_execute(kernel, shut_down, kernel), 9);
    pk_destroy(kernel);
}

static void test_no_thread_can_be_started(void **state)
{
    process_kernel_t *kernel = create(answer_here, 5000);
    pthread_attr_t usual;
    pthread_attr_t vast;

    (void)state;
    pthread_getattr_default_np(&usual);
    pthread_attr_init(&vast);
    assert_int_equal(pthread_attr_setstacksize(&vast, 1UL << 46), 0);
    assert_int_equal(pthread_setattr_default_np(&vast), 0);
    assert_int_equal(pk_spawn(kernel, (char *[]){"/bin/sleep", "1000", NULL}), -EAGAIN);
    assert_string_not_equal(pk_last_error(), "");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the guest has ended, with its kernel */
    assert_int_equal(errno, ECHILD);
    pthread_setattr_default_np(&usual);
    assert_int_equal(pk_execute(kernel, call_once, NULL), 42);
    pk_destroy(kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_hang_than_there_are_threads),
        cmocka_unit_test(test_the_end_is_heard_while_all_hang),
        cmocka_unit_test(test_shutdown_ends_all_guests_at_once),
        cmocka_unit_test(test_answer_in_the_handler),
        cmocka_unit_test(test_answer_before_it_is_deferred),
        cmocka_unit_test(test_crash_of_a_handler_that_has_deferred),
        cmocka_unit_test(test_nonsense_is_counted),
        cmocka_unit_test(test_function_that_shuts_down),
        cmocka_unit_test(test_no_thread_can_be_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

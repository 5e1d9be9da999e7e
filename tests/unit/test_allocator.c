/*
 * The allocator of a kernel: pk_register_allocator(), pk_malloc(), pk_free().
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "cerebro/process_kernel.h"

static process_kernel_t *create(void)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "memory");

    assert_non_null(kernel);
    return kernel;
}

static uint64_t allocated(process_kernel_t *kernel)
{
    pk_statistics_t stats = {.size = sizeof(stats)};

    pk_get_stats(kernel, &stats);
    return stats.memory_allocated;
}

/* Two allocators that count, and that give memory at odd addresses. */
static atomic_int blocks[2];

static void *give(int which, size_t size, size_t shift)
{
    char *memory = malloc(size + 16);

    if (memory == NULL)
        return NULL;
    memory[shift - 1] = (char)(which + 1);
    atomic_fetch_add(&blocks[which], 1);
    return memory + shift;
}

static void take(int which, char *memory, size_t shift)
{
    assert_int_equal(memory[-1], which + 1); /* its own */
    atomic_fetch_sub(&blocks[which], 1);
    free(memory - shift);
}

static void *give_first(size_t size)
{
    return give(0, size, 8);
}

static void free_first(void *memory)
{
    take(0, memory, 8);
}

static void *give_second(size_t size)
{
    return give(1, size, 1);
}

static void free_second(void *memory)
{
    take(1, memory, 1);
}

static void *give_none(size_t size)
{
    (void)size;
    return NULL;
}

static void test_default_is_counted(void **state)
{
    process_kernel_t *kernel = create();
    char *one = pk_malloc(kernel, 1000);
    char *none = pk_malloc(kernel, 0);

    (void)state;
    memset(one, 1, 1000);
    assert_non_null(none);
    assert_int_equal(allocated(kernel), 1000);
    pk_free(kernel, one);
    pk_free(kernel, none);
    pk_free(kernel, NULL);
    assert_int_equal(allocated(kernel), 0);
    pk_destroy(kernel);
}

static void test_blocks_go_back_where_they_came_from(void **state)
{
    process_kernel_t *kernel = create();
    void *first;
    void *second;
    void *plain;

    (void)state;
    assert_int_equal(pk_register_allocator(kernel, give_first, free_first), 0);
    first = pk_malloc(kernel, 100);
    assert_int_equal(pk_register_allocator(kernel, give_second, free_second), 0);
    second = pk_malloc(kernel, 30);
    assert_int_equal(pk_register_allocator(kernel, NULL, NULL), 0);
    plain = pk_malloc(kernel, 4);
    assert_int_equal(atomic_load(&blocks[0]), 1);
    assert_int_equal(atomic_load(&blocks[1]), 1);
    assert_int_equal(allocated(kernel), 134);
    pk_free(kernel, first);
    assert_int_equal(atomic_load(&blocks[0]), 0);
    assert_int_equal(allocated(kernel), 34);
    pk_free(kernel, plain);
    pk_destroy(kernel);
    pk_free(NULL, second); /* after its kernel */
    assert_int_equal(atomic_load(&blocks[1]), 0);
}

static void test_alignment(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_register_allocator(kernel, give_second, free_second), 0);
    for (size_t size = 1; size < 200; size++) {
        unsigned char *memory = pk_malloc(kernel, size);

        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        memset(memory, 0xff, size);
        pk_free(kernel, memory);
    }
    assert_int_equal(allocated(kernel), 0);
    pk_destroy(kernel);
}

static void test_failures(void **state)
{
    process_kernel_t *kernel = create();

    (void)state;
    assert_int_equal(pk_register_allocator(kernel, give_first, NULL), -EINVAL);
    assert_int_equal(pk_register_allocator(kernel, NULL, free_first), -EINVAL);
    assert_int_equal(pk_register_allocator(NULL, give_first, free_first), -EINVAL);
    errno = 0;
    assert_null(pk_malloc(NULL, 10)); /* in no handler */
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(pk_malloc(kernel, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    assert_null(pk_malloc(kernel, SIZE_MAX - 8));
    assert_null(pk_malloc(kernel, PTRDIFF_MAX));
    assert_int_equal(pk_register_allocator(kernel, give_none, free_first), 0);
    errno = 0;
    assert_null(pk_malloc(kernel, 10));
    assert_int_equal(errno, ENOMEM);
    assert_non_null(strstr(pk_last_error(), "10 bytes"));
    assert_int_equal(allocated(kernel), 0);
    pk_destroy(kernel);
}

#define THREADS 4
#define ROUNDS  5000

static void *churn(void *argument)
{
    process_kernel_t *kernel = argument;
    void *held[8] = {0};

    for (size_t i = 0; i < ROUNDS; i++) {
        pk_free(kernel, held[i % 8]);
        held[i % 8] = pk_malloc(kernel, i % 100);
        if (i % 50 == 0)
            pk_register_allocator(kernel, i % 100 ? give_first : give_second,
                                  i % 100 ? free_first : free_second);
    }
    for (size_t i = 0; i < 8; i++)
        pk_free(kernel, held[i]);
    return NULL;
}

static void test_threads(void **state)
{
    process_kernel_t *kernel = create();
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, kernel), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(allocated(kernel), 0);
    assert_int_equal(atomic_load(&blocks[0]) + atomic_load(&blocks[1]), 0);
    pk_destroy(kernel);
}

static long remember(struct pk_call *call, void *user)
{
    void **slot = user;

    (void)call;
    pk_free(NULL, *slot);
    *slot = pk_malloc(NULL, 77);
    return *slot ? 42 : -ENOMEM;
}

static void test_in_a_handler(void **state)
{
    process_kernel_t *kernel = create();
    void *memory = NULL;
    int status = 0;

    (void)state;
    assert_int_equal(pk_set_handler(kernel, SYS_getppid, remember, &memory), 0);
    assert_true(pk_spawn(kernel, (char *[]){"/usr/bin/python3", "-c",
                                            "import os,sys; os.getppid(); sys.exit(os.getppid())",
                                            NULL}) > 0);
    assert_int_equal(pk_wait(kernel, &status), 0);
    assert_int_equal(status, 42 << 8);
    assert_int_equal(allocated(kernel), 77);
    pk_free(kernel, memory);
    assert_int_equal(allocated(kernel), 0);
    pk_destroy(kernel);
}

/* The other allocator, the guest's: what is wrong with it is told when it is to be used. */
static void test_of_the_guest(void **state)
{
    process_kernel_t *kernel = create();
    char *const argv[] = {"/bin/sh", "-c", "case $LD_PRELOAD in *libc.so.6) exit 3; esac", NULL};
    int status = 0;

    (void)state;
    assert_int_equal(pk_set_option(kernel, "--allocator", "libc.so.6"), 0);
    assert_true(pk_spawn(kernel, argv) > 0);
    assert_int_equal(pk_wait(kernel, &status), 0);
    assert_int_equal(status, 3 << 8);
    assert_int_equal(pk_set_option(kernel, "--allocator", "libnobodyhasthis.so"), 0);
    assert_int_equal(pk_spawn(kernel, argv), -ENOENT);
    assert_non_null(strstr(pk_last_error(), "no allocator libnobodyhasthis.so"));
    pk_destroy(kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_is_counted),
        cmocka_unit_test(test_blocks_go_back_where_they_came_from),
        cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_in_a_handler),
        cmocka_unit_test(test_of_the_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

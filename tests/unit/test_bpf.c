/* The BPF assembler: distances, search trees, refusals; and the interpreter the filter test uses.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "trap/bpf.h"

#define NR_OFFSET offsetof(struct seccomp_data, nr)

static uint32_t run(const struct sock_fprog *program, uint32_t value, unsigned *ret_executed)
{
    const struct seccomp_data data = {.nr = (int)value};
    uint32_t verdict = 0xdeadbeef;

    assert_int_equal(bpf_evaluate(program, &data, &verdict, ret_executed), 0);
    return verdict;
}

static struct sock_fprog assembled(struct bpf_code *code)
{
    struct sock_fprog program = {0};

    assert_int_equal(bpf_assemble(code, &program), 0);
    bpf_code_free(code);
    return program;
}

/* Both targets of a branch at every distance around what 8 bits reach. */
static void test_long_branches(void **state)
{
    (void)state;
    for (unsigned distance = 235; distance <= 280; distance++) {
        struct bpf_code code = {0};
        bpf_label yes = bpf_new_label(&code);
        bpf_label no = bpf_new_label(&code);
        unsigned far_no = distance + 1 > 255;
        unsigned far_yes = distance + far_no > 255; /* the other's long jump is in between */
        struct sock_fprog program;

        bpf_load(&code, NR_OFFSET);
        bpf_branch(&code, BPF_JEQ, 5, yes, no);
        for (unsigned i = 0; i < distance; i++)
            bpf_return(&code, 1000 + i);
        bpf_bind(&code, yes);
        bpf_return(&code, 1);
        bpf_bind(&code, no);
        bpf_return(&code, 2);
        program = assembled(&code);
        assert_int_equal(run(&program, 5, NULL), 1);
        assert_int_equal(run(&program, 6, NULL), 2);
        assert_int_equal(program.len, 4 + distance + far_yes + far_no);
        free(program.filter);
    }
}

/* Long jumps push further branches out of reach: nested branches to the same far place. */
static void test_branches_that_lengthen_each_other(void **state)
{
    struct bpf_code code = {0};
    bpf_label far = bpf_new_label(&code);
    struct sock_fprog program;

    (void)state;
    bpf_load(&code, NR_OFFSET);
    for (uint32_t i = 0; i < 300; i++)
        bpf_branch(&code, BPF_JEQ, i, far, BPF_NEXT);
    bpf_return(&code, 1);
    bpf_bind(&code, far);
    bpf_return(&code, 2);
    program = assembled(&code);
    for (uint32_t i = 0; i < 320; i++)
        assert_int_equal(run(&program, i, NULL), i < 300 ? 2 : 1);
    free(program.filter);
}

static void test_every_operation(void **state)
{
    static const struct {
        unsigned operation;
        uint32_t constant, value;
        bool taken;
    } cases[] = {
        {BPF_JEQ, 7, 7, true},          {BPF_JEQ, 7, 8, false},
        {BPF_JGT, 7, 8, true},          {BPF_JGT, 7, 7, false},
        {BPF_JGE, 7, 7, true},          {BPF_JGE, 7, 6, false},
        {BPF_JGE, 7, UINT32_MAX, true}, {BPF_JSET, 6, 4, true},
        {BPF_JSET, 6, 9, false},        {BPF_JSET, 0x80000000, UINT32_MAX, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bpf_code code = {0};
        bpf_label yes = bpf_new_label(&code);
        struct sock_fprog program;

        bpf_load(&code, NR_OFFSET);
        bpf_branch(&code, cases[i].operation, cases[i].constant, yes, BPF_NEXT);
        bpf_return(&code, 0);
        bpf_bind(&code, yes);
        bpf_return(&code, 1);
        program = assembled(&code);
        assert_int_equal(run(&program, cases[i].value, NULL), cases[i].taken);
        free(program.filter);
    }
}

static void test_mask_and_go(void **state)
{
    struct bpf_code code = {0};
    bpf_label yes = bpf_new_label(&code);
    bpf_label end = bpf_new_label(&code);
    struct sock_fprog program;

    (void)state;
    bpf_load(&code, NR_OFFSET);
    bpf_and(&code, 0x0f);
    bpf_branch(&code, BPF_JEQ, 0x05, yes, BPF_NEXT);
    bpf_go(&code, end);
    bpf_bind(&code, yes);
    bpf_return(&code, 1);
    bpf_bind(&code, end);
    bpf_return(&code, 2);
    program = assembled(&code);
    assert_int_equal(run(&program, 0xf5, NULL), 1);
    assert_int_equal(run(&program, 0x5f, NULL), 2);
    assert_int_equal(bpf_longest_path(&program), 5);
    free(program.filter);
}

/* A partition of the numbers, searched; the answer is the index of the case. */
static struct sock_fprog search_program(const uint32_t *firsts, const unsigned *weights,
                                        size_t count)
{
    struct bpf_code code = {0};
    struct bpf_case cases[300];

    for (size_t i = 0; i < count; i++)
        cases[i] = (struct bpf_case){firsts[i], bpf_new_label(&code), weights[i]};
    bpf_load(&code, NR_OFFSET);
    bpf_search(&code, cases, count);
    for (size_t i = 0; i < count; i++) {
        bpf_bind(&code, cases[i].target);
        bpf_return(&code, (uint32_t)i);
    }
    return assembled(&code);
}

static void test_search_finds_every_case(void **state)
{
    uint32_t firsts[300] = {0};
    unsigned weights[300];

    (void)state;
    srand(1);
    for (size_t count = 1; count <= 300; count = count * 3 / 2 + 1) {
        struct sock_fprog program;

        for (size_t i = 0; i < count; i++) {
            firsts[i] = i ? firsts[i - 1] + 1 + (uint32_t)rand() % 1000 : 0;
            weights[i] = rand() % 10 ? 1 : 1 + (unsigned)rand() % 1000;
        }
        program = search_program(firsts, weights, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(run(&program, firsts[i], NULL), i);
            if (i + 1 < count)
                assert_int_equal(run(&program, firsts[i + 1] - 1, NULL), i);
        }
        assert_int_equal(run(&program, UINT32_MAX, NULL), count - 1);
        free(program.filter);
    }
}

static void test_heavy_cases_are_found_first(void **state)
{
    uint32_t firsts[128];
    unsigned weights[128];
    struct sock_fprog program;
    unsigned executed;

    (void)state;
    for (unsigned i = 0; i < 128; i++) {
        firsts[i] = i;
        weights[i] = i == 77 ? 100000 : 1;
    }
    program = search_program(firsts, weights, 128);
    run(&program, 77, &executed);
    assert_in_range(executed, 1, 6); /* load, two comparisons with their long jumps, return */
    run(&program, 3, &executed);
    assert_in_range(executed, 7, 20);
    free(program.filter);
}

static void test_longest_path_is_the_longest(void **state)
{
    uint32_t firsts[100];
    unsigned weights[100];
    struct sock_fprog program;
    unsigned longest = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        firsts[i] = i * 3;
        weights[i] = i % 7 ? 1 : 50;
    }
    program = search_program(firsts, weights, 100);
    for (uint32_t value = 0; value < 310; value++) {
        unsigned executed;

        run(&program, value, &executed);
        if (executed > longest)
            longest = executed;
    }
    assert_int_equal(bpf_longest_path(&program), longest);
    free(program.filter);
}

static void expect_refusal(struct bpf_code *code, int error)
{
    struct sock_fprog program = {.len = 77};

    assert_int_equal(bpf_assemble(code, &program), error);
    assert_int_equal(program.len, 77); /* untouched */
    bpf_code_free(code);
}

static void test_refused_programs(void **state)
{
    struct bpf_code code = {0};
    bpf_label label;

    (void)state;
    expect_refusal(&code, -EINVAL); /* empty */
    bpf_load(&code, 0);
    expect_refusal(&code, -EINVAL); /* no return at the end */
    bpf_go(&code, bpf_new_label(&code));
    bpf_return(&code, 0);
    expect_refusal(&code, -EINVAL); /* unbound */
    label = bpf_new_label(&code);
    bpf_bind(&code, label);
    bpf_bind(&code, label);
    bpf_return(&code, 0);
    expect_refusal(&code, -EINVAL); /* bound twice */
    label = bpf_new_label(&code);
    bpf_bind(&code, label);
    bpf_load(&code, 0);
    bpf_branch(&code, BPF_JEQ, 1, label, BPF_NEXT);
    bpf_return(&code, 0);
    expect_refusal(&code, -EINVAL); /* backward */
    label = bpf_new_label(&code);
    bpf_branch(&code, BPF_JEQ, 1, label, BPF_NEXT);
    bpf_return(&code, 0);
    bpf_bind(&code, label);
    expect_refusal(&code, -EINVAL); /* behind the end */
    bpf_bind(&code, 5);
    bpf_return(&code, 0);
    expect_refusal(&code, -EINVAL); /* a label nobody made */
    for (unsigned i = 0; i <= BPF_MAXINSNS; i++)
        bpf_return(&code, 0);
    expect_refusal(&code, -E2BIG);
}

static void expect_invalid(struct sock_filter *steps, unsigned short count)
{
    const struct sock_fprog program = {.len = count, .filter = steps};
    const struct seccomp_data data = {0};
    uint32_t verdict = 77;

    assert_int_equal(bpf_evaluate(&program, &data, &verdict, NULL), -EINVAL);
    assert_int_equal(verdict, 77);
}

static void test_evaluate_refuses_nonsense(void **state)
{
    struct sock_filter unknown[] = {BPF_STMT(BPF_LDX | BPF_MEM, 0), BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64),
                                   BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter unaligned[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
                                      BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter outside[] = {BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
                                    BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter endless[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};

    (void)state;
    expect_invalid(unknown, 2);
    expect_invalid(beyond, 2);
    expect_invalid(unaligned, 2);
    expect_invalid(outside, 2);
    expect_invalid(endless, 1);
    expect_invalid(endless, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_branches),
        cmocka_unit_test(test_branches_that_lengthen_each_other),
        cmocka_unit_test(test_every_operation),
        cmocka_unit_test(test_mask_and_go),
        cmocka_unit_test(test_search_finds_every_case),
        cmocka_unit_test(test_heavy_cases_are_found_first),
        cmocka_unit_test(test_longest_path_is_the_longest),
        cmocka_unit_test(test_refused_programs),
        cmocka_unit_test(test_evaluate_refuses_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

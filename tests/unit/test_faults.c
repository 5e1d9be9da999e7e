/* The rules of --inject: how they are read, and when they apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "abi/syscalls.h"
#include "core/faults.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pk_fault parsed(const char *text)
{
    struct pk_fault fault = {0};
    struct base_error error = {0};

    if (pk_fault_parse(text, &fault, &error) < 0)
        fail_msg("'%s': %s", text, error.sentence);
    assert_int_equal(error.code, 0);
    assert_string_equal(fault.text, text);
    return fault;
}

static void effects_are_read(void **state)
{
    struct pk_fault fault = parsed("open:error=ENOSPC");

    (void)state;
    assert_true(fault.has_result);
    assert_int_equal(fault.result, -ENOSPC);
    assert_int_equal(parsed("open:error=28").result, -ENOSPC);
    assert_int_equal(parsed("read:retval=0x10").result, 16);
    assert_int_equal(parsed("read:retval=0").result, 0);
    assert_int_equal(parsed("read:signal=SIGUSR1").signal, SIGUSR1);
    assert_int_equal(parsed("read:signal=USR1").signal, SIGUSR1);
    assert_int_equal(parsed("read:signal=9").signal, 9);
    fault = parsed("read:delay_enter=5:error=EIO:delay_exit=1.5ms");
    assert_int_equal(fault.delay_enter_ns, 5000);
    assert_int_equal(fault.delay_exit_ns, 1500000);
    assert_int_equal(parsed("stat:delay_exit=2s").delay_exit_ns, 2000000000);
    assert_int_equal(parsed("stat:delay_enter=7ns").delay_enter_ns, 7);
    fault = parsed("stat:signal=INT:delay_enter=1us");
    assert_false(fault.has_result);
}

/* The invocations from 1 to 12 that a rule applies to, as a bit for each. */
static unsigned turns(const char *text)
{
    struct pk_fault fault = parsed(text);
    struct pk_faults faults = {0};
    unsigned found = 0;

    assert_int_equal(pk_faults_add(&faults, &fault), 0);
    for (unsigned i = 1; i <= 12; i++)
        if (pk_faults_next(&faults, ABI_NR_openat))
            found |= 1u << i;
    assert_int_equal(faults.seen[ABI_NR_openat], 12);
    assert_int_equal(faults.list[0].injected, __builtin_popcount(found));
    assert_null(pk_faults_next(&faults, ABI_NR_read));
    pk_faults_free(&faults);
    return found;
}

static void turns_are_those_of_strace(void **state)
{
    (void)state;
    assert_int_equal(turns("openat:error=EIO"), 0x1ffe);
    assert_int_equal(turns("openat:error=EIO:when=3"), 1 << 3);
    assert_int_equal(turns("openat:error=EIO:when=11+"), 1 << 11 | 1 << 12);
    assert_int_equal(turns("openat:error=EIO:when=3+2"),
                     1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11);
    assert_int_equal(turns("openat:error=EIO:when=2..4"), 1 << 2 | 1 << 3 | 1 << 4);
    assert_int_equal(turns("openat:error=EIO:when=2..9+3"), 1 << 2 | 1 << 5 | 1 << 8);
    assert_int_equal(turns("openat:when=5..6+:error=EIO"), 1 << 5 | 1 << 6);
}

static void the_last_rule_for_a_number_holds(void **state)
{
    struct pk_fault first = parsed("%file:error=EIO"), second = parsed("openat:error=EPERM");
    struct pk_faults faults = {0};

    (void)state;
    assert_int_equal(pk_faults_add(&faults, &first), 0);
    assert_int_equal(pk_faults_add(&faults, &second), 0);
    assert_int_equal(pk_faults_next(&faults, ABI_NR_openat)->result, -EPERM);
    assert_int_equal(pk_faults_next(&faults, ABI_NR_stat)->result, -EIO);
    assert_true(pk_faults_name(&faults, ABI_NR_stat));
    assert_false(pk_faults_name(&faults, ABI_NR_read) || pk_faults_name(&faults, -1));
    while (faults.count < PK_FAULTS_MAX)
        assert_int_equal(pk_faults_add(&faults, &first), 0);
    assert_int_equal(pk_faults_add(&faults, &first), -E2BIG);
    pk_faults_free(&faults);
    assert_false(pk_faults_name(&faults, ABI_NR_stat));
}

/* What must not be touched is left out of a family, and refused by name. */
static void what_cannot_be_is_left_out_or_refused(void **state)
{
    struct pk_fault fault = parsed("%process:signal=USR1");

    (void)state;
    assert_true(abi_call_set_has(&fault.calls, ABI_NR_execve));
    assert_false(abi_call_set_has(&fault.calls, ABI_NR_fork));
    assert_false(abi_call_set_has(&fault.calls, ABI_NR_exit_group));
    fault = parsed("fork,clone,vfork:error=EAGAIN"); /* always: nothing has to be let through */
    assert_true(abi_call_set_has(&fault.calls, ABI_NR_fork));
    fault = parsed("!read:error=EIO:when=1");
    assert_true(abi_call_set_has(&fault.calls, ABI_NR_write));
    assert_false(abi_call_set_has(&fault.calls, ABI_NR_read));
    assert_false(abi_call_set_has(&fault.calls, ABI_NR_close));
    fault = parsed("%desc:delay_exit=1ms");
    assert_true(abi_call_set_has(&fault.calls, ABI_NR_openat));
    assert_false(abi_call_set_has(&fault.calls, ABI_NR_read));
}

static void mistakes_are_explained(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "a name is missing"},
        {"open", "does not say what is to be injected"},
        {"open:when=3", "does not say what is to be injected"},
        {"opne:error=EIO", "there is no system call 'opne'"},
        {"%flie:error=EIO", "there is no family '%flie'"},
        {"open:error=ENOTHING", "there is no such error"},
        {"open:error=0", "error 0 would be none"},
        {"open:error=4096", "there is no such error"},
        {"open:error=", "there is no such error"},
        {"open:error", "a word is NAME=VALUE"},
        {"open:", "a word is NAME=VALUE"},
        {"open:retval=-1", "not negative"},
        {"open:retval=x", "not negative"},
        {"open:error=EIO:retval=1", "either error or retval"},
        {"open:error=EIO:error=EIO", "it is said twice"},
        {"open:signal=SIGNONE", "there is no such signal"},
        {"open:signal=0", "there is no signal 0"},
        {"open:signal=65", "there is no such signal"},
        {"open:delay_enter=", "a delay is a number"},
        {"open:delay_enter=5m", "a delay is a number"},
        {"open:delay_enter=0", "a delay of nothing"},
        {"open:delay_enter=99999999999999999999s", "a delay is a number"},
        {"open:error=EIO:when=0", "when takes"},
        {"open:error=EIO:when=", "when takes"},
        {"open:error=EIO:when=3+0", "when takes"},
        {"open:error=EIO:when=3..2", "when takes"},
        {"open:error=EIO:when=3x", "when takes"},
        {"open:error=EIO:when=+2", "when takes"},
        {"open:error=EIO:when=4294967296", "when takes"},
        {"open:poke_enter=@arg1=00", "only strace can do this"},
        {"open:colour=red", "there is no such word"},
        {"close:error=EIO", "close cannot be watched"},
        {"exit_group:error=EIO", "exit_group cannot be watched"},
        {"fork:error=EAGAIN:when=2", "fork cannot be watched without breaking it"},
        {"pause:signal=INT", "pause cannot be watched"},
        {"read:delay_exit=1ms", "read runs natively"},
        {"close,exit:error=EIO", "cannot be watched"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pk_fault fault = {.result = 42};
        struct base_error error = {0};

        assert_int_equal(pk_fault_parse(cases[i].text, &fault, &error), -EINVAL);
        assert_int_equal(error.code, EINVAL);
        assert_true(strncmp(error.sentence, "--inject: ", 10) == 0 && error.hint[0]);
        if (strstr(error.sentence, cases[i].sentence) == NULL)
            fail_msg("'%s' gives: %s", cases[i].text, error.sentence);
        assert_int_equal(fault.result, 42);
    }
}

static void long_rules_are_refused(void **state)
{
    char text[PK_FAULT_TEXT_SIZE + 8];
    struct base_error error = {0};
    struct pk_fault fault;

    (void)state;
    memset(text, 'o', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pk_fault_parse(text, &fault, &error), -E2BIG);
    assert_true(error.sentence[0] && error.hint[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_are_read),
        cmocka_unit_test(turns_are_those_of_strace),
        cmocka_unit_test(the_last_rule_for_a_number_holds),
        cmocka_unit_test(what_cannot_be_is_left_out_or_refused),
        cmocka_unit_test(mistakes_are_explained),
        cmocka_unit_test(long_rules_are_refused),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}

#include "core/faults.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"

#define ERRNO_MAX_VALUE 4095
#define DELAY_MAX_NS    (1000000ULL * 1000000000ULL)
#define FRACTION_DIGITS 9

static const char fault_hint[] =
    "write SET:error=ERRNO (or retval=N, signal=SIG, delay_enter=TIME, delay_exit=TIME), and "
    ":when=FIRST[..LAST][+[STEP]] for some invocations only; see cerebro-run(1)";

/* What was said, to find what is said twice. */
enum said {
    SAID_ERROR = 1 << 0,
    SAID_RETVAL = 1 << 1,
    SAID_SIGNAL = 1 << 2,
    SAID_ENTER = 1 << 3,
    SAID_EXIT = 1 << 4,
    SAID_WHEN = 1 << 5,
};

static int fail(struct base_error *error, const char *text, const char *why)
{
    return base_fail(error, EINVAL, fault_hint, "--inject: '%.100s': %s", text, why);
}

/* ---- the values ---- */

static const char *read_error(const char *value, struct pk_fault *fault)
{
    uint64_t number = (uint64_t)abi_errno_by_name(value);

    if (number == 0 && io_parse_u64(value, ERRNO_MAX_VALUE, &number) < 0)
        return "there is no such error";
    if (number == 0)
        return "error 0 would be none: use retval=0";
    fault->has_result = true;
    fault->result = -(int64_t)number;
    return NULL;
}

static const char *read_retval(const char *value, struct pk_fault *fault)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 0);
    if (value[0] < '0' || value[0] > '9' || *end || errno || number > INT64_MAX)
        return "retval takes a number that is not negative";
    fault->has_result = true;
    fault->result = (int64_t)number;
    return NULL;
}

static const char *read_signal(const char *value, struct pk_fault *fault)
{
    uint64_t number = (uint64_t)abi_signal_by_name(value);

    if (number == 0 && io_parse_u64(value, 64, &number) < 0)
        return "there is no such signal";
    if (number == 0)
        return "there is no signal 0";
    fault->signal = (int)number;
    return NULL;
}

static uint64_t unit_of(const char *suffix)
{
    static const struct {
        const char *suffix;
        uint64_t ns;
    } units[] = {{"", 1000}, {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};

    for (size_t i = 0; i < array_length(units); i++)
        if (strcmp(units[i].suffix, suffix) == 0)
            return units[i].ns;
    return 0;
}

/* The digits behind a point, as billionths; `*at` moves behind them. */
static uint64_t read_fraction(const char **at)
{
    uint64_t value = 0;
    unsigned digits = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++)
        if (digits < FRACTION_DIGITS) {
            value = value * 10 + (uint64_t)(**at - '0');
            digits++;
        }
    for (; digits < FRACTION_DIGITS; digits++)
        value *= 10;
    return value;
}

static const char *read_delay(const char *value, uint64_t *ret_ns)
{
    static const char why[] = "a delay is a number with s, ms, us or ns, at most 1000000 s";
    uint64_t whole = 0, fraction = 0, unit;
    const char *at = value;

    for (; *at >= '0' && *at <= '9'; at++) {
        whole = whole * 10 + (uint64_t)(*at - '0');
        if (whole > DELAY_MAX_NS)
            return why;
    }
    if (at > value && *at == '.') {
        at++;
        fraction = read_fraction(&at);
    }
    unit = at > value ? unit_of(at) : 0;
    if (unit == 0 || whole > DELAY_MAX_NS / unit)
        return why;
    *ret_ns = whole * unit + fraction * unit / 1000000000;
    return *ret_ns ? NULL : "a delay of nothing";
}

/* Takes a number from 1 on; `*at` moves behind it. */
static bool take_number(const char **at, uint32_t *ret_number)
{
    uint64_t number = 0;
    const char *begin = *at;

    for (; **at >= '0' && **at <= '9' && number <= UINT32_MAX; (*at)++)
        number = number * 10 + (uint64_t)(**at - '0');
    if (*at == begin || number == 0 || number > UINT32_MAX)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

static const char *read_when(const char *value, struct pk_fault *fault)
{
    static const char why[] = "when takes FIRST[..LAST][+[STEP]] with numbers from 1 on";
    const char *at = value;
    bool has_last = false;

    if (!take_number(&at, &fault->first))
        return why;
    fault->last = fault->first;
    if (strncmp(at, "..", 2) == 0) {
        at += 2;
        if (!take_number(&at, &fault->last) || fault->last < fault->first)
            return why;
        has_last = true;
    }
    if (*at == '+') {
        at++;
        if (!has_last)
            fault->last = UINT32_MAX;
        if (*at && !take_number(&at, &fault->step))
            return why;
    }
    return *at ? why : NULL;
}

/* ---- the parts ---- */

static const char *read_value(const char *name, const char *value, struct pk_fault *fault,
                              unsigned *ret_said)
{
    if (strcmp(name, "error") == 0) {
        *ret_said = SAID_ERROR;
        return read_error(value, fault);
    }
    if (strcmp(name, "retval") == 0) {
        *ret_said = SAID_RETVAL;
        return read_retval(value, fault);
    }
    if (strcmp(name, "signal") == 0) {
        *ret_said = SAID_SIGNAL;
        return read_signal(value, fault);
    }
    if (strcmp(name, "delay_enter") == 0) {
        *ret_said = SAID_ENTER;
        return read_delay(value, &fault->delay_enter_ns);
    }
    if (strcmp(name, "delay_exit") == 0) {
        *ret_said = SAID_EXIT;
        return read_delay(value, &fault->delay_exit_ns);
    }
    if (strcmp(name, "when") == 0) {
        *ret_said = SAID_WHEN;
        return read_when(value, fault);
    }
    if (strcmp(name, "syscall") == 0 || strncmp(name, "poke_", 5) == 0)
        return "only strace can do this, not cerebro";
    return "there is no such word";
}

/* One of the words behind the set; `part` is changed. */
static int read_part(char *part, struct pk_fault *fault, unsigned *said, struct base_error *error)
{
    cleanup_free char *whole = strdup(part);
    char *equals = strchr(part, '=');
    unsigned now = 0;
    const char *why;

    if (whole == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory");
    if (equals == NULL)
        return fail(error, whole, "a word is NAME=VALUE");
    *equals = '\0';
    why = read_value(part, equals + 1, fault, &now);
    if (why)
        return fail(error, whole, why);
    if (*said & now)
        return fail(error, whole, "it is said twice");
    *said |= now;
    if ((*said & (SAID_ERROR | SAID_RETVAL)) == (SAID_ERROR | SAID_RETVAL))
        return fail(error, whole, "either error or retval");
    return 0;
}

/* ---- what is possible ---- */

static bool is_always(const struct pk_fault *fault)
{
    return fault->first == 1 && fault->last == UINT32_MAX && fault->step == 1;
}

/* Whether the answer of such a call passes through our hands. */
static bool is_answered(const struct abi_syscall *call)
{
    return call->disposition != ABI_DISPOSITION_NATIVE &&
           (call->disposition != ABI_DISPOSITION_CHECKED || call->rule == ABI_RULE_EXECVE);
}

/* Why a call cannot be injected into in this way; NULL: it can. */
static const char *obstacle(const struct abi_syscall *call, const struct pk_fault *fault)
{
    bool fails_always = fault->has_result && is_always(fault);

    if (!abi_may_inject(call->nr) && !(fails_always && abi_may_deny(call->nr)))
        return abi_may_deny(call->nr)
                   ? "cannot be watched without breaking it, but it can be made to fail always "
                     "(error= without when=)"
                   : "cannot be watched: no program could start, end or wait then";
    if (fault->delay_exit_ns && !fault->has_result && !is_answered(call))
        return "runs natively, so nobody is there when it ends: only delay_enter can delay it";
    return NULL;
}

static int leave_possible(struct pk_fault *fault, const struct abi_call_set *named,
                          struct base_error *error)
{
    struct abi_call_set possible = {0};
    bool any = false;

    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);
        const char *why = obstacle(call, fault);

        if (!abi_call_set_has(&fault->calls, call->nr))
            continue;
        if (why && abi_call_set_has(named, call->nr))
            return base_fail(error, EINVAL, "leave it out; see FAULT INJECTION in cerebro-run(1)",
                             "--inject: %s %s", call->name, why);
        if (why)
            continue;
        abi_call_set_add(&possible, call->nr);
        any = true;
    }
    fault->calls = possible;
    return any ? 0 : fail(error, fault->text, "there is no call in it that can be injected into");
}

static int check(struct pk_fault *fault, unsigned said, const struct abi_call_set *named,
                 struct base_error *error)
{
    if ((said & ~(unsigned)SAID_WHEN) == 0)
        return fail(error, fault->text, "it does not say what is to be injected");
    return leave_possible(fault, named, error);
}

int pk_fault_parse(const char *text, struct pk_fault *ret_fault, struct base_error *error)
{
    struct pk_fault fault = {.first = 1, .last = UINT32_MAX, .step = 1};
    struct abi_call_set named;
    char parts[PK_FAULT_TEXT_SIZE];
    char *rest = parts;
    unsigned said = 0;
    int r;

    if (strlen(text) >= sizeof(parts))
        return base_fail(error, E2BIG, "use several --inject, or families such as %file",
                         "--inject: a rule has at most %d characters", PK_FAULT_TEXT_SIZE - 1);
    memcpy(parts, text, strlen(text) + 1);
    memcpy(fault.text, text, strlen(text) + 1);
    r = abi_call_set_parse(strsep(&rest, ":"), "--inject", &fault.calls, &named, error);
    while (r == 0 && rest)
        r = read_part(strsep(&rest, ":"), &fault, &said, error);
    if (r == 0)
        r = check(&fault, said, &named, error);
    if (r == 0)
        *ret_fault = fault;
    return r;
}

/* ---- lists ---- */

int pk_faults_add(struct pk_faults *faults, const struct pk_fault *fault)
{
    struct pk_fault *list;

    if (faults->count == PK_FAULTS_MAX)
        return -E2BIG;
    list = reallocarray(faults->list, faults->count + 1, sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    faults->list = list;
    list[faults->count++] = *fault;
    for (int nr = 0; nr < ABI_CALL_SET_NUMBERS; nr++)
        if (abi_call_set_has(&fault->calls, nr))
            faults->rule[nr] = (uint8_t)faults->count;
    return 0;
}

void pk_faults_free(struct pk_faults *faults)
{
    free(faults->list);
    *faults = (struct pk_faults){0};
}

const struct pk_fault *pk_faults_next(struct pk_faults *faults, int nr)
{
    struct pk_fault *fault;
    uint64_t number;

    if (!pk_faults_name(faults, nr))
        return NULL;
    fault = &faults->list[faults->rule[nr] - 1];
    number = ++faults->seen[nr];
    if (number < fault->first || number > fault->last || (number - fault->first) % fault->step)
        return NULL;
    fault->injected++;
    return fault;
}

/*
 * How the filter is put together.
 *
 * The host kernel runs the filter before each system call of the guest, so its length on the way
 * to "native" is a tax on everything. Measured on Linux 6.18 with the JIT compiler (AMD Zen 5, a
 * virtual machine): any filter at all makes every call about 30 ns dearer; a filter that has to be
 * run, however short, costs 20 ns more; ten instructions cost 3 ns. This shapes the program:
 *
 *   - From Linux 5.11 on the kernel works out, when a filter is installed, for which numbers the
 *     answer is "native" whatever the arguments, and does not run the filter for those at all. It
 *     understands only loads of number and architecture, comparisons with constants and `and`. The
 *     way to such a call therefore must not look at anything else, and on older kernels it is
 *     short because it is a binary search.
 *   - Calls that are served cost microseconds anyway: nothing is gained by finding them quickly.
 *   - What remains are the calls whose arguments decide (read, write, mmap, ...). They are the ones
 *     that run the program, so the search tree is weighted in their favour: 9 instructions for a
 *     read, where a balanced tree has 13. With the JIT compiler that is hardly measurable; kernels
 *     that interpret the program feel it.
 *
 * The program, from the top:
 *
 *   1. Another architecture (int 0x80) kills the process: its numbers mean other calls, and a
 *      process of x86-64 Linux programs has no use for it.
 *   2. A search tree over the call number. Neighbours with the same action are one range. Numbers
 *      beyond the table, negative ones and those with the x32 bit come out at ENOSYS, except the
 *      loader's private call, which is served.
 *   3. One piece for each distinct action: a verdict, or the rule of filter-rules.c.
 *
 * The dispositions of the table become: native - allowed; fixed - the constant; served, refused and
 * missing - a notification. The last two have a known answer, which the process kernel gives all
 * the same: it counts them and tells the user why something was refused. A rule's own refusals
 * (EPERM for the loader's page, TIOCSTI and the like) are answered here, because nothing that a
 * configuration can allow leads there.
 *
 * The kernel compares what it will use itself: where an argument is an `int` or `unsigned int`
 * there, rules look at the low 32 bits only, as the upper half is ignored. Addresses are compared
 * whole, but for the tag bits that the processor may ignore (filter-rules.c).
 */
#include "trap/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "trap/filter-internal.h"
#include "trap/trap.h"

/* Numbers below have a line in the table or could get a handler; see PK_NR_LIMIT. */
#define NUMBERS PK_NR_LIMIT

/* At most a range for each number, the loader's call and what lies around it. */
#define MAX_RANGES (NUMBERS + 3)

/* How the search tree favours calls that run the program often. Relative to 1 for all others. */
#define WEIGHT_HOT  256
#define WEIGHT_WARM 32

struct range {
    uint32_t first;
    unsigned weight;
    struct filter_action action;
};

struct plan {
    struct range ranges[MAX_RANGES];
    size_t count;
};

static bool is_same_action(const struct filter_action *a, const struct filter_action *b)
{
    return a->rule == b->rule && a->verdict == b->verdict && a->nr == b->nr;
}

static struct filter_action constant(uint32_t verdict)
{
    return (struct filter_action){.rule = ABI_RULE_NONE, .verdict = verdict};
}

/* What to do with one number of the table, or just beyond its end. */
static struct filter_action action_of(const struct filter_config *config, int nr)
{
    const struct abi_plan_entry *entry;

    if (nr > ABI_NR_MAX)
        return constant(VERDICT_SERVE);
    /* Every exec of the host is one of the loader; what a guest asks for is served anyway. */
    if (config->intercepted && nr != ABI_NR_execve && nr != ABI_NR_execveat &&
        (config->intercepted[nr / 64] >> nr % 64 & 1))
        return constant(VERDICT_SERVE);
    entry = &abi_filter_plan[nr];
    switch ((enum abi_disposition)entry->action) {
    case ABI_DISPOSITION_NATIVE:
        return constant(VERDICT_NATIVE);
    case ABI_DISPOSITION_FIXED:
        return constant(VERDICT_ERRNO(-entry->value));
    case ABI_DISPOSITION_CHECKED:
        return filter_simplify(config, (enum abi_rule)entry->rule, nr);
    case ABI_DISPOSITION_SERVED:
    case ABI_DISPOSITION_REFUSED:
    case ABI_DISPOSITION_MISSING:
        break;
    }
    return constant(VERDICT_SERVE);
}

/* How often programs make a call, roughly; only where the filter has to be run for it. */
static unsigned weight_of(int nr, const struct filter_action *action)
{
    if (action->rule == ABI_RULE_NONE)
        return 1;
    switch (nr) {
    case ABI_NR_read:
    case ABI_NR_write:
    case ABI_NR_pread64:
    case ABI_NR_pwrite64:
    case ABI_NR_readv:
    case ABI_NR_writev:
    case ABI_NR_sendto:
    case ABI_NR_sendmsg:
        return WEIGHT_HOT;
    case ABI_NR_lseek:
    case ABI_NR_fstat:
    case ABI_NR_mmap:
    case ABI_NR_munmap:
    case ABI_NR_mprotect:
    case ABI_NR_madvise:
    case ABI_NR_fcntl:
    case ABI_NR_sendmmsg:
        return WEIGHT_WARM;
    default:
        return 1;
    }
}

static void add_range(struct plan *plan, uint32_t first, unsigned weight,
                      const struct filter_action *action)
{
    struct range *last = plan->count ? &plan->ranges[plan->count - 1] : NULL;

    if (last && is_same_action(&last->action, action)) {
        if (weight > last->weight)
            last->weight = weight;
        return;
    }
    plan->ranges[plan->count++] =
        (struct range){.first = first, .weight = weight, .action = *action};
}

static void make_plan(const struct filter_config *config, struct plan *plan)
{
    const struct filter_action missing = constant(VERDICT_ERRNO(ENOSYS));

    for (int nr = 0; nr < NUMBERS; nr++) {
        struct filter_action action = action_of(config, nr);

        add_range(plan, (uint32_t)nr, weight_of(nr, &action), &action);
    }
    add_range(plan, NUMBERS, 1, &missing);
}

/* The range whose piece of program serves range `i` too: the first with the same action. */
static size_t first_alike(const struct plan *plan, size_t i)
{
    size_t first = 0;

    while (!is_same_action(&plan->ranges[first].action, &plan->ranges[i].action))
        first++;
    return first;
}

static void emit_search(struct bpf_code *code, const struct plan *plan, bpf_label *pieces)
{
    struct bpf_case cases[MAX_RANGES];

    for (size_t i = 0; i < plan->count; i++) {
        size_t first = first_alike(plan, i);

        if (first == i)
            pieces[i] = bpf_new_label(code);
        cases[i] = (struct bpf_case){.first = plan->ranges[i].first,
                                     .target = pieces[first],
                                     .weight = plan->ranges[i].weight};
    }
    bpf_search(code, cases, plan->count);
}

static void emit_pieces(struct bpf_code *code, const struct filter_config *config,
                        const struct plan *plan, const bpf_label *pieces)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (first_alike(plan, i) != i)
            continue;
        bpf_bind(code, pieces[i]);
        filter_emit(code, config, &plan->ranges[i].action);
    }
}

static void emit_architecture_check(struct bpf_code *code)
{
    bpf_label ours = bpf_new_label(code);

    bpf_load(code, offsetof(struct seccomp_data, arch));
    bpf_branch(code, BPF_JEQ, AUDIT_ARCH_X86_64, ours, BPF_NEXT);
    bpf_return(code, SECCOMP_RET_KILL_PROCESS);
    bpf_bind(code, ours);
}

static bool is_valid(const struct filter_config *config)
{
    return config->loader_string + FILTER_LOADER_TOKENS <= config->loader_limit &&
           config->loader_limit <= UINT32_MAX && config->window_base > 0 &&
           config->window_size > 0 && config->window_size <= INT32_MAX &&
           (unsigned)config->window_base <= INT32_MAX - config->window_size;
}

int filter_build(const struct filter_config *config, struct sock_fprog *ret_program,
                 unsigned *ret_longest)
{
    cleanup_bpf_code struct bpf_code code = {0};
    cleanup_free struct plan *plan = NULL;
    bpf_label pieces[MAX_RANGES];
    struct sock_fprog program;
    int r;

    if (!is_valid(config))
        return -EINVAL;
    plan = calloc(1, sizeof(*plan));
    if (plan == NULL)
        return -ENOMEM;
    make_plan(config, plan);
    emit_architecture_check(&code);
    bpf_load(&code, offsetof(struct seccomp_data, nr));
    emit_search(&code, plan, pieces);
    emit_pieces(&code, config, plan, pieces);
    r = bpf_assemble(&code, &program);
    if (r < 0)
        return r;
    if (ret_longest)
        *ret_longest = bpf_longest_path(&program);
    *ret_program = program;
    return 0;
}

void filter_free(struct sock_fprog *program)
{
    free(program->filter);
    *program = (struct sock_fprog){0};
}

void filter_config_of(const struct pk_config *config, int window_base,
                      struct filter_config *ret_config)
{
    *ret_config = (struct filter_config){
        .loader_string = FILTER_LOADER_STRING,
        .loader_limit = FILTER_LOADER_LIMIT,
        .window_base = window_base,
        .window_size = PK_WINDOW_SIZE,
        .net = config->net,
        .net_rules = pk_net_rules_exist(&config->net_rules),
        .virtual_identity = config->virtual_identity,
        .ipc_isolated = config->ipc_isolated,
        .unix_isolated = config->unix_isolated,
        .intercepted = config->intercepted,
    };
}

void trap_filter_facts(const struct pk_config *config, struct trap_filter_facts *ret_facts)
{
    cleanup_filter struct sock_fprog program = {0};
    struct filter_config filter;
    unsigned longest = 0;

    filter_config_of(config, FILTER_WINDOW_BASE, &filter);
    *ret_facts = (struct trap_filter_facts){0};
    if (filter_build(&filter, &program, &longest) < 0)
        return;
    ret_facts->instructions = program.len;
    ret_facts->longest_path = longest;
}

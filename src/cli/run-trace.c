/* The options of `cerebro run` for its trace, and for fault injection. */
#include "abi/syscalls.h"
#include "cli/cli.h"
#include "cli/run-options.h"

/* Several --trace add up, as their families always did. */
int run_set_trace(struct run_options *options, const char *set)
{
    struct base_error error = {0};
    struct abi_call_set calls;

    if (set == NULL) {
        options->traced = true;
        return 0;
    }
    if (abi_call_set_parse(set, "--trace", &calls, NULL, &error) < 0)
        return cli_usage_error("run", &error);
    for (int nr = 0; nr < ABI_CALL_SET_NUMBERS; nr++)
        if (abi_call_set_has(&calls, nr))
            abi_call_set_add(&options->trace.calls, nr);
    options->traced = options->trace.some_calls = true;
    return 0;
}

int run_set_trace_status(struct run_options *options, const char *text)
{
    struct base_error error = {0};

    options->traced = true;
    return trace_parse_status(text, &options->trace.statuses, &error) < 0
               ? cli_usage_error("run", &error)
               : 0;
}

int run_add_trace_path(struct run_options *options, const char *path)
{
    struct base_error error = {0};

    options->traced = true;
    return trace_add_path(&options->trace, path, &error) < 0 ? cli_usage_error("run", &error) : 0;
}

int run_add_fault(struct run_options *options, const char *rule)
{
    struct base_error error = {0};
    struct pk_fault fault;

    if (pk_fault_parse(rule, &fault, &error) < 0)
        return cli_usage_error("run", &error);
    if (pk_faults_add(&options->faults, &fault) < 0)
        return cli_usage("run", "more than %d rules of --inject", PK_FAULTS_MAX);
    return 0;
}

/* Whether calls of this number can come to the process kernel at all. */
static bool can_be_seen(const struct run_options *options, const struct abi_syscall *call)
{
    const struct launch_options *launch = &options->launch;

    return (call->disposition != ABI_DISPOSITION_NATIVE &&
            call->disposition != ABI_DISPOSITION_FIXED) ||
           launch->denied[call->nr] || pk_faults_name(&options->faults, call->nr) ||
           (launch->intercepted[call->nr / 64] >> call->nr % 64 & 1);
}

int run_check_trace(const struct run_options *options)
{
    const struct abi_syscall *hidden = NULL;

    if (!options->trace.some_calls)
        return 0;
    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        if (!abi_call_set_has(&options->trace.calls, call->nr))
            continue;
        if (can_be_seen(options, call))
            return 0;
        hidden = call;
    }
    return hidden == NULL ? 0
                          : cli_usage("run",
                                      "--trace would show nothing: %s runs natively and is never "
                                      "seen (cerebro attach --trace and strace see such calls)",
                                      hidden->name);
}

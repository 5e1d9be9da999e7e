#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cli/cli.h"

static const char help[] =
    "usage: cerebro syscalls [OPTIONS] [NAME|NUMBER]\n"
    "\n"
    "Shows how each system call of Linux x86-64 is treated: native (runs on the host), served (the\n"
    "process kernel answers), checked (by scalar arguments: native or served), fixed (a constant\n"
    "answer), refused (an errno, with the reason), missing (ENOSYS).\n"
    "\n"
    "  --family NAME        only this family: file, descriptor, memory, process, signal, network,\n"
    "                       ipc, identity, time, event, system\n"
    "  --disposition NAME   only this treatment\n"
    "  --json               as a JSON array\n";

struct selection {
    const char *word; /* name or number; NULL: all */
    int family;       /* -1: all */
    const char *disposition;
    bool json;
};

static bool is_selected(const struct abi_syscall *call, const struct selection *selection)
{
    uint64_t number;

    if (selection->family >= 0 && (int)call->family != selection->family)
        return false;
    if (selection->disposition &&
        strcmp(selection->disposition, abi_disposition_name(call->disposition)) != 0)
        return false;
    if (selection->word == NULL)
        return true;
    if (io_parse_u64(selection->word, ABI_NR_MAX, &number) == 0)
        return call->nr == (int)number;
    return strcmp(selection->word, call->name) == 0;
}

/* "checked:window", "refused:EPERM", "fixed:0" as in the table. */
static void treatment(const struct abi_syscall *call, char *text, size_t size)
{
    const char *name = abi_disposition_name(call->disposition);
    const char *error = abi_errno_name(-call->errnum_or_value);

    if (call->disposition == ABI_DISPOSITION_CHECKED)
        snprintf(text, size, "%s:%s", name, abi_rule_name(call->rule));
    else if (call->disposition == ABI_DISPOSITION_REFUSED ||
             call->disposition == ABI_DISPOSITION_FIXED)
        snprintf(text, size, "%s:%s", name, call->errnum_or_value ? error : "0");
    else
        snprintf(text, size, "%s", name);
}

static void print_line(const struct abi_syscall *call)
{
    char text[64];

    treatment(call, text, sizeof(text));
    printf("%4d  %-24s %-11s %-20s %-7s %s\n", call->nr, call->name, abi_family_name(call->family),
           text, call->since, call->note);
}

static void add_json(struct strbuf *out, const struct abi_syscall *call, bool first)
{
    char text[64];

    treatment(call, text, sizeof(text));
    strbuf_addf(out, "%s{\"nr\":%d,\"name\":\"%s\",\"family\":\"%s\",\"disposition\":\"%s\"",
                first ? "" : ",", call->nr, call->name, abi_family_name(call->family), text);
    strbuf_addf(out, ",\"since\":\"%s\",\"args\":[", call->since);
    for (unsigned i = 0; i < call->nargs; i++)
        strbuf_addf(out, "%s\"%s:%s\"", i ? "," : "", call->args[i].name,
                    abi_arg_kind_name(call->args[i].kind));
    strbuf_add_string(out, "],\"note\":\"");
    strbuf_add_json(out, call->note);
    strbuf_add_string(out, "\"}");
}

static int show(const struct selection *selection)
{
    cleanup_strbuf struct strbuf json = {0};
    size_t count = 0;

    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++) {
        const struct abi_syscall *call = abi_syscall_at(i);

        if (!is_selected(call, selection))
            continue;
        if (selection->json)
            add_json(&json, call, count == 0);
        else
            print_line(call);
        count++;
    }
    if (selection->json)
        printf("[%s]\n", strbuf_text(&json));
    if (count == 0 && selection->word)
        return cli_usage("syscalls", "there is no system call '%s'", selection->word);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"family", required_argument, NULL, 'f'},
        {"disposition", required_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    struct selection selection = {.family = -1};
    enum abi_family family;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == 'f' && abi_family_by_name(optarg, &family) < 0)
            return cli_usage("syscalls", "there is no family '%s'", optarg);
        if (option == 'f')
            selection.family = (int)family;
        else if (option == 'd')
            selection.disposition = optarg;
        else if (option == 'j')
            selection.json = true;
        else
            return cli_usage("syscalls", "wrong option '%s'", argv[optind - 1]);
    }
    if (optind + 1 < argc)
        return cli_usage("syscalls", "one name at a time");
    selection.word = argv[optind];
    return show(&selection);
}

const struct cli_command cli_syscalls_command = {
    .name = "syscalls",
    .summary = "how each system call is treated, and why",
    .help = help,
    .run = run,
};

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "launch/launch.h"

static const char help[] =
    "usage: cerebro doctor [--json]\n"
    "\n"
    "Tries what Cerebro needs of this host and says what is missing, what that costs, and what to\n"
    "do about it. Exit status 1 when something is missing that nothing can replace.\n";

/* One thing the host may offer. */
struct finding {
    const char *name;
    bool present;
    bool required;
    const char *since;   /* kernel version */
    const char *purpose; /* what it is used for */
    const char *without; /* what it costs when it is missing */
};

#define FINDINGS_MAX 16

static size_t list_findings(const struct trap_features *f, struct finding out[FINDINGS_MAX])
{
    const struct finding list[] = {
        {"user-notification", f->user_notification, true, "5.9",
         "seccomp hands calls to the process kernel",
         "nothing works: a newer kernel, or a container profile that allows seccomp, is needed"},
        {"pidfd-getfd", f->pidfd_getfd, false, "5.6", "taking the program's descriptors",
         "a container's profile forbids it: the program sends them, which costs some 30 us each; "
         "no network rules; container: --cap-add SYS_PTRACE"},
        {"process-memory", f->process_vm, true, "3.2", "reading the program's arguments",
         "nothing works: allow ptrace of children (sysctl kernel.yama.ptrace_scope=1 or 0)"},
        {"ptrace-seize", f->seize, true, "3.4", "starting programs",
         "nothing works: allow ptrace of children (sysctl kernel.yama.ptrace_scope=1 or 0)"},
        {"context-limit", f->context_limit, true, "2.6",
         "a number that fork inherits (RLIMIT_LOCKS)",
         "nothing works: raise the hard limit with `ulimit -Hx unlimited`"},
        {"addfd-send", f->addfd_send, false, "5.14", "one call less for each open",
         "opens cost about 1 us more"},
        {"wait-killable", f->wait_killable, false, "5.19",
         "signals never cut a call that is being served",
         "a journal of the last change of each thread is kept instead; a few more EINTR"},
        {"sync-wake-up", f->sync_wake_up, false, "6.6", "program and kernel hand over on one CPU",
         "both are pinned to one CPU; parallel programs gain less"},
        {"pidfd-thread", f->pidfd_thread, false, "6.9", "descriptors of threads",
         "threads that unshared their descriptors are reached through /proc"},
        {"mseal", f->mseal, false, "6.10", "a second lock on the loader's page",
         "the filter alone protects it"},
        {"recv-ends", f->recv_ends, false, "6.11", "learning that the last process is gone",
         "found out by waiting for the processes instead"},
        {"user-namespaces", f->user_namespaces, false, "3.8",
         "an additional wall: empty root, own network and IPC",
         "the filter and Landlock are the walls; AF_UNIX datagrams and System V IPC are off"},
        {"landlock", f->landlock_abi > 0, false, "5.13",
         "an additional wall: nothing but the loader can be opened",
         "the filter and namespaces are the walls"},
    };

    memcpy(out, list, sizeof(list));
    return array_length(list);
}

static void print_text(const struct trap_features *features, const struct finding *findings,
                       size_t count)
{
    struct trap_filter_facts facts = {0};
    struct pk_config config = {0};

    trap_filter_facts(&config, &facts);
    trap_filter_cost(&config, &facts);
    printf("Linux %u.%u; filter: %u instructions, longest path %u", features->kernel_major,
           features->kernel_minor, facts.instructions, facts.longest_path);
    if (facts.checked_ns > 0)
        printf("; adds %.0f ns to a native call, %.0f ns where it looks at arguments",
               facts.plain_ns, facts.checked_ns);
    printf("\n");
    for (size_t i = 0; i < count; i++) {
        const struct finding *f = &findings[i];

        printf("  %-18s %-8s %s\n", f->name,
               f->present    ? "yes"
               : f->required ? "MISSING"
                             : "no",
               f->purpose);
        if (!f->present)
            printf("  %-18s %-8s since Linux %s; without it: %s\n", "", "", f->since, f->without);
    }
}

static void print_json(const struct trap_features *features, const struct finding *findings,
                       size_t count, bool usable)
{
    cleanup_strbuf struct strbuf out = {0};
    struct trap_filter_facts facts = {0};
    struct pk_config config = {0};

    trap_filter_facts(&config, &facts);
    trap_filter_cost(&config, &facts);
    strbuf_addf(&out,
                "{\"usable\":%s,\"kernel\":\"%u.%u\",\"landlock_abi\":%d,"
                "\"filter_instructions\":%u,\"filter_longest_path\":%u,\"filter_ns\":%.1f,"
                "\"filter_checked_ns\":%.1f,\"features\":[",
                usable ? "true" : "false", features->kernel_major, features->kernel_minor,
                features->landlock_abi, facts.instructions, facts.longest_path, facts.plain_ns,
                facts.checked_ns);
    for (size_t i = 0; i < count; i++)
        strbuf_addf(&out,
                    "%s{\"name\":\"%s\",\"present\":%s,\"required\":%s,\"since\":\"%s\","
                    "\"purpose\":\"%s\",\"without\":\"%s\"}",
                    i ? "," : "", findings[i].name, findings[i].present ? "true" : "false",
                    findings[i].required ? "true" : "false", findings[i].since, findings[i].purpose,
                    findings[i].without);
    printf("%s]}\n", strbuf_text(&out));
}

static int examine(bool json)
{
    struct finding findings[FINDINGS_MAX];
    struct trap_features features;
    struct base_error error = {0};
    char loader[4096];
    bool usable;
    size_t count;

    trap_probe(&features);
    usable = trap_check_features(&features, &error) == 0 &&
             launch_loader_path(loader, sizeof(loader), &error) == 0;
    count = list_findings(&features, findings);
    if (json) {
        print_json(&features, findings, count, usable);
        return usable ? 0 : 1;
    }
    print_text(&features, findings, count);
    if (usable)
        printf("Cerebro works here.\n");
    else
        cli_print_error(&error);
    return usable ? 0 : 1;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    bool json = false;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option != 'j')
            return cli_usage("doctor", "there is no option '%s'", argv[optind - 1]);
        json = true;
    }
    if (optind < argc)
        return cli_usage("doctor", "it takes no argument, not '%s'", argv[optind]);
    return examine(json);
}

const struct cli_command cli_doctor_command = {
    .name = "doctor",
    .summary = "what this host offers, what is missing, what that costs",
    .help = help,
    .run = run,
};

/* `cerebro inspect`: what a running kernel tells of its inside, over its control channel. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/ps.h"
#include "control/control.h"
#include "vfs/inspect.h"

#define MEASURE_DEFAULT_S   1
#define MEASURE_MAX_S       3600
#define LOOK_UP_PATIENCE_MS 400 /* for each kernel that is asked for its name */

static const char help[] =
    "usage: cerebro inspect [--json] [--measure SECONDS] [KERNEL] [SECTION]\n"
    "\n"
    "Shows the inside of a running process kernel. KERNEL is its number or that of the first\n"
    "process of its guest, both as in cerebro ps, or the name of its program. Without KERNEL, the\n"
    "only one that is running is meant; of several, the list is shown. Without SECTION, all are\n"
    "shown: summary, calls, latency, decisions, denials, limits, tasks, mounts, descriptors.\n"
    "\n"
    "  --measure SECONDS  measure the times of calls for so long before; default 1 for the section\n"
    "                     latency, else 0\n"
    "  --json             as JSON\n";

struct inspect_options {
    const char *kernel;  /* number or name; NULL: the only one */
    const char *section; /* NULL: all */
    int measure;         /* seconds; -1: the default */
    bool json;
};

static bool is_section(const char *text)
{
    const char *name;

    for (unsigned i = 0; (name = vfs_inspect_name(i)); i++)
        if (strcmp(name, text) == 0)
            return true;
    return false;
}

/* ---- which kernel ---- */

static bool is_mine(const struct kernel_row *row)
{
    return strcmp(row->kind, "run") == 0 && (geteuid() == 0 || row->uid == geteuid());
}

/* The name that a kernel gives itself; false when it does not answer in time. */
static bool read_name(const struct kernel_row *row, char name[64])
{
    cleanup_strbuf struct strbuf answer = {0};
    cleanup_close int fd = -1;
    struct json_object *object, *value;
    struct pollfd wait = {.events = POLLIN};

    if (control_connect_now(row->supervisor->pid, &fd, NULL) < 0 ||
        control_begin(fd, "inspect summary json") < 0)
        return false;
    wait.fd = fd;
    if (poll(&wait, 1, LOOK_UP_PATIENCE_MS) <= 0 || control_take(fd, &answer, NULL) < 0)
        return false;
    object = json_tokener_parse(strbuf_text(&answer));
    if (json_object_object_get_ex(object, "name", &value))
        snprintf(name, 64, "%s", json_object_get_string(value));
    else
        name[0] = '\0';
    json_object_put(object);
    return true;
}

/* -ENOTUNIQ when several have that name. */
static int find_by_name(const struct ps_list *list, const char *wanted, pid_t *ret_kernel,
                        struct base_error *error)
{
    char name[64];
    pid_t found = 0;

    for (size_t i = 0; i < list->count; i++) {
        if (!is_mine(&list->rows[i]) || !read_name(&list->rows[i], name) ||
            strcmp(name, wanted) != 0)
            continue;
        if (found)
            return base_fail(error, ENOTUNIQ, "name one of them by its number, see cerebro ps",
                             "process kernels %d and %d are both named '%s'", found,
                             list->rows[i].supervisor->pid, wanted);
        found = list->rows[i].supervisor->pid;
    }
    if (found == 0)
        return base_fail(error, ESRCH, "cerebro ps lists the running ones",
                         "no process kernel of yours is named '%s'", wanted);
    *ret_kernel = found;
    return 0;
}

/*
 * By the kernel's number, or by that of its guest's first process. What the host does not show may
 * be somebody else's: whoever connects is told.
 */
static int find_by_number(const struct ps_list *list, pid_t number, pid_t *ret_kernel,
                          struct base_error *error)
{
    const struct kernel_row *found = NULL;

    for (size_t i = 0; i < list->count && found == NULL; i++)
        if (list->rows[i].supervisor->pid == number || list->rows[i].guest == number)
            found = &list->rows[i];
    if (found && strcmp(found->kind, "run") != 0)
        return base_fail(error, EOPNOTSUPP, "cerebro top shows what an attachment knows",
                         "%d is attached to a running process and has no kernel to look into",
                         found->supervisor->pid);
    *ret_kernel = found ? found->supervisor->pid : number;
    return 0;
}

/* 0 in `ret_kernel` when there is more than one, or none. */
static void find_only(const struct ps_list *list, pid_t *ret_kernel)
{
    unsigned count = 0;

    for (size_t i = 0; i < list->count; i++)
        if (is_mine(&list->rows[i]) && count++ == 0)
            *ret_kernel = list->rows[i].supervisor->pid;
    if (count != 1)
        *ret_kernel = 0;
}

static int find_kernel(const struct ps_list *list, const char *wanted, pid_t *ret_kernel,
                       struct base_error *error)
{
    uint64_t number;

    if (wanted == NULL) {
        find_only(list, ret_kernel);
        return 0;
    }
    if (io_parse_u64(wanted, INT_MAX, &number) == 0 && number > 0)
        return find_by_number(list, (pid_t)number, ret_kernel, error);
    return find_by_name(list, wanted, ret_kernel, error);
}

/* ---- what it shows ---- */

static void list_sections(void)
{
    const char *name;

    printf("\nsections:\n");
    for (unsigned i = 0; (name = vfs_inspect_name(i)); i++)
        printf("  %-12s %s\n", name, vfs_inspect_summary(i));
}

static void list_sections_as_json(void)
{
    const char *name;

    printf("],\"sections\":[");
    for (unsigned i = 0; (name = vfs_inspect_name(i)); i++)
        printf("%s\"%s\"", i ? "," : "", name);
    printf("]}\n");
}

/* The running ones that may be looked into, and what there is to see. */
static int list_kernels(const struct ps_list *list, bool json)
{
    const char *separator = json ? "{\"kernels\":[" : "";
    unsigned count = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct kernel_row *row = &list->rows[i];

        if (!is_mine(row))
            continue;
        if (json) {
            cleanup_strbuf struct strbuf command = {0};

            strbuf_add_json(&command, strbuf_text(&row->command));
            printf("%s{\"kernel\":%d,\"guest\":%d,\"command\":\"%s\"}", separator,
                   row->supervisor->pid, row->guest, strbuf_text(&command));
            separator = ",";
        } else {
            ps_make_printable(&row->command);
            printf("%7d  %s\n", row->supervisor->pid, strbuf_text(&row->command));
        }
        count++;
    }
    if (!json && count == 0)
        printf("no process kernel of yours is running\n");
    if (json && count == 0)
        printf("%s", separator);
    json ? list_sections_as_json() : list_sections();
    return 0;
}

/* Times are measured only while somebody asks for them. */
static int measure(int fd, int seconds, struct base_error *error)
{
    cleanup_strbuf struct strbuf answer = {0};
    struct timespec pause = {.tv_sec = seconds};
    char request[32];
    int r;

    snprintf(request, sizeof(request), "measure %d", seconds);
    r = control_ask(fd, request, &answer, error);
    while (r == 0 && nanosleep(&pause, &pause) < 0 && errno == EINTR)
        ;
    return r;
}

static int ask(pid_t kernel, const struct inspect_options *options, struct strbuf *answer,
               struct base_error *error)
{
    const char *section = options->section ? options->section : "all";
    int seconds = options->measure;
    cleanup_close int fd = -1;
    char request[64];
    int r = control_connect(kernel, &fd, error);

    if (seconds < 0)
        seconds = strcmp(section, "latency") == 0 ? MEASURE_DEFAULT_S : 0;
    if (r == 0 && seconds)
        r = measure(fd, seconds, error);
    snprintf(request, sizeof(request), "inspect %s%s", section, options->json ? " json" : "");
    return r == 0 ? control_ask(fd, request, answer, error) : r;
}

/* Tables are the guest's words as much as ours: nothing in them may steer a terminal. */
static void print_answer(const struct strbuf *answer, bool json)
{
    const char *line = strbuf_text(answer);

    if (json) {
        printf("%s\n", line);
        return;
    }
    while (*line) {
        cleanup_strbuf struct strbuf raw = {0};
        size_t length = strcspn(line, "\n");

        strbuf_add(&raw, line, length);
        ps_make_printable(&raw);
        printf("%s\n", strbuf_text(&raw));
        line += length + (line[length] == '\n');
    }
}

static int show(const struct inspect_options *options)
{
    cleanup_strbuf struct strbuf answer = {0};
    struct base_error error = {0};
    struct ps_list list;
    pid_t kernel = 0;
    int r = ps_list_read(&list);

    if (r < 0)
        return ps_fail(r);
    r = find_kernel(&list, options->kernel, &kernel, &error);
    if (r == 0 && kernel == 0 && options->section)
        r = base_fail(&error, ESRCH, "name the kernel before the section, see cerebro ps",
                      "there is not exactly one process kernel of yours");
    if (r == 0 && kernel == 0)
        r = list_kernels(&list, options->json);
    else if (r == 0)
        r = ask(kernel, options, &answer, &error);
    ps_list_free(&list);
    if (r < 0) {
        cli_print_error(&error);
        return 1;
    }
    if (kernel)
        print_answer(&answer, options->json);
    return 0;
}

static int set_words(struct inspect_options *options, char **words, int count)
{
    if (count > 2)
        return cli_usage("inspect", "it takes a kernel and a section, not '%s'", words[2]);
    if (count == 1 && is_section(words[0])) {
        options->section = words[0];
        return 0;
    }
    options->kernel = words[0]; /* NULL when there is no word */
    options->section = count == 2 ? words[1] : NULL;
    if (count == 2 && !is_section(words[1]))
        return cli_usage("inspect", "there is no section '%s'", words[1]);
    return 0;
}

static int set_measure(struct inspect_options *options, const char *text)
{
    uint64_t seconds;

    if (io_parse_u64(text, MEASURE_MAX_S, &seconds) < 0)
        return cli_usage("inspect", "--measure takes seconds, at most %d, not '%s'", MEASURE_MAX_S,
                         text);
    options->measure = (int)seconds;
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {{"json", no_argument, NULL, 'j'},
                                          {"measure", required_argument, NULL, 'm'},
                                          {NULL, 0, NULL, 0}};
    struct inspect_options options = {.measure = -1};
    int option;
    int r = 0;

    opterr = 0;
    while (r == 0 && (option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        if (option == ':')
            return cli_usage("inspect", "%s needs a value", argv[optind - 1]);
        if (option == '?')
            return cli_usage("inspect", "there is no option '%s'", argv[optind - 1]);
        options.json = options.json || option == 'j';
        if (option == 'm')
            r = set_measure(&options, optarg);
    }
    if (r == 0)
        r = set_words(&options, argv + optind, argc - optind);
    return r ? r : show(&options);
}

const struct cli_command cli_inspect_command = {
    .name = "inspect",
    .summary = "look into a running process kernel",
    .help = help,
    .run = run,
};

/*
 * Running process kernels are found by looking: a supervisor is a process of that name whose
 * parent, the front, runs `cerebro` and whose child is a reaper, the parent of the first guest
 * process; and the keeper of an attachment is one of its name that answers. So there is no register
 * that could be left behind by a killed one.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/ps.h"
#include "control/control.h"

#define KEEPER_NAME     "cerebro-keeper"
#define SUPERVISOR_NAME "cerebro-kernel"
#define REAPER_NAME     "cerebro-reaper"
#define PROGRAM_NAME    "cerebro"

/* A process of that name may be anybody's, and must not hold up whoever lists the kernels. */
#define KEEPER_PATIENCE_MS 400

static const char help[] =
    "usage: cerebro ps [--json]\n"
    "\n"
    "Lists the running process kernels that you can see: the kernel's process, the first process\n"
    "of its guest, what kind it is (of cerebro run, attached to a running process, or detached from\n"
    "one that still has the filter; silent: its keeper does not answer), how long it runs, how many processes the guest has, their\n"
    "resident memory, and the command.\n";

/* The owner of a process's files in /proc is root where it is not dumpable, so that is no answer.
 */
static bool read_uid(pid_t pid, uid_t *ret_uid)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *uid;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    if (io_read_file(AT_FDCWD, path, 8192, &text) < 0)
        return false;
    uid = strstr(strbuf_text(&text), "\nUid:");
    if (uid == NULL)
        return false;
    *ret_uid = (uid_t)strtoul(uid + strlen("\nUid:"), NULL, 10);
    return true;
}

/* Reads /proc/PID/stat: pid (name) state ppid ... 14: utime stime cutime cstime ... 20: num_threads
 * ... 22: starttime ... 24: rss. */
static bool read_process(pid_t pid, struct process *process)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *open_paren;
    const char *close_paren;
    unsigned long long start, user, system;
    long long resident, dead_user, dead_system;
    unsigned threads;
    int parent;
    char state;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return false;
    open_paren = strchr(strbuf_text(&text), '(');
    close_paren = strrchr(strbuf_text(&text), ')');
    if (open_paren == NULL || close_paren == NULL)
        return false;
    if (sscanf(close_paren + 1,
               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %u %*d %llu "
               "%*u %lld",
               &state, &parent, &user, &system, &dead_user, &dead_system, &threads, &start,
               &resident) != 9)
        return false;
    *process = (struct process){.pid = pid,
                                .parent = parent,
                                .state = state,
                                .threads = threads,
                                .ticks = user + system,
                                .dead_ticks = (uint64_t)(dead_user + dead_system),
                                .start_ticks = start,
                                .resident_pages = (uint64_t)resident};
    snprintf(process->name, sizeof(process->name), "%.*s", (int)(close_paren - open_paren - 1),
             open_paren + 1);
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct process *x = a;
    const struct process *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

static const struct process *find(const struct table *table, pid_t pid)
{
    const struct process wanted = {.pid = pid};

    return table->count ? bsearch(&wanted, table->rows, table->count, sizeof(*table->rows), by_pid)
                        : NULL;
}

static int read_table(struct table *table)
{
    cleanup_dir DIR *proc = opendir("/proc");
    size_t capacity = 0;
    struct dirent *entry;

    if (proc == NULL)
        return -errno;
    while ((entry = readdir(proc))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        if (table->count == capacity) {
            struct process *rows;

            capacity = capacity ? capacity * 2 : 256;
            rows = reallocarray(table->rows, capacity, sizeof(*rows));
            if (rows == NULL)
                return -ENOMEM;
            table->rows = rows;
        }
        if (read_process((pid_t)strtol(entry->d_name, NULL, 10), &table->rows[table->count]))
            table->count++;
    }
    if (table->count)
        qsort(table->rows, table->count, sizeof(*table->rows), by_pid);
    /* Of a host that hides others one sees oneself at least. */
    return find(table, getpid()) ? 0 : -ENOENT;
}

static bool descends_from(const struct table *table, const struct process *process, pid_t ancestor)
{
    for (int depth = 0; process && depth < 1000; depth++) {
        if (process->parent == ancestor)
            return true;
        process = find(table, process->parent);
    }
    return false;
}

static double uptime_of(uint64_t start_ticks)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
           (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

/* The arguments behind "run", as the front was given them. */
static void read_command(pid_t pid, struct strbuf *ret_command)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    io_read_file(AT_FDCWD, path, 65536, &text);
    for (size_t i = 0; i < text.length; i += strlen(text.data + i) + 1) {
        if (ret_command->length)
            strbuf_add_string(ret_command, " ");
        strbuf_add_string(ret_command, text.data + i);
    }
}

static const struct process *child_named(const struct table *table, pid_t parent, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].parent == parent && strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    return NULL;
}

/* An upgraded program is still what it was. Guests run the loader as far as the host knows. */
static bool runs_cerebro(pid_t pid)
{
    char link[64];
    char program[PATH_MAX];
    const char *slash;
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/%d/exe", pid);
    length = readlink(link, program, sizeof(program) - 1);
    if (length < 0)
        return false;
    program[length] = '\0';
    slash = strrchr(program, '/');
    return slash && (strcmp(slash + 1, PROGRAM_NAME) == 0 ||
                     strcmp(slash + 1, PROGRAM_NAME " (deleted)") == 0);
}

/* A guest can give itself any name, but its parents cannot be read or run something else. */
static const struct process *reaper_of(const struct table *table, const struct process *process)
{
    const struct process *front = find(table, process->parent);

    if (strcmp(process->name, SUPERVISOR_NAME) != 0 || front == NULL ||
        strcmp(front->name, REAPER_NAME) == 0 || !runs_cerebro(front->pid))
        return NULL;
    return child_named(table, process->pid, REAPER_NAME);
}

static void count_guests(const struct table *table, pid_t reaper, struct kernel_row *row)
{
    uint64_t oldest = UINT64_MAX;

    for (size_t i = 0; i < table->count; i++) {
        const struct process *process = &table->rows[i];

        if (!descends_from(table, process, reaper))
            continue;
        row->processes++;
        row->threads += process->threads;
        row->ticks += process->ticks + process->dead_ticks;
        row->memory += process->resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
        if (process->parent == reaper && process->start_ticks < oldest) {
            oldest = process->start_ticks;
            row->guest = process->pid;
        }
    }
}

/* Fills in `row` when the process is the supervisor of a running guest. */
static bool describe(const struct table *table, const struct process *process,
                     struct kernel_row *row)
{
    const struct process *reaper = reaper_of(table, process);

    *row = (struct kernel_row){
        .supervisor = process, .kind = "run", .uptime = uptime_of(process->start_ticks)};
    if (reaper == NULL || !read_uid(process->pid, &row->uid))
        return false;
    row->ticks = reaper->dead_ticks;
    count_guests(table, reaper->pid, row);
    if (row->processes == 0)
        return false;
    read_command(process->parent, &row->command);
    return true;
}

/* -ETIMEDOUT of one that is there and does not answer. */
static int ask_keeper(const struct process *keeper, struct strbuf *answer)
{
    cleanup_close int fd = -1;
    struct pollfd wait = {.events = POLLIN};
    int r = control_connect_now(keeper->pid, &fd, NULL);

    if (r == 0 && keeper->state == 'T')
        return -ETIMEDOUT;
    if (r == 0)
        r = control_begin(fd, "attachment");
    wait.fd = fd;
    if (r == 0 && poll(&wait, 1, KEEPER_PATIENCE_MS) <= 0)
        r = -ETIMEDOUT;
    if (r == 0)
        r = control_take(fd, answer, NULL);
    return r == -EAGAIN ? -ETIMEDOUT : r;
}

static bool read_target(const char *text, const char *name, pid_t *ret_target)
{
    const char *target = strstr(text, name);

    if (target)
        *ret_target = (pid_t)strtol(target + strlen(name), NULL, 10);
    return target;
}

/* What the keeper says of itself; of a silent one, what it was started for. */
static bool describe_attachment(const struct process *keeper, struct kernel_row *row)
{
    cleanup_strbuf struct strbuf answer = {0};
    cleanup_strbuf struct strbuf command = {0};
    int r = ask_keeper(keeper, &answer);

    if (r == 0) {
        row->kind = strstr(strbuf_text(&answer), "\"active\":true") ? "attached" : "detached";
        return read_target(strbuf_text(&answer), "\"target\":", &row->guest);
    }
    row->kind = "silent";
    read_command(keeper->pid, &command);
    return r == -ETIMEDOUT && read_target(strbuf_text(&command), " --target ", &row->guest);
}

/* The target and what descends from it: who exactly has the filter, the host does not tell. */
static void count_attached(const struct table *table, struct kernel_row *row)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct process *process = &table->rows[i];

        if (process->pid != row->guest && !descends_from(table, process, row->guest))
            continue;
        row->processes++;
        row->threads += process->threads;
        row->ticks += process->ticks + process->dead_ticks;
        row->memory += process->resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
}

static bool describe_keeper(const struct table *table, const struct process *process,
                            struct kernel_row *row)
{
    *row = (struct kernel_row){.supervisor = process, .uptime = uptime_of(process->start_ticks)};
    if (strcmp(process->name, KEEPER_NAME) != 0 || !read_uid(process->pid, &row->uid) ||
        !describe_attachment(process, row))
        return false;
    count_attached(table, row);
    read_command(row->guest, &row->command);
    return true;
}

void ps_format_uptime(double seconds, char text[32])
{
    unsigned long total = seconds > 0 ? (unsigned long)seconds : 0;

    if (total >= 3600)
        snprintf(text, 32, "%luh%02lum", total / 3600, total / 60 % 60);
    else
        snprintf(text, 32, "%lum%02lus", total / 60, total % 60);
}

void ps_make_printable(struct strbuf *text)
{
    struct strbuf printable = {0};

    cli_add_printable(&printable, strbuf_text(text));
    strbuf_free(text);
    *text = printable;
}

static void print_row(struct kernel_row *row)
{
    char memory[32];
    char uptime[32];

    ps_format_uptime(row->uptime, uptime);
    ps_make_printable(&row->command);
    printf("%7d %7d %-8s %8s %6u %10s  %s\n", row->supervisor->pid, row->guest, row->kind, uptime,
           row->processes, cli_format_size(row->memory, memory), strbuf_text(&row->command));
}

static void add_json(struct strbuf *out, const struct kernel_row *row)
{
    strbuf_addf(
        out,
        "%s{\"kernel\":%d,\"guest\":%d,\"kind\":\"%s\",\"uid\":%u,\"uptime_s\":%.1f,\"processes\":%u,"
        "\"memory_bytes\":%" PRIu64 ",\"command\":\"",
        out->length ? "," : "", row->supervisor->pid, row->guest, row->kind, row->uid, row->uptime,
        row->processes, row->memory);
    strbuf_add_json(out, strbuf_text(&row->command));
    strbuf_add_string(out, "\"}");
}

static int add_row(struct ps_list *list, const struct kernel_row *row)
{
    struct kernel_row *more = reallocarray(list->rows, list->count + 1, sizeof(*more));

    if (more == NULL)
        return -ENOMEM;
    list->rows = more;
    more[list->count++] = *row;
    return 0;
}

int ps_list_read(struct ps_list *ret_list)
{
    struct ps_list list = {0};
    int r = read_table(&list.table);

    for (size_t i = 0; i < list.table.count && r == 0; i++) {
        struct kernel_row row;
        bool found = describe(&list.table, &list.table.rows[i], &row) ||
                     describe_keeper(&list.table, &list.table.rows[i], &row);

        if (found)
            r = add_row(&list, &row);
        if (!found || r < 0)
            strbuf_free(&row.command);
    }
    if (r < 0)
        ps_list_free(&list);
    else
        *ret_list = list;
    return r;
}

void ps_list_free(struct ps_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        strbuf_free(&list->rows[i].command);
    free(list->rows);
    free(list->table.rows);
    *list = (struct ps_list){0};
}

int ps_fail(int failure)
{
    struct base_error error = {0};

    base_fail(&error, failure, "is /proc mounted?", "cannot look at the processes of the host: %s",
              strerror(-failure));
    cli_print_error(&error);
    return 1;
}

static int show(bool json)
{
    struct ps_list list;
    cleanup_strbuf struct strbuf out = {0};
    int r = ps_list_read(&list);

    if (r < 0)
        return ps_fail(r);
    for (size_t i = 0; i < list.count; i++) {
        struct kernel_row *row = &list.rows[i];

        if (json)
            add_json(&out, row);
        else if (i == 0)
            printf("%7s %7s %-8s %8s %6s %10s  %s\n", "KERNEL", "GUEST", "KIND", "UPTIME", "PROCS",
                   "MEMORY", "COMMAND");
        if (!json)
            print_row(row);
    }
    if (json)
        printf("[%s]\n", strbuf_text(&out));
    else if (list.count == 0)
        printf("no process kernel is running\n");
    ps_list_free(&list);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    bool json = false;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option != 'j')
            return cli_usage("ps", "there is no option '%s'", argv[optind - 1]);
        json = true;
    }
    if (optind < argc)
        return cli_usage("ps", "it takes no argument, not '%s'", argv[optind]);
    return show(json);
}

const struct cli_command cli_ps_command = {
    .name = "ps",
    .summary = "list the running process kernels",
    .help = help,
    .run = run,
};

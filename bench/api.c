/*
 * api.c - price list of the C library.
 *
 *     bench_api [--rounds N] [--kernels N] [--only TEXT]
 *
 * A guest (this program again, see guest_main) makes one call many times and prints the median
 * time of its batches. Every round does that once for each row, one after the other; the table has
 * the median over the rounds, and the median of the ratios to the native row of the same round.
 */
#define _GNU_SOURCE 1

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cerebro/process_kernel.h"

enum { ROUNDS_MAX = 99, BATCHES = 101, KERNELS_MAX = 1000 };
static const uint64_t batch_ns = 400000;

extern char **environ;

_Noreturn static void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench_api: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts its values. */
static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- the guest ---- */

static void call_getppid(void)
{
    syscall(SYS_getppid, "/usr/share/a/name/of/common/length");
}

static void call_stat(void)
{
    struct stat attributes;

    if (stat("/etc/passwd", &attributes) < 0)
        die("stat: %s", strerror(errno));
}

static double time_batch(void (*call)(void), uint64_t count)
{
    uint64_t start = now_ns();

    for (uint64_t i = 0; i < count; i++)
        call();
    return (double)(now_ns() - start) / (double)count;
}

static int guest_main(const char *what)
{
    void (*call)(void) = strcmp(what, "stat") == 0 ? call_stat : call_getppid;
    double batches[BATCHES];
    uint64_t count = 8;

    if (strcmp(what, "pause") == 0)
        return pause();
    while (time_batch(call, count) * (double)count < (double)batch_ns)
        count *= 2;
    for (unsigned i = 0; i < BATCHES; i++)
        batches[i] = time_batch(call, count);
    printf("%.1f\n", median(batches, BATCHES));
    return 0;
}

/* ---- rows: what the guest does, and what is registered ---- */

static long empty(struct pk_call *call, void *user)
{
    (void)call;
    (void)user;
    return 1;
}

static long read_string(struct pk_call *call, void *user)
{
    char text[256];

    (void)user;
    return pk_call_read_string(call, pk_call_arg(call, 0), text, sizeof(text));
}

static long let_native(struct pk_call *call, void *user)
{
    (void)user;
    return pk_call_native(call);
}

static long forward(struct pk_call *call, void *user)
{
    (void)user;
    return pk_call_forward(call);
}

struct row {
    const char *name;
    const char *call;        /* of the guest */
    const char *native;      /* name of the row it is compared with; NULL: without a kernel */
    int nr;                  /* a number that `handler` has; 0: none */
    pk_call_handler handler; /* ... */
    unsigned others;         /* so many other numbers are registered */
    double samples[ROUNDS_MAX];
};

/*
 * Prices of calls. A row for a handler in another language, or for a guest that was attached to,
 * goes here: run_row() has to know how it is started.
 */
static struct row rows[] = {
    {.name = "getppid, native", .call = "getppid"},
    {.name = "getppid, nothing registered", .call = "getppid", .native = "getppid, native"},
    {.name = "getppid, 1 other number",
     .call = "getppid",
     .native = "getppid, native",
     .others = 1},
    {.name = "getppid, 10 other numbers",
     .call = "getppid",
     .native = "getppid, native",
     .others = 10},
    {.name = "getppid, 50 other numbers",
     .call = "getppid",
     .native = "getppid, native",
     .others = 50},
    {.name = "stat, native", .call = "stat"},
    {.name = "stat, served by the kernel", .call = "stat", .native = "stat, native"},
    {.name = "handler: empty",
     .call = "getppid",
     .native = "getppid, native",
     .nr = SYS_getppid,
     .handler = empty},
    {.name = "handler: reads a string",
     .call = "getppid",
     .native = "getppid, native",
     .nr = SYS_getppid,
     .handler = read_string},
    {.name = "handler: pk_call_native",
     .call = "getppid",
     .native = "getppid, native",
     .nr = SYS_getppid,
     .handler = let_native},
    {.name = "handler: pk_call_forward, stat",
     .call = "stat",
     .native = "stat, native",
     .nr = SYS_newfstatat,
     .handler = forward},
    {.name = "start to end of true, native", .call = NULL},
    {.name = "start to end of true, pk_spawn",
     .call = NULL,
     .native = "start to end of true, native"},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static char self[4096];

static void register_others(process_kernel_t *kernel, unsigned count)
{
    for (int nr = SYS_bpf - 1; count > 0 && nr > 0; nr--)
        if (nr != SYS_getppid && pk_set_handler(kernel, nr, forward, NULL) == 0)
            count--;
    if (count)
        die("there are not enough numbers");
}

static process_kernel_t *make_kernel(const struct row *row)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "bench");

    if (kernel == NULL)
        die("pk_create: %s", strerror(errno));
    if (row->nr && pk_set_handler(kernel, row->nr, row->handler, NULL) < 0)
        die("%s: %s", row->name, pk_last_error());
    register_others(kernel, row->others);
    return kernel;
}

static void run_native(char *const argv[])
{
    int status = -1;
    pid_t pid;

    errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (errno || waitpid(pid, &status, 0) != pid || status)
        die("%s: %s, status %d", argv[0], strerror(errno), status);
}

static void run_guest(const struct row *row, char *const argv[])
{
    process_kernel_t *kernel = make_kernel(row);
    int status = -1;

    if (pk_spawn(kernel, argv) < 0)
        die("%s: %s", row->name, pk_last_error());
    pk_wait(kernel, &status);
    if (status)
        die("%s: status %d", row->name, status);
    pk_destroy(kernel);
}

static void run_row(const struct row *row, char *const argv[])
{
    if (row->native)
        run_guest(row, argv);
    else
        run_native(argv);
}

/* Runs with the standard output in a pipe; returns the number that was printed. */
static double number_of(const struct row *row, char *const argv[])
{
    char text[64] = "";
    int ours = dup(1);
    int ends[2];

    if (ours < 0 || pipe2(ends, O_CLOEXEC) < 0 || dup2(ends[1], 1) < 0)
        die("pipe: %s", strerror(errno));
    close(ends[1]);
    run_row(row, argv);
    dup2(ours, 1);
    close(ours);
    if (read(ends[0], text, sizeof(text) - 1) <= 0)
        die("%s: the guest has said nothing", row->name);
    close(ends[0]);
    return strtod(text, NULL);
}

static double measure(const struct row *row)
{
    uint64_t start = now_ns();

    if (row->call)
        return number_of(row, (char *[]){self, "--guest", (char *)row->call, NULL});
    run_row(row, (char *[]){"/bin/true", NULL});
    return (double)(now_ns() - start);
}

static const struct row *native_of(const struct row *row)
{
    for (unsigned i = 0; i < ROWS; i++)
        if (row->native && strcmp(rows[i].name, row->native) == 0)
            return &rows[i];
    return row;
}

static void print_time(double ns)
{
    if (ns < 1000)
        printf("%8.0f ns", ns);
    else if (ns < 1000000)
        printf("%8.2f us", ns / 1000);
    else
        printf("%8.2f ms", ns / 1000000);
}

static void print_row(const struct row *row, unsigned rounds)
{
    double times[ROUNDS_MAX];
    double ratios[ROUNDS_MAX];

    for (unsigned i = 0; i < rounds; i++) {
        times[i] = row->samples[i];
        ratios[i] = row->samples[i] / native_of(row)->samples[i];
    }
    printf("%-34s ", row->name);
    print_time(median(times, rounds));
    printf("  x%-8.2f", median(ratios, rounds));
    printf("  (%.0f%% to %.0f%%)\n", 100 * times[0] / median(times, rounds),
           100 * times[rounds - 1] / median(times, rounds));
}

/* Native rows always are: the others are compared with them. */
static bool is_wanted(const struct row *row, const char *only)
{
    return row->native == NULL || strstr(row->name, only);
}

static void price_calls(unsigned rounds, const char *only)
{
    for (unsigned i = 0; i < rounds; i++)
        for (unsigned k = 0; k < ROWS; k++)
            if (is_wanted(&rows[k], only))
                rows[k].samples[i] = measure(&rows[k]);
    printf("%-34s %11s  %-9s  %s\n", "", "median", "native", "least, most");
    for (unsigned k = 0; k < ROWS; k++)
        if (is_wanted(&rows[k], only))
            print_row(&rows[k], rounds);
}

/* ---- many kernels at once ---- */

enum part { FRONT, SUPERVISOR, REAPER, GUEST, PARTS };
static const char *const part_names[PARTS] = {"front", "supervisor", "reaper", "guest"};

struct memory {
    unsigned count;
    double pss_kb, rss_kb;
};

static double kilobytes(const char *pid, const char *file, const char *field)
{
    char path[300];
    char line[256];
    double sum = 0;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%s/%s", pid, file);
    in = fopen(path, "r");
    while (in && fgets(line, sizeof(line), in))
        if (strncmp(line, field, strlen(field)) == 0)
            sum += strtod(line + strlen(field), NULL);
    if (in)
        fclose(in);
    return sum;
}

/* PARTS: none of them (a kernel that has ended leaves a process that closes its descriptors). */
static enum part part_of(const char *comm)
{
    static const char *const comms[PARTS] = {"cerebro", "cerebro-kernel", "cerebro-reaper",
                                             "bench_api"};
    enum part part = FRONT;

    while (part < PARTS && strcmp(comm, comms[part]) != 0)
        part++;
    return part;
}

static void add_process(const char *pid, const pid_t *session, struct memory memory[PARTS])
{
    char path[300];
    char comm[32] = "";
    struct memory *part;
    enum part which;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    in = fopen(path, "r");
    if (in == NULL || fscanf(in, "%31s", comm) != 1 ||
        getsid((pid_t)strtol(pid, NULL, 10)) != *session) {
        if (in)
            fclose(in);
        return;
    }
    fclose(in);
    which = part_of(comm);
    if (which == PARTS)
        return;
    part = &memory[which];
    part->count++;
    part->pss_kb += kilobytes(pid, "smaps_rollup", "Pss:");
    part->rss_kb += kilobytes(pid, "status", "VmRSS:");
}

/* All processes of our session but ourselves: it is a new one. */
static void weigh(struct memory memory[PARTS])
{
    pid_t session = getsid(0);
    struct dirent *entry;
    DIR *proc = opendir("/proc");

    while (proc && (entry = readdir(proc)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            strtol(entry->d_name, NULL, 10) != getpid())
            add_process(entry->d_name, &session, memory);
    if (proc)
        closedir(proc);
}

static void print_memory(const struct memory memory[PARTS], double program_kb, unsigned kernels)
{
    for (unsigned i = 0; i < PARTS; i++)
        printf("  %-12s %4u processes  %7.0f KiB PSS  %7.0f KiB RSS each\n", part_names[i],
               memory[i].count, memory[i].pss_kb / memory[i].count,
               memory[i].rss_kb / memory[i].count);
    printf("  %-12s %27.1f KiB RSS for each kernel\n", "this program", program_kb / kernels);
}

static void price_many(unsigned kernels)
{
    static const struct row waiting = {
        .name = "many", .native = "", .nr = SYS_getppid, .handler = empty};
    struct memory memory[PARTS] = {0};
    double before = kilobytes("self", "status", "VmRSS:");
    double starts[KERNELS_MAX];
    double program;
    uint64_t start;

    for (unsigned i = 0; i < kernels; i++) {
        process_kernel_t *kernel = make_kernel(&waiting);

        start = now_ns();
        if (pk_spawn(kernel, (char *[]){self, "--guest", "pause", NULL}) < 0)
            die("kernel %u: %s", i + 1, pk_last_error());
        starts[i] = (double)(now_ns() - start);
    }
    program = kilobytes("self", "status", "VmRSS:") - before;
    weigh(memory);
    start = now_ns();
    pk_shutdown();
    printf("\n%u kernels at once; pk_spawn: median ", kernels);
    print_time(median(starts, kernels));
    printf(", most ");
    print_time(starts[kernels - 1]);
    printf("; pk_shutdown of all: ");
    print_time((double)(now_ns() - start));
    printf("\n");
    print_memory(memory, program, kernels);
}

/* Goes on in a child, in a session of its own, by which weigh() tells its processes. */
static void enter_session(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        return;
    }
    waitpid(pid, &status, 0);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static unsigned number(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*end || value > most)
        die("'%s' is not a number up to %lu", text, most);
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"kernels", required_argument, NULL, 'k'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    unsigned rounds = 9;
    unsigned kernels = 200;
    const char *only = "";
    int option;

    if (argc == 3 && strcmp(argv[1], "--guest") == 0)
        return guest_main(argv[2]);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (option == 'r')
            rounds = number(optarg, ROUNDS_MAX);
        else if (option == 'k')
            kernels = number(optarg, KERNELS_MAX);
        else if (option == 'o')
            only = optarg;
        else
            return 2;
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        die("/proc: %s", strerror(errno));
    enter_session();
    if (pk_init() < 0)
        die("%s (%s)", pk_last_error(), pk_last_hint());
    if (rounds)
        price_calls(rounds, only);
    if (kernels)
        price_many(kernels);
    return 0;
}

/*
 * micro.c - price list of single operations.
 *
 *     bench_micro [--data DIR] [--work DIR] [--ms N] NAME...
 *     bench_micro --prepare --data DIR
 *     bench_micro --list
 *
 * Each benchmark prints one line of key=value pairs, times in nanoseconds per operation:
 *
 *     micro name=stat min=751.2 p10=760.0 p50=772.9 p90=801.4 batch=256 samples=1432
 *
 * Many short batches instead of one long loop: on a shared machine some batches run undisturbed,
 * so the low percentiles stay close to the truth and the spread shows how noisy the rest was.
 */
#define _GNU_SOURCE 1

#include "micro.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_SAMPLES = 20000,
    MIN_SAMPLES = 5,
    WARM_UP_RUNS = 4,
    BATCH_NS = 200000, /* long against the clock's 30 ns, short against a time slice */
    MAX_BATCH = 1 << 20,
    DEFAULT_BUDGET_MS = 300,
    MAX_BUDGET_MS = 60000,
};

struct options {
    const char *data;
    const char *work;
    long budget_ms;
    bool prepare;
    bool list;
};

_Noreturn void micro_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench_micro: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void micro_join(char *out, const char *dir, const char *name)
{
    int length = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    if (length < 0 || length >= PATH_MAX)
        micro_die("path too long: %s/%s", dir, name);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t time_batch(const struct micro *bench, struct micro_state *state, uint64_t count)
{
    uint64_t start = now_ns();
    bench->run(state, count);
    return now_ns() - start;
}

/*
 * The best of three, because one interrupted trial would settle on a batch so short that reading
 * the clock shows in the result.
 */
static uint64_t choose_batch(const struct micro *bench, struct micro_state *state)
{
    for (int i = 0; i < WARM_UP_RUNS; i++)
        bench->run(state, 1);
    uint64_t count = 1;
    for (; count < MAX_BATCH; count *= 2) {
        uint64_t best = UINT64_MAX;
        for (int i = 0; i < 3 && best >= BATCH_NS; i++) {
            uint64_t spent = time_batch(bench, state, count);
            best = spent < best ? spent : best;
        }
        if (best >= BATCH_NS)
            break;
    }
    return count;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile(const double *sorted, size_t count, unsigned int percent)
{
    return sorted[(count - 1) * percent / 100];
}

static void report(const char *name, double *samples, size_t count, uint64_t batch)
{
    qsort(samples, count, sizeof(samples[0]), compare_doubles);
    printf("micro name=%s min=%.1f p10=%.1f p50=%.1f p90=%.1f batch=%llu samples=%zu\n", name,
           samples[0], percentile(samples, count, 10), percentile(samples, count, 50),
           percentile(samples, count, 90), (unsigned long long)batch, count);
    fflush(stdout);
}

static void measure(const struct micro *bench, struct micro_state *state, long budget_ms)
{
    static double samples[MAX_SAMPLES];
    size_t count = 0;

    bench->set_up(state);
    uint64_t batch = choose_batch(bench, state);
    uint64_t deadline = now_ns() + (uint64_t)budget_ms * 1000000u;
    while (count < MAX_SAMPLES && (count < MIN_SAMPLES || now_ns() < deadline))
        samples[count++] = (double)time_batch(bench, state, batch) / (double)batch;
    bench->tear_down(state);
    report(bench->name, samples, count, batch);
}

static const struct micro *find_in(const struct micro *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static const struct micro *const tables[] = {micro_files, micro_processes, micro_services};
enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static const struct micro *find_benchmark(const char *name)
{
    for (int i = 0; i < TABLES; i++) {
        const struct micro *bench = find_in(tables[i], name);
        if (bench)
            return bench;
    }
    micro_die("no benchmark '%s' (see --list)", name);
}

static void list_table(const struct micro *table)
{
    for (; table->name; table++)
        printf("%-16s %s\n", table->name, table->what);
}

static long parse_budget(const char *text)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > MAX_BUDGET_MS)
        micro_die("--ms wants 1 to %d, not '%s'", MAX_BUDGET_MS, text);
    return value;
}

static void parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"data", required_argument, NULL, 'd'}, {"work", required_argument, NULL, 'w'},
        {"ms", required_argument, NULL, 'm'},   {"prepare", no_argument, NULL, 'p'},
        {"list", no_argument, NULL, 'l'},       {NULL, 0, NULL, 0},
    };
    int found;
    while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (found) {
        case 'd':
            options->data = optarg;
            break;
        case 'w':
            options->work = optarg;
            break;
        case 'm':
            options->budget_ms = parse_budget(optarg);
            break;
        case 'p':
            options->prepare = true;
            break;
        case 'l':
            options->list = true;
            break;
        default:
            exit(2);
        }
    }
}

/* The program that does nothing lies beside this one; a guest's /proc may say something else. */
static void find_nothing(char *out, const char *self)
{
    const char *slash = strrchr(self, '/');
    int length = slash ? (int)(slash - self) : 1;
    if (snprintf(out, PATH_MAX, "%.*s/bench_nothing", length, slash ? self : ".") >= PATH_MAX)
        micro_die("path too long: %s", self);
}

int main(int argc, char **argv)
{
    struct options options = {.data = ".", .work = ".", .budget_ms = DEFAULT_BUDGET_MS};
    parse_options(argc, argv, &options);

    if (options.list) {
        for (int i = 0; i < TABLES; i++)
            list_table(tables[i]);
        return 0;
    }
    if (options.prepare)
        micro_prepare(options.data);
    else if (optind == argc)
        micro_die("which benchmark? (see --list)");

    char nothing[PATH_MAX];
    find_nothing(nothing, argv[0]);
    for (int i = optind; i < argc; i++) {
        struct micro_state state = {
            .data = options.data, .work = options.work, .nothing = nothing, .fd = -1};
        measure(find_benchmark(argv[i]), &state, options.budget_ms);
    }
    return 0;
}

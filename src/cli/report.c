#include "cli/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/learn.h"
#include "core/limit-values.h"
#include "profile/record.h"

#define STATS_ROWS 20

int report_open(struct report *report, const struct run_options *options, struct base_error *error)
{
    int r;

    *report = (struct report){.options = options, .trace = stderr};
    r = audit_open(&report->audit, &options->audit, error);
    if (r < 0)
        return r;
    if (options->trace_file == NULL)
        return 0;
    report->trace = fopen(options->trace_file, "we");
    if (report->trace == NULL)
        return base_fail(error, errno, "name a file that you may write", "cannot open %s: %s",
                         options->trace_file, strerror(errno));
    setvbuf(report->trace, NULL, _IOLBF, 0);
    return 0;
}

void report_close(struct report *report)
{
    if (report->trace && report->trace != stderr)
        fclose(report->trace);
    audit_close(&report->audit);
    strbuf_free(&report->denials);
}

static void on_trace_line(void *user, const char *line)
{
    struct report *report = user;

    fprintf(report->trace, "%s\n", line);
}

static void on_audit(void *user, const struct pk_audit_record *record)
{
    struct report *report = user;

    audit_record(&report->audit, record);
}

static void add_denial_json(struct report *report, const struct pk_denial *denial)
{
    struct strbuf *out = &report->denials;

    if (report->denial_count++ >= REPORT_DENIALS_MAX)
        return;
    strbuf_add_string(out, out->length ? ",{\"what\":\"" : "{\"what\":\"");
    strbuf_add_json(out, denial->what);
    strbuf_add_string(out, "\",\"rule\":\"");
    strbuf_add_json(out, denial->rule);
    strbuf_add_string(out, "\",\"allow\":\"");
    strbuf_add_json(out, denial->allow);
    strbuf_addf(out, "\",\"errno\":\"%s\",\"pid\":%d%s}", abi_errno_name(denial->errnum),
                denial->pid, denial->let_through ? ",\"let_through\":true" : "");
}

/* On one line, whatever the guest calls what it is about. */
static void print_denial(const struct pk_denial *denial)
{
    cleanup_strbuf struct strbuf what = {0};

    cli_add_printable(&what, denial->what);
    fprintf(stderr, "cerebro: %s: %s (%s); to allow: %s\n",
            denial->let_through ? "would be denied" : "denied", strbuf_text(&what), denial->rule,
            denial->allow);
}

static void on_denial(void *user, const struct pk_denial *denial)
{
    struct report *report = user;

    if (report->options->recorder)
        profile_recorder_denied(report->options->recorder, denial->what, denial->rule);
    if (report->options->json) {
        add_denial_json(report, denial);
        return;
    }
    if (!report->options->quiet)
        print_denial(denial);
}

/* ---- what was written ---- */

struct diff_output {
    FILE *text; /* one of the two */
    struct strbuf *json;
    const char *prefix; /* where the layer is mounted */
    unsigned count;
};

static int on_change(enum vfs_change change, const char *path, const struct statx *stat, void *user)
{
    struct diff_output *output = user;

    output->count++;
    if (output->text) {
        fprintf(output->text, "%c %s%s%s\n", change, output->prefix, path,
                stat && S_ISDIR(stat->stx_mode) ? "/" : "");
        return 0;
    }
    strbuf_addf(output->json, "%s{\"change\":\"%c\",\"path\":\"", output->count > 1 ? "," : "",
                change);
    strbuf_add_json(output->json, output->prefix);
    strbuf_add_json(output->json, path);
    strbuf_addf(output->json, "\",\"size\":%llu}", stat ? (unsigned long long)stat->stx_size : 0);
    return 0;
}

static void each_change(const struct launch_layers *layers, struct diff_output *output)
{
    for (unsigned i = 0; i < layers->count; i++) {
        output->prefix = layers->layers[i].path;
        vfs_overlay_changes(layers->layers[i].overlay, on_change, output);
    }
}

/* ---- how often and how long ---- */

struct stats_row {
    int nr;
    const struct pk_call_stats *calls;
};

static int by_time(const void *a, const void *b)
{
    const struct pk_call_stats *x = ((const struct stats_row *)a)->calls;
    const struct pk_call_stats *y = ((const struct stats_row *)b)->calls;

    return (x->total_ns < y->total_ns) - (x->total_ns > y->total_ns);
}

static size_t collect_rows(const struct pk_stats *stats, struct stats_row rows[PK_NR_LIMIT])
{
    size_t count = 0;

    for (int nr = 0; nr < PK_NR_LIMIT; nr++)
        if (stats->calls[nr].count)
            rows[count++] = (struct stats_row){nr, &stats->calls[nr]};
    qsort(rows, count, sizeof(*rows), by_time);
    return count;
}

static const char *call_name(int nr)
{
    const struct abi_syscall *call = abi_syscall_by_nr(nr);

    return call ? call->name : "unknown";
}

static void print_stats(const struct pk_stats *stats)
{
    struct stats_row rows[PK_NR_LIMIT];
    size_t count = collect_rows(stats, rows);

    fprintf(stderr,
            "%" PRIu64 " calls served, %" PRIu64 " descriptors handed out, %" PRIu64
            " programs started, %" PRIu64 " denials, %" PRIu64 " deferred, %" PRIu64 " cancelled\n",
            stats->syscalls_intercepted, stats->descriptors_handed, stats->execs, stats->denials,
            stats->deferred, stats->cancelled);
    if (count)
        fprintf(stderr, "%-20s %10s %8s %10s %10s\n", "call", "count", "errors", "mean us",
                "max us");
    for (size_t i = 0; i < count && i < STATS_ROWS; i++) {
        const struct pk_call_stats *calls = rows[i].calls;

        fprintf(stderr, "%-20s %10" PRIu64 " %8" PRIu64 " %10.1f %10.1f\n", call_name(rows[i].nr),
                calls->count, calls->errors, (double)calls->total_ns / (double)calls->count / 1e3,
                (double)calls->max_ns / 1e3);
    }
    if (count > STATS_ROWS)
        fprintf(stderr, "... and %zu more\n", count - STATS_ROWS);
}

/* What ended before anybody looked has left no sum. */
static void print_peaks(const struct launch_usage *usage)
{
    char memory[32], largest[32];

    fputs("peaks: ", stderr);
    if (usage->memory_peak)
        fprintf(stderr, "%s of memory, ", cli_format_size(usage->memory_peak, memory));
    fprintf(stderr, "%" PRIu64 " %s, %s in one process\n", usage->processes_peak,
            usage->processes_peak == 1 ? "process" : "processes",
            cli_format_size(usage->largest, largest));
}

static void print_usage(const struct launch_result *result)
{
    const struct launch_usage *usage = &result->usage;
    char read[32], written[32];

    print_peaks(usage);
    fprintf(stderr,
            "used: %.2f s of processor time for itself and %.2f s for the host, in %.2f s; "
            "%s read and %s written\n",
            (double)usage->user_us / 1e6, (double)usage->system_us / 1e6,
            (double)result->duration_ns / 1e9, cli_format_size(usage->read_bytes, read),
            cli_format_size(usage->written_bytes, written));
}

static void add_usage_json(struct strbuf *out, const struct launch_usage *usage)
{
    strbuf_addf(out,
                ",\"usage\":{\"memory_peak\":%" PRIu64 ",\"processes_peak\":%" PRIu64
                ",\"largest_process\":%" PRIu64 ",\"user_us\":%" PRIu64 ",\"system_us\":%" PRIu64
                ",\"read_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64 "}",
                usage->memory_peak, usage->processes_peak, usage->largest, usage->user_us,
                usage->system_us, usage->read_bytes, usage->written_bytes);
}

static void add_stats_json(struct strbuf *out, const struct pk_stats *stats)
{
    struct stats_row rows[PK_NR_LIMIT];
    size_t count = collect_rows(stats, rows);

    strbuf_addf(out,
                ",\"stats\":{\"served\":%" PRIu64 ",\"descriptors\":%" PRIu64 ",\"execs\":%" PRIu64
                ",\"denials\":%" PRIu64 ",\"deferred\":%" PRIu64 ",\"cancelled\":%" PRIu64
                ",\"unknown\":%" PRIu64 ",\"calls\":[",
                stats->syscalls_intercepted, stats->descriptors_handed, stats->execs,
                stats->denials, stats->deferred, stats->cancelled, stats->unknown_calls);
    for (size_t i = 0; i < count; i++)
        strbuf_addf(out,
                    "%s{\"name\":\"%s\",\"count\":%" PRIu64 ",\"errors\":%" PRIu64
                    ",\"total_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 "}",
                    i ? "," : "", call_name(rows[i].nr), rows[i].calls->count,
                    rows[i].calls->errors, rows[i].calls->total_ns, rows[i].calls->max_ns);
    strbuf_add_string(out, "]}");
}

/* ---- what was injected ---- */

/* How many calls a rule was asked about. */
static uint64_t calls_of(const struct pk_faults *faults, size_t index)
{
    uint64_t calls = 0;

    for (int nr = 0; nr < ABI_CALL_SET_NUMBERS; nr++)
        if (faults->rule[nr] == index + 1)
            calls += faults->seen[nr];
    return calls;
}

static void print_faults(const struct pk_faults *faults)
{
    for (size_t i = 0; faults && i < faults->count; i++)
        fprintf(stderr, "injected %" PRIu64 " times in %" PRIu64 " calls: %s\n",
                faults->list[i].injected, calls_of(faults, i), faults->list[i].text);
}

static void add_faults_json(struct strbuf *out, const struct pk_faults *faults)
{
    strbuf_add_string(out, ",\"injections\":[");
    for (size_t i = 0; i < faults->count; i++) {
        strbuf_add_string(out, i ? ",{\"rule\":\"" : "{\"rule\":\"");
        strbuf_add_json(out, faults->list[i].text);
        strbuf_addf(out, "\",\"calls\":%" PRIu64 ",\"injected\":%" PRIu64 "}", calls_of(faults, i),
                    faults->list[i].injected);
    }
    strbuf_add_string(out, "]");
}

/* ---- limits ---- */

static const char *format_limit(const struct launch_breach *breach, char text[32])
{
    int limit = pk_limit_find(breach->name);

    return pk_limit_format(limit < 0 ? PK_LIMIT_PIDS : (enum pk_limit)limit, breach->limit, text);
}

/* What happened to the program, and so what the number of times counts. */
static const char *breach_text(const struct launch_breach *breach)
{
    static const struct {
        const char *name, *text;
    } texts[] = {{"memory", "processes killed"},
                 {"pids", "new processes refused"},
                 {"files", "descriptors refused"},
                 {"cpu", "processes ended by SIGXCPU"},
                 {"fsize", "writes refused or ended by SIGXFSZ"},
                 {"wall", "all processes ended"}};

    if (breach->evidence == LAUNCH_SEEN)
        return strcmp(breach->name, "memory") == 0
                   ? "no cgroup here: the processes together were seen above it and ended"
                   : "no cgroup here, but it was seen to be full, times";
    for (size_t i = 0; i < array_length(texts); i++)
        if (strcmp(texts[i].name, breach->name) == 0)
            return texts[i].text;
    return "times";
}

/* What a limit refused is as good as a denial to who reads the log. */
static void record_breaches(struct report *report, const struct pk_kernel *kernel,
                            const struct launch_result *result)
{
    for (unsigned i = 0; i < result->breach_count; i++) {
        const struct launch_breach *breach = &result->breaches[i];
        bool counted = breach->evidence != LAUNCH_SUSPECTED;
        cleanup_strbuf struct strbuf what = {0};
        struct pk_audit_record record = {.event = "limit", .pid = kernel->root_pid};
        char limit[32];

        strbuf_addf(&what, "%s %s", breach->name, format_limit(breach, limit));
        if (counted)
            strbuf_addf(&what, ": %s: %" PRIu64, breach_text(breach), breach->times);
        record.what = strbuf_text(&what);
        record.rule = counted ? "limit reached" : "limit perhaps reached";
        clock_gettime(CLOCK_REALTIME, &record.time);
        audit_record(&report->audit, &record);
    }
}

static void print_breaches(const struct launch_result *result)
{
    for (unsigned i = 0; i < result->breach_count; i++) {
        const struct launch_breach *breach = &result->breaches[i];
        char limit[32];

        format_limit(breach, limit);
        if (breach->evidence == LAUNCH_SUSPECTED)
            fprintf(stderr,
                    "cerebro: limit perhaps reached: %s %s (how the program ended looks like it; "
                    "without a cgroup nobody counts); to allow more: --limit %s=N\n",
                    breach->name, limit, breach->name);
        else
            fprintf(stderr,
                    "cerebro: limit reached: %s %s (%s: %" PRIu64
                    "); to allow more: --limit %s=N\n",
                    breach->name, limit, breach_text(breach), breach->times, breach->name);
    }
}

static void add_breaches_json(struct strbuf *out, const struct launch_result *result)
{
    static const char *const evidence[] = {
        [LAUNCH_COUNTED] = "counted", [LAUNCH_SEEN] = "seen", [LAUNCH_SUSPECTED] = "suspected"};

    strbuf_add_string(out, ",\"limits_reached\":[");
    for (unsigned i = 0; i < result->breach_count; i++) {
        const struct launch_breach *breach = &result->breaches[i];

        strbuf_addf(
            out,
            "%s{\"name\":\"%s\",\"limit\":%" PRIu64 ",\"times\":%" PRIu64 ",\"evidence\":\"%s\"}",
            i ? "," : "", breach->name, breach->limit, breach->times, evidence[breach->evidence]);
    }
    strbuf_add_string(out, "]");
}

/* ---- the end ---- */

static void add_diff_json(struct strbuf *out, const struct launch_layers *layers)
{
    struct diff_output output = {.json = out};

    strbuf_add_string(out, ",\"diff\":[");
    each_change(layers, &output);
    strbuf_add_string(out, "]");
}

static void print_json(const struct report *report, struct pk_kernel *kernel,
                       const struct launch_layers *layers, const struct launch_result *result)
{
    cleanup_strbuf struct strbuf out = {0};
    int status = result->wait_status;

    strbuf_add_string(&out, "{\"program\":\"");
    strbuf_add_json(&out, report->options->launch.argv[0]);
    strbuf_addf(&out, "\",\"ran\":true,\"exit_status\":%d,\"signal\":%d,\"duration_ms\":%.3f",
                result->exit_status, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                (double)result->duration_ns / 1e6);
    strbuf_addf(&out, ",\"denials\":[%s]", strbuf_text(&report->denials));
    add_breaches_json(&out, result);
    if (kernel->config.faults)
        add_faults_json(&out, kernel->config.faults);
    if (report->options->launch.stats) {
        add_stats_json(&out, &kernel->stats);
        add_usage_json(&out, &result->usage);
    }
    if (report->options->diff)
        add_diff_json(&out, layers);
    strbuf_add_string(&out, "}");
    fprintf(stderr, "%s\n", strbuf_text(&out));
}

static void print_diff(const struct launch_layers *layers)
{
    struct diff_output output = {.text = stderr};

    each_change(layers, &output);
    if (output.count == 0)
        fprintf(stderr, "nothing was written\n");
}

static void on_report(void *user, struct pk_kernel *kernel, const struct launch_layers *layers,
                      const struct launch_result *result)
{
    struct report *report = user;
    uint64_t lost;

    record_breaches(report, kernel, result);
    lost = audit_finish(&report->audit);
    if (report->options->recorder)
        learn_write(report->options);
    if (lost && !report->audit.unasked)
        fprintf(stderr, "cerebro: the audit log is incomplete: %" PRIu64 " records lost%s%s\n",
                lost, report->audit.error ? ": " : "",
                report->audit.error ? strerror(report->audit.error) : "");
    if (ferror(report->trace) && report->trace != stderr)
        fprintf(stderr, "cerebro: the trace is incomplete: %s cannot be written\n",
                report->options->trace_file);
    if (report->options->json) {
        print_json(report, kernel, layers, result);
        return;
    }
    if (!report->options->quiet)
        print_breaches(result);
    if (report->options->diff)
        print_diff(layers);
    if (report->options->launch.stats) {
        print_stats(&kernel->stats);
        print_usage(result);
    }
    if (report->options->launch.stats)
        print_faults(kernel->config.faults);
}

void report_hooks(struct report *report, struct launch_hooks *ret_hooks)
{
    report->trace_options = report->options->trace;
    report->trace_options.line = on_trace_line;
    report->trace_options.user = report;
    trace_tracer(&report->trace_options, &report->tracer);
    *ret_hooks = (struct launch_hooks){
        .sink = {.denial = on_denial,
                 .audit = report->audit.kind != AUDIT_OFF ? on_audit : NULL,
                 .user = report},
        .report = on_report,
        .tracer = report->options->traced ? &report->tracer : NULL,
        .observer =
            report->options->recorder ? profile_recorder_observer(report->options->recorder) : NULL,
        .user = report,
    };
}

/* The words and numbers of `cerebro top`; a number that is not known is "-". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/ps.h"
#include "cli/top.h"

/* "12", "3.4k", "56M": five places at most. */
static char *format_count(double value, char text[16])
{
    static const char units[] = " kMGT";
    unsigned unit = 0;

    while (value >= 9999.5 && units[unit + 1]) {
        value /= 1000;
        unit++;
    }
    if (value < 0)
        snprintf(text, 16, "-");
    else if (unit)
        snprintf(text, 16, "%.0f%c", value, units[unit]);
    else
        snprintf(text, 16, "%.0f", value);
    return text;
}

/* "850n", "4.2u", "12m", "3.1s": a duration in five places. */
static char *format_time(uint64_t ns, char text[16])
{
    static const char units[] = "num";
    double value = (double)ns;
    unsigned unit = 0;

    while (value >= 999.5 && unit < 3) {
        value /= 1000;
        unit++;
    }
    if (ns == 0)
        snprintf(text, 16, "-");
    else
        snprintf(text, 16, "%.*f%c", unit && value < 9.95, value, unit < 3 ? units[unit] : 's');
    return text;
}

/* Without the space, so that a column is narrow: "1.5M", "87M". */
static char *format_bytes(uint64_t bytes, char text[16])
{
    static const char units[] = "BKMGT";
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 999.5 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 16, "%.*f%c", unit && value < 9.95, value, units[unit]);
    return text;
}

void top_add_summary(const struct top *top, struct strbuf *out)
{
    unsigned tasks = 0;
    uint64_t denials = 0;
    double rate = 0;
    char text[16];

    for (size_t i = 0; i < top->count; i++) {
        double one = top_rate(top->kernels[i]);

        tasks += top->kernels[i]->threads;
        denials += top->kernels[i]->now.denials;
        rate += one > 0 ? one : 0;
    }
    strbuf_addf(out, "cerebro top: %zu kernel%s, %u tasks, %s calls/s, %" PRIu64 " denials",
                top->count, top->count == 1 ? "" : "s", tasks, format_count(rate, text), denials);
}

void top_add_header(struct strbuf *out)
{
    strbuf_addf(out, "%7s %5s %7s %6s %6s %6s %5s %5s %6s %7s  %s", "KERNEL", "TASKS", "CALLS/S",
                "P50", "P99", "DENIED", "%KERN", "%PROG", "MEMORY", "UPTIME", "COMMAND");
}

/* Why a kernel's own numbers are not there, or are those of an attachment only. */
static const char *remark(const struct top_kernel *kernel)
{
    switch (kernel->state) {
    case TOP_SILENT:
        return kernel->stopped ? "[stopped] " : "[no answer] ";
    case TOP_FOREIGN:
        return "[of another user] ";
    default:
        if (strcmp(kernel->kind, "run") == 0)
            return "";
        return strcmp(kernel->kind, "attached") == 0 ? "[attached] " : "[detached] ";
    }
}

void top_add_row(const struct top_kernel *kernel, struct strbuf *out)
{
    char rate[16], half[16], most[16], memory[16], denials[16], uptime[32];

    ps_format_uptime(kernel->uptime, uptime);
    strbuf_addf(out, "%7d %5u %7s %6s %6s %6s %5.0f %5.0f %6s %7s  %s%s", kernel->pid,
                kernel->threads, format_count(top_rate(kernel), rate),
                format_time(top_latency(kernel, 0.5), half),
                format_time(top_latency(kernel, 0.99), most),
                format_count(kernel->has_now ? (double)kernel->now.denials : -1, denials),
                kernel->own_cpu, kernel->guest_cpu, format_bytes(kernel->memory, memory), uptime,
                remark(kernel), strbuf_text(&kernel->command));
}

void top_add_call_header(struct strbuf *out)
{
    strbuf_addf(out, "%-20s %8s %8s %7s %7s %7s", "CALL", "CALLS/S", "ERRORS/S", "P50", "P99",
                "MAX");
}

void top_add_call(const struct top_call *call, double seconds, struct strbuf *out)
{
    char rate[16], errors[16], half[16], most[16], longest[16];

    strbuf_addf(out, "%-20.20s %8s %8s %7s %7s %7s", call->name,
                format_count((double)call->count / seconds, rate),
                format_count((double)call->errors / seconds, errors),
                format_time(pk_latency_quantile(call->buckets, 0.5), half),
                format_time(pk_latency_quantile(call->buckets, 0.99), most),
                format_time(call->max_ns, longest));
}

void top_add_details(const struct top_kernel *kernel, struct strbuf *out)
{
    char own[16], guest[16], uptime[32];

    ps_format_uptime(kernel->uptime, uptime);
    strbuf_addf(out, "kernel %d: %s%s\n", kernel->pid, remark(kernel),
                strbuf_text(&kernel->command));
    strbuf_addf(out, "guest %d, user %u, %u processes, %u threads, up %s\n", kernel->guest,
                kernel->uid, kernel->processes, kernel->threads, uptime);
    strbuf_addf(out, "memory: program %s, kernel %s; CPU: program %.0f%%, kernel %.0f%%\n",
                format_bytes(kernel->memory, guest), format_bytes(kernel->own_memory, own),
                kernel->guest_cpu, kernel->own_cpu);
    if (kernel->has_now)
        strbuf_addf(out,
                    "served %" PRIu64 ", programs started %" PRIu64 ", denied %" PRIu64
                    " (see: cerebro log --pid %d)\n",
                    kernel->now.served, kernel->now.execs, kernel->now.denials, kernel->pid);
}

static void add_call_json(const struct top_call *call, double seconds, struct strbuf *out)
{
    strbuf_add_string(out, "{\"name\":\"");
    strbuf_add_json(out, call->name);
    strbuf_addf(out,
                "\",\"calls_per_s\":%.1f,\"errors_per_s\":%.1f,\"p50_ns\":%" PRIu64
                ",\"p99_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 "}",
                (double)call->count / seconds, (double)call->errors / seconds,
                pk_latency_quantile(call->buckets, 0.5), pk_latency_quantile(call->buckets, 0.99),
                call->max_ns);
}

/* What a kernel did not say is null. */
static void add_answer_json(const struct top_kernel *kernel, struct strbuf *out)
{
    size_t count = 0;
    cleanup_free struct top_call *calls = top_calls(kernel, &count);
    double seconds = top_seconds(kernel);

    if (seconds <= 0) {
        strbuf_add_string(out, ",\"calls_per_s\":null,\"p50_ns\":null,\"p99_ns\":null,"
                               "\"denials\":null,\"served\":null,\"calls\":null");
        return;
    }
    strbuf_addf(out,
                ",\"calls_per_s\":%.1f,\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
                ",\"denials\":%" PRIu64 ",\"served\":%" PRIu64 ",\"calls\":[",
                top_rate(kernel), top_latency(kernel, 0.5), top_latency(kernel, 0.99),
                kernel->now.denials, kernel->now.served);
    for (size_t i = 0; i < count; i++) {
        strbuf_add_string(out, i ? "," : "");
        add_call_json(&calls[i], seconds, out);
    }
    strbuf_add_string(out, "]");
}

void top_add_json(const struct top *top, struct strbuf *out)
{
    static const char *const states[] = {[TOP_NEW] = "new",
                                         [TOP_KNOWN] = "answers",
                                         [TOP_SILENT] = "silent",
                                         [TOP_FOREIGN] = "foreign"};

    strbuf_add_string(out, "[");
    for (size_t i = 0; i < top->count; i++) {
        const struct top_kernel *kernel = top->kernels[i];

        strbuf_addf(
            out,
            "%s{\"kernel\":%d,\"guest\":%d,\"kind\":\"%s\",\"uid\":%u,\"state\":\"%s\",\"stopped\":%s,"
            "\"uptime_s\":%.1f,\"processes\":%u,\"tasks\":%u,\"memory_bytes\":%" PRIu64
            ",\"kernel_memory_bytes\":%" PRIu64 ",\"cpu_percent\":%.1f,\"kernel_cpu_percent\":%.1f",
            i ? "," : "", kernel->pid, kernel->guest, kernel->kind, kernel->uid,
            states[kernel->state], kernel->stopped ? "true" : "false", kernel->uptime,
            kernel->processes, kernel->threads, kernel->memory, kernel->own_memory,
            kernel->guest_cpu, kernel->own_cpu);
        add_answer_json(kernel, out);
        strbuf_add_string(out, ",\"command\":\"");
        strbuf_add_json(out, strbuf_text(&kernel->command));
        strbuf_add_string(out, "\"}");
    }
    strbuf_add_string(out, "]");
}

#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/ps.h"
#include "cli/top.h"
#include "control/control.h"

/*
 * Measuring goes on so much longer than a look: a user who stopped looking costs nothing. A kernel
 * takes no more than an hour.
 */
#define MEASURE_MORE_S 5
#define MEASURE_MAX_S  3600

const char *const top_order_names[TOP_ORDERS] = {
    [TOP_BY_CALLS] = "calls",     [TOP_BY_CPU] = "cpu",         [TOP_BY_MEMORY] = "memory",
    [TOP_BY_LATENCY] = "latency", [TOP_BY_DENIALS] = "denials", [TOP_BY_TASKS] = "tasks",
    [TOP_BY_PID] = "pid"};

/* ---- an answer ---- */

static uint64_t number_of(struct json_object *object, const char *name)
{
    struct json_object *value;

    return json_object_object_get_ex(object, name, &value) ? json_object_get_uint64(value) : 0;
}

static void free_answer(struct top_answer *answer)
{
    free(answer->calls);
    *answer = (struct top_answer){0};
}

static uint64_t item(struct json_object *pair, size_t index)
{
    return json_object_get_uint64(json_object_array_get_idx(pair, index));
}

static bool is_array(struct json_object *object, const char *name, struct json_object **ret_array)
{
    return json_object_object_get_ex(object, name, ret_array) &&
           json_object_is_type(*ret_array, json_type_array);
}

static void read_call(struct json_object *object, struct top_call *call)
{
    struct json_object *buckets;
    struct json_object *name = NULL;

    *call = (struct top_call){.nr = (int)number_of(object, "nr"),
                              .count = number_of(object, "count"),
                              .errors = number_of(object, "errors"),
                              .max_ns = number_of(object, "max_ns")};
    json_object_object_get_ex(object, "name", &name);
    snprintf(call->name, sizeof(call->name), "%s", name ? json_object_get_string(name) : "?");
    if (!is_array(object, "buckets", &buckets))
        return;
    for (size_t i = 0; i < json_object_array_length(buckets); i++) {
        struct json_object *pair = json_object_array_get_idx(buckets, i);

        if (json_object_is_type(pair, json_type_array) && item(pair, 0) < PK_LATENCY_BUCKETS)
            call->buckets[item(pair, 0)] = item(pair, 1);
    }
}

static int read_answer(const char *text, struct top_answer *ret_answer)
{
    struct json_object *object = json_tokener_parse(text);
    struct json_object *calls;
    struct top_answer answer = {.at_ns = number_of(object, "uptime_ns"),
                                .served = number_of(object, "syscalls_intercepted"),
                                .denials = number_of(object, "denials"),
                                .execs = number_of(object, "execs")};
    int r = is_array(object, "calls", &calls) ? 0 : -EPROTO;

    if (r == 0) {
        answer.call_count = json_object_array_length(calls);
        answer.calls = calloc(answer.call_count + 1, sizeof(*answer.calls));
        r = answer.calls ? 0 : -ENOMEM;
    }
    for (size_t i = 0; r == 0 && i < answer.call_count; i++) {
        read_call(json_object_array_get_idx(calls, i), &answer.calls[i]);
        for (unsigned b = 0; b < PK_LATENCY_BUCKETS; b++)
            answer.buckets[b] += answer.calls[i].buckets[b];
    }
    json_object_put(object);
    if (r == 0)
        *ret_answer = answer;
    return r;
}

/* ---- asking ---- */

static void hang_up(struct top_kernel *kernel)
{
    base_close(take_fd(&kernel->fd));
    kernel->pending = 0;
}

static void take_answers(struct top_kernel *kernel)
{
    while (kernel->pending) {
        cleanup_strbuf struct strbuf text = {0};
        struct top_answer answer;
        int r = control_take(kernel->fd, &text, NULL);

        if (r == -EAGAIN)
            return;
        if (r < 0) {
            hang_up(kernel);
            return;
        }
        kernel->pending--;
        /* "measure" answers with an empty object. */
        if (read_answer(strbuf_text(&text), &answer) < 0)
            continue;
        free_answer(&kernel->before);
        kernel->before = kernel->now;
        kernel->has_before = kernel->has_now;
        kernel->now = answer;
        kernel->has_now = true;
        kernel->state = TOP_KNOWN;
    }
}

static void ask(struct top_kernel *kernel, double delay)
{
    unsigned seconds = (unsigned)delay + MEASURE_MORE_S;
    char measure[32];

    if (kernel->state == TOP_FOREIGN)
        return;
    if (kernel->fd < 0) {
        int r = control_connect_now(kernel->pid, &kernel->fd, NULL);

        if (r == -EPERM)
            kernel->state = TOP_FOREIGN;
        if (r < 0)
            return;
    }
    take_answers(kernel);
    if (kernel->pending || kernel->fd < 0)
        return;
    snprintf(measure, sizeof(measure), "measure %u",
             seconds < MEASURE_MAX_S ? seconds : MEASURE_MAX_S);
    if (control_begin(kernel->fd, measure) == 0)
        kernel->pending++;
    if (control_begin(kernel->fd, "stats") == 0)
        kernel->pending++;
    if (kernel->pending < 2)
        hang_up(kernel);
}

/* Who did not answer the last time is not waited for, only listened to. */
static size_t waited_for(struct top *top, struct pollfd *polls)
{
    size_t count = 0;

    for (size_t i = 0; i < top->count; i++)
        if (top->kernels[i]->pending && top->kernels[i]->state != TOP_SILENT)
            polls[count++] = (struct pollfd){.fd = top->kernels[i]->fd, .events = POLLIN};
    return count;
}

static int ask_all(struct top *top)
{
    cleanup_free struct pollfd *polls = calloc(top->count + 1, sizeof(*polls));
    uint64_t end = io_now_ns() + TOP_PATIENCE_MS * 1000000ULL;
    uint64_t now;
    size_t count;

    if (polls == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < top->count; i++)
        ask(top->kernels[i], top->delay);
    while ((count = waited_for(top, polls)) && (now = io_now_ns()) < end) {
        poll(polls, count, (int)((end - now) / 1000000) + 1);
        for (size_t i = 0; i < top->count; i++)
            take_answers(top->kernels[i]);
    }
    for (size_t i = 0; i < top->count; i++) {
        struct top_kernel *kernel = top->kernels[i];

        take_answers(kernel);
        if ((kernel->pending || kernel->fd < 0) && kernel->state != TOP_FOREIGN)
            kernel->state = TOP_SILENT;
    }
    return 0;
}

/* ---- the list ---- */

static void free_kernel(struct top_kernel *kernel)
{
    hang_up(kernel);
    free_answer(&kernel->now);
    free_answer(&kernel->before);
    strbuf_free(&kernel->command);
    free(kernel);
}

static struct top_kernel *find(struct top *top, const struct kernel_row *row)
{
    for (size_t i = 0; i < top->count; i++)
        if (top->kernels[i]->pid == row->supervisor->pid &&
            top->kernels[i]->start_ticks == row->supervisor->start_ticks)
            return top->kernels[i];
    return NULL;
}

static struct top_kernel *add(struct top *top, const struct kernel_row *row)
{
    struct top_kernel *kernel = calloc(1, sizeof(*kernel));
    struct top_kernel **more = reallocarray(top->kernels, top->count + 1, sizeof(*more));

    if (more)
        top->kernels = more;
    if (kernel == NULL || more == NULL) {
        free(kernel);
        return NULL;
    }
    *kernel = (struct top_kernel){.pid = row->supervisor->pid,
                                  .start_ticks = row->supervisor->start_ticks,
                                  .fd = -1,
                                  .ticks = {row->ticks, row->ticks},
                                  .own_ticks = {row->supervisor->ticks, row->supervisor->ticks}};
    top->kernels[top->count++] = kernel;
    return kernel;
}

/* Ticks of processes that nobody waited for are gone with them. */
static double percent(const uint64_t ticks[2], double seconds)
{
    if (ticks[0] <= ticks[1] || seconds <= 0)
        return 0;
    return (double)(ticks[0] - ticks[1]) * 100 / (double)sysconf(_SC_CLK_TCK) / seconds;
}

static void update(struct top_kernel *kernel, struct kernel_row *row, double seconds)
{
    kernel->seen = true;
    kernel->guest = row->guest;
    kernel->kind = row->kind;
    kernel->uid = row->uid;
    kernel->stopped = row->supervisor->state == 'T';
    kernel->processes = row->processes;
    kernel->threads = row->threads;
    kernel->memory = row->memory;
    kernel->own_memory = row->supervisor->resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    kernel->uptime = row->uptime;
    strbuf_free(&kernel->command);
    kernel->command = row->command;
    row->command = (struct strbuf){0};
    ps_make_printable(&kernel->command);
    kernel->ticks[1] = kernel->ticks[0];
    kernel->ticks[0] = row->ticks;
    kernel->own_ticks[1] = kernel->own_ticks[0];
    kernel->own_ticks[0] = row->supervisor->ticks;
    kernel->guest_cpu = percent(kernel->ticks, seconds);
    kernel->own_cpu = percent(kernel->own_ticks, seconds);
}

static void drop_gone(struct top *top)
{
    size_t kept = 0;

    for (size_t i = 0; i < top->count; i++) {
        if (top->kernels[i]->seen)
            top->kernels[kept++] = top->kernels[i];
        else
            free_kernel(top->kernels[i]);
    }
    top->count = kept;
}

static bool is_wanted(const struct top *top, pid_t kernel)
{
    for (size_t i = 0; i < top->pid_count; i++)
        if (top->pids[i] == kernel)
            return true;
    return top->pid_count == 0;
}

static int look_at_processes(struct top *top)
{
    uint64_t now = io_now_ns();
    double seconds = top->looked_ns ? (double)(now - top->looked_ns) / 1e9 : 0;
    struct ps_list list;
    int r = ps_list_read(&list);

    if (r < 0)
        return r;
    top->looked_ns = now;
    for (size_t i = 0; i < top->count; i++)
        top->kernels[i]->seen = false;
    for (size_t i = 0; i < list.count; i++) {
        struct top_kernel *kernel = find(top, &list.rows[i]);

        if (kernel == NULL && is_wanted(top, list.rows[i].supervisor->pid))
            kernel = add(top, &list.rows[i]);
        if (kernel)
            update(kernel, &list.rows[i], seconds);
    }
    drop_gone(top);
    ps_list_free(&list);
    return 0;
}

int top_look(struct top *top)
{
    int r = look_at_processes(top);

    if (r == 0)
        r = ask_all(top);
    top_sort(top);
    return r;
}

void top_free(struct top *top)
{
    for (size_t i = 0; i < top->count; i++)
        free_kernel(top->kernels[i]);
    free(top->kernels);
    top->kernels = NULL;
    top->count = 0;
}

/* ---- between two answers ---- */

double top_seconds(const struct top_kernel *kernel)
{
    if (!kernel->has_before || kernel->now.at_ns <= kernel->before.at_ns ||
        kernel->state != TOP_KNOWN)
        return 0;
    return (double)(kernel->now.at_ns - kernel->before.at_ns) / 1e9;
}

double top_rate(const struct top_kernel *kernel)
{
    double seconds = top_seconds(kernel);

    return seconds > 0 ? (double)(kernel->now.served - kernel->before.served) / seconds : -1;
}

uint64_t top_latency(const struct top_kernel *kernel, double share)
{
    uint64_t counts[PK_LATENCY_BUCKETS];

    if (top_seconds(kernel) <= 0)
        return 0;
    for (unsigned i = 0; i < PK_LATENCY_BUCKETS; i++)
        counts[i] = kernel->now.buckets[i] - kernel->before.buckets[i];
    return pk_latency_quantile(counts, share);
}

static const struct top_call *call_before(const struct top_kernel *kernel, int nr)
{
    for (size_t i = 0; i < kernel->before.call_count; i++)
        if (kernel->before.calls[i].nr == nr)
            return &kernel->before.calls[i];
    return NULL;
}

static int by_count(const void *a, const void *b)
{
    const struct top_call *x = a;
    const struct top_call *y = b;

    if (x->count != y->count)
        return (x->count < y->count) - (x->count > y->count);
    return x->nr - y->nr;
}

struct top_call *top_calls(const struct top_kernel *kernel, size_t *ret_count)
{
    struct top_call *calls;
    size_t count = 0;

    if (top_seconds(kernel) <= 0)
        return NULL;
    calls = calloc(kernel->now.call_count + 1, sizeof(*calls));
    for (size_t i = 0; calls && i < kernel->now.call_count; i++) {
        const struct top_call *before = call_before(kernel, kernel->now.calls[i].nr);
        struct top_call *call = &calls[count];

        *call = kernel->now.calls[i];
        if (before) {
            call->count -= before->count;
            call->errors -= before->errors;
            for (unsigned b = 0; b < PK_LATENCY_BUCKETS; b++)
                call->buckets[b] -= before->buckets[b];
        }
        count += call->count > 0;
    }
    if (calls)
        qsort(calls, count, sizeof(*calls), by_count);
    *ret_count = count;
    return calls;
}

/* ---- order ---- */

static double sort_key(const struct top_kernel *kernel, enum top_order order)
{
    switch (order) {
    case TOP_BY_CALLS:
        return top_rate(kernel);
    case TOP_BY_CPU:
        return kernel->guest_cpu + kernel->own_cpu;
    case TOP_BY_MEMORY:
        return (double)kernel->memory;
    case TOP_BY_LATENCY:
        return (double)top_latency(kernel, 0.99);
    case TOP_BY_DENIALS:
        return (double)kernel->now.denials;
    case TOP_BY_TASKS:
        return kernel->threads;
    default:
        return -(double)kernel->pid;
    }
}

static int compare(const void *a, const void *b, void *order)
{
    const struct top_kernel *x = *(struct top_kernel *const *)a;
    const struct top_kernel *y = *(struct top_kernel *const *)b;
    double left = sort_key(x, *(enum top_order *)order);
    double right = sort_key(y, *(enum top_order *)order);

    if (left != right)
        return left < right ? 1 : -1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

void top_sort(struct top *top)
{
    if (top->count)
        qsort_r(top->kernels, top->count, sizeof(struct top_kernel *), compare, &top->order);
}

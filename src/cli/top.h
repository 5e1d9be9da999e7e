/*
 * `cerebro top`: what the running kernels do, between two looks. The host's /proc says which there
 * are and what they cost; each kernel that may be asked says what it served. No kernel is waited
 * for longer than TOP_PATIENCE_MS, and a silent one only once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "core/latency.h"

#define TOP_PATIENCE_MS 400

enum top_state {
    TOP_NEW,     /* has not answered yet */
    TOP_KNOWN,   /* has answered */
    TOP_SILENT,  /* does not answer now */
    TOP_FOREIGN, /* may not be asked */
};

struct top_call {
    int nr;
    char name[32];
    uint64_t count;
    uint64_t errors;
    uint64_t max_ns;
    uint64_t buckets[PK_LATENCY_BUCKETS];
};

/* What a kernel answered at one time; everything counts from its start. */
struct top_answer {
    uint64_t at_ns; /* by the kernel's clock */
    uint64_t served;
    uint64_t denials;
    uint64_t execs;
    struct top_call *calls;
    size_t call_count;
    uint64_t buckets[PK_LATENCY_BUCKETS]; /* of all calls */
};

struct top_kernel {
    pid_t pid;
    pid_t guest;
    const char *kind; /* of struct kernel_row */
    uid_t uid;
    uint64_t start_ticks; /* tells it from a later process of that number */
    bool stopped;
    unsigned processes, threads;
    uint64_t memory, own_memory; /* bytes: of the guest, of the kernel */
    double uptime;
    struct strbuf command;
    uint64_t ticks[2], own_ticks[2]; /* of the guest, of the kernel; now and at the look before */
    double guest_cpu, own_cpu;       /* percent of one CPU */
    enum top_state state;
    int fd;           /* to its control channel, or -1 */
    unsigned pending; /* answers that have not come yet */
    struct top_answer now, before;
    bool has_now, has_before;
    bool seen; /* in the list of this look */
};

enum top_order {
    TOP_BY_CALLS,
    TOP_BY_CPU,
    TOP_BY_MEMORY,
    TOP_BY_LATENCY,
    TOP_BY_DENIALS,
    TOP_BY_TASKS,
    TOP_BY_PID,
    TOP_ORDERS,
};

#define TOP_PIDS_MAX 64

struct top {
    struct top_kernel **kernels; /* sorted */
    pid_t pids[TOP_PIDS_MAX];    /* the kernels to show */
    size_t pid_count;            /* 0: all */
    size_t count;
    double delay; /* seconds between looks */
    enum top_order order;
    uint64_t looked_ns; /* when the processes were looked at last */
};

/* ---- top-data.c ---- */

/*
 * Looks at all processes, asks all kernels and takes what they answer in time; sorts. Returns 0 or
 * a negative errno.
 */
int top_look(struct top *top);
void top_free(struct top *top);

/* Calls a second; negative while two answers are not there. */
double top_rate(const struct top_kernel *kernel);

/* A quantile of all calls between the two last answers, in nanoseconds; 0: none was measured. */
uint64_t top_latency(const struct top_kernel *kernel, double share);

/*
 * What one call did between the two last answers, most frequent first. Returns a vector that the
 * caller frees and its length, or NULL when there is nothing.
 */
struct top_call *top_calls(const struct top_kernel *kernel, size_t *ret_count);

/* Puts the kernels into the order. */
void top_sort(struct top *top);

extern const char *const top_order_names[TOP_ORDERS];

/* ---- top-format.c: lines without newline ---- */

void top_add_summary(const struct top *top, struct strbuf *out);
void top_add_header(struct strbuf *out);
void top_add_row(const struct top_kernel *kernel, struct strbuf *out);
void top_add_call_header(struct strbuf *out);
void top_add_call(const struct top_call *call, double seconds, struct strbuf *out);
/* What the list has no room for; several lines, each ended by a newline. */
void top_add_details(const struct top_kernel *kernel, struct strbuf *out);
void top_add_json(const struct top *top, struct strbuf *out);

/* Seconds between the two last answers; 0 while they are not there. */
double top_seconds(const struct top_kernel *kernel);

/* ---- top-screen.c ---- */

/*
 * Shows the kernels until the user quits. Returns 0, or a negative errno with `error` filled in
 * when this terminal cannot be used.
 */
int top_show(struct top *top, struct base_error *error);

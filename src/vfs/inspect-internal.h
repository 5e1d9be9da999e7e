/* For inspect*.c only: how a section writes its fields. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "vfs/inspect.h"
#include "vfs/vfs-internal.h"

#define INSPECT_COLUMNS_MAX 20

struct inspect {
    struct vfs *vfs;
    struct pk_kernel *kernel;
    struct strbuf *text;
    const char *const *columns;
    unsigned column; /* of the next field */
    bool json, record;
    bool first_row;
};

struct inspect_section {
    const char *name;
    const char *summary;
    const char *columns[INSPECT_COLUMNS_MAX]; /* ended by NULL */
    bool record;
    int (*produce)(struct inspect *inspect);
};

/* The next field of a row. Rows need no end: they have as many fields as there are columns. */
void inspect_number(struct inspect *inspect, uint64_t value);
void inspect_signed(struct inspect *inspect, int64_t value);
void inspect_string(struct inspect *inspect, const char *text);
void inspect_bool(struct inspect *inspect, bool value);

/* ---- inspect-calls.c ---- */
int inspect_calls(struct inspect *inspect);
int inspect_latency(struct inspect *inspect);
int inspect_decisions(struct inspect *inspect);
int inspect_denials(struct inspect *inspect);

/* ---- inspect-tree.c ---- */
int inspect_summary(struct inspect *inspect);
int inspect_limits(struct inspect *inspect);
int inspect_tasks(struct inspect *inspect);
int inspect_mounts(struct inspect *inspect);
int inspect_descriptors(struct inspect *inspect);

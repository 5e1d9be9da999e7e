/* For the inside of the audit room only. */
#pragma once

#include "audit/audit.h"

/*
 * A guest that makes denied calls in a loop must not fill the disk: so many at once and a second,
 * and fewer where nobody asked for a log.
 */
#define AUDIT_BURST          20000.0
#define AUDIT_BURST_UNASKED  1000.0
#define AUDIT_PER_NS         (2000.0 / 1e9)
#define AUDIT_PER_NS_UNASKED (50.0 / 1e9)

/* So many more only for what is no guest's doing: no guest can bury it. */
#define AUDIT_RESERVE 100.0

/* ---- target.c ---- */

/* Opens what AUDIT_STANDING stands for; AUDIT_OFF when there is no place for it. */
void target_open_standing(struct audit *audit);

/* ---- format.c ---- */

/* Appends the JSON object of a record, without newline. */
void format_record(const struct pk_audit_record *record, struct strbuf *out);

/* Appends the one that says how many records are missing. */
void format_gap(const struct timespec *time, uint64_t records, struct strbuf *out);

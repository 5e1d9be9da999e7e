/*
 * The audit log of `cerebro run --audit`: JSON Lines, one object a record. Nothing that happens to
 * the file reaches the program: a record that cannot be written now waits in memory, and one for
 * which there is no room is counted.
 *
 * The format is documented in cerebro-run(1); members may be added to it.
 *
 * One thread (the kernel thread of the supervisor), after audit_open().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "core/kernel.h"

struct audit {
    int fd;               /* -1: no log */
    bool is_socket;       /* written with send(2) */
    bool may_block;       /* its mode is not ours to change: ask before each write */
    bool dead;            /* nobody will ever read it */
    struct strbuf queue;  /* what could not be written yet */
    uint64_t lost;        /* records in all that were not written */
    uint64_t lost_untold; /* of these, not yet noted in the log itself */
    int error;            /* positive errno of the last failure */
    double tokens;        /* records that may come now */
    uint64_t filled_ns;   /* when tokens were added */
};

/*
 * Opens `target`: a path, or "fd:N" for a descriptor that we were started with (the program does
 * not get it, unless N is a standard stream). Returns 0 or a negative errno with `error` filled in.
 */
int audit_open(struct audit *audit, const char *target, struct base_error *error);

/* Writes a record, or queues it, or counts it as lost. Never blocks. */
void audit_record(struct audit *audit, const struct pk_audit_record *record);

/* Gives what is queued a last chance of a second. Returns how many records were lost in all. */
uint64_t audit_finish(struct audit *audit);

/* Harmless on one that was never opened (fd -1). */
void audit_close(struct audit *audit);

/*
 * The audit log: JSON Lines, one object a record, in a file, the systemd journal, or a descriptor
 * that somebody else reads. Nothing that happens to it reaches the program: a record that cannot be
 * written now waits in memory, and one for which there is no room is counted.
 *
 * Without any wish of the user there is the standing log: in the journal where the host has one,
 * else in the user's own file (place.h), which is bounded (rotation.h). It is opened by the first
 * record and takes only what an administrator asks for afterwards: denials and actions on kernels,
 * not every program that was started. So a run of which there is nothing to tell costs nothing.
 *
 * The format is documented in cerebro-log(1); members may be added to it.
 *
 * One thread (the kernel thread of the supervisor), after audit_open().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit/rotation.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "core/kernel.h"

/* The bound of the user's own log, and of --audit-rotate without numbers. */
#define AUDIT_SIZE_DEFAULT  (4U << 20)
#define AUDIT_FILES_DEFAULT 4

struct audit_options {
    /*
     * "none", "journal", "file" (the user's own), "fd:N" for a descriptor that we were started with
     * (the program does not get it, unless N is a standard stream), or a path. NULL: what the
     * environment variable CEREBRO_AUDIT says, else the standing log.
     */
    const char *target;
    uint64_t size_max; /* of a path: rotate at so many bytes; 0: never */
    unsigned files;    /* that are kept */
};

enum audit_kind {
    AUDIT_OFF,
    AUDIT_STANDING, /* to be opened by the first record */
    AUDIT_STREAM,
    AUDIT_ROTATED,
    AUDIT_JOURNAL,
};

struct audit {
    enum audit_kind kind;
    bool actions_only;        /* denials and actions on kernels, not starts of programs */
    bool unasked;             /* the user did not ask for it, and is not told of its troubles */
    int fd;                   /* of a stream or the journal, else -1 */
    struct rotation rotation; /* of AUDIT_ROTATED; .directory may be set of AUDIT_STANDING */
    bool is_socket;           /* written with send(2) */
    bool may_block;           /* its mode is not ours to change: ask before each write */
    bool dead;                /* nobody will ever read it */
    struct strbuf queue;      /* what could not be written yet */
    uint64_t lost;            /* records in all that were not written */
    uint64_t lost_untold;     /* of these, not yet noted in the log itself */
    int error;                /* positive errno of the last failure */
    double tokens;            /* records that may come now */
    uint64_t filled_ns;       /* when tokens were added */
};

/* Returns 0, or a negative errno with `error` filled in. */
int audit_open(struct audit *audit, const struct audit_options *options, struct base_error *error);

/* What no guest may change, however much of the host it may write. */
struct audit_protected {
    int fd;           /* of a file, or -1; both borrowed */
    int directory;    /* of a log that rotates, or -1 */
    const char *name; /* of its files there */
};

/*
 * Says what to protect. `host_is_writable`: the guest may write somewhere on the host; then the
 * standing log gets its directory now, so that nobody else makes it.
 */
void audit_protect(struct audit *audit, bool host_is_writable,
                   struct audit_protected *ret_protected);

/* Writes a record, or queues it, or counts it as lost. Never blocks. */
void audit_record(struct audit *audit, const struct pk_audit_record *record);

/*
 * Gives what is queued a last chance of a second (of a tenth when nobody asked for a log). Returns
 * how many records were lost in all.
 */
uint64_t audit_finish(struct audit *audit);

/* Harmless on one that was never opened (zero but for descriptors of -1). */
void audit_close(struct audit *audit);

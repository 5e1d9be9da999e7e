/*
 * /dev/kernel_api_exporter of a guest (include/cerebro/kapi.h): the process kernel answers about
 * itself, in the structures that the kernel module answers with about the machine.
 *
 * kapi-device.c: open files, the shared buffer, the dispatch of commands; kapi-info.c: commands 1,
 * 2, 5 and 9; kapi-kernel.c: 4, 6, 10; kapi-lists.c: 7, 8, 11-14; kapi-process.c: 3 and the records
 * of 33; kapi-batch.c: 31 to 33; kapi-control.c: 15 to 30.
 *
 * All contents come from the files of the guest's own /proc and /sys, so that they cannot tell more
 * than these, and agree with them.
 */
#pragma once

#include "cerebro/kapi.h"

#include "base/strbuf.h"
#include "linux/linux-internal.h"

/* Who asks. Valid during one call. */
struct kapi_caller {
    struct pk_request *request;
    struct vfs_actor actor;
    /* The file behind a list, read once for all records that one call gives. */
    struct strbuf list;
    const char *listed; /* its path; NULL: none */
};

/*
 * Fills a structure, which comes zeroed. `index` is the number of the record for commands 7, 8 and
 * 11-14, the pid for command 3, else 0. Returns 0, -ENODATA when there is no such record, or
 * another negative errno.
 */
typedef int (*kapi_fill)(struct kapi_caller *caller, uint32_t index, void *record);

struct kapi_information {
    unsigned number;  /* of the command, 1 to 14 */
    size_t size;      /* of the structure */
    bool many;        /* answers for one record of several */
    uint32_t at_code; /* of the twin with an explicit record number, 0: none */
    kapi_fill fill;
};

/* The line of a command that only informs, by its number; NULL for others (and 4). */
const struct kapi_information *linux_kapi_information(unsigned number);

/* ---- kapi-info.c ---- */

/*
 * Appends a file of the guest's proc or sys, whatever the caller's root directory is, with the
 * caller's rights.
 */
int linux_kapi_text(struct kapi_caller *caller, struct strbuf *ret_text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The same for a file whose lines are the records of a list: read by the first use in a call.
 * `ret_text` is valid until another file is asked for. -ENODATA where the guest has no such file.
 */
int linux_kapi_list(struct kapi_caller *caller, const char *path, const char **ret_text);

/* What follows "key" and a colon at the start of a line; NULL when there is no such line. */
const char *linux_kapi_line(const char *text, const char *key);

/* The number behind "key:", 0 when there is none. */
uint64_t linux_kapi_line_number(const char *text, const char *key);

/* Copies up to the end of the line into a zeroed char array, cut and terminated. */
void linux_kapi_copy_line(char *field, size_t size, const char *text);

int linux_kapi_memory_info(struct kapi_caller *caller, uint32_t index, void *record);
int linux_kapi_cpu_info(struct kapi_caller *caller, uint32_t index, void *record);
int linux_kapi_network_stats(struct kapi_caller *caller, uint32_t index, void *record);
int linux_kapi_loadavg_info(struct kapi_caller *caller, uint32_t index, void *record);

/* ---- kapi-kernel.c ---- */
int linux_kapi_filesystem_info(struct kapi_caller *caller, uint32_t index, void *record);
int linux_kapi_kernel_config(struct kapi_caller *caller, uint32_t index, void *record);
/* Command 4: sets result and status. */
void linux_kapi_kernel_command(struct kapi_caller *caller, struct kapi_kernel_cmd *command);

/* ---- kapi-lists.c ---- */
int linux_kapi_module_info(struct kapi_caller *caller, uint32_t index, void *record);
int linux_kapi_interrupt_info(struct kapi_caller *caller, uint32_t index, void *record);
/* A guest sees no hardware, and the process kernel keeps no log: always -ENODATA. */
int linux_kapi_no_record(struct kapi_caller *caller, uint32_t index, void *record);

/* ---- kapi-process.c ---- */

/* A process that is not there is success with pid -1. */
int linux_kapi_process_info(struct kapi_caller *caller, uint32_t index, void *record);

/* Fills a zeroed record; -ENOENT or -ESRCH when the process is gone or none of the guest's. */
int linux_kapi_process_record(struct kapi_caller *caller, pid_t pid,
                              struct kapi_process_record *record);

/* ---- kapi-batch.c ---- */
struct pk_answer linux_kapi_get_version(struct kapi_caller *caller, uint64_t argument, size_t size);
struct pk_answer linux_kapi_batch(struct kapi_caller *caller, uint64_t argument, size_t size);
struct pk_answer linux_kapi_get_process_list(struct kapi_caller *caller, uint64_t argument,
                                             size_t size);

/* ---- kapi-control.c ---- */

/* Commands 4, 15-23, 25 and 27-30; -ENOTTY for codes that are none of these. */
struct pk_answer linux_kapi_control(struct kapi_caller *caller, uint32_t code, uint64_t argument);

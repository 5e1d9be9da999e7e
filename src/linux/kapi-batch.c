/* Commands beyond 30: version, several answers in one call, all processes in one call. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"

#define ENTRY_BYTES_MAX (1U << 20) /* of one entry's buffer that are used */
#define RECORD_SIZE_MAX 4096

/* Grows with the structures: what callers of the first version know. */
#define VERSION_SIZE_MIN 56
#define BATCH_SIZE_MIN   40
#define LIST_SIZE_MIN    48
_Static_assert(sizeof(struct kapi_version) >= VERSION_SIZE_MIN, "structures only grow");
_Static_assert(sizeof(struct kapi_batch) >= BATCH_SIZE_MIN, "structures only grow");
_Static_assert(sizeof(struct kapi_process_list) >= LIST_SIZE_MIN, "structures only grow");

static uint64_t boot_time(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* What a newer caller sets and we do not know must be 0. */
static int check_tail(struct pk_request *request, uint64_t address, size_t length)
{
    unsigned char bytes[256];

    while (length > 0) {
        size_t part = length < sizeof(bytes) ? length : sizeof(bytes);
        int r = pk_read(request, address, bytes, part);

        for (size_t i = 0; r == 0 && i < part; i++)
            if (bytes[i])
                r = -E2BIG;
        if (r < 0)
            return r;
        address += part;
        length -= part;
    }
    return 0;
}

/*
 * Copies a structure that may be older or newer than ours: `size` is what the command code says,
 * `known` is ours, `first` that of the first version. The first member says the size again.
 */
static int read_sized(struct kapi_caller *caller, uint64_t argument, size_t size, size_t first,
                      void *structure, size_t known)
{
    uint32_t said;
    int r;

    if (size < first)
        return -EINVAL;
    r = pk_read(caller->request, argument, structure, size < known ? size : known);
    if (r < 0)
        return r;
    memcpy(&said, structure, sizeof(said));
    if (said != size)
        return -EINVAL;
    return size > known ? check_tail(caller->request, argument + known, size - known) : 0;
}

static struct pk_answer write_sized(struct kapi_caller *caller, uint64_t argument, size_t size,
                                    const void *structure, size_t known)
{
    return pk_value(pk_write(caller->request, argument, structure, size < known ? size : known));
}

struct pk_answer linux_kapi_get_version(struct kapi_caller *caller, uint64_t argument, size_t size)
{
    struct kapi_version version = {0};
    int r = read_sized(caller, argument, size, VERSION_SIZE_MIN, &version, sizeof(version));

    if (r < 0)
        return pk_error(r);
    version.abi_version = KAPI_ABI_VERSION;
    version.features = KAPI_FEATURE_CONTROL;
    version.buffer_size = KAPI_BUFFER_SIZE;
    version.batch_max = KAPI_BATCH_MAX;
    version.process_record_size = sizeof(struct kapi_process_record);
    snprintf(version.module_version, sizeof(version.module_version), "process-kernel");
    return write_sized(caller, argument, size, &version, sizeof(version));
}

/* ---- batch ---- */

/* Records from `index` on, as many as fit. */
static void answer_many(struct kapi_caller *caller, const struct kapi_information *line,
                        struct kapi_batch_entry *entry)
{
    cleanup_free void *record = malloc(line->size);
    size_t room = entry->length < ENTRY_BYTES_MAX ? entry->length : ENTRY_BYTES_MAX;
    size_t used = 0;
    int r = record ? 0 : -ENOMEM;

    while (r == 0) {
        memset(record, 0, line->size);
        r = line->fill(caller, entry->index, record);
        if (r == 0 && room - used < line->size) {
            entry->flags = KAPI_ENTRY_MORE;
            r = entry->count ? -ENODATA : -ENOSPC;
        } else if (r == 0) {
            r = pk_write(caller->request, entry->buffer + used, record, line->size);
        }
        if (r < 0)
            break;
        used += line->size;
        entry->index++;
        entry->count++;
    }
    entry->length = (uint32_t)used;
    entry->status = r == -ENODATA && entry->count ? 0 : r;
}

static void answer_one(struct kapi_caller *caller, const struct kapi_information *line,
                       struct kapi_batch_entry *entry)
{
    cleanup_free void *record = calloc(1, line->size);
    size_t length = entry->length < line->size ? entry->length : line->size;
    int r = record ? line->fill(caller, entry->index, record) : -ENOMEM;

    if (r == 0)
        r = pk_write(caller->request, entry->buffer, record, length);
    entry->status = r;
    entry->count = r == 0;
    entry->length = r == 0 ? (uint32_t)length : 0;
}

static void answer_entry(struct kapi_caller *caller, struct kapi_batch_entry *entry)
{
    const struct kapi_information *line = linux_kapi_information(entry->command);
    bool malformed = line == NULL || entry->flags != 0;

    entry->count = 0;
    entry->flags = 0;
    if (malformed) {
        entry->status = -EINVAL;
        entry->length = 0;
    } else if (line->many) {
        answer_many(caller, line, entry);
    } else {
        answer_one(caller, line, entry);
    }
}

static int answer_entries(struct kapi_caller *caller, const struct kapi_batch *batch)
{
    struct kapi_batch_entry entries[KAPI_BATCH_MAX];
    size_t size = batch->count * sizeof(entries[0]);
    int r = pk_read(caller->request, batch->entries, entries, size);

    if (r < 0)
        return r;
    for (uint32_t i = 0; i < batch->count; i++)
        answer_entry(caller, &entries[i]);
    return pk_write(caller->request, batch->entries, entries, size);
}

struct pk_answer linux_kapi_batch(struct kapi_caller *caller, uint64_t argument, size_t size)
{
    struct kapi_batch batch = {0};
    int r = read_sized(caller, argument, size, BATCH_SIZE_MIN, &batch, sizeof(batch));

    if (r < 0)
        return pk_error(r);
    if (batch.flags || batch.count < 1 || batch.count > KAPI_BATCH_MAX ||
        batch.entry_size != sizeof(struct kapi_batch_entry))
        return pk_error(-EINVAL);
    batch.start_ns = boot_time();
    r = answer_entries(caller, &batch);
    batch.end_ns = boot_time();
    return r < 0 ? pk_error(r) : write_sized(caller, argument, size, &batch, sizeof(batch));
}

/* ---- process list ---- */

struct listing {
    struct kapi_caller *caller;
    struct kapi_process_list *list;
    uint32_t record_size;
    uint64_t room;
    bool full;
    int error;
};

/* What lies between our record and the next one is cleared. */
static int write_record(struct listing *listing, const struct kapi_process_record *record)
{
    unsigned char bytes[RECORD_SIZE_MAX] = {0};
    size_t known = sizeof(*record) < listing->record_size ? sizeof(*record) : listing->record_size;

    memcpy(bytes, record, known);
    return pk_write(listing->caller->request,
                    listing->list->buffer + listing->list->count * (uint64_t)listing->record_size,
                    bytes, listing->record_size);
}

static int visit_process(pid_t pid, void *user)
{
    struct listing *listing = user;
    struct kapi_process_list *list = listing->list;
    struct kapi_process_record record = {0};
    int r;

    if ((uint32_t)pid <= list->cursor)
        return 0;
    if (listing->full || listing->room < listing->record_size) {
        listing->full = true;
        list->remaining++;
        return !(list->flags & KAPI_LIST_COUNT);
    }
    r = linux_kapi_process_record(listing->caller, pid, &record);
    if (r == -ENOENT || r == -ESRCH)
        return 0;
    if (r == 0)
        r = write_record(listing, &record);
    listing->error = r;
    if (r < 0)
        return r;
    listing->room -= listing->record_size;
    list->count++;
    list->cursor = (uint32_t)pid;
    return 0;
}

struct pk_answer linux_kapi_get_process_list(struct kapi_caller *caller, uint64_t argument,
                                             size_t size)
{
    struct kapi_process_list list = {0};
    struct listing listing = {.caller = caller, .list = &list};
    bool counts;
    int r = read_sized(caller, argument, size, LIST_SIZE_MIN, &list, sizeof(list));

    if (r < 0)
        return pk_error(r);
    list.flags &= ~(uint32_t)KAPI_LIST_TRUNCATED; /* as it came back from the last call */
    if (list.flags & ~(uint32_t)KAPI_LIST_COUNT || list.record_size < KAPI_PROCESS_RECORD_MIN ||
        list.record_size > RECORD_SIZE_MAX || list.record_size % 8 || list.cursor >= INT_MAX)
        return pk_error(-EINVAL);
    if (list.length < list.record_size)
        return pk_error(-ENOSPC);
    counts = (list.flags & KAPI_LIST_COUNT) != 0;
    listing.record_size = list.record_size;
    listing.room = list.length;
    list.count = list.remaining = 0;
    list.time_ns = boot_time();
    r = pk_for_each_process(caller->request->kernel, visit_process, &listing);
    if (r < 0 || listing.error < 0)
        return pk_error(r < 0 ? r : listing.error);
    list.length = list.count * (uint64_t)listing.record_size;
    if (listing.full)
        list.flags |= KAPI_LIST_TRUNCATED;
    if (!counts)
        list.remaining = 0;
    if (list.record_size > sizeof(struct kapi_process_record))
        list.record_size = sizeof(struct kapi_process_record);
    return write_sized(caller, argument, size, &list, sizeof(list));
}

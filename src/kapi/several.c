/* Several answers in one call: batches and the process list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kapi/client-internal.h"

#define LIST_BUFFER (256U * 1024)
#define LIST_MAX    (64U << 20)

int kapi_run_batch(struct kapi_client *client, struct kapi_batch_entry *entries, uint32_t count,
                   uint64_t *ret_start_ns, uint64_t *ret_end_ns)
{
    struct kapi_batch batch = {.size = sizeof(batch),
                               .count = count,
                               .entry_size = sizeof(*entries),
                               .entries = (uint64_t)(uintptr_t)entries};
    int r;

    if (entries == NULL || count < 1 || count > KAPI_BATCH_MAX)
        return -EINVAL;
    r = client_call(client, KAPI_BATCH, &batch);
    if (r < 0)
        return r;
    if (ret_start_ns)
        *ret_start_ns = batch.start_ns;
    if (ret_end_ns)
        *ret_end_ns = batch.end_ns;
    return 0;
}

struct kapi_processes {
    struct kapi_client *client;
    uint32_t room;  /* records that fit into the buffer */
    uint32_t count; /* records in it */
    uint32_t next;
    uint32_t cursor;
    bool last; /* there is nothing behind what is in the buffer */
    struct kapi_process_record records[];
};

int kapi_processes_begin(struct kapi_client *client, size_t buffer_size,
                         struct kapi_processes **ret_processes)
{
    struct kapi_processes *processes;
    size_t size = buffer_size ? buffer_size : LIST_BUFFER;

    if (client == NULL || ret_processes == NULL || size < sizeof(processes->records[0]) ||
        size > LIST_MAX)
        return -EINVAL;
    processes = calloc(1, sizeof(*processes) + size);
    if (processes == NULL)
        return -ENOMEM;
    processes->client = client;
    processes->room = (uint32_t)(size / sizeof(processes->records[0]));
    *ret_processes = processes;
    return 0;
}

/* A driver that says nonsense must not make us read beyond the buffer or go round in a circle. */
static int check_answer(const struct kapi_processes *processes,
                        const struct kapi_process_list *list)
{
    bool more = (list->flags & KAPI_LIST_TRUNCATED) != 0;

    if (list->count > processes->room || (more && list->count == 0) ||
        (more && list->cursor == processes->cursor))
        return -EIO;
    return 0;
}

static int fetch(struct kapi_processes *processes)
{
    size_t length = processes->room * sizeof(processes->records[0]);
    struct kapi_process_list list = {.size = sizeof(list),
                                     .buffer = (uint64_t)(uintptr_t)processes->records,
                                     .length = length,
                                     .record_size = sizeof(processes->records[0]),
                                     .cursor = processes->cursor};
    int r;

    memset(processes->records, 0, length);
    r = client_call(processes->client, KAPI_GET_PROCESS_LIST, &list);
    if (r == 0)
        r = check_answer(processes, &list);
    if (r < 0)
        return r;
    processes->count = list.count;
    processes->next = 0;
    processes->cursor = list.cursor;
    processes->last = !(list.flags & KAPI_LIST_TRUNCATED);
    return 0;
}

int kapi_processes_next(struct kapi_processes *processes, struct kapi_process_record *ret_record)
{
    if (processes == NULL || ret_record == NULL)
        return -EINVAL;
    if (processes->next == processes->count) {
        int r = processes->last ? 0 : fetch(processes);

        if (r < 0)
            return r;
        if (processes->next == processes->count)
            return 0;
    }
    *ret_record = processes->records[processes->next++];
    return 1;
}

void kapi_processes_end(struct kapi_processes *processes)
{
    free(processes);
}

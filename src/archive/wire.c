#include "archive/wire.h"

#include <errno.h>
#include <string.h>

#include "archive/archive.h"

static int check_record(const struct wire_record *record)
{
    if (record->kind < WIRE_ENTRY || record->kind > WIRE_DONE || record->source > ARCHIVE_PACKED ||
        record->name_length > WIRE_NAME_MAX || record->target_length > WIRE_NAME_MAX ||
        record->mtime_ns >= 1000000000 || record->mode > (S_IFMT | 07777))
        return -EBADMSG;
    if (record->size > ARCHIVE_FILE_MAX || record->offset > INT64_MAX - ARCHIVE_FILE_MAX)
        return -EBADMSG;
    return 0;
}

static int take_string(char *to, const char *from, size_t length)
{
    if (memchr(from, '\0', length))
        return -EBADMSG;
    memcpy(to, from, length);
    to[length] = '\0';
    return 0;
}

long wire_parse(const void *bytes, size_t length, struct wire_message *ret_message)
{
    const char *strings = (const char *)bytes + sizeof(struct wire_record);
    struct wire_record *record = &ret_message->record;
    size_t whole;

    if (length < sizeof(*record))
        return 0;
    memcpy(record, bytes, sizeof(*record));
    if (check_record(record) < 0)
        return -EBADMSG;
    whole = sizeof(*record) + record->name_length + record->target_length;
    if (length < whole)
        return 0;
    if (take_string(ret_message->name, strings, record->name_length) < 0 ||
        take_string(ret_message->target, strings + record->name_length, record->target_length) < 0)
        return -EBADMSG;
    return (long)whole;
}

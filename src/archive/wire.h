/*
 * What `cerebro-archive` and its parent say to each other over a stream socket, both of the same
 * build. From the parent, once the index is complete: struct wire_request with the descriptor of an
 * empty file, of the right size, in SCM_RIGHTS. From the process: records, each a struct
 * wire_record and `name_length` and `target_length` bytes behind it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Descriptors that the process finds. */
#define WIRE_SOCKET_FD  3
#define WIRE_ARCHIVE_FD 4
#define WIRE_SPOOL_FD   5

#define WIRE_NAME_MAX 4095

enum wire_kind {
    WIRE_ENTRY = 1,
    WIRE_LEFT_OUT, /* an entry whose name cannot be told */
    WIRE_END,      /* of the index; size 1: requests will be answered */
    WIRE_ERROR,    /* the index cannot be read: `mode` is an errno, `name` a sentence or "" */
    WIRE_DONE,     /* a request was carried out: `mode` is 0 or an errno */
};

struct wire_record {
    uint8_t kind;
    uint8_t source; /* enum archive_source */
    uint16_t name_length;
    uint16_t target_length;
    uint16_t unused;
    uint32_t mode; /* as struct archive_entry has it */
    uint32_t uid, gid;
    uint32_t ordinal;
    uint32_t mtime_ns;
    int64_t mtime;
    uint64_t size, offset;
};

struct wire_request {
    uint64_t offset, size;
    uint32_t ordinal;
    uint32_t unused;
};

/* A record with its strings, terminated. */
struct wire_message {
    struct wire_record record;
    char name[WIRE_NAME_MAX + 1];
    char target[WIRE_NAME_MAX + 1];
};

/*
 * Takes one record from the beginning of `bytes`. Returns how many bytes it had, 0 when it is not
 * complete yet, or -EBADMSG when nobody can have meant it: an unknown kind or source, a NUL in a
 * string, a number out of bounds.
 */
long wire_parse(const void *bytes, size_t length, struct wire_message *ret_message);

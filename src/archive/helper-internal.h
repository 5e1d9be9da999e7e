/*
 * The inside of `cerebro-archive`, the process that reads archives: started by client.c with three
 * descriptors (wire.h) and nothing else.
 *
 *   helper.c          the process: bounds, filter, loop
 *   helper-window.c   libarchive on a part of the file
 *   helper-index.c    the index
 *   helper-content.c  content: into the spool, and of single members
 *
 * It is a program of its own, linked dynamically with libarchive, and uses nothing of Cerebro but
 * headers.
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/wire.h"

/* The other header of that name, of this room, is not for this process; the numbers are. */
enum helper_source { HELPER_EMPTY, HELPER_DIRECT, HELPER_SPOOL, HELPER_PACKED };
#define HELPER_SPOOL_MAX   (8ULL << 30)
#define HELPER_ENTRIES_MAX 1000000

/* A part of the archive file that is read as an archive. */
struct window {
    off_t begin, end, at; /* positions in the file */
    char buffer[65536];
};

struct helper {
    struct window window;
    off_t file_size;
    bool is_zip, is_direct;
    unsigned verified; /* entries whose place was compared with what libarchive read there */
    uint64_t spool_used;
    uint32_t ordinal;
};

/* ---- helper.c ---- */

/* Writes to the parent; ends the process when it is gone. */
void helper_send(const struct wire_record *record, const char *name, const char *target);

/* Tells why the index cannot be had and ends the process. `detail` may be NULL. */
_Noreturn void helper_fail(int error, const char *detail);

/* ---- helper-window.c ---- */

/*
 * Opens a reader on the window, from its beginning. `zip_stream`: it begins with a member of a zip
 * archive, nothing else is expected. NULL: `*ret_error` is a negative errno, as helper_error()
 * says.
 */
struct archive *window_open(struct window *window, bool zip_stream, int *ret_error);

/* What went wrong with a reader, as a positive errno of archive_open(). */
int helper_error(struct archive *reader);

/* ---- helper-index.c ---- */

/* Sends the index of the whole file, WIRE_END included. */
void helper_index(struct helper *helper);

/* ---- helper-content.c ---- */

/*
 * Writes what the reader's present entry holds to `fd`, from `base` on, no more than `size` bytes.
 * Returns 0 or a positive errno: EBADMSG too when it is another number of bytes.
 */
int content_copy(struct archive *reader, int fd, off_t base, uint64_t size);

/* Writes one block of it; `at` is its place in a content of `size` bytes. 0 or a positive errno. */
int content_write(int fd, off_t base, uint64_t size, const char *bytes, size_t length, off_t at);

/* Unpacks one member of a zip archive. Returns 0 or a positive errno. */
int content_of_member(struct helper *helper, const struct wire_request *request, int fd);

/* Where the local header of a zip member begins whose data is at `data`; -1: it was not found. */
off_t content_find_header(off_t data);

/*
 * Reads the lines of a log that rotates (rotation.h), from the oldest file to the newest, and goes
 * on with what is written meanwhile. Whoever writes is not disturbed; no line is read twice or
 * missed when files change their names under the reader. A file that somebody has cut is read from
 * its beginning again.
 *
 * One thread for each reader.
 */
#pragma once

#include "base/strbuf.h"

struct audit_reader;

/*
 * Opens the log NAME, and NAME.1, NAME.2 ... as far as they are there. `path` may name anything
 * that can be read; what is no regular file is read to its end. A FIFO is waited for. Returns 0 or
 * a negative errno: -ENOENT when there is no file at all.
 */
int audit_reader_open(const char *path, struct audit_reader **ret_reader);

/* Reads from a descriptor (consumed) to its end. Returns 0 or -ENOMEM. */
int audit_reader_from(int fd, struct audit_reader **ret_reader);

/*
 * Reads the next line, without its newline; `ret_line` is emptied first. A line of more than a
 * mebibyte comes in pieces. Returns 1, 0 when there is no complete line yet, or a negative errno.
 * One may ask again after a 0, but not at once: a tenth of a second later each writer has finished
 * the line that it had in hand when another one rotated.
 */
int audit_reader_next(struct audit_reader *reader, struct strbuf *ret_line);

/* NULL is allowed. */
void audit_reader_free(struct audit_reader *reader);

/*
 * What a process kernel tells of its inside, in sections: the files of /sys/kernel/debug/cerebro
 * and the answers to `cerebro inspect` are both made here.
 *
 * A section is a table or a record. As text, a table has a line "# COLUMN ..." and one line a row,
 * fields parted by one blank; a record has one line "NAME VALUE" a field. In a field, blanks,
 * control characters, '\' and a leading '#' are written in octal (\040), and nothing is "-" (a
 * field that is "-" itself: \055). As JSON, a table is an array of objects and a record an object,
 * with the same names. Columns and fields are only ever added, at the end.
 *
 * Kernel thread only.
 */
#pragma once

#include <stdbool.h>

struct strbuf;
struct vfs;

/* The name of a section, and what it shows in a few words; NULL: no more. */
const char *vfs_inspect_name(unsigned index);
const char *vfs_inspect_summary(unsigned index);

/*
 * Appends a section as it is now. Returns 0, -ENOENT when there is none of that name, or another
 * negative errno.
 */
int vfs_inspect(struct vfs *vfs, const char *section, bool json, struct strbuf *ret_text);

/* Appends all of them: as text each behind a line "== NAME", as JSON one object. */
int vfs_inspect_all(struct vfs *vfs, bool json, struct strbuf *ret_text);

/*
 * Where a user's own log is: $XDG_STATE_HOME/cerebro/audit.jsonl; without that variable
 * /var/log/cerebro/audit.jsonl for root and ~/.local/state/cerebro/audit.jsonl for others (XDG Base
 * Directory Specification 0.8, https://specifications.freedesktop.org/basedir-spec/).
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#define AUDIT_FILE_NAME "audit.jsonl"

/* Its directory. Returns 0, or -ENOENT when no variable says where it could be. */
int audit_place(char path[PATH_MAX]);

/*
 * Opens that directory (O_PATH), and makes it, with mode 0700, if `make` says so. It must not be a
 * symbolic link. Returns a descriptor that the caller owns, or a negative errno.
 */
int audit_place_open(bool make);

/*
 * Whether records can be kept there, as far as one can say without a trace. Returns 0, or what a
 * writer is told: -ELOOP for a symbolic link, -EPERM for a file that is not the user's alone,
 * -EROFS
 * ...
 */
int audit_place_check(void);

/*
 * Records for systemd's journal, by its native protocol: a datagram to a socket of the host, with
 * one FIELD=VALUE a line. The format is https://systemd.io/JOURNAL_NATIVE_PROTOCOL/; what the
 * standard fields mean is in systemd.journal-fields(7). No library is needed for it. The journal
 * adds itself who has sent it (_UID, _PID), what nobody can forge.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "core/kernel.h"

#define JOURNAL_SOCKET     "/run/systemd/journal/socket"
#define JOURNAL_IDENTIFIER "cerebro" /* of SYSLOG_IDENTIFIER: what `journalctl -t` takes */

/* Connects to the journal behind `path`; non-blocking. Returns a descriptor or a negative errno. */
int journal_open(const char *path);

/* True when there is a socket of that name. */
bool journal_is_there(const char *path);

/*
 * Appends the datagram of a record, ended by an empty line as in the journal's export format, so
 * that several can wait in one buffer. `json` becomes its message and has no newline in it.
 */
void journal_encode(const struct pk_audit_record *record, const char *json, struct strbuf *out);

/*
 * Sends the first datagram of a buffer. Returns how many bytes of the buffer that took, or a
 * negative errno: -EAGAIN when the journal is behind.
 */
ssize_t journal_send(int fd, const char *bytes, size_t length);

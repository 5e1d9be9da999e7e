/* Times as the audit log writes them, and as people do. */
#pragma once

#include <time.h>

#define LOG_STAMP_SIZE 32

/*
 * Reads a time that somebody typed: a date, a date with a time, a time of today, all local unless
 * they end with Z, parts of a second are passed over; or how long before `now`: a number with s, m,
 * h or d. Returns 0 with the stamp that a record of that second has at least (UTC; stamps sort as
 * text), or -EINVAL.
 */
int log_parse_time(const char *text, time_t now, char ret_stamp[LOG_STAMP_SIZE]);

/* A record's stamp as local time to the second; "?" for what is no stamp. */
void log_local_time(const char *stamp, char ret_text[LOG_STAMP_SIZE]);

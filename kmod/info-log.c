// SPDX-License-Identifier: GPL-2.0
/*
 * Command 14: the kernel log. CAP_SYSLOG is checked by the gate.
 */
#include "kapi-internal.h"

#include <linux/kmsg_dump.h>
#include <linux/slab.h>

#define LINE_MAX_SIZE 2048

static const char *const levels[] = {
	"EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG",
};

static const char *const facilities[] = {
	"kern", "user", "mail", "daemon", "auth",     "syslog",
	"lpr",	"news", "uucp", "cron",	  "authpriv", "ftp",
};

/*
 * The index-th record that is still held. Records are numbered without gaps, so after the oldest
 * one is known the wanted one is reached in one step.
 */
static int read_line(u32 index, char *line, size_t size, size_t *ret_length)
{
	KAPI_LOG_ITERATOR(iter);

	kmsg_dump_rewind(&iter);
	if (!kmsg_dump_get_line(&iter, true, line, size, ret_length))
		return -ENODATA;
	if (index == 0)
		return 0;
	iter.cur_seq += index - 1; /* now at the second record */
	if (!kmsg_dump_get_line(&iter, true, line, size, ret_length))
		return -ENODATA;
	return 0;
}

/* "<N>": facility * 8 + level */
static char *parse_priority(char *line, struct kapi_kernel_log *log)
{
	unsigned int priority, facility;
	int used = 0;

	if (sscanf(line, "<%u>%n", &priority, &used) != 1 || !used)
		return line;
	facility = priority >> 3;
	strscpy(log->level, levels[priority & 7], sizeof(log->level));
	if (facility < ARRAY_SIZE(facilities))
		strscpy(log->facility, facilities[facility], sizeof(log->facility));
	else
		scnprintf(log->facility, sizeof(log->facility), "%u", facility);
	return line + used;
}

/* "[   12.345678] ", absent with printk.time=0; then perhaps "[   T1] ": who wrote it. */
static char *parse_time(char *line, struct kapi_kernel_log *log)
{
	unsigned long seconds, micros;
	char *end;
	int used = 0;

	if (sscanf(line, "[%lu.%lu]%n", &seconds, &micros, &used) != 2 || !used)
		return line;
	log->timestamp = (u64)seconds * USEC_PER_SEC + micros;
	line += used;
	if (*line == ' ')
		return line + 1;
	end = *line == '[' ? strchr(line, ']') : NULL;
	return end && end[1] == ' ' ? end + 2 : line;
}

int kapi_kernel_log(struct kapi_call *call, void *data)
{
	struct kapi_kernel_log *log = data;
	char *line = kzalloc(LINE_MAX_SIZE, GFP_KERNEL);
	size_t length = 0;
	int status;

	if (!line)
		return -ENOMEM;
	status = read_line(call->index, line, LINE_MAX_SIZE - 1, &length);
	if (!status) {
		line[min_t(size_t, length, LINE_MAX_SIZE - 1)] = '\0';
		if (length && line[length - 1] == '\n')
			line[length - 1] = '\0';
		strscpy(log->message, parse_time(parse_priority(line, log), log),
			sizeof(log->message));
	}
	kfree(line);
	return status;
}

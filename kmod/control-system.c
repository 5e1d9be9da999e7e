// SPDX-License-Identifier: GPL-2.0
/*
 * Commands 23 (a line in the kernel log), 24 (drop caches) and 26 (panic). Gates: dispatch.c.
 */
#include "kapi-internal.h"

#include <linux/cred.h>

static const char *const level_names[] = {
	"EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG",
};

static int find_level(const char *name)
{
	int level;

	if (!strcasecmp(name, "ERROR"))
		return LOGLEVEL_ERR;
	if (!strcasecmp(name, "CRITICAL"))
		return LOGLEVEL_CRIT;
	if (!strcasecmp(name, "EMERGENCY"))
		return LOGLEVEL_EMERG;
	if (!strcasecmp(name, "WARN"))
		return LOGLEVEL_WARNING;
	for (level = 0; level < (int)ARRAY_SIZE(level_names); level++) {
		if (!strcasecmp(name, level_names[level]))
			return level;
	}
	return -EINVAL;
}

/*
 * The line says who wrote it, and every byte that is not printable is written as an escape: a
 * newline cannot forge a line of somebody else. Levels above WARNING reach every console and are
 * kept for the kernel, unless allow_dangerous is set.
 */
static void write_line(int level, const char *message)
{
	/* A level that is not a constant: KERN_SOH and the digit, as printk() expects it. */
	char prefix[] = { KERN_SOH_ASCII, '0' + level, '\0' };

	if (!kapi_allow_dangerous && level < LOGLEVEL_WARNING)
		prefix[1] = '0' + LOGLEVEL_WARNING;
	printk("%s" pr_fmt("message from pid %d uid %u: %*pE\n"), prefix, task_tgid_nr(current),
	       from_kuid(&init_user_ns, current_uid()), (int)strlen(message), message);
}

int kapi_inject_log(struct kapi_call *call, void *data)
{
	KAPI_LIMIT(limit, 5 * HZ, 50);
	struct kapi_log_injection *request = data;
	int level;

	kapi_terminate(request->level);
	kapi_terminate(request->message);
	level = request->level[0] ? find_level(request->level) : LOGLEVEL_INFO;
	if (level < 0 || !request->message[0])
		return -EINVAL;
	if (!__ratelimit(&limit))
		return -EBUSY;
	write_line(level, request->message);
	return 0;
}

int kapi_reclaim(struct kapi_call *call, void *data)
{
	KAPI_LIMIT(limit, 10 * HZ, 1);

	/* Dropping caches slows the whole machine down: not more than once in ten seconds. */
	if (!__ratelimit(&limit))
		return -EBUSY;
	return kapi_tree_write(KAPI_TREE_PROC, "sys/vm/drop_caches", "3");
}

int kapi_panic(struct kapi_call *call, void *data)
{
	panic("kapi: asked for by pid %d uid %u\n", task_tgid_nr(current),
	      from_kuid(&init_user_ns, current_uid()));
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What was asked and refused: a counter for each command, an audit record and a multicast event for
 * each control operation. Never one log line for each call: lines are limited in rate, and what was
 * refused or failed (which anybody can cause) has a limit of its own, so that it cannot push out
 * the records of operations that were carried out.
 */
#include "kapi-internal.h"

#include <linux/atomic.h>
#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/pid.h>

static atomic64_t calls[KAPI_NR_END];
static atomic64_t refused[KAPI_NR_END];

u64 kapi_audit_calls(unsigned int nr)
{
	return nr < KAPI_NR_END ? atomic64_read(&calls[nr]) : 0;
}

u64 kapi_audit_refused(unsigned int nr)
{
	return nr < KAPI_NR_END ? atomic64_read(&refused[nr]) : 0;
}

static bool is_refusal(int status)
{
	return status == -EPERM || status == -EACCES;
}

/* Records for auditing and events. What failed can be repeated by anybody, quickly. */
static bool record_limited(int status)
{
	KAPI_LIMIT(done_limit, HZ, 100);
	KAPI_LIMIT(failed_limit, HZ, 50);

	return !__ratelimit(status ? &failed_limit : &done_limit);
}

static bool line_limited(int status)
{
	KAPI_LIMIT(done_limit, 5 * HZ, 10);
	KAPI_LIMIT(failed_limit, 5 * HZ, 5);

	return !__ratelimit(status ? &failed_limit : &done_limit);
}

/* A process name is whatever its owner wants; auditing writes such strings in hexadecimal. */
static void record_audit(struct kapi_call *call, int status)
{
	char comm[TASK_COMM_LEN];

	get_task_comm(comm, current);
	audit_log(
		audit_context(), GFP_KERNEL, AUDIT_KERNEL,
		"op=kapi command=%u pid=%d uid=%u auid=%u ses=%u comm=%*phN target=%d status=%d res=%d",
		call->nr, task_tgid_nr(current), from_kuid(&init_user_ns, current_uid()),
		from_kuid(&init_user_ns, audit_get_loginuid(current)), audit_get_sessionid(current),
		(int)strnlen(comm, sizeof(comm)), comm, pid_nr(call->target), status, !status);
}

static void record_log(struct kapi_call *call, int status)
{
	pr_notice("command %u by pid %d uid %u target %d: %s (%d)\n", call->nr,
		  task_tgid_nr(current), from_kuid(&init_user_ns, current_uid()),
		  pid_nr(call->target), status ? "refused or failed" : "done", status);
}

void kapi_audit(struct kapi_call *call, const struct kapi_command *command, int status)
{
	atomic64_inc(&calls[call->nr]);
	if (is_refusal(status))
		atomic64_inc(&refused[call->nr]);
	if (!command->control || record_limited(status))
		return;
	if (audit_enabled)
		record_audit(call, status);
	if ((kapi_log_level >= 2 || (kapi_log_level == 1 && !audit_enabled)) &&
	    !line_limited(status))
		record_log(call, status);
	kapi_genl_event(call, is_refusal(status) ? KAPI_EVENT_REFUSED : KAPI_EVENT_CONTROL, status);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Who may: the conditions of a command, checked for each call and for the thread that makes it. A
 * descriptor that was passed on or leaked gives its holder nothing: for the commands that matter
 * the opener must have been privileged AND the caller must be.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/nsproxy.h>
#include <linux/sched/task.h>

static int check_parameters(struct kapi_call *call, const struct kapi_gate *gate)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gate->allowed); i++) {
		if (!gate->allowed[i] || *gate->allowed[i])
			continue;
		kapi_say(call, "switched off: the module was not loaded with %s=1",
			 gate->parameter[i]);
		return -EPERM;
	}
	return 0;
}

static int check_capability(struct kapi_call *call, const struct kapi_gate *gate)
{
	if (gate->capability < 0)
		return 0;
	/* capable() asks for the initial user namespace: root of a container is not enough. */
	if (!capable(gate->capability)) {
		kapi_say(call, "needs %s", gate->capability_name);
		return -EPERM;
	}
	if (gate->opener && !file_ns_capable(call->file, &init_user_ns, gate->capability)) {
		kapi_say(call, "the device was opened without %s", gate->capability_name);
		return -EACCES;
	}
	return 0;
}

static bool in_init_mounts(void)
{
	struct nsproxy *theirs;
	bool same;

	/* init_task never changes its namespaces; task_lock is what the kernel asks for. */
	task_lock(&init_task);
	theirs = init_task.nsproxy;
	same = theirs && current->nsproxy->mnt_ns == theirs->mnt_ns;
	task_unlock(&init_task);
	return same;
}

/*
 * Returns 0, -EPERM or -EACCES, with words for the caller. The order is: what the caller lacks
 * first, so that someone without rights learns nothing about how the module was loaded.
 */
int kapi_gate_check(struct kapi_call *call, const struct kapi_gate *gate)
{
	int error;

	error = check_capability(call, gate);
	if (error)
		return error;
	error = check_parameters(call, gate);
	if (error)
		return error;
	if (gate->init_mounts && !in_init_mounts()) {
		kapi_say(call, "only from the initial mount namespace");
		return -EPERM;
	}
	if (gate->lockdown != LOCKDOWN_NONE && security_locked_down(gate->lockdown)) {
		kapi_say(call, "the kernel is locked down (Secure Boot or lockdown=)");
		return -EPERM;
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Commands 15 to 17 (signals) and 25 (affinity). Targets are found in the caller's pid namespace
 * and held by reference from the check to the deed, so that a number that is reused in between does
 * not hit another process.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>

/* The rule of kill(2). kill_pid() itself checks nothing when the kernel calls it. */
static bool may_signal(struct task_struct *task)
{
	const struct cred *caller = current_cred(), *target;
	bool may;

	rcu_read_lock();
	target = __task_cred(task);
	may = uid_eq(caller->euid, target->suid) || uid_eq(caller->euid, target->uid) ||
	      uid_eq(caller->uid, target->suid) || uid_eq(caller->uid, target->uid) ||
	      ns_capable(target->user_ns, CAP_KILL);
	rcu_read_unlock();
	return may;
}

/* Finds the target for a control command; call->target keeps the reference. */
static struct task_struct *target_get(struct kapi_call *call, pid_t nr)
{
	if (nr <= 0) { /* no process groups, no "everybody" */
		kapi_say(call, "pid %d is not a process", nr);
		return ERR_PTR(-EINVAL);
	}
	call->target = find_get_pid(nr);
	if (call->target) {
		struct task_struct *task = get_pid_task(call->target, PIDTYPE_PID);

		if (task)
			return task;
	}
	kapi_say(call, "no process %d", nr);
	return ERR_PTR(-ESRCH);
}

static int send(struct kapi_call *call, pid_t nr, int sig)
{
	struct task_struct *task;
	int error;

	if (!valid_signal(sig)) {
		kapi_say(call, "no signal %d", sig);
		return -EINVAL;
	}
	task = target_get(call, nr);
	if (IS_ERR(task))
		return PTR_ERR(task);
	if (!may_signal(task)) {
		kapi_say(call, "process %d belongs to another user: needs CAP_KILL", nr);
		error = -EPERM;
	} else {
		error = kill_pid(call->target, sig, 0);
		if (!error)
			kapi_say(call, "signal %d sent to process %d", sig, nr);
	}
	put_task_struct(task);
	return error;
}

int kapi_kill(struct kapi_call *call, void *data)
{
	struct kapi_process_control *request = data;

	return send(call, request->pid, request->signal);
}

int kapi_suspend(struct kapi_call *call, void *data)
{
	struct kapi_process_control *request = data;

	return send(call, request->pid, SIGSTOP);
}

int kapi_resume(struct kapi_call *call, void *data)
{
	struct kapi_process_control *request = data;

	return send(call, request->pid, SIGCONT);
}

/* ------------------------------------------------------------------------------------ affinity */

static bool may_schedule(struct task_struct *task)
{
	const struct cred *caller = current_cred(), *target;
	bool may;

	rcu_read_lock();
	target = __task_cred(task);
	may = uid_eq(caller->euid, target->euid) || uid_eq(caller->euid, target->uid) ||
	      ns_capable(target->user_ns, CAP_SYS_NICE);
	rcu_read_unlock();
	return may;
}

/* Exactly 64 bits come from the caller; a longer mask is not read out of what follows them. */
static void mask_to_cpus(u64 mask, struct cpumask *cpus)
{
	unsigned int cpu;

	cpumask_clear(cpus);
	for (cpu = 0; cpu < 64 && cpu < nr_cpu_ids; cpu++) {
		if (mask & BIT_ULL(cpu))
			cpumask_set_cpu(cpu, cpus);
	}
	cpumask_and(cpus, cpus, cpu_online_mask);
}

/*
 * The exported function knows nothing of cpusets. So that nobody leaves one this way, only the
 * administrator of the machine may add CPUs to those that the task has now.
 */
static int apply_mask(struct kapi_call *call, struct task_struct *task, const struct cpumask *cpus)
{
	if (cpumask_empty(cpus)) {
		kapi_say(call, "no CPU of the mask is online");
		return -EINVAL;
	}
	if (!may_schedule(task)) {
		kapi_say(call, "the process belongs to another user: needs CAP_SYS_NICE");
		return -EPERM;
	}
	if (!cpumask_subset(cpus, task->cpus_ptr) && !capable(CAP_SYS_NICE)) {
		kapi_say(call, "adding CPUs needs CAP_SYS_NICE of the machine");
		return -EPERM;
	}
	if (task->flags & PF_NO_SETAFFINITY) {
		kapi_say(call, "bound to its CPU by the kernel");
		return -EINVAL;
	}
	return set_cpus_allowed_ptr(task, cpus);
}

int kapi_affinity(struct kapi_call *call, void *data)
{
	struct kapi_cpu_control *request = data;
	struct task_struct *task;
	cpumask_var_t cpus;
	int error;

	if (!alloc_cpumask_var(&cpus, GFP_KERNEL))
		return -ENOMEM;
	mask_to_cpus(request->mask, cpus);
	task = target_get(call, request->pid ? request->pid : task_pid_vnr(current));
	if (IS_ERR(task)) {
		error = PTR_ERR(task);
	} else {
		error = apply_mask(call, task, cpus);
		put_task_struct(task);
	}
	free_cpumask_var(cpus);
	return error;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Processes: which of them a caller may know about, and what everybody may know about them. Shared
 * by command 3, the process list and the control commands.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/proc_fs.h>
#include <linux/sched/cputime.h>
#include <linux/sched/mm.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/task_io_accounting_ops.h>
#include <linux/timekeeping.h>
#include <linux/tty.h>
#include <linux/kdev_t.h>
#include <uapi/linux/magic.h>

u64 kapi_boottime_ns(void)
{
	return kapi_timens_boottime(ktime_get_boottime_ns());
}

/* ---------------------------------------------------------------------------------- visibility */

static bool same_owner(const struct cred *caller, const struct cred *target)
{
	return uid_eq(caller->fsuid, target->euid) && uid_eq(caller->fsuid, target->suid) &&
	       uid_eq(caller->fsuid, target->uid) && gid_eq(caller->fsgid, target->egid) &&
	       gid_eq(caller->fsgid, target->sgid) && gid_eq(caller->fsgid, target->gid);
}

/* A process that dropped or gained privileges is closed to its own user as well. */
static bool dumpable(struct task_struct *task)
{
	bool open = true;
#ifdef KAPI_HAS_EXEC_STATE
	struct task_exec_state *state;

	rcu_read_lock();
	state = rcu_dereference(task->exec_state);
	open = state && (READ_ONCE(state->dumpable) == TASK_DUMPABLE_OWNER ||
			 ns_capable_noaudit(state->user_ns, CAP_SYS_PTRACE));
	rcu_read_unlock();
#else
	task_lock(task); /* pins task->mm */
	if (task->mm)
		open = get_dumpable(task->mm) == SUID_DUMP_USER ||
		       ns_capable_noaudit(task->mm->user_ns, CAP_SYS_PTRACE);
	task_unlock(task);
#endif
	return open;
}

/*
 * Whether the caller could look into the process: the rule of ptrace_may_access() for reading,
 * which is not exported. Security modules are not asked (their hook is not exported either), so
 * what is shown under this rule is kept to what /proc shows to the owner.
 */
bool kapi_may_inspect(struct task_struct *task)
{
	const struct cred *target;
	bool may;

	if (same_thread_group(task, current))
		return true;
	rcu_read_lock();
	target = __task_cred(task);
	may = same_owner(current_cred(), target) ||
	      ns_capable_noaudit(target->user_ns, CAP_SYS_PTRACE);
	rcu_read_unlock();
	return may && dumpable(task);
}

/*
 * Whether /proc, as the caller sees it, hides processes (mount option hidepid). Where the caller
 * has no proc of its own pid namespace at /proc it is treated as hiding: it must not gain by
 * covering /proc.
 */
static bool proc_hides(struct pid_namespace *ns)
{
	struct proc_fs_info *info;
	struct path path;
	bool hides = true;

	if (kern_path("/proc", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path))
		return true;
	if (path.mnt->mnt_sb->s_magic == PROC_SUPER_MAGIC) {
		info = proc_sb_info(path.mnt->mnt_sb);
		if (info->pid_ns == ns)
			hides = info->hide_pid != HIDEPID_OFF &&
				(info->hide_pid == HIDEPID_NOT_PTRACEABLE ||
				 !in_group_p(info->pid_gid));
	}
	path_put(&path);
	return hides;
}

void kapi_view_init(struct kapi_view *view)
{
	view->ns = task_active_pid_ns(current);
	view->all = ns_capable_noaudit(&init_user_ns, CAP_SYS_PTRACE) || !proc_hides(view->ns);
}

bool kapi_view_has(const struct kapi_view *view, struct task_struct *task)
{
	return view->all || kapi_may_inspect(task);
}

/* ---------------------------------------------------------------------------------------- data */

/*
 * Locks the signal handlers of a process that may be exiting. task->sighand is only stable under
 * its own lock, so it is looked at again once the lock is held.
 */
static struct sighand_struct *lock_sighand(struct task_struct *task, unsigned long *ret_flags)
{
	struct sighand_struct *sighand;

	rcu_read_lock();
	for (;;) {
		sighand = rcu_dereference(task->sighand);
		if (!sighand)
			break;
		spin_lock_irqsave(&sighand->siglock, *ret_flags);
		if (sighand == rcu_access_pointer(task->sighand))
			break;
		spin_unlock_irqrestore(&sighand->siglock, *ret_flags);
	}
	rcu_read_unlock();
	return sighand;
}

static void fill_times(struct task_struct *task, struct kapi_process_record *record)
{
	struct signal_struct *sig = task->signal;
	struct task_struct *thread;
	u64 utime, stime;

	record->utime = sig->utime;
	record->stime = sig->stime;
	record->cutime = sig->cutime;
	record->cstime = sig->cstime;
	record->min_faults = sig->min_flt;
	record->maj_faults = sig->maj_flt;
	record->voluntary_switches = sig->nvcsw;
	record->involuntary_switches = sig->nivcsw;
	for_each_thread(task, thread) {
		task_cputime_adjusted(thread, &utime, &stime);
		record->utime += utime;
		record->stime += stime;
		record->min_faults += thread->min_flt;
		record->maj_faults += thread->maj_flt;
		record->voluntary_switches += thread->nvcsw;
		record->involuntary_switches += thread->nivcsw;
	}
}

static void fill_io(struct task_struct *task, struct kapi_process_record *record)
{
	struct task_io_accounting io = task->signal->ioac;
	struct task_struct *thread;

	for_each_thread(task, thread)
		task_io_accounting_add(&io, &thread->ioac);
#ifdef CONFIG_TASK_IO_ACCOUNTING
	record->read_bytes = io.read_bytes;
	record->write_bytes = io.write_bytes;
#endif
#ifdef CONFIG_TASK_XACCT
	record->read_chars = io.rchar;
	record->write_chars = io.wchar;
	record->read_calls = io.syscr;
	record->write_calls = io.syscw;
#endif
	record->valid |= KAPI_PROCESS_HAS_IO;
}

/* What belongs to the process as a whole and changes under siglock. */
static void fill_group(struct task_struct *task, struct kapi_process_record *record)
{
	bool inspect = kapi_may_inspect(task);
	unsigned long flags;
	struct sighand_struct *sighand = lock_sighand(task, &flags);

	if (!sighand) /* gone: the last thread was reaped */
		return;
	record->num_threads = get_nr_threads(task);
	if (task->signal->tty)
		record->tty_nr = new_encode_dev(tty_devnum(task->signal->tty));
	record->rsslim = READ_ONCE(task->signal->rlim[RLIMIT_RSS].rlim_cur);
	fill_times(task, record);
	if (inspect)
		fill_io(task, record);
	spin_unlock_irqrestore(&sighand->siglock, flags);
}

static void fill_ids(struct task_struct *task, struct pid_namespace *ns,
		     struct kapi_process_record *record)
{
	struct user_namespace *user_ns = current_user_ns();
	const struct cred *cred;

	rcu_read_lock(); /* real_parent and the credentials may be replaced at any time */
	record->pid = task_tgid_nr_ns(task, ns);
	if (pid_alive(task))
		record->ppid = task_tgid_nr_ns(rcu_dereference(task->real_parent), ns);
	record->pgrp = task_pgrp_nr_ns(task, ns);
	record->session = task_session_nr_ns(task, ns);
	cred = __task_cred(task);
	record->uid = from_kuid_munged(user_ns, cred->uid);
	record->euid = from_kuid_munged(user_ns, cred->euid);
	record->gid = from_kgid_munged(user_ns, cred->gid);
	record->egid = from_kgid_munged(user_ns, cred->egid);
	rcu_read_unlock();
}

static void fill_memory(struct task_struct *task, struct kapi_process_record *record)
{
	struct mm_struct *mm;

	task_lock(task); /* an exiting or executing task cannot drop its mm meanwhile */
	mm = task->mm;
	if (mm && !(task->flags & PF_KTHREAD)) {
		record->vsize = (u64)mm->total_vm << PAGE_SHIFT;
		record->rss = (u64)get_mm_rss(mm) << PAGE_SHIFT;
		record->shared =
			(u64)(get_mm_counter(mm, MM_FILEPAGES) + get_mm_counter(mm, MM_SHMEMPAGES))
			<< PAGE_SHIFT;
		record->valid |= KAPI_PROCESS_HAS_MEMORY;
	}
	task_unlock(task);
}

void kapi_process_fill(struct task_struct *task, struct pid_namespace *ns,
		       struct kapi_process_record *record)
{
	memset(record, 0, sizeof(*record));
	fill_ids(task, ns, record);
	get_task_comm(record->comm, task);
	record->state = task_state_to_char(task);
	record->flags = task->flags;
	record->priority = task->prio - MAX_RT_PRIO;
	record->nice = task_nice(task);
	record->rt_priority = task->rt_priority;
	record->policy = task->policy;
	record->processor = task_cpu(task);
	record->start_time = kapi_timens_boottime(task->start_boottime);
	fill_group(task, record);
	fill_memory(task, record);
}

/* ----------------------------------------------------------------------------------- command 3 */

static void to_process_info(const struct kapi_process_record *record,
			    struct kapi_process_info *info)
{
	u64 age = kapi_boottime_ns() - record->start_time;
	u64 used = record->utime + record->stime;

	memset(info, 0, sizeof(*info));
	info->pid = record->pid;
	memcpy(info->comm, record->comm, sizeof(info->comm));
	info->memory_usage = record->rss;
	info->cpu_usage = (s64)age > 0 ? div64_u64(used * 100, age) : 0;
	info->num_threads = record->num_threads;
	info->ppid = record->ppid;
	info->pgrp = record->pgrp;
	info->session = record->session;
	info->tty_nr = record->tty_nr;
	info->start_time = record->start_time;
	info->vsize = record->vsize;
	info->rss = record->rss >> PAGE_SHIFT;
	info->rsslim = record->rsslim;
	info->priority = (s64)record->priority;
	info->nice = record->nice;
	info->num_threads_full = record->num_threads;
	info->state = record->state;
	info->flags = record->flags;
}

/* The pid is the number of the whole process in the caller's pid namespace. */
static struct task_struct *find_process(pid_t nr)
{
	struct pid *pid = find_get_pid(nr);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_TGID);

	put_pid(pid);
	return task;
}

int kapi_process_info(struct kapi_call *call, void *data)
{
	struct kapi_process_info *info = data;
	struct kapi_process_record record = {};
	struct task_struct *task;
	struct kapi_view view;

	kapi_view_init(&view);
	task = info->pid > 0 ? find_process(info->pid) : NULL;
	if (task && kapi_view_has(&view, task))
		kapi_process_fill(task, view.ns, &record);
	if (record.pid) {
		to_process_info(&record, info);
	} else { /* not there, not visible and reaped meanwhile look the same */
		memset(info, 0, sizeof(*info));
		info->pid = -1;
	}
	if (task)
		put_task_struct(task);
	return 0;
}

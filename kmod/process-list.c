// SPDX-License-Identifier: GPL-2.0
/*
 * All processes in one call. The walk goes by process number, as /proc does, and holds a reference
 * to one process at a time: a number that was reported is not reported again, and a process that
 * lives through the whole walk is not missed.
 */
#include "kapi-internal.h"

#include <linux/idr.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define RECORD_SIZE_MAX 4096

/* The next visible process after *cursor with a reference, or NULL. Sets *cursor to its number. */
static struct task_struct *next_process(const struct kapi_view *view, u32 *cursor)
{
	struct task_struct *task = NULL;
	struct pid *pid;
	int nr = *cursor;

	rcu_read_lock();
	for (;;) {
		nr++;
		pid = idr_get_next(&view->ns->idr, &nr);
		if (!pid)
			break;
		task = pid_task(pid, PIDTYPE_TGID); /* NULL for a mere thread */
		if (task && kapi_view_has(view, task))
			break;
		task = NULL;
	}
	if (task) {
		get_task_struct(task);
		*cursor = nr;
	}
	rcu_read_unlock();
	return task;
}

static u32 count_rest(const struct kapi_view *view, u32 cursor)
{
	struct task_struct *task;
	u32 count = 0;

	while (!fatal_signal_pending(current) && (task = next_process(view, &cursor))) {
		put_task_struct(task);
		count++;
		cond_resched();
	}
	return count;
}

/*
 * Writes one record at the caller's distance; what the caller does not know is cut, what we do not
 * know is zero. Returns 1, or 0 for a process that was reaped meanwhile and has no number any more.
 */
static int put_record(struct task_struct *task, const struct kapi_view *view, char __user *to,
		      size_t distance)
{
	struct kapi_process_record record;
	size_t known = min(distance, sizeof(record));

	kapi_process_fill(task, view->ns, &record);
	if (!record.pid)
		return 0;
	if (copy_to_user(to, &record, known))
		return -EFAULT;
	return clear_user(to + known, distance - known) ? -EFAULT : 1;
}

static int walk(const struct kapi_view *view, struct kapi_process_list *list)
{
	char __user *to = u64_to_user_ptr(list->buffer);
	u64 room = div_u64(list->length, list->record_size);
	struct task_struct *task;
	u32 cursor = list->cursor;
	int written;

	while ((task = next_process(view, &cursor))) {
		if (list->count == room) {
			put_task_struct(task);
			list->flags |= KAPI_LIST_TRUNCATED;
			return 0;
		}
		written = put_record(task, view, to + (u64)list->count * list->record_size,
				     list->record_size);
		put_task_struct(task);
		if (written < 0)
			return written;
		list->count += written;
		list->cursor = cursor;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static int check_request(const struct kapi_process_list *list, size_t size)
{
	if (list->size != size || (list->flags & ~(KAPI_LIST_COUNT | KAPI_LIST_TRUNCATED)))
		return -EINVAL;
	if (list->record_size < KAPI_PROCESS_RECORD_MIN || list->record_size > RECORD_SIZE_MAX ||
	    list->record_size % 8)
		return -EINVAL;
	if (list->cursor > INT_MAX - 1)
		return -EINVAL;
	return list->length < list->record_size ? -ENOSPC : 0;
}

static int answer(struct kapi_process_list *list)
{
	struct kapi_view view;
	u32 record_size = list->record_size;
	int error;

	kapi_view_init(&view);
	list->time_ns = kapi_boottime_ns();
	list->flags &= ~KAPI_LIST_TRUNCATED;
	list->count = 0;
	list->remaining = 0;
	error = walk(&view, list);
	if (error)
		return error;
	if ((list->flags & KAPI_LIST_TRUNCATED) && (list->flags & KAPI_LIST_COUNT))
		list->remaining = count_rest(&view, list->cursor);
	list->length = (u64)list->count * record_size;
	list->record_size = min_t(u32, record_size, sizeof(struct kapi_process_record));
	return 0;
}

int kapi_process_list(void __user *arg, size_t size)
{
	struct kapi_process_list list;
	struct kapi_call call = { .nr = KAPI_NR_PROCESS_LIST };
	static const struct kapi_command information;
	int error;

	if (size < sizeof(list))
		return -EINVAL;
	error = copy_struct_from_user(&list, sizeof(list), arg, size);
	if (error)
		return error;
	error = check_request(&list, size);
	if (!error)
		error = answer(&list);
	kapi_audit(&call, &information, error);
	if (error)
		return error;
	return copy_to_user(arg, &list, sizeof(list)) ? -EFAULT : 0;
}

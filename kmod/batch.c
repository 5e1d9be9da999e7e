// SPDX-License-Identifier: GPL-2.0
/*
 * Several information commands in one call. Each entry is answered through the same table, gate and
 * handler as its own ioctl would be; only information commands are allowed.
 */
#include "kapi-internal.h"

#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* More than any list of records needs; bounds how long one entry can take. */
#define ENTRY_LENGTH_MAX (1U << 20)

/* One structure; the caller may take only its head. */
static int answer_single(struct kapi_call *call, const struct kapi_command *command,
			 struct kapi_batch_entry *entry, void *data)
{
	size_t size = min_t(size_t, entry->length, _IOC_SIZE(command->code));
	int status;

	if (entry->command == _IOC_NR(KAPI_GET_PROCESS_INFO))
		((struct kapi_process_info *)data)->pid = entry->index;
	status = kapi_run(call, command, data);
	if (status)
		return status;
	if (copy_to_user(u64_to_user_ptr(entry->buffer), data, size))
		return -EFAULT;
	entry->count = 1;
	entry->length = size;
	return 0;
}

/* As many whole records as fit, from entry->index on. */
static int answer_records(struct kapi_call *call, const struct kapi_command *command,
			  struct kapi_batch_entry *entry, void *data)
{
	char __user *to = u64_to_user_ptr(entry->buffer);
	size_t size = _IOC_SIZE(command->code);
	size_t room = min(entry->length, ENTRY_LENGTH_MAX) / size;
	int status = 0;

	entry->length = 0;
	for (;;) {
		memset(data, 0, size);
		call->index = entry->index;
		status = kapi_run(call, command, data);
		if (status || entry->count == room)
			break;
		if (copy_to_user(to + entry->length, data, size))
			return -EFAULT;
		entry->length += size;
		entry->count++;
		entry->index++;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	if (!status) {
		entry->flags |= KAPI_ENTRY_MORE;
		return entry->count ? 0 : -ENOSPC;
	}
	return status == -ENODATA && entry->count ? 0 : status;
}

static int answer_entry(struct file *file, struct kapi_batch_entry *entry)
{
	const struct kapi_command *command = kapi_command(entry->command);
	struct kapi_call call = { .file = file, .nr = entry->command };
	void *data;
	int status;

	if (!command || !command->batch || entry->flags)
		return -EINVAL;
	data = kvzalloc(_IOC_SIZE(command->code), GFP_KERNEL);
	if (!data)
		return -ENOMEM;
	if (command->indexed)
		status = answer_records(&call, command, entry, data);
	else
		status = answer_single(&call, command, entry, data);
	kvfree(data);
	return status;
}

static int answer_all(struct file *file, struct kapi_batch *batch, struct kapi_batch_entry *entries)
{
	u32 i;

	batch->start_ns = kapi_boottime_ns();
	for (i = 0; i < batch->count; i++) {
		struct kapi_batch_entry *entry = &entries[i];

		entry->count = 0;
		entry->status = answer_entry(file, entry);
		if (entry->status && !entry->count)
			entry->length = 0;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	batch->end_ns = kapi_boottime_ns();
	return 0;
}

static int read_request(struct kapi_batch *batch, void __user *arg, size_t size)
{
	int error;

	if (size < sizeof(*batch))
		return -EINVAL;
	error = copy_struct_from_user(batch, sizeof(*batch), arg, size);
	if (error)
		return error;
	if (batch->size != size || batch->flags || batch->count == 0 ||
	    batch->count > KAPI_BATCH_MAX || batch->entry_size != sizeof(struct kapi_batch_entry))
		return -EINVAL;
	return 0;
}

int kapi_batch(struct file *file, void __user *arg, size_t size)
{
	struct kapi_call call = { .nr = KAPI_NR_BATCH };
	static const struct kapi_command information;
	struct kapi_batch_entry *entries;
	struct kapi_batch batch;
	void __user *user;
	int error;

	error = read_request(&batch, arg, size);
	if (error)
		return error;
	user = u64_to_user_ptr(batch.entries);
	entries = memdup_user(user, batch.count * sizeof(*entries));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	error = answer_all(file, &batch, entries);
	if (!error && copy_to_user(user, entries, batch.count * sizeof(*entries)))
		error = -EFAULT;
	if (!error && copy_to_user(arg, &batch, sizeof(batch)))
		error = -EFAULT;
	kapi_audit(&call, &information, error);
	kfree(entries);
	return error;
}

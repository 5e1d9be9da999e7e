// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that the kernel starts for commands 18, 19, 21 and 22, for which it exports no function.
 * They run as root in the initial namespaces, which is why the gates of these commands ask for the
 * capability, of the caller and of the opener, and for the initial mount namespace. No shell is
 * involved; what a caller sent becomes whole arguments and was checked by control-helper.c.
 */
#include "kapi-internal.h"

#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/umh.h>

#define MAX_ARGUMENTS 40

/*
 * A caller that is killed does not wait for the program, which may not even have been started yet.
 * So the arguments are copies that belong to the program, not to the caller.
 */
struct arguments {
	char *argv[MAX_ARGUMENTS + 1];
	char text[];
};

static bool ever_used; /* a helper was started since the module was loaded */

static struct arguments *copy_arguments(char **argv)
{
	struct arguments *copy;
	size_t size = 0, used = 0;
	int count, i;

	for (count = 0; argv[count]; count++)
		size += strlen(argv[count]) + 1;
	if (count > MAX_ARGUMENTS)
		return NULL;
	copy = kzalloc(struct_size(copy, text, size), GFP_KERNEL);
	for (i = 0; copy && i < count; i++) {
		copy->argv[i] = copy->text + used;
		used += strscpy(copy->argv[i], argv[i], size - used) + 1;
	}
	return copy;
}

/* Called once for each program, whenever it has ended. Until then the module cannot be removed. */
static void release(struct subprocess_info *info)
{
	kfree(info->data);
	module_put(THIS_MODULE);
}

static int run(char **argv)
{
	static char *envp[] = { "HOME=/", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", NULL };
	struct arguments *copy = copy_arguments(argv);
	struct subprocess_info *info;

	if (!copy)
		return -ENOMEM;
	info = call_usermodehelper_setup(copy->argv[0], copy->argv, envp, GFP_KERNEL, NULL, release,
					 copy);
	if (!info) {
		kfree(copy);
		return -ENOMEM;
	}
	__module_get(THIS_MODULE);
	WRITE_ONCE(ever_used, true);
	/* Killable: the caller can give up on a helper that hangs. */
	return call_usermodehelper_exec(info, UMH_WAIT_PROC | UMH_KILLABLE);
}

/* release() gave up the module a few instructions before its end: nobody may still be in there. */
void kapi_helper_exit(void)
{
	if (READ_ONCE(ever_used))
		synchronize_rcu_tasks();
}

/* A status as wait(2) knows it is not an errno. */
static int wait_status_to_errno(struct kapi_call *call, const char *program, int status)
{
	int code = (status >> 8) & 0xff;

	if (status < 0) {
		kapi_say(call, "%s could not be started: %pe", program, ERR_PTR(status));
		return status;
	}
	if (status & 0x7f) {
		kapi_say(call, "%s was ended by signal %d", program, status & 0x7f);
		return -EINTR;
	}
	if (code) {
		kapi_say(call, "%s: exit status %d", program, code);
		return -EIO;
	}
	return 0;
}

int kapi_helper_run(struct kapi_call *call, char **argv)
{
	KAPI_LIMIT(limit, HZ, 20);

	if (!__ratelimit(&limit)) {
		kapi_say(call, "more than 20 in a second");
		return -EBUSY;
	}
	return wait_status_to_errno(call, argv[0], run(argv));
}

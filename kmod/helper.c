// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that the kernel starts for commands 18, 19, 21 and 22, for which it exports no function.
 * They run as root in the initial namespaces, which is why the gates of these commands ask for the
 * capability, of the caller and of the opener, and for the initial mount namespace. No shell is
 * involved; what a caller sent becomes whole arguments and was checked by control-helper.c.
 */
#include "kapi-internal.h"

#include <linux/umh.h>

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
	static char *envp[] = { "HOME=/", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", NULL };
	int status;

	if (!__ratelimit(&limit)) {
		kapi_say(call, "more than 20 in a second");
		return -EBUSY;
	}
	/* Killable: the caller can give up on a helper that hangs. */
	status = call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC | UMH_KILLABLE);
	return wait_status_to_errno(call, argv[0], status);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Commands 18, 19 (modules) and 21, 22 (mounts): checks what the caller sent and builds the
 * argument list. Nothing that could be read as an option, and no control character, gets through.
 */
#include "kapi-internal.h"

#include <linux/ctype.h>
#include <linux/namei.h>
#include <linux/path.h>

#define MAX_PARAMETERS 32

/* Printable, not empty, and no option. */
static bool is_word(const char *text)
{
	const unsigned char *c;

	if (!*text || *text == '-')
		return false;
	for (c = (const unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			return false;
	}
	return true;
}

/* A name of a module or of a file system type. */
static bool is_name(const char *text)
{
	const char *c;

	if (!*text || *text == '-')
		return false;
	for (c = text; *c; c++) {
		if (!isalnum(*c) && *c != '_' && *c != '-' && *c != '.')
			return false;
	}
	return true;
}

/* Absolute, printable, and there. `flags` are LOOKUP_*. */
static int check_path(struct kapi_call *call, const char *name, unsigned int flags)
{
	struct path path;
	int error;

	if (name[0] != '/' || !is_word(name)) {
		kapi_say(call, "an absolute path is needed");
		return -EINVAL;
	}
	error = kern_path(name, flags, &path);
	if (error) {
		kapi_say(call, "the path: %pe", ERR_PTR(error));
		return error;
	}
	path_put(&path);
	return 0;
}

/* ------------------------------------------------------------------------------------- modules */

/* Splits NAME=VALUE words in place behind argv[used]. Returns the new `used` or an errno. */
static int split_parameters(struct kapi_call *call, char *text, char **argv, int used, int end)
{
	char *word;

	while ((word = strsep(&text, " "))) {
		if (!*word)
			continue;
		if (!is_word(word) || (!isalpha(*word) && *word != '_')) {
			kapi_say(call, "a parameter is a word NAME=VALUE");
			return -EINVAL;
		}
		if (used == end) {
			kapi_say(call, "more than %d parameters", MAX_PARAMETERS);
			return -E2BIG;
		}
		argv[used++] = word;
	}
	argv[used] = NULL;
	return used;
}

/* insmod for a file, modprobe for a name. The kernel checks signatures in the helper's own call. */
int kapi_load_module(struct kapi_call *call, void *data)
{
	struct kapi_module_control *request = data;
	char *argv[2 + MAX_PARAMETERS + 1];
	int error;

	kapi_terminate(request->path);
	kapi_terminate(request->name);
	kapi_terminate(request->params);
	if (request->path[0]) {
		error = check_path(call, request->path, LOOKUP_FOLLOW);
		if (error)
			return error;
		argv[0] = "/sbin/insmod";
		argv[1] = request->path;
	} else if (is_name(request->name)) {
		argv[0] = "/sbin/modprobe";
		argv[1] = request->name;
	} else {
		kapi_say(call, "an absolute path or a module name is needed");
		return -EINVAL;
	}
	error = split_parameters(call, request->params, argv, 2, 2 + MAX_PARAMETERS);
	return error < 0 ? error : kapi_helper_run(call, argv);
}

int kapi_unload_module(struct kapi_call *call, void *data)
{
	struct kapi_module_control *request = data;
	char *argv[] = { "/sbin/rmmod", request->name, NULL };
	char *c;
	int users;

	kapi_terminate(request->path);
	kapi_terminate(request->name);
	kapi_terminate(request->params);
	if (!is_name(request->name)) {
		kapi_say(call, "a module name is needed");
		return -EINVAL;
	}
	for (c = request->name; *c; c++) /* the kernel knows them by underscore only */
		*c = *c == '-' ? '_' : *c;
	users = kapi_module_users(request->name);
	if (users < 0) {
		kapi_say(call, "no module %s is loaded", request->name);
		return users;
	}
	if (users > 0) {
		kapi_say(call, "module %s is in use (%d)", request->name, users);
		return -EBUSY;
	}
	return kapi_helper_run(call, argv);
}

/* -------------------------------------------------------------------------------------- mounts */

static int check_mount(struct kapi_call *call, struct kapi_fs_control *request)
{
	kapi_terminate(request->device);
	kapi_terminate(request->path);
	kapi_terminate(request->type);
	kapi_terminate(request->options);
	if (!request->device[0])
		strscpy(request->device, "none", sizeof(request->device));
	if (!is_word(request->device)) {
		kapi_say(call, "the device is not a name");
		return -EINVAL;
	}
	if (!is_name(request->type)) {
		kapi_say(call, "a file system type is needed");
		return -EINVAL;
	}
	if (request->options[0] && !is_word(request->options)) {
		kapi_say(call, "the options are not a list of words");
		return -EINVAL;
	}
	return check_path(call, request->path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY);
}

int kapi_mount(struct kapi_call *call, void *data)
{
	struct kapi_fs_control *request = data;
	char *options = request->options[0] ? request->options : "defaults";
	/* clang-format off */
	char *argv[] = { "/bin/mount", "-n", "-t", request->type, "-o", options,
			 "--", request->device, request->path, NULL };
	/* clang-format on */
	int error;

	error = check_mount(call, request);
	return error ? error : kapi_helper_run(call, argv);
}

int kapi_umount(struct kapi_call *call, void *data)
{
	struct kapi_fs_control *request = data;
	char *argv[] = { "/bin/umount", "-n", "--", request->path, NULL };
	int error;

	kapi_terminate(request->device);
	kapi_terminate(request->path);
	kapi_terminate(request->type);
	kapi_terminate(request->options);
	error = check_path(call, request->path, LOOKUP_FOLLOW);
	return error ? error : kapi_helper_run(call, argv);
}

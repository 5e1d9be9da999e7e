// SPDX-License-Identifier: GPL-2.0
/*
 * Files of proc and sysfs, for the few values that no exported function gives. They are reached
 * through mounts that belong to the module and that no path leads to: a caller in a chroot or in a
 * mount namespace of its own cannot put something else in their place.
 */
#include "kapi-internal.h"

#include <linux/err.h>
#include <linux/mount.h>
#include <linux/slab.h>

static struct vfsmount *trees[KAPI_TREE_END];

static int tree_mount(enum kapi_tree tree, const char *type_name)
{
	struct file_system_type *type = get_fs_type(type_name);
	struct vfsmount *mnt;

	if (!type)
		return -ENODEV;
	mnt = kern_mount(type);
	if (IS_ERR(mnt))
		return PTR_ERR(mnt);
	trees[tree] = mnt;
	return 0;
}

void kapi_tree_exit(void)
{
	int tree;

	for (tree = 0; tree < KAPI_TREE_END; tree++) {
		if (trees[tree])
			kern_unmount(trees[tree]);
		trees[tree] = NULL;
	}
}

int kapi_tree_init(void)
{
	int error;

	error = tree_mount(KAPI_TREE_PROC, "proc");
	if (!error)
		error = tree_mount(KAPI_TREE_SYSFS, "sysfs");
	if (error)
		kapi_tree_exit();
	return error;
}

int kapi_tree_read(enum kapi_tree tree, const char *path, char *buffer, size_t size)
{
	struct file *file = kapi_open_below(trees[tree], path, O_RDONLY);
	loff_t position = 0;
	ssize_t got;

	buffer[0] = '\0';
	if (IS_ERR(file))
		return PTR_ERR(file);
	got = kernel_read(file, buffer, size - 1, &position);
	fput(file);
	if (got >= 0)
		buffer[got] = '\0';
	return got;
}

int kapi_tree_word(enum kapi_tree tree, const char *path, char *buffer, size_t size)
{
	int got = kapi_tree_read(tree, path, buffer, size);

	while (got > 0 && buffer[got - 1] <= ' ')
		buffer[--got] = '\0';
	return got;
}

int kapi_tree_number(enum kapi_tree tree, const char *path, long *ret_value)
{
	char text[32];
	int got = kapi_tree_word(tree, path, text, sizeof(text));

	if (got < 0)
		return got;
	return kstrtol(text, 10, ret_value);
}

int kapi_tree_write(enum kapi_tree tree, const char *path, const char *text)
{
	struct file *file = kapi_open_below(trees[tree], path, O_WRONLY);
	loff_t position = 0;
	ssize_t put;

	if (IS_ERR(file))
		return PTR_ERR(file);
	put = kernel_write(file, text, strlen(text), &position);
	fput(file);
	return put < 0 ? put : 0;
}

struct listing {
	struct dir_context actor;
	bool (*each)(void *context, const char *name);
	void *context;
};

static kapi_filldir_t list_one(struct dir_context *actor, const char *name, int length,
			       loff_t offset, u64 inode, unsigned int type)
{
	struct listing *listing = container_of(actor, struct listing, actor);
	char copy[NAME_MAX + 1];

	if (length <= 0 || length > NAME_MAX || name[0] == '.')
		return KAPI_FILLDIR_MORE;
	memcpy(copy, name, length);
	copy[length] = '\0';
	return listing->each(listing->context, copy) ? KAPI_FILLDIR_MORE : KAPI_FILLDIR_STOP;
}

int kapi_tree_list(enum kapi_tree tree, const char *path,
		   bool (*each)(void *context, const char *name), void *context)
{
	struct listing listing = { .actor.actor = list_one, .each = each, .context = context };
	struct file *file = kapi_open_below(trees[tree], path, O_RDONLY | O_DIRECTORY);
	int error;

	if (IS_ERR(file))
		return PTR_ERR(file);
	error = iterate_dir(file, &listing.actor);
	fput(file);
	return error;
}

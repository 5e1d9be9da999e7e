// SPDX-License-Identifier: GPL-2.0
/*
 * The character device: open files, their buffers, read, write, seek and map. No function here
 * writes to the kernel log for a call (log flooding).
 */
#include "kapi-internal.h"

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

/* Open files of one user, so that nobody exhausts memory by opening (denial of service). */
struct kapi_user {
	struct list_head link;
	kuid_t uid;
	unsigned int opens;
};

static DEFINE_SPINLOCK(users_lock);
static LIST_HEAD(users);

static dev_t device_number;
static struct cdev device_cdev;
static struct class *device_class;
static char *shared_buffer; /* with shared_buffer=1 */

static struct kapi_user *user_find(kuid_t uid)
{
	struct kapi_user *user;

	list_for_each_entry(user, &users, link) {
		if (uid_eq(user->uid, uid))
			return user;
	}
	return NULL;
}

/* Counts one more open file for the caller, or returns ERR_PTR(-EMFILE / -ENOMEM). */
static struct kapi_user *user_get(void)
{
	kuid_t uid = current_uid();
	struct kapi_user *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	struct kapi_user *user;

	if (!fresh)
		return ERR_PTR(-ENOMEM);
	spin_lock(&users_lock);
	user = user_find(uid);
	if (!user) {
		user = fresh;
		fresh = NULL;
		user->uid = uid;
		list_add(&user->link, &users);
	}
	if (kapi_max_opens && user->opens >= kapi_max_opens)
		user = ERR_PTR(-EMFILE);
	else
		user->opens++;
	spin_unlock(&users_lock);
	kfree(fresh);
	return user;
}

static void user_put(struct kapi_user *user)
{
	spin_lock(&users_lock);
	if (--user->opens == 0)
		list_del(&user->link);
	else
		user = NULL;
	spin_unlock(&users_lock);
	kfree(user);
}

/*
 * Zeroed, physically contiguous, split into single pages, so that a page which is still pinned by
 * someone when the file is closed stays alive on its own count. Freed with the function that
 * belongs to it. Charged to the caller's memory cgroup.
 */
static char *buffer_alloc(gfp_t gfp)
{
	return alloc_pages_exact(KAPI_BUFFER_SIZE, gfp | __GFP_ZERO);
}

static void buffer_free(char *buffer)
{
	if (buffer)
		free_pages_exact(buffer, KAPI_BUFFER_SIZE);
}

/*
 * A buffer for each open file: what one user leaves in it is never seen by another. Sharing on
 * purpose works by fork or by passing the descriptor on.
 */
static int device_open(struct inode *inode, struct file *file)
{
	struct kapi_open *open = kzalloc(sizeof(*open), GFP_KERNEL_ACCOUNT);
	int error = -ENOMEM;

	if (!open)
		return -ENOMEM;
	mutex_init(&open->cursor_lock);
	open->buffer = shared_buffer ? shared_buffer : buffer_alloc(GFP_KERNEL_ACCOUNT);
	if (!open->buffer)
		goto no_buffer;
	open->user = user_get();
	if (IS_ERR(open->user)) {
		error = PTR_ERR(open->user);
		goto no_user;
	}
	file->private_data = open;
	return 0;

no_user:
	if (open->buffer != shared_buffer)
		buffer_free(open->buffer);
no_buffer:
	kfree(open);
	return error;
}

static int device_release(struct inode *inode, struct file *file)
{
	struct kapi_open *open = file->private_data;

	user_put(open->user);
	if (open->buffer != shared_buffer)
		buffer_free(open->buffer);
	kfree(open);
	return 0;
}

static ssize_t device_read(struct file *file, char __user *to, size_t count, loff_t *position)
{
	struct kapi_open *open = file->private_data;

	return simple_read_from_buffer(to, count, position, open->buffer, KAPI_BUFFER_SIZE);
}

static ssize_t device_write(struct file *file, const char __user *from, size_t count,
			    loff_t *position)
{
	struct kapi_open *open = file->private_data;

	/* 0 would make a caller that writes everything try for ever. */
	if (count && *position >= KAPI_BUFFER_SIZE)
		return -ENOSPC;
	return simple_write_to_buffer(open->buffer, KAPI_BUFFER_SIZE, position, from, count);
}

static loff_t device_llseek(struct file *file, loff_t offset, int whence)
{
	return fixed_size_llseek(file, offset, whence, KAPI_BUFFER_SIZE);
}

/*
 * Maps the buffer. vm_map_pages() takes the offset into account and refuses whatever would reach
 * beyond the last page. Cached (it is ordinary memory), never executable, not in core dumps, and
 * not inherited by mremap() into something larger. Only shared: a private copy shares nothing.
 */
static int device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kapi_open *open = file->private_data;
	struct page *pages[KAPI_BUFFER_SIZE / PAGE_SIZE];
	size_t i;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	kapi_vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = virt_to_page(open->buffer + i * PAGE_SIZE);
	return vm_map_pages(vma, pages, ARRAY_SIZE(pages));
}

static const struct file_operations device_operations = {
	.owner = THIS_MODULE, /* rmmod is refused while a file is open */
	.open = device_open,
	.release = device_release,
	.read = device_read,
	.write = device_write,
	.llseek = device_llseek,
	.unlocked_ioctl = kapi_ioctl,
	.mmap = device_mmap,
	.fsync = noop_fsync, /* msync() of the mapping must succeed */
};

static int device_node_init(void)
{
	struct device *device;
	int error;

	device_class = kapi_class_create("kapi");
	if (IS_ERR(device_class))
		return PTR_ERR(device_class);
	/* devtmpfs makes it root:root 0600; a udev rule may give it to the group kapi. */
	device = device_create(device_class, NULL, device_number, NULL, KAPI_DEVICE_NAME);
	if (!IS_ERR(device))
		return 0;
	error = PTR_ERR(device);
	class_destroy(device_class);
	return error;
}

int kapi_device_init(void)
{
	int error;

	if (kapi_shared_buffer) {
		shared_buffer = buffer_alloc(GFP_KERNEL);
		if (!shared_buffer)
			return -ENOMEM;
	}
	error = alloc_chrdev_region(&device_number, 0, 1, KAPI_DEVICE_NAME);
	if (error)
		goto no_number;
	cdev_init(&device_cdev, &device_operations);
	device_cdev.owner = THIS_MODULE;
	error = cdev_add(&device_cdev, device_number, 1);
	if (error)
		goto no_cdev;
	error = device_node_init();
	if (error)
		goto no_node;
	return 0;

no_node:
	cdev_del(&device_cdev);
no_cdev:
	unregister_chrdev_region(device_number, 1);
no_number:
	buffer_free(shared_buffer);
	return error;
}

void kapi_device_exit(void)
{
	device_destroy(device_class, device_number);
	class_destroy(device_class);
	cdev_del(&device_cdev);
	unregister_chrdev_region(device_number, 1);
	buffer_free(shared_buffer);
}

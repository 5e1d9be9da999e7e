// SPDX-License-Identifier: GPL-2.0
/*
 * Commands 27 (read), 28 (write) and 30 (patch and restore) of physical memory. Who may is in
 * dispatch.c: CAP_SYS_RAWIO of caller and opener, allow_dangerous, no lockdown, and for writing
 * allow_phys_write.
 *
 * Only RAM that the kernel itself uses through its direct map is touched: no device registers, no
 * memory beyond the end, no page that is poisoned or offline. Page by page, so that a request which
 * crosses the end of a page never runs on into something that was not checked. Every access copes
 * with a fault, because parts of the direct map are unmapped (secretmem, hypervisor guests).
 */
#include "kapi-internal.h"

#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page-flags.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <asm/page_types.h>

/* One writer at a time: reading the original, writing and comparing belong together. */
static DEFINE_MUTEX(write_lock);

struct phys_range {
	u64 address;
	size_t size;
};

static int check_range(struct kapi_call *call, u64 address, u64 size, struct phys_range *ret_range)
{
	if (size == 0 || size > KAPI_PHYS_MAX) {
		kapi_say(call, "size must be 1 to %d", KAPI_PHYS_MAX);
		return -EINVAL;
	}
	/* The sum cannot wrap around: it is compared before it is built. */
	if (address > (u64)__PHYSICAL_MASK - size) {
		kapi_say(call, "no such physical address");
		return -EFAULT;
	}
	ret_range->address = address;
	ret_range->size = size;
	return 0;
}

/* The page at an address if it is RAM in use or free for use by the kernel, else NULL. */
static struct page *ram_page(u64 address)
{
	unsigned long pfn = address >> PAGE_SHIFT;
	struct page *page;

	/* Page 0 and the legacy area hold firmware data which the kernel does not own. */
	if (pfn < (SZ_1M >> PAGE_SHIFT) || !page_is_ram(pfn))
		return NULL;
	page = kapi_online_page(pfn);
	if (!page || PageHWPoison(page) || PageOffline(page))
		return NULL;
	return page;
}

static size_t piece_at(u64 address, size_t left)
{
	return min_t(size_t, left, PAGE_SIZE - offset_in_page(address));
}

static int read_piece(u64 address, char *to, size_t size)
{
	struct page *page = ram_page(address);

	if (!page)
		return -EFAULT;
	if (copy_from_kernel_nofault(to, page_address(page) + offset_in_page(address), size))
		return -EFAULT;
	return 0;
}

static int read_range(const struct phys_range *range, char *to)
{
	size_t done, piece;
	int error;

	for (done = 0; done < range->size; done += piece) {
		piece = piece_at(range->address + done, range->size - done);
		error = read_piece(range->address + done, to + done, piece);
		if (error)
			return error;
	}
	return 0;
}

/*
 * Writes through a mapping of its own, because the direct map of a page may be read-only. The
 * caller has read the whole range before, so what the kernel had unmapped stays closed.
 */
static int write_piece(u64 address, const char *from, size_t size)
{
	struct page *page = ram_page(address);
	char *alias;

	if (!page)
		return -EFAULT;
	alias = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	if (!alias)
		return -ENOMEM;
	memcpy(alias + offset_in_page(address), from, size);
	vunmap(alias);
	return 0;
}

static int write_range(const struct phys_range *range, const char *from)
{
	size_t done, piece;
	int error;

	for (done = 0; done < range->size; done += piece) {
		piece = piece_at(range->address + done, range->size - done);
		error = write_piece(range->address + done, from + done, piece);
		if (error)
			return error;
	}
	return 0;
}

static int result(struct kapi_call *call, int error, const char *what)
{
	if (error == -EFAULT)
		kapi_say(call, "not readable RAM");
	else if (!error)
		kapi_say(call, "%s", what);
	return error;
}

int kapi_phys_read(struct kapi_call *call, void *data)
{
	struct kapi_phys_mem_read *request = data;
	struct phys_range range;
	int error;

	/* What the caller sent in `data` must not look like an answer. */
	memset(request->data, 0, sizeof(request->data));
	error = check_range(call, request->phys_addr, request->size, &range);
	if (error)
		return error;
	error = read_range(&range, request->data);
	if (error)
		memset(request->data, 0, sizeof(request->data));
	return result(call, error, "read");
}

int kapi_phys_write(struct kapi_call *call, void *data)
{
	struct kapi_phys_mem_write *request = data;
	struct phys_range range;
	char *before;
	int error;

	error = check_range(call, request->phys_addr, request->size, &range);
	if (error)
		return error;
	before = kmalloc(KAPI_PHYS_MAX, GFP_KERNEL);
	if (!before)
		return -ENOMEM;
	mutex_lock(&write_lock);
	error = read_range(&range, before);
	if (!error)
		error = write_range(&range, request->data);
	mutex_unlock(&write_lock);
	kfree_sensitive(before);
	return result(call, error, "written");
}

/* Puts the original back, but only over our own patch: somebody may have changed it since. */
static int restore(struct kapi_call *call, const struct phys_range *range,
		   struct kapi_mem_patch *request, char *now)
{
	int error = read_range(range, now);

	if (error)
		return error;
	if (memcmp(now, request->patch_data, range->size)) {
		kapi_say(call, "memory does not hold the patch any more");
		return -EAGAIN;
	}
	return write_range(range, request->original_data);
}

static int patch(const struct phys_range *range, struct kapi_mem_patch *request)
{
	int error;

	memset(request->original_data, 0, sizeof(request->original_data));
	error = read_range(range, request->original_data);
	return error ? error : write_range(range, request->patch_data);
}

int kapi_phys_patch(struct kapi_call *call, void *data)
{
	struct kapi_mem_patch *request = data;
	struct phys_range range;
	char *now;
	int error;

	error = check_range(call, request->phys_addr, request->size, &range);
	if (error)
		return error;
	if (request->restore != 0 && request->restore != 1) {
		kapi_say(call, "restore is 0 or 1");
		return -EINVAL;
	}
	now = kmalloc(KAPI_PHYS_MAX, GFP_KERNEL);
	if (!now)
		return -ENOMEM;
	mutex_lock(&write_lock);
	if (request->restore)
		error = restore(call, &range, request, now);
	else
		error = patch(&range, request);
	mutex_unlock(&write_lock);
	kfree_sensitive(now);
	return result(call, error, request->restore ? "restored" : "patched");
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Command 29: from a virtual to a physical address. Page tables of a process are only walked by the
 * kernel's own code, under the lock of its memory, with a reference to it.
 */
#include "kapi-internal.h"

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>

#include <asm/pgtable.h>

static int user_address(struct mm_struct *mm, u64 address, u64 *ret_physical)
{
	struct page *page;
	long got;

	if (address >= TASK_SIZE_MAX)
		return -EINVAL;
	mmap_read_lock(mm);
	got = kapi_get_user_page(mm, address, &page);
	mmap_read_unlock(mm);
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	*ret_physical = page_to_phys(page) + offset_in_page(address);
	put_page(page);
	return 0;
}

static int process_address(struct kapi_call *call, pid_t nr, u64 address, u64 *ret_physical)
{
	struct task_struct *task;
	struct mm_struct *mm;
	int error;

	call->target = find_get_pid(nr);
	task = get_pid_task(call->target, PIDTYPE_PID);
	if (!task) {
		kapi_say(call, "no process %d", nr);
		return -ESRCH;
	}
	mm = get_task_mm(task);
	put_task_struct(task);
	if (!mm) {
		kapi_say(call, "process %d has no address space", nr);
		return -ESRCH;
	}
	error = user_address(mm, address, ret_physical);
	mmput(mm);
	return error;
}

/* What lookup_address() returns is an entry of the table of that level. */
static int entry_to_physical(pte_t *pte, unsigned int level, u64 address, u64 *ret_physical)
{
	u64 pfn;

	switch (level) {
	case PG_LEVEL_4K:
		pfn = pte_pfn(*pte);
		break;
	case PG_LEVEL_2M:
		pfn = pmd_pfn(*(pmd_t *)pte);
		break;
	case PG_LEVEL_1G:
		pfn = pud_pfn(*(pud_t *)pte);
		break;
	default:
		return -EFAULT;
	}
	*ret_physical = (pfn << PAGE_SHIFT) + (address & (page_level_size(level) - 1));
	return 0;
}

/*
 * The direct map is arithmetic; the vmalloc area is looked up level by level, which finds large pages
 * too and does not complain about a hole. Nothing else is translated.
 */
static int kernel_address(u64 address, u64 *ret_physical)
{
	void *pointer = (void *)(unsigned long)address;
	unsigned int level;
	pte_t *pte;

	if (address < TASK_SIZE_MAX)
		return -EINVAL;
	if (virt_addr_valid(pointer)) {
		*ret_physical = __pa(pointer);
		return 0;
	}
	if (!is_vmalloc_addr(pointer) && (address < MODULES_VADDR || address >= MODULES_END))
		return -EFAULT;
	pte = lookup_address(address, &level);
	if (!pte || !pte_present(*pte))
		return -EFAULT;
	return entry_to_physical(pte, level, address, ret_physical);
}

int kapi_translate(struct kapi_call *call, void *data)
{
	struct kapi_virt_to_phys *request = data;
	u64 physical = 0;
	int error;

	request->phys_addr = 0;
	if (request->pid < 0)
		return -EINVAL;
	if (request->pid)
		error = process_address(call, request->pid, request->virt_addr, &physical);
	else
		error = kernel_address(request->virt_addr, &physical);
	if (!error)
		request->phys_addr = physical;
	else if (error == -EFAULT)
		kapi_say(call, "not mapped");
	return error;
}

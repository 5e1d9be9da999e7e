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

/* What lookup_address() returns is an entry of the table of that level. */
static int entry_to_physical(pte_t *pte, unsigned int level, u64 address, u64 *ret_physical)
{
	pte_t entry = READ_ONCE(*pte);
	u64 pfn;

	if (!pte_present(entry))
		return -EFAULT;
	switch (level) {
	case PG_LEVEL_4K:
		pfn = pte_pfn(entry);
		break;
	case PG_LEVEL_2M:
		pfn = pmd_pfn(__pmd(pte_val(entry)));
		break;
	case PG_LEVEL_1G:
		pfn = pud_pfn(__pud(pte_val(entry)));
		break;
	default:
		return -EFAULT;
	}
	*ret_physical = (pfn << PAGE_SHIFT) + (address & (page_level_size(level) - 1));
	return 0;
}

/*
 * Only what is there: asking does not bring a page in. Under the lock of the address space; the
 * page is held while its address is taken.
 */
#ifdef KAPI_HAS_NOFAULT
static int user_entry(struct mm_struct *mm, u64 address, u64 *ret_physical)
{
	struct page *page;
	long got = kapi_get_user_page(mm, address, &page);

	if (got != 1)
		return -EFAULT;
	*ret_physical = page_to_phys(page) + offset_in_page(address);
	put_page(page);
	return 0;
}
#else
/* The tables below a mapping stay while the lock is held; only a number is read from them. */
static int user_entry(struct mm_struct *mm, u64 address, u64 *ret_physical)
{
	struct vm_area_struct *vma = find_vma(mm, address);
	unsigned int level;
	pte_t *pte;

	if (!vma || vma->vm_start > address || (vma->vm_flags & (VM_IO | VM_PFNMAP)))
		return -EFAULT;
	pte = lookup_address_in_mm(mm, address, &level);
	return pte ? entry_to_physical(pte, level, address, ret_physical) : -EFAULT;
}
#endif

static int user_address(struct mm_struct *mm, u64 address, u64 *ret_physical)
{
	int error;

	if (address >= TASK_SIZE_MAX)
		return -EINVAL;
	mmap_read_lock(mm);
	error = user_entry(mm, address, ret_physical);
	mmap_read_unlock(mm);
	return error;
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

/*
 * The direct map is arithmetic; the vmalloc area is looked up level by level, which finds large
 * pages too and does not complain about a hole. Nothing else is translated.
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
	return pte ? entry_to_physical(pte, level, address, ret_physical) : -EFAULT;
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

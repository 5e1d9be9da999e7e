/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between the kernels the module is built for (5.10 to 7.x), and nothing else. Each
 * name says what it does, each condition says since when the kernel does it the new way.
 */
#ifndef KAPI_COMPAT_H
#define KAPI_COMPAT_H

#include <linux/version.h>

#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/kmsg_dump.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/time_namespace.h>
#include <linux/vmstat.h>

#ifndef CONFIG_X86_64
#error "the layouts of cerebro/kapi.h are those of x86-64"
#endif

/* 5.13: file_open_root takes a path */
static inline struct file *kapi_open_below(struct vfsmount *mnt, const char *name, int flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 13, 0)
	return file_open_root_mnt(mnt, name, flags, 0);
#else
	return file_open_root(mnt->mnt_root, mnt, name, flags, 0);
#endif
}

/* 6.1: directory actors answer bool, true to go on */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
#define kapi_filldir_t	  bool
#define KAPI_FILLDIR_MORE true
#define KAPI_FILLDIR_STOP false
#else
#define kapi_filldir_t	  int
#define KAPI_FILLDIR_MORE 0
#define KAPI_FILLDIR_STOP -EINTR
#endif

/* 6.4: class_create takes the name only */
static inline struct class *kapi_class_create(const char *name)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return class_create(name);
#else
	return class_create(THIS_MODULE, name);
#endif
}

/* 6.3: flags of a mapping are changed through functions */
static inline void kapi_vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				     unsigned long clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags |= set;
	vma->vm_flags &= ~clear;
#endif
}

/* 7.2: whether a process may be looked into moved from its memory to its exec state */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#include <linux/sched/exec_state.h>
#define KAPI_HAS_EXEC_STATE 1
#endif

/* 5.11: start times are shifted by the reader's time namespace */
static inline u64 kapi_timens_boottime(u64 nsec)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return timens_add_boottime_ns(nsec);
#else
	return nsec;
#endif
}

/* 5.11: page tables are counted for each node */
static inline unsigned long kapi_page_table_pages(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return global_node_page_state(NR_PAGETABLE);
#else
	return global_zone_page_state(NR_PAGETABLE);
#endif
}

/* 7.2: the vmalloc area is counted; before, only /proc/meminfo says it */
static inline u64 kapi_vmalloc_bytes(u64 from_meminfo)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
	return (u64)global_node_page_state(NR_VMALLOC) << PAGE_SHIFT;
#else
	return from_meminfo;
#endif
}

/* 5.13: reading the kernel log has an iterator of its own */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 13, 0)
#define KAPI_LOG_ITERATOR(name) struct kmsg_dump_iter name = {}
#else
#define KAPI_LOG_ITERATOR(name) struct kmsg_dumper name = { .active = true }
#endif

/* 6.4: the parts of a module are an array */
static inline unsigned long kapi_module_size(const struct module *mod)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	unsigned long size = 0;
	int type;

	for (type = 0; type < MOD_MEM_NUM_TYPES; type++)
		size += mod->mem[type].size;
	return size;
#else
	return mod->core_layout.size + mod->init_layout.size;
#endif
}

static inline void *kapi_module_base(const struct module *mod)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	return mod->mem[MOD_TEXT].base;
#else
	return mod->core_layout.base;
#endif
}

/* 6.9: blk_alloc_disk takes limits; before 5.14 there was another function */
static inline struct gendisk *kapi_alloc_disk(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	struct gendisk *disk = blk_alloc_disk(NULL, NUMA_NO_NODE);

	return IS_ERR(disk) ? NULL : disk;
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 14, 0)
	return blk_alloc_disk(NUMA_NO_NODE);
#else
	return alloc_disk(1);
#endif
}

/* 5.11: partition 0 of a disk is a block device */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
#define kapi_disk_part0(disk) ((disk)->part0)
#else
#define kapi_disk_part0(disk) (&(disk)->part0)
#endif

/* 5.16: a page can be asked for without making it; 6.5: no array of mappings */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#define KAPI_HAS_NOFAULT 1
static inline long kapi_get_user_page(struct mm_struct *mm, unsigned long address,
				      struct page **ret_page)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	return get_user_pages_remote(mm, address, 1, FOLL_NOFAULT, ret_page, NULL);
#else
	return get_user_pages_remote(mm, address, 1, FOLL_NOFAULT, ret_page, NULL, NULL);
#endif
}
#endif

/* 5.11: a page of memory that was not taken offline; before, only its existence is exported */
static inline struct page *kapi_online_page(unsigned long pfn)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return pfn_to_online_page(pfn);
#else
	return pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;
#endif
}

/* 6.10: interrupt counters are a structure */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define KAPI_IRQ_COUNT(counters, cpu) per_cpu((counters)->cnt, cpu)
#else
#define KAPI_IRQ_COUNT(counters, cpu) (*per_cpu_ptr(counters, cpu))
#endif

/* 6.13: the number of interrupts is behind a function */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define KAPI_NR_IRQS irq_get_nr_irqs()
#else
#define KAPI_NR_IRQS nr_irqs
#endif

/* 7.2: the counters of a CPU include the idle time of a tickless one */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define KAPI_IDLE_FROM_TICK false
#else
#define KAPI_IDLE_FROM_TICK true
#endif

#endif /* KAPI_COMPAT_H */

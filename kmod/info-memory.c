// SPDX-License-Identifier: GPL-2.0
/*
 * Command 1: memory.
 */
#include "kapi-internal.h"

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

/*
 * Three values have no exported function: the size of swap, the swap cache (5.10) and the vmalloc
 * area. They are read from our own proc mount, at most a hundred times a second, because printing
 * the whole of meminfo costs twenty times as much as all the others together.
 */
struct rare_values {
	u64 swap_total;
	u64 swap_cached;
	u64 vmalloc_used;
};

#define RARE_LIFETIME (HZ / 100 + 1)

static DEFINE_SPINLOCK(rare_lock);
static struct rare_values rare;
static unsigned long rare_time;
static bool rare_known;
static unsigned long rare_free_swap;

static u64 meminfo_value(const char *text, const char *name)
{
	const char *line = strstr(text, name);
	unsigned long long value;

	if (!line || sscanf(line + strlen(name), " %llu", &value) != 1)
		return 0;
	return value << 10;
}

static int read_rare(struct rare_values *values)
{
	char *text = kmalloc(PAGE_SIZE, GFP_KERNEL);
	int got;

	if (!text)
		return -ENOMEM;
	got = kapi_tree_read(KAPI_TREE_PROC, "meminfo", text, PAGE_SIZE);
	values->swap_total = meminfo_value(text, "\nSwapTotal:");
	values->swap_cached = meminfo_value(text, "\nSwapCached:");
	values->vmalloc_used = meminfo_value(text, "\nVmallocUsed:");
	kfree(text);
	return got < 0 ? got : 0;
}

/* swapon and swapoff change the free swap, so that a change is seen at once. */
static bool rare_get(struct rare_values *values)
{
	bool fresh;

	spin_lock(&rare_lock);
	fresh = rare_known && time_before(jiffies, rare_time + RARE_LIFETIME) &&
		rare_free_swap == get_nr_swap_pages();
	*values = rare;
	spin_unlock(&rare_lock);
	return fresh;
}

static int rare_values(struct rare_values *values)
{
	unsigned long free_swap = get_nr_swap_pages();
	int error;

	if (rare_get(values))
		return 0;
	error = read_rare(values);
	if (error)
		return error;
	spin_lock(&rare_lock);
	rare = *values;
	rare_time = jiffies;
	rare_free_swap = free_swap;
	rare_known = true;
	spin_unlock(&rare_lock);
	return 0;
}

static u64 bytes(unsigned long pages)
{
	return (u64)pages << PAGE_SHIFT;
}

static void fill_counters(struct kapi_memory_info *info)
{
	info->slab = bytes(global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) +
			   global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B));
	info->page_tables = bytes(kapi_page_table_pages());
	info->committed_as = bytes(vm_memory_committed());
	info->dirty = bytes(global_node_page_state(NR_FILE_DIRTY));
	info->writeback = bytes(global_node_page_state(NR_WRITEBACK));
	info->anon_pages = bytes(global_node_page_state(NR_ANON_MAPPED));
	info->mapped = bytes(global_node_page_state(NR_FILE_MAPPED));
	info->shmem = bytes(global_node_page_state(NR_SHMEM));
}

int kapi_memory_info(struct kapi_call *call, void *data)
{
	struct kapi_memory_info *info = data;
	struct rare_values values;
	struct sysinfo system = {}; /* si_meminfo() leaves the swap members alone */
	u64 files;
	int error;

	error = rare_values(&values);
	if (error)
		return error;
	si_meminfo(&system);
	info->total_ram = bytes(system.totalram);
	info->free_ram = bytes(system.freeram);
	info->used_ram = bytes(system.totalram - system.freeram);
	info->buffers = bytes(system.bufferram);
	files = bytes(global_node_page_state(NR_FILE_PAGES));
	info->cached = files - min(files, values.swap_cached + info->buffers);
	info->swap_total = values.swap_total;
	info->swap_free = bytes(get_nr_swap_pages());
	info->vmalloc_used = kapi_vmalloc_bytes(values.vmalloc_used);
	fill_counters(info);
	return 0;
}

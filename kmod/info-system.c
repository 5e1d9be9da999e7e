// SPDX-License-Identifier: GPL-2.0
/*
 * Commands 4 (words), 9 (load) and 10 (kernel configuration).
 */
#include "kapi-internal.h"

#include <linux/idr.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched/loadavg.h>
#include <linux/utsname.h>

#include <asm/processor.h>

/* ----------------------------------------------------------------------------------- command 4 */

static u64 word_free_memory(void)
{
	struct sysinfo system = {};

	si_meminfo(&system);
	return (u64)system.freeram << PAGE_SHIFT;
}

static u64 word_total_memory(void)
{
	struct sysinfo system = {};

	si_meminfo(&system);
	return (u64)system.totalram << PAGE_SHIFT;
}

static u64 word_uptime(void)
{
	return div_u64(kapi_boottime_ns(), NSEC_PER_SEC);
}

static u64 word_cpu_count(void)
{
	return num_online_cpus();
}

static u64 word_page_size(void)
{
	return PAGE_SIZE;
}

static u64 word_hz(void)
{
	return HZ;
}

/* Names of the caller's UTS namespace, not of the machine: a container sees its own. */
static const char *word_kernel_version(void)
{
	return utsname()->release;
}

static const char *word_hostname(void)
{
	return utsname()->nodename;
}

static const char *word_domainname(void)
{
	return utsname()->domainname;
}

static const struct {
	const char *name;
	const char *(*text)(void);
	u64 (*number)(void);
} words[] = {
	{ "get_kernel_version", .text = word_kernel_version },
	{ "get_uptime", .number = word_uptime },
	{ "get_hostname", .text = word_hostname },
	{ "get_domainname", .text = word_domainname },
	{ "get_total_memory", .number = word_total_memory },
	{ "get_free_memory", .number = word_free_memory },
	{ "get_cpu_count", .number = word_cpu_count },
	{ "get_page_size", .number = word_page_size },
	{ "get_hz", .number = word_hz },
	{ "get_jiffies", .number = get_jiffies_64 },
};

int kapi_kernel_cmd(struct kapi_call *call, void *data)
{
	struct kapi_kernel_cmd *request = data;
	size_t i;

	kapi_terminate(request->command);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(request->command, words[i].name))
			continue;
		if (words[i].text)
			kapi_say(call, "%s", words[i].text());
		else
			kapi_say(call, "%llu", words[i].number());
		return 0;
	}
	kapi_say(call, "Unknown command");
	return -EINVAL;
}

/* ----------------------------------------------------------------------------------- command 9 */

/*
 * The kernel's own counters of threads are not exported, and counting the list of all threads takes
 * longer the more there are; /proc/loadavg has them. Remembered for at most two ticks of a
 * hundredth.
 */
struct task_counts {
	unsigned long long running;
	unsigned long long total;
};

#define COUNTS_LIFETIME (HZ / 100 + 1)

static int read_counts(struct task_counts *counts)
{
	char text[96];
	int got = kapi_tree_read(KAPI_TREE_PROC, "loadavg", text, sizeof(text));

	if (got < 0)
		return got;
	if (sscanf(text, "%*s %*s %*s %llu/%llu", &counts->running, &counts->total) != 2)
		return -EIO;
	return 0;
}

static int task_counts(struct task_counts *ret_counts)
{
	static DEFINE_MUTEX(lock);
	static struct task_counts counts;
	static unsigned long until;
	static bool known;
	int error = 0;

	mutex_lock(&lock);
	if (!known || !time_before(jiffies, until)) {
		error = read_counts(&counts);
		known = !error;
		until = jiffies + COUNTS_LIFETIME;
	}
	*ret_counts = counts;
	mutex_unlock(&lock);
	return error;
}

int kapi_loadavg_info(struct kapi_call *call, void *data)
{
	struct kapi_loadavg_info *info = data;
	const int shift = SI_LOAD_SHIFT - FSHIFT;
	struct task_counts counts;
	int error;

	error = task_counts(&counts);
	if (error)
		return error;
	info->load1 = avenrun[0] << shift;
	info->load5 = avenrun[1] << shift;
	info->load15 = avenrun[2] << shift;
	info->running_tasks = counts.running;
	info->total_tasks = counts.total;
	info->last_pid = idr_get_cursor(&task_active_pid_ns(current)->idr) - 1;
	return 0;
}

/* ---------------------------------------------------------------------------------- command 10 */

static void copy_part(char *to, size_t size, const char *from, const char *end)
{
	size_t length = min_t(size_t, end - from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

struct builder {
	char by[64];
	char host[64];
};

/* "Linux version RELEASE (BY@HOST) (COMPILER...) #1 ...": the first parentheses. */
static int read_builder(struct builder *builder)
{
	const char *open, *at, *close;
	char text[256];
	int got = kapi_tree_read(KAPI_TREE_PROC, "version", text, sizeof(text));

	if (got < 0)
		return got;
	open = strchr(text, '(');
	at = open ? strchr(open, '@') : NULL;
	close = at ? strchr(at, ')') : NULL;
	if (!close)
		return -ENODATA;
	copy_part(builder->by, sizeof(builder->by), open + 1, at);
	copy_part(builder->host, sizeof(builder->host), at + 1, close);
	return 0;
}

/* It does not change while the kernel runs: read once. */
static void fill_builder(struct kapi_kernel_config *config)
{
	static DEFINE_MUTEX(lock);
	static struct builder builder;
	static bool known;

	mutex_lock(&lock);
	if (!known)
		known = !read_builder(&builder);
	strscpy(config->compile_by, builder.by, sizeof(config->compile_by));
	strscpy(config->compile_host, builder.host, sizeof(config->compile_host));
	mutex_unlock(&lock);
}

/*
 * The version line ends with the date: "(2026-01-31)" where a distribution builds reproducibly,
 * otherwise what date(1) printed, 28 characters from the name of the day on.
 */
static void fill_build_date(struct kapi_kernel_config *config, const char *version)
{
	const char *end = version + strlen(version);
	const char *open = strrchr(version, '(');

	if (open && end[-1] == ')')
		copy_part(config->build_date, sizeof(config->build_date), open + 1, end - 1);
	else if (end - version > 28)
		copy_part(config->build_date, sizeof(config->build_date), end - 28, end);
	else
		copy_part(config->build_date, sizeof(config->build_date), version, end);
}

int kapi_kernel_config(struct kapi_call *call, void *data)
{
	struct kapi_kernel_config *config = data;

	strscpy(config->version, init_utsname()->release, sizeof(config->version));
	strscpy(config->compile_time, init_utsname()->version, sizeof(config->compile_time));
	strscpy(config->compiler, CONFIG_CC_VERSION_TEXT, sizeof(config->compiler));
	fill_build_date(config, init_utsname()->version);
	fill_builder(config);
	config->hz = HZ;
	config->page_size = PAGE_SIZE;
	config->phys_addr_bits = boot_cpu_data.x86_phys_bits;
	config->virt_addr_bits = boot_cpu_data.x86_virt_bits;
	strscpy(config->arch, init_utsname()->machine, sizeof(config->arch));
	return 0;
}

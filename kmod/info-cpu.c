// SPDX-License-Identifier: GPL-2.0
/*
 * Command 2: processors.
 */
#include "kapi-internal.h"

#include <linux/cpufreq.h>
#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/tick.h>
#include <linux/time64.h>

#include <asm/processor.h>
#include <asm/tsc.h>

/*
 * A tickless CPU does not count while it sleeps; the tick code knows how long. From 7.x on the
 * counters include that already.
 */
static u64 idle_time(int cpu, const u64 *stat, int what)
{
	u64 usec = -1ULL;

	if (KAPI_IDLE_FROM_TICK && cpu_online(cpu))
		usec = what == CPUTIME_IDLE ? get_cpu_idle_time_us(cpu, NULL)
					    : get_cpu_iowait_time_us(cpu, NULL);
	return usec == -1ULL ? stat[what] : usec * NSEC_PER_USEC;
}

static u64 ticks(u64 nsec)
{
	return div_u64(nsec, NSEC_PER_SEC / USER_HZ);
}

static void fill_times(struct kapi_cpu_info *info)
{
	struct kernel_cpustat fetched;
	u64 sum[NR_STATS] = {};
	int cpu, i;

	for_each_possible_cpu(cpu) {
		kcpustat_cpu_fetch(&fetched, cpu);
		for (i = 0; i < NR_STATS; i++) {
			if (i == CPUTIME_IDLE || i == CPUTIME_IOWAIT)
				sum[i] += idle_time(cpu, fetched.cpustat, i);
			else
				sum[i] += fetched.cpustat[i];
		}
	}
	info->idle_time = ticks(sum[CPUTIME_IDLE]);
	info->user_time = ticks(sum[CPUTIME_USER]);
	info->system_time = ticks(sum[CPUTIME_SYSTEM]);
	info->iowait_time = ticks(sum[CPUTIME_IOWAIT]);
	info->irq_time = ticks(sum[CPUTIME_IRQ]);
	info->softirq_time = ticks(sum[CPUTIME_SOFTIRQ]);
	info->guest_time = ticks(sum[CPUTIME_GUEST]);
}

int kapi_cpu_info(struct kapi_call *call, void *data)
{
	struct kapi_cpu_info *info = data;
	const struct cpuinfo_x86 *cpu = &boot_cpu_data;

	info->num_cpus = num_possible_cpus();
	info->num_online_cpus = num_online_cpus();
	info->cpu_freq = cpufreq_quick_get(0);
	if (!info->cpu_freq)
		info->cpu_freq = cpu_khz;
	strscpy(info->cpu_model, cpu->x86_model_id, sizeof(info->cpu_model));
	strscpy(info->vendor_id, cpu->x86_vendor_id, sizeof(info->vendor_id));
	scnprintf(info->cpu_family, sizeof(info->cpu_family), "%u", cpu->x86);
	info->cache_size = cpu->x86_cache_size;
	info->cache_alignment = cpu->x86_cache_alignment;
	info->uptime = div_u64(kapi_boottime_ns(), NSEC_PER_SEC);
	fill_times(info);
	return 0;
}

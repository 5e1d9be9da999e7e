// SPDX-License-Identifier: GPL-2.0
/*
 * Command 8: interrupts, the numbered lines of /proc/interrupts.
 */
#include "kapi-internal.h"

#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/irqnr.h>
#include <linux/jiffies.h>
#include <linux/rcupdate.h>

/* Under rcu_read_lock(): descriptors are freed after a grace period. */
static struct irq_desc *descriptor(unsigned int irq)
{
	struct irq_data *data = irq_get_irq_data(irq);

	return data ? irq_data_to_desc(data) : NULL;
}

static unsigned int count_on(struct irq_desc *desc, int cpu)
{
	return desc->kstat_irqs ? KAPI_IRQ_COUNT(desc->kstat_irqs, cpu) : 0;
}

/* What /proc/interrupts shows: lines with a user, or that have ever fired. */
static bool is_shown(struct irq_desc *desc)
{
	int cpu;

	if (desc->status_use_accessors & IRQ_HIDDEN)
		return false;
	if (desc->action && desc->action->handler)
		return true;
	for_each_online_cpu(cpu) {
		if (count_on(desc, cpu))
			return true;
	}
	return false;
}

static void fill_actions(struct irq_desc *desc, struct kapi_interrupt_info *info)
{
	struct irqaction *action;
	size_t used = 0;

	for (action = desc->action; action; action = action->next)
		used += scnprintf(info->device + used, sizeof(info->device) - used, "%s%s",
				  used ? ", " : "", action->name ?: "");
}

static void fill(struct irq_desc *desc, unsigned int irq, struct kapi_interrupt_info *info)
{
	struct irq_chip *chip;
	unsigned long flags;
	int cpu;

	info->irq = irq;
	for_each_online_cpu(cpu) {
		info->count += count_on(desc, cpu);
		if (cpu < ARRAY_SIZE(info->cpu_count))
			info->cpu_count[cpu] = count_on(desc, cpu);
	}
	/* The lock keeps the chip and the list of actions, whose names belong to drivers. */
	raw_spin_lock_irqsave(&desc->lock, flags);
	chip = irq_data_get_irq_chip(&desc->irq_data);
	strscpy(info->type, chip && chip->name ? chip->name : "none", sizeof(info->type));
	fill_actions(desc, info);
	raw_spin_unlock_irqrestore(&desc->lock, flags);
}

/*
 * One beyond the highest interrupt in use. There may be thousands of free numbers above it, and
 * each costs a look-up; so it is remembered for two ticks of a hundredth of a second. Under
 * rcu_read_lock().
 */
static unsigned int used_end(void)
{
	static unsigned int known_end;
	static unsigned long until;
	unsigned int irq, end = READ_ONCE(known_end);

	if (end && time_before(jiffies, READ_ONCE(until)))
		return end;
	end = KAPI_NR_IRQS;
	for (irq = end; irq > 0 && !descriptor(irq - 1); irq--)
		end = irq - 1;
	WRITE_ONCE(known_end, end);
	WRITE_ONCE(until, jiffies + HZ / 100 + 1);
	return end;
}

int kapi_interrupt_info(struct kapi_call *call, void *data)
{
	bool go_on = call->index && call->index == call->next_index;
	unsigned int irq = go_on ? call->next_place : 0, end;
	u32 skip = go_on ? 0 : call->index;
	struct irq_desc *desc;
	int status = -ENODATA;

	rcu_read_lock();
	end = used_end();
	for (; irq < end; irq++) {
		desc = descriptor(irq);
		if (!desc || !is_shown(desc) || skip--)
			continue;
		fill(desc, irq, data);
		call->next_index = call->index + 1;
		call->next_place = irq + 1;
		status = 0;
		break;
	}
	rcu_read_unlock();
	return status;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Command 11: PCI devices. The kernel knows numbers; names for them are in user space's pci.ids.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/pci.h>

static void fill_addresses(struct pci_dev *dev, struct kapi_pci_device_info *info)
{
	size_t i;

	if (!ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN)) /* physical addresses */
		return;
	for (i = 0; i < ARRAY_SIZE(info->base_addr); i++)
		info->base_addr[i] = pci_resource_start(dev, i);
}

static void fill(struct pci_dev *dev, struct kapi_pci_device_info *info)
{
	info->vendor_id = dev->vendor;
	info->device_id = dev->device;
	info->subsystem_vendor = dev->subsystem_vendor;
	info->subsystem_device = dev->subsystem_device;
	scnprintf(info->device_name, sizeof(info->device_name), "%s %04x:%04x", pci_name(dev),
		  dev->vendor, dev->device);
	scnprintf(info->vendor_name, sizeof(info->vendor_name), "%04x", dev->vendor);
	info->class_code = dev->class;
	info->revision = dev->revision;
	info->irq = dev->irq;
	fill_addresses(dev, info);
}

int kapi_pci_info(struct kapi_call *call, void *data)
{
	struct pci_dev *dev = NULL;
	u32 index = call->index;

	for_each_pci_dev(dev) { /* holds a reference to the current one */
		if (index--)
			continue;
		fill(dev, data);
		pci_dev_put(dev);
		return 0;
	}
	return -ENODATA;
}

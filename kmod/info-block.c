// SPDX-License-Identifier: GPL-2.0
/*
 * Command 12: disks.
 */
#include "kapi-internal.h"

#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/part_stat.h>
#include <linux/slab.h>

/* The class of disks is not exported; a disk that is never added knows it. */
static const struct class *disk_class;

int kapi_block_init(void)
{
	struct gendisk *disk = kapi_alloc_disk();

	if (!disk)
		return -ENOMEM;
	disk_class = disk_to_dev(disk)->class;
	put_disk(disk);
	return 0;
}

void kapi_block_exit(void)
{
	disk_class = NULL;
}

/* The index-th disk (partitions are not counted) with a reference, or NULL. */
static struct device *disk_get(u32 index)
{
	struct class_dev_iter iter;
	struct device *dev;

	class_dev_iter_init(&iter, (struct class *)disk_class, NULL, NULL);
	while ((dev = class_dev_iter_next(&iter))) {
		if (!dev->type || !dev->type->name || strcmp(dev->type->name, "disk"))
			continue;
		if (index--)
			continue;
		get_device(dev);
		break;
	}
	class_dev_iter_exit(&iter);
	return dev;
}

/* Model and serial number are the drivers' business; each shows them somewhere below the disk. */
static void fill_word(const char *disk, const char *const *files, char *to, size_t size)
{
	char *path;
	int got;

	for (; *files; files++) {
		path = kasprintf(GFP_KERNEL, "block/%s/%s", disk, *files);
		if (!path)
			return;
		got = kapi_tree_word(KAPI_TREE_SYSFS, path, to, size);
		kfree(path);
		if (got > 0)
			return;
	}
}

static void fill_names(struct kapi_block_device_info *info)
{
	static const char *const models[] = { "device/model", "device/name", NULL };
	static const char *const serials[] = { "serial", "device/serial", NULL };

	fill_word(info->name, models, info->model, sizeof(info->model));
	if (ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN))
		fill_word(info->name, serials, info->serial, sizeof(info->serial));
}

static void fill_counters(struct gendisk *disk, struct kapi_block_device_info *info)
{
	info->size = (u64)get_capacity(disk) << SECTOR_SHIFT;
	info->queue_depth = disk->queue->nr_requests;
	info->read_ios = part_stat_read(kapi_disk_part0(disk), ios[STAT_READ]);
	info->read_sectors = part_stat_read(kapi_disk_part0(disk), sectors[STAT_READ]);
	info->write_ios = part_stat_read(kapi_disk_part0(disk), ios[STAT_WRITE]);
	info->write_sectors = part_stat_read(kapi_disk_part0(disk), sectors[STAT_WRITE]);
	info->discard_ios = part_stat_read(kapi_disk_part0(disk), ios[STAT_DISCARD]);
	info->discard_sectors = part_stat_read(kapi_disk_part0(disk), sectors[STAT_DISCARD]);
}

int kapi_block_info(struct kapi_call *call, void *data)
{
	struct kapi_block_device_info *info = data;
	struct device *dev = disk_get(call->index);

	if (!dev)
		return -ENODATA;
	strscpy(info->name, dev_name(dev), sizeof(info->name));
	fill_counters(dev_to_disk(dev), info);
	put_device(dev);
	fill_names(info);
	return 0;
}

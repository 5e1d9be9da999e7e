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

/*
 * Model and serial number do not change while a disk is there, and reading them costs more than all
 * the rest, so they are kept for some seconds. A disk is recognised by its address and device
 * number.
 */
struct names {
	const struct device *dev;
	dev_t number;
	unsigned long time;
	bool serial_known; /* read by somebody who may */
	char model[64];
	char serial[32];
};

#define NAMES_LIFETIME (10 * HZ)

static DEFINE_MUTEX(names_lock);
static struct names names_table[32];

/* The place for a disk, with its model in it. Under names_lock. */
static struct names *names_get(const struct device *dev, const char *disk)
{
	static const char *const files[] = { "device/model", "device/name", NULL };
	struct names *names = &names_table[dev->devt % ARRAY_SIZE(names_table)];

	if (names->dev == dev && names->number == dev->devt &&
	    time_before(jiffies, names->time + NAMES_LIFETIME))
		return names;
	memset(names, 0, sizeof(*names));
	names->dev = dev;
	names->number = dev->devt;
	names->time = jiffies;
	fill_word(disk, files, names->model, sizeof(names->model));
	return names;
}

static const char *serial_of(struct names *names, const char *disk)
{
	static const char *const files[] = { "serial", "device/serial", NULL };

	if (!ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN))
		return "";
	if (!names->serial_known)
		fill_word(disk, files, names->serial, sizeof(names->serial));
	names->serial_known = true;
	return names->serial;
}

static void fill_names(const struct device *dev, struct kapi_block_device_info *info)
{
	struct names *names;

	mutex_lock(&names_lock);
	names = names_get(dev, info->name);
	strscpy(info->model, names->model, sizeof(info->model));
	strscpy(info->serial, serial_of(names, info->name), sizeof(info->serial));
	mutex_unlock(&names_lock);
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
	fill_names(dev, info);
	put_device(dev);
	return 0;
}

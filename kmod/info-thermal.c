// SPDX-License-Identifier: GPL-2.0
/*
 * Command 13: thermal zones, as /sys/class/thermal shows them. The structures behind it changed in
 * nearly every release, the files did not.
 */
#include "kapi-internal.h"

#include <linux/slab.h>

struct search {
	u32 index;
	bool found;
	char name[32];
};

static bool look(void *context, const char *name)
{
	struct search *search = context;

	if (strncmp(name, "thermal_zone", 12) || search->index--)
		return true;
	search->found = strscpy(search->name, name, sizeof(search->name)) > 0;
	return false;
}

static int zone_word(const char *zone, const char *file, char *to, size_t size)
{
	char path[96];

	scnprintf(path, sizeof(path), "class/thermal/%s/%s", zone, file);
	return kapi_tree_word(KAPI_TREE_SYSFS, path, to, size);
}

static int zone_number(const char *zone, const char *file)
{
	char text[32];
	int value = 0;

	if (zone_word(zone, file, text, sizeof(text)) <= 0 || kstrtoint(text, 10, &value))
		return 0;
	return value;
}

/* critical_temp is the trip point of that type, max_temp the highest of all. */
static void fill_trips(const char *zone, struct kapi_thermal_info *info)
{
	char file[32], type[32];
	int i, value;

	for (i = 0; i < (int)ARRAY_SIZE(info->trip_temps); i++) {
		scnprintf(file, sizeof(file), "trip_point_%d_type", i);
		if (zone_word(zone, file, type, sizeof(type)) <= 0)
			break;
		scnprintf(file, sizeof(file), "trip_point_%d_temp", i);
		value = zone_number(zone, file);
		info->trip_temps[i] = value;
		info->max_temp = i ? max(info->max_temp, value) : value;
		if (!strcmp(type, "critical"))
			info->critical_temp = value;
	}
	info->trip_point_count = i;
}

int kapi_thermal_info(struct kapi_call *call, void *data)
{
	struct kapi_thermal_info *info = data;
	struct search search = { .index = call->index };

	kapi_tree_list(KAPI_TREE_SYSFS, "class/thermal", look, &search);
	if (!search.found)
		return -ENODATA;
	zone_word(search.name, "type", info->type, sizeof(info->type));
	info->temperature = zone_number(search.name, "temp");
	zone_word(search.name, "cdev0/type", info->cooling_device, sizeof(info->cooling_device));
	fill_trips(search.name, info);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel API Exporter: start and end of the module, and its parameters.
 */
#include "kapi-internal.h"

#include <linux/init.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

/*
 * Secure defaults: information and ordinary control (each behind its capability) work, everything
 * that can break or read the whole machine is off. All parameters are fixed at load time (no write
 * bit), so that nothing can be switched on later by whoever finds a way to write sysfs.
 */
bool kapi_allow_control = true;
module_param_named(allow_control, kapi_allow_control, bool, 0444);
MODULE_PARM_DESC(allow_control, "commands 15 to 25, each behind its capability (default: on)");

bool kapi_allow_dangerous;
module_param_named(allow_dangerous, kapi_allow_dangerous, bool, 0444);
MODULE_PARM_DESC(allow_dangerous,
		 "commands 26 to 30: panic, physical memory, translation (default: off)");

bool kapi_allow_phys_write;
module_param_named(allow_phys_write, kapi_allow_phys_write, bool, 0444);
MODULE_PARM_DESC(allow_phys_write,
		 "commands 28 and 30, needs allow_dangerous as well (default: off)");

bool kapi_shared_buffer;
module_param_named(shared_buffer, kapi_shared_buffer, bool, 0444);
MODULE_PARM_DESC(
	shared_buffer,
	"one 16 KiB buffer for all who open the device, instead of one each (default: off)");

unsigned int kapi_log_level = 1;
module_param_named(log_level, kapi_log_level, uint, 0444);
MODULE_PARM_DESC(
	log_level,
	"kernel log lines, rate limited: 0 none, 1 control operations while auditing is off, 2 always (default: 1)");

unsigned int kapi_max_opens = 64;
module_param_named(max_opens, kapi_max_opens, uint, 0444);
MODULE_PARM_DESC(max_opens, "open files of the device for each user, 0: no limit (default: 64)");

/* Lockdown is never taken back. Asking again would write a line to the log each time. */
static bool locked_down(void)
{
	static bool locked;

	if (!READ_ONCE(locked) && security_locked_down(LOCKDOWN_DEV_MEM))
		WRITE_ONCE(locked, true);
	return READ_ONCE(locked);
}

u32 kapi_features(void)
{
	u32 features = 0;

	if (kapi_allow_control)
		features |= KAPI_FEATURE_CONTROL;
	if (kapi_allow_dangerous)
		features |= KAPI_FEATURE_DANGEROUS;
	if (kapi_allow_dangerous && kapi_allow_phys_write)
		features |= KAPI_FEATURE_PHYS_WRITE;
	if (kapi_shared_buffer)
		features |= KAPI_FEATURE_SHARED_BUFFER;
	if (kapi_netlink_registered())
		features |= KAPI_FEATURE_NETLINK;
	if (kapi_genl_registered())
		features |= KAPI_FEATURE_GENL;
	if (locked_down())
		features |= KAPI_FEATURE_LOCKDOWN;
	return features;
}

/* A locked down kernel is not even asked for the dangerous part: refuse it at the door. */
static int __init kapi_check_parameters(void)
{
	if (!kapi_allow_dangerous)
		return 0;
	if (security_locked_down(LOCKDOWN_DEV_MEM)) {
		pr_err("allow_dangerous is refused: the kernel is locked down\n");
		return -EPERM;
	}
	pr_warn("loaded with allow_dangerous: physical memory is readable%s by CAP_SYS_RAWIO\n",
		kapi_allow_phys_write ? " and writable" : "");
	return 0;
}

static int __init kapi_init(void)
{
	int error;

	error = kapi_check_parameters();
	if (error)
		return error;
	error = kapi_tree_init();
	if (error)
		return error;
	error = kapi_block_init();
	if (error)
		goto no_block;
	kapi_genl_init();
	kapi_netlink_init();
	error = kapi_device_init();
	if (error)
		goto no_device;
	return 0;

no_device:
	kapi_netlink_exit();
	kapi_genl_exit();
	kapi_block_exit();
no_block:
	kapi_tree_exit();
	return error;
}

static void __exit kapi_exit(void)
{
	kapi_device_exit();
	kapi_netlink_exit();
	kapi_genl_exit();
	kapi_block_exit();
	kapi_tree_exit();
	kapi_helper_exit();
}

module_init(kapi_init);
module_exit(kapi_exit);

MODULE_AUTHOR("Cerebro authors");
MODULE_DESCRIPTION(
	"Kernel API Exporter: system information and control through /dev/" KAPI_DEVICE_NAME);
MODULE_LICENSE("GPL");
MODULE_VERSION(KAPI_MODULE_VERSION);

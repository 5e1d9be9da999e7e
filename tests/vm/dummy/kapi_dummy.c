// SPDX-License-Identifier: GPL-2.0
/* A module that does nothing: what the tests of the commands 7, 18 and 19 load and unload. */
#include <linux/module.h>
#include <linux/moduleparam.h>

static int number;
module_param(number, int, 0444);
MODULE_PARM_DESC(number, "shown in /sys/module/kapi_dummy/parameters/number");

static int __init kapi_dummy_init(void)
{
    return number < 0 ? -ERANGE : 0;
}

static void __exit kapi_dummy_exit(void)
{
}

module_init(kapi_dummy_init);
module_exit(kapi_dummy_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Does nothing");
MODULE_VERSION("1.5");

#!/bin/sh
# The first program of a guest: prepares it, runs the suite, switches off. Results go to the second serial line.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p /dev/pts /dev/shm
stty -F /dev/ttyS1 raw -echo
ip link set lo up
echo 1 >/proc/sys/kernel/unprivileged_userns_clone 2>/dev/null
echo on >/proc/sys/kernel/printk_devkmsg
modules=/lib/modules/$(uname -r)
mkdir -p "$modules"
cp /lib/*.ko "$modules"
depmod 2>/dev/null
mkswap /dev/nvme0n1 >/dev/null 2>&1 && swapon /dev/nvme0n1
echo '<6>kapi-test: begin' >/dev/kmsg
/suite </dev/null >/dev/ttyS1 2>/dev/console
sync
poweroff -f

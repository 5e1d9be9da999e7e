// SPDX-License-Identifier: GPL-2.0
/*
 * Command 20: an interface of the caller's network namespace up or down.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>

/* An interface changes under the RTNL lock only; the lock also keeps it from going away. */
static int toggle(struct kapi_call *call, struct net *net, const struct kapi_net_control *request)
{
	struct net_device *dev;
	int error = 0;

	rtnl_lock();
	dev = __dev_get_by_name(net, request->interface);
	if (!dev)
		error = -ENODEV;
	else if (request->up)
		error = dev_open(dev, NULL);
	else
		dev_close(dev);
	rtnl_unlock();
	if (error == -ENODEV)
		kapi_say(call, "no interface %s", request->interface);
	else if (!error)
		kapi_say(call, "%s is %s", request->interface, request->up ? "up" : "down");
	return error;
}

int kapi_toggle_interface(struct kapi_call *call, void *data)
{
	struct kapi_net_control *request = data;
	struct net *net = current->nsproxy->net_ns;

	kapi_terminate(request->interface);
	if (!ns_capable(net->user_ns, CAP_NET_ADMIN)) {
		kapi_say(call, "needs CAP_NET_ADMIN");
		return -EPERM;
	}
	if (!dev_valid_name(request->interface)) {
		kapi_say(call, "not a name of an interface");
		return -EINVAL;
	}
	return toggle(call, net, request);
}

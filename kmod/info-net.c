// SPDX-License-Identifier: GPL-2.0
/*
 * Command 5: counters of all interfaces of the caller's network namespace.
 */
#include "kapi-internal.h"

#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <net/net_namespace.h>

static void add(struct kapi_network_stats *sum, const struct rtnl_link_stats64 *one)
{
	sum->rx_packets += one->rx_packets;
	sum->tx_packets += one->tx_packets;
	sum->rx_bytes += one->rx_bytes;
	sum->tx_bytes += one->tx_bytes;
	sum->rx_errors += one->rx_errors;
	sum->tx_errors += one->tx_errors;
	sum->rx_dropped += one->rx_dropped;
	sum->tx_dropped += one->tx_dropped;
	sum->multicast += one->multicast;
	sum->collisions += one->collisions;
	sum->rx_length_errors += one->rx_length_errors;
	sum->rx_over_errors += one->rx_over_errors;
	sum->rx_crc_errors += one->rx_crc_errors;
	sum->rx_frame_errors += one->rx_frame_errors;
	sum->rx_fifo_errors += one->rx_fifo_errors;
	sum->rx_missed_errors += one->rx_missed_errors;
	sum->tx_aborted_errors += one->tx_aborted_errors;
	sum->tx_carrier_errors += one->tx_carrier_errors;
	sum->tx_fifo_errors += one->tx_fifo_errors;
	sum->tx_heartbeat_errors += one->tx_heartbeat_errors;
	sum->tx_window_errors += one->tx_window_errors;
}

int kapi_network_stats(struct kapi_call *call, void *data)
{
	struct net *net = current->nsproxy->net_ns;
	struct rtnl_link_stats64 one;
	struct net_device *dev;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev) {
		memset(&one, 0, sizeof(one));
		dev_get_stats(dev, &one);
		add(data, &one);
	}
	rcu_read_unlock();
	return 0;
}

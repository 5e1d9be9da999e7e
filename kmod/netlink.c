// SPDX-License-Identifier: GPL-2.0
/*
 * Netlink family 31, for clients of the first version: any text is answered by a greeting. It does
 * nothing else. What goes wrong with such a handler elsewhere, and why it cannot here:
 *
 *  - The answer goes to NETLINK_CB(skb).portid, the socket that really sent the message, never to
 * the nlmsg_pid that the message claims: no spoofing of a third socket.
 *  - Port 0 is the kernel itself. Answering to it would call this handler again, without end.
 *  - All lengths are checked against what really arrived, and nothing of the text is used.
 *  - Answers are limited in rate.
 */
#include "kapi-internal.h"

#include <linux/netlink.h>
#include <linux/ratelimit.h>
#include <linux/skbuff.h>
#include <net/net_namespace.h>
#include <net/netlink.h>
#include <net/netns/generic.h>
#include <net/sock.h>

struct kapi_net {
	struct sock *socket;
	struct ratelimit_state limit;
};

static unsigned int net_id;
static bool pernet_registered;
static bool family_registered; /* in the initial network namespace */

/* A whole header, and a length that is neither shorter than it nor longer than what arrived. */
static bool is_message(const struct sk_buff *skb)
{
	const struct nlmsghdr *header = nlmsg_hdr(skb);

	return skb->len >= NLMSG_HDRLEN && header->nlmsg_len >= NLMSG_HDRLEN &&
	       header->nlmsg_len <= skb->len && nlmsg_len(header) <= KAPI_NETLINK_TEXT_MAX;
}

static void greet(struct sock *socket, u32 portid, const struct nlmsghdr *request)
{
	static const char greeting[] = KAPI_NETLINK_GREETING;
	const int length = sizeof(greeting) - 1; /* text without a terminator, as clients send it */
	struct sk_buff *skb = nlmsg_new(length, GFP_KERNEL);
	struct nlmsghdr *header;

	if (!skb)
		return;
	header = nlmsg_put(skb, portid, request->nlmsg_seq, request->nlmsg_type, length, 0);
	if (!header) {
		nlmsg_free(skb);
		return;
	}
	memcpy(nlmsg_data(header), greeting, length);
	nlmsg_unicast(socket, skb,
		      portid); /* consumes skb; a receiver that does not read is no error */
}

/* Runs in the context of the sender. Type 0 is not dropped here, as netlink_rcv_skb() would. */
static void receive(struct sk_buff *skb)
{
	struct kapi_net *net = net_generic(sock_net(skb->sk), net_id);
	u32 portid = NETLINK_CB(skb).portid;

	if (portid == 0 || !net->socket || !is_message(skb))
		return;
	if (!__ratelimit(&net->limit))
		return;
	greet(net->socket, portid, nlmsg_hdr(skb));
}

/* 31 is the number of every tutorial, so it may be taken. That is no reason to fail anything. */
static int __net_init net_start(struct net *net)
{
	struct netlink_kernel_cfg config = { .input = receive };
	struct kapi_net *here = net_generic(net, net_id);

	ratelimit_state_init(&here->limit, HZ, 200);
	ratelimit_set_flags(&here->limit, RATELIMIT_MSG_ON_RELEASE);
	here->socket = netlink_kernel_create(net, KAPI_NETLINK_FAMILY, &config);
	if (net_eq(net, &init_net))
		family_registered = here->socket != NULL;
	return 0;
}

static void __net_exit net_stop(struct net *net)
{
	struct kapi_net *here = net_generic(net, net_id);

	if (here->socket)
		netlink_kernel_release(here->socket);
}

static struct pernet_operations net_operations = {
	.init = net_start,
	.exit = net_stop,
	.id = &net_id,
	.size = sizeof(struct kapi_net),
};

bool kapi_netlink_registered(void)
{
	return family_registered;
}

void kapi_netlink_init(void)
{
	pernet_registered = !register_pernet_subsys(&net_operations);
	if (!family_registered)
		pr_notice("netlink family %d is taken, continuing without it\n",
			  KAPI_NETLINK_FAMILY);
}

void kapi_netlink_exit(void)
{
	if (pernet_registered)
		unregister_pernet_subsys(&net_operations);
}

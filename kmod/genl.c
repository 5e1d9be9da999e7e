// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family "kapi": a policy for every attribute, privileged operations, and a
 * multicast group that tells about control operations. Attributes and commands: kapi_netlink.h.
 */
#include "kapi-internal.h"

#include <linux/cred.h>
#include <linux/pid.h>
#include <net/genetlink.h>

static struct genl_family family;
static bool registered;
static u32 event_mask = KAPI_EVENT_ALL;

/* Where the group cannot be restricted, anybody may listen; then events do not say who did it. */
#ifdef GENL_MCAST_CAP_NET_ADMIN
#define GROUP_FLAGS    .flags = GENL_MCAST_CAP_NET_ADMIN
#define EVENTS_SAY_WHO true
#else
#define GROUP_FLAGS    .flags = 0
#define EVENTS_SAY_WHO false
#endif

static const struct genl_multicast_group groups[] = {
	{ .name = KAPI_GENL_GROUP_EVENTS, GROUP_FLAGS },
};

/* Only one attribute is ever accepted from user space; everything else is refused by the policy. */
static const struct nla_policy policy[KAPI_GENL_ATTR_MAX + 1] = {
	[KAPI_GENL_ATTR_EVENT_MASK] = NLA_POLICY_MASK(NLA_U32, KAPI_EVENT_ALL),
};

static int fill_version(struct sk_buff *skb)
{
	if (nla_put_u32(skb, KAPI_GENL_ATTR_ABI_VERSION, KAPI_ABI_VERSION) ||
	    nla_put_u32(skb, KAPI_GENL_ATTR_FEATURES, kapi_features()) ||
	    nla_put_string(skb, KAPI_GENL_ATTR_MODULE_VERSION, KAPI_MODULE_VERSION))
		return -EMSGSIZE;
	return 0;
}

static int get_version(struct sk_buff *request, struct genl_info *info)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *header;

	if (!skb)
		return -ENOMEM;
	header = genlmsg_put_reply(skb, info, &family, 0, KAPI_GENL_CMD_GET_VERSION);
	if (!header || fill_version(skb)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

static int put_counters(struct sk_buff *skb, struct netlink_callback *cb, unsigned int nr)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
				   NLM_F_MULTI, KAPI_GENL_CMD_GET_COUNTERS);

	if (!header)
		return -EMSGSIZE;
	if (nla_put_u32(skb, KAPI_GENL_ATTR_COMMAND, nr) ||
	    nla_put_u64_64bit(skb, KAPI_GENL_ATTR_CALLS, kapi_audit_calls(nr),
			      KAPI_GENL_ATTR_PAD) ||
	    nla_put_u64_64bit(skb, KAPI_GENL_ATTR_REFUSED, kapi_audit_refused(nr),
			      KAPI_GENL_ATTR_PAD)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* args[0] is the last command that was given. */
static int dump_counters(struct sk_buff *skb, struct netlink_callback *cb)
{
	unsigned int nr;

	for (nr = cb->args[0] + 1; nr < KAPI_NR_END; nr++) {
		if (put_counters(skb, cb, nr))
			break;
		cb->args[0] = nr;
	}
	return skb->len;
}

static int set_events(struct sk_buff *request, struct genl_info *info)
{
	if (!info->attrs[KAPI_GENL_ATTR_EVENT_MASK])
		return -EINVAL;
	WRITE_ONCE(event_mask, nla_get_u32(info->attrs[KAPI_GENL_ATTR_EVENT_MASK]));
	return 0;
}

static const struct genl_ops operations[] = {
	{ .cmd = KAPI_GENL_CMD_GET_VERSION, .doit = get_version },
	{ .cmd = KAPI_GENL_CMD_GET_COUNTERS, .dumpit = dump_counters, .flags = GENL_ADMIN_PERM },
	{ .cmd = KAPI_GENL_CMD_SET_EVENTS, .doit = set_events, .flags = GENL_ADMIN_PERM },
};

static struct genl_family family __ro_after_init = {
	.name = KAPI_GENL_NAME,
	.version = KAPI_GENL_VERSION,
	.maxattr = KAPI_GENL_ATTR_MAX,
	.policy = policy,
	.ops = operations,
	.n_ops = ARRAY_SIZE(operations),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.netnsok = false, /* what it tells is about the machine */
	.module = THIS_MODULE,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
	.resv_start_op = __KAPI_GENL_CMD_MAX,
#endif
};

static int fill_who(struct sk_buff *skb, struct kapi_call *call)
{
	char comm[TASK_COMM_LEN];

	if (!EVENTS_SAY_WHO)
		return 0;
	get_task_comm(comm, current);
	if (nla_put_u32(skb, KAPI_GENL_ATTR_PID, task_tgid_nr(current)) ||
	    nla_put_u32(skb, KAPI_GENL_ATTR_UID, from_kuid(&init_user_ns, current_uid())) ||
	    nla_put_s32(skb, KAPI_GENL_ATTR_TARGET, pid_nr(call->target)) ||
	    nla_put_string(skb, KAPI_GENL_ATTR_COMM, comm))
		return -EMSGSIZE;
	return 0;
}

static int fill_event(struct sk_buff *skb, struct kapi_call *call, u32 event, int status)
{
	if (nla_put_u32(skb, KAPI_GENL_ATTR_EVENT, event) ||
	    nla_put_u32(skb, KAPI_GENL_ATTR_COMMAND, call->nr) ||
	    nla_put_s32(skb, KAPI_GENL_ATTR_STATUS, status) ||
	    nla_put_u64_64bit(skb, KAPI_GENL_ATTR_TIME, ktime_get_boottime_ns(),
			      KAPI_GENL_ATTR_PAD))
		return -EMSGSIZE;
	return fill_who(skb, call);
}

/* The caller (audit.c) limits the rate. Nobody listening, or no memory, is no error. */
void kapi_genl_event(struct kapi_call *call, u32 event, int status)
{
	struct sk_buff *skb;
	void *header;

	if (!registered || !(READ_ONCE(event_mask) & event) ||
	    !genl_has_listeners(&family, &init_net, 0))
		return;
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!skb)
		return;
	header = genlmsg_put(skb, 0, 0, &family, 0, KAPI_GENL_CMD_EVENT);
	if (!header || fill_event(skb, call, event, status)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast(&family, skb, 0, 0, GFP_KERNEL);
}

bool kapi_genl_registered(void)
{
	return registered;
}

void kapi_genl_init(void)
{
	int error = genl_register_family(&family);

	registered = !error;
	if (error)
		pr_notice("generic netlink family %s: error %d, continuing without it\n",
			  KAPI_GENL_NAME, error);
}

void kapi_genl_exit(void)
{
	if (registered)
		genl_unregister_family(&family);
}

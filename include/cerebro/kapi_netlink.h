/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Kernel API Exporter (KAPI): its two netlink families. Included by kapi.h.
 */
#ifndef CEREBRO_KAPI_NETLINK_H
#define CEREBRO_KAPI_NETLINK_H

/*
 * Raw netlink family 31, for clients of the first version: one message of any type (0 included)
 * whose payload is UTF-8 text of at most KAPI_NETLINK_TEXT_MAX bytes is answered by one message of
 * the same kind with KAPI_NETLINK_GREETING and nothing of what was sent. Nothing else is done over
 * it. Registered in each network namespace; rate limited.
 */
#define KAPI_NETLINK_FAMILY   31
#define KAPI_NETLINK_TEXT_MAX 1008 /* 1024 bytes with the header */
#define KAPI_NETLINK_GREETING "Hello from kernel!"

#define KAPI_GENL_NAME         "kapi"
#define KAPI_GENL_VERSION      1
#define KAPI_GENL_GROUP_EVENTS "events"

/* Requests and, with the same number, answers; KAPI_GENL_CMD_EVENT is only ever multicast. */
enum kapi_genl_cmd {
    KAPI_GENL_CMD_UNSPEC,
    KAPI_GENL_CMD_GET_VERSION,  /* anybody: ABI_VERSION, FEATURES, MODULE_VERSION */
    KAPI_GENL_CMD_GET_COUNTERS, /* CAP_NET_ADMIN: dump, one message a command: COMMAND, CALLS,
                                   REFUSED */
    KAPI_GENL_CMD_SET_EVENTS,   /* CAP_NET_ADMIN: EVENT_MASK: which events are sent */
    KAPI_GENL_CMD_EVENT,
    __KAPI_GENL_CMD_MAX,
};
#define KAPI_GENL_CMD_MAX (__KAPI_GENL_CMD_MAX - 1)

enum kapi_genl_attr {
    KAPI_GENL_ATTR_UNSPEC,
    KAPI_GENL_ATTR_PAD,
    KAPI_GENL_ATTR_ABI_VERSION,    /* u32 */
    KAPI_GENL_ATTR_FEATURES,       /* u32, KAPI_FEATURE_* */
    KAPI_GENL_ATTR_MODULE_VERSION, /* string */
    KAPI_GENL_ATTR_COMMAND,        /* u32, number of the ioctl command */
    KAPI_GENL_ATTR_CALLS,          /* u64 */
    KAPI_GENL_ATTR_REFUSED,        /* u64 */
    KAPI_GENL_ATTR_EVENT_MASK,     /* u32, KAPI_EVENT_* */
    KAPI_GENL_ATTR_EVENT,          /* u32, one of KAPI_EVENT_* */
    KAPI_GENL_ATTR_STATUS,         /* s32, 0 or a negative errno */
    KAPI_GENL_ATTR_PID,            /* u32, caller, initial pid namespace */
    KAPI_GENL_ATTR_UID,            /* u32, caller, initial user namespace */
    KAPI_GENL_ATTR_TARGET,         /* s32, process acted upon, initial pid namespace */
    KAPI_GENL_ATTR_COMM,           /* string, caller */
    KAPI_GENL_ATTR_TIME,           /* u64, CLOCK_BOOTTIME nanoseconds */
    __KAPI_GENL_ATTR_MAX,
};
#define KAPI_GENL_ATTR_MAX (__KAPI_GENL_ATTR_MAX - 1)

/* Joining the group needs CAP_NET_ADMIN; where the kernel cannot say so (before 5.12) events carry
 * neither PID, UID, TARGET nor COMM. */
#define KAPI_EVENT_CONTROL (1 << 0) /* a control command was carried out or failed */
#define KAPI_EVENT_REFUSED (1 << 1) /* a command was refused */
#define KAPI_EVENT_ALL     (KAPI_EVENT_CONTROL | KAPI_EVENT_REFUSED)

#endif /* CEREBRO_KAPI_NETLINK_H */

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of the module kernel_driver: what its files share. The interface to user space is
 * cerebro/kapi.h.
 *
 * How a call runs: device.c receives it, dispatch.c finds the command, copies the structure in
 * once, asks gate.c whether the caller may, runs the handler, records it (audit.c) and copies the
 * structure out once. Handlers therefore never touch user memory and never decide who may call
 * them, except where the answer depends on the target (process, network namespace).
 */
#ifndef KAPI_INTERNAL_H
#define KAPI_INTERNAL_H

#define pr_fmt(fmt) "kapi: " fmt

#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/pid_namespace.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include <cerebro/kapi.h>

#include "compat.h"

#define KAPI_MODULE_VERSION "0.1.0"

/* Numbers 1 to 33 have a counter and a place in the command table. */
#define KAPI_NR_VERSION	     31
#define KAPI_NR_BATCH	     32
#define KAPI_NR_PROCESS_LIST 33
#define KAPI_NR_END	     34

/*
 * Ends a character array that came from user space. Every handler does this for each of its arrays
 * before it reads them: strings are never trusted to have an end.
 */
#define kapi_terminate(array) ((array)[sizeof(array) - 1] = '\0')

/*
 * A limit of rate that does not write "callbacks suppressed" lines. Use: if (!__ratelimit(&name)).
 */
#define KAPI_LIMIT(name, interval, burst)    \
	static struct ratelimit_state name = \
		RATELIMIT_STATE_INIT_FLAGS(name, interval, burst, RATELIMIT_MSG_ON_RELEASE)

struct kapi_user;

/* One open file of the device. */
struct kapi_open {
	struct kapi_user *user; /* whose limit of open files it counts against */
	char *buffer;		/* KAPI_BUFFER_SIZE bytes, its own unless shared_buffer is set */
	struct mutex cursor_lock;
	u32 cursor[KAPI_IOC_MAXNR + 1]; /* next record of 7, 8, 11-14, under cursor_lock */
};

/* One command being answered. Lives on the stack of the caller's thread. */
struct kapi_call {
	struct file *file;
	unsigned int nr;
	u32 index;	/* record wanted from an indexed command */
	u32 next_index; /* with next_place: where the record after the last one given is found, */
	u32 next_place; /* so that a batch does not begin each search at the start */
	char *text;	/* where words for the caller go, or NULL */
	size_t text_size;
	struct pid *target; /* process acted upon, referenced, for the audit record; or NULL */
};

/* The conditions under which a command may run at all. Checked at each call, for the caller. */
struct kapi_gate {
	const char *parameter[2]; /* module parameters that must be set, for the message */
	const bool *allowed[2];
	int capability; /* in the initial user namespace, or KAPI_CAP_OF_TARGET */
	const char *capability_name;
	bool opener;	  /* whoever opened the descriptor must have had the capability too */
	bool init_mounts; /* caller must be in the initial mount namespace */
	enum lockdown_reason lockdown; /* LOCKDOWN_NONE: does not matter */
};

/* The handler itself checks, in the user namespace that owns the target. */
#define KAPI_CAP_OF_TARGET -1
#define KAPI_CAP_NONE	   -2

typedef int (*kapi_handler)(struct kapi_call *call, void *data);

/* One line of the command table. */
struct kapi_command {
	unsigned int code;
	unsigned int code_at; /* twin with an explicit record number, or 0 */
	kapi_handler run;
	const struct kapi_gate *gate; /* NULL: anybody who could open the device */
	u16 status; /* offset of the status member, 0: the result is the ioctl's */
	u16 text;   /* offset and size of the message member, or 0 */
	u16 text_size;
	bool indexed;
	bool batch;   /* may be asked for by KAPI_BATCH */
	bool control; /* changes something or reads memory: audited */
};

/* core.c: module parameters */
extern bool kapi_allow_control;
extern bool kapi_allow_dangerous;
extern bool kapi_allow_phys_write;
extern bool kapi_shared_buffer;
extern unsigned int kapi_log_level;
extern unsigned int kapi_max_opens;
u32 kapi_features(void);

/* device.c */
int kapi_device_init(void);
void kapi_device_exit(void);

/* dispatch.c */
long kapi_ioctl(struct file *file, unsigned int code, unsigned long arg);
/* The table's line of a command number, or NULL. */
const struct kapi_command *kapi_command(unsigned int nr);
/* Gate and handler, without copying. The result is 0 or a negative errno. */
int kapi_run(struct kapi_call *call, const struct kapi_command *command, void *data);
/* Words for the caller, kept only where the command has room for them. */
__printf(2, 3) void kapi_say(struct kapi_call *call, const char *format, ...);

/* gate.c */
int kapi_gate_check(struct kapi_call *call, const struct kapi_gate *gate);

/* batch.c */
int kapi_batch(struct file *file, void __user *arg, size_t size);

/* process-list.c */
int kapi_process_list(void __user *arg, size_t size);

/*
 * process.c. A view says which processes a caller may know about; it holds no references, so it
 * must not outlive the call.
 */
struct kapi_view {
	struct pid_namespace *ns;
	bool all; /* the caller sees every process of ns */
};

void kapi_view_init(struct kapi_view *view);
bool kapi_view_has(const struct kapi_view *view, struct task_struct *task);
bool kapi_may_inspect(struct task_struct *task);
/* Fills the whole record. The caller holds a reference to the task. */
void kapi_process_fill(struct task_struct *task, struct pid_namespace *ns,
		       struct kapi_process_record *record);

/* Nanoseconds since boot as the caller's time namespace counts them. */
u64 kapi_boottime_ns(void);

/* tree.c: files of proc and sysfs, read through mounts of our own that no caller can change. */
enum kapi_tree { KAPI_TREE_PROC, KAPI_TREE_SYSFS, KAPI_TREE_END };

int kapi_tree_init(void);
void kapi_tree_exit(void);
/* Reads at most size - 1 bytes and ends them with NUL; returns the bytes read or an errno. */
int kapi_tree_read(enum kapi_tree tree, const char *path, char *buffer, size_t size);
/* The same without the newline and spaces at the end. */
int kapi_tree_word(enum kapi_tree tree, const char *path, char *buffer, size_t size);
int kapi_tree_number(enum kapi_tree tree, const char *path, long *ret_value);
int kapi_tree_write(enum kapi_tree tree, const char *path, const char *text);
/* Calls `each` for every entry but . and .. until it returns false. */
int kapi_tree_list(enum kapi_tree tree, const char *path,
		   bool (*each)(void *context, const char *name), void *context);

/* info-*.c */
int kapi_memory_info(struct kapi_call *call, void *data);
int kapi_cpu_info(struct kapi_call *call, void *data);
int kapi_process_info(struct kapi_call *call, void *data);
int kapi_kernel_cmd(struct kapi_call *call, void *data);
int kapi_network_stats(struct kapi_call *call, void *data);
int kapi_filesystem_info(struct kapi_call *call, void *data);
int kapi_module_info(struct kapi_call *call, void *data);
int kapi_interrupt_info(struct kapi_call *call, void *data);
int kapi_loadavg_info(struct kapi_call *call, void *data);
int kapi_kernel_config(struct kapi_call *call, void *data);
int kapi_pci_info(struct kapi_call *call, void *data);
int kapi_block_info(struct kapi_call *call, void *data);
int kapi_block_init(void);
void kapi_block_exit(void);
int kapi_thermal_info(struct kapi_call *call, void *data);
int kapi_kernel_log(struct kapi_call *call, void *data);

/* control-*.c */
int kapi_kill(struct kapi_call *call, void *data);
int kapi_suspend(struct kapi_call *call, void *data);
int kapi_resume(struct kapi_call *call, void *data);
int kapi_affinity(struct kapi_call *call, void *data);
int kapi_load_module(struct kapi_call *call, void *data);
int kapi_unload_module(struct kapi_call *call, void *data);
int kapi_toggle_interface(struct kapi_call *call, void *data);
int kapi_mount(struct kapi_call *call, void *data);
int kapi_umount(struct kapi_call *call, void *data);
int kapi_inject_log(struct kapi_call *call, void *data);
int kapi_reclaim(struct kapi_call *call, void *data);
int kapi_panic(struct kapi_call *call, void *data);

/* helper.c: programs of the initial namespaces that do what no exported function can. */
int kapi_helper_run(struct kapi_call *call, char **argv);
void kapi_helper_exit(void);

/* info-module.c: 0 and the number of its users, or -ENOENT */
int kapi_module_users(const char *name);

/* physmem.c, translate.c */
int kapi_phys_read(struct kapi_call *call, void *data);
int kapi_phys_write(struct kapi_call *call, void *data);
int kapi_phys_patch(struct kapi_call *call, void *data);
int kapi_translate(struct kapi_call *call, void *data);

/* audit.c */
void kapi_audit(struct kapi_call *call, const struct kapi_command *command, int status);
u64 kapi_audit_calls(unsigned int nr);
u64 kapi_audit_refused(unsigned int nr);

/* netlink.c, genl.c: failing to register is no reason to fail the module */
void kapi_netlink_init(void);
void kapi_netlink_exit(void);
bool kapi_netlink_registered(void);
void kapi_genl_init(void);
void kapi_genl_exit(void);
bool kapi_genl_registered(void);
void kapi_genl_event(struct kapi_call *call, u32 event, int status);

#endif /* KAPI_INTERNAL_H */

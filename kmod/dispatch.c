// SPDX-License-Identifier: GPL-2.0
/*
 * From a command code to its handler: one table, one copy in, one copy out.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* ------------------------------------------------------------------------------------- gates */

/* clang-format off */
#define CAPABILITY(cap) .capability = cap, .capability_name = #cap
#define CONTROL	  .parameter = { "allow_control" }, .allowed = { &kapi_allow_control }
#define DANGEROUS .parameter = { "allow_dangerous" }, .allowed = { &kapi_allow_dangerous }
#define PHYS_WRITE                                                                                 \
	.parameter = { "allow_dangerous", "allow_phys_write" },                                    \
	.allowed = { &kapi_allow_dangerous, &kapi_allow_phys_write }

static const struct kapi_gate gate_log = { CAPABILITY(CAP_SYSLOG) };
/* The target's user namespace decides, and only the handler knows the target. */
static const struct kapi_gate gate_target = { CONTROL, .capability = KAPI_CAP_OF_TARGET };
static const struct kapi_gate gate_module = {
	CONTROL, CAPABILITY(CAP_SYS_MODULE), .opener = true, .init_mounts = true,
};
static const struct kapi_gate gate_mount = {
	CONTROL, CAPABILITY(CAP_SYS_ADMIN), .opener = true, .init_mounts = true,
};
static const struct kapi_gate gate_inject = { CONTROL, CAPABILITY(CAP_SYSLOG) };
static const struct kapi_gate gate_reclaim = {
	CONTROL, CAPABILITY(CAP_SYS_ADMIN), .opener = true, .init_mounts = true,
};
static const struct kapi_gate gate_panic = { DANGEROUS, CAPABILITY(CAP_SYS_BOOT), .opener = true };
static const struct kapi_gate gate_phys_read = {
	DANGEROUS, CAPABILITY(CAP_SYS_RAWIO), .opener = true, .lockdown = LOCKDOWN_DEV_MEM,
};
static const struct kapi_gate gate_phys_write = {
	PHYS_WRITE, CAPABILITY(CAP_SYS_RAWIO), .opener = true, .lockdown = LOCKDOWN_DEV_MEM,
};
static const struct kapi_gate gate_translate = {
	DANGEROUS, CAPABILITY(CAP_SYS_RAWIO), .opener = true, .lockdown = LOCKDOWN_KCORE,
};

/* ------------------------------------------------------------------------------ command table */

#define INFO(CODE, HANDLER) { .code = CODE, .run = HANDLER, .batch = true }
#define INDEXED(CODE, AT, HANDLER, GATE)                                                           \
	{ .code = CODE, .code_at = AT, .run = HANDLER, .gate = GATE, .batch = true, .indexed = true }
#define OPERATION(CODE, HANDLER, GATE, STRUCT)                                                     \
	{ .code = CODE, .run = HANDLER, .gate = GATE, .control = true,                             \
	  .status = offsetof(struct STRUCT, status), .text = offsetof(struct STRUCT, message),     \
	  .text_size = sizeof_field(struct STRUCT, message) }

static const struct kapi_command commands[KAPI_IOC_MAXNR + 1] = {
	[1] = INFO(KAPI_GET_MEMORY_INFO, kapi_memory_info),
	[2] = INFO(KAPI_GET_CPU_INFO, kapi_cpu_info),
	[3] = INFO(KAPI_GET_PROCESS_INFO, kapi_process_info),
	[4] = { .code = KAPI_EXECUTE_KERNEL_CMD, .run = kapi_kernel_cmd,
		.status = offsetof(struct kapi_kernel_cmd, status),
		.text = offsetof(struct kapi_kernel_cmd, result),
		.text_size = sizeof_field(struct kapi_kernel_cmd, result) },
	[5] = INFO(KAPI_GET_NETWORK_STATS, kapi_network_stats),
	[6] = INFO(KAPI_GET_FILE_SYSTEM_INFO, kapi_filesystem_info),
	[7] = INDEXED(KAPI_GET_KERNEL_MODULES, KAPI_GET_KERNEL_MODULE_AT, kapi_module_info, NULL),
	[8] = INDEXED(KAPI_GET_INTERRUPTS, KAPI_GET_INTERRUPT_AT, kapi_interrupt_info, NULL),
	[9] = INFO(KAPI_GET_LOADAVG, kapi_loadavg_info),
	[10] = INFO(KAPI_GET_KERNEL_CONFIG, kapi_kernel_config),
	[11] = INDEXED(KAPI_GET_PCI_DEVICES, KAPI_GET_PCI_DEVICE_AT, kapi_pci_info, NULL),
	[12] = INDEXED(KAPI_GET_BLOCK_DEVICES, KAPI_GET_BLOCK_DEVICE_AT, kapi_block_info, NULL),
	[13] = INDEXED(KAPI_GET_THERMAL_INFO, KAPI_GET_THERMAL_ZONE_AT, kapi_thermal_info, NULL),
	[14] = INDEXED(KAPI_READ_KERNEL_LOG, KAPI_READ_KERNEL_LOG_AT, kapi_kernel_log, &gate_log),
	[15] = OPERATION(KAPI_KILL_PROCESS, kapi_kill, &gate_target, kapi_process_control),
	[16] = OPERATION(KAPI_SUSPEND_PROCESS, kapi_suspend, &gate_target, kapi_process_control),
	[17] = OPERATION(KAPI_RESUME_PROCESS, kapi_resume, &gate_target, kapi_process_control),
	[18] = OPERATION(KAPI_LOAD_MODULE, kapi_load_module, &gate_module, kapi_module_control),
	[19] = OPERATION(KAPI_UNLOAD_MODULE, kapi_unload_module, &gate_module, kapi_module_control),
	[20] = OPERATION(KAPI_TOGGLE_INTERFACE, kapi_toggle_interface, &gate_target,
			 kapi_net_control),
	[21] = OPERATION(KAPI_MOUNT_FS, kapi_mount, &gate_mount, kapi_fs_control),
	[22] = OPERATION(KAPI_UMOUNT_FS, kapi_umount, &gate_mount, kapi_fs_control),
	[23] = { .code = KAPI_INJECT_LOG, .run = kapi_inject_log, .gate = &gate_inject,
		 .control = true, .status = offsetof(struct kapi_log_injection, status) },
	[24] = { .code = KAPI_FORCE_PAGE_RECLAIM, .run = kapi_reclaim, .gate = &gate_reclaim,
		 .control = true },
	[25] = OPERATION(KAPI_SET_CPU_AFFINITY, kapi_affinity, &gate_target, kapi_cpu_control),
	[26] = { .code = KAPI_PANIC_KERNEL, .run = kapi_panic, .gate = &gate_panic,
		 .control = true },
	[27] = OPERATION(KAPI_READ_PHYS_MEM, kapi_phys_read, &gate_phys_read, kapi_phys_mem_read),
	[28] = OPERATION(KAPI_WRITE_PHYS_MEM, kapi_phys_write, &gate_phys_write,
			 kapi_phys_mem_write),
	[29] = OPERATION(KAPI_VIRT_TO_PHYS, kapi_translate, &gate_translate, kapi_virt_to_phys),
	[30] = OPERATION(KAPI_PATCH_MEMORY, kapi_phys_patch, &gate_phys_write, kapi_mem_patch),
};
/* clang-format on */

const struct kapi_command *kapi_command(unsigned int nr)
{
	if (nr == 0 || nr > KAPI_IOC_MAXNR)
		return NULL;
	return &commands[nr];
}

/* ------------------------------------------------------------------------------------ running */

void kapi_say(struct kapi_call *call, const char *format, ...)
{
	va_list arguments;

	if (!call->text)
		return;
	va_start(arguments, format);
	vscnprintf(call->text, call->text_size, format, arguments);
	va_end(arguments);
}

/* Points the call at the message member, and clears what the caller sent in it. */
static void attach_text(struct kapi_call *call, const struct kapi_command *command, char *data)
{
	if (!command->text)
		return;
	call->text = data + command->text;
	call->text_size = command->text_size;
	memset(call->text, 0, call->text_size);
}

static void default_text(struct kapi_call *call, int status)
{
	if (!call->text || call->text[0])
		return;
	if (status)
		kapi_say(call, "failed: %pe", ERR_PTR(status));
	else
		kapi_say(call, "done");
}

int kapi_run(struct kapi_call *call, const struct kapi_command *command, void *data)
{
	int status = 0;

	attach_text(call, command, data);
	if (command->gate)
		status = kapi_gate_check(call, command->gate);
	if (!status)
		status = command->run(call, data);
	kapi_audit(call, command, status);
	default_text(call, status);
	if (command->status)
		*(s32 *)((char *)data + command->status) = status;
	put_pid(call->target);
	call->target = NULL;
	return status;
}

/*
 * An indexed command by its code of the first version: the next record of this open file. A handler
 * runs under cursor_lock, so that two threads on one descriptor get different records.
 */
static int run_at_cursor(struct kapi_call *call, const struct kapi_command *command, void *data)
{
	struct kapi_open *open = call->file->private_data;
	int status;

	mutex_lock(&open->cursor_lock);
	call->index = open->cursor[call->nr];
	status = kapi_run(call, command, data);
	if (!status)
		open->cursor[call->nr]++;
	else if (status == -ENODATA)
		open->cursor[call->nr] = 0;
	mutex_unlock(&open->cursor_lock);
	return status;
}

/* Most structures fit on the stack, which saves more time than many commands take. */
#define SMALL_SIZE 512

static void *data_get(u64 *small, size_t size)
{
	return size <= SMALL_SIZE ? memset(small, 0, size) : kvzalloc(size, GFP_KERNEL);
}

static void data_put(u64 *small, void *data)
{
	if (data != small)
		kvfree(data);
}

static int run_copied(struct kapi_call *call, const struct kapi_command *command, unsigned int code,
		      void *data, void __user *arg)
{
	size_t size = _IOC_SIZE(code);
	int status;

	if ((_IOC_DIR(code) & _IOC_WRITE) && copy_from_user(data, arg, size))
		return -EFAULT;
	if (command->indexed)
		status = run_at_cursor(call, command, data);
	else
		status = kapi_run(call, command, data);
	if (command->status) /* the result is in the structure, which goes back even for _IOW */
		status = 0;
	if (!status && size && copy_to_user(arg, data, size))
		status = -EFAULT;
	return status;
}

/*
 * Copies the structure in once, runs, copies it out once. There is no second look at user memory
 * that a second thread could change in between.
 */
static noinline long run_command(struct file *file, const struct kapi_command *command,
				 unsigned int code, void __user *arg)
{
	struct kapi_call call = { .file = file, .nr = _IOC_NR(code) };
	u64 small[SMALL_SIZE / sizeof(u64)];
	void *data = data_get(small, _IOC_SIZE(code));
	long status;

	if (!data)
		return -ENOMEM;
	status = run_copied(&call, command, code, data, arg);
	data_put(small, data);
	return status;
}

/* The twins: struct { u32 index, reserved; record }, in which every record has the same place. */
static noinline long run_command_at(struct file *file, const struct kapi_command *command,
				    unsigned int code, void __user *arg)
{
	struct kapi_call call = { .file = file, .nr = _IOC_NR(code) };
	const size_t head = offsetof(struct kapi_module_info_at, info);
	size_t size = _IOC_SIZE(command->code);
	u64 small[SMALL_SIZE / sizeof(u64)];
	u32 request[2];
	void *data;
	int status;

	if (copy_from_user(request, arg, sizeof(request)))
		return -EFAULT;
	if (request[1])
		return -EINVAL;
	data = data_get(small, size);
	if (!data)
		return -ENOMEM;
	call.index = request[0];
	status = kapi_run(&call, command, data);
	if (!status && copy_to_user(arg + head, data, size))
		status = -EFAULT;
	data_put(small, data);
	return status;
}

static long get_version(void __user *arg, size_t size)
{
	struct kapi_version version;
	int error;

	error = copy_struct_from_user(&version, sizeof(version), arg, size);
	if (error)
		return error;
	if (size < sizeof(version) || version.size != size)
		return -EINVAL;
	memset(&version, 0, sizeof(version));
	version.size = size;
	version.abi_version = KAPI_ABI_VERSION;
	version.features = kapi_features();
	version.buffer_size = KAPI_BUFFER_SIZE;
	version.batch_max = KAPI_BATCH_MAX;
	version.process_record_size = sizeof(struct kapi_process_record);
	strscpy(version.module_version, KAPI_MODULE_VERSION, sizeof(version.module_version));
	return copy_to_user(arg, &version, sizeof(version)) ? -EFAULT : 0;
}

/* 31 to 33 are known by number and direction; their size may be larger than ours (see kapi.h). */
static long run_extended(struct file *file, unsigned int code, void __user *arg)
{
	size_t size = _IOC_SIZE(code);

	if (_IOC_DIR(code) != (_IOC_READ | _IOC_WRITE))
		return -ENOTTY;
	switch (_IOC_NR(code)) {
	case KAPI_NR_VERSION:
		return get_version(arg, size);
	case KAPI_NR_BATCH:
		return kapi_batch(file, arg, size);
	case KAPI_NR_PROCESS_LIST:
		return kapi_process_list(arg, size);
	default:
		return -ENOTTY;
	}
}

long kapi_ioctl(struct file *file, unsigned int code, unsigned long arg)
{
	const struct kapi_command *command;
	void __user *user = (void __user *)arg;

	if (_IOC_TYPE(code) != KAPI_IOC_MAGIC)
		return -ENOTTY;
	if (_IOC_NR(code) > KAPI_IOC_MAXNR)
		return run_extended(file, code, user);
	command = kapi_command(_IOC_NR(code));
	if (!command)
		return -ENOTTY;
	/* Direction and size must be exactly those of the table: no caller chooses how much is
	 * copied. */
	if (code == command->code)
		return run_command(file, command, code, user);
	if (command->code_at && code == command->code_at)
		return run_command_at(file, command, code, user);
	return -ENOTTY;
}

/* The layouts that clients in the field were built against. */
static_assert(sizeof(struct kapi_memory_info) == 128);
static_assert(sizeof(struct kapi_cpu_info) == 184);
static_assert(sizeof(struct kapi_process_info) == 120);
static_assert(sizeof(struct kapi_kernel_cmd) == 1284);
static_assert(sizeof(struct kapi_network_stats) == 168);
static_assert(sizeof(struct kapi_filesystem_info) == 416);
static_assert(sizeof(struct kapi_module_info) == 392);
static_assert(sizeof(struct kapi_interrupt_info) == 144);
static_assert(sizeof(struct kapi_loadavg_info) == 48);
static_assert(sizeof(struct kapi_kernel_config) == 448);
static_assert(sizeof(struct kapi_pci_device_info) == 272);
static_assert(sizeof(struct kapi_block_device_info) == 192);
static_assert(sizeof(struct kapi_thermal_info) == 152);
static_assert(sizeof(struct kapi_kernel_log) == 568);
static_assert(sizeof(struct kapi_process_control) == 268);
static_assert(sizeof(struct kapi_module_control) == 836);
static_assert(sizeof(struct kapi_net_control) == 280);
static_assert(sizeof(struct kapi_fs_control) == 932);
static_assert(sizeof(struct kapi_log_injection) == 532);
static_assert(sizeof(struct kapi_cpu_control) == 280);
static_assert(sizeof(struct kapi_phys_mem_read) == 4376);
static_assert(sizeof(struct kapi_phys_mem_write) == 4376);
static_assert(sizeof(struct kapi_virt_to_phys) == 288);
static_assert(sizeof(struct kapi_mem_patch) == 8472);
static_assert(offsetof(struct kapi_process_info, memory_usage) == 24);
static_assert(offsetof(struct kapi_process_info, state) == 112);
static_assert(offsetof(struct kapi_cpu_control, mask) == 8);
static_assert(offsetof(struct kapi_pci_device_info, base_addr) == 216);
static_assert(offsetof(struct kapi_process_record, tty_nr) == KAPI_PROCESS_RECORD_MIN);
static_assert(offsetof(struct kapi_interrupt_info_at, info) ==
	      offsetof(struct kapi_module_info_at, info));

// SPDX-License-Identifier: GPL-2.0
/*
 * Command 7: loaded modules. The list of modules itself is private to the kernel; their kobjects
 * hang in a kset that is reachable from our own.
 */
#include "kapi-internal.h"

#include <linux/capability.h>
#include <linux/kernfs.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/slab.h>

static struct module *to_module(struct kobject *kobj)
{
	return container_of(kobj, struct module_kobject, kobj)->mod; /* NULL: built in */
}

/*
 * The index-th module, or the one of that name, with a reference to its kobject. A module that is
 * being removed waits for that reference, so that struct module stays valid until module_put_ref().
 */
static struct module *module_get_ref(u32 index, const char *name)
{
	struct kset *kset = THIS_MODULE->mkobj.kobj.kset;
	struct module *mod, *found = NULL;
	struct kobject *kobj;

	spin_lock(&kset->list_lock);
	list_for_each_entry(kobj, &kset->list, entry) {
		mod = to_module(kobj);
		if (!mod || (name && strcmp(mod->name, name)))
			continue;
		if (!name && index--)
			continue;
		if (kobject_get_unless_zero(kobj))
			found = mod;
		break;
	}
	spin_unlock(&kset->list_lock);
	return found;
}

static void module_put_ref(struct module *mod)
{
	kobject_put(&mod->mkobj.kobj);
}

int kapi_module_users(const char *name)
{
	struct module *mod = module_get_ref(0, name);
	int users;

	if (!mod)
		return -ENOENT;
	users = max(module_refcount(mod), 0);
	module_put_ref(mod);
	return users;
}

static const char *state_name(const struct module *mod)
{
	switch (mod->state) {
	case MODULE_STATE_LIVE:
		return "Live";
	case MODULE_STATE_GOING:
		return "Unloading";
	default:
		return "Loading";
	}
}

/* Whole names only: one that does not fit is left out. */
static bool add_user(void *context, const char *name)
{
	struct kapi_module_info *info = context;
	size_t used = strlen(info->used_by);

	if (used + 1 + strlen(name) >= sizeof(info->used_by))
		return false;
	scnprintf(info->used_by + used, sizeof(info->used_by) - used, "%s%s", used ? "," : "",
		  name);
	return true;
}

/*
 * Whether other modules use this one (and not only open files), without reading a directory. The
 * directory of its users is only certain to be there while the module cannot be removed, and a
 * module without users is left alone, so that a removal at the same moment does not fail because of
 * us.
 */
static bool has_holders(struct module *mod)
{
	bool any = false;

	if (module_refcount(mod) <= 0 || !try_module_get(mod))
		return false;
	if (mod->holders_dir && mod->holders_dir->sd)
		any = READ_ONCE(mod->holders_dir->sd->dir.children.rb_node) != NULL;
	module_put(mod);
	return any;
}

/* The list of users in struct module is under a mutex that is not exported: sysfs. */
static void fill_users(struct kapi_module_info *info)
{
	char *path = kasprintf(GFP_KERNEL, "module/%s/holders", info->name);

	if (!path)
		return;
	kapi_tree_list(KAPI_TREE_SYSFS, path, add_user, info);
	kfree(path);
}

int kapi_module_info(struct kapi_call *call, void *data)
{
	struct kapi_module_info *info = data;
	struct module *mod = module_get_ref(call->index, NULL);
	bool holders;

	if (!mod)
		return -ENODATA;
	strscpy(info->name, mod->name, sizeof(info->name));
	strscpy(info->state, state_name(mod), sizeof(info->state));
	if (mod->version)
		strscpy(info->version, mod->version, sizeof(info->version));
	info->size = kapi_module_size(mod);
	info->used_by_count = max(module_refcount(mod), 0);
	if (ns_capable_noaudit(&init_user_ns, CAP_SYSLOG)) /* addresses defeat randomisation */
		info->load_addr = (unsigned long)kapi_module_base(mod);
	holders = has_holders(mod);
	module_put_ref(mod);
	if (holders)
		fill_users(info);
	return 0;
}

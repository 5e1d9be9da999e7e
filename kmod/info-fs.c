// SPDX-License-Identifier: GPL-2.0
/*
 * Command 6: the file system at the caller's root.
 */
#include "kapi-internal.h"

#include <linux/fs_struct.h>
#include <linux/path.h>
#include <linux/statfs.h>

static void fill(struct kapi_filesystem_info *info, const struct super_block *sb,
		 const struct kstatfs *stat)
{
	strscpy(info->fs_type, sb->s_type->name, sizeof(info->fs_type));
	strscpy(info->device_name, sb->s_id, sizeof(info->device_name));
	strscpy(info->mount_point, "/", sizeof(info->mount_point));
	info->total_blocks = stat->f_blocks;
	info->free_blocks = stat->f_bfree;
	info->available_blocks = stat->f_bavail;
	info->total_inodes = stat->f_files;
	info->free_inodes = stat->f_ffree;
	info->block_size = stat->f_bsize;
	info->max_filename_len = stat->f_namelen;
	info->flags = stat->f_flags;
}

int kapi_filesystem_info(struct kapi_call *call, void *data)
{
	struct kstatfs stat = {};
	struct path root;
	int error;

	get_fs_root(current->fs, &root);
	error = vfs_statfs(&root, &stat);
	if (!error)
		fill(data, root.mnt->mnt_sb, &stat);
	path_put(&root);
	return error;
}

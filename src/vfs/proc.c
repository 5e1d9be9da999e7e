/* The proc file system: its making and the rules that hold for all of its files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"
#include "vfs/vfs-internal.h" /* the inside of a place */

/* Link count and size of a directory that the host has too: threads are counted by them. */
static void copy_links(const struct proc_task *task, const char *name, struct statx *stat)
{
    struct stat host;

    if (fstatat(task->dir, name, &host, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    stat->stx_nlink = (uint32_t)host.st_nlink;
    stat->stx_size = (uint64_t)host.st_size;
}

/*
 * Files of a process belong to its effective user; to root when it must not be looked at
 * (not dumpable).
 */
static int stat_hook(struct pseudo_node *node, struct statx *stat)
{
    struct pseudo_fs *fs = pseudo_fs_of(node->node.fs);
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r;

    if (node->pid == 0)
        return 0;
    r = proc_task_open(fs, node, &task);
    if (r < 0)
        return r;
    if (task.context->identity.dumpable || (stat->stx_mode & 07777) == 0555) {
        stat->stx_uid = task.context->identity.euid;
        stat->stx_gid = task.context->identity.egid;
    }
    if (node->item->entry->flags & PROC_LINKS)
        copy_links(&task, node->item->entry->data, stat);
    if (S_ISLNK(node->mode) && node->number >= 0)
        stat->stx_size = 64; /* as the kernel does */
    return 0;
}

/* Only root can look into the namespace of its guest; ipcs(1) asks shmctl(SHM_INFO) then. */
static bool may_look_into_ipc(const struct pk_kernel *kernel)
{
    return !kernel->config.ipc_isolated || kernel->host_identity.euid == 0;
}

static bool visible_hook(const struct pseudo_node *directory, const struct pseudo_entry *entry)
{
    if (strncmp(entry->path, "sysvipc/", strlen("sysvipc/")) == 0)
        return may_look_into_ipc(vfs_kernel(directory->node.fs->vfs));
    if (directory->tid)
        return !(entry->flags & PROC_PROCESS_ONLY);
    return !(entry->flags & PROC_THREAD_ONLY);
}

/* A process that is not dumpable may still list its own descriptors (proc_fd_permission). */
static bool excused_hook(const struct pseudo_access *access)
{
    const struct pseudo_node *node = access->node;

    return node->pid > 0 && node->pid == access->actor->pid && S_ISDIR(node->mode) &&
           access->entry->data && strcmp(access->entry->data, "fd") == 0;
}

static int check_hook(const struct pseudo_access *access)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r;

    if (access->entry->flags & PROC_CLOSED)
        return -EACCES;
    if (access->node->pid == 0 || !(access->entry->flags & PROC_INSPECT))
        return 0;
    r = proc_task_find(access->fs, access->node, &task);
    if (r < 0)
        return r;
    return proc_may_inspect(access->actor, &task) ? 0 : -EACCES;
}

/* Files of processes depend on the host's configuration: our own process shows which there are. */
static bool present_hook(const struct pseudo_fs *fs, const struct pseudo_entry *entry)
{
    static const char *const prefixes[] = {"self", "thread-self"};
    const char *name = strncmp(entry->path, "<pid>/", 6) == 0 ? entry->path + 5 : NULL;
    char path[128];

    for (size_t i = 0; name && i < array_length(prefixes); i++) {
        snprintf(path, sizeof(path), "%s%s", prefixes[i], name);
        if (faccessat(fs->host, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return name == NULL && faccessat(fs->host, entry->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const struct pseudo_hooks hooks = {.present = present_hook,
                                          .stat = stat_hook,
                                          .visible = visible_hook,
                                          .excused = excused_hook,
                                          .check = check_hook};

static void destroy(struct vfs_fs *vfs_fs)
{
    struct proc_fs *fs = (struct proc_fs *)vfs_fs;

    proc_sysctl_free(fs);
    proc_comm_free(fs);
    proc_score_free(fs);
    pseudo_fini(&fs->base);
    free(fs);
}

static const struct vfs_fs_ops ops = {PSEUDO_OPS("proc", PROC_MAGIC, destroy), .fixed_names = true};

int vfs_proc_new(struct vfs *vfs, struct vfs_fs **ret_fs)
{
    struct proc_fs *fs = calloc(1, sizeof(*fs));
    int r;

    if (fs == NULL)
        return -ENOMEM;
    r = pseudo_init(&fs->base, vfs, &ops, &hooks, "/proc", proc_table, proc_table_length);
    if (r >= 0 && fs->base.host < 0)
        r = -ENOENT;
    if (r < 0) {
        if (fs->base.fs.root)
            vfs_node_unref(fs->base.fs.root);
        destroy(&fs->base.fs);
        return r;
    }
    *ret_fs = &fs->base.fs;
    return 0;
}

pid_t vfs_process_of_place(const struct vfs_place *place)
{
    const struct vfs_node *node = place->node;
    const struct pseudo_node *pseudo = (const struct pseudo_node *)node;

    if (node == NULL || node->fs->ops != &ops)
        return 0;
    if (strcmp(pseudo->item->entry->path, "<init>") == 0)
        return 1;
    return pseudo->tid == 0 && strcmp(pseudo->item->entry->path, "<pid>") == 0 ? pseudo->pid : 0;
}

/* Sections about the guest's tree: processes, limits, names, descriptors. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/task.h"
#include "vfs/descriptor-internal.h"
#include "vfs/inspect-internal.h"
#include "vfs/proc-internal.h"

static int count_process(pid_t pid, void *user)
{
    (void)pid;
    ++*(unsigned *)user;
    return 0;
}

static const char *net_of(const struct pk_config *config)
{
    if (config->net == PK_NET_NONE)
        return "none";
    return pk_net_rules_exist(&config->net_rules) ? "rules" : "host";
}

int inspect_summary(struct inspect *inspect)
{
    struct pk_kernel *kernel = inspect->kernel;
    const struct pk_stats *stats = &kernel->stats;
    unsigned processes = 0;
    int r = pk_for_each_process(kernel, count_process, &processes);

    inspect_string(inspect, kernel->config.name);
    inspect_signed(inspect, kernel->root_pid);
    inspect_number(inspect, io_now_ns() - kernel->started_ns);
    inspect_string(inspect, net_of(&kernel->config));
    inspect_bool(inspect, kernel->config.virtual_identity);
    inspect_number(inspect, processes);
    inspect_number(inspect, stats->syscalls_intercepted);
    inspect_number(inspect, stats->denials);
    inspect_number(inspect, stats->execs);
    inspect_number(inspect, stats->descriptors_handed);
    inspect_number(inspect, stats->deferred);
    inspect_number(inspect, stats->cancelled);
    inspect_number(inspect, stats->unknown_calls);
    inspect_number(inspect, kernel->contexts.count);
    inspect_number(inspect, inspect->vfs->handles.count);
    inspect_bool(inspect, kernel->config.stats || kernel->measure_until_ns);
    return r;
}

static void add_limit(struct inspect *inspect, const char *name, uint64_t limit, const char *used)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, limit);
    inspect_string(inspect, name);
    inspect_string(inspect, limit ? text : "max");
    inspect_string(inspect, used);
}

/* What is a limit of each process has no use by the tree. */
int inspect_limits(struct inspect *inspect)
{
    const struct pk_limits *limits = &inspect->kernel->config.limits;
    struct proc_usage usage = {0};
    char resident[24], threads[24];
    int r = proc_usage_of_tree(inspect->kernel, &usage);

    snprintf(resident, sizeof(resident), "%" PRIu64, usage.resident);
    snprintf(threads, sizeof(threads), "%u", usage.threads);
    add_limit(inspect, "memory", limits->memory, resident);
    add_limit(inspect, "pids", limits->pids, threads);
    add_limit(inspect, "files", limits->open_files, "");
    add_limit(inspect, "cpu", limits->cpu_seconds, "");
    add_limit(inspect, "fsize", limits->file_size, "");
    return r;
}

static const char *path_of(const struct vfs_place *place)
{
    return place ? vfs_place_path(place) : "";
}

static int add_task(pid_t pid, void *user)
{
    struct inspect *inspect = user;
    const struct pk_process *process = map_get(&inspect->kernel->processes, (uint64_t)pid);
    const struct pk_context *context = proc_context_of(inspect->kernel, pid);
    char mask[8];

    if (context == NULL)
        return 0; /* it has just ended */
    snprintf(mask, sizeof(mask), "%04o", context->mask & 0777);
    inspect_signed(inspect, pid);
    inspect_number(inspect, process ? process->threads : 0);
    inspect_number(inspect, context->id);
    inspect_number(inspect, context->identity.uid);
    inspect_number(inspect, context->identity.euid);
    inspect_number(inspect, context->identity.gid);
    inspect_number(inspect, context->identity.egid);
    inspect_string(inspect, mask);
    inspect_string(inspect, path_of(context->root));
    inspect_string(inspect, path_of(context->cwd));
    return 0;
}

int inspect_tasks(struct inspect *inspect)
{
    return pk_for_each_process(inspect->kernel, add_task, inspect);
}

static int add_mount(const struct vfs_mount_info *mount, void *user)
{
    struct inspect *inspect = user;
    char flags[48];

    snprintf(flags, sizeof(flags), "%s%s%s%s", mount->flags & VFS_MOUNT_READ_ONLY ? "ro" : "rw",
             mount->flags & VFS_MOUNT_NOSUID ? ",nosuid" : "",
             mount->flags & VFS_MOUNT_NODEV ? ",nodev" : "",
             mount->flags & VFS_MOUNT_NOEXEC ? ",noexec" : "");
    inspect_signed(inspect, mount->id);
    inspect_signed(inspect, mount->parent_id);
    inspect_string(inspect, *mount->path ? mount->path : "/");
    inspect_string(inspect, mount->type);
    inspect_string(inspect, flags);
    inspect_string(inspect, mount->source);
    return 0;
}

int inspect_mounts(struct inspect *inspect)
{
    return vfs_for_each_mount(inspect->vfs, add_mount, inspect);
}

static const char *type_of(const struct vfs_handle *handle)
{
    mode_t type = handle->place  ? vfs_place_type(handle->place)
                  : handle->node ? handle->node->type
                                 : 0;

    return S_ISDIR(type)   ? "directory"
           : S_ISREG(type) ? "file"
           : S_ISCHR(type) ? "device"
                           : "other";
}

/* Closing is native: which of them are still open only the processes' own tables say. */
int inspect_descriptors(struct inspect *inspect)
{
    uint64_t now = io_now_ns();
    struct map_slot *slot;
    size_t cursor = 0;
    struct map held;
    bool known = handles_find_held(inspect->vfs, &held);

    while ((slot = map_next(&inspect->vfs->handles, &cursor))) {
        const struct vfs_handle *handle = slot->value;

        if (known && !map_get2(&held, handle->device, handle->inode))
            continue;
        inspect_number(inspect, handle->inode);
        inspect_string(inspect, type_of(handle));
        inspect_bool(inspect, handle->path_flags != 0);
        inspect_number(inspect, (now - handle->registered_ns) / 1000000);
        inspect_string(inspect, path_of(handle->place));
    }
    map_free(&held);
    return 0;
}

#include "core/sharing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/strbuf.h"
#include "core/core-internal.h"

#define START_TIME_FIELD 22 /* of /proc/PID/stat, counted from 1; proc(5) */

/* Numbers are reused: a member is known by its number together with the time of its start. */
struct member {
    pid_t pid;
    uint64_t started;
};

struct group {
    struct member *members;
    size_t count;
};

static int start_time(pid_t pid, uint64_t *ret_started)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *p;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (io_read_file(AT_FDCWD, path, 8192, &text) < 0)
        return -ESRCH;
    p = strrchr(strbuf_text(&text), ')'); /* the name may contain anything */
    for (unsigned field = 2; p && field < START_TIME_FIELD; field++) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    if (p == NULL)
        return -ESRCH;
    *ret_started = strtoull(p, NULL, 10);
    return 0;
}

static struct group *group_of(const struct pk_kernel *kernel, pid_t pid)
{
    return map_get(&kernel->fs_groups, (uint64_t)pid);
}

static void group_free(struct group *group)
{
    free(group->members);
    free(group);
}

static void drop(struct pk_kernel *kernel, struct group *group, size_t index)
{
    map_remove(&kernel->fs_groups, (uint64_t)group->members[index].pid);
    group->members[index] = group->members[--group->count];
}

static int add(struct pk_kernel *kernel, struct group *group, pid_t pid)
{
    struct member member = {.pid = pid};
    struct member *members;
    int r = start_time(pid, &member.started);

    if (r < 0)
        return r;
    members = reallocarray(group->members, group->count + 1, sizeof(*members));
    if (members == NULL)
        return -ENOMEM;
    group->members = members;
    r = map_set(&kernel->fs_groups, (uint64_t)pid, group);
    if (r == 0)
        members[group->count++] = member;
    return r;
}

/* Drops the members that have ended. False when no group is left, and it is freed. */
static bool prune(struct pk_kernel *kernel, struct group *group)
{
    for (size_t i = group->count; i-- > 0;) {
        uint64_t started;

        if (start_time(group->members[i].pid, &started) < 0 || started != group->members[i].started)
            drop(kernel, group, i);
    }
    if (group->count >= 2)
        return true;
    while (group->count)
        drop(kernel, group, 0);
    group_free(group);
    return false;
}

/* The living group that the process is in, NULL when it is in none. */
static struct group *find_group(struct pk_kernel *kernel, pid_t pid)
{
    struct group *group = group_of(kernel, pid);

    return group && prune(kernel, group) ? group_of(kernel, pid) : NULL;
}

int pk_fs_share(struct pk_kernel *kernel, pid_t pid, pid_t child)
{
    struct group *group = find_group(kernel, pid);
    int r = 0;

    /* A member of that number must have been another process. */
    pk_fs_unshare(kernel, child);
    if (group == NULL) {
        group = calloc(1, sizeof(*group));
        r = group ? add(kernel, group, pid) : -ENOMEM;
    }
    if (r == 0)
        r = add(kernel, group, child);
    if (group)
        prune(kernel, group);
    return r;
}

bool pk_fs_is_shared(struct pk_kernel *kernel, pid_t a, pid_t b)
{
    const struct group *group = find_group(kernel, a);

    return group && group == find_group(kernel, b);
}

void pk_fs_unshare(struct pk_kernel *kernel, pid_t pid)
{
    struct group *group = group_of(kernel, pid);

    if (group == NULL)
        return;
    for (size_t i = group->count; i-- > 0;)
        if (group->members[i].pid == pid)
            drop(kernel, group, i);
    prune(kernel, group);
}

/* A member that is in the midst of a call goes on with the context that the call began with. */
static void follow(struct pk_kernel *kernel, pid_t pid, const struct pk_context *from)
{
    const struct pk_context *old = pk_context_of(kernel, pid);
    struct pk_process *process = map_get(&kernel->processes, (uint64_t)pid);
    struct pk_context *context;
    uint64_t id;

    if (old == NULL ||
        (old->cwd == from->cwd && old->root == from->root && old->mask == from->mask))
        return;
    context = pk_context_copy(kernel, old);
    if (context == NULL)
        return;
    pk_context_set_cwd(kernel, context, from->cwd);
    pk_context_set_root(kernel, context, from->root);
    context->mask = from->mask;
    id = context->id;
    if (pk_context_register(kernel, context) < 0 || pk_context_tag(pid, id) < 0)
        return; /* one that nobody carries is swept */
    if (process)
        process->context_id = id;
}

void pk_fs_spread(struct pk_kernel *kernel, pid_t pid, const struct pk_context *context)
{
    struct group *group = kernel->fs_groups.count ? find_group(kernel, pid) : NULL;

    for (size_t i = 0; group && i < group->count; i++)
        if (group->members[i].pid != pid)
            follow(kernel, group->members[i].pid, context);
}

void pk_fs_groups_free(struct pk_kernel *kernel)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&kernel->fs_groups, &cursor))) {
        struct group *group = slot->value;
        pid_t pid = (pid_t)slot->key;

        map_remove(&kernel->fs_groups, (uint64_t)pid);
        if (--group->count == 0)
            group_free(group);
    }
    map_free(&kernel->fs_groups);
}

/*
 * Closing a descriptor is native and never seen, so handles gather. Once many have, the descriptors
 * of all guest processes are looked at and handles that nobody holds are released.
 *
 * A descriptor that is on its way in a socket (SCM_RIGHTS) belongs to no process at that moment.
 * Young handles are kept for that reason and because the one just made is not installed yet; one
 * that stays in a socket for longer degrades to what its memfd shows.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/descriptor-internal.h"

#define YOUNG_NS 2000000000ULL

struct sweep {
    struct vfs *vfs;
    struct map live; /* (device, inode) of handles that somebody holds */
    bool failed;
};

static void note_descriptor(struct sweep *sweep, int directory_fd, const char *name)
{
    struct vfs_handle *handle;
    struct stat stat;

    if (fstatat(directory_fd, name, &stat, 0) < 0)
        return; /* closed meanwhile */
    handle = map_get2(&sweep->vfs->handles, stat.st_dev, stat.st_ino);
    if (handle && map_set2(&sweep->live, stat.st_dev, stat.st_ino, handle) < 0)
        sweep->failed = true;
}

static int note_process(pid_t pid, void *user)
{
    struct sweep *sweep = user;
    struct dirent *entry;
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    cleanup_dir DIR *directory = opendir(path);
    if (directory == NULL) {
        /* One that ended holds nothing; one that cannot be looked into may hold anything. */
        sweep->failed = sweep->failed || (errno != ENOENT && errno != ESRCH);
        return 0;
    }
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            note_descriptor(sweep, dirfd(directory), entry->d_name);
    return 0;
}

bool handles_find_held(struct vfs *vfs, struct map *ret_held)
{
    struct sweep sweep = {.vfs = vfs};

    if (pk_for_each_process(vfs->kernel, note_process, &sweep) < 0)
        sweep.failed = true;
    *ret_held = sweep.live;
    return !sweep.failed;
}

void handles_sweep(struct vfs *vfs)
{
    uint64_t now = io_now_ns();
    struct map_slot *slot;
    size_t cursor = 0;
    struct map held;
    bool known = handles_find_held(vfs, &held);

    while (known && (slot = map_next(&vfs->handles, &cursor))) {
        struct vfs_handle *handle = slot->value;

        if (now - handle->registered_ns >= YOUNG_NS &&
            !map_get2(&held, handle->device, handle->inode))
            handle_drop(vfs, handle);
    }
    vfs->handle_sweep_at = vfs->handles.count * 2 + VFS_HANDLES_SWEEP;
    map_free(&held);
}

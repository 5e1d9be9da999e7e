/*
 * Descriptors and what stands behind them. A guest's descriptor is recognised by the identity
 * (device, inode) of its object, never by its number, so that dup, fork and passing it on need no
 * bookkeeping:
 *   handles     kernel-served objects, behind a memfd made for one open
 *   identities  files of memory file systems, behind their own memfd
 *   remembered  directories of the host, with the place as which they were opened
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "vfs/descriptor-internal.h"

/* ---- handles ---- */

static void release_handle(struct vfs_handle *handle)
{
    vfs_node_unref(handle->node);
    vfs_place_unref(handle->place);
    handle->ops->release(handle);
}

void handle_drop(struct vfs *vfs, struct vfs_handle *handle)
{
    map_remove2(&vfs->handles, handle->device, handle->inode);
    release_handle(handle);
}

int vfs_handle_register(struct vfs *vfs, struct vfs_handle *handle, int fd)
{
    struct vfs_handle *old;
    struct stat stat;
    int r;

    if (fstat(fd, &stat) < 0)
        return -errno;
    if (vfs->handles.count >= vfs->handle_sweep_at)
        handles_sweep(vfs);
    old = map_get2(&vfs->handles, stat.st_dev, stat.st_ino);
    r = map_set2(&vfs->handles, stat.st_dev, stat.st_ino, handle);
    if (r < 0)
        return r;
    handle->device = stat.st_dev;
    handle->inode = stat.st_ino;
    handle->registered_ns = io_now_ns();
    if (old && old != handle)
        release_handle(old);
    return 0;
}

struct vfs_handle *vfs_handle_of_fd(struct vfs *vfs, int fd)
{
    struct stat stat;

    if (vfs->handles.count == 0 || fstat(fd, &stat) < 0)
        return NULL;
    return map_get2(&vfs->handles, stat.st_dev, stat.st_ino);
}

int vfs_path_only_flags(struct vfs *vfs, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct vfs_handle *handle;

    if (flags < 0 || flags & O_PATH)
        return flags < 0 ? O_PATH : flags;
    handle = vfs_handle_of_fd(vfs, fd);
    return handle ? handle->path_flags : 0;
}

bool vfs_is_path_only(struct vfs *vfs, int fd)
{
    return vfs_path_only_flags(vfs, fd) != 0;
}

static void free_handle(struct vfs_handle *handle)
{
    free(handle);
}

static const struct vfs_handle_ops place_handle_ops = {.release = free_handle};

/*
 * An empty file that nobody can fill, just to carry an identity and a position. Never O_PATH: the
 * host installs no such descriptor in another process (seccomp's ADDFD answers EBADF).
 */
static int new_token(int flags)
{
    cleanup_close int fd = memfd_create("cerebro", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char path[IO_FD_PATH_SIZE];
    int opened;

    if (fd < 0)
        return -errno;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    opened = open(io_fd_path(fd, path), O_CLOEXEC | (flags & O_NONBLOCK));
    return opened < 0 ? -errno : opened;
}

int handle_open_place(struct vfs_place *place, int flags, struct vfs_opened *ret_opened)
{
    cleanup_close int fd = new_token(flags);
    struct vfs_handle *handle;
    int r;

    if (fd < 0)
        return fd;
    handle = calloc(1, sizeof(*handle));
    if (handle == NULL)
        return -ENOMEM;
    handle->ops = &place_handle_ops;
    handle->path_flags = flags & O_PATH ? flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW) : 0;
    r = vfs_handle_register(place->vfs, handle, fd);
    if (r < 0) {
        free(handle);
        return r;
    }
    handle->node = vfs_node_ref(place->node);
    handle->place = vfs_place_ref(place);
    *ret_opened = (struct vfs_opened){.fd = take_fd(&fd), .window = true};
    return 0;
}

void handles_free(struct vfs *vfs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&vfs->handles, &cursor)))
        release_handle(slot->value);
    map_free(&vfs->handles);
}

/* ---- identities ---- */

int vfs_register_identity(struct vfs *vfs, dev_t device, ino_t inode, struct vfs_node *node)
{
    struct vfs_identity *identity = map_get2(&vfs->identities, device, inode);
    int r;

    if (identity) {
        identity->node = node;
        identity->is_origin = false;
        vfs_place_unref(take_ptr(identity->place));
        return 0;
    }
    identity = calloc(1, sizeof(*identity));
    if (identity == NULL)
        return -ENOMEM;
    identity->node = node;
    r = map_set2(&vfs->identities, device, inode, identity);
    if (r < 0)
        free(identity);
    return r;
}

void vfs_forget_identity(struct vfs *vfs, dev_t device, ino_t inode)
{
    struct vfs_identity *identity = map_remove2(&vfs->identities, device, inode);

    if (identity == NULL)
        return;
    vfs_place_unref(identity->place);
    free(identity);
}

int vfs_register_origin(struct vfs *vfs, dev_t device, ino_t inode, struct vfs_node *node)
{
    int r = vfs_register_identity(vfs, device, inode, node);

    if (r == 0)
        ((struct vfs_identity *)map_get2(&vfs->identities, device, inode))->is_origin = true;
    return r;
}

void vfs_forget_origin(struct vfs *vfs, dev_t device, ino_t inode, const struct vfs_node *node)
{
    const struct vfs_identity *identity = map_get2(&vfs->identities, device, inode);

    if (identity && identity->is_origin && identity->node == node)
        vfs_forget_identity(vfs, device, inode);
}

void identities_free(struct vfs *vfs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&vfs->identities, &cursor)))
        free(slot->value);
    map_free(&vfs->identities);
}

/* A counted place of a file whose identity keeps a weak one. */
static int identity_place(struct vfs *vfs, struct vfs_identity *identity,
                          struct vfs_place **ret_place)
{
    struct vfs_place *weak = identity->place;
    struct vfs_place *place;

    place = place_new(vfs, weak ? weak->mount : NULL, vfs_node_ref(identity->node),
                      weak ? weak->path : "/(nameless)",
                      weak ? place_stem(weak) : strlen("/(nameless)"));
    if (place == NULL)
        return -ENOMEM;
    place->deleted = weak ? weak->deleted : true;
    *ret_place = place;
    return 0;
}

/* The place of a host file that was copied, once nothing is known of it by name (consumed). */
static int origin_place(const struct vfs_identity *identity, struct vfs_place *nameless,
                        struct vfs_place **ret_place)
{
    struct vfs_place *place = place_new(nameless->vfs, NULL, vfs_node_ref(identity->node),
                                        nameless->path, place_stem(nameless));

    vfs_place_unref(nameless);
    if (place == NULL)
        return -ENOMEM;
    *ret_place = place;
    return 0;
}

/* ---- remembered directories ---- */

static void forget(struct vfs *vfs, struct vfs_remembered *entry)
{
    map_remove2(&vfs->remembered, entry->device, entry->inode);
    list_remove(&entry->link);
    vfs->remembered_count--;
    vfs_place_unref(entry->place);
    free(entry);
}

void remembered_free(struct vfs *vfs)
{
    while (!list_is_empty(&vfs->remembered_order))
        forget(vfs, list_entry(vfs->remembered_order.next, struct vfs_remembered, link));
    map_free(&vfs->remembered);
    map_free(&vfs->altered);
}

/* Remembering is a shortcut: where memory is short it is simply not done. */
void vfs_remember_place(struct vfs *vfs, const struct statx *stat, struct vfs_place *place)
{
    dev_t device = makedev(stat->stx_dev_major, stat->stx_dev_minor);
    struct vfs_remembered *entry = map_get2(&vfs->remembered, device, stat->stx_ino);

    if (entry && entry->place == place)
        return;
    if (entry)
        forget(vfs, entry);
    if (vfs->remembered_count >= VFS_REMEMBERED_MAX)
        forget(vfs, list_entry(vfs->remembered_order.next, struct vfs_remembered, link));
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return;
    entry->device = device;
    entry->inode = stat->stx_ino;
    if (map_set2(&vfs->remembered, device, stat->stx_ino, entry) < 0) {
        free(entry);
        return;
    }
    entry->place = vfs_place_ref(place);
    list_append(&vfs->remembered_order, &entry->link);
    vfs->remembered_count++;
}

/* The node must still be that object: an inode number can come back when nothing holds it. */
static bool is_still(const struct vfs_remembered *entry)
{
    struct vfs_node *node = entry->place->node;
    struct stat stat;
    int fd;

    if (!vfs_is_host_node(node))
        return true; /* the file system holds what it was opened on */
    fd = vfs_host_node_fd(node);
    return fd >= 0 && fstat(fd, &stat) == 0 && stat.st_dev == entry->device &&
           stat.st_ino == entry->inode;
}

static struct vfs_place *recall(struct vfs *vfs, dev_t device, ino_t inode)
{
    struct vfs_remembered *entry = map_get2(&vfs->remembered, device, inode);

    if (entry == NULL)
        return NULL;
    if (!is_still(entry)) {
        forget(vfs, entry);
        return NULL;
    }
    list_remove(&entry->link);
    list_append(&vfs->remembered_order, &entry->link);
    return vfs_place_ref(entry->place);
}

/* ---- from a descriptor to a place ---- */

void handle_attach_place(struct vfs_place *place, const struct vfs_opened *opened)
{
    struct vfs *vfs = place->vfs;
    struct vfs_identity *identity;
    struct vfs_handle *handle;
    struct statx stat;
    dev_t device;

    if (opened->fd < 0 || statx(opened->fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) < 0)
        return;
    device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    handle = map_get2(&vfs->handles, device, stat.stx_ino);
    if (handle && handle->place == NULL)
        handle->place = vfs_place_ref(place);
    if (handle)
        return;
    identity = map_get2(&vfs->identities, device, stat.stx_ino);
    /* An overlay wraps the node of its upper: then the wrapper is what the guest has opened. */
    if (identity && !identity->is_origin && (identity->place == NULL || identity->place->deleted)) {
        vfs_place_unref(identity->place);
        identity->place = place_new_weak(place);
    }
    if (identity == NULL && S_ISDIR(stat.stx_mode) && place->mount)
        vfs_remember_place(vfs, &stat, place);
}

int vfs_place_of_fd(struct vfs *vfs, int fd, struct vfs_place **ret_place)
{
    struct vfs_identity *identity;
    struct vfs_handle *handle;
    struct vfs_place *place;
    struct stat stat;
    int r;

    vfs->epoch++;
    if (fstat(fd, &stat) < 0)
        return -errno;
    handle = map_get2(&vfs->handles, stat.st_dev, stat.st_ino);
    if (handle && handle->place) {
        *ret_place = vfs_place_ref(handle->place);
        return 0;
    }
    identity = map_get2(&vfs->identities, stat.st_dev, stat.st_ino);
    if (identity && !identity->is_origin)
        return identity_place(vfs, identity, ret_place);
    place = recall(vfs, stat.st_dev, stat.st_ino);
    if (place) {
        *ret_place = place;
        return 0;
    }
    r = describe_place(vfs, fd, &stat, &place);
    if (r < 0)
        return r;
    /* Hard links are copied one by one, so the name of this very descriptor was asked first. */
    if (identity && place->mount == NULL)
        return origin_place(identity, place, ret_place);
    *ret_place = place;
    return 0;
}

void vfs_note_altered(struct vfs *vfs, dev_t device, ino_t inode)
{
    if (map_set2(&vfs->altered, device, inode, vfs) < 0)
        vfs->distrusts_descriptors = true;
}

void vfs_distrust_descriptors(struct vfs *vfs)
{
    vfs->distrusts_descriptors = true;
}

/*
 * Owners that the host refused to set are recorded beside the files of the user who runs us, so
 * those files are looked up by name. Devices too: ttyname(3) compares the numbers with those of
 * the name in /dev.
 */
static bool tells_all(struct vfs *vfs, const struct statx *stat)
{
    dev_t device = makedev(stat->stx_dev_major, stat->stx_dev_minor);
    uid_t runner = vfs->kernel->host_identity.uid;

    return !vfs->distrusts_descriptors &&
           (S_ISREG(stat->stx_mode) || S_ISFIFO(stat->stx_mode) || S_ISSOCK(stat->stx_mode)) &&
           !(vfs->kernel->config.virtual_identity && runner != 0 && stat->stx_uid == runner) &&
           !map_get2(&vfs->handles, device, stat->stx_ino) &&
           !map_get2(&vfs->identities, device, stat->stx_ino) &&
           !map_get2(&vfs->altered, device, stat->stx_ino);
}

int vfs_stat_fd(struct vfs *vfs, int fd, struct statx *ret_stat)
{
    cleanup_place struct vfs_place *place = NULL;
    struct statx stat;
    int r;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stat) < 0)
        return -errno;
    if (tells_all(vfs, &stat)) {
        stat.stx_uid = vfs_uid_to_guest(vfs, stat.stx_uid);
        stat.stx_gid = vfs_gid_to_guest(vfs, stat.stx_gid);
        *ret_stat = stat;
        return 0;
    }
    r = vfs_place_of_fd(vfs, fd, &place);
    return r < 0 ? r : vfs_stat(place, ret_stat);
}

int vfs_directory_of_fd(struct vfs *vfs, int fd, struct vfs_place **ret_place)
{
    struct vfs_place *place;
    int r = vfs_place_of_fd(vfs, fd, &place);

    if (r < 0)
        return r;
    if (!S_ISDIR(place->node->type)) {
        vfs_place_unref(place);
        return -ENOTDIR;
    }
    *ret_place = place;
    return 0;
}

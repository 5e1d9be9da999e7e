/*
 * Lookup beneath a host directory. One openat2() answers a whole path that has no symbolic link in
 * it. Links near the root ("lib", "bin") are learned, so that later lookups read the link first
 * instead of failing first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vfs/host-internal.h"

/* openat2() answers EAGAIN when any rename on the machine raced with a scoped walk. */
#define AGAIN_MAX 8

int host_open_beneath(int base_fd, const char *rel, int flags, uint64_t more_resolve)
{
    struct open_how how = {
        .flags = (uint64_t)flags,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | more_resolve,
    };

    for (int i = 0; i < AGAIN_MAX; i++) {
        long fd = syscall(SYS_openat2, base_fd, rel, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

/* Reads a link's text into a malloc'ed string. `name` "" is the descriptor itself. */
static int read_link(int fd, const char *name, char **ret_target)
{
    char text[VFS_PATH_MAX];
    ssize_t length = readlinkat(fd, name, text, sizeof(text) - 1);
    char *target;

    if (length < 0)
        return -errno;
    text[length] = '\0';
    target = malloc((size_t)length + 1);
    if (target == NULL)
        return -ENOMEM;
    memcpy(target, text, (size_t)length + 1);
    *ret_target = target;
    return 0;
}

static uint64_t hash_bytes(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ULL;
    return hash;
}

static struct host_link *link_slot(struct host_fs *fs, uint64_t hash)
{
    return &fs->links[(hash ^ (hash >> 17)) & (HOST_LINKS - 1)];
}

static void forget_link(struct host_fs *fs, struct host_link *slot)
{
    if (slot->prefix)
        fs->link_count--;
    free(slot->prefix);
    free(slot->target);
    *slot = (struct host_link){0};
}

static void learn_link(struct host_fs *fs, const char *rel, size_t length)
{
    uint64_t hash = hash_bytes(0, rel, length);
    struct host_link *slot = link_slot(fs, hash);
    char *prefix = strndup(rel, length);

    if (prefix == NULL)
        return;
    forget_link(fs, slot);
    fs->link_count++;
    *slot = (struct host_link){.hash = hash, .prefix = prefix};
}

static int reread_link(int root_fd, const char *prefix, char **ret_target)
{
    int fd;
    int r;

    if (strchr(prefix, '/') == NULL)
        return read_link(root_fd, prefix, ret_target);
    fd = host_open_beneath(root_fd, prefix, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = read_link(fd, "", ret_target);
    base_close(fd);
    return r;
}

/* Watches the link before it is read, so that its text holds until something is told of. */
static void watch_link(struct host_fs *fs, int root_fd, struct host_link *slot, uint64_t generation,
                       const struct vfs_actor *actor)
{
    const char *slash = strrchr(slot->prefix, '/');
    const char *name = slash ? slash + 1 : slot->prefix;
    int fd = root_fd;

    if (slash)
        fd = host_cache_directory(host_node_of(fs->fs.root), slot->prefix,
                                  (size_t)(slash - slot->prefix), actor);
    free(take_ptr(slot->target));
    if (fd < 0 || !host_watch_add(fs->fs.vfs, fd, name, false) ||
        read_link(fd, name, &slot->target) < 0)
        return;
    slot->generation = generation;
}

/* The text of a learned link as it is now. */
static int link_text(struct host_fs *fs, int root_fd, struct host_link *slot,
                     const struct vfs_actor *actor, char **ret_target)
{
    uint64_t generation = host_watch_generation(fs->fs.vfs);

    if (generation == 0)
        return reread_link(root_fd, slot->prefix, ret_target);
    if (slot->target == NULL || slot->generation != generation)
        watch_link(fs, root_fd, slot, generation, actor);
    if (slot->target == NULL)
        return reread_link(root_fd, slot->prefix, ret_target);
    *ret_target = strdup(slot->target);
    return *ret_target ? 0 : -ENOMEM;
}

/* A learned link on the way of `rel`. True: the lookup is answered. */
static bool recall_link(struct host_fs *fs, int root_fd, const char *rel, struct vfs_lookup *lookup)
{
    uint64_t hash = 0;

    for (size_t i = 0;; i++) {
        bool end = rel[i] == '\0';

        if (rel[i] == '/' || end) {
            struct host_link *slot = link_slot(fs, hash);

            if (slot->prefix && slot->hash == hash && (!end || lookup->follow_last) &&
                strncmp(slot->prefix, rel, i) == 0 && slot->prefix[i] == '\0') {
                if (link_text(fs, root_fd, slot, lookup->actor, &lookup->target) == 0) {
                    lookup->consumed = i;
                    return true;
                }
                forget_link(fs, slot);
            }
        }
        if (end)
            return false;
        hash = (hash ^ (unsigned char)rel[i]) * 0x100000001b3ULL;
    }
}

static int answer_node(struct host_fs *fs, int fd, const struct statx *stat, bool sealed,
                       struct vfs_lookup *lookup)
{
    int r = host_node_new(fs, fd, stat, &lookup->node);

    if (r < 0)
        return r;
    host_node_of(lookup->node)->sealed = sealed;
    return VFS_LOOKUP_NODE;
}

static int answer_link(struct host_node *base, const char *rel, size_t consumed, int fd,
                       struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);
    int r = read_link(fd, "", &lookup->target);

    if (r < 0)
        return r;
    if (&base->node == fs->fs.root)
        learn_link(fs, rel, consumed);
    lookup->consumed = consumed;
    return VFS_LOOKUP_LINK;
}

/*
 * Component by component: finds the first link, and whether the path enters a forbidden mount. Each
 * step is one openat() of a plain name without following, so it cannot leave the tree.
 */
static int walk_components(struct host_node *base, const char *rel, struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);
    cleanup_close int held = -1;
    int at = host_fd(base);
    const char *name = rel;

    if (at < 0)
        return at;
    for (;;) {
        const char *end = strchrnul(name, '/');
        char component[VFS_NAME_MAX + 1];
        struct statx stat;
        int fd;
        int r;

        if (end - name > VFS_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(component, name, (size_t)(end - name));
        component[end - name] = '\0';
        fd = openat(at, component, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        base_close(held);
        at = held = fd;
        r = host_statx(fd, &stat);
        if (r < 0)
            return r;
        if (!host_device_allowed(fs, host_stat_device(&stat), fd))
            return *end || !S_ISDIR(stat.stx_mode)
                       ? -ENOENT
                       : answer_node(fs, take_fd(&held), &stat, true, lookup);
        if (S_ISLNK(stat.stx_mode) && (*end || lookup->follow_last))
            return answer_link(base, rel, (size_t)(end - rel), fd, lookup);
        if (*end == '\0')
            return answer_node(fs, take_fd(&held), &stat, false, lookup);
        name = end + 1;
    }
}

/* An openat2() has met a link. It is often the last component (libfoo.so), else near the root. */
static int find_link(struct host_node *base, int base_fd, const char *rel,
                     struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);
    cleanup_close int fd = -1;
    struct statx stat;

    if (lookup->follow_last)
        fd = host_open_beneath(base_fd, rel, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd >= 0 && host_statx(fd, &stat) == 0 && S_ISLNK(stat.stx_mode) &&
        host_stat_device(&stat) == fs->device)
        return answer_link(base, rel, strlen(rel), fd, lookup);
    return walk_components(base, rel, lookup);
}

/* A link as last component, in a directory at hand. */
static int follow_name(struct host_node *base, int directory_fd, const char *rel, const char *name,
                       struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);

    if (read_link(directory_fd, name, &lookup->target) < 0)
        return HOST_NOT_TAKEN; /* it is no link any more */
    lookup->consumed = strlen(rel);
    if (&base->node == fs->fs.root)
        learn_link(fs, rel, lookup->consumed);
    return VFS_LOOKUP_LINK;
}

static bool is_removed(int directory_fd)
{
    struct stat stat;

    return fstat(directory_fd, &stat) < 0 || stat.st_nlink == 0;
}

/* The directory in which the last component of `rel` is to be looked at; -1: it is not at hand. */
static int directory_at_hand(struct host_node *base, int base_fd, const char *rel,
                             const char *slash, const struct vfs_lookup *lookup)
{
    if (slash == NULL)
        return base_fd;
    if (!lookup->only_look)
        return -1; /* what needs a descriptor in the end gets it by one walk */
    return host_cache_directory(base, rel, (size_t)(slash - rel), lookup->actor);
}

/*
 * A name in a directory at hand needs no descriptor to be looked at, and most names are only looked
 * at. Not so directories: somebody may keep one as its place, and then it has to stay the same one
 * when it is renamed. Returns HOST_NOT_TAKEN when it takes more than a look.
 */
static int look_at_name(struct host_node *base, int base_fd, const char *rel,
                        struct vfs_lookup *lookup)
{
    struct host_fs *fs = host_fs_of(&base->node);
    const char *slash = strrchr(rel, '/');
    const char *name = slash ? slash + 1 : rel;
    int fd = directory_at_hand(base, base_fd, rel, slash, lookup);
    struct statx stat;
    int r;

    if (fd < 0)
        return HOST_NOT_TAKEN;
    if (statx(fd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stat) < 0) {
        r = -errno;
        if (slash == NULL || r != -ENOENT || !is_removed(fd))
            return r;
        host_cache_forget(fs, fd);
        return HOST_NOT_TAKEN;
    }
    if (host_stat_device(&stat) != fs->device || (S_ISDIR(stat.stx_mode) && !lookup->only_look))
        return HOST_NOT_TAKEN;
    if (S_ISLNK(stat.stx_mode) && lookup->follow_last)
        return follow_name(base, fd, rel, name, lookup);
    r = host_node_new_lazy(fs, base, rel, &stat, &lookup->node);
    return r < 0 ? r : VFS_LOOKUP_NODE;
}

int host_lookup(struct vfs_node *base_node, const char *rel, struct vfs_lookup *lookup)
{
    struct host_node *base = host_node_of(base_node);
    struct host_fs *fs = host_fs_of(base_node);
    int base_fd = host_fd(base);
    struct statx stat;
    int fd;
    int r;

    if (base->sealed)
        return -ENOENT;
    if (base_fd < 0)
        return base_fd;

    cleanup_acting struct host_acting acting = host_act(base_node->fs->vfs, lookup->actor);

    if (base_node == fs->fs.root && fs->link_count && recall_link(fs, base_fd, rel, lookup))
        return VFS_LOOKUP_LINK;
    if (lookup->open_flags >= 0 && !fs->careful) {
        r = host_open_direct(base, rel, lookup);
        if (r != HOST_NOT_TAKEN)
            return r;
    }
    if (lookup->open_flags < 0) {
        r = look_at_name(base, base_fd, rel, lookup);
        if (r != HOST_NOT_TAKEN)
            return r;
    }
    fd = host_open_beneath(base_fd, rel,
                           O_PATH | O_CLOEXEC | (lookup->follow_last ? 0 : O_NOFOLLOW), 0);
    if (fd == -ELOOP)
        return find_link(base, base_fd, rel, lookup);
    if (fd == -EAGAIN || fd == -ENOSYS || fd == -EPERM)
        return walk_components(base, rel, lookup);
    if (fd < 0)
        return fd;
    r = host_statx(fd, &stat);
    if (r == 0 &&
        (host_stat_device(&stat) == fs->device || map_get(&fs->verdicts, host_stat_device(&stat))))
        return answer_node(fs, fd, &stat, false, lookup);
    base_close(fd);
    return r < 0 ? r : walk_components(base, rel, lookup);
}

/*
 * Directories below the root of a host file system that are walked through again and again, each
 * with its O_PATH descriptor: the last component is then all that has to be looked up.
 *
 * A slot is good as long as every directory on the way to it is where it was, and may be searched
 * by the same people: all of them are watched (host-watch.c), each before it was opened. A removed
 * directory sends no event while we hold it, but nothing is found in it any more; whoever finds
 * nothing asks whether it is removed.
 *
 * Only what cannot change behind the host kernel's back is kept: local file systems, one mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vfs/host-internal.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

#define DIRECTORIES 64 /* descriptors held; a power of two */
#define CANDIDATES  256
#define LOOKS_FIRST 4 /* at the same directory before it is kept */
#define LOOKS_MAX   1024
#define REFUSED     UINT32_MAX

struct directory {
    uint64_t hash;
    uint64_t rights; /* of the actor who walked there */
    dev_t device;    /* of the base */
    ino_t inode;
    char *rel; /* from the base; NULL: free */
    int fd;
};

struct host_cache {
    uint64_t generation; /* of all slots */
    unsigned looks;      /* at a directory before it is kept: rises where much is renamed */
    unsigned hits;       /* in this generation */
    bool unusable;       /* not that kind of file system */
    struct directory directories[DIRECTORIES];
    struct {
        uint64_t hash;
        uint32_t looks;
    } candidates[CANDIDATES];
};

/* What a walk is asked for: the way is only the same for one who may search the same directories.
 */
struct way {
    struct host_node *base;
    const char *rel;
    size_t length;
    uint64_t hash;
    uint64_t rights;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 29);
}

static uint64_t rights_of(const struct vfs_actor *actor)
{
    const struct pk_identity *identity = actor->identity;
    uint64_t hash = mix(identity->effective, (uint64_t)identity->fsuid << 32 | identity->fsgid);

    for (unsigned i = 0; i < identity->group_count; i++)
        hash = mix(hash, identity->groups[i]);
    return hash;
}

static uint64_t hash_of(const struct way *way, size_t length)
{
    const char *text = way->rel;
    uint64_t hash = mix(way->rights, way->base->inode ^ length);
    uint64_t word = 0;

    for (; length >= sizeof(word); text += sizeof(word), length -= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, text, length);
    return mix(hash, word);
}

static struct directory *slot_of(struct host_cache *cache, uint64_t hash)
{
    return &cache->directories[(hash >> 32) & (DIRECTORIES - 1)];
}

static void clear(struct directory *slot)
{
    if (slot->rel == NULL)
        return;
    base_close(slot->fd);
    free(slot->rel);
    *slot = (struct directory){.fd = -1};
}

static bool is_slot_of(const struct directory *slot, const struct way *way, size_t length)
{
    return slot->rel && slot->rights == way->rights && slot->inode == way->base->inode &&
           slot->device == way->base->device && strncmp(slot->rel, way->rel, length) == 0 &&
           slot->rel[length] == '\0';
}

/* Everything may be otherwise now. Where that happens often, less is kept. */
static void start_over(struct host_cache *cache, uint64_t generation)
{
    if (cache->hits >= LOOKS_MAX)
        cache->looks = LOOKS_FIRST;
    else if (cache->generation && cache->looks < LOOKS_MAX)
        cache->looks *= 2;
    cache->generation = generation;
    cache->hits = 0;
    for (size_t i = 0; i < DIRECTORIES; i++)
        clear(&cache->directories[i]);
    memset(cache->candidates, 0, sizeof(cache->candidates));
}

static bool is_local(int fd)
{
    struct statfs facts;

    if (fstatfs(fd, &facts) < 0)
        return false;
    switch ((uint32_t)facts.f_type) {
    case EXT4_SUPER_MAGIC: /* and its predecessors */
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

static struct host_cache *cache_of(struct host_fs *fs)
{
    struct host_cache *cache = fs->cache;

    if (cache)
        return cache->unusable ? NULL : cache;
    cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    fs->cache = cache;
    cache->looks = LOOKS_FIRST;
    cache->unusable = !is_local(host_fd(host_node_of(fs->fs.root)));
    return cache->unusable ? NULL : cache;
}

/* Watches first, then opens: what replaces the directory in between is told of. */
static int open_component(struct host_fs *fs, int parent_fd, const char *name)
{
    struct statx stat;
    int fd;

    if (!host_watch_add(fs->fs.vfs, parent_fd, name, true))
        return -1;
    fd = host_open_beneath(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           RESOLVE_NO_XDEV);
    if (fd < 0)
        return -1;
    if (host_statx(fd, &stat) < 0 || host_stat_device(&stat) != fs->device) {
        base_close(fd);
        return -1;
    }
    return fd;
}

static int fill(struct host_fs *fs, const struct way *way, size_t length);

/* The directory in which the last of `length` bytes lies, and where its name begins. */
static int parent_of(struct host_fs *fs, const struct way *way, size_t length, size_t *ret_name)
{
    size_t start = length;

    while (start > 0 && way->rel[start - 1] != '/')
        start--;
    *ret_name = start;
    return start == 0 ? host_fd(way->base) : fill(fs, way, start - 1);
}

/*
 * Finds or makes the slot of the first `length` bytes, and those on the way. A slot that has to
 * give way to another on the same way was watched all the same.
 */
static int fill(struct host_fs *fs, const struct way *way, size_t length)
{
    uint64_t hash = hash_of(way, length);
    struct directory *slot = slot_of(fs->cache, hash);
    char name[VFS_NAME_MAX + 1];
    size_t start;
    int parent;
    int fd;

    if (is_slot_of(slot, way, length))
        return slot->fd;
    parent = parent_of(fs, way, length, &start);
    if (parent < 0 || length - start > VFS_NAME_MAX)
        return -1;
    memcpy(name, way->rel + start, length - start);
    name[length - start] = '\0';
    fd = open_component(fs, parent, name);
    if (fd < 0)
        return -1;
    clear(slot);
    *slot = (struct directory){.hash = hash,
                               .rights = way->rights,
                               .device = way->base->device,
                               .inode = way->base->inode,
                               .rel = strndup(way->rel, length),
                               .fd = fd};
    if (slot->rel == NULL) {
        slot->fd = -1;
        base_close(fd);
        return -1;
    }
    return fd;
}

/* Not at hand yet: is it asked for often enough to be? */
static int admit(struct host_fs *fs, const struct way *way)
{
    struct host_cache *cache = fs->cache;
    size_t index = (way->hash >> 40) % CANDIDATES;
    int fd;

    if (cache->candidates[index].hash != way->hash) {
        cache->candidates[index].hash = way->hash;
        cache->candidates[index].looks = 0;
    }
    if (cache->candidates[index].looks == REFUSED ||
        ++cache->candidates[index].looks < cache->looks)
        return -1;
    fd = fill(fs, way, way->length);
    if (fd < 0)
        cache->candidates[index].looks = REFUSED;
    return fd;
}

int host_cache_directory(struct host_node *base, const char *rel, size_t length,
                         const struct vfs_actor *actor)
{
    struct host_fs *fs = host_fs_of(&base->node);
    uint64_t generation = host_watch_generation(fs->fs.vfs);
    struct host_cache *cache;
    struct directory *slot;
    struct way way;

    if (generation == 0 || base->device != fs->device)
        return -1;
    cache = cache_of(fs);
    if (cache == NULL)
        return -1;
    if (cache->generation != generation)
        start_over(cache, generation);
    way = (struct way){.base = base, .rel = rel, .length = length, .rights = rights_of(actor)};
    way.hash = hash_of(&way, length);
    slot = slot_of(cache, way.hash);
    if (slot->hash == way.hash && is_slot_of(slot, &way, length)) {
        cache->hits++;
        return slot->fd;
    }
    return admit(fs, &way);
}

void host_cache_forget(struct host_fs *fs, int fd)
{
    for (size_t i = 0; i < DIRECTORIES; i++)
        if (fs->cache->directories[i].rel && fs->cache->directories[i].fd == fd)
            clear(&fs->cache->directories[i]);
}

void host_cache_free(struct host_fs *fs)
{
    if (fs->cache == NULL)
        return;
    for (size_t i = 0; i < DIRECTORIES; i++)
        clear(&fs->cache->directories[i]);
    free(fs->cache);
    fs->cache = NULL;
}

#include "linux/elf-cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

#define ENTRIES 32

/* Time stamps of a file move in steps of a timer tick, at most 10 ms; this is well above it. */
#define SETTLED_NS 100000000LL

struct entry {
    struct stat stat; /* identity and time stamps of the file */
    enum elf_role role;
    uint64_t used; /* 0: free; else larger is more recent */
    struct elf_image image;
};

struct linux_elf_cache {
    struct entry entries[ENTRIES];
    uint64_t clock;
};

struct linux_elf_cache *elf_cache_new(void)
{
    return calloc(1, sizeof(struct linux_elf_cache));
}

void elf_cache_free(struct linux_elf_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < ENTRIES; i++)
        elf_image_release(&cache->entries[i].image);
    free(cache);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

static struct entry *find(struct linux_elf_cache *cache, const struct stat *stat,
                          enum elf_role role)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *entry = &cache->entries[i];

        if (entry->used && entry->role == role && is_unchanged(&entry->stat, stat))
            return entry;
    }
    return NULL;
}

bool elf_cache_has(struct linux_elf_cache *cache, const struct stat *stat)
{
    return cache && find(cache, stat, ELF_PROGRAM);
}

static struct entry *oldest(struct linux_elf_cache *cache)
{
    struct entry *found = &cache->entries[0];

    for (size_t i = 1; i < ENTRIES; i++)
        if (cache->entries[i].used < found->used)
            found = &cache->entries[i];
    return found;
}

static bool is_settled(const struct stat *stat)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (now.tv_sec - stat->st_ctim.tv_sec) * 1000000000LL + now.tv_nsec - stat->st_ctim.tv_nsec;
    return age > SETTLED_NS;
}

static void remember(struct linux_elf_cache *cache, const struct stat *stat, enum elf_role role,
                     const struct elf_image *image)
{
    struct entry *entry = oldest(cache);

    elf_image_release(&entry->image);
    entry->used = 0;
    if (elf_image_copy(image, &entry->image) < 0)
        return;
    entry->stat = *stat;
    entry->role = role;
    entry->used = ++cache->clock;
}

int elf_cache_parse(struct linux_elf_cache *cache, int fd, const struct stat *stat,
                    enum elf_role role, struct elf_image *ret_image, const char **ret_reason)
{
    struct entry *entry = cache ? find(cache, stat, role) : NULL;
    struct elf_source source = elf_source_fd(&fd, (uint64_t)stat->st_size);
    int r;

    if (entry) {
        entry->used = ++cache->clock;
        return elf_image_copy(&entry->image, ret_image);
    }
    r = elf_parse(&source, role, ret_image, ret_reason);
    if (r == 0 && cache && is_settled(stat))
        remember(cache, stat, role, ret_image);
    return r;
}

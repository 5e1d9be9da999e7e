/*
 * Hash maps with open addressing: from a 64-bit number, or from a pair of numbers, to a pointer.
 * The map does not own what it points to. Not thread-safe.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    uint64_t key2;
    void *value; /* NULL: free; MAP_DELETED inside the implementation only */
};

struct map {
    struct map_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;    /* live entries */
    size_t used;     /* live and deleted entries */
};

/* Starts empty; allocates nothing until the first entry. A zeroed map is an empty map. */
void map_init(struct map *map);

/* Frees the table, not the values. */
void map_free(struct map *map);

/* Returns the value of a key, NULL when there is none. */
void *map_get(const struct map *map, uint64_t key);
void *map_get2(const struct map *map, uint64_t key, uint64_t key2);

/* Sets the value (not NULL) of a key, replacing an older one. Returns 0 or -ENOMEM. */
int map_set(struct map *map, uint64_t key, void *value);
int map_set2(struct map *map, uint64_t key, uint64_t key2, void *value);

/* Removes a key and returns its value, NULL when there was none. */
void *map_remove(struct map *map, uint64_t key);
void *map_remove2(struct map *map, uint64_t key, uint64_t key2);

/*
 * Walks all entries: start with *cursor = 0; returns NULL at the end. Removing the entry just
 * returned is allowed, adding is not.
 */
struct map_slot *map_next(const struct map *map, size_t *cursor);

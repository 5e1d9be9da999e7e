#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Any address that can never be a caller's value. */
static char deleted_mark;
#define MAP_DELETED ((void *)&deleted_mark)

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15ULL)) * 0xff51afd7ed558ccdULL;

    return h ^ (h >> 32);
}

void map_init(struct map *map)
{
    memset(map, 0, sizeof(*map));
}

void map_free(struct map *map)
{
    free(map->slots);
    map_init(map);
}

static struct map_slot *find(const struct map *map, uint64_t key, uint64_t key2)
{
    if (map->capacity == 0)
        return NULL;
    for (size_t i = mix(key, key2);; i++) {
        struct map_slot *slot = &map->slots[i & (map->capacity - 1)];

        if (slot->value == NULL)
            return NULL;
        if (slot->value != MAP_DELETED && slot->key == key && slot->key2 == key2)
            return slot;
    }
}

void *map_get2(const struct map *map, uint64_t key, uint64_t key2)
{
    struct map_slot *slot = find(map, key, key2);

    return slot ? slot->value : NULL;
}

void *map_get(const struct map *map, uint64_t key)
{
    return map_get2(map, key, 0);
}

static void place(struct map *map, uint64_t key, uint64_t key2, void *value)
{
    for (size_t i = mix(key, key2);; i++) {
        struct map_slot *slot = &map->slots[i & (map->capacity - 1)];

        if (slot->value && slot->value != MAP_DELETED)
            continue;
        if (slot->value == NULL)
            map->used++;
        map->count++;
        *slot = (struct map_slot){key, key2, value};
        return;
    }
}

static int resize(struct map *map, size_t capacity)
{
    struct map old = *map;
    struct map_slot *slots = calloc(capacity, sizeof(*slots));

    if (slots == NULL)
        return -ENOMEM;
    *map = (struct map){.slots = slots, .capacity = capacity};
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].value && old.slots[i].value != MAP_DELETED)
            place(map, old.slots[i].key, old.slots[i].key2, old.slots[i].value);
    free(old.slots);
    return 0;
}

int map_set2(struct map *map, uint64_t key, uint64_t key2, void *value)
{
    struct map_slot *slot = find(map, key, key2);

    if (slot) {
        slot->value = value;
        return 0;
    }
    if ((map->used + 1) * 4 > map->capacity * 3) {
        /* Grow only when live entries need it; otherwise the resize just drops deleted marks. */
        size_t capacity = map->capacity ? map->capacity : 16;
        int r;

        if ((map->count + 1) * 2 > capacity)
            capacity *= 2;
        r = resize(map, capacity);
        if (r < 0)
            return r;
    }
    place(map, key, key2, value);
    return 0;
}

int map_set(struct map *map, uint64_t key, void *value)
{
    return map_set2(map, key, 0, value);
}

void *map_remove2(struct map *map, uint64_t key, uint64_t key2)
{
    struct map_slot *slot = find(map, key, key2);
    void *value;

    if (slot == NULL)
        return NULL;
    value = slot->value;
    slot->value = MAP_DELETED;
    map->count--;
    return value;
}

void *map_remove(struct map *map, uint64_t key)
{
    return map_remove2(map, key, 0);
}

struct map_slot *map_next(const struct map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        struct map_slot *slot = &map->slots[(*cursor)++];

        if (slot->value && slot->value != MAP_DELETED)
            return slot;
    }
    return NULL;
}

#include "vfs/memory-names-internal.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define INDEX_DELETED   UINT32_MAX
#define INDEX_THRESHOLD 12 /* up to here a scan of the hashes is as fast as the index */
#define FIRST_CAPACITY  4

/* FNV-1a: the names are short. */
static uint32_t name_hash(const char *name, size_t length)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619U;
    return hash;
}

struct name_entry *name_table_at(const struct name_table *table, uint64_t slot)
{
    if (slot >= table->used || (table->slots[slot] & 1))
        return NULL;
    return (struct name_entry *)table->slots[slot];
}

static bool entry_is(const struct name_entry *entry, uint32_t hash, const char *name, size_t length)
{
    return entry->hash == hash && entry->length == length && memcmp(entry->name, name, length) == 0;
}

struct name_entry *name_table_find(const struct name_table *table, const char *name, size_t length)
{
    uint32_t hash;

    if (table->count == 0)
        return NULL;
    hash = name_hash(name, length);
    if (!table->index) {
        for (uint32_t i = 0; i < table->used; i++) {
            struct name_entry *entry = name_table_at(table, i);

            if (entry && entry_is(entry, hash, name, length))
                return entry;
        }
        return NULL;
    }
    for (uint32_t i = hash & (table->index_capacity - 1); table->index[i];
         i = (i + 1) & (table->index_capacity - 1)) {
        struct name_entry *entry;

        if (table->index[i] == INDEX_DELETED)
            continue;
        entry = name_table_at(table, table->index[i] - 1);
        if (entry_is(entry, hash, name, length))
            return entry;
    }
    return NULL;
}

static void index_put(struct name_table *table, const struct name_entry *entry)
{
    uint32_t i = entry->hash & (table->index_capacity - 1);

    while (table->index[i])
        i = (i + 1) & (table->index_capacity - 1);
    table->index[i] = entry->slot + 1;
    table->index_used++;
}

/* Makes room for one more entry in the index, building it once the table has grown. */
static int index_reserve(struct name_table *table)
{
    uint32_t capacity = 32;
    uint32_t *index;

    if (table->count < INDEX_THRESHOLD && !table->index)
        return 0;
    if (table->index && (table->index_used + 1) * 4 <= table->index_capacity * 3)
        return 0;
    while (capacity < (table->count + 1) * 2)
        capacity *= 2;
    index = calloc(capacity, sizeof(*index));
    if (!index)
        return -ENOMEM;
    free(table->index);
    table->index = index;
    table->index_capacity = capacity;
    table->index_used = 0;
    for (uint32_t i = 0; i < table->used; i++) {
        if (name_table_at(table, i))
            index_put(table, name_table_at(table, i));
    }
    return 0;
}

static void index_drop(struct name_table *table, const struct name_entry *entry)
{
    if (!table->index)
        return;
    for (uint32_t i = entry->hash & (table->index_capacity - 1); table->index[i];
         i = (i + 1) & (table->index_capacity - 1)) {
        if (table->index[i] == entry->slot + 1) {
            table->index[i] = INDEX_DELETED;
            return;
        }
    }
}

static int slots_reserve(struct name_table *table)
{
    uint32_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
    uintptr_t *slots;

    if (table->free_slot || table->used < table->capacity)
        return 0;
    slots = reallocarray(table->slots, capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

static uint32_t slot_take(struct name_table *table)
{
    uint32_t slot;

    if (!table->free_slot)
        return table->used++;
    slot = table->free_slot - 1;
    table->free_slot = (uint32_t)(table->slots[slot] >> 1);
    return slot;
}

static struct name_entry *entry_new(const char *name, size_t length, void *value)
{
    struct name_entry *entry = malloc(sizeof(*entry) + length + 1);

    if (!entry)
        return NULL;
    entry->value = value;
    entry->hash = name_hash(name, length);
    entry->length = (unsigned char)length;
    memcpy(entry->name, name, length);
    entry->name[length] = '\0';
    return entry;
}

static void entry_place(struct name_table *table, struct name_entry *entry, uint32_t slot)
{
    entry->slot = slot;
    table->slots[slot] = (uintptr_t)entry;
    if (table->index)
        index_put(table, entry);
}

struct name_entry *name_table_add(struct name_table *table, const char *name, size_t length,
                                  void *value)
{
    struct name_entry *entry;

    if (slots_reserve(table) < 0 || index_reserve(table) < 0)
        return NULL;
    entry = entry_new(name, length, value);
    if (!entry)
        return NULL;
    entry_place(table, entry, slot_take(table));
    table->count++;
    return entry;
}

void name_table_remove(struct name_table *table, struct name_entry *entry)
{
    index_drop(table, entry);
    table->slots[entry->slot] = (uintptr_t)table->free_slot << 1 | 1;
    table->free_slot = entry->slot + 1;
    table->count--;
    free(entry);
}

int name_table_rename(struct name_table *table, struct name_entry *entry, const char *name,
                      size_t length)
{
    struct name_entry *renamed;
    uint32_t slot = entry->slot;

    if (index_reserve(table) < 0)
        return -ENOMEM;
    renamed = entry_new(name, length, entry->value);
    if (!renamed)
        return -ENOMEM;
    index_drop(table, entry);
    free(entry);
    entry_place(table, renamed, slot);
    return 0;
}

void name_table_free(struct name_table *table)
{
    for (uint32_t i = 0; i < table->used; i++)
        free(name_table_at(table, i));
    free(table->slots);
    free(table->index);
    memset(table, 0, sizeof(*table));
}

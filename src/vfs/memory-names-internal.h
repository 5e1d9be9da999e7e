/*
 * The table of names of one directory in memory: found by hash, listed by slot number. A slot
 * number never changes while its entry lives, and slots of removed entries are used again, so that
 * a directory position stays valid while entries come and go (readdir(3) asks no more than that).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct name_entry {
    void *value; /* not owned */
    uint32_t hash;
    uint32_t slot;
    unsigned char length;
    char name[];
};

struct name_table {
    uintptr_t *slots; /* entry, or (next free slot + 1) << 1 | 1 */
    uint32_t *index;  /* open addressing: slot + 1, 0 free, UINT32_MAX deleted; NULL while small */
    uint32_t used;    /* slots in use or on the free list */
    uint32_t capacity;
    uint32_t count;          /* live entries */
    uint32_t index_capacity; /* 0 or a power of two */
    uint32_t index_used;     /* live and deleted */
    uint32_t free_slot;      /* first of the free list + 1; 0: none */
};

/* A zeroed table is an empty one. Frees entries and table, not the values. */
void name_table_free(struct name_table *table);

/* Finds a name of `length` bytes (1..255). NULL: there is none. */
struct name_entry *name_table_find(const struct name_table *table, const char *name, size_t length);

/* Adds a name that is not in the table. Returns the entry, NULL: out of memory. */
struct name_entry *name_table_add(struct name_table *table, const char *name, size_t length,
                                  void *value);

/* Takes an entry out and frees it. */
void name_table_remove(struct name_table *table, struct name_entry *entry);

/*
 * Gives an entry another name without moving it to another slot: a rename while the directory is
 * being read neither hides it nor shows it twice. Returns 0 or -ENOMEM. The entry is reallocated.
 */
int name_table_rename(struct name_table *table, struct name_entry *entry, const char *name,
                      size_t length);

/* The entry at a slot, NULL: an empty slot. Slots run from 0 to table->used - 1. */
struct name_entry *name_table_at(const struct name_table *table, uint64_t slot);

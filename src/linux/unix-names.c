#include "linux/unix-names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 512

struct entry {
    uint64_t inode;
    struct unix_name guest;
    struct unix_name real;
};

struct linux_unix {
    struct entry entries[NAMES_MAX]; /* a ring */
    size_t added;                    /* ever */
};

struct linux_unix *unix_names_new(void)
{
    return calloc(1, sizeof(struct linux_unix));
}

void unix_names_free(struct linux_unix *names)
{
    free(names);
}

void unix_names_add(struct linux_unix *names, uint64_t inode, const struct unix_name *guest,
                    const struct unix_name *real)
{
    struct entry *entry = &names->entries[names->added++ % NAMES_MAX];

    *entry = (struct entry){.inode = inode, .guest = *guest, .real = *real};
}

static bool same_name(const struct unix_name *a, const struct unix_name *b)
{
    return a->length == b->length && memcmp(a, b, a->length) == 0;
}

const struct unix_name *unix_names_find(const struct linux_unix *names, uint64_t inode,
                                        const struct unix_name *real)
{
    size_t count = names->added < NAMES_MAX ? names->added : NAMES_MAX;

    for (size_t i = 1; inode && i <= count; i++) {
        const struct entry *entry = &names->entries[(names->added - i) % NAMES_MAX];

        if (entry->inode == inode)
            return &entry->guest;
    }
    for (size_t i = 1; i <= count; i++) {
        const struct entry *entry = &names->entries[(names->added - i) % NAMES_MAX];

        if (same_name(&entry->real, real))
            return &entry->guest;
    }
    return NULL;
}

/* FNV-1a; two of them with different starts make names of one guest practically distinct. */
static uint64_t hash_bytes(const char *bytes, size_t length, uint64_t hash)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
    return hash;
}

void unix_abstract_to_host(const char token[17], const struct unix_name *guest,
                           struct unix_name *ret_host)
{
    const char *name = guest->address.sun_path + 1;
    size_t length = guest->length - UNIX_NAME_HEADER - 1;
    char text[sizeof(guest->address.sun_path)];
    int prefix = snprintf(text, sizeof(text), "cerebro-%s/", token);
    size_t room = sizeof(text) - 1 - (size_t)prefix;

    if (length > room) {
        prefix = snprintf(text, sizeof(text), "cerebro-%s#%016lx%016lx", token,
                          (unsigned long)hash_bytes(name, length, 0xcbf29ce484222325ULL),
                          (unsigned long)hash_bytes(name, length, 0x9ae16a3b2f90404fULL));
        length = 0;
    }
    *ret_host = (struct unix_name){.address.sun_family = AF_UNIX};
    memcpy(ret_host->address.sun_path + 1, text, (size_t)prefix);
    memcpy(ret_host->address.sun_path + 1 + prefix, name, length);
    ret_host->length = (socklen_t)(UNIX_NAME_HEADER + 1 + (size_t)prefix + length);
}

int unix_abstract_to_guest(const char token[17], const struct unix_name *host,
                           struct unix_name *ret_guest)
{
    char text[sizeof(host->address.sun_path)];
    size_t prefix = (size_t)snprintf(text, sizeof(text), "cerebro-%s/", token);
    const char *name = host->address.sun_path + 1;
    size_t length;

    if (host->length < UNIX_NAME_HEADER + 1 + prefix || host->address.sun_path[0] != '\0' ||
        memcmp(name, text, prefix) != 0)
        return false;
    length = host->length - UNIX_NAME_HEADER - 1 - prefix;
    *ret_guest = (struct unix_name){.address.sun_family = AF_UNIX};
    memcpy(ret_guest->address.sun_path + 1, name + prefix, length);
    ret_guest->length = (socklen_t)(UNIX_NAME_HEADER + 1 + length);
    return true;
}

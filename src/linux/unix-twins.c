#include "linux/unix-twins.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/map.h"

#define SWEEP_FIRST 64

struct unix_twins {
    struct map by_inode;
    size_t sweep_at; /* how many may gather before a sweep */
    const char *token;
};

struct unix_twins *unix_twins_new(const char token[17])
{
    struct unix_twins *twins = calloc(1, sizeof(*twins));

    if (twins == NULL)
        return NULL;
    twins->sweep_at = SWEEP_FIRST;
    twins->token = token;
    return twins;
}

static void twin_free(struct unix_twin *twin)
{
    if (twin == NULL)
        return;
    base_close(twin->fd);
    free(twin);
}

void unix_twins_free(struct unix_twins *twins)
{
    struct map_slot *slot;
    size_t cursor = 0;

    if (twins == NULL)
        return;
    while ((slot = map_next(&twins->by_inode, &cursor)))
        twin_free(slot->value);
    map_free(&twins->by_inode);
    free(twins);
}

/* ---- twins of sockets that are gone ---- */

/*
 * Notes which inode numbers the host's list of AF_UNIX sockets has: "Num RefCount Protocol Flags
 * Type St Inode Path" (net/unix/af_unix.c). A socket on its way in another one is there, too.
 */
static int note_living(const struct unix_twins *twins, struct map *living)
{
    cleanup_file FILE *list = fopen("/proc/net/unix", "re");
    char line[512];
    unsigned long inode;
    int r = 0;

    if (list == NULL)
        return -errno;
    while (r == 0 && fgets(line, sizeof(line), list)) {
        struct unix_twin *twin;

        if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu", &inode) != 1)
            continue;
        twin = unix_twins_find(twins, inode);
        r = twin ? map_set(living, inode, twin) : 0;
    }
    return r < 0 ? r : ferror(list) ? -EIO : 0;
}

static void sweep(struct unix_twins *twins)
{
    struct map living = {0};
    struct map_slot *slot;
    size_t cursor = 0;

    if (note_living(twins, &living) == 0)
        while ((slot = map_next(&twins->by_inode, &cursor)))
            if (!map_get(&living, slot->key))
                twin_free(map_remove(&twins->by_inode, slot->key));
    map_free(&living);
    twins->sweep_at = SWEEP_FIRST + 2 * twins->by_inode.count;
}

/* ---- making and finding ---- */

static int prefix_of(const struct unix_twins *twins, char text[64])
{
    return snprintf(text, 64, "cerebro-%s~", twins->token);
}

static int bind_twin(const struct unix_twins *twins, const struct unix_twin *twin)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = prefix_of(twins, address.sun_path + 1);

    length += snprintf(address.sun_path + 1 + length, 20, "%lx", (unsigned long)twin->inode);
    return bind(twin->fd, (struct sockaddr *)&address,
                (socklen_t)(UNIX_NAME_HEADER + 1 + (size_t)length)) < 0
               ? -errno
               : 0;
}

static int fill_in(struct unix_twins *twins, int fd, struct unix_twin *twin)
{
    struct stat stat;

    if (fstat(fd, &stat) < 0 || shutdown(fd, SHUT_WR) < 0)
        return -errno;
    twin->inode = stat.st_ino;
    twin_free(map_remove(&twins->by_inode, twin->inode)); /* of a socket that is gone */
    twin->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return twin->fd < 0 ? -errno : bind_twin(twins, twin);
}

int unix_twins_add(struct unix_twins *twins, int fd)
{
    struct unix_twin *twin = calloc(1, sizeof(*twin));
    int r;

    if (twin == NULL)
        return -ENOMEM;
    if (twins->by_inode.count >= twins->sweep_at)
        sweep(twins);
    twin->fd = -1;
    r = fill_in(twins, fd, twin);
    if (r == 0)
        r = map_set(&twins->by_inode, twin->inode, twin);
    if (r < 0)
        twin_free(twin);
    return r;
}

struct unix_twin *unix_twins_find(const struct unix_twins *twins, uint64_t inode)
{
    return map_get(&twins->by_inode, inode);
}

bool unix_twins_is_name(const struct unix_twins *twins, const struct unix_name *name,
                        struct unix_twin **ret_twin)
{
    char prefix[64], digits[17] = "";
    size_t length = (size_t)prefix_of(twins, prefix);
    const char *text = name->address.sun_path + 1;
    size_t rest;

    if (name->length <= UNIX_NAME_HEADER + 1 + length || name->address.sun_path[0] != '\0' ||
        memcmp(text, prefix, length) != 0)
        return false;
    rest = name->length - UNIX_NAME_HEADER - 1 - length;
    if (rest >= sizeof(digits))
        return false;
    memcpy(digits, text + length, rest);
    *ret_twin = unix_twins_find(twins, strtoul(digits, NULL, 16));
    return true;
}

struct unix_twin *unix_twins_named(const struct unix_twins *twins, const struct unix_name *real)
{
    struct unix_twin *twin;
    struct map_slot *slot;
    size_t cursor = 0;

    if (unix_twins_is_name(twins, real, &twin))
        return twin;
    while ((slot = map_next(&twins->by_inode, &cursor))) {
        twin = slot->value;
        if (twin->real.length == real->length && !memcmp(&twin->real, real, real->length))
            return twin;
    }
    return NULL;
}

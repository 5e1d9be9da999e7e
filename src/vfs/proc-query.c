/*
 * PROCMAP_QUERY, the ioctl of /proc/PID/maps that finds one mapping (Linux 6.11): answered from the
 * text that the file shows, so that it names what the guest knows by the names that it knows.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/request.h"
#include "vfs/proc-internal.h"

/* include/uapi/linux/fs.h of Linux 6.11; older headers have none of it */
#define QUERY 0xc0686611u /* PROCMAP_QUERY */

struct query {
    uint64_t size;
    uint64_t flags;
    uint64_t address;
    uint64_t start, end;
    uint64_t permissions;
    uint64_t page_size;
    uint64_t offset;
    uint64_t inode;
    uint32_t device_major, device_minor;
    uint32_t name_size, build_id_size;
    uint64_t name, build_id; /* addresses */
};
_Static_assert(sizeof(struct query) == 104, "as the kernel has it");

enum {
    MAY_READ = 1,
    MAY_WRITE = 2,
    MAY_EXECUTE = 4,
    SHARED = 8,
    OR_NEXT = 16,
    OF_FILE = 32,
    ALL_FLAGS = 63,
    LEAST_SIZE = 16, /* up to the flags */
    PAGE = 4096,
};

/* copy_struct_from_user(): what it does not know must be zero. */
static int read_query(struct pk_request *request, struct query *query)
{
    unsigned char bytes[PAGE] = {0};
    uint64_t size;

    if (pk_read(request, request->args[2], &size, sizeof(size)) < 0)
        return -EFAULT;
    if (size > sizeof(bytes))
        return -E2BIG;
    if (size < LEAST_SIZE)
        return -EINVAL;
    if (pk_read(request, request->args[2], bytes, size) < 0)
        return -EFAULT;
    for (size_t i = sizeof(*query); i < size; i++)
        if (bytes[i])
            return -E2BIG;
    memcpy(query, bytes, sizeof(*query));
    query->size = size; /* as it was then */
    if (query->flags & ~(uint64_t)ALL_FLAGS)
        return -EINVAL;
    if (!query->name_size != !query->name || !query->build_id_size != !query->build_id)
        return -EINVAL;
    return 0;
}

static uint64_t permissions_of(const char text[5])
{
    return (text[0] == 'r' ? MAY_READ : 0u) | (text[1] == 'w' ? MAY_WRITE : 0u) |
           (text[2] == 'x' ? MAY_EXECUTE : 0u) | (text[3] == 's' ? SHARED : 0u);
}

/* Reads one line; `ret_name` points into it, "" where there is none. */
static bool parse_mapping(char *line, struct query *mapping, char **ret_name)
{
    unsigned long long start, end, offset, inode;
    unsigned device_major, device_minor;
    char permissions[5];
    int used;

    if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, permissions, &offset,
               &device_major, &device_minor, &inode, &used) != 7)
        return false;
    *mapping = (struct query){.start = start,
                              .end = end,
                              .permissions = permissions_of(permissions),
                              .page_size = PAGE,
                              .offset = offset,
                              .inode = inode,
                              .device_major = device_major,
                              .device_minor = device_minor};
    *ret_name = line + used;
    return true;
}

static bool is_wanted(const struct query *query, const struct query *mapping)
{
    uint64_t permissions = query->flags & (MAY_READ | MAY_WRITE | MAY_EXECUTE | SHARED);

    return (mapping->permissions & permissions) == permissions &&
           (!(query->flags & OF_FILE) || mapping->inode != 0);
}

/* Finds the mapping in the text, which is cut into lines. */
static int find_mapping(char *text, const struct query *query, struct query *ret_mapping,
                        char **ret_name)
{
    char *line, *name;
    struct query mapping;

    while ((line = strsep(&text, "\n")) && *line) {
        if (!parse_mapping(line, &mapping, &name) || mapping.end <= query->address)
            continue;
        if (!(query->flags & OR_NEXT) &&
            (mapping.start > query->address || !is_wanted(query, &mapping)))
            return -ENOENT;
        if (!is_wanted(query, &mapping))
            continue;
        *ret_mapping = mapping;
        *ret_name = name;
        return 0;
    }
    return -ENOENT;
}

static int write_name(struct pk_request *request, struct query *query, const char *name)
{
    size_t size = strlen(name) + 1;

    if (query->name_size == 0)
        return 0;
    if (size == 1) {
        query->name_size = 0;
        return 0;
    }
    if (size > query->name_size)
        return -ENAMETOOLONG;
    query->name_size = (uint32_t)size;
    return pk_write(request, query->name, name, size);
}

static int answer(struct pk_request *request, struct query *query, const struct query *mapping,
                  const char *name)
{
    int r = write_name(request, query, name);

    if (r < 0)
        return r;
    query->start = mapping->start;
    query->end = mapping->end;
    query->permissions = mapping->permissions;
    query->page_size = mapping->page_size;
    query->offset = mapping->offset;
    query->inode = mapping->inode;
    query->device_major = mapping->device_major;
    query->device_minor = mapping->device_minor;
    query->build_id_size = 0; /* as of a file that has none */
    return pk_write(request, request->args[2], query,
                    query->size < sizeof(*query) ? query->size : sizeof(*query));
}

int proc_maps_control(const struct pseudo_access *access, struct pk_request *request)
{
    cleanup_strbuf struct strbuf text = {0};
    struct query query, mapping;
    char *name;
    int r;

    if ((uint32_t)request->args[1] != QUERY)
        return -ENOTTY;
    r = read_query(request, &query);
    r = r < 0 ? r : proc_maps(access, &text);
    if (r == 0 && text.length == 0)
        r = -ESRCH;
    r = r < 0 ? r : find_mapping(text.data, &query, &mapping, &name);
    if (r < 0)
        return r;
    proc_maps_unescape(name);
    return answer(request, &query, &mapping, name);
}

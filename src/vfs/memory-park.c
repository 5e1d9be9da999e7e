/*
 * Each file with content costs a descriptor of ours, and those are limited. When many have
 * gathered, small files that nobody has open are parked: their content moves to memory of our own
 * until they are opened again. The guest cannot tell, unless it holds the file by an O_PATH
 * descriptor only: that keeps naming the memfd that is gone.
 */
#include "vfs/memory-internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define PARK_SIZE_MAX 262144 /* larger ones are few */
#define PARK_AT_ONCE  256
#define LOOK_AT_MOST  2048
#define FIRST_LOOK    32 /* memfds before the limit is asked for */
/* Of our descriptors: there may be two busy file systems, and others need some as well. */
#define SHARE(limit) ((limit) / 8 * 3)

void memory_park_free(struct memory_node *node)
{
    struct memory_content *content = node->content;

    if (!content->parked)
        return;
    memory_fs_of(node)->parked_bytes -= content->size;
    free(content->parked);
    content->parked = NULL;
    content->size = 0;
}

int memory_unpark(struct memory_node *node, int fd)
{
    if (!node->content->parked)
        return 0;
    return io_write_all(fd, node->content->parked, node->content->size);
}

static bool read_content(int fd, char *bytes, size_t size)
{
    size_t at = 0;

    while (at < size) {
        ssize_t got = pread(fd, bytes + at, size - at, (off_t)at);

        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static bool park(struct memory_node *node)
{
    struct memory_content *content = node->content;
    struct statx shown;
    struct stat stat;
    char *bytes;

    if (fstat(content->fd, &stat) < 0 || stat.st_size > PARK_SIZE_MAX ||
        memory_is_open_elsewhere(content->fd))
        return false;
    bytes = malloc((size_t)stat.st_size + 1);
    if (!bytes || !read_content(content->fd, bytes, (size_t)stat.st_size) ||
        memory_stat(&node->base, &shown) < 0) { /* brings the node's times up to date */
        free(bytes);
        return false;
    }
    memory_content_free(node);
    content->parked = bytes;
    content->size = (size_t)stat.st_size;
    memory_fs_of(node)->parked_bytes += content->size;
    return true;
}

static size_t descriptor_share(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return FIRST_LOOK;
    return limit.rlim_cur > 1 << 20 ? SHARE(1 << 20) : SHARE((size_t)limit.rlim_cur);
}

/* Oldest first; those that cannot be parked go to the end, so that they are not seen again soon. */
static size_t park_oldest(struct memory_fs *fs)
{
    size_t parked = 0;

    for (size_t i = 0; i < LOOK_AT_MOST && parked < PARK_AT_ONCE && !list_is_empty(&fs->files);
         i++) {
        struct memory_content *content = list_entry(fs->files.next, struct memory_content, link);

        if (park(content->node)) {
            parked++;
        } else {
            list_remove(&content->link);
            list_append(&fs->files, &content->link);
        }
    }
    return parked;
}

void memory_park_some(struct memory_fs *fs)
{
    size_t share;

    if (fs->file_count < fs->park_at || fs->file_count < FIRST_LOOK)
        return;
    share = descriptor_share();
    fs->park_at = share;
    /* All in use: the next look is worth it only after some more have been made. */
    if (fs->file_count >= share && park_oldest(fs) == 0)
        fs->park_at = fs->file_count + PARK_AT_ONCE;
}

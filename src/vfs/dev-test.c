/*
 * The test device: a ring of bytes, shared by everybody who opens it. Also the example of a device
 * driver (see device.h). The bytes lie in a memfd, which guests may map; where they begin and how
 * many there are is known here only, so that a guest that scribbles in its mapping changes bytes
 * and nothing else.
 */
#include "vfs/dev-test.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/request.h"
#include "vfs/dev-internal.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Documentation/admin-guide/devices.txt: 240 to 254 are for local use. */
#define LOCAL_MAJOR 240

struct ring {
    struct vfs_device device;
    int memfd;
    char *bytes;
    size_t start;
    size_t used;
};

static struct ring *ring_of(const struct vfs_device_file *file)
{
    return vfs_device_of(file)->user;
}

static ssize_t ring_read(struct vfs_device_file *file, void *bytes, size_t length)
{
    struct ring *ring = ring_of(file);
    char *out = bytes;

    if (ring->used == 0)
        return -EAGAIN;
    if (length > ring->used)
        length = ring->used;
    for (size_t i = 0; i < length; i++)
        out[i] = ring->bytes[(ring->start + i) % DEV_TEST_SIZE];
    ring->start = (ring->start + length) % DEV_TEST_SIZE;
    ring->used -= length;
    return (ssize_t)length;
}

static ssize_t ring_write(struct vfs_device_file *file, const void *bytes, size_t length)
{
    struct ring *ring = ring_of(file);
    const char *in = bytes;

    if (ring->used == DEV_TEST_SIZE)
        return -EAGAIN;
    if (length > DEV_TEST_SIZE - ring->used)
        length = DEV_TEST_SIZE - ring->used;
    for (size_t i = 0; i < length; i++)
        ring->bytes[(ring->start + ring->used + i) % DEV_TEST_SIZE] = in[i];
    ring->used += length;
    return (ssize_t)length;
}

static unsigned ring_ready(struct vfs_device_file *file)
{
    struct ring *ring = ring_of(file);

    return (ring->used ? POLLIN : 0U) | (ring->used < DEV_TEST_SIZE ? POLLOUT : 0U);
}

static struct pk_answer tell_used(struct ring *ring, struct pk_request *request, uint64_t argument)
{
    uint32_t used = (uint32_t)ring->used;

    return pk_value(pk_write(request, argument, &used, sizeof(used)));
}

static struct pk_answer add_up(struct pk_request *request, uint64_t argument)
{
    struct dev_test_sum sum;
    int r = pk_read(request, argument, &sum, sizeof(sum));

    if (r < 0)
        return pk_error(r);
    sum.sum = (uint64_t)sum.a + sum.b;
    for (size_t i = 0; i < sizeof(sum.text); i++)
        sum.text[i] = (char)toupper((unsigned char)sum.text[i]);
    return pk_value(pk_write(request, argument, &sum, sizeof(sum)));
}

static struct pk_answer ring_ioctl(struct vfs_device_file *file, struct pk_request *request,
                                   uint32_t command, uint64_t argument)
{
    struct ring *ring = ring_of(file);

    switch (command) {
    case DEV_TEST_USED:
        return tell_used(ring, request, argument);
    case DEV_TEST_RESET:
        ring->start = 0;
        ring->used = 0;
        return pk_value(0);
    case DEV_TEST_SUM:
        return add_up(request, argument);
    default:
        return pk_error(-ENOTTY);
    }
}

static int ring_mmap(struct vfs_device_file *file, size_t length, int protection, int flags,
                     uint64_t *offset, int *ret_fd)
{
    (void)protection;
    (void)flags;
    if (*offset != 0 || length == 0 || length > DEV_TEST_SIZE)
        return -EINVAL;
    *ret_fd = ring_of(file)->memfd;
    return 0;
}

static const struct vfs_device_ops ring_ops = {.read = ring_read,
                                               .write = ring_write,
                                               .ioctl = ring_ioctl,
                                               .ready = ring_ready,
                                               .mmap = ring_mmap};

static int make_memory(struct ring *ring)
{
    void *bytes;

    ring->memfd = memfd_create("cerebro-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ring->memfd < 0)
        return -errno;
    if (ftruncate(ring->memfd, DEV_TEST_SIZE) < 0 || fcntl(ring->memfd, F_ADD_SEALS, SEALS) < 0)
        return -errno;
    bytes = mmap(NULL, DEV_TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->memfd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    ring->bytes = bytes;
    return 0;
}

struct vfs_device *dev_test_new(void)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    if (ring == NULL)
        return NULL;
    ring->memfd = -1;
    ring->device = (struct vfs_device){
        .ops = &ring_ops, .user = ring, .mode = 0666, .number = makedev(LOCAL_MAJOR, 0)};
    if (make_memory(ring) < 0) {
        dev_test_free(&ring->device);
        return NULL;
    }
    return &ring->device;
}

void dev_test_free(struct vfs_device *device)
{
    struct ring *ring = device->user;

    if (ring->bytes)
        munmap(ring->bytes, DEV_TEST_SIZE);
    base_close(ring->memfd);
    free(ring);
}

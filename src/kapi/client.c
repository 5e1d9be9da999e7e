/* The open device, and the system calls that lead to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kapi/client-internal.h"

static int real_open(void *user, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    (void)user;
    return fd < 0 ? -errno : fd;
}

static int real_close(void *user, int fd)
{
    (void)user;
    return close(fd) < 0 ? -errno : 0;
}

static int real_ioctl(void *user, int fd, uint32_t command, void *argument)
{
    int r = ioctl(fd, (unsigned long)command, argument);

    (void)user;
    return r < 0 ? -errno : r;
}

static int real_map(void *user, int fd, void **ret_address)
{
    void *address = mmap(NULL, KAPI_BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    (void)user;
    if (address == MAP_FAILED)
        return -errno;
    *ret_address = address;
    return 0;
}

static void real_unmap(void *user, void *address)
{
    (void)user;
    munmap(address, KAPI_BUFFER_SIZE);
}

static const struct kapi_system real_system = {.open = real_open,
                                               .close = real_close,
                                               .ioctl = real_ioctl,
                                               .map = real_map,
                                               .unmap = real_unmap};

int kapi_open(struct kapi_client **ret_client)
{
    return kapi_open_with(KAPI_DEVICE_PATH, NULL, ret_client);
}

int kapi_open_with(const char *path, const struct kapi_system *system,
                   struct kapi_client **ret_client)
{
    struct kapi_client *client;

    if (path == NULL || ret_client == NULL)
        return -EINVAL;
    client = calloc(1, sizeof(*client));
    if (client == NULL)
        return -ENOMEM;
    client->system = system ? *system : real_system;
    client->fd = client->system.open(client->system.user, path);
    if (client->fd < 0) {
        int r = client->fd;

        free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

void kapi_close(struct kapi_client *client)
{
    if (client == NULL)
        return;
    if (client->buffer)
        client->system.unmap(client->system.user, client->buffer);
    client->system.close(client->system.user, client->fd);
    free(client);
}

int kapi_descriptor(const struct kapi_client *client)
{
    return client ? client->fd : -EINVAL;
}

int client_call(struct kapi_client *client, uint32_t command, void *argument)
{
    int r;

    if (client == NULL)
        return -EINVAL;
    do
        r = client->system.ioctl(client->system.user, client->fd, command, argument);
    while (r == -EINTR);
    return r < 0 ? r : 0;
}

int client_put_text(char *field, size_t size, const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length >= size)
        return -ENAMETOOLONG;
    if (length)
        memcpy(field, text, length);
    return 0;
}

int kapi_map_buffer(struct kapi_client *client, void **ret_bytes)
{
    if (client == NULL || ret_bytes == NULL)
        return -EINVAL;
    if (client->buffer == NULL) {
        int r = client->system.map(client->system.user, client->fd, &client->buffer);

        if (r < 0)
            return r;
    }
    *ret_bytes = client->buffer;
    return 0;
}

/* Shared by the files of the client library. */
#pragma once

#include "cerebro/kapi-client.h"

struct kapi_client {
    struct kapi_system system;
    int fd;
    void *buffer; /* NULL: not mapped yet */
};

/*
 * One ioctl. -EINTR is repeated: the driver gives it only where nothing has been done. Returns 0 or
 * a negative errno.
 */
int client_call(struct kapi_client *client, uint32_t command, void *argument);

/*
 * Copies text into a zeroed char array; NULL counts as "". Returns 0, or -ENAMETOOLONG when it does
 * not fit with its terminator.
 */
int client_put_text(char *field, size_t size, const char *text);

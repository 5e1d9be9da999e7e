/*
 * Twins: the sockets that send for the guest's AF_UNIX datagram sockets.
 *
 * A datagram socket can name its receiver in each sendmsg(), in memory that no filter sees, and so
 * reach every name of the host. Where nothing else keeps it from that, a guest gets a socket that
 * is shut for sending, which is final; it receives natively. Its twin belongs to the process kernel
 * and sends the copies that the guest asks for (docs/decisions/0014-datagram-twins.md).
 *
 * A twin is bound to the name "\0cerebro-TOKEN~INODE", the number of the guest's socket: so
 * receivers have a name to answer to, and the process kernel knows whose it is. Only the kernel
 * thread touches twins.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "linux/unix-names.h"

/* A peer that is no socket of the guest's. */
#define UNIX_STRANGER UINT64_MAX

struct unix_twins;

struct unix_twin {
    uint64_t inode; /* of the guest's socket */
    int fd;         /* sends */
    uint64_t peer;  /* the inode of the socket it is connected to; 0: none; or UNIX_STRANGER */
    struct unix_name guest; /* the name that the guest gave its socket; length 0: none */
    struct unix_name real;  /* what the host calls the guest's socket */
    pid_t sender;           /* the only process that has sent yet; 0: nobody, -1: several */
};

/* `token` makes the names distinct, and must outlive the twins. NULL when memory is short. */
struct unix_twins *unix_twins_new(const char token[17]);
void unix_twins_free(struct unix_twins *twins);

/*
 * Makes the twin of a guest's socket (a descriptor of ours, stays the caller's), which is shut for
 * sending from then on. Twins of sockets that are gone are released now and then. Returns 0 or a
 * negative errno.
 */
int unix_twins_add(struct unix_twins *twins, int fd);

/* The twin of the guest's socket with this inode number; NULL when it has none. */
struct unix_twin *unix_twins_find(const struct unix_twins *twins, uint64_t inode);

/* The twin whose guest's socket the host calls `real`, or that is called so itself; or NULL. */
struct unix_twin *unix_twins_named(const struct unix_twins *twins, const struct unix_name *real);

/* True when `name` is the name of a twin; `ret_twin` is NULL when its socket is gone. */
bool unix_twins_is_name(const struct unix_twins *twins, const struct unix_name *name,
                        struct unix_twin **ret_twin);

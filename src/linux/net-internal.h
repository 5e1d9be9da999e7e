/* Shared by the files about sockets: net.c, net-connect.c, net-send.c, unix.c. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "linux/linux-internal.h"

/* An address copied from the guest, or to be copied to it. */
struct net_address {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_storage storage;
    };
    socklen_t length;
};

/*
 * Copies an address argument once, with the kernel's limits. Returns 0, -EINVAL or -EFAULT. An
 * address shorter than its family field has family AF_UNSPEC.
 */
int net_read_address(struct pk_request *request, uint64_t address, uint64_t length,
                     struct net_address *ret_address);

/* SO_DOMAIN and SO_TYPE of a socket of ours; a negative errno (-ENOTSOCK) otherwise. */
int net_domain(int fd);
int net_type(int fd);

/* True when calls on the socket wait: O_NONBLOCK is not set. */
bool net_blocks(int fd);

/* 0 when the guest may use a socket of this domain with addresses, else the refusal. */
int net_check_domain(struct pk_request *request, int domain, struct pk_answer *ret_refusal);

/*
 * Connects a socket (a duplicate, consumed in every case) to an address that is final: tries at
 * once where that cannot take long, else answers with a job that waits for it.
 */
struct pk_answer net_connect(int fd, const struct net_address *address);

/* A job that connects; consumes the descriptor, and `path_fd` (or -1), which the address names. */
struct pk_answer net_connect_later(int fd, int path_fd, const struct net_address *address);

/*
 * Makes calls on a waiting socket give up after one timer tick instead of waiting; net_end_hurry()
 * restores what the guest had set. O_NONBLOCK would be seen by everybody who shares the socket.
 */
struct net_hurry {
    int fd; /* -1: nothing to restore */
    struct timeval timeout;
};
void net_begin_hurry(int fd, struct net_hurry *ret_hurry);
void net_end_hurry(struct net_hurry *hurry);

/* True when a call in a hurry gave up; a signal for the kernel thread may end it as well. */
bool net_is_unfinished(int result);

/* ---- AF_UNIX, unix.c; `fd` is a duplicate of the guest's socket, and stays the caller's ---- */

int unix_bind(struct pk_request *request, int fd, const struct net_address *address);
/* Consumes `fd`. */
struct pk_answer unix_connect(struct pk_request *request, int fd,
                              const struct net_address *address);

/*
 * Makes an address that a datagram can be sent to by translating an abstract name; -EOPNOTSUPP for
 * paths, which need unix_connect().
 */
int unix_translate(struct pk_request *request, struct net_address *address);

/* Turns a name that the host reported for the socket `fd` into the one the guest gave. */
void unix_to_guest(struct pk_request *request, int fd, bool peer, struct net_address *address);

/* net-connect.c, net-send.c */
struct pk_answer net_do_connect(struct pk_request *request);
struct pk_answer net_do_bind(struct pk_request *request);
struct pk_answer net_do_sendto(struct pk_request *request);

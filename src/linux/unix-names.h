/*
 * Under which names the guest's AF_UNIX sockets are known, on the host and in the guest. Pure.
 *
 * Abstract names are shared by a whole network namespace, so a guest's name is put behind a prefix
 * of its process kernel: "\0name" becomes "\0cerebro-TOKEN/name". Names that do not fit any more
 * are replaced by a hash.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct linux_unix;

/* A name: an address of family AF_UNIX and its length. */
struct unix_name {
    struct sockaddr_un address;
    char terminator; /* of a path that fills the address; Linux shows it, and counts it */
    socklen_t length;
};

/* The longest name that Linux shows. */
#define UNIX_NAME_MAX (offsetof(struct unix_name, terminator) + 1)

#define UNIX_NAME_HEADER offsetof(struct sockaddr_un, sun_path)

struct linux_unix *unix_names_new(void);
void unix_names_free(struct linux_unix *names);

/*
 * Remembers that the socket with this inode number, called `real` by the host, is `guest`. The
 * oldest is forgotten when many have gathered; its socket then appears to have no name.
 */
void unix_names_add(struct linux_unix *names, uint64_t inode, const struct unix_name *guest,
                    const struct unix_name *real);

/*
 * Finds the guest's name of a socket by its inode number (0: unknown), else by what the host calls
 * it. NULL when it is not known.
 */
const struct unix_name *unix_names_find(const struct linux_unix *names, uint64_t inode,
                                        const struct unix_name *real);

/* The host's name for an abstract name of the guest (at least one byte behind the leading NUL). */
void unix_abstract_to_host(const char token[17], const struct unix_name *guest,
                           struct unix_name *ret_host);

/* The other way round: true when `host` is one of this token's names that was not hashed. */
int unix_abstract_to_guest(const char token[17], const struct unix_name *host,
                           struct unix_name *ret_guest);

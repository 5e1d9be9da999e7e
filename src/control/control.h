/*
 * The control channel of a process kernel: how other processes of the same user, and root, ask it
 * for what it knows and steer it while it runs.
 *
 * A kernel listens on the abstract AF_UNIX name "cerebro/PID" (SOCK_SEQPACKET), PID being that of
 * its supervisor: nothing is left behind by one that is killed, and no guest can name it. Both
 * sides check whom they talk to with SO_PEERCRED. A message is a struct control_header and a text;
 * an answer that is longer than CONTROL_INLINE_MAX comes as a sealed memfd beside its header.
 *
 * Threads: the server belongs to the kernel thread, which never waits for a client: who does not
 * take its answer loses the connection.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strbuf.h"

#define CONTROL_MAGIC       0x43424331 /* "CBC1" */
#define CONTROL_REQUEST_MAX 4096       /* bytes of a request's text */
#define CONTROL_INLINE_MAX  4096       /* bytes of an answer's text beside its header */
#define CONTROL_CLIENTS_MAX 16

/* Precedes every text, in the host's byte order: both sides are on one host. */
struct control_header {
    uint32_t magic;
    int32_t error;   /* of an answer: 0 or a negative errno; 0 in a request */
    uint32_t length; /* bytes of the text, here or in the memfd */
    uint32_t in_memfd;
};

/* ---- the kernel's side ---- */

struct control_server;

/* What the server needs of the loop it lives in: see trap_watch() and trap_unwatch(). */
struct control_loop {
    int (*watch)(void *user, int fd, void (*ready)(void *ready_user, int fd), void *ready_user);
    void (*unwatch)(void *user, int fd);
    void *user;
};

/*
 * Answers one request. `argument` is what followed the request's name and a space, or "". Appends
 * the answer (JSON) and returns 0, or a negative errno; then what it appended says why.
 */
typedef int (*control_handler)(void *user, const char *argument, struct strbuf *answer);

/*
 * Listens. Returns 0, -EADDRINUSE when somebody has taken the name, or another negative errno; a
 * kernel runs as well without.
 */
int control_server_new(const struct control_loop *loop, struct control_server **ret_server);

/* Adds a request by its name, a static string. Returns 0 or -ENOMEM. */
int control_server_add(struct control_server *server, const char *name, control_handler handler,
                       void *user);

/* While a handler runs: the process that asks, by its number on the host. Else 0. */
pid_t control_server_peer(const struct control_server *server);

/* Ends all connections. NULL is allowed. */
void control_server_free(struct control_server *server);

/* ---- the other side ---- */

/*
 * Connects to the kernel whose supervisor is `kernel`. Returns 0 with a descriptor that the caller
 * owns, or a negative errno with `error` filled in: -ESRCH when there is none, -EPERM when it
 * belongs to another user.
 */
int control_connect(pid_t kernel, int *ret_fd, struct base_error *error);

/*
 * The same without waiting, for whoever asks many kernels of which some may be stopped: also
 * -EAGAIN, when more have connected than the kernel has looked at. The descriptor is non-blocking.
 */
int control_connect_now(pid_t kernel, int *ret_fd, struct base_error *error);

/* Sends a request on such a connection. Returns 0 or a negative errno. */
int control_begin(int fd, const char *request);

/*
 * Takes the answer to the oldest request that has none, appended to `ret_answer`. Returns 0,
 * -EAGAIN when it is not there yet (poll(2) for POLLIN), or another negative errno with `error`
 * filled in.
 */
int control_take(int fd, struct strbuf *ret_answer, struct base_error *error);

/*
 * Sends a request ("NAME" or "NAME ARGUMENT") and waits for the answer, at most ten seconds.
 * Returns 0 with the answer appended, or a negative errno with `error` filled in.
 */
int control_ask(int fd, const char *request, struct strbuf *ret_answer, struct base_error *error);

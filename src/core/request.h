/*
 * A system call on its way through the process kernel, and what a handler may do with it.
 *
 * A handler decodes (copies all guest memory it needs, once), checks, and only then acts. It runs
 * on the kernel thread and must not block: work that may block is deferred (core/answer.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/answer.h"
#include "core/context.h"
#include "core/task.h"

struct abi_syscall;
struct pk_fault;
struct pk_kernel;
struct pk_request;

/* One call for inject(). */
struct pk_injected_call {
    int nr;
    uint64_t args[6];
};
#define PK_INJECT_RESULT(index) (0xfeedface00000000ULL | (index))

/* All that is needed to answer a request, or to take it up again, after its handler returned. */
struct pk_ticket {
    uint64_t id; /* of the seccomp notification, for whoever holds the trap's listener */
    pid_t tid;
    int nr;
    int cpu; /* guest and kernel thread are held on it for now; -1: anywhere */
    uint64_t args[6];
    uint64_t instruction;
};

/*
 * How the guest behind a request is reached: filled in by the trap, or by a test. Every function
 * returns >= 0 or a negative errno.
 */
struct pk_port_ops {
    /* Copies guest memory; returns the bytes copied, which may be fewer than asked at a hole. */
    ssize_t (*read)(struct pk_request *request, uint64_t address, void *bytes, size_t length);
    ssize_t (*write)(struct pk_request *request, uint64_t address, const void *bytes,
                     size_t length);
    /* Duplicates a guest descriptor into this process (close-on-exec); the caller owns it. */
    int (*get_fd)(struct pk_request *request, int number);
    /* The same, perhaps with O_PATH: where that is quicker. NULL: as get_fd. */
    int (*look_fd)(struct pk_request *request, int number);
    /* Installs our descriptor in the guest; returns its number there. `number` -1: lowest free. */
    int (*add_fd)(struct pk_request *request, int fd, int number, unsigned fd_flags);
    /*
     * Runs native system calls in the calling thread before the answer, in order, each with its own
     * arguments; results go to `ret_values`. An argument may refer to the value of an earlier call
     * with PK_INJECT_RESULT(i). Expensive (ptrace): for rare calls only.
     */
    int (*inject)(struct pk_request *request, const struct pk_injected_call *calls, size_t count,
                  int64_t *ret_values);
    /*
     * Lets the caller of clone() make its child with other flags than it asked for; the guest gets
     * what comes of it, and no other answer, unless it could not be begun. Returns the number of
     * the child, the errno that clone() failed with, or -ENOENT: the call comes again. For rare
     * calls only, as above; NULL: not to be had.
     */
    int (*clone)(struct pk_request *request, uint64_t flags);
    /* True while the thread still waits for the answer: check before an act that cannot be undone.
     */
    bool (*is_waiting)(struct pk_request *request);
    /*
     * True when an answer with a descriptor cannot be given any more, and would make the call come
     * again: check before an act that cannot be done twice (a job comes again, too, and its
     * descriptor is taken then). May be NULL: never.
     */
    bool (*repeats)(struct pk_request *request);
    void (*ticket)(struct pk_request *request, struct pk_ticket *ret_ticket);
    /*
     * What an intercepted call would have got if nobody intercepted its number: true with the
     * answer, false when it would have come to us all the same. May be NULL: always false.
     */
    bool (*unserved)(struct pk_request *request, struct pk_answer *ret_answer);
    /* Sends a signal to the calling thread, to be taken when it has its answer. May be NULL. */
    int (*signal)(struct pk_request *request, int number);
    /*
     * Has the request dispatched again after this time, with `resumed` and the same fault; the
     * answer for now is pk_later(). May be NULL: nobody waits.
     */
    int (*delay)(struct pk_request *request, uint64_t ns);
};

struct pk_request {
    struct pk_kernel *kernel;
    struct pk_task *task;
    const struct pk_context *context; /* of the calling process, never NULL */
    const struct abi_syscall *call;   /* its line in the table; NULL for unknown numbers */
    int nr;
    uint64_t args[6];
    uint64_t instruction; /* where the guest made the call */
    bool denied;          /* a rule of the user's refuses it: for the trace */
    bool resumed;         /* it was here before: an interceptor has seen it, or it was delayed */
    const struct pk_port_ops *port;
    void *port_data;              /* the port's own */
    const struct pk_fault *fault; /* what is injected into this call; NULL: nothing */
    uint64_t received_ns;         /* for statistics and the trace; 0 when neither is on */
    void *traced;                 /* the tracer's own, see struct pk_tracer */
    char *note;                   /* a handler's remark for the trace; owned by the request */
};

/* A function that serves one number. */
typedef struct pk_answer (*pk_handler)(struct pk_request *request);

/* Copies exactly `length` bytes from the guest. Returns 0 or -EFAULT. */
int pk_read(struct pk_request *request, uint64_t address, void *bytes, size_t length);

/* Copies exactly `length` bytes to the guest. Returns 0 or -EFAULT. */
int pk_write(struct pk_request *request, uint64_t address, const void *bytes, size_t length);

/*
 * Copies a string with its terminator. Returns its length without the terminator, -EFAULT, or
 * -ENAMETOOLONG when it does not end within `size` bytes.
 */
ssize_t pk_read_string(struct pk_request *request, uint64_t address, char *text, size_t size);

/* pk_read_string() with the limit of a path (4096 bytes, errors as the kernel's getname()). */
ssize_t pk_read_path(struct pk_request *request, uint64_t address, char path[4096]);

/*
 * Copies an iovec array and checks it as the kernel does (count <= 1024, total <= SSIZE_MAX).
 * Returns the total length or a negative errno.
 */
ssize_t pk_read_iovec(struct pk_request *request, uint64_t address, uint64_t count,
                      struct iovec iov[1024]);

/* Duplicates a guest descriptor; the caller closes it. -EBADF when the guest has no such number. */
int pk_get_fd(struct pk_request *request, int number);

/*
 * The same for one whose object alone matters (fstat, identity), not the open file: no position,
 * flags or rights of it are to be relied upon.
 */
int pk_look_fd(struct pk_request *request, int number);

/* Installs a descriptor of ours (kept by the caller) in the guest; returns its number there. */
int pk_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags);

/* Formats the remark that the trace shows behind the answer, e.g. "-> /usr/bin/bash (overlay)". */
void pk_note(struct pk_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Between a process kernel and the program that made it through the C API: intercepted calls in one
 * direction, what is to become of them and of the guest in the other. A SOCK_SEQPACKET pair that
 * the supervisor inherits; a message is a struct channel_message, cut after the member in use.
 *
 * An intercepted call is answered by the program itself, on a duplicate of the filter's listener,
 * which comes with CHANNEL_STARTED; so a handler costs one message, and a program that hangs holds
 * up nobody but the guest thread that waits for it. When the program ends, the guest ends.
 *
 * A kernel that was attached to a running process speaks the same with its keeper (attach/keeper.h)
 * instead of a supervisor. There the program begins, with CHANNEL_ATTACH, and when it ends the
 * target goes on natively.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define CHANNEL_VERSION 1

enum channel_type {
    /* kernel to program */
    CHANNEL_STARTED = 1, /* `started`; with the listener (SCM_RIGHTS) */
    CHANNEL_CALL,        /* `call` */
    CHANNEL_DENIAL,      /* `text`: what, rule and how to allow it, each ended by NUL */
    CHANNEL_ENDED,       /* `ended`; the last one */
    CHANNEL_FAILED,      /* it does not start: `failed`; the last one */
    /* program to kernel */
    CHANNEL_FORWARD, /* `call.id` and `call.tid`: serve it as usual; not to a keeper */
    CHANNEL_SIGNAL,  /* `number` to the guest's first process */
    CHANNEL_STOP,    /* end the guest; of a keeper: detach */
    CHANNEL_ATTACH,  /* to a keeper, the first one: `rules`; with the listener if it has none */
    CHANNEL_AUDIT,   /* to a keeper, before CHANNEL_ATTACH: with a descriptor for its records */
    /* keeper to program */
    CHANNEL_READY,    /* it waits for CHANNEL_ATTACH */
    CHANNEL_DETACHED, /* the target goes on natively; the last one */
    /* program to kernel, again */
    CHANNEL_DENIED, /* `denied`: a call that the program itself has refused, for the audit log */
};

#define CHANNEL_NUMBERS 512 /* system calls, as PK_NR_LIMIT */

/* Limits of an attachment, each by the resource of prlimit(2) that holds it. */
enum channel_limit {
    CHANNEL_LIMIT_MEMORY,
    CHANNEL_LIMIT_FILES,
    CHANNEL_LIMIT_CPU,
    CHANNEL_LIMIT_FSIZE,
    CHANNEL_LIMIT_COUNT
};

/* What is to become of the calls of an attached process. */
struct channel_rules {
    uint32_t version;
    int32_t target;
    uint32_t stays;  /* rules hold after the channel is closed, until somebody detaches */
    uint32_t strict; /* calls of other architectures fail (ENOSYS): they would be a way around */
    uint64_t filtered[CHANNEL_NUMBERS / 64]; /* bits of the numbers that come to the keeper */
    uint64_t passed[CHANNEL_NUMBERS / 64];   /* ... of those that it passes to the program */
    uint64_t limits[CHANNEL_LIMIT_COUNT];    /* 0: none */
    uint16_t denied[CHANNEL_NUMBERS];        /* positive errno of those it denies itself; 0: not */
};

/* An intercepted call; arguments as in the registers. */
struct channel_call {
    uint64_t id; /* of the notification */
    int32_t tid;
    int32_t pid;
    int32_t nr;
    int32_t cpu; /* guest and kernel are held on it, -1: anywhere; see trap/placement.h */
    uint64_t args[6];
    uint64_t instruction;
};

struct channel_started {
    uint32_t version;
    int32_t pid; /* the guest's first process */
    int32_t supervisor;
};

struct channel_ended {
    int32_t wait_status; /* of the first process, as waitpid(2) gives it; -1: not known */
    int32_t exit_status; /* as for the shell */
    uint64_t duration_ns;
};

struct channel_denied {
    int32_t tid;
    int32_t pid;
    int32_t nr;
    int32_t errnum; /* positive */
};

#define CHANNEL_TEXT_MAX 1024

struct channel_failed {
    int32_t code;        /* positive errno */
    int32_t exit_status; /* as for the shell */
    char sentence[320];
    char hint[320];
};

struct channel_message {
    uint32_t type;
    uint32_t reserved;
    union {
        struct channel_call call;
        struct channel_started started;
        struct channel_ended ended;
        struct channel_denied denied;
        struct channel_failed failed;
        struct channel_rules rules;
        int32_t number;
        char text[CHANNEL_TEXT_MAX];
    };
};

/*
 * Sends a message of which the union's first `size` bytes are in use, with a descriptor unless `fd`
 * is -1. Does not wait: -EAGAIN when the other side does not keep up. Returns 0 or a negative
 * errno.
 */
int channel_send(int channel, const struct channel_message *message, size_t size, int fd);

/* The same without a descriptor, but waits up to `patience_ms` for the other side to keep up. */
int channel_send_patiently(int channel, const struct channel_message *message, size_t size,
                           int patience_ms);

/*
 * Receives the next message; waits for it when the channel is blocking. What was not sent is 0.
 * `ret_fd` is the descriptor that came with it (close-on-exec, owned by the caller), or -1. Returns
 * 0, -EAGAIN, -EPIPE when the other side is gone, -EPROTO, or another negative errno.
 */
int channel_receive(int channel, struct channel_message *ret_message, int *ret_fd);

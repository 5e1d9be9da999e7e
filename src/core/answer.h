/*
 * The few ways in which a handler can answer a system call. A handler returns one of these; the
 * trap that delivered the request carries it out. Nothing else ever reaches the guest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pk_exec_plan;
struct pk_job;
struct pk_request;

enum pk_answer_kind {
    PK_ANSWER_VALUE,      /* the call returns this number, or fails with this errno */
    PK_ANSWER_DESCRIPTOR, /* a descriptor is installed in the guest; the call returns its number */
    PK_ANSWER_NATIVE,     /* the host kernel runs the call as it stands */
    PK_ANSWER_EXEC,       /* the thread is diverted into the loader with this plan */
    PK_ANSWER_DEFERRED,   /* a worker runs the job while the guest sleeps interruptibly */
    PK_ANSWER_LATER,      /* somebody else answers, who was given the request's ticket */
};

#define PK_ANSWER_KINDS (PK_ANSWER_LATER + 1)

struct pk_answer {
    enum pk_answer_kind kind;
    int64_t value;             /* VALUE: >= 0 result, < 0 negative errno */
    int fd;                    /* DESCRIPTOR: ours; consumed by whoever gets the answer */
    int number;                /* DESCRIPTOR: wanted number in the guest, -1: the lowest free */
    unsigned fd_flags;         /* DESCRIPTOR: O_CLOEXEC or 0 */
    bool is_end;               /* DESCRIPTOR: ours is closed before the guest goes on */
    struct pk_exec_plan *plan; /* EXEC: owned by the answer */
    struct pk_job *job;        /* DEFERRED: owned by the answer */
};

/* The call returns `value`; a negative value is a negative errno. */
static inline struct pk_answer pk_value(int64_t value)
{
    return (struct pk_answer){.kind = PK_ANSWER_VALUE, .value = value, .fd = -1, .number = -1};
}

/* The call fails with this negative errno. */
static inline struct pk_answer pk_error(int negative_errno)
{
    return pk_value(negative_errno);
}

/* The call returns a descriptor: `fd` (consumed) is installed with O_CLOEXEC or 0 in `fd_flags`. */
static inline struct pk_answer pk_descriptor(int fd, unsigned fd_flags)
{
    return (struct pk_answer){
        .kind = PK_ANSWER_DESCRIPTOR, .fd = fd, .number = -1, .fd_flags = fd_flags};
}

/*
 * As pk_descriptor(), for an end of a pipe: the other one must see the guest's close at once, and
 * not when ours is closed as well. Costs another switch between guest and process kernel.
 */
static inline struct pk_answer pk_descriptor_of_end(int fd, unsigned fd_flags)
{
    struct pk_answer answer = pk_descriptor(fd, fd_flags);

    answer.is_end = true;
    return answer;
}

/* As pk_descriptor(), but at a number of the caller's choice, replacing what is there. */
static inline struct pk_answer pk_descriptor_at(int fd, int number, unsigned fd_flags)
{
    return (struct pk_answer){
        .kind = PK_ANSWER_DESCRIPTOR, .fd = fd, .number = number, .fd_flags = fd_flags};
}

/*
 * The host kernel runs the call unchanged. Only for calls of which nothing in guest memory decides
 * anything on the host: another thread may rewrite that memory after the check.
 */
static inline struct pk_answer pk_native(void)
{
    return (struct pk_answer){.kind = PK_ANSWER_NATIVE, .fd = -1, .number = -1};
}

/* The calling process starts the program of the plan (consumed); see core/exec.h. */
static inline struct pk_answer pk_exec(struct pk_exec_plan *plan)
{
    return (struct pk_answer){.kind = PK_ANSWER_EXEC, .plan = plan, .fd = -1, .number = -1};
}

/*
 * Work that may block. `run` is called on a worker thread, where it may block and must return
 * -EINTR when a signal interrupts it (workers are interrupted by a signal when the guest has one to
 * take). It must not touch the process kernel: only the job itself. `finish` is called on the
 * kernel thread with what `run` returned and gives the final answer. `release` frees the job and
 * everything it holds, finished or not; it is called exactly once, on the kernel thread.
 */
struct pk_job {
    int64_t (*run)(struct pk_job *job);
    struct pk_answer (*finish)(struct pk_job *job, struct pk_request *request, int64_t result);
    void (*release)(struct pk_job *job);
};

/* The answer comes later, from this job (consumed). */
static inline struct pk_answer pk_deferred(struct pk_job *job)
{
    return (struct pk_answer){.kind = PK_ANSWER_DEFERRED, .job = job, .fd = -1, .number = -1};
}

/*
 * The call is answered by whoever got its ticket (core/request.h), at any time; the guest sleeps in
 * it meanwhile and takes no signal but SIGKILL.
 */
static inline struct pk_answer pk_later(void)
{
    return (struct pk_answer){.kind = PK_ANSWER_LATER, .fd = -1, .number = -1};
}

/* Releases what an answer owns without carrying it out. */
void pk_answer_discard(struct pk_answer *answer);

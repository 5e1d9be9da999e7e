/*
 * Fault injection: system calls that fail, return, are interrupted or late because somebody wants
 * to see what a program makes of it (--inject). The syntax is that of strace(1):
 *
 *   SET[:error=ERRNO|:retval=N][:signal=SIG][:delay_enter=TIME][:delay_exit=TIME][:when=EXPR]
 *
 *   SET    see abi/call_set.h
 *   TIME   a number with s, ms, us (when nothing is said) or ns
 *   EXPR   FIRST[..LAST][+[STEP]]
 *
 * A call with error or retval is not made. Each number is counted by itself, in the whole tree of
 * processes and not for each thread as strace does, from the first call of the first program on.
 * For a number that several rules name, the last one holds.
 *
 * A call that runs natively otherwise has to come to the process kernel to be injected into; what
 * the rule then leaves alone is run by the host all the same.
 *
 * Threads: a list belongs to the kernel thread once its kernel runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/call_set.h"
#include "base/error.h"

#define PK_FAULTS_MAX      64
#define PK_FAULT_TEXT_SIZE 256

/* One rule. */
struct pk_fault {
    struct abi_call_set calls;     /* those that can be injected into, see pk_fault_parse() */
    bool has_result;               /* the call is not made, and gives `result` */
    int64_t result;                /* >= 0, or a negative errno */
    int signal;                    /* sent to the calling thread; 0: none */
    uint64_t delay_enter_ns;       /* before the call is made or answered */
    uint64_t delay_exit_ns;        /* when it has been, and before the thread goes on */
    uint32_t first, last;          /* which invocations, from 1 on; `last` included */
    uint32_t step;                 /* how many further on is the next one; at least 1 */
    uint64_t injected;             /* how often it was */
    char text[PK_FAULT_TEXT_SIZE]; /* as it was written */
};

/* A list; zeroed it is empty. */
struct pk_faults {
    struct pk_fault *list; /* owned */
    size_t count;
    uint8_t rule[ABI_CALL_SET_NUMBERS];  /* which one holds for a number, from 1 on; 0: none */
    uint64_t seen[ABI_CALL_SET_NUMBERS]; /* invocations so far, of the numbers that have a rule */
};

/*
 * Reads a rule. Calls that cannot be injected into (abi_may_inject(), and with delay_exit those
 * that run natively) are left out of a family, and are an error when they are named. Returns 0,
 * -EINVAL or -E2BIG, with `error` filled in.
 */
int pk_fault_parse(const char *text, struct pk_fault *ret_fault, struct base_error *error);

/* Appends a copy of a rule. Returns 0, -E2BIG (PK_FAULTS_MAX are there) or -ENOMEM. */
int pk_faults_add(struct pk_faults *faults, const struct pk_fault *fault);

/* Empties a list. */
void pk_faults_free(struct pk_faults *faults);

/* Whether any rule is about this number. */
static inline bool pk_faults_name(const struct pk_faults *faults, int nr)
{
    return nr >= 0 && nr < ABI_CALL_SET_NUMBERS && faults->rule[nr];
}

/* Counts an invocation. Returns the rule when this one is to be injected into, or NULL. */
const struct pk_fault *pk_faults_next(struct pk_faults *faults, int nr);

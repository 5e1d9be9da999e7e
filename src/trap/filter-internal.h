/*
 * Shared by filter.c (which call goes where), filter-rules.c (what a rule looks at),
 * filter-network.c (the rules about sockets) and filter-commands.c (those that are lists of
 * commands).
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/filter_plan.h"
#include "trap/bpf.h"
#include "trap/filter.h"

#define VERDICT_NATIVE        SECCOMP_RET_ALLOW
#define VERDICT_SERVE         SECCOMP_RET_USER_NOTIF
#define VERDICT_ERRNO(errnum) (SECCOMP_RET_ERRNO | (uint32_t)(errnum))

/* What happens to a call number. Calls with equal actions share one piece of program. */
struct filter_action {
    enum abi_rule rule; /* ABI_RULE_NONE: `verdict`, whatever the arguments */
    uint32_t verdict;
    int nr; /* the call, for a rule that treats several calls differently; else 0 */
};

/*
 * What a rule comes down to for this call under this configuration: often a constant, or a simpler
 * rule. Fewer different actions make a shorter program.
 */
struct filter_action filter_simplify(const struct filter_config *config, enum abi_rule rule,
                                     int nr);

/* Appends the piece of program for an action. Every way through it ends in a verdict. */
void filter_emit(struct bpf_code *code, const struct filter_config *config,
                 const struct filter_action *action);

/* What the function of a rule needs. */
struct filter_emitter {
    struct bpf_code *code;
    const struct filter_config *config;
    int nr; /* as in struct filter_action */
};

static inline uint32_t filter_low_word(unsigned argument)
{
    return (uint32_t)(offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}

static inline void filter_load(const struct filter_emitter *e, unsigned argument)
{
    bpf_load(e->code, filter_low_word(argument));
}

static inline void filter_load_high(const struct filter_emitter *e, unsigned argument)
{
    bpf_load(e->code, filter_low_word(argument) + (uint32_t)sizeof(uint32_t));
}

static inline bpf_label filter_new_label(const struct filter_emitter *e)
{
    return bpf_new_label(e->code);
}

/* What is sent to `label` ends with this verdict. */
static inline void filter_verdict_at(const struct filter_emitter *e, bpf_label label,
                                     uint32_t verdict)
{
    bpf_bind(e->code, label);
    bpf_return(e->code, verdict);
}

/* Is the accumulator one of these values? */
static inline void filter_branch_on_values(const struct filter_emitter *e, const uint32_t *values,
                                           size_t count, bpf_label yes, bpf_label no)
{
    for (size_t i = 0; i < count; i++)
        bpf_branch(e->code, BPF_JEQ, values[i], yes, i + 1 < count ? BPF_NEXT : no);
}

/*
 * Is this argument a descriptor number in the window? Replaces the accumulator. Neither label may
 * be BPF_NEXT.
 */
void filter_branch_on_window(const struct filter_emitter *e, unsigned argument, bpf_label inside,
                             bpf_label outside);

/* The rules about sockets: filter-network.c. */
void filter_emit_socket(const struct filter_emitter *e);
void filter_emit_socketpair(const struct filter_emitter *e);
void filter_emit_sendto(const struct filter_emitter *e);
void filter_emit_sendmsg(const struct filter_emitter *e);
void filter_emit_recvfrom(const struct filter_emitter *e);
void filter_emit_accept(const struct filter_emitter *e);
void filter_emit_getsockopt(const struct filter_emitter *e);
void filter_emit_setsockopt(const struct filter_emitter *e);

/* The rules prctl, ioctl and fcntl: lists of commands. */
void filter_emit_prctl(const struct filter_emitter *e);
void filter_emit_ioctl(const struct filter_emitter *e);
void filter_emit_fcntl(const struct filter_emitter *e);

#include "trap/bpf.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define UNBOUND UINT32_MAX

/* What the 8 bits of a conditional jump can express. */
#define REACH 255

struct bpf_step {
    uint16_t code;
    uint32_t value;    /* constant, offset or mask */
    bpf_label yes, no; /* of jumps; an unconditional one has only `yes` */
    uint8_t far_yes;   /* 1: reached by an unconditional jump of its own */
    uint8_t far_no;
};

static bool is_conditional(const struct bpf_step *step)
{
    return BPF_CLASS(step->code) == BPF_JMP && BPF_OP(step->code) != BPF_JA;
}

static void fail(struct bpf_code *code, int negative_errno)
{
    if (code->failure == 0)
        code->failure = negative_errno;
}

void bpf_code_free(struct bpf_code *code)
{
    free(code->steps);
    free(code->labels);
    *code = (struct bpf_code){0};
}

/* Makes room for one more element. Returns false when there is no memory. */
static bool grow(void **array, size_t count, size_t *capacity, size_t size)
{
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *larger;

    if (count < *capacity)
        return true;
    larger = reallocarray(*array, wanted, size);
    if (larger == NULL)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

static void append(struct bpf_code *code, struct bpf_step step)
{
    if (!grow((void **)&code->steps, code->count, &code->capacity, sizeof(*code->steps))) {
        fail(code, -ENOMEM);
        return;
    }
    code->steps[code->count++] = step;
}

bpf_label bpf_new_label(struct bpf_code *code)
{
    if (!grow((void **)&code->labels, code->label_count, &code->label_capacity,
              sizeof(*code->labels))) {
        fail(code, -ENOMEM);
        return BPF_NEXT;
    }
    code->labels[code->label_count++] = UNBOUND;
    return (bpf_label)code->label_count;
}

void bpf_bind(struct bpf_code *code, bpf_label label)
{
    if (label == BPF_NEXT || label > code->label_count || code->labels[label - 1] != UNBOUND) {
        fail(code, -EINVAL);
        return;
    }
    code->labels[label - 1] = (uint32_t)code->count;
}

void bpf_load(struct bpf_code *code, uint32_t offset)
{
    append(code, (struct bpf_step){.code = BPF_LD | BPF_W | BPF_ABS, .value = offset});
}

void bpf_and(struct bpf_code *code, uint32_t mask)
{
    append(code, (struct bpf_step){.code = BPF_ALU | BPF_AND | BPF_K, .value = mask});
}

void bpf_return(struct bpf_code *code, uint32_t value)
{
    append(code, (struct bpf_step){.code = BPF_RET | BPF_K, .value = value});
}

void bpf_go(struct bpf_code *code, bpf_label label)
{
    append(code, (struct bpf_step){.code = BPF_JMP | BPF_JA, .yes = label});
}

void bpf_branch(struct bpf_code *code, unsigned operation, uint32_t value, bpf_label yes,
                bpf_label no)
{
    append(code, (struct bpf_step){.code = (uint16_t)(BPF_JMP | operation | BPF_K),
                                   .value = value,
                                   .yes = yes,
                                   .no = no});
}

/* Where to cut the cases in two so that both halves weigh about the same: the second one's start.
 */
static size_t find_cut(const struct bpf_case *cases, size_t count)
{
    uint64_t total = 0;
    uint64_t left = 0;
    size_t cut;

    for (size_t i = 0; i < count; i++)
        total += cases[i].weight;
    for (cut = 1; cut < count - 1; cut++) {
        left += cases[cut - 1].weight;
        /* Stop where one case more on the left would weigh the halves less evenly. */
        if (2 * left + cases[cut].weight >= total)
            break;
    }
    return cut;
}

void bpf_search(struct bpf_code *code, const struct bpf_case *cases, size_t count)
{
    size_t cut;
    bpf_label high;

    if (count == 1) {
        bpf_go(code, cases[0].target);
        return;
    }
    cut = find_cut(cases, count);
    high = count - cut > 1 ? bpf_new_label(code) : cases[cut].target;
    bpf_branch(code, BPF_JGE, cases[cut].first, high, cut > 1 ? BPF_NEXT : cases[0].target);
    if (cut > 1)
        bpf_search(code, cases, cut);
    if (count - cut > 1) {
        bpf_bind(code, high);
        bpf_search(code, cases + cut, count - cut);
    }
}

/* The step that a jump of step `from` leads to. */
static size_t target_of(const struct bpf_code *code, size_t from, bpf_label label)
{
    return label == BPF_NEXT ? from + 1 : code->labels[label - 1];
}

static bool is_forward(const struct bpf_code *code, size_t from, bpf_label label)
{
    size_t to;

    if (label > code->label_count)
        return false;
    to = target_of(code, from, label);
    return to > from && to < code->count;
}

static int check(const struct bpf_code *code)
{
    if (code->failure)
        return code->failure;
    if (code->count == 0 || BPF_CLASS(code->steps[code->count - 1].code) != BPF_RET)
        return -EINVAL;
    for (size_t i = 0; i < code->count; i++) {
        const struct bpf_step *step = &code->steps[i];

        if (BPF_CLASS(step->code) != BPF_JMP)
            continue;
        if (!is_forward(code, i, step->yes) || !is_forward(code, i, step->no))
            return -EINVAL;
    }
    return 0;
}

/* Gives each step its place. Returns the length of the program. */
static size_t place(const struct bpf_code *code, size_t *places)
{
    size_t at = 0;

    for (size_t i = 0; i < code->count; i++) {
        places[i] = at;
        at += 1u + code->steps[i].far_yes + code->steps[i].far_no;
    }
    return at;
}

static bool is_out_of_reach(const struct bpf_code *code, const size_t *places, size_t from,
                            bpf_label label)
{
    return places[target_of(code, from, label)] - places[from] - 1 > REACH;
}

/*
 * Lengthens one branch that does not reach, if it is not long already. "The next instruction" is
 * behind the branch's own long jumps, which are at most two: always in reach.
 */
static bool lengthen(struct bpf_code *code, const size_t *places, size_t i)
{
    struct bpf_step *step = &code->steps[i];
    bool changed = false;

    if (!step->far_yes && is_out_of_reach(code, places, i, step->yes)) {
        step->far_yes = 1;
        changed = true;
    }
    if (!step->far_no && is_out_of_reach(code, places, i, step->no)) {
        step->far_no = 1;
        changed = true;
    }
    return changed;
}

/* Long jumps move what follows, which may put other targets out of reach: until nothing changes. */
static size_t settle(struct bpf_code *code, size_t *places)
{
    size_t length;
    bool changed;

    do {
        length = place(code, places);
        changed = false;
        for (size_t i = 0; i < code->count; i++) {
            if (is_conditional(&code->steps[i]) && lengthen(code, places, i))
                changed = true;
        }
    } while (changed);
    return length;
}

static struct sock_filter jump_to(size_t from, size_t to)
{
    return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(to - from - 1));
}

/* A branch is followed by its long jumps: first that of `yes`, then that of `no`. */
static void write_branch(const struct bpf_code *code, const size_t *places, size_t i,
                         struct sock_filter *out)
{
    const struct bpf_step *step = &code->steps[i];
    size_t at = places[i];
    size_t yes = places[target_of(code, i, step->yes)];
    size_t no = places[target_of(code, i, step->no)];

    out[at] = (struct sock_filter){.code = step->code, .k = step->value};
    out[at].jt = (uint8_t)(step->far_yes ? 0 : yes - at - 1);
    out[at].jf = (uint8_t)(step->far_no ? step->far_yes : no - at - 1);
    if (step->far_yes)
        out[at + 1] = jump_to(at + 1, yes);
    if (step->far_no)
        out[at + 1 + step->far_yes] = jump_to(at + 1 + step->far_yes, no);
}

static void write_steps(const struct bpf_code *code, const size_t *places, struct sock_filter *out)
{
    for (size_t i = 0; i < code->count; i++) {
        const struct bpf_step *step = &code->steps[i];

        if (is_conditional(step))
            write_branch(code, places, i, out);
        else if (BPF_CLASS(step->code) == BPF_JMP)
            out[places[i]] = jump_to(places[i], places[target_of(code, i, step->yes)]);
        else
            out[places[i]] = (struct sock_filter)BPF_STMT(step->code, step->value);
    }
}

int bpf_assemble(struct bpf_code *code, struct sock_fprog *ret_program)
{
    cleanup_free size_t *places = NULL;
    struct sock_filter *out;
    size_t length;
    int r = check(code);

    if (r < 0)
        return r;
    places = calloc(code->count, sizeof(*places));
    if (places == NULL)
        return -ENOMEM;
    length = settle(code, places);
    if (length > BPF_MAXINSNS)
        return -E2BIG;
    out = calloc(length, sizeof(*out));
    if (out == NULL)
        return -ENOMEM;
    write_steps(code, places, out);
    *ret_program = (struct sock_fprog){.len = (unsigned short)length, .filter = out};
    return 0;
}

/* All jumps go forward, so one pass from the end knows every rest of a way before it is needed. */
unsigned bpf_longest_path(const struct sock_fprog *program)
{
    unsigned rest[BPF_MAXINSNS + 1] = {0};

    for (size_t i = program->len; i-- > 0;) {
        const struct sock_filter *step = &program->filter[i];
        unsigned longest = rest[i + 1];

        if (BPF_CLASS(step->code) == BPF_RET)
            longest = 0;
        else if (step->code == (BPF_JMP | BPF_JA))
            longest = rest[i + 1 + step->k];
        else if (BPF_CLASS(step->code) == BPF_JMP)
            longest = rest[i + 1 + step->jt] > rest[i + 1 + step->jf] ? rest[i + 1 + step->jt]
                                                                      : rest[i + 1 + step->jf];
        rest[i] = longest + 1;
    }
    return rest[0];
}

static bool compare(const struct sock_filter *step, uint32_t value)
{
    switch (BPF_OP(step->code)) {
    case BPF_JEQ:
        return value == step->k;
    case BPF_JGT:
        return value > step->k;
    case BPF_JGE:
        return value >= step->k;
    default:
        return (value & step->k) != 0;
    }
}

static int load_word(const struct seccomp_data *data, uint32_t offset, uint32_t *value)
{
    if (offset % sizeof(*value) || offset > sizeof(*data) - sizeof(*value))
        return -EINVAL;
    memcpy(value, (const char *)data + offset, sizeof(*value));
    return 0;
}

int bpf_evaluate(const struct sock_fprog *program, const struct seccomp_data *data,
                 uint32_t *ret_verdict, unsigned *ret_executed)
{
    uint32_t value = 0;
    unsigned executed = 0;

    for (uint64_t at = 0; at < program->len; at++) {
        const struct sock_filter *step = &program->filter[at];

        executed++;
        switch (step->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (load_word(data, step->k, &value) < 0)
                return -EINVAL;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            value &= step->k;
            break;
        case BPF_JMP | BPF_JA:
            at += step->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JSET | BPF_K:
            at += compare(step, value) ? step->jt : step->jf;
            break;
        case BPF_RET | BPF_K:
            *ret_verdict = step->k;
            if (ret_executed)
                *ret_executed = executed;
            return 0;
        default:
            return -EINVAL;
        }
    }
    return -EINVAL;
}

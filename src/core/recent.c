#include "core/recent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "core/kernel.h"

static struct pk_recent_denial make_denial(const struct pk_request *request,
                                           const struct pk_denial *denial)
{
    struct pk_recent_denial made = {.at_ns = io_now_ns(),
                                    .times = 1,
                                    .pid = denial->pid,
                                    .nr = request ? request->nr : -1,
                                    .errnum = denial->errnum,
                                    .let_through = denial->let_through};

    snprintf(made.what, sizeof(made.what), "%s", denial->what);
    snprintf(made.rule, sizeof(made.rule), "%s", denial->rule);
    return made;
}

static bool is_same(const struct pk_recent_denial *a, const struct pk_recent_denial *b)
{
    return a->pid == b->pid && a->nr == b->nr && a->errnum == b->errnum &&
           a->let_through == b->let_through && strcmp(a->what, b->what) == 0 &&
           strcmp(a->rule, b->rule) == 0;
}

/* A program that retries must not push out everything else. */
void pk_recent_add(struct pk_kernel *kernel, const struct pk_request *request,
                   const struct pk_denial *denial)
{
    struct pk_recent_denial made = make_denial(request, denial);
    struct pk_recent *recent = kernel->recent;
    struct pk_recent_denial *last;

    if (recent == NULL)
        recent = kernel->recent = calloc(1, sizeof(*recent));
    if (recent == NULL)
        return;
    last = &recent->denials[(recent->count + PK_RECENT_DENIALS - 1) % PK_RECENT_DENIALS];
    if (is_same(last, &made)) {
        last->times++;
        last->at_ns = made.at_ns;
        return;
    }
    recent->denials[recent->count++ % PK_RECENT_DENIALS] = made;
}

const struct pk_recent_denial *pk_recent_get(const struct pk_kernel *kernel, unsigned index)
{
    const struct pk_recent *recent = kernel->recent;
    uint64_t first;

    if (recent == NULL)
        return NULL;
    first = recent->count > PK_RECENT_DENIALS ? recent->count - PK_RECENT_DENIALS : 0;
    if (first + index >= recent->count)
        return NULL;
    return &recent->denials[(first + index) % PK_RECENT_DENIALS];
}

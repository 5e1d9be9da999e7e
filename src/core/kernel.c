#include "core/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "core/core-internal.h"
#include "core/sharing.h"

/* Ids start here, so that neither 0 nor "unlimited" is ever one. */
#define FIRST_CONTEXT 1

static void read_host_identity(struct pk_identity *identity)
{
    gid_t groups[PK_GROUPS_MAX];
    int count = getgroups(PK_GROUPS_MAX, groups);

    getresuid(&identity->uid, &identity->euid, &identity->suid);
    getresgid(&identity->gid, &identity->egid, &identity->sgid);
    identity->fsuid = identity->euid;
    identity->fsgid = identity->egid;
    identity->dumpable = true;
    identity->group_count = count > 0 ? (unsigned)count : 0;
    for (unsigned i = 0; i < identity->group_count; i++)
        identity->groups[i] = groups[i];
}

int pk_kernel_new(const struct pk_config *config, const struct pk_sink *sink,
                  struct pk_kernel **ret_kernel, struct base_error *error)
{
    struct pk_kernel *kernel = calloc(1, sizeof(*kernel));

    if (kernel == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for a process kernel");
    kernel->config = *config;
    kernel->sink = *sink;
    kernel->next_context = FIRST_CONTEXT;
    kernel->key_limits = (struct pk_key_limits){.count = 200,
                                                .bytes = 20000,
                                                .root_count = 1000000,
                                                .root_bytes = 25000000,
                                                .delay = 300}; /* security/keys/key.c, gc.c */
    kernel->started_ns = io_now_ns();
    kernel->start_time = (uint64_t)time(NULL);
    read_host_identity(&kernel->host_identity);
    *ret_kernel = kernel;
    return 0;
}

void pk_kernel_free(struct pk_kernel *kernel)
{
    if (kernel == NULL)
        return;
    pk_tasks_free(kernel);
    pk_contexts_free(kernel);
    map_free(&kernel->programs);
    pk_fs_groups_free(kernel);
    map_free(&kernel->denials_told);
    free(kernel->latencies);
    free(kernel->recent);
    free(kernel);
}

void pk_kernel_set_handler(struct pk_kernel *kernel, int nr, pk_handler handler)
{
    if (nr >= 0 && nr < PK_NR_LIMIT)
        kernel->handlers[nr] = handler;
}

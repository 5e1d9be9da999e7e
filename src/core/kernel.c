#include "core/kernel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/strbuf.h"
#include "core/core-internal.h"

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
    map_free(&kernel->denials_told);
    free(kernel);
}

void pk_kernel_set_handler(struct pk_kernel *kernel, int nr, pk_handler handler)
{
    if (nr >= 0 && nr < PK_NR_LIMIT)
        kernel->handlers[nr] = handler;
}

void pk_audit(struct pk_kernel *kernel, const char *format, ...)
{
    cleanup_strbuf struct strbuf line = {0};
    struct timespec now;
    struct tm utc;
    char stamp[32];
    va_list args;

    if (kernel->sink.audit == NULL)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    strbuf_addf(&line, "%s.%03ldZ %s ", stamp, now.tv_nsec / 1000000, kernel->config.name);
    va_start(args, format);
    strbuf_addv(&line, format, args);
    va_end(args);
    kernel->sink.audit(kernel->sink.user, strbuf_text(&line));
}

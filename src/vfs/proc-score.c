/*
 * oom_score_adj. Raising one's own score is everybody's right and is the host's business. Lowering
 * it would put the guest before the host's own processes, so it takes the capability for real. A
 * made-up root may write any value, as it may write a sysctl: the value is kept here and shown,
 * until the process ends or the host's value changes, and the host goes on with what it has.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "vfs/proc-internal.h"

#define SCORES_MAX 1024 /* then all are forgotten: most belong to processes that ended */
#define START_TIME 22   /* the field of stat */

struct proc_score {
    uint64_t started; /* of the process, in case its number is reused */
    long host, value;
};

static void forget_all(struct proc_fs *fs)
{
    struct map_slot *slot;
    size_t cursor = 0;

    while ((slot = map_next(&fs->scores, &cursor)))
        free(map_remove(&fs->scores, slot->key));
}

void proc_score_free(struct proc_fs *fs)
{
    forget_all(fs);
    map_free(&fs->scores);
}

static int host_score(const struct proc_task *task, long *ret_value)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = proc_task_text(task, "oom_score_adj", &text);

    if (r < 0)
        return r;
    *ret_value = strtol(strbuf_text(&text), NULL, 10);
    return 0;
}

/* What the process believes to have; the host's value when that is the same. */
static int shown_score(struct proc_fs *fs, const struct proc_task *task, long *ret_value)
{
    const struct proc_score *score = map_get(&fs->scores, (uint64_t)task->pid);
    uint64_t started;
    int r = host_score(task, ret_value);

    if (r < 0 || score == NULL || score->host != *ret_value)
        return r;
    if (proc_stat_field(task, START_TIME, &started) >= 0 && started == score->started)
        *ret_value = score->value;
    return 0;
}

int proc_oom_score_adj(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    long value;
    int r = proc_task_open(access->fs, access->node, &task);

    r = r < 0 ? r : shown_score(proc_fs_of(access), &task, &value);
    if (r < 0)
        return r;
    strbuf_addf(ret_text, "%ld\n", value);
    return strbuf_status(ret_text);
}

static int keep(struct proc_fs *fs, const struct proc_task *task, long host, long value)
{
    struct proc_score *score;
    uint64_t started;
    int r = proc_stat_field(task, START_TIME, &started);

    if (r < 0)
        return r;
    if (fs->scores.count >= SCORES_MAX)
        forget_all(fs);
    score = malloc(sizeof(*score));
    if (score == NULL)
        return -ENOMEM;
    *score = (struct proc_score){.started = started, .host = host, .value = value};
    free(map_remove(&fs->scores, (uint64_t)task->pid));
    r = map_set(&fs->scores, (uint64_t)task->pid, score);
    if (r < 0)
        free(score);
    return r;
}

static int parse(const char *text, size_t length, long *ret_value)
{
    char number[32] = "", *end;

    if (length >= sizeof(number))
        return -EINVAL;
    memcpy(number, text, length);
    *ret_value = strtol(number, &end, 10);
    return end == number || (*end != '\0' && *end != '\n') || *ret_value < -1000 ||
                   *ret_value > 1000
               ? -EINVAL
               : 0;
}

int proc_oom_score_adj_store(const struct pseudo_access *access, const char *text, size_t length)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    struct proc_fs *fs = proc_fs_of(access);
    bool virtual_ids = pseudo_kernel(access)->config.virtual_identity;
    bool capable = access->actor && (access->actor->identity->effective & 1ULL << CAP_SYS_RESOURCE);
    long value, host;
    int r = parse(text, length, &value);

    r = r < 0 ? r : proc_task_open(access->fs, access->node, &task);
    r = r < 0 ? r : host_score(&task, &host);
    if (r < 0)
        return r;
    free(map_remove(&fs->scores, (uint64_t)task.pid));
    if (value >= host || (capable && !virtual_ids))
        return proc_task_forward(access, text, length);
    return capable ? keep(fs, &task, host, value) : -EACCES;
}

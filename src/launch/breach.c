/*
 * Which limits a tree ran into. The host enforces them and tells little: a cgroup counts, a signal
 * says which limit it stands for, and what the process kernel itself answered it has counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "launch/launch-internal.h"

/* Reads "KEY NUMBER" from a file of lines; 0 when there is none. */
static uint64_t read_counter(const char *directory, const char *file, const char *key)
{
    cleanup_strbuf struct strbuf text = {0};
    size_t length = strlen(key);
    char path[512];

    if (directory[0] == '\0')
        return 0;
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    if (io_read_file(AT_FDCWD, path, 65536, &text) < 0)
        return 0;
    for (const char *line = strbuf_text(&text); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length, NULL, 10);
    }
    return 0;
}

/* By the signal itself, or as a shell passes it on. */
static uint64_t ended_by(int wait_status, int number)
{
    if (WIFSIGNALED(wait_status))
        return WTERMSIG(wait_status) == number;
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 128 + number;
}

static void add_evidence(struct launch_result *result, enum launch_evidence evidence,
                         const char *name, uint64_t limit, uint64_t times)
{
    struct launch_breach *breach = &result->breaches[result->breach_count];

    if (limit == 0 || times == 0)
        return;
    *breach = (struct launch_breach){.evidence = evidence, .limit = limit, .times = times};
    snprintf(breach->name, sizeof(breach->name), "%s", name);
    result->breach_count++;
}

static void add(struct launch_result *result, const char *name, uint64_t limit, uint64_t times)
{
    add_evidence(result, LAUNCH_COUNTED, name, limit, times);
}

/* How a program ends that does not expect to get no memory. */
static bool ended_badly(int wait_status)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT, SIGBUS, SIGTRAP, SIGILL};

    for (size_t i = 0; i < array_length(signals); i++)
        if (ended_by(wait_status, signals[i]))
            return true;
    return false;
}

void limits_find_breaches(const struct limits_holder *holder, const struct pk_stats *stats,
                          struct launch_result *result)
{
    const struct pk_limits *limits = &holder->limits;
    const char *unified = holder->cgroups[0];
    const char *pids = holder->cgroups[1];
    const char *memory = holder->cgroups[2];
    int status = result->wait_status;

    result->breach_count = 0;
    if (holder->seen)
        result->usage = holder->seen->usage;
    add(result, "memory", limits->memory,
        read_counter(unified, "memory.events", "oom_kill") +
            read_counter(memory, "memory.oom_control", "oom_kill"));
    add(result, "pids", limits->pids,
        read_counter(unified, "pids.events", "max") + read_counter(pids, "pids.events", "max"));
    if (holder->seen && holder->process_limit)
        add_evidence(result, LAUNCH_SEEN, "pids", limits->pids, holder->seen->full);
    if (holder->seen && holder->seen->wall)
        add(result, "wall", limits->wall_ms, 1);
    if (holder->seen && holder->seen->memory)
        add_evidence(result, LAUNCH_SEEN, "memory", limits->memory, 1);
    else if (holder->data_limit && ended_badly(status))
        add_evidence(result, LAUNCH_SUSPECTED, "memory", limits->memory, 1);
    add(result, "files", limits->open_files, stats->too_many_files);
    add(result, "cpu", limits->cpu_seconds, ended_by(status, SIGXCPU));
    add(result, "fsize", limits->file_size, stats->too_large_files + ended_by(status, SIGXFSZ));
}

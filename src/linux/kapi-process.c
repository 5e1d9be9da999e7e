/* Processes: what the guest's own /proc shows of them, in the structures of the interface. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"

#define STAT_FIELDS 52 /* of proc(5); later kernels may have more */

/* One line of /proc/PID/stat. Fields are counted from 1, as in proc(5). */
struct stat_line {
    char comm[16];
    char state;
    int64_t fields[STAT_FIELDS + 1]; /* from 4 on; large unsigned ones as their bits */
};

static int parse_stat(char *text, struct stat_line *line)
{
    char *open = text ? strchr(text, '(') : NULL;
    char *close = open ? strrchr(open, ')') : NULL; /* the name may contain anything */

    if (close == NULL || close[1] != ' ' || close[2] == '\0')
        return -EIO;
    *close = '\0';
    snprintf(line->comm, sizeof(line->comm), "%s", open + 1);
    line->state = close[2];
    text = close + 3;
    for (unsigned number = 4; number <= STAT_FIELDS && *text; number++) {
        text += strspn(text, " ");
        line->fields[number] =
            *text == '-' ? strtoll(text, &text, 10) : (int64_t)strtoull(text, &text, 10);
    }
    return 0;
}

static int read_stat(struct kapi_caller *caller, pid_t pid, struct stat_line *line)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/%d/stat", pid);

    return r < 0 ? r : parse_stat(text.data, line);
}

static uint64_t nanoseconds(int64_t ticks)
{
    return (uint64_t)ticks * (1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t boot_time(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Percent of one processor since the start. */
static uint32_t usage(const struct stat_line *line)
{
    uint64_t used = nanoseconds(line->fields[14] + line->fields[15]);
    uint64_t started = nanoseconds(line->fields[22]), now = boot_time();

    return now > started ? (uint32_t)(used / ((now - started) / 100 + 1)) : 0;
}

static void fill_info(const struct stat_line *line, pid_t pid, struct kapi_process_info *info)
{
    const int64_t *f = line->fields;

    info->pid = pid;
    memcpy(info->comm, line->comm, sizeof(info->comm));
    info->memory_usage = (uint64_t)f[24] * (uint64_t)sysconf(_SC_PAGESIZE);
    info->cpu_usage = usage(line);
    info->num_threads = (int32_t)f[20];
    info->ppid = (int32_t)f[4];
    info->pgrp = (int32_t)f[5];
    info->session = (int32_t)f[6];
    info->tty_nr = (int32_t)f[7];
    info->start_time = nanoseconds(f[22]);
    info->vsize = (uint64_t)f[23];
    info->rss = f[24];
    info->rsslim = (uint64_t)f[25];
    info->priority = (uint64_t)f[18];
    info->nice = f[19];
    info->num_threads_full = (uint64_t)f[20];
    info->state = line->state;
    info->flags = (uint32_t)f[9];
}

int linux_kapi_process_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_process_info *info = record;
    struct stat_line line = {0};
    pid_t pid = (pid_t)index;
    int r = pid > 0 ? read_stat(caller, pid, &line) : -ENOENT;

    if (r == -ENOENT || r == -ESRCH) {
        info->pid = -1;
        return 0;
    }
    if (r == 0)
        fill_info(&line, pid, info);
    return r;
}

/* ---- the records of the process list ---- */

static void add_stat(const struct stat_line *line, struct kapi_process_record *record)
{
    const int64_t *f = line->fields;

    record->ppid = (int32_t)f[4];
    record->pgrp = (int32_t)f[5];
    record->session = (int32_t)f[6];
    memcpy(record->comm, line->comm, sizeof(record->comm));
    record->tty_nr = (int32_t)f[7];
    record->flags = (uint32_t)f[9];
    record->num_threads = (uint32_t)f[20];
    record->priority = (int32_t)f[18];
    record->nice = (int32_t)f[19];
    record->rt_priority = (uint32_t)f[40];
    record->policy = (uint32_t)f[41];
    record->processor = (uint32_t)f[39];
    record->state = line->state;
    record->start_time = nanoseconds(f[22]);
    record->utime = nanoseconds(f[14]);
    record->stime = nanoseconds(f[15]);
    record->cutime = nanoseconds(f[16]);
    record->cstime = nanoseconds(f[17]);
    record->vsize = (uint64_t)f[23];
    record->rss = (uint64_t)f[24] * (uint64_t)sysconf(_SC_PAGESIZE);
    record->rsslim = (uint64_t)f[25];
    record->min_faults = (uint64_t)f[10];
    record->maj_faults = (uint64_t)f[12];
    if (f[23])
        record->valid |= KAPI_PROCESS_HAS_MEMORY;
}

static void add_ids(const char *value, uint32_t *real, uint32_t *effective)
{
    unsigned numbers[2];

    if (value && sscanf(value, "%u %u", &numbers[0], &numbers[1]) == 2) {
        *real = numbers[0];
        *effective = numbers[1];
    }
}

static void add_status(const char *text, struct kapi_process_record *record)
{
    add_ids(linux_kapi_line(text, "Uid"), &record->uid, &record->euid);
    add_ids(linux_kapi_line(text, "Gid"), &record->gid, &record->egid);
    record->shared =
        (linux_kapi_line_number(text, "RssFile") + linux_kapi_line_number(text, "RssShmem")) * 1024;
    record->voluntary_switches = linux_kapi_line_number(text, "voluntary_ctxt_switches");
    record->involuntary_switches = linux_kapi_line_number(text, "nonvoluntary_ctxt_switches");
}

static void add_io(const char *text, struct kapi_process_record *record)
{
    record->valid |= KAPI_PROCESS_HAS_IO;
    record->read_chars = linux_kapi_line_number(text, "rchar");
    record->write_chars = linux_kapi_line_number(text, "wchar");
    record->read_calls = linux_kapi_line_number(text, "syscr");
    record->write_calls = linux_kapi_line_number(text, "syscw");
    record->read_bytes = linux_kapi_line_number(text, "read_bytes");
    record->write_bytes = linux_kapi_line_number(text, "write_bytes");
}

int linux_kapi_process_record(struct kapi_caller *caller, pid_t pid,
                              struct kapi_process_record *record)
{
    cleanup_strbuf struct strbuf status = {0}, io = {0};
    struct stat_line line = {0};
    int r = read_stat(caller, pid, &line);

    if (r == 0)
        r = linux_kapi_text(caller, &status, "/proc/%d/status", pid);
    if (r < 0)
        return r;
    record->pid = pid;
    add_stat(&line, record);
    add_status(strbuf_text(&status), record);
    if (linux_kapi_text(caller, &io, "/proc/%d/io", pid) == 0)
        add_io(strbuf_text(&io), record);
    return 0;
}

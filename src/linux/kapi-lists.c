/* Commands that answer for one record of several. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "linux/kapi-internal.h"

int linux_kapi_no_record(struct kapi_caller *caller, uint32_t index, void *record)
{
    (void)caller;
    (void)index;
    (void)record;
    return -ENODATA;
}

/* "ext4 1000 1 jbd2, Live 0x0": name, size, count, users, state, address. */
static int parse_module(char *line, struct kapi_module_info *info)
{
    char *words[6] = {0}, *word;
    size_t count = 0, length;

    while (count < array_length(words) && (word = strsep(&line, " ")))
        words[count++] = word;
    if (count < 5)
        return -EIO;
    snprintf(info->name, sizeof(info->name), "%s", words[0]);
    info->size = strtoull(words[1], NULL, 10);
    info->used_by_count = (int32_t)strtol(words[2], NULL, 10);
    if (strcmp(words[3], "-") != 0)
        snprintf(info->used_by, sizeof(info->used_by), "%s", words[3]);
    length = strlen(info->used_by);
    if (length && info->used_by[length - 1] == ',')
        info->used_by[length - 1] = '\0';
    snprintf(info->state, sizeof(info->state), "%s", words[4]);
    return 0;
}

/* Copies a line, which ends at the line feed; NULL when memory is short. */
static char *copy_line(const char *line)
{
    return strndup(line, strcspn(line, "\n"));
}

static const char *next_line(const char *line)
{
    line = strchr(line, '\n');
    return line && line[1] ? line + 1 : NULL;
}

int linux_kapi_module_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    cleanup_free char *copy = NULL;
    const char *line;
    int r = linux_kapi_list(caller, "/proc/modules", &line);

    if (r < 0)
        return r;
    if (*line == '\0')
        line = NULL;
    for (uint32_t number = 0; line && number < index; number++)
        line = next_line(line);
    if (line == NULL)
        return -ENODATA;
    copy = copy_line(line);
    return copy ? parse_module(copy, record) : -ENOMEM;
}

/* "           CPU0       CPU1       " */
static unsigned count_columns(const char *heading)
{
    const char *end = heading + strcspn(heading, "\n");
    unsigned count = 0;

    for (; (heading = strstr(heading, "CPU")) && heading < end; heading += 3)
        count++;
    return count;
}

/* "  5-edge      ttyS0, other": the number of the line with its mode, then the names. */
static const char *action_names(const char *text)
{
    const char *blank;

    text += strspn(text, " ");
    blank = strchr(text, ' ');
    if (blank && memchr(text, '-', (size_t)(blank - text)))
        return blank + strspn(blank, " ");
    return text;
}

static void parse_interrupt(char *counters, unsigned cpus, struct kapi_interrupt_info *info)
{
    size_t length;

    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        uint64_t count = strtoull(counters, &counters, 10);

        info->count += count;
        if (cpu < array_length(info->cpu_count))
            info->cpu_count[cpu] = (uint32_t)count;
    }
    counters += strspn(counters, " ");
    length = strcspn(counters, " ");
    snprintf(info->type, sizeof(info->type), "%.*s", (int)length, counters);
    linux_kapi_copy_line(info->device, sizeof(info->device), action_names(counters + length));
}

/* A numbered line (the others are no devices): its number, and what stands behind the colon. */
static const char *counters_of(const char *line, uint32_t *ret_irq)
{
    char *end;
    unsigned long number;

    line += strspn(line, " ");
    if (!isdigit((unsigned char)*line))
        return NULL;
    number = strtoul(line, &end, 10);
    if (*end != ':')
        return NULL;
    *ret_irq = (uint32_t)number;
    return end + 1;
}

int linux_kapi_interrupt_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_interrupt_info *info = record;
    const char *line, *counters;
    unsigned cpus;
    int r = linux_kapi_list(caller, "/proc/interrupts", &line);

    if (r < 0)
        return r;
    cpus = count_columns(line);
    while ((line = next_line(line))) {
        cleanup_free char *copy = NULL;

        counters = counters_of(line, &info->irq);
        if (counters == NULL || index-- > 0)
            continue;
        copy = copy_line(counters);
        if (copy)
            parse_interrupt(copy, cpus, info);
        return copy ? 0 : -ENOMEM;
    }
    return -ENODATA;
}

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

int linux_kapi_module_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/modules");
    char *rest = text.data, *line;

    if (r == -ENOENT)
        return -ENODATA;
    if (r < 0)
        return r;
    for (uint32_t number = 0; (line = strsep(&rest, "\n")) && *line; number++)
        if (number == index)
            return parse_module(line, record);
    return -ENODATA;
}

static unsigned count_columns(const char *heading)
{
    unsigned count = 0;

    while ((heading = strstr(heading, "CPU"))) {
        count++;
        heading += 3;
    }
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

int linux_kapi_interrupt_info(struct kapi_caller *caller, uint32_t index, void *record)
{
    struct kapi_interrupt_info *info = record;
    cleanup_strbuf struct strbuf text = {0};
    int r = linux_kapi_text(caller, &text, "/proc/interrupts");
    char *rest = text.data, *line;
    unsigned cpus;

    if (r == -ENOENT)
        return -ENODATA;
    if (r < 0)
        return r;
    line = strsep(&rest, "\n");
    cpus = line ? count_columns(line) : 0;
    for (uint32_t number = 0; (line = strsep(&rest, "\n"));) {
        char *colon;

        line += strspn(line, " ");
        colon = strchr(line, ':');
        if (colon == NULL || !isdigit((unsigned char)*line) || number++ != index)
            continue;
        info->irq = (uint32_t)strtoul(line, NULL, 10);
        parse_interrupt(colon + 1, cpus, info);
        return 0;
    }
    return -ENODATA;
}

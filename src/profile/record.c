/* The names and addresses of a run, each kept once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/record-internal.h"

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325ULL;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3ULL;
    return hash;
}

/* Names with the same hash have different second keys. */
static struct record_name *find_name(struct profile_recorder *recorder, const char *path)
{
    uint64_t hash = hash_text(path);

    for (uint64_t try = 0;; try++) {
        struct record_name *name = map_get2(&recorder->index, hash, try);

        if (name && strcmp(name->path, path) == 0)
            return name;
        if (name)
            continue;
        name = recorder->index.count < RECORD_NAMES_MAX ? calloc(1, sizeof(*name)) : NULL;
        if (name)
            name->path = strdup(path);
        if (name && name->path && map_set2(&recorder->index, hash, try, name) == 0)
            return name;
        if (name)
            free(name->path);
        free(name);
        return NULL;
    }
}

static void on_path(void *user, const char *path, enum pk_seen how)
{
    struct profile_recorder *recorder = user;
    struct record_name *name = find_name(recorder, path);

    if (name)
        name->seen |= 1U << how;
    else
        recorder->lost++;
}

static void add_line(struct record_lines *lines, const char *first, const char *between,
                     const char *second)
{
    cleanup_strbuf struct strbuf line = {0};

    strbuf_addf(&line, "%s%s%s", first, between, second);
    for (unsigned i = 0; i < lines->count; i++)
        if (strcmp(lines->lines[i], strbuf_text(&line)) == 0)
            return;
    if (lines->count < RECORD_LINES_MAX && strbuf_status(&line) == 0)
        lines->lines[lines->count++] = take_ptr(line.data);
}

static void on_network(void *user, const char *verb, const char *address)
{
    struct profile_recorder *recorder = user;

    add_line(&recorder->addresses, verb, " ", address);
}

void profile_recorder_denied(struct profile_recorder *recorder, const char *what, const char *rule)
{
    add_line(&recorder->denied, what, ": ", rule);
}

struct profile_recorder *profile_recorder_new(void)
{
    struct profile_recorder *recorder = calloc(1, sizeof(*recorder));

    if (recorder)
        recorder->observer =
            (struct pk_observer){.path = on_path, .network = on_network, .user = recorder};
    return recorder;
}

static void free_lines(struct record_lines *lines)
{
    for (unsigned i = 0; i < lines->count; i++)
        free(lines->lines[i]);
}

void profile_recorder_free(struct profile_recorder *recorder)
{
    struct map_slot *slot;
    size_t cursor = 0;

    if (recorder == NULL)
        return;
    while ((slot = map_next(&recorder->index, &cursor))) {
        struct record_name *name = slot->value;

        free(name->path);
        free(name);
    }
    map_free(&recorder->index);
    free_lines(&recorder->denied);
    free_lines(&recorder->addresses);
    free(recorder);
}

const struct pk_observer *profile_recorder_observer(struct profile_recorder *recorder)
{
    return &recorder->observer;
}

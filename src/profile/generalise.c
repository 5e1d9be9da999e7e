/*
 * From the names of one run to the paths of a profile. The rules, in this order:
 *
 *   1. What the view makes itself (/proc, /sys, /dev, /tmp) and /usr are not told file by file.
 *   2. A file is read or written as it was. A directory in which names were made is written when
 *      it is the user's own; elsewhere an empty one in memory takes its place, since in the run the
 *      writes were thrown away, too.
 *   3. Where more than a few things of one directory were read, the directory is.
 *   4. Never as a whole: the home directory, those above it, and what lies at the top of the tree.
 *      They become empty directories in which only the named files are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "profile/record-internal.h"

#define MANY   8 /* more than so many names of a directory are "the directory" */
#define ROUNDS 4 /* so many levels are drawn together */

struct drawing {
    const struct profile_places *places;
    struct profile *profile;
};

static bool is_below(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    return length > 1 && strncmp(path, directory, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static bool is_same_or_above(const char *path, const char *other)
{
    return other && (strcmp(path, "/") == 0 || is_below(other, path));
}

static bool is_made_by_view(const char *path)
{
    static const char *const made[] = {"/proc", "/sys", "/dev", "/tmp"};

    for (size_t i = 0; i < array_length(made); i++)
        if (is_below(path, made[i]))
            return true;
    return false;
}

static bool is_of_system(const char *path)
{
    static const char *const system[] = {"/usr",   "/bin",   "/sbin",  "/lib",
                                         "/lib32", "/lib64", "/libx32"};

    for (size_t i = 0; i < array_length(system); i++)
        if (is_below(path, system[i]))
            return true;
    return false;
}

/* Directories that nobody gets as a whole; the first level below / is theirs, but for /usr. */
static bool is_too_much(const struct drawing *d, const char *path)
{
    if (is_same_or_above(path, d->places->home))
        return true;
    return strchr(path + 1, '/') == NULL;
}

/* Keys and passwords are told one by one, however many were read. */
static bool is_secret(const struct drawing *d, const char *path)
{
    static const char *const names[] = {".ssh",  ".gnupg",  ".aws",
                                        ".kube", ".docker", ".password-store"};
    size_t home = d->places->home ? strlen(d->places->home) : 0;

    if (!is_below(path, d->places->home) || path[home] == '\0')
        return false;
    for (size_t i = 0; i < array_length(names); i++)
        if (strncmp(path + home + 1, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* The user's own files: below the home directory or the current one. */
static bool is_own(const struct drawing *d, const char *path)
{
    return is_below(path, d->places->home) ||
           (!is_same_or_above(d->places->cwd, d->places->home) && is_below(path, d->places->cwd));
}

static int add(struct drawing *d, const char *text, enum profile_path_kind kind)
{
    return profile_add_path(d->profile, kind, text);
}

static const struct profile_path *find(const struct drawing *d, const char *path)
{
    for (size_t i = 0; i < d->profile->path_count; i++)
        if (strcmp(d->profile->paths[i].path, path) == 0)
            return &d->profile->paths[i];
    return NULL;
}

/* Reading gives way to what was said before; an empty directory gives way to everything. */
static int add_weak(struct drawing *d, const char *path, enum profile_path_kind kind)
{
    const struct profile_path *known = find(d, path);

    return known && (known->kind != PROFILE_DIRECTORY || kind == PROFILE_DIRECTORY)
               ? 0
               : add(d, path, kind);
}

static void parent_of(const char *path, char parent[PROFILE_TEXT_MAX + 1])
{
    char *slash;

    snprintf(parent, PROFILE_TEXT_MAX + 1, "%s", path);
    slash = strrchr(parent, '/');
    slash[slash == parent] = '\0';
}

/* ---- rules 1, 2 and 4: one name ---- */

static int draw_written_directory(struct drawing *d, const char *path)
{
    if (strcmp(path, d->places->home ? d->places->home : "") == 0)
        return add(d, path, PROFILE_SCRATCH);
    if (is_too_much(d, path) && strcmp(path, d->places->cwd) != 0)
        return 0; /* its writes were thrown away, and can be nowhere */
    if (is_own(d, path))
        return add(d, path, PROFILE_WRITE);
    return add(d, path, PROFILE_SCRATCH);
}

static int draw_written_file(struct drawing *d, const char *path)
{
    char parent[PROFILE_TEXT_MAX + 1];

    if (is_own(d, path))
        return add(d, path, PROFILE_WRITE);
    parent_of(path, parent);
    return draw_written_directory(d, parent);
}

static int draw_directory(struct drawing *d, const char *path, unsigned seen)
{
    if (seen & 1U << PK_SEEN_WRITE)
        return draw_written_directory(d, path);
    if ((seen & 1U << PK_SEEN_READ) && !is_too_much(d, path))
        return add_weak(d, path, PROFILE_READ);
    return add_weak(d, path, PROFILE_DIRECTORY);
}

/* A name that goes up again after a link says nothing that its parts do not say. */
static bool is_plain(const char *path)
{
    return path[0] == '/' && strlen(path) <= PROFILE_TEXT_MAX && strstr(path, "/../") == NULL &&
           strstr(path, "/./") == NULL && strstr(path, "//") == NULL &&
           path[strlen(path) - 1] != '/';
}

static int draw_name(struct drawing *d, const struct record_name *name)
{
    struct stat stat_buf;
    bool below_cwd = is_below(name->path, d->places->cwd) && is_own(d, name->path);

    if (strcmp(name->path, "/") == 0 || !is_plain(name->path))
        return 0;
    if (is_made_by_view(name->path) && !below_cwd)
        return 0;
    if (is_of_system(name->path))
        return add_weak(d, "/usr", PROFILE_READ);
    if (stat(name->path, &stat_buf) < 0)
        return 0; /* made in the run: where it was made is known, too */
    if (S_ISSOCK(stat_buf.st_mode))
        return 0; /* of the host: out of reach without a choice of the user's */
    if (S_ISDIR(stat_buf.st_mode))
        return draw_directory(d, name->path, name->seen);
    if (name->seen & 1U << PK_SEEN_WRITE)
        return draw_written_file(d, name->path);
    return add_weak(d, name->path, PROFILE_READ);
}

/* ---- rule 3 ---- */

static size_t count_in(const struct drawing *d, const char *parent)
{
    size_t count = 0;

    for (size_t i = 0; i < d->profile->path_count; i++) {
        char other[PROFILE_TEXT_MAX + 1];

        if (d->profile->paths[i].kind != PROFILE_READ)
            continue;
        parent_of(d->profile->paths[i].path, other);
        count += strcmp(other, parent) == 0;
    }
    return count;
}

static bool is_covered(const struct drawing *d, const struct profile_path *path)
{
    for (size_t i = 0; i < d->profile->path_count; i++) {
        const struct profile_path *other = &d->profile->paths[i];
        bool reads = other->kind == PROFILE_READ || other->kind == PROFILE_WRITE;

        if (other == path || strlen(other->path) >= strlen(path->path) ||
            !is_below(path->path, other->path))
            continue;
        if (path->kind == PROFILE_READ && reads)
            return true;
        if (path->kind == PROFILE_DIRECTORY && other->kind != PROFILE_DIRECTORY)
            return true;
        if (path->kind == PROFILE_WRITE && other->kind == PROFILE_WRITE)
            return true;
        if (path->kind == PROFILE_SCRATCH && other->kind == PROFILE_SCRATCH)
            return true;
    }
    return false;
}

/* An empty directory that stands on the way to something comes by itself. */
static bool is_on_the_way(const struct drawing *d, const struct profile_path *path)
{
    for (size_t i = 0; i < d->profile->path_count; i++) {
        const struct profile_path *other = &d->profile->paths[i];

        if (other != path && strlen(other->path) > strlen(path->path) &&
            is_below(other->path, path->path))
            return true;
    }
    return false;
}

static int drop_needless(struct drawing *d)
{
    for (size_t i = 0; i < d->profile->path_count; i++) {
        const struct profile_path *path = &d->profile->paths[i];
        struct profile_path gone = {.kind = PROFILE_DROP};

        if (!is_covered(d, path) && !(path->kind == PROFILE_DIRECTORY && is_on_the_way(d, path)))
            continue;
        gone.path = strdup(path->path);
        if (gone.path == NULL || model_add_path(d->profile, &gone) < 0)
            return -ENOMEM;
        i--;
    }
    return 0;
}

static int draw_together(struct drawing *d)
{
    for (size_t i = 0; i < d->profile->path_count; i++) {
        char parent[PROFILE_TEXT_MAX + 1];
        int r;

        if (d->profile->paths[i].kind != PROFILE_READ)
            continue;
        parent_of(d->profile->paths[i].path, parent);
        if (is_too_much(d, parent) || is_secret(d, parent) || find(d, parent) ||
            count_in(d, parent) <= MANY)
            continue;
        r = add(d, parent, PROFILE_READ);
        if (r < 0)
            return r;
    }
    return drop_needless(d);
}

static int by_path(const void *a, const void *b)
{
    const struct record_name *const *x = a, *const *y = b;

    return strcmp((*x)->path, (*y)->path);
}

/* In the order of their paths, so that the same run gives the same profile. */
static const struct record_name **sorted_names(const struct profile_recorder *recorder)
{
    const struct record_name **names = calloc(recorder->index.count + 1, sizeof(*names));
    struct map_slot *slot;
    size_t cursor = 0, count = 0;

    while (names && (slot = map_next(&recorder->index, &cursor)))
        names[count++] = slot->value;
    if (names)
        qsort(names, count, sizeof(*names), by_path);
    return names;
}

int profile_generalise(const struct profile_recorder *recorder, const struct profile_places *places,
                       struct profile *profile)
{
    struct drawing d = {places, profile};
    cleanup_free const struct record_name **names = sorted_names(recorder);
    int r = names ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && names[i]; i++) {
        r = draw_name(&d, names[i]);
        if (profile->path_count > PROFILE_PATHS_MAX / 2)
            draw_together(&d); /* make room early */
    }
    if (r == 0 && !is_made_by_view(places->cwd))
        r = add_weak(&d, places->cwd, PROFILE_DIRECTORY);
    for (int round = 0; r == 0 && round < ROUNDS; round++)
        r = draw_together(&d);
    if (r == 0)
        model_sort(profile);
    return r;
}

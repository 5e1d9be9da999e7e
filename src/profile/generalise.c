/*
 * From the names of one run to the paths of a profile. The rules, in this order:
 *
 *   1. What the view makes itself (/proc, /sys, /dev, /tmp) and /usr are not told file by file.
 *   2. A file is read or written as it was. A directory in which names were made is written when
 *      it is the user's own; elsewhere an empty one in memory takes its place, since in the run the
 *      writes were thrown away, too.
 *   3. Where more than a few things of one directory were read, the directory is (fold.c).
 *   4. Never as a whole: the home directory, those above it, what lies at the top of the tree, and
 *      those of keys. They become empty directories in which only the named files are.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "profile/record-internal.h"

struct drawing {
    const struct profile_places *places;
    struct fold fold;
    bool uses_system; /* /usr has been added */
};

static bool is_made_by_view(const char *path)
{
    static const char *const made[] = {"/proc", "/sys", "/dev", "/tmp"};

    for (size_t i = 0; i < array_length(made); i++)
        if (places_is_below(path, made[i]))
            return true;
    return false;
}

static bool is_of_system(const char *path)
{
    static const char *const system[] = {"/usr",   "/bin",   "/sbin",  "/lib",
                                         "/lib32", "/lib64", "/libx32"};

    for (size_t i = 0; i < array_length(system); i++)
        if (places_is_below(path, system[i]))
            return true;
    return false;
}

static bool is_same(const char *path, const char *other)
{
    return other && strcmp(path, other) == 0;
}

static int add(struct drawing *d, const char *path, enum profile_path_kind kind)
{
    return fold_add(&d->fold, path, kind, false);
}

static int add_system(struct drawing *d)
{
    int r = d->uses_system ? 0 : add(d, "/usr", PROFILE_READ);

    d->uses_system = true;
    return r;
}

static void parent_of(const char *path, char parent[PROFILE_TEXT_MAX + 1])
{
    char *slash;

    snprintf(parent, PROFILE_TEXT_MAX + 1, "%s", path);
    slash = strrchr(parent, '/');
    slash[slash == parent] = '\0';
}

static int draw_written_directory(struct drawing *d, const char *path)
{
    if (is_same(path, d->places->home) || is_same(path, d->places->real_home))
        return add(d, path, PROFILE_SCRATCH);
    if (places_is_too_much(d->places, path) && !is_same(path, d->places->cwd))
        return 0; /* its writes were thrown away, and can be nowhere */
    return add(d, path, places_is_own(d->places, path) ? PROFILE_WRITE : PROFILE_SCRATCH);
}

static int draw_written_file(struct drawing *d, const char *path)
{
    char parent[PROFILE_TEXT_MAX + 1];

    if (places_is_own(d->places, path))
        return add(d, path, PROFILE_WRITE);
    parent_of(path, parent);
    return draw_written_directory(d, parent);
}

static int draw_directory(struct drawing *d, const char *path, unsigned seen)
{
    if (seen & 1U << PK_SEEN_WRITE)
        return draw_written_directory(d, path);
    if ((seen & 1U << PK_SEEN_READ) && !places_is_closed(d->places, path))
        return add(d, path, PROFILE_READ);
    return add(d, path, PROFILE_DIRECTORY);
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
    bool below_cwd =
        places_is_below(name->path, d->places->cwd) && places_is_own(d->places, name->path);

    if (strcmp(name->path, "/") == 0 || !is_plain(name->path))
        return 0;
    if (is_made_by_view(name->path) && !below_cwd)
        return 0;
    if (is_of_system(name->path))
        return add_system(d);
    if (stat(name->path, &stat_buf) < 0)
        return 0; /* made in the run: where it was made is known, too */
    if (S_ISSOCK(stat_buf.st_mode))
        return 0; /* of the host: out of reach without a choice of the user's */
    if (S_ISDIR(stat_buf.st_mode))
        return draw_directory(d, name->path, name->seen);
    if (name->seen & 1U << PK_SEEN_WRITE)
        return draw_written_file(d, name->path);
    return add(d, name->path, PROFILE_READ);
}

static int draw_names(struct drawing *d, const struct profile_recorder *recorder)
{
    const struct map_slot *slot;
    size_t cursor = 0;
    int r = 0;

    while (r == 0 && (slot = map_next(&recorder->index, &cursor)))
        r = draw_name(d, slot->value);
    return r;
}

static int draw_given(struct drawing *d, const struct profile *profile)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < profile->path_count; i++)
        r = fold_add(&d->fold, profile->paths[i].path, profile->paths[i].kind, true);
    return r;
}

static void free_drawing(struct drawing *d)
{
    fold_free(&d->fold);
}

int profile_generalise(const struct profile_recorder *recorder, const struct profile_places *places,
                       struct profile *profile)
{
    struct drawing d __attribute__((cleanup(free_drawing))) = {.places = places};
    int r = draw_given(&d, profile);

    if (r == 0)
        r = draw_names(&d, recorder);
    if (r == 0 && !is_made_by_view(places->cwd) && strcmp(places->cwd, "/") != 0)
        r = add(&d, places->cwd, PROFILE_DIRECTORY);
    if (r == 0)
        r = fold_finish(&d.fold, places, profile);
    if (r == 0)
        model_sort(profile);
    return r;
}

/* Home directories: what lies in one is its user's, and none is ever opened as a whole. */
#include <string.h>

#include "base/cleanup.h"
#include "profile/profile-internal.h"

bool places_is_below(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    return length > 1 && strncmp(path, directory, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

/* The next home directory, NULL after the last; `*i` begins with 0. */
static const char *next_home(const struct profile_places *places, unsigned *i)
{
    while (*i < PROFILE_HOMES_MAX + 2) {
        unsigned at = (*i)++;
        const char *home = at == 0   ? places->home
                           : at == 1 ? places->real_home
                                     : places->other_homes[at - 2];

        if (home)
            return home;
    }
    return NULL;
}

bool places_holds_a_home(const struct profile_places *places, const char *path)
{
    const char *home;
    unsigned i = 0;

    if (strcmp(path, "/") == 0)
        return true;
    while ((home = next_home(places, &i)))
        if (places_is_below(home, path))
            return true;
    return false;
}

/* What of `path` comes behind a home directory and its slash; NULL when it lies in none. */
static const char *behind_home(const struct profile_places *places, const char *path)
{
    const char *home;
    unsigned i = 0;

    while ((home = next_home(places, &i)))
        if (places_is_below(path, home) && path[strlen(home)] == '/')
            return path + strlen(home) + 1;
    return NULL;
}

bool places_is_too_much(const struct profile_places *places, const char *path)
{
    return places_holds_a_home(places, path) || strchr(path + 1, '/') == NULL;
}

bool places_is_closed(const struct profile_places *places, const char *path)
{
    static const char *const secrets[] = {".ssh",  ".gnupg",  ".aws",
                                          ".kube", ".docker", ".password-store"};
    const char *at_home = behind_home(places, path);

    for (size_t i = 0; at_home && i < array_length(secrets); i++)
        if (strncmp(at_home, secrets[i], strlen(secrets[i])) == 0)
            return true;
    return places_is_too_much(places, path);
}

bool places_is_own(const struct profile_places *places, const char *path)
{
    return places_is_below(path, places->home) || places_is_below(path, places->real_home) ||
           (!places_holds_a_home(places, places->cwd) && places_is_below(path, places->cwd));
}

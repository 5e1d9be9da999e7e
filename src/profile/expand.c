/* Paths of profiles: variables, and a form in which they can be compared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/profile-internal.h"

static bool ends_component(char c)
{
    return c == '/' || c == '\0';
}

/*
 * The current directory stands for a project. Where it is a home directory or something above, it
 * would open everything that somebody has.
 */
static int current_directory(const struct profile_places *places, const char **ret_path,
                             struct base_error *why)
{
    if (places_holds_a_home(places, places->cwd))
        return base_fail(why, EINVAL, "go into the directory of a project first",
                         "it would open the whole of %s", places->cwd);
    *ret_path = places->cwd;
    return 0;
}

static int home_directory(const struct profile_places *places, const char **ret_path,
                          struct base_error *why)
{
    if (places->home == NULL || places->home[0] != '/')
        return base_fail(why, EINVAL, "set HOME to an absolute path",
                         "the home directory is not known");
    *ret_path = places->home;
    return 0;
}

/* Takes the variable at the head of a path. `ret_rest` is what follows. */
static int take_head(const char *text, const struct profile_places *places, const char **ret_head,
                     const char **ret_rest, struct base_error *why)
{
    *ret_head = "";
    *ret_rest = text;
    if (text[0] == '~' && ends_component(text[1])) {
        *ret_rest = text + 1;
        return home_directory(places, ret_head, why);
    }
    if (strncmp(text, "${HOME}", 7) == 0 && ends_component(text[7])) {
        *ret_rest = text + 7;
        return home_directory(places, ret_head, why);
    }
    if (strncmp(text, "${CWD}", 6) == 0 && ends_component(text[6])) {
        *ret_rest = text + 6;
        return current_directory(places, ret_head, why);
    }
    if (text[0] == '.' && ends_component(text[1])) {
        *ret_rest = text + 1;
        return current_directory(places, ret_head, why);
    }
    return 0;
}

/* Appends the components of a path. */
static int add_components(struct strbuf *path, const char *rest, struct base_error *why)
{
    while (*rest) {
        size_t length = strcspn(rest, "/");

        if (length == 2 && memcmp(rest, "..", 2) == 0)
            return base_fail(why, EINVAL, "write where it leads to", "'..' is not used in paths");
        if (length && !(length == 1 && rest[0] == '.')) {
            strbuf_add_string(path, "/");
            strbuf_add(path, rest, length);
        }
        rest += length + (rest[length] == '/');
    }
    return 0;
}

int expand_path(const char *text, const struct profile_places *places, char **ret_path,
                struct base_error *why)
{
    cleanup_strbuf struct strbuf path = {0};
    const char *head, *rest;
    int r = take_head(text, places, &head, &rest, why);

    if (r < 0)
        return r;
    if (strchr(rest, '$'))
        return base_fail(why, EINVAL, "write ${HOME} or ${CWD} at the beginning",
                         "there is no such variable");
    if (rest[0] != '/' && rest[0] != '\0')
        return base_fail(why, EINVAL, "write /..., ~/... or ./...", "it is not absolute");
    if (head[0] == '\0' && rest[0] == '\0')
        return base_fail(why, EINVAL, "write /..., ~/... or ./...", "it is empty");
    r = add_components(&path, head, why);
    if (r == 0)
        r = add_components(&path, rest, why);
    if (r < 0)
        return r;
    if (path.length == 0)
        strbuf_add_string(&path, "/");
    if (strbuf_status(&path) < 0)
        return base_fail(why, ENOMEM, NULL, "no memory");
    if (path.length > PROFILE_TEXT_MAX)
        return base_fail(why, ENAMETOOLONG, NULL, "it is too long");
    *ret_path = take_ptr(path.data);
    return 0;
}

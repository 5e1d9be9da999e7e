/* A profile in memory: adding, replacing, freeing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/profile-internal.h"

static void free_path(struct profile_path *path)
{
    free(path->path);
    free(path->text);
}

static void free_variable(struct profile_variable *variable)
{
    free(variable->name);
    free(variable->value);
}

void model_clear(struct profile *profile)
{
    struct profile empty = {.file_count = profile->file_count, .name = profile->name};

    for (size_t i = 0; i < profile->path_count; i++)
        free_path(&profile->paths[i]);
    for (size_t i = 0; i < profile->rule_count; i++)
        free(profile->rules[i].text);
    for (size_t i = 0; i < profile->variable_count; i++)
        free_variable(&profile->variables[i]);
    free(profile->paths);
    free(profile->rules);
    free(profile->variables);
    free(profile->denied);
    free(profile->description);
    memcpy(empty.files, profile->files, sizeof(empty.files));
    *profile = empty;
}

void profile_free(struct profile *profile)
{
    model_clear(profile);
    for (unsigned i = 0; i < profile->file_count; i++)
        free(profile->files[i].path);
    free(profile->name);
    *profile = (struct profile){0};
}

/* Room for one more, in steps that keep the sum of copies linear. */
static int reserve(void *array, size_t count, size_t size)
{
    void **slot = array;
    void *grown;

    if (count & (count - 1))
        return 0;
    grown = reallocarray(*slot, count ? count * 2 : 1, size);
    if (grown == NULL)
        return -ENOMEM;
    *slot = grown;
    return 0;
}

static void remove_path(struct profile *profile, size_t index)
{
    free_path(&profile->paths[index]);
    profile->path_count--;
    memmove(&profile->paths[index], &profile->paths[index + 1],
            (profile->path_count - index) * sizeof(*profile->paths));
}

/* A path is said once: whoever says it last decides. */
int model_add_path(struct profile *profile, const struct profile_path *path)
{
    struct profile_path added = *path;
    int r;

    for (size_t i = 0; i < profile->path_count; i++)
        if (strcmp(profile->paths[i].path, path->path) == 0)
            remove_path(profile, i--);
    r = profile->path_count >= PROFILE_PATHS_MAX ? -E2BIG : 0;
    if (r == 0 && path->kind != PROFILE_DROP) {
        /* Removals make the power-of-two rule of reserve() unsafe here. */
        struct profile_path *grown =
            reallocarray(profile->paths, profile->path_count + 1, sizeof(*profile->paths));

        r = grown ? 0 : -ENOMEM;
        if (grown)
            profile->paths = grown;
    }
    if (r < 0 || path->kind == PROFILE_DROP) {
        free_path(&added);
        return r;
    }
    profile->paths[profile->path_count++] = added;
    return 0;
}

int model_add_rule(struct profile *profile, const struct profile_rule *rule)
{
    int r = profile->rule_count >= PROFILE_PATHS_MAX
                ? -E2BIG
                : reserve(&profile->rules, profile->rule_count, sizeof(*rule));

    if (r < 0) {
        free(rule->text);
        return r;
    }
    profile->rules[profile->rule_count++] = *rule;
    return 0;
}

int model_add_variable(struct profile *profile, const struct profile_variable *variable)
{
    struct profile_variable added = *variable;
    int r;

    for (size_t i = 0; i < profile->variable_count; i++)
        if (strcmp(profile->variables[i].name, variable->name) == 0) {
            free_variable(&profile->variables[i]);
            profile->variables[i] = added;
            return 0;
        }
    r = profile->variable_count >= PROFILE_PATHS_MAX
            ? -E2BIG
            : reserve(&profile->variables, profile->variable_count, sizeof(*variable));
    if (r < 0) {
        free_variable(&added);
        return r;
    }
    profile->variables[profile->variable_count++] = added;
    return 0;
}

int model_add_denied(struct profile *profile, const struct profile_denied *denied)
{
    int r;

    for (size_t i = 0; i < profile->denied_count; i++)
        if (profile->denied[i].nr == denied->nr) {
            profile->denied[i] = *denied;
            return 0;
        }
    r = reserve(&profile->denied, profile->denied_count, sizeof(*denied));
    if (r == 0)
        profile->denied[profile->denied_count++] = *denied;
    return r;
}

int profile_add_path(struct profile *profile, enum profile_path_kind kind, const char *path)
{
    struct profile_path added = {.kind = kind, .path = strdup(path), .text = strdup(path)};

    if (added.path == NULL || added.text == NULL) {
        free_path(&added);
        return -ENOMEM;
    }
    return model_add_path(profile, &added);
}

int profile_add_rule(struct profile *profile, bool allow, const char *text)
{
    struct profile_rule rule = {.allow = allow, .text = strdup(text)};

    return rule.text ? model_add_rule(profile, &rule) : -ENOMEM;
}

int profile_add_denied(struct profile *profile, int nr, int errnum)
{
    return model_add_denied(profile, &(struct profile_denied){.nr = nr, .errnum = errnum});
}

static int by_length(const void *a, const void *b)
{
    const struct profile_path *x = a, *y = b;
    size_t length_x = strlen(x->path), length_y = strlen(y->path);

    if (length_x != length_y)
        return length_x < length_y ? -1 : 1;
    return strcmp(x->path, y->path);
}

void model_sort(struct profile *profile)
{
    if (profile->path_count)
        qsort(profile->paths, profile->path_count, sizeof(*profile->paths), by_length);
}

bool profile_has_network(const struct profile *profile)
{
    return profile->network.origin.line ? profile->network.value : profile->rule_count > 0;
}

const char *profile_path_key(enum profile_path_kind kind)
{
    static const char *const keys[] = {"read",    "write",       "create", "hide",
                                       "scratch", "directories", "drop"};

    return keys[kind];
}

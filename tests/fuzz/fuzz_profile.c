/*
 * The profile parser on arbitrary bytes. What it accepts is checked against what the rest relies
 * on, and written and read again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "profile/profile.h"
#include "profile/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_path(const struct profile_path *path)
{
    require(path->path[0] == '/' && strlen(path->path) <= PROFILE_TEXT_MAX);
    require(strstr(path->path, "/../") == NULL && strstr(path->path, "//") == NULL);
    require(path->kind != PROFILE_DROP && path->origin.line > 0 && path->origin.column > 0);
    require(path->kind == PROFILE_READ || strcmp(path->path, "/") != 0);
}

static void check(const struct profile *profile)
{
    require(profile->path_count <= PROFILE_PATHS_MAX && profile->file_count == 1);
    for (size_t i = 0; i < profile->path_count; i++) {
        check_path(&profile->paths[i]);
        require(i == 0 || strlen(profile->paths[i - 1].path) <= strlen(profile->paths[i].path));
    }
    for (size_t i = 0; i < profile->denied_count; i++)
        require(abi_may_deny(profile->denied[i].nr) && profile->denied[i].errnum > 0);
    for (size_t i = 0; i < profile->variable_count; i++)
        require(profile->variables[i].name[0] && !strchr(profile->variables[i].name, '='));
}

static const struct profile_places places = {.home = "/home/u", .cwd = "/home/u/project"};

/* What we write must be readable, and mean the same. */
static void try_again(const struct profile *profile)
{
    cleanup_strbuf struct strbuf text = {0};
    cleanup_profile struct profile again = {0};
    struct base_error error = {0};

    profile_write(profile, NULL, &places, "again", &text);
    if (text.length > PROFILE_FILE_MAX)
        return; /* defaults and quotes make it longer */
    require(profile_parse(&again, "again", strbuf_text(&text), text.length, &places, &error) == 0);
    require(again.path_count <= profile->path_count &&
            again.denied_count == profile->denied_count &&
            again.minimal_view.value == profile->minimal_view.value &&
            again.network.value == profile->network.value);
    for (size_t i = 0, j = 0; i < again.path_count; i++, j++) {
        while (strcmp(again.paths[i].path, profile->paths[j].path) != 0)
            require(++j < profile->path_count); /* a name that cannot be written */
        require(again.paths[i].kind == profile->paths[j].kind);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_profile struct profile profile = {0};
    struct base_error error = {0};
    int r = profile_parse(&profile, "fuzz", (const char *)data, size, &places, &error);

    if (r < 0) {
        require(error.code == -r && error.sentence[0]);
        return 0;
    }
    require(r == 0 && error.code == 0);
    check(&profile);
    try_again(&profile);
    return 0;
}

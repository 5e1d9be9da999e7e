/*
 * From a name to its files: the shipped one, the user's, and what these extend, lowest layer first.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "profile/profile-internal.h"

#define SUFFIX ".yaml"

/* The chain of profiles that extend each other, from the one that was asked for. */
struct chain {
    const struct chain *outer;
    const char *name;
    unsigned depth;
};

struct loading {
    struct profile *profile;
    const struct profile_places *places;
    struct base_error *error;
};

static int load_profile(const struct loading *loading, const char *name, const struct chain *chain);

static bool is_path(const char *name)
{
    size_t length = strlen(name);

    return strchr(name, '/') != NULL ||
           (length > strlen(SUFFIX) && strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0);
}

static bool is_name(const char *name)
{
    return name[0] && name[0] != '.' &&
           name[strspn(name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] ==
               '\0' &&
           strlen(name) < 64;
}

/* A FIFO or a device would hold us up or never end. */
static int read_text(const char *path, struct strbuf *ret_text, struct base_error *error)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat stat;
    char fd_path[IO_FD_PATH_SIZE];
    int r;

    if (fd < 0 || fstat(fd, &stat) < 0)
        return base_fail(error, errno, "name a profile or the path of one",
                         "cannot read the profile %s: %s", path, strerror(errno));
    if (!S_ISREG(stat.st_mode))
        return base_fail(error, EINVAL, "name a file", "the profile %s is no file", path);
    if (stat.st_size > PROFILE_FILE_MAX)
        return base_fail(error, EFBIG, "split it, and extend one from the other",
                         "%s: a profile has at most %d bytes", path, PROFILE_FILE_MAX);
    r = io_read_file(AT_FDCWD, io_fd_path(fd, fd_path), PROFILE_FILE_MAX + 1, ret_text);
    return r < 0 ? base_fail(error, r, NULL, "cannot read the profile %s: %s", path, strerror(-r))
                 : 0;
}

/* ---- one file ---- */

struct extending {
    const struct loading *loading;
    const struct tree_source *source;
    const struct chain *chain;
    const char *directory; /* of the file: paths are relative to it */
};

static int extend(void *user, const struct tree_node *name)
{
    const struct extending *extending = user;
    const struct chain *chain = extending->chain;
    char path[PATH_MAX];

    if (chain == NULL || chain->depth >= PROFILE_DEPTH_MAX)
        return tree_fail(extending->source, name->line, name->column,
                         "put what they have in common into one file",
                         "profiles extend each other too deeply");
    if (!is_path(name->text) || name->text[0] == '/')
        return load_profile(extending->loading, name->text, chain);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", extending->directory, name->text) >=
        sizeof(path))
        return tree_fail(extending->source, name->line, name->column, NULL, "the path is too long");
    return load_profile(extending->loading, path, chain);
}

static int add_file(struct profile *profile, enum profile_layer layer, const char *path,
                    unsigned *ret_file)
{
    if (profile->file_count == PROFILE_FILES_MAX)
        return -E2BIG;
    profile->files[profile->file_count] =
        (struct profile_file){.layer = layer, .path = strdup(path)};
    if (profile->files[profile->file_count].path == NULL)
        return -ENOMEM;
    *ret_file = profile->file_count++;
    return 0;
}

/* Merges a parsed file. */
static int merge(const struct loading *loading, enum profile_layer layer,
                 const struct tree_source *source, const struct tree_node *root,
                 const struct chain *chain)
{
    char directory[PATH_MAX];
    struct extending extending = {loading, source, chain, directory};
    bool replaces = false;
    unsigned file;
    char *slash;
    int r;

    snprintf(directory, sizeof(directory), "%s", source->path);
    slash = strrchr(directory, '/');
    snprintf(slash ? slash : directory, 2, "%s", slash == directory ? "/" : slash ? "" : ".");
    r = schema_replaces(source, root, &replaces);
    if (r == 0 && replaces)
        model_clear(loading->profile);
    if (r == 0)
        r = schema_extends(source, root, extend, &extending);
    if (r < 0)
        return r;
    r = add_file(loading->profile, layer, source->path, &file);
    if (r < 0)
        return base_fail(loading->error, r, NULL, "%s: %s", source->path,
                         r == -E2BIG ? "too many profiles extend each other" : "no memory");
    return schema_apply(loading->profile, file, source, root, loading->places);
}

static int load_text(const struct loading *loading, enum profile_layer layer, const char *path,
                     const char *text, size_t length, const struct chain *chain)
{
    struct tree_source source = {path, loading->error};
    struct tree_node *root = NULL;
    int r = tree_parse(&source, text, length, &root);

    if (r == 0)
        r = merge(loading, layer, &source, root, chain);
    tree_free(root);
    return r;
}

static int load_file(const struct loading *loading, enum profile_layer layer, const char *path,
                     const struct chain *chain)
{
    cleanup_strbuf struct strbuf text = {0};
    int r = read_text(path, &text, loading->error);

    return r < 0 ? r : load_text(loading, layer, path, strbuf_text(&text), text.length, chain);
}

/* ---- all files of a name ---- */

/* Returns 1 when there is such a file and it has been merged, 0 when there is none. */
static int load_layer(const struct loading *loading, enum profile_layer layer,
                      const char *directory, const char *name, const struct chain *chain)
{
    char path[PATH_MAX];
    int r;

    if (directory == NULL)
        return 0;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s" SUFFIX, directory, name) >= sizeof(path))
        return 0;
    if (access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    r = load_file(loading, layer, path, chain);
    return r < 0 ? r : 1;
}

static int not_found(const struct loading *loading, const char *name)
{
    char hint[256];

    snprintf(hint, sizeof(hint), "look into %.100s, or name a file with its path",
             loading->places->shipped ? loading->places->shipped : "share/cerebro/profiles");
    return base_fail(loading->error, ENOENT, hint, "there is no profile '%.64s'", name);
}

static int load_named(const struct loading *loading, const char *name, const struct chain *chain)
{
    int shipped, user;

    if (!is_name(name))
        return base_fail(loading->error, EINVAL, "names have letters, digits, '-', '_' and '.'",
                         "'%.64s' is no name of a profile", name);
    shipped = load_layer(loading, PROFILE_SHIPPED, loading->places->shipped, name, chain);
    if (shipped < 0)
        return shipped;
    user = load_layer(loading, PROFILE_USER, loading->places->user, name, chain);
    if (user < 0)
        return user;
    return shipped || user ? 0 : not_found(loading, name);
}

static bool is_in_chain(const struct chain *chain, const char *name)
{
    for (; chain; chain = chain->outer)
        if (strcmp(chain->name, name) == 0)
            return true;
    return false;
}

static int load_profile(const struct loading *loading, const char *name, const struct chain *outer)
{
    cleanup_free char *canonical = is_path(name) ? realpath(name, NULL) : NULL;
    struct chain chain = {outer, canonical ? canonical : name, outer ? outer->depth + 1 : 0};

    if (is_in_chain(outer, chain.name))
        return base_fail(loading->error, ELOOP, "take one of the 'extends' out",
                         "the profile %.128s extends itself", name);
    return is_path(name) ? load_file(loading, PROFILE_FILE, name, &chain)
                         : load_named(loading, name, &chain);
}

static int finish(const struct loading *loading, const char *name)
{
    char *copy = strdup(name);

    if (copy == NULL)
        return base_fail(loading->error, ENOMEM, NULL, "no memory for the profile");
    free(loading->profile->name);
    loading->profile->name = copy;
    model_sort(loading->profile);
    return 0;
}

int profile_load(struct profile *profile, const char *name, const struct profile_places *places,
                 struct base_error *error)
{
    struct loading loading = {profile, places, error};
    int r = load_profile(&loading, name, NULL);

    return r < 0 ? r : finish(&loading, name);
}

int profile_parse(struct profile *profile, const char *path, const char *text, size_t length,
                  const struct profile_places *places, struct base_error *error)
{
    struct loading loading = {profile, places, error};
    int r = load_text(&loading, PROFILE_FILE, path, text, length, NULL);

    return r < 0 ? r : finish(&loading, path);
}

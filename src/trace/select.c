/* Which calls are shown: by path, and by how they ended. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace-internal.h"

#define AT_FDCWD_VALUE (-100)

static const char status_hint[] =
    "write successful, failed or unavailable, with commas; ! in front "
    "means all others";

/* Adds one component of a path that is canonical so far. */
static void add_component(struct strbuf *path, const char *name, size_t length)
{
    if (length == 0 || (length == 1 && name[0] == '.'))
        return;
    if (length == 2 && memcmp(name, "..", 2) == 0) {
        const char *slash = strrchr(strbuf_text(path), '/');

        strbuf_truncate(path, slash ? (size_t)(slash - strbuf_text(path)) : 0);
        return;
    }
    strbuf_add_string(path, "/");
    strbuf_add(path, name, length);
}

/* Appends a path, by its text alone: what links lead to is not asked. */
static void add_path(struct strbuf *path, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "/");

        add_component(path, text, length);
        text += length + (text[length] == '/');
    }
}

static bool is_wanted(const struct trace_options *options, const char *path)
{
    for (unsigned i = 0; i < options->path_count; i++)
        if (strcmp(options->paths[i], path[0] ? path : "/") == 0)
            return true;
    return false;
}

/* The guest path of a descriptor; "" when nobody knows. */
static void add_descriptor(struct strbuf *path, struct pk_request *request, int fd)
{
    const struct pk_personality *personality = request->kernel->personality;
    char text[TRACE_PATH_MAX];

    if (fd >= 0 && personality && personality->describe_fd &&
        personality->describe_fd(request, fd, text, sizeof(text)) >= 0)
        add_path(path, text);
}

static void add_directory(struct strbuf *path, struct pk_request *request)
{
    const struct pk_place_ops *places = request->kernel->places;

    if (places && request->context && request->context->cwd)
        add_path(path, places->path(request->context->cwd));
}

/* A name, from where it begins: the directory of the argument before, or the current one. */
static bool names_wanted(const struct trace_options *options, struct pk_request *request,
                         unsigned index)
{
    bool at = index > 0 && request->call->args[index - 1].kind == ABI_ARG_DIRFD;
    int directory = at ? (int)request->args[index - 1] : AT_FDCWD_VALUE;
    cleanup_strbuf struct strbuf path = {0};
    char text[TRACE_PATH_MAX];

    if (request->args[index] == 0 || pk_read_path(request, request->args[index], text) < 0)
        return false;
    if (text[0] != '/' && directory == AT_FDCWD_VALUE)
        add_directory(&path, request);
    else if (text[0] != '/')
        add_descriptor(&path, request, directory);
    add_path(&path, text);
    return is_wanted(options, strbuf_text(&path));
}

static bool is_descriptor_wanted(const struct trace_options *options, struct pk_request *request,
                                 int fd)
{
    cleanup_strbuf struct strbuf path = {0};

    add_descriptor(&path, request, fd);
    return path.length && is_wanted(options, strbuf_text(&path));
}

bool trace_names_path(const struct trace_options *options, struct pk_request *request)
{
    bool wanted = false;

    for (unsigned i = 0; request->call && i < request->call->nargs && !wanted; i++) {
        enum abi_arg_kind kind = request->call->args[i].kind;

        if (kind == ABI_ARG_PATH)
            wanted = names_wanted(options, request, i);
        else if (kind == ABI_ARG_FD || kind == ABI_ARG_DIRFD)
            wanted = is_descriptor_wanted(options, request, (int)request->args[i]);
    }
    return wanted;
}

int trace_add_path(struct trace_options *options, const char *path, struct base_error *error)
{
    struct strbuf text = {0};

    if (path[0] != '/')
        return base_fail(error, EINVAL, "name it as the program sees it, from / on",
                         "--trace-path takes an absolute path, not '%.100s'", path);
    if (strlen(path) >= TRACE_PATH_MAX || options->path_count == TRACE_PATHS_MAX)
        return base_fail(error, E2BIG, NULL,
                         "--trace-path takes up to %d paths of less than %d bytes", TRACE_PATHS_MAX,
                         TRACE_PATH_MAX);
    add_path(&text, path);
    if (text.length == 0)
        strbuf_add_string(&text, "/");
    if (strbuf_status(&text) < 0) {
        strbuf_free(&text);
        return base_fail(error, ENOMEM, NULL, "no memory");
    }
    options->paths[options->path_count++] = text.data;
    return 0;
}

void trace_options_free(struct trace_options *options)
{
    for (unsigned i = 0; i < options->path_count; i++)
        free((char *)options->paths[i]);
    options->path_count = 0;
}

/* One word of a list; 0: there is none of this name. */
static unsigned status_named(const char *word, size_t length)
{
    static const struct {
        const char *name;
        unsigned status;
    } names[] = {{"successful", TRACE_SUCCESSFUL},
                 {"failed", TRACE_FAILED},
                 {"unavailable", TRACE_UNAVAILABLE},
                 {"all", TRACE_SUCCESSFUL | TRACE_FAILED | TRACE_UNAVAILABLE}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i].name) == length && memcmp(names[i].name, word, length) == 0)
            return names[i].status;
    return 0;
}

int trace_parse_status(const char *text, unsigned *ret_statuses, struct base_error *error)
{
    const unsigned all = TRACE_SUCCESSFUL | TRACE_FAILED | TRACE_UNAVAILABLE;
    bool others = text[0] == '!';
    unsigned statuses = 0;

    for (const char *at = text + others;; at++) {
        size_t length = strcspn(at, ",");
        unsigned status = status_named(at, length);

        if (status == 0)
            return base_fail(error, EINVAL, status_hint, "--trace-status: there is no '%.*s'",
                             (int)(length < 64 ? length : 64), at);
        statuses |= status;
        at += length;
        if (*at == '\0')
            break;
    }
    if (others)
        statuses = all & ~statuses;
    if (statuses == 0)
        return base_fail(error, EINVAL, status_hint, "--trace-status: '%.64s' leaves nothing",
                         text);
    *ret_statuses = statuses;
    return 0;
}

/*
 * What the keys of a profile mean. Each map of the file has a table of its keys; a key that is not
 * in it is an error, with the nearest one as advice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/syscalls.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "profile/profile-internal.h"

#define HINT_SIZE 256

struct reading {
    struct profile *profile;
    unsigned file;
    const struct tree_source *source;
    const struct profile_places *places;
};

struct key {
    const char *name;
    int (*read)(struct reading *reading, const struct tree_node *node);
};

static int fail(struct reading *reading, const struct tree_node *node, const char *hint,
                const char *sentence)
{
    return tree_fail(reading->source, node->line, node->column, hint, "%s", sentence);
}

static struct profile_origin origin_of(const struct reading *reading, const struct tree_node *node)
{
    return (struct profile_origin){reading->file, node->line, node->column};
}

static int added(struct reading *reading, const struct tree_node *node, int r)
{
    if (r == -E2BIG)
        return fail(reading, node, NULL, "there are too many of these in the profile");
    return r < 0
               ? base_fail(reading->source->error, r, NULL, "%s: no memory", reading->source->path)
               : 0;
}

static int unknown(struct reading *reading, const struct tree_node *node, const struct key *keys,
                   size_t count)
{
    const char *names[24];
    char hint[HINT_SIZE];

    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    names[count] = NULL;
    return tree_fail(reading->source, node->key_line, node->key_column,
                     suggest(node->key, names, hint, sizeof(hint)), "there is no key '%.64s' here",
                     node->key);
}

static bool is_empty(const struct tree_node *node)
{
    return node->kind == TREE_SCALAR && node->text[0] == '\0';
}

/* Reads a map with these keys; an empty value is an empty map. */
static int read_map(struct reading *reading, const struct tree_node *map, const struct key *keys,
                    size_t count)
{
    int r = 0;

    if (is_empty(map))
        return 0;
    if (map->kind != TREE_MAP)
        return fail(reading, map, "write NAME: VALUE, indented", "keys with values belong here");
    for (const struct tree_node *child = map->child; r == 0 && child; child = child->next) {
        size_t i = 0;

        while (i < count && strcmp(keys[i].name, child->key) != 0)
            i++;
        r = i < count ? keys[i].read(reading, child) : unknown(reading, child, keys, count);
    }
    return r;
}

/* Calls `read` for each scalar of a list; a single one is a list of one. */
static int read_list(struct reading *reading, const struct tree_node *list,
                     int (*read)(struct reading *reading, const struct tree_node *node))
{
    int r = 0;

    if (is_empty(list))
        return 0;
    if (list->kind == TREE_SCALAR)
        return read(reading, list);
    if (list->kind != TREE_LIST)
        return fail(reading, list, "write - VALUE, one a line", "a list belongs here");
    for (const struct tree_node *child = list->child; r == 0 && child; child = child->next)
        r = child->kind == TREE_SCALAR
                ? read(reading, child)
                : fail(reading, child, "write - VALUE, one a line", "a plain value belongs here");
    return r;
}

/* One word out of a list; `ret_value` is its index. */
static int read_word(struct reading *reading, const struct tree_node *node,
                     const char *const *words, struct profile_value *ret_value)
{
    char hint[HINT_SIZE];

    if (node->kind != TREE_SCALAR)
        return fail(reading, node, NULL, "a single word belongs here");
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], node->text) != 0)
            continue;
        *ret_value = (struct profile_value){i, origin_of(reading, node)};
        return 0;
    }
    return tree_fail(reading->source, node->line, node->column,
                     suggest(node->text, words, hint, sizeof(hint)), "'%.64s' is no value of '%s'",
                     node->text, node->key);
}

static const char *const no_or_yes[] = {"false", "true", NULL};

/* ---- paths ---- */

static int add_path(struct reading *reading, const struct tree_node *node,
                    enum profile_path_kind kind)
{
    struct profile_path path = {.kind = kind, .origin = origin_of(reading, node)};
    struct base_error why = {0};

    if (expand_path(node->text, reading->places, &path.path, &why) < 0)
        return tree_fail(reading->source, node->line, node->column, why.hint,
                         "the path '%.64s' cannot be used: %.128s", node->text, why.sentence);
    if (kind != PROFILE_READ && kind != PROFILE_DROP && strcmp(path.path, "/") == 0) {
        free(path.path);
        return fail(reading, node, "name what the program needs",
                    "the root can only be read as a whole");
    }
    path.text = strdup(node->text);
    if (path.text == NULL) {
        free(path.path);
        return added(reading, node, -ENOMEM);
    }
    return added(reading, node, model_add_path(reading->profile, &path));
}

#define PATH_READER(name, kind)                                                   \
    static int item_##name(struct reading *reading, const struct tree_node *node) \
    {                                                                             \
        return add_path(reading, node, kind);                                     \
    }                                                                             \
    static int read_##name(struct reading *reading, const struct tree_node *node) \
    {                                                                             \
        return read_list(reading, node, item_##name);                             \
    }

PATH_READER(read, PROFILE_READ)
PATH_READER(write, PROFILE_WRITE)
PATH_READER(create, PROFILE_CREATE)
PATH_READER(hide, PROFILE_HIDE)
PATH_READER(scratch, PROFILE_SCRATCH)
PATH_READER(directories, PROFILE_DIRECTORY)
PATH_READER(drop, PROFILE_DROP)

static int read_paths(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {
        {"read", read_read}, {"write", read_write},     {"create", read_create},
        {"hide", read_hide}, {"scratch", read_scratch}, {"directories", read_directories},
        {"drop", read_drop},
    };

    return read_map(reading, node, keys, array_length(keys));
}

/* ---- network ---- */

static int read_network_mode(struct reading *reading, const struct tree_node *node)
{
    static const char *const words[] = {"none", "host", NULL};

    return read_word(reading, node, words, &reading->profile->network);
}

static int add_rule(struct reading *reading, const struct tree_node *node, bool allow)
{
    struct profile_rule rule = {
        .allow = allow, .text = strdup(node->text), .origin = origin_of(reading, node)};

    if (node->text[0] == '\0') {
        free(rule.text);
        return fail(reading, node, "write HOST, HOST:PORT or NETWORK/BITS", "the rule is empty");
    }
    if (rule.text == NULL)
        return added(reading, node, -ENOMEM);
    return added(reading, node, model_add_rule(reading->profile, &rule));
}

static int item_allow(struct reading *reading, const struct tree_node *node)
{
    return add_rule(reading, node, true);
}

static int item_deny(struct reading *reading, const struct tree_node *node)
{
    return add_rule(reading, node, false);
}

static int read_allow(struct reading *reading, const struct tree_node *node)
{
    return read_list(reading, node, item_allow);
}

static int read_deny(struct reading *reading, const struct tree_node *node)
{
    return read_list(reading, node, item_deny);
}

static int read_network(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {
        {"mode", read_network_mode}, {"allow", read_allow}, {"deny", read_deny}};

    if (node->kind == TREE_SCALAR && !is_empty(node))
        return read_network_mode(reading, node);
    return read_map(reading, node, keys, array_length(keys));
}

/* ---- limits ---- */

static int read_limit(struct reading *reading, const struct tree_node *node)
{
    int limit = pk_limit_find(node->key); /* read_map() knows the keys */
    uint64_t number;

    if (node->kind != TREE_SCALAR || pk_limit_parse((enum pk_limit)limit, node->text, &number) < 0)
        return fail(reading, node, "write a number; sizes take K, M, G, times ms, s, m, h",
                    "this is not a positive number");
    reading->profile->limits[limit] = (struct profile_value){number, origin_of(reading, node)};
    return 0;
}

static int read_limits(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {
        {"memory", read_limit}, {"pids", read_limit}, {"files", read_limit}, {"cpu", read_limit},
        {"fsize", read_limit},  {"wall", read_limit}, {"cpus", read_limit},  {"io", read_limit}};

    return read_map(reading, node, keys, array_length(keys));
}

/* ---- environment ---- */

static int add_variable(struct reading *reading, const struct tree_node *node, const char *name,
                        const char *value, enum profile_environment_kind kind)
{
    struct profile_variable variable = {.kind = kind, .origin = origin_of(reading, node)};

    if (name[0] == '\0' || strchr(name, '='))
        return fail(reading, node, "write the name of a variable", "this is no name of a variable");
    variable.name = strdup(name);
    variable.value = value ? strdup(value) : NULL;
    if (variable.name == NULL || (value && variable.value == NULL)) {
        free(variable.name);
        free(variable.value);
        return added(reading, node, -ENOMEM);
    }
    return added(reading, node, model_add_variable(reading->profile, &variable));
}

static int item_unset(struct reading *reading, const struct tree_node *node)
{
    return add_variable(reading, node, node->text, NULL, PROFILE_ENV_UNSET);
}

static int item_keep(struct reading *reading, const struct tree_node *node)
{
    return add_variable(reading, node, node->text, NULL, PROFILE_ENV_KEEP);
}

static int read_unset(struct reading *reading, const struct tree_node *node)
{
    return read_list(reading, node, item_unset);
}

static int read_keep(struct reading *reading, const struct tree_node *node)
{
    return read_list(reading, node, item_keep);
}

static int read_clear(struct reading *reading, const struct tree_node *node)
{
    return read_word(reading, node, no_or_yes, &reading->profile->clear_environment);
}

static int read_set(struct reading *reading, const struct tree_node *node)
{
    int r = 0;

    if (is_empty(node))
        return 0;
    if (node->kind != TREE_MAP)
        return fail(reading, node, "write NAME: VALUE, one a line", "variables belong here");
    for (const struct tree_node *child = node->child; r == 0 && child; child = child->next)
        r = child->kind == TREE_SCALAR
                ? add_variable(reading, child, child->key, child->text, PROFILE_ENV_SET)
                : fail(reading, child, NULL, "a plain value belongs here");
    return r;
}

static int read_environment(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {
        {"clear", read_clear}, {"keep", read_keep}, {"set", read_set}, {"unset", read_unset}};

    return read_map(reading, node, keys, array_length(keys));
}

/* ---- personality ---- */

static int read_type(struct reading *reading, const struct tree_node *node)
{
    static const char *const words[] = {"linux", NULL};
    struct profile_value ignored; /* there is one */

    return read_word(reading, node, words, &ignored);
}

static int read_uid(struct reading *reading, const struct tree_node *node)
{
    char text[32];
    char *colon;
    uint64_t uid, gid;

    if (node->kind != TREE_SCALAR || strlen(node->text) >= sizeof(text))
        return fail(reading, node, "write N or N:GID", "this is no user id");
    snprintf(text, sizeof(text), "%s", node->text);
    colon = strchr(text, ':');
    if (colon)
        *colon++ = '\0';
    if (io_parse_u64(text, UINT32_MAX - 1, &uid) < 0 ||
        (colon && io_parse_u64(colon, UINT32_MAX - 1, &gid) < 0))
        return fail(reading, node, "write N or N:GID", "this is no user id");
    reading->profile->uid = (struct profile_value){uid, origin_of(reading, node)};
    reading->profile->gid = (struct profile_value){colon ? gid : uid, origin_of(reading, node)};
    return 0;
}

static int read_personality(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {{"type", read_type}, {"uid", read_uid}};

    return read_map(reading, node, keys, array_length(keys));
}

/* ---- system calls ---- */

static int item_call(struct reading *reading, const struct tree_node *node)
{
    struct profile_denied denied = {.errnum = EPERM, .origin = origin_of(reading, node)};
    const struct abi_syscall *call;
    char name[64];
    const char *equals = strchr(node->text, '=');
    size_t length = equals ? (size_t)(equals - node->text) : strlen(node->text);

    snprintf(name, sizeof(name), "%.*s", (int)(length < 63 ? length : 63), node->text);
    call = abi_syscall_by_name(name);
    if (call == NULL)
        return tree_fail(reading->source, node->line, node->column, "`cerebro syscalls` lists them",
                         "there is no system call '%s'", name);
    if (!abi_may_deny(call->nr))
        return tree_fail(reading->source, node->line, node->column, NULL,
                         "%s cannot be denied: no program could start, end or wait without it",
                         name);
    denied.nr = call->nr;
    if (equals)
        denied.errnum = abi_errno_by_name(equals + 1);
    if (denied.errnum <= 0 || denied.errnum > 511)
        return tree_fail(reading->source, node->line, node->column, "write EPERM, ENOSYS, EACCES",
                         "there is no error '%.32s'", equals + 1);
    return added(reading, node, model_add_denied(reading->profile, &denied));
}

static int read_denied(struct reading *reading, const struct tree_node *node)
{
    return read_list(reading, node, item_call);
}

static int read_calls(struct reading *reading, const struct tree_node *node)
{
    static const struct key keys[] = {{"deny", read_denied}};

    return read_map(reading, node, keys, array_length(keys));
}

/* ---- the file ---- */

static int read_description(struct reading *reading, const struct tree_node *node)
{
    char *text;

    if (node->kind != TREE_SCALAR)
        return fail(reading, node, "write one line in quotes", "a text belongs here");
    text = strdup(node->text);
    if (text == NULL)
        return added(reading, node, -ENOMEM);
    free(reading->profile->description);
    reading->profile->description = text;
    return 0;
}

static int read_mode(struct reading *reading, const struct tree_node *node)
{
    static const char *const words[] = {"enforce", "report", NULL};

    return read_word(reading, node, words, &reading->profile->report_only);
}

static int read_view(struct reading *reading, const struct tree_node *node)
{
    static const char *const words[] = {"host", "minimal", NULL};

    return read_word(reading, node, words, &reading->profile->minimal_view);
}

/* Read before everything else, by schema_extends() and schema_replaces(). */
static int read_before(struct reading *reading, const struct tree_node *node)
{
    (void)reading;
    (void)node;
    return 0;
}

int schema_apply(struct profile *profile, unsigned file, const struct tree_source *source,
                 const struct tree_node *root, const struct profile_places *places)
{
    static const struct key keys[] = {
        {"description", read_description},
        {"extends", read_before},
        {"replace", read_before},
        {"mode", read_mode},
        {"view", read_view},
        {"paths", read_paths},
        {"network", read_network},
        {"limits", read_limits},
        {"environment", read_environment},
        {"personality", read_personality},
        {"calls", read_calls},
    };
    struct reading reading = {profile, file, source, places};

    return root ? read_map(&reading, root, keys, array_length(keys)) : 0;
}

static const struct tree_node *find_key(const struct tree_node *root, const char *key)
{
    if (root == NULL || root->kind != TREE_MAP)
        return NULL;
    for (const struct tree_node *child = root->child; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

int schema_extends(const struct tree_source *source, const struct tree_node *root,
                   int (*visit)(void *user, const struct tree_node *name), void *user)
{
    const struct tree_node *node = find_key(root, "extends");
    int r = 0;

    if (node == NULL)
        return 0;
    if (node->kind == TREE_SCALAR)
        return visit(user, node);
    if (node->kind == TREE_MAP)
        return tree_fail(source, node->line, node->column, "write - NAME, one a line",
                         "names of profiles belong here");
    for (const struct tree_node *child = node->child; r == 0 && child; child = child->next)
        r = child->kind == TREE_SCALAR
                ? visit(user, child)
                : tree_fail(source, child->line, child->column, "write - NAME, one a line",
                            "a name of a profile belongs here");
    return r;
}

int schema_replaces(const struct tree_source *source, const struct tree_node *root,
                    bool *ret_replaces)
{
    const struct tree_node *node = find_key(root, "replace");
    struct reading reading = {.source = source};
    struct profile_value value = {0};
    int r = node ? read_word(&reading, node, no_or_yes, &value) : 0;

    if (r == 0)
        *ret_replaces = value.value;
    return r;
}

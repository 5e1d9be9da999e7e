/*
 * YAML to a tree, with libyaml's event parser: it knows line and column of everything. What makes
 * YAML hard to bound or to read is refused: aliases, tags, several documents.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "profile/profile-internal.h"

struct building {
    const struct tree_source *source;
    yaml_parser_t parser;
    struct tree_node *open[PROFILE_DEPTH_MAX]; /* maps and lists around the position */
    struct tree_node *last[PROFILE_DEPTH_MAX]; /* their last children */
    unsigned depth;
    char *key; /* read, its value is still to come */
    unsigned key_line, key_column;
    unsigned count;
    struct tree_node *root;
};

int tree_fail(const struct tree_source *source, unsigned line, unsigned column, const char *hint,
              const char *format, ...)
{
    char sentence[256];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    return base_fail(source->error, EINVAL, hint, "%s:%u:%u: %s", source->path, line, column,
                     sentence);
}

void tree_free(struct tree_node *node)
{
    while (node) {
        struct tree_node *next = node->next;

        tree_free(node->child);
        free(node->key);
        free(node->text);
        free(node);
        node = next;
    }
}

static int fail_at(const struct building *b, const yaml_mark_t *mark, const char *hint,
                   const char *sentence)
{
    return tree_fail(b->source, (unsigned)mark->line + 1, (unsigned)mark->column + 1, hint, "%s",
                     sentence);
}

static int no_memory(const struct building *b)
{
    return base_fail(b->source->error, ENOMEM, NULL, "%s: no memory", b->source->path);
}

static bool has_key(const struct tree_node *map, const char *key)
{
    for (const struct tree_node *child = map->child; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return true;
    return false;
}

/* Hangs a node below the innermost open map or list; the node is taken in every case. */
static int attach(struct building *b, struct tree_node *node)
{
    struct tree_node *parent = b->depth ? b->open[b->depth - 1] : NULL;

    node->key = take_ptr(b->key);
    node->key_line = b->key_line;
    node->key_column = b->key_column;
    if (parent == NULL)
        b->root = node;
    else if (b->last[b->depth - 1])
        b->last[b->depth - 1]->next = node;
    else
        parent->child = node;
    if (parent)
        b->last[b->depth - 1] = node;
    return 0;
}

static int new_node(struct building *b, enum tree_kind kind, const yaml_mark_t *mark,
                    struct tree_node **ret_node)
{
    struct tree_node *node;

    if (++b->count > PROFILE_NODES_MAX)
        return fail_at(b, mark, "split it, and extend one from the other", "too many values");
    node = calloc(1, sizeof(*node));
    if (node == NULL)
        return no_memory(b);
    node->kind = kind;
    node->line = (unsigned)mark->line + 1;
    node->column = (unsigned)mark->column + 1;
    *ret_node = node;
    return 0;
}

/* The text of a scalar. */
static int take_text(const struct building *b, const yaml_event_t *event, char **ret_text)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;

    if (length > PROFILE_TEXT_MAX)
        return fail_at(b, &event->start_mark, NULL, "the value is too long");
    if (memchr(text, '\0', length))
        return fail_at(b, &event->start_mark, NULL, "a value must not contain NUL");
    *ret_text = strndup(text, length);
    return *ret_text ? 0 : no_memory(b);
}

static int take_key(struct building *b, const yaml_event_t *event)
{
    int r = take_text(b, event, &b->key);

    if (r < 0)
        return r;
    b->key_line = (unsigned)event->start_mark.line + 1;
    b->key_column = (unsigned)event->start_mark.column + 1;
    if (has_key(b->open[b->depth - 1], b->key))
        return tree_fail(b->source, b->key_line, b->key_column, "write it once",
                         "'%s' stands here for the second time", b->key);
    return 0;
}

static bool wants_key(const struct building *b)
{
    return b->depth && b->open[b->depth - 1]->kind == TREE_MAP && b->key == NULL;
}

static int on_scalar(struct building *b, const yaml_event_t *event)
{
    struct tree_node *node = NULL;
    int r;

    if (event->data.scalar.tag || event->data.scalar.anchor)
        return fail_at(b, &event->start_mark, "write the value itself",
                       "tags and anchors are not used in profiles");
    if (wants_key(b))
        return take_key(b, event);
    r = new_node(b, TREE_SCALAR, &event->start_mark, &node);
    if (r == 0)
        r = take_text(b, event, &node->text);
    if (r == 0)
        return attach(b, node);
    tree_free(node);
    return r;
}

static int on_begin(struct building *b, const yaml_event_t *event, enum tree_kind kind)
{
    const yaml_char_t *tag =
        kind == TREE_MAP ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        kind == TREE_MAP ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    struct tree_node *node;
    int r;

    if (tag || anchor)
        return fail_at(b, &event->start_mark, "write the value itself",
                       "tags and anchors are not used in profiles");
    if (wants_key(b))
        return fail_at(b, &event->start_mark, "write NAME: VALUE", "a key must be a word");
    if (b->depth == PROFILE_DEPTH_MAX)
        return fail_at(b, &event->start_mark, NULL, "the values are nested too deeply");
    r = new_node(b, kind, &event->start_mark, &node);
    if (r < 0)
        return r;
    attach(b, node);
    b->open[b->depth] = node;
    b->last[b->depth] = NULL;
    b->depth++;
    return 0;
}

/* Returns 1 at the end of the stream. */
static int on_event(struct building *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->root)
            return fail_at(b, &event->start_mark, "take the line --- out",
                           "a profile is one document");
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_MAPPING_START_EVENT:
        return on_begin(b, event, TREE_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(b, event, TREE_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        b->depth--;
        return 0;
    case YAML_ALIAS_EVENT:
        return fail_at(b, &event->start_mark, "write the value itself",
                       "aliases are not used in profiles");
    case YAML_STREAM_END_EVENT:
        return 1;
    default:
        return 0;
    }
}

static int next_event(struct building *b)
{
    yaml_event_t event;
    int r;

    if (!yaml_parser_parse(&b->parser, &event)) {
        if (b->parser.error == YAML_MEMORY_ERROR)
            return no_memory(b);
        return fail_at(b, &b->parser.problem_mark, "see cerebro-profile(5) for an example",
                       b->parser.problem ? b->parser.problem : "this is no YAML");
    }
    r = on_event(b, &event);
    yaml_event_delete(&event);
    return r;
}

int tree_parse(const struct tree_source *source, const char *text, size_t length,
               struct tree_node **ret_root)
{
    struct building b = {.source = source};
    int r;

    if (length > PROFILE_FILE_MAX)
        return base_fail(source->error, EFBIG, "split it, and extend one from the other",
                         "%s: a profile has at most %d bytes", source->path, PROFILE_FILE_MAX);
    if (!yaml_parser_initialize(&b.parser))
        return no_memory(&b);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, length);
    while ((r = next_event(&b)) == 0)
        ;
    yaml_parser_delete(&b.parser);
    free(b.key);
    if (r < 0) {
        tree_free(b.root);
        return r;
    }
    *ret_root = b.root;
    return 0;
}

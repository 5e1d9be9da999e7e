/*
 * From any number of paths to as many as a profile has room for.
 *
 * The paths are sorted and hung into a tree of their components, so that each question about a
 * directory is one about its children and none is asked of all paths: the work grows with their
 * number and not with its square.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/record-internal.h"

#define MANY 8 /* more than so many names of a directory are "the directory" */

/* What a learned profile takes of what one may have; the rest is for layers above it. */
#define PATHS_GOAL (PROFILE_PATHS_MAX * 3 / 4)
#define TEXT_GOAL  (PROFILE_FILE_MAX / 2)
#define LINE_FRAME 9 /* bytes of a line around the path */

/* Stronger kinds win where a path was used in several ways; what the user has said wins over all.
 */
enum strength { OF_DIRECTORY, OF_READ, OF_SCRATCH, OF_WRITE, OF_USER };

#define NOTHING (-1) /* for the kind of a node that is only on the way to others */

struct node {
    char *path;
    int kind; /* enum profile_path_kind or NOTHING */
    unsigned strength;
    struct node *parent;
    struct node *child; /* the newest first */
    struct node *next;
};

/* How much of a profile some paths take. */
struct extent {
    size_t count;
    size_t bytes;
};

struct folding {
    const struct profile_places *places;
    struct extent extent; /* of the whole tree */
};

/* ---- the list ---- */

static unsigned strength_of(const struct fold *fold, enum profile_path_kind kind, bool given)
{
    static const unsigned strengths[] = {
        [PROFILE_READ] = OF_READ,           [PROFILE_WRITE] = OF_WRITE,
        [PROFILE_HIDE] = OF_USER,           [PROFILE_SCRATCH] = OF_SCRATCH,
        [PROFILE_DIRECTORY] = OF_DIRECTORY,
    };

    /* Of what the user has said, the last counts. */
    return given ? OF_USER + (unsigned)fold->count : strengths[kind];
}

int fold_add(struct fold *fold, const char *path, enum profile_path_kind kind, bool given)
{
    struct fold_path *grown = fold->paths;

    if (fold->count == fold->capacity) {
        size_t capacity = fold->capacity ? fold->capacity * 2 : 64;

        grown = reallocarray(fold->paths, capacity, sizeof(*grown));
        if (grown == NULL)
            return -ENOMEM;
        fold->paths = grown;
        fold->capacity = capacity;
    }
    grown[fold->count] = (struct fold_path){strdup(path), kind, strength_of(fold, kind, given)};
    return grown[fold->count].path ? (fold->count++, 0) : -ENOMEM;
}

void fold_free(struct fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        free(fold->paths[i].path);
    free(fold->paths);
    *fold = (struct fold){0};
}

/* A slash before all other characters: a directory is followed by what lies in it. */
static int rank(char c)
{
    return c == '\0' ? 0 : c == '/' ? 1 : (unsigned char)c + 1;
}

static int by_components(const void *a, const void *b)
{
    const char *x = ((const struct fold_path *)a)->path;
    const char *y = ((const struct fold_path *)b)->path;

    while (*x && *x == *y) {
        x++;
        y++;
    }
    return rank(*x) - rank(*y);
}

/* ---- the tree ---- */

static struct node *new_node(struct node *parent, const char *path, size_t length)
{
    struct node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->path = strndup(path, length);
    if (node->path == NULL) {
        free(node);
        return NULL;
    }
    node->kind = NOTHING;
    node->parent = parent;
    if (parent) {
        node->next = parent->child;
        parent->child = node;
    }
    return node;
}

static void free_tree(struct node *node)
{
    while (node) {
        struct node *next = node->next;

        free_tree(node->child);
        free(node->path);
        free(node);
        node = next;
    }
}

/* Hangs a path below `root`; `at` is the node of the path before it. Returns its node. */
static struct node *hang(struct node *root, struct node *at, const char *path)
{
    while (at != root && !places_is_below(path, at->path))
        at = at->parent;
    for (;;) {
        size_t begin = at == root ? 0 : strlen(at->path);

        if (path[begin] == '\0' || path[begin + 1] == '\0')
            return at;
        at = new_node(at, path, begin + 1 + strcspn(path + begin + 1, "/"));
        if (at == NULL)
            return NULL;
    }
}

static int make_tree(struct fold *fold, struct node *root)
{
    struct node *at = root;

    if (fold->count)
        qsort(fold->paths, fold->count, sizeof(*fold->paths), by_components);
    for (size_t i = 0; i < fold->count; i++) {
        const struct fold_path *path = &fold->paths[i];

        at = hang(root, at, path->path);
        if (at == NULL)
            return -ENOMEM;
        if (at->kind != NOTHING && at->strength > path->strength)
            continue;
        at->kind = (int)path->kind;
        at->strength = path->strength;
    }
    return 0;
}

/* ---- what is needless ---- */

static bool is_given(const struct node *node)
{
    return node->kind != NOTHING && node->strength >= OF_USER;
}

/* `around` is the kind of the nearest directory above that is more than an empty one. */
static bool is_covered(const struct node *node, int around)
{
    if (is_given(node) || around == NOTHING)
        return false;
    if (node->kind == PROFILE_READ)
        return around == PROFILE_READ || around == PROFILE_WRITE;
    return node->kind == PROFILE_DIRECTORY || node->kind == around;
}

static int around_below(const struct node *node, int around)
{
    return node->kind == NOTHING || node->kind == PROFILE_DIRECTORY ? around : node->kind;
}

/* Returns whether anything is left below `node` or at it. */
static bool drop_needless(struct node *node, int around)
{
    bool has_more = false;

    if (is_covered(node, around))
        node->kind = NOTHING;
    around = around_below(node, around);
    for (struct node *child = node->child; child; child = child->next)
        has_more |= drop_needless(child, around);
    /* An empty directory that stands on the way to something comes by itself. */
    if (has_more && node->kind == PROFILE_DIRECTORY && !is_given(node))
        node->kind = NOTHING;
    return has_more || node->kind != NOTHING;
}

static void add_extent(const struct node *node, struct extent *extent)
{
    if (node->kind != NOTHING) {
        extent->count++;
        extent->bytes += strlen(node->path) + LINE_FRAME;
    }
    for (const struct node *child = node->child; child; child = child->next)
        add_extent(child, extent);
}

/* ---- from files to directories ---- */

static void open_directory(struct node *node, enum profile_path_kind kind)
{
    node->kind = (int)kind;
    node->strength = kind == PROFILE_WRITE ? OF_WRITE : OF_READ;
}

static bool is_open(const struct node *node)
{
    return node->kind != NOTHING && node->kind != PROFILE_DIRECTORY;
}

/* Where more than a few things of one directory were read, the directory is. */
static void draw_together(const struct folding *folding, struct node *node)
{
    unsigned reads = 0;

    for (struct node *child = node->child; child; child = child->next) {
        draw_together(folding, child);
        reads += child->kind == PROFILE_READ;
    }
    if (reads > MANY && !is_open(node) && !places_is_closed(folding->places, node->path))
        open_directory(node, PROFILE_READ);
}

/* ---- when that is not enough ---- */

static bool fits(const struct folding *folding)
{
    return folding->extent.count <= PATHS_GOAL && folding->extent.bytes <= TEXT_GOAL;
}

static void widen_to(struct folding *folding, struct node *node, enum profile_path_kind kind)
{
    struct extent before = {0}, after = {0};

    add_extent(node, &before);
    open_directory(node, kind);
    drop_needless(node, NOTHING);
    add_extent(node, &after);
    folding->extent.count += after.count - before.count;
    folding->extent.bytes += after.bytes - before.bytes;
}

static unsigned kinds_at(const struct node *node)
{
    return node->kind == NOTHING ? 0 : 1U << node->kind;
}

/*
 * Opens directories, the deepest first, of which more than `many` children have something in them,
 * however deep, until there is room. Returns the kinds that are at `node` and below, as bits.
 */
static unsigned widen(struct folding *folding, struct node *node, unsigned many)
{
    const unsigned of_read = 1U << PROFILE_READ | 1U << PROFILE_DIRECTORY;
    const unsigned of_write = 1U << PROFILE_WRITE;
    unsigned readers = 0, writers = 0, below = 0;

    for (struct node *child = node->child; child; child = child->next) {
        unsigned kinds = widen(folding, child, many);

        readers += (kinds & of_read) != 0;
        writers += (kinds & of_write) != 0;
        below |= kinds;
    }
    if (fits(folding) || is_given(node) || places_is_closed(folding->places, node->path))
        return below | kinds_at(node);
    if (writers > many && (!is_open(node) || node->kind == PROFILE_READ) &&
        places_is_own(folding->places, node->path))
        widen_to(folding, node, PROFILE_WRITE);
    else if (readers > many && !is_open(node))
        widen_to(folding, node, PROFILE_READ);
    return below | kinds_at(node);
}

static int make_room(struct folding *folding, struct node *root)
{
    add_extent(root, &folding->extent);
    for (unsigned many = MANY; many > 0 && !fits(folding); many /= 2)
        widen(folding, root, many);
    return folding->extent.count <= PROFILE_PATHS_MAX ? 0 : -E2BIG;
}

/* ---- the whole ---- */

static int write_tree(const struct node *node, struct profile *profile)
{
    int r = 0;

    if (node->kind != NOTHING && !is_given(node))
        r = profile_add_path(profile, (enum profile_path_kind)node->kind, node->path);
    for (const struct node *child = node->child; r == 0 && child; child = child->next)
        r = write_tree(child, profile);
    return r;
}

int fold_finish(struct fold *fold, const struct profile_places *places, struct profile *profile)
{
    struct folding folding = {.places = places};
    struct node *root = new_node(NULL, "/", 1);
    int r = root ? make_tree(fold, root) : -ENOMEM;

    if (r == 0) {
        drop_needless(root, NOTHING);
        draw_together(&folding, root);
        drop_needless(root, NOTHING);
        r = make_room(&folding, root);
    }
    if (r == 0)
        r = write_tree(root, profile);
    free_tree(root);
    return r;
}

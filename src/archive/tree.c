#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "archive/archive.h"

/* ---- objects ---- */

static struct archive_object *new_object(struct archive_tree *tree, mode_t mode)
{
    struct archive_object *object = calloc(1, sizeof(*object));
    size_t count = tree->object_count;

    if (object && (count & (count + 1)) == 0) { /* one less than a power of two: full */
        struct archive_object **grown =
            reallocarray(tree->objects, 2 * (count + 1), sizeof(*grown));

        if (grown == NULL) {
            free(object);
            return NULL;
        }
        tree->objects = grown;
    }
    if (object == NULL)
        return NULL;
    object->mode = mode;
    object->mtime = tree->mtime;
    tree->objects[tree->object_count++] = object;
    object->number = tree->object_count;
    return object;
}

int archive_tree_init(struct archive_tree *tree, struct timespec mtime)
{
    *tree = (struct archive_tree){.mtime = mtime};
    tree->root = new_object(tree, S_IFDIR | 0755);
    if (tree->root == NULL)
        return -ENOMEM;
    tree->root->link_count = 1;
    return 0;
}

void archive_tree_free(struct archive_tree *tree)
{
    for (size_t i = 0; i < tree->object_count; i++) {
        struct archive_object *object = tree->objects[i];

        for (size_t n = 0; n < object->name_count; n++)
            free(object->names[n]);
        free(object->names);
        free(object->target);
        free(object);
    }
    free(tree->objects);
    free(tree->table);
    *tree = (struct archive_tree){0};
}

/* ---- names ---- */

static size_t hash(const struct archive_object *directory, const char *name, size_t length)
{
    uint64_t hash = 14695981039346656037ULL ^ directory->number; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 1099511628211ULL;
    return (size_t)(hash ^ hash >> 32);
}

struct archive_name *archive_tree_find(const struct archive_tree *tree,
                                       const struct archive_object *directory, const char *name,
                                       size_t length)
{
    struct archive_name *found =
        tree->table_size ? tree->table[hash(directory, name, length) % tree->table_size] : NULL;

    while (found && (found->directory != directory || strncmp(found->text, name, length) != 0 ||
                     found->text[length] != '\0'))
        found = found->next;
    return found;
}

static int grow_table(struct archive_tree *tree)
{
    size_t size = tree->table_size ? tree->table_size * 2 : 64;
    struct archive_name **table = calloc(size, sizeof(*table));

    if (table == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < tree->table_size; i++) {
        struct archive_name *name = tree->table[i];

        while (name) {
            struct archive_name *next = name->next;
            struct archive_name **slot =
                &table[hash(name->directory, name->text, strlen(name->text)) % size];

            name->next = *slot;
            *slot = name;
            name = next;
        }
    }
    free(tree->table);
    tree->table = table;
    tree->table_size = size;
    return 0;
}

static int append_name(struct archive_object *directory, struct archive_name *name)
{
    size_t count = directory->name_count;

    if ((count & (count + 1)) == 0) {
        struct archive_name **grown =
            reallocarray(directory->names, 2 * (count + 1), sizeof(*grown));

        if (grown == NULL)
            return -ENOMEM;
        directory->names = grown;
    }
    directory->names[directory->name_count++] = name;
    return 0;
}

/* Makes a name without an object. */
static int new_name(struct archive_tree *tree, struct archive_object *directory, const char *text,
                    size_t length, struct archive_name **ret_name)
{
    struct archive_name **slot, *name;
    int r = 0;

    tree->name_bytes += length;
    if (tree->name_count >= ARCHIVE_ENTRIES_MAX || tree->name_bytes > ARCHIVE_NAMES_MAX)
        return -E2BIG;
    if (tree->name_count >= tree->table_size)
        r = grow_table(tree);
    name = r < 0 ? NULL : calloc(1, sizeof(*name) + length + 1);
    if (name == NULL)
        return -ENOMEM;
    memcpy(name->text, text, length);
    name->directory = directory;
    r = append_name(directory, name);
    if (r < 0) {
        free(name);
        return r;
    }
    slot = &tree->table[hash(directory, text, length) % tree->table_size];
    name->next = *slot;
    *slot = name;
    tree->name_count++;
    *ret_name = name;
    return 0;
}

/* What the name was before is only reached by its other names. */
static void set_object(struct archive_name *name, struct archive_object *object)
{
    if (name->object)
        name->object->link_count--;
    name->object = object;
    object->link_count++;
}

static int find_or_make_name(struct archive_tree *tree, struct archive_object *directory,
                             const char *text, size_t length, struct archive_name **ret_name)
{
    struct archive_name *name = archive_tree_find(tree, directory, text, length);

    if (name == NULL)
        return new_name(tree, directory, text, length, ret_name);
    *ret_name = name;
    return 0;
}

/* The directory under a name; anything else that the name was makes room for it. */
static int enter(struct archive_tree *tree, struct archive_object **directory, const char *text,
                 size_t length)
{
    struct archive_name *name = NULL;
    struct archive_object *object;
    int r = find_or_make_name(tree, *directory, text, length, &name);

    if (r < 0)
        return r;
    if (name->object == NULL || !S_ISDIR(name->object->mode)) {
        object = new_object(tree, S_IFDIR | 0755);
        if (object == NULL)
            return -ENOMEM;
        set_object(name, object);
    }
    *directory = name->object;
    return 0;
}

/* ---- paths ---- */

/* The next component and its length; 0: there is none. "." is none. */
static size_t next_component(const char **path)
{
    for (;;) {
        size_t length;

        *path += strspn(*path, "/");
        length = strcspn(*path, "/");
        if (length != 1 || **path != '.')
            return length;
        *path += 1;
    }
}

/* Whether the name can be shown: no "..", nothing too long. */
static bool can_show(const char *path)
{
    size_t length, whole = strlen(path);

    while ((length = next_component(&path))) {
        if (length > NAME_MAX || (length == 2 && memcmp(path, "..", 2) == 0))
            return false;
        path += length;
    }
    return whole < PATH_MAX;
}

static bool is_last(const char *path, size_t length)
{
    path += length;
    return next_component(&path) == 0;
}

/* The object of a path as the tree is now; NULL: there is none. */
static struct archive_object *find_path(const struct archive_tree *tree, const char *path)
{
    struct archive_object *object = tree->root;
    size_t length;

    while (object && (length = next_component(&path))) {
        struct archive_name *name =
            S_ISDIR(object->mode) ? archive_tree_find(tree, object, path, length) : NULL;

        object = name ? name->object : NULL;
        path += length;
    }
    return object;
}

/* ---- entries ---- */

static void set_attributes(struct archive_object *object, const struct archive_entry *entry)
{
    object->mode = (object->mode & S_IFMT) | (entry->mode & 07777);
    object->uid = entry->uid;
    object->gid = entry->gid;
    object->mtime = entry->mtime;
}

static int set_content(struct archive_tree *tree, struct archive_object *object,
                       const struct archive_entry *entry)
{
    bool is_file = S_ISREG(entry->mode) || !(entry->mode & S_IFMT);

    if (!is_file || !S_ISREG(object->mode) || entry->source == ARCHIVE_EMPTY || entry->size == 0)
        return 0; /* also what is a device, a FIFO or a socket there */
    tree->file_bytes += entry->size;
    if (entry->size > ARCHIVE_FILE_MAX || tree->file_bytes > ARCHIVE_SIZE_MAX)
        return -E2BIG;
    object->size = entry->size;
    object->source = entry->source;
    object->offset = entry->offset;
    object->ordinal = entry->ordinal;
    return 0;
}

static int make_object(struct archive_tree *tree, const struct archive_entry *entry,
                       struct archive_object **ret_object)
{
    struct archive_object *object =
        new_object(tree, S_ISLNK(entry->mode) ? S_IFLNK | 0777 : S_IFREG);

    if (object == NULL)
        return -ENOMEM;
    if (S_ISLNK(entry->mode)) {
        tree->name_bytes += strlen(entry->target);
        object->target = strdup(entry->target);
        object->size = strlen(entry->target);
        if (object->target == NULL)
            return -ENOMEM;
    }
    set_attributes(object, entry);
    if (S_ISLNK(entry->mode))
        object->mode = S_IFLNK | 0777;
    *ret_object = object;
    return set_content(tree, object, entry);
}

static int add_directory(struct archive_tree *tree, struct archive_object *directory,
                         const char *text, size_t length, const struct archive_entry *entry)
{
    int r = length ? enter(tree, &directory, text, length) : 0;

    if (r == 0)
        set_attributes(directory, entry);
    return r;
}

static int add_other(struct archive_tree *tree, struct archive_object *directory, const char *text,
                     size_t length, const struct archive_entry *entry)
{
    struct archive_object *object = entry->mode & S_IFMT ? NULL : find_path(tree, entry->target);
    struct archive_name *name;
    int r = 0;

    /* A further name of what has been left out, or of a directory. */
    if (!(entry->mode & S_IFMT) && (object == NULL || S_ISDIR(object->mode))) {
        tree->left_out++;
        return 0;
    }
    /* Of a file with several names, cpio has the content with the last one. */
    r = object ? set_content(tree, object, entry) : make_object(tree, entry, &object);
    if (r == 0)
        r = find_or_make_name(tree, directory, text, length, &name);
    if (r == 0)
        set_object(name, object);
    return r;
}

int archive_tree_add(struct archive_tree *tree, const struct archive_entry *entry)
{
    struct archive_object *directory = tree->root;
    const char *path = entry->name;
    bool is_directory = S_ISDIR(entry->mode);
    size_t length;
    int r = 0;

    if (!can_show(path) || (S_ISLNK(entry->mode) && !entry->target[0])) {
        tree->left_out++;
        return 0;
    }
    length = next_component(&path);
    if (length == 0 && !is_directory) {
        tree->left_out++; /* "/" can be nothing else than a directory */
        return 0;
    }
    while (r == 0 && length && !is_last(path, length)) {
        r = enter(tree, &directory, path, length);
        path += length;
        length = next_component(&path);
    }
    if (r < 0)
        return r;
    return (is_directory ? add_directory : add_other)(tree, directory, path, length, entry);
}

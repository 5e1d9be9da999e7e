/*
 * What the process that reads archives may say, as if somebody hostile said it: records, taken as
 * the parent takes them and made into a tree. Whatever came, the tree must be one: each directory
 * is reached by one name, no name leads up or has a slash, each object is counted right, and each
 * name is found.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/archive.h"
#include "archive/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* The first byte of each input says how much of it are records as they are, which are rarely right;
 * else a few bytes make one that is. */
static size_t make_record(const uint8_t *data, size_t size, struct wire_message *message)
{
    static const mode_t modes[] = {S_IFREG, S_IFDIR, S_IFLNK,         S_IFCHR,
                                   S_IFIFO, 0,       S_IFREG | 06755, 07777};
    size_t name = size > 4 ? data[2] % 32 : 0, target = size > 4 ? data[3] % 16 : 0;

    if (size < 5 + name + target)
        return 0;
    memset(message, 0, sizeof(*message));
    message->record.kind = WIRE_ENTRY;
    message->record.mode = modes[data[0] % 8];
    message->record.source = data[1] % 4;
    message->record.size = (uint64_t)data[4] << (data[1] >> 2);
    memcpy(message->name, data + 5, name);
    memcpy(message->target, data + 5 + name, target);
    return 5 + name + target;
}

static int add(struct archive_tree *tree, const struct wire_message *message)
{
    const struct wire_record *record = &message->record;
    struct archive_entry entry = {.mode = record->mode,
                                  .size = record->size,
                                  .mtime = {record->mtime, record->mtime_ns},
                                  .source = record->source,
                                  .offset = record->offset,
                                  .name = message->name,
                                  .target = message->target};

    return archive_tree_add(tree, &entry);
}

static void check_name(const struct archive_tree *tree, const struct archive_object *directory,
                       const struct archive_name *name)
{
    require(name->object != NULL, "a name leads to something");
    require(name->text[0] && !strchr(name->text, '/'), "a name is one component");
    require(strcmp(name->text, ".") != 0 && strcmp(name->text, "..") != 0, "no name leads up");
    require(name->directory == directory, "a name knows its directory");
    require(archive_tree_find(tree, directory, name->text, strlen(name->text)) == name,
            "each name is found, and is the only one");
}

static void check_tree(const struct archive_tree *tree)
{
    unsigned *links = calloc(tree->object_count, sizeof(*links));
    size_t names = 0;

    require(links != NULL, "memory");
    links[0] = 1; /* the root */
    for (size_t i = 0; i < tree->object_count; i++) {
        const struct archive_object *object = tree->objects[i];

        require(object->number == i + 1, "numbers are in order");
        require(S_ISDIR(object->mode) || object->name_count == 0, "only directories have names");
        require(S_ISLNK(object->mode) == (object->target != NULL), "links have targets");
        for (size_t n = 0; n < object->name_count; n++) {
            check_name(tree, object, object->names[n]);
            links[object->names[n]->object->number - 1]++;
            names++;
        }
    }
    for (size_t i = 0; i < tree->object_count; i++) {
        require(links[i] == tree->objects[i]->link_count, "names are counted");
        require(!S_ISDIR(tree->objects[i]->mode) || links[i] <= 1, "a directory has one name");
    }
    require(names == tree->name_count, "all names are in directories");
    free(links);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_message message;
    struct archive_tree tree;
    bool raw = size && data[0] & 1;
    long used = 1;
    int r = 0;

    require(archive_tree_init(&tree, (struct timespec){0}) == 0, "memory");
    for (size_t at = 1; at < size && used > 0 && r == 0; at += (size_t)used) {
        used = raw ? wire_parse(data + at, size - at, &message)
                   : (long)make_record(data + at, size - at, &message);
        require(used <= (long)(size - at), "no more is taken than there is");
        if (used > 0)
            r = add(&tree, &message);
    }
    require(r == 0 || r == -E2BIG || r == -ENOMEM, "an error of the tree");
    if (r == 0)
        check_tree(&tree);
    archive_tree_free(&tree);
    return 0;
}

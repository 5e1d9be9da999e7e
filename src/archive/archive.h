/*
 * Archives as trees of files that are read where they lie: tar (with every compression that
 * libarchive reads by itself), zip, 7-Zip, cpio, ISO 9660, ar, and the data of a Debian package.
 *
 * Archives come from anybody, so libarchive runs in a process of its own (`cerebro-archive`), which
 * has nothing but the archive, a file to put things in, and a socket, and may do nothing but read
 * and write these. What it says is checked here as if somebody hostile had said it.
 *
 * That process reads the whole archive once, for the index. Where a file's content lies there as it
 * is (tar, cpio, ISO 9660, ar without compression) the index says where, and it is read from there.
 * Files of a zip archive are unpacked by the process when they are opened. All else can only be
 * read from the beginning to the end, so in that one pass the contents are put into a temporary
 * file without a name, the spool.
 *
 * Threads: an archive is used by one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/error.h"

/* Bounds of what is taken from an archive. */
#define ARCHIVE_ENTRIES_MAX 1000000
#define ARCHIVE_NAMES_MAX   (256ULL << 20) /* bytes of all names and link targets */
#define ARCHIVE_SPOOL_MAX   (8ULL << 30)   /* bytes that have to be unpacked at once */
#define ARCHIVE_SIZE_MAX    (1ULL << 40)   /* bytes of all files */
#define ARCHIVE_FILE_MAX    (64ULL << 30)  /* ... and of one */

/* Where the content of a file is. */
enum archive_source {
    ARCHIVE_EMPTY,  /* nowhere: it has none */
    ARCHIVE_DIRECT, /* in the archive itself, from `offset` on */
    ARCHIVE_SPOOL,  /* in the spool, likewise */
    ARCHIVE_PACKED, /* the process unpacks it: a member of a zip archive */
};

struct archive_name;

/* A file, directory or symbolic link. Several names may lead to it. */
struct archive_object {
    mode_t mode; /* with the type: S_IFREG, S_IFDIR or S_IFLNK */
    uid_t uid;
    gid_t gid;
    unsigned link_count;
    uint64_t number; /* from 1 on, its own */
    uint64_t size;
    struct timespec mtime;
    enum archive_source source;
    uint64_t offset;
    uint32_t ordinal; /* in the archive */
    char *target;     /* of a link */
    /* Directories: the names in it, in the order of the archive; none is ever removed. */
    struct archive_name **names;
    size_t name_count;
    void *user; /* of the one who uses the archive; NULL at first */
};

struct archive_name {
    struct archive_object *object;
    struct archive_object *directory;
    struct archive_name *next; /* in the tree's table */
    char text[];
};

/* ---- tree.c: the index as a tree ---- */

struct archive_tree {
    struct archive_object *root;
    struct archive_object **objects; /* by number less one */
    size_t object_count;
    struct archive_name **table;
    size_t table_size, name_count;
    uint64_t name_bytes, file_bytes;
    uint64_t left_out; /* entries with names that cannot be shown: "..", too long, a lost link */
    struct timespec mtime; /* of directories that the archive does not mention */
};

/* What the index says about one entry; the strings are terminated and borrowed. */
struct archive_entry {
    mode_t mode; /* type 0: a further name of `target` */
    uid_t uid;
    gid_t gid;
    uint64_t size;
    struct timespec mtime;
    enum archive_source source;
    uint64_t offset;
    uint32_t ordinal;
    const char *name;
    const char *target; /* of symbolic and hard links */
};

/* Begins with an empty root. Returns 0 or -ENOMEM. */
int archive_tree_init(struct archive_tree *tree, struct timespec mtime);
void archive_tree_free(struct archive_tree *tree);

/*
 * Adds an entry. Leading slashes and "." count for nothing, a name with ".." is left out, and so is
 * what cannot have such a name here. Directories on the way are made. A name that comes again
 * replaces what it was, but a directory stays the directory it is. Devices, FIFOs and sockets
 * become empty files. Returns 0, -E2BIG beyond the bounds, or -ENOMEM.
 */
int archive_tree_add(struct archive_tree *tree, const struct archive_entry *entry);

/* The name in a directory, NULL: there is none. `name` need not be terminated. */
struct archive_name *archive_tree_find(const struct archive_tree *tree,
                                       const struct archive_object *directory, const char *name,
                                       size_t length);

/* ---- client.c: the process that reads ---- */

struct archive;

/*
 * Reads the index of a file. `helper` is the path of the program. May take as long as unpacking the
 * archive does; `unwanted` (may be NULL) is asked now and then. Returns 0, or a negative errno with
 * `error` filled in: -ENOEXEC it is no archive, -EINTR it is unwanted, -ENOKEY encrypted, -ENODATA
 * truncated, -EBADMSG damaged, -E2BIG too large, -EOPNOTSUPP a kind that cannot be read.
 */
int archive_open(const char *path, const char *helper, bool (*unwanted)(void),
                 struct archive **ret_archive, struct base_error *error);

/* NULL is allowed. */
void archive_free(struct archive *archive);

struct archive_tree *archive_tree_of(struct archive *archive);

/*
 * The content of a file: a new descriptor, opened for reading and writing (but nobody can write to
 * what is in memory), of a file without a name. Returns it, or -ESTALE when the archive has changed
 * since, -EIO when it is damaged there, or another negative errno.
 */
int archive_content(struct archive *archive, const struct archive_object *object);

/*
 * Archives without libarchive: the tree that an index becomes, the records that it comes in, and
 * what the parent does when the process that reads does not behave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above, as cmocka wants it. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/wire.h"
#include "base/cleanup.h"
#include "base/io.h"

/* ---- the tree ---- */

static int add(struct archive_tree *tree, mode_t mode, const char *name, const char *target)
{
    struct archive_entry entry = {.mode = mode,
                                  .size = S_ISREG(mode) ? 10 : 0,
                                  .source = ARCHIVE_DIRECT,
                                  .name = name,
                                  .target = target};

    return archive_tree_add(tree, &entry);
}

static struct archive_object *find(const struct archive_tree *tree, const char *path)
{
    struct archive_object *object = tree->root;

    while (object && *path) {
        size_t length = strcspn(path, "/");
        struct archive_name *name = archive_tree_find(tree, object, path, length);

        object = name ? name->object : NULL;
        path += length;
        path += *path == '/';
    }
    return object;
}

static void test_names(void **state)
{
    struct archive_tree tree;

    (void)state;
    assert_int_equal(archive_tree_init(&tree, (struct timespec){.tv_sec = 5}), 0);
    assert_int_equal(add(&tree, S_IFREG | 0644, "//a/./b//c", ""), 0);
    assert_int_equal(find(&tree, "a/b/c")->mode, S_IFREG | 0644);
    assert_int_equal(find(&tree, "a/b")->mode, S_IFDIR | 0755);
    assert_int_equal(find(&tree, "a/b")->mtime.tv_sec, 5);
    assert_int_equal(add(&tree, S_IFREG, "../x", ""), 0);
    assert_int_equal(add(&tree, S_IFREG, "a/../x", ""), 0);
    assert_int_equal(add(&tree, S_IFREG, "a/..", ""), 0);
    assert_int_equal(add(&tree, S_IFREG, "/", ""), 0);
    assert_int_equal(add(&tree, S_IFLNK, "empty", ""), 0);
    assert_int_equal(tree.left_out, 5);
    assert_null(find(&tree, "x"));
    assert_int_equal(add(&tree, S_IFREG, "...", ""), 0);
    assert_int_equal(add(&tree, S_IFREG, "..a", ""), 0);
    assert_non_null(find(&tree, "..."));
    assert_non_null(find(&tree, "..a"));
    assert_int_equal(add(&tree, S_IFDIR | 0700, ".", ""), 0);
    assert_int_equal(tree.root->mode, S_IFDIR | 0700);
    archive_tree_free(&tree);
}

static void test_names_that_come_again(void **state)
{
    struct archive_tree tree;
    struct archive_object *first, *directory;

    (void)state;
    assert_int_equal(archive_tree_init(&tree, (struct timespec){0}), 0);
    assert_int_equal(add(&tree, S_IFREG, "f", ""), 0);
    first = find(&tree, "f");
    assert_int_equal(add(&tree, 0, "g", "/./f"), 0);
    assert_ptr_equal(find(&tree, "g"), first);
    assert_int_equal(first->link_count, 2);
    assert_int_equal(add(&tree, S_IFREG, "f", ""), 0);
    assert_ptr_not_equal(find(&tree, "f"), first);
    assert_int_equal(first->link_count, 1);
    assert_int_equal(add(&tree, 0, "f", "f"), 0); /* a further name of itself */
    assert_int_equal(find(&tree, "f")->link_count, 1);
    assert_int_equal(add(&tree, S_IFREG, "d/x", ""), 0);
    directory = find(&tree, "d");
    assert_int_equal(add(&tree, S_IFDIR | 0711, "d/", ""), 0);
    assert_ptr_equal(find(&tree, "d"), directory);
    assert_non_null(find(&tree, "d/x"));
    assert_int_equal(add(&tree, 0, "h", "d"), 0); /* no further names of directories */
    assert_null(find(&tree, "h"));
    assert_int_equal(add(&tree, S_IFLNK, "d", "elsewhere"), 0);
    assert_int_equal(add(&tree, S_IFREG, "d/y", ""), 0); /* not through the link */
    assert_non_null(find(&tree, "d/y"));
    assert_null(find(&tree, "d/x"));
    assert_int_equal(tree.root->name_count, 3);
    archive_tree_free(&tree);
}

static void test_bounds_of_the_tree(void **state)
{
    struct archive_entry entry = {
        .mode = S_IFREG, .source = ARCHIVE_PACKED, .name = "f", .target = ""};
    struct archive_tree tree;
    char name[32];
    int r = 0;

    (void)state;
    assert_int_equal(archive_tree_init(&tree, (struct timespec){0}), 0);
    entry.size = ARCHIVE_FILE_MAX + 1;
    assert_int_equal(archive_tree_add(&tree, &entry), -E2BIG);
    entry.size = ARCHIVE_FILE_MAX;
    for (int i = 0; i < (int)(ARCHIVE_SIZE_MAX / ARCHIVE_FILE_MAX) + 1 && r == 0; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        entry.name = name;
        r = archive_tree_add(&tree, &entry);
    }
    assert_int_equal(r, -E2BIG);
    archive_tree_free(&tree);
}

static void test_many_names(void **state)
{
    struct archive_tree tree;
    char name[32];

    (void)state;
    assert_int_equal(archive_tree_init(&tree, (struct timespec){0}), 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "d%d/f%d", i % 50, i);
        assert_int_equal(add(&tree, S_IFREG, name, ""), 0);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "d%d/f%d", i % 50, i);
        assert_non_null(find(&tree, name));
    }
    assert_int_equal(tree.name_count, 5050);
    archive_tree_free(&tree);
}

/* ---- records ---- */

static size_t put(char *to, const struct wire_record *record, const char *name)
{
    memcpy(to, record, sizeof(*record));
    memcpy(to + sizeof(*record), name, record->name_length);
    return sizeof(*record) + record->name_length;
}

static void test_records(void **state)
{
    struct wire_record good = {
        .kind = WIRE_ENTRY, .source = ARCHIVE_DIRECT, .name_length = 3, .mode = S_IFREG | 0644};
    static struct wire_message message;
    struct wire_record bad;
    char bytes[256];
    size_t length = put(bytes, &good, "abc");

    (void)state;
    for (size_t part = 0; part < length; part++)
        assert_int_equal(wire_parse(bytes, part, &message), 0);
    assert_int_equal(wire_parse(bytes, sizeof(bytes), &message), length);
    assert_string_equal(message.name, "abc");
    assert_string_equal(message.target, "");
    put(bytes, &good, "a\0c");
    assert_int_equal(wire_parse(bytes, length, &message), -EBADMSG);
#define BAD(field, value) \
    bad = good;           \
    bad.field = (value);  \
    put(bytes, &bad, ""); \
    assert_int_equal(wire_parse(bytes, sizeof(bytes), &message), -EBADMSG)
    good.name_length = 0;
    BAD(kind, 0);
    BAD(kind, WIRE_DONE + 1);
    BAD(source, ARCHIVE_PACKED + 1);
    BAD(target_length, WIRE_NAME_MAX + 1);
    BAD(mode, 0x10000);
    BAD(mtime_ns, 1000000000);
    BAD(size, ARCHIVE_FILE_MAX + 1);
    BAD(offset, INT64_MAX);
#undef BAD
}

/* ---- a process that does not behave ---- */

struct bad_process {
    char folder[64], archive[96], helper[96], says[96];
};

static void write_file(const char *path, const void *bytes, size_t length, mode_t mode)
{
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, bytes, length), 0);
}

static int set_up(void **state)
{
    struct bad_process *process = calloc(1, sizeof(*process));

    snprintf(process->folder, sizeof(process->folder), "/tmp/archive-XXXXXX");
    assert_non_null(mkdtemp(process->folder));
    snprintf(process->archive, sizeof(process->archive), "%s/archive", process->folder);
    snprintf(process->helper, sizeof(process->helper), "%s/helper", process->folder);
    snprintf(process->says, sizeof(process->says), "%s/says", process->folder);
    write_file(process->archive, "0123456789", 10, 0600);
    *state = process;
    return 0;
}

static int tear_down(void **state)
{
    struct bad_process *process = *state;

    unlink(process->archive);
    unlink(process->helper);
    unlink(process->says);
    rmdir(process->folder);
    free(process);
    return 0;
}

/* Opens the archive with a process that says this, and then does `then`. */
static int open_with(const struct bad_process *process, const void *says, size_t length,
                     const char *then, struct archive **ret_archive, struct base_error *error)
{
    char script[512];
    int size =
        snprintf(script, sizeof(script), "#!/bin/sh\n/bin/cat %s >&3\n%s\n", process->says, then);

    write_file(process->says, says, length, 0600);
    write_file(process->helper, script, (size_t)size, 0700);
    memset(error, 0, sizeof(*error));
    return archive_open(process->archive, process->helper, NULL, ret_archive, error);
}

static void test_bad_processes(void **state)
{
    const struct bad_process *process = *state;
    struct wire_record record = {.kind = WIRE_ENTRY,
                                 .source = ARCHIVE_DIRECT,
                                 .name_length = 1,
                                 .mode = S_IFREG,
                                 .size = 4,
                                 .offset = 7};
    struct base_error error = {0};
    struct archive *archive;
    char bytes[256];

    assert_int_equal(archive_open(process->archive, "/no/such/program", NULL, &archive, &error),
                     -EPIPE);
    assert_int_equal(open_with(process, "", 0, "", &archive, &error), -EPIPE);
    assert_int_equal(error.code, EPIPE);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(open_with(process, bytes, sizeof(bytes), "", &archive, &error), -EBADMSG);
    /* A place that is not in the file. */
    assert_int_equal(open_with(process, bytes, put(bytes, &record, "f"), "", &archive, &error),
                     -EBADMSG);
    record = (struct wire_record){.kind = WIRE_ERROR, .name_length = 3, .mode = ENOKEY};
    assert_int_equal(open_with(process, bytes, put(bytes, &record, "\033[m"), "", &archive, &error),
                     -ENOKEY);
    assert_non_null(strstr(error.sentence, "is encrypted: ?[m"));
    assert_true(error.hint[0]);
    /* An answer that nobody has asked for. */
    record = (struct wire_record){.kind = WIRE_DONE};
    assert_int_equal(open_with(process, bytes, put(bytes, &record, ""), "", &archive, &error),
                     -EBADMSG);
}

static bool is_unwanted(void)
{
    return true;
}

static void test_unwanted(void **state)
{
    const struct bad_process *process = *state;
    static const char script[] = "#!/bin/sh\nread x <&3\n";
    struct base_error error = {0};
    struct archive *archive;

    write_file(process->helper, script, strlen(script), 0700);
    assert_int_equal(archive_open(process->archive, process->helper, is_unwanted, &archive, &error),
                     -EINTR);
}

static void test_content(void **state)
{
    const struct bad_process *process = *state;
    struct wire_record record = {.kind = WIRE_ENTRY,
                                 .source = ARCHIVE_DIRECT,
                                 .name_length = 1,
                                 .mode = S_IFREG,
                                 .size = 4,
                                 .offset = 6};
    struct base_error error;
    struct archive *archive;
    char bytes[512], content[8];
    size_t length = put(bytes, &record, "f");
    int fd;

    record.source = ARCHIVE_PACKED;
    length += put(bytes + length, &record, "g");
    record = (struct wire_record){.kind = WIRE_END, .size = 1};
    length += put(bytes + length, &record, "");
    /* It ends when it is asked for something. */
    assert_int_equal(open_with(process, bytes, length, "read x <&3", &archive, &error), 0);
    fd = archive_content(archive, find(archive_tree_of(archive), "f"));
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, content, sizeof(content), 0), 4);
    assert_memory_equal(content, "6789", 4);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1); /* sealed */
    assert_int_equal(ftruncate(fd, 9), -1);
    close(fd);
    assert_int_equal(archive_content(archive, find(archive_tree_of(archive), "g")), -EIO);
    assert_int_equal(archive_content(archive, find(archive_tree_of(archive), "g")), -EIO);
    write_file(process->archive, "changed", 7, 0600);
    assert_int_equal(archive_content(archive, find(archive_tree_of(archive), "f")), -ESTALE);
    archive_free(archive);
    /* Something to unpack, and nobody who will. */
    record = (struct wire_record){.kind = WIRE_END};
    length -= sizeof(record);
    length += put(bytes + length, &record, "");
    write_file(process->archive, "0123456789", 10, 0600);
    assert_int_equal(open_with(process, bytes, length, "", &archive, &error), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_that_come_again),
        cmocka_unit_test(test_bounds_of_the_tree),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_records),
        cmocka_unit_test_setup_teardown(test_bad_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

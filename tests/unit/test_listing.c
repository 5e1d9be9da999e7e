/*
 * Directories of an overlay's lower that are changed while somebody reads them through a real
 * descriptor of the host: who reads on sees each name that stays exactly once, and whoever starts
 * anew sees the merged directory.
 */
#include "vfs_fixture.h"

#define FILES 300
#define NAMES 1000

struct dirent_record {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct seen {
    struct fixture *f;
    int fd;
    char names[NAMES][16];
    int64_t next[NAMES];
    size_t count;
};

/* An overlay at /mem over the fixture's /dir, in which `FILES` files lie in /dir/sub. */
static int setup_overlay(void **state)
{
    struct vfs_fs *lower, *upper, *overlay;
    struct fixture *f;
    char path[64];

    setup(state);
    f = *state;
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "dir/sub/n%d", i);
        make_file(f, path, "");
    }
    snprintf(path, sizeof(path), "%s/dir", f->root);
    assert_int_equal(vfs_host_new(f->vfs, path, &lower), 0);
    assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &upper), 0);
    assert_int_equal(vfs_overlay_new(f->vfs, lower, upper, &overlay), 0);
    return vfs_mount(f->vfs, "/mem", overlay, 0, "overlay", "overlay");
}

/* Reads once; adds what came. Returns the number of names, or a negative errno. */
static int read_some(struct seen *seen, size_t size)
{
    unsigned char buffer[32768] __attribute__((aligned(8)));
    ssize_t length = vfs_getdents(seen->f->vfs, seen->fd, buffer, size, &seen->f->actor);
    size_t before = seen->count;

    for (ssize_t at = 0; at < length;) {
        struct dirent_record *record = (struct dirent_record *)(buffer + at);

        assert_true(seen->count < NAMES);
        assert_true(record->inode != 0);
        seen->next[seen->count] = record->next;
        snprintf(seen->names[seen->count++], sizeof(seen->names[0]), "%s", record->name);
        at += record->length;
    }
    return length < 0 ? (int)length : (int)(seen->count - before);
}

static void read_rest(struct seen *seen, size_t size)
{
    int r;

    while ((r = read_some(seen, size)) > 0)
        continue;
    assert_int_equal(r, 0);
}

static int times_seen(const struct seen *seen, const char *name)
{
    int times = 0;

    for (size_t i = 0; i < seen->count; i++)
        times += strcmp(seen->names[i], name) == 0;
    return times;
}

static void start(struct seen *seen, struct fixture *f)
{
    struct vfs_opened opened;

    seen->f = f;
    seen->count = 0;
    seen->fd = open_at(f, "/mem/sub", O_RDONLY | O_DIRECTORY, &opened);
    assert_true(seen->fd >= 0);
    assert_false(opened.window); /* a real one: this is what the test is about */
}

static void expect_files(const struct seen *seen, int times)
{
    char name[16];

    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        if (times_seen(seen, name) != times)
            fail_msg("%s: seen %d times", name, times_seen(seen, name));
    }
}

static void test_untouched(void **state)
{
    static const size_t sizes[] = {40, 100, 1000, 32768};
    static struct seen seen;

    for (size_t i = 0; i < array_length(sizes); i++) {
        start(&seen, *state);
        read_rest(&seen, sizes[i]);
        assert_int_equal(seen.count, FILES + 2);
        expect_files(&seen, 1);
        assert_string_equal(seen.names[0], ".");
        assert_string_equal(seen.names[1], "..");
        assert_int_equal(read_some(&seen, 100), 0);
        close(seen.fd);
    }
}

/* Positions that a program has noted (telldir) lead back to where they were. */
static void test_positions(void **state)
{
    static struct seen all, again;
    struct vfs_place *sub;

    start(&all, *state);
    read_rest(&all, 500);
    for (int round = 0; round < 2; round++) {
        for (size_t at = 0; at + 1 < all.count; at += 37) {
            again = (struct seen){.f = all.f, .fd = all.fd};
            assert_int_equal(lseek(all.fd, all.next[at], SEEK_SET), all.next[at]);
            read_some(&again, 64);
            assert_true(again.count > 0);
            assert_string_equal(again.names[0], all.names[at + 1]);
        }
        sub = place_at(all.f, "/mem/sub"); /* and in the merged directory too */
        if (round == 0)
            assert_int_equal(vfs_mkdir(sub, "new", 0755, &all.f->actor), 0);
        vfs_place_unref(sub);
    }
    close(all.fd);
}

static void test_created_meanwhile(void **state)
{
    struct fixture *f = *state;
    static struct seen seen;
    struct vfs_place *sub;

    start(&seen, f);
    assert_true(read_some(&seen, 1000) > 0);
    sub = place_at(f, "/mem/sub");
    assert_int_equal(vfs_mkdir(sub, "new", 0755, &f->actor), 0);
    expect_open(f, "/mem/sub/n17", O_RDWR, 0); /* copied up: still one name */
    read_rest(&seen, 1000);
    expect_files(&seen, 1);
    assert_int_equal(times_seen(&seen, "new"), 1);
    /* From the start, as rewinddir(3) does. */
    seen.count = 0;
    assert_int_equal(lseek(seen.fd, 0, SEEK_SET), 0);
    read_rest(&seen, 300);
    assert_int_equal(seen.count, FILES + 3);
    expect_files(&seen, 1);
    assert_int_equal(times_seen(&seen, "new"), 1);
    vfs_place_unref(sub);
    close(seen.fd);
}

/* An empty directory is read to its end, then filled through the descriptor. */
static void test_created_after_the_end(void **state)
{
    struct fixture *f = *state;
    static struct seen seen;
    struct vfs_place *directory;

    start(&seen, f);
    read_rest(&seen, 32768);
    assert_int_equal(vfs_directory_of_fd(f->vfs, seen.fd, &directory), 0);
    assert_int_equal(vfs_mkdir(directory, "later", 0755, &f->actor), 0);
    assert_int_equal(lseek(seen.fd, 0, SEEK_SET), 0);
    seen.count = 0;
    read_rest(&seen, 32768);
    assert_int_equal(times_seen(&seen, "later"), 1);
    vfs_place_unref(directory);
    close(seen.fd);
}

/* rm -rf: remove what was read, read on, until nothing is left. */
static void test_removed_while_read(void **state)
{
    struct fixture *f = *state;
    static struct seen seen;
    struct vfs_place *sub, *mem = place_at(f, "/mem");
    size_t done = 0;

    start(&seen, f);
    sub = place_at(f, "/mem/sub");
    while (read_some(&seen, 400) > 0)
        for (; done < seen.count; done++)
            if (seen.names[done][0] != '.')
                assert_int_equal(vfs_unlink(sub, seen.names[done], false, &f->actor), 0);
    expect_files(&seen, 1);
    assert_int_equal(vfs_unlink(mem, "sub", true, &f->actor), 0);
    assert_int_equal(read_some(&seen, 400), -ENOENT);
    assert_int_equal(lseek(seen.fd, 0, SEEK_SET), 0);
    assert_int_equal(read_some(&seen, 400), -ENOENT);
    vfs_place_unref(sub);
    vfs_place_unref(mem);
    close(seen.fd);
}

/* Removed without having been changed before. */
static void test_removed_directory(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *mem;
    static struct seen seen;
    char path[64];

    snprintf(path, sizeof(path), "%s/dir/bare", f->root);
    assert_int_equal(mkdir(path, 0755), 0);
    seen.f = f;
    seen.fd = open_at(f, "/mem/bare", O_RDONLY | O_DIRECTORY, NULL);
    assert_true(seen.fd >= 0);
    assert_int_equal(read_some(&seen, 400), 2);
    mem = place_at(f, "/mem");
    assert_int_equal(vfs_unlink(mem, "bare", true, &f->actor), 0);
    assert_int_equal(read_some(&seen, 400), -ENOENT);
    /* Another one with its name is another one. */
    assert_int_equal(vfs_mkdir(mem, "bare", 0755, &f->actor), 0);
    assert_int_equal(read_some(&seen, 400), -ENOENT);
    vfs_place_unref(mem);
    close(seen.fd);
}

/* More readers than positions are kept for. */
static void test_many_readers(void **state)
{
    enum { READERS = VFS_READINGS + 3 };
    static struct seen seen[READERS];
    struct fixture *f = *state;

    for (int i = 0; i < READERS; i++) {
        start(&seen[i], f);
        for (int j = 0; j <= i; j++)
            assert_int_equal(read_some(&seen[i], 24), 1);
    }
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < READERS; i++)
            assert_true(read_some(&seen[i], 200) > 0);
    for (int i = 0; i < READERS; i++) {
        read_rest(&seen[i], 1000);
        assert_int_equal(seen[i].count, FILES + 2);
        expect_files(&seen[i], 1);
        close(seen[i].fd);
    }
}

#define OVERLAY_TEST(name) cmocka_unit_test_setup_teardown(name, setup_overlay, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVERLAY_TEST(test_untouched),          OVERLAY_TEST(test_positions),
        OVERLAY_TEST(test_created_meanwhile),  OVERLAY_TEST(test_created_after_the_end),
        OVERLAY_TEST(test_removed_while_read), OVERLAY_TEST(test_removed_directory),
        OVERLAY_TEST(test_many_readers),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What fstat(2) says of an open file is what stat(2) says of its name, whatever happened to the
 * file since it was opened: copied up, given to somebody else, renamed.
 */
#include "skip.h"
#include "vfs_fixture.h"

#include <sys/ioctl.h>

/* An overlay at /mem over the fixture's /dir; the upper is in memory, or the fixture's /sticky. */
static void mount_overlay(struct fixture *f, bool memory)
{
    struct vfs_fs *lower, *upper, *overlay;
    char path[64];

    snprintf(path, sizeof(path), "%s/dir", f->root);
    assert_int_equal(vfs_host_new(f->vfs, path, &lower), 0);
    snprintf(path, sizeof(path), "%s/sticky", f->root);
    if (memory)
        assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &upper), 0);
    else
        assert_int_equal(vfs_host_new(f->vfs, path, &upper), 0);
    assert_int_equal(vfs_overlay_new(f->vfs, lower, upper, &overlay), 0);
    assert_int_equal(vfs_mount(f->vfs, "/mem", overlay, 0, "overlay", "overlay"), 0);
}

/* The guest is root of its own, whoever we are. */
static void become_root(struct fixture *f)
{
    f->kernel.config.virtual_identity = true;
    f->kernel.config.identity = (struct pk_identity){.effective = ~0ULL, .permitted = ~0ULL};
    f->identity = f->kernel.config.identity;
}

static void expect_agreement(struct fixture *f, int fd, const char *name, const char *when)
{
    struct vfs_place *place = place_at(f, name);
    struct statx open, named;

    assert_int_equal(vfs_stat_fd(f->vfs, fd, &open), 0);
    assert_int_equal(vfs_stat(place, &named), 0);
    if (open.stx_dev_major != named.stx_dev_major || open.stx_dev_minor != named.stx_dev_minor ||
        open.stx_ino != named.stx_ino || open.stx_mode != named.stx_mode ||
        open.stx_uid != named.stx_uid || open.stx_gid != named.stx_gid ||
        open.stx_size != named.stx_size || open.stx_nlink != named.stx_nlink ||
        open.stx_rdev_major != named.stx_rdev_major || open.stx_rdev_minor != named.stx_rdev_minor)
        fail_msg("%s %s: open: %u:%u %llu mode %o of %u:%u, %llu bytes, %u links; "
                 "named: %u:%u %llu mode %o of %u:%u, %llu bytes, %u links",
                 name, when, open.stx_dev_major, open.stx_dev_minor,
                 (unsigned long long)open.stx_ino, open.stx_mode, open.stx_uid, open.stx_gid,
                 (unsigned long long)open.stx_size, open.stx_nlink, named.stx_dev_major,
                 named.stx_dev_minor, (unsigned long long)named.stx_ino, named.stx_mode,
                 named.stx_uid, named.stx_gid, (unsigned long long)named.stx_size, named.stx_nlink);
    vfs_place_unref(place);
}

static int open_file(struct fixture *f, const char *name, int flags)
{
    int fd = open_at(f, name, flags, NULL);

    if (fd < 0)
        fail_msg("open %s: %d", name, fd);
    return fd;
}

/* Everything that may happen to a file `name` in `directory`, of which `fd` is open. */
static void live_through(struct fixture *f, int fd, const char *directory, const char *name)
{
    struct vfs_place *parent = place_at(f, directory);
    struct vfs_place *place;
    char path[64], other[64];
    int writer;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(other, sizeof(other), "%s/renamed", directory);
    expect_agreement(f, fd, path, "as opened");
    place = place_at(f, path);
    assert_int_equal(vfs_chmod(place, 0751, &f->actor), 0);
    expect_agreement(f, fd, path, "after chmod");
    writer = open_file(f, path, O_WRONLY | O_APPEND);
    assert_int_equal(write(writer, "more", 4), 4);
    expect_agreement(f, writer, path, "by the writer");
    expect_agreement(f, fd, path, "after a write");
    if (vfs_chown(place, 33, 44, &f->actor) == 0) {
        expect_agreement(f, fd, path, "after chown");
        expect_agreement(f, writer, path, "after chown, by the writer");
    }
    close(writer);
    vfs_place_unref(place);
    assert_int_equal(vfs_rename(parent, name, parent, "renamed", 0, &f->actor), 0);
    expect_agreement(f, fd, other, "after a rename");
    vfs_place_unref(parent);
}

static void check_lower_file(struct fixture *f, bool memory, int flags)
{
    int fd;

    mount_overlay(f, memory);
    fd = open_file(f, "/mem/other", flags);
    live_through(f, fd, "/mem", "other");
    close(fd);
}

static void test_lower_file(void **state)
{
    become_root(*state);
    check_lower_file(*state, true, O_RDONLY);
}

static void test_lower_file_over_host(void **state)
{
    become_root(*state);
    check_lower_file(*state, false, O_RDONLY);
}

static void test_own_identity(void **state)
{
    check_lower_file(*state, true, O_RDONLY);
}

static void test_o_path(void **state)
{
    become_root(*state);
    check_lower_file(*state, true, O_PATH);
}

static void test_o_path_over_host(void **state)
{
    become_root(*state);
    check_lower_file(*state, false, O_PATH);
}

static void check_new_file(struct fixture *f, bool memory)
{
    struct vfs_place *place;
    int fd, path_only;

    become_root(f);
    mount_overlay(f, memory);
    f->actor.mask = 0177;
    fd = open_file(f, "/mem/new", O_RDWR | O_CREAT); /* recorded: we need more than 0600 */
    f->actor.mask = 0;
    place = place_at(f, "/mem/new");
    assert_int_equal(vfs_chmod(place, 06111, &f->actor), 0);
    path_only = open_file(f, "/mem/new", O_PATH);
    expect_agreement(f, fd, "/mem/new", "with a recorded mode");
    expect_agreement(f, path_only, "/mem/new", "with a recorded mode, O_PATH");
    live_through(f, fd, "/mem", "new");
    expect_agreement(f, path_only, "/mem/renamed", "renamed, O_PATH");
    close(path_only);
    close(fd);
    vfs_place_unref(place);
}

static void test_new_file(void **state)
{
    check_new_file(*state, true);
}

static void test_new_file_over_host(void **state)
{
    check_new_file(*state, false);
}

static void test_memory_file(void **state)
{
    struct fixture *f = *state;
    int fd;

    become_root(f);
    assert_int_equal(mount_memory(f), 0);
    fd = open_file(f, "/mem/file", O_RDWR | O_CREAT);
    live_through(f, fd, "/mem", "file");
    close(fd);
}

/* A host mount: owners are recorded beside the files of the user who runs us. */
static void test_bound_file(void **state)
{
    struct fixture *f = *state;
    int fd;

    if (getuid() != 0)
        become_root(f);
    fd = open_file(f, "/file", O_RDONLY);
    live_through(f, fd, "/", "file");
    close(fd);
    fd = open_file(f, "/dir", O_RDONLY | O_DIRECTORY);
    expect_agreement(f, fd, "/dir", "a directory");
    close(fd);
}

static void test_directories(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *sub;
    int fd;

    become_root(f);
    mount_overlay(f, true);
    fd = open_file(f, "/mem/sub", O_RDONLY | O_DIRECTORY);
    expect_agreement(f, fd, "/mem/sub", "of the lower");
    sub = place_at(f, "/mem/sub");
    assert_int_equal(vfs_mkdir(sub, "new", 0755, &f->actor), 0);
    expect_agreement(f, fd, "/mem/sub", "merged");
    assert_int_equal(vfs_chmod(sub, 0711, &f->actor), 0);
    assert_int_equal(vfs_chown(sub, 5, 6, &f->actor), 0);
    expect_agreement(f, fd, "/mem/sub", "merged and changed");
    vfs_place_unref(sub);
    close(fd);
}

static void test_devices(void **state)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom"};
    struct fixture *f = *state;
    struct vfs_fs *fs;
    char path[64];
    int fd, master, number;

    snprintf(path, sizeof(path), "%s/dev", f->root);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(vfs_dev_new(f->vfs, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/dev", fs, 0, "dev", "devtmpfs"), 0);
    for (size_t i = 0; i < array_length(names); i++) {
        snprintf(path, sizeof(path), "/dev/%s", names[i]);
        fd = open_file(f, path, O_RDONLY);
        expect_agreement(f, fd, path, "a device");
        close(fd);
    }
    master = open_at(f, "/dev/ptmx", O_RDWR | O_NOCTTY, NULL);
    if (master < 0)
        SKIP("no pseudo-terminals here");
    assert_int_equal(ioctl(master, TIOCGPTN, &number), 0);
    assert_int_equal(unlockpt(master), 0);
    snprintf(path, sizeof(path), "/dev/pts/%d", number);
    fd = open_file(f, path, O_RDWR | O_NOCTTY);
    expect_agreement(f, fd, path, "a terminal");
    close(fd);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lower_file),
        TEST(test_lower_file_over_host),
        TEST(test_own_identity),
        TEST(test_o_path),
        TEST(test_o_path_over_host),
        TEST(test_new_file),
        TEST(test_new_file_over_host),
        TEST(test_memory_file),
        TEST(test_bound_file),
        TEST(test_directories),
        TEST(test_devices),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Single cases of the path walk, and places: roots, lengths, parents, mounts, and paths that follow
 * renames. The comparison with the kernel is in test_walk.c.
 */
#include "vfs_fixture.h"

struct answer {
    int error;
    char path[256];
};

static struct answer ask_vfs(struct fixture *f, struct vfs_place *root, struct vfs_place *base,
                             const char *path, unsigned flags)
{
    struct vfs_walk walk = {
        .actor = &f->actor, .root = root, .base = base, .path = path, .flags = flags};
    struct vfs_place *place cleanup_place = NULL;
    struct answer answer = {0};

    answer.error = vfs_resolve(f->vfs, &walk, &place);
    if (answer.error == 0)
        snprintf(answer.path, sizeof(answer.path), "%s", vfs_place_path(place));
    return answer;
}

/* On top of the fixture: a directory to be a root, and a link that tries to leave it. */
static int setup_jail(void **state)
{
    static const char *const directories[] = {"dir/sub/deep", "jail", "jail/in"};
    struct fixture *f;
    char path[128];

    setup(state);
    f = *state;
    for (size_t i = 0; i < array_length(directories); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->root, directories[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    make_file(f, "dir/file", "");
    snprintf(path, sizeof(path), "%s/jail/out", f->root);
    return symlink("/../../dir", path);
}

static int error_of(struct fixture *f, const char *path, unsigned flags)
{
    return ask_vfs(f, f->top, f->top, path, flags).error;
}

static void test_chroot(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *jail = place_at(f, "/jail");
    struct vfs_place *in = place_at(f, "/jail/in");
    struct vfs_place *outside = place_at(f, "/dir/sub");

    assert_string_equal(ask_vfs(f, jail, in, "../../../..", 0).path, "/jail");
    assert_string_equal(ask_vfs(f, jail, in, "/in/..", 0).path, "/jail");
    assert_int_equal(ask_vfs(f, jail, in, "/out", 0).error, -ENOENT);
    assert_int_equal(ask_vfs(f, jail, in, "/out", VFS_NOFOLLOW).error, 0);
    /* As in the kernel, a working directory outside of the root is not held back by it. */
    assert_string_equal(ask_vfs(f, jail, outside, "..", 0).path, "/dir");
    assert_string_equal(ask_vfs(f, jail, outside, "../../..", 0).path, "/");
    vfs_place_unref(jail);
    vfs_place_unref(in);
    vfs_place_unref(outside);
}

static void test_lengths(void **state)
{
    struct fixture *f = *state;
    static char path[5000];
    char name[300];

    memset(path, '/', 4095);
    path[4095] = '\0';
    assert_int_equal(error_of(f, path, 0), 0);
    path[4095] = '/';
    assert_int_equal(error_of(f, path, 0), -ENAMETOOLONG);
    memset(name, 'x', 256);
    name[256] = '\0';
    assert_int_equal(error_of(f, name, 0), -ENAMETOOLONG);
    name[255] = '\0';
    assert_int_equal(error_of(f, name, 0), -ENOENT);
    snprintf(path, sizeof(path), "dir/file/%sx", name);
    assert_int_equal(error_of(f, path, 0), -ENOTDIR);
    snprintf(path, sizeof(path), "missing/%sx", name);
    assert_int_equal(error_of(f, path, 0), -ENOENT);
}

static void test_empty_path(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(error_of(f, "", 0), -ENOENT);
    assert_int_equal(error_of(f, "", VFS_EMPTY_PATH), 0);
}

static void expect_parent(struct fixture *f, const char *path, int error, const char *parent,
                          const char *name, bool slash)
{
    struct vfs_walk walk = {.actor = &f->actor, .root = f->top, .base = f->top, .path = path};
    struct vfs_place *place = NULL;
    char got[256];
    bool got_slash;

    assert_int_equal(vfs_resolve_parent(f->vfs, &walk, &place, got, &got_slash), error);
    if (error == 0) {
        assert_string_equal(vfs_place_path(place), parent);
        assert_string_equal(got, name);
        assert_int_equal(got_slash, slash);
    }
    vfs_place_unref(place);
}

static void test_parents(void **state)
{
    struct fixture *f = *state;

    expect_parent(f, "dir/new", 0, "/dir", "new", false);
    expect_parent(f, "new//", 0, "/", "new", true);
    expect_parent(f, "/", 0, "/", "/", true);
    expect_parent(f, "dir/sub/..", 0, "/dir", "..", false);
    expect_parent(f, "dir/.", 0, "/dir", ".", false);
    expect_parent(f, "..", 0, "/", "..", false);
    expect_parent(f, "dir/file/x", -ENOTDIR, NULL, NULL, false);
    expect_parent(f, "gone/x", -ENOENT, NULL, NULL, false);
    expect_parent(f, "", -ENOENT, NULL, NULL, false);
    expect_parent(f, "jail/out/x", 0, "/dir", "x", false);
}

static void test_deep_tree(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *place = vfs_place_ref(f->top);
    char name[101];

    /* Deeper than PATH_MAX: every step relative to the last one. */
    memset(name, 'd', 100);
    name[100] = '\0';
    for (int i = 0; i < 60; i++) {
        struct vfs_walk walk = {.actor = &f->actor, .root = f->top, .base = place, .path = name};
        struct vfs_place *next;

        assert_int_equal(vfs_mkdir(place, name, 0755, &f->actor), 0);
        assert_int_equal(vfs_resolve(f->vfs, &walk, &next), 0);
        vfs_place_unref(place);
        place = next;
    }
    assert_int_equal(strlen(vfs_place_path(place)), 60 * 101);
    /* And all the way up again. */
    for (size_t left = 60; left > 0; left--) {
        struct vfs_walk walk = {.actor = &f->actor, .root = f->top, .base = place, .path = ".."};
        struct vfs_place *next;

        assert_int_equal(vfs_resolve(f->vfs, &walk, &next), 0);
        assert_int_equal(strlen(vfs_place_path(next)), left > 1 ? (left - 1) * 101 : 1);
        vfs_place_unref(place);
        place = next;
    }
    vfs_place_unref(place);
}

/* Places in a directory that moves, and one that is removed. */
static void test_paths_follow_renames(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *dir = place_at(f, "/dir");
    struct vfs_place *deep = place_at(f, "/dir/sub/deep");
    struct vfs_place *file = place_at(f, "/dir/file");

    assert_int_equal(vfs_rename(f->top, "dir", f->top, "moved", 0, &f->actor), 0);
    assert_string_equal(vfs_place_path(dir), "/moved");
    assert_string_equal(vfs_place_path(deep), "/moved/sub/deep");
    assert_string_equal(ask_vfs(f, f->top, deep, "../..", 0).path, "/moved");
    assert_int_equal(error_of(f, "/moved/sub/deep", 0), 0);
    assert_int_equal(error_of(f, "/dir/sub/deep", 0), -ENOENT);
    assert_int_equal(vfs_unlink(dir, "file", false, &f->actor), 0);
    assert_true(vfs_place_is_deleted(file));
    assert_false(vfs_place_is_deleted(dir));
    vfs_place_unref(dir);
    vfs_place_unref(deep);
    vfs_place_unref(file);
}

static void test_exchange(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *sub = place_at(f, "/dir/sub");
    struct vfs_place *in = place_at(f, "/jail/in");

    assert_int_equal(vfs_rename(f->top, "dir", f->top, "jail", RENAME_EXCHANGE, &f->actor), 0);
    assert_string_equal(vfs_place_path(sub), "/jail/sub");
    assert_string_equal(vfs_place_path(in), "/dir/in");
    assert_int_equal(vfs_rename(f->top, "dir", in, "x", 0, &f->actor), -EINVAL);
    vfs_place_unref(sub);
    vfs_place_unref(in);
}

static void test_mount_points(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *dir = place_at(f, "/dir");
    struct vfs_walk walk = {
        .actor = &f->actor, .root = f->top, .base = f->top, .path = "dir/sub/in"};
    struct vfs_place *place = NULL;
    struct vfs_fs *fs;
    char inner[64];

    snprintf(inner, sizeof(inner), "%s/jail", f->root);
    assert_int_equal(vfs_host_new(f->vfs, inner, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/dir/sub", fs, VFS_MOUNT_READ_ONLY, "x", "host"), 0);
    walk.flags = VFS_NO_XDEV;
    assert_int_equal(vfs_resolve(f->vfs, &walk, &place), -EXDEV);
    walk.flags = 0;
    assert_int_equal(vfs_resolve(f->vfs, &walk, &place), 0);
    assert_int_equal(vfs_unlink(dir, "sub", true, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(dir, "sub", dir, "bus", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(dir, "file", place, "file", 0, &f->actor), -EXDEV);
    assert_int_equal(vfs_mkdir(place, "new", 0755, &f->actor), -EROFS);
    /* A second mount over the first one, and out of both with "..". */
    assert_int_equal(vfs_host_new(f->vfs, f->root, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/dir/sub", fs, 0, "y", "host"), 0);
    assert_int_equal(error_of(f, "/dir/sub/jail/in", 0), 0);
    assert_string_equal(ask_vfs(f, f->top, f->top, "dir/sub/..", 0).path, "/dir");
    vfs_place_unref(place);
    vfs_place_unref(dir);
}

/* A mount stays where it is: neither it nor what lies above it moves or goes. */
static void test_above_mount_points(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *dir = place_at(f, "/dir");
    struct vfs_place *jail = place_at(f, "/jail");
    char inner[64];

    snprintf(inner, sizeof(inner), "%s/jail", f->root);
    mount_host(f, inner, "/dir/sub/deep", 0);
    mount_host(f, inner, "/ro", 0);
    mount_host(f, inner, "/ro/in", 0);
    assert_int_equal(vfs_rename(f->top, "dir", f->top, "moved", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(dir, "sub", dir, "bus", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(dir, "sub", jail, "bus", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(jail, "in", dir, "sub", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(f->top, "jail", f->top, "dir", RENAME_EXCHANGE, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(f->top, "dir", f->top, "jail", RENAME_EXCHANGE, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(f->top, "ro", f->top, "or", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_unlink(dir, "sub", true, &f->actor), -ENOTEMPTY);
    assert_int_equal(vfs_unlink(f->top, "ro", true, &f->actor), -EBUSY);
    assert_int_equal(vfs_unlink(f->top, "ro", false, &f->actor), -EBUSY);
    assert_int_equal(error_of(f, "/dir/sub/deep/in", 0), 0);
    /* Names that only begin alike are free. */
    assert_int_equal(vfs_mkdir(dir, "su", 0755, &f->actor), 0);
    assert_int_equal(vfs_mkdir(dir, "subs", 0755, &f->actor), 0);
    assert_int_equal(vfs_rename(dir, "su", dir, "us", 0, &f->actor), 0);
    assert_int_equal(vfs_rename(dir, "subs", dir, "bus", 0, &f->actor), 0);
    vfs_place_unref(dir);
    vfs_place_unref(jail);
}

/* ---- the way to a mount point that was walked before ---- */

/*
 * /mem is in memory; in /mem/a/b lies the mount point mnt, with a file f in it. Walks are made by
 * two processes, whose contexts have different owners.
 */
struct way {
    struct fixture *f;
    struct vfs_place *a, *b;
    struct pk_identity identities[2];
    struct pk_context contexts[2];
    struct pk_request requests[2];
    struct vfs_actor actors[2];
};

static void way_open(struct way *way, struct fixture *f)
{
    struct vfs_place *mem, *mnt;
    struct vfs_fs *fs;

    *way = (struct way){.f = f};
    assert_int_equal(mount_memory(f), 0);
    mem = place_at(f, "/mem");
    assert_int_equal(vfs_mkdir(mem, "a", 0755, &f->actor), 0);
    way->a = place_at(f, "/mem/a");
    assert_int_equal(vfs_mkdir(way->a, "b", 0755, &f->actor), 0);
    way->b = place_at(f, "/mem/a/b");
    assert_int_equal(vfs_mkdir(way->b, "mnt", 0755, &f->actor), 0);
    assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/mem/a/b/mnt", fs, 0, "none", "tmpfs"), 0);
    mnt = place_at(f, "/mem/a/b/mnt");
    assert_int_equal(vfs_mknod(mnt, "f", S_IFREG | 0644, 0, &f->actor), 0);
    way->identities[0] = f->identity;
    way->identities[1] = (struct pk_identity){.uid = 77, .euid = 77, .fsuid = 77, .fsgid = 77};
    for (unsigned i = 0; i < 2; i++) {
        way->contexts[i] = (struct pk_context){.id = i + 1, .identity = way->identities[i]};
        way->requests[i] = (struct pk_request){.kernel = &f->kernel, .context = &way->contexts[i]};
        way->actors[i] = (struct vfs_actor){.identity = &way->contexts[i].identity,
                                            .request = &way->requests[i]};
    }
    vfs_place_unref(mem);
    vfs_place_unref(mnt);
}

static void way_close(struct way *way)
{
    vfs_place_unref(way->a);
    vfs_place_unref(way->b);
}

static int way_walk(struct way *way, unsigned who, struct vfs_place *root, struct vfs_place *base,
                    const char *path, unsigned flags)
{
    struct vfs_walk walk = {.actor = &way->actors[who],
                            .root = root ? root : way->f->top,
                            .base = base ? base : way->f->top,
                            .path = path,
                            .flags = flags};
    struct vfs_place *place cleanup_place = NULL;

    return vfs_resolve(way->f->vfs, &walk, &place);
}

#define FULL_WAY "/mem/a/b/mnt/f"

/* Who may not search a directory on the way is told so, however often it got further before. */
static void test_way_is_searched(void **state)
{
    struct way way;

    way_open(&way, *state);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(way_walk(&way, 0, NULL, NULL, FULL_WAY, 0), 0);
        assert_int_equal(way_walk(&way, 1, NULL, NULL, FULL_WAY, 0), 0);
    }
    assert_int_equal(vfs_chmod(way.a, 0700, &way.f->actor), 0);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, FULL_WAY, 0), -EACCES);
    /* The owner's walk is no way for the other. */
    assert_int_equal(way_walk(&way, 0, NULL, NULL, FULL_WAY, 0), 0);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, FULL_WAY, 0), -EACCES);
    assert_int_equal(vfs_chmod(way.a, 0755, &way.f->actor), 0);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, FULL_WAY, 0), 0);
    way_close(&way);
}

/* Walks that begin in the middle say nothing about the way from "/". */
static void test_way_from_the_middle(void **state)
{
    static const struct {
        bool chroot;
        const char *path;
        unsigned flags;
    } walks[] = {
        {false, "mnt/f", 0},      {false, "mnt/f", VFS_BENEATH},
        {true, "/mnt/f", 0},      {false, "/mnt/f", VFS_IN_ROOT},
        {false, "../b/mnt/f", 0}, {true, "mnt/../mnt/f", 0},
    };
    struct way way;

    way_open(&way, *state);
    assert_int_equal(vfs_chmod(way.a, 0700, &way.f->actor), 0);
    for (size_t i = 0; i < array_length(walks); i++) {
        int r =
            way_walk(&way, 1, walks[i].chroot ? way.b : NULL, way.b, walks[i].path, walks[i].flags);

        assert_int_equal(r, walks[i].path[0] == '.' ? -EACCES : 0);
        if (way_walk(&way, 1, NULL, NULL, FULL_WAY, 0) != -EACCES)
            fail_msg("%s with flags %u was taken for the way from /", walks[i].path,
                     walks[i].flags);
    }
    way_close(&way);
}

static void test_way_and_flags(void **state)
{
    struct way way;

    way_open(&way, *state);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, FULL_WAY, 0), 0);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, FULL_WAY, VFS_NO_XDEV), -EXDEV);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, FULL_WAY, VFS_BENEATH), -EXDEV);
    assert_int_equal(way_walk(&way, 0, NULL, way.b, "/mnt/f", VFS_IN_ROOT), 0);
    assert_int_equal(way_walk(&way, 0, NULL, way.b, FULL_WAY, VFS_IN_ROOT), -ENOENT);
    /* "/mem/a/b/mnt" of another root is another place. */
    assert_int_equal(way_walk(&way, 0, way.a, NULL, FULL_WAY, 0), -ENOENT);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, "/mem/a/b/mnt/../mnt/f", 0), 0);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, "/mem/a/b/mnt/../f", 0), -ENOENT);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, "/mem/a/b/mnt/../../b/mnt/f", 0), 0);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, "/mem/a/x/../b/mnt/f", 0), -ENOENT);
    assert_int_equal(way_walk(&way, 0, NULL, NULL, "/mem/a/b/mnt/f/../f", 0), -ENOTDIR);
    way_close(&way);
}

/* Out of a mount with "..": the directory there is searched as the caller. */
static void test_way_and_back(void **state)
{
    struct way way;

    way_open(&way, *state);
    assert_int_equal(vfs_mkdir(way.b, "next", 0755, &way.f->actor), 0);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, "/mem/a/b/mnt/../next", 0), 0);
    assert_int_equal(vfs_chmod(way.b, 0700, &way.f->actor), 0);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, "/mem/a/b/mnt/../next", 0), -EACCES);
    assert_int_equal(way_walk(&way, 1, NULL, NULL, FULL_WAY, 0), -EACCES);
    way_close(&way);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_jail, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_chroot),
        CASE(test_lengths),
        CASE(test_empty_path),
        CASE(test_parents),
        CASE(test_deep_tree),
        CASE(test_paths_follow_renames),
        CASE(test_exchange),
        CASE(test_mount_points),
        CASE(test_above_mount_points),
        CASE(test_way_is_searched),
        CASE(test_way_from_the_middle),
        CASE(test_way_and_flags),
        CASE(test_way_and_back),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

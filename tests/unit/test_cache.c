/*
 * Directories of the host that are kept at hand: what is found by them must be what is there at
 * that moment, whatever somebody else on the host has done to the directories on the way.
 */
#include "vfs_fixture.h"

#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "vfs/host-internal.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static int look(struct fixture *f, const char *path, struct statx *ret_stat)
{
    struct vfs_walk walk = walk_of(f, path, VFS_ONLY_LOOK);
    struct vfs_place *place cleanup_place = NULL;
    int r = vfs_resolve(f->vfs, &walk, &place);

    return r < 0 ? r : vfs_stat(place, ret_stat);
}

/* What the host finds, with the root of the tree for "/". */
static int look_on_host(const struct fixture *f, const char *path, struct stat *ret_stat)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    cleanup_close int root = open(f->root, O_PATH | O_CLOEXEC);
    cleanup_close int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

    return fd < 0 || fstat(fd, ret_stat) < 0 ? -errno : 0;
}

/* The answer and the one of the host are the same. */
static void expect_as_host(struct fixture *f, const char *path)
{
    struct stat host;
    struct statx mine;
    int r = look(f, path, &mine);
    int expected = look_on_host(f, path, &host);

    if (r != expected)
        print_error("%s: %d, the host %d\n", path, r, expected);
    assert_int_equal(r, expected);
    if (r == 0) {
        assert_int_equal(mine.stx_ino, host.st_ino);
        assert_int_equal(mine.stx_mode, host.st_mode);
    }
}

static bool at_hand(struct fixture *f, const char *directory)
{
    return host_cache_directory(host_node_of(f->top->node), directory, strlen(directory),
                                &f->actor) >= 0;
}

static void host_mkdir_at(const struct fixture *f, const char *path)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "%s/%s", f->root, path);
    assert_int_equal(mkdir(whole, 0755), 0);
}

static int host_move(const struct fixture *f, const char *from, const char *to, unsigned flags)
{
    char old[256], new[256];

    snprintf(old, sizeof(old), "%s/%s", f->root, from);
    snprintf(new, sizeof(new), "%s/%s", f->root, to);
    return renameat2(AT_FDCWD, old, AT_FDCWD, new, flags);
}

/* Looks so often that the directory is kept; skips where the host cannot tell of changes. */
static void warm_up(struct fixture *f, const char *directory, const char *path)
{
    struct statx stat;

    for (unsigned i = 0; i < HOST_LOOKS_BEFORE_WATCH + 2000 && !at_hand(f, directory); i++)
        assert_int_equal(look(f, path, &stat), 0);
    if (f->vfs->watch == NULL)
        skip();
    assert_true(at_hand(f, directory));
}

static void make_tree(const struct fixture *f)
{
    host_mkdir_at(f, "a");
    host_mkdir_at(f, "a/b");
    host_mkdir_at(f, "a/b/c");
    make_file(f, "a/b/c/file", "x");
}

static void test_short_runs_do_without(void **state)
{
    struct fixture *f = *state;
    struct statx stat;

    make_tree(f);
    for (unsigned i = 0; i < HOST_LOOKS_BEFORE_WATCH; i++)
        assert_int_equal(look(f, "a/b/c/file", &stat), 0);
    assert_null(f->vfs->watch);
}

static void test_a_directory_is_renamed(void **state)
{
    static const char *const moved[] = {"a", "a/b", "a/b/c"};
    struct fixture *f = *state;

    make_tree(f);
    for (size_t i = 0; i < array_length(moved); i++) {
        warm_up(f, "a/b/c", "a/b/c/file");
        assert_int_equal(host_move(f, moved[i], "away", 0), 0);
        expect_as_host(f, "a/b/c/file");
        assert_int_equal(host_move(f, "away", moved[i], 0), 0);
        expect_as_host(f, "a/b/c/file");
    }
}

static void test_two_directories_are_exchanged(void **state)
{
    struct fixture *f = *state;

    make_tree(f);
    host_mkdir_at(f, "z");
    host_mkdir_at(f, "z/c");
    make_file(f, "z/c/file", "z");
    warm_up(f, "a/b/c", "a/b/c/file");
    warm_up(f, "z/c", "z/c/file");
    assert_int_equal(host_move(f, "a/b", "z", RENAME_EXCHANGE), 0);
    expect_as_host(f, "a/b/c/file");
    expect_as_host(f, "z/c/file");
}

/* A removed directory that is held sends nothing. */
static void test_a_directory_is_made_anew(void **state)
{
    struct fixture *f = *state;
    char path[128];

    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    snprintf(path, sizeof(path), "%s/a/b/c/file", f->root);
    assert_int_equal(unlink(path), 0);
    expect_as_host(f, "a/b/c/file");
    snprintf(path, sizeof(path), "%s/a/b/c", f->root);
    assert_int_equal(rmdir(path), 0);
    expect_as_host(f, "a/b/c/file");
    host_mkdir_at(f, "a/b/c");
    make_file(f, "a/b/c/file", "new");
    expect_as_host(f, "a/b/c/file");
}

static void test_a_directory_becomes_a_link(void **state)
{
    struct fixture *f = *state;
    char path[128];

    make_tree(f);
    host_mkdir_at(f, "z");
    host_mkdir_at(f, "z/c");
    make_file(f, "z/c/file", "z");
    warm_up(f, "a/b/c", "a/b/c/file");
    assert_int_equal(host_move(f, "a/b", "gone", 0), 0);
    snprintf(path, sizeof(path), "%s/a/b", f->root);
    assert_int_equal(symlink("../z", path), 0);
    expect_as_host(f, "a/b/c/file");
    /* And a link that leads out leads nowhere. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("../../..", path), 0);
    expect_as_host(f, "a/b/c/missing");
}

static void make_link(const struct fixture *f, const char *target, const char *path)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "%s/%s", f->root, path);
    assert_int_equal(symlink(target, whole), 0);
}

static void expect_often(struct fixture *f, const char *path)
{
    for (int i = 0; i < 20; i++)
        expect_as_host(f, path);
}

/* The text of a link on the way is remembered as well, near the root and further down. */
static void test_links_on_the_way(void **state)
{
    static const char *const links[] = {"l", "a/m"};
    static const char *const names[] = {"l/b/c/file", "a/m/c/file"};
    static const char *const targets[] = {"a", "b"};
    static const char *const others[] = {"z", "../z"};
    struct fixture *f = *state;
    char path[128];

    make_tree(f);
    host_mkdir_at(f, "z");
    host_mkdir_at(f, "z/c");
    make_file(f, "z/c/file", "z");
    host_mkdir_at(f, "z/b");
    host_mkdir_at(f, "z/b/c");
    make_file(f, "z/b/c/file", "zb");
    for (size_t i = 0; i < array_length(links); i++) {
        make_link(f, targets[i], links[i]);
        warm_up(f, "a/b/c", names[i]);
        expect_often(f, names[i]);
        /* Replaced in one step, then removed, then made anew, then a directory. */
        make_link(f, others[i], "new");
        assert_int_equal(host_move(f, "new", links[i], 0), 0);
        expect_often(f, names[i]);
        snprintf(path, sizeof(path), "%s/%s", f->root, links[i]);
        assert_int_equal(unlink(path), 0);
        expect_often(f, names[i]);
        make_link(f, targets[i], links[i]);
        expect_often(f, names[i]);
        assert_int_equal(unlink(path), 0);
        host_mkdir_at(f, links[i]);
        expect_often(f, names[i]);
    }
}

/* The names at the end are looked up each time. */
static void test_names_at_the_end(void **state)
{
    struct fixture *f = *state;
    char path[128];

    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    make_file(f, "a/b/c/other", "y");
    host_mkdir_at(f, "a/b/c/d");
    snprintf(path, sizeof(path), "%s/a/b/c/up", f->root);
    assert_int_equal(symlink("../../b/c/other", path), 0);
    snprintf(path, sizeof(path), "%s/a/b/c/loop", f->root);
    assert_int_equal(symlink("loop", path), 0);
    expect_as_host(f, "a/b/c/other");
    expect_as_host(f, "a/b/c/d");
    expect_as_host(f, "a/b/c/d/");
    expect_as_host(f, "a/b/c/d/.");
    expect_as_host(f, "a/b/c/d/..");
    expect_as_host(f, "a/b/c/up");
    expect_as_host(f, "a/b/c/up/");
    expect_as_host(f, "a/b/c/loop");
    expect_as_host(f, "a/b/c/file/");
    expect_as_host(f, "a/b/c/none");
    expect_as_host(f, "a/b/c/none/");
}

/* Permission to search is asked of the one who walks, now. */
static void test_permission_is_taken_away(void **state)
{
    struct fixture *f = *state;
    struct pk_identity other = f->identity;
    struct statx stat;
    char path[128];

    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    snprintf(path, sizeof(path), "%s/a", f->root);
    assert_int_equal(chmod(path, 0), 0);
    expect_as_host(f, "a/b/c/file");
    assert_int_equal(chmod(path, 0755), 0);
    warm_up(f, "a/b/c", "a/b/c/file");
    other.fsuid++;
    f->actor.identity = &other;
    assert_false(at_hand(f, "a/b/c")); /* what was learned for one is not for another */
    assert_int_equal(look(f, "a/b/c/file", &stat), 0);
    f->actor.identity = &f->identity;
}

static void test_something_is_mounted(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct statx stat;

    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    snprintf(path, sizeof(path), "%s/a/b", f->root);
    if (syscall(SYS_mount, "none", path, "tmpfs", 0UL, NULL) < 0)
        skip();
    assert_int_equal(look(f, "a/b/c/file", &stat), -ENOENT);
    assert_int_equal(syscall(SYS_umount2, path, 0), 0);
    expect_as_host(f, "a/b/c/file");
}

/* Holding directories must not keep the host from unmounting what lies below. */
static void test_mounts_are_not_held(void **state)
{
    struct fixture *f = *state;
    char path[128], sub[140];
    struct statx stat;

    make_tree(f);
    snprintf(path, sizeof(path), "%s/a/b", f->root);
    if (syscall(SYS_mount, "none", path, "tmpfs", 0UL, NULL) < 0)
        skip();
    snprintf(sub, sizeof(sub), "%s/sub", path);
    assert_int_equal(mkdir(sub, 0755), 0);
    for (unsigned i = 0; i < HOST_LOOKS_BEFORE_WATCH + 100; i++)
        look(f, "a/b/sub/x", &stat);
    assert_false(at_hand(f, "a/b/sub"));
    assert_int_equal(syscall(SYS_umount2, path, 0), 0);
}

/* ---- at random ---- */

#define NAMES 3

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static void random_path(unsigned *seed, unsigned depth, char path[64])
{
    size_t length = 0;

    for (unsigned i = 0; i < depth; i++) {
        path[length++] = (char)('p' + next_random(seed) % NAMES);
        path[length++] = '/';
    }
    path[length - 1] = '\0';
}

/* One change of the host: most fail, as the names are few. */
static void change_something(const struct fixture *f, unsigned *seed)
{
    char from[64], to[64], whole[128];

    random_path(seed, 1 + next_random(seed) % 3, from);
    random_path(seed, 1 + next_random(seed) % 3, to);
    snprintf(whole, sizeof(whole), "%s/%s", f->root, from);
    switch (next_random(seed) % 7) {
    case 0:
    case 1:
        (void)!mkdir(whole, 0755);
        break;
    case 2:
        (void)!rmdir(whole);
        break;
    case 3:
        (void)!symlink(strchr(from, '/') && to[0] == 'p' ? "../q" : "q", whole);
        break;
    case 4:
        (void)!unlink(whole);
        break;
    case 5:
        host_move(f, from, to, 0);
        break;
    default:
        host_move(f, from, to, RENAME_EXCHANGE);
    }
}

static void test_random_changes(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 7;
    char path[64];

    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    for (unsigned i = 0; i < 3000; i++) {
        unsigned count = next_random(&seed) % 24;

        change_something(f, &seed);
        for (unsigned j = 0; j < count; j++) {
            random_path(&seed, 2 + next_random(&seed) % 3, path);
            expect_as_host(f, path);
        }
    }
}

/* ---- at the same time ---- */

struct shared {
    atomic_uint state; /* odd while a rename is under way; its half counts them */
    atomic_bool stop;
};

/* "a" is there after an even number of renames, "z" after an odd one. */
static _Noreturn void rename_on_and_on(const struct fixture *f, struct shared *shared)
{
    struct timespec pause = {.tv_nsec = 300000};

    for (unsigned i = 0; !atomic_load(&shared->stop); i++) {
        atomic_fetch_add(&shared->state, 1);
        if (host_move(f, i % 2 ? "z" : "a", i % 2 ? "a" : "z", 0) < 0)
            _exit(1);
        atomic_fetch_add(&shared->state, 1);
        nanosleep(&pause, NULL); /* long enough for directories to be kept meanwhile */
    }
    _exit(0);
}

/* A rename that was over before we looked, and no other begun until we were done, is seen. */
static void test_renames_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned judged = 0, kept = 0;
    struct statx stat;
    int status;
    pid_t child;

    assert_true(shared != MAP_FAILED);
    make_tree(f);
    warm_up(f, "a/b/c", "a/b/c/file");
    child = fork();
    if (child == 0)
        rename_on_and_on(f, shared);
    for (unsigned i = 0; i < 60000; i++) {
        const char *path = i % 8 < 4 ? "a/b/c/file" : "z/b/c/file";
        unsigned before = atomic_load(&shared->state);
        int r = look(f, path, &stat);
        unsigned after = atomic_load(&shared->state);
        bool there = (path[0] == 'a') == (before / 2 % 2 == 0);

        kept += i % 64 == 0 && (at_hand(f, "a/b/c") || at_hand(f, "z/b/c"));
        if (before % 2 || before != after)
            continue;
        judged++;
        if (r != (there ? 0 : -ENOENT))
            print_error("look %u, state %u: %s gives %d\n", i, before, path, r);
        assert_int_equal(r, there ? 0 : -ENOENT);
    }
    atomic_store(&shared->stop, true);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(judged > 1000);
    assert_true(atomic_load(&shared->state) > 20);
    assert_true(kept > 0);
    munmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_short_runs_do_without),
        TEST(test_a_directory_is_renamed),
        TEST(test_two_directories_are_exchanged),
        TEST(test_a_directory_is_made_anew),
        TEST(test_a_directory_becomes_a_link),
        TEST(test_links_on_the_way),
        TEST(test_names_at_the_end),
        TEST(test_permission_is_taken_away),
        TEST(test_something_is_mounted),
        TEST(test_mounts_are_not_held),
        TEST(test_random_changes),
        TEST(test_renames_meanwhile),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

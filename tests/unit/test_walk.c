/*
 * The path walk against the kernel: random trees with symbolic links of every kind, random paths.
 * openat2(RESOLVE_IN_ROOT) is the reference everywhere; as root a chroot'ed child, with real
 * mounts, is asked as well. Compared are the errno, the object (device and inode) and its canonical
 * path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above, as cmocka wants it. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/strbuf.h"
#include "core/kernel.h"
#include "vfs/fs.h"

#define PATHS 30000
#define TREES 6

static unsigned next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)(*state >> 20);
}

/* ---- a tree on the host ---- */

struct tree {
    char root[64];
    int root_fd;
    char directories[64][256]; /* relative to the root, canonical; [0] is "" */
    int count;
};

static char long_name[256];

static void make_symlink(struct tree *tree, const char *at, uint64_t *seed)
{
    static const char *const targets[] = {
        "a",      "b",      "../a",    "..", "/",  "/a",   "/a/b",    "../../../../b",
        ".",      "c/",     "/c/../b", "x",  "/x", "s",    "t",       "./s/.",
        "a/../b", "//b//c", "f/",      "f",  "/s", "../t", "nowhere", "/nowhere/deep",
    };
    const char *target = targets[next_random(seed) % array_length(targets)];
    char random_target[300];

    if (next_random(seed) % 3 == 0) {
        snprintf(random_target, sizeof(random_target), "/%s",
                 tree->directories[next_random(seed) % (unsigned)tree->count]);
        target = random_target;
    }
    (void)!symlinkat(target, tree->root_fd, at);
}

static void make_object(struct tree *tree, const char *at, uint64_t *seed)
{
    unsigned kind = next_random(seed) % 10;
    static const mode_t modes[] = {0755, 0755, 0755, 0755, 0644, 0311};

    if (kind < 4 && tree->count < 60) {
        if (mkdirat(tree->root_fd, at, 0755) == 0) {
            /* Some directories can be read but not searched, or the other way round. */
            fchmodat(tree->root_fd, at, modes[next_random(seed) % 6], 0);
            memcpy(tree->directories[tree->count++], at, strlen(at) + 1); /* < 256 bytes */
        }
    } else if (kind < 6) {
        base_close(openat(tree->root_fd, at, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    } else if (kind == 6) {
        mkfifoat(tree->root_fd, at, 0600);
    } else {
        make_symlink(tree, at, seed);
    }
}

static void tree_make(struct tree *tree, uint64_t *seed)
{
    static const char *const names[] = {"a", "b", "c", "f", "s", "t", "u", "..."};

    memset(tree, 0, sizeof(*tree));
    memset(long_name, 'n', 255);
    snprintf(tree->root, sizeof(tree->root), "/tmp/walk-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    chmod(tree->root, 0755);
    tree->root_fd = open(tree->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(tree->root_fd >= 0);
    tree->count = 1;
    for (int i = 0; i < tree->count && i < 40; i++)
        for (size_t n = 0; n < array_length(names); n++) {
            char at[600];
            const char *name = next_random(seed) % 40 == 0 ? long_name : names[n];

            if (strlen(tree->directories[i]) > 200 || next_random(seed) % 4 == 0)
                continue;
            snprintf(at, sizeof(at), "%s%s%s", tree->directories[i], i ? "/" : "", name);
            if (strlen(at) < 256)
                make_object(tree, at, seed);
        }
}

static void tree_remove(struct tree *tree)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("sh", "sh", "-c", "chmod -R u+rwx \"$0\" 2>/dev/null; exec rm -rf \"$0\"",
               tree->root, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    close(tree->root_fd);
}

static void random_path(const struct tree *tree, uint64_t *seed, char path[4400])
{
    static const char *const parts[] = {"a", "b", "c", "f",  "s",  "t", "u", "...", "a", "b",
                                        "c", ".", ".", "..", "..", "s", "t", "zz",  "",  "s"};
    unsigned count = 1 + next_random(seed) % 7;
    struct strbuf text = {0};

    if (next_random(seed) % 500 == 0)
        count = 700 + next_random(seed) % 900;
    if (next_random(seed) % 2)
        strbuf_add_string(&text, "/");
    if (next_random(seed) % 3 == 0)
        strbuf_addf(&text, "%s/", tree->directories[next_random(seed) % (unsigned)tree->count]);
    for (unsigned i = 0; i < count && text.length < 4096; i++) {
        unsigned part = next_random(seed) % 200;

        if (part < 2)
            strbuf_addf(&text, "%s%s", long_name, part ? "n" : "");
        else
            strbuf_addf(&text, "%s", parts[part % array_length(parts)]);
        if (i + 1 < count || next_random(seed) % 5 == 0)
            strbuf_add_string(&text, "/");
    }
    assert_int_equal(strbuf_status(&text), 0);
    assert_true(text.length < 4400);
    memcpy(path, strbuf_text(&text), text.length + 1);
    strbuf_free(&text);
}

/* ---- the two sides ---- */

struct answer {
    int error; /* negative errno or 0 */
    dev_t device;
    ino_t inode;
    char path[4200];
};

static struct answer answer_of_fd(int fd)
{
    struct answer answer = {0};
    char link[IO_FD_PATH_SIZE];
    struct stat stat;
    ssize_t length;

    assert_int_equal(fstat(fd, &stat), 0);
    answer.device = stat.st_dev;
    answer.inode = stat.st_ino;
    length = readlink(io_fd_path(fd, link), answer.path, sizeof(answer.path) - 1);
    answer.path[length > 0 ? length : 0] = '\0';
    close(fd);
    return answer;
}

static struct answer ask_openat2(int base_fd, const char *path, bool follow, uint64_t resolve)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
                           .resolve = resolve};
    long fd;

    do
        fd = syscall(SYS_openat2, base_fd, path, &how, sizeof(how));
    while (fd < 0 && errno == EAGAIN);
    if (fd < 0)
        return (struct answer){.error = -errno};
    return answer_of_fd((int)fd);
}

struct fixture {
    struct pk_kernel kernel;
    struct pk_identity identity;
    struct vfs_actor actor;
    struct vfs *vfs;
    struct vfs_place *root;
};

static void fixture_open(struct fixture *f, const char *root)
{
    struct vfs_fs *fs;

    memset(f, 0, sizeof(*f));
    f->identity = (struct pk_identity){.uid = getuid(),
                                       .euid = geteuid(),
                                       .fsuid = geteuid(),
                                       .gid = getgid(),
                                       .fsgid = getegid()};
    if (geteuid() == 0)
        f->identity.effective = f->identity.permitted = ~0ULL;
    f->actor.identity = &f->identity;
    assert_int_equal(vfs_new(&f->kernel, &f->vfs), 0);
    assert_int_equal(vfs_host_new(f->vfs, root, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, "/", fs, 0, root, "host"), 0);
    f->root = vfs_root(f->vfs);
}

static void fixture_close(struct fixture *f)
{
    vfs_place_unref(f->root);
    vfs_free(f->vfs);
}

static struct answer ask_vfs(struct fixture *f, struct vfs_place *root, struct vfs_place *base,
                             const char *path, unsigned flags)
{
    struct vfs_walk walk = {
        .actor = &f->actor, .root = root, .base = base, .path = path, .flags = flags};
    struct vfs_place *place cleanup_place = NULL;
    struct answer answer = {0};
    struct statx stat;

    answer.error = vfs_resolve(f->vfs, &walk, &place);
    if (answer.error < 0)
        return answer;
    assert_int_equal(answer.error, 0);
    assert_int_equal(vfs_stat(place, &stat), 0);
    answer.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    answer.inode = stat.stx_ino;
    snprintf(answer.path, sizeof(answer.path), "%s", vfs_place_path(place));
    return answer;
}

static struct vfs_place *place_at(struct fixture *f, const char *path)
{
    struct vfs_walk walk = {.actor = &f->actor, .root = f->root, .base = f->root, .path = path};
    struct vfs_place *place = NULL;

    assert_int_equal(vfs_resolve(f->vfs, &walk, &place), 0);
    return place;
}

static void compare(const struct answer *ours, const struct answer *theirs, const char *root,
                    const char *base, const char *path, bool follow)
{
    size_t length = strlen(root);
    const char *tail = theirs->path + length;
    bool same = ours->error == theirs->error && ours->device == theirs->device &&
                ours->inode == theirs->inode;

    if (same && ours->error == 0)
        same =
            strncmp(theirs->path, root, length) == 0 && strcmp(ours->path, *tail ? tail : "/") == 0;
    if (!same)
        print_error(
            "base \"%s\" path \"%.300s\" follow %d: ours %d ino %lu %s, kernel %d ino %lu %s\n",
            base, path, follow, ours->error, (unsigned long)ours->inode, ours->path, theirs->error,
            (unsigned long)theirs->inode, theirs->path);
    assert_true(same);
}

/* ---- against openat2(RESOLVE_IN_ROOT) ---- */

static struct answer ask_kernel(const struct tree *tree, const char *base, const char *path,
                                bool follow)
{
    char whole[4800];

    if (path[0] == '\0')
        return (struct answer){.error = -ENOENT};
    if (strlen(path) >= 4096)
        return (struct answer){.error = -ENAMETOOLONG};
    if (path[0] == '/' || base[0] == '\0')
        return ask_openat2(tree->root_fd, path, follow, RESOLVE_IN_ROOT);
    snprintf(whole, sizeof(whole), "/%s/%s", base, path);
    return ask_openat2(tree->root_fd, whole, follow, RESOLVE_IN_ROOT);
}

static int compare_one(struct fixture *f, const struct tree *tree, uint64_t *seed)
{
    const char *base = tree->directories[next_random(seed) % (unsigned)tree->count];
    bool follow = next_random(seed) % 2;
    struct vfs_walk walk = {.actor = &f->actor, .root = f->root, .base = f->root, .path = base};
    struct vfs_place *place cleanup_place = NULL;
    struct answer ours, theirs;
    char path[4400];

    random_path(tree, seed, path);
    if (strlen(path) + strlen(base) + 2 >= 4096)
        base = "";
    walk.path = base;
    walk.flags = VFS_EMPTY_PATH;
    if (vfs_resolve(f->vfs, &walk, &place) < 0)
        return 0; /* beneath a directory that may not be searched */
    ours = ask_vfs(f, f->root, place, path, follow ? 0 : VFS_NOFOLLOW);
    theirs = ask_kernel(tree, base, path, follow);
    compare(&ours, &theirs, tree->root, base, path, follow);
    return ours.error == 0;
}

static void test_random_paths(void **state)
{
    uint64_t seed = 0x5eed0001;
    int found = 0;

    (void)state;
    for (int t = 0; t < TREES; t++) {
        struct tree tree;
        struct fixture f;

        tree_make(&tree, &seed);
        fixture_open(&f, tree.root);
        for (int i = 0; i < PATHS / TREES; i++)
            found += compare_one(&f, &tree, &seed);
        fixture_close(&f);
        tree_remove(&tree);
    }
    /* The comparison means something only when many of the paths exist, and many do not. */
    assert_in_range(found, PATHS / 20, PATHS - PATHS / 20);
}

/* The flags of openat2(2), each against itself. */
static void test_resolve_flags(void **state)
{
    static const struct {
        unsigned ours;
        uint64_t theirs;
    } flags[] = {
        {VFS_BENEATH, RESOLVE_BENEATH},
        {VFS_IN_ROOT, RESOLVE_IN_ROOT},
        {VFS_IN_ROOT | VFS_NO_SYMLINKS, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS},
        {VFS_BENEATH | VFS_NO_SYMLINKS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS},
    };
    uint64_t seed = 0x5eed0002;
    struct tree tree;
    struct fixture f;

    (void)state;
    tree_make(&tree, &seed);
    fixture_open(&f, tree.root);
    for (int i = 0; i < 12000; i++) {
        const char *base = tree.directories[next_random(&seed) % (unsigned)tree.count];
        unsigned n = next_random(&seed) % array_length(flags);
        bool follow = next_random(&seed) % 2;
        struct answer ours, theirs;
        struct vfs_place *place;
        char path[4400];
        int fd = openat(tree.root_fd, *base ? base : ".", O_PATH | O_CLOEXEC);

        random_path(&tree, &seed, path);
        if (fd < 0 || strlen(path) >= 4096) {
            base_close(fd);
            continue;
        }
        place = place_at(&f, *base ? base : "/");
        ours = ask_vfs(&f, f.root, place, path, flags[n].ours | (follow ? 0 : VFS_NOFOLLOW));
        theirs = ask_openat2(fd, path, follow, flags[n].theirs);
        compare(&ours, &theirs, tree.root, base, path, follow);
        vfs_place_unref(place);
        close(fd);
    }
    fixture_close(&f);
    tree_remove(&tree);
}

/* ---- against a chroot with mounts ---- */

struct question {
    bool follow;
    char base[300];
    char path[4400];
};

static void serve_questions(int socket_fd)
{
    struct question question;
    struct answer answer;

    while (read(socket_fd, &question, sizeof(question)) == sizeof(question)) {
        char cwd[310];
        int fd;

        memset(&answer, 0, sizeof(answer));
        snprintf(cwd, sizeof(cwd), "/%s", question.base);
        fd = chdir(cwd) < 0
                 ? -1
                 : open(question.path, O_PATH | O_CLOEXEC | (question.follow ? 0 : O_NOFOLLOW));
        if (fd < 0) {
            answer.error = -errno;
        } else {
            struct stat stat;

            fstat(fd, &stat);
            answer.device = stat.st_dev;
            answer.inode = stat.st_ino;
            close(fd);
        }
        if (write(socket_fd, &answer, sizeof(answer)) != sizeof(answer))
            break;
    }
    _exit(0);
}

/* A child that lives in the tree, with `inner` mounted at /mnt/in. -1: not possible here. */
static pid_t start_reference(const struct tree *outer, const struct tree *inner, int *ret_fd)
{
    char point[100];
    char ready;
    int pair[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
        close(pair[0]);
        snprintf(point, sizeof(point), "%s/mnt/in", outer->root);
        if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount(inner->root, point, NULL, MS_BIND, NULL) == 0 && chroot(outer->root) == 0 &&
            write(pair[1], "y", 1) == 1)
            serve_questions(pair[1]);
        _exit(1);
    }
    close(pair[1]);
    if (read(pair[0], &ready, 1) != 1) {
        close(pair[0]);
        waitpid(pid, NULL, 0);
        return -1;
    }
    *ret_fd = pair[0];
    return pid;
}

static void compare_in_chroot(struct fixture *f, const struct tree *outer, const struct tree *inner,
                              int fd, uint64_t *seed)
{
    static const char *const heads[] = {"mnt/in/",    "/mnt/in/", "/mnt/in/..", "mnt/in/../../",
                                        "/mnt/./in/", "",         "",           "/mnt/in/s/",
                                        "/x/",        "x/../"};
    static struct question question;
    struct answer ours, theirs;
    struct vfs_place *place;
    char path[4400];

    memset(&question, 0, sizeof(question));
    random_path(next_random(seed) % 2 ? outer : inner, seed, path);
    snprintf(question.path, sizeof(question.path), "%s%.4090s",
             heads[next_random(seed) % array_length(heads)], path);
    question.follow = next_random(seed) % 2;
    if (next_random(seed) % 2)
        snprintf(question.base, sizeof(question.base), "mnt/in/%s",
                 inner->directories[next_random(seed) % (unsigned)inner->count]);
    assert_int_equal(write(fd, &question, sizeof(question)), sizeof(question));
    assert_int_equal(read(fd, &theirs, sizeof(theirs)), sizeof(theirs));
    place = place_at(f, question.base[0] ? question.base : "/");
    ours = ask_vfs(f, f->root, place, question.path, question.follow ? 0 : VFS_NOFOLLOW);
    ours.path[0] = '\0';
    if (ours.error != theirs.error || ours.inode != theirs.inode || ours.device != theirs.device)
        print_error("base %s path %.300s: ours %d, kernel %d\n", question.base, question.path,
                    ours.error, theirs.error);
    assert_int_equal(ours.error, theirs.error);
    assert_int_equal(ours.inode, theirs.inode);
    assert_int_equal(ours.device, theirs.device);
    vfs_place_unref(place);
}

static void test_mounts_like_the_kernel(void **state)
{
    uint64_t seed = 0x5eed0003;
    struct tree outer, inner;
    struct vfs_fs *fs;
    struct fixture f;
    pid_t pid = -1;
    int fd = -1;

    (void)state;
    tree_make(&outer, &seed);
    tree_make(&inner, &seed);
    assert_int_equal(mkdirat(outer.root_fd, "mnt", 0755), 0);
    assert_int_equal(mkdirat(outer.root_fd, "mnt/in", 0755), 0);
    /* Covered by the mount: must never be seen. */
    assert_int_equal(mkdirat(outer.root_fd, "mnt/in/a", 0755), 0);
    assert_int_equal(symlinkat("mnt/in/a", outer.root_fd, "x"), 0);
    if (geteuid() == 0)
        pid = start_reference(&outer, &inner, &fd);
    if (pid > 0) {
        fixture_open(&f, outer.root);
        assert_int_equal(vfs_host_new(f.vfs, inner.root, &fs), 0);
        assert_int_equal(vfs_mount(f.vfs, "/mnt/in", fs, 0, inner.root, "host"), 0);
        for (int i = 0; i < 10000; i++)
            compare_in_chroot(&f, &outer, &inner, fd, &seed);
        fixture_close(&f);
        close(fd);
        waitpid(pid, NULL, 0);
    }
    tree_remove(&outer);
    tree_remove(&inner);
    if (pid <= 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_paths),
        cmocka_unit_test(test_resolve_flags),
        cmocka_unit_test(test_mounts_like_the_kernel),
    };

    umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

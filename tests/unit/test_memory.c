/*
 * The memory file system against the host's tmpfs: the same random operations on both must give the
 * same results and the same trees. And what only it has: limits, files without a name, FIFOs,
 * sockets.
 */
#include "vfs_compare.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "core/kernel.h"
#include "vfs/vfs-internal.h"

#define ROUNDS 20000

struct fixture {
    struct pk_kernel kernel;
    struct pk_identity identity;
    struct vfs_actor actor;
    struct vfs *vfs;
    struct vfs_fs *fs;
    struct subject subject;
};

static void fixture_open(struct fixture *f, uint64_t max_bytes, uint64_t max_inodes)
{
    memset(f, 0, sizeof(*f));
    f->identity = own_identity();
    f->kernel.config.identity = f->kernel.host_identity = f->identity;
    f->actor = (struct vfs_actor){.identity = &f->identity};
    assert_int_equal(vfs_new(&f->kernel, &f->vfs), 0);
    assert_int_equal(vfs_memory_new(f->vfs, max_bytes, max_inodes, 0755, &f->fs), 0);
    f->subject = (struct subject){.fs = f->fs, .actor = &f->actor};
}

static void fixture_close(struct fixture *f)
{
    vfs_fs_unref(f->fs);
    vfs_free(f->vfs);
}

static int reference_open(char path[64])
{
    snprintf(path, 64, "%s/memory-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(path));
    chmod(path, 0755);
    return open(path, O_RDONLY | O_DIRECTORY);
}

static void reference_remove(const char *path)
{
    pid_t pid = fork();

    if (pid == 0) {
        execlp("sh", "sh", "-c", "chmod -R u+rwx \"$0\"; exec rm -rf \"$0\"", path, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static void compare_random(uint64_t seed)
{
    struct fixture f;
    char path[64], text[128];
    int root = reference_open(path);
    struct statfs statfs_buf;
    unsigned succeeded = 0;
    bool tmpfs = fstatfs(root, &statfs_buf) == 0 && statfs_buf.f_type == 0x01021994;

    umask(0);
    fixture_open(&f, 0, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct op op = random_op(&seed);
        int ours = subject_apply(&f.subject, &op);
        int theirs = host_apply(root, &op);

        if (op.kind == OP_XATTR && theirs == -EOPNOTSUPP)
            continue; /* tmpfs has user.* since Linux 6.6 only */
        describe_op(&op, text);
        if (ours != theirs)
            fail_msg("round %d: %s: %s, should be %s", i, text, strerror(-ours), strerror(-theirs));
        succeeded += ours == 0;
        if (i % 1000 == 0)
            compare_tree(&f.subject, f.fs->root, root, "", tmpfs);
    }
    compare_tree(&f.subject, f.fs->root, root, "", tmpfs);
    assert_in_range(succeeded, ROUNDS / 10, ROUNDS);
    fixture_close(&f);
    close(root);
    reference_remove(path);
}

static void test_random(void **state)
{
    (void)state;
    compare_random(0x123456789abcdefULL);
    compare_random(0xfeedbeefcafeULL);
}

/* The same as an ordinary user, where modes decide. */
static void test_random_unprivileged(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    if (geteuid() != 0)
        skip(); /* test_random has just done it */
    pid = fork();
    if (pid == 0) {
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        compare_random(0x5eed5eed5eedULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- single cases ---- */

static struct vfs_node *find(struct fixture *f, const char *path)
{
    struct vfs_node *node = NULL;

    if (subject_find(&f->subject, path, false, &node) < 0)
        fail_msg("%s is not there", path);
    return node;
}

static int apply(struct fixture *f, enum op_kind kind, const char *first, const char *second)
{
    struct op op = {.kind = kind, .mode = kind == OP_MKDIR ? 0755 : 0644, .length = 5};

    snprintf(op.path[0], sizeof(op.path[0]), "%s", first);
    snprintf(op.path[1], sizeof(op.path[1]), "%s", second ? second : "");
    return subject_apply(&f->subject, &op);
}

static int open_file(struct fixture *f, const char *path, int flags)
{
    struct vfs_open_request request = {.actor = &f->actor, .flags = flags};
    struct vfs_node *node = find(f, path);
    struct vfs_opened opened;
    int r = f->fs->ops->open(node, &request, &opened);

    vfs_node_unref(node);
    return r < 0 ? r : opened.fd;
}

/* Each open has the access it asked for and no more, and a position of its own. */
static void test_descriptors(void **state)
{
    struct fixture f;
    char text[8];
    int reader, writer;

    (void)state;
    fixture_open(&f, 0, 0);
    assert_int_equal(apply(&f, OP_CREATE, "a", NULL), 0);
    reader = open_file(&f, "a", O_RDONLY);
    writer = open_file(&f, "a", O_WRONLY | O_APPEND);
    assert_true(reader >= 0 && writer >= 0);
    assert_int_equal(write(reader, "x", 1), -1);
    assert_int_equal(ftruncate(reader, 0), -1);
    assert_int_equal(write(writer, "tail", 4), 4);
    assert_int_equal(pread(reader, text, 8, 5), 4);
    assert_memory_equal(text, "tail", 4);
    close(writer);
    /* Its name goes, its content stays for the one who has it open. */
    assert_int_equal(apply(&f, OP_UNLINK, "a", NULL), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(apply(&f, OP_CREATE, "b", NULL), 0);
        assert_int_equal(apply(&f, OP_UNLINK, "b", NULL), 0);
    }
    assert_int_equal(pread(reader, text, 8, 5), 4);
    close(reader);
    fixture_close(&f);
}

/* As fchmod(2) on an open file is served: by the identity of the descriptor. */
static void test_identity(void **state)
{
    struct vfs_place *place;
    struct vfs_node *node;
    struct statx stat;
    struct stat native;
    struct fixture f;
    int fd;

    (void)state;
    fixture_open(&f, 0, 0);
    assert_int_equal(apply(&f, OP_CREATE, "a", NULL), 0);
    fd = open_file(&f, "a", O_RDWR);
    node = find(&f, "a");
    assert_int_equal(vfs_place_of_fd(f.vfs, fd, &place), 0);
    assert_int_equal(vfs_chmod(place, 0751, &f.actor), 0);
    vfs_place_unref(place);
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 0751);
    assert_int_equal(fstat(fd, &native), 0);
    assert_int_equal(native.st_mode, S_IFREG | 0751);
    vfs_node_unref(node);
    /* Known while it is open, forgotten some changes after it was closed. */
    assert_int_equal(apply(&f, OP_UNLINK, "a", NULL), 0);
    assert_int_equal(vfs_place_of_fd(f.vfs, fd, &place), 0);
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 0751);
    assert_int_equal(stat.stx_nlink, 0);
    vfs_place_unref(place);
    assert_int_equal(f.vfs->identities.count, 1);
    close(fd);
    assert_int_equal(apply(&f, OP_MKDIR, "d", NULL), 0);
    assert_int_equal(f.vfs->identities.count, 0);
    fixture_close(&f);
}

static void test_tmpfile(void **state)
{
    struct vfs_open_request request = {.flags = O_RDWR, .mode = 0600};
    struct vfs_opened opened;
    struct vfs_place *place;
    struct statx stat;
    struct fixture f;
    struct vfs_node *node;

    (void)state;
    fixture_open(&f, 0, 0);
    request.actor = &f.actor;
    assert_int_equal(f.fs->ops->tmpfile(f.fs->root, &request, &opened), 0);
    assert_int_equal(write(opened.fd, "text", 4), 4);
    assert_int_equal(apply(&f, OP_MKDIR, "d", NULL), 0);
    assert_int_equal(vfs_place_of_fd(f.vfs, opened.fd, &place), 0);
    assert_int_equal(f.fs->ops->link(place->node, f.fs->root, "named", &f.actor), 0);
    vfs_place_unref(place);
    close(opened.fd);
    node = find(&f, "named");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_true(stat.stx_nlink == 1 && stat.stx_size == 4);
    vfs_node_unref(node);
    /* An ordinary file without a name gets no new one. */
    node = find(&f, "named");
    assert_int_equal(apply(&f, OP_UNLINK, "named", NULL), 0);
    assert_int_equal(f.fs->ops->link(node, f.fs->root, "again", &f.actor), -ENOENT);
    vfs_node_unref(node);
    fixture_close(&f);
}

/* Names may be longer than those of memfds. */
static void test_long_name(void **state)
{
    struct vfs_open_request request = {.flags = O_RDWR, .mode = 0600};
    struct vfs_opened opened;
    struct vfs_node *node;
    struct fixture f;
    char name[256];

    (void)state;
    fixture_open(&f, 0, 0);
    request.actor = &f.actor;
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(f.fs->ops->create(f.fs->root, name, &request, &node, &opened), 0);
    assert_int_equal(write(opened.fd, "x", 1), 1);
    vfs_node_unref(node);
    close(opened.fd);
    node = find(&f, name);
    assert_int_equal(node->type, S_IFREG);
    vfs_node_unref(node);
    fixture_close(&f);
}

static void test_fifo(void **state)
{
    struct vfs_open_request request = {.flags = O_RDONLY};
    char path[IO_FD_PATH_SIZE], byte;
    struct vfs_opened opened;
    struct vfs_node *node;
    struct fixture f;
    int reader, writer;

    (void)state;
    fixture_open(&f, 0, 0);
    request.actor = &f.actor;
    assert_int_equal(apply(&f, OP_FIFO, "p", NULL), 0);
    assert_int_equal(open_file(&f, "p", O_WRONLY | O_NONBLOCK), -ENXIO);
    node = find(&f, "p");
    assert_int_equal(f.fs->ops->open(node, &request, &opened), 0);
    assert_true(opened.blocks);
    reader = open(io_fd_path(opened.fd, path), opened.block_flags | O_NONBLOCK);
    writer = open_file(&f, "p", O_WRONLY | O_NONBLOCK);
    assert_true(reader >= 0 && writer >= 0);
    assert_int_equal(write(writer, "x", 1), 1);
    assert_int_equal(read(reader, &byte, 1), 1);
    close(opened.fd);
    close(reader);
    close(writer);
    vfs_node_unref(node);
    fixture_close(&f);
}

static void test_socket(void **state)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    struct vfs_node *node;
    struct fixture f;
    int peer;
    char byte;

    (void)state;
    fixture_open(&f, 0, 0);
    assert_int_equal(f.fs->ops->bind_socket(f.fs->root, "s", 0755, listener, &f.actor), 0);
    assert_int_equal(f.fs->ops->bind_socket(f.fs->root, "s", 0755, client, &f.actor), -EADDRINUSE);
    node = find(&f, "s");
    assert_int_equal(node->type, S_IFSOCK);
    assert_int_equal(f.fs->ops->connect_socket(node, client, &f.actor), -ECONNREFUSED);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(f.fs->ops->connect_socket(node, client, &f.actor), 0);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    assert_int_equal(write(client, "x", 1), 1);
    assert_int_equal(read(peer, &byte, 1), 1);
    vfs_node_unref(node);
    close(peer);
    close(client);
    close(listener);
    fixture_close(&f);
}

static void test_limits(void **state)
{
    struct statfs before, after;
    struct fixture f;
    char bytes[65536] = "";
    int fd, r = 0;

    (void)state;
    fixture_open(&f, 1 << 20, 8);
    assert_int_equal(f.fs->ops->statfs(f.fs->root, &before), 0);
    assert_int_equal(before.f_blocks * before.f_bsize, 1 << 20);
    assert_int_equal(apply(&f, OP_CREATE, "a", NULL), 0);
    fd = open_file(&f, "a", O_WRONLY);
    for (int i = 0; i < 15; i++)
        assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(f.fs->ops->statfs(f.fs->root, &after), 0);
    assert_int_equal((before.f_bfree - after.f_bfree) * after.f_bsize, 15 * sizeof(bytes));
    assert_int_equal(apply(&f, OP_CREATE, "b", NULL), 0);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    for (int i = 0; i < 64 && r == 0; i++) { /* the space is counted from time to time */
        r = apply(&f, OP_CREATE, "c", NULL);
        if (r == 0)
            assert_int_equal(apply(&f, OP_UNLINK, "c", NULL), 0);
    }
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(ftruncate(fd, 0), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(apply(&f, OP_MKDIR, (const char *[]){"d", "e", "f", "g", "h"}[i], NULL),
                         0);
    assert_int_equal(apply(&f, OP_MKDIR, "i", NULL), -ENOSPC); /* the eighth inode was the last */
    close(fd);
    fixture_close(&f);
}

/* Removing and renaming while listing: every other entry is seen exactly once. */
static void test_listing(void **state)
{
    struct names *names = calloc(1, sizeof(*names));
    struct fixture f;
    char name[32];

    (void)state;
    fixture_open(&f, 0, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(apply(&f, OP_MKDIR, name, NULL), 0);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(apply(&f, OP_RMDIR, name, NULL), 0);
    }
    assert_int_equal(apply(&f, OP_RENAME, "n60", "m60"), 0);
    assert_int_equal(f.fs->ops->readdir(f.fs->root, 50, &f.actor, names_collect, names), 0);
    assert_int_equal(names->count, 50);
    assert_string_equal(names->name[0], "n50");
    assert_string_equal(names->name[10], "m60");
    names_free(names);
    free(names);
    fixture_close(&f);
}

/* A guest may nest deeper than our stack is. */
static void test_deep(void **state)
{
    struct vfs_lookup lookup = {.open_flags = -1, .opened_fd = -1};
    struct vfs_node *at;
    struct fixture f;

    (void)state;
    fixture_open(&f, 0, 0);
    at = vfs_node_ref(f.fs->root);
    lookup.actor = &f.actor;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(f.fs->ops->mkdir(at, "d", 0755, &f.actor), 0);
        assert_int_equal(f.fs->ops->lookup(at, "d", &lookup), VFS_LOOKUP_NODE);
        vfs_node_unref(at);
        at = lookup.node;
    }
    vfs_node_unref(at);
    fixture_close(&f);
}

/* More files than descriptors: content of those that nobody has open is parked meanwhile. */
static void test_many_files(void **state)
{
    struct rlimit before, limit = {.rlim_cur = 1024};
    struct vfs_node *node;
    struct statx stat;
    struct fixture f;
    char name[32], text[8];
    int held, fd;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    fixture_open(&f, 0, 0);
    assert_int_equal(apply(&f, OP_CREATE, "held", NULL), 0);
    held = open_file(&f, "held", O_RDWR);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(apply(&f, OP_CREATE, name, NULL), 0);
        assert_int_equal(apply(&f, OP_UTIMENS, name, NULL), 0);
    }
    assert_int_equal(write(held, "held", 4), 4); /* one that is open stays the file it is */
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        node = find(&f, name);
        assert_int_equal(f.fs->ops->stat(node, &stat), 0);
        assert_true(stat.stx_size == 5 && stat.stx_mtime.tv_sec == 2000005);
        vfs_node_unref(node);
        fd = open_file(&f, name, O_RDONLY);
        assert_int_equal(read(fd, text, sizeof(text)), 5);
        assert_memory_equal(text, "ABCDE", 5);
        close(fd);
        node = find(&f, name);
        assert_int_equal(f.fs->ops->stat(node, &stat), 0);
        assert_true(stat.stx_size == 5 && stat.stx_mtime.tv_sec == 2000005);
        vfs_node_unref(node);
    }
    fd = open_file(&f, "held", O_RDONLY);
    assert_int_equal(read(fd, text, 4), 4);
    assert_memory_equal(text, "held", 4);
    close(fd);
    close(held);
    fixture_close(&f);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_xattrs(void **state)
{
    struct vfs_node *node;
    struct fixture f;
    char *large = calloc(1, 65537);
    char text[64];

    (void)state;
    fixture_open(&f, 0, 0);
    f.identity.effective = 0;
    assert_int_equal(apply(&f, OP_CREATE, "a", NULL), 0);
    node = find(&f, "a");
    assert_int_equal(f.fs->ops->setxattr(node, "user.a", "one", 3, XATTR_REPLACE, &f.actor),
                     -ENODATA);
    assert_int_equal(f.fs->ops->setxattr(node, "user.a", "one", 3, XATTR_CREATE, &f.actor), 0);
    assert_int_equal(f.fs->ops->setxattr(node, "user.a", "two", 3, XATTR_CREATE, &f.actor),
                     -EEXIST);
    assert_int_equal(f.fs->ops->setxattr(node, "user.b", large, 65537, 0, &f.actor), -E2BIG);
    assert_int_equal(f.fs->ops->setxattr(node, "user.b", large, 65536, 0, &f.actor), 0);
    assert_int_equal(f.fs->ops->setxattr(node, "trusted.a", "x", 1, 0, &f.actor), -EPERM);
    assert_int_equal(f.fs->ops->setxattr(node, "system.posix_acl_access", "x", 1, 0, &f.actor),
                     -EOPNOTSUPP);
    assert_int_equal(f.fs->ops->getxattr(node, "user.a", NULL, 0), 3);
    assert_int_equal(f.fs->ops->getxattr(node, "user.a", text, 2), -ERANGE);
    assert_int_equal(f.fs->ops->getxattr(node, "user.a", text, 64), 3);
    assert_memory_equal(text, "one", 3);
    assert_int_equal(f.fs->ops->listxattr(node, text, 64), 14);
    assert_memory_equal(text, "user.a\0user.b\0", 14);
    assert_int_equal(f.fs->ops->removexattr(node, "user.a", &f.actor), 0);
    assert_int_equal(f.fs->ops->removexattr(node, "user.a", &f.actor), -ENODATA);
    vfs_node_unref(node);
    free(large);
    fixture_close(&f);
}

static void test_owners(void **state)
{
    struct vfs_node *node;
    struct statx stat;
    struct fixture f;

    (void)state;
    fixture_open(&f, 0, 0);
    f.identity =
        (struct pk_identity){.fsuid = 1000, .fsgid = 100, .group_count = 1, .groups = {200}};
    f.identity.effective = ~0ULL;
    assert_int_equal(apply(&f, OP_MKDIR, "d", NULL), 0);
    node = find(&f, "d");
    assert_int_equal(f.fs->ops->chown(node, -1, 300, &f.actor), 0);
    assert_int_equal(f.fs->ops->chmod(node, 02777, &f.actor), 0);
    vfs_node_unref(node);
    f.identity.effective = 0;
    assert_int_equal(apply(&f, OP_CREATE, "d/a", NULL), 0); /* the group of the directory */
    node = find(&f, "d/a");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_true(stat.stx_uid == 1000 && stat.stx_gid == 300);
    assert_int_equal(f.fs->ops->chown(node, 1, -1, &f.actor), -EPERM);
    assert_int_equal(f.fs->ops->chown(node, -1, 400, &f.actor), -EPERM);
    assert_int_equal(f.fs->ops->chmod(node, 06755, &f.actor), 0);
    assert_int_equal(f.fs->ops->chown(node, -1, 200, &f.actor), 0);
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 0755); /* set-id bits go with the owner */
    assert_int_equal(stat.stx_gid, 200);
    f.identity.fsuid = 1001;
    assert_int_equal(f.fs->ops->chmod(node, 0, &f.actor), -EPERM);
    assert_int_equal(open_file(&f, "d/a", O_RDWR), -EACCES);
    vfs_node_unref(node);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),      cmocka_unit_test(test_random_unprivileged),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_identity),
        cmocka_unit_test(test_tmpfile),     cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_long_name),   cmocka_unit_test(test_socket),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_listing),
        cmocka_unit_test(test_deep),        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_xattrs),      cmocka_unit_test(test_owners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The overlay against a plain copy of its lower on which the same random operations are done; with
 * a memory upper and with a host directory as upper. A host upper is read back from disk, and as
 * root it is also mounted by the kernel's own overlayfs, and the other way round.
 */
#include "vfs_compare.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/strbuf.h"
#include "core/kernel.h"
#include "vfs/vfs-internal.h"

#define ROUNDS 4000

struct fixture {
    struct pk_kernel kernel;
    struct pk_identity identity;
    struct vfs_actor actor;
    struct vfs *vfs;
    struct vfs_fs *fs;
    struct subject subject;
    char base[64]; /* holds lower, upper, work, merged and reference */
    int reference;
};

static char *in(const struct fixture *f, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", f->base, name);
    return path;
}

/* Runs a shell script with the base directory as $1. Returns its exit status. */
static int shell(const struct fixture *f, const char *script)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execlp("sh", "sh", "-euc", script, "test", f->base, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char make_lower[] =
    "cd \"$1\"; umask 022; mkdir lower upper work merged; cd lower\n"
    "for i in a b c; do mkdir $i; for j in a b d; do mkdir $i/$j\n"
    "  echo \"file $i $j\" >$i/$j/e; echo x >$i/$j/f; done; ln -s a $i/c; echo $i >$i/f; done\n"
    "head -c 9000 /dev/zero | tr '\\0' Q >d; ln -s a e; chmod 4755 c/f; chmod 700 b/d\n"
    "truncate -s 8000 f; touch -d @1000000000 f a/f\n"
    "cp -a ../lower ../reference\n";

static void open_overlay(struct fixture *f, bool memory)
{
    char path[128];
    struct vfs_fs *lower, *upper;

    f->kernel.config.identity = f->kernel.host_identity = f->identity;
    assert_int_equal(vfs_new(&f->kernel, &f->vfs), 0);
    assert_int_equal(vfs_host_new(f->vfs, in(f, "lower", path), &lower), 0);
    if (memory)
        assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &upper), 0);
    else
        assert_int_equal(vfs_host_new(f->vfs, in(f, "upper", path), &upper), 0);
    assert_int_equal(vfs_overlay_new(f->vfs, lower, upper, &f->fs), 0);
    f->subject = (struct subject){.fs = f->fs, .actor = &f->actor};
}

static void close_overlay(struct fixture *f)
{
    vfs_fs_unref(f->fs);
    vfs_free(f->vfs);
}

static void fixture_open(struct fixture *f, bool memory)
{
    char path[128];

    memset(f, 0, sizeof(*f));
    umask(0);
    f->identity = own_identity();
    f->actor = (struct vfs_actor){.identity = &f->identity};
    snprintf(f->base, sizeof(f->base), "%s/overlay-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->base));
    assert_int_equal(shell(f, make_lower), 0);
    open_overlay(f, memory);
    f->reference = open(in(f, "reference", path), O_RDONLY | O_DIRECTORY);
    assert_true(f->reference >= 0);
}

static void fixture_close(struct fixture *f)
{
    close_overlay(f);
    close(f->reference);
    shell(f, "chmod -R u+rwx \"$1\"; rm -rf \"$1\"");
}

/* A merged directory is not renamed, and neither is the reference's then. */
static void apply_random(struct fixture *f, uint64_t *seed, int rounds)
{
    char text[128];
    unsigned succeeded = 0;

    for (int i = 0; i < rounds; i++) {
        struct op op = random_op(seed);
        int ours = subject_apply(&f->subject, &op);
        int theirs = ours == -EXDEV && op.kind == OP_RENAME ? ours : host_apply(f->reference, &op);

        describe_op(&op, text);
        if (ours != theirs)
            fail_msg("round %d: %s: %s, should be %s", i, text, strerror(-ours), strerror(-theirs));
        succeeded += ours == 0;
        if (i % 200 == 0)
            compare_tree(&f->subject, f->fs->root, f->reference, "", false);
    }
    compare_tree(&f->subject, f->fs->root, f->reference, "", false);
    assert_in_range(succeeded, rounds / 10, rounds);
}

static int add_change(enum vfs_change change, const char *path, const struct statx *stat,
                      void *user)
{
    assert_non_null(stat);
    strbuf_addf(user, "%c %s\n", change, path);
    return 0;
}

static void list_changes(struct fixture *f, struct strbuf *text)
{
    assert_int_equal(vfs_overlay_changes(f->fs, add_change, text), 0);
    assert_int_equal(strbuf_status(text), 0);
}

static void compare_random(uint64_t seed)
{
    cleanup_strbuf struct strbuf in_memory = {0}, on_host = {0}, again = {0};
    uint64_t state = seed;
    struct fixture f;

    fixture_open(&f, true);
    apply_random(&f, &state, ROUNDS);
    list_changes(&f, &in_memory);
    fixture_close(&f);

    state = seed;
    fixture_open(&f, false);
    apply_random(&f, &state, ROUNDS);
    list_changes(&f, &on_host);
    assert_string_equal(strbuf_text(&in_memory), strbuf_text(&on_host));
    close_overlay(&f);

    open_overlay(&f, false); /* from disk */
    compare_tree(&f.subject, f.fs->root, f.reference, "", false);
    list_changes(&f, &again);
    assert_string_equal(strbuf_text(&on_host), strbuf_text(&again));
    apply_random(&f, &state, ROUNDS / 4);
    fixture_close(&f);
}

static void test_random(void **state)
{
    (void)state;
    compare_random(0x1234567abcdefULL);
    compare_random(0xdecafbadULL);
    compare_random(0x77777777ULL);
}

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
        compare_random(0xabcdef12345ULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- the kernel's own overlayfs ---- */

#define MOUNT_KERNEL                                                                            \
    "cd \"$1\"; list() { (cd \"$1\"; find . ! -name . -printf '%P|%y|%m|%U|%G|%l\\n' | sort;\n" \
    "  find . -type f -exec sha256sum {} + | sort -k2) >\"$2\"; }\n"                            \
    "mount --make-rprivate /; mount -t overlay overlay -o lowerdir=lower,upperdir=upper,"       \
    "workdir=work,redirect_dir=off,metacopy=off,index=off merged 2>/dev/null || exit 77\n"

/* Runs a script in a mount namespace of its own; 77: the kernel does not let us. */
static int shell_unshared(struct fixture *f, const char *script)
{
    struct strbuf text = {0};
    int status;
    pid_t pid;

    strbuf_addf(&text, "%s%s", MOUNT_KERNEL, script);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0)
            _exit(77);
        execlp("sh", "sh", "-euc", strbuf_text(&text), "test", f->base, (char *)NULL);
        _exit(127);
    }
    strbuf_free(&text);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What we have written must look the same to the kernel's overlayfs. */
static void test_read_by_kernel(void **state)
{
    uint64_t seed = 0xfacefeedULL;
    struct fixture f;
    int status;

    (void)state;
    if (geteuid() != 0)
        skip();
    fixture_open(&f, false);
    apply_random(&f, &seed, ROUNDS);
    status = shell_unshared(&f, "list merged a; list reference b; cmp a b\n");
    fixture_close(&f);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

/* What the kernel's overlayfs has written must look the same to us. */
static void test_written_by_kernel(void **state)
{
    struct fixture f;
    int status;

    (void)state;
    if (geteuid() != 0)
        skip();
    fixture_open(&f, false);
    close_overlay(&f);
    close(f.reference);
    status = shell_unshared(
        &f,
        "cd merged; rm a/a/e; rm -r a/b; mkdir a/b; echo new >a/b/n; mv b/f b/g; chmod 600 c/f\n"
        "ln b/g b/h; rm -r b/d; echo file >b/d; mkdir new; echo x >new/x; ln -sfn zz e\n"
        "rm -r c/a; mkfifo c/a; chown 12:34 c/b; mkdir -p c/d/x/y; rm d; mkdir d\n"
        "cp -a ../merged ../snapshot\n");
    f.reference = openat(AT_FDCWD, f.base, O_PATH | O_DIRECTORY);
    if (status == 0)
        f.reference = openat(f.reference, "snapshot", O_RDONLY | O_DIRECTORY);
    open_overlay(&f, false);
    if (status == 0)
        compare_tree(&f.subject, f.fs->root, f.reference, "", false);
    fixture_close(&f);
    if (status == 77)
        skip();
    assert_int_equal(status, 0);
}

/* ---- single cases, for both kinds of upper ---- */

static struct vfs_node *find(struct fixture *f, const char *path)
{
    struct vfs_node *node = NULL;

    if (subject_find(&f->subject, path, false, &node) < 0)
        fail_msg("%s is not there", path);
    return node;
}

/* The node of an open file, as the VFS finds it for fchmod(2) and its kind. */
static struct vfs_node *opened_node(struct fixture *f, int fd)
{
    struct vfs_place *place;
    struct vfs_node *node;

    assert_int_equal(vfs_place_of_fd(f->vfs, fd, &place), 0);
    node = vfs_node_ref(place->node);
    vfs_place_unref(place);
    return node;
}

static void run(struct fixture *f, enum op_kind kind, const char *first, const char *second,
                mode_t mode)
{
    struct op op = {.kind = kind, .mode = mode, .length = 5};
    int r;

    snprintf(op.path[0], sizeof(op.path[0]), "%s", first);
    snprintf(op.path[1], sizeof(op.path[1]), "%s", second ? second : "");
    r = subject_apply(&f->subject, &op);
    if (r < 0)
        fail_msg("%s %s: %s", first, op.path[1], strerror(-r));
}

static void check_changes(bool memory)
{
    static const char expected[] = "M /a/a/e\nD /a/b/e\nM /b\nD /b/b\nA /b/new\nA /b/new/x\n"
                                   "M /c/a/e\nD /c/a/f\nD /d\nA /z\n";
    cleanup_strbuf struct strbuf text = {0};
    struct fixture f;

    fixture_open(&f, memory);
    list_changes(&f, &text);
    assert_string_equal(strbuf_text(&text), "");
    run(&f, OP_WRITE, "a/a/e", NULL, 0);
    run(&f, OP_UNLINK, "a/b/e", NULL, 0);
    run(&f, OP_CHMOD, "b", NULL, 0700);
    run(&f, OP_MKDIR, "b/new", NULL, 0755);
    run(&f, OP_CREATE, "b/new/x", NULL, 0644);
    run(&f, OP_UNLINK, "b/b/e", NULL, 0);
    run(&f, OP_UNLINK, "b/b/f", NULL, 0);
    run(&f, OP_RMDIR, "b/b", NULL, 0);
    run(&f, OP_UNLINK, "c/a/e", NULL, 0);
    run(&f, OP_UNLINK, "c/a/f", NULL, 0);
    run(&f, OP_RMDIR, "c/a", NULL, 0);
    run(&f, OP_MKDIR, "c/a", NULL, 0755);
    run(&f, OP_CREATE, "c/a/e", NULL, 0644);
    run(&f, OP_RENAME, "d", "z", 0);
    list_changes(&f, &text);
    assert_string_equal(strbuf_text(&text), expected);
    if (!memory) { /* and all of it is on disk */
        close_overlay(&f);
        open_overlay(&f, false);
        strbuf_truncate(&text, 0);
        list_changes(&f, &text);
        assert_string_equal(strbuf_text(&text), expected);
    }
    fixture_close(&f);
}

static void test_changes(void **state)
{
    (void)state;
    check_changes(true);
    check_changes(false);
}

/* Tools that look at a file before and after (tar, cp, git) must see the same object. */
static void check_identity(bool memory)
{
    static const char *const paths[] = {"a/a/e", "b", "b/a", "c/f", "e"};
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct fixture f;

    fixture_open(&f, memory);
    for (size_t i = 0; i < array_length(paths); i++) {
        struct statx before, after, again;
        struct vfs_node *held = find(&f, paths[i]), *node;

        assert_int_equal(f.fs->ops->stat(held, &before), 0);
        assert_int_equal(f.fs->ops->utimens(held, times, &f.actor), 0);
        assert_int_equal(f.fs->ops->stat(held, &after), 0);
        vfs_node_unref(held);
        node = find(&f, paths[i]);
        assert_int_equal(f.fs->ops->stat(node, &again), 0);
        vfs_node_unref(node);
        assert_true(before.stx_ino == after.stx_ino && before.stx_ino == again.stx_ino);
        assert_true(before.stx_dev_major == again.stx_dev_major);
        assert_true(before.stx_dev_minor == again.stx_dev_minor);
        assert_true(before.stx_mtime.tv_sec <= again.stx_mtime.tv_sec);
    }
    fixture_close(&f);
}

static void test_identity(void **state)
{
    (void)state;
    check_identity(true);
    check_identity(false);
}

/* A node found before the copy-up, by another way, sees it; one whose name has gone does not act.
 */
static void check_held_nodes(bool memory)
{
    struct vfs_node *held, *gone;
    struct statx stat;
    struct fixture f;

    fixture_open(&f, memory);
    held = find(&f, "a/a/e");
    gone = find(&f, "a/a/f");
    run(&f, OP_CHMOD, "a/a/e", NULL, 0640);
    assert_int_equal(f.fs->ops->stat(held, &stat), 0);
    assert_int_equal(stat.stx_mode & 07777, 0640);
    run(&f, OP_RENAME, "a/a/e", "b/moved", 0);
    assert_int_equal(f.fs->ops->chmod(held, 0600, &f.actor), 0);
    run(&f, OP_UNLINK, "a/a/f", NULL, 0);
    assert_int_equal(f.fs->ops->chmod(gone, 0600, &f.actor), -ENOENT);
    vfs_node_unref(held);
    vfs_node_unref(gone);
    held = find(&f, "b/moved");
    assert_int_equal(f.fs->ops->stat(held, &stat), 0);
    assert_int_equal(stat.stx_mode & 07777, 0600);
    vfs_node_unref(held);
    fixture_close(&f);
}

static void test_held_nodes(void **state)
{
    (void)state;
    check_held_nodes(true);
    check_held_nodes(false);
}

/* fchmod(2) on an open file: the descriptor leads to the overlay's object, records and all. */
static void check_descriptor(bool memory)
{
    struct vfs_open_request request = {.flags = O_RDWR};
    struct vfs_node *node, *by_descriptor;
    struct vfs_opened opened;
    struct statx stat;
    struct fixture f;

    fixture_open(&f, memory);
    request.actor = &f.actor;
    node = find(&f, "a/a/e");
    assert_int_equal(f.fs->ops->open(node, &request, &opened), 0);
    vfs_node_unref(node);
    by_descriptor = opened_node(&f, opened.fd);
    assert_ptr_equal(by_descriptor->fs, f.fs);
    assert_int_equal(f.fs->ops->chmod(by_descriptor, 0, &f.actor), 0);
    vfs_node_unref(by_descriptor);
    for (int i = 0; i < 300; i++) { /* more than are remembered on a host upper */
        run(&f, OP_CREATE, "many", NULL, 0644);
        run(&f, OP_UNLINK, "many", NULL, 0);
    }
    close(opened.fd);
    node = find(&f, "a/a/e");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG);
    vfs_node_unref(node);
    fixture_close(&f);
}

static void test_descriptor(void **state)
{
    (void)state;
    check_descriptor(true);
    check_descriptor(false);
}

/* O_TMPFILE, and a name for it afterwards. A host upper's file comes by descriptor: not here. */
static void test_tmpfile(void **state)
{
    struct vfs_open_request request = {.flags = O_RDWR, .mode = 0640};
    struct vfs_node *directory, *node;
    struct vfs_opened opened;
    struct vfs_place *place;
    struct statx stat;
    struct fixture f;

    (void)state;
    fixture_open(&f, true);
    request.actor = &f.actor;
    directory = find(&f, "a/b");
    assert_int_equal(f.fs->ops->tmpfile(directory, &request, &opened), 0);
    assert_int_equal(write(opened.fd, "text", 4), 4);
    assert_int_equal(vfs_place_of_fd(f.vfs, opened.fd, &place), 0);
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_nlink, 0);
    vfs_place_unref(place);
    run(&f, OP_CREATE, "other", NULL, 0644); /* must not sweep it away */
    run(&f, OP_UNLINK, "other", NULL, 0);
    node = opened_node(&f, opened.fd);
    assert_int_equal(f.fs->ops->link(node, directory, "named", &f.actor), 0);
    vfs_node_unref(node);
    close(opened.fd);
    node = find(&f, "a/b/named");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_size, 4);
    assert_int_equal(stat.stx_nlink, 1);
    vfs_node_unref(node);
    vfs_node_unref(directory);
    fixture_close(&f);
}

/* What the overlay stores beside the guest's attributes is not the guest's business. */
static void check_xattrs(bool memory)
{
    char prefix[2][32] = {"trusted.overlay.opaque", "user.overlay.opaque"};
    struct vfs_node *node;
    struct fixture f;
    char names[256];

    fixture_open(&f, memory);
    node = find(&f, "a");
    for (size_t i = geteuid() ? 1 : 0; i < 2; i++) {
        assert_int_equal(f.fs->ops->setxattr(node, prefix[i], "y", 1, 0, &f.actor), 0);
        assert_int_equal(f.fs->ops->getxattr(node, prefix[i], names, sizeof(names)), 1);
    }
    assert_int_equal(f.fs->ops->listxattr(node, names, sizeof(names)),
                     geteuid() ? strlen(prefix[1]) + 1 : strlen(prefix[0]) + strlen(prefix[1]) + 2);
    vfs_node_unref(node);
    if (!memory)
        assert_int_equal(
            f.fs->ops->setxattr(f.fs->root, "user.cerebro.owner", "1:1", 3, 0, &f.actor), -EPERM);
    close_overlay(&f);
    open_overlay(&f, memory);
    vfs_node_unref(find(&f, "a/a/e")); /* not opaque for the guest's having said so */
    fixture_close(&f);
}

static void test_xattrs(void **state)
{
    (void)state;
    check_xattrs(true);
    check_xattrs(false);
}

/* Fake root: owners and devices that the user could not set come back from the records. */
static void test_records(void **state)
{
    struct vfs_node *node;
    struct statx stat;
    struct fixture f;

    (void)state;
    fixture_open(&f, false);
    f.identity.effective = f.identity.permitted = ~0ULL;
    f.identity.fsuid = f.identity.uid = f.identity.euid = 0;
    f.kernel.config.virtual_identity = true;
    close_overlay(&f);
    open_overlay(&f, false);
    node = find(&f, "a/a/e");
    assert_int_equal(f.fs->ops->chown(node, 77, 88, &f.actor), 0);
    vfs_node_unref(node);
    assert_int_equal(
        f.fs->ops->mknod(f.fs->root, "device", S_IFBLK | 0640, makedev(8, 3), &f.actor), 0);
    run(&f, OP_CREATE, "closed", NULL, 0);
    close_overlay(&f);
    open_overlay(&f, false);
    node = find(&f, "a/a/e");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_true(stat.stx_uid == 77 && stat.stx_gid == 88);
    vfs_node_unref(node);
    node = find(&f, "device");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFBLK | 0640);
    assert_true(stat.stx_rdev_major == 8 && stat.stx_rdev_minor == 3);
    assert_int_equal(node->type, S_IFBLK);
    vfs_node_unref(node);
    node = find(&f, "closed");
    assert_int_equal(f.fs->ops->stat(node, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG);
    vfs_node_unref(node);
    fixture_close(&f);
}

/* Set-id bits of a new file last until it is written, natively, wherever they are kept. */
static void check_set_id(bool memory)
{
    struct vfs_open_request request = {.flags = O_WRONLY, .mode = 06755};
    struct vfs_node *node, *again;
    struct vfs_opened opened;
    struct statx stat;
    struct fixture f;

    fixture_open(&f, memory);
    f.identity.effective = 0;
    request.actor = &f.actor;
    assert_int_equal(f.fs->ops->create(f.fs->root, "new", &request, &node, &opened), 0);
    again = find(&f, "new");
    assert_int_equal(f.fs->ops->stat(again, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 06755);
    if (geteuid() != 0) { /* of root the host takes nothing away */
        assert_int_equal(write(opened.fd, "x", 1), 1);
        assert_int_equal(f.fs->ops->stat(again, &stat), 0);
        assert_int_equal(stat.stx_mode, S_IFREG | 0755);
        /* Set again by chmod, they stay: the file's content is what its owner wants run. */
        assert_int_equal(f.fs->ops->chmod(again, 04711, &f.actor), 0);
        assert_int_equal(f.fs->ops->stat(again, &stat), 0);
        assert_int_equal(stat.stx_mode, S_IFREG | 04711);
    }
    close(opened.fd);
    vfs_node_unref(node);
    vfs_node_unref(again);
    fixture_close(&f);
}

static void test_set_id_of_new_file(void **state)
{
    (void)state;
    check_set_id(true);
    check_set_id(false);
}

/* ---- ways out ---- */

/* Behind a socket or a FIFO of the lower there are processes of the host. */
static void check_no_way_out(bool memory)
{
    struct vfs_open_request request = {.flags = O_RDWR | O_NONBLOCK};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vfs_node *node;
    struct vfs_opened opened;
    struct fixture f;
    char path[128], byte;
    int outside;

    fixture_open(&f, memory);
    request.actor = &f.actor;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/lower/socket", f.base);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server, 1), 0);
    assert_int_equal(mkfifo(in(&f, "lower/fifo", path), 0666), 0);
    outside = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(outside >= 0);
    node = find(&f, "socket");
    assert_int_equal(f.fs->ops->connect_socket(node, client, &f.actor), -EXDEV);
    vfs_node_unref(node);
    node = find(&f, "fifo");
    assert_int_equal(f.fs->ops->open(node, &request, &opened), 0);
    assert_int_equal(write(opened.fd, "in", 2), 2);
    assert_int_equal(read(outside, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(read(opened.fd, path, sizeof(path)), 2);
    assert_int_equal(write(outside, "out", 3), 3);
    assert_int_equal(read(opened.fd, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(opened.fd);
    vfs_node_unref(node);
    /* A second open of the name meets the guest's own one again. */
    node = find(&f, "fifo");
    request.flags = O_RDONLY | O_NONBLOCK;
    assert_int_equal(f.fs->ops->open(node, &request, &opened), 0);
    assert_int_equal(read(opened.fd, &byte, 1), 0); /* nobody writes: and "out" is not there */
    close(opened.fd);
    vfs_node_unref(node);
    close(outside);
    close(server);
    close(client);
    fixture_close(&f);
}

static void test_no_way_out(void **state)
{
    (void)state;
    check_no_way_out(true);
    check_no_way_out(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_unprivileged),
        cmocka_unit_test(test_read_by_kernel),
        cmocka_unit_test(test_written_by_kernel),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_held_nodes),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_tmpfile),
        cmocka_unit_test(test_xattrs),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_no_way_out),
        cmocka_unit_test(test_set_id_of_new_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

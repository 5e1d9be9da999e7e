/*
 * The host file system and the operations on places: opening in every mode, read-only mounts,
 * FIFOs and devices, mounts of the host that must not be entered, virtual owners, sockets.
 */
#include "skip.h"
#include "vfs_fixture.h"

#include <linux/capability.h>

/* ---- open ---- */

/* The same calls on the host and here: errors, and which object was opened. */
static void test_open_like_the_kernel(void **state)
{
    static const char *const paths[] = {
        "file", "link",   "dangling", "dir",      "dir/", "file/",  "new",
        "new/", "gone/x", "file/x",   "dir/sub/", ".",    "dir/..", "dir/sub/../other",
        "link/"};
    static const int flags[] = {
        O_RDONLY,
        O_WRONLY,
        O_RDWR,
        O_RDONLY | O_DIRECTORY,
        O_RDONLY | O_NOFOLLOW,
        O_PATH,
        O_PATH | O_NOFOLLOW,
        O_RDWR | O_CREAT,
        O_RDONLY | O_CREAT,
        O_WRONLY | O_CREAT | O_EXCL,
        O_RDWR | O_CREAT | O_NOFOLLOW,
        O_WRONLY | O_TRUNC,
        O_RDONLY | O_TRUNC,
        O_RDWR | O_DIRECTORY,
        O_WRONLY | O_APPEND,
        O_RDONLY | O_NONBLOCK,
        O_CREAT | O_DIRECTORY,
        O_RDWR | O_TMPFILE,
        O_RDONLY | O_TMPFILE,
        O_PATH | O_DIRECTORY,
        O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
    };
    struct fixture *f = *state;
    struct fixture *reference;
    void *other;
    int mine = open(f->root, O_PATH | O_CLOEXEC);
    int root;

    assert_int_equal(setup(&other), 0);
    reference = other;
    root = open(reference->root, O_PATH | O_CLOEXEC);
    for (size_t i = 0; i < array_length(paths); i++)
        for (size_t j = 0; j < array_length(flags); j++) {
            struct stat ours, theirs;
            int fd = open_at(f, paths[i], flags[j], NULL);
            int expected = openat(root, paths[i], flags[j] | O_CLOEXEC, 0666);
            int error = expected < 0 ? -errno : 0;

            if ((fd < 0 ? fd : 0) != error)
                print_error("%s flags %#x: %d, the kernel %d\n", paths[i], (unsigned)flags[j], fd,
                            error);
            assert_int_equal(fd < 0 ? fd : 0, error);
            if (fd < 0)
                continue;
            assert_int_equal(fstat(fd, &ours), 0);
            assert_int_equal(fstat(expected, &theirs), 0);
            if (flags[j] & O_PATH) { /* a descriptor of ours stands for it */
                struct statx stat;

                assert_true(vfs_is_path_only(f->vfs, fd));
                assert_int_equal(vfs_stat_fd(f->vfs, fd, &stat), 0);
                assert_int_equal(stat.stx_mode, theirs.st_mode);
            } else {
                assert_int_equal(ours.st_mode, theirs.st_mode);
                assert_int_equal(ours.st_size, theirs.st_size);
                /* Two flags that mean nothing any more once the object is open. */
                assert_int_equal(fcntl(fd, F_GETFL) & ~(O_NOFOLLOW | O_DIRECTORY),
                                 fcntl(expected, F_GETFL) & ~(O_NOFOLLOW | O_DIRECTORY));
            }
            close(fd);
            close(expected);
            for (int side = 0; side < 2; side++) {
                unlinkat(side ? mine : root, "new", 0);
                unlinkat(side ? mine : root, "dir/made", 0);
            }
        }
    close(root);
    close(mine);
    teardown(&other);
}

static void test_umask_applies(void **state)
{
    struct fixture *f = *state;
    struct stat stat;
    int fd;

    f->actor.mask = 027;
    fd = open_at(f, "masked", O_CREAT | O_WRONLY, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0640);
    close(fd);
}

static void test_read_only_mount(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *top, *file;
    char path[64];

    snprintf(path, sizeof(path), "%s", f->root);
    mount_host(f, path, "/ro", VFS_MOUNT_READ_ONLY);
    top = place_at(f, "/ro");
    file = place_at(f, "/ro/file");
    expect_open(f, "/ro/file", O_RDONLY, 0);
    expect_open(f, "/ro/file", O_RDONLY | O_CREAT, 0);
    expect_open(f, "/ro/file", O_RDONLY | O_TRUNC, -EROFS);
    expect_open(f, "/ro/file", O_RDWR, -EROFS);
    expect_open(f, "/ro/file", O_WRONLY | O_CREAT | O_EXCL, -EEXIST);
    expect_open(f, "/ro/new", O_WRONLY | O_CREAT, -EROFS);
    expect_open(f, "/ro/new/", O_WRONLY | O_CREAT, -EISDIR);
    expect_open(f, "/ro/dir", O_RDWR, -EISDIR);
    expect_open(f, "/ro/dangling", O_RDWR | O_CREAT, -EROFS);
    assert_int_equal(vfs_mkdir(top, "dir", 0755, &f->actor), -EEXIST);
    assert_int_equal(vfs_mkdir(top, "new", 0755, &f->actor), -EROFS);
    assert_int_equal(vfs_symlink(top, "link", "x", &f->actor), -EEXIST);
    assert_int_equal(vfs_mknod(top, "new", S_IFREG | 0644, 0, &f->actor), -EROFS);
    assert_int_equal(vfs_link(file, top, "new", &f->actor), -EROFS);
    assert_int_equal(vfs_unlink(top, "file", false, &f->actor), -EROFS);
    assert_int_equal(vfs_unlink(top, "missing", false, &f->actor), -EROFS);
    assert_int_equal(vfs_rename(top, "file", top, "new", 0, &f->actor), -EROFS);
    assert_int_equal(vfs_chmod(file, 0600, &f->actor), -EROFS);
    assert_int_equal(vfs_chown(file, 1, 1, &f->actor), -EROFS);
    assert_int_equal(vfs_truncate(file, 0, &f->actor), -EROFS);
    assert_int_equal(vfs_utimens(file, NULL, &f->actor, false), -EROFS);
    assert_int_equal(vfs_setxattr(file, "user.x", "y", 1, 0, &f->actor), -EROFS);
    assert_int_equal(vfs_access(file, R_OK, &f->actor, true), 0);
    assert_int_equal(vfs_access(file, W_OK, &f->actor, true), -EROFS);
    vfs_place_unref(top);
    vfs_place_unref(file);
}

static void test_fifo(void **state)
{
    struct fixture *f = *state;
    struct vfs_opened opened;
    int reader;

    for (int i = 0; i < 2; i++) { /* the first time it is found out, the second time known */
        assert_true(open_at(f, "fifo", O_RDONLY, &opened) >= 0);
        assert_true(opened.blocks);
        assert_int_equal(opened.block_flags & O_ACCMODE, O_RDONLY);
        assert_true(fcntl(opened.fd, F_GETFL) & O_PATH);
        close(opened.fd);
        expect_open(f, "fifo", O_WRONLY | O_NONBLOCK, -ENXIO);
    }
    reader = open_at(f, "fifo", O_RDONLY | O_NONBLOCK, &opened);
    assert_true(reader >= 0);
    assert_false(opened.blocks);
    assert_true(open_at(f, "fifo", O_WRONLY, &opened) >= 0);
    assert_true(opened.blocks);
    close(opened.fd);
    close(reader);
}

static void test_devices_of_the_host(void **state)
{
    struct fixture *f = *state;
    char path[64];

    expect_open(f, "/file", O_RDONLY, 0);
    assert_int_equal(vfs_mknod(f->top, "disk", S_IFBLK | 0666, makedev(8, 0), &f->actor), -EPERM);
    assert_int_equal(vfs_mknod(f->top, "mem", S_IFCHR | 0666, makedev(1, 1), &f->actor), -EPERM);
    snprintf(path, sizeof(path), "%s/zero", f->root);
    if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) < 0)
        SKIP("making a device needs root");
    expect_open(f, "zero", O_RDONLY, -EACCES);
    expect_open(f, "zero", O_RDWR | O_NONBLOCK, -EACCES);
    expect_open(f, "zero", O_PATH, 0);
}

static bool emit_count(void *user, const char *name, uint64_t inode, mode_t type)
{
    (void)name;
    (void)inode;
    (void)type;
    ++*(int *)user;
    return true;
}

/* Below "/" of the host lie /proc, /sys and /dev: empty directories here, and nothing in them. */
static void test_nested_mounts_of_the_host(void **state)
{
    static const char *const hidden[] = {"/dir/proc/self",    "/dir/proc/1/root",
                                         "/dir/sys/kernel",   "/dir/dev/null",
                                         "/dir/dev/pts/ptmx", "/dir/proc/self/fd/0",
                                         "/dir/dev/shm",      "/dir/proc/sys/kernel/ostype"};
    struct fixture *f = *state;
    struct vfs_place *place;
    struct vfs_opened opened;
    struct vfs_fs *fs;
    struct statx stat;
    unsigned char records[512];
    int entries = 0;
    int fd;

    mount_host(f, "/", "/dir", VFS_MOUNT_READ_ONLY);
    for (size_t i = 0; i < array_length(hidden); i++) {
        struct vfs_walk walk = walk_of(f, hidden[i], VFS_NOFOLLOW);

        assert_int_equal(vfs_resolve(f->vfs, &walk, &place), -ENOENT);
        expect_open(f, hidden[i], O_RDONLY, -ENOENT);
    }
    place = place_at(f, "/dir/proc");
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFDIR | 0555);
    assert_int_equal(place->node->fs->ops->readdir(place->node, 0, &f->actor, emit_count, &entries),
                     0);
    assert_int_equal(entries, 0);
    vfs_place_unref(place);
    fd = open_at(f, "/dir/proc", O_RDONLY | O_DIRECTORY, &opened);
    assert_true(fd >= 0);
    assert_true(opened.window);
    assert_true(vfs_getdents(f->vfs, fd, records, sizeof(records), &f->actor) > 0);
    assert_int_equal(vfs_getdents(f->vfs, fd, records, sizeof(records), &f->actor), 0);
    close(fd);
    assert_int_equal(vfs_host_new(f->vfs, "/proc", &fs), -EPERM);
    assert_int_equal(vfs_host_new(f->vfs, "/sys", &fs), -EPERM);
}

/* ---- operations ---- */

static void test_names(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *dir = place_at(f, "/dir");
    struct vfs_place *file = place_at(f, "/file");
    struct vfs_place *link = place_at(f, "/link");
    char text[64];

    assert_int_equal(vfs_readlink(link, text, sizeof(text), &f->actor), 4);
    assert_memory_equal(text, "file", 4);
    assert_int_equal(vfs_readlink(file, text, sizeof(text), &f->actor), -EINVAL);
    assert_int_equal(vfs_mkdir(dir, "new", 0755, &f->actor), 0);
    assert_int_equal(vfs_mkdir(dir, "new", 0755, &f->actor), -EEXIST);
    assert_int_equal(vfs_mkdir(file, "new", 0755, &f->actor), -ENOTDIR);
    assert_int_equal(vfs_unlink(dir, "new", false, &f->actor), -EISDIR);
    assert_int_equal(vfs_unlink(dir, "new", true, &f->actor), 0);
    assert_int_equal(vfs_unlink(dir, "new", true, &f->actor), -ENOENT);
    assert_int_equal(vfs_unlink(f->top, "dir", true, &f->actor), -ENOTEMPTY);
    assert_int_equal(vfs_link(file, dir, "hard", &f->actor), 0);
    assert_int_equal(vfs_link(file, dir, "hard", &f->actor), -EEXIST);
    assert_int_equal(vfs_link(dir, f->top, "hard", &f->actor), -EPERM);
    assert_int_equal(vfs_link(link, dir, "softer", &f->actor), 0);
    assert_int_equal(vfs_rename(dir, "hard", f->top, "harder", RENAME_NOREPLACE, &f->actor), 0);
    assert_int_equal(vfs_rename(f->top, "harder", dir, "other", RENAME_NOREPLACE, &f->actor),
                     -EEXIST);
    assert_int_equal(vfs_symlink(dir, "s", "", &f->actor), -ENOENT);
    assert_int_equal(vfs_mknod(dir, "pipe", S_IFIFO | 0600, 0, &f->actor), 0);
    vfs_place_unref(dir);
    vfs_place_unref(file);
    vfs_place_unref(link);
}

static void test_attributes(void **state)
{
    static const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 5}};
    struct fixture *f = *state;
    struct vfs_place *file = place_at(f, "/file");
    struct vfs_place *link = place_at(f, "/link");
    struct statfs info;
    struct statx stat;
    char value[16];
    char names[256];

    assert_int_equal(vfs_chmod(file, 0751, &f->actor), 0);
    assert_int_equal(vfs_truncate(file, 3, &f->actor), 0);
    assert_int_equal(vfs_utimens(file, times, &f->actor, true), 0);
    assert_int_equal(vfs_stat(file, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFREG | 0751);
    assert_int_equal(stat.stx_size, 3);
    assert_int_equal(stat.stx_mtime.tv_sec, 2000);
    assert_int_equal(stat.stx_atime.tv_sec, 1000);
    assert_int_equal(vfs_chmod(link, 0700, &f->actor), -EOPNOTSUPP);
    assert_int_equal(vfs_utimens(link, times, &f->actor, true), 0);
    assert_int_equal(vfs_stat(link, &stat), 0);
    assert_int_equal(stat.stx_mtime.tv_sec, 2000);
    assert_int_equal(vfs_statfs(file, &info), 0);
    assert_int_not_equal(info.f_bsize, 0);
    if (vfs_setxattr(file, "user.one", "1", 1, 0, &f->actor) == 0) {
        assert_int_equal(vfs_getxattr(file, "user.one", value, sizeof(value), &f->actor), 1);
        assert_int_equal(vfs_setxattr(file, "user.cerebro.owner", "1", 1, 0, &f->actor), -EPERM);
        assert_int_equal(vfs_getxattr(file, "user.cerebro.owner", value, 16, &f->actor), -ENODATA);
        assert_int_equal(vfs_listxattr(file, names, sizeof(names), &f->actor), 9);
        assert_int_equal(vfs_removexattr(file, "user.one", &f->actor), 0);
    }
    vfs_place_unref(file);
    vfs_place_unref(link);
}

/* The host would really change owners for root. */
static int setup_as_user(void **state)
{
    if (getuid() == 0) {
        assert_int_equal(setresgid(65534, 65534, 0), 0);
        assert_int_equal(setresuid(65534, 65534, 0), 0);
    }
    return setup(state);
}

static int teardown_as_user(void **state)
{
    int r = teardown(state);

    (void)!setresuid(0, 0, 0); /* fails for those who were no root */
    (void)!setresgid(0, 0, 0);
    return r;
}

/* Fake root: the user appears as uid 0, and other owners are recorded beside the file. */
static void test_virtual_owner(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *file, *dir;
    struct vfs_actor other = f->actor;
    struct pk_identity plain = {.uid = 7, .euid = 7, .fsuid = 7, .gid = 7, .fsgid = 7};
    struct statx stat;
    char path[64];
    char names[256];

    snprintf(path, sizeof(path), "%s/file", f->root);
    if (setxattr(path, "user.probe", "1", 1, 0) < 0)
        SKIP("/tmp has no extended attributes to record owners in");
    removexattr(path, "user.probe");
    file = place_at(f, "/file");
    dir = place_at(f, "/dir");
    f->kernel.config.virtual_identity = true;
    f->kernel.config.identity = (struct pk_identity){.effective = ~0ULL};
    f->identity = f->kernel.config.identity;
    assert_int_equal(vfs_stat(file, &stat), 0);
    assert_int_equal(stat.stx_uid, 0);
    assert_int_equal(stat.stx_gid, 0);
    assert_int_equal(vfs_chown(file, 33, 44, &f->actor), 0);
    assert_int_equal(vfs_stat(file, &stat), 0);
    assert_int_equal(stat.stx_uid, 33);
    assert_int_equal(stat.stx_gid, 44);
    assert_int_equal(vfs_chown(file, (uid_t)-1, 0, &f->actor), 0);
    assert_int_equal(vfs_stat(file, &stat), 0);
    assert_int_equal(stat.stx_uid, 33);
    assert_int_equal(stat.stx_gid, 0);
    assert_int_equal(vfs_listxattr(file, names, sizeof(names), &f->actor), 0);
    other.identity = &plain;
    assert_int_equal(vfs_chown(file, 7, 7, &other), -EPERM);
    assert_int_equal(vfs_mkdir(dir, "sevens", 0755, &other), 0);
    vfs_place_unref(file);
    file = place_at(f, "/dir/sevens");
    assert_int_equal(vfs_stat(file, &stat), 0);
    assert_int_equal(stat.stx_uid, 7);
    vfs_place_unref(file);
    vfs_place_unref(dir);
}

static void test_sockets(void **state)
{
    struct fixture *f = *state;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vfs_place *place;
    struct statx stat;

    assert_int_equal(vfs_bind_socket(f->top, "sock", 0777, server, &f->actor), 0);
    assert_int_equal(vfs_bind_socket(f->top, "file", 0777, client, &f->actor), -EADDRINUSE);
    assert_int_equal(listen(server, 1), 0);
    place = place_at(f, "/sock");
    assert_int_equal(vfs_stat(place, &stat), 0);
    assert_int_equal(stat.stx_mode, S_IFSOCK | 0777);
    expect_open(f, "sock", O_RDWR, -ENXIO);
    mount_host(f, f->root, "/ro", VFS_MOUNT_READ_ONLY);
    assert_int_equal(vfs_connect_socket(place, client, &f->actor), 0);
    vfs_place_unref(place);
    close(client);
    client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    place = place_at(f, "/ro/sock");
    assert_int_equal(vfs_connect_socket(place, client, &f->actor), -EXDEV);
    vfs_place_unref(place);
    place = place_at(f, "/file");
    assert_int_equal(vfs_connect_socket(place, client, &f->actor), -ECONNREFUSED);
    vfs_place_unref(place);
    close(client);
    close(server);
}

static void test_inotify(void **state)
{
    struct fixture *f = *state;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct vfs_place *file = place_at(f, "/file");
    char event[512];

    assert_int_equal(vfs_inotify_add(file, fd, IN_MODIFY | IN_ONLYDIR), -ENOTDIR);
    assert_true(vfs_inotify_add(f->top, fd, IN_CREATE | IN_DONT_FOLLOW) > 0);
    assert_int_equal(vfs_mkdir(f->top, "seen", 0755, &f->actor), 0);
    assert_true(read(fd, event, sizeof(event)) > 0);
    vfs_place_unref(file);
    close(fd);
}

/* ---- owners and places ---- */

static void test_places_outlive_the_vfs(void **state)
{
    struct fixture *f = *state;
    struct pk_kernel kernel = {0};
    struct vfs_place *place;
    struct vfs_fs *fs;
    struct vfs *vfs;

    assert_int_equal(vfs_new(&kernel, &vfs), 0);
    assert_int_equal(vfs_host_new(vfs, f->root, &fs), 0);
    assert_int_equal(vfs_mount(vfs, "/nowhere", fs, 0, "x", "host"), -EINVAL);
    assert_int_equal(vfs_host_new(vfs, f->root, &fs), 0);
    assert_int_equal(vfs_mount(vfs, "/", fs, 0, "x", "host"), 0);
    place = vfs_root(vfs);
    vfs_free(vfs);
    assert_string_equal(vfs_place_path(place), "/");
    vfs_place_unref(place);
}

/* The host's own leases on links near the root: a learned link that changes is read anew. */
static void test_learned_links_are_read_anew(void **state)
{
    struct fixture *f = *state;
    char from[64], text[16] = "";
    int fd;

    snprintf(from, sizeof(from), "%s/lib", f->root);
    assert_int_equal(symlink("dir", from), 0);
    for (int i = 0; i < 3; i++)
        expect_open(f, "/lib/other", O_RDONLY, 0);
    make_file(f, "sticky/other", "changed");
    assert_int_equal(unlink(from), 0);
    assert_int_equal(symlink("sticky", from), 0);
    fd = open_at(f, "/lib/other", O_RDONLY, NULL);
    assert_int_equal(read(fd, text, sizeof(text)), 7);
    assert_string_equal(text, "changed");
    close(fd);
    assert_int_equal(unlink(from), 0);
    expect_open(f, "/lib/other", O_RDONLY, -ENOENT);
    assert_int_equal(mkdir(from, 0755), 0);
    make_file(f, "lib/other", "now a directory");
    expect_open(f, "/lib/other", O_RDONLY, 0);
}

/* ---- acting as a task with other ids than ours ---- */

struct ourselves {
    struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
    gid_t groups[PK_GROUPS_MAX];
    int group_count;
    long fsuid, fsgid;
    int death_signal;
};

static void read_ourselves(struct ourselves *self)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    memset(self, 0, sizeof(*self));
    assert_int_equal(syscall(SYS_capget, &header, self->capabilities), 0);
    self->group_count = getgroups(PK_GROUPS_MAX, self->groups);
    self->fsuid = syscall(SYS_setfsuid, -1);
    self->fsgid = syscall(SYS_setfsgid, -1);
    assert_int_equal(prctl(PR_GET_PDEATHSIG, &self->death_signal), 0);
}

/* What the host says to user 12345 of group 23456, who is in group 34567, too. */
static void act_as_user(struct fixture *f)
{
    struct pk_identity user = {.fsuid = 12345, .fsgid = 23456, .groups = {34567}, .group_count = 1};
    struct pk_identity root = f->identity;
    char path[64];
    struct stat stat_buf;
    int fd;

    f->actor.identity = &user;
    expect_open(f, "/secret", O_RDONLY, -EACCES);
    expect_open(f, "/secret", O_PATH, 0);
    expect_open(f, "/closed/file", O_RDONLY, -EACCES);
    expect_open(f, "/closed/file", O_PATH, -EACCES);
    expect_open(f, "/of-group", O_RDONLY, 0);
    expect_open(f, "/of-group", O_RDWR, -EACCES);
    expect_open(f, "/pipe", O_RDONLY, -EACCES); /* would wait: judged before */
    expect_open(f, "/new", O_RDWR | O_CREAT, -EACCES);
    assert_int_equal(vfs_unlink(f->top, "secret", false, &f->actor), -EACCES);
    assert_int_equal(vfs_mkdir(f->top, "new", 0755, &f->actor), -EACCES);
    expect_open(f, "/sticky/mine", O_RDWR | O_CREAT, 0);
    snprintf(path, sizeof(path), "%s/sticky/mine", f->root);
    assert_int_equal(stat(path, &stat_buf), 0);
    assert_true(stat_buf.st_uid == 12345 && stat_buf.st_gid == 23456);
    assert_int_equal(getxattr(path, "user.cerebro.owner", NULL, 0), -1);
    assert_int_equal(chmod(path, 0600), 0);

    user.effective = 1ULL << CAP_DAC_READ_SEARCH;
    expect_open(f, "/secret", O_RDONLY, 0);
    expect_open(f, "/closed/file", O_RDONLY, 0);
    expect_open(f, "/secret", O_WRONLY, -EACCES);

    /* Root without its capabilities is a user with a number like any other. */
    root.effective = 0;
    f->actor.identity = &root;
    expect_open(f, "/sticky/mine", O_WRONLY, -EACCES);
    expect_open(f, "/secret", O_RDONLY, -EACCES); /* mode 0 */
    f->actor.identity = &f->identity;
    fd = open_at(f, "/sticky/mine", O_WRONLY, NULL);
    assert_true(fd >= 0);
    close(fd);
}

static void test_act_as_task(void **state)
{
    struct fixture *f = *state;
    struct ourselves before, after;
    char path[64];

    if (geteuid() != 0)
        skip();
    make_file(f, "secret", "s");
    make_file(f, "of-group", "g");
    snprintf(path, sizeof(path), "%s/secret", f->root);
    assert_int_equal(chmod(path, 0), 0);
    snprintf(path, sizeof(path), "%s/of-group", f->root);
    assert_int_equal(chown(path, 0, 34567), 0);
    assert_int_equal(chmod(path, 0640), 0);
    snprintf(path, sizeof(path), "%s/closed", f->root);
    assert_int_equal(mkdir(path, 0700), 0);
    make_file(f, "closed/file", "c");
    snprintf(path, sizeof(path), "%s/pipe", f->root);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/sticky", f->root);
    assert_int_equal(chmod(path, 01777), 0);
    assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
    read_ourselves(&before);
    act_as_user(f);
    read_ourselves(&after);
    assert_int_equal(prctl(PR_SET_PDEATHSIG, 0), 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(after.death_signal, SIGUSR1);
}

/* ---- protected files ---- */

/* The fixture's /dir/sub/loader, protected; the whole tree is mounted writable, twice. */
static void protect_loader(struct fixture *f)
{
    char path[64];
    int fd;

    make_file(f, "dir/sub/loader", "program");
    snprintf(path, sizeof(path), "%s/dir/sub/loader", f->root);
    fd = open(path, O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(vfs_protect(f->vfs, fd), 0);
    close(fd);
    mount_host(f, f->root, "/ro", 0);
}

static void test_protected_object(void **state)
{
    static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    static const char *const names[] = {"/dir/sub/loader", "/ro/dir/sub/loader", "/sticky/second"};
    struct fixture *f = *state;
    struct stat before, after;
    struct vfs_place *place;
    char path[64], second[64];

    protect_loader(f);
    snprintf(path, sizeof(path), "%s/dir/sub/loader", f->root);
    snprintf(second, sizeof(second), "%s/sticky/second", f->root);
    assert_int_equal(link(path, second), 0); /* another name, made by the user before */
    assert_int_equal(stat(path, &before), 0);
    for (size_t i = 0; i < array_length(names); i++) {
        expect_open(f, names[i], O_RDONLY, 0);
        expect_open(f, names[i], O_PATH, 0);
        expect_open(f, names[i], O_RDWR, -EPERM);
        expect_open(f, names[i], O_WRONLY | O_APPEND, -EPERM);
        expect_open(f, names[i], O_WRONLY | O_TRUNC, -EPERM);
        expect_open(f, names[i], O_RDONLY | O_TRUNC, -EPERM);
        expect_open(f, names[i], O_WRONLY | O_CREAT | O_TRUNC, -EPERM);
        place = place_at(f, names[i]);
        assert_int_equal(vfs_chmod(place, 0777, &f->actor), -EPERM);
        assert_int_equal(vfs_chown(place, 1, 1, &f->actor), -EPERM);
        assert_int_equal(vfs_utimens(place, times, &f->actor, true), -EPERM);
        assert_int_equal(vfs_truncate(place, 0, &f->actor), -EPERM);
        assert_int_equal(vfs_setxattr(place, "user.x", "y", 1, 0, &f->actor), -EPERM);
        assert_int_equal(vfs_removexattr(place, "user.x", &f->actor), -EPERM);
        vfs_place_unref(place);
    }
    place = place_at(f, "/dir/sub/loader");
    assert_int_equal(vfs_link(place, f->top, "third", &f->actor), -EPERM);
    vfs_place_unref(place);
    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
    assert_int_equal(after.st_size, 7);
}

static void test_protected_names(void **state)
{
    struct fixture *f = *state;
    struct vfs_place *sub, *dir, *again, *file;
    char path[64];

    protect_loader(f);
    make_file(f, "dir/sub/other", "free");
    sub = place_at(f, "/dir/sub");
    dir = place_at(f, "/dir");
    again = place_at(f, "/ro/dir");
    file = place_at(f, "/dir/sub/other");
    assert_int_equal(vfs_unlink(sub, "loader", false, &f->actor), -EBUSY);
    assert_int_equal(vfs_unlink(dir, "sub", true, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(sub, "loader", sub, "moved", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(sub, "other", sub, "loader", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(sub, "other", sub, "loader", RENAME_EXCHANGE, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(dir, "sub", dir, "bus", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(f->top, "sticky", f->top, "dir", RENAME_EXCHANGE, &f->actor),
                     -EBUSY);
    assert_int_equal(vfs_rename(again, "sub", again, "bus", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_mkdir(dir, "sub", 0755, &f->actor), -EEXIST);
    assert_int_equal(vfs_link(file, sub, "loader", &f->actor), -EEXIST);
    assert_int_equal(vfs_chmod(sub, 0600, &f->actor), -EPERM);
    assert_int_equal(vfs_chmod(sub, 0700, &f->actor), 0);
    /* Gone for a moment, because the user builds anew: the name is not for guests even then. */
    snprintf(path, sizeof(path), "%s/dir/sub/loader", f->root);
    assert_int_equal(unlink(path), 0);
    expect_open(f, "/dir/sub/loader", O_WRONLY | O_CREAT, -EBUSY);
    assert_int_equal(vfs_symlink(sub, "loader", "other", &f->actor), -EBUSY);
    assert_int_equal(vfs_link(file, sub, "loader", &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(sub, "other", sub, "loader", 0, &f->actor), -EBUSY);
    /* Everything else there is the guest's. */
    assert_int_equal(vfs_rename(sub, "other", sub, "loader2", 0, &f->actor), 0);
    assert_int_equal(vfs_unlink(sub, "loader2", false, &f->actor), 0);
    vfs_place_unref(sub);
    vfs_place_unref(dir);
    vfs_place_unref(again);
    vfs_place_unref(file);
}

/* As the upper of an overlay the directory is writable too. */
static void test_protected_upper(void **state)
{
    struct fixture *f = *state;
    struct vfs_fs *lower, *upper, *overlay;
    struct vfs_place *top, *sub;
    char path[64];

    protect_loader(f);
    snprintf(path, sizeof(path), "%s/dir", f->root);
    assert_int_equal(vfs_host_new(f->vfs, path, &upper), 0);
    snprintf(path, sizeof(path), "%s/sticky", f->root);
    assert_int_equal(vfs_host_new(f->vfs, path, &lower), 0);
    assert_int_equal(vfs_overlay_new(f->vfs, lower, upper, &overlay), 0);
    assert_int_equal(vfs_mount(f->vfs, "/mem", overlay, 0, "overlay", "overlay"), 0);
    top = place_at(f, "/mem");
    sub = place_at(f, "/mem/sub");
    expect_open(f, "/mem/sub/loader", O_RDONLY, 0);
    expect_open(f, "/mem/sub/loader", O_RDWR, -EPERM);
    assert_int_equal(vfs_unlink(sub, "loader", false, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(sub, "loader", top, "moved", 0, &f->actor), -EBUSY);
    assert_int_equal(vfs_rename(top, "sub", top, "bus", 0, &f->actor), -EBUSY);
    vfs_place_unref(top);
    vfs_place_unref(sub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open_like_the_kernel),
        TEST(test_umask_applies),
        TEST(test_read_only_mount),
        TEST(test_fifo),
        TEST(test_devices_of_the_host),
        TEST(test_nested_mounts_of_the_host),
        TEST(test_names),
        TEST(test_attributes),
        cmocka_unit_test_setup_teardown(test_virtual_owner, setup_as_user, teardown_as_user),
        TEST(test_sockets),
        TEST(test_inotify),
        TEST(test_places_outlive_the_vfs),
        TEST(test_act_as_task),
        TEST(test_learned_links_are_read_anew),
        TEST(test_protected_object),
        TEST(test_protected_names),
        TEST(test_protected_upper),
    };

    umask(0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * A VFS over a small directory of the host, for the tests of the VFS core. The tree: file, link ->
 * file, dangling -> dir/made, fifo, dir/other, dir/sub, and the empty ro, mem and sticky.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above, as cmocka wants it. */
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/kernel.h"
#include "core/request.h"
#include "vfs/vfs-internal.h"

struct fixture {
    char root[32];
    struct pk_kernel kernel;
    struct pk_identity identity;
    struct vfs_actor actor;
    struct vfs *vfs;
    struct vfs_place *top;
};

static inline void read_identity(struct pk_identity *identity)
{
    *identity = (struct pk_identity){.uid = getuid(),
                                     .euid = geteuid(),
                                     .fsuid = geteuid(),
                                     .gid = getgid(),
                                     .fsgid = getegid()};
    if (geteuid() == 0)
        identity->effective = identity->permitted = ~0ULL;
}

static inline void make_file(const struct fixture *f, const char *path, const char *text)
{
    char whole[256];
    int fd;

    snprintf(whole, sizeof(whole), "%s/%s", f->root, path);
    fd = open(whole, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
    close(fd);
}

static inline void mount_host(struct fixture *f, const char *host_path, const char *at,
                              unsigned flags)
{
    struct vfs_fs *fs;

    assert_int_equal(vfs_host_new(f->vfs, host_path, &fs), 0);
    assert_int_equal(vfs_mount(f->vfs, at, fs, flags, host_path, "host"), 0);
}

static inline int setup(void **state)
{
    static const char *const directories[] = {"dir", "dir/sub", "ro", "mem", "sticky"};
    struct fixture *f = calloc(1, sizeof(*f));
    char path[128];

    snprintf(f->root, sizeof(f->root), "/tmp/host-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(chmod(f->root, 0755), 0); /* other ids than ours shall get past it */
    for (size_t i = 0; i < array_length(directories); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->root, directories[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    make_file(f, "file", "hello");
    make_file(f, "dir/other", "other");
    snprintf(path, sizeof(path), "%s/link", f->root);
    assert_int_equal(symlink("file", path), 0);
    snprintf(path, sizeof(path), "%s/dangling", f->root);
    assert_int_equal(symlink("dir/made", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", f->root);
    assert_int_equal(mkfifo(path, 0666), 0);
    read_identity(&f->identity);
    f->actor.identity = &f->identity;
    f->kernel.host_identity = f->kernel.config.identity = f->identity;
    assert_int_equal(vfs_new(&f->kernel, &f->vfs), 0);
    mount_host(f, f->root, "/", 0);
    f->top = vfs_root(f->vfs);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    pid_t pid;

    vfs_place_unref(f->top);
    vfs_free(f->vfs);
    pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", f->root, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    free(f);
    return 0;
}

static inline struct vfs_walk walk_of(struct fixture *f, const char *path, unsigned flags)
{
    return (struct vfs_walk){
        .actor = &f->actor, .root = f->top, .base = f->top, .path = path, .flags = flags};
}

static inline struct vfs_place *place_at(struct fixture *f, const char *path)
{
    struct vfs_walk walk = walk_of(f, path, VFS_NOFOLLOW);
    struct vfs_place *place = NULL;

    assert_int_equal(vfs_resolve(f->vfs, &walk, &place), 0);
    return place;
}

/* Opens; the descriptor, or the negative errno. */
static inline int open_at(struct fixture *f, const char *path, int flags,
                          struct vfs_opened *ret_opened)
{
    struct vfs_walk walk = walk_of(f, path, 0);
    struct vfs_opened opened = {.fd = -1};
    int r = vfs_open(f->vfs, &walk, flags, 0666, &opened);

    if (r < 0)
        return r;
    assert_true(opened.fd >= 0);
    if (ret_opened)
        *ret_opened = opened;
    return opened.fd;
}

static inline void expect_open(struct fixture *f, const char *path, int flags, int error)
{
    int fd = open_at(f, path, flags, NULL);

    if (fd >= 0)
        close(fd);
    if ((fd < 0 ? fd : 0) != error)
        print_error("open %s %#x: %d, expected %d\n", path, (unsigned)flags, fd, error);
    assert_int_equal(fd < 0 ? fd : 0, error);
}

static inline int mount_memory(struct fixture *f)
{
    struct vfs_fs *fs;

    assert_int_equal(vfs_memory_new(f->vfs, 0, 0, 0755, &fs), 0);
    return vfs_mount(f->vfs, "/mem", fs, 0, "none", "tmpfs");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/*
 * For tests of the file systems that the process kernel makes up: a process kernel with one guest
 * (a forked child that sleeps), and requests whose "guest memory" is the test's own.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/kernel.h"
#include "core/program.h"
#include "core/request.h"
#include "vfs/fs.h"
#include "vfs/vfs.h"

struct guest {
    struct pk_kernel *kernel;
    struct vfs *vfs;
    struct vfs_place *root;
    pid_t pid;
    const struct pk_identity *identity;
    struct pk_identity other; /* of somebody else */
    struct vfs_actor actor;
    struct pk_task *task;
    struct pk_request request;
};

/* Addresses of the guest are addresses of the test. */
static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    (void)request;
    memcpy(bytes, (const void *)(uintptr_t)address, length);
    return (ssize_t)length;
}

static ssize_t port_write(struct pk_request *request, uint64_t address, const void *bytes,
                          size_t length)
{
    (void)request;
    memcpy((void *)(uintptr_t)address, bytes, length);
    return (ssize_t)length;
}

static int port_get_fd(struct pk_request *request, int number)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 0);

    (void)request;
    return fd < 0 ? -errno : fd;
}

static int port_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags)
{
    (void)number;
    (void)fd_flags;
    return port_get_fd(request, fd);
}

static int port_inject(struct pk_request *request, const struct pk_injected_call *calls,
                       size_t count, int64_t *ret_values)
{
    (void)request;
    for (size_t i = 0; i < count; i++) {
        const uint64_t *a = calls[i].args;
        long value = syscall(calls[i].nr, a[0], a[1], a[2], a[3], a[4], a[5]);

        ret_values[i] = value < 0 ? -errno : value;
    }
    return 0;
}

static bool port_is_waiting(struct pk_request *request)
{
    (void)request;
    return true;
}

static const struct pk_port_ops guest_port = {.read = port_read,
                                              .write = port_write,
                                              .get_fd = port_get_fd,
                                              .add_fd = port_add_fd,
                                              .inject = port_inject,
                                              .is_waiting = port_is_waiting};

/* Until it sleeps in pause(): tests compare what two looks at /proc say of it. */
static void guest_wait_asleep(pid_t pid)
{
    char path[64];
    char text[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (;;) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = read(fd, text, sizeof(text) - 1);

        close(fd);
        assert_true(got > 0);
        text[got] = '\0';
        if (strncmp(strrchr(text, ')'), ") S", 3) == 0)
            return;
        usleep(1000);
    }
}

static pid_t guest_fork(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "guest (1) x"); /* hard to parse on purpose */
        close(ready[0]);
        close(ready[1]);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    guest_wait_asleep(pid);
    return pid;
}

static void guest_mount(struct guest *guest, const char *path, struct vfs_fs *fs, const char *type)
{
    assert_int_equal(vfs_mount(guest->vfs, path, fs, 0, type, type), 0);
}

static void guest_make_tree(struct guest *guest)
{
    static const char *const names[] = {"proc", "sys", "dev", "usr"};
    struct vfs_actor kernel = {.identity = guest->identity};
    struct vfs_place *root;
    struct vfs_fs *fs;

    assert_int_equal(vfs_memory_new(guest->vfs, 0, 0, 0755, &fs), 0);
    guest_mount(guest, "/", fs, "tmpfs");
    root = vfs_root(guest->vfs);
    for (size_t i = 0; i < array_length(names); i++)
        assert_int_equal(vfs_mkdir(root, names[i], 0755, &kernel), 0);
    vfs_place_unref(root);
    assert_int_equal(vfs_proc_new(guest->vfs, &fs), 0);
    guest_mount(guest, "/proc", fs, "proc");
    assert_int_equal(vfs_sys_new(guest->vfs, &fs), 0);
    guest_mount(guest, "/sys", fs, "sysfs");
    assert_int_equal(vfs_dev_new(guest->vfs, &fs), 0);
    guest_mount(guest, "/dev", fs, "devtmpfs");
    assert_int_equal(vfs_host_new(guest->vfs, "/usr", &fs), 0);
    guest_mount(guest, "/usr", fs, "ext4");
    guest->root = vfs_root(guest->vfs);
}

static void guest_set_program(struct guest *guest, struct pk_context *context, const char *path)
{
    struct vfs_actor kernel = {.identity = &guest->kernel->config.identity};
    struct vfs_walk walk = {
        .actor = &kernel, .root = guest->root, .base = guest->root, .path = path};
    struct stat stat = {0};
    struct pk_program *program;
    struct vfs_place *place;

    assert_int_equal(vfs_resolve(guest->vfs, &walk, &place), 0);
    program = pk_program_new(guest->kernel, place, &stat, NULL, 0);
    assert_non_null(program);
    pk_context_set_program(context, program);
    pk_program_unref(program);
    vfs_place_unref(place);
}

/* The guest believes to be user 1000 in groups 1000 and 27. */
static void guest_make_context(struct guest *guest)
{
    struct pk_context base = {.mask = 027,
                              .nofile_soft = 77,
                              .nofile_hard = UINT64_MAX,
                              .locks_soft = 5,
                              .locks_hard = UINT64_MAX};
    struct pk_context *context;

    base.identity = guest->kernel->config.identity;
    context = pk_context_copy(guest->kernel, &base);
    assert_non_null(context);
    pk_context_set_cwd(guest->kernel, context, guest->root);
    pk_context_set_root(guest->kernel, context, guest->root);
    guest_set_program(guest, context, "/usr/bin/env");
    assert_int_equal(pk_context_register(guest->kernel, context), 0);
    assert_int_equal(pk_context_tag(guest->pid, context->id), 0);
    guest->request.context = context;
    guest->identity = &context->identity;
}

static void guest_start(struct guest *guest, struct pk_config *config)
{
    struct pk_sink sink = {0};
    struct pk_identity *id = &config->identity;

    memset(guest, 0, sizeof(*guest));
    id->uid = id->euid = id->suid = id->fsuid = 1000;
    id->gid = id->egid = id->sgid = id->fsgid = 1000;
    id->group_count = 2;
    id->groups[0] = 1000;
    id->groups[1] = 27;
    id->dumpable = true;
    config->virtual_identity = true;
    guest->pid = guest_fork();
    assert_int_equal(pk_kernel_new(config, &sink, &guest->kernel, NULL), 0);
    guest->kernel->root_pid = guest->pid;
    guest->kernel->window_base = 900;
    guest->identity = &guest->kernel->config.identity;
    assert_int_equal(vfs_new(guest->kernel, &guest->vfs), 0);
    guest_make_tree(guest);
    guest_make_context(guest);
    guest->task = pk_task_find(guest->kernel, guest->pid);
    assert_non_null(guest->task);
    guest->request.kernel = guest->kernel;
    guest->request.task = guest->task;
    guest->request.port = &guest_port;
    guest->actor = (struct vfs_actor){.pid = guest->pid,
                                      .tid = guest->pid,
                                      .identity = guest->identity,
                                      .request = &guest->request};
    guest->other = *guest->identity;
    guest->other.uid = guest->other.euid = guest->other.suid = guest->other.fsuid = 2000;
}

static void guest_kill(struct guest *guest)
{
    if (guest->pid > 0) {
        kill(guest->pid, SIGKILL);
        waitpid(guest->pid, NULL, 0);
    }
    guest->pid = 0;
}

static void guest_stop(struct guest *guest)
{
    guest_kill(guest);
    vfs_place_unref(guest->root);
    vfs_free(guest->vfs);
    pk_kernel_free(guest->kernel);
}

static struct vfs_walk guest_walk(struct guest *guest, const char *path)
{
    return (struct vfs_walk){
        .actor = &guest->actor, .root = guest->root, .base = guest->root, .path = path};
}

/* Opens as the guest does; returns our descriptor or a negative errno. */
static int guest_open(struct guest *guest, const char *path, int flags)
{
    struct vfs_walk walk = guest_walk(guest, path);
    struct vfs_opened opened = {.fd = -1};
    int r = vfs_open(guest->vfs, &walk, flags, 0, &opened);

    return r < 0 ? r : opened.fd;
}

/* Reads a whole file; fails the test when that does not work. */
static void __attribute__((unused))
guest_text(struct guest *guest, const char *path, struct strbuf *ret_text)
{
    cleanup_close int fd = guest_open(guest, path, O_RDONLY);
    char chunk[4096];
    ssize_t n;

    if (fd < 0)
        fail_msg("open %s: %s", path, strerror(-fd));
    while ((n = pread(fd, chunk, sizeof(chunk), (off_t)ret_text->length)) > 0)
        strbuf_add(ret_text, chunk, (size_t)n);
    assert_int_equal(n, 0);
}

/* readlink(2) of the guest, terminated. */
static ssize_t __attribute__((unused))
guest_readlink(struct guest *guest, const char *path, char *text, size_t size)
{
    struct vfs_walk walk = guest_walk(guest, path);
    cleanup_place struct vfs_place *place = NULL;
    ssize_t n;
    int r;

    walk.flags = VFS_NOFOLLOW;
    r = vfs_resolve(guest->vfs, &walk, &place);
    if (r < 0)
        return r;
    n = vfs_readlink(place, text, size - 1, &guest->actor);
    if (n >= 0)
        text[n] = '\0';
    return n;
}

static int __attribute__((unused))
guest_stat(struct guest *guest, const char *path, struct statx *ret_stat)
{
    struct vfs_walk walk = guest_walk(guest, path);
    cleanup_place struct vfs_place *place = NULL;
    int r;

    walk.flags = VFS_NOFOLLOW;
    r = vfs_resolve(guest->vfs, &walk, &place);
    return r < 0 ? r : vfs_stat(place, ret_stat);
}

/* A call of the guest on a descriptor that the kernel serves. */
static struct pk_answer __attribute__((unused))
guest_call(struct guest *guest, int fd, int nr, uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct vfs_handle *handle = vfs_handle_of_fd(guest->vfs, fd);

    assert_non_null(handle);
    guest->request.nr = nr;
    memset(guest->request.args, 0, sizeof(guest->request.args));
    guest->request.args[0] = (uint64_t)fd;
    guest->request.args[1] = a1;
    guest->request.args[2] = a2;
    guest->request.args[3] = a3;
    return vfs_handle_call(handle, &guest->request, fd);
}

static int64_t __attribute__((unused))
guest_value(struct guest *guest, int fd, int nr, uint64_t a1, uint64_t a2, uint64_t a3)
{
    struct pk_answer answer = guest_call(guest, fd, nr, a1, a2, a3);

    assert_int_equal(answer.kind, PK_ANSWER_VALUE);
    return answer.value;
}

/* ---- every entry of a directory is there, with the number and type that the listing said ---- */

struct guest_listing {
    struct guest *guest;
    const char *path;
    unsigned *count;
    int depth;
};

static void guest_check_tree(struct guest *guest, const char *path, int depth, unsigned *count);

static bool guest_check_entry(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct guest_listing *listing = user;
    struct statx stat;
    char path[512];
    int r;

    snprintf(path, sizeof(path), "%s/%s", listing->path, name);
    r = guest_stat(listing->guest, path, &stat);
    if (r < 0)
        fail_msg("%s is listed, but: %s", path, strerror(-r));
    if (stat.stx_ino != inode || (stat.stx_mode & S_IFMT) != type)
        fail_msg("%s: inode %llx type %o, listed as %llx %o", path,
                 (unsigned long long)stat.stx_ino, stat.stx_mode & S_IFMT,
                 (unsigned long long)inode, type);
    ++*listing->count;
    /* What is closed to others is for root only (sys/kernel/debug). */
    if (S_ISDIR(type) && listing->depth > 0 && stat.stx_mode & 0005)
        guest_check_tree(listing->guest, path, listing->depth - 1, listing->count);
    return true;
}

static void __attribute__((unused))
guest_check_tree(struct guest *guest, const char *path, int depth, unsigned *count)
{
    struct guest_listing listing = {.guest = guest, .path = path, .count = count, .depth = depth};
    cleanup_close int fd = guest_open(guest, path, O_RDONLY | O_DIRECTORY);
    struct vfs_handle *handle;

    if (fd == -EACCES && strncmp(path, "/proc/1/", 8) == 0)
        return; /* nobody looks there */
    if (fd < 0)
        fail_msg("open %s: %s", path, strerror(-fd));
    handle = vfs_handle_of_fd(guest->vfs, fd);
    if (handle == NULL)
        return; /* another file system is mounted there */
    assert_int_equal(
        handle->node->fs->ops->readdir(handle->node, 0, &guest->actor, guest_check_entry, &listing),
        0);
}

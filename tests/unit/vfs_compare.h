/*
 * Random operations on names, carried out on a file system of the VFS (through its operations, as
 * the core calls them) and on a plain host directory; then both are compared. Shared by the tests
 * of the memory and the overlay file systems.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After the four above, as cmocka wants it. */
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/fs.h"

enum op_kind {
    OP_CREATE,
    OP_WRITE,
    OP_APPEND,
    OP_MKDIR,
    OP_UNLINK,
    OP_RMDIR,
    OP_RENAME,
    OP_LINK,
    OP_SYMLINK,
    OP_CHMOD,
    OP_TRUNCATE,
    OP_LIST,
    OP_STAT,
    OP_FIFO,
    OP_UTIMENS,
    OP_XATTR,
    OP_KINDS
};

struct op {
    enum op_kind kind;
    char path[2][32];
    unsigned flags;
    mode_t mode;
    unsigned offset, length;
};

/* xorshift: the same sequence everywhere, so that a failure can be repeated by its seed. */
static inline unsigned next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (unsigned)(*state >> 20);
}

static inline void random_path(uint64_t *state, char path[32])
{
    unsigned depth = 1 + next_random(state) % 3;

    path[0] = '\0';
    for (unsigned i = 0; i < depth; i++) {
        size_t length = strlen(path);

        snprintf(path + length, 32 - length, "%s%c", i ? "/" : "",
                 'a' + (int)(next_random(state) % 6));
    }
}

static inline struct op random_op(uint64_t *state)
{
    static const unsigned rename_flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    static const mode_t modes[] = {0644, 0755, 0600, 0444, 0777, 0700, 0555, 04755};
    struct op op = {.kind = next_random(state) % OP_KINDS};

    random_path(state, op.path[0]);
    random_path(state, op.path[1]);
    op.flags = rename_flags[next_random(state) % 4];
    op.mode = modes[next_random(state) % 8];
    op.offset = next_random(state) % 9000;
    op.length = 1 + next_random(state) % 300;
    return op;
}

static inline struct pk_identity own_identity(void)
{
    struct pk_identity identity = {.uid = getuid(),
                                   .euid = geteuid(),
                                   .suid = geteuid(),
                                   .fsuid = geteuid(),
                                   .gid = getgid(),
                                   .egid = getegid(),
                                   .sgid = getegid(),
                                   .fsgid = getegid()};
    gid_t groups[PK_GROUPS_MAX];
    int count = getgroups(PK_GROUPS_MAX, groups);

    for (int i = 0; i < count; i++)
        identity.groups[i] = groups[i];
    identity.group_count = count > 0 ? (unsigned)count : 0;
    if (geteuid() == 0)
        identity.effective = identity.permitted = ~0ULL;
    return identity;
}

/* ---- the side of the VFS ---- */

struct subject {
    struct vfs_fs *fs;
    const struct vfs_actor *actor;
};

static inline int subject_find(const struct subject *s, const char *path, bool follow,
                               struct vfs_node **ret_node)
{
    struct vfs_lookup lookup = {
        .actor = s->actor, .follow_last = follow, .open_flags = -1, .opened_fd = -1};
    int r;

    if (!*path) {
        *ret_node = vfs_node_ref(s->fs->root);
        return 0;
    }
    r = s->fs->ops->lookup(s->fs->root, path, &lookup);
    if (r == VFS_LOOKUP_LINK) {
        assert_true(lookup.consumed > 0 && lookup.consumed <= strlen(path));
        free(lookup.target);
        return -ELOOP;
    }
    if (r < 0)
        return r;
    *ret_node = lookup.node;
    return 0;
}

static inline int subject_parent(const struct subject *s, const char *path,
                                 struct vfs_node **ret_parent, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    char parent[64] = "";
    int r;

    if (slash)
        memcpy(parent, path, (size_t)(slash - path));
    *ret_name = slash ? slash + 1 : path;
    r = subject_find(s, parent, true, ret_parent);
    if (r == 0 && (*ret_parent)->type != S_IFDIR) {
        vfs_node_unref(*ret_parent);
        return -ENOTDIR;
    }
    return r;
}

static inline void fill(char *bytes, const struct op *op)
{
    for (unsigned i = 0; i < op->length; i++)
        bytes[i] = (char)('A' + (op->offset + i) % 50);
}

static inline void write_there(int fd, const struct op *op)
{
    char bytes[512];

    fill(bytes, op);
    if (op->kind == OP_APPEND)
        assert_int_equal(write(fd, bytes, op->length), op->length);
    else
        assert_int_equal(pwrite(fd, bytes, op->length, op->offset), op->length);
    close(fd);
}

/* As vfs_open() with O_CREAT does. */
static inline int subject_write(const struct subject *s, const struct op *op)
{
    struct vfs_open_request request = {
        .actor = s->actor, .flags = O_WRONLY | O_NONBLOCK, .mode = op->mode};
    struct vfs_opened opened = {.fd = -1};
    struct vfs_node *node = NULL, *parent;
    const char *name;
    int r;

    if (op->kind == OP_APPEND)
        request.flags |= O_APPEND;
    if (op->kind != OP_CREATE) {
        r = subject_find(s, op->path[0], true, &node);
        if (r == 0 && node->type == S_IFDIR)
            r = -EISDIR;
        else if (r == 0)
            r = s->fs->ops->open(node, &request, &opened);
    } else {
        r = subject_parent(s, op->path[0], &parent, &name);
        if (r == 0) {
            r = s->fs->ops->create(parent, name, &request, &node, &opened);
            vfs_node_unref(parent);
        }
    }
    if (r == 0)
        write_there(opened.fd, op);
    if (node)
        vfs_node_unref(node);
    return r;
}

static inline int subject_name(const struct subject *s, const struct op *op)
{
    const struct vfs_fs_ops *ops = s->fs->ops;
    struct vfs_node *parent;
    const char *name;
    int r = subject_parent(s, op->path[0], &parent, &name);

    if (r < 0)
        return r;
    if (op->kind == OP_MKDIR)
        r = ops->mkdir(parent, name, op->mode, s->actor);
    else if (op->kind == OP_SYMLINK)
        r = ops->symlink(parent, name, op->path[1], s->actor);
    else if (op->kind == OP_FIFO)
        r = ops->mknod(parent, name, S_IFIFO | op->mode, 0, s->actor);
    else
        r = ops->unlink(parent, name, op->kind == OP_RMDIR, s->actor);
    vfs_node_unref(parent);
    return r;
}

static inline int subject_pair(const struct subject *s, const struct op *op)
{
    struct vfs_node *first, *parent;
    const char *old_name, *name;
    int r = op->kind == OP_LINK ? subject_find(s, op->path[0], false, &first)
                                : subject_parent(s, op->path[0], &first, &old_name);

    if (r < 0)
        return r;
    r = subject_parent(s, op->path[1], &parent, &name);
    if (r == 0) {
        if (op->kind == OP_LINK)
            r = s->fs->ops->link(first, parent, name, s->actor);
        else
            r = s->fs->ops->rename(first, old_name, parent, name, op->flags, s->actor);
        vfs_node_unref(parent);
    }
    vfs_node_unref(first);
    return r;
}

static inline void op_times(const struct op *op, struct timespec times[2])
{
    times[0] = (struct timespec){.tv_sec = 1000000 + op->offset, .tv_nsec = 5};
    times[1] = (struct timespec){.tv_sec = 2000000 + op->length, .tv_nsec = 7};
}

static inline int subject_attr(const struct subject *s, const struct op *op)
{
    struct vfs_open_request request = {.actor = s->actor, .flags = O_WRONLY | O_NONBLOCK};
    const struct vfs_fs_ops *ops = s->fs->ops;
    struct timespec times[2];
    struct vfs_opened opened;
    struct statx stat;
    struct vfs_node *node;
    int r = subject_find(s, op->path[0], true, &node);

    if (r < 0)
        return r;
    op_times(op, times);
    if (op->kind == OP_CHMOD)
        r = ops->chmod(node, op->mode, s->actor);
    else if (op->kind == OP_TRUNCATE)
        r = node->type == S_IFIFO ? ops->open(node, &request, &opened)
                                  : ops->truncate(node, op->offset, s->actor);
    else if (op->kind == OP_UTIMENS)
        r = ops->utimens(node, times, s->actor);
    else if (op->kind == OP_XATTR)
        r = ops->setxattr(node, "user.t", op->path[1], strlen(op->path[1]), 0, s->actor);
    else
        r = ops->stat(node, &stat);
    vfs_node_unref(node);
    return r;
}

static inline int subject_apply(const struct subject *s, const struct op *op)
{
    switch (op->kind) {
    case OP_CREATE:
    case OP_WRITE:
    case OP_APPEND:
        return subject_write(s, op);
    case OP_MKDIR:
    case OP_UNLINK:
    case OP_RMDIR:
    case OP_SYMLINK:
    case OP_FIFO:
        return subject_name(s, op);
    case OP_RENAME:
    case OP_LINK:
        return subject_pair(s, op);
    default:
        return subject_attr(s, op);
    }
}

/* ---- the side of the host ---- */

static inline int host_find(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

static inline int host_parent(int root, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    char parent[64] = "";

    if (slash)
        memcpy(parent, path, (size_t)(slash - path));
    *ret_name = slash ? slash + 1 : path;
    return host_find(root, parent, O_PATH | O_DIRECTORY);
}

static inline int host_write(int root, const struct op *op)
{
    int append = op->kind == OP_APPEND ? O_APPEND : 0;
    const char *name;
    int fd;

    if (op->kind == OP_CREATE) {
        cleanup_close int parent = host_parent(root, op->path[0], &name);

        if (parent < 0)
            return parent;
        fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY, op->mode);
        if (fd < 0)
            return -errno;
    } else {
        fd = host_find(root, op->path[0], O_WRONLY | O_NONBLOCK | append);
        if (fd < 0)
            return fd;
    }
    write_there(fd, op);
    return 0;
}

static inline int host_name(int root, const struct op *op)
{
    const char *name;
    cleanup_close int parent = host_parent(root, op->path[0], &name);
    int r;

    if (parent < 0)
        return parent;
    if (op->kind == OP_MKDIR)
        r = mkdirat(parent, name, op->mode);
    else if (op->kind == OP_SYMLINK)
        r = symlinkat(op->path[1], parent, name);
    else if (op->kind == OP_FIFO)
        r = mknodat(parent, name, S_IFIFO | op->mode, 0);
    else
        r = unlinkat(parent, name, op->kind == OP_RMDIR ? AT_REMOVEDIR : 0);
    return r < 0 ? -errno : 0;
}

static inline int host_pair(int root, const struct op *op)
{
    const char *old_name, *name;
    cleanup_close int old = host_parent(root, op->path[0], &old_name);
    cleanup_close int parent = -1;

    if (old < 0)
        return old;
    if (op->kind == OP_LINK && faccessat(old, old_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    parent = host_parent(root, op->path[1], &name);
    if (parent < 0)
        return parent;
    if (op->kind == OP_LINK)
        return linkat(old, old_name, parent, name, 0) < 0 ? -errno : 0;
    return renameat2(old, old_name, parent, name, op->flags) < 0 ? -errno : 0;
}

static inline int host_attr(int root, const struct op *op)
{
    cleanup_close int fd = -1;
    char path[IO_FD_PATH_SIZE];
    struct timespec times[2];
    int r = 0;

    fd = host_find(root, op->path[0], op->kind == OP_TRUNCATE ? O_WRONLY | O_NONBLOCK : O_PATH);
    if (fd < 0)
        return fd;
    op_times(op, times);
    if (op->kind == OP_CHMOD)
        r = chmod(io_fd_path(fd, path), op->mode);
    else if (op->kind == OP_TRUNCATE)
        r = ftruncate(fd, op->offset);
    else if (op->kind == OP_UTIMENS)
        r = utimensat(AT_FDCWD, io_fd_path(fd, path), times, 0);
    else if (op->kind == OP_XATTR)
        r = (int)syscall(SYS_setxattr, io_fd_path(fd, path), "user.t", op->path[1],
                         strlen(op->path[1]), 0);
    return r < 0 ? -errno : 0;
}

static inline int host_apply(int root, const struct op *op)
{
    switch (op->kind) {
    case OP_CREATE:
    case OP_WRITE:
    case OP_APPEND:
        return host_write(root, op);
    case OP_MKDIR:
    case OP_UNLINK:
    case OP_RMDIR:
    case OP_SYMLINK:
    case OP_FIFO:
        return host_name(root, op);
    case OP_RENAME:
    case OP_LINK:
        return host_pair(root, op);
    default:
        return host_attr(root, op);
    }
}

/* ---- comparing ---- */

#define NAMES_MAX 1024

struct names {
    unsigned count, holes;
    char *name[NAMES_MAX];
    uint64_t inode[NAMES_MAX];
    mode_t type[NAMES_MAX];
};

static inline bool names_collect(void *user, const char *name, uint64_t inode, mode_t type)
{
    struct names *names = user;

    if (!name) {
        names->holes++;
        return true;
    }
    for (unsigned i = 0; i < names->count; i++)
        assert_string_not_equal(names->name[i], name);
    assert_in_range(names->count, 0, NAMES_MAX - 1);
    names->inode[names->count] = inode;
    names->type[names->count] = type;
    names->name[names->count++] = strdup(name);
    return true;
}

static inline void names_free(struct names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        free(names->name[i]);
}

static inline unsigned host_count(int directory)
{
    DIR *dir = fdopendir(dup(directory));
    unsigned count = 0;

    assert_non_null(dir);
    rewinddir(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static inline void compare_content(const struct subject *s, struct vfs_node *node, int fd)
{
    struct vfs_open_request request = {.actor = s->actor, .flags = O_RDONLY};
    struct vfs_opened opened;
    char ours[16384], theirs[16384];
    ssize_t length = read(fd, theirs, sizeof(theirs));

    assert_int_equal(s->fs->ops->open(node, &request, &opened), 0);
    assert_int_equal(read(opened.fd, ours, sizeof(ours)), length);
    assert_memory_equal(ours, theirs, (size_t)length);
    close(opened.fd);
}

static inline void compare_xattr(const struct subject *s, struct vfs_node *node, int fd)
{
    char path[IO_FD_PATH_SIZE], ours[64], theirs[64];
    ssize_t length = syscall(SYS_getxattr, io_fd_path(fd, path), "user.t", theirs, sizeof(theirs));
    ssize_t got = s->fs->ops->getxattr(node, "user.t", ours, sizeof(ours));

    if (length < 0) {
        assert_true(got < 0);
        return;
    }
    assert_int_equal(got, length);
    assert_memory_equal(ours, theirs, (size_t)length);
}

/* Link counts of directories and files may be left out: an overlay's differ. */
static inline void compare_stat(const struct statx *ours, const struct stat *theirs, bool links,
                                const char *path)
{
    if (ours->stx_mode != theirs->st_mode || ours->stx_uid != theirs->st_uid ||
        ours->stx_gid != theirs->st_gid)
        fail_msg("%s: %o %u:%u, should be %o %u:%u", path, ours->stx_mode, ours->stx_uid,
                 ours->stx_gid, theirs->st_mode, theirs->st_uid, theirs->st_gid);
    if (!S_ISDIR(theirs->st_mode) && ours->stx_size != (uint64_t)theirs->st_size)
        fail_msg("%s: size %llu, should be %lld", path, (unsigned long long)ours->stx_size,
                 (long long)theirs->st_size);
    if (links && ours->stx_nlink != theirs->st_nlink)
        fail_msg("%s: %u links, should be %lu", path, ours->stx_nlink,
                 (unsigned long)theirs->st_nlink);
    /* Times that were set, not those that the clock gave. */
    if (theirs->st_mtim.tv_nsec == 7 && S_ISREG(theirs->st_mode) &&
        ours->stx_mtime.tv_sec != theirs->st_mtim.tv_sec)
        fail_msg("%s: modified %lld, should be %lld", path, (long long)ours->stx_mtime.tv_sec,
                 (long long)theirs->st_mtim.tv_sec);
}

static inline void compare_tree(const struct subject *s, struct vfs_node *directory, int fd,
                                const char *path, bool links);

static inline void compare_object(const struct subject *s, struct vfs_node *node, int parent,
                                  const char *name, const char *path, bool links)
{
    struct stat theirs;
    struct statx ours;
    char a[64], b[64];

    if (fstatat(parent, name, &theirs, AT_SYMLINK_NOFOLLOW) < 0)
        fail_msg("%s exists, but should not", path);
    assert_int_equal(s->fs->ops->stat(node, &ours), 0);
    compare_stat(&ours, &theirs, links, path);
    if (S_ISLNK(theirs.st_mode)) {
        ssize_t length = readlinkat(parent, name, a, sizeof(a));

        assert_int_equal(s->fs->ops->readlink(node, b, sizeof(b), s->actor), length);
        assert_memory_equal(a, b, (size_t)length);
    } else if (S_ISREG(theirs.st_mode) || S_ISDIR(theirs.st_mode)) {
        cleanup_close int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW);

        if (fd < 0)
            return; /* mode 0200 and no root */
        if (S_ISREG(theirs.st_mode))
            compare_content(s, node, fd);
        else
            compare_tree(s, node, fd, path, links);
        compare_xattr(s, node, fd);
    }
}

static inline void compare_tree(const struct subject *s, struct vfs_node *directory, int fd,
                                const char *path, bool links)
{
    struct names *names = calloc(1, sizeof(*names));

    assert_int_equal(s->fs->ops->readdir(directory, 0, s->actor, names_collect, names), 0);
    if (names->count != host_count(fd))
        fail_msg("%s: %u entries, should be %u", path, names->count, host_count(fd));
    for (unsigned i = 0; i < names->count; i++) {
        struct vfs_lookup lookup = {.actor = s->actor, .open_flags = -1, .opened_fd = -1};
        struct statx stat;
        char below[256];

        snprintf(below, sizeof(below), "%s/%s", path, names->name[i]);
        if (s->fs->ops->lookup(directory, names->name[i], &lookup) < 0)
            continue; /* a directory that may be listed but not searched */
        assert_int_equal(s->fs->ops->stat(lookup.node, &stat), 0);
        assert_int_equal(names->type[i], lookup.node->type);
        if (stat.stx_ino != names->inode[i])
            fail_msg("%s: inode %llu, listed as %llu", below, (unsigned long long)stat.stx_ino,
                     (unsigned long long)names->inode[i]);
        compare_object(s, lookup.node, fd, names->name[i], below, links);
        vfs_node_unref(lookup.node);
    }
    names_free(names);
    free(names);
}

static inline void describe_op(const struct op *op, char text[128])
{
    static const char *const kinds[] = {"create", "write", "append",  "mkdir", "unlink",   "rmdir",
                                        "rename", "link",  "symlink", "chmod", "truncate", "list",
                                        "stat",   "fifo",  "utimens", "xattr"};

    snprintf(text, 128, "%s %s %s flags %u mode %o at %u", kinds[op->kind], op->path[0],
             op->path[1], op->flags, op->mode, op->offset);
}

#include "file_sides.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "linux/linux-internal.h"
#include "vfs/vfs.h"

char side_out_token[1];

struct side {
    enum side_kind kind;
    char directory[256]; /* where calls happen */
    char store[300];     /* host directories behind it */
    int cwd;             /* kernel side */
    mode_t mask;         /* kernel side */
    struct rlimit locks; /* as it was */
    struct pk_kernel *kernel;
    struct vfs *vfs;
    int fds[SIDE_FDS];
    unsigned fd_count;
    unsigned char *out;
};

/* ---- the port: the guest is this process ---- */

static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {bytes, length};
    struct iovec remote = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static ssize_t port_write(struct pk_request *request, uint64_t address, const void *bytes,
                          size_t length)
{
    struct iovec local = {(void *)(uintptr_t)bytes, length};
    struct iovec remote = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static int port_get_fd(struct pk_request *request, int number)
{
    int fd = fcntl(number, F_DUPFD_CLOEXEC, 0);

    (void)request;
    return fd < 0 ? -errno : fd;
}

static int port_add_fd(struct pk_request *request, int fd, int number, unsigned fd_flags)
{
    int r = number < 0 ? fcntl(fd, fd_flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0)
                       : dup3(fd, number, (int)fd_flags & O_CLOEXEC);

    (void)request;
    return r < 0 ? -errno : r;
}

static int port_inject(struct pk_request *request, const struct pk_injected_call *calls,
                       size_t count, int64_t *ret_values)
{
    (void)request, (void)calls, (void)count, (void)ret_values;
    return -ENOSYS;
}

static bool port_is_waiting(struct pk_request *request)
{
    (void)request;
    return true;
}

static const struct pk_port_ops port = {
    .read = port_read,
    .write = port_write,
    .get_fd = port_get_fd,
    .add_fd = port_add_fd,
    .inject = port_inject,
    .is_waiting = port_is_waiting,
};

/* ---- making the sides ---- */

static void make_directories(struct pk_kernel *kernel, const char *path,
                             const struct vfs_actor *actor)
{
    struct vfs_place *at = vfs_root(kernel->vfs);
    char name[256];

    while (*path == '/') {
        size_t length = strcspn(path + 1, "/");
        struct vfs_walk walk = {.actor = actor, .root = at, .base = at, .path = name};
        struct vfs_place *next;

        memcpy(name, path + 1, length);
        name[length] = '\0';
        path += 1 + length;
        assert(vfs_mkdir(at, name, 0777, actor) == 0);
        assert(vfs_resolve(kernel->vfs, &walk, &next) == 0);
        vfs_place_unref(at);
        at = next;
    }
    vfs_place_unref(at);
}

static struct vfs_fs *memory_fs(struct vfs *vfs, mode_t mode)
{
    struct vfs_fs *fs;
    int r = vfs_memory_new(vfs, 0, 0, mode, &fs);

    assert(r == 0);
    return fs;
}

static struct vfs_fs *host_fs(struct side *side, const char *name)
{
    char path[400];
    struct vfs_fs *fs;

    snprintf(path, sizeof(path), "%s/%s", side->store, name);
    assert(mkdir(path, 0755) == 0 || errno == EEXIST);
    assert(vfs_host_new(side->vfs, path, &fs) == 0);
    return fs;
}

static struct vfs_fs *tree_fs(struct side *side)
{
    struct vfs_fs *lower, *upper, *fs;

    if (side->kind == SIDE_HOST)
        return host_fs(side, "tree");
    if (side->kind == SIDE_MEMORY)
        return memory_fs(side->vfs, 0755);
    lower = host_fs(side, "lower");
    upper = side->kind == SIDE_UPPER ? host_fs(side, "upper") : memory_fs(side->vfs, 0755);
    assert(vfs_overlay_new(side->vfs, lower, upper, &fs) == 0);
    return fs;
}

static void read_capabilities(struct pk_identity *identity)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    syscall(SYS_capget, &header, data);
    identity->effective = data[0].effective | (uint64_t)data[1].effective << 32;
    identity->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void make_context(struct side *side)
{
    struct pk_identity identity = side->kernel->host_identity;
    struct pk_context *context = calloc(1, sizeof(*context));
    struct vfs_place *root = vfs_root(side->vfs);
    struct vfs_actor actor = {.identity = &identity};
    struct vfs_walk walk = {.actor = &actor, .root = root, .base = root, .path = side->directory};
    struct vfs_place *cwd;

    read_capabilities(&identity);
    assert(vfs_resolve(side->vfs, &walk, &cwd) == 0);
    context->id = side->kernel->next_context++;
    context->mask = 022;
    context->root = root;
    context->cwd = cwd;
    context->identity = identity;
    context->started = 1;
    assert(pk_context_register(side->kernel, context) == 0);
    getrlimit(RLIMIT_LOCKS, &side->locks);
    assert(pk_context_tag(getpid(), context->id) == 0);
}

/* The root of a memory file system belongs to root, the reference's to whoever runs the test. */
static void own_tree(struct side *side, const struct vfs_actor *actor)
{
    struct vfs_place *root = vfs_root(side->vfs);
    struct vfs_walk walk = {.actor = actor, .root = root, .base = root, .path = side->directory};
    struct vfs_place *tree;

    assert(vfs_resolve(side->vfs, &walk, &tree) == 0);
    if (side->kind == SIDE_MEMORY)
        assert(vfs_chown(tree, getuid(), getgid(), actor) == 0);
    vfs_place_unref(tree);
    vfs_place_unref(root);
}

static void make_guest(struct side *side)
{
    struct pk_config config = {.name = "test"};
    struct pk_sink sink = {0};
    struct base_error error = {0};
    const struct pk_identity powerful = {.effective = ~0ULL, .permitted = ~0ULL};
    const struct vfs_actor actor = {.identity = &powerful};

    assert(pk_kernel_new(&config, &sink, &side->kernel, &error) == 0);
    read_capabilities(&side->kernel->host_identity);
    side->kernel->window_base = SIDE_WINDOW;
    assert(vfs_new(side->kernel, &side->vfs) == 0);
    assert(vfs_mount(side->vfs, "/", memory_fs(side->vfs, 0755), 0, "root", "tmpfs") == 0);
    make_directories(side->kernel, side->directory, &actor);
    assert(vfs_mount(side->vfs, side->directory, tree_fs(side), 0, "tree", "test") == 0);
    own_tree(side, &actor);
    assert(linux_register_files(side->kernel) == 0);
    make_context(side);
}

struct side *side_new(enum side_kind kind, const char *directory)
{
    struct side *side = calloc(1, sizeof(*side));

    assert(side);
    side->kind = kind;
    side->mask = 022;
    side->out = calloc(1, SIDE_OUT);
    snprintf(side->directory, sizeof(side->directory), "%s", directory);
    if (kind == SIDE_KERNEL) {
        assert(mkdir(directory, 0755) == 0);
        side->cwd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(side->cwd >= 0);
        return side;
    }
    side->cwd = -1;
    snprintf(side->store, sizeof(side->store), "%s.store", directory);
    assert(mkdir(side->store, 0755) == 0);
    make_guest(side);
    return side;
}

static int make_accessible(const char *path, const struct stat *stat, int type, struct FTW *info)
{
    (void)stat, (void)info;
    if (type == FTW_D || type == FTW_DNR)
        chmod(path, 0700);
    return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *info)
{
    (void)stat, (void)info;
    /* What is below a closed directory goes in the next round. */
    if (type == FTW_DP || type == FTW_DNR)
        rmdir(path);
    else
        unlink(path);
    return 0;
}

static void remove_tree(const char *path)
{
    for (int round = 0; round < 16 && access(path, F_OK) == 0; round++) {
        nftw(path, make_accessible, 16, FTW_PHYS);
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

void side_free(struct side *side)
{
    for (unsigned i = 0; i < side->fd_count; i++)
        close(side->fds[i]);
    if (side->kind == SIDE_KERNEL) {
        close(side->cwd);
        assert(chdir("/") == 0);
        remove_tree(side->directory);
    } else {
        setrlimit(RLIMIT_LOCKS, &side->locks);
        pk_kernel_free(side->kernel);
        vfs_free(side->vfs);
        remove_tree(side->store);
    }
    free(side->out);
    free(side);
}

/* ---- calls ---- */

bool side_makes_descriptor(int nr)
{
    return nr == ABI_NR_open || nr == ABI_NR_openat || nr == ABI_NR_openat2 || nr == ABI_NR_creat ||
           nr == ABI_NR_dup;
}

static uint64_t translate(const struct side *side, uint64_t argument)
{
    if (argument == OUT)
        return (uintptr_t)side->out;
    if (argument >= FD(0) && argument < FD(SIDE_FDS)) {
        unsigned slot = (unsigned)(argument - FD(0));

        return slot < side->fd_count ? (uint64_t)side->fds[slot] : (uint64_t)-1;
    }
    return argument;
}

void side_give(struct side *side, int fd)
{
    assert(side->fd_count < SIDE_FDS);
    side->fds[side->fd_count++] = fd;
}

static int64_t native_call(int nr, const uint64_t args[6])
{
    long r = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);

    return r < 0 ? -errno : r;
}

static int64_t kernel_call(struct side *side, int nr, const uint64_t args[6])
{
    int64_t result;

    assert(fchdir(side->cwd) == 0);
    umask(side->mask);
    result = native_call(nr, args);
    side->mask = umask(0);
    if (result == 0 && (nr == ABI_NR_chdir || nr == ABI_NR_fchdir)) {
        close(side->cwd);
        side->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert(side->cwd >= 0);
    }
    return result;
}

static int64_t carry_out(struct pk_request *request, struct pk_answer *answer)
{
    int64_t result;

    if (answer->kind == PK_ANSWER_DEFERRED) {
        struct pk_job *job = answer->job;
        struct pk_answer final = job->finish(job, request, job->run(job));

        job->release(job);
        *answer = final;
    }
    switch (answer->kind) {
    case PK_ANSWER_VALUE:
        return answer->value;
    case PK_ANSWER_DESCRIPTOR:
        result = port_add_fd(request, answer->fd, answer->number, answer->fd_flags);
        close(answer->fd);
        return result;
    case PK_ANSWER_NATIVE:
        return native_call(request->nr, request->args);
    default:
        abort();
    }
}

static int64_t guest_call(struct side *side, int nr, const uint64_t args[6])
{
    struct pk_request request = {.kernel = side->kernel, .nr = nr, .port = &port};
    struct pk_answer answer;
    int64_t result;

    memcpy(request.args, args, sizeof(request.args));
    umask(0);
    answer = pk_dispatch(&request, gettid());
    result = carry_out(&request, &answer);
    pk_dispatch_done(&request, &answer, result);
    return result;
}

int64_t side_call(struct side *side, const struct side_call *call)
{
    uint64_t args[6];
    int64_t result;

    for (int i = 0; i < 6; i++)
        args[i] = translate(side, call->args[i]);
    memset(side->out, 0, SIDE_OUT);
    result = side->kind == SIDE_KERNEL ? kernel_call(side, call->nr, args)
                                       : guest_call(side, call->nr, args);
    if (result >= 0 && side_makes_descriptor(call->nr)) {
        side_give(side, (int)result);
        return 0;
    }
    return result;
}

struct pk_answer side_answer(struct side *side, const struct side_call *call)
{
    struct pk_request request = {.kernel = side->kernel, .nr = call->nr, .port = &port};
    struct pk_answer answer;

    for (int i = 0; i < 6; i++)
        request.args[i] = translate(side, call->args[i]);
    answer = pk_dispatch(&request, gettid());
    pk_dispatch_done(&request, &answer, 0);
    return answer;
}

enum side_kind side_kind(const struct side *side)
{
    return side->kind;
}

const unsigned char *side_output(const struct side *side)
{
    return side->out;
}

struct pk_kernel *side_kernel(struct side *side)
{
    return side->kernel;
}

int side_fd(const struct side *side, unsigned slot)
{
    return slot < side->fd_count ? side->fds[slot] : -1;
}

void side_drop(struct side *side)
{
    while (side->fd_count > 0)
        close(side->fds[--side->fd_count]);
}

/* ---- the tree ---- */

#define P(text) ((uintptr_t)(text))
#define HERE    ((uint64_t)AT_FDCWD)

static int64_t call(struct side *side, int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return side_call(side, &(struct side_call){nr, {a, b, c, d}});
}

static void must(struct side *side, int nr, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t r = call(side, nr, a, b, c, 0);

    if (r < 0)
        fprintf(stderr, "populate: call %d (%s) gives %d\n", nr, (const char *)(uintptr_t)a,
                (int)r);
    assert(r >= 0);
}

static void make_file(struct side *side, const char *path, const char *text, mode_t mode)
{
    int fd;

    must(side, ABI_NR_open, P(path), O_CREAT | O_WRONLY | O_EXCL, 0600);
    fd = side->fds[--side->fd_count];
    assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    must(side, ABI_NR_chmod, P(path), mode, 0);
}

static void populate_lower(struct side *side)
{
    must(side, ABI_NR_mkdir, P("w"), 0755, 0);
    must(side, ABI_NR_chdir, P("w"), 0, 0);
    make_file(side, "f", "hello", 0644);
    make_file(side, "g", "group", 0640);
    make_file(side, "x", "#!/bin/sh\n", 0755);
    make_file(side, "ro", "read", 0444);
    must(side, ABI_NR_mkdir, P("d"), 0755, 0);
    make_file(side, "d/a", "a", 0644);
    make_file(side, "d/b", "bb", 0600);
    must(side, ABI_NR_mkdir, P("d/sub"), 0700, 0);
    must(side, ABI_NR_mkdir, P("d/sub/deep"), 0755, 0);
    must(side, ABI_NR_mkdir, P("e"), 0755, 0);
    must(side, ABI_NR_symlink, P("f"), P("l"), 0);
    must(side, ABI_NR_symlink, P("d"), P("ld"), 0);
    must(side, ABI_NR_symlink, P("l"), P("l2"), 0);
    must(side, ABI_NR_symlink, P("none"), P("lbroken"), 0);
    must(side, ABI_NR_symlink, P("loop"), P("loop"), 0);
    must(side, ABI_NR_symlink, P("d/"), P("lslash"), 0);
    must(side, ABI_NR_symlink, P("../w/f"), P("lup"), 0);
}

static void populate_upper(struct side *side)
{
    must(side, ABI_NR_mknod, P("p"), S_IFIFO | 0644, 0);
    must(side, ABI_NR_mknod, P("sock"), S_IFSOCK | 0755, 0);
    make_file(side, "h1", "hard", 0644);
    must(side, ABI_NR_link, P("h1"), P("h2"), 0);
    must(side, ABI_NR_mkdir, P("wd"), 0755, 0);
    make_file(side, "wd/a", "a", 0644);
    must(side, ABI_NR_chmod, P("wd"), 0555, 0);
    must(side, ABI_NR_mkdir, P("nd"), 0755, 0);
    make_file(side, "nd/a", "a", 0644);
    must(side, ABI_NR_chmod, P("nd"), 0, 0);
    make_file(side, "none0", "nothing", 0);
    must(side, ABI_NR_mkdir, P("top"), 0755, 0);
    make_file(side, "top/t", "t", 0644);
}

/* The overlays get half of the tree through their lower directory. */
void side_populate(struct side *side)
{
    if (side->kind == SIDE_OVERLAY || side->kind == SIDE_UPPER) {
        struct side lower = {.kind = SIDE_KERNEL, .mask = 022, .out = side->out};
        char path[400];

        snprintf(path, sizeof(path), "%s/lower", side->store);
        lower.cwd = open(path, O_PATH | O_DIRECTORY);
        populate_lower(&lower);
        close(lower.cwd);
        must(side, ABI_NR_chdir, P("w"), 0, 0);
    } else {
        populate_lower(side);
    }
    populate_upper(side);
}

/* ---- snapshot ---- */

struct names {
    char *name[512];
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_names(struct side *side, const char *path, struct names *names)
{
    struct side_call list = {ABI_NR_getdents64, {0, OUT, 32768}};
    int64_t r;

    names->count = 0;
    if (call(side, ABI_NR_open, P(path), O_RDONLY | O_DIRECTORY, 0, 0) < 0)
        return;
    list.args[0] = FD(side->fd_count - 1);
    while ((r = side_call(side, &list)) > 0)
        for (int64_t at = 0; at < r;) {
            const struct dirent64 *entry = (const void *)(side->out + at);

            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            assert(names->count < 512);
            names->name[names->count++] = strdup(entry->d_name);
        }
    close(side->fds[--side->fd_count]);
    qsort(names->name, names->count, sizeof(char *), compare_names);
}

static void add_content(struct side *side, const char *path, struct strbuf *text)
{
    char content[64];
    ssize_t n;

    if (call(side, ABI_NR_open, P(path), O_RDONLY, 0, 0) < 0)
        return;
    n = read(side->fds[--side->fd_count], content, sizeof(content));
    close(side->fds[side->fd_count]);
    for (ssize_t i = 0; i < n; i++)
        strbuf_addf(text, "%02x", content[i]);
}

static void add_object(struct side *side, const char *path, struct strbuf *text)
{
    struct stat stat;
    int64_t r = call(side, ABI_NR_lstat, P(path), OUT, 0, 0);

    if (r < 0) {
        strbuf_addf(text, "%s: %d\n", path, (int)r);
        return;
    }
    memcpy(&stat, side->out, sizeof(stat));
    strbuf_addf(text, "%s %o %u:%u", path, stat.st_mode, stat.st_uid, stat.st_gid);
    if (!S_ISDIR(stat.st_mode))
        strbuf_addf(text, " %lld %lu ", (long long)stat.st_size, (unsigned long)stat.st_nlink);
    if (S_ISLNK(stat.st_mode) && call(side, ABI_NR_readlink, P(path), OUT, 4096, 0) > 0)
        strbuf_add_string(text, (const char *)side->out);
    if (S_ISREG(stat.st_mode))
        add_content(side, path, text);
    strbuf_addf(text, "\n");
    if (S_ISDIR(stat.st_mode)) {
        struct names names;
        char below[1024];

        list_names(side, path, &names);
        for (size_t i = 0; i < names.count; i++) {
            snprintf(below, sizeof(below), "%s/%s", path, names.name[i]);
            add_object(side, below, text);
            free(names.name[i]);
        }
    }
}

char *side_snapshot(struct side *side)
{
    struct strbuf text = {0};

    add_object(side, side->directory, &text);
    return text.data;
}

/*
 * The guest's allocator: a library that LD_PRELOAD puts in front of the C library's malloc.
 *
 * The first process is forked before the view is made, and with it its environment. So the value of
 * LD_PRELOAD lies in memory that both share, and is written when the library has been found.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "launch/launch-internal.h"
#include "linux/elf-library.h"

#define VARIABLE "LD_PRELOAD="

/* Where a library of the host is shown that the view does not have: /tmp is always in memory. */
#define SHOWN_BELOW "/tmp/.cerebro-allocator"

/* Where ld.so looks, too (ld.so(8)), in the multiarch form of Debian and as others have it. */
static const char *const directories[] = {
    "/usr/local/lib/x86_64-linux-gnu",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
};

/* A search under way. */
struct search {
    struct vfs *vfs;
    const struct vfs_actor *actor;
    const char *wanted;
    char path[PATH_MAX]; /* in the view, once it is found */
    int fd;              /* ... and opened; -1 before */
    struct base_error *error;
};

static size_t count_variables(char *const *envp)
{
    size_t count = 0;

    while (envp[count])
        count++;
    return count;
}

/* The last one counts, as for getenv() of a shell that has made it. */
static const char *take_former(char **envp, size_t *count)
{
    const char *former = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++)
        if (strncmp(envp[i], VARIABLE, strlen(VARIABLE)) == 0)
            former = envp[i] + strlen(VARIABLE);
        else
            envp[kept++] = envp[i];
    *count = kept;
    return former;
}

int allocator_prepare(const struct launch_options *options, struct allocator *allocator,
                      struct base_error *error)
{
    size_t count = count_variables(options->envp);

    if (options->allocator == NULL)
        return 0;
    allocator->envp = calloc(count + 2, sizeof(char *));
    if (allocator->envp == NULL)
        return base_fail(error, ENOMEM, NULL, "no memory for the environment");
    memcpy(allocator->envp, options->envp, count * sizeof(char *));
    allocator->former = take_former(allocator->envp, &count);
    allocator->size = strlen(VARIABLE) + PATH_MAX + 1;
    allocator->size += allocator->former ? strlen(allocator->former) : 0;
    allocator->variable =
        mmap(NULL, allocator->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (allocator->variable == MAP_FAILED) {
        allocator->variable = NULL;
        return base_fail(error, errno, NULL, "no memory for the environment");
    }
    allocator->envp[count] = allocator->variable;
    return 0;
}

void allocator_release(struct allocator *allocator)
{
    free(allocator->envp);
    if (allocator->variable)
        munmap(allocator->variable, allocator->size);
    *allocator = (struct allocator){0};
}

/* Opens search->path in the view, as the guest will. Returns 0 or a negative errno. */
static int open_in_view(struct search *search)
{
    cleanup_place struct vfs_place *root = vfs_root(search->vfs);
    struct vfs_walk walk = {
        .actor = search->actor, .root = root, .base = root, .path = search->path};
    struct vfs_opened opened = {.fd = -1};
    struct stat attributes;
    int r = vfs_open(search->vfs, &walk, O_RDONLY | O_CLOEXEC, 0, &opened);

    if (r < 0)
        return r;
    if (opened.window || opened.blocks || fstat(opened.fd, &attributes) < 0 ||
        !S_ISREG(attributes.st_mode)) {
        base_close(opened.fd);
        return -EINVAL;
    }
    search->fd = opened.fd;
    return 0;
}

/* A library of the host that the view has not: shown there, read only. */
static int show(struct search *search, const char *host_path)
{
    const char *name = strrchr(host_path, '/') + 1;
    struct launch_bind bind = {.source = host_path, .target = search->path, .read_only = true};
    int r;

    if (snprintf(search->path, sizeof(search->path), "%s/%s", SHOWN_BELOW, name) >=
        (int)sizeof(search->path))
        return -ENAMETOOLONG;
    r = view_bind(search->vfs, &bind, search->error);
    return r < 0 ? r : open_in_view(search);
}

static bool is_gone(int r)
{
    return r == -ENOENT || r == -ENOTDIR;
}

/* A path: in the view, else on the host; relative to the user's current directory. */
static int find_path(struct search *search)
{
    cleanup_free char *cwd = search->wanted[0] == '/' ? strdup("") : getcwd(NULL, 0);
    char host[PATH_MAX];
    int r;

    if (cwd == NULL)
        return -errno;
    if (snprintf(host, sizeof(host), "%s%s%s", cwd, *cwd ? "/" : "", search->wanted) >=
        (int)sizeof(host))
        return -ENAMETOOLONG;
    memcpy(search->path, host, sizeof(host));
    r = open_in_view(search);
    if (!is_gone(r))
        return r;
    return access(host, F_OK) < 0 ? -errno : show(search, host);
}

static int find_in_directories(struct search *search, bool on_host)
{
    for (size_t i = 0; i < array_length(directories); i++) {
        char path[PATH_MAX];
        int r;

        if (snprintf(path, sizeof(path), "%s/%s", directories[i], search->wanted) >=
            (int)sizeof(path))
            return -ENAMETOOLONG;
        if (on_host) {
            r = access(path, F_OK) < 0 ? -errno : show(search, path);
        } else {
            memcpy(search->path, path, sizeof(path));
            r = open_in_view(search);
        }
        if (!is_gone(r))
            return r;
    }
    return -ENOENT;
}

static int find(struct search *search)
{
    int r;

    if (strchr(search->wanted, '/'))
        return find_path(search);
    if (search->wanted[0] == '\0')
        return -ENOENT;
    r = find_in_directories(search, false);
    return r == -ENOENT ? find_in_directories(search, true) : r;
}

static int not_found(struct search *search, int r)
{
    if (is_gone(r))
        return base_fail(search->error, r,
                         strchr(search->wanted, '/')
                             ? "give the path of a shared library"
                             : "install the package it belongs to, or give its path",
                         "there is no allocator %s", search->wanted);
    return base_fail(search->error, r, "it must be a regular file that the program can read",
                     "cannot open the allocator %s: %s", search->wanted, strerror(-r));
}

static int check_library(struct search *search)
{
    static const char *const functions[] = {"malloc", "free"};
    struct elf_source source = elf_source_fd(&search->fd, 0);
    struct elf_library library;
    const char *reason = "";

    if (elf_library_open(&source, &library, &reason) < 0)
        return base_fail(search->error, ENOEXEC, "name a shared library that defines malloc",
                         "the allocator %s %s", search->path, reason);
    for (size_t i = 0; i < array_length(functions); i++)
        if (!elf_library_defines(&library, functions[i]))
            return base_fail(search->error, EINVAL,
                             "name a library that replaces malloc, such as libmimalloc.so.2",
                             "the allocator %s does not define %s", search->path, functions[i]);
    return 0;
}

/* What ld.so would split, or put something else in for: ld.so(8), LD_PRELOAD. */
static int check_name(struct search *search)
{
    if (search->path[strcspn(search->path, " :$")] == '\0')
        return 0;
    return base_fail(search->error, EINVAL, "make a symbolic link to it that has a plain name",
                     "LD_PRELOAD takes no path with a space, a colon or a dollar sign: %s",
                     search->path);
}

int allocator_place(struct allocator *allocator, struct vfs *vfs, const struct vfs_actor *actor,
                    const char *wanted, struct base_error *error)
{
    struct search search = {.vfs = vfs, .actor = actor, .wanted = wanted, .fd = -1, .error = error};
    int r;

    if (wanted == NULL)
        return 0;
    r = find(&search);
    if (r < 0)
        return not_found(&search, r);
    r = check_library(&search);
    base_close(search.fd);
    if (r == 0)
        r = check_name(&search);
    if (r == 0)
        snprintf(allocator->variable, allocator->size, "%s%s%s%s", VARIABLE, search.path,
                 allocator->former ? ":" : "", allocator->former ? allocator->former : "");
    return r;
}

int allocator_check_program(const struct pk_exec_plan *plan, const char *program,
                            struct base_error *error)
{
    if (plan->interpreter_fd < 0)
        return base_fail(error, ENOTSUP, "leave --allocator out",
                         "%s is statically linked: no library takes its allocator's place",
                         program);
    if (plan->secure)
        return base_fail(error, ENOTSUP, "leave --allocator out",
                         "%s has privileges of its own: ld.so adds no library to it", program);
    return 0;
}

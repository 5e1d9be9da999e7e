/*
 * From a file to an exec plan: permission, `#!` chains, ELF and its interpreter, set-user-ID.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "core/program.h"
#include "linux/elf-cache.h"
#include "linux/elf-plan.h"
#include "linux/exec-internal.h"
#include "linux/identity.h"
#include "linux/script.h"

/* Scripts that name scripts: the kernel gives up at the sixth. */
#define SCRIPT_DEPTH_MAX 5

/* An executable file, found and opened. */
struct executable {
    struct vfs_place *place; /* reference held */
    int fd;
    struct stat stat; /* of the host object, to know it again */
};

static void executable_release(struct executable *file)
{
    vfs_place_unref(file->place);
    base_close(file->fd);
    *file = (struct executable){.fd = -1};
}
#define cleanup_executable __attribute__((cleanup(executable_release)))

/*
 * The process kernel may read what the guest may only execute: it maps it on the guest's behalf.
 * The object is opened by its place, so it is the one whose permission was checked.
 */
static int open_place(struct exec_request *exec, struct vfs_place *place)
{
    struct pk_identity identity = *exec->actor->identity;
    struct vfs_actor actor = *exec->actor;
    struct vfs_opened opened = {.fd = -1};
    struct vfs_walk walk = {
        .actor = &actor, .root = exec->root, .base = place, .path = "", .flags = VFS_EMPTY_PATH};
    int r;

    identity.effective |= 1ULL << CAP_DAC_READ_SEARCH;
    actor.identity = &identity;
    r = vfs_open(exec->kernel->vfs, &walk, O_RDONLY | O_CLOEXEC, 0, &opened);
    if (r < 0)
        return r;
    if (opened.window || opened.blocks) {
        base_close(opened.fd);
        return -EACCES;
    }
    return opened.fd;
}

/*
 * Checks and opens (open_exec of the kernel). `opened` is the file as the walk has opened it, or
 * -1; consumed in every case.
 */
static int open_executable(struct exec_request *exec, struct vfs_place *place, int opened,
                           struct executable *ret_file)
{
    cleanup_close int fd = opened;
    int r;

    if (S_ISLNK(vfs_place_type(place)))
        return -ELOOP;
    if (!S_ISREG(vfs_place_type(place)))
        return -EACCES;
    r = vfs_access(place, X_OK, exec->actor, true);
    if (r < 0)
        return r;
    if (fd < 0)
        fd = open_place(exec, place);
    if (fd < 0)
        return take_fd(&fd);
    if (fstat(fd, &ret_file->stat) < 0)
        return -errno;
    ret_file->place = vfs_place_ref(place);
    ret_file->fd = take_fd(&fd);
    return 0;
}

static int open_interpreter(struct exec_request *exec, const char *path,
                            struct executable *ret_file)
{
    cleanup_place struct vfs_place *place = NULL;
    struct vfs_walk walk = {
        .actor = exec->actor, .root = exec->root, .base = exec->cwd, .path = path};
    int fd = -1;
    int r = *path ? vfs_resolve_opened(exec->kernel->vfs, &walk, &place, &fd) : -ENOENT;

    return r < 0 ? r : open_executable(exec, place, fd, ret_file);
}

static int read_start(int fd, char buffer[SCRIPT_BUFFER_SIZE])
{
    ssize_t n = pread(fd, buffer, SCRIPT_BUFFER_SIZE, 0);

    if (n < 0)
        return -errno;
    memset(buffer + n, 0, SCRIPT_BUFFER_SIZE - (size_t)n);
    return 0;
}

/* True when the caller's descriptor is gone once the new program runs. */
static bool closes_on_exec(const struct exec_request *exec)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];
    const char *flags;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", exec->actor->tid, exec->script_fd);
    if (io_read_file(AT_FDCWD, path, 4096, &text) < 0)
        return true;
    flags = strstr(strbuf_text(&text), "flags:");
    return flags == NULL || (strtoul(flags + strlen("flags:"), NULL, 8) & O_CLOEXEC);
}

/* Puts `#!` words in front of the arguments gathered so far; `name` is the script itself. */
static int prepend(struct strbuf *prefix, uint32_t *count, const struct script_line *line,
                   const char *name)
{
    cleanup_strbuf struct strbuf old = *prefix;
    const char *rest = old.data;
    size_t rest_length = old.length;

    *prefix = (struct strbuf){0};
    if (rest_length) { /* the first of them was this script's name, which is said anew */
        size_t skip = strlen(rest) + 1;

        rest += skip;
        rest_length -= skip;
        --*count;
    }
    strbuf_add(prefix, line->interpreter, strlen(line->interpreter) + 1);
    if (line->has_argument)
        strbuf_add(prefix, line->argument, strlen(line->argument) + 1);
    strbuf_add(prefix, name, strlen(name) + 1);
    if (rest_length)
        strbuf_add(prefix, rest, rest_length);
    *count += 2 + (line->has_argument ? 1 : 0);
    return strbuf_status(prefix);
}

/*
 * Follows `#!` lines until `file` is not a script any more. The words for argv gather in the plan.
 */
static int follow_scripts(struct exec_request *exec, struct executable *file,
                          struct pk_exec_plan *plan)
{
    cleanup_strbuf struct strbuf prefix = {0};
    char buffer[SCRIPT_BUFFER_SIZE];
    char name[SCRIPT_BUFFER_SIZE] = "";
    struct script_line line;
    uint32_t count = 0;
    int r;

    for (int depth = 0;; depth++) {
        struct executable next = {.fd = -1};

        if (depth > SCRIPT_DEPTH_MAX)
            return -ELOOP;
        if (elf_cache_has(linux_state(exec->kernel)->elf_cache, &file->stat)) {
            memset(buffer, 0, sizeof(buffer));
            break;
        }
        r = read_start(file->fd, buffer);
        if (r < 0)
            return r;
        if (script_parse(buffer, &line) < 0)
            break;
        if (depth == 0 && exec->script_fd >= 0 && closes_on_exec(exec))
            return -ENOENT;
        r = prepend(&prefix, &count, &line, depth ? name : exec->filename);
        r = r < 0 ? r : open_interpreter(exec, line.interpreter, &next);
        if (r < 0)
            return r;
        memcpy(name, line.interpreter, sizeof(name));
        executable_release(file);
        *file = next;
    }
    plan->argv_prefix_length = (uint32_t)prefix.length;
    plan->argv_prefix_count = count;
    plan->argv_prefix = take_ptr(prefix.data);
    exec->reason = elf_foreign_format(buffer, sizeof(buffer));
    return 0;
}

static void choose_random(const struct exec_request *exec, struct elf_random *random)
{
    cleanup_strbuf struct strbuf text = {0};
    char path[64];

    *random = (struct elf_random){0};
    if (exec->actor->tid && linux_state(exec->kernel)->personality_used) {
        snprintf(path, sizeof(path), "/proc/%d/personality", exec->actor->tid);
        if (io_read_file(AT_FDCWD, path, 64, &text) == 0 &&
            (strtoul(strbuf_text(&text), NULL, 16) & ADDR_NO_RANDOMIZE))
            return;
    }
    if (getrandom(random, sizeof(*random), 0) != sizeof(*random))
        random->program = random->interpreter = io_now_ns();
}

static void image_cleanup(struct elf_image *image)
{
    elf_image_release(image);
}

/* Parses the program and its interpreter and lays both out. */
static int plan_images(struct exec_request *exec, const struct executable *program,
                       struct executable *interpreter, struct pk_exec_plan *plan)
{
    struct linux_elf_cache *cache = linux_state(exec->kernel)->elf_cache;
    __attribute__((cleanup(image_cleanup))) struct elf_image image = {0}, loader = {0};
    const char *foreign = exec->reason;
    struct elf_random random;
    int r = elf_cache_parse(cache, program->fd, &program->stat, ELF_PROGRAM, &image, &exec->reason);

    if (r < 0 && foreign)
        exec->reason = foreign;
    if (r < 0)
        return r;
    if (image.interpreter) {
        r = open_interpreter(exec, image.interpreter, interpreter);
        if (r < 0)
            exec->reason = "the program's interpreter (its dynamic loader) cannot be run";
        r = r < 0 ? r
                  : elf_cache_parse(cache, interpreter->fd, &interpreter->stat, ELF_INTERPRETER,
                                    &loader, &exec->reason);
        if (r < 0)
            return r;
    }
    choose_random(exec, &random);
    return elf_plan(&image, image.interpreter ? &loader : NULL, &random, plan, &exec->reason);
}

static bool is_nosuid(struct vfs_place *place)
{
    struct statfs statfs = {0};

    return vfs_statfs(place, &statfs) < 0 || (statfs.f_flags & ST_NOSUID);
}

/*
 * Set-user-ID bits count among virtual identities only. With the host's own ids they would promise
 * the program rights that nobody can give it; it then runs as its caller, as under
 * no_new_privs, which also holds on the host.
 */
static void plan_identity(struct exec_request *exec, struct vfs_place *place,
                          struct pk_exec_plan *plan)
{
    struct pk_identity identity = *exec->actor->identity;
    struct statx stat;

    plan->euid = identity.euid;
    plan->egid = identity.egid;
    if (exec->kernel->config.virtual_identity && !identity.no_new_privs &&
        vfs_stat(place, &stat) == 0 && (stat.stx_mode & (S_ISUID | S_ISGID)) && !is_nosuid(place)) {
        if (stat.stx_mode & S_ISUID)
            plan->euid = stat.stx_uid;
        if ((stat.stx_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
            plan->egid = stat.stx_gid;
    }
    plan->uid = identity.uid;
    plan->gid = identity.gid;
    plan->secure = identity_exec(&identity, plan->euid, plan->egid);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int plan_names(struct exec_request *exec, const char *given, struct vfs_place *program,
                      struct pk_exec_plan *plan)
{
    plan->execfn = strdup(exec->filename);
    plan->exe = strdup(vfs_place_path(program));
    if (plan->execfn == NULL || plan->exe == NULL)
        return -ENOMEM;
    snprintf(plan->comm, sizeof(plan->comm), "%s", base_name(given));
    return 0;
}

/* Those who run the same file under the same name share its place. */
static int plan_program(const struct exec_request *exec, const struct executable *file,
                        struct pk_exec_plan *plan)
{
    struct vfs_place *known = pk_program_place_of(exec->kernel, &file->stat);
    struct vfs_place *place = file->place;

    if (known && !vfs_place_is_deleted(known) &&
        strcmp(vfs_place_path(known), vfs_place_path(place)) == 0)
        place = known;
    plan->program = pk_program_new(exec->kernel, place, &file->stat, plan->argv_prefix,
                                   plan->argv_prefix_length);
    return plan->program ? 0 : -ENOMEM;
}

static int fill_plan(struct exec_request *exec, struct vfs_place *given, int opened,
                     struct pk_exec_plan *plan)
{
    cleanup_executable struct executable program = {.fd = -1}, interpreter = {.fd = -1};
    int r = open_executable(exec, given, opened, &program);

    r = r < 0 ? r : follow_scripts(exec, &program, plan);
    r = r < 0 ? r : plan_images(exec, &program, &interpreter, plan);
    if (r < 0)
        return r;
    plan_identity(exec, program.place, plan);
    r = plan_names(exec, exec->comm_from_place ? vfs_place_path(given) : exec->filename,
                   program.place, plan);
    r = r < 0 ? r : plan_program(exec, &program, plan);
    plan->program_fd = take_fd(&program.fd);
    plan->interpreter_fd = take_fd(&interpreter.fd);
    return r;
}

int exec_make_plan(struct exec_request *exec, struct vfs_place *program, int opened,
                   struct pk_exec_plan **ret_plan)
{
    struct pk_exec_plan *plan = pk_exec_plan_new();
    int r;

    exec->reason = NULL;
    if (plan == NULL) {
        base_close(opened);
        return -ENOMEM;
    }
    r = fill_plan(exec, program, opened, plan);
    if (r < 0) {
        pk_exec_plan_free(plan);
        return r;
    }
    exec->reason = NULL;
    *ret_plan = plan;
    return 0;
}

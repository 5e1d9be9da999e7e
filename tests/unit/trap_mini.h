/*
 * The smallest personality that runs real programs, for tests of the trap: every served call is let
 * through to the host (so there is no isolation whatever), programs are loaded by our loader, and
 * opening a FIFO is deferred. Functions are static: include this once.
 */
#pragma once

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/exec.h"
#include "core/kernel.h"
#include "core/request.h"
#include "trap/trap.h"

#define MINI_PAGE             4096UL
#define MINI_PROGRAM_BASE     0x555700000000UL /* above the heap, below the sanitizers' own */
#define MINI_INTERPRETER_BASE 0x6f0000000000UL
#define MINI_SCRIPT_DEPTH     4

/* What an ELF file turned into, at its place. */
struct mini_image {
    uint64_t bias;
    uint64_t entry;
    uint64_t headers;
    uint16_t header_count;
    bool executable_stack;
    char interpreter[256];
};

static uint64_t mini_down(uint64_t address)
{
    return address & ~(MINI_PAGE - 1);
}

static uint64_t mini_up(uint64_t address)
{
    return mini_down(address + MINI_PAGE - 1);
}

static uint32_t mini_protection(uint32_t flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
           (flags & PF_X ? PROT_EXEC : 0);
}

static struct pk_exec_mapping *mini_mapping(struct pk_exec_plan *plan)
{
    return plan->mapping_count < PK_EXEC_MAPPINGS_MAX ? &plan->mappings[plan->mapping_count++]
                                                      : NULL;
}

static int mini_map_segment(const Elf64_Phdr *segment, uint64_t bias, enum pk_exec_file file,
                            struct pk_exec_plan *plan)
{
    uint64_t start = mini_down(segment->p_vaddr + bias);
    uint64_t file_end = segment->p_vaddr + bias + segment->p_filesz;
    uint64_t end = segment->p_vaddr + bias + segment->p_memsz;
    struct pk_exec_mapping *mapping;

    if (segment->p_filesz) {
        mapping = mini_mapping(plan);
        if (mapping == NULL)
            return -ENOMEM;
        *mapping = (struct pk_exec_mapping){.file = file,
                                            .protection = mini_protection(segment->p_flags),
                                            .address = start,
                                            .length = mini_up(file_end) - start,
                                            .offset = mini_down(segment->p_offset)};
        if (end > file_end) {
            mapping->zero_from = file_end;
            mapping->zero_to = mini_up(file_end);
        }
    }
    if (mini_up(end) <= mini_up(file_end))
        return 0;
    mapping = mini_mapping(plan);
    if (mapping == NULL)
        return -ENOMEM;
    *mapping = (struct pk_exec_mapping){.file = PK_EXEC_ANONYMOUS,
                                        .protection = mini_protection(segment->p_flags),
                                        .address = mini_up(file_end),
                                        .length = mini_up(end) - mini_up(file_end)};
    return 0;
}

static int mini_load(int fd, enum pk_exec_file file, uint64_t base, struct pk_exec_plan *plan,
                     struct mini_image *image)
{
    Elf64_Ehdr header;
    Elf64_Phdr segments[32];
    size_t size;
    int r = 0;

    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > 32)
        return -ENOEXEC;
    size = header.e_phnum * sizeof(segments[0]);
    if (pread(fd, segments, size, (off_t)header.e_phoff) != (ssize_t)size)
        return -ENOEXEC;
    *image = (struct mini_image){.bias = header.e_type == ET_DYN ? base : 0,
                                 .header_count = header.e_phnum};
    image->entry = header.e_entry + image->bias;
    for (unsigned i = 0; i < header.e_phnum && r == 0; i++) {
        const Elf64_Phdr *segment = &segments[i];

        if (segment->p_type == PT_LOAD && segment->p_offset <= header.e_phoff &&
            header.e_phoff < segment->p_offset + segment->p_filesz)
            image->headers = header.e_phoff - segment->p_offset + segment->p_vaddr + image->bias;
        if (segment->p_type == PT_LOAD)
            r = mini_map_segment(segment, image->bias, file, plan);
        if (segment->p_type == PT_GNU_STACK && (segment->p_flags & PF_X))
            image->executable_stack = true;
        if (segment->p_type == PT_INTERP && segment->p_filesz < sizeof(image->interpreter) &&
            pread(fd, image->interpreter, segment->p_filesz, (off_t)segment->p_offset) < 0)
            r = -errno;
    }
    return r;
}

static int mini_plan_elf(struct pk_exec_plan *plan)
{
    struct mini_image image;
    struct mini_image interpreter;
    int r = mini_load(plan->program_fd, PK_EXEC_PROGRAM, MINI_PROGRAM_BASE, plan, &image);

    if (r < 0)
        return r;
    plan->start = plan->program_entry = image.entry;
    plan->headers = image.headers;
    plan->header_count = image.header_count;
    plan->header_size = sizeof(Elf64_Phdr);
    plan->executable_stack = image.executable_stack;
    if (image.interpreter[0] == '\0')
        return 0;
    plan->interpreter_fd = open(image.interpreter, O_RDONLY | O_CLOEXEC);
    if (plan->interpreter_fd < 0)
        return -errno;
    r = mini_load(plan->interpreter_fd, PK_EXEC_INTERPRETER, MINI_INTERPRETER_BASE, plan,
                  &interpreter);
    plan->start = interpreter.entry;
    plan->base = interpreter.bias;
    return r;
}

/* Puts "interpreter [argument] path" in front of the prefix that is there already. */
static int mini_prefix(struct pk_exec_plan *plan, const char *interpreter, const char *argument,
                       const char *path)
{
    cleanup_strbuf struct strbuf prefix = {0};

    strbuf_add(&prefix, interpreter, strlen(interpreter) + 1);
    if (argument)
        strbuf_add(&prefix, argument, strlen(argument) + 1);
    if (plan->argv_prefix)
        strbuf_add(&prefix, plan->argv_prefix, plan->argv_prefix_length);
    else
        strbuf_add(&prefix, path, strlen(path) + 1);
    plan->argv_prefix_count += (plan->argv_prefix ? 1 : 2) + (argument != NULL);
    free(plan->argv_prefix);
    plan->argv_prefix_length = (uint32_t)prefix.length;
    plan->argv_prefix = take_ptr(prefix.data);
    return plan->argv_prefix ? 0 : -ENOMEM;
}

/* Follows `#!`. Returns 1 when the file was a script and `path` is its interpreter now. */
static int mini_script(struct pk_exec_plan *plan, char path[PATH_MAX])
{
    char line[256] = "";
    char *interpreter;
    char *argument;
    char *end;
    int r;

    if (pread(plan->program_fd, line, sizeof(line) - 1, 0) < 3 || memcmp(line, "#!", 2) != 0)
        return 0;
    end = strchrnul(line, '\n');
    *end = '\0';
    interpreter = line + 2 + strspn(line + 2, " \t");
    argument = interpreter + strcspn(interpreter, " \t");
    if (*argument)
        *argument++ = '\0';
    argument += strspn(argument, " \t");
    r = mini_prefix(plan, interpreter, *argument ? argument : NULL, path);
    snprintf(path, PATH_MAX, "%s", interpreter);
    return r < 0 ? r : 1;
}

static int mini_open_program(struct pk_exec_plan *plan, const char *path)
{
    struct stat status;

    base_close(plan->program_fd);
    plan->program_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (plan->program_fd < 0)
        return -errno;
    if (fstat(plan->program_fd, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) && (status.st_mode & 0111) ? 0 : -EACCES;
}

/* Makes the plan of a host program. `path` is absolute. */
static int mini_plan(const char *path, const char *execfn, struct pk_exec_plan **ret_plan)
{
    struct pk_exec_plan *plan = pk_exec_plan_new();
    const char *slash = strrchr(path, '/');
    char current[PATH_MAX];
    int r = -ELOOP;

    if (plan == NULL)
        return -ENOMEM;
    snprintf(current, sizeof(current), "%s", path);
    plan->uid = getuid();
    plan->euid = geteuid();
    plan->gid = getgid();
    plan->egid = getegid();
    plan->execfn = strdup(execfn);
    plan->exe = strdup(path);
    snprintf(plan->comm, sizeof(plan->comm), "%s", slash ? slash + 1 : path);
    for (int depth = 0; depth < MINI_SCRIPT_DEPTH; depth++) {
        r = mini_open_program(plan, current);
        if (r == 0)
            r = mini_script(plan, current);
        if (r <= 0)
            break;
        r = -ELOOP;
    }
    if (r == 0)
        r = mini_plan_elf(plan);
    if (r == 0)
        *ret_plan = plan;
    else
        pk_exec_plan_free(plan);
    return r;
}

/* A guest path as a host path: there is no isolation here. */
static void mini_host_path(struct pk_request *request, int dirfd, const char *path,
                           char host[PATH_MAX])
{
    int tid = request->task->tid;

    if (strncmp(path, "/proc/self/", 11) == 0)
        snprintf(host, PATH_MAX, "/proc/%d/%s", tid, path + 11);
    else if (path[0] == '/')
        snprintf(host, PATH_MAX, "%s", path);
    else if (path[0] == '\0')
        snprintf(host, PATH_MAX, "/proc/%d/fd/%d", tid, dirfd);
    else if (dirfd == AT_FDCWD)
        snprintf(host, PATH_MAX, "/proc/%d/cwd/%s", tid, path);
    else
        snprintf(host, PATH_MAX, "/proc/%d/fd/%d/%s", tid, dirfd, path);
}

static struct pk_answer mini_exec(struct pk_request *request)
{
    bool at = request->nr == SYS_execveat;
    struct pk_exec_plan *plan;
    char path[PATH_MAX];
    char host[PATH_MAX];
    ssize_t r = pk_read_path(request, request->args[at ? 1 : 0], path);

    if (r < 0)
        return pk_error(r);
    if (r == 0 && !(at && (request->args[4] & AT_EMPTY_PATH)))
        return pk_error(-ENOENT);
    mini_host_path(request, at ? (int)request->args[0] : AT_FDCWD, path, host);
    r = mini_plan(host, path, &plan);
    return r < 0 ? pk_error(r) : pk_exec(plan);
}

static struct pk_answer mini_native(struct pk_request *request)
{
    (void)request;
    return pk_native();
}

/* A deferred open(2) of a FIFO. */
struct mini_open {
    struct pk_job job;
    char path[PATH_MAX];
    int flags;
};

static int64_t mini_open_run(struct pk_job *job)
{
    struct mini_open *open_job = container_of(job, struct mini_open, job);
    int fd = open(open_job->path, open_job->flags | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static struct pk_answer mini_open_finish(struct pk_job *job, struct pk_request *request,
                                         int64_t result)
{
    struct mini_open *open_job = container_of(job, struct mini_open, job);

    (void)request;
    return result < 0 ? pk_error(result) : pk_descriptor((int)result, open_job->flags & O_CLOEXEC);
}

static void mini_open_release(struct pk_job *job)
{
    free(container_of(job, struct mini_open, job));
}

static struct pk_answer mini_open_now(const char *host, int flags, mode_t mode)
{
    int fd = open(host, flags | O_CLOEXEC, mode);

    return fd < 0 ? pk_error(-errno) : pk_descriptor(fd, flags & O_CLOEXEC);
}

/* Opened by us and handed in, so that it works whatever the guest's own root is. */
static struct pk_answer mini_open(struct pk_request *request)
{
    int at = request->nr == SYS_openat;
    int flags = (int)request->args[1 + at];
    struct mini_open *job;
    struct stat status;
    char path[PATH_MAX];
    char host[PATH_MAX];
    ssize_t r = pk_read_path(request, request->args[at], path);

    if (r < 0)
        return pk_error(r);
    mini_host_path(request, at ? (int)request->args[0] : AT_FDCWD, path, host);
    if (stat(host, &status) < 0 || !S_ISFIFO(status.st_mode))
        return mini_open_now(host, flags, (mode_t)request->args[2 + at]);
    job = calloc(1, sizeof(*job));
    if (job == NULL)
        return pk_error(-ENOMEM);
    job->job = (struct pk_job){
        .run = mini_open_run, .finish = mini_open_finish, .release = mini_open_release};
    memcpy(job->path, host, sizeof(job->path));
    job->flags = flags;
    return pk_deferred(&job->job);
}

/* Acts in the process kernel, so that acting twice shows. */
static struct pk_answer mini_directory(struct pk_request *request)
{
    char path[PATH_MAX];
    char host[PATH_MAX];
    ssize_t r = pk_read_path(request, request->args[0], path);

    if (r < 0)
        return pk_error(r);
    mini_host_path(request, AT_FDCWD, path, host);
    r = request->nr == SYS_mkdir ? mkdir(host, 0755) : rmdir(host);
    return r < 0 ? pk_error(-errno) : pk_value(0);
}

/*
 * chroot(NULL) stands for a call that needs work done in the guest: maps a page there, leaves a
 * message in it and returns its address.
 */
static struct pk_answer mini_inject(struct pk_request *request)
{
    struct pk_injected_call calls[2] = {
        {.nr = SYS_mmap,
         .args = {0, MINI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ULL, 0}},
        {.nr = SYS_madvise, .args = {PK_INJECT_RESULT(0), MINI_PAGE, MADV_NORMAL}},
    };
    int64_t values[2];
    int r;

    if (request->args[0] != 0)
        return pk_native();
    r = request->port->inject(request, calls, 2, values);
    if (r == 0 && values[1] == 0)
        r = pk_write(request, (uint64_t)values[0], "injected", 9);
    if (r == 0 && request->args[1] == 1) /* an answer that needs a notification */
        return pk_descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC), O_CLOEXEC);
    return r < 0 ? pk_error(r) : pk_value(values[0]);
}

/* As pk_context_adopt() does: the context of the first process. */
static int mini_context(struct pk_kernel *kernel, const struct pk_context **ret_context)
{
    struct pk_context none = {.mask = 022, .identity = kernel->host_identity};
    struct pk_context *context = pk_context_copy(kernel, &none);
    int r = context ? pk_context_register(kernel, context) : -ENOMEM;

    if (r == 0)
        *ret_context = context;
    return r;
}

static int mini_kernel(const struct pk_config *config, struct pk_kernel **ret_kernel)
{
    struct pk_sink sink = {0};
    struct base_error error = {0};
    int r = pk_kernel_new(config, &sink, ret_kernel, &error);

    for (int nr = 0; r == 0 && nr < PK_NR_LIMIT; nr++)
        pk_kernel_set_handler(*ret_kernel, nr, mini_native);
    if (r < 0)
        return r;
    pk_kernel_set_handler(*ret_kernel, SYS_execve, mini_exec);
    pk_kernel_set_handler(*ret_kernel, SYS_execveat, mini_exec);
    pk_kernel_set_handler(*ret_kernel, SYS_open, mini_open);
    pk_kernel_set_handler(*ret_kernel, SYS_openat, mini_open);
    pk_kernel_set_handler(*ret_kernel, SYS_mkdir, mini_directory);
    pk_kernel_set_handler(*ret_kernel, SYS_rmdir, mini_directory);
    pk_kernel_set_handler(*ret_kernel, SYS_chroot, mini_inject);
    (*ret_kernel)->window_base = 1024 - PK_WINDOW_SIZE;
    return 0;
}

/* Starts a program. `program` is an absolute host path; argv[0] may be anything. */
static int mini_start(struct pk_kernel *kernel, const struct trap_features *features,
                      const struct trap_start *template, const char *program,
                      struct trap **ret_trap, struct base_error *error)
{
    struct trap_start start = *template;
    int r = mini_plan(program, program, &start.plan);

    if (r < 0)
        return base_fail(error, r, NULL, "cannot load %s: %s", program, strerror(-r));
    r = mini_context(kernel, &start.context);
    if (r < 0) {
        pk_exec_plan_free(start.plan);
        return base_fail(error, r, NULL, "no memory for a context");
    }
    return trap_new(kernel, features, &start, ret_trap, error);
}

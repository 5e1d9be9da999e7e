/* micro-files.c - single calls, and calls on files: names, descriptors, memory. */
#define _GNU_SOURCE 1

#include "micro.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    FILE_SIZE = 64 * 1024,
    MANY_ENTRIES = 200,
    DIRENT_BUFFER = 32 * 1024, /* what the C library's readdir uses */
    MAP_SIZE = 64 * 1024,
    BLOCK = 4096,
    WRITE_AREA = 1024 * 1024,
};

static void make_file(const char *dir, const char *name, size_t size)
{
    char path[PATH_MAX];
    micro_join(path, dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        micro_die("%s: %s", path, strerror(errno));
    char block[BLOCK];
    memset(block, 'x', sizeof(block));
    for (size_t done = 0; done < size; done += sizeof(block))
        if (write(fd, block, sizeof(block)) != sizeof(block))
            micro_die("%s: %s", path, strerror(errno));
    close(fd);
}

void micro_prepare(const char *data)
{
    char many[PATH_MAX];
    make_file(data, "file", FILE_SIZE);
    micro_join(many, data, "many");
    if (mkdir(many, 0755) && errno != EEXIST)
        micro_die("%s: %s", many, strerror(errno));
    for (int i = 0; i < MANY_ENTRIES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "entry-%03d", i);
        make_file(many, name, 0);
    }
}

static void no_set_up(struct micro_state *state)
{
    (void)state;
}

static void use_file(struct micro_state *state)
{
    micro_join(state->path, state->data, "file");
}

static void open_path(struct micro_state *state, int flags)
{
    state->fd = open(state->path, flags | O_CLOEXEC, 0644);
    if (state->fd < 0)
        micro_die("%s: %s", state->path, strerror(errno));
}

static void need_buffer(struct micro_state *state, size_t size)
{
    state->buffer = calloc(1, size);
    if (!state->buffer)
        micro_die("out of memory");
}

static void open_file(struct micro_state *state)
{
    use_file(state);
    open_path(state, O_RDONLY);
    need_buffer(state, BLOCK);
}

static void close_file(struct micro_state *state)
{
    if (state->fd >= 0)
        close(state->fd);
    state->fd = -1;
    free(state->buffer);
    state->buffer = NULL;
}

static void run_getppid(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--)
        syscall(SYS_getppid);
}

static void run_pread(struct micro_state *state, uint64_t count, size_t size)
{
    while (count--)
        if (pread(state->fd, state->buffer, size, 0) != (ssize_t)size)
            micro_die("pread: %s", strerror(errno));
}

static void run_pread_64(struct micro_state *state, uint64_t count)
{
    run_pread(state, count, 64);
}

static void run_pread_1k(struct micro_state *state, uint64_t count)
{
    run_pread(state, count, 1024);
}

static void run_pread_4k(struct micro_state *state, uint64_t count)
{
    run_pread(state, count, BLOCK);
}

static void run_stat(struct micro_state *state, uint64_t count)
{
    struct stat facts;
    while (count--)
        if (stat(state->path, &facts))
            micro_die("stat %s: %s", state->path, strerror(errno));
}

static void run_fstat(struct micro_state *state, uint64_t count)
{
    struct stat facts;
    while (count--)
        if (fstat(state->fd, &facts))
            micro_die("fstat: %s", strerror(errno));
}

static void run_access(struct micro_state *state, uint64_t count)
{
    while (count--)
        if (access(state->path, R_OK))
            micro_die("access %s: %s", state->path, strerror(errno));
}

static void run_open_close(struct micro_state *state, uint64_t count)
{
    while (count--) {
        int fd = open(state->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            micro_die("open %s: %s", state->path, strerror(errno));
        close(fd);
    }
}

static void use_missing(struct micro_state *state)
{
    micro_join(state->path, state->data, "missing");
}

static void run_open_enoent(struct micro_state *state, uint64_t count)
{
    while (count--)
        if (open(state->path, O_RDONLY | O_CLOEXEC) != -1 || errno != ENOENT)
            micro_die("open %s: expected ENOENT", state->path);
}

static void open_many(struct micro_state *state)
{
    micro_join(state->path, state->data, "many");
    open_path(state, O_RDONLY | O_DIRECTORY);
    need_buffer(state, DIRENT_BUFFER);
}

static void list_once(struct micro_state *state)
{
    if (lseek(state->fd, 0, SEEK_SET))
        micro_die("lseek: %s", strerror(errno));
    long total = 0;
    long got;
    while ((got = syscall(SYS_getdents64, state->fd, state->buffer, DIRENT_BUFFER)) > 0)
        total += got;
    if (got < 0 || total < MANY_ENTRIES * 24)
        micro_die("getdents64 of %s is short", state->path);
}

static void run_getdents(struct micro_state *state, uint64_t count)
{
    while (count--)
        list_once(state);
}

/* One page is touched, as a program that asks for memory would. */
static void run_mmap(struct micro_state *state, uint64_t count)
{
    (void)state;
    while (count--) {
        char *area =
            mmap(NULL, MAP_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED)
            micro_die("mmap: %s", strerror(errno));
        *(volatile char *)area = 1;
        munmap(area, MAP_SIZE);
    }
}

static void name_scratch(struct micro_state *state)
{
    char name[64];
    snprintf(name, sizeof(name), "scratch-%ld", (long)getpid());
    micro_join(state->path, state->work, name);
}

static void run_mkdir(struct micro_state *state, uint64_t count)
{
    while (count--)
        if (mkdir(state->path, 0755) || rmdir(state->path))
            micro_die("mkdir, rmdir %s: %s", state->path, strerror(errno));
}

static void open_scratch(struct micro_state *state)
{
    name_scratch(state);
    open_path(state, O_RDWR | O_CREAT | O_TRUNC);
    need_buffer(state, BLOCK);
    if (ftruncate(state->fd, WRITE_AREA))
        micro_die("%s: %s", state->path, strerror(errno));
}

static void remove_scratch(struct micro_state *state)
{
    close_file(state);
    unlink(state->path);
}

static void run_write_4k(struct micro_state *state, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        off_t where = (off_t)(i * BLOCK % WRITE_AREA);
        if (pwrite(state->fd, state->buffer, BLOCK, where) != BLOCK)
            micro_die("pwrite: %s", strerror(errno));
    }
}

const struct micro micro_files[] = {
    {"getppid", "a call that does nothing", no_set_up, run_getppid, no_set_up},
    {"pread-64", "pread 64 B of a cached file", open_file, run_pread_64, close_file},
    {"pread-1k", "pread 1 KiB of a cached file", open_file, run_pread_1k, close_file},
    {"pread-4k", "pread 4 KiB of a cached file", open_file, run_pread_4k, close_file},
    {"stat", "stat of a path", use_file, run_stat, no_set_up},
    {"fstat", "fstat of a descriptor", open_file, run_fstat, close_file},
    {"access", "access of a path", use_file, run_access, no_set_up},
    {"open-close", "open read-only and close", use_file, run_open_close, no_set_up},
    {"open-enoent", "open of a name that is not there", use_missing, run_open_enoent, no_set_up},
    {"getdents-200", "rewind and list 200 entries", open_many, run_getdents, close_file},
    {"mmap", "mmap, touch a page, munmap", no_set_up, run_mmap, no_set_up},
    {"mkdir-rmdir", "mkdir and rmdir", name_scratch, run_mkdir, no_set_up},
    {"write-4k", "pwrite 4 KiB into a file", open_scratch, run_write_4k, remove_scratch},
    {NULL, NULL, NULL, NULL, NULL},
};

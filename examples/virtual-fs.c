/*
 * A file system that does not exist: the paths below /virtual are answered by this program.
 *
 *     cc virtual-fs.c -o virtual-fs $(pkg-config --cflags --libs cerebro)
 *     ./virtual-fs ls -l /virtual
 *     ./virtual-fs cat /virtual/hello
 *
 * Every file is a memfd with its path as name. Who opens it gets a description of its own of the
 * same file, so that reading, seeking and mapping are native, and a descriptor that comes back in
 * fstat or getdents64 tells its path; close, dup and fork need not be seen.
 *
 * What is not there, to keep the file system at some 60 lines: writing, paths relative to /virtual
 * (chdir fails), a listing of / that shows it, extended attributes (of any file), and the calls
 * that newer C libraries do not make (stat, open). statx is answered with ENOSYS, upon which they
 * ask with newfstatat.
 */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerebro/process_kernel.h>

#define COUNT    3
#define NOT_OURS (-1)

/* ---- the file system ---- */

static const char *const paths[COUNT] = {"/virtual", "/virtual/hello", "/virtual/answer"};
static const char *const contents[COUNT] = {"", "Hello from nowhere.\n", "42\n"};
static int memfds[COUNT];

/* The file of a path, or, where the path is "" or none (NULL), of the descriptor in argument 0. */
static int find(struct pk_call *call, const char *path)
{
    char link[64], target[256] = "";

    if (path == NULL || *path == '\0') {
        snprintf(link, sizeof(link), "/proc/%d/fd/%d", pk_call_pid(call),
                 (int)pk_call_arg(call, 0));
        readlink(link, target, sizeof(target) - 1);
        if (strncmp(target, "/memfd:", 7) != 0 || strrchr(target, ' ') == NULL)
            return NOT_OURS;
        *strrchr(target, ' ') = '\0'; /* "/memfd:/virtual/hello (deleted)" */
        path = target + 7;
    }
    for (int n = 0; n < COUNT; n++)
        if (strcmp(path, paths[n]) == 0 || (n == 0 && strcmp(path, "/virtual/") == 0))
            return n;
    return strncmp(path, "/virtual/", 9) == 0 ? COUNT : NOT_OURS;
}

static long give_file(struct pk_call *call, int n)
{
    int flags = (int)pk_call_arg(call, 2);
    char link[64];
    long result;
    int fd;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", memfds[n]);
    fd = (flags & O_ACCMODE) == O_RDONLY ? open(link, O_RDONLY | O_CLOEXEC) : -1;
    result = fd < 0 ? -EROFS : pk_call_return_fd(call, fd, flags & O_CLOEXEC);
    close(fd);
    return result;
}

static long give_stat(struct pk_call *call, int n)
{
    struct stat now;

    fstat(memfds[n], &now);
    now.st_mode = n ? S_IFREG | 0444 : S_IFDIR | 0555;
    now.st_nlink = 1;
    return pk_call_write(call, pk_call_arg(call, 2), &now, sizeof(now));
}

/* The entries are what is in the directory's memfd, and how far it has been listed its offset. */
static long list(struct pk_call *call, int n)
{
    int pidfd = (int)syscall(SYS_pidfd_open, pk_call_pid(call), 0);
    int fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)pk_call_arg(call, 0), 0);
    char bytes[1024];
    ssize_t used = n || pk_call_arg(call, 2) < sizeof(bytes) ? -1 : read(fd, bytes, sizeof(bytes));

    close(fd);
    close(pidfd);
    if (used < 0)
        return n ? -ENOTDIR : -EINVAL;
    return pk_call_write(call, pk_call_arg(call, 1), bytes, (size_t)used) < 0 ? -EFAULT : used;
}

/* What is not ours goes on as if there were no handler: the kernel reads the path itself then. */
static long serve(struct pk_call *call, void *user)
{
    long (*answer)(struct pk_call *, int) = user;
    char path[4096];
    bool has_path = pk_call_nr(call) != SYS_getdents64;
    int n = NOT_OURS;

    if (!has_path || pk_call_read_string(call, pk_call_arg(call, 1), path, sizeof(path)) >= 0)
        n = find(call, has_path ? path : NULL);
    if (n == NOT_OURS)
        return pk_call_forward(call);
    return n == COUNT ? -ENOENT : answer(call, n);
}

/* ---- the program ---- */

/* As getdents64(2) hands them out. */
static ssize_t write_entry(int directory, const char *name)
{
    struct dirent64 entry = {.d_ino = 1, .d_type = DT_REG};

    entry.d_reclen = (offsetof(struct dirent64, d_name) + strlen(name) + 8) & ~7U;
    strncpy(entry.d_name, name, sizeof(entry.d_name) - 1);
    return write(directory, &entry, entry.d_reclen);
}

static int make_files(void)
{
    for (int n = 0; n < COUNT; n++) {
        memfds[n] = memfd_create(paths[n], MFD_CLOEXEC);
        if (memfds[n] < 0 || write(memfds[n], contents[n], strlen(contents[n])) < 0 ||
            (n && write_entry(memfds[0], strrchr(paths[n], '/') + 1) < 0))
            return -errno;
    }
    return 0;
}

static int prepare(process_kernel_t *kernel)
{
    int r = make_files();

    r = r ? r : pk_set_handler(kernel, SYS_openat, serve, (void *)give_file);
    r = r ? r : pk_set_handler(kernel, SYS_newfstatat, serve, (void *)give_stat);
    r = r ? r : pk_set_handler(kernel, SYS_getdents64, serve, (void *)list);
    r = r ? r : pk_deny(kernel, SYS_statx, ENOSYS);
    r = r ? r : pk_deny(kernel, SYS_getxattr, ENOTSUP);
    return r ? r : pk_deny(kernel, SYS_lgetxattr, ENOTSUP);
}

int main(int argc, char **argv)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "virtual-fs");
    int status;

    if (argc < 2 || kernel == NULL) {
        fprintf(stderr, "usage: virtual-fs PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    if (prepare(kernel) < 0 || pk_spawn(kernel, argv + 1) < 0 || pk_wait(kernel, &status) < 0) {
        fprintf(stderr, "virtual-fs: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
        return 125;
    }
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * A file system that does not exist: the paths below /virtual are answered by this program.
 *
 *     cc virtual-fs.c -o virtual-fs $(pkg-config --cflags --libs cerebro)
 *     ./virtual-fs ls -l /virtual
 *     ./virtual-fs cat /virtual/hello
 *
 * Every file is a memfd. Who opens it gets a description of its own of the same file, so that
 * reading, seeking and mapping are native, and a descriptor that comes back in fstat or getdents64
 * is known by its inode; close, dup and fork need not be seen. How far a directory has been listed
 * is the file offset of its (empty) memfd.
 *
 * What is not there, to keep it short: writing, paths
 * relative to /virtual (chdir fails), and the directory does not show up in a listing of /.
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

#define COUNT     3
#define NOT_OURS  (-1)
#define NOT_THERE COUNT

static const char *const names[COUNT] = {"", "hello", "answer"}; /* 0 is the directory */
static const char *const contents[COUNT] = {"", "Hello from nowhere.\n", "42\n"};
static struct stat attributes[COUNT];
static int memfds[COUNT];

static int find_path(const char *path)
{
    if (strncmp(path, "/virtual", 8) != 0 || (path[8] != '/' && path[8] != '\0'))
        return NOT_OURS;
    for (int n = 0; n < COUNT; n++)
        if (strcmp(path + 8 + strspn(path + 8, "/"), names[n]) == 0)
            return n;
    return NOT_THERE;
}

static int find_fd(struct pk_call *call)
{
    char link[64];
    struct stat now;

    snprintf(link, sizeof(link), "/proc/%d/fd/%d", pk_call_pid(call), (int)pk_call_arg(call, 0));
    for (int n = 0; stat(link, &now) == 0 && n < COUNT; n++)
        if (now.st_ino == attributes[n].st_ino && now.st_dev == attributes[n].st_dev)
            return n;
    return NOT_OURS;
}

static long give_file(struct pk_call *call, int n)
{
    int flags = (int)pk_call_arg(call, pk_call_nr(call) == SYS_openat ? 2 : 1);
    char link[64];
    long result;
    int fd;

    if ((flags & O_ACCMODE) != O_RDONLY)
        return -EROFS;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", memfds[n]);
    fd = open(link, O_RDONLY | O_CLOEXEC);
    result = pk_call_return_fd(call, fd, flags & O_CLOEXEC);
    close(fd);
    return result;
}

static long give_stat(struct pk_call *call, int n)
{
    return pk_call_write(call, pk_call_arg(call, pk_call_nr(call) == SYS_newfstatat ? 2 : 1),
                         &attributes[n], sizeof(attributes[n]));
}

static long give_statx(struct pk_call *call, int n)
{
    struct statx now;

    if (statx(memfds[n], "", AT_EMPTY_PATH, STATX_BASIC_STATS, &now) < 0)
        return -errno;
    now.stx_mode = (uint16_t)attributes[n].st_mode;
    now.stx_nlink = 1;
    return pk_call_write(call, pk_call_arg(call, 4), &now, sizeof(now));
}

static long list(struct pk_call *call, int n)
{
    char bytes[1024] = {0};
    size_t used = 0;
    int pidfd, fd;

    if (n || pk_call_arg(call, 2) < sizeof(bytes))
        return n ? -ENOTDIR : -EINVAL;
    pidfd = (int)syscall(SYS_pidfd_open, pk_call_pid(call), 0);
    fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)pk_call_arg(call, 0), 0);
    for (int i = 1; fd >= 0 && lseek(fd, 0, SEEK_CUR) == 0 && i < COUNT; i++) {
        struct dirent64 *entry = (struct dirent64 *)(bytes + used);

        entry->d_ino = attributes[i].st_ino;
        entry->d_type = DT_REG;
        entry->d_reclen = (offsetof(struct dirent64, d_name) + strlen(names[i]) + 8) & ~7U;
        strncpy(entry->d_name, names[i], sizeof(entry->d_name) - 1);
        used += entry->d_reclen;
    }
    lseek(fd, 1, SEEK_SET);
    close(fd);
    close(pidfd);
    return pk_call_write(call, pk_call_arg(call, 1), bytes, used) < 0 ? -EFAULT : (long)used;
}

static long no_attributes(struct pk_call *call, int n)
{
    (void)call, (void)n;
    return -ENOTSUP;
}

static const struct served {
    int nr, path; /* `path`: its argument, -1: there is a descriptor only */
    long (*serve)(struct pk_call *call, int n);
} served[] = {
    {SYS_open, 0, give_file},         {SYS_openat, 1, give_file},
    {SYS_stat, 0, give_stat},         {SYS_lstat, 0, give_stat},
    {SYS_newfstatat, 1, give_stat},   {SYS_fstat, -1, give_stat},
    {SYS_statx, 1, give_statx},       {SYS_getdents64, -1, list},
    {SYS_getxattr, 0, no_attributes}, {SYS_lgetxattr, 0, no_attributes},
};

/* What is not ours goes on as if there were no handler: the kernel reads the path itself then. */
static long serve(struct pk_call *call, void *user)
{
    const struct served *how = user;
    char path[4096] = "";
    int n;

    if (how->path >= 0 &&
        pk_call_read_string(call, pk_call_arg(call, (unsigned)how->path), path, sizeof(path)) < 0)
        return pk_call_forward(call);
    n = *path ? find_path(path) : find_fd(call);
    if (n == NOT_OURS)
        return pk_call_forward(call);
    return n == NOT_THERE ? -ENOENT : how->serve(call, n);
}

static int complain(void)
{
    fprintf(stderr, "virtual-fs: %s\n  try: %s\n", pk_last_error(), pk_last_hint());
    return 125;
}

static int make_files(void)
{
    for (int n = 0; n < COUNT; n++) {
        memfds[n] = memfd_create(n ? names[n] : "virtual", MFD_CLOEXEC);
        if (memfds[n] < 0 || write(memfds[n], contents[n], strlen(contents[n])) < 0 ||
            fstat(memfds[n], &attributes[n]) < 0)
            return -1;
        attributes[n].st_mode = n ? S_IFREG | 0444 : S_IFDIR | 0555;
        attributes[n].st_nlink = 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    process_kernel_t *kernel = pk_create(PK_TYPE_CUSTOM, "virtual-fs");
    int status;

    if (argc < 2 || kernel == NULL || make_files() < 0) {
        fprintf(stderr, "usage: virtual-fs PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++)
        if (pk_set_handler(kernel, served[i].nr, serve, (void *)&served[i]) < 0)
            return complain();
    if (pk_spawn(kernel, argv + 1) < 0 || pk_wait(kernel, &status) < 0)
        return complain();
    pk_destroy(kernel);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

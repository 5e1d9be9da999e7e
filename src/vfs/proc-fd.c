/* fd/ and fdinfo/ of a process: a look through the host's directory, with guest names. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vfs/proc-internal.h"
#include "vfs/watch.h"

static bool parse_number(const char *name, int *ret_number)
{
    uint64_t value;

    if (name[0] == '0' && name[1] != '\0')
        return false;
    if (io_parse_u64(name, INT_MAX - 1, &value) < 0)
        return false;
    *ret_number = (int)value;
    return true;
}

/* The child of a directory line that stands for each descriptor. */
static struct pseudo_item *descriptor_item(const struct pseudo_node *directory)
{
    return pseudo_item_find(directory->item, "<fd>", strlen("<fd>"));
}

static int fd_lookup(const struct pseudo_access *access, const char *name,
                     struct pseudo_node **ret_node)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    struct pseudo_node *node;
    struct stat stat;
    char path[32];
    int number, r;

    if (!parse_number(name, &number))
        return -ENOENT;
    r = proc_task_open(access->fs, access->node, &task);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "fd/%d", number);
    if (fstatat(task.dir, path, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == EACCES ? -EACCES : -ENOENT;
    node = pseudo_node_new(access->fs, descriptor_item(access->node), access->node);
    if (node == NULL)
        return -ENOMEM;
    node->number = number;
    if (S_ISLNK(node->mode))
        node->mode = stat.st_mode; /* its permissions show how it was opened */
    *ret_node = node;
    return 0;
}

static int fd_list(const struct pseudo_access *access, struct pseudo_listing *listing)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_dir DIR *dir = NULL;
    const struct pseudo_item *item = descriptor_item(access->node);
    struct dirent *entry;
    int fd, number, r = proc_task_open(access->fs, access->node, &task);

    if (r < 0)
        return r;
    fd = openat(task.dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        r = -errno;
        base_close(fd);
        return r;
    }
    while ((entry = readdir(dir))) {
        if (!parse_number(entry->d_name, &number))
            continue;
        if (!pseudo_list(listing, entry->d_name,
                         pseudo_inode(item, access->node->pid, access->node->tid, number),
                         item->entry->mode))
            break;
    }
    return 0;
}

const struct pseudo_directory proc_fd_directory = {fd_lookup, fd_list};
const struct pseudo_directory proc_fdinfo_directory = {fd_lookup, fd_list};

/* How a descriptor was opened; O_PATH when that cannot be known. */
static int access_of(const struct proc_task *task, int number)
{
    cleanup_strbuf struct strbuf text = {0};
    const char *flags;
    char name[32];

    snprintf(name, sizeof(name), "fdinfo/%d", number);
    if (io_read_file(task->dir, name, 4096, &text) < 0)
        return O_PATH;
    flags = strstr(strbuf_text(&text), "flags:");
    return flags ? (int)strtoul(flags + 6, NULL, 8) & (O_ACCMODE | O_PATH) : O_PATH;
}

static bool may_open(mode_t mode)
{
    return S_ISREG(mode) || S_ISFIFO(mode) || S_ISCHR(mode);
}

/*
 * Where nobody may take descriptors (containers): a file opened anew, with no more rights than the
 * guest's own descriptor has; of all else the object alone.
 */
static int reopen(const struct proc_task *task, int number)
{
    cleanup_close int fd = -1;
    struct stat stat;
    char name[32];
    int file;

    snprintf(name, sizeof(name), "fd/%d", number);
    fd = openat(task->dir, name, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &stat) < 0 || !may_open(stat.st_mode))
        return take_fd(&fd);
    file = openat(task->dir, name, access_of(task, number) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return file < 0 ? take_fd(&fd) : file;
}

/*
 * Duplicates a descriptor of a process. `dir` pins the task: when the number had been reused, the
 * file would not be found there, so the look comes after the duplication.
 */
static int duplicate(struct pk_kernel *kernel, const struct proc_task *task, int number)
{
    struct pk_task *found = pk_task_find(kernel, task->tid);
    cleanup_close int fd = -1;
    int pidfd;

    for (int attempt = 0; found && fd < 0 && attempt < 2; attempt++) {
        pidfd = pk_process_pidfd(found->process);
        if (pidfd < 0)
            return -ENOENT;
        fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (fd < 0 && errno == ESRCH)
            pk_process_forget_pidfd(found->process);
        else if (fd < 0 && (errno == EPERM || errno == ENOSYS))
            return reopen(task, number);
        else if (fd < 0)
            return errno == EBADF ? -ENOENT : -errno;
    }
    if (fd < 0 || faccessat(task->dir, "stat", F_OK, 0) < 0)
        return -ENOENT;
    return take_fd(&fd);
}

static int duplicate_of_node(const struct pseudo_access *access)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    int r = proc_task_open(access->fs, access->node, &task);

    return r < 0 ? r : duplicate(pseudo_kernel(access), &task, access->node->number);
}

int proc_fd_text(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_close int fd = duplicate_of_node(access);
    char text[PATH_MAX + 32];
    ssize_t n;

    if (fd < 0)
        return fd;
    n = vfs_describe_fd(access->fs->fs.vfs, fd, text, sizeof(text));
    if (n < 0)
        return (int)n;
    strbuf_add(ret_text, text, (size_t)n);
    return strbuf_status(ret_text);
}

int proc_fd_follow(const struct pseudo_access *access, struct vfs_place **ret_place)
{
    cleanup_close int fd = duplicate_of_node(access);

    return fd < 0 ? fd : vfs_place_of_fd(access->fs->fs.vfs, fd, ret_place);
}

/* The host numbers its own mounts: a file of the guest's tree gets the guest's number. */
static void add_mount_id(const struct pseudo_access *access, const char *host_line,
                         struct strbuf *text)
{
    cleanup_strbuf struct strbuf path = {0};
    int id = -1;

    if (proc_fd_text(access, &path) >= 0 && strbuf_text(&path)[0] == '/')
        id = proc_mount_id(access->fs->fs.vfs, strbuf_text(&path));
    if (id >= 0)
        strbuf_addf(text, "mnt_id:\t%d\n", id);
    else
        strbuf_addf(text, "%s\n", host_line);
}

/* What stands for an O_PATH descriptor shows the flags of one; O_CLOEXEC is the descriptor's own.
 */
static void add_flags(const struct pseudo_access *access, const char *host_line,
                      struct strbuf *text)
{
    cleanup_close int fd = duplicate_of_node(access);
    unsigned long host = strtoul(host_line + strlen("flags:"), NULL, 8);
    int flags = fd < 0 ? 0 : vfs_path_only_flags(access->fs->fs.vfs, fd);

    if (flags)
        strbuf_addf(text, "flags:\t0%lo\n", (unsigned long)flags | (host & O_CLOEXEC));
    else
        strbuf_addf(text, "%s\n", host_line);
}

int proc_fdinfo(const struct pseudo_access *access, struct strbuf *ret_text)
{
    cleanup_proc_task struct proc_task task = PROC_TASK_NONE;
    cleanup_strbuf struct strbuf host = {0};
    const struct vfs_watcher *watcher;
    cleanup_close int fd = -1;
    char name[32], *rest, *line;
    int r = proc_task_open(access->fs, access->node, &task);

    snprintf(name, sizeof(name), "fdinfo/%d", access->node->number);
    if (r >= 0)
        r = proc_task_text(&task, name, &host);
    if (r < 0)
        return r;
    fd = duplicate_of_node(access);
    watcher = fd < 0 ? NULL : vfs_watcher_of_fd(access->fs->fs.vfs, fd);
    rest = host.data;
    while ((line = strsep(&rest, "\n")) && *line) {
        if (strncmp(line, "mnt_id:", 7) == 0)
            add_mount_id(access, line, ret_text);
        else if (strncmp(line, "flags:", 6) == 0)
            add_flags(access, line, ret_text);
        else if (watcher)
            vfs_watcher_describe(watcher, line, ret_text);
        else
            strbuf_addf(ret_text, "%s\n", line);
    }
    return strbuf_status(ret_text);
}

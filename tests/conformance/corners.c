/* Corners: protected links, O_DIRECT, descriptors of links, renames by descriptor, deleted
 * directories, unreachable ones. */
#define FAMILY "corners"
#include "conform.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

static long setting(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
    return exists(path) ? strtol(slurp(path), NULL, 10) : 0;
}

/* A directory like /tmp, with things of root in it. */
static void like_tmp(void)
{
    as_root();
    ok(mkdir("t", 0777));
    ok(chmod("t", 01777));
}

CHECK(protected_hard_links, "proc(5) protected_hardlinks: EPERM for what one may not write")
{
    as_root();
    if (setting("protected_hardlinks") != 1)
        skip("not protected here");
    file("f", "");
    ok(mkdir("d", 0777));
    ok(chmod("d", 0777));
    IN_CHILD
    {
        as_user();
        fails(link("f", "d/g"), EPERM);
    }
}

CHECK(protected_set_id_links, "proc(5) protected_hardlinks: EPERM for set-user-ID programs")
{
    as_root();
    if (setting("protected_hardlinks") != 1)
        skip("not protected here");
    file("f", "");
    ok(chmod("f", 04777));
    ok(mkdir("d", 0777));
    ok(chmod("d", 0777));
    IN_CHILD
    {
        as_user();
        fails(link("f", "d/g"), EPERM);
    }
}

CHECK(protected_symbolic_links,
      "proc(5) protected_symlinks: EACCES for others' in sticky directories")
{
    like_tmp();
    if (setting("protected_symlinks") != 1)
        skip("not protected here");
    file("f", "");
    ok(symlink("../f", "t/l"));
    ok(lchown("t/l", 1234, 1234));
    ok(chown("t", 0, 0));
    IN_CHILD
    {
        as_user();
        fails(open("t/l", O_RDONLY), EACCES);
        ok(symlink("../f", "t/own"));
        ok(open("t/own", O_RDONLY));
    }
}

CHECK(protected_files, "proc(5) protected_regular: EACCES for O_CREAT on others' files")
{
    like_tmp();
    if (setting("protected_regular") < 1)
        skip("not protected here");
    file("t/f", "");
    ok(chown("t/f", 1234, 1234));
    ok(chmod("t/f", 0666));
    IN_CHILD
    {
        as_user();
        fails(open("t/f", O_WRONLY | O_CREAT, 0666), EACCES);
        ok(open("t/f", O_WRONLY));
    }
}

CHECK(protected_fifos, "proc(5) protected_fifos: EACCES for O_CREAT on others' FIFOs")
{
    like_tmp();
    if (setting("protected_fifos") < 1)
        skip("not protected here");
    ok(mkfifo("t/p", 0666));
    ok(chown("t/p", 1234, 1234));
    ok(chmod("t/p", 0666));
    IN_CHILD
    {
        as_user();
        fails(open("t/p", O_RDWR | O_CREAT, 0666), EACCES);
        ok(open("t/p", O_RDWR));
    }
}

CHECK(direct, "open(2) O_DIRECT")
{
    int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (fd < 0) {
        is(errno, EINVAL);
        skip("no direct access here");
    }
    memset(page, 'x', 4096);
    is(write(fd, page, 4096), 4096);
    is(pread(fd, page, 4096, 0), 4096);
    is(fcntl(fd, F_GETFL) & O_DIRECT, O_DIRECT);
}

CHECK(times_of_link_by_descriptor, "utimensat(2): an O_PATH|O_NOFOLLOW descriptor, AT_EMPTY_PATH")
{
    struct timespec times[2] = {{5, 0}, {6, 0}};
    struct stat status;
    int fd;

    ok(symlink("x", "l"));
    fd = (int)ok(open("l", O_PATH | O_NOFOLLOW));
    ok(utimensat(fd, "", times, AT_EMPTY_PATH));
    ok(lstat("l", &status));
    is(status.st_mtim.tv_sec, 6);
}

CHECK(owner_of_link_by_descriptor, "fchownat(2): an O_PATH|O_NOFOLLOW descriptor")
{
    int fd;

    ok(symlink("x", "l"));
    fd = (int)ok(open("l", O_PATH | O_NOFOLLOW));
    ok(fchownat(fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH));
}

CHECK(link_by_descriptor,
      "linkat(2) AT_EMPTY_PATH: needs a capability, or the opener's ids since Linux 6.10")
{
    int fd;

    file("f", "text");
    fd = (int)ok(open("f", O_RDONLY));
    if (linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH) < 0) {
        is(errno, ENOENT);
        skip("not allowed here");
    }
    is(inode_of("g"), (long long)inode_of("f"));
}

CHECK(rename_between_descriptors, "renameat(2): both directories by descriptor")
{
    int from;
    int to;

    ok(mkdir("a", 0755));
    ok(mkdir("b", 0755));
    file("a/f", "text");
    from = (int)ok(open("a", O_RDONLY));
    to = (int)ok(open("b", O_PATH));
    ok(renameat(from, "f", to, "g"));
    content("b/g", "text");
    ok(rename("b", "c"));
    ok(renameat(to, "g", from, "f"));
    content("a/f", "text");
}

CHECK(below_removed_directory, "unlinkat(2), openat(2), renameat(2) in a removed directory: ENOENT")
{
    int fd;

    ok(mkdir("d", 0755));
    file("f", "");
    fd = (int)ok(open("d", O_RDONLY));
    ok(rmdir("d"));
    fails(unlinkat(fd, "x", 0), ENOENT);
    fails(renameat(AT_FDCWD, "f", fd, "x"), ENOENT);
    fails(linkat(AT_FDCWD, "f", fd, "x", 0), ENOENT);
    fails(symlinkat("x", fd, "y"), ENOENT);
    fails(openat(fd, "x", O_RDONLY), ENOENT);
    fails(mknodat(fd, "x", S_IFREG | 0644, 0), ENOENT);
    ok(openat(fd, ".", O_RDONLY));
}

CHECK(bind_in_removed_directory, "bind(2) in a removed directory: ENOENT")
{
    struct {
        sa_family_t family;
        char path[16];
    } address = {AF_UNIX, "s"};

    ok(mkdir("d", 0755));
    ok(chdir("d"));
    ok(rmdir("../d"));
    fails(bind((int)ok(socket(AF_UNIX, SOCK_STREAM, 0)), (struct sockaddr *)&address,
               sizeof(address)),
          ENOENT);
}

CHECK(outside_of_root, "getcwd(2): (unreachable) outside of the root")
{
    char path[PATH_MAX];

    as_root();
    if (!has_capability(18))
        skip("needs CAP_SYS_CHROOT");
    ok(mkdir("r", 0755));
    ok(chroot("r"));
    ok(syscall(SYS_getcwd, path, sizeof(path)));
    is(strncmp(path, "(unreachable)", 13), 0);
    ok(access("r", F_OK));
}

CHECK(second_chroot_escapes, "chroot(2): the working directory is not changed")
{
    as_root();
    if (!has_capability(18))
        skip("needs CAP_SYS_CHROOT");
    ok(mkdir("r", 0755));
    file("outside", "");
    ok(chroot("r"));
    ok(access("outside", F_OK));
    fails(access("/outside", F_OK), ENOENT);
}

CHECK(root_of_a_child, "chroot(2): inherited, and shown in /proc/PID/root")
{
    char text[PATH_MAX] = "";
    char path[64];
    pid_t pid;
    int ready[2];
    char byte;

    as_root();
    if (!has_capability(18))
        skip("needs CAP_SYS_CHROOT");
    ok(mkdir("r", 0755));
    file("r/f", "inner");
    ok(pipe(ready));
    pid = spawn();
    if (pid == 0) {
        ok(chroot("r"));
        IN_CHILD content("/f", "inner");
        write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    is(read(ready[0], &byte, 1), 1);
    snprintf(path, sizeof(path), "/proc/%d/root", pid);
    if (readlink(path, text, sizeof(text) - 1) < 0)
        is(errno, EACCES); /* without CAP_SYS_PTRACE a change of root is a protection */
    else
        same(strrchr(text, '/'), "/r");
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
}

CHECK(write_through_hard_link_of_removed, "unlink(2), link(2): the other name has it all")
{
    int fd;

    file("a", "one");
    ok(link("a", "b"));
    fd = (int)ok(open("a", O_WRONLY | O_APPEND));
    ok(unlink("a"));
    is(write(fd, "two", 3), 3);
    content("b", "onetwo");
    is(links_of("b"), 1);
}

CHECK(same_name_again, "unlink(2), open(2): a new file has a new inode while the old is open")
{
    struct stat old;
    struct stat new;
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));

    ok(unlink("f"));
    file("f", "new");
    ok(fstat(fd, &old));
    ok(stat("f", &new));
    must(old.st_ino != new.st_ino);
    is(old.st_nlink, 0);
    is(old.st_size, 0);
}

CHECK(directory_over_directory_in_use,
      "rename(2): a replaced directory that is somebody's working directory")
{
    char path[PATH_MAX];

    ok(mkdir("a", 0755));
    ok(mkdir("b", 0755));
    ok(chdir("b"));
    ok(rename("../a", "../b"));
    fails(syscall(SYS_getcwd, path, sizeof(path)), ENOENT);
    is(links_of(".") == 0 || links_of(".") == 1, 1);
    ok(chdir("../b"));
    ok(syscall(SYS_getcwd, path, sizeof(path)));
}

CHECK(mode_of_link_in_place, "chmod(2): what a hard link in another directory shows")
{
    ok(mkdir("d", 0755));
    file("f", "");
    ok(link("f", "d/f"));
    ok(chmod("d/f", 0600));
    is(mode_of("f"), 0600);
    ok(truncate("f", 7));
    is(size_of("d/f"), 7);
}

CHECK(flags_of_path_descriptor, "fcntl(2) F_GETFL of O_PATH; F_SETFL EBADF; F_DUPFD")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_PATH | O_CLOEXEC));
    fails(fcntl(fd, F_SETFL, O_APPEND), EBADF);
    is(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ok(fcntl(fd, F_SETFD, 0));
    is(fcntl(fd, F_GETFD), 0);
    fails(ioctl(fd, FIONREAD, &(int){0}), EBADF);
}

CHECK(reopened_path_descriptor, "proc(5): an O_PATH descriptor opened by /proc/self/fd")
{
    char path[64];
    int fd;

    as_user();
    file("f", "text");
    fd = (int)ok(open("f", O_PATH));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    content(path, "text");
    ok(unlink("f"));
    content(path, "text");
    ok(fchmodat(AT_FDCWD, path, 0, 0));
    fails(open(path, O_RDONLY), EACCES);
}

CHECK(truncate_by_open_of_hard_link, "open(2) O_TRUNC through a symbolic link to a hard link")
{
    file("f", "text");
    ok(link("f", "g"));
    ok(symlink("g", "l"));
    ok(open("l", O_WRONLY | O_TRUNC));
    is(size_of("f"), 0);
}

CHECK(exclusive_through_directory_link, "open(2) O_EXCL: links in the prefix are followed")
{
    ok(mkdir("d", 0755));
    ok(symlink("d", "l"));
    ok(open("l/f", O_WRONLY | O_CREAT | O_EXCL, 0644));
    must(exists("d/f"));
    ok(mkdir("l/e", 0755));
    ok(rename("l/e", "l/g"));
    ok(rmdir("d/g"));
}

CHECK(removed_below_link, "rmdir(2), unlink(2) below a link to a directory")
{
    ok(mkdir("d", 0755));
    ok(mkdir("d/e", 0755));
    file("d/f", "");
    ok(symlink("d", "l"));
    ok(unlink("l/f"));
    ok(rmdir("l/e"));
    is(count_names("d"), 0);
}

CHECK(blocks_are_counted, "stat(2) st_blocks: what was written takes room")
{
    static char block[1 << 16];
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));
    struct stat status;

    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 16; i++)
        is(write(fd, block, sizeof(block)), (long)sizeof(block));
    ok(fsync(fd));
    ok(fstat(fd, &status));
    must(status.st_blocks * 512 >= 1 << 20);
}

CHECK(sparse_blocks, "stat(2) st_blocks: a hole takes no room")
{
    struct stat status;
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));

    ok(ftruncate(fd, 64 << 20));
    ok(fstat(fd, &status));
    must(status.st_blocks < 1000);
    is(pwrite(fd, "x", 1, 32 << 20), 1);
    is(lseek(fd, 0, SEEK_DATA) <= 32 << 20, 1);
    must(ok(lseek(fd, 0, SEEK_DATA)) > 0);
}

CHECK(set_id_kept_for_owner_group_change, "chmod(2) after chown(2): bits come back")
{
    file("f", "");
    ok(chown("f", geteuid(), getegid()));
    ok(chmod("f", 04755));
    is(mode_of("f"), 04755);
    ok(rename("f", "g"));
    is(mode_of("g"), 04755);
    ok(link("g", "h"));
    is(mode_of("h"), 04755);
}

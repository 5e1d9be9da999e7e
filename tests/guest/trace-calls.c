/*
 * Makes calls that are served, with as many kinds of arguments as there are, between two marks. A
 * test compares what strace shows of them natively with the trace of a process kernel. The current
 * directory is empty and writable. What the calls answer does not matter, but must be the same.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

static void files(void)
{
    struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600, .resolve = RESOLVE_NO_SYMLINKS};
    struct statx statx_room;
    struct stat stat_room;
    struct statfs fs;
    char text[256];
    int fd = open("plain", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    (void)!write(fd, "content", 7);
    syscall(SYS_openat, AT_FDCWD, "plain", O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC);
    syscall(SYS_openat, AT_FDCWD, "no\tsuch \"file\"\n\1\0019\303\244",
            O_WRONLY | O_APPEND | O_TRUNC);
    syscall(SYS_openat, -1, "x", O_PATH | O_NOFOLLOW);
    syscall(SYS_openat2, AT_FDCWD, "other", &how, sizeof(how));
    syscall(SYS_stat, "plain", &stat_room);
    syscall(SYS_lstat, "missing", &stat_room);
    syscall(SYS_newfstatat, AT_FDCWD, "/dev/null", &stat_room, AT_SYMLINK_NOFOLLOW);
    syscall(SYS_newfstatat, AT_FDCWD, ".", &stat_room, 0);
    syscall(SYS_stat, NULL, &stat_room);
    syscall(SYS_stat, (char *)8, &stat_room);
    statx(AT_FDCWD, "missing", AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS,
          &statx_room);
    syscall(SYS_statfs, "missing", &fs);
    syscall(SYS_access, "plain", R_OK | W_OK);
    syscall(SYS_faccessat, AT_FDCWD, "plain", F_OK);
    syscall(SYS_mkdir, "dir", 0755);
    syscall(SYS_rename, "other", "dir/other");
    syscall(SYS_renameat2, AT_FDCWD, "plain", AT_FDCWD, "dir/other", 1);
    syscall(SYS_link, "plain", "link");
    syscall(SYS_symlink, "plain", "soft");
    syscall(SYS_readlink, "soft", text, sizeof(text));
    syscall(SYS_symlink, "a long target, longer than the thirty-two bytes that are shown", "long");
    syscall(SYS_readlink, "long", text, sizeof(text));
    syscall(SYS_unlink, "soft");
    syscall(SYS_unlinkat, AT_FDCWD, "dir", AT_REMOVEDIR);
    syscall(SYS_chmod, "plain", 04711);
    syscall(SYS_fchmodat, AT_FDCWD, "plain", 0);
    syscall(SYS_chown, "plain", -1, -1);
    syscall(SYS_fchownat, AT_FDCWD, "link", -1, getegid(), AT_SYMLINK_NOFOLLOW);
    syscall(SYS_truncate, "plain", 3);
    syscall(SYS_mknod, "fifo", S_IFIFO | 0600, 0);
    syscall(SYS_mknodat, AT_FDCWD, "plain", S_IFREG | 0600, 0);
    syscall(SYS_chdir, "missing");
    syscall(SYS_umask, 027);
    syscall(SYS_umask, 022);
    syscall(SYS_rmdir, "plain");
    syscall(SYS_setxattr, "plain", "user.name", "a value\0more", 12, XATTR_CREATE);
    syscall(SYS_getxattr, "plain", "user.none", text, sizeof(text));
    syscall(SYS_lremovexattr, "missing", "user.name");
    syscall(SYS_flistxattr, 77, text, sizeof(text));
    syscall(SYS_getdents64, 77, text, sizeof(text));
    syscall(SYS_creat, "made", 0600);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    while (syscall(SYS_getdents64, fd, text, sizeof(text)) > 0)
        ;
    syscall(SYS_fchdir, fd);
    syscall(SYS_getcwd, text, 3);
}

static void times(void)
{
    struct timespec both[2] = {{1000000000, 5}, {0, UTIME_OMIT}};
    struct timeval old[2] = {{1000000000, 0}, {1100000000, 7}};
    struct utimbuf older = {1000000000, 1200000000};

    syscall(SYS_utimensat, AT_FDCWD, "plain", both, 0);
    both[0].tv_nsec = UTIME_NOW;
    syscall(SYS_utimensat, AT_FDCWD, "missing", both, AT_SYMLINK_NOFOLLOW);
    syscall(SYS_utimensat, AT_FDCWD, "plain", NULL, 0);
    syscall(SYS_utimes, "plain", old);
    syscall(SYS_utime, "plain", &older);
}

static void sockets(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    struct sockaddr_un found;
    socklen_t size = sizeof(found);
    struct ucred peer;
    socklen_t room = sizeof(peer);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    connect(fd, (struct sockaddr *)&name, sizeof(name));
    bind(fd, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 7);
    getsockname(fd, (struct sockaddr *)&found, &size);
    getpeername(fd, (struct sockaddr *)&found, &size);
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &room);
    connect(77, (struct sockaddr *)&name, 1);
    bind(77, NULL, 0);
}

static void processes(void)
{
    char *const words[] = {"missing", "two words", NULL};
    char *const environment[] = {"A=1", "B=2", NULL};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    struct rlimit limit;
    struct utsname host;
    cpu_set_t cpus;
    unsigned one, two, three;
    gid_t groups[1] = {5};

    syscall(SYS_execve, "missing", words, environment);
    syscall(SYS_execveat, AT_FDCWD, "missing", words, NULL, AT_SYMLINK_NOFOLLOW);
    syscall(SYS_kill, getpid(), 0);
    syscall(SYS_tgkill, getpid(), gettid(), SIGURG);
    info.si_pid = getpid();
    info.si_uid = 12;
    info.si_value.sival_int = 5;
    syscall(SYS_rt_sigqueueinfo, getpid(), SIGURG, NULL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGURG, &info);
    syscall(SYS_uname, &host);
    syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 512;
    limit.rlim_max = RLIM_INFINITY;
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, (struct rlimit *)8, NULL);
    syscall(SYS_sched_getaffinity, 0, sizeof(cpus), &cpus);
    syscall(SYS_sched_setaffinity, 0, 8, (cpu_set_t *)8);
    syscall(SYS_capget, &header, NULL);
    syscall(SYS_getresuid, &one, &two, &three);
    syscall(SYS_getgroups, -1, groups);
    syscall(SYS_inotify_add_watch, 77, "plain", IN_MODIFY | IN_ONLYDIR);
    syscall(SYS_inotify_rm_watch, 77, 1);
    syscall(SYS_pidfd_open, -1, 0);
}

int main(void)
{
    syscall(SYS_access, "/mark-begin", F_OK);
    files();
    times();
    sockets();
    processes();
    syscall(SYS_access, "/mark-end", F_OK);
    return 0;
}

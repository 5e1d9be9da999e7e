/*
 * Calls by their numbers: those that the C library makes of others nowadays, and those of which
 * other programs here use one form only. So that each call that is answered has a test.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

/* Newer than the C library's headers: include/uapi/asm-generic/unistd.h */
#define NR_lsm_get_self_attr 459
#define NR_lsm_set_self_attr 460
#define NR_lsm_list_modules  461
#define NR_fchmodat2         452
#define NR_setxattrat        463
#define NR_getxattrat        464
#define NR_listxattrat       465
#define NR_removexattrat     466
#define NR_file_getattr      468
#define NR_file_setattr      469

/* A call that older kernels do not have. */
static long optional(long result)
{
    if (result < 0 && errno == ENOSYS)
        guest_skip("this kernel has no such call");
    return result;
}

/* ---- names ---- */

static void old_forms(void)
{
    struct stat data;
    int fd = (int)OK(syscall(SYS_open, "file", O_CREAT | O_RDWR, 0640));

    OK(syscall(SYS_symlink, "file", "link"));
    OK(syscall(SYS_lstat, "link", &data));
    CHECK(S_ISLNK(data.st_mode));
    OK(syscall(SYS_stat, "link", &data));
    CHECK_EQ(data.st_mode, S_IFREG | 0640);
    OK(syscall(SYS_fstat, fd, &data));
    CHECK_EQ(data.st_uid, geteuid());
    OK(syscall(SYS_faccessat, AT_FDCWD, "link", R_OK));
    FAILS(syscall(SYS_faccessat, AT_FDCWD, "none", R_OK), ENOENT);
    OK(syscall(SYS_mknod, "fifo", S_IFIFO | 0600, 0));
    OK(syscall(SYS_stat, "fifo", &data));
    CHECK(S_ISFIFO(data.st_mode));
    FAILS(syscall(SYS_open, "none", O_RDONLY), ENOENT);
    FAILS(syscall(SYS_stat, 1, &data), EFAULT);
}

static void times(void)
{
    struct utimbuf seconds = {.actime = 1000, .modtime = 2000};
    struct timeval pair[2] = {{3000, 0}, {4000, 0}};
    struct stat data;

    guest_write("file", "x");
    OK(syscall(SYS_utime, "file", &seconds));
    OK(stat("file", &data));
    CHECK_EQ(data.st_atime, 1000);
    CHECK_EQ(data.st_mtime, 2000);
    OK(syscall(SYS_utimes, "file", pair));
    OK(stat("file", &data));
    CHECK_EQ(data.st_mtime, 4000);
    pair[1].tv_sec = 5000;
    OK(syscall(SYS_futimesat, AT_FDCWD, "file", pair));
    OK(stat("file", &data));
    CHECK_EQ(data.st_mtime, 5000);
    pair[1].tv_usec = 1000000;
    FAILS(syscall(SYS_futimesat, AT_FDCWD, "file", pair), EINVAL);
    FAILS(syscall(SYS_utime, "none", NULL), ENOENT);
}

static void modes_of_links(void)
{
    struct stat data;

    guest_write("file", "x");
    OK(symlink("file", "link"));
    OK(optional(syscall(NR_fchmodat2, AT_FDCWD, "link", 0604, 0)));
    OK(stat("file", &data));
    CHECK_EQ(data.st_mode & 0777, 0604);
    FAILS(syscall(NR_fchmodat2, AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    FAILS(syscall(NR_fchmodat2, AT_FDCWD, "link", 0600, 1), EINVAL);
}

static void attributes_of_links(void)
{
    char text[64];
    int fd;

    guest_write("file", "x");
    OK(symlink("file", "link"));
    if (setxattr("file", "user.test", "value", 5, 0) < 0 && errno == EOPNOTSUPP)
        guest_skip("this file system has no extended attributes");
    CHECK_EQ(lgetxattr("file", "user.test", text, sizeof(text)), 5);
    FAILS(lgetxattr("link", "user.test", text, sizeof(text)), ENODATA);
    fd = (int)OK(open("file", O_RDONLY));
    CHECK(OK(flistxattr(fd, text, sizeof(text))) >= 10);
    FAILS(lremovexattr("link", "user.test"), EPERM);
    OK(lremovexattr("file", "user.test"));
    FAILS(lgetxattr("file", "user.test", text, sizeof(text)), ENODATA);
}

/* include/uapi/linux/xattr.h of Linux 6.13 */
struct attribute {
    uint64_t value;
    uint32_t size, flags;
};

static void attributes_at(void)
{
    char text[64] = "value";
    struct attribute attribute = {(uint64_t)(uintptr_t)text, 5, 0};

    guest_write("file", "x");
    if (optional(syscall(NR_setxattrat, AT_FDCWD, "file", 0, "user.at", &attribute,
                         sizeof(attribute))) < 0 &&
        errno == EOPNOTSUPP)
        guest_skip("this file system has no extended attributes");
    attribute.size = sizeof(text);
    memset(text, 0, sizeof(text));
    CHECK_EQ(syscall(NR_getxattrat, AT_FDCWD, "file", 0, "user.at", &attribute, sizeof(attribute)),
             5);
    CHECK_TEXT(text, "value");
    CHECK(OK(syscall(NR_listxattrat, AT_FDCWD, "file", 0, text, sizeof(text))) >= 8);
    OK(syscall(NR_removexattrat, AT_FDCWD, "file", 0, "user.at"));
    FAILS(syscall(NR_removexattrat, AT_FDCWD, "file", 0, "user.at"), ENODATA);
    FAILS(syscall(NR_removexattrat, AT_FDCWD, "file", 1, "user.at"), EINVAL);
}

/* include/uapi/linux/fs.h of Linux 6.17 */
struct file_attributes {
    uint64_t flags;
    uint32_t extent_size, extents, project, cow_size;
};

static void attributes_of_inodes(void)
{
    struct file_attributes attributes;
    long r;

    guest_write("file", "x");
    if (syscall(NR_file_setattr, AT_FDCWD, "file", &attributes, 3, 0) < 0 && errno != ENOSYS)
        CHECK_EQ(errno, EINVAL);
    r = optional(syscall(NR_file_getattr, AT_FDCWD, "file", &attributes, sizeof(attributes), 0));
    if (r < 0 && (errno == EOPNOTSUPP || errno == ENOTTY))
        guest_skip("this file system has no such attributes");
    OK(r);
    FAILS(syscall(NR_file_getattr, AT_FDCWD, "none", &attributes, sizeof(attributes), 0), ENOENT);
    FAILS(syscall(NR_file_getattr, AT_FDCWD, "file", &attributes, 3, 0), EINVAL);
}

struct handle {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
};

static void handles(void)
{
    struct handle first = {.head.handle_bytes = MAX_HANDLE_SZ}, second = first, other = first;
    int mount, again;

    guest_write("file", "x");
    guest_write("other", "x");
    OK(link("file", "second"));
    if (name_to_handle_at(AT_FDCWD, "file", &first.head, &mount, 0) < 0 && errno == EOPNOTSUPP)
        guest_skip("this file system has no handles");
    OK(name_to_handle_at(AT_FDCWD, "second", &second.head, &again, 0));
    OK(name_to_handle_at(AT_FDCWD, "other", &other.head, &again, 0));
    CHECK_EQ(again, mount);
    CHECK_EQ(first.head.handle_bytes, second.head.handle_bytes);
    CHECK_EQ(first.head.handle_type, second.head.handle_type);
    CHECK_EQ(memcmp(first.head.f_handle, second.head.f_handle, first.head.handle_bytes), 0);
    CHECK(memcmp(first.head.f_handle, other.head.f_handle, first.head.handle_bytes) != 0);
    CHECK(strstr(guest_read("/proc/self/mountinfo"), guest_format("%d ", mount)) != NULL);
    first.head.handle_bytes = 0;
    FAILS(name_to_handle_at(AT_FDCWD, "file", &first.head, &mount, 0), EOVERFLOW);
    CHECK(first.head.handle_bytes > 0);
    first.head.handle_bytes = MAX_HANDLE_SZ + 1;
    FAILS(name_to_handle_at(AT_FDCWD, "file", &first.head, &mount, 0), EINVAL);
    FAILS(name_to_handle_at(AT_FDCWD, "", &second.head, &mount, 0), ENOENT);
    FAILS(name_to_handle_at(AT_FDCWD, "file", &second.head, &mount, 0x10000), EINVAL);
    FAILS(name_to_handle_at(AT_FDCWD, "/proc/self/stat", &second.head, &mount, 0), EOPNOTSUPP);
    if (geteuid() != 0)
        FAILS(open_by_handle_at(AT_FDCWD, &second.head, O_RDONLY), EPERM);
}

static void security_modules(void)
{
    uint64_t ids[64];
    uint32_t size = 0;

    FAILS(optional(syscall(NR_lsm_list_modules, ids, &size, 0)), E2BIG);
    CHECK(size >= 8 && size <= sizeof(ids));
    CHECK_EQ(syscall(NR_lsm_list_modules, ids, &size, 0), size / 8);
    CHECK(ids[0] >= 100); /* below are none (LSM_ID_...) */
    FAILS(syscall(NR_lsm_list_modules, ids, &size, 1), EINVAL);
    FAILS(syscall(NR_lsm_list_modules, NULL, &size, 0), EFAULT);
    FAILS(syscall(NR_lsm_get_self_attr, 0, NULL, &size, 0), EINVAL);
    FAILS(syscall(NR_lsm_get_self_attr, 100, NULL, NULL, 0), EINVAL);
    FAILS(syscall(NR_lsm_set_self_attr, 100, ids, 8, 0), EINVAL);
    FAILS(syscall(NR_lsm_set_self_attr, 100, ids, 32, 1), EINVAL);
}

static void advice_and_memory_of_processes(void)
{
    int self = (int)OK(syscall(SYS_pidfd_open, getpid(), 0));
    static char page[4096] __attribute__((aligned(4096)));
    struct iovec part = {page, sizeof(page)};

    if (optional(syscall(SYS_process_madvise, self, &part, 1, MADV_COLD, 0)) < 0)
        CHECK_EQ(errno, EPERM); /* on a host where it needs CAP_SYS_NICE even for oneself */
    FAILS(syscall(SYS_process_madvise, self, &part, 1, 999, 0), EINVAL);
    FAILS(optional(syscall(SYS_process_mrelease, self, 0)), EINVAL); /* it is not dying */
    FAILS(syscall(SYS_process_mrelease, self, 1), EINVAL);
    FAILS(syscall(SYS_process_mrelease, -1, 0), EBADF);
}

static void descriptors_of_a_child(void)
{
    int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0600)), pipes[2], status, got;
    int folder = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
    char byte = 'x', records[1024];
    pid_t child;

    OK(write(fd, "in the file", 11));
    OK(pipe(pipes));
    child = (pid_t)OK(fork());
    if (child == 0) {
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
    }
    got = (int)OK(syscall(SYS_pidfd_open, child, 0));
    close(fd);
    fd = (int)OK(syscall(SYS_pidfd_getfd, got, fd, 0));
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11); /* one open file in both */
    folder = (int)OK(syscall(SYS_pidfd_getfd, got, folder, 0));
    CHECK(OK(syscall(SYS_getdents, folder, records, sizeof(records))) > 0);
    FAILS(syscall(SYS_pidfd_getfd, got, 1000, 0), EBADF);
    FAILS(syscall(SYS_pidfd_getfd, got, fd, 1), EINVAL);
    FAILS(syscall(SYS_pidfd_getfd, fd, 0, 0), EBADF);
    close(pipes[1]);
    OK(waitpid(child, &status, 0));
    CHECK_EQ(status, 0);
    FAILS(syscall(SYS_pidfd_getfd, got, 0, 0), ESRCH);
}

static void file_system_by_device(void)
{
    struct {
        int blocks;
        long inodes;
        char names[16];
    } answer;

    FAILS(syscall(SYS_ustat, 0xfffff, &answer), EINVAL);
    OK(syscall(SYS_inotify_init));
}

/* ---- descriptors that a process kernel serves: a directory in memory, a file of /proc ---- */

static void with_a_directory(void)
{
    int fd = (int)OK(open(".", O_RDONLY | O_DIRECTORY));
    int file = (int)OK(open("file", O_CREAT | O_RDWR, 0600));
    int pipes[2];
    char byte = 'x', records[1024];
    struct iovec part = {&byte, 1};

    OK(pipe(pipes));
    OK(flock(fd, LOCK_EX));
    OK(flock(fd, LOCK_UN));
    OK(fdatasync(fd));
    OK(sync_file_range(fd, 0, 0, 0));
    CHECK(OK(syscall(SYS_getdents, fd, records, sizeof(records))) > 0);
    CHECK_EQ(dup3(fd, 50, O_CLOEXEC), 50);
    FAILS(dup3(fd, fd, 0), EINVAL);
    FAILS(fallocate(fd, 0, 0, 1), EBADF);
    FAILS(copy_file_range(fd, NULL, file, NULL, 1, 0), EISDIR);
    FAILS(sendfile(file, fd, NULL, 1), EINVAL);
    FAILS(splice(fd, NULL, pipes[1], NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
    FAILS(tee(fd, pipes[1], 1, SPLICE_F_NONBLOCK), EINVAL);
    FAILS(vmsplice(fd, &part, 1, 0), EBADF);
}

/* ---- processes ---- */

/* include/uapi/linux/sched/types.h, which fights with the C library */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t utilisation_min, utilisation_max;
};

static void other_processes(void *pid_of_parent)
{
    struct scheduling attributes = {.size = sizeof(attributes)};
    pid_t pid = (pid_t)(intptr_t)pid_of_parent;
    struct sched_param param = {0};
    unsigned long nodes = 1;
    void *page = &nodes, *head;
    size_t length;
    int status;
    siginfo_t info = {.si_signo = 0, .si_code = SI_QUEUE};

    OK(syscall(SYS_sched_setparam, pid, &param));
    OK(syscall(SYS_sched_setattr, pid, &attributes, 0));
    OK(syscall(SYS_ioprio_set, 1, pid, 0));
    OK(syscall(SYS_get_robust_list, pid, &head, &length));
    CHECK_EQ(length, 24);
    if (syscall(SYS_migrate_pages, pid, 8 * sizeof(nodes), &nodes, &nodes) < 0)
        CHECK(errno == ENOSYS || errno == EPERM || errno == EINVAL);
    if (syscall(SYS_move_pages, pid, 1, &page, NULL, &status, 0) < 0)
        CHECK(errno == ENOSYS || errno == EPERM || errno == EACCES);
    OK(syscall(SYS_rt_tgsigqueueinfo, pid, pid, 0, &info));
    info.si_signo = SIGUSR1;
    info.si_code = 0;
    FAILS(syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGUSR1, &info), EPERM);
}

static void calls_on_others(void)
{
    guest_join(guest_fork(other_processes, (void *)(intptr_t)getpid()));
}

static void limits(void)
{
    struct rlimit old, new;

    OK(syscall(SYS_getrlimit, RLIMIT_NOFILE, &old));
    new = old;
    new.rlim_cur = old.rlim_cur - 1;
    OK(syscall(SYS_setrlimit, RLIMIT_NOFILE, &new));
    OK(syscall(SYS_getrlimit, RLIMIT_NOFILE, &old));
    CHECK_EQ(old.rlim_cur, new.rlim_cur);
    FAILS(syscall(SYS_getrlimit, 999, &old), EINVAL);
}

static void identity(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    char name[65] = "";

    OK(syscall(SYS_setregid, (gid_t)-1, getegid()));
    OK(syscall(SYS_capget, &header, data));
    OK(syscall(SYS_capset, &header, data));
    header.pid = getppid();
    FAILS(syscall(SYS_capset, &header, data), EPERM);
    if (geteuid() == 0)
        guest_skip("root may do more");
    FAILS(syscall(SYS_setregid, 0, 0), EPERM);
    FAILS(sethostname(name, 1), EPERM);
    FAILS(syscall(SYS_setdomainname, name, 1), EPERM);
    FAILS(syscall(SYS_mknod, "device", S_IFCHR | 0600, 0x103), EPERM);
}

static void semaphores(void)
{
    struct sembuf up = {.sem_num = 0, .sem_op = 1};
    int id = (int)OK(syscall(SYS_semget, IPC_PRIVATE, 1, 0600));

    OK(syscall(SYS_semop, id, &up, 1));
    CHECK_EQ(semctl(id, 0, GETVAL), 1);
    FAILS(syscall(SYS_semop, id, &up, 0), EINVAL);
    OK(semctl(id, 0, IPC_RMID));
}

static void the_clock(void)
{
    struct timex time = {.modes = 0};

    OK(syscall(SYS_adjtimex, &time));
    CHECK(time.time.tv_sec > 1000000000);
    FAILS(syscall(SYS_adjtimex, 1), EFAULT);
}

static void what_needs_rights(void)
{
    int fd = (int)OK(open("/proc/self/ns/mnt", O_RDONLY | O_PATH | O_NOFOLLOW));

    FAILS(syscall(SYS_setns, -1, 0), EBADF);
    FAILS(syscall(SYS_setns, fd, 0), EBADF);
    FAILS(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
}

static void sockets(void)
{
    int fd = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr address = {.sa_family = AF_UNIX};
    int yes = 1;

    OK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes)));
    OK(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes)));
    if (geteuid() != 0)
        FAILS(setsockopt(fd, SOL_SOCKET, SO_MARK, &yes, sizeof(yes)), EPERM);
    OK(setsockopt((int)OK(socket(AF_INET, SOCK_STREAM, 0)), IPPROTO_TCP, TCP_NODELAY, &yes,
                  sizeof(yes)));
    OK(bind(fd, &address, sizeof(address.sa_family)));
    OK(listen(fd, 1));
    FAILS(listen(1000, 1), EBADF);
}

static const struct guest_case cases[] = {
    {"old-forms", old_forms},
    {"times", times},
    {"modes-of-links", modes_of_links},
    {"attributes-of-links", attributes_of_links},
    {"attributes-at", attributes_at},
    {"attributes-of-inodes", attributes_of_inodes},
    {"handles", handles},
    {"security-modules", security_modules},
    {"advice-and-memory-of-processes", advice_and_memory_of_processes},
    {"descriptors-of-a-child", descriptors_of_a_child},
    {"file-system-by-device", file_system_by_device},
    {"with-a-directory", with_a_directory},
    {"calls-on-others", calls_on_others},
    {"limits", limits},
    {"identity", identity},
    {"semaphores", semaphores},
    {"the-clock", the_clock},
    {"what-needs-rights", what_needs_rights},
    {"sockets", sockets},
};

GUEST_MAIN(cases)

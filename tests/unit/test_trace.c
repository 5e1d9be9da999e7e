/*
 * What a trace shows of calls: the memory that arguments point to is our own. The texts are those
 * of strace 6.1; tests/e2e/test_trace.py compares with the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>
#include <utime.h>

#include "abi/syscalls.h"
#include "base/strbuf.h"
#include "core/faults.h"
#include "core/kernel.h"
#include "trace/trace.h"

#define P(pointer) ((uint64_t)(uintptr_t)(pointer))
#define NOWHERE    8 /* an address at which nothing is */

/* Reading through the kernel gives EFAULT instead of a crash for addresses that are not there. */
static ssize_t port_read(struct pk_request *request, uint64_t address, void *bytes, size_t length)
{
    struct iovec local = {bytes, length};
    struct iovec remote = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    (void)request;
    return n < 0 ? -errno : n;
}

static struct strbuf lines;

static void on_line(void *user, const char *line)
{
    (void)user;
    strbuf_addf(&lines, "%s\n", line);
}

static struct trace_options options = {.line = on_line};
static const struct pk_port_ops port = {.read = port_read};

/* Shows a call with this answer; returns all that was shown. */
static const char *show_with(struct pk_request *request, struct pk_answer answer, int64_t result)
{
    struct pk_process process = {.pid = 4711};
    struct pk_task task = {.tid = 4712, .process = &process};
    struct pk_kernel *kernel = calloc(1, sizeof(*kernel));
    struct pk_tracer tracer;

    strbuf_truncate(&lines, 0);
    trace_tracer(&options, &tracer);
    kernel->tracer = &tracer;
    request->kernel = kernel;
    request->task = &task;
    request->port = &port;
    request->call = abi_syscall_by_nr(request->nr);
    pk_trace_begin(request);
    pk_trace_answered(request, &answer);
    if (request->traced)
        tracer.end(tracer.user, request, &answer, result, 4200);
    assert_null(request->traced);
    free(kernel);
    return strbuf_text(&lines);
}

/* The text up to the decision, which strace does not have, of a call that was served. */
static const char *show(int nr, int64_t result, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                        uint64_t e, uint64_t f)
{
    struct pk_request request = {.nr = nr, .args = {a, b, c, d, e, f}};
    const char *text = show_with(&request, pk_value(result), result);
    char *decision = strstr(text, " <served 4.2 us>\n");

    assert_non_null(decision);
    *decision = '\0';
    assert_true(strncmp(text, "[4712] ", 7) == 0);
    return text + 7;
}

#define SHOWN(text, nr, result, ...) shown(text, nr, result, (uint64_t[6]){__VA_ARGS__})

static void shown(const char *wanted, int nr, int64_t result, const uint64_t args[6])
{
    assert_string_equal(show(nr, result, args[0], args[1], args[2], args[3], args[4], args[5]),
                        wanted);
}

static void strings_and_buffers(void **state)
{
    static const char text[] = "0123456789012345678901234567890123456789";

    (void)state;
    SHOWN("openat(AT_FDCWD, \"/etc/\\\"x\\\"\\n\", O_RDONLY|O_CLOEXEC) = 3", ABI_NR_openat, 3,
          (uint64_t)AT_FDCWD, P("/etc/\"x\"\n"), O_CLOEXEC, 0644);
    SHOWN(
        "openat(5, \"a\\\\\\1\\0013\\19\\303\\244\", O_WRONLY|O_CREAT, 0644) = -1 ENOSPC (No space "
        "left on device)",
        ABI_NR_openat, -ENOSPC, 5, P("a\\\1\0013\0019\303\244"), O_WRONLY | O_CREAT, 0644);
    SHOWN("chdir(0x8) = -1 EFAULT (Bad address)", ABI_NR_chdir, -EFAULT, NOWHERE);
    SHOWN("chdir(NULL) = -1 EFAULT (Bad address)", ABI_NR_chdir, -EFAULT, 0);
    SHOWN("write(1, \"01234567890123456789012345678901\"..., 40) = 40", ABI_NR_write, 40, 1,
          P(text), 40);
    SHOWN("write(1, \"\\0\\1\", 2) = 2", ABI_NR_write, 2, 1, P("\0\1"), 2);
    SHOWN("read(0, \"0123\", 40) = 4", ABI_NR_read, 4, 0, P(text), 40);
    SHOWN("read(0, 0x8, 40) = -1 EIO (Input/output error)", ABI_NR_read, -EIO, 0, NOWHERE, 40);
    SHOWN("getxattr(\"f\", \"user.a\", NULL, 0) = 4", ABI_NR_getxattr, 4, P("f"), P("user.a"), 0,
          0);
    SHOWN("setxattr(\"f\", \"user.a\", \"v\\0\", 2, XATTR_CREATE) = 0", ABI_NR_setxattr, 0, P("f"),
          P("user.a"), P("v\0"), 2, 1);
    SHOWN("getcwd(\"/some/where\", 100) = 12", ABI_NR_getcwd, 12, P("/some/where"), 100);
}

static void files_and_their_attributes(void **state)
{
    struct stat stat = {.st_mode = S_IFREG | 0644, .st_size = 9};
    struct statx statx = {
        .stx_mask = STATX_BASIC_STATS, .stx_mode = S_IFDIR | 0755, .stx_size = 40};
    struct statfs fs = {.f_type = 0x1021994, .f_bsize = 4096, .f_namelen = 255, .f_flags = 0x26};
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDWR | O_CREAT, 0600, 4};
    uint64_t entries[8] = {0};
    int64_t offset = 5;
    int pair[2] = {3, 4};

    (void)state;
    SHOWN("stat(\"f\", {st_mode=S_IFREG|0644, st_size=9, ...}) = 0", ABI_NR_stat, 0, P("f"),
          P(&stat));
    stat.st_mode = S_IFCHR | 0666;
    stat.st_rdev = makedev(1, 3);
    SHOWN("newfstatat(3, \"\", {st_mode=S_IFCHR|0666, st_rdev=makedev(0x1, 0x3), ...}, "
          "AT_EMPTY_PATH) = 0",
          ABI_NR_newfstatat, 0, 3, P(""), P(&stat), AT_EMPTY_PATH);
    SHOWN("statx(AT_FDCWD, \"d\", AT_STATX_SYNC_AS_STAT, STATX_ALL, {stx_mask=STATX_BASIC_STATS, "
          "stx_attributes=0, stx_mode=S_IFDIR|0755, stx_size=40, ...}) = 0",
          ABI_NR_statx, 0, (uint64_t)AT_FDCWD, P("d"), 0, 0xfff, P(&statx));
    SHOWN("statfs(\"/tmp\", {f_type=TMPFS_MAGIC, f_bsize=4096, f_blocks=0, f_bfree=0, f_bavail=0, "
          "f_files=0, f_ffree=0, f_fsid={val=[0, 0]}, f_namelen=255, f_frsize=0, "
          "f_flags=ST_VALID|ST_NOSUID|ST_NODEV}) = 0",
          ABI_NR_statfs, 0, P("/tmp"), P(&fs));
    SHOWN("openat2(AT_FDCWD, \"f\", {flags=O_RDWR|O_CREAT, mode=0600, "
          "resolve=RESOLVE_NO_SYMLINKS}, 24) = 3",
          ABI_NR_openat2, 3, (uint64_t)AT_FDCWD, P("f"), P(&how), 24);
    ((uint16_t *)entries)[8] = 24; /* d_reclen of two records */
    ((uint16_t *)entries)[8 + 12] = 24;
    assert_non_null(strstr(show(ABI_NR_getdents64, 48, 3, P(entries), 64, 0, 0, 0),
                           " /* 2 entries */, 64) = 48"));
    SHOWN("mknod(\"p\", S_IFIFO|0600) = 0", ABI_NR_mknod, 0, P("p"), S_IFIFO | 0600, 0);
    SHOWN("mknod(\"n\", S_IFCHR|0600, makedev(0x1, 0x3)) = 0", ABI_NR_mknod, 0, P("n"),
          S_IFCHR | 0600, makedev(1, 3));
    SHOWN("umask(077) = 022", ABI_NR_umask, 022, 077);
    SHOWN("sendfile(4, 3, [5], 10) = 10", ABI_NR_sendfile, 10, 4, 3, P(&offset), 10);
    SHOWN("pipe2([3, 4], O_CLOEXEC) = 0", ABI_NR_pipe2, 0, P(pair), O_CLOEXEC);
    SHOWN("pipe2(0x8, 0) = -1 EFAULT (Bad address)", ABI_NR_pipe2, -EFAULT, NOWHERE, 0);
}

static void times_and_timers(void **state)
{
    struct timespec times[2] = {{1, 5}, {0, UTIME_OMIT}};
    struct timeval old[2] = {{1, 0}, {2, 7}};
    struct utimbuf older = {3, 4};
    struct itimerval timer = {{1, 2}, {3, 4}};

    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    SHOWN("utimensat(AT_FDCWD, \"f\", [{tv_sec=1, tv_nsec=5} /* "
          "1970-01-01T00:00:01.000000005+0000 */, UTIME_OMIT], 0) = 0",
          ABI_NR_utimensat, 0, (uint64_t)AT_FDCWD, P("f"), P(times), 0);
    SHOWN("utimensat(AT_FDCWD, NULL, NULL, 0) = 0", ABI_NR_utimensat, 0, (uint64_t)AT_FDCWD, 0, 0,
          0);
    SHOWN("utimes(\"f\", [{tv_sec=1, tv_usec=0} /* 1970-01-01T00:00:01+0000 */, {tv_sec=2, "
          "tv_usec=7} /* 1970-01-01T00:00:02.000007+0000 */]) = 0",
          ABI_NR_utimes, 0, P("f"), P(old));
    SHOWN("utime(\"f\", {actime=3 /* 1970-01-01T00:00:03+0000 */, modtime=4 /* "
          "1970-01-01T00:00:04+0000 */}) = 0",
          ABI_NR_utime, 0, P("f"), P(&older));
    SHOWN("nanosleep({tv_sec=1, tv_nsec=5}, 0x8) = 0", ABI_NR_nanosleep, 0, P(times), NOWHERE);
    SHOWN("clock_gettime(CLOCK_MONOTONIC, {tv_sec=1, tv_nsec=5}) = 0", ABI_NR_clock_gettime, 0, 1,
          P(times));
    SHOWN("setitimer(ITIMER_REAL, {it_interval={tv_sec=1, tv_usec=2}, it_value={tv_sec=3, "
          "tv_usec=4}}, NULL) = 0",
          ABI_NR_setitimer, 0, 0, P(&timer), 0);
}

static void addresses_of_sockets(void **state)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    struct sockaddr_nl netlink = {.nl_family = AF_NETLINK, .nl_groups = 1};
    struct ucred peer = {.pid = 7, .uid = (uid_t)-1};
    socklen_t length = sizeof(four);
    int on = 1;

    (void)state;
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    six.sin6_addr = in6addr_loopback;
    SHOWN("connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, "
          "16) = 0",
          ABI_NR_connect, 0, 3, P(&four), sizeof(four));
    SHOWN("bind(3, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
          "inet_pton(AF_INET6, \"::1\", &sin6_addr), sin6_scope_id=0}, 28) = 0",
          ABI_NR_bind, 0, 3, P(&six), sizeof(six));
    SHOWN("connect(3, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 110) = 0", ABI_NR_connect, 0, 3,
          P(&local), sizeof(local));
    memcpy(local.sun_path, "\0name", 5);
    SHOWN("connect(3, {sa_family=AF_UNIX, sun_path=@\"name\"}, 7) = 0", ABI_NR_connect, 0, 3,
          P(&local), 7);
    SHOWN("bind(3, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000001}, 12) = 0", ABI_NR_bind, 0,
          3, P(&netlink), sizeof(netlink));
    SHOWN("getsockname(3, {sa_family=AF_INET, sin_port=htons(80), "
          "sin_addr=inet_addr(\"127.0.0.1\")}, [16]) = 0",
          ABI_NR_getsockname, 0, 3, P(&four), P(&length));
    assert_non_null(strstr(show(ABI_NR_connect, -EINVAL, 3, P(&four), 1, 0, 0, 0), ", 1) = -1 "));
    length = sizeof(peer);
    SHOWN("getsockopt(3, SOL_SOCKET, SO_PEERCRED, {pid=7, uid=-1, gid=0}, [12]) = 0",
          ABI_NR_getsockopt, 0, 3, SOL_SOCKET, SO_PEERCRED, P(&peer), P(&length));
    SHOWN("setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0", ABI_NR_setsockopt, 0, 3, IPPROTO_TCP,
          1, P(&on), sizeof(on));
    SHOWN("socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_UDP) = 4", ABI_NR_socket, 4, AF_INET,
          SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    SHOWN("socket(AF_UNIX, SOCK_STREAM, 0) = 4", ABI_NR_socket, 4, AF_UNIX, SOCK_STREAM, 0);
}

static void messages(void **state)
{
    struct iovec vector[2] = {{(void *)"ab", 2}, {(void *)"cdef", 4}};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
    int fds[2] = {5, 6};

    (void)state;
    SHOWN("writev(1, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"cdef\", iov_len=4}], 2) = 6",
          ABI_NR_writev, 6, 1, P(vector), 2);
    SHOWN("readv(0, [{iov_base=\"ab\", iov_len=2}, {iov_base=\"c\", iov_len=4}], 2) = 3",
          ABI_NR_readv, 3, 0, P(vector), 2);
    SHOWN("sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"ab\", iov_len=2}, "
          "{iov_base=\"cdef\", iov_len=4}], msg_iovlen=2, msg_controllen=0, msg_flags=0}, "
          "MSG_NOSIGNAL) = 6",
          ABI_NR_sendmsg, 6, 3, P(&message), MSG_NOSIGNAL);
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
    message.msg_control = &control;
    message.msg_controllen = control.header.cmsg_len;
    message.msg_iovlen = 1;
    SHOWN("sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"ab\", iov_len=2}], "
          "msg_iovlen=1, msg_control=[{cmsg_len=24, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, "
          "cmsg_data=[5, 6]}], msg_controllen=24, msg_flags=0}, 0) = 2",
          ABI_NR_sendmsg, 2, 3, P(&message), 0);
    control.header.cmsg_len = 9999; /* a lie */
    assert_non_null(strstr(show(ABI_NR_sendmsg, 2, 3, P(&message), 0, 0, 0, 0), "{cmsg_len=9999"));
    message.msg_iovlen = 1UL << 60;
    assert_non_null(strstr(show(ABI_NR_sendmsg, -EINVAL, 3, P(&message), 0, 0, 0, 0), "msg_iov="));
    assert_non_null(strstr(show(ABI_NR_writev, -EINVAL, 3, NOWHERE, UINT64_MAX, 0, 0, 0), "0x8"));
}

static void waiting(void **state)
{
    struct pollfd fds[2] = {{.fd = 3, .events = POLLIN | POLLOUT}, {.fd = -1}};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 5};

    (void)state;
    SHOWN("poll([{fd=3, events=POLLIN|POLLOUT}, {fd=-1}], 2, -1) = 1", ABI_NR_poll, 1, P(fds), 2,
          (uint64_t)-1);
    SHOWN("epoll_ctl(3, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, data={u32=5, u64=5}}) = 0",
          ABI_NR_epoll_ctl, 0, 3, 1, 4, P(&event));
    SHOWN("epoll_wait(3, [{events=EPOLLIN|EPOLLET, data={u32=5, u64=5}}], 8, -1) = 1",
          ABI_NR_epoll_wait, 1, 3, P(&event), 8, (uint64_t)-1);
}

static void programs_and_processes(void **state)
{
    const char *const words[] = {"cat", "a b", NULL};
    uint64_t limits[2] = {1024, RLIM_INFINITY};
    uint64_t more[2] = {4096, 10};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = 1 << 21}, {.permitted = 1}};
    unsigned char cpus[8] = {5};
    gid_t groups[2] = {0, 4};
    unsigned id = 1000;
    int status = 3 << 8;

    (void)state;
    assert_non_null(strstr(show(ABI_NR_execve, -ENOENT, P("/bin/cat"), P(words), P(words), 0, 0, 0),
                           "execve(\"/bin/cat\", [\"cat\", \"a b\"], 0x"));
    assert_non_null(strstr(strbuf_text(&lines), " /* 2 vars */) = -1 ENOENT"));
    SHOWN("prlimit64(0, RLIMIT_NOFILE, {rlim_cur=4*1024, rlim_max=10}, {rlim_cur=1024, "
          "rlim_max=RLIM64_INFINITY}) = 0",
          ABI_NR_prlimit64, 0, 0, RLIMIT_NOFILE, P(more), P(limits));
    SHOWN("capset({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=1<<CAP_SYS_ADMIN, "
          "permitted=1<<CAP_MAC_OVERRIDE, inheritable=0}) = 0",
          ABI_NR_capset, 0, P(&header), P(data));
    SHOWN("sched_getaffinity(0, 8, [0 2]) = 8", ABI_NR_sched_getaffinity, 8, 0, 8, P(cpus));
    SHOWN("getgroups(2, [0, 4]) = 2", ABI_NR_getgroups, 2, 2, P(groups));
    SHOWN("setgroups(1, [0]) = 0", ABI_NR_setgroups, 0, 1, P(groups));
    SHOWN("getresuid([1000], [1000], [1000]) = 0", ABI_NR_getresuid, 0, P(&id), P(&id), P(&id));
    SHOWN("wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 7", ABI_NR_wait4, 7,
          (uint64_t)-1, P(&status), 1, 0);
    status = SIGKILL;
    SHOWN("wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}], 0, NULL) = 7", ABI_NR_wait4, 7,
          (uint64_t)-1, P(&status), 0, 0);
    SHOWN("kill(4711, SIGTERM) = 0", ABI_NR_kill, 0, 4711, SIGTERM);
}

static void signals(void **state)
{
    uint64_t set = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1), most = ~set;
    uint64_t action[4] = {1, SA_RESTART | 0x4000000, 0x1234, set};
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE, .si_pid = 5, .si_uid = 12};
    stack_t stack = {.ss_flags = SS_DISABLE, .ss_size = 8192};

    (void)state;
    SHOWN("rt_sigprocmask(SIG_BLOCK, [INT TERM], NULL, 8) = 0", ABI_NR_rt_sigprocmask, 0, 0,
          P(&set), 0, 8);
    SHOWN("rt_sigprocmask(SIG_SETMASK, ~[INT TERM], NULL, 8) = 0", ABI_NR_rt_sigprocmask, 0, 2,
          P(&most), 0, 8);
    SHOWN("rt_sigaction(SIGINT, {sa_handler=SIG_IGN, sa_mask=[INT TERM], "
          "sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x1234}, NULL, 8) = 0",
          ABI_NR_rt_sigaction, 0, SIGINT, P(action), 0, 8);
    info.si_value.sival_int = 6;
    SHOWN("rt_sigqueueinfo(5, SIGUSR1, {si_signo=SIGUSR1, si_code=SI_QUEUE, si_pid=5, si_uid=12, "
          "si_int=6, si_ptr=0x6}) = 0",
          ABI_NR_rt_sigqueueinfo, 0, 5, SIGUSR1, P(&info));
    SHOWN("sigaltstack({ss_sp=NULL, ss_flags=SS_DISABLE, ss_size=8192}, NULL) = 0",
          ABI_NR_sigaltstack, 0, P(&stack), 0);
}

static void commands(void **state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_len = 10, .l_pid = 9};
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct termios terminal = {.c_iflag = ICRNL | IXON,
                               .c_oflag = OPOST | ONLCR,
                               .c_cflag = B38400 | CS8 | CREAD,
                               .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | IEXTEN | ECHOCTL |
                                          ECHOKE};
    int number = 42;

    (void)state;
    SHOWN("fcntl(3, F_GETFD) = 0x1 (flags FD_CLOEXEC)", ABI_NR_fcntl, 1, 3, F_GETFD);
    SHOWN("fcntl(3, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)", ABI_NR_fcntl, 04002, 3, F_GETFL);
    SHOWN("fcntl(3, F_SETFD, FD_CLOEXEC) = 0", ABI_NR_fcntl, 0, 3, F_SETFD, 1);
    SHOWN("fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK) = 0", ABI_NR_fcntl, 0, 3, F_SETFL, O_NONBLOCK);
    SHOWN("fcntl(3, F_DUPFD_CLOEXEC, 10) = 10", ABI_NR_fcntl, 10, 3, F_DUPFD_CLOEXEC, 10);
    SHOWN("fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=10}) = 0",
          ABI_NR_fcntl, 0, 3, F_SETLK, P(&lock));
    SHOWN("fcntl(3, F_GETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=10, l_pid=9}) = "
          "0",
          ABI_NR_fcntl, 0, 3, F_GETLK, P(&lock));
    SHOWN("ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0",
          ABI_NR_ioctl, 0, 1, TIOCGWINSZ, P(&size));
    SHOWN("ioctl(1, TIOCGWINSZ, 0x8) = -1 ENOTTY (Inappropriate ioctl for device)", ABI_NR_ioctl,
          -ENOTTY, 1, TIOCGWINSZ, NOWHERE);
    SHOWN("ioctl(1, TCGETS, {c_iflag=ICRNL|IXON, "
          "c_oflag=NL0|CR0|TAB0|BS0|VT0|FF0|OPOST|ONLCR, c_cflag=B38400|CS8|CREAD, "
          "c_lflag=ISIG|ICANON|ECHO|ECHOE|ECHOK|IEXTEN|ECHOCTL|ECHOKE, ...}) = 0",
          ABI_NR_ioctl, 0, 1, TCGETS, P(&terminal));
    SHOWN("futex(0x8, FUTEX_WAKE_PRIVATE, 1) = 0", ABI_NR_futex, 0, NOWHERE, 129, 1);
    SHOWN("ioctl(1, FIONREAD, [42]) = 0", ABI_NR_ioctl, 0, 1, FIONREAD, P(&number));
    SHOWN("prctl(PR_SET_NAME, \"worker\") = 0", ABI_NR_prctl, 0, PR_SET_NAME, P("worker"));
    SHOWN("prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) = 1", ABI_NR_prctl, 1, PR_CAPBSET_READ, 21);
    SHOWN("prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) = 0", ABI_NR_prctl, 0, PR_SET_NO_NEW_PRIVS, 1);
    SHOWN("mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3, 0) = 0x7000", ABI_NR_mmap, 0x7000, 0, 4096, 1,
          1, 3, 0);
}

static void decisions(void **state)
{
    struct pk_request request = {.nr = ABI_NR_read, .args = {0, NOWHERE, 5}};
    struct pk_fault fault = {.has_result = true, .result = -EIO, .delay_exit_ns = 1};

    (void)state;
    assert_string_equal(show_with(&request, pk_native(), 0),
                        "[4712] read(0, 0x8, 5) = ? <native 4.2 us>\n");
    request = (struct pk_request){.nr = ABI_NR_openat, .args = {0, P("x")}};
    assert_string_equal(show_with(&request, pk_descriptor(-1, 0), 3),
                        "[4712] openat(0, \"x\", O_RDONLY) = 3 <descriptor 4.2 us>\n");
    request = (struct pk_request){.nr = ABI_NR_rmdir, .args = {P("x")}, .denied = true};
    request.note = strdup("denied: a rule");
    assert_string_equal(show_with(&request, pk_error(-EPERM), -EPERM),
                        "[4712] rmdir(\"x\") = -1 EPERM (Operation not permitted) <denied 4.2 us> "
                        "denied: a rule\n");
    free(request.note);
    request = (struct pk_request){.nr = ABI_NR_rmdir, .args = {P("x")}, .fault = &fault};
    assert_string_equal(show_with(&request, pk_error(-EIO), -EIO),
                        "[4712] rmdir(\"x\") = -1 EIO (Input/output error) (INJECTED) (DELAYED) "
                        "<injected 4.2 us>\n");
    request = (struct pk_request){.nr = 400, .args = {1, 2, 3}};
    assert_string_equal(show_with(&request, pk_error(-ENOSYS), -ENOSYS),
                        "[4712] syscall_0x190(0x1, 0x2, 0x3, 0, 0, 0) = -1 ENOSYS (Function not "
                        "implemented) <served 4.2 us>\n");
}

static void objects(void **state)
{
    struct pk_request request = {.nr = ABI_NR_openat, .args = {(uint64_t)AT_FDCWD, P("a\"b\n")}};
    const char *text;

    (void)state;
    options.json = true;
    request.args[2] = O_CREAT;
    request.args[3] = 0644;
    text = show_with(&request, pk_error(-ENOSPC), -ENOSPC);
    assert_true(strncmp(text, "{\"time\":\"20", 10) == 0 && text[strlen(text) - 2] == '}');
    assert_non_null(strstr(text, "\"pid\":4711,\"tid\":4712,\"nr\":257,\"call\":\"openat\""));
    assert_non_null(strstr(text, "\"args\":{\"dirfd\":\"AT_FDCWD\",\"path\":\"a\\\"b\\u000a\","
                                 "\"flags\":\"O_RDONLY|O_CREAT\",\"mode\":\"0644\"}"));
    assert_non_null(strstr(text, "\"result\":-1,\"error\":\"ENOSPC\",\"decision\":\"served\","
                                 "\"delayed\":false,\"us\":4.200}"));
    request = (struct pk_request){.nr = ABI_NR_read, .args = {5, 0, 3}};
    text = show_with(&request, pk_native(), 0);
    assert_non_null(strstr(text, "\"args\":{\"fd\":5,\"buf\":null,\"count\":3}"));
    assert_non_null(strstr(text, "\"result\":null,\"decision\":\"native\""));
    options.json = false;
}

static bool is_shown(int nr, struct pk_answer answer, const char *path)
{
    struct pk_request request = {.nr = nr, .args = {P(path)}};

    return show_with(&request, answer, answer.value)[0] != '\0';
}

static void what_is_selected(void **state)
{
    (void)state;
    options.statuses = TRACE_FAILED;
    assert_true(is_shown(ABI_NR_chdir, pk_error(-ENOENT), "/a"));
    assert_false(is_shown(ABI_NR_chdir, pk_value(0), "/a"));
    assert_false(is_shown(ABI_NR_chdir, pk_native(), "/a"));
    options.statuses = TRACE_SUCCESSFUL;
    assert_true(is_shown(ABI_NR_chdir, pk_value(0), "/a"));
    options.statuses = TRACE_UNAVAILABLE;
    assert_true(is_shown(ABI_NR_chdir, pk_native(), "/a"));
    options.statuses = 0;
    options.some_calls = true;
    abi_call_set_add(&options.calls, ABI_NR_chdir);
    assert_true(is_shown(ABI_NR_chdir, pk_value(0), "/a"));
    assert_false(is_shown(ABI_NR_rmdir, pk_value(0), "/a"));
    options.some_calls = false;
    assert_int_equal(trace_add_path(&options, "/a/./b/../c//", NULL), 0);
    assert_string_equal(options.paths[0], "/a/c");
    assert_true(is_shown(ABI_NR_chdir, pk_value(0), "/a/c"));
    assert_true(is_shown(ABI_NR_chdir, pk_value(0), "//a/x/../c/"));
    assert_false(is_shown(ABI_NR_chdir, pk_value(0), "/a/cc"));
    assert_false(is_shown(ABI_NR_umask, pk_value(0), NULL));
    trace_options_free(&options);
}

static void options_that_are_wrong(void **state)
{
    struct base_error error = {0};
    unsigned statuses = 42;

    (void)state;
    assert_int_equal(trace_add_path(&options, "relative", &error), -EINVAL);
    assert_true(error.code == EINVAL && error.sentence[0] && error.hint[0]);
    error = (struct base_error){0};
    assert_int_equal(trace_parse_status("failed,nonsense", &statuses, &error), -EINVAL);
    assert_non_null(strstr(error.sentence, "there is no 'nonsense'"));
    assert_int_equal(trace_parse_status("", &statuses, NULL), -EINVAL);
    assert_int_equal(trace_parse_status("!all", &statuses, NULL), -EINVAL);
    assert_int_equal(statuses, 42);
    assert_int_equal(trace_parse_status("!failed", &statuses, NULL), 0);
    assert_int_equal(statuses, TRACE_SUCCESSFUL | TRACE_UNAVAILABLE);
    for (unsigned i = 0; i < TRACE_PATHS_MAX; i++)
        assert_int_equal(trace_add_path(&options, "/", NULL), 0);
    assert_int_equal(trace_add_path(&options, "/", NULL), -E2BIG);
    trace_options_free(&options);
}

/* Every call with every argument a wild pointer: it must be shown, and nothing must break. */
static void wild_arguments(void **state)
{
    static const uint64_t wild[] = {0, 1, NOWHERE, 0x7fffffff, UINT64_MAX, UINT64_MAX - 7};
    static unsigned char bytes[4096];

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    for (size_t i = 0; i < ABI_SYSCALL_COUNT; i++)
        for (size_t w = 0; w <= sizeof(wild) / sizeof(wild[0]); w++) {
            uint64_t value = w ? wild[w - 1] : P(bytes);
            struct pk_request request = {.nr = abi_syscall_at(i)->nr,
                                         .args = {value, value, value, value, value, value}};

            assert_non_null(strstr(show_with(&request, pk_value(40), 40), abi_syscall_at(i)->name));
        }
}

static int teardown(void **state)
{
    (void)state;
    strbuf_free(&lines);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_and_buffers),
        cmocka_unit_test(files_and_their_attributes),
        cmocka_unit_test(times_and_timers),
        cmocka_unit_test(addresses_of_sockets),
        cmocka_unit_test(messages),
        cmocka_unit_test(waiting),
        cmocka_unit_test(programs_and_processes),
        cmocka_unit_test(signals),
        cmocka_unit_test(commands),
        cmocka_unit_test(decisions),
        cmocka_unit_test(objects),
        cmocka_unit_test(what_is_selected),
        cmocka_unit_test(options_that_are_wrong),
        cmocka_unit_test(wild_arguments),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, teardown);
}

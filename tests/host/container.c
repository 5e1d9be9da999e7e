/*
 * Runs a command as a container engine does by default: with its seccomp profile, no new privileges
 * and, for root, its default capabilities. Nothing is mounted or unshared, unless asked for.
 *
 *   container docker COMMAND...          Docker's default profile
 *   container kubernetes COMMAND...      RuntimeDefault, as containerd gives it
 *   container --pid1 docker COMMAND...   the command is process 1 of a pid namespace, with a /proc
 *                                        of its own in which the engines' paths are masked; needs
 *                                        root or user namespaces. Passes signals on, and ends as
 *                                        the command does (128 + N for signal N)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/numbers.gen.h"

/* The newest number that a profile of today knows: runc answers ENOSYS beyond. */
#define NEWEST ABI_NR_removexattrat

#define NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
     CLONE_NEWCGROUP)

static const uint16_t docker[] = {
#define ALLOW(name)  ABI_NR_##name,
#define DOCKER(name) ABI_NR_##name,
#define KUBERNETES(name)
#include "container.def"
#undef DOCKER
#undef KUBERNETES
};

static const uint16_t kubernetes[] = {
#define DOCKER(name)
#define KUBERNETES(name) ABI_NR_##name,
#include "container.def"
};

/* Both engines' default set. */
static const uint64_t capabilities =
    1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FSETID | 1ULL << CAP_FOWNER |
    1ULL << CAP_MKNOD | 1ULL << CAP_NET_RAW | 1ULL << CAP_SETGID | 1ULL << CAP_SETUID |
    1ULL << CAP_SETFCAP | 1ULL << CAP_SETPCAP | 1ULL << CAP_NET_BIND_SERVICE |
    1ULL << CAP_SYS_CHROOT | 1ULL << CAP_KILL | 1ULL << CAP_AUDIT_WRITE;

#define LOAD(field)         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(code)        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))
#define ALLOWED             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define EQUAL(k, yes, no)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define GREATER(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, k, yes, no)
#define ANY_BIT(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, yes, no)

/* By arguments: all families but AF_ALG and AF_VSOCK, usual personalities, no new namespace. */
static const struct sock_filter head[] = {
    LOAD(arch),
    EQUAL(AUDIT_ARCH_X86_64, 1, 0),
    ANSWER(EPERM), /* they allow 32-bit calls, which Cerebro does not */
    LOAD(nr),
    GREATER(NEWEST, 0, 1),
    ANSWER(ENOSYS),
    EQUAL(ABI_NR_clone3, 0, 1),
    ANSWER(ENOSYS),
    EQUAL(ABI_NR_clone, 0, 4),
    LOAD(args[0]),
    ANY_BIT(NAMESPACES, 0, 1),
    ANSWER(EPERM),
    ALLOWED,
    EQUAL(ABI_NR_socket, 0, 5),
    LOAD(args[0]),
    EQUAL(38, 1, 0), /* AF_ALG */
    EQUAL(40, 0, 1), /* AF_VSOCK */
    ANSWER(EPERM),
    ALLOWED,
    EQUAL(ABI_NR_personality, 0, 8),
    LOAD(args[0]),
    EQUAL(0, 4, 0),
    EQUAL(8, 3, 0),
    EQUAL(0x20000, 2, 0),
    EQUAL(0x20008, 1, 0),
    EQUAL(0xffffffff, 0, 1),
    ALLOWED,
    ANSWER(EPERM),
};

#define HEAD     (sizeof(head) / sizeof(head[0]))
#define CALLS(a) (sizeof(a) / sizeof((a)[0]))

static int install(const uint16_t *calls, size_t count)
{
    struct sock_filter code[HEAD + 2 * 512 + 1];
    struct sock_fprog program = {.filter = code};
    size_t length = HEAD;

    memcpy(code, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        code[length++] = (struct sock_filter)EQUAL(calls[i], 0, 1);
        code[length++] = (struct sock_filter)ALLOWED;
    }
    code[length++] = (struct sock_filter)ANSWER(EPERM);
    program.len = (unsigned short)length;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    for (int capability = 0; capability < 64; capability++)
        if (!(capabilities >> capability & 1))
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); /* no such one, or no right: no harm */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(capabilities >> 32 * i);
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return (int)syscall(SYS_capset, &header, data);
}

static int confine(const char *engine)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || drop_capabilities() < 0)
        return -1;
    return strcmp(engine, "docker") == 0 ? install(docker, CALLS(docker))
                                         : install(kubernetes, CALLS(kubernetes));
}

static int run(const char *engine, char **argv)
{
    if (confine(engine) < 0) {
        perror("container");
        return 125;
    }
    execvp(argv[0], argv);
    perror(argv[0]);
    return 127;
}

/* ---- process 1 ---- */

static volatile pid_t child;

static void pass_on(int number)
{
    if (child > 0)
        kill(child, number);
}

static int write_text(const char *path, const char *format, unsigned id)
{
    char text[64];
    int length = snprintf(text, sizeof(text), format, id, id);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, text, (size_t)length) != length || close(fd) < 0 ? -1 : 0;
}

static int unshare_all(void)
{
    uid_t uid = getuid();
    gid_t gid = getgid();

    if (unshare(CLONE_NEWPID | CLONE_NEWNS) == 0)
        return 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) < 0)
        return -1;
    return write_text("/proc/self/uid_map", "%u %u 1", uid) < 0 ||
                   write_text("/proc/self/setgroups", "deny", 0) < 0 ||
                   write_text("/proc/self/gid_map", "%u %u 1", gid) < 0
               ? -1
               : 0;
}

/* As the engines do: some files are covered, some trees cannot be written. */
static int mount_proc(void)
{
    static const char *const masked[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list",
                                         "/proc/latency_stats", "/proc/sched_debug"};
    static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                            "/proc/sysrq-trigger"};

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -1;
    for (size_t i = 0; i < CALLS(masked); i++)
        if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return -1;
    for (size_t i = 0; i < CALLS(read_only); i++)
        if (access(read_only[i], F_OK) == 0 &&
            (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0 ||
             mount(NULL, read_only[i], NULL,
                   MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0))
            return -1;
    return 0;
}

static int run_as_first(const char *engine, char **argv)
{
    static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    int status;

    if (unshare_all() < 0) {
        perror("container: a pid namespace");
        return 124;
    }
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (mount_proc() < 0) {
            perror("container: /proc");
            _exit(124);
        }
        _exit(run(engine, argv));
    }
    for (size_t i = 0; i < CALLS(passed); i++)
        signal(passed[i], pass_on);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 125;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    int first = argc > 1 && strcmp(argv[1], "--pid1") == 0;
    const char *engine = argc > 2 + first ? argv[1 + first] : "";

    if (strcmp(engine, "docker") != 0 && strcmp(engine, "kubernetes") != 0) {
        fprintf(stderr, "usage: container [--pid1] docker|kubernetes COMMAND...\n");
        return 2;
    }
    return first ? run_as_first(engine, argv + 3) : run(engine, argv + 2);
}

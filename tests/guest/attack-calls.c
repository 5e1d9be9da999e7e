/* System calls that would go past the process kernel, or change the host. */
#include "attack.h"

#include <linux/netlink.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

static void past_the_filter(void)
{
    char parameters[256] = "";

    DENIED(syscall(SYS_io_uring_setup, 8, parameters));
    DENIED(syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0));
    DENIED(syscall(SYS_io_uring_register, 0, 0, NULL, 0));
    DENIED(syscall(SYS_userfaultfd, 0));
    DENIED(syscall(SYS_userfaultfd, 1));
    DENIED(open("/dev/userfaultfd", O_RDWR));
    DENIED(syscall(SYS_bpf, 0, parameters, 72));
    DENIED(syscall(SYS_bpf, 5, parameters, 72));
    DENIED(syscall(SYS_perf_event_open, parameters, 0, -1, -1, 0));
    DENIED(syscall(SYS_remap_file_pages, 0x101000, 4096, 0, 0, 0));
    DENIED(syscall(SYS_uselib, "/bin/true"));
}

static void namespaces(void)
{
    static const int kinds[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        DENIED(unshare(kinds[i]));
        DENIED(syscall(SYS_clone, kinds[i] | SIGCHLD, NULL, NULL, NULL, 0));
    }
    {
        unsigned long arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};

        DENIED(syscall(SYS_clone3, arguments, sizeof(arguments)));
    }
    DENIED(setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS));
    DENIED(setns(open("/proc/1/ns/user", O_RDONLY), 0));
}

static void the_machine(void)
{
    struct timeval now = {1, 0};
    struct timespec clock_now = {1, 0};
    struct timex change = {.modes = ADJ_OFFSET};

    attack_env("GUEST_SECRET"); /* natively, root would change the clock */
    DENIED(syscall(SYS_init_module, NULL, 0, ""));
    DENIED(syscall(SYS_finit_module, 0, "", 0));
    DENIED(syscall(SYS_delete_module, "no-such-module", O_NONBLOCK));
    DENIED(syscall(SYS_kexec_load, 0, 0, NULL, 0));
    DENIED(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0));
    DENIED(syscall(SYS_reboot, 0, 0, 0, NULL));
    DENIED(syscall(SYS_swapon, "/dev/null", 0));
    DENIED(syscall(SYS_acct, "/dev/null"));
    DENIED(syscall(SYS_quotactl, 0, NULL, 0, NULL));
    DENIED(syscall(SYS_iopl, 3));
    DENIED(syscall(SYS_ioperm, 0x60, 1, 1));
    DENIED(syscall(SYS_modify_ldt, 0, NULL, 0));
    DENIED(syscall(SYS_syslog, 3, NULL, 0));
    DENIED(settimeofday(&now, NULL));
    DENIED(clock_settime(CLOCK_REALTIME, &clock_now));
    DENIED(adjtimex(&change));
    DENIED(syscall(SYS_fanotify_init, 0, 0));
}

static void every_unknown_number(void)
{
    for (long number = 500; number < 1000; number++)
        if (syscall(number, 0, 0, 0, 0, 0, 0) >= 0)
            FAIL("ESCAPED: call %ld did something", number);
    CHECK(syscall(-1L) < 0);
    CHECK(syscall(1L << 32) < 0);
    attack_tried("calls 500 to 999", "none did anything");
}

/* How a child ended that tries a call of another kind: -1 refused, -2 killed, else the result. */
static long in_a_child(long (*call)(void))
{
    pid_t pid = (pid_t)OK(fork());
    int status;

    if (pid == 0) {
        long result = call();

        _exit(result >= 0 ? 1 : 0);
    }
    status = guest_wait(pid);
    if (WIFSIGNALED(status)) {
        attack_tried("a call of another kind", strsignal(WTERMSIG(status)));
        CHECK(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV ||
              WTERMSIG(status) == SIGKILL);
        return -2;
    }
    return WEXITSTATUS(status) ? 1 : -1;
}

static long x32_getpid(void)
{
    return syscall(0x40000000 | SYS_getpid);
}

static long x32_open(void)
{
    return syscall(0x40000000 | SYS_open, "/etc/passwd", O_RDONLY);
}

static long x32_execve(void)
{
    return syscall(0x40000000 + 520, "/bin/true", NULL, NULL);
}

static long by_interrupt(long number, long first)
{
    long result;

    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

static long i386_getpid(void)
{
    return by_interrupt(20, 0);
}

static long i386_exit(void)
{
    by_interrupt(1, 1);
    return -1;
}

static void other_architectures(void)
{
    DENIED(in_a_child(x32_getpid));
    DENIED(in_a_child(x32_open));
    DENIED(in_a_child(x32_execve));
    DENIED(in_a_child(i386_getpid));
    DENIED(in_a_child(i386_exit));
}

static void sockets(void)
{
    DENIED(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    DENIED(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT));
    DENIED(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT));
    DENIED(socket(AF_PACKET, SOCK_RAW, 0x300));
    DENIED(socket(AF_INET, SOCK_RAW, 1));
    DENIED(socket(AF_INET6, SOCK_RAW, 58));
    DENIED(socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    DENIED(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    DENIED(socket(44 /* AF_XDP */, SOCK_RAW, 0));
    DENIED(socket(31 /* AF_BLUETOOTH */, SOCK_RAW, 0));
    DENIED(socketpair(AF_NETLINK, SOCK_RAW, 0, (int[2]){0, 0}));
}

static void terminal_input(void)
{
    int master;
    int slave;
    char subcode = 2;

    if (isatty(0)) {
        DENIED(ioctl(0, TIOCSTI, "x"));
        DENIED(ioctl(0, TIOCSTI | (1UL << 32), "x"));
        DENIED(ioctl(0, TIOCLINUX, &subcode));
        DENIED(ioctl(0, TIOCCONS, NULL));
        DENIED(ioctl(0, TIOCSETD, (int[]){2}));
    }
    OK(openpty(&master, &slave, NULL, NULL, NULL));
    DENIED(ioctl(slave, TIOCSTI, "x"));
    DENIED(ioctl(slave, TIOCLINUX, &subcode));
    DENIED(ioctl(slave, 0x100000000UL | TIOCSTI, "x"));
}

static void through_prctl(void)
{
    char *text;

    DENIED(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0));
    DENIED(prctl(PR_SET_MM, PR_SET_MM_ARG_START, 0x101000, 0, 0));
    /* Undone no_new_privs would let set-user-id programs work. */
    DENIED(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    text = guest_read("/proc/self/status");
    CHECK(strstr(text, "NoNewPrivs:\t1") || strstr(text, "NoNewPrivs:\t0"));
}

static const struct guest_case cases[] = {
    {"past-the-filter", past_the_filter},
    {"namespaces", namespaces},
    {"the-machine", the_machine},
    {"every-unknown-number", every_unknown_number},
    {"other-architectures", other_architectures},
    {"sockets", sockets},
    {"terminal-input", terminal_input},
    {"through-prctl", through_prctl},
};

GUEST_MAIN(cases)

/*
 * Runs a command on a host that forbids user namespaces, as Ubuntu 24.04 and container engines do.
 * For the command and all it starts:
 *
 *   deny-userns COMMAND...         unshare(CLONE_NEWUSER) and clone(CLONE_NEWUSER) fail with EPERM
 *   deny-userns --weak COMMAND...  a user namespace can be made, but it gives no rights: mount and
 *                                  its kind fail with EACCES (AppArmor's unprivileged_userns)
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(code) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))
#define ALLOW        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
/* Skips `count` instructions unless the number is `nr`. */
#define UNLESS(nr, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, count)

static const struct sock_filter forbidden[] = {
    LOAD(nr),
    UNLESS(SYS_clone3, 1),
    ANSWER(ENOSYS), /* its flags are in memory; libraries fall back to clone */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
    ALLOW,
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 0, 1),
    ANSWER(EPERM),
    ALLOW,
};

static const struct sock_filter weak[] = {
    LOAD(nr),       UNLESS(SYS_mount, 1),       ANSWER(EACCES), UNLESS(SYS_umount2, 1),
    ANSWER(EACCES), UNLESS(SYS_pivot_root, 1),  ANSWER(EPERM),  UNLESS(SYS_move_mount, 1),
    ANSWER(EACCES), UNLESS(SYS_open_tree, 1),   ANSWER(EACCES), UNLESS(SYS_fsopen, 1),
    ANSWER(EPERM),  UNLESS(SYS_sethostname, 1), ANSWER(EPERM),  UNLESS(SYS_setns, 1),
    ANSWER(EPERM),  UNLESS(SYS_chroot, 1),      ANSWER(EPERM),  ALLOW,
};

static int install(const struct sock_filter *filter, size_t count)
{
    struct sock_fprog program = {.len = (unsigned short)count,
                                 .filter = (struct sock_filter *)filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
    int is_weak = argc > 1 && strcmp(argv[1], "--weak") == 0;
    int r;

    if (argc < 2 + is_weak) {
        fprintf(stderr, "usage: deny-userns [--weak] COMMAND...\n");
        return 2;
    }
    r = is_weak ? install(weak, sizeof(weak) / sizeof(weak[0]))
                : install(forbidden, sizeof(forbidden) / sizeof(forbidden[0]));
    if (r < 0) {
        perror("deny-userns");
        return 125;
    }
    execvp(argv[1 + is_weak], argv + 1 + is_weak);
    perror(argv[1 + is_weak]);
    return 127;
}

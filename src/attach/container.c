/*
 * Containers: everybody in one has its filter, the attaching program, too, which then may not
 * suspend those of others.
 *
 * Filters are inherited and only ever added. So in a pid namespace a process with as many as the
 * first one has these and no others; and what they do with our calls is found out by making them in
 * a process of our own, with as many.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/attach-internal.h"

/* Nothing but system calls: other threads may hold any lock. */
static _Noreturn void try_calls(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = 1, .filter = &allow};
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long fd;

    if (page == MAP_FAILED || munmap(page, 4096) < 0)
        _exit(1);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(1);
    fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    _exit(fd < 0 || close((int)fd) < 0);
}

/* A fork without exit signal, so that nobody's handling of SIGCHLD hears of it. */
static bool calls_pass(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, 0L, NULL, NULL, NULL, 0L);
    int status = -1;

    if (pid == 0)
        try_calls();
    while (pid > 0 && waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    return status == 0;
}

bool container_allows(const struct target *target)
{
    struct target first;
    struct target self;

    return target->filters > 0 && target_read(1, &first) == 0 &&
           target_read(getpid(), &self) == 0 && first.filters == target->filters &&
           self.filters == target->filters && calls_pass();
}

/*
 * What the filter costs: a child makes the same calls before and after it installs one. Without a
 * listener, served calls would fail in it, so it makes none.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "trap/filter.h"
#include "trap/trap-internal.h"

#define BATCHES 40
#define CALLS   500

/* The quickest of some batches: what disturbs only ever adds. Nanoseconds a call. */
static double measure(long nr)
{
    double best = 1e9;

    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t begin = io_now_ns();
        double each;

        for (int i = 0; i < CALLS; i++)
            syscall(nr, -1, NULL, 0);
        each = (double)(io_now_ns() - begin) / CALLS;
        best = each < best ? each : best;
    }
    return best;
}

static _Noreturn void compare(const struct sock_fprog *program, int result_fd)
{
    double costs[2] = {measure(SYS_getppid), measure(SYS_read)};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
        _exit(1);
    costs[0] = measure(SYS_getppid) - costs[0];
    costs[1] = measure(SYS_read) - costs[1];
    _exit(io_write_all(result_fd, costs, sizeof(costs)) < 0);
}

void trap_filter_cost(const struct pk_config *config, struct trap_filter_facts *facts)
{
    cleanup_filter struct sock_fprog program = {0};
    struct filter_config filter;
    double costs[2];
    int ends[2];
    pid_t pid;

    filter_config_of(config, FILTER_WINDOW_BASE, &filter);
    if (filter_build(&filter, &program, NULL) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return;
    pid = fork();
    if (pid == 0)
        compare(&program, ends[1]);
    close(ends[1]);
    if (pid > 0 && io_read_all(ends[0], costs, sizeof(costs)) == 0) {
        facts->plain_ns = costs[0] > 0 ? costs[0] : 0;
        facts->checked_ns = costs[1] > 0 ? costs[1] : 0;
    }
    close(ends[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

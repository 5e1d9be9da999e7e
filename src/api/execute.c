/* Running a function of the program under a kernel. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "api/api-internal.h"
#include "base/cleanup.h"

/* In the child: a byte is the leave to begin, the end of the pipe that there is none. */
static _Noreturn void run(int gate, void (*fn)(void *), void *arg)
{
    char leave;
    ssize_t n;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    do
        n = read(gate, &leave, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(1);
    close(gate);
    fn(arg);
    _exit(0);
}

static int reap(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* The parent knows best how its child has ended; the keeper may have come too late to see. */
static int finish(process_kernel_t *kernel, pid_t pid)
{
    const char *name;
    int status = reap(pid);

    pk_wait(kernel, NULL);
    pthread_mutex_lock(&kernel->lock);
    kernel->wait_status = status;
    pthread_mutex_unlock(&kernel->lock);
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    name = abi_signal_name(WTERMSIG(status));
    api_fail(EFAULT, NULL, "the function was killed by %s", name ? name : "a signal");
    return 128 + WTERMSIG(status);
}

PK_API int pk_execute(process_kernel_t *kernel, void (*fn)(void *), void *arg)
{
    cleanup_close int gate = -1;
    int ends[2];
    pid_t pid;
    int r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return api_fail(errno, NULL, "cannot make a pipe: %s", strerror(errno));
    gate = ends[1];
    pid = api_fork();
    if (pid == 0) {
        close(gate);
        run(ends[0], fn, arg);
    }
    close(ends[0]);
    if (pid < 0)
        return api_fail(errno, NULL, "cannot fork: %s", strerror(errno));
    r = pk_attach(kernel, pid);
    if (r == 0 && write(gate, "", 1) != 1)
        r = api_fail(errno, NULL, "the child is gone");
    base_close(take_fd(&gate));
    if (r == 0)
        return finish(kernel, pid);
    kill(pid, SIGKILL);
    reap(pid);
    return r;
}

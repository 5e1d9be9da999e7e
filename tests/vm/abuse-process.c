/* Processes that come and go while they are asked for: hole 8. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abuse.h"

static void *idle(void *unused)
{
    pause();
    return unused;
}

/* Starts and ends processes and threads, and tells which pid is the latest, until it is killed. */
static void churn(volatile int *ret_pid)
{
    for (;;) {
        pid_t pid = fork();

        if (pid == 0) {
            pthread_t thread;
            pthread_create(&thread, NULL, idle, NULL);
            usleep((useconds_t)(rand() % 1000));
            if (rand() % 4 == 0)
                execl("/bin/true", "true", NULL);
            if (rand() % 4 == 0)
                setsid();
            _exit(0);
        }
        *ret_pid = pid;
        usleep((useconds_t)(rand() % 500));
        waitpid(-1, NULL, rand() % 2 ? WNOHANG : 0);
    }
}

static void ask(int fd, int pid)
{
    static char records[64 * 1024];
    struct kapi_process_info info = {.pid = pid};
    struct kapi_process_list list = {.size = sizeof(list),
                                     .buffer = (uintptr_t)records,
                                     .length = sizeof(records),
                                     .record_size = sizeof(struct kapi_process_record)};

    check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0, "%s", strerror(errno));
    check(info.pid == pid || info.pid == -1, "asked for %d, got %d", pid, info.pid);
    kapi_affinity(fd, pid, 1 + (uint64_t)rand() % 3);
    kapi_signal(fd, KAPI_SUSPEND_PROCESS, pid, 0);
    kapi_signal(fd, KAPI_RESUME_PROCESS, pid, 0);
    kapi_translate(fd, (uintptr_t)&info, pid, NULL);
    if (rand() % 8 == 0)
        kapi_signal(fd, KAPI_KILL_PROCESS, pid, SIGKILL);
    if (rand() % 16 == 0)
        kapi_call(fd, KAPI_GET_PROCESS_LIST, &list);
}

static void hole_08_processes_that_end(enum way way)
{
    volatile int *pids =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t end = now_ns() + 4000000000;
    pid_t churners[3], askers[2];

    for (int i = 0; i < 3; i++)
        if ((churners[i] = fork()) == 0) {
            srand((unsigned int)options.seed + (unsigned int)i);
            churn(&pids[i]);
        }
    for (int i = 0; i < 2; i++)
        if ((askers[i] = fork()) == 0) {
            int fd = device_open();
            while (now_ns() < end)
                for (int j = 0; j < 3; j++)
                    if (pids[j] > 0)
                        ask(fd, pids[j]);
            _exit(0);
        }
    for (int i = 0; i < 2; i++) {
        int status;
        waitpid(askers[i], &status, 0);
        check(status == 0, "status %x", status);
    }
    for (int i = 0; i < 3; i++)
        kill(churners[i], SIGKILL);
}

/* Pids are those of the caller's namespace: what is outside of it does not exist. */
static void pids_are_those_of_the_namespace(enum way way)
{
    int fd = device_open(), status;
    pid_t outside = sleeper();

    check(unshare(CLONE_NEWPID) == 0, "%s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        struct kapi_process_info info = {.pid = 1};

        check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0 && info.pid == 1 &&
                  strcmp(info.comm, "abuse") == 0,
              "pid 1 of the namespace is %d %s", info.pid, info.comm);
        check(info.ppid == 0, "its parent is %d", info.ppid);
        info.pid = outside;
        check(kapi_call(fd, KAPI_GET_PROCESS_INFO, &info) == 0 && info.pid == -1,
              "a process outside: %d", info.pid);
        check(kapi_signal(fd, KAPI_KILL_PROCESS, outside, SIGKILL) == -ESRCH,
              "a process outside was killed: %s", last_message);
        check(kapi_affinity(fd, outside, 1) == -ESRCH, "affinity of a process outside: %s",
              last_message);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    check(is_alive(outside), "it was killed");
}

static void strange_pids_are_nobody(enum way way)
{
    static const int pids[] = {0, -1, -2, (int)0x80000000, 0x7fffffff, 4194305};
    int fd = device_open();

    for (size_t i = 0; i < ARRAY_LENGTH(pids); i++) {
        struct kapi_process_info info = {.pid = pids[i]};
        int r = kapi_call(fd, KAPI_GET_PROCESS_INFO, &info);
        check((r == 0 && info.pid == -1) || r == -EINVAL, "pid %d: %s, pid %d %s", pids[i],
              strerror(-r), info.pid, info.comm);
    }
}

const struct test process_tests[] = {
    {"hole-08-processes-that-end", hole_08_processes_that_end, WAY_ROOT | WAY_ALLOWED, 60},
    {"hole-08-pids-are-those-of-the-namespace", pids_are_those_of_the_namespace,
     WAY_ROOT | WAY_USERNS, 0},
    {"strange-pids-are-nobody", strange_pids_are_nobody, WAYS_DEFAULT, 0},
    {0},
};

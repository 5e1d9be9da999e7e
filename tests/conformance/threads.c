/* Threads, futexes, set_tid_address, robust lists, rseq. */
#define FAMILY "threads"
#include "conform.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/rseq.h>

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout,
                  uint32_t *second, uint32_t third)
{
    return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static uint32_t word;
static uint32_t other_word;
static const struct timespec short_time = {0, 2000000};

REFUSED(futex_value, "futex(2) EAGAIN", futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN)
REFUSED(futex_timeout, "futex(2) ETIMEDOUT", futex(&word, FUTEX_WAIT, 0, &short_time, NULL, 0),
        ETIMEDOUT)
REFUSED(futex_unaligned, "futex(2) EINVAL",
        futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL)
REFUSED(futex_pointer, "futex(2) EFAULT", futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0),
        EFAULT)
REFUSED(futex_operation, "futex(2) ENOSYS", futex(&word, 99, 0, NULL, NULL, 0), ENOSYS)
REFUSED(futex_bad_time, "futex(2) EINVAL",
        futex(&word, FUTEX_WAIT, 0, &(struct timespec){0, -1}, NULL, 0), EINVAL)
REFUSED(futex_no_bits, "futex(2) EINVAL", futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL)
REFUSED(pi_not_owner, "futex(2) EPERM", futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM)
REFUSED(pi_no_such_owner, "futex(2) ESRCH", ({
            other_word = 0x3fffffff;
            futex(&other_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
        }),
        ESRCH)
REFUSED(robust_size, "set_robust_list(2) EINVAL", syscall(SYS_set_robust_list, NULL, 5), EINVAL)
REFUSED(robust_nobody, "get_robust_list(2) ESRCH",
        syscall(SYS_get_robust_list, 999999999, &(void *){0}, &(size_t){0}), ESRCH)
REFUSED(affinity_nobody, "sched_setaffinity(2) ESRCH",
        syscall(SYS_sched_getaffinity, 999999999, 128, &(cpu_set_t){0}), ESRCH)

static void *waits(void *nothing)
{
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
        futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return nothing;
}

CHECK(futex_wakes, "futex(2) FUTEX_WAKE: as many as asked for")
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        threads[i] = start(waits, NULL);
    nap(5);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    must(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) <= 1);
    futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    for (int i = 0; i < 3; i++)
        end_of(threads[i]);
    is(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
}

static void *waits_once(void *nothing)
{
    futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return nothing;
}

CHECK(futex_requeue, "futex(2) FUTEX_CMP_REQUEUE")
{
    pthread_t threads[3];
    long moved = 0;

    for (int i = 0; i < 3; i++)
        threads[i] = start(waits_once, NULL);
    fails(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)8, &other_word, 77), EAGAIN);
    for (int i = 0; i < 1000 && moved < 3; i++) {
        moved += futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)8, &other_word, 0);
        nap(1);
    }
    is(moved, 3);
    is(futex(&other_word, FUTEX_WAKE_PRIVATE, 8, NULL, NULL, 0), 3);
    for (int i = 0; i < 3; i++)
        end_of(threads[i]);
}

CHECK(futex_of_processes, "futex(2): shared between processes")
{
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = spawn();

    if (pid == 0) {
        while (__atomic_load_n(shared, __ATOMIC_SEQ_CST) == 0)
            futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(0);
    }
    nap(3);
    __atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
    ok(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0));
    joins(pid);
}

CHECK(futex_in_a_file, "futex(2): shared through a mapped file")
{
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0644));
    uint32_t *shared;
    pid_t pid;

    ok(ftruncate(fd, 4096));
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(shared != MAP_FAILED);
    pid = spawn();
    if (pid == 0) {
        uint32_t *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, open("f", O_RDWR), 0);

        while (__atomic_load_n(own, __ATOMIC_SEQ_CST) == 0)
            futex(own, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(0);
    }
    nap(3);
    __atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
    ok(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0));
    joins(pid);
}

CHECK(futex_is_interrupted, "futex(2) EINTR")
{
    ticking(0);
    fails(futex(&word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
}

CHECK(futex_vector, "futex_waitv(2) EAGAIN, ETIMEDOUT, EINVAL")
{
    struct futex_waitv waiters[2] = {
        {.uaddr = (uintptr_t)&word, .flags = FUTEX_32, .val = 0},
        {.uaddr = (uintptr_t)&other_word, .flags = FUTEX_32, .val = 0}};
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    if (syscall(SYS_futex_waitv, waiters, 2, 0, &end, CLOCK_MONOTONIC) < 0 && errno == ENOSYS)
        skip("not known to this kernel");
    is(errno, ETIMEDOUT);
    waiters[1].val = 1;
    fails(syscall(SYS_futex_waitv, waiters, 2, 0, &end, CLOCK_MONOTONIC), EAGAIN);
    fails(syscall(SYS_futex_waitv, waiters, 0, 0, &end, CLOCK_MONOTONIC), EINVAL);
}

static pthread_mutex_t mutex;

static void kind_of_mutex(int robust, int protocol, int kind, int shared)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, robust);
    zero(pthread_mutexattr_setprotocol(&attributes, protocol));
    zero(pthread_mutexattr_settype(&attributes, kind));
    zero(pthread_mutexattr_setpshared(&attributes, shared));
    zero(pthread_mutex_init(&mutex, &attributes));
}

static void *dies_with_lock(void *nothing)
{
    pthread_mutex_lock(&mutex);
    return nothing;
}

CHECK(robust_owner_died, "pthread_mutex_lock(3) EOWNERDEAD")
{
    kind_of_mutex(PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_NORMAL,
                  PTHREAD_PROCESS_PRIVATE);
    end_of(start(dies_with_lock, NULL));
    is(pthread_mutex_lock(&mutex), EOWNERDEAD);
    zero(pthread_mutex_consistent(&mutex));
    zero(pthread_mutex_unlock(&mutex));
    zero(pthread_mutex_lock(&mutex));
}

CHECK(robust_not_recoverable, "pthread_mutex_unlock(3) ENOTRECOVERABLE")
{
    kind_of_mutex(PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_NORMAL,
                  PTHREAD_PROCESS_PRIVATE);
    end_of(start(dies_with_lock, NULL));
    is(pthread_mutex_lock(&mutex), EOWNERDEAD);
    zero(pthread_mutex_unlock(&mutex));
    is(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
}

CHECK(robust_of_processes, "pthread_mutexattr_setrobust(3): a killed process")
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    zero(pthread_mutex_init(shared, &attributes));
    pid = spawn();
    if (pid == 0) {
        pthread_mutex_lock(shared);
        raise(SIGKILL);
    }
    killed(pid, SIGKILL);
    is(pthread_mutex_lock(shared), EOWNERDEAD);
}

CHECK(robust_of_exec, "set_robust_list(2): execve(2) is an end, too")
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    zero(pthread_mutex_init(shared, &attributes));
    IN_CHILD
    {
        pthread_mutex_lock(shared);
        execl("/bin/true", "true", NULL);
    }
    is(pthread_mutex_lock(shared), EOWNERDEAD);
}

CHECK(priority_inheritance, "futex(2) FUTEX_LOCK_PI")
{
    kind_of_mutex(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ERRORCHECK,
                  PTHREAD_PROCESS_PRIVATE);
    zero(pthread_mutex_lock(&mutex));
    is(pthread_mutex_lock(&mutex), EDEADLK);
    zero(pthread_mutex_unlock(&mutex));
    is(pthread_mutex_unlock(&mutex), EPERM);
}

static int counter;

static void *counts(void *nothing)
{
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        if (i % 100 == 0)
            sched_yield();
        pthread_mutex_unlock(&mutex);
    }
    return nothing;
}

CHECK(priority_inheritance_contended, "futex(2) FUTEX_LOCK_PI: several threads")
{
    pthread_t threads[4];

    kind_of_mutex(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL,
                  PTHREAD_PROCESS_PRIVATE);
    for (int i = 0; i < 4; i++)
        threads[i] = start(counts, NULL);
    for (int i = 0; i < 4; i++)
        end_of(threads[i]);
    is(counter, 2000);
}

CHECK(priority_inheritance_owner_died, "futex(2): a robust PI mutex")
{
    kind_of_mutex(PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_NORMAL,
                  PTHREAD_PROCESS_PRIVATE);
    end_of(start(dies_with_lock, NULL));
    is(pthread_mutex_lock(&mutex), EOWNERDEAD);
}

static int returns_at_once(void *nothing)
{
    (void)nothing;
    return 0;
}

CHECK(child_tid_is_cleared, "set_tid_address(2): the word becomes 0 and is woken")
{
    static char stack[65536] __attribute__((aligned(16)));
    pid_t pid;

    word = 7;
    pid = clone(returns_at_once, stack + sizeof(stack), CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD,
                NULL, NULL, NULL, &word);
    ok(pid);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 7)
        futex(&word, FUTEX_WAIT, 7, NULL, NULL, 0);
    is(word, 0);
    joins(pid);
}

CHECK(robust_list_of_self, "get_robust_list(2)")
{
    void *head = NULL;
    size_t size = 0;

    ok(syscall(SYS_get_robust_list, 0, &head, &size));
    is(size, 24);
    must(head);
}

static void *tid_of(void *ret)
{
    *(pid_t *)ret = gettid();
    return (void *)(uintptr_t)getpid();
}

CHECK(ids, "gettid(2), getpid(2): one pid, own tids")
{
    pid_t tid = 0;

    is((pid_t)(uintptr_t)end_of(start(tid_of, &tid)), getpid());
    must(tid != 0 && tid != getpid());
}

CHECK(thread_directories, "proc(5) /proc/self/task")
{
    pthread_t thread = start(waits, NULL);

    is(count_names("/proc/self/task"), 2);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    end_of(thread);
    for (int i = 0; i < 100 && count_names("/proc/self/task") != 1; i++)
        nap(1);
    is(count_names("/proc/self/task"), 1);
}

static void *named(void *ret)
{
    prctl(PR_SET_NAME, "worker", 0, 0, 0);
    *(char **)ret = slurp("/proc/thread-self/comm");
    return NULL;
}

CHECK(names, "prctl(2) PR_SET_NAME: of the thread")
{
    char name[16];
    char *own = NULL;

    end_of(start(named, &own));
    same(own, "worker\n");
    prctl(PR_GET_NAME, name, 0, 0, 0);
    must(strcmp(name, "worker") != 0);
}

CHECK(affinity, "sched_setaffinity(2)")
{
    cpu_set_t all;
    cpu_set_t none;

    CPU_ZERO(&all);
    CPU_ZERO(&none);
    ok(sched_getaffinity(0, sizeof(all), &all));
    must(CPU_COUNT(&all) > 0);
    fails(sched_setaffinity(0, sizeof(none), &none), EINVAL);
    ok(sched_setaffinity(0, sizeof(all), &all));
    IN_CHILD
    {
        cpu_set_t inherited;

        ok(sched_getaffinity(0, sizeof(inherited), &inherited));
        must(CPU_EQUAL(&inherited, &all));
    }
}

CHECK(restartable_sequences,
      "rseq(2): EINVAL for a second area; the kernel keeps the processor's number")
{
    static char area[64] __attribute__((aligned(32)));
    cpu_set_t one;
    uint32_t number;

    if (syscall(SYS_rseq, area, 32, 0, 0x53053053) == 0)
        skip("the C library has not registered itself");
    must(errno == EINVAL || errno == EBUSY || errno == ENOSYS);
    if (errno == ENOSYS || __rseq_size == 0)
        skip("not in this kernel");
    ok(sched_getaffinity(0, sizeof(one), &one));
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &one))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        ok(sched_setaffinity(0, sizeof(one), &one));
        /* struct rseq: cpu_id_start, cpu_id */
        memcpy(&number, (char *)__builtin_thread_pointer() + __rseq_offset + 4, sizeof(number));
        is(number, i);
        break;
    }
}

static void *own_files(void *nothing)
{
    ok(unshare(CLONE_FILES));
    ok(close(0));
    return nothing;
}

CHECK(unshared_files, "unshare(2) CLONE_FILES: in a thread")
{
    end_of(start(own_files, NULL));
    ok(fcntl(0, F_GETFD));
}

static void *opens(void *path)
{
    return (void *)ok(open(path, O_RDONLY));
}

CHECK(descriptors_are_shared, "pthreads(7): one table of descriptors")
{
    int fd;

    file("f", "text");
    fd = (int)(intptr_t)end_of(start(opens, (void *)"f"));
    ok(fcntl(fd, F_GETFD));
    fd = (int)(intptr_t)end_of(start(opens, (void *)"."));
    ok(faccessat(fd, "f", F_OK, 0));
}

static void *forks(void *ret)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(count_names("/proc/self/task"));
    *(pid_t *)ret = pid;
    return NULL;
}

CHECK(fork_in_a_thread, "fork(2): the child has one thread, the process is the parent")
{
    pid_t pid = 0;

    end_of(start(forks, &pid));
    exits(pid, 1);
}

static void *sleeps_in_open(void *nothing)
{
    open("p", O_RDONLY);
    return nothing;
}

CHECK(cancelled_in_open, "pthread_cancel(3) in a blocked open")
{
    pthread_t thread;

    ok(mkfifo("p", 0600));
    thread = start(sleeps_in_open, NULL);
    nap(3);
    zero(pthread_cancel(thread));
    must(end_of(thread) == PTHREAD_CANCELED);
}

static void *creates(void *path)
{
    for (int i = 0; i < 50; i++) {
        ok(mkdir(path, 0755));
        ok(rmdir(path));
    }
    return NULL;
}

CHECK(parallel_calls, "pthreads(7): threads do not disturb one another")
{
    pthread_t threads[4];
    static char names[4][8];

    for (int i = 0; i < 4; i++) {
        snprintf(names[i], sizeof(names[i]), "d%d", i);
        threads[i] = start(creates, names[i]);
    }
    for (int i = 0; i < 4; i++)
        end_of(threads[i]);
    is(count_names("."), 0);
}
CHECK(errno_is_of_the_thread, "errno(3)")
{
    fails(open("no", O_RDONLY), ENOENT);
    end_of(start(creates, (void *)"d"));
    errno = ENOTTY;
    end_of(start(creates, (void *)"d"));
    is(errno, ENOTTY);
}

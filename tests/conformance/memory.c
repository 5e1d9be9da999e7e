/* brk, process_vm, maps, seals of address space, membarrier. */
#define FAMILY "memory"
#include "conform.h"

#include <linux/membarrier.h>
#include <sys/resource.h>
#include <sys/uio.h>

static char *end_of_data(void)
{
    return (char *)syscall(SYS_brk, 0);
}

CHECK(brk_grows, "brk(2)")
{
    char *end = end_of_data();

    must((char *)syscall(SYS_brk, end + 100000) == end + 100000);
    end[99999] = 'x';
    is(end[50000], 0);
    must((char *)syscall(SYS_brk, end) == end);
}

CHECK(brk_is_zeroed_again, "brk(2): memory that comes back is zero")
{
    char *end = end_of_data();

    syscall(SYS_brk, end + 16384);
    memset(end, 'x', 16384);
    syscall(SYS_brk, end);
    syscall(SYS_brk, end + 16384);
    is(end[12000], 0);
}

CHECK(brk_below_start, "brk(2): an impossible end changes nothing")
{
    char *end = end_of_data();

    must((char *)syscall(SYS_brk, 1) == end);
    must((char *)syscall(SYS_brk, -1) == end);
}

CHECK(brk_is_limited, "brk(2), getrlimit(2) RLIMIT_DATA")
{
    struct rlimit limit = {1 << 20, 1 << 20};
    char *end = end_of_data();

    ok(setrlimit(RLIMIT_DATA, &limit));
    must((char *)syscall(SYS_brk, end + (8 << 20)) == end);
}

CHECK(sbrk_errno, "sbrk(2) ENOMEM")
{
    must(sbrk(INTPTR_MAX / 2) == (void *)-1);
    is(errno, ENOMEM);
}

CHECK(brk_after_fork, "fork(2): the data segment is a copy")
{
    char *end = end_of_data();

    IN_CHILD must((char *)syscall(SYS_brk, end + 8192) == end + 8192);
    must(end_of_data() == end);
}

CHECK(heap_in_maps, "proc(5) maps: [heap] and [stack]")
{
    char *maps;

    syscall(SYS_brk, end_of_data() + 8192);
    maps = slurp("/proc/self/maps");
    must(strstr(maps, "[heap]"));
    must(strstr(maps, "[stack]"));
}

CHECK(read_other, "process_vm_readv(2) of a child")
{
    static char there[8] = "parent";
    char got[8] = "";
    struct iovec local = {got, 6};
    struct iovec remote = {there, 6};
    int ready[2];
    char byte;
    pid_t pid;

    ok(pipe(ready));
    pid = spawn();
    if (pid == 0) {
        memcpy(there, "child!", 6);
        write(ready[1], "x", 1);
        pause();
    }
    is(read(ready[0], &byte, 1), 1);
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno == EPERM)
        skip("children may not be inspected here");
    same(got, "child!");
    is(process_vm_writev(pid, &remote, 1, &remote, 1, 0), 6);
    is(process_vm_readv(pid, &local, 1, &remote, 1, 0), 6);
    same(got, "parent");
    kill(pid, SIGKILL);
    killed(pid, SIGKILL);
}

CHECK(read_partly, "process_vm_readv(2): partial transfers, EFAULT")
{
    char got[16];
    struct iovec local = {got, 16};
    struct iovec remote[2] = {{(void *)"text", 4}, {(void *)8, 4}};

    is(process_vm_readv(getpid(), &local, 1, remote, 2, 0), 4);
    fails(process_vm_readv(getpid(), &local, 1, remote + 1, 1, 0), EFAULT);
    fails(process_vm_readv(getpid(), &local, 1, remote, 1, 1), EINVAL);
    fails(process_vm_readv(999999999, &local, 1, remote, 1, 0), ESRCH);
}

CHECK(barriers, "membarrier(2)")
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    if (commands < 0)
        skip("no membarrier here");
    fails(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
    ok(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    ok(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    fails(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
}

CHECK(sealed_memory, "mseal(2) EPERM since Linux 6.10")
{
    void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (syscall(462, at, 4096, 0) < 0)
        skip("not known to this kernel");
    fails(munmap(at, 4096), EPERM);
    fails(mprotect(at, 4096, PROT_READ | PROT_WRITE), EPERM);
}

CHECK(random_bytes, "getrandom(2)")
{
    unsigned char one[32] = {0};
    unsigned char two[32] = {0};

    is(syscall(SYS_getrandom, one, 32, 0), 32);
    is(syscall(SYS_getrandom, two, 32, 1), 32);
    must(memcmp(one, two, 32) != 0);
    fails(syscall(SYS_getrandom, one, 32, 1 << 20), EINVAL);
    fails(syscall(SYS_getrandom, (void *)8, 32, 0), EFAULT);
}

CHECK(thread_pointer, "arch_prctl(2)")
{
    unsigned long base = 0;

    ok(syscall(SYS_arch_prctl, 0x1003, &base)); /* ARCH_GET_FS */
    is(base, (long long)pthread_self());
    fails(syscall(SYS_arch_prctl, 0x9999, &base), EINVAL);
}

CHECK(peak_is_told, "getrusage(2) ru_maxrss, ru_minflt")
{
    struct rusage before;
    struct rusage after;
    char *at;

    ok(getrusage(RUSAGE_SELF, &before));
    at = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(at, 4 << 20, MADV_NOHUGEPAGE);
    memset(at, 1, 4 << 20);
    ok(getrusage(RUSAGE_SELF, &after));
    must(after.ru_minflt - before.ru_minflt >= 1000);
    must(after.ru_maxrss > before.ru_maxrss);
    fails(getrusage(99, &after), EINVAL);
}

CHECK(numa_policy, "get_mempolicy(2), set_mempolicy(2)")
{
    int mode = -1;

    if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) < 0)
        skip("no memory policies here");
    is(mode, 0);
    fails(syscall(SYS_set_mempolicy, 99, NULL, 0), EINVAL);
}

/*
 * The loader's read-only page: the host executes whatever path stands at a constant address, so
 * nothing may ever change what stands there.
 */
#include "attack.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGE_START   0x100000UL
#define PATH_START   0x101000UL
#define RESERVED_END 0x180000UL

static sigjmp_buf way_out;

static void jump(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

/* The bytes at the path's place; false when nothing is mapped there. */
static bool look(char bytes[256])
{
    signal(SIGSEGV, jump);
    signal(SIGBUS, jump);
    if (sigsetjmp(way_out, 1))
        return false;
    memcpy(bytes, (const void *)PATH_START, 256);
    return true;
}

static char before[256];
static bool mapped;

static void begin(void)
{
    mapped = look(before);
    attack_tried("reading the path", mapped ? "readable" : "not mapped");
}

static void unchanged(void)
{
    char after[256] = "";
    bool still = look(after);

    CHECK_EQ(still, mapped);
    if (still && memcmp(before, after, sizeof(after)) != 0)
        FAIL("ESCAPED: the loader's page has changed");
}

static void *at(unsigned long address)
{
    return (void *)address;
}

static void not_there(const char *what, void *got)
{
    unsigned long address = (unsigned long)got;

    if (got == MAP_FAILED) {
        attack_tried(what, strerrorname_np(errno));
        return;
    }
    if (address < PATH_START + 4096 && address + 4096 > PAGE_START)
        FAIL("ESCAPED: %s mapped %#lx", what, address);
    attack_tried(what, guest_format("mapped elsewhere, at %#lx", address));
}

static void writing(void)
{
    begin();
    if (sigsetjmp(way_out, 1) == 0) {
        *(volatile char *)PATH_START = 'x';
        FAIL("ESCAPED: the loader's page is writable");
    }
    attack_tried("writing", "a fault");
    unchanged();
}

static void protection(void)
{
    begin();
    DENIED(mprotect(at(PAGE_START), 8192, PROT_READ | PROT_WRITE));
    DENIED(mprotect(at(PATH_START), 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    DENIED(mprotect(at(PATH_START - 4096 * 4), 4096 * 8, PROT_READ | PROT_WRITE));
    DENIED(syscall(SYS_pkey_mprotect, PATH_START, 4096, PROT_READ | PROT_WRITE, -1));
    DENIED(syscall(SYS_mprotect, PATH_START | 1, 4096, PROT_WRITE));
    unchanged();
}

static void unmapping(void)
{
    begin();
    DENIED(munmap(at(PAGE_START), 8192));
    DENIED(munmap(at(PATH_START), 4096));
    DENIED(munmap(at(0x10000), 0x200000));
    DENIED(munmap(at(0), 0x200000));
    DENIED(syscall(SYS_munmap, 0UL, 1UL << 46));
    unchanged();
}

static void mapping_over(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;

    begin();
    not_there("mmap(MAP_FIXED)",
              mmap(at(PATH_START), 4096, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0));
    not_there("mmap(MAP_FIXED) from below",
              mmap(at(0xf0000), 0x20000, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0));
    not_there("mmap(MAP_FIXED_NOREPLACE)",
              mmap(at(PATH_START), 4096, PROT_READ, flags | MAP_FIXED_NOREPLACE, -1, 0));
    not_there("mmap with a hint", mmap(at(PATH_START), 4096, PROT_READ | PROT_WRITE, flags, -1, 0));
    not_there("mmap(MAP_GROWSDOWN)", mmap(at(0x103000), 4096, PROT_READ | PROT_WRITE,
                                          flags | MAP_GROWSDOWN | MAP_FIXED, -1, 0));
    not_there("mmap(MAP_32BIT)", mmap(at(PATH_START), 4096, PROT_READ, flags | MAP_32BIT, -1, 0));
    unchanged();
}

static void moving(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    begin();
    not_there("mremap to it",
              mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at(PATH_START)));
    not_there(
        "mremap to it with DONTUNMAP",
        mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, at(PATH_START)));
    DENIED(mremap(at(PATH_START), 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    DENIED(mremap(at(PAGE_START), 8192, 4096, 0) == MAP_FAILED ? -1 : 0);
    DENIED(mremap(at(PATH_START), 0, 4096, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
    DENIED(syscall(SYS_remap_file_pages, PATH_START, 4096, 0, 0, 0));
    unchanged();
}

static void advice(void)
{
    begin();
    DENIED(madvise(at(PATH_START), 4096, MADV_DONTFORK));
    DENIED(madvise(at(PAGE_START), 8192, MADV_WIPEONFORK));
    DENIED(madvise(at(PAGE_START - 4096), 4096 * 4, MADV_DONTFORK));
    madvise(at(PATH_START), 4096, MADV_DONTNEED);
    madvise(at(PATH_START), 4096, MADV_FREE);
    madvise(at(PATH_START), 4096, MADV_REMOVE);
    unchanged();
}

/* A child without the page could map its own there, with a plain hint. */
static void child_without_the_page(void)
{
    pid_t pid;

    begin();
    madvise(at(PAGE_START), 8192, MADV_DONTFORK);
    madvise(at(PATH_START), 4096, MADV_DONTFORK);
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        void *page;

        unchanged();
        page =
            mmap(at(PATH_START), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        not_there("mmap in a child", page);
        _exit(0);
    }
    guest_join(pid);
}

static void shared_segments(void)
{
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);

    begin();
    if (id < 0) {
        attack_tried("shmget", strerrorname_np(errno));
        return;
    }
    not_there("shmat(SHM_REMAP)", shmat(id, at(PATH_START), SHM_REMAP));
    not_there("shmat(SHM_REMAP) of both pages", shmat(id, at(PAGE_START), SHM_REMAP));
    not_there("shmat at it", shmat(id, at(PATH_START), 0));
    not_there("shmat(SHM_RND)", shmat(id, at(PATH_START + 5), SHM_RND | SHM_REMAP));
    shmctl(id, IPC_RMID, NULL);
    unchanged();
}

static void program_break(void)
{
    begin();
    syscall(SYS_brk, PATH_START);
    syscall(SYS_brk, PAGE_START);
    unchanged();
}

static void own_memory_file(void)
{
    int fd = open("/proc/self/mem", O_RDWR);

    begin();
    if (fd < 0) {
        attack_tried("/proc/self/mem", strerrorname_np(errno));
        fd = open("/proc/thread-self/mem", O_WRONLY);
    }
    if (fd >= 0)
        attack_tried("writing /proc/self/mem", pwrite(fd, "/bin/sh", 8, (off_t)PATH_START) < 0
                                                   ? strerrorname_np(errno)
                                                   : "seems to work");
    unchanged();
}

/* The host's execve is open for exactly these pointers: it must lead into the loader only. */
static void starting_the_loader(void)
{
    const char *outside = attack_env("GUEST_OUTSIDE");

    begin();
    for (unsigned long offset = 0; offset < 80; offset += 1) {
        char *argv[] = {"sh", "-c", guest_format("echo x >%s/by-loader", outside), NULL};
        pid_t pid = (pid_t)OK(fork());
        int status;

        if (pid == 0) {
            syscall(SYS_execve, PATH_START + offset, argv, NULL);
            _exit(errno == 0);
        }
        status = guest_wait(pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && offset == 0)
            FAIL("ESCAPED: the loader ran something without being told by its process kernel");
    }
    attack_tried("execve with the loader's own pointer", "every child ended");
    guest_output((char *[]){"/bin/true", NULL}, NULL);
}

static void the_loaders_call(void)
{
    char memory[65536] = "";

    for (long token = 0; token < 64; token++)
        DENIED(syscall(600, token, memory, sizeof(memory), 0, 0, 0));
    DENIED(syscall(600, 0, 0, 0, 0, 0, 0));
    guest_output((char *[]){"/bin/true", NULL}, NULL);
}

static void by_execveat(void)
{
    char *argv[] = {"x", NULL};
    int root = (int)OK(open("/", O_RDONLY));
    pid_t pid;

    begin();
    pid = (pid_t)OK(fork());
    if (pid == 0) {
        syscall(SYS_execveat, root, PATH_START, argv, NULL, 0);
        syscall(SYS_execveat, root, PATH_START, argv, NULL, AT_EMPTY_PATH);
        syscall(SYS_execveat, AT_FDCWD, PATH_START, argv, NULL, 0);
        _exit(44);
    }
    attack_tried("execveat with the loader's pointer",
                 guest_format("wait status %#x", guest_wait(pid)));
    unchanged();
}

static void forged_context(void)
{
    char *cwd = guest_cwd();
    uid_t user = getuid();

    for (unsigned long value = 0; value < 70; value++) {
        struct rlimit limit = {value, RLIM_INFINITY};

        syscall(SYS_setrlimit, RLIMIT_LOCKS, &limit);
        syscall(SYS_prlimit64, 0, RLIMIT_LOCKS, &limit, NULL);
        syscall(SYS_prlimit64, getpid(), RLIMIT_LOCKS, &limit, NULL);
        syscall(SYS_prlimit64, 0, RLIMIT_LOCKS | (1UL << 32), &limit, NULL);
        CHECK_TEXT(guest_cwd(), cwd);
        CHECK_EQ(getuid(), user);
        CHECK_TEXT(guest_link("/proc/self/root"), "/");
    }
    attack_tried("setrlimit(RLIMIT_LOCKS)", "nothing of the process's state changed");
}

static const struct guest_case cases[] = {
    {"writing", writing},
    {"protection", protection},
    {"unmapping", unmapping},
    {"mapping-over", mapping_over},
    {"moving", moving},
    {"advice", advice},
    {"child-without-the-page", child_without_the_page},
    {"shared-segments", shared_segments},
    {"program-break", program_break},
    {"own-memory-file", own_memory_file},
    {"starting-the-loader", starting_the_loader},
    {"the-loaders-call", the_loaders_call},
    {"by-execveat", by_execveat},
    {"forged-context", forged_context},
};

GUEST_MAIN(cases)

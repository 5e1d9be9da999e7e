/* mmap, munmap, mprotect, mremap, msync, madvise, mlock of files and memory. */
#define FAMILY "mmap"
#include "conform.h"

#include <setjmp.h>
#include <sys/resource.h>

static sigjmp_buf after_fault;
static volatile sig_atomic_t fault_code;

static void faulted(int number, siginfo_t *info, void *context)
{
    (void)context;
    fault_code = info->si_code;
    siglongjmp(after_fault, number);
}

/* The signal that reading (or writing) a byte raises; 0: none. */
static int touch(volatile char *at, bool write)
{
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
    int number;

    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    number = sigsetjmp(after_fault, 1);
    if (number)
        return number;
    if (write)
        *at = 'w';
    else
        (void)*at;
    return 0;
}

static char *map(size_t length, int protection, int flags, int fd, off_t offset)
{
    char *at = mmap(NULL, length, protection, flags, fd, offset);

    if (at == MAP_FAILED)
        fail("mmap: %s", strerrorname_np(errno));
    return at;
}

static char *memory(size_t pages)
{
    return map(pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int page_file(int flags)
{
    static char text[8193];

    memset(text, 'a', 4096);
    memset(text + 4096, 'b', 4096);
    file("f", text);
    return (int)ok(open("f", flags));
}

REFUSED(no_length, "mmap(2) EINVAL",
        (long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL)
REFUSED(no_kind, "mmap(2) EINVAL", (long)mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL)
REFUSED(bad_descriptor, "mmap(2) EBADF", (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0),
        EBADF)
REFUSED(too_large, "mmap(2) ENOMEM",
        (long)mmap(NULL, SIZE_MAX & ~4095ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM)
REFUSED(unaligned_fixed, "mmap(2) EINVAL",
        (long)mmap((void *)0x10000001, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0),
        EINVAL)
REFUSED(unmap_unaligned, "munmap(2) EINVAL", munmap((void *)0x10000001, 4096), EINVAL)
REFUSED(unmap_nothing, "munmap(2) EINVAL", munmap((void *)0x10000000, 0), EINVAL)
REFUSED(unmap_kernel, "munmap(2) EINVAL", munmap((void *)0xffff800000000000, 4096), EINVAL)
REFUSED(protect_unaligned, "mprotect(2) EINVAL", mprotect((void *)0x10000001, 4096, PROT_READ),
        EINVAL)
REFUSED(protect_unmapped, "mprotect(2) ENOMEM", mprotect((void *)0x10000000, 4096, PROT_READ),
        ENOMEM)
REFUSED(sync_flags, "msync(2) EINVAL", msync(NULL, 4096, MS_SYNC | MS_ASYNC), EINVAL)
REFUSED(sync_unmapped, "msync(2) ENOMEM", msync((void *)0x10000000, 4096, MS_SYNC), ENOMEM)
REFUSED(advise_kind, "madvise(2) EINVAL", madvise((void *)0x10000000, 4096, 9999), EINVAL)
REFUSED(advise_unmapped, "madvise(2) ENOMEM", madvise((void *)0x10000000, 4096, MADV_NORMAL),
        ENOMEM)
REFUSED(remap_unmapped, "mremap(2) EFAULT",
        (long)mremap((void *)0x10000000, 4096, 8192, MREMAP_MAYMOVE), EFAULT)
REFUSED(lock_unmapped, "mlock(2) ENOMEM", mlock((void *)0x10000000, 4096), ENOMEM)
REFUSED(lock_all_flags, "mlockall(2) EINVAL", mlockall(0), EINVAL)
REFUSED(core_pointer, "mincore(2) ENOMEM", mincore((void *)0x10000000, 4096, (unsigned char[1]){0}),
        ENOMEM)

CHECK(unaligned_offset, "mmap(2) EINVAL")
{
    must(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, page_file(O_RDONLY), 1) == MAP_FAILED);
    is(errno, EINVAL);
}

CHECK(shared_writes, "mmap(2) MAP_SHARED: the file changes")
{
    char text[2] = "";
    int fd = page_file(O_RDWR);
    char *at = map(8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    at[0] = 'X';
    is(pread(fd, text, 1, 0), 1);
    same(text, "X");
    is(pwrite(fd, "Y", 1, 4096), 1);
    is(at[4096], 'Y');
    ok(msync(at, 8192, MS_SYNC));
}

CHECK(private_writes, "mmap(2) MAP_PRIVATE: the file does not change")
{
    char text[2] = "";
    int fd = page_file(O_RDONLY);
    char *at = map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    at[0] = 'X';
    is(pread(fd, text, 1, 0), 1);
    same(text, "a");
}

CHECK(shared_between_opens, "mmap(2): mappings of two descriptors are one")
{
    char *one = map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, page_file(O_RDWR), 0);
    char *two = map(4096, PROT_READ, MAP_SHARED, (int)ok(open("f", O_RDONLY)), 0);

    one[7] = 'X';
    is(two[7], 'X');
}

CHECK(shared_with_children, "fork(2): shared mappings stay shared, private ones are copied")
{
    char *shared = map(4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *private = memory(1);

    IN_CHILD shared[0] = private[0] = 'X';
    is(shared[0], 'X');
    is(private[0], 0);
}

CHECK(offset, "mmap(2): the offset")
{
    char *at = map(4096, PROT_READ, MAP_PRIVATE, page_file(O_RDONLY), 4096);

    is(at[0], 'b');
}

CHECK(write_needs_write, "mmap(2) EACCES")
{
    int fd = page_file(O_RDONLY);
    char *at;

    must(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    is(errno, EACCES);
    at = map(4096, PROT_READ, MAP_SHARED, fd, 0);
    fails(mprotect(at, 4096, PROT_READ | PROT_WRITE), EACCES);
    must(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, (int)ok(open("f", O_WRONLY)), 0) == MAP_FAILED);
    is(errno, EACCES);
}

CHECK(path_descriptor, "open(2) O_PATH: mmap EBADF")
{
    close(page_file(O_RDONLY));
    must(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, (int)ok(open("f", O_PATH)), 0) == MAP_FAILED);
    is(errno, EBADF);
}

CHECK(beyond_the_end, "mmap(2): SIGBUS behind the last page, zeros in it")
{
    char *at;

    file("f", "text");
    at = map(8192, PROT_READ, MAP_SHARED, (int)ok(open("f", O_RDONLY)), 0);
    is(at[100], 0);
    is(touch(at + 4096, false), SIGBUS);
    is(fault_code, BUS_ADRERR);
}

CHECK(truncated_below, "mmap(2): SIGBUS after the file was cut")
{
    int fd = page_file(O_RDWR);
    char *at = map(8192, PROT_READ, MAP_SHARED, fd, 0);

    is(touch(at + 4096, false), 0);
    ok(truncate("f", 10));
    is(touch(at + 4096, false), SIGBUS);
    is(at[20], 0);
    ok(ftruncate(fd, 8192));
    is(touch(at + 4096, false), 0);
}

CHECK(outlives_descriptor_and_name, "mmap(2): closing and unlinking leave the mapping")
{
    int fd = page_file(O_RDONLY);
    char *at = map(8192, PROT_READ, MAP_SHARED, fd, 0);

    ok(close(fd));
    ok(unlink("f"));
    is(at[4096], 'b');
}

CHECK(fixed_replaces, "mmap(2) MAP_FIXED")
{
    char *at = memory(3);

    at[4096] = 'x';
    must(mmap(at + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
         at + 4096);
    is(at[4096], 0);
    is(touch(at + 4096, true), SIGSEGV);
    is(touch(at + 8192, true), 0);
}

CHECK(fixed_no_replace, "mmap(2) MAP_FIXED_NOREPLACE EEXIST")
{
    char *at = memory(1);

    must(mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
         MAP_FAILED);
    is(errno, EEXIST);
}

CHECK(hint, "mmap(2): a free hint is taken")
{
    char *at = memory(4);

    ok(munmap(at, 4 * 4096));
    must(mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == at);
}

CHECK(unmapped_faults, "munmap(2): SIGSEGV, SEGV_MAPERR")
{
    char *at = memory(2);

    ok(munmap(at, 4096));
    is(touch(at, false), SIGSEGV);
    is(fault_code, SEGV_MAPERR);
    is(touch(at + 4096, true), 0);
    ok(munmap(at, 4096));
}

CHECK(protection_faults, "mprotect(2): SIGSEGV, SEGV_ACCERR")
{
    char *at = memory(1);

    at[0] = 'x';
    ok(mprotect(at, 4096, PROT_READ));
    is(touch(at, false), 0);
    is(touch(at, true), SIGSEGV);
    is(fault_code, SEGV_ACCERR);
    ok(mprotect(at, 4096, PROT_NONE));
    is(touch(at, false), SIGSEGV);
    ok(mprotect(at, 4096, PROT_READ | PROT_WRITE));
    is(at[0], 'x');
}

CHECK(code_can_be_made, "mprotect(2) PROT_EXEC")
{
    static const unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    char *at = memory(1);
    int (*function)(void) = (int (*)(void))at;

    memcpy(at, code, sizeof(code));
    ok(mprotect(at, 4096, PROT_READ | PROT_EXEC));
    is(function(), 42);
}

CHECK(code_from_a_file, "mmap(2) PROT_EXEC of a file")
{
    static const char code[] = "\xb8\x2a\0\0\0\xc3";
    int fd = (int)ok(open("f", O_RDWR | O_CREAT, 0755));
    char *at;

    is(write(fd, code, sizeof(code)), (long)sizeof(code));
    at = map(4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    is(((int (*)(void))at)(), 42);
}

CHECK(no_execute, "mmap(2): without PROT_EXEC SIGSEGV")
{
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
    char *at = memory(1);

    at[0] = (char)0xc3;
    ok(sigaction(SIGSEGV, &action, NULL));
    if (sigsetjmp(after_fault, 1) == 0) {
        ((void (*)(void))at)();
        fail("it ran");
    }
}

CHECK(remap_grows, "mremap(2): content is kept")
{
    char *at = memory(2);

    at[4096] = 'x';
    at = mremap(at, 8192, 1 << 20, MREMAP_MAYMOVE);
    must(at != MAP_FAILED);
    is(at[4096], 'x');
    is(at[8192], 0);
    must(mremap(at, 1 << 20, 4096, 0) == at);
    is(touch(at + 4096, false), SIGSEGV);
}

CHECK(remap_cannot_grow, "mremap(2) ENOMEM without MREMAP_MAYMOVE")
{
    char *at = memory(2);

    ok(mprotect(at + 4096, 4096, PROT_NONE));
    must(mremap(at, 4096, 8192, 0) == MAP_FAILED);
    is(errno, ENOMEM);
}

CHECK(remap_fixed, "mremap(2) MREMAP_FIXED")
{
    char *from = memory(1);
    char *to = memory(1);

    from[0] = 'x';
    must(mremap(from, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    is(to[0], 'x');
    is(touch(from, false), SIGSEGV);
}

CHECK(remap_keeps_old, "mremap(2) MREMAP_DONTUNMAP")
{
    char *from = memory(1);
    char *to;

    from[0] = 'x';
    to = (char *)syscall(SYS_mremap, from, 4096, 4096, MREMAP_MAYMOVE | 4, 0);
    if (to == MAP_FAILED)
        skip("not known to this kernel");
    is(to[0], 'x');
    is(from[0], 0);
}

CHECK(do_not_need, "madvise(2) MADV_DONTNEED: zeros, or the file again")
{
    char *at = memory(1);
    char *mapped = map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, page_file(O_RDONLY), 0);

    at[0] = 'x';
    ok(madvise(at, 4096, MADV_DONTNEED));
    is(at[0], 0);
    mapped[0] = 'x';
    ok(madvise(mapped, 4096, MADV_DONTNEED));
    is(mapped[0], 'a');
}

CHECK(do_not_fork, "madvise(2) MADV_DONTFORK, MADV_WIPEONFORK")
{
    char *hidden = memory(1);
    char *wiped = memory(1);

    hidden[0] = wiped[0] = 'x';
    ok(madvise(hidden, 4096, MADV_DONTFORK));
    ok(madvise(wiped, 4096, MADV_WIPEONFORK));
    IN_CHILD
    {
        is(touch(hidden, false), SIGSEGV);
        is(wiped[0], 0);
    }
    is(wiped[0], 'x');
}

CHECK(remove_hole, "madvise(2) MADV_REMOVE")
{
    char *at = map(8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    at[0] = at[4096] = 'x';
    ok(madvise(at, 4096, MADV_REMOVE));
    is(at[0], 0);
    is(at[4096], 'x');
}

CHECK(locking, "mlock(2), munlock(2), RLIMIT_MEMLOCK")
{
    struct rlimit limit = {8192, 8192};
    char *at = memory(16);

    as_user();
    ok(mlock(at, 4096));
    ok(munlock(at, 4096));
    ok(setrlimit(RLIMIT_MEMLOCK, &limit));
    fails(mlock(at, 16 * 4096), ENOMEM);
    ok(mlock(at, 8192));
}

CHECK(resident, "mincore(2)")
{
    unsigned char resident[2] = {0, 0};
    char *at = memory(2);

    at[0] = 'x';
    ok(mincore(at, 8192, resident));
    is(resident[0] & 1, 1);
    is(resident[1] & 1, 0);
}

CHECK(lazy_memory, "mmap(2) MAP_NORESERVE: much more than there is")
{
    char *at =
        map(1ul << 36, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    at[1ul << 35] = 'x';
    is(at[1ul << 35], 'x');
}

CHECK(address_space_limit, "setrlimit(2) RLIMIT_AS: ENOMEM")
{
    struct rlimit limit = {256 << 20, 256 << 20};

    ok(setrlimit(RLIMIT_AS, &limit));
    must(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    is(errno, ENOMEM);
}

CHECK(protection_keys, "pkey_alloc(2), pkey_mprotect(2)")
{
    char *at = memory(1);
    int key = pkey_alloc(0, 0);

    if (key < 0)
        skip("no protection keys here");
    ok(pkey_mprotect(at, 4096, PROT_READ | PROT_WRITE, key));
    at[0] = 'x';
    ok(pkey_set(key, PKEY_DISABLE_WRITE));
    is(touch(at, true), SIGSEGV);
    is(fault_code, SEGV_PKUERR);
    ok(pkey_mprotect(at, 4096, PROT_READ | PROT_WRITE, 0));
    ok(pkey_free(key));
}

CHECK(file_of_proc_cannot_be_mapped, "mmap(2) ENODEV")
{
    int fd = (int)ok(open("/proc/self/status", O_RDONLY));

    must(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    must(errno == ENODEV || errno == EIO);
}

CHECK(zero_device, "mmap(2) of /dev/zero")
{
    char *at =
        map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, (int)ok(open("/dev/zero", O_RDWR)), 0);

    is(at[5], 0);
    at[5] = 'x';
    is(at[5], 'x');
}

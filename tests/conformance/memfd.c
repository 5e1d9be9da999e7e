/* memfd_create and seals. */
#define FAMILY "memfd"
#include "conform.h"

static int sealed(int seals)
{
    int fd = (int)ok(memfd_create("m", MFD_ALLOW_SEALING));

    is(write(fd, "text", 4), 4);
    ok(fcntl(fd, F_ADD_SEALS, seals));
    return fd;
}

REFUSED(bad_flags, "memfd_create(2) EINVAL", memfd_create("m", 1u << 30), EINVAL)
REFUSED(bad_pointer, "memfd_create(2) EFAULT", memfd_create((char *)8, 0), EFAULT)
REFUSED(long_name, "memfd_create(2) EINVAL", ({
            static char n_[300];
            memset(n_, 'n', 299);
            memfd_create(n_, 0);
        }),
        EINVAL)
REFUSED(write_sealed, "fcntl(2) F_SEAL_WRITE", write(sealed(F_SEAL_WRITE), "x", 1), EPERM)
REFUSED(shrink_sealed, "fcntl(2) F_SEAL_SHRINK", ftruncate(sealed(F_SEAL_SHRINK), 1), EPERM)
REFUSED(grow_sealed, "fcntl(2) F_SEAL_GROW", ftruncate(sealed(F_SEAL_GROW), 100), EPERM)
REFUSED(write_behind_end_sealed, "fcntl(2) F_SEAL_GROW", pwrite(sealed(F_SEAL_GROW), "x", 1, 5000),
        EPERM)
REFUSED(seal_sealed, "fcntl(2) F_SEAL_SEAL", fcntl(sealed(F_SEAL_SEAL), F_ADD_SEALS, F_SEAL_WRITE),
        EPERM)
REFUSED(not_sealable, "fcntl(2) EPERM: without MFD_ALLOW_SEALING",
        fcntl(memfd_create("m", 0), F_ADD_SEALS, F_SEAL_WRITE), EPERM)
REFUSED(bad_seal, "fcntl(2) EINVAL",
        fcntl(memfd_create("m", MFD_ALLOW_SEALING), F_ADD_SEALS, 1 << 20), EINVAL)
REFUSED(mapping_for_writing, "fcntl(2) F_SEAL_WRITE",
        (long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, sealed(F_SEAL_WRITE), 0), EPERM)
REFUSED(punch_sealed, "fallocate(2) F_SEAL_WRITE", fallocate(sealed(F_SEAL_WRITE), 3, 0, 2), EPERM)

CHECK(seals_are_told, "fcntl(2) F_GET_SEALS")
{
    int fd = sealed(F_SEAL_SHRINK);

    is(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    is(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
    is(fcntl((int)ok(memfd_create("m", 0)), F_GET_SEALS), F_SEAL_SEAL);
}

CHECK(file_has_no_seals, "fcntl(2) EINVAL; EPERM on tmpfs")
{
    file("f", "");
    must(fcntl((int)ok(open("f", O_RDWR)), F_ADD_SEALS, F_SEAL_WRITE) == -1);
    must(errno == EINVAL || errno == EPERM);
}

CHECK(busy, "fcntl(2) EBUSY: a writable mapping")
{
    int fd = (int)ok(memfd_create("m", MFD_ALLOW_SEALING));
    void *at;

    ok(ftruncate(fd, 4096));
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED);
    fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    ok(munmap(at, 4096));
    ok(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}

CHECK(name, "memfd_create(2): the link in /proc/self/fd")
{
    char path[64];
    char text[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)ok(memfd_create("my name", 0)));
    ok(readlink(path, text, sizeof(text) - 1));
    same(text, "/memfd:my name (deleted)");
}

CHECK(reopened, "memfd_create(2): reopened by /proc/self/fd, read only")
{
    char path[64];
    int fd = sealed(0);
    int other;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    other = (int)ok(open(path, O_RDONLY));
    fails(write(other, "x", 1), EBADF);
    content(path, "text");
}

CHECK(seals_of_all_descriptors, "fcntl(2): seals are of the inode")
{
    char path[64];
    int fd = sealed(0);

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ok(fcntl((int)ok(open(path, O_RDWR)), F_ADD_SEALS, F_SEAL_WRITE));
    fails(write(fd, "x", 1), EPERM);
}

CHECK(close_on_exec, "memfd_create(2) MFD_CLOEXEC")
{
    is(fcntl((int)ok(memfd_create("m", MFD_CLOEXEC)), F_GETFD), FD_CLOEXEC);
    is(fcntl((int)ok(memfd_create("m", 0)), F_GETFD), 0);
}
CHECK(secret, "memfd_secret(2): works or ENOSYS")
{
    int fd = (int)syscall(SYS_memfd_secret, 0);

    if (fd < 0)
        skip("not in this kernel");
    fails(write(fd, "x", 1), EINVAL);
    ok(ftruncate(fd, 4096));
}

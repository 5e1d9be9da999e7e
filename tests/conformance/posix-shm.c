/* POSIX shared memory and semaphores: /dev/shm. */
#define FAMILY "posix-shm"
#include "conform.h"

#include <semaphore.h>

static char *name(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "/conform-%d", getpid());
    return text;
}

REFUSED(missing, "shm_open(3) ENOENT", shm_open("/conform-no", O_RDWR, 0), ENOENT)
REFUSED(slashes, "shm_open(3) EINVAL", shm_open("/a/b", O_RDWR, 0), EINVAL)
REFUSED(unlink_missing, "shm_unlink(3) ENOENT", shm_unlink("/conform-no"), ENOENT)
REFUSED(semaphore_missing, "sem_open(3) ENOENT", sem_open("/conform-no", 0) == SEM_FAILED ? -1 : 0,
        ENOENT)

CHECK(directory, "shm_overview(7): /dev/shm is a sticky directory for all")
{
    is(mode_of("/dev/shm"), 01777);
    ok(access("/dev/shm", R_OK | W_OK | X_OK));
}

CHECK(between_processes, "shm_open(3), mmap(2): shared by name")
{
    const char *path = name();
    int fd = (int)ok(shm_open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
    char *at;

    ok(ftruncate(fd, 4096));
    at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(at != MAP_FAILED);
    IN_CHILD
    {
        char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                         (int)ok(shm_open(path, O_RDWR, 0)), 0);

        own[9] = 'x';
    }
    is(at[9], 'x');
    fails(shm_open(path, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    ok(shm_unlink(path));
    at[10] = 'y';
    fails(shm_open(path, O_RDWR, 0), ENOENT);
}

CHECK(new_is_empty, "shm_open(3): a new object has size 0, truncated it is zero")
{
    struct stat status;
    int fd = (int)ok(shm_open(name(), O_RDWR | O_CREAT, 0600));
    char byte = 1;

    ok(fstat(fd, &status));
    is(status.st_size, 0);
    ok(ftruncate(fd, 10));
    is(pread(fd, &byte, 1, 5), 1);
    is(byte, 0);
    is(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ok(shm_unlink(name()));
}

CHECK(named_semaphore, "sem_open(3), sem_wait(3), sem_post(3)")
{
    char path[32];
    sem_t *semaphore;
    int value;

    snprintf(path, sizeof(path), "%s", name());
    semaphore = sem_open(path, O_CREAT | O_EXCL, 0600, 1);
    must(semaphore != SEM_FAILED);
    ok(sem_wait(semaphore));
    fails(sem_trywait(semaphore), EAGAIN);
    IN_CHILD
    {
        sem_t *own = sem_open(path, 0);

        must(own != SEM_FAILED);
        ok(sem_post(own));
    }
    ok(sem_getvalue(semaphore, &value));
    is(value, 1);
    must(sem_open(path, O_CREAT | O_EXCL, 0600, 1) == SEM_FAILED);
    is(errno, EEXIST);
    ok(sem_unlink(path));
}

CHECK(semaphore_times_out, "sem_timedwait(3) ETIMEDOUT")
{
    sem_t semaphore;
    struct timespec end;

    ok(sem_init(&semaphore, 0, 0));
    clock_gettime(CLOCK_REALTIME, &end);
    fails(sem_timedwait(&semaphore, &end), ETIMEDOUT);
}

CHECK(semaphore_interrupted, "sem_wait(3) EINTR")
{
    sem_t semaphore;

    ok(sem_init(&semaphore, 0, 0));
    ticking(0);
    fails(sem_wait(&semaphore), EINTR);
}

/* flock, POSIX locks, open file description locks, leases. */
#define FAMILY "locks"
#include "conform.h"

#include <sys/file.h>

static int opened(int flags)
{
    return (int)ok(open("f", flags | O_CREAT, 0644));
}

static int lock(int fd, int command, short type, off_t start, off_t length)
{
    struct flock lock_ = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    return fcntl(fd, command, &lock_);
}

static struct flock asked(int fd, int command, short type, off_t start, off_t length)
{
    struct flock lock_ = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};

    ok(fcntl(fd, command, &lock_));
    return lock_;
}

REFUSED(flock_bad, "flock(2) EBADF", flock(-1, LOCK_EX), EBADF)
REFUSED(flock_operation, "flock(2) EINVAL", flock(opened(O_RDWR), 0), EINVAL)
REFUSED(lock_type, "fcntl(2) EINVAL", lock(opened(O_RDWR), F_SETLK, 77, 0, 0), EINVAL)
REFUSED(lock_before_start, "fcntl(2) EINVAL", lock(opened(O_RDWR), F_SETLK, F_WRLCK, -5, 1), EINVAL)
REFUSED(lock_needs_write, "fcntl(2) EBADF", ({
            file("f", "");
            lock((int)ok(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 0);
        }),
        EBADF)
REFUSED(lock_needs_read, "fcntl(2) EBADF", lock(opened(O_WRONLY), F_SETLK, F_RDLCK, 0, 0), EBADF)
REFUSED(ofd_pid, "fcntl(2) EINVAL: l_pid of an OFD lock",
        fcntl(opened(O_RDWR), F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_pid = 1}), EINVAL)
REFUSED(lease_of_pipe, "fcntl(2) EINVAL", ({
            int e_[2];
            pipe(e_);
            fcntl(e_[0], F_SETLEASE, F_RDLCK);
        }),
        EINVAL)
REFUSED(lock_path_descriptor, "open(2) O_PATH: flock EBADF",
        flock((int)ok(open(".", O_PATH)), LOCK_SH), EBADF)

CHECK(flock_excludes, "flock(2): open file descriptions exclude each other")
{
    int one = opened(O_RDWR);
    int two = opened(O_RDWR);

    ok(flock(one, LOCK_EX));
    fails(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    fails(flock(two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    ok(flock(one, LOCK_SH));
    ok(flock(two, LOCK_SH | LOCK_NB));
    fails(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    ok(flock(one, LOCK_UN));
    ok(flock(two, LOCK_EX | LOCK_NB));
}

CHECK(flock_of_duplicates, "flock(2): duplicates and children share the lock")
{
    int one = opened(O_RDWR);
    int copy = (int)ok(dup(one));
    int two = opened(O_RDWR);

    ok(flock(one, LOCK_EX));
    ok(flock(copy, LOCK_EX));
    ok(close(one));
    fails(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    IN_CHILD ok(flock(copy, LOCK_UN));
    ok(flock(two, LOCK_EX | LOCK_NB));
}

CHECK(flock_of_directory, "flock(2): directories can be locked")
{
    int one = (int)ok(open(".", O_RDONLY));
    int two = (int)ok(open(".", O_RDONLY));

    ok(flock(one, LOCK_EX));
    fails(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
}

CHECK(flock_of_directory_is_shared, "flock(2): a directory; duplicates and children share the lock")
{
    int one = (int)ok(open(".", O_RDONLY));
    int two = (int)ok(open(".", O_RDONLY));
    int copy = (int)ok(dup(one));

    ok(flock(one, LOCK_SH));
    ok(flock(two, LOCK_SH | LOCK_NB));
    fails(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    ok(flock(two, LOCK_UN));
    ok(flock(one, LOCK_EX));
    ok(close(one));
    fails(flock(two, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    IN_CHILD ok(flock(copy, LOCK_UN));
    ok(flock(two, LOCK_EX | LOCK_NB));
}

CHECK(flock_of_duplicated_directory,
      "flock(2): a directory, by descriptors that were duplicated (as exec 9<DIR does)")
{
    int one = (int)ok(open(".", O_RDONLY));
    int two = (int)ok(open(".", O_RDONLY));

    is(dup2(one, 40), 40);
    is(dup2(two, 41), 41);
    ok(close(one));
    ok(close(two));
    ok(flock(40, LOCK_EX));
    fails(flock(41, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    ok(flock(40, LOCK_UN));
    ok(flock(41, LOCK_EX | LOCK_NB));
    IN_CHILD fails(flock((int)ok(open(".", O_RDONLY)), LOCK_SH | LOCK_NB), EWOULDBLOCK);
}

CHECK(flock_of_directory_wakes, "flock(2): a directory; a waiter goes on when the holder ends")
{
    int ends[2];
    char byte;
    pid_t pid;

    ok(mkdir("d", 0755));
    ok(pipe(ends));
    pid = spawn();
    if (pid == 0) {
        ok(flock((int)ok(open("d", O_RDONLY)), LOCK_EX));
        ok(write(ends[1], "x", 1));
        nap(5);
        _exit(0);
    }
    is(read(ends[0], &byte, 1), 1);
    ok(flock((int)ok(open("d", O_RDONLY)), LOCK_EX));
    joins(pid);
    is(flock((int)ok(open(".", O_RDONLY)), LOCK_EX | LOCK_NB), 0);
}

CHECK(flock_of_directory_is_interrupted, "flock(2): a directory, EINTR")
{
    ok(flock((int)ok(open(".", O_RDONLY)), LOCK_EX));
    ticking(0);
    fails(flock((int)ok(open(".", O_RDONLY)), LOCK_EX), EINTR);
}

static void *counts_under_lock(void *nothing)
{
    for (int i = 0; i < 10; i++) {
        int fd = (int)ok(open("d", O_RDONLY | O_CLOEXEC));
        char text[32] = "";
        int counter;

        ok(flock(fd, LOCK_EX));
        counter = (int)ok(open("f", O_RDWR));
        ok(read(counter, text, 31));
        snprintf(text, sizeof(text), "%ld", strtol(text, NULL, 10) + 1);
        ok(pwrite(counter, text, strlen(text), 0));
        ok(close(counter));
        ok(close(fd));
    }
    return nothing;
}

CHECK(flock_of_directory_excludes_threads,
      "flock(2): a directory; a counter under the lock loses nothing")
{
    pthread_t threads[4];

    ok(mkdir("d", 0755));
    file("f", "0");
    for (int i = 0; i < 4; i++)
        threads[i] = start(counts_under_lock, NULL);
    for (int i = 0; i < 4; i++)
        end_of(threads[i]);
    content("f", "40");
}

CHECK(flock_wakes, "flock(2): a waiter goes on when the holder ends")
{
    int ends[2];
    char byte;
    pid_t pid;

    file("f", "");
    ok(pipe(ends));
    pid = spawn();
    if (pid == 0) {
        ok(flock(opened(O_RDWR), LOCK_EX));
        ok(write(ends[1], "x", 1));
        nap(5);
        _exit(0);
    }
    is(read(ends[0], &byte, 1), 1);
    ok(flock(opened(O_RDWR), LOCK_EX));
    joins(pid);
}

CHECK(posix_excludes, "fcntl(2) F_SETLK: processes exclude each other; F_GETLK tells who")
{
    int fd = opened(O_RDWR);

    ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
    IN_CHILD
    {
        struct flock found;

        fails(lock(fd, F_SETLK, F_RDLCK, 15, 1), EAGAIN);
        ok(lock(fd, F_SETLK, F_WRLCK, 20, 5));
        found = asked(fd, F_GETLK, F_WRLCK, 0, 100);
        is(found.l_type, F_WRLCK);
        is(found.l_start, 10);
        is(found.l_len, 10);
        is(found.l_pid, getppid());
    }
    is(asked(fd, F_GETLK, F_WRLCK, 0, 0).l_type, F_UNLCK);
}

CHECK(posix_splits, "fcntl(2): unlocking the middle makes two locks")
{
    int fd = opened(O_RDWR);

    ok(lock(fd, F_SETLK, F_WRLCK, 0, 30));
    ok(lock(fd, F_SETLK, F_UNLCK, 10, 10));
    IN_CHILD
    {
        ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
        fails(lock(fd, F_SETLK, F_WRLCK, 9, 1), EAGAIN);
        fails(lock(fd, F_SETLK, F_WRLCK, 20, 1), EAGAIN);
    }
}

CHECK(posix_negative_length, "fcntl(2): a negative length is what lies before")
{
    int fd = opened(O_RDWR);

    ok(lock(fd, F_SETLK, F_WRLCK, 10, -5));
    IN_CHILD
    {
        is(asked(fd, F_GETLK, F_WRLCK, 0, 0).l_start, 5);
        is(asked(fd, F_GETLK, F_WRLCK, 0, 0).l_len, 5);
    }
}

CHECK(posix_close_releases, "fcntl(2): closing any descriptor of the file releases all")
{
    int fd = opened(O_RDWR);

    ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    ok(close(opened(O_RDONLY)));
    IN_CHILD ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

CHECK(posix_kept_by_exec, "fcntl(2): kept by execve(2)")
{
    int ends[2];
    char byte;
    pid_t pid;

    file("f", "");
    ok(pipe2(ends, O_CLOEXEC));
    pid = spawn();
    if (pid == 0) {
        ok(lock(opened(O_RDWR), F_SETLK, F_WRLCK, 0, 0));
        execl(self_path, "x", "--helper", "sleep", NULL);
        _exit(1);
    }
    close(ends[1]);
    is(read(ends[0], &byte, 1), 0);
    fails(lock(opened(O_RDWR), F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    ok(kill(pid, SIGKILL));
    killed(pid, SIGKILL);
    ok(lock(opened(O_RDWR), F_SETLK, F_WRLCK, 0, 0));
}

CHECK(posix_deadlock, "fcntl(2) EDEADLK")
{
    int ends[2];
    char byte;
    int fd = opened(O_RDWR);
    pid_t pid;

    ok(pipe(ends));
    ok(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    pid = spawn();
    if (pid == 0) {
        ok(lock(fd, F_SETLK, F_WRLCK, 1, 1));
        ok(write(ends[1], "x", 1));
        ok(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
        _exit(0);
    }
    is(read(ends[0], &byte, 1), 1);
    until_sleeping(pid);
    fails(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    ok(lock(fd, F_SETLK, F_UNLCK, 0, 1));
    joins(pid);
}

CHECK(ofd_excludes, "fcntl(2) F_OFD_SETLK: within one process, too")
{
    int one = opened(O_RDWR);
    int two = opened(O_RDWR);

    ok(lock(one, F_OFD_SETLK, F_WRLCK, 0, 10));
    fails(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
    is(asked(two, F_OFD_GETLK, F_WRLCK, 0, 0).l_pid, -1);
    fails(lock(two, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
    ok(close(opened(O_RDONLY)));
    fails(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
    ok(close(one));
    ok(lock(two, F_OFD_SETLK, F_WRLCK, 5, 1));
}

CHECK(locks_are_of_the_inode, "fcntl(2): hard links and renames do not matter")
{
    int fd = opened(O_RDWR);

    ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    ok(link("f", "g"));
    IN_CHILD fails(lock((int)ok(open("g", O_RDWR)), F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    ok(rename("f", "h"));
    IN_CHILD fails(lock((int)ok(open("h", O_RDWR)), F_SETLK, F_WRLCK, 0, 0), EAGAIN);
}

CHECK(lockf_function, "lockf(3)")
{
    int fd = opened(O_RDWR);

    ok(lockf(fd, F_LOCK, 0));
    IN_CHILD
    {
        fails(lockf(fd, F_TLOCK, 0), EAGAIN);
        fails(lockf(fd, F_TEST, 0), EACCES);
    }
    ok(lockf(fd, F_ULOCK, 0));
}

CHECK(read_lease, "fcntl(2) F_SETLEASE: broken by an open for writing")
{
    int fd;

    file("f", "");
    fd = (int)ok(open("f", O_RDONLY));
    handle(SIGIO, count_signal, SA_RESTART);
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        skip("no leases here");
    is(fcntl(fd, F_GETLEASE), F_RDLCK);
    IN_CHILD ok(open("f", O_RDONLY));
    is(ticks, 0);
    IN_CHILD fails(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
    for (int i = 0; i < 200 && !ticks; i++)
        nap(1);
    is(ticks, 1);
    ok(fcntl(fd, F_SETLEASE, F_UNLCK));
    ok(open("f", O_WRONLY));
}

/*
 * flock(2) on directories that are merged or in memory. Each open of one is an empty file of its
 * own to the host (vfs/handle.c), so locks of two opens would never meet. The locks are still the
 * host's: each open has its lock on its own file, so that duplicates and children share it and it
 * goes with the last descriptor. Whether another open has one is tried on that one's file, for
 * which a list says which files stand for the same directory. Only the kernel thread takes locks,
 * so nobody comes between the trial and the lock. Served for all numbers: a shell duplicates the
 * descriptor of a lock out of the window.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "linux/file-internal.h"

#define MOST_LOCKS 1024

struct identity {
    dev_t device;
    ino_t inode;
};

/* An open of a directory that has had a lock; whether it still has is for the host to say. */
struct directory_lock {
    struct identity directory;
    struct identity token; /* the file that stands for the open */
    int fd;                /* O_PATH, of that file: keeps no lock alive */
};

struct file_locks {
    struct directory_lock locks[MOST_LOCKS];
    size_t count;
};

struct file_locks *file_locks_new(void)
{
    return calloc(1, sizeof(struct file_locks));
}

void file_locks_free(struct file_locks *locks)
{
    for (size_t i = 0; locks && i < locks->count; i++)
        base_close(locks->locks[i].fd);
    free(locks);
}

static bool is_same(struct identity a, struct identity b)
{
    return a.device == b.device && a.inode == b.inode;
}

static void forget(struct file_locks *locks, size_t at)
{
    base_close(locks->locks[at].fd);
    locks->locks[at] = locks->locks[--locks->count];
}

/* What the file of an open is locked for others: LOCK_EX, LOCK_SH or LOCK_UN. */
static int state_of(const struct directory_lock *lock)
{
    char path[IO_FD_PATH_SIZE];
    cleanup_close int fd = open(io_fd_path(lock->fd, path), O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return LOCK_UN;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return LOCK_UN;
    return flock(fd, LOCK_SH | LOCK_NB) == 0 ? LOCK_SH : LOCK_EX;
}

/* The lock of another open that forbids this one; NULL when there is none. Forgets what is gone. */
static const struct directory_lock *
find_conflict(struct file_locks *locks, struct identity directory, struct identity own, int kind)
{
    for (size_t i = locks->count; i-- > 0;) {
        const struct directory_lock *lock = &locks->locks[i];
        int state;

        if (!is_same(lock->directory, directory) || is_same(lock->token, own))
            continue;
        state = state_of(lock);
        if (state == LOCK_UN)
            forget(locks, i);
        else if (state == LOCK_EX || kind == LOCK_EX)
            return lock;
    }
    return NULL;
}

static void forget_gone(struct file_locks *locks)
{
    for (size_t i = locks->count; i-- > 0;)
        if (state_of(&locks->locks[i]) == LOCK_UN)
            forget(locks, i);
}

static int remember(struct file_locks *locks, struct identity directory, struct identity token,
                    int fd)
{
    char path[IO_FD_PATH_SIZE];
    int kept;

    for (size_t i = 0; i < locks->count; i++)
        if (is_same(locks->locks[i].token, token))
            return 0;
    if (locks->count == MOST_LOCKS)
        forget_gone(locks);
    if (locks->count == MOST_LOCKS)
        return -ENOLCK;
    kept = open(io_fd_path(fd, path), O_PATH | O_CLOEXEC);
    if (kept < 0)
        return -ENOLCK;
    locks->locks[locks->count++] = (struct directory_lock){directory, token, kept};
    return 0;
}

/* ---- waiting ---- */

struct lock_job {
    struct pk_job job;
    int fd; /* of the file that is in the way, opened anew */
    int kind;
};

static struct pk_answer lock_directory(struct pk_request *request, struct vfs_place *place, int fd);

static int64_t run_wait(struct pk_job *job)
{
    struct lock_job *self = container_of(job, struct lock_job, job);

    if (flock(self->fd, self->kind) < 0)
        return -errno;
    flock(self->fd, LOCK_UN); /* at once: whoever has the open may want its lock back */
    return 0;
}

/* What was in the way is gone; something else may have come. */
static struct pk_answer finish_wait(struct pk_job *job, struct pk_request *request, int64_t result)
{
    struct lock_job *self = container_of(job, struct lock_job, job);
    cleanup_place struct vfs_place *place = NULL;
    cleanup_close int fd = -1;
    int r;

    base_close(take_fd(&self->fd));
    if (result < 0)
        return pk_value(result);
    fd = file_get_open_fd(request, (int)request->args[0]);
    r = fd < 0 ? fd : vfs_place_of_fd(request->kernel->vfs, fd, &place);
    return r < 0 ? pk_error(r) : lock_directory(request, place, fd);
}

static void release_wait(struct pk_job *job)
{
    struct lock_job *self = container_of(job, struct lock_job, job);

    base_close(self->fd);
    free(self);
}

/* `token` is the file that is in the way. */
static struct pk_answer wait_for(int token, int kind)
{
    struct lock_job *self = malloc(sizeof(*self));
    char path[IO_FD_PATH_SIZE];
    int fd = open(io_fd_path(token, path), O_RDONLY | O_CLOEXEC);

    if (self == NULL || fd < 0) {
        free(self);
        base_close(fd);
        return pk_error(-ENOLCK);
    }
    *self =
        (struct lock_job){.job = {.run = run_wait, .finish = finish_wait, .release = release_wait},
                          .fd = fd,
                          .kind = kind};
    return pk_deferred(&self->job);
}

/* ---- locking ---- */

static int identify(int fd, struct identity *ret_identity)
{
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    *ret_identity = (struct identity){stat.st_dev, stat.st_ino};
    return 0;
}

static int identify_place(struct vfs_place *place, struct identity *ret_identity)
{
    struct statx stat;
    int r = vfs_stat(place, &stat);

    if (r == 0)
        *ret_identity =
            (struct identity){makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino};
    return r;
}

/* `fd` is a duplicate of the guest's descriptor, so its lock is the guest's. */
static struct pk_answer lock_directory(struct pk_request *request, struct vfs_place *place, int fd)
{
    struct file_locks *locks = linux_state(request->kernel)->locks;
    int kind = (int)request->args[1] & ~LOCK_NB;
    const struct directory_lock *conflict;
    struct identity directory = {0}, token = {0};
    int r = identify(fd, &token);

    r = r < 0 ? r : identify_place(place, &directory);
    if (r < 0)
        return pk_error(r);
    r = remember(locks, directory, token, fd);
    if (r < 0)
        return pk_error(r);
    conflict = find_conflict(locks, directory, token, kind);
    /* A worker that waited for this very file may have its lock for an instant. */
    if (!conflict && flock(fd, kind | LOCK_NB) == 0)
        return pk_value(0);
    if (request->args[1] & LOCK_NB)
        return pk_error(-EWOULDBLOCK);
    return wait_for(conflict ? conflict->fd : fd, kind);
}

static struct pk_answer serve_flock(struct pk_request *request)
{
    cleanup_place struct vfs_place *place = NULL;
    int kind = (int)request->args[1] & ~LOCK_NB;
    cleanup_close int fd = file_get_open_fd(request, (int)request->args[0]);

    if (fd < 0)
        return pk_error(fd);
    /* An unlock needs no look at others, and what is no directory of ours is the host's to lock. */
    if ((kind != LOCK_SH && kind != LOCK_EX) || !vfs_handle_of_fd(request->kernel->vfs, fd) ||
        vfs_place_of_fd(request->kernel->vfs, fd, &place) < 0 || !S_ISDIR(vfs_place_type(place)))
        return pk_native();
    return lock_directory(request, place, fd);
}

void file_set_lock_handlers(struct pk_kernel *kernel)
{
    static const struct linux_handler handlers[] = {{ABI_NR_flock, serve_flock}};

    linux_set_handlers(kernel, handlers, array_length(handlers));
}

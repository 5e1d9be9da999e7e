/* System V shared memory, semaphores and message queues. */
#define FAMILY "sysv"
#include "conform.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

struct message {
    long type;
    char text[32];
};

static int segment;
static int semaphores;
static int queue;

static void remove_all(void)
{
    shmctl(segment, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
}

static void make(void)
{
    segment = (int)ok(shmget(IPC_PRIVATE, 8192, 0600));
    semaphores = (int)ok(semget(IPC_PRIVATE, 3, 0600));
    queue = (int)ok(msgget(IPC_PRIVATE, 0600));
}

/* A check with one object of each kind. */
#define WITH_OBJECTS(id, text)      \
    static void objects_##id(void); \
    CHECK(id, text)                 \
    {                               \
        make();                     \
        objects_##id();             \
        remove_all();               \
    }                               \
    static void objects_##id(void)

static key_t own_key(void)
{
    return (key_t)(0x43000000 | (getpid() & 0xffffff));
}

REFUSED(shm_missing, "shmget(2) ENOENT", shmget(own_key(), 10, 0), ENOENT)
REFUSED(shm_no_size, "shmget(2) EINVAL", shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL)
REFUSED(shm_attach_bad, "shmat(2) EINVAL", (long)shmat(-1, NULL, 0), EINVAL)
REFUSED(shm_detach_bad, "shmdt(2) EINVAL", shmdt((void *)0x12345000), EINVAL)
REFUSED(shm_control_bad, "shmctl(2) EINVAL", shmctl(-1, IPC_STAT, &(struct shmid_ds){0}), EINVAL)
REFUSED(sem_missing, "semget(2) ENOENT", semget(own_key(), 1, 0), ENOENT)
REFUSED(sem_none, "semget(2) EINVAL", semget(IPC_PRIVATE, 0, 0600), EINVAL)
REFUSED(sem_many, "semget(2) EINVAL", semget(IPC_PRIVATE, 1 << 28, 0600), EINVAL)
REFUSED(sem_bad, "semop(2) EINVAL", semop(-1, &(struct sembuf){0, 1, 0}, 1), EINVAL)
REFUSED(msg_missing, "msgget(2) ENOENT", msgget(own_key(), 0), ENOENT)
REFUSED(msg_send_bad, "msgsnd(2) EINVAL", msgsnd(-1, &(struct message){1, ""}, 1, 0), EINVAL)
REFUSED(msg_receive_bad, "msgrcv(2) EINVAL", msgrcv(-1, &(struct message){0}, 1, 0, 0), EINVAL)

CHECK(keys, "shmget(2), semget(2), msgget(2): IPC_CREAT, IPC_EXCL, EEXIST")
{
    segment = (int)ok(shmget(own_key(), 4096, IPC_CREAT | 0600));
    is(shmget(own_key(), 4096, 0600), segment);
    fails(shmget(own_key(), 4096, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    fails(shmget(own_key(), 100000, 0600), EINVAL);
    semaphores = (int)ok(semget(own_key(), 2, IPC_CREAT | 0600));
    is(semget(own_key(), 1, 0600), semaphores);
    fails(semget(own_key(), 3, 0600), EINVAL);
    fails(semget(own_key(), 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    queue = (int)ok(msgget(own_key(), IPC_CREAT | 0600));
    is(msgget(own_key(), 0600), queue);
    fails(msgget(own_key(), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    remove_all();
    fails(shmget(own_key(), 4096, 0600), ENOENT);
    fails(semget(own_key(), 1, 0600), ENOENT);
    fails(msgget(own_key(), 0600), ENOENT);
}

WITH_OBJECTS(shm_shared, "shmat(2): one memory")
{
    char *one = shmat(segment, NULL, 0);
    char *two = shmat(segment, NULL, SHM_RDONLY);

    must(one != (void *)-1 && two != (void *)-1);
    one[5000] = 'x';
    is(two[5000], 'x');
    IN_CHILD one[0] = 'c';
    is(one[0], 'c');
    ok(shmdt(one));
    fails(shmdt(one), EINVAL);
}

WITH_OBJECTS(shm_information, "shmctl(2) IPC_STAT")
{
    struct shmid_ds status;
    void *at;

    ok(shmctl(segment, IPC_STAT, &status));
    is(status.shm_segsz, 8192);
    is(status.shm_nattch, 0);
    is(status.shm_cpid, getpid());
    is(status.shm_perm.mode & 0777, 0600);
    is(status.shm_perm.uid, geteuid());
    at = shmat(segment, NULL, 0);
    must(at != (void *)-1);
    ok(shmctl(segment, IPC_STAT, &status));
    is(status.shm_nattch, 1);
    is(status.shm_lpid, getpid());
    status.shm_perm.mode = 0640;
    ok(shmctl(segment, IPC_SET, &status));
    ok(shmctl(segment, IPC_STAT, &status));
    is(status.shm_perm.mode & 0777, 0640);
}

WITH_OBJECTS(shm_removed_lives, "shmctl(2) IPC_RMID: until the last detach")
{
    char *at = shmat(segment, NULL, 0);
    struct shmid_ds status;

    must(at != (void *)-1);
    ok(shmctl(segment, IPC_RMID, NULL));
    at[0] = 'x';
    is(at[0], 'x');
    ok(shmdt(at));
    fails(shmctl(segment, IPC_STAT, &status), EINVAL);
}

WITH_OBJECTS(shm_address, "shmat(2): at an address, SHM_RND")
{
    char *at = shmat(segment, NULL, 0);

    ok(shmdt(at));
    must(shmat(segment, at, 0) == at);
    ok(shmdt(at));
    must(shmat(segment, at + 100, SHM_RND) == at);
    ok(shmdt(at));
    must(shmat(segment, at + 100, 0) == (void *)-1);
    is(errno, EINVAL);
}

WITH_OBJECTS(shm_permission, "shmat(2) EACCES")
{
    if (geteuid() != 0)
        return;
    IN_CHILD
    {
        as_user();
        must(shmat(segment, NULL, 0) == (void *)-1);
        is(errno, EACCES);
        fails(shmctl(segment, IPC_RMID, NULL), EPERM);
    }
}

WITH_OBJECTS(sem_values, "semctl(2) SETVAL, GETVAL, SETALL, GETALL")
{
    unsigned short values[3] = {1, 2, 3};

    ok(semctl(semaphores, 0, SETALL, values));
    is(semctl(semaphores, 2, GETVAL), 3);
    ok(semctl(semaphores, 1, SETVAL, 9));
    ok(semctl(semaphores, 0, GETALL, values));
    is(values[1], 9);
    fails(semctl(semaphores, 3, GETVAL), EINVAL);
    fails(semctl(semaphores, 0, SETVAL, -1), ERANGE);
    fails(semctl(semaphores, 0, SETVAL, 100000), ERANGE);
}

WITH_OBJECTS(sem_operations, "semop(2): all or nothing, EAGAIN, EFBIG, E2BIG")
{
    struct sembuf both[2] = {{0, 1, 0}, {1, -1, IPC_NOWAIT}};
    static struct sembuf many[1000];

    fails(semop(semaphores, both, 2), EAGAIN);
    is(semctl(semaphores, 0, GETVAL), 0);
    ok(semctl(semaphores, 1, SETVAL, 1));
    ok(semop(semaphores, both, 2));
    is(semctl(semaphores, 0, GETVAL), 1);
    fails(semop(semaphores, &(struct sembuf){7, 1, 0}, 1), EFBIG);
    fails(semop(semaphores, many, 1000), E2BIG);
    fails(semop(semaphores, both, 0), EINVAL);
    is(semctl(semaphores, 0, GETPID), getpid());
}

WITH_OBJECTS(sem_blocks, "semop(2): waits and is woken; GETNCNT")
{
    pid_t pid = spawn();

    if (pid == 0) {
        ok(semop(semaphores, &(struct sembuf){0, -2, 0}, 1));
        _exit(0);
    }
    for (int i = 0; i < 500 && semctl(semaphores, 0, GETNCNT) != 1; i++)
        nap(1);
    is(semctl(semaphores, 0, GETNCNT), 1);
    ok(semop(semaphores, &(struct sembuf){0, 2, 0}, 1));
    joins(pid);
}

WITH_OBJECTS(sem_zero, "semop(2): waits for zero; GETZCNT")
{
    pid_t pid;

    ok(semctl(semaphores, 0, SETVAL, 1));
    pid = spawn();
    if (pid == 0) {
        ok(semop(semaphores, &(struct sembuf){0, 0, 0}, 1));
        _exit(0);
    }
    for (int i = 0; i < 500 && semctl(semaphores, 0, GETZCNT) != 1; i++)
        nap(1);
    is(semctl(semaphores, 0, GETZCNT), 1);
    ok(semctl(semaphores, 0, SETVAL, 0));
    joins(pid);
}

WITH_OBJECTS(sem_undo, "semop(2) SEM_UNDO: at the end of the process")
{
    IN_CHILD ok(semop(semaphores, &(struct sembuf){0, 3, SEM_UNDO}, 1));
    is(semctl(semaphores, 0, GETVAL), 0);
}

WITH_OBJECTS(sem_removed, "semop(2) EIDRM")
{
    pid_t pid = spawn();

    if (pid == 0) {
        fails(semop(semaphores, &(struct sembuf){0, -1, 0}, 1), EIDRM);
        _exit(0);
    }
    for (int i = 0; i < 500 && semctl(semaphores, 0, GETNCNT) != 1; i++)
        nap(1);
    ok(semctl(semaphores, 0, IPC_RMID));
    joins(pid);
}

WITH_OBJECTS(sem_interrupted, "semop(2) EINTR, never restarted")
{
    ticking(SA_RESTART);
    fails(semop(semaphores, &(struct sembuf){0, -1, 0}, 1), EINTR);
    no_ticking();
}

WITH_OBJECTS(sem_times_out, "semtimedop(2) EAGAIN")
{
    fails(semtimedop(semaphores, &(struct sembuf){0, -1, 0}, 1, &(struct timespec){0, 3000000}),
          EAGAIN);
}

WITH_OBJECTS(msg_order, "msgrcv(2): by type, by lowest type, in order")
{
    struct message message;

    ok(msgsnd(queue, &(struct message){3, "three"}, 6, 0));
    ok(msgsnd(queue, &(struct message){1, "one"}, 4, 0));
    ok(msgsnd(queue, &(struct message){2, "two"}, 4, 0));
    is(msgrcv(queue, &message, 32, 2, 0), 4);
    same(message.text, "two");
    is(msgrcv(queue, &message, 32, -5, 0), 4);
    is(message.type, 1);
    is(msgrcv(queue, &message, 32, 0, 0), 6);
    is(message.type, 3);
    fails(msgrcv(queue, &message, 32, 0, IPC_NOWAIT), ENOMSG);
}

WITH_OBJECTS(msg_errors, "msgsnd(2) EINVAL, msgrcv(2) E2BIG, MSG_NOERROR")
{
    struct message message = {0, ""};

    fails(msgsnd(queue, &message, 1, 0), EINVAL);
    message.type = 1;
    fails(msgsnd(queue, &message, (size_t)-1, 0), EINVAL);
    ok(msgsnd(queue, &(struct message){1, "long text"}, 10, 0));
    fails(msgrcv(queue, &message, 4, 0, 0), E2BIG);
    is(msgrcv(queue, &message, 4, 0, MSG_NOERROR), 4);
}

WITH_OBJECTS(msg_full, "msgsnd(2) EAGAIN; msgctl(2)")
{
    struct msqid_ds status;
    int count = 0;

    while (msgsnd(queue, &(struct message){1, ""}, 32, IPC_NOWAIT) == 0)
        count++;
    is(errno, EAGAIN);
    ok(msgctl(queue, IPC_STAT, &status));
    is(status.msg_qnum, count);
    is(status.msg_lspid, getpid());
}

WITH_OBJECTS(msg_between_processes, "msgrcv(2): waits")
{
    struct message message;
    pid_t pid = spawn();

    if (pid == 0) {
        nap(3);
        ok(msgsnd(queue, &(struct message){5, "hi"}, 3, 0));
        _exit(0);
    }
    is(msgrcv(queue, &message, 32, 5, 0), 3);
    same(message.text, "hi");
    joins(pid);
}

WITH_OBJECTS(msg_removed, "msgrcv(2) EIDRM")
{
    pid_t pid = spawn();

    if (pid == 0) {
        fails(msgrcv(queue, &(struct message){0}, 32, 0, 0), EIDRM);
        _exit(0);
    }
    until_sleeping(pid);
    ok(msgctl(queue, IPC_RMID, NULL));
    joins(pid);
}
WITH_OBJECTS(msg_interrupted, "msgrcv(2) EINTR, never restarted")
{
    ticking(SA_RESTART);
    fails(msgrcv(queue, &(struct message){0}, 32, 0, 0), EINTR);
    no_ticking();
}

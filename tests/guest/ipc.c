/* System V shared memory, semaphores and message queues, and POSIX message queues. */
#include "guest.h"

#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A key that no other run has, natively: keys are host-wide there. */
static key_t fresh_key(void)
{
    return (key_t)((unsigned)getpid() << 8 | 0x40000000U | 0x5a);
}

/* ---- shared memory ---- */

static void write_shared(void *memory)
{
    snprintf(memory, 100, "from the child");
}

static void write_by_key(void *key)
{
    int id = (int)OK(shmget((key_t)(intptr_t)key, 0, 0));
    char *memory = shmat(id, NULL, 0);

    CHECK(memory != (void *)-1);
    snprintf(memory + 4096, 100, "by key");
    OK(shmdt(memory));
}

static void segments_are_shared(void)
{
    key_t key = fresh_key();
    int id = (int)OK(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600));
    char *memory = shmat(id, NULL, 0);
    char *again = shmat(id, NULL, SHM_RDONLY);

    CHECK(memory != (void *)-1 && again != (void *)-1);
    CHECK_EQ(memory[8191], 0);
    guest_join(guest_fork(write_shared, memory));
    CHECK_TEXT(again, "from the child");
    guest_join(guest_fork(write_by_key, (void *)(intptr_t)key));
    CHECK_TEXT(memory + 4096, "by key");
    FAILS(shmget(key, 8192, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    FAILS(shmget(key, 8193, 0600), EINVAL);
    CHECK_EQ(shmget(key, 100, IPC_CREAT | 0600), id);
    OK(shmctl(id, IPC_RMID, NULL));
    FAILS(shmget(key, 8192, 0600), ENOENT);
    CHECK_TEXT(memory, "from the child");
    OK(shmdt(again));
    OK(shmdt(memory));
    FAILS(shmdt(memory), EINVAL);
    CHECK(shmat(id, NULL, 0) == (void *)-1);
}

static void what_a_segment_says(void)
{
    time_t before = time(NULL);
    key_t key = fresh_key();
    int id = (int)OK(shmget(key, 5000, IPC_CREAT | 0640));
    struct shmid_ds data;
    char *memory;

    OK(shmctl(id, IPC_STAT, &data));
    CHECK_EQ(data.shm_segsz, 5000);
    CHECK_EQ(data.shm_nattch, 0);
    CHECK_EQ(data.shm_cpid, getpid());
    CHECK_EQ(data.shm_lpid, 0);
    CHECK_EQ(data.shm_atime, 0);
    CHECK(data.shm_ctime >= before);
    CHECK_EQ(data.shm_perm.__key, key);
    CHECK_EQ(data.shm_perm.mode, 0640);
    CHECK_EQ(data.shm_perm.uid, geteuid());
    CHECK_EQ(data.shm_perm.cgid, getegid());
    memory = shmat(id, NULL, 0);
    CHECK(memory != (void *)-1);
    OK(shmctl(id, IPC_STAT, &data));
    CHECK_EQ(data.shm_nattch, 1);
    CHECK_EQ(data.shm_lpid, getpid());
    CHECK(data.shm_atime >= before);
    data.shm_perm.mode = 0600;
    OK(shmctl(id, IPC_SET, &data));
    OK(shmctl(id, IPC_RMID, NULL));
    OK(shmctl(id, IPC_STAT, &data));
    CHECK_EQ(data.shm_perm.mode, 0600 | SHM_DEST);
    CHECK_EQ(data.shm_perm.__key, IPC_PRIVATE);
    OK(shmdt(memory));
    FAILS(shmctl(id, IPC_STAT, &data), EINVAL);
}

static void segments_that_cannot_be(void)
{
    struct shmid_ds data;

    FAILS(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
    FAILS(shmget(fresh_key(), 4096, 0600), ENOENT);
    FAILS(shmctl(0x7ffffff0, IPC_STAT, &data), EINVAL);
    FAILS(shmctl(-1, IPC_STAT, &data), EINVAL);
    FAILS(shmctl(0, 1234, &data), EINVAL);
    CHECK(shmat(0x7ffffff0, NULL, 0) == (void *)-1);
    CHECK_EQ(errno, EINVAL);
}

/* A segment that all of this user's processes on the host could reach is none of the guest's. */
static void totals(void)
{
    struct shm_info used;
    struct shminfo limits;
    int id = (int)OK(shmget(IPC_PRIVATE, 12288, 0600));
    int last = (int)OK(shmctl(0, SHM_INFO, (struct shmid_ds *)(void *)&used));
    bool found = false;
    struct shmid_ds data;

    CHECK(used.used_ids >= 1 && used.shm_tot >= 3);
    for (int i = 0; i <= last; i++)
        found |= shmctl(i, SHM_STAT, &data) == id && data.shm_segsz == 12288;
    CHECK(found);
    OK(shmctl(0, IPC_INFO, (struct shmid_ds *)(void *)&limits));
    CHECK(limits.shmmni > 0 && limits.shmmin == 1);
    OK(shmctl(id, IPC_RMID, NULL));
}

static void modes_hold(void)
{
    int id = (int)OK(shmget(fresh_key(), 4096, IPC_CREAT | 0400));
    void *memory;

    if (geteuid() == 0) {
        OK(shmctl(id, IPC_RMID, NULL));
        guest_skip("root may do everything");
    }
    CHECK(shmat(id, NULL, 0) == (void *)-1);
    CHECK_EQ(errno, EACCES);
    FAILS(shmget(fresh_key(), 4096, 0600), EACCES);
    memory = shmat(id, NULL, SHM_RDONLY);
    CHECK(memory != (void *)-1);
    OK(shmdt(memory));
    OK(shmctl(id, IPC_RMID, NULL));
}

/* ---- semaphores ---- */

static int change(int id, short by, short flags)
{
    struct sembuf operation = {.sem_num = 0, .sem_op = by, .sem_flg = flags};

    return semop(id, &operation, 1);
}

static void give_later(void *id)
{
    guest_sleep_ms(50);
    OK(change((int)(intptr_t)id, 1, 0));
}

static void semaphores_wait(void)
{
    int id = (int)OK(semget(IPC_PRIVATE, 3, IPC_CREAT | 0600));
    struct sembuf both[] = {{0, 1, 0}, {2, 2, 0}};
    struct timespec soon = {.tv_nsec = 30000000};
    struct sembuf take = {.sem_op = -1};
    unsigned short values[3];
    pid_t pid;

    FAILS(change(id, -1, IPC_NOWAIT), EAGAIN);
    FAILS(semtimedop(id, &take, 1, &soon), EAGAIN);
    pid = guest_fork(give_later, (void *)(intptr_t)id);
    OK(change(id, -1, 0));
    CHECK_EQ(semctl(id, 0, GETPID), getpid());
    guest_join(pid);
    OK(semop(id, both, 2));
    OK(semctl(id, 0, GETALL, values));
    CHECK(values[0] == 1 && values[1] == 0 && values[2] == 2);
    OK(semctl(id, 1, SETVAL, 7));
    CHECK_EQ(semctl(id, 1, GETVAL), 7);
    FAILS(semctl(id, 3, GETVAL), EINVAL);
    OK(semctl(id, 0, IPC_RMID));
    FAILS(change(id, 1, 0), EINVAL);
}

static void wait_for_nothing(void *id)
{
    FAILS(change((int)(intptr_t)id, -1, 0), EIDRM);
}

static void removal_wakes(void)
{
    int id = (int)OK(semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
    pid_t pid = guest_fork(wait_for_nothing, (void *)(intptr_t)id);

    while (semctl(id, 0, GETNCNT) != 1)
        guest_sleep_ms(1);
    OK(semctl(id, 0, IPC_RMID));
    guest_join(pid);
}

static void on_alarm(int number)
{
    (void)number;
}

static void signals_wake(void)
{
    int id = (int)OK(semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct itimerspec soon = {.it_value.tv_nsec = 30000000};
    timer_t timer;

    OK(sigaction(SIGALRM, &action, NULL));
    OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    OK(timer_settime(timer, 0, &soon, NULL));
    FAILS(change(id, -1, 0), EINTR); /* never restarted (signal(7)) */
    OK(semctl(id, 0, IPC_RMID));
}

static void take_with_undo(void *id)
{
    OK(change((int)(intptr_t)id, -1, SEM_UNDO));
}

static void death_undoes(void)
{
    int id = (int)OK(semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));

    OK(semctl(id, 0, SETVAL, 1));
    guest_join(guest_fork(take_with_undo, (void *)(intptr_t)id));
    CHECK_EQ(semctl(id, 0, GETVAL), 1);
    OK(semctl(id, 0, IPC_RMID));
}

static void what_semaphores_say(void)
{
    key_t key = fresh_key();
    int id = (int)OK(semget(key, 4, IPC_CREAT | 0620));
    struct semid_ds data;

    OK(semctl(id, 0, IPC_STAT, &data));
    CHECK_EQ(data.sem_nsems, 4);
    CHECK_EQ(data.sem_perm.__key, key);
    CHECK_EQ(data.sem_perm.mode, 0620);
    CHECK_EQ(data.sem_perm.cuid, geteuid());
    CHECK_EQ(data.sem_otime, 0);
    OK(change(id, 1, 0));
    OK(semctl(id, 0, IPC_STAT, &data));
    CHECK(data.sem_otime != 0);
    FAILS(semget(key, 5, 0600), EINVAL);
    FAILS(semget(IPC_PRIVATE, 0, 0600), EINVAL);
    FAILS(semget(IPC_PRIVATE, -1, 0600), EINVAL);
    OK(semctl(id, 0, IPC_RMID));
}

/* ---- message queues ---- */

struct message {
    long type;
    char text[32];
};

static void answer(void *id)
{
    struct message message;

    OK(msgrcv((int)(intptr_t)id, &message, sizeof(message.text), 1, 0));
    CHECK_TEXT(message.text, "question");
    message = (struct message){.type = 2, .text = "answer"};
    OK(msgsnd((int)(intptr_t)id, &message, sizeof(message.text), 0));
}

static void messages_arrive(void)
{
    int id = (int)OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
    struct message message = {.type = 1, .text = "question"};
    pid_t pid = guest_fork(answer, (void *)(intptr_t)id);
    struct msqid_ds data;

    OK(msgsnd(id, &message, sizeof(message.text), 0));
    CHECK_EQ(msgrcv(id, &message, sizeof(message.text), 2, 0), sizeof(message.text));
    CHECK_TEXT(message.text, "answer");
    guest_join(pid);
    FAILS(msgrcv(id, &message, sizeof(message.text), 0, IPC_NOWAIT), ENOMSG);
    OK(msgsnd(id, &message, 5, 0));
    OK(msgctl(id, IPC_STAT, &data));
    CHECK_EQ(data.msg_qnum, 1);
    CHECK_EQ(data.__msg_cbytes, 5);
    CHECK_EQ(data.msg_lspid, getpid());
    CHECK_EQ(data.msg_perm.mode, 0600);
    data.msg_qbytes = 100;
    OK(msgctl(id, IPC_SET, &data));
    OK(msgctl(id, IPC_STAT, &data));
    CHECK_EQ(data.msg_qbytes, 100);
    FAILS(msgrcv(id, &message, 2, 0, 0), E2BIG);
    OK(msgctl(id, IPC_RMID, NULL));
    FAILS(msgctl(id, IPC_RMID, NULL), EINVAL);
    FAILS(msgsnd(id, &message, 5, 0), EINVAL);
}

/* ---- POSIX message queues ---- */

static void send_late(void *name)
{
    mqd_t queue = (mqd_t)OK(mq_open(name, O_WRONLY));

    guest_sleep_ms(30);
    OK(mq_send(queue, "late", 5, 3));
    OK(mq_close(queue));
}

static void posix_queues(void)
{
    const char *name = guest_format("/guest-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
    mqd_t queue = mq_open(name, O_RDONLY | O_CREAT | O_EXCL, 0600, &attributes);
    struct mq_attr found;
    unsigned priority;
    char text[16];
    pid_t pid;

    if (queue == (mqd_t)-1 && errno == ENOSYS)
        guest_skip("the host has no message queues");
    OK(queue);
    OK(mq_getattr(queue, &found));
    CHECK(found.mq_maxmsg == 4 && found.mq_msgsize == 16 && found.mq_curmsgs == 0);
    CHECK_EQ(OK(fcntl(queue, F_GETFD)), FD_CLOEXEC);
    FAILS(mq_send(queue, "x", 1, 0), EBADF);
    FAILS(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
    pid = guest_fork(send_late, (void *)(uintptr_t)name);
    CHECK_EQ(mq_receive(queue, text, sizeof(text), &priority), 5);
    CHECK_TEXT(text, "late");
    CHECK_EQ(priority, 3);
    guest_join(pid);
    OK(mq_unlink(name));
    FAILS(mq_unlink(name), ENOENT);
    FAILS(mq_open(name, O_RDWR), ENOENT);
    OK(mq_getattr(queue, &found));
    OK(mq_close(queue));
}

static void posix_queues_that_cannot_be(void)
{
    struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 16};
    char name[300] = "/";

    if (syscall(SYS_mq_open, "no-such-queue", O_RDWR, 0, NULL) < 0 && errno == ENOSYS)
        guest_skip("the host has no message queues");
    CHECK_EQ(errno, ENOENT);
    FAILS(syscall(SYS_mq_open, "a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    FAILS(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
    FAILS(syscall(SYS_mq_open, (char *)8, O_RDWR, 0600, NULL), EFAULT);
    memset(name + 1, 'n', sizeof(name) - 2);
    FAILS(mq_open(name, O_RDWR | O_CREAT, 0600, NULL), ENAMETOOLONG);
    FAILS(mq_open("/guest-bad", O_RDWR | O_CREAT, 0600, &bad), EINVAL);
    FAILS(mq_open("/guest-bad", O_RDWR, 0600, NULL), ENOENT);
}

static void posix_queues_have_modes(void)
{
    const char *name = guest_format("/guest-mode-%d", getpid());
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
    struct stat data;
    mqd_t queue;

    umask(077);
    queue = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0466, &attributes);
    if (queue == (mqd_t)-1 && errno == ENOSYS)
        guest_skip("the host has no message queues");
    OK(queue);
    OK(fstat(queue, &data));
    CHECK_EQ(data.st_mode & 0777, 0400);
    OK(mq_send(queue, "x", 1, 0));
    FAILS(mq_send(queue, "x", 1, 0), EAGAIN);
    if (geteuid() != 0)
        FAILS(mq_open(name, O_WRONLY), EACCES);
    OK(mq_unlink(name));
}

/* The line of an object: its key and number lead it. */
static void has_line(const char *path, key_t key, int id, const char *rest)
{
    char start[64];
    const char *line;

    snprintf(start, sizeof(start), "\n%10d %10d  %s", key, id, rest);
    line = strstr(guest_read(path), start);
    if (line == NULL)
        FAIL("%s has no line%s", path, start);
}

static void tables(void)
{
    key_t key = fresh_key();
    int segment, semaphores, queue;

    segment = (int)OK(shmget(key, 4096, IPC_CREAT | 0640));
    semaphores = (int)OK(semget(key, 3, IPC_CREAT | 0600));
    queue = (int)OK(msgget(key, IPC_CREAT | 0622));
    if (access("/proc/sysvipc/shm", F_OK) == 0) {
        has_line("/proc/sysvipc/shm", key, segment, " 640                  4096 ");
        has_line("/proc/sysvipc/sem", key, semaphores, " 600          3 ");
        has_line("/proc/sysvipc/msg", key, queue, " 622           0          0     0     0 ");
    }
    OK(shmctl(segment, IPC_RMID, NULL));
    OK(semctl(semaphores, 0, IPC_RMID));
    OK(msgctl(queue, IPC_RMID, NULL));
    if (access("/proc/sysvipc/shm", F_OK) != 0)
        guest_skip("there are no tables to look at");
    CHECK(strstr(guest_read("/proc/sysvipc/shm"), guest_format("\n%10d ", key)) == NULL);
}

static const struct guest_case cases[] = {
    {"segments-are-shared", segments_are_shared},
    {"what-a-segment-says", what_a_segment_says},
    {"segments-that-cannot-be", segments_that_cannot_be},
    {"totals", totals},
    {"modes-hold", modes_hold},
    {"semaphores-wait", semaphores_wait},
    {"removal-wakes", removal_wakes},
    {"signals-wake", signals_wake},
    {"death-undoes", death_undoes},
    {"what-semaphores-say", what_semaphores_say},
    {"messages-arrive", messages_arrive},
    {"tables", tables},
    {"posix-queues", posix_queues},
    {"posix-queues-that-cannot-be", posix_queues_that_cannot_be},
    {"posix-queues-have-modes", posix_queues_have_modes},
};

GUEST_MAIN(cases)

/*
 * System V IPC for guests without an IPC namespace of their own.
 *
 * Keys and identifiers of the host are host-wide. So each object of a guest is made on the host
 * with IPC_PRIVATE, for the process kernel's user alone; keys, owners and permissions are the
 * process kernel's. Calls name an object by its identifier, in a register that no other thread can
 * change: once the identifier is found to be one of ours, the host runs the call (shmat, semop,
 * msgsnd, msgrcv), which then blocks and is interrupted natively.
 *
 * Nothing may outlive the guest. A segment is marked for removal as soon as it is made and held by
 * an attachment of ours. Semaphores and queues have no such way: they stand on a board in shared
 * memory, so that another process can remove them when this one was killed.
 *
 * Threads: kernel thread only, but for linux_ipc_board_sweep().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/types.h>

struct linux_ipc_board;
struct pk_identity;

enum ipc_kind { IPC_SEGMENT, IPC_SEMAPHORES, IPC_QUEUE };

/* Whom an object belongs to, as the guest sees it, and what others may do with it. */
struct ipc_owner {
    uid_t uid, cuid; /* now, and of who made it */
    gid_t gid, cgid;
    unsigned mode; /* the nine bits */
};

struct ipc_object {
    enum ipc_kind kind;
    int id;        /* the host's, and the guest's */
    key_t key;     /* IPC_PRIVATE: found by nobody */
    pid_t creator; /* process */
    struct ipc_owner owner;
    time_t changed;   /* by IPC_SET; 0: never */
    const void *held; /* segment: where it is attached here */
    bool removed;     /* segment: by the guest, while it was attached somewhere */
};

/* What the host says of an object (IPC_STAT). */
union ipc_data {
    struct shmid_ds segment;
    struct semid_ds semaphores;
    struct msqid_ds queue;
};

/* The kernel's semctl(2) argument (semctl(2): the caller must define it). */
union ipc_semaphore_argument {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

struct ipc_objects;

/* The board stays the caller's and must outlive the objects; NULL: none. NULL: no memory. */
struct ipc_objects *ipc_objects_new(void);
void ipc_objects_set_board(struct ipc_objects *objects, struct linux_ipc_board *board);

/* Removes all objects from the host. NULL is fine. */
void ipc_objects_free(struct ipc_objects *objects);

/*
 * Makes an object; `size` is that of a segment or the number of semaphores, `flags` what the host
 * shall know besides permissions (SHM_HUGETLB...). The caller fills in who owns it. Returns 0 or a
 * negative errno of shmget(2), semget(2), msgget(2); -ENOSPC also when the guest has too many.
 */
int ipc_object_new(struct ipc_objects *objects, enum ipc_kind kind, size_t size, int flags,
                   struct ipc_object **ret_object);

/* The object with this identifier or this key (never IPC_PRIVATE); NULL when there is none. */
struct ipc_object *ipc_find(struct ipc_objects *objects, enum ipc_kind kind, int id);
struct ipc_object *ipc_find_key(struct ipc_objects *objects, enum ipc_kind kind, key_t key);

/* The object at a position among those of its kind; NULL behind the last. */
struct ipc_object *ipc_at(struct ipc_objects *objects, enum ipc_kind kind, size_t position);

/* Asks the host. Returns 0 or a negative errno, -EINVAL when the object is not there any more. */
int ipc_ask(const struct ipc_object *object, union ipc_data *ret_data);

/* Removes it as the guest asked for; the pointer is dead afterwards. Returns 0 or -errno. */
int ipc_remove(struct ipc_objects *objects, struct ipc_object *object);

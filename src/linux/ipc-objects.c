#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "linux/ipc.h"
#include "linux/linux.h"

#define OBJECTS_MAX 4096 /* of a guest: SHMMNI of a host (ipc/shm.c) */

/* A slot is 0, or the kind and the identifier, so written that it is never 0. */
struct linux_ipc_board {
    _Atomic uint64_t slots[OBJECTS_MAX];
};

struct ipc_objects {
    struct linux_ipc_board *board;
    struct ipc_object *items[OBJECTS_MAX];
    size_t count;
};

/* ---- the board ---- */

static uint64_t slot_of(enum ipc_kind kind, int id)
{
    return ((uint64_t)kind + 1) << 32 | (uint32_t)id;
}

struct linux_ipc_board *linux_ipc_board_new(void)
{
    void *board = mmap(NULL, sizeof(struct linux_ipc_board), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return board == MAP_FAILED ? NULL : board;
}

static int remove_from_host(enum ipc_kind kind, int id)
{
    int r = kind == IPC_SEMAPHORES ? semctl(id, 0, IPC_RMID)
            : kind == IPC_QUEUE    ? msgctl(id, IPC_RMID, NULL)
                                   : shmctl(id, IPC_RMID, NULL);

    return r < 0 ? -errno : 0;
}

void linux_ipc_board_sweep(struct linux_ipc_board *board)
{
    for (size_t i = 0; board && i < OBJECTS_MAX; i++) {
        uint64_t slot = atomic_exchange(&board->slots[i], 0);

        if (slot)
            remove_from_host((enum ipc_kind)((slot >> 32) - 1), (int)(uint32_t)slot);
    }
}

void linux_ipc_board_free(struct linux_ipc_board *board)
{
    if (board == NULL)
        return;
    linux_ipc_board_sweep(board);
    munmap(board, sizeof(*board));
}

static void board_replace(struct linux_ipc_board *board, uint64_t from, uint64_t to)
{
    for (size_t i = 0; board && i < OBJECTS_MAX; i++)
        if (atomic_load(&board->slots[i]) == from) {
            atomic_store(&board->slots[i], to);
            return;
        }
}

/* ---- objects ---- */

struct ipc_objects *ipc_objects_new(void)
{
    return calloc(1, sizeof(struct ipc_objects));
}

void ipc_objects_set_board(struct ipc_objects *objects, struct linux_ipc_board *board)
{
    objects->board = board;
}

/* Takes it off the list; its last act. */
static void forget(struct ipc_objects *objects, struct ipc_object *object)
{
    size_t i = 0;

    while (objects->items[i] != object)
        i++;
    objects->items[i] = objects->items[--objects->count];
    if (object->held)
        shmdt(object->held);
    board_replace(objects->board, slot_of(object->kind, object->id), 0);
    free(object);
}

void ipc_objects_free(struct ipc_objects *objects)
{
    if (objects == NULL)
        return;
    while (objects->count) {
        struct ipc_object *object = objects->items[objects->count - 1];

        if (object->kind != IPC_SEGMENT)
            remove_from_host(object->kind, object->id);
        forget(objects, object);
    }
    free(objects);
}

int ipc_ask(const struct ipc_object *object, union ipc_data *ret_data)
{
    union ipc_data data = {0};
    union ipc_semaphore_argument argument = {.buf = &data.semaphores};
    int r;

    if (object->kind == IPC_SEGMENT)
        r = shmctl(object->id, IPC_STAT, &data.segment);
    else if (object->kind == IPC_SEMAPHORES)
        r = semctl(object->id, 0, IPC_STAT, argument);
    else
        r = msgctl(object->id, IPC_STAT, &data.queue);
    if (r < 0)
        return errno == EIDRM ? -EINVAL : -errno;
    /* The number of a segment that is gone may have come to somebody else's. */
    if (object->kind == IPC_SEGMENT && data.segment.shm_cpid != getpid())
        return -EINVAL;
    *ret_data = data;
    return 0;
}

/* Segments that were removed while they were attached, and are not attached any more. */
static void sweep_removed(struct ipc_objects *objects)
{
    union ipc_data data;

    for (size_t i = objects->count; i-- > 0;)
        if (objects->items[i]->removed && ipc_ask(objects->items[i], &data) < 0)
            forget(objects, objects->items[i]);
}

/* Nothing but our attachment keeps it from now on, and what the guest attaches. */
static int hold_segment(struct ipc_object *object)
{
    void *held = shmat(object->id, NULL, SHM_RDONLY);
    int r = held == (void *)-1 ? -errno : 0;

    if (shmctl(object->id, IPC_RMID, NULL) < 0 && r == 0)
        r = -errno;
    if (r < 0) {
        if (held != (void *)-1)
            shmdt(held);
        return r;
    }
    object->held = held;
    return 0;
}

static int make_on_host(struct ipc_object *object, size_t size, int flags)
{
    int mode = 0600 | IPC_CREAT | IPC_EXCL;

    if (object->kind == IPC_SEGMENT)
        object->id = shmget(IPC_PRIVATE, size, flags | mode);
    else if (object->kind == IPC_SEMAPHORES)
        object->id = semget(IPC_PRIVATE, (int)size, mode);
    else
        object->id = msgget(IPC_PRIVATE, mode);
    if (object->id < 0)
        return -errno;
    return object->kind == IPC_SEGMENT ? hold_segment(object) : 0;
}

int ipc_object_new(struct ipc_objects *objects, enum ipc_kind kind, size_t size, int flags,
                   struct ipc_object **ret_object)
{
    cleanup_free struct ipc_object *object = calloc(1, sizeof(*object));
    int r;

    if (object == NULL)
        return -ENOMEM;
    sweep_removed(objects);
    if (objects->count == OBJECTS_MAX)
        return -ENOSPC;
    object->kind = kind;
    r = make_on_host(object, size, flags);
    if (r < 0)
        return r;
    if (kind != IPC_SEGMENT)
        board_replace(objects->board, 0, slot_of(kind, object->id));
    objects->items[objects->count++] = object;
    *ret_object = take_ptr(object);
    return 0;
}

struct ipc_object *ipc_find(struct ipc_objects *objects, enum ipc_kind kind, int id)
{
    union ipc_data data;

    for (size_t i = 0; i < objects->count; i++) {
        struct ipc_object *object = objects->items[i];

        if (object->kind != kind || object->id != id)
            continue;
        if (!object->removed || ipc_ask(object, &data) == 0)
            return object;
        forget(objects, object);
        return NULL;
    }
    return NULL;
}

struct ipc_object *ipc_find_key(struct ipc_objects *objects, enum ipc_kind kind, key_t key)
{
    for (size_t i = 0; i < objects->count; i++)
        if (objects->items[i]->kind == kind && objects->items[i]->key == key)
            return objects->items[i];
    return NULL;
}

struct ipc_object *ipc_at(struct ipc_objects *objects, enum ipc_kind kind, size_t position)
{
    sweep_removed(objects);
    for (size_t i = 0; i < objects->count; i++)
        if (objects->items[i]->kind == kind && position-- == 0)
            return objects->items[i];
    return NULL;
}

int ipc_remove(struct ipc_objects *objects, struct ipc_object *object)
{
    union ipc_data data;

    if (object->kind != IPC_SEGMENT) {
        int r = remove_from_host(object->kind, object->id);

        if (r == 0 || r == -EIDRM || r == -EINVAL)
            forget(objects, object);
        return r;
    }
    shmdt(object->held);
    object->held = NULL;
    object->key = IPC_PRIVATE;
    object->removed = true;
    if (ipc_ask(object, &data) < 0)
        forget(objects, object);
    return 0;
}
